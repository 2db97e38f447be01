/* Each backward operation against central differences of the forward written in float64; each forward against its
 * float64 form. The loss is the sum of the outputs weighted by random numbers, which are the incoming gradient. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

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

/* ---- rmsnorm: inputs x (rows x d), then gain (d) ---------------------------------------------- */

typedef struct norm_shape {
  int64_t rows, d;
  double eps;
} norm_shape;

static void norm_forward(const double *x, const void *shape, double *y) {
  const norm_shape *s = (const norm_shape *)shape;
  const double *gain = x + s->rows * s->d;
  for (int64_t r = 0; r < s->rows; r++) {
    double sum = 0.0;
    for (int64_t i = 0; i < s->d; i++) sum += x[r * s->d + i] * x[r * s->d + i];
    double inv = 1.0 / sqrt(sum / (double)s->d + s->eps);
    for (int64_t i = 0; i < s->d; i++) y[r * s->d + i] = x[r * s->d + i] * inv * gain[i];
  }
}

static void rmsnorm_gradient(void **state) {
  (void)state;
  norm_shape s = {5, 37, (double)1e-3f};
  int64_t n = s.rows * s.d;
  float *x = random_floats(n + s.d, 1, 1.5f), *dy = random_floats(n, 2, 1.0f);
  float *y = floats(n), *inv = floats(s.rows), *gradient = floats(n + s.d);
  memset(gradient, 0, (size_t)(n + s.d) * 4);
  plr_rmsnorm_args a = {x, x + n, y, inv, dy, gradient, gradient + n, s.rows, s.d, 1e-3f, 0};
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_RMSNORM, &a), PLR_OK);
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_RMSNORM_BWD, &a), PLR_OK);
  check("rmsnorm", norm_forward, &s, x, n + s.d, y, dy, n, gradient);
  /* The residual branch: once more on top doubles dx. */
  float *once = copy_floats(gradient, n);
  a.accumulate_dx = 1, a.dgain = NULL;
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_RMSNORM_BWD, &a), PLR_OK);
  for (int64_t i = 0; i < n; i++) assert_true(fabsf(gradient[i] - 2.0f * once[i]) < 1e-6f);
  free(x), free(dy), free(y), free(inv), free(gradient), free(once);
}

/* ---- rope -------------------------------------------------------------------------------------- */

typedef struct rope_shape {
  int64_t rows, seq, heads, head_dim, first;
} rope_shape;

static void rope_forward(const double *x, const void *shape, double *y) {
  const rope_shape *s = (const rope_shape *)shape;
  int64_t half = s->head_dim / 2, width = s->heads * s->head_dim;
  for (int64_t r = 0; r < s->rows; r++)
    for (int64_t h = 0; h < s->heads; h++)
      for (int64_t i = 0; i < half; i++) {
        int64_t at = r * width + h * s->head_dim + i;
        double angle =
            (double)(s->first + r % s->seq) * pow(10000.0, -2.0 * (double)i / (double)s->head_dim);
        y[at] = x[at] * cos(angle) - x[at + half] * sin(angle);
        y[at + half] = x[at + half] * cos(angle) + x[at] * sin(angle);
      }
}

static void rope_gradient(void **state) {
  (void)state;
  rope_shape s = {6, 3, 2, 10, 1000};
  int64_t n = s.rows * s.heads * s.head_dim, table = s.seq * s.head_dim / 2;
  float *x = random_floats(n, 1, 1.0f), *dy = random_floats(n, 2, 1.0f);
  float *y = copy_floats(x, n), *gradient = copy_floats(dy, n);
  float *c = floats(table), *sn = floats(table);
  plr_rope_table_args t = {.cos = c,
                           .sin = sn,
                           .positions = s.seq,
                           .first_position = s.first,
                           .head_dim = s.head_dim,
                           .theta = 10000.0};
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_ROPE_TABLE, &t), PLR_OK);
  plr_rope_args a = {.x = y,
                     .cos = c,
                     .sin = sn,
                     .rows = s.rows,
                     .seq = s.seq,
                     .heads = s.heads,
                     .head_dim = s.head_dim,
                     .ldx = s.heads * s.head_dim,
                     .sign = 1.0f};
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_ROPE, &a), PLR_OK);
  a.x = gradient, a.sign = -1.0f;
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_ROPE, &a), PLR_OK);
  check("rope", rope_forward, &s, x, n, y, dy, n, gradient);
  free(x), free(dy), free(y), free(gradient), free(c), free(sn);
}

