/* Block integers of 4 and 8 bits with AVX-512: the bits of block_portable.c. What costs is not the values but the scale
 * of every few of them, a chain of dependent steps: sixteen groups go through it side by side. All else is AVX2's. */
#include "exchange/block.h"

#include <immintrin.h>

#define GROUPS 16u

/* Lane l of both is the largest, or the least, of all lanes of vector l. */
typedef struct extremes {
  __m512 high, low;
} extremes;

/* Lanes of pairs of vectors, halved four times. */
static inline __m512 fold_halves(__m512 a, __m512 b, int high) {
  __m512 x = _mm512_shuffle_f32x4(a, b, 0x44), y = _mm512_shuffle_f32x4(a, b, 0xee);
  return high ? _mm512_max_ps(x, y) : _mm512_min_ps(x, y);
}
static inline __m512 fold_quarters(__m512 a, __m512 b, int high) {
  __m512 x = _mm512_shuffle_f32x4(a, b, 0x88), y = _mm512_shuffle_f32x4(a, b, 0xdd);
  return high ? _mm512_max_ps(x, y) : _mm512_min_ps(x, y);
}
static inline __m512 fold_pairs(__m512 a, __m512 b, int high) {
  __m512 x = _mm512_shuffle_ps(a, b, 0x44), y = _mm512_shuffle_ps(a, b, 0xee);
  return high ? _mm512_max_ps(x, y) : _mm512_min_ps(x, y);
}
static inline __m512 fold_lanes(__m512 a, __m512 b, int high) {
  __m512 x = _mm512_shuffle_ps(a, b, 0x88), y = _mm512_shuffle_ps(a, b, 0xdd);
  return high ? _mm512_max_ps(x, y) : _mm512_min_ps(x, y);
}

/* Sixteen vectors to one: lane 4 (l mod 4) + l / 4 belongs to vector l. */
static inline __m512 fold(__m512 v[GROUPS], int high) {
#pragma GCC unroll 8
  for (uint32_t i = 0; i < 8; i++) v[i] = fold_halves(v[2 * i], v[2 * i + 1], high);
#pragma GCC unroll 4
  for (uint32_t i = 0; i < 4; i++) v[i] = fold_quarters(v[2 * i], v[2 * i + 1], high);
  v[0] = fold_pairs(v[0], v[1], high), v[1] = fold_pairs(v[2], v[3], high);
  return fold_lanes(v[0], v[1], high);
}

/* 0 when a value is not finite. */
static int extremes_of(const float *x, uint32_t group, extremes *out) {
  __m512 high[GROUPS], low[GROUPS];
  __mmask16 bad = 0;
  for (uint32_t g = 0; g < GROUPS; g++, x += group) {
    __m512 v = _mm512_loadu_ps(x);
    __m512 top = v, bottom = v;
    bad |= _mm512_fpclass_ps_mask(v, 0x99); /* NaN and infinity */
    for (uint32_t i = 16; i < group; i += 16) {
      v = _mm512_loadu_ps(x + i);
      bad |= _mm512_fpclass_ps_mask(v, 0x99);
      top = _mm512_max_ps(top, v), bottom = _mm512_min_ps(bottom, v);
    }
    high[g] = top, low[g] = bottom;
  }
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  out->high = _mm512_permutexvar_ps(order, fold(high, 1));
  out->low = _mm512_permutexvar_ps(order, fold(low, 0));
  return !bad;
}

/* Scales of sixteen groups, and what their values are multiplied with: plr__block_scale. */
static __m512 scales_of(const extremes *e, uint32_t bits, uint8_t *scales) {
  const __m512i sign = _mm512_set1_epi32(0x8000), one = _mm512_set1_epi32(1);
  __m512 bottom = _mm512_sub_ps(_mm512_setzero_ps(), e->low);
  __m512 m = _mm512_mask_mov_ps(e->low, _mm512_cmp_ps_mask(e->high, bottom, _CMP_GT_OQ), e->high);
  m = _mm512_mul_ps(m, _mm512_set1_ps(-1.0f / (float)(1u << (bits - 1))));
  __m512i u = _mm512_castps_si512(m), even = _mm512_and_si512(_mm512_srli_epi32(u, 16), one);
  u = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), even);
  u = _mm512_srli_epi32(u, 16);
  __m512i size = _mm512_and_si512(u, _mm512_set1_epi32(0x7fff));
  const __mmask16 some = _mm512_cmpge_epi32_mask(size, _mm512_set1_epi32(0x80));
  size = _mm512_min_epi32(size, _mm512_set1_epi32((int)plr__scale_max(bits)));
  u = _mm512_maskz_or_epi32(some, size, _mm512_and_si512(u, sign));
  _mm256_storeu_si256((__m256i *)(void *)scales, _mm512_cvtepi32_epi16(u));
  __m512 scale = _mm512_castsi512_ps(_mm512_slli_epi32(u, 16));
  return _mm512_maskz_div_ps(some, _mm512_set1_ps(1.0f), scale);
}

static inline __m128i round16(const float *x, __m512 inverse) {
  return _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse)));
}

static inline __m128i pack_halves(__m128i a, __m128i b) {
  __m256i q = _mm256_set_m128i(b, a);
  q = _mm256_min_epi8(_mm256_max_epi8(q, _mm256_set1_epi8(-8)), _mm256_set1_epi8(7));
  q = _mm256_and_si256(q, _mm256_set1_epi8(15));
  return _mm256_cvtepi16_epi8(
      _mm256_maddubs_epi16(q, _mm256_set1_epi16(0x1001))); /* even + 16 odd */
}

static void quantise_groups(const float *x, uint32_t group, uint32_t bits, const float *inverse,
                            uint8_t *q) {
  for (uint32_t g = 0; g < GROUPS; g++) {
    const __m512 by = _mm512_set1_ps(inverse[g]);
    for (uint32_t i = 0; i < group; i += 32, x += 32) {
      __m128i a = round16(x, by), b = round16(x + 16, by);
      if (bits == 8) {
        _mm256_storeu_si256((__m256i *)(void *)q, _mm256_set_m128i(b, a));
        q += 32;
      } else {
        _mm_storeu_si128((__m128i *)(void *)q, pack_halves(a, b));
        q += 16;
      }
    }
  }
}

static int quantise(const float *x, size_t n, uint32_t group, uint32_t bits, uint8_t *scales,
                    uint8_t *q) {
  if (bits != 4 && bits != 8) return plr__block_portable.quantise(x, n, group, bits, scales, q);
  int finite = 1;
  size_t i = 0;
  for (; i + GROUPS * group <= n; i += GROUPS * group, scales += 2 * GROUPS) {
    extremes e;
    float inverse[GROUPS];
    finite &= extremes_of(x + i, group, &e);
    _mm512_storeu_ps(inverse, scales_of(&e, bits, scales));
    quantise_groups(x + i, group, bits, inverse, q + i * bits / 8);
  }
  return plr__block_avx2.quantise(x + i, n - i, group, bits, scales, q + i * bits / 8) & finite;
}

static void dequantise(const uint8_t *scales, const uint8_t *q, size_t n, uint32_t group,
                       uint32_t bits, float *y) {
  plr__block_avx2.dequantise(scales, q, n, group, bits, y);
}

static int to_bf16(const float *x, size_t n, uint8_t *out) {
  return plr__block_avx2.to_bf16(x, n, out);
}

static int from_bf16(const uint8_t *in, size_t n, float *y) {
  return plr__block_avx2.from_bf16(in, n, y);
}

const plr__block_ops plr__block_avx512 = {quantise, dequantise, to_bf16, from_bf16};
