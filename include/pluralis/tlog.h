/* libpluralis: the ledger's log as the rest of the world reads it: tiles, cosignatures, proofs in one file.
 *
 * A log is published as static files that any web server or object store can serve (C2SP tlog-tiles v0.1.0):
 *
 *   checkpoint                 origin, size and root, signed; the only file that changes
 *   tile/L/N  tile/L/N.p/W     256 (or W) hashes of level 8 L of the Merkle tree
 *   tile/entries/N[.p/W]       256 (or W) entries, each behind its length (u16, big-endian)
 *
 * N is written in groups of three digits, all but the last with an x before: 1234067 is x001/x234/067.
 *
 *   plr_ledger_checkpoint(ledger, ...)                     sign
 *   plr_ledger_witness_request(ledger, old, ...)           ask each witness; the host carries the request
 *   plr_ledger_cosign(ledger, answer, ...)                 keep what they signed
 *   plr_ledger_publish(ledger, &publisher, &size, &err)    tiles first, checkpoint last
 *
 * A witness signs that a log has only grown (C2SP tlog-witness v1.0.0); a log that shows two histories needs all its
 * witnesses to help. plr_witness is one, without I/O: the host receives requests and keeps its state. */
#ifndef PLURALIS_TLOG_H
#define PLURALIS_TLOG_H

#include <pluralis/ledger.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- tiles ------------------------------------------------------------------------------------ */

/* Longest path of a resource, with the NUL. */
#define PLR_LOG_PATH_MAX 64u

/* Bytes of one resource by its path, as tlog-tiles names it; `checkpoint` is the recorded one. The contents of a tile
 * never change. *len: its length, also when BUFFER_TOO_SMALL (then buf is not complete). A tile has at most 8,192
 * bytes, a bundle of entries 16,777,472. Errors: MALFORMED (not a path of this form), NOT_FOUND (beyond the log's
 * size, or no checkpoint was signed yet), BUFFER_TOO_SMALL, IO, CORRUPT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_ledger_resource(plr_ledger *ledger, const char *path, void *buf, size_t cap, size_t *len,
                                       plr_error *err);

/* Where published files go. put makes one file durable under its path, replacing what was there, before it returns;
 * immutable: 1 for all but the checkpoint. */
typedef struct plr_publisher {
  void *user;
  plr_status (*put)(void *user, const char *path, const void *data, size_t len, int32_t immutable);
} plr_publisher;

/* Publishes the recorded checkpoint: hands to put every tile and bundle that it needs and an earlier publication of
 * this ledger did not put, partial ones included, and the checkpoint last; then records the size. When put fails the
 * publication is incomplete, the old checkpoint still stands and is complete, and the call may be repeated. *size (may
 * be NULL): entries under the checkpoint. Errors: INVALID_STATE (no checkpoint; read-only), put's, IO, CORRUPT,
 * NO_SPACE, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_ledger_publish(plr_ledger *ledger, const plr_publisher *publisher, uint64_t *size,
                                      plr_error *err);

/* A publisher that writes to a folder, which it makes: each file written beside its place, flushed, renamed, folder
 * flushed. Errors: INVALID_ARGUMENT, IO, NO_SPACE, NO_MEMORY, those of plr_ledger_publish. Since 0.1. */
PLR_API plr_status plr_ledger_publish_path(plr_ledger *ledger, const char *folder, uint64_t *size, plr_error *err);

/* ---- back from the files ------------------------------------------------------------------------ */

/* Where published files are read: a folder, a web server, an object store. read puts the whole file `path` into buf
 * and its length into *len. NOT_FOUND: there is none; BUFFER_TOO_SMALL: it is longer than cap, *len is its length. */
typedef struct plr_log_reader {
  void *user;
  plr_status (*read)(void *user, const char *path, void *buf, size_t cap, size_t *len);
} plr_log_reader;

