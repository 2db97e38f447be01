/* Random lives of a ledger: after every entry, right or wrong, the full sums of everything agree with the totals.
 *
 * PLR_HISTORY_EXPORT=FILE makes it write the life of PLR_HISTORY_ENTRIES entries (default 20,000) with seed
 * PLR_HISTORY_SEED to FILE, for other implementations to replay, and prints key and state root;
 * PLR_HISTORY_BELIEVE=1: one in which signatures are believed. PLR_TEST_FULL=1 lives longer. */
#include "ledger_history.h"

static uint64_t number(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 10) : otherwise;
}

static void audit(const history *h) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr__state_audit(&h->ledger->state, &err) != PLR_OK)
    fail_msg("seed %d, after entry %d of type %d: %s", (int)h->seed, (int)h->made, h->entry[4],
             err.message);
}

static void told(const history *h) {
  for (uint32_t t = 1; t < PLR__ENTRY_TYPES; t++)
    printf("%-18s %8d done %8d refused\n", plr__entry_types[t].name, (int)h->done[t],
           (int)h->refused[t]);
}

/* Everything happened, and was refused, too. */
static void check_variety(const history *h) {
  for (uint32_t t = 2; t < PLR__ENTRY_TYPES; t++)
    if (!h->done[t] || (!h->refused[t] && t != PLR_ENTRY_EPOCH_CLOSE)) {
      told(h);
      fail_msg("%s: %d done, %d refused", plr__entry_types[t].name, (int)h->done[t],
               (int)h->refused[t]);
    }
  const plr_status codes[] = {PLR_ERR_EXISTS,   PLR_ERR_NOT_FOUND, PLR_ERR_LIMIT,
                              PLR_ERR_MISMATCH, PLR_ERR_SEQUENCE,  PLR_ERR_PROOF,
                              PLR_ERR_MALFORMED};
  for (size_t i = 0; i < PLR_COUNT_OF(codes); i++) assert_true(h->codes[-codes[i]] > 0);
  plr__globals g;
  assert_int_equal(plr__get_globals(&h->ledger->state, &g), PLR_OK);
  assert_true(g.burned > 0 && g.minted > g.burned && g.paid > 0 && g.epoch > 20);
  uint64_t royalties = 0, served = 0;
  for (int i = 0; i < LINEAGE; i++) {
    plr__totals t;
    assert_int_equal(plr__get_totals(&h->ledger->state, h->models[i].bytes, &t), PLR_OK);
    royalties += t.royalty_in, served += t.served_paid;
  }
  assert_true(royalties > 0 && served > 0);
}

/* 10^5 operations, 50 accounts, 5 models with forks. */
static void conservation(void **state) {
  (void)state;
  static history h;
  history_init(&h, number("PLR_HISTORY_SEED", 1), 1);
  uint64_t entries = 100000;
  for (uint64_t i = 0; i < entries; i++) {
    history_step(&h);
    audit(&h);
  }
  check_variety(&h);
  history_done(&h);
}

/* A life in which nothing is believed: what a verifier replays from the export alone is what was lived. */
static void verified(void **state) {
  (void)state;
  static history h;
  kit_file f = {0};
  const char *path = getenv("PLR_HISTORY_EXPORT");
  uint64_t entries = number("PLR_HISTORY_ENTRIES", path || getenv("PLR_TEST_FULL") ? 20000 : 4000);
  uint32_t believe = number("PLR_HISTORY_BELIEVE", 0) != 0;
  history_init(&h, number("PLR_HISTORY_SEED", 2), (int)believe);
  for (uint64_t i = 0; i < entries; i++) history_step(&h);
  audit(&h);
  assert_int_equal(h.codes[-PLR_ERR_SIGNATURE] > 0, !believe);
  plr_sink sink = kit_sink(&f);
  assert_int_equal(plr_ledger_export(h.ledger, &sink, NULL), PLR_OK);
  plr_verify_options o;
  uint8_t key[32];
  plr_identity_public_key(h.people[0].key, key);
  plr_verify_options_init(&o, sizeof o);
  o.origin = ORIGIN, o.public_key = key, o.skip_signatures = believe;
  plr_ledger_summary ours = kit_summary(h.ledger), theirs = {.struct_size = sizeof theirs};
  plr_source source = kit_source(&f);
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_ledger_verify(h.ctx, &source, &o, &theirs, &err) != PLR_OK) fail_msg("%s", err.message);
  assert_memory_equal(&ours, &theirs, sizeof ours);
  if (path) {
    char text[65];
    plr_hash now;
    plr__hex_encode(key, 32, text);
    printf("key %s\n", text);
    plr__map_root(&h.ledger->state.map, &now);
    plr__hex_encode(now.bytes, 32, text);
    printf("state %s\n", text);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(f.data, 1, f.len, out), f.len);
    fclose(out);
  }
  free(f.data);
  history_done(&h);
}

/* The same seed, the same bytes. */
static void repeated(void **state) {
  (void)state;
  static history h;
  plr_hash roots[2], states[2];
  for (int i = 0; i < 2; i++) {
    history_init(&h, 3, 1);
    for (int n = 0; n < 1500; n++) history_step(&h);
    roots[i] = kit_summary(h.ledger).root;
    plr__map_root(&h.ledger->state.map, &states[i]);
    history_done(&h);
  }
  assert_memory_equal(&roots[0], &roots[1], sizeof roots[0]);
  assert_memory_equal(&states[0], &states[1], sizeof states[0]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(verified),
      cmocka_unit_test(repeated),
      cmocka_unit_test(conservation),
  };
  if (getenv("PLR_HISTORY_EXPORT"))
    return _cmocka_run_group_tests("telling", tests, 1, NULL, NULL);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
