/* One panel of packed weights in plain C. */
#include "kernels/packed_int.h"

#include <math.h>
#include <string.h>

static void bf16(int64_t rows, const float *x, int64_t ldx, int64_t k, const void *panel, float *c,
                 int64_t ldc) {
  for (int64_t r = 0; r < rows; r++) {
    float acc[PLR_PACK_PANEL] = {0};
    const uint16_t *w = panel;
    for (int64_t p = 0; p < k; p++, w += PLR_PACK_PANEL)
      for (int j = 0; j < PLR_PACK_PANEL; j++)
        acc[j] = fmaf(x[r * ldx + p], plr__widen_bf16(w[j % 16 * 2 + j / 16]), acc[j]);
    memcpy(c + r * ldc, acc, sizeof acc);
  }
}

static float scale_of(const uint8_t *group, int output) {
  return plr__widen_bf16(plr__load_le16(group + 2 * output));
}

static void q8(int64_t rows, const plr__quantised *x, const void *panel, float *c, int64_t ldc) {
  for (int64_t r = 0; r < rows; r++) {
    const uint8_t *group = panel;
    float acc[PLR_PACK_PANEL] = {0};
    for (int64_t g = 0; g < x->groups; g++, group += PLR_PACK_PANEL * (PLR_PACK_GROUP + 2)) {
      const int8_t *q = x->q + (r * x->groups + g) * PLR_PACK_GROUP;
      for (int j = 0; j < PLR_PACK_PANEL; j++) {
        const uint8_t *w = group + 64 + j / 16 * 512 + j % 16 * 4;
        int32_t dot = x->minus[r * x->groups + g];
        for (int i = 0; i < PLR_PACK_GROUP; i++) dot += w[i / 4 * 64 + i % 4] * q[i];
        acc[j] = fmaf((float)dot, scale_of(group, j) * x->scale[r * x->groups + g], acc[j]);
      }
    }
    memcpy(c + r * ldc, acc, sizeof acc);
  }
}

static void q4(int64_t rows, const plr__quantised *x, const void *panel, float *c, int64_t ldc) {
  for (int64_t r = 0; r < rows; r++) {
    const uint8_t *group = panel;
    float acc[PLR_PACK_PANEL] = {0};
    for (int64_t g = 0; g < x->groups; g++, group += PLR_PACK_PANEL * (PLR_PACK_GROUP / 2 + 2)) {
      const int8_t *q = x->q + (r * x->groups + g) * PLR_PACK_GROUP;
      for (int j = 0; j < PLR_PACK_PANEL; j++) {
        const uint8_t *w = group + 64 + j / 16 * 256 + j % 16 * 4;
        int32_t dot = x->minus[r * x->groups + g];
        for (int i = 0; i < PLR_PACK_GROUP; i++)
          dot += (w[i / 8 * 64 + i % 4] >> (i / 4 % 2 * 4) & 15) * q[i];
        acc[j] = fmaf((float)dot, scale_of(group, j) * x->scale[r * x->groups + g], acc[j]);
      }
    }
    memcpy(c + r * ldc, acc, sizeof acc);
  }
}

const plr__packed_kernels plr__packed_portable = {.bf16 = bf16, .q8 = q8, .q4 = q4};
