/* Format 2 beside format 1: the same model said in both trains to the same bits, and costs the same. */
#include "ops_reference.h"

/* clang-format off */
#define NORM(name)                                                                                 \
  "{\"op\": \"rmsnorm\", \"in\": \"x\", \"out\": \"n\", \"name\": \"" name "\", \"eps\": 1e-5}"
#define LINEAR(in, out, name, cols, more)                                                          \
  "{\"op\": \"linear\", \"in\": \"" in "\", \"out\": \"" out "\", \"name\": \"" name               \
  "\", \"cols\": " cols ", \"bias\": false, " more "}"
#define STD       "\"std\": 0.02"
#define WRITE_STD "\"std\": 0.004999999888241291, \"write\": true" /* (float)0.02 / sqrt(16) */
#define ROPE(x)                                                                                    \
  "{\"op\": \"rope\", \"in\": \"" x "\", \"out\": \"" x "\", \"head_dim\": 8, \"theta\": 10000}"

/* DENSE_JSON and SUBSPACE_JSON (model_common.h), operation by operation. */
#define DESIGNED                                                                                   \
  "{\"format\": \"pluralis-model/2\", \"name\": \"tiny\", \"vocab\": \"bytes\", "                  \
  "\"d_model\": 32, \"seed\": 1, \"embed\": [{\"op\": \"embedding\", \"out\": \"x\", "             \
  "\"name\": \"embed\", \"std\": 1.0}], \"blocks\": [{\"repeat\": 8, \"ops\": [" NORM("attn_norm") \
  ", " LINEAR("n", "q", "attn.q", "32", STD) ", " LINEAR("n", "k", "attn.k", "16", STD) ", "       \
  LINEAR("n", "v", "attn.v", "16", STD) ", " ROPE("q") ", " ROPE("k") ", "                         \
  "{\"op\": \"attention\", \"q\": \"q\", \"k\": \"k\", \"v\": \"v\", \"out\": \"a\", "             \
  "\"heads\": 4, \"kv_heads\": 2, \"head_dim\": 8}, "                                              \
  LINEAR("a", "o", "attn.o", "32", WRITE_STD) ", " OPS_ADD("x", "o", "x") ", " NORM("mlp_norm")    \
  ", " LINEAR("n", "g", "mlp.gate", "48", STD) ", " LINEAR("n", "u", "mlp.up", "48", STD) ", "     \
  "{\"op\": \"swiglu\", \"gate\": \"g\", \"up\": \"u\", \"out\": \"h\"}, "                         \
  LINEAR("h", "o", "mlp.down", "32", WRITE_STD) ", " OPS_ADD("x", "o", "x") "]}], \"head\": ["     \
  NORM("norm") ", " LINEAR("n", "logits", "head", "256", STD) "], \"cuts\": [2, 4, 6], "

#define DESIGNED_TRAIN                                                                             \
  "\"train\": {\"seq_len\": 16, \"micro_batch\": 2, \"micro_batches\": 2, "                        \
  "\"optimizer\": \"adamw\", \"lr\": 3e-3, \"min_lr_ratio\": 0.1, \"beta1\": 0.9, "                \
  "\"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "                         \
  "\"schedule\": \"cosine\", \"warmup_steps\": 2, \"steps\": 40, \"data_seed\": 3, "               \
  "\"z_loss\": 0}}"
#define DENSE     "\"boundary\": {\"kind\": \"dense\"}, "
#define SUBSPACE                                                                                   \
  "\"boundary\": {\"kind\": \"subspace\", \"rank\": 8, \"seed\": 7, \"anchor_std\": 1.0}, "
#define PROJECTOR(tied)                                                                            \
  "\"boundary\": {\"kind\": \"projector\", \"rank\": 8, \"seed\": 7, \"anchor_std\": 0.5, "        \
  "\"tied\": " tied "}, "
/* clang-format on */

static const uint32_t cuts[3] = {2, 4, 6};

typedef struct result {
  double loss[4];
  plr_hash root;
  uint64_t cost[8], parameters;
} result;

