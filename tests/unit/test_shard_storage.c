/* Storage bf16: what it keeps, what it leaves alone, and that nothing but the manifest changes its bits. */
#include "snapshot_kit.h"

#include <math.h>

#include "kernels/kernels.h"
#include "shard/shard_int.h"

#define TRAIN(storage)                                                                             \
  "\"train\": {\"seq_len\": 16, \"micro_batch\": 2, \"micro_batches\": 2, "                        \
  "\"optimizer\": \"adamw\", \"lr\": 3e-3, \"min_lr_ratio\": 0.1, \"beta1\": 0.9, "                \
  "\"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "                         \
  "\"schedule\": \"cosine\", \"warmup_steps\": 2, \"steps\": 40, \"data_seed\": 3"                 \
  ", \"storage\": \"" storage "\""
#define DENSE "\"boundary\": {\"kind\": \"dense\"}, "
#define SUBSPACE                                                                                   \
  "\"boundary\": {\"kind\": \"subspace\", \"rank\": 8, \"seed\": 7, \"anchor_std\": 1.0}, "
#define PROJECTOR                                                                                  \
  "\"boundary\": {\"kind\": \"projector\", \"rank\": 8, \"seed\": 7, \"anchor_std\": 0.1, "        \
  "\"tied\": false}, "

/* Everything else a block can be made of: LayerNorm, biases, GELU, experts. */
#define MIXTURE(storage)                                                                           \
  "{\"format\": \"pluralis-model/2\", \"name\": \"mix\", \"vocab\": \"bytes\", \"d_model\": 24, "  \
  "\"seed\": 5, \"embed\": [{\"op\": \"embedding\", \"out\": \"x\", \"name\": \"embed\", "         \
  "\"std\": 0.7}], \"blocks\": [{\"repeat\": 8, \"ops\": ["                                        \
  "{\"op\": \"layernorm\", \"in\": \"x\", \"out\": \"n\", \"name\": \"a\", \"eps\": 1e-3, "        \
  "\"bias\": true}, "                                                                              \
  "{\"op\": \"linear\", \"in\": \"n\", \"out\": \"u\", \"name\": \"up\", \"cols\": 40, "           \
  "\"std\": 0.2, \"bias\": true}, {\"op\": \"gelu\", \"in\": \"u\", \"out\": \"g\"}, "             \
  "{\"op\": \"linear\", \"in\": \"g\", \"out\": \"d\", \"name\": \"down\", \"cols\": 24, "         \
  "\"std\": 0.2, \"bias\": true}, {\"op\": \"add\", \"a\": \"x\", \"b\": \"d\", \"out\": \"x\"}, " \
  "{\"op\": \"rmsnorm\", \"in\": \"x\", \"out\": \"m\", \"name\": \"b\", \"eps\": 1e-3}, "         \
  "{\"op\": \"moe\", \"in\": \"m\", \"out\": \"e\", \"name\": \"moe\", \"experts\": 4, "           \
  "\"top_k\": 2, \"cols\": 10, \"act\": \"silu\", \"renormalise\": true, \"balance\": 0.02, "      \
  "\"std\": 0.4, \"down_std\": 0.3}, {\"op\": \"add\", \"a\": \"x\", \"b\": \"e\", \"out\": "      \
  "\"x\"}]}], "                                                                                    \
  "\"head\": [{\"op\": \"rmsnorm\", \"in\": \"x\", \"out\": \"n\", \"name\": \"norm\", "           \
  "\"eps\": 1e-3}, {\"op\": \"linear\", \"in\": \"n\", \"out\": \"logits\", \"name\": \"head\", "  \
  "\"cols\": 256, \"std\": 0.4, \"bias\": false}], \"cuts\": [2, 4, 6], " DENSE                    \
  TRAIN(storage) ", \"z_loss\": 0}}"

typedef struct pair {
  const char *name, *f32, *bf16;
} pair;
static const pair models[] = {
    {"dense", TINY_SHAPE DENSE TRAIN("f32") "}}", TINY_SHAPE DENSE TRAIN("bf16") "}}"},
    {"subspace", TINY_SHAPE SUBSPACE TRAIN("f32") "}}", TINY_SHAPE SUBSPACE TRAIN("bf16") "}}"},
    {"projector", TINY_SHAPE PROJECTOR TRAIN("f32") "}}", TINY_SHAPE PROJECTOR TRAIN("bf16") "}}"},
    {"mixture", MIXTURE("f32"), MIXTURE("bf16")},
};
#define STEPS 20

