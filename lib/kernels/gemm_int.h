/* The parts of the matrix product: gemm.c cuts the work, an instruction set's table does it.
 *
 * Every element is one chain of fused multiply-adds over increasing k; a function below that is given a part of
 * k continues the chain from what C holds, so that blocks and threads never change a bit. */
#ifndef PLR_KERNELS_GEMM_INT_H
#define PLR_KERNELS_GEMM_INT_H

#include "kernels/kernels_int.h"

/* Rows that the thin kernel takes at once. */
#define PLR_GEMM_THIN 8

/* One row tile against packed B. Element (r, p) of A is a[r * row_stride + p * k_stride]. */
typedef struct plr__gemm_strip {
  int64_t rows, cols, depth; /* rows <= mr; cols is any number: the panels of B in turn */
  const float *a;
  int64_t row_stride, k_stride;
  float *b; /* panels of nr columns, each depth x nr, zeros past cols */
  float *c;
  int64_t ldc;
  int resume; /* 0: chains start at +0 and C is not read */
} plr__gemm_strip;

typedef struct plr__gemm_kernels {
  int64_t mr, nr; /* the register tile: rows and columns of C */
  void (*strip)(const plr__gemm_strip *s);

  /* The same for a block of B that is not packed yet: reads it from where it is stored (rows contiguous) and leaves
   * its panels in s->b. NULL: there is none, and `pack` comes first. */
  void (*strip_packing)(const plr__gemm_strip *s, const float *from, int64_t ldb);

  /* A transposed (depth x rows, as stored): each row tile becomes depth x its height, one after the other. */
  void (*pack_rows)(const float *a, int64_t lda, int64_t depth, int64_t rows, float *to);

  /* B (depth x cols, rows contiguous) or its transpose (cols x depth, as stored) into panels. */
  void (*pack)(const float *b, int64_t ldb, int64_t depth, int64_t cols, float *panels);
  void (*pack_transposed)(const float *b, int64_t ldb, int64_t depth, int64_t cols, float *panels);

  /* C (rows x cols) continues with B (depth x cols) unpacked, rows <= PLR_GEMM_THIN; a is depth x rows. */
  void (*thin)(int64_t rows, int64_t cols, int64_t depth, const float *a, const float *b,
               int64_t ldb, float *c, int64_t ldc);
} plr__gemm_kernels;

/* Rows of the next tile when `left` remain: the last two are of about equal height, as a low tile wastes time. */
static inline int64_t plr__gemm_tile_rows(int64_t left, int64_t mr) {
  if (left >= 2 * mr || left == mr) return mr;
  return left > mr ? (left + 1) / 2 : left;
}

extern const plr__gemm_kernels plr__gemm_portable;
#if defined(__x86_64__)
extern const plr__gemm_kernels plr__gemm_avx2;
extern const plr__gemm_kernels plr__gemm_avx512;
#elif defined(__aarch64__)
extern const plr__gemm_kernels plr__gemm_neon;
#endif

#endif
