/* The 16-lane rule of EXACT.md on a GPU: half a warp is one row, a thread is one lane.
 *
 * The tree joins lane l with l + 8, then + 4, + 2, + 1. With an exchange by exclusive-or every thread ends with
 * the tree's value: a sum does not depend on the order of its two operands, and a maximum takes the lower lane as
 * its left one. All 32 threads of the warp must call these. */
#ifndef PLR_CUDA_LANES_H
#define PLR_CUDA_LANES_H

#include "cuda_int.h"

constexpr unsigned plr_lanes = 16;

/* Blocks of the row kernels: eight rows. */
constexpr unsigned plr_row_block = 128;
constexpr int64_t plr_rows_per_block = plr_row_block / plr_lanes;

__device__ static inline int64_t row_of_thread() {
  return (int64_t)blockIdx.x * plr_rows_per_block + threadIdx.x / plr_lanes;
}

__device__ static inline unsigned lane_of_thread() {
  return threadIdx.x % plr_lanes;
}

template <class T>
__device__ static inline T lanes_sum(T x) {
  PLR_UNROLL
  for (int half = 8; half > 0; half /= 2) x += __shfl_xor_sync(0xffffffffu, x, half);
  return x;
}

__device__ static inline float lanes_max(float x) {
  PLR_UNROLL
  for (unsigned half = 8; half > 0; half /= 2) {
    float other = __shfl_xor_sync(0xffffffffu, x, half);
    float low = lane_of_thread() & half ? other : x, high = lane_of_thread() & half ? x : other;
    x = low > high ? low : high;
  }
  return x;
}

#endif
