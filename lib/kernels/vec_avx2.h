/* Sixteen float lanes as two AVX2 registers, eight double lanes as two: the names of vec_portable.h, same bits. */
#ifndef PLR_KERNELS_VEC_AVX2_H
#define PLR_KERNELS_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>

/* Rows of a register tile of 16 lanes (body_attention.h). */
#define PLR_TILE_ROWS   6
#define PLR_EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)

typedef struct v16 {
  __m256 lo, hi;
} v16;

typedef struct m16 { /* lanes whose bits are all ones are on */
  __m256i lo, hi;
} m16;

typedef struct d8 {
  __m256d lo, hi;
} d8;

#define PLR_V16(low, high)                                                                         \
  v16 r = {low, high};                                                                             \
  return r
#define PLR_D8(low, high)                                                                          \
  d8 r = {low, high};                                                                              \
  return r

static inline v16 v16_set1(float x) {
  PLR_V16(_mm256_set1_ps(x), _mm256_set1_ps(x));
}
static inline v16 v16_load(const float *p) {
  PLR_V16(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
static inline void v16_store(float *p, v16 x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
static inline m16 m16_first(int n) {
  const __m256i iota = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  m16 m = {_mm256_cmpgt_epi32(_mm256_set1_epi32(n), iota),
           _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), iota)};
  return m;
}
static inline v16 v16_load_n(const float *p, int n) {
  m16 m = m16_first(n);
  PLR_V16(_mm256_maskload_ps(p, m.lo), _mm256_maskload_ps(p + 8, m.hi));
}
static inline void v16_store_n(float *p, v16 x, int n) {
  m16 m = m16_first(n);
  _mm256_maskstore_ps(p, m.lo, x.lo);
  _mm256_maskstore_ps(p + 8, m.hi, x.hi);
}
static inline v16 v16_add(v16 a, v16 b) {
  PLR_V16(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi));
}
static inline v16 v16_sub(v16 a, v16 b) {
  PLR_V16(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi));
}
static inline v16 v16_mul(v16 a, v16 b) {
  PLR_V16(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi));
}
static inline v16 v16_div(v16 a, v16 b) {
  PLR_V16(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi));
}
static inline v16 v16_sqrt(v16 a) {
  PLR_V16(_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi));
}
/* maxps and minps return the second operand on equality and on NaN, which is a > b ? a : b. */
static inline v16 v16_max(v16 a, v16 b) {
  PLR_V16(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi));
}
static inline v16 v16_min(v16 a, v16 b) {
  PLR_V16(_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi));
}
static inline v16 v16_fma(v16 a, v16 b, v16 c) {
  PLR_V16(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}
static inline v16 v16_fnma(v16 a, v16 b, v16 c) {
  PLR_V16(_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi));
}
static inline v16 v16_select(m16 m, v16 on, v16 off) {
  PLR_V16(_mm256_blendv_ps(off.lo, on.lo, _mm256_castsi256_ps(m.lo)),
          _mm256_blendv_ps(off.hi, on.hi, _mm256_castsi256_ps(m.hi)));
}
static inline v16 v16_if_greater(v16 a, v16 b, v16 on, v16 off) {
  PLR_V16(_mm256_blendv_ps(off.lo, on.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ)),
          _mm256_blendv_ps(off.hi, on.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ)));
}
static inline float v16_sum(v16 a) {
  __m256 eight = _mm256_add_ps(a.lo, a.hi);
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
static inline float v16_hmax(v16 a) {
  __m256 eight = _mm256_max_ps(a.lo, a.hi);
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
/* Eight rows of eight to y, whose rows are 16 apart: 4-lane transposes, then halves joined. */
static inline void plr_transpose8x8(const float *x, int64_t ldx, float *y) {
  for (int i = 0; i < 8; i += 4) {
    __m256 r[4];
    for (int j = 0; j < 4; j++)
      r[j] = _mm256_set_m128(_mm_loadu_ps(x + (j + 4) * ldx + i), _mm_loadu_ps(x + j * ldx + i));
    __m256 a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
    __m256 c = _mm256_unpacklo_ps(r[2], r[3]), d = _mm256_unpackhi_ps(r[2], r[3]);
    _mm256_storeu_ps(y + 16 * i, _mm256_shuffle_ps(a, c, 0x44));
    _mm256_storeu_ps(y + 16 * i + 16, _mm256_shuffle_ps(a, c, 0xEE));
    _mm256_storeu_ps(y + 16 * i + 32, _mm256_shuffle_ps(b, d, 0x44));
    _mm256_storeu_ps(y + 16 * i + 48, _mm256_shuffle_ps(b, d, 0xEE));
  }
}
static inline void v16_transpose8(const float *x, int64_t ldx, float *y) {
  plr_transpose8x8(x, ldx, y);
  plr_transpose8x8(x + 8 * ldx, ldx, y + 8);
}
static inline __m256 plr_scale2_ps(__m256 p, __m256 t) {
  __m256i k = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(0x4B400000));
  __m256i half = _mm256_srai_epi32(k, 1), bias = _mm256_set1_epi32(127);
  __m256i rest = _mm256_sub_epi32(k, half);
  __m256i s1 = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  __m256i s2 = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(s1)), _mm256_castsi256_ps(s2));
}
static inline v16 v16_scale2(v16 p, v16 t) {
  PLR_V16(plr_scale2_ps(p.lo, t.lo), plr_scale2_ps(p.hi, t.hi));
}

