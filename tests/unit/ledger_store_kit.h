/* What tests of the SQLite store share: a folder to work in, copies of a store, opening. */
#ifndef PLR_TESTS_LEDGER_STORE_KIT_H
#define PLR_TESTS_LEDGER_STORE_KIT_H

#include "ledger_kit.h"

#include <unistd.h>

static char folder[64], path[128];

/* The long form of a test is asked for. */
static inline int full_test(void) {
  const char *v = getenv("PLR_TEST_FULL");
  return v && strcmp(v, "1") == 0;
}

static inline void scratch(void) {
  strcpy(folder, "ledger-XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/l.db", folder);
}

static inline void remove_all(const char *base) {
  static const char *const tails[] = {"", "-wal", "-shm", "-journal", "-lock"};
  for (size_t i = 0; i < 5; i++) {
    char name[256];
    snprintf(name, sizeof name, "%s%s", base, tails[i]);
    unlink(name);
  }
}

static inline void clean(void) {
  remove_all(path);
  assert_int_equal(rmdir(folder), 0); /* nothing else was left behind */
}

static inline void copy_file(const char *from, const char *to) {
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
static inline void copy_store(const char *to) {
  char from[256], target[256];
  remove_all(to);
  copy_file(path, to);
  snprintf(from, sizeof from, "%s-wal", path);
  snprintf(target, sizeof target, "%s-wal", to);
  copy_file(from, target);
}

static inline plr_status open_status(kit *k, const char *where, plr_ledger **out, plr_error *err) {
  plr_ledger_options o = kit_options(k, where);
  return plr_ledger_open(k->ctx, &o, out, err);
}

static inline void same_state(const plr_ledger *a, const plr_ledger *b) {
  plr_ledger_summary x = kit_summary(a), y = kit_summary(b);
  plr_hash s, t;
  assert_memory_equal(&x, &y, sizeof x);
  plr__map_root(&((plr_ledger *)(uintptr_t)a)->state.map, &s);
  plr__map_root(&((plr_ledger *)(uintptr_t)b)->state.map, &t);
  assert_memory_equal(&s, &t, sizeof s);
}

static inline int has_sqlite(void) {
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

#endif
