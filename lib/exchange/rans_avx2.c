/* The range coder with AVX2, eight lanes to a vector: the same bytes as rans_portable.c. */
#include "exchange/rans_avx2.h"
#include "exchange/rans.h"

/* Number of the table of an index, with the second family after the first. */
static __m256i table_of(__m256i index) {
  const __m256i low = _mm256_and_si256(index, _mm256_set1_epi32(127));
  __m256i beyond = _mm256_cmpgt_epi32(low, _mm256_set1_epi32(PLR_MODEL_TABLES - 1));
  __m256i folded =
      _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi32(7)), _mm256_set1_epi32(56));
  __m256i family = _mm256_slli_epi32(_mm256_srli_epi32(index, 7), 6);
  return _mm256_add_epi32(_mm256_blendv_epi8(low, folded, beyond), family);
}

/* One symbol on each of eight lanes. */
static inline __m256i encode8(const plr__rans_encoder *t, const uint8_t *symbol,
                              const uint8_t *index, __m256i x, uint8_t **end) {
  __m256i at =
      _mm256_add_epi32(_mm256_slli_epi32(table_of(plr__load8(index)), 8), plr__load8(symbol));
  return plr__rans_encode8(t->entry[0], t->compress, at, x, end);
}

uint8_t *plr__rans_encode_avx2(const plr__rans_encoder *t, const uint8_t *symbol,
                               const uint8_t *index, size_t n, uint32_t lanes, uint32_t *state,
                               uint8_t *end) {
  __m256i *states = (__m256i *)(void *)state;
  if (lanes == 8) {
    __m256i x = _mm256_loadu_si256(states);
    for (size_t i = n; i > 0; i -= 8) x = encode8(t, symbol + i - 8, index + i - 8, x, &end);
    _mm256_storeu_si256(states, x);
    return end;
  }
  __m256i a = _mm256_loadu_si256(states), b = _mm256_loadu_si256(states + 1);
  __m256i c = _mm256_loadu_si256(states + 2), d = _mm256_loadu_si256(states + 3);
  for (size_t i = n; i > 0; i -= 32) {
    d = encode8(t, symbol + i - 8, index + i - 8, d, &end);
    c = encode8(t, symbol + i - 16, index + i - 16, c, &end);
    b = encode8(t, symbol + i - 24, index + i - 24, b, &end);
    a = encode8(t, symbol + i - 32, index + i - 32, a, &end);
  }
  _mm256_storeu_si256(states, a), _mm256_storeu_si256(states + 1, b);
  _mm256_storeu_si256(states + 2, c), _mm256_storeu_si256(states + 3, d);
  return end;
}

static void store8(uint8_t *p, __m256i v) {
  __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(words, words));
}

/* One symbol of each of eight lanes; 16 bytes can be read at *words. */
static inline __m256i decode8(const plr__rans_decoder *t, __m256i table, __m256i x,
                              const uint8_t **words, __m256i *symbol) {
  __m256i place = _mm256_and_si256(x, _mm256_set1_epi32(4095));
  __m256i at = _mm256_or_si256(_mm256_slli_epi32(table, 12), place);
  __m256i s = _mm256_and_si256(_mm256_i32gather_epi32((const int *)(const void *)t->symbol, at, 1),
                               _mm256_set1_epi32(255));
  __m256i slot = _mm256_i32gather_epi32((const int *)(const void *)t->slot,
                                        _mm256_or_si256(_mm256_slli_epi32(table, 8), s), 4);
  __m256i f = _mm256_and_si256(slot, _mm256_set1_epi32(0xffff));
  x = _mm256_mullo_epi32(f, _mm256_srli_epi32(x, 12));
  x = _mm256_add_epi32(x, _mm256_sub_epi32(place, _mm256_srli_epi32(slot, 16)));
  __m256i need = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)PLR_RANS_LOW), x);
  const uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(need));
  __m256i w = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)*words));
  w = _mm256_permutevar8x32_epi32(w, plr__load8(t->expand[mask]));
  *words += 2 * (uint32_t)__builtin_popcount(mask);
  *symbol = s;
  return _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), w), need);
}

/* Next trellis states; the symbol of q = 0 is odd. */
static __m256i next_state(__m256i lane_state, __m256i symbol) {
  const __m256i one = _mm256_set1_epi32(1);
  __m256i low = _mm256_and_si256(lane_state, one);
  __m256i turn = _mm256_andnot_si256(_mm256_xor_si256(lane_state, symbol), one);
  __m256i feed = _mm256_or_si256(low, _mm256_slli_epi32(low, 3)); /* 9 */
  return _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi32(lane_state, 1), feed),
                          _mm256_slli_epi32(turn, 1));
}

