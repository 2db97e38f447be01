/* Deltas of weights: top-k against SparseLoCo written down naively, and error feedback, committed or taken back. */
#include "exchange_test.h"

#include "exchange/topk.h"

static plr_context *context(uint32_t isa) {
  plr_context_options o = test_options(NULL);
  o.isa = isa;
  return test_context(&o);
}

/* ---- SparseLoCo, naively ------------------------------------------------------------------------- */

typedef struct naive {
  size_t *index;
  float *value;
  size_t count;
} naive;

/* The largest `keep` of each 4096 of a run, one after the other, the first of equals; then in order. */
static void naive_top(naive *o, const float *x, size_t n, size_t base, size_t keep) {
  char *taken = calloc(n, 1);
  for (size_t g = 0; g < n; g += 4096) {
    const size_t m = n - g < 4096 ? n - g : 4096, k = (m * keep + 4095) / 4096;
    for (size_t j = 0; j < k; j++) {
      size_t best = SIZE_MAX;
      for (size_t i = g; i < g + m; i++)
        if (!taken[i] && (best == SIZE_MAX || fabsf(x[i]) > fabsf(x[best]))) best = i;
      taken[best] = 1;
    }
  }
  for (size_t i = 0; i < n; i++)
    if (taken[i]) o->index[o->count] = base + i, o->value[o->count++] = x[i];
  free(taken);
}

/* Four bins over six unbiased standard deviations around the mean, each bin's mean as its level. */
static void naive_quantise(naive *o) {
  double sum = 0, squares = 0, sums[4] = {0}, counts[4] = {0};
  int *q = calloc(o->count, sizeof *q);
  for (size_t i = 0; i < o->count; i++) sum += o->value[i];
  const float shift = (float)(sum / (double)o->count);
  for (size_t i = 0; i < o->count; i++) {
    o->value[i] -= shift;
    squares += (double)o->value[i] * o->value[i];
  }
  float scale = 0;
  if (o->count > 1) scale = (float)(6.0 * sqrt(squares / ((double)o->count - 1)) / 4.0);
  if (scale == 0) scale = 1;
  for (size_t i = 0; i < o->count; i++) {
    double at = nearbyint((double)(o->value[i] / scale + 2.0f));
    q[i] = at < 0 ? 0 : at > 3 ? 3 : (int)at;
    sums[q[i]] += o->value[i];
    counts[q[i]] += 1;
  }
  for (size_t i = 0; i < o->count; i++) {
    const float level = (float)(sums[q[i]] / counts[q[i]]);
    o->value[i] = level + shift;
  }
  free(q);
}

/* What a frame of x decodes to; returns how many values were kept. */
static size_t naive_round(const float *x, uint32_t rows, uint32_t cols, size_t keep, float *y) {
  const plr_codec codec = test_codec("topk", 0);
  const size_t n = (size_t)rows * cols, step = (size_t)plr__chunk_rows(&codec, cols) * cols;
  naive o = {calloc(n, sizeof *o.index), calloc(n, sizeof *o.value), 0};
  for (size_t i = 0; i < n; i += step) naive_top(&o, x + i, n - i < step ? n - i : step, i, keep);
  naive_quantise(&o);
  memset(y, 0, n * sizeof *y);
  for (size_t i = 0; i < o.count; i++) y[o.index[i]] = o.value[i];
  const size_t count = o.count;
  free(o.index), free(o.value);
  return count;
}

static void check_same(const float *a, const float *b, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (plr__f32_bits(a[i]) != plr__f32_bits(b[i]))
      fail_msg("value %zu is %a and not %a", i, (double)a[i], (double)b[i]);
}

/* ---- top-k --------------------------------------------------------------------------------------- */

