/* Two threads on one handle, in a build that has its debug checks: the second is refused with a status and a line that
 * names both functions, and neither the handle nor the first call takes harm. Shard, ledger and codecs; links and
 * stages have files of their own. */
#include "guard_test.h"

#ifdef NDEBUG

int main(void) {
  return no_guards_main();
}

#else

static const uint8_t seed[32] = {7};

/* ---- shard ------------------------------------------------------------------------------------ */

typedef struct saving {
  plr_shard *shard;
  plr_ledger *ledger;
  slow_sink slow;
  plr_status status;
} saving;

static void *save(void *arg) {
  saving *s = arg;
  plr_sink sink = sink_of(&s->slow);
  s->status =
      s->shard ? plr_shard_save(s->shard, &sink, NULL) : plr_ledger_export(s->ledger, &sink, NULL);
  return NULL;
}

static void test_shard(void **state) {
  (void)state;
  kept k;
  plr_context *ctx = kept_context(&k);
  plr_model *model = new_model(ctx, DENSE_JSON);
  saving s = {0};
  pthread_t thread;
  slow_init(&s.slow);
  assert_int_equal(plr_shard_create(ctx, model, NULL, &s.shard, NULL), PLR_OK);
  assert_int_equal(pthread_create(&thread, NULL, save, &s), 0);
  slow_wait(&s.slow, &s.slow.inside);

  static int32_t tokens[2 * 17];
  static float logits[4 * 256];
  double loss = 5;
  plr_hash leaves[8];
  plr_error err = {0};
  slow_sink other;
  plr_sink sink = sink_of(&other);
  plr_source source = {.size = 1};
  plr_tensor t;
  slow_init(&other);
  plr_tensor_matrix(&t, logits, PLR_DTYPE_F32, 4, 256);
  const char *inside = "plr_shard_save";
  REFUSED(plr_shard_forward(s.shard, 0, tokens, NULL, NULL, &loss), "plr_shard_forward", inside);
  REFUSED(plr_shard_backward(s.shard, 0, NULL, NULL), "plr_shard_backward", inside);
  REFUSED(plr_shard_step(s.shard), "plr_shard_step", inside);
  REFUSED(plr_shard_infer(s.shard, tokens, 1, 4, NULL, &t), "plr_shard_infer", inside);
  REFUSED(plr_shard_loss(s.shard, &t, tokens, &loss), "plr_shard_loss", inside);
  REFUSED(plr_shard_leaves(s.shard, leaves, 8), "plr_shard_leaves", inside);
  REFUSED(plr_shard_load(s.shard, &source, &err), "plr_shard_load", inside);
  assert_string_equal(err.where, "plr_shard_load");
  assert_non_null(strstr(err.message, inside));
  REFUSED(plr_shard_save(s.shard, &sink, &err), "plr_shard_save", inside);
  assert_int_equal(other.aborted, 1); /* a sink is always taken */
  assert_int_equal(plr_shard_steps(s.shard), 0);
  assert_line(&k, "plr_shard_steps", inside);
  plr_shard_destroy(s.shard); /* left as it is */
  assert_line(&k, "plr_shard_destroy", inside);
  assert_int_equal(k.lines, 10);
  assert_true(loss == 5);

  slow_say(&s.slow, &s.slow.go_on);
  pthread_join(thread, NULL);
  assert_int_equal(s.status, PLR_OK);
  assert_int_equal(s.slow.committed, 1);
  assert_int_equal(plr_shard_forward(s.shard, 0, tokens, NULL, NULL, &loss), PLR_OK);
  assert_int_equal(k.lines, 10);
  plr_shard_destroy(s.shard);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

/* ---- ledger ----------------------------------------------------------------------------------- */

static void test_ledger(void **state) {
  (void)state;
  kept k;
  plr_context *ctx = kept_context(&k);
  plr_identity *identity;
  plr_ledger_options o;
  saving s = {0};
  pthread_t thread;
  slow_init(&s.slow);
  assert_int_equal(plr_identity_create(ctx, seed, &identity, NULL), PLR_OK);
  plr_ledger_options_init(&o, sizeof o);
  o.origin = "example.org/guard", o.sequencer = identity;
  assert_int_equal(plr_ledger_open(ctx, &o, &s.ledger, NULL), PLR_OK);
  assert_int_equal(pthread_create(&thread, NULL, save, &s), 0);
  slow_wait(&s.slow, &s.slow.inside);

  uint8_t buf[64];
  char note[64];
  size_t len;
  uint32_t count;
  uint64_t index;
  plr_hash hash = {{0}}, proof[PLR_PROOF_MAX + 1];
  plr_balance balance;
  plr_append_item item = {.entry = buf, .len = sizeof buf};
  plr_ledger_summary summary = {.struct_size = sizeof summary};
  plr_model_totals totals = {.struct_size = sizeof totals};
  slow_sink other;
  plr_sink sink = sink_of(&other);
  plr_ledger *l = s.ledger;
  slow_init(&other);
  const char *inside = "plr_ledger_export";
  REFUSED(plr_ledger_append(l, buf, sizeof buf, &index, NULL), "plr_ledger_append", inside);
  REFUSED(plr_ledger_append_many(l, &item, 1, NULL), "plr_ledger_append_many", inside);
  REFUSED(plr_ledger_close_epoch(l, &index, NULL), "plr_ledger_close_epoch", inside);
  REFUSED(plr_ledger_entry(l, 0, buf, sizeof buf, &len, NULL), "plr_ledger_entry", inside);
  REFUSED(plr_ledger_checkpoint(l, note, sizeof note, &len, NULL), "plr_ledger_checkpoint", inside);
  REFUSED(plr_ledger_prove_inclusion(l, 0, 1, proof, &count, NULL), "plr_ledger_prove_inclusion",
          inside);
  REFUSED(plr_ledger_prove_consistency(l, 1, 1, proof, &count, NULL),
          "plr_ledger_prove_consistency", inside);
  REFUSED(plr_ledger_export(l, &sink, NULL), "plr_ledger_export", inside);
  assert_int_equal(other.aborted, 1);
  REFUSED(plr_ledger_summarize(l, &summary), "plr_ledger_summarize", inside);
  REFUSED(plr_ledger_model(l, &hash, &totals), "plr_ledger_model", inside);
  REFUSED(plr_ledger_balance(l, &hash, &hash, &balance), "plr_ledger_balance", inside);
  size_t holders;
  REFUSED(plr_ledger_holders(l, &hash, NULL, &balance, 1, &holders), "plr_ledger_holders", inside);
  assert_int_equal(plr_ledger_next_nonce(l, &hash), 1);
  assert_line(&k, "plr_ledger_next_nonce", inside);
  plr_ledger_destroy(l);
  assert_line(&k, "plr_ledger_destroy", inside);

  slow_say(&s.slow, &s.slow.go_on);
  pthread_join(thread, NULL);
  assert_int_equal(s.status, PLR_OK);
  assert_int_equal(plr_ledger_summarize(l, &summary), PLR_OK);
  assert_int_equal(summary.entries, 1);
  plr_ledger_destroy(l);
  plr_identity_destroy(identity);
  plr_context_destroy(ctx);
}

/* ---- encoder and decoder: threads that really collide -------------------------------------------- */

#define ROWS 256
#define COLS 64

typedef struct colliding {
  plr_encoder *encoder;
  plr_decoder *decoder;
  const uint8_t *want;
  size_t want_len;
  _Atomic uint32_t refused[2], done, wrong;
} colliding;

static float values[ROWS * COLS];

/* Calls until both functions have refused somebody; what was not refused is as if alone. */
static void *collide(void *arg) {
  colliding *c = arg;
  uint8_t *out = malloc(c->want_len + 4096);
  float *back = malloc(sizeof values);
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_ACTIVATION};
  plr_tensor x, y;
  plr_tensor_matrix(&x, values, PLR_DTYPE_F32, ROWS, COLS);
  plr_tensor_matrix(&y, back, PLR_DTYPE_F32, ROWS, COLS);
  for (uint32_t i = 0; i < 200000 && !(c->refused[0] && c->refused[1]); i++) {
    size_t len;
    plr_status st = plr_encoder_encode(c->encoder, &info, &x, out, c->want_len + 4096, &len);
    if (st == PLR_ERR_INVALID_STATE) c->refused[0]++;
    if (st == PLR_OK) c->wrong += len != c->want_len || memcmp(out, c->want, len);
    st = plr_decoder_decode(c->decoder, c->want, c->want_len, &y, NULL, NULL);
    if (st == PLR_ERR_INVALID_STATE) c->refused[1]++;
    c->wrong += st != PLR_OK && st != PLR_ERR_INVALID_STATE;
    c->done++;
  }
  free(out);
  free(back);
  return NULL;
}

