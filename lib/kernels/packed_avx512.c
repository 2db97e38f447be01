/* One panel of packed weights for AVX-512 with VNNI. vpdpbusd adds four products of unsigned weights and signed
 * activations to each of 16 outputs, exactly. */
#include "kernels/packed_int.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define AHEAD                                                                                      \
  2048 /* bytes a stream is asked for in advance: the hardware stops at the end of a page */

/* `rows` is a constant where these are used, so that loops and conditions over rows fold away. */
#define EACH_ROW _Pragma("GCC unroll 8") for (int64_t r = 0; r < rows; r++)

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
  case 4:                                                                                          \
    call(4);                                                                                       \
    break;                                                                                         \
  case 5:                                                                                          \
    call(5);                                                                                       \
    break;                                                                                         \
  case 6:                                                                                          \
    call(6);                                                                                       \
    break;                                                                                         \
  case 7:                                                                                          \
    call(7);                                                                                       \
    break;                                                                                         \
  default:                                                                                         \
    call(8);                                                                                       \
    break;                                                                                         \
  }

INLINE void bf16_rows(const int64_t rows, const float *x, int64_t ldx, int64_t k, const char *panel,
                      float *c, int64_t ldc) {
  const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
  __m512 a[PLR_PACKED_ROWS], b[PLR_PACKED_ROWS];
  EACH_ROW a[r] = b[r] = _mm512_setzero_ps();
  for (int64_t p = 0; p < k; p++, panel += 64) {
    const __m512i pair = _mm512_load_si512(panel);
    const __m512 first = _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16));
    const __m512 second = _mm512_castsi512_ps(_mm512_and_si512(pair, high));
    if (rows == 1) _mm_prefetch(panel + AHEAD, _MM_HINT_T0);
    EACH_ROW {
      const __m512 factor = _mm512_set1_ps(x[r * ldx + p]);
      a[r] = _mm512_fmadd_ps(factor, first, a[r]);
      b[r] = _mm512_fmadd_ps(factor, second, b[r]);
    }
  }
  EACH_ROW {
    _mm512_storeu_ps(c + r * ldc, a[r]);
    _mm512_storeu_ps(c + r * ldc + 16, b[r]);
  }
}

static void bf16(int64_t rows, const float *x, int64_t ldx, int64_t k, const void *panel, float *c,
                 int64_t ldc){
#define CALL(n) bf16_rows(n, x, ldx, k, panel, c, ldc)
    FOR_ROWS(rows, CALL)
#undef CALL
}

INLINE __m512i four(const int8_t *q) {
  int32_t x;
  memcpy(&x, q, 4);
  return _mm512_set1_epi32(x);
}

INLINE __m512 scales(const char *at) {
  const __m256i bits = _mm256_load_si256((const __m256i *)(const void *)at);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/* A group's integer sums become part of the rows' results. */
#define FINISH(half, group, g)                                                                     \
  do {                                                                                             \
    const __m512 weight_scale = scales((group) + 32 * (half));                                     \
    EACH_ROW {                                                                                     \
      const __m512 s = _mm512_mul_ps(weight_scale, _mm512_set1_ps(x->scale[r * x->groups + (g)])); \
      sum[half][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[r]), s, sum[half][r]);                 \
    }                                                                                              \
  } while (0)

#define START(g) EACH_ROW dot[r] = _mm512_set1_epi32(x->minus[r * x->groups + (g)])

INLINE void q8_rows(const int64_t rows, const plr__quantised *x, const char *group, float *c,
                    int64_t ldc) {
  __m512 sum[2][PLR_PACKED_ROWS];
  EACH_ROW sum[0][r] = sum[1][r] = _mm512_setzero_ps();
  for (int64_t g = 0; g < x->groups; g++, group += 1088) {
    const int8_t *q = x->q + g * PLR_PACK_GROUP;
    if (rows == 1)
      for (int i = 0; i < 17; i++) _mm_prefetch(group + AHEAD + 64 * i, _MM_HINT_T0);
    _Pragma("GCC unroll 2") for (int half = 0; half < 2; half++) {
      __m512i dot[PLR_PACKED_ROWS];
      START(g);
      _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) {
        const __m512i w = _mm512_load_si512(group + 64 + 512 * half + 64 * i);
        EACH_ROW dot[r] =
            _mm512_dpbusd_epi32(dot[r], w, four(q + r * x->groups * PLR_PACK_GROUP + 4 * i));
      }
      FINISH(half, group, g);
    }
  }
  EACH_ROW {
    _mm512_storeu_ps(c + r * ldc, sum[0][r]);
    _mm512_storeu_ps(c + r * ldc + 16, sum[1][r]);
  }
}

static void q8(int64_t rows, const plr__quantised *x, const void *panel, float *c, int64_t ldc){
#define CALL(n) q8_rows(n, x, panel, c, ldc)
    FOR_ROWS(rows, CALL)
#undef CALL
}

INLINE void q4_rows(const int64_t rows, const plr__quantised *x, const char *group, float *c,
                    int64_t ldc) {
  const __m512i low = _mm512_set1_epi8(15);
  __m512 sum[2][PLR_PACKED_ROWS];
  EACH_ROW sum[0][r] = sum[1][r] = _mm512_setzero_ps();
  for (int64_t g = 0; g < x->groups; g++, group += 576) {
    const int8_t *q = x->q + g * PLR_PACK_GROUP;
    if (rows == 1)
      for (int i = 0; i < 9; i++) _mm_prefetch(group + AHEAD + 64 * i, _MM_HINT_T0);
    _Pragma("GCC unroll 2") for (int half = 0; half < 2; half++) {
      __m512i dot[PLR_PACKED_ROWS];
      START(g);
      _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) {
        const __m512i both = _mm512_load_si512(group + 64 + 256 * half + 64 * i);
        const __m512i first = _mm512_and_si512(both, low);
        const __m512i second = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        EACH_ROW {
          const int8_t *at = q + r * x->groups * PLR_PACK_GROUP + 8 * i;
          dot[r] = _mm512_dpbusd_epi32(dot[r], first, four(at));
          dot[r] = _mm512_dpbusd_epi32(dot[r], second, four(at + 4));
        }
      }
      FINISH(half, group, g);
    }
  }
  EACH_ROW {
    _mm512_storeu_ps(c + r * ldc, sum[0][r]);
    _mm512_storeu_ps(c + r * ldc + 16, sum[1][r]);
  }
}

static void q4(int64_t rows, const plr__quantised *x, const void *panel, float *c, int64_t ldc) {
#define CALL(n) q4_rows(n, x, panel, c, ldc)
  FOR_ROWS(rows, CALL)
#undef CALL
}

const plr__packed_kernels plr__packed_avx512 = {.bf16 = bf16, .q8 = q8, .q4 = q4};
