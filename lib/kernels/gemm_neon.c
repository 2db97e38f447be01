/* The matrix product's inner parts for NEON (every aarch64 processor). There are no masked loads and stores, so that
 * columns past the last whole tile are computed in a tile of the stack. */
#include "kernels/gemm_int.h"

#include <arm_neon.h>
#include <string.h>

#define MR     6 /* 24 accumulators, of 32 registers */
#define NR     16
#define INLINE static inline __attribute__((always_inline))

/* `cols` columns of each row; the row starts are ld floats apart. */
static void copy_columns(int64_t rows, int64_t cols, const float *from, int64_t ld_from, float *to,
                         int64_t ld_to) {
  for (int64_t r = 0; r < rows; r++)
    memcpy(to + r * ld_to, from + r * ld_from, (size_t)cols * sizeof *to);
}

/* ---- the register tile ------------------------------------------------------------------------ */

/* The accumulators are named, four of 4 columns for each row, since an array of them does not stay in registers
 * with every compiler. rows is a constant where these are used, so the rest folds away. */
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)

#define LOAD_ROW(r)                                                                                \
  float32x4_t c##r##0 = vdupq_n_f32(0), c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0;   \
  if (r < rows && s->resume) {                                                                     \
    const float *at = c + r * ldc;                                                                 \
    c##r##0 = vld1q_f32(at), c##r##1 = vld1q_f32(at + 4);                                          \
    c##r##2 = vld1q_f32(at + 8), c##r##3 = vld1q_f32(at + 12);                                     \
  }

