/* A proof to carry away (c2sp.org/tlog-proof@v1): index, inclusion proof and checkpoint in one text.
 *
 *   c2sp.org/tlog-proof@v1
 *   [extra BASE64]
 *   index N
 *   hashes, one a line
 *                            an empty line
 *   the checkpoint, with all its signatures */
#include "ledger/ledger_int.h"

#include <inttypes.h>
#include <string.h>

static const char first_line[] = "c2sp.org/tlog-proof@v1\n";

/* ---- making one --------------------------------------------------------------------------------- */

static plr_status make(plr_ledger *l, uint64_t index, plr_buffer *note, plr_buffer *out,
                       plr_error *err) {
  uint64_t size;
  uint32_t count;
  plr_hash proof[PLR_PROOF_MAX];
  PLR_TRY(plr__recorded_checkpoint(l, note, &size, err));
  if (index >= size)
    return plr__fail(err, PLR_ERR_NOT_FOUND, "index", "the checkpoint has %" PRIu64 " entries",
                     size);
  plr__node_reader nodes = plr__ledger_nodes(l);
  PLR_TRY(plr__prove_inclusion(&nodes, index, size, proof, &count, err));
  plr__buffer_printf(out, "%sindex %" PRIu64 "\n", first_line, index);
  for (uint32_t i = 0; i < count; i++) {
    char line[45];
    plr__base64_encode(proof[i].bytes, 32, line);
    plr__buffer_printf(out, "%s\n", line);
  }
  plr__buffer_u8(out, '\n');
  plr__buffer_put(out, note->data, note->len);
  return out->failed ? plr__no_memory(err, "proof") : PLR_OK;
}

plr_status plr_ledger_proof(plr_ledger *l, uint64_t index, char *buf, size_t cap, size_t *len,
                            plr_error *err) {
  PLR_GUARD(l, err);
  if (!l || !len || (!buf && cap))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "proof", "ledger, buf or len is NULL");
  plr_buffer note, out;
  plr__buffer_init(&note, l->ctx);
  plr__buffer_init(&out, l->ctx);
  plr_status st = make(l, index, &note, &out, err);
  if (st == PLR_OK) st = plr__copy_out(&out, buf, cap, len, err);
  plr__buffer_release(&note);
  plr__buffer_release(&out);
  return st;
}

/* ---- checking one -------------------------------------------------------------------------------- */

typedef struct proof_file {
  uint64_t index;
  plr_hash hashes[PLR_PROOF_MAX];
  uint32_t count;
  const char *note;
  size_t note_len;
} proof_file;

static plr_status bad(const char *file, const char *at, const char *what, plr_error *err) {
  return plr__fail_at(err, PLR_ERR_MALFORMED, "proof", (uint64_t)(at - file), "%s", what);
}

static plr_status read_file(const char *file, size_t len, proof_file *out, plr_error *err) {
  const char *at = file, *end = file + len, *line;
  size_t n;
  if (!plr__next_line(&at, end, &line, &n) || n + 1 != sizeof first_line - 1 ||
      memcmp(line, first_line, n) != 0)
    return bad(file, file, "does not begin as a proof of this version", err);
  if (!plr__next_line(&at, end, &line, &n)) return bad(file, at, "ends before the index", err);
  if (n > 6 && memcmp(line, "extra ", 6) == 0 && !plr__next_line(&at, end, &line, &n))
    return bad(file, at, "ends before the index", err);
  if (n <= 6 || memcmp(line, "index ", 6) != 0 || !plr__read_size(line + 6, n - 6, &out->index))
    return bad(file, line, "the index is not one", err);
  for (out->count = 0;; out->count++) {
    if (!plr__next_line(&at, end, &line, &n)) return bad(file, at, "ends within the hashes", err);
    if (n == 0) break;
    if (out->count == PLR_PROOF_MAX) return bad(file, line, "more hashes than any log has", err);
    if (plr__base64_decode(line, n, out->hashes[out->count].bytes, 32) != 32)
      return bad(file, line, "not the base64 of a hash", err);
  }
  out->note = at, out->note_len = (size_t)(end - at);
  return PLR_OK;
}

void plr_proof_policy_init(plr_proof_policy *policy, uint32_t struct_size) {
  plr_proof_policy p = {.struct_size = sizeof p};
  plr__options_init(policy, struct_size, &p, (uint32_t)sizeof p);
}

static plr_status check_quorum(plr_context *ctx, const proof_file *p, const plr_proof_policy *o,
                               plr_error *err) {
  uint32_t good = 0;
  if (o->witness_count)
    PLR_TRY(plr_log_count_cosignatures(ctx, p->note, p->note_len, o->witnesses, o->witness_count,
                                       &good, NULL, err));
  if (good >= o->quorum) return PLR_OK;
  return plr__fail(err, PLR_ERR_SIGNATURE, "proof", "%u witnesses signed, %u are asked for", good,
                   o->quorum);
}

plr_status plr_log_verify_proof(plr_context *ctx, const char *proof, size_t len, const void *entry,
                                size_t entry_len, const plr_proof_policy *policy, uint64_t *index,
                                uint64_t *size, plr_error *err) {
  proof_file p;
  plr_proof_policy o;
  uint64_t log_size;
  plr_hash root, leaf;
  if (!ctx || !proof || (!entry && entry_len) || !policy)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "proof", "ctx, proof, entry or policy is NULL");
  plr_proof_policy_init(&o, sizeof o);
  PLR_TRY(plr__options_read(&o, (uint32_t)sizeof o, policy, "proof policy", err));
  PLR_TRY(read_file(proof, len, &p, err));
  PLR_TRY(
      plr_log_verify_checkpoint(p.note, p.note_len, o.origin, o.public_key, &log_size, &root, err));
  PLR_TRY(check_quorum(ctx, &p, &o, err));
  plr_log_leaf_hash(entry, entry_len, &leaf);
  if (plr_log_verify_inclusion(&leaf, p.index, log_size, p.hashes, p.count, &root) != PLR_OK)
    return plr__fail(err, PLR_ERR_PROOF, "proof", "does not show that the entry is in the log");
  if (index) *index = p.index;
  if (size) *size = log_size;
  return PLR_OK;
}
