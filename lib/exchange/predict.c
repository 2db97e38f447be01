/* See predict.h. Entries are found by their key in a hash table and replaced in the order of their last use, so
 * that both ends, which see the same frames, hold the same. */
#include "exchange/predict.h"

#include "tensor/tensor.h"

#include <string.h>

#define NONE        UINT32_MAX
#define MOST_VISITS 15u /* an anchor's newest row weighs at least 1/16 */

typedef struct entry {
  uint64_t key;
  uint32_t next;         /* in its bucket */
  uint32_t newer, older; /* in the order of use */
  uint32_t visits;       /* frames that it was in; 0: its rows mean nothing */
} entry;

struct plr__predictor {
  plr_context *ctx;
  uint32_t entries, rows, max_rows, max_cols;
  uint32_t used, newest, oldest;
  uint32_t mask; /* of the buckets */
  uint32_t *bucket;
  entry *entry;
  uint8_t *values; /* [entries][rows][cols] bf16, little-endian, as they are hashed */
  float *kept;     /* rows of the frame as decoded */
  uint64_t *keys;
  uint32_t *found; /* entry of each key, NONE where nothing is predicted */
  /* What entries were made of. */
  uint32_t predict, cols, group, generation;
  /* The frame begun. */
  plr__frame frame;
  uint32_t fresh, frame_group; /* group: rows a key */
};

plr_status plr__predictor_create(plr__predictor **out, plr_context *ctx, uint32_t entries,
                                 uint32_t rows, uint32_t max_rows, uint32_t max_cols) {
  uint32_t buckets = 1;
  *out = NULL;
  if (entries > UINT32_C(1) << 30) return PLR_ERR_LIMIT;
  const uint64_t values = (uint64_t)rows * max_cols;
  if (values > (uint64_t)(SIZE_MAX / 4) / entries) return PLR_ERR_LIMIT;
  plr__predictor *p = plr__calloc(ctx, 1, sizeof *p);
  if (!p) return PLR_ERR_NO_MEMORY;
  while (buckets < entries) buckets *= 2;
  p->ctx = ctx;
  p->entries = entries, p->rows = rows, p->max_rows = max_rows, p->max_cols = max_cols;
  p->mask = buckets - 1;
  p->bucket = plr__alloc(ctx, buckets * sizeof *p->bucket);
  p->entry = plr__alloc(ctx, entries * sizeof *p->entry);
  p->values = plr__alloc(ctx, (size_t)(values * entries) * 2);
  p->kept = plr__alloc(ctx, (size_t)max_rows * max_cols * sizeof *p->kept);
  p->keys = plr__calloc(ctx, max_rows, sizeof *p->keys);
  p->found = plr__alloc(ctx, max_rows * sizeof *p->found);
  if (!p->bucket || !p->entry || !p->values || !p->kept || !p->keys || !p->found) {
    plr__predictor_destroy(p);
    return PLR_ERR_NO_MEMORY;
  }
  plr__predictor_clear(p);
  *out = p;
  return PLR_OK;
}

void plr__predictor_destroy(plr__predictor *p) {
  if (!p) return;
  plr__free(p->ctx, p->bucket);
  plr__free(p->ctx, p->entry);
  plr__free(p->ctx, p->values);
  plr__free(p->ctx, p->kept);
  plr__free(p->ctx, p->keys);
  plr__free(p->ctx, p->found);
  plr__free(p->ctx, p);
}

void plr__predictor_clear(plr__predictor *p) {
  p->used = 0;
  p->newest = p->oldest = NONE;
  memset(p->bucket, 0xff, ((size_t)p->mask + 1) * sizeof *p->bucket);
}

uint64_t *plr__predictor_keys(plr__predictor *p) {
  return p->keys;
}

/* ---- entries ------------------------------------------------------------------------------------ */

static uint32_t *bucket_of(const plr__predictor *p, uint64_t key) {
  const uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio */
  return p->bucket + (h >> 32 & p->mask);
}

static uint32_t find(const plr__predictor *p, uint64_t key) {
  uint32_t i = *bucket_of(p, key);
  while (i != NONE && p->entry[i].key != key) i = p->entry[i].next;
  return i;
}

