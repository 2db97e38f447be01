/* Models and those that are built on them, to the unit: royalties, serving, datasets, milestones, and who gets what of
 * a deposit in an epoch in which shares change hands. */
#include "ledger_deeds.h"

#define MOST_MODELS 10

typedef struct family {
  kit k;
  plr_hash model[MOST_MODELS];
  uint64_t step;
} family;

static void family_init(family *f) {
  kit_init(&f->k, 1);
  f->step = 0;
  kit_open(&f->k, NULL);
  for (int i = DESIGNER; i < PEOPLE; i++) {
    kit_account(&f->k, i);
    assert_int_equal(kit_append(&f->k), PLR_OK);
  }
  for (uint8_t i = 0; i < MOST_MODELS; i++) plr_sha256(&i, 1, &f->model[i]);
}

static void family_done(family *f) {
  assert_int_equal(plr__state_audit(&f->k.ledger->state, NULL), PLR_OK);
  verify_all(&f->k);
  kit_done(&f->k);
}

/* One share a unit of 1000, no parts, no vesting: supplies are round numbers. */
static plr_model_terms plain_terms(family *f, int i) {
  plr_model_terms t = kit_terms(&f->k);
  t.model = f->model[i];
  t.designer_bps = t.data_bps = 0;
  memset(t.data_account, 0, 32);
  t.rate = 1, t.rate_divisor = 1000;
  t.vest_epochs = t.vest_cliff = 0;
  t.halving_units.lo = UINT64_MAX;
  return t;
}

static plr_status put_model(family *f, const plr_model_terms *t) {
  plr_entry_options o = kit_author(&f->k, DESIGNER);
  plr_status st =
      plr_entry_model_register(f->k.ctx, &o, t, f->k.entry, sizeof f->k.entry, &f->k.len, NULL);
  return st == PLR_OK ? kit_append(&f->k) : st;
}

static plr_status put_fork(family *f, int i, const plr_parent *parents, uint32_t count) {
  plr_model_terms t = plain_terms(f, i);
  t.parents = parents, t.parent_count = count;
  return put_model(f, &t);
}

/* Work of block `stage` on a model: WORKER0 + stage earns tokens * cost / 1000 shares with the next EpochClose. */
static void work(family *f, int model, uint32_t stage) {
  kit *k = &f->k;
  plr_hash before = k->model;
  k->model = f->model[model];
  kit_work(k, kit_summary(k->ledger).epoch, ++f->step, 0, stage);
  assert_int_equal(kit_append(k), PLR_OK);
  k->model = before;
}

static void pay(family *f, int model, uint64_t amount) {
  plr_entry_options o = kit_author(&f->k, FEEDER);
  plr_entry_revenue_deposit(f->k.ctx, &o, &f->model[model], amount, f->k.entry, sizeof f->k.entry,
                            &f->k.len, NULL);
  assert_int_equal(kit_append(&f->k), PLR_OK);
}

static uint64_t payable(family *f, int model, int who) {
  plr_balance b;
  assert_int_equal(plr_ledger_balance(f->k.ledger, &f->k.account[who], &f->model[model], &b),
                   PLR_OK);
  return b.payable;
}

