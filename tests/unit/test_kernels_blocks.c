/* Bias, product, scale, activations and LayerNorm: the kernels on each instruction set and thread count against the
 * naive reference, bit for bit, at odd shapes and in place; activations over the whole range of fp32. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "kernels_support.h"

/* (rows, width): tails of every kind, narrow rows as q/k norms have them, and enough work for three threads. */
static const int64_t shapes[][2] = {{1, 1},  {3, 5},   {2, 16},   {5, 17},  {7, 31},    {4, 64},
                                    {9, 80}, {3, 130}, {1, 1000}, {33, 96}, {129, 769}, {900, 64}};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

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

static void products_and_bias(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++) {
    int64_t rows = shapes[s][0], d = shapes[s][1], n = rows * d;
    float *x = random_floats(n, 1, 2.0f), *z = random_floats(n, 2, 2.0f), *y = floats(n);
    float *want = floats(n), *bias = random_floats(d, 3, 1.0f), *start = random_floats(d, 4, 1.0f);
    float *sum_want = copy_floats(start, d);
    plr_bias_args b = {NULL, NULL, NULL, x, sum_want, rows, d};
    assert_int_equal(plr__ref_bias_bwd(&b), PLR_OK);
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      plr_add_args mul = {x, z, want, n};
      assert_int_equal(plr__ref_mul(&mul), PLR_OK);
      memcpy(y, x, (size_t)n * 4);
      mul.a = mul.y = y; /* in place */
      assert_int_equal(plr__cpu_mul(ctx[c], &mul), PLR_OK);
      assert_same_bits(y, want, n, "mul");

      plr_scale_args scale = {x, want, n, 0.37f};
      assert_int_equal(plr__ref_scale(&scale), PLR_OK);
      memcpy(y, x, (size_t)n * 4);
      scale.x = scale.y = y;
      assert_int_equal(plr__cpu_scale(ctx[c], &scale), PLR_OK);
      assert_same_bits(y, want, n, "scale");

      plr_bias_args a = {x, bias, want, NULL, NULL, rows, d};
      assert_int_equal(plr__ref_bias(&a), PLR_OK);
      memcpy(y, x, (size_t)n * 4);
      a.x = a.y = y;
      assert_int_equal(plr__cpu_bias(ctx[c], &a), PLR_OK);
      assert_same_bits(y, want, n, "bias");

      float *sum = copy_floats(start, d);
      b.dbias = sum;
      assert_int_equal(plr__cpu_bias_bwd(ctx[c], &b), PLR_OK);
      assert_same_bits(sum, sum_want, d, "bias_bwd");
      free(sum);
    }
    free(x), free(z), free(y), free(want), free(bias), free(start), free(sum_want);
  }
}

static const uint32_t kinds[] = {PLR_ACT_SILU, PLR_ACT_GELU, PLR_ACT_GELU_TANH, PLR_ACT_RELU2};

static void activations(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++)
    for (int k = 0; k < 4; k++) {
      int64_t n = shapes[s][0] * shapes[s][1];
      float *x = random_floats(n, 1, 9.0f), *dy = random_floats(n, 2, 1.0f), *got = floats(n);
      float *y_want = floats(n), *dx_want = floats(n);
      plr_act_args a = {x, y_want, dy, dx_want, n, kinds[k]};
      assert_int_equal(plr__ref_act(&a), PLR_OK);
      assert_int_equal(plr__ref_act_bwd(&a), PLR_OK);
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        plr_act_args b = a;
        memcpy(got, x, (size_t)n * 4);
        b.x = b.y = got;
        assert_int_equal(plr__cpu_act(ctx[c], &b), PLR_OK);
        assert_same_bits(got, y_want, n, "act");
        memcpy(got, c % 2 ? x : dy, (size_t)n * 4); /* over the input or over the gradient */
        b = a, b.dx = got;
        if (c % 2)
          b.x = got;
        else
          b.dy = got;
        assert_int_equal(plr__cpu_act_bwd(ctx[c], &b), PLR_OK);
        assert_same_bits(got, dx_want, n, "act_bwd");
      }
      free(x), free(dy), free(got), free(y_want), free(dx_want);
    }
}

/* Every exponent and both signs; from denormals to numbers whose square overflows. */
static void activations_over_the_whole_range(void **state) {
  (void)state;
  enum { N = 4096 };
  float *x = floats(N), *dy = floats(N), *y = floats(N), *want = floats(N);
  for (int i = 0; i < N; i++) dy[i] = 1.0f;
  for (uint32_t block = 0; block < 32; block++)
    for (int k = 0; k < 4; k++) {
      for (uint32_t i = 0; i < N; i++) {
        uint32_t bits = (block * N + i) * 32749u;
        memcpy(x + i, &bits, 4);
        if (!isfinite(x[i])) x[i] = 1.0f;
      }
      plr_act_args a = {x, want, dy, want, N, kinds[k]};
      for (int backward = 0; backward < 2; backward++) {
        plr_op_id op = backward ? PLR_OP_ACT_BWD : PLR_OP_ACT;
        a.y = a.dx = want;
        assert_int_equal(plr__reference_run(op, &a), PLR_OK);
        for (int i = 0; i < N; i++)
          assert_true(!isnan(want[i]) || (backward && fabsf(x[i]) > 1e18f));
        a.y = a.dx = y;
        for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
          assert_int_equal(plr__cpu_run(ctx[c], op, &a), PLR_OK);
          for (int i = 0; i < N; i++)
            if (!isnan(want[i])) assert_same_bits(y + i, want + i, 1, "act over the whole range");
        }
      }
    }
  free(x), free(dy), free(y), free(want);
}

