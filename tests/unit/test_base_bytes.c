/* Reader, base64, hexadecimal. */
#include "base_test.h"

static void test_reader(void **state) {
  (void)state;
  uint8_t data[29];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i + 1);
  plr_reader r;
  plr__reader_init(&r, data, sizeof data);
  assert_int_equal(plr__read_u8(&r), 0x01);
  assert_int_equal(plr__read_le16(&r), 0x0302);
  assert_int_equal(plr__read_le32(&r), 0x07060504);
  assert_true(plr__read_le64(&r) == UINT64_C(0x0f0e0d0c0b0a0908));
  assert_int_equal(plr__read_be16(&r), 0x1011);
  assert_int_equal(plr__read_be32(&r), 0x12131415);
  assert_false(plr__reader_done(&r));
  assert_true(plr__read_be64(&r) == UINT64_C(0x161718191a1b1c1d));
  assert_true(plr__reader_done(&r));
  assert_int_equal(plr__read_u8(&r), 0);
  assert_false(plr__reader_done(&r));
}

/* After the first short read everything fails, also what would still fit. */
static void test_reader_failure_sticks(void **state) {
  (void)state;
  uint8_t *data = malloc(3);
  assert_non_null(data);
  memset(data, 0xff, 3);
  plr_reader r;
  plr__reader_init(&r, data, 3);
  assert_int_equal(plr__read_le32(&r), 0);
  assert_int_equal(r.failed, 1);
  assert_int_equal(plr__read_u8(&r), 0);
  assert_null(plr__read_bytes(&r, 0));
  plr__reader_init(&r, data, 3);
  assert_null(plr__read_bytes(&r, SIZE_MAX));
  assert_false(plr__reader_done(&r));
  plr__reader_init(&r, data, 3);
  assert_ptr_equal(plr__read_bytes(&r, 3), data);
  assert_non_null(plr__read_bytes(&r, 0));
  assert_true(plr__reader_done(&r));
  free(data);
  plr__reader_init(&r, NULL, 0);
  assert_non_null(plr__read_bytes(&r, 0));
  assert_true(plr__reader_done(&r));
}

/* RFC 4648, section 10. */
static void test_base64_vectors(void **state) {
  (void)state;
  static const char *const pairs[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};
  for (size_t i = 0; i < PLR_COUNT_OF(pairs); i++) {
    char text[16];
    uint8_t back[16];
    size_t len = strlen(pairs[i][0]);
    assert_int_equal(plr__base64_encode(pairs[i][0], len, text), strlen(pairs[i][1]));
    assert_string_equal(text, pairs[i][1]);
    assert_int_equal(plr__base64_decode(text, strlen(text), back, len), len);
    assert_memory_equal(back, pairs[i][0], len);
    if (len) assert_int_equal(plr__base64_decode(text, strlen(text), back, len - 1), -1);
  }
}

static void test_base64_strict(void **state) {
  (void)state;
  static const char *const bad[] = {
      "Zg",   "Zg=",   "Zg===",  "Zh==", "Zm9=", "====", "=AAA", "A===",  "Z=g=",    "Zg==Zg==",
      "Zm 9", "Zm9\n", "Zm9v\n", "Zm-v", "Zm_v", "Zm.v", "A",    "Zm9v=", "Zm9vYg=", "\xc3\xa9==",
  };
  uint8_t out[64];
  for (size_t i = 0; i < PLR_COUNT_OF(bad); i++)
    assert_int_equal(plr__base64_decode(bad[i], strlen(bad[i]), out, sizeof out), -1);
}

/* Of the 64 endings of each padded group exactly those with zero spare bits are canonical. */
static void test_base64_canonical_count(void **state) {
  (void)state;
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  int one = 0, two = 0;
  for (int i = 0; i < 64; i++) {
    uint8_t out[3];
    char a[5] = {'A', alphabet[i], '=', '=', 0}, b[5] = {'A', 'A', alphabet[i], '=', 0};
    one += plr__base64_decode(a, 4, out, sizeof out) == 1;
    two += plr__base64_decode(b, 4, out, sizeof out) == 2;
  }
  assert_int_equal(one, 4);
  assert_int_equal(two, 16);
}

static void test_base64_round_trip(void **state) {
  (void)state;
  uint8_t data[257], back[257];
  char text[4 * 86 + 1];
  for (size_t len = 0; len <= sizeof data; len++) {
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)(i * 151 + len);
    size_t n = plr__base64_encode(data, len, text);
    assert_int_equal(n, (len + 2) / 3 * 4);
    assert_int_equal(plr__base64_decode(text, n, back, sizeof back), len);
    assert_memory_equal(back, data, len);
  }
}

static void test_hex(void **state) {
  (void)state;
  static const uint8_t data[] = {0x00, 0x9a, 0xbc, 0xde, 0xf1};
  char text[11];
  plr__hex_encode(data, sizeof data, text);
  assert_string_equal(text, "009abcdef1");
  plr__hex_encode(NULL, 0, text);
  assert_string_equal(text, "");
}

static void test_mulhi(void **state) {
  (void)state;
  assert_int_equal(plr__mulhi64(UINT64_MAX, 10), 9);
  assert_int_equal(plr__mulhi64(0, 10), 0);
  assert_int_equal(plr__mulhi64(UINT64_C(1) << 63, 10), 5);
  assert_true(plr__mulhi64(UINT64_MAX, UINT64_MAX) == UINT64_MAX - 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reader),
      cmocka_unit_test(test_reader_failure_sticks),
      cmocka_unit_test(test_base64_vectors),
      cmocka_unit_test(test_base64_strict),
      cmocka_unit_test(test_base64_canonical_count),
      cmocka_unit_test(test_base64_round_trip),
      cmocka_unit_test(test_hex),
      cmocka_unit_test(test_mulhi),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
