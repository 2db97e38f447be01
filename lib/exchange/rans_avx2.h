/* What the two range coders have in common with AVX2. */
#ifndef PLR_EXCHANGE_RANS_AVX2_H
#define PLR_EXCHANGE_RANS_AVX2_H

#include "exchange/model.h"

#include <immintrin.h>

static inline __m256i plr__load8(const uint8_t *p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

/* The symbols of entries `at` onto eight lanes. */
static inline __m256i plr__rans_encode8(const uint32_t *table, const uint8_t compress[256][8],
                                        __m256i at, __m256i x, uint8_t **end) {
  const int *entries = (const int *)(const void *)table;
  __m256i reciprocal = _mm256_i32gather_epi32(entries, at, 8);
  __m256i packed = _mm256_i32gather_epi32(entries + 1, at, 8);
  __m256i f = _mm256_and_si256(packed, _mm256_set1_epi32(4095));
  __m256i shift = _mm256_and_si256(_mm256_srli_epi32(packed, 12), _mm256_set1_epi32(15));
  __m256i bias = _mm256_srli_epi32(packed, 16);
  __m256i below = _mm256_cmpgt_epi32(_mm256_slli_epi32(f, 19), x); /* no word leaves */
  const uint32_t mask = 0xffu ^ (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(below));
  __m256i words = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
  words = _mm256_permutevar8x32_epi32(words, plr__load8(compress[mask]));
  __m128i packed_words =
      _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128((__m128i *)(void *)(*end - 16), packed_words);
  *end -= 2 * (uint32_t)__builtin_popcount(mask);
  x = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, below);
  __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(x, reciprocal), 32);
  __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(reciprocal, 32));
  __m256i q = _mm256_srlv_epi32(_mm256_blend_epi32(even, odd, 0xaa), shift);
  __m256i rest = _mm256_sub_epi32(_mm256_set1_epi32(4096), f);
  return _mm256_add_epi32(_mm256_add_epi32(x, bias), _mm256_mullo_epi32(q, rest));
}

#endif
