/* What the forward and the backward of attention share: scores of a few rows against many.
 *
 * A block has 16 x 16 threads: `thread_row` chooses one of 16 rows (queries, or in the key gradients keys), and
 * `thread_lane` the columns lane, lane + 16, ... of a tile of 64. A tile starts at a multiple of 16, so a thread's
 * columns all belong to its own lane of the 16-lane rule, and the 16 threads of a row are the 16 lanes. */
#ifndef PLR_CUDA_ATTENTION_INT_H
#define PLR_CUDA_ATTENTION_INT_H

#include "lanes.h"

#include "kernels/math_inline.h"

constexpr int attention_rows = 16;
constexpr int attention_columns = 64;
constexpr int attention_each = attention_columns / (int)plr_lanes; /* columns of a thread */
constexpr int attention_slice = 32; /* head dimensions that pass through shared memory at once */
constexpr int attention_dims = 128; /* output dimensions of a block; wider heads take several */
constexpr int attention_out = attention_dims / (int)plr_lanes; /* of a thread */
constexpr int attention_turn = 16; /* columns whose vectors are in shared memory at once */

constexpr int64_t attention_max_dim = 1024;

typedef float attention_row_slice[attention_rows][attention_slice + 1];
typedef float attention_column_slice[attention_columns][attention_slice + 1];
typedef float attention_weights[attention_rows][attention_columns + 1];
typedef float attention_vectors[attention_turn][attention_dims];

struct attention_matrix { /* rows x head_dim of one head, as it lies in memory */
  const float *x;
  int64_t ld;
};

__device__ static inline int thread_row() {
  return (int)(threadIdx.x / plr_lanes);
}

__device__ static inline int thread_lane() {
  return (int)(threadIdx.x % plr_lanes);
}

/* `lines` lines of `slice`, from the matrix's line `first` on; zero beyond the end of the sequence. */
template <int Lines>
__device__ static inline void load_slice(float (*slice)[attention_slice + 1], attention_matrix m,
                                         int64_t first, int64_t seq, int64_t dim, int64_t dims) {
  for (int i = (int)threadIdx.x; i < Lines * attention_slice; i += (int)plr_block) {
    int line = i / attention_slice, k = i % attention_slice;
    bool inside = first + line < seq && dim + k < dims;
    slice[line][k] = inside ? m.x[(first + line) * m.ld + dim + k] : 0.0f;
  }
}

/* s[c] = the chain over the head's dimensions of row (row0 + thread_row) times column (col0 + lane + 16 c). */
__device__ static inline void row_scores(attention_matrix rows, int64_t row0,
                                         attention_matrix columns, int64_t col0, int64_t seq,
                                         int64_t dims, attention_row_slice &r,
                                         attention_column_slice &q, float s[attention_each]) {
  PLR_UNROLL
  for (int c = 0; c < attention_each; c++) s[c] = 0.0f;
  for (int64_t dim = 0; dim < dims; dim += attention_slice) {
    __syncthreads(); /* the slices have been used */
    load_slice<attention_rows>(r, rows, row0, seq, dim, dims);
    load_slice<attention_columns>(q, columns, col0, seq, dim, dims);
    __syncthreads();
    int count = dims - dim < attention_slice ? (int)(dims - dim) : attention_slice;
    for (int k = 0; k < count; k++) {
      PLR_UNROLL
      for (int c = 0; c < attention_each; c++)
        s[c] = fmaf(r[thread_row()][k], q[thread_lane() + c * (int)plr_lanes][k], s[c]);
    }
  }
}

/* The attention_turn lines from `first` on, dimensions [dim, dim + attention_dims). */
__device__ static inline void load_vectors(attention_vectors &v, attention_matrix m, int64_t first,
                                           int64_t seq, int64_t dim, int64_t dims) {
  for (int i = (int)threadIdx.x; i < attention_turn * attention_dims; i += (int)plr_block) {
    int line = i / attention_dims, k = i % attention_dims;
    bool inside = first + line < seq && dim + k < dims;
    v[line][k] = inside ? m.x[(first + line) * m.ld + dim + k] : 0.0f;
  }
}

/* Writes a thread's elements of one line: dimensions dim + lane + 16 c. */
__device__ static inline void store_line(float *x, int64_t dim, int64_t dims,
                                         const float out[attention_out], float factor) {
  PLR_UNROLL
  for (int c = 0; c < attention_out; c++) {
    int64_t k = dim + thread_lane() + c * (int64_t)plr_lanes;
    if (k < dims) x[k] = out[c] * factor;
  }
}

/* What a block works on: (part of the dimensions, tile of rows, head, sequence), the first varying fastest. */
struct attention_block {
  int64_t dim, row0, head, b;
  __device__ attention_block(const plr_attention_args &a, int64_t heads) {
    int64_t parts = (a.head_dim + attention_dims - 1) / attention_dims;
    int64_t tiles = (a.seq + attention_rows - 1) / attention_rows, i = blockIdx.x;
    dim = i % parts * attention_dims;
    row0 = i / parts % tiles * attention_rows;
    head = i / parts / tiles % heads;
    b = i / parts / tiles / heads;
  }
};

/* The first key that query t sees, and the tile of columns it is in. */
__device__ static inline int64_t first_key(const plr_attention_args &a, int64_t t) {
  return a.window && t >= (int64_t)a.window ? t - (int64_t)a.window + 1 : 0;
}

__device__ static inline int64_t first_tile(const plr_attention_args &a, int64_t t) {
  return first_key(a, t) / attention_columns * attention_columns;
}

static inline int64_t attention_blocks(const plr_attention_args *a, int64_t heads) {
  return plr_blocks_for(a->head_dim, attention_dims) * plr_blocks_for(a->seq, attention_rows) *
         heads * a->batch;
}

plr_status plr__cuda_attention_check(const plr_attention_args *a);

#endif
