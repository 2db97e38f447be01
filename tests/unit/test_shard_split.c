/* The promise of the library: one shard and four shards, one thread and two, every instruction set, end with the
 * same bits in every loss and every weight. */
#include "shard_common.h"

#define STEPS 20

static const uint32_t cuts[3] = {2, 4, 6};
static const uint32_t other_cuts[2] = {3, 7}; /* dense may be cut anywhere */

typedef struct result {
  double loss[STEPS];
  plr_hash root;
} result;

static void train(const char *json, const uint32_t *at, uint32_t count, uint32_t threads,
                  uint32_t isa, result *out) {
  plr_context *ctx = context_with(threads, isa);
  plr_corpus *corpus = NULL;
  assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  row r;
  row_init(&r, ctx, json, at, count);
  for (int i = 0; i < STEPS; i++) out->loss[i] = row_step(&r, corpus);
  row_root(&r, at, &out->root);
  row_release(&r);
  plr_corpus_destroy(corpus);
  plr_context_destroy(ctx);
}

static void same(const result *a, const result *b) {
  assert_memory_equal(a->loss, b->loss, sizeof a->loss);
  assert_memory_equal(&a->root, &b->root, sizeof a->root);
}

static void check_all(const char *json) {
  result want, got;
  train(json, cuts, 1, 1, PLR_ISA_PORTABLE, &want);
  assert_true(want.loss[STEPS - 1] < want.loss[0]); /* it did train */
  train(json, cuts, 4, 2, PLR_ISA_PORTABLE, &got);
  same(&want, &got);
  train(json, cuts, 1, 1, PLR_ISA_AVX2, &got);
  same(&want, &got);
  train(json, cuts, 4, 2, PLR_ISA_AVX2, &got);
  same(&want, &got);
  train(json, cuts, 1, 2, PLR_ISA_BEST, &got);
  same(&want, &got);
  train(json, cuts, 4, 2, PLR_ISA_BEST, &got);
  same(&want, &got);
  train(json, cuts, 2, 3, PLR_ISA_BEST, &got); /* blocks 0-1 and 2-7 */
  same(&want, &got);
}

static void test_dense(void **state) {
  (void)state;
  check_all(DENSE_JSON);
  result want, got;
  train(DENSE_JSON, cuts, 1, 2, PLR_ISA_BEST, &want);
  train(DENSE_JSON, other_cuts, 3, 2, PLR_ISA_BEST, &got);
  same(&want, &got);
}

static void test_subspace(void **state) {
  (void)state;
  check_all(SUBSPACE_JSON);
}

/* Seeded weights are those of the model, whoever holds them; another seed gives others. */
static void test_initial_weights(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  const char *texts[] = {DENSE_JSON, SUBSPACE_JSON};
  plr_hash roots[2];
  for (int i = 0; i < 2; i++) {
    row one, four;
    plr_hash again;
    row_init(&one, ctx, texts[i], cuts, 1);
    row_init(&four, ctx, texts[i], cuts, 4);
    row_root(&one, cuts, &roots[i]);
    row_root(&four, cuts, &again);
    assert_memory_equal(&roots[i], &again, sizeof again);
    row_release(&one);
    row_release(&four);
  }
  assert_memory_not_equal(&roots[0], &roots[1], sizeof roots[0]);
  plr_context_destroy(ctx);
}

/* The optimizer's result must not depend on when the forwards ran: two slots in flight against one. */
static void test_two_slots(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  plr_corpus *corpus = NULL;
  assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  row r;
  row_init(&r, ctx, DENSE_JSON, NULL, 1);
  row_step(&r, corpus);
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.slots = 2;
  plr_shard *shard;
  assert_int_equal(plr_shard_create(ctx, r.model, &o, &shard, NULL), PLR_OK);
  for (uint32_t i = 0; i < 2; i++) {
    assert_int_equal(plr_corpus_batch(corpus, PLR_SPLIT_TRAIN, r.info.data_seed, i,
                                      r.info.micro_batch, r.info.seq_len, r.tokens, NULL),
                     PLR_OK);
    assert_int_equal(plr_shard_forward(shard, i, r.tokens, NULL, NULL, NULL), PLR_OK);
  }
  for (uint32_t i = 0; i < 2; i++)
    assert_int_equal(plr_shard_backward(shard, i, NULL, NULL), PLR_OK);
  assert_int_equal(plr_shard_step(shard), PLR_OK);
  plr_hash a[8], b[8];
  assert_int_equal(plr_shard_leaves(shard, a, 8), PLR_OK);
  assert_int_equal(plr_shard_leaves(r.shards[0], b, 8), PLR_OK);
  assert_memory_equal(a, b, sizeof a);
  plr_shard_destroy(shard);
  row_release(&r);
  plr_corpus_destroy(corpus);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_initial_weights),
      cmocka_unit_test(test_dense),
      cmocka_unit_test(test_subspace),
      cmocka_unit_test(test_two_slots),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
