/* Codecs: what comes back, how far off it may be, and that nothing but the values decides the bytes. */
#include "exchange_test.h"
#include "float_mode.h"

static plr_context *context(uint32_t isa, test_allocator *a) {
  plr_context_options o = test_options(a);
  o.isa = isa;
  return test_context(&o);
}

static void test_names(void **state) {
  (void)state;
  plr_codec c;
  for (size_t i = 0; i < PLR_COUNT_OF(test_codec_names); i++)
    assert_int_equal(plr_codec_from_name(test_codec_names[i], &c), PLR_OK);
  assert_int_equal(plr_codec_from_name("int4+zstd", &c), PLR_OK);
  assert_int_equal(c.bits, 4);
  assert_int_equal(c.group, 32);
  assert_int_equal(c.entropy, PLR_ENTROPY_ZSTD);
  assert_int_equal(plr_codec_from_name("int8+g128+zstd", &c), PLR_OK);
  assert_int_equal(c.group, 128);
  assert_int_equal(plr_codec_from_name("trellis+token", &c), PLR_OK);
  assert_int_equal(c.quant, PLR_QUANT_TRELLIS);
  assert_int_equal(c.entropy, PLR_ENTROPY_PARAMETRIC);
  assert_int_equal(c.bits, 4);
  assert_int_equal(c.group, PLR_STEP_TOKEN);
  assert_int_equal(plr_codec_from_name("uniform12", &c), PLR_OK);
  assert_int_equal(c.bits, 12);
  assert_int_equal(c.group, PLR_STEP_GLOBAL);
  assert_int_equal(plr_codec_from_name("topk+g128", &c), PLR_OK);
  assert_int_equal(c.quant, PLR_QUANT_TOPK);
  assert_int_equal(c.entropy, PLR_ENTROPY_RICE);
  assert_int_equal(c.bits, 2);
  assert_int_equal(c.group, 128);
  assert_int_equal(plr_codec_from_name("mask20+int8", &c), PLR_OK);
  assert_int_equal(c.quant, PLR_QUANT_MASK);
  assert_int_equal(c.bits, 8);
  assert_int_equal(c.group, 20);
  const char *wrong[] = {"",
                         "mask",
                         "mask0",
                         "mask65536",
                         "mask020",
                         "mask20+int5",
                         "mask20+int4+bf16",
                         "mask20+zstd",
                         "mask20+hadamard",
                         "int4+int8",
                         "raw+bf16",
                         "fp16+int8",
                         "fp16+hadamard",
                         "eden0",
                         "eden5",
                         "eden4+g64",
                         "eden4+zstd",
                         "topk2",
                         "topk+zstd",
                         "topk+hadamard",
                         "topk+token",
                         "int",
                         "int4 ",
                         "int44",
                         "raw+",
                         "raw+zstdx",
                         "RAW",
                         "zstd",
                         "uniform0",
                         "uniform13",
                         "uniform04",
                         "uniform+g64",
                         "uniform+zstd",
                         "raw+token",
                         "raw4",
                         "int1",
                         "raw+hadamard",
                         "int9",
                         "int12",
                         "int4+zstd+zstd",
                         "int4+split",
                         "raw+split+zstd",
                         "uniform+split",
                         "int4+g32+g64",
                         "+raw",
                         "dither4+",
                         "uniform1x"};
  for (size_t i = 0; i < PLR_COUNT_OF(wrong); i++)
    assert_int_equal(plr_codec_from_name(wrong[i], &c), PLR_ERR_NOT_FOUND);
  assert_int_equal(plr_codec_from_name(NULL, &c), PLR_ERR_INVALID_ARGUMENT);
}

