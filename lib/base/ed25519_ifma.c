/* Eight Ed25519 verifications at once, one in each 64-bit lane, with AVX-512's 52-bit multiply-add (IFMA). Public data
 * only: nothing here takes constant time.
 *
 * A lane computes S·B - h·A and compares its encoding with R, byte for byte, as libsodium does: without the cofactor.
 * Numbers modulo p = 2^255 - 19 are five limbs of 51 bits; what a function returns has limbs below 2^51 + 2^14, and
 * that is what the multiplication needs (below 2^52). Formulas: Hisil, Wong, Carter, Dawson, "Twisted Edwards Curves
 * Revisited" (2008), a = -1, extended coordinates; square root as in RFC 8032, 5.1.3. */
#include "base/ed25519.h"

#include <immintrin.h>
#include <string.h>

typedef struct fe {
  __m512i l[5];
} fe;

typedef struct point {
  fe x, y, z, t;
} point;

typedef struct cached { /* what an addition needs of its second point */
  fe plus, minus, z, t2d;
} cached;

#define LANES 8u

static inline __m512i all(uint64_t v) {
  return _mm512_set1_epi64((int64_t)v);
}

static inline __m512i times19(__m512i v) {
  return _mm512_add_epi64(_mm512_add_epi64(_mm512_slli_epi64(v, 4), _mm512_slli_epi64(v, 1)), v);
}

static inline fe constant(const uint64_t l[5]) {
  fe r;
  for (int i = 0; i < 5; i++) r.l[i] = all(l[i]);
  return r;
}

static const uint64_t curve_d[5] = {0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029,
                                    0x739c663a03cbb, 0x52036cee2b6ff};
static const uint64_t curve_2d[5] = {0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052,
                                     0x6738cc7407977, 0x2406d9dc56dff};
static const uint64_t root_of_minus_1[5] = {0x61b274a0ea0b0, 0x0d5a5fc8f189d, 0x7ef5e9cbd0c60,
                                            0x78595a6804c9e, 0x2b8324804fc1d};
static const uint64_t base_x[5] = {0x62d608f25d51a, 0x412a4b4f6592a, 0x75b7171a4b31d,
                                   0x1ff60527118fe, 0x216936d3cd6e5};
static const uint64_t base_y[5] = {0x6666666666658, 0x4cccccccccccc, 0x1999999999999,
                                   0x3333333333333, 0x6666666666666};
static const uint64_t one[5] = {1, 0, 0, 0, 0}, zero[5] = {0, 0, 0, 0, 0};

/* ---- modulo p ---------------------------------------------------------------------------------- */

/* One pass of carries, all at once. Limbs below 2^61 come out below 2^51 + 19 * 2^10. */
static inline fe carry(const __m512i r[5]) {
  const __m512i mask = all(((uint64_t)1 << 51) - 1);
  fe out;
  out.l[0] = _mm512_add_epi64(_mm512_and_si512(r[0], mask), times19(_mm512_srli_epi64(r[4], 51)));
  for (int i = 1; i < 5; i++)
    out.l[i] = _mm512_add_epi64(_mm512_and_si512(r[i], mask), _mm512_srli_epi64(r[i - 1], 51));
  return out;
}

static inline fe add(const fe *a, const fe *b) {
  __m512i r[5];
  for (int i = 0; i < 5; i++) r[i] = _mm512_add_epi64(a->l[i], b->l[i]);
  return carry(r);
}

/* a - b + 2 p: the limbs of 2 p are larger than those of b. */
static inline fe sub(const fe *a, const fe *b) {
  __m512i r[5];
  for (int i = 0; i < 5; i++) {
    const __m512i twice = all(((uint64_t)1 << 52) - (i ? 2 : 38));
    r[i] = _mm512_sub_epi64(_mm512_add_epi64(a->l[i], twice), b->l[i]);
  }
  return carry(r);
}

/* Sums of the low and the high halves of products, by weight: lo[k] is of 2^(51 k), and twice hi[k] of 2^(51 (k + 1)),
 * since the high half begins at bit 52. At most five of each meet: lo below 2^54.4, twice hi below 2^53.4, and with 19
 * times as much folded in, a limb stays below 2^60. */
