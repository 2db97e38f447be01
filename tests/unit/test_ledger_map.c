/* The state map against a plain array, through random puts, deletes, rollbacks and commits. */
#include "ledger_kit.h"

#define KEYS 600

typedef struct model {
  uint8_t has[KEYS];
  uint32_t value[KEYS];
} model;

static uint64_t seed;

static uint32_t draw(uint32_t range) { /* splitmix64 */
  uint64_t z = (seed += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return (uint32_t)((z ^ (z >> 31)) % range);
}

/* Keys of several lengths, some prefixes of others: 1 to 4 digits. */
static size_t key_of(uint32_t i, char *out) {
  return (size_t)sprintf(out, "%u", i);
}

static void value_of(uint32_t v, uint8_t *out, size_t *len) {
  *len = v % 70; /* crosses slab classes, and is sometimes empty */
  for (size_t i = 0; i < *len; i++) out[i] = (uint8_t)(v + i);
}

static int text_order(const void *a, const void *b) {
  char x[16], y[16];
  key_of(*(const uint32_t *)a, x);
  key_of(*(const uint32_t *)b, y);
  return strcmp(x, y); /* digits only: byte order, shorter first */
}

static void compare(plr__map *m, const model *want) {
  uint32_t order[KEYS], n = 0;
  plr__cursor c;
  plr_hash leaves[KEYS], root, naive;
  for (uint32_t i = 0; i < KEYS; i++)
    if (want->has[i]) order[n++] = i;
  qsort(order, n, sizeof *order, text_order);
  assert_int_equal(m->count, n);
  plr__map_seek(m, "", 0, &c);
  for (uint32_t i = 0; i < n; i++) {
    char key[16];
    uint8_t value[70], leaf[2 + 16 + 70];
    size_t key_len = key_of(order[i], key), len, got_len;
    value_of(want->value[order[i]], value, &len);
    assert_int_equal(plr__cursor_next(&c), 1);
    assert_int_equal(c.key_len, key_len);
    assert_memory_equal(c.key, key, key_len);
    assert_int_equal(c.value_len, len);
    if (len) assert_memory_equal(c.value, value, len);
    const uint8_t *got = plr__map_get(m, key, key_len, &got_len);
    assert_true(got == c.value && got_len == len);
    plr__store_be16(leaf, (uint16_t)key_len);
    memcpy(leaf + 2, key, key_len);
    memcpy(leaf + 2 + key_len, value, len);
    plr__merkle_leaf(leaf, 2 + key_len + len, &leaves[i]);
  }
  assert_int_equal(plr__cursor_next(&c), 0);
  plr__merkle_root(leaves, n, &naive);
  plr__map_root(m, &root);
  assert_memory_equal(&root, &naive, 32);
}

static void change(plr__map *m, model *want) {
  char key[16];
  uint32_t i = draw(KEYS);
  size_t key_len = key_of(i, key);
  if (draw(3)) {
    uint8_t value[70];
    size_t len;
    want->has[i] = 1;
    want->value[i] = draw(100000);
    value_of(want->value[i], value, &len);
    assert_int_equal(plr__map_put(m, key, key_len, value, len), PLR_OK);
  } else {
    want->has[i] = 0;
    assert_int_equal(plr__map_delete(m, key, key_len), PLR_OK);
  }
}

static void random_changes(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  plr__map m;
  plr__map_init(&m, k.ctx);
  model *now = calloc(4, sizeof *now); /* now, at the mark, at the last commit */
  for (int round = 0; round < 400; round++) {
    now[2] = now[0];
    for (uint32_t n = draw(60); n; n--) change(&m, now);
    size_t mark = plr__map_mark(&m);
    now[1] = now[0];
    for (uint32_t n = draw(60); n; n--) change(&m, now);
    switch (draw(4)) {
    case 0:
      plr__map_rollback(&m, mark);
      now[0] = now[1];
      plr__map_commit(&m);
      break;
    case 1:
      plr__map_rollback(&m, 0);
      now[0] = now[2];
      break;
    case 2:
      compare(&m, now); /* before the commit it must look the same as after */
      plr__map_commit(&m);
      break;
    default:
      plr__map_commit(&m);
    }
    compare(&m, now);
  }
  plr__map_release(&m);
  free(now);
  kit_done(&k);
}

/* A walk with deletes under it, as the end of an epoch does; then everything comes back. */
static void delete_while_walking(void **state) {
  (void)state;
  kit k;
  kit_init(&k, 1);
  plr__map m;
  plr__cursor c;
  plr_hash before, after;
  plr__map_init(&m, k.ctx);
  for (uint32_t i = 0; i < 5000; i++) {
    uint8_t key[5] = {'R'};
    plr__store_be32(key + 1, i);
    assert_int_equal(plr__map_put(&m, key, 5, key, 5), PLR_OK);
  }
  assert_int_equal(plr__map_put(&m, "S", 1, "", 0), PLR_OK);
  plr__map_commit(&m);
  plr__map_root(&m, &before);
  for (int keep = 1; keep >= 0; keep--) {
    uint32_t n = 0;
    plr__map_seek(&m, "R", 1, &c);
    while (plr__cursor_next_in(&c, "R", 1)) {
      assert_int_equal(plr__load_be32(c.key + 1), n++);
      assert_int_equal(plr__map_delete(&m, c.key, c.key_len), PLR_OK);
    }
    assert_int_equal(n, 5000);
    assert_int_equal(m.count, 1);
    if (!keep) break;
    plr__map_rollback(&m, 0);
    plr__map_root(&m, &after);
    assert_memory_equal(&before, &after, 32);
  }
  plr__map_commit(&m);
  assert_int_equal(m.count, 1);
  assert_int_equal(m.block_count, 1);
  plr__map_release(&m);
  kit_done(&k);
}

/* A put that fails for lack of memory changes nothing. */
static void out_of_memory(void **state) {
  (void)state;
  plr_context_options o;
  plr_context *ctx;
  plr_context_options_init(&o, sizeof o);
  o.max_memory = 200000;
  assert_int_equal(plr_context_create(&o, &ctx, NULL), PLR_OK);
  plr__map m;
  plr_hash before, after;
  plr__map_init(&m, ctx);
  uint32_t i = 0;
  plr_status st = PLR_OK;
  while (st == PLR_OK) {
    uint8_t key[4], value[60] = {0};
    plr__store_be32(key, (i * 2654435761u));
    plr__map_root(&m, &before);
    st = plr__map_put(&m, key, 4, value, sizeof value);
    i++;
    assert_true(i < 100000);
  }
  assert_int_equal(st, PLR_ERR_NO_MEMORY);
  plr__map_root(&m, &after);
  assert_memory_equal(&before, &after, 32);
  plr__map_rollback(&m, 0);
  assert_int_equal(m.count, 0);
  plr__map_release(&m);
  plr_context_destroy(ctx);
}

/* Keys made to have one place in the index: those that find none are still found, changed, deleted and taken back. */
static void colliding(void **state) {
  (void)state;
  enum { N = 150 };
  kit k;
  plr__map m;
  uint8_t key[N][4];
  size_t len;
  kit_init(&k, 1);
  plr__map_init(&m, k.ctx);
  for (uint32_t i = 0, n = 0; n < N; i++) {
    plr__store_be32(key[n], i);
    n += (plr__index_hash(key[n], 4) & 0x3ff) == 0;
  }
  for (uint32_t i = 0; i < N; i++) assert_int_equal(plr__map_put(&m, key[i], 4, &i, 4), PLR_OK);
  assert_true(m.index.left_out > 50);
  plr__map_commit(&m);
  size_t mark = plr__map_mark(&m);
  for (uint32_t i = 0; i < N; i += 2) assert_int_equal(plr__map_delete(&m, key[i], 4), PLR_OK);
  for (uint32_t i = 1; i < N; i += 2)
    assert_int_equal(plr__map_put(&m, key[i], 4, "longer", 1 + i % 6), PLR_OK);
  for (uint32_t i = 0; i < N; i += 4) assert_int_equal(plr__map_put(&m, key[i], 4, "x", 1), PLR_OK);
  assert_null(plr__map_get(&m, key[2], 4, &len));
  plr__map_rollback(&m, mark);
  for (uint32_t i = 0; i < N; i++) {
    const uint8_t *v = plr__map_get(&m, key[i], 4, &len);
    assert_true(v && len == 4 && memcmp(v, &i, 4) == 0);
  }
  for (uint32_t i = 0; i < N; i += 2) assert_int_equal(plr__map_delete(&m, key[i], 4), PLR_OK);
  plr__map_commit(&m);
  for (uint32_t i = 0; i < N; i++) {
    const uint8_t *v = plr__map_get(&m, key[i], 4, &len);
    assert_true(i % 2 ? v && memcmp(v, &i, 4) == 0 : v == NULL);
  }
  for (uint32_t i = 1; i < N; i += 2) assert_int_equal(plr__map_delete(&m, key[i], 4), PLR_OK);
  plr__map_commit(&m);
  assert_true(m.count == 0 && m.index.used == 0 && m.index.left_out == 0);
  plr__map_release(&m);
  kit_done(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_changes),
      cmocka_unit_test(delete_while_walking),
      cmocka_unit_test(out_of_memory),
      cmocka_unit_test(colliding),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
