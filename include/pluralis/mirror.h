/* libpluralis: a ledger's published log over HTTP: copied, published, witnessed.
 *
 * plr_mirror keeps a copy of a log that somebody else publishes (tlog.h), and believes nothing it is sent:
 *
 *   checkpoint -> signature of the log, quorum of witnesses, consistency with the copy
 *              -> tiles and entry bundles, checked against the checkpoint before they are used
 *              -> entries replayed into a ledger of one's own, stored as they come
 *
 *   plr_mirror_options o;
 *   plr_mirror_options_init(&o, sizeof o);
 *   o.url = "https://example.org/job", o.origin = "example.org/job", o.public_key = key, o.path = "copy.ledger";
 *   plr_mirror *mirror;
 *   plr_mirror_create(ctx, &o, &mirror, &err);
 *   plr_mirror_update(mirror, &size, &err);            // as often as one likes; goes on where it stopped
 *   plr_ledger *copy = plr_mirror_ledger(mirror);      // balances, proofs, export, publication
 *
 * This is the only part of the library that opens sockets, waits and asks what time it is, and only inside these
 * calls. It is made with libcurl; a build without it (PLR_REMOTE off) gives PLR_ERR_UNSUPPORTED. Proxies and passwords
 * come from the options, never from the environment.
 *
 * Failures of a transfer, in every function here: UNAVAILABLE (no connection, a time-out, or the server kept answering
 * 429 or 5xx, after all retries), NOT_FOUND (404, 410), LIMIT (more bytes than the file can have), IO (any other
 * answer, certificate or redirection that does not lead to the file), TRUNCATED (the connection ended within the
 * file). err says which file and what the server answered. */
#ifndef PLURALIS_MIRROR_H
#define PLURALIS_MIRROR_H

#include <pluralis/ledger.h>
#include <pluralis/tlog.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How files are carried. Strings are borrowed for the call; a mirror copies them. */
typedef struct plr_remote_options {
  uint32_t struct_size;
  uint32_t parallel;           /* transfers at once, 1 to 64; default 8 */
  uint32_t retries;            /* of one file, after failures that may pass; default 5 */
  uint32_t backoff_ms;         /* before the first retry, doubled for each further one up to 30 s; default 500. A server
                                  that says Retry-After is obeyed, up to five minutes */
  uint32_t connect_timeout_ms; /* default 10,000 */
  uint32_t stall_timeout_s;    /* a transfer that moves nothing for so long is given up; default 30 */
  uint32_t timeout_ms;         /* of one file in all; default 600,000 */
  uint32_t no_tls_verify;      /* default 0. 1: any certificate is taken (a log is signed; a copy may still be old) */
  const char *ca_file;         /* certificates to trust, PEM; NULL (default): those of the system */
  const char *user;            /* "name:password" for the server, or the two S3 keys when sigv4 is set; default none */
  const char *sigv4;           /* sign requests as S3 wants, for instance "aws:amz:us-east-1:s3"; default NULL: not */
  const char *proxy;           /* URL of a proxy; default NULL: none */
} plr_remote_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_remote_options) as compiled. Since 0.1. */
PLR_API void plr_remote_options_init(plr_remote_options *options, uint32_t struct_size);

/* ---- a copy of a log ---------------------------------------------------------------------------- */

/* A copy of a log, and where it is copied from. */
typedef struct plr_mirror plr_mirror;

/* What is copied, and what it must show. All is copied by plr_mirror_create. */
typedef struct plr_mirror_options {
  uint32_t struct_size;
  uint32_t quorum;                   /* witnesses that must have signed a checkpoint; default 0 */
  const char *url;                   /* required: the folder of `checkpoint` and `tile/`, http:// or https:// */
  const char *path;                  /* SQLite file of the copy, created when absent; NULL (default): in memory */
  const char *origin;                /* required: name of the log */
  const uint8_t *public_key;         /* required: 32 bytes, of the log */
  const plr_witness_key *witnesses;  /* those that count; default none */
  uint32_t witness_count;            /* how many */
  uint32_t skip_signatures;          /* default 0. 1: signatures of entries are believed; those of the checkpoint
                                        never are. The file then remembers what was believed */
  const plr_remote_options *remote;  /* NULL: defaults */
  plr_status (*progress)(void *user, uint64_t entries_done, uint64_t entries_total,
                         uint64_t bytes); /* called several times a second while an update runs. What it returns,
                                             unless OK, ends the update with that status; what was stored until then
                                             is kept. bytes: received in this update, as they came over the wire.
                                             May be NULL */
  void *user;
} plr_mirror_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_mirror_options) as compiled. Since 0.1. */
PLR_API void plr_mirror_options_init(plr_mirror_options *options, uint32_t struct_size);

