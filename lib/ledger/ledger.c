/* The handle: open, append, close an epoch. */
#include "ledger/copy.h"
#include "ledger/ledger_int.h"

#include <string.h>

#define SNAPSHOT_EVERY 65536u

static plr_status node_read(void *user, uint32_t level, uint64_t index, plr_hash *out,
                            plr_error *err) {
  const plr_ledger *l = user;
  plr__row row;
  PLR_TRY(plr__store_row(&l->store, ((index + 1) << level) - 1, &row, err));
  memcpy(out->bytes, row.hashes + level * sizeof *out, sizeof *out);
  return PLR_OK;
}

plr__node_reader plr__ledger_nodes(plr_ledger *l) {
  plr__node_reader r = {l, node_read};
  return r;
}

/* ---- append ----------------------------------------------------------------------------------- */

typedef struct appending {
  plr_append_item *items;
  plr_error *refusal; /* detail of a refused entry; may be NULL */
  uint64_t logged;
  int closed; /* an epoch was closed */
} appending;

static plr_status log_entry(plr_ledger *l, const plr__batch_item *item, plr_status status,
                            plr_error *err) {
  plr_hash completed[64];
  uint64_t index = l->head.frontier.size;
  uint32_t n = plr__frontier_append(&l->head.frontier, &item->leaf, completed);
  l->head.rejected += status != PLR_OK;
  return plr__store_append(&l->store, &l->scratch, index, status, item->data, item->len, completed,
                           n, err);
}

static plr_status append_one(plr_ledger *l, uint32_t i, plr_append_item *item, appending *a,
                             plr_error *err) {
  size_t mark = plr__map_mark(&l->state.map);
  plr_status status;
  plr_error detail;
  plr_error_init(&detail, sizeof detail);
  plr_status st = plr__batch_apply(&l->batch, &l->state, i, &status, &detail);
  if (st != PLR_OK) {
    if (err) *err = detail;
    return st;
  }
  item->status = status;
  item->index = UINT64_MAX;
  if (l->is_copy && l->state.close_differs)
    return plr__fail(err, PLR_ERR_MISMATCH, "ledger", "entry %llu: %s",
                     (unsigned long long)l->head.frontier.size, detail.message);
  if (status != PLR_OK) {
    plr__log(l->ctx, PLR_LOG_DEBUG, "ledger", "refused: %s: %s", detail.where, detail.message);
    if (a->refusal) *a->refusal = detail;
    if (!l->log_invalid || item->len == 0 || item->len > PLR_ENTRY_MAX) {
      plr__map_rollback(&l->state.map, mark);
      return PLR_OK;
    }
  }
  item->index = l->head.frontier.size;
  a->logged++;
  a->closed |= status == PLR_OK && l->batch.items[i].entry.type == PLR_ENTRY_EPOCH_CLOSE;
  return log_entry(l, &l->batch.items[i], status, err);
}

static plr_status append_batches(plr_ledger *l, size_t count, appending *a, plr_error *err) {
  for (size_t done = 0; done < count; done += l->batch.count) {
    l->batch.count = (uint32_t)PLR_MIN(count - done, PLR__BATCH);
    for (uint32_t i = 0; i < l->batch.count; i++) {
      l->batch.items[i].data = a->items[done + i].entry;
      l->batch.items[i].len = a->items[done + i].len;
    }
    plr__batch_prepare(&l->batch, &l->state);
    for (uint32_t i = 0; i < l->batch.count; i++)
      PLR_TRY(append_one(l, i, &a->items[done + i], a, err));
  }
  return PLR_OK;
}

static plr_status finish(plr_ledger *l, const appending *a, uint64_t *snapshot, uint32_t *pieces,
                         plr_error *err) {
  uint64_t tail = l->head.frontier.size - l->snapshot_size;
  if (l->store.persistent &&
      ((a->closed && !l->is_copy) || (tail >= l->snapshot_every && tail >= l->state.map.count))) {
    PLR_TRY(plr__snapshot_write(l, pieces, err));
    *snapshot = l->head.frontier.size;
  }
  PLR_TRY(plr__head_write(l, err));
  return plr__store_commit(&l->store, err);
}

