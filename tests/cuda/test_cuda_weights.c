/* Weights of a published model go to a device and come back as they were, through memory that the host cannot touch. */
#include "weights_common.h"

#include "cuda_support.h"

static const char *const configs[] = {
    "{\"model_type\": \"llama\", \"hidden_size\": 32, \"intermediate_size\": 50, "
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
    "\"vocab_size\": 97, \"max_position_embeddings\": 16, \"rms_norm_eps\": 1e-5}",
    "{\"model_type\": \"gpt2\", \"n_embd\": 32, \"n_layer\": 2, \"n_head\": 4, \"n_positions\": "
    "16, "
    "\"vocab_size\": 97}"};

static void there_and_back(const char *config) {
  plr_context *c = logging_context();
  plr_config_options co;
  plr_config_options_init(&co, sizeof co);
  plr_model *model = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_model_from_config(c, config, strlen(config), &co, &model, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  plr_shard *seeded = new_shard(c, model, 0, 0);
  file f = {.len = 0}, back = {.len = 0};
  export_to(seeded, PLR_DTYPE_F32, &f);
  plr_weights *w = open_file(c, &f);
  plr_model *untied = NULL;
  config = plr_model_config(model);
  assert_int_equal(plr_model_from_config(c, config, strlen(config), &co, &untied, &err), PLR_OK);
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.device = device_name(0), o.weights = w, o.inference_only = 1;
  plr_shard *loaded = NULL;
  if (plr_shard_create(c, untied, &o, &loaded, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  assert_same_weights(loaded, seeded);
  export_to(loaded, PLR_DTYPE_F32, &back);
  assert_int_equal(back.len, f.len);
  assert_memory_equal(back.data, f.data, f.len);
  plr_shard_destroy(loaded);
  plr_shard_destroy(seeded);
  plr_weights_destroy(w);
  plr_model_destroy(untied);
  plr_model_destroy(model);
  files_release(&f, 1);
  files_release(&back, 1);
  plr_context_destroy(c);
}

static void llama(void **state) {
  (void)state;
  there_and_back(configs[0]);
}

static void gpt2(void **state) {
  (void)state;
  there_and_back(configs[1]);
}

int main(int argc, char **argv) {
  assert_int_equal(argc, 2);
  plugin_path = argv[1];
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(llama),
      cmocka_unit_test(gpt2),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
