/* libpluralis: a borrowed view of a tensor in memory. */
#ifndef PLURALIS_TENSOR_H
#define PLURALIS_TENSOR_H

#include <pluralis/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most dimensions of a tensor. */
#define PLR_MAX_DIMS 4

/* Element types. */
#define PLR_DTYPE_F32 1u
#define PLR_DTYPE_F16 2u
#define PLR_DTYPE_BF16 3u
#define PLR_DTYPE_I32 4u
#define PLR_DTYPE_U8 5u

/* A view: the data stays its owner's. Layout of this struct is frozen. dtype is one of PLR_DTYPE_*, shape counts
 * elements, strides are in elements; ndim in 1..PLR_MAX_DIMS; unused shape and stride entries are 0. */
typedef struct plr_tensor {
  void *data;
  uint32_t dtype;
  uint32_t ndim;
  int64_t shape[PLR_MAX_DIMS];
  int64_t strides[PLR_MAX_DIMS];
} plr_tensor;

/* Makes a contiguous row-major view of rows x cols elements. Since 0.1. */
PLR_API void plr_tensor_matrix(plr_tensor *out, void *data, uint32_t dtype, int64_t rows, int64_t cols);

/* Bytes per element, 0 for an unknown dtype. Since 0.1. */
PLR_API uint32_t plr_dtype_size(uint32_t dtype);

/* Checks that *t is well formed (known dtype, sizes >= 0, product in range, data not NULL unless empty).
 * Errors: INVALID_ARGUMENT, SHAPE. Since 0.1. */
PLR_API plr_status plr_tensor_check(const plr_tensor *t, plr_error *err);

#ifdef __cplusplus
}
#endif

#endif
