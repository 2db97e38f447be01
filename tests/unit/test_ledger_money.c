/* Mint, vesting and revenue: every amount is accounted for, however work and money are cut up. */
#include "ledger_kit.h"

static uint64_t seed;

static uint64_t draw(uint64_t range) { /* splitmix64 */
  uint64_t z = (seed += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return range ? (z ^ (z >> 31)) % range : z ^ (z >> 31);
}

/* ---- the curve ---------------------------------------------------------------------------------- */

static void curve(void **state) {
  (void)state;
  /* By hand: 100 units a halving, 8/4 shares a unit: 200, then 100, 50, 25 (rates 8, 4, 2, 1), then no more. */
  const uint64_t at[][2] = {{0, 0},     {1, 2},     {99, 198},      {100, 200}, {101, 201},
                            {150, 250}, {200, 300}, {202, 301},     {300, 350}, {304, 351},
                            {400, 375}, {401, 375}, {1u << 30, 375}};
  for (size_t i = 0; i < PLR_COUNT_OF(at); i++)
    assert_int_equal(plr__mint_total(100, 8, 4, at[i][0]), at[i][1]);
  assert_int_equal(plr__mint_total(100, 8, 3, 1), 2); /* floor(8/3) */
  assert_int_equal(plr__mint_total(100, 8, 3, 3), 8);
  plr__u128 big = (plr__u128)1 << 90;
  assert_int_equal(plr__mint_total(big, 1u << 20, 1u << 30, 1u << 20), 1u << 10);
  assert_true(plr__mint_valid(big, 1u << 20, (uint64_t)1 << 63));
  assert_true(!plr__mint_valid(big, UINT64_MAX, UINT64_MAX)); /* the product leaves 127 bits */
  assert_true(!plr__mint_valid(big, 1u << 20, 1));            /* 2^63 shares or more */
  assert_true(plr__mint_valid(1, ((uint64_t)1 << 62) - 1, 1));
  assert_true(!plr__mint_valid(1, ((uint64_t)1 << 62) + 1, 1));
  assert_true(!plr__mint_valid(0, 1, 1) && !plr__mint_valid(1, 0, 1) && !plr__mint_valid(1, 1, 0));
}

/* However work is cut, the mints add up to the same, never shrink, and match a slow sum unit by unit. */
static void curve_telescopes(void **state) {
  (void)state;
  for (int round = 0; round < 300; round++) {
    plr__u128 halving = 1 + draw(5000), work = 0, slow = 0;
    uint64_t rate = 1 + draw(1000), divisor = 1 + draw(300), sum = 0;
    while (work < 12 * halving && work < 30000) {
      plr__u128 w = 1 + draw(700);
      uint64_t before = plr__mint_total(halving, rate, divisor, work);
      uint64_t after = plr__mint_total(halving, rate, divisor, work + w);
      assert_true(after >= before);
      sum += after - before;
      for (plr__u128 u = work; u < work + w; u++)
        slow += u / halving < 64 ? rate >> (int)(u / halving) : 0;
      work += w;
      assert_int_equal(sum, (uint64_t)(slow / divisor));
    }
  }
}

/* ---- the split ---------------------------------------------------------------------------------- */

static void check_split(plr__split_part *parts, size_t n, uint64_t pool, plr__u128 units) {
  plr__split_shares(parts, n, pool, units);
  uint64_t sum = 0;
  for (size_t i = 0; i < n; i++) {
    sum += parts[i].share;
    /* share is the quotient, or one more: share * units and pool * part differ by less than units. Wrapping
     * arithmetic modulo 2^128 is enough, as the difference is small. */
    plr__u128 got = parts[i].share * units, ideal = pool * parts[i].units, off = got - ideal;
    assert_true(off < units || -off < units);
    if (i == 0) continue;
    /* In order of remainder, ties by account; those rounded up come first. */
    const plr__split_part *a = &parts[i - 1], *b = &parts[i];
    assert_true(a->rest > b->rest ||
                (a->rest == b->rest && memcmp(a->account, b->account, 32) < 0));
    int up_a = a->share * units + a->rest - units == pool * a->units;
    int up_b = b->share * units + b->rest - units == pool * b->units;
    assert_true(up_a >= up_b);
  }
  assert_int_equal(sum, pool);
}

static void split(void **state) {
  (void)state;
  plr__split_part parts[40];
  for (int round = 0; round < 3000; round++) {
    size_t n = 1 + draw(40);
    int wide = draw(2) ? 60 : 0; /* units beyond 64 bits */
    plr__u128 units = 0;
    for (size_t i = 0; i < n; i++) {
      memset(&parts[i], 0, sizeof parts[i]);
      plr__store_be64(parts[i].account, draw(0));
      parts[i].units = (plr__u128)(1 + draw(round % 3 ? 10 : ((uint64_t)1 << 58))) << wide;
      units += parts[i].units;
    }
    check_split(parts, n, draw(4) ? draw(1000) : draw((uint64_t)1 << 63), units);
  }
  /* Three equal workers, ten shares: the lowest account gets the odd one. */
  memset(parts, 0, sizeof parts);
  for (uint8_t i = 0; i < 3; i++) parts[i].account[0] = (uint8_t)(9 - i), parts[i].units = 5;
  plr__split_shares(parts, 3, 10, 15);
  for (int i = 0; i < 3; i++) assert_int_equal(parts[i].share, parts[i].account[0] == 7 ? 4 : 3);
}

/* ---- vesting ------------------------------------------------------------------------------------ */

static void vesting(void **state) {
  (void)state;
  static plr__holding h;
  plr_model_register terms = {.vest_epochs = 4, .vest_cliff = 2},
                     longest = {.vest_epochs = PLR__MAX_VEST};
  plr_model_register at_once = {.vest_epochs = 0};
  memset(&h, 0, sizeof h);
  plr__vest_add(&h, 1, 10, &terms);
  plr__vest_add(&h, 1, 1, &terms); /* the same epoch: designer and worker in one */
  assert_int_equal(h.tranche_count, 1);
  const uint64_t want[] = {0, 0,  0,  5,
                           8, 11, 11, 11}; /* floor(11 * age / 4), nothing before age 2 */
  for (uint64_t e = 0; e < 8; e++) assert_int_equal(plr__vested(&h, e, &terms), want[e]);
  plr__vest_sweep(&h, 3, &terms); /* what is vested matures, and later as much less */
  assert_int_equal(h.matured, 5);
  for (uint64_t e = 3; e < 8; e++) assert_int_equal(plr__vested(&h, e, &terms), want[e]);
  plr__vest_add(&h, 5, 100, &terms); /* sweeps the first */
  assert_int_equal(h.tranche_count, 1);
  assert_int_equal(h.matured, 11);
  assert_int_equal(plr__vested(&h, 8, &terms), 11 + 75);
  assert_int_equal(h.shares, 111);
  plr__vest_add(&h, 9, 0, &terms);
  assert_int_equal(h.tranche_count, 1);
  plr__vest_add(&h, 9, 7, &at_once); /* at once */
  assert_int_equal(plr__vested(&h, 9, &at_once), 118);
  /* Minting for ever keeps a bounded number of tranches, and all shares accounted for. */
  memset(&h, 0, sizeof h);
  for (uint64_t e = 1; e < 3000; e++) {
    plr__vest_add(&h, e, e, &longest);
    assert_true(h.tranche_count <= PLR__MAX_VEST);
    uint64_t sum = h.matured;
    for (uint32_t i = 0; i < h.tranche_count; i++)
      sum += h.tranches[i].shares - h.tranches[i].vested;
    assert_int_equal(sum, h.shares);
  }
}

/* Slashing takes the youngest unvested shares, and leaves the rest to vest as before, only not as long. */
static void slashing(void **state) {
  (void)state;
  static plr__holding h;
  plr_model_register terms = {.vest_epochs = 4};
  memset(&h, 0, sizeof h);
  plr__vest_add(&h, 0, 40, &terms);
  plr__vest_add(&h, 2, 40, &terms); /* 20 of the first are vested */
  assert_int_equal(h.matured, 20);
  assert_int_equal(plr__vest_slash(&h, 5000), 30); /* half of the 60 that are not */
  assert_int_equal(h.shares, 50);
  assert_int_equal(h.tranches[1].slashed, 30);
  assert_int_equal(plr__vested(&h, 3, &terms), 20 + 10 + 10);
  assert_int_equal(plr__vested(&h, 4, &terms), 20 + 20 + 10); /* the end is cut off */
  assert_int_equal(plr__vested(&h, 9, &terms), 50);
  assert_int_equal(plr__vest_slash(&h, 10000), 30); /* all: 10 of the second, 20 of the first */
  assert_int_equal(plr__vested(&h, 9, &terms), 20);
  plr__vest_sweep(&h, 9, &terms);
  assert_int_equal(h.tranche_count, 0);
  assert_true(h.matured == 20 && h.shares == 20);
}

/* ---- revenue ------------------------------------------------------------------------------------ */

static const plr_model_register plain; /* no parents, nothing for serving */

static void deposit(plr__totals *t, uint64_t amount) {
  t->deposited += amount;
  plr__revenue_income(&plain, t, amount);
}

/* The same money in one deposit or in many gives the same to each holder, to less than one unit. */
static void deposits_in_parts(void **state) {
  (void)state;
  for (int round = 0; round < 200; round++) {
    static plr__holding h[2][5];
    plr__totals t[2];
    memset(h, 0, sizeof h);
    memset(t, 0, sizeof t);
    for (int i = 0; i < 5; i++) {
      h[0][i].shares = h[1][i].shares = 1 + draw(1000);
      t[0].minted += h[0][i].shares;
    }
    t[1].minted = t[0].minted;
    uint64_t total = 0;
    for (int n = 0; n < 200; n++) {
      uint64_t part = 1 + draw(20);
      total += part;
      deposit(&t[1], part);
      if (draw(3) == 0) plr__revenue_settle(&t[1], &h[1][draw(5)]);
      assert_int_equal(plr__revenue_check(&plain, &t[1], NULL), PLR_OK);
    }
    deposit(&t[0], total);
    uint64_t sum = 0;
    for (int i = 0; i < 5; i++) {
      uint64_t one = plr__revenue_payable(&t[0], &h[0][i]),
               many = plr__revenue_payable(&t[1], &h[1][i]);
      assert_true(one - many + 1 <=
                  2); /* one and many differ by at most the rounding of a fraction */
      plr__u128 ideal = (plr__u128)total * h[0][i].shares;
      assert_true((plr__u128)one * t[0].minted <= ideal &&
                  ideal < (plr__u128)(one + 2) * t[0].minted);
      plr__revenue_settle(&t[0], &h[0][i]);
      assert_int_equal(h[0][i].credited, one);
      sum += one;
    }
    assert_true(sum <= total && total - sum <= 5);
    assert_int_equal(plr__revenue_check(&plain, &t[0], NULL), PLR_OK);
  }
}

/* The largest deposit on the smallest and on the largest supply: no product overflows. */
static void extremes(void **state) {
  (void)state;
  const uint64_t supplies[] = {1, 2, 3, PLR__MAX_AMOUNT - 1, PLR__MAX_AMOUNT};
  for (size_t i = 0; i < PLR_COUNT_OF(supplies); i++) {
    static plr__holding h;
    plr__totals t = {.minted = supplies[i]};
    memset(&h, 0, sizeof h);
    h.shares = supplies[i];
    deposit(&t, PLR__MAX_AMOUNT - 1);
    deposit(&t, 1);
    assert_int_equal(plr__revenue_check(&plain, &t, NULL), PLR_OK);
    plr__revenue_settle(&t, &h);
    assert_int_equal(plr__revenue_check(&plain, &t, NULL), PLR_OK);
    assert_true(h.credited >=
                PLR__MAX_AMOUNT - 1); /* all but what a remainder of less than one unit hides */
  }
  plr__totals t = {.deposited = 5, .gross = 5, .credited = 5};
  assert_int_equal(plr__revenue_check(&plain, &t, NULL), PLR_OK);
  t.fractions = 1; /* any term off by the smallest part */
  assert_int_equal(plr__revenue_check(&plain, &t, NULL), PLR_ERR_CONSERVATION);
  t.fractions = 0, t.paid = 6;
  assert_int_equal(plr__revenue_check(&plain, &t, NULL), PLR_ERR_CONSERVATION);
}

/* ---- the whole state under random entries ------------------------------------------------------- */

#define ACCOUNTS 12
#define MODELS   4

typedef struct world {
  kit k;
  plr__state s;
  uint8_t account[ACCOUNTS][32];
  uint64_t nonce[ACCOUNTS], epoch, step;
  plr_hash model[MODELS];
  uint8_t costs[8 * BLOCKS];
  uint64_t deposited, claimed;
} world;

/* An entry as the decoder would give it; signatures are believed here. */
static plr_entry entry_of(world *w, uint32_t type, int who) {
  plr_entry e;
  memset(&e, 0, sizeof e);
  e.type = type;
  e.signature_count = 1;
  e.valid_to_epoch = PLR_NO_EXPIRY;
  e.nonce = w->nonce[who] + 1;
  memcpy(e.author, w->account[who], 32);
  memcpy(e.signatures[0].account, e.author, 32);
  return e;
}

/* Applies, and checks every identity after it, the full sums included. */
static plr_status apply(world *w, plr_entry *e, int who) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr__state_apply(&w->s, e, NULL, &err);
  plr__map_commit(&w->s.map);
  if (e->type != PLR_ENTRY_RECEIPT && (st == PLR_OK || plr__is_refusal(st))) w->nonce[who]++;
  plr_status audit = plr__state_audit(&w->s, &err);
  if (audit != PLR_OK) fail_msg("%s", err.message);
  return st;
}

