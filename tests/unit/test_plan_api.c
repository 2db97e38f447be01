/* Plans through the public interface: what they say, what they refuse, and whether the memory they promise is what a
 * shard takes. */
#include "model_common.h"

#include <pluralis/plan.h>
#include <pluralis/shard.h>

typedef struct counter {
  size_t now, peak;
} counter;

static void *count_alloc(void *user, size_t size, size_t alignment) {
  counter *c = user;
  c->now += size;
  if (c->now > c->peak) c->peak = c->now;
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void count_free(void *user, void *ptr, size_t size, size_t alignment) {
  (void)alignment;
  ((counter *)user)->now -= size;
  free(ptr);
}

static plr_plan_options with(const plr_plan_device *devices, uint32_t count) {
  plr_plan_options o;
  plr_plan_options_init(&o, sizeof o);
  o.devices = devices, o.device_count = count;
  return o;
}

static plr_plan_info info_of(const plr_plan *plan) {
  plr_plan_info info = {.struct_size = sizeof info};
  assert_int_equal(plr_plan_get_info(plan, &info), PLR_OK);
  return info;
}

static plr_plan_stage stage_of(const plr_plan *plan, uint32_t s) {
  plr_plan_stage stage = {.struct_size = sizeof stage};
  assert_int_equal(plr_plan_get_stage(plan, s, &stage), PLR_OK);
  return stage;
}

static void test_mixed_fleet(void **state) {
  (void)state;
  plr_plan_device fleet[10];
  for (int i = 0; i < 10; i++)
    fleet[i] = (plr_plan_device){.flops = i < 2   ? 100e9
                                          : i < 6 ? 20e9
                                                  : 5e9,
                                 .memory = 1u << 30,
                                 .up_bps = i < 8 ? 100000000 : 5000000,
                                 .down_bps = 100000000,
                                 .delay_ns = 10000000};
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, SUBSPACE_JSON);
  plr_plan_options o = with(fleet, 10);
  o.min_stages = 4;
  plr_plan *plan, *again;
  assert_int_equal(plr_plan_create(ctx, model, &o, &plan, NULL), PLR_OK);
  plr_plan_info info = info_of(plan);
  assert_true(info.tokens_per_s >= 1.3 * info.even_tokens_per_s && info.even_tokens_per_s > 0);
  assert_true(info.latency_s > 0);

  uint32_t block = 0, seen = 0;
  double slowest = 1e300;
  for (uint32_t s = 0; s < info.stages; s++) {
    const plr_plan_stage stage = stage_of(plan, s);
    assert_int_equal(stage.first_block, block);
    assert_true(stage.end_block > block && plr_model_can_cut(model, stage.end_block));
    block = stage.end_block;
    assert_true(stage.busy > 0 && stage.busy <= 1.000001 && stage.in_flight >= 1);
    assert_true((stage.forward_bytes > 0) == (s + 1 < info.stages));
    assert_true((stage.backward_bytes > 0) == (s > 0));
    if (stage.forward_bytes)
      assert_true(stage.forward_bits >= o.min_bits && stage.forward_bits <= o.max_bits);
    if (stage.tokens_per_s < slowest) slowest = stage.tokens_per_s;
    for (uint32_t i = 0; i < stage.devices; i++, seen++) {
      const uint32_t d = plr_plan_stage_device(plan, s, i);
      assert_int_equal(plr_plan_device_stage(plan, d), s);
      assert_true(stage.memory <= fleet[d].memory);
    }
    assert_int_equal(plr_plan_stage_device(plan, s, stage.devices), PLR_PLAN_NONE);
  }
  assert_int_equal(block, 8);
  assert_int_equal(seen, info.devices);
  assert_true(slowest >= info.tokens_per_s * 0.999999 && slowest <= info.tokens_per_s * 1.000001);
  assert_non_null(strstr(plr_plan_text(plan), "sets the pace"));
  assert_non_null(strstr(plr_plan_json(plan), "\"stages\": [{\"first_block\": 0"));

  assert_int_equal(plr_plan_create(ctx, model, &o, &again, NULL), PLR_OK);
  assert_string_equal(plr_plan_text(plan), plr_plan_text(again));
  assert_string_equal(plr_plan_json(plan), plr_plan_json(again));
  plr_model_destroy(model); /* a plan keeps what it needs */
  assert_int_equal(plr_plan_device_stage(again, 10), PLR_PLAN_NONE);
  plr_plan_destroy(plan);
  plr_plan_destroy(again);
  plr_plan_destroy(NULL);
  plr_context_destroy(ctx);
}

