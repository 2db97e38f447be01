/* What a step does to parameters: the norm of the gradient and AdamW. */
#include "lanes.h"

/* Half a warp is a segment. */
__global__ static void sumsq_kernel(plr_sumsq_args a, int64_t length, double *parts) {
  int64_t segment = row_of_thread(), begin = segment * length;
  int64_t end = begin + length < a.n ? begin + length : a.n;
  double sum = 0.0;
  for (int64_t i = begin + lane_of_thread(); i < end; i += plr_lanes) {
    double x = (double)a.x[i];
    sum = fma(x, x, sum);
  }
  sum = lanes_sum(sum);
  if (lane_of_thread() == 0) parts[segment] = sum;
}

__global__ static void sumsq_join_kernel(plr_sumsq_args a, const double *parts) {
  if (threadIdx.x > 0) return;
  double sum = 0.0;
  for (int i = 0; i < PLR_CUDA_SUMSQ_SEGMENTS; i++) sum += parts[i];
  /* A square of a float cannot overflow fp64, so a sum that is not finite had an element that was not. */
  bool finite = sum - sum == 0.0;
  a.out[0] = finite ? sum : (double)INFINITY;
  a.out[1] = finite ? 1.0 : 0.0;
}

plr_status plr__cuda_sumsq(plr_cuda_device *d, const plr_sumsq_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  constexpr int64_t segments = PLR_CUDA_SUMSQ_SEGMENTS, chunk = segments * plr_lanes;
  int64_t length = (a->n + chunk - 1) / chunk * plr_lanes;
  PLR_TRY(plr_launch(d, segments / plr_rows_per_block, plr_row_block, sumsq_kernel, *a, length,
                     d->sumsq_parts));
  return plr_launch(d, 1, 32, sumsq_join_kernel, *a, (const double *)d->sumsq_parts);
}

struct adamw_constants { /* computed once, on the host, in fp32 as the profile says */
  float rest1, rest2, scale1, scale2;
};

__global__ static void adamw_kernel(plr_adamw_args a, adamw_constants c) {
  for (int k = 0; k < 4; k++) {
    int64_t i = (int64_t)blockIdx.x * plr_block_elements + k * (int)plr_block + threadIdx.x;
    if (i >= a.n) return;
    float g = a.g[i] * a.grad_scale, w = a.w[i];
    float m = fmaf(a.beta1, a.m[i], c.rest1 * g);
    float v = fmaf(a.beta2, a.v[i], c.rest2 * g * g);
    float step = m * c.scale1 / (sqrtf(v * c.scale2) + a.eps);
    step = fmaf(a.weight_decay, w, step);
    a.w[i] = fmaf(-a.lr, step, w);
    a.m[i] = m;
    a.v[i] = v;
  }
}

plr_status plr__cuda_adamw(plr_cuda_device *d, const plr_adamw_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  adamw_constants c = {1.0f - a->beta1, 1.0f - a->beta2, 1.0f / a->correction1,
                       1.0f / a->correction2};
  return plr_launch(d, plr_blocks_for(a->n, plr_block_elements), plr_block, adamw_kernel, *a, c);
}
