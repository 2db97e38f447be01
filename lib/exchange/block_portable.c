/* Block integers and bf16, one value after the other; what every other version must equal bit for bit.
 * The arithmetic is FRAME.md's. */
#include "exchange/block.h"

#include "tensor/tensor.h"

#include <float.h>

/* The value m of FRAME.md, and whether all are finite. */
static int group_extreme(const float *x, size_t n, float *m) {
  float high = -FLT_MAX, low = FLT_MAX;
  uint32_t magnitude = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t bits = plr__f32_bits(x[i]) & 0x7fffffffu;
    magnitude = PLR_MAX(magnitude, bits);
    high = x[i] > high ? x[i] : high;
    low = x[i] < low ? x[i] : low;
  }
  *m = high > -low ? high : low;
  return magnitude < 0x7f800000u;
}

/* Nearest even for |x| < 2^22: the addition leaves the integer in the low bits of the sum. */
static inline int32_t round_even(float x) {
  return (int32_t)(plr__f32_bits(x + 12582912.0f) - 0x4b400000u);
}

/* Any number of bits: a window that bytes leave from below. */
static void quantise_bits(const float *x, size_t n, uint32_t bits, float inverse, uint8_t *q) {
  const int32_t top = (1 << (bits - 1)) - 1, bottom = -top - 1;
  uint32_t window = 0, held = 0;
  for (size_t i = 0; i < n; i++) {
    int32_t v = round_even(x[i] * inverse);
    v = v > top ? top : v < bottom ? bottom : v;
    window |= ((uint32_t)v & ((1u << bits) - 1)) << held;
    for (held += bits; held >= 8; held -= 8, window >>= 8) *q++ = (uint8_t)window;
  }
  if (held) *q = (uint8_t)window;
}

static void dequantise_bits(const uint8_t *q, size_t n, uint32_t bits, float scale, float *y) {
  const int32_t sign = 1 << (bits - 1);
  uint32_t window = 0, held = 0;
  for (size_t i = 0; i < n; i++) {
    if (held < bits) window |= (uint32_t)*q++ << held, held += 8;
    y[i] = (float)(((int32_t)(window & ((1u << bits) - 1)) ^ sign) - sign) * scale;
    window >>= bits;
    held -= bits;
  }
}

static void quantise_values(const float *x, size_t n, uint32_t bits, float inverse, uint8_t *q) {
  if (bits != 4 && bits != 8) {
    quantise_bits(x, n, bits, inverse, q);
    return;
  }
  const int32_t top = (1 << (bits - 1)) - 1, bottom = -top - 1;
  int32_t even = 0;
  for (size_t i = 0; i < n; i++) {
    int32_t v = round_even(x[i] * inverse);
    v = v > top ? top : v < bottom ? bottom : v;
    if (bits == 8) {
      q[i] = (uint8_t)v;
    } else if (i % 2 == 0) {
      even = v & 15;
      q[i / 2] = (uint8_t)even;
    } else {
      q[i / 2] = (uint8_t)(even | (v & 15) << 4);
    }
  }
}

int plr__quantise_group(const float *x, size_t n, uint32_t bits, uint8_t *scale, uint8_t *q) {
  float m;
  if (!group_extreme(x, n, &m)) return 0;
  uint16_t s = plr__block_scale(m, bits);
  plr__store_le16(scale, s);
  quantise_values(x, n, bits, s ? 1.0f / plr__bf16_to_f32(s) : 0.0f, q);
  return 1;
}

void plr__dequantise_group(const uint8_t *scale, const uint8_t *q, size_t n, uint32_t bits,
                           float *y) {
  const float s = plr__bf16_to_f32(plr__load_le16(scale));
  if (bits != 4 && bits != 8) {
    dequantise_bits(q, n, bits, s, y);
    return;
  }
  if (bits == 8) {
    for (size_t i = 0; i < n; i++) y[i] = (float)(int8_t)q[i] * s;
    return;
  }
  for (size_t i = 0; i < n; i++) {
    int32_t half = q[i / 2] >> (i % 2 * 4) & 15;
    y[i] = (float)((half ^ 8) - 8) * s;
  }
}

static int quantise(const float *x, size_t n, uint32_t group, uint32_t bits, uint8_t *scales,
                    uint8_t *q) {
  int finite = 1;
  for (size_t i = 0; i < n; i += group, scales += 2)
    finite &= plr__quantise_group(x + i, PLR_MIN(group, n - i), bits, scales, q + i * bits / 8);
  return finite;
}

static void dequantise(const uint8_t *scales, const uint8_t *q, size_t n, uint32_t group,
                       uint32_t bits, float *y) {
  for (size_t i = 0; i < n; i += group, scales += 2)
    plr__dequantise_group(scales, q + i * bits / 8, PLR_MIN(group, n - i), bits, y + i);
}

int plr__to_bf16_portable(const float *x, size_t n, uint8_t *out) {
  uint32_t magnitude = 0;
  for (size_t i = 0; i < n; i++) {
    uint16_t v = plr__f32_to_bf16(x[i]);
    magnitude = PLR_MAX(magnitude, v & 0x7fffu);
    plr__store_le16(out + 2 * i, v);
  }
  return magnitude < 0x7f80u;
}

int plr__from_bf16_portable(const uint8_t *in, size_t n, float *y) {
  uint32_t magnitude = 0;
  for (size_t i = 0; i < n; i++) {
    uint16_t v = plr__load_le16(in + 2 * i);
    magnitude = PLR_MAX(magnitude, v & 0x7fffu);
    y[i] = plr__bf16_to_f32(v);
  }
  return magnitude < 0x7f80u;
}

const plr__block_ops plr__block_portable = {quantise, dequantise, plr__to_bf16_portable,
                                            plr__from_bf16_portable};
