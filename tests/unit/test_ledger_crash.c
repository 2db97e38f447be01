/* A ledger whose process is killed again and again, and one each of whose calls of the file system fails in turn, by
 * strace. An oracle in shared memory knows what was acknowledged and which checkpoints were given away. */
#include "ledger_script.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

static char tiles[160], oracle[160];

static promised *oracle_at(const char *name) {
  int fd = open(name, O_RDWR | O_CREAT, 0600);
  assert_true(fd >= 0);
  assert_int_equal(ftruncate(fd, sizeof(promised)), 0);
  promised *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  assert_true(p != MAP_FAILED);
  close(fd);
  return p;
}

/* Opens what is there after a crash, and checks it. The ledger goes on. */
static plr_ledger *survivor(const script *s, promised *p) {
  kit k = s->made;
  plr_ledger *l;
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (script_open(&k, path, &l, &err) != PLR_OK) fail_msg("%s: %s", err.where, err.message);
  script_check(s, l, p);
  return l;
}

/* ---- killed ------------------------------------------------------------------------------------ */

static void pause_us(long us) {
  struct timespec t = {0, us * 1000};
  nanosleep(&t, NULL);
}

static void child_plays(const script *s, promised *p) {
  kit k = s->made;
  plr_ledger *l;
  if (script_open(&k, path, &l, NULL) != PLR_OK) _exit(3);
  p->entries = PLR_MAX(p->entries, 1u);
  if (script_play(s, l, p) != PLR_OK) _exit(4);
  for (;;) pause();
}

static void killed(void **state) {
  (void)state;
  static script s;
  const int rounds = getenv("PLR_TEST_FULL") ? 500 : 20;
  uint64_t seed = 88172645463325252u;
  int through = 0;
  scratch();
  script_make(&s, 6, 40, 0);
  snprintf(oracle, sizeof oracle, "%s/oracle", folder);
  promised *p = oracle_at(oracle);
  p->begun = 1;
  for (int round = 0; round < rounds; round++) {
    uint64_t want = PLR_MIN(p->entries + seed % 13, s.count);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) child_plays(&s, p);
    while (*(volatile uint64_t *)&p->entries < want) {
      pause_us(20);
      assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    }
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    if (seed >> 60) pause_us((long)(seed >> 32) % 2000);
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    plr_ledger *l = survivor(&s, p);
    p->entries = kit_summary(l).entries;
    plr_ledger_destroy(l);
    if (p->entries + 20 < s.count) continue;
    remove_all(path); /* another life */
    memset(p, 0, sizeof *p);
    p->begun = 1, through++;
  }
  printf("killed %d times, %d lives\n", rounds, through + 1);
  munmap(p, sizeof *p);
  unlink(oracle);
  script_free(&s);
  clean();
}

/* ---- calls that fail ----------------------------------------------------------------------------- */

static void name_files(void) {
  snprintf(path, sizeof path, "%s/l.db", folder);
  snprintf(tiles, sizeof tiles, "%s/tiles", folder);
  snprintf(oracle, sizeof oracle, "%s/oracle", folder);
}

static void make_small(script *s) {
  script_make(s, 1, 5, 0);
}

/* What runs under strace: a whole life. What fails is tried again, as a host would; after five times it gives up. */
static int worker(const char *where, int idle) {
  static script s;
  plr_ledger *l;
  snprintf(folder, sizeof folder, "%s", where);
  name_files();
  make_small(&s);
  promised *p = oracle_at(oracle);
  kit k = s.made;
  for (int again = 0; !idle && again < 5; again++) {
    if (script_open(&k, path, &l, NULL) != PLR_OK) continue;
    p->entries = PLR_MAX(p->entries, 1u);
    plr_status st = script_play(&s, l, p);
    if (st == PLR_OK) st = script_sign(l, p);
    if (st == PLR_OK) st = plr_ledger_publish_path(l, tiles, NULL, NULL);
    if (st == PLR_OK) st = plr_ledger_compact(l, NULL);
    plr_ledger_destroy(l);
    if (st == PLR_OK) break;
    if (st <= -300) return 5; /* a call that failed is no damage */
  }
  script_free(&s);
  return 0;
}

static const char *const calls[] = {"openat", "read",      "pread64",    "write",  "pwrite64",
                                    "fsync",  "fdatasync", "ftruncate",  "rename", "unlink",
                                    "mkdir",  "fcntl",     "newfstatat", "lseek",  "close",
                                    "access", "fallocate", "mmap"};