static plr_status usable(const plr_ledger *l, plr_error *err) {
  if (!l) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "ledger", "ledger is NULL");
  if (l->fatal != PLR_OK)
    return plr__fail(err, l->fatal, "ledger", "an earlier failure ended this handle");
  return PLR_OK;
}

plr_status plr__ledger_writable(const plr_ledger *l, plr_error *err) {
  PLR_TRY(usable(l, err));
  if (!l->sequencer) return plr__fail(err, PLR_ERR_INVALID_STATE, "ledger", "opened read-only");
  return PLR_OK;
}

/* All or nothing: whatever fails, head and state are what they were before. */
static plr_status append_items(plr_ledger *l, plr_append_item *items, size_t count,
                               plr_error *refusal, plr_error *err) {
  plr__head head = l->head;
  plr_hash state_root = l->state.state_root;
  uint32_t has_genesis = l->state.has_genesis;
  appending a = {items, refusal, 0, 0};
  uint64_t snapshot = l->snapshot_size;
  uint32_t pieces = l->snapshot_pieces;
  plr_status st = plr__store_begin(&l->store, err);
  if (st == PLR_OK) st = append_batches(l, count, &a, err);
  if (st == PLR_OK && a.logged) st = finish(l, &a, &snapshot, &pieces, err);
  if (st != PLR_OK || a.logged == 0) l->store.v.rollback(l->store.v.user);
  if (st == PLR_OK) {
    plr__map_commit(&l->state.map);
    l->snapshot_size = snapshot;
    l->snapshot_pieces = pieces;
    return PLR_OK;
  }
  plr__map_rollback(&l->state.map, 0);
  l->head = head;
  l->state.state_root = state_root;
  l->state.has_genesis = has_genesis;
  if (st <= -300) l->fatal = st;
  return st;
}

plr_status plr__ledger_append_items(plr_ledger *l, plr_append_item *items, size_t count,
                                    plr_error *err) {
  return append_items(l, items, count, NULL, err);
}

plr_status plr_ledger_append(plr_ledger *l, const void *entry, size_t len, uint64_t *index,
                             plr_error *err) {
  PLR_GUARD(l, err);
  PLR_TRY(plr__ledger_writable(l, err));
  if (!entry && len) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry", "entry is NULL");
  plr_append_item item = {.entry = entry, .len = len};
  PLR_TRY(append_items(l, &item, 1, err, err));
  if (index) *index = item.index;
  return (plr_status)item.status;
}

plr_status plr_ledger_append_many(plr_ledger *l, plr_append_item *items, size_t count,
                                  plr_error *err) {
  PLR_GUARD(l, err);
  PLR_TRY(plr__ledger_writable(l, err));
  if (!items && count) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "items", "items is NULL");
  for (size_t i = 0; i < count; i++)
    if (!items[i].entry && items[i].len)
      return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "items", "entry of item %zu is NULL", i);
  return count ? append_items(l, items, count, NULL, err) : PLR_OK;
}

static plr_status close_entry(plr_ledger *l, plr_buffer *out, plr_error *err) {
  plr_epoch_close close;
  uint64_t nonce;
  PLR_TRY(plr__close_preview(&l->state, &close, err));
  plr_hash id;
  memcpy(id.bytes, l->state.sequencer, 32);
  nonce = plr_ledger_next_nonce(l, &id);
  if (plr__epoch_close_encode(out, id.bytes, nonce, &close) != PLR_OK ||
      plr__entry_finish(out, l->sequencer, l->state.genesis.origin) != PLR_OK)
    return plr__no_memory(err, "ledger");
  return PLR_OK;
}

plr_status plr_ledger_close_epoch(plr_ledger *l, uint64_t *index, plr_error *err) {
  PLR_GUARD(l, err);
  PLR_TRY(plr__ledger_writable(l, err));
  plr_buffer entry;
  plr__buffer_init(&entry, l->ctx);
  plr_status st = close_entry(l, &entry, err);
  if (st == PLR_OK)
    st = plr_ledger_append(l, entry.data, entry.len, index, err);
  else if (st <= -300)
    l->fatal = st;
  plr__buffer_release(&entry);
  return st;
}