static inline fe fold(const __m512i lo[9], const __m512i hi[9]) {
  __m512i z[10], r[5];
  z[0] = lo[0];
  for (int k = 1; k < 9; k++) z[k] = _mm512_add_epi64(lo[k], _mm512_slli_epi64(hi[k - 1], 1));
  z[9] = _mm512_slli_epi64(hi[8], 1);
  for (int k = 0; k < 5; k++) r[k] = _mm512_add_epi64(z[k], times19(z[k + 5]));
  return carry(r);
}

static inline fe mul(const fe *a, const fe *b) {
  __m512i lo[9], hi[9];
  for (int k = 0; k < 9; k++) lo[k] = hi[k] = _mm512_setzero_si512();
#pragma GCC unroll 5
  for (int i = 0; i < 5; i++)
#pragma GCC unroll 5
    for (int j = 0; j < 5; j++) {
      lo[i + j] = _mm512_madd52lo_epu64(lo[i + j], a->l[i], b->l[j]);
      hi[i + j] = _mm512_madd52hi_epu64(hi[i + j], a->l[i], b->l[j]);
    }
  return fold(lo, hi);
}

static inline fe sqr(const fe *a) {
  __m512i lo[9], hi[9];
  for (int k = 0; k < 9; k++) lo[k] = hi[k] = _mm512_setzero_si512();
#pragma GCC unroll 5
  for (int i = 0; i < 5; i++)
#pragma GCC unroll 5
    for (int j = i + 1; j < 5; j++) {
      lo[i + j] = _mm512_madd52lo_epu64(lo[i + j], a->l[i], a->l[j]);
      hi[i + j] = _mm512_madd52hi_epu64(hi[i + j], a->l[i], a->l[j]);
    }
  for (int k = 1; k < 8; k++) {
    lo[k] = _mm512_slli_epi64(lo[k], 1);
    hi[k] = _mm512_slli_epi64(hi[k], 1);
  }
  for (int i = 0; i < 5; i++) {
    lo[2 * i] = _mm512_madd52lo_epu64(lo[2 * i], a->l[i], a->l[i]);
    hi[2 * i] = _mm512_madd52hi_epu64(hi[2 * i], a->l[i], a->l[i]);
  }
  return fold(lo, hi);
}

static fe mul_out(const fe *a, const fe *b) {
  return mul(a, b);
}

static fe sqr_times(const fe *a, int n) {
  fe r = sqr(a);
  while (--n > 0) r = sqr(&r);
  return r;
}

/* The one representative below p: limbs of exactly 51 bits. */
static fe reduce(const fe *a) {
  const __m512i mask = all(((uint64_t)1 << 51) - 1);
  fe r = carry(a->l);
  r = carry(r.l); /* limbs below 2^51 but for what a carry of one left, which q counts too */
  __m512i q = _mm512_srli_epi64(_mm512_add_epi64(r.l[0], all(19)), 51);
  for (int i = 1; i < 5; i++) q = _mm512_srli_epi64(_mm512_add_epi64(r.l[i], q), 51);
  r.l[0] = _mm512_add_epi64(r.l[0], times19(q)); /* q: how many p it holds */
  for (int i = 0; i < 4; i++) {
    r.l[i + 1] = _mm512_add_epi64(r.l[i + 1], _mm512_srli_epi64(r.l[i], 51));
    r.l[i] = _mm512_and_si512(r.l[i], mask);
  }
  r.l[4] = _mm512_and_si512(r.l[4], mask);
  return r;
}

static __mmask8 is_zero(const fe *a) {
  fe r = reduce(a);
  __m512i any = r.l[0];
  for (int i = 1; i < 5; i++) any = _mm512_or_si512(any, r.l[i]);
  return _mm512_testn_epi64_mask(any, any);
}

static fe choose(__mmask8 lanes, const fe *then, const fe *otherwise) {
  fe r;
  for (int i = 0; i < 5; i++) r.l[i] = _mm512_mask_blend_epi64(lanes, otherwise->l[i], then->l[i]);
  return r;
}

/* z^(2^250 - 1), and z^11 on the way: the chain of exponents that inversion and square root share. */
static fe power_250(const fe *z, fe *z11) {
  fe z2 = sqr(z), z8 = sqr_times(&z2, 2), z9 = mul_out(z, &z8);
  *z11 = mul_out(&z2, &z9);
  fe t = sqr(z11), z5 = mul_out(&z9, &t);
  t = sqr_times(&z5, 5);
  fe z10 = mul_out(&t, &z5);
  t = sqr_times(&z10, 10);
  fe z20 = mul_out(&t, &z10);
  t = sqr_times(&z20, 20);
  t = mul_out(&t, &z20);
  t = sqr_times(&t, 10);
  fe z50 = mul_out(&t, &z10);
  t = sqr_times(&z50, 50);
  fe z100 = mul_out(&t, &z50);
  t = sqr_times(&z100, 100);
  t = mul_out(&t, &z100);
  t = sqr_times(&t, 50);
  return mul_out(&t, &z50);
}