static void put_genesis(world *w) {
  plr_genesis g = {.origin = ORIGIN, .currency = "XTS", .receipt_window = 2};
  plr_buffer b;
  plr_entry e;
  plr_identity_public_key(w->k.people[0], g.sequencer_key);
  plr__buffer_init(&b, w->k.ctx);
  plr__genesis_encode(&b, &g);
  plr__entry_finish(&b, w->k.people[0], ORIGIN);
  assert_int_equal(plr__entry_decode(b.data, b.len, &e, NULL), PLR_OK);
  memcpy(w->account[0], e.author, 32);
  assert_int_equal(apply(w, &e, 0), PLR_OK);
  plr__buffer_release(&b);
}

static void put_model(world *w, int i) {
  static const uint32_t bps[MODELS][2] = {{0, 0}, {1500, 500}, {3333, 6667}, {10000, 0}};
  plr_model_terms t = kit_terms(&w->k);
  plr_sha256(&i, sizeof i, &w->model[i]);
  t.model = w->model[i];
  t.designer_bps = bps[i][0];
  t.data_bps = bps[i][1];
  memcpy(t.data_account, w->account[2], bps[i][1] ? 32 : 0);
  if (!bps[i][1]) memset(t.data_account, 0, 32);
  t.vest_epochs = (uint32_t)i;
  t.vest_cliff = 0;
  t.rate = i == 2 ? 8 : 1u << 20; /* the third mints a handful of shares in all */
  t.rate_divisor = i == 2 ? 30000000 : 1000;
  uint8_t bytes[PLR_ENTRY_MAX];
  size_t len;
  plr_entry_options o = kit_author(&w->k, DESIGNER);
  o.nonce = w->nonce[1] + 1;
  assert_int_equal(plr_entry_model_register(w->k.ctx, &o, &t, bytes, sizeof bytes, &len, NULL),
                   PLR_OK);
  plr_entry e;
  assert_int_equal(plr__entry_decode(bytes, len, &e, NULL), PLR_OK);
  memcpy(e.author, w->account[1], 32);
  memcpy(e.signatures[0].account, e.author, 32);
  assert_int_equal(apply(w, &e, 1), PLR_OK);
}

