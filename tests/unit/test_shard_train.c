/* Training learns: a short verse by heart, and more of a real text than its letter frequencies say; inference and
 * training agree on the loss. */
#include "shard_common.h"

#include <math.h>

static const uint32_t cuts[3] = {2, 4, 6};

#define VERSE(boundary)                                                                            \
  TINY_SHAPE "\"boundary\": " boundary ", "                                                        \
             "\"train\": {\"seq_len\": 32, \"micro_batch\": 4, \"micro_batches\": 2, "             \
             "\"optimizer\": \"adamw\", \"lr\": 1e-2, \"min_lr_ratio\": 0.1, \"beta1\": 0.9, "     \
             "\"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0, \"clip\": 1.0, "                \
             "\"schedule\": \"cosine\", \"warmup_steps\": 10, \"steps\": 200, \"data_seed\": 3}}"

/* Mean loss of validation batches through infer and loss. */
static double evaluate(row *r, const plr_corpus *corpus, uint32_t batches) {
  int64_t n = (int64_t)r->info.micro_batch * r->info.seq_len;
  int32_t *tokens = calloc((size_t)n, sizeof *tokens), *labels = calloc((size_t)n, sizeof *labels);
  float *out = calloc((size_t)n * r->info.vocab, sizeof *out);
  double total = 0.0;
  for (uint32_t b = 0; b < batches; b++) {
    uint32_t seq = r->info.seq_len, rows = r->info.micro_batch;
    assert_int_equal(
        plr_corpus_batch(corpus, PLR_SPLIT_VALIDATION, 1, b, rows, seq, r->tokens, NULL), PLR_OK);
    for (int64_t i = 0; i < n; i++) {
      tokens[i] = r->tokens[i / seq * (seq + 1) + i % seq];
      labels[i] = r->tokens[i / seq * (seq + 1) + i % seq + 1];
    }
    plr_tensor in, logits, *from = NULL;
    for (uint32_t s = 0; s < r->count; s++) {
      int last = s + 1 == r->count;
      plr_tensor to;
      row_tensor(r, r->acts[s], &to);
      plr_tensor_matrix(&logits, out, PLR_DTYPE_F32, n, r->info.vocab);
      assert_int_equal(plr_shard_infer(r->shards[s], tokens, rows, seq, from, last ? &logits : &to),
                       PLR_OK);
      in = to, from = &in;
    }
    double loss;
    assert_int_equal(plr_shard_loss(r->shards[r->count - 1], &logits, labels, &loss), PLR_OK);
    total += loss;
  }
  free(tokens);
  free(labels);
  free(out);
  return total / (double)(n * batches);
}

static void test_a_verse_by_heart(void **state) {
  (void)state;
  const char *texts[] = {VERSE("{\"kind\": \"dense\"}"),
                         VERSE("{\"kind\": \"subspace\", \"rank\": 8, \"seed\": 7, "
                               "\"anchor_std\": 1.0}")};
  for (int t = 0; t < 2; t++) {
    plr_context *ctx = context_with(2, PLR_ISA_BEST);
    plr_corpus *corpus = NULL;
    row r;
    assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
    row_init(&r, ctx, texts[t], cuts, 4);
    double first = row_step(&r, corpus), last = 0.0;
    for (uint32_t i = 1; i < r.info.steps; i++) last = row_step(&r, corpus);
    print_message("verse, %s: %.3f -> %.3f nats\n", t ? "subspace" : "dense", first, last);
    assert_true(first > 5.0 && first < 6.5); /* about ln 256 */
    assert_true(last < 1.5);                 /* the letters' frequencies alone give about 3 */
    row_release(&r);
    plr_corpus_destroy(corpus);
    plr_context_destroy(ctx);
  }
}

/* The training loss of a micro-batch is the loss of its logits, bit for bit. */
static void test_infer_agrees_with_forward(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  plr_corpus *corpus = NULL;
  row r;
  assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  row_init(&r, ctx, SUBSPACE_JSON, cuts, 4);
  double mean = evaluate(&r, corpus, 1); /* leaves its batch in tokens */
  double sum = row_forward(&r);
  assert_true(sum / 32 == mean);
  assert_true(evaluate(&r, corpus, 1) ==
              mean); /* allowed while slots are busy, and changes nothing */
  row_backward(&r);
  row_release(&r);
  plr_corpus_destroy(corpus);
  plr_context_destroy(ctx);
}

