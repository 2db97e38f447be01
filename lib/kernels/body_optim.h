/* Optimizers: one pass over a parameter and its moments. */
#ifndef PLR_KERNELS_BODY_OPTIM_H
#define PLR_KERNELS_BODY_OPTIM_H

#include "kernels/body_norm.h"

static void adamw_range(const void *args, int64_t first, int64_t last) {
  const plr_adamw_args *a = (const plr_adamw_args *)args;
  v16 b1 = v16_set1(a->beta1), rest1 = v16_set1(1.0f - a->beta1);
  v16 b2 = v16_set1(a->beta2), rest2 = v16_set1(1.0f - a->beta2);
  v16 scale1 = v16_set1(1.0f / a->correction1), scale2 = v16_set1(1.0f / a->correction2);
  v16 eps = v16_set1(a->eps), decay = v16_set1(a->weight_decay), lr = v16_set1(a->lr);
  v16 grad_scale = v16_set1(a->grad_scale);
  for (int64_t i = first; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    v16 w = load_lanes(a->w + i, n);
    v16 g = v16_mul(load_lanes(a->g + i, n), grad_scale);
    v16 m = v16_fma(b1, load_lanes(a->m + i, n), v16_mul(rest1, g));
    v16 v = v16_fma(b2, load_lanes(a->v + i, n), v16_mul(v16_mul(rest2, g), g));
    v16 step = v16_add(v16_sqrt(v16_mul(v, scale2)), eps);
    step = v16_fma(decay, w, v16_div(v16_mul(m, scale1), step));
    store_lanes(a->w + i, v16_fnma(lr, step, w), n);
    store_lanes(a->m + i, m, n);
    store_lanes(a->v + i, v, n);
  }
}

static void nadam_range(const void *args, int64_t first, int64_t last) {
  const plr_optimizer_args *a = (const plr_optimizer_args *)args;
  v16 b1 = v16_set1(a->beta1), rest1 = v16_set1(1.0f - a->beta1);
  v16 b2 = v16_set1(a->beta2), rest2 = v16_set1(1.0f - a->beta2);
  v16 ahead = v16_set1(a->mu_next / a->correction1_next);
  v16 now = v16_set1((1.0f - a->mu_now) / a->correction1);
  v16 scale2 = v16_set1(1.0f / a->correction2), eps = v16_set1(a->eps);
  v16 decay = v16_set1(a->weight_decay), lr = v16_set1(a->lr), by = v16_set1(a->grad_scale);
  for (int64_t i = first; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    v16 w = load_lanes(a->w + i, n), g = v16_mul(load_lanes(a->g + i, n), by);
    v16 m = v16_fma(b1, load_lanes(a->m + i, n), v16_mul(rest1, g));
    v16 v = v16_fma(b2, load_lanes(a->v + i, n), v16_mul(v16_mul(rest2, g), g));
    v16 step = v16_fma(m, ahead, v16_mul(g, now));
    step = v16_div(step, v16_add(v16_sqrt(v16_mul(v, scale2)), eps));
    step = v16_fma(decay, w, step);
    store_lanes(a->w + i, v16_fnma(lr, step, w), n);
    store_lanes(a->m + i, m, n);
    store_lanes(a->v + i, v, n);
  }
}

static void sgdm_range(const void *args, int64_t first, int64_t last) {
  const plr_optimizer_args *a = (const plr_optimizer_args *)args;
  v16 b1 = v16_set1(a->beta1), decay = v16_set1(a->weight_decay), lr = v16_set1(a->lr);
  v16 by = v16_set1(a->grad_scale);
  for (int64_t i = first; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    v16 w = load_lanes(a->w + i, n), g = v16_mul(load_lanes(a->g + i, n), by);
    v16 m = v16_fma(b1, load_lanes(a->m + i, n), g);
    store_lanes(a->w + i, v16_fnma(lr, v16_fma(decay, w, m), w), n);
    store_lanes(a->m + i, m, n);
  }
}

/* ---- one second moment a row or a column -------------------------------------------------------- */

static inline float mean_moment(const plr_optimizer_args *a, float v, float mean) {
  return fmaf(a->beta2, v, (1.0f - a->beta2) * mean);
}

/* Sums of squares of columns [i, i + n) of g, n <= 64, a chain each. */
static inline void square_columns(const plr_optimizer_args *a, int64_t i, int64_t n, float *sums) {
  v16 s0 = v16_set1(0.0f), s1 = s0, s2 = s0, s3 = s0, by = v16_set1(a->grad_scale);
  int left[4];
  for (int k = 0; k < 4; k++) left[k] = n > 16 * k ? PLR_TAIL(16 * k, n) : 0;
  for (int64_t r = 0; r < a->rows; r++) {
    const float *row = a->g + r * a->cols + i;
    v16 g = v16_mul(load_lanes(row, left[0]), by);
    s0 = v16_fma(g, g, s0);
    if (n <= 16) continue;
    g = v16_mul(load_lanes(row + 16, left[1]), by);
    s1 = v16_fma(g, g, s1);
    g = v16_mul(load_lanes(row + 32, left[2]), by);
    s2 = v16_fma(g, g, s2);
    g = v16_mul(load_lanes(row + 48, left[3]), by);
    s3 = v16_fma(g, g, s3);
  }
  v16_store(sums, s0), v16_store(sums + 16, s1);
  v16_store(sums + 32, s2), v16_store(sums + 48, s3);
}

