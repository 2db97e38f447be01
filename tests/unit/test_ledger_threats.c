/* The threats that the ledger is built against, each once from end to end. */
#include "ledger_deeds.h"

static void open_world(kit *k) {
  kit_init(k, 1);
  kit_open(k, NULL);
}

static void close_world(kit *k) {
  assert_int_equal(plr__state_audit(&k->ledger->state, NULL), PLR_OK);
  verify_all(k);
  kit_done(k);
}

/* A receipt that a neighbour did not sign, in every way in which it may not have. */
static void forged_receipt(void **state) {
  (void)state;
  kit k;
  open_world(&k);
  kit_populate(&k);
  plr_receipt r = kit_receipt(&k, 0, 1, 0, 1);
  kit_sign_receipt(&k, &r, WORKER0 + 1, WORKER0 + 1,
                   WORKER0 + 2); /* the worker signs for upstream */
  plr_entry e;
  assert_int_equal(plr__entry_decode(k.entry, k.len, &e, NULL), PLR_ERR_MALFORMED);
  deed(&k, WORKER0 + 1, PLR_ENTRY_RECEIPT, &r); /* alone */
  assert_int_equal(kit_append(&k), PLR_ERR_MALFORMED);
  deed_signed(&k, WORKER0 + 2, PLR_SIGN_DOWNSTREAM); /* with one of two */
  assert_int_equal(kit_append(&k), PLR_ERR_MALFORMED);
  /* under the right account's name, with another's key */
  assert_int_equal(plr_entry_countersign(k.ctx, k.people[WORKER0 + 3], PLR_SIGN_UPSTREAM,
                                         &k.account[WORKER0], ORIGIN, k.entry, sizeof k.entry,
                                         &k.len, NULL),
                   PLR_OK);
  assert_int_equal(kit_append(&k), PLR_ERR_SIGNATURE);
  kit_work(&k, 0, 1, 0, 1);
  k.entry[PLR__ENTRY_HEADER + 120] ^= 1; /* other frames than were signed */
  assert_int_equal(kit_append(&k), PLR_ERR_SIGNATURE);
  k.entry[PLR__ENTRY_HEADER + 120] ^= 1;
  assert_int_equal(kit_append(&k), PLR_OK);
  close_world(&k);
}

static void replay(void **state) {
  (void)state;
  kit k;
  open_world(&k);
  kit_populate(&k);
  plr_receipt r = kit_receipt(&k, 0, 1, 4, 1);
  r.mb_count = 4, r.tokens = 512, r.units = 600 * 512;
  kit_sign_receipt(&k, &r, WORKER0 + 1, WORKER0, WORKER0 + 2);
  assert_int_equal(kit_append(&k), PLR_OK);
  assert_int_equal(kit_append(&k), PLR_ERR_EXISTS);
  const struct {
    uint32_t mb, count, first, end;
    plr_status want;
  } tries[] = {{4, 1, 1, 2, PLR_ERR_EXISTS},
               {7, 9, 1, 2, PLR_ERR_EXISTS},
               {0, 5, 1, 2, PLR_ERR_EXISTS},
               {0, 20, 1, 2, PLR_ERR_EXISTS},
               {5, 1, 0, 2, PLR_ERR_EXISTS},
               {5, 1, 1, 4, PLR_ERR_EXISTS},
               {5, 1, 0, 4, PLR_ERR_EXISTS},
               {90, 1, 0, 2, PLR_ERR_EXISTS}, /* other stages in the same step */
               {8, 1, 1, 2, PLR_OK},
               {3, 1, 1, 2, PLR_OK},
               {5, 1, 2, 4, PLR_OK},
               {0, 9, 0, 1, PLR_OK}};
  for (size_t i = 0; i < PLR_COUNT_OF(tries); i++) {
    plr_receipt x = r;
    x.mb_first = tries[i].mb, x.mb_count = tries[i].count;
    x.block_first = tries[i].first, x.block_end = tries[i].end;
    x.tokens = 1, x.units = 0;
    for (uint32_t b = x.block_first; b < x.block_end; b++) x.units += kit_costs[b];
    kit_sign_receipt(&k, &x, WORKER0 + 1, WORKER0, WORKER0 + 2);
    plr_status st = kit_append(&k);
    if (st != tries[i].want) fail_msg("try %d: %s", (int)i, plr_status_name(st));
  }
  assert_int_equal(do_deposit(&k, 10), PLR_OK);
  assert_int_equal(kit_append(&k), PLR_ERR_SEQUENCE); /* strictly the next number */
  plr_entry_options o = kit_author(&k, FEEDER);
  o.origin = "example.org/twin"; /* signed for another log */
  plr_entry_revenue_deposit(k.ctx, &o, &k.model, 10, k.entry, sizeof k.entry, &k.len, NULL);
  assert_int_equal(kit_append(&k), PLR_ERR_SIGNATURE);
  o.origin = ORIGIN, o.valid_to_epoch = 0;
  plr_entry_revenue_deposit(k.ctx, &o, &k.model, 10, k.entry, sizeof k.entry, &k.len, NULL);
  kit_close(&k);
  assert_int_equal(kit_append(&k), PLR_ERR_SEQUENCE); /* too late */
  kit_sign_receipt(&k, &r, WORKER0 + 1, WORKER0, WORKER0 + 2);
  assert_int_equal(kit_append(&k), PLR_ERR_SEQUENCE);
  /* A window that grows later does not let back in what has been forgotten. */
  assert_int_equal(do_param(&k, PLR_PARAM_RECEIPT_WINDOW, 9, 3), PLR_OK);
  for (int i = 0; i < 3; i++) kit_close(&k);
  kit_sign_receipt(&k, &r, WORKER0 + 1, WORKER0, WORKER0 + 2);
  assert_int_equal(kit_append(&k), PLR_ERR_SEQUENCE);
  close_world(&k);
}

