/* A ledger from its published files alone, in a file and in a store of the host's. */
#include "ledger_store_kit.h"

/* ---- a store of a host: memory that outlives the ledger, with calls that fail --------------------- */

#define ROWS    80000u
#define RECORDS 64u

typedef struct blob {
  uint8_t *data;
  size_t len;
} blob;

typedef struct record {
  char name[32];
  blob value;
} record;

typedef struct host_store {
  blob rows[ROWS];
  uint64_t count;
  record records[RECORDS], before[RECORDS]; /* before: what a transaction replaced */
  uint64_t count_before;
  int open, compacted;
  uint64_t calls, fail_at; /* the fail_at'th call fails; 0: none */
} host_store;

static blob blob_of(const void *data, size_t len) {
  blob b = {malloc(len ? len : 1), len};
  if (len) memcpy(b.data, data, len);
  return b;
}

static plr_status tick(host_store *h, plr_error *err) {
  if (++h->calls != h->fail_at) return PLR_OK;
  if (err) err->status = PLR_ERR_IO;
  return PLR_ERR_IO;
}

static void records_free(record *r) {
  for (uint32_t i = 0; i < RECORDS; i++) free(r[i].value.data);
  memset(r, 0, RECORDS * sizeof *r);
}

static void records_copy(record *to, const record *from) {
  records_free(to);
  for (uint32_t i = 0; i < RECORDS; i++) {
    to[i] = from[i];
    if (from[i].value.data) to[i].value = blob_of(from[i].value.data, from[i].value.len);
  }
}

static plr_status host_begin(void *user, plr_error *err) {
  host_store *h = user;
  assert_false(h->open);
  PLR_TRY(tick(h, err));
  h->open = 1;
  h->count_before = h->count;
  records_copy(h->before, h->records);
  return PLR_OK;
}

static plr_status host_append(void *user, uint64_t index, const void *row, size_t len,
                              plr_error *err) {
  host_store *h = user;
  assert_true(h->open && index == h->count && index < ROWS && len >= 37 && len <= 67587);
  PLR_TRY(tick(h, err));
  h->rows[h->count++] = blob_of(row, len);
  return PLR_OK;
}

