/* Causal attention, forward. A block has 16 queries of one head and passes over the keys twice: for the maximum, then
 * for the exponentials, their sum and the weighted values. The scores are computed twice rather than kept, so that
 * no memory grows with the square of the sequence. */
#include "attention_int.h"

/* The largest score of the thread's row, over the keys it sees. */
__device__ static inline float largest_score(attention_matrix q, attention_matrix k, int64_t row0,
                                             int64_t t, int64_t keys, const plr_attention_args &a,
                                             attention_row_slice &rows,
                                             attention_column_slice &columns) {
  float top = -INFINITY, s[attention_each];
  int64_t first = first_key(a, t);
  for (int64_t j0 = first_tile(a, row0); j0 < keys; j0 += attention_columns) {
    row_scores(q, row0, k, j0, a.seq, a.head_dim, rows, columns, s);
    PLR_UNROLL
    for (int c = 0; c < attention_each; c++) {
      float scaled = s[c] * a.scale;
      int64_t j = j0 + thread_lane() + c * (int64_t)plr_lanes;
      if (j >= first && j <= t) top = top > scaled ? top : scaled;
    }
  }
  return lanes_max(top);
}

__global__ __launch_bounds__(plr_block, 2) static void attention_kernel(plr_attention_args a) {
  PLR_SHARED(attention_row_slice, rows, );
  PLR_SHARED(attention_column_slice, columns, );
  PLR_SHARED(attention_weights, weight, );
  PLR_SHARED(attention_vectors, values, );
  attention_block at(a, a.heads);
  int64_t row = at.b * a.seq, kv = at.head / (a.heads / a.kv_heads) * a.head_dim;
  attention_matrix q = {a.q + row * a.ldq + at.head * a.head_dim, a.ldq};
  attention_matrix k = {a.k + row * a.ldk + kv, a.ldk}, v = {a.v + row * a.ldv + kv, a.ldv};
  int64_t last = at.row0 + attention_rows, keys = last < a.seq ? last : a.seq;
  int64_t t = at.row0 + thread_row();
  if (t >= a.seq) t = -1; /* a row beyond the sequence sees no key */

  int64_t first = first_key(a, t);
  float top = largest_score(q, k, at.row0, t, keys, a, rows, columns);
  float sum = 0.0f, s[attention_each], out[attention_out];
  PLR_UNROLL
  for (int c = 0; c < attention_out; c++) out[c] = 0.0f;
  for (int64_t j0 = first_tile(a, at.row0); j0 < keys; j0 += attention_columns) {
    row_scores(q, at.row0, k, j0, a.seq, a.head_dim, rows, columns, s);
    PLR_UNROLL
    for (int c = 0; c < attention_each; c++) {
      int column = thread_lane() + c * (int)plr_lanes;
      if (j0 + column < first || j0 + column > t) continue;
      float e = plr_exact_expf(s[c] * a.scale - top);
      weight[thread_row()][column] = e;
      sum += e;
    }
    for (int turn = 0; turn < attention_columns && j0 + turn < keys; turn += attention_turn) {
      __syncthreads(); /* the weights are there, the vectors have been used */
      load_vectors(values, v, j0 + turn, a.seq, at.dim, a.head_dim);
      __syncthreads();
      for (int j = 0; j < attention_turn && j0 + turn + j <= t; j++) {
        if (j0 + turn + j < first) continue;
        float e = weight[thread_row()][turn + j];
        PLR_UNROLL
        for (int c = 0; c < attention_out; c++)
          out[c] = fmaf(e, values[j][thread_lane() + c * (int)plr_lanes], out[c]);
      }
    }
  }
  sum = lanes_sum(sum);
  if (t < 0) return;
  store_line(a.out + (row + t) * a.ldo + at.head * a.head_dim, at.dim, a.head_dim, out, 1.0f / sum);
  if (at.dim > 0 || thread_lane() > 0) return;
  a.row_max[(at.b * a.heads + at.head) * a.seq + t] = top;
  a.row_sum[(at.b * a.heads + at.head) * a.seq + t] = sum;
}

plr_status plr__cuda_attention_check(const plr_attention_args *a) {
  if (a->batch < 0 || a->seq < 0 || a->heads <= 0 || a->kv_heads <= 0 || a->head_dim <= 0 ||
      a->heads % a->kv_heads)
    return PLR_ERR_INVALID_ARGUMENT;
  if (a->head_dim > attention_max_dim || a->heads > INT32_MAX || a->seq > INT32_MAX ||
      a->batch > INT32_MAX)
    return PLR_ERR_LIMIT;
  int64_t width = a->heads * a->head_dim, kv_width = a->kv_heads * a->head_dim;
  if (a->ldq < width || a->ldo < width || a->ldk < kv_width || a->ldv < kv_width)
    return PLR_ERR_INVALID_ARGUMENT;
  return PLR_OK;
}

plr_status plr__cuda_attention(plr_cuda_device *d, const plr_attention_args *a) {
  PLR_TRY(plr__cuda_attention_check(a));
  return plr_launch(d, attention_blocks(a, a->heads), plr_block, attention_kernel, *a);
}
