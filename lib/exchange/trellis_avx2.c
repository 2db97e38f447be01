/* The trellis search with AVX2: eight lanes side by side, the operations of trellis.c. */
#include "exchange/trellis_int.h"

#include <immintrin.h>

/* Costs of the four arcs of eight values: [quantiser * 2 + parity]. */
typedef struct arcs {
  __m256 cost[4];
} arcs;

/* What the arcs of eight values have in common. */
typedef struct values {
  __m256 m;             /* magnitude */
  __m256i raw, any_raw; /* raw bits; all ones where there are some */
  __m256i negative;     /* all ones where the value is */
} values;

static __m256 square(__m256 v) {
  return _mm256_mul_ps(v, v);
}

static __m256i load8(const uint8_t *p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

/* Number of the table of an index without its bit 7. */
static __m256i table_of(__m256i index) {
  __m256i beyond = _mm256_cmpgt_epi32(index, _mm256_set1_epi32(PLR_MODEL_TABLES - 1));
  __m256i folded =
      _mm256_or_si256(_mm256_and_si256(index, _mm256_set1_epi32(7)), _mm256_set1_epi32(56));
  return _mm256_blendv_epi8(index, folded, beyond);
}

static values values_of(const float *x, __m256i index) {
  const __m256 top = _mm256_set1_ps(-0.0f), v = _mm256_loadu_ps(x);
  __m256i raw = _mm256_srai_epi32(_mm256_sub_epi32(index, _mm256_set1_epi32(56)), 3);
  raw = _mm256_max_epi32(raw, _mm256_setzero_si256());
  return (values){_mm256_andnot_ps(top, v), raw, _mm256_cmpgt_epi32(raw, _mm256_setzero_si256()),
                  _mm256_castps_si256(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_LT_OQ))};
}

/* Magnitudes of the symbols of v, whose sign is that of the value. */
static __m256i symbols_of(const values *a, __m256i v) {
  if (_mm256_testz_si256(a->any_raw, a->any_raw)) return v;
  const __m256i one = _mm256_set1_epi32(1);
  __m256i q = _mm256_sub_epi32(_mm256_xor_si256(v, a->negative), a->negative);
  __m256i h = _mm256_srav_epi32(_mm256_add_epi32(q, _mm256_sllv_epi32(one, a->raw)),
                                _mm256_add_epi32(a->raw, one));
  __m256i y = _mm256_add_epi32(_mm256_slli_epi32(h, 1), _mm256_and_si256(q, one));
  return _mm256_blendv_epi8(v, _mm256_abs_epi32(y), a->any_raw);
}

/* The nearest point of an arc, with its symbol's magnitude and its cost but for escapes. first: float of quantiser and
 * parity; v: the magnitude of q. */
static __m256 arc_of(const plr__trellis *t, const values *a, __m256i table, __m256 first,
                     __m256i parity, __m256i *v, __m256i *escapes) {
  __m256i j = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_sub_ps(a->m, first), _mm256_set1_ps(0.25f)));
  *v = _mm256_add_epi32(_mm256_slli_epi32(j, 1), parity);
  __m256 point = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_slli_epi32(j, 2)), first);
  point =
      _mm256_andnot_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(*v, _mm256_setzero_si256())), point);
  __m256i s = _mm256_min_epi32(symbols_of(a, *v), _mm256_set1_epi32(127));
  __m256 rate = _mm256_i32gather_ps(t->rate, _mm256_add_epi32(_mm256_slli_epi32(table, 7), s), 4);
  *escapes =
      _mm256_castps_si256(_mm256_cmp_ps(rate, _mm256_set1_ps(PLR_TRELLIS_NEVER), _CMP_GE_OQ));
  return _mm256_add_ps(square(_mm256_sub_ps(a->m, point)), rate);
}

static __m256 zero_of(const plr__trellis *t, const values *a, __m256i table) {
  return _mm256_add_ps(square(a->m), _mm256_i32gather_ps(t->rate, _mm256_slli_epi32(table, 7), 4));
}

