/* Sixteen float lanes and eight double lanes in plain C: correct without FMA hardware, because fmaf() and fma()
 * round once by definition. vec_avx2.h,
 * vec_avx512.h and vec_neon.h offer the same names and give the same bits. */
#ifndef PLR_KERNELS_VEC_PORTABLE_H
#define PLR_KERNELS_VEC_PORTABLE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define PLR_LANES16 for (int lane = 0; lane < 16; lane++)
#define PLR_LANES8  for (int lane = 0; lane < 8; lane++)

/* Rows of a register tile of 16 lanes (body_attention.h). */
#define PLR_TILE_ROWS   6
#define PLR_EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)

typedef struct v16 {
  float f[16];
} v16;

typedef struct m16 { /* lanes below n are on */
  int n;
} m16;

typedef struct d8 {
  double f[8];
} d8;

static inline v16 v16_set1(float x) {
  v16 r;
  PLR_LANES16 r.f[lane] = x;
  return r;
}
static inline v16 v16_load(const float *p) {
  v16 r;
  memcpy(r.f, p, sizeof r.f);
  return r;
}
static inline void v16_store(float *p, v16 x) {
  memcpy(p, x.f, sizeof x.f);
}
/* First n lanes, 0 <= n <= 16; the others are +0 and their memory is not touched. */
static inline v16 v16_load_n(const float *p, int n) {
  v16 r;
  PLR_LANES16 r.f[lane] = lane < n ? p[lane] : 0.0f;
  return r;
}
static inline void v16_store_n(float *p, v16 x, int n) {
  for (int lane = 0; lane < n; lane++) p[lane] = x.f[lane];
}
static inline v16 v16_add(v16 a, v16 b) {
  PLR_LANES16 a.f[lane] += b.f[lane];
  return a;
}
static inline v16 v16_sub(v16 a, v16 b) {
  PLR_LANES16 a.f[lane] -= b.f[lane];
  return a;
}
static inline v16 v16_mul(v16 a, v16 b) {
  PLR_LANES16 a.f[lane] *= b.f[lane];
  return a;
}
static inline v16 v16_div(v16 a, v16 b) {
  PLR_LANES16 a.f[lane] /= b.f[lane];
  return a;
}
static inline v16 v16_sqrt(v16 a) {
  PLR_LANES16 a.f[lane] = sqrtf(a.f[lane]);
  return a;
}
static inline v16 v16_max(v16 a, v16 b) { /* a > b ? a : b */
  PLR_LANES16 a.f[lane] = a.f[lane] > b.f[lane] ? a.f[lane] : b.f[lane];
  return a;
}
static inline v16 v16_min(v16 a, v16 b) { /* a < b ? a : b */
  PLR_LANES16 a.f[lane] = a.f[lane] < b.f[lane] ? a.f[lane] : b.f[lane];
  return a;
}
static inline v16 v16_fma(v16 a, v16 b, v16 c) { /* a b + c */
  PLR_LANES16 c.f[lane] = fmaf(a.f[lane], b.f[lane], c.f[lane]);
  return c;
}
static inline v16 v16_fnma(v16 a, v16 b, v16 c) { /* c - a b */
  PLR_LANES16 c.f[lane] = fmaf(-a.f[lane], b.f[lane], c.f[lane]);
  return c;
}
static inline m16 m16_first(int n) {
  m16 m = {n};
  return m;
}
static inline v16 v16_select(m16 m, v16 on, v16 off) {
  PLR_LANES16 on.f[lane] = lane < m.n ? on.f[lane] : off.f[lane];
  return on;
}
/* a > b ? on : off */
static inline v16 v16_if_greater(v16 a, v16 b, v16 on, v16 off) {
  PLR_LANES16 on.f[lane] = a.f[lane] > b.f[lane] ? on.f[lane] : off.f[lane];
  return on;
}
/* The fixed tree: lane i + lane i+8, then +4, +2, +1. */
static inline float v16_sum(v16 a) {
  for (int half = 8; half > 0; half /= 2)
    for (int lane = 0; lane < half; lane++) a.f[lane] += a.f[lane + half];
  return a.f[0];
}
static inline float v16_hmax(v16 a) {
  for (int half = 8; half > 0; half /= 2)
    for (int lane = 0; lane < half; lane++)
      a.f[lane] = a.f[lane] > a.f[lane + half] ? a.f[lane] : a.f[lane + half];
  return a.f[0];
}
/* y (8 x 16) = the transpose of 16 rows of 8. */
static inline void v16_transpose8(const float *x, int64_t ldx, float *y) {
  for (int i = 0; i < 8; i++) PLR_LANES16 y[16 * i + lane] = x[lane * ldx + i];
}
/* p * 2^k with t = 1.5 * 2^23 + k; two multiplications, the first exact. */
static inline v16 v16_scale2(v16 p, v16 t) {
  PLR_LANES16 {
    uint32_t k, bits;
    float s;
    memcpy(&k, &t.f[lane], 4);
    k -= 0x4B400000u;
    uint32_t half = ((k + 512u) >> 1) - 256u;
    bits = (half + 127u) << 23;
    memcpy(&s, &bits, 4);
    p.f[lane] *= s;
    bits = (k - half + 127u) << 23;
    memcpy(&s, &bits, 4);
    p.f[lane] *= s;
  }
  return p;
}

