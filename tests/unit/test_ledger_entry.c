/* Entry encoding: one form for one meaning, and nothing else is read. */
#include "ledger_kit.h"

static plr_status decode(const void *data, size_t len, plr_entry *e) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  void *copy = malloc(len ? len : 1); /* so that a sanitizer sees reads past the end */
  memcpy(copy, data, len);
  plr_status st = plr__entry_decode(copy, len, e, &err);
  if (st != PLR_OK) assert_true(err.where[0] && err.message[0]);
  if (st != PLR_OK)
    assert_true(st == PLR_ERR_MALFORMED || st == PLR_ERR_TRUNCATED || st == PLR_ERR_VERSION);
  free(copy);
  return st;
}

/* What each type looks like, byte for byte: a change of these hashes is a change of the format. Made with this
 * test; the layout behind them is checked against FORMAT.md by decoding. */
static void golden(kit *k, const char *hex) {
  plr_hash h;
  char text[65];
  plr_sha256(k->entry, k->len, &h);
  plr__hex_encode(h.bytes, 32, text);
  assert_string_equal(text, hex);
}

static void round_trips(void **state) {
  (void)state;
  kit k;
  plr_entry e;
  kit_init(&k, 1);

  plr_genesis g = {.origin = ORIGIN, .currency = "EUR", .decimals = 2, .receipt_window = 3};
  plr_identity_public_key(k.people[SEQUENCER], g.sequencer_key);
  memset(g.treasurer, 7, 32);
  plr_buffer b;
  plr__buffer_init(&b, k.ctx);
  assert_int_equal(plr__genesis_encode(&b, &g), PLR_OK);
  assert_int_equal(plr__entry_finish(&b, k.people[SEQUENCER], ORIGIN), PLR_OK);
  memcpy(k.entry, b.data, k.len = b.len);
  assert_int_equal(plr__entry_decode(k.entry, k.len, &e, NULL), PLR_OK);
  assert_int_equal(e.type, PLR_ENTRY_GENESIS);
  assert_memory_equal(&e.as.genesis, &g, sizeof g);
  golden(&k, "783f2cfbf4fef75a4536fb29cba628cead1d3d5ff839f1a8837c1034159f5e4d");

  kit_account(&k, WORKER0);
  assert_int_equal(plr__entry_decode(k.entry, k.len, &e, NULL), PLR_OK);
  assert_int_equal(e.type, PLR_ENTRY_ACCOUNT_OPEN);
  assert_int_equal(e.nonce, 1);
  assert_true(e.valid_to_epoch == PLR_NO_EXPIRY);
  assert_memory_equal(e.author, k.account[WORKER0].bytes, 32);
  golden(&k, "d6ee21691ac230ce9c0265f4f91a8802b25aad31f86332526f36ef8d5f3d411d");

  plr_model_terms t = kit_terms(&k);
  kit_model(&k, &t);
  assert_int_equal(plr__entry_decode(k.entry, k.len, &e, NULL), PLR_OK);
  assert_int_equal(e.as.model.block_count, BLOCKS);
  assert_int_equal(plr__load_be64(e.as.model.costs + 24), 900);
  assert_int_equal(e.as.model.vest_epochs, 4);
  assert_true(e.as.model.halving == 50000000);
  golden(&k, "56d768782658a3fed8c360df4eac6ecbd126b02d59b3a488e87ab6fc49601fa5");

  plr_receipt r = kit_receipt(&k, 5, 77, 4, 2), got;
  r.weight_step = 70;
  kit_sign_receipt(&k, &r, WORKER0 + 2, WORKER0 + 1, WORKER0 + 3);
  assert_int_equal(plr__entry_decode(k.entry, k.len, &e, NULL), PLR_OK);
  assert_memory_equal(&e.as.receipt, &r, sizeof r);
  assert_int_equal(e.signature_count, 3);
  assert_int_equal(plr__receipt_decode(k.entry, e.signed_len, &got, NULL), PLR_OK);
  assert_memory_equal(&got, &r, sizeof r);
  assert_int_equal(plr__receipt_decode(k.entry, k.len, &got, NULL), PLR_ERR_MALFORMED);
  golden(&k, "b63e6e260bf9e2292a032fc17e6f61558fa33290baae0c4afe4844e03fdc1797");

  plr_epoch_close c = {
      .epoch = 9, .receipts = 3, .units = 1, .minted = 2, .deposited = 4, .paid = 5};
  c.units <<= 100;
  plr__buffer_clear(&b);
  assert_int_equal(plr__epoch_close_encode(&b, k.account[0].bytes, 12, &c), PLR_OK);
  assert_int_equal(plr__entry_finish(&b, k.people[0], ORIGIN), PLR_OK);
  memcpy(k.entry, b.data, k.len = b.len);
  assert_int_equal(plr__entry_decode(k.entry, k.len, &e, NULL), PLR_OK);
  assert_true(e.as.close.units == c.units && e.as.close.minted == 2 && e.as.close.paid == 5);
  golden(&k, "8077ca7d857020ed3446c44a33be9365da65635592f8a183d41cd6516eeef482");

  kit_deposit(&k, 123456);
  assert_int_equal(plr__entry_decode(k.entry, k.len, &e, NULL), PLR_OK);
  assert_int_equal(e.as.money.amount, 123456);
  golden(&k, "b22bcf83fced07f39b96903e9f1e73fdc0a3567e448fe2036658e5d375f73957");
  kit_claim(&k, WORKER0, 0);
  assert_int_equal(plr__entry_decode(k.entry, k.len, &e, NULL), PLR_OK);
  assert_int_equal(e.type, PLR_ENTRY_CLAIM);
  golden(&k, "259de3c51842f5ff3321faae22090f606527a4ae350366296ce31904ed217470");
  plr__buffer_release(&b);
  kit_done(&k);
}

