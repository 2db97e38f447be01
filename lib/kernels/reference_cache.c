/* Attention over caches as EXACT.md section 6 states it: one query, one key, one dimension after the other. */
#include "kernels/kernels_int.h"

#include <math.h>

typedef struct where {
  const plr_attention_cache_args *a;
  const plr_cache_rows *g;
  int64_t head; /* key/value head */
} where;

static float *key(const where *w, int64_t position, int64_t i) {
  const int64_t dims = w->a->head_dim;
  return w->g->k + w->head * w->g->capacity * dims + position / 16 * 16 * dims + 16 * i +
         position % 16;
}

static float *value(const where *w, int64_t position, int64_t i) {
  const int64_t wide = (w->a->head_dim + 15) / 16;
  return w->g->v + ((w->head * wide + i / 16) * w->g->capacity + position) * 16 + i % 16;
}

static float score(const where *w, const float *q, int64_t position) {
  float sum = 0.0f;
  for (int64_t i = 0; i < w->a->head_dim; i++) sum = fmaf(q[i], *key(w, position, i), sum);
  return sum * w->a->scale;
}

static void append(const where *w, int64_t t) {
  const plr_attention_cache_args *a = w->a;
  for (int64_t i = 0; i < a->head_dim; i++) {
    const int64_t column = w->head * a->head_dim + i;
    *key(w, w->g->first + t, i) = a->k[(w->g->row + t) * a->ldk + column];
    *value(w, w->g->first + t, i) = a->v[(w->g->row + t) * a->ldv + column];
  }
}

static void attend(const where *w, int64_t t, int64_t head) {
  const plr_attention_cache_args *a = w->a;
  const float *q = a->q + (w->g->row + t) * a->ldq + head * a->head_dim;
  float *out = a->out + (w->g->row + t) * a->ldo + head * a->head_dim, max[16], sum[16];
  const int64_t end = w->g->first + t + 1;
  const int64_t begin = a->window && end > a->window ? end - a->window : 0;
  for (int i = 0; i < 16; i++) max[i] = -INFINITY, sum[i] = 0.0f;
  for (int64_t j = begin; j < end; j++) {
    const float s = score(w, q, j);
    max[j % 16] = max[j % 16] > s ? max[j % 16] : s;
  }
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) max[i] = max[i] > max[i + half] ? max[i] : max[i + half];
  for (int64_t i = 0; i < a->head_dim; i++) out[i] = 0.0f;
  for (int64_t j = begin; j < end; j++) {
    const float e = plr__expf(score(w, q, j) - max[0]);
    sum[j % 16] = sum[j % 16] + e;
    for (int64_t i = 0; i < a->head_dim; i++) out[i] = fmaf(e, *value(w, j, i), out[i]);
  }
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) sum[i] = sum[i] + sum[i + half];
  const float inv = 1.0f / sum[0];
  for (int64_t i = 0; i < a->head_dim; i++) out[i] = out[i] * inv;
}

plr_status plr__ref_attention_cache(const plr_attention_cache_args *a) {
  for (int64_t i = 0; i < a->group_count; i++) {
    where w = {a, &a->groups[i], 0};
    for (w.head = 0; w.head < a->kv_heads; w.head++)
      for (int64_t t = 0; t < w.g->rows; t++) append(&w, t);
    for (int64_t h = 0; h < a->heads; h++)
      for (int64_t t = 0; t < w.g->rows; t++) {
        w.head = h / (a->heads / a->kv_heads);
        attend(&w, t, h);
      }
  }
  return PLR_OK;
}
