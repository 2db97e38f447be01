/* The SQLite store under faults: what was acknowledged survives a full disk and damage. */
#include "ledger_store_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* No file may grow: the append fails and changes nothing; with room again, it works. */
static void full_disk(void **state) {
  (void)state;
  kit k;
  plr_ledger *again;
  scratch();
  kit_init(&k, 1);
  kit_open(&k, path);
  kit_populate(&k);
  struct rlimit old, none;
  struct stat st;
  char wal[160];
  snprintf(wal, sizeof wal, "%s-wal", path);
  assert_int_equal(stat(wal, &st), 0);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &old);
  none = old;
  none.rlim_cur = (rlim_t)st.st_size;
  kit_work(&k, 0, 0, 0, 0);
  plr_ledger_summary before = kit_summary(k.ledger);
  plr_hash state_before, state_after;
  plr__map_root(&k.ledger->state.map, &state_before);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status fail = plr_ledger_append(k.ledger, k.entry, k.len, NULL, &err);
  plr_status close = plr_ledger_close_epoch(k.ledger, NULL, NULL);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  assert_true(fail == PLR_ERR_NO_SPACE || fail == PLR_ERR_IO);
  assert_true(close == PLR_ERR_NO_SPACE || close == PLR_ERR_IO);
  assert_true(err.message[0] && err.where[0]);
  plr_ledger_summary after = kit_summary(k.ledger);
  assert_memory_equal(&before, &after, sizeof before);
  plr__map_root(&k.ledger->state.map, &state_after);
  assert_memory_equal(&state_before, &state_after, sizeof state_before);
  assert_int_equal(kit_append(&k), PLR_OK);
  kit_close(&k);
  plr_ledger_summary last = kit_summary(k.ledger);
  plr_ledger_destroy(k.ledger);
  k.ledger = NULL;
  assert_int_equal(open_status(&k, path, &again, NULL), PLR_OK);
  after = kit_summary(again);
  assert_memory_equal(&last, &after, sizeof last);
  plr_ledger_destroy(again);
  kit_done(&k);
  clean();
}

/* One byte of the database changed: it opens as it was, or says what is wrong. What verify says of an export of it
 * is never that all is well when it is not. */
static void flipped(void **state) {
  (void)state;
  kit k;
  char to[160];
  scratch();
  snprintf(to, sizeof to, "%s/c.db", folder);
  kit_init(&k, 1);
  kit_open(&k, path);
  kit_story(&k);
  plr_ledger_summary want = kit_summary(k.ledger);
  plr_ledger_destroy(k.ledger);
  k.ledger = NULL;
  struct stat st;
  assert_int_equal(stat(path, &st), 0);
  uint32_t refused = 0, opened = 0;
  for (off_t at = 0; at < st.st_size; at += 151) {
    plr_ledger *l;
    plr_error err;
    plr_error_init(&err, sizeof err);
    copy_store(to);
    int fd = open(to, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x41;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    plr_status s = open_status(&k, to, &l, &err);
    if (s != PLR_OK) {
      refused++;
      assert_true(err.message[0] && err.where[0]);
      assert_null(l);
      continue;
    }
    opened++;
    kit_file f = {0};
    plr_sink sink = kit_sink(&f);
    plr_ledger_summary got = {.struct_size = sizeof got};
    if (plr_ledger_export(l, &sink, NULL) == PLR_OK && kit_verify(&k, &f, 0, &got, NULL) == PLR_OK)
      assert_memory_equal(&want, &got, sizeof got);
    free(f.data);
    plr_ledger_destroy(l);
  }
  assert_true(refused > 20 && opened > 20);
  remove_all(to);
  kit_done(&k);
  clean();
}

int main(void) {
  if (!has_sqlite()) {
    printf("skipped: this build has no SQLite\n");
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(full_disk),
      cmocka_unit_test(flipped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
