/* Bias, activations and LayerNorm: outputs against float64, gradients against central differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels_gradient.h"

static plr_context *ctx;

static int setup(void **state) {
  (void)state;
  ctx = context_of(PLR_ISA_BEST, 2);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  plr_context_destroy(ctx);
  return 0;
}

/* ---- activations -------------------------------------------------------------------------------- */

typedef struct act_shape {
  int64_t n;
  uint32_t kind;
} act_shape;

static void act_forward(const double *x, const void *shape, double *y) {
  const act_shape *s = (const act_shape *)shape;
  for (int64_t i = 0; i < s->n; i++) {
    double v = x[i];
    if (s->kind == PLR_ACT_SILU) y[i] = v / (1.0 + exp(-v));
    if (s->kind == PLR_ACT_GELU) y[i] = 0.5 * v * (1.0 + erf(v / sqrt(2.0)));
    if (s->kind == PLR_ACT_GELU_TANH) {
      double u = sqrt(2.0 / acos(-1.0)) * (v + 0.044715 * v * v * v);
      y[i] = 0.5 * v * (1.0 + tanh(u));
    }
    if (s->kind == PLR_ACT_RELU2) y[i] = v > 0.0 ? v * v : 0.0;
  }
}

static void act_gradient(void **state) {
  (void)state;
  for (uint32_t kind = PLR_ACT_SILU; kind <= PLR_ACT_RELU2; kind++) {
    act_shape s = {203, kind};
    float *x = random_floats(s.n, 1, 6.0f), *dy = random_floats(s.n, 2, 1.0f);
    float *y = floats(s.n), *dx = floats(s.n);
    plr_act_args a = {x, y, dy, dx, s.n, kind};
    assert_int_equal(plr__cpu_run(ctx, PLR_OP_ACT, &a), PLR_OK);
    assert_int_equal(plr__cpu_run(ctx, PLR_OP_ACT_BWD, &a), PLR_OK);
    check("act", act_forward, &s, x, s.n, y, dy, s.n, dx);
    free(x), free(dy), free(y), free(dx);
  }
}

/* ---- layernorm: inputs x (rows x d), gain (d), bias (d) ----------------------------------------- */

typedef struct norm_shape {
  int64_t rows, d;
  double eps;
} norm_shape;

static void norm_forward(const double *x, const void *shape, double *y) {
  const norm_shape *s = (const norm_shape *)shape;
  const double *gain = x + s->rows * s->d, *bias = gain + s->d;
  for (int64_t r = 0; r < s->rows; r++) {
    const double *row = x + r * s->d;
    double mean = 0.0, variance = 0.0;
    for (int64_t i = 0; i < s->d; i++) mean += row[i] / (double)s->d;
    for (int64_t i = 0; i < s->d; i++) variance += (row[i] - mean) * (row[i] - mean) / (double)s->d;
    double inv = 1.0 / sqrt(variance + s->eps);
    for (int64_t i = 0; i < s->d; i++) y[r * s->d + i] = (row[i] - mean) * inv * gain[i] + bias[i];
  }
}

static void layernorm_gradient(void **state) {
  (void)state;
  norm_shape s = {5, 37, (double)1e-3f};
  int64_t n = s.rows * s.d;
  float *x = random_floats(n + 2 * s.d, 1, 1.5f), *dy = random_floats(n, 2, 1.0f);
  float *y = floats(n), mean[5], inv[5], *gradient = floats(n + 2 * s.d);
  memset(gradient, 0, (size_t)(n + 2 * s.d) * 4);
  plr_layernorm_args a = {.x = x, .gain = x + n, .bias = x + n + s.d, .y = y, .dy = dy};
  a.mean = mean, a.inv_std = inv, a.dx = gradient, a.dgain = gradient + n;
  a.dbias = gradient + n + s.d, a.rows = s.rows, a.d = s.d, a.eps = 1e-3f;
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_LAYERNORM, &a), PLR_OK);
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_LAYERNORM_BWD, &a), PLR_OK);
  check("layernorm", norm_forward, &s, x, n + 2 * s.d, y, dy, n, gradient);
  free(x), free(dy), free(y), free(gradient);
}

/* ---- bias: inputs x (rows x d), bias (d) -------------------------------------------------------- */

static void bias_forward(const double *x, const void *shape, double *y) {
  const norm_shape *s = (const norm_shape *)shape;
  for (int64_t i = 0; i < s->rows * s->d; i++) y[i] = x[i] + x[s->rows * s->d + i % s->d];
}

static void bias_gradient(void **state) {
  (void)state;
  norm_shape s = {6, 35, 0.0};
  int64_t n = s.rows * s.d;
  float *x = random_floats(n + s.d, 1, 1.0f), *dy = random_floats(n, 2, 1.0f), *y = floats(n);
  float *gradient = floats(n + s.d);
  memcpy(gradient, dy, (size_t)n * 4);
  memset(gradient + n, 0, (size_t)s.d * 4);
  plr_bias_args a = {x, x + n, y, dy, gradient + n, s.rows, s.d};
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_BIAS, &a), PLR_OK);
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_BIAS_BWD, &a), PLR_OK);
  check("bias", bias_forward, &s, x, n + s.d, y, dy, n, gradient);
  free(x), free(dy), free(y), free(gradient);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(act_gradient),
      cmocka_unit_test(layernorm_gradient),
      cmocka_unit_test(bias_gradient),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
