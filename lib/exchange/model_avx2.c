/* The kernels of model_portable.c with AVX2: the same bits. */
#include "exchange/model_kernels.h"

#include <immintrin.h>

static __m256i load8(const uint8_t *p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

static void store8(uint8_t *p, __m256i v) { /* low bytes of eight lanes */
  __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(words, words));
}

static double combine(__m256d low, __m256d high) {
  __m256d s = _mm256_add_pd(low, high); /* 0+4, 1+5, 2+6, 3+7 */
  __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
  return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
}

static double finish(__m256d low, __m256d high, const double *rest, size_t n) {
  double lane[8];
  _mm256_storeu_pd(lane, low);
  _mm256_storeu_pd(lane + 4, high);
  for (size_t i = 0; i < n; i++) lane[i] += rest[i];
  return combine(_mm256_loadu_pd(lane), _mm256_loadu_pd(lane + 4));
}

static void add_squares(__m256 v, __m256d *low, __m256d *high) {
  __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
  __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
  *low = _mm256_add_pd(*low, _mm256_mul_pd(a, a));
  *high = _mm256_add_pd(*high, _mm256_mul_pd(b, b));
}

static double power(const float *x, size_t n) {
  __m256d low = _mm256_setzero_pd(), high = low;
  double rest[8];
  size_t i = 0, left = n % 8;
  for (; i + 8 <= n; i += 8) add_squares(_mm256_loadu_ps(x + i), &low, &high);
  for (size_t j = 0; j < left; j++) rest[j] = (double)x[i + j] * (double)x[i + j];
  return finish(low, high, rest, left);
}

static double error(const float *x, const float *y, size_t n) {
  __m256d low = _mm256_setzero_pd(), high = low;
  double rest[8];
  size_t i = 0, left = n % 8;
  for (; i + 8 <= n; i += 8)
    add_squares(_mm256_sub_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)), &low, &high);
  for (size_t j = 0; j < left; j++) {
    float e = x[i + j] - y[i + j];
    rest[j] = (double)e * (double)e;
  }
  return finish(low, high, rest, left);
}

static double weighted_power(const float *x, const double *weight, size_t n) {
  __m256d low = _mm256_setzero_pd(), high = low;
  double rest[8];
  size_t i = 0, left = n % 8;
  for (; i + 8 <= n; i += 8) {
    __m256d a = _mm256_cvtps_pd(_mm_loadu_ps(x + i)), b = _mm256_cvtps_pd(_mm_loadu_ps(x + i + 4));
    a = _mm256_mul_pd(_mm256_mul_pd(a, a), _mm256_loadu_pd(weight + i));
    b = _mm256_mul_pd(_mm256_mul_pd(b, b), _mm256_loadu_pd(weight + i + 4));
    low = _mm256_add_pd(low, a), high = _mm256_add_pd(high, b);
  }
  for (size_t j = 0; j < left; j++) {
    double square = (double)x[i + j] * (double)x[i + j];
    rest[j] = square * weight[i + j];
  }
  return finish(low, high, rest, left);
}

static void add_power(const float *x, size_t n, double weight, double *sums) {
  const __m256d w = _mm256_set1_pd(weight);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    __m256d v = _mm256_cvtps_pd(_mm_loadu_ps(x + i));
    __m256d add = _mm256_mul_pd(_mm256_mul_pd(v, v), w);
    _mm256_storeu_pd(sums + i, _mm256_add_pd(_mm256_loadu_pd(sums + i), add));
  }
  for (; i < n; i++) {
    double square = (double)x[i] * (double)x[i];
    sums[i] += square * weight;
  }
}

static void fill_index(const int16_t *channel, size_t n, int32_t base, uint8_t *index) {
  /* Saturating sums lie beyond the clamp on the same side. */
  const __m256i b = _mm256_set1_epi16((int16_t)PLR_MAX(-32768, PLR_MIN(32767, base)));
  const __m256i most = _mm256_set1_epi16(PLR_MODEL_INDEXES - 1), zero = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(channel + i));
    v = _mm256_max_epi16(_mm256_min_epi16(_mm256_adds_epi16(v, b), most), zero);
    __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storeu_si128((__m128i *)(void *)(index + i), bytes);
  }
  for (; i < n; i++) {
    int32_t v = base + channel[i];
    index[i] = (uint8_t)PLR_MAX(0, PLR_MIN(PLR_MODEL_INDEXES - 1, v));
  }
}

/* High and low halves of eight 32-bit products. */
static void multiply(__m256i a, uint32_t b, __m256i *high, __m256i *low) {
  const __m256i m = _mm256_set1_epi64x((int64_t)b);
  __m256i even = _mm256_mul_epu32(a, m), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), m);
  *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
  *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
}

static __m256 uniform(__m256i word) {
  __m256 f = _mm256_cvtepi32_ps(_mm256_srli_epi32(word, 9));
  f = _mm256_mul_ps(_mm256_add_ps(f, _mm256_set1_ps(0.5f)), _mm256_set1_ps(0x1p-23f));
  return _mm256_sub_ps(f, _mm256_set1_ps(0.5f));
}