static fe invert(const fe *z) { /* z^(p - 2) */
  fe z11, t = power_250(z, &z11);
  t = sqr_times(&t, 5);
  return mul_out(&t, &z11);
}

static fe power_p58(const fe *z) { /* z^((p - 5) / 8) */
  fe z11, t = power_250(z, &z11);
  t = sqr_times(&t, 2);
  return mul_out(&t, z);
}

/* ---- bytes ----------------------------------------------------------------------------------------- */

static uint64_t load64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v); /* x86 is little-endian */
  return v;
}

/* y of eight encoded points; the sign bits are left out. */
static fe load_y(const uint8_t *const p[LANES]) {
  const uint64_t mask = ((uint64_t)1 << 51) - 1;
  _Alignas(64) uint64_t l[5][LANES];
  fe r;
  for (uint32_t i = 0; i < LANES; i++) {
    l[0][i] = load64(p[i]) & mask;
    l[1][i] = load64(p[i] + 6) >> 3 & mask;
    l[2][i] = load64(p[i] + 12) >> 6 & mask;
    l[3][i] = load64(p[i] + 19) >> 1 & mask;
    l[4][i] = load64(p[i] + 24) >> 12 & mask;
  }
  for (int k = 0; k < 5; k++) r.l[k] = _mm512_load_si512(l[k]);
  return r;
}

/* Lanes whose affine point (x, y), both reduced, has this encoding. */
static uint32_t same_encoding(const fe *x, const fe *y, const uint8_t *const expected[LANES]) {
  _Alignas(64) uint64_t l[5][LANES], sign[LANES];
  uint32_t same = 0;
  for (int k = 0; k < 5; k++) _mm512_store_si512(l[k], y->l[k]);
  _mm512_store_si512(sign, x->l[0]);
  for (uint32_t i = 0; i < LANES; i++) {
    uint64_t w[4] = {l[0][i] | l[1][i] << 51, l[1][i] >> 13 | l[2][i] << 38,
                     l[2][i] >> 26 | l[3][i] << 25, l[3][i] >> 39 | l[4][i] << 12};
    w[3] |= sign[i] << 63;
    same |= (uint32_t)(memcmp(w, expected[i], 32) == 0) << i;
  }
  return same;
}

/* ---- points -------------------------------------------------------------------------------------------- */

/* -A of eight encodings; *good: the lanes that are points. */
static point decode_negated(const uint8_t *const p[LANES], __mmask8 *good) {
  const fe d = constant(curve_d), i = constant(root_of_minus_1), unit = constant(one);
  const fe nothing = constant(zero);
  point r;
  r.y = load_y(p);
  r.z = unit;
  fe yy = sqr(&r.y), u = sub(&yy, &unit), v = mul_out(&yy, &d);
  v = add(&v, &unit);
  fe v2 = sqr(&v), v3 = mul_out(&v2, &v), v6 = sqr(&v3), uv7 = mul_out(&v6, &v);
  uv7 = mul_out(&uv7, &u);
  fe x = power_p58(&uv7);
  x = mul_out(&x, &v3);
  x = mul_out(&x, &u);
  fe vxx = sqr(&x);
  vxx = mul_out(&vxx, &v);
  fe difference = sub(&vxx, &u), sum = add(&vxx, &u), turned = mul_out(&x, &i);
  __mmask8 direct = is_zero(&difference), other = is_zero(&sum);
  *good = direct | other;
  x = choose(direct, &x, &turned);
  x = reduce(&x);
  uint32_t flip = 0; /* where x has the sign that was asked for: it is to be negated */
  _Alignas(64) uint64_t low[LANES];
  _mm512_store_si512(low, x.l[0]);
  for (uint32_t k = 0; k < LANES; k++) flip |= (uint32_t)((low[k] & 1) == p[k][31] >> 7) << k;
  fe negative = sub(&nothing, &x);
  r.x = choose((__mmask8)flip, &negative, &x);
  r.t = mul_out(&r.x, &r.y);
  return r;
}

