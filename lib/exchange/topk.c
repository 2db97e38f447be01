/* See topk.h and FRAME.md. */
#include "exchange/topk.h"

#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

#define LEVELS    4u
#define HEAD      23u /* levels, Rice parameter, frequencies */
#define MOST_GAP  5u  /* bytes of a gap's code: 15 ones and an Exp-Golomb code of less than 4096 */
#define RICE_MOST 7u

struct plr__topk {
  plr__bytes_encoder tables;
  uint32_t keep;
  float *kept;     /* of the whole tensor, in order */
  uint16_t *place; /* in its group */
  uint8_t *symbol; /* all of these kept[] */
  size_t count, next;
  float level[LEVELS];
  uint32_t keys[PLR_TOPK_GROUP], near[PLR_TOPK_GROUP];
  uint8_t *words;
  size_t words_size;
};

plr_status plr__topk_create(plr__topk **out, plr_context *ctx, const plr_codec *codec,
                            uint32_t max_rows, uint32_t max_cols, size_t values) {
  plr__topk *t = plr__calloc(ctx, 1, sizeof *t);
  *out = t;
  if (!t) return PLR_ERR_NO_MEMORY;
  t->keep = codec->group;
  /* The last group of each chunk may be short and then rounds up. */
  const uint64_t all = (uint64_t)max_rows * max_cols;
  const size_t most =
      (size_t)(plr__topk_kept(t->keep, all) + plr__chunk_count(codec, max_rows, max_cols));
  t->words_size = 2 * (size_t)plr__topk_kept(t->keep, values) + PLR_BYTES_SPARE;
  t->kept = plr__alloc(ctx, most * sizeof *t->kept);
  t->place = plr__alloc(ctx, most * sizeof *t->place);
  t->symbol = plr__alloc(ctx, most);
  t->words = plr__alloc(ctx, t->words_size);
  if (!t->kept || !t->place || !t->symbol || !t->words) return PLR_ERR_NO_MEMORY;
  plr__bytes_encoder_clear(&t->tables);
  return PLR_OK;
}

void plr__topk_destroy(plr__topk *t, plr_context *ctx) {
  if (!t) return;
  plr__free(ctx, t->kept);
  plr__free(ctx, t->place);
  plr__free(ctx, t->symbol);
  plr__free(ctx, t->words);
  plr__free(ctx, t);
}

uint64_t plr__topk_bound(const plr_codec *c, uint64_t n) {
  return HEAD + 4 + (2 + MOST_GAP) * plr__topk_kept(c->group, n) + 1;
}

/* ---- what is kept -------------------------------------------------------------------------------- */

/* The bucket of which the need-th value from above is one; need is then counted in it. */
static uint32_t bucket_of(const uint16_t *count, uint32_t buckets, uint32_t *need) {
  uint32_t b = buckets - 1;
  while (count[b] < *need) *need -= count[b--];
  return b;
}

/* Those of n keys whose bits above `shift` are `prefix`, counted by the `bits` below; then the bucket's. */
static uint32_t narrow(uint32_t *near, uint32_t *n, uint32_t prefix, uint32_t shift, uint32_t bits,
                       uint32_t *need) {
  uint16_t count[1024] = {0};
  const uint32_t low = shift - bits, mask = (1u << bits) - 1;
  uint32_t left = 0;
  for (uint32_t i = 0; i < *n; i++) {
    if (near[i] >> shift != prefix) continue;
    count[near[i] >> low & mask]++;
    near[left++] = near[i];
  }
  *n = left;
  return prefix << bits | bucket_of(count, 1u << bits, need);
}

/* The keep-th largest of n magnitudes, as bits; *ties: how many of those equal to it are kept. UINT32_MAX when a value
 * is not finite. Radix selection, from the 11 bits of exponent and first mantissa bits down. */
static uint32_t threshold(plr__topk *t, const float *x, uint32_t n, uint32_t keep, uint32_t *ties) {
  uint16_t count[2048] = {0};
  for (uint32_t i = 0; i < n; i++) {
    t->keys[i] = plr__f32_bits(x[i]) & 0x7fffffffu;
    count[t->keys[i] >> 20]++;
  }
  for (uint32_t b = 2040; b < 2048; b++)
    if (count[b]) return UINT32_MAX;
  *ties = keep;
  const uint32_t top = bucket_of(count, 2048, ties);
  uint32_t near = 0;
  for (uint32_t i = 0; i < n; i++) {
    t->near[near] = t->keys[i]; /* written in any case: the branch would often be guessed wrong */
    near += t->keys[i] >> 20 == top;
  }
  const uint32_t middle = narrow(t->near, &near, top, 20, 10, ties);
  return narrow(t->near, &near, middle, 10, 10, ties);
}

