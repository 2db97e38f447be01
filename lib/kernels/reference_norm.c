/* Norms as EXACT.md section 5 states them: element after element, one lane at a time. */
#include "kernels/kernels_int.h"

#include <math.h>

/* The fixed tree over 16 lanes. */
static float tree(float lane[16]) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] = lane[i] + lane[i + half];
  return lane[0];
}

plr_status plr__ref_rmsnorm(const plr_rmsnorm_args *a) {
  for (int64_t r = 0; r < a->rows; r++) {
    const float *x = a->x + r * a->d;
    float lane[16] = {0};
    for (int64_t i = 0; i < a->d; i++) lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    float inv = 1.0f / sqrtf(tree(lane) / (float)a->d + a->eps);
    a->inv_rms[r] = inv;
    for (int64_t i = 0; i < a->d; i++) {
      float v = x[i] * inv;
      a->y[r * a->d + i] = a->gain ? v * a->gain[i] : v;
    }
  }
  return PLR_OK;
}

plr_status plr__ref_rmsnorm_bwd(const plr_rmsnorm_args *a) {
  if (a->dgain)
    for (int64_t r = 0; r < a->rows; r++)
      for (int64_t i = 0; i < a->d; i++) {
        float normed = a->x[r * a->d + i] * a->inv_rms[r];
        a->dgain[i] = fmaf(a->dy[r * a->d + i], normed, a->dgain[i]);
      }
  if (!a->dx) return PLR_OK;
  for (int64_t r = 0; r < a->rows; r++) {
    const float *x = a->x + r * a->d, *dy = a->dy + r * a->d;
    float *dx = a->dx + r * a->d, lane[16] = {0}, inv = a->inv_rms[r];
    for (int64_t i = 0; i < a->d; i++) {
      float g = a->gain ? dy[i] * a->gain[i] : dy[i];
      lane[i % 16] = fmaf(g, x[i], lane[i % 16]);
    }
    float c = tree(lane) * inv * inv / (float)a->d;
    for (int64_t i = 0; i < a->d; i++) {
      float g = a->gain ? dy[i] * a->gain[i] : dy[i];
      float t = fmaf(-c, x[i], g);
      dx[i] = a->accumulate_dx ? fmaf(inv, t, dx[i]) : inv * t;
    }
  }
  return PLR_OK;
}

plr_status plr__ref_layernorm(const plr_layernorm_args *a) {
  for (int64_t r = 0; r < a->rows; r++) {
    const float *x = a->x + r * a->d;
    float sum[16] = {0}, square[16] = {0};
    for (int64_t i = 0; i < a->d; i++) sum[i % 16] += x[i];
    float mean = tree(sum) / (float)a->d;
    for (int64_t i = 0; i < a->d; i++) {
      float c = x[i] - mean;
      square[i % 16] = fmaf(c, c, square[i % 16]);
    }
    float inv = 1.0f / sqrtf(tree(square) / (float)a->d + a->eps);
    a->mean[r] = mean;
    a->inv_std[r] = inv;
    for (int64_t i = 0; i < a->d; i++) {
      float v = (x[i] - mean) * inv;
      if (a->gain) v = v * a->gain[i];
      if (a->bias) v = v + a->bias[i];
      a->y[r * a->d + i] = v;
    }
  }
  return PLR_OK;
}

static void layernorm_parameters(const plr_layernorm_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->d; i++) {
      float normed = (a->x[r * a->d + i] - a->mean[r]) * a->inv_std[r], dy = a->dy[r * a->d + i];
      if (a->dgain) a->dgain[i] = fmaf(dy, normed, a->dgain[i]);
      if (a->dbias) a->dbias[i] += dy;
    }
}

plr_status plr__ref_layernorm_bwd(const plr_layernorm_args *a) {
  layernorm_parameters(a);
  for (int64_t r = 0; r < a->rows && a->dx; r++) {
    const float *x = a->x + r * a->d, *dy = a->dy + r * a->d;
    float *dx = a->dx + r * a->d, sum[16] = {0}, dot[16] = {0};
    float inv = a->inv_std[r], mean = a->mean[r];
    for (int64_t i = 0; i < a->d; i++) {
      float g = a->gain ? dy[i] * a->gain[i] : dy[i];
      sum[i % 16] += g;
      dot[i % 16] = fmaf(g, (x[i] - mean) * inv, dot[i % 16]);
    }
    float average = tree(sum) / (float)a->d, c = tree(dot) / (float)a->d;
    for (int64_t i = 0; i < a->d; i++) {
      float g = a->gain ? dy[i] * a->gain[i] : dy[i];
      float t = fmaf(-c, (x[i] - mean) * inv, g - average);
      dx[i] = a->accumulate_dx ? fmaf(inv, t, dx[i]) : inv * t;
    }
  }
  return PLR_OK;
}
