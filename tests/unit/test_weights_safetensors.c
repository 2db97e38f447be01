/* The safetensors reader and writer: what is read, what is refused and how the refusal reads, what is written. */
#include "model_common.h"

#include "base/json.h"
#include "shard/safetensors.h"

/* A file in memory that counts what is read of it. */
typedef struct file {
  uint8_t data[4096];
  size_t len;
  uint64_t bytes_read;
  plr_status fails; /* what a read past the header gives */
} file;

static plr_status read_at(void *user, uint64_t offset, void *buf, size_t len) {
  file *f = user;
  if (offset > f->len || len > f->len - offset) return PLR_ERR_TRUNCATED;
  if (f->fails && offset > 8) return f->fails;
  memcpy(buf, f->data + offset, len);
  f->bytes_read += len;
  return PLR_OK;
}

static plr_status append(void *user, const void *data, size_t len) {
  file *f = user;
  if (len > sizeof f->data - f->len) return PLR_ERR_NO_SPACE;
  memcpy(f->data + f->len, data, len);
  f->len += len;
  return PLR_OK;
}

static void file_make(file *f, const char *header, size_t data) {
  memset(f, 0, sizeof *f);
  plr__store_le64(f->data, strlen(header));
  memcpy(f->data + 8, header, strlen(header));
  f->len = 8 + strlen(header) + data;
  for (size_t i = 0; i < data; i++) f->data[8 + strlen(header) + i] = (uint8_t)(i + 1);
}

