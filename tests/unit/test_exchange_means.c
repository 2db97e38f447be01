/* Means of channels: what they save, where they stay out, the same bytes everywhere, and what a peer may say about
 * them. */
#include "exchange_test.h"

#include "exchange/model.h"

enum { ROWS = 256, COLS = 96, N = ROWS * COLS };

static plr_context *context(uint32_t isa) {
  plr_context_options o = test_options(NULL);
  o.isa = isa;
  return test_context(&o);
}

/* Channels of spread 1/2 to 2, that far from 0 on average as `far` says. */
static void fill(float *x, float far, uint64_t seed) {
  float mean[COLS], scale[COLS];
  for (uint32_t c = 0; c < COLS; c++) {
    scale[c] = 0.5f + 0.25f * (float)(c % 7);
    mean[c] = far * scale[c] * test_normal(&seed);
  }
  for (uint32_t i = 0; i < N; i++) x[i] = mean[i % COLS] + scale[i % COLS] * test_normal(&seed);
}

static double error_of(const float *x, const float *y) {
  double sum = 0;
  for (uint32_t i = 0; i < N; i++) sum += pow((double)x[i] - (double)y[i], 2);
  return sum / N;
}

/* At the error of the same values without their means, their frame takes hardly more bytes. */
static void test_saves(void **state) {
  (void)state;
  static float x[N], y[N];
  plr_context *ctx = context(PLR_ISA_BEST);
  static const char *const names[] = {"uniform4", "uniform4+token", "dither4", "trellis4"};
  for (size_t k = 0; k < PLR_COUNT_OF(names); k++) {
    plr_codec c = test_codec(names[k], 0);
    double bits[2];
    for (int far = 0; far < 2; far++) {
      fill(x, far ? 3.0f : 0.0f, 5);
      test_frame f = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, ROWS, COLS);
      assert_int_equal(test_decode(ctx, f.data, f.len, y, ROWS, COLS, NULL), PLR_OK);
      /* bits at an error of 1 */
      bits[far] = 8.0 * (double)f.len / N + 0.5 * log2(error_of(x, y));
      const uint32_t flags = plr__load_le32(f.data + PLR_FRAME_HEADER + 12);
      assert_int_equal((flags & 0xffff) == PLR_CHUNK_MODEL && flags >> 16 != 0, far);
      free(f.data);
    }
    print_message("  %s: %.3f bits without, %.3f with means\n", names[k], bits[0], bits[1]);
    assert_true(bits[1] < bits[0] + 0.1);
  }
  plr_context_destroy(ctx);
}

/* Every instruction set, any strides and bf16, and budgets and floors, which are of the tensor with its means. */
static void test_the_same(void **state) {
  (void)state;
  static float x[N], y[N], apart[2 * N];
  plr_context *best = context(PLR_ISA_BEST), *plain = context(PLR_ISA_PORTABLE);
  static const char *const names[] = {"uniform3", "uniform5+token", "dither4", "trellis3",
                                      "trellis7"};
  for (size_t k = 0; k < PLR_COUNT_OF(names); k++) {
    plr_codec c = test_codec(names[k], 0);
    plr_encoder *e;
    plr_tensor t;
    plr_encoder_stats stats = {.struct_size = sizeof stats};
    plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
    fill(x, 2.0f, 40 + k);
    for (uint32_t i = 0; i < N; i++) apart[2 * i] = x[i];
    test_frame a = test_encode(best, &c, PLR_ROLE_ACTIVATION, x, ROWS, COLS);
    test_frame b = test_encode(plain, &c, PLR_ROLE_ACTIVATION, x, ROWS, COLS);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_int_equal(plr_encoder_create(best, &c, ROWS, COLS, &e, NULL), PLR_OK);
    const size_t cap = plr_encoder_bound(e);
    uint8_t *out = malloc(cap);
    size_t len;
    plr_tensor_matrix(&t, apart, PLR_DTYPE_F32, ROWS, COLS);
    t.strides[0] = 2 * COLS, t.strides[1] = 2;
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_OK);
    assert_int_equal(len, a.len);
    assert_memory_equal(out, a.data, len);
    assert_int_equal(test_decode(plain, out, len, y, ROWS, COLS, NULL), PLR_OK);
    double power = 0;
    for (uint32_t i = 0; i < N; i++) power += (double)x[i] * (double)x[i];
    assert_int_equal(plr_encoder_get_stats(e, &stats), PLR_OK);
    assert_true(fabs(stats.signal_power / power - 1) < 1e-9);
    assert_true(fabs(stats.noise_power / (error_of(x, y) * N) - 1) < 1e-3);
    assert_int_equal(plr_encoder_set_snr(e, 30, 29.5), PLR_OK);
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_OK);
    assert_int_equal(test_decode(best, out, len, y, ROWS, COLS, NULL), PLR_OK);
    const double db = 10 * log10(power / (error_of(x, y) * N));
    assert_true(db > 29.5 && db < 31);
    plr_encoder_destroy(e);
    free(a.data), free(b.data), free(out);
  }
  plr_context_destroy(best);
  plr_context_destroy(plain);
}

