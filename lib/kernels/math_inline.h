/* The elementary functions of profile `exact` (EXACT.md section 3), one number at a time, in the language that C11,
 * C++ and CUDA have in common: one text for the host and for a device. */
#ifndef PLR_KERNELS_MATH_INLINE_H
#define PLR_KERNELS_MATH_INLINE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/math_const.h"

#if defined(__CUDACC__)
#define PLR_MATH static __host__ __device__ __forceinline__
#else
#define PLR_MATH static inline
#endif

PLR_MATH uint32_t plr_bits_f32(float x) {
  uint32_t b;
  memcpy(&b, &x, sizeof b);
  return b;
}

PLR_MATH float plr_f32_bits(uint32_t b) {
  float x;
  memcpy(&x, &b, sizeof x);
  return x;
}

PLR_MATH uint64_t plr_bits_f64(double x) {
  uint64_t b;
  memcpy(&b, &x, sizeof b);
  return b;
}

PLR_MATH double plr_f64_bits(uint64_t b) {
  double x;
  memcpy(&x, &b, sizeof x);
  return x;
}

PLR_MATH float plr_poly_f32(const float *c, int terms, float x) {
  float p = c[terms - 1];
  for (int i = terms - 2; i >= 0; i--) p = fmaf(p, x, c[i]);
  return p;
}

PLR_MATH double plr_poly_f64(const double *c, int terms, double x) {
  double p = c[terms - 1];
  for (int i = terms - 2; i >= 0; i--) p = fma(p, x, c[i]);
  return p;
}

PLR_MATH float plr_exact_expf(float x) {
  const float coefficients[PLR_EXPF_TERMS] = PLR_EXPF_POLY;
  x = PLR_EXP_MAX_F < x ? PLR_EXP_MAX_F : x;
  x = PLR_EXP_MIN_F > x ? PLR_EXP_MIN_F : x;
  float t = fmaf(x, PLR_LOG2E_F, PLR_MAGIC_F);
  float n = t - PLR_MAGIC_F;
  float r = fmaf(-n, PLR_LN2_HI_F, x);
  r = fmaf(-n, PLR_LN2_LO_F, r);
  float p = fmaf(plr_poly_f32(coefficients, PLR_EXPF_TERMS, r), r * r, r) + 1.0f;
  /* Two steps, so that a denormal result is rounded once and 2^128 is reached only by overflow. */
  uint32_t k = plr_bits_f32(t) - plr_bits_f32(PLR_MAGIC_F);
  uint32_t half = ((k + 512u) >> 1) - 256u;
  p *= plr_f32_bits((half + 127u) << 23);
  return p * plr_f32_bits((k - half + 127u) << 23);
}

PLR_MATH float plr_exact_logf(float x) {
  const float coefficients[PLR_LOGF_TERMS] = PLR_LOGF_POLY;
  float e = -128.0f;
  if (!(x > 0.0f)) return x == 0.0f ? -INFINITY : NAN;
  if (x == INFINITY) return x;
  if (x < 0x1p-126f) {
    x *= 0x1p23f;
    e -= 23.0f;
  }
  uint32_t bits = plr_bits_f32(x), root_half = 0x3F3504F3u, bias = 128u << 23;
  uint32_t exponent = (bits - root_half + bias) >> 23;
  e += (float)exponent;
  float f = plr_f32_bits(bits - (exponent << 23) + bias) - 1.0f;
  float z = f * f;
  float y = (f * z) * plr_poly_f32(coefficients, PLR_LOGF_TERMS, f);
  y = fmaf(e, PLR_LN2_LO_F, y);
  y = fmaf(-0.5f, z, y);
  return fmaf(e, PLR_LN2_HI_F, f + y);
}