static plr_status host_put(void *user, const char *name, const void *data, size_t len,
                           plr_error *err) {
  host_store *h = user;
  assert_true(h->open && strlen(name) < 32 &&
              strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789/") == strlen(name));
  PLR_TRY(tick(h, err));
  record *free_one = NULL, *found = NULL;
  for (uint32_t i = 0; i < RECORDS; i++) {
    record *r = &h->records[i];
    if (r->value.data && strcmp(r->name, name) == 0) found = r;
    if (!r->value.data && !free_one) free_one = r;
  }
  if (found) {
    free(found->value.data);
    memset(found, 0, sizeof *found);
  }
  if (!len) return PLR_OK;
  if (!found) found = free_one;
  assert_non_null(found);
  strcpy(found->name, name);
  found->value = blob_of(data, len);
  return PLR_OK;
}

static plr_status host_commit(void *user, plr_error *err) {
  host_store *h = user;
  assert_true(h->open);
  PLR_TRY(tick(h, err));
  h->open = 0;
  return PLR_OK;
}

static void host_rollback(void *user) {
  host_store *h = user;
  if (!h->open) return;
  while (h->count > h->count_before) free(h->rows[--h->count].data);
  records_copy(h->records, h->before);
  h->open = 0;
}

static plr_status host_row(void *user, uint64_t index, const void **data, size_t *len,
                           plr_error *err) {
  host_store *h = user;
  assert_false(h->open);
  PLR_TRY(tick(h, err));
  if (index >= h->count) return PLR_ERR_NOT_FOUND;
  *data = h->rows[index].data, *len = h->rows[index].len;
  return PLR_OK;
}

static plr_status host_get(void *user, const char *name, const void **data, size_t *len,
                           plr_error *err) {
  host_store *h = user;
  assert_false(h->open);
  PLR_TRY(tick(h, err));
  for (uint32_t i = 0; i < RECORDS; i++)
    if (h->records[i].value.data && strcmp(h->records[i].name, name) == 0) {
      *data = h->records[i].value.data, *len = h->records[i].value.len;
      return PLR_OK;
    }
  return PLR_ERR_NOT_FOUND;
}

static plr_status host_compact(void *user, plr_error *err) {
  (void)err;
  ((host_store *)user)->compacted++;
  return PLR_OK;
}

static plr_ledger_store host_of(host_store *h) {
  plr_ledger_store s = {h,        host_begin, host_append, host_put, host_commit, host_rollback,
                        host_row, host_get,   host_compact};
  return s;
}

static host_store *host_new(void) {
  host_store *h = calloc(1, sizeof *h);
  assert_non_null(h);
  return h;
}

static void host_free(host_store *h) {
  while (h->count) free(h->rows[--h->count].data);
  records_free(h->records);
  records_free(h->before);
  free(h);
}

static plr_status host_open(kit *k, host_store *h, int writer, plr_ledger **out) {
  plr_ledger_store s = host_of(h);
  plr_ledger_options o = kit_options(k, NULL);
  o.store = &s;
  if (!writer) o.sequencer = NULL;
  return plr_ledger_open(k->ctx, &o, out, NULL);
}

/* ---- files of a ledger, as a web server would give them ------------------------------------------- */

typedef struct served {
  plr_ledger *ledger;
  uint64_t reads, fail_at, change_at; /* read that fails; that has a byte changed; 0: none */
  uint64_t offset;                    /* of that byte */
  int only_complete;                  /* incomplete tiles are gone */
  plr_ledger *complete;               /* of a later log, which has the complete ones */
} served;

static plr_status served_read(void *user, const char *name, void *buf, size_t cap, size_t *len) {
  served *s = user;
  s->reads++;
  if (s->reads == s->fail_at) return PLR_ERR_IO;
  if (s->only_complete && strstr(name, ".p/")) return PLR_ERR_NOT_FOUND;
  plr_ledger *l = s->complete && strcmp(name, "checkpoint") != 0 ? s->complete : s->ledger;
  plr_status st = plr_ledger_resource(l, name, buf, cap, len, NULL);
  if (st == PLR_OK && s->reads == s->change_at && *len) ((uint8_t *)buf)[s->offset % *len] ^= 0x20;
  return st;
}

static plr_status rebuild_with(kit *k, served *s, const plr_ledger_options *o, uint32_t skip,
                               plr_ledger_summary *sum, plr_error *err) {
  uint8_t key[32];
  plr_log_reader from = {s, served_read};
  plr_verify_options v;
  plr_verify_options_init(&v, sizeof v);
  plr_identity_public_key(k->people[SEQUENCER], key);
  v.origin = ORIGIN, v.public_key = key, v.skip_signatures = skip;
  return plr_ledger_rebuild(k->ctx, o, &from, &v, sum, err);
}

static plr_status rebuild_host(kit *k, served *s, host_store *h, plr_ledger_summary *sum) {
  plr_ledger_store store = host_of(h);
  plr_ledger_options o = kit_options(k, NULL);
  plr_error err;
  plr_error_init(&err, sizeof err);
  o.store = &store;
  plr_status st = rebuild_with(k, s, &o, 0, sum, &err);
  if (st != PLR_OK && getenv("DBG")) printf("%s: %s\n", err.where, err.message);
  return st;
}

static void sign(kit *k) {
  char note[512];
  size_t len;
  assert_int_equal(plr_ledger_checkpoint(k->ledger, note, sizeof note, &len, NULL), PLR_OK);
}

/* Grows a log by entries of no effect, each another. */
static void grow(kit *k, uint64_t to) {
  enum { N = 1000 };
  static uint8_t junk[N][24];
  static plr_append_item items[N];
  for (uint64_t have; (have = kit_summary(k->ledger).entries) < to;) {
    size_t n = (size_t)PLR_MIN(to - have, N);
    for (size_t i = 0; i < n; i++) {
      plr__store_be64(junk[i], have + i);
      items[i] = (plr_append_item){.entry = junk[i], .len = 8 + (have + i) % 17};
    }
    assert_int_equal(plr_ledger_append_many(k->ledger, items, n, NULL), PLR_OK);
  }
}

static void open_logging(kit *k, const char *where) {
  plr_ledger_options o = kit_options(k, where);
  o.log_invalid = 1;
  assert_int_equal(plr_ledger_open(k->ctx, &o, &k->ledger, NULL), PLR_OK);
}

static void same_log(plr_ledger *a, plr_ledger *b) {
  kit_file x = {0}, y = {0};
  plr_sink p = kit_sink(&x), q = kit_sink(&y);
  same_state(a, b);
  assert_int_equal(plr_ledger_export(a, &p, NULL), PLR_OK);
  assert_int_equal(plr_ledger_export(b, &q, NULL), PLR_OK);
  assert_int_equal(x.len, y.len);
  assert_memory_equal(x.data, y.data, x.len);
  free(x.data);
  free(y.data);
}

/* ---- the tests --------------------------------------------------------------------------------- */

/* A ledger lives in a host's store as in a file, is closed and opened, read, compacted. */
static void host_life(void **state) {
  (void)state;
  kit k, m;
  plr_ledger *reader;
  host_store *h = host_new();
  kit_init(&k, 1);
  kit_init(&m, 1);
  kit_open(&m, NULL);
  kit_story(&m);
  sign(&m);
  assert_int_equal(host_open(&k, h, 0, &reader), PLR_ERR_NOT_FOUND);
  assert_int_equal(host_open(&k, h, 1, &k.ledger), PLR_OK);
  for (uint64_t i = 1; i < kit_summary(m.ledger).entries; i++) {
    assert_int_equal(plr_ledger_entry(m.ledger, i, k.entry, sizeof k.entry, &k.len, NULL), PLR_OK);
    assert_int_equal(kit_append(&k), PLR_OK);
    if (i % 3) continue;
    plr_ledger_destroy(k.ledger);
    assert_int_equal(host_open(&k, h, 1, &k.ledger), PLR_OK);
  }
  sign(&k);
  same_log(k.ledger, m.ledger);
  assert_int_equal(plr_ledger_compact(k.ledger, NULL), PLR_OK);
  assert_int_equal(h->compacted, 1);
  plr_ledger_destroy(k.ledger);
  k.ledger = NULL;
  assert_int_equal(host_open(&k, h, 0, &reader), PLR_OK);
  same_log(reader, m.ledger);
  plr_ledger_destroy(reader);
  /* What is damaged is named, not believed. */
  h->rows[3].len = 20;
  for (uint32_t i = 0; i < RECORDS; i++)
    if (strcmp(h->records[i].name, "snapshot") == 0) {
      free(h->records[i].value.data);
      memset(&h->records[i], 0, sizeof h->records[i]);
    }
  assert_int_equal(host_open(&k, h, 0, &reader), PLR_ERR_CORRUPT);
  for (uint32_t i = 0; i < RECORDS; i++)
    if (strcmp(h->records[i].name, "head") == 0) memset(h->records[i].name, 'x', 4);
  assert_int_equal(host_open(&k, h, 1, &reader), PLR_ERR_CORRUPT); /* and no Genesis is written */
  plr_ledger_store s = host_of(h);
  plr_ledger_options o = kit_options(&k, "a.db");
  o.store = &s;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &reader, NULL), PLR_ERR_INVALID_ARGUMENT);
  o.path = NULL;
  s.get = NULL;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &reader, NULL), PLR_ERR_INVALID_ARGUMENT);
  kit_done(&m);
  kit_done(&k);
  host_free(h);
}

