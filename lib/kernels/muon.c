/* Muon (Jordan et al. 2024): the momentum's update is replaced by a nearly orthogonal matrix of the same directions,
 * by Newton-Schulz steps on the smaller side. All of it is exact products and one element at a time, so a step's bits
 * are those of section 7 of EXACT.md. */
#include "kernels/vec_kernels.h"

#include <math.h>

#define MUON_STEPS 5
#define MUON_A     3.4445f
#define MUON_B     (-4.7750f)
#define MUON_C     2.0315f

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

/* c (m x n) = a op(b), or c += a op(b). */
static plr_status product(plr_context *ctx, const muon_plan *p, const float *a, const float *b,
                          float *c, int64_t n, int64_t k, uint32_t layout, uint32_t accumulate) {
  plr_matmul_args m = {a, b, c, p->small, n, k, k, n, n, layout, accumulate, p->product};
  if (layout == PLR_MATMUL_NT) m.ldb = k;
  return plr__cpu_matmul(ctx, &m);
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
  int64_t n = p->small, n2 = n * n, size = n * p->large;
  PLR_TRY(product(ctx, p, p->x, p->x, p->gram, n, p->large, PLR_MATMUL_NT, 0));
  PLR_TRY(product(ctx, p, p->gram, p->gram, p->square, n, n, PLR_MATMUL_NN, 0));
  plr_muon_job blend = {NULL, p->square, p->gram, MUON_B, MUON_C};
  plr__partition(ctx, n2, 16, 2, plr__vec(ctx)->muon_blend, &blend);
  plr_scale_args scale = {p->x, p->y, size, MUON_A};
  PLR_TRY(plr__cpu_scale(ctx, &scale));
  return product(ctx, p, p->gram, p->x, p->y, p->large, n, PLR_MATMUL_NN, 1);
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
