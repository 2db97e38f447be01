/* Transforms: the cosine and a basis against naive products, bit for bit; and what they are good for. */
#include "exchange_test.h"

#include "exchange/transform.h"
#include "kernels/kernels.h"

static plr_context *context(uint32_t isa) {
  plr_context_options o = test_options(NULL);
  o.isa = isa;
  return test_context(&o);
}

static plr_frame_info info_of(uint32_t transform, uint32_t rows, uint32_t cols) {
  plr_frame_info info = test_info(PLR_ROLE_DELTA);
  info.codec.transform = (uint8_t)transform;
  info.rows = rows, info.cols = cols;
  return info;
}

/* Column i of row k of the matrix of n points, as FRAME.md says it. */
static float dct(uint32_t n, uint32_t k, uint32_t i) {
  double s, c;
  plr__sincos(0x1.921fb54442d18p+1 * ((double)((2 * i + 1) * k % (4 * n)) / (double)(2 * n)), &s,
              &c);
  assert_true(fabs(c - cos(3.14159265358979323846 * (2 * i + 1) * k / (2.0 * n))) < 1e-12);
  return (float)(sqrt((k ? 2.0 : 1.0) / (double)n) * c);
}

static uint32_t block(uint32_t at, uint32_t size) {
  const uint32_t first = at / 64 * 64;
  return size - first < 64 ? size - first : 64;
}

/* t = x D^T along columns, then y = D t along rows; back the other way round. */
static void naive_dct(const float *x, uint32_t rows, uint32_t cols, float *y) {
  float *t = malloc((size_t)rows * cols * sizeof *t);
  for (uint32_t r = 0; r < rows; r++)
    for (uint32_t c = 0; c < cols; c++) {
      const uint32_t n = block(c, cols), first = c / 64 * 64;
      float sum = 0;
      for (uint32_t i = 0; i < n; i++)
        sum = fmaf(x[(size_t)r * cols + first + i], dct(n, c - first, i), sum);
      t[(size_t)r * cols + c] = sum;
    }
  for (uint32_t r = 0; r < rows; r++)
    for (uint32_t c = 0; c < cols; c++) {
      const uint32_t m = block(r, rows), first = r / 64 * 64;
      float sum = 0;
      for (uint32_t i = 0; i < m; i++)
        sum = fmaf(dct(m, r - first, i), t[(size_t)(first + i) * cols + c], sum);
      y[(size_t)r * cols + c] = sum;
    }
  free(t);
}

static void naive_inverse(const float *y, uint32_t rows, uint32_t cols, float *x) {
  float *t = malloc((size_t)rows * cols * sizeof *t);
  for (uint32_t r = 0; r < rows; r++)
    for (uint32_t c = 0; c < cols; c++) {
      const uint32_t m = block(r, rows), first = r / 64 * 64;
      float sum = 0;
      for (uint32_t k = 0; k < m; k++)
        sum = fmaf(dct(m, k, r - first), y[(size_t)(first + k) * cols + c], sum);
      t[(size_t)r * cols + c] = sum;
    }
  for (uint32_t r = 0; r < rows; r++)
    for (uint32_t c = 0; c < cols; c++) {
      const uint32_t n = block(c, cols), first = c / 64 * 64;
      float sum = 0;
      for (uint32_t k = 0; k < n; k++)
        sum = fmaf(t[(size_t)r * cols + first + k], dct(n, k, c - first), sum);
      x[(size_t)r * cols + c] = sum;
    }
  free(t);
}

