/* See split.h and FRAME.md. */
#include "exchange/split.h"

#include <string.h>

plr_status plr__split_create(plr__split **out, plr_context *ctx, size_t values) {
  plr__split *s = plr__calloc(ctx, 1, sizeof *s);
  *out = s;
  if (!s) return PLR_ERR_NO_MEMORY;
  s->ops = plr__bytes_ops_for(plr_context_isa(ctx));
  s->values = values;
  s->symbol = plr__alloc(ctx, values);
  s->words = plr__alloc(ctx, 2 * values + PLR_BYTES_SPARE);
  if (!s->symbol || !s->words) return PLR_ERR_NO_MEMORY;
  plr__bytes_encoder_clear(&s->tables);
  return PLR_OK;
}

void plr__split_destroy(plr__split *s, plr_context *ctx) {
  if (!s) return;
  plr__free(ctx, s->symbol);
  plr__free(ctx, s->words);
  plr__free(ctx, s);
}

static uint32_t lanes_of(size_t n) {
  return n >= 32768 ? 128 : n >= 1024 ? 32 : 8;
}

/* ---- planes ------------------------------------------------------------------------------------- */

/* Those of bf16 are in rans_bytes.h. */
static void separate4(const uint8_t *restrict v, size_t n, uint8_t *restrict exponent,
                      uint8_t *restrict rest) {
  for (size_t i = 0; i < n; i++) {
    const uint32_t middle = v[4 * i + 2], high = v[4 * i + 3];
    exponent[i] = (uint8_t)(high << 1 | middle >> 7);
    rest[3 * i] = v[4 * i];
    rest[3 * i + 1] = v[4 * i + 1];
    rest[3 * i + 2] = (uint8_t)((middle & 0x7f) | (high & 0x80));
  }
}

static uint32_t unite4(const uint8_t *restrict exponent, const uint8_t *restrict rest, size_t n,
                       uint8_t *restrict v) {
  uint8_t largest = 0;
  for (size_t i = 0; i < n; i++) {
    const uint32_t e = exponent[i], r = rest[3 * i + 2];
    largest = PLR_MAX(largest, exponent[i]);
    v[4 * i] = rest[3 * i];
    v[4 * i + 1] = rest[3 * i + 1];
    v[4 * i + 2] = (uint8_t)((r & 0x7f) | e << 7);
    v[4 * i + 3] = (uint8_t)((r & 0x80) | e >> 1);
  }
  return largest;
}

/* ---- frequencies -------------------------------------------------------------------------------- */

/* First and last symbol, and the codes of what lies between; returns bytes. */
static size_t write_frequencies(const uint32_t f[256], uint8_t *out, size_t cap) {
  uint32_t low = 0, high = 255;
  while (!f[low]) low++;
  while (!f[high]) high--;
  plr__bit_writer w = {.out = out + 2, .cap = cap - 2};
  out[0] = (uint8_t)low, out[1] = (uint8_t)high;
  for (uint32_t s = low; s <= high; s++) plr__bits_exp_golomb(&w, f[s]);
  plr__bits_flush(&w);
  return 2 + w.len;
}

static size_t read_frequencies(const uint8_t *in, size_t len, uint32_t f[256]) {
  uint32_t sum = 0;
  memset(f, 0, 256 * sizeof *f);
  if (len < 2 || in[0] > in[1]) return 0;
  plr__bit_reader r = {.front = in + 2, .front_len = len - 2};
  for (uint32_t s = in[0]; s <= in[1]; s++) {
    f[s] = plr__bits_get_exp_golomb(&r);
    if (r.failed || f[s] > 4095) return 0;
    sum += f[s];
  }
  return sum == 4096 && !r.held ? 2 + r.pos : 0;
}

/* ---- symbols ------------------------------------------------------------------------------------ */

#define BLOCK      8192u /* values whose exponents stay in the nearest cache; a multiple of all lanes */
#define MOST_TABLE 800u /* 256 codes of up to 25 bits */

