/* Tiles and publication: paths and counts of the C2SP examples, a published folder rebuilt into the same tree, and
 * publications that fail half-way. */
#include "ledger_kit.h"

#include <sys/stat.h>
#include <unistd.h>

/* A log of `size` entries that need not be valid: the tree does not ask. */
static void open_junk(kit *k, uint64_t size) {
  plr_ledger_options o = kit_options(k, NULL);
  o.log_invalid = 1;
  assert_int_equal(plr_ledger_open(k->ctx, &o, &k->ledger, NULL), PLR_OK);
  enum { GROUP = 4096 };
  static uint8_t junk[GROUP][8];
  static plr_append_item items[GROUP];
  for (uint64_t have = 1; have < size;) {
    size_t n = (size_t)PLR_MIN(GROUP, size - have);
    for (size_t i = 0; i < n; i++) {
      plr__store_be64(junk[i], have + i);
      items[i] = (plr_append_item){.entry = junk[i], .len = 1 + (have + i) % 8};
    }
    assert_int_equal(plr_ledger_append_many(k->ledger, items, n, NULL), PLR_OK);
    have += n;
  }
  assert_int_equal(kit_summary(k->ledger).entries, size);
}

static void paths(void **state) {
  (void)state;
  static const struct {
    plr__tile tile;
    const char *path;
  } good[] = {{{1234067, 0, 256}, "tile/0/x001/x234/067"},
              {{0, 0, 256}, "tile/0/000"},
              {{273, 0, 112}, "tile/0/273.p/112"},
              {{999, 3, 1}, "tile/3/999.p/1"},
              {{1000, PLR__TILE_ENTRIES, 256}, "tile/entries/x001/000"},
              {{0, 63, 255}, "tile/63/000.p/255"}};
  char path[PLR_LOG_PATH_MAX];
  plr__tile t;
  for (size_t i = 0; i < PLR_COUNT_OF(good); i++) {
    plr__tile_path(&good[i].tile, path);
    assert_string_equal(path, good[i].path);
    assert_int_equal(plr__tile_parse(path, &t), PLR_OK);
    assert_true(t.index == good[i].tile.index && t.level == good[i].tile.level &&
                t.width == good[i].tile.width);
  }
  static const char *const bad[] = {"",
                                    "tile",
                                    "tile/0",
                                    "tile/0/",
                                    "tile/0/0",
                                    "tile/0/0000",
                                    "tile/0/x000/001",
                                    "tile/0/001/002",
                                    "tile/64/000",
                                    "tile/00/000",
                                    "tile/-1/000",
                                    "tile/0/000.p/0",
                                    "tile/0/000.p/256",
                                    "tile/0/000.p/01",
                                    "tile/0/000.p/",
                                    "tile/0/000/",
                                    "tile/0/x999/x999/x999/x999/x999/x999/999",
                                    "tile/entries/../000",
                                    "checkpoint/"};
  for (size_t i = 0; i < PLR_COUNT_OF(bad); i++)
    if (plr__tile_parse(bad[i], &t) == PLR_OK) fail_msg("%s was taken", bad[i]);
}

/* ---- a publication in memory -------------------------------------------------------------------- */

#define FILES 1024
typedef struct site {
  struct {
    char path[PLR_LOG_PATH_MAX];
    uint8_t *data;
    size_t len;
    int32_t immutable;
  } file[FILES];
  size_t count, puts, fail_at;
} site;

static plr_status site_put(void *user, const char *path, const void *data, size_t len,
                           int32_t immutable) {
  site *s = user;
  if (++s->puts == s->fail_at) return PLR_ERR_UNAVAILABLE;
  size_t i = 0;
  while (i < s->count && strcmp(s->file[i].path, path) != 0) i++;
  if (i < s->count) { /* what is immutable may be put again, with the same bytes */
    if (immutable) {
      assert_int_equal(len, s->file[i].len);
      assert_memory_equal(data, s->file[i].data, len);
    }
    free(s->file[i].data);
  } else {
    assert_true(s->count < FILES);
    snprintf(s->file[s->count++].path, PLR_LOG_PATH_MAX, "%s", path);
  }
  s->file[i].data = malloc(len ? len : 1);
  memcpy(s->file[i].data, data, len);
  s->file[i].len = len, s->file[i].immutable = immutable;
  return PLR_OK;
}

static size_t site_find(const site *s, const char *path) {
  for (size_t i = 0; i < s->count; i++)
    if (strcmp(s->file[i].path, path) == 0) return i;
  return FILES;
}

