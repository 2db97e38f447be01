/* See transform.h. Products are those of the kernels (EXACT.md, section 4), so that every machine has the same
 * bits. */
#include "exchange/transform.h"

#include "exchange/hadamard.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

#define PI 0x1.921fb54442d18p+1

/* ---- matrices of the cosine transform ------------------------------------------------------------ */

/* Where the matrix of n points begins: n^2 values each, the smaller ones first. */
static size_t dct_place(uint32_t n) {
  return (size_t)(n - 1) * n * (2 * n - 1) / 6;
}

/* Row k, column i: sqrt(2 / n) cos(pi (2 i + 1) k / 2 n), the first row sqrt(1 / n). */
static void make_dct(float *m, uint32_t n) {
  for (uint32_t k = 0; k < n; k++)
    for (uint32_t i = 0; i < n; i++) {
      double s, c;
      const double turn = (double)((2 * i + 1) * k % (4 * n)) / (double)(2 * n);
      plr__sincos(PI * turn, &s, &c);
      m[(size_t)k * n + i] = (float)(sqrt((k ? 2.0 : 1.0) / (double)n) * c);
    }
}

/* The matrix of n points, made when it is first used. */
static const float *dct_of(plr__transform *t, uint32_t n) {
  float *m = t->dct + dct_place(n);
  if (!(t->dct_made >> (n - 1) & 1)) make_dct(m, n);
  t->dct_made |= UINT64_C(1) << (n - 1);
  return m;
}

/* ---- life ---------------------------------------------------------------------------------------- */

plr_status plr__transform_create(plr__transform *t, plr_context *ctx, uint32_t first, uint32_t last,
                                 uint32_t max_cols) {
  memset(t, 0, sizeof *t);
  t->ctx = ctx;
  t->ops = plr__model_ops_for(plr_context_isa(ctx));
  if (first <= PLR_TRANSFORM_HADAMARD && last >= PLR_TRANSFORM_HADAMARD) {
    t->signs = plr__alloc(ctx, max_cols * sizeof *t->signs);
    if (!t->signs) return PLR_ERR_NO_MEMORY;
  }
  if (last < PLR_TRANSFORM_DCT) return PLR_OK;
  t->dct = plr__alloc(ctx, dct_place(PLR_DCT_BLOCK + 1) * sizeof *t->dct);
  return t->dct ? PLR_OK : PLR_ERR_NO_MEMORY;
}

void plr__transform_release(plr__transform *t) {
  plr__free(t->ctx, t->signs);
  plr__free(t->ctx, t->dct);
  plr__free(t->ctx, t->basis);
}

uint32_t plr__transform_cols(const plr__transform *t, const plr_codec *c, uint32_t cols) {
  return c->transform == PLR_TRANSFORM_BASIS ? t->rank : cols;
}

static int finite_row(const float *x, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if ((plr__f32_bits(x[i]) & 0x7fffffffu) >= 0x7f800000u) return 0;
  return 1;
}

plr_status plr__transform_set_basis(plr__transform *t, const plr_tensor *basis, uint32_t max_cols,
                                    uint32_t generation, plr_error *err) {
  plr__view view;
  if (plr__view_open(&view, basis, max_cols, max_cols, 0) != PLR_OK || view.cols > view.rows)
    return plr__fail(err, PLR_ERR_SHAPE, "basis",
                     "it is no matrix of floats, at most %u x its rows", max_cols);
  float *copy = plr__alloc(t->ctx, (size_t)view.rows * view.cols * sizeof *copy);
  if (!copy) return plr__no_memory(err, "basis");
  for (uint32_t r = 0; r < view.rows; r++) {
    float *to = copy + (size_t)r * view.cols;
    const float *from = plr__view_row(&view, r, to);
    if (from != to) memcpy(to, from, view.cols * sizeof *to);
    if (finite_row(to, view.cols)) continue;
    plr__free(t->ctx, copy);
    return plr__fail_at(err, PLR_ERR_NON_FINITE, "basis", r, "row %u", r);
  }
  plr__free(t->ctx, t->basis);
  t->basis = copy;
  t->cols = view.rows, t->rank = view.cols;
  t->generation = generation;
  return PLR_OK;
}