size_t plr__symbols_encode(plr__split *s, size_t n, uint8_t *out, size_t cap) {
  uint32_t f[256], state[PLR_BYTES_LANES];
  uint8_t table[MOST_TABLE + 2];
  const uint32_t lanes = lanes_of(n);
  const size_t tail = n % lanes;
  uint8_t *end = s->words + 2 * s->values + PLR_BYTES_SPARE;
  plr__bytes_count(s->symbol, n - tail, f);
  plr__bytes_normalise(f, n - tail);
  const size_t table_len = write_frequencies(f, table, sizeof table);
  plr__bytes_encoder_set(&s->tables, f);
  for (uint32_t l = 0; l < lanes; l++) state[l] = PLR_RANS_LOW;
  uint8_t *words = s->ops->encode(&s->tables, s->symbol, n - tail, lanes, state, end);
  const size_t words_len = (size_t)(end - words);
  if (1 + table_len + 4 * lanes + words_len + tail > cap) return 0;
  uint8_t *p = out;
  *p++ = (uint8_t)lanes;
  memcpy(p, table, table_len);
  p += table_len;
  for (uint32_t l = 0; l < lanes; l++) p = plr__rans_put_state(p, state[l]);
  memcpy(p, words, words_len);
  p += words_len;
  memcpy(p, s->symbol + n - tail, tail);
  return (size_t)(p - out) + tail;
}

static plr_status bad(const char **why, const char *text) {
  *why = text;
  return PLR_ERR_MALFORMED;
}

plr_status plr__symbols_open(plr__symbols *x, const plr__bytes_ops *ops, plr__bytes_decoder *tables,
                             const uint8_t *in, size_t len, size_t n, const char **why) {
  uint32_t f[256];
  const uint8_t *p = in, *end = in + len;
  if (len < 1 || (in[0] != 8 && in[0] != 32 && in[0] != 128)) return bad(why, "unknown lanes");
  x->ops = ops, x->tables = tables;
  x->lanes = *p++;
  x->tail = n % x->lanes;
  x->left = n - x->tail;
  const size_t table_len = read_frequencies(p, (size_t)(end - p), f);
  if (!table_len) return bad(why, "the frequencies are wrong");
  p += table_len;
  plr__bytes_decoder_set(tables, f);
  for (uint32_t l = 0; l < x->lanes; l++) {
    p = plr__rans_get_state(p, end, &x->state[l]);
    if (!p) return bad(why, "a state is wrong");
  }
  if ((size_t)(end - p) < x->tail) return bad(why, "it is cut off");
  x->words = p, x->end = end - x->tail;
  return PLR_OK;
}

/* m is a multiple of all lanes, or all that are left. */
plr_status plr__symbols_next(plr__symbols *x, size_t m, uint8_t *symbol, const char **why) {
  const size_t coded = PLR_MIN(m, x->left);
  x->words = x->ops->decode(x->tables, x->words, x->end, coded, x->lanes, x->state, symbol);
  if (!x->words) return bad(why, "its words end too early");
  x->left -= coded;
  memcpy(symbol + coded, x->end, m - coded);
  return PLR_OK;
}

plr_status plr__symbols_close(const plr__symbols *x, const char **why) {
  if (x->words != x->end) return bad(why, "its words end too late");
  for (uint32_t l = 0; l < x->lanes; l++)
    if (x->state[l] != PLR_RANS_LOW) return bad(why, "a state does not end where it must");
  return PLR_OK;
}

/* ---- chunk -------------------------------------------------------------------------------------- */

void plr__split_encode(plr__split *s, const uint8_t *values, size_t n, uint32_t size, uint8_t *out,
                       size_t *written) {
  const size_t rest_len = n * (size - 1);
  *written = 0;
  if (n < 64) return;
  /* The rest goes to its place at once if the codes fit; it is moved up to them then. */
  uint8_t *rest = out + n * size - rest_len;
  if (size == 2)
    s->ops->separate(values, n, s->symbol, rest);
  else
    separate4(values, n, s->symbol, rest);
  const size_t coded = plr__symbols_encode(s, n, out, n - 1);
  if (!coded) return;
  memmove(out + coded, rest, rest_len);
  *written = coded + rest_len;
}

plr_status plr__split_decode(const plr__bytes_ops *ops, plr__bytes_decoder *tables, uint8_t *symbol,
                             const uint8_t *in, size_t len, size_t n, uint32_t size,
                             uint8_t *values, uint32_t *largest, const char **why) {
  plr__symbols x;
  const size_t rest_len = n * (size - 1);
  if (len < rest_len) return bad(why, "it is cut off");
  PLR_TRY(plr__symbols_open(&x, ops, tables, in, len - rest_len, n, why));
  *largest = 0;
  for (size_t i = 0; i < n; i += BLOCK) {
    const size_t m = PLR_MIN(BLOCK, n - i);
    PLR_TRY(plr__symbols_next(&x, m, symbol + i, why));
    const uint8_t *rest = in + len - rest_len + i * (size - 1);
    const uint32_t most = size == 2 ? ops->unite(symbol + i, rest, m, values + 2 * i)
                                    : unite4(symbol + i, rest, m, values + 4 * i);
    *largest = PLR_MAX(*largest, most);
  }
  return plr__symbols_close(&x, why);
}