/* 1 is built on 0, 2 on both, and what 2 earns reaches all three: 256 shares each, so that nothing is left over. */
static void royalties(void **state) {
  (void)state;
  static family f;
  family_init(&f);
  const plr_parent one[] = {{.model = f.model[0], .bps = 2500}};
  const plr_parent two[] = {{.model = f.model[1], .bps = 5000 - 1000},
                            {.model = f.model[0], .bps = 1000}};
  assert_int_equal(put_fork(&f, 0, NULL, 0), PLR_OK);
  assert_int_equal(put_fork(&f, 1, one, 1), PLR_OK);
  assert_int_equal(put_fork(&f, 2, two, 2), PLR_OK);
  for (int i = 0; i < 3; i++) work(&f, i, 0); /* 256 tokens at 1000: 256 shares */
  kit_close(&f.k);
  const uint64_t x = 256 * 10000;
  pay(&f, 2, x);
  assert_int_equal(payable(&f, 2, WORKER0), x / 2); /* at once */
  assert_int_equal(payable(&f, 1, WORKER0), 0);     /* with the EpochClose */
  kit_close(&f.k);
  uint64_t to_one = x * 4 / 10, on = to_one / 4, to_zero = x / 10 + on;
  assert_int_equal(payable(&f, 2, WORKER0), x / 2);
  assert_int_equal(payable(&f, 1, WORKER0), to_one - on);
  assert_int_equal(payable(&f, 0, WORKER0), to_zero);
  assert_int_equal(x / 2 + to_one - on + to_zero, x);
  plr_model_totals t = totals_of(&f.k, &f.model[1]);
  assert_true(t.royalty_in == to_one && t.royalty_out == on && t.deposited == 0 && t.depth == 1);
  /* Ten thousand deposits of one unit give what one of ten thousand gives. */
  for (int i = 0; i < 10000; i++) pay(&f, 1, 1);
  kit_close(&f.k);
  t = totals_of(&f.k, &f.model[0]);
  assert_int_equal(t.royalty_in, to_zero + 2500);
  family_done(&f);
}

static void lineages(void **state) {
  (void)state;
  static family f;
  family_init(&f);
  plr_parent p[5];
  memset(p, 0, sizeof p);
  assert_int_equal(put_fork(&f, 0, NULL, 0), PLR_OK);
  for (int i = 1; i < 9; i++) {
    p[0].model = f.model[i - 1], p[0].bps = 5000;
    assert_int_equal(put_fork(&f, i, p, 1), PLR_OK);
    assert_int_equal(totals_of(&f.k, &f.model[i]).depth, i);
  }
  p[0].model = f.model[8];
  assert_int_equal(put_fork(&f, 9, p, 1), PLR_ERR_LIMIT); /* the ninth generation */
  p[0].model = f.k.account[0];
  assert_int_equal(put_fork(&f, 9, p, 1), PLR_ERR_NOT_FOUND);
  p[0].model = f.model[9];
  assert_int_equal(put_fork(&f, 9, p, 1), PLR_ERR_INVALID_ARGUMENT); /* its own parent */
  for (uint32_t i = 0; i < 5; i++) p[i].model = f.model[i], p[i].bps = 1000;
  assert_int_equal(put_fork(&f, 9, p, 5), PLR_ERR_INVALID_ARGUMENT);
  p[0].bps = 2001;
  assert_int_equal(put_fork(&f, 9, p, 4), PLR_ERR_INVALID_ARGUMENT); /* 5001 together */
  p[1] = p[0];
  assert_int_equal(put_fork(&f, 9, p, 2), PLR_ERR_INVALID_ARGUMENT); /* the same twice */
  p[0].bps = 0;
  assert_int_equal(put_fork(&f, 9, p, 1), PLR_ERR_INVALID_ARGUMENT);
  /* From the last to the first: half at each step, and a unit here and there waits. */
  pay(&f, 8, 1000003);
  kit_close(&f.k);
  uint64_t part = 1000003;
  for (int i = 7; i >= 0; i--) {
    part /= 2;
    assert_int_equal(totals_of(&f.k, &f.model[i]).royalty_in, part);
  }
  /* No one has a share of any: all of it is held, and none is lost when the first share comes. */
  assert_int_equal(totals_of(&f.k, &f.model[0]).held, part);
  work(&f, 0, 0);
  kit_close(&f.k);
  plr_model_totals t = totals_of(&f.k, &f.model[0]);
  assert_true(t.held == 0 && payable(&f, 0, WORKER0) + 1 >= part);
  family_done(&f);
}