static void train(const char *json, uint32_t count, uint32_t threads, result *out) {
  plr_context *ctx = context_with(threads, count > 1 ? PLR_ISA_PORTABLE : PLR_ISA_BEST);
  plr_corpus *corpus = NULL;
  assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  row r;
  memset(out, 0, sizeof *out);
  row_init(&r, ctx, json, cuts, count);
  for (int i = 0; i < 4; i++) out->loss[i] = row_step(&r, corpus);
  row_root(&r, cuts, &out->root);
  for (uint32_t b = 0; b < 8; b++) out->cost[b] = plr_model_block_cost(r.model, b);
  out->parameters = r.info.parameters;
  row_release(&r);
  plr_corpus_destroy(corpus);
  plr_context_destroy(ctx);
}

static void check(const char *one, const char *two) {
  result a, b, c;
  train(one, 1, 1, &a);
  assert_true(a.loss[3] < a.loss[0]); /* it learns */
  train(two, 1, 1, &b);
  train(two, 4, 2, &c);
  assert_memory_equal(&a, &b, sizeof a);
  assert_memory_equal(&a, &c, sizeof a);
}

static void test_dense(void **state) {
  (void)state;
  check(DENSE_JSON, DESIGNED DENSE DESIGNED_TRAIN);
}

static void test_subspace(void **state) {
  (void)state;
  check(SUBSPACE_JSON, DESIGNED SUBSPACE DESIGNED_TRAIN);
}

static void test_projector(void **state) {
  (void)state;
  check(TINY_SHAPE PROJECTOR("false") TINY_TRAIN, DESIGNED PROJECTOR("false") DESIGNED_TRAIN);
}

static void test_tied_projector(void **state) {
  (void)state;
  check(TINY_SHAPE PROJECTOR("true") TINY_TRAIN, DESIGNED PROJECTOR("true") DESIGNED_TRAIN);
}

/* At first a projector passes on what lies in span(U), and all anchors are the same table. */
static void test_projector_start(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  plr_model *model = new_model(ctx, TINY_SHAPE PROJECTOR("false") TINY_TRAIN);
  plr_shard *s = new_shard(ctx, model, 0, 8);
  const float *d = NULL, *e = NULL, *anchor = NULL;
  uint32_t anchors = 0;
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *p = &s->graph.params[i];
    const float *w = s->state.w + s->param_offset[i];
    if (strstr(p->name, "boundary.send")) d = w;
    if (strstr(p->name, "boundary.receive")) e = w;
    if (!strstr(p->name, "boundary.anchor")) continue;
    if (anchor) assert_memory_equal(anchor, w, 256 * 32 * sizeof *w);
    anchor = w, anchors++;
  }
  assert_int_equal(anchors, 3);
  for (int i = 0; i < 32; i++)
    for (int j = 0; j < 8; j++) assert_true(d[i * 8 + j] == e[j * 32 + i]);
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) {
      double dot = 0.0;
      for (int r = 0; r < 32; r++) dot += (double)d[r * 8 + i] * (double)d[r * 8 + j];
      assert_true(fabs(dot - (i == j)) < 1e-6);
    }
  plr_shard_destroy(s);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

/* A projector only crosses at its cuts. */
static void test_projector_cuts(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, TINY_SHAPE PROJECTOR("false") TINY_TRAIN);
  plr_model_info info = {.struct_size = sizeof info};
  assert_int_equal(plr_model_get_info(model, &info), PLR_OK);
  assert_int_equal(info.boundary, PLR_BOUNDARY_PROJECTOR);
  assert_int_equal(info.boundary_width, 8);
  assert_int_equal(info.first_full_rank, 0);
  for (uint32_t p = 0; p <= 8; p++) assert_int_equal(plr_model_can_cut(model, p), p % 2 == 0);
  /* a product with D or E is trained: 6 d k on each side of a cut */
  plr_model *dense = new_model(ctx, DENSE_JSON);
  for (uint32_t b = 0; b < 8; b++) {
    uint64_t sides = (b % 2 == 0 && b > 0) + (b % 2 == 1 && b < 7);
    assert_int_equal(plr_model_block_cost(model, b),
                     plr_model_block_cost(dense, b) + sides * 6 * 32 * 8);
  }
  plr_model_destroy(dense);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dense),           cmocka_unit_test(test_subspace),
      cmocka_unit_test(test_projector),       cmocka_unit_test(test_tied_projector),
      cmocka_unit_test(test_projector_start), cmocka_unit_test(test_projector_cuts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