typedef struct outcome {
  double loss[STEPS];
  plr_hash root;
} outcome;

static void train(plr_context *ctx, const plr_corpus *corpus, const char *json, uint32_t count,
                  int steps, outcome *out) {
  row r;
  uint64_t before, after;
  memset(out, 0, sizeof *out);
  row_init(&r, ctx, json, cuts, count);
  plr_context_memory(ctx, NULL, NULL, &before);
  for (int i = 0; i < steps; i++) out->loss[i] = row_step(&r, corpus);
  plr_context_memory(ctx, NULL, NULL, &after);
  assert_int_equal(after - before, 0);
  row_root(&r, cuts, &out->root);
  row_release(&r);
}

/* The same first loss, since forward does not round; then other bits and nearly the same learning. */
static void test_learns_like_f32(void **state) {
  (void)state;
  fixture f = set_up();
  for (size_t i = 0; i < PLR_COUNT_OF(models); i++) {
    outcome whole, half;
    train(f.ctx, f.corpus, models[i].f32, 1, STEPS, &whole);
    train(f.ctx, f.corpus, models[i].bf16, 1, STEPS, &half);
    double a = whole.loss[STEPS - 1], b = half.loss[STEPS - 1];
    print_message("%s: %.4f -> f32 %.4f, bf16 %.4f nats\n", models[i].name, whole.loss[0], a, b);
    assert_memory_equal(&whole.loss[0], &half.loss[0], sizeof(double));
    assert_memory_not_equal(&whole.root, &half.root, sizeof whole.root);
    assert_true(a < 0.95 * whole.loss[0] && fabs(a - b) < 0.02 * a);
  }
  tear_down(&f);
}

static void test_same_bits_everywhere(void **state) {
  (void)state;
  static const struct {
    uint32_t isa, threads, shards;
  } ways[] = {{PLR_ISA_BEST, 3, 4}, {PLR_ISA_AVX2, 1, 4}, {PLR_ISA_PORTABLE, 2, 2}};
  fixture f = set_up();
  for (size_t i = 0; i < PLR_COUNT_OF(models); i++) {
    outcome whole, other;
    train(f.ctx, f.corpus, models[i].bf16, 1, 2, &whole);
    for (size_t k = 0; k < PLR_COUNT_OF(ways); k++) {
      plr_context *ctx = context_with(ways[k].threads, ways[k].isa);
      train(ctx, f.corpus, models[i].bf16, ways[k].shards, 2, &other);
      assert_memory_equal(&whole, &other, sizeof whole);
      plr_context_destroy(ctx);
    }
  }
  tear_down(&f);
}

/* Rounds in an fp32 slot what storage bf16 would round. Returns how many numbers it changed. */
static int64_t round_slot(plr_shard *s) {
  const plr_graph *g = &s->graph;
  int64_t changed = 0;
  uint8_t *exact = calloc(g->value_count, 1);
  plr__storage_exact(g, exact);
  for (uint32_t v = 0; v < g->value_count; v++) {
    const plr_place *p = &s->places[PLR_LIST_FORWARD][v];
    int64_t n = plr__value_elements(&g->values[v], s->rows);
    if (exact[v] || p->where != PLR_IN_SLOT) continue;
    float *x = s->slots[0].memory + p->offset;
    for (int64_t i = 0; i < n; i++) {
      uint16_t half;
      float back;
      plr_bf16_args a = {
          .from_f32 = x + i, .bf16 = &half, .from_bf16 = &half, .f32 = &back, .n = 1};
      plr__reference_run(PLR_OP_BF16_PACK, &a);
      plr__reference_run(PLR_OP_BF16_UNPACK, &a);
      changed += memcmp(&back, x + i, sizeof back) != 0;
      x[i] = back;
    }
  }
  free(exact);
  return changed;
}

/* The gradients are those of fp32 with the slot rounded between forward and backward, to the bit; the slot is half of
 * what is rounded, and what is not. */
