/* Frames in pieces: the same bytes as whole ones, decoded as they come, and refused like them. */
#include "exchange_test.h"

static plr_context *context(test_allocator *a) {
  plr_context_options o = test_options(a);
  return test_context(&o);
}

/* All pieces of x's frame, one after the other; *count: how many. */
static test_frame stream(plr_encoder *e, const plr_tensor *x, size_t *count) {
  test_frame f = {malloc(plr_encoder_bound(e)), 0};
  plr_frame_info info = test_info(PLR_ROLE_GRADIENT);
  uint32_t left, before = (uint32_t)x->shape[0];
  *count = 0;
  assert_int_equal(plr_encoder_begin(e, &info, x), PLR_OK);
  do {
    size_t need = 0, len;
    assert_int_equal(plr_encoder_next(e, f.data + f.len, 0, &need, &left),
                     PLR_ERR_BUFFER_TOO_SMALL);
    uint8_t *piece = malloc(need);
    assert_int_equal(plr_encoder_next(e, piece, need, &len, &left), PLR_OK);
    assert_true(len <= need && left < before);
    memcpy(f.data + f.len, piece, len);
    free(piece);
    f.len += len;
    before = left;
    ++*count;
  } while (left);
  size_t len;
  assert_int_equal(plr_encoder_next(e, f.data, 1 << 20, &len, &left), PLR_ERR_INVALID_STATE);
  return f;
}

/* Feeds the frame and `spare` bytes after it in random pieces of up to `most` bytes. */
static plr_status feed(plr_decoder *d, const test_frame *f, size_t spare, size_t most,
                       plr_tensor *y, uint64_t *seed, plr_error *err) {
  uint32_t rows = 0, last = 0;
  size_t at = 0;
  assert_int_equal(plr_decoder_begin(d, y, NULL), PLR_OK);
  while (at < f->len + spare && rows < (uint32_t)y->shape[0]) {
    const size_t draw = 1 + (size_t)(test_random(seed) % most);
    const size_t n = PLR_MIN(draw, f->len + spare - at);
    uint8_t *piece = malloc(n); /* of its own, so that a sanitizer sees a read past it */
    for (size_t i = 0; i < n; i++) piece[i] = at + i < f->len ? f->data[at + i] : 0xee;
    size_t used = 0;
    plr_frame_info info = {.struct_size = sizeof info};
    plr_status st = plr_decoder_feed(d, piece, n, &used, &rows, &info, err);
    free(piece);
    if (st != PLR_OK) return st;
    assert_true(rows >= last && used <= n);
    if (rows) assert_int_equal(info.step, 70000);
    last = rows;
    at += used;
    assert_true(used == n || rows == (uint32_t)y->shape[0]);
  }
  if (rows < (uint32_t)y->shape[0]) return PLR_ERR_TRUNCATED;
  assert_int_equal(at, f->len); /* what follows is another frame's */
  return PLR_OK;
}

static void check_streamed(plr_context *ctx, const char *name, const float *x, uint32_t rows,
                           uint32_t cols) {
  const size_t n = (size_t)rows * cols;
  plr_codec c = test_codec(name, 32);
  plr_encoder *e;
  plr_decoder *d;
  plr_tensor t, out;
  plr_error err = {0};
  size_t pieces;
  float *y = malloc(n * sizeof *y), *z = malloc(n * sizeof *z);
  uint64_t seed = n;
  plr_tensor_matrix(&t, (void *)(uintptr_t)x, PLR_DTYPE_F32, rows, cols);
  plr_tensor_matrix(&out, z, PLR_DTYPE_F32, rows, cols);
  assert_int_equal(plr_encoder_create(ctx, &c, rows, cols, &e, NULL), PLR_OK);
  assert_int_equal(plr_decoder_create(ctx, rows, cols, &d, NULL), PLR_OK);
  test_ready_encoder(e, &c, rows, cols);
  test_frame whole = test_encode(ctx, &c, PLR_ROLE_GRADIENT, x, rows, cols);
  test_frame f = stream(e, &t, &pieces);
  assert_int_equal(pieces, plr__chunk_count(&c, rows, cols));
  assert_int_equal(f.len, whole.len);
  if (c.entropy != PLR_ENTROPY_PACK) { /* the header leaves open what was not known */
    plr_frame_info info = {.struct_size = sizeof info};
    assert_int_equal(plr_frame_parse(ctx, f.data, f.len, &info, NULL), PLR_OK);
    assert_int_equal(info.chunks, 0);
    assert_int_equal(info.payload_len, f.len - plr__frame_header_len(&info));
    assert_memory_equal(f.data, whole.data, 52);
    assert_memory_equal(f.data + 64, whole.data + 64, f.len - 64);
  } else {
    assert_memory_equal(f.data, whole.data, f.len);
  }
  assert_int_equal(test_decode(ctx, whole.data, whole.len, y, rows, cols, NULL), PLR_OK);
  assert_int_equal(test_decode(ctx, f.data, f.len, z, rows, cols, NULL), PLR_OK);
  assert_memory_equal(y, z, n * sizeof *y);
  const size_t sizes[] = {f.len < 3000 ? 1 : f.len / 7, f.len / 2 + 1, f.len + 100};
  for (size_t i = 0; i < PLR_COUNT_OF(sizes); i++) {
    memset(z, 0, n * sizeof *z);
    if (c.predict) assert_int_equal(plr_decoder_set_store(d, 5, rows), PLR_OK);
    plr_status st = feed(d, i % 2 ? &whole : &f, i * 13, sizes[i], &out, &seed, &err);
    if (st != PLR_OK) fail_msg("%s %ux%u: %s: %s", name, rows, cols, err.where, err.message);
    assert_memory_equal(y, z, n * sizeof *y);
  }
  free(y), free(z), free(f.data), free(whole.data);
  plr_encoder_destroy(e);
  plr_decoder_destroy(d);
}

