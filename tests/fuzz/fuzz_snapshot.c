/* Fuzz: a snapshot from anywhere. It is tried as it is, and once more with every hash made right, so that what lies
 * behind the hashes is reached too. A refusal must leave the shard as it was; what is accepted must come out of save
 * as the same bytes. */
#include <pluralis/shard.h>

#include <stdlib.h>
#include <string.h>

static const char manifest[] =
    "{\"format\": \"pluralis-model/1\", \"name\": \"fuzz\", \"family\": \"llama\", "
    "\"vocab\": \"bytes\", \"blocks\": 2, \"d_model\": 2, \"heads\": 1, \"kv_heads\": 1, "
    "\"head_dim\": 2, \"d_ff\": 2, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "
    "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [1], "
    "\"boundary\": {\"kind\": \"dense\"}, \"train\": {\"seq_len\": 2, \"micro_batch\": 1, "
    "\"micro_batches\": 1, \"optimizer\": \"adamw\", \"lr\": 1e-3, \"min_lr_ratio\": 0.1, "
    "\"beta1\": 0.9, \"beta2\": 0.95, \"eps\": 1e-8, \"weight_decay\": 0.1, \"clip\": 1.0, "
    "\"schedule\": \"cosine\", \"warmup_steps\": 1, \"steps\": 10, \"data_seed\": 3}}";

/* Sizes of the sections of the second block: two gains, q k v o, gate up down, final gain, head. */
static const struct {
  const char *name;
  size_t numbers;
} tensors[] = {{"blocks.1.attn_norm.weight", 2},
               {"blocks.1.attn.q.weight", 4},
               {"blocks.1.attn.k.weight", 4},
               {"blocks.1.attn.v.weight", 4},
               {"blocks.1.attn.o.weight", 4},
               {"blocks.1.mlp_norm.weight", 2},
               {"blocks.1.mlp.gate.weight", 4},
               {"blocks.1.mlp.up.weight", 4},
               {"blocks.1.mlp.down.weight", 4},
               {"norm.weight", 2},
               {"head.weight", 512}};

typedef struct bytes {
  uint8_t data[16384];
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

/* Makes the hashes of a file of the right size right. */
static void seal(bytes *b) {
  uint8_t hashes[32 * (1 + sizeof tensors / sizeof *tensors)];
  plr_hash hash;
  size_t at = 80, n = 0;
  plr_sha256(b->data, 80, &hash);
  memcpy(b->data + at, hash.bytes, 32);
  memcpy(hashes + 32 * n++, hash.bytes, 32);
  at += 32;
  for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
    size_t len = 2 + strlen(tensors[i].name) + 16 + 12 * tensors[i].numbers;
    if (at + len + 32 > b->len) return;
    plr_sha256(b->data + at, len, &hash);
    memcpy(b->data + at + len, hash.bytes, 32);
    memcpy(hashes + 32 * n++, hash.bytes, 32);
    at += len + 32;
  }
  if (at + 32 > b->len) return;
  plr_sha256(hashes, 32 * n, &hash);
  memcpy(b->data + at, hash.bytes, 32);
}

static plr_context *ctx;
static plr_model *model;
static plr_shard *shard;

static void set_up(void) {
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.first_block = 1;
  if (plr_context_create(NULL, &ctx, NULL) != PLR_OK ||
      plr_model_from_json(ctx, manifest, sizeof manifest - 1, &model, NULL) != PLR_OK ||
      plr_shard_create(ctx, model, &o, &shard, NULL) != PLR_OK)
    abort();
}

static void leaf(plr_hash *out) {
  if (plr_shard_leaves(shard, out, 1) != PLR_OK) abort();
}

static void try_load(bytes *b) {
  static bytes saved;
  plr_source source = {b, b->len, read_at, NULL};
  plr_sink sink = {&saved, append, commit, give_up};
  plr_hash before, after;
  plr_error err;
  plr_error_init(&err, sizeof err);
  leaf(&before);
  plr_status st = plr_shard_load(shard, &source, &err);
  leaf(&after);
  if (st != PLR_OK) {
    if (memcmp(&before, &after, sizeof before) != 0 || err.status != st || !err.message[0]) abort();
    return;
  }
  saved.len = 0;
  if (plr_shard_save(shard, &sink, NULL) != PLR_OK) abort();
  if (saved.len != b->len || memcmp(saved.data, b->data, b->len) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bytes b;
  if (!shard) set_up();
  if (size > sizeof b.data) return 0;
  if (size > 0) memcpy(b.data, data, size);
  b.len = size;
  try_load(&b);
  if (size >= 112) seal(&b);
  try_load(&b);
  return 0;
}
