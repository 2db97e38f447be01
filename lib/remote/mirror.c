/* A copy of a published log: the checkpoint first, then what is under it, many files at once and used in order. */
#include "base/guard.h"
#include "ledger/copy.h"
#include "remote/remote_int.h"

#include <string.h>

#define BUFFERED (32u << 20) /* bytes that wait for their turn before no more files are asked for */

/* A file that is on its way, or has arrived before its turn. */
typedef struct slot {
  plr__transfer t;
  uint32_t used, level;
  uint64_t index;
} slot;

struct plr_mirror {
  plr_context *ctx;
  PLR_GUARDED
  plr_mirror_options o; /* strings, key and witnesses are copies */
  uint8_t key[32];
  plr__http *http;
  plr_ledger *copy;
  plr__transfer single; /* the checkpoint */
  slot *slots;
  uint32_t slot_count;
  uint32_t looked, bundles; /* in this update: the checkpoint is there; bundles have begun */
  plr_buffer shown;
  uint64_t target;   /* entries under the checkpoint */
  uint64_t received; /* bytes, before this update */
  plr_error why;     /* what a file that could not be read died of */
};

/* ---- create ------------------------------------------------------------------------------------------- */

/* The witnesses and their names, in one block. */
static plr_status copy_witnesses(plr_mirror *m, const plr_mirror_options *o, plr_error *err) {
  size_t bytes = o->witness_count * sizeof *o->witnesses;
  for (uint32_t i = 0; i < o->witness_count; i++) bytes += strlen(o->witnesses[i].name) + 1;
  plr_witness_key *keys = plr__alloc(m->ctx, bytes);
  if (!keys) return plr__no_memory(err, "mirror");
  char *name = (char *)(keys + o->witness_count);
  for (uint32_t i = 0; i < o->witness_count; i++) {
    size_t len = strlen(o->witnesses[i].name) + 1;
    keys[i] = o->witnesses[i];
    keys[i].name = memcpy(name, o->witnesses[i].name, len);
    name += len;
  }
  m->o.witnesses = keys;
  return PLR_OK;
}

static plr_status tick(void *user) {
  plr_mirror *m = user;
  if (!m->o.progress) return PLR_OK;
  return m->o.progress(m->o.user, plr__ledger_size(m->copy), m->target,
                       plr__http_count(m->http).received - m->received);
}

static plr_status make_slots(plr_mirror *m, plr_error *err) {
  m->slot_count = 4 * plr__http_parallel(m->http);
  m->slots = plr__calloc(m->ctx, m->slot_count, sizeof *m->slots);
  if (!m->slots) return plr__no_memory(err, "mirror");
  for (uint32_t i = 0; i < m->slot_count; i++) plr__buffer_init(&m->slots[i].t.answer, m->ctx);
  return PLR_OK;
}

/* A file that holds something must hold this log. */
static plr_status open_copy(plr_mirror *m, const char *path, plr_error *err) {
  plr_ledger_options o;
  uint8_t key[32];
  plr_ledger_options_init(&o, sizeof o);
  o.path = path, o.origin = m->o.origin;
  PLR_TRY(plr__ledger_open_copy(m->ctx, &o, &m->copy, err));
  if (plr__ledger_size(m->copy) == 0) return PLR_OK;
  const char *origin = plr_ledger_origin(m->copy, key);
  if (!strcmp(origin, m->o.origin) && !memcmp(key, m->key, 32)) return PLR_OK;
  return plr__fail(err, PLR_ERR_MISMATCH, "mirror.path",
                   "the file holds %s, or that of another key", origin);
}

static plr_status fill(plr_mirror *m, const plr_mirror_options *o, plr_error *err) {
  m->o.url = m->o.path = m->o.origin = NULL;
  m->o.witnesses = NULL;
  m->o.remote = NULL;
  memcpy(m->key, o->public_key, 32);
  m->o.public_key = m->key;
  m->o.origin = plr__strdup(m->ctx, o->origin);
  if (!m->o.origin) return plr__no_memory(err, "mirror");
  PLR_TRY(copy_witnesses(m, o, err));
  PLR_TRY(plr__http_create(m->ctx, o->url, o->remote, tick, m, &m->http, err));
  PLR_TRY(make_slots(m, err));
  return open_copy(m, o->path, err);
}

