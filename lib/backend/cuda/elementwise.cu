/* Each element on its own: fill, sums and products, activations, rotation. */
#include "cuda_int.h"

#include "kernels/math_inline.h"

/* The k-th of a thread's four elements. */
__device__ static inline int64_t element(int k) {
  return (int64_t)blockIdx.x * plr_block_elements + k * (int)plr_block + threadIdx.x;
}

__global__ static void fill_kernel(plr_fill_args a) {
  for (int k = 0; k < 4; k++)
    if (element(k) < a.n) a.y[element(k)] = a.value;
}

plr_status plr__cuda_fill(plr_cuda_device *d, const plr_fill_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->n, plr_block_elements), plr_block, fill_kernel, *a);
}

__global__ static void add_kernel(plr_add_args a) {
  for (int k = 0; k < 4; k++)
    if (element(k) < a.n) a.y[element(k)] = a.a[element(k)] + a.b[element(k)];
}

plr_status plr__cuda_add(plr_cuda_device *d, const plr_add_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->n, plr_block_elements), plr_block, add_kernel, *a);
}

__global__ static void mul_kernel(plr_add_args a) {
  for (int k = 0; k < 4; k++)
    if (element(k) < a.n) a.y[element(k)] = a.a[element(k)] * a.b[element(k)];
}

plr_status plr__cuda_mul(plr_cuda_device *d, const plr_add_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->n, plr_block_elements), plr_block, mul_kernel, *a);
}

__global__ static void scale_kernel(plr_scale_args a) {
  for (int k = 0; k < 4; k++)
    if (element(k) < a.n) a.y[element(k)] = a.x[element(k)] * a.by;
}

plr_status plr__cuda_scale(plr_cuda_device *d, const plr_scale_args *a) {
  if (a->n < 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->n, plr_block_elements), plr_block, scale_kernel, *a);
}

__global__ static void bias_kernel(plr_bias_args a) {
  for (int k = 0; k < 4; k++) {
    int64_t i = element(k);
    if (i < a.rows * a.d) a.y[i] = a.x[i] + a.bias[i % a.d];
  }
}

plr_status plr__cuda_bias(plr_cuda_device *d, const plr_bias_args *a) {
  if (a->rows < 0 || a->d < 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->rows * a->d, plr_block_elements), plr_block, bias_kernel,
                    *a);
}

__device__ static inline float sigmoid(float x) {
  return 1.0f / (1.0f + plr_exact_expf(-x));
}

__global__ static void swiglu_kernel(plr_swiglu_args a) {
  for (int k = 0; k < 4; k++) {
    int64_t i = element(k);
    if (i >= a.rows * a.f) return;
    int64_t at = i / a.f * a.ldg + i % a.f;
    float gate = a.gate[at];
    a.h[i] = gate * sigmoid(gate) * a.up[at];
  }
}

__global__ static void swiglu_bwd_kernel(plr_swiglu_args a) {
  for (int k = 0; k < 4; k++) {
    int64_t i = element(k);
    if (i >= a.rows * a.f) return;
    int64_t at = i / a.f * a.ldg + i % a.f;
    float gate = a.gate[at], up = a.up[at], dh = a.dh[i];
    float s = sigmoid(gate), silu = gate * s;
    a.dgate[at] = dh * up * fmaf(silu, 1.0f - s, s);
    a.dup[at] = dh * silu;
  }
}

static int swiglu_sizes_ok(const plr_swiglu_args *a) {
  return a->rows >= 0 && a->f >= 0 && a->ldg >= a->f;
}

plr_status plr__cuda_swiglu(plr_cuda_device *d, const plr_swiglu_args *a) {
  if (!swiglu_sizes_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->rows * a->f, plr_block_elements), plr_block, swiglu_kernel,
                    *a);
}

plr_status plr__cuda_swiglu_bwd(plr_cuda_device *d, const plr_swiglu_args *a) {
  if (!swiglu_sizes_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->rows * a->f, plr_block_elements), plr_block,
                    swiglu_bwd_kernel, *a);
}

