/* Viterbi's search through the trellis of FRAME.md, in binary32 with one order of operations, so that every version
 * finds the same path. The cost of an arc is its squared error + lambda x bits. */
#include "exchange/trellis_int.h"

#include "kernels/kernels.h"

#include <string.h>

/* Squared steps a bit: what the tables were made for. */
static float lambda(uint32_t table) {
  return table % PLR_MODEL_TABLES < 37 ? 0.6f : 0.45f;
}

const uint8_t plr__trellis_from[2][8] = {{0, 2, 4, 6, 5, 1, 3, 7}, {4, 6, 0, 2, 3, 7, 5, 1}};

static float bits_of(uint32_t frequency) {
  return 12.0f - 1.44269504f * plr__logf((float)frequency);
}

plr_status plr__trellis_create(plr__trellis **out, plr_context *ctx, size_t values) {
  plr__trellis *t = plr__calloc(ctx, 1, sizeof *t);
  *out = t;
  if (!t) return PLR_ERR_NO_MEMORY;
  t->decisions = plr__alloc(ctx, values + 8);
  if (!t->decisions) return PLR_ERR_NO_MEMORY;
  const uint16_t *f = plr__model.frequencies;
  for (uint32_t i = 0; i < 2 * PLR_MODEL_TABLES; i++) f += plr__model.limits[i] + 1;
  for (uint32_t i = 0; i < 2 * PLR_MODEL_TABLES; i++) {
    const uint32_t limit = plr__model.limits[2 * PLR_MODEL_TABLES + i];
    uint32_t left = 4096;
    t->limit[i] = (int32_t)limit;
    for (uint32_t m = 0; m < 128; m++)
      t->rate[i * 128 + m] = m <= limit ? lambda(i) * bits_of(f[m]) : PLR_TRELLIS_NEVER;
    for (uint32_t m = 0; m <= limit; m++) left -= m ? 2u * f[m] : f[m];
    t->escape[i] = lambda(i) * (bits_of(left) + 8.0f); /* and about 8 bits to say what */
    f += limit + 1;
  }
  return PLR_OK;
}

void plr__trellis_destroy(plr__trellis *t, plr_context *ctx) {
  if (!t) return;
  plr__free(ctx, t->decisions);
  plr__free(ctx, t);
}

/* Nearest even for |x| < 2^22. */
static inline int32_t round_even(float x) {
  return (int32_t)(plr__f32_bits(x + 12582912.0f) - 0x4b400000u);
}

static float square(float x) {
  return x * x;
}

/* An arc whose index sends raw bits: the nearest point, on the parity that its symbol happens to have. */
static float raw_arc(const plr__trellis *t, float x, uint32_t index, uint32_t quantiser,
                     uint32_t parity, int32_t *q) {
  const uint32_t raw = plr__model_raw(index);
  const float m = x < 0 ? -x : x;
  int32_t v = quantiser ? (m < 0.5f ? 0 : round_even((m + 1.0f) * 0.5f)) : round_even(m * 0.5f);
  const float error = m - (float)plr__trellis_point(quantiser, v);
  *q = v = x < 0 ? -v : v;
  const int32_t symbol = (v + (1 << raw >> 1)) >> raw, s = symbol < 0 ? -symbol : symbol;
  const uint32_t table = quantiser * PLR_MODEL_TABLES + plr__model_table(index);
  const int escape = s > t->limit[table];
  if ((escape ? 0u : (uint32_t)s & 1u) != parity) return PLR_TRELLIS_NEVER;
  return square(error) + (escape ? t->escape[table] : t->rate[table * 128 + (uint32_t)s]);
}

float plr__trellis_arc(const plr__trellis *t, float x, uint32_t index, uint32_t quantiser,
                       uint32_t parity, int32_t *q) {
  if (index >= PLR_MODEL_TABLES) return raw_arc(t, x, index, quantiser, parity, q);
  const uint32_t table = quantiser * PLR_MODEL_TABLES + index;
  const float *rate = t->rate + table * 128, m = x < 0 ? -x : x;
  const int32_t limit = t->limit[table];
  if (parity) {
    const float first = quantiser ? 1.0f : 2.0f;
    const int32_t j = round_even((m - first) * 0.25f), v = 2 * j + 1;
    *q = x < 0 ? -v : v;
    return square(m - ((float)(4 * j) + first)) + rate[PLR_MIN(v, 127)];
  }
  const float before = quantiser ? 1.0f : 0.0f;
  const int32_t j = round_even((m + before) * 0.25f);
  int32_t v = 2 * j;
  float cost;
  if (v > limit) {
    v = PLR_MAX(round_even((m + before) * 0.5f), limit + 1);
    cost = square(m - ((float)(2 * v) - before)) + t->escape[table];
  } else {
    cost = square(m - (j ? (float)(4 * j) - before : 0.0f)) + rate[v];
  }
  const float zero = square(m) + rate[0];
  if (zero < cost) cost = zero, v = 0;
  *q = x < 0 ? -v : v;
  return cost;
}

/* One lane of a step: costs of the eight states become those of the next; returns the decisions. */
static uint8_t advance(const float arc[4], float cost[8]) {
  float next[8];
  uint8_t decisions = 0;
  for (uint32_t s = 0; s < 8; s++) {
    const uint32_t a = plr__trellis_from[0][s], b = plr__trellis_from[1][s];
    const float even = cost[a] + arc[(a & 1) * 2], odd = cost[b] + arc[(b & 1) * 2 + 1];
    next[s] = odd < even ? odd : even;
    decisions = (uint8_t)(decisions | (odd < even) << s);
  }
  memcpy(cost, next, sizeof next);
  return decisions;
}

void plr__trellis_forward_portable(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                                   uint32_t lanes, float *cost) {
  for (uint32_t l = 0; l < lanes; l++) {
    float *c = cost + 8 * l;
    for (uint32_t s = 0; s < 8; s++) c[s] = s ? PLR_TRELLIS_NEVER : 0.0f;
    for (size_t i = l, step = 0; i < n; i += lanes, step++) {
      float arc[4];
      int32_t q;
      for (uint32_t k = 0; k < 4; k++)
        arc[k] = plr__trellis_arc(t, x[i], index[i], k >> 1, k & 1, &q);
      t->decisions[i] = advance(arc, c);
      if (step % PLR_TRELLIS_REBASE == PLR_TRELLIS_REBASE - 1) {
        const float base = c[0];
        for (uint32_t s = 0; s < 8; s++) c[s] = c[s] - base;
      }
    }
  }
}

void plr__trellis_encode(plr__trellis *t, uint32_t isa, const float *x, uint8_t *index, size_t n,
                         uint32_t lanes, int32_t *q) {
  float cost[PLR_RANS_LANES * 8];
#if defined(__x86_64__)
  if (isa >= PLR_ISA_AVX2)
    plr__trellis_forward_avx2(t, x, index, n, lanes, cost);
  else
#endif
    plr__trellis_forward_portable(t, x, index, n, lanes, cost);
  (void)isa;
  for (uint32_t l = 0; l < lanes; l++) {
    uint32_t state = 0;
    for (uint32_t s = 1; s < 8; s++)
      if (cost[8 * l + s] < cost[8 * l + state]) state = s;
    for (size_t i = n; i > 0; i -= lanes) {
      const size_t at = i - lanes + l;
      const uint32_t parity = t->decisions[at] >> state & 1u;
      state = plr__trellis_from[parity][state];
      plr__trellis_arc(t, x[at], index[at], state & 1u, parity, &q[at]);
      index[at] = (uint8_t)(index[at] | (state & 1u) << 7);
    }
  }
}
