/* What a step does to parameters: norm of the gradient, the optimizers but Muon, and the normal numbers they start
 * from. */
#include "kernels/vec_kernels.h"

#include <math.h>

plr_status plr__cpu_sumsq(plr_context *ctx, const plr_sumsq_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  double part[PLR_SUMSQ_SEGMENTS] = {0.0}, sum = 0.0;
  int64_t length = (a->n + 16 * PLR_SUMSQ_SEGMENTS - 1) / (16 * PLR_SUMSQ_SEGMENTS) * 16;
  if (length > 0) {
    plr_sumsq_segments job = {a->x, part, a->n, length};
    plr__partition(ctx, (a->n + length - 1) / length, 1, length, plr__vec(ctx)->sumsq, &job);
  }
  for (int i = 0; i < PLR_SUMSQ_SEGMENTS; i++) sum += part[i];
  /* A square of a float cannot overflow fp64, so a sum that is not finite had an element that was not. */
  a->out[1] = isfinite(sum) ? 1.0 : 0.0;
  a->out[0] = isfinite(sum) ? sum : INFINITY;
  return PLR_OK;
}

plr_status plr__cpu_adamw(plr_context *ctx, const plr_adamw_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__partition(ctx, a->n, 16, 4, plr__vec(ctx)->adamw, a);
  return PLR_OK;
}

plr_status plr__optimizer_sizes(const plr_optimizer_args *a) {
  if (a->rows < 0 || a->cols < 0 || a->along > 1) return PLR_ERR_INVALID_ARGUMENT;
  return a->cols > 0 && a->rows > ((int64_t)1 << 58) / a->cols ? PLR_ERR_LIMIT : PLR_OK;
}

plr_status plr__cpu_nadam(plr_context *ctx, const plr_optimizer_args *a) {
  PLR_TRY(plr__optimizer_sizes(a));
  plr__partition(ctx, a->rows * a->cols, 16, 4, plr__vec(ctx)->nadam, a);
  return PLR_OK;
}

plr_status plr__cpu_sgdm(plr_context *ctx, const plr_optimizer_args *a) {
  PLR_TRY(plr__optimizer_sizes(a));
  plr__partition(ctx, a->rows * a->cols, 16, 3, plr__vec(ctx)->sgdm, a);
  return PLR_OK;
}

plr_status plr__cpu_adamw_row(plr_context *ctx, const plr_optimizer_args *a) {
  PLR_TRY(plr__optimizer_sizes(a));
  if (a->rows == 0 || a->cols == 0) return PLR_OK;
  if (a->along) plr__partition(ctx, a->cols, 16, a->rows, plr__vec(ctx)->adamw_columns, a);
  plr__partition(ctx, a->rows, 1, 4 * a->cols, plr__vec(ctx)->adamw_row, a);
  return PLR_OK;
}

plr_status plr__cpu_gaussian(plr_context *ctx, const plr_gaussian_args *a) {
  if (a->rows < 0 || a->cols < 0 || a->first_row < 0) return PLR_ERR_INVALID_ARGUMENT;
  /* Rows and blocks of four columns are 32-bit counter words. */
  if (a->cols > INT64_C(0x3FFFFFFFC) || a->first_row > UINT32_MAX ||
      a->rows > UINT32_MAX - a->first_row)
    return PLR_ERR_LIMIT;
  plr__partition(ctx, a->rows * ((a->cols + 15) / 16), 1, 256, plr__vec(ctx)->gaussian, a);
  return PLR_OK;
}
