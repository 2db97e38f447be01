/* The entropy-coded quantisers: distance from the rate-distortion bound counting every byte, the same bytes on every
 * instruction set, budgets, and what a hostile chunk can do (nothing). */
#include "exchange/parametric.h"
#include "exchange_test.h"

static plr_context *context(uint32_t isa) {
  plr_context_options o = test_options(NULL);
  o.isa = isa;
  return test_context(&o);
}

static float *normals(uint64_t seed, size_t n) {
  float *x = malloc(n * sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) x[i] = test_normal(&seed);
  return x;
}

static double snr(const float *x, const float *y, size_t n) {
  double power = 0, error = 0;
  for (size_t i = 0; i < n; i++) {
    double e = (double)x[i] - (double)y[i];
    power += (double)x[i] * (double)x[i], error += e * e;
  }
  return 10 * log10(power / error);
}

/* ---- tables ------------------------------------------------------------------------------------- */

/* Every table has frequencies that are at least 1 and sum to less than 4096, and sizes that agree. */
static void test_tables(void **state) {
  (void)state;
  const uint16_t *f = plr__model.frequencies;
  for (uint32_t t = 0; t < PLR_MODEL_FAMILIES * PLR_MODEL_TABLES; t++) {
    uint32_t sum = 0;
    for (uint32_t m = 0; m <= plr__model.limits[t]; m++, f++) {
      assert_true(*f >= 1);
      sum += m ? 2u * *f : *f;
    }
    assert_true(sum < 4096);
    assert_true(plr__model.limits[t] <= 127);
  }
  /* Nearest rounding against the error function of the C library: within the half octave sixteenth. */
  const uint16_t *g = plr__model.frequencies;
  for (uint32_t t = 0; t < PLR_MODEL_TABLES; t++) {
    const double s = exp2((double)((int32_t)t - 32) / 8), zero = erf(0.5 / s / sqrt(2.0));
    if (fabs(g[0] / 4096.0 - zero) > 0.004 + 0.01 * zero)
      fail_msg("table %u: %g, not %g", t, g[0] / 4096.0, zero);
    g += plr__model.limits[t] + 1;
  }
}

static void test_logs_and_steps(void **state) {
  (void)state;
  for (int32_t s = PLR_STEP_LEAST; s <= PLR_STEP_MOST; s++) {
    const double step = (double)plr__model_step(s);
    assert_true(fabs(step / exp2(s / 64.0) - 1) < 1e-7);
    assert_int_equal(plr__model_log(step * step), s);
    assert_int_equal(plr__model_log(step * step * exp2(0.9 / 64)), s);
    assert_int_equal(plr__model_log(step * step * exp2(1.1 / 64)), s + 1);
  }
  assert_int_equal(plr__model_log(0.0), PLR_LOG_NONE);
}

static void test_bits(void **state) {
  (void)state;
  uint8_t bytes[4000];
  uint64_t seed = 3;
  for (uint32_t round = 0; round < 200; round++) {
    plr__bit_writer w = {.out = bytes, .cap = sizeof bytes};
    uint64_t expect = 0, s = seed;
    for (uint32_t i = 0; i < 150; i++) {
      const int32_t v = (int32_t)test_random(&seed) >> (8 + test_random(&seed) % 24);
      const uint32_t k = (uint32_t)(test_random(&seed) % 8);
      plr__bits_rice(&w, v, k);
      expect += plr__rice_length(v, k);
    }
    assert_true(w.len * 8 + w.count == expect);
    plr__bits_flush(&w);
    const size_t front = w.len / 3;
    plr__bit_reader r = {
        .front = bytes, .rest = bytes + front, .front_len = front, .rest_len = w.len - front};
    for (uint32_t i = 0; i < 150; i++) {
      const int32_t v = (int32_t)test_random(&s) >> (8 + test_random(&s) % 24);
      assert_int_equal(plr__bits_get_rice(&r, (uint32_t)(test_random(&s) % 8)), v);
    }
    assert_true(plr__bits_done(&r));
    plr__bits_get(&r, 9);
    assert_false(plr__bits_done(&r));
  }
}

