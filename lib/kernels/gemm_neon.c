/* The matrix product's inner parts for NEON (every aarch64 processor). */
#include "kernels/gemm_int.h"

#include <arm_neon.h>
#include <string.h>

#define MR     6 /* 24 accumulators, of 32 registers */
#define NR     16
#define INLINE static inline __attribute__((always_inline))

/* Four columns of C at `from`, of which n count (n <= 0: none). */
INLINE float32x4_t load(const float *from, int64_t n) {
  if (n >= 4) return vld1q_f32(from);
  float t[4] = {0};
  for (int64_t i = 0; i < n; i++) t[i] = from[i];
  return vld1q_f32(t);
}

INLINE void store(float *to, float32x4_t x, int64_t n) {
  if (n >= 4) {
    vst1q_f32(to, x);
    return;
  }
  float t[4];
  vst1q_f32(t, x);
  for (int64_t i = 0; i < n; i++) to[i] = t[i];
}

/* ---- the register tile ------------------------------------------------------------------------ */

/* The accumulators are named, four of 4 columns for each row, since an array of them does not stay in registers
 * with every compiler. rows is a constant where these are used, so the rest folds away. */
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)

#define LOAD_ROW(r)                                                                                \
  float32x4_t c##r##0 = vdupq_n_f32(0), c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0;   \
  if (r < rows && s->resume) {                                                                     \
    const float *at = c + r * s->ldc;                                                              \
    c##r##0 = load(at, cols);                                                                      \
    c##r##1 = load(at + 4, cols - 4);                                                              \
    c##r##2 = load(at + 8, cols - 8);                                                              \
    c##r##3 = load(at + 12, cols - 12);                                                            \
  }