/* Every shape decodes; lossless codecs give the same bits; sizes are what FRAME.md says. */
static void test_round_trip(void **state) {
  (void)state;
  static const uint32_t shapes[][2] = {{1, 1},    {1, 3},    {5, 7},     {3, 32},   {64, 8},
                                       {129, 65}, {9000, 8}, {3, 30001}, {2, 65537}};
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  for (size_t s = 0; s < PLR_COUNT_OF(shapes); s++) {
    const uint32_t rows = shapes[s][0], cols = shapes[s][1];
    const size_t n = (size_t)rows * cols;
    float *x = test_floats(s, n), *y = malloc(n * sizeof *y);
    for (size_t i = 0; i < PLR_COUNT_OF(test_codec_names); i++) {
      plr_codec c = test_codec(test_codec_names[i], 32);
      plr_error err = {0};
      test_frame f = test_encode(ctx, &c, PLR_ROLE_GRADIENT, x, rows, cols);
      if (test_decode(ctx, f.data, f.len, y, rows, cols, &err) != PLR_OK)
        fail_msg("%s %ux%u: %s: %s", test_codec_names[i], rows, cols, err.where, err.message);
      for (size_t j = 0; j < n; j++) {
        float want = x[j];
        if (c.dtype == PLR_DTYPE_BF16) want = plr__bf16_to_f32(plr__f32_to_bf16(want));
        if (c.dtype == PLR_DTYPE_F16) want = plr__f16_to_f32(plr__f32_to_f16(want));
        if (c.quant == PLR_QUANT_RAW || (c.quant == PLR_QUANT_MASK && !c.bits))
          assert_int_equal(plr__f32_bits(y[j]), plr__f32_bits(want));
        else
          assert_true(fabsf(y[j] - want) < (c.quant >= PLR_QUANT_TOPK ? 4.1f : 0.6f));
      }
      plr_frame_info info = {.struct_size = sizeof info};
      assert_int_equal(plr_frame_parse(ctx, f.data, f.len, &info, &err), PLR_OK);
      assert_int_equal(info.rows, rows);
      assert_int_equal(info.cols, cols);
      assert_int_equal(info.step, 70000);
      assert_int_equal(info.micro_batch, 5);
      assert_int_equal(info.stream, 3);
      assert_true(info.seed == UINT64_C(0x0123456789abcdef));
      assert_memory_equal(&info.codec, &c, sizeof c);
      assert_int_equal(info.payload_len, f.len - plr__frame_header_len(&info));
      free(f.data);
    }
    free(x), free(y);
  }
  plr_context_destroy(ctx);
}

/* A chunk that zstd cannot shrink is stored, and the next one is still compressed. */
static void test_stored_and_compressed_chunks(void **state) {
  (void)state;
  enum { COLS = 40000 };
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  float *x = calloc(3 * COLS, sizeof *x), *y = malloc(3 * COLS * sizeof *y);
  uint64_t seed = 6;
  for (size_t i = 0; i < COLS; i++) {
    uint32_t bits = (uint32_t)test_random(&seed);
    memcpy(x + COLS + i, &bits, sizeof bits);
  }
  plr_codec c = test_codec("raw+zstd", 0);
  test_frame f = test_encode(ctx, &c, PLR_ROLE_STATE, x, 3, COLS);
  assert_true(f.len > 4 * COLS && f.len < 4 * COLS + 1000);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, 3, COLS, NULL), PLR_OK);
  assert_memory_equal(x, y, 3 * COLS * sizeof *x);
  free(x), free(y), free(f.data);
  plr_context_destroy(ctx);
}

static void test_exact_sizes(void **state) {
  (void)state;
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  float *x = test_floats(1, 512 * 16);
  static const struct {
    const char *name;
    uint16_t group;
    size_t len;
  } cases[] = {{"raw", 0, 84 + 32768},        {"bf16", 0, 84 + 16384},
               {"int8", 32, 84 + 8192 + 512}, {"int4", 32, 84 + 4096 + 512},
               {"int4", 64, 84 + 4096 + 256}, {"int4", 128, 84 + 4096 + 128}};
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    plr_codec c = test_codec(cases[i].name, cases[i].group);
    test_frame f = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, 512, 16);
    assert_int_equal(f.len, cases[i].len);
    /* zstd never makes a frame longer. */
    c.entropy = PLR_ENTROPY_ZSTD;
    test_frame z = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, 512, 16);
    assert_true(z.len < f.len);
    free(f.data), free(z.data);
  }
  free(x);
  plr_context_destroy(ctx);
}