static void remove_folder(void) {
  char command[300];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  assert_int_equal(system(command), 0);
}

/* Runs the worker; gives how many calls of that name it made, -1 when strace cannot. */
static int run_worker(const char *self, const char *call, const char *inject, int idle) {
  char command[600], line[400];
  int count = 0;
  snprintf(command, sizeof command,
           "strace -f --seccomp-bpf -e trace=%s%s%s -o %s/trace %s %s %s 2>/dev/null", call,
           *inject ? " -e inject=" : "", inject, folder, self, idle ? "idle" : "work", folder);
  int status = system(command);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    if (!*inject) return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) < 5) return 0; /* it could not begin */
    fail_msg("%s: the worker ended with status %x", inject, status);
  }
  snprintf(command, sizeof command, "%s/trace", folder);
  FILE *f = fopen(command, "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f))
    count += strstr(line, call) != NULL && strchr(line, '(') != NULL;
  fclose(f);
  return count;
}

/* What is published is complete, and is this log. */
static void check_published(const script *s, plr_ledger *l) {
  kit k = s->made;
  plr_source source;
  char name[200], copy[200], note[1024];
  snprintf(name, sizeof name, "%s/checkpoint", tiles);
  snprintf(copy, sizeof copy, "%s/c.db", folder);
  if (plr_source_open_path(k.ctx, name, &source, NULL) != PLR_OK) return;
  assert_true(source.size < sizeof note);
  assert_int_equal(source.read_at(source.user, 0, note, (size_t)source.size), PLR_OK);
  assert_int_equal(plr_ledger_guard(l, note, (size_t)source.size, NULL), PLR_OK);
  source.close(source.user);
  uint8_t key[32];
  plr_verify_options v;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_verify_options_init(&v, sizeof v);
  plr_identity_public_key(k.people[SEQUENCER], key);
  v.origin = ORIGIN, v.public_key = key;
  plr_ledger_options o = kit_options(&k, copy);
  if (plr_ledger_rebuild_path(k.ctx, &o, tiles, &v, NULL, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
}

static const char *self;

static void every_call(void **state) {
  (void)state;
  static script s;
  const int full = getenv("PLR_TEST_FULL") != NULL;
  int runs = 0, made = 0;
  make_small(&s);
  scratch();
  name_files();
  if (run_worker(self, "openat", "", 0) < 1) {
    printf("skipped: strace is absent, or may not trace\n");
    remove_folder();
    script_free(&s);
    skip();
  }
  remove_folder();
  for (size_t c = 0; c < PLR_COUNT_OF(calls); c++) {
    scratch();
    name_files();
    int before = run_worker(self, calls[c], "", 1);
    int after = run_worker(self, calls[c], "", 0);
    assert_true(before >= 0 && after >= before);
    remove_folder();
    made += after - before;
    int step = full ? 1 : 1 + (after - before) / 8;
    for (int n = before + 1 + (int)c % step; n <= after; n += step, runs++) {
      char inject[80];
      scratch();
      name_files();
      snprintf(inject, sizeof inject, "%s:error=%s:when=%d", calls[c], n % 3 ? "EIO" : "ENOSPC", n);
      run_worker(self, calls[c], inject, 0);
      promised *p = oracle_at(oracle);
      p->begun = PLR_MAX(p->begun, 1u);
      plr_ledger *l = survivor(&s, p);
      check_published(&s, l);
      assert_int_equal(script_play(&s, l, p), PLR_OK);
      script_check(&s, l, p);
      assert_int_equal(plr_ledger_publish_path(l, tiles, NULL, NULL), PLR_OK);
      check_published(&s, l);
      same_state(l, s.made.ledger);
      plr_ledger_destroy(l);
      munmap(p, sizeof *p);
      remove_folder();
    }
  }
  printf("%d of %d calls failed in turn\n", runs, made);
  assert_true(runs > 60);
  script_free(&s);
}

int main(int argc, char **argv) {
  if (argc == 3) return worker(argv[2], strcmp(argv[1], "idle") == 0);
  self = argv[0];
  if (!has_sqlite()) {
    printf("skipped: this build has no SQLite\n");
    return 0;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(killed), cmocka_unit_test(every_call)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