static void test_cosine_is_the_naive_one(void **state) {
  (void)state;
  static const uint32_t shapes[][2] = {{1, 1}, {3, 70}, {64, 64}, {65, 129}, {130, 5}};
  static const uint32_t isas[] = {PLR_ISA_PORTABLE, PLR_ISA_BEST};
  for (size_t k = 0; k < 2; k++) {
    plr_context *ctx = context(isas[k]);
    plr__transform t;
    assert_int_equal(plr__transform_create(&t, ctx, PLR_TRANSFORM_DCT, PLR_TRANSFORM_DCT, 200),
                     PLR_OK);
    for (size_t s = 0; s < PLR_COUNT_OF(shapes); s++) {
      const uint32_t rows = shapes[s][0], cols = shapes[s][1];
      const size_t n = (size_t)rows * cols;
      plr_frame_info info = info_of(PLR_TRANSFORM_DCT, rows, cols);
      float *x = test_floats(s, n), *y = malloc(n * sizeof *y), *want = malloc(n * sizeof *y);
      float *other = malloc(n * sizeof *y);
      memcpy(y, x, n * sizeof *y);
      naive_dct(x, rows, cols, want);
      assert_int_equal(plr__transform_forward(&t, &info, 0, rows, y, other), PLR_OK);
      assert_memory_equal(y, want, n * sizeof *y);
      naive_inverse(y, rows, cols, want);
      assert_int_equal(plr__transform_inverse(&t, &info, 0, rows, y, other), PLR_OK);
      assert_memory_equal(y, want, n * sizeof *y);
      for (size_t i = 0; i < n; i++) assert_true(fabsf(x[i] - y[i]) < 1e-5f);
      free(x), free(y), free(want), free(other);
    }
    plr__transform_release(&t);
    plr_context_destroy(ctx);
  }
}

static double error_of(plr_context *ctx, const char *name, const float *x, uint32_t rows,
                       uint32_t cols, size_t *len) {
  const size_t n = (size_t)rows * cols;
  float *y = malloc(n * sizeof *y);
  double e = 0;
  plr_codec c = test_codec(name, 32);
  test_frame f = test_encode(ctx, &c, PLR_ROLE_DELTA, x, rows, cols);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, rows, cols, NULL), PLR_OK);
  for (size_t i = 0; i < n; i++) e += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
  *len = f.len;
  free(y), free(f.data);
  return e;
}

/* Where neighbours resemble each other the same bits give a much smaller error. */
static void test_cosine_gain(void **state) {
  (void)state;
  enum { ROWS = 300, COLS = 200 };
  plr_context *ctx = context(PLR_ISA_BEST);
  float *x = malloc(ROWS * COLS * sizeof *x);
  uint64_t seed = 4;
  for (size_t i = 0; i < ROWS * COLS; i++)
    x[i] = sinf((float)(i / COLS) * 0.11f) * cosf((float)(i % COLS) * 0.07f) +
           0.05f * test_value(&seed);
  size_t with, without;
  const double e = error_of(ctx, "uniform4+dct", x, ROWS, COLS, &with);
  const double f = error_of(ctx, "uniform4", x, ROWS, COLS, &without);
  assert_true(e * 4 < f && with < without * 1.05);
  free(x);
  plr_context_destroy(ctx);
}

/* ---- basis --------------------------------------------------------------------------------------- */

enum { D = 48, RANK = 6, ROWS = 70 };

/* Gram-Schmidt, so that columns are orthonormal. */
static float *make_basis(uint64_t seed) {
  float *u = test_floats(seed, D * RANK);
  for (uint32_t j = 0; j < RANK; j++) {
    for (uint32_t i = 0; i <= j; i++) {
      double dot = 0;
      for (uint32_t r = 0; r < D; r++) dot += (double)u[r * RANK + i] * (double)u[r * RANK + j];
      for (uint32_t r = 0; r < D; r++)
        u[r * RANK + j] = i < j ? u[r * RANK + j] - (float)dot * u[r * RANK + i]
                                : u[r * RANK + j] / (float)sqrt(dot);
    }
  }
  return u;
}