/* Group by group. The scale is within 2^-8 of m / h, so the largest value may lie h / 256 steps past the end -h, and
 * one on the other side a step more past h - 1; all others are off by half a step at most. */
static void check_block_bounds(const plr_codec *c, const float *x, const float *y, size_t n) {
  const double h = 1 << (c->bits - 1);
  for (size_t i = 0; i < n; i += c->group) {
    size_t m = PLR_MIN(c->group, n - i);
    double most = 0;
    for (size_t j = 0; j < m; j++) most = fmax(most, fabs((double)x[i + j]));
    const double step = most / h * (1.0 + 0x1p-8);
    for (size_t j = 0; j < m; j++) {
      double size = fabs((double)x[i + j]), e = fabs((double)x[i + j] - (double)y[i + j]);
      double limit = size > (h - 0.5) / h * most * 0.99 ? step * (1.01 + h / 256) : step * 0.501;
      if (e > limit)
        fail_msg("value %zu: %g became %g, step %g", i + j, (double)x[i + j], (double)y[i + j],
                 step);
    }
  }
}

/* SNR on N(0,1) against a simulation of the same rule in binary64 by an independent program. */
static void test_error_is_what_theory_says(void **state) {
  (void)state;
  static const struct {
    const char *name;
    uint16_t group;
    double db;
  } cases[] = {{"int4", 32, 21.33}, {"int4", 64, 20.44}, {"int4", 128, 19.75},
               {"int8", 32, 45.43}, {"int8", 64, 44.56}, {"int8", 128, 43.83},
               {"bf16", 0, 55.6},   {"int2", 32, 8.86},  {"int3", 32, 15.21},
               {"int5", 32, 27.39}, {"int6", 32, 33.44}, {"int7", 32, 39.45}};
  enum { ROWS = 4096, COLS = 16, N = ROWS * COLS };
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
  uint64_t seed = 42;
  for (size_t i = 0; i < N; i++) x[i] = test_normal(&seed);
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    plr_codec c = test_codec(cases[i].name, cases[i].group);
    test_frame f = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, ROWS, COLS);
    assert_int_equal(test_decode(ctx, f.data, f.len, y, ROWS, COLS, NULL), PLR_OK);
    if (c.bits) check_block_bounds(&c, x, y, N);
    double power = 0, error = 0;
    for (size_t j = 0; j < N; j++) {
      double e = (double)x[j] - (double)y[j];
      power += (double)x[j] * (double)x[j], error += e * e;
    }
    double db = 10 * log10(power / error);
    if (fabs(db - cases[i].db) > 0.25)
      fail_msg("%s/%u: %.2f dB, expected %.2f", cases[i].name, cases[i].group, db, cases[i].db);
    free(f.data);
  }
  free(x), free(y);
  plr_context_destroy(ctx);
}

/* Values at the ends of the range, zeros of both signs, denormals, one-sided groups. */
static void fill_hard(float *x, size_t n, uint32_t kind, uint64_t *seed) {
  for (size_t i = 0; i < n; i++) {
    uint64_t r = test_random(seed);
    uint32_t sign = (uint32_t)(r & 1) << 31, mantissa = (uint32_t)(r >> 8 & 0x7fffff);
    switch (kind) {
    case 0: /* any finite bits */
      x[i] = plr__f32_from_bits(sign | (uint32_t)(r >> 40) % 255u << 23 | mantissa);
      break;
    case 1: /* denormals and zeros */
      x[i] = plr__f32_from_bits(sign | (r & 2 ? mantissa : 0));
      break;
    case 2: /* around the largest */
      x[i] = plr__f32_from_bits(sign | (0x7f7f7fffu - (uint32_t)(r >> 40 & 3)));
      break;
    case 3: /* positive only: the extreme is the largest */
      x[i] = plr__f32_from_bits(0x3f800000u | mantissa);
      break;
    case 4: /* halves of a step: ties */
      x[i] = (float)((int32_t)(r >> 40 & 63) - 32) * 0.25f;
      break;
    default: /* both ends equal */
      x[i] = i % 2 ? 8.0f : -8.0f;
      break;
    }
  }
}