/* No prefix of an entry is an entry, and no continuation is. */
static void exact_length(void **state) {
  (void)state;
  kit k;
  plr_entry e;
  kit_init(&k, 1);
  for (int kind = 0; kind < 4; kind++) {
    plr_model_terms t = kit_terms(&k);
    if (kind == 0) kit_account(&k, WORKER0);
    if (kind == 1) kit_model(&k, &t);
    if (kind == 2) kit_work(&k, 0, 0, 0, 1);
    if (kind == 3) kit_deposit(&k, 1);
    assert_int_equal(decode(k.entry, k.len, &e), PLR_OK);
    for (size_t len = 0; len < k.len; len++) assert_int_not_equal(decode(k.entry, len, &e), PLR_OK);
    k.entry[k.len] = 0;
    assert_int_equal(decode(k.entry, k.len + 1, &e), PLR_ERR_MALFORMED);
  }
  uint8_t *big = calloc(1, 65536 + 1);
  memcpy(big, k.entry, k.len);
  assert_int_equal(decode(big, 65536, &e), PLR_ERR_MALFORMED);
  free(big);
  kit_done(&k);
}

static size_t body_of(uint32_t field) {
  return PLR__ENTRY_HEADER + field;
}

/* Writes `value` over `width` bytes at `at` and expects the decoder to refuse; puts the old bytes back. */
static void refused(kit *k, size_t at, size_t width, uint64_t value, plr_status want) {
  plr_entry e;
  uint8_t old[8], bytes[8];
  plr__store_be64(bytes, value);
  memcpy(old, k->entry + at, width);
  memcpy(k->entry + at, bytes + 8 - width, width);
  assert_int_equal(decode(k->entry, k->len, &e), want);
  memcpy(k->entry + at, old, width);
  assert_int_equal(decode(k->entry, k->len, &e), PLR_OK);
}