static plr_status file_open(plr_context *ctx, file *f, plr_st_file *out, plr_error *err) {
  plr_source source = {f, f->len, read_at, NULL};
  plr_error_init(err, sizeof *err);
  return plr__st_open(ctx, &source, "model.safetensors", out, err);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static const char good[] =
    " {\"b\": {\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},\n"
    "\"__metadata__\":{\"format\":\"pt\", \"\\u00e9\\n\":\"\\ud83d\\ude00\"},"
    "\"a\\\"\":{\"data_offsets\":[24,32],\"shape\":[4],\"dtype\":\"BF16\"},"
    "\"none\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[24,24]},"
    "\"scalar\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[32,34]}}  ";

static void test_read(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  file f;
  plr_st_file st;
  plr_error err;
  file_make(&f, good + 1, 34);
  assert_int_equal(file_open(ctx, &f, &st, &err), PLR_OK);
  assert_int_equal(f.bytes_read, 8 + strlen(good + 1)); /* the header and nothing else */
  assert_int_equal(st.tensor_count, 4);
  assert_string_equal(st.tensors[0].name, "a\"");
  const plr_st_tensor *b = plr__st_find(&st, "b");
  assert_non_null(b);
  assert_int_equal(b->type->dtype, PLR_DTYPE_F32);
  assert_int_equal(b->ndim, 2);
  assert_int_equal(b->shape[1], 3);
  assert_int_equal(plr__st_find(&st, "scalar")->count, 1);
  assert_int_equal(plr__st_find(&st, "none")->count, 0);
  assert_int_equal(plr__st_find(&st, "none")->type->dtype, 0);
  assert_null(plr__st_find(&st, "c"));
  assert_string_equal(plr__st_metadata(&st, "format"), "pt");
  assert_string_equal(plr__st_metadata(&st, "\xc3\xa9\n"), "\xf0\x9f\x98\x80");
  assert_null(plr__st_metadata(&st, "forma"));

  uint8_t buf[4];
  f.bytes_read = 0;
  assert_int_equal(plr__st_read(&st, plr__st_find(&st, "a\""), 2, buf, 4, &err), PLR_OK);
  assert_int_equal(buf[0], 27);
  assert_int_equal(f.bytes_read, 4);
  assert_int_equal(plr__st_read(&st, b, 21, buf, 4, &err), PLR_ERR_INVALID_ARGUMENT);
  f.fails = PLR_ERR_IO;
  assert_int_equal(plr__st_read(&st, b, 0, buf, 4, &err), PLR_ERR_IO);
  assert_non_null(strstr(err.message, "tensor b"));
  assert_string_equal(err.where, "model.safetensors");
  plr__st_release(&st);
  plr_context_destroy(ctx);
}

/* ---- refusals --------------------------------------------------------------------------------- */

#define T(dtype, shape, begin, end)                                                                \
  "{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"

static const struct {
  const char *header;
  size_t data;
  plr_status status;
  const char *says; /* part of the message */
} refused[] = {
    {"", 0, PLR_ERR_MALFORMED, "begin with '{'"},
    {" {}", 0, PLR_ERR_MALFORMED, "begin with '{'"},
    {"[]", 0, PLR_ERR_MALFORMED, "begin with '{'"},
    {"{", 0, PLR_ERR_MALFORMED, "string must be here"},
    {"{}x", 0, PLR_ERR_MALFORMED, "follows the end"},
    {"{}", 1, PLR_ERR_MALFORMED, "bytes 0 .. 1 at the end"},
    {"{\"a\":" T("F32", "1", "0", "4") ",}", 4, PLR_ERR_MALFORMED, "string must be here"},
    {"{\"a\":" T("F32", "1", "0", "4") " \"b\":1}", 4, PLR_ERR_MALFORMED, "',' or '}'"},
    {"{\"a\":3}", 0, PLR_ERR_MALFORMED, "object must be here"},
    {"{\"a\":" T("F33", "1", "0", "4") "}", 4, PLR_ERR_UNSUPPORTED, "unknown dtype \"F33\""},
    {"{\"a\":" T("F32", "2", "0", "4") "}", 4, PLR_ERR_MALFORMED, "4 bytes, its shape needs 8"},
    {"{\"a\":" T("F32", "1", "0", "4") "}", 8, PLR_ERR_MALFORMED, "bytes 4 .. 8 at the end"},
    {"{\"a\":" T("F32", "1", "0", "4") "}", 3, PLR_ERR_TRUNCATED, "ends at 4, the file holds 3"},
    {"{\"a\":" T("F32", "1", "8", "4") "}", 8, PLR_ERR_MALFORMED, "ends at 4 before its start 8"},
    {"{\"a\":" T("F32", "2", "0", "8") ",\"b\":" T("F32", "2", "4", "12") "}", 12,
     PLR_ERR_MALFORMED, "tensors a and b overlap at byte 4"},
    {"{\"a\":" T("F32", "1", "0", "4") ",\"b\":" T("F32", "1", "0", "4") "}", 4, PLR_ERR_MALFORMED,
     "overlap at byte 0"},
    {"{\"a\":" T("F32", "1", "0", "4") ",\"b\":" T("F32", "1", "8", "12") "}", 12,
     PLR_ERR_MALFORMED, "bytes 4 .. 8 of the data, before tensor b"},
    {"{\"b\":" T("F32", "1", "4", "8") "}", 8, PLR_ERR_MALFORMED, "bytes 0 .. 4"},
    {"{\"a\":" T("U8", "1", "0", "1") ",\"b\":" T("F32", "1", "1", "5") "}", 5, PLR_ERR_MALFORMED,
     "tensor b starts at 1, not aligned to 4"},
    {"{\"a\":" T("U8", "1", "0", "1") ",\"\\u0061\":" T("U8", "1", "1", "2") "}", 2,
     PLR_ERR_MALFORMED, "tensor a is there twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     PLR_ERR_MALFORMED, "repeated key \"dtype\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":1}}", 1,
     PLR_ERR_MALFORMED, "unknown key \"more\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 0, PLR_ERR_MALFORMED, "no data_offsets"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, PLR_ERR_MALFORMED, "no shape"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, PLR_ERR_MALFORMED,
     "1 data_offsets, not 2"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1, PLR_ERR_MALFORMED,
     "3 data_offsets, not 2"},
    {"{\"a\":" T("F32", "4294967296,4294967296", "0", "0") "}", 0, PLR_ERR_MALFORMED,
     "shape overflows"},
    {"{\"a\":" T("F32", "9223372036854775807", "0", "0") "}", 0, PLR_ERR_MALFORMED,
     "shape overflows"},
    {"{\"a\":" T("F32", "9223372036854775808", "0", "0") "}", 0, PLR_ERR_MALFORMED, "above 2^63-1"},
    {"{\"a\":" T("F32", "-1", "0", "0") "}", 0, PLR_ERR_MALFORMED, "whole number must be here"},
    {"{\"a\":" T("F32", "1.0", "0", "4") "}", 4, PLR_ERR_MALFORMED, "fraction or exponent"},
    {"{\"a\":" T("F32", "01", "0", "4") "}", 4, PLR_ERR_MALFORMED, "leading zero"},
    {"{\"a\":" T("U8", "1,1,1,1,1,1,1,1,1", "0", "1") "}", 1, PLR_ERR_UNSUPPORTED,
     "more than 8 dimensions"},
    {"{\"__metadata__\":{\"k\":1}}", 0, PLR_ERR_MALFORMED, "string must be here"},
    {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"1\"}}", 0, PLR_ERR_MALFORMED, "__metadata__ has k"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, PLR_ERR_MALFORMED, "__metadata__ is repeated"},
    {"{\"a\\u0000\":" T("U8", "1", "0", "1") "}", 1, PLR_ERR_MALFORMED, "NUL in a string"},
    {"{\"\\ud800\":" T("U8", "1", "0", "1") "}", 1, PLR_ERR_MALFORMED, "surrogate"},
    {"{\"\xc0\x80\":" T("U8", "1", "0", "1") "}", 1, PLR_ERR_MALFORMED, "not UTF-8"},
    {"{\"\\x\":" T("U8", "1", "0", "1") "}", 1, PLR_ERR_MALFORMED, "unknown escape"},
    {"{\"a\nb\":" T("U8", "1", "0", "1") "}", 1, PLR_ERR_MALFORMED, "control character"},
};

