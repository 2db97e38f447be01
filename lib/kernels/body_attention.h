/* Causal attention, a block of queries at a time against all the keys they see (EXACT.md section 6).
 *
 * Keys and values of one key/value head are laid out in the thread's slot: "lanes" [key/16][dim][16] where 16 keys
 * are the outputs (scores), "panels" [dim/16][row][16] where 16 dims are (weighted sums); the queries of a block and
 * their gradients are panels too. A register tile is PLR_TILE_ROWS by 16 lanes; every element of it is one FMA
 * chain, so block and tile sizes never show in the bits. */
#ifndef PLR_KERNELS_BODY_ATTENTION_H
#define PLR_KERNELS_BODY_ATTENTION_H

#include "kernels/body_rows.h"

#define PLR_ROWS        PLR_TILE_ROWS
#define PLR_PANEL       (16 * PLR_ATTENTION_QUERIES) /* floats of a panel of queries */
#if defined(__OPTIMIZE__)
#define PLR_UNROLL_16 _Pragma("GCC unroll 16")
#else
#define PLR_UNROLL_16 /* without optimisation the hint is refused, with a warning */
#endif
#define PLR_ZERO_ROW(r) v16 c##r = v16_set1(0.0f);
#define PLR_LOAD_ROW(r) v16 c##r = v16_load(c + 16 * r);

typedef struct attention_slot { /* lds: floats from one query's row of scores to the next */
  int64_t lds, panels;
  float *k_lanes, *v_lanes, *k_panels, *v_panels, *dk, *dv;
  float *q_panels, *dout_panels;
  float *scores, *gradients;
} attention_slot;

static attention_slot slot_layout(const plr_attention_args *a, float *p, int backward) {
  attention_slot s;
  memset(&s, 0, sizeof s);
  int64_t groups = (a->seq + 15) / 16, panels = (a->head_dim + 15) / 16;
  int64_t lanes = groups * 16 * a->head_dim, block = PLR_ATTENTION_QUERIES;
  s.lds = groups * 16 + 16;
  s.panels = panels;
  s.k_lanes = p, p += lanes;
  s.scores = p, p += block * s.lds;
  s.q_panels = p, p += panels * PLR_PANEL;
  if (!backward) {
    s.v_panels = p;
    return s;
  }
  s.v_lanes = p, p += lanes;
  s.k_panels = p, p += panels * a->seq * 16;
  s.dk = p, p += panels * (a->seq + PLR_ATTENTION_ROWS) * 16;
  s.dv = p, p += panels * (a->seq + PLR_ATTENTION_ROWS) * 16;
  s.dout_panels = p, p += panels * PLR_PANEL;
  s.gradients = p;
  return s;
}

/* ---- layouts ---------------------------------------------------------------------------------- */

static void pack_lanes(const float *x, int64_t ldx, int64_t rows, int64_t dims, float *y) {
  for (int64_t g = 0; g < rows; g += 16, x += 16 * ldx, y += 16 * dims) {
    int lanes = PLR_TAIL(g, rows);
    int64_t i = 0;
    if (lanes == 16)
      for (; i + 8 <= dims; i += 8) v16_transpose8(x + i, ldx, y + 16 * i);
    for (; i < dims; i++)
      for (int lane = 0; lane < 16; lane++)
        y[16 * i + lane] = lane < lanes ? x[lane * ldx + i] : 0.0f;
  }
}

static void pack_panels(const float *x, int64_t ldx, int64_t rows, int64_t dims, float *y) {
  for (int64_t i = 0; i < dims; i += 16)
    for (int64_t r = 0; r < rows; r++, y += 16)
      v16_store(y, load_lanes(x + r * ldx + i, PLR_TAIL(i, dims)));
}

