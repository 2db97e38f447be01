/* Replaying an export from nothing. */
#include "ledger/ledger_int.h"

#include <string.h>

#define WINDOW (1u << 20) /* bytes held at once */
#define WINDOW_LOW                                                                                 \
  (1u << 18) /* refilled below this, so that a batch is rarely cut; at least one entry */

typedef struct verifying {
  plr_context *ctx;
  const plr_source *source;
  plr_verify_options o;
  plr__state state;
  plr__head head;
  plr__batch batch;
  uint64_t offsets[PLR__BATCH]; /* of the batch's entries in the file */
  uint8_t *window;
  uint64_t window_at, window_end; /* the part of the file in the window */
  uint64_t at;   /* offset in the file of the first byte not read as an entry yet */
  uint64_t size; /* entries that the checkpoint says there are */
  plr_hash root; /* and their root */
  uint64_t
      first_bad; /* first entry without effect, and why, for the message when the root differs */
  char why[160];
} verifying;

static plr_status read_at(verifying *v, uint64_t offset, void *buf, size_t len, plr_error *err) {
  plr_status st = v->source->read_at(v->source->user, offset, buf, len);
  if (st == PLR_OK) return PLR_OK;
  return plr__fail_at(err, st, "ledger export", offset, "%zu bytes cannot be read", len);
}

static plr_status too_short(const verifying *v, const char *what, plr_error *err) {
  return plr__fail_at(err, PLR_ERR_TRUNCATED, "ledger export", v->source->size,
                      "the file ends in %s", what);
}

/* Magic, note length, note. */
static plr_status read_head(verifying *v, plr_error *err) {
  uint8_t head[12];
  uint64_t size = v->source->size;
  if (size < sizeof head) return too_short(v, "its head", err);
  PLR_TRY(read_at(v, 0, head, sizeof head, err));
  if (memcmp(head, PLR__EXPORT_MAGIC, 7) != 0)
    return plr__fail(err, PLR_ERR_MALFORMED, "ledger export", "does not begin with PLRLEDG");
  if (head[7] != PLR__EXPORT_MAGIC[7])
    return plr__fail_at(err, PLR_ERR_VERSION, "ledger export", 7, "an unknown version");
  uint32_t len = plr__load_be32(head + 8);
  if (len > PLR__NOTE_MAX)
    return plr__fail_at(err, PLR_ERR_MALFORMED, "ledger export", 8, "a note of %u bytes", len);
  if (len > size - sizeof head) return too_short(v, "its checkpoint", err);
  PLR_TRY(read_at(v, sizeof head, v->window, len, err));
  v->at = v->window_at = v->window_end = sizeof head + len;
  PLR_TRY(plr_log_verify_checkpoint((const char *)v->window, len, v->o.origin, v->o.public_key,
                                    &v->size, &v->root, err));
  if (v->size > (size - v->at) / 3)
    return plr__fail_at(err, PLR_ERR_TRUNCATED, "ledger export", size,
                        "the checkpoint speaks of %llu entries", (unsigned long long)v->size);
  return PLR_OK;
}

/* Fills the batch from the window with the next entries. */
static plr_status fill(verifying *v, plr_error *err) {
  if (v->window_end - v->at < WINDOW_LOW && v->window_end < v->source->size) {
    uint64_t len = PLR_MIN(v->source->size - v->at, WINDOW);
    PLR_TRY(read_at(v, v->at, v->window, (size_t)len, err));
    v->window_at = v->at;
    v->window_end = v->at + len;
  }
  const uint8_t *data = v->window + (v->at - v->window_at);
  size_t have = (size_t)(v->window_end - v->at), pos = 0;
  plr__batch *b = &v->batch;
  for (b->count = 0; b->count < PLR__BATCH && v->head.frontier.size + b->count < v->size;
       b->count++) {
    size_t len = have - pos >= 2 ? plr__load_be16(data + pos) : 0;
    if (have - pos < 2 || len > have - pos - 2) {
      if (v->window_end < v->source->size && b->count)
        break; /* the rest is read with the next batch */
      return too_short(v, "an entry", err);
    }
    if (len == 0)
      return plr__fail_at(err, PLR_ERR_MALFORMED, "ledger export", v->at + pos, "an empty entry");
    v->offsets[b->count] = v->at + pos;
    b->items[b->count].data = data + pos + 2;
    b->items[b->count].len = len;
    pos += 2 + len;
  }
  v->at += pos;
  return PLR_OK;
}

static void note_rejected(verifying *v, uint64_t index, const plr_error *detail) {
  if (v->head.rejected++) return;
  v->first_bad = index;
  memcpy(v->why, detail->message, sizeof v->why - 1);
}

