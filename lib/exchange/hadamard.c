/* See hadamard.h. Sums and differences in one order, so that every machine has the same bits. */
#include "exchange/hadamard.h"

#include "exchange/parametric.h"
#include "tensor/tensor.h"

#define MOST_BLOCK 4096u
#define KEY        0x54310000u /* keeps the signs apart from a dither of the same seed */

static uint32_t block_of(uint32_t cols) {
  return PLR_MIN(cols & (0u - cols), MOST_BLOCK);
}

/* 2^(-k/2): half powers by the nearest binary32 to 2^(-1/2). */
static float scale_of(uint32_t block) {
  float scale = 1.0f;
  for (; block >= 4; block /= 4) scale *= 0.5f;
  return block == 2 ? scale * 0.70710678f : scale;
}

/* Sums to a, differences to b. */
static void butterflies(float *restrict a, float *restrict b, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    const float sum = a[i] + b[i];
    b[i] = a[i] - b[i];
    a[i] = sum;
  }
}

/* Distances 1, 2 and 4 in registers: loops as short as that cost more than what they do. */
static void eight(float *x) {
  float y[8];
  for (uint32_t i = 0; i < 8; i += 2) y[i] = x[i] + x[i + 1], y[i + 1] = x[i] - x[i + 1];
  for (uint32_t i = 0; i < 8; i += 4)
    for (uint32_t j = i; j < i + 2; j++) x[j] = y[j] + y[j + 2], x[j + 2] = y[j] - y[j + 2];
  for (uint32_t i = 0; i < 4; i++) y[i] = x[i] + x[i + 4], y[i + 4] = x[i] - x[i + 4];
  for (uint32_t i = 0; i < 8; i++) x[i] = y[i];
}

static void transform(float *x, uint32_t block, float scale) {
  for (uint32_t i = 0; block >= 8 && i < block; i += 8) eight(x + i);
  for (uint32_t h = block >= 8 ? 8 : 1; h < block; h *= 2)
    for (uint32_t i = 0; i < block; i += 2 * h) butterflies(x + i, x + i + h, h);
  for (uint32_t i = 0; i < block; i++) x[i] *= scale;
}

static void flip(const plr__model_ops *ops, const plr_frame_info *info, uint32_t row, float *signs,
                 float *x) {
  plr__dither_key key = plr__dither_key_of(info);
  key.key[1] ^= KEY;
  ops->dither(&key, row, info->cols, signs);
  for (uint32_t c = 0; c < info->cols; c++) x[c] = signs[c] < 0 ? -x[c] : x[c];
}

void plr__hadamard_forward(const plr__model_ops *ops, const plr_frame_info *info, uint32_t first,
                           uint32_t rows, float *signs, float *x) {
  const uint32_t block = block_of(info->cols);
  for (uint32_t r = 0; r < rows; r++, x += info->cols) {
    flip(ops, info, first + r, signs, x);
    for (uint32_t c = 0; c < info->cols; c += block) transform(x + c, block, scale_of(block));
  }
}

void plr__hadamard_inverse(const plr__model_ops *ops, const plr_frame_info *info, uint32_t first,
                           uint32_t rows, float *signs, float *x) {
  const uint32_t block = block_of(info->cols);
  for (uint32_t r = 0; r < rows; r++, x += info->cols) {
    for (uint32_t c = 0; c < info->cols; c += block) transform(x + c, block, scale_of(block));
    flip(ops, info, first + r, signs, x);
  }
}
