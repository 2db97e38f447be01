/* The matrix product as it is defined: one chain of fused multiply-adds per element, over increasing k. */
#include "kernels/kernels_int.h"

#include <math.h>

plr_status plr__ref_matmul(const plr_matmul_args *a) {
  if (a->layout > PLR_MATMUL_TN) return PLR_ERR_INVALID_ARGUMENT;
  if (a->m < 0 || a->n < 0 || a->k < 0) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t i = 0; i < a->m; i++) {
    for (int64_t j = 0; j < a->n; j++) {
      float *c = a->c + i * a->ldc + j, chain = a->accumulate ? *c : 0.0f;
      for (int64_t p = 0; p < a->k; p++) {
        const float x = a->layout == PLR_MATMUL_TN ? a->a[p * a->lda + i] : a->a[i * a->lda + p];
        const float y = a->layout == PLR_MATMUL_NT ? a->b[j * a->ldb + p] : a->b[p * a->ldb + j];
        chain = fmaf(x, y, chain);
      }
      *c = chain;
    }
  }
  return PLR_OK;
}