/* Every instruction set gives the same bytes and the same values, for every length and hard values. */
static void test_isa_equal(void **state) {
  (void)state;
  plr_context *best = context(PLR_ISA_BEST, NULL), *plain = context(PLR_ISA_PORTABLE, NULL);
  assert_int_equal(plr_context_isa(plain), PLR_ISA_PORTABLE);
  if (plr_context_isa(best) == PLR_ISA_PORTABLE)
    print_message("no AVX2 here: compared with itself\n");
  plr_context *middle =
      context(plr_context_isa(best) == PLR_ISA_AVX512 ? PLR_ISA_AVX2 : PLR_ISA_BEST, NULL);
  uint64_t seed = 7;
  for (uint32_t round = 0; round < 600; round++) {
    const uint32_t cols = 1 + (uint32_t)(test_random(&seed) % (round % 4 ? 200 : 1000));
    const uint32_t rows = 1 + (uint32_t)(test_random(&seed) % 9);
    const size_t n = (size_t)rows * cols;
    float *x = malloc(n * sizeof *x), *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    fill_hard(x, n, round % 6, &seed);
    static const uint16_t groups[] = {32, 64, 128};
    plr_codec c =
        test_codec(test_codec_names[round / 6 % PLR_COUNT_OF(test_codec_names)], groups[round % 3]);
    for (size_t i = 0; i < n && (c.quant >= PLR_QUANT_UNIFORM || c.transform); i++)
      x[i] *= 0x1p-40f;
    const float most = c.dtype == PLR_DTYPE_BF16  ? plr__f32_from_bits(0x7f7f7fffu)
                       : c.dtype == PLR_DTYPE_F16 ? 65519.0f
                                                  : INFINITY;
    for (size_t i = 0; i < n; i++) /* nothing that rounds to infinity */
      if (fabsf(x[i]) > most) x[i] = 1.0f;
    test_frame p = test_encode(best, &c, PLR_ROLE_STATE, x, rows, cols);
    test_frame q = test_encode(plain, &c, PLR_ROLE_STATE, x, rows, cols);
    assert_int_equal(p.len, q.len);
    assert_memory_equal(p.data, q.data, p.len);
    test_frame r = test_encode(middle, &c, PLR_ROLE_STATE, x, rows, cols);
    assert_int_equal(p.len, r.len);
    assert_memory_equal(p.data, r.data, p.len);
    assert_int_equal(test_decode(best, p.data, p.len, a, rows, cols, NULL), PLR_OK);
    assert_int_equal(test_decode(plain, p.data, p.len, b, rows, cols, NULL), PLR_OK);
    assert_memory_equal(a, b, n * sizeof *a);
    for (size_t i = 0; i < n; i++) assert_true(isfinite(a[i]));
    free(p.data), free(q.data), free(r.data);
    free(x), free(a), free(b);
  }
  plr_context_destroy(best);
  plr_context_destroy(plain);
  plr_context_destroy(middle);
}

/* One value that is not finite is found wherever it stands. */
static void test_not_finite_anywhere(void **state) {
  (void)state;
  enum { N = 3000 };
  static float x[N];
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  uint64_t seed = 12;
  for (uint32_t round = 0; round < 400; round++) {
    static const float bad[] = {INFINITY, -INFINITY, NAN, -NAN};
    static const char *const names[] = {"int8", "int4", "int4+g128", "bf16"};
    plr_codec c = test_codec(names[round % 4], round % 3 ? 32 : 64);
    plr_encoder *e;
    plr_tensor t;
    plr_frame_info info = test_info(PLR_ROLE_STATE);
    for (size_t i = 0; i < N; i++) x[i] = test_value(&seed);
    x[test_random(&seed) % N] = bad[test_random(&seed) % 4];
    assert_int_equal(plr_encoder_create(ctx, &c, 1, N, &e, NULL), PLR_OK);
    size_t cap = plr_encoder_bound(e), len;
    uint8_t *out = malloc(cap);
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, 1, N);
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_ERR_NON_FINITE);
    free(out);
    plr_encoder_destroy(e);
  }
  plr_context_destroy(ctx);
}

