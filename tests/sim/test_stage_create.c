/* Options, what a stage refuses to be, and memory: at create, in the steady state, and when there is none. */
#include "sim/pipeline.h"

#include "stage/stage_int.h"
#include "unit/base_test.h"

typedef struct parts {
  plr_context *ctx;
  plr_model *model;
  plr_corpus *corpus;
  plr_identity *identity;
  plr_shard *shard;
  char *text;
} parts;

static void open_parts(parts *x, const plr_context_options *o, uint32_t first, uint32_t end,
                       uint32_t slots) {
  char json[1024];
  uint8_t seed[32] = {5};
  plr_shard_options so;
  memset(x, 0, sizeof *x);
  x->ctx = test_context(o);
  pipe_manifest(json, sizeof json, 0);
  assert_int_equal(plr_model_from_json(x->ctx, json, strlen(json), &x->model, NULL), PLR_OK);
  x->text = pipe_text(4000);
  assert_int_equal(plr_corpus_create(x->ctx, x->text, 4000, &x->corpus, NULL), PLR_OK);
  assert_int_equal(plr_identity_create(x->ctx, seed, &x->identity, NULL), PLR_OK);
  plr_shard_options_init(&so, sizeof so);
  so.first_block = first, so.end_block = end, so.slots = slots;
  assert_int_equal(plr_shard_create(x->ctx, x->model, &so, &x->shard, NULL), PLR_OK);
}

static void close_parts(parts *x) {
  plr_shard_destroy(x->shard);
  plr_identity_destroy(x->identity);
  plr_corpus_destroy(x->corpus);
  plr_model_destroy(x->model);
  plr_context_destroy(x->ctx);
  free(x->text);
}

static plr_stage_options worker_options(const parts *x, uint32_t index, uint32_t count) {
  plr_stage_options o;
  plr_stage_options_init(&o, sizeof o);
  assert_int_equal(o.struct_size, sizeof o);
  o.index = index, o.count = count;
  o.origin = PIPE_ORIGIN;
  o.identity = x->identity, o.model = x->model, o.shard = x->shard;
  return o;
}

static plr_stage_options feeder_options(const parts *x, uint32_t count) {
  plr_stage_options o = worker_options(x, 0, count);
  o.role = PLR_STAGE_FEEDER;
  o.shard = NULL, o.corpus = x->corpus;
  return o;
}

static void refused(const parts *x, const plr_stage_options *o, plr_status want, const char *text) {
  plr_stage *stage = (plr_stage *)o;
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_stage_create(x->ctx, o, &stage, &err), want);
  assert_null(stage);
  if (!strstr(err.message, text)) fail_msg("%s, not %s", err.message, text);
}

/* The buffers of a stage are sized by its model and filled by its shard: they must be of one kind. */
static void test_shard_of_another_model(void **state) {
  (void)state;
  parts x;
  char json[1024];
  plr_model *other;
  open_parts(&x, NULL, 1, 3, 2);
  pipe_manifest(json, sizeof json, 1);
  assert_int_equal(plr_model_from_json(x.ctx, json, strlen(json), &other, NULL), PLR_OK);
  plr_stage_options o = worker_options(&x, 1, 3);
  o.model = other;
  refused(&x, &o, PLR_ERR_MISMATCH, "another model");
  plr_model_destroy(other);
  close_parts(&x);
}

static void test_text_too_short(void **state) {
  (void)state;
  parts x;
  plr_corpus *corpus;
  open_parts(&x, NULL, 1, 3, 2);
  assert_int_equal(plr_corpus_create(x.ctx, "short", 5, &corpus, NULL), PLR_OK);
  plr_stage_options o = feeder_options(&x, 3);
  o.corpus = corpus;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "");
  plr_corpus_destroy(corpus);
  close_parts(&x);
}

static void test_refused(void **state) {
  (void)state;
  parts x;
  open_parts(&x, NULL, 1, 3, 2);
  plr_stage *stage;
  plr_stage_options good = worker_options(&x, 1, 3), o;
  assert_int_equal(plr_stage_create(x.ctx, &good, &stage, NULL), PLR_OK);
  plr_stage_destroy(stage);
  o = good, o.model = NULL;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "required");
  o = good, o.identity = NULL;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "required");
  o = good, o.origin = "";
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "required");
  o = good, o.role = 2;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "unknown role 2");
  o = good, o.count = 0;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "0 stages");
  o = good, o.shard = NULL;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "a worker has a shard");
  o = good, o.index = 3;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "number below 3");
  o = good, o.index = 0;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "blocks [1, 3) of 4 cannot be stage 0 of 3");
  o = good, o.index = 2;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "cannot be stage 2 of 3");
  o = good, o.count = 5;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "the shard has 2 slots, stage 1 of 5 needs 4");
  o = good, o.forward_codec.predict = 9;
  refused(&x, &o, PLR_ERR_UNSUPPORTED, "");
  o = good, o.role = PLR_STAGE_FEEDER;
  refused(&x, &o, PLR_ERR_INVALID_ARGUMENT, "a feeder has a corpus and no shard");
  assert_int_equal(plr_stage_create(x.ctx, &good, NULL, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_create(NULL, &good, &stage, NULL), PLR_ERR_INVALID_ARGUMENT);
  plr_stage_destroy(NULL);
  close_parts(&x);
}

