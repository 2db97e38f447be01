/* rmsnorm and layernorm: rows by the 16-lane rule, parameter gradients as chains down the columns. */
#ifndef PLR_KERNELS_BODY_NORM_H
#define PLR_KERNELS_BODY_NORM_H

#include "kernels/body_elementwise.h"

/* One step of lanes at a row's end: the lanes past n keep what they had. */
static inline v16 keep_lanes(int n, v16 next, v16 acc) {
  return n == 16 ? next : v16_select(m16_first(n), next, acc);
}

/* ---- chains down the columns -------------------------------------------------------------------- */

/* What a column's chain takes from each row: dy alone, or dy times the normalised x. */
typedef struct column_terms {
  const float *dy, *x, *mean, *scale; /* x NULL: dy is added; mean NULL: zero */
  int64_t rows, d;
} column_terms;

static inline v16 column_step(const column_terms *c, int64_t r, int64_t i, int n, v16 sum) {
  v16 dy = load_lanes(c->dy + r * c->d + i, n);
  if (!c->x) return v16_add(sum, dy);
  v16 x = load_lanes(c->x + r * c->d + i, n);
  if (c->mean) x = v16_sub(x, v16_set1(c->mean[r]));
  return v16_fma(dy, v16_mul(x, v16_set1(c->scale[r])), sum);
}

/* Continues the chains of columns [first, last), 64 at a time in registers. */
static inline void column_chains(const column_terms *c, float *sum, int64_t first, int64_t last) {
  int64_t i = first;
  for (; i + 64 <= last; i += 64) {
    v16 s0 = v16_load(sum + i), s1 = v16_load(sum + i + 16);
    v16 s2 = v16_load(sum + i + 32), s3 = v16_load(sum + i + 48);
    for (int64_t r = 0; r < c->rows; r++) {
      s0 = column_step(c, r, i, 16, s0);
      s1 = column_step(c, r, i + 16, 16, s1);
      s2 = column_step(c, r, i + 32, 16, s2);
      s3 = column_step(c, r, i + 48, 16, s3);
    }
    v16_store(sum + i, s0), v16_store(sum + i + 16, s1);
    v16_store(sum + i + 32, s2), v16_store(sum + i + 48, s3);
  }
  for (; i < last; i += 16) {
    int n = PLR_TAIL(i, last);
    v16 s = load_lanes(sum + i, n);
    for (int64_t r = 0; r < c->rows; r++) s = column_step(c, r, i, n, s);
    store_lanes(sum + i, s, n);
  }
}

static void bias_bwd_range(const void *args, int64_t first, int64_t last) {
  const plr_bias_args *a = (const plr_bias_args *)args;
  const column_terms c = {a->dy, NULL, NULL, NULL, a->rows, a->d};
  column_chains(&c, a->dbias, first, last);
}

static void rmsnorm_dgain_range(const void *args, int64_t first, int64_t last) {
  const plr_rmsnorm_args *a = (const plr_rmsnorm_args *)args;
  const column_terms c = {a->dy, a->x, NULL, a->inv_rms, a->rows, a->d};
  column_chains(&c, a->dgain, first, last);
}

static void layernorm_dgain_range(const void *args, int64_t first, int64_t last) {
  const plr_layernorm_args *a = (const plr_layernorm_args *)args;
  const column_terms c = {a->dy, a->x, a->mean, a->inv_std, a->rows, a->d};
  column_chains(&c, a->dgain, first, last);
}

static void layernorm_dbias_range(const void *args, int64_t first, int64_t last) {
  const plr_layernorm_args *a = (const plr_layernorm_args *)args;
  const column_terms c = {a->dy, NULL, NULL, NULL, a->rows, a->d};
  column_chains(&c, a->dbias, first, last);
}

/* ---- rmsnorm ------------------------------------------------------------------------------------ */

/* dy * gain at element i. */
static inline v16 scaled_gradient(const float *gain, const float *dy, int64_t i, int n) {
  v16 g = load_lanes(dy + i, n);
  return gain ? v16_mul(g, load_lanes(gain + i, n)) : g;
}

