/* Optimizers as EXACT.md section 7 states them, one element after the other. */
#include "kernels/kernels_int.h"

#include <math.h>

static float tree(float lane[16]) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] = lane[i] + lane[i + half];
  return lane[0];
}

plr_status plr__ref_sumsq(const plr_sumsq_args *a) {
  int64_t length = (a->n + 1023) / 1024 * 16;
  double sum = 0.0;
  for (int64_t start = 0; start < a->n; start += length) {
    double lane[16] = {0};
    for (int64_t i = start; i < start + length && i < a->n; i++) {
      double x = (double)a->x[i];
      lane[(i - start) % 16] = fma(x, x, lane[(i - start) % 16]);
    }
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    sum += lane[0];
  }
  a->out[0] = isfinite(sum) ? sum : INFINITY;
  a->out[1] = isfinite(sum) ? 1.0 : 0.0;
  return PLR_OK;
}

plr_status plr__ref_adamw(const plr_adamw_args *a) {
  float scale1 = 1.0f / a->correction1, scale2 = 1.0f / a->correction2;
  for (int64_t i = 0; i < a->n; i++) {
    float g = a->g[i] * a->grad_scale;
    float m = fmaf(a->beta1, a->m[i], (1.0f - a->beta1) * g);
    float v = fmaf(a->beta2, a->v[i], (1.0f - a->beta2) * g * g);
    float step = m * scale1 / (sqrtf(v * scale2) + a->eps);
    step = fmaf(a->weight_decay, a->w[i], step);
    a->w[i] = fmaf(-a->lr, step, a->w[i]);
    a->m[i] = m;
    a->v[i] = v;
  }
  return PLR_OK;
}

plr_status plr__ref_nadam(const plr_optimizer_args *a) {
  float ahead = a->mu_next / a->correction1_next, now = (1.0f - a->mu_now) / a->correction1;
  for (int64_t i = 0; i < a->rows * a->cols; i++) {
    float g = a->g[i] * a->grad_scale;
    float m = fmaf(a->beta1, a->m[i], (1.0f - a->beta1) * g);
    float v = fmaf(a->beta2, a->v[i], (1.0f - a->beta2) * g * g);
    float u = fmaf(m, ahead, g * now) / (sqrtf(v * (1.0f / a->correction2)) + a->eps);
    a->w[i] = fmaf(-a->lr, fmaf(a->weight_decay, a->w[i], u), a->w[i]);
    a->m[i] = m;
    a->v[i] = v;
  }
  return PLR_OK;
}

plr_status plr__ref_sgdm(const plr_optimizer_args *a) {
  for (int64_t i = 0; i < a->rows * a->cols; i++) {
    a->m[i] = fmaf(a->beta1, a->m[i], a->g[i] * a->grad_scale);
    a->w[i] = fmaf(-a->lr, fmaf(a->weight_decay, a->w[i], a->m[i]), a->w[i]);
  }
  return PLR_OK;
}

static float row_mean(const plr_optimizer_args *a, int64_t r) {
  float lane[16] = {0};
  for (int64_t i = 0; i < a->cols; i++) {
    float g = a->g[r * a->cols + i] * a->grad_scale;
    lane[i % 16] = fmaf(g, g, lane[i % 16]);
  }
  return tree(lane) / (float)a->cols;
}

static float column_mean(const plr_optimizer_args *a, int64_t c) {
  float sum = 0.0f;
  for (int64_t r = 0; r < a->rows; r++) {
    float g = a->g[r * a->cols + c] * a->grad_scale;
    sum = fmaf(g, g, sum);
  }
  return sum / (float)a->rows;
}

plr_status plr__ref_adamw_row(const plr_optimizer_args *a) {
  for (int64_t k = 0; k < (a->along ? a->cols : a->rows) && a->rows > 0 && a->cols > 0; k++) {
    float mean = a->along ? column_mean(a, k) : row_mean(a, k);
    a->v[k] = fmaf(a->beta2, a->v[k], (1.0f - a->beta2) * mean);
  }
  for (int64_t i = 0; i < a->rows * a->cols; i++) {
    float v = a->v[a->along ? i % a->cols : i / a->cols];
    float m = fmaf(a->beta1, a->m[i], (1.0f - a->beta1) * (a->g[i] * a->grad_scale));
    float u = m * (1.0f / a->correction1) / (sqrtf(v * (1.0f / a->correction2)) + a->eps);
    a->w[i] = fmaf(-a->lr, fmaf(a->weight_decay, a->w[i], u), a->w[i]);
    a->m[i] = m;
  }
  return PLR_OK;
}

/* One Newton-Schulz step, x (r x l) to y. */
static void muon_step(const float *x, float *y, float *gram, float *blend, int64_t r, int64_t l) {
  for (int64_t i = 0; i < r; i++)
    for (int64_t j = 0; j < r; j++) {
      float c = 0.0f;
      for (int64_t p = 0; p < l; p++) c = fmaf(x[i * l + p], x[j * l + p], c);
      gram[i * r + j] = c;
    }
  for (int64_t i = 0; i < r; i++)
    for (int64_t j = 0; j < r; j++) {
      float c = 0.0f;
      for (int64_t p = 0; p < r; p++) c = fmaf(gram[i * r + p], gram[p * r + j], c);
      blend[i * r + j] = fmaf(2.0315f, c, -4.7750f * gram[i * r + j]);
    }
  for (int64_t i = 0; i < r; i++)
    for (int64_t j = 0; j < l; j++) {
      float c = 3.4445f * x[i * l + j];
      for (int64_t p = 0; p < r; p++) c = fmaf(blend[i * r + p], x[p * l + j], c);
      y[i * l + j] = c;
    }
}

/* `work` as in the kernel: twice the matrix and twice the smaller side's square. */
plr_status plr__ref_muon(const plr_optimizer_args *a) {
  int64_t n = a->rows * a->cols, tall = a->rows > a->cols;
  int64_t r = tall ? a->cols : a->rows, l = tall ? a->rows : a->cols;
  float *x = (float *)a->work, *y = x + n, *gram = y + n, *blend = gram + r * r;
  if (n == 0) return PLR_OK;
  for (int64_t i = 0; i < n; i++) {
    float g = a->g[i] * a->grad_scale;
    a->m[i] = fmaf(a->beta1, a->m[i], g);
    y[i] = fmaf(a->beta1, a->m[i], g);
  }
  double sum[2];
  plr_sumsq_args s = {y, sum, n};
  PLR_TRY(plr__ref_sumsq(&s));
  double norm = sqrt(sum[0]);
  float inv = norm > 0.0 ? (float)(1.0 / (norm + (double)a->eps)) : 0.0f;
  for (int64_t i = 0; i < n; i++) x[tall ? i % a->cols * l + i / a->cols : i] = y[i] * inv;
  for (int step = 0; step < 5; step++) {
    muon_step(x, y, gram, blend, r, l);
    float *next = y;
    y = x, x = next;
  }
  float ratio = (float)a->rows / (float)a->cols, size = sqrtf(ratio > 1.0f ? ratio : 1.0f);
  for (int64_t i = 0; i < n; i++) {
    float u = size * x[tall ? i % a->cols * l + i / a->cols : i];
    a->w[i] = fmaf(-a->lr, fmaf(a->weight_decay, a->w[i], u), a->w[i]);
  }
  return PLR_OK;
}
