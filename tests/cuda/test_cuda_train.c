/* A training run on the emulated plugin ends with the weights, and every loss, of the CPU: one shard, four shards on
 * four devices, and shards on CPU and devices mixed. Argument: the plugin. */
#include "shard_common.h"

#include "cuda_support.h"

#define STEPS 2

static const uint32_t cuts[3] = {2, 4, 6};

typedef struct result {
  double loss[STEPS];
  plr_hash root;
} result;

/* devices: one for each shard; NULL is the CPU. */
static void train(const char *json, uint32_t count, const char *const *devices, result *out) {
  plr_context *c = logging_context();
  plr_corpus *corpus = NULL;
  assert_int_equal(plr_corpus_create(c, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  row r;
  row_init(&r, c, json, cuts, count);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t end = i + 1 < count ? cuts[i] : r.info.blocks;
    plr_shard_destroy(r.shards[i]);
    shard_device = devices[i];
    r.shards[i] = new_shard(c, r.model, i > 0 ? cuts[i - 1] : 0, end);
  }
  shard_device = NULL;
  for (int i = 0; i < STEPS; i++) out->loss[i] = row_step(&r, corpus);
  row_root(&r, cuts, &out->root);
  row_release(&r);
  plr_corpus_destroy(corpus);
  plr_context_destroy(c);
}

static void same(const result *a, const result *b) {
  if (emulation_error()[0]) fail_msg("%s", emulation_error());
  assert_memory_equal(a->loss, b->loss, sizeof a->loss);
  assert_memory_equal(&a->root, &b->root, sizeof a->root);
}

static char name[4][1024];

static void dense(void **state) {
  (void)state;
  const char *cpu[4] = {NULL}, *one[1] = {name[0]}, *mixed[4] = {name[2], NULL, name[0], NULL};
  result want, got;
  train(DENSE_JSON, 4, cpu, &want);
  emulation_seed(1);
  train(DENSE_JSON, 1, one, &got);
  same(&want, &got);
  emulation_seed(2);
  train(DENSE_JSON, 4, mixed, &got);
  same(&want, &got);
}

static void subspace(void **state) {
  (void)state;
  const char *cpu[1] = {NULL}, *four[4] = {name[0], name[1], name[2], name[3]};
  result want, got;
  train(SUBSPACE_JSON, 1, cpu, &want);
  emulation_seed(3);
  train(SUBSPACE_JSON, 4, four, &got);
  same(&want, &got);
}

int main(int argc, char **argv) {
  assert_int_equal(argc, 2);
  plugin_path = argv[1];
  for (int i = 0; i < 4; i++) snprintf(name[i], sizeof name[i], "%s", device_name(i));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(dense),
      cmocka_unit_test(subspace),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