static void world_init(world *w) {
  memset(w, 0, sizeof *w);
  kit_init(&w->k, 1);
  plr__state_init(&w->s, w->k.ctx);
  w->s.trust_signatures = 1;
  put_genesis(w);
  for (int i = 1; i < ACCOUNTS; i++) {
    plr_entry e = entry_of(w, PLR_ENTRY_ACCOUNT_OPEN, i);
    plr_hash id;
    memset(e.as.account.key, i, 32);
    plr_account_id(e.as.account.key, &id);
    memcpy(w->account[i], id.bytes, 32);
    memcpy(e.author, id.bytes, 32);
    assert_int_equal(apply(w, &e, i), PLR_OK);
  }
  for (int i = 0; i < MODELS; i++) put_model(w, i);
}

static void do_receipt(world *w) {
  plr_entry e = entry_of(w, PLR_ENTRY_RECEIPT, (int)(1 + draw(ACCOUNTS - 3)));
  plr_receipt r = kit_receipt(&w->k, w->epoch, w->step++, 0, (uint32_t)draw(BLOCKS));
  r.model = w->model[draw(MODELS)];
  if (draw(4) == 0 && r.epoch) r.epoch--;
  r.tokens = (uint32_t)(1 + draw(2 * MB_TOKENS));
  r.units = kit_costs[r.block_first] * r.tokens;
  memcpy(r.worker, e.author, 32);
  memcpy(r.upstream, w->account[ACCOUNTS - 1], 32);
  memcpy(r.downstream, w->account[ACCOUNTS - 2], 32);
  e.signature_count = 3;
  memcpy(e.signatures[1].account, r.upstream, 32);
  memcpy(e.signatures[2].account, r.downstream, 32);
  e.as.receipt = r;
  assert_int_equal(apply(w, &e, 0), PLR_OK);
  assert_int_equal(apply(w, &e, 0), PLR_ERR_EXISTS);
}

