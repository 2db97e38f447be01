/* Row operations: norms, rotation, cross-entropy. */
#include "kernels/vec_kernels.h"

plr_status plr__cpu_rmsnorm(plr_context *ctx, const plr_rmsnorm_args *a) {
  if (a->rows < 0 || a->d <= 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, a->d, plr__vec(ctx)->rmsnorm, a);
  return PLR_OK;
}

plr_status plr__cpu_rmsnorm_bwd(plr_context *ctx, const plr_rmsnorm_args *a) {
  if (a->rows < 0 || a->d <= 0) return PLR_ERR_INVALID_ARGUMENT;
  /* dgain first: dx may overwrite dy. */
  if (a->dgain) plr__partition(ctx, a->d, 16, a->rows, plr__vec(ctx)->rmsnorm_dgain, a);
  if (a->dx) plr__partition(ctx, a->rows, 1, 2 * a->d, plr__vec(ctx)->rmsnorm_dx, a);
  return PLR_OK;
}

plr_status plr__cpu_layernorm(plr_context *ctx, const plr_layernorm_args *a) {
  if (a->rows < 0 || a->d <= 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, a->d, plr__vec(ctx)->layernorm, a);
  return PLR_OK;
}

plr_status plr__cpu_layernorm_bwd(plr_context *ctx, const plr_layernorm_args *a) {
  if (a->rows < 0 || a->d <= 0) return PLR_ERR_INVALID_ARGUMENT;
  const plr_vec_kernels *vec = plr__vec(ctx);
  if (a->dgain) plr__partition(ctx, a->d, 16, a->rows, vec->layernorm_dgain, a);
  if (a->dbias) plr__partition(ctx, a->d, 16, a->rows, vec->layernorm_dbias, a);
  if (a->dx) plr__partition(ctx, a->rows, 1, 2 * a->d, vec->layernorm_dx, a);
  return PLR_OK;
}

plr_status plr__cpu_rope(plr_context *ctx, const plr_rope_args *a) {
  int64_t width = a->heads * a->head_dim;
  if (a->rows < 0 || a->seq <= 0 || a->heads < 0 || a->head_dim <= 0 || a->head_dim % 2 ||
      a->ldx < width)
    return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, width, plr__vec(ctx)->rope, a);
  return PLR_OK;
}

plr_status plr__cpu_xent(plr_context *ctx, const plr_xent_args *a) {
  if (a->rows < 0 || a->vocab <= 0) return PLR_ERR_INVALID_ARGUMENT;
  for (int64_t r = 0; r < a->rows; r++)
    if (a->labels[r] >= a->vocab) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->rows, 1, 4 * a->vocab, plr__vec(ctx)->xent, a);
  return PLR_OK;
}