static void leave_order(plr__predictor *p, uint32_t i) {
  const entry *e = p->entry + i;
  *(e->newer == NONE ? &p->newest : &p->entry[e->newer].older) = e->older;
  *(e->older == NONE ? &p->oldest : &p->entry[e->older].newer) = e->newer;
}

static void enter_order(plr__predictor *p, uint32_t i) {
  entry *e = p->entry + i;
  e->newer = NONE, e->older = p->newest;
  *(p->newest == NONE ? &p->oldest : &p->entry[p->newest].newer) = i;
  p->newest = i;
}

static void leave_bucket(plr__predictor *p, uint32_t i) {
  uint32_t *at = bucket_of(p, p->entry[i].key);
  while (*at != i) at = &p->entry[*at].next;
  *at = p->entry[i].next;
}

/* The entry of a key, which is now the newest; made in place of the oldest where there is none. */
static uint32_t take(plr__predictor *p, uint64_t key) {
  uint32_t i = find(p, key);
  if (i != NONE) {
    leave_order(p, i);
  } else {
    if (p->used < p->entries) {
      i = p->used++;
    } else {
      i = p->oldest;
      leave_bucket(p, i);
      leave_order(p, i);
    }
    uint32_t *bucket = bucket_of(p, key);
    p->entry[i] = (entry){.key = key, .next = *bucket};
    *bucket = i;
  }
  enter_order(p, i);
  return i;
}

static uint8_t *values_of(const plr__predictor *p, uint32_t i) {
  return p->values + (size_t)i * p->rows * p->max_cols * 2;
}

static float value(const uint8_t *row, size_t c) {
  return plr__bf16_to_f32(plr__load_le16(row + 2 * c));
}

/* ---- one frame ----------------------------------------------------------------------------------- */

plr_status plr__predictor_begin(plr__predictor *p, const plr__frame *f) {
  const plr_frame_info *info = &f->info;
  p->frame = *f;
  p->frame_group = info->rows / f->keys;
  p->fresh = p->predict != info->codec.predict || p->cols != info->cols ||
             p->group != p->frame_group || p->generation != info->generation;
  for (uint32_t i = 0; i < f->keys; i++) p->found[i] = NONE;
  return p->frame_group > p->rows ? PLR_ERR_LIMIT : PLR_OK;
}

/* Which entries the keys have; nothing is predicted by flagged frames. */
void plr__predictor_look_up(plr__predictor *p) {
  for (uint32_t i = 0; i < p->frame.keys; i++)
    p->found[i] = p->fresh || p->frame.info.flags ? NONE : find(p, p->keys[i]);
}

void plr__predictor_make_plain(plr__predictor *p) {
  p->frame.info.flags = PLR_FRAME_PLAIN;
  plr__predictor_look_up(p);
}

static const uint8_t *row_of(const plr__predictor *p, uint32_t row) {
  const uint32_t i = p->found[row / p->frame_group];
  if (i == NONE) return NULL;
  return values_of(p, i) + (size_t)(row % p->frame_group) * p->cols * 2;
}

uint64_t plr__predictor_hash(const plr__predictor *p) {
  uint8_t link[20];
  uint64_t h = 0;
  for (uint32_t r = 0; r < p->frame.info.rows; r++) {
    const uint8_t *row = row_of(p, r);
    if (!row) continue;
    plr__store_le64(link, h);
    plr__store_le64(link + 8, plr__xxh3_64(row, (size_t)p->cols * 2));
    plr__store_le32(link + 16, r);
    h = plr__xxh3_64(link, sizeof link);
  }
  return h;
}

void plr__predictor_subtract(const plr__predictor *p, uint32_t row, const float *x, float *y) {
  const uint8_t *from = row_of(p, row);
  const uint32_t cols = p->frame.info.cols;
  if (!from && x != y) memcpy(y, x, cols * sizeof *y);
  for (uint32_t c = 0; from && c < cols; c++) y[c] = x[c] - value(from, c);
}

void plr__predictor_add(const plr__predictor *p, uint32_t row, float *y) {
  const uint8_t *from = row_of(p, row);
  const uint32_t cols = p->frame.info.cols;
  for (uint32_t c = 0; from && c < cols; c++) y[c] = y[c] + value(from, c);
}

