/* Conversions between float and its storage types, against the definition in exact arithmetic. */
#include "base_test.h"

#include "tensor/tensor.h"

#include <math.h>

/* The value of a 16-bit pattern with `bits` of fraction and an exponent of bias `bias`. */
static double value_of(uint16_t v, int bits, int bias) {
  int exponent = (v & 0x7fff) >> bits, fraction = v & ((1 << bits) - 1);
  double x = exponent ? ldexp(fraction + (1 << bits), exponent - bias - bits)
                      : ldexp(fraction, 1 - bias - bits);
  return v & 0x8000 ? -x : x;
}

static void test_every_f16(void **state) {
  (void)state;
  for (uint32_t v = 0; v < 0x10000; v++) {
    float x = plr__f16_to_f32((uint16_t)v);
    if ((v & 0x7c00) == 0x7c00 && (v & 0x3ff)) {
      assert_true(isnan(x));
      assert_int_equal(plr__f32_to_f16(x), v | 0x200);
      continue;
    }
    if ((v & 0x7c00) == 0x7c00)
      assert_true(isinf(x));
    else
      assert_true(x == value_of((uint16_t)v, 10, 15));
    assert_int_equal(!!signbit(x), v >> 15);
    assert_int_equal(plr__f32_to_f16(x), v);
  }
}

static void test_every_bf16(void **state) {
  (void)state;
  for (uint32_t v = 0; v < 0x10000; v++) {
    float x = plr__bf16_to_f32((uint16_t)v);
    if (isnan(x)) {
      assert_int_equal(plr__f32_to_bf16(x), v | 0x40);
      continue;
    }
    if (!isinf(x)) assert_true(x == value_of((uint16_t)v, 7, 127));
    assert_int_equal(plr__f32_to_bf16(x), v);
  }
}

/* Between two neighbours: the middle goes to the even one, a step to either side of it to the
 * nearer. */
static void check_between(uint16_t low, float middle, uint16_t (*convert)(float)) {
  uint16_t even = low & 1 ? (uint16_t)(low + 1) : low;
  assert_int_equal(convert(middle), even);
  assert_int_equal(convert(nextafterf(middle, 0)), low);
  assert_int_equal(convert(nextafterf(middle, INFINITY)), low + 1);
  assert_int_equal(convert(-middle), even | 0x8000);
}

static uint16_t to_bf16(float x) {
  return plr__f32_to_bf16(x);
}

static void test_rounding(void **state) {
  (void)state;
  for (uint16_t v = 0; v < 0x7bff; v++) {
    float a = plr__f16_to_f32(v), b = plr__f16_to_f32((uint16_t)(v + 1));
    check_between(v, a + (b - a) / 2, plr__f32_to_f16);
  }
  check_between(0x7bff, 65520.0f, plr__f32_to_f16); /* the tie below 65536 is infinity */
  for (uint16_t v = 0; v < 0x7f80; v++)
    check_between(v, plr__f32_from_bits((uint32_t)v << 16 | 0x8000u), to_bf16);
}

static void test_special(void **state) {
  (void)state;
  assert_int_equal(plr__f32_to_f16(INFINITY), 0x7c00);
  assert_int_equal(plr__f32_to_f16(-INFINITY), 0xfc00);
  assert_int_equal(plr__f32_to_f16(1e30f), 0x7c00);
  assert_int_equal(plr__f32_to_f16(-0.0f), 0x8000);
  assert_int_equal(plr__f32_to_f16(0x1p-126f), 0);
  assert_int_equal(plr__f32_to_bf16(INFINITY), 0x7f80);
  assert_int_equal(plr__f32_to_bf16(3.4028235e38f), 0x7f80);
  assert_int_equal(plr__f32_to_bf16(-0.0f), 0x8000);
  /* NaNs whose payload lies only in the bits that are cut off must not become infinities. */
  assert_int_equal(plr__f32_to_f16(plr__f32_from_bits(0x7f800001u)), 0x7e00);
  assert_int_equal(plr__f32_to_bf16(plr__f32_from_bits(0xff800001u)), 0xffc0);
  assert_int_equal(plr__f32_to_f16(plr__f32_from_bits(0xffffffffu)), 0xffff);
  assert_int_equal(plr__f32_to_bf16(plr__f32_from_bits(0x7fffffffu)), 0x7fff);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_f16),
      cmocka_unit_test(test_every_bf16),
      cmocka_unit_test(test_rounding),
      cmocka_unit_test(test_special),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
