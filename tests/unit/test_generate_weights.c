/* Shards with weights in serving formats: the same bits for every split, chunking, thread count and instruction set;
 * close to fp32; loaded from a snapshot and set one by one to the same bits. */
#include "generate_common.h"

#include <math.h>

#define WINDOW 16

static const uint32_t formats[] = {PLR_WEIGHTS_F32, PLR_WEIGHTS_BF16, PLR_WEIGHTS_Q8,
                                   PLR_WEIGHTS_Q4};

static plr_shard_options options(uint32_t format) {
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.inference_only = 1;
  o.weight_format = format;
  return o;
}

/* Logits of 16 tokens fed in pieces of `step`. */
static float *run(uint32_t format, const char *json, const uint32_t *cuts, uint32_t shards,
                  uint32_t step, uint32_t threads, uint32_t isa) {
  plr_context *ctx = context_with(threads, isa);
  float *logits = calloc(WINDOW * 256, sizeof *logits);
  int32_t tokens[WINDOW];
  pipeline p;
  plr_shard_options o = options(format);
  pipeline_init(&p, ctx, json, &o, cuts, shards, 1, WINDOW);
  for (uint32_t t = 0; t < WINDOW; t++) tokens[t] = (uint8_t)verse[t];
  for (uint32_t t = 0; t < WINDOW; t += step) {
    uint32_t count = t + step < WINDOW ? step : WINDOW - t;
    entry e = {0, count, t, count, tokens + t};
    pipeline_feed(&p, &e, 1, logits + 256 * t);
  }
  pipeline_release(&p);
  plr_context_destroy(ctx);
  return logits;
}

static void test_same_bits(void **state) {
  (void)state;
  static const uint32_t cuts[] = {2, 4, 6};
  const char *models[] = {DENSE_JSON, SUBSPACE_JSON};
  for (int m = 0; m < 2; m++)
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
      float *want = run(formats[f], models[m], NULL, 1, 16, 1, PLR_ISA_PORTABLE);
      static const uint32_t ways[][4] = {
          {1, 1, 2, PLR_ISA_BEST}, {4, 5, 2, PLR_ISA_BEST}, {4, 1, 1, PLR_ISA_AVX2}};
      for (int w = 0; w < 3; w++) {
        float *got =
            run(formats[f], models[m], cuts, ways[w][0], ways[w][1], ways[w][2], ways[w][3]);
        assert_memory_equal(got, want, WINDOW * 256 * sizeof *got);
        free(got);
      }
      free(want);
    }
}

static void test_close(void **state) {
  (void)state;
  static const double bound[] = {0.0, 0.004, 0.015, 0.15};
  float *want = run(PLR_WEIGHTS_F32, DENSE_JSON, NULL, 1, 16, 1, PLR_ISA_BEST);
  for (size_t f = 1; f < sizeof formats / sizeof *formats; f++) {
    float *got = run(formats[f], DENSE_JSON, NULL, 1, 16, 1, PLR_ISA_BEST);
    double error = 0.0, size = 0.0;
    for (int i = 0; i < WINDOW * 256; i++) {
      error += pow((double)got[i] - (double)want[i], 2);
      size += pow((double)want[i], 2);
    }
    double relative = sqrt(error / size);
    if (relative > bound[f] || relative < bound[f] / 100)
      fail_msg("format %u: relative error %g", formats[f], relative);
    free(got);
  }
  free(want);
}

/* infer, of many rows and of few, goes through the same products. */
static void test_infer(void **state) {
  (void)state;
  for (size_t f = 1; f < sizeof formats / sizeof *formats; f++) {
    float *want = run(formats[f], DENSE_JSON, NULL, 1, 1, 1, PLR_ISA_BEST);
    plr_context *ctx = context_with(2, PLR_ISA_BEST);
    plr_model *model = new_model(ctx, DENSE_JSON);
    plr_shard_options o = options(formats[f]);
    plr_shard *shard = NULL;
    assert_int_equal(plr_shard_create(ctx, model, &o, &shard, NULL), PLR_OK);
    float *got = calloc(WINDOW * 256, sizeof *got);
    int32_t tokens[WINDOW];
    for (uint32_t t = 0; t < WINDOW; t++) tokens[t] = (uint8_t)verse[t];
    plr_tensor out;
    plr_tensor_matrix(&out, got, PLR_DTYPE_F32, WINDOW, 256);
    assert_int_equal(plr_shard_infer(shard, tokens, 1, WINDOW, NULL, &out), PLR_OK);
    assert_memory_equal(got, want, WINDOW * 256 * sizeof *got);
    free(got);
    free(want);
    plr_shard_destroy(shard);
    plr_model_destroy(model);
    plr_context_destroy(ctx);
  }
}

/* ---- weights from elsewhere --------------------------------------------------------------------- */

typedef struct bytes {
  uint8_t *data;
  size_t len;
} bytes;

static plr_status append(void *user, const void *data, size_t len) {
  bytes *b = user;
  b->data = realloc(b->data, b->len + len);
  memcpy(b->data + b->len, data, len);
  b->len += len;
  return PLR_OK;
}

static plr_status commit(void *user) {
  (void)user;
  return PLR_OK;
}

static void give_up(void *user) {
  (void)user;
}

static plr_status read_at(void *user, uint64_t offset, void *buf, size_t len) {
  const bytes *b = user;
  if (offset > b->len || len > b->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, b->data + offset, len);
  return PLR_OK;
}

