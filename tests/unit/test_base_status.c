/* Status table, error detail, option structs of other versions, log. */
#include "base_test.h"

#include "base/base_int.h"

static void test_status_table(void **state) {
  (void)state;
#define CHECK(name, number, text)                                                                  \
  assert_int_equal(name, number);                                                                  \
  assert_string_equal(plr_status_name(name), #name);                                               \
  assert_string_equal(plr_status_message(name), text);
  PLR_STATUS_TABLE(CHECK)
#undef CHECK
  assert_string_equal(plr_status_name((plr_status)-9999), "PLR_ERR_UNKNOWN");
  assert_string_equal(plr_status_message((plr_status)7), "unknown status");
  assert_int_equal(plr_version(),
                   PLR_VERSION_MAJOR << 16 | PLR_VERSION_MINOR << 8 | PLR_VERSION_PATCH);
}

static void test_error_detail(void **state) {
  (void)state;
  plr_error err;
  plr_error_init(&err, sizeof err);
  assert_int_equal(err.struct_size, sizeof err);
  plr_status st = plr__fail_at(&err, PLR_ERR_MALFORMED, "frame header", 17, "length %d", 99);
  assert_int_equal(st, PLR_ERR_MALFORMED);
  assert_int_equal(err.status, PLR_ERR_MALFORMED);
  assert_int_equal(err.offset, 17);
  assert_int_equal(err.struct_size, sizeof err);
  assert_string_equal(err.where, "frame header");
  assert_string_equal(err.message, "length 99");
  assert_int_equal(plr__fail(&err, PLR_ERR_LIMIT, NULL, "x"), PLR_ERR_LIMIT);
  assert_int_equal(err.offset, 0);
  assert_string_equal(err.where, "");
  assert_int_equal(plr__fail(NULL, PLR_ERR_IO, "w", "x"), PLR_ERR_IO);
  assert_int_equal(plr__no_memory(&err, "here"), PLR_ERR_NO_MEMORY);
  assert_string_equal(err.where, "here");
  plr_error_init(NULL, 300);
}

/* A caller compiled against a version with a shorter struct: no byte behind it may be written. */
static void test_error_of_older_version(void **state) {
  (void)state;
  const uint32_t sizes[] = {4, 8, 16, 80, 100};
  for (size_t i = 0; i < PLR_COUNT_OF(sizes); i++) {
    plr_error *err = malloc(sizes[i]);
    assert_non_null(err);
    plr_error_init(err, sizes[i]);
    plr__fail_at(err, PLR_ERR_CHECKSUM, "where", 5, "message");
    assert_int_equal(err->struct_size, sizes[i]);
    if (sizes[i] >= 8) assert_int_equal(err->status, PLR_ERR_CHECKSUM);
    if (sizes[i] >= 16) assert_int_equal(err->offset, 5);
    if (sizes[i] >= 80) assert_string_equal(err->where, "where");
    free(err);
  }
  size_t newer = sizeof(plr_error) + 40;
  plr_error *err = malloc(newer);
  assert_non_null(err);
  plr_error_init(err, (uint32_t)newer);
  plr__fail(err, PLR_ERR_CHECKSUM, "where", "message");
  assert_int_equal(err->struct_size, newer);
  for (size_t i = sizeof *err; i < newer; i++) assert_int_equal(((uint8_t *)err)[i], 0);
  free(err);
}

/* What a peer sent may end up in a message: it stays one line of valid UTF-8, cut between
 * characters. */
static void test_error_text_is_clean(void **state) {
  (void)state;
  plr_error err = {0};
  plr__fail(&err, PLR_ERR_MALFORMED, "a\nb", "key \"%s\"",
            "x\x1b[0m\r\n\xff\xc3\xa9\xed\xa0\x80\xc2\x85");
  assert_string_equal(err.where, "a?b");
  assert_string_equal(err.message, "key \"x?[0m???\xc3\xa9?????\"");
  char euros[3 * 100 + 1] = {0};
  for (int i = 0; i < 100; i++) memcpy(euros + 3 * i, "\xe2\x82\xac", 3);
  plr__fail(&err, PLR_ERR_MALFORMED, "w", "%s", euros);
  assert_int_equal(strlen(err.message), sizeof err.message - 1);
  assert_memory_equal(err.message, euros, 237);
  assert_string_equal(err.message + 237, "??");
}

typedef struct sample_options {
  uint32_t struct_size, a;
  uint64_t b;
  uint32_t c, d;
} sample_options;

static sample_options sample_defaults(void) {
  return (sample_options){sizeof(sample_options), 1, 2, 3, 4};
}

static void test_options_older(void **state) {
  (void)state;
  for (uint32_t size = 4; size <= sizeof(sample_options); size += 4) {
    sample_options d = sample_defaults(), out = sample_defaults();
    uint8_t *older = malloc(size); /* exact size: a sanitizer sees one byte too many */
    assert_non_null(older);
    plr__options_init(older, size, &d, sizeof d);
    assert_int_equal(plr__load_le32(older), size);
    assert_memory_equal(older + 4, (uint8_t *)&d + 4, size - 4);
    memset(older + 4, 9, size - 4);
    assert_int_equal(plr__options_read(&out, sizeof out, older, "sample", NULL), PLR_OK);
    assert_int_equal(out.struct_size, sizeof out);
    assert_memory_equal((uint8_t *)&out + 4, older + 4, size - 4);
    assert_memory_equal((uint8_t *)&out + size, (uint8_t *)&d + size, sizeof d - size);
    free(older);
  }
}

static void test_options_newer(void **state) {
  (void)state;
  sample_options d = sample_defaults(), out = sample_defaults();
  const uint32_t size = sizeof d + 12;
  uint8_t *newer = malloc(size);
  assert_non_null(newer);
  plr__options_init(newer, size, &d, sizeof d);
  newer[4] = 42;
  plr_error err = {0};
  assert_int_equal(plr__options_read(&out, sizeof out, newer, "sample", &err), PLR_OK);
  assert_int_equal(out.a, 42);
  for (uint32_t i = sizeof d; i < size; i++) {
    sample_options untouched = out;
    newer[i] = 1;
    assert_int_equal(plr__options_read(&out, sizeof out, newer, "sample", &err),
                     PLR_ERR_UNSUPPORTED);
    assert_string_equal(err.where, "sample");
    assert_memory_equal(&out, &untouched, sizeof out);
    newer[i] = 0;
  }
  free(newer);
}

static void test_options_bad_size(void **state) {
  (void)state;
  sample_options out = sample_defaults(), in = sample_defaults();
  const uint32_t sizes[] = {0, 1, 3, 4097, 0xa5a5a5a5u, 0xffffffffu};
  for (size_t i = 0; i < PLR_COUNT_OF(sizes); i++) {
    plr_error err = {0};
    in.struct_size = sizes[i];
    assert_int_equal(plr__options_read(&out, sizeof out, &in, "sample", &err),
                     PLR_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "_init"));
  }
  assert_int_equal(plr__options_read(&out, sizeof out, NULL, "sample", NULL), PLR_OK);
  assert_int_equal(out.b, 2);
  plr__options_init(NULL, 16, &in, sizeof in);
  uint8_t tiny[3] = {7, 7, 7};
  plr__options_init(tiny, 3, &in, sizeof in);
  assert_int_equal(tiny[0], 7);
}