static void test_refusals(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    file f;
    plr_st_file st;
    plr_error err;
    file_make(&f, refused[i].header, refused[i].data);
    plr_status got = file_open(ctx, &f, &st, &err);
    if (got != refused[i].status || !strstr(err.message, refused[i].says))
      fail_msg("%s: %s, \"%s\"", refused[i].header, plr_status_name(got), err.message);
    assert_string_equal(err.where, "model.safetensors");
    assert_int_equal(err.status, got);
    assert_null(st.tensors);
  }
  plr_context_destroy(ctx);
}

static void test_lengths(void **state) {
  (void)state;
  static const struct {
    uint64_t header;
    size_t file;
    plr_status status;
  } cases[] = {{0, 0, PLR_ERR_TRUNCATED},           {0, 7, PLR_ERR_TRUNCATED},
               {3, 10, PLR_ERR_TRUNCATED},          {(uint64_t)1 << 63, 10, PLR_ERR_TRUNCATED},
               {UINT64_MAX, 10, PLR_ERR_TRUNCATED}, {UINT64_MAX - 7, 10, PLR_ERR_TRUNCATED},
               {100000001, 10, PLR_ERR_TRUNCATED}};
  plr_context *ctx = new_context();
  uint64_t before = 0, after = 0;
  plr_context_memory(ctx, NULL, &before, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    file f;
    plr_st_file st;
    plr_error err;
    file_make(&f, "{}", 0);
    plr__store_le64(f.data, cases[i].header);
    f.len = cases[i].file;
    assert_int_equal(file_open(ctx, &f, &st, &err), cases[i].status);
    assert_true(strlen(err.message) > 0);
  }
  file f;
  plr_st_file st;
  plr_error err;
  file_make(&f, "{}", 0);
  f.len = (size_t)1 << 40; /* what a source says of itself is not believed either */
  plr__store_le64(f.data, 100000001);
  assert_int_equal(file_open(ctx, &f, &st, &err), PLR_ERR_LIMIT);
  plr_context_memory(ctx, NULL, &after, NULL);
  assert_true(after - before < 4096); /* nothing was reserved for a length before it was checked */
  plr_context_destroy(ctx);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void test_write(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  static file f;
  f.len = 0;
  plr_sink sink = {&f, append, NULL, NULL};
  plr_st_writer w;
  const int64_t shape[2] = {2, 2}, one[1] = {3};
  const float matrix[4] = {1, 2, 3, 4};
  const uint16_t row[3] = {0x3f80, 0x4000, 0x4040};
  plr__st_writer_init(&w, ctx, &sink);
  plr__st_writer_text(&w, "format", "pt");
  plr__st_writer_text(&w, "k\"\\\n", "v\xc3\xa9");
  plr__st_writer_tensor(&w, "z \"quoted\"", PLR_DTYPE_F32, 2, shape);
  plr__st_writer_tensor(&w, "a", PLR_DTYPE_BF16, 1, one);
  assert_int_equal(plr__st_writer_begin(&w), PLR_OK);
  assert_int_equal(f.len % 8, 0);
  assert_int_equal(plr__st_writer_data(&w, matrix, 4), PLR_OK);
  assert_int_equal(plr__st_writer_data(&w, matrix + 1, 12), PLR_OK);
  assert_int_equal(plr__st_writer_data(&w, row, 6), PLR_OK);
  assert_int_equal(plr__st_writer_end(&w), PLR_OK);
  assert_int_equal(plr__st_writer_data(&w, row, 1), PLR_ERR_INVALID_ARGUMENT);
  plr__st_writer_release(&w);

  plr_st_file st;
  plr_error err;
  assert_int_equal(file_open(ctx, &f, &st, &err), PLR_OK);
  assert_int_equal(st.tensor_count, 2);
  assert_string_equal(plr__st_metadata(&st, "k\"\\\n"), "v\xc3\xa9");
  const plr_st_tensor *z = plr__st_find(&st, "z \"quoted\"");
  float back[4];
  assert_non_null(z);
  assert_int_equal(plr__st_read(&st, z, 0, back, sizeof back, &err), PLR_OK);
  assert_memory_equal(back, matrix, sizeof back);
  assert_int_equal(plr__st_find(&st, "a")->type->dtype, PLR_DTYPE_BF16);
  plr__st_release(&st);
  plr_context_destroy(ctx);
}

static void test_write_wrong(void **state) {
  (void)state;
  plr_context *ctx = new_context();
  static file f;
  f.len = 0;
  plr_sink sink = {&f, append, NULL, NULL};
  plr_st_writer w;
  const int64_t one[1] = {2};
  plr__st_writer_init(&w, ctx, &sink);
  plr__st_writer_tensor(&w, "a", PLR_DTYPE_F32, 1, one);
  assert_int_equal(plr__st_writer_begin(&w), PLR_OK);
  assert_int_equal(plr__st_writer_data(&w, "1234", 4), PLR_OK);
  assert_int_equal(plr__st_writer_end(&w), PLR_ERR_INVALID_STATE); /* half of it is missing */
  plr__st_writer_release(&w);

  plr__st_writer_init(&w, ctx, &sink);
  plr__st_writer_tensor(&w, "a", 99, 1, one);
  assert_int_equal(plr__st_writer_begin(&w), PLR_ERR_INVALID_ARGUMENT);
  plr__st_writer_release(&w);

  f.len = sizeof f.data - 4; /* a full disk */
  plr__st_writer_init(&w, ctx, &sink);
  plr__st_writer_tensor(&w, "a", PLR_DTYPE_F32, 1, one);
  assert_int_equal(plr__st_writer_begin(&w), PLR_ERR_NO_SPACE);
  assert_int_equal(plr__st_writer_data(&w, "1234", 4), PLR_ERR_NO_SPACE);
  plr__st_writer_release(&w);
  plr_context_destroy(ctx);
}

/* ---- the JSON reader by itself ---------------------------------------------------------------- */

static int skips(const char *text) {
  char copy[256];
  size_t len = strlen(text);
  memcpy(copy, text, len);
  plr_json j;
  plr__json_init(&j, copy, len);
  plr__json_skip(&j);
  return plr__json_done(&j);
}

static void test_json(void **state) {
  (void)state;
  static const char *const right[] = {"null",
                                      " true ",
                                      "-0",
                                      "0.5e-3",
                                      "1E+9",
                                      "[]",
                                      "{}",
                                      "[1,[2,{\"a\":[null]}]]",
                                      "{\"a\":{\"b\":\"\\u20ac\\/\"},\"c\":-12.5}"};
  static const char *const wrong[] = {"",    "nul",          "+1",          "01",         "1.",
                                      "1e",  ".5",           "-",           "[1,]",       "[1",
                                      "[,1", "{\"a\"}",      "{a:1}",       "{\"a\":1,}", "\"a",
                                      "1 2", "\"\\ud800x\"", "\"\\udc00\"", "NaN"};
  for (size_t i = 0; i < sizeof right / sizeof *right; i++)
    if (!skips(right[i])) fail_msg("refused: %s", right[i]);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    if (skips(wrong[i])) fail_msg("accepted: %s", wrong[i]);
  char deep[81];
  memset(deep, '[', 40);
  memset(deep + 40, ']', 40);
  deep[80] = 0;
  assert_false(skips(deep));
  assert_true(skips("[[[[[[[[[[]]]]]]]]]]"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_read),        cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_lengths),     cmocka_unit_test(test_write),
      cmocka_unit_test(test_write_wrong), cmocka_unit_test(test_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
