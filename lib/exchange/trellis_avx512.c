/* The forward pass of the trellis search with AVX-512: sixteen lanes side by side, the operations of trellis.c. */
#include "exchange/trellis_int.h"

#include <immintrin.h>
#include <string.h>

/* Costs of the four arcs of sixteen values: [quantiser * 2 + parity]. */
typedef struct arcs {
  __m512 cost[4];
} arcs;

/* What the arcs of sixteen values have in common. */
typedef struct values {
  __m512 m;
  __m512i raw;
  __mmask16 any_raw, negative;
} values;

static __m512 square(__m512 v) {
  return _mm512_mul_ps(v, v);
}

static values values_of(const float *x, __m512i index) {
  const __m512 v = _mm512_loadu_ps(x);
  __m512i raw = _mm512_srai_epi32(_mm512_sub_epi32(index, _mm512_set1_epi32(56)), 3);
  raw = _mm512_max_epi32(raw, _mm512_setzero_si512());
  return (values){_mm512_abs_ps(v), raw, _mm512_cmpgt_epi32_mask(raw, _mm512_setzero_si512()),
                  _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ)};
}

/* Magnitudes of the symbols of v, whose sign is that of the value. */
static __m512i symbols_of(const values *a, __m512i v) {
  if (!a->any_raw) return v;
  const __m512i one = _mm512_set1_epi32(1);
  __m512i q = _mm512_mask_sub_epi32(v, a->negative, _mm512_setzero_si512(), v);
  __m512i h = _mm512_srav_epi32(_mm512_add_epi32(q, _mm512_sllv_epi32(one, a->raw)),
                                _mm512_add_epi32(a->raw, one));
  __m512i y = _mm512_add_epi32(_mm512_slli_epi32(h, 1), _mm512_and_si512(q, one));
  return _mm512_mask_abs_epi32(v, a->any_raw, y);
}

/* The cost of the nearest point of an arc; first: the point of its first q. */
static __m512 arc_of(const plr__trellis *t, const values *a, __m512i rates, float first_point,
                     int parity, __mmask16 *escapes) {
  const __m512 first = _mm512_set1_ps(first_point);
  __m512i j = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_sub_ps(a->m, first), _mm512_set1_ps(0.25f)));
  __m512i v = _mm512_add_epi32(_mm512_slli_epi32(j, 1), _mm512_set1_epi32(parity));
  __m512 point = _mm512_add_ps(_mm512_cvtepi32_ps(_mm512_slli_epi32(j, 2)), first);
  point = _mm512_maskz_mov_ps(_mm512_test_epi32_mask(v, v), point);
  __m512i s = _mm512_min_epi32(symbols_of(a, v), _mm512_set1_epi32(127));
  __m512 rate = _mm512_i32gather_ps(_mm512_add_epi32(rates, s), t->rate, 4);
  *escapes = _mm512_cmp_ps_mask(rate, _mm512_set1_ps(PLR_TRELLIS_NEVER), _CMP_GE_OQ);
  return _mm512_add_ps(square(_mm512_sub_ps(a->m, point)), rate);
}

static arcs arcs_of(const plr__trellis *t, const float *x, const uint8_t *index) {
  arcs r;
  __mmask16 odd, even[2];
  const __m512i at = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)index));
  const values a = values_of(x, at);
  __m512i table = _mm512_mask_or_epi32(at, a.any_raw, _mm512_and_si512(at, _mm512_set1_epi32(7)),
                                       _mm512_set1_epi32(56));
  const __m512 never = _mm512_set1_ps(PLR_TRELLIS_NEVER), squares = square(a.m);
  for (uint32_t k = 0; k < 2; k++) {
    const __m512i rates = _mm512_slli_epi32(
        _mm512_add_epi32(table, _mm512_set1_epi32((int)(k * PLR_MODEL_TABLES))), 7);
    __m512 zero = _mm512_add_ps(squares, _mm512_i32gather_ps(rates, t->rate, 4));
    r.cost[2 * k] = _mm512_min_ps(zero, arc_of(t, &a, rates, k ? -1.0f : 0.0f, 0, &even[k]));
    r.cost[2 * k + 1] = arc_of(t, &a, rates, k ? 1.0f : 2.0f, 1, &odd);
    r.cost[2 * k + 1] = _mm512_mask_mov_ps(r.cost[2 * k + 1], odd, never);
  }
  uint32_t mask = even[0] | even[1];
  if (!mask) return r;
  float cost[4][16]; /* escapes, one by one */
  for (uint32_t k = 0; k < 4; k++) _mm512_storeu_ps(cost[k], r.cost[k]);
  for (; mask; mask &= mask - 1) {
    const uint32_t l = (uint32_t)__builtin_ctz(mask);
    int32_t q;
    for (uint32_t k = 0; k < 4; k++)
      cost[k][l] = plr__trellis_arc(t, x[l], index[l], k >> 1, k & 1, &q);
  }
  for (uint32_t k = 0; k < 4; k++) r.cost[k] = _mm512_loadu_ps(cost[k]);
  return r;
}

/* Each state from its two predecessors; the decisions of state s go to bytes 4 s and 4 s + 1. */
static inline void advance(const arcs arc, __m512 c[PLR_TRELLIS_STATES], uint8_t *to) {
  __m512 next[PLR_TRELLIS_STATES];
#pragma GCC unroll 16
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) {
    const uint32_t a = plr__trellis_from(s, 0), b = plr__trellis_from(s, 1);
    __m512 even = _mm512_add_ps(c[a], arc.cost[(a & 1) * 2]);
    __m512 odd = _mm512_add_ps(c[b], arc.cost[(b & 1) * 2 + 1]);
    const __mmask16 less = _mm512_cmp_ps_mask(odd, even, _CMP_LT_OQ);
    next[s] = _mm512_mask_mov_ps(even, less, odd);
    memcpy(to + 4 * s, &less, sizeof less);
  }
#pragma GCC unroll 16
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) c[s] = next[s];
}

static void forward16(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                      uint32_t lanes, uint32_t first, float *cost) {
  __m512 c[PLR_TRELLIS_STATES];
  uint8_t *to = t->decisions + first / 8;
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++)
    c[s] = _mm512_set1_ps(s ? PLR_TRELLIS_NEVER : 0.0f);
  for (size_t i = first, step = 0; i < n; i += lanes, step++, to += PLR_TRELLIS_STEP) {
    advance(arcs_of(t, x + i, index + i), c, to);
    if (step % PLR_TRELLIS_REBASE != PLR_TRELLIS_REBASE - 1) continue;
    const __m512 base = c[0];
    for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) c[s] = _mm512_sub_ps(c[s], base);
  }
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) {
    float lane[16];
    _mm512_storeu_ps(lane, c[s]);
    for (uint32_t l = 0; l < 16; l++) cost[PLR_TRELLIS_STATES * (first + l) + s] = lane[l];
  }
}

void plr__trellis_forward_avx512(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                                 uint32_t lanes, float *cost) {
  if (lanes < 16) {
    plr__trellis_forward_avx2(t, x, index, n, lanes, cost);
    return;
  }
  for (uint32_t first = 0; first < lanes; first += 16)
    forward16(t, x, index, n, lanes, first, cost);
}
