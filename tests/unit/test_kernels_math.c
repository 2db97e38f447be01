/* Accuracy of the profile's elementary functions, their special values, and scalar against lanes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "kernels_support.h"

static float f32_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static double random_double(uint32_t i, uint32_t what) {
  const uint32_t key[2] = {what, 1}, counter[4] = {i, 0, 0, 0};
  uint32_t w[4];
  plr__philox4x32(counter, key, w);
  return ((double)(((uint64_t)w[0] << 32 | w[1]) >> 11) + 0.5) * 0x1p-53;
}

/* Distance in units of the last place of the exact value. */
static double ulp32(float got, double exact) {
  if (isinf(got)) return fabs(exact) >= 0x1.ffffffp127 ? 0.0 : INFINITY;
  int e;
  frexp(exact, &e);
  double unit = ldexp(1.0, (e < -125 ? -125 : e) - 24);
  return fabs((double)got - exact) / unit;
}

static double ulp64(double got, long double exact) {
  int e;
  frexpl(exact, &e);
  long double unit = ldexpl(1.0L, (e < -1021 ? -1021 : e) - 53);
  return (double)(fabsl((long double)got - exact) / unit);
}

/* The fp64 functions need a wider type to compare with; valgrind computes long double in 64 bits. */
static void need_long_double(void) {
  volatile long double small = 0x1p-60L, sum = 1.0L + small;
  if (sum != 1.0L) return;
  print_message("skipped: long double is no wider than double here\n");
  skip();
}

static void expf_is_accurate(void **state) {
  (void)state;
  double worst = 0.0;
  for (uint64_t b = 0; b <= UINT32_MAX; b += 1021) {
    float x = f32_of((uint32_t)b);
    if (isnan(x) || fabsf(x) > 150.0f) continue;
    double u = ulp32(plr__expf(x), exp((double)x));
    if (u > worst) worst = u;
  }
  print_message("expf: %.3f ulp\n", worst);
  assert_true(worst < 1.1);
  assert_true(plr__expf(0.0f) == 1.0f && plr__expf(-0.0f) == 1.0f);
  assert_true(plr__expf(INFINITY) == INFINITY && plr__expf(-INFINITY) == 0.0f);
  assert_true(plr__expf(88.7229f) == INFINITY && plr__expf(88.7228f) < INFINITY);
  assert_true(plr__expf(-103.9f) == 0x1p-149f && plr__expf(-104.0f) == 0.0f);
  assert_true(isnan(plr__expf(NAN)));
}

static void logf_is_accurate(void **state) {
  (void)state;
  double worst = 0.0;
  for (uint64_t b = 1; b < 0x7F800000u; b += 509) {
    float x = f32_of((uint32_t)b);
    double u = ulp32(plr__logf(x), log((double)x));
    if (u > worst) worst = u;
  }
  print_message("logf: %.3f ulp\n", worst);
  assert_true(worst < 0.9);
  assert_true(plr__logf(1.0f) == 0.0f && plr__logf(INFINITY) == INFINITY);
  assert_true(plr__logf(0.0f) == -INFINITY && plr__logf(-0.0f) == -INFINITY);
  assert_true(isnan(plr__logf(-1.0f)) && isnan(plr__logf(NAN)));
}

/* The tail against erfc, and with it GELU: where the tail is not denormal, in ulp. */
static void tailf_is_accurate(void **state) {
  (void)state;
  double worst = 0.0, below = 0.0;
  float shape;
  for (uint32_t b = 0; b < 0x41500000u; b += 997) { /* to 13 */
    float x = f32_of(b);
    double u = ulp32(plr__tailf(x, &shape), 0.5 * erfc((double)x * sqrt(0.5)));
    if (u > worst) worst = u;
    double e = ulp32(shape, exp(-0.5 * (double)x * (double)x));
    if (e > below) below = e;
  }
  print_message("tailf: %.3f ulp, its shape %.3f ulp\n", worst, below);
  assert_true(worst < 6.0 && below < 1.5);
  assert_true(fabsf(plr__tailf(0.0f, &shape) - 0.5f) <= 0x1p-24f && shape == 1.0f);
  assert_true(plr__tailf(15.0f, &shape) == 0.0f && plr__tailf(3e38f, &shape) == 0.0f);
  assert_true(isnan(plr__tailf(NAN, &shape)));
}