/* Whoever buys shares to catch a deposit comes too late: it goes to the holders as of the EpochClose before. */
static void sniping(void **state) {
  (void)state;
  static family f;
  family_init(&f);
  f.k.model = f.model[0];
  assert_int_equal(put_fork(&f, 0, NULL, 0), PLR_OK);
  work(&f, 0, 0);
  kit_close(&f.k);
  assert_int_equal(do_transfer(&f.k, WORKER0, DATA, 257), PLR_ERR_LIMIT);
  assert_int_equal(do_transfer(&f.k, WORKER0, DATA, 200), PLR_OK);
  assert_int_equal(do_transfer(&f.k, WORKER0, DATA, 57), PLR_ERR_LIMIT); /* they are given once */
  assert_int_equal(do_transfer(&f.k, DATA, WORKER0, 1), PLR_ERR_NOT_FOUND); /* not there yet */
  assert_int_equal(do_transfer(&f.k, WORKER0, WORKER0 + 1, 56), PLR_OK);
  pay(&f, 0, 512);
  assert_int_equal(payable(&f, 0, WORKER0), 512);
  kit_close(&f.k);
  assert_int_equal(payable(&f, 0, WORKER0), 512);
  pay(&f, 0, 256);
  assert_int_equal(payable(&f, 0, WORKER0), 512);
  assert_int_equal(payable(&f, 0, DATA), 200);
  assert_int_equal(payable(&f, 0, WORKER0 + 1), 56);
  assert_int_equal(balance_of(&f.k, WORKER0).shares, 0);
  family_done(&f);
}

static plr_status serve(family *f, uint32_t sequence, uint32_t first, uint32_t end, uint64_t price,
                        uint64_t units) {
  plr_inference_receipt x = {.struct_size = sizeof x, .sequence = sequence, .model = f->model[0]};
  x.epoch = kit_summary(f->k.ledger).epoch;
  x.block_first = first, x.block_end = end, x.tokens = 10, x.units = units, x.price = price;
  memcpy(x.client, f->k.account[FEEDER].bytes, 32);
  deed(&f->k, WORKER0 + 1, PLR_ENTRY_INFERENCE_RECEIPT, &x);
  deed_signed(&f->k, FEEDER, PLR_SIGN_COUNTER);
  return kit_append(&f->k);
}

static void serving(void **state) {
  (void)state;
  static family f;
  family_init(&f);
  plr_model_terms t = plain_terms(&f, 0);
  t.serving_bps = 3000;
  assert_int_equal(put_model(&f, &t), PLR_OK);
  assert_int_equal(serve(&f, 0, 0, 2, 1, 16000),
                   PLR_ERR_LIMIT); /* the client has deposited nothing */
  pay(&f, 0, 1001);
  plr_model_totals m = totals_of(&f.k, &f.model[0]);
  assert_true(m.escrow == 300 && m.held == 701);
  assert_int_equal(serve(&f, 0, 0, 2, 7, 15999), PLR_ERR_MISMATCH);
  assert_int_equal(serve(&f, 0, 0, 2, 7, 16000), PLR_OK);
  assert_int_equal(payable(&f, 0, WORKER0 + 1), 2);               /* of 2.1 */
  assert_int_equal(serve(&f, 0, 1, 3, 7, 12000), PLR_ERR_EXISTS); /* a block twice */
  assert_int_equal(serve(&f, 0, 2, 4, 993, 15000), PLR_OK);
  assert_int_equal(payable(&f, 0, WORKER0 + 1), 300);
  assert_int_equal(serve(&f, 1, 0, 1, 2, 10000), PLR_ERR_LIMIT);
  assert_int_equal(serve(&f, 1, 0, 1, 1, 10000),
                   PLR_OK); /* the last unit, of which nothing is for serving */
  m = totals_of(&f.k, &f.model[0]);
  assert_true(m.escrow == 0 && m.served_paid == 300 && m.served.lo == 41000);
  f.k.model = f.model[0];
  kit_claim(&f.k, WORKER0 + 1, 0);
  assert_int_equal(kit_append(&f.k), PLR_OK);
  family_done(&f);
}

