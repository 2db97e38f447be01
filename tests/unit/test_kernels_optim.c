/* Optimizers: each instruction set and thread count against the naive reference, bit for bit; each against its formula
 * in float64 over twenty steps; what Muon's steps make of singular values. */
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

/* (rows, cols): tails of every kind, wide, tall, and enough work for three threads. */
static const int64_t shapes[][2] = {{1, 1},  {1, 40},   {40, 1},  {3, 5},     {5, 17},
                                    {31, 7}, {64, 160}, {96, 33}, {129, 769}, {193, 194}};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static void adamw_equals_reference(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++) {
    int64_t n = shapes[s][0] * shapes[s][1];
    float *g = random_floats(n, 1, 1.0f), *w0 = random_floats(n, 2, 1.0f);
    float *m0 = random_floats(n, 3, 0.1f), *v0 = random_floats(n, 4, 0.1f);
    for (int64_t i = 0; i < n; i++) v0[i] = fabsf(v0[i]);
    float *w = copy_floats(w0, n), *m = copy_floats(m0, n), *v = copy_floats(v0, n);
    plr_adamw_args a = {w, m, v, g, n, 3e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.271f, 0.142f, 0.5f};
    assert_int_equal(plr__ref_adamw(&a), PLR_OK);
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      plr_adamw_args b = a;
      b.w = copy_floats(w0, n), b.m = copy_floats(m0, n), b.v = copy_floats(v0, n);
      assert_int_equal(plr__cpu_adamw(ctx[c], &b), PLR_OK);
      assert_same_bits(b.w, w, n, "weights");
      assert_same_bits(b.m, m, n, "first moment");
      assert_same_bits(b.v, v, n, "second moment");
      free(b.w), free(b.m), free(b.v);
    }
    free(g), free(w0), free(m0), free(v0), free(w), free(m), free(v);
  }
}

static plr_optimizer_args arguments(int64_t rows, int64_t cols) {
  plr_optimizer_args a = {.rows = rows, .cols = cols, .lr = 3e-3f, .beta1 = 0.9f, .beta2 = 0.95f};
  a.eps = 1e-7f, a.weight_decay = 0.1f, a.grad_scale = 0.5f, a.mu_now = 0.45f, a.mu_next = 0.47f;
  a.correction1 = 0.271f, a.correction1_next = 0.344f, a.correction2 = 0.142f;
  return a;
}

static const plr_op_id ops[] = {PLR_OP_NADAM, PLR_OP_SGDM, PLR_OP_ADAMW_ROW, PLR_OP_ADAMW_ROW,
                                PLR_OP_MUON};

static void others_equal_reference(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++)
    for (int o = 0; o < 5; o++) {
      int64_t n = shapes[s][0] * shapes[s][1], small = PLR_MIN(shapes[s][0], shapes[s][1]);
      if (ops[o] == PLR_OP_MUON && n > 50000) continue; /* the reference is cubic */
      float *g = random_floats(n, 1, 1.0f), *w0 = random_floats(n, 2, 1.0f);
      float *m0 = random_floats(n, 3, 0.1f), *v0 = random_floats(n, 4, 0.1f);
      for (int64_t i = 0; i < n; i++) v0[i] = fabsf(v0[i]);
      plr_optimizer_args want = arguments(shapes[s][0], shapes[s][1]);
      want.g = g, want.along = o == 3;
      want.w = copy_floats(w0, n), want.m = copy_floats(m0, n), want.v = copy_floats(v0, n);
      want.work = floats(2 * n + 2 * small * small);
      assert_int_equal(plr__reference_run(ops[o], &want), PLR_OK);
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        plr_optimizer_args got = want;
        got.w = copy_floats(w0, n), got.m = copy_floats(m0, n), got.v = copy_floats(v0, n);
        got.work = allocate(plr__cpu_workspace(ctx[c], ops[o], &got));
        assert_int_equal(plr__cpu_run(ctx[c], ops[o], &got), PLR_OK);
        assert_same_bits(got.w, want.w, n, "weights");
        assert_same_bits(got.m, want.m, n, "first moment");
        assert_same_bits(got.v, want.v, n, "second moment");
        free(got.w), free(got.m), free(got.v), free(got.work);
      }
      free(g), free(w0), free(m0), free(v0);
      free(want.w), free(want.m), free(want.v), free(want.work);
    }
}

