/* Rows of tensors of any strides and of the three floating types. */
#include "exchange/view.h"

#include "tensor/tensor.h"

#include <string.h>

plr_status plr__view_open(plr__view *v, const plr_tensor *t, uint32_t max_rows, uint32_t max_cols,
                          uint32_t writable) {
  if (!t || plr_tensor_check(t, NULL) != PLR_OK) return PLR_ERR_SHAPE;
  if (t->ndim != 2) return PLR_ERR_SHAPE;
  if (t->dtype != PLR_DTYPE_F32 && t->dtype != PLR_DTYPE_BF16 && t->dtype != PLR_DTYPE_F16)
    return PLR_ERR_SHAPE;
  if (t->shape[0] < 1 || t->shape[0] > max_rows || t->shape[1] < 1 || t->shape[1] > max_cols)
    return PLR_ERR_SHAPE;
  v->data = t->data;
  v->subtract = 0;
  v->mean = NULL;
  v->dtype = t->dtype;
  v->rows = (uint32_t)t->shape[0], v->cols = (uint32_t)t->shape[1];
  v->row_stride = t->shape[0] == 1 ? t->shape[1] : t->strides[0];
  v->col_stride = t->shape[1] == 1 ? 1 : t->strides[1];
  /* Elements lie apart when the larger stride passes over all that the smaller one reaches. */
  const int64_t r = v->row_stride, c = v->col_stride;
  if (r < 0 || c < 0) return PLR_ERR_SHAPE;
  if (!writable) return PLR_OK;
  if (v->rows == 1 || v->cols == 1) return r < 1 || c < 1 ? PLR_ERR_SHAPE : PLR_OK;
  const int apart = c < r ? c >= 1 && r >= c * t->shape[1] : r >= 1 && c >= r * t->shape[0];
  return apart ? PLR_OK : PLR_ERR_SHAPE;
}

static const uint8_t *row_at(const plr__view *v, uint32_t r) {
  return v->data + (int64_t)r * v->row_stride * (int64_t)plr_dtype_size(v->dtype);
}

static void copy_row(const plr__view *v, uint32_t r, float *to) {
  const uint8_t *from = row_at(v, r);
  const int64_t step = v->col_stride;
  if (v->dtype == PLR_DTYPE_F32) {
    const float *f = (const float *)(const void *)from;
    if (step == 1)
      memcpy(to, f, v->cols * sizeof *to);
    else
      for (uint32_t i = 0; i < v->cols; i++) to[i] = f[i * step];
    return;
  }
  const uint16_t *h = (const uint16_t *)(const void *)from;
  if (v->dtype == PLR_DTYPE_BF16 && step == 1) /* which the compiler makes vectors of */
    for (uint32_t i = 0; i < v->cols; i++) to[i] = plr__bf16_to_f32(h[i]);
  else if (v->dtype == PLR_DTYPE_BF16)
    for (uint32_t i = 0; i < v->cols; i++) to[i] = plr__bf16_to_f32(h[i * step]);
  else
    for (uint32_t i = 0; i < v->cols; i++) to[i] = plr__f16_to_f32(h[i * step]);
}

static void take_row(const plr__view *v, uint32_t r, float *to) {
  copy_row(v, r, to);
  if (!v->mean) return;
  for (uint32_t c = 0; c < v->cols; c++) to[c] -= v->mean[c];
}

const float *plr__view_row(const plr__view *v, uint32_t r, float *staging) {
  if (plr__view_plain(v)) return (const float *)(const void *)row_at(v, r);
  take_row(v, r, staging);
  return staging;
}

const float *plr__view_rows(const plr__view *v, uint32_t first, uint32_t rows, float *staging) {
  if (plr__view_plain(v) && (rows == 1 || v->row_stride == (int64_t)v->cols))
    return (const float *)(const void *)row_at(v, first);
  for (uint32_t r = 0; r < rows; r++) take_row(v, first + r, staging + (size_t)r * v->cols);
  return staging;
}

uint8_t *plr__view_bytes(const plr__view *v, const plr_codec *c, uint32_t first, uint32_t rows) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const int whole = (v->col_stride == 1 || v->cols == 1) && (rows == 1 || v->row_stride == v->cols);
  if (c->quant == PLR_QUANT_RAW && c->dtype == v->dtype && whole && !v->subtract)
    return v->data + (int64_t)first * v->row_stride * (int64_t)plr_dtype_size(v->dtype);
#else
  (void)v, (void)c, (void)first, (void)rows;
#endif
  return NULL;
}

void plr__view_store(const plr__view *v, uint32_t r, const float *values) {
  uint8_t *to = v->data + (int64_t)r * v->row_stride * (int64_t)plr_dtype_size(v->dtype);
  const int64_t step = v->col_stride;
  if (v->dtype == PLR_DTYPE_F32) {
    float *f = (float *)(void *)to;
    if (f == values) return;
    for (uint32_t i = 0; v->subtract && i < v->cols; i++) f[i * step] -= values[i];
    if (v->subtract) return;
    for (uint32_t i = 0; i < v->cols; i++) f[i * step] = values[i];
    return;
  }
  uint16_t *h = (uint16_t *)(void *)to;
  if (v->dtype == PLR_DTYPE_BF16 && step == 1)
    for (uint32_t i = 0; i < v->cols; i++) h[i] = plr__f32_to_bf16(values[i]);
  else if (v->dtype == PLR_DTYPE_BF16)
    for (uint32_t i = 0; i < v->cols; i++) h[i * step] = plr__f32_to_bf16(values[i]);
  else
    for (uint32_t i = 0; i < v->cols; i++) h[i * step] = plr__f32_to_f16(values[i]);
}