static size_t checkpoint_of(kit *k, uint64_t size, const plr_hash *root, int who, char *out) {
  plr_buffer b;
  plr__buffer_init(&b, k->ctx);
  assert_int_equal(plr__checkpoint_sign(&b, ORIGIN, size, root, k->people[who]), PLR_OK);
  memcpy(out, b.data, b.len);
  size_t len = b.len;
  plr__buffer_release(&b);
  return len;
}

/* Two histories shown to two people: together they can prove it, and the log itself takes the proof. */
static void split_view(void **state) {
  (void)state;
  kit k;
  char a[512], b[512];
  open_world(&k);
  kit_populate(&k);
  plr_hash one = k.account[1], two = k.account[2];
  plr_evidence x = {.struct_size = sizeof x, .first = a, .second = b};
  x.first_len = checkpoint_of(&k, 5, &one, SEQUENCER, a);
  x.second_len = checkpoint_of(&k, 6, &two, SEQUENCER, b); /* of another size: a log grows */
  deed(&k, FEEDER, PLR_ENTRY_EVIDENCE, &x);
  assert_int_equal(kit_append(&k), PLR_ERR_PROOF);
  x.second_len = checkpoint_of(&k, 5, &two, FEEDER, b); /* not the log's own */
  deed(&k, FEEDER, PLR_ENTRY_EVIDENCE, &x);
  assert_int_equal(kit_append(&k), PLR_ERR_PROOF);
  x.second_len = checkpoint_of(&k, 5, &two, SEQUENCER, b);
  deed(&k, FEEDER, PLR_ENTRY_EVIDENCE, &x);
  assert_int_equal(kit_append(&k), PLR_OK);
  deed(&k, DATA, PLR_ENTRY_EVIDENCE, &x);
  assert_int_equal(kit_append(&k), PLR_ERR_EXISTS);
  close_world(&k);
}