/* P(Z > x) for a normal Z and x >= 0; shape, which the density shares, is e^(-x^2/2). */
PLR_MATH float plr_exact_tailf(float x, float *shape) {
  const float coefficients[PLR_TAILF_TERMS] = PLR_TAILF_POLY;
  x = PLR_TAIL_MAX_F < x ? PLR_TAIL_MAX_F : x;
  float half = 0.5f * x, h = half * x;
  float low = fmaf(half, x, -h); /* what h lost would be some ulp of its exponential */
  float e = plr_exact_expf(-h);
  e = fmaf(-low, e, e);
  float k = 1.0f / fmaf(PLR_TAIL_SLOPE_F, x, 1.0f);
  *shape = e;
  return e * (k * plr_poly_f32(coefficients, PLR_TAILF_TERMS, k));
}

/* e^(x + low), |low| far below |x|. */
PLR_MATH double plr_exp_extended(double x, double low) {
  const double coefficients[PLR_EXP_TERMS] = PLR_EXP_POLY;
  x = PLR_EXP_MAX < x ? PLR_EXP_MAX : x;
  x = PLR_EXP_MIN > x ? PLR_EXP_MIN : x;
  double t = fma(x, PLR_LOG2E, PLR_MAGIC);
  double n = t - PLR_MAGIC;
  double r = fma(-n, PLR_LN2_HI, x);
  r = fma(-n, PLR_LN2_LO, r) + low;
  double p = fma(plr_poly_f64(coefficients, PLR_EXP_TERMS, r), r * r, r) + 1.0;
  uint64_t k = plr_bits_f64(t) - plr_bits_f64(PLR_MAGIC);
  uint64_t half = ((k + 4096u) >> 1) - 2048u;
  p *= plr_f64_bits((half + 1023u) << 52);
  return p * plr_f64_bits((k - half + 1023u) << 52);
}

PLR_MATH double plr_exact_exp(double x) {
  return plr_exp_extended(x, 0.0);
}

/* x = m 2^e, m in [sqrt(1/2), sqrt(2)), for positive finite x. */
PLR_MATH double plr_split_f64(double x, double *e) {
  *e = -1024.0;
  if (x < 0x1p-1022) {
    x *= 0x1p52;
    *e -= 52.0;
  }
  uint64_t bits = plr_bits_f64(x), root_half = 0x3FE6A09E667F3BCDu, bias = (uint64_t)1024 << 52;
  uint64_t exponent = (bits - root_half + bias) >> 52;
  *e += (double)exponent;
  return plr_f64_bits(bits - (exponent << 52) + bias);
}

PLR_MATH double plr_exact_ln(double x) {
  const double coefficients[PLR_LOG_TERMS] = PLR_LOG_POLY;
  if (!(x > 0.0)) return x == 0.0 ? -INFINITY : NAN;
  if (x == INFINITY) return x;
  double e, f = plr_split_f64(x, &e) - 1.0;
  double s = f / (2.0 + f), z = s * s, half = 0.5 * (f * f);
  double r = z * plr_poly_f64(coefficients, PLR_LOG_TERMS, z);
  double y = fma(s, half + r, e * PLR_LN2_LO);
  return fma(e, PLR_LN2_HI, f - (half - y));
}

/* A number as an unevaluated sum of two (Dekker 1971), for the logarithm inside pow. */
typedef struct plr_dd {
  double hi, lo;
} plr_dd;

PLR_MATH plr_dd plr_dd_sum(double a, double b) { /* exact for any a, b */
  plr_dd r;
  r.hi = a + b;
  double v = r.hi - a;
  r.lo = (a - (r.hi - v)) + (b - v);
  return r;
}

PLR_MATH plr_dd plr_dd_add(plr_dd a, plr_dd b) {
  plr_dd r = plr_dd_sum(a.hi, b.hi);
  return plr_dd_sum(r.hi, r.lo + (a.lo + b.lo));
}

PLR_MATH plr_dd plr_dd_mul(plr_dd a, plr_dd b) {
  double p = a.hi * b.hi;
  double e = fma(a.hi, b.hi, -p);
  return plr_dd_sum(p, fma(a.hi, b.lo, fma(a.lo, b.hi, e)));
}