/* Philox4x32-10 on eight counters. */
static void philox8(__m256i c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++) {
    __m256i high0, low0, high1, low1;
    multiply(c[0], 0xD2511F53u, &high0, &low0);
    multiply(c[2], 0xCD9E8D57u, &high1, &low1);
    c[0] = _mm256_xor_si256(_mm256_xor_si256(high1, c[1]), _mm256_set1_epi32((int32_t)k0));
    c[2] = _mm256_xor_si256(_mm256_xor_si256(high0, c[3]), _mm256_set1_epi32((int32_t)k1));
    c[1] = low1, c[3] = low0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
}

static void dither(const plr__dither_key *key, uint32_t row, size_t n, float *u) {
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m256i c[4] = {_mm256_add_epi32(_mm256_set1_epi32((int32_t)(i / 4)),
                                     _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
                    _mm256_set1_epi32((int32_t)row), _mm256_set1_epi32((int32_t)key->step),
                    _mm256_set1_epi32((int32_t)key->micro_batch)};
    philox8(c, key->key[0], key->key[1]);
    __m256i a = _mm256_unpacklo_epi32(c[0], c[1]), b = _mm256_unpackhi_epi32(c[0], c[1]);
    __m256i d = _mm256_unpacklo_epi32(c[2], c[3]), e = _mm256_unpackhi_epi32(c[2], c[3]);
    __m256i w0 = _mm256_unpacklo_epi64(a, d), w1 = _mm256_unpackhi_epi64(a, d);
    __m256i w2 = _mm256_unpacklo_epi64(b, e), w3 = _mm256_unpackhi_epi64(b, e);
    _mm256_storeu_ps(u + i, uniform(_mm256_permute2x128_si256(w0, w1, 0x20)));
    _mm256_storeu_ps(u + i + 8, uniform(_mm256_permute2x128_si256(w2, w3, 0x20)));
    _mm256_storeu_ps(u + i + 16, uniform(_mm256_permute2x128_si256(w0, w1, 0x31)));
    _mm256_storeu_ps(u + i + 24, uniform(_mm256_permute2x128_si256(w2, w3, 0x31)));
  }
  for (; i < n; i += 4) {
    const uint32_t counter[4] = {(uint32_t)(i / 4), row, key->step, key->micro_batch};
    uint32_t words[4];
    plr__philox4x32(counter, key->key, words);
    for (size_t j = 0; j < 4 && i + j < n; j++)
      u[i + j] = ((float)(int32_t)(words[j] >> 9) + 0.5f) * 0x1p-23f - 0.5f;
  }
}

static void quantise(const float *x, const float *u, size_t n, float inverse, int32_t *q) {
  const __m256 scale = _mm256_set1_ps(inverse), most = _mm256_set1_ps((float)PLR_MODEL_MOST_Q);
  const __m256 least = _mm256_sub_ps(_mm256_setzero_ps(), most);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), scale);
    if (u) v = _mm256_add_ps(v, _mm256_loadu_ps(u + i));
    v = _mm256_max_ps(_mm256_min_ps(v, most), least);
    _mm256_storeu_si256((__m256i *)(void *)(q + i), _mm256_cvtps_epi32(v));
  }
  plr__quantise_portable(x + i, u ? u + i : NULL, n - i, inverse, q + i);
}

static void scale(const float *x, size_t n, float inverse, float *y) {
  const __m256 s = _mm256_set1_ps(inverse), most = _mm256_set1_ps((float)PLR_MODEL_MOST_Q);
  const __m256 least = _mm256_sub_ps(_mm256_setzero_ps(), most);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), s);
    _mm256_storeu_ps(y + i, _mm256_max_ps(_mm256_min_ps(v, most), least));
  }
  plr__scale_portable(x + i, n - i, inverse, y + i);
}

static void points(const int32_t *q, const uint8_t *index, size_t n, float step,
                   const int32_t *centroid, float *y) {
  const __m256 part = _mm256_set1_ps(step * 0x1p-8f);
  const __m256i last = _mm256_set1_epi32(PLR_MODEL_CENTROID - 1);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(q + i));
    __m256i m = _mm256_abs_epi32(v), at = load8(index + i);
    __m256i point = _mm256_sub_epi32(_mm256_slli_epi32(m, 1), _mm256_srli_epi32(at, 7));
    at = _mm256_add_epi32(_mm256_slli_epi32(at, 4), _mm256_min_epi32(m, last));
    __m256i fine =
        _mm256_sub_epi32(_mm256_slli_epi32(point, 8), _mm256_i32gather_epi32(centroid, at, 4));
    fine = _mm256_sign_epi32(fine, v); /* 0 where q is */
    _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_cvtepi32_ps(fine), part));
  }
  plr__points_portable(q + i, index + i, n - i, step, centroid, y + i);
}