/* Every call of the store fails in turn, in open, append, close, checkpoint, compact and publish: the status is the
 * store's, nothing is half done, and the same call works afterwards. */
static void host_fails(void **state) {
  (void)state;
  kit k;
  host_store *h = host_new();
  kit_init(&k, 1);
  for (h->fail_at = 1;; h->fail_at++) {
    h->calls = 0;
    plr_status st = host_open(&k, h, 1, &k.ledger);
    if (st == PLR_OK) break;
    assert_int_equal(st, PLR_ERR_IO);
    assert_int_equal(h->count, 0);
  }
  h->fail_at = 0;
  kit_populate(&k);
  for (int what = 0; what < 5; what++) {
    int failures = 0;
    kit_work(&k, kit_summary(k.ledger).epoch, 7 + (uint64_t)what, 0, 0);
    for (uint64_t n = 1;; n++) {
      plr_ledger_summary before = kit_summary(k.ledger);
      plr_hash state_before, state_after;
      char note[512];
      size_t len;
      plr_status st;
      plr__map_root(&k.ledger->state.map, &state_before);
      h->calls = 0, h->fail_at = n;
      st = what == 0   ? plr_ledger_append(k.ledger, k.entry, k.len, NULL, NULL)
           : what == 1 ? plr_ledger_close_epoch(k.ledger, NULL, NULL)
           : what == 2 ? plr_ledger_checkpoint(k.ledger, note, sizeof note, &len, NULL)
           : what == 3 ? plr_ledger_compact(k.ledger, NULL)
                       : plr_ledger_proof(k.ledger, 2, note, sizeof note, &len, NULL);
      h->fail_at = 0;
      assert_false(h->open);
      if (st == PLR_OK || st == PLR_ERR_BUFFER_TOO_SMALL) break;
      failures++;
      assert_int_equal(st, PLR_ERR_IO);
      plr_ledger_summary after = kit_summary(k.ledger);
      plr__map_root(&k.ledger->state.map, &state_after);
      assert_memory_equal(&before, &after, sizeof before);
      assert_memory_equal(&state_before, &state_after, sizeof state_before);
      assert_int_equal(h->count, before.entries);
    }
    assert_true(failures >= 2);
  }
  plr_ledger *again;
  assert_int_equal(host_open(&k, h, 0, &again), PLR_OK);
  same_state(again, k.ledger);
  plr_ledger_destroy(again);
  kit_done(&k);
  host_free(h);
}

