/* The parts of the matrix product: gemm.c cuts the work, an instruction set's table does it.
 *
 * Every element is one chain of fused multiply-adds over increasing k; a function below that is given a part of
 * k continues the chain from what C holds, so that blocks and threads never change a bit. */
#ifndef PLR_KERNELS_GEMM_INT_H
#define PLR_KERNELS_GEMM_INT_H

#include "kernels/kernels_int.h"

/* The register tile: 6 x 16 fp32 accumulators fill 12 of the 16 vector registers of AVX2. */
#define PLR_GEMM_MR 6
#define PLR_GEMM_NR 16

/* Rows that the thin kernel takes at once. */
#define PLR_GEMM_THIN 8

/* One row tile against packed B. Element (r, p) of A is a[r * row_stride + p * k_stride]. */
typedef struct plr__gemm_strip {
  int64_t rows, cols, depth; /* rows <= PLR_GEMM_MR; cols is any number: the panels of B in turn */
  const float *a;
  int64_t row_stride, k_stride;
  const float *b; /* panels of PLR_GEMM_NR columns, each depth x PLR_GEMM_NR, zeros past cols */
  float *c;
  int64_t ldc;
  int resume; /* 0: chains start at +0 and C is not read */
} plr__gemm_strip;

typedef struct plr__gemm_kernels {
  void (*strip)(const plr__gemm_strip *s);

  /* B (depth x cols, rows contiguous) or its transpose (cols x depth, as stored) into panels. */
  void (*pack)(const float *b, int64_t ldb, int64_t depth, int64_t cols, float *panels);
  void (*pack_transposed)(const float *b, int64_t ldb, int64_t depth, int64_t cols, float *panels);

  /* C (rows x cols) continues with B (depth x cols) unpacked, rows <= PLR_GEMM_THIN; a is depth x rows. */
  void (*thin)(int64_t rows, int64_t cols, int64_t depth, const float *a, const float *b,
               int64_t ldb, float *c, int64_t ldc);
} plr__gemm_kernels;

extern const plr__gemm_kernels plr__gemm_portable;
#if defined(__x86_64__)
extern const plr__gemm_kernels plr__gemm_avx2;
#endif

#endif