/* ---- AdamW against its formula ----------------------------------------------------------------- */

static void adamw_formula(void **state) {
  (void)state;
  enum { N = 50, STEPS = 20 };
  float w[N], m[N] = {0}, v[N] = {0}, g[N];
  double dw[N], dm[N] = {0}, dv[N] = {0};
  fill_random(w, N, 1, 1.0f);
  for (int i = 0; i < N; i++) dw[i] = (double)w[i];
  double lr = (double)1e-2f, b1 = (double)0.9f, b2 = (double)0.99f, decay = (double)0.1f;
  for (int t = 1; t <= STEPS; t++) {
    fill_random(g, N, (uint32_t)(10 + t), 1.0f);
    double c1 = 1.0 - pow(b1, t), c2 = 1.0 - pow(b2, t);
    plr_adamw_args a = {w, m, v, g, N, 1e-2f, 0.9f, 0.99f, 1e-8f, 0.1f, (float)c1, (float)c2, 0.5f};
    assert_int_equal(plr__cpu_run(ctx[1], PLR_OP_ADAMW, &a), PLR_OK);
    for (int i = 0; i < N; i++) {
      double x = 0.5 * (double)g[i];
      dm[i] = b1 * dm[i] + (1.0 - b1) * x;
      dv[i] = b2 * dv[i] + (1.0 - b2) * x * x;
      dw[i] -= lr * (dm[i] / c1 / (sqrt(dv[i] / c2) + 1e-8) + decay * dw[i]);
    }
  }
  for (int i = 0; i < N; i++) assert_true(fabs((double)w[i] - dw[i]) < 2e-6);
}

/* NAdam as torch.optim.NAdam defines it (Dozat 2016), SGD with momentum, AdamW with a moment a row: R x C weights. */
static void formulas(void **state) {
  (void)state;
  enum { R = 5, C = 9, N = R * C, STEPS = 20 };
  const double lr = (double)3e-3f, b1 = (double)0.9f, b2 = (double)0.95f, decay = (double)0.1f;
  for (int o = 0; o < 4; o++) {
    float w[N], m[N] = {0}, v[N] = {0}, g[N];
    double dw[N], dm[N] = {0}, dv[N] = {0}, product = 1.0;
    fill_random(w, N, 1, 1.0f);
    for (int i = 0; i < N; i++) dw[i] = (double)w[i];
    for (int t = 1; t <= STEPS; t++) {
      fill_random(g, N, (uint32_t)(10 + t), 1.0f);
      double mu = b1 * (1.0 - 0.5 * pow(0.96, t * 0.004));
      double next = b1 * (1.0 - 0.5 * pow(0.96, (t + 1) * 0.004)), c2 = 1.0 - pow(b2, t);
      product *= mu;
      plr_optimizer_args a = arguments(R, C);
      a.w = w, a.m = m, a.v = v, a.g = g, a.along = o == 3;
      a.mu_now = (float)mu, a.mu_next = (float)next, a.correction2 = (float)c2;
      a.correction1 = (float)(o == 0 ? 1.0 - product : 1.0 - pow(b1, t));
      a.correction1_next = (float)(1.0 - product * next);
      assert_int_equal(plr__cpu_run(ctx[1], ops[o], &a), PLR_OK);
      double mean[N];
      for (int i = 0; i < N; i++) {
        mean[i] = 0.0;
        for (int j = 0; j < N; j++)
          if (o == 3 ? j % C == i % C : j / C == i / C)
            mean[i] += 0.25 * (double)g[j] * (double)g[j] / (o == 3 ? R : C);
      }
      for (int i = 0; i < N; i++) {
        double x = 0.5 * (double)g[i], u;
        dm[i] = b1 * dm[i] + (o == 1 ? 1.0 : 1.0 - b1) * x;
        dv[i] = b2 * dv[i] + (1.0 - b2) * (o >= 2 ? mean[i] : x * x);
        u = o == 0 ? next * dm[i] / (1.0 - product * next) + (1.0 - mu) * x / (1.0 - product)
                   : dm[i];
        if (o >= 2) u /= 1.0 - pow(b1, t);
        if (o != 1) u /= sqrt(dv[i] / c2) + 1e-7;
        dw[i] -= lr * (u + decay * dw[i]);
      }
    }
    for (int i = 0; i < N; i++) assert_true(fabs((double)w[i] - dw[i]) < 3e-6);
  }
}