static void rmsnorm_range(const void *args, int64_t first, int64_t last) {
  const plr_rmsnorm_args *a = (const plr_rmsnorm_args *)args;
  for (int64_t r = first; r < last; r++) {
    const float *x = a->x + r * a->d;
    float *y = a->y + r * a->d;
    v16 acc = v16_set1(0.0f);
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 v = load_lanes(x + i, n);
      acc = keep_lanes(n, v16_fma(v, v, acc), acc);
    }
    float inv = 1.0f / sqrtf(v16_sum(acc) / (float)a->d + a->eps);
    v16 scale = v16_set1(inv);
    a->inv_rms[r] = inv;
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 v = v16_mul(load_lanes(x + i, n), scale);
      if (a->gain) v = v16_mul(v, load_lanes(a->gain + i, n));
      store_lanes(y + i, v, n);
    }
  }
}

static void rmsnorm_dx_range(const void *args, int64_t first, int64_t last) {
  const plr_rmsnorm_args *a = (const plr_rmsnorm_args *)args;
  for (int64_t r = first; r < last; r++) {
    const float *x = a->x + r * a->d, *dy = a->dy + r * a->d;
    float *dx = a->dx + r * a->d;
    v16 acc = v16_set1(0.0f);
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 t = v16_fma(scaled_gradient(a->gain, dy, i, n), load_lanes(x + i, n), acc);
      acc = keep_lanes(n, t, acc);
    }
    float inv = a->inv_rms[r];
    float c = v16_sum(acc) * inv * inv / (float)a->d;
    v16 scale = v16_set1(inv), projection = v16_set1(c);
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 t = v16_fnma(projection, load_lanes(x + i, n), scaled_gradient(a->gain, dy, i, n));
      t = a->accumulate_dx ? v16_fma(scale, t, load_lanes(dx + i, n)) : v16_mul(scale, t);
      store_lanes(dx + i, t, n);
    }
  }
}

/* ---- layernorm ---------------------------------------------------------------------------------- */

static void layernorm_range(const void *args, int64_t first, int64_t last) {
  const plr_layernorm_args *a = (const plr_layernorm_args *)args;
  for (int64_t r = first; r < last; r++) {
    const float *x = a->x + r * a->d;
    float *y = a->y + r * a->d;
    v16 acc = v16_set1(0.0f);
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      acc = keep_lanes(n, v16_add(acc, load_lanes(x + i, n)), acc);
    }
    float mean = v16_sum(acc) / (float)a->d;
    v16 centre = v16_set1(mean);
    acc = v16_set1(0.0f);
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 c = v16_sub(load_lanes(x + i, n), centre);
      acc = keep_lanes(n, v16_fma(c, c, acc), acc);
    }
    float inv = 1.0f / sqrtf(v16_sum(acc) / (float)a->d + a->eps);
    v16 scale = v16_set1(inv);
    a->mean[r] = mean;
    a->inv_std[r] = inv;
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 v = v16_mul(v16_sub(load_lanes(x + i, n), centre), scale);
      if (a->gain) v = v16_mul(v, load_lanes(a->gain + i, n));
      if (a->bias) v = v16_add(v, load_lanes(a->bias + i, n));
      store_lanes(y + i, v, n);
    }
  }
}

static void layernorm_dx_range(const void *args, int64_t first, int64_t last) {
  const plr_layernorm_args *a = (const plr_layernorm_args *)args;
  for (int64_t r = first; r < last; r++) {
    const float *x = a->x + r * a->d, *dy = a->dy + r * a->d;
    float *dx = a->dx + r * a->d;
    v16 centre = v16_set1(a->mean[r]), scale = v16_set1(a->inv_std[r]);
    v16 sum = v16_set1(0.0f), dot = sum;
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 g = scaled_gradient(a->gain, dy, i, n);
      v16 normed = v16_mul(v16_sub(load_lanes(x + i, n), centre), scale);
      sum = keep_lanes(n, v16_add(sum, g), sum);
      dot = keep_lanes(n, v16_fma(g, normed, dot), dot);
    }
    v16 mean = v16_set1(v16_sum(sum) / (float)a->d);
    v16 projection = v16_set1(v16_sum(dot) / (float)a->d);
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 normed = v16_mul(v16_sub(load_lanes(x + i, n), centre), scale);
      v16 t = v16_sub(scaled_gradient(a->gain, dy, i, n), mean);
      t = v16_fnma(projection, normed, t);
      t = a->accumulate_dx ? v16_fma(scale, t, load_lanes(dx + i, n)) : v16_mul(scale, t);
      store_lanes(dx + i, t, n);
    }
  }
}

#endif
