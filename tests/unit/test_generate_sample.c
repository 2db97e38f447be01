/* Drawing tokens with options: what each of them leaves to draw from, and how often. */
#include "generate_common.h"

#include <math.h>

#include "kernels/kernels.h"

static plr_context *ctx;

static int setup(void **state) {
  (void)state;
  ctx = new_context();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  plr_context_destroy(ctx);
  return 0;
}

static plr_sample_options options(float temperature, uint32_t top_k, float top_p) {
  plr_sample_options o;
  plr_sample_options_init(&o, sizeof o);
  o.temperature = temperature, o.top_k = top_k, o.top_p = top_p;
  o.seed = 11;
  return o;
}

/* How often each of `vocab` tokens comes in 4000 draws. */
static void count(const float *logits, uint32_t vocab, plr_sample_options o, uint32_t *seen) {
  memset(seen, 0, vocab * sizeof *seen);
  for (o.position = 0; o.position < 4000; o.position++) {
    int32_t token = -1;
    assert_int_equal(plr_sample_logits(ctx, logits, vocab, &o, &token), PLR_OK);
    assert_in_range(token, 0, vocab - 1);
    seen[token]++;
  }
}

/* Shares 0.4, 0.1, 0.3, 0.1, 0.1; the order is 0, 2, 1, 3, 4. */
static const float shares[] = {0.4f, 0.1f, 0.3f, 0.1f, 0.1f};

static void test_nucleus(void **state) {
  (void)state;
  float logits[5];
  uint32_t seen[5];
  static const struct {
    float top_p;
    uint32_t kept; /* bits of the tokens */
  } cases[] = {{0.01f, 1}, {0.39f, 1},  {0.5f, 5},   {0.69f, 5},
               {0.75f, 7}, {0.85f, 15}, {0.95f, 31}, {1.0f, 31}};
  for (int i = 0; i < 5; i++) logits[i] = logf(shares[i]) + 3.0f;
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    double total = 0.0;
    count(logits, 5, options(1.0f, 0, cases[c].top_p), seen);
    for (int i = 0; i < 5; i++)
      if (cases[c].kept >> i & 1) total += (double)shares[i];
    for (int i = 0; i < 5; i++) {
      double want = cases[c].kept >> i & 1 ? 4000.0 * (double)shares[i] / total : 0.0;
      if (fabs(seen[i] - want) > 4.5 * sqrt(want))
        fail_msg("top_p %g: token %d came %u times, expected %g", (double)cases[c].top_p, i,
                 seen[i], want);
    }
  }
}

/* top_k first, then top_p of what it leaves: of {0, 2}, 0 has a share of 4/7. */
static void test_both(void **state) {
  (void)state;
  float logits[5];
  uint32_t seen[5];
  for (int i = 0; i < 5; i++) logits[i] = logf(shares[i]);
  count(logits, 5, options(1.0f, 2, 0.55f), seen);
  assert_int_equal(seen[0], 4000);
  count(logits, 5, options(1.0f, 2, 0.6f), seen);
  assert_int_equal(seen[0] + seen[2], 4000);
  assert_true(seen[2] > 1500 && seen[2] < 1930);
}

