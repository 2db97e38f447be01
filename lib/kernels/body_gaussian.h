/* Normal numbers, 16 columns at a time: four Philox blocks, eight Box-Muller pairs in fp64. */
#ifndef PLR_KERNELS_BODY_GAUSSIAN_H
#define PLR_KERNELS_BODY_GAUSSIAN_H

#include "kernels/body_elementwise.h"

static void normals16(const plr_gaussian_args *a, uint32_t row, uint32_t block, float *y, int n) {
  const uint32_t key[2] = {(uint32_t)a->seed, (uint32_t)(a->seed >> 32)};
  uint32_t radius_bits[8], angle_bits[8];
  for (uint32_t b = 0; b < 4; b++) {
    const uint32_t counter[4] = {block + b, row, a->stream, 0};
    uint32_t word[4];
    plr__philox4x32(counter, key, word);
    for (uint32_t pair = 0; pair < 2; pair++) {
      radius_bits[2 * b + pair] = word[2 * pair] >> 9;
      angle_bits[2 * b + pair] = word[2 * pair + 1] >> 9;
    }
  }
  d8 half = d8_set1(0.5), unit = d8_set1(0x1p-23), s, c;
  d8 u = d8_mul(d8_add(d8_from_u32(radius_bits), half), unit);
  d8 v = d8_mul(d8_add(d8_from_u32(angle_bits), half), unit);
  d8 radius = d8_sqrt(d8_mul(d8_set1(-2.0), d8_log(u)));
  d8_sincos(d8_mul(v, d8_set1(PLR_TAU)), &s, &c);
  v16 z = v16_mul(v16_from_d8(d8_mul(radius, c), d8_mul(radius, s)), v16_set1(a->std));
  float lanes[16];
  v16_store(lanes, z);
  for (int i = 0; i < n; i++) y[i] = lanes[(i & 1) * 8 + i / 2];
}

/* An item is 16 columns of a row. */
static void gaussian_range(const void *args, int64_t first, int64_t last) {
  const plr_gaussian_args *a = (const plr_gaussian_args *)args;
  int64_t per_row = (a->cols + 15) / 16;
  for (int64_t item = first; item < last; item++) {
    int64_t r = item / per_row, i = item % per_row * 16;
    normals16(a, (uint32_t)(a->first_row + r), (uint32_t)(i / 4), a->y + r * a->cols + i,
              PLR_TAIL(i, a->cols));
  }
}

#endif