static void test_topk_shapes(void **state) {
  (void)state;
  static const uint32_t shapes[][2] = {{1, 1},     {1, 2},     {3, 5},     {1, 63},   {1, 64},
                                       {1, 65},    {64, 64},   {1, 4097},  {70, 64},  {16, 4096},
                                       {17, 4096}, {100, 768}, {3, 30001}, {2, 65537}};
  static const char *const names[] = {"topk", "topk+g32", "topk+g128"};
  plr_context *ctx = context(PLR_ISA_BEST), *plain = context(PLR_ISA_PORTABLE);
  for (size_t s = 0; s < PLR_COUNT_OF(shapes); s++) {
    const uint32_t rows = shapes[s][0], cols = shapes[s][1];
    const size_t n = (size_t)rows * cols;
    for (size_t c = 0; c < PLR_COUNT_OF(names); c++) {
      plr_codec codec = test_codec(names[c], 0);
      float *x = test_floats(s + 10 * c, n), *y = malloc(n * sizeof *y);
      float *want = malloc(n * sizeof *want);
      plr_error err = {0};
      test_frame f = test_encode(ctx, &codec, PLR_ROLE_DELTA, x, rows, cols);
      test_frame g = test_encode(plain, &codec, PLR_ROLE_DELTA, x, rows, cols);
      assert_int_equal(f.len, g.len);
      assert_memory_equal(f.data, g.data, f.len);
      if (test_decode(ctx, f.data, f.len, y, rows, cols, &err) != PLR_OK)
        fail_msg("%s %ux%u: %s: %s", names[c], rows, cols, err.where, err.message);
      naive_round(x, rows, cols, codec.group, want);
      check_same(y, want, n);
      free(x), free(y), free(want), free(f.data), free(g.data);
    }
  }
  plr_context_destroy(plain);
  plr_context_destroy(ctx);
}

/* Equal magnitudes: those that come first are kept, whatever their sign; zeros are kept too where there is nothing
 * else. */
static void test_topk_ties(void **state) {
  (void)state;
  enum { N = 8192 };
  plr_context *ctx = context(PLR_ISA_BEST);
  plr_codec codec = test_codec("topk", 0);
  float *x = calloc(N, sizeof *x), y[N], want[N];
  for (size_t i = 0; i < 4096; i++) x[i] = i % 3 ? 0.25f : -0.25f;
  x[4000] = 2.0f;
  for (size_t i = 4096; i < 4096 + 40; i++) x[i] = 1.0f; /* and 24 zeros */
  test_frame f = test_encode(ctx, &codec, PLR_ROLE_DELTA, x, 2, 4096);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, 2, 4096, NULL), PLR_OK);
  naive_round(x, 2, 4096, 64, want);
  check_same(y, want, N);
  for (size_t i = 0; i < 63; i++) assert_true(y[i] != 0);
  for (size_t i = 63; i < 4000; i++) assert_true(y[i] == 0);
  assert_true(y[4000] > 0.25f);
  free(f.data);
  memset(x, 0, N * sizeof *x); /* no deviation at all */
  f = test_encode(ctx, &codec, PLR_ROLE_DELTA, x, 2, 4096);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, 2, 4096, NULL), PLR_OK);
  check_same(y, x, N);
  free(f.data), free(x);
  plr_context_destroy(ctx);
}

static void test_topk_refuses(void **state) {
  (void)state;
  plr_context *ctx = context(PLR_ISA_BEST);
  plr_codec codec = test_codec("topk", 0), bad;
  float *x = test_floats(1, 4096);
  plr_encoder *e;
  plr_tensor t;
  plr_frame_info info = test_info(PLR_ROLE_DELTA);
  uint8_t out[4096];
  size_t len;
  assert_int_equal(plr_encoder_create(ctx, &codec, 64, 64, &e, NULL), PLR_OK);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, 64, 64);
  const uint32_t wrong[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xff800001u};
  for (size_t i = 0; i < PLR_COUNT_OF(wrong); i++) {
    const float before = x[1000 * i];
    x[1000 * i] = plr__f32_from_bits(wrong[i]);
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, sizeof out, &len), PLR_ERR_NON_FINITE);
    x[1000 * i] = before;
  }
  for (size_t i = 0; i < 4096; i++) x[i] = 3e38f; /* finite, and so is their mean */
  assert_int_equal(plr_encoder_encode(e, &info, &t, out, sizeof out, &len), PLR_OK);
  assert_int_equal(plr_encoder_set_budget(e, 1000), PLR_ERR_UNSUPPORTED);
  plr_encoder_destroy(e);
  static const size_t at[] = {offsetof(plr_codec, bits), offsetof(plr_codec, group),
                              offsetof(plr_codec, entropy), offsetof(plr_codec, dtype),
                              offsetof(plr_codec, transform)};
  for (size_t i = 0; i < PLR_COUNT_OF(at); i++) {
    bad = codec;
    ((uint8_t *)&bad)[at[i]] ^= 1;
    assert_int_not_equal(plr_encoder_create(ctx, &bad, 64, 64, &e, NULL), PLR_OK);
  }
  free(x);
  plr_context_destroy(ctx);
}

/* ---- error feedback ------------------------------------------------------------------------------ */

