/* Mixture of experts as EXACT.md section 5 states it. */
#include "kernels/kernels_int.h"

#include <math.h>

static float tree(float lane[16]) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] = lane[i] + lane[i + half];
  return lane[0];
}

/* Maximum and 1 / sum of exponentials of a row. */
static void softmax_row(const float *x, int64_t n, float *max, float *inv) {
  float lane[16];
  *max = x[0];
  for (int64_t i = 1; i < n; i++) *max = *max > x[i] ? *max : x[i];
  for (int i = 0; i < 16; i++) lane[i] = 0.0f;
  for (int64_t i = 0; i < n; i++) lane[i % 16] += plr__expf(x[i] - *max);
  *inv = 1.0f / tree(lane);
}

/* Expert i comes before j. */
static int before(const float *x, int64_t i, int64_t j) {
  return x[i] > x[j] || (x[i] == x[j] && i < j);
}

plr_status plr__ref_route(const plr_route_args *a) {
  int64_t rows = a->batch * a->seq;
  for (int64_t r = 0; r < rows; r++) {
    const float *x = a->logits + r * a->experts;
    float max, inv, chosen = 0.0f;
    softmax_row(x, a->experts, &max, &inv);
    for (int64_t i = 0; i < a->experts; i++) {
      int64_t place = 0;
      for (int64_t j = 0; j < a->experts; j++) place += before(x, j, i);
      if (place < a->top_k) a->ids[r * a->top_k + place] = (int32_t)i;
    }
    float *gates = a->gates + r * a->top_k;
    for (int64_t c = 0; c < a->top_k; c++) {
      gates[c] = plr__expf(x[a->ids[r * a->top_k + c]] - max) * inv;
      chosen += gates[c];
    }
    for (int64_t c = 0; c < a->top_k && a->renormalise; c++) gates[c] = gates[c] / chosen;
  }
  int32_t slot = 0;
  for (int64_t e = 0; e < a->experts; e++) {
    a->offsets[e] = slot;
    for (int64_t p = 0; p < rows * a->top_k; p++)
      if (a->ids[p] == e) {
        a->slot_of[p] = slot;
        a->pair_of[slot++] = (int32_t)p;
      }
  }
  a->offsets[a->experts] = slot;
  return PLR_OK;
}

/* Gradient of p_e that the balance gives every row of sequence b. */
static float balance_term(const plr_route_args *a, int64_t b, int64_t e) {
  int64_t pairs = a->seq * a->top_k, count = 0;
  for (int64_t p = b * pairs; p < (b + 1) * pairs; p++) count += a->ids[p] == e;
  float share = (float)count / (float)pairs;
  return a->balance * (float)a->experts * share / (float)a->seq;
}

plr_status plr__ref_route_bwd(const plr_route_args *a) {
  for (int64_t r = 0; r < a->batch * a->seq; r++) {
    const float *x = a->logits + r * a->experts, *gates = a->gates + r * a->top_k;
    const float *dgates = a->dgates + r * a->top_k;
    const int32_t *ids = a->ids + r * a->top_k;
    float *dx = a->dlogits + r * a->experts, max, inv, chosen = 0.0f, mean = 0.0f, lane[16] = {0};
    softmax_row(x, a->experts, &max, &inv);
    for (int64_t c = 0; c < a->top_k; c++) {
      chosen += plr__expf(x[ids[c]] - max) * inv;
      mean = fmaf(dgates[c], gates[c], mean);
    }
    for (int64_t e = 0; e < a->experts; e++) {
      dx[e] = balance_term(a, r / a->seq, e);
      for (int64_t c = 0; c < a->top_k; c++)
        if (ids[c] == e) dx[e] += a->renormalise ? (dgates[c] - mean) / chosen : dgates[c];
      lane[e % 16] = fmaf(plr__expf(x[e] - max) * inv, dx[e], lane[e % 16]);
    }
    float dot = tree(lane);
    for (int64_t e = 0; e < a->experts; e++) dx[e] = plr__expf(x[e] - max) * inv * (dx[e] - dot);
  }
  return PLR_OK;
}

plr_status plr__ref_dispatch(const plr_dispatch_args *a) {
  for (int64_t slot = 0; slot < a->rows * a->top_k; slot++)
    for (int64_t i = 0; i < a->d; i++)
      a->y[slot * a->d + i] = a->x[a->pair_of[slot] / a->top_k * a->d + i];
  return PLR_OK;
}

plr_status plr__ref_dispatch_bwd(const plr_dispatch_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->d; i++) {
      float sum = a->dy[a->slot_of[r * a->top_k] * a->d + i];
      for (int64_t c = 1; c < a->top_k; c++) sum += a->dy[a->slot_of[r * a->top_k + c] * a->d + i];
      a->dx[r * a->d + i] = sum;
    }
  return PLR_OK;
}

plr_status plr__ref_combine(const plr_combine_args *a) {
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t i = 0; i < a->d; i++) {
      float sum = 0.0f;
      for (int64_t p = r * a->top_k; p < (r + 1) * a->top_k; p++)
        sum = fmaf(a->gates[p], a->x[a->slot_of[p] * a->d + i], sum);
      a->y[r * a->d + i] = sum;
    }
  return PLR_OK;
}

plr_status plr__ref_combine_bwd(const plr_combine_args *a) {
  for (int64_t p = 0; p < a->rows * a->top_k; p++) {
    const float *dy = a->dy + p / a->top_k * a->d, *x = a->x + a->slot_of[p] * a->d;
    float *dx = a->dx + a->slot_of[p] * a->d, lane[16] = {0};
    for (int64_t i = 0; i < a->d; i++) {
      dx[i] = a->gates[p] * dy[i];
      lane[i % 16] = fmaf(dy[i], x[i], lane[i % 16]);
    }
    a->dgates[p] = tree(lane);
  }
  return PLR_OK;
}

/* Element (i, j) of expert e's product when it is by rows; of its weight gradient when it is TN. */
static float rows_chain(const plr_expert_matmul_args *a, int64_t e, int64_t i, int64_t j, float c) {
  for (int64_t p = 0; p < a->k; p++) {
    int64_t at = a->layout == PLR_MATMUL_NT ? (e * a->n + j) * a->k + p : (e * a->k + p) * a->n + j;
    c = fmaf(a->a[i * a->k + p], a->b[at], c);
  }
  return c;
}

plr_status plr__ref_expert_matmul(const plr_expert_matmul_args *a) {
  if (a->layout > PLR_MATMUL_TN) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t e = 0; e < a->experts; e++) {
    int64_t first = a->offsets[e], last = a->offsets[e + 1];
    for (int64_t i = first; i < last && a->layout != PLR_MATMUL_TN; i++)
      for (int64_t j = 0; j < a->n; j++) {
        float *c = a->c + i * a->n + j;
        *c = rows_chain(a, e, i, j, a->accumulate ? *c : 0.0f);
      }
    for (int64_t i = 0; i < a->k && a->layout == PLR_MATMUL_TN; i++)
      for (int64_t j = 0; j < a->n; j++) {
        float *c = a->c + (e * a->k + i) * a->n + j, chain = a->accumulate ? *c : 0.0f;
        for (int64_t p = first; p < last; p++)
          chain = fmaf(a->a[p * a->k + i], a->b[p * a->n + j], chain);
        *c = chain;
      }
  }
  return PLR_OK;
}
