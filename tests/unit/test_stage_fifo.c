#include "unit/base_test.h"

#include "stage/fifo.h"

static void push(plr__fifo *f, uint32_t tag, size_t len) {
  uint8_t body[600];
  memset(body, (int)tag, sizeof body);
  assert_int_equal(plr__fifo_push(f, tag, body, len / 2, body, len - len / 2), PLR_OK);
}

static void expect(plr__fifo *f, uint32_t tag, size_t len) {
  uint32_t got_tag;
  size_t got_len;
  const uint8_t *p = plr__fifo_peek(f, &got_tag, &got_len);
  assert_non_null(p);
  assert_int_equal((uintptr_t)p % 8, 0);
  assert_int_equal(got_tag, tag);
  assert_int_equal(got_len, len);
  for (size_t i = 0; i < len; i++) assert_int_equal(p[i], (uint8_t)tag);
  plr__fifo_pop(f);
}

/* Messages of many sizes come out as they went in, through growth and wrap. */
static void test_order(void **state) {
  (void)state;
  plr_context *ctx = test_context(NULL);
  plr__fifo f;
  assert_int_equal(plr__fifo_init(&f, ctx, 64, 8192), PLR_OK);
  uint32_t in = 0, out = 0;
  for (uint32_t round = 0; round < 200; round++) {
    for (uint32_t i = 0; i < 1 + round % 7; i++, in++) push(&f, in, in * 37 % 500);
    for (uint32_t i = 0; i < 1 + (round + 3) % 7 && out < in; i++, out++)
      expect(&f, out, out * 37 % 500);
  }
  for (; out < in; out++) expect(&f, out, out * 37 % 500);
  assert_true(plr__fifo_empty(&f));
  size_t len;
  assert_null(plr__fifo_peek(&f, NULL, &len));
  plr__fifo_pop(&f);
  plr__fifo_release(&f);
  plr_context_destroy(ctx);
}

static void test_bound(void **state) {
  (void)state;
  plr_context *ctx = test_context(NULL);
  plr__fifo f;
  uint8_t byte = 1;
  uint32_t pushed = 0;
  assert_int_equal(plr__fifo_init(&f, ctx, 64, 1024), PLR_OK);
  while (plr__fifo_push(&f, pushed, NULL, 0, &byte, 1) == PLR_OK) pushed++;
  assert_int_equal(plr__fifo_push(&f, 0, NULL, 0, &byte, 1), PLR_ERR_LIMIT);
  assert_int_equal(pushed, 1024 / 24);
  assert_false(plr__fifo_has_room(&f, 1));
  for (uint32_t i = 0; i < pushed; i++) {
    uint32_t tag;
    size_t len;
    assert_non_null(plr__fifo_peek(&f, &tag, &len));
    assert_int_equal(tag, i);
    plr__fifo_pop(&f);
  }
  assert_true(plr__fifo_has_room(&f, 1024 - 32 * 24));
  assert_int_equal(plr__fifo_push(&f, 0, NULL, 0, NULL, 0), PLR_OK); /* an empty message is one */
  assert_false(plr__fifo_empty(&f));
  plr__fifo_release(&f);
  plr_context_destroy(ctx);
}

static void test_no_memory(void **state) {
  (void)state;
  test_allocator a;
  plr_context_options o = test_options(&a);
  plr_context *ctx = test_context(&o);
  plr__fifo f;
  uint8_t body[200] = {0};
  assert_int_equal(plr__fifo_init(&f, ctx, 64, 4096), PLR_OK);
  assert_int_equal(plr__fifo_push(&f, 1, NULL, 0, body, 8), PLR_OK);
  a.fail_at = a.calls;
  assert_int_equal(plr__fifo_push(&f, 2, NULL, 0, body, sizeof body), PLR_ERR_NO_MEMORY);
  uint32_t tag;
  size_t len;
  assert_non_null(plr__fifo_peek(&f, &tag, &len)); /* nothing was lost */
  assert_int_equal(tag, 1);
  a.fail_at = a.calls;
  plr__fifo none;
  assert_int_equal(plr__fifo_init(&none, ctx, 64, 4096), PLR_ERR_NO_MEMORY);
  plr__fifo_release(&f);
  plr_context_destroy(ctx);
  assert_int_equal(a.live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_bound),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