/* ---- attention: inputs are rows of [q | k | v] ------------------------------------------------- */

typedef struct attention_shape {
  int64_t batch, seq, heads, kv_heads, head_dim, window;
  double scale;
} attention_shape;

static void attention_forward(const double *x, const void *shape, double *y) {
  const attention_shape *s = (const attention_shape *)shape;
  int64_t hd = s->head_dim, width = s->heads * hd, kv = s->kv_heads * hd, ld = width + 2 * kv;
  for (int64_t b = 0; b < s->batch; b++)
    for (int64_t h = 0; h < s->heads; h++)
      for (int64_t t = 0; t < s->seq; t++) {
        const double *q = x + (b * s->seq + t) * ld + h * hd;
        const double *k = x + b * s->seq * ld + width + h / (s->heads / s->kv_heads) * hd;
        const double *v = k + kv;
        double *out = y + (b * s->seq + t) * width + h * hd, sum = 0.0;
        for (int64_t i = 0; i < hd; i++) out[i] = 0.0;
        for (int64_t j = s->window && t >= s->window ? t - s->window + 1 : 0; j <= t; j++) {
          double score = 0.0;
          for (int64_t i = 0; i < hd; i++) score += q[i] * k[j * ld + i];
          double e = exp(score * s->scale); /* small scores: no maximum needed in float64 */
          sum += e;
          for (int64_t i = 0; i < hd; i++) out[i] += e * v[j * ld + i];
        }
        for (int64_t i = 0; i < hd; i++) out[i] /= sum;
      }
}

static void attention_gradient_of(attention_shape s) {
  int64_t width = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim, ld = width + 2 * kv;
  int64_t rows = s.batch * s.seq, stats = s.batch * s.heads * s.seq;
  float *x = random_floats(rows * ld, 1, 1.0f), *gradient = unset_floats(rows * ld);
  float *out = floats(rows * width), *dout = random_floats(rows * width, 2, 1.0f);
  float *max = floats(stats), *sum = floats(stats);
  plr_attention_args a = {x,
                          x + width,
                          x + width + kv,
                          out,
                          max,
                          sum,
                          dout,
                          gradient,
                          NULL,
                          NULL,
                          s.batch,
                          s.seq,
                          s.heads,
                          s.kv_heads,
                          s.head_dim,
                          ld,
                          ld,
                          ld,
                          width,
                          (float)s.scale,
                          (uint32_t)s.window,
                          NULL};
  a.dk = gradient + width, a.dv = gradient + width + kv;
  size_t forward = plr__cpu_workspace(ctx, PLR_OP_ATTENTION, &a);
  size_t backward = plr__cpu_workspace(ctx, PLR_OP_ATTENTION_BWD, &a);
  a.work = allocate(PLR_MAX(forward, backward));
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_ATTENTION, &a), PLR_OK);
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_ATTENTION_BWD, &a), PLR_OK);
  check("attention", attention_forward, &s, x, rows * ld, out, dout, rows * width, gradient);
  free(x), free(gradient), free(out), free(dout), free(max), free(sum), free(a.work);
}

static void attention_gradient(void **state) {
  (void)state;
  static const attention_shape shapes[] = {{2, 5, 4, 2, 8, 0, 0.25},
                                           {1, 53, 1, 1, 6, 0, 0.5},
                                           {1, 18, 3, 1, 17, 0, 0.25},
                                           {2, 21, 2, 1, 8, 4, 0.25},
                                           {1, 61, 1, 1, 6, 23, 0.5}};
  for (int i = 0; i < 5; i++) attention_gradient_of(shapes[i]);
}

/* ---- swiglu: inputs are rows of [gate | up] ---------------------------------------------------- */

typedef struct swiglu_shape {
  int64_t rows, f;
} swiglu_shape;

