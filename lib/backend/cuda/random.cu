/* Computed in fp64 and rounded once: normal numbers and the table of rotary positions. */
#include "cuda_int.h"

#include "kernels/rope_inline.h"

/* Philox4x32-10 (Salmon et al., SC'11), as base has it. */
__device__ static inline void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
    c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
    c[1] = (uint32_t)p1;
    c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
    c[3] = (uint32_t)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

__device__ static inline double uniform(uint32_t word) {
  return ((double)(word >> 9) + 0.5) * 0x1p-23;
}

/* A thread makes two neighbouring columns of a row: the cosine and the sine of one pair. */
__global__ static void gaussian_kernel(plr_gaussian_args a, int64_t pairs_per_row) {
  int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= a.rows * pairs_per_row) return;
  int64_t row = at / pairs_per_row, i = at % pairs_per_row * 2;
  uint32_t c[4] = {(uint32_t)(i / 4), (uint32_t)(a.first_row + row), a.stream, 0};
  philox(c, (uint32_t)a.seed, (uint32_t)(a.seed >> 32));
  bool second = i % 4 != 0;
  double u = uniform(second ? c[2] : c[0]), v = uniform(second ? c[3] : c[1]), sine, cosine;
  double radius = sqrt(-2.0 * plr_exact_ln(u));
  plr_exact_sincos(v * PLR_TAU, &sine, &cosine);
  float *y = a.y + row * a.cols + i;
  y[0] = (float)(radius * cosine) * a.std;
  if (i + 1 < a.cols) y[1] = (float)(radius * sine) * a.std;
}

plr_status plr__cuda_gaussian(plr_cuda_device *d, const plr_gaussian_args *a) {
  if (a->rows < 0 || a->cols < 0 || a->first_row < 0) return PLR_ERR_INVALID_ARGUMENT;
  /* Rows and blocks of four columns are 32-bit counter words. */
  if (a->cols > INT64_C(0x3FFFFFFFC) || a->first_row > (int64_t)UINT32_MAX ||
      a->rows > (int64_t)UINT32_MAX - a->first_row)
    return PLR_ERR_LIMIT;
  int64_t pairs = (a->cols + 1) / 2;
  return plr_launch(d, plr_blocks_for(a->rows * pairs, plr_block), plr_block, gaussian_kernel, *a,
                    pairs);
}

/* A thread is a pair at a position. */
__global__ static void rope_table_kernel(plr_rope_table_args a) {
  int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, half = a.head_dim / 2;
  if (at >= a.positions * half) return;
  double frequency = plr_rope_frequency(&a, at % half), size = plr_rope_size(&a), sine, cosine;
  plr_exact_sincos((double)(a.first_position + at / half) * frequency, &sine, &cosine);
  a.cos[at] = (float)(cosine * size);
  a.sin[at] = (float)(sine * size);
}

plr_status plr__cuda_rope_table(plr_cuda_device *d, const plr_rope_table_args *a) {
  PLR_TRY(plr_rope_table_check(a));
  return plr_launch(d, plr_blocks_for(a->positions * (a->head_dim / 2), plr_block), plr_block,
                    rope_table_kernel, *a);
}