plr_status plr_mirror_create(plr_context *ctx, const plr_mirror_options *options, plr_mirror **out,
                             plr_error *err) {
  plr_mirror_options o;
  if (out) *out = NULL;
  if (!ctx || !options || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "mirror", "ctx, options or out is NULL");
  PLR_TRY(plr__mirror_options_read(options, &o, err));
  plr_mirror *m = plr__calloc(ctx, 1, sizeof *m);
  if (!m) return plr__no_memory(err, "mirror");
  m->ctx = plr__context_ref(ctx);
  m->o = o;
  plr__buffer_init(&m->single.answer, ctx);
  plr__buffer_init(&m->shown, ctx);
  plr_status st = fill(m, &o, err);
  if (st != PLR_OK) {
    plr_mirror_destroy(m);
    return st;
  }
  *out = m;
  return PLR_OK;
}

void plr_mirror_destroy(plr_mirror *m) {
  if (!m) return;
  PLR_GUARD_END(m);
  plr_context *ctx = m->ctx;
  plr__http_destroy(m->http);
  plr_ledger_destroy(m->copy);
  for (uint32_t i = 0; m->slots && i < m->slot_count; i++)
    plr__buffer_release(&m->slots[i].t.answer);
  plr__free(ctx, m->slots);
  plr__buffer_release(&m->single.answer);
  plr__buffer_release(&m->shown);
  plr__free(ctx, (void *)(uintptr_t)m->o.origin);
  plr__free(ctx, (void *)(uintptr_t)m->o.witnesses);
  plr__free(ctx, m);
  plr__context_unref(ctx);
}

/* ---- files, ahead of their turn ------------------------------------------------------------------------ */

/* Slots of bundles that come before this one are free again; how many bytes the others have received. */
static size_t drop_before(plr_mirror *m, uint64_t bundle) {
  size_t buffered = 0;
  for (uint32_t i = 0; i < m->slot_count; i++) {
    slot *s = &m->slots[i];
    if (s->used && s->t.done && s->level == PLR__BUNDLES && s->index < bundle) s->used = 0;
    if (s->used && s->t.done) buffered += s->t.answer.len;
  }
  return buffered;
}

/* The slot of a file, which is asked for if it was not. NULL: all slots are in use. */
static slot *ask(plr_mirror *m, uint32_t level, uint64_t index, const char *path) {
  slot *empty = NULL;
  for (uint32_t i = 0; i < m->slot_count; i++) {
    slot *s = &m->slots[i];
    if (s->used && !strcmp(s->t.path, path)) return s;
    if (!s->used) empty = s;
  }
  if (!empty) return NULL;
  empty->used = 1, empty->level = level, empty->index = index;
  plr__buffer_clear(&empty->t.answer);
  empty->t.method = "GET";
  empty->t.limit = level == PLR__BUNDLES ? PLR__BUNDLE_MAX : PLR__TILE_MAX;
  memcpy(empty->t.path, path, strlen(path) + 1);
  plr__http_begin(m->http, &empty->t);
  return empty;
}

/* Asks for what follows in order, unless much has arrived that was not used yet. Tiles are read once before the
 * bundles, in order; those between bundles are few. */
static void ask_ahead(plr_mirror *m, uint32_t level, uint64_t index, size_t buffered) {
  char path[PLR_LOG_PATH_MAX];
  if (level != PLR__BUNDLES && m->bundles) return;
  for (uint32_t i = 1; i < m->slot_count && buffered < BUFFERED; i++)
    if (!plr__log_path(level, index + i, m->target, path) || !ask(m, level, index + i, path))
      return;
}

static plr_status read_tile(plr_mirror *m, const char *path, void *buf, size_t cap, size_t *len) {
  uint32_t level;
  uint64_t index;
  if (!plr__log_path_read(path, &level, &index)) return PLR_ERR_MALFORMED;
  if (level == PLR__BUNDLES) m->bundles = 1;
  size_t buffered = drop_before(m, level == PLR__BUNDLES ? index : 0);
  slot *s = ask(m, level, index, path);
  if (!s) return plr__fail(&m->why, PLR_ERR_INTERNAL, path, "no slot is free");
  ask_ahead(m, level, index, buffered);
  plr_status st = plr__http_wait(m->http, &s->t, &m->why);
  *len = s->t.answer.len;
  if (st == PLR_OK && *len > cap) return PLR_ERR_BUFFER_TOO_SMALL; /* it comes again */
  if (st == PLR_OK && *len) memcpy(buf, s->t.answer.data, *len);
  /* A bundle may be read twice, at the place where the copy ends. */
  if (s->t.done && (st != PLR_OK || level != PLR__BUNDLES)) s->used = 0;
  return st;
}

/* ---- the checkpoint ------------------------------------------------------------------------------------ */

