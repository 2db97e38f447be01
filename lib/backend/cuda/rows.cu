/* Reductions over a row: norms and cross-entropy. Half a warp is a row (lanes.h); its loads are 64 bytes wide and
 * lie together. */
#include "lanes.h"

#include "kernels/math_inline.h"

__global__ static void rmsnorm_kernel(plr_rmsnorm_args a) {
  int64_t row = row_of_thread(), first = row < a.rows ? lane_of_thread() : a.d;
  const float *x = a.x + row * a.d;
  float *y = a.y + row * a.d, sum = 0.0f;
  for (int64_t i = first; i < a.d; i += plr_lanes) sum = fmaf(x[i], x[i], sum);
  float inv = 1.0f / sqrtf(lanes_sum(sum) / (float)a.d + a.eps);
  if (first == 0) a.inv_rms[row] = inv;
  for (int64_t i = first; i < a.d; i += plr_lanes) {
    float v = x[i] * inv;
    y[i] = a.gain ? v * a.gain[i] : v;
  }
}

plr_status plr__cuda_rmsnorm(plr_cuda_device *d, const plr_rmsnorm_args *a) {
  if (a->rows < 0 || a->d <= 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->rows, plr_rows_per_block), plr_row_block, rmsnorm_kernel,
                    *a);
}

/* dy * gain of element i. */
__device__ static inline float scaled_gradient(const plr_rmsnorm_args &a, const float *dy,
                                               int64_t i) {
  return a.gain ? dy[i] * a.gain[i] : dy[i];
}

__global__ static void rmsnorm_dx_kernel(plr_rmsnorm_args a) {
  int64_t row = row_of_thread(), first = row < a.rows ? lane_of_thread() : a.d;
  const float *x = a.x + row * a.d, *dy = a.dy + row * a.d;
  float *dx = a.dx + row * a.d, sum = 0.0f;
  for (int64_t i = first; i < a.d; i += plr_lanes) sum = fmaf(scaled_gradient(a, dy, i), x[i], sum);
  float inv = row < a.rows ? a.inv_rms[row] : 0.0f;
  float c = lanes_sum(sum) * inv * inv / (float)a.d;
  for (int64_t i = first; i < a.d; i += plr_lanes) {
    float t = fmaf(-c, x[i], scaled_gradient(a, dy, i));
    dx[i] = a.accumulate_dx ? fmaf(inv, t, dx[i]) : inv * t;
  }
}

/* A thread is a column: one chain over the rows. */
__global__ static void rmsnorm_dgain_kernel(plr_rmsnorm_args a) {
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= a.d) return;
  float sum = a.dgain[i];
  for (int64_t row = 0; row < a.rows; row++)
    sum = fmaf(a.dy[row * a.d + i], a.x[row * a.d + i] * a.inv_rms[row], sum);
  a.dgain[i] = sum;
}

plr_status plr__cuda_rmsnorm_bwd(plr_cuda_device *d, const plr_rmsnorm_args *a) {
  if (a->rows < 0 || a->d <= 0) return PLR_ERR_INVALID_ARGUMENT;
  /* dgain first: dx may overwrite dy. Small blocks, so that few columns still fill the device. */
  if (a->dgain) PLR_TRY(plr_launch(d, plr_blocks_for(a->d, 32), 32, rmsnorm_dgain_kernel, *a));
  if (!a->dx) return PLR_OK;
  return plr_launch(d, plr_blocks_for(a->rows, plr_rows_per_block), plr_row_block,
                    rmsnorm_dx_kernel, *a);
}

__global__ static void layernorm_kernel(plr_layernorm_args a) {
  int64_t row = row_of_thread(), first = row < a.rows ? lane_of_thread() : a.d;
  const float *x = a.x + row * a.d;
  float *y = a.y + row * a.d, sum = 0.0f, square = 0.0f;
  for (int64_t i = first; i < a.d; i += plr_lanes) sum += x[i];
  float mean = lanes_sum(sum) / (float)a.d;
  for (int64_t i = first; i < a.d; i += plr_lanes) {
    float c = x[i] - mean;
    square = fmaf(c, c, square);
  }
  float inv = 1.0f / sqrtf(lanes_sum(square) / (float)a.d + a.eps);
  if (first == 0) {
    a.mean[row] = mean;
    a.inv_std[row] = inv;
  }
  for (int64_t i = first; i < a.d; i += plr_lanes) {
    float v = (x[i] - mean) * inv;
    if (a.gain) v = v * a.gain[i];
    y[i] = a.bias ? v + a.bias[i] : v;
  }
}

plr_status plr__cuda_layernorm(plr_cuda_device *d, const plr_layernorm_args *a) {
  if (a->rows < 0 || a->d <= 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->rows, plr_rows_per_block), plr_row_block,
                    layernorm_kernel, *a);
}

