/* The exact part of averaging: what all ranks have gathered, summed in the order of the ranks. */
#include "cuda_int.h"

struct rank_weights { /* by value, in the kernel's arguments */
  float of[PLR_GROUP_MAX_RANKS];
};

__global__ static void ordered_sum_kernel(const float *gathered, rank_weights weights,
                                          uint32_t ranks, int64_t n, float *sum) {
  for (int k = 0; k < 4; k++) {
    int64_t i = (int64_t)blockIdx.x * plr_block_elements + k * (int)plr_block + threadIdx.x;
    if (i >= n) return;
    float chain = 0.0f;
    for (uint32_t r = 0; r < ranks; r++) chain = fmaf(weights.of[r], gathered[r * n + i], chain);
    sum[i] = chain;
  }
}

plr_status plr__cuda_ordered_sum(plr_cuda_device *d, const float *gathered, const float *weights,
                                 uint32_t ranks, int64_t n, float *sum) {
  rank_weights w = {};
  if (ranks > PLR_GROUP_MAX_RANKS) return PLR_ERR_LIMIT;
  for (uint32_t r = 0; r < ranks; r++) w.of[r] = weights[r];
  return plr_launch(d, plr_blocks_for(n, plr_block_elements), plr_block, ordered_sum_kernel,
                    gathered, w, ranks, n, sum);
}
