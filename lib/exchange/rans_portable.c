/* The interleaved range coder (rANS: J. Duda, arXiv 1311.2540; interleaving: F. Giesen, arXiv 1402.3392), a lane after
 * the other, and its tables. FRAME.md says what the bytes mean. */
#include "exchange/rans.h"

#include <string.h>

static const uint16_t *frequencies_of(uint32_t family, uint32_t table, uint32_t *limit) {
  const uint32_t row = family * PLR_MODEL_TABLES + table;
  const uint16_t *f = plr__model.frequencies;
  for (uint32_t i = 0; i < row; i++) f += plr__model.limits[i] + 1;
  *limit = plr__model.limits[row];
  return f;
}

/* Calls visit for every symbol of a table in the order of its slots: -limit .. limit, the escape. */
typedef void visit_fn(void *arg, uint32_t symbol, uint32_t start, uint32_t frequency);

static void visit_table(uint32_t family, uint32_t table, visit_fn *visit, void *arg) {
  uint32_t limit, start = 0;
  const uint16_t *f = frequencies_of(family, table, &limit);
  for (uint32_t s = PLR_MODEL_ZERO - limit; s <= PLR_MODEL_ZERO + limit; s++) {
    const uint32_t magnitude = s < PLR_MODEL_ZERO ? PLR_MODEL_ZERO - s : s - PLR_MODEL_ZERO;
    visit(arg, s, start, f[magnitude]);
    start += f[magnitude];
  }
  visit(arg, PLR_MODEL_ESCAPE, start, 4096u - start);
}

/* Division of x < 2^31 by f as a multiplication (R. Alverson, 1991), so that vectors can do it too. f = 1 has no
 * such reciprocal: x - 1 comes out, which the bias makes good. */
void plr__rans_entry(uint32_t entry[2], uint32_t start, uint32_t f) {
  uint32_t shift = 0, bias = start, reciprocal = 0xffffffffu;
  if (f == 1) {
    bias += 4095;
  } else {
    while (f > UINT32_C(1) << shift) shift++;
    reciprocal = (uint32_t)(((UINT64_C(1) << (shift + 31)) + f - 1) / f);
    shift--;
  }
  entry[0] = reciprocal;
  entry[1] = f | shift << 12 | bias << 16;
}

static void encoder_entry(void *arg, uint32_t symbol, uint32_t start, uint32_t f) {
  uint32_t(*entry)[2] = arg;
  plr__rans_entry(entry[symbol], start, f);
}

void plr__rans_compress(uint8_t compress[256][8]) {
  for (uint32_t mask = 0; mask < 256; mask++)
    for (uint32_t lane = 8, at = 8; lane-- > 0;)
      if (mask >> lane & 1) compress[mask][--at] = (uint8_t)lane;
}

void plr__rans_expand(uint8_t expand[256][8]) {
  for (uint32_t mask = 0; mask < 256; mask++)
    for (uint32_t lane = 0, at = 0; lane < 8; lane++) {
      expand[mask][lane] = (uint8_t)(at & 7);
      at += mask >> lane & 1;
    }
}

void plr__rans_encoder_build(plr__rans_encoder *t, uint32_t first, uint32_t families) {
  memset(t, 0, sizeof *t);
  plr__rans_compress(t->compress);
  for (uint32_t i = 0; i < families * PLR_MODEL_TABLES; i++)
    visit_table(first + i / PLR_MODEL_TABLES, i % PLR_MODEL_TABLES, encoder_entry,
                t->entry + 256 * i);
}

typedef struct decoder_at {
  uint8_t *symbol;
  uint32_t *slot;
} decoder_at;

static void decoder_entry(void *arg, uint32_t symbol, uint32_t start, uint32_t f) {
  const decoder_at *at = arg;
  memset(at->symbol + start, (int)symbol, f);
  at->slot[symbol] = f | start << 16;
}

void plr__rans_decoder_build(plr__rans_decoder *t, uint32_t first, uint32_t families) {
  memset(t->symbol + sizeof t->symbol - 4, 0, 4);
  for (uint32_t i = 0; i < families * PLR_MODEL_TABLES; i++) {
    decoder_at at = {t->symbol + 4096 * i, t->slot + 256 * i};
    visit_table(first + i / PLR_MODEL_TABLES, i % PLR_MODEL_TABLES, decoder_entry, &at);
  }
  plr__rans_expand(t->expand);
}

uint8_t *plr__rans_put_state(uint8_t *p, uint32_t x) {
  const uint32_t more = x >> 23;
  plr__store_le16(p, (uint16_t)x);
  p[2] = (uint8_t)((x >> 16 & 0x7f) | (more ? 0x80 : 0));
  p += 3;
  if (more) *p++ = (uint8_t)more;
  return p;
}

const uint8_t *plr__rans_get_state(const uint8_t *p, const uint8_t *end, uint32_t *x) {
  if (end - p < 3 || end - p < 3 + (p[2] >> 7)) return NULL;
  *x = plr__load_le16(p) | (p[2] & 0x7fu) << 16;
  if (p[2] >> 7) {
    if (p[3] == 0) return NULL; /* longer than it must be */
    *x |= (uint32_t)p[3] << 23;
    p++;
  }
  p += 3;
  return *x < PLR_RANS_LOW ? NULL : p;
}

uint8_t *plr__rans_encode_portable(const plr__rans_encoder *t, const uint8_t *symbol,
                                   const uint8_t *index, size_t n, uint32_t lanes, uint32_t *state,
                                   uint8_t *end) {
  for (size_t i = n; i-- > 0;) {
    const uint32_t table = plr__model_table(index[i] & 127u) + (index[i] >> 7) * PLR_MODEL_TABLES;
    state[i % lanes] = plr__rans_step(t->entry[table * 256 + symbol[i]], state[i % lanes], &end);
  }
  return end;
}

const uint8_t *plr__rans_decode_from(const plr__rans_decoder *t, const uint8_t *words,
                                     const uint8_t *end, uint8_t *index, size_t first, size_t n,
                                     uint32_t lanes, uint32_t trellis, uint32_t *state,
                                     uint32_t *lane_state, uint8_t *symbol) {
  for (size_t i = first; i < n; i++) {
    uint32_t x = state[i % lanes], family = 0;
    if (trellis) {
      family = lane_state[i % lanes] & 1;
      index[i] = (uint8_t)(index[i] | family << 7);
    }
    const uint32_t table = plr__model_table(index[i] & 127u) + family * PLR_MODEL_TABLES;
    const uint32_t place = x & 4095u, s = t->symbol[table * 4096 + place];
    const uint32_t slot = t->slot[table * 256 + s];
    x = (slot & 0xffffu) * (x >> 12) + place - (slot >> 16);
    if (x < PLR_RANS_LOW) {
      if (end - words < 2) return NULL;
      x = x << 16 | plr__load_le16(words);
      words += 2;
    }
    state[i % lanes] = x;
    symbol[i] = (uint8_t)s;
    /* The parity of the symbol, whose zero is 127; an escape counts as even. */
    if (trellis) lane_state[i % lanes] = plr__trellis_next(lane_state[i % lanes], (s & 1) ^ 1);
  }
  return words;
}

const uint8_t *plr__rans_decode_portable(const plr__rans_decoder *t, const uint8_t *words,
                                         const uint8_t *end, uint8_t *index, size_t n,
                                         uint32_t lanes, uint32_t trellis, uint32_t *state,
                                         uint8_t *symbol) {
  uint32_t lane_state[PLR_RANS_LANES] = {0};
  return plr__rans_decode_from(t, words, end, index, 0, n, lanes, trellis, state, lane_state,
                               symbol);
}
