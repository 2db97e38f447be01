/* A model run as a row of shards in one process, as the tests of shard use it. */
#ifndef PLR_TESTS_SHARD_COMMON_H
#define PLR_TESTS_SHARD_COMMON_H

#include "model_common.h"

#include <pluralis/shard.h>

/* Blake, "The Tyger" (1794): enough text to learn something from. */
static const char verse[] =
    "Tyger Tyger, burning bright, In the forests of the night; What immortal hand or eye, Could "
    "frame thy fearful symmetry? In what distant deeps or skies, Burnt the fire of thine eyes? On "
    "what wings dare he aspire? What the hand, dare seize the fire? And what shoulder, and what "
    "art, Could twist the sinews of thy heart? And when thy heart began to beat, What dread hand? "
    "and what dread feet? What the hammer? what the chain, In what furnace was thy brain? What "
    "the anvil? what dread grasp, Dare its deadly terrors clasp! When the stars threw down their "
    "spears And water'd heaven with their tears: Did he smile his work to see? Did he who made "
    "the Lamb make thee? Tyger Tyger burning bright, In the forests of the night: What immortal "
    "hand or eye, Dare frame thy fearful symmetry?";

typedef struct row {
  plr_context *ctx;
  plr_model *model;
  plr_model_info info;
  plr_shard *shards[16];
  uint32_t count;
  float *acts[16], *grads[16]; /* at the boundary after shard i */
  int32_t *tokens;
} row;

/* Where new shards go: the name of a device; NULL: the CPU. */
static const char *shard_device;
/* Whether new shards compute again in backward what they could keep. */
static uint32_t shard_recompute;

static inline plr_context *context_with(uint32_t threads, uint32_t isa) {
  plr_context_options o;
  plr_context_options_init(&o, sizeof o);
  o.threads = threads;
  o.isa = isa;
  plr_context *ctx = NULL;
  assert_int_equal(plr_context_create(&o, &ctx, NULL), PLR_OK);
  return ctx;
}

static inline plr_shard *new_shard(plr_context *ctx, plr_model *model, uint32_t first,
                                   uint32_t end) {
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.first_block = first;
  o.end_block = end;
  o.recompute = shard_recompute;
  if (shard_device) o.device = shard_device;
  plr_shard *shard = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_shard_create(ctx, model, &o, &shard, &err);
  if (st != PLR_OK) fail_msg("%s: %s", plr_status_name(st), err.message);
  return shard;
}

/* cuts: block positions where shards meet, `count - 1` of them. */
static inline void row_init(row *r, plr_context *ctx, const char *json, const uint32_t *cuts,
                            uint32_t count) {
  memset(r, 0, sizeof *r);
  r->ctx = ctx;
  r->model = new_model(ctx, json);
  r->count = count;
  r->info.struct_size = sizeof r->info;
  assert_int_equal(plr_model_get_info(r->model, &r->info), PLR_OK);
  size_t n = (size_t)r->info.micro_batch * r->info.seq_len * r->info.boundary_width;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t first = i > 0 ? cuts[i - 1] : 0, end = i + 1 < count ? cuts[i] : r->info.blocks;
    r->shards[i] = new_shard(ctx, r->model, first, end);
    r->acts[i] = calloc(n, sizeof(float));
    r->grads[i] = calloc(n, sizeof(float));
  }
  r->tokens = calloc((size_t)r->info.micro_batch * (r->info.seq_len + 1), sizeof(int32_t));
}

static inline void row_release(row *r) {
  for (uint32_t i = 0; i < r->count; i++) {
    plr_shard_destroy(r->shards[i]);
    free(r->acts[i]);
    free(r->grads[i]);
  }
  free(r->tokens);
  plr_model_destroy(r->model);
}

static inline void row_tensor(const row *r, float *data, plr_tensor *t) {
  plr_tensor_matrix(t, data, PLR_DTYPE_F32, (int64_t)r->info.micro_batch * r->info.seq_len,
                    r->info.boundary_width);
}

static inline double row_forward(row *r) {
  double loss = 0.0;
  for (uint32_t i = 0; i < r->count; i++) {
    plr_tensor in, out;
    int last = i + 1 == r->count;
    if (i > 0) row_tensor(r, r->acts[i - 1], &in);
    row_tensor(r, r->acts[i], &out);
    assert_int_equal(plr_shard_forward(r->shards[i], 0, r->tokens, i > 0 ? &in : NULL,
                                       last ? NULL : &out, last ? &loss : NULL),
                     PLR_OK);
  }
  return loss;
}

static inline void row_backward(row *r) {
  for (uint32_t i = r->count; i-- > 0;) {
    plr_tensor in, out;
    int last = i + 1 == r->count;
    if (i > 0) row_tensor(r, r->grads[i - 1], &in);
    row_tensor(r, r->grads[i], &out);
    assert_int_equal(plr_shard_backward(r->shards[i], 0, last ? NULL : &out, i > 0 ? &in : NULL),
                     PLR_OK);
  }
}

/* The step of every shard; with a global limit the sums go around, as a host would send them. */
static inline void row_apply(row *r) {
  double sums[64];
  int global = r->info.clip_scope == PLR_CLIP_GLOBAL && r->count > 1;
  for (uint32_t i = 0, at = 0; global && i < r->count; i++) {
    uint32_t blocks = 0; /* found by asking: one count fits */
    while (plr_shard_gradient_sums(r->shards[i], sums + at, ++blocks) != PLR_OK)
      assert_true(blocks < r->info.blocks);
    at += blocks;
  }
  for (uint32_t i = 0; i < r->count; i++)
    assert_int_equal(global ? plr_shard_step_global(r->shards[i], sums, r->info.blocks)
                            : plr_shard_step(r->shards[i]),
                     PLR_OK);
}

/* One optimizer step on the given text; returns the mean loss in nats per token. */
static inline double row_step(row *r, const plr_corpus *corpus) {
  double loss = 0.0;
  for (uint32_t i = 0; i < r->info.micro_batches; i++) {
    uint64_t index = plr_shard_steps(r->shards[0]) * r->info.micro_batches + i;
    assert_int_equal(plr_corpus_batch(corpus, PLR_SPLIT_TRAIN, r->info.data_seed, index,
                                      r->info.micro_batch, r->info.seq_len, r->tokens, NULL),
                     PLR_OK);
    loss += row_forward(r);
    row_backward(r);
  }
  row_apply(r);
  return loss / ((double)r->info.micro_batch * r->info.micro_batches * r->info.seq_len);
}

/* The root of all blocks, whatever the split. */
static inline void row_root(row *r, const uint32_t *cuts, plr_hash *root) {
  plr_hash leaves[64];
  for (uint32_t i = 0; i < r->count; i++) {
    uint32_t first = i > 0 ? cuts[i - 1] : 0, end = i + 1 < r->count ? cuts[i] : r->info.blocks;
    assert_int_equal(plr_shard_leaves(r->shards[i], leaves + first, end - first), PLR_OK);
  }
  assert_int_equal(plr_weight_root(leaves, r->info.blocks, root), PLR_OK);
}

#endif