/* A nucleus worked out naively: sort by (logit descending, index), cut, draw in order of the index. */
static int32_t naive(const float *x, uint32_t n, const plr_sample_options *o) {
  uint32_t order[600];
  uint8_t in[600] = {0};
  float max = x[0];
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = i;
    for (; at > 0 && x[order[at - 1]] < x[i]; at--) order[at] = order[at - 1];
    order[at] = i;
    max = x[i] > max ? x[i] : max;
  }
  uint32_t kept = o->top_k && o->top_k < n ? o->top_k : n;
  double total = 0.0, sum = 0.0;
  for (uint32_t i = 0; i < kept; i++) in[order[i]] = 1;
  for (uint32_t i = 0; i < n; i++)
    if (in[i]) total += (double)plr__expf((x[i] - max) / o->temperature);
  memset(in, 0, sizeof in);
  for (uint32_t i = 0; i < kept; i++) {
    in[order[i]] = 1;
    sum += (double)plr__expf((x[order[i]] - max) / o->temperature);
    if (sum >= (double)o->top_p * total) break;
  }
  plr_sample_options rest = *o;
  rest.top_k = 0, rest.top_p = 1.0f;
  float left[600];
  for (uint32_t i = 0; i < n; i++) left[i] = in[i] ? x[i] : -1e30f;
  int32_t token = -1;
  assert_int_equal(plr_sample_logits(ctx, left, n, &rest, &token), PLR_OK);
  return token;
}

static void test_naive(void **state) {
  (void)state;
  float x[600];
  for (uint32_t round = 0; round < 300; round++) {
    uint32_t n = 1 + round * 2, state_ = round * 2654435761u + 1;
    for (uint32_t i = 0; i < n; i++) {
      state_ = state_ * 1664525u + 1013904223u;
      x[i] = (float)(state_ >> 28) * 0.5f; /* few values: many ties */
    }
    plr_sample_options o =
        options(0.8f, round % 3 ? round : 0, 0.05f + (float)(round % 19) * 0.05f);
    o.position = round;
    int32_t token = -1;
    assert_int_equal(plr_sample_logits(ctx, x, n, &o, &token), PLR_OK);
    assert_int_equal(token, naive(x, n, &o));
  }
}

/* The older function is a case of the new one; greedy takes the lowest of equals. */
static void test_same(void **state) {
  (void)state;
  float x[64];
  for (int i = 0; i < 64; i++) x[i] = (float)(i * 37 % 64) * 0.1f;
  for (uint64_t p = 0; p < 200; p++) {
    int32_t a = -1, b = -2;
    plr_sample_options o = options(0.7f, 9, 1.0f);
    o.position = p;
    assert_int_equal(plr_sample_logits(ctx, x, 64, &o, &a), PLR_OK);
    assert_int_equal(plr_sample(x, 64, 0.7f, 9, 11, p, &b), PLR_OK);
    assert_int_equal(a, b);
  }
  float equal[4] = {1.0f, 2.0f, 2.0f, -0.0f};
  int32_t token = -1;
  assert_int_equal(plr_sample_logits(ctx, equal, 4, NULL, &token), PLR_OK);
  assert_int_equal(token, 1);
}

static void test_refused(void **state) {
  (void)state;
  float x[2] = {0.0f, 1.0f}, nan[2] = {0.0f, NAN};
  int32_t token = 7;
  plr_sample_options o = options(-1.0f, 0, 1.0f);
  assert_int_equal(plr_sample_logits(ctx, x, 2, &o, &token), PLR_ERR_INVALID_ARGUMENT);
  o = options(1.0f, 0, 0.0f);
  assert_int_equal(plr_sample_logits(ctx, x, 2, &o, &token), PLR_ERR_INVALID_ARGUMENT);
  o = options(1.0f, 0, NAN);
  assert_int_equal(plr_sample_logits(ctx, x, 2, &o, &token), PLR_ERR_INVALID_ARGUMENT);
  o = options(1.0f, 0, 1.5f);
  assert_int_equal(plr_sample_logits(ctx, x, 2, &o, &token), PLR_ERR_INVALID_ARGUMENT);
  o = options(1.0f, 0, 0.5f);
  assert_int_equal(plr_sample_logits(NULL, x, 2, &o, &token), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_sample_logits(ctx, x, 0, &o, &token), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_sample_logits(ctx, nan, 2, &o, &token), PLR_ERR_NON_FINITE);
  assert_int_equal(token, 7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nucleus), cmocka_unit_test(test_both),    cmocka_unit_test(test_naive),
      cmocka_unit_test(test_same),    cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
