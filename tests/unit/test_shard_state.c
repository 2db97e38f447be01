/* What a shard refuses, what a refusal leaves behind, and its memory. */
#include "shard_common.h"

#include <float.h>
#include <math.h>

#include "shard/shard_int.h"

static const uint32_t cuts[3] = {2, 4, 6};

static plr_shard *with_options(plr_context *ctx, plr_model *model, const plr_shard_options *o,
                               plr_status want, const char *message) {
  plr_shard *shard = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_shard_create(ctx, model, o, &shard, &err);
  if (st != want || (message && !strstr(err.message, message)))
    fail_msg("%s: %s", plr_status_name(st), err.message);
  assert_true((shard == NULL) == (st != PLR_OK));
  return shard;
}

static void test_options(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  plr_model *model = new_model(ctx, SUBSPACE_JSON);
  plr_shard_options good, o;
  plr_shard_options_init(&good, sizeof good);
  assert_int_equal(good.slots, 1);
  assert_string_equal(good.device, "cpu");
  o = good, o.first_block = 3;
  with_options(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "cut at block 3");
  o = good, o.end_block = 5;
  with_options(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "cut at block 5");
  o = good, o.end_block = 9;
  with_options(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "0 .. 9");
  o = good, o.first_block = 4, o.end_block = 2;
  with_options(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "4 .. 2");
  o = good, o.slots = 0;
  with_options(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, "slots");
  o = good, o.device = "abacus";
  with_options(ctx, model, &o, PLR_ERR_NOT_FOUND, "abacus");
  o = good, o.struct_size = 2;
  with_options(ctx, model, &o, PLR_ERR_INVALID_ARGUMENT, NULL);
  plr_shard *shard = with_options(ctx, model, NULL, PLR_OK, NULL);
  plr_context_destroy(ctx); /* any order */
  plr_model_destroy(model);
  assert_int_equal(plr_shard_steps(shard), 0);
  plr_shard_destroy(shard);
  plr_shard_destroy(NULL);
}

