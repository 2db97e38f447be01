/* Products of up to eight rows, for the instruction set whose file has defined INLINE and thin_steps before: the number
 * of rows becomes a constant, so that accumulators stay in registers. */
#ifndef PLR_KERNELS_GEMM_THIN_H
#define PLR_KERNELS_GEMM_THIN_H

INLINE void thin_rows(const int rows, int64_t cols, int64_t depth, const float *a, const float *b,
                      int64_t ldb, float *c, int64_t ldc) {
  int64_t p = 0;
  for (; p + 4 <= depth; p += 4) thin_steps(rows, 4, cols, a + p * rows, b + p * ldb, ldb, c, ldc);
  for (; p < depth; p++) thin_steps(rows, 1, cols, a + p * rows, b + p * ldb, ldb, c, ldc);
}

static void thin(int64_t rows, int64_t cols, int64_t depth, const float *a, const float *b,
                 int64_t ldb, float *c, int64_t ldc) {
#define CASE(r)                                                                                    \
  case r:                                                                                          \
    thin_rows(r, cols, depth, a, b, ldb, c, ldc);                                                  \
    break;
  switch (rows) { CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) }
#undef CASE
}

#endif