/* Second moments of columns [first, last). */
static void adamw_columns_range(const void *args, int64_t first, int64_t last) {
  const plr_optimizer_args *a = (const plr_optimizer_args *)args;
  for (int64_t i = first; i < last; i += 64) {
    int64_t n = last - i < 64 ? last - i : 64;
    float sums[64];
    square_columns(a, i, n, sums);
    for (int64_t c = 0; c < n; c++)
      a->v[i + c] = mean_moment(a, a->v[i + c], sums[c] / (float)a->rows);
  }
}

static inline float row_moment(const plr_optimizer_args *a, int64_t r) {
  v16 acc = v16_set1(0.0f), by = v16_set1(a->grad_scale);
  for (int64_t i = 0; i < a->cols; i += 16) {
    int n = PLR_TAIL(i, a->cols);
    v16 g = v16_mul(load_lanes(a->g + r * a->cols + i, n), by);
    acc = keep_lanes(n, v16_fma(g, g, acc), acc);
  }
  return a->v[r] = mean_moment(a, a->v[r], v16_sum(acc) / (float)a->cols);
}

/* Rows [first, last) of the step; along 1: the columns' moments are done. */
static void adamw_row_range(const void *args, int64_t first, int64_t last) {
  const plr_optimizer_args *a = (const plr_optimizer_args *)args;
  v16 b1 = v16_set1(a->beta1), rest1 = v16_set1(1.0f - a->beta1), by = v16_set1(a->grad_scale);
  v16 scale1 = v16_set1(1.0f / a->correction1), scale2 = v16_set1(1.0f / a->correction2);
  v16 eps = v16_set1(a->eps), decay = v16_set1(a->weight_decay), lr = v16_set1(a->lr);
  for (int64_t r = first; r < last; r++) {
    v16 v = v16_set1(a->along ? 0.0f : row_moment(a, r));
    float *w_row = a->w + r * a->cols, *m_row = a->m + r * a->cols;
    for (int64_t i = 0; i < a->cols; i += 16) {
      int n = PLR_TAIL(i, a->cols);
      if (a->along) v = load_lanes(a->v + i, n);
      v16 w = load_lanes(w_row + i, n), g = v16_mul(load_lanes(a->g + r * a->cols + i, n), by);
      v16 m = v16_fma(b1, load_lanes(m_row + i, n), v16_mul(rest1, g));
      v16 step = v16_add(v16_sqrt(v16_mul(v, scale2)), eps);
      step = v16_fma(decay, w, v16_div(v16_mul(m, scale1), step));
      store_lanes(w_row + i, v16_fnma(lr, step, w), n);
      store_lanes(m_row + i, m, n);
    }
  }
}

/* ---- Muon --------------------------------------------------------------------------------------- */

/* m = beta1 m + g, and what is orthogonalised in x: g + beta1 m. */
static void muon_momentum_range(const void *args, int64_t first, int64_t last) {
  const plr_muon_job *a = (const plr_muon_job *)args;
  v16 b1 = v16_set1(a->o->beta1), by = v16_set1(a->o->grad_scale);
  for (int64_t i = first; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    v16 g = v16_mul(load_lanes(a->o->g + i, n), by);
    v16 m = v16_fma(b1, load_lanes(a->o->m + i, n), g);
    store_lanes(a->o->m + i, m, n);
    store_lanes(a->x + i, v16_fma(b1, m, g), n);
  }
}

/* y = by y + with x, elements [first, last). */
static void muon_blend_range(const void *args, int64_t first, int64_t last) {
  const plr_muon_job *a = (const plr_muon_job *)args;
  v16 by = v16_set1(a->by), with = v16_set1(a->with);
  for (int64_t i = first; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    v16 y = v16_mul(by, load_lanes(a->y + i, n));
    store_lanes(a->y + i, v16_fma(with, load_lanes(a->x + i, n), y), n);
  }
}

static void muon_update_range(const void *args, int64_t first, int64_t last) {
  const plr_muon_job *a = (const plr_muon_job *)args;
  v16 by = v16_set1(a->by), decay = v16_set1(a->o->weight_decay), lr = v16_set1(a->o->lr);
  for (int64_t i = first; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    v16 w = load_lanes(a->o->w + i, n);
    v16 step = v16_fma(decay, w, v16_mul(by, load_lanes(a->x + i, n)));
    store_lanes(a->o->w + i, v16_fnma(lr, step, w), n);
  }
}

#endif
