/* Drawing tokens. */
#include "shard_common.h"

#include <math.h>

#include "base/base.h"

static int32_t draw(const float *logits, uint32_t n, float temperature, uint32_t k, uint64_t at) {
  int32_t token = -1;
  assert_int_equal(plr_sample(logits, n, temperature, k, 11, at, &token), PLR_OK);
  assert_true(token >= 0 && (uint32_t)token < n);
  return token;
}

static void test_greedy(void **state) {
  (void)state;
  const float logits[6] = {-1.0f, 3.0f, 2.0f, 3.0f, -0.0f, 0.0f};
  for (uint64_t i = 0; i < 20; i++) assert_int_equal(draw(logits, 6, 0.0f, i % 3, i), 1);
  const float zeros[3] = {-0.0f, 0.0f, -0.0f};
  assert_int_equal(draw(zeros, 3, 0.0f, 0, 0), 0);
}

/* Frequencies follow the softmax: a chi-square of 7 cells stays below 30 (p = 1e-4 is 27.9 for 7 degrees). */
static void test_distribution(void **state) {
  (void)state;
  const float logits[8] = {0.0f, 1.0f, -2.0f, 0.5f, 2.0f, -1.0f, 1.5f, -3.0f};
  const float temperature = 0.8f;
  double p[8], sum = 0.0, chi = 0.0;
  int count[8] = {0}, draws = 20000;
  for (int i = 0; i < 8; i++) sum += p[i] = exp((double)logits[i] / (double)temperature);
  for (int i = 0; i < draws; i++) count[draw(logits, 8, temperature, 0, (uint64_t)i)]++;
  for (int i = 0; i < 8; i++) {
    double want = p[i] / sum * draws;
    chi += (count[i] - want) * (count[i] - want) / want;
  }
  assert_true(chi < 30.0);
}

static void test_top_k(void **state) {
  (void)state;
  /* ties at the border go to the lowest index */
  const float logits[7] = {1.0f, 5.0f, 2.0f, 2.0f, 2.0f, 5.5f, -4.0f};
  int seen[7] = {0};
  for (uint64_t i = 0; i < 3000; i++) seen[draw(logits, 7, 5.0f, 3, i)]++;
  for (int i = 0; i < 7; i++) assert_true((seen[i] > 0) == (i == 1 || i == 2 || i == 5));
  for (uint64_t i = 0; i < 100; i++) {
    assert_int_equal(draw(logits, 7, 5.0f, 1, i), 5);
    assert_int_equal(draw(logits, 7, 5.0f, 7, i), draw(logits, 7, 5.0f, 0, i));
    assert_int_equal(draw(logits, 7, 5.0f, 99, i), draw(logits, 7, 5.0f, 0, i));
  }
  /* a logit that is not among the k largest does not change the draw */
  const float fewer[7] = {-9.0f, 5.0f, 2.0f, 1.0f, -7.0f, 5.5f, -4.0f};
  for (uint64_t i = 0; i < 300; i++)
    assert_int_equal(draw(logits, 7, 5.0f, 3, i), draw(fewer, 7, 5.0f, 3, i));
}

static void test_extremes(void **state) {
  (void)state;
  const float wide[3] = {-3e38f, 3e38f, -3e38f};
  for (uint64_t i = 0; i < 50; i++) assert_int_equal(draw(wide, 3, 1e-30f, 0, i), 1);
  const float one[1] = {0.0f};
  assert_int_equal(draw(one, 1, 1.0f, 0, 0), 0);
  int32_t token = 7;
  const float bad[3] = {0.0f, NAN, 1.0f}, inf[2] = {0.0f, INFINITY};
  assert_int_equal(plr_sample(bad, 3, 1.0f, 0, 0, 0, &token), PLR_ERR_NON_FINITE);
  assert_int_equal(plr_sample(inf, 2, 0.0f, 0, 0, 0, &token), PLR_ERR_NON_FINITE);
  assert_int_equal(plr_sample(one, 0, 1.0f, 0, 0, 0, &token), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_sample(one, 1, -1.0f, 0, 0, 0, &token), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_sample(one, 1, NAN, 0, 0, 0, &token), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_sample(one, 1, INFINITY, 0, 0, 0, &token), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(token, 7);
}

/* The token is a function of logits, settings, seed and position. */
static void test_repeatable(void **state) {
  (void)state;
  float logits[256];
  for (int i = 0; i < 256; i++) logits[i] = (float)((i * 37) % 64) / 16.0f;
  int differ_seed = 0, differ_position = 0;
  for (uint64_t i = 0; i < 100; i++) {
    int32_t a, b;
    assert_int_equal(draw(logits, 256, 1.0f, 40, i), draw(logits, 256, 1.0f, 40, i));
    assert_int_equal(plr_sample(logits, 256, 1.0f, 40, 1, i, &a), PLR_OK);
    assert_int_equal(plr_sample(logits, 256, 1.0f, 40, 2, i, &b), PLR_OK);
    differ_seed += a != b;
    assert_int_equal(plr_sample(logits, 256, 1.0f, 40, 1, i + (1ull << 32), &b), PLR_OK);
    differ_position += a != b;
  }
  assert_true(differ_seed > 50 && differ_position > 50);
}

static void test_weight_root(void **state) {
  (void)state;
  plr_hash leaves[70], copy[70], a, b;
  for (uint32_t i = 0; i < 70; i++) plr_sha256(&i, sizeof i, &leaves[i]);
  for (uint32_t n = 1; n <= 70; n++) {
    memcpy(copy, leaves, sizeof leaves);
    plr__merkle_root(copy, n, &a);
    assert_int_equal(plr_weight_root(leaves, n, &b), PLR_OK);
    assert_memory_equal(&a, &b, sizeof a);
  }
  assert_int_equal(plr_weight_root(leaves, 0, &b), PLR_ERR_INVALID_ARGUMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_greedy),     cmocka_unit_test(test_distribution),
      cmocka_unit_test(test_top_k),      cmocka_unit_test(test_extremes),
      cmocka_unit_test(test_repeatable), cmocka_unit_test(test_weight_root),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