#define STORE_ROW(r)                                                                               \
  if (r < rows) {                                                                                  \
    float *at = c + r * ldc;                                                                       \
    vst1q_f32(at, c##r##0), vst1q_f32(at + 4, c##r##1);                                            \
    vst1q_f32(at + 8, c##r##2), vst1q_f32(at + 12, c##r##3);                                       \
  }

/* Of a row of A: four k when it is read in place, else one. */
#define FOUR_OF_ROW(r)                                                                             \
  const float32x4_t a##r = r < rows ? vld1q_f32(a + r * row_stride) : vdupq_n_f32(0);
#define ONE_OF_ROW(r)                                                                              \
  const float32x4_t a##r = r < rows ? vld1q_dup_f32(a + r * row_stride) : vdupq_n_f32(0);

/* Four columns of one k serve all rows before the next four are loaded: the accumulators, the rows' vectors and that
 * one are 31 registers. Written out, since gcc takes the lanes out into registers that there are none left for; the
 * empty statement keeps it from loading ahead, for the same reason. */
#define FMA_LANE(r, q, lane)                                                                       \
  if (r < rows) __asm__("fmla %0.4s, %1.4s, %2.s[" #lane "]" : "+w"(c##r##q) : "w"(bv), "w"(a##r));
#define COLUMNS(q, lane)                                                                           \
  {                                                                                                \
    const float32x4_t bv = vld1q_f32(b + 4 * q);                                                   \
    FMA_LANE(0, q, lane)                                                                           \
    FMA_LANE(1, q, lane)                                                                           \
    FMA_LANE(2, q, lane)                                                                           \
    FMA_LANE(3, q, lane)                                                                           \
    FMA_LANE(4, q, lane)                                                                           \
    FMA_LANE(5, q, lane)                                                                           \
    __asm__ volatile("" ::: "memory");                                                             \
  }
#define STEP_BY_LANE(lane)                                                                         \
  COLUMNS(0, lane)                                                                                 \
  COLUMNS(1, lane)                                                                                 \
  COLUMNS(2, lane)                                                                                 \
  COLUMNS(3, lane)                                                                                 \
  b += NR;

/* rows x 16 elements of C. */
INLINE void tile(const int rows, const plr__gemm_strip *s, const float *b, float *c, int64_t ldc) {
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
  for (; p > 0; p--, a += k_stride) {
    EACH_ROW(ONE_OF_ROW)
    STEP_BY_LANE(0)
  }
  EACH_ROW(STORE_ROW)
}

/* The tiles of one strip. While one computes, the lines of C that the next one starts from are fetched. */
INLINE void strip_rows(const int rows, const plr__gemm_strip *s) {
  const float *b = s->b;
  float *c = s->c, edge[MR * NR];
  const int64_t whole = s->cols / NR * NR, rest = s->cols - whole;
  for (int64_t j = 0; j < s->cols; j += NR, b += s->depth * NR) {
    if (j + NR < s->cols)
      for (int r = 0; r < rows; r++) __builtin_prefetch(c + r * s->ldc + j + NR, 1);
    if (j == whole && s->resume) copy_columns(rows, rest, c + j, s->ldc, edge, NR);
    tile(rows, s, b, j < whole ? c + j : edge, j < whole ? s->ldc : NR);
  }
  if (rest > 0) copy_columns(rows, rest, edge, NR, c + whole, s->ldc);
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
  const int64_t whole = cols / NR * NR, rest = cols - whole;
  for (int64_t p = 0; p < depth; p++) {
    const float *row = b + p * ldb;
    float *to = panels + p * NR;
    for (int64_t j = 0; j < whole; j += NR, to += depth * NR) memcpy(to, row + j, NR * sizeof *to);
    if (rest == 0) continue;
    memcpy(to, row + whole, (size_t)rest * sizeof *to);
    memset(to + rest, 0, (size_t)(NR - rest) * sizeof *to);
  }
}

/* 4 rows of 4 at `from` become 4 columns of a panel. */
INLINE void transpose_4x4(const float *from, int64_t ld, float *to) {
  const float32x4_t r0 = vld1q_f32(from), r1 = vld1q_f32(from + ld);
  const float32x4_t r2 = vld1q_f32(from + 2 * ld), r3 = vld1q_f32(from + 3 * ld);
  const float32x4x2_t even = vzipq_f32(r0, r2), odd = vzipq_f32(r1, r3);
  const float32x4x2_t first = vzipq_f32(even.val[0], odd.val[0]);
  const float32x4x2_t last = vzipq_f32(even.val[1], odd.val[1]);
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

/* `steps` of k for 16 columns; rows and steps are constants where this is inlined. Each vector of B is read once, in
 * the order it is stored, and serves all rows. */
INLINE void thin_columns(const int rows, const int steps, const float *a, const float *b,
                         int64_t ldb, float *c, int64_t ldc) {
  float32x4_t bv[4][4];
#pragma GCC unroll 4
  for (int p = 0; p < steps; p++)
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) bv[p][q] = vld1q_f32(b + p * ldb + 4 * q);
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
    float *at = c + r * ldc;
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      float32x4_t x = vld1q_f32(at + 4 * q);
#pragma GCC unroll 4
      for (int p = 0; p < steps; p++) x = vfmaq_n_f32(x, bv[p][q], a[p * rows + r]);
      vst1q_f32(at + 4 * q, x);
    }
  }
}

INLINE void thin_steps(const int rows, const int steps, int64_t cols, const float *a,
                       const float *b, int64_t ldb, float *c, int64_t ldc) {
  float b_edge[4 * NR] = {0}, c_edge[PLR_GEMM_THIN * NR] = {0};
  const int64_t whole = cols / NR * NR, rest = cols - whole;
  if (rest > 0) {
    copy_columns(steps, rest, b + whole, ldb, b_edge, NR);
    copy_columns(rows, rest, c + whole, ldc, c_edge, NR);
  }
  for (int64_t j = 0; j < cols; j += NR)
    thin_columns(rows, steps, a, j < whole ? b + j : b_edge, j < whole ? ldb : NR,
                 j < whole ? c + j : c_edge, j < whole ? ldc : NR);
  if (rest > 0) copy_columns(rows, rest, c_edge, NR, c + whole, ldc);
}

#include "kernels/gemm_thin.h"

const plr__gemm_kernels plr__gemm_neon = {.mr = MR,
                                          .nr = NR,
                                          .strip = strip,
                                          .pack_rows = pack_rows,
                                          .pack = pack,
                                          .pack_transposed = pack_transposed,
                                          .thin = thin};
