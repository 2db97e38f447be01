/* One panel of packed weights for AVX2: eight outputs a register, a panel in four quarters. vpmaddubsw adds pairs of
 * products to 16 bits with saturation, which the values here never reach. */
#include "kernels/packed_int.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define ROWS   4 /* of the 8 that may come, at once: 16 registers */

#define EACH_ROW _Pragma("GCC unroll 4") for (int64_t r = 0; r < rows; r++)

#define FOR_ROWS(rows, call)                                                                       \
  switch (rows) {                                                                                  \
  case 1:                                                                                          \
    call(1);                                                                                       \
    break;                                                                                         \
  case 2:                                                                                          \
    call(2);                                                                                       \
    break;                                                                                         \
  case 3:                                                                                          \
    call(3);                                                                                       \
    break;                                                                                         \
  default:                                                                                         \
    call(4);                                                                                       \
    break;                                                                                         \
  }

INLINE __m256i load(const char *at) {
  return _mm256_load_si256((const __m256i *)(const void *)at);
}

/* Outputs 8 * part .. 8 * part + 7 of each half. */
INLINE void bf16_rows(const int64_t rows, const float *x, int64_t ldx, int64_t k, const char *panel,
                      int part, float *c, int64_t ldc) {
  const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
  __m256 a[ROWS], b[ROWS];
  EACH_ROW a[r] = b[r] = _mm256_setzero_ps();
  for (int64_t p = 0; p < k; p++) {
    const __m256i pair = load(panel + 64 * p + 32 * part);
    const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16));
    const __m256 second = _mm256_castsi256_ps(_mm256_and_si256(pair, high));
    EACH_ROW {
      const __m256 factor = _mm256_set1_ps(x[r * ldx + p]);
      a[r] = _mm256_fmadd_ps(factor, first, a[r]);
      b[r] = _mm256_fmadd_ps(factor, second, b[r]);
    }
  }
  EACH_ROW {
    _mm256_storeu_ps(c + r * ldc + 8 * part, a[r]);
    _mm256_storeu_ps(c + r * ldc + 16 + 8 * part, b[r]);
  }
}

static void bf16(int64_t rows, const float *x, int64_t ldx, int64_t k, const void *panel, float *c,
                 int64_t ldc) {
  for (int64_t r = 0; r < rows; r += ROWS)
    for (int part = 0; part < 2; part++) {
#define CALL(n) bf16_rows(n, x + r * ldx, ldx, k, panel, part, c + r * ldc, ldc)
      FOR_ROWS(rows - r, CALL)
#undef CALL
    }
}

INLINE __m256i four(const int8_t *q) {
  int32_t x;
  memcpy(&x, q, 4);
  return _mm256_set1_epi32(x);
}

/* Where row r of a group of x begins. */
INLINE const int8_t *group_of(const plr__quantised *x, int64_t r, int64_t g) {
  return x->q + (r * x->groups + g) * PLR_PACK_GROUP;
}

/* The rows' results with a group's integer sums; scales of 8 outputs lie at `at`. */
INLINE void finish(const int64_t rows, const plr__quantised *x, int64_t g, const char *at,
                   const __m256i *dot, __m256 *sum) {
  const __m128i bits = _mm_load_si128((const __m128i *)(const void *)at);
  const __m256 w = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  EACH_ROW {
    const __m256i all = _mm256_add_epi32(dot[r], _mm256_set1_epi32(x->minus[r * x->groups + g]));
    const __m256 s = _mm256_mul_ps(w, _mm256_set1_ps(x->scale[r * x->groups + g]));
    sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(all), s, sum[r]);
  }
}

/* Here the weights are taken without their offset, so what `minus` is for is taken back at the start. A pair of |w|
 * times x with the sign of w stays within 2 * 127 * 127. */