static void do_deposit(world *w) {
  int who = (int)draw(ACCOUNTS);
  plr_entry e = entry_of(w, PLR_ENTRY_REVENUE_DEPOSIT, who);
  e.as.money.model = w->model[draw(MODELS)];
  e.as.money.amount = draw(5) ? 1 + draw(1000) : 1 + draw((uint64_t)1 << 50);
  assert_int_equal(apply(w, &e, who), PLR_OK);
  w->deposited += e.as.money.amount;
}

static void do_claim(world *w) {
  int who = (int)draw(ACCOUNTS);
  plr_entry e = entry_of(w, PLR_ENTRY_CLAIM, who);
  e.as.money.model = w->model[draw(MODELS)];
  plr__totals t;
  static plr__holding h;
  uint64_t payable = 0;
  if (plr__get_holding(&w->s, e.as.money.model.bytes, w->account[who], &h) == PLR_OK) {
    assert_int_equal(plr__get_totals(&w->s, e.as.money.model.bytes, &t), PLR_OK);
    payable = plr__revenue_payable(&t, &h);
  }
  e.as.money.amount = draw(3) ? draw(payable + 1) : payable + draw(2);
  plr_status st = apply(w, &e, who);
  uint64_t want = e.as.money.amount ? e.as.money.amount : payable;
  if (st == PLR_OK) {
    assert_true(want > 0 && want <= payable);
    w->claimed += want;
    /* A second claim of the same money: there is only what is left. */
    plr_entry again = entry_of(w, PLR_ENTRY_CLAIM, who);
    again.as.money = e.as.money;
    again.as.money.amount = payable - want + 1;
    assert_int_equal(apply(w, &again, who), PLR_ERR_LIMIT);
  } else {
    assert_true(payable == 0 || want > payable);
  }
}