__device__ static inline float act(uint32_t kind, float x) {
  float shape, size = x > -x ? x : -x, positive = x > 0.0f ? x : 0.0f;
  switch (kind) {
  case PLR_ACT_SILU:
    return x * sigmoid(x);
  case PLR_ACT_GELU:
    return fmaf(-size, plr_exact_tailf(size, &shape), positive);
  case PLR_ACT_GELU_TANH:
    return x * sigmoid(x * fmaf(x * x, PLR_GELU_C3_F, PLR_GELU_C1_F));
  default:
    return positive * positive;
  }
}

__device__ static inline float act_slope(uint32_t kind, float x) {
  float shape, size = x > -x ? x : -x, positive = x > 0.0f ? x : 0.0f, s, tail;
  switch (kind) {
  case PLR_ACT_SILU:
    s = sigmoid(x);
    return fmaf(x * s, 1.0f - s, s);
  case PLR_ACT_GELU:
    tail = plr_exact_tailf(size, &shape);
    s = fmaf(-size, shape * PLR_DENSITY_F, tail);
    return x > 0.0f ? 1.0f - s : s;
  case PLR_ACT_GELU_TANH:
    s = sigmoid(x * fmaf(x * x, PLR_GELU_C3_F, PLR_GELU_C1_F));
    return fmaf(x * s * (1.0f - s), fmaf(x * x, 3.0f * PLR_GELU_C3_F, PLR_GELU_C1_F), s);
  default:
    return positive + positive;
  }
}

__global__ static void act_kernel(plr_act_args a) {
  for (int k = 0; k < 4; k++)
    if (element(k) < a.n) a.y[element(k)] = act(a.kind, a.x[element(k)]);
}

__global__ static void act_bwd_kernel(plr_act_args a) {
  for (int k = 0; k < 4; k++)
    if (element(k) < a.n) a.dx[element(k)] = a.dy[element(k)] * act_slope(a.kind, a.x[element(k)]);
}

static int act_ok(const plr_act_args *a) {
  return a->n >= 0 && a->kind >= PLR_ACT_SILU && a->kind <= PLR_ACT_RELU2;
}

plr_status plr__cuda_act(plr_cuda_device *d, const plr_act_args *a) {
  if (!act_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->n, plr_block_elements), plr_block, act_kernel, *a);
}

plr_status plr__cuda_act_bwd(plr_cuda_device *d, const plr_act_args *a) {
  if (!act_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->n, plr_block_elements), plr_block, act_bwd_kernel, *a);
}

/* An element is a pair: (row, head, i) with i below head_dim / 2. */
__global__ static void rope_kernel(plr_rope_args a) {
  int64_t half = a.head_dim / 2, per_row = a.heads * half;
  for (int k = 0; k < 4; k++) {
    int64_t pair = element(k);
    if (pair >= a.rows * per_row) return;
    int64_t row = pair / per_row, head = pair % per_row / half, i = pair % half;
    float *low = a.x + row * a.ldx + head * a.head_dim + i, *high = low + half;
    int64_t position = a.positions ? a.positions[row] : row % a.seq;
    float c = a.cos[position * half + i], s = a.sign * a.sin[position * half + i];
    float x = *low, y = *high;
    *low = fmaf(-y, s, x * c);
    *high = fmaf(x, s, y * c);
  }
}

plr_status plr__cuda_rope(plr_cuda_device *d, const plr_rope_args *a) {
  if (a->rows < 0 || a->seq <= 0 || a->heads < 0 || a->head_dim <= 0 || a->head_dim % 2 ||
      a->ldx < a->heads * a->head_dim)
    return PLR_ERR_INVALID_ARGUMENT;
  int64_t pairs = a->rows * a->heads * (a->head_dim / 2);
  return plr_launch(d, plr_blocks_for(pairs, plr_block_elements), plr_block, rope_kernel, *a);
}