static size_t site_begins(const site *s, const char *prefix, int partial) {
  size_t n = 0;
  for (size_t i = 0; i < s->count; i++)
    n += strncmp(s->file[i].path, prefix, strlen(prefix)) == 0 &&
         (strstr(s->file[i].path, ".p/") != NULL) == partial;
  return n;
}

static void site_free(site *s) {
  for (size_t i = 0; i < s->count; i++) free(s->file[i].data);
  free(s);
}

static void sign(kit *k) {
  char note[1024];
  size_t len;
  assert_int_equal(plr_ledger_checkpoint(k->ledger, note, sizeof note, &len, NULL), PLR_OK);
}

/* The tree that the site's bundles hold, as somebody who has nothing else sees it. */
static void check_site(kit *k, const site *s, uint64_t size) {
  size_t at = site_find(s, "checkpoint");
  uint64_t signed_size, index = 0;
  plr_hash want, got;
  uint8_t key[32];
  plr_identity_public_key(k->people[SEQUENCER], key);
  assert_true(at < FILES);
  assert_int_equal(plr_log_verify_checkpoint((char *)s->file[at].data, s->file[at].len, ORIGIN, key,
                                             &signed_size, &want, NULL),
                   PLR_OK);
  assert_int_equal(signed_size, size);
  plr__frontier f = {0};
  for (plr__tile t = {0, PLR__TILE_ENTRIES, 256}; index < size; t.index++) {
    char path[PLR_LOG_PATH_MAX];
    plr__tile hashes = {t.index, 0, 256};
    hashes.width = t.width = (uint32_t)PLR_MIN(256, size - index);
    plr__tile_path(&t, path);
    size_t bundle = site_find(s, path);
    plr__tile_path(&hashes, path);
    size_t tile = site_find(s, path);
    assert_true(bundle < FILES && tile < FILES);
    const uint8_t *p = s->file[bundle].data, *end = p + s->file[bundle].len;
    for (uint32_t i = 0; i < t.width; i++, index++) {
      plr_hash leaf, completed[64];
      size_t n = plr__load_be16(p);
      assert_true(p + 2 + n <= end);
      plr_log_leaf_hash(p + 2, n, &leaf);
      assert_memory_equal(leaf.bytes, s->file[tile].data + 32 * (size_t)i, 32);
      plr__frontier_append(&f, &leaf, completed);
      p += 2 + n;
    }
    assert_ptr_equal(p, end);
  }
  plr__frontier_root(&f, &got);
  assert_memory_equal(&got, &want, sizeof got);
}

/* tlog-tiles gives the counts for 70,000 entries. */
static void seventy_thousand(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  open_junk(&k, 70000);
  sign(&k);
  site *s = calloc(1, sizeof *s);
  plr_publisher to = {s, site_put};
  uint64_t size = 0;
  assert_int_equal(plr_ledger_publish(k.ledger, &to, &size, NULL), PLR_OK);
  assert_int_equal(size, 70000);
  assert_int_equal(site_begins(s, "tile/0/", 0), 273);
  assert_int_equal(site_begins(s, "tile/0/", 1), 1);
  assert_true(site_find(s, "tile/0/273.p/112") < FILES);
  assert_int_equal(site_begins(s, "tile/1/", 0), 1);
  assert_true(site_find(s, "tile/1/001.p/17") < FILES);
  assert_int_equal(site_begins(s, "tile/2/", 1), 1);
  assert_true(site_find(s, "tile/2/000.p/1") < FILES);
  assert_int_equal(site_begins(s, "tile/3/", 0) + site_begins(s, "tile/3/", 1), 0);
  assert_int_equal(s->count, 274 * 2 + 2 + 1 + 1);
  check_site(&k, s, 70000);
  site_free(s);
  kit_done(&k);
}

/* One publication after another puts only what is new; one that fails leaves the last complete. */
static void grows(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  kit_open(&k, NULL);
  site *s = calloc(1, sizeof *s);
  plr_publisher to = {s, site_put};
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_ledger_publish(k.ledger, &to, NULL, &err), PLR_ERR_INVALID_STATE);
  kit_populate(&k);
  sign(&k);
  assert_int_equal(plr_ledger_publish(k.ledger, &to, NULL, NULL), PLR_OK);
  uint64_t first = kit_summary(k.ledger).entries;
  check_site(&k, s, first);
  kit_work(&k, 0, 0, 0, 0);
  assert_int_equal(kit_append(&k), PLR_OK);
  sign(&k);
  for (size_t fail = 1; fail <= 3; fail++) { /* bundle, tile, checkpoint */
    s->puts = 0, s->fail_at = fail;
    assert_int_equal(plr_ledger_publish(k.ledger, &to, NULL, &err), PLR_ERR_UNAVAILABLE);
    check_site(&k, s, first);
  }
  s->fail_at = 0, s->puts = 0;
  assert_int_equal(plr_ledger_publish(k.ledger, &to, NULL, NULL), PLR_OK);
  assert_int_equal(s->puts, 3);
  check_site(&k, s, first + 1);
  s->puts = 0;
  assert_int_equal(plr_ledger_publish(k.ledger, &to, NULL, NULL), PLR_OK);
  assert_int_equal(s->puts, 1); /* the checkpoint, which may have got cosignatures */
  site_free(s);
  kit_done(&k);
}