/* ---- distance from the bound -------------------------------------------------------------------- */

/* All bytes of the frame counted. R(D) of a Gaussian: 6.0206 dB a bit. */
static void check_gap(plr_context *ctx, const char *name, const float *x, double limit, int print) {
  enum { ROWS = 512, COLS = 1024, N = ROWS * COLS };
  float *y = malloc(N * sizeof *y);
  plr_codec c = test_codec(name, 0);
  test_frame f = test_encode(ctx, &c, PLR_ROLE_ACTIVATION, x, ROWS, COLS);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, ROWS, COLS, NULL), PLR_OK);
  const double bits = 8.0 * (double)f.len / N, gap = 6.0206 * bits - snr(x, y, N);
  if (print) print_message("%s: %.3f bits, %.3f dB from the bound\n", name, bits, gap);
  if (gap > limit) fail_msg("%s: %.3f dB from the bound at %.3f bits", name, gap, bits);
  if (fabs(bits - c.bits) > 0.08) fail_msg("%s: %.3f bits", name, bits);
  free(f.data), free(y);
}

static void test_gap(void **state) {
  (void)state;
  static const struct {
    const char *name;
    double limit;
  } cases[] = {{"uniform2", 1.6},        {"uniform3", 1.6}, {"uniform4", 1.6}, {"uniform5", 1.6},
               {"uniform4+token", 1.65}, {"dither4", 1.66}, {"dither5", 1.63}, {"trellis2", 0.66},
               {"trellis3", 0.62},       {"trellis4", 0.6}, {"trellis5", 0.6}};
  plr_context *ctx = context(PLR_ISA_BEST);
  float *x = normals(42, 512 * 1024);
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++)
    check_gap(ctx, cases[i].name, x, cases[i].limit, 1);
  free(x);
  plr_context_destroy(ctx);
}

/* Channels of different scales: scales are sent, and save what theory says (0.35 bit for log-normal channels of 0.5,
 * tokens of 0.3; see the bound by reverse water-filling). */
static void test_channels(void **state) {
  (void)state;
  enum { ROWS = 512, COLS = 512, N = ROWS * COLS };
  plr_context *ctx = context(PLR_ISA_BEST);
  float *x = normals(7, N), *y = malloc(N * sizeof *y), channel[COLS];
  uint64_t seed = 8;
  double logs = 0;
  for (size_t c = 0; c < COLS; c++) {
    channel[c] = (float)exp(0.5 * (double)test_normal(&seed)) * (c % 128 == 5 ? 30.0f : 1.0f);
    logs += log2((double)channel[c]) / COLS;
  }
  for (size_t r = 0; r < ROWS; r++) {
    const float a = (float)exp(0.3 * (double)test_normal(&seed));
    logs += log2((double)a) / ROWS;
    for (size_t c = 0; c < COLS; c++) x[r * COLS + c] *= a * channel[c];
  }
  plr_codec codec = test_codec("uniform5", 0);
  test_frame f = test_encode(ctx, &codec, PLR_ROLE_GRADIENT, x, ROWS, COLS);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, ROWS, COLS, NULL), PLR_OK);
  double error = 0;
  for (size_t i = 0; i < N; i++) {
    double e = (double)x[i] - (double)y[i];
    error += e * e / N;
  }
  /* Bits of a value beyond log2(sigma / rms error): 0.254 of uniform quantisation, scales, overhead. */
  const double bits = 8.0 * (double)f.len / N, bound = logs - 0.5 * log2(error);
  if (bits - bound > 0.34) fail_msg("%.3f bits, the bound is %.3f", bits, bound);
  plr_frame_info info = {.struct_size = sizeof info};
  assert_int_equal(plr_frame_parse(ctx, f.data, f.len, &info, NULL), PLR_OK);
  assert_int_equal(info.chunks, 1 + N / 65536);
  free(f.data), free(x), free(y);
  plr_context_destroy(ctx);
}