static void double_claim(void **state) {
  (void)state;
  static const uint8_t reward[20] = {0xaa}, address[20] = {0x11};
  kit k;
  plr_settlement_leaf leaf[2];
  plr_hash root[2], proof[PLR_PROOF_MAX];
  uint32_t count;
  size_t n;
  open_world(&k);
  kit_populate(&k);
  kit_work(&k, 0, 1, 0, 1);
  assert_int_equal(kit_append(&k), PLR_OK);
  kit_close(&k);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(do_deposit(&k, 100000), PLR_OK);
    plr_entry_options o = kit_author(&k, WORKER0 + 1);
    assert_int_equal(
        plr_entry_claim_to(k.ctx, &o, &k.model, 0, address, k.entry, sizeof k.entry, &k.len, NULL),
        PLR_OK);
    assert_int_equal(kit_append(&k), PLR_OK);
    kit_claim(&k, WORKER0 + 1, 0);
    assert_int_equal(kit_append(&k), PLR_ERR_LIMIT); /* nothing is left */
    assert_int_equal(plr_ledger_settle(k.ledger, reward, 3, &root[i], NULL, NULL), PLR_OK);
    assert_int_equal(plr_ledger_settlement_leaves(k.ledger, reward, 3, 0, &leaf[i], 1, &n), PLR_OK);
    assert_int_equal(n, 1);
  }
  /* What the second tree says includes the first: a contract that pays the difference pays once. */
  uint64_t claimed[2];
  for (int i = 0; i < 2; i++) claimed[i] = plr__load_be64(leaf[i].claimable + 24);
  assert_int_equal(claimed[1], balance_of(&k, WORKER0 + 1).paid * 1000);
  assert_true(claimed[0] > 0 && claimed[1] - claimed[0] - claimed[0] <= 1000);
  assert_int_equal(plr_settlement_prove(k.ctx, &leaf[1], 1, 0, proof, &count, NULL), PLR_OK);
  assert_int_equal(plr_settlement_verify(&leaf[1], proof, count, &root[1]), PLR_OK);
  assert_int_equal(plr_settlement_verify(&leaf[0], proof, count, &root[1]), PLR_ERR_PROOF);
  close_world(&k);
}

static void wrong_units(void **state) {
  (void)state;
  kit k;
  open_world(&k);
  kit_populate(&k);
  plr_receipt r = kit_receipt(&k, 0, 1, 0, 1);
  const uint64_t lies[] = {1, r.units - 1, r.units + 1, 2 * r.units, UINT64_MAX};
  for (size_t i = 0; i < PLR_COUNT_OF(lies); i++) {
    plr_receipt x = r;
    x.units = lies[i];
    kit_sign_receipt(&k, &x, WORKER0 + 1, WORKER0, WORKER0 + 2);
    assert_int_equal(kit_append(&k), PLR_ERR_MISMATCH);
  }
  plr_receipt x = r; /* consistent, for more tokens than the micro-batches can hold */
  x.tokens *= 2, x.units *= 2;
  kit_sign_receipt(&k, &x, WORKER0 + 1, WORKER0, WORKER0 + 2);
  assert_int_equal(kit_append(&k), PLR_ERR_MISMATCH);
  close_world(&k);
}

/* Worker and both neighbours lie together; the replay that chance orders finds it, and what has not vested pays. */
static void colluding_pair(void **state) {
  (void)state;
  kit k;
  plr_receipt r;
  open_world(&k);
  audited_world(&k, &r);
  uint64_t shares = balance_of(&k, WORKER0 + 1).shares, vested = balance_of(&k, WORKER0 + 1).vested;
  assert_true(shares > vested);
  assert_int_equal(do_audit(&k, FEEDER, &r, 2),
                   PLR_ERR_MISMATCH); /* not the auditor that was drawn */
  assert_int_equal(do_audit(&k, WORKER0 + 1, &r, 1), PLR_ERR_MISMATCH);
  assert_int_equal(do_slash(&k, DATA, WORKER0 + 1), PLR_ERR_NOT_FOUND);
  assert_int_equal(do_audit(&k, DATA, &r, 2), PLR_OK);
  assert_int_equal(do_audit(&k, DATA, &r, 1), PLR_ERR_EXISTS);
  assert_int_equal(faults_of(&k, WORKER0 + 1), 1);
  assert_int_equal(do_slash(&k, DATA, WORKER0 + 1),
                   PLR_ERR_SEQUENCE); /* it can still be disputed */
  kit_close(&k);
  uint64_t data = balance_of(&k, DATA).shares;
  vested = balance_of(&k, WORKER0 + 1).vested;
  assert_int_equal(do_slash(&k, FEEDER, WORKER0 + 1), PLR_OK);
  assert_int_equal(do_deposit(&k, 1000000), PLR_OK); /* still earns: as of the last EpochClose */
  assert_true(balance_of(&k, WORKER0 + 1).payable > 0);
  kit_close(&k);
  plr_balance after = balance_of(&k, WORKER0 + 1);
  uint64_t taken = (shares - vested) / 2, bounty = taken / 10; /* slash_bps 5000, bounty_bps 1000 */
  assert_int_equal(after.shares, shares - taken);
  assert_true(after.vested >= vested); /* what is vested is safe */
  assert_int_equal(balance_of(&k, DATA).shares, data + bounty);
  assert_int_equal(totals_of(&k, &k.model).burned, taken - bounty);
  assert_int_equal(faults_of(&k, WORKER0 + 1), 0);
  close_world(&k);
}