__global__ static void layernorm_dx_kernel(plr_layernorm_args a) {
  int64_t row = row_of_thread(), first = row < a.rows ? lane_of_thread() : a.d;
  const float *x = a.x + row * a.d, *dy = a.dy + row * a.d;
  float *dx = a.dx + row * a.d, sum = 0.0f, dot = 0.0f;
  float mean = row < a.rows ? a.mean[row] : 0.0f, inv = row < a.rows ? a.inv_std[row] : 0.0f;
  for (int64_t i = first; i < a.d; i += plr_lanes) {
    float g = a.gain ? dy[i] * a.gain[i] : dy[i];
    sum += g;
    dot = fmaf(g, (x[i] - mean) * inv, dot);
  }
  float average = lanes_sum(sum) / (float)a.d, c = lanes_sum(dot) / (float)a.d;
  for (int64_t i = first; i < a.d; i += plr_lanes) {
    float g = a.gain ? dy[i] * a.gain[i] : dy[i];
    float t = fmaf(-c, (x[i] - mean) * inv, g - average);
    dx[i] = a.accumulate_dx ? fmaf(inv, t, dx[i]) : inv * t;
  }
}

/* A thread is a column: one chain over the rows. */
__global__ static void layernorm_dgain_kernel(plr_layernorm_args a) {
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= a.d) return;
  float sum = a.dgain[i];
  for (int64_t row = 0; row < a.rows; row++)
    sum = fmaf(a.dy[row * a.d + i], (a.x[row * a.d + i] - a.mean[row]) * a.inv_std[row], sum);
  a.dgain[i] = sum;
}

__global__ static void bias_bwd_kernel(plr_bias_args a) {
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= a.d) return;
  float sum = a.dbias[i];
  for (int64_t row = 0; row < a.rows; row++) sum += a.dy[row * a.d + i];
  a.dbias[i] = sum;
}

plr_status plr__cuda_bias_bwd(plr_cuda_device *d, const plr_bias_args *a) {
  if (a->rows < 0 || a->d < 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->d, 32), 32, bias_bwd_kernel, *a);
}

plr_status plr__cuda_layernorm_bwd(plr_cuda_device *d, const plr_layernorm_args *a) {
  if (a->rows < 0 || a->d <= 0) return PLR_ERR_INVALID_ARGUMENT;
  const plr_bias_args bias = {nullptr, nullptr, nullptr, a->dy, a->dbias, a->rows, a->d};
  if (a->dgain) PLR_TRY(plr_launch(d, plr_blocks_for(a->d, 32), 32, layernorm_dgain_kernel, *a));
  if (a->dbias) PLR_TRY(plr__cuda_bias_bwd(d, &bias));
  if (!a->dx) return PLR_OK;
  return plr_launch(d, plr_blocks_for(a->rows, plr_rows_per_block), plr_row_block,
                    layernorm_dx_kernel, *a);
}

__global__ static void xent_kernel(plr_xent_args a, unsigned *bad_input) {
  int64_t row = row_of_thread();
  int64_t label = row < a.rows ? a.labels[row] : -1;
  if (label >= a.vocab) {
    atomicOr(bad_input, PLR_CUDA_BAD_ID);
    label = -1;
  }
  unsigned lane = lane_of_thread();
  float *x = a.logits + row * a.vocab, top = -INFINITY, sum = 0.0f;
  int64_t end = label >= 0 ? a.vocab : 0;
  for (int64_t i = lane; i < end; i += plr_lanes) top = top > x[i] ? top : x[i];
  top = lanes_max(top);
  /* Every element belongs to one thread from here on: its exponential takes its place. */
  float wanted = 0.0f;
  for (int64_t i = lane; i < end; i += plr_lanes) {
    float e = plr_exact_expf(x[i] - top);
    if (i == label) wanted = x[i] - top;
    if (a.with_grad) x[i] = e;
    sum += e;
  }
  sum = lanes_sum(sum);
  if (label >= 0 && label % plr_lanes == lane) a.loss[row] = plr_exact_logf(sum) - wanted;
  if (row < a.rows && label < 0 && lane == 0) a.loss[row] = 0.0f;
  if (row >= a.rows || !a.with_grad) return;
  float inv = 1.0f / sum;
  if (a.z_loss != 0.0f) inv *= fmaf(2.0f * a.z_loss, top + plr_exact_logf(sum), 1.0f);
  for (int64_t i = lane; i < a.vocab; i += plr_lanes) {
    float p = label >= 0 ? x[i] * inv : 0.0f;
    x[i] = label < 0 ? 0.0f : (i == label ? p - 1.0f : p) * a.scale;
  }
}

plr_status plr__cuda_xent(plr_cuda_device *d, const plr_xent_args *a) {
  if (a->rows < 0 || a->vocab <= 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->rows, plr_rows_per_block), plr_row_block, xent_kernel, *a,
                    d->bad_input);
}