static void dequantise(const int32_t *q, const uint8_t *index, size_t n, float step,
                       const int32_t *centroid, float *y) {
  const __m256 part = _mm256_set1_ps(step * 0x1p-8f);
  const __m256i last = _mm256_set1_epi32(PLR_MODEL_CENTROID - 1);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(q + i));
    __m256i magnitude = _mm256_abs_epi32(v);
    __m256i at =
        _mm256_add_epi32(_mm256_slli_epi32(load8(index + i), 4), _mm256_min_epi32(magnitude, last));
    __m256i fine =
        _mm256_sub_epi32(_mm256_slli_epi32(magnitude, 8), _mm256_i32gather_epi32(centroid, at, 4));
    fine = _mm256_sign_epi32(fine, v); /* fine is 0 where q is */
    _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_cvtepi32_ps(fine), part));
  }
  plr__dequantise_portable(q + i, index + i, n - i, step, centroid, y + i);
}

static void undither(const int32_t *q, const float *u, size_t n, float step, float *y) {
  const __m256 scale = _mm256_set1_ps(step);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 v = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(const void *)(q + i)));
    v = _mm256_sub_ps(v, _mm256_loadu_ps(u + i));
    _mm256_storeu_ps(y + i, _mm256_mul_ps(v, scale));
  }
  plr__undither_portable(q + i, u + i, n - i, step, y + i);
}

static size_t put_places(uint32_t mask, size_t i, uint32_t *places) {
  size_t count = 0;
  for (; mask; mask &= mask - 1) places[count++] = (uint32_t)i + (uint32_t)__builtin_ctz(mask);
  return count;
}

static size_t symbols(const int32_t *q, const uint8_t *index, size_t n, uint32_t trellis,
                      const int32_t *limit, uint8_t *symbol, uint32_t *places) {
  const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi32(1);
  size_t i = 0, count = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i at = load8(index + i);
    __m256i low = _mm256_and_si256(at, _mm256_set1_epi32(127));
    __m256i raw = _mm256_srai_epi32(_mm256_sub_epi32(low, _mm256_set1_epi32(56)), 3);
    raw = _mm256_max_epi32(raw, zero);
    __m256i half = _mm256_srli_epi32(_mm256_sllv_epi32(one, raw), 1);
    __m256i s = _mm256_loadu_si256((const __m256i *)(const void *)(q + i));
    __m256i plain = _mm256_srav_epi32(_mm256_add_epi32(s, half), raw);
    if (trellis) { /* the lowest bit stays */
      __m256i has = _mm256_cmpgt_epi32(raw, zero), more = _mm256_add_epi32(raw, one);
      __m256i h = _mm256_srav_epi32(_mm256_add_epi32(s, _mm256_sllv_epi32(one, raw)), more);
      h = _mm256_add_epi32(_mm256_slli_epi32(h, 1), _mm256_and_si256(s, one));
      plain = _mm256_blendv_epi8(plain, h, has);
    }
    s = plain;
    __m256i escape = _mm256_cmpgt_epi32(_mm256_abs_epi32(s), _mm256_i32gather_epi32(limit, at, 4));
    __m256i code = _mm256_add_epi32(s, _mm256_set1_epi32(PLR_MODEL_ZERO));
    store8(symbol + i, _mm256_blendv_epi8(code, _mm256_set1_epi32(PLR_MODEL_ESCAPE), escape));
    __m256i rest = _mm256_or_si256(escape, _mm256_cmpgt_epi32(raw, zero));
    count += put_places((uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(rest)), i, places + count);
  }
  return count + plr__symbols_portable(q, index, i, n, trellis, limit, symbol, places + count);
}

static size_t values(const uint8_t *symbol, const uint8_t *index, size_t n, int32_t *q,
                     uint32_t *places) {
  size_t i = 0, count = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i s = load8(symbol + i);
    _mm256_storeu_si256((__m256i *)(void *)(q + i),
                        _mm256_sub_epi32(s, _mm256_set1_epi32(PLR_MODEL_ZERO)));
    __m256i low = _mm256_and_si256(load8(index + i), _mm256_set1_epi32(127));
    __m256i rest =
        _mm256_or_si256(_mm256_cmpeq_epi32(s, _mm256_set1_epi32(PLR_MODEL_ESCAPE)),
                        _mm256_cmpgt_epi32(low, _mm256_set1_epi32(PLR_MODEL_TABLES - 1)));
    count += put_places((uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(rest)), i, places + count);
  }
  return count + plr__values_portable(symbol, index, i, n, q, places + count);
}

const plr__model_ops plr__model_avx2 = {.power = power,
                                        .error = error,
                                        .weighted_power = weighted_power,
                                        .add_power = add_power,
                                        .fill_index = fill_index,
                                        .dither = dither,
                                        .quantise = quantise,
                                        .scale = scale,
                                        .points = points,
                                        .dequantise = dequantise,
                                        .undither = undither,
                                        .symbols = symbols,
                                        .values = values,
                                        .encode = plr__rans_encode_avx2,
                                        .decode = plr__rans_decode_avx2};
