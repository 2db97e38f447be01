/* The matrix product: every element one chain of fused multiply-adds over increasing k, held in a register from the
 * first k to the last. Vectorised over elements, never over k: no split of k, no tensor cores.
 *
 * A block of 16 x 16 threads computes a tile of C; a thread has TM x TN elements of it, in groups of four neighbouring
 * rows and columns 64 apart. Slices of A and B pass through shared memory; while one is used, the next is already on
 * its way into registers. */
#include "cuda_int.h"

constexpr int depth = 16;           /* of a slice */
constexpr int64_t large_from = 128; /* tiles of 128 x 64 that make it worth using them */

/* A tile of T * 16 lines of one operand: rows of C (for A) or columns (for B). Element (line, p) is at
 * x[line * ld + p], or at x[p * ld + line] when the memory runs along the lines (Along). Neighbouring threads fetch
 * neighbouring memory; a thread's elements are `hop` lines, or steps of k, apart. */
template <int T, bool Along>
struct operand {
  static constexpr int tile = 16 * T;
  static constexpr int pitch =
      tile + 4; /* of a row in shared memory: aligned, and away from bank conflicts */
  static constexpr int each = tile * depth / (int)plr_block; /* elements a thread fetches */
  static constexpr int hop = (int)plr_block / (Along ? tile : depth);

  const float *at; /* the thread's first element of the next slice */
  int64_t slice_stride, hop_stride;
  int lines, line,
      p; /* lines: from the thread's first to the end of the matrix, or more than enough */

  __device__ operand(const float *x, int64_t ld, int64_t first, int64_t count) {
    int i = (int)threadIdx.x;
    line = Along ? i % tile : i / depth;
    p = Along ? i / tile : i % depth;
    lines = (int)(count - first < tile ? count - first : tile) - line;
    at = x + (Along ? p * ld + first + line : (first + line) * ld + p);
    slice_stride = Along ? depth * ld : depth;
    hop_stride = hop * ld;
  }

  /* left: steps of k from the slice on. Beyond the edges there is nothing; what is put there is never used. */
  __device__ void fetch(int64_t left, float out[each]) {
    const float *x = at;
    PLR_UNROLL
    for (int e = 0; e < each; e++, x += hop_stride) {
      bool inside = Along ? lines > 0 && left > p + e * hop : lines > e * hop && left > p;
      out[e] = inside ? *x : 0.0f;
    }
    at += slice_stride;
  }

  __device__ void put(const float in[each], float (*slice)[pitch]) const {
    PLR_UNROLL
    for (int e = 0; e < each; e++)
      if (Along)
        slice[p + e * hop][line] = in[e];
      else
        slice[p][line + e * hop] = in[e];
  }
};

/* Where a thread's i-th row or column is in the tile. */
__device__ static inline int spread(unsigned thread, int i) {
  return (int)thread * 4 + i / 4 * 64 + i % 4;
}

template <int TM, int TN>
__device__ static inline void step(const float *a, const float *b, unsigned ty, unsigned tx,
                                   float c[TM][TN]) {
  float x[TM], y[TN];
  PLR_UNROLL
  for (int i = 0; i < TM; i++) x[i] = a[spread(ty, i)];
  PLR_UNROLL
  for (int j = 0; j < TN; j++) y[j] = b[spread(tx, j)];
  PLR_UNROLL
  for (int i = 0; i < TM; i++) {
    PLR_UNROLL
    for (int j = 0; j < TN; j++) c[i][j] = fmaf(x[i], y[j], c[i][j]);
  }
}

