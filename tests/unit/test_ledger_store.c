/* The SQLite store: closing, opening, copying, and what it refuses. */
#include "ledger_store_kit.h"

#include <sys/stat.h>

/* The same life in memory and in a file that is closed and opened after every entry. */
static void reopen(void **state) {
  (void)state;
  kit k, m;
  scratch();
  kit_init(&k, 1);
  kit_init(&m, 1);
  kit_open(&m, NULL);
  kit_story(&m);
  kit_open(&k, path);
  uint64_t size = kit_summary(m.ledger).entries;
  for (uint64_t i = 1; i < size; i++) {
    assert_int_equal(plr_ledger_entry(m.ledger, i, k.entry, sizeof k.entry, &k.len, NULL), PLR_OK);
    assert_int_equal(kit_append(&k), PLR_OK);
    plr_ledger_destroy(k.ledger);
    kit_open(&k, path);
    assert_int_equal(kit_summary(k.ledger).entries, i + 1);
  }
  same_state(k.ledger, m.ledger);
  kit_file a = {0}, b = {0};
  kit_export(&m, &a);
  kit_export(&k, &b);
  assert_int_equal(a.len, b.len);
  assert_memory_equal(a.data, b.data, a.len);
  free(a.data);
  free(b.data);
  kit_done(&m);
  kit_done(&k);
  clean();
}

/* A log with entries of no effect replays to the same statuses. */
static void reopen_invalid(void **state) {
  (void)state;
  kit k;
  plr_ledger *again;
  scratch();
  kit_init(&k, 1);
  plr_ledger_options o = kit_options(&k, path);
  o.log_invalid = 1;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &k.ledger, NULL), PLR_OK);
  kit_populate(&k);
  kit_work(&k, 0, 0, 0, 0);
  k.entry[k.len - 1] ^= 1;
  assert_int_equal(kit_append(&k), PLR_ERR_SIGNATURE);
  kit_claim(&k, WORKER0, 5);
  assert_int_equal(kit_append(&k), PLR_ERR_NOT_FOUND); /* its nonce is used up */
  assert_int_equal(plr_ledger_append(k.ledger, "?", 1, NULL, NULL), PLR_ERR_TRUNCATED);
  plr_hash before, after;
  plr_ledger_summary x = kit_summary(k.ledger), y;
  plr__map_root(&k.ledger->state.map, &before);
  plr_ledger_destroy(k.ledger);
  k.ledger = NULL;
  assert_int_equal(open_status(&k, path, &again, NULL), PLR_OK);
  y = kit_summary(again);
  plr__map_root(&again->state.map, &after);
  assert_memory_equal(&x, &y, sizeof x);
  assert_memory_equal(&before, &after, sizeof before);
  assert_int_equal(x.rejected, 3);
  plr_ledger_destroy(again);
  kit_done(&k);
  clean();
}

static void refusals(void **state) {
  (void)state;
  kit k;
  plr_ledger *l;
  plr_error err;
  scratch();
  kit_init(&k, 1);
  plr_error_init(&err, sizeof err);
  plr_ledger_options o = kit_options(&k, path);
  o.sequencer = NULL;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &l, &err), PLR_ERR_NOT_FOUND);
  assert_int_not_equal(access(path, F_OK), 0); /* a reader creates nothing */
  kit_open(&k, path);
  assert_int_equal(open_status(&k, path, &l, &err), PLR_ERR_UNAVAILABLE);
  assert_non_null(strstr(err.message, "open elsewhere"));
  kit_populate(&k);
  uint64_t entries = kit_summary(k.ledger).entries;
  plr_ledger_destroy(k.ledger);
  k.ledger = NULL;
  o = kit_options(&k, path);
  o.origin = "example.org/other";
  assert_int_equal(plr_ledger_open(k.ctx, &o, &l, &err), PLR_ERR_MISMATCH);
  o.origin = NULL;
  o.sequencer = k.people[DESIGNER];
  assert_int_equal(plr_ledger_open(k.ctx, &o, &l, &err), PLR_ERR_MISMATCH);
  /* Read-only. */
  o.sequencer = NULL;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &l, &err), PLR_OK);
  assert_string_equal(plr_ledger_origin(l, NULL), ORIGIN);
  assert_int_equal(kit_summary(l).entries, entries);
  kit_account(&k, WORKER0);
  size_t len;
  assert_int_equal(plr_ledger_append(l, k.entry, k.len, NULL, &err), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_ledger_close_epoch(l, NULL, &err), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_ledger_checkpoint(l, NULL, 0, &len, &err), PLR_ERR_INVALID_STATE);
  kit_file f = {0};
  plr_sink sink = kit_sink(&f);
  assert_int_equal(plr_ledger_export(l, &sink, &err),
                   PLR_ERR_INVALID_STATE); /* nothing was signed yet */
  assert_int_equal(f.aborted, 1);
  plr_ledger_destroy(l);
  kit_open(&k, path);
  char note[512];
  assert_int_equal(plr_ledger_checkpoint(k.ledger, note, sizeof note, &len, NULL), PLR_OK);
  plr_ledger_destroy(k.ledger);
  k.ledger = NULL;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &l, &err), PLR_OK);
  sink = kit_sink(&f);
  assert_int_equal(plr_ledger_export(l, &sink, &err), PLR_OK);
  assert_memory_equal(f.data + 12, note, len);
  assert_int_equal(kit_verify(&k, &f, 0, NULL, NULL), PLR_OK);
  plr_ledger_destroy(l);
  free(f.data);
  kit_done(&k);
  clean();
}