/* Opens the copy, and asks the network nothing. The file is locked for this handle alone. Errors: INVALID_ARGUMENT,
 * UNSUPPORTED (a build without libcurl, or a path without SQLite), MISMATCH (the file is of another log), those of
 * plr_ledger_open. Since 0.1. */
PLR_API plr_status plr_mirror_create(plr_context *ctx, const plr_mirror_options *options, plr_mirror **out,
                                     plr_error *err);
PLR_API void plr_mirror_destroy(plr_mirror *mirror);

/* Brings the copy up to the checkpoint that the server shows, and records it. Entries are stored as they come, each
 * checked against the checkpoint first, so that an update that failed, or a process that was killed, loses little:
 * the next one goes on from there. *size (may be NULL): entries in the copy.
 * Errors: MALFORMED, SIGNATURE (of the log, or fewer than quorum witnesses), SEQUENCE (the server shows a checkpoint
 * older than the copy: a stale cache, or a log that was set back), MISMATCH (another log; or this one with another
 * history than the copy: a fork, see plr_mirror_shown; or an EpochClose with a wrong state root), CHECKSUM (files that
 * are not under the checkpoint), CONSERVATION, what `progress` returned, those of a transfer, IO, NO_SPACE, NO_MEMORY.
 * After any of these the copy is what it was, or holds more of the same log. Since 0.1. */
PLR_API plr_status plr_mirror_update(plr_mirror *mirror, uint64_t *size, plr_error *err);

/* The copy: read-only, and it can be published (plr_ledger_publish) under the recorded checkpoint. NULL while it has no
 * entry. Valid until plr_mirror_destroy; not to be destroyed, nor used during plr_mirror_update. Since 0.1. */
PLR_API plr_ledger *plr_mirror_ledger(plr_mirror *mirror);

/* The checkpoint that the server showed last, accepted or not: what plr_log_verify_fork may need beside another one.
 * *len: its length, also when BUFFER_TOO_SMALL. Errors: NOT_FOUND (none yet), BUFFER_TOO_SMALL. Since 0.1. */
PLR_API plr_status plr_mirror_shown(const plr_mirror *mirror, char *buf, size_t cap, size_t *len);

/* What a mirror has carried since it was created. Set struct_size before the call that fills it. */
typedef struct plr_mirror_stats {
  uint32_t struct_size, reserved;
  uint64_t files;    /* received whole */
  uint64_t retries;  /* transfers begun again */
  uint64_t received; /* bytes over the wire, without headers */
  uint64_t decoded;  /* the same after content-encoding was undone */
} plr_mirror_stats;

/* Errors: INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_mirror_get_stats(const plr_mirror *mirror, plr_mirror_stats *out);

/* ---- the sequencer's side ------------------------------------------------------------------------ */

/* plr_ledger_publish to a server that takes PUT: `url`/checkpoint and `url`/tile/... Files that never change are put
 * `parallel` at a time; the checkpoint is put when all of them have arrived. remote: NULL for defaults. Errors: those
 * of a transfer (IO: 401, 403 and the like), those of plr_ledger_publish. Since 0.1. */
PLR_API plr_status plr_ledger_publish_url(plr_ledger *ledger, const char *url, const plr_remote_options *remote,
                                          uint64_t *size, plr_error *err);

/* Asks a witness to sign the recorded checkpoint (POST `url`/add-checkpoint) and keeps what it signed. A witness that
 * has seen another size is asked again from there.
 * Errors: SIGNATURE (its answer is not signed by it; or 403: it does not take our signature), NOT_FOUND (404: it does
 * not know this log), SEQUENCE (it has seen more entries than this ledger has: see plr_ledger_guard_url), MISMATCH (409
 * for an equal size: it has signed another history), PROOF (422: it does not take our proof), MALFORMED (400, or an
 * answer without form), INVALID_STATE (no checkpoint), those of a transfer. Since 0.1. */
PLR_API plr_status plr_ledger_cosign_url(plr_ledger *ledger, const plr_witness_key *witness, const char *url,
                                         const plr_remote_options *remote, plr_error *err);

/* plr_ledger_guard with the last checkpoint of this log that a witness shows (GET `url`/H/checkpoint, H the SHA-256 of
 * the origin in hexadecimal digits): before signing with a ledger that may be a restored backup. Errors: NOT_FOUND (it
 * shows none), those of plr_ledger_guard, those of a transfer. Since 0.1. */
PLR_API plr_status plr_ledger_guard_url(plr_ledger *ledger, const char *url, const plr_remote_options *remote,
                                        plr_error *err);

#ifdef __cplusplus
}
#endif

#endif
