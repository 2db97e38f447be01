/* Export and verify: the round trip, the golden file, and every way in which a file can be other than what was
 * signed. */
#include "ledger_kit.h"

static void told(kit *k, kit_file *f) {
  kit_init(k, 2);
  kit_open(k, NULL);
  kit_story(k);
  kit_export(k, f);
}

/* Verification fails, with a status of a bad file and a message that says where. */
static plr_error fails(kit *k, kit_file *f) {
  plr_error err;
  plr_ledger_summary s = {.struct_size = sizeof s, .entries = 77};
  plr_error_init(&err, sizeof err);
  plr_status st = kit_verify(k, f, 0, &s, &err);
  assert_true(st <= -200 && st > -300);
  assert_int_equal(err.status, st);
  assert_true(err.where[0] && err.message[0]);
  assert_int_equal(s.entries, 77); /* no summary of what is not so */
  return err;
}

static uint64_t calls, last_done;

static void progress(void *user, uint64_t done, uint64_t total) {
  assert_ptr_equal(user, &calls);
  assert_true(done > last_done && done <= total);
  last_done = done;
  calls++;
}

static void round_trip(void **state) {
  (void)state;
  kit k;
  kit_file f = {0};
  told(&k, &f);
  plr_ledger_summary ours = kit_summary(k.ledger), theirs = {.struct_size = sizeof theirs};
  plr_error err;
  plr_error_init(&err, sizeof err);
  for (uint32_t skip = 0; skip < 2; skip++) {
    plr_status st = kit_verify(&k, &f, skip, &theirs, &err);
    if (st != PLR_OK) fail_msg("%s: %s", err.where, err.message);
    assert_memory_equal(&ours, &theirs, sizeof ours);
  }
  assert_int_equal(ours.entries, 1 + 7 + 1 + 24 + 3 + 3);
  assert_int_equal(ours.receipts, 24);
  assert_int_equal(ours.units.lo, 2 * 3 * 3100 * 256);
  assert_int_equal(ours.epoch, 3);
  assert_int_equal(ours.deposited, 1000003);
  plr_verify_options o;
  uint8_t key[32];
  plr_identity_public_key(k.people[SEQUENCER], key);
  plr_verify_options_init(&o, sizeof o);
  o.origin = ORIGIN, o.public_key = key, o.progress = progress, o.user = &calls;
  plr_source source = kit_source(&f);
  assert_int_equal(plr_ledger_verify(k.ctx, &source, &o, NULL, NULL), PLR_OK);
  assert_true(calls > 0 && last_done == ours.entries);
  free(f.data);
  kit_done(&k);
}

/* The story's export, byte for byte, and the roots that an independent replay in another language, written from
 * FORMAT.md, came to. */
static void golden(void **state) {
  (void)state;
  kit k;
  kit_file f = {0};
  told(&k, &f);
  FILE *in = fopen(PLR_SOURCE_DIR "/tests/golden/ledger-story.plr", "rb");
  assert_non_null(in);
  uint8_t *want = malloc(f.len + 1);
  assert_int_equal(fread(want, 1, f.len + 1, in), f.len);
  fclose(in);
  assert_memory_equal(want, f.data, f.len);
  plr_ledger_summary s = kit_summary(k.ledger);
  char hex[65];
  plr__hex_encode(s.root.bytes, 32, hex);
  assert_string_equal(hex, "c6ba9f6c5d79632647232cad66128f84e7c599f8aa6d5d138cf2264aabc89ec1");
  plr__hex_encode(s.state_root.bytes, 32, hex);
  assert_string_equal(hex, "8262798e62b42d118f8546a9d3aac25b4d1f2baba79e5a0f01172a0cdd032023");
  free(want);
  free(f.data);
  kit_done(&k);
}

/* One byte changed: each one of head, checkpoint and end, and every third of the entries between. */
static void every_byte(void **state) {
  (void)state;
  kit k;
  kit_file f = {0};
  kit_init(&k, 1);
  kit_open(&k, NULL);
  kit_populate(&k);
  kit_work(&k, 0, 0, 0, 0);
  assert_int_equal(kit_append(&k), PLR_OK);
  kit_close(&k);
  kit_export(&k, &f);
  for (size_t i = 0; i < f.len; i += i < 400 || i + 400 > f.len ? 1 : 3) {
    uint8_t old = f.data[i];
    f.data[i] ^= (uint8_t)(1u << i % 8);
    fails(&k, &f);
    f.data[i] = old;
  }
  assert_int_equal(kit_verify(&k, &f, 0, NULL, NULL), PLR_OK);
  free(f.data);
  kit_done(&k);
}

static void lengths(void **state) {
  (void)state;
  kit k;
  kit_file f = {0};
  told(&k, &f);
  size_t len = f.len;
  for (f.len = 0; f.len < len; f.len += f.len < 300 || f.len > len - 50 ? 1 : 97) fails(&k, &f);
  f.len = len;
  assert_int_equal(kit_verify(&k, &f, 0, NULL, NULL), PLR_OK);
  plr_source source = kit_source(&f); /* one byte more */
  f.data = realloc(f.data, len + 1);
  f.data[len] = 0;
  f.len = len + 1;
  assert_int_equal(fails(&k, &f).offset, len);
  (void)source;
  free(f.data);
  kit_done(&k);
}