static void not_ledgers(void **state) {
  (void)state;
  kit k;
  plr_ledger *l;
  plr_error err;
  scratch();
  kit_init(&k, 1);
  plr_error_init(&err, sizeof err);
  assert_int_equal(open_status(&k, folder, &l, &err), PLR_ERR_IO); /* a folder */
  FILE *f = fopen(path, "wb");
  for (int i = 0; i < 5000; i++) fputc('x', f);
  fclose(f);
  assert_int_equal(open_status(&k, path, &l, &err), PLR_ERR_CORRUPT);
  assert_true(err.message[0]);
  remove_all(path);
  f = fopen(path, "wb"); /* an empty file becomes a ledger */
  fclose(f);
  assert_int_equal(open_status(&k, path, &l, &err), PLR_OK);
  plr_ledger_destroy(l);
  kit_done(&k);
  clean();
}

/* The files as they are after each append, taken while the store is open: each opens with what was acknowledged. */
static void crash_copies(void **state) {
  (void)state;
  kit k;
  plr_ledger *copy;
  char to[160];
  scratch();
  snprintf(to, sizeof to, "%s/c.db", folder);
  kit_init(&k, 1);
  kit_open(&k, path);
  kit_populate(&k);
  for (uint64_t step = 0; step < 12; step++) {
    if (step % 4 == 3) {
      kit_close(&k);
    } else {
      kit_work(&k, step / 4, step, 0, step % 4);
      assert_int_equal(kit_append(&k), PLR_OK);
    }
    copy_store(to);
    assert_int_equal(open_status(&k, to, &copy, NULL), PLR_OK);
    same_state(copy, k.ledger);
    assert_int_equal(plr_ledger_close_epoch(copy, NULL, NULL), PLR_OK); /* and goes on */
    plr_ledger_destroy(copy);
  }
  /* In the middle of a transaction: as before it. */
  plr_ledger_summary before = kit_summary(k.ledger);
  plr__store *s = &k.ledger->store;
  assert_int_equal(s->v.begin(s->v.user, NULL), PLR_OK);
  for (uint64_t i = 0; i < 4000; i++) { /* enough to spill into the file */
    memset(k.entry, (int)i, 2000);
    assert_int_equal(s->v.append(s->v.user, before.entries + i, k.entry, 2000, NULL), PLR_OK);
  }
  copy_store(to);
  s->v.rollback(s->v.user);
  assert_int_equal(open_status(&k, to, &copy, NULL), PLR_OK);
  plr_ledger_summary after = kit_summary(copy);
  assert_memory_equal(&before, &after, sizeof before);
  plr_ledger_destroy(copy);
  remove_all(to);
  kit_done(&k);
  clean();
}

/* A write-ahead log cut short anywhere loses whole transactions from the end, never parts. */
static void torn_log(void **state) {
  (void)state;
  kit k;
  plr_ledger *copy;
  char to[160], wal[180];
  scratch();
  snprintf(to, sizeof to, "%s/c.db", folder);
  snprintf(wal, sizeof wal, "%s-wal", to);
  kit_init(&k, 1);
  kit_open(&k, path);
  kit_populate(&k);
  plr_ledger_destroy(k.ledger); /* all that is in the file itself now */
  kit_open(&k, path);
  uint64_t first = kit_summary(k.ledger).entries;
  for (uint64_t step = 0; step < 5; step++) {
    kit_work(&k, 0, step, 0, 1);
    assert_int_equal(kit_append(&k), PLR_OK);
  }
  uint64_t last = kit_summary(k.ledger).entries, seen = first;
  copy_store(to);
  struct stat st;
  assert_int_equal(stat(wal, &st), 0);
  for (off_t cut = 0; cut <= st.st_size;
       cut += cut + 1511 > st.st_size && cut < st.st_size ? st.st_size - cut : 1511) {
    copy_store(to);
    assert_int_equal(truncate(wal, cut), 0);
    assert_int_equal(open_status(&k, to, &copy, NULL), PLR_OK);
    uint64_t entries = kit_summary(copy).entries;
    assert_true(entries >= seen && entries <= last);
    seen = entries;
    plr_ledger_destroy(copy);
  }
  assert_int_equal(seen, last);
  remove_all(to);
  kit_done(&k);
  clean();
}