static inline point twice(const point *p, int with_t) {
  fe xx = sqr(&p->x), yy = sqr(&p->y), zz = sqr(&p->z), xy = add(&p->x, &p->y);
  fe b = add(&zz, &zz), a = sqr(&xy);
  fe y3 = add(&yy, &xx), z3 = sub(&yy, &xx), x3 = sub(&a, &y3), t3 = sub(&b, &z3);
  point r;
  r.x = mul(&x3, &t3);
  r.y = mul(&y3, &z3);
  r.z = mul(&z3, &t3);
  r.t = with_t ? mul(&x3, &y3) : p->t;
  return r;
}

static inline point plus(const point *p, const cached *q, int with_t) {
  fe s = add(&p->y, &p->x), d = sub(&p->y, &p->x);
  fe a = mul(&s, &q->plus), b = mul(&d, &q->minus), c = mul(&q->t2d, &p->t), zz = mul(&p->z, &q->z);
  fe e = add(&zz, &zz);
  fe x3 = sub(&a, &b), y3 = add(&a, &b), z3 = add(&e, &c), t3 = sub(&e, &c);
  point r;
  r.x = mul(&x3, &t3);
  r.y = mul(&y3, &z3);
  r.z = mul(&z3, &t3);
  r.t = with_t ? mul(&x3, &y3) : p->t;
  return r;
}

static cached cache(const point *p) {
  const fe dd = constant(curve_2d);
  cached r;
  r.plus = add(&p->y, &p->x);
  r.minus = sub(&p->y, &p->x);
  r.z = p->z;
  r.t2d = mul_out(&p->t, &dd);
  return r;
}

static point neutral(void) {
  point r;
  r.x = r.t = constant(zero);
  r.y = r.z = constant(one);
  return r;
}

/* 0 to 15 times p. */
static void multiples(const point *p, cached table[16]) {
  point sum = neutral();
  cached step = cache(p);
  for (int i = 0; i < 16; i++) {
    table[i] = cache(&sum);
    sum = plus(&sum, &step, 1);
  }
}

/* Entry `digit[i]` of the table in lane i. */
static cached pick(const cached table[16], const uint64_t digit[LANES]) {
  const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i entry = _mm512_mullo_epi64(_mm512_load_si512(digit), all(sizeof(cached) / 8));
  const __m512i at = _mm512_add_epi64(entry, lane);
  cached r;
  fe *to[4] = {&r.plus, &r.minus, &r.z, &r.t2d};
  for (int c = 0; c < 4; c++)
    for (int k = 0; k < 5; k++)
      to[c]->l[k] = _mm512_i64gather_epi64(
          at, (const uint8_t *)table + (size_t)(c * 5 + k) * sizeof(__m512i), 8);
  return r;
}

static void digits(const uint8_t *const scalar[LANES], int window, uint64_t out[LANES]) {
  for (uint32_t i = 0; i < LANES; i++) out[i] = scalar[i][window / 2] >> (4 * (window % 2)) & 15;
}

uint32_t plr__ed25519_verify8(const uint8_t *const key[LANES],
                              const uint8_t *const signature[LANES],
                              const uint8_t *const h[LANES]) {
  cached of_a[16], of_b[16];
  _Alignas(64) uint64_t digit[LANES];
  const uint8_t *s[LANES];
  __mmask8 good;
  point a = decode_negated(key, &good), b, sum = neutral();
  b.x = constant(base_x), b.y = constant(base_y), b.z = constant(one);
  b.t = mul_out(&b.x, &b.y);
  multiples(&a, of_a);
  multiples(&b, of_b);
  for (uint32_t i = 0; i < LANES; i++) s[i] = signature[i] + 32;
  for (int window = 63; window >= 0; window--) {
    for (int i = 0; i < 4; i++) sum = twice(&sum, i == 3);
    digits(h, window, digit);
    cached q = pick(of_a, digit);
    sum = plus(&sum, &q, 1);
    digits(s, window, digit);
    q = pick(of_b, digit);
    sum = plus(&sum, &q, 0);
  }
  fe z = invert(&sum.z), x = mul_out(&sum.x, &z), y = mul_out(&sum.y, &z);
  x = reduce(&x);
  y = reduce(&y);
  /* One bit of x is its sign. */
  x.l[0] = _mm512_and_si512(x.l[0], all(1));
  return same_encoding(&x, &y, signature) & good;
}