/* The largest of a group, in order; of equal ones those that come first. */
static int select_group(plr__topk *t, const float *x, uint32_t n) {
  const uint32_t keep = (uint32_t)plr__topk_kept(t->keep, n);
  uint32_t ties, count = 0;
  const uint32_t least = threshold(t, x, n, keep, &ties);
  if (least == UINT32_MAX) return 0;
  float *kept = t->kept + t->count;
  uint16_t *place = t->place + t->count;
  for (uint32_t i = 0; i < n; i++) {
    if (t->keys[i] < least) continue;
    if (t->keys[i] == least) {
      if (!ties) continue;
      ties--;
    }
    kept[count] = x[i], place[count] = (uint16_t)i;
    count++;
  }
  t->count += count;
  return 1;
}

/* ---- levels -------------------------------------------------------------------------------------- */

/* Nearest even for 0 <= x <= 3. */
static uint32_t round_small(float x) {
  return plr__f32_bits(x + 8388608.0f) - 0x4b000000u;
}

/* Four bins over six standard deviations around the mean; the level of a bin is the mean of what fell into it. */
static int quantise(plr__topk *t) {
  const double n = (double)t->count;
  double sum = 0, squares = 0, sums[LEVELS] = {0};
  uint64_t counts[LEVELS] = {0};
  for (size_t i = 0; i < t->count; i++) sum += (double)t->kept[i];
  const float shift = (float)(sum / n);
  for (size_t i = 0; i < t->count; i++) {
    t->kept[i] -= shift;
    squares += (double)t->kept[i] * (double)t->kept[i];
  }
  float scale = t->count > 1 ? (float)(1.5 * sqrt(squares / (n - 1))) : 0.0f;
  if (!(scale > 0.0f && plr__f32_bits(scale) < 0x7f800000u)) scale = 1.0f;
  for (size_t i = 0; i < t->count; i++) {
    const float at = t->kept[i] / scale + 2.0f;
    const uint32_t q = round_small(PLR_MAX(0.0f, PLR_MIN(3.0f, at)));
    t->symbol[i] = (uint8_t)q;
    sums[q] += (double)t->kept[i];
    counts[q]++;
  }
  for (uint32_t q = 0; q < LEVELS; q++) {
    const float mean = counts[q] ? (float)(sums[q] / (double)counts[q]) : 0.0f;
    t->level[q] = mean + shift;
    if ((plr__f32_bits(t->level[q]) & 0x7fffffffu) >= 0x7f800000u) return 0;
  }
  return 1;
}

plr_status plr__topk_plan(plr__topk *t, const plr__view *x, uint32_t rows, float *staging) {
  t->count = t->next = 0;
  for (uint32_t first = 0; first < x->rows; first += rows) {
    const uint32_t some = PLR_MIN(rows, x->rows - first);
    const size_t n = (size_t)some * x->cols;
    const float *values = plr__view_rows(x, first, some, staging);
    for (size_t i = 0; i < n; i += PLR_TOPK_GROUP)
      if (!select_group(t, values + i, (uint32_t)PLR_MIN(PLR_TOPK_GROUP, n - i)))
        return PLR_ERR_NON_FINITE;
  }
  return quantise(t) ? PLR_OK : PLR_ERR_NON_FINITE;
}

/* ---- payload ------------------------------------------------------------------------------------- */

/* A gap as the number whose Rice code (FRAME.md) is that of the gap itself. */
static int32_t signed_of(uint32_t gap) {
  return gap & 1 ? -(int32_t)(gap >> 1) - 1 : (int32_t)(gap >> 1);
}
static uint32_t unsigned_of(int32_t v) {
  return v < 0 ? 2u * (uint32_t)(-(v + 1)) + 1u : 2u * (uint32_t)v;
}

/* Calls for each gap of the chunk: places start again in each group. */
typedef struct gaps {
  size_t i, end, group_end;
  uint32_t before;
} gaps;

static uint32_t next_gap(gaps *g, const plr__topk *t) {
  if (g->i == g->group_end) g->group_end = PLR_MIN(g->end, g->i + t->keep), g->before = 0;
  const uint32_t gap = t->place[g->i] - g->before;
  g->before = t->place[g->i++] + 1u;
  return gap;
}

static gaps gaps_of(const plr__topk *t, size_t count) {
  return (gaps){.i = t->next, .end = t->next + count, .group_end = t->next};
}

static uint32_t best_rice(const plr__topk *t, size_t count) {
  uint64_t bits[RICE_MOST + 1] = {0};
  uint32_t best = 0;
  for (gaps g = gaps_of(t, count); g.i < g.end;) {
    const int32_t v = signed_of(next_gap(&g, t));
    for (uint32_t k = 3; k <= RICE_MOST; k++) bits[k] += plr__rice_length(v, k);
  }
  for (uint32_t k = best = 3; k <= RICE_MOST; k++)
    if (bits[k] < bits[best]) best = k;
  return best;
}

