/* Every public struct that says its size, as callers of other versions have it: in an allocation of exactly that size,
 * so that a byte read or written behind it is seen by ASan. The sizes are those of 0.1; they never change. */

#include <pluralis/pluralis.h>

#include "records_filled.h"

/* ---- the kit -------------------------------------------------------------------------------------- */

static void kit_ledger(kit *k) {
  plr_ledger_options l;
  plr_entry_options e;
  plr_model_terms t;
  size_t len;
  plr_ledger_options_init(&l, sizeof l);
  fill_ledger(k, &l, sizeof l);
  assert_int_equal(plr_ledger_open(k->ctx, &l, &k->ledger, NULL), PLR_OK);
  plr_entry_options_init(&e, sizeof e);
  fill_entry(k, &e, sizeof e);
  plr_model_terms_init(&t, sizeof t);
  fill_terms(k, &t, sizeof t);
  t.model.bytes[0] = k->model_hash.bytes[0] = 9;
  plr_profile_hash(&t.profile);
  uint8_t key[32];
  plr_hash account;
  plr_identity_public_key(k->identity, key);
  plr_account_id(key, &account);
  e.nonce = plr_ledger_next_nonce(k->ledger, &account);
  assert_int_equal(plr_entry_model_register(k->ctx, &e, &t, k->entry, sizeof k->entry, &len, NULL),
                   PLR_OK);
  assert_int_equal(plr_ledger_append(k->ledger, k->entry, len, NULL, NULL), PLR_OK);
}

static int setup(void **state) {
  static kit k;
  plr_codec codec;
  plr_link_options l;
  plr_stage_options s;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_ACTIVATION};
  *state = &k;
  k.ctx = new_context();
  k.model = new_model(k.ctx, DENSE_JSON);
  assert_int_equal(plr_identity_create(k.ctx, seed, &k.identity, NULL), PLR_OK);
  assert_int_equal(plr_corpus_create(k.ctx, text, sizeof text, &k.corpus, NULL), PLR_OK);
  assert_int_equal(plr_codec_from_name("raw", &codec), PLR_OK);
  assert_int_equal(plr_encoder_create(k.ctx, &codec, 4, 8, &k.encoder, NULL), PLR_OK);
  plr_tensor x;
  plr_tensor_matrix(&x, values, PLR_DTYPE_F32, 4, 8);
  assert_int_equal(plr_encoder_encode(k.encoder, &info, &x, k.frame, sizeof k.frame, &k.frame_len),
                   PLR_OK);
  plr_link_options_init(&l, sizeof l);
  assert_int_equal(plr_link_create(k.ctx, k.identity, &l, &k.link, NULL), PLR_OK);
  plr_stage_options_init(&s, sizeof s);
  fill_stage(&k, &s, sizeof s);
  assert_int_equal(plr_stage_create(k.ctx, &s, &k.stage, NULL), PLR_OK);
  assert_int_equal(plr_shard_create(k.ctx, k.model, NULL, &k.shard, NULL), PLR_OK);
  kit_ledger(&k);
  return 0;
}

static int teardown(void **state) {
  kit *k = *state;
  plr_shard_destroy(k->shard);
  plr_stage_destroy(k->stage);
  plr_link_destroy(k->link);
  plr_encoder_destroy(k->encoder);
  plr_ledger_destroy(k->ledger);
  plr_corpus_destroy(k->corpus);
  plr_identity_destroy(k->identity);
  plr_model_destroy(k->model);
  plr_context_destroy(k->ctx);
  return 0;
}

/* The ends of the fields of a struct, from the table that bindings are checked with: the sizes at which a pointer is
 * there or not there, but never cut. Returns how many. */
static uint32_t field_ends(const char *name, uint32_t ends[64]) {
  char line[200], field[120];
  unsigned offset, size;
  uint32_t count = 0;
  FILE *f = fopen(PLR_SOURCE_DIR "/tests/abi/layout.txt", "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    size_t len = strlen(name);
    if (sscanf(line, "field %119s %u %u", field, &offset, &size) == 3 &&
        !strncmp(field, name, len) && field[len] == '.' && count < 64)
      ends[count++] = offset + size;
  }
  fclose(f);
  assert_true(count > 1);
  return count;
}

static void *exactly(uint32_t size) {
  void *p = malloc(size);
  assert_non_null(p);
  memset(p, 0xee, size);
  return p;
}

/* ---- tests ------------------------------------------------------------------------------------ */

static plr_status use_sized(kit *k, const struct given *g, uint32_t size, uint32_t filled_size) {
  plr_error err = {.struct_size = sizeof err};
  void *p = exactly(size);
  g->init(p, size);
  g->fill(k, p, filled_size);
  plr_status st = g->use(k, p, &err);
  free(p);
  return st;
}

static void test_older(void **state) {
  kit *k = *state;
  for (size_t i = 0; i < PLR_COUNT_OF(givens); i++) {
    const struct given *g = &givens[i];
    assert_true(g->now >= g->first);
    plr_status st = use_sized(k, g, g->first, g->first);
    if (st != PLR_OK) fail_msg("%s of 0.1: %s", g->name, plr_status_name(st));
    uint32_t ends[64], count = field_ends(g->name, ends);
    for (uint32_t e = 0; e < count; e++) {
      /* A shorter one is a whole one that left the rest as it was. */
      plr_status whole = use_sized(k, g, g->now, ends[e]), part = use_sized(k, g, ends[e], ends[e]);
      if (whole != part)
        fail_msg("%s of %u bytes: %s, not %s", g->name, ends[e], plr_status_name(part),
                 plr_status_name(whole));
    }
  }
}

