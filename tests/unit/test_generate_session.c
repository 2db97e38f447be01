/* Sessions: prefill in any chunks = decode one by one = infer over the whole sequence, bit for bit, as one shard and
 * as several; positions; truncation; what is refused. */
#include "generate_common.h"

#define WINDOW 16 /* seq_len of the tiny models */

static int32_t text[3][WINDOW];

static int setup(void **state) {
  (void)state;
  for (int s = 0; s < 3; s++)
    for (int t = 0; t < WINDOW; t++) text[s][t] = (uint8_t)verse[40 * s + t];
  return 0;
}

static plr_shard_options defaults(void) {
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  return o;
}

static void same(const float *got, const float *want, size_t n, const char *what) {
  for (size_t i = 0; i < n; i++)
    if (memcmp(got + i, want + i, sizeof *got) != 0)
      fail_msg("%s: number %zu is %.9g, expected %.9g", what, i, (double)got[i], (double)want[i]);
}

/* Logits of every position of the three texts, by infer on one shard. */
static float *by_infer(plr_context *ctx, const char *json) {
  plr_model *model = new_model(ctx, json);
  plr_shard *shard = new_shard(ctx, model, 0, 0);
  float *logits = calloc(3 * WINDOW * 256, sizeof *logits);
  for (int s = 0; s < 3; s++) {
    plr_tensor out;
    plr_tensor_matrix(&out, logits + s * WINDOW * 256, PLR_DTYPE_F32, WINDOW, 256);
    assert_int_equal(plr_shard_infer(shard, text[s], 1, WINDOW, NULL, &out), PLR_OK);
  }
  plr_shard_destroy(shard);
  plr_model_destroy(model);
  return logits;
}

/* Calls that feed the three texts: how many tokens of each. */
static const uint32_t by_one[][3] = {{1, 1, 1}, {0}};
static const uint32_t whole[][3] = {{16, 16, 0}, {0, 0, 16}, {0}};
static const uint32_t mixed[][3] = {{7, 1, 0}, {1, 9, 2}, {0, 1, 1}, {1, 1, 12},
                                    {6, 0, 1}, {1, 4, 0}, {0}};

static void check_plan(pipeline *p, const uint32_t (*plan)[3], int all_logits, const float *want,
                       const char *what) {
  uint32_t done[3] = {0, 0, 0};
  float *logits = calloc(32 * 256, sizeof *logits);
  for (uint32_t call = 0; done[0] + done[1] + done[2] < 3 * WINDOW; call++) {
    const uint32_t *counts = plan[call];
    if (counts[0] + counts[1] + counts[2] == 0) counts = plan[call = 0];
    entry e[3];
    uint32_t n = 0;
    for (uint32_t s = 0; s < 3; s++) {
      uint32_t count = counts[s] < WINDOW - done[s] ? counts[s] : WINDOW - done[s];
      if (count == 0) continue;
      entry one = {s, count, done[s], all_logits ? count : call % 2, text[s] + done[s]};
      e[n++] = one;
    }
    if (n == 0) continue;
    pipeline_feed(p, e, n, logits);
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
      done[e[i].session] += e[i].count;
      size_t from = e[i].session * WINDOW + done[e[i].session] - e[i].logits;
      same(logits + 256 * at, want + 256 * from, 256 * (size_t)e[i].logits, what);
      at += e[i].logits;
    }
  }
  for (uint32_t s = 0; s < 3; s++)
    for (uint32_t i = 0; i < p->shards; i++) {
      assert_int_equal(plr_session_length(p->session[i][s]), WINDOW);
      assert_int_equal(plr_session_truncate(p->session[i][s], 0), PLR_OK);
    }
  free(logits);
}

static void check_model(const char *json, uint32_t threads, uint32_t isa) {
  static const uint32_t cuts[] = {2, 4, 6}, fine[] = {1, 2, 5, 6};
  plr_context *ctx = context_with(threads, isa);
  float *want = by_infer(ctx, json);
  int dense = strstr(json, "dense") != NULL;
  for (int split = 0; split < 3; split++) {
    pipeline p;
    plr_shard_options o = defaults();
    o.inference_only = split > 0; /* a training shard has sessions too */
    const uint32_t *at = split == 2 && dense ? fine : cuts;
    uint32_t shards = split == 0 ? 1 : split == 2 && dense ? 5 : 4;
    pipeline_init(&p, ctx, json, &o, at, shards, 3, WINDOW);
    check_plan(&p, by_one, 1, want, "one by one");
    check_plan(&p, whole, 1, want, "whole");
    check_plan(&p, mixed, 1, want, "mixed");
    check_plan(&p, mixed, 0, want, "mixed, few logits");
    pipeline_release(&p);
  }
  free(want);
  plr_context_destroy(ctx);
}