/* n rows of a block of queries, and zeros up to the next whole tile. */
static void pack_queries(const float *x, int64_t ldx, int64_t n, int64_t dims, float *y) {
  for (int64_t i = 0; i < dims; i += 16, y += PLR_PANEL) {
    int64_t r = 0;
    for (; r < n; r++) v16_store(y + 16 * r, load_lanes(x + r * ldx + i, PLR_TAIL(i, dims)));
    for (; r % PLR_ROWS; r++) v16_store(y + 16 * r, v16_set1(0.0f));
  }
}

static void unpack_panels(const float *y, int64_t stride, int64_t first, int64_t last, int64_t dims,
                          float *x, int64_t ldx) {
  for (int64_t i = 0; i < dims; i += 16, y += 16 * stride)
    for (int64_t r = first; r < last; r++)
      store_lanes(x + r * ldx + i, v16_load(y + 16 * r), PLR_TAIL(i, dims));
}

/* ---- register tiles --------------------------------------------------------------------------- */

/* s[r][lane] = scale * chain over dims of row r (of the panels x) times key `lane`. */
static inline void score_tile(const float *x, const float *lanes, int64_t dims, float scale,
                              float *s, int64_t lds) {
  PLR_EACH_ROW(PLR_ZERO_ROW)
  for (int64_t i = 0; i < dims; i += 16, x += PLR_PANEL)
    for (int64_t j = 0; j < 16 && i + j < dims; j++, lanes += 16) {
      v16 b = v16_load(lanes);
#define PLR_STEP(r) c##r = v16_fma(v16_set1(x[16 * r + j]), b, c##r);
      PLR_EACH_ROW(PLR_STEP)
#undef PLR_STEP
    }
  v16 factor = v16_set1(scale);
#define PLR_PUT(r) v16_store(s + r * lds, v16_mul(c##r, factor));
  PLR_EACH_ROW(PLR_PUT)
#undef PLR_PUT
}

/* The first key that query t sees through a window, 0 being none. */
static inline int64_t first_key(int64_t window, int64_t t) {
  return window && t >= window ? t - window + 1 : 0;
}

/* y[r][lane] = chain over the keys j that query t0 + r sees (below n) of w[r][j] panel[j][lane]: the corner at the
 * window's edge, all rows up to key t0, then the corner under the diagonal. A window of fewer keys than the tile has
 * rows is all corner. */
static inline void rows_tile(const float *w, int64_t ldw, const float *panel, int64_t t0, int64_t n,
                             int64_t window, float *y) {
  PLR_EACH_ROW(PLR_ZERO_ROW)
  int64_t j = first_key(window, t0), edge = t0 - window + 1, corner = 0;
  if (window) corner = window < PLR_ROWS ? n : edge + PLR_ROWS - 1;
  for (; j < corner; j++) {
    v16 b = v16_load(panel + 16 * j);
#define PLR_STEP(r)                                                                                \
  if (edge + r <= j && j <= t0 + r) c##r = v16_fma(v16_set1(w[r * ldw + j]), b, c##r);
    PLR_EACH_ROW(PLR_STEP)
#undef PLR_STEP
  }
  for (; j <= t0; j++) {
    v16 b = v16_load(panel + 16 * j);
#define PLR_STEP(r) c##r = v16_fma(v16_set1(w[r * ldw + j]), b, c##r);
    PLR_EACH_ROW(PLR_STEP)
#undef PLR_STEP
  }
  PLR_UNROLL_16
  for (int64_t d = 1; d < PLR_ROWS && j < n; d++, j++) { /* j = t0 + d */
    v16 b = v16_load(panel + 16 * j);
#define PLR_STEP(r)                                                                                \
  if (d <= r) c##r = v16_fma(v16_set1(w[r * ldw + j]), b, c##r);
    PLR_EACH_ROW(PLR_STEP)
#undef PLR_STEP
  }
#define PLR_PUT(r) v16_store(y + 16 * r, c##r);
  PLR_EACH_ROW(PLR_PUT)
#undef PLR_PUT
}

/* Continues c[r][lane], the chain of key j0 + r over queries t0 .. t0+n-1 that see it: w[t][r] panel[t][lane]. As
 * j0 and t0 are multiples of the tile's rows, the first query sees all of the keys or only the first, when there is no
 * window. */
