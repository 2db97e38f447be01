/* Kernels of the uniform quantisers and their symbols, one value after the other; what every other version must equal
 * bit for bit. The arithmetic is FRAME.md's. */
#include "exchange/model_kernels.h"

#include "tensor/tensor.h"

static double combine(const double *lane) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* The square of a binary32 value is exact in binary64. */
static double power(const float *x, size_t n) {
  double lane[8] = {0};
  for (size_t i = 0; i < n; i++) lane[i % 8] += (double)x[i] * (double)x[i];
  return combine(lane);
}

static double error(const float *x, const float *y, size_t n) {
  double lane[8] = {0};
  for (size_t i = 0; i < n; i++) {
    float e = x[i] - y[i];
    lane[i % 8] += (double)e * (double)e;
  }
  return combine(lane);
}

static double weighted_power(const float *x, const double *weight, size_t n) {
  double lane[8] = {0};
  for (size_t i = 0; i < n; i++) {
    double square = (double)x[i] * (double)x[i];
    lane[i % 8] += square * weight[i];
  }
  return combine(lane);
}

static void add_power(const float *x, size_t n, double weight, double *sums) {
  for (size_t i = 0; i < n; i++) {
    double square = (double)x[i] * (double)x[i];
    sums[i] += square * weight;
  }
}

static void fill_index(const int16_t *channel, size_t n, int32_t base, uint8_t *index) {
  for (size_t i = 0; i < n; i++) {
    int32_t v = base + channel[i];
    index[i] = (uint8_t)(v < 0 ? 0 : v > PLR_MODEL_INDEXES - 1 ? PLR_MODEL_INDEXES - 1 : v);
  }
}

void plr__dither_portable(const plr__dither_key *key, uint32_t row, size_t n, float *u) {
  for (size_t i = 0; i < n; i += 4) {
    const uint32_t counter[4] = {(uint32_t)(i / 4), row, key->step, key->micro_batch};
    uint32_t words[4];
    plr__philox4x32(counter, key->key, words);
    for (size_t j = 0; j < 4 && i + j < n; j++) /* 24 bits: exact */
      u[i + j] = ((float)(int32_t)(words[j] >> 9) + 0.5f) * 0x1p-23f - 0.5f;
  }
}

/* Nearest even for |x| < 2^22: the addition leaves the integer in the low bits of the sum. */
static inline int32_t round_even(float x) {
  return (int32_t)(plr__f32_bits(x + 12582912.0f) - 0x4b400000u);
}

void plr__quantise_portable(const float *x, const float *u, size_t n, float inverse, int32_t *q) {
  const float most = (float)PLR_MODEL_MOST_Q;
  for (size_t i = 0; i < n; i++) {
    float v = x[i] * inverse;
    if (u) v = v + u[i];
    v = v < most ? v : most;
    v = v > -most ? v : -most;
    q[i] = round_even(v);
  }
}

void plr__scale_portable(const float *x, size_t n, float inverse, float *y) {
  const float most = (float)PLR_MODEL_MOST_Q;
  for (size_t i = 0; i < n; i++) {
    float v = x[i] * inverse;
    v = v < most ? v : most;
    y[i] = v > -most ? v : -most;
  }
}

void plr__points_portable(const int32_t *q, const uint8_t *index, size_t n, float step,
                          const int32_t *centroid, float *y) {
  const float part = step * 0x1p-8f;
  for (size_t i = 0; i < n; i++) {
    const int32_t m = q[i] < 0 ? -q[i] : q[i];
    const int32_t fine =
        plr__trellis_point(index[i] >> 7, m) * 256 -
        centroid[index[i] * PLR_MODEL_CENTROID + PLR_MIN(m, PLR_MODEL_CENTROID - 1)];
    y[i] = (float)(q[i] < 0 ? -fine : fine) * part;
  }
}

void plr__dequantise_portable(const int32_t *q, const uint8_t *index, size_t n, float step,
                              const int32_t *centroid, float *y) {
  const float part = step * 0x1p-8f;
  for (size_t i = 0; i < n; i++) {
    const int32_t magnitude = q[i] < 0 ? -q[i] : q[i];
    const int32_t fine =
        magnitude * 256 -
        centroid[index[i] * PLR_MODEL_CENTROID + PLR_MIN(magnitude, PLR_MODEL_CENTROID - 1)];
    y[i] = (float)(q[i] < 0 ? -fine : fine) * part;
  }
}

void plr__undither_portable(const int32_t *q, const float *u, size_t n, float step, float *y) {
  for (size_t i = 0; i < n; i++) y[i] = ((float)q[i] - u[i]) * step;
}

size_t plr__symbols_portable(const int32_t *q, const uint8_t *index, size_t first, size_t n,
                             uint32_t trellis, const int32_t *limit, uint8_t *symbol,
                             uint32_t *places) {
  size_t count = 0;
  for (size_t i = first; i < n; i++) {
    const uint32_t raw = plr__model_raw(index[i] & 127u);
    const int32_t s = plr__model_symbol(q[i], raw, trellis), m = s < 0 ? -s : s;
    const int escape = m > limit[index[i]];
    symbol[i] = (uint8_t)(escape ? PLR_MODEL_ESCAPE : PLR_MODEL_ZERO + s);
    if (raw || escape) places[count++] = (uint32_t)i;
  }
  return count;
}

size_t plr__values_portable(const uint8_t *symbol, const uint8_t *index, size_t first, size_t n,
                            int32_t *q, uint32_t *places) {
  size_t count = 0;
  for (size_t i = first; i < n; i++) {
    q[i] = symbol[i] - PLR_MODEL_ZERO;
    if ((index[i] & 127u) >= PLR_MODEL_TABLES || symbol[i] == PLR_MODEL_ESCAPE)
      places[count++] = (uint32_t)i;
  }
  return count;
}

static size_t symbols(const int32_t *q, const uint8_t *index, size_t n, uint32_t trellis,
                      const int32_t *limit, uint8_t *symbol, uint32_t *places) {
  return plr__symbols_portable(q, index, 0, n, trellis, limit, symbol, places);
}

static size_t values(const uint8_t *symbol, const uint8_t *index, size_t n, int32_t *q,
                     uint32_t *places) {
  return plr__values_portable(symbol, index, 0, n, q, places);
}

const plr__model_ops plr__model_portable = {.power = power,
                                            .error = error,
                                            .weighted_power = weighted_power,
                                            .add_power = add_power,
                                            .fill_index = fill_index,
                                            .dither = plr__dither_portable,
                                            .quantise = plr__quantise_portable,
                                            .scale = plr__scale_portable,
                                            .points = plr__points_portable,
                                            .dequantise = plr__dequantise_portable,
                                            .undither = plr__undither_portable,
                                            .symbols = symbols,
                                            .values = values,
                                            .encode = plr__rans_encode_portable,
                                            .decode = plr__rans_decode_portable};
