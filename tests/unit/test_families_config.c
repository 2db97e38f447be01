/* config.json of published models: both spellings say the same model; what cannot be understood is refused by name. */
#include "weights_common.h"

#define LLAMA_BODY                                                                                 \
  "\"hidden_size\": 32, \"intermediate_size\": 48, \"num_hidden_layers\": 4, "                     \
  "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 96, "                   \
  "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, \"hidden_act\": \"silu\""
#define OF_TYPE(type) "{\"model_type\": \"" type "\", " LLAMA_BODY
#define LLAMA         OF_TYPE("llama")
#define GPT2                                                                                       \
  "{\"model_type\": \"gpt2\", \"n_embd\": 32, \"n_layer\": 2, \"n_head\": 4, \"n_positions\": "    \
  "64, "                                                                                           \
  "\"vocab_size\": 96"
#define MOE ", \"num_experts_per_tok\": 2, \"rope_theta\": 1e6"

static plr_model *make(plr_context *ctx, const char *json, const plr_config_options *o,
                       plr_error *err) {
  plr_model *model = NULL;
  plr_error_init(err, sizeof *err);
  plr_status st = plr_model_from_config(ctx, json, strlen(json), o, &model, err);
  assert_int_equal(st == PLR_OK, model != NULL);
  return model;
}

static plr_hash hash_of(plr_context *ctx, const char *json) {
  plr_error err;
  plr_hash hash;
  plr_model *model = make(ctx, json, NULL, &err);
  if (!model) fail_msg("%s: %s: %s", json, err.where, err.message);
  plr_model_hash(model, &hash);
  plr_model_destroy(model);
  return hash;
}

/* ---- what is the same, and what is not -------------------------------------------------------- */

static const char *const same[][2] = {
    {LLAMA "}", LLAMA ", \"rope_theta\": 10000.0}"},
    {LLAMA "}",
     LLAMA ", \"rope_parameters\": {\"rope_theta\": 10000, \"rope_type\": \"default\"}}"},
    {LLAMA "}", LLAMA ", \"rope_scaling\": null, \"attention_bias\": false, \"head_dim\": 8}"},
    {LLAMA "}", LLAMA ", \"_name_or_path\": \"x\", \"torch_dtype\": \"bfloat16\", \"use_cache\": "
                      "true, \"transformers_version\": \"4.40.0\", \"bos_token_id\": 1}"},
    {LLAMA "}", LLAMA ", \"tie_word_embeddings\": true}"}, /* ours is untied either way */
    {LLAMA ", \"rope_theta\": 5e5, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
           "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
           "\"original_max_position_embeddings\": 16}}",
     LLAMA ", \"rope_parameters\": {\"rope_theta\": 500000.0, \"rope_type\": \"llama3\", "
           "\"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
           "\"original_max_position_embeddings\": 16}}"},
    {LLAMA ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, "
           "\"original_max_position_embeddings\": 16}}",
     LLAMA ", \"rope_scaling\": {\"rope_type\": \"yarn\", \"beta_fast\": 32, \"beta_slow\": 1, "
           "\"original_max_position_embeddings\": 16}}"}, /* 64 / 16 is 4 */
    {OF_TYPE("mistral") ", \"rope_theta\": 1e4, \"sliding_window\": null}",
     OF_TYPE("mistral") ", \"rope_theta\": 1e4}"},
    {OF_TYPE("qwen2") ", \"rope_theta\": 1e6}",
     OF_TYPE(
         "qwen2") ", \"rope_theta\": 1e6, \"use_sliding_window\": false, \"sliding_window\": 16, "
                  "\"max_window_layers\": 2, \"layer_types\": [\"full_attention\", "
                  "\"full_attention\", \"full_attention\", \"full_attention\"]}"},
    {OF_TYPE(
         "qwen2") ", \"rope_theta\": 1e6, \"use_sliding_window\": true, \"sliding_window\": 16, "
                  "\"max_window_layers\": 3}",
     OF_TYPE(
         "qwen2") ", \"rope_theta\": 1e6, \"use_sliding_window\": true, \"sliding_window\": 16, "
                  "\"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\", "
                  "\"sliding_attention\"]}"},
    {OF_TYPE("qwen3_moe") MOE
     ", \"head_dim\": 8, \"num_experts\": 4, \"moe_intermediate_size\": 8}",
     OF_TYPE("qwen3_moe") MOE ", \"head_dim\": 8, \"num_local_experts\": 4, "
                              "\"moe_intermediate_size\": 8, \"decoder_sparse_step\": 1, "
                              "\"mlp_only_layers\": [], \"norm_topk_prob\": false}"},
    {GPT2 "}", GPT2 ", \"activation_function\": \"gelu_new\", \"n_inner\": 128, \"n_ctx\": 64, "
                    "\"resid_pdrop\": 0.1, \"summary_type\": \"x\", \"layer_norm_epsilon\": 1e-5}"},
};

