/* Every allocation fails in turn, the context's and SQLite's, in all that a ledger does: the status is NO_MEMORY,
 * nothing has changed, and the same call works once there is memory. */
#include "ledger_store_kit.h"

#include <sqlite3.h>

static uint64_t left = UINT64_MAX; /* allocations that succeed */
static int full;                   /* every one of the many of opening and rebuilding, too */
static int reached;                /* one has failed */

static int may(void) {
  if (left == UINT64_MAX) return 1;
  if (left == 0) {
    reached = 1;
    left = UINT64_MAX; /* one only: what follows is how it is dealt with */
    return 0;
  }
  left--;
  return 1;
}

/* ---- allocators ---------------------------------------------------------------------------------- */

static void *context_alloc(void *user, size_t size, size_t align) {
  (void)user;
  return may() ? aligned_alloc(align, (size + align - 1) / align * align) : NULL;
}

static void context_free(void *user, void *ptr, size_t size, size_t align) {
  (void)user, (void)size, (void)align;
  free(ptr);
}

static void *sql_malloc(int size) {
  uint64_t *p = may() ? malloc((size_t)size + 16) : NULL;
  if (!p) return NULL;
  p[0] = (uint64_t)size;
  return p + 2;
}

static void sql_free(void *ptr) {
  free((uint64_t *)ptr - 2);
}

static int sql_size(void *ptr) {
  return ptr ? (int)((uint64_t *)ptr - 2)[0] : 0;
}

static void *sql_realloc(void *ptr, int size) {
  uint64_t *p = may() ? realloc((uint64_t *)ptr - 2, (size_t)size + 16) : NULL;
  if (!p) return NULL;
  p[0] = (uint64_t)size;
  return p + 2;
}

static int sql_round(int size) {
  return (size + 7) & ~7;
}

static int sql_init(void *arg) {
  (void)arg;
  return SQLITE_OK;
}

static void sql_shutdown(void *arg) {
  (void)arg;
}

/* ---- what a ledger does ------------------------------------------------------------------------------ */

enum { MANY = 12 };

typedef struct env {
  kit k;
  plr_context *ctx; /* with the allocator that fails */
  uint64_t step;
  plr_append_item items[MANY];
  void *copies[MANY];
  int fresh; /* the items have not been appended */
  kit_file file;
  char copy[160];
} env;

static void more_work(env *e) {
  if (e->fresh) return;
  for (uint32_t i = 0; i < MANY; i++) {
    free(e->copies[i]);
    kit_work(&e->k, kit_summary(e->k.ledger).epoch, e->step++, 0, i % 4);
    e->copies[i] = malloc(e->k.len);
    e->items[i] =
        (plr_append_item){.entry = memcpy(e->copies[i], e->k.entry, e->k.len), .len = e->k.len};
  }
  e->fresh = 1;
}

static plr_status do_append_many(env *e, plr_error *err) {
  return plr_ledger_append_many(e->k.ledger, e->items, MANY, err);
}

static plr_status do_append(env *e, plr_error *err) {
  return plr_ledger_append(e->k.ledger, e->items[0].entry, e->items[0].len, NULL, err);
}

static plr_status do_close(env *e, plr_error *err) {
  return plr_ledger_close_epoch(e->k.ledger, NULL, err);
}

static plr_status do_checkpoint(env *e, plr_error *err) {
  char note[512];
  size_t len;
  return plr_ledger_checkpoint(e->k.ledger, note, sizeof note, &len, err);
}

static plr_status do_export(env *e, plr_error *err) {
  plr_sink sink = kit_sink(&e->file);
  e->file.len = 0;
  return plr_ledger_export(e->k.ledger, &sink, err);
}

static plr_verify_options against(env *e, uint8_t key[32]) {
  plr_verify_options v;
  plr_verify_options_init(&v, sizeof v);
  plr_identity_public_key(e->k.people[SEQUENCER], key);
  v.origin = ORIGIN, v.public_key = key, v.skip_signatures = 1;
  return v;
}

