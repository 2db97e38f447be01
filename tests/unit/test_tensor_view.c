/* Tensor views and their checks. */
#include "base_test.h"

#include "tensor/tensor.h"

static float data[64];

static void test_dtype_size(void **state) {
  (void)state;
  const uint32_t want[] = {0, 4, 2, 2, 4, 1, 0};
  for (uint32_t d = 0; d < PLR_COUNT_OF(want); d++) assert_int_equal(plr_dtype_size(d), want[d]);
  assert_int_equal(plr_dtype_size(UINT32_MAX), 0);
}

static void test_matrix(void **state) {
  (void)state;
  plr_tensor t;
  memset(&t, 0xff, sizeof t);
  plr_tensor_matrix(&t, data, PLR_DTYPE_F32, 4, 16);
  assert_int_equal(plr_tensor_check(&t, NULL), PLR_OK);
  assert_int_equal(t.ndim, 2);
  assert_int_equal(t.strides[0], 16);
  assert_int_equal(plr__tensor_count(&t), 64);
  assert_true(plr__tensor_contiguous(&t));
  t.shape[1] = 8; /* the left half of each row */
  assert_int_equal(plr_tensor_check(&t, NULL), PLR_OK);
  assert_false(plr__tensor_contiguous(&t));
  t.shape[0] = 1; /* one row of it */
  assert_true(plr__tensor_contiguous(&t));
  t.strides[1] = 2;
  assert_false(plr__tensor_contiguous(&t));
  t.shape[1] = 0;
  assert_true(plr__tensor_contiguous(&t));
}

static void expect(const plr_tensor *t, plr_status want, const char *where) {
  plr_error err = {0};
  assert_int_equal(plr_tensor_check(t, &err), want);
  if (want != PLR_OK) assert_string_equal(err.where, where);
}

static void test_check(void **state) {
  (void)state;
  plr_tensor t, good;
  plr_tensor_matrix(&good, data, PLR_DTYPE_F32, 4, 16);
  expect(NULL, PLR_ERR_INVALID_ARGUMENT, "tensor");
  t = good, t.dtype = 6;
  expect(&t, PLR_ERR_INVALID_ARGUMENT, "tensor.dtype");
  t = good, t.ndim = 0;
  expect(&t, PLR_ERR_INVALID_ARGUMENT, "tensor.ndim");
  t = good, t.ndim = 5;
  expect(&t, PLR_ERR_INVALID_ARGUMENT, "tensor.ndim");
  t = good, t.data = NULL;
  expect(&t, PLR_ERR_INVALID_ARGUMENT, "tensor.data");
  t.shape[0] = 0;
  expect(&t, PLR_OK, "");
  t = good, t.data = (uint8_t *)data + 2;
  expect(&t, PLR_ERR_INVALID_ARGUMENT, "tensor.data");
  t.dtype = PLR_DTYPE_BF16;
  expect(&t, PLR_OK, "");
  t = good, t.shape[0] = -1;
  expect(&t, PLR_ERR_SHAPE, "tensor");
  t = good, t.strides[1] = -1;
  expect(&t, PLR_ERR_SHAPE, "tensor");
  t = good, t.shape[2] = 1;
  expect(&t, PLR_ERR_SHAPE, "tensor");
  t = good, t.strides[3] = 1;
  expect(&t, PLR_ERR_SHAPE, "tensor");
  t.ndim = 4, t.shape[2] = t.shape[3] = 1;
  expect(&t, PLR_OK, "");
}

/* Sizes and strides whose product or last index no address space holds. */
static void test_range(void **state) {
  (void)state;
  plr_tensor t;
  const int64_t big = INT64_C(1) << 31;
  plr_tensor_matrix(&t, data, PLR_DTYPE_F32, big, big);
  expect(&t, PLR_ERR_SHAPE, "tensor");
  plr_tensor_matrix(&t, data, PLR_DTYPE_F32, INT64_MAX, 1);
  expect(&t, PLR_ERR_SHAPE, "tensor");
  plr_tensor_matrix(&t, data, PLR_DTYPE_U8, INT64_MAX, 1);
  expect(&t, PLR_OK, "");
  plr_tensor_matrix(&t, data, PLR_DTYPE_F32, 2, 1);
  t.strides[0] = PTRDIFF_MAX / 4;
  expect(&t, PLR_ERR_SHAPE, "tensor");
  t.strides[0] = PTRDIFF_MAX / 4 - 1;
  expect(&t, PLR_OK, "");
  t.shape[1] = 2; /* one more element than fits */
  expect(&t, PLR_ERR_SHAPE, "tensor");
  t.shape[0] = INT64_MAX, t.shape[1] = 0;
  expect(&t, PLR_OK, "");
  t.ndim = 4, t.strides[0] = 0;
  for (int d = 0; d < 4; d++) t.shape[d] = INT64_C(1) << 16;
  expect(&t, PLR_ERR_SHAPE, "tensor");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dtype_size),
      cmocka_unit_test(test_matrix),
      cmocka_unit_test(test_check),
      cmocka_unit_test(test_range),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