static inline void keys_tile(const float *w, int64_t ldw, const float *panel, int64_t j0,
                             int64_t t0, int64_t n, int64_t window, float *c) {
  PLR_EACH_ROW(PLR_LOAD_ROW)
  int64_t t = j0 < t0 ? 0 : j0 - t0, edge = j0 + window - t0, all = n;
  if (window && window < PLR_ROWS)
    all = t;
  else if (window && edge < n)
    all = edge;
  if (j0 >= t0 && all > t) {
  PLR_UNROLL_16
    for (int64_t d = 0; d < PLR_ROWS - 1 && t < all; d++, t++) { /* t0 + t = j0 + d */
      v16 b = v16_load(panel + 16 * t);
#define PLR_STEP(r)                                                                                \
  if (r <= d) c##r = v16_fma(v16_set1(w[t * ldw + r]), b, c##r);
      PLR_EACH_ROW(PLR_STEP)
#undef PLR_STEP
    }
  }
  for (; t < all; t++) {
    v16 b = v16_load(panel + 16 * t);
#define PLR_STEP(r) c##r = v16_fma(v16_set1(w[t * ldw + r]), b, c##r);
    PLR_EACH_ROW(PLR_STEP)
#undef PLR_STEP
  }
  for (; t < n && t < edge + PLR_ROWS - 1; t++) { /* only with a window: without one all = n */
    v16 b = v16_load(panel + 16 * t);
#define PLR_STEP(r)                                                                                \
  if (j0 + r <= t0 + t && t < edge + r) c##r = v16_fma(v16_set1(w[t * ldw + r]), b, c##r);
    PLR_EACH_ROW(PLR_STEP)
#undef PLR_STEP
  }
#define PLR_PUT(r) v16_store(c + 16 * r, c##r);
  PLR_EACH_ROW(PLR_PUT)
#undef PLR_PUT
}

/* Row t of out, for n queries from t0: the sum over the keys it sees of w[t][j] times row j of the panels, divided by
 * row_sum[t] unless that is NULL. */
static void weighted_rows(const plr_attention_args *a, const float *w, int64_t ldw,
                          const float *panels, int64_t t0, int64_t n, const float *row_sum,
                          float *out, int64_t ldo) {
  int64_t dims = a->head_dim;
  for (int64_t t = 0; t < n; t += PLR_ROWS)
    for (int64_t i = 0; i < dims; i += 16) {
      float y[16 * PLR_ROWS];
      rows_tile(w + t * ldw, ldw, panels + i * a->seq, t0 + t, t0 + n, a->window, y);
      for (int64_t r = 0; r < PLR_ROWS && t + r < n; r++) {
        v16 x = v16_load(y + 16 * r);
        if (row_sum) x = v16_mul(x, v16_set1(1.0f / row_sum[t + r]));
        store_lanes(out + (t + r) * ldo + i, x, PLR_TAIL(i, dims));
      }
    }
}

/* Scores of n queries from t0 (panels x) against keys [k0, k1), k0 a multiple of 16, where a row sees the group. */
static void score_block(const plr_attention_args *a, const float *x, const float *lanes,
                        float scale, int64_t t0, int64_t n, int64_t k0, int64_t k1, float *s,
                        int64_t lds) {
  int64_t dims = a->head_dim;
  for (int64_t k = k0; k < k1; k += 16)
    for (int64_t t = 0; t < n; t += PLR_ROWS)
      if (k < t0 + t + PLR_ROWS && k + 16 > first_key(a->window, t0 + t))
        score_tile(x + 16 * t, lanes + k * dims, dims, scale, s + t * lds + k, lds);
}

/* ---- forward ---------------------------------------------------------------------------------- */

static void attention_pack(const plr_attention_args *a, float *slot, int64_t b, int64_t kv_head) {
  attention_slot s = slot_layout(a, slot, 0);
  int64_t row = b * a->seq, column = kv_head * a->head_dim;
  pack_lanes(a->k + row * a->ldk + column, a->ldk, a->seq, a->head_dim, s.k_lanes);
  pack_panels(a->v + row * a->ldv + column, a->ldv, a->seq, a->head_dim, s.v_panels);
}

