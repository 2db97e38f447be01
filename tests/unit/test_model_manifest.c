/* Manifests: what is read, what is refused and how the refusal is named, and the canonical hash. */
#include "model_common.h"

#include "model/model_int.h"

static void test_reads_the_example(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, SUBSPACE_JSON);
  plr_model_info info = {.struct_size = sizeof info};
  assert_int_equal(plr_model_get_info(model, &info), PLR_OK);
  assert_int_equal(info.blocks, 8);
  assert_int_equal(info.d_model, 32);
  assert_int_equal(info.kv_heads, 2);
  assert_int_equal(info.vocab, 256);
  assert_int_equal(info.boundary, PLR_BOUNDARY_SUBSPACE);
  assert_int_equal(info.boundary_width, 8);
  assert_int_equal(info.first_full_rank, 6);
  assert_int_equal(info.cut_count, 3);
  assert_int_equal(plr_model_cut(model, 1), 4);
  assert_int_equal(plr_model_cut(model, 3), 0);
  assert_true(info.beta2 == 0.95f && info.rope_theta == 10000.0);
  assert_string_equal(plr_model_name(model), "tiny");
  for (uint32_t p = 0; p <= 9; p++)
    assert_int_equal(plr_model_can_cut(model, p), p == 0 || p == 2 || p == 4 || p == 6 || p == 8);
  /* an info struct of an older caller: only its bytes are written */
  struct {
    uint32_t words[4];
  } old = {{8, 0, 77, 88}};
  assert_int_equal(plr_model_get_info(model, (plr_model_info *)&old), PLR_OK);
  assert_int_equal(old.words[0], 8);
  assert_int_equal(old.words[1], 8);
  assert_int_equal(old.words[2], 77);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

/* One edit of the good text and what it must be answered with. */
typedef struct bad {
  const char *from, *to;
  plr_status status;
  const char *where;
  const char *message; /* a part of it; NULL: any */
} bad;