static plr_status do_verify(env *e, plr_error *err) {
  uint8_t key[32];
  plr_verify_options v = against(e, key);
  plr_source source = kit_source(&e->file);
  return plr_ledger_verify(e->ctx, &source, &v, NULL, err);
}

static plr_status put_nowhere(void *user, const char *name, const void *data, size_t len,
                              int32_t immutable) {
  (void)user, (void)name, (void)data, (void)len, (void)immutable;
  return PLR_OK;
}

static plr_status do_publish(env *e, plr_error *err) {
  plr_publisher p = {NULL, put_nowhere};
  return plr_ledger_publish(e->k.ledger, &p, NULL, err);
}

static plr_status do_compact(env *e, plr_error *err) {
  return plr_ledger_compact(e->k.ledger, err);
}

static plr_status do_read(env *e, plr_error *err) {
  char proof[8192];
  size_t len;
  PLR_TRY(plr_ledger_proof(e->k.ledger, 3, proof, sizeof proof, &len, err));
  PLR_TRY(plr_ledger_entry(e->k.ledger, 3, e->k.entry, sizeof e->k.entry, &len, err));
  return plr_ledger_witness_request(e->k.ledger, 2, proof, sizeof proof, &len, err);
}

static plr_status resource(void *user, const char *name, void *buf, size_t cap, size_t *len) {
  return plr_ledger_resource(user, name, buf, cap, len, NULL);
}

static plr_status do_rebuild(env *e, plr_error *err) {
  uint8_t key[32];
  plr_verify_options v = against(e, key);
  plr_log_reader from = {e->k.ledger, resource};
  plr_ledger_options o = kit_options(&e->k, e->copy);
  return plr_ledger_rebuild(e->ctx, &o, &from, &v, NULL, err);
}

static plr_status do_open_reader(env *e, plr_error *err) {
  plr_ledger *l;
  plr_ledger_options o = kit_options(&e->k, e->copy);
  o.sequencer = NULL;
  plr_status st = plr_ledger_open(e->ctx, &o, &l, err);
  plr_ledger_destroy(l);
  return st;
}

static plr_status do_open_writer(env *e, plr_error *err) {
  plr_ledger *l;
  plr_ledger_options o = kit_options(&e->k, e->copy);
  plr_status st = plr_ledger_open(e->ctx, &o, &l, err);
  plr_ledger_destroy(l);
  return st;
}

typedef struct deed {
  const char *name;
  plr_status (*run)(env *e, plr_error *err);
  int appends; /* the items are used up */
  int file;    /* needs SQLite */
} deed;

static const deed deeds[] = {
    {"append_many", do_append_many, 1, 0}, {"append", do_append, 1, 0},
    {"close_epoch", do_close, 0, 0},       {"checkpoint", do_checkpoint, 0, 0},
    {"export", do_export, 0, 0},           {"verify", do_verify, 0, 0},
    {"publish", do_publish, 0, 0},         {"read", do_read, 0, 0},
    {"compact", do_compact, 0, 0},         {"rebuild", do_rebuild, 0, 1},
    {"open reader", do_open_reader, 0, 1}, {"open writer", do_open_writer, 0, 1},
};

/* ---- in turn ----------------------------------------------------------------------------------------- */

static uint64_t open_starved(env *e, const char *where) {
  plr_ledger_options o = kit_options(&e->k, where);
  uint64_t n;
  for (n = 0;; n += full || n < 100 ? 1 : 5) {
    plr_error err;
    plr_error_init(&err, sizeof err);
    left = n, reached = 0;
    plr_status st = plr_ledger_open(e->ctx, &o, &e->k.ledger, &err);
    left = UINT64_MAX;
    if (!reached) return st == PLR_OK ? n : 0;
    if (st == PLR_OK) { /* SQLite could do without */
      plr_ledger_destroy(e->k.ledger);
      e->k.ledger = NULL;
      continue;
    }
    if (st != PLR_ERR_NO_MEMORY)
      fail_msg("open, allocation %llu: %s: %s", (unsigned long long)n, err.where, err.message);
    assert_null(e->k.ledger);
  }
}

