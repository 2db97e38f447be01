/* A trained model: stories260K (config.json and safetensors as published) says what the float64 reference said, as one
 * shard and as five. The data is not part of the tree: skipped where it is absent. */
#include "weights_common.h"

#include <jansson.h>
#include <math.h>

#define FOLDER PLR_SOURCE_DIR "/../shared/data/stories260K"
#define STEPS  200
#define SEQ    256

typedef struct story {
  plr_context *ctx;
  plr_model *model;
  plr_model_info info;
  plr_shard *shards[8];
  uint32_t count;
  float *wires[8];
  float *logits;
} story;

/* A whole file; NULL when it is not there. */
static char *read_text(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  char *text = calloc(1, 1 << 20);
  *len = fread(text, 1, (1 << 20) - 1, f);
  fclose(f);
  return text;
}

static plr_model *model_of(plr_context *ctx) {
  size_t len = 0;
  char *text = read_text(FOLDER "/config.json", &len);
  if (!text) return NULL;
  plr_config_options o;
  plr_config_options_init(&o, sizeof o);
  o.train =
      "{\"seq_len\": 256, \"micro_batch\": 1, \"micro_batches\": 1, \"optimizer\": \"adamw\", "
      "\"lr\": 1e-3, \"min_lr_ratio\": 0.1, \"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, "
      "\"weight_decay\": 0, \"clip\": 0, \"z_loss\": 0, \"schedule\": \"constant\", \"warmup_steps\": 0, "
      "\"steps\": 10, \"data_seed\": 0}";
  plr_model *model = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_model_from_config(ctx, text, len, &o, &model, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  free(text);
  return model;
}

static int story_init(story *s, uint32_t count) {
  memset(s, 0, sizeof *s);
  s->ctx = context_with(2, PLR_ISA_BEST);
  s->model = model_of(s->ctx);
  if (!s->model) {
    printf("skipped: no stories260K in ../shared/data\n");
    plr_context_destroy(s->ctx);
    return 0;
  }
  s->count = count;
  s->info.struct_size = sizeof s->info;
  assert_int_equal(plr_model_get_info(s->model, &s->info), PLR_OK);
  plr_weights *w = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (plr_weights_open_path(s->ctx, FOLDER, &w, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  for (uint32_t i = 0; i < count; i++) {
    plr_shard_options o;
    plr_shard_options_init(&o, sizeof o);
    o.first_block = i * s->info.blocks / count, o.end_block = (i + 1) * s->info.blocks / count;
    o.inference_only = 1, o.weights = w;
    if (plr_shard_create(s->ctx, s->model, &o, &s->shards[i], &err) != PLR_OK)
      fail_msg("%s: %s", err.where, err.message);
    s->wires[i] = calloc((size_t)SEQ * s->info.d_model, sizeof(float));
  }
  plr_weights_destroy(w);
  s->logits = calloc((size_t)SEQ * s->info.vocab, sizeof(float));
  return 1;
}

static void story_release(story *s) {
  for (uint32_t i = 0; i < s->count; i++) {
    plr_shard_destroy(s->shards[i]);
    free(s->wires[i]);
  }
  free(s->logits);
  plr_model_destroy(s->model);
  plr_context_destroy(s->ctx);
}

/* Logits of n tokens, in s->logits. */
static void infer(story *s, const int32_t *tokens, uint32_t n) {
  for (uint32_t i = 0; i < s->count; i++) {
    plr_tensor in, out;
    int last = i + 1 == s->count;
    if (i > 0) plr_tensor_matrix(&in, s->wires[i - 1], PLR_DTYPE_F32, n, s->info.d_model);
    plr_tensor_matrix(&out, last ? s->logits : s->wires[i], PLR_DTYPE_F32, n,
                      last ? s->info.vocab : s->info.d_model);
    assert_int_equal(plr_shard_infer(s->shards[i], tokens, 1, n, i > 0 ? &in : NULL, &out), PLR_OK);
  }
}

static json_t *reference(void) {
  size_t len = 0;
  char *text = read_text(FOLDER "/greedy.json", &len);
  assert_non_null(text);
  json_t *root = json_loadb(text, len, 0, NULL);
  assert_non_null(root);
  free(text);
  return root;
}

static void tell(uint32_t count) {
  story s;
  if (!story_init(&s, count)) return;
  json_t *root = reference();
  const json_t *tokens = json_object_get(root, "greedy_tokens");
  const json_t *logits = json_object_get(root, "first_logits_float64");
  int32_t prefix[SEQ] = {(int32_t)json_integer_value(json_object_get(root, "bos"))};
  assert_true(json_array_size(tokens) >= STEPS && json_array_size(logits) >= 16);
  infer(&s, prefix, 1);
  for (size_t i = 0; i < json_array_size(logits); i++) {
    double want = json_real_value(json_array_get(logits, i));
    if (fabs((double)s.logits[i] - want) > 1e-5)
      fail_msg("logit %zu is %.7g, float64 says %.7g", i, (double)s.logits[i], want);
  }
  for (uint32_t n = 1; n <= STEPS; n++) {
    infer(&s, prefix, n);
    const float *last = s.logits + (size_t)(n - 1) * s.info.vocab;
    uint32_t best = 0;
    for (uint32_t i = 1; i < s.info.vocab; i++)
      if (last[i] > last[best]) best = i;
    prefix[n] = (int32_t)best;
    assert_int_equal(prefix[n], json_integer_value(json_array_get(tokens, n - 1)));
  }
  json_decref(root);
  story_release(&s);
}

static void test_one_shard(void **state) {
  (void)state;
  tell(1);
}

static void test_five_shards(void **state) {
  (void)state;
  tell(5);
}

/* What is exported is what was published, but for the head, which stands by itself. */
static void test_export(void **state) {
  (void)state;
  story s;
  if (!story_init(&s, 1)) return;
  file f = {.len = 0};
  export_to(s.shards[0], PLR_DTYPE_F32, &f);
  plr_weights *ours = open_file(s.ctx, &f), *theirs = NULL;
  assert_int_equal(plr_weights_open_path(s.ctx, FOLDER, &theirs, NULL), PLR_OK);
  assert_int_equal(plr_weights_count(ours), plr_weights_count(theirs) + 1);
  plr_weights_tensor t = {.struct_size = sizeof t};
  uint32_t heads = 0;
  for (uint32_t i = 0, j = 0; i < plr_weights_count(ours); i++) {
    plr_weights_tensor u = {.struct_size = sizeof u};
    assert_int_equal(plr_weights_get(ours, i, &t, NULL), PLR_OK);
    if (strcmp(t.name, "lm_head.weight") == 0) {
      assert_int_equal(t.shape[0], 512);
      assert_int_equal(t.shape[1], 64);
      heads++;
      continue;
    }
    assert_int_equal(plr_weights_get(theirs, j++, &u, NULL), PLR_OK);
    assert_string_equal(t.name, u.name);
    assert_memory_equal(t.shape, u.shape, sizeof t.shape);
  }
  assert_int_equal(heads, 1);
  plr_weights_destroy(theirs);

  /* Read back through its own config it is the same model. */
  const char *config = plr_model_config(s.model);
  assert_non_null(strstr(config, "\"tie_word_embeddings\": false"));
  plr_model *untied = NULL;
  assert_int_equal(plr_model_from_config(s.ctx, config, strlen(config), NULL, &untied, NULL),
                   PLR_OK);
  plr_error err;
  plr_shard *again = load_shard(s.ctx, untied, ours, 0, 0, &err);
  assert_non_null(again);
  assert_same_weights(again, s.shards[0]);
  plr_shard_destroy(again);
  plr_model_destroy(untied);
  plr_weights_destroy(ours);
  files_release(&f, 1);
  story_release(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_shard),
      cmocka_unit_test(test_five_shards),
      cmocka_unit_test(test_export),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