/* Rebuilds a ledger from what was published of it, checkpoint, tiles and bundles, and from nothing else, in the store
 * that `options` names by path or store (the rest of them is not looked at). The store is empty, or has the beginning
 * of this log: then what is missing is added, so that a call that failed is simply repeated, and a copy kept up to
 * date. Nothing is stored before its hash was found under the signed root; entries are replayed with all the checks of
 * plr_ledger_verify (`verify` says against what). The published checkpoint becomes the recorded one, with its
 * cosignatures. Memory: the state, and 32 bytes for 65,536 entries. summary may be NULL. The ledger can then be opened
 * as any other. A sequencer whose store is lost must know that no larger checkpoint was ever signed before it goes on
 * from here: plr_ledger_guard.
 * Errors: those of read; CHECKSUM (a file is not the one that was signed), SEQUENCE (the store has more entries than
 * are published), MISMATCH (the store has another history; Genesis or an EpochClose is not what follows), those of
 * plr_ledger_verify and plr_ledger_open. Since 0.1. */
PLR_API plr_status plr_ledger_rebuild(plr_context *ctx, const plr_ledger_options *options, const plr_log_reader *from,
                                      const plr_verify_options *verify, plr_ledger_summary *summary, plr_error *err);

/* The same from a folder that plr_ledger_publish_path wrote, or a copy of it. Since 0.1. */
PLR_API plr_status plr_ledger_rebuild_path(plr_context *ctx, const plr_ledger_options *options, const char *folder,
                                           const plr_verify_options *verify, plr_ledger_summary *summary,
                                           plr_error *err);

/* ---- cosignatures ----------------------------------------------------------------------------- */

/* A witness as others know it. */
typedef struct plr_witness_key {
  const char *name;      /* as in its verifier key */
  uint8_t public_key[32]; /* Ed25519 */
} plr_witness_key;

/* Verifier key of a cosigner (type 04), as plr_log_vkey. Since 0.1. */
PLR_API plr_status plr_log_cosigner_vkey(const char *name, const uint8_t public_key[32], char *buf, size_t cap,
                                         size_t *len);

/* Body of a POST to a witness's add-checkpoint: "old N", the consistency proof from N to the recorded checkpoint, and
 * that checkpoint. old_size: what the witness has seen, 0 at first; when it answers 409, its text says the size.
 * Errors: INVALID_STATE (no checkpoint), INVALID_ARGUMENT (old_size over the checkpoint's), BUFFER_TOO_SMALL (*len =
 * what is needed; 80 KiB is enough), IO, CORRUPT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_ledger_witness_request(plr_ledger *ledger, uint64_t old_size, char *buf, size_t cap,
                                              size_t *len, plr_error *err);

/* Adds the signature line of `witness` in `lines` (the body of a 200) to the recorded checkpoint; lines of others are
 * ignored, and so is one that is there already. Errors: SIGNATURE (none of that witness, or a wrong one), MALFORMED,
 * INVALID_STATE, IO, NO_SPACE, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_ledger_cosign(plr_ledger *ledger, const plr_witness_key *witness, const char *lines,
                                     size_t len, plr_error *err);

/* Counts the witnesses in `witnesses` whose cosignature on the checkpoint holds. *time (may be NULL): the latest of
 * their times in seconds since 1970. A line under a witness's name and key that does not hold refuses the whole note.
 * ctx lends memory for the call. Threads: any. Errors: MALFORMED, SIGNATURE, INVALID_ARGUMENT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_log_count_cosignatures(plr_context *ctx, const char *note, size_t len,
                                              const plr_witness_key *witnesses, uint32_t witness_count,
                                              uint32_t *good, uint64_t *time, plr_error *err);

/* Refuses to go on with a ledger that has lost entries: `note` is a checkpoint of this log that a witness or a mirror
 * shows. OK when it is of an earlier state of this very log. Errors: SEQUENCE (it is of more entries than we have: a
 * backup was restored; signing now would fork the log), MISMATCH (same log, other history: the log was forked),
 * those of plr_log_verify_checkpoint. After SEQUENCE or MISMATCH this handle signs and appends nothing more.
 * Since 0.1. */
PLR_API plr_status plr_ledger_guard(plr_ledger *ledger, const char *note, size_t len, plr_error *err);

/* OK when the two checkpoints prove that a log showed two histories: both signed by (origin, public_key), of the same
 * size, with different roots. Anyone who holds both can convince anyone else. Threads: any. Errors: PROOF (they do not
 * contradict each other), those of plr_log_verify_checkpoint. Since 0.1. */