static void do_close(world *w) {
  plr_entry e = entry_of(w, PLR_ENTRY_EPOCH_CLOSE, 0);
  plr_hash before, after;
  plr__map_root(&w->s.map, &before);
  assert_int_equal(plr__close_preview(&w->s, &e.as.close, NULL), PLR_OK);
  plr__map_root(&w->s.map, &after);
  assert_memory_equal(&before, &after, 32);
  assert_int_equal(apply(w, &e, 0), PLR_OK);
  assert_memory_equal(&w->s.state_root, &e.as.close.state_root, 32);
  w->epoch++;
}

static void random_history(void **state) {
  (void)state;
  static world w;
  plr__globals g;
  world_init(&w);
  for (int i = 0; i < 6000; i++) {
    uint64_t what = draw(100);
    if (what < 55)
      do_receipt(&w);
    else if (what < 70)
      do_deposit(&w);
    else if (what < 92)
      do_claim(&w);
    else
      do_close(&w);
  }
  assert_int_equal(plr__get_globals(&w.s, &g), PLR_OK);
  assert_int_equal(g.deposited, w.deposited);
  assert_int_equal(g.paid, w.claimed);
  assert_true(g.paid > 0 && g.epoch > 300 && g.minted > 100000);
  /* Nothing but dust stays behind: everybody claims, and what is left is under one unit a holder. */
  for (int m = 0; m < MODELS; m++)
    for (int a = 0; a < ACCOUNTS; a++) {
      plr_entry e = entry_of(&w, PLR_ENTRY_CLAIM, a);
      e.as.money.model = w.model[m];
      apply(&w, &e, a);
    }
  assert_int_equal(plr__get_globals(&w.s, &g), PLR_OK);
  uint64_t held = 0, holders = 0;
  for (int m = 0; m < MODELS; m++) {
    plr__totals t;
    assert_int_equal(plr__get_totals(&w.s, w.model[m].bytes, &t), PLR_OK);
    held += t.held;
    holders += t.holders;
  }
  assert_true(g.deposited - g.paid - held <= holders + MODELS);
  plr__state_release(&w.s);
  kit_done(&w.k);
}