static plr_status put_dataset(family *f, int who, uint8_t root, uint32_t bps, int steward) {
  plr_data_register x = {.struct_size = sizeof x, .bps = bps, .model = f->model[0], .tokens = 99};
  memset(x.root.bytes, root, 32);
  memcpy(x.data_account, f->k.account[steward].bytes, 32);
  deed(&f->k, who, PLR_ENTRY_DATA_REGISTER, &x);
  deed_signed(&f->k, steward, PLR_SIGN_COUNTER);
  return kit_append(&f->k);
}

static plr_balance held_by(family *f, int who) {
  plr_balance b;
  assert_int_equal(plr_ledger_balance(f->k.ledger, &f->k.account[who], &f->model[0], &b), PLR_OK);
  return b;
}

static void datasets(void **state) {
  (void)state;
  static family f;
  family_init(&f);
  plr_model_terms t = plain_terms(&f, 0);
  t.data_bps = 1000;
  memcpy(t.data_account, f.k.account[DATA].bytes, 32);
  assert_int_equal(put_model(&f, &t), PLR_OK);
  work(&f, 0, 0);
  kit_close(&f.k); /* 256 shares, 25 of them the data account's */
  assert_int_equal(held_by(&f, DATA).shares, 25);
  assert_int_equal(put_dataset(&f, WORKER0 + 3, 1, 400, DESIGNER), PLR_ERR_MISMATCH);
  assert_int_equal(put_dataset(&f, WORKER0 + 3, 1, 1001, DATA), PLR_ERR_LIMIT);
  assert_int_equal(put_dataset(&f, WORKER0 + 3, 1, 400, DATA), PLR_OK);
  assert_int_equal(put_dataset(&f, WORKER0 + 2, 1, 1, DATA), PLR_ERR_EXISTS);
  assert_int_equal(put_dataset(&f, WORKER0 + 2, 2, 600, DATA), PLR_OK);
  assert_int_equal(put_dataset(&f, WORKER0 + 2, 3, 1, DATA), PLR_ERR_LIMIT);
  for (int i = 0; i < 4; i++) work(&f, 0, 0);
  kit_close(&f.k); /* 1024 more: 102 or so, 40 and 61 of them for the datasets */
  assert_int_equal(held_by(&f, WORKER0 + 3).shares, 1024 * 400 / 10000);
  assert_int_equal(held_by(&f, WORKER0 + 2).shares, 1024 * 600 / 10000);
  assert_int_equal(held_by(&f, DATA).shares + 40 + 61, 1280 / 10);
  plr_balance b = held_by(&f, FEEDER); /* fed all of it: work of another kind */
  assert_true(b.data_tokens == 5 * 256 && b.units.lo == 0 && b.shares == 0);
  assert_int_equal(totals_of(&f.k, &f.model[0]).datasets, 2);
  family_done(&f);
}

static plr_status reach(family *f, uint32_t number) {
  plr_milestone x = {.struct_size = sizeof x, .number = number, .model = f->model[0]};
  memcpy(x.witness, f->k.account[DATA].bytes, 32);
  deed(&f->k, DESIGNER, PLR_ENTRY_MILESTONE, &x);
  deed_signed(&f->k, DATA, PLR_SIGN_COUNTER);
  return kit_append(&f->k);
}

static void milestones(void **state) {
  (void)state;
  static family f;
  family_init(&f);
  plr_model_terms t = plain_terms(&f, 0);
  t.designer_bps = 2500, t.milestone_epochs = 3;
  assert_int_equal(put_model(&f, &t), PLR_OK);
  work(&f, 0, 0);
  kit_close(&f.k);
  plr_model_totals m = totals_of(&f.k, &f.model[0]);
  assert_true(m.minted == 256 && m.provisional == 64 && m.supply == 192);
  assert_int_equal(reach(&f, 2), PLR_ERR_SEQUENCE);
  assert_int_equal(reach(&f, 1), PLR_OK);
  assert_int_equal(held_by(&f, DESIGNER).shares, 0);
  kit_close(&f.k);
  assert_int_equal(held_by(&f, DESIGNER).shares, 64);
  work(&f, 0, 0);
  for (int i = 0; i < 2; i++) { /* milestone in epoch 1: epochs 2 and 3 without */
    kit_close(&f.k);
    assert_int_equal(totals_of(&f.k, &f.model[0]).provisional, i == 0 ? 64 : 0);
  }
  m = totals_of(&f.k, &f.model[0]);
  assert_true(m.burned == 64 && m.supply == 512 - 64 && m.milestones == 1);
  assert_int_equal(held_by(&f, DESIGNER).shares, 64);
  family_done(&f);
}

