/* Frames: what a header says, tokens and control, and that no damaged frame passes. */
#include "exchange_test.h"

static plr_context *context(void) {
  plr_context_options o = test_options(NULL);
  return test_context(&o);
}

/* Decodes as the role says; every frame a test makes fits 64 x 4096. */
static plr_status decode_any(plr_context *ctx, const void *frame, size_t len, plr_error *err) {
  static float values[64 * 4096];
  static int32_t ids[64 * 4096];
  plr_frame_info info = {.struct_size = sizeof info};
  const uint8_t *payload;
  uint32_t payload_len;
  PLR_TRY(plr_frame_parse(ctx, frame, len, &info, err));
  if (info.role == PLR_ROLE_TOKENS)
    return plr_tokens_decode(ctx, frame, len, ids, 64 * 4096, NULL, err);
  if (info.role == PLR_ROLE_CONTROL)
    return plr_control_decode(ctx, frame, len, &payload, &payload_len, NULL, err);
  if (info.rows > 64 || info.cols > 4096) return PLR_ERR_LIMIT;
  return test_decode(ctx, frame, len, values, info.rows, info.cols, err);
}

/* Every single flipped bit of a small frame of every codec is refused: CRC-32C finds each of them. */
static void refuse_every_flip(plr_context *ctx, uint8_t *frame, size_t len) {
  assert_int_equal(decode_any(ctx, frame, len, NULL), PLR_OK);
  for (size_t bit = 0; bit < len * 8; bit++) {
    frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    plr_error err = {0};
    plr_status st = decode_any(ctx, frame, len, &err);
    if (st >= PLR_OK || err.status != st || !err.where[0] || !err.message[0])
      fail_msg("bit %zu of %zu: %s, %s: %s", bit, len * 8, plr_status_name(st), err.where,
               err.message);
    frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  for (size_t cut = 0; cut < len; cut++) {
    plr_status st = decode_any(ctx, frame, cut, NULL);
    assert_int_equal(st, PLR_ERR_TRUNCATED);
  }
}

static void test_every_bit_flip(void **state) {
  (void)state;
  plr_context *ctx = context();
  float *x = test_floats(1, 5 * 9);
  for (size_t i = 0; i < PLR_COUNT_OF(test_codec_names); i++) {
    plr_codec c = test_codec(test_codec_names[i], 32);
    test_frame f = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, 5, 9);
    refuse_every_flip(ctx, f.data, f.len);
    free(f.data);
  }
  int32_t ids[64];
  uint8_t frame[256];
  for (size_t i = 0; i < 64; i++) ids[i] = (int32_t)(i % 3);
  plr_frame_info info = test_info(0);
  size_t len = sizeof frame;
  assert_int_equal(plr_tokens_encode(ctx, &info, ids, 4, 16, 50257, frame, &len), PLR_OK);
  refuse_every_flip(ctx, frame, len);
  len = sizeof frame;
  assert_int_equal(plr_control_encode(&info, "stop at step 7", 14, frame, &len), PLR_OK);
  refuse_every_flip(ctx, frame, len);
  free(x);
  plr_context_destroy(ctx);
}

static void test_tokens(void **state) {
  (void)state;
  plr_context *ctx = context();
  static const uint32_t vocabs[] = {1, 2, 3, 65, 256, 257, 50257, 65536, 65537, 1 << 24, INT32_MAX};
  uint64_t seed = 4;
  for (size_t v = 0; v < PLR_COUNT_OF(vocabs); v++) {
    for (uint32_t rows = 1; rows < 2000; rows += rows < 3 ? 1 : 700) {
      const uint32_t cols = rows > 1000 ? 65 : 1 + (uint32_t)(test_random(&seed) % 130);
      const size_t n = (size_t)rows * cols;
      int32_t *ids = malloc(n * sizeof *ids), *back = malloc(n * sizeof *back);
      const uint32_t spread =
          v % 2 && vocabs[v] > 4 ? 4 : vocabs[v]; /* some compress, some do not */
      for (size_t i = 0; i < n; i++) ids[i] = (int32_t)(test_random(&seed) % spread);
      ids[n / 2] = (int32_t)(vocabs[v] - 1);
      size_t need = 0, len;
      plr_frame_info info = test_info(0), got = {0};
      assert_int_equal(plr_tokens_encode(ctx, &info, ids, rows, cols, vocabs[v], &need, &need),
                       PLR_ERR_BUFFER_TOO_SMALL);
      uint8_t *frame = malloc(need);
      len = need;
      assert_int_equal(plr_tokens_encode(ctx, &info, ids, rows, cols, vocabs[v], frame, &len),
                       PLR_OK);
      assert_true(len <= need);
      if (v % 2 && vocabs[v] > 255 && n > 1000) assert_true(len < 72 + 20 * 3 + n);
      assert_int_equal(plr_tokens_decode(ctx, frame, len, back, n, &got, NULL), PLR_OK);
      assert_memory_equal(ids, back, n * sizeof *ids);
      assert_int_equal(got.vocab, vocabs[v]);
      assert_int_equal(got.rows, rows);
      assert_int_equal(got.cols, cols);
      assert_int_equal(got.role, PLR_ROLE_TOKENS);
      assert_int_equal(got.step, info.step);
      assert_int_equal(plr_tokens_decode(ctx, frame, len, back, n - 1, &got, NULL),
                       PLR_ERR_BUFFER_TOO_SMALL);
      free(ids), free(back), free(frame);
    }
  }
  int32_t ids[4] = {0, 1, 2, 3};
  uint8_t frame[256];
  size_t len = sizeof frame;
  plr_frame_info info = test_info(0);
  assert_int_equal(plr_tokens_encode(ctx, &info, ids, 2, 2, 3, frame, &len),
                   PLR_ERR_INVALID_ARGUMENT);
  ids[3] = -1;
  assert_int_equal(plr_tokens_encode(ctx, &info, ids, 2, 2, 256, frame, &len),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_tokens_encode(ctx, &info, ids, 0, 2, 256, frame, &len),
                   PLR_ERR_INVALID_ARGUMENT);
  plr_context_destroy(ctx);
}

