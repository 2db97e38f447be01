/* The SQLite store under faults: what was acknowledged survives killing, a full disk, damage and lack of memory. */
#include "ledger_store_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* Killed at a random moment, again and again: what was acknowledged is there. */
static void killed(void **state) {
  (void)state;
  kit k;
  scratch();
  uint64_t acknowledged = 0, steps = 0;
  for (int round = 0; round < 12; round++) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
      kit_init(&k, 1);
      kit_open(&k, path);
      if (round == 0) kit_populate(&k);
      for (uint64_t step = steps;; step++) {
        uint64_t entries;
        kit_work(&k, kit_summary(k.ledger).epoch, step, 0, step % 4);
        if (kit_append(&k) != PLR_OK) _exit(3);
        if (step % 16 == 5) kit_close(&k);
        entries = kit_summary(k.ledger).entries;
        if (write(pipes[1], &entries, sizeof entries) != sizeof entries) _exit(4);
      }
    }
    close(pipes[1]);
    uint64_t want = 3 + (uint64_t)(round * 7) % 30, got = 0;
    while (got < want && read(pipes[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged)
      got++;
    assert_int_equal(got, want);
    struct timespec pause = {0, round * 137000L};
    nanosleep(&pause, NULL);
    kill(child, SIGKILL);
    while (read(pipes[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
    }
    close(pipes[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    kit_init(&k, 1);
    kit_open(&k, path);
    uint64_t entries = kit_summary(k.ledger).entries;
    assert_true(entries >= acknowledged && entries <= acknowledged + 2);
    steps = entries + 1000 * (uint64_t)(round + 1);
    kit_file f = {0};
    kit_export(&k, &f);
    assert_int_equal(kit_verify(&k, &f, 0, NULL, NULL), PLR_OK);
    free(f.data);
    kit_done(&k);
  }
  clean();
}

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

/* ---- lack of memory ----------------------------------------------------------------------------- */

typedef struct failing {
  uint64_t left; /* allocations that succeed */
} failing;

static void *failing_alloc(void *user, size_t size, size_t align) {
  failing *f = user;
  if (f->left == 0) return NULL;
  f->left--;
  return aligned_alloc(align, (size + align - 1) / align * align);
}

static void failing_free(void *user, void *ptr, size_t size, size_t align) {
  (void)user, (void)size, (void)align;
  free(ptr);
}

/* Each allocation fails in turn, for open, append, close, checkpoint, export and verify; then it is repeated with
 * memory, and comes to the same end. */
static void no_memory(void **state) {
  (void)state;
  failing f = {UINT64_MAX};
  kit k;
  plr_context_options o;
  kit_init(&k, 1);
  plr_context *plain = k.ctx, *ctx;
  plr_context_options_init(&o, sizeof o);
  o.allocator.user = &f;
  o.allocator.alloc = failing_alloc;
  o.allocator.free = failing_free;
  assert_int_equal(plr_context_create(&o, &ctx, NULL), PLR_OK);
  for (int on_disk = 0; on_disk < 2; on_disk++) {
    scratch();
    const char *where = on_disk ? path : NULL;
    int failures = 0;
    for (uint64_t n = 0;; n++) {
      plr_error err;
      plr_error_init(&err, sizeof err);
      plr_ledger_options lo = kit_options(&k, where);
      f.left = n;
      plr_status st = plr_ledger_open(ctx, &lo, &k.ledger, &err);
      f.left = UINT64_MAX;
      if (st == PLR_OK) break;
      failures++;
      assert_int_equal(st, PLR_ERR_NO_MEMORY);
      assert_int_equal(err.status, st);
      assert_null(k.ledger);
    }
    assert_true(failures >= 4);
    kit_populate(&k);
    failures = 0;
    for (int what = 0; what < 6; what++) {
      plr_append_item items[40];
      void *copies[40];
      for (uint32_t i = 0; i < 40; i++) {
        kit_work(&k, 0, 10 + i, 2 * (uint32_t)what, i % 4);
        copies[i] = malloc(k.len);
        items[i] = (plr_append_item){.entry = memcpy(copies[i], k.entry, k.len), .len = k.len};
      }
      for (uint64_t n = 0;; n++) {
        plr_ledger_summary before = kit_summary(k.ledger), after;
        kit_file file = {0};
        plr_sink sink = kit_sink(&file);
        plr_source source;
        char note[512];
        uint8_t key[32];
        size_t len;
        plr_status st;
        plr_verify_options v;
        plr_verify_options_init(&v, sizeof v);
        plr_identity_public_key(k.people[SEQUENCER], key);
        v.origin = ORIGIN, v.public_key = key;
        if (what == 5) assert_int_equal(plr_ledger_export(k.ledger, &sink, NULL), PLR_OK);
        source = kit_source(&file);
        f.left = n;
        switch (what) {
        case 0:
          st = plr_ledger_append_many(k.ledger, items, 40, NULL);
          break;
        case 1:
          st = plr_ledger_append(k.ledger, items[7].entry, items[7].len, NULL, NULL);
          break;
        case 2:
          st = plr_ledger_close_epoch(k.ledger, NULL, NULL);
          break;
        case 3:
          st = plr_ledger_checkpoint(k.ledger, note, sizeof note, &len, NULL);
          break;
        case 4:
          st = plr_ledger_export(k.ledger, &sink, NULL);
          break;
        default:
          st = plr_ledger_verify(ctx, &source, &v, NULL, NULL);
          break;
        }
        f.left = UINT64_MAX;
        free(file.data);
        after = kit_summary(k.ledger);
        if (st == PLR_OK) break;
        failures++;
        assert_int_equal(st, PLR_ERR_NO_MEMORY);
        assert_memory_equal(&before, &after, sizeof before);
      }
      for (int i = 0; i < 40; i++) free(copies[i]);
    }
    assert_true(failures > 15);
    assert_int_equal(plr__state_audit(&k.ledger->state, NULL), PLR_OK);
    if (on_disk) { /* and opening what is there now, with snapshot and tail */
      kit_work(&k, 1, 3, 0, 0);
      assert_int_equal(kit_append(&k), PLR_OK);
      plr_ledger_summary before = kit_summary(k.ledger), after;
      plr_ledger_destroy(k.ledger);
      for (uint64_t n = 0;; n++) {
        plr_ledger_options lo = kit_options(&k, path);
        f.left = n;
        plr_error err;
        plr_error_init(&err, sizeof err);
        plr_status st = plr_ledger_open(ctx, &lo, &k.ledger, &err);
        f.left = UINT64_MAX;
        if (st == PLR_OK) break;
        if (st != PLR_ERR_NO_MEMORY) fail_msg("%s: %s", err.where, err.message);
      }
      after = kit_summary(k.ledger);
      assert_memory_equal(&before, &after, sizeof before);
    }
    plr_ledger_destroy(k.ledger);
    k.ledger = NULL;
    clean();
  }
  uint64_t bytes;
  plr_context_memory(ctx, &bytes, NULL, NULL);
  assert_int_equal(bytes, 0);
  plr_context_destroy(ctx);
  k.ctx = plain;
  kit_done(&k);
}

int main(void) {
  if (!has_sqlite()) {
    printf("skipped: this build has no SQLite\n");
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(killed),
      cmocka_unit_test(full_disk),
      cmocka_unit_test(flipped),
      cmocka_unit_test(no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
