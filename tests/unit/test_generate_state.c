/* A session's state saved and restored: exact continuation on another shard, and every damage refused. */
#include "generate_common.h"

#include <math.h>

typedef struct bytes {
  uint8_t *data;
  size_t len;
  int committed, aborted, fail_after;
} bytes;

static plr_status append(void *user, const void *data, size_t len) {
  bytes *b = user;
  if (b->fail_after && b->len + len > (size_t)b->fail_after) return PLR_ERR_NO_SPACE;
  b->data = realloc(b->data, b->len + len);
  memcpy(b->data + b->len, data, len);
  b->len += len;
  return PLR_OK;
}

static plr_status commit(void *user) {
  ((bytes *)user)->committed++;
  return PLR_OK;
}

static void give_up(void *user) {
  ((bytes *)user)->aborted++;
}

static plr_status read_at(void *user, uint64_t offset, void *buf, size_t len) {
  const bytes *b = user;
  if (offset > b->len || len > b->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, b->data + offset, len);
  return PLR_OK;
}

static plr_sink sink_of(bytes *b) {
  plr_sink s = {b, append, commit, give_up};
  return s;
}

static plr_source source_of(bytes *b) {
  plr_source s = {b, b->len, read_at, NULL};
  return s;
}

static plr_status load(plr_session *session, bytes *b, plr_error *err) {
  plr_source source = source_of(b);
  return plr_session_load(session, &source, err);
}

typedef struct world {
  plr_context *ctx;
  plr_model *model;
  plr_shard *shard;
  plr_session *session;
  bytes saved; /* of 21 tokens */
} world;

#define LENGTH 21

static void feed(plr_session *session, plr_shard *shard, uint32_t from, uint32_t to,
                 float *logits) {
  for (uint32_t t = from; t < to; t++) {
    int32_t token = (uint8_t)verse[t];
    plr_session_rows r = {session, &token, 1, t, 1, 0};
    plr_tensor out;
    plr_tensor_matrix(&out, logits + 256 * (t - from), PLR_DTYPE_F32, 1, 256);
    assert_int_equal(plr_shard_feed(shard, &r, 1, NULL, &out, NULL), PLR_OK);
  }
}

static int setup(void **state) {
  world *w = calloc(1, sizeof *w);
  float logits[LENGTH * 256];
  w->ctx = new_context();
  w->model = new_model(w->ctx, DENSE_JSON);
  w->shard = new_shard(w->ctx, w->model, 0, 0);
  w->session = new_session(w->shard, 40);
  feed(w->session, w->shard, 0, LENGTH, logits);
  plr_sink sink = sink_of(&w->saved);
  assert_int_equal(plr_session_save(w->session, &sink, NULL), PLR_OK);
  assert_true(w->saved.committed == 1 && w->saved.aborted == 0);
  /* header, 8 layers of 2 heads of 8 keys and values, hash */
  assert_int_equal(w->saved.len, 80 + 4 * 8 * 2 * 8 * 2 * LENGTH + 32);
  *state = w;
  return 0;
}

static int teardown(void **state) {
  world *w = *state;
  plr_session_destroy(w->session);
  plr_shard_destroy(w->shard);
  plr_model_destroy(w->model);
  plr_context_destroy(w->ctx);
  free(w->saved.data);
  free(w);
  return 0;
}