static const char *const different[][2] = {
    {LLAMA "}", LLAMA ", \"rope_theta\": 500000}"},
    {LLAMA "}", LLAMA ", \"attention_bias\": true}"},
    {LLAMA "}", LLAMA ", \"mlp_bias\": true}"},
    {LLAMA "}", LLAMA ", \"head_dim\": 16}"},
    {LLAMA "}", LLAMA ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}}"},
    {OF_TYPE("mistral") ", \"rope_theta\": 1e4}",
     OF_TYPE("mistral") ", \"rope_theta\": 1e4, \"sliding_window\": 16}"},
    {OF_TYPE("mistral") ", \"rope_theta\": 1e4}", OF_TYPE("qwen2") ", \"rope_theta\": 1e4}"},
    {OF_TYPE("mixtral") MOE ", \"num_local_experts\": 4}",
     OF_TYPE("mixtral") MOE ", \"num_local_experts\": 8}"},
    {OF_TYPE("qwen3_moe") MOE
     ", \"head_dim\": 8, \"num_experts\": 4, \"moe_intermediate_size\": 8}",
     OF_TYPE("qwen3_moe") MOE
     ", \"head_dim\": 8, \"num_experts\": 4, \"moe_intermediate_size\": 8, "
     "\"mlp_only_layers\": [1]}"},
    {GPT2 "}", GPT2 ", \"activation_function\": \"gelu\"}"},
    {GPT2 "}", GPT2 ", \"scale_attn_weights\": false}"},
};

static void test_spellings(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    /* the name of the model is its type, which is part of the hash */
    plr_hash a = hash_of(ctx, same[i][0]), b = hash_of(ctx, same[i][1]);
    if (memcmp(&a, &b, sizeof a) != 0) fail_msg("differ:\n%s\n%s", same[i][0], same[i][1]);
  }
  for (size_t i = 0; i < sizeof different / sizeof *different; i++) {
    plr_hash a = hash_of(ctx, different[i][0]), b = hash_of(ctx, different[i][1]);
    if (memcmp(&a, &b, sizeof a) == 0)
      fail_msg("the same:\n%s\n%s", different[i][0], different[i][1]);
  }
  plr_context_destroy(ctx);
}

/* ---- refusals --------------------------------------------------------------------------------- */

