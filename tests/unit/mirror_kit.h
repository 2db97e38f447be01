/* What the tests of mirrors share: a folder, a log published into it, a mirror of it. */
#ifndef PLR_TESTS_MIRROR_KIT_H
#define PLR_TESTS_MIRROR_KIT_H

#include "ledger_kit.h"

#include <dirent.h>
#include <pluralis/mirror.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[64], site_path[96], copy_path[96];

static inline void remove_tree(const char *path) {
  DIR *d = opendir(path);
  for (struct dirent *e; d && (e = readdir(d));) {
    char below[512];
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    snprintf(below, sizeof below, "%.220s/%.255s", path, e->d_name);
    if (remove(below) != 0) remove_tree(below);
  }
  if (d) closedir(d);
  (void)remove(path);
}

static inline void scratch_begin(void) {
  strcpy(scratch, "mirror-XXXXXX");
  assert_non_null(mkdtemp(scratch));
  snprintf(site_path, sizeof site_path, "%s/site", scratch);
  snprintf(copy_path, sizeof copy_path, "%s/copy.db", scratch);
}

static inline void scratch_end(void) {
  remove_tree(scratch);
  assert_int_not_equal(access(scratch, F_OK), 0);
}

/* Opens a ledger that takes entries without effect, so that a long log is made quickly. */
static inline void open_long(kit *k, uint64_t size) {
  plr_ledger_options o = kit_options(k, NULL);
  o.log_invalid = 1;
  assert_int_equal(plr_ledger_open(k->ctx, &o, &k->ledger, NULL), PLR_OK);
  kit_story(k);
  enum { MANY = 4096 };
  static uint8_t junk[MANY][64];
  static plr_append_item items[MANY];
  for (uint64_t have = kit_summary(k->ledger).entries; have < size;) {
    size_t n = (size_t)PLR_MIN(MANY, size - have);
    for (size_t i = 0; i < n; i++) {
      plr__store_be64(junk[i], have + i);
      items[i] = (plr_append_item){.entry = junk[i], .len = 1 + (have + i) % 64};
    }
    assert_int_equal(plr_ledger_append_many(k->ledger, items, n, NULL), PLR_OK);
    have += n;
  }
}

static inline void sign(kit *k) {
  char note[4096];
  size_t len;
  assert_int_equal(plr_ledger_checkpoint(k->ledger, note, sizeof note, &len, NULL), PLR_OK);
}

static inline void publish_site(kit *k) {
  sign(k);
  assert_int_equal(plr_ledger_publish_path(k->ledger, site_path, NULL, NULL), PLR_OK);
}

typedef struct watched {
  uint64_t done, total, bytes, calls, stop_at;
  plr_status with;
} watched;

static plr_status watch(void *user, uint64_t done, uint64_t total, uint64_t bytes) {
  watched *w = user;
  w->done = done, w->total = total, w->bytes = bytes, w->calls++;
  return w->stop_at && done >= w->stop_at ? w->with : PLR_OK;
}

typedef struct mirrored {
  plr_mirror_options o;
  plr_remote_options r;
  uint8_t key[32];
  watched seen;
  plr_mirror *mirror;
} mirrored;

static inline void mirror_options(kit *k, mirrored *m, const char *url, const char *path) {
  memset(m, 0, sizeof *m);
  plr_mirror_options_init(&m->o, sizeof m->o);
  plr_remote_options_init(&m->r, sizeof m->r);
  plr_identity_public_key(k->people[SEQUENCER], m->key);
  m->o.url = url, m->o.path = path, m->o.origin = ORIGIN, m->o.public_key = m->key;
  m->o.remote = &m->r;
  m->o.progress = watch, m->o.user = &m->seen;
  m->r.backoff_ms = 5;
  m->r.timeout_ms = 20000;
}

static inline void mirror_open(kit *k, mirrored *m) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_mirror_create(k->ctx, &m->o, &m->mirror, &err) != PLR_OK)
    fail_msg("create: %s: %s", err.where, err.message);
}

static inline plr_status mirror_update(mirrored *m, plr_error *err) {
  uint64_t size;
  plr_error_init(err, sizeof *err);
  plr_status st = plr_mirror_update(m->mirror, &size, err);
  if (err->status != (int32_t)st) fail_msg("%s, and err says %d", plr_status_name(st), err->status);
  assert_true(st == PLR_OK || (err->message[0] && err->where[0]));
  return st;
}

static inline void mirror_good(mirrored *m) {
  plr_error err;
  if (mirror_update(m, &err) != PLR_OK) fail_msg("update: %s: %s", err.where, err.message);
}

static inline void mirror_close(mirrored *m) {
  plr_mirror_destroy(m->mirror);
  m->mirror = NULL;
}

/* The copy says what the original says, in numbers, state and signed head. */
static inline void same_ledger(plr_ledger *a, plr_ledger *b) {
  plr_ledger_summary x = kit_summary(a), y = kit_summary(b);
  plr_hash s, t;
  char note[2][4096];
  size_t len[2];
  assert_memory_equal(&x, &y, sizeof x);
  plr__map_root(&a->state.map, &s);
  plr__map_root(&b->state.map, &t);
  assert_memory_equal(&s, &t, sizeof s);
  assert_int_equal(plr_ledger_resource(a, "checkpoint", note[0], sizeof note[0], &len[0], NULL),
                   PLR_OK);
  assert_int_equal(plr_ledger_resource(b, "checkpoint", note[1], sizeof note[1], &len[1], NULL),
                   PLR_OK);
  assert_int_equal(len[0], len[1]);
  assert_memory_equal(note[0], note[1], len[0]);
}

/* Does this build have libcurl? */
static inline int has_remote(kit *k) {
  mirrored m;
  mirror_options(k, &m, "http://127.0.0.1:1", NULL);
  plr_status st = plr_mirror_create(k->ctx, &m.o, &m.mirror, NULL);
  mirror_close(&m);
  return st != PLR_ERR_UNSUPPORTED;
}

#endif
