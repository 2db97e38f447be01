/* A copy of a published log: the checkpoint first, then what is under it, many files at once and used in order. */
#include "base/guard.h"
#include "ledger/replica.h"
#include "remote/remote_int.h"

#include <string.h>

#define GROUP    16u         /* bundles that go into the ledger in one transaction, at most */
#define BUFFERED (32u << 20) /* bytes that wait for their turn before no more files are asked for */
#define WIDTH    256u

struct plr_mirror {
  plr_context *ctx;
  PLR_GUARDED
  plr_mirror_options o; /* strings, key and witnesses are copies */
  uint8_t key[32];
  plr__http *http;
  plr_ledger *copy;
  plr__tile_view view;
  plr__transfer single; /* the checkpoint, a tile */
  plr__transfer *slots; /* bundle i is in slot i mod slot_count from begin until it is stored */
  uint32_t slot_count;
  plr_append_item *items; /* of one group */
  plr_buffer shown;
  uint64_t target;   /* entries under the checkpoint */
  uint64_t received; /* bytes, before this update */
};

/* ---- create ------------------------------------------------------------------------------------------- */

static plr_status check_options(const plr_mirror_options *o, plr_error *err) {
  plr_status bad = PLR_ERR_INVALID_ARGUMENT;
  if (!o->url) return plr__fail(err, bad, "mirror.url", "missing");
  if (!o->origin) return plr__fail(err, bad, "mirror.origin", "missing");
  if (!o->public_key) return plr__fail(err, bad, "mirror.public_key", "missing");
  if (o->path && !*o->path) return plr__fail(err, bad, "mirror.path", "empty");
  if (o->witness_count > 1024 || (o->witness_count && !o->witnesses))
    return plr__fail(err, bad, "mirror.witnesses", "NULL, or more than 1024");
  if (o->quorum > o->witness_count)
    return plr__fail(err, bad, "mirror.quorum", "%u of %u witnesses", o->quorum, o->witness_count);
  for (uint32_t i = 0; i < o->witness_count; i++)
    if (!o->witnesses[i].name)
      return plr__fail(err, bad, "mirror.witnesses", "number %u has no name", i);
  return PLR_OK;
}

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
  return m->o.progress(m->o.user, plr__replica_size(m->copy), m->target,
                       plr__http_count(m->http).received - m->received);
}

/* Gets one file, ahead of the bundles. */
static plr_status fetch_limited(plr_mirror *m, const char *path, size_t limit, plr_error *err) {
  plr__transfer *t = &m->single;
  t->method = "GET", t->limit = limit, t->urgent = 1;
  memcpy(t->path, path, strlen(path) + 1);
  return plr__http_run(m->http, t, err);
}

static plr_status fetch_tile(void *user, const char *path, plr_buffer *out, plr_error *err) {
  plr_mirror *m = user;
  PLR_TRY(fetch_limited(m, path, PLR__TILE_MAX, err));
  plr__buffer_put(out, m->single.answer.data, m->single.answer.len);
  return out->failed ? plr__no_memory(err, path) : PLR_OK;
}

static plr_status make_slots(plr_mirror *m, plr_error *err) {
  m->slot_count = 4 * plr__http_parallel(m->http);
  m->slots = plr__calloc(m->ctx, m->slot_count, sizeof *m->slots);
  m->items = plr__calloc(m->ctx, GROUP * WIDTH, sizeof *m->items);
  if (!m->slots || !m->items) return plr__no_memory(err, "mirror");
  for (uint32_t i = 0; i < m->slot_count; i++) plr__buffer_init(&m->slots[i].answer, m->ctx);
  return PLR_OK;
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
  return plr__replica_open(m->ctx, o->path, o->origin, m->key, o->skip_signatures != 0, &m->copy,
                           err);
}