/* Rows with a gap between them give the frame of rows without, and come back into rows with a gap,
 * leaving the gap alone. */
static void test_strided_rows(void **state) {
  (void)state;
  enum { ROWS = 70, COLS = 1000, LD = 1007 };
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  float *x = test_floats(3, ROWS * COLS), *wide = malloc(sizeof(float) * ROWS * LD);
  float *y = malloc(sizeof(float) * ROWS * COLS);
  for (size_t r = 0; r < ROWS; r++) memcpy(wide + r * LD, x + r * COLS, COLS * sizeof *x);
  for (size_t i = 0; i < PLR_COUNT_OF(test_codec_names); i++) {
    plr_codec c = test_codec(test_codec_names[i], 64);
    test_frame f = test_encode(ctx, &c, PLR_ROLE_GRADIENT, x, ROWS, COLS);
    plr_encoder *e;
    plr_decoder *d;
    assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &e, NULL), PLR_OK);
    assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &d, NULL), PLR_OK);
    test_ready_encoder(e, &c, ROWS, COLS);
    test_ready_decoder(d, ROWS, COLS);
    plr_tensor t;
    plr_tensor_matrix(&t, wide, PLR_DTYPE_F32, ROWS, COLS);
    t.strides[0] = LD;
    plr_frame_info info = test_info(PLR_ROLE_GRADIENT);
    size_t cap = plr_encoder_bound(e), len;
    uint8_t *out = malloc(cap);
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_OK);
    assert_int_equal(len, f.len);
    assert_memory_equal(out, f.data, len);
    float *back = malloc(sizeof(float) * ROWS * LD);
    for (size_t j = 0; j < ROWS * LD; j++) back[j] = -77.0f;
    t.data = back;
    assert_int_equal(plr_decoder_decode(d, out, len, &t, &info, NULL), PLR_OK);
    assert_int_equal(test_decode(ctx, out, len, y, ROWS, COLS, NULL), PLR_OK);
    for (size_t r = 0; r < ROWS; r++) {
      assert_memory_equal(back + r * LD, y + r * COLS, COLS * sizeof *y);
      for (size_t j = COLS; j < LD; j++) assert_true(back[r * LD + j] == -77.0f);
    }
    plr_encoder_destroy(e);
    plr_decoder_destroy(d);
    free(out), free(back), free(f.data);
  }
  free(x), free(y), free(wide);
  plr_context_destroy(ctx);
}

/* The caller's rounding mode, flush-to-zero and denormals-are-zero do not reach the bytes. */
static void test_host_float_mode(void **state) {
  (void)state;
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  float x[96], y[96];
  uint64_t seed = 5;
  for (size_t i = 0; i < 96; i++) x[i] = test_value(&seed) * (i < 32 ? 0x1p-125f : 1.0f);
  for (size_t i = 0; i < 4; i++) {
    plr_codec c = test_codec(test_codec_names[i], 32);
    test_frame f = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, 3, 32);
    const uint64_t saved = float_mode();
    set_float_mode(FLOAT_MODE_EXACT | FLOAT_MODE_FLUSH | FLOAT_MODE_CHOP);
    const uint64_t held = float_mode(); /* an emulated processor may not take all of it */
    test_frame g = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, 3, 32);
    plr_status st = test_decode(ctx, g.data, g.len, y, 3, 32, NULL);
    const uint64_t left = float_mode();
    set_float_mode(saved);
    assert_int_equal(left, held);
    assert_int_equal(st, PLR_OK);
    assert_int_equal(f.len, g.len);
    assert_memory_equal(f.data, g.data, f.len);
    free(f.data), free(g.data);
  }
  plr_context_destroy(ctx);
}