typedef struct shared_call {
  plr_context *ctx;
  uint32_t wrong[64];
} shared_call;

static void encode_and_decode(void *arg, uint32_t index) {
  shared_call *c = arg;
  int32_t ids[500], back[500];
  uint8_t frame[2048];
  plr_frame_info info = test_info(0);
  for (int32_t i = 0; i < 500; i++) ids[i] = (i * (int32_t)index) % 19;
  for (int round = 0; round < 20; round++) {
    size_t len = sizeof frame;
    memset(back, 0xff, sizeof back);
    c->wrong[index] |= plr_tokens_encode(c->ctx, &info, ids, 5, 100, 256, frame, &len) != PLR_OK ||
                       plr_tokens_decode(c->ctx, frame, len, back, 500, NULL, NULL) != PLR_OK ||
                       memcmp(ids, back, sizeof ids) != 0;
  }
}

/* A context is shared by threads: its scratch goes to one of them at a time. */
static void test_tokens_on_threads(void **state) {
  (void)state;
  plr_context_options o = test_options(NULL);
  o.threads = 4;
  shared_call c = {test_context(&o), {0}};
  plr__parallel_for(c.ctx, 64, encode_and_decode, &c);
  for (int i = 0; i < 64; i++) assert_int_equal(c.wrong[i], 0);
  plr_context_destroy(c.ctx);
}

static void test_control(void **state) {
  (void)state;
  plr_context *ctx = context();
  plr_frame_info info = test_info(0), got = {0};
  uint8_t payload[3000], frame[4000];
  uint64_t seed = 8;
  for (size_t i = 0; i < sizeof payload; i++) payload[i] = (uint8_t)test_random(&seed);
  for (uint32_t n = 0; n <= sizeof payload; n += n < 4 ? 1 : 999) {
    size_t len = PLR_FRAME_HEADER + PLR_CHUNK_HEADER + n - 1;
    assert_int_equal(plr_control_encode(&info, payload, n, frame, &len), PLR_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(len, PLR_FRAME_HEADER + PLR_CHUNK_HEADER + n);
    assert_int_equal(plr_control_encode(&info, payload, n, frame, &len), PLR_OK);
    const uint8_t *back;
    uint32_t back_len;
    assert_int_equal(plr_control_decode(ctx, frame, len, &back, &back_len, &got, NULL), PLR_OK);
    assert_int_equal(back_len, n);
    assert_memory_equal(back, payload, n);
    assert_ptr_equal(back, frame + 84);
    assert_int_equal(got.role, PLR_ROLE_CONTROL);
    assert_int_equal(got.cols, n);
    assert_int_equal(got.micro_batch, 5);
  }
  plr_context_destroy(ctx);
}

/* A decoder of another role or shape refuses, and says so. */
static void test_wrong_use(void **state) {
  (void)state;
  plr_context *ctx = context();
  float x[32] = {0}, y[64];
  int32_t ids[32];
  const uint8_t *payload;
  uint32_t payload_len;
  plr_error err = {0};
  plr_codec c = test_codec("bf16", 0);
  test_frame f = test_encode(ctx, &c, PLR_ROLE_STATE, x, 4, 8);
  assert_int_equal(plr_tokens_decode(ctx, f.data, f.len, ids, 32, NULL, &err), PLR_ERR_MALFORMED);
  assert_int_equal(plr_control_decode(ctx, f.data, f.len, &payload, &payload_len, NULL, &err),
                   PLR_ERR_MALFORMED);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, 8, 4, &err), PLR_ERR_LIMIT);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, 8, 8, &err), PLR_ERR_SHAPE);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, 4, 8, &err), PLR_OK);
  free(f.data);
  uint8_t frame[256];
  size_t len = sizeof frame;
  plr_frame_info info = test_info(0);
  assert_int_equal(plr_control_encode(&info, "x", 1, frame, &len), PLR_OK);
  assert_int_equal(test_decode(ctx, frame, len, y, 1, 1, &err), PLR_ERR_MALFORMED);
  plr_context_destroy(ctx);
  plr_context_options o = test_options(NULL);
  o.max_frame = 84;
  ctx = test_context(&o);
  assert_int_equal(plr_frame_parse(ctx, frame, len, &info, &err), PLR_ERR_LIMIT);
  assert_string_equal(err.message, "85 bytes, the limit is 84");
  plr_context_destroy(ctx);
}

