/* Golden frames: tests/golden/frames holds one of every codec, which must decode for ever and be made again to the
 * same bytes; must_fail/ holds damaged ones, each of which must be refused with its status.
 *
 * `test_exchange_golden --write` makes the files anew. That is for new codecs only: a line of an index that
 * changes or goes is a format that no longer reads. */
#include "exchange_must_fail.h"
#include "exchange_test.h"

#include <zstd.h>

#define FOLDER PLR_SOURCE_DIR "/tests/golden/frames/"

typedef struct golden {
  const char *name, *codec;
  uint32_t role, rows, cols;
  uint32_t group; /* or the vocabulary */
} golden;

/* Frames whose name ends in "-streamed"; in "-second": they build on the one before them in the list. */
static int ends_in(const golden *g, const char *end) {
  const size_t n = strlen(g->name), m = strlen(end);
  return n > m && strcmp(g->name + n - m, end) == 0;
}

static const golden goldens[] = {
    {"raw", "raw", PLR_ROLE_STATE, 5, 13, 0},
    {"bf16", "bf16", PLR_ROLE_ACTIVATION, 5, 13, 0},
    {"int8-g32", "int8", PLR_ROLE_ACTIVATION, 9, 8, 32},
    {"int8-g128", "int8", PLR_ROLE_GRADIENT, 3, 100, 128},
    {"int4-g32", "int4", PLR_ROLE_ACTIVATION, 9, 8, 32},
    {"int4-g64", "int4", PLR_ROLE_GRADIENT, 7, 23, 64},
    {"int4-g128", "int4", PLR_ROLE_DELTA, 3, 101, 128},
    {"raw-zstd", "raw+zstd", PLR_ROLE_STATE, 8, 32, 0},
    {"bf16-zstd", "bf16+zstd", PLR_ROLE_ACTIVATION, 8, 32, 0},
    {"int8-zstd", "int8+zstd", PLR_ROLE_GRADIENT, 16, 64, 32},
    {"int4-zstd", "int4+zstd", PLR_ROLE_GRADIENT, 16, 64, 32},
    {"int8-zstd-chunks", "int8+zstd", PLR_ROLE_DELTA, 5, 40000, 64},
    {"int2", "int2", PLR_ROLE_ACTIVATION, 5, 13, 32},
    {"int3-g64", "int3", PLR_ROLE_ACTIVATION, 9, 19, 64},
    {"int5", "int5", PLR_ROLE_ACTIVATION, 5, 13, 32},
    {"int7-g128", "int7", PLR_ROLE_ACTIVATION, 9, 19, 128},
    {"int4-hadamard", "int4+hadamard", PLR_ROLE_DELTA, 9, 48, 32},
    {"uniform-hadamard", "uniform4+hadamard", PLR_ROLE_DELTA, 70, 24, 0},
    {"raw-split", "raw+split", PLR_ROLE_STATE, 40, 33, 0},
    {"bf16-split", "bf16+split", PLR_ROLE_STATE, 40, 33, 0},
    {"uniform", "uniform4", PLR_ROLE_GRADIENT, 70, 31, 0},
    {"uniform-token", "uniform3+token", PLR_ROLE_ACTIVATION, 64, 96, 0},
    {"uniform-small", "uniform6", PLR_ROLE_ACTIVATION, 3, 17, 0},
    {"uniform-chunks", "uniform1+token", PLR_ROLE_ACTIVATION, 3, 40000, 0},
    {"dither", "dither4", PLR_ROLE_GRADIENT, 70, 31, 0},
    {"dither-token", "dither5+token", PLR_ROLE_GRADIENT, 9, 480, 0},
    {"trellis", "trellis4", PLR_ROLE_ACTIVATION, 70, 31, 0},
    {"trellis-token", "trellis3+token", PLR_ROLE_ACTIVATION, 64, 96, 0},
    {"channels", "uniform5", PLR_ROLE_ACTIVATION, 300, 13, 0},
    {"channels-trellis", "trellis6", PLR_ROLE_ACTIVATION, 300, 13, 0},
    {"means", "uniform4", PLR_ROLE_ACTIVATION, 90, 14, 0},
    {"means-trellis", "trellis8+token", PLR_ROLE_ACTIVATION, 90, 14, 0},
    {"int4-histogram", "int4+histogram", PLR_ROLE_GRADIENT, 130, 64, 128},
    {"int8-histogram", "int8+histogram", PLR_ROLE_GRADIENT, 130, 64, 128},
    {"int6-dct", "int6+dct", PLR_ROLE_DELTA, 9, 70, 32},
    {"uniform-dct", "uniform4+dct", PLR_ROLE_DELTA, 70, 24, 0},
    {"int8-basis", "int8+basis", PLR_ROLE_ACTIVATION, 9, 48, 32},
    {"trellis-basis", "trellis3+basis+token", PLR_ROLE_ACTIVATION, 40, 96, 0},
    {"sample", "uniform4+sample", PLR_ROLE_ACTIVATION, 24, 40, 0},
    {"sample-second", "uniform4+sample", PLR_ROLE_ACTIVATION, 24, 40, 0},
    {"anchor", "int5+anchor", PLR_ROLE_ACTIVATION, 13, 33, 32},
    {"anchor-second", "int5+anchor", PLR_ROLE_ACTIVATION, 13, 33, 32},
    {"uniform-streamed", "uniform1+token", PLR_ROLE_ACTIVATION, 3, 40000, 0},
    {"int8-zstd-streamed", "int8+zstd", PLR_ROLE_DELTA, 16, 64, 64},
    {"bf16-split-lanes", "bf16+split", PLR_ROLE_STATE, 1, 32800, 0},
    {"bf16-split-columns", "bf16+split", PLR_ROLE_STATE, 300, 13, 0},
    {"raw-split-columns", "raw+split", PLR_ROLE_STATE, 300, 13, 0},
    {"fp16", "fp16", PLR_ROLE_ACTIVATION, 5, 14, 0},
    {"fp16-zstd", "fp16+zstd", PLR_ROLE_STATE, 40, 34, 0},
    {"fp16-split", "fp16+split", PLR_ROLE_STATE, 40, 35, 0},
    {"topk", "topk", PLR_ROLE_DELTA, 70, 64, 0},
    {"topk-g128", "topk+g128", PLR_ROLE_DELTA, 3, 40000, 0},
    {"eden2-g128", "eden2+g128", PLR_ROLE_DELTA, 9, 48, 0},
    {"eden3", "eden3", PLR_ROLE_DELTA, 5, 21, 0},
    {"eden4", "eden4", PLR_ROLE_GRADIENT, 3, 512, 0},
    {"mask", "mask65535", PLR_ROLE_DELTA, 1, 33, 0},
    {"mask-bf16", "mask20+bf16", PLR_ROLE_DELTA, 1, 34, 0},
    {"mask-int4", "mask20+int4", PLR_ROLE_DELTA, 2, 35, 0},
    {"mask-int8", "mask3+int8", PLR_ROLE_DELTA, 1, 100, 0},
    {"tokens-packed", NULL, PLR_ROLE_TOKENS, 2, 17, 50257},
    {"tokens-zstd", NULL, PLR_ROLE_TOKENS, 4, 65, 256},
    {"control", NULL, PLR_ROLE_CONTROL, 1, 29, 0},
};

