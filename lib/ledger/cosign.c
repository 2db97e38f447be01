/* Cosignatures (C2SP tlog-cosignature v1.0.1, type 04): a witness signs "cosignature/v1", the time and the whole text
 * of a checkpoint. Here: making and reading the lines, and keeping them with the recorded checkpoint. */
#include "ledger/ledger_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COSIGNATURE 0x04u
#define BLOB        (4 + 8 + 64) /* key id, time, signature */

/* ---- lines -------------------------------------------------------------------------------------- */

/* What is signed: a header with the time, then the text of the note. */
static plr_status message(plr_buffer *out, uint64_t time, const char *text, size_t text_len) {
  plr__buffer_clear(out);
  plr__buffer_printf(out, "cosignature/v1\ntime %" PRIu64 "\n", time);
  plr__buffer_put(out, text, text_len);
  return out->failed ? PLR_ERR_NO_MEMORY : PLR_OK;
}

plr_status plr__cosign_line(plr_buffer *out, const char *name, const plr_identity *identity,
                            uint64_t time, const char *text, size_t text_len) {
  uint8_t key[32], blob[BLOB];
  char encoded[(BLOB + 2) / 3 * 4 + 1];
  plr_buffer signed_bytes;
  plr__buffer_init(&signed_bytes, out->ctx);
  plr_status st = message(&signed_bytes, time, text, text_len);
  if (st == PLR_OK) {
    plr_identity_public_key(identity, key);
    plr__key_id(name, COSIGNATURE, key, blob);
    plr__store_be64(blob + 4, time);
    plr_identity_sign(identity, signed_bytes.data, signed_bytes.len, blob + 12);
    plr__base64_encode(blob, sizeof blob, encoded);
    st = plr__buffer_printf(out, "%s%s %s\n", plr__note_dash, name, encoded);
  }
  plr__buffer_release(&signed_bytes);
  return st;
}

/* 1: a good line of this witness; 0: of somebody else; -1: of this witness, and wrong; -2: no memory. */
static int line_check(plr_buffer *work, const char *line, size_t len, const plr_witness_key *w,
                      const char *text, size_t text_len, uint64_t *time) {
  uint8_t blob[BLOB], id[4];
  size_t dash = strlen(plr__note_dash), name = strlen(w->name);
  if (len <= dash + name + 1 || memcmp(line, plr__note_dash, dash) != 0 ||
      memcmp(line + dash, w->name, name) != 0 || line[dash + name] != ' ')
    return 0;
  const char *base64 = line + dash + name + 1;
  size_t base64_len = len - (size_t)(base64 - line);
  plr__key_id(w->name, COSIGNATURE, w->public_key, id);
  if (!plr__note_line_id(base64, base64_len, id)) return 0;
  if (plr__base64_decode(base64, base64_len, blob, sizeof blob) != BLOB) return -1;
  *time = plr__load_be64(blob + 4);
  if (message(work, *time, text, text_len) != PLR_OK) return -2;
  return plr_verify(w->public_key, work->data, work->len, blob + 12) == PLR_OK ? 1 : -1;
}

/* Looks for a witness's line among those of [lines, lines + len). *found: its place, length with the newline. */
static plr_status find_line(plr_buffer *work, const char *lines, size_t len,
                            const plr_witness_key *w, const char *text, size_t text_len,
                            const char **found, size_t *found_len, uint64_t *time, plr_error *err) {
  *found = NULL;
  for (size_t at = 0; at < len;) {
    const char *end = memchr(lines + at, '\n', len - at);
    if (!end) return plr__fail(err, PLR_ERR_MALFORMED, "cosignature", "a line does not end");
    size_t n = (size_t)(end - (lines + at));
    uint64_t t = 0;
    int verdict = line_check(work, lines + at, n, w, text, text_len, &t);
    if (verdict == -2) return plr__no_memory(err, "cosignature");
    if (verdict == -1)
      return plr__fail(err, PLR_ERR_SIGNATURE, "cosignature", "the cosignature of %s is wrong",
                       w->name);
    if (verdict == 1 && !*found) *found = lines + at, *found_len = n + 1, *time = t;
    at += n + 1;
  }
  return PLR_OK;
}