/* Dither: unbiased, and the error does not depend on the value. */
static void test_dither_is_unbiased(void **state) {
  (void)state;
  enum { ROWS = 256, COLS = 64, N = ROWS * COLS };
  plr_context *ctx = context(PLR_ISA_BEST);
  float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
  for (size_t i = 0; i < N; i++) x[i] = (float)(i % COLS) / COLS - 0.3f; /* the same in all rows */
  plr_codec c = test_codec("dither3", 0);
  test_frame f = test_encode(ctx, &c, PLR_ROLE_GRADIENT, x, ROWS, COLS);
  assert_int_equal(test_decode(ctx, f.data, f.len, y, ROWS, COLS, NULL), PLR_OK);
  double error = 0;
  for (size_t i = 0; i < N; i++) error += pow((double)(x[i] - y[i]), 2) / N;
  for (size_t col = 0; col < COLS; col++) {
    double mean = 0;
    for (size_t r = 0; r < ROWS; r++) mean += (double)(y[r * COLS + col] - x[col]) / ROWS;
    assert_true(fabs(mean) < 5 * sqrt(error / ROWS));
  }
  free(f.data), free(x), free(y);
  plr_context_destroy(ctx);
}

/* ---- the same bytes everywhere ------------------------------------------------------------------ */

static void fill(float *x, uint32_t rows, uint32_t cols, uint32_t kind, uint64_t *seed) {
  for (uint32_t r = 0; r < rows; r++)
    for (uint32_t c = 0; c < cols; c++) {
      float v = test_normal(seed);
      if (kind == 1) v *= c % 5 == 0 ? 4000.0f : 1.0f; /* raw bits */
      if (kind == 2) v *= r % 3 == 0 ? 0.0f : 1.0f;    /* silent rows */
      if (kind == 3) v = v * v * v * v * v;            /* heavy tails: escapes */
      if (kind == 4) v = 0;
      if (kind == 5) v *= 1e-30f;
      x[(size_t)r * cols + c] = v;
    }
}

static void test_isa_equal(void **state) {
  (void)state;
  plr_context *best = context(PLR_ISA_BEST), *plain = context(PLR_ISA_PORTABLE);
  plr_context *middle =
      context(plr_context_isa(best) == PLR_ISA_AVX512 ? PLR_ISA_AVX2 : PLR_ISA_BEST);
  static const char *const names[] = {"uniform2", "uniform4+token", "uniform9",
                                      "dither3",  "dither6+token",  "trellis1",
                                      "trellis3", "trellis5+token", "trellis8"};
  uint64_t seed = 11;
  for (uint32_t round = 0; round < 270; round++) {
    const uint32_t cols = 1 + (uint32_t)(test_random(&seed) % (round % 2 ? 40 : 700));
    const uint32_t rows = 1 + (uint32_t)(test_random(&seed) % (round % 7 ? 30 : 300));
    const size_t n = (size_t)rows * cols;
    float *x = malloc(n * sizeof *x), *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    fill(x, rows, cols, round % 6, &seed);
    plr_codec c = test_codec(names[round / 6 % PLR_COUNT_OF(names)], 0);
    test_frame p = test_encode(best, &c, PLR_ROLE_GRADIENT, x, rows, cols);
    test_frame q = test_encode(plain, &c, PLR_ROLE_GRADIENT, x, rows, cols);
    test_frame r = test_encode(middle, &c, PLR_ROLE_GRADIENT, x, rows, cols);
    assert_int_equal(p.len, q.len);
    assert_memory_equal(p.data, q.data, p.len);
    assert_int_equal(p.len, r.len);
    assert_memory_equal(p.data, r.data, p.len);
    free(r.data);
    assert_int_equal(test_decode(best, p.data, p.len, a, rows, cols, NULL), PLR_OK);
    assert_int_equal(test_decode(plain, p.data, p.len, b, rows, cols, NULL), PLR_OK);
    assert_memory_equal(a, b, n * sizeof *a);
    if (round % 6 == 4)
      for (size_t i = 0; i < n && c.quant != PLR_QUANT_DITHER; i++) assert_true(a[i] == 0.0f);
    free(p.data), free(q.data);
    free(x), free(a), free(b);
  }
  plr_context_destroy(best);
  plr_context_destroy(middle);
  plr_context_destroy(plain);
}