/* Inserts an extension after the header and makes lengths and checksums right again. */
static size_t extend(uint8_t *out, const test_frame *f, uint16_t type, const void *value,
                     uint16_t len) {
  const size_t padded = (len + 3u) & ~3u, more = 4 + padded;
  memcpy(out, f->data, 64);
  memset(out + 64, 0, more);
  plr__store_le16(out + 64, type);
  plr__store_le16(out + 66, len);
  memcpy(out + 68, value, len);
  memcpy(out + 64 + more, f->data + 64, f->len - 64);
  plr__store_le16(out + 6, (uint16_t)(64 + more));
  test_fix_frame(out, f->len + more);
  return f->len + more;
}

static void test_extensions(void **state) {
  (void)state;
  plr_context *ctx = context();
  float x[32] = {1, 2, 3}, y[32];
  uint8_t out[512];
  plr_error err = {0};
  plr_codec c = test_codec("raw", 0);
  test_frame f = test_encode(ctx, &c, PLR_ROLE_STATE, x, 4, 8);
  for (uint16_t n = 0; n < 9; n++) {
    size_t len = extend(out, &f, 0x0007, "abcdefgh", n);
    assert_int_equal(test_decode(ctx, out, len, y, 4, 8, &err), PLR_OK);
    assert_memory_equal(x, y, sizeof x);
    len = extend(out, &f, 0x8007, "abcdefgh", n);
    assert_int_equal(test_decode(ctx, out, len, y, 4, 8, &err), PLR_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "critical type 0x8007 is not known");
    assert_int_equal(err.offset, 64);
  }
  /* A later minor version is read. */
  f.data[5] = 9;
  test_fix_frame(f.data, f.len);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, 4, 8, &err), PLR_OK);
  free(f.data);
  plr_context_destroy(ctx);
}

/* Chunks of any partition decode: another encoder may cut finer than ours. */
static void test_other_partition(void **state) {
  (void)state;
  plr_context *ctx = context();
  enum { ROWS = 6, COLS = 10 };
  float *x = test_floats(2, ROWS * COLS), y[ROWS * COLS];
  plr_codec c = test_codec("raw", 0);
  test_frame f = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, ROWS, COLS);
  uint8_t out[1024];
  static const uint32_t rows[] = {1, 3, 2};
  memcpy(out, f.data, 64);
  uint8_t *at = out + 64;
  uint32_t first = 0;
  for (size_t i = 0; i < 3; i++) {
    uint32_t len = rows[i] * COLS * 4;
    memcpy(at + PLR_CHUNK_HEADER, x + first * COLS, len);
    plr__chunk chunk = {at + PLR_CHUNK_HEADER, len, first, rows[i], 0};
    plr__chunk_write_header(at, &chunk);
    at += PLR_CHUNK_HEADER + len;
    first += rows[i];
  }
  plr__store_le32(out + 52, (uint32_t)(at - out - 64));
  plr__store_le16(out + 56, 3);
  test_fix_frame(out, (size_t)(at - out));
  assert_int_equal(test_decode(ctx, out, (size_t)(at - out), y, ROWS, COLS, NULL), PLR_OK);
  assert_memory_equal(x, y, sizeof y);
  free(x), free(f.data);
  plr_context_destroy(ctx);
}

static void test_hash(void **state) {
  (void)state;
  plr_hash h = plr__frame_hash("abc", 3); /* FIPS 180-4 example */
  assert_hash(&h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_bit_flip),    cmocka_unit_test(test_tokens),
      cmocka_unit_test(test_tokens_on_threads), cmocka_unit_test(test_control),
      cmocka_unit_test(test_wrong_use),         cmocka_unit_test(test_extensions),
      cmocka_unit_test(test_other_partition),   cmocka_unit_test(test_hash),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