static plr_status check_quorum(plr_mirror *m, plr_error *err) {
  uint32_t good = 0;
  if (m->o.witness_count)
    PLR_TRY(plr_log_count_cosignatures(m->ctx, (const char *)m->shown.data, m->shown.len,
                                       m->o.witnesses, m->o.witness_count, &good, NULL, err));
  if (good >= m->o.quorum) return PLR_OK;
  return plr__fail(err, PLR_ERR_SIGNATURE, "checkpoint", "%u witnesses signed it, %u are asked for",
                   good, m->o.quorum);
}

static plr_status read_checkpoint(plr_mirror *m, void *buf, size_t cap, size_t *len) {
  plr__transfer *t = &m->single;
  if (!m->looked) {
    t->method = "GET", t->limit = PLR__CHECKPOINT_MAX, t->urgent = 1;
    memcpy(t->path, "checkpoint", 11);
    PLR_TRY(plr__http_run(m->http, t, &m->why));
    plr__buffer_clear(&m->shown);
    plr__buffer_put(&m->shown, t->answer.data, t->answer.len);
    if (m->shown.failed) return plr__no_memory(&m->why, "checkpoint");
    const char *note = m->shown.data ? (const char *)m->shown.data : "";
    PLR_TRY(plr_log_verify_checkpoint(note, m->shown.len, m->o.origin, m->key, &m->target, NULL,
                                      &m->why));
    PLR_TRY(check_quorum(m, &m->why));
    m->looked = 1;
  }
  *len = m->shown.len;
  if (*len > cap) return PLR_ERR_BUFFER_TOO_SMALL;
  memcpy(buf, m->shown.data, *len);
  return PLR_OK;
}

/* What plr__ledger_follow reads from. */
static plr_status read_file(void *user, const char *path, void *buf, size_t cap, size_t *len) {
  plr_mirror *m = user;
  plr_error_init(&m->why, sizeof m->why);
  if (!strcmp(path, "checkpoint")) return read_checkpoint(m, buf, cap, len);
  plr_status st = tick(m);
  if (st != PLR_OK) return plr__fail(&m->why, st, path, "ended by the host");
  return read_tile(m, path, buf, cap, len);
}

plr_status plr_mirror_update(plr_mirror *m, uint64_t *size, plr_error *err) {
  PLR_GUARD(m, err);
  if (!m) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "mirror", "mirror is NULL");
  plr_log_reader from = {m, read_file};
  plr_verify_options verify;
  plr_verify_options_init(&verify, sizeof verify);
  verify.origin = m->o.origin, verify.public_key = m->key;
  verify.skip_signatures = m->o.skip_signatures;
  m->received = plr__http_count(m->http).received;
  m->target = plr__ledger_size(m->copy);
  m->looked = m->bundles = 0;
  plr_error_init(&m->why, sizeof m->why);
  plr_status st = plr__ledger_follow(m->copy, &from, &verify, err);
  /* What ended it was a file: the copy knows only that it could not be read. */
  if (st != PLR_OK && m->why.status == st) plr__fail(err, st, m->why.where, "%s", m->why.message);
  plr__http_cancel(m->http);
  for (uint32_t i = 0; i < m->slot_count; i++) m->slots[i].used = 0;
  if (st == PLR_OK) st = tick(m);
  if (st == PLR_OK && size) *size = plr__ledger_size(m->copy);
  return st;
}

/* ---- what it has ----------------------------------------------------------------------------------------- */

plr_ledger *plr_mirror_ledger(plr_mirror *m) {
  return m && plr__ledger_size(m->copy) ? m->copy : NULL;
}

plr_status plr_mirror_shown(const plr_mirror *m, char *buf, size_t cap, size_t *len) {
  PLR_GUARD_CONST(m);
  if (!m || !len || (!buf && cap)) return PLR_ERR_INVALID_ARGUMENT;
  *len = m->shown.len;
  if (m->shown.len == 0) return PLR_ERR_NOT_FOUND;
  if (cap < m->shown.len) return PLR_ERR_BUFFER_TOO_SMALL;
  memcpy(buf, m->shown.data, m->shown.len);
  return PLR_OK;
}

plr_status plr_mirror_get_stats(const plr_mirror *m, plr_mirror_stats *out) {
  PLR_GUARD_CONST(m);
  if (!m || !out) return PLR_ERR_INVALID_ARGUMENT;
  plr__http_counts c = plr__http_count(m->http);
  plr_mirror_stats full = {sizeof full, 0, c.files, c.retries, c.received, c.decoded};
  return plr__record_write(out, &full, (uint32_t)sizeof full, (uint32_t)sizeof full);
}