/* Expecting another log, or another key. */
static void wrong_log(void **state) {
  (void)state;
  kit k;
  kit_file f = {0};
  uint8_t key[32], other[32];
  told(&k, &f);
  plr_verify_options o;
  plr_source source = kit_source(&f);
  plr_verify_options_init(&o, sizeof o);
  plr_identity_public_key(k.people[SEQUENCER], key);
  plr_identity_public_key(k.people[DESIGNER], other);
  o.origin = ORIGIN;
  o.public_key = other;
  assert_int_equal(plr_ledger_verify(k.ctx, &source, &o, NULL, NULL), PLR_ERR_SIGNATURE);
  o.public_key = key;
  o.origin = "example.org/other";
  assert_int_equal(plr_ledger_verify(k.ctx, &source, &o, NULL, NULL), PLR_ERR_SIGNATURE);
  o.origin = NULL;
  assert_int_equal(plr_ledger_verify(k.ctx, &source, &o, NULL, NULL), PLR_ERR_INVALID_ARGUMENT);
  o.origin = ORIGIN;
  o.public_key = NULL;
  assert_int_equal(plr_ledger_verify(k.ctx, &source, &o, NULL, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_ledger_verify(k.ctx, NULL, &o, NULL, NULL), PLR_ERR_INVALID_ARGUMENT);
  free(f.data);
  kit_done(&k);
}

/* ---- a sequencer that lies: exports made by hand, with a good checkpoint over them ------------------- */

typedef struct forgery {
  kit *k;
  plr_buffer entries;
  plr__frontier frontier;
} forgery;

static void forge_add(forgery *g, const void *entry, size_t len) {
  plr_hash leaf, completed[64];
  plr__buffer_be16(&g->entries, (uint16_t)len);
  plr__buffer_put(&g->entries, entry, len);
  plr__merkle_leaf(entry, len, &leaf);
  plr__frontier_append(&g->frontier, &leaf, completed);
}

static void forge_begin(forgery *g, kit *k) {
  memset(g, 0, sizeof *g);
  g->k = k;
  plr__buffer_init(&g->entries, k->ctx);
}

static kit_file forge_end(forgery *g) {
  plr_buffer note;
  plr_hash root;
  uint8_t head[12] = "PLRLEDG1";
  kit_file f = {0};
  f.fail_after = -1;
  plr__buffer_init(&note, g->k->ctx);
  plr__frontier_root(&g->frontier, &root);
  plr__checkpoint_sign(&note, ORIGIN, g->frontier.size, &root, g->k->people[SEQUENCER]);
  plr__store_be32(head + 8, (uint32_t)note.len);
  kit_file_write(&f, head, sizeof head);
  kit_file_write(&f, note.data, note.len);
  kit_file_write(&f, g->entries.data, g->entries.len);
  plr__buffer_release(&note);
  plr__buffer_release(&g->entries);
  return f;
}

/* Copies entries of the ledger, changing one of them on the way. */
static kit_file retell(kit *k, uint64_t change, size_t from_end, int leave_out) {
  forgery g;
  uint64_t size = kit_summary(k->ledger).entries;
  forge_begin(&g, k);
  for (uint64_t i = 0; i < size; i++) {
    assert_int_equal(plr_ledger_entry(k->ledger, i, k->entry, sizeof k->entry, &k->len, NULL),
                     PLR_OK);
    if (i == change && leave_out) continue;
    if (i == change) k->entry[k->len - from_end] ^= 1;
    forge_add(&g, k->entry, k->len);
  }
  return forge_end(&g);
}

/* Whatever a sequencer changes and signs, a later EpochClose does not fit any more. */
static void lying_sequencer(void **state) {
  (void)state;
  kit k;
  kit_file f = {0};
  told(&k, &f);
  free(f.data);
  f = retell(&k, 9, 4, 0); /* a receipt's signature */
  assert_int_equal(fails(&k, &f).status, PLR_ERR_MISMATCH);
  free(f.data);
  f = retell(&k, 9, 400, 0); /* a receipt's body */
  assert_int_equal(fails(&k, &f).status, PLR_ERR_MISMATCH);
  free(f.data);
  f = retell(&k, 9, 0, 1); /* a receipt left out */
  assert_int_equal(fails(&k, &f).status, PLR_ERR_MISMATCH);
  free(f.data);
  f = retell(&k, 0, 0, 1); /* no Genesis */
  assert_int_equal(fails(&k, &f).status, PLR_ERR_MISMATCH);
  free(f.data);
  /* Skipping signatures is seen through by the first test only: say so, and hold the rest. */
  f = retell(&k, 9, 4, 0);
  assert_int_equal(kit_verify(&k, &f, 1, NULL, NULL), PLR_OK);
  free(f.data);
  kit_done(&k);
}

static void odd_logs(void **state) {
  (void)state;
  kit k;
  kit_file f = {0};
  forgery g;
  told(&k, &f);
  free(f.data);
  forge_begin(&g, &k); /* empty */
  f = forge_end(&g);
  assert_int_equal(fails(&k, &f).status, PLR_ERR_MISMATCH);
  free(f.data);
  forge_begin(&g, &k); /* rubbish instead of Genesis */
  forge_add(&g, "x", 1);
  f = forge_end(&g);
  assert_int_equal(fails(&k, &f).status, PLR_ERR_MISMATCH);
  free(f.data);
  forge_begin(&g, &k); /* an empty entry: the length says 0 */
  forge_add(&g, "", 0);
  f = forge_end(&g);
  assert_true(fails(&k, &f).status != PLR_OK);
  free(f.data);
  /* Another log's Genesis under this log's checkpoint. */
  kit k2;
  kit_init(&k2, 1);
  plr_ledger_options o = kit_options(&k2, NULL);
  o.origin = "example.org/other";
  assert_int_equal(plr_ledger_open(k2.ctx, &o, &k2.ledger, NULL), PLR_OK);
  assert_int_equal(plr_ledger_entry(k2.ledger, 0, k.entry, sizeof k.entry, &k.len, NULL), PLR_OK);
  forge_begin(&g, &k);
  forge_add(&g, k.entry, k.len);
  f = forge_end(&g);
  assert_int_equal(fails(&k, &f).status, PLR_ERR_MISMATCH);
  free(f.data);
  kit_done(&k2);
  /* Rubbish after Genesis has no effect; it is counted. */
  assert_int_equal(plr_ledger_entry(k.ledger, 0, k.entry, sizeof k.entry, &k.len, NULL), PLR_OK);
  forge_begin(&g, &k);
  forge_add(&g, k.entry, k.len);
  for (int i = 0; i < 700; i++) forge_add(&g, "rubbish", 7);
  f = forge_end(&g);
  plr_ledger_summary s = {.struct_size = sizeof s};
  assert_int_equal(kit_verify(&k, &f, 0, &s, NULL), PLR_OK);
  assert_int_equal(s.rejected, 700);
  f.data[f.len - 1] ^= 1;
  plr_error err = fails(&k, &f);
  assert_int_equal(err.status, PLR_ERR_CHECKSUM);
  assert_non_null(strstr(err.message, "entry 1")); /* names the first that had no effect */
  free(f.data);
  kit_done(&k);
}

/* Entries larger than a batch's window, and many of them. */
static void large_entries(void **state) {
  (void)state;
  static uint64_t costs[PLR__MAX_BLOCKS];
  kit k;
  kit_file f = {0};
  kit_init(&k, 1);
  kit_open(&k, NULL);
  kit_populate(&k);
  for (uint32_t i = 0; i < PLR__MAX_BLOCKS; i++) costs[i] = 1;
  for (int i = 0; i < 60; i++) {
    plr_model_terms t = kit_terms(&k);
    t.model.bytes[0] ^= (uint8_t)(i + 1);
    t.block_count = PLR__MAX_BLOCKS;
    t.costs = costs;
    kit_model(&k, &t);
    assert_true(k.len > 32768);
    assert_int_equal(kit_append(&k), PLR_OK);
  }
  kit_close(&k);
  kit_export(&k, &f);
  assert_true(f.len > 1900000);
  plr_ledger_summary ours = kit_summary(k.ledger), theirs = {.struct_size = sizeof theirs};
  assert_int_equal(kit_verify(&k, &f, 0, &theirs, NULL), PLR_OK);
  assert_memory_equal(&ours, &theirs, sizeof ours);
  free(f.data);
  kit_done(&k);
}

/* The sink is committed once on success and aborted once on failure. */
static void sinks(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  kit_open(&k, NULL);
  kit_story(&k);
  kit_file f = {0};
  plr_sink sink = kit_sink(&f);
  f.fail_after = 0;
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_ledger_export(k.ledger, &sink, &err), PLR_ERR_NO_SPACE);
  assert_int_equal(f.aborted, 1);
  assert_int_equal(f.committed, 0);
  assert_true(err.message[0]);
  sink = kit_sink(&f);
  assert_int_equal(plr_ledger_export(NULL, &sink, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(f.aborted, 2);
  assert_int_equal(plr_ledger_export(k.ledger, NULL, &err), PLR_ERR_INVALID_ARGUMENT);
  free(f.data);
  kit_done(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(round_trip), cmocka_unit_test(golden),
      cmocka_unit_test(every_byte), cmocka_unit_test(lengths),
      cmocka_unit_test(wrong_log),  cmocka_unit_test(lying_sequencer),
      cmocka_unit_test(odd_logs),   cmocka_unit_test(large_entries),
      cmocka_unit_test(sinks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