plr_status plr_mirror_create(plr_context *ctx, const plr_mirror_options *options, plr_mirror **out,
                             plr_error *err) {
  plr_mirror_options o;
  if (out) *out = NULL;
  if (!ctx || !options || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "mirror", "ctx, options or out is NULL");
  plr_mirror_options_init(&o, sizeof o);
  PLR_TRY(plr__options_read(&o, (uint32_t)sizeof o, options, "mirror options", err));
  PLR_TRY(check_options(&o, err));
  plr_mirror *m = plr__calloc(ctx, 1, sizeof *m);
  if (!m) return plr__no_memory(err, "mirror");
  m->ctx = plr__context_ref(ctx);
  m->o = o;
  plr__buffer_init(&m->single.answer, ctx);
  plr__buffer_init(&m->shown, ctx);
  plr__tile_view_init(&m->view, ctx, fetch_tile, m);
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
  for (uint32_t i = 0; m->slots && i < m->slot_count; i++) plr__buffer_release(&m->slots[i].answer);
  plr__free(ctx, m->slots);
  plr__free(ctx, m->items);
  plr__tile_view_release(&m->view);
  plr__buffer_release(&m->single.answer);
  plr__buffer_release(&m->shown);
  plr__free(ctx, (void *)(uintptr_t)m->o.origin);
  plr__free(ctx, (void *)(uintptr_t)m->o.witnesses);
  plr__free(ctx, m);
  plr__context_unref(ctx);
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

static plr_status other_history(uint64_t size, plr_error *err) {
  return plr__fail(err, PLR_ERR_MISMATCH, "checkpoint",
                   "the log shows another history of its first %llu entries than the copy has",
                   (unsigned long long)size);
}

/* A checkpoint that is not ahead of the copy: of the copy's own past, or of another history. */
static plr_status check_not_ahead(plr_mirror *m, const plr_hash *root, plr_error *err) {
  plr_hash ours;
  uint64_t have = plr__replica_size(m->copy);
  PLR_TRY(plr__replica_root_at(m->copy, m->target, &ours, err));
  if (!plr__hash_equal(&ours, root)) return other_history(m->target, err);
  if (m->target == have) return PLR_OK;
  return plr__fail(err, PLR_ERR_SEQUENCE, "checkpoint", "it is of %llu entries, the copy has %llu",
                   (unsigned long long)m->target, (unsigned long long)have);
}

/* The tree under the checkpoint begins with the copy's. */
static plr_status check_continues(plr_mirror *m, const plr_hash *root, plr_error *err) {
  plr_hash ours, theirs;
  uint64_t have = plr__replica_size(m->copy);
  PLR_TRY(plr__tile_view_open(&m->view, m->target, root, err));
  if (have == 0) return PLR_OK;
  plr__replica_root(m->copy, &ours);
  PLR_TRY(plr__tile_view_root(&m->view, have, &theirs, err));
  return plr__hash_equal(&ours, &theirs) ? PLR_OK : other_history(have, err);
}

static plr_status get_checkpoint(plr_mirror *m, plr_hash *root, plr_error *err) {
  PLR_TRY(fetch_limited(m, "checkpoint", PLR__CHECKPOINT_MAX, err));
  plr__buffer_clear(&m->shown);
  plr__buffer_put(&m->shown, m->single.answer.data, m->single.answer.len);
  if (m->shown.failed) return plr__no_memory(err, "checkpoint");
  const char *note = m->shown.data ? (const char *)m->shown.data : "";
  PLR_TRY(
      plr_log_verify_checkpoint(note, m->shown.len, m->o.origin, m->key, &m->target, root, err));
  PLR_TRY(check_quorum(m, err));
  if (m->target == 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "checkpoint", "the log is empty: no ledger is");
  return PLR_OK;
}

/* ---- the entries ---------------------------------------------------------------------------------------- */

typedef struct copying {
  uint64_t begun, taken, end; /* bundles: [taken, begun) are in slots, end is the last plus one */
} copying;

static plr__transfer *slot_of(plr_mirror *m, uint64_t bundle) {
  return &m->slots[bundle % m->slot_count];
}

/* Asks for more bundles, unless much has arrived that is not used yet. */
static void begin_more(plr_mirror *m, copying *c) {
  size_t buffered = 0;
  for (uint64_t i = c->taken; i < c->begun; i++) buffered += slot_of(m, i)->answer.len;
  for (; c->begun < c->end && c->begun - c->taken < m->slot_count && buffered < BUFFERED;
       c->begun++) {
    plr__transfer *t = slot_of(m, c->begun);
    plr__buffer_clear(&t->answer);
    t->method = "GET", t->limit = PLR__BUNDLE_MAX;
    plr__tile_view_bundle_path(&m->view, c->begun, t->path);
    plr__http_begin(m->http, t);
  }
}

/* Stores the next bundle and those after it that have arrived too. */
static plr_status take_group(plr_mirror *m, copying *c, plr_error *err) {
  size_t count = 0;
  uint64_t have = plr__replica_size(m->copy), next = c->taken;
  do {
    plr__transfer *t = slot_of(m, next);
    PLR_TRY(plr__http_wait(m->http, t, err));
    PLR_TRY(plr__tile_view_bundle(&m->view, next, t->answer.data, t->answer.len, m->items + count,
                                  err));
    count += plr__tile_view_width(&m->view, next);
    next++;
  } while (next < c->begun && next - c->taken < GROUP && slot_of(m, next)->done);
  size_t known =
      (size_t)(have - c->taken * WIDTH); /* of the first bundle; the copy ends within it */
  PLR_TRY(plr__replica_append(m->copy, m->items + known, count - known, err));
  c->taken = next;
  return PLR_OK;
}

static plr_status copy_entries(plr_mirror *m, plr_error *err) {
  uint64_t first = plr__replica_size(m->copy) / WIDTH;
  copying c = {first, first, (m->target + WIDTH - 1) / WIDTH};
  while (c.taken < c.end) {
    begin_more(m, &c);
    PLR_TRY(take_group(m, &c, err));
    plr_status st = tick(m);
    if (st != PLR_OK) return plr__fail(err, st, "mirror", "ended by the host");
  }
  return PLR_OK;
}

static plr_status update(plr_mirror *m, plr_error *err) {
  plr_hash root, ours;
  m->target = plr__replica_size(m->copy);
  PLR_TRY(get_checkpoint(m, &root, err));
  if (m->target <= plr__replica_size(m->copy)) {
    PLR_TRY(check_not_ahead(m, &root, err));
  } else {
    PLR_TRY(check_continues(m, &root, err));
    PLR_TRY(copy_entries(m, err));
  }
  plr__replica_root(m->copy, &ours);
  if (!plr__hash_equal(&ours, &root))
    return plr__fail(err, PLR_ERR_INTERNAL, "mirror",
                     "the copy does not have the root it was checked for");
  return plr__replica_record(m->copy, (const char *)m->shown.data, m->shown.len, err);
}

plr_status plr_mirror_update(plr_mirror *m, uint64_t *size, plr_error *err) {
  PLR_GUARD(m, err);
  if (!m) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "mirror", "mirror is NULL");
  m->received = plr__http_count(m->http).received;
  plr_status st = update(m, err);
  plr__http_cancel(m->http);
  if (st == PLR_OK && size) *size = plr__replica_size(m->copy);
  return st;
}

/* ---- what it has ----------------------------------------------------------------------------------------- */

plr_ledger *plr_mirror_ledger(plr_mirror *m) {
  return m && plr__replica_size(m->copy) ? m->copy : NULL;
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