static plr_status check_genesis(const verifying *v, plr_error *err) {
  if (!v->state.has_genesis)
    return plr__fail(err, PLR_ERR_MISMATCH, "ledger export",
                     "the log does not begin with a valid Genesis");
  if (strcmp(v->state.genesis.origin, v->o.origin) != 0 ||
      memcmp(v->state.genesis.sequencer_key, v->o.public_key, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "ledger export", "Genesis is of another log or key");
  return PLR_OK;
}

static plr_status replay_entry(verifying *v, uint32_t i, plr_error *err) {
  plr_hash completed[64];
  plr_status status;
  plr_error detail;
  const plr__batch_item *item = &v->batch.items[i];
  uint64_t index = v->head.frontier.size;
  plr_error_init(&detail, sizeof detail);
  plr_status st = plr__batch_apply(&v->batch, &v->state, i, &status, &detail);
  if (st != PLR_OK) {
    plr__map_rollback(&v->state.map, 0);
    return plr__fail_at(err, st, "ledger export", v->offsets[i], "entry %llu: %s",
                        (unsigned long long)index, detail.message);
  }
  if (v->state.close_differs)
    return plr__fail_at(err, PLR_ERR_MISMATCH, "ledger export", v->offsets[i], "entry %llu: %s",
                        (unsigned long long)index, detail.message);
  if (status != PLR_OK) note_rejected(v, index, &detail);
  plr__map_commit(&v->state.map);
  plr__frontier_append(&v->head.frontier, &item->leaf, completed);
  if (index == 0) return check_genesis(v, err);
  if (status == PLR_OK && item->entry.type == PLR_ENTRY_EPOCH_CLOSE)
    return plr__state_audit(&v->state, err);
  return PLR_OK;
}

static plr_status check_end(const verifying *v, plr_error *err) {
  plr_hash root;
  plr__frontier_root(&v->head.frontier, &root);
  if (!plr__hash_equal(&root, &v->root)) {
    if (v->head.rejected == 0)
      return plr__fail(err, PLR_ERR_CHECKSUM, "ledger export",
                       "the entries are not those whose root was signed");
    return plr__fail(err, PLR_ERR_CHECKSUM, "ledger export",
                     "the entries are not those whose root was signed; the first without effect is "
                     "entry %llu: %s",
                     (unsigned long long)v->first_bad, v->why);
  }
  if (v->at != v->source->size)
    return plr__fail_at(err, PLR_ERR_MALFORMED, "ledger export", v->at,
                        "bytes are left over after the last entry");
  return plr__state_audit(&v->state, err);
}

static plr_status replay(verifying *v, plr_error *err) {
  PLR_TRY(read_head(v, err));
  v->state.trust_signatures = v->o.skip_signatures;
  while (v->head.frontier.size < v->size) {
    PLR_TRY(fill(v, err));
    /* Genesis goes alone: the signatures of all others are over its origin. */
    if (v->head.frontier.size == 0) {
      v->at = v->batch.count > 1 ? v->offsets[1] : v->at;
      v->batch.count = 1;
    }
    plr__batch_prepare(&v->batch, &v->state);
    for (uint32_t i = 0; i < v->batch.count; i++) PLR_TRY(replay_entry(v, i, err));
    if (v->o.progress) v->o.progress(v->o.user, v->head.frontier.size, v->size);
  }
  PLR_TRY(check_genesis(v, err));
  return check_end(v, err);
}

void plr_verify_options_init(plr_verify_options *options, uint32_t struct_size) {
  plr_verify_options o = {.struct_size = sizeof o};
  plr__options_init(options, struct_size, &o, (uint32_t)sizeof o);
}

static plr_status check_options(const plr_verify_options *o, plr_error *err) {
  if (!o->origin || !plr__name_ok(o->origin, PLR__MAX_ORIGIN))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "verify.origin", "missing or not a log's name");
  if (!o->public_key)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "verify.public_key", "missing");
  return PLR_OK;
}

plr_status plr__verify_options_read(plr_verify_options *out, const plr_verify_options *given,
                                    plr_error *err) {
  plr_verify_options_init(out, sizeof *out);
  PLR_TRY(plr__options_read(out, (uint32_t)sizeof *out, given, "verify options", err));
  return check_options(out, err);
}

plr_status plr_ledger_verify(plr_context *ctx, const plr_source *source,
                             const plr_verify_options *options, plr_ledger_summary *summary,
                             plr_error *err) {
  plr_verify_options o;
  if (!ctx || !source || !options)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "verify", "ctx, source or options is NULL");
  PLR_TRY(plr__verify_options_read(&o, options, err));
  verifying *v = plr__calloc(ctx, 1, sizeof *v);
  if (!v) return plr__no_memory(err, "verify");
  v->ctx = ctx;
  v->source = source;
  v->o = o;
  plr__state_init(&v->state, ctx);
  v->window = plr__alloc(ctx, WINDOW);
  plr_status st = PLR_ERR_NO_MEMORY;
  if (plr__batch_init(&v->batch, ctx) == PLR_OK && v->window)
    st = replay(v, err);
  else
    plr__no_memory(err, "verify");
  if (st == PLR_OK && summary) st = plr__summarize(&v->state, &v->head, summary);
  plr__batch_release(&v->batch);
  plr__state_release(&v->state);
  plr__free(ctx, v->window);
  plr__free(ctx, v);
  return st;
}
