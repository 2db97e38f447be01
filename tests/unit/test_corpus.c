/* The corpus: which bytes a micro-batch holds. */
#include "model_common.h"

#include "base/base.h"

#define SEQ  16u
#define ROWS 8u

static uint8_t *make_text(size_t len) {
  uint8_t *text = malloc(len);
  uint32_t x = 12345;
  for (size_t i = 0; i < len; i++) {
    x = x * 1664525u + 1013904223u;
    text[i] = (uint8_t)(x >> 24);
  }
  return text;
}

static plr_corpus *new_corpus(plr_context *ctx, const void *text, size_t len) {
  plr_corpus *c = NULL;
  assert_int_equal(plr_corpus_create(ctx, text, len, &c, NULL), PLR_OK);
  return c;
}

/* The rule of the header, said again with 128-bit arithmetic of its own. */
static void test_rows_follow_the_rule(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  size_t len = 5003, train = len - 500;
  uint8_t *text = make_text(len);
  plr_corpus *c = new_corpus(ctx, text, len);
  int32_t tokens[ROWS * (SEQ + 1)];
  for (uint32_t split = 0; split < 2; split++) {
    uint64_t seed = 0x123456789abcdef0u, index = 0x100000007u;
    assert_int_equal(plr_corpus_batch(c, split, seed, index, ROWS, SEQ, tokens, NULL), PLR_OK);
    for (uint32_t r = 0; r < ROWS; r++) {
      uint32_t counter[4] = {7, 1, split, r}, key[2] = {0x9abcdef0u, 0x12345678u}, x[4];
      plr__philox4x32(counter, key, x);
      uint64_t range = (split ? 500 : train) - SEQ, high = x[1], low = x[0];
      uint64_t at = (high * range + (low * range >> 32)) >> 32; /* (bits * range) >> 64 in halves */
      if (split) at += train;
      for (uint32_t t = 0; t <= SEQ; t++) assert_int_equal(tokens[r * (SEQ + 1) + t], text[at + t]);
    }
  }
  plr_corpus_destroy(c);
  plr_context_destroy(ctx);
  free(text);
}

static void test_batches_are_a_function_of_their_index(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  uint8_t *text = make_text(4000);
  plr_corpus *c = new_corpus(ctx, text, 4000);
  int32_t a[ROWS * (SEQ + 1)], b[ROWS * (SEQ + 1)];
  assert_int_equal(plr_corpus_batch(c, 0, 3, 11, ROWS, SEQ, a, NULL), PLR_OK);
  assert_int_equal(plr_corpus_batch(c, 0, 3, 11, ROWS, SEQ, b, NULL), PLR_OK);
  assert_memory_equal(a, b, sizeof a);
  assert_int_equal(plr_corpus_batch(c, 0, 3, 11, ROWS / 2, SEQ, b, NULL), PLR_OK);
  assert_memory_equal(a, b, sizeof a / 2); /* rows do not depend on how many there are */
  assert_int_equal(plr_corpus_batch(c, 0, 3, 12, ROWS, SEQ, b, NULL), PLR_OK);
  assert_memory_not_equal(a, b, sizeof a);
  assert_int_equal(plr_corpus_batch(c, 0, 4, 11, ROWS, SEQ, b, NULL), PLR_OK);
  assert_memory_not_equal(a, b, sizeof a);
  plr_corpus_destroy(c);
  plr_context_destroy(ctx);
  free(text);
}

/* The smallest text: every row is in bounds (a sanitizer sees the rest). */
static void test_short_texts(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_corpus *c = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_corpus_create(ctx, "", 0, &c, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_null(c);
  assert_string_equal(err.where, "corpus");
  size_t len = 10 * (SEQ + 2);
  uint8_t *text = make_text(len);
  int32_t tokens[ROWS * (SEQ + 1)];
  c = new_corpus(ctx, text, len);
  for (uint64_t i = 0; i < 64; i++)
    assert_int_equal(plr_corpus_batch(c, 1, 0, i, ROWS, SEQ, tokens, NULL), PLR_OK);
  assert_int_equal(plr_corpus_batch(c, 2, 0, 0, ROWS, SEQ, tokens, &err), PLR_ERR_INVALID_ARGUMENT);
  plr_corpus_destroy(c);
  c = new_corpus(ctx, text, len - 10);
  assert_int_equal(plr_corpus_batch(c, 0, 0, 0, ROWS, SEQ, tokens, NULL), PLR_OK);
  assert_int_equal(plr_corpus_batch(c, 1, 0, 0, ROWS, SEQ, tokens, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_non_null(strstr(err.message, "validation"));
  assert_non_null(strstr(err.message, "need 18"));
  plr_corpus_destroy(c);
  plr_context_destroy(ctx);
  free(text);
}

static void test_root(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  size_t len = 65536 * 2 + 5;
  uint8_t *text = make_text(len);
  plr_hash a, b, leaf[3], node;
  plr_corpus *c = new_corpus(ctx, text, len);
  plr_corpus_root(c, &a);
  for (int i = 0; i < 3; i++) plr__merkle_leaf(text + 65536 * i, i < 2 ? 65536 : 5, &leaf[i]);
  plr__merkle_node(&leaf[0], &leaf[1], &node);
  plr__merkle_node(&node, &leaf[2], &b);
  assert_memory_equal(&a, &b, sizeof a);
  plr_corpus_destroy(c);
  text[70000] ^= 1;
  c = new_corpus(ctx, text, len);
  plr_corpus_root(c, &b);
  assert_memory_not_equal(&a, &b, sizeof a);
  plr_corpus_destroy(c);
  plr_context_destroy(ctx);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows_follow_the_rule),
      cmocka_unit_test(test_batches_are_a_function_of_their_index),
      cmocka_unit_test(test_short_texts),
      cmocka_unit_test(test_root),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
