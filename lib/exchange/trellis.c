/* Viterbi's search through the trellis of FRAME.md, in binary32 with one order of operations, so that every version
 * finds the same path. The cost of an arc is its squared error + lambda x bits. */
#include "exchange/trellis_int.h"

#include "kernels/kernels.h"

#include <string.h>

/* Squared steps a bit: what the tables were made for. */
static float lambda(uint32_t table) {
  return table % PLR_MODEL_TABLES < 37 ? 0.6f : 0.45f;
}

static float bits_of(uint32_t frequency) {
  return 12.0f - 1.44269504f * plr__logf((float)frequency);
}

static plr__trellis_ops ops_for(uint32_t isa) {
#if defined(__x86_64__)
  if (isa >= PLR_ISA_AVX512)
    return (plr__trellis_ops){plr__trellis_forward_avx512, plr__trellis_choose_avx2};
  if (isa >= PLR_ISA_AVX2)
    return (plr__trellis_ops){plr__trellis_forward_avx2, plr__trellis_choose_avx2};
#endif
  (void)isa;
  return (plr__trellis_ops){plr__trellis_forward_portable, plr__trellis_choose_portable};
}

plr_status plr__trellis_create(plr__trellis **out, plr_context *ctx, size_t values) {
  plr__trellis *t = plr__calloc(ctx, 1, sizeof *t);
  *out = t;
  if (!t) return PLR_ERR_NO_MEMORY;
  t->ops = ops_for(plr_context_isa(ctx));
  /* 32 lanes take two bytes a value; 8, which few values have, eight. */
  t->decisions = plr__alloc(ctx, PLR_MAX(2 * values, 8 * PLR_MIN(values, 4096)) + 64);
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

float plr__trellis_arc(const plr__trellis *t, float x, uint32_t index, uint32_t quantiser,
                       uint32_t parity, int32_t *q) {
  const uint32_t raw = plr__model_raw(index);
  const uint32_t table = quantiser * PLR_MODEL_TABLES + plr__model_table(index);
  const float *rate = t->rate + table * 128, m = x < 0 ? -x : x;
  const float first = parity ? (quantiser ? 1.0f : 2.0f) : (quantiser ? -1.0f : 0.0f);
  const int32_t limit = t->limit[table], j = round_even((m - first) * 0.25f);
  int32_t v = 2 * j + (int32_t)parity;
  const int32_t y = plr__model_symbol(x < 0 ? -v : v, raw, 1), s = y < 0 ? -y : y;
  float cost = square(m - (v ? (float)(4 * j) + first : 0.0f));
  if (s <= limit) {
    cost = cost + rate[s];
  } else if (parity) {
    cost = PLR_TRELLIS_NEVER; /* what escapes counts as even */
  } else {
    if (!raw) {
      v = PLR_MAX(round_even((m - first) * 0.5f), limit + 1);
      cost = square(m - ((float)(2 * v) + first));
    }
    cost = cost + t->escape[table];
  }
  const float zero = square(m) + rate[0];
  if (!parity && zero < cost) cost = zero, v = 0;
  *q = x < 0 ? -v : v;
  return cost;
}

/* One lane of a step: costs of the states become those of the next; returns the decisions. */
static uint32_t advance(const float arc[4], float cost[PLR_TRELLIS_STATES]) {
  float next[PLR_TRELLIS_STATES];
  uint32_t decisions = 0;
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) {
    const uint32_t a = plr__trellis_from(s, 0), b = plr__trellis_from(s, 1);
    const float even = cost[a] + arc[(a & 1) * 2], odd = cost[b] + arc[(b & 1) * 2 + 1];
    next[s] = odd < even ? odd : even;
    decisions |= (uint32_t)(odd < even) << s;
  }
  memcpy(cost, next, sizeof next);
  return decisions;
}

void plr__trellis_forward_portable(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                                   uint32_t lanes, float *cost) {
  memset(t->decisions, 0, n / lanes * PLR_TRELLIS_STEP);
  for (uint32_t l = 0; l < lanes; l++) {
    float *c = cost + PLR_TRELLIS_STATES * l;
    for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) c[s] = s ? PLR_TRELLIS_NEVER : 0.0f;
    for (size_t i = l, step = 0; i < n; i += lanes, step++) {
      float arc[4];
      int32_t q;
      for (uint32_t k = 0; k < 4; k++)
        arc[k] = plr__trellis_arc(t, x[i], index[i], k >> 1, k & 1, &q);
      const uint32_t decisions = advance(arc, c);
      uint8_t *to = t->decisions + step * PLR_TRELLIS_STEP + l / 8;
      for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++)
        to[4 * s] = (uint8_t)(to[4 * s] | (decisions >> s & 1) << l % 8);
      if (step % PLR_TRELLIS_REBASE == PLR_TRELLIS_REBASE - 1) {
        const float base = c[0];
        for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++) c[s] = c[s] - base;
      }
    }
  }
}

void plr__trellis_choose_portable(const plr__trellis *t, const float *x, const uint8_t *index,
                                  size_t n, int32_t *q) {
  for (size_t i = 0; i < n; i++)
    plr__trellis_arc(t, x[i], index[i] & 127u, index[i] >> 7, (uint32_t)q[i], &q[i]);
}

/* The path from its end: quantisers into index, parities into q. */
static void trace(const plr__trellis *t, const float *cost, uint8_t *index, size_t n,
                  uint32_t lanes, int32_t *q) {
  uint8_t from[2 * PLR_TRELLIS_STATES], state[PLR_RANS_LANES];
  for (uint32_t s = 0; s < PLR_TRELLIS_STATES; s++)
    for (uint32_t parity = 0; parity < 2; parity++)
      from[2 * s + parity] = (uint8_t)plr__trellis_from(s, parity);
  for (uint32_t l = 0; l < lanes; l++) {
    const float *c = cost + PLR_TRELLIS_STATES * l;
    state[l] = 0;
    for (uint8_t s = 1; s < PLR_TRELLIS_STATES; s++)
      if (c[s] < c[state[l]]) state[l] = s;
  }
  for (size_t step = n / lanes; step-- > 0;) {
    const uint8_t *decisions = t->decisions + step * PLR_TRELLIS_STEP;
    for (uint32_t l = 0; l < lanes; l++) {
      const uint32_t parity = decisions[4 * state[l] + l / 8] >> l % 8 & 1u;
      const uint8_t s = from[2 * state[l] + parity];
      const size_t at = step * lanes + l;
      index[at] = (uint8_t)(index[at] | (s & 1u) << 7);
      q[at] = (int32_t)parity;
      state[l] = s;
    }
  }
}

void plr__trellis_encode(plr__trellis *t, const float *x, uint8_t *index, size_t n, uint32_t lanes,
                         int32_t *q) {
  float cost[PLR_RANS_LANES * PLR_TRELLIS_STATES];
  t->ops.forward(t, x, index, n, lanes, cost);
  trace(t, cost, index, n, lanes, q);
  t->ops.choose(t, x, index, n, q);
}
