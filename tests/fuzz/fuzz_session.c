/* Fuzz: a session's state from anywhere. It is tried as it is, and once more with its hash made right, so that what
 * lies before the hash is reached too. A refusal must leave the session empty and good; what is accepted must come out
 * of save as the same bytes. */
#include <pluralis/generate.h>

#include <stdlib.h>
#include <string.h>

static const char manifest[] =
    "{\"format\": \"pluralis-model/1\", \"name\": \"fuzz\", \"family\": \"llama\", "
    "\"vocab\": \"bytes\", \"blocks\": 2, \"d_model\": 2, \"heads\": 1, \"kv_heads\": 1, "
    "\"head_dim\": 2, \"d_ff\": 2, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "
    "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [1], "
    "\"boundary\": {\"kind\": \"dense\"}, \"train\": {\"seq_len\": 20, \"micro_batch\": 1, "
    "\"micro_batches\": 1, \"optimizer\": \"adamw\", \"lr\": 1e-3, \"min_lr_ratio\": 0.1, "
    "\"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "
    "\"schedule\": \"cosine\", \"warmup_steps\": 1, \"steps\": 10, \"data_seed\": 3}}";

typedef struct bytes {
  uint8_t data[4096];
  size_t len;
} bytes;

static plr_status read_at(void *user, uint64_t offset, void *buf, size_t len) {
  const bytes *b = user;
  if (offset > b->len || len > b->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, b->data + offset, len);
  return PLR_OK;
}

static plr_status append(void *user, const void *data, size_t len) {
  bytes *b = user;
  if (len > sizeof b->data - b->len) return PLR_ERR_NO_SPACE;
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

static void must(int holds) {
  if (!holds) abort();
}

static plr_shard *shard;
static plr_session *session;

static void make(void) {
  plr_context *ctx;
  plr_model *model;
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.first_block = 1, o.inference_only = 1;
  must(plr_context_create(NULL, &ctx, NULL) == PLR_OK);
  must(plr_model_from_json(ctx, manifest, sizeof manifest - 1, &model, NULL) == PLR_OK);
  must(plr_shard_create(ctx, model, &o, &shard, NULL) == PLR_OK);
  must(plr_session_create(shard, NULL, &session, NULL) == PLR_OK);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

static void attempt(bytes *b) {
  static bytes again;
  plr_source source = {b, b->len, read_at, NULL};
  plr_sink sink = {&again, append, commit, give_up};
  float x[2] = {0.5f, -0.5f}, logits[256];
  plr_tensor in, out;
  if (plr_session_load(session, &source, NULL) == PLR_OK) {
    again.len = 0;
    must(plr_session_save(session, &sink, NULL) == PLR_OK);
    must(again.len == b->len && memcmp(again.data, b->data, b->len) == 0);
    must(plr_session_truncate(session, 0) == PLR_OK);
  }
  must(plr_session_length(session) == 0);
  plr_session_rows rows = {session, NULL, 1, 0, 1, 0};
  plr_tensor_matrix(&in, x, PLR_DTYPE_F32, 1, 2);
  plr_tensor_matrix(&out, logits, PLR_DTYPE_F32, 1, 256);
  must(plr_shard_feed(shard, &rows, 1, &in, &out, NULL) == PLR_OK);
  must(plr_session_truncate(session, 0) == PLR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bytes b;
  plr_hash hash;
  if (size > sizeof b.data) return 0;
  if (!session) make();
  memcpy(b.data, data, size);
  b.len = size;
  attempt(&b);
  if (size < sizeof hash) return 0;
  plr_sha256(b.data, size - sizeof hash, &hash);
  memcpy(b.data + size - sizeof hash, hash.bytes, sizeof hash);
  attempt(&b);
  return 0;
}