/* The loser of a dispute has a fault, an auditor who was wrong too, and the third verdict is the last. */
static void disputes(void **state) {
  (void)state;
  kit k;
  plr_receipt r;
  kit_init(&k, 1);
  kit_open(&k, NULL);
  audited_world(&k, &r);
  assert_int_equal(do_contest(&k, WORKER0 + 1, 0, &r), PLR_ERR_MISMATCH); /* its own work */
  assert_int_equal(do_contest(&k, SEQUENCER, 0, &r), PLR_ERR_NOT_FOUND);  /* has nothing to lose */
  assert_int_equal(do_contest(&k, WORKER0, 0, &r), PLR_OK);
  assert_int_equal(do_contest(&k, WORKER0 + 2, 0, &r), PLR_ERR_EXISTS);
  assert_int_equal(do_audit(&k, DATA, &r, 1), PLR_OK);
  assert_int_equal(faults_of(&k, WORKER0), 1); /* it was right after all */
  assert_int_equal(do_contest(&k, WORKER0 + 2, 0, &r), PLR_OK);
  assert_int_equal(do_audit(&k, DATA, &r, 2),
                   PLR_OK); /* the only auditor thinks again: no fault of its own */
  assert_int_equal(faults_of(&k, WORKER0 + 1), 1);
  assert_int_equal(faults_of(&k, DATA), 0);
  assert_int_equal(do_contest(&k, WORKER0 + 1, 0, &r),
                   PLR_OK); /* of a failure the worker may complain */
  assert_int_equal(do_audit(&k, DATA, &r, 1), PLR_OK);
  assert_int_equal(faults_of(&k, WORKER0 + 1), 0);
  assert_int_equal(do_contest(&k, WORKER0, 0, &r), PLR_ERR_LIMIT);
  assert_int_equal(plr__state_audit(&k.ledger->state, NULL), PLR_OK);
  verify_all(&k);
  kit_done(&k);
}

static void parameters(void **state) {
  (void)state;
  kit k;
  plr__params p;
  kit_init(&k, 1);
  kit_open(&k, NULL);
  kit_populate(&k);
  assert_int_equal(do_param(&k, PLR_PARAM_SLASH_BPS, 77, 1), PLR_ERR_SEQUENCE); /* too soon */
  assert_int_equal(do_param(&k, PLR_PARAM_SLASH_BPS, 77, 2), PLR_OK);
  assert_int_equal(do_param(&k, PLR_PARAM_SLASH_BPS, 78, 2), PLR_ERR_EXISTS);
  plr_param_change x = {.struct_size = sizeof x, .parameter = PLR_PARAM_AUDIT_BPS, .from_epoch = 5};
  deed(&k, DESIGNER, PLR_ENTRY_PARAM_CHANGE, &x);
  assert_int_equal(kit_append(&k), PLR_ERR_MISMATCH);
  for (int epoch = 0; epoch < 3; epoch++) {
    assert_int_equal(plr__get_params(&k.ledger->state, &p), PLR_OK);
    assert_int_equal(p.value[PLR_PARAM_SLASH_BPS - 1], epoch < 2 ? 5000 : 77);
    kit_close(&k);
  }
  verify_all(&k);
  kit_done(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(royalties), cmocka_unit_test(lineages),   cmocka_unit_test(sniping),
      cmocka_unit_test(serving),   cmocka_unit_test(datasets),   cmocka_unit_test(milestones),
      cmocka_unit_test(disputes),  cmocka_unit_test(parameters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
