/* Random lives of a ledger: fifty accounts, five models with forks, every type of entry, right and wrong. The same
 * seed tells the same life, byte for byte. */
#ifndef PLR_TESTS_LEDGER_HISTORY_H
#define PLR_TESTS_LEDGER_HISTORY_H

#include "ledger_kit.h"

#define PERSONS  50
#define LINEAGE  5
#define OLD      64 /* entries remembered, to be told again */
#define SECRETS  4096
#define H_BLOCKS 4u

typedef struct person {
  plr_identity *key, *before,
      *recovery; /* before: its last key; recovery: who may replace the key */
  plr_hash account;
} person;

typedef struct history {
  plr_context *ctx;
  plr_ledger *ledger;
  uint64_t seed, state, made, keys;
  int dense;
  person people[PERSONS]; /* 0 is the sequencer */
  plr_hash models[LINEAGE], profile;
  uint64_t step;
  uint8_t entry[PLR_ENTRY_MAX];
  size_t len;
  uint8_t *old[OLD];
  size_t old_len[OLD];
  uint64_t done[PLR__ENTRY_TYPES], refused[PLR__ENTRY_TYPES], codes[400];
} history;

/* splitmix64 */
static inline uint64_t h_next(history *h) {
  uint64_t z = h->state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static inline uint64_t h_draw(history *h, uint64_t n) {
  return plr__mulhi64(h_next(h), n);
}

/* 1 once in n times. */
static inline int h_once(history *h, uint64_t n) {
  return h_draw(h, n) == 0;
}

static inline plr_identity *h_identity(history *h) {
  return kit_identity(h->ctx, 1000 + h->keys++);
}

static inline plr_hash h_hash(uint64_t number) {
  plr_hash out;
  plr_sha256(&number, sizeof number, &out);
  return out;
}

static inline person *h_person(history *h) {
  return &h->people[h_draw(h, PERSONS)];
}

static inline plr_hash *h_model(history *h) {
  return &h->models[h_draw(h, LINEAGE)];
}

static inline uint64_t h_epoch(const history *h) {
  plr__globals g;
  assert_int_equal(plr__get_globals(&h->ledger->state, &g), PLR_OK);
  return g.epoch;
}

/* ---- writing ---------------------------------------------------------------------------------- */

static inline plr_entry_options h_options(history *h, const person *p) {
  plr_entry_options o;
  plr_entry_options_init(&o, sizeof o);
  o.author = h_once(h, 60) ? h->people[h_draw(h, PERSONS)].key : p->key;
  o.account = &p->account;
  o.origin = h_once(h, 200) ? "example.org/elsewhere" : ORIGIN;
  o.nonce = plr_ledger_next_nonce(h->ledger, &p->account);
  if (h_once(h, 60)) o.nonce += h_draw(h, 3);
  if (h_once(h, 20)) o.valid_to_epoch = h_epoch(h) + h_draw(h, 3) - h_once(h, 3);
  return o;
}

static inline void h_write(history *h, const person *p, uint32_t type, const void *fields) {
  plr_entry_options o = h_options(h, p);
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_entry_write(h->ctx, &o, type, fields, h->entry, sizeof h->entry, &h->len, &err) != PLR_OK)
    fail_msg("type %u: %s: %s", type, err.where, err.message);
}

/* Another's signature; now and then it is left out, or another signs. */
static inline void h_countersign(history *h, const person *p, uint32_t role) {
  if (h_once(h, 80)) return;
  const plr_identity *key = h_once(h, 80) ? h_person(h)->key : p->key;
  (void)plr_entry_countersign(h->ctx, key, role, &p->account, ORIGIN, h->entry, sizeof h->entry,
                              &h->len, NULL);
}

/* ---- what people do ----------------------------------------------------------------------------- */

static inline int h_account_open(history *h) {
  person *p = h->dense && h->made < PERSONS - 1 ? &h->people[h->made + 1] : h_person(h);
  plr_entry_options o = h_options(h, p);
  o.account = NULL;
  if (!h_once(h, 4)) o.nonce = 1;
  return plr_entry_account_open(h->ctx, &o, h->entry, sizeof h->entry, &h->len, NULL) == PLR_OK;
}