plr_status plr_ledger_settle(plr_ledger *l, const uint8_t reward[20], uint32_t scale,
                             plr_hash *root, uint64_t *index, plr_error *err) {
  PLR_GUARD(l, err);
  PLR_TRY(plr__ledger_writable(l, err));
  plr_settlement_root x = {.struct_size = sizeof x, .scale = scale};
  if (!reward || scale > PLR__MAX_SCALE)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "settle", "reward is NULL, or scale over 18");
  memcpy(x.reward, reward, 20);
  PLR_TRY(plr__settlement_preview(&l->state, &x, err));
  plr_hash id;
  memcpy(id.bytes, l->state.sequencer, 32);
  plr_entry_options o;
  plr_entry_options_init(&o, sizeof o);
  o.author = l->sequencer, o.origin = l->state.genesis.origin;
  o.nonce = plr_ledger_next_nonce(l, &id);
  uint8_t entry[512];
  size_t len;
  PLR_TRY(
      plr_entry_write(l->ctx, &o, PLR_ENTRY_SETTLEMENT_ROOT, &x, entry, sizeof entry, &len, err));
  if (root) *root = x.root;
  return plr_ledger_append(l, entry, len, index, err);
}

/* ---- open ------------------------------------------------------------------------------------- */

void plr_ledger_options_init(plr_ledger_options *options, uint32_t struct_size) {
  plr_ledger_options o = {
      .struct_size = sizeof o, .currency = "XTS", .decimals = 2, .receipt_window = 1};
  plr__options_init(options, struct_size, &o, (uint32_t)sizeof o);
}

static plr_status check_options(const plr_ledger_options *o, plr_error *err) {
  plr_status bad = PLR_ERR_INVALID_ARGUMENT;
  if (o->path && !*o->path) return plr__fail(err, bad, "ledger.path", "empty");
  if (o->path && o->store) return plr__fail(err, bad, "ledger.store", "path is given too");
  if (o->origin && !plr__name_ok(o->origin, PLR__MAX_ORIGIN))
    return plr__fail(err, bad, "ledger.origin",
                     "not 1 to 128 printable ASCII characters without space and '+'");
  return PLR_OK;
}

static plr_status check_genesis(const plr_ledger_options *o, plr_error *err) {
  plr_status bad = PLR_ERR_INVALID_ARGUMENT;
  if (!o->sequencer)
    return plr__fail(err, PLR_ERR_NOT_FOUND, "ledger.path", "the store holds no ledger");
  if (!o->origin) return plr__fail(err, bad, "ledger.origin", "a new ledger needs one");
  if (!o->currency || !plr__name_ok(o->currency, PLR__MAX_CURRENCY))
    return plr__fail(err, bad, "ledger.currency",
                     "not 1 to 16 printable ASCII characters without space and '+'");
  if (o->decimals > PLR__MAX_DECIMALS)
    return plr__fail(err, bad, "ledger.decimals", "more than 18");
  if (o->receipt_window < 1 || o->receipt_window > PLR__MAX_WINDOW)
    return plr__fail(err, bad, "ledger.receipt_window", "not 1 to 1024 epochs");
  return PLR_OK;
}

static plr_status write_genesis(plr_ledger *l, const plr_ledger_options *o, plr_error *err) {
  plr_genesis g;
  PLR_TRY(check_genesis(o, err));
  memset(&g, 0, sizeof g);
  memcpy(g.origin, o->origin, strlen(o->origin));
  memcpy(g.currency, o->currency, strlen(o->currency));
  memcpy(g.treasurer, o->treasurer, 32);
  plr_identity_public_key(o->sequencer, g.sequencer_key);
  g.decimals = o->decimals;
  g.receipt_window = o->receipt_window;
  l->signed_size = UINT64_MAX;
  plr_buffer entry;
  plr__buffer_init(&entry, l->ctx);
  plr_status st = plr__genesis_encode(&entry, &g);
  if (st == PLR_OK) st = plr__entry_finish(&entry, o->sequencer, g.origin);
  if (st == PLR_OK)
    st = plr_ledger_append(l, entry.data, entry.len, NULL, err);
  else
    st = plr__no_memory(err, "ledger");
  plr__buffer_release(&entry);
  return st;
}