static inline d8 d8_set1(double x) {
  PLR_D8(_mm256_set1_pd(x), _mm256_set1_pd(x));
}
static inline d8 d8_from_u32(const uint32_t *p) {
  PLR_D8(_mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)(const void *)p)),
         _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)(const void *)(p + 4))));
}
static inline d8 d8_from_low(v16 x) {
  PLR_D8(_mm256_cvtps_pd(_mm256_castps256_ps128(x.lo)),
         _mm256_cvtps_pd(_mm256_extractf128_ps(x.lo, 1)));
}
static inline d8 d8_from_high(v16 x) {
  PLR_D8(_mm256_cvtps_pd(_mm256_castps256_ps128(x.hi)),
         _mm256_cvtps_pd(_mm256_extractf128_ps(x.hi, 1)));
}
static inline v16 v16_from_d8(d8 low, d8 high) {
  PLR_V16(_mm256_set_m128(_mm256_cvtpd_ps(low.hi), _mm256_cvtpd_ps(low.lo)),
          _mm256_set_m128(_mm256_cvtpd_ps(high.hi), _mm256_cvtpd_ps(high.lo)));
}
static inline d8 d8_add(d8 a, d8 b) {
  PLR_D8(_mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi));
}
static inline d8 d8_sub(d8 a, d8 b) {
  PLR_D8(_mm256_sub_pd(a.lo, b.lo), _mm256_sub_pd(a.hi, b.hi));
}
static inline d8 d8_mul(d8 a, d8 b) {
  PLR_D8(_mm256_mul_pd(a.lo, b.lo), _mm256_mul_pd(a.hi, b.hi));
}
static inline d8 d8_div(d8 a, d8 b) {
  PLR_D8(_mm256_div_pd(a.lo, b.lo), _mm256_div_pd(a.hi, b.hi));
}
static inline d8 d8_sqrt(d8 a) {
  PLR_D8(_mm256_sqrt_pd(a.lo), _mm256_sqrt_pd(a.hi));
}
static inline d8 d8_fma(d8 a, d8 b, d8 c) {
  PLR_D8(_mm256_fmadd_pd(a.lo, b.lo, c.lo), _mm256_fmadd_pd(a.hi, b.hi, c.hi));
}
static inline d8 d8_fnma(d8 a, d8 b, d8 c) {
  PLR_D8(_mm256_fnmadd_pd(a.lo, b.lo, c.lo), _mm256_fnmadd_pd(a.hi, b.hi, c.hi));
}
static inline double d8_sum(d8 a) {
  __m256d four = _mm256_add_pd(a.lo, a.hi);
  __m128d x = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}
static inline __m256d plr_split_pd(__m256d x, __m256d *e) {
  const __m256i bias = _mm256_set1_epi64x(0x4000000000000000);
  const __m256i magic = _mm256_set1_epi64x(0x4330000000000000); /* 2^52 */
  __m256i bits = _mm256_castpd_si256(x);
  __m256i t = _mm256_sub_epi64(bits, _mm256_set1_epi64x(0x3FE6A09E667F3BCD));
  __m256i exponent = _mm256_srli_epi64(_mm256_add_epi64(t, bias), 52);
  *e = _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(exponent, magic)),
                     _mm256_set1_pd(4503599627370496.0 + 1024.0));
  t = _mm256_sub_epi64(_mm256_slli_epi64(exponent, 52), bias);
  return _mm256_castsi256_pd(_mm256_sub_epi64(bits, t));
}
static inline d8 d8_split(d8 x, d8 *e) {
  PLR_D8(plr_split_pd(x.lo, &e->lo), plr_split_pd(x.hi, &e->hi));
}
static inline void plr_quadrant_pd(__m256d t, __m256d *s, __m256d *c) {
  __m256i q = _mm256_castpd_si256(t), two = _mm256_set1_epi64x(2);
  __m256d odd = _mm256_castsi256_pd(_mm256_slli_epi64(q, 63));
  __m256i next = _mm256_add_epi64(q, _mm256_set1_epi64x(1));
  __m256d flip_s = _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_and_si256(q, two), 62));
  __m256d flip_c = _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_and_si256(next, two), 62));
  __m256d sr = *s, cr = *c;
  *s = _mm256_xor_pd(_mm256_blendv_pd(sr, cr, odd), flip_s);
  *c = _mm256_xor_pd(_mm256_blendv_pd(cr, sr, odd), flip_c);
}
static inline void d8_quadrant(d8 t, d8 *s, d8 *c) {
  plr_quadrant_pd(t.lo, &s->lo, &c->lo);
  plr_quadrant_pd(t.hi, &s->hi, &c->hi);
}

#endif
