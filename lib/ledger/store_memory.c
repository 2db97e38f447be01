/* A store that lives as long as the handle: rows one after the other in one buffer, and where each ends in another. */
#include "ledger/ledger_int.h"

#include <string.h>

typedef struct memory_store {
  plr_context *ctx;
  plr_buffer rows, ends; /* ends: u64 each */
  plr_buffer checkpoint, published;
  size_t rows_mark, ends_mark;
} memory_store;

static plr_status memory_begin(void *user, plr_error *err) {
  memory_store *s = user;
  (void)err;
  s->rows_mark = s->rows.len;
  s->ends_mark = s->ends.len;
  return PLR_OK;
}

static plr_status memory_append(void *user, uint64_t index, const void *row, size_t len,
                                plr_error *err) {
  memory_store *s = user;
  (void)index;
  plr__buffer_put(&s->rows, row, len);
  uint64_t end = s->rows.len;
  plr__buffer_put(&s->ends, &end, sizeof end);
  return s->rows.failed || s->ends.failed ? plr__no_memory(err, "ledger store") : PLR_OK;
}

/* Records that outlive a call; the others serve reopening, which does not happen here. Each is put as the only one of
 * its transaction, so that there is nothing to take back. */
static plr_buffer *record_of(memory_store *s, const char *name) {
  if (strcmp(name, "checkpoint") == 0) return &s->checkpoint;
  return strcmp(name, "published") == 0 ? &s->published : NULL;
}

static plr_status memory_put(void *user, const char *name, const void *data, size_t len,
                             plr_error *err) {
  memory_store *s = user;
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

static plr_status memory_commit(void *user, plr_error *err) {
  (void)user, (void)err;
  return PLR_OK;
}

static void back_to(plr_buffer *b, size_t mark) {
  b->len = mark;
  b->failed = 0;
}

static void memory_rollback(void *user) {
  memory_store *s = user;
  back_to(&s->rows, s->rows_mark);
  back_to(&s->ends, s->ends_mark);
}

static plr_status memory_row(void *user, uint64_t index, const void **data, size_t *len,
                             plr_error *err) {
  const memory_store *s = user;
  const uint64_t *ends = (const uint64_t *)(const void *)s->ends.data;
  if (index >= s->ends.len / sizeof *ends)
    return plr__fail(err, PLR_ERR_NOT_FOUND, "ledger store", "no entry %llu",
                     (unsigned long long)index);
  uint64_t start = index ? ends[index - 1] : 0;
  *data = s->rows.data + start;
  *len = (size_t)(ends[index] - start);
  return PLR_OK;
}

static plr_status memory_get(void *user, const char *name, const void **data, size_t *len,
                             plr_error *err) {
  const plr_buffer *record = record_of(user, name);
  if (!record || !record->data)
    return plr__fail(err, PLR_ERR_NOT_FOUND, name, "not kept in memory");
  *data = record->data;
  *len = record->len;
  return PLR_OK;
}

static void memory_close(void *user) {
  memory_store *s = user;
  plr__buffer_release(&s->rows);
  plr__buffer_release(&s->ends);
  plr__buffer_release(&s->checkpoint);
  plr__buffer_release(&s->published);
  plr__free(s->ctx, s);
}

plr_status plr__store_memory(plr_context *ctx, plr__store *out, plr_error *err) {
  memory_store *s = plr__calloc(ctx, 1, sizeof *s);
  if (!s) return plr__no_memory(err, "ledger store");
  s->ctx = ctx;
  plr__buffer_init(&s->rows, ctx);
  plr__buffer_init(&s->ends, ctx);
  plr__buffer_init(&s->checkpoint, ctx);
  plr__buffer_init(&s->published, ctx);
  *out = (plr__store){.v = {.user = s,
                            .begin = memory_begin,
                            .append = memory_append,
                            .put = memory_put,
                            .commit = memory_commit,
                            .rollback = memory_rollback,
                            .row = memory_row,
                            .get = memory_get},
                      .close = memory_close};
  return PLR_OK;
}