static inline int h_key_rotate(history *h) {
  person *p = &h->people[h_once(h, 30) ? 0 : 1 + h_draw(h, PERSONS - 1)];
  plr_key_rotate x = {.struct_size = sizeof x, .way = p->recovery && h_once(h, 2)};
  plr_identity *key = h_identity(h), *recovery = h_once(h, 3) ? NULL : h_identity(h);
  uint8_t bytes[32];
  plr_hash id;
  plr_identity_public_key(key, x.key);
  if (recovery) {
    plr_identity_public_key(recovery, bytes);
    plr_account_id(bytes, &id);
    memcpy(x.recovery, id.bytes, 32);
  }
  person signer = *p;
  if (x.way) signer.key = p->recovery;
  if (x.way) plr_identity_public_key(p->recovery, x.recovery_key);
  h_write(h, &signer, PLR_ENTRY_KEY_ROTATE, &x);
  person fresh = {.key = key};
  plr_account_id(x.key, &fresh.account);
  h_countersign(h, &fresh, PLR_SIGN_NEW_KEY);
  plr_entry e;
  size_t mark = plr__map_mark(&h->ledger->state.map);
  int works = plr__entry_decode(h->entry, h->len, &e, NULL) == PLR_OK &&
              plr__state_apply(&h->ledger->state, &e, NULL, NULL) == PLR_OK;
  plr__map_rollback(&h->ledger->state.map, mark);
  if (works && x.way == 0) { /* the key is this one from now on */
    if (p->before) plr_identity_destroy(p->before);
    if (p->recovery) plr_identity_destroy(p->recovery);
    p->before = p->key, p->key = key, p->recovery = recovery;
    return 1;
  }
  plr_identity_destroy(key); /* a recovery ends in a key that nobody has: lost */
  if (recovery) plr_identity_destroy(recovery);
  return 1;
}

static inline int h_model_register(history *h) {
  static const uint64_t costs[H_BLOCKS] = {1000, 600, 600, 900};
  uint32_t i = (uint32_t)(h->dense && h->made < PERSONS + LINEAGE - 1 ? h->made - (PERSONS - 1)
                                                                      : h_draw(h, LINEAGE));
  plr_parent parents[4] = {{.bps = 2500}, {.bps = 333}};
  plr_model_terms t;
  plr_model_terms_init(&t, sizeof t);
  t.model = h->models[i], t.profile = h->profile;
  t.designer_bps = i == 0 ? 0 : 1500, t.data_bps = i % 2 ? 700 : 0;
  if (t.data_bps) memcpy(t.data_account, h->people[1].account.bytes, 32);
  t.halving_units.lo = 40000000, t.rate = i == 2 ? 8 : 1u << 20,
  t.rate_divisor = i == 2 ? 30000000 : 1000;
  t.vest_epochs = i == 4 ? 0 : 3 * i, t.vest_cliff = i == 3;
  t.microbatch_tokens = MB_TOKENS, t.block_count = H_BLOCKS, t.costs = costs;
  t.serving_bps = i == 0 ? 0 : 2000 * i;
  t.milestone_epochs = i >= 2 ? i : 0;
  t.parents = parents, t.parent_count = i == 0 || i == 3 ? 0 : 1 + (i != 1);
  parents[0].model = h->models[i == 4 ? 3 : 0];
  parents[1].model = h->models[i == 4 ? 2 : 1];
  plr_entry_options o = h_options(h, &h->people[2 + i]);
  return plr_entry_model_register(h->ctx, &o, &t, h->entry, sizeof h->entry, &h->len, NULL) ==
         PLR_OK;
}

static inline int h_data_register(history *h) {
  plr_data_register x = {.struct_size = sizeof x, .bps = 1 + (uint32_t)h_draw(h, 400)};
  x.model = *h_model(h), x.root = h_hash(h_draw(h, 40)), x.tokens = h_next(h);
  const person *steward = &h->people[h_once(h, 10) ? 3 : 1];
  memcpy(x.data_account, steward->account.bytes, 32);
  h_write(h, h_person(h), PLR_ENTRY_DATA_REGISTER, &x);
  h_countersign(h, steward, PLR_SIGN_COUNTER);
  return 1;
}

