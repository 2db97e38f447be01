/* The matrix product's inner parts for AVX-512. */
#include "kernels/gemm_int.h"

#include "kernels/gemm_tile_avx512.h"

#include <immintrin.h>

#define MR     14
#define NR     32
#define AHEAD  4 /* rows of B that few rows of A fetch ahead */
#define INLINE static inline __attribute__((always_inline))

/* The first n of 16 lanes (n <= 0: none). */
INLINE __mmask16 lane_mask(int64_t n) {
  return (__mmask16)((1u << PLR_MAX(PLR_MIN(n, 16), 0)) - 1u);
}

/* ---- the register tile ------------------------------------------------------------------------ */

/* Full tiles are in assembly (gemm_tile_avx512.h). Here is the last panel, where fewer than 32 columns count: the
 * accumulators are named, left and right 16 columns of each row, since an array of them does not stay in registers
 * with every compiler. rows and wide are constants where these are used, so the rest folds away. */
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)

#define LOAD_ROW(r)                                                                                \
  __m512 left##r = _mm512_setzero_ps(), right##r = left##r;                                        \
  if (r < rows && s->resume) {                                                                     \
    left##r = _mm512_maskz_loadu_ps(mask_left, c + r * s->ldc);                                    \
    if (wide) right##r = _mm512_maskz_loadu_ps(mask_right, c + r * s->ldc + 16);                   \
  }

#define STEP_ROW(r)                                                                                \
  if (r < rows) {                                                                                  \
    const __m512 x = _mm512_set1_ps((r < 7 ? low : high)[r % 7 * row_stride]);                     \
    left##r = _mm512_fmadd_ps(x, b_left, left##r);                                                 \
    if (wide) right##r = _mm512_fmadd_ps(x, b_right, right##r);                                    \
  }

