/* A witness (C2SP tlog-witness v1.0.0): signs a checkpoint when it extends the last one it signed of that log.
 *
 * The state of a log changes by compare-and-swap in the store, before anything is signed: of two requests that race,
 * one is told 409, and no two roots of one size are ever signed. */
#include "ledger/ledger_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROOF_LINES 63u

typedef struct known_log {
  char origin[PLR__MAX_ORIGIN + 1];
  uint8_t key[32];
  plr_hash id;   /* SHA-256 of the origin */
  uint64_t size; /* in memory only: what a witness without a store has signed */
  plr_hash root;
} known_log;

struct plr_witness {
  plr_context *ctx;
  PLR_GUARDED
  const plr_identity *identity;
  plr_witness_store store;
  known_log *logs;
  uint32_t count;
  char name[PLR__MAX_ORIGIN + 1];
};

/* ---- the store in memory ------------------------------------------------------------------------- */

static known_log *by_id(plr_witness *w, const plr_hash *id) {
  for (uint32_t i = 0; i < w->count; i++)
    if (plr__hash_equal(&w->logs[i].id, id)) return &w->logs[i];
  return NULL;
}

static plr_status memory_load(void *user, const plr_hash *origin, uint64_t *size, plr_hash *root) {
  const known_log *l = by_id(user, origin);
  if (!l || l->size == 0) return PLR_ERR_NOT_FOUND;
  *size = l->size, *root = l->root;
  return PLR_OK;
}

static plr_status memory_swap(void *user, const plr_hash *origin, uint64_t old_size,
                              const plr_hash *old_root, uint64_t new_size,
                              const plr_hash *new_root) {
  known_log *l = by_id(user, origin);
  if (!l || l->size != old_size || (old_size && !plr__hash_equal(&l->root, old_root)))
    return PLR_ERR_SEQUENCE;
  l->size = new_size, l->root = *new_root;
  return PLR_OK;
}

/* ---- handle -------------------------------------------------------------------------------------- */

plr_status plr_witness_create(plr_context *ctx, const char *name, const plr_identity *identity,
                              const plr_witness_store *store, plr_witness **out, plr_error *err) {
  if (out) *out = NULL;
  if (!ctx || !name || !identity || !out || (store && (!store->load || !store->swap)))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "witness", "ctx, name, identity or store");
  if (!plr__name_ok(name, PLR__MAX_ORIGIN))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "witness.name",
                     "not 1 to 128 printable ASCII characters without space and '+'");
  plr_witness *w = plr__calloc(ctx, 1, sizeof *w);
  if (!w) return plr__no_memory(err, "witness");
  w->ctx = plr__context_ref(ctx);
  w->identity = identity;
  w->store = (plr_witness_store){w, memory_load, memory_swap};
  if (store) w->store = *store;
  memcpy(w->name, name, strlen(name) + 1);
  *out = w;
  return PLR_OK;
}

void plr_witness_destroy(plr_witness *w) {
  if (!w) return;
  PLR_GUARD_END(w);
  plr_context *ctx = w->ctx;
  plr__free(ctx, w->logs);
  plr__free(ctx, w);
  plr__context_unref(ctx);
}

plr_status plr_witness_add_log(plr_witness *w, const char *origin, const uint8_t public_key[32],
                               plr_error *err) {
  PLR_GUARD(w, err);
  if (!w || !origin || !public_key || !plr__name_ok(origin, PLR__MAX_ORIGIN))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "witness", "witness, origin or key");
  known_log l = {.size = 0};
  plr_sha256(origin, strlen(origin), &l.id);
  if (by_id(w, &l.id))
    return plr__fail(err, PLR_ERR_EXISTS, "witness", "the log %.100s is known", origin);
  memcpy(l.origin, origin, strlen(origin) + 1);
  memcpy(l.key, public_key, 32);
  known_log *grown = plr__realloc(w->ctx, w->logs, (w->count + 1) * sizeof l);
  if (!grown) return plr__no_memory(err, "witness");
  w->logs = grown;
  w->logs[w->count++] = l;
  return PLR_OK;
}

/* ---- one request ---------------------------------------------------------------------------------- */

typedef struct request {
  uint64_t old_size;
  plr_hash proof[PROOF_LINES];
  uint32_t count;
  const char *note;
  size_t note_len, text_len;
} request;