/* AAlong: A is stored k x m. BAlong: B is stored k x n. */
template <int TM, int TN, bool AAlong, bool BAlong>
__global__ __launch_bounds__(plr_block, 2) static void matmul_kernel(plr_matmul_args g) {
  typedef operand<TM, AAlong> operand_a;
  typedef operand<TN, BAlong> operand_b;
  PLR_SHARED(float, a, [depth][operand_a::pitch]);
  PLR_SHARED(float, b, [depth][operand_b::pitch]);
  int64_t across = (g.n + operand_b::tile - 1) / operand_b::tile;
  int64_t row0 = blockIdx.x / across * operand_a::tile;
  int64_t col0 = blockIdx.x % across * operand_b::tile;
  unsigned ty = threadIdx.x / 16, tx = threadIdx.x % 16;
  operand_a from_a(g.a, g.lda, row0, g.m);
  operand_b from_b(g.b, g.ldb, col0, g.n);

  float c[TM][TN];
  PLR_UNROLL
  for (int i = 0; i < TM; i++) {
    PLR_UNROLL
    for (int j = 0; j < TN; j++) {
      int64_t row = row0 + spread(ty, i), col = col0 + spread(tx, j);
      bool resume = g.accumulate && row < g.m && col < g.n;
      c[i][j] = resume ? g.c[row * g.ldc + col] : 0.0f;
    }
  }

  float next_a[operand_a::each], next_b[operand_b::each];
  from_a.fetch(g.k, next_a);
  from_b.fetch(g.k, next_b);
  for (int64_t left = g.k; left > 0; left -= depth) {
    __syncthreads(); /* the slices have been used */
    from_a.put(next_a, a);
    from_b.put(next_b, b);
    __syncthreads();
    from_a.fetch(left - depth, next_a);
    from_b.fetch(left - depth, next_b);
    if (left >= depth) {
      PLR_UNROLL
      for (int p = 0; p < depth; p++) step<TM, TN>(a[p], b[p], ty, tx, c);
    } else {
      for (int p = 0; p < (int)left; p++) step<TM, TN>(a[p], b[p], ty, tx, c);
    }
  }

  PLR_UNROLL
  for (int i = 0; i < TM; i++) {
    PLR_UNROLL
    for (int j = 0; j < TN; j++) {
      int64_t row = row0 + spread(ty, i), col = col0 + spread(tx, j);
      if (row < g.m && col < g.n) g.c[row * g.ldc + col] = c[i][j];
    }
  }
}

template <int TM, int TN>
static plr_status launch_matmul(plr_cuda_device *d, const plr_matmul_args *g) {
  int64_t blocks = plr_blocks_for(g->m, 16 * TM) * plr_blocks_for(g->n, 16 * TN);
  switch (g->layout) {
  case PLR_MATMUL_NN:
    return plr_launch(d, blocks, plr_block, matmul_kernel<TM, TN, false, true>, *g);
  case PLR_MATMUL_NT:
    return plr_launch(d, blocks, plr_block, matmul_kernel<TM, TN, false, false>, *g);
  case PLR_MATMUL_TN:
    return plr_launch(d, blocks, plr_block, matmul_kernel<TM, TN, true, true>, *g);
  default:
    return PLR_ERR_INVALID_ARGUMENT;
  }
}

plr_status plr__cuda_matmul(plr_cuda_device *d, const plr_matmul_args *g) {
  if (g->layout > PLR_MATMUL_TN || g->m < 0 || g->n < 0 || g->k < 0)
    return PLR_ERR_INVALID_ARGUMENT;
  int64_t a_row = g->layout == PLR_MATMUL_TN ? g->m : g->k;
  int64_t b_row = g->layout == PLR_MATMUL_NT ? g->k : g->n;
  if (g->lda < a_row || g->ldb < b_row || g->ldc < g->n) return PLR_ERR_INVALID_ARGUMENT;
  int64_t largest = (int64_t)1 << 38;
  if (g->m > largest || g->n > largest || g->k > largest) return PLR_ERR_LIMIT;
  if (g->m == 0 || g->n == 0) return PLR_OK;
  if (plr_blocks_for(g->m, 16 * 4) > 0x7fffffff / plr_blocks_for(g->n, 16 * 4))
    return PLR_ERR_LIMIT;
  /* Large tiles use shared memory less; small ones keep more of a small product's device busy. */
  if (plr_blocks_for(g->m, 16 * 8) * plr_blocks_for(g->n, 16 * 4) >= large_from)
    return launch_matmul<8, 4>(d, g);
  return launch_matmul<4, 4>(d, g);
}
