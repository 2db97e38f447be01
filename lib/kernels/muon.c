/* Muon (Jordan et al. 2024): the momentum's update is replaced by a nearly orthogonal matrix of the same directions,
 * by Newton-Schulz steps on the smaller side. All of it is exact products and one element at a time, so a step's bits
 * are those of section 7 of EXACT.md. */
#include "kernels/vec_kernels.h"

#include <math.h>

#define MUON_STEPS 5
#define MUON_A     3.4445f
#define MUON_B     (-4.7750f)
#define MUON_C     2.0315f

/* Rows of a symmetric product at a time: enough for the product's tiles, few enough to leave out nearly half. */
#define MUON_ROWS 192

/* The parts of `work`. x and y are small x large. */
typedef struct muon_plan {
  int64_t small, large;
  float *x, *y, *gram, *square;
  void *product;
} muon_plan;

static int64_t round_up(int64_t floats) {
  return (floats + 15) / 16 * 16;
}

static muon_plan make_plan(const plr_optimizer_args *a) {
  muon_plan p;
  float *work = (float *)a->work;
  p.small = PLR_MIN(a->rows, a->cols);
  p.large = PLR_MAX(a->rows, a->cols);
  int64_t size = round_up(p.small * p.large), gram = round_up(p.small * p.small);
  p.x = work;
  p.y = p.x + size;
  p.gram = p.y + size;
  p.square = p.gram + gram;
  p.product = p.square + gram;
  return p;
}

size_t plr__cpu_muon_workspace(plr_context *ctx, const plr_optimizer_args *a) {
  if (plr__optimizer_sizes(a) != PLR_OK) return 0;
  int64_t small = PLR_MIN(a->rows, a->cols);
  int64_t floats = 2 * round_up(a->rows * a->cols) + 2 * round_up(small * small);
  return (size_t)floats * sizeof(float) + plr__cpu_matmul_workspace_limit(ctx);
}

typedef struct mirror_job {
  float *c;
  int64_t n;
} mirror_job;

/* Rows [first, last): what is right of the diagonal is what is below it. In blocks that stay in the cache. */
static void mirror_range(const void *args, int64_t first, int64_t last) {
  const mirror_job *job = (const mirror_job *)args;
  for (int64_t i0 = first; i0 < last; i0 += 16)
    for (int64_t j0 = i0; j0 < job->n; j0 += 16) {
      int64_t i1 = PLR_MIN(i0 + 16, last), j1 = PLR_MIN(j0 + 16, job->n);
      for (int64_t i = i0; i < i1; i++)
        for (int64_t j = PLR_MAX(j0, i + 1); j < j1; j++)
          job->c[i * job->n + j] = job->c[j * job->n + i];
    }
}

/* c = a a', a small x k. Element (j, i) is the chain of (i, j), so only what is left of the diagonal is computed, a
 * block of rows at a time. */
static plr_status gram(plr_context *ctx, const muon_plan *p, const float *a, float *c, int64_t k) {
  int64_t n = p->small;
  for (int64_t i = 0; i < n; i += MUON_ROWS) {
    int64_t rows = PLR_MIN(MUON_ROWS, n - i);
    plr_matmul_args m = {a + i * k, a, c + i * n, rows,          i + rows, k,
                         k,         k, n,         PLR_MATMUL_NT, 0,        p->product};
    PLR_TRY(plr__cpu_matmul(ctx, &m));
  }
  mirror_job job = {c, n};
  plr__partition(ctx, n, 16, n, mirror_range, &job);
  return PLR_OK;
}

typedef struct transpose_job {
  const float *x;
  float *y;
  int64_t rows, cols;
} transpose_job;

/* y (cols x rows) = the transpose of x (rows x cols): rows [first, last) of y, in blocks that stay in the cache. */
static void transpose_range(const void *args, int64_t first, int64_t last) {
  const transpose_job *a = (const transpose_job *)args;
  for (int64_t j0 = first; j0 < last; j0 += 16)
    for (int64_t i0 = 0; i0 < a->rows; i0 += 16) {
      int64_t j1 = PLR_MIN(j0 + 16, last), i1 = PLR_MIN(i0 + 16, a->rows);
      for (int64_t j = j0; j < j1; j++)
        for (int64_t i = i0; i < i1; i++) a->y[j * a->rows + i] = a->x[i * a->cols + j];
    }
}

static void transpose(plr_context *ctx, const float *x, float *y, int64_t rows, int64_t cols) {
  transpose_job job = {x, y, rows, cols};
  plr__partition(ctx, cols, 16, 2 * rows, transpose_range, &job);
}

/* x / (its norm + eps), into y; zero stays zero. */
static plr_status normalise(plr_context *ctx, const float *x, float *y, int64_t n, float eps) {
  double sum[2];
  plr_sumsq_args s = {x, sum, n};
  PLR_TRY(plr__cpu_sumsq(ctx, &s));
  double norm = sqrt(sum[0]);
  plr_scale_args scale = {x, y, n, norm > 0.0 ? (float)(1.0 / (norm + (double)eps)) : 0.0f};
  return plr__cpu_scale(ctx, &scale);
}

/* One step: x = (a + b G + c G G) x with G = x x'. The result is in p->y; the chain of B x continues from a x. */
static plr_status newton_schulz(plr_context *ctx, const muon_plan *p) {
  int64_t n = p->small, l = p->large, n2 = n * n, size = n * l;
  PLR_TRY(gram(ctx, p, p->x, p->gram, l));
  PLR_TRY(gram(ctx, p, p->gram, p->square, n)); /* G' is G */
  plr_muon_job blend = {NULL, p->square, p->gram, MUON_B, MUON_C};
  plr__partition(ctx, n2, 16, 2, plr__vec(ctx)->muon_blend, &blend);
  plr_scale_args scale = {p->x, p->y, size, MUON_A};
  PLR_TRY(plr__cpu_scale(ctx, &scale));
  plr_matmul_args m = {p->gram, p->x, p->y, n, l, n, n, l, l, PLR_MATMUL_NN, 1, p->product};
  return plr__cpu_matmul(ctx, &m);
}

static void swap(muon_plan *p) {
  float *x = p->x;
  p->x = p->y;
  p->y = x;
}

plr_status plr__cpu_muon(plr_context *ctx, const plr_optimizer_args *a) {
  PLR_TRY(plr__optimizer_sizes(a));
  if (a->rows == 0 || a->cols == 0) return PLR_OK;
  if (!a->work) return PLR_ERR_INVALID_ARGUMENT;
  muon_plan p = make_plan(a);
  int64_t size = a->rows * a->cols;
  plr_muon_job momentum = {a, p.x, NULL, 0.0f, 0.0f};
  plr__partition(ctx, size, 16, 3, plr__vec(ctx)->muon_momentum, &momentum);
  PLR_TRY(normalise(ctx, p.x, p.x, size, a->eps));
  int tall = a->rows > a->cols;
  if (tall) {
    transpose(ctx, p.x, p.y, a->rows, a->cols);
    swap(&p);
  }
  for (int i = 0; i < MUON_STEPS; i++) {
    PLR_TRY(newton_schulz(ctx, &p));
    swap(&p);
  }
  if (tall) {
    transpose(ctx, p.x, p.y, a->cols, a->rows);
    swap(&p);
  }
  float ratio = (float)a->rows / (float)a->cols;
  plr_muon_job update = {a, p.x, NULL, sqrtf(ratio > 1.0f ? ratio : 1.0f), 0.0f};
  plr__partition(ctx, size, 16, 3, plr__vec(ctx)->muon_update, &update);
  return PLR_OK;
}
