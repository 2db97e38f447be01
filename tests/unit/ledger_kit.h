/* What the ledger's tests share: people with keys, a model, entries. */
#ifndef PLR_TESTS_LEDGER_KIT_H
#define PLR_TESTS_LEDGER_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/ledger_int.h"

#define ORIGIN    "example.org/test"
#define PEOPLE    8
#define BLOCKS    4
#define MB_TOKENS 128u

enum { SEQUENCER, DESIGNER, DATA, FEEDER, WORKER0 }; /* people; workers are WORKER0 .. PEOPLE - 1 */

typedef struct kit {
  plr_context *ctx;
  plr_identity *people[PEOPLE];
  plr_hash account[PEOPLE];
  plr_hash model, profile;
  plr_ledger *ledger;
  uint8_t entry[PLR_ENTRY_MAX];
  size_t len;
  uint64_t memory; /* held by the context alone */
} kit;

static const uint64_t kit_costs[BLOCKS] = {1000, 600, 600, 900};

static inline plr_identity *kit_identity(plr_context *ctx, uint64_t number) {
  uint8_t seed[32] = {0};
  plr_identity *id;
  plr__store_be64(seed, number);
  assert_int_equal(plr_identity_create(ctx, seed, &id, NULL), PLR_OK);
  return id;
}

static inline void kit_init(kit *k, uint32_t threads) {
  plr_context_options o;
  memset(k, 0, sizeof *k);
  plr_context_options_init(&o, sizeof o);
  o.threads = threads;
  assert_int_equal(plr_context_create(&o, &k->ctx, NULL), PLR_OK);
  plr_context_memory(k->ctx, &k->memory, NULL, NULL);
  for (uint64_t i = 0; i < PEOPLE; i++) {
    uint8_t key[32];
    k->people[i] = kit_identity(k->ctx, i + 1);
    plr_identity_public_key(k->people[i], key);
    plr_account_id(key, &k->account[i]);
  }
  plr_sha256("model", 5, &k->model);
  plr_sha256("profile", 7, &k->profile);
}

static inline void kit_done(kit *k) {
  plr_ledger_destroy(k->ledger);
  for (int i = 0; i < PEOPLE; i++) plr_identity_destroy(k->people[i]);
  uint64_t bytes;
  plr_context_memory(k->ctx, &bytes, NULL, NULL);
  assert_int_equal(bytes, k->memory);
  plr_context_destroy(k->ctx);
}

static inline plr_ledger_options kit_options(const kit *k, const char *path) {
  plr_ledger_options o;
  plr_ledger_options_init(&o, sizeof o);
  o.path = path;
  o.origin = ORIGIN;
  o.sequencer = k->people[SEQUENCER];
  return o;
}

static inline void kit_open(kit *k, const char *path) {
  plr_ledger_options o = kit_options(k, path);
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_ledger_open(k->ctx, &o, &k->ledger, &err);
  if (st != PLR_OK) fail_msg("open: %s: %s", err.where, err.message);
}

static inline plr_entry_options kit_author(const kit *k, int who) {
  plr_entry_options o;
  plr_entry_options_init(&o, sizeof o);
  o.author = k->people[who];
  o.origin = ORIGIN;
  o.nonce = k->ledger ? plr_ledger_next_nonce(k->ledger, &k->account[who]) : 1;
  return o;
}

/* Appends what is in k->entry. */
static inline plr_status kit_append(kit *k) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_ledger_append(k->ledger, k->entry, k->len, NULL, &err);
  if (st != PLR_OK) {
    assert_int_equal(err.status, st); /* every refusal says what and where */
    assert_true(err.message[0] && err.where[0]);
  }
  return st;
}

static inline void kit_account(kit *k, int who) {
  plr_entry_options o = kit_author(k, who);
  assert_int_equal(plr_entry_account_open(k->ctx, &o, k->entry, sizeof k->entry, &k->len, NULL),
                   PLR_OK);
}