static void double_exp_and_log_are_accurate(void **state) {
  (void)state;
  need_long_double();
  double worst_exp = 0.0, worst_log = 0.0;
  for (uint32_t i = 0; i < 400000; i++) {
    double x = (random_double(i, 1) - 0.5) * (i % 2 ? 1418.0 : 2.0);
    double u = ulp64(plr__exp(x), expl((long double)x));
    if (u > worst_exp) worst_exp = u;
    double y =
        i % 2 ? 0.5 + random_double(i, 2) : ldexp(random_double(i, 2), (int)(i % 2097) - 1073);
    u = ulp64(plr__ln(y), logl((long double)y));
    if (u > worst_log) worst_log = u;
  }
  for (double x = -745.2; x < -707.0; x += 0.001) { /* denormal results */
    double u = ulp64(plr__exp(x), expl((long double)x));
    if (u > worst_exp) worst_exp = u;
  }
  print_message("exp: %.3f ulp, ln: %.3f ulp\n", worst_exp, worst_log);
  assert_true(worst_exp < 1.1 && worst_log < 0.9);
  assert_true(plr__exp(710.0) == INFINITY && plr__exp(-746.0) == 0.0 && plr__exp(0.0) == 1.0);
  assert_true(plr__exp(INFINITY) == INFINITY && plr__exp(-INFINITY) == 0.0);
  assert_true(plr__ln(1.0) == 0.0 && plr__ln(0.0) == -INFINITY && isnan(plr__ln(-1.0)));
  assert_true(plr__ln(INFINITY) == INFINITY && isnan(plr__ln(NAN)) && isnan(plr__exp(NAN)));
}

static void pow_is_accurate(void **state) {
  (void)state;
  need_long_double();
  double worst = 0.0;
  for (uint32_t i = 0; i < 200000; i++) {
    double x = i % 2 ? ldexp(random_double(i, 3), (int)(i % 200) - 100) : 1e4 * random_double(i, 3);
    double limit = 1400.0 / (fabs(log(x)) + 1e-3);
    double y = i % 4 == 0 ? -random_double(i, 4) : (random_double(i, 4) - 0.5) * limit;
    long double exact = powl((long double)x, (long double)y);
    if (!(exact < (long double)DBL_MAX)) continue;
    double u = ulp64(plr__pow(x, y), exact);
    if (u > worst) worst = u;
  }
  print_message("pow: %.3f ulp\n", worst);
  assert_true(worst < 1.3);
  assert_true(plr__pow(2.0, 10.0) == 1024.0 && plr__pow(3.0, 0.0) == 1.0);
  assert_true(plr__pow(10.0, 400.0) == INFINITY && plr__pow(10.0, -400.0) == 0.0);
  assert_true(isnan(plr__pow(0.0, 1.0)) && isnan(plr__pow(-1.0, 1.0)) && isnan(plr__pow(2.0, NAN)));
}

static void sincos_is_accurate(void **state) {
  (void)state;
  need_long_double();
  static const double range[] = {1.0, 7.0, 1e3, 1e6, 2147483648.0};
  const double half_pi = 0x1.921fb54442d18p+0;
  double worst = 0.0, s, c;
  for (uint32_t i = 0; i < 500000; i++) {
    double x = (2.0 * random_double(i, 5) - 1.0) * range[i % 5];
    if (i % 7 == 0) x = rint(x / half_pi) * half_pi; /* near a zero of one of them */
    if (!(fabs(x) <= 2147483648.0)) continue;
    plr__sincos(x, &s, &c);
    double u = fmax(ulp64(s, sinl((long double)x)), ulp64(c, cosl((long double)x)));
    if (u > worst) worst = u;
  }
  print_message("sincos: %.3f ulp\n", worst);
  assert_true(worst < 0.9);
  plr__sincos(0.0, &s, &c);
  assert_true(s == 0.0 && c == 1.0);
  plr__sincos(INFINITY, &s, &c);
  assert_true(isnan(s) && isnan(c));
  plr__sincos(2147483649.0, &s, &c);
  assert_true(isnan(s) && isnan(c));
}

/* exp in lanes, seen through swiglu: gate x, up 1. All of the range, on every instruction set. */
static void lanes_equal_scalar(void **state) {
  (void)state;
  plr_context *ctx[CONTEXTS];
  contexts_create(ctx);
  enum { N = 4096 };
  float *gate = floats(N), *up = floats(N), *h = floats(N), *want = floats(N);
  for (uint32_t block = 0; block < 64; block++) {
    for (uint32_t i = 0; i < N; i++) {
      uint32_t bits = (block * N + i) * 16381u;
      float x = f32_of(bits & 0xFF800000u) == 0.0f ? 0.0f : f32_of(bits);
      gate[i] = isfinite(x) ? x : 1.0f;
      up[i] = 1.0f;
    }
    plr_swiglu_args a = {.gate = gate, .up = up, .h = want, .rows = 1, .f = N, .ldg = N};
    assert_int_equal(plr__ref_swiglu(&a), PLR_OK);
    a.h = h;
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      assert_int_equal(plr__cpu_swiglu(ctx[c], &a), PLR_OK);
      assert_same_bits(h, want, N, "swiglu over the whole range");
    }
  }
  free(gate), free(up), free(h), free(want);
  contexts_destroy(ctx);
}