PLR_MATH plr_dd plr_dd_div(plr_dd a, plr_dd b) {
  double q = a.hi / b.hi;
  double r = fma(-q, b.hi, a.hi);
  r = fma(-q, b.lo, r + a.lo);
  return plr_dd_sum(q, r / b.hi);
}

/* log x = e ln 2 + 2 atanh(s) to about 2^-100, s = (m - 1) / (m + 1): the first three terms of the series in two
 * words, the rest in one. */
PLR_MATH plr_dd plr_log_extended(double x) {
  double e, m = plr_split_f64(x, &e);
  plr_dd numerator = {m - 1.0, 0.0};
  plr_dd s = plr_dd_div(numerator, plr_dd_sum(m, 1.0));
  plr_dd z = plr_dd_mul(s, s);
  double tail = 1.0 / 31.0;
  for (int k = 14; k >= 3; k--) tail = fma(tail, z.hi, 1.0 / (2 * k + 1));
  const plr_dd fifth = {0x1.999999999999ap-3, -0x1.999999999999ap-57};
  const plr_dd third = {0x1.5555555555555p-2, 0x1.5555555555555p-56};
  const plr_dd one = {1.0, 0.0}, rest = {tail, 0.0}, two = {2.0, 0.0};
  plr_dd sum = plr_dd_add(fifth, plr_dd_mul(z, rest));
  sum = plr_dd_add(third, plr_dd_mul(z, sum));
  sum = plr_dd_add(one, plr_dd_mul(z, sum));
  sum = plr_dd_mul(plr_dd_mul(two, s), sum);
  plr_dd ln2 = plr_dd_sum(e * PLR_LN2_HI, e * PLR_LN2_LO);
  return plr_dd_add(ln2, sum);
}

PLR_MATH double plr_exact_pow(double x, double y) {
  if (!(x > 0.0) || x == INFINITY || !isfinite(y)) return NAN;
  plr_dd l = plr_log_extended(x);
  double p = y * l.hi;
  if (p > PLR_EXP_MAX || p < PLR_EXP_MIN) return plr_exact_exp(p);
  return plr_exp_extended(p, fma(y, l.hi, -p) + y * l.lo);
}

PLR_MATH void plr_exact_sincos(double x, double *s, double *c) {
  const double sin_c[PLR_TRIG_TERMS] = PLR_SIN_POLY;
  const double cos_c[PLR_TRIG_TERMS] = PLR_COS_POLY;
  if (!(x <= PLR_TRIG_MAX && x >= -PLR_TRIG_MAX)) {
    *s = *c = NAN;
    return;
  }
  /* r + low = x - n pi/2 with pi/2 in three parts; the first step is exact (Cody & Waite 1980, with FMA). */
  double t = fma(x, PLR_TWO_OVER_PI, PLR_MAGIC);
  double n = t - PLR_MAGIC;
  double first = fma(-n, PLR_PI_2_HI, x);
  double p = n * PLR_PI_2_MID;
  plr_dd r = plr_dd_sum(first, -p);
  r.lo -= fma(n, PLR_PI_2_MID, -p);
  r.lo = fma(-n, PLR_PI_2_LO, r.lo);

  double z = r.hi * r.hi, half = 0.5 * z;
  double sine = fma(-half, r.lo, r.lo);
  sine = r.hi + fma(r.hi * z, plr_poly_f64(sin_c, PLR_TRIG_TERMS, z), sine);
  double w = 1.0 - half;
  double rest = (1.0 - w) - half;
  rest += fma(z * z, plr_poly_f64(cos_c, PLR_TRIG_TERMS, z), -(r.hi * r.lo));
  double cosine = w + rest;

  uint64_t q = plr_bits_f64(t);
  *s = q & 1 ? cosine : sine;
  *c = q & 1 ? sine : cosine;
  if (q & 2) *s = -*s;
  if ((q + 1) & 2) *c = -*c;
}

#endif