static void test_dense(void **state) {
  (void)state;
  check_model(DENSE_JSON, 2, PLR_ISA_BEST);
  check_model(DENSE_JSON, 1, PLR_ISA_PORTABLE);
}

static void test_subspace(void **state) {
  (void)state;
  check_model(SUBSPACE_JSON, 2, PLR_ISA_BEST);
}

/* A session may be longer than the sequences of training: the first part is the same, and it goes on. */
static void test_longer(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  float *want = by_infer(ctx, DENSE_JSON), logits[2][256];
  pipeline p;
  plr_shard_options o = defaults();
  pipeline_init(&p, ctx, DENSE_JSON, &o, NULL, 1, 2, 100);
  for (uint32_t t = 0; t < 40; t++) {
    int32_t token = t < WINDOW ? text[0][t] : 'a';
    entry e[2] = {{0, 1, t, 1, &token}, {1, 1, t, 1, &token}};
    pipeline_feed(&p, e, 2, &logits[0][0]);
    same(logits[0], logits[1], 256, "two sessions");
    if (t < WINDOW) same(logits[0], want + 256 * t, 256, "first part");
  }
  pipeline_release(&p);
  free(want);
  plr_context_destroy(ctx);
}

static void test_truncate(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  float *want = by_infer(ctx, DENSE_JSON), *logits = calloc(WINDOW * 256, sizeof *logits);
  pipeline p;
  plr_shard_options o = defaults();
  pipeline_init(&p, ctx, DENSE_JSON, &o, NULL, 1, 1, WINDOW);
  int32_t other[WINDOW];
  for (int t = 0; t < WINDOW; t++) other[t] = t < 5 ? text[0][t] : 'z';
  entry first = {0, WINDOW, 0, 0, other}, second = {0, WINDOW - 5, 5, WINDOW - 5, text[0] + 5};
  pipeline_feed(&p, &first, 1, NULL);
  assert_int_equal(plr_session_truncate(p.session[0][0], 17), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_session_truncate(p.session[0][0], 5), PLR_OK);
  pipeline_feed(&p, &second, 1, logits);
  same(logits, want + 5 * 256, (WINDOW - 5) * 256, "after truncation");
  pipeline_release(&p);
  free(want);
  free(logits);
  plr_context_destroy(ctx);
}

static void expect(plr_shard *shard, const plr_session_rows *rows, uint32_t count, plr_tensor *out,
                   plr_status want, const char *words) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(plr_shard_feed(shard, rows, count, NULL, out, &err), want);
  if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

static void test_refused(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  plr_model *model = new_model(ctx, DENSE_JSON);
  plr_shard *shard = new_shard(ctx, model, 0, 0), *foreign = new_shard(ctx, model, 0, 0);
  plr_session *a = new_session(shard, 8), *b = new_session(shard, 8), *c = new_session(foreign, 8);
  float logits[2 * 256];
  plr_tensor out, two;
  plr_tensor_matrix(&out, logits, PLR_DTYPE_F32, 1, 256);
  plr_tensor_matrix(&two, logits, PLR_DTYPE_F32, 2, 256);
  int32_t bad[2] = {1, 256};
  plr_session_rows ok = {a, text[0], 3, 0, 1, 0}, r[2] = {ok, ok};
  expect(shard, r, 2, &out, PLR_ERR_INVALID_ARGUMENT, "entry 1: its session is named before");
  r[1].session = c;
  expect(shard, r, 2, &out, PLR_ERR_INVALID_ARGUMENT, "entry 1: not a session of this shard");
  r[1].session = b, r[1].first_position = 2, r[1].logits = 0;
  expect(shard, r, 2, &out, PLR_ERR_INVALID_STATE,
         "entry 1: position 2, the session's next one is 0: a gap");
  r[1].first_position = 0, r[1].count = 9;
  expect(shard, r, 2, &out, PLR_ERR_LIMIT,
         "entry 1: 9 rows from position 0, the session ends at 8");
  r[1].count = 2, r[1].tokens = bad;
  expect(shard, r, 2, &out, PLR_ERR_INVALID_ARGUMENT, "entry 1: token 256 at position 1");
  r[1].tokens = NULL;
  expect(shard, r, 2, &out, PLR_ERR_INVALID_ARGUMENT, "entry 1: this shard needs the tokens");
  r[1].tokens = text[1], r[1].logits = 3;
  expect(shard, r, 2, &out, PLR_ERR_INVALID_ARGUMENT, "entry 1: 2 rows, 3 of them give logits");
  r[1].logits = 1;
  expect(shard, r, 2, &out, PLR_ERR_SHAPE, "2 x 256");
  expect(shard, r, 2, NULL, PLR_ERR_SHAPE, "2 x 256");
  assert_int_equal(plr_session_length(a), 0); /* nothing has happened so far */
  assert_int_equal(plr_shard_feed(shard, r, 2, NULL, &two, NULL), PLR_OK);
  assert_int_equal(plr_session_length(a), 3);
  expect(shard, &ok, 1, &out, PLR_ERR_INVALID_STATE,
         "entry 0: position 0, the session's next one is 3: a repeat");
  expect(foreign, &ok, 0, &out, PLR_ERR_INVALID_ARGUMENT, "rows");

  plr_session_options o;
  plr_session_options_init(&o, sizeof o);
  o.max_tokens = 1u << 25;
  plr_session *none = NULL;
  assert_int_equal(plr_session_create(shard, &o, &none, NULL), PLR_ERR_LIMIT);
  assert_null(none);
  plr_shard_destroy(shard); /* goes with its last session */
  plr_session_rows more = {a, text[0] + 3, 1, 3, 1, 0};
  assert_int_equal(plr_shard_feed(shard, &more, 1, NULL, &out, NULL), PLR_OK);
  plr_session_destroy(a);
  plr_session_destroy(b);
  plr_session_destroy(c);
  plr_shard_destroy(foreign);
  plr_model_destroy(model);
  plr_context_destroy(ctx);
}