static void test_same_as_whole(void **state) {
  (void)state;
  static const uint32_t shapes[][2] = {{1, 1}, {5, 9}, {2000, 65}, {3, 30001}, {2, 65537}};
  plr_context *ctx = context(NULL);
  for (size_t s = 0; s < PLR_COUNT_OF(shapes); s++) {
    float *x = test_floats(s + 1, (size_t)shapes[s][0] * shapes[s][1]);
    for (size_t i = 0; i < PLR_COUNT_OF(test_codec_names); i++)
      check_streamed(ctx, test_codec_names[i], x, shapes[s][0], shapes[s][1]);
    free(x);
  }
  plr_context_destroy(ctx);
}

/* The first rows are finished at the other end before the last are coded; nothing is allocated meanwhile, and a
 * budget holds as it does for whole frames. */
static void test_overlap(void **state) {
  (void)state;
  enum { ROWS = 4000, COLS = 64 };
  test_allocator a;
  plr_context *ctx = context(&a);
  plr_codec c = test_codec("uniform4+token", 0);
  plr_encoder *e;
  plr_decoder *d;
  plr_tensor t, out;
  float *x = test_floats(3, ROWS * COLS), *y = malloc(ROWS * COLS * sizeof *y);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
  plr_tensor_matrix(&out, y, PLR_DTYPE_F32, ROWS, COLS);
  assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &e, NULL), PLR_OK);
  assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &d, NULL), PLR_OK);
  assert_int_equal(plr_decoder_begin(d, &out, NULL), PLR_OK);
  const uint64_t budget = ROWS * COLS * 3 / 8;
  uint8_t *piece = malloc(plr_encoder_bound(e));
  const int64_t calls = a.calls;
  size_t total = 0, used, len;
  uint32_t left, rows = 0, round = 0;
  for (; round < 3; round++) {
    plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
    assert_int_equal(plr_encoder_set_budget(e, round ? budget : 0), PLR_OK);
    assert_int_equal(plr_encoder_begin(e, &info, &t), PLR_OK);
    assert_int_equal(plr_decoder_begin(d, &out, NULL), PLR_OK);
    total = 0;
    do {
      assert_int_equal(plr_encoder_next(e, piece, plr_encoder_bound(e), &len, &left), PLR_OK);
      assert_int_equal(plr_decoder_feed(d, piece, len, &used, &rows, NULL, NULL), PLR_OK);
      assert_int_equal(used, len);
      assert_int_equal(rows, ROWS - left);
      total += len;
    } while (left);
    if (round) assert_true(total <= budget && total > budget * 97 / 100);
  }
  assert_int_equal(a.calls, calls);
  plr_encoder_stats stats = {.struct_size = sizeof stats};
  assert_int_equal(plr_encoder_get_stats(e, &stats), PLR_OK);
  assert_int_equal(stats.frames, 3);
  assert_true(stats.noise_power > 0 && stats.noise_power < 0.1 * stats.signal_power);
  assert_int_equal(plr_decoder_feed(d, piece, 1, &used, &rows, NULL, NULL), PLR_ERR_INVALID_STATE);
  free(x), free(y), free(piece);
  plr_encoder_destroy(e);
  plr_decoder_destroy(d);
  plr_context_destroy(ctx);
  assert_int_equal(a.live, 0);
}