static plr_status check_same(const plr_ledger *l, const plr_ledger_options *o, plr_error *err) {
  uint8_t key[32];
  if (o->origin && strcmp(o->origin, l->state.genesis.origin) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "ledger.origin", "the ledger is %s",
                     l->state.genesis.origin);
  if (!o->sequencer) return PLR_OK;
  plr_identity_public_key(o->sequencer, key);
  if (memcmp(key, l->state.genesis.sequencer_key, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "ledger.sequencer", "the ledger has another sequencer");
  return PLR_OK;
}

/* NOT_FOUND: the store is empty. */
static plr_status open_store(plr_ledger *l, const plr_ledger_options *o, int writable,
                             plr_error *err) {
  if (plr__batch_init(&l->batch, l->ctx) != PLR_OK) return plr__no_memory(err, "ledger");
  l->snapshot_every = SNAPSHOT_EVERY;
  if (o->store)
    PLR_TRY(plr__store_host(o->store, &l->store, err));
  else if (o->path)
    PLR_TRY(plr__store_sqlite(l->ctx, o->path, writable, &l->store, err));
  else
    PLR_TRY(plr__store_memory(l->ctx, &l->store, err));
  plr_status st = plr__ledger_load(l, err);
  if (l->store.opened) l->store.opened(l->store.v.user);
  return st;
}

static plr_status open_ledger(plr_ledger *l, const plr_ledger_options *o, plr_error *err) {
  l->sequencer = o->sequencer;
  l->log_invalid = o->log_invalid;
  plr_status st = open_store(l, o, o->sequencer != NULL, err);
  if (st == PLR_ERR_NOT_FOUND) return write_genesis(l, o, err);
  PLR_TRY(st);
  return check_same(l, o, err);
}

static plr_ledger *make_handle(plr_context *ctx) {
  plr_ledger *l = plr__calloc(ctx, 1, sizeof *l);
  if (!l) return NULL;
  l->ctx = plr__context_ref(ctx);
  plr__state_init(&l->state, ctx);
  plr__buffer_init(&l->scratch, ctx);
  plr__buffer_init(&l->checkpoint, ctx);
  return l;
}

static plr_status read_options(plr_ledger_options *out, const plr_ledger_options *given,
                               plr_error *err) {
  plr_ledger_options_init(out, sizeof *out);
  PLR_TRY(plr__options_read(out, (uint32_t)sizeof *out, given, "ledger options", err));
  return check_options(out, err);
}

plr_status plr_ledger_open(plr_context *ctx, const plr_ledger_options *options, plr_ledger **out,
                           plr_error *err) {
  if (out) *out = NULL;
  if (!ctx || !options || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "ledger", "ctx, options or out is NULL");
  plr_ledger_options o;
  PLR_TRY(read_options(&o, options, err));
  if (!o.path && !o.store && !o.sequencer)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "ledger.sequencer",
                     "a ledger in memory needs a sequencer");
  plr_ledger *l = make_handle(ctx);
  if (!l) return plr__no_memory(err, "ledger");
  plr_status st = open_ledger(l, &o, err);
  if (st != PLR_OK) {
    plr_ledger_destroy(l);
    return st;
  }
  *out = l;
  return PLR_OK;
}

plr_status plr__ledger_open_copy(plr_context *ctx, const plr_ledger_options *options,
                                 plr_ledger **out, plr_error *err) {
  plr_ledger_options o;
  PLR_TRY(read_options(&o, options, err));
  plr_ledger *l = make_handle(ctx);
  if (!l) return plr__no_memory(err, "ledger");
  l->log_invalid = l->is_copy = 1;
  plr_status st = open_store(l, &o, 1, err);
  if (st != PLR_OK && st != PLR_ERR_NOT_FOUND) {
    plr_ledger_destroy(l);
    return st;
  }
  *out = l;
  return PLR_OK;
}

plr_context *plr__ledger_context(const plr_ledger *l) {
  return l->ctx;
}

uint64_t plr__ledger_size(const plr_ledger *l) {
  return l->head.frontier.size;
}

uint64_t plr__ledger_signed_size(const plr_ledger *l) {
  return l->signed_size == UINT64_MAX ? 0 : l->signed_size;
}

void plr_ledger_destroy(plr_ledger *l) {
  if (!l) return;
  PLR_GUARD_END(l);
  plr_context *ctx = l->ctx;
  plr__store_close(&l->store);
  plr__state_release(&l->state);
  plr__batch_release(&l->batch);
  plr__buffer_release(&l->scratch);
  plr__buffer_release(&l->checkpoint);
  plr__free(ctx, l);
  plr__context_unref(ctx);
}