enum { ROWS = 96, COLS = 1024, VALUES = ROWS * COLS };

typedef struct sender {
  plr_context *ctx;
  plr_encoder *encoder;
  plr_decoder *decoder;
  plr_feedback *feedback;
  uint8_t *frame;
  size_t cap, len;
} sender;

static sender sender_of(const char *codec, float decay) {
  sender s = {.ctx = context(PLR_ISA_BEST)};
  plr_codec c = test_codec(codec, 32);
  assert_int_equal(plr_encoder_create(s.ctx, &c, ROWS, COLS, &s.encoder, NULL), PLR_OK);
  assert_int_equal(plr_decoder_create(s.ctx, ROWS, COLS, &s.decoder, NULL), PLR_OK);
  assert_int_equal(plr_feedback_create(s.ctx, ROWS, COLS, decay, &s.feedback, NULL), PLR_OK);
  s.cap = plr_encoder_bound(s.encoder);
  s.frame = malloc(s.cap);
  return s;
}

static void sender_end(sender *s) {
  plr_feedback_destroy(s->feedback);
  plr_encoder_destroy(s->encoder);
  plr_decoder_destroy(s->decoder);
  plr_context_destroy(s->ctx);
  free(s->frame);
}

static plr_status sender_send(sender *s, float *x, float *y) {
  plr_tensor t;
  plr_frame_info info = test_info(PLR_ROLE_DELTA);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
  plr_status st = plr_feedback_encode(s->feedback, s->encoder, s->decoder, &info, &t, s->frame,
                                      s->cap, &s->len);
  if (st != PLR_OK) return st;
  plr_tensor_matrix(&t, y, PLR_DTYPE_F32, ROWS, COLS);
  return plr_decoder_decode(s->decoder, s->frame, s->len, &t, NULL, NULL);
}

static const float *error_of(sender *s) {
  plr_tensor t;
  assert_int_equal(plr_feedback_tensor(s->feedback, &t), PLR_OK);
  assert_int_equal(t.shape[0], ROWS);
  assert_int_equal(t.shape[1], COLS);
  return t.data;
}

static uint64_t hash_of(sender *s) {
  uint64_t h;
  assert_int_equal(plr_feedback_hash(s->feedback, &h), PLR_OK);
  return h;
}

/* Ten rounds of SparseLoCo with the paper's beta: decoded values and the error buffer are its bits, in at most 0.70 of
 * its 14 bits a kept value, all bytes counted. A refused frame now and then changes nothing. */
static void test_sparseloco(void **state) {
  (void)state;
  sender s = sender_of("topk", 0.95f);
  float *y = malloc(VALUES * sizeof *y), *want = malloc(VALUES * sizeof *want);
  float *error = calloc(VALUES, sizeof *error), *sum = malloc(VALUES * sizeof *sum);
  for (uint32_t round = 0; round < 10; round++) {
    float *x = test_floats(round, VALUES);
    for (size_t i = 0; i < VALUES; i++) x[i] *= 1e-4f * (float)(1 + i % 7);
    for (size_t i = 0; i < VALUES; i++) sum[i] = 0.95f * error[i] + x[i];
    const size_t kept = naive_round(sum, ROWS, COLS, 64, want);
    const uint64_t before = hash_of(&s);
    if (round % 3 == 1) { /* refused: the same delta goes out again, to the same bytes */
      assert_int_equal(sender_send(&s, x, y), PLR_OK);
      uint8_t *first = malloc(s.len);
      const size_t len = s.len;
      memcpy(first, s.frame, len);
      assert_int_equal(sender_send(&s, x, y), PLR_ERR_INVALID_STATE);
      assert_int_equal(plr_feedback_rollback(s.feedback), PLR_OK);
      assert_int_equal(plr_feedback_rollback(s.feedback), PLR_ERR_INVALID_STATE);
      assert_int_equal(plr_feedback_commit(s.feedback), PLR_ERR_INVALID_STATE);
      assert_true(hash_of(&s) == before);
      assert_int_equal(sender_send(&s, x, y), PLR_OK);
      assert_int_equal(s.len, len);
      assert_memory_equal(s.frame, first, len);
      free(first);
    } else {
      assert_int_equal(sender_send(&s, x, y), PLR_OK);
    }
    check_same(y, want, VALUES);
    assert_true(hash_of(&s) == before);
    assert_int_equal(plr_feedback_commit(s.feedback), PLR_OK);
    assert_true(hash_of(&s) != before);
    for (size_t i = 0; i < VALUES; i++) error[i] = sum[i] - want[i];
    check_same(error_of(&s), error, VALUES);
    const double bits = 8.0 * (double)s.len / (double)kept;
    if (round == 9) print_message("%.3f bits a kept value, %.3f of 14\n", bits, bits / 14);
    assert_true(bits <= 0.70 * 14);
    free(x);
  }
  assert_true(hash_of(&s) == plr__xxh3_64(error, VALUES * sizeof *error));
  free(y), free(want), free(error), free(sum);
  sender_end(&s);
}

