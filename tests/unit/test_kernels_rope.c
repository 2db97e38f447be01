/* Rotary positions beyond the plain table: scaling against the frequencies that Hugging Face transformers' formulas
 * give, given positions, and refusals; every instruction set against the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "kernels_support.h"

static plr_context *ctx[CONTEXTS];

static int setup(void **state) {
  (void)state;
  contexts_create(ctx);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  contexts_destroy(ctx);
  return 0;
}

enum { DIM = 128, HALF = DIM / 2, POSITIONS = 5 };

/* Llama 3.1 8B and Qwen2.5 with YaRN x4: the numbers of their config.json. */
static plr_rope_table_args llama3(void) {
  plr_rope_table_args a = {.positions = POSITIONS, .first_position = 1000, .head_dim = DIM};
  a.theta = 500000.0, a.scaling = PLR_ROPE_LLAMA3;
  a.factor = 8.0, a.low_freq = 1.0, a.high_freq = 4.0, a.original = 8192;
  return a;
}

static plr_rope_table_args yarn(void) {
  plr_rope_table_args a = {.positions = POSITIONS, .first_position = 1000, .head_dim = DIM};
  a.theta = 1e6, a.scaling = PLR_ROPE_YARN;
  a.factor = 4.0, a.beta_fast = 32.0, a.beta_slow = 1.0, a.original = 32768;
  a.attention_factor = 1.138629436111989; /* 0.1 ln 4 + 1 */
  return a;
}

/* inv_freq of modeling_rope_utils.py, evaluated in float64: kept, blended and interpolated pairs. */
static const int pairs[] = {0, 20, 28, 29, 30, 33, 34, 35, 40, 50, 63};
static const double llama3_frequency[] = {1.0,
                                          0x1.0f53852389081p-6,
                                          0x1.a4ee3f0a6907cp-9,
                                          0x1.1bfa0d25be314p-9,
                                          0x1.67a238074c42bp-10,
                                          0x1.47e216e7aec24p-12,
                                          0x1.765ba6f931577p-13,
                                          0x1.90d10c806f8c1p-14,
                                          0x1.1f91ef20d667dp-15,
                                          0x1.280d96af1e49cp-18,
                                          0x1.4985fec80a8cbp-22};
static const double yarn_frequency[] = {1.0,
                                        0x1.b4f7e2b2c2a95p-7,
                                        0x1.e483bd98f6e11p-10,
                                        0x1.7057809f643efp-10,
                                        0x1.17040e6c20ec5p-10,
                                        0x1.d832d0789ff5fp-12,
                                        0x1.5e7a0366e9856p-12,
                                        0x1.02387cdd57f2cp-12,
                                        0x1.74eea61c12623p-15,
                                        0x1.58863a71f7be2p-18,
                                        0x1.4d1c97f4e952fp-22};

static void check_table(plr_rope_table_args a, const double *frequency, double size) {
  float c[POSITIONS * HALF], s[POSITIONS * HALF], cos_want[POSITIONS * HALF];
  float sin_want[POSITIONS * HALF];
  a.cos = cos_want, a.sin = sin_want;
  assert_int_equal(plr__ref_rope_table(&a), PLR_OK);
  a.cos = c, a.sin = s;
  for (int i = 0; i < CONTEXTS && ctx[i]; i++) {
    assert_int_equal(plr__cpu_rope_table(ctx[i], &a), PLR_OK);
    assert_same_bits(c, cos_want, POSITIONS * HALF, "cos");
    assert_same_bits(s, sin_want, POSITIONS * HALF, "sin");
  }
  for (int p = 0; p < POSITIONS; p++)
    for (size_t i = 0; i < PLR_COUNT_OF(pairs); i++) {
      double angle = (double)(1000 + p) * frequency[i];
      assert_true(fabs((double)c[p * HALF + pairs[i]] - size * cos(angle)) < 1e-7);
      assert_true(fabs((double)s[p * HALF + pairs[i]] - size * sin(angle)) < 1e-7);
    }
}

