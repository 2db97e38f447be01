/* Sixteen float lanes as four NEON registers, eight double lanes as four: the names of vec_portable.h, same bits. */
#ifndef PLR_KERNELS_VEC_NEON_H
#define PLR_KERNELS_VEC_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

/* Rows of a register tile of 16 lanes (body_attention.h): 24 of the 32 registers. */
#define PLR_TILE_ROWS   6
#define PLR_EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* Fields and not an array, which does not stay in registers with every compiler. */
typedef struct v16 {
  float32x4_t a, b, c, d;
} v16;

typedef struct m16 { /* lanes whose bits are all ones are on */
  uint32x4_t a, b, c, d;
} m16;

typedef struct d8 {
  float64x2_t a, b, c, d;
} d8;

/* The same expression for each quarter. */
#define PLR_V16(x, y, z, w)                                                                        \
  v16 r = {x, y, z, w};                                                                            \
  return r
#define PLR_D8(x, y, z, w)                                                                         \
  d8 r = {x, y, z, w};                                                                             \
  return r
#define PLR_V16_OF1(fn, x)    PLR_V16(fn(x.a), fn(x.b), fn(x.c), fn(x.d))
#define PLR_V16_OF2(fn, x, y) PLR_V16(fn(x.a, y.a), fn(x.b, y.b), fn(x.c, y.c), fn(x.d, y.d))
#define PLR_V16_OF3(fn, x, y, z)                                                                   \
  PLR_V16(fn(x.a, y.a, z.a), fn(x.b, y.b, z.b), fn(x.c, y.c, z.c), fn(x.d, y.d, z.d))
#define PLR_D8_OF1(fn, x)    PLR_D8(fn(x.a), fn(x.b), fn(x.c), fn(x.d))
#define PLR_D8_OF2(fn, x, y) PLR_D8(fn(x.a, y.a), fn(x.b, y.b), fn(x.c, y.c), fn(x.d, y.d))
#define PLR_D8_OF3(fn, x, y, z)                                                                    \
  PLR_D8(fn(x.a, y.a, z.a), fn(x.b, y.b, z.b), fn(x.c, y.c, z.c), fn(x.d, y.d, z.d))