static void out_of_range(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  plr_status bad = PLR_ERR_MALFORMED, version = PLR_ERR_VERSION;
  kit_work(&k, 3, 9, 4, 1);
  refused(&k, 0, 4, 0x504c4732, bad); /* magic */
  refused(&k, 4, 1, 21, version);     /* a type of later rules */
  refused(&k, 4, 1, 0, version);
  refused(&k, 5, 1, 2, version);
  refused(&k, 6, 2, 1, version);              /* flags */
  refused(&k, 40, 8, 1, bad);                 /* nonce of a receipt */
  refused(&k, 48, 8, 4, bad);                 /* valid to another epoch than its own */
  refused(&k, 56, 2, 247, PLR_ERR_TRUNCATED); /* body length */
  refused(&k, 56, 2, 60000, PLR_ERR_TRUNCATED);
  refused(&k, body_of(84), 4, 0, bad);          /* mb_count */
  refused(&k, body_of(80), 4, UINT32_MAX, bad); /* mb_first + mb_count */
  refused(&k, body_of(88), 4, 2, bad);          /* block_first >= block_end */
  refused(&k, body_of(92), 4, 4097, bad);
  refused(&k, body_of(100), 4, 0, bad);  /* tokens */
  refused(&k, body_of(104), 8, 0, bad);  /* units */
  refused(&k, body_of(176), 8, 10, bad); /* weight_step > step */
  size_t up = body_of(184), sigs = body_of(248);
  uint8_t saved[PLR_ENTRY_MAX];
  memcpy(saved, k.entry, k.len);
  memcpy(k.entry + up, k.account[WORKER0 + 1].bytes, 32); /* its own neighbour */
  plr_entry e;
  assert_int_equal(decode(k.entry, k.len, &e), bad);
  memcpy(k.entry, saved, k.len);
  refused(&k, sigs, 1, 0, bad); /* signature count */
  refused(&k, sigs, 1, 2, bad);
  refused(&k, sigs, 1, 9, bad);
  refused(&k, sigs + 1, 1, 1, bad);     /* role: two of one, none of the other */
  refused(&k, sigs + 2, 1, 2, version); /* algorithm */
  refused(&k, sigs + 3, 1, 0xff, bad);  /* another account than the body's */
  refused(&k, sigs + 35, 2, 63, bad);
  /* Signatures out of order: swap the second and the third. */
  memcpy(k.entry + sigs + 1 + 100, saved + sigs + 1 + 200, 100);
  memcpy(k.entry + sigs + 1 + 200, saved + sigs + 1 + 100, 100);
  assert_int_equal(decode(k.entry, k.len, &e), bad);

  plr_model_terms t = kit_terms(&k);
  kit_model(&k, &t);
  refused(&k, body_of(64), 2, 9999, bad);        /* bps together over 10000 */
  refused(&k, body_of(66), 2, 0, bad);           /* an account without bps */
  refused(&k, body_of(100), 8, UINT64_MAX, bad); /* halving: mints 2^63 shares or more */
  refused(&k, body_of(100), 8, 1, bad);
  refused(&k, body_of(108), 8, 0, bad);
  refused(&k, body_of(116), 8, 0, bad);    /* rate */
  refused(&k, body_of(124), 8, 0, bad);    /* divisor */
  refused(&k, body_of(132), 4, 1025, bad); /* vest_epochs */
  refused(&k, body_of(136), 4, 5, bad);    /* cliff after the end */
  refused(&k, body_of(140), 4, 0, bad);
  refused(&k, body_of(144), 2, 10001, bad); /* serving_bps */
  refused(&k, body_of(146), 4, 1025, bad);  /* milestone_epochs */
  refused(&k, body_of(150), 1, 5, bad);     /* parents */
  refused(&k, body_of(151), 4, 0, bad);     /* no blocks */
  refused(&k, body_of(151), 4, 3, bad);     /* costs left over */
  refused(&k, body_of(151), 4, 5, PLR_ERR_TRUNCATED);
  refused(&k, body_of(151), 4, UINT32_MAX, bad);
  refused(&k, body_of(155), 8, 0, bad); /* a block that costs nothing */
  kit_deposit(&k, 1);
  refused(&k, body_of(32), 8, 0, bad);
  refused(&k, body_of(32), 8, (uint64_t)1 << 63, bad);
  kit_account(&k, WORKER0);
  refused(&k, body_of(0), 1, 2, version); /* key algorithm */
  kit_done(&k);
}