/* A neighbour does not sign: the work is audited, and who was wrong pays. */
static void refusing_neighbour(void **state) {
  (void)state;
  for (uint32_t verdict = 0; verdict < 4;
       verdict++) { /* 0: it answers in time; 3: it signs after all */
    kit k;
    plr_receipt r;
    open_world(&k);
    audited_world(&k, &r);
    plr_receipt work = kit_receipt(&k, 2, 9, 0, 1);
    plr_dispute x = {.struct_size = sizeof x, .kind = 1, .refusers = 2, .receipt = work};
    deed(&k, WORKER0 + 1, PLR_ENTRY_DISPUTE, &x);
    assert_int_equal(kit_append(&k), PLR_ERR_MALFORMED); /* the other one has to sign */
    deed_signed(&k, WORKER0, PLR_SIGN_UPSTREAM);
    assert_int_equal(kit_append(&k), PLR_OK);
    assert_int_equal(balance_of(&k, WORKER0 + 1).receipts, 2); /* not counted yet */
    assert_int_equal(kit_append(&k), PLR_ERR_SEQUENCE);
    deed(&k, WORKER0 + 1, PLR_ENTRY_DISPUTE, &x);
    deed_signed(&k, WORKER0, PLR_SIGN_UPSTREAM);
    assert_int_equal(kit_append(&k), PLR_ERR_EXISTS);
    if (verdict == 3) {
      kit_work(&k, 2, 9, 0, 1);
      assert_int_equal(kit_append(&k), PLR_OK);
      assert_int_equal(do_contest(&k, WORKER0 + 2, 2, &work), PLR_ERR_NOT_FOUND);
      assert_int_equal(balance_of(&k, WORKER0 + 1).receipts, 3);
      close_world(&k);
      continue;
    }
    assert_int_equal(do_contest(&k, WORKER0, 2, &work),
                     PLR_ERR_MISMATCH); /* who signed has nothing to answer */
    if (verdict == 0) assert_int_equal(do_contest(&k, WORKER0 + 2, 2, &work), PLR_OK);
    if (verdict == 0) assert_int_equal(do_contest(&k, WORKER0 + 2, 2, &work), PLR_ERR_NOT_FOUND);
    assert_int_equal(balance_of(&k, WORKER0 + 1).receipts, verdict == 0 ? 3 : 2);
    assert_int_equal(do_commit(&k, DATA, 0, 2), PLR_OK);
    kit_close(&k);
    assert_int_equal(do_commit(&k, DATA, 1, 2), PLR_OK);
    assert_int_equal(do_audit(&k, DATA, &work, 1), PLR_ERR_SEQUENCE); /* nobody is drawn yet */
    assert_int_equal(do_assign(&k, 2), PLR_OK);
    if (verdict) assert_int_equal(do_audit(&k, DATA, &work, verdict), PLR_OK);
    assert_int_equal(faults_of(&k, WORKER0 + 2), verdict == 1);
    assert_int_equal(faults_of(&k, WORKER0 + 1), verdict == 2);
    assert_int_equal(balance_of(&k, WORKER0 + 1).receipts, verdict == 2 ? 2 : 3);
    close_world(&k);
  }
}

/* An old copy of the store comes back: shown what it has signed, it never signs again. */
static void restored_backup(void **state) {
  (void)state;
  kit k, old;
  char note[512];
  size_t len;
  open_world(&k);
  open_world(&old);
  kit_populate(&k);
  kit_populate(&old);
  kit_work(&k, 0, 1, 0, 1);
  assert_int_equal(kit_append(&k), PLR_OK);
  assert_int_equal(plr_ledger_checkpoint(k.ledger, note, sizeof note, &len, NULL), PLR_OK);
  assert_int_equal(plr_ledger_guard(k.ledger, note, len, NULL), PLR_OK);
  assert_int_equal(plr_ledger_guard(old.ledger, note, len, NULL), PLR_ERR_SEQUENCE);
  assert_int_not_equal(plr_ledger_checkpoint(old.ledger, note, sizeof note, &len, NULL), PLR_OK);
  kit_work(&old, 0, 1, 2, 1);
  assert_int_not_equal(kit_append(&old), PLR_OK);
  kit_done(&old);
  close_world(&k);
}

