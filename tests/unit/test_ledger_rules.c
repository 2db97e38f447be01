/* Who may write what: every rule broken once, at the door and in the log; and what queries say of a life. */
#include "ledger_kit.h"

static plr_hash state_now(kit *k) {
  plr_hash h;
  plr__map_root(&k->ledger->state.map, &h);
  return h;
}

typedef struct attempt_log {
  int logged;     /* the ledger keeps invalid entries */
  uint32_t count; /* of attempts */
} attempt_log;

/* The state as if the author had not used its last nonce. */
static plr_hash state_without_nonce(kit *k, const plr_hash *author) {
  plr__state *s = &k->ledger->state;
  plr__account a;
  assert_int_equal(plr__get_account(s, author->bytes, &a), PLR_OK);
  a.nonce--;
  assert_int_equal(plr__put_account(s, author->bytes, &a), PLR_OK);
  plr_hash h = state_now(k);
  plr__map_rollback(&s->map, 0);
  return h;
}

/* Appends k->entry, which must fail with `want`. uses_nonce: it is its author's next entry and well signed. */
static void refused(kit *k, attempt_log *a, plr_status want, int uses_nonce) {
  plr_ledger_summary before = kit_summary(k->ledger), after;
  plr_hash state = state_now(k), now;
  plr_hash author;
  memcpy(author.bytes, k->entry + 8, 32);
  uint64_t nonce = plr_ledger_next_nonce(k->ledger, &author);
  assert_int_equal(kit_append(k), want);
  after = kit_summary(k->ledger);
  now = a->logged && uses_nonce ? state_without_nonce(k, &author) : state_now(k);
  a->count++;
  assert_int_equal(after.entries, before.entries + (uint64_t)a->logged);
  assert_int_equal(after.rejected, before.rejected + (uint64_t)a->logged);
  assert_int_equal(plr_ledger_next_nonce(k->ledger, &author),
                   nonce + (uint64_t)(a->logged && uses_nonce));
  assert_memory_equal(&state, &now, sizeof now);
}

/* Lets `sign` be one that does not hold, or is another's. */
static void break_signature(kit *k, size_t from_end) {
  k->entry[k->len - from_end] ^= 0x20;
}

static void receipt(kit *k, const plr_receipt *r, uint32_t stage) {
  int w = (int)(WORKER0 + stage);
  kit_sign_receipt(k, r, w, stage == 0 ? FEEDER : w - 1, stage == 3 ? FEEDER : w + 1);
}

static void bad_receipts(kit *k, attempt_log *a, uint64_t epoch) {
  plr_receipt good = kit_receipt(k, epoch, 50, 0, 1), r;
  for (size_t i = 0; i < 3; i++) { /* each of the three signatures */
    receipt(k, &good, 1);
    break_signature(k, 1 + 100 * i);
    refused(k, a, PLR_ERR_SIGNATURE, 0);
  }
  receipt(k, &good, 1); /* the fields, after everybody has signed */
  k->entry[PLR__ENTRY_HEADER + 112] ^= 1;
  refused(k, a, PLR_ERR_SIGNATURE, 0);
  r = good, r.units++;
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_MISMATCH, 0);
  r = good, r.units *= 2, r.tokens *= 2; /* more tokens than the micro-batches hold */
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_MISMATCH, 0);
  r = good, r.mb_count = 1; /* the same, with fewer micro-batches */
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_MISMATCH, 0);
  r = good, r.block_end = BLOCKS + 1;
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_MISMATCH, 0);
  r = good, r.profile.bytes[0] ^= 1;
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_MISMATCH, 0);
  r = good, r.model.bytes[0] ^= 1;
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_NOT_FOUND, 0);
  r = good, r.epoch++;
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_SEQUENCE, 0);
  r = good, r.epoch--;
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_SEQUENCE, 0);
  plr_identity *stranger = kit_identity(k->ctx, 999), *mine = k->people[WORKER0 + 1];
  uint8_t key[32];
  plr_hash id;
  plr_identity_public_key(stranger, key);
  plr_account_id(key, &id);
  k->people[WORKER0 + 1] = stranger; /* a worker without an account, properly signed */
  r = good;
  memcpy(r.worker, id.bytes, 32);
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_NOT_FOUND, 0);
  k->people[WORKER0 + 1] = mine;
  plr_identity_destroy(stranger);
  receipt(k, &good, 1);
  assert_int_equal(kit_append(k), PLR_OK);
  refused(k, a, PLR_ERR_EXISTS, 0);
  r = good, r.weight_root.bytes[3] = 9; /* the same work told otherwise */
  receipt(k, &r, 1);
  refused(k, a, PLR_ERR_EXISTS, 0);
  r = good, r.lane = 1; /* other work */
  receipt(k, &r, 1);
  assert_int_equal(kit_append(k), PLR_OK);
}

