/* The SQLite store: what was acknowledged survives closing, killing, copying, a full disk and lack of memory. */
#include "ledger_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64], path[128];

static void scratch(void) {
  strcpy(folder, "ledger-XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/l.db", folder);
}

static void remove_all(const char *base) {
  static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
  for (size_t i = 0; i < 4; i++) {
    char name[256];
    snprintf(name, sizeof name, "%s%s", base, tails[i]);
    unlink(name);
  }
}

static void clean(void) {
  remove_all(path);
  assert_int_equal(rmdir(folder), 0); /* nothing else was left behind */
}

static void copy_file(const char *from, const char *to) {
  FILE *in = fopen(from, "rb"), *out;
  if (!in) return;
  out = fopen(to, "wb");
  assert_non_null(out);
  char buf[65536];
  for (size_t n; (n = fread(buf, 1, sizeof buf, in)) > 0;)
    assert_int_equal(fwrite(buf, 1, n, out), n);
  fclose(in);
  fclose(out);
}

/* The files as a crash at this moment would leave them (without the page cache's help: nothing is closed). */
static void copy_store(const char *to) {
  char from[256], target[256];
  remove_all(to);
  copy_file(path, to);
  snprintf(from, sizeof from, "%s-wal", path);
  snprintf(target, sizeof target, "%s-wal", to);
  copy_file(from, target);
}

static plr_status open_status(kit *k, const char *where, plr_ledger **out, plr_error *err) {
  plr_ledger_options o = kit_options(k, where);
  return plr_ledger_open(k->ctx, &o, out, err);
}

static void same_state(const plr_ledger *a, const plr_ledger *b) {
  plr_ledger_summary x = kit_summary(a), y = kit_summary(b);
  plr_hash s, t;
  assert_memory_equal(&x, &y, sizeof x);
  plr__map_root(&((plr_ledger *)(uintptr_t)a)->state.map, &s);
  plr__map_root(&((plr_ledger *)(uintptr_t)b)->state.map, &t);
  assert_memory_equal(&s, &t, sizeof s);
}

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
  assert_int_equal(k.ledger->store.ops->begin(k.ledger->store.self, NULL), PLR_OK);
  plr_hash h = {{1}};
  for (uint64_t i = 0; i < 4000; i++) { /* enough to spill into the file */
    memset(k.entry, (int)i, 2000);
    assert_int_equal(k.ledger->store.ops->append(k.ledger->store.self, before.entries + i, PLR_OK,
                                                 k.entry, 2000, &h, 1, NULL),
                     PLR_OK);
  }
  copy_store(to);
  k.ledger->store.ops->rollback(k.ledger->store.self);
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
    assert_int_equal(s->ops->begin(s->self, NULL), PLR_OK);
    assert_int_equal(s->ops->put(s->self, "checkpoint", note.data, note.len, NULL), PLR_OK);
    assert_int_equal(s->ops->commit(s->self, NULL), PLR_OK);
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
        kit_work(&k, 0, 10 + i, (uint32_t)what, i % 4);
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

static int has_sqlite(void) {
  kit k;
  plr_ledger *l;
  scratch();
  kit_init(&k, 1);
  plr_status st = open_status(&k, path, &l, NULL);
  plr_ledger_destroy(l);
  kit_done(&k);
  clean();
  return st != PLR_ERR_UNSUPPORTED;
}

int main(void) {
  if (!has_sqlite()) {
    printf("skipped: this build has no SQLite\n");
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reopen),       cmocka_unit_test(reopen_invalid),
      cmocka_unit_test(refusals),     cmocka_unit_test(not_ledgers),
      cmocka_unit_test(crash_copies), cmocka_unit_test(torn_log),
      cmocka_unit_test(killed),       cmocka_unit_test(full_disk),
      cmocka_unit_test(flipped),      cmocka_unit_test(checkpoint_guard),
      cmocka_unit_test(no_memory),    cmocka_unit_test(long_tail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