/* Sizes around every edge of tiles; the copy is extended from each to the next. */
static void sizes(void **state) {
  (void)state;
  static const uint64_t at[] = {0,    255,  256,   257,   511,   512,   600,
                                4096, 4400, 65535, 65536, 65537, 65792, 66100};
  kit k;
  host_store *step = host_new();
  kit_init(&k, 2);
  open_logging(&k, NULL);
  kit_populate(&k);
  kit_work(&k, 0, 1, 0, 0);
  assert_int_equal(kit_append(&k), PLR_OK);
  kit_work(&k, 0, 2, 0, 1);
  k.entry[k.len - 1] ^= 1;
  assert_int_equal(kit_append(&k), PLR_ERR_SIGNATURE); /* logged all the same */
  kit_close(&k);
  for (size_t i = 0; i < PLR_COUNT_OF(at); i++) {
    grow(&k, at[i]);
    sign(&k);
    served s = {.ledger = k.ledger};
    plr_ledger_summary want = kit_summary(k.ledger), got = {.struct_size = sizeof got};
    plr_ledger *copy;
    for (int extend = 0; extend < 2; extend++) {
      host_store *h = extend ? step : host_new();
      assert_int_equal(rebuild_host(&k, &s, h, &got), PLR_OK);
      assert_memory_equal(&want, &got, sizeof want);
      assert_int_equal(rebuild_host(&k, &s, h, &got), PLR_OK); /* there is nothing left to do */
      assert_int_equal(host_open(&k, h, 0, &copy), PLR_OK);
      if (i % 4 == 0)
        same_log(copy, k.ledger);
      else
        same_state(copy, k.ledger);
      plr_ledger_destroy(copy);
      if (!extend) host_free(h);
    }
  }
  host_free(step);
  kit_done(&k);
}

