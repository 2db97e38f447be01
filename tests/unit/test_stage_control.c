#include <math.h>

#include "unit/base_test.h"

#include "stage/control.h"

static plr_context *ctx;
static plr_buffer buffer;

static int setup(void **state) {
  (void)state;
  ctx = test_context(NULL);
  plr__buffer_init(&buffer, ctx);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  plr__buffer_release(&buffer);
  plr_context_destroy(ctx);
  return 0;
}

/* A message of that type with every field of it set. */
static plr__control sample(uint32_t type) {
  static const uint8_t data[64] = "sixty-four bytes: two hashes, or a text, or whatever is asked";
  plr__control c;
  memset(&c, 0, sizeof c);
  c.type = type;
  c.stage = 3, c.micro_batch = 7, c.kind = 1, c.index = 9, c.top_k = 40, c.first_block = 2;
  c.flags = PLR__CONTROL_FLAG_SNAPSHOT;
  c.token = 255, c.status = PLR_ERR_CHECKSUM;
  c.step = 0x0102030405060708, c.epoch = 11, c.root_step = 12, c.seed = 13, c.position = 14;
  c.temperature = 0.75f, c.loss = 5.25;
  memset(&c.root, 0xaa, sizeof c.root);
  memset(c.frames, 0xbb, sizeof c.frames);
  memset(c.signature, 0xcc, sizeof c.signature);
  c.data = data, c.data_len = sizeof data;
  return c;
}

static plr_status parse(plr__control *out, size_t len, plr_error *err) {
  plr_error_init(err, sizeof *err);
  return plr__control_parse(out, buffer.data, len, err);
}

static void write_sample(const plr__control *c) {
  plr__buffer_clear(&buffer);
  plr__control_write(&buffer, c);
  assert_int_equal(buffer.failed, 0);
}

/* Every type comes back, and writes the same bytes again. */
static void test_round_trip(void **state) {
  (void)state;
  for (uint32_t type = 1; type < PLR__CONTROL_TYPES; type++) {
    plr__control c = sample(type), got;
    plr_error err;
    uint8_t first[4096];
    write_sample(&c);
    size_t len = buffer.len;
    assert_in_range(len, 4, sizeof first);
    memcpy(first, buffer.data, len);
    assert_int_equal(plr__control_parse(&got, first, len, &err), PLR_OK);
    assert_int_equal(got.type, type);
    write_sample(&got);
    assert_int_equal(buffer.len, len);
    assert_memory_equal(buffer.data, first, len);
    assert_string_not_equal(plr__control_name(type), "?");
  }
  assert_string_equal(plr__control_name(0), "?");
  assert_string_equal(plr__control_name(PLR__CONTROL_TYPES), "?");
}

