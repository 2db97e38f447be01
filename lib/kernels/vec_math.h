/* exp, log and sincos of math_inline.h in lanes: the same operations in the same order. */
#ifndef PLR_KERNELS_VEC_MATH_H
#define PLR_KERNELS_VEC_MATH_H

#include "kernels/math_const.h"

static inline v16 v16_exp(v16 x) {
  static const float c[PLR_EXPF_TERMS] = PLR_EXPF_POLY;
  x = v16_min(v16_set1(PLR_EXP_MAX_F), x);
  x = v16_max(v16_set1(PLR_EXP_MIN_F), x);
  v16 magic = v16_set1(PLR_MAGIC_F);
  v16 t = v16_fma(x, v16_set1(PLR_LOG2E_F), magic);
  v16 n = v16_sub(t, magic);
  v16 r = v16_fnma(n, v16_set1(PLR_LN2_HI_F), x);
  r = v16_fnma(n, v16_set1(PLR_LN2_LO_F), r);
  v16 p = v16_set1(c[PLR_EXPF_TERMS - 1]);
  for (int i = PLR_EXPF_TERMS - 2; i >= 0; i--) p = v16_fma(p, r, v16_set1(c[i]));
  p = v16_add(v16_fma(p, v16_mul(r, r), r), v16_set1(1.0f));
  return v16_scale2(p, t);
}

/* 0 - x keeps the sign of a zero out of the way. */
static inline v16 v16_negated(v16 x) {
  return v16_sub(v16_set1(0.0f), x);
}

/* x >= 0. */
static inline v16 v16_tail(v16 x, v16 *shape) {
  static const float c[PLR_TAILF_TERMS] = PLR_TAILF_POLY;
  v16 one = v16_set1(1.0f);
  x = v16_min(v16_set1(PLR_TAIL_MAX_F), x);
  v16 half = v16_mul(v16_set1(0.5f), x), h = v16_mul(half, x);
  v16 low = v16_fma(half, x, v16_negated(h));
  v16 e = v16_exp(v16_negated(h));
  e = v16_fnma(low, e, e);
  v16 k = v16_div(one, v16_fma(v16_set1(PLR_TAIL_SLOPE_F), x, one));
  v16 p = v16_set1(c[PLR_TAILF_TERMS - 1]);
  for (int i = PLR_TAILF_TERMS - 2; i >= 0; i--) p = v16_fma(p, k, v16_set1(c[i]));
  *shape = e;
  return v16_mul(e, v16_mul(k, p));
}

static inline d8 d8_poly(const double *c, int terms, d8 x) {
  d8 p = d8_set1(c[terms - 1]);
  for (int i = terms - 2; i >= 0; i--) p = d8_fma(p, x, d8_set1(c[i]));
  return p;
}

/* x positive and normal. */
static inline d8 d8_log(d8 x) {
  static const double c[PLR_LOG_TERMS] = PLR_LOG_POLY;
  d8 e, f = d8_sub(d8_split(x, &e), d8_set1(1.0));
  d8 s = d8_div(f, d8_add(d8_set1(2.0), f)), z = d8_mul(s, s);
  d8 half = d8_mul(d8_set1(0.5), d8_mul(f, f));
  d8 r = d8_mul(z, d8_poly(c, PLR_LOG_TERMS, z));
  d8 y = d8_fma(s, d8_add(half, r), d8_mul(e, d8_set1(PLR_LN2_LO)));
  return d8_fma(e, d8_set1(PLR_LN2_HI), d8_sub(f, d8_sub(half, y)));
}

/* |x| <= 2^31. */
static inline void d8_sincos(d8 x, d8 *s, d8 *c) {
  static const double sin_c[PLR_TRIG_TERMS] = PLR_SIN_POLY;
  static const double cos_c[PLR_TRIG_TERMS] = PLR_COS_POLY;
  d8 magic = d8_set1(PLR_MAGIC), one = d8_set1(1.0), mid = d8_set1(PLR_PI_2_MID);
  d8 t = d8_fma(x, d8_set1(PLR_TWO_OVER_PI), magic);
  d8 n = d8_sub(t, magic);
  d8 first = d8_fnma(n, d8_set1(PLR_PI_2_HI), x);
  d8 p = d8_mul(n, mid), minus = d8_sub(d8_set1(0.0), p);
  d8 hi = d8_sub(first, p);
  d8 v = d8_sub(hi, first);
  d8 lo = d8_add(d8_sub(first, d8_sub(hi, v)), d8_sub(minus, v));
  lo = d8_sub(lo, d8_fma(n, mid, minus));
  lo = d8_fnma(n, d8_set1(PLR_PI_2_LO), lo);

  d8 z = d8_mul(hi, hi), half = d8_mul(d8_set1(0.5), z);
  d8 sine = d8_fnma(half, lo, lo);
  *s = d8_add(hi, d8_fma(d8_mul(hi, z), d8_poly(sin_c, PLR_TRIG_TERMS, z), sine));
  d8 w = d8_sub(one, half);
  d8 rest = d8_sub(d8_sub(one, w), half);
  d8 low = d8_fnma(hi, lo, d8_set1(0.0));
  low = d8_fma(d8_mul(z, z), d8_poly(cos_c, PLR_TRIG_TERMS, z), low);
  *c = d8_add(w, d8_add(rest, low));
  d8_quadrant(t, s, c);
}

#endif
