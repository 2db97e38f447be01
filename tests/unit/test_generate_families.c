/* Generation with every family's blocks: sliding windows, query and key norms, biases, learned positions, stretched
 * rotary tables, mixtures of experts. Prefill in chunks = one by one = infer, as one shard and as several, and in every
 * format of weights. */
#include "generate_common.h"

#define BODY                                                                                       \
  "\"hidden_size\": 32, \"intermediate_size\": 48, \"num_hidden_layers\": 4, "                     \
  "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 96, "                   \
  "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, \"hidden_act\": \"silu\""
#define OF_TYPE(type) "{\"model_type\": \"" type "\", " BODY

static const char *const families[] = {
    OF_TYPE("llama") ", \"rope_theta\": 5e5, \"rope_scaling\": {\"rope_type\": \"llama3\", "
                     "\"factor\": 8.0, "
                     "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
                     "\"original_max_position_embeddings\": 16}}",
    OF_TYPE("mistral") ", \"rope_theta\": 1e4, \"sliding_window\": 9}",
    OF_TYPE("qwen2") ", \"rope_theta\": 1e6}",
    OF_TYPE("qwen3") ", \"rope_theta\": 1e6, \"head_dim\": 16}",
    OF_TYPE(
        "mixtral") ", \"num_experts_per_tok\": 2, \"rope_theta\": 1e6, \"num_local_experts\": 4}",
    OF_TYPE("qwen3_moe") ", \"num_experts_per_tok\": 2, \"rope_theta\": 1e6, \"head_dim\": 8, "
                         "\"num_experts\": 4, \"moe_intermediate_size\": 40}",
    "{\"model_type\": \"gpt2\", \"n_embd\": 32, \"n_layer\": 4, \"n_head\": 4, \"n_positions\": "
    "64, "
    "\"vocab_size\": 96}",
};

#define LENGTH 50
#define VOCAB  96

static int32_t text[LENGTH];