static void attention_block(const plr_attention_args *a, const attention_slot *s, int64_t b,
                            int64_t head, int64_t t0, int64_t n) {
  int64_t row = b * a->seq + t0, column = head * a->head_dim;
  int64_t stats = (b * a->heads + head) * a->seq + t0;
  pack_queries(a->q + row * a->ldq + column, a->ldq, n, a->head_dim, s->q_panels);
  score_block(a, s->q_panels, s->k_lanes, a->scale, t0, n, first_key(a->window, t0) / 16 * 16,
              t0 + n, s->scores, s->lds);
  for (int64_t t = 0; t < n; t++) {
    float *w = s->scores + t * s->lds;
    int64_t first = first_key(a->window, t0 + t), last = t0 + t + 1;
    float max = row_max(w, first, last);
    a->row_max[stats + t] = max;
    a->row_sum[stats + t] = row_exp_sum(w, first, last, max, 1);
  }
  weighted_rows(a, s->scores, s->lds, s->v_panels, t0, n, a->row_sum + stats,
                a->out + row * a->ldo + column, a->ldo);
}

static void attention(const plr_attention_args *a, float *slot, int64_t b, int64_t head, int64_t q0,
                      int64_t q1) {
  attention_slot s = slot_layout(a, slot, 0);
  for (int64_t t = q0; t < q1; t += PLR_ATTENTION_QUERIES)
    attention_block(a, &s, b, head, t,
                    q1 - t < PLR_ATTENTION_QUERIES ? q1 - t : PLR_ATTENTION_QUERIES);
}

/* ---- backward --------------------------------------------------------------------------------- */

static inline float row_dot(const float *x, const float *y, int64_t n) {
  v16 acc = v16_set1(0.0f);
  for (int64_t i = 0; i < n; i += 16) {
    int lanes = PLR_TAIL(i, n);
    v16 t = v16_fma(load_lanes(x + i, lanes), load_lanes(y + i, lanes), acc);
    acc = lanes == 16 ? t : v16_select(m16_first(lanes), t, acc);
  }
  return v16_sum(acc);
}

/* Scores become probabilities, gradients of probabilities become gradients of (unscaled) scores. Lanes no query
 * sees get numbers nobody reads. */
static void softmax_bwd_row(float *s, float *g, int64_t k0, int64_t k1, float max, float sum,
                            float delta, float scale) {
  v16 top = v16_set1(max), inv = v16_set1(1.0f / sum), d = v16_set1(delta), f = v16_set1(scale);
  for (int64_t k = k0; k < k1; k += 16) {
    v16 p = v16_mul(v16_exp(v16_sub(v16_load(s + k), top)), inv);
    v16_store(s + k, p);
    v16_store(g + k, v16_mul(v16_mul(p, v16_sub(v16_load(g + k), d)), f));
  }
}

/* Probabilities and score gradients of n queries from t0 against keys [k0, k1). */
static void gradient_block(const plr_attention_args *a, const attention_slot *s, int64_t b,
                           int64_t head, int64_t t0, int64_t n, int64_t k0, int64_t k1) {
  int64_t row = b * a->seq + t0, column = head * a->head_dim, dims = a->head_dim;
  const float *q = a->q + row * a->ldq + column, *dout = a->dout + row * a->ldo + column;
  const float *out = a->out + row * a->ldo + column;
  int64_t stats = (b * a->heads + head) * a->seq + t0;
  pack_queries(q, a->ldq, n, dims, s->q_panels);
  pack_queries(dout, a->ldo, n, dims, s->dout_panels);
  float delta
      [PLR_ATTENTION_QUERIES]; /* all first: rows of `out` come from far, and so come together */
  for (int64_t t = 0; t < n; t++) delta[t] = row_dot(dout + t * a->ldo, out + t * a->ldo, dims);
  score_block(a, s->q_panels, s->k_lanes, a->scale, t0, n, k0, k1, s->scores, s->lds);
  score_block(a, s->dout_panels, s->v_lanes, 1.0f, t0, n, k0, k1, s->gradients, s->lds);
  for (int64_t t = 0; t < n; t++) {
    int64_t seen = t0 + t + 1 < k1 ? t0 + t + 1 : k1;
    int64_t first = first_key(a->window, t0 + t) / 16 * 16;
    softmax_bwd_row(s->scores + t * s->lds, s->gradients + t * s->lds, first > k0 ? first : k0, seen,
                    a->row_max[stats + t], a->row_sum[stats + t], delta[t], a->scale);
  }
}