static void bad_numbers(kit *k, attempt_log *a) {
  kit_deposit(k, 10);
  assert_int_equal(kit_append(k), PLR_OK);
  refused(k, a, PLR_ERR_SEQUENCE, 0); /* replayed */
  plr_entry_options o = kit_author(k, FEEDER);
  size_t len;
  o.nonce++;
  plr_entry_revenue_deposit(k->ctx, &o, &k->model, 10, k->entry, sizeof k->entry, &k->len, NULL);
  refused(k, a, PLR_ERR_SEQUENCE, 0); /* one left out */
  o = kit_author(k, FEEDER);
  o.valid_to_epoch = 0;
  plr_entry_revenue_deposit(k->ctx, &o, &k->model, 10, k->entry, sizeof k->entry, &k->len, NULL);
  refused(k, a, PLR_ERR_SEQUENCE, 0); /* expired */
  o = kit_author(k, FEEDER);
  o.origin = "example.org/elsewhere"; /* meant for another ledger */
  plr_entry_revenue_deposit(k->ctx, &o, &k->model, 10, k->entry, sizeof k->entry, &k->len, NULL);
  refused(k, a, PLR_ERR_SIGNATURE, 0);
  kit_deposit(k, 10);
  break_signature(k, 40);
  refused(k, a, PLR_ERR_SIGNATURE, 0);
  plr_identity *stranger = kit_identity(k->ctx, 999);
  o.origin = ORIGIN, o.author = stranger, o.nonce = 1;
  plr_entry_claim(k->ctx, &o, &k->model, 0, k->entry, sizeof k->entry, &len, NULL);
  k->len = len;
  refused(k, a, PLR_ERR_NOT_FOUND, 0);
  o.valid_to_epoch = 0;
  plr_entry_account_open(k->ctx, &o, k->entry, sizeof k->entry, &k->len, NULL);
  refused(k, a, PLR_ERR_SEQUENCE, 0);
  o.nonce = 2, o.valid_to_epoch = PLR_NO_EXPIRY;
  plr_entry_account_open(k->ctx, &o, k->entry, sizeof k->entry, &k->len, NULL);
  refused(k, a, PLR_ERR_SEQUENCE, 0);
  plr_identity_destroy(stranger);
}

/* Makes k->entry again, with changes to its unsigned part, signed by `who`. */
static void resign(kit *k, int who) {
  plr_buffer b;
  plr__buffer_init(&b, k->ctx);
  plr__buffer_put(&b, k->entry, k->len - 101);
  assert_int_equal(plr__entry_finish(&b, k->people[who], ORIGIN), PLR_OK);
  memcpy(k->entry, b.data, b.len);
  plr__buffer_release(&b);
}

