/* Context creation, the allocator hook, limits, and failure at every single allocation. */
#include "base_test.h"

#include "base/base_int.h"

static void test_defaults(void **state) {
  (void)state;
  plr_context *ctx = test_context(NULL);
  assert_int_equal(plr_context_threads(ctx), 1);
  assert_int_equal(plr__max_frame(ctx), 64u << 20);
  assert_int_equal(plr__max_file(ctx), 16u << 20);
  const uint32_t best = plr_context_isa(ctx);
#if defined(__aarch64__)
  assert_int_equal(best, PLR_ISA_NEON);
#else
  assert_true(best <= PLR_ISA_AVX512);
#endif
  uint64_t now = 1, peak = 1, count = 1;
  plr_context_memory(ctx, &now, &peak, &count);
  assert_int_equal(now + peak + count, 0);
  plr_context_memory(ctx, NULL, NULL, NULL);
  plr_context_destroy(ctx);
  plr_context_destroy(NULL);
  plr_context_options o = test_options(NULL);
  /* The highest that is not above the option; one of another kind of processor is just a number. */
  static const uint32_t asked[] = {PLR_ISA_PORTABLE, PLR_ISA_AVX2, PLR_ISA_AVX512, 7,
                                   PLR_ISA_NEON,     1000};
  for (size_t i = 0; i < PLR_COUNT_OF(asked); i++) {
    o.isa = asked[i];
    ctx = test_context(&o);
    const uint32_t below = best == PLR_ISA_NEON ? PLR_ISA_PORTABLE : asked[i];
    assert_int_equal(plr_context_isa(ctx), asked[i] >= best ? best : below);
    plr_context_destroy(ctx);
  }
}

/* Around the size at which blocks are mapped by themselves: zeroed, whole and given back, again and again. */
static void test_large_blocks(void **state) {
  (void)state;
  static const size_t sizes[] = {((size_t)4 << 20) - 65, ((size_t)4 << 20) - 64, (size_t)4 << 20,
                                 ((size_t)9 << 20) + 1};
  plr_context *ctx = test_context(NULL);
  for (int round = 0; round < 3; round++)
    for (size_t i = 0; i < PLR_COUNT_OF(sizes); i++) {
      uint8_t *p = plr__calloc(ctx, sizes[i], 1);
      assert_non_null(p);
      assert_int_equal((uintptr_t)p % 64, 0);
      uint8_t any = 0;
      for (size_t k = 0; k < sizes[i]; k++) any |= p[k];
      assert_int_equal(any, 0);
      memset(p, 0xa5, sizes[i]);
      p = plr__realloc(ctx, p, sizes[i] + ((size_t)3 << 20));
      assert_non_null(p);
      assert_int_equal(p[0], 0xa5);
      assert_int_equal(p[sizes[i] - 1], 0xa5);
      plr__free(ctx, p);
    }
  uint64_t now = 1;
  plr_context_memory(ctx, &now, NULL, NULL);
  assert_int_equal(now, 0);
  plr_context_destroy(ctx);
}