static inline v16 v16_set1(float x) {
  const float32x4_t v = vdupq_n_f32(x);
  PLR_V16(v, v, v, v);
}
static inline v16 v16_load(const float *p) {
  PLR_V16(vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12));
}
static inline void v16_store(float *p, v16 x) {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
  vst1q_f32(p + 8, x.c);
  vst1q_f32(p + 12, x.d);
}
/* There are no masked loads: the lanes of a row's end go through the stack. */
static inline v16 v16_load_n(const float *p, int n) {
  float t[16] = {0};
  memcpy(t, p, (size_t)n * sizeof *p);
  return v16_load(t);
}
static inline void v16_store_n(float *p, v16 x, int n) {
  float t[16];
  v16_store(t, x);
  memcpy(p, t, (size_t)n * sizeof *p);
}
static inline v16 v16_add(v16 a, v16 b) {
  PLR_V16_OF2(vaddq_f32, a, b);
}
static inline v16 v16_sub(v16 a, v16 b) {
  PLR_V16_OF2(vsubq_f32, a, b);
}
static inline v16 v16_mul(v16 a, v16 b) {
  PLR_V16_OF2(vmulq_f32, a, b);
}
static inline v16 v16_div(v16 a, v16 b) {
  PLR_V16_OF2(vdivq_f32, a, b);
}
static inline v16 v16_sqrt(v16 a) {
  PLR_V16_OF1(vsqrtq_f32, a);
}
/* a > b ? a : b; fmax and fmin have their own mind about zeros and NaN. */
static inline float32x4_t plr_max_f32(float32x4_t a, float32x4_t b) {
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}
static inline float32x4_t plr_min_f32(float32x4_t a, float32x4_t b) {
  return vbslq_f32(vcltq_f32(a, b), a, b);
}
static inline v16 v16_max(v16 a, v16 b) {
  PLR_V16_OF2(plr_max_f32, a, b);
}
static inline v16 v16_min(v16 a, v16 b) {
  PLR_V16_OF2(plr_min_f32, a, b);
}
static inline v16 v16_fma(v16 a, v16 b, v16 c) {
  PLR_V16_OF3(vfmaq_f32, c, a, b);
}
static inline v16 v16_fnma(v16 a, v16 b, v16 c) {
  PLR_V16_OF3(vfmsq_f32, c, a, b);
}
static inline m16 m16_first(int n) {
  static const int32_t iota[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const int32x4_t v = vdupq_n_s32(n);
  m16 m = {vcgtq_s32(v, vld1q_s32(iota)), vcgtq_s32(v, vld1q_s32(iota + 4)),
           vcgtq_s32(v, vld1q_s32(iota + 8)), vcgtq_s32(v, vld1q_s32(iota + 12))};
  return m;
}
static inline v16 v16_select(m16 m, v16 on, v16 off) {
  PLR_V16_OF3(vbslq_f32, m, on, off);
}
static inline float32x4_t plr_if_greater_f32(float32x4_t a, float32x4_t b, float32x4_t on,
                                             float32x4_t off) {
  return vbslq_f32(vcgtq_f32(a, b), on, off);
}
static inline v16 v16_if_greater(v16 a, v16 b, v16 on, v16 off) {
  PLR_V16(plr_if_greater_f32(a.a, b.a, on.a, off.a), plr_if_greater_f32(a.b, b.b, on.b, off.b),
          plr_if_greater_f32(a.c, b.c, on.c, off.c), plr_if_greater_f32(a.d, b.d, on.d, off.d));
}
static inline float v16_sum(v16 x) {
  const float32x4_t four = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
static inline float v16_hmax(v16 x) {
  float32x4_t four = plr_max_f32(plr_max_f32(x.a, x.c), plr_max_f32(x.b, x.d));
  four = plr_max_f32(four, vextq_f32(four, four, 2));
  const float low = vgetq_lane_f32(four, 0), high = vgetq_lane_f32(four, 1);
  return low > high ? low : high;
}
/* Four rows of four become columns; `to` has rows `stride` apart. */
static inline void plr_transpose4x4(const float *x, int64_t ldx, float *to, int64_t stride) {
  const float32x4_t r0 = vld1q_f32(x), r1 = vld1q_f32(x + ldx);
  const float32x4_t r2 = vld1q_f32(x + 2 * ldx), r3 = vld1q_f32(x + 3 * ldx);
  const float64x2_t even01 = vreinterpretq_f64_f32(vtrn1q_f32(r0, r1));
  const float64x2_t odd01 = vreinterpretq_f64_f32(vtrn2q_f32(r0, r1));
  const float64x2_t even23 = vreinterpretq_f64_f32(vtrn1q_f32(r2, r3));
  const float64x2_t odd23 = vreinterpretq_f64_f32(vtrn2q_f32(r2, r3));
  vst1q_f32(to, vreinterpretq_f32_f64(vtrn1q_f64(even01, even23)));
  vst1q_f32(to + stride, vreinterpretq_f32_f64(vtrn1q_f64(odd01, odd23)));
  vst1q_f32(to + 2 * stride, vreinterpretq_f32_f64(vtrn2q_f64(even01, even23)));
  vst1q_f32(to + 3 * stride, vreinterpretq_f32_f64(vtrn2q_f64(odd01, odd23)));
}
static inline void v16_transpose8(const float *x, int64_t ldx, float *y) {
  for (int lane = 0; lane < 16; lane += 4)
    for (int i = 0; i < 8; i += 4) plr_transpose4x4(x + lane * ldx + i, ldx, y + 16 * i + lane, 16);
}
static inline float32x4_t plr_scale2_f32(float32x4_t p, float32x4_t t) {
  const int32x4_t bias = vdupq_n_s32(127);
  const int32x4_t k = vsubq_s32(vreinterpretq_s32_f32(t), vdupq_n_s32(0x4B400000));
  const int32x4_t half = vshrq_n_s32(k, 1), rest = vsubq_s32(k, half);
  const float32x4_t first = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
  const float32x4_t second = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
  return vmulq_f32(vmulq_f32(p, first), second);
}
static inline v16 v16_scale2(v16 p, v16 t) {
  PLR_V16_OF2(plr_scale2_f32, p, t);
}

static inline d8 d8_set1(double x) {
  const float64x2_t v = vdupq_n_f64(x);
  PLR_D8(v, v, v, v);
}
static inline float64x2_t plr_from_u32(const uint32_t *p) {
  return vcvtq_f64_u64(vmovl_u32(vld1_u32(p)));
}
static inline d8 d8_from_u32(const uint32_t *p) {
  PLR_D8(plr_from_u32(p), plr_from_u32(p + 2), plr_from_u32(p + 4), plr_from_u32(p + 6));
}
static inline d8 d8_from_low(v16 x) {
  PLR_D8(vcvt_f64_f32(vget_low_f32(x.a)), vcvt_high_f64_f32(x.a), vcvt_f64_f32(vget_low_f32(x.b)),
         vcvt_high_f64_f32(x.b));
}
static inline d8 d8_from_high(v16 x) {
  PLR_D8(vcvt_f64_f32(vget_low_f32(x.c)), vcvt_high_f64_f32(x.c), vcvt_f64_f32(vget_low_f32(x.d)),
         vcvt_high_f64_f32(x.d));
}
static inline float32x4_t plr_narrow_f64(float64x2_t low, float64x2_t high) {
  return vcvt_high_f32_f64(vcvt_f32_f64(low), high);
}
static inline v16 v16_from_d8(d8 low, d8 high) {
  PLR_V16(plr_narrow_f64(low.a, low.b), plr_narrow_f64(low.c, low.d),
          plr_narrow_f64(high.a, high.b), plr_narrow_f64(high.c, high.d));
}
static inline d8 d8_add(d8 a, d8 b) {
  PLR_D8_OF2(vaddq_f64, a, b);
}
static inline d8 d8_sub(d8 a, d8 b) {
  PLR_D8_OF2(vsubq_f64, a, b);
}
static inline d8 d8_mul(d8 a, d8 b) {
  PLR_D8_OF2(vmulq_f64, a, b);
}
static inline d8 d8_div(d8 a, d8 b) {
  PLR_D8_OF2(vdivq_f64, a, b);
}
static inline d8 d8_sqrt(d8 a) {
  PLR_D8_OF1(vsqrtq_f64, a);
}
static inline d8 d8_fma(d8 a, d8 b, d8 c) {
  PLR_D8_OF3(vfmaq_f64, c, a, b);
}
static inline d8 d8_fnma(d8 a, d8 b, d8 c) {
  PLR_D8_OF3(vfmsq_f64, c, a, b);
}
static inline double d8_sum(d8 x) {
  const float64x2_t two = vaddq_f64(vaddq_f64(x.a, x.c), vaddq_f64(x.b, x.d));
  return vgetq_lane_f64(two, 0) + vgetq_lane_f64(two, 1);
}
static inline float64x2_t plr_split_f64(float64x2_t x, float64x2_t *e) {
  const uint64x2_t bias = vdupq_n_u64(0x4000000000000000u), bits = vreinterpretq_u64_f64(x);
  const uint64x2_t t = vsubq_u64(bits, vdupq_n_u64(0x3FE6A09E667F3BCDu));
  const uint64x2_t exponent = vshrq_n_u64(vaddq_u64(t, bias), 52);
  *e = vsubq_f64(vcvtq_f64_u64(exponent), vdupq_n_f64(1024.0));
  return vreinterpretq_f64_u64(vsubq_u64(bits, vsubq_u64(vshlq_n_u64(exponent, 52), bias)));
}
static inline d8 d8_split(d8 x, d8 *e) {
  PLR_D8(plr_split_f64(x.a, &e->a), plr_split_f64(x.b, &e->b), plr_split_f64(x.c, &e->c),
         plr_split_f64(x.d, &e->d));
}
static inline float64x2_t plr_negate_where(float64x2_t x, uint64x2_t q) { /* bit 1 of q is set */
  const uint64x2_t sign = vshlq_n_u64(vandq_u64(q, vdupq_n_u64(2)), 62);
  return vreinterpretq_f64_u64(veorq_u64(vreinterpretq_u64_f64(x), sign));
}
static inline void plr_quadrant_f64(float64x2_t t, float64x2_t *s, float64x2_t *c) {
  const uint64x2_t q = vreinterpretq_u64_f64(t), one = vdupq_n_u64(1), odd = vtstq_u64(q, one);
  const float64x2_t sr = *s, cr = *c;
  *s = plr_negate_where(vbslq_f64(odd, cr, sr), q);
  *c = plr_negate_where(vbslq_f64(odd, sr, cr), vaddq_u64(q, one));
}
static inline void d8_quadrant(d8 t, d8 *s, d8 *c) {
  plr_quadrant_f64(t.a, &s->a, &c->a);
  plr_quadrant_f64(t.b, &s->b, &c->b);
  plr_quadrant_f64(t.c, &s->c, &c->c);
  plr_quadrant_f64(t.d, &s->d, &c->d);
}

#endif