/* Each read fails, and each file has a byte changed, in turn: the store has a true beginning or nothing, and the next
 * call completes it. */
static void bad_files(void **state) {
  (void)state;
  kit k;
  int refused = 0;
  kit_init(&k, 1);
  open_logging(&k, NULL);
  kit_story(&k);
  grow(&k, 66000);
  sign(&k);
  plr_ledger_summary want = kit_summary(k.ledger), got = {.struct_size = sizeof got};
  served all = {.ledger = k.ledger};
  host_store *h = host_new();
  assert_int_equal(rebuild_host(&k, &all, h, &got), PLR_OK);
  host_free(h);
  for (uint64_t n = 1; n <= all.reads; n += n < 8 || n + 8 > all.reads ? 1 : 31) {
    for (int change = 0; change < 2; change++) {
      served s = {.ledger = k.ledger, .offset = n * 57};
      *(change ? &s.change_at : &s.fail_at) = n;
      h = host_new();
      plr_status st = rebuild_host(&k, &s, h, NULL);
      if (change && n > 1)
        assert_true(st == PLR_ERR_CHECKSUM || st == PLR_ERR_MALFORMED);
      else
        assert_true(st != PLR_OK);
      refused++;
      if (h->count) { /* what is there is right, and opens */
        plr_ledger *part;
        assert_int_equal(host_open(&k, h, 0, &part), PLR_OK);
        plr_hash root;
        plr__node_reader nodes = plr__ledger_nodes(k.ledger);
        assert_int_equal(plr__tree_root(&nodes, h->count, &root, NULL), PLR_OK);
        plr_ledger_summary have = kit_summary(part);
        assert_memory_equal(&root, &have.root, sizeof root);
        plr_ledger_destroy(part);
      }
      s.change_at = s.fail_at = 0;
      assert_int_equal(rebuild_host(&k, &s, h, &got), PLR_OK);
      assert_memory_equal(&want, &got, sizeof want);
      host_free(h);
    }
  }
  assert_true(refused > 30);
  kit_done(&k);
}

/* Incomplete tiles are gone since the log went on: the complete ones serve. */
static void later_tiles(void **state) {
  (void)state;
  kit k, more;
  kit_init(&k, 1);
  kit_init(&more, 1);
  open_logging(&k, NULL);
  open_logging(&more, NULL);
  kit_populate(&k);
  kit_populate(&more);
  grow(&k, 1000);
  grow(&more, 70000);
  sign(&k);
  served s = {.ledger = k.ledger, .complete = more.ledger, .only_complete = 1};
  plr_ledger_summary want = kit_summary(k.ledger), got = {.struct_size = sizeof got};
  host_store *h = host_new();
  assert_int_equal(rebuild_host(&k, &s, h, &got), PLR_OK);
  assert_memory_equal(&want, &got, sizeof want);
  host_free(h);
  kit_done(&more);
  kit_done(&k);
}