static void test_slots(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  row r;
  row_init(&r, ctx, DENSE_JSON, cuts, 1);
  plr_shard *s = r.shards[0];
  assert_int_equal(plr_shard_backward(s, 0, NULL, NULL), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_shard_step(s), PLR_ERR_INVALID_STATE); /* nothing to apply */
  row_forward(&r);
  assert_int_equal(plr_shard_forward(s, 0, r.tokens, NULL, NULL, NULL), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_shard_step(s), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_shard_forward(s, 1, r.tokens, NULL, NULL, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_shard_backward(s, 1, NULL, NULL), PLR_ERR_INVALID_ARGUMENT);
  row_backward(&r);
  assert_int_equal(plr_shard_backward(s, 0, NULL, NULL), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_shard_step(s), PLR_OK);
  assert_int_equal(plr_shard_step(s), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_shard_steps(s), 1);
  row_release(&r);
  plr_context_destroy(ctx);
}

static void test_shapes_and_tokens(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  row r;
  row_init(&r, ctx, SUBSPACE_JSON, cuts, 4);
  plr_shard *head = r.shards[0], *middle = r.shards[1], *tail = r.shards[3];
  plr_tensor good, bad, logits;
  row_tensor(&r, r.acts[0], &good);
  assert_int_equal(plr_shard_forward(head, 0, r.tokens, NULL, NULL, NULL), PLR_ERR_SHAPE);
  assert_int_equal(plr_shard_forward(head, 0, r.tokens, &good, &good, NULL), PLR_ERR_SHAPE);
  assert_int_equal(plr_shard_forward(middle, 0, r.tokens, NULL, &good, NULL), PLR_ERR_SHAPE);
  assert_int_equal(plr_shard_forward(tail, 0, r.tokens, &good, &good, NULL), PLR_ERR_SHAPE);
  bad = good, bad.shape[0]--;
  assert_int_equal(plr_shard_forward(middle, 0, r.tokens, &bad, &good, NULL), PLR_ERR_SHAPE);
  bad = good, bad.shape[1] = 4;
  assert_int_equal(plr_shard_forward(middle, 0, r.tokens, &bad, &good, NULL), PLR_ERR_SHAPE);
  bad = good, bad.dtype = PLR_DTYPE_I32;
  assert_int_equal(plr_shard_forward(middle, 0, r.tokens, &good, &bad, NULL), PLR_ERR_SHAPE);
  bad = good, bad.data = NULL;
  assert_int_equal(plr_shard_forward(middle, 0, r.tokens, &bad, &good, NULL), PLR_ERR_SHAPE);
  bad = good, bad.strides[0] = 16;
  assert_int_equal(plr_shard_forward(middle, 0, r.tokens, &bad, &good, NULL), PLR_ERR_SHAPE);

  assert_int_equal(plr_shard_forward(head, 0, NULL, NULL, &good, NULL), PLR_ERR_INVALID_ARGUMENT);
  const int32_t wrong[] = {~256, 256, INT32_MAX, INT32_MIN};
  uint32_t last = 2 * 17 - 1; /* only a label, but a token all the same */
  for (int i = 0; i < 4; i++) {
    r.tokens[i % 2 ? 5 : last] = wrong[i];
    assert_int_equal(plr_shard_forward(head, 0, r.tokens, NULL, &good, NULL),
                     PLR_ERR_INVALID_ARGUMENT);
    r.tokens[i % 2 ? 5 : last] = 0;
  }
  assert_int_equal(plr_shard_forward(head, 0, r.tokens, NULL, &good, NULL), PLR_OK);
  assert_int_equal(plr_shard_backward(head, 0, NULL, NULL), PLR_ERR_SHAPE);
  assert_int_equal(plr_shard_backward(head, 0, &good, &good), PLR_ERR_SHAPE);
  assert_int_equal(plr_shard_backward(head, 0, &good, NULL), PLR_OK);

  static float out[16 * 256];
  plr_tensor_matrix(&logits, out, PLR_DTYPE_F32, 16, 256);
  plr_tensor_matrix(&bad, r.acts[0], PLR_DTYPE_F32, 16, 8);
  assert_int_equal(plr_shard_infer(tail, r.tokens, 1, 16, &bad, &logits), PLR_OK);
  assert_int_equal(plr_shard_infer(tail, r.tokens, 1, 17, &bad, &logits), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_shard_infer(tail, r.tokens, 3, 16, &bad, &logits), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_shard_infer(tail, r.tokens, 0, 16, &bad, &logits), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_shard_infer(tail, r.tokens, 1, 15, &bad, &logits), PLR_ERR_SHAPE);
  assert_int_equal(plr_shard_infer(tail, r.tokens, 1, 16, NULL, &logits), PLR_ERR_SHAPE);
  double loss = 7.0;
  int32_t labels[16] = {0};
  assert_int_equal(plr_shard_loss(middle, &logits, labels, &loss), PLR_ERR_INVALID_STATE);
  labels[9] = 256;
  assert_int_equal(plr_shard_loss(tail, &logits, labels, &loss), PLR_ERR_INVALID_ARGUMENT);
  assert_true(loss == 7.0);
  row_release(&r);
  plr_context_destroy(ctx);
}

static void hash_of(plr_shard *s, plr_hash *out) {
  plr_hash leaves[8];
  uint32_t n = s->end_block - s->first_block;
  assert_int_equal(plr_shard_leaves(s, leaves, n), PLR_OK);
  assert_int_equal(plr_weight_root(leaves, n, out), PLR_OK);
}

/* A NaN or an infinity from a peer is refused, and the micro-batch can be given again. */
static void test_not_finite(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  const float bad[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; i++) {
    row clean, r;
    plr_hash a, b;
    row_init(&clean, ctx, SUBSPACE_JSON, cuts, 4);
    row_init(&r, ctx, SUBSPACE_JSON, cuts, 4);
    row_forward(&clean);
    row_backward(&clean);
    plr_tensor in, out, din, dout;
    row_forward(&r);
    row_backward(&r); /* fills acts and grads, which are the same every time */
    for (uint32_t k = 0; k < 4; k++) plr__shard_reset(r.shards[k]);
    row_tensor(&r, r.acts[0], &in);
    row_tensor(&r, r.acts[1], &out);
    row_tensor(&r, r.grads[0], &din);
    row_tensor(&r, r.grads[1], &dout);
    float kept = r.acts[0][77], kept_grad = r.grads[1][33], untouched = r.acts[1][0];
    r.acts[0][77] = bad[i];
    assert_int_equal(plr_shard_forward(r.shards[1], 0, r.tokens, &in, &out, NULL),
                     PLR_ERR_NON_FINITE);
    assert_true(r.acts[1][0] == untouched);
    r.acts[0][77] = kept;
    assert_int_equal(plr_shard_forward(r.shards[1], 0, r.tokens, &in, &out, NULL), PLR_OK);
    r.grads[1][33] = bad[i];
    assert_int_equal(plr_shard_backward(r.shards[1], 0, &dout, &din), PLR_ERR_NON_FINITE);
    r.grads[1][33] = kept_grad; /* the slot still waits for a good gradient */
    assert_int_equal(plr_shard_backward(r.shards[1], 0, &dout, &din), PLR_OK);
    assert_int_equal(plr_shard_step(r.shards[1]), PLR_OK);
    assert_int_equal(plr_shard_step(clean.shards[1]), PLR_OK);
    hash_of(clean.shards[1], &a);
    hash_of(r.shards[1], &b);
    assert_memory_equal(&a, &b, sizeof a);
    row_release(&clean);
    row_release(&r);
  }
  plr_context_destroy(ctx);
}

/* Gradients that overflow refuse the step and are cleared; the next step is as if they had never been. */
static void test_overflow_refuses_the_step(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  row r, clean;
  plr_hash before, after;
  row_init(&r, ctx, DENSE_JSON, cuts, 4);
  row_init(&clean, ctx, DENSE_JSON, cuts, 4);
  hash_of(r.shards[1], &before);
  row_forward(&r);
  row_backward(&r);
  for (uint32_t k = 0; k < 4; k++) plr__shard_reset(r.shards[k]);
  row_forward(&r);
  plr_tensor din, dout;
  row_tensor(&r, r.grads[0], &din);
  row_tensor(&r, r.grads[1], &dout);
  size_t n = 32 * 32;
  float *kept = malloc(n * sizeof *kept);
  memcpy(kept, r.grads[1], n * sizeof *kept);
  for (size_t i = 0; i < n; i++) r.grads[1][i] = i % 2 ? FLT_MAX : -FLT_MAX;
  assert_int_equal(plr_shard_backward(r.shards[1], 0, &dout, &din), PLR_ERR_NON_FINITE);
  assert_int_equal(plr_shard_step(r.shards[1]), PLR_ERR_NON_FINITE);
  assert_int_equal(plr_shard_steps(r.shards[1]), 0);
  hash_of(r.shards[1], &after);
  assert_memory_equal(&before, &after, sizeof before);
  assert_int_equal(plr_shard_step(r.shards[1]), PLR_ERR_INVALID_STATE); /* cleared */

  memcpy(r.grads[1], kept, n * sizeof *kept);
  plr_tensor in, out;
  row_tensor(&r, r.acts[0], &in);
  row_tensor(&r, r.acts[1], &out);
  assert_int_equal(plr_shard_forward(r.shards[1], 0, r.tokens, &in, &out, NULL), PLR_OK);
  assert_int_equal(plr_shard_backward(r.shards[1], 0, &dout, &din), PLR_OK);
  assert_int_equal(plr_shard_step(r.shards[1]), PLR_OK);
  row_forward(&clean);
  row_backward(&clean);
  assert_int_equal(plr_shard_step(clean.shards[1]), PLR_OK);
  hash_of(r.shards[1], &after);
  hash_of(clean.shards[1], &before);
  assert_memory_equal(&before, &after, sizeof before);
  free(kept);
  row_release(&r);
  row_release(&clean);
  plr_context_destroy(ctx);
}

/* ---- memory ----------------------------------------------------------------------------------- */

static void test_no_allocation_after_create(void **state) {
  (void)state;
  const char *texts[] = {DENSE_JSON, SUBSPACE_JSON};
  for (uint32_t t = 0; t < 4; t++) {
    plr_context *ctx = context_with(1 + t % 2, PLR_ISA_BEST);
    plr_corpus *corpus = NULL;
    row r;
    uint64_t before, after, bytes_before, bytes_after;
    assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
    row_init(&r, ctx, texts[t / 2], cuts, 4);
    plr_context_memory(ctx, &bytes_before, NULL, &before);
    for (int i = 0; i < 3; i++) row_step(&r, corpus);
    static float out[32 * 256];
    plr_tensor in, logits;
    for (uint32_t seq = 1; seq <= 16; seq++)
      for (uint32_t rows = 1; rows <= 2; rows++) {
        int64_t n = (int64_t)rows * seq;
        double loss;
        plr_tensor_matrix(&in, r.acts[2], PLR_DTYPE_F32, n, r.info.boundary_width);
        plr_tensor_matrix(&logits, out, PLR_DTYPE_F32, n, 256);
        assert_int_equal(plr_shard_infer(r.shards[3], r.tokens, rows, seq, &in, &logits), PLR_OK);
        assert_int_equal(plr_shard_loss(r.shards[3], &logits, r.tokens, &loss), PLR_OK);
      }
    plr_context_memory(ctx, &bytes_after, NULL, &after);
    assert_int_equal(after - before, 0);
    assert_int_equal(bytes_after, bytes_before);
    row_release(&r);
    plr_corpus_destroy(corpus);
    plr_context_destroy(ctx);
  }
}

typedef struct failing {
  uint64_t until; /* allocations that still succeed */
  int64_t live;
} failing;

static void *failing_alloc(void *user, size_t size, size_t align) {
  failing *f = user;
  if (f->until == 0) return NULL;
  f->until--;
  f->live++;
  return aligned_alloc(align, (size + align - 1) / align * align);
}

static void failing_free(void *user, void *ptr, size_t size, size_t align) {
  (void)size, (void)align;
  ((failing *)user)->live--;
  free(ptr);
}

/* Each allocation of model and shard fails in turn: a clean status, nothing leaked (live is counted). */
static void test_out_of_memory_anywhere(void **state) {
  (void)state;
  failing f = {UINT64_MAX, 0};
  plr_context_options co;
  plr_context_options_init(&co, sizeof co);
  co.allocator.user = &f;
  co.allocator.alloc = failing_alloc;
  co.allocator.free = failing_free;
  plr_context *ctx = NULL;
  assert_int_equal(plr_context_create(&co, &ctx, NULL), PLR_OK);
  int64_t base = f.live;
  uint64_t failures = 0;
  for (uint64_t n = 0;; n++) {
    plr_model *model = NULL;
    plr_shard *shard = NULL;
    plr_error err;
    plr_error_init(&err, sizeof err);
    f.until = n;
    plr_status st = plr_model_from_json(ctx, SUBSPACE_JSON, strlen(SUBSPACE_JSON), &model, &err);
    if (st == PLR_OK) st = plr_shard_create(ctx, model, NULL, &shard, &err);
    if (st != PLR_OK) {
      assert_int_equal(st, PLR_ERR_NO_MEMORY);
      assert_int_equal(err.status, st);
      assert_null(shard);
      failures++;
    }
    plr_shard_destroy(shard);
    plr_model_destroy(model);
    assert_int_equal(f.live, base);
    if (st == PLR_OK) break;
  }
  assert_true(failures > 30);
  f.until = UINT64_MAX;
  plr_context_destroy(ctx);
  assert_int_equal(f.live, 0);
}

/* A model too large for max_memory is refused, and everything is given back. */
static void test_too_large_for_the_limit(void **state) {
  (void)state;
  plr_context_options co;
  plr_context_options_init(&co, sizeof co);
  co.max_memory = 1 << 20;
  plr_context *ctx = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_context_create(&co, &ctx, NULL), PLR_OK);
  plr_model *model = new_model(ctx, DENSE_JSON);
  plr_shard *shard = NULL;
  assert_int_equal(plr_shard_create(ctx, model, NULL, &shard, &err), PLR_ERR_NO_MEMORY);
  assert_null(shard);
  assert_string_equal(err.where, "shard");
  plr_model_destroy(model);
  uint64_t now;
  plr_context_memory(ctx, &now, NULL, NULL);
  assert_true(now < 65536);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_slots),
      cmocka_unit_test(test_shapes_and_tokens),
      cmocka_unit_test(test_not_finite),
      cmocka_unit_test(test_overflow_refuses_the_step),
      cmocka_unit_test(test_no_allocation_after_create),
      cmocka_unit_test(test_out_of_memory_anywhere),
      cmocka_unit_test(test_too_large_for_the_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