/* BF16 and F16 tensors and strides: the frame of the same values as fp32, and back. */
static void test_views(void **state) {
  (void)state;
  enum { ROWS = 20, COLS = 30, N = ROWS * COLS };
  plr_context *ctx = context(PLR_ISA_BEST);
  float *x = normals(5, N), *y = malloc(N * sizeof *y);
  uint16_t half[2 * N];
  static const uint32_t dtypes[] = {PLR_DTYPE_BF16, PLR_DTYPE_F16};
  static const char *const names[] = {"uniform4", "int8", "raw+zstd", "trellis4+token"};
  for (size_t k = 0; k < 8; k++) {
    const uint32_t dtype = dtypes[k % 2];
    plr_codec c = test_codec(names[k / 2], 32);
    for (size_t i = 0; i < N; i++) { /* transposed, every second element */
      const uint16_t h = dtype == PLR_DTYPE_F16 ? plr__f32_to_f16(x[i]) : plr__f32_to_bf16(x[i]);
      half[2 * (i % COLS * ROWS + i / COLS)] = h;
      y[i] = dtype == PLR_DTYPE_F16 ? plr__f16_to_f32(h) : plr__bf16_to_f32(h);
    }
    test_frame f = test_encode(ctx, &c, PLR_ROLE_STATE, y, ROWS, COLS);
    plr_encoder *e;
    plr_decoder *d;
    assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &e, NULL), PLR_OK);
    assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &d, NULL), PLR_OK);
    size_t cap = plr_encoder_bound(e), len;
    uint8_t *out = malloc(cap);
    plr_tensor t;
    plr_tensor_matrix(&t, half, dtype, ROWS, COLS);
    t.strides[0] = 2, t.strides[1] = 2 * ROWS;
    plr_frame_info info = test_info(PLR_ROLE_STATE);
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_OK);
    assert_int_equal(len, f.len);
    assert_memory_equal(out, f.data, len);
    assert_int_equal(plr_decoder_decode(d, out, len, &t, NULL, NULL), PLR_OK);
    assert_int_equal(test_decode(ctx, out, len, y, ROWS, COLS, NULL), PLR_OK);
    for (size_t i = 0; i < N; i++)
      assert_int_equal(half[2 * (i % COLS * ROWS + i / COLS)],
                       dtype == PLR_DTYPE_F16 ? plr__f32_to_f16(y[i]) : plr__f32_to_bf16(y[i]));
    t.strides[0] = 1, t.strides[1] = 1; /* elements would overlap */
    assert_int_equal(plr_decoder_decode(d, out, len, &t, NULL, NULL), PLR_ERR_SHAPE);
    free(out), free(f.data);
    plr_encoder_destroy(e);
    plr_decoder_destroy(d);
  }
  free(x), free(y);
  plr_context_destroy(ctx);
}

/* ---- rate --------------------------------------------------------------------------------------- */

/* Budgets that halve and double: never exceeded, at least 98% used over the trace. */
static void run_trace(plr_context *ctx, const char *name, uint32_t rows, uint32_t cols,
                      uint32_t kind) {
  const size_t n = (size_t)rows * cols;
  plr_codec c = test_codec(name, 0);
  plr_encoder *e;
  plr_error err = {0};
  uint64_t seed = 21, budget = n / 2, given = 0, used = 0;
  float *x = malloc(n * sizeof *x);
  if (plr_encoder_create(ctx, &c, rows, cols, &e, &err) != PLR_OK) fail_msg("%s", err.message);
  size_t cap = plr_encoder_bound(e), len;
  uint8_t *out = malloc(cap);
  for (uint32_t i = 0; i < 16; i++) {
    if (i % 4 == 2) budget /= 2;
    if (i % 8 == 7) budget *= 4;
    fill(x, rows, cols, kind, &seed);
    plr_tensor t;
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, rows, cols);
    plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
    info.step = i;
    assert_int_equal(plr_encoder_set_budget(e, budget), PLR_OK);
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_OK);
    if (len > budget) fail_msg("%s, frame %u: %zu bytes of %u", name, i, len, (unsigned)budget);
    given += budget, used += len;
  }
  if ((double)used < 0.98 * (double)given)
    fail_msg("%s %ux%u, data %u: %.2f%% used", name, rows, cols, kind,
             100.0 * (double)used / (double)given);
  free(x), free(out);
  plr_encoder_destroy(e);
}