INLINE void q8_rows(const int64_t rows, const plr__quantised *x, const char *group, int part,
                    float *c, int64_t ldc) {
  const __m256i flip = _mm256_set1_epi8((char)0x80), ones = _mm256_set1_epi16(1);
  const char *scale = group + 16 * part;
  __m256 sum[ROWS];
  EACH_ROW sum[r] = _mm256_setzero_ps();
  group += 64 + part / 2 * 512 + part % 2 * 32;
  for (int64_t g = 0; g < x->groups; g++, group += 1088, scale += 1088) {
    __m256i dot[ROWS];
    EACH_ROW dot[r] =
        _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_set1_epi32(x->minus[r * x->groups + g]));
    _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) {
      const __m256i w = _mm256_xor_si256(load(group + 64 * i), flip);
      const __m256i size = _mm256_abs_epi8(w);
      EACH_ROW {
        const __m256i signed_x = _mm256_sign_epi8(four(group_of(x, r, g) + 4 * i), w);
        const __m256i pairs = _mm256_maddubs_epi16(size, signed_x);
        dot[r] = _mm256_add_epi32(dot[r], _mm256_madd_epi16(pairs, ones));
      }
    }
    finish(rows, x, g, scale, dot, sum);
  }
  EACH_ROW _mm256_storeu_ps(c + r * ldc + 8 * part, sum[r]);
}

/* Eight pairs of 4-bit weights times activations stay below 16 * 15 * 127 = 30480. */
INLINE void q4_rows(const int64_t rows, const plr__quantised *x, const char *group, int part,
                    float *c, int64_t ldc) {
  const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  const char *scale = group + 16 * part;
  __m256 sum[ROWS];
  EACH_ROW sum[r] = _mm256_setzero_ps();
  group += 64 + part / 2 * 256 + part % 2 * 32;
  for (int64_t g = 0; g < x->groups; g++, group += 576, scale += 576) {
    __m256i dot[ROWS];
    EACH_ROW dot[r] = _mm256_setzero_si256();
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) {
      const __m256i both = load(group + 64 * i);
      const __m256i first = _mm256_and_si256(both, low);
      const __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
      EACH_ROW {
        const int8_t *at = group_of(x, r, g) + 8 * i;
        dot[r] = _mm256_add_epi16(dot[r], _mm256_maddubs_epi16(first, four(at)));
        dot[r] = _mm256_add_epi16(dot[r], _mm256_maddubs_epi16(second, four(at + 4)));
      }
    }
    EACH_ROW dot[r] = _mm256_madd_epi16(dot[r], ones);
    finish(rows, x, g, scale, dot, sum);
  }
  EACH_ROW _mm256_storeu_ps(c + r * ldc + 8 * part, sum[r]);
}

/* Rows r, r + 1, ... of x. */
INLINE plr__quantised rows_from(const plr__quantised *x, int64_t r) {
  plr__quantised y = {x->q + r * x->groups * PLR_PACK_GROUP, x->scale + r * x->groups,
                      x->minus + r * x->groups, x->groups};
  return y;
}

static void q8(int64_t rows, const plr__quantised *x, const void *panel, float *c, int64_t ldc) {
  for (int64_t r = 0; r < rows; r += ROWS) {
    const plr__quantised part_x = rows_from(x, r);
    for (int part = 0; part < 4; part++) {
#define CALL(n) q8_rows(n, &part_x, panel, part, c + r * ldc, ldc)
      FOR_ROWS(rows - r, CALL)
#undef CALL
    }
  }
}

static void q4(int64_t rows, const plr__quantised *x, const void *panel, float *c, int64_t ldc) {
  for (int64_t r = 0; r < rows; r += ROWS) {
    const plr__quantised part_x = rows_from(x, r);
    for (int part = 0; part < 4; part++) {
#define CALL(n) q4_rows(n, &part_x, panel, part, c + r * ldc, ldc)
      FOR_ROWS(rows - r, CALL)
#undef CALL
    }
  }
}

const plr__packed_kernels plr__packed_avx2 = {.bf16 = bf16, .q8 = q8, .q4 = q4};
