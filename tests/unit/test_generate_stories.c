/* A trained model speaks: stories260K through sessions gives the tokens and the logits of the float64 reference, as one
 * shard and as five; in smaller formats of weights it still tells a story. Skipped where the data is absent. */
#include "generate_common.h"

#include <jansson.h>
#include <math.h>

#define FOLDER PLR_SOURCE_DIR "/../shared/data/stories260K"
#define STEPS  200
#define VOCAB  512

static char *read_text(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  char *text = calloc(1, 1 << 20);
  *len = fread(text, 1, (1 << 20) - 1, f);
  fclose(f);
  return text;
}

static json_t *reference(void) {
  size_t len = 0;
  char *text = read_text(FOLDER "/greedy.json", &len);
  if (!text) {
    print_message("skipped: no stories260K in ../shared/data\n");
    return NULL;
  }
  json_t *root = json_loadb(text, len, 0, NULL);
  assert_non_null(root);
  free(text);
  return root;
}

/* The model with its published weights in a format, cut into `shards`. */
static void load(pipeline *p, uint32_t format, uint32_t shards) {
  static const uint32_t cuts[] = {1, 2, 3, 4};
  size_t len = 0;
  char *text = read_text(FOLDER "/config.json", &len);
  plr_context *ctx = context_with(2, PLR_ISA_BEST);
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_model *model = NULL;
  plr_weights *weights = NULL;
  if (plr_model_from_config(ctx, text, len, NULL, &model, &err) != PLR_OK ||
      plr_weights_open_path(ctx, FOLDER, &weights, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.inference_only = 1, o.weight_format = format, o.weights = weights;
  pipeline_of(p, ctx, model, &o, cuts, shards, 1, 512);
  plr_weights_destroy(weights);
  free(text);
}

static void unload(pipeline *p) {
  plr_context *ctx = p->ctx;
  pipeline_release(p);
  plr_context_destroy(ctx);
}

static int32_t greedy(plr_context *ctx, const float *logits) {
  int32_t token = -1;
  assert_int_equal(plr_sample_logits(ctx, logits, VOCAB, NULL, &token), PLR_OK);
  return token;
}

/* Tokens that agree with the reference before the first that does not. first: logits after the first token. */
static uint32_t tell(const json_t *root, uint32_t format, uint32_t shards, float *first) {
  const json_t *want = json_object_get(root, "greedy_tokens");
  int32_t token = (int32_t)json_integer_value(json_object_get(root, "bos"));
  float logits[VOCAB];
  pipeline p;
  load(&p, format, shards);
  uint32_t n = 0;
  for (; n < STEPS; n++) {
    entry e = {0, 1, n, 1, &token};
    pipeline_feed(&p, &e, 1, logits);
    if (n == 0) memcpy(first, logits, sizeof logits);
    token = greedy(p.ctx, logits);
    if (token != json_integer_value(json_array_get(want, n))) break;
  }
  unload(&p);
  return n;
}

static void test_float(void **state) {
  (void)state;
  json_t *root = reference();
  if (!root) return;
  const json_t *logits = json_object_get(root, "first_logits_float64");
  for (uint32_t shards = 1; shards <= 5; shards += 4) {
    float first[VOCAB];
    assert_int_equal(tell(root, PLR_WEIGHTS_F32, shards, first), STEPS);
    assert_true(json_array_size(logits) >= 16);
    for (size_t i = 0; i < json_array_size(logits); i++) {
      double want = json_real_value(json_array_get(logits, i));
      if (fabs((double)first[i] - want) > 1e-5)
        fail_msg("logit %zu is %.7g, float64 says %.7g", i, (double)first[i], want);
    }
  }
  json_decref(root);
}

/* The story as a prompt: one call gives what 200 did. */
static void test_prompt(void **state) {
  (void)state;
  json_t *root = reference();
  if (!root) return;
  const json_t *want = json_object_get(root, "greedy_tokens");
  int32_t tokens[STEPS] = {(int32_t)json_integer_value(json_object_get(root, "bos"))};
  for (size_t i = 1; i < STEPS; i++)
    tokens[i] = (int32_t)json_integer_value(json_array_get(want, i - 1));
  float *logits = calloc((size_t)STEPS * VOCAB, sizeof *logits);
  pipeline p;
  load(&p, PLR_WEIGHTS_F32, 5);
  entry e = {0, STEPS, 0, STEPS, tokens};
  pipeline_feed(&p, &e, 1, logits);
  for (size_t i = 0; i < STEPS; i++)
    assert_int_equal(greedy(p.ctx, logits + i * VOCAB),
                     json_integer_value(json_array_get(want, i)));
  unload(&p);
  free(logits);
  json_decref(root);
}

/* The probability that the model gives to the reference's story, in nats a token, hardly depends on the format. */
static double story_loss(const json_t *root, uint32_t format) {
  const json_t *want = json_object_get(root, "greedy_tokens");
  int32_t tokens[STEPS] = {(int32_t)json_integer_value(json_object_get(root, "bos"))},
          labels[STEPS];
  for (size_t i = 0; i < STEPS; i++) {
    labels[i] = (int32_t)json_integer_value(json_array_get(want, i));
    if (i + 1 < STEPS) tokens[i + 1] = labels[i];
  }
  float *logits = calloc((size_t)STEPS * VOCAB, sizeof *logits);
  double loss = 0.0;
  pipeline p;
  plr_tensor t;
  load(&p, format, 1);
  entry e = {0, STEPS, 0, STEPS, tokens};
  pipeline_feed(&p, &e, 1, logits);
  plr_tensor_matrix(&t, logits, PLR_DTYPE_F32, STEPS, VOCAB);
  assert_int_equal(plr_shard_loss(p.shard[0], &t, labels, &loss), PLR_OK);
  unload(&p);
  free(logits);
  return loss / STEPS;
}

static void test_formats(void **state) {
  (void)state;
  static const double most[] = {0.0, 0.003, 0.01, 0.25};
  json_t *root = reference();
  if (!root) return;
  float first[VOCAB];
  const double exact = story_loss(root, PLR_WEIGHTS_F32);
  for (uint32_t format = PLR_WEIGHTS_BF16; format <= PLR_WEIGHTS_Q4; format++) {
    const double more = story_loss(root, format) - exact;
    print_message("format %u: %.4f nats a token more than %.4f, the first %u tokens the same\n",
                  format, more, exact, tell(root, format, 1, first));
    assert_true(more < most[format]);
  }
  json_decref(root);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_float),
      cmocka_unit_test(test_prompt),
      cmocka_unit_test(test_formats),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