static const bad bads[] = {
    {"\"heads\": 4", "\"hedas\": 4", PLR_ERR_MALFORMED, "manifest.hedas", "unknown"},
    {"\"lr\": 3e-3", "\"lrr\": 3e-3", PLR_ERR_MALFORMED, "manifest.train.lrr", "unknown"},
    {"\"lr\": 3e-3, ", "", PLR_ERR_MALFORMED, "manifest.train.lr", "missing"},
    {"\"seed\": 7, ", "", PLR_ERR_MALFORMED, "manifest.boundary.seed", "missing"},
    {"\"lr\": 3e-3", "\"lr\": \"fast\"", PLR_ERR_MALFORMED, "manifest.train.lr", "a string"},
    {"\"lr\": 3e-3", "\"lr\": 0", PLR_ERR_MALFORMED, "manifest.train.lr", "must be in"},
    {"\"lr\": 3e-3", "\"lr\": -1e-3", PLR_ERR_MALFORMED, "manifest.train.lr", "must be in"},
    {"\"lr\": 3e-3", "\"lr\": 3e-3, \"lr\": 1", PLR_ERR_MALFORMED, "manifest.train.lr",
     "duplicate"},
    {"\"rank\": 8", "\"rank\": 8, \"rank\": 8", PLR_ERR_MALFORMED, "manifest.boundary.rank",
     "duplicate"},
    {"\"blocks\": 8", "\"blocks\": 8.0", PLR_ERR_MALFORMED, "manifest.blocks", "whole number"},
    {"\"blocks\": 8", "\"blocks\": 0", PLR_ERR_MALFORMED, "manifest.blocks", "1 .. 1024"},
    {"\"blocks\": 8", "\"blocks\": 1025", PLR_ERR_MALFORMED, "manifest.blocks", NULL},
    {"\"blocks\": 8", "\"blocks\": 99999999999999999999", PLR_ERR_MALFORMED, "manifest.blocks",
     NULL},
    {"\"blocks\": 8", "\"blocks\": true", PLR_ERR_MALFORMED, "manifest.blocks", "boolean"},
    {"\"blocks\": 8", "\"blocks\": null", PLR_ERR_MALFORMED, "manifest.blocks", "null"},
    {"\"blocks\": 8", "\"blocks\": 6", PLR_ERR_MALFORMED, "manifest.cuts[2]", "5 .. 5"},
    {"\"blocks\": 8", "\"blocks\": 3", PLR_ERR_MALFORMED, "manifest.cuts", "do not fit"},
    {"\"d_model\": 32", "\"d_model\": -32", PLR_ERR_MALFORMED, "manifest.d_model", NULL},
    {"\"d_model\": 32", "\"d_model\": 4", PLR_ERR_MALFORMED, "manifest.boundary.rank", "d_model 4"},
    {"\"kv_heads\": 2", "\"kv_heads\": 3", PLR_ERR_MALFORMED, "manifest.kv_heads", "divide"},
    {"\"kv_heads\": 2", "\"kv_heads\": 8", PLR_ERR_MALFORMED, "manifest.kv_heads", "divide"},
    {"\"head_dim\": 8", "\"head_dim\": 7", PLR_ERR_MALFORMED, "manifest.head_dim", "even"},
    {"\"head_dim\": 8", "\"head_dim\": 32768", PLR_ERR_MALFORMED, "manifest.head_dim", "exceeds"},
    {"[2, 4, 6]", "[2, 4, 4]", PLR_ERR_MALFORMED, "manifest.cuts[2]", "5 .. 7"},
    {"[2, 4, 6]", "[0, 4, 6]", PLR_ERR_MALFORMED, "manifest.cuts[0]", NULL},
    {"[2, 4, 6]", "[2, \"4\", 6]", PLR_ERR_MALFORMED, "manifest.cuts[1]", "a string"},
    {"[2, 4, 6]", "[2, 7, 8]", PLR_ERR_MALFORMED, "manifest.cuts[2]", "no block"},
    {"[2, 4, 6]", "[]", PLR_ERR_MALFORMED, "manifest.cuts", "needs a cut"},
    {"[2, 4, 6]", "2", PLR_ERR_MALFORMED, "manifest.cuts", "an array"},
    {"\"subspace\"", "\"dense\"", PLR_ERR_MALFORMED, "manifest.boundary.rank", "unknown"},
    {"\"subspace\"", "\"wavelet\"", PLR_ERR_UNSUPPORTED, "manifest.boundary.kind",
     "known: \"dense\""},
    {"\"llama\"", "\"gpt9\"", PLR_ERR_UNSUPPORTED, "manifest.family", "gpt9"},
    {"pluralis-model/1", "pluralis-model/3", PLR_ERR_UNSUPPORTED, "manifest.format", NULL},
    {"\"bytes\"", "\"bpe\"", PLR_ERR_UNSUPPORTED, "manifest.vocab", NULL},
    {"\"adamw\"", "\"adam\"", PLR_ERR_UNSUPPORTED, "manifest.train.optimizer", NULL},
    {"\"cosine\"", "\"cos\"", PLR_ERR_UNSUPPORTED, "manifest.train.schedule", NULL},
    {"\"adamw\"", "\"nadam\"", PLR_ERR_MALFORMED, "manifest.train.momentum_decay", "missing"},
    {"\"adamw\"", "\"muon\"", PLR_ERR_MALFORMED, "manifest.train.muon_lr", "missing"},
    {"\"adamw\"", "\"muon\", \"muon_lr\": 1, \"muon_momentum\": 1", PLR_ERR_MALFORMED,
     "manifest.train.muon_momentum", "must be in"},
    {"\"adamw\"", "\"sgdm\", \"momentum\": 0.9", PLR_ERR_MALFORMED, "manifest.train.beta1",
     "unknown"},
    {"\"adamw\"", "\"adamw\", \"momentum_decay\": 0.1", PLR_ERR_MALFORMED,
     "manifest.train.momentum_decay", "unknown"},
    {"\"cosine\"", "\"wsd\"", PLR_ERR_MALFORMED, "manifest.train.decay_steps", "missing"},
    {"\"cosine\"", "\"wsd\", \"decay_steps\": 39", PLR_ERR_MALFORMED, "manifest.train.decay_steps",
     "38"},
    {"\"cosine\"", "\"linear\", \"decay_steps\": 3", PLR_ERR_MALFORMED,
     "manifest.train.decay_steps", "unknown"},
    {"\"clip\": 1.0", "\"clip\": 1.0, \"clip_scope\": \"shard\"", PLR_ERR_UNSUPPORTED,
     "manifest.train.clip_scope", "\"global\""},
    {"\"clip\": 1.0", "\"clip\": 1.0, \"storage\": \"fp16\"", PLR_ERR_UNSUPPORTED,
     "manifest.train.storage", "\"bf16\""},
    {"\"clip\": 1.0", "\"clip\": 1.0, \"storage\": 16", PLR_ERR_MALFORMED, "manifest.train.storage",
     "string"},
    {"\"cosine\"", "3", PLR_ERR_MALFORMED, "manifest.train.schedule", "a string"},
    {"\"tiny\"", "\"\"", PLR_ERR_MALFORMED, "manifest.name", "0 bytes"},
    {"\"tiny\"", "\"a\\nb\"", PLR_ERR_MALFORMED, "manifest.name", "control"},
    {"\"tiny\"", "\"a\\u0000b\"", PLR_ERR_MALFORMED, "manifest.name", NULL},
    {"\"tiny\"", "\"\xff\"", PLR_ERR_MALFORMED, "manifest.name", NULL},
    {"\"seed\": 1,", "\"seed\": -1,", PLR_ERR_MALFORMED, "manifest.seed", "negative"},
    {"\"beta2\": 0.95", "\"beta2\": 1.0", PLR_ERR_MALFORMED, "manifest.train.beta2", NULL},
    {"\"beta2\": 0.95", "\"beta2\": 0.99999999", PLR_ERR_MALFORMED, "manifest.train.beta2", NULL},
    {"\"warmup_steps\": 2", "\"warmup_steps\": 41", PLR_ERR_MALFORMED,
     "manifest.train.warmup_steps", NULL},
    {"\"micro_batch\": 2", "\"micro_batch\": 65536, \"x\": 1", PLR_ERR_MALFORMED,
     "manifest.train.x", NULL},
    {"\"seq_len\": 16, \"micro_batch\": 2,", "\"seq_len\": 1048576, \"micro_batch\": 32,",
     PLR_ERR_MALFORMED, "manifest.train.micro_batch", "exceeds"},
    {"\"train\": {", "\"train\": [{", PLR_ERR_MALFORMED, "manifest.train", NULL},
    {"\"norm_eps\": 1e-5", "\"norm_eps\": 1e-5x", PLR_ERR_MALFORMED, "manifest.norm_eps", "line 1"},
    {"\"norm_eps\": 1e-5", "\"norm_eps\": 1e999", PLR_ERR_MALFORMED, "manifest.norm_eps", NULL},
};

