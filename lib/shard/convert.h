/* Element types of files to fp32 and back, value by value. Files are little-endian. */
#ifndef PLR_SHARD_CONVERT_H
#define PLR_SHARD_CONVERT_H

#include "base/base.h"

#include <string.h>

static inline float plr__float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline uint32_t plr__bits_of_float(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float plr__read_f32(const uint8_t *p) {
  return plr__float_of_bits(plr__load_le32(p));
}

static inline float plr__read_bf16(const uint8_t *p) {
  return plr__float_of_bits((uint32_t)plr__load_le16(p) << 16);
}

/* Exact: every half, denormals included, is an fp32. */
static inline float plr__read_f16(const uint8_t *p) {
  uint32_t h = plr__load_le16(p), exponent = h >> 10 & 31, fraction = h & 1023;
  uint32_t sign = (h & 0x8000) << 16;
  if (exponent == 0) {
    float small = (float)fraction * 0x1p-24f;
    return plr__float_of_bits(sign | plr__bits_of_float(small));
  }
  uint32_t rebased = exponent == 31 ? 255 : exponent + 112;
  return plr__float_of_bits(sign | rebased << 23 | fraction << 13);
}

/* Rounded to nearest even; of a finite number that is too large, infinity. */
static inline uint16_t plr__bf16_of(float x) {
  uint32_t bits = plr__bits_of_float(x);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* 1 for a NaN or an infinity. */
static inline uint32_t plr__not_finite(float x) {
  return (plr__bits_of_float(x) & 0x7f800000) == 0x7f800000;
}

#endif