static const struct {
  const char *json;
  plr_status status;
  const char *where, *says;
} refused[] = {
    {"", PLR_ERR_MALFORMED, "config", "line 1"},
    {"[]", PLR_ERR_MALFORMED, "config", "must be an object"},
    {"{}", PLR_ERR_MALFORMED, "config.model_type", "is missing"},
    {"{\"model_type\": \"gpt_neox\"}", PLR_ERR_UNSUPPORTED, "config.model_type", "known: llama"},
    {"{\"model_type\": \"llama\"}", PLR_ERR_MALFORMED, "config.hidden_size", "is missing"},
    {"{\"model_type\": \"llama\", \"model_type\": \"llama\"}", PLR_ERR_MALFORMED, "config",
     "duplicate"},
    {LLAMA ", \"hidden_act\": \"gelu\"}", PLR_ERR_MALFORMED, "config", "duplicate"},
    {LLAMA ", \"tie_word_embeddings\": 1}", PLR_ERR_MALFORMED, "config.tie_word_embeddings",
     "true or false"},
    {LLAMA ", \"head_dim\": 0}", PLR_ERR_MALFORMED, "config.head_dim", "whole number in 1"},
    {LLAMA ", \"head_dim\": 8.5}", PLR_ERR_MALFORMED, "config.head_dim", "whole number in 1"},
    {LLAMA ", \"partial_rotary_factor\": 0.5}", PLR_ERR_UNSUPPORTED, "config.partial_rotary_factor",
     "not known here"},
    {LLAMA ", \"rope_parameters\": {\"partial_rotary_factor\": 0.5}}", PLR_ERR_UNSUPPORTED,
     "config.partial_rotary_factor", "only 1"},
    {LLAMA ", \"quantization_config\": {}}", PLR_ERR_UNSUPPORTED, "config.quantization_config",
     "may change what the model computes"},
    {LLAMA ", \"final_logit_softcapping\": 30.0}", PLR_ERR_UNSUPPORTED,
     "config.final_logit_softcapping", "not known here"},
    {LLAMA ", \"sliding_window\": 16}", PLR_ERR_UNSUPPORTED, "config.sliding_window",
     "not known here"},
    {LLAMA ", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}}", PLR_ERR_UNSUPPORTED,
     "config.rope_scaling", "\"dynamic\" is not known here"},
    {LLAMA ", \"rope_scaling\": 3}", PLR_ERR_MALFORMED, "config.rope_scaling", "must be an object"},
    {LLAMA ", \"rope_scaling\": {\"type\": \"linear\"}}", PLR_ERR_MALFORMED, "config.factor",
     "is missing"},
    {LLAMA ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2, \"more\": 1}}",
     PLR_ERR_UNSUPPORTED, "config.more", "rope_scaling: is not known here"},
    {LLAMA ", \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
           "\"high_freq_factor\": 4}}",
     PLR_ERR_MALFORMED, "config.original_max_position_embeddings", "is missing"},
    {LLAMA ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"truncate\": false}}",
     PLR_ERR_UNSUPPORTED, "config.truncate", "only true"},
    {LLAMA ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, \"rope_parameters\": {}}",
     PLR_ERR_MALFORMED, "config.rope_parameters", "beside"},
    {OF_TYPE("mistral") "}", PLR_ERR_MALFORMED, "config.rope_theta", "is missing"},
    {OF_TYPE("mistral") ", \"rope_theta\": 1e4, \"attention_bias\": true}", PLR_ERR_UNSUPPORTED,
     "config.attention_bias", "not known here"},
    {OF_TYPE("qwen3") ", \"rope_theta\": 1e6}", PLR_ERR_MALFORMED, "config.head_dim", "is missing"},
    {OF_TYPE("qwen2") ", \"rope_theta\": 1e6, \"layer_types\": [\"full_attention\"]}",
     PLR_ERR_MALFORMED, "config.layer_types", "list of 4"},
    {OF_TYPE("qwen2") ", \"rope_theta\": 1e6, \"layer_types\": [\"full_attention\", "
                      "\"full_attention\", \"full_attention\", \"chunked_attention\"]}",
     PLR_ERR_UNSUPPORTED, "config.layer_types", "layer 3 is neither"},
    {OF_TYPE("qwen2") ", \"rope_theta\": 1e6, \"layer_types\": [\"full_attention\", "
                      "\"full_attention\", \"full_attention\", \"sliding_attention\"]}",
     PLR_ERR_MALFORMED, "config.layer_types", "there is no sliding_window"},
    {OF_TYPE("mixtral") MOE "}", PLR_ERR_MALFORMED, "config.num_experts", "is missing"},
    {OF_TYPE(
         "mixtral") ", \"num_experts_per_tok\": 9, \"num_local_experts\": 8, \"rope_theta\": 1e6}",
     PLR_ERR_MALFORMED, "config.num_experts_per_tok", "exceeds the 8"},
    {OF_TYPE("mixtral") MOE ", \"num_local_experts\": 8, \"router_jitter_noise\": 0.1}",
     PLR_ERR_UNSUPPORTED, "config.router_jitter_noise", "only 0"},
    {OF_TYPE("qwen3_moe") MOE
     ", \"head_dim\": 8, \"num_experts\": 4, \"moe_intermediate_size\": 8, "
     "\"mlp_only_layers\": [4]}",
     PLR_ERR_MALFORMED, "config.mlp_only_layers", "list of layers"},
    {GPT2 ", \"activation_function\": \"relu\"}", PLR_ERR_UNSUPPORTED, "config.activation_function",
     "known: gelu_new"},
    {GPT2 ", \"scale_attn_by_inverse_layer_idx\": true}", PLR_ERR_UNSUPPORTED,
     "config.scale_attn_by_inverse_layer_idx", "not known here"},
    {GPT2 ", \"add_cross_attention\": true}", PLR_ERR_UNSUPPORTED, "config.add_cross_attention",
     "not known here"},
};

static void test_refusals(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    plr_error err;
    assert_null(make(ctx, refused[i].json, NULL, &err));
    if (err.status != refused[i].status || strcmp(err.where, refused[i].where) != 0 ||
        !strstr(err.message, refused[i].says))
      fail_msg("%s: %s at %s: %s", refused[i].json, plr_status_name((plr_status)err.status),
               err.where, err.message);
  }
  plr_context_destroy(ctx);
}