#define STORE_ROW(r)                                                                               \
  if (r < rows) {                                                                                  \
    _mm512_mask_storeu_ps(c + r * s->ldc, mask_left, left##r);                                     \
    if (wide) _mm512_mask_storeu_ps(c + r * s->ldc + 16, mask_right, right##r);                    \
  }

/* rows x 32 elements of C (16 when not wide), of which cols count. */
INLINE void edge_tile(const int rows, const int wide, const plr__gemm_strip *s, const float *b,
                      float *c, int64_t cols) {
  const __mmask16 mask_left = lane_mask(cols), mask_right = lane_mask(cols - 16);
  EACH_ROW(LOAD_ROW)
  const int64_t row_stride = s->row_stride, k_stride = s->k_stride;
  const float *low = s->a, *high = rows > 7 ? low + 7 * row_stride : low; /* 3 offsets reach all */
  for (int64_t p = s->depth; p > 0; p--) {
    const __m512 b_left = _mm512_load_ps(b);
    const __m512 b_right = wide ? _mm512_load_ps(b + 16) : b_left;
    EACH_ROW(STEP_ROW)
    low += k_stride;
    high += k_stride;
    b += NR;
  }
  EACH_ROW(STORE_ROW)
}

static void edge(const plr__gemm_strip *s, const float *b, float *c, int64_t cols) {
#define CASE(r)                                                                                    \
  case r + 1:                                                                                      \
    if (cols > 16)                                                                                 \
      edge_tile(r + 1, 1, s, b, c, cols);                                                          \
    else                                                                                           \
      edge_tile(r + 1, 0, s, b, c, cols);                                                          \
    break;
  switch (s->rows) { EACH_ROW(CASE) }
#undef CASE
}

/* The assembly of a tile is one string, longer than the 4095 characters every compiler must take; gcc and clang do. */
#pragma GCC diagnostic ignored "-Woverlength-strings"

typedef void tile_fn(const plr__tile512 *t);

#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings" /* of the assembly */
EACH_HEIGHT(PLR_TILE_FUNCTION)
EACH_HEIGHT(PLR_TILE_PACK_FUNCTION)
#pragma GCC diagnostic pop
#define TILE_ENTRY(n) tile_##n,
#define PACK_ENTRY(n) tile_pack_##n,
static tile_fn *const tiles[MR] = {EACH_HEIGHT(TILE_ENTRY)};
static tile_fn *const packing_tiles[MR] = {EACH_HEIGHT(PACK_ENTRY)};

static plr__tile512 first_tile(const plr__gemm_strip *s) {
  return (plr__tile512){.a = s->a,
                        .row_stride = s->row_stride * 4,
                        .k_stride = s->k_stride * 4,
                        .b = s->b,
                        .c = s->c,
                        .c_stride = s->ldc * 4,
                        .rows = s->rows,
                        .depth = s->depth,
                        .resume = s->resume};
}

static void strip(const plr__gemm_strip *s) {
  tile_fn *const tile = tiles[s->rows - 1];
  plr__tile512 t = first_tile(s);
  int64_t left = s->cols;
  for (; left >= NR; left -= NR) {
    t.next = left > NR ? t.c + NR : t.c;
    tile(&t);
    t.b += s->depth * NR;
    t.c += NR;
  }
  if (left > 0) edge(s, t.b, t.c, left);
}

/* ---- packing ---------------------------------------------------------------------------------- */

/* Rows are far apart, so what the next ones need is asked for early. */
static void pack_rows(const float *a, int64_t lda, int64_t depth, int64_t rows, float *to) {
  for (int64_t p = 0; p < depth; p++) {
    const float *from = a + p * lda;
    for (int64_t r = 0; r < rows; r += 16)
      _mm_prefetch((const char *)(from + 12 * lda + r), _MM_HINT_T0);
    float *tile = to;
    for (int64_t left = rows, height; left > 0; left -= height) {
      height = plr__gemm_tile_rows(left, MR);
      const __mmask16 mask = lane_mask(height);
      _mm512_mask_storeu_ps(tile + p * height, mask, _mm512_maskz_loadu_ps(mask, from));
      tile += depth * height;
      from += height;
    }
  }
}

static void pack(const float *b, int64_t ldb, int64_t depth, int64_t cols, float *panels) {
  for (int64_t p = 0; p < depth; p++) {
    const float *row = b + p * ldb;
    float *to = panels + p * NR;
    for (int64_t left = cols; left > 0; left -= NR) {
      _mm512_store_ps(to, _mm512_maskz_loadu_ps(lane_mask(left), row));
      _mm512_store_ps(to + 16, _mm512_maskz_loadu_ps(lane_mask(left - 16), row + 16));
      row += NR;
      to += depth * NR;
    }
  }
}

static void strip_packing(const plr__gemm_strip *s, const float *from, int64_t ldb) {
  tile_fn *const tile = packing_tiles[s->rows - 1];
  plr__tile512 t = first_tile(s);
  float *panel = s->b;
  int64_t left = s->cols;
  t.b_stride = ldb * 4;
  for (; left >= NR; left -= NR) {
    t.b = from;
    t.pack = panel;
    tile(&t);
    from += NR;
    panel += s->depth * NR;
    t.c += NR;
  }
  if (left <= 0) return;
  pack(from, ldb, s->depth, left, panel);
  edge(s, panel, t.c, left);
}

/* Four k of rows 0, 4, 8 and 12 of `from`: joining them while loading leaves only shuffles within 128 bits. */
INLINE __m512 four_rows(const float *from, int64_t ld) {
  __m512 r = _mm512_castps128_ps512(_mm_loadu_ps(from));
  r = _mm512_insertf32x4(r, _mm_loadu_ps(from + 4 * ld), 1);
  r = _mm512_insertf32x4(r, _mm_loadu_ps(from + 8 * ld), 2);
  return _mm512_insertf32x4(r, _mm_loadu_ps(from + 12 * ld), 3);
}

/* 16 rows of 16 at `from` become 16 columns of a panel: a whole cache line of each row at a time, for rows whose
 * stride is a multiple of 4 KiB share the same few cache sets, and a line would not survive until asked for again. */
INLINE void transpose_16x16(const float *from, int64_t ld, float *to) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) _mm_prefetch((const char *)(from + i * ld + 48), _MM_HINT_T0);
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512 r0 = four_rows(from + i, ld), r1 = four_rows(from + ld + i, ld);
    const __m512 r2 = four_rows(from + 2 * ld + i, ld), r3 = four_rows(from + 3 * ld + i, ld);
    const __m512 t0 = _mm512_unpacklo_ps(r0, r1), t1 = _mm512_unpackhi_ps(r0, r1);
    const __m512 t2 = _mm512_unpacklo_ps(r2, r3), t3 = _mm512_unpackhi_ps(r2, r3);
    _mm512_store_ps(to + (i + 0) * NR, _mm512_shuffle_ps(t0, t2, 0x44));
    _mm512_store_ps(to + (i + 1) * NR, _mm512_shuffle_ps(t0, t2, 0xee));
    _mm512_store_ps(to + (i + 2) * NR, _mm512_shuffle_ps(t1, t3, 0x44));
    _mm512_store_ps(to + (i + 3) * NR, _mm512_shuffle_ps(t1, t3, 0xee));
  }
}