static plr_context *context(void) {
  plr_context_options o = test_options(NULL);
  return test_context(&o);
}

/* The input of a golden frame: n elements of four bytes, or n bytes of control payload. */
static void *golden_input(const golden *g, size_t n) {
  uint64_t seed = g->rows * 1000 + g->cols;
  uint32_t *x = calloc(n + 1, 4);
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) {
    float v = test_value(&seed);
    if (g->cols == 13 && g->rows == 300) v *= i % 13 == 4 ? 3000.0f : i % 13 == 7 ? 0.0f : 1.0f;
    if (g->cols == 14 && g->rows == 90) v += (float)(i % 14) - 4.0f;
    if (g->role == PLR_ROLE_CONTROL)
      ((uint8_t *)x)[i] = (uint8_t)test_random(&seed);
    else if (g->role == PLR_ROLE_TOKENS)
      x[i] = (uint32_t)(test_random(&seed) % (g->group == 256 ? 20 : g->group));
    else if (n < 100000 || i % 97 == 0) /* the large one is mostly zeros */
      x[i] = plr__f32_bits(v);
  }
  return x;
}

/* The frame of a tensor; for those that build on another that of x a second time, a little changed. */
static test_frame encode_tensor(plr_context *ctx, const golden *g, float *x) {
  plr_codec c = test_codec(g->codec, (uint16_t)g->group);
  const int second = ends_in(g, "-second");
  if (!second && !ends_in(g, "-streamed"))
    return test_encode(ctx, &c, g->role, x, g->rows, g->cols);
  plr_encoder *e;
  plr_tensor t;
  plr_frame_info info = test_info(g->role);
  assert_int_equal(plr_encoder_create(ctx, &c, g->rows, g->cols, &e, NULL), PLR_OK);
  test_ready_encoder(e, &c, g->rows, g->cols);
  const size_t cap = plr_encoder_bound(e);
  test_frame f = {malloc(cap), 0};
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, g->rows, g->cols);
  if (second) {
    assert_int_equal(plr_encoder_encode(e, &info, &t, f.data, cap, &f.len), PLR_OK);
    for (size_t i = 0; i < (size_t)g->rows * g->cols; i++) x[i] *= 1.25f;
    test_set_keys(e, &c, g->rows);
    assert_int_equal(plr_encoder_encode(e, &info, &t, f.data, cap, &f.len), PLR_OK);
  } else {
    uint32_t left = 1;
    assert_int_equal(plr_encoder_begin(e, &info, &t), PLR_OK);
    for (size_t len; left; f.len += len)
      assert_int_equal(plr_encoder_next(e, f.data + f.len, cap - f.len, &len, &left), PLR_OK);
  }
  plr_encoder_destroy(e);
  return f;
}

