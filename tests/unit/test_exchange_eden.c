/* EDEN: the error its paper promises, no bias, and the same bytes everywhere. */
#include "exchange_test.h"

enum { ROWS = 64, COLS = 1024, N = ROWS * COLS };

static plr_context *context(uint32_t isa) {
  plr_context_options o = test_options(NULL);
  o.isa = isa;
  return test_context(&o);
}

/* Encodes with a seed, decodes. */
static void there_and_back(plr_context *ctx, const char *name, uint64_t seed, float *x,
                           uint32_t rows, uint32_t cols, float *y) {
  plr_codec c = test_codec(name, 0);
  plr_encoder *e;
  plr_tensor t;
  plr_frame_info info = test_info(PLR_ROLE_DELTA);
  size_t len;
  info.seed = seed;
  assert_int_equal(plr_encoder_create(ctx, &c, rows, cols, &e, NULL), PLR_OK);
  const size_t cap = plr_encoder_bound(e);
  uint8_t *out = malloc(cap);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, rows, cols);
  assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_OK);
  plr_encoder_destroy(e);
  assert_int_equal(test_decode(ctx, out, len, y, rows, cols, NULL), PLR_OK);
  free(out);
}

/* vNMSE of the paper's unbiased EDEN on Gaussian vectors. */
static void test_error(void **state) {
  (void)state;
  static const struct {
    const char *name;
    double error;
  } cases[] = {{"eden1", 0.5709},
               {"eden2", 0.1331},
               {"eden3", 0.0358},
               {"eden4", 0.00959},
               {"eden4+g128", 0.00959}};
  plr_context *ctx = context(PLR_ISA_BEST);
  uint64_t seed = 9;
  float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
  for (size_t i = 0; i < N; i++) x[i] = test_normal(&seed);
  for (size_t c = 0; c < PLR_COUNT_OF(cases); c++) {
    double error = 0, power = 0, dot = 0;
    there_and_back(ctx, cases[c].name, 7, x, ROWS, COLS, y);
    for (size_t i = 0; i < N; i++) {
      error += (double)(x[i] - y[i]) * (double)(x[i] - y[i]);
      power += (double)x[i] * (double)x[i];
      dot += (double)x[i] * (double)y[i];
    }
    if (fabs(error / power / cases[c].error - 1) > 0.03)
      fail_msg("%s: vNMSE %.5f, not %.5f", cases[c].name, error / power, cases[c].error);
    assert_true(fabs(dot / power - 1) < 1e-5); /* what makes it unbiased under a random rotation */
  }
  free(x), free(y);
  plr_context_destroy(ctx);
}

/* One vector that is far from Gaussian, over many seeds: the mean comes as close as independent unbiased errors do. */
static void test_unbiased(void **state) {
  (void)state;
  enum { SEEDS = 400 };
  plr_context *ctx = context(PLR_ISA_BEST);
  float *x = calloc(COLS, sizeof *x), *y = malloc(COLS * sizeof *y);
  double *mean = calloc(COLS, sizeof *mean), error = 0, power = 0;
  for (size_t i = 0; i < COLS; i++) x[i] = (i % 5 ? 0.01f : 1.0f) * (float)(1 + i % 3);
  for (uint64_t s = 0; s < SEEDS; s++) {
    there_and_back(ctx, "eden2", s, x, 1, COLS, y);
    for (size_t i = 0; i < COLS; i++) mean[i] += y[i] / (double)SEEDS;
  }
  for (size_t i = 0; i < COLS; i++) {
    error += (mean[i] - x[i]) * (mean[i] - x[i]);
    power += (double)x[i] * (double)x[i];
  }
  if (error / power > 1.3 * 0.1331 / SEEDS)
    fail_msg("the mean is off by %g of the power", error / power);
  free(x), free(y), free(mean);
  plr_context_destroy(ctx);
}

static void test_same_bytes(void **state) {
  (void)state;
  plr_context *best = context(PLR_ISA_BEST), *plain = context(PLR_ISA_PORTABLE);
  static const char *const names[] = {"eden1", "eden2", "eden3+g128", "eden4"};
  for (size_t c = 0; c < PLR_COUNT_OF(names); c++) {
    plr_codec codec = test_codec(names[c], 0);
    float *x = test_floats(c, 70 * 100);
    test_frame f = test_encode(best, &codec, PLR_ROLE_DELTA, x, 70, 100);
    test_frame g = test_encode(plain, &codec, PLR_ROLE_DELTA, x, 70, 100);
    assert_int_equal(f.len, g.len);
    assert_memory_equal(f.data, g.data, f.len);
    assert_int_equal(f.len, 64 + 20 + (7000 + codec.group - 1) / codec.group * 4 +
                                (7000 * codec.bits + 7) / 8);
    free(x), free(f.data), free(g.data);
  }
  plr_context_destroy(best);
  plr_context_destroy(plain);
}

/* Zeros, values without a reciprocal, and those that do not fit. */
static void test_extremes(void **state) {
  (void)state;
  plr_context *ctx = context(PLR_ISA_BEST);
  float x[64] = {0}, y[64];
  there_and_back(ctx, "eden4", 1, x, 1, 64, y);
  for (size_t i = 0; i < 64; i++) assert_true(y[i] == 0);
  for (size_t i = 0; i < 64; i++) x[i] = 1e-44f;
  there_and_back(ctx, "eden4", 1, x, 1, 64, y);
  for (size_t i = 0; i < 64; i++) assert_true(fabsf(y[i]) < 1e-42f);
  for (size_t i = 0; i < 64; i++) x[i] = 1e30f;
  there_and_back(ctx, "eden4", 1, x, 1, 64, y);
  for (size_t i = 0; i < 64; i++) assert_true(fabsf(y[i] / 1e30f - 1) < 1);
  plr_codec codec = test_codec("eden4", 0);
  plr_encoder *e;
  plr_tensor t;
  plr_frame_info info = test_info(PLR_ROLE_DELTA);
  uint8_t out[1024];
  size_t len;
  assert_int_equal(plr_encoder_create(ctx, &codec, 1, 64, &e, NULL), PLR_OK);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, 1, 64);
  static const float wrong[] = {3e38f, INFINITY, NAN};
  for (size_t i = 0; i < PLR_COUNT_OF(wrong); i++) {
    for (size_t j = 0; j < 64; j++) x[j] = wrong[i];
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, sizeof out, &len), PLR_ERR_NON_FINITE);
  }
  plr_encoder_destroy(e);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_error),
      cmocka_unit_test(test_unbiased),
      cmocka_unit_test(test_same_bytes),
      cmocka_unit_test(test_extremes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
