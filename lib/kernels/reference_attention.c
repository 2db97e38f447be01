/* Attention as EXACT.md section 6 states it: one query, one key, one dimension after the other. */
#include "kernels/kernels_int.h"

#include <math.h>

static float tree_sum(float lane[16]) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] = lane[i] + lane[i + half];
  return lane[0];
}

static float tree_max(float lane[16]) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
  return lane[0];
}

static float dot_chain(const float *x, const float *y, int64_t n) {
  float sum = 0.0f;
  for (int64_t i = 0; i < n; i++) sum = fmaf(x[i], y[i], sum);
  return sum;
}

/* The first key that query t sees. */
static int64_t first_key(const plr_attention_args *a, int64_t t) {
  return a->window && t >= a->window ? t - a->window + 1 : 0;
}

plr_status plr__ref_attention(const plr_attention_args *a) {
  int64_t dims = a->head_dim, group = a->heads / a->kv_heads;
  for (int64_t b = 0; b < a->batch; b++)
    for (int64_t h = 0; h < a->heads; h++)
      for (int64_t t = 0; t < a->seq; t++) {
        int64_t row = b * a->seq, stat = (b * a->heads + h) * a->seq + t;
        const float *q = a->q + (row + t) * a->ldq + h * dims;
        const float *k = a->k + row * a->ldk + h / group * dims;
        const float *v = a->v + row * a->ldv + h / group * dims;
        float *out = a->out + (row + t) * a->ldo + h * dims, lane[16];
        for (int i = 0; i < 16; i++) lane[i] = -INFINITY;
        for (int64_t j = first_key(a, t); j <= t; j++) {
          float s = dot_chain(q, k + j * a->ldk, dims) * a->scale;
          lane[j % 16] = lane[j % 16] > s ? lane[j % 16] : s;
        }
        float max = tree_max(lane);
        for (int i = 0; i < 16; i++) lane[i] = 0.0f;
        for (int64_t i = 0; i < dims; i++) out[i] = 0.0f;
        for (int64_t j = first_key(a, t); j <= t; j++) {
          float e = plr__expf(dot_chain(q, k + j * a->ldk, dims) * a->scale - max);
          lane[j % 16] += e;
          for (int64_t i = 0; i < dims; i++) out[i] = fmaf(e, v[j * a->ldv + i], out[i]);
        }
        float sum = tree_sum(lane), inv = 1.0f / sum;
        for (int64_t i = 0; i < dims; i++) out[i] *= inv;
        a->row_max[stat] = max;
        a->row_sum[stat] = sum;
      }
  return PLR_OK;
}

static void backward_query(const plr_attention_args *a, int64_t b, int64_t h, int64_t t) {
  int64_t dims = a->head_dim, row = b * a->seq, kv = h / (a->heads / a->kv_heads) * dims;
  int64_t stat = (b * a->heads + h) * a->seq + t;
  const float *q = a->q + (row + t) * a->ldq + h * dims;
  const float *out = a->out + (row + t) * a->ldo + h * dims;
  const float *dout = a->dout + (row + t) * a->ldo + h * dims;
  float *dq = a->dq + (row + t) * a->ldq + h * dims;
  float lane[16] = {0}, inv = 1.0f / a->row_sum[stat];
  for (int64_t i = 0; i < dims; i++) lane[i % 16] = fmaf(dout[i], out[i], lane[i % 16]);
  float delta = tree_sum(lane);
  for (int64_t i = 0; i < dims; i++) dq[i] = 0.0f;
  for (int64_t j = first_key(a, t); j <= t; j++) {
    const float *k = a->k + (row + j) * a->ldk + kv, *v = a->v + (row + j) * a->ldv + kv;
    float *dk = a->dk + (row + j) * a->ldk + kv, *dv = a->dv + (row + j) * a->ldv + kv;
    float p = plr__expf(dot_chain(q, k, dims) * a->scale - a->row_max[stat]) * inv;
    float ds = p * (dot_chain(dout, v, dims) - delta) * a->scale;
    for (int64_t i = 0; i < dims; i++) {
      dq[i] = fmaf(ds, k[i], dq[i]);
      dk[i] = fmaf(ds, q[i], dk[i]);
      dv[i] = fmaf(p, dout[i], dv[i]);
    }
  }
}

plr_status plr__ref_attention_bwd(const plr_attention_args *a) {
  int64_t dims = a->head_dim;
  for (int64_t r = 0; r < a->batch * a->seq; r++)
    for (int64_t i = 0; i < a->kv_heads * dims; i++)
      a->dk[r * a->ldk + i] = a->dv[r * a->ldv + i] = 0.0f;
  for (int64_t b = 0; b < a->batch; b++)
    for (int64_t h = 0; h < a->heads; h++)
      for (int64_t t = 0; t < a->seq; t++) backward_query(a, b, h, t);
  return PLR_OK;
}