static inline plr_model_terms kit_terms(const kit *k) {
  plr_model_terms t;
  plr_model_terms_init(&t, sizeof t);
  t.model = k->model;
  t.profile = k->profile;
  t.designer_bps = 1500;
  t.data_bps = 500;
  memcpy(t.data_account, k->account[DATA].bytes, 32);
  t.halving_units.lo = 50000000;
  t.rate = 1u << 20;
  t.rate_divisor = 1000;
  t.vest_epochs = 4;
  t.vest_cliff = 1;
  t.microbatch_tokens = MB_TOKENS;
  t.block_count = BLOCKS;
  t.costs = kit_costs;
  return t;
}

static inline void kit_model(kit *k, const plr_model_terms *t) {
  plr_entry_options o = kit_author(k, DESIGNER);
  assert_int_equal(
      plr_entry_model_register(k->ctx, &o, t, k->entry, sizeof k->entry, &k->len, NULL), PLR_OK);
}

static inline void kit_deposit(kit *k, uint64_t amount) {
  plr_entry_options o = kit_author(k, FEEDER);
  assert_int_equal(plr_entry_revenue_deposit(k->ctx, &o, &k->model, amount, k->entry,
                                             sizeof k->entry, &k->len, NULL),
                   PLR_OK);
}

static inline void kit_claim(kit *k, int who, uint64_t amount) {
  plr_entry_options o = kit_author(k, who);
  assert_int_equal(
      plr_entry_claim(k->ctx, &o, &k->model, amount, k->entry, sizeof k->entry, &k->len, NULL),
      PLR_OK);
}

/* Everybody's account, and the model. */
static inline void kit_populate(kit *k) {
  for (int i = DESIGNER; i < PEOPLE; i++) {
    kit_account(k, i);
    assert_int_equal(kit_append(k), PLR_OK);
  }
  plr_model_terms t = kit_terms(k);
  kit_model(k, &t);
  assert_int_equal(kit_append(k), PLR_OK);
}

/* Work of stage `stage` of 4 (one block each) on micro-batches [mb, mb + 2) of a step. */
static inline plr_receipt kit_receipt(const kit *k, uint64_t epoch, uint64_t step, uint32_t mb,
                                      uint32_t stage) {
  plr_receipt r;
  memset(&r, 0, sizeof r);
  r.model = k->model;
  r.profile = k->profile;
  r.epoch = epoch;
  r.step = step;
  r.mb_first = mb;
  r.mb_count = 2;
  r.block_first = stage;
  r.block_end = stage + 1;
  r.tokens = 2 * MB_TOKENS;
  r.units = kit_costs[stage] * r.tokens;
  plr_sha256(&step, sizeof step, &r.frames_root);
  memcpy(r.worker, k->account[WORKER0 + stage].bytes, 32);
  memcpy(r.upstream, k->account[stage == 0 ? FEEDER : WORKER0 + stage - 1].bytes, 32);
  memcpy(r.downstream, k->account[stage == 3 ? FEEDER : WORKER0 + stage + 1].bytes, 32);
  return r;
}

/* Signs with three people and leaves the entry in k->entry. */
static inline void kit_sign_receipt(kit *k, const plr_receipt *r, int worker, int up, int down) {
  plr_buffer b;
  plr_entry_signature s[3];
  int who[3] = {down, worker, up}; /* attach puts them in order */
  uint8_t role[3] = {PLR_SIGN_DOWNSTREAM, PLR_SIGN_AUTHOR, PLR_SIGN_UPSTREAM};
  plr__buffer_init(&b, k->ctx);
  assert_int_equal(plr__receipt_encode(&b, r), PLR_OK);
  for (int i = 0; i < 3; i++)
    plr__entry_sign(k->people[who[i]], role[i], ORIGIN, b.data, b.len, &s[i]);
  assert_int_equal(plr__entry_attach_signatures(&b, s, 3), PLR_OK);
  memcpy(k->entry, b.data, b.len);
  k->len = b.len;
  plr__buffer_release(&b);
}

