/* The forward pass of the trellis search with AVX2: eight lanes side by side, the operations of trellis.c. */
#include "exchange/trellis_int.h"

#include <immintrin.h>

/* Costs of the four arcs of eight values: [quantiser * 2 + parity]. */
typedef struct arcs {
  __m256 cost[4];
} arcs;

static __m256 square(__m256 v) {
  return _mm256_mul_ps(v, v);
}

/* 4 j, by its float, of the point nearest to m among 4 j + first; and the symbol 2 j + parity. */
static __m256 nearest(__m256 m, float first, __m256i *j) {
  *j = _mm256_cvtps_epi32(
      _mm256_mul_ps(_mm256_sub_ps(m, _mm256_set1_ps(first)), _mm256_set1_ps(0.25f)));
  return _mm256_cvtepi32_ps(_mm256_slli_epi32(*j, 2));
}

static __m256 rate_of(const float *rate, __m256i table, __m256i v) {
  v = _mm256_min_epi32(v, _mm256_set1_epi32(127));
  return _mm256_i32gather_ps(rate, _mm256_add_epi32(table, v), 4);
}

static __m256 odd_arc(const float *rate, __m256i table, __m256 m, float first) {
  __m256i j;
  __m256 error = _mm256_sub_ps(m, _mm256_add_ps(nearest(m, first, &j), _mm256_set1_ps(first)));
  __m256i v = _mm256_add_epi32(_mm256_slli_epi32(j, 1), _mm256_set1_epi32(1));
  return _mm256_add_ps(square(error), rate_of(rate, table, v));
}

static __m256 even_arc(const float *rate, __m256i table, __m256i limit, __m256 m, float before,
                       __m256i *escapes) {
  __m256i j;
  __m256 four = nearest(m, -before, &j), b = _mm256_set1_ps(before);
  __m256 point = _mm256_andnot_ps(
      _mm256_castsi256_ps(_mm256_cmpeq_epi32(j, _mm256_setzero_si256())), _mm256_sub_ps(four, b));
  __m256i v = _mm256_slli_epi32(j, 1);
  *escapes = _mm256_or_si256(*escapes, _mm256_cmpgt_epi32(v, limit));
  __m256 cost = _mm256_add_ps(square(_mm256_sub_ps(m, point)), rate_of(rate, table, v));
  __m256 zero = _mm256_add_ps(square(m), _mm256_i32gather_ps(rate, table, 4));
  return _mm256_min_ps(zero, cost);
}

static arcs arcs_of(const plr__trellis *t, const float *x, const uint8_t *index) {
  arcs a;
  __m256 m = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_loadu_ps(x));
  __m256i i = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)index));
  __m256i rare = _mm256_cmpgt_epi32(i, _mm256_set1_epi32(PLR_MODEL_TABLES - 1));
  i = _mm256_andnot_si256(rare, i);
  __m256i table0 = _mm256_slli_epi32(i, 7);
  __m256i table1 = _mm256_add_epi32(table0, _mm256_set1_epi32(PLR_MODEL_TABLES * 128));
  __m256i limit0 = _mm256_i32gather_epi32(t->limit, i, 4);
  __m256i limit1 = _mm256_i32gather_epi32(t->limit + PLR_MODEL_TABLES, i, 4);
  a.cost[0] = even_arc(t->rate, table0, limit0, m, 0.0f, &rare);
  a.cost[1] = odd_arc(t->rate, table0, m, 2.0f);
  a.cost[2] = even_arc(t->rate, table1, limit1, m, 1.0f, &rare);
  a.cost[3] = odd_arc(t->rate, table1, m, 1.0f);
  uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(rare));
  if (!mask) return a;
  float cost[4][8]; /* escapes and raw bits, one by one */
  for (uint32_t k = 0; k < 4; k++) _mm256_storeu_ps(cost[k], a.cost[k]);
  for (; mask; mask &= mask - 1) {
    const uint32_t l = (uint32_t)__builtin_ctz(mask);
    int32_t q;
    for (uint32_t k = 0; k < 4; k++)
      cost[k][l] = plr__trellis_arc(t, x[l], index[l], k >> 1, k & 1, &q);
  }
  for (uint32_t k = 0; k < 4; k++) a.cost[k] = _mm256_loadu_ps(cost[k]);
  return a;
}

/* A next state from its two predecessors; its decision is put in at `bit`. */
#define NEXT(s, a, b)                                                                              \
  do {                                                                                             \
    __m256 even_ = _mm256_add_ps(c[a], arc.cost[((a)&1) * 2]);                                     \
    __m256 odd_ = _mm256_add_ps(c[b], arc.cost[((b)&1) * 2 + 1]);                                  \
    __m256 less_ = _mm256_cmp_ps(odd_, even_, _CMP_LT_OQ);                                         \
    next[s] = _mm256_blendv_ps(even_, odd_, less_);                                                \
    bits = _mm256_or_si256(                                                                        \
        bits, _mm256_and_si256(_mm256_castps_si256(less_), _mm256_set1_epi32(1 << (s))));          \
  } while (0)

static __m256i advance(const arcs arc, __m256 c[8]) {
  __m256 next[8];
  __m256i bits = _mm256_setzero_si256();
  NEXT(0, 0, 4);
  NEXT(1, 2, 6);
  NEXT(2, 4, 0);
  NEXT(3, 6, 2);
  NEXT(4, 5, 3);
  NEXT(5, 1, 7);
  NEXT(6, 3, 5);
  NEXT(7, 7, 1);
  for (uint32_t s = 0; s < 8; s++) c[s] = next[s];
  return bits;
}

static void forward8(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                     uint32_t lanes, uint32_t first, float *cost) {
  __m256 c[8];
  for (uint32_t s = 0; s < 8; s++) c[s] = _mm256_set1_ps(s ? PLR_TRELLIS_NEVER : 0.0f);
  for (size_t i = first, step = 0; i < n; i += lanes, step++) {
    __m256i bits = advance(arcs_of(t, x + i, index + i), c);
    __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
    _mm_storel_epi64((__m128i *)(void *)(t->decisions + i), _mm_packus_epi16(words, words));
    if (step % PLR_TRELLIS_REBASE != PLR_TRELLIS_REBASE - 1) continue;
    const __m256 base = c[0];
    for (uint32_t s = 0; s < 8; s++) c[s] = _mm256_sub_ps(c[s], base);
  }
  for (uint32_t s = 0; s < 8; s++) {
    float lane[8];
    _mm256_storeu_ps(lane, c[s]);
    for (uint32_t l = 0; l < 8; l++) cost[8 * (first + l) + s] = lane[l];
  }
}

void plr__trellis_forward_avx2(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                               uint32_t lanes, float *cost) {
  for (uint32_t first = 0; first < lanes; first += 8) forward8(t, x, index, n, lanes, first, cost);
}
