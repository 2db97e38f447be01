/* Every combination of predictor, transform, quantiser and entropy coder that exists, through encoders and
 * decoders of any strides and types; and none that does not exist. */
#include "exchange_test.h"

enum { MOST_ROWS = 130, COLS = 72 };

static plr_context *context(test_allocator *a) {
  plr_context_options o = test_options(a);
  return test_context(&o);
}

typedef void (*visitor)(plr_context *ctx, const plr_codec *c);

/* All fields that a codec may have, and one more of each. Returns how many exist. */
static uint32_t visit(plr_context *ctx, visitor seen) {
  uint32_t known = 0;
  for (uint32_t i = 0; i < 4 * 5 * 9 * 7; i++) {
    const uint8_t predict = (uint8_t)(i % 4), transform = (uint8_t)(i / 4 % 5);
    const uint8_t quant = (uint8_t)(i / 20 % 9), entropy = (uint8_t)(i / 180);
    static const struct {
      uint8_t dtype, bits;
      uint16_t group;
    } rests[] = {{PLR_DTYPE_F32, 0, 0},
                 {PLR_DTYPE_BF16, 0, 0},
                 {PLR_DTYPE_F32, 5, 64},
                 {PLR_DTYPE_F32, 6, PLR_STEP_GLOBAL},
                 {PLR_DTYPE_F32, 6, PLR_STEP_TOKEN},
                 {PLR_DTYPE_F32, 4, 0},
                 {PLR_DTYPE_F32, 2, 64},
                 {PLR_DTYPE_F32, 4, 128}};
    uint32_t any = 0;
    for (uint32_t k = 0; k < PLR_COUNT_OF(rests); k++) {
      const plr_codec c = {predict,        transform,     quant,         entropy,
                           rests[k].dtype, rests[k].bits, rests[k].group};
      if (plr__codec_check(&c, "test", NULL) == PLR_OK) {
        if (seen) seen(ctx, &c);
        any = 1;
        continue;
      }
      plr_encoder *e;
      plr_error err = {0};
      const plr_status st = plr_encoder_create(ctx, &c, 2, 2, &e, &err);
      assert_true(st == PLR_ERR_UNSUPPORTED || st == PLR_ERR_INVALID_ARGUMENT);
      assert_true(err.message[0]);
    }
    known += any;
  }
  return known;
}

/* rows x COLS of `dtype`, transposed or with gaps; NULL data for one of its own. */
typedef struct matrix {
  plr_tensor t;
  uint8_t data[4 * 2 * (MOST_ROWS + 1) * (COLS + 9)];
} matrix;

static void make(matrix *m, uint32_t dtype, uint32_t rows, uint32_t layout) {
  plr_tensor_matrix(&m->t, m->data, dtype, rows, COLS);
  if (layout == 1) m->t.strides[0] = COLS + 9;
  if (layout == 2) m->t.strides[0] = 1, m->t.strides[1] = MOST_ROWS + 1;
  if (layout == 3) m->t.strides[0] = 2 * COLS, m->t.strides[1] = 2;
}

static uint8_t *element(const matrix *m, size_t i) {
  const size_t at = i / COLS * (size_t)m->t.strides[0] + i % COLS * (size_t)m->t.strides[1];
  return (uint8_t *)m->t.data + at * plr_dtype_size(m->t.dtype);
}

static void put(matrix *m, size_t i, float v) {
  uint8_t *at = element(m, i);
  const uint16_t h = m->t.dtype == PLR_DTYPE_BF16 ? plr__f32_to_bf16(v) : plr__f32_to_f16(v);
  if (m->t.dtype == PLR_DTYPE_F32)
    memcpy(at, &v, 4);
  else
    memcpy(at, &h, 2);
}

static float get(const matrix *m, size_t i) {
  uint16_t h;
  float v;
  memcpy(&h, element(m, i), 2);
  memcpy(&v, element(m, i), m->t.dtype == PLR_DTYPE_F32 ? 4 : 2);
  if (m->t.dtype == PLR_DTYPE_F32) return v;
  return m->t.dtype == PLR_DTYPE_BF16 ? plr__bf16_to_f32(h) : plr__f16_to_f32(h);
}