static test_frame golden_encode(plr_context *ctx, const golden *g) {
  const size_t n = (size_t)g->rows * g->cols;
  void *x = golden_input(g, n);
  test_frame f = {malloc(4096), 4096};
  plr_frame_info info = test_info(g->role);
  if (g->role == PLR_ROLE_TOKENS) {
    assert_int_equal(plr_tokens_encode(ctx, &info, x, g->rows, g->cols, g->group, f.data, &f.len),
                     PLR_OK);
  } else if (g->role == PLR_ROLE_CONTROL) {
    assert_int_equal(plr_control_encode(&info, x, g->cols, f.data, &f.len), PLR_OK);
  } else {
    free(f.data);
    f = encode_tensor(ctx, g, x);
  }
  free(x);
  return f;
}

/* Decodes by role and hashes what came out, little-endian. */
static plr_status decode_hash(plr_context *ctx, plr_decoder *d, const void *frame, size_t len,
                              plr_hash *out, plr_error *err) {
  plr_frame_info info = {.struct_size = sizeof info};
  const uint8_t *payload;
  uint32_t payload_len;
  PLR_TRY(plr_frame_parse(ctx, frame, len, &info, err));
  if (info.role == PLR_ROLE_CONTROL) {
    PLR_TRY(plr_control_decode(ctx, frame, len, &payload, &payload_len, &info, err));
    plr_sha256(payload, payload_len, out);
    return PLR_OK;
  }
  const size_t n = (size_t)info.rows * info.cols;
  if (n > 1000000) return PLR_ERR_LIMIT;
  uint32_t *x = malloc(n * 4 + 1);
  plr_status st;
  if (info.role == PLR_ROLE_TOKENS) {
    st = plr_tokens_decode(ctx, frame, len, (int32_t *)x, n, NULL, err);
  } else if (d) {
    plr_tensor t;
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, info.rows, info.cols);
    st = plr_decoder_decode(d, frame, len, &t, NULL, err);
  } else {
    st = test_decode(ctx, frame, len, (float *)x, info.rows, info.cols, err);
  }
  for (size_t i = 0; i < n && st == PLR_OK; i++) plr__store_le32(x + i, x[i]);
  plr_sha256(x, n * 4, out);
  free(x);
  return st;
}