static void expect_invalid(const plr_context_options *o, const char *where) {
  plr_context *ctx = (plr_context *)(uintptr_t)64;
  plr_error err = {0};
  assert_int_equal(plr_context_create(o, &ctx, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_null(ctx);
  assert_string_equal(err.where, where);
}

static void no_parallel_for(void *user, uint32_t n, void (*task)(void *, uint32_t), void *arg) {
  (void)user, (void)n, (void)task, (void)arg;
}

static void test_bad_options(void **state) {
  (void)state;
  plr_context_options o = test_options(NULL);
  o.threads = 0;
  expect_invalid(&o, "context.threads");
  o.threads = 257;
  expect_invalid(&o, "context.threads");
  test_allocator a;
  o = test_options(&a);
  o.allocator.free = NULL;
  expect_invalid(&o, "context.allocator");
  o = test_options(NULL);
  o.executor.parallel_for = no_parallel_for;
  expect_invalid(&o, "context.executor.threads");
  o.executor.threads = 2, o.executor.reserved = 1;
  expect_invalid(&o, "context.executor.reserved");
  o = test_options(NULL);
  o.max_frame = 0;
  expect_invalid(&o, "context.max_frame, max_file");
  o = test_options(NULL);
  o.struct_size = 0;
  expect_invalid(&o, "context options");
  assert_int_equal(plr_context_create(NULL, NULL, NULL), PLR_ERR_INVALID_ARGUMENT);
}

/* A host compiled against an older or a newer version of the struct. */
static void test_context_versions(void **state) {
  (void)state;
  plr_context *ctx;
  plr_context_options *older = malloc(16);
  assert_non_null(older);
  plr_context_options_init(older, 16);
  assert_int_equal(plr_context_create(older, &ctx, NULL), PLR_OK);
  plr_context_destroy(ctx);
  free(older);
  uint32_t size = sizeof(plr_context_options) + 8;
  uint8_t *newer = malloc(size);
  assert_non_null(newer);
  plr_context_options_init((plr_context_options *)(void *)newer, size);
  assert_int_equal(plr_context_create((plr_context_options *)(void *)newer, &ctx, NULL), PLR_OK);
  plr_context_destroy(ctx);
  newer[size - 1] = 1;
  assert_int_equal(plr_context_create((plr_context_options *)(void *)newer, &ctx, NULL),
                   PLR_ERR_UNSUPPORTED);
  assert_null(ctx);
  free(newer);
}

static void test_blocks(void **state) {
  (void)state;
  test_allocator a;
  plr_context_options o = test_options(&a);
  plr_context *ctx = test_context(&o);
  int64_t own = a.bytes;
  uint8_t *p[40];
  for (size_t i = 0; i < 40; i++) {
    p[i] = plr__alloc(ctx, i * 37);
    assert_non_null(p[i]);
    assert_int_equal((uintptr_t)p[i] % 64, 0);
    memset(p[i], (int)i, i * 37);
  }
  uint64_t now, peak, count;
  plr_context_memory(ctx, &now, &peak, &count);
  assert_int_equal(now, a.bytes - own);
  assert_int_equal(peak, now);
  assert_int_equal(count, 40);
  for (size_t i = 0; i < 40; i++) {
    p[i] = plr__realloc(ctx, p[i], i * 50 + 1);
    assert_non_null(p[i]);
    for (size_t k = 0; k < i * 37; k++) assert_int_equal(p[i][k], i);
    p[i] = plr__realloc(ctx, p[i], i);
    for (size_t k = 0; k < i; k++) assert_int_equal(p[i][k], i);
    plr__free(ctx, p[i]);
  }
  plr__free(ctx, NULL);
  uint8_t *z = plr__calloc(ctx, 33, 3);
  for (size_t i = 0; i < 99; i++) assert_int_equal(z[i], 0);
  plr__free(ctx, z);
  char *s = plr__strdup(ctx, "text");
  assert_string_equal(s, "text");
  plr__free(ctx, s);
  void *from_null = plr__realloc(ctx, NULL, 5);
  assert_non_null(from_null);
  plr__free(ctx, from_null);
  plr_context_memory(ctx, &now, &peak, NULL);
  assert_int_equal(now, 0);
  assert_true(peak > 40 * 39 / 2 * 37);
  plr_context_destroy(ctx);
  assert_int_equal(a.live, 0);
  assert_int_equal(a.bad_free, 0);
}

/* A refused allocation leaves no trace in the counters. */
static void test_refused_block(void **state) {
  (void)state;
  test_allocator a;
  plr_context_options o = test_options(&a);
  plr_context *ctx = test_context(&o);
  a.fail_at = a.calls;
  assert_null(plr__alloc(ctx, 1000));
  uint64_t now, count;
  plr_context_memory(ctx, &now, NULL, &count);
  assert_int_equal(now, 0);
  assert_int_equal(count, 0);
  plr_context_destroy(ctx);
}

static void test_overflow(void **state) {
  (void)state;
  plr_context *ctx = test_context(NULL);
  volatile size_t huge = SIZE_MAX; /* volatile: a compiler would warn about the constant */
  assert_null(plr__alloc(ctx, huge));
  assert_null(plr__alloc(ctx, huge / 2 - 8));
  assert_null(plr__calloc(ctx, huge / 2, 3));
  void *empty = plr__calloc(ctx, huge, 0);
  assert_non_null(empty);
  plr__free(ctx, empty);
  plr_context_destroy(ctx);
}

static void test_max_memory(void **state) {
  (void)state;
  plr_context_options o = test_options(NULL);
  o.max_memory = 10000;
  plr_context *ctx = test_context(&o);
  void *a = plr__alloc(ctx, 6000);
  assert_non_null(a);
  assert_null(plr__alloc(ctx, 6000));
  assert_null(plr__realloc(ctx, a, 9000)); /* the old block counts until the new one is filled */
  void *b = plr__alloc(ctx, 3000);
  assert_non_null(b);
  uint64_t now, peak;
  plr_context_memory(ctx, &now, &peak, NULL);
  assert_true(now >= 9000 && now <= 10000 && peak == now);
  plr__free(ctx, a);
  plr__free(ctx, b);
  void *c = plr__alloc(ctx, 9900);
  assert_non_null(c);
  plr__free(ctx, c);
  plr_context_memory(ctx, &now, NULL, NULL);
  assert_int_equal(now, 0);
  plr_context_destroy(ctx);
}

static void test_buffer(void **state) {
  (void)state;
  plr_context_options o = test_options(NULL);
  o.max_memory = 4096;
  plr_context *ctx = test_context(&o);
  plr_buffer b;
  plr__buffer_init(&b, ctx);
  plr__buffer_put(&b, NULL, 0);
  plr__buffer_u8(&b, 0x01);
  plr__buffer_le16(&b, 0x0302);
  plr__buffer_le32(&b, 0x07060504);
  plr__buffer_le64(&b, 0x0f0e0d0c0b0a0908);
  plr__buffer_be16(&b, 0x1011);
  plr__buffer_be32(&b, 0x12131415);
  plr__buffer_be64(&b, 0x161718191a1b1c1d);
  assert_int_equal(b.len, 29);
  for (size_t i = 0; i < b.len; i++) assert_int_equal(b.data[i], i + 1);
  plr__buffer_clear(&b);
  assert_int_equal(plr__buffer_printf(&b, "%s-%d", "a", 5), PLR_OK);
  assert_int_equal(b.len, 3);
  assert_memory_equal(b.data, "a-5", 3);
  uint8_t *kept = b.data;
  plr__buffer_clear(&b);
  assert_ptr_equal(b.data, kept);
  /* Past the limit it fails, stays failed, and keeps what it has. */
  for (int i = 0; i < 3000; i++) plr__buffer_u8(&b, (uint8_t)i);
  assert_int_equal(b.failed, 1);
  size_t len = b.len;
  assert_true(len >= 1024 && len < 3000);
  plr__buffer_u8(&b, 1);
  assert_int_equal(b.len, len);
  assert_int_equal(plr__buffer_reserve(&b, 0), PLR_ERR_NO_MEMORY);
  assert_int_equal(plr__buffer_printf(&b, "x"), PLR_ERR_NO_MEMORY);
  plr__buffer_clear(&b);
  assert_int_equal(plr__buffer_reserve(&b, SIZE_MAX - 2), PLR_ERR_NO_MEMORY);
  plr__buffer_release(&b);
  assert_null(b.data);
  uint64_t now;
  plr_context_memory(ctx, &now, NULL, NULL);
  assert_int_equal(now, 0);
  plr_context_destroy(ctx);
}

/* The context keeps one block between calls: the larger of those it saw. */
static void test_scratch(void **state) {
  (void)state;
  test_allocator a;
  plr_context_options o = test_options(&a);
  plr_context *ctx = test_context(&o);
  const int64_t live = a.live;
  void *first = plr__scratch_take(ctx, 1000), *second = plr__scratch_take(ctx, 500);
  assert_true(first && second && first != second);
  assert_int_equal((uintptr_t)first % 64, 0);
  plr__scratch_give(ctx, second);
  plr__scratch_give(ctx, first);
  assert_int_equal(a.live, live + 1);
  const int64_t calls = a.calls;
  for (size_t size = 0; size <= 1000; size += 100) {
    void *p = plr__scratch_take(ctx, size);
    assert_ptr_equal(p, first);
    plr__scratch_give(ctx, p);
  }
  assert_int_equal(a.calls, calls);
  void *larger = plr__scratch_take(ctx, 5000);
  assert_int_equal(a.live, live + 1);
  plr__scratch_give(ctx, larger);
  a.fail_at = a.calls;
  assert_null(plr__scratch_take(ctx, 6000));
  assert_int_equal(a.live, live);
  plr__scratch_give(ctx, NULL);
  plr__scratch_give(ctx, plr__scratch_take(ctx, 10));
  plr_context_destroy(ctx);
  assert_int_equal(a.live, 0);
  assert_int_equal(a.bad_free, 0);
}

/* Everything in base that allocates, with the n-th allocation failing for every n. */
static plr_status build_all(const plr_context_options *o) {
  static const uint8_t seed[32] = {3};
  plr_context *ctx = NULL;
  plr_identity *id = NULL;
  plr_status st = plr_context_create(o, &ctx, NULL);
  if (st != PLR_OK) {
    assert_null(ctx);
    return st;
  }
  st = plr_identity_create(ctx, seed, &id, NULL);
  if (st != PLR_OK) assert_null(id);
  plr_buffer b;
  plr__buffer_init(&b, ctx);
  for (int i = 0; i < 1000; i++) plr__buffer_le32(&b, (uint32_t)i);
  if (st == PLR_OK && b.failed) st = PLR_ERR_NO_MEMORY;
  char *text = plr__strdup(ctx, "text");
  if (st == PLR_OK && !text) st = PLR_ERR_NO_MEMORY;
  plr__free(ctx, text);
  plr__buffer_release(&b);
  plr_context_destroy(ctx); /* before its child: the identity keeps it alive */
  plr_identity_destroy(id);
  return st;
}

static void test_failing_allocations(void **state) {
  (void)state;
  test_allocator a;
  plr_context_options o = test_options(&a);
  o.threads = 3;
  assert_int_equal(build_all(&o), PLR_OK);
  int64_t total = a.calls;
  assert_true(total >= 6);
  assert_int_equal(a.live, 0);
  int failures = 0;
  for (int64_t n = 0; n < total; n++) {
    a.calls = 0, a.fail_at = n;
    plr_status st = build_all(&o);
    assert_true(st == PLR_OK || st == PLR_ERR_NO_MEMORY);
    failures += st != PLR_OK;
    assert_int_equal(a.live, 0);
    assert_int_equal(a.bytes, 0);
  }
  assert_true(failures >= 4); /* a buffer may recover by asking for less */
  assert_int_equal(a.bad_free, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_large_blocks),
      cmocka_unit_test(test_bad_options),
      cmocka_unit_test(test_context_versions),
      cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_refused_block),
      cmocka_unit_test(test_overflow),
      cmocka_unit_test(test_max_memory),
      cmocka_unit_test(test_buffer),
      cmocka_unit_test(test_scratch),
      cmocka_unit_test(test_failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