static void test_limits_are_kept(void **state) {
  (void)state;
  plr_plan_device fleet[9];
  for (int i = 0; i < 9; i++)
    fleet[i] = (plr_plan_device){.flops = 1e9 * (1 + i), .memory = 1u << 30};
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, DENSE_JSON);
  plr_plan_options o = with(fleet, 9);
  o.min_stages = o.max_stages = 3, o.max_replicas = 2;
  plr_plan *plan;
  assert_int_equal(plr_plan_create(ctx, model, &o, &plan, NULL), PLR_OK);
  plr_plan_info info = info_of(plan);
  assert_int_equal(info.stages, 3);
  assert_int_equal(info.devices, 6);
  for (uint32_t s = 0; s < 3; s++) assert_true(stage_of(plan, s).devices <= 2);
  assert_non_null(strstr(plr_plan_text(plan), "3 devices left out"));
  plr_plan_destroy(plan);
  plr_context_destroy(ctx);
  plr_model_destroy(model);
}

/* The only good path decides who is whose neighbour. */
static void test_paths(void **state) {
  (void)state;
  plr_plan_device fleet[2] = {{.flops = 1e9, .memory = 1u << 30},
                              {.flops = 1e9, .memory = 1u << 30}};
  const plr_plan_path paths[2] = {{.from = 1, .to = 0, .bps = 10000},
                                  {.from = 0, .to = 1, .bps = 1000000000}};
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, DENSE_JSON);
  plr_plan_options o = with(fleet, 2);
  o.min_stages = 2;
  plr_plan *plan;
  assert_int_equal(plr_plan_create(ctx, model, &o, &plan, NULL), PLR_OK);
  const double apart = info_of(plan).tokens_per_s;
  plr_plan_destroy(plan);
  o.paths = paths, o.path_count = 2;
  assert_int_equal(plr_plan_create(ctx, model, &o, &plan, NULL), PLR_OK);
  assert_true(info_of(plan).tokens_per_s < apart / 2);
  assert_int_equal(info_of(plan).bound, PLR_PLAN_BOUND_UP);
  plr_plan_destroy(plan);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

static void test_flush_costs(void **state) {
  (void)state;
  plr_plan_device fleet[4];
  for (int i = 0; i < 4; i++)
    fleet[i] = (plr_plan_device){.flops = 1e9, .memory = 1u << 30, .delay_ns = 25000000};
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, SUBSPACE_JSON);
  plr_plan_options o = with(fleet, 4);
  o.min_stages = 4;
  plr_plan *async, *sync;
  assert_int_equal(plr_plan_create(ctx, model, &o, &async, NULL), PLR_OK);
  o.flow = PLR_PLAN_SYNC;
  assert_int_equal(plr_plan_create(ctx, model, &o, &sync, NULL), PLR_OK);
  assert_true(info_of(sync).tokens_per_s < info_of(async).tokens_per_s / 2);
  plr_plan_destroy(async);
  plr_plan_destroy(sync);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

/* What a stage is said to need is what its shard allocates, to a quarter. */
#define WIDE_JSON(boundary)                                                                        \
  "{\"format\": \"pluralis-model/1\", \"name\": \"wide\", \"family\": \"llama\", "                 \
  "\"vocab\": \"bytes\", \"blocks\": 8, \"d_model\": 256, \"heads\": 4, \"kv_heads\": 2, "         \
  "\"head_dim\": 64, \"d_ff\": 704, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "                   \
  "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [2, 4, 6], "                     \
  "\"boundary\": " boundary ", \"train\": {\"seq_len\": 128, \"micro_batch\": 4, "                 \
  "\"micro_batches\": 2, \"optimizer\": \"adamw\", \"lr\": 3e-3, \"min_lr_ratio\": 0.1, "          \
  "\"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "         \
  "\"schedule\": \"cosine\", \"warmup_steps\": 2, \"steps\": 40, \"data_seed\": 3}}"
#define WIDE_SUBSPACE                                                                              \
  WIDE_JSON("{\"kind\": \"subspace\", \"rank\": 16, \"seed\": 7, \"anchor_std\": 1.0}")
#define WIDE_DENSE WIDE_JSON("{\"kind\": \"dense\"}")

