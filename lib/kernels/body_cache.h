/* Attention over a session's cache (EXACT.md section 6; layouts: ops.h). A row is a pair (query, head): the heads that
 * share a key/value head read it together, queries in increasing order. Nothing here depends on how many rows there are
 * or where they start, so prefill in any chunks and decode one by one give the same bits. */
#ifndef PLR_KERNELS_BODY_CACHE_H
#define PLR_KERNELS_BODY_CACHE_H

#include "kernels/body_attention.h"

/* What is known of the rows of a block: at most PLR_ATTENTION_QUERIES of them. */
typedef struct cache_rows {
  const float *q[PLR_ATTENTION_QUERIES];
  float *out[PLR_ATTENTION_QUERIES];
  int64_t begin[PLR_ATTENTION_QUERIES], end[PLR_ATTENTION_QUERIES]; /* keys it sees; both ascend */
  float inv[PLR_ATTENTION_QUERIES];                                 /* 1 / sum of exponentials */
} cache_rows;

/* ---- scores ----------------------------------------------------------------------------------- */

/* One row against keys [k0, k1), k0 and k1 multiples of 16: four chains of sixteen at once hide the latency. */
static void cache_scores_1(const float *q, const float *lanes, int64_t dims, float scale,
                           int64_t k0, int64_t k1, float *s) {
  v16 factor = v16_set1(scale);
  const int64_t step = 16 * dims;
  int64_t k = k0;
  for (; k + 64 <= k1; k += 64) {
    const float *b = lanes + k * dims;
    v16 c0 = v16_set1(0.0f), c1 = c0, c2 = c0, c3 = c0;
    for (int64_t i = 0; i < dims; i++, b += 16) {
      v16 x = v16_set1(q[i]);
      c0 = v16_fma(x, v16_load(b), c0);
      c1 = v16_fma(x, v16_load(b + step), c1);
      c2 = v16_fma(x, v16_load(b + 2 * step), c2);
      c3 = v16_fma(x, v16_load(b + 3 * step), c3);
    }
    v16_store(s + k, v16_mul(c0, factor));
    v16_store(s + k + 16, v16_mul(c1, factor));
    v16_store(s + k + 32, v16_mul(c2, factor));
    v16_store(s + k + 48, v16_mul(c3, factor));
  }
  for (; k < k1; k += 16) {
    const float *b = lanes + k * dims;
    v16 c = v16_set1(0.0f);
    for (int64_t i = 0; i < dims; i++, b += 16) c = v16_fma(v16_set1(q[i]), v16_load(b), c);
    v16_store(s + k, v16_mul(c, factor));
  }
}

/* Two to four rows; the last one stands in for those that are missing. */
static void cache_scores_4(const float *const *q, int64_t n, const float *lanes, int64_t dims,
                           float scale, int64_t k0, int64_t k1, float *s, int64_t lds) {
  const float *q0 = q[0], *q1 = q[1], *q2 = q[n > 2 ? 2 : 1], *q3 = q[n > 3 ? 3 : 1];
  v16 factor = v16_set1(scale);
  for (int64_t k = k0; k < k1; k += 16) {
    const float *b = lanes + k * dims;
    v16 c0 = v16_set1(0.0f), c1 = c0, c2 = c0, c3 = c0;
    for (int64_t i = 0; i < dims; i++, b += 16) {
      v16 key = v16_load(b);
      c0 = v16_fma(v16_set1(q0[i]), key, c0);
      c1 = v16_fma(v16_set1(q1[i]), key, c1);
      c2 = v16_fma(v16_set1(q2[i]), key, c2);
      c3 = v16_fma(v16_set1(q3[i]), key, c3);
    }
    v16_store(s + k, v16_mul(c0, factor));
    v16_store(s + lds + k, v16_mul(c1, factor));
    if (n > 2) v16_store(s + 2 * lds + k, v16_mul(c2, factor));
    if (n > 3) v16_store(s + 3 * lds + k, v16_mul(c3, factor));
  }
}