static void test_newer(void **state) {
  kit *k = *state;
  for (size_t i = 0; i < PLR_COUNT_OF(givens); i++) {
    const struct given *g = &givens[i];
    const uint32_t size = g->now + 24;
    plr_status st = use_sized(k, g, size, size);
    if (st != PLR_OK) fail_msg("%s with a zero tail: %s", g->name, plr_status_name(st));
    for (uint32_t at = g->now; at < size; at++) {
      plr_error err = {.struct_size = sizeof err};
      uint8_t *p = exactly(size);
      g->init(p, size);
      g->fill(k, p, size);
      p[at] = 1;
      st = g->use(k, p, &err);
      if (st != PLR_ERR_UNSUPPORTED || !err.where[0])
        fail_msg("%s with byte %u set: %s", g->name, at, plr_status_name(st));
      free(p);
    }
  }
}

static void test_no_size(void **state) {
  kit *k = *state;
  const uint32_t bad[] = {1, 3, 4097, 0xeeeeeeee, UINT32_MAX};
  for (size_t i = 0; i < PLR_COUNT_OF(givens); i++) {
    const struct given *g = &givens[i];
    void *p = exactly(g->now);
    for (size_t b = 0; b < PLR_COUNT_OF(bad); b++) {
      plr_error err = {.struct_size = sizeof err};
      g->init(p, g->now);
      g->fill(k, p, g->now);
      memcpy(p, &bad[b], 4);
      assert_int_equal(g->use(k, p, &err), PLR_ERR_INVALID_ARGUMENT);
    }
    free(p);
  }
}

/* Asks with `size` bytes that say `said`, and compares with what a struct of this version gets. */
static void ask_sized(kit *k, const struct filled *f, uint32_t size, uint32_t said) {
  uint8_t *whole = exactly(f->now), *p = exactly(size);
  memcpy(whole, &f->now, 4);
  memcpy(p, &said, 4);
  assert_int_equal(f->ask(k, whole), PLR_OK);
  plr_status st = f->ask(k, p);
  if (st != PLR_OK) fail_msg("%s of %u bytes: %s", f->name, size, plr_status_name(st));
  uint32_t got;
  memcpy(&got, p, 4);
  if (f->ask != ask_error) assert_int_equal(got, size);
  assert_memory_equal(p + 4, whole + 4, PLR_MIN(size, f->now) - 4);
  for (uint32_t at = f->now; at < size && f->ask != ask_error; at++) assert_int_equal(p[at], 0);
  free(whole);
  free(p);
}

static void test_filled(void **state) {
  kit *k = *state;
  for (size_t i = 0; i < PLR_COUNT_OF(filleds); i++) {
    const struct filled *f = &filleds[i];
    assert_true(f->now >= f->first);
    uint32_t ends[64], count = field_ends(f->name, ends);
    for (uint32_t e = 0; e < count; e++)
      if (ends[e] >= 8) ask_sized(k, f, ends[e], ends[e]);
    ask_sized(k, f, f->first, f->first);
    ask_sized(k, f, f->now + 24, f->now + 24);
    if (f->zero) ask_sized(k, f, f->first, 0);
  }
}

static void test_filled_no_size(void **state) {
  kit *k = *state;
  for (size_t i = 0; i < PLR_COUNT_OF(filleds); i++) {
    const struct filled *f = &filleds[i];
    if (f->ask == ask_error) continue; /* a failure is reported whatever there is to report it in */
    uint8_t *p = exactly(f->now), *before = exactly(f->now);
    const uint32_t bad[] = {3, 5000, 0xeeeeeeee};
    for (size_t b = 0; b < PLR_COUNT_OF(bad); b++) {
      memcpy(p, &bad[b], 4), memcpy(before, &bad[b], 4);
      plr_status st = f->ask(k, p);
      if (f->ask != ask_job && st != PLR_ERR_INVALID_ARGUMENT)
        fail_msg("%s with struct_size %u: %s", f->name, bad[b], plr_status_name(st));
      assert_memory_equal(p, before, f->now);
    }
    free(p);
    free(before);
  }
}

/* A struct added to the headers is added here. */
static void test_all_are_here(void **state) {
  (void)state;
  char line[200], name[120];
  unsigned found = 0;
  FILE *f = fopen(PLR_SOURCE_DIR "/tests/abi/layout.txt", "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    char *dot = strstr(line, ".struct_size 0 4");
    if (!dot || sscanf(line, "field %119[^.]", name) != 1) continue;
    int here = 0;
    for (size_t i = 0; i < PLR_COUNT_OF(givens); i++) here |= !strcmp(givens[i].name, name);
    for (size_t i = 0; i < PLR_COUNT_OF(filleds); i++) here |= !strcmp(filleds[i].name, name);
    if (!here) fail_msg("no test of %s", name);
    found++;
  }
  fclose(f);
  assert_true(found >= 17);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_older),          cmocka_unit_test(test_newer),
      cmocka_unit_test(test_no_size),        cmocka_unit_test(test_filled),
      cmocka_unit_test(test_filled_no_size), cmocka_unit_test(test_all_are_here),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