static plr_status rotate(kit *k, int who, uint32_t way, plr_identity *by, plr_identity *next,
                         plr_identity *recovery) {
  plr_key_rotate x = {.struct_size = sizeof x, .way = way};
  plr_entry_options o = kit_author(k, who);
  uint8_t key[32];
  plr_hash id;
  plr_identity_public_key(next, x.key);
  if (way) plr_identity_public_key(by, x.recovery_key);
  if (recovery) {
    plr_identity_public_key(recovery, key);
    plr_account_id(key, &id);
    memcpy(x.recovery, id.bytes, 32);
  }
  o.author = by, o.account = &k->account[who];
  assert_int_equal(plr_entry_write(k->ctx, &o, PLR_ENTRY_KEY_ROTATE, &x, k->entry, sizeof k->entry,
                                   &k->len, NULL),
                   PLR_OK);
  assert_int_equal(plr_entry_countersign(k->ctx, next, PLR_SIGN_NEW_KEY, NULL, ORIGIN, k->entry,
                                         sizeof k->entry, &k->len, NULL),
                   PLR_OK);
  return kit_append(k);
}

static plr_status deposit_by(kit *k, int who, plr_identity *key) {
  plr_entry_options o = kit_author(k, who);
  o.author = key, o.account = &k->account[who];
  plr_entry_revenue_deposit(k->ctx, &o, &k->model, 5, k->entry, sizeof k->entry, &k->len, NULL);
  return kit_append(k);
}

static void keys(void **state) {
  (void)state;
  kit k;
  open_world(&k);
  kit_populate(&k);
  plr_identity *first = k.people[FEEDER], *id[5];
  for (uint64_t i = 0; i < 5; i++) id[i] = kit_identity(k.ctx, 500 + i);
  assert_int_equal(rotate(&k, SEQUENCER, 0, k.people[SEQUENCER], id[0], NULL), PLR_ERR_MISMATCH);
  assert_int_equal(rotate(&k, FEEDER, 0, id[0], id[1], NULL), PLR_ERR_SIGNATURE); /* not its key */
  assert_int_equal(rotate(&k, FEEDER, 1, id[0], id[1], NULL),
                   PLR_ERR_MISMATCH); /* no recovery key was named */
  assert_int_equal(rotate(&k, FEEDER, 0, first, id[0], id[1]), PLR_OK);
  assert_int_equal(deposit_by(&k, FEEDER, first), PLR_ERR_SIGNATURE);
  assert_int_equal(deposit_by(&k, FEEDER, id[0]), PLR_OK);
  /* The key is lost; the recovery key brings another, after two epochs. */
  assert_int_equal(rotate(&k, FEEDER, 1, id[2], id[3], NULL), PLR_ERR_MISMATCH);
  assert_int_equal(rotate(&k, FEEDER, 1, id[1], id[2], NULL), PLR_OK);
  assert_int_equal(rotate(&k, FEEDER, 1, id[1], id[3], NULL), PLR_ERR_EXISTS);
  kit_close(&k);
  assert_int_equal(deposit_by(&k, FEEDER, id[2]), PLR_ERR_SIGNATURE);
  kit_close(&k);
  assert_int_equal(deposit_by(&k, FEEDER, id[2]), PLR_OK);
  assert_int_equal(deposit_by(&k, FEEDER, id[0]), PLR_ERR_SIGNATURE);
  /* The recovery key was stolen: who has the current one takes it back before it has its effect. */
  assert_int_equal(rotate(&k, FEEDER, 0, id[2], id[2], id[3]), PLR_OK);
  assert_int_equal(rotate(&k, FEEDER, 1, id[3], id[4], NULL), PLR_OK);
  assert_int_equal(rotate(&k, FEEDER, 0, id[2], id[2], NULL), PLR_OK);
  for (int i = 0; i < 3; i++) kit_close(&k);
  assert_int_equal(deposit_by(&k, FEEDER, id[4]), PLR_ERR_SIGNATURE);
  assert_int_equal(deposit_by(&k, FEEDER, id[2]), PLR_OK);
  for (int i = 0; i < 5; i++) plr_identity_destroy(id[i]);
  close_world(&k);
}

