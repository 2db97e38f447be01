/* What the tests of base share: cmocka, hexadecimal text, and an allocator that counts and fails on
 * demand. */
#ifndef PLR_TEST_BASE_TEST_H
#define PLR_TEST_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

/* Reads 2*len hexadecimal digits. */
static inline void from_hex(const char *text, uint8_t *out, size_t len) {
  assert_int_equal(strlen(text), 2 * len);
  for (size_t i = 0; i < len; i++) {
    char digits[3] = {text[2 * i], text[2 * i + 1], 0};
    char *end;
    out[i] = (uint8_t)strtoul(digits, &end, 16);
    assert_ptr_equal(end, digits + 2);
  }
}

static inline void assert_hash(const plr_hash *h, const char *hex) {
  char got[65];
  plr__hex_encode(h->bytes, sizeof h->bytes, got);
  assert_string_equal(got, hex);
}

/* fail_at: which allocation (from 0) returns NULL; -1 for none. For one thread at a time. */
typedef struct test_allocator {
  int64_t fail_at, calls, live, bytes;
  int bad_free; /* a free with another size or alignment than its alloc */
  void (*on_free)(const void *ptr, size_t size);
} test_allocator;

typedef struct test_block {
  size_t size, align;
} test_block;

static inline void *hook_alloc(void *user, size_t size, size_t align) {
  test_allocator *a = user;
  if (a->calls++ == a->fail_at) return NULL;
  /* The record lies after the block, so that the block is as aligned as asked for and no more. */
  size_t padded = (size + 15) & ~(size_t)15;
  uint8_t *p = NULL;
  if (posix_memalign((void **)&p, align, padded + sizeof(test_block)) != 0) return NULL;
  test_block record = {size, align};
  memcpy(p + padded, &record, sizeof record);
  memset(p, 0xa5, size);
  a->live++, a->bytes += (int64_t)size;
  return p;
}

static inline void hook_free(void *user, void *ptr, size_t size, size_t align) {
  test_allocator *a = user;
  test_block record;
  memcpy(&record, (uint8_t *)ptr + ((size + 15) & ~(size_t)15), sizeof record);
  if (record.size != size || record.align != align) a->bad_free = 1;
  if (a->on_free) a->on_free(ptr, size);
  a->live--, a->bytes -= (int64_t)size;
  free(ptr);
}

static inline plr_context_options test_options(test_allocator *a) {
  plr_context_options o;
  plr_context_options_init(&o, sizeof o);
  if (a) {
    memset(a, 0, sizeof *a);
    a->fail_at = -1;
    o.allocator = (plr_allocator){a, hook_alloc, hook_free};
  }
  return o;
}

static inline plr_context *test_context(const plr_context_options *o) {
  plr_context *ctx = NULL;
  plr_error err = {0};
  plr_status st = plr_context_create(o, &ctx, &err);
  if (st != PLR_OK) fail_msg("%s: %s", err.where, err.message);
  return ctx;
}

#endif