static inline plr_receipt h_receipt(history *h) {
  static const uint64_t costs[H_BLOCKS] = {1000, 600, 600, 900};
  plr_receipt r;
  memset(&r, 0, sizeof r);
  r.model = *h_model(h), r.profile = h->profile;
  r.epoch = h_epoch(h);
  if (h_once(h, 8) && r.epoch) r.epoch -= 1 + h_draw(h, 2);
  r.step = h_once(h, 6) ? h->step : ++h->step;
  r.lane = (uint32_t)h_draw(h, 2);
  r.block_first = (uint32_t)h_draw(h, H_BLOCKS);
  r.block_end = r.block_first + 1 + (uint32_t)h_draw(h, H_BLOCKS - r.block_first);
  r.mb_first = (uint32_t)h_draw(h, 6), r.mb_count = 1 + (uint32_t)h_draw(h, 3);
  r.tokens = 1 + (uint32_t)h_draw(h, (uint64_t)r.mb_count * MB_TOKENS);
  for (uint32_t b = r.block_first; b < r.block_end; b++) r.units += costs[b] * r.tokens;
  if (h_once(h, 60)) r.units += 1;
  r.frames_root = h_hash(h_next(h)), r.weight_root = h_hash(r.step / 8), r.weight_step = r.step / 8;
  if (r.weight_step > r.step) r.weight_step = 0;
  return r;
}

/* Worker and neighbours, who are not the worker. */
static inline void h_trio(history *h, plr_receipt *r, const person *who[3]) {
  uint64_t first = h_draw(h, PERSONS);
  for (uint64_t i = 0; i < 3; i++)
    who[i] = &h->people[(first + (i ? 1 + h_draw(h, PERSONS - 1) : 0)) % PERSONS];
  memcpy(r->worker, who[0]->account.bytes, 32);
  memcpy(r->upstream, who[1]->account.bytes, 32);
  memcpy(r->downstream, who[2]->account.bytes, 32);
}

static inline int h_work(history *h) {
  plr_receipt r = h_receipt(h);
  const person *who[3];
  h_trio(h, &r, who);
  h_write(h, who[0], PLR_ENTRY_RECEIPT, &r);
  h_countersign(h, who[1], PLR_SIGN_UPSTREAM);
  h_countersign(h, who[2], PLR_SIGN_DOWNSTREAM);
  return 1;
}

static inline int h_inference(history *h) {
  static const uint64_t costs[H_BLOCKS] = {1000, 600, 600, 900};
  plr_inference_receipt x = {.struct_size = sizeof x, .sequence = (uint32_t)h_draw(h, 5)};
  const person *client = &h->people[10 + h_draw(h, 5)];
  x.model = *h_model(h), x.epoch = h_epoch(h), x.session = h_hash(h_draw(h, 60));
  x.block_first = (uint32_t)h_draw(h, H_BLOCKS);
  x.block_end = x.block_first + 1 + (uint32_t)h_draw(h, H_BLOCKS - x.block_first);
  x.tokens = 1 + (uint32_t)h_draw(h, 300);
  for (uint32_t b = x.block_first; b < x.block_end; b++) x.units += costs[b] * x.tokens;
  x.price = h_once(h, 6) ? 0 : h_draw(h, 500);
  x.frames_root = h_hash(h_next(h));
  memcpy(x.client, client->account.bytes, 32);
  h_write(h, &h->people[15 + h_draw(h, 35)], PLR_ENTRY_INFERENCE_RECEIPT, &x);
  h_countersign(h, client, PLR_SIGN_COUNTER);
  return 1;
}

static inline int h_deposit(history *h) {
  plr_entry_options o = h_options(h, &h->people[10 + h_draw(h, 6)]);
  uint64_t amount = 1 + (h_once(h, 5) ? h_draw(h, (uint64_t)1 << 44) : h_draw(h, 3000));
  if (h_once(h, 100)) amount = PLR__MAX_AMOUNT;
  return plr_entry_revenue_deposit(h->ctx, &o, h_model(h), amount, h->entry, sizeof h->entry,
                                   &h->len, NULL) == PLR_OK;
}