static void test_basis(void **state) {
  (void)state;
  static const char *const names[] = {"int8+basis", "uniform8+basis", "int8+basis+anchor", "bf16"};
  plr_context *ctx = context(PLR_ISA_BEST);
  float *u = make_basis(3), *x = calloc(ROWS * D, sizeof *x), *y = malloc(ROWS * D * sizeof *y);
  uint64_t seed = 8, keys[ROWS] = {0};
  plr_tensor basis, t, out;
  plr_error err = {0};
  plr_tensor_matrix(&basis, u, PLR_DTYPE_F32, D, RANK);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, D);
  plr_tensor_matrix(&out, y, PLR_DTYPE_F32, ROWS, D);
  for (uint32_t r = 0; r < ROWS; r++)
    for (uint32_t j = 0; j < RANK; j++) {
      const float z = test_value(&seed);
      for (uint32_t c = 0; c < D; c++) x[r * D + c] += z * u[c * RANK + j];
    }
  for (size_t i = 0; i < PLR_COUNT_OF(names); i++) {
    plr_codec c = test_codec(names[i], 32);
    plr_encoder *e;
    plr_decoder *d;
    size_t len;
    plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
    assert_int_equal(plr_encoder_create(ctx, &c, ROWS, D, &e, NULL), PLR_OK);
    assert_int_equal(plr_decoder_create(ctx, ROWS, D, &d, NULL), PLR_OK);
    uint8_t *frame = malloc(plr_encoder_bound(e));
    const size_t cap = plr_encoder_bound(e);
    if (c.transform != PLR_TRANSFORM_BASIS) {
      assert_int_equal(plr_encoder_set_basis(e, &basis, 7, &err), PLR_ERR_UNSUPPORTED);
    } else {
      if (c.predict) {
        assert_int_equal(plr_encoder_set_store(e, 4, 1), PLR_OK);
        assert_int_equal(plr_decoder_set_store(d, 4, 1), PLR_OK);
        assert_int_equal(plr_encoder_set_keys(e, keys, ROWS), PLR_OK);
      }
      assert_int_equal(plr_encoder_encode(e, &info, &t, frame, cap, &len), PLR_ERR_INVALID_STATE);
      assert_int_equal(plr_encoder_set_basis(e, &basis, 7, &err), PLR_OK);
      assert_int_equal(plr_encoder_encode(e, &info, &t, frame, cap, &len), PLR_OK);
      if (!c.predict) assert_true(len < ROWS * RANK * 9 / 8 + 300);
      assert_int_equal(plr_decoder_decode(d, frame, len, &out, NULL, &err), PLR_ERR_MISMATCH);
      assert_non_null(strstr(err.message, "generation 7"));
      assert_int_equal(plr_decoder_set_basis(d, &basis, 6, &err), PLR_OK);
      assert_int_equal(plr_decoder_decode(d, frame, len, &out, NULL, &err), PLR_ERR_MISMATCH);
      assert_string_equal(err.message, "basis of generation 7; the decoder has that of 6");
      basis.shape[1] = RANK - 1, basis.strides[0] = RANK;
      assert_int_equal(plr_decoder_set_basis(d, &basis, 7, &err), PLR_OK);
      assert_int_equal(plr_decoder_decode(d, frame, len, &out, NULL, &err), PLR_ERR_MISMATCH);
      basis.shape[1] = RANK;
      assert_int_equal(plr_decoder_set_basis(d, &basis, 7, &err), PLR_OK);
      assert_int_equal(plr_decoder_decode(d, frame, len, &out, &info, &err), PLR_OK);
      assert_int_equal(info.generation, 7);
      for (size_t j = 0; j < ROWS * D; j++) assert_true(fabsf(x[j] - y[j]) < 0.05f);
    }
    free(frame);
    plr_encoder_destroy(e);
    plr_decoder_destroy(d);
  }
  plr_decoder *d;
  assert_int_equal(plr_decoder_create(ctx, ROWS, D, &d, NULL), PLR_OK);
  u[17] = NAN;
  assert_int_equal(plr_decoder_set_basis(d, &basis, 7, &err), PLR_ERR_NON_FINITE);
  plr_tensor_matrix(&basis, u, PLR_DTYPE_F32, RANK, D);
  assert_int_equal(plr_decoder_set_basis(d, &basis, 7, &err), PLR_ERR_SHAPE);
  plr_decoder_destroy(d);
  free(u), free(x), free(y);
  plr_context_destroy(ctx);
}

