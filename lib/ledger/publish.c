/* Publication: every file under the recorded checkpoint that was not put before, then the checkpoint.
 *
 * A crash leaves at most files that the next publication puts again with the same bytes: the size that is recorded as
 * published changes after the checkpoint stands, and the checkpoint after everything it needs. */
#include "ledger/ledger_int.h"

#include <string.h>

typedef struct publishing {
  plr_ledger *l;
  const plr_publisher *to;
  plr_buffer file;
  uint64_t done, size; /* entries under the checkpoint put before, and under this one */
} publishing;

static plr_status put_tile(publishing *p, const plr__tile *t, plr_error *err) {
  char path[PLR_LOG_PATH_MAX];
  plr__tile_path(t, path);
  PLR_TRY(plr__tile_read(p->l, t, &p->file, err));
  plr_status st = p->to->put(p->to->user, path, p->file.data, p->file.len, 1);
  return st == PLR_OK ? PLR_OK : plr__fail(err, st, path, "could not be published");
}

/* Tiles of one level (or the bundles) between the two sizes: those filled since, and the partial one at the end. */
static plr_status put_level(publishing *p, uint32_t level, plr_error *err) {
  uint32_t shift = level == PLR__TILE_ENTRIES ? 0 : 8 * level;
  uint64_t before = p->done >> shift, now = p->size >> shift;
  if (before == now) return PLR_OK;
  plr__tile t = {.level = level, .width = PLR__TILE_WIDTH};
  for (t.index = before / PLR__TILE_WIDTH; t.index < now / PLR__TILE_WIDTH; t.index++)
    PLR_TRY(put_tile(p, &t, err));
  t.width = (uint32_t)(now % PLR__TILE_WIDTH);
  return t.width ? put_tile(p, &t, err) : PLR_OK;
}

static plr_status record(plr_ledger *l, uint64_t size, plr_error *err) {
  uint8_t bytes[8];
  plr__store_be64(bytes, size);
  return plr__store_record(&l->store, "published", bytes, sizeof bytes, err);
}

/* 0 when nothing was published yet. */
static plr_status published(publishing *p, plr_error *err) {
  const void *data;
  size_t len;
  plr_status st = plr__store_get(&p->l->store, "published", &data, &len, err);
  if (st == PLR_ERR_NOT_FOUND) return PLR_OK;
  PLR_TRY(st);
  if (len == 8) p->done = plr__load_be64(data);
  if (len != 8 || p->done > p->size)
    return plr__fail(err, PLR_ERR_CORRUPT, "ledger store", "the published size is not one");
  return PLR_OK;
}

static plr_status publish(publishing *p, plr_error *err) {
  plr_ledger *l = p->l;
  PLR_TRY(plr__recorded_checkpoint(l, &p->file, &p->size, err));
  PLR_TRY(published(p, err));
  PLR_TRY(put_level(p, PLR__TILE_ENTRIES, err));
  for (uint32_t level = 0; level < 8; level++) PLR_TRY(put_level(p, level, err));
  PLR_TRY(plr__recorded_checkpoint(l, &p->file, NULL, err));
  plr_status st = p->to->put(p->to->user, "checkpoint", p->file.data, p->file.len, 0);
  if (st != PLR_OK) return plr__fail(err, st, "checkpoint", "could not be published");
  return p->size == p->done ? PLR_OK : record(l, p->size, err);
}

plr_status plr_ledger_publish(plr_ledger *l, const plr_publisher *publisher, uint64_t *size,
                              plr_error *err) {
  PLR_GUARD(l, err);
  if (!l || !publisher || !publisher->put)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "publish", "ledger or publisher is NULL");
  if (!l->sequencer && !l->is_copy)
    return plr__fail(err, PLR_ERR_INVALID_STATE, "publish", "opened read-only");
  if (l->fatal != PLR_OK)
    return plr__fail(err, l->fatal, "ledger", "an earlier failure ended this handle");
  publishing p = {.l = l, .to = publisher};
  plr__buffer_init(&p.file, l->ctx);
  plr_status st = publish(&p, err);
  plr__buffer_release(&p.file);
  if (st == PLR_OK && size) *size = p.size;
  return st;
}

/* ---- to a folder -------------------------------------------------------------------------------- */

typedef struct folder {
  plr_context *ctx;
  plr_buffer path;
  size_t root; /* bytes of the path that are the folder's */
  plr_error *err;
} folder;

static plr_status folder_put(void *user, const char *path, const void *data, size_t len,
                             int32_t immutable) {
  folder *f = user;
  plr_sink sink;
  (void)immutable;
  f->path.len = f->root;
  PLR_TRY(plr__buffer_printf(&f->path, "/%s", path));
  plr__buffer_u8(&f->path, 0);
  if (f->path.failed) return PLR_ERR_NO_MEMORY;
  PLR_TRY(plr__make_folders((char *)f->path.data, f->err));
  PLR_TRY(plr_sink_open_path(f->ctx, (const char *)f->path.data, &sink, f->err));
  plr_status st = sink.write(sink.user, data, len);
  if (st != PLR_OK) {
    sink.abort(sink.user);
    return st;
  }
  return sink.commit(sink.user);
}

plr_status plr_ledger_publish_path(plr_ledger *l, const char *path, uint64_t *size,
                                   plr_error *err) {
  if (!l || !path || !*path)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "publish", "ledger or folder is missing");
  folder f = {.ctx = l->ctx, .err = err};
  plr__buffer_init(&f.path, l->ctx);
  plr__buffer_put(&f.path, path, strlen(path));
  f.root = f.path.len;
  plr_publisher p = {&f, folder_put};
  plr_status st =
      f.path.failed ? plr__no_memory(err, "publish") : plr_ledger_publish(l, &p, size, err);
  plr__buffer_release(&f.path);
  return st;
}