static void test_codec(void **state) {
  (void)state;
  kept k;
  plr_context *ctx = kept_context(&k);
  plr_codec codec;
  colliding c = {0};
  pthread_t threads[3];
  static uint8_t want[1 << 20];
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_ACTIVATION};
  plr_tensor x;
  for (int i = 0; i < ROWS * COLS; i++) values[i] = (float)(i % 97) - 48;
  plr_tensor_matrix(&x, values, PLR_DTYPE_F32, ROWS, COLS);
  assert_int_equal(plr_codec_from_name("int4+zstd", &codec), PLR_OK);
  assert_int_equal(plr_encoder_create(ctx, &codec, ROWS, COLS, &c.encoder, NULL), PLR_OK);
  assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &c.decoder, NULL), PLR_OK);
  assert_int_equal(plr_encoder_encode(c.encoder, &info, &x, want, sizeof want, &c.want_len),
                   PLR_OK);
  c.want = want;
  for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, collide, &c), 0);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  assert_true(c.refused[0] > 0);
  assert_true(c.refused[1] > 0);
  assert_int_equal(c.wrong, 0);
  assert_int_equal(k.lines, c.refused[0] + c.refused[1]);
  plr_encoder_destroy(c.encoder);
  plr_decoder_destroy(c.decoder);
  plr_context_destroy(ctx);
}

