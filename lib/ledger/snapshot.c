/* What a store keeps beside entries, and how a ledger comes back from it.
 *
 *   head        size u64 ‖ rejected u64 ‖ root ‖ state root of the last EpochClose
 *   checkpoint  the last signed note
 *   snapshot    size u64 ‖ pieces u32 ‖ state root now ‖ state root of the last EpochClose
 *   snapshot/i  a piece: (u16 key length ‖ key ‖ u32 value length ‖ value)*
 *
 * A snapshot is written with an EpochClose, and when the entries since the last one outnumber both 65,536 and the
 * records of the state; opening replays what came after it, without signatures. */
#include "ledger/ledger_int.h"

#include <stdio.h>
#include <string.h>

#define PIECE (1u << 20)

static plr_status corrupt(plr_error *err, const char *what) {
  return plr__fail(err, PLR_ERR_CORRUPT, "ledger store", "%s", what);
}

static plr_status missing(plr_status st, const char *what, plr_error *err) {
  return st == PLR_ERR_NOT_FOUND ? corrupt(err, what) : st;
}

/* ---- writing ---------------------------------------------------------------------------------- */

plr_status plr__head_write(plr_ledger *l, plr_error *err) {
  uint8_t head[80];
  plr_hash root;
  plr__frontier_root(&l->head.frontier, &root);
  plr__store_be64(head, l->head.frontier.size);
  plr__store_be64(head + 8, l->head.rejected);
  memcpy(head + 16, root.bytes, 32);
  memcpy(head + 48, l->state.state_root.bytes, 32);
  return plr__store_put(&l->store, "head", head, sizeof head, err);
}

static plr_status piece_write(plr_ledger *l, plr_buffer *piece, uint32_t number, plr_error *err) {
  char name[32];
  if (piece->failed) return plr__no_memory(err, "ledger snapshot");
  snprintf(name, sizeof name, "snapshot/%u", number);
  PLR_TRY(plr__store_put(&l->store, name, piece->data, piece->len, err));
  plr__buffer_clear(piece);
  return PLR_OK;
}

static plr_status pieces_write(plr_ledger *l, plr_buffer *piece, uint32_t *count, plr_error *err) {
  plr__cursor c;
  plr__map_seek(&l->state.map, "", 0, &c);
  *count = 0;
  while (plr__cursor_next(&c)) {
    plr__buffer_be16(piece, (uint16_t)c.key_len);
    plr__buffer_put(piece, c.key, c.key_len);
    plr__buffer_be32(piece, (uint32_t)c.value_len);
    plr__buffer_put(piece, c.value, c.value_len);
    if (piece->len >= PIECE) PLR_TRY(piece_write(l, piece, (*count)++, err));
  }
  return piece->len || piece->failed ? piece_write(l, piece, (*count)++, err) : PLR_OK;
}

static plr_status pieces_remove(plr_ledger *l, uint32_t from, plr_error *err) {
  char name[32];
  for (; from < l->snapshot_pieces; from++) {
    snprintf(name, sizeof name, "snapshot/%u", from);
    PLR_TRY(plr__store_put(&l->store, name, NULL, 0, err));
  }
  return PLR_OK;
}

plr_status plr__snapshot_write(plr_ledger *l, uint32_t *pieces, plr_error *err) {
  plr_buffer piece;
  uint8_t record[76];
  plr_hash now;
  plr__buffer_init(&piece, l->ctx);
  plr_status st = pieces_write(l, &piece, pieces, err);
  plr__buffer_release(&piece);
  PLR_TRY(st);
  PLR_TRY(pieces_remove(l, *pieces, err));
  plr__map_root(&l->state.map, &now);
  plr__store_be64(record, l->head.frontier.size);
  plr__store_be32(record + 8, *pieces);
  memcpy(record + 12, now.bytes, 32);
  memcpy(record + 44, l->state.state_root.bytes, 32);
  return plr__store_put(&l->store, "snapshot", record, sizeof record, err);
}

/* Pieces that a store has, those that are not part of the snapshot included. */
static plr_status count_pieces(plr_ledger *l, plr_error *err) {
  const void *data;
  size_t len;
  for (;; l->snapshot_pieces++) {
    char name[32];
    snprintf(name, sizeof name, "snapshot/%u", l->snapshot_pieces);
    plr_status st = plr__store_get(&l->store, name, &data, &len, NULL);
    if (st == PLR_ERR_NOT_FOUND) return PLR_OK;
    if (st != PLR_OK) return plr__fail(err, st, "ledger store", "%s cannot be read", name);
  }
}