static void test_memory(void **state) {
  (void)state;
  const char *manifests[] = {WIDE_SUBSPACE, WIDE_DENSE};
  for (int m = 0; m < 2; m++) {
    counter c = {0};
    plr_context_options co;
    plr_context_options_init(&co, sizeof co);
    co.allocator.alloc = count_alloc, co.allocator.free = count_free, co.allocator.user = &c;
    plr_context *ctx;
    assert_int_equal(plr_context_create(&co, &ctx, NULL), PLR_OK);
    plr_model *model = new_model(ctx, manifests[m]);
    plr_plan_device fleet[4];
    for (int i = 0; i < 4; i++)
      fleet[i] = (plr_plan_device){.flops = 1e9, .memory = 1u << 30, .delay_ns = 20000000};
    plr_plan_options o = with(fleet, 4);
    o.min_stages = 4;
    plr_plan *plan;
    assert_int_equal(plr_plan_create(ctx, model, &o, &plan, NULL), PLR_OK);
    for (uint32_t s = 0; s < 4; s++) {
      const plr_plan_stage stage = stage_of(plan, s);
      plr_shard_options so;
      plr_shard_options_init(&so, sizeof so);
      so.first_block = stage.first_block, so.end_block = stage.end_block,
      so.slots = stage.in_flight;
      const size_t before = c.now;
      plr_shard *shard;
      assert_int_equal(plr_shard_create(ctx, model, &so, &shard, NULL), PLR_OK);
      const double ratio = (double)(c.now - before) / (double)stage.memory;
      print_message("stage %u: %zu bytes, %.2f of what was said\n", s, c.now - before, ratio);
      assert_true(ratio < 1.25 && ratio > 0.75);
      plr_shard_destroy(shard);
    }
    plr_plan_destroy(plan);
    plr_model_destroy(model);
    plr_context_destroy(ctx);
    assert_int_equal(c.now, 0);
  }
}

static void expect(plr_context *ctx, const plr_model *model, const plr_plan_options *o,
                   plr_status status, const char *where) {
  plr_plan *plan = (plr_plan *)(void *)&status;
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_plan_create(ctx, model, o, &plan, &err), status);
  assert_null(plan);
  assert_string_equal(err.where, where);
  assert_true(strlen(err.message) > 0);
}

static void test_refusals(void **state) {
  (void)state;
  const plr_plan_device good = {.flops = 1e9, .memory = 1u << 30};
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, SUBSPACE_JSON);
  plr_plan_device d = good;
  plr_plan_path path = {.from = 0, .to = 0};
  plr_plan_options o = with(NULL, 0);
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.devices");
  o = with(&d, PLR_PLAN_MAX_DEVICES + 1);
  expect(ctx, model, &o, PLR_ERR_LIMIT, "options.device_count");
  o = with(&d, 1), d.flops = 0;
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.devices");
  d.flops = 0.0 / (d.flops + 0.0); /* NaN */
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.devices");
  d = good, d.memory = 1000;
  expect(ctx, model, &o, PLR_ERR_NOT_FOUND, "options.devices");
  d = good, o.paths = &path, o.path_count = 1;
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.paths");
  o = with(&d, 1), o.flow = 2;
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.flow");
  o = with(&d, 1), o.min_stages = 2;
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.min_stages");
  o = with(&d, 1), o.min_stages = 0;
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.min_stages");
  o = with(&d, 1), o.min_bits = 9;
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.min_bits");
  o = with(&d, 1), o.versions = 0;
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.versions");
  o = with(&d, 1), o.free_cuts = 2;
  expect(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "options.free_cuts");
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

static void test_many_devices(void **state) {
  (void)state;
  static plr_plan_device fleet[600];
  for (uint32_t i = 0; i < 600; i++)
    fleet[i] = (plr_plan_device){.flops = 1e9 * (1 + i * 7919 % 31),
                                 .memory = 1u << 28,
                                 .up_bps = 20000000 + i * 100000,
                                 .delay_ns = 1000000 * (i % 40)};
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, DENSE_JSON);
  plr_plan_options o = with(fleet, 600);
  plr_plan *plan;
  assert_int_equal(plr_plan_create(ctx, model, &o, &plan, NULL), PLR_OK);
  assert_int_equal(info_of(plan).exact, 0);
  assert_true(info_of(plan).tokens_per_s >= info_of(plan).even_tokens_per_s);
  plr_plan_destroy(plan);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mixed_fleet),  cmocka_unit_test(test_limits_are_kept),
      cmocka_unit_test(test_paths),        cmocka_unit_test(test_flush_costs),
      cmocka_unit_test(test_memory),       cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_many_devices),
  };
  return cmocka_run_group_tests_name("plan_api", tests, NULL, NULL);
}