PLR_API plr_status plr_log_verify_fork(const char *a, size_t a_len, const char *b, size_t b_len, const char *origin,
                                       const uint8_t public_key[32], plr_error *err);

/* ---- a proof to carry away ---------------------------------------------------------------------- */

/* A proof file (c2sp.org/tlog-proof@v1): entry `index` is under the recorded checkpoint, whose cosignatures it
 * includes: a holder can show it without the log. Errors: INVALID_STATE (no checkpoint), NOT_FOUND (index not under
 * it), BUFFER_TOO_SMALL (*len = what is needed), IO, CORRUPT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_ledger_proof(plr_ledger *ledger, uint64_t index, char *buf, size_t cap, size_t *len,
                                    plr_error *err);

/* What a proof file is checked against. */
typedef struct plr_proof_policy {
  uint32_t struct_size;
  uint32_t quorum;                  /* witnesses that must have signed; default 0 */
  const char *origin;               /* required */
  const uint8_t *public_key;        /* required: 32 bytes, of the log */
  const plr_witness_key *witnesses; /* those that count; default none */
  uint32_t witness_count, reserved; /* how many */
} plr_proof_policy;

/* Fills *policy with the defaults. struct_size: sizeof(plr_proof_policy) as compiled. Since 0.1. */
PLR_API void plr_proof_policy_init(plr_proof_policy *policy, uint32_t struct_size);

/* Checks that the file proves that `entry` is in the log. index and size (may be NULL): its place and the size of the
 * log then. ctx lends memory for the call; threads: any. Errors: MALFORMED, PROOF, SIGNATURE (of the log, or fewer than
 * quorum witnesses), MISMATCH (another log), INVALID_ARGUMENT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_log_verify_proof(plr_context *ctx, const char *proof, size_t len, const void *entry,
                                        size_t entry_len, const plr_proof_policy *policy, uint64_t *index,
                                        uint64_t *size, plr_error *err);

/* ---- being a witness ---------------------------------------------------------------------------- */

/* A witness: knows logs by their keys, and the last size and root it has signed of each. */
typedef struct plr_witness plr_witness;

/* How a witness keeps what it has signed: load tells it, swap changes it. It must never forget: a state that goes back
 * lets a log fork. */
typedef struct plr_witness_store {
  void *user;
  /* Last size and root signed of a log, by SHA-256 of its origin. NOT_FOUND: none yet. */
  plr_status (*load)(void *user, const plr_hash *origin, uint64_t *size, plr_hash *root);
  /* Replaces it, durably, if it still is (old_size, *old_root) (old_size 0: if there is none). SEQUENCE: it is not,
   * since another request came first. */
  plr_status (*swap)(void *user, const plr_hash *origin, uint64_t old_size, const plr_hash *old_root,
                     uint64_t new_size, const plr_hash *new_root);
} plr_witness_store;

/* A witness with its name and signing key (both borrowed until destroy; the key must sign nothing else). store: copied;
 * NULL: in memory only, for tests. Errors: INVALID_ARGUMENT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_witness_create(plr_context *ctx, const char *name, const plr_identity *identity,
                                      const plr_witness_store *store, plr_witness **out, plr_error *err);
PLR_API void plr_witness_destroy(plr_witness *witness);

/* Makes a log known by its origin and key. Errors: INVALID_ARGUMENT, EXISTS, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_witness_add_log(plr_witness *witness, const char *origin, const uint8_t public_key[32],
                                       plr_error *err);

/* Answers one add-checkpoint request at `now_s` seconds since 1970. *http_status is 200 with our signature line in
 * answer; 400 not a request; 403 no good signature of the log; 404 unknown log; 409 old is not what we have (answer:
 * our size, to be sent as text/x.tlog.size); 422 the proof does not hold; 500 the store failed. *len: bytes of the
 * answer.
 * Errors: INVALID_ARGUMENT, BUFFER_TOO_SMALL (below 1,024 bytes of cap; nothing was done). Since 0.1. */
PLR_API plr_status plr_witness_add_checkpoint(plr_witness *witness, uint64_t now_s, const char *body, size_t body_len,
                                              uint32_t *http_status, char *answer, size_t cap, size_t *len);

#ifdef __cplusplus
}
#endif

#endif
