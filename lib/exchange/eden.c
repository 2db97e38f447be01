/* See eden.h and FRAME.md. */
#include "exchange/eden.h"

#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

#define MOST_GROUP 1024u
#define SCALE_MOST 0x7e000000u /* 2^125: twice that times a centroid is finite */

/* Positive centroids of the quantisers of least squared error of a Gaussian of variance 1 (J. Max, 1960). */
static const float centroids[4][8] = {
    {0.79788f},
    {0.45278f, 1.51042f},
    {0.24509f, 0.75601f, 1.34391f, 2.15195f},
    {0.12840f, 0.38805f, 0.65676f, 0.94234f, 1.25623f, 1.61805f, 2.06902f, 2.73259f}};

/* Number of the centroid nearest to |x| units; `bits` is a constant, so that compilers take values side by side. */
static inline void count_below(const float *restrict x, size_t n, uint32_t bits, float unit,
                               uint32_t *restrict number) {
  const float *c = centroids[bits - 1];
  float middle[7];
  const uint32_t most = (1u << (bits - 1)) - 1;
  for (uint32_t t = 0; t < most; t++) middle[t] = (c[t] + c[t + 1]) * 0.5f;
  for (size_t i = 0; i < n; i++) {
    const float size = fabsf(x[i] * unit);
    uint32_t k = 0;
    for (uint32_t t = 0; t < most; t++) k += size > middle[t];
    number[i] = k;
  }
}

/* code = sign << (bits - 1) | number of the centroid; value = the centroid */
static void quantise(const float *x, size_t n, uint32_t bits, float unit, uint8_t *code,
                     float *value) {
  uint32_t number[MOST_GROUP];
  switch (bits) {
  case 1:
    memset(number, 0, n * sizeof *number);
    break;
  case 2:
    count_below(x, n, 2, unit, number);
    break;
  case 3:
    count_below(x, n, 3, unit, number);
    break;
  default:
    count_below(x, n, 4, unit, number);
    break;
  }
  for (size_t i = 0; i < n; i++) {
    const uint32_t sign = x[i] * unit < 0.0f;
    const float c = centroids[bits - 1][number[i]];
    code[i] = (uint8_t)(sign << (bits - 1) | number[i]);
    value[i] = sign ? -c : c;
  }
}

/* In the order of plr__model_ops.power. */
static double dot(const float *x, const float *y, size_t n) {
  double sum[8] = {0};
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (size_t l = 0; l < 8; l++) sum[l] += (double)x[i + l] * (double)y[i + l];
  for (size_t l = 0; i < n; i++, l++) sum[l] += (double)x[i] * (double)y[i];
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

static void put_codes(const uint8_t *code, size_t n, uint32_t bits, uint8_t *out) {
  uint32_t window = 0, held = 0;
  for (size_t i = 0; i < n; i++) {
    window |= (uint32_t)code[i] << held;
    for (held += bits; held >= 8; held -= 8, window >>= 8) *out++ = (uint8_t)window;
  }
  if (held) *out = (uint8_t)window;
}

/* Returns the scale, with the codes in `code`; 0 is that of values too small to be told apart. */
static float pack_group(const plr__model_ops *ops, const float *x, size_t n, uint32_t bits,
                        uint8_t *code, double *power) {
  float value[MOST_GROUP];
  *power = ops->power(x, n);
  const float unit = *power > 0 ? (float)sqrt((double)n / *power) : 0.0f;
  if (unit == 0.0f || plr__f32_bits(unit) >= 0x7f800000u) {
    memset(code, 0, n);
    return 0.0f;
  }
  quantise(x, n, bits, unit, code, value);
  return (float)(*power / dot(value, x, n));
}

plr_status plr__eden_pack(const plr__model_ops *ops, const plr_codec *c, const float *x, size_t n,
                          uint8_t *out) {
  uint8_t code[MOST_GROUP], *q = out + (n + c->group - 1) / c->group * 4;
  for (size_t i = 0; i < n; i += c->group, out += 4) {
    const size_t m = PLR_MIN(c->group, n - i);
    double power;
    const float scale = pack_group(ops, x + i, m, c->bits, code, &power);
    if (!(power < 1e300) || plr__f32_bits(scale) > SCALE_MOST) return PLR_ERR_NON_FINITE;
    plr__store_le32(out, plr__f32_bits(scale));
    put_codes(code, m, c->bits, q + i * c->bits / 8);
  }
  return PLR_OK;
}

static void unpack_group(const uint8_t *q, size_t n, uint32_t bits, float scale, float *y) {
  float value[16];
  const uint32_t half = 1u << (bits - 1), mask = 2 * half - 1;
  for (uint32_t k = 0; k < half; k++) {
    value[k] = centroids[bits - 1][k] * scale;
    value[half + k] = -value[k];
  }
  uint32_t window = 0, held = 0;
  for (size_t i = 0; i < n; i++) {
    if (held < bits) window |= (uint32_t)*q++ << held, held += 8;
    y[i] = value[window & mask];
    window >>= bits;
    held -= bits;
  }
}

plr_status plr__eden_unpack(const plr_codec *c, const uint8_t *in, size_t n, float *y,
                            const char **why) {
  const size_t groups = (n + c->group - 1) / c->group, spare = n * c->bits % 8;
  const uint8_t *q = in + 4 * groups;
  *why = "the last bits are not 0";
  if (spare && q[n * c->bits / 8] >> spare) return PLR_ERR_MALFORMED;
  *why = "a scale is negative, not finite or too large";
  for (size_t g = 0, i = 0; g < groups; g++, i += c->group) {
    const uint32_t scale = plr__load_le32(in + 4 * g);
    if (scale > SCALE_MOST) return PLR_ERR_NON_FINITE;
    unpack_group(q + i * c->bits / 8, PLR_MIN(c->group, n - i), c->bits, plr__f32_from_bits(scale),
                 y + i);
  }
  return PLR_OK;
}
