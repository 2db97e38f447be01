/* What the files of the CUDA plugin share. Kernel files (.cu) are also compiled as C++ for the CPU by
 * tests/emulation, so they launch through cudaLaunchKernelEx and declare shared memory with PLR_SHARED. */
#ifndef PLR_CUDA_CUDA_INT_H
#define PLR_CUDA_CUDA_INT_H

#include <cuda_runtime.h>

extern "C" {
#include "backend/plugin.h"
}

/* `__shared__ type name dims`, one for each block, 16-byte aligned. */
#if defined(__CUDACC__)
#define PLR_SHARED(type, name, dims) __shared__ __align__(16) type name dims
#define PLR_UNROLL                   _Pragma("unroll")
#else
#define PLR_SHARED(type, name, dims) auto &name = EMULATION_SHARED(type dims)
#define PLR_UNROLL
#endif

/* Bits of plr_cuda_device.bad_input. */
#define PLR_CUDA_BAD_ID 1u

#define PLR_CUDA_SUMSQ_SEGMENTS 64

struct plr_cuda_device {
  plr_device base;
  const plr_plugin_host *host;
  int ordinal;
  cudaStream_t stream; /* everything runs on it, in order */
  unsigned *bad_input; /* device memory: set by kernels, read with the next read or synchronize */
  double *sumsq_parts; /* device memory */
};

/* X(name, OP, args): every operation the device has, as kernels/ops.h lists them. */
#define PLR_CUDA_OPS(X)                                                                            \
  X(fill, FILL, plr_fill_args)                                                                     \
  X(add, ADD, plr_add_args)                                                                        \
  X(mul, MUL, plr_add_args)                                                                        \
  X(scale, SCALE, plr_scale_args)                                                                  \
  X(bias, BIAS, plr_bias_args)                                                                     \
  X(bias_bwd, BIAS_BWD, plr_bias_args)                                                             \
  X(row_add, ROW_ADD, plr_row_add_args)                                                            \
  X(matmul, MATMUL, plr_matmul_args)                                                               \
  X(rmsnorm, RMSNORM, plr_rmsnorm_args)                                                            \
  X(rmsnorm_bwd, RMSNORM_BWD, plr_rmsnorm_args)                                                    \
  X(layernorm, LAYERNORM, plr_layernorm_args)                                                      \
  X(layernorm_bwd, LAYERNORM_BWD, plr_layernorm_args)                                              \
  X(rope_table, ROPE_TABLE, plr_rope_table_args)                                                   \
  X(rope, ROPE, plr_rope_args)                                                                     \
  X(attention, ATTENTION, plr_attention_args)                                                      \
  X(attention_bwd, ATTENTION_BWD, plr_attention_args)                                              \
  X(swiglu, SWIGLU, plr_swiglu_args)                                                               \
  X(swiglu_bwd, SWIGLU_BWD, plr_swiglu_args)                                                       \
  X(act, ACT, plr_act_args)                                                                        \
  X(act_bwd, ACT_BWD, plr_act_args)                                                                \
  X(embed, EMBED, plr_embed_args)                                                                  \
  X(embed_bwd, EMBED_BWD, plr_embed_args)                                                          \
  X(xent, XENT, plr_xent_args)                                                                     \
  X(sumsq, SUMSQ, plr_sumsq_args)                                                                  \
  X(adamw, ADAMW, plr_adamw_args)                                                                  \
  X(gaussian, GAUSSIAN, plr_gaussian_args)                                                         \
  X(quantise, QUANTISE, plr_quantise_args)                                                         \
  X(dequantise, DEQUANTISE, plr_quantise_args)

/* Checks the sizes and queues the kernels. */
#define PLR_CUDA_PROTOTYPE(name, op, args)                                                         \
  plr_status plr__cuda_##name(plr_cuda_device *d, const args *a);
PLR_CUDA_OPS(PLR_CUDA_PROTOTYPE)
#undef PLR_CUDA_PROTOTYPE

size_t plr__cuda_attention_bwd_workspace(const plr_attention_args *a);

/* sum (n values) becomes the ordered, weighted sum of ranks x n gathered values. */
plr_status plr__cuda_ordered_sum(plr_cuda_device *d, const float *gathered, const float *weights,
                                 uint32_t ranks, int64_t n, float *sum);

/* Whether the device computes as the profile says, tried on what compilers and devices get wrong. */
plr_status plr__cuda_selftest(plr_cuda_device *d, plr_error *err);

/* A CUDA error as a status; the text goes to the context's log. */
plr_status plr__cuda_status(plr_cuda_device *d, cudaError_t error);
plr_status plr__cuda_fail(plr_error *err, plr_status st, const char *format, ...);

plr_status plr__cuda_group_id(uint8_t id[PLR_GROUP_ID_BYTES], plr_error *err);
plr_status plr__cuda_group_create(plr_device *device, const uint8_t id[PLR_GROUP_ID_BYTES],
                                  uint32_t rank, uint32_t ranks, plr_device_group **out,
                                  plr_error *err);
plr_status plr__cuda_group_average(plr_device_group *group, float *x, int64_t n,
                                   const float *weights);
void plr__cuda_group_destroy(plr_device_group *group);

/* ---- launching -------------------------------------------------------------------------------- */

constexpr unsigned plr_block =
    256; /* threads of a block, where nothing speaks for another number */

/* Elements a block of plr_block threads covers, each thread four of them, plr_block apart. */
constexpr int64_t plr_block_elements = 4 * plr_block;

static inline int64_t plr_blocks_for(int64_t n, int64_t per_block) {
  return (n + per_block - 1) / per_block;
}

/* Nothing to do is fine. */
template <class... P, class... A>
plr_status plr_launch(plr_cuda_device *d, int64_t blocks, unsigned threads, void (*kernel)(P...),
                      A... args) {
  if (blocks == 0) return PLR_OK;
  if (blocks < 0 || blocks > 0x7fffffff) return PLR_ERR_LIMIT;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3((unsigned)blocks);
  config.blockDim = dim3(threads);
  config.stream = d->stream;
  return plr__cuda_status(d, cudaLaunchKernelEx(&config, kernel, args...));
}

#endif
