/* Packed weights as EXACT.md section 9 states them: one weight, one group, one output after the other. */
#include "kernels/packed_int.h"

#include <math.h>

static int64_t groups_of(int64_t k) {
  return (k + PLR_PACK_GROUP - 1) / PLR_PACK_GROUP;
}

/* Where the panel of output j begins, and in it the group of input p. */
static const uint8_t *place(const plr_packed_args *a, const void *w, int64_t j, int64_t p) {
  const int64_t size = plr_packed_panel(a->format, a->k);
  const uint8_t *panel = (const uint8_t *)w + j / PLR_PACK_PANEL * size;
  if (a->format == PLR_PACK_BF16) return panel + p * 64 + (j % 16 * 2 + j % 32 / 16) * 2;
  return panel + p / PLR_PACK_GROUP * (size / groups_of(a->k));
}

/* The byte of a group that holds output j, input i of the group. */
static int64_t byte_of(uint32_t format, int64_t j, int64_t i) {
  j %= PLR_PACK_PANEL;
  const int64_t in = j % 16 * 4 + i % 4;
  return format == PLR_PACK_Q8 ? 64 + j / 16 * 512 + i / 4 * 64 + in
                               : 64 + j / 16 * 256 + i / 8 * 64 + in;
}

static float scale_of(const plr_packed_args *a, const void *w, int64_t j, int64_t p) {
  return plr__widen_bf16(plr__load_le16(place(a, w, j, p) + j % PLR_PACK_PANEL * 2));
}

static int32_t integer_of(const plr_packed_args *a, const void *w, int64_t j, int64_t p) {
  const int64_t i = p % PLR_PACK_GROUP;
  const uint8_t byte = place(a, w, j, p)[byte_of(a->format, j, i)];
  if (a->format == PLR_PACK_Q8) return byte - 128;
  return (i % 8 < 4 ? byte & 15 : byte >> 4) - 8;
}

static float weight_of(const plr_packed_args *a, const void *w, int64_t j, int64_t p) {
  if (a->format == PLR_PACK_BF16) return plr__widen_bf16(plr__load_le16(place(a, w, j, p)));
  return (float)integer_of(a, w, j, p) * scale_of(a, w, j, p);
}

/* ---- pack ------------------------------------------------------------------------------------- */

static float from(const plr_packed_args *a, int64_t j, int64_t p) {
  if (j >= a->n[0] || p >= a->k) return 0.0f;
  return a->layout == PLR_MATMUL_NT ? a->from[j * a->k + p] : a->from[p * a->n[0] + j];
}

static void pack_group(const plr_packed_args *a, int64_t j, int64_t g) {
  float most = 0.0f;
  for (int64_t i = 0; i < PLR_PACK_GROUP; i++) {
    const float w = from(a, j, g + i);
    if (fabsf(w) > fabsf(most)) most = w;
  }
  const int eight = a->format == PLR_PACK_Q8;
  uint8_t *group = (uint8_t *)a->packed + (place(a, a->packed, j, g) - (const uint8_t *)a->packed);
  const uint16_t bits = plr__round_bf16(eight ? fabsf(most) / 127.0f : most / -8.0f);
  plr__store_le16(group + j % PLR_PACK_PANEL * 2, bits);
  for (int64_t i = 0; i < PLR_PACK_GROUP; i++) {
    float q = bits & 0x7fff ? rintf(from(a, j, g + i) / plr__widen_bf16(bits)) : 0.0f;
    q = eight ? PLR_MAX(-127.0f, PLR_MIN(127.0f, q)) : PLR_MAX(-8.0f, PLR_MIN(7.0f, q));
    uint8_t *byte = group + byte_of(a->format, j, i);
    if (eight)
      *byte = (uint8_t)((int32_t)q + 128);
    else if (i % 8 < 4)
      *byte = (uint8_t)((*byte & 0xf0) | ((int32_t)q + 8));
    else
      *byte = (uint8_t)((*byte & 0x0f) | ((int32_t)q + 8) << 4);
  }
}

plr_status plr__ref_weight_pack(const plr_packed_args *a) {
  const int64_t panels = (a->n[0] + PLR_PACK_PANEL - 1) / PLR_PACK_PANEL;
  for (int64_t j = 0; j < panels * PLR_PACK_PANEL; j++) {
    if (a->format != PLR_PACK_BF16) {
      for (int64_t g = 0; g < a->k; g += PLR_PACK_GROUP) pack_group(a, j, g);
      continue;
    }
    for (int64_t p = 0; p < a->k; p++) {
      const int64_t at = place(a, a->packed, j, p) - (const uint8_t *)a->packed;
      plr__store_le16((uint8_t *)a->packed + at, plr__round_bf16(from(a, j, p)));
    }
  }
  return PLR_OK;
}

/* ---- embed, matmul ---------------------------------------------------------------------------- */

plr_status plr__ref_packed_embed(const plr_packed_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t p = 0; p < a->k; p++) a->c[0][r * a->k + p] = weight_of(a, a->w[0], a->ids[r], p);
  return PLR_OK;
}

/* The group of inputs that begins at p: integers and scale. */
static float quantise(const plr_packed_args *a, const float *x, int64_t p, int32_t *q) {
  float most = 0.0f;
  for (int64_t i = p; i < p + PLR_PACK_GROUP && i < a->k; i++)
    most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
  for (int64_t i = 0; i < PLR_PACK_GROUP; i++)
    q[i] = p + i < a->k && most >= 0x1p-100f ? (int32_t)rintf(x[p + i] * (127.0f / most)) : 0;
  return most >= 0x1p-100f ? most / 127.0f : 0.0f;
}

static float product(const plr_packed_args *a, const void *w, const float *x, int64_t j) {
  float sum = 0.0f;
  if (a->format == PLR_PACK_BF16) {
    for (int64_t p = 0; p < a->k; p++) sum = fmaf(x[p], weight_of(a, w, j, p), sum);
    return sum;
  }
  for (int64_t p = 0; p < a->k; p += PLR_PACK_GROUP) {
    int32_t q[PLR_PACK_GROUP], dot = 0;
    const float scale = quantise(a, x, p, q);
    for (int64_t i = 0; i < PLR_PACK_GROUP; i++) dot += q[i] * integer_of(a, w, j, p + i);
    sum = fmaf((float)dot, scale * scale_of(a, w, j, p), sum);
  }
  return sum;
}

plr_status plr__ref_packed_matmul(const plr_packed_args *a) {
  for (uint32_t i = 0; i < a->count; i++)
    for (int64_t r = 0; r < a->rows; r++)
      for (int64_t j = 0; j < a->n[i]; j++)
        a->c[i][r * a->n[i] + j] = product(a, a->w[i], a->x + r * a->ldx, j);
  return PLR_OK;
}
