/* Sixteen float lanes, or eight double lanes, as one AVX-512 register: the names of vec_portable.h, same bits. */
#ifndef PLR_KERNELS_VEC_AVX512_H
#define PLR_KERNELS_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>

/* Rows of a register tile of 16 lanes (body_attention.h). */
#define PLR_TILE_ROWS 16
#define PLR_EACH_ROW(X)                                                                            \
  X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

typedef __m512 v16;
typedef __mmask16 m16;
typedef __m512d d8;

static inline v16 v16_set1(float x) {
  return _mm512_set1_ps(x);
}
static inline v16 v16_load(const float *p) {
  return _mm512_loadu_ps(p);
}
static inline void v16_store(float *p, v16 x) {
  _mm512_storeu_ps(p, x);
}
static inline m16 m16_first(int n) {
  return (m16)((1u << n) - 1u);
}
static inline v16 v16_load_n(const float *p, int n) {
  return _mm512_maskz_loadu_ps(m16_first(n), p);
}
static inline void v16_store_n(float *p, v16 x, int n) {
  _mm512_mask_storeu_ps(p, m16_first(n), x);
}
static inline v16 v16_add(v16 a, v16 b) {
  return _mm512_add_ps(a, b);
}
static inline v16 v16_sub(v16 a, v16 b) {
  return _mm512_sub_ps(a, b);
}
static inline v16 v16_mul(v16 a, v16 b) {
  return _mm512_mul_ps(a, b);
}
static inline v16 v16_div(v16 a, v16 b) {
  return _mm512_div_ps(a, b);
}
static inline v16 v16_sqrt(v16 a) {
  return _mm512_sqrt_ps(a);
}
/* maxps and minps return the second operand on equality and on NaN, which is a > b ? a : b. */
static inline v16 v16_max(v16 a, v16 b) {
  return _mm512_max_ps(a, b);
}
static inline v16 v16_min(v16 a, v16 b) {
  return _mm512_min_ps(a, b);
}
static inline v16 v16_fma(v16 a, v16 b, v16 c) {
  return _mm512_fmadd_ps(a, b, c);
}
static inline v16 v16_fnma(v16 a, v16 b, v16 c) {
  return _mm512_fnmadd_ps(a, b, c);
}
static inline v16 v16_select(m16 m, v16 on, v16 off) {
  return _mm512_mask_blend_ps(m, off, on);
}
static inline v16 v16_if_greater(v16 a, v16 b, v16 on, v16 off) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), off, on);
}
static inline float v16_sum(v16 a) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
static inline float v16_hmax(v16 a) {
  __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
/* Four values of rows j, j + 4, j + 8 and j + 12 side by side, so that only shuffles within 128 bits are left. */
static inline __m512 plr_four_rows(const float *x, int64_t ldx) {
  __m512 r = _mm512_castps128_ps512(_mm_loadu_ps(x));
  r = _mm512_insertf32x4(r, _mm_loadu_ps(x + 4 * ldx), 1);
  r = _mm512_insertf32x4(r, _mm_loadu_ps(x + 8 * ldx), 2);
  return _mm512_insertf32x4(r, _mm_loadu_ps(x + 12 * ldx), 3);
}
static inline void v16_transpose8(const float *x, int64_t ldx, float *y) {
  for (int i = 0; i < 8; i += 4) {
    __m512 r0 = plr_four_rows(x + i, ldx), r1 = plr_four_rows(x + ldx + i, ldx);
    __m512 r2 = plr_four_rows(x + 2 * ldx + i, ldx), r3 = plr_four_rows(x + 3 * ldx + i, ldx);
    __m512 a = _mm512_unpacklo_ps(r0, r1), b = _mm512_unpackhi_ps(r0, r1);
    __m512 c = _mm512_unpacklo_ps(r2, r3), d = _mm512_unpackhi_ps(r2, r3);
    _mm512_storeu_ps(y + 16 * i, _mm512_shuffle_ps(a, c, 0x44));
    _mm512_storeu_ps(y + 16 * i + 16, _mm512_shuffle_ps(a, c, 0xEE));
    _mm512_storeu_ps(y + 16 * i + 32, _mm512_shuffle_ps(b, d, 0x44));
    _mm512_storeu_ps(y + 16 * i + 48, _mm512_shuffle_ps(b, d, 0xEE));
  }
}
/* vscalefps multiplies by a power of two and rounds once, as the two multiplications do. */
static inline v16 v16_scale2(v16 p, v16 t) {
  return _mm512_scalef_ps(p, _mm512_sub_ps(t, _mm512_set1_ps(12582912.0f)));
}

static inline d8 d8_set1(double x) {
  return _mm512_set1_pd(x);
}
static inline d8 d8_from_u32(const uint32_t *p) {
  return _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline d8 d8_from_low(v16 x) {
  return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}
static inline d8 d8_from_high(v16 x) {
  return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
}
static inline v16 v16_from_d8(d8 low, d8 high) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
}
static inline d8 d8_add(d8 a, d8 b) {
  return _mm512_add_pd(a, b);
}
static inline d8 d8_sub(d8 a, d8 b) {
  return _mm512_sub_pd(a, b);
}
static inline d8 d8_mul(d8 a, d8 b) {
  return _mm512_mul_pd(a, b);
}
static inline d8 d8_div(d8 a, d8 b) {
  return _mm512_div_pd(a, b);
}
static inline d8 d8_sqrt(d8 a) {
  return _mm512_sqrt_pd(a);
}
static inline d8 d8_fma(d8 a, d8 b, d8 c) {
  return _mm512_fmadd_pd(a, b, c);
}
static inline d8 d8_fnma(d8 a, d8 b, d8 c) {
  return _mm512_fnmadd_pd(a, b, c);
}
static inline double d8_sum(d8 a) {
  __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
  __m128d x = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}
static inline d8 d8_split(d8 x, d8 *e) {
  const __m512i bias = _mm512_set1_epi64(0x4000000000000000);
  __m512i bits = _mm512_castpd_si512(x);
  __m512i t = _mm512_sub_epi64(bits, _mm512_set1_epi64(0x3FE6A09E667F3BCD));
  __m512i exponent = _mm512_srli_epi64(_mm512_add_epi64(t, bias), 52);
  *e = _mm512_sub_pd(_mm512_cvtepi64_pd(exponent), _mm512_set1_pd(1024.0));
  t = _mm512_sub_epi64(_mm512_slli_epi64(exponent, 52), bias);
  return _mm512_castsi512_pd(_mm512_sub_epi64(bits, t));
}
static inline void d8_quadrant(d8 t, d8 *s, d8 *c) {
  const __m512i one = _mm512_set1_epi64(1), two = _mm512_set1_epi64(2);
  __m512i q = _mm512_castpd_si512(t), next = _mm512_add_epi64(q, one);
  __mmask8 odd = _mm512_test_epi64_mask(q, one);
  d8 flip_s = _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_and_si512(q, two), 62));
  d8 flip_c = _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_and_si512(next, two), 62));
  d8 sr = *s, cr = *c;
  *s = _mm512_xor_pd(_mm512_mask_blend_pd(odd, sr, cr), flip_s);
  *c = _mm512_xor_pd(_mm512_mask_blend_pd(odd, cr, sr), flip_c);
}

#endif