static test_frame read_frame(const char *folder, const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s%s.plr", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file) fail_msg("cannot read %s", path);
  test_frame f = {malloc(1 << 20), 0};
  f.len = fread(f.data, 1, 1 << 20, file);
  fclose(file);
  f.data = realloc(f.data, f.len + 1); /* so that a sanitizer sees a read past the end */
  return f;
}

/* A decoder that has seen what `g` builds on, NULL when that is nothing. */
static plr_decoder *decoder_for(plr_context *ctx, const golden *g) {
  plr_decoder *d;
  plr_tensor t;
  if (!ends_in(g, "-second")) return NULL;
  test_frame before = read_frame(FOLDER, g[-1].name);
  float *y = malloc((size_t)g->rows * g->cols * sizeof *y);
  plr_tensor_matrix(&t, y, PLR_DTYPE_F32, g->rows, g->cols);
  assert_int_equal(plr_decoder_create(ctx, g->rows, g->cols, &d, NULL), PLR_OK);
  test_ready_decoder(d, g->rows, g->cols);
  assert_int_equal(plr_decoder_decode(d, before.data, before.len, &t, NULL, NULL), PLR_OK);
  free(y), free(before.data);
  return d;
}

static plr_status decode_golden(plr_context *ctx, const golden *g, const test_frame *f,
                                plr_hash *values, plr_error *err) {
  plr_decoder *d = decoder_for(ctx, g);
  plr_status st = decode_hash(ctx, d, f->data, f->len, values, err);
  plr_decoder_destroy(d);
  return st;
}

static void check_golden(plr_context *ctx, const golden *g, const char *hex, const char *frame_hex,
                         unsigned zstd) {
  test_frame kept = read_frame(FOLDER, g->name), made = golden_encode(ctx, g);
  plr_hash values, h = plr__frame_hash(kept.data, kept.len);
  plr_error err = {0};
  assert_hash(&h, frame_hex);
  plr_status st = decode_golden(ctx, g, &kept, &values, &err);
  if (st != PLR_OK) fail_msg("%s: %s: %s", g->name, err.where, err.message);
  assert_hash(&values, hex);
  /* zstd's bytes depend on its version; what they decode to does not. */
  if (zstd == 0 || zstd == ZSTD_versionNumber()) {
    if (kept.len != made.len || memcmp(kept.data, made.data, made.len) != 0)
      fail_msg("%s is not made to the same bytes", g->name);
  } else {
    print_message("%s: made by zstd %u, this is %u: compared decoded\n", g->name, zstd,
                  ZSTD_versionNumber());
  }
  assert_int_equal(decode_golden(ctx, g, &made, &values, &err), PLR_OK);
  assert_hash(&values, hex);
  free(kept.data), free(made.data);
}