static inline int h_claim(history *h) {
  plr_entry_options o = h_options(h, h_person(h));
  uint8_t address[20] = {0x11, (uint8_t)(1 + h_draw(h, 30))};
  uint64_t amount = h_once(h, 2) ? 0 : h_draw(h, 2000);
  if (h_once(h, 2))
    return plr_entry_claim(h->ctx, &o, h_model(h), amount, h->entry, sizeof h->entry, &h->len,
                           NULL) == PLR_OK;
  return plr_entry_claim_to(h->ctx, &o, h_model(h), amount, address, h->entry, sizeof h->entry,
                            &h->len, NULL) == PLR_OK;
}

static inline int h_transfer(history *h) {
  plr_transfer x = {.struct_size = sizeof x, .model = *h_model(h)};
  person *from = h_person(h), *to = h_person(h);
  plr_balance b;
  if (from == to) return 0;
  memcpy(x.to, to->account.bytes, 32);
  x.shares = 1 + h_draw(h, 1000);
  if (plr_ledger_balance(h->ledger, &from->account, &x.model, &b) == PLR_OK && b.vested &&
      !h_once(h, 4))
    x.shares = 1 + h_draw(h, b.vested);
  h_write(h, from, PLR_ENTRY_TRANSFER, &x);
  return 1;
}

static inline int h_milestone(history *h) {
  plr_milestone x = {.struct_size = sizeof x, .step = h->step};
  uint32_t i = (uint32_t)h_draw(h, LINEAGE);
  plr_model_totals t = {.struct_size = sizeof t};
  const person *witness = &h->people[20 + h_draw(h, 3)];
  x.model = h->models[i], x.weight_root = h_hash(1), x.report = h_hash(2);
  x.number = 1;
  if (plr_ledger_model(h->ledger, &x.model, &t) == PLR_OK)
    x.number = t.milestones + 1 + (uint32_t)h_once(h, 10);
  memcpy(x.witness, witness->account.bytes, 32);
  h_write(h, &h->people[h_once(h, 10) ? 9 : 2 + i], PLR_ENTRY_MILESTONE, &x);
  h_countersign(h, witness, PLR_SIGN_COUNTER);
  return 1;
}

/* ---- audits --------------------------------------------------------------------------------------- */

static inline plr_hash h_secret(const person *p, uint64_t epoch) {
  plr_hash out = p->account;
  out.bytes[0] ^= (uint8_t)epoch;
  plr_sha256(out.bytes, 32, &out);
  return out;
}

static inline int h_commit(history *h) {
  plr_commit x = {.struct_size = sizeof x, .phase = (uint32_t)h_draw(h, 2), .epoch = h_epoch(h)};
  const person *p = &h->people[30 + h_draw(h, 4)];
  if (x.phase && x.epoch) x.epoch--;
  plr_hash secret = h_secret(p, x.epoch);
  if (h_once(h, 30)) secret.bytes[1] ^= 1;
  x.value = secret;
  if (x.phase == 0) plr_commit_hash(&p->account, x.epoch, &secret, &x.value);
  h_write(h, p, PLR_ENTRY_COMMIT, &x);
  return 1;
}

static inline int h_assign(history *h) {
  plr_assign x = {.struct_size = sizeof x, .epoch = h_epoch(h) - !h_once(h, 10)};
  h_write(h, &h->people[h_once(h, 20) ? 5 : 0], PLR_ENTRY_ASSIGN, &x);
  return 1;
}

/* A record of the state of that kind, taken from a random place. */
static inline int h_record(history *h, char kind, plr__cursor *c) {
  uint8_t from[50] = {(uint8_t)kind};
  uint64_t epoch = h_epoch(h);
  plr__store_be64(from + 1, epoch - (epoch ? h_draw(h, 2) : 0));
  plr__store_be64(from + 9, h_next(h));
  plr__map_seek(&h->ledger->state.map, from, 17, c);
  if (plr__cursor_next_in(c, &kind, 1)) return 1;
  plr__map_seek(&h->ledger->state.map, &kind, 1, c);
  return plr__cursor_next_in(c, &kind, 1);
}