static void bad_accounts(kit *k, attempt_log *a) {
  kit_account(k, WORKER0);
  plr_entry_options o = kit_author(k, WORKER0);
  o.nonce = 1;
  plr_entry_account_open(k->ctx, &o, k->entry, sizeof k->entry, &k->len, NULL);
  refused(k, a, PLR_ERR_EXISTS, 0);
  plr_identity_public_key(k->people[DATA], k->entry + PLR__ENTRY_HEADER + 1); /* another's key */
  resign(k, WORKER0);
  refused(k, a, PLR_ERR_MISMATCH, 0);
  /* A key of small order, under which some signatures hold for any message. */
  uint8_t small[32] = {1};
  plr_hash id;
  plr_account_id(small, &id);
  memcpy(k->entry + PLR__ENTRY_HEADER + 1, small, 32);
  memcpy(k->entry + 8, id.bytes, 32);
  memcpy(k->entry + k->len - 98, id.bytes, 32);
  memset(k->entry + k->len - 64, 0, 64);
  k->entry[k->len - 64] = 1;
  refused(k, a, PLR_ERR_SIGNATURE, 0);
}

static void bad_models(kit *k, attempt_log *a) {
  plr_model_terms t = kit_terms(k);
  kit_model(k, &t);
  refused(k, a, PLR_ERR_EXISTS, 1);
  t.model.bytes[0] ^= 1;
  t.data_account[0] ^= 1;
  kit_model(k, &t);
  refused(k, a, PLR_ERR_NOT_FOUND, 1);
}

static void bad_money(kit *k, attempt_log *a) {
  plr_entry_options o = kit_author(k, FEEDER);
  plr_hash other = k->model;
  other.bytes[0] ^= 1;
  plr_entry_revenue_deposit(k->ctx, &o, &other, 5, k->entry, sizeof k->entry, &k->len, NULL);
  refused(k, a, PLR_ERR_NOT_FOUND, 1);
  kit_deposit(k, PLR__MAX_AMOUNT);
  refused(k, a, PLR_ERR_LIMIT, 1);
  kit_claim(k, SEQUENCER, 0); /* holds nothing */
  refused(k, a, PLR_ERR_NOT_FOUND, 1);
  plr_balance b;
  assert_int_equal(plr_ledger_balance(k->ledger, &k->account[WORKER0], &k->model, &b), PLR_OK);
  assert_true(b.payable > 0);
  kit_claim(k, WORKER0, b.payable + 1);
  refused(k, a, PLR_ERR_LIMIT, 1);
  kit_claim(k, WORKER0, b.payable);
  assert_int_equal(kit_append(k), PLR_OK);
  kit_claim(k, WORKER0, 0); /* again */
  refused(k, a, PLR_ERR_LIMIT, 1);
}

static void bad_closes(kit *k, attempt_log *a) {
  for (int field = 0; field < 8; field++) {
    plr_epoch_close c;
    plr_buffer b;
    int who =
        field == 7 ? DESIGNER : SEQUENCER; /* the last one is right, but not the sequencer's */
    assert_int_equal(plr__close_preview(&k->ledger->state, &c, NULL), PLR_OK);
    if (field == 0) c.epoch++;
    if (field == 1) c.receipts++;
    if (field == 2) c.units++;
    if (field == 3) c.minted++;
    if (field == 4) c.deposited++;
    if (field == 5) c.paid++;
    if (field == 6) c.state_root.bytes[31] ^= 1;
    plr__buffer_init(&b, k->ctx);
    plr__epoch_close_encode(&b, k->account[who].bytes,
                            plr_ledger_next_nonce(k->ledger, &k->account[who]), &c);
    assert_int_equal(plr__entry_finish(&b, k->people[who], ORIGIN), PLR_OK);
    memcpy(k->entry, b.data, k->len = b.len);
    plr__buffer_release(&b);
    refused(k, a, PLR_ERR_MISMATCH, 1);
  }
}