void plr__predictor_keep(plr__predictor *p, uint32_t row, const float *y) {
  const uint32_t cols = p->frame.info.cols;
  memcpy(p->kept + (size_t)row * cols, y, cols * sizeof *y);
}

/* ---- commit -------------------------------------------------------------------------------------- */

/* To the nearest, and to the largest where that would be infinite. */
static uint16_t to_bf16(float v) {
  const uint16_t b = plr__f32_to_bf16(v);
  return (b & 0x7fffu) == 0x7f80u ? (uint16_t)(b - 1) : b;
}

static void replace(uint8_t *to, const float *from, size_t n) {
  for (size_t i = 0; i < n; i++) plr__store_le16(to + 2 * i, to_bf16(from[i]));
}

/* The mean of the rows so far and one of zeros, which a token seen once or twice should not be trusted without; of
 * more than MOST_VISITS, the newer the heavier. */
static void average(uint8_t *to, const float *from, size_t n, uint32_t visits) {
  const float share = 1.0f / (float)(PLR_MIN(visits, MOST_VISITS) + 1u);
  for (size_t i = 0; i < n; i++) {
    const float old = visits > 1 ? value(to, i) : 0.0f;
    const float change = from[i] - old;
    const float part = change * share;
    plr__store_le16(to + 2 * i, to_bf16(old + part));
  }
}

void plr__predictor_commit(plr__predictor *p) {
  const plr_frame_info *info = &p->frame.info;
  const size_t n = (size_t)p->frame_group * info->cols;
  if (p->fresh) plr__predictor_clear(p);
  p->predict = info->codec.predict, p->cols = info->cols;
  p->group = p->frame_group, p->generation = info->generation;
  for (uint32_t k = 0; info->flags == PLR_FRAME_KEY && k < p->frame.keys; k++) {
    const uint32_t i = find(p, p->keys[k]);
    if (i != NONE) p->entry[i].visits = 0;
  }
  for (uint32_t k = 0; k < p->frame.keys; k++) {
    const uint32_t i = take(p, p->keys[k]);
    const float *from = p->kept + k * n;
    const uint32_t visits = ++p->entry[i].visits;
    if (p->predict == PLR_PREDICT_SAMPLE)
      replace(values_of(p, i), from, n);
    else
      average(values_of(p, i), from, n, visits);
  }
}

/* ---- keys as bytes -------------------------------------------------------------------------------- */

size_t plr__keys_write(const uint64_t *keys, uint32_t n, uint8_t *out) {
  uint64_t all = 0;
  uint32_t width = 1, held = 0;
  uint8_t *p = out + 1;
  for (uint32_t i = 0; i < n; i++) all |= keys[i];
  while (width < 64 && all >> width) width++;
  out[0] = (uint8_t)width;
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t done = 0; done < width;) {
      const uint32_t part = PLR_MIN(8 - held, width - done);
      const uint32_t before = held ? *p : 0;
      *p = (uint8_t)(before | (uint32_t)(keys[i] >> done & ((1u << part) - 1)) << held);
      done += part, held += part;
      if (held == 8) p++, held = 0;
    }
  return (size_t)(p - out) + (held != 0);
}

int plr__keys_read(const uint8_t *in, size_t len, uint64_t *keys, uint32_t n) {
  if (len < 1 || in[0] < 1 || in[0] > 64) return 0;
  const uint32_t width = in[0];
  if (len != 1 + ((uint64_t)width * n + 7) / 8) return 0;
  uint64_t all = 0;
  uint32_t held = 0;
  const uint8_t *p = in + 1;
  for (uint32_t i = 0; i < n; i++) {
    uint64_t key = 0;
    for (uint32_t done = 0; done < width;) {
      const uint32_t part = PLR_MIN(8 - held, width - done);
      key |= (uint64_t)(*p >> held & ((1u << part) - 1)) << done;
      done += part, held += part;
      if (held == 8) p++, held = 0;
    }
    keys[i] = key;
    all |= key;
  }
  if (held && *p >> held) return 0;
  return width == 1 || all >> (width - 1); /* no wider than it must be */
}