static void test_golden(void **state) {
  (void)state;
  plr_context *ctx = context();
  FILE *index = fopen(FOLDER "index.txt", "r");
  assert_non_null(index);
  char name[64], frame_hex[65], hex[65];
  unsigned zstd;
  size_t seen = 0;
  while (fscanf(index, "%63s %64s %64s %u", name, frame_hex, hex, &zstd) == 4) {
    for (size_t i = 0; i < PLR_COUNT_OF(goldens); i++) {
      if (strcmp(goldens[i].name, name) != 0) continue;
      check_golden(ctx, &goldens[i], hex, frame_hex, zstd);
      seen++;
    }
  }
  assert_true(feof(index));
  fclose(index);
  assert_int_equal(seen, PLR_COUNT_OF(goldens));
  plr_context_destroy(ctx);
}

static void test_must_fail(void **state) {
  (void)state;
  plr_context *ctx = context();
  FILE *index = fopen(FOLDER "must_fail/index.txt", "r");
  assert_non_null(index);
  char name[64], status[64];
  size_t seen = 0;
  while (fscanf(index, "%63s %63s", name, status) == 2) {
    test_frame f = read_frame(FOLDER "must_fail/", name);
    plr_error err = {0};
    plr_hash h;
    plr_status st = decode_hash(ctx, NULL, f.data, f.len, &h, &err);
    if (strcmp(plr_status_name(st), status) != 0)
      fail_msg("%s: %s (%s: %s), expected %s", name, plr_status_name(st), err.where, err.message,
               status);
    assert_int_equal(err.status, st);
    assert_true(err.where[0] && err.message[0]);
    free(f.data);
    seen++;
  }
  assert_true(feof(index));
  fclose(index);
  assert_true(seen >= 60);
  plr_context_destroy(ctx);
}

/* ---- writing ----------------------------------------------------------------------------------- */

static int write_frame(const char *folder, const char *name, const void *data, size_t len) {
  char path[512];
  snprintf(path, sizeof path, "%s%s.plr", folder, name);
  FILE *file = fopen(path, "wb");
  if (!file) return 1;
  int bad = fwrite(data, 1, len, file) != len;
  return fclose(file) != 0 || bad;
}

static int write_goldens(plr_context *ctx) {
  FILE *index = fopen(FOLDER "index.txt", "w");
  if (!index) return 1;
  int bad = 0;
  for (size_t i = 0; i < PLR_COUNT_OF(goldens); i++) {
    const golden *g = &goldens[i];
    test_frame f = golden_encode(ctx, g);
    plr_frame_info info = {.struct_size = sizeof info};
    bad |= write_frame(FOLDER, g->name, f.data, f.len); /* first: the next one may build on it */
    plr_hash h = plr__frame_hash(f.data, f.len), values;
    char frame_hex[65], hex[65];
    bad |= decode_golden(ctx, g, &f, &values, NULL) != PLR_OK;
    bad |= plr_frame_parse(ctx, f.data, f.len, &info, NULL) != PLR_OK;
    plr__hex_encode(h.bytes, 32, frame_hex);
    plr__hex_encode(values.bytes, 32, hex);
    fprintf(index, "%s %s %s %u\n", g->name, frame_hex, hex,
            info.codec.entropy == PLR_ENTROPY_ZSTD ? ZSTD_versionNumber() : 0);
    free(f.data);
  }
  return fclose(index) != 0 || bad;
}

static int write_must_fail(plr_context *ctx) {
  FILE *index = fopen(FOLDER "must_fail/index.txt", "w");
  if (!index) return 1;
  int bad = 0;
  for (size_t i = 0; i < PLR_COUNT_OF(must_fail_cases); i++) {
    const must_fail_case *c = &must_fail_cases[i];
    test_frame f = must_fail_frame(ctx, c);
    fprintf(index, "%s %s\n", c->name, plr_status_name(c->status));
    bad |= write_frame(FOLDER "must_fail/", c->name, f.data, f.len);
    free(f.data);
  }
  return fclose(index) != 0 || bad;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--write") == 0) {
    plr_context *ctx = context();
    int bad = write_goldens(ctx) | write_must_fail(ctx);
    plr_context_destroy(ctx);
    return bad;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),
      cmocka_unit_test(test_must_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