static inline void h_receipt_key(const plr__cursor *c, plr_receipt *r) {
  memset(r, 0, sizeof *r);
  r->epoch = plr__load_be64(c->key + 1), r->step = plr__load_be64(c->key + 41);
  memcpy(r->model.bytes, c->key + 9, 32);
  r->lane = plr__load_be32(c->key + 49);
  r->block_first = plr__load_be32(c->key + 53), r->mb_first = plr__load_be32(c->key + 57);
}

/* Who has waiting work, when there is some: contests are what audits mostly are about. */
static inline int h_audit(history *h) {
  plr__cursor c;
  plr_receipt r;
  int waits = h_once(h, 2) && h_record(h, 'J', &c);
  if (!waits && !h_record(h, 'R', &c)) return 0;
  h_receipt_key(&c, &r);
  plr_audit_result x = {
      .struct_size = sizeof x, .verdict = h_once(h, 3) ? 2 : 1, .trace_root = h_hash(3)};
  x.receipt.model = r.model, x.receipt.epoch = r.epoch, x.receipt.step = r.step,
  x.receipt.lane = r.lane;
  x.receipt.block_first = r.block_first, x.receipt.mb_first = r.mb_first;
  h_write(h, &h->people[30 + h_draw(h, 4)], PLR_ENTRY_AUDIT_RESULT, &x);
  return 1;
}

static inline int h_refusal(history *h) {
  plr_dispute x = {.struct_size = sizeof x, .kind = 1, .refusers = 1 + (uint32_t)h_draw(h, 3)};
  const person *who[3];
  x.receipt = h_receipt(h);
  h_trio(h, &x.receipt, who);
  h_write(h, who[0], PLR_ENTRY_DISPUTE, &x);
  if (!(x.refusers & 1)) h_countersign(h, who[1], PLR_SIGN_UPSTREAM);
  if (!(x.refusers & 2)) h_countersign(h, who[2], PLR_SIGN_DOWNSTREAM);
  return 1;
}

static inline person *h_find(history *h, const uint8_t account[32]) {
  for (int i = 0; i < PERSONS; i++)
    if (memcmp(h->people[i].account.bytes, account, 32) == 0) return &h->people[i];
  return h_person(h);
}

static inline int h_dispute(history *h) {
  plr__cursor c;
  plr_dispute x = {.struct_size = sizeof x};
  plr__contest j;
  if (h_once(h, 2)) return h_refusal(h);
  if (h_once(h, 3) && h_record(h, 'J', &c)) {
    x.kind = 2;
    assert_int_equal(plr__record_decode(&plr__record_contest, c.value, c.value_len, &j), PLR_OK);
    h_receipt_key(&c, &x.receipt);
    h_write(h, h_find(h, h_once(h, 2) ? j.upstream : j.downstream), PLR_ENTRY_DISPUTE, &x);
    return 1;
  }
  if (!h_record(h, h_once(h, 3) ? 'J' : 'R', &c)) return 0;
  h_receipt_key(&c, &x.receipt);
  h_write(h, h_person(h), PLR_ENTRY_DISPUTE, &x);
  return 1;
}

/* ---- evidence and slashing ------------------------------------------------------------------------ */

static inline size_t h_double(history *h, uint8_t first[2048], uint8_t second[2048],
                              size_t *second_len) {
  plr_receipt r = h_receipt(h);
  const person *who[3];
  size_t len = 0;
  h_trio(h, &r, who);
  for (int i = 0; i < 2; i++) {
    h_write(h, who[0], PLR_ENTRY_RECEIPT, &r);
    h_countersign(h, who[1], PLR_SIGN_UPSTREAM);
    h_countersign(h, who[2], PLR_SIGN_DOWNSTREAM);
    assert_true(h->len <= 2048);
    memcpy(i ? second : first, h->entry, h->len);
    *(i ? second_len : &len) = h->len;
    r.frames_root = h_hash(h_next(h));
    who[1] = h_person(h);
    if (who[1] == who[0]) who[1] = who[2];
    memcpy(r.upstream, who[1]->account.bytes, 32);
  }
  return len;
}