static void bad_bytes(kit *k, attempt_log *a) {
  kit_deposit(k, 10);
  k->len--;
  refused(k, a, PLR_ERR_TRUNCATED, 0);
  kit_deposit(k, 10);
  k->len++;
  refused(k, a, PLR_ERR_MALFORMED, 0);
  kit_deposit(k, 10);
  k->entry[4] = 21; /* of later rules */
  refused(k, a, PLR_ERR_VERSION, 0);
  memset(k->entry, 0xff, k->len = 40);
  refused(k, a, PLR_ERR_MALFORMED, 0);
  assert_int_equal(plr_ledger_entry(k->ledger, 0, k->entry, sizeof k->entry, &k->len, NULL),
                   PLR_OK);
  refused(k, a, PLR_ERR_EXISTS, 0); /* Genesis again */
}

/* Every attempt, in the middle of a life that goes on around it. */
static void all_attempts(kit *k, attempt_log *a, int with_closes) {
  kit_populate(k);
  for (uint32_t stage = 0; stage < 4; stage++) {
    kit_work(k, 0, 0, 0, stage);
    assert_int_equal(kit_append(k), PLR_OK);
  }
  kit_close(k);
  bad_receipts(k, a, 1);
  bad_numbers(k, a);
  bad_accounts(k, a);
  bad_models(k, a);
  bad_bytes(k, a);
  kit_close(k);
  bad_money(k, a);
  if (with_closes) bad_closes(k, a);
  kit_close(k);
}

static void at_the_door(void **state) {
  (void)state;
  kit k;
  attempt_log a = {0, 0};
  kit_init(&k, 2);
  kit_open(&k, NULL);
  all_attempts(&k, &a, 1);
  assert_true(a.count >= 45);
  assert_int_equal(kit_summary(k.ledger).rejected, 0);
  kit_done(&k);
}

/* The same in a log that keeps them: no effect, counted, and a verifier agrees entry by entry. */
static void in_the_log(void **state) {
  (void)state;
  kit k;
  attempt_log a = {1, 0};
  kit_file f = {0};
  kit_init(&k, 2);
  plr_ledger_options o = kit_options(&k, NULL);
  o.log_invalid = 1;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &k.ledger, NULL), PLR_OK);
  all_attempts(&k, &a, 0);
  plr_ledger_summary ours = kit_summary(k.ledger), theirs = {.struct_size = sizeof theirs};
  assert_int_equal(ours.rejected, a.count);
  kit_export(&k, &f);
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = kit_verify(&k, &f, 0, &theirs, &err);
  if (st != PLR_OK) fail_msg("%s", err.message);
  assert_memory_equal(&ours, &theirs, sizeof ours);
  /* An EpochClose that says what is not so is different: no verifier passes over it. */
  attempt_log wrong = {1, 0};
  bad_closes(&k, &wrong);
  f.len = 0;
  f.committed = 0;
  kit_export(&k, &f);
  assert_int_equal(kit_verify(&k, &f, 0, NULL, &err), PLR_ERR_MISMATCH);
  assert_non_null(strstr(err.message, "entry"));
  free(f.data);
  kit_done(&k);
}

static void window(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  plr_ledger_options o = kit_options(&k, NULL);
  o.receipt_window = 2;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &k.ledger, NULL), PLR_OK);
  kit_populate(&k);
  kit_work(&k, 0, 0, 0, 0);
  assert_int_equal(kit_append(&k), PLR_OK);
  kit_close(&k);
  assert_int_equal(kit_append(&k), PLR_ERR_EXISTS); /* still remembered */
  kit_work(&k, 0, 1, 0, 0);
  assert_int_equal(kit_append(&k), PLR_OK); /* late, but in the window: counts in the open epoch */
  kit_close(&k);
  kit_work(&k, 0, 2, 0, 0);
  assert_int_equal(kit_append(&k), PLR_ERR_SEQUENCE);
  kit_close(&k);
  plr__cursor c;
  plr__map_seek(&k.ledger->state.map, "R", 1, &c);
  assert_int_equal(plr__cursor_next_in(&c, "R", 1), 0); /* nothing is remembered for ever */
  assert_int_equal(kit_summary(k.ledger).receipts, 2);
  kit_done(&k);
}

