/* The matrix product's inner parts for AVX2 with FMA (and any x86-64 processor that has both). */
#include "kernels/gemm_int.h"

#include <immintrin.h>
#include <string.h>

#define MR     6 /* 12 accumulators, of 16 registers */
#define NR     16
#define INLINE static inline __attribute__((always_inline))

/* The first n of 8 lanes (n <= 0: none). */
INLINE __m256i lane_mask(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)PLR_MAX(PLR_MIN(n, 8), 0)), lane);
}

INLINE __m256 load(const float *from, int64_t n) {
  return n >= 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, lane_mask(n));
}

INLINE void store(float *to, __m256 x, int64_t n) {
  if (n >= 8)
    _mm256_storeu_ps(to, x);
  else
    _mm256_maskstore_ps(to, lane_mask(n), x);
}

/* ---- the register tile ------------------------------------------------------------------------ */

/* The accumulators are named, left and right 8 columns of each row, since an array of them does not stay in
 * registers with every compiler. rows and wide are constants where these are used, so the rest folds away. */
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)

#define LOAD_ROW(r)                                                                                \
  __m256 left##r = _mm256_setzero_ps(), right##r = left##r;                                        \
  if (r < rows && s->resume) {                                                                     \
    left##r = load(c + r * s->ldc, wide ? 8 : cols);                                               \
    if (wide) right##r = load(c + r * s->ldc + 8, cols - 8);                                       \
  }

#define STEP_ROW(r)                                                                                \
  if (r < rows) {                                                                                  \
    const __m256 x = _mm256_broadcast_ss((r < 3 ? low : high) + r % 3 * row_stride);               \
    left##r = _mm256_fmadd_ps(x, b_left, left##r);                                                 \
    if (wide) right##r = _mm256_fmadd_ps(x, b_right, right##r);                                    \
  }

#define STORE_ROW(r)                                                                               \
  if (r < rows) {                                                                                  \
    store(c + r * s->ldc, left##r, wide ? 8 : cols);                                               \
    if (wide) store(c + r * s->ldc + 8, right##r, cols - 8);                                       \
  }

/* rows x 16 elements of C (8 when not wide), of which cols count. */
INLINE void tile(const int rows, const int wide, const plr__gemm_strip *s, const float *b, float *c,
                 int64_t cols) {
  EACH_ROW(LOAD_ROW)
  const int64_t row_stride = s->row_stride, k_stride = s->k_stride;
  const float *low = s->a, *high = rows > 3 ? low + 3 * row_stride : low; /* 3 offsets reach all */
  for (int64_t p = s->depth; p > 0; p--) {
    const __m256 b_left = _mm256_load_ps(b);
    const __m256 b_right = wide ? _mm256_load_ps(b + 8) : b_left;
    EACH_ROW(STEP_ROW)
    low += k_stride;
    high += k_stride;
    b += NR;
  }
  EACH_ROW(STORE_ROW)
}

/* The tiles of one strip. While one computes, the lines of C that the next one starts from are fetched. */
INLINE void strip_rows(const int rows, const plr__gemm_strip *s) {
  const float *b = s->b;
  float *c = s->c;
  for (int64_t left = s->cols; left > 0; left -= NR) {
    if (left > NR)
      for (int r = 0; r < rows; r++) _mm_prefetch((const char *)(c + r * s->ldc + NR), _MM_HINT_T0);
    if (left > 8)
      tile(rows, 1, s, b, c, left);
    else
      tile(rows, 0, s, b, c, left);
    b += s->depth * NR;
    c += NR;
  }
}

static void strip(const plr__gemm_strip *s) {
  switch (s->rows) {
  case 1:
    strip_rows(1, s);
    break;
  case 2:
    strip_rows(2, s);
    break;
  case 3:
    strip_rows(3, s);
    break;
  case 4:
    strip_rows(4, s);
    break;
  case 5:
    strip_rows(5, s);
    break;
  default:
    strip_rows(MR, s);
    break;
  }
}

/* ---- packing ---------------------------------------------------------------------------------- */

static void pack_rows(const float *a, int64_t lda, int64_t depth, int64_t rows, float *to) {
  for (int64_t p = 0; p < depth; p++) {
    const float *from = a + p * lda;
    float *tile = to;
    for (int64_t r = 0; r < rows; r += 16)
      _mm_prefetch((const char *)(from + 12 * lda + r), _MM_HINT_T0);
    for (int64_t left = rows, height; left > 0; left -= height) {
      height = plr__gemm_tile_rows(left, MR);
      const __m256i mask = lane_mask(height);
      _mm256_maskstore_ps(tile + p * height, mask, _mm256_maskload_ps(from, mask));
      tile += depth * height;
      from += height;
    }
  }
}

/* A few panels at a time: the same row of many would fall on the same cache sets. Rows of B are far apart, so what the
 * next ones need is asked for early. */
static void pack(const float *b, int64_t ldb, int64_t depth, int64_t cols, float *panels) {
  for (int64_t j = 0; j < cols; j += 4 * NR) {
    const int64_t width = PLR_MIN(4 * NR, cols - j);
    for (int64_t p = 0; p < depth; p++) {
      const float *row = b + p * ldb + j;
      float *to = panels + j * depth + p * NR;
      int64_t left = width;
      for (; left >= NR; left -= NR) {
        _mm_prefetch((const char *)(row + 12 * ldb), _MM_HINT_T0);
        _mm256_store_ps(to, _mm256_loadu_ps(row));
        _mm256_store_ps(to + 8, _mm256_loadu_ps(row + 8));
        row += NR;
        to += depth * NR;
      }
      if (left <= 0) continue;
      _mm256_store_ps(to, load(row, left));
      _mm256_store_ps(to + 8, left > 8 ? load(row + 8, left - 8) : _mm256_setzero_ps());
    }
  }
}

/* 8 rows of 8 at `from` become 8 columns of a panel. */
INLINE void transpose_8x8(const float *from, int64_t ld, float *to) {
  __m256 r[8], t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    /* Joining halves of rows i and i + 4 while loading leaves only in-lane shuffles. */
    const float *x = from + i * ld, *y = from + (i + 4) * ld;
    r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x)), _mm_loadu_ps(y), 1);
    r[i + 4] =
        _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x + 4)), _mm_loadu_ps(y + 4), 1);
  }