static inline __m256i decode_trellis8(const plr__rans_decoder *t, uint8_t *index, __m256i x,
                                      const uint8_t **words, __m256i *lane_state, uint8_t *symbol) {
  __m256i family = _mm256_and_si256(*lane_state, _mm256_set1_epi32(1));
  __m256i at = _mm256_or_si256(plr__load8(index), _mm256_slli_epi32(family, 7)), s;
  store8(index, at);
  x = decode8(t, table_of(at), x, words, &s);
  store8(symbol, s);
  *lane_state = next_state(*lane_state, s);
  return x;
}

static inline __m256i decode_plain8(const plr__rans_decoder *t, const uint8_t *index, __m256i x,
                                    const uint8_t **words, uint8_t *symbol) {
  __m256i s;
  x = decode8(t, table_of(plr__load8(index)), x, words, &s);
  store8(symbol, s);
  return x;
}

/* Both end where 16 bytes a vector may no longer be read; returns how many values are done. */
static size_t decode_plain(const plr__rans_decoder *t, const uint8_t **words, const uint8_t *end,
                           const uint8_t *index, size_t n, uint32_t lanes, uint32_t *state,
                           uint8_t *symbol) {
  __m256i *states = (__m256i *)(void *)state;
  size_t i = 0;
  __m256i a = _mm256_loadu_si256(states);
  if (lanes == 8) {
    for (; i < n && end - *words >= 16; i += 8)
      a = decode_plain8(t, index + i, a, words, symbol + i);
    _mm256_storeu_si256(states, a);
    return i;
  }
  __m256i b = _mm256_loadu_si256(states + 1), c = _mm256_loadu_si256(states + 2);
  __m256i d = _mm256_loadu_si256(states + 3);
  const uint8_t *p = *words;
  for (; i < n && end - p >= 64; i += 32) {
    a = decode_plain8(t, index + i, a, &p, symbol + i);
    b = decode_plain8(t, index + i + 8, b, &p, symbol + i + 8);
    c = decode_plain8(t, index + i + 16, c, &p, symbol + i + 16);
    d = decode_plain8(t, index + i + 24, d, &p, symbol + i + 24);
  }
  *words = p;
  _mm256_storeu_si256(states, a), _mm256_storeu_si256(states + 1, b);
  _mm256_storeu_si256(states + 2, c), _mm256_storeu_si256(states + 3, d);
  return i;
}

static size_t decode_trellis(const plr__rans_decoder *t, const uint8_t **words, const uint8_t *end,
                             uint8_t *index, size_t n, uint32_t lanes, uint32_t *state,
                             uint32_t *lane_state, uint8_t *symbol) {
  const uint32_t vectors = lanes / 8;
  const ptrdiff_t room = (ptrdiff_t)vectors * 16;
  __m256i x[4], l[4];
  for (uint32_t v = 0; v < vectors; v++) {
    x[v] = _mm256_loadu_si256((const __m256i *)(const void *)state + v);
    l[v] = _mm256_setzero_si256();
  }
  const uint8_t *p = *words;
  size_t i = 0;
  for (; i < n && end - p >= room; i += lanes)
    for (uint32_t v = 0; v < vectors; v++)
      x[v] = decode_trellis8(t, index + i + 8 * v, x[v], &p, &l[v], symbol + i + 8 * v);
  *words = p;
  for (uint32_t v = 0; v < vectors; v++) {
    _mm256_storeu_si256((__m256i *)(void *)state + v, x[v]);
    _mm256_storeu_si256((__m256i *)(void *)lane_state + v, l[v]);
  }
  return i;
}

const uint8_t *plr__rans_decode_avx2(const plr__rans_decoder *t, const uint8_t *words,
                                     const uint8_t *end, uint8_t *index, size_t n, uint32_t lanes,
                                     uint32_t trellis, uint32_t *state, uint8_t *symbol) {
  uint32_t lane_state[PLR_RANS_LANES] = {0};
  size_t done = trellis ? decode_trellis(t, &words, end, index, n, lanes, state, lane_state, symbol)
                        : decode_plain(t, &words, end, index, n, lanes, state, symbol);
  return plr__rans_decode_from(t, words, end, index, done, n, lanes, trellis, state, lane_state,
                               symbol);
}
