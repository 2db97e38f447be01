/* Reading the log: entries, checkpoint, proofs, export. */
#include "ledger/ledger_int.h"

#include <string.h>

plr_status plr_ledger_entry(plr_ledger *l, uint64_t index, void *buf, size_t cap, size_t *len,
                            plr_error *err) {
  PLR_GUARD(l, err);
  if (!l || !len || (!buf && cap))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "ledger", "ledger, buf or len is NULL");
  if (index >= l->head.frontier.size)
    return plr__fail(err, PLR_ERR_NOT_FOUND, "index", "the log has %llu entries",
                     (unsigned long long)l->head.frontier.size);
  plr__row row;
  PLR_TRY(plr__store_row(&l->store, index, &row, err));
  plr__buffer_clear(&l->scratch);
  plr__buffer_put(&l->scratch, row.entry, row.entry_len);
  if (l->scratch.failed) return plr__no_memory(err, "entry");
  return plr__copy_out(&l->scratch, buf, cap, len, err);
}

/* ---- checkpoint ------------------------------------------------------------------------------- */

static plr_status record_checkpoint(plr_ledger *l, const plr_buffer *note, plr_error *err) {
  if (l->signed_size == l->head.frontier.size) return PLR_OK;
  PLR_TRY(plr__store_record(&l->store, "checkpoint", note->data, note->len, err));
  l->signed_size = l->head.frontier.size;
  return PLR_OK;
}

/* The checkpoint of the present size, not recorded yet. */
static plr_status make_checkpoint(plr_ledger *l, plr_buffer *out, plr_error *err) {
  plr_hash root;
  if (l->fatal != PLR_OK)
    return plr__fail(err, l->fatal, "ledger", "an earlier failure ended this handle");
  if (!l->sequencer) return plr__fail(err, PLR_ERR_INVALID_STATE, "checkpoint", "opened read-only");
  plr__buffer_clear(out);
  plr__frontier_root(&l->head.frontier, &root);
  plr_status st = plr__checkpoint_sign(out, l->state.genesis.origin, l->head.frontier.size, &root,
                                       l->sequencer);
  return st == PLR_OK ? PLR_OK : plr__no_memory(err, "checkpoint");
}

plr_status plr_ledger_checkpoint(plr_ledger *l, char *buf, size_t cap, size_t *len,
                                 plr_error *err) {
  PLR_GUARD(l, err);
  if (!l || !len || (!buf && cap))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "checkpoint", "ledger, buf or len is NULL");
  PLR_TRY(make_checkpoint(l, &l->scratch, err));
  if (l->scratch.len <= cap) PLR_TRY(record_checkpoint(l, &l->scratch, err));
  return plr__copy_out(&l->scratch, buf, cap, len, err);
}

/* ---- proofs ----------------------------------------------------------------------------------- */

plr_status plr_ledger_prove_inclusion(plr_ledger *l, uint64_t index, uint64_t size,
                                      plr_hash proof[PLR_PROOF_MAX], uint32_t *count,
                                      plr_error *err) {
  PLR_GUARD(l, err);
  if (!l || !proof || !count)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "proof", "ledger, proof or count is NULL");
  if (index >= size || size > l->head.frontier.size)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "proof", "entry %llu of %llu, the log has %llu",
                     (unsigned long long)index, (unsigned long long)size,
                     (unsigned long long)l->head.frontier.size);
  plr__node_reader nodes = plr__ledger_nodes(l);
  return plr__prove_inclusion(&nodes, index, size, proof, count, err);
}

plr_status plr_ledger_prove_consistency(plr_ledger *l, uint64_t old_size, uint64_t new_size,
                                        plr_hash proof[PLR_PROOF_MAX + 1], uint32_t *count,
                                        plr_error *err) {
  PLR_GUARD(l, err);
  if (!l || !proof || !count)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "proof", "ledger, proof or count is NULL");
  if (old_size > new_size || new_size > l->head.frontier.size)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "proof", "from %llu to %llu, the log has %llu",
                     (unsigned long long)old_size, (unsigned long long)new_size,
                     (unsigned long long)l->head.frontier.size);
  plr__node_reader nodes = plr__ledger_nodes(l);
  return plr__prove_consistency(&nodes, old_size, new_size, proof, count, err);
}

/* ---- export ----------------------------------------------------------------------------------- */

#define WRITE_AT 65536u

/* Passes the buffer on once it holds enough, or at the end. */
static plr_status flush(plr_buffer *b, plr_sink *sink, size_t at_least, plr_error *err) {
  if (b->failed) return plr__no_memory(err, "ledger export");
  if (b->len == 0 || b->len < at_least) return PLR_OK;
  plr_status st = sink->write(sink->user, b->data, b->len);
  if (st != PLR_OK) return plr__fail(err, st, "ledger export", "writing failed");
  plr__buffer_clear(b);
  return PLR_OK;
}

/* The note to export: signed now, or, in a ledger that cannot sign, recorded at the present size. */
static plr_status export_note(plr_ledger *l, plr_buffer *note, plr_error *err) {
  if (l->sequencer) {
    PLR_TRY(make_checkpoint(l, note, err));
    return record_checkpoint(l, note, err);
  }
  if (l->signed_size != l->head.frontier.size)
    return plr__fail(err, PLR_ERR_INVALID_STATE, "ledger export",
                     "opened read-only, and no checkpoint of %llu entries is recorded",
                     (unsigned long long)l->head.frontier.size);
  return plr__recorded_checkpoint(l, note, NULL, err);
}

static plr_status write_export(plr_ledger *l, plr_sink *sink, plr_buffer *out, plr_buffer *entry,
                               plr_error *err) {
  PLR_TRY(export_note(l, entry, err));
  plr__buffer_put(out, PLR__EXPORT_MAGIC, 8);
  plr__buffer_be32(out, (uint32_t)entry->len);
  plr__buffer_put(out, entry->data, entry->len);
  for (uint64_t i = 0; i < l->head.frontier.size; i++) {
    plr__row row;
    PLR_TRY(plr__store_row(&l->store, i, &row, err));
    plr__buffer_be16(out, (uint16_t)row.entry_len);
    plr__buffer_put(out, row.entry, row.entry_len);
    PLR_TRY(flush(out, sink, WRITE_AT, err));
  }
  return flush(out, sink, 0, err);
}

plr_status plr_ledger_export(plr_ledger *l, plr_sink *sink, plr_error *err) {
  if (!sink) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "ledger export", "sink is NULL");
  PLR_GUARD_OR(l, err, sink->abort(sink->user));
  if (!l) {
    sink->abort(sink->user);
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "ledger export", "ledger is NULL");
  }
  plr_buffer out, entry;
  plr__buffer_init(&out, l->ctx);
  plr__buffer_init(&entry, l->ctx);
  plr_status st = write_export(l, sink, &out, &entry, err);
  plr__buffer_release(&out);
  plr__buffer_release(&entry);
  if (st != PLR_OK) {
    sink->abort(sink->user);
    return st;
  }
  st = sink->commit(sink->user);
  return st == PLR_OK ? PLR_OK
                      : plr__fail(err, st, "ledger export", "the export could not be kept");
}