/* Coordinates and rows are chains of fused products over increasing index. */
static void test_basis_is_the_naive_one(void **state) {
  (void)state;
  static const uint32_t isas[] = {PLR_ISA_PORTABLE, PLR_ISA_BEST};
  float *u = make_basis(5), *x = test_floats(6, ROWS * D);
  plr_tensor basis;
  plr_tensor_matrix(&basis, u, PLR_DTYPE_F32, D, RANK);
  for (size_t k = 0; k < 2; k++) {
    plr_context *ctx = context(isas[k]);
    plr__transform t;
    plr_frame_info info = info_of(PLR_TRANSFORM_BASIS, ROWS, D);
    static float z[ROWS * RANK], y[ROWS * D];
    assert_int_equal(plr__transform_create(&t, ctx, PLR_TRANSFORM_BASIS, PLR_TRANSFORM_BASIS, D),
                     PLR_OK);
    assert_int_equal(plr__transform_set_basis(&t, &basis, D, 1, NULL), PLR_OK);
    assert_int_equal(plr__transform_forward(&t, &info, 0, ROWS, x, z), PLR_OK);
    assert_int_equal(plr__transform_expand(&t, z, ROWS, y), PLR_OK);
    for (uint32_t r = 0; r < ROWS; r++) {
      for (uint32_t j = 0; j < RANK; j++) {
        float sum = 0;
        for (uint32_t c = 0; c < D; c++) sum = fmaf(x[r * D + c], u[c * RANK + j], sum);
        assert_int_equal(plr__f32_bits(sum), plr__f32_bits(z[r * RANK + j]));
      }
      for (uint32_t c = 0; c < D; c++) {
        float sum = 0;
        for (uint32_t j = 0; j < RANK; j++) sum = fmaf(z[r * RANK + j], u[c * RANK + j], sum);
        assert_int_equal(plr__f32_bits(sum), plr__f32_bits(y[r * D + c]));
      }
    }
    plr__transform_release(&t);
    plr_context_destroy(ctx);
  }
  free(u), free(x);
}

/* Rows of many columns and few coordinates come in parts that fit the decoder's buffers. */
static void test_long_rows(void **state) {
  (void)state;
  enum { WIDE = 3000, MANY = 500 };
  plr_context *ctx = context(PLR_ISA_BEST);
  float *u = calloc(WIDE * 2, sizeof *u), *x = calloc(WIDE * MANY, sizeof *x);
  float *y = malloc(sizeof *y * WIDE * MANY);
  u[1234 * 2] = 1, u[2999 * 2 + 1] = -1;
  for (uint32_t r = 0; r < MANY; r++)
    x[r * WIDE + 1234] = (float)r, x[r * WIDE + 2999] = (float)(r % 7);
  plr_codec c = test_codec("int8+basis", 32);
  plr_encoder *e;
  plr_decoder *d;
  plr_tensor basis, t, out;
  size_t len;
  plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
  plr_tensor_matrix(&basis, u, PLR_DTYPE_F32, WIDE, 2);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, MANY, WIDE);
  plr_tensor_matrix(&out, y, PLR_DTYPE_F32, MANY, WIDE);
  assert_int_equal(plr_encoder_create(ctx, &c, MANY, WIDE, &e, NULL), PLR_OK);
  assert_int_equal(plr_decoder_create(ctx, MANY, WIDE, &d, NULL), PLR_OK);
  assert_int_equal(plr_encoder_set_basis(e, &basis, 1, NULL), PLR_OK);
  assert_int_equal(plr_decoder_set_basis(d, &basis, 1, NULL), PLR_OK);
  uint8_t *frame = malloc(plr_encoder_bound(e));
  assert_int_equal(plr_encoder_encode(e, &info, &t, frame, plr_encoder_bound(e), &len), PLR_OK);
  assert_true(len < 1300);
  assert_int_equal(plr_decoder_decode(d, frame, len, &out, NULL, NULL), PLR_OK);
  for (size_t i = 0; i < (size_t)WIDE * MANY; i++) assert_true(fabsf(x[i] - y[i]) < 4);
  free(u), free(x), free(y), free(frame);
  plr_encoder_destroy(e);
  plr_decoder_destroy(d);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cosine_is_the_naive_one),
      cmocka_unit_test(test_cosine_gain),
      cmocka_unit_test(test_basis),
      cmocka_unit_test(test_basis_is_the_naive_one),
      cmocka_unit_test(test_long_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