static inline int h_evidence(history *h) {
  uint8_t first[2048], second[2048];
  plr_evidence x = {
      .struct_size = sizeof x, .kind = !h_once(h, 4), .first = first, .second = second};
  size_t len;
  if (x.kind == 1) {
    x.first_len = h_double(h, first, second, &len);
    x.second_len = len;
  } else {
    plr_buffer b;
    for (int i = 0; i < 2; i++) {
      plr_hash root = h_hash(h_draw(h, 50));
      plr__buffer_init(&b, h->ctx);
      plr__checkpoint_sign(&b, ORIGIN, 7, &root, h->people[h_once(h, 10) ? 1 : 0].key);
      memcpy(i ? second : first, b.data, b.len);
      *(i ? &x.second_len : &x.first_len) = b.len;
      plr__buffer_release(&b);
    }
  }
  h_write(h, h_person(h), PLR_ENTRY_EVIDENCE, &x);
  return 1;
}

static inline int h_slash(history *h) {
  plr_slash x = {.struct_size = sizeof x, .model = *h_model(h)};
  plr__cursor c;
  memcpy(x.account, h_person(h)->account.bytes, 32);
  plr__map_seek(&h->ledger->state.map, "F", 1, &c);
  for (uint64_t n = h_draw(h, 10); plr__cursor_next_in(&c, "F", 1) && n--;) {
    memcpy(x.model.bytes, c.key + 1, 32);
    memcpy(x.account, c.key + 33, 32);
  }
  h_write(h, h_person(h), PLR_ENTRY_SLASH, &x);
  return 1;
}

/* ---- the sequencer -------------------------------------------------------------------------------- */

static inline int h_settlement(history *h) {
  plr_settlement_root x = {
      .struct_size = sizeof x, .scale = (uint32_t)h_draw(h, 19), .reward = {0xaa}};
  if (plr__settlement_preview(&h->ledger->state, &x, NULL) != PLR_OK) x.leaves = 1;
  if (h_once(h, 5)) x.total++;
  h_write(h, &h->people[0], PLR_ENTRY_SETTLEMENT_ROOT, &x);
  return 1;
}

static inline int h_param_change(history *h) {
  static const uint64_t most[PLR_PARAMS] = {4, 3, 3, 3, 3, 10000, 10000, 5000};
  plr_param_change x = {.struct_size = sizeof x, .parameter = 1 + (uint32_t)h_draw(h, PLR_PARAMS)};
  x.value = 1 + h_draw(h, most[x.parameter - 1]);
  if (x.parameter == PLR_PARAM_AUDIT_BPS && !h_once(h, 4)) x.value = 10000;
  x.from_epoch = h_epoch(h) + 1 + h_draw(h, 4);
  h_write(h, &h->people[h_once(h, 20) ? 7 : 0], PLR_ENTRY_PARAM_CHANGE, &x);
  return 1;
}

static inline int h_close(history *h) {
  plr_epoch_close c;
  plr_buffer b;
  assert_int_equal(plr__close_preview(&h->ledger->state, &c, NULL), PLR_OK);
  plr__buffer_init(&b, h->ctx);
  plr__epoch_close_encode(&b, h->people[0].account.bytes,
                          plr_ledger_next_nonce(h->ledger, &h->people[0].account), &c);
  assert_int_equal(plr__entry_finish(&b, h->people[0].key, ORIGIN), PLR_OK);
  memcpy(h->entry, b.data, h->len = b.len);
  plr__buffer_release(&b);
  return 1;
}

/* Something told before, as it was or with a byte changed. An EpochClose is not: no verifier passes over one that
 * counts wrong. */
static inline int h_again(history *h) {
  uint64_t i = h_draw(h, OLD);
  if (!h->old[i] || h->old[i][4] == PLR_ENTRY_EPOCH_CLOSE) return 0;
  memcpy(h->entry, h->old[i], h->len = h->old_len[i]);
  if (h_once(h, 3)) return 1;
  if (h_once(h, 4)) h->len -= 1 + h_draw(h, h->len - 1);
  uint64_t at = h_draw(h, h->len);
  if (at == 4) return 0;
  h->entry[at] ^= (uint8_t)(1u << h_draw(h, 8));
  return 1;
}