#define STORE_ROW(r)                                                                               \
  if (r < rows) {                                                                                  \
    float *at = c + r * s->ldc;                                                                    \
    store(at, c##r##0, cols);                                                                      \
    store(at + 4, c##r##1, cols - 4);                                                              \
    store(at + 8, c##r##2, cols - 8);                                                              \
    store(at + 12, c##r##3, cols - 12);                                                            \
  }

/* Four k of a row of A that is read in place. */
#define FOUR_OF_ROW(r)                                                                             \
  const float32x4_t a##r = r < rows ? vld1q_f32(a + r * row_stride) : vdupq_n_f32(0);

/* One k: `lane` of those four times 16 columns of B. A column's vector serves all rows before the next is loaded:
 * the accumulators, the rows' vectors and that one are 31 registers. */
#define LANE_OF_COLUMNS(r, q, lane)                                                                \
  if (r < rows) c##r##q = vfmaq_laneq_f32(c##r##q, bv, a##r, lane);
#define COLUMNS_BY_LANE(q, lane)                                                                   \
  {                                                                                                \
    const float32x4_t bv = vld1q_f32(b + 4 * (q));                                                 \
    LANE_OF_COLUMNS(0, q, lane)                                                                    \
    LANE_OF_COLUMNS(1, q, lane)                                                                    \
    LANE_OF_COLUMNS(2, q, lane)                                                                    \
    LANE_OF_COLUMNS(3, q, lane)                                                                    \
    LANE_OF_COLUMNS(4, q, lane)                                                                    \
    LANE_OF_COLUMNS(5, q, lane)                                                                    \
  }
#define STEP_BY_LANE(lane)                                                                         \
  COLUMNS_BY_LANE(0, lane)                                                                         \
  COLUMNS_BY_LANE(1, lane)                                                                         \
  COLUMNS_BY_LANE(2, lane)                                                                         \
  COLUMNS_BY_LANE(3, lane)                                                                         \
  b += NR;

#define STEP_ROW(r)                                                                                \
  if (r < rows) {                                                                                  \
    const float x = a[r * row_stride];                                                             \
    c##r##0 = vfmaq_n_f32(c##r##0, b0, x);                                                         \
    c##r##1 = vfmaq_n_f32(c##r##1, b1, x);                                                         \
    c##r##2 = vfmaq_n_f32(c##r##2, b2, x);                                                         \
    c##r##3 = vfmaq_n_f32(c##r##3, b3, x);                                                         \
  }

/* rows x 16 elements of C, of which cols columns count. */
INLINE void tile(const int rows, const plr__gemm_strip *s, const float *b, float *c, int64_t cols) {
  EACH_ROW(LOAD_ROW)
  const int64_t row_stride = s->row_stride, k_stride = s->k_stride;
  const float *a = s->a;
  int64_t p = s->depth;
  if (k_stride == 1)
    for (; p >= 4; p -= 4, a += 4) {
      EACH_ROW(FOUR_OF_ROW)
      STEP_BY_LANE(0)
      STEP_BY_LANE(1)
      STEP_BY_LANE(2)
      STEP_BY_LANE(3)
    }
  for (; p > 0; p--, a += k_stride, b += NR) {
    const float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4);
    const float32x4_t b2 = vld1q_f32(b + 8), b3 = vld1q_f32(b + 12);
    EACH_ROW(STEP_ROW)
  }
  EACH_ROW(STORE_ROW)
}

/* The tiles of one strip. While one computes, the lines of C that the next one starts from are fetched. */
INLINE void strip_rows(const int rows, const plr__gemm_strip *s) {
  const float *b = s->b;
  float *c = s->c;
  for (int64_t left = s->cols; left > 0; left -= NR) {
    if (left > NR)
      for (int r = 0; r < rows; r++) __builtin_prefetch(c + r * s->ldc + NR, 1);
    if (left >= NR)
      tile(rows, s, b, c, NR);
    else
      tile(rows, s, b, c, left);
    b += s->depth * NR;
    c += NR;
  }
}

static void strip(const plr__gemm_strip *s) {
#define CASE(r)                                                                                    \
  case r + 1:                                                                                      \
    strip_rows(r + 1, s);                                                                          \
    break;
  switch (s->rows) { EACH_ROW(CASE) }
#undef CASE
}

/* ---- packing ---------------------------------------------------------------------------------- */

static void pack_rows(const float *a, int64_t lda, int64_t depth, int64_t rows, float *to) {
  for (int64_t p = 0; p < depth; p++) {
    const float *from = a + p * lda;
    float *tile = to;
    for (int64_t left = rows, height; left > 0; left -= height) {
      height = plr__gemm_tile_rows(left, MR);
      memcpy(tile + p * height, from, (size_t)height * sizeof *tile);
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
      for (int64_t i = 0; i < NR; i += 4) vst1q_f32(to + i, load(row + i, left - i));
      row += NR;
      to += depth * NR;
    }
  }
}

/* 4 rows of 4 at `from` become 4 columns of a panel. */
INLINE void transpose_4x4(const float *from, int64_t ld, float *to) {
  const float32x4_t r0 = vld1q_f32(from), r1 = vld1q_f32(from + ld);
  const float32x4_t r2 = vld1q_f32(from + 2 * ld), r3 = vld1q_f32(from + 3 * ld);
  const float32x4x2_t low = vzipq_f32(r0, r2), high = vzipq_f32(r1, r3);
  const float32x4x2_t first = vzipq_f32(low.val[0], high.val[0]);
  const float32x4x2_t last = vzipq_f32(low.val[1], high.val[1]);
  vst1q_f32(to, first.val[0]);
  vst1q_f32(to + NR, first.val[1]);
  vst1q_f32(to + 2 * NR, last.val[0]);
  vst1q_f32(to + 3 * NR, last.val[1]);
}

/* Takes 16 of k at a time, a whole cache line of each row: rows whose stride is a multiple of 4 KiB share the
 * same few cache sets, and a line would not survive until its next quarter were asked for. */
static void pack_panel_transposed(const float *b, int64_t ldb, int64_t depth, float *panel) {
  int64_t p = 0;
  for (; p + 16 <= depth; p += 16)
    for (int64_t j = 0; j < NR; j += 4)
      for (int64_t i = p; i < p + 16; i += 4)
        transpose_4x4(b + j * ldb + i, ldb, panel + i * NR + j);
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

/* `steps` of k for 16 columns, of which cols count; rows and steps are constants where this is inlined. Each vector
 * of B is read once, in the order it is stored, and serves all rows. */
INLINE void thin_columns(const int rows, const int steps, int64_t cols, const float *a,
                         const float *b, int64_t ldb, float *c, int64_t ldc) {
  float32x4_t bv[4][4];
#pragma GCC unroll 4
  for (int p = 0; p < steps; p++)
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) bv[p][q] = load(b + p * ldb + 4 * q, cols - 4 * q);
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
    float *at = c + r * ldc;
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      float32x4_t x = load(at + 4 * q, cols - 4 * q);
#pragma GCC unroll 4
      for (int p = 0; p < steps; p++) x = vfmaq_n_f32(x, bv[p][q], a[p * rows + r]);
      store(at + 4 * q, x, cols - 4 * q);
    }
  }
}

INLINE void thin_steps(const int rows, const int steps, int64_t cols, const float *a,
                       const float *b, int64_t ldb, float *c, int64_t ldc) {
  int64_t j = 0;
  for (; j + 16 <= cols; j += 16) thin_columns(rows, steps, 16, a, b + j, ldb, c + j, ldc);
  if (j < cols) thin_columns(rows, steps, cols - j, a, b + j, ldb, c + j, ldc);
}

INLINE void thin_rows(const int rows, int64_t cols, int64_t depth, const float *a, const float *b,
                      int64_t ldb, float *c, int64_t ldc) {
  int64_t p = 0;
  for (; p + 4 <= depth; p += 4) thin_steps(rows, 4, cols, a + p * rows, b + p * ldb, ldb, c, ldc);
  for (; p < depth; p++) thin_steps(rows, 1, cols, a + p * rows, b + p * ldb, ldb, c, ldc);
}

static void thin(int64_t rows, int64_t cols, int64_t depth, const float *a, const float *b,
                 int64_t ldb, float *c, int64_t ldc) {
#define CASE(r)                                                                                    \
  case r:                                                                                          \
    thin_rows(r, cols, depth, a, b, ldb, c, ldc);                                                  \
    break;
  switch (rows) { CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) }
#undef CASE
}

const plr__gemm_kernels plr__gemm_neon = {.mr = MR,
                                          .nr = NR,
                                          .strip = strip,
                                          .pack_rows = pack_rows,
                                          .pack = pack,
                                          .pack_transposed = pack_transposed,
                                          .thin = thin};
