/* A ledger without a sequencer: it takes what another's log holds, in order, and comes to the same state. */
#include "ledger/replica.h"
#include "ledger/ledger_int.h"

#include <string.h>

static plr_status check_log(const plr_ledger *l, const char *origin, const uint8_t key[32],
                            plr_error *err) {
  if (strcmp(l->state.genesis.origin, origin) == 0 &&
      memcmp(l->state.genesis.sequencer_key, key, 32) == 0)
    return PLR_OK;
  return plr__fail(err, PLR_ERR_MISMATCH, "mirror", "the copy is of %s, or of another key",
                   l->state.genesis.origin);
}

static plr_status open_store(plr_ledger *l, const char *path, const char *origin,
                             const uint8_t key[32], plr_error *err) {
  if (plr__batch_init(&l->batch, l->ctx) != PLR_OK) return plr__no_memory(err, "ledger");
  l->log_invalid = 1;
  l->signed_size = UINT64_MAX;
  memcpy(l->replica_origin, origin, strlen(origin));
  memcpy(l->replica_key, key, 32);
  if (path)
    PLR_TRY(plr__store_sqlite(l->ctx, path, 1, &l->store, err));
  else
    PLR_TRY(plr__store_memory(l->ctx, &l->store, err));
  if (l->store.fresh) return PLR_OK;
  PLR_TRY(plr__ledger_load(l, err));
  return check_log(l, origin, key, err);
}

plr_status plr__replica_open(plr_context *ctx, const char *path, const char *origin,
                             const uint8_t key[32], int believe, plr_ledger **out, plr_error *err) {
  *out = NULL;
  if (!plr__name_ok(origin, PLR__MAX_ORIGIN))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "mirror.origin", "not a log's name");
  plr_ledger *l = plr__ledger_new(ctx);
  if (!l) return plr__no_memory(err, "ledger");
  plr_status st = open_store(l, path, origin, key, err);
  if (st != PLR_OK) {
    plr_ledger_destroy(l);
    return st;
  }
  l->state.trust_signatures = believe != 0;
  *out = l;
  return PLR_OK;
}

plr_context *plr__ledger_context(const plr_ledger *l) {
  return l->ctx;
}

uint64_t plr__signed_size(const plr_ledger *l) {
  return l->signed_size == UINT64_MAX ? 0 : l->signed_size;
}

uint64_t plr__replica_size(const plr_ledger *l) {
  return l->head.frontier.size;
}

void plr__replica_root(const plr_ledger *l, plr_hash *out) {
  plr__frontier_root(&l->head.frontier, out);
}

plr_status plr__replica_root_at(plr_ledger *l, uint64_t size, plr_hash *out, plr_error *err) {
  plr__node_reader nodes = plr__ledger_nodes(l);
  return plr__tree_root(&nodes, size, out, err);
}

plr_status plr__replica_check(plr_ledger *l, const plr_error *detail, plr_error *err) {
  if (!l->state.has_genesis)
    return plr__fail(err, PLR_ERR_MISMATCH, "mirror",
                     "the log does not begin with a valid Genesis");
  if (strcmp(l->state.genesis.origin, l->replica_origin) != 0 ||
      memcmp(l->state.genesis.sequencer_key, l->replica_key, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "mirror", "Genesis is of another log or key");
  if (!l->state.close_differs) return PLR_OK;
  l->state.close_differs = 0;
  return plr__fail(err, PLR_ERR_MISMATCH, "mirror", "entry %llu: %s",
                   (unsigned long long)l->head.frontier.size, detail->message);
}

plr_status plr__replica_append(plr_ledger *l, plr_append_item *items, size_t count,
                               plr_error *err) {
  PLR_GUARD(l, err);
  /* Genesis goes alone: the signatures of all others are over its origin. */
  if (l->head.frontier.size == 0 && count) {
    plr_status st = plr__append_items(l, items, 1, NULL, err);
    if (st != PLR_OK) l->state.has_genesis = 0;
    PLR_TRY(st);
    items++, count--;
  }
  return count ? plr__append_items(l, items, count, NULL, err) : PLR_OK;
}

plr_status plr__replica_record(plr_ledger *l, const char *note, size_t len, plr_error *err) {
  PLR_GUARD(l, err);
  PLR_TRY(plr__state_audit(&l->state, err));
  PLR_TRY(plr__store_record(l, "checkpoint", note, len, err));
  l->signed_size = l->head.frontier.size;
  return PLR_OK;
}