/* More rows than the shard takes; other weights than the session's. */
static void test_limits(void **state) {
  (void)state;
  plr_context *ctx = context_with(1, PLR_ISA_BEST);
  row r;
  row_init(&r, ctx, DENSE_JSON, NULL, 1);
  plr_session *s[3];
  plr_session_rows rows[3];
  for (int i = 0; i < 3; i++) {
    s[i] = new_session(r.shards[0], 0);
    plr_session_rows one = {s[i], text[i], 16, 0, 0, 0};
    rows[i] = one;
  }
  expect(r.shards[0], rows, 3, NULL, PLR_ERR_LIMIT, "48 rows, the shard takes 32");
  assert_int_equal(plr_shard_feed(r.shards[0], rows, 2, NULL, NULL, NULL), PLR_OK);
  plr_corpus *corpus = NULL;
  assert_int_equal(plr_corpus_create(ctx, verse, sizeof verse - 1, &corpus, NULL), PLR_OK);
  row_step(&r, corpus);
  assert_int_equal(plr_session_truncate(s[0], 15), PLR_OK);
  rows[0].tokens += 15, rows[0].count = 1, rows[0].first_position = 15;
  expect(r.shards[0], rows, 1, NULL, PLR_ERR_INVALID_STATE, "the weights have changed");
  assert_int_equal(plr_session_truncate(s[0], 0), PLR_OK);
  rows[0].tokens = text[0], rows[0].count = 16, rows[0].first_position = 0;
  assert_int_equal(plr_shard_feed(r.shards[0], rows, 1, NULL, NULL, NULL), PLR_OK);
  for (int i = 0; i < 3; i++) plr_session_destroy(s[i]);
  plr_corpus_destroy(corpus);
  row_release(&r);
  plr_context_destroy(ctx);
}

/* Feeding allocates nothing once every kind of call was made. */
static void test_no_allocation(void **state) {
  (void)state;
  plr_context *ctx = context_with(2, PLR_ISA_BEST);
  pipeline p;
  plr_shard_options o = defaults();
  pipeline_init(&p, ctx, DENSE_JSON, &o, NULL, 1, 2, 64);
  float *logits = calloc(32 * 256, sizeof *logits);
  uint64_t counts[2] = {0, 0};
  for (int round = 0; round < 2; round++) {
    entry e[2] = {{0, 12, 0, 12, text[0]}, {1, 1, 0, 1, text[1]}};
    pipeline_feed(&p, e, 2, logits);
    entry one = {0, 1, 12, 1, text[0] + 12};
    pipeline_feed(&p, &one, 1, logits);
    for (int i = 0; i < 2; i++) assert_int_equal(plr_session_truncate(p.session[0][i], 0), PLR_OK);
    plr_context_memory(ctx, NULL, NULL, &counts[round]);
  }
  assert_int_equal(counts[0], counts[1]);
  free(logits);
  pipeline_release(&p);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dense),         cmocka_unit_test(test_subspace),
      cmocka_unit_test(test_longer),        cmocka_unit_test(test_truncate),
      cmocka_unit_test(test_refused),       cmocka_unit_test(test_limits),
      cmocka_unit_test(test_no_allocation),
  };
  return cmocka_run_group_tests(tests, setup, NULL);
}
