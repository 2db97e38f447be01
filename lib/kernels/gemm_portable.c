/* The matrix product's inner parts in plain C: the same chains through fmaf. Loops run over outputs, so that a
 * compiler whose target has fused multiply-add may vectorise them. */
#include "kernels/gemm_int.h"

#include <math.h>
#include <string.h>

#define MR 6
#define NR 16

static void tile_row(const plr__gemm_strip *s, const float *a, const float *b, float *c,
                     int64_t cols) {
  float acc[NR] = {0};
  if (s->resume) memcpy(acc, c, (size_t)cols * sizeof *c);
  for (int64_t p = 0; p < s->depth; p++) {
    const float x = a[p * s->k_stride], *row = b + p * NR;
    for (int j = 0; j < NR; j++) acc[j] = fmaf(x, row[j], acc[j]);
  }
  memcpy(c, acc, (size_t)cols * sizeof *c);
}

static void strip(const plr__gemm_strip *s) {
  for (int64_t j = 0; j < s->cols; j += NR)
    for (int64_t r = 0; r < s->rows; r++)
      tile_row(s, s->a + r * s->row_stride, s->b + j * s->depth, s->c + r * s->ldc + j,
               PLR_MIN(NR, s->cols - j));
}

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
  for (int64_t j = 0; j < cols; j += NR) {
    const int64_t width = PLR_MIN(NR, cols - j);
    for (int64_t p = 0; p < depth; p++) {
      float *to = panels + j * depth + p * NR;
      memcpy(to, b + p * ldb + j, (size_t)width * sizeof *to);
      memset(to + width, 0, (size_t)(NR - width) * sizeof *to);
    }
  }
}

static void pack_transposed(const float *b, int64_t ldb, int64_t depth, int64_t cols,
                            float *panels) {
  for (int64_t j = 0; j < cols; j += NR)
    for (int64_t p = 0; p < depth; p++)
      for (int64_t i = j; i < j + NR; i++)
        panels[j * depth + p * NR + i - j] = i < cols ? b[i * ldb + p] : 0.0f;
}

static void thin(int64_t rows, int64_t cols, int64_t depth, const float *a, const float *b,
                 int64_t ldb, float *c, int64_t ldc) {
  for (int64_t p = 0; p < depth; p++) {
    const float *row = b + p * ldb;
    for (int64_t r = 0; r < rows; r++) {
      const float x = a[p * rows + r];
      float *out = c + r * ldc;
      for (int64_t j = 0; j < cols; j++) out[j] = fmaf(x, row[j], out[j]);
    }
  }
}

const plr__gemm_kernels plr__gemm_portable = {.mr = MR,
                                              .nr = NR,
                                              .strip = strip,
                                              .pack_rows = pack_rows,
                                              .pack = pack,
                                              .pack_transposed = pack_transposed,
                                              .thin = thin};