static plr_status store_state(plr_ledger *l, uint32_t *pieces, plr_error *err) {
  PLR_TRY(plr__store_begin(&l->store, err));
  PLR_TRY(plr__snapshot_write(l, pieces, err));
  return plr__store_commit(&l->store, err);
}

plr_status plr__snapshot_store(plr_ledger *l, plr_error *err) {
  uint32_t pieces;
  PLR_TRY(count_pieces(l, err));
  plr_status st = store_state(l, &pieces, err);
  if (st != PLR_OK) {
    l->store.v.rollback(l->store.v.user);
    return st;
  }
  l->snapshot_size = l->head.frontier.size;
  l->snapshot_pieces = pieces;
  return PLR_OK;
}

plr_status plr_ledger_compact(plr_ledger *l, plr_error *err) {
  PLR_GUARD(l, err);
  PLR_TRY(plr__ledger_writable(l, err));
  if (!l->store.persistent) return PLR_OK;
  PLR_TRY(plr__snapshot_store(l, err));
  return plr__store_compact(&l->store, err);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static plr_status head_read(plr_ledger *l, plr_hash *last_state_root, plr_error *err) {
  plr_hash root, stored;
  plr_reader r;
  plr__frontier *f = &l->head.frontier;
  plr__node_reader nodes = plr__ledger_nodes(l);
  const void *data;
  size_t len;
  PLR_TRY(plr__store_get(&l->store, "head", &data, &len, err));
  plr__reader_init(&r, data, len);
  f->size = plr__read_be64(&r);
  l->head.rejected = plr__read_be64(&r);
  plr__read_into(&r, stored.bytes, 32);
  plr__read_into(&r, last_state_root->bytes, 32);
  if (!plr__reader_done(&r) || f->size == 0 || f->size > INT64_MAX)
    return corrupt(err, "the head is malformed");
  for (uint32_t level = 0; level < 64; level++)
    if (f->size >> level & 1)
      PLR_TRY(missing(nodes.read(nodes.user, level, (f->size >> level) - 1, &f->nodes[level], err),
                      "an entry is missing", err));
  plr__frontier_root(f, &root);
  return plr__hash_equal(&root, &stored)
             ? PLR_OK
             : corrupt(err, "the hashes do not add up to the head's root");
}

static plr_status piece_read(plr__state *s, const void *piece, size_t len, plr_error *err) {
  plr_reader r;
  plr__reader_init(&r, piece, len);
  while (r.pos < r.len && !r.failed) {
    size_t key_len = plr__read_be16(&r);
    const uint8_t *key = plr__read_bytes(&r, key_len);
    size_t value_len = plr__read_be32(&r);
    const uint8_t *value = plr__read_bytes(&r, value_len);
    if (!key || !value) break;
    plr_status st = plr__map_put(&s->map, key, key_len, value, value_len);
    if (st != PLR_OK) return plr__no_memory(err, "ledger snapshot");
  }
  plr__map_commit(&s->map);
  return plr__reader_done(&r) ? PLR_OK : corrupt(err, "a piece of the snapshot is malformed");
}

static plr_status snapshot_read(plr_ledger *l, plr_error *err) {
  plr_reader r;
  plr_hash stored, now, last;
  const void *data;
  size_t len;
  plr_status st = plr__store_get(&l->store, "snapshot", &data, &len, err);
  if (st == PLR_ERR_NOT_FOUND) return PLR_OK; /* none was written yet: replay everything */
  PLR_TRY(st);
  plr__reader_init(&r, data, len);
  l->snapshot_size = plr__read_be64(&r);
  uint32_t count = l->snapshot_pieces = plr__read_be32(&r);
  plr__read_into(&r, stored.bytes, 32);
  plr__read_into(&r, last.bytes, 32);
  if (!plr__reader_done(&r) || l->snapshot_size > l->head.frontier.size)
    return corrupt(err, "the snapshot's record is malformed");
  for (uint32_t i = 0; i < count; i++) {
    char name[32];
    snprintf(name, sizeof name, "snapshot/%u", i);
    PLR_TRY(missing(plr__store_get(&l->store, name, &data, &len, err),
                    "a piece of the snapshot is missing", err));
    PLR_TRY(piece_read(&l->state, data, len, err));
  }
  plr__map_root(&l->state.map, &now);
  if (!plr__hash_equal(&now, &stored))
    return corrupt(err, "the snapshot does not have its state root");
  l->state.state_root = last;
  if (plr__state_refresh(&l->state) != PLR_OK) return corrupt(err, "the snapshot has no Genesis");
  return PLR_OK;
}

/* Applies one stored entry again. Signatures were verified when it was appended; one that failed then is known by
 * its status. */
static plr_status replay_one(plr_ledger *l, uint64_t index, plr_error *err) {
  plr_entry e;
  plr_hash leaf;
  plr__row row;
  PLR_TRY(missing(plr__store_row(&l->store, index, &row, err), "an entry is missing", err));
  plr__merkle_leaf(row.entry, row.entry_len, &leaf);
  if (memcmp(leaf.bytes, row.hashes, sizeof leaf.bytes) != 0)
    return plr__fail(err, PLR_ERR_CORRUPT, "ledger store", "entry %llu does not have its hash",
                     (unsigned long long)index);
  if (row.status == PLR_ERR_SIGNATURE) return PLR_OK;
  plr_status st = plr__entry_decode(row.entry, row.entry_len, &e, err);
  if (st == PLR_OK) st = plr__state_apply(&l->state, &e, NULL, err);
  if (st != PLR_OK && !plr__is_refusal(st)) return st;
  plr__map_commit(&l->state.map);
  if (st == row.status) return PLR_OK;
  return plr__fail(err, PLR_ERR_CORRUPT, "ledger store", "entry %llu: replayed %s, was %s",
                   (unsigned long long)index, plr_status_name(st), plr_status_name(row.status));
}

/* The guard against an older copy of the file: a checkpoint that was signed cannot be taken back. */
static plr_status checkpoint_read(plr_ledger *l, plr_error *err) {
  plr_hash root, now;
  const void *note;
  size_t len;
  plr_status st = plr__store_get(&l->store, "checkpoint", &note, &len, err);
  l->signed_size = UINT64_MAX;
  if (st == PLR_ERR_NOT_FOUND) return PLR_OK;
  PLR_TRY(st);
  uint64_t size = 0;
  if (!l->sequencer && !l->is_copy) plr__buffer_put(&l->checkpoint, note, len);
  if (l->checkpoint.failed) return plr__no_memory(err, "ledger store");
  if (plr_log_verify_checkpoint(note, len, l->state.genesis.origin, l->state.genesis.sequencer_key,
                                &size, &root, NULL) != PLR_OK)
    return corrupt(err, "the recorded checkpoint does not verify");
  if (size > l->head.frontier.size) return corrupt(err, "a checkpoint of more entries was signed");
  plr__node_reader nodes = plr__ledger_nodes(l);
  PLR_TRY(plr__tree_root(&nodes, size, &now, err));
  if (!plr__hash_equal(&root, &now))
    return corrupt(err, "a checkpoint was signed that this log does not continue");
  l->signed_size = size;
  return PLR_OK;
}

/* What follows the head, which says that there is something. */
static plr_status load_rest(plr_ledger *l, const plr_hash *last, plr_error *err) {
  PLR_TRY(snapshot_read(l, err));
  l->state.trust_signatures = 1;
  for (uint64_t i = l->snapshot_size; i < l->head.frontier.size; i++)
    PLR_TRY(replay_one(l, i, err));
  l->state.trust_signatures = 0;
  if (!l->state.has_genesis) return corrupt(err, "the log has no Genesis");
  if (!plr__hash_equal(last, &l->state.state_root))
    return corrupt(err, "the replay does not reach the head's state root");
  return checkpoint_read(l, err);
}

plr_status plr__ledger_load(plr_ledger *l, plr_error *err) {
  plr_hash last;
  plr__row row;
  l->signed_size = UINT64_MAX;
  plr_status st = head_read(l, &last, err);
  if (st == PLR_OK) return missing(load_rest(l, &last, err), "an entry is missing", err);
  if (st != PLR_ERR_NOT_FOUND) return st;
  st = plr__store_row(&l->store, 0, &row, err);
  return st == PLR_OK ? corrupt(err, "there are entries, and no head") : st;
}