static void starve(env *e, const deed *d) {
  uint64_t n, failures = 0;
  for (n = 0;; n += full || n < 100 ? 1 : 7) {
    plr_error err;
    plr_error_init(&err, sizeof err);
    more_work(e);
    remove_all(d->run == do_rebuild ? e->copy : "");
    plr_ledger_summary before = kit_summary(e->k.ledger);
    left = n, reached = 0;
    plr_status st = d->run(e, &err);
    left = UINT64_MAX;
    if (st == PLR_OK && (d->appends || d->run == do_close))
      e->fresh = 0; /* of another epoch, too */
    if (!reached) {
      if (st != PLR_OK) fail_msg("%s: %s: %s", d->name, err.where, err.message);
      break;
    }
    if (st == PLR_OK) continue;
    failures++;
    if (st != PLR_ERR_NO_MEMORY)
      fail_msg("%s, allocation %llu: %s: %s", d->name, (unsigned long long)n, err.where,
               err.message);
    plr_ledger_summary after = kit_summary(e->k.ledger);
    assert_memory_equal(&before, &after, sizeof before);
  }
  assert_int_equal(plr__state_audit(&e->k.ledger->state, NULL), PLR_OK);
  printf("%s: %llu allocations, %llu failures\n", d->name, (unsigned long long)n,
         (unsigned long long)failures);
}

static void no_memory(const char *where) {
  env e;
  plr_context_options o;
  memset(&e, 0, sizeof e);
  kit_init(&e.k, 1);
  plr_context_options_init(&o, sizeof o);
  o.allocator.alloc = context_alloc;
  o.allocator.free = context_free;
  assert_int_equal(plr_context_create(&o, &e.ctx, NULL), PLR_OK);
  snprintf(e.copy, sizeof e.copy, "%s/c.db", folder);
  assert_true(open_starved(&e, where) >= 4);
  kit_populate(&e.k);
  char note[512];
  size_t len;
  assert_int_equal(plr_ledger_checkpoint(e.k.ledger, note, sizeof note, &len, NULL), PLR_OK);
  for (size_t i = 0; i < PLR_COUNT_OF(deeds); i++)
    if (where || !deeds[i].file) starve(&e, &deeds[i]);
  plr_ledger_summary before = kit_summary(e.k.ledger), after;
  plr_ledger_destroy(e.k.ledger);
  e.k.ledger = NULL;
  if (where) { /* a snapshot and what follows it */
    assert_true(open_starved(&e, where) > 20);
    after = kit_summary(e.k.ledger);
    assert_memory_equal(&before, &after, sizeof before);
    plr_ledger_destroy(e.k.ledger);
    e.k.ledger = NULL;
    remove_all(e.copy);
  }
  uint64_t bytes;
  plr_context_memory(e.ctx, &bytes, NULL, NULL);
  assert_int_equal(bytes, 0);
  plr_context_destroy(e.ctx);
  for (int i = 0; i < MANY; i++) free(e.copies[i]);
  free(e.file.data);
  kit_done(&e.k);
}

static void in_memory(void **state) {
  (void)state;
  no_memory(NULL);
}

static void in_a_file(void **state) {
  (void)state;
  scratch();
  no_memory(path);
  clean();
}

int main(void) {
  static const sqlite3_mem_methods allocator = {sql_malloc, sql_free, sql_realloc,  sql_size,
                                                sql_round,  sql_init, sql_shutdown, NULL};
  full = getenv("PLR_TEST_FULL") != NULL;
  if (sqlite3_config(SQLITE_CONFIG_MALLOC, &allocator) != SQLITE_OK) return 1;
  if (!has_sqlite()) {
    printf("skipped: this build has no SQLite\n");
    return 0;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(in_memory), cmocka_unit_test(in_a_file)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