size_t plr__topk_encode(plr__topk *t, size_t n, uint8_t *out) {
  const size_t count = (size_t)plr__topk_kept(t->keep, n);
  const uint8_t *symbol = t->symbol + t->next;
  uint32_t f[256], state = PLR_RANS_LOW;
  const uint32_t k = best_rice(t, count);
  for (uint32_t q = 0; q < LEVELS; q++) plr__store_le32(out + 4 * q, plr__f32_bits(t->level[q]));
  out[16] = (uint8_t)k;
  plr__bytes_count(symbol, count, f);
  plr__bytes_normalise(f, count);
  plr__bytes_encoder_set(&t->tables, f);
  for (uint32_t q = 0; q < 3; q++) plr__store_le16(out + 17 + 2 * q, (uint16_t)f[q]);
  uint8_t *end = t->words + t->words_size;
  const uint8_t *words = plr__bytes_portable.encode(&t->tables, symbol, count, 1, &state, end);
  uint8_t *p = plr__rans_put_state(out + HEAD, state);
  memcpy(p, words, (size_t)(end - words));
  p += end - words;
  plr__bit_writer w = {.out = p, .cap = MOST_GAP * count + 1};
  for (gaps g = gaps_of(t, count); g.i < g.end;) plr__bits_rice(&w, signed_of(next_gap(&g, t)), k);
  plr__bits_flush(&w);
  t->next += count;
  return (size_t)(p - out) + w.len;
}

static plr_status read_head(const uint8_t *in, float level[LEVELS], uint32_t f[256],
                            const char **why) {
  *why = "a level is not finite";
  for (uint32_t q = 0; q < LEVELS; q++) {
    level[q] = plr__f32_from_bits(plr__load_le32(in + 4 * q));
    if ((plr__f32_bits(level[q]) & 0x7fffffffu) >= 0x7f800000u) return PLR_ERR_NON_FINITE;
  }
  *why = "the frequencies are wrong";
  memset(f, 0, 256 * sizeof *f);
  uint32_t left = 4096;
  for (uint32_t q = 0; q < 3; q++) {
    f[q] = plr__load_le16(in + 17 + 2 * q);
    if (f[q] > 4095 || f[q] > left) return PLR_ERR_MALFORMED;
    left -= f[q];
  }
  f[3] = left;
  if (left > 4095) return PLR_ERR_MALFORMED;
  *why = "the Rice parameter is wrong";
  return in[16] <= RICE_MOST ? PLR_OK : PLR_ERR_MALFORMED;
}

/* Values to their places. */
static plr_status place_values(plr__bit_reader *r, uint32_t k, const plr_codec *c,
                               const uint8_t *symbol, const float level[LEVELS], size_t n,
                               float *y) {
  memset(y, 0, n * sizeof *y);
  for (size_t first = 0; first < n; first += PLR_TOPK_GROUP) {
    const size_t group = PLR_MIN(PLR_TOPK_GROUP, n - first);
    uint64_t at = 0; /* gaps are less than 2^26 and cannot make it overflow */
    for (uint64_t i = plr__topk_kept(c->group, group); i > 0; i--, at++) {
      at += unsigned_of(plr__bits_get_rice(r, k));
      if (r->failed || at >= group) return PLR_ERR_MALFORMED;
      y[first + at] = level[*symbol++];
    }
  }
  return plr__bits_done(r) ? PLR_OK : PLR_ERR_MALFORMED;
}

plr_status plr__topk_decode(const plr_codec *c, plr__bytes_decoder *tables, uint8_t *symbol,
                            const uint8_t *in, size_t len, size_t n, float *y, const char **why) {
  const size_t count = (size_t)plr__topk_kept(c->group, n);
  const uint8_t *end = in + len;
  float level[LEVELS];
  uint32_t f[256], state;
  *why = "it is cut off";
  if (len < HEAD) return PLR_ERR_MALFORMED;
  PLR_TRY(read_head(in, level, f, why));
  plr__bytes_decoder_set(tables, f);
  *why = "its state is wrong";
  const uint8_t *p = plr__rans_get_state(in + HEAD, end, &state);
  if (!p) return PLR_ERR_MALFORMED;
  *why = "its words end too early";
  p = plr__bytes_portable.decode(tables, p, end, count, 1, &state, symbol);
  if (!p || state != PLR_RANS_LOW) return PLR_ERR_MALFORMED;
  plr__bit_reader r = {.rest = p, .rest_len = (size_t)(end - p)};
  *why = "its places are wrong";
  return place_values(&r, in[16], c, symbol, level, n, y);
}