/* No flipped bit passes, no piece is taken for the whole, and lengths are bounded before they are believed. */
static void test_damage(void **state) {
  (void)state;
  enum { ROWS = 5, COLS = 9 };
  plr_context *ctx = context(NULL);
  float *x = test_floats(4, ROWS * COLS), y[ROWS * COLS];
  plr_tensor t, out;
  uint64_t seed = 9;
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
  plr_tensor_matrix(&out, y, PLR_DTYPE_F32, ROWS, COLS);
  static const char *const names[] = {"int4", "uniform6", "bf16+split", "raw+zstd"};
  for (size_t i = 0; i < PLR_COUNT_OF(names); i++) {
    plr_codec c = test_codec(names[i], 32);
    plr_encoder *e;
    plr_decoder *d;
    plr_error err = {0};
    size_t pieces, used;
    uint32_t rows;
    assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &e, NULL), PLR_OK);
    assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &d, NULL), PLR_OK);
    test_frame f = stream(e, &t, &pieces);
    for (size_t bit = 0; bit < f.len * 8; bit++) {
      f.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
      plr_status st = feed(d, &f, 0, 40, &out, &seed, &err);
      if (st == PLR_OK) fail_msg("%s: bit %zu", names[i], bit);
      f.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < f.len; cut++) {
      test_frame part = {f.data, cut};
      plr_status st = feed(d, &part, 0, 40, &out, &seed, &err);
      if (st != PLR_ERR_TRUNCATED)
        fail_msg("%s: cut to %zu of %zu: %d %s: %s", names[i], cut, f.len, st, err.where,
                 err.message);
    }
    assert_int_equal(feed(d, &f, 0, 40, &out, &seed, &err), PLR_OK);
    /* A chunk that says it is longer than any can be is refused at once, not waited for. */
    plr__store_le32(f.data + 64, 1 << 30);
    assert_int_equal(plr_decoder_begin(d, &out, NULL), PLR_OK);
    assert_int_equal(plr_decoder_feed(d, f.data, 84, &used, &rows, NULL, &err), PLR_ERR_LIMIT);
    assert_int_equal(err.offset, 64);
    assert_int_equal(plr_decoder_feed(d, f.data, 84, &used, &rows, NULL, &err),
                     PLR_ERR_INVALID_STATE);
    free(f.data);
    plr_encoder_destroy(e);
    plr_decoder_destroy(d);
  }
  free(x);
  plr_context_destroy(ctx);
}

/* A frame that leaves its length open may not grow past what the context takes; nor may one that says its length. */
static void test_limits(void **state) {
  (void)state;
  enum { ROWS = 4000, COLS = 64 };
  plr_context *ctx = context(NULL);
  plr_context_options o = test_options(NULL);
  o.max_frame = 60000;
  plr_context *small = test_context(&o);
  float *x = test_floats(5, ROWS * COLS);
  plr_tensor t;
  plr_error err = {0};
  uint64_t seed = 10;
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
  static const char *const names[] = {"int4", "uniform4"};
  for (size_t i = 0; i < PLR_COUNT_OF(names); i++) {
    plr_codec c = test_codec(names[i], 32);
    plr_encoder *e;
    plr_decoder *d;
    size_t pieces;
    assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &e, NULL), PLR_OK);
    assert_int_equal(plr_decoder_create(small, ROWS, COLS, &d, NULL), PLR_OK);
    test_frame f = stream(e, &t, &pieces);
    assert_int_equal(feed(d, &f, 0, 5000, &t, &seed, &err), PLR_ERR_LIMIT);
    plr_tensor other;
    plr_tensor_matrix(&other, x, PLR_DTYPE_F32, ROWS - 1, COLS);
    assert_int_equal(plr_decoder_begin(d, &other, NULL), PLR_OK);
    free(f.data);
    plr_encoder_destroy(e);
    plr_decoder_destroy(d);
  }
  free(x);
  plr_context_destroy(small);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_as_whole),
      cmocka_unit_test(test_overlap),
      cmocka_unit_test(test_damage),
      cmocka_unit_test(test_limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