/* Moments of the normal numbers, and that lanes give the scalar's bits. */
static void normals_are_normal(void **state) {
  (void)state;
  plr_context *ctx[CONTEXTS];
  contexts_create(ctx);
  enum { ROWS = 37, COLS = 1003 };
  float *y = unset_floats(ROWS * COLS), *want = floats(ROWS * COLS);
  plr_gaussian_args a = {want, ROWS, COLS, 5, UINT64_C(0x123456789abcdef0), 7, 0.25f};
  assert_int_equal(plr__ref_gaussian(&a), PLR_OK);
  a.y = y;
  for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
    memset(y, 0xff, sizeof(float) * ROWS * COLS);
    assert_int_equal(plr__cpu_gaussian(ctx[c], &a), PLR_OK);
    assert_same_bits(y, want, ROWS * COLS, "gaussian");
  }
  a.first_row = 6, a.rows = ROWS - 1;
  assert_int_equal(plr__cpu_gaussian(ctx[1], &a), PLR_OK);
  assert_same_bits(y, want + COLS, (ROWS - 1) * COLS, "gaussian from a later row");
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, n = ROWS * COLS, neighbour = 0;
  for (int i = 0; i < ROWS * COLS; i++) {
    double z = 4.0 * (double)want[i];
    m1 += z, m2 += z * z, m3 += z * z * z, m4 += z * z * z * z;
    if (i) neighbour += z * 4.0 * (double)want[i - 1];
  }
  assert_true(fabs(m1 / n) < 0.02 && fabs(m2 / n - 1.0) < 0.03);
  assert_true(fabs(m3 / n) < 0.06 && fabs(m4 / n - 3.0) < 0.2 && fabs(neighbour / n) < 0.02);
  a.cols = INT64_C(0x400000000);
  assert_int_equal(plr__cpu_gaussian(ctx[0], &a), PLR_ERR_LIMIT);
  a.cols = 1, a.first_row = UINT32_MAX;
  assert_int_equal(plr__cpu_gaussian(ctx[0], &a), PLR_ERR_LIMIT);
  free(y), free(want);
  contexts_destroy(ctx);
}

static void bf16_rounds_to_nearest_even(void **state) {
  (void)state;
  plr_context *ctx[CONTEXTS];
  contexts_create(ctx);
  static const uint32_t in[] = {0x3F800000, 0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF,
                                0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFC12345,
                                0x00000001, 0x00008000, 0x00008001, 0x80018000, 0x80000000};
  static const uint16_t out[] = {0x3F80, 0x3F80, 0x3F82, 0x3F81, 0x3F80, 0x7F80, 0x7F80, 0xFF80,
                                 0x7FC0, 0xFFC1, 0x0000, 0x0000, 0x0001, 0x8002, 0x8000};
  enum { N = sizeof out / sizeof out[0] };
  float x[N], back[N];
  uint16_t y[N];
  memcpy(x, in, sizeof in);
  for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
    plr_bf16_args a = {.f32 = back, .bf16 = y, .from_f32 = x, .from_bf16 = y, .n = N};
    assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_BF16_PACK, &a), PLR_OK);
    assert_memory_equal(y, out, sizeof out);
    assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_BF16_UNPACK, &a), PLR_OK);
    for (int i = 0; i < N; i++) {
      uint32_t b;
      memcpy(&b, back + i, 4);
      assert_int_equal(b, (uint32_t)out[i] << 16);
    }
  }
  contexts_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(expf_is_accurate),
      cmocka_unit_test(logf_is_accurate),
      cmocka_unit_test(tailf_is_accurate),
      cmocka_unit_test(double_exp_and_log_are_accurate),
      cmocka_unit_test(pow_is_accurate),
      cmocka_unit_test(sincos_is_accurate),
      cmocka_unit_test(lanes_equal_scalar),
      cmocka_unit_test(normals_are_normal),
      cmocka_unit_test(bf16_rounds_to_nearest_even),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