#pragma GCC unroll 2
  for (int h = 0; h < 8; h += 4) {
    t[h] = _mm256_unpacklo_ps(r[h], r[h + 1]);
    t[h + 1] = _mm256_unpackhi_ps(r[h], r[h + 1]);
    t[h + 2] = _mm256_unpacklo_ps(r[h + 2], r[h + 3]);
    t[h + 3] = _mm256_unpackhi_ps(r[h + 2], r[h + 3]);
    _mm256_store_ps(to + (h + 0) * NR, _mm256_shuffle_ps(t[h], t[h + 2], 0x44));
    _mm256_store_ps(to + (h + 1) * NR, _mm256_shuffle_ps(t[h], t[h + 2], 0xee));
    _mm256_store_ps(to + (h + 2) * NR, _mm256_shuffle_ps(t[h + 1], t[h + 3], 0x44));
    _mm256_store_ps(to + (h + 3) * NR, _mm256_shuffle_ps(t[h + 1], t[h + 3], 0xee));
  }
}

/* Takes 16 of k at a time, a whole cache line of each row: rows whose stride is a multiple of 4 KiB share the
 * same few cache sets, and a line would not survive until its second half were asked for. */
static void pack_panel_transposed(const float *b, int64_t ldb, int64_t depth, float *panel) {
  int64_t p = 0;
  for (; p + 16 <= depth; p += 16) {
    for (int64_t j = 0; j < NR; j += 8) {
      transpose_8x8(b + j * ldb + p, ldb, panel + p * NR + j);
      transpose_8x8(b + j * ldb + p + 8, ldb, panel + (p + 8) * NR + j);
    }
  }
  for (; p < depth; p++)
    for (int64_t j = 0; j < NR; j++) panel[p * NR + j] = b[j * ldb + p];
}

static void pack_transposed(const float *b, int64_t ldb, int64_t depth, int64_t cols,
                            float *panels) {
  for (; cols >= NR; cols -= NR) {
    pack_panel_transposed(b, ldb, depth, panels);
    b += NR * ldb;
    panels += depth * NR;
  }
  if (cols <= 0) return;
  memset(panels, 0, (size_t)(depth * NR) * sizeof *panels);
  for (int64_t j = 0; j < cols; j++)
    for (int64_t p = 0; p < depth; p++) panels[p * NR + j] = b[j * ldb + p];
}

/* ---- few rows --------------------------------------------------------------------------------- */

/* `steps` of k for all columns; rows and steps are constants where this is inlined. Each vector of B is read
 * once, in the order it is stored, and serves all rows. */
INLINE void thin_steps(const int rows, const int steps, int64_t cols, const float *a,
                       const float *b, int64_t ldb, float *c, int64_t ldc) {
  int64_t j = 0;
  for (; j + 16 <= cols; j += 16) {
    __m256 bv[4][2];
#pragma GCC unroll 4
    for (int p = 0; p < steps; p++) {
      bv[p][0] = _mm256_loadu_ps(b + p * ldb + j);
      bv[p][1] = _mm256_loadu_ps(b + p * ldb + j + 8);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      float *at = c + r * ldc + j;
      __m256 x = _mm256_loadu_ps(at), y = _mm256_loadu_ps(at + 8);
#pragma GCC unroll 4
      for (int p = 0; p < steps; p++) {
        const __m256 av = _mm256_set1_ps(a[p * rows + r]);
        x = _mm256_fmadd_ps(av, bv[p][0], x);
        y = _mm256_fmadd_ps(av, bv[p][1], y);
      }
      _mm256_storeu_ps(at, x);
      _mm256_storeu_ps(at + 8, y);
    }
  }
  for (; j < cols; j += 8) {
    const __m256i mask = lane_mask(cols - j);
    for (int r = 0; r < rows; r++) {
      __m256 x = _mm256_maskload_ps(c + r * ldc + j, mask);
      for (int p = 0; p < steps; p++)
        x = _mm256_fmadd_ps(_mm256_set1_ps(a[p * rows + r]),
                            _mm256_maskload_ps(b + p * ldb + j, mask), x);
      _mm256_maskstore_ps(c + r * ldc + j, mask, x);
    }
  }
}

#include "kernels/gemm_thin.h"

const plr__gemm_kernels plr__gemm_avx2 = {.mr = MR,
                                          .nr = NR,
                                          .strip = strip,
                                          .pack_rows = pack_rows,
                                          .pack = pack,
                                          .pack_transposed = pack_transposed,
                                          .thin = thin};