/* Modes: bit 0 gain, bit 1 bias, bit 2 accumulating dx. */
static void layernorm_mode(int64_t rows, int64_t d, int mode) {
  int64_t n = rows * d;
  float *x = random_floats(n, 1, 2.0f), *dy = random_floats(n, 2, 1.0f);
  float *gain = random_floats(d, 3, 1.0f), *bias = random_floats(d, 4, 1.0f);
  float *start = mode & 4 ? random_floats(n, 5, 1.0f) : copy_floats(dy, n);
  for (int64_t i = 0; i < n; i++) x[i] += 3.0f; /* a mean that is far from zero */
  float *y = floats(n), *mean = floats(rows), *inv = floats(rows);
  float *y_want = floats(n), *mean_want = floats(rows), *inv_want = floats(rows);
  float *dx_want = copy_floats(start, n), *dgain_want = copy_floats(gain, d);
  float *dbias_want = copy_floats(bias, d);
  plr_layernorm_args a = {.x = x, .y = y_want, .mean = mean_want, .inv_std = inv_want};
  a.gain = mode & 1 ? gain : NULL, a.bias = mode & 2 ? bias : NULL;
  a.dx = dx_want, a.rows = rows, a.d = d, a.eps = 1e-5f, a.accumulate_dx = mode & 4 ? 1 : 0;
  a.dy = mode & 4 ? dy : dx_want; /* without accumulation dx overwrites dy */
  a.dgain = mode & 1 ? dgain_want : NULL, a.dbias = mode & 2 ? dbias_want : NULL;
  assert_int_equal(plr__ref_layernorm(&a), PLR_OK);
  assert_int_equal(plr__ref_layernorm_bwd(&a), PLR_OK);
  for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
    float *dx = copy_floats(start, n), *dgain = copy_floats(gain, d), *dbias = copy_floats(bias, d);
    a.y = y, a.mean = mean, a.inv_std = inv, a.dx = dx, a.dy = mode & 4 ? dy : dx;
    a.dgain = mode & 1 ? dgain : NULL, a.dbias = mode & 2 ? dbias : NULL;
    assert_int_equal(plr__cpu_layernorm(ctx[c], &a), PLR_OK);
    assert_same_bits(y, y_want, n, "layernorm");
    assert_same_bits(mean, mean_want, rows, "mean");
    assert_same_bits(inv, inv_want, rows, "inv_std");
    assert_int_equal(plr__cpu_layernorm_bwd(ctx[c], &a), PLR_OK);
    assert_same_bits(dgain, dgain_want, d, "dgain");
    assert_same_bits(dbias, dbias_want, d, "dbias");
    assert_same_bits(dx, dx_want, n, "dx");
    free(dx), free(dgain), free(dbias);
  }
  free(x), free(dy), free(gain), free(bias), free(start), free(y), free(mean), free(inv);
  free(y_want), free(mean_want), free(inv_want), free(dx_want), free(dgain_want), free(dbias_want);
}

static void layernorms(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++)
    for (int mode = 0; mode < 8; mode++) layernorm_mode(shapes[s][0], shapes[s][1], mode);
}

static void bad_sizes_are_refused(void **state) {
  (void)state;
  float x[64] = {0};
  plr_act_args a = {x, x, x, x, 4, 0};
  assert_int_equal(plr__cpu_act(ctx[1], &a), PLR_ERR_INVALID_ARGUMENT);
  a.kind = PLR_ACT_RELU2 + 1;
  assert_int_equal(plr__cpu_act_bwd(ctx[1], &a), PLR_ERR_INVALID_ARGUMENT);
  a.kind = PLR_ACT_SILU, a.n = -1;
  assert_int_equal(plr__cpu_act(ctx[1], &a), PLR_ERR_INVALID_ARGUMENT);
  plr_layernorm_args n = {.x = x, .y = x, .mean = x, .inv_std = x, .rows = 1, .d = 0};
  assert_int_equal(plr__cpu_layernorm(ctx[1], &n), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__cpu_layernorm_bwd(ctx[1], &n), PLR_ERR_INVALID_ARGUMENT);
  plr_bias_args b = {x, x, x, x, x, -1, 2};
  assert_int_equal(plr__cpu_bias(ctx[1], &b), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__cpu_bias_bwd(ctx[1], &b), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__cpu_scale(ctx[1], &(plr_scale_args){x, x, -1, 1}),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__cpu_mul(ctx[1], &(plr_add_args){x, x, x, -1}), PLR_ERR_INVALID_ARGUMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products_and_bias),
      cmocka_unit_test(activations),
      cmocka_unit_test(activations_over_the_whole_range),
      cmocka_unit_test(layernorms),
      cmocka_unit_test(bad_sizes_are_refused),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
