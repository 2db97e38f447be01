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
      cmocka_unit_test(test_positions_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