static void cache_pack_queries(const float *const *q, int64_t n, int64_t dims, float *y) {
  for (int64_t i = 0; i < dims; i += 16, y += PLR_PANEL) {
    int64_t r = 0;
    for (; r < n; r++) v16_store(y + 16 * r, load_lanes(q[r] + i, PLR_TAIL(i, dims)));
    for (; r % PLR_ROWS; r++) v16_store(y + 16 * r, v16_set1(0.0f));
  }
}

static void cache_scores(const cache_rows *rows, int64_t n, const float *lanes, int64_t dims,
                         float scale, float *panels, float *s, int64_t lds) {
  const int64_t k0 = rows->begin[0] / 16 * 16, k1 = (rows->end[n - 1] + 15) / 16 * 16;
  if (n == 1) {
    cache_scores_1(rows->q[0], lanes, dims, scale, k0, k1, s);
    return;
  }
  if (n <= 4) {
    cache_scores_4(rows->q, n, lanes, dims, scale, k0, k1, s, lds);
    return;
  }
  cache_pack_queries(rows->q, n, dims, panels);
  for (int64_t k = k0; k < k1; k += 16)
    for (int64_t r = 0; r < n; r += PLR_ROWS) {
      const int64_t last = PLR_MIN(r + PLR_ROWS, n) - 1;
      if (k < rows->end[last] && k + 16 > rows->begin[r])
        score_tile(panels + 16 * r, lanes + k * dims, dims, scale, s + r * lds + k, lds);
    }
}

/* Scores become exponentials. */
static void cache_softmax(cache_rows *rows, int64_t n, float *s, int64_t lds) {
  for (int64_t r = 0; r < n; r++) {
    float *w = s + r * lds;
    const float max = row_max(w, rows->begin[r], rows->end[r]);
    rows->inv[r] = 1.0f / row_exp_sum(w, rows->begin[r], rows->end[r], max, 1);
  }
}

/* ---- weighted values -------------------------------------------------------------------------- */

/* Four panels of one row over the keys [j0, j1). */
static void cache_values_4(const float *w, const float *panel, int64_t stride, int64_t j0,
                           int64_t j1, v16 y[4]) {
  v16 c0 = v16_set1(0.0f), c1 = c0, c2 = c0, c3 = c0;
  for (int64_t j = j0; j < j1; j++) {
    v16 x = v16_set1(w[j]);
    const float *b = panel + 16 * j;
    c0 = v16_fma(x, v16_load(b), c0);
    c1 = v16_fma(x, v16_load(b + stride), c1);
    c2 = v16_fma(x, v16_load(b + 2 * stride), c2);
    c3 = v16_fma(x, v16_load(b + 3 * stride), c3);
  }
  y[0] = c0, y[1] = c1, y[2] = c2, y[3] = c3;
}

/* Continues a row's chain over the keys [j0, j1). */
static inline v16 cache_values_1(const float *w, const float *panel, int64_t j0, int64_t j1,
                                 v16 c) {
  for (int64_t j = j0; j < j1; j++) c = v16_fma(v16_set1(w[j]), v16_load(panel + 16 * j), c);
  return c;
}

/* Continues the chains of a tile of rows over keys that all of them see. */
static inline void cache_values_tile(const float *w, int64_t lds, const float *panel, int64_t j0,
                                     int64_t j1, float *c) {
  PLR_EACH_ROW(PLR_LOAD_ROW)
  for (int64_t j = j0; j < j1; j++) {
    v16 b = v16_load(panel + 16 * j);
#define PLR_STEP(r) c##r = v16_fma(v16_set1(w[r * lds + j]), b, c##r);
    PLR_EACH_ROW(PLR_STEP)
#undef PLR_STEP
  }
#define PLR_PUT(r) v16_store(c + 16 * r, c##r);
  PLR_EACH_ROW(PLR_PUT)
#undef PLR_PUT
}

static void cache_put(const cache_rows *rows, int64_t r, int64_t i, int64_t dims, v16 x) {
  store_lanes(rows->out[r] + i, v16_mul(x, v16_set1(rows->inv[r])), PLR_TAIL(i, dims));
}