/* The step of one Muon update, on a matrix that is U diag(s) V' with known U and V: the same directions, singular
 * values near 1 (0.7 to 1.3, as the paper has it), on wide and tall matrices alike. */
static void muon_orthogonalises(void **state) {
  (void)state;
  enum { SMALL = 6, LARGE = 20, N = SMALL * LARGE };
  double scratch[LARGE * SMALL];
  float u[SMALL * SMALL], v[LARGE * SMALL];
  assert_int_equal(plr__basis(1, 0, SMALL, SMALL, scratch, u), PLR_OK);
  assert_int_equal(plr__basis(2, 0, LARGE, SMALL, scratch, v), PLR_OK);
  static const float values[SMALL] = {9.0f, 5.0f, 3.0f, 2.0f, 1.0f, 0.5f};
  for (int tall = 0; tall < 2; tall++) {
    float g[N] = {0}, w[N] = {0}, m[N] = {0};
    for (int i = 0; i < SMALL; i++)
      for (int j = 0; j < LARGE; j++)
        for (int k = 0; k < SMALL; k++)
          g[tall ? j * SMALL + i : i * LARGE + j] +=
              u[i * SMALL + k] * values[k] * v[j * SMALL + k];
    plr_optimizer_args a = arguments(tall ? LARGE : SMALL, tall ? SMALL : LARGE);
    a.w = w, a.m = m, a.g = g, a.lr = 1.0f, a.weight_decay = 0.0f, a.grad_scale = 1.0f;
    a.work = allocate(plr__cpu_workspace(ctx[1], PLR_OP_MUON, &a));
    assert_int_equal(plr__cpu_run(ctx[1], PLR_OP_MUON, &a), PLR_OK);
    double size = tall ? sqrt((double)LARGE / SMALL) : 1.0;
    for (int k = 0; k < SMALL; k++)
      for (int l = 0; l < SMALL; l++) { /* u_k' (-w) v_l */
        double sum = 0.0;
        for (int i = 0; i < SMALL; i++)
          for (int j = 0; j < LARGE; j++)
            sum -= (double)(u[i * SMALL + k] * v[j * SMALL + l]) *
                   (double)w[tall ? j * SMALL + i : i * LARGE + j] / size;
        if (k == l) assert_true(sum > 0.6 && sum < 1.3);
        if (k != l) assert_true(fabs(sum) < 1e-4);
      }
    memset(g, 0, sizeof g), memset(m, 0, sizeof m);
    memset(w, 0, sizeof w);
    assert_int_equal(plr__cpu_run(ctx[1], PLR_OP_MUON, &a), PLR_OK); /* no gradient, no step */
    for (int i = 0; i < N; i++) assert_true(w[i] == 0.0f);
    free(a.work);
  }
}

static void bad_sizes_are_refused(void **state) {
  (void)state;
  float x[4] = {0};
  for (int o = 0; o < 5; o++) {
    plr_optimizer_args a = {.w = x, .m = x, .v = x, .g = x, .rows = -1, .cols = 1};
    assert_int_equal(plr__cpu_run(ctx[1], ops[o], &a), PLR_ERR_INVALID_ARGUMENT);
    a.rows = INT64_MAX / 2, a.cols = 8;
    assert_int_equal(plr__cpu_run(ctx[1], ops[o], &a), PLR_ERR_LIMIT);
    a.rows = 0;
    assert_int_equal(plr__cpu_run(ctx[1], ops[o], &a), PLR_OK);
  }
  plr_optimizer_args a = {.w = x, .m = x, .v = x, .g = x, .rows = 2, .cols = 2};
  assert_int_equal(plr__cpu_run(ctx[1], PLR_OP_MUON, &a), PLR_ERR_INVALID_ARGUMENT); /* no work */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(adamw_equals_reference), cmocka_unit_test(others_equal_reference),
      cmocka_unit_test(adamw_formula),          cmocka_unit_test(formulas),
      cmocka_unit_test(muon_orthogonalises),    cmocka_unit_test(bad_sizes_are_refused),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
