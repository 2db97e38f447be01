/* Kernels that reduce over a row by the 16-lane rule: softmax, cross-entropy, sum of squares. */
#ifndef PLR_KERNELS_BODY_ROWS_H
#define PLR_KERNELS_BODY_ROWS_H

#include "kernels/body_elementwise.h"

/* The elements [first, last) of a row; the lane of x[i] is i mod 16 wherever the range starts. */
static inline v16 inside_lanes(int64_t first, int64_t last, int64_t i, v16 next, v16 acc) {
  if (last - i < 16) next = v16_select(m16_first((int)(last - i)), next, acc);
  return i < first ? v16_select(m16_first((int)(first - i)), acc, next) : next;
}

static inline float row_max(const float *x, int64_t first, int64_t last) {
  v16 m = v16_set1(-INFINITY);
  for (int64_t i = first / 16 * 16; i < last; i += 16)
    m = inside_lanes(first, last, i, v16_max(m, load_lanes(x + i, PLR_TAIL(i, last))), m);
  return v16_hmax(m);
}

/* Sum of exp(x - max); with keep, x becomes its exponentials (and below `first`, in its group, anything). */
static inline float row_exp_sum(float *x, int64_t first, int64_t last, float max, int keep) {
  v16 sum = v16_set1(0.0f), top = v16_set1(max);
  for (int64_t i = first / 16 * 16; i < last; i += 16) {
    int lanes = PLR_TAIL(i, last);
    v16 e = v16_exp(v16_sub(load_lanes(x + i, lanes), top));
    sum = inside_lanes(first, last, i, v16_add(sum, e), sum);
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
    float max = row_max(x, 0, a->vocab), wanted = x[label] - max;
    float sum = row_exp_sum(x, 0, a->vocab, max, a->with_grad != 0);
    a->loss[r] = plr__logf(sum) - wanted;
    if (!a->with_grad) continue;
    float inv = 1.0f / sum;
    if (a->z_loss != 0.0f) inv *= fmaf(2.0f * a->z_loss, max + plr__logf(sum), 1.0f);
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
