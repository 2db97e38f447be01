/* Fuzz: snapshots from anywhere, as one file and as two parts (the first four bytes say how long the first is). A
 * refusal must leave the shard as it was; what is accepted must be the state that the file states. */
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

typedef struct bytes {
  uint8_t data[32768];
  size_t len;
} bytes;

static plr_status read_at(void *user, uint64_t offset, void *buf, size_t len) {
  const bytes *b = user;
  if (offset > b->len || len > b->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, b->data + offset, len);
  return PLR_OK;
}

static plr_context *ctx;
static plr_model *model;
static plr_shard *tail, *whole; /* the second block, both */

static void set_up(void) {
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.first_block = 1;
  if (plr_context_create(NULL, &ctx, NULL) != PLR_OK ||
      plr_model_from_json(ctx, manifest, sizeof manifest - 1, &model, NULL) != PLR_OK ||
      plr_shard_create(ctx, model, &o, &tail, NULL) != PLR_OK ||
      plr_shard_create(ctx, model, NULL, &whole, NULL) != PLR_OK)
    abort();
}

static void root_of(plr_shard *shard, uint32_t blocks, plr_hash *out) {
  plr_hash leaves[2];
  if (plr_shard_leaves(shard, leaves, blocks) != PLR_OK) abort();
  if (plr_weight_root(leaves, blocks, out) != PLR_OK) abort();
}

static void try_load(plr_shard *shard, uint32_t blocks, const plr_source *parts, uint32_t count) {
  plr_hash before, after;
  plr_snapshot_info info = {.struct_size = sizeof info};
  plr_error err;
  plr_error_init(&err, sizeof err);
  root_of(shard, blocks, &before);
  plr_status st = plr_shard_load_parts(shard, parts, count, &err);
  root_of(shard, blocks, &after);
  if (st != PLR_OK) {
    if (memcmp(&before, &after, sizeof before) != 0 || err.status != st || !err.message[0]) abort();
    return;
  }
  if (plr_snapshot_inspect(ctx, model, parts, count, &info, NULL) != PLR_OK) abort();
  if (info.steps != plr_shard_steps(shard)) abort();
  if (blocks == 2 && memcmp(&info.root, &after, sizeof after) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bytes b[2];
  if (!whole) set_up();
  if (size > sizeof b->data) return 0;
  if (size > 0) memcpy(b[0].data, data, size);
  b[0].len = size;
  plr_source parts[2] = {{&b[0], size, read_at, NULL}};
  try_load(tail, 1, parts, 1);
  try_load(whole, 2, parts, 1);
  if (size < 4) return 0;
  size_t first = data[0] + 256u * data[1];
  if (first > size - 4) return 0;
  memcpy(b[0].data, data + 4, first);
  memcpy(b[1].data, data + 4 + first, size - 4 - first);
  b[0].len = first, b[1].len = size - 4 - first;
  for (int i = 0; i < 2; i++) parts[i] = (plr_source){&b[i], b[i].len, read_at, NULL};
  try_load(whole, 2, parts, 2);
  return 0;
}
