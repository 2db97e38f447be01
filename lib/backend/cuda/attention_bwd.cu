/* Causal attention, backward. First delta, the product of each output row with its gradient, into the workspace;
 * then the gradient of the queries, a block having 16 queries; then those of the keys and values, a block having
 * 16 keys and walking over the heads of the group and their queries in the order of the chain. */
#include "attention_int.h"

/* Half a warp is a row: (sequence, head, query). */
__global__ static void attention_delta_kernel(plr_attention_args a, float *delta) {
  int64_t i = row_of_thread(), rows = a.batch * a.heads * a.seq;
  int64_t t = i % a.seq, head = i / a.seq % a.heads, b = i / a.seq / a.heads;
  int64_t at = (b * a.seq + t) * a.ldo + head * a.head_dim;
  float sum = 0.0f;
  for (int64_t k = i < rows ? lane_of_thread() : a.head_dim; k < a.head_dim; k += plr_lanes)
    sum = fmaf(a.dout[at + k], a.out[at + k], sum);
  sum = lanes_sum(sum);
  if (i < rows && lane_of_thread() == 0) delta[i] = sum;
}

struct attention_statistics { /* of one query, kept by the forward pass or computed above */
  float top, inv, delta;
};

__device__ static inline attention_statistics
statistics_of(const plr_attention_args &a, const float *delta, int64_t b, int64_t head, int64_t t) {
  int64_t i = (b * a.heads + head) * a.seq + t;
  attention_statistics s = {a.row_max[i], 1.0f / a.row_sum[i], delta[i]};
  return s;
}

/* The probability of a score, and the gradient of the unscaled score from that of the probability. */
__device__ static inline float probability(const plr_attention_args &a, attention_statistics s,
                                           float score) {
  return plr_exact_expf(score * a.scale - s.top) * s.inv;
}

__device__ static inline float score_gradient(const plr_attention_args &a, attention_statistics s,
                                              float p, float g) {
  return p * (g - s.delta) * a.scale;
}

__global__ __launch_bounds__(plr_block, 2) static void attention_dq_kernel(plr_attention_args a,
                                                                           const float *delta) {
  PLR_SHARED(attention_row_slice, rows, );
  PLR_SHARED(attention_column_slice, columns, );
  PLR_SHARED(attention_weights, gradient, );
  PLR_SHARED(attention_vectors, keys_turn, );
  attention_block at(a, a.heads);
  int64_t row = at.b * a.seq, head = at.head * a.head_dim;
  int64_t kv = at.head / (a.heads / a.kv_heads) * a.head_dim;
  attention_matrix q = {a.q + row * a.ldq + head, a.ldq}, k = {a.k + row * a.ldk + kv, a.ldk};
  attention_matrix v = {a.v + row * a.ldv + kv, a.ldv}, dout = {a.dout + row * a.ldo + head, a.ldo};
  int64_t last = at.row0 + attention_rows, keys = last < a.seq ? last : a.seq;
  int64_t t = at.row0 + thread_row() < a.seq ? at.row0 + thread_row() : -1;
  attention_statistics st = {0.0f, 0.0f, 0.0f};
  if (t >= 0) st = statistics_of(a, delta, at.b, at.head, t);

  float s[attention_each], g[attention_each], dq[attention_out];
  PLR_UNROLL
  for (int c = 0; c < attention_out; c++) dq[c] = 0.0f;
  int64_t first = first_key(a, t);
  for (int64_t j0 = first_tile(a, at.row0); j0 < keys; j0 += attention_columns) {
    row_scores(q, at.row0, k, j0, a.seq, a.head_dim, rows, columns, s);
    row_scores(dout, at.row0, v, j0, a.seq, a.head_dim, rows, columns, g);
    PLR_UNROLL
    for (int c = 0; c < attention_each; c++) {
      int column = thread_lane() + c * (int)plr_lanes;
      if (j0 + column >= first && j0 + column <= t)
        gradient[thread_row()][column] = score_gradient(a, st, probability(a, st, s[c]), g[c]);
    }
    for (int turn = 0; turn < attention_columns && j0 + turn < keys; turn += attention_turn) {
      __syncthreads();
      load_vectors(keys_turn, k, j0 + turn, a.seq, at.dim, a.head_dim);
      __syncthreads();
      for (int j = 0; j < attention_turn && j0 + turn + j <= t; j++) {
        if (j0 + turn + j < first) continue;
        float x = gradient[thread_row()][turn + j];
        PLR_UNROLL
        for (int c = 0; c < attention_out; c++)
          dq[c] = fmaf(x, keys_turn[j][thread_lane() + c * (int)plr_lanes], dq[c]);
      }
    }
  }
  if (t >= 0) store_line(a.dq + (row + t) * a.ldq + head, at.dim, a.head_dim, dq, 1.0f);
}

/* The chains of the thread's key go on over the queries of one head, from the block's first key on. */
struct key_chains {
  float dk[attention_out], dv[attention_out];
};

struct key_tiles { /* shared memory */
  attention_row_slice &rows;
  attention_column_slice &columns;
  attention_weights &gradient, &weight;
  attention_vectors &queries, &douts;
};