static void swiglu_forward(const double *x, const void *shape, double *y) {
  const swiglu_shape *s = (const swiglu_shape *)shape;
  for (int64_t r = 0; r < s->rows; r++)
    for (int64_t i = 0; i < s->f; i++) {
      double gate = x[2 * r * s->f + i], up = x[2 * r * s->f + s->f + i];
      y[r * s->f + i] = gate / (1.0 + exp(-gate)) * up;
    }
}

static void swiglu_gradient(void **state) {
  (void)state;
  swiglu_shape s = {4, 21};
  int64_t n = 2 * s.rows * s.f;
  float *x = random_floats(n, 1, 4.0f), *h = floats(n / 2), *dh = random_floats(n / 2, 2, 1.0f);
  float *gradient = floats(n);
  plr_swiglu_args a = {x, x + s.f, h, dh, gradient, gradient + s.f, s.rows, s.f, 2 * s.f};
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_SWIGLU, &a), PLR_OK);
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_SWIGLU_BWD, &a), PLR_OK);
  check("swiglu", swiglu_forward, &s, x, n, h, dh, n / 2, gradient);
  free(x), free(h), free(dh), free(gradient);
}

/* ---- embedding: inputs are the table ----------------------------------------------------------- */

typedef struct embed_shape {
  int64_t rows, w;
  const int32_t *ids;
} embed_shape;

static void embed_forward(const double *x, const void *shape, double *y) {
  const embed_shape *s = (const embed_shape *)shape;
  for (int64_t r = 0; r < s->rows; r++)
    for (int64_t i = 0; i < s->w; i++) y[r * s->w + i] = x[s->ids[r] * s->w + i];
}

static void embed_gradient(void **state) {
  (void)state;
  static const int32_t ids[] = {2, 0, 2, 3, 2};
  embed_shape s = {5, 19, ids};
  float *table = random_floats(4 * s.w, 1, 1.0f), *dy = random_floats(5 * s.w, 2, 1.0f);
  float *y = floats(5 * s.w), *gradient = floats(4 * s.w);
  memset(gradient, 0, (size_t)(4 * s.w) * 4);
  plr_embed_args a = {table, ids, y, dy, gradient, 5, 4, s.w};
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_EMBED, &a), PLR_OK);
  assert_int_equal(plr__cpu_run(ctx, PLR_OP_EMBED_BWD, &a), PLR_OK);
  check("embed", embed_forward, &s, table, 4 * s.w, y, dy, 5 * s.w, gradient);
  free(table), free(dy), free(y), free(gradient);
}

/* ---- cross-entropy ----------------------------------------------------------------------------- */

typedef struct xent_shape {
  int64_t rows, vocab;
  double z_loss; /* in the loss that is differentiated; the reported one is without */
  const int32_t *labels;
} xent_shape;

static void xent_forward(const double *x, const void *shape, double *y) {
  const xent_shape *s = (const xent_shape *)shape;
  for (int64_t r = 0; r < s->rows; r++) {
    double sum = 0.0;
    y[r] = 0.0;
    if (s->labels[r] < 0) continue;
    for (int64_t i = 0; i < s->vocab; i++) sum += exp(x[r * s->vocab + i]);
    y[r] = log(sum) - x[r * s->vocab + s->labels[r]] + s->z_loss * log(sum) * log(sum);
  }
}

static void xent_gradient(void **state) {
  (void)state;
  static const int32_t labels[] = {3, -1, 40, 0};
  for (int z = 0; z < 2; z++) {
    xent_shape s = {4, 41, z ? (double)0.03f : 0.0, labels};
    int64_t n = s.rows * s.vocab;
    float *x = random_floats(n, 1, 3.0f), *gradient = copy_floats(x, n), loss[4];
    const float weight[] = {0.25f, 0.25f, 0.25f, 0.25f};
    plr_xent_args a = {gradient, labels, loss, s.rows, s.vocab, 0.25f, 1, (float)s.z_loss};
    assert_int_equal(plr__cpu_run(ctx, PLR_OP_XENT, &a), PLR_OK);
    check("xent", xent_forward, &s, x, n, z ? NULL : loss, weight, s.rows, gradient);
    free(x), free(gradient);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rmsnorm_gradient),   cmocka_unit_test(rope_gradient),
      cmocka_unit_test(attention_gradient), cmocka_unit_test(swiglu_gradient),
      cmocka_unit_test(embed_gradient),     cmocka_unit_test(xent_gradient),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