static arcs arcs_of(const plr__trellis *t, const float *x, const uint8_t *index) {
  static const float firsts[4] = {0.0f, 2.0f, -1.0f, 1.0f};
  arcs r;
  const __m256i at = load8(index);
  const values a = values_of(x, at);
  __m256i rare = _mm256_setzero_si256(), table = table_of(at), v, escapes;
  for (uint32_t k = 0; k < 4; k++) {
    const __m256i parity = _mm256_set1_epi32((int)(k & 1));
    if (k == 2) table = _mm256_add_epi32(table, _mm256_set1_epi32(PLR_MODEL_TABLES));
    r.cost[k] = arc_of(t, &a, table, _mm256_set1_ps(firsts[k]), parity, &v, &escapes);
    if (k & 1) {
      r.cost[k] = _mm256_blendv_ps(r.cost[k], _mm256_set1_ps(PLR_TRELLIS_NEVER),
                                   _mm256_castsi256_ps(escapes));
    } else {
      r.cost[k] = _mm256_min_ps(zero_of(t, &a, table), r.cost[k]);
      rare = _mm256_or_si256(rare, escapes);
    }
  }
  uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(rare));
  if (!mask) return r;
  float cost[4][8]; /* escapes, one by one */
  for (uint32_t k = 0; k < 4; k++) _mm256_storeu_ps(cost[k], r.cost[k]);
  for (; mask; mask &= mask - 1) {
    const uint32_t l = (uint32_t)__builtin_ctz(mask);
    int32_t q;
    for (uint32_t k = 0; k < 4; k++)
      cost[k][l] = plr__trellis_arc(t, x[l], index[l], k >> 1, k & 1, &q);
  }
  for (uint32_t k = 0; k < 4; k++) r.cost[k] = _mm256_loadu_ps(cost[k]);
  return r;
}

/* Each state from its two predecessors; the decisions of state s go to byte 4 s. */
static inline void advance(const arcs arc, __m256 c[PLR_TRELLIS_STATES], uint8_t *to) {
  __m256 next[PLR_TRELLIS_STATES];
#pragma GCC unroll 16
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) {
    const uint32_t a = plr__trellis_from(s, 0), b = plr__trellis_from(s, 1);
    __m256 even = _mm256_add_ps(c[a], arc.cost[(a & 1) * 2]);
    __m256 odd = _mm256_add_ps(c[b], arc.cost[(b & 1) * 2 + 1]);
    __m256 less = _mm256_cmp_ps(odd, even, _CMP_LT_OQ);
    next[s] = _mm256_blendv_ps(even, odd, less);
    to[4 * s] = (uint8_t)_mm256_movemask_ps(less);
  }
#pragma GCC unroll 16
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) c[s] = next[s];
}

static void forward8(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                     uint32_t lanes, uint32_t first, float *cost) {
  __m256 c[PLR_TRELLIS_STATES];
  uint8_t *to = t->decisions + first / 8;
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++)
    c[s] = _mm256_set1_ps(s ? PLR_TRELLIS_NEVER : 0.0f);
  for (size_t i = first, step = 0; i < n; i += lanes, step++, to += PLR_TRELLIS_STEP) {
    advance(arcs_of(t, x + i, index + i), c, to);
    if (step % PLR_TRELLIS_REBASE != PLR_TRELLIS_REBASE - 1) continue;
    const __m256 base = c[0];
    for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) c[s] = _mm256_sub_ps(c[s], base);
  }
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) {
    float lane[8];
    _mm256_storeu_ps(lane, c[s]);
    for (uint32_t l = 0; l < 8; l++) cost[PLR_TRELLIS_STATES * (first + l) + s] = lane[l];
  }
}

void plr__trellis_forward_avx2(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                               uint32_t lanes, float *cost) {
  for (uint32_t first = 0; first < lanes; first += 8) forward8(t, x, index, n, lanes, first, cost);
}

void plr__trellis_choose_avx2(const plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                              int32_t *q) {
  const __m256i one = _mm256_set1_epi32(1), zero = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i full = load8(index + i), at = _mm256_and_si256(full, _mm256_set1_epi32(127));
    const __m256i second = _mm256_srli_epi32(full, 7);
    const __m256i parity = _mm256_loadu_si256((const __m256i *)(const void *)(q + i));
    const __m256i table = _mm256_add_epi32(table_of(at), _mm256_slli_epi32(second, 6));
    const values a = values_of(x + i, at);
    __m256i escapes, v, is_odd = _mm256_cmpgt_epi32(parity, zero);
    /* 0 and 2 of the first quantiser, -1 and 1 of the second */
    __m256 first = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_slli_epi32(parity, 1), second));
    __m256 cost = arc_of(t, &a, table, first, parity, &v, &escapes);
    __m256 less = _mm256_cmp_ps(zero_of(t, &a, table), cost, _CMP_LT_OQ);
    v = _mm256_andnot_si256(_mm256_andnot_si256(is_odd, _mm256_castps_si256(less)), v);
    const uint32_t rare = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(escapes));
    uint32_t odd[8];
    if (rare) _mm256_storeu_si256((__m256i *)(void *)odd, _mm256_and_si256(parity, one));
    _mm256_storeu_si256((__m256i *)(void *)(q + i),
                        _mm256_sub_epi32(_mm256_xor_si256(v, a.negative), a.negative));
    for (uint32_t mask = rare; mask; mask &= mask - 1) {
      const uint32_t l = (uint32_t)__builtin_ctz(mask);
      plr__trellis_arc(t, x[i + l], index[i + l] & 127u, index[i + l] >> 7, odd[l], &q[i + l]);
    }
  }
  plr__trellis_choose_portable(t, x + i, index + i, n - i, q + i);
}