/* A shorter or smaller batch gives the same logits where they overlap: causal, and rows are independent. */
static void test_infer_prefix(void **state) {
  (void)state;
  plr_context *ctx = context_with(2, PLR_ISA_BEST);
  row r;
  row_init(&r, ctx, SUBSPACE_JSON, cuts, 1);
  int32_t tokens[32];
  for (int i = 0; i < 32; i++) tokens[i] = (i * 37 + 11) % 256;
  float *whole = calloc(32 * 256, 4), *part = calloc(32 * 256, 4);
  plr_tensor t;
  plr_tensor_matrix(&t, whole, PLR_DTYPE_F32, 32, 256);
  assert_int_equal(plr_shard_infer(r.shards[0], tokens, 2, 16, NULL, &t), PLR_OK);
  for (uint32_t seq = 1; seq <= 16; seq++) {
    plr_tensor_matrix(&t, part, PLR_DTYPE_F32, seq, 256);
    assert_int_equal(plr_shard_infer(r.shards[0], tokens + 16, 1, seq, NULL, &t), PLR_OK);
    assert_memory_equal(part, whole + 16 * 256, (size_t)seq * 1024);
  }
  free(whole);
  free(part);
  row_release(&r);
  plr_context_destroy(ctx);
}

/* ---- a real text ------------------------------------------------------------------------------ */

static uint8_t *read_text(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  uint8_t *text = malloc(1 << 21);
  *len = fread(text, 1, 1 << 21, f);
  fclose(f);
  return text;
}

/* Entropy of single bytes: what a model that only knows their frequencies loses. */
static double byte_entropy(const uint8_t *text, size_t len) {
  double count[256] = {0}, h = 0.0;
  for (size_t i = 0; i < len; i++) count[text[i]]++;
  for (int i = 0; i < 256; i++)
    if (count[i] > 0) h -= count[i] / (double)len * log(count[i] / (double)len);
  return h;
}

#define REAL(boundary)                                                                             \
  "{\"format\": \"pluralis-model/1\", \"name\": \"real\", \"family\": \"llama\", "                 \
  "\"vocab\": \"bytes\", \"blocks\": 4, \"d_model\": 64, \"heads\": 4, \"kv_heads\": 2, "          \
  "\"head_dim\": 16, \"d_ff\": 176, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "                   \
  "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [1, 2, 3], "                     \
  "\"boundary\": " boundary ", "                                                                   \
  "\"train\": {\"seq_len\": 64, \"micro_batch\": 4, \"micro_batches\": 2, "                        \
  "\"optimizer\": \"adamw\", \"lr\": 4e-3, \"min_lr_ratio\": 0.1, \"beta1\": 0.9, "                \
  "\"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "                         \
  "\"schedule\": \"cosine\", \"warmup_steps\": 10, \"steps\": 120, \"data_seed\": 3}}"

static void test_a_real_text(void **state) {
  (void)state;
  size_t len = 0;
  uint8_t *text = read_text(PLR_SOURCE_DIR "/../shared/data/tinyshakespeare.txt", &len);
  if (!text) {
    print_message("skipped: ../shared/data/tinyshakespeare.txt is not there\n");
    skip();
  }
  const char *texts[] = {REAL("{\"kind\": \"dense\"}"),
                         REAL("{\"kind\": \"subspace\", \"rank\": 16, \"seed\": 7, "
                              "\"anchor_std\": 1.0}")};
  static const uint32_t at[3] = {1, 2, 3};
  double entropy = byte_entropy(text, len);
  for (int t = 0; t < 2; t++) {
    plr_context *ctx = context_with(2, PLR_ISA_BEST);
    plr_corpus *corpus = NULL;
    row r;
    assert_int_equal(plr_corpus_create(ctx, text, len, &corpus, NULL), PLR_OK);
    row_init(&r, ctx, texts[t], at, 4);
    for (int i = 0; i < 120; i++) row_step(&r, corpus);
    double loss = evaluate(&r, corpus, 8);
    print_message("real text, %s: validation %.3f nats, byte entropy %.3f\n",
                  t ? "subspace" : "dense", loss, entropy);
    assert_true(loss < entropy - 0.7);
    row_release(&r);
    plr_corpus_destroy(corpus);
    plr_context_destroy(ctx);
  }
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_verse_by_heart),
      cmocka_unit_test(test_infer_agrees_with_forward),
      cmocka_unit_test(test_infer_prefix),
      cmocka_unit_test(test_a_real_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