static void replace(const char *from, const char *to, char *out, size_t cap) {
  const char *at = strstr(SUBSPACE_JSON, from);
  assert_non_null(at);
  int n = snprintf(out, cap, "%.*s%s%s", (int)(at - SUBSPACE_JSON), SUBSPACE_JSON, to,
                   at + strlen(from));
  assert_true(n > 0 && (size_t)n < cap);
}

static void test_refuses_by_name(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  for (size_t i = 0; i < PLR_COUNT_OF(bads); i++) {
    char text[4096];
    replace(bads[i].from, bads[i].to, text, sizeof text);
    plr_error err;
    plr_error_init(&err, sizeof err);
    plr_model *model = (plr_model *)&err;
    plr_status st = plr_model_from_json(ctx, text, strlen(text), &model, &err);
    if (st != bads[i].status || strcmp(err.where, bads[i].where) != 0 || err.status != st ||
        (bads[i].message && !strstr(err.message, bads[i].message)))
      fail_msg("%s -> %s: %s at '%s': %s", bads[i].from, bads[i].to, plr_status_name(st), err.where,
               err.message);
    assert_null(model);
    assert_int_equal(plr_model_from_json(ctx, text, strlen(text), &model, NULL), st);
  }
  plr_context_destroy(ctx);
}

