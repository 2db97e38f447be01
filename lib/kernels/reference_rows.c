/* Naive forms of the operations, straight from EXACT.md: element after element, one lane at a time. */
#include "kernels/kernels_int.h"

#include <math.h>
#include <string.h>

/* The fixed tree over 16 lanes. */
static float tree(float lane[16]) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] = lane[i] + lane[i + half];
  return lane[0];
}

plr_status plr__ref_fill(const plr_fill_args *a) {
  for (int64_t i = 0; i < a->n; i++) a->y[i] = a->value;
  return PLR_OK;
}

plr_status plr__ref_add(const plr_add_args *a) {
  for (int64_t i = 0; i < a->n; i++) a->y[i] = a->a[i] + a->b[i];
  return PLR_OK;
}

plr_status plr__ref_mul(const plr_add_args *a) {
  for (int64_t i = 0; i < a->n; i++) a->y[i] = a->a[i] * a->b[i];
  return PLR_OK;
}

plr_status plr__ref_scale(const plr_scale_args *a) {
  for (int64_t i = 0; i < a->n; i++) a->y[i] = a->x[i] * a->by;
  return PLR_OK;
}

plr_status plr__ref_bias(const plr_bias_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->d; i++) a->y[r * a->d + i] = a->x[r * a->d + i] + a->bias[i];
  return PLR_OK;
}

plr_status plr__ref_bias_bwd(const plr_bias_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->d; i++) a->dbias[i] += a->dy[r * a->d + i];
  return PLR_OK;
}

static int ids_in_range(const int32_t *ids, int64_t rows, int64_t vocab) {
  for (int64_t r = 0; r < rows; r++)
    if (ids[r] < 0 || ids[r] >= vocab) return 0;
  return 1;
}

plr_status plr__ref_row_add(const plr_row_add_args *a) {
  if (!ids_in_range(a->ids, a->rows, a->vocab)) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->d; i++)
      a->y[r * a->d + i] = a->x[r * a->d + i] + a->sign * a->table[a->ids[r] * a->d + i];
  return PLR_OK;
}

plr_status plr__ref_embed(const plr_embed_args *a) {
  if (!ids_in_range(a->ids, a->rows, a->vocab)) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->w; i++) a->y[r * a->w + i] = a->table[a->ids[r] * a->w + i];
  return PLR_OK;
}

plr_status plr__ref_embed_bwd(const plr_embed_args *a) {
  if (!ids_in_range(a->ids, a->rows, a->vocab)) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->w; i++) a->dtable[a->ids[r] * a->w + i] += a->dy[r * a->w + i];
  return PLR_OK;
}

plr_status plr__ref_xent(const plr_xent_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    if (a->labels[r] >= a->vocab) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t r = 0; r < a->rows; r++) {
    float *x = a->logits + r * a->vocab, lane[16], max;
    int64_t label = a->labels[r];
    if (label < 0) {
      a->loss[r] = 0.0f;
      for (int64_t i = 0; i < a->vocab && a->with_grad; i++) x[i] = 0.0f;
      continue;
    }
    for (int i = 0; i < 16; i++) lane[i] = -INFINITY;
    for (int64_t i = 0; i < a->vocab; i++) lane[i % 16] = lane[i % 16] > x[i] ? lane[i % 16] : x[i];
    max = lane[0];
    for (int i = 1; i < 16; i++) max = max > lane[i] ? max : lane[i];
    memset(lane, 0, sizeof lane);
    for (int64_t i = 0; i < a->vocab; i++) lane[i % 16] += plr__expf(x[i] - max);
    float sum = tree(lane), log_sum = max + plr__logf(sum);
    float inv = 1.0f / sum * fmaf(2.0f * a->z_loss, log_sum, 1.0f);
    a->loss[r] = plr__logf(sum) - (x[label] - max);
    for (int64_t i = 0; i < a->vocab && a->with_grad; i++) {
      float p = plr__expf(x[i] - max) * inv;
      x[i] = (i == label ? p - 1.0f : p) * a->scale;
    }
  }
  return PLR_OK;
}

plr_status plr__ref_gaussian(const plr_gaussian_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->cols; i++) {
      float z = plr__normal(a->seed, a->stream, (uint32_t)(a->first_row + r), (uint32_t)i);
      a->y[r * a->cols + i] = z * a->std;
    }
  return PLR_OK;
}

/* Of the two neighbours in bf16 the nearer one, of equally near ones that with an even last bit. */
plr_status plr__ref_bf16_pack(const plr_bf16_args *a) {
  for (int64_t i = 0; i < a->n; i++) {
    uint32_t bits;
    memcpy(&bits, a->from_f32 + i, sizeof bits);
    uint32_t upper = bits >> 16, lower = bits & 0xffffu;
    if ((bits & 0x7fffffffu) > 0x7f800000u)
      upper |= 0x40u;
    else if (lower > 0x8000u || (lower == 0x8000u && upper % 2 == 1))
      upper++;
    a->bf16[i] = (uint16_t)upper;
  }
  return PLR_OK;
}

plr_status plr__ref_bf16_unpack(const plr_bf16_args *a) {
  for (int64_t i = 0; i < a->n; i++) {
    uint32_t bits = (uint32_t)a->from_bf16[i] << 16;
    memcpy(a->f32 + i, &bits, sizeof bits);
  }
  return PLR_OK;
}