static void key_gradients(const plr_attention_args *a, const attention_slot *s, int64_t t0,
                          int64_t n, int64_t k0, int64_t k1) {
  int64_t stride = a->seq + PLR_ATTENTION_ROWS;
  for (int64_t j = k0; j < k1; j += PLR_ROWS)
    for (int64_t p = 0; p < s->panels; p++) {
      keys_tile(s->gradients + j, s->lds, s->q_panels + p * PLR_PANEL, j, t0, n, a->window,
                s->dk + (p * stride + j) * 16);
      keys_tile(s->scores + j, s->lds, s->dout_panels + p * PLR_PANEL, j, t0, n, a->window,
                s->dv + (p * stride + j) * 16);
    }
}

static void attention_bwd(const plr_attention_args *a, float *slot,
                          const plr_attention_part *part) {
  attention_slot s = slot_layout(a, slot, 1);
  int64_t row = part->b * a->seq, column = part->kv_head * a->head_dim, dims = a->head_dim;
  int64_t group = a->heads / a->kv_heads, stride = a->seq + PLR_ATTENTION_ROWS;
  const float *k = a->k + row * a->ldk + column, *v = a->v + row * a->ldv + column;
  pack_lanes(k, a->ldk, a->seq, dims, s.k_lanes);
  pack_lanes(v, a->ldv, a->seq, dims, s.v_lanes);
  if (part->want_queries) pack_panels(k, a->ldk, a->seq, dims, s.k_panels);
  if (part->want_keys) {
    memset(s.dk, 0, (size_t)(s.panels * stride * 16) * sizeof(float));
    memset(s.dv, 0, (size_t)(s.panels * stride * 16) * sizeof(float));
  }
  for (int64_t h = part->kv_head * group; h < (part->kv_head + 1) * group; h++)
    for (int64_t t = part->q0; t < part->q1; t += PLR_ATTENTION_QUERIES) {
      int64_t n = part->q1 - t < PLR_ATTENTION_QUERIES ? part->q1 - t : PLR_ATTENTION_QUERIES;
      /* Keys in the window of the block's first query, from a whole block on. */
      int64_t edge = first_key(a->window, t) / PLR_ATTENTION_QUERIES * PLR_ATTENTION_QUERIES;
      int64_t k0 = part->want_queries || part->k0 < edge ? edge : part->k0;
      int64_t k1 = part->want_queries || part->k1 > t + n ? t + n : part->k1;
      if (k0 >= k1) break; /* so are the later queries */
      gradient_block(a, &s, part->b, h, t, n, k0, k1);
      if (part->want_queries)
        weighted_rows(a, s.gradients, s.lds, s.k_panels, t, n, NULL,
                      a->dq + (row + t) * a->ldq + h * dims, a->ldq);
      if (part->want_keys)
        key_gradients(a, &s, t, n, k0 > part->k0 ? k0 : part->k0,
                      part->k1 < t + n ? part->k1 : t + n);
    }
  if (!part->want_keys) return;
  unpack_panels(s.dk, stride, part->k0, part->k1, dims, a->dk + row * a->ldk + column, a->ldk);
  unpack_panels(s.dv, stride, part->k0, part->k1, dims, a->dv + row * a->ldv + column, a->ldv);
}

#endif