/* Two frames, the second of which may build on the first; the second also in pieces. */
static void check(plr_context *ctx, const plr_codec *c, uint32_t rows, uint32_t dtype,
                  uint32_t layout) {
  static matrix x, y;
  plr_encoder *e;
  plr_decoder *d;
  plr_error err = {0};
  uint64_t seed = rows;
  const size_t n = (size_t)rows * COLS;
  assert_int_equal(plr_encoder_create(ctx, c, rows, COLS, &e, &err), PLR_OK);
  assert_int_equal(plr_decoder_create(ctx, rows, COLS, &d, &err), PLR_OK);
  test_ready_encoder(e, c, rows, COLS);
  test_ready_decoder(d, rows, COLS);
  const size_t cap = plr_encoder_bound(e);
  uint8_t *frame = malloc(cap);
  make(&x, dtype, rows, layout);
  make(&y, dtype == PLR_DTYPE_F32 ? PLR_DTYPE_F16 : PLR_DTYPE_F32, rows, (layout + 1) % 4);
  float *base = test_floats(7, n);
  for (uint32_t round = 0; round < 2; round++) {
    size_t len = 0;
    plr_frame_info info = test_info(PLR_ROLE_DELTA);
    double power = 0, error = 0;
    for (size_t i = 0; i < n; i++) put(&x, i, base[i] + 0.1f * test_value(&seed));
    if (round) test_set_keys(e, c, rows);
    if (round == 0) {
      assert_int_equal(plr_encoder_encode(e, &info, &x.t, frame, cap, &len), PLR_OK);
      assert_int_equal(plr_decoder_decode(d, frame, len, &y.t, &info, &err), PLR_OK);
    } else {
      uint32_t left = 1, done = 0;
      size_t used, piece;
      assert_int_equal(plr_encoder_begin(e, &info, &x.t), PLR_OK);
      assert_int_equal(plr_decoder_begin(d, &y.t, &err), PLR_OK);
      while (left) {
        assert_int_equal(plr_encoder_next(e, frame, cap, &piece, &left), PLR_OK);
        assert_int_equal(plr_decoder_feed(d, frame, piece, &used, &done, &info, &err), PLR_OK);
        assert_int_equal(done, rows - left);
        len += piece;
      }
    }
    assert_true(len <= cap);
    assert_memory_equal(&info.codec, c, sizeof *c);
    for (size_t i = 0; i < n; i++) {
      const double v = (double)get(&x, i), off = v - (double)get(&y, i);
      power += v * v, error += off * off;
    }
    /* A basis of random columns keeps little, and so does topk, which is not the point here. */
    const double db = c->transform == PLR_TRANSFORM_BASIS || c->quant == PLR_QUANT_TOPK ? -30
                      : c->bits == 2                                                    ? 4
                      : c->bits == 4                                                    ? 15
                                                                                        : 20;
    if (!(error * pow(10, db / 10) < power))
      fail_msg("%u %u %u %u, %u rows: %.1f dB", c->predict, c->transform, c->quant, c->entropy,
               rows, 10 * log10(power / error));
  }
  free(frame), free(base);
  plr_encoder_destroy(e);
  plr_decoder_destroy(d);
}

static void check_all(plr_context *ctx, const plr_codec *c) {
  static const uint32_t dtypes[] = {PLR_DTYPE_F32, PLR_DTYPE_BF16, PLR_DTYPE_F16};
  static uint32_t turn;
  for (uint32_t rows = 1; rows <= MOST_ROWS; rows += rows == 1 ? 2 : 127) {
    turn++;
    check(ctx, c, rows, dtypes[turn % 3], turn / 3 % 4);
  }
}

static void test_every_combination(void **state) {
  (void)state;
  test_allocator a;
  plr_context *ctx = context(&a);
  const uint32_t known = visit(ctx, check_all);
  /* raw: 3 entropy coders; integers: 3, uniform, dither and trellis: 1, each with 3 predictors and 4 transforms */
  assert_true(known >= 3 + 12 * (3 + 3));
  print_message("%u combinations of ids\n", known);
  plr_context_destroy(ctx);
  assert_int_equal(a.live, 0);
}

/* No rows or no columns are no tensor. */
static void none(plr_context *ctx, const plr_codec *c) {
  plr_encoder *e;
  plr_tensor t;
  float x[4] = {0};
  uint8_t frame[4000];
  size_t len;
  plr_frame_info info = test_info(PLR_ROLE_DELTA);
  assert_int_equal(plr_encoder_create(ctx, c, 0, 2, &e, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_encoder_create(ctx, c, 2, 2, &e, NULL), PLR_OK);
  test_ready_encoder(e, c, 2, 2);
  for (int64_t rows = 0; rows < 4; rows += 3) {
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, rows, rows ? 0 : 2);
    assert_int_equal(plr_encoder_encode(e, &info, &t, frame, sizeof frame, &len), PLR_ERR_SHAPE);
    assert_int_equal(plr_encoder_begin(e, &info, &t), PLR_ERR_SHAPE);
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, rows, 2);
    assert_int_equal(plr_encoder_encode(e, &info, &t, frame, sizeof frame, &len), PLR_ERR_SHAPE);
  }
  plr_encoder_destroy(e);
}

static void test_empty(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  visit(ctx, none);
  plr_context_destroy(ctx);
}

/* Each name has a codec that exists; options in any order give the same. */
static void test_names(void **state) {
  (void)state;
  static const char *const pairs[][2] = {{"int4+histogram+dct", "int4+dct+histogram"},
                                         {"uniform3+token+anchor", "uniform3+anchor+token"},
                                         {"int8+g64+sample+basis", "int8+basis+sample+g64"}};
  static const char *const wrong[] = {
      "raw+sample",   "bf16+dct",       "raw+histogram", "uniform+histogram",  "int4+sample+anchor",
      "int4+dct+dct", "int4+dct+basis", "anchor",        "int4+histogram+zstd"};
  plr_codec a, b;
  for (size_t i = 0; i < PLR_COUNT_OF(pairs); i++) {
    assert_int_equal(plr_codec_from_name(pairs[i][0], &a), PLR_OK);
    assert_int_equal(plr_codec_from_name(pairs[i][1], &b), PLR_OK);
    assert_memory_equal(&a, &b, sizeof a);
  }
  for (size_t i = 0; i < PLR_COUNT_OF(wrong); i++)
    assert_int_equal(plr_codec_from_name(wrong[i], &a), PLR_ERR_NOT_FOUND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_combination),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