static void scaling_is_that_of_the_models(void **state) {
  (void)state;
  check_table(llama3(), llama3_frequency, 1.0);
  check_table(yarn(), yarn_frequency, 1.138629436111989);
  plr_rope_table_args linear = {.positions = POSITIONS, .first_position = 1000, .head_dim = DIM};
  linear.theta = 10000.0, linear.scaling = PLR_ROPE_LINEAR, linear.factor = 2.5;
  double frequency[PLR_COUNT_OF(pairs)];
  for (size_t i = 0; i < PLR_COUNT_OF(pairs); i++)
    frequency[i] = pow(10000.0, -2.0 * pairs[i] / DIM) / 2.5;
  check_table(linear, frequency, 1.0);
}

static void bad_scaling_is_refused(void **state) {
  (void)state;
  float c[POSITIONS * HALF], s[POSITIONS * HALF];
  for (int bad = 0; bad < 11; bad++) {
    plr_rope_table_args a = bad < 5 ? llama3() : yarn();
    a.cos = c, a.sin = s;
    if (bad == 0) a.factor = 0.5;
    if (bad == 1) a.low_freq = 0.0;
    if (bad == 2) a.high_freq = a.low_freq;
    if (bad == 3) a.original = 0;
    if (bad == 4) a.scaling = PLR_ROPE_YARN + 1;
    if (bad == 5) a.theta = 1.0;
    if (bad == 6) a.beta_slow = 0.0;
    if (bad == 7) a.beta_fast = 0.5;
    if (bad == 8) a.attention_factor = NAN;
    if (bad == 9) a.factor = NAN;
    if (bad == 10) a.original = (int64_t)1 << 40;
    assert_int_equal(plr__cpu_rope_table(ctx[1], &a), PLR_ERR_INVALID_ARGUMENT);
  }
}

/* Rows at any position, in any order; those a sequence would have are the plain rotation. */
static void given_positions(void **state) {
  (void)state;
  enum { SEQ = 19, ROWS = 2 * SEQ, HEADS = 3, HEAD_DIM = 40, LD = HEADS * HEAD_DIM + 3 };
  float c[SEQ * HEAD_DIM / 2], s[SEQ * HEAD_DIM / 2];
  int32_t anywhere[ROWS], in_order[ROWS];
  fill_ids(anywhere, ROWS, 3, SEQ);
  for (int r = 0; r < ROWS; r++) in_order[r] = r % SEQ;
  plr_rope_table_args t = {.cos = c, .sin = s, .positions = SEQ, .head_dim = HEAD_DIM};
  t.theta = 10000.0;
  assert_int_equal(plr__ref_rope_table(&t), PLR_OK);
  float *x0 = random_floats(ROWS * LD, 1, 1.0f), *want = copy_floats(x0, ROWS * LD);
  float *plain = copy_floats(x0, ROWS * LD);
  plr_rope_args a = {want, c, s, ROWS, SEQ, HEADS, HEAD_DIM, LD, 1.0f, anywhere};
  assert_int_equal(plr__ref_rope(&a), PLR_OK);
  a.x = plain, a.positions = NULL;
  assert_int_equal(plr__ref_rope(&a), PLR_OK);
  for (int i = 0; i < CONTEXTS && ctx[i]; i++) {
    float *x = copy_floats(x0, ROWS * LD);
    a.x = x, a.positions = anywhere;
    assert_int_equal(plr__cpu_rope(ctx[i], &a), PLR_OK);
    assert_same_bits(x, want, ROWS * LD, "given positions");
    memcpy(x, x0, ROWS * LD * 4);
    a.positions = in_order;
    assert_int_equal(plr__cpu_rope(ctx[i], &a), PLR_OK);
    assert_same_bits(x, plain, ROWS * LD, "positions in order");
    free(x);
  }
  free(x0), free(want), free(plain);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scaling_is_that_of_the_models),
      cmocka_unit_test(bad_scaling_is_refused),
      cmocka_unit_test(given_positions),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