static void test_fields(void **state) {
  (void)state;
  plr__control c = sample(PLR__CONTROL_PROPOSAL), got;
  plr_error err;
  write_sample(&c);
  assert_int_equal(parse(&got, buffer.len, &err), PLR_OK);
  assert_int_equal(got.stage, 3);
  assert_int_equal(got.step, c.step);
  assert_int_equal(got.micro_batch, 7);
  assert_memory_equal(got.frames, c.frames, sizeof c.frames);
  assert_memory_equal(got.signature, c.signature, sizeof c.signature);
  assert_int_equal(got.data_len, c.data_len);
  assert_memory_equal(got.data, c.data, c.data_len);
  c = sample(PLR__CONTROL_LOSS);
  write_sample(&c);
  assert_int_equal(parse(&got, buffer.len, &err), PLR_OK);
  assert_true(got.loss == c.loss);
  c = sample(PLR__CONTROL_SAMPLE);
  write_sample(&c);
  assert_int_equal(parse(&got, buffer.len, &err), PLR_OK);
  assert_true(got.temperature == c.temperature);
  assert_int_equal(got.position, 14);
  /* The bytes of CONTROL.md. */
  static const uint8_t stop[] = {1, 4, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
  c = sample(PLR__CONTROL_STOP);
  c.step = 5;
  write_sample(&c);
  assert_int_equal(buffer.len, sizeof stop);
  assert_memory_equal(buffer.data, stop, sizeof stop);
}

/* Every prefix is too short, and one byte more is too long. */
static void test_lengths(void **state) {
  (void)state;
  for (uint32_t type = 1; type < PLR__CONTROL_TYPES; type++) {
    plr__control c = sample(type), got;
    plr_error err;
    write_sample(&c);
    size_t len = buffer.len;
    for (size_t n = 0; n < len; n++) {
      assert_int_equal(parse(&got, n, &err), PLR_ERR_TRUNCATED);
      assert_true(err.message[0] != 0);
    }
    plr__buffer_u8(&buffer, 0);
    assert_int_equal(parse(&got, len + 1, &err), PLR_ERR_MALFORMED);
    assert_int_equal(err.offset, len);
  }
}

static void refused(const plr__control *c, plr_status why) {
  plr__control got;
  plr_error err;
  write_sample(c);
  assert_int_equal(parse(&got, buffer.len, &err), why);
  assert_string_equal(err.where, plr__control_name(c->type));
}

static void test_values(void **state) {
  (void)state;
  plr__control c = sample(PLR__CONTROL_OPEN);
  c.flags = 2;
  refused(&c, PLR_ERR_MALFORMED);
  c = sample(PLR__CONTROL_SAMPLE);
  c.temperature = -1;
  refused(&c, PLR_ERR_NON_FINITE);
  c.temperature = NAN;
  refused(&c, PLR_ERR_NON_FINITE);
  c = sample(PLR__CONTROL_LOSS);
  c.loss = INFINITY;
  refused(&c, PLR_ERR_NON_FINITE);
  c.loss = 1, c.kind = PLR__KIND_GENERATE;
  refused(&c, PLR_ERR_MALFORMED);
  c = sample(PLR__CONTROL_LEAVES);
  c.data_len = 63;
  refused(&c, PLR_ERR_MALFORMED);
  c.data_len = 0;
  refused(&c, PLR_ERR_MALFORMED);
  uint8_t *big = calloc(1, PLR__CONTROL_MAX_ENTRY + 1);
  c = sample(PLR__CONTROL_FAIL);
  c.data = big, c.data_len = PLR__CONTROL_MAX_TEXT + 1;
  refused(&c, PLR_ERR_LIMIT);
  c = sample(PLR__CONTROL_ENTRY);
  c.data = big, c.data_len = PLR__CONTROL_MAX_ENTRY + 1;
  refused(&c, PLR_ERR_LIMIT);
  free(big);
}

static void test_header(void **state) {
  (void)state;
  plr__control c = sample(PLR__CONTROL_DONE), got;
  plr_error err;
  write_sample(&c);
  buffer.data[0] = 2;
  assert_int_equal(parse(&got, buffer.len, &err), PLR_ERR_VERSION);
  buffer.data[0] = 1, buffer.data[1] = PLR__CONTROL_TYPES;
  assert_int_equal(parse(&got, buffer.len, &err), PLR_ERR_MALFORMED);
  buffer.data[1] = 0;
  assert_int_equal(parse(&got, buffer.len, &err), PLR_ERR_MALFORMED);
  buffer.data[1] = PLR__CONTROL_DONE, buffer.data[3] = 1;
  assert_int_equal(parse(&got, buffer.len, &err), PLR_ERR_MALFORMED);
  assert_int_equal(plr__control_parse(&got, buffer.data, PLR__CONTROL_MAX + 1, &err),
                   PLR_ERR_LIMIT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip), cmocka_unit_test(test_fields),
      cmocka_unit_test(test_lengths),    cmocka_unit_test(test_values),
      cmocka_unit_test(test_header),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
