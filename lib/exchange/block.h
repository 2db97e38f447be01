/* What the versions of the block kernels share: the scale of a group, and the remainders. */
#ifndef PLR_EXCHANGE_BLOCK_H
#define PLR_EXCHANGE_BLOCK_H

#include "exchange/exchange_int.h"
#include "tensor/tensor.h"

/* bf16 bits of the scale of a group whose extreme value is m; 0 when it would be below 2^-126. */
static inline uint16_t plr__block_scale(float m, uint32_t bits) {
  uint16_t s = plr__f32_to_bf16(m * (-1.0f / (float)(1u << (bits - 1))));
  uint32_t magnitude = s & 0x7fffu;
  if (magnitude < 0x80u) return 0;
  return (uint16_t)((s & 0x8000u) | PLR_MIN(magnitude, plr__scale_max(bits)));
}

/* One group of any length; 0 when a value is not finite. */
int plr__quantise_group(const float *x, size_t n, uint32_t bits, uint8_t *scale, uint8_t *q);
void plr__dequantise_group(const uint8_t *scale, const uint8_t *q, size_t n, uint32_t bits,
                           float *y);

int plr__to_bf16_portable(const float *x, size_t n, uint8_t *out);
int plr__from_bf16_portable(const uint8_t *in, size_t n, float *y);

#endif