static void cache_output_1(const cache_rows *rows, int64_t r, const float *w, const float *panels,
                           int64_t capacity, int64_t dims) {
  const int64_t stride = 16 * capacity;
  int64_t i = 0;
  for (; i + 64 <= dims; i += 64) {
    v16 y[4];
    cache_values_4(w, panels + i * capacity, stride, rows->begin[r], rows->end[r], y);
    for (int p = 0; p < 4; p++) cache_put(rows, r, i + 16 * p, dims, y[p]);
  }
  for (; i < dims; i += 16)
    cache_put(
        rows, r, i, dims,
        cache_values_1(w, panels + i * capacity, rows->begin[r], rows->end[r], v16_set1(0.0f)));
}

/* Rows r .. r + n - 1 of a tile: the keys that all see, and each row's own before and after them. Rows of the tile
 * that are missing read weights nobody wrote and are thrown away. */
static void cache_output_tile(const cache_rows *rows, int64_t r, int64_t n, const float *w,
                              int64_t lds, const float *panels, int64_t capacity, int64_t dims) {
  const int64_t low = rows->begin[r + n - 1], high = rows->end[r];
  for (int64_t i = 0; i < dims; i += 16) {
    const float *panel = panels + i * capacity;
    float y[16 * PLR_ROWS];
    memset(y, 0, sizeof y);
    for (int64_t t = 0; t < n; t++)
      v16_store(y + 16 * t,
                cache_values_1(w + t * lds, panel, rows->begin[r + t], low, v16_set1(0.0f)));
    cache_values_tile(w, lds, panel, low, high, y);
    for (int64_t t = 0; t < n; t++)
      cache_put(rows, r + t, i, dims,
                cache_values_1(w + t * lds, panel, high, rows->end[r + t], v16_load(y + 16 * t)));
  }
}

static void cache_outputs(const cache_rows *rows, int64_t n, const float *w, int64_t lds,
                          const float *panels, int64_t capacity, int64_t dims) {
  for (int64_t r = 0; r < n;) {
    const int64_t tile = PLR_MIN(PLR_ROWS, n - r);
    if (tile > 1 && rows->begin[r + tile - 1] < rows->end[r]) {
      cache_output_tile(rows, r, tile, w + r * lds, lds, panels, capacity, dims);
      r += tile;
    } else {
      cache_output_1(rows, r, w + r * lds, panels, capacity, dims);
      r++;
    }
  }
}

/* ---- a block of rows -------------------------------------------------------------------------- */

/* Pairs [first, first + n) of (query, head of the group), n <= PLR_ATTENTION_QUERIES. slot: plr__cache_slot floats. */
static void attention_cache(const plr_attention_cache_args *a, const plr_cache_rows *g,
                            int64_t kv_head, int64_t first, int64_t n, float *slot) {
  const int64_t dims = a->head_dim, group = a->heads / a->kv_heads;
  const int64_t panels = (dims + 15) / 16, width = panels * 16 * g->capacity;
  float *queries = slot, *scores = slot + panels * PLR_PANEL;
  cache_rows rows;
  for (int64_t r = 0; r < n; r++) {
    const int64_t t = (first + r) / group, head = kv_head * group + (first + r) % group;
    const int64_t end = g->first + t + 1;
    rows.q[r] = a->q + (g->row + t) * a->ldq + head * dims;
    rows.out[r] = a->out + (g->row + t) * a->ldo + head * dims;
    rows.begin[r] = a->window && end > a->window ? end - a->window : 0;
    rows.end[r] = end;
  }
  const int64_t lds = (rows.end[n - 1] + 15) / 16 * 16 + 16;
  cache_scores(&rows, n, g->k + kv_head * g->capacity * dims, dims, a->scale, queries, scores, lds);
  cache_softmax(&rows, n, scores, lds);
  cache_outputs(&rows, n, scores, lds, g->v + kv_head * width, g->capacity, dims);
}

#endif