static void test_non_finite(void **state) {
  (void)state;
  enum { N = 200 };
  const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 3.4e38f};
  for (uint32_t isa = 0; isa < 2; isa++) {
    plr_context *ctx = context(isa ? PLR_ISA_BEST : PLR_ISA_PORTABLE, NULL);
    for (size_t i = 0; i < PLR_COUNT_OF(test_codec_names); i++) {
      plr_codec c = test_codec(test_codec_names[i], 64);
      plr_encoder *e;
      assert_int_equal(plr_encoder_create(ctx, &c, 1, N, &e, NULL), PLR_OK);
      test_ready_encoder(e, &c, 1, N);
      size_t cap = plr_encoder_bound(e), len = 0;
      uint8_t *out = malloc(cap);
      for (size_t b = 0; b < PLR_COUNT_OF(bad); b++) {
        for (size_t at = 0; at < N; at += 13) {
          float x[N] = {0};
          x[at] = bad[b];
          plr_tensor t;
          plr_tensor_matrix(&t, x, PLR_DTYPE_F32, 1, N);
          plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
          const int raw = c.quant == PLR_QUANT_RAW || (c.quant == PLR_QUANT_MASK && !c.bits);
          const int large = c.quant == PLR_QUANT_BLOCK_INT || c.quant >= PLR_QUANT_TOPK;
          const int fine =
              raw ? c.dtype == PLR_DTYPE_F32 : large && c.quant != PLR_QUANT_EDEN && b == 4;
          test_set_keys(e, &c, 1);
          assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len),
                           fine ? PLR_OK : PLR_ERR_NON_FINITE);
        }
      }
      free(out);
      plr_encoder_destroy(e);
    }
    plr_context_destroy(ctx);
  }
}

static void test_raw_keeps_nan_bits(void **state) {
  (void)state;
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  uint32_t bits[4] = {0x7fc12345u, 0xff800001u, 0x80000000u, 0x00000001u}, back[4];
  float x[4], y[4];
  memcpy(x, bits, sizeof x);
  for (size_t i = 0; i <= 4; i += 4) {
    plr_codec c = test_codec(test_codec_names[i], 0);
    test_frame f = test_encode(ctx, &c, PLR_ROLE_STATE, x, 2, 2);
    assert_int_equal(test_decode(ctx, f.data, f.len, y, 2, 2, NULL), PLR_OK);
    memcpy(back, y, sizeof back);
    assert_memory_equal(back, bits, sizeof bits);
    free(f.data);
  }
  plr_context_destroy(ctx);
}

static void test_bad_calls(void **state) {
  (void)state;
  plr_context_options o = test_options(NULL);
  o.max_frame = 100000;
  plr_context *ctx = test_context(&o);
  plr_encoder *e = (plr_encoder *)1;
  plr_error err = {0};
  plr_codec c = test_codec("int4", 32);
  assert_int_equal(plr_encoder_create(ctx, &c, 0, 4, &e, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_null(e);
  assert_int_equal(plr_encoder_create(ctx, &c, 1000, 1000, &e, &err), PLR_ERR_LIMIT);
  assert_int_equal(plr_encoder_create(ctx, &c, UINT32_MAX, UINT32_MAX, &e, &err), PLR_ERR_LIMIT);
  c.bits = 9;
  assert_int_equal(plr_encoder_create(ctx, &c, 4, 4, &e, &err), PLR_ERR_UNSUPPORTED);
  assert_string_equal(err.message, "9 bits; 2 to 8 exist");
  c = test_codec("raw", 0);
  c.bits = 8;
  assert_int_equal(plr_encoder_create(ctx, &c, 4, 4, &e, &err), PLR_ERR_INVALID_ARGUMENT);
  c = test_codec("int8", 32);
  assert_int_equal(plr_encoder_create(ctx, &c, 4, 4, &e, &err), PLR_OK);
  float x[64] = {0};
  uint8_t out[512];
  size_t len = 0;
  plr_tensor t;
  plr_frame_info info = test_info(PLR_ROLE_TOKENS);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, 4, 4);
  assert_int_equal(plr_encoder_encode(e, &info, &t, out, sizeof out, &len),
                   PLR_ERR_INVALID_ARGUMENT);
  info.role = PLR_ROLE_DELTA;
  assert_int_equal(plr_encoder_encode(e, &info, &t, out, 64, &len), PLR_ERR_BUFFER_TOO_SMALL);
  assert_int_equal(len, plr_encoder_bound(e));
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, 5, 4);
  assert_int_equal(plr_encoder_encode(e, &info, &t, out, sizeof out, &len), PLR_ERR_SHAPE);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, 4, 4);
  t.strides[0] = -4;
  assert_int_equal(plr_encoder_encode(e, &info, &t, out, sizeof out, &len), PLR_ERR_SHAPE);
  t.strides[0] = 4, t.dtype = PLR_DTYPE_I32;
  assert_int_equal(plr_encoder_encode(e, &info, &t, out, sizeof out, &len), PLR_ERR_SHAPE);
  plr_encoder_destroy(e);
  plr_encoder_destroy(NULL);
  plr_decoder_destroy(NULL);
  plr_context_destroy(ctx);
}