/* What decodes is canonical: a receipt built again from its fields is the same bytes, whatever was flipped. */
static void canonical(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  kit_work(&k, 3, 9, 4, 1);
  plr_buffer b;
  plr__buffer_init(&b, k.ctx);
  uint32_t read = 0;
  for (size_t i = 0; i < k.len; i++)
    for (int bit = 0; bit < 8; bit++) {
      plr_entry e;
      k.entry[i] ^= (uint8_t)(1 << bit);
      if (plr__entry_decode(k.entry, k.len, &e, NULL) == PLR_OK) {
        read++;
        plr__buffer_clear(&b);
        assert_int_equal(plr__receipt_encode(&b, &e.as.receipt), PLR_OK);
        assert_int_equal(plr__entry_attach_signatures(&b, e.signatures, e.signature_count), PLR_OK);
        assert_int_equal(b.len, k.len);
        assert_memory_equal(b.data, k.entry, k.len);
      }
      k.entry[i] ^= (uint8_t)(1 << bit);
    }
  assert_true(read > 1000); /* hashes, ids of no meaning to the decoder, and signatures */
  plr__buffer_release(&b);
  kit_done(&k);
}

static void attach(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  plr_buffer b;
  plr_entry_signature s[PLR__MAX_SIGNATURES + 1] = {{0, {0}, {0}}};
  plr__buffer_init(&b, k.ctx);
  assert_int_equal(plr__entry_attach_signatures(&b, s, 0), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__entry_attach_signatures(&b, s, PLR__MAX_SIGNATURES + 1),
                   PLR_ERR_INVALID_ARGUMENT);
  s[1].role = 1; /* s[0] and s[2] are the same (role, account) */
  assert_int_equal(plr__entry_attach_signatures(&b, s, 3), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(b.len, 0);
  plr__buffer_release(&b);
  kit_done(&k);
}

static void builders(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_entry_options o = kit_author(&k, DESIGNER);
  plr_model_terms t = kit_terms(&k);
  size_t len = 0;
  plr_status arg = PLR_ERR_INVALID_ARGUMENT;
  assert_int_equal(plr_entry_account_open(k.ctx, &o, k.entry, 10, &len, &err),
                   PLR_ERR_BUFFER_TOO_SMALL);
  assert_int_equal(plr_entry_account_open(k.ctx, &o, k.entry, len, &len, &err), PLR_OK);
  assert_int_equal(plr_entry_account_open(k.ctx, NULL, k.entry, 10, &len, &err), arg);
  assert_int_equal(plr_entry_account_open(k.ctx, &o, NULL, 10, &len, &err), arg);
  o.origin = "two words";
  assert_int_equal(plr_entry_account_open(k.ctx, &o, k.entry, sizeof k.entry, &len, &err), arg);
  o.origin = ORIGIN;
  o.nonce = 0;
  assert_int_equal(plr_entry_account_open(k.ctx, &o, k.entry, sizeof k.entry, &len, &err), arg);
  o.nonce = 1;
  o.author = NULL;
  assert_int_equal(plr_entry_account_open(k.ctx, &o, k.entry, sizeof k.entry, &len, &err), arg);
  o.author = k.people[DESIGNER];
  plr_model_terms bad[6] = {t, t, t, t, t, t};
  bad[0].designer_bps = 10001;
  bad[1].costs = NULL;
  bad[2].block_count = 4097;
  bad[3].vest_cliff = 5;
  bad[4].rate = UINT64_MAX;
  bad[5].struct_size = 2;
  for (int i = 0; i < 6; i++) {
    plr_error_init(&err, sizeof err);
    assert_int_equal(
        plr_entry_model_register(k.ctx, &o, &bad[i], k.entry, sizeof k.entry, &len, &err), arg);
    assert_int_equal(err.status, arg);
    assert_true(err.message[0]);
  }
  assert_int_equal(
      plr_entry_revenue_deposit(k.ctx, &o, &k.model, 0, k.entry, sizeof k.entry, &len, &err), arg);
  assert_int_equal(
      plr_entry_revenue_deposit(k.ctx, &o, NULL, 1, k.entry, sizeof k.entry, &len, &err), arg);
  assert_int_equal(
      plr_entry_claim(k.ctx, &o, &k.model, UINT64_MAX, k.entry, sizeof k.entry, &len, &err), arg);
  kit_done(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(round_trips), cmocka_unit_test(exact_length), cmocka_unit_test(out_of_range),
      cmocka_unit_test(canonical),   cmocka_unit_test(attach),       cmocka_unit_test(builders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