__device__ static inline void key_head(const plr_attention_args &a, const float *delta,
                                       const attention_block &at, int64_t head, key_tiles &tile,
                                       key_chains &chain) {
  int64_t row = at.b * a.seq, kv = at.head * a.head_dim, dims = a.head_dim;
  attention_matrix q = {a.q + row * a.ldq + head * dims, a.ldq};
  attention_matrix dout = {a.dout + row * a.ldo + head * dims, a.ldo};
  attention_matrix k = {a.k + row * a.ldk + kv, a.ldk}, v = {a.v + row * a.ldv + kv, a.ldv};
  int64_t j = at.row0 + thread_row(), last = a.seq, row_last = a.seq; /* of the block, of the row */
  if (a.window && j + (int64_t)a.window < a.seq) row_last = j + (int64_t)a.window;
  if (a.window && at.row0 + attention_rows - 1 + (int64_t)a.window < a.seq)
    last = at.row0 + attention_rows - 1 + (int64_t)a.window;
  float s[attention_each], g[attention_each];
  for (int64_t t0 = at.row0; t0 < last; t0 += attention_columns) {
    row_scores(k, at.row0, q, t0, a.seq, dims, tile.rows, tile.columns, s);
    row_scores(v, at.row0, dout, t0, a.seq, dims, tile.rows, tile.columns, g);
    PLR_UNROLL
    for (int c = 0; c < attention_each; c++) {
      int column = thread_lane() + c * (int)plr_lanes;
      int64_t t = t0 + column;
      if (t < j || t >= row_last) continue;
      attention_statistics st = statistics_of(a, delta, at.b, head, t);
      float p = probability(a, st, s[c]);
      tile.weight[thread_row()][column] = p;
      tile.gradient[thread_row()][column] = score_gradient(a, st, p, g[c]);
    }
    for (int turn = 0; turn < attention_columns && t0 + turn < last; turn += attention_turn) {
      __syncthreads();
      load_vectors(tile.queries, q, t0 + turn, a.seq, at.dim, dims);
      load_vectors(tile.douts, dout, t0 + turn, a.seq, at.dim, dims);
      __syncthreads();
      for (int i = 0; i < attention_turn && t0 + turn + i < row_last; i++) {
        if (t0 + turn + i < j) continue;
        float x = tile.gradient[thread_row()][turn + i], p = tile.weight[thread_row()][turn + i];
        PLR_UNROLL
        for (int c = 0; c < attention_out; c++) {
          int dim = thread_lane() + c * (int)plr_lanes;
          chain.dk[c] = fmaf(x, tile.queries[i][dim], chain.dk[c]);
          chain.dv[c] = fmaf(p, tile.douts[i][dim], chain.dv[c]);
        }
      }
    }
  }
}

__global__ __launch_bounds__(plr_block) static void attention_dkv_kernel(plr_attention_args a,
                                                                         const float *delta) {
  PLR_SHARED(attention_row_slice, rows, );
  PLR_SHARED(attention_column_slice, columns, );
  PLR_SHARED(attention_weights, gradient, );
  PLR_SHARED(attention_weights, weight, );
  PLR_SHARED(attention_vectors, queries, );
  PLR_SHARED(attention_vectors, douts, );
  key_tiles tile = {rows, columns, gradient, weight, queries, douts};
  attention_block at(a, a.kv_heads);
  int64_t group = a.heads / a.kv_heads, j = at.row0 + thread_row();
  key_chains chain;
  PLR_UNROLL
  for (int c = 0; c < attention_out; c++) chain.dk[c] = chain.dv[c] = 0.0f;
  for (int64_t head = at.head * group; head < (at.head + 1) * group; head++)
    key_head(a, delta, at, head, tile, chain);
  if (j >= a.seq) return;
  int64_t row = at.b * a.seq + j, kv = at.head * a.head_dim;
  store_line(a.dk + row * a.ldk + kv, at.dim, a.head_dim, chain.dk, 1.0f);
  store_line(a.dv + row * a.ldv + kv, at.dim, a.head_dim, chain.dv, 1.0f);
}

size_t plr__cuda_attention_bwd_workspace(const plr_attention_args *a) {
  if (plr__cuda_attention_check(a) != PLR_OK) return 0;
  return (size_t)(a->batch * a->heads * a->seq) * sizeof(float);
}

plr_status plr__cuda_attention_bwd(plr_cuda_device *d, const plr_attention_args *a) {
  PLR_TRY(plr__cuda_attention_check(a));
  float *delta = (float *)a->work;
  int64_t rows = a->batch * a->heads * a->seq;
  PLR_TRY(plr_launch(d, plr_blocks_for(rows, plr_rows_per_block), plr_row_block,
                     attention_delta_kernel, *a, delta));
  PLR_TRY(plr_launch(d, attention_blocks(a, a->heads), plr_block, attention_dq_kernel, *a,
                     (const float *)delta));
  return plr_launch(d, attention_blocks(a, a->kv_heads), plr_block, attention_dkv_kernel, *a,
                    (const float *)delta);
}