/* 16 columns of a panel, of which `cols` (at most 16, none below 1) are there. */
static void pack_half_transposed(const float *b, int64_t ldb, int64_t depth, int64_t cols,
                                 float *to) {
  int64_t p = 0;
  if (cols >= 16)
    for (; p + 16 <= depth; p += 16) transpose_16x16(b + p, ldb, to + p * NR);
  for (; p < depth; p++)
    for (int64_t j = 0; j < 16; j++) to[p * NR + j] = j < cols ? b[j * ldb + p] : 0.0f;
}

static void pack_transposed(const float *b, int64_t ldb, int64_t depth, int64_t cols,
                            float *panels) {
  for (int64_t left = cols; left > 0; left -= NR) {
    pack_half_transposed(b, ldb, depth, left, panels);
    pack_half_transposed(b + 16 * ldb, ldb, depth, left - 16, panels + 16);
    b += NR * ldb;
    panels += depth * NR;
  }
}

/* ---- few rows --------------------------------------------------------------------------------- */

/* `steps` of k for 32 columns, of which the masks' count; rows and steps are constants where this is inlined.
 * Each vector of B is read once, in the order it is stored, and serves all rows. */
INLINE void thin_columns(const int rows, const int steps, __mmask16 mask_left, __mmask16 mask_right,
                         const float *a, const float *b, int64_t ldb, float *c, int64_t ldc) {
  __m512 bv[4][2];
#pragma GCC unroll 4
  for (int p = 0; p < steps; p++) {
    if (rows > 1) { /* for one row they are too far: the processor finds long rows by itself */
      _mm_prefetch((const char *)(b + (p + AHEAD) * ldb), _MM_HINT_T0);
      _mm_prefetch((const char *)(b + (p + AHEAD) * ldb + 16), _MM_HINT_T0);
    }
    bv[p][0] = _mm512_maskz_loadu_ps(mask_left, b + p * ldb);
    bv[p][1] = _mm512_maskz_loadu_ps(mask_right, b + p * ldb + 16);
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
    float *at = c + r * ldc;
    __m512 x = _mm512_maskz_loadu_ps(mask_left, at);
    __m512 y = _mm512_maskz_loadu_ps(mask_right, at + 16);
#pragma GCC unroll 4
    for (int p = 0; p < steps; p++) {
      const __m512 av = _mm512_set1_ps(a[p * rows + r]);
      x = _mm512_fmadd_ps(av, bv[p][0], x);
      y = _mm512_fmadd_ps(av, bv[p][1], y);
    }
    _mm512_mask_storeu_ps(at, mask_left, x);
    _mm512_mask_storeu_ps(at + 16, mask_right, y);
  }
}

INLINE void thin_steps(const int rows, const int steps, int64_t cols, const float *a,
                       const float *b, int64_t ldb, float *c, int64_t ldc) {
  int64_t j = 0;
  for (; j + 32 <= cols; j += 32)
    thin_columns(rows, steps, 0xffff, 0xffff, a, b + j, ldb, c + j, ldc);
  if (j < cols)
    thin_columns(rows, steps, lane_mask(cols - j), lane_mask(cols - j - 16), a, b + j, ldb, c + j,
                 ldc);
}

#include "kernels/gemm_thin.h"

const plr__gemm_kernels plr__gemm_avx512 = {.mr = MR,
                                            .nr = NR,
                                            .strip = strip,
                                            .strip_packing = strip_packing,
                                            .pack_rows = pack_rows,
                                            .pack = pack,
                                            .pack_transposed = pack_transposed,
                                            .thin = thin};
