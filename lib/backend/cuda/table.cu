/* Look-ups by id: embedding and its gradient, the token anchor. An id outside the table is left out, and reported
 * by the device's next read or synchronize. */
#include "cuda_int.h"

__device__ static inline bool id_ok(int32_t id, int64_t vocab, unsigned *bad_input) {
  if (id >= 0 && id < vocab) return true;
  atomicOr(bad_input, PLR_CUDA_BAD_ID);
  return false;
}

/* The k-th of a thread's four elements. */
__device__ static inline int64_t element(int k) {
  return (int64_t)blockIdx.x * plr_block_elements + k * (int)plr_block + threadIdx.x;
}

__global__ static void row_add_kernel(plr_row_add_args a, unsigned *bad_input) {
  for (int k = 0; k < 4; k++) {
    int64_t i = element(k);
    if (i >= a.rows * a.d) return;
    int32_t id = a.ids[i / a.d];
    if (id_ok(id, a.vocab, bad_input)) a.y[i] = fmaf(a.sign, a.table[id * a.d + i % a.d], a.x[i]);
  }
}

plr_status plr__cuda_row_add(plr_cuda_device *d, const plr_row_add_args *a) {
  if (a->rows < 0 || a->d < 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->rows * a->d, plr_block_elements), plr_block,
                    row_add_kernel, *a, d->bad_input);
}

__global__ static void embed_kernel(plr_embed_args a, unsigned *bad_input) {
  for (int k = 0; k < 4; k++) {
    int64_t i = element(k);
    if (i >= a.rows * a.w) return;
    int32_t id = a.ids[i / a.w];
    if (id_ok(id, a.vocab, bad_input)) a.y[i] = a.table[id * a.w + i % a.w];
  }
}

plr_status plr__cuda_embed(plr_cuda_device *d, const plr_embed_args *a) {
  if (a->rows < 0 || a->w < 0) return PLR_ERR_INVALID_ARGUMENT;
  return plr_launch(d, plr_blocks_for(a->rows * a->w, plr_block_elements), plr_block, embed_kernel,
                    *a, d->bad_input);
}

/* A table row is summed by the threads of one block alone, in the order of the rows: block (slice, columns) has the
 * ids that are `slice` modulo the number of slices. No atomics, and enough blocks for a narrow model too. */
constexpr unsigned embed_columns = 128;
constexpr unsigned embed_slices = 16;

__global__ static void embed_bwd_kernel(plr_embed_args a, unsigned *bad_input) {
  PLR_SHARED(int32_t, ids, [embed_columns]);
  int slice = (int)(blockIdx.x % embed_slices);
  int64_t column = (int64_t)(blockIdx.x / embed_slices) * embed_columns + threadIdx.x;
  for (int64_t first = 0; first < a.rows; first += embed_columns) {
    int64_t left = a.rows - first, count = left < embed_columns ? left : embed_columns;
    if (threadIdx.x < count) {
      int32_t id = a.ids[first + threadIdx.x];
      ids[threadIdx.x] = id_ok(id, a.vocab, bad_input) ? id : -1;
    }
    __syncthreads();
    for (int64_t r = 0; r < count && column < a.w; r++)
      if (ids[r] >= 0 && ids[r] % (int)embed_slices == slice)
        a.dtable[ids[r] * a.w + column] += a.dy[(first + r) * a.w + column];
    __syncthreads();
  }
}

plr_status plr__cuda_embed_bwd(plr_cuda_device *d, const plr_embed_args *a) {
  if (a->rows < 0 || a->w < 0) return PLR_ERR_INVALID_ARGUMENT;
  int64_t blocks = a->rows ? plr_blocks_for(a->w, embed_columns) * embed_slices : 0;
  return plr_launch(d, blocks, embed_columns, embed_bwd_kernel, *a, d->bad_input);
}