/* After create nothing is allocated, whatever the codec and however often. Tokens: after the first call. */
static void test_steady_state_allocates_nothing(void **state) {
  (void)state;
  enum { ROWS = 40, COLS = 300 };
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  float *x = test_floats(9, ROWS * COLS), *y = malloc(sizeof(float) * ROWS * COLS);
  int32_t ids[600], back[600];
  for (size_t i = 0; i < 600; i++) ids[i] = (int32_t)(i * i % 61);
  for (size_t i = 0; i < PLR_COUNT_OF(test_codec_names); i++) {
    plr_codec c = test_codec(test_codec_names[i], 32);
    plr_encoder *e;
    plr_decoder *d;
    plr_tensor t, u;
    assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &e, NULL), PLR_OK);
    assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &d, NULL), PLR_OK);
    test_ready_encoder(e, &c, ROWS, COLS);
    test_ready_decoder(d, ROWS, COLS);
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS - 5);
    plr_tensor_matrix(&u, y, PLR_DTYPE_F32, ROWS, COLS - 5);
    t.strides[0] = u.strides[0] = COLS;
    size_t cap = plr_encoder_bound(e);
    uint8_t *out = malloc(cap);
    uint64_t before, after;
    for (int round = 0; round < 4; round++) {
      size_t len, token_len = cap;
      plr_frame_info info = test_info(PLR_ROLE_GRADIENT);
      test_set_keys(e, &c, ROWS);
      if (round == 1) plr_context_memory(ctx, NULL, NULL, &before);
      assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_OK);
      assert_int_equal(plr_decoder_decode(d, out, len, &u, &info, NULL), PLR_OK);
      assert_int_equal(plr_tokens_encode(ctx, &info, ids, 6, 100, 256, out, &token_len), PLR_OK);
      assert_int_equal(plr_tokens_decode(ctx, out, token_len, back, 600, &info, NULL), PLR_OK);
      assert_memory_equal(ids, back, sizeof ids);
    }
    plr_context_memory(ctx, NULL, NULL, &after);
    assert_int_equal(before, after);
    free(out);
    plr_encoder_destroy(e);
    plr_decoder_destroy(d);
  }
  free(x), free(y);
  plr_context_destroy(ctx);
}