/* ---- options ---------------------------------------------------------------------------------- */

static void test_options(void **state) {
  (void)state;
  static const uint32_t cuts[] = {1, 3};
  plr_context *ctx = new_context();
  plr_error err;
  plr_config_options o;
  plr_config_options_init(&o, sizeof o);
  o.cut_count = 2, o.cuts = cuts, o.name = "a \"name\"", o.seed = 7;
  plr_model *model = make(ctx, LLAMA "}", &o, &err);
  assert_non_null(model);
  assert_string_equal(plr_model_name(model), "a \"name\"");
  plr_model_info info = {.struct_size = sizeof info};
  assert_int_equal(plr_model_get_info(model, &info), PLR_OK);
  assert_int_equal(info.cut_count, 2);
  assert_int_equal(plr_model_cut(model, 1), 3);
  assert_int_equal(info.seed, 7);
  assert_int_equal(info.vocab, 96);
  assert_int_equal(info.blocks, 4);
  assert_int_equal(info.seq_len, 64);
  assert_non_null(strstr(plr_model_config(model), "\"tie_word_embeddings\": false"));
  plr_model_destroy(model);

  model = new_model(ctx, DENSE_JSON);
  assert_null(plr_model_config(model));
  plr_model_destroy(model);

  o.train = "{}, \"seed\": 3";
  assert_null(make(ctx, LLAMA "}", &o, &err));
  assert_string_equal(err.where, "config options.train");
  o.train = "[]";
  assert_null(make(ctx, LLAMA "}", &o, &err));
  o.train = "{}";
  assert_null(make(ctx, LLAMA "}", &o, &err));
  assert_non_null(strstr(err.where, "manifest.train"));
  o.train = NULL, o.boundary = "{\"kind\": \"none\"}";
  assert_null(make(ctx, LLAMA "}", &o, &err));
  assert_string_equal(err.where, "manifest.boundary.kind");
  o.boundary = NULL, o.cuts = NULL;
  assert_null(make(ctx, LLAMA "}", &o, &err));
  assert_int_equal(err.status, PLR_ERR_INVALID_ARGUMENT);
  plr_context_destroy(ctx);
}

/* ---- each family can be made, written and read ------------------------------------------------ */

static const char *const families[] = {
    LLAMA ", \"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": true}",
    OF_TYPE("mistral") ", \"rope_theta\": 1e4, \"sliding_window\": 5}",
    OF_TYPE("qwen2") ", \"rope_theta\": 1e6}",
    OF_TYPE("qwen3") ", \"rope_theta\": 1e6, \"head_dim\": 16}",
    OF_TYPE("mixtral") MOE ", \"num_local_experts\": 4}",
    OF_TYPE("qwen3_moe") MOE ", \"head_dim\": 8, \"num_experts\": 4, \"moe_intermediate_size\": 8, "
                             "\"mlp_only_layers\": [1]}",
    GPT2 "}",
};

static void test_there_and_back(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    plr_error err;
    plr_config_options o;
    plr_config_options_init(&o, sizeof o);
    plr_model *model = make(ctx, families[i], NULL, &err);
    if (!model) fail_msg("%s: %s", err.where, err.message);
    plr_shard *seeded = new_shard(ctx, model, 0, 0);
    file f = {.len = 0}, part = {.len = 0};
    export_to(seeded, PLR_DTYPE_F32, &f);
    /* Other seeds, and the config of what was written. */
    o.seed = 99;
    plr_model *other = make(ctx, plr_model_config(model), &o, &err);
    if (!other) fail_msg("%s: %s", err.where, err.message);
    plr_weights *w = open_file(ctx, &f);
    plr_shard *loaded = load_shard(ctx, other, w, 0, 0, &err);
    if (!loaded) fail_msg("%s: %s", err.where, err.message);
    assert_same_weights(loaded, seeded);
    plr_shard *half = load_shard(ctx, other, w, 1, 2, &err);
    assert_non_null(half);
    assert_same_weights(half, seeded);
    export_to(half, PLR_DTYPE_F32, &part);
    assert_true(part.len < f.len);
    plr_weights_destroy(w);
    plr_shard_destroy(half);
    plr_shard_destroy(loaded);
    plr_shard_destroy(seeded);
    plr_model_destroy(other);
    plr_model_destroy(model);
    files_release(&f, 1);
    files_release(&part, 1);
  }
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_spellings),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_there_and_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
