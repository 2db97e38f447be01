/* rans_bytes.c with AVX-512, sixteen lanes to a vector: half as many steps of the pointer to the words, which is what
 * the AVX2 version waits for. */
#include "exchange/rans_bytes.h"

#include <immintrin.h>

/* One symbol of each of sixteen lanes, its slot to *slot; 32 bytes can be read at *words. */
static inline __m512i decode16(const plr__bytes_decoder *t, __m512i x, const uint8_t **words,
                               __m512i *slot) {
  const __m512i low = _mm512_set1_epi32(4095);
  __m512i s = _mm512_i32gather_epi32(_mm512_and_si512(x, low), t->slot, 4);
  __m512i f = _mm512_and_si512(_mm512_srli_epi32(s, 12), low);
  x = _mm512_add_epi32(_mm512_mullo_epi32(f, _mm512_srli_epi32(x, 12)), _mm512_and_si512(s, low));
  const __mmask16 need = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32((int)PLR_RANS_LOW));
  __m512i w = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)*words));
  w = _mm512_maskz_expand_epi32(need, w);
  *words += 2 * (uint32_t)__builtin_popcount(need);
  *slot = s;
  return _mm512_mask_or_epi32(x, need, _mm512_slli_epi32(x, 16), w);
}

static inline void store16(uint8_t *to, __m512i slot) {
  _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8(_mm512_srli_epi32(slot, 24)));
}

/* 64 symbols on four vectors of states; 128 bytes can be read at *words. */
static inline void decode64(const plr__bytes_decoder *t, __m512i x[4], const uint8_t **words,
                            uint8_t *symbol) {
  __m512i slot[4];
  for (uint32_t v = 0; v < 4; v++) x[v] = decode16(t, x[v], words, &slot[v]);
  for (uint32_t v = 0; v < 4; v++) store16(symbol + 16 * v, slot[v]);
}

static const uint8_t *decode(const plr__bytes_decoder *t, const uint8_t *words, const uint8_t *end,
                             size_t n, uint32_t lanes, uint32_t *state, uint8_t *symbol) {
  size_t i = 0;
  if (lanes == 128) {
    __m512i x[8];
    const uint8_t *p = words;
    for (uint32_t v = 0; v < 8; v++) x[v] = _mm512_loadu_si512(state + 16 * v);
    for (; i < n && end - p >= 256; i += 128) {
      decode64(t, x, &p, symbol + i);
      decode64(t, x + 4, &p, symbol + i + 64);
    }
    words = p;
    for (uint32_t v = 0; v < 8; v++) _mm512_storeu_si512(state + 16 * v, x[v]);
  }
  return plr__bytes_avx2.decode(t, words, end, n - i, lanes, state, symbol + i);
}

static inline __m512i entries_at(const int *entries, __m512i at) {
  return _mm512_i32gather_epi32(at, entries, 8);
}

/* One symbol on each of sixteen lanes. */
static inline __m512i encode16(const plr__bytes_encoder *t, const uint8_t *symbol, __m512i x,
                               uint8_t **end) {
  const int *entries = (const int *)(const void *)t->entry;
  __m512i at = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)symbol));
  __m512i reciprocal = entries_at(entries, at), packed = entries_at(entries + 1, at);
  __m512i f = _mm512_and_si512(packed, _mm512_set1_epi32(4095));
  __m512i shift = _mm512_and_si512(_mm512_srli_epi32(packed, 12), _mm512_set1_epi32(15));
  const __mmask16 full = _mm512_cmpge_epu32_mask(x, _mm512_slli_epi32(f, 19));
  __m256i words = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, x));
  *end -= 2 * (uint32_t)__builtin_popcount(full);
  /* Behind the words that count stand those of the step before, which the mask leaves alone. */
  const __mmask16 count = (__mmask16)((1u << (uint32_t)__builtin_popcount(full)) - 1);
  _mm256_mask_storeu_epi16(*end, count, words);
  x = _mm512_mask_srli_epi32(x, full, x, 16);
  __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(x, reciprocal), 32);
  __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(reciprocal, 32));
  __m512i q = _mm512_srlv_epi32(_mm512_mask_blend_epi32(0xaaaa, even, odd), shift);
  __m512i rest = _mm512_sub_epi32(_mm512_set1_epi32(4096), f);
  x = _mm512_add_epi32(x, _mm512_srli_epi32(packed, 16));
  return _mm512_add_epi32(x, _mm512_mullo_epi32(q, rest));
}

static uint8_t *encode(const plr__bytes_encoder *t, const uint8_t *symbol, size_t n, uint32_t lanes,
                       uint32_t *state, uint8_t *end) {
  if (lanes != 128) return plr__bytes_avx2.encode(t, symbol, n, lanes, state, end);
  __m512i x[8];
  for (uint32_t v = 0; v < 8; v++) x[v] = _mm512_loadu_si512(state + 16 * v);
  for (size_t i = n; i > 0; i -= 128)
    for (uint32_t v = 8; v-- > 0;) x[v] = encode16(t, symbol + i - 128 + 16 * v, x[v], &end);
  for (uint32_t v = 0; v < 8; v++) _mm512_storeu_si512(state + 16 * v, x[v]);
  return end;
}

const plr__bytes_ops plr__bytes_avx512 = {encode, decode, plr__separate_avx2, plr__unite_avx2};
