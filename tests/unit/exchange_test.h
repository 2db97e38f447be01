/* What the tests of exchange share: numbers that are the same everywhere, and frames in one call. */
#ifndef PLR_TEST_EXCHANGE_TEST_H
#define PLR_TEST_EXCHANGE_TEST_H

#include <math.h>
#include <stdio.h>

#include "base_test.h"

#include "exchange/exchange_int.h"
#include "frame_fix.h"
#include "tensor/tensor.h"

/* SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t test_random(uint64_t *state) {
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

/* About normal (the sum of four 16-bit parts), exact in binary32: no libm, so golden files can use it. */
static inline float test_value(uint64_t *state) {
  uint64_t r = test_random(state);
  int32_t sum = (int32_t)(r & 0xffff) + (int32_t)(r >> 16 & 0xffff) + (int32_t)(r >> 32 & 0xffff) +
                (int32_t)(r >> 48) - 131070;
  return (float)sum * (1.0f / 32768.0f);
}

static inline float test_normal(uint64_t *state) {
  double u = ((double)(test_random(state) >> 11) + 0.5) * 0x1p-53;
  double v = ((double)(test_random(state) >> 11) + 0.5) * 0x1p-53;
  return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

static inline float *test_floats(uint64_t seed, size_t n) {
  float *x = malloc(n * sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) x[i] = test_value(&seed);
  return x;
}

static inline plr_codec test_codec(const char *name, uint16_t group) {
  plr_codec c;
  assert_int_equal(plr_codec_from_name(name, &c), PLR_OK);
  if (c.quant == PLR_QUANT_BLOCK_INT) c.group = group;
  return c;
}

static const char *const test_codec_names[] = {
    "raw",      "bf16",           "int8",    "int4",         "raw+zstd", "bf16+zstd", "int8+zstd",
    "int4+zstd", "uniform5+token", "uniform6", "dither5",      "trellis5", "trellis4+token",
    "raw+split", "bf16+split", "fp16", "fp16+zstd", "fp16+split",
    "int5", "topk", "eden3", "eden4", "eden4+g128", "mask20", "mask3+bf16", "mask1+int4",
    "int6+zstd", "int7", "int6+g64+hadamard", "uniform6+hadamard+token",
    "int4+histogram", "int6+dct", "uniform6+dct", "int6+sample", "uniform6+anchor"};

static inline plr_frame_info test_info(uint32_t role) {
  plr_frame_info info;
  memset(&info, 0, sizeof info);
  info.struct_size = (uint32_t)sizeof info;
  info.role = role;
  info.stream = 3, info.step = 70000, info.micro_batch = 5,
  info.seed = UINT64_C(0x0123456789abcdef);
  return info;
}

/* What codecs need to be given: a store; keys (a sample a frame, a token a row); a basis of a third of the columns. */
static inline plr_status test_make_basis(plr_tensor *basis, uint32_t cols) {
  static float u[512 * 512];
  uint64_t seed = cols;
  if (cols > 512) return PLR_ERR_LIMIT;
  for (uint32_t i = 0; i < cols * ((cols + 2) / 3); i++) u[i] = test_value(&seed) * 0.1f;
  plr_tensor_matrix(basis, u, PLR_DTYPE_F32, cols, (cols + 2) / 3);
  return PLR_OK;
}

/* Before each frame but the first. */
static inline void test_set_keys(plr_encoder *e, const plr_codec *c, uint32_t rows) {
  if (!c->predict) return;
  uint64_t *keys = malloc(rows * sizeof *keys);
  for (uint32_t i = 0; i < rows; i++) keys[i] = i % 7 + 3;
  const uint32_t count = c->predict == PLR_PREDICT_ANCHOR ? rows : 1;
  assert_int_equal(plr_encoder_set_keys(e, keys, count), PLR_OK);
  free(keys);
}

static inline void test_ready_encoder(plr_encoder *e, const plr_codec *c, uint32_t rows,
                                      uint32_t cols) {
  plr_tensor basis;
  if (c->transform == PLR_TRANSFORM_BASIS && test_make_basis(&basis, cols) == PLR_OK)
    assert_int_equal(plr_encoder_set_basis(e, &basis, 7, NULL), PLR_OK);
  if (!c->predict) return;
  assert_int_equal(plr_encoder_set_store(e, 5, c->predict == PLR_PREDICT_ANCHOR ? 1 : rows), PLR_OK);
  test_set_keys(e, c, rows);
}

static inline void test_ready_decoder(plr_decoder *d, uint32_t rows, uint32_t cols) {
  plr_tensor basis;
  if (test_make_basis(&basis, cols) == PLR_OK)
    assert_int_equal(plr_decoder_set_basis(d, &basis, 7, NULL), PLR_OK);
  assert_int_equal(plr_decoder_set_store(d, 5, rows), PLR_OK);
}

typedef struct test_frame {
  uint8_t *data;
  size_t len;
} test_frame;

/* Encodes rows x cols contiguous values; the frame is freed with free(). */
static inline test_frame test_encode(plr_context *ctx, const plr_codec *c, uint32_t role,
                                     const float *x, uint32_t rows, uint32_t cols) {
  plr_encoder *e;
  plr_error err = {0};
  plr_tensor t;
  test_frame f;
  plr_frame_info info = test_info(role);
  if (plr_encoder_create(ctx, c, rows, cols, &e, &err) != PLR_OK) fail_msg("%s", err.message);
  test_ready_encoder(e, c, rows, cols);
  size_t cap = plr_encoder_bound(e);
  f.data = malloc(cap);
  assert_non_null(f.data);
  plr_tensor_matrix(&t, (void *)(uintptr_t)x, PLR_DTYPE_F32, rows, cols);
  assert_int_equal(plr_encoder_encode(e, &info, &t, f.data, cap, &f.len), PLR_OK);
  assert_true(f.len <= cap);
  plr_encoder_destroy(e);
  return f;
}

static inline plr_status test_decode(plr_context *ctx, const void *frame, size_t len, float *y,
                                     uint32_t rows, uint32_t cols, plr_error *err) {
  plr_decoder *d;
  plr_tensor t;
  assert_int_equal(plr_decoder_create(ctx, rows, cols, &d, NULL), PLR_OK);
  if (len > 10 && (((const uint8_t *)frame)[8] || ((const uint8_t *)frame)[9] == PLR_TRANSFORM_BASIS))
    test_ready_decoder(d, rows, cols);
  plr_tensor_matrix(&t, y, PLR_DTYPE_F32, rows, cols);
  plr_status st = plr_decoder_decode(d, frame, len, &t, NULL, err);
  plr_decoder_destroy(d);
  return st;
}

#endif
