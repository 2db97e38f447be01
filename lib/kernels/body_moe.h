/* Mixture of experts: choosing experts, and rows to their order and back. */
#ifndef PLR_KERNELS_BODY_MOE_H
#define PLR_KERNELS_BODY_MOE_H

#include "kernels/body_norm.h"
#include "kernels/body_rows.h"

/* The top_k largest of x in falling order, and their indices; of equals the first come first. */
static void route_choose(const float *x, int64_t experts, int64_t top_k, float *top, int32_t *ids) {
  int64_t n = 0;
  for (int64_t e = 0; e < experts; e++) {
    float v = x[e];
    if (n == top_k && !(v > top[n - 1])) continue;
    int64_t at = n < top_k ? n++ : n - 1;
    for (; at > 0 && v > top[at - 1]; at--) {
      top[at] = top[at - 1];
      ids[at] = ids[at - 1];
    }
    top[at] = v;
    ids[at] = (int32_t)e;
  }
}

/* Rows [first, last): experts and gates. */
static void route_range(const void *args, int64_t first, int64_t last) {
  const plr_route_args *a = (const plr_route_args *)args;
  for (int64_t r = first; r < last; r++) {
    const float *x = a->logits + r * a->experts;
    int32_t *ids = a->ids + r * a->top_k;
    float *gates = a->gates + r * a->top_k, chosen = 0.0f;
    route_choose(x, a->experts, a->top_k, gates, ids);
    float max = row_max(x, 0, a->experts);
    float inv = 1.0f / row_exp_sum((float *)x, 0, a->experts, max, 0); /* 0: x stays as it is */
    v16 top = v16_set1(max), norm = v16_set1(inv);
    for (int64_t c = 0; c < a->top_k; c += 16) {
      int n = PLR_TAIL(c, a->top_k);
      v16 e = v16_exp(v16_sub(load_lanes(gates + c, n), top));
      store_lanes(gates + c, v16_mul(e, norm), n);
    }
    for (int64_t c = 0; c < a->top_k; c++) chosen += gates[c];
    for (int64_t c = 0; c < a->top_k && a->renormalise; c++) gates[c] = gates[c] / chosen;
  }
}

/* Gradients of the probabilities of a row, in dp: those of its gates on top of the balance's. */
static void route_gate_gradients(const plr_route_args *a, int64_t r, float max, float inv,
                                 float *dp) {
  const float *x = a->logits + r * a->experts, *dgates = a->dgates + r * a->top_k;
  const float *gates = a->gates + r * a->top_k;
  const int32_t *ids = a->ids + r * a->top_k;
  float chosen = 0.0f, mean = 0.0f;
  for (int64_t c = 0; c < a->top_k; c++) {
    chosen += plr__expf(x[ids[c]] - max) * inv;
    mean = fmaf(dgates[c], gates[c], mean);
  }
  for (int64_t c = 0; c < a->top_k; c++)
    dp[ids[c]] += a->renormalise ? (dgates[c] - mean) / chosen : dgates[c];
}

/* Rows [first, last); work holds the balance's gradient of each expert for each sequence. */
static void route_bwd_range(const void *args, int64_t first, int64_t last) {
  const plr_route_args *a = (const plr_route_args *)args;
  const float *balance = (const float *)a->work;
  int64_t experts = a->experts;
  for (int64_t r = first; r < last; r++) {
    const float *x = a->logits + r * experts;
    float *dx = a->dlogits + r * experts; /* dp first */
    float max = row_max(x, 0, experts);
    float inv = 1.0f / row_exp_sum((float *)x, 0, experts, max, 0);
    memcpy(dx, balance + r / a->seq * experts, (size_t)experts * sizeof *dx);
    route_gate_gradients(a, r, max, inv, dx);
    v16 top = v16_set1(max), norm = v16_set1(inv), acc = v16_set1(0.0f);
    for (int64_t e = 0; e < experts; e += 16) {
      int n = PLR_TAIL(e, experts);
      v16 p = v16_mul(v16_exp(v16_sub(load_lanes(x + e, n), top)), norm);
      acc = keep_lanes(n, v16_fma(p, load_lanes(dx + e, n), acc), acc);
    }
    v16 mean = v16_set1(v16_sum(acc));
    for (int64_t e = 0; e < experts; e += 16) {
      int n = PLR_TAIL(e, experts);
      v16 p = v16_mul(v16_exp(v16_sub(load_lanes(x + e, n), top)), norm);
      store_lanes(dx + e, v16_mul(p, v16_sub(load_lanes(dx + e, n), mean)), n);
    }
  }
}

static void dispatch_bwd_range(const void *args, int64_t first, int64_t last) {
  const plr_dispatch_args *a = (const plr_dispatch_args *)args;
  for (int64_t r = first; r < last; r++) {
    const int32_t *slots = a->slot_of + r * a->top_k;
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 sum = load_lanes(a->dy + slots[0] * a->d + i, n);
      for (int64_t c = 1; c < a->top_k; c++)
        sum = v16_add(sum, load_lanes(a->dy + slots[c] * a->d + i, n));
      store_lanes(a->dx + r * a->d + i, sum, n);
    }
  }
}

static void combine_range(const void *args, int64_t first, int64_t last) {
  const plr_combine_args *a = (const plr_combine_args *)args;
  for (int64_t r = first; r < last; r++) {
    const int32_t *slots = a->slot_of + r * a->top_k;
    const float *gates = a->gates + r * a->top_k;
    for (int64_t i = 0; i < a->d; i += 16) {
      int n = PLR_TAIL(i, a->d);
      v16 sum = v16_set1(0.0f);
      for (int64_t c = 0; c < a->top_k; c++)
        sum = v16_fma(v16_set1(gates[c]), load_lanes(a->x + slots[c] * a->d + i, n), sum);
      store_lanes(a->y + r * a->d + i, sum, n);
    }
  }
}

static void combine_bwd_range(const void *args, int64_t first, int64_t last) {
  const plr_combine_args *a = (const plr_combine_args *)args;
  for (int64_t r = first; r < last; r++)
    for (int64_t c = r * a->top_k; c < (r + 1) * a->top_k; c++) {
      const float *dy = a->dy + r * a->d, *x = a->x + a->slot_of[c] * a->d;
      float *dx = a->dx + a->slot_of[c] * a->d;
      v16 gate = v16_set1(a->gates[c]), acc = v16_set1(0.0f);
      for (int64_t i = 0; i < a->d; i += 16) {
        int n = PLR_TAIL(i, a->d);
        v16 g = load_lanes(dy + i, n);
        acc = keep_lanes(n, v16_fma(g, load_lanes(x + i, n), acc), acc);
        store_lanes(dx + i, v16_mul(gate, g), n);
      }
      a->dgates[c] = v16_sum(acc);
    }
}

#endif