static inline d8 d8_set1(double x) {
  d8 r;
  PLR_LANES8 r.f[lane] = x;
  return r;
}
static inline d8 d8_from_u32(const uint32_t *p) { /* each below 2^31 */
  d8 r;
  PLR_LANES8 r.f[lane] = (double)p[lane];
  return r;
}
static inline d8 d8_from_low(v16 x) {
  d8 r;
  PLR_LANES8 r.f[lane] = (double)x.f[lane];
  return r;
}
static inline d8 d8_from_high(v16 x) {
  d8 r;
  PLR_LANES8 r.f[lane] = (double)x.f[lane + 8];
  return r;
}
static inline v16 v16_from_d8(d8 low, d8 high) {
  v16 r;
  PLR_LANES8 r.f[lane] = (float)low.f[lane];
  PLR_LANES8 r.f[lane + 8] = (float)high.f[lane];
  return r;
}
static inline d8 d8_add(d8 a, d8 b) {
  PLR_LANES8 a.f[lane] += b.f[lane];
  return a;
}
static inline d8 d8_sub(d8 a, d8 b) {
  PLR_LANES8 a.f[lane] -= b.f[lane];
  return a;
}
static inline d8 d8_mul(d8 a, d8 b) {
  PLR_LANES8 a.f[lane] *= b.f[lane];
  return a;
}
static inline d8 d8_div(d8 a, d8 b) {
  PLR_LANES8 a.f[lane] /= b.f[lane];
  return a;
}
static inline d8 d8_sqrt(d8 a) {
  PLR_LANES8 a.f[lane] = sqrt(a.f[lane]);
  return a;
}
static inline d8 d8_fma(d8 a, d8 b, d8 c) {
  PLR_LANES8 c.f[lane] = fma(a.f[lane], b.f[lane], c.f[lane]);
  return c;
}
static inline d8 d8_fnma(d8 a, d8 b, d8 c) {
  PLR_LANES8 c.f[lane] = fma(-a.f[lane], b.f[lane], c.f[lane]);
  return c;
}
static inline double d8_sum(d8 a) { /* +4, +2, +1 */
  for (int half = 4; half > 0; half /= 2)
    for (int lane = 0; lane < half; lane++) a.f[lane] += a.f[lane + half];
  return a.f[0];
}
/* x = m 2^e with m in [sqrt(1/2), sqrt(2)); x positive and normal. */
static inline d8 d8_split(d8 x, d8 *e) {
  PLR_LANES8 {
    uint64_t bits, exponent;
    memcpy(&bits, &x.f[lane], 8);
    exponent = (bits - 0x3FE6A09E667F3BCDu + 0x4000000000000000u) >> 52;
    e->f[lane] = (double)exponent - 1024.0;
    bits -= (exponent << 52) - 0x4000000000000000u;
    memcpy(&x.f[lane], &bits, 8);
  }
  return x;
}
/* Turns (sin r, cos r) into those of r + q pi/2, q being the integer in t = 1.5 * 2^52 + q. */
static inline void d8_quadrant(d8 t, d8 *s, d8 *c) {
  PLR_LANES8 {
    uint64_t q;
    memcpy(&q, &t.f[lane], 8);
    double sr = s->f[lane], cr = c->f[lane];
    s->f[lane] = q & 1 ? cr : sr;
    c->f[lane] = q & 1 ? sr : cr;
    if (q & 2) s->f[lane] = -s->f[lane];
    if ((q + 1) & 2) c->f[lane] = -c->f[lane];
  }
}

#endif