static void treasurer(void **state) {
  (void)state;
  kit k;
  attempt_log a = {0, 0};
  kit_init(&k, 1);
  plr_ledger_options o = kit_options(&k, NULL);
  memcpy(o.treasurer, k.account[FEEDER].bytes, 32);
  assert_int_equal(plr_ledger_open(k.ctx, &o, &k.ledger, NULL), PLR_OK);
  kit_populate(&k);
  plr_entry_options e = kit_author(&k, DESIGNER);
  plr_entry_revenue_deposit(k.ctx, &e, &k.model, 10, k.entry, sizeof k.entry, &k.len, NULL);
  refused(&k, &a, PLR_ERR_MISMATCH, 1);
  kit_deposit(&k, 10);
  assert_int_equal(kit_append(&k), PLR_OK);
  kit_done(&k);
}

/* One batch that opens accounts, registers a model and uses both at once, with bad entries in between, leaves the
 * same log and state as one append after another. */
static void batches(void **state) {
  (void)state;
  enum { N = 600 };
  kit one, many;
  static plr_append_item items[N];
  kit_init(&one, 1);
  kit_init(&many, 2);
  kit_open(&one, NULL);
  kit_open(&many, NULL);
  size_t n = 0;
  for (int i = DESIGNER; i < PEOPLE; i++) {
    kit_account(&one, i);
    void *copy = malloc(one.len);
    items[n++] = (plr_append_item){.entry = memcpy(copy, one.entry, one.len), .len = one.len};
    assert_int_equal(kit_append(&one), PLR_OK);
  }
  plr_model_terms t = kit_terms(&one);
  kit_model(&one, &t);
  void *model = malloc(one.len);
  items[n++] = (plr_append_item){.entry = memcpy(model, one.entry, one.len), .len = one.len};
  assert_int_equal(kit_append(&one), PLR_OK);
  for (uint64_t step = 0; n < N; step++) {
    kit_work(&one, 0, step / 2, 0, step % 4);
    if (step % 7 == 0) break_signature(&one, 130);
    if (step % 11 == 0) one.len -= 3;
    void *copy = malloc(one.len);
    items[n++] = (plr_append_item){.entry = memcpy(copy, one.entry, one.len), .len = one.len};
    kit_append(&one);
  }
  assert_int_equal(plr_ledger_append_many(many.ledger, items, N, NULL), PLR_OK);
  uint64_t index = 1;
  int refusals = 0;
  for (size_t i = 0; i < N; i++) {
    if (items[i].status == PLR_OK) assert_int_equal(items[i].index, index++);
    if (items[i].status != PLR_OK) assert_true(items[i].index == UINT64_MAX), refusals++;
    free((void *)(uintptr_t)items[i].entry);
  }
  assert_true(refusals > 100);
  plr_ledger_summary a = kit_summary(one.ledger), b = kit_summary(many.ledger);
  assert_memory_equal(&a, &b, sizeof a);
  assert_int_equal(a.entries, index);
  assert_int_equal(plr_ledger_append_many(many.ledger, NULL, 0, NULL), PLR_OK);
  assert_int_equal(plr_ledger_append_many(many.ledger, NULL, 1, NULL), PLR_ERR_INVALID_ARGUMENT);
  kit_done(&one);
  kit_done(&many);
}