plr_status plr_log_cosigner_vkey(const char *name, const uint8_t public_key[32], char *buf,
                                 size_t cap, size_t *len) {
  if (!name || !public_key || !len || (!buf && cap)) return PLR_ERR_INVALID_ARGUMENT;
  return plr__vkey_make(name, COSIGNATURE, public_key, buf, cap, len);
}

static int witness_ok(const plr_witness_key *w) {
  return w && w->name && plr__name_ok(w->name, PLR__MAX_ORIGIN);
}

static plr_status count_good(plr_buffer *work, const char *note, size_t text, size_t len,
                             const plr_witness_key *w, uint32_t n, uint32_t *good, uint64_t *time,
                             plr_error *err) {
  for (uint32_t i = 0; i < n; i++) {
    const char *found;
    size_t found_len;
    uint64_t t = 0;
    if (!witness_ok(&w[i]))
      return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "witness", "number %u has no usable name", i);
    PLR_TRY(find_line(work, note + text + 1, len - text - 1, &w[i], note, text, &found, &found_len,
                      &t, err));
    if (!found) continue;
    ++*good;
    *time = PLR_MAX(*time, t);
  }
  return PLR_OK;
}

plr_status plr_log_count_cosignatures(plr_context *ctx, const char *note, size_t len,
                                      const plr_witness_key *witnesses, uint32_t witness_count,
                                      uint32_t *good, uint64_t *time, plr_error *err) {
  size_t text = 0;
  uint64_t latest = 0;
  uint32_t count = 0;
  if (!ctx || !note || !good || (!witnesses && witness_count))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "cosignature",
                     "ctx, note or witnesses is NULL");
  PLR_TRY(plr__note_split(note, len, &text, err));
  plr_buffer work;
  plr__buffer_init(&work, ctx);
  plr_status st =
      count_good(&work, note, text, len, witnesses, witness_count, &count, &latest, err);
  plr__buffer_release(&work);
  PLR_TRY(st);
  *good = count;
  if (time) *time = latest;
  return PLR_OK;
}

/* ---- the ledger's side -------------------------------------------------------------------------- */

plr_status plr__recorded_checkpoint(plr_ledger *l, plr_buffer *out, uint64_t *size,
                                    plr_error *err) {
  uint8_t key[32];
  const void *note = l->checkpoint.data;
  size_t len = l->checkpoint.len;
  plr_status st = len ? PLR_OK : PLR_ERR_NOT_FOUND;
  if (l->sequencer || l->is_copy) st = plr__store_get(&l->store, "checkpoint", &note, &len, err);
  if (st == PLR_ERR_NOT_FOUND)
    return plr__fail(err, PLR_ERR_INVALID_STATE, "checkpoint", "none was signed yet");
  PLR_TRY(st);
  plr__buffer_clear(out);
  plr__buffer_put(out, note, len);
  if (out->failed) return plr__no_memory(err, "checkpoint");
  if (!size) return PLR_OK;
  const char *origin = plr_ledger_origin(l, key);
  return plr_log_verify_checkpoint((const char *)out->data, out->len, origin, key, size, NULL, err);
}

static plr_status request(plr_ledger *l, uint64_t old_size, plr_buffer *note, plr_buffer *out,
                          plr_error *err) {
  uint64_t size;
  uint32_t count;
  plr_hash proof[PLR_PROOF_MAX + 1];
  PLR_TRY(plr__recorded_checkpoint(l, note, &size, err));
  if (old_size > size)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "witness",
                     "it has seen %" PRIu64 " entries, the checkpoint has %" PRIu64, old_size,
                     size);
  plr__node_reader nodes = plr__ledger_nodes(l);
  PLR_TRY(plr__prove_consistency(&nodes, old_size, size, proof, &count, err));
  plr__buffer_printf(out, "old %" PRIu64 "\n", old_size);
  for (uint32_t i = 0; i < count; i++) {
    char line[45];
    plr__base64_encode(proof[i].bytes, 32, line);
    plr__buffer_printf(out, "%s\n", line);
  }
  plr__buffer_u8(out, '\n');
  plr__buffer_put(out, note->data, note->len);
  return out->failed ? plr__no_memory(err, "witness") : PLR_OK;
}

