/* The option recompute: the same bits in every loss and weight, from less memory. */
#include "optimizer_kit.h"

#include "shard/shard_int.h"

#define PROJECTOR_BOUNDARY                                                                         \
  "{\"kind\": \"projector\", \"rank\": 8, \"seed\": 7, \"anchor_std\": 1.0, \"tied\": false}"

typedef struct outcome {
  double loss[5];
  plr_hash root;
  int64_t slots; /* elements, of all shards */
} outcome;

static void train(plr_context *ctx, const plr_corpus *corpus, const char *json, uint32_t recompute,
                  uint32_t count, outcome *out) {
  row r;
  uint64_t before, after;
  shard_recompute = recompute;
  row_init(&r, ctx, json, cuts, count);
  shard_recompute = 0;
  plr_context_memory(ctx, NULL, NULL, &before);
  for (int i = 0; i < 5; i++) out->loss[i] = row_step(&r, corpus);
  plr_context_memory(ctx, NULL, NULL, &after);
  assert_int_equal(after - before, 0);
  row_root(&r, cuts, &out->root);
  out->slots = 0;
  for (uint32_t i = 0; i < count; i++) out->slots += r.shards[i]->slot_size;
  row_release(&r);
}

static void test_same_bits_in_less_memory(void **state) {
  (void)state;
  static const char *const boundaries[] = {DENSE_BOUNDARY, SUBSPACE_BOUNDARY, PROJECTOR_BOUNDARY};
  fixture f = set_up();
  for (size_t i = 0; i < PLR_COUNT_OF(boundaries); i++) {
    const char *json = recipe_json(&recipes[0], boundaries[i]);
    outcome kept, again, split;
    train(f.ctx, f.corpus, json, 0, 1, &kept);
    train(f.ctx, f.corpus, json, 1, 1, &again);
    train(f.ctx, f.corpus, json, 1, 4, &split);
    assert_memory_equal(kept.loss, again.loss, sizeof kept.loss);
    assert_memory_equal(&kept.root, &again.root, sizeof kept.root);
    assert_memory_equal(kept.loss, split.loss, sizeof kept.loss);
    assert_memory_equal(&kept.root, &split.root, sizeof kept.root);
    /* Kept: the input of each block, d_model wide, the logits' gradient, ids. */
    int64_t rows = 32, width = 32, most = rows * (8 * width + 256 + 4) + 16 * 16;
    assert_true(again.slots <= most && again.slots < kept.slots / 3);
  }
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_bits_in_less_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
