/* See split.h and FRAME.md. */
#include "exchange/split.h"

#include <string.h>

#define RELATIVE   1u /* first byte: exponents relative to their columns; lanes are more */
#define LEAST_ROWS 8u /* of those */

plr_status plr__split_create(plr__split **out, plr_context *ctx, size_t values) {
  plr__split *s = plr__calloc(ctx, 1, sizeof *s);
  *out = s;
  if (!s) return PLR_ERR_NO_MEMORY;
  s->ops = plr__bytes_ops_for(plr_context_isa(ctx));
  s->values = values;
  s->symbol = plr__alloc(ctx, values);
  s->words = plr__alloc(ctx, 2 * values + PLR_BYTES_SPARE);
  s->offset = plr__alloc(ctx, (values / LEAST_ROWS + 1) * sizeof *s->offset);
  s->sum = plr__alloc(ctx, (values / LEAST_ROWS + 1) * sizeof *s->sum);
  if (!s->symbol || !s->words || !s->offset || !s->sum) return PLR_ERR_NO_MEMORY;
  plr__bytes_encoder_clear(&s->tables);
  return PLR_OK;
}

void plr__split_destroy(plr__split *s, plr_context *ctx) {
  if (!s) return;
  plr__free(ctx, s->symbol);
  plr__free(ctx, s->words);
  plr__free(ctx, s->offset);
  plr__free(ctx, s->sum);
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

/* ---- columns ------------------------------------------------------------------------------------- */

/* Exponents of each column added up, and of all their squares. 256 rows at a time fit 16 bits, which are more to a
 * vector. */
static uint64_t add_columns(const uint8_t *restrict e, size_t rows, size_t cols,
                            uint16_t *restrict part, uint32_t *restrict sum) {
  uint64_t squares = 0;
  memset(sum, 0, cols * sizeof *sum);
  for (size_t first = 0; first < rows; first += 256) {
    const size_t some = PLR_MIN(256, rows - first);
    memset(part, 0, cols * sizeof *part);
    for (size_t r = 0; r < some; r++, e += cols) {
      uint32_t row = 0; /* there are less than 2^16 columns */
      for (size_t c = 0; c < cols; c++) part[c] = (uint16_t)(part[c] + e[c]);
      for (size_t c = 0; c < cols; c++) {
        const int16_t v = e[c];
        row += (uint32_t)(v * v);
      }
      squares += row;
    }
    for (size_t c = 0; c < cols; c++) sum[c] += part[c];
  }
  return squares;
}

/* Mean exponents of the columns, relative to the mean of all; 0 when they do not differ by enough to pay for being
 * sent: what they explain of the variance (of which chance alone makes 1 / rows) has to save three bits a column. All
 * sums fit 64 bits, since n is at most 2^16. */
static int choose_offsets(plr__split *s, size_t n, size_t cols) {
  const size_t rows = n / cols;
  if (rows < LEAST_ROWS || n > PLR_CHUNK_VALUES) return 0;
  const uint64_t squares = add_columns(s->symbol, rows, cols, (uint16_t *)s->offset, s->sum);
  uint64_t total = 0, explained = 0;
  for (size_t c = 0; c < cols; c++) {
    total += s->sum[c];
    explained += (uint64_t)s->sum[c] * s->sum[c];
  }
  if ((explained * cols - total * total) * rows <= 5 * (squares * n - total * total)) return 0;
  for (size_t c = 0; c < cols; c++) { /* rounded, away from the sign of what is divided */
    const uint64_t off = 2 * (s->sum[c] * (uint64_t)cols + 256 * (uint64_t)n - total) + n;
    s->offset[c] = (int16_t)((int64_t)(off / (2 * n)) - 256);
  }
  return 1;
}

/* symbol[i] += shift of its column, mod 256; the first one is that of column `at`. */
static void add_shifts(uint8_t *symbol, size_t n, const uint8_t *shift, size_t cols, size_t at) {
  for (size_t i = 0; i < n; at = 0) {
    const size_t run = PLR_MIN(cols - at, n - i);
    for (size_t k = 0; k < run; k++) symbol[i + k] = (uint8_t)(symbol[i + k] + shift[at + k]);
    i += run;
  }
}

/* Exponents become relative; returns the bytes at out that say to what. */
static size_t relative(plr__split *s, size_t n, size_t cols, uint8_t *out) {
  uint8_t *shift = s->words; /* written to later */
  for (size_t c = 0; c < cols; c++) shift[c] = (uint8_t)-s->offset[c];
  add_shifts(s->symbol, n, shift, cols, 0);
  out[0] = RELATIVE;
  return 1 + plr__rice_write(s->offset, cols, out + 1);
}

/* ---- chunk -------------------------------------------------------------------------------------- */

void plr__split_encode(plr__split *s, const uint8_t *values, size_t n, size_t cols, uint32_t size,
                       uint8_t *out, size_t *written) {
  const size_t rest_len = n * (size - 1);
  *written = 0;
  if (n < 64) return;
  /* The rest goes to its place at once if the codes fit; it is moved up to them then. */
  uint8_t *rest = out + n * size - rest_len;
  if (size == 2)
    s->ops->separate(values, n, s->symbol, rest);
  else
    separate4(values, n, s->symbol, rest);
  /* The offsets of 8 rows or more take less than the n bytes before the rest. */
  const size_t front = choose_offsets(s, n, cols) ? relative(s, n, cols, out) : 0;
  const size_t coded = front < n - 1 ? plr__symbols_encode(s, n, out + front, n - 1 - front) : 0;
  if (!coded) return;
  memmove(out + front + coded, rest, rest_len);
  *written = front + coded + rest_len;
}

/* Shifts of the columns; returns the bytes that they take. */
static size_t read_shifts(const plr__split_scratch *s, const uint8_t *in, size_t len, size_t cols) {
  const size_t used = plr__rice_read(in + 1, len - 1, s->offset, cols);
  for (size_t c = 0; used && c < cols; c++) s->shift[c] = (uint8_t)s->offset[c];
  return used ? 1 + used : 0;
}

plr_status plr__split_decode(const plr__bytes_ops *ops, const plr__split_scratch *scratch,
                             const uint8_t *in, size_t len, size_t n, size_t cols, uint32_t size,
                             uint8_t *values, uint32_t *largest, const char **why) {
  plr__symbols x;
  uint8_t *symbol = scratch->symbol;
  const size_t rest_len = n * (size - 1);
  size_t front = 0;
  if (len <= rest_len) return bad(why, "it is cut off");
  if (in[0] == RELATIVE && scratch->offset) {
    front = read_shifts(scratch, in, len - rest_len, cols);
    if (!front) return bad(why, "the offsets of columns are wrong");
  }
  PLR_TRY(plr__symbols_open(&x, ops, scratch->tables, in + front, len - rest_len - front, n, why));
  *largest = 0;
  for (size_t i = 0; i < n; i += BLOCK) {
    const size_t m = PLR_MIN(BLOCK, n - i);
    PLR_TRY(plr__symbols_next(&x, m, symbol + i, why));
    if (front) add_shifts(symbol + i, m, scratch->shift, cols, i % cols);
    const uint8_t *rest = in + len - rest_len + i * (size - 1);
    const uint32_t most = size == 2 ? ops->unite(symbol + i, rest, m, values + 2 * i)
                                    : unite4(symbol + i, rest, m, values + 4 * i);
    *largest = PLR_MAX(*largest, most);
  }
  return plr__symbols_close(&x, why);
}