plr_status plr_ledger_witness_request(plr_ledger *l, uint64_t old_size, char *buf, size_t cap,
                                      size_t *len, plr_error *err) {
  PLR_GUARD(l, err);
  if (!l || !len || (!buf && cap))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "witness", "ledger, buf or len is NULL");
  plr_buffer note, out;
  plr__buffer_init(&note, l->ctx);
  plr__buffer_init(&out, l->ctx);
  plr_status st = request(l, old_size, &note, &out, err);
  if (st == PLR_OK) st = plr__copy_out(&out, buf, cap, len, err);
  plr__buffer_release(&note);
  plr__buffer_release(&out);
  return st;
}

static plr_status cosign(plr_ledger *l, const plr_witness_key *w, const char *lines, size_t len,
                         plr_buffer *note, plr_buffer *work, plr_error *err) {
  const char *found, *there;
  size_t found_len, there_len, text;
  uint64_t time;
  PLR_TRY(plr__recorded_checkpoint(l, note, NULL, err));
  const char *old = (const char *)note->data;
  PLR_TRY(plr__note_split(old, note->len, &text, err));
  PLR_TRY(find_line(work, lines, len, w, old, text, &found, &found_len, &time, err));
  if (!found)
    return plr__fail(err, PLR_ERR_SIGNATURE, "cosignature", "there is none of %s", w->name);
  PLR_TRY(find_line(work, old + text + 1, note->len - text - 1, w, old, text, &there, &there_len,
                    &time, err));
  if (there) return PLR_OK;
  if (note->len + found_len > PLR__NOTE_MAX)
    return plr__fail(err, PLR_ERR_LIMIT, "cosignature", "the checkpoint has no room for another");
  plr__buffer_put(note, found, found_len);
  if (note->failed) return plr__no_memory(err, "cosignature");
  return plr__store_record(&l->store, "checkpoint", note->data, note->len, err);
}

plr_status plr_ledger_cosign(plr_ledger *l, const plr_witness_key *witness, const char *lines,
                             size_t len, plr_error *err) {
  PLR_GUARD(l, err);
  if (!l || !lines || !witness_ok(witness))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "cosignature", "ledger, lines or witness");
  if (!l->sequencer)
    return plr__fail(err, PLR_ERR_INVALID_STATE, "cosignature", "opened read-only");
  plr_buffer note, work;
  plr__buffer_init(&note, l->ctx);
  plr__buffer_init(&work, l->ctx);
  plr_status st = cosign(l, witness, lines, len, &note, &work, err);
  plr__buffer_release(&note);
  plr__buffer_release(&work);
  return st;
}

/* ---- histories that do not agree ----------------------------------------------------------------- */

plr_status plr_ledger_guard(plr_ledger *l, const char *note, size_t len, plr_error *err) {
  PLR_GUARD(l, err);
  uint8_t key[32];
  uint64_t size;
  plr_hash theirs, ours;
  if (!l || !note)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "guard", "ledger or note is NULL");
  const char *origin = plr_ledger_origin(l, key);
  PLR_TRY(plr_log_verify_checkpoint(note, len, origin, key, &size, &theirs, err));
  plr_status st = PLR_OK;
  if (size > l->head.frontier.size) {
    st = plr__fail(err, PLR_ERR_SEQUENCE, "guard",
                   "a checkpoint of %" PRIu64 " entries was signed, this ledger has %" PRIu64
                   ": it is an old copy",
                   size, l->head.frontier.size);
  } else {
    plr__node_reader nodes = plr__ledger_nodes(l);
    PLR_TRY(plr__tree_root(&nodes, size, &ours, err));
    if (!plr__hash_equal(&ours, &theirs))
      st = plr__fail(err, PLR_ERR_MISMATCH, "guard",
                     "another history of the first %" PRIu64 " entries was signed", size);
  }
  if (st != PLR_OK) l->fatal = st;
  return st;
}

plr_status plr_log_verify_fork(const char *a, size_t a_len, const char *b, size_t b_len,
                               const char *origin, const uint8_t public_key[32], plr_error *err) {
  uint64_t a_size, b_size;
  plr_hash a_root, b_root;
  PLR_TRY(plr_log_verify_checkpoint(a, a_len, origin, public_key, &a_size, &a_root, err));
  PLR_TRY(plr_log_verify_checkpoint(b, b_len, origin, public_key, &b_size, &b_root, err));
  if (a_size == b_size && !plr__hash_equal(&a_root, &b_root)) return PLR_OK;
  return plr__fail(err, PLR_ERR_PROOF, "fork",
                   a_size == b_size ? "both checkpoints say the same"
                                    : "checkpoints of different sizes contradict nothing");
}