/* On another shard, in another context with another instruction set, in a session of another size. */
static void test_continues(void **state) {
  world *w = *state;
  float want[16 * 256], got[16 * 256];
  plr_context *ctx = context_with(2, PLR_ISA_PORTABLE);
  plr_model *model = new_model(ctx, DENSE_JSON);
  plr_shard *shard = new_shard(ctx, model, 0, 0);
  plr_session *session = new_session(shard, 37);
  assert_int_equal(load(session, &w->saved, NULL), PLR_OK);
  assert_int_equal(plr_session_length(session), LENGTH);
  bytes again = {0};
  plr_sink sink = sink_of(&again);
  assert_int_equal(plr_session_save(session, &sink, NULL), PLR_OK);
  assert_int_equal(again.len, w->saved.len);
  assert_memory_equal(again.data, w->saved.data, again.len);
  free(again.data);
  feed(session, shard, LENGTH, 37, got);
  feed(w->session, w->shard, LENGTH, 37, want);
  assert_memory_equal(got, want, sizeof got);
  assert_int_equal(plr_session_truncate(w->session, LENGTH), PLR_OK);
  plr_session_destroy(session);
  plr_shard_destroy(shard);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

static void expect(world *w, bytes *b, plr_status want, const char *words) {
  plr_session *session = new_session(w->shard, 30);
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = load(session, b, &err);
  if (st != want || !strstr(err.message, words))
    fail_msg("%s: \"%s\", expected %s: \"%s\"", plr_status_name(st), err.message,
             plr_status_name(want), words);
  assert_int_equal(plr_session_length(session), 0);
  float logits[256];
  feed(session, w->shard, 0, 1, logits); /* still a good empty session */
  plr_session_destroy(session);
}

static void test_damage(void **state) {
  world *w = *state;
  bytes b = w->saved;
  b.data = malloc(b.len + 1);
  memcpy(b.data, w->saved.data, b.len);
  static const struct {
    size_t at;
    plr_status status;
    const char *words;
  } bits[] = {
      {0, PLR_ERR_MALFORMED, "does not begin"},  {8, PLR_ERR_VERSION, "version 0"},
      {12, PLR_ERR_MISMATCH, "blocks 1 .. 8"},   {20, PLR_ERR_MISMATCH, "another format"},
      {24, PLR_ERR_MISMATCH, "another format"},  {28, PLR_ERR_MALFORMED, "bytes follow the end"},
      {32, PLR_ERR_MISMATCH, "of another step"}, {40, PLR_ERR_MISMATCH, "another model"},
      {79, PLR_ERR_MALFORMED, "zeros"},          {80, PLR_ERR_CHECKSUM, "hash"},
      {2000, PLR_ERR_CHECKSUM, "hash"},          {0 /* last */, PLR_ERR_CHECKSUM, "hash"}};
  for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
    size_t at = i + 1 == sizeof bits / sizeof *bits ? b.len - 1 : bits[i].at;
    b.data[at] ^= 1;
    expect(w, &b, bits[i].status, bits[i].words);
    b.data[at] ^= 1;
  }
  b.len--;
  expect(w, &b, PLR_ERR_TRUNCATED, "21 tokens need");
  b.len = 111;
  expect(w, &b, PLR_ERR_TRUNCATED, "do not hold a header");
  b.len = w->saved.len + 1;
  expect(w, &b, PLR_ERR_MALFORMED, "1 bytes follow the end");
  b.len--;
  b.data[28] = 31; /* more than the session takes */
  expect(w, &b, PLR_ERR_LIMIT, "31 tokens, the session takes 30");
  b.data[28] = LENGTH;
  const float nan = NAN;
  memcpy(b.data + 80 + 400, &nan, 4);
  expect(w, &b, PLR_ERR_MALFORMED, "not finite");
  memcpy(b.data, w->saved.data, b.len);
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(load(w->session, &b, &err), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_session_length(w->session), LENGTH);
  free(b.data);
}

static void test_full_disk(void **state) {
  world *w = *state;
  bytes b = {.fail_after = 4000};
  plr_sink sink = sink_of(&b);
  assert_int_equal(plr_session_save(w->session, &sink, NULL), PLR_ERR_NO_SPACE);
  assert_true(b.aborted == 1 && b.committed == 0);
  free(b.data);
}

/* A head of no whole number of sixteens. */
static void test_odd_head(void **state) {
  (void)state;
  static const char json[] =
      "{\"format\": \"pluralis-model/1\", \"name\": \"odd\", \"family\": \"llama\", "
      "\"vocab\": \"bytes\", \"blocks\": 2, \"d_model\": 40, \"heads\": 2, \"kv_heads\": 1, "
      "\"head_dim\": 20, \"d_ff\": 24, \"norm_eps\": 1e-5, \"rope_theta\": 10000, "
      "\"init_std\": 0.02, \"embed_std\": 1.0, \"seed\": 1, \"cuts\": [1], "
      "\"boundary\": {\"kind\": \"dense\"}, " TINY_TRAIN;
  plr_context *ctx = new_context();
  plr_model *model = new_model(ctx, json);
  plr_shard *shard = new_shard(ctx, model, 0, 0);
  plr_session *a = new_session(shard, 40), *b = new_session(shard, 64);
  float want[20 * 256], got[20 * 256];
  bytes saved = {0};
  plr_sink sink = sink_of(&saved);
  feed(a, shard, 0, 19, want);
  assert_int_equal(plr_session_save(a, &sink, NULL), PLR_OK);
  assert_int_equal(load(b, &saved, NULL), PLR_OK);
  feed(a, shard, 19, 39, want);
  feed(b, shard, 19, 39, got);
  assert_memory_equal(got, want, sizeof got);
  plr_session_destroy(a);
  plr_session_destroy(b);
  plr_shard_destroy(shard);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
  free(saved.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_continues),
      cmocka_unit_test(test_damage),
      cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_odd_head),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