/* Means that are not worth their bits, and values that none can be taken of. */
static void test_stays_out(void **state) {
  (void)state;
  static float x[N];
  plr_context *ctx = context(PLR_ISA_BEST);
  plr_codec c = test_codec("uniform4", 0);
  fill(x, 3.0f, 9);
  test_frame few = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, 7, COLS);
  assert_true((plr__load_le32(few.data + PLR_FRAME_HEADER + 12) & 0xffff) != PLR_CHUNK_MODEL);
  for (uint32_t i = 0; i < N; i++) x[i] = (float)(i % COLS); /* without a spread */
  test_frame flat = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, ROWS, COLS);
  free(few.data), free(flat.data);
  plr_encoder *e;
  plr_tensor t;
  plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
  assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &e, NULL), PLR_OK);
  size_t cap = plr_encoder_bound(e), len;
  uint8_t *out = malloc(cap);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
  static const float bad[] = {INFINITY, -INFINITY, NAN, 3e38f};
  for (size_t k = 0; k < PLR_COUNT_OF(bad); k++) {
    x[777] = bad[k];
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_ERR_NON_FINITE);
  }
  free(out);
  plr_encoder_destroy(e);
  plr_context_destroy(ctx);
}

/* A frame with means, its first chunk changed and every checksum right. */
static void test_hostile(void **state) {
  (void)state;
  static float x[N], y[N];
  plr_context *ctx = context(PLR_ISA_BEST);
  plr_codec c = test_codec("trellis4", 0);
  fill(x, 3.0f, 5);
  test_frame f = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, ROWS, COLS);
  uint8_t *copy = malloc(f.len), *chunk = copy + PLR_FRAME_HEADER;
  static const uint32_t steps[] = {0, 1, PLR_STEP_BIAS + PLR_STEP_LEAST - 1,
                                   PLR_STEP_BIAS + PLR_STEP_MOST + 1, 65535};
  for (size_t k = 0; k < PLR_COUNT_OF(steps); k++) {
    memcpy(copy, f.data, f.len);
    plr__store_le32(chunk + 12, PLR_CHUNK_MODEL | steps[k] << 16);
    test_fix_frame(copy, f.len);
    assert_int_equal(test_decode(ctx, copy, f.len, y, ROWS, COLS, NULL), PLR_ERR_MALFORMED);
  }
  uint64_t seed = 3;
  const uint32_t len = plr__load_le32(f.data + PLR_FRAME_HEADER);
  for (int round = 0; round < 500; round++) { /* any bytes: a status, and the same one again */
    memcpy(copy, f.data, f.len);
    for (int i = 0; i < 3; i++)
      chunk[PLR_CHUNK_HEADER + test_random(&seed) % len] = (uint8_t)test_random(&seed);
    test_fix_frame(copy, f.len);
    const plr_status st = test_decode(ctx, copy, f.len, y, ROWS, COLS, NULL);
    assert_true(st == PLR_OK || st == PLR_ERR_MALFORMED);
  }
  free(copy), free(f.data);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_saves), cmocka_unit_test(test_the_same),
                                     cmocka_unit_test(test_stays_out),
                                     cmocka_unit_test(test_hostile)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
