/* Entries beyond the everyday ones, as the people of ledger_kit.h write them. */
#ifndef PLR_TESTS_LEDGER_DEEDS_H
#define PLR_TESTS_LEDGER_DEEDS_H

#include "ledger_kit.h"

/* Leaves the entry of `who` in k->entry, signed by it alone. */
static inline void deed(kit *k, int who, uint32_t type, const void *fields) {
  plr_entry_options o = kit_author(k, who);
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_entry_write(k->ctx, &o, type, fields, k->entry, sizeof k->entry, &k->len, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
}

static inline void deed_signed(kit *k, int who, uint32_t role) {
  assert_int_equal(plr_entry_countersign(k->ctx, k->people[who], role, NULL, ORIGIN, k->entry,
                                         sizeof k->entry, &k->len, NULL),
                   PLR_OK);
}

static inline plr_status do_transfer(kit *k, int from, int to, uint64_t shares) {
  plr_transfer x = {.struct_size = sizeof x, .model = k->model, .shares = shares};
  memcpy(x.to, k->account[to].bytes, 32);
  deed(k, from, PLR_ENTRY_TRANSFER, &x);
  return kit_append(k);
}

static inline plr_status do_slash(kit *k, int by, int whom) {
  plr_slash x = {.struct_size = sizeof x, .model = k->model};
  memcpy(x.account, k->account[whom].bytes, 32);
  deed(k, by, PLR_ENTRY_SLASH, &x);
  return kit_append(k);
}

static inline plr_hash secret_of(int who) {
  plr_hash h;
  plr_sha256(&who, sizeof who, &h);
  return h;
}

static inline plr_status do_commit(kit *k, int who, uint32_t phase, uint64_t epoch) {
  plr_commit x = {.struct_size = sizeof x, .phase = phase, .epoch = epoch, .value = secret_of(who)};
  plr_hash secret = x.value;
  if (phase == 0) plr_commit_hash(&k->account[who], epoch, &secret, &x.value);
  deed(k, who, PLR_ENTRY_COMMIT, &x);
  return kit_append(k);
}

static inline plr_status do_assign(kit *k, uint64_t epoch) {
  plr_assign x = {.struct_size = sizeof x, .epoch = epoch};
  deed(k, SEQUENCER, PLR_ENTRY_ASSIGN, &x);
  return kit_append(k);
}

static inline plr_status do_param(kit *k, uint32_t parameter, uint64_t value, uint64_t from_epoch) {
  plr_param_change x = {
      .struct_size = sizeof x, .parameter = parameter, .value = value, .from_epoch = from_epoch};
  deed(k, SEQUENCER, PLR_ENTRY_PARAM_CHANGE, &x);
  return kit_append(k);
}

static inline plr_status do_audit(kit *k, int who, const plr_receipt *r, uint32_t verdict) {
  plr_audit_result x = {.struct_size = sizeof x, .verdict = verdict};
  x.receipt.model = r->model, x.receipt.epoch = r->epoch, x.receipt.step = r->step,
  x.receipt.lane = r->lane;
  x.receipt.block_first = r->block_first, x.receipt.mb_first = r->mb_first;
  deed(k, who, PLR_ENTRY_AUDIT_RESULT, &x);
  return kit_append(k);
}

static inline plr_status do_contest(kit *k, int who, uint32_t kind, const plr_receipt *r) {
  plr_dispute x = {.struct_size = sizeof x, .kind = kind};
  x.receipt.model = r->model, x.receipt.epoch = r->epoch, x.receipt.step = r->step,
  x.receipt.lane = r->lane;
  x.receipt.block_first = r->block_first, x.receipt.mb_first = r->mb_first;
  deed(k, who, PLR_ENTRY_DISPUTE, &x);
  return kit_append(k);
}

static inline plr_status do_deposit(kit *k, uint64_t amount) {
  kit_deposit(k, amount);
  return kit_append(k);
}

static inline plr_balance balance_of(const kit *k, int who) {
  plr_balance b;
  assert_int_equal(plr_ledger_balance(k->ledger, &k->account[who], &k->model, &b), PLR_OK);
  return b;
}

static inline plr_model_totals totals_of(const kit *k, const plr_hash *model) {
  plr_model_totals t = {.struct_size = sizeof t};
  assert_int_equal(plr_ledger_model(k->ledger, model, &t), PLR_OK);
  return t;
}

/* Faults of an account in the kit's model. */
static inline uint32_t faults_of(const kit *k, int who) {
  plr__key key = plr__key_of('F', k->model.bytes, k->account[who].bytes);
  plr__faults f;
  assert_int_equal(
      plr__record_find(&k->ledger->state, &key, &plr__record_faults, &f, sizeof f, NULL), PLR_OK);
  return f.count;
}

/* All that was appended, replayed from nothing and added up. */
static inline void verify_all(kit *k) {
  kit_file f = {0};
  plr_error err;
  plr_error_init(&err, sizeof err);
  kit_export(k, &f);
  if (kit_verify(k, &f, 0, NULL, &err) != PLR_OK) fail_msg("%s", err.message);
  free(f.data);
}

/* Two epochs: all work is audited, DATA and FEEDER audit, and the four workers have shares that vest. Epoch 2 is open,
 * with a receipt of each worker in epoch 1 that can be audited: *r is that of WORKER0 + 1. */
static inline void audited_world(kit *k, plr_receipt *r) {
  kit_populate(k);
  assert_int_equal(do_param(k, PLR_PARAM_AUDIT_BPS, 10000, 2), PLR_OK);
  for (uint64_t epoch = 0; epoch < 2; epoch++) {
    for (uint32_t stage = 0; stage < 4; stage++) {
      kit_work(k, epoch, 5, 0, stage);
      assert_int_equal(kit_append(k), PLR_OK);
    }
    assert_int_equal(do_commit(k, DATA, 0, epoch), PLR_OK);
    kit_close(k);
  }
  *r = kit_receipt(k, 1, 5, 0, 1);
  assert_int_equal(do_commit(k, DATA, 1, 1), PLR_OK);
  assert_int_equal(do_assign(k, 1), PLR_OK);
}

#endif