static void test_frame_limit(void **state) {
  (void)state;
  parts x;
  plr_context_options co = test_options(NULL);
  co.max_frame = 4096;
  open_parts(&x, &co, 1, 3, 2);
  plr_stage_options o = worker_options(&x, 1, 3);
  refused(&x, &o, PLR_ERR_LIMIT, "the context allows 4096");
  close_parts(&x);
}

static void test_attach(void **state) {
  (void)state;
  parts x;
  open_parts(&x, NULL, 1, 3, 2);
  plr_stage *stage;
  plr_stage_options o = worker_options(&x, 1, 3);
  plr_link_options lo;
  plr_link *a, *b;
  plr_job *job;
  plr_link_options_init(&lo, sizeof lo);
  assert_int_equal(plr_link_create(x.ctx, x.identity, &lo, &a, NULL), PLR_OK);
  assert_int_equal(plr_link_create(x.ctx, x.identity, &lo, &b, NULL), PLR_OK);
  assert_int_equal(plr_stage_create(x.ctx, &o, &stage, NULL), PLR_OK);
  assert_int_equal(plr_stage_attach(stage, 2, a), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_attach(stage, 0, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_stage_attach(stage, 0, a), PLR_OK);
  assert_int_equal(plr_stage_attach(stage, 0, b), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_stage_attach(stage, 1, a), PLR_ERR_INVALID_STATE);
  assert_int_equal(plr_stage_advance(stage, 1), PLR_OK); /* half attached: nothing moves */
  assert_int_equal(plr_stage_next_job(stage, &job), PLR_ERR_AGAIN);
  assert_int_equal(plr_stage_attach(stage, 1, b), PLR_OK);
  assert_int_equal(plr_stage_advance(stage, 2), PLR_OK);
  assert_true(plr_stage_next_deadline_ns(stage) == PLR_NEVER);
  plr_stage_destroy(stage);
  plr_link_destroy(a);
  plr_link_destroy(b);
  close_parts(&x);
}

static void no_memory_at_create(int feeder) {
  parts x;
  test_allocator a;
  plr_context_options co = test_options(&a);
  open_parts(&x, &co, 1, 3, 2);
  plr_stage_options o = feeder ? feeder_options(&x, 3) : worker_options(&x, 1, 3);
  int64_t live = a.live, n = 0;
  for (int hit = 1; hit; n++) {
    plr_stage *stage = (plr_stage *)&a;
    a.fail_at = a.calls + n;
    plr_status st = plr_stage_create(x.ctx, &o, &stage, NULL);
    hit = a.calls > a.fail_at;
    a.fail_at = -1;
    assert_true(st == PLR_OK ? stage != NULL : stage == NULL);
    if (st != PLR_OK) assert_int_equal(st, PLR_ERR_NO_MEMORY);
    if (!hit) assert_int_equal(st, PLR_OK);
    plr_stage_destroy(stage);
    assert_int_equal(a.live, live);
  }
  assert_in_range(n, 10, 200);
  close_parts(&x);
  assert_int_equal(a.live, 0);
  assert_int_equal(a.bad_free, 0);
}

static void test_no_memory_at_create(void **state) {
  (void)state;
  no_memory_at_create(0);
  no_memory_at_create(1);
}

/* Memory that runs out later, at any allocation: the run ends well, or every node says that it failed. */
static void test_no_memory_later(void **state) {
  (void)state;
  static pipeline p;
  uint32_t failures = 0;
  for (int64_t n = 0; n < 24; n++) {
    test_allocator a;
    plr_context_options co = test_options(&a);
    pipe_config c = pipe_defaults(2);
    c.context = &co;
    c.link_window = 4096; /* the queues of the stages are used */
    pipe_open(&p, &c);
    assert_int_equal(plr_stage_train(p.stage[p.feeder], 3), PLR_OK);
    a.fail_at = a.calls + n;
    pipe_run_for(&p, 60);
    assert_true(p.failed ? p.failed == 3 : p.idle == 1);
    failures += p.failed != 0;
    a.fail_at = -1;
    pipe_close(&p);
    assert_int_equal(a.live, 0);
  }
  assert_true(failures > 0);
}

/* After the first steps nothing is allocated any more, by stages, shards, codecs or links; the snapshots of every
 * fourth step give back what they take. */
static void test_steady_state(void **state) {
  (void)state;
  static pipeline p;
  uint64_t before, after, bytes_before, bytes_after;
  pipe_config c = pipe_defaults(4);
  c.codec = "int4";
  pipe_open(&p, &c);
  pipe_train(&p, 8);
  pipe_train(&p, 16); /* queues and pools have reached their largest size */
  plr_context_memory(p.ctx, &bytes_before, NULL, &before);
  pipe_train(&p, 19);
  plr_context_memory(p.ctx, NULL, NULL, &after);
  assert_int_equal(after - before, 0);
  pipe_train(&p, 40);
  plr_context_memory(p.ctx, &bytes_after, NULL, NULL);
  assert_int_equal(bytes_after, bytes_before);
  pipe_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refused),         cmocka_unit_test(test_shard_of_another_model),
      cmocka_unit_test(test_text_too_short),  cmocka_unit_test(test_frame_limit),
      cmocka_unit_test(test_attach),          cmocka_unit_test(test_no_memory_at_create),
      cmocka_unit_test(test_no_memory_later), cmocka_unit_test(test_steady_state),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