/* Shares, money and tables, worked out by hand. */
static void queries(void **state) {
  (void)state;
  kit k;
  plr_balance b, all[PEOPLE];
  plr_model_totals m = {.struct_size = sizeof m};
  plr_hash nobody = {{0}};
  kit_init(&k, 1);
  kit_open(&k, NULL);
  assert_int_equal(plr_ledger_model(k.ledger, &k.model, &m), PLR_ERR_NOT_FOUND);
  kit_populate(&k);
  kit_deposit(&k, 500); /* before there is a share: held */
  assert_int_equal(kit_append(&k), PLR_OK);
  for (uint32_t stage = 0; stage < 4; stage++) {
    kit_work(&k, 0, 0, 0, stage);
    assert_int_equal(kit_append(&k), PLR_OK);
  }
  const uint64_t work = (1000 + 600 + 600 + 900) * 256; /* 793,600 units */
  assert_int_equal(plr_ledger_model(k.ledger, &k.model, &m), PLR_OK);
  assert_int_equal(m.supply, 0);
  assert_int_equal(m.held, 500);
  assert_int_equal(m.epoch_units.lo, work);
  assert_int_equal(plr_ledger_balance(k.ledger, &k.account[WORKER0], &k.model, &b), PLR_OK);
  assert_int_equal(b.units.lo, 256000);
  assert_int_equal(b.receipts, 1);
  assert_int_equal(b.shares, 0);
  kit_close(&k);
  /* 793,600 units at 2^20 / 1000 shares: 832,149,913 of 832,149,913.6; designer 15%, data 5%. */
  const uint64_t minted = work * (1u << 20) / 1000, designer = minted * 15 / 100,
                 data = minted * 5 / 100;
  assert_int_equal(minted, 832149913);
  assert_int_equal(plr_ledger_model(k.ledger, &k.model, &m), PLR_OK);
  assert_int_equal(m.supply, minted);
  assert_int_equal(m.held, 0);
  assert_int_equal(m.holders, 7); /* the feeder too: it brought data */
  assert_memory_equal(&m.designer, &k.account[DESIGNER], 32);
  size_t count;
  assert_int_equal(plr_ledger_holders(k.ledger, &k.model, NULL, all, PEOPLE, &count), PLR_OK);
  assert_int_equal(count, 7);
  uint64_t shares = 0, payable = 0;
  for (size_t i = 0; i < count; i++) {
    if (i) assert_true(memcmp(all[i - 1].account.bytes, all[i].account.bytes, 32) < 0);
    plr_balance same;
    assert_int_equal(plr_ledger_balance(k.ledger, &all[i].account, &k.model, &same), PLR_OK);
    assert_memory_equal(&same, &all[i], sizeof same);
    shares += all[i].shares;
    payable += all[i].payable;
    assert_int_equal(all[i].vested, 0);
  }
  assert_int_equal(shares, minted);
  assert_true(payable <= 500 && payable >= 494);
  for (size_t cap = 1; cap < 4; cap++) { /* in pages */
    plr_balance page[4];
    const plr_hash *after = NULL;
    plr_hash last;
    size_t seen = 0;
    do {
      assert_int_equal(plr_ledger_holders(k.ledger, &k.model, after, page, cap, &count), PLR_OK);
      assert_memory_equal(page, all + seen, count * sizeof *page);
      seen += count;
      if (count) last = page[count - 1].account, after = &last;
    } while (count == cap);
    assert_int_equal(seen, 7);
  }
  assert_int_equal(plr_ledger_balance(k.ledger, &k.account[DESIGNER], &k.model, &b), PLR_OK);
  assert_int_equal(b.shares, designer);
  assert_int_equal(plr_ledger_balance(k.ledger, &k.account[DATA], &k.model, &b), PLR_OK);
  assert_int_equal(b.shares, data);
  assert_int_equal(plr_ledger_balance(k.ledger, &k.account[WORKER0], &k.model, &b), PLR_OK);
  uint64_t pool = minted - designer - data;
  assert_true(b.shares - pool * 256000 / work <= 1);
  /* Vesting: nothing before the cliff of one epoch, then a quarter an epoch. */
  for (uint64_t e = 1; e <= 4; e++) {
    kit_close(&k);
    plr_balance v;
    assert_int_equal(plr_ledger_balance(k.ledger, &k.account[WORKER0], &k.model, &v), PLR_OK);
    assert_int_equal(v.vested, b.shares * e / 4);
  }
  kit_claim(&k, WORKER0, 1);
  assert_int_equal(kit_append(&k), PLR_OK);
  plr_balance after_claim;
  assert_int_equal(plr_ledger_balance(k.ledger, &k.account[WORKER0], &k.model, &after_claim),
                   PLR_OK);
  assert_int_equal(after_claim.paid, 1);
  assert_int_equal(after_claim.payable, b.payable - 1);
  assert_int_equal(plr_ledger_balance(k.ledger, &nobody, &k.model, &b), PLR_OK);
  assert_true(b.shares == 0 && b.payable == 0);
  assert_int_equal(plr_ledger_balance(k.ledger, &k.account[0], &nobody, &b), PLR_ERR_NOT_FOUND);
  assert_int_equal(plr_ledger_holders(k.ledger, &nobody, NULL, all, PEOPLE, &count),
                   PLR_ERR_NOT_FOUND);
  assert_int_equal(plr_ledger_next_nonce(k.ledger, &nobody), 1);
  /* Structs of an older and of a newer host. */
  uint8_t wide[sizeof(plr_ledger_summary) + 16];
  memset(wide, 0xee, sizeof wide);
  uint32_t size = sizeof wide;
  memcpy(wide, &size, 4);
  assert_int_equal(plr_ledger_summarize(k.ledger, (void *)wide), PLR_OK);
  assert_int_equal(wide[sizeof wide - 1], 0);
  memset(wide, 0xee, sizeof wide);
  size = 16;
  memcpy(wide, &size, 4);
  assert_int_equal(plr_ledger_summarize(k.ledger, (void *)wide), PLR_OK);
  assert_int_equal(wide[16], 0xee);
  assert_int_equal(wide[8], (uint8_t)kit_summary(k.ledger).entries);
  kit_done(&k);
}