/* ---- products ------------------------------------------------------------------------------------ */

/* c (m x n) = a b, with the layouts of PLR_MATMUL_*; a and c have rows of `lda` and `ldc` values. What it works in is
 * lent by the context. Errors: NO_MEMORY. */
static plr_status product(const plr__transform *t, uint32_t layout, const float *a, int64_t lda,
                          const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m, int64_t n,
                          int64_t k) {
  plr_matmul_args args = {.a = a,
                          .b = b,
                          .c = c,
                          .m = m,
                          .n = n,
                          .k = k,
                          .lda = lda,
                          .ldb = ldb,
                          .ldc = ldc,
                          .layout = layout};
  const size_t size = plr__cpu_workspace(t->ctx, PLR_OP_MATMUL, &args);
  if (size) {
    args.work = plr__scratch_take(t->ctx, size);
    if (!args.work) return PLR_ERR_NO_MEMORY;
  }
  const plr_status st = plr__cpu_run(t->ctx, PLR_OP_MATMUL, &args);
  plr__scratch_give(t->ctx, args.work);
  return st;
}

/* Every run of up to 64 columns: other = x D^T, or back x D. */
static plr_status dct_columns(plr__transform *t, uint32_t back, const float *x, uint32_t rows,
                              uint32_t cols, float *other) {
  for (uint32_t c = 0; c < cols; c += PLR_DCT_BLOCK) {
    const uint32_t n = PLR_MIN(PLR_DCT_BLOCK, cols - c);
    PLR_TRY(product(t, back ? PLR_MATMUL_NN : PLR_MATMUL_NT, x + c, cols, dct_of(t, n), n,
                    other + c, cols, rows, n, n));
  }
  return PLR_OK;
}

/* Every run of up to 64 rows: other = D x, or back D^T x. */
static plr_status dct_rows(plr__transform *t, uint32_t back, const float *x, uint32_t rows,
                           uint32_t cols, float *other) {
  for (uint32_t r = 0; r < rows; r += PLR_DCT_BLOCK) {
    const uint32_t m = PLR_MIN(PLR_DCT_BLOCK, rows - r);
    const size_t at = (size_t)r * cols;
    PLR_TRY(product(t, back ? PLR_MATMUL_TN : PLR_MATMUL_NN, dct_of(t, m), m, x + at, cols,
                    other + at, cols, m, cols, m));
  }
  return PLR_OK;
}

plr_status plr__transform_forward(plr__transform *t, const plr_frame_info *info, uint32_t first,
                                  uint32_t rows, float *x, float *other) {
  switch (info->codec.transform) {
  case PLR_TRANSFORM_HADAMARD:
    plr__hadamard_forward(t->ops, info, first, rows, t->signs, x);
    return PLR_OK;
  case PLR_TRANSFORM_BASIS:
    return product(t, PLR_MATMUL_NN, x, t->cols, t->basis, t->rank, other, t->rank, rows, t->rank,
                   t->cols);
  case PLR_TRANSFORM_DCT:
    PLR_TRY(dct_columns(t, 0, x, rows, info->cols, other));
    return dct_rows(t, 0, other, rows, info->cols, x);
  default:
    return PLR_OK;
  }
}

plr_status plr__transform_inverse(plr__transform *t, const plr_frame_info *info, uint32_t first,
                                  uint32_t rows, float *x, float *other) {
  switch (info->codec.transform) {
  case PLR_TRANSFORM_HADAMARD:
    plr__hadamard_inverse(t->ops, info, first, rows, t->signs, x);
    return PLR_OK;
  case PLR_TRANSFORM_DCT:
    PLR_TRY(dct_rows(t, 1, x, rows, info->cols, other));
    return dct_columns(t, 1, other, rows, info->cols, x);
  default:
    return PLR_OK;
  }
}

plr_status plr__transform_expand(plr__transform *t, const float *z, uint32_t rows, float *y) {
  return product(t, PLR_MATMUL_NT, z, t->rank, t->basis, t->rank, y, t->cols, rows, t->cols,
                 t->rank);
}
