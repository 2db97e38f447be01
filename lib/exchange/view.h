/* Rows of a caller's tensor, as fp32. */
#ifndef PLR_EXCHANGE_VIEW_H
#define PLR_EXCHANGE_VIEW_H

#include "exchange/exchange_int.h"

typedef struct plr__view {
  uint8_t *data;
  uint32_t dtype, rows, cols;
  int64_t row_stride, col_stride; /* elements */
  uint32_t subtract; /* of fp32: storing takes away from what is there */
  const float *mean;              /* of the columns, taken away from what is read; NULL: nothing is */
} plr__view;

/* A matrix of at most max_rows x max_cols, F32, BF16 or F16, of any strides. `writable`: no two elements may share
 * memory. Errors: SHAPE. */
plr_status plr__view_open(plr__view *v, const plr_tensor *t, uint32_t max_rows, uint32_t max_cols,
                          uint32_t writable);

/* 1 when rows of fp32 lie there as they are. */
static inline int plr__view_plain(const plr__view *v) {
  return !v->mean && v->dtype == PLR_DTYPE_F32 && (v->col_stride == 1 || v->cols == 1);
}

/* Row r: where it lies, or copied to staging. */
const float *plr__view_row(const plr__view *v, uint32_t r, float *staging);
/* Rows [first, first + rows) as one run. */
const float *plr__view_rows(const plr__view *v, uint32_t first, uint32_t rows, float *staging);
/* Where those rows lie when their bytes are the payload of a raw codec, else NULL. */
uint8_t *plr__view_bytes(const plr__view *v, const plr_codec *c, uint32_t first, uint32_t rows);
/* Writes row r. */
void plr__view_store(const plr__view *v, uint32_t r, const float *values);

#endif