/* Work sold twice, and a key changed to get away with it. */
static void double_work(void **state) {
  (void)state;
  kit k;
  uint8_t first[1024];
  open_world(&k);
  kit_populate(&k);
  plr_receipt r = kit_receipt(&k, 0, 1, 0, 1);
  kit_sign_receipt(&k, &r, WORKER0 + 1, WORKER0, WORKER0 + 2);
  plr_evidence x = {.struct_size = sizeof x, .kind = 1, .first = first, .first_len = k.len};
  memcpy(first, k.entry, k.len);
  r.frames_root.bytes[0] ^= 1;
  uint8_t second[1024];
  kit_sign_receipt(&k, &r, WORKER0 + 1, WORKER0, WORKER0 + 2);
  memcpy(second, k.entry, x.second_len = k.len);
  x.second = second;
  deed(&k, FEEDER, PLR_ENTRY_EVIDENCE, &x);
  assert_int_equal(kit_append(&k),
                   PLR_ERR_PROOF); /* the same neighbours: told anew after a fault */
  memcpy(r.upstream, k.account[WORKER0 + 3].bytes, 32);
  kit_sign_receipt(&k, &r, WORKER0 + 1, WORKER0 + 3, WORKER0 + 2);
  memcpy(second, k.entry, x.second_len = k.len);
  plr_identity *next = kit_identity(k.ctx, 700);
  assert_int_equal(rotate(&k, WORKER0 + 1, 0, k.people[WORKER0 + 1], next, NULL), PLR_OK);
  deed(&k, FEEDER, PLR_ENTRY_EVIDENCE, &x);
  assert_int_equal(kit_append(&k), PLR_OK);
  assert_int_equal(faults_of(&k, WORKER0 + 1), 1);
  plr_identity_destroy(next);
  close_world(&k);
}

/* Every byte of an entry of every type is needed: no shorter, longer or changed form is read as the same. */
static void not_canonical(void **state) {
  (void)state;
  kit k;
  open_world(&k);
  kit_populate(&k);
  plr_dispute d = {
      .struct_size = sizeof d, .kind = 1, .refusers = 3, .receipt = kit_receipt(&k, 0, 1, 0, 1)};
  deed(&k, WORKER0 + 1, PLR_ENTRY_DISPUTE, &d);
  plr_entry e;
  assert_int_equal(plr__entry_decode(k.entry, k.len, &e, NULL), PLR_OK);
  for (size_t len = 0; len < k.len; len++)
    assert_int_not_equal(plr_ledger_append(k.ledger, k.entry, len, NULL, NULL), PLR_OK);
  k.entry[k.len] = 0;
  assert_int_equal(plr_ledger_append(k.ledger, k.entry, k.len + 1, NULL, NULL), PLR_ERR_MALFORMED);
  for (size_t i = 0; i < k.len; i++) {
    k.entry[i] ^= 0x10;
    assert_int_not_equal(kit_append(&k), PLR_OK);
    k.entry[i] ^= 0x10;
  }
  uint8_t *big = calloc(1, 1 << 17);
  memcpy(big, k.entry, k.len);
  assert_int_equal(plr_ledger_append(k.ledger, big, 1 << 17, NULL, NULL), PLR_ERR_MALFORMED);
  free(big);
  static uint8_t text[40000];
  plr_evidence x = {
      .struct_size = sizeof x, .first = text, .first_len = sizeof text, .second = text};
  x.second_len = sizeof text;
  plr_entry_options o = kit_author(&k, FEEDER);
  assert_int_equal(
      plr_entry_write(k.ctx, &o, PLR_ENTRY_EVIDENCE, &x, k.entry, sizeof k.entry, &k.len, NULL),
      PLR_ERR_LIMIT);
  x.first_len = 70000;
  assert_int_equal(
      plr_entry_write(k.ctx, &o, PLR_ENTRY_EVIDENCE, &x, k.entry, sizeof k.entry, &k.len, NULL),
      PLR_ERR_INVALID_ARGUMENT);
  close_world(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(forged_receipt),
      cmocka_unit_test(replay),
      cmocka_unit_test(split_view),
      cmocka_unit_test(double_claim),
      cmocka_unit_test(wrong_units),
      cmocka_unit_test(colluding_pair),
      cmocka_unit_test(refusing_neighbour),
      cmocka_unit_test(restored_backup),
      cmocka_unit_test(keys),
      cmocka_unit_test(double_work),
      cmocka_unit_test(not_canonical),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