/* Total of all deposits stays below 2^63, and the last unit below it is accepted. */
static void deposit_bound(void **state) {
  (void)state;
  static world w;
  world_init(&w);
  plr_entry e = entry_of(&w, PLR_ENTRY_REVENUE_DEPOSIT, 3);
  e.as.money.model = w.model[0];
  e.as.money.amount = PLR__MAX_AMOUNT - 10;
  assert_int_equal(apply(&w, &e, 3), PLR_OK);
  for (uint64_t amount = 11; amount >= 10; amount--) {
    e = entry_of(&w, PLR_ENTRY_REVENUE_DEPOSIT, 3);
    e.as.money.model = w.model[1]; /* the bound is on the ledger, not on a model */
    e.as.money.amount = amount;
    assert_int_equal(apply(&w, &e, 3), amount == 11 ? PLR_ERR_LIMIT : PLR_OK);
  }
  plr__state_release(&w.s);
  kit_done(&w.k);
}

/* The same receipts in one epoch, or each in an epoch of its own: the same shares in all, the same for designer and
 * data provider, and for a worker to less than one share an epoch. */
static void epochs_do_not_matter(void **state) {
  (void)state;
  static world w[2];
  plr__totals t[2];
  for (int v = 0; v < 2; v++) {
    world_init(&w[v]);
    seed = 77;
    for (int i = 0; i < 40; i++) {
      do_receipt(&w[v]);
      if (v == 1) do_close(&w[v]);
    }
    if (v == 0) do_close(&w[v]);
    assert_int_equal(plr__get_totals(&w[v].s, w[v].model[1].bytes, &t[v]), PLR_OK);
  }
  assert_true(t[0].work == t[1].work && t[0].work > 0);
  assert_int_equal(t[0].minted, t[1].minted);
  assert_int_equal(t[0].designer_minted, t[1].designer_minted);
  assert_int_equal(t[0].data_minted, t[1].data_minted);
  for (int v = 0; v < 2; v++) {
    plr__state_release(&w[v].s);
    kit_done(&w[v].k);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(curve),         cmocka_unit_test(curve_telescopes),
      cmocka_unit_test(split),         cmocka_unit_test(vesting),
      cmocka_unit_test(slashing),      cmocka_unit_test(deposits_in_parts),
      cmocka_unit_test(extremes),      cmocka_unit_test(random_history),
      cmocka_unit_test(deposit_bound), cmocka_unit_test(epochs_do_not_matter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