/* ---- a life --------------------------------------------------------------------------------------- */

static const struct h_deed {
  uint32_t weight;
  int (*make)(history *h);
} h_deeds[] = {
    {30, h_account_open}, {15, h_key_rotate},  {8, h_model_register}, {15, h_data_register},
    {400, h_work},        {60, h_inference},   {60, h_deposit},       {80, h_claim},
    {40, h_transfer},     {10, h_milestone},   {40, h_commit},        {8, h_assign},
    {120, h_audit},       {60, h_dispute},     {10, h_evidence},      {15, h_slash},
    {4, h_settlement},    {6, h_param_change}, {6, h_close},          {13, h_again}};

static inline void history_init(history *h, uint64_t seed, int believe) {
  memset(h, 0, sizeof *h);
  h->seed = h->state = seed;
  assert_int_equal(plr_context_create(NULL, &h->ctx, NULL), PLR_OK);
  plr_sha256("profile", 7, &h->profile);
  for (uint64_t i = 0; i < PERSONS; i++) {
    uint8_t key[32];
    h->people[i].key = h_identity(h);
    plr_identity_public_key(h->people[i].key, key);
    plr_account_id(key, &h->people[i].account);
  }
  for (uint64_t i = 0; i < LINEAGE; i++) h->models[i] = h_hash(1000 + i);
  plr_ledger_options o;
  plr_ledger_options_init(&o, sizeof o);
  o.origin = ORIGIN, o.sequencer = h->people[0].key, o.log_invalid = 1, o.receipt_window = 2;
  assert_int_equal(plr_ledger_open(h->ctx, &o, &h->ledger, NULL), PLR_OK);
  h->ledger->state.trust_signatures = believe != 0;
}

static inline void history_done(history *h) {
  plr_ledger_destroy(h->ledger);
  for (int i = 0; i < PERSONS; i++) {
    plr_identity_destroy(h->people[i].key);
    if (h->people[i].before) plr_identity_destroy(h->people[i].before);
    if (h->people[i].recovery) plr_identity_destroy(h->people[i].recovery);
  }
  for (int i = 0; i < OLD; i++) free(h->old[i]);
  plr_context_destroy(h->ctx);
}

static inline void h_remember(history *h) {
  uint64_t i = h->made % OLD;
  free(h->old[i]);
  h->old[i] = malloc(h->len);
  assert_non_null(h->old[i]);
  memcpy(h->old[i], h->entry, h->old_len[i] = h->len);
}

/* The next entry of this life is in h->entry. Everybody comes first, then whatever chance brings. dense: a short life
 * in which every type has its chance. */
static inline void history_make(history *h) {
  uint64_t total = 0;
  for (size_t i = 0; i < PLR_COUNT_OF(h_deeds); i++) total += h->dense ? 1 : h_deeds[i].weight;
  for (;;) {
    uint64_t at = h_draw(h, total);
    size_t i = 0;
    while (!h->dense && at >= h_deeds[i].weight) at -= h_deeds[i++].weight;
    if (h->dense) i = (size_t)at;
    if (h->dense && h->made < PERSONS + LINEAGE - 1) i = h->made < PERSONS - 1 ? 0 : 2;
    if (!h->dense && h->made < 60) i = h->made % 6 ? 0 : 2;
    if (h_deeds[i].make(h)) return;
  }
}

/* Makes and appends one. */
static inline plr_status history_step(history *h) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  history_make(h);
  plr_status st = plr_ledger_append(h->ledger, h->entry, h->len, NULL, &err);
  if (st <= -100 && st > -200) fail_msg("entry %d: %s", (int)h->made, err.message);
  if (st <= -300)
    fail_msg("entry %d of type %d: %s: %s", (int)h->made, h->entry[4], err.where, err.message);
  uint8_t type = h->len > 4 && h->entry[4] < PLR__ENTRY_TYPES ? h->entry[4] : 0;
  (st == PLR_OK ? h->done : h->refused)[type]++;
  h->codes[-st]++;
  if (st == PLR_OK) h_remember(h);
  h->made++;
  return st;
}

#endif