/* Other logs, other keys, more than is published, and a log whose EpochClose is wrong. */
static void refusals(void **state) {
  (void)state;
  kit k, other;
  plr_error err;
  host_store *h = host_new();
  plr_ledger_store store = host_of(h);
  kit_init(&k, 1);
  kit_init(&other, 1);
  kit_open(&k, NULL);
  kit_open(&other, NULL);
  served s = {.ledger = k.ledger};
  assert_int_equal(rebuild_host(&k, &s, h, NULL), PLR_ERR_NOT_FOUND); /* no checkpoint */
  kit_populate(&k);
  kit_populate(&other);
  kit_deposit(&k, 5);
  assert_int_equal(kit_append(&k), PLR_OK);
  kit_deposit(&other, 6);
  assert_int_equal(kit_append(&other), PLR_OK);
  sign(&k);
  sign(&other);
  assert_int_equal(rebuild_host(&k, &s, h, NULL), PLR_OK);
  served theirs = {.ledger = other.ledger};
  assert_int_equal(rebuild_host(&k, &theirs, h, NULL), PLR_ERR_MISMATCH); /* a fork */
  kit_deposit(&k, 7);
  assert_int_equal(kit_append(&k), PLR_OK);
  sign(&k);
  assert_int_equal(rebuild_host(&k, &s, h, NULL), PLR_OK);
  assert_int_equal(rebuild_host(&k, &theirs, h, NULL), PLR_ERR_MISMATCH);
  plr_verify_options v;
  plr_ledger_options o = kit_options(&k, NULL);
  plr_log_reader from = {&s, served_read};
  uint8_t key[32] = {0};
  plr_verify_options_init(&v, sizeof v);
  plr_error_init(&err, sizeof err);
  v.origin = ORIGIN, v.public_key = key;
  assert_int_equal(plr_ledger_rebuild(k.ctx, &o, &from, &v, NULL, &err), PLR_ERR_INVALID_ARGUMENT);
  o.store = &store;
  assert_int_equal(plr_ledger_rebuild(k.ctx, &o, &from, &v, NULL, &err), PLR_ERR_SIGNATURE);
  plr_identity_public_key(k.people[SEQUENCER], key);
  v.origin = "example.org/other";
  assert_int_equal(plr_ledger_rebuild(k.ctx, &o, &from, &v, NULL, &err), PLR_ERR_SIGNATURE);
  v.origin = ORIGIN;
  from.read = NULL;
  assert_int_equal(plr_ledger_rebuild(k.ctx, &o, &from, &v, NULL, &err), PLR_ERR_INVALID_ARGUMENT);
  host_free(h);
  kit_done(&other);
  kit_done(&k);
}

/* From a folder into a file, which then goes on as the ledger it was. */
static void to_a_file(void **state) {
  (void)state;
  kit k;
  plr_error err;
  char tiles[160], copy[160], command[400];
  uint64_t size;
  scratch();
  snprintf(tiles, sizeof tiles, "%s/tiles", folder);
  snprintf(copy, sizeof copy, "%s/c.db", folder);
  kit_init(&k, 1);
  open_logging(&k, path);
  kit_story(&k);
  grow(&k, 300);
  sign(&k);
  plr_error_init(&err, sizeof err);
  if (plr_ledger_publish_path(k.ledger, tiles, &size, &err) != PLR_OK) fail_msg("%s", err.message);
  uint8_t key[32];
  plr_verify_options v;
  plr_verify_options_init(&v, sizeof v);
  plr_identity_public_key(k.people[SEQUENCER], key);
  v.origin = ORIGIN, v.public_key = key;
  plr_ledger_options o = kit_options(&k, copy);
  plr_ledger_summary got = {.struct_size = sizeof got}, want = kit_summary(k.ledger);
  assert_int_equal(plr_ledger_rebuild_path(k.ctx, &o, tiles, &v, &got, &err), PLR_OK);
  assert_memory_equal(&want, &got, sizeof want);
  plr_ledger *again;
  assert_int_equal(plr_ledger_open(k.ctx, &o, &again, NULL), PLR_OK);
  same_log(again, k.ledger);
  plr_ledger_destroy(k.ledger);
  k.ledger = again;
  kit_deposit(&k, 12);
  assert_int_equal(kit_append(&k), PLR_OK);
  kit_close(&k);
  plr_ledger_destroy(k.ledger);
  k.ledger = NULL;
  remove_all(copy);
  assert_int_equal(plr_ledger_rebuild_path(k.ctx, &o, "no-such-folder", &v, &got, &err),
                   PLR_ERR_NOT_FOUND);
  remove_all(copy);
  snprintf(command, sizeof command, "rm -r %s", tiles);
  assert_int_equal(system(command), 0);
  kit_done(&k);
  clean();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(host_life), cmocka_unit_test(host_fails),  cmocka_unit_test(sizes),
      cmocka_unit_test(bad_files), cmocka_unit_test(later_tiles), cmocka_unit_test(refusals),
      cmocka_unit_test(to_a_file),
  };
  if (!has_sqlite()) {
    printf("skipped: this build has no SQLite\n");
    return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