/* A frame has the bytes that a fresh encoder gives it, whatever was encoded before. */
static void test_budget_alone(void **state) {
  (void)state;
  enum { ROWS = 200, COLS = 384 }; /* two chunks */
  static float x[ROWS * COLS];
  plr_context *ctx = context(PLR_ISA_BEST);
  static const char *const names[] = {"uniform4", "uniform4+token", "dither4", "trellis4"};
  for (size_t i = 0; i < PLR_COUNT_OF(names); i++) {
    plr_codec c = test_codec(names[i], 0);
    plr_encoder *used, *fresh;
    uint64_t seed = 5;
    assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &used, NULL), PLR_OK);
    const size_t cap = plr_encoder_bound(used);
    uint8_t *a = malloc(cap), *b = malloc(cap);
    for (uint32_t k = 0; k < 6; k++) {
      size_t len_a, len_b;
      plr_tensor t;
      plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
      fill(x, ROWS, COLS, k % 4, &seed);
      plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
      assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &fresh, NULL), PLR_OK);
      const uint64_t budget = k == 4 ? 0 : (uint64_t)ROWS * COLS / (1 + k);
      assert_int_equal(plr_encoder_set_budget(used, budget), PLR_OK);
      assert_int_equal(plr_encoder_set_budget(fresh, budget), PLR_OK);
      assert_int_equal(plr_encoder_encode(used, &info, &t, a, cap, &len_a), PLR_OK);
      assert_int_equal(plr_encoder_encode(fresh, &info, &t, b, cap, &len_b), PLR_OK);
      assert_int_equal(len_a, len_b);
      assert_memory_equal(a, b, len_a);
      plr_encoder_destroy(fresh);
    }
    plr_encoder_destroy(used);
    free(a), free(b);
  }
  plr_context_destroy(ctx);
}

static void test_budget(void **state) {
  (void)state;
  plr_context *ctx = context(PLR_ISA_BEST);
  static const char *const names[] = {"uniform4", "uniform4+token", "dither4", "trellis4"};
  for (size_t i = 0; i < PLR_COUNT_OF(names); i++)
    for (uint32_t kind = 0; kind < 4; kind++) {
      run_trace(ctx, names[i], 512, 16, kind);
      if (kind % 2 == 0) run_trace(ctx, names[i], 400, 384, kind);
    }
  plr_context_destroy(ctx);
}