static void resources(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  open_junk(&k, 300);
  uint8_t buf[8192 + 1];
  size_t len;
  assert_int_equal(plr_ledger_resource(k.ledger, "checkpoint", buf, sizeof buf, &len, NULL),
                   PLR_ERR_NOT_FOUND);
  sign(&k);
  assert_int_equal(plr_ledger_resource(k.ledger, "checkpoint", buf, sizeof buf, &len, NULL),
                   PLR_OK);
  assert_memory_equal(buf, ORIGIN "\n300\n", strlen(ORIGIN) + 5);
  assert_int_equal(plr_ledger_resource(k.ledger, "tile/0/000", buf, sizeof buf, &len, NULL),
                   PLR_OK);
  assert_int_equal(len, 8192);
  assert_int_equal(plr_ledger_resource(k.ledger, "tile/0/000", buf, 8191, &len, NULL),
                   PLR_ERR_BUFFER_TOO_SMALL);
  assert_int_equal(len, 8192);
  assert_int_equal(plr_ledger_resource(k.ledger, "tile/0/001.p/44", buf, sizeof buf, &len, NULL),
                   PLR_OK);
  assert_int_equal(len, 44 * 32);
  static const struct {
    const char *path;
    plr_status st;
  } wrong[] = {{"tile/0/001.p/45", PLR_ERR_NOT_FOUND},
               {"tile/0/001", PLR_ERR_NOT_FOUND},
               {"tile/1/000.p/2", PLR_ERR_NOT_FOUND},
               {"tile/9/000.p/1", PLR_ERR_NOT_FOUND},
               {"tile/0/x999/x999/x999/x999/x999/999", PLR_ERR_NOT_FOUND},
               {"tile/0/1", PLR_ERR_MALFORMED},
               {"entries/000", PLR_ERR_MALFORMED}};
  for (size_t i = 0; i < PLR_COUNT_OF(wrong); i++)
    assert_int_equal(plr_ledger_resource(k.ledger, wrong[i].path, buf, sizeof buf, &len, NULL),
                     wrong[i].st);
  kit_done(&k);
}

static void to_a_folder(void **state) {
  (void)state;
  kit k;
  char folder[] = "plr-tiles-XXXXXX", path[128], root[64];
  uint64_t size;
  kit_init(&k, 1);
  open_junk(&k, 257);
  sign(&k);
  assert_non_null(mkdtemp(folder));
  snprintf(root, sizeof root, "%s/a/b", folder);
  assert_int_equal(plr_ledger_publish_path(k.ledger, root, &size, NULL), PLR_OK);
  static const char *const files[] = {"checkpoint",     "tile/0/000",       "tile/0/001.p/1",
                                      "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/1"};
  for (size_t i = 0; i < PLR_COUNT_OF(files); i++) {
    uint8_t *want = malloc(65536), *got = malloc(65536);
    size_t len;
    assert_int_equal(plr_ledger_resource(k.ledger, files[i], want, 65536, &len, NULL), PLR_OK);
    snprintf(path, sizeof path, "%s/%s", root, files[i]);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, 65536, f), len);
    assert_memory_equal(got, want, len);
    fclose(f), free(want), free(got);
    assert_int_equal(remove(path), 0);
  }
  snprintf(path, sizeof path, "%s/file", folder);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  fclose(f);
  plr_error err;
  plr_error_init(&err, sizeof err);
  snprintf(root, sizeof root, "%s/file/x", folder);
  assert_int_equal(plr_ledger_publish_path(k.ledger, root, &size, &err), PLR_ERR_IO);
  assert_true(err.message[0]);
  snprintf(path, sizeof path, "rm -r %s", folder);
  assert_int_equal(system(path), 0);
  kit_done(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(paths),     cmocka_unit_test(seventy_thousand), cmocka_unit_test(grows),
      cmocka_unit_test(resources), cmocka_unit_test(to_a_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
