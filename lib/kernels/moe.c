/* Mixture of experts: routing, rows to the order of their experts and back, and a matrix product for each expert. */
#include "kernels/vec_kernels.h"

#include <string.h>

/* ---- routing ------------------------------------------------------------------------------------ */

static plr_status check_route(const plr_route_args *a) {
  if (a->batch < 0 || a->seq < 0 || a->experts <= 0 || a->top_k <= 0 || a->top_k > a->experts)
    return PLR_ERR_INVALID_ARGUMENT;
  if (a->batch > INT32_MAX || a->seq > INT32_MAX || a->experts > INT32_MAX) return PLR_ERR_LIMIT;
  if (a->seq > 0 && a->batch > INT32_MAX / a->top_k / a->seq) return PLR_ERR_LIMIT;
  return PLR_OK;
}

/* Slots by (expert, row): counted, then given out in the order of the pairs. offsets[e] runs from the start of e to
 * its end, which is the next one's start. */
static void sort_pairs(const plr_route_args *a, int64_t pairs) {
  memset(a->offsets, 0, (size_t)(a->experts + 1) * sizeof *a->offsets);
  for (int64_t p = 0; p < pairs; p++) a->offsets[a->ids[p] + 1]++;
  for (int64_t e = 0; e < a->experts; e++) a->offsets[e + 1] += a->offsets[e];
  for (int64_t p = 0; p < pairs; p++) {
    int32_t slot = a->offsets[a->ids[p]]++;
    a->slot_of[p] = slot;
    a->pair_of[slot] = (int32_t)p;
  }
  memmove(a->offsets + 1, a->offsets, (size_t)a->experts * sizeof *a->offsets);
  a->offsets[0] = 0;
}

plr_status plr__cpu_route(plr_context *ctx, const plr_route_args *a) {
  PLR_TRY(check_route(a));
  int64_t rows = a->batch * a->seq;
  plr__partition(ctx, rows, 1, 4 * a->experts, plr__vec(ctx)->route, a);
  sort_pairs(a, rows * a->top_k);
  return PLR_OK;
}

size_t plr__cpu_route_bwd_workspace(plr_context *ctx, const plr_route_args *a) {
  (void)ctx;
  if (check_route(a) != PLR_OK) return 0;
  return (size_t)(a->batch * a->experts) * sizeof(float);
}

/* What each row of a sequence adds to the gradient of the experts' probabilities. */
static void balance_gradients(const plr_route_args *a, int64_t b, float *gradient) {
  int64_t pairs = a->seq * a->top_k;
  const int32_t *ids = a->ids + b * pairs;
  for (int64_t e = 0; e < a->experts; e++) gradient[e] = 0.0f;
  for (int64_t p = 0; p < pairs; p++) gradient[ids[p]] += 1.0f;
  for (int64_t e = 0; e < a->experts; e++) {
    float share = gradient[e] / (float)pairs;
    gradient[e] = a->balance * (float)a->experts * share / (float)a->seq;
  }
}

static int in_range(const int32_t *x, int64_t n, int64_t range) {
  for (int64_t i = 0; i < n; i++)
    if (x[i] < 0 || x[i] >= range) return 0;
  return 1;
}

plr_status plr__cpu_route_bwd(plr_context *ctx, const plr_route_args *a) {
  PLR_TRY(check_route(a));
  int64_t rows = a->batch * a->seq;
  if (!in_range(a->ids, rows * a->top_k, a->experts)) return PLR_ERR_INVALID_ARGUMENT;
  if (rows > 0 && !a->work) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t b = 0; b < a->batch && a->seq > 0; b++)
    balance_gradients(a, b, (float *)a->work + b * a->experts);
  plr__partition(ctx, rows, 1, 8 * a->experts, plr__vec(ctx)->route_bwd, a);
  return PLR_OK;
}

/* ---- rows to slots and back --------------------------------------------------------------------- */

static plr_status check_rows(int64_t rows, int64_t top_k, int64_t d) {
  if (rows < 0 || top_k <= 0 || d < 0) return PLR_ERR_INVALID_ARGUMENT;
  return rows > INT32_MAX / top_k ? PLR_ERR_LIMIT : PLR_OK;
}

