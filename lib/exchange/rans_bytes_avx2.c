/* rans_bytes.c with AVX2, eight lanes to a vector. */
#include "exchange/rans_avx2.h"
#include "exchange/rans_bytes.h"

/* One symbol of each of eight lanes, its slot to *slot; 16 bytes can be read at *words. */
static inline __m256i decode8(const plr__bytes_decoder *t, __m256i x, const uint8_t **words,
                              __m256i *slot) {
  const __m256i low = _mm256_set1_epi32(4095);
  __m256i s =
      _mm256_i32gather_epi32((const int *)(const void *)t->slot, _mm256_and_si256(x, low), 4);
  __m256i f = _mm256_and_si256(_mm256_srli_epi32(s, 12), low), place = _mm256_and_si256(s, low);
  x = _mm256_add_epi32(_mm256_mullo_epi32(f, _mm256_srli_epi32(x, 12)), place);
  __m256i need = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)PLR_RANS_LOW), x);
  const uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(need));
  __m256i w = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)*words));
  __m256i order =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)t->expand[mask]));
  w = _mm256_permutevar8x32_epi32(w, order);
  *words += 2 * (uint32_t)__builtin_popcount(mask);
  *slot = s;
  return _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), w), need);
}

/* The top bytes of 32 slots. */
static inline void store32(uint8_t *to, __m256i a, __m256i b, __m256i c, __m256i d) {
  __m256i ab = _mm256_packs_epi32(_mm256_srli_epi32(a, 24), _mm256_srli_epi32(b, 24));
  __m256i cd = _mm256_packs_epi32(_mm256_srli_epi32(c, 24), _mm256_srli_epi32(d, 24));
  __m256i all = _mm256_packus_epi16(ab, cd);
  all = _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256((__m256i *)(void *)to, all);
}

/* 32 symbols on four vectors of states; 64 bytes can be read at *words. */
static inline void decode32(const plr__bytes_decoder *t, __m256i x[4], const uint8_t **words,
                            uint8_t *symbol) {
  __m256i slot[4];
  for (uint32_t v = 0; v < 4; v++) x[v] = decode8(t, x[v], words, &slot[v]);
  store32(symbol, slot[0], slot[1], slot[2], slot[3]);
}

static const uint8_t *decode(const plr__bytes_decoder *t, const uint8_t *words, const uint8_t *end,
                             size_t n, uint32_t lanes, uint32_t *state, uint8_t *symbol) {
  size_t i = 0;
  if (lanes >= 32) {
    const uint32_t vectors = lanes / 8;
    __m256i x[PLR_BYTES_LANES / 8];
    for (uint32_t v = 0; v < vectors; v++)
      x[v] = _mm256_loadu_si256((const __m256i *)(const void *)state + v);
    for (; i < n && end - words >= 2 * (ptrdiff_t)lanes; i += lanes)
      for (uint32_t v = 0; v < vectors; v += 4) decode32(t, x + v, &words, symbol + i + 8 * v);
    for (uint32_t v = 0; v < vectors; v++) _mm256_storeu_si256((__m256i *)(void *)state + v, x[v]);
  }
  return plr__bytes_portable.decode(t, words, end, n - i, lanes, state, symbol + i);
}

static uint8_t *encode(const plr__bytes_encoder *t, const uint8_t *symbol, size_t n, uint32_t lanes,
                       uint32_t *state, uint8_t *end) {
  const uint32_t vectors = lanes / 8;
  __m256i x[PLR_BYTES_LANES / 8];
  if (lanes < 8) return plr__bytes_portable.encode(t, symbol, n, lanes, state, end);
  for (uint32_t v = 0; v < vectors; v++)
    x[v] = _mm256_loadu_si256((const __m256i *)(const void *)state + v);
  for (size_t i = n; i > 0; i -= lanes)
    for (uint32_t v = vectors; v-- > 0;)
      x[v] = plr__rans_encode8(t->entry[0], t->compress, plr__load8(symbol + i - lanes + 8 * v),
                               x[v], &end);
  for (uint32_t v = 0; v < vectors; v++) _mm256_storeu_si256((__m256i *)(void *)state + v, x[v]);
  return end;
}

void plr__separate_avx2(const uint8_t *restrict v, size_t n, uint8_t *restrict exponent,
                        uint8_t *restrict rest) {
  const __m256i byte = _mm256_set1_epi16(0xff), top = _mm256_set1_epi8((char)0x80);
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(v + 2 * i));
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(v + 2 * i + 32));
    __m256i low = _mm256_packus_epi16(_mm256_and_si256(a, byte), _mm256_and_si256(b, byte));
    __m256i e = _mm256_packus_epi16(_mm256_and_si256(_mm256_srli_epi16(a, 7), byte),
                                    _mm256_and_si256(_mm256_srli_epi16(b, 7), byte));
    __m256i high = _mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8));
    __m256i r = _mm256_or_si256(_mm256_andnot_si256(top, low), _mm256_and_si256(top, high));
    _mm256_storeu_si256((__m256i *)(void *)(exponent + i), _mm256_permute4x64_epi64(e, 0xd8));
    _mm256_storeu_si256((__m256i *)(void *)(rest + i), _mm256_permute4x64_epi64(r, 0xd8));
  }
  plr__separate_portable(v + 2 * i, n - i, exponent + i, rest + i);
}

uint32_t plr__unite_avx2(const uint8_t *restrict exponent, const uint8_t *restrict rest, size_t n,
                         uint8_t *restrict v) {
  const __m256i top = _mm256_set1_epi8((char)0x80);
  __m256i largest = _mm256_setzero_si256();
  uint8_t most[32];
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m256i e = _mm256_loadu_si256((const __m256i *)(const void *)(exponent + i));
    __m256i r = _mm256_loadu_si256((const __m256i *)(const void *)(rest + i));
    largest = _mm256_max_epu8(largest, e);
    e = _mm256_permute4x64_epi64(e, 0xd8), r = _mm256_permute4x64_epi64(r, 0xd8);
    __m256i low = _mm256_or_si256(_mm256_andnot_si256(top, r),
                                  _mm256_and_si256(top, _mm256_slli_epi16(e, 7)));
    __m256i high = _mm256_or_si256(_mm256_and_si256(top, r),
                                   _mm256_andnot_si256(top, _mm256_srli_epi16(e, 1)));
    __m256i *to = (__m256i *)(void *)(v + 2 * i);
    _mm256_storeu_si256(to, _mm256_unpacklo_epi8(low, high));
    _mm256_storeu_si256(to + 1, _mm256_unpackhi_epi8(low, high));
  }
  uint32_t all = plr__unite_portable(exponent + i, rest + i, n - i, v + 2 * i);
  _mm256_storeu_si256((__m256i *)(void *)most, largest);
  for (uint32_t k = 0; k < 32; k++) all = PLR_MAX(all, most[k]);
  return all;
}

const plr__bytes_ops plr__bytes_avx2 = {encode, decode, plr__separate_avx2, plr__unite_avx2};