static void test_snr_and_stats(void **state) {
  (void)state;
  enum { ROWS = 300, COLS = 256, N = ROWS * COLS };
  plr_context *ctx = context(PLR_ISA_BEST);
  float *x = normals(31, N), *y = malloc(N * sizeof *y);
  static const char *const names[] = {"uniform4", "uniform4+token", "dither4", "trellis4"};
  for (size_t i = 0; i < 4; i++) {
    plr_codec c = test_codec(names[i], 0);
    plr_encoder *e;
    plr_encoder_stats s = {.struct_size = sizeof s};
    assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &e, NULL), PLR_OK);
    size_t cap = plr_encoder_bound(e), len, all = 0;
    uint8_t *out = malloc(cap);
    plr_tensor t;
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
    plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
    for (double db = 8; db < 40; db += 8) {
      assert_int_equal(plr_encoder_set_snr(e, db, db - 2), PLR_OK);
      assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_OK);
      assert_int_equal(test_decode(ctx, out, len, y, ROWS, COLS, NULL), PLR_OK);
      assert_int_equal(plr_encoder_get_stats(e, &s), PLR_OK);
      all += len;
      const double got = snr(x, y, N), told = 10 * log10(s.signal_power / s.noise_power);
      if (fabs(got - db) > 0.5) fail_msg("%s: %.2f dB for %.2f", names[i], got, db);
      assert_true(fabs(got - told) < 0.001);
    }
    assert_int_equal(s.frames, 4);
    assert_int_equal(s.bytes, all);
    assert_int_equal(s.values, 4 * N);
    /* A budget that cannot reach the floor, and one that nothing fits in, are refused; then all is as before. */
    assert_int_equal(plr_encoder_set_snr(e, 30, 25), PLR_OK);
    assert_int_equal(plr_encoder_set_budget(e, N / 4), PLR_OK);
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_ERR_LIMIT);
    assert_int_equal(plr_encoder_set_snr(e, 0, 0), PLR_OK);
    assert_int_equal(plr_encoder_set_budget(e, 100), PLR_OK);
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_ERR_LIMIT);
    assert_int_equal(plr_encoder_set_budget(e, 0), PLR_OK);
    assert_int_equal(plr_encoder_encode(e, &info, &t, out, cap, &len), PLR_OK);
    assert_int_equal(plr_encoder_set_snr(e, -1, 0), PLR_ERR_INVALID_ARGUMENT);
    assert_int_equal(plr_encoder_set_snr(e, (double)NAN, 0), PLR_ERR_INVALID_ARGUMENT);
    free(out);
    plr_encoder_destroy(e);
  }
  plr_encoder *fixed;
  plr_codec c = test_codec("int4", 32);
  assert_int_equal(plr_encoder_create(ctx, &c, 4, 4, &fixed, NULL), PLR_OK);
  assert_int_equal(plr_encoder_set_budget(fixed, 100), PLR_ERR_UNSUPPORTED);
  assert_int_equal(plr_encoder_set_snr(fixed, 10, 0), PLR_ERR_UNSUPPORTED);
  plr_encoder_destroy(fixed);
  free(x), free(y);
  plr_context_destroy(ctx);
}

/* ---- hostile bytes ------------------------------------------------------------------------------ */

/* Bytes of a chunk changed, checksums made right: refused or decoded to finite values, never more. */
static void test_hostile_chunks(void **state) {
  (void)state;
  enum { ROWS = 40, COLS = 130, N = ROWS * COLS };
  plr_context *ctx = context(PLR_ISA_BEST), *plain = context(PLR_ISA_PORTABLE);
  static const char *const names[] = {"uniform4", "uniform2+token", "dither4", "trellis3",
                                      "bf16+split"};
  float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y), *z = malloc(N * sizeof *z);
  uint64_t seed = 99;
  size_t decoded = 0, refused = 0;
  for (uint32_t round = 0; round < 2000; round++) {
    static test_frame f;
    if (round % 100 == 0) {
      free(f.data);
      fill(x, ROWS, COLS, round / 100 % 4, &seed);
      plr_codec c = test_codec(names[round / 100 % 5], 0);
      f = test_encode(ctx, &c, PLR_ROLE_GRADIENT, x, ROWS, COLS);
    }
    uint8_t *bad = malloc(f.len);
    memcpy(bad, f.data, f.len);
    for (uint32_t k = 0; k < 1 + round % 3; k++) {
      const size_t span = round % 2 ? 160 : f.len - PLR_FRAME_HEADER;
      bad[PLR_FRAME_HEADER + 16 + test_random(&seed) % (PLR_MIN(span, f.len - 80))] ^=
          (uint8_t)(1 + test_random(&seed) % 255);
    }
    test_fix_frame(bad, f.len);
    plr_status st = test_decode(ctx, bad, f.len, y, ROWS, COLS, NULL);
    assert_int_equal(st, test_decode(plain, bad, f.len, z, ROWS, COLS, NULL));
    if (st == PLR_OK) {
      decoded++;
      assert_memory_equal(y, z, N * sizeof *y);
      for (size_t i = 0; i < N; i++) assert_true(isfinite(y[i]));
    } else {
      refused++;
      assert_true(st == PLR_ERR_MALFORMED || st == PLR_ERR_TRUNCATED || st == PLR_ERR_NON_FINITE ||
                  st == PLR_ERR_CHECKSUM);
    }
    free(bad);
    if (round % 100 == 99 && round == 1999) free(f.data);
  }
  assert_true(refused > 500);
  (void)decoded;
  free(x), free(y), free(z);
  plr_context_destroy(ctx);
  plr_context_destroy(plain);
}