static void test_every_truncation_is_refused(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  size_t len = strlen(SUBSPACE_JSON);
  for (size_t n = 0; n < len; n++) {
    char *text = malloc(n + 1);
    memcpy(text, SUBSPACE_JSON, n);
    plr_model *model;
    assert_int_equal(plr_model_from_json(ctx, text, n, &model, NULL), PLR_ERR_MALFORMED);
    free(text);
  }
  plr_context_destroy(ctx);
}

static void test_size_limit(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  size_t len = PLR_MANIFEST_MAX + 1;
  char *text = malloc(len);
  memset(text, ' ', len);
  memcpy(text, SUBSPACE_JSON, strlen(SUBSPACE_JSON));
  plr_model *model;
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_model_from_json(ctx, text, len, &model, &err), PLR_ERR_LIMIT);
  assert_string_equal(err.where, "manifest");
  assert_int_equal(plr_model_from_json(ctx, text, len - 1, &model, &err), PLR_OK);
  plr_model_destroy(model);
  memset(text, '[', len); /* nesting far too deep */
  assert_int_equal(plr_model_from_json(ctx, text, len - 1, &model, &err), PLR_ERR_MALFORMED);
  free(text);
  plr_context_destroy(ctx);
}

static void hash_of(plr_context *ctx, const char *text, plr_hash *out) {
  plr_model *model = new_model(ctx, text);
  plr_model_hash(model, out);
  plr_model_destroy(model);
}

/* SHA-256 of the table in lib/model/README.md, packed by hand for SUBSPACE_JSON (Python: struct and hashlib). */
static void test_hash_is_the_documented_one(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_hash hash;
  char hex[65];
  hash_of(ctx, SUBSPACE_JSON, &hash);
  plr__hex_encode(hash.bytes, 32, hex);
  assert_string_equal(hex, "be5df9851d3c0e25f27fe56509d3998fa377b78dc083c561a378a0942060dd77");
  hash_of(ctx, DENSE_JSON, &hash);
  plr__hex_encode(hash.bytes, 32, hex);
  assert_string_equal(hex, "a75b476613c77208b7142156d5e0a8a942e8f690f65ad55ad9e5bbb9011c94cf");
  plr_context_destroy(ctx);
}

/* A manifest that uses more says so after the fixed part, and one that does not keeps its name. The hashes were
 * packed by hand as above. */
