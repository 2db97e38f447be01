/* Kernels that reduce over a row by the 16-lane rule: softmax, cross-entropy, sum of squares. */
#ifndef PLR_KERNELS_BODY_ROWS_H
#define PLR_KERNELS_BODY_ROWS_H

#include "kernels/body_elementwise.h"

static inline float row_max(const float *x, int64_t n) {
  v16 m = v16_set1(-INFINITY);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) m = v16_max(m, v16_load(x + i));
  if (i < n) {
    m16 mask = m16_first((int)(n - i));
    m = v16_select(mask, v16_max(m, v16_load_n(x + i, (int)(n - i))), m);
  }
  return v16_hmax(m);
}

/* Sum of exp(x - max); with keep, x becomes its exponentials. */
static inline float row_exp_sum(float *x, int64_t n, float max, int keep) {
  v16 sum = v16_set1(0.0f), top = v16_set1(max);
  for (int64_t i = 0; i < n; i += 16) {
    int lanes = PLR_TAIL(i, n);
    v16 e = v16_exp(v16_sub(load_lanes(x + i, lanes), top));
    v16 t = v16_add(sum, e);
    sum = lanes == 16 ? t : v16_select(m16_first(lanes), t, sum);
    if (keep) store_lanes(x + i, e, lanes);
  }
  return v16_sum(sum);
}

static void xent_range(const void *args, int64_t first, int64_t last) {
  const plr_xent_args *a = (const plr_xent_args *)args;
  for (int64_t r = first; r < last; r++) {
    float *x = a->logits + r * a->vocab;
    int64_t label = a->labels[r];
    if (label < 0) {
      a->loss[r] = 0.0f;
      if (a->with_grad) memset(x, 0, (size_t)a->vocab * sizeof *x);
      continue;
    }
    float max = row_max(x, a->vocab), wanted = x[label] - max;
    float sum = row_exp_sum(x, a->vocab, max, a->with_grad != 0);
    a->loss[r] = plr__logf(sum) - wanted;
    if (!a->with_grad) continue;
    float inv = 1.0f / sum;
    float hit = (x[label] * inv - 1.0f) * a->scale;
    v16 norm = v16_set1(inv), scale = v16_set1(a->scale);
    for (int64_t i = 0; i < a->vocab; i += 16) {
      int n = PLR_TAIL(i, a->vocab);
      store_lanes(x + i, v16_mul(v16_mul(load_lanes(x + i, n), norm), scale), n);
    }
    x[label] = hit;
  }
}

/* Segments [first, last) in 16 fp64 lanes. A lane without an element adds a square of +0, which changes nothing:
 * lanes are never -0. */
static void sumsq_range(const void *args, int64_t first, int64_t last) {
  const plr_sumsq_segments *a = (const plr_sumsq_segments *)args;
  for (int64_t s = first; s < last; s++) {
    int64_t i = s * a->length, end = i + a->length < a->n ? i + a->length : a->n;
    d8 low = d8_set1(0.0), high = low;
    for (; i < end; i += 16) {
      v16 x = load_lanes(a->x + i, PLR_TAIL(i, end));
      d8 l = d8_from_low(x), h = d8_from_high(x);
      low = d8_fma(l, l, low);
      high = d8_fma(h, h, high);
    }
    a->part[s] = d8_sum(d8_add(low, high));
  }
}

#endif