/* ---- const functions -------------------------------------------------------------------------- */

static void *look_often(void *arg) {
  for (int i = 0; i < 20000; i++) plr_shard_steps(arg);
  return NULL;
}

typedef struct looking {
  plr_shard *shard;
  uint32_t looks;
} looking;

static plr_status look_and_write(void *user, const void *data, size_t len) {
  looking *l = user;
  (void)data, (void)len;
  l->looks += plr_shard_steps(l->shard) == 0;
  return PLR_OK;
}

static plr_status look_commit(void *user) {
  (void)user;
  return PLR_OK;
}

static void look_abort(void *user) {
  (void)user;
}

static void test_const(void **state) {
  (void)state;
  kept k;
  plr_context *ctx = kept_context(&k);
  plr_model *model = new_model(ctx, DENSE_JSON);
  plr_shard *shard;
  pthread_t threads[3];
  assert_int_equal(plr_shard_create(ctx, model, NULL, &shard, NULL), PLR_OK);
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, look_often, shard), 0);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  /* A callback on the same thread may look at the handle that calls it. */
  looking inside = {.shard = shard};
  plr_sink sink = {&inside, look_and_write, look_commit, look_abort};
  assert_int_equal(plr_shard_save(shard, &sink, NULL), PLR_OK);
  assert_true(inside.looks > 0);
  /* Without a handle the function finds out by itself. */
  assert_int_equal(plr_shard_step(NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(k.lines, 0);
  plr_shard_destroy(shard);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_shard), cmocka_unit_test(test_ledger),
                                     cmocka_unit_test(test_codec), cmocka_unit_test(test_const)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