/* "old N", at most 63 hashes, an empty line, a note. */
static int read_request(const char *body, size_t len, request *out) {
  const char *at = body, *end = body + len, *newline;
  if (len < 4 || memcmp(at, "old ", 4) != 0 || !(newline = memchr(at, '\n', len))) return 0;
  if (!plr__read_size(at + 4, (size_t)(newline - at) - 4, &out->old_size)) return 0;
  for (at = newline + 1;; at = newline + 1) {
    newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    if (!newline) return 0;
    size_t n = (size_t)(newline - at);
    if (n == 0) break;
    if (out->count == PROOF_LINES ||
        plr__base64_decode(at, n, out->proof[out->count++].bytes, 32) != 32)
      return 0;
  }
  out->note = newline + 1, out->note_len = (size_t)(end - out->note);
  return plr__note_split(out->note, out->note_len, &out->text_len, NULL) == PLR_OK;
}

static const known_log *find_log(const plr_witness *w, const request *r) {
  const char *newline = memchr(r->note, '\n', r->note_len);
  for (uint32_t i = 0; i < w->count; i++) {
    size_t n = strlen(w->logs[i].origin);
    if ((size_t)(newline - r->note) == n && memcmp(r->note, w->logs[i].origin, n) == 0)
      return &w->logs[i];
  }
  return NULL;
}

typedef struct answering {
  plr_witness *w;
  const known_log *log;
  const request *r;
  uint64_t now_s, size, have; /* of the checkpoint, and last signed */
  plr_hash root, have_root;
  plr_buffer *answer;
} answering;

static uint32_t behind(answering *a) {
  plr__buffer_printf(a->answer, "%" PRIu64 "\n", a->have);
  return 409;
}

/* The proof must lead from the root we signed to the one we are asked to sign. Of a log without entries that is never
 * remembered, but there is one root only. */
static int extends(const answering *a) {
  plr_hash empty;
  plr_sha256(NULL, 0, &empty);
  if (a->size == 0 && !plr__hash_equal(&a->root, &empty)) return 0;
  if (a->have == 0) return a->r->count == 0;
  return plr_log_verify_consistency(a->have, &a->have_root, a->size, &a->root, a->r->proof,
                                    a->r->count) == PLR_OK;
}

static uint32_t decide(answering *a) {
  plr_status st = plr_log_verify_checkpoint(a->r->note, a->r->note_len, a->log->origin, a->log->key,
                                            &a->size, &a->root, NULL);
  if (st != PLR_OK) return st == PLR_ERR_SIGNATURE ? 403 : 400;
  if (a->r->old_size > a->size) return 400;
  st = a->w->store.load(a->w->store.user, &a->log->id, &a->have, &a->have_root);
  if (st == PLR_ERR_NOT_FOUND) a->have = 0;
  if (st != PLR_OK && st != PLR_ERR_NOT_FOUND) return 500;
  if (a->r->old_size != a->have) return behind(a);
  if (a->size == a->have && a->have && !plr__hash_equal(&a->root, &a->have_root)) return 409;
  if (!extends(a)) return 422;
  st = a->w->store.swap(a->w->store.user, &a->log->id, a->have, &a->have_root, a->size, &a->root);
  if (st == PLR_ERR_SEQUENCE) {
    if (a->w->store.load(a->w->store.user, &a->log->id, &a->have, &a->have_root) != PLR_OK)
      return 500;
    return behind(a);
  }
  if (st != PLR_OK) return 500;
  st =
      plr__cosign_line(a->answer, a->w->name, a->w->identity, a->now_s, a->r->note, a->r->text_len);
  return st == PLR_OK ? 200 : 500;
}

plr_status plr_witness_add_checkpoint(plr_witness *w, uint64_t now_s, const char *body,
                                      size_t body_len, uint32_t *http_status, char *answer,
                                      size_t cap, size_t *len) {
  PLR_GUARD(w, NULL);
  if (!w || !body || !http_status || !answer || !len) return PLR_ERR_INVALID_ARGUMENT;
  if (cap < 1024) return PLR_ERR_BUFFER_TOO_SMALL;
  request r = {.count = 0};
  plr_buffer out;
  plr__buffer_init(&out, w->ctx);
  *len = 0;
  *http_status = 400;
  if (read_request(body, body_len, &r)) {
    answering a = {.w = w, .log = find_log(w, &r), .r = &r, .now_s = now_s, .answer = &out};
    *http_status = a.log ? decide(&a) : 404;
    if (out.failed) *http_status = 500;
  }
  plr_status st = out.failed ? PLR_OK : plr__copy_out(&out, answer, cap, len, NULL);
  plr__buffer_release(&out);
  return st;
}