/* Each allocation fails once; nothing leaks, nothing crashes, the status is NO_MEMORY. */
static void run_out_of_memory(const char *name) {
  int32_t ids[300], back[300];
  uint8_t frame[1024];
  for (size_t i = 0; i < 300; i++) ids[i] = (int32_t)(i % 7);
  for (int64_t at = 1;; at++) {
    test_allocator a;
    plr_context *ctx = context(PLR_ISA_BEST, &a);
    plr_codec c = test_codec(name, 32);
    plr_encoder *e = NULL;
    plr_decoder *d = NULL;
    plr_frame_info info = test_info(PLR_ROLE_TOKENS);
    size_t len = sizeof frame;
    a.fail_at = at;
    plr_status st = plr_encoder_create(ctx, &c, 10, 10, &e, NULL);
    if (st == PLR_OK) st = plr_decoder_create(ctx, 10, 10, &d, NULL);
    if (st == PLR_OK) st = plr_tokens_encode(ctx, &info, ids, 3, 100, 256, frame, &len);
    if (st == PLR_OK) st = plr_tokens_decode(ctx, frame, len, back, 300, NULL, NULL);
    int done = a.calls <= at;
    assert_int_equal(st, done ? PLR_OK : PLR_ERR_NO_MEMORY);
    plr_encoder_destroy(e);
    plr_decoder_destroy(d);
    plr_context_destroy(ctx);
    assert_int_equal(a.live, 0);
    assert_false(a.bad_free);
    if (done) break;
    assert_true(at < 100);
  }
}

static void test_out_of_memory(void **state) {
  (void)state;
  static const char *const names[] = {"int4+zstd", "uniform4", "trellis4+hadamard", "raw+split"};
  for (size_t i = 0; i < PLR_COUNT_OF(names); i++) run_out_of_memory(names[i]);
}

/* A context of little memory: a decoder is refused at create, and what it decodes, whatever the bytes, takes none. */
static void test_memory_limit(void **state) {
  (void)state;
  plr_context_options o = test_options(NULL);
  o.max_memory = 4 << 20;
  plr_context *ctx = test_context(&o);
  plr_decoder *d = NULL;
  uint64_t before, after, seed = 17;
  assert_int_equal(plr_decoder_create(ctx, 4096, 1024, &d, NULL), PLR_OK);
  plr_decoder *more[8] = {0};
  plr_status st = PLR_OK;
  for (size_t i = 0; i < 8 && st == PLR_OK; i++)
    st = plr_decoder_create(ctx, 4096, 1024, &more[i], NULL);
  assert_int_equal(st, PLR_ERR_NO_MEMORY);
  for (size_t i = 0; i < 8; i++) plr_decoder_destroy(more[i]);
  plr_context *large = context(PLR_ISA_BEST, NULL);
  float *x = test_floats(2, 40 * 64), *y = malloc(sizeof(float) * 40 * 64);
  for (size_t i = 0; i < PLR_COUNT_OF(test_codec_names); i++) {
    plr_codec c = test_codec(test_codec_names[i], 32);
    test_frame f = test_encode(large, &c, PLR_ROLE_STATE, x, 40, 64);
    plr_context_memory(ctx, NULL, NULL, &before);
    for (uint32_t round = 0; round < 200; round++) {
      const size_t at = PLR_FRAME_HEADER + test_random(&seed) % (f.len - PLR_FRAME_HEADER);
      const uint8_t old = f.data[at];
      plr_tensor t;
      plr_tensor_matrix(&t, y, PLR_DTYPE_F32, 40, 64);
      f.data[at] = (uint8_t)test_random(&seed);
      test_fix_frame(f.data, f.len);
      plr_decoder_decode(d, f.data, f.len, &t, NULL, NULL);
      f.data[at] = old;
      /* transforms borrow scratch of the context, which keeps it */
      if (round == 0 && c.transform) plr_context_memory(ctx, NULL, NULL, &before);
    }
    free(f.data);
    plr_context_memory(ctx, NULL, NULL, &after);
    assert_int_equal(before, after);
  }
  free(x), free(y);
  plr_decoder_destroy(d);
  plr_context_destroy(ctx);
  plr_context_destroy(large);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_stored_and_compressed_chunks),
      cmocka_unit_test(test_exact_sizes),
      cmocka_unit_test(test_error_is_what_theory_says),
      cmocka_unit_test(test_not_finite_anywhere),
      cmocka_unit_test(test_isa_equal),
      cmocka_unit_test(test_strided_rows),
      cmocka_unit_test(test_host_float_mode),
      cmocka_unit_test(test_non_finite),
      cmocka_unit_test(test_raw_keeps_nan_bits),
      cmocka_unit_test(test_bad_calls),
      cmocka_unit_test(test_steady_state_allocates_nothing),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_memory_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