static void options(void **state) {
  (void)state;
  kit k;
  plr_ledger *l;
  kit_init(&k, 1);
  plr_ledger_options good = kit_options(&k, NULL), o;
  plr_status arg = PLR_ERR_INVALID_ARGUMENT;
  plr_error err;
#define BAD(change)                                                                                \
  do {                                                                                             \
    o = good;                                                                                      \
    change;                                                                                        \
    plr_error_init(&err, sizeof err);                                                              \
    assert_int_equal(plr_ledger_open(k.ctx, &o, &l, &err), arg);                                   \
    assert_null(l);                                                                                \
    assert_true(err.message[0] && err.where[0]);                                                   \
  } while (0)
  BAD(o.origin = NULL);
  BAD(o.origin = "");
  BAD(o.origin = "with space");
  BAD(o.origin = "a+b");
  BAD(o.sequencer = NULL);
  BAD(o.path = "");
  BAD(o.currency = "");
  BAD(o.currency = NULL);
  BAD(o.currency = "12345678901234567");
  BAD(o.decimals = 19);
  BAD(o.receipt_window = 0);
  BAD(o.receipt_window = 1025);
  BAD(o.struct_size = 0);
  char long_origin[130];
  memset(long_origin, 'a', 129);
  long_origin[129] = 0;
  BAD(o.origin = long_origin);
  long_origin[128] = 0;
  o = good;
  o.origin = long_origin;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &l, NULL), PLR_OK);
  assert_int_equal(plr_ledger_append(l, NULL, 4, NULL, NULL), arg);
  assert_int_equal(plr_ledger_append(l, NULL, 0, NULL, NULL), PLR_ERR_TRUNCATED);
  assert_int_equal(plr_ledger_append(NULL, "x", 1, NULL, NULL), arg);
  assert_int_equal(kit_summary(l).entries, 1);
  plr_ledger_destroy(l);
  plr_ledger_destroy(NULL);
  assert_int_equal(plr_ledger_open(NULL, &good, &l, NULL), arg);
  assert_int_equal(plr_ledger_open(k.ctx, NULL, &l, NULL), arg);
  kit_done(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(at_the_door), cmocka_unit_test(in_the_log), cmocka_unit_test(window),
      cmocka_unit_test(treasurer),   cmocka_unit_test(batches),    cmocka_unit_test(queries),
      cmocka_unit_test(options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