/* An older copy of the file under a newer checkpoint: the checkpoint is in the same file, so this takes a copy whose
 * entries were removed by hand. */
static void checkpoint_guard(void **state) {
  (void)state;
  kit k;
  plr_ledger *l;
  plr_error err;
  scratch();
  kit_init(&k, 1);
  kit_open(&k, path);
  kit_populate(&k);
  kit_file f = {0};
  kit_export(&k, &f);
  plr_buffer note;
  plr_hash root = {{5}};
  uint64_t size = kit_summary(k.ledger).entries;
  for (int i = 0; i < 2; i++) { /* of more entries; of as many, with another root */
    plr__buffer_init(&note, k.ctx);
    assert_int_equal(
        plr__checkpoint_sign(&note, ORIGIN, size + (i == 0), &root, k.people[SEQUENCER]), PLR_OK);
    plr__store *s = &k.ledger->store;
    assert_int_equal(plr__store_record(s, "checkpoint", note.data, note.len, NULL), PLR_OK);
    plr_ledger_destroy(k.ledger);
    plr_error_init(&err, sizeof err);
    assert_int_equal(open_status(&k, path, &l, &err), PLR_ERR_CORRUPT);
    assert_non_null(strstr(err.message, "checkpoint"));
    plr__buffer_release(&note);
    remove_all(path);
    kit_open(&k, path);
    kit_populate(&k);
  }
  free(f.data);
  kit_done(&k);
  clean();
}

/* A tail longer than a snapshot's distance, in group commits: the state comes from the snapshot and what follows. */
static void long_tail(void **state) {
  (void)state;
  enum { N = 2000, ROUNDS = 35 };
  kit k;
  plr_append_item *items = calloc(N, sizeof *items);
  scratch();
  kit_init(&k, 1);
  plr_ledger_options o = kit_options(&k, path);
  o.log_invalid = 1; /* so that a log can be long without signing much */
  assert_int_equal(plr_ledger_open(k.ctx, &o, &k.ledger, NULL), PLR_OK);
  kit_populate(&k);
  kit_work(&k, 0, 1, 0, 0);
  for (int round = 0; round < ROUNDS; round++) {
    for (size_t i = 0; i < N; i++) items[i] = (plr_append_item){.entry = k.entry, .len = k.len};
    assert_int_equal(plr_ledger_append_many(k.ledger, items, N, NULL), PLR_OK);
  }
  plr_ledger_summary want = kit_summary(k.ledger);
  assert_true(k.ledger->snapshot_size > 65536 && k.ledger->snapshot_size < want.entries);
  plr_ledger_destroy(k.ledger);
  kit_open(&k, path);
  plr_ledger_summary got = kit_summary(k.ledger);
  assert_memory_equal(&want, &got, sizeof want);
  assert_int_equal(got.rejected, N * ROUNDS - 1);
  free(items);
  kit_done(&k);
  clean();
}