static void infer(plr_shard *shard, float *logits) {
  int32_t tokens[WINDOW];
  plr_tensor out;
  for (uint32_t t = 0; t < WINDOW; t++) tokens[t] = (uint8_t)verse[t];
  plr_tensor_matrix(&out, logits, PLR_DTYPE_F32, WINDOW, 256);
  assert_int_equal(plr_shard_infer(shard, tokens, 1, WINDOW, NULL, &out), PLR_OK);
}

/* Sets every parameter of `to` from `from`. */
static void copy_all(plr_shard *from, plr_shard *to) {
  for (uint32_t i = 0; i < plr_shard_parameters(from); i++) {
    plr_parameter_info info = {.struct_size = sizeof info};
    assert_int_equal(plr_shard_parameter(from, i, &info), PLR_OK);
    float *x = calloc((size_t)(info.rows * info.cols), sizeof *x);
    plr_tensor t;
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, info.rows, info.cols);
    assert_int_equal(plr_shard_read(from, PLR_PARAMETER_WEIGHT, info.name, &t, NULL), PLR_OK);
    assert_int_equal(plr_shard_write(to, info.name, &t, NULL), PLR_OK);
    free(x);
  }
}

static void test_sources(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  row r;
  row_init(&r, ctx, DENSE_JSON, NULL, 1);
  plr_corpus *corpus = NULL;
  assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  for (int i = 0; i < 3; i++) row_step(&r, corpus);
  bytes saved = {0};
  plr_sink sink = {&saved, append, commit, give_up};
  assert_int_equal(plr_shard_save(r.shards[0], &sink, NULL), PLR_OK);
  plr_source source = {&saved, saved.len, read_at, NULL};
  static float fresh[WINDOW * 256], loaded[WINDOW * 256], written[WINDOW * 256];
  for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
    plr_shard_options o = options(formats[f]);
    plr_shard *a = NULL, *b = NULL;
    assert_int_equal(plr_shard_create(ctx, r.model, &o, &a, NULL), PLR_OK);
    assert_int_equal(plr_shard_create(ctx, r.model, &o, &b, NULL), PLR_OK);
    infer(a, fresh);
    saved.data[saved.len * 3 / 10] ^= 1; /* in the weights: much before it was read */
    assert_int_not_equal(plr_shard_load(a, &source, NULL), PLR_OK);
    saved.data[saved.len * 3 / 10] ^= 1;
    infer(a, loaded);
    assert_memory_equal(loaded, fresh, sizeof fresh);
    assert_int_equal(plr_shard_load(a, &source, NULL), PLR_OK);
    infer(a, loaded);
    assert_memory_not_equal(loaded, fresh, sizeof fresh);
    copy_all(r.shards[0], b);
    infer(b, written);
    assert_memory_equal(written, loaded, sizeof written);
    plr_shard_destroy(a);
    plr_shard_destroy(b);
  }
  free(saved.data);
  plr_corpus_destroy(corpus);
  row_release(&r);
  plr_context_destroy(ctx);
}

/* What it is for: memory. */
static void test_memory(void **state) {
  (void)state;
  static const double share[] = {1.0, 0.5, 8.5 / 32, 4.5 / 32};
  static const char json[] =
      "{\"format\": \"pluralis-model/1\", \"name\": \"wide\", \"family\": \"llama\", "
      "\"vocab\": \"bytes\", \"blocks\": 8, \"d_model\": 256, \"heads\": 4, \"kv_heads\": 2, "
      "\"head_dim\": 64, \"d_ff\": 704, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "
      "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [2], "
      "\"boundary\": {\"kind\": \"dense\"}, " TINY_TRAIN;
  double fixed = 0.0, weights = 0.0;
  for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
    plr_context *ctx = context_with(1, PLR_ISA_BEST);
    plr_model *model = new_model(ctx, json);
    plr_model_info info = {.struct_size = sizeof info};
    assert_int_equal(plr_model_get_info(model, &info), PLR_OK);
    plr_shard_options o = options(formats[f]);
    plr_shard *shard = NULL;
    uint64_t now;
    assert_int_equal(plr_shard_create(ctx, model, &o, &shard, NULL), PLR_OK);
    plr_context_memory(ctx, &now, NULL, NULL);
    if (f == 0) weights = 4.0 * (double)info.parameters, fixed = (double)now - weights;
    double got = ((double)now - fixed) / weights;
    if (got < share[f] - 0.005 || got > share[f] + 0.01)
      fail_msg("format %u holds %g of fp32", formats[f], got);
    plr_shard_destroy(shard);
    plr_model_destroy(model);
    plr_context_destroy(ctx);
  }
}

static void refuse(plr_shard_options o, plr_status want, const char *words) {
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, DENSE_JSON);
  plr_shard *shard = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_shard_create(ctx, model, &o, &shard, &err), want);
  if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

static void test_refused(void **state) {
  (void)state;
  plr_shard_options o = options(4);
  refuse(o, PLR_ERR_INVALID_ARGUMENT, "weight_format is 4");
  o = options(PLR_WEIGHTS_Q4);
  o.inference_only = 0;
  refuse(o, PLR_ERR_INVALID_ARGUMENT, "need inference_only");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_bits), cmocka_unit_test(test_close),
      cmocka_unit_test(test_infer),     cmocka_unit_test(test_sources),
      cmocka_unit_test(test_memory),    cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