static plr_model *model_of(plr_context *ctx, const char *config) {
  plr_config_options o;
  plr_config_options_init(&o, sizeof o);
  o.seed = 3;
  plr_model *model = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_model_from_config(ctx, config, strlen(config), &o, &model, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  return model;
}

static plr_shard_options options(uint32_t format) {
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.inference_only = 1, o.weight_format = format;
  return o;
}

/* Logits of the text, fed in pieces of these sizes in turn. */
static void run(pipeline *p, const uint32_t *sizes, uint32_t count, float *logits) {
  for (uint32_t at = 0, i = 0; at < LENGTH; i++) {
    uint32_t n = sizes[i % count] < LENGTH - at ? sizes[i % count] : LENGTH - at;
    entry e = {0, n, at, n, text + at};
    pipeline_feed(p, &e, 1, logits + (size_t)at * VOCAB);
    at += n;
  }
}

static void check_family(const char *config, uint32_t format) {
  static const uint32_t cuts[] = {1, 2, 3}, one[] = {1}, mixed[] = {17, 1, 1, 30, 1};
  plr_context *ctx = context_with(2, PLR_ISA_BEST);
  const size_t size = LENGTH * VOCAB;
  float *want = calloc(size, sizeof *want), *got = calloc(size, sizeof *got);
  plr_shard_options o = options(format);
  pipeline p;
  pipeline_of(&p, ctx, model_of(ctx, config), &o, NULL, 1, 1, LENGTH);
  plr_tensor out;
  plr_tensor_matrix(&out, want, PLR_DTYPE_F32, LENGTH, VOCAB);
  assert_int_equal(plr_shard_infer(p.shard[0], text, 1, LENGTH, NULL, &out), PLR_OK);
  run(&p, one, 1, got);
  assert_memory_equal(got, want, size * sizeof *got);
  pipeline_release(&p);
  pipeline_of(&p, ctx, model_of(ctx, config), &o, cuts, 4, 1, LENGTH);
  run(&p, mixed, 5, got);
  assert_memory_equal(got, want, size * sizeof *got);
  pipeline_release(&p);
  free(want);
  free(got);
  plr_context_destroy(ctx);
}

static void test_families(void **state) {
  (void)state;
  for (uint32_t t = 0; t < LENGTH; t++) text[t] = (int32_t)(t * 29 % VOCAB);
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    for (uint32_t format = PLR_WEIGHTS_F32; format <= PLR_WEIGHTS_Q4; format++)
      check_family(families[i], format);
}

/* Blocks without attention have nothing to remember; positions count all the same. */
static void test_no_attention(void **state) {
  (void)state;
  static const char json[] =
      "{\"format\": \"pluralis-model/2\", \"name\": \"mlp\", \"vocab\": 96, \"d_model\": 32, "
      "\"seed\": 1, "
      "\"embed\": [{\"op\": \"embedding\", \"out\": \"x\", \"name\": \"embed\", \"std\": 1.0}], "
      "\"blocks\": [{\"repeat\": 4, \"ops\": ["
      "{\"op\": \"rmsnorm\", \"in\": \"x\", \"out\": \"n\", \"name\": \"norm\", \"eps\": 1e-5}, "
      "{\"op\": \"linear\", \"in\": \"n\", \"out\": \"h\", \"name\": \"up\", \"cols\": 48, "
      "\"std\": 0.1, \"bias\": false}, "
      "{\"op\": \"silu\", \"in\": \"h\", \"out\": \"h\"}, "
      "{\"op\": \"linear\", \"in\": \"h\", \"out\": \"o\", \"name\": \"down\", \"cols\": 32, "
      "\"std\": 0.1, \"bias\": false}, "
      "{\"op\": \"add\", \"a\": \"x\", \"b\": \"o\", \"out\": \"x\"}]}], "
      "\"head\": [{\"op\": \"linear\", \"in\": \"x\", \"out\": \"logits\", \"name\": \"head\", "
      "\"cols\": 96, \"std\": 0.1, \"bias\": true}], "
      "\"cuts\": [2], \"boundary\": {\"kind\": \"dense\"}, "
      "\"train\": {\"seq_len\": 50, \"micro_batch\": 1, \"micro_batches\": 1, \"optimizer\": "
      "\"adamw\", \"lr\": 1e-3, "
      "\"min_lr_ratio\": 0.1, \"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": "
      "0.1, \"clip\": 1.0, "
      "\"z_loss\": 0, \"schedule\": \"constant\", \"warmup_steps\": 0, \"steps\": 10, "
      "\"data_seed\": 3}}";
  plr_context *ctx = new_context();
  float want[LENGTH * VOCAB], got[2 * VOCAB];
  plr_shard_options o = options(PLR_WEIGHTS_Q8);
  pipeline p;
  pipeline_of(&p, ctx, new_model(ctx, json), &o, NULL, 1, 2, LENGTH);
  plr_tensor out;
  plr_tensor_matrix(&out, want, PLR_DTYPE_F32, LENGTH, VOCAB);
  assert_int_equal(plr_shard_infer(p.shard[0], text, 1, LENGTH, NULL, &out), PLR_OK);
  entry e[2] = {{0, 20, 0, 1, text}, {1, 7, 0, 1, text}};
  pipeline_feed(&p, e, 2, got);
  assert_memory_equal(got, want + 19 * VOCAB, VOCAB * sizeof *got);
  assert_memory_equal(got + VOCAB, want + 6 * VOCAB, VOCAB * sizeof *got);
  pipeline_release(&p);
  plr_context_destroy(ctx);
}

/* Learned positions end somewhere. */
static void test_positions_end(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *model = model_of(ctx, families[6]);
  plr_shard *shard = new_shard(ctx, model, 0, 0);
  plr_session_options o;
  plr_session_options_init(&o, sizeof o);
  o.max_tokens = 65;
  plr_session *session = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_session_create(shard, &o, &session, &err), PLR_ERR_LIMIT);
  assert_non_null(strstr(err.message, "65, at most 64"));
  o.max_tokens = 64;
  assert_int_equal(plr_session_create(shard, &o, &session, &err), PLR_OK);
  plr_session_destroy(session);
  plr_shard_destroy(shard);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_families),
      cmocka_unit_test(test_no_attention),
      cmocka_unit_test(test_positions_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