static inline void kit_work(kit *k, uint64_t epoch, uint64_t step, uint32_t mb, uint32_t stage) {
  plr_receipt r = kit_receipt(k, epoch, step, mb, stage);
  int w = (int)(WORKER0 + stage);
  kit_sign_receipt(k, &r, w, stage == 0 ? FEEDER : w - 1, stage == 3 ? FEEDER : w + 1);
}

static inline plr_ledger_summary kit_summary(const plr_ledger *l) {
  plr_ledger_summary s = {.struct_size = sizeof s};
  assert_int_equal(plr_ledger_summarize(l, &s), PLR_OK);
  return s;
}

static inline void kit_close(kit *k) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_ledger_close_epoch(k->ledger, NULL, &err) != PLR_OK) fail_msg("close: %s", err.message);
}

/* A short life: two epochs of work, a deposit, claims, and a third epoch. */
static inline void kit_story(kit *k) {
  kit_populate(k);
  for (uint64_t epoch = 0; epoch < 2; epoch++) {
    for (uint64_t step = 0; step < 3; step++)
      for (uint32_t stage = 0; stage < 4; stage++) {
        kit_work(k, epoch, step, 2 * (uint32_t)step, stage);
        assert_int_equal(kit_append(k), PLR_OK);
      }
    kit_close(k);
  }
  kit_deposit(k, 1000003);
  assert_int_equal(kit_append(k), PLR_OK);
  kit_claim(k, WORKER0, 0);
  assert_int_equal(kit_append(k), PLR_OK);
  kit_claim(k, DESIGNER, 1234);
  assert_int_equal(kit_append(k), PLR_OK);
  kit_close(k);
}

/* ---- a sink and a source in memory ------------------------------------------------------------- */

typedef struct kit_file {
  uint8_t *data;
  size_t len, cap;
  int committed, aborted, fail_after; /* fail_after: writes that succeed; < 0: all */
} kit_file;

static inline plr_status kit_file_write(void *user, const void *data, size_t len) {
  kit_file *f = user;
  if (f->fail_after == 0) return PLR_ERR_NO_SPACE;
  if (f->fail_after > 0) f->fail_after--;
  if (f->len + len > f->cap) {
    f->cap = 2 * (f->len + len);
    f->data = realloc(f->data, f->cap);
    assert_non_null(f->data);
  }
  if (len) memcpy(f->data + f->len, data, len);
  f->len += len;
  return PLR_OK;
}

static inline plr_status kit_file_commit(void *user) {
  ((kit_file *)user)->committed++;
  return PLR_OK;
}

static inline void kit_file_abort(void *user) {
  ((kit_file *)user)->aborted++;
}

static inline plr_status kit_file_read(void *user, uint64_t offset, void *buf, size_t len) {
  const kit_file *f = user;
  if (offset > f->len || len > f->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, f->data + offset, len);
  return PLR_OK;
}

static inline plr_sink kit_sink(kit_file *f) {
  plr_sink s = {f, kit_file_write, kit_file_commit, kit_file_abort};
  f->fail_after = -1;
  return s;
}

static inline plr_source kit_source(kit_file *f) {
  plr_source s = {f, f->len, kit_file_read, NULL};
  return s;
}

static inline void kit_export(kit *k, kit_file *f) {
  plr_sink sink = kit_sink(f);
  assert_int_equal(plr_ledger_export(k->ledger, &sink, NULL), PLR_OK);
  assert_int_equal(f->committed, 1);
}

static inline plr_status kit_verify(kit *k, kit_file *f, uint32_t skip, plr_ledger_summary *s,
                                    plr_error *err) {
  plr_verify_options o;
  plr_verify_options_init(&o, sizeof o);
  uint8_t key[32];
  plr_identity_public_key(k->people[SEQUENCER], key);
  o.origin = ORIGIN;
  o.public_key = key;
  o.skip_signatures = skip;
  plr_source source = kit_source(f);
  return plr_ledger_verify(k->ctx, &source, &o, s, err);
}

#endif