static void test_rounds_what_the_slot_keeps(void **state) {
  (void)state;
  fixture f = set_up();
  for (size_t i = 0; i < PLR_COUNT_OF(models); i++) {
    row whole, half;
    row_init(&whole, f.ctx, models[i].f32, cuts, 1);
    row_init(&half, f.ctx, models[i].bf16, cuts, 1);
    plr_shard *a = whole.shards[0], *b = half.shards[0];
    for (uint32_t batch = 0; batch < 3; batch++) {
      row *both[] = {&whole, &half};
      for (int k = 0; k < 2; k++) {
        assert_int_equal(
            plr_corpus_batch(f.corpus, PLR_SPLIT_TRAIN, 3, batch, 2, 16, both[k]->tokens, NULL),
            PLR_OK);
        row_forward(both[k]);
      }
      assert_true(round_slot(a) > 32 * 8 * 24); /* rows, blocks, columns */
      row_backward(&whole);
      row_backward(&half);
      assert_memory_equal(a->grads, b->grads, (size_t)a->param_elements * sizeof(float));
    }
    double part = (double)b->slot_size / (double)a->slot_size;
    print_message("%s: a slot has %.2f of its size\n", models[i].name, part);
    /* the gradient of 256 logits stays, which in these models is much */
    int64_t rows = 32, logits = rows * 256, statistics = 8 * rows * 20;
    assert_true(b->slot_size <= (a->slot_size - logits) / 2 + logits + statistics);
    row_release(&whole);
    row_release(&half);
  }
  tear_down(&f);
}

static void test_goes_on_from_a_snapshot(void **state) {
  (void)state;
  fixture f = set_up();
  outcome straight;
  memory file = {0};
  row r;
  plr_hash root;
  train(f.ctx, f.corpus, models[0].bf16, 1, 4, &straight);
  row_init(&r, f.ctx, models[0].bf16, cuts, 1);
  row_step(&r, f.corpus), row_step(&r, f.corpus);
  save(r.shards[0], &file);
  row_release(&r);
  row_init(&r, f.ctx, models[0].bf16, cuts, 1);
  assert_int_equal(load(r.shards[0], &file, NULL), PLR_OK);
  row_step(&r, f.corpus), row_step(&r, f.corpus);
  row_root(&r, cuts, &root);
  assert_memory_equal(&root, &straight.root, sizeof root);
  row_release(&r);
  row_init(&r, f.ctx, models[0].f32, cuts, 1); /* another model, by its hash */
  assert_int_not_equal(load(r.shards[0], &file, NULL), PLR_OK);
  row_release(&r);
  free(file.data);
  tear_down(&f);
}

/* A CPU that lacks one operation, as a plugin may. */
static plr_op_id lacking;
static int32_t most_supported(const plr_device *device, plr_op_id op) {
  (void)device;
  return op != lacking;
}

static void test_refusals(void **state) {
  (void)state;
  fixture f = set_up();
  plr_error err;
  plr_shard *shard = NULL;
  plr_model *model = new_model(f.ctx, models[0].bf16);
  plr_model_info info = {.struct_size = sizeof info};
  assert_int_equal(plr_model_get_info(model, &info), PLR_OK);
  assert_int_equal(info.storage, PLR_STORAGE_BF16);
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  plr_error_init(&err, sizeof err);
  o.recompute = 1;
  assert_int_equal(plr_shard_create(f.ctx, model, &o, &shard, &err), PLR_ERR_UNSUPPORTED);
  assert_non_null(strstr(err.message, "recompute"));
  assert_null(shard);
  o.inference_only = 1; /* keeps nothing */
  assert_int_equal(plr_shard_create(f.ctx, model, &o, &shard, &err), PLR_OK);
  plr_shard_destroy(shard);
  o.recompute = o.inference_only = 0;
  assert_int_equal(plr_shard_create(f.ctx, model, &o, &shard, &err), PLR_OK);
  const plr_device_vtable *real = shard->device->vt;
  plr_device_vtable poor = *real;
  poor.name = "poor", poor.supports = most_supported;
  static const plr_op_id needed[] = {PLR_OP_BF16_PACK, PLR_OP_BF16_UNPACK, PLR_OP_PACKED_MATMUL};
  shard->device->vt = &poor;
  for (size_t i = 0; i < PLR_COUNT_OF(needed); i++) {
    lacking = needed[i];
    assert_int_equal(plr__storage_check(shard, &err), i < 2 ? PLR_ERR_UNSUPPORTED : PLR_OK);
    assert_non_null(strstr(err.message, "poor"));
  }
  shard->device->vt = real;
  plr_shard_destroy(shard);
  plr_model_destroy(model);
  tear_down(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_learns_like_f32),
      cmocka_unit_test(test_same_bits_everywhere),
      cmocka_unit_test(test_rounds_what_the_slot_keeps),
      cmocka_unit_test(test_goes_on_from_a_snapshot),
      cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