/* Without decay nothing is lost: what arrived and what is still owed add up to the deltas, for a 4-bit codec too. */
static void test_feedback_conserves(void **state) {
  (void)state;
  static const char *const names[] = {"int4", "uniform4", "topk", "int2+hadamard"};
  for (size_t k = 0; k < PLR_COUNT_OF(names); k++) {
    sender s = sender_of(names[k], 1.0f);
    float *y = malloc(VALUES * sizeof *y);
    double *all = calloc(VALUES, sizeof *all), *got = calloc(VALUES, sizeof *got);
    for (uint32_t round = 0; round < 6; round++) {
      float *x = test_floats(100 + round, VALUES);
      assert_int_equal(sender_send(&s, x, y), PLR_OK);
      assert_int_equal(plr_feedback_commit(s.feedback), PLR_OK);
      for (size_t i = 0; i < VALUES; i++) all[i] += x[i], got[i] += y[i];
      free(x);
    }
    const float *owed = error_of(&s);
    for (size_t i = 0; i < VALUES; i++) assert_true(fabs(all[i] - got[i] - owed[i]) < 1e-4);
    free(y), free(all), free(got);
    sender_end(&s);
  }
}

/* What fails leaves nothing pending; saved and restored errors go on to the same frames. */
static void test_feedback_states(void **state) {
  (void)state;
  sender s = sender_of("topk", 0.95f), t = sender_of("topk", 0.95f);
  float *x = test_floats(5, VALUES), *y = malloc(VALUES * sizeof *y);
  const float keep = x[7];
  assert_int_equal(plr_feedback_commit(s.feedback), PLR_ERR_INVALID_STATE);
  x[7] = NAN;
  assert_int_equal(sender_send(&s, x, y), PLR_ERR_NON_FINITE);
  assert_int_equal(plr_feedback_commit(s.feedback), PLR_ERR_INVALID_STATE);
  x[7] = keep;
  const size_t cap = s.cap;
  s.cap = 100;
  assert_int_equal(sender_send(&s, x, y), PLR_ERR_BUFFER_TOO_SMALL);
  s.cap = cap;
  assert_int_equal(sender_send(&s, x, y), PLR_OK);
  assert_int_equal(plr_feedback_commit(s.feedback), PLR_OK);
  memcpy((float *)(uintptr_t)error_of(&t), error_of(&s), VALUES * sizeof *x);
  assert_true(hash_of(&s) == hash_of(&t));
  assert_int_equal(sender_send(&s, x, y), PLR_OK);
  assert_int_equal(sender_send(&t, x, y), PLR_OK);
  assert_int_equal(s.len, t.len);
  assert_memory_equal(s.frame, t.frame, s.len);

  plr_feedback *f;
  plr_error err = {0};
  assert_int_equal(plr_feedback_create(s.ctx, 0, 4, 0.5f, &f, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_feedback_create(s.ctx, 4, 4, 1.5f, &f, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_feedback_create(s.ctx, 4, 4, NAN, &f, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_feedback_create(s.ctx, UINT32_MAX, 4, 0.5f, &f, &err), PLR_ERR_LIMIT);
  assert_null(f);
  plr_tensor other;
  plr_frame_info info = test_info(PLR_ROLE_DELTA);
  assert_int_equal(plr_feedback_rollback(s.feedback), PLR_OK);
  plr_tensor_matrix(&other, x, PLR_DTYPE_F32, ROWS, COLS / 2);
  assert_int_equal(
      plr_feedback_encode(s.feedback, s.encoder, s.decoder, &info, &other, s.frame, s.cap, &s.len),
      PLR_ERR_SHAPE);
  free(x), free(y);
  sender_end(&s);
  sender_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_topk_shapes),        cmocka_unit_test(test_topk_ties),
      cmocka_unit_test(test_topk_refuses),       cmocka_unit_test(test_sparseloco),
      cmocka_unit_test(test_feedback_conserves), cmocka_unit_test(test_feedback_states),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