/* A loud value in a block costs a fixed-rate code all its levels; turned, it costs little. */
static void test_hadamard(void **state) {
  (void)state;
  enum { ROWS = 64, COLS = 384, N = ROWS * COLS };
  plr_context *ctx = context(PLR_ISA_BEST);
  float *x = normals(13, N), *y = malloc(N * sizeof *y);
  for (size_t i = 7; i < N; i += 128) x[i] = 60.0f;
  double db[2];
  for (int turned = 0; turned < 2; turned++) {
    plr_codec c = test_codec(turned ? "int4+hadamard" : "int4", 128);
    test_frame f = test_encode(ctx, &c, PLR_ROLE_DELTA, x, ROWS, COLS);
    assert_int_equal(test_decode(ctx, f.data, f.len, y, ROWS, COLS, NULL), PLR_OK);
    double error = 0, power = 0; /* of the quiet ones */
    for (size_t i = 0; i < N; i++)
      if (i % 128 != 7) error += pow((double)(x[i] - y[i]), 2), power += pow((double)x[i], 2);
    db[turned] = 10 * log10(power / error);
    free(f.data);
  }
  if (db[0] > 3 || db[1] < 4) fail_msg("%.2f dB, turned %.2f", db[0], db[1]);
  free(x), free(y);
  plr_context_destroy(ctx);
}

/* Lossless: near the order-0 entropy of the exponents (2.55 bits for a Gaussian); degenerate planes. */
static void test_split(void **state) {
  (void)state;
  enum { ROWS = 256, COLS = 512, N = ROWS * COLS };
  plr_context *ctx = context(PLR_ISA_BEST), *plain = context(PLR_ISA_PORTABLE);
  float *x = normals(77, N), *y = malloc(N * sizeof *y);
  for (uint32_t kind = 0; kind < 4; kind++) {
    plr_codec c = test_codec(kind == 3 ? "raw+split" : "bf16+split", 0);
    for (size_t i = 0; i < N; i++) {
      if (kind == 1) x[i] = 1.5f;
      if (kind == 2) x[i] = i % 40000 == 39999 ? 1e-20f : i % 5000 == 4999 ? 1e9f : -1.25f;
      if (kind == 3) x[i] = plr__f32_from_bits((uint32_t)i * 2654435761u);
      if (c.dtype == PLR_DTYPE_BF16) x[i] = plr__bf16_to_f32(plr__f32_to_bf16(x[i]));
    }
    test_frame f = test_encode(ctx, &c, PLR_ROLE_STATE, x, ROWS, COLS);
    test_frame g = test_encode(plain, &c, PLR_ROLE_STATE, x, ROWS, COLS);
    assert_int_equal(f.len, g.len);
    assert_memory_equal(f.data, g.data, f.len);
    assert_int_equal(test_decode(ctx, f.data, f.len, y, ROWS, COLS, NULL), PLR_OK);
    assert_memory_equal(x, y, N * sizeof *x);
    const double ratio = (c.dtype == PLR_DTYPE_BF16 ? 2.0 : 4.0) * N / (double)f.len;
    const double least[] = {1.48, 1.95, 1.95, 0.99};
    if (ratio < least[kind]) fail_msg("data %u: ratio %.3f", kind, ratio);
    if (kind == 0) print_message("split: bf16 N(0,1) by %.3f\n", ratio);
    free(f.data), free(g.data);
  }
  free(x), free(y);
  plr_context_destroy(ctx);
  plr_context_destroy(plain);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tables),         cmocka_unit_test(test_logs_and_steps),
      cmocka_unit_test(test_bits),           cmocka_unit_test(test_gap),
      cmocka_unit_test(test_channels),       cmocka_unit_test(test_dither_is_unbiased),
      cmocka_unit_test(test_isa_equal),      cmocka_unit_test(test_views),
      cmocka_unit_test(test_budget),         cmocka_unit_test(test_snr_and_stats),
      cmocka_unit_test(test_hostile_chunks), cmocka_unit_test(test_split),
      cmocka_unit_test(test_hadamard),       cmocka_unit_test(test_budget_alone)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
