/* See split.h and FRAME.md. */
#include "exchange/split.h"

#include <string.h>

plr_status plr__split_create(plr__split **out, plr_context *ctx, size_t values) {
  plr__split *s = plr__calloc(ctx, 1, sizeof *s);
  *out = s;
  if (!s) return PLR_ERR_NO_MEMORY;
  s->ops = plr__model_ops_for(plr_context_isa(ctx));
  s->values = values;
  s->tables = plr__calloc(ctx, 1, sizeof *s->tables);
  s->index = plr__calloc(ctx, values, 1);
  s->symbol = plr__alloc(ctx, values);
  s->words = plr__alloc(ctx, 2 * values + 32);
  if (!s->tables || !s->index || !s->symbol || !s->words) return PLR_ERR_NO_MEMORY;
  plr__rans_encoder_clear(s->tables);
  return PLR_OK;
}

void plr__split_destroy(plr__split *s, plr_context *ctx) {
  if (!s) return;
  plr__free(ctx, s->tables);
  plr__free(ctx, s->index);
  plr__free(ctx, s->symbol);
  plr__free(ctx, s->words);
  plr__free(ctx, s);
}

static uint32_t lanes_of(size_t n) {
  return n >= 1024 ? 32 : 8;
}

/* ---- planes ------------------------------------------------------------------------------------- */

/* Exponents to one plane; sign and mantissa, a byte less a value, to the other. */
static void separate2(const uint8_t *restrict v, size_t n, uint8_t *restrict exponent,
                      uint8_t *restrict rest) {
  for (size_t i = 0; i < n; i++) {
    const uint16_t u = plr__load_le16(v + 2 * i);
    exponent[i] = (uint8_t)(u >> 7);
    rest[i] = (uint8_t)((u & 0x7f) | (u >> 8 & 0x80));
  }
}

static void unite2(const uint8_t *restrict exponent, const uint8_t *restrict rest, size_t n,
                   uint8_t *restrict v) {
  for (size_t i = 0; i < n; i++) {
    const uint32_t r = rest[i];
    plr__store_le16(v + 2 * i,
                    (uint16_t)((r & 0x7f) | (uint32_t)exponent[i] << 7 | (r & 0x80) << 8));
  }
}

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

static void unite4(const uint8_t *restrict exponent, const uint8_t *restrict rest, size_t n,
                   uint8_t *restrict v) {
  for (size_t i = 0; i < n; i++) {
    const uint32_t e = exponent[i], r = rest[3 * i + 2];
    v[4 * i] = rest[3 * i];
    v[4 * i + 1] = rest[3 * i + 1];
    v[4 * i + 2] = (uint8_t)((r & 0x7f) | e << 7);
    v[4 * i + 3] = (uint8_t)((r & 0x80) | e >> 1);
  }
}

/* ---- frequencies -------------------------------------------------------------------------------- */

static void count(const uint8_t *symbol, size_t n, uint32_t f[256]) {
  uint32_t part[4][256]; /* equal neighbours would wait for each other's store */
  memset(part, 0, sizeof part);
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (uint32_t k = 0; k < 4; k++) part[k][symbol[i + k]]++;
  for (; i < n; i++) part[0][symbol[i]]++;
  for (uint32_t s = 0; s < 256; s++) f[s] = part[0][s] + part[1][s] + part[2][s] + part[3][s];
}

/* Counts to frequencies of 4096, none 0 that occurs, none all. */
static void normalise(uint32_t f[256], size_t n) {
  uint32_t sum = 0, top = 0;
  for (uint32_t s = 0; s < 256; s++) {
    if (!f[s]) continue;
    f[s] = PLR_MAX(1u, (uint32_t)((uint64_t)f[s] * 4096 / n));
    sum += f[s];
    if (f[s] > f[top]) top = s;
  }
  if (sum == f[top]) { /* nothing else occurs */
    f[top] = 4095, f[top ^ 1] = 1;
    return;
  }
  for (; sum > 4096; sum--) { /* rare ones were raised to 1 */
    uint32_t most = 0;
    for (uint32_t s = 1; s < 256; s++)
      if (f[s] > f[most]) most = s;
    f[most]--;
  }
  f[top] += 4096 - sum;
}

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

#define MOST_TABLE 800u /* 256 codes of up to 25 bits */

size_t plr__symbols_encode(plr__split *s, size_t n, uint8_t *out, size_t cap) {
  uint32_t f[256], state[PLR_RANS_LANES];
  uint8_t table[MOST_TABLE + 2];
  const uint32_t lanes = lanes_of(n);
  const size_t tail = n % lanes;
  uint8_t *end = s->words + 2 * s->values + 32;
  count(s->symbol, n - tail, f);
  normalise(f, n - tail);
  const size_t table_len = write_frequencies(f, table, sizeof table);
  for (uint32_t symbol = 0, start = 0; symbol < 256; start += f[symbol], symbol++)
    if (f[symbol]) plr__rans_encoder_set(s->tables, symbol, start, f[symbol]);
  for (uint32_t l = 0; l < lanes; l++) state[l] = PLR_RANS_LOW;
  uint8_t *words = s->ops->encode(s->tables, s->symbol, s->index, n - tail, lanes, state, end);
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

plr_status plr__symbols_decode(const plr__model_ops *ops, plr__rans_decoder *tables, uint8_t *index,
                               uint8_t *symbol, const uint8_t *in, size_t len, size_t n,
                               const char **why) {
  uint32_t f[256], state[PLR_RANS_LANES];
  const uint8_t *p = in, *end = in + len;
  if (len < 1 || (in[0] != 8 && in[0] != 32)) return bad(why, "unknown lanes");
  const uint32_t lanes = *p++;
  const size_t tail = n % lanes;
  const size_t table_len = read_frequencies(p, (size_t)(end - p), f);
  if (!table_len) return bad(why, "the frequencies are wrong");
  p += table_len;
  plr__rans_decoder_set(tables, f);
  for (uint32_t l = 0; l < lanes; l++) {
    p = plr__rans_get_state(p, end, &state[l]);
    if (!p) return bad(why, "a state is wrong");
  }
  if ((size_t)(end - p) < tail) return bad(why, "it is cut off");
  const uint8_t *last = end - tail;
  memset(index, 0, n);
  p = ops->decode(tables, p, last, index, n - tail, lanes, 0, state, symbol);
  if (p != last) return bad(why, "its words end too early or too late");
  for (uint32_t l = 0; l < lanes; l++)
    if (state[l] != PLR_RANS_LOW) return bad(why, "a state does not end where it must");
  memcpy(symbol + n - tail, last, tail);
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
    separate2(values, n, s->symbol, rest);
  else
    separate4(values, n, s->symbol, rest);
  const size_t coded = plr__symbols_encode(s, n, out, n - 1);
  if (!coded) return;
  memmove(out + coded, rest, rest_len);
  *written = coded + rest_len;
}

plr_status plr__split_decode(const plr__model_ops *ops, plr__rans_decoder *tables, uint8_t *index,
                             uint8_t *symbol, const uint8_t *in, size_t len, size_t n,
                             uint32_t size, uint8_t *values, const char **why) {
  const size_t rest_len = n * (size - 1);
  if (len < rest_len) return bad(why, "it is cut off");
  const uint8_t *rest = in + len - rest_len;
  PLR_TRY(plr__symbols_decode(ops, tables, index, symbol, in, len - rest_len, n, why));
  if (size == 2)
    unite2(symbol, rest, n, values);
  else
    unite4(symbol, rest, n, values);
  return PLR_OK;
}