/* Readers beside a writer: they do not hold it up, see the ledger as it was, and it goes on without them. */
static void readers(void **state) {
  (void)state;
  kit k;
  plr_ledger *r[2], *late;
  plr_ledger_options o;
  char note[512], theirs[512];
  size_t len, theirs_len;
  scratch();
  kit_init(&k, 1);
  kit_open(&k, path);
  kit_populate(&k);
  assert_int_equal(plr_ledger_checkpoint(k.ledger, note, sizeof note, &len, NULL), PLR_OK);
  uint64_t entries = kit_summary(k.ledger).entries;
  o = kit_options(&k, path);
  o.sequencer = NULL;
  for (int i = 0; i < 2; i++) assert_int_equal(plr_ledger_open(k.ctx, &o, &r[i], NULL), PLR_OK);
  for (uint64_t step = 0; step < 40; step++) {
    kit_work(&k, step / 20, step, 0, step % 4);
    assert_int_equal(kit_append(&k), PLR_OK);
    if (step == 19) kit_close(&k);
  }
  assert_int_equal(plr_ledger_checkpoint(k.ledger, (char *)k.entry, sizeof k.entry, &k.len, NULL),
                   PLR_OK);
  assert_int_equal(plr_ledger_compact(k.ledger, NULL), PLR_OK);
  assert_int_equal(open_status(&k, path, &late, NULL), PLR_ERR_UNAVAILABLE);
  for (int i = 0; i < 2; i++) {
    plr_hash proof[PLR_PROOF_MAX];
    uint32_t count;
    assert_int_equal(kit_summary(r[i]).entries, entries);
    assert_int_equal(
        plr_ledger_resource(r[i], "checkpoint", theirs, sizeof theirs, &theirs_len, NULL), PLR_OK);
    assert_int_equal(theirs_len, len); /* not the newer one */
    assert_memory_equal(theirs, note, len);
    assert_int_equal(plr_ledger_prove_inclusion(r[i], 2, entries, proof, &count, NULL), PLR_OK);
    kit_file f = {0};
    plr_sink sink = kit_sink(&f);
    assert_int_equal(plr_ledger_export(r[i], &sink, NULL), PLR_OK);
    assert_int_equal(kit_verify(&k, &f, 0, NULL, NULL), PLR_OK);
    free(f.data);
  }
  assert_int_equal(plr_ledger_open(k.ctx, &o, &late, NULL), PLR_OK);
  same_state(late, k.ledger);
  plr_ledger_destroy(k.ledger); /* the writer ends first */
  assert_int_equal(plr_ledger_entry(r[0], 1, k.entry, sizeof k.entry, &k.len, NULL), PLR_OK);
  kit_open(&k, path); /* and comes back while they are there */
  same_state(late, k.ledger);
  kit_work(&k, 1, 50, 0, 0);
  assert_int_equal(kit_append(&k), PLR_OK);
  plr_ledger_destroy(late);
  for (int i = 0; i < 2; i++) plr_ledger_destroy(r[i]);
  kit_done(&k);
  clean();
}

/* Compaction keeps everything and makes the next opening short. */
static void compaction(void **state) {
  (void)state;
  kit k;
  plr_error err;
  struct stat before, after;
  scratch();
  kit_init(&k, 1);
  kit_open(&k, path);
  kit_populate(&k);
  for (uint64_t step = 0; step < 200; step++) {
    kit_work(&k, 0, step, 0, step % 4);
    assert_int_equal(kit_append(&k), PLR_OK);
  }
  /* Records that a smaller snapshot leaves over. */
  memset(k.entry, 7, sizeof k.entry);
  for (int i = 0; i < 40; i++) {
    char name[32];
    snprintf(name, sizeof name, "snapshot/%d", i);
    assert_int_equal(plr__store_record(&k.ledger->store, name, k.entry, sizeof k.entry, NULL),
                     PLR_OK);
  }
  plr_ledger_summary want = kit_summary(k.ledger), got;
  plr_ledger_destroy(k.ledger);
  assert_int_equal(stat(path, &before), 0);
  kit_open(&k, path);
  assert_int_equal(k.ledger->snapshot_size, 0);
  assert_int_equal(plr_ledger_compact(k.ledger, NULL), PLR_OK);
  got = kit_summary(k.ledger);
  assert_memory_equal(&want, &got, sizeof want);
  plr_ledger_destroy(k.ledger);
  assert_int_equal(stat(path, &after), 0);
  assert_true(after.st_size < before.st_size - 20 * (off_t)sizeof k.entry);
  kit_open(&k, path);
  assert_int_equal(k.ledger->snapshot_size, want.entries);
  got = kit_summary(k.ledger);
  assert_memory_equal(&want, &got, sizeof want);
  plr_ledger_destroy(k.ledger);
  plr_ledger_options o = kit_options(&k, path);
  o.sequencer = NULL;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &k.ledger, NULL), PLR_OK);
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_ledger_compact(k.ledger, &err), PLR_ERR_INVALID_STATE);
  kit_done(&k);
  clean();
}

int main(void) {
  if (!has_sqlite()) {
    printf("skipped: this build has no SQLite\n");
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reopen),           cmocka_unit_test(reopen_invalid),
      cmocka_unit_test(refusals),         cmocka_unit_test(not_ledgers),
      cmocka_unit_test(crash_copies),     cmocka_unit_test(torn_log),
      cmocka_unit_test(checkpoint_guard), cmocka_unit_test(long_tail),
      cmocka_unit_test(readers),          cmocka_unit_test(compaction),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
