/* Block integers and bf16 with AVX2: the same bits as block_portable.c, which also does remainders. */
#include "exchange/block.h"

#include <float.h>
#include <immintrin.h>

static float lanes_max(__m256 v) {
  __m128 a = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  a = _mm_max_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)));
}

/* n is a multiple of 32. 0 when a value is not finite. */
static int group_extreme(const float *x, size_t n, float *m) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256i infinity = _mm256_set1_epi32(0x7f7fffff);
  __m256 high = _mm256_set1_ps(-FLT_MAX), negated_low = high;
  __m256i bad = _mm256_setzero_si256();
  for (size_t i = 0; i < n; i += 8) {
    __m256 v = _mm256_loadu_ps(x + i);
    high = _mm256_max_ps(high, v);
    negated_low = _mm256_max_ps(negated_low, _mm256_xor_ps(v, sign));
    __m256i magnitude = _mm256_castps_si256(_mm256_andnot_ps(sign, v));
    bad = _mm256_or_si256(bad, _mm256_cmpgt_epi32(magnitude, infinity));
  }
  float top = lanes_max(high), bottom = lanes_max(negated_low);
  *m = top > bottom ? top : -bottom;
  return _mm256_testz_si256(bad, bad);
}

/* 32 values times inverse, rounded to nearest even and saturated to int8. The limits of an int32 are
 * far away: |x * inverse| is little more than 2^(bits-1). */
static __m256i round32(const float *x, __m256 inverse) {
  __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));
  __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), inverse));
  __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 16), inverse));
  __m256i d = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 24), inverse));
  __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static __m128i pack_halves(__m256i q) {
  q = _mm256_min_epi8(_mm256_max_epi8(q, _mm256_set1_epi8(-8)), _mm256_set1_epi8(7));
  q = _mm256_and_si256(q, _mm256_set1_epi8(15));
  __m256i pairs = _mm256_maddubs_epi16(q, _mm256_set1_epi16(0x1001)); /* even + 16 odd */
  return _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

static int quantise_group(const float *x, size_t n, uint32_t bits, uint8_t *scale, uint8_t *q) {
  float m;
  if (!group_extreme(x, n, &m)) return 0;
  uint16_t s = plr__block_scale(m, bits);
  plr__store_le16(scale, s);
  const __m256 inverse = _mm256_set1_ps(s ? 1.0f / plr__bf16_to_f32(s) : 0.0f);
  for (size_t i = 0; i < n; i += 32) {
    __m256i v = round32(x + i, inverse);
    if (bits == 8)
      _mm256_storeu_si256((__m256i *)(void *)(q + i), v);
    else
      _mm_storeu_si128((__m128i *)(void *)(q + i / 2), pack_halves(v));
  }
  return 1;
}

static int quantise(const float *x, size_t n, uint32_t group, uint32_t bits, uint8_t *scales,
                    uint8_t *q) {
  if (bits != 4 && bits != 8) return plr__block_portable.quantise(x, n, group, bits, scales, q);
  int finite = 1;
  size_t i = 0;
  for (; i + group <= n; i += group, scales += 2)
    finite &= quantise_group(x + i, group, bits, scales, q + i * bits / 8);
  if (i < n) finite &= plr__quantise_group(x + i, n - i, bits, scales, q + i * bits / 8);
  return finite;
}

static __m256i load32(const uint8_t *q, uint32_t bits) {
  if (bits == 8) return _mm256_loadu_si256((const __m256i *)(const void *)q);
  __m128i packed = _mm_loadu_si128((const __m128i *)(const void *)q);
  __m128i even = _mm_and_si128(packed, _mm_set1_epi8(15));
  __m128i odd = _mm_and_si128(_mm_srli_epi16(packed, 4), _mm_set1_epi8(15));
  __m256i v = _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
  const __m256i eight = _mm256_set1_epi8(8);
  return _mm256_sub_epi8(_mm256_xor_si256(v, eight), eight);
}

static void store8(float *y, __m128i q, __m256 scale) {
  _mm256_storeu_ps(y, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), scale));
}

static void dequantise(const uint8_t *scales, const uint8_t *q, size_t n, uint32_t group,
                       uint32_t bits, float *y) {
  if (bits != 4 && bits != 8) {
    plr__block_portable.dequantise(scales, q, n, group, bits, y);
    return;
  }
  size_t i = 0;
  for (; i + group <= n; i += group, scales += 2) {
    const __m256 scale = _mm256_set1_ps(plr__bf16_to_f32(plr__load_le16(scales)));
    for (size_t j = i; j < i + group; j += 32) {
      __m256i v = load32(q + j * bits / 8, bits);
      __m128i low = _mm256_castsi256_si128(v), high = _mm256_extracti128_si256(v, 1);
      store8(y + j, low, scale);
      store8(y + j + 8, _mm_unpackhi_epi64(low, low), scale);
      store8(y + j + 16, high, scale);
      store8(y + j + 24, _mm_unpackhi_epi64(high, high), scale);
    }
  }
  if (i < n) plr__dequantise_group(scales, q + i * bits / 8, n - i, bits, y + i);
}

/* bf16 bits in the low halves of eight 32-bit lanes. Integers only; an overflow of a NaN's bits does not
 * matter, because a NaN is seen before and refused. */
static __m256i to_bf16x8(const float *x, __m256i *bad) {
  __m256i u = _mm256_castps_si256(_mm256_loadu_ps(x));
  __m256i magnitude = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
  /* At or above this a value is not finite once rounded. */
  *bad = _mm256_or_si256(*bad, _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f7f7fff)));
  __m256i even = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  u = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), even);
  return _mm256_srli_epi32(u, 16);
}

static int to_bf16(const float *x, size_t n, uint8_t *out) {
  __m256i bad = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m256i a = to_bf16x8(x + i, &bad), b = to_bf16x8(x + i + 8, &bad);
    __m256i v = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
    _mm256_storeu_si256((__m256i *)(void *)(out + 2 * i), v);
  }
  return plr__to_bf16_portable(x + i, n - i, out + 2 * i) & _mm256_testz_si256(bad, bad);
}

static int from_bf16(const uint8_t *in, size_t n, float *y) {
  __m256i bad = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(in + 2 * i));
    __m256i u = _mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16);
    __m256i magnitude = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
    bad = _mm256_or_si256(bad, _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f7fffff)));
    _mm256_storeu_ps(y + i, _mm256_castsi256_ps(u));
  }
  return plr__from_bf16_portable(in + 2 * i, n - i, y + i) & _mm256_testz_si256(bad, bad);
}

const plr__block_ops plr__block_avx2 = {quantise, dequantise, to_bf16, from_bf16};