static void test_hash_of_more(void **state) {
  (void)state;
  static const char *const more[][3] = {
      {"\"adamw\"",
       "\"nadam\", \"momentum_decay\": 0.004, \"clip_scope\": \"global\", \"decay_steps\": 10",
       "447c5dd92849464272320a2c331d3dc67787257080e64de20b4de021e6cba3c8"},
      {"\"adamw\"", "\"muon\", \"muon_lr\": 0.02, \"muon_momentum\": 0.95",
       "fa7b4d360cf76bb5e87a072b5940d2049b73241a2caed351a1b8c9abbc9ec578"},
      {"\"adamw\"", "\"adamw\", \"clip_scope\": \"block\"",
       "be5df9851d3c0e25f27fe56509d3998fa377b78dc083c561a378a0942060dd77"},
      {"\"adamw\"", "\"adamw\", \"storage\": \"f32\"",
       "be5df9851d3c0e25f27fe56509d3998fa377b78dc083c561a378a0942060dd77"},
      {"\"adamw\"", "\"adamw\", \"storage\": \"bf16\"",
       "b14de188392f8b4c0a202d85abcdea8d0482d06b7d644167d0ebb20a400545c2"},
      {"\"adamw\"", "\"adamw\", \"storage\": \"bf16\", \"clip_scope\": \"global\"",
       "d83d6b8745639962e8584c4974f025e346d7d33d5cfdc6a4be8c6f4d373c88bc"},
  };
  plr_context *ctx = new_context();
  for (size_t i = 0; i < PLR_COUNT_OF(more); i++) {
    char text[4096], hex[65];
    plr_hash hash;
    replace(more[i][0], more[i][1], text, sizeof text);
    char *cosine = strstr(text, "\"cosine\"");
    if (i == 0) memcpy(cosine, "\"wsd\"   ", 8);
    hash_of(ctx, text, &hash);
    plr__hex_encode(hash.bytes, 32, hex);
    assert_string_equal(hex, more[i][2]);
  }
  plr_context_destroy(ctx);
}

static void test_hash_is_of_the_meaning(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  plr_hash a, b;
  hash_of(ctx, SUBSPACE_JSON, &a);
  hash_of(ctx, REORDERED_JSON, &b);
  assert_memory_equal(&a, &b, sizeof a);
  /* every field counts */
  static const char *edits[][2] = {
      {"tiny", "tinz"},
      {"\"heads\": 4", "\"heads\": 2"},
      {"\"d_ff\": 48", "\"d_ff\": 49"},
      {"\"norm_eps\": 1e-5", "\"norm_eps\": 1.000000000000001e-5"},
      {"\"rope_theta\": 10000", "\"rope_theta\": 10001"},
      {"\"init_std\": 0.02", "\"init_std\": 0.03"},
      {"\"embed_std\": 1.0", "\"embed_std\": 1.5"},
      {"\"seed\": 1,", "\"seed\": 2,"},
      {"[2, 4, 6]", "[2, 4]"},
      {"\"rank\": 8", "\"rank\": 9"},
      {"\"seed\": 7", "\"seed\": 8"},
      {"\"anchor_std\": 1.0", "\"anchor_std\": 0.5"},
      {"\"seq_len\": 16", "\"seq_len\": 17"},
      {"\"micro_batch\": 2", "\"micro_batch\": 3"},
      {"\"micro_batches\": 2", "\"micro_batches\": 3"},
      {"\"lr\": 3e-3", "\"lr\": 4e-3"},
      {"\"min_lr_ratio\": 0.1", "\"min_lr_ratio\": 0.2"},
      {"\"beta1\": 0.9", "\"beta1\": 0.8"},
      {"\"beta2\": 0.95", "\"beta2\": 0.96"},
      {"\"eps\": 1e-8", "\"eps\": 1e-9"},
      {"\"weight_decay\": 0.1", "\"weight_decay\": 0.2"},
      {"\"clip\": 1.0", "\"clip\": 2.0"},
      {"cosine", "linear"},
      {"\"warmup_steps\": 2", "\"warmup_steps\": 3"},
      {"\"steps\": 40", "\"steps\": 41"},
      {"\"data_seed\": 3", "\"data_seed\": 4"},
  };
  for (size_t i = 0; i < PLR_COUNT_OF(edits); i++) {
    char text[4096];
    replace(edits[i][0], edits[i][1], text, sizeof text);
    hash_of(ctx, text, &b);
    if (memcmp(&a, &b, sizeof a) == 0) fail_msg("%s does not change the hash", edits[i][0]);
  }
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reads_the_example),           cmocka_unit_test(test_refuses_by_name),
      cmocka_unit_test(test_every_truncation_is_refused), cmocka_unit_test(test_size_limit),
      cmocka_unit_test(test_hash_is_the_documented_one),  cmocka_unit_test(test_hash_of_more),
      cmocka_unit_test(test_hash_is_of_the_meaning),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