/* Slots [first, last). */
static void dispatch_range(const void *args, int64_t first, int64_t last) {
  const plr_dispatch_args *a = (const plr_dispatch_args *)args;
  for (int64_t slot = first; slot < last; slot++)
    memcpy(a->y + slot * a->d, a->x + a->pair_of[slot] / a->top_k * a->d,
           (size_t)a->d * sizeof *a->y);
}

plr_status plr__cpu_dispatch(plr_context *ctx, const plr_dispatch_args *a) {
  PLR_TRY(check_rows(a->rows, a->top_k, a->d));
  int64_t pairs = a->rows * a->top_k;
  if (!in_range(a->pair_of, pairs, pairs)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, pairs, 1, a->d, dispatch_range, a);
  return PLR_OK;
}

plr_status plr__cpu_dispatch_bwd(plr_context *ctx, const plr_dispatch_args *a) {
  PLR_TRY(check_rows(a->rows, a->top_k, a->d));
  int64_t pairs = a->rows * a->top_k;
  if (!in_range(a->slot_of, pairs, pairs)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, a->top_k * a->d, plr__vec(ctx)->dispatch_bwd, a);
  return PLR_OK;
}

static plr_status combine(plr_context *ctx, const plr_combine_args *a, plr_range_fn fn) {
  PLR_TRY(check_rows(a->rows, a->top_k, a->d));
  int64_t pairs = a->rows * a->top_k;
  if (!in_range(a->slot_of, pairs, pairs)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, a->top_k * a->d, fn, a);
  return PLR_OK;
}

plr_status plr__cpu_combine(plr_context *ctx, const plr_combine_args *a) {
  return combine(ctx, a, plr__vec(ctx)->combine);
}

plr_status plr__cpu_combine_bwd(plr_context *ctx, const plr_combine_args *a) {
  return combine(ctx, a, plr__vec(ctx)->combine_bwd);
}

/* ---- a product for each expert ------------------------------------------------------------------ */

/* Expert e as one product, of its rows [first, last). */
static plr_matmul_args product_of(const plr_expert_matmul_args *a, int64_t e, int64_t first,
                                  int64_t last) {
  const float *rows_a = a->a + first * a->k, *matrix = a->b + e * a->n * a->k;
  plr_matmul_args m = {rows_a, matrix, a->c + first * a->n, last - first,  a->n,   a->k, a->k,
                       a->n,   a->n,   a->layout,           a->accumulate, a->work};
  if (a->layout == PLR_MATMUL_NT) m.ldb = a->k;
  if (a->layout == PLR_MATMUL_TN) {
    m.b = a->b + first * a->n;
    m.c = a->c + e * a->n * a->k;
    m.m = a->k, m.k = last - first;
  }
  return m;
}

static plr_status check_experts(const plr_expert_matmul_args *a) {
  if (a->rows < 0 || a->experts <= 0 || a->n < 0 || a->k < 0 || a->layout > PLR_MATMUL_TN)
    return PLR_ERR_INVALID_ARGUMENT;
  const int64_t most = (int64_t)1 << 40;
  if (a->rows > INT32_MAX || a->experts > INT32_MAX || a->n > most || a->k > most)
    return PLR_ERR_LIMIT;
  return a->k > 0 && a->n > most / a->k ? PLR_ERR_LIMIT : PLR_OK;
}

/* Offsets are not known when memory is planned: enough for any run of rows. */
size_t plr__cpu_expert_matmul_workspace(plr_context *ctx, const plr_expert_matmul_args *a) {
  if (check_experts(a) != PLR_OK) return 0;
  return plr__cpu_matmul_workspace_limit(ctx);
}

plr_status plr__cpu_expert_matmul(plr_context *ctx, const plr_expert_matmul_args *a) {
  PLR_TRY(check_experts(a));
  if (a->offsets[0] != 0 || a->offsets[a->experts] != a->rows) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t e = 0; e < a->experts; e++)
    if (a->offsets[e] > a->offsets[e + 1]) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t e = 0; e < a->experts; e++) {
    plr_matmul_args m = product_of(a, e, a->offsets[e], a->offsets[e + 1]);
    PLR_TRY(plr__cpu_matmul(ctx, &m));
  }
  return PLR_OK;
}