typedef struct log_record {
  int calls;
  uint32_t level;
  char module[16], line[2048];
} log_record;

static void record_line(void *user, uint32_t level, const char *module, const char *line,
                        size_t len) {
  log_record *r = user;
  r->calls++;
  r->level = level;
  strncpy(r->module, module, sizeof r->module - 1);
  assert_true(len < sizeof r->line);
  memcpy(r->line, line, len);
  r->line[len] = 0;
}

static void test_log(void **state) {
  (void)state;
  log_record r = {0};
  plr_context_options o = test_options(NULL);
  o.logger = (plr_logger){&r, record_line};
  o.log_level = PLR_LOG_WARN;
  plr_context *ctx = test_context(&o);
  plr__log(ctx, PLR_LOG_INFO, "stage", "not %s", "seen");
  assert_int_equal(r.calls, 0);
  plr__log(ctx, PLR_LOG_WARN, "stage", "step %d\nof %s", 7, "many");
  assert_int_equal(r.calls, 1);
  assert_int_equal(r.level, PLR_LOG_WARN);
  assert_string_equal(r.module, "stage");
  assert_string_equal(r.line, "step 7?of many");
  char big[3000];
  memset(big, 'x', sizeof big - 1), big[sizeof big - 1] = 0;
  plr__log(ctx, PLR_LOG_ERROR, "stage", "%s", big);
  assert_int_equal(strlen(r.line), 1023);
  plr_context_destroy(ctx);
  plr__log(NULL, PLR_LOG_ERROR, "stage", "nobody");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_status_table),           cmocka_unit_test(test_error_detail),
      cmocka_unit_test(test_error_of_older_version), cmocka_unit_test(test_error_text_is_clean),
      cmocka_unit_test(test_options_older),          cmocka_unit_test(test_options_newer),
      cmocka_unit_test(test_options_bad_size),       cmocka_unit_test(test_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
