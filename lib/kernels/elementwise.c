/* Fill, sums, products, table look-ups, activations and bf16 storage. */
#include "kernels/vec_kernels.h"

#include <string.h>

static void fill_range(const void *args, int64_t first, int64_t last) {
  const plr_fill_args *a = (const plr_fill_args *)args;
  for (int64_t i = first; i < last; i++) a->y[i] = a->value;
}

plr_status plr__cpu_fill(plr_context *ctx, const plr_fill_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->n, 16, 1, fill_range, a);
  return PLR_OK;
}

plr_status plr__cpu_add(plr_context *ctx, const plr_add_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->n, 16, 1, plr__vec(ctx)->add, a);
  return PLR_OK;
}

plr_status plr__cpu_mul(plr_context *ctx, const plr_add_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->n, 16, 1, plr__vec(ctx)->mul, a);
  return PLR_OK;
}

plr_status plr__cpu_scale(plr_context *ctx, const plr_scale_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->n, 16, 1, plr__vec(ctx)->scale, a);
  return PLR_OK;
}

plr_status plr__cpu_bias(plr_context *ctx, const plr_bias_args *a) {
  if (a->rows < 0 || a->d < 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, a->d, plr__vec(ctx)->bias, a);
  return PLR_OK;
}

plr_status plr__cpu_bias_bwd(plr_context *ctx, const plr_bias_args *a) {
  if (a->rows < 0 || a->d < 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->d, 16, a->rows, plr__vec(ctx)->bias_bwd, a);
  return PLR_OK;
}

static int ids_in_range(const int32_t *ids, int64_t rows, int64_t vocab) {
  for (int64_t r = 0; r < rows; r++)
    if (ids[r] < 0 || ids[r] >= vocab) return 0;
  return 1;
}

plr_status plr__cpu_row_add(plr_context *ctx, const plr_row_add_args *a) {
  if (a->rows < 0 || a->d < 0) return PLR_ERR_INVALID_ARGUMENT;
  if (!ids_in_range(a->ids, a->rows, a->vocab)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, a->d, plr__vec(ctx)->row_add, a);
  return PLR_OK;
}

static void embed_range(const void *args, int64_t first, int64_t last) {
  const plr_embed_args *a = (const plr_embed_args *)args;
  for (int64_t r = first; r < last; r++)
    memcpy(a->y + r * a->w, a->table + a->ids[r] * a->w, (size_t)a->w * sizeof(float));
}

plr_status plr__cpu_embed(plr_context *ctx, const plr_embed_args *a) {
  if (a->rows < 0 || a->w < 0) return PLR_ERR_INVALID_ARGUMENT;
  if (!ids_in_range(a->ids, a->rows, a->vocab)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, a->w, embed_range, a);
  return PLR_OK;
}

plr_status plr__cpu_embed_bwd(plr_context *ctx, const plr_embed_args *a) {
  if (a->rows < 0 || a->w < 0) return PLR_ERR_INVALID_ARGUMENT;
  if (!ids_in_range(a->ids, a->rows, a->vocab)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->w, 16, a->rows, plr__vec(ctx)->embed_bwd, a);
  return PLR_OK;
}

static int swiglu_sizes_ok(const plr_swiglu_args *a) {
  return a->rows >= 0 && a->f >= 0 && a->ldg >= a->f;
}

plr_status plr__cpu_swiglu(plr_context *ctx, const plr_swiglu_args *a) {
  if (!swiglu_sizes_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, 4 * a->f, plr__vec(ctx)->swiglu, a);
  return PLR_OK;
}

plr_status plr__cpu_swiglu_bwd(plr_context *ctx, const plr_swiglu_args *a) {
  if (!swiglu_sizes_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, 4 * a->f, plr__vec(ctx)->swiglu_bwd, a);
  return PLR_OK;
}

static int act_ok(const plr_act_args *a) {
  return a->n >= 0 && a->kind >= PLR_ACT_SILU && a->kind <= PLR_ACT_RELU2;
}

plr_status plr__cpu_act(plr_context *ctx, const plr_act_args *a) {
  if (!act_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->n, 16, 4, plr__vec(ctx)->act, a);
  return PLR_OK;
}

plr_status plr__cpu_act_bwd(plr_context *ctx, const plr_act_args *a) {
  if (!act_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->n, 16, 4, plr__vec(ctx)->act_bwd, a);
  return PLR_OK;
}

plr_status plr__cpu_bf16_pack(plr_context *ctx, const plr_bf16_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->n, 32, 1, plr__vec(ctx)->to_bf16, a);
  return PLR_OK;
}

plr_status plr__cpu_bf16_unpack(plr_context *ctx, const plr_bf16_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->n, 32, 1, plr__vec(ctx)->from_bf16, a);
  return PLR_OK;
}
