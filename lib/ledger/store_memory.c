/* A store that lives as long as the handle: entries in one buffer, node hashes in another. */
#include "ledger/ledger_int.h"

#include <string.h>

typedef struct memory_store {
  plr_context *ctx;
  plr_buffer data, index, hashes; /* index: {offset u64, length u32, status i32} per entry */
  plr_buffer checkpoint, published;
  size_t data_mark, index_mark, hashes_mark;
} memory_store;

typedef struct index_row {
  uint64_t offset;
  uint32_t len;
  int32_t status;
} index_row;

static plr_status memory_begin(void *self, plr_error *err) {
  memory_store *s = self;
  (void)err;
  s->data_mark = s->data.len;
  s->index_mark = s->index.len;
  s->hashes_mark = s->hashes.len;
  return PLR_OK;
}

static plr_status memory_append(void *self, uint64_t index, plr_status status, const void *entry,
                                size_t len, const plr_hash *hashes, uint32_t hash_count,
                                plr_error *err) {
  memory_store *s = self;
  index_row row = {s->data.len, (uint32_t)len, status};
  (void)index;
  plr__buffer_put(&s->data, entry, len);
  plr__buffer_put(&s->index, &row, sizeof row);
  plr__buffer_put(&s->hashes, hashes, hash_count * sizeof *hashes);
  if (s->data.failed || s->index.failed || s->hashes.failed)
    return plr__no_memory(err, "ledger store");
  return PLR_OK;
}

/* Records that outlive a call; the others serve reopening, which does not happen here. Each is put as the only one of
 * its transaction, so that there is nothing to take back. */
static plr_buffer *record_of(memory_store *s, const char *name) {
  if (strcmp(name, "checkpoint") == 0) return &s->checkpoint;
  return strcmp(name, "published") == 0 ? &s->published : NULL;
}

static plr_status memory_put(void *self, const char *name, const void *data, size_t len,
                             plr_error *err) {
  memory_store *s = self;
  plr_buffer fresh, *record = record_of(s, name);
  if (!record) return PLR_OK;
  plr__buffer_init(&fresh, s->ctx);
  plr__buffer_put(&fresh, data, len);
  if (fresh.failed) {
    plr__buffer_release(&fresh);
    return plr__no_memory(err, "ledger store");
  }
  plr__buffer_release(record);
  *record = fresh;
  return PLR_OK;
}

static plr_status memory_commit(void *self, plr_error *err) {
  (void)self, (void)err;
  return PLR_OK;
}

static void back_to(plr_buffer *b, size_t mark) {
  b->len = mark;
  b->failed = 0;
}

static void memory_rollback(void *self) {
  memory_store *s = self;
  back_to(&s->data, s->data_mark);
  back_to(&s->index, s->index_mark);
  back_to(&s->hashes, s->hashes_mark);
}

static plr_status memory_entry(void *self, uint64_t index, plr_buffer *out, int32_t *status,
                               plr_error *err) {
  const memory_store *s = self;
  const index_row *rows = (const index_row *)(const void *)s->index.data;
  if (index >= s->index.len / sizeof *rows)
    return plr__fail(err, PLR_ERR_NOT_FOUND, "ledger store", "no entry %llu",
                     (unsigned long long)index);
  plr__buffer_clear(out);
  plr__buffer_put(out, s->data.data + rows[index].offset, rows[index].len);
  if (status) *status = rows[index].status;
  return out->failed ? plr__no_memory(err, "ledger store") : PLR_OK;
}

static uint64_t ones(uint64_t v) {
  uint64_t n = 0;
  for (; v; v &= v - 1) n++;
  return n;
}

/* Entry i is followed by 1 + trailing zeros of (i + 1) hashes, so 2i - popcount(i) come before its own. */
static plr_status memory_node(void *self, uint32_t level, uint64_t index, plr_hash *out,
                              plr_error *err) {
  const memory_store *s = self;
  uint64_t entry = ((index + 1) << level) - 1, at = 2 * entry - ones(entry) + level;
  if (at >= s->hashes.len / sizeof *out)
    return plr__fail(err, PLR_ERR_NOT_FOUND, "ledger store", "no node %u/%llu", level,
                     (unsigned long long)index);
  *out = ((const plr_hash *)(const void *)s->hashes.data)[at];
  return PLR_OK;
}

static plr_status memory_get(void *self, const char *name, plr_buffer *out, plr_error *err) {
  const plr_buffer *record = record_of(self, name);
  if (!record || !record->data)
    return plr__fail(err, PLR_ERR_NOT_FOUND, name, "not kept in memory");
  plr__buffer_clear(out);
  plr__buffer_put(out, record->data, record->len);
  return out->failed ? plr__no_memory(err, "ledger store") : PLR_OK;
}

static void memory_close(void *self) {
  memory_store *s = self;
  plr__buffer_release(&s->data);
  plr__buffer_release(&s->index);
  plr__buffer_release(&s->hashes);
  plr__buffer_release(&s->checkpoint);
  plr__buffer_release(&s->published);
  plr__free(s->ctx, s);
}

plr_status plr__store_memory(plr_context *ctx, plr__store *out, plr_error *err) {
  static const plr__store_ops ops = {memory_begin,  memory_append,   memory_put,
                                     memory_commit, memory_rollback, memory_entry,
                                     memory_node,   memory_get,      memory_close};
  memory_store *s = plr__calloc(ctx, 1, sizeof *s);
  if (!s) return plr__no_memory(err, "ledger store");
  s->ctx = ctx;
  plr__buffer_init(&s->data, ctx);
  plr__buffer_init(&s->index, ctx);
  plr__buffer_init(&s->hashes, ctx);
  plr__buffer_init(&s->checkpoint, ctx);
  plr__buffer_init(&s->published, ctx);
  out->ops = &ops;
  out->self = s;
  out->persistent = 0;
  out->fresh = 1;
  return PLR_OK;
}
