/* Predictors: both ends hold the same, which a naive store says too; a lost frame is noticed and mended. */
#include "exchange_test.h"

#include "exchange/predict.h"

enum { ROWS = 24, COLS = 40, N = ROWS * COLS };

typedef struct pair {
  plr_encoder *e;
  plr_decoder *d;
  uint8_t *frame;
  size_t len;
  float y[N];
} pair;

static plr_context *context(uint32_t isa, test_allocator *a) {
  plr_context_options o = test_options(a);
  o.isa = isa;
  return test_context(&o);
}

static void open_pair(pair *p, plr_context *ctx, const char *name, uint32_t entries,
                      uint32_t rows) {
  plr_codec c = test_codec(name, 32);
  assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &p->e, NULL), PLR_OK);
  assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &p->d, NULL), PLR_OK);
  assert_int_equal(plr_encoder_set_store(p->e, entries, rows), PLR_OK);
  assert_int_equal(plr_decoder_set_store(p->d, entries, rows), PLR_OK);
  p->frame = malloc(plr_encoder_bound(p->e));
}

static void close_pair(pair *p) {
  plr_encoder_destroy(p->e);
  plr_decoder_destroy(p->d);
  free(p->frame);
}

static plr_status encode(pair *p, const float *x, const uint64_t *keys, uint32_t count,
                         uint32_t flags) {
  plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
  plr_tensor t;
  info.flags = flags;
  plr_tensor_matrix(&t, (void *)(uintptr_t)x, PLR_DTYPE_F32, ROWS, COLS);
  assert_int_equal(plr_encoder_set_keys(p->e, keys, count), PLR_OK);
  return plr_encoder_encode(p->e, &info, &t, p->frame, plr_encoder_bound(p->e), &p->len);
}

static plr_status decode(pair *p, plr_error *err) {
  plr_tensor t;
  plr_tensor_matrix(&t, p->y, PLR_DTYPE_F32, ROWS, COLS);
  return plr_decoder_decode(p->d, p->frame, p->len, &t, NULL, err);
}

static double snr(const float *x, const float *y) {
  double power = 0, error = 0;
  for (size_t i = 0; i < N; i++) {
    const double e = (double)x[i] - (double)y[i];
    power += (double)x[i] * (double)x[i], error += e * e;
  }
  return 10 * log10(power / error);
}

/* ---- a naive store ------------------------------------------------------------------------------- */

enum { ENTRIES = 5, MOST = 64 };

typedef struct naive {
  uint64_t key[MOST], used[MOST];
  uint32_t visits[MOST], count;
  float rows[MOST][N];
  uint64_t clock;
} naive;

static int naive_find(const naive *s, uint64_t key) {
  for (uint32_t i = 0; i < s->count; i++)
    if (s->key[i] == key) return (int)i;
  return -1;
}

static uint64_t naive_hash(const naive *s, const uint64_t *keys, uint32_t count) {
  const uint32_t group = ROWS / count;
  uint64_t h = 0;
  for (uint32_t r = 0; r < ROWS; r++) {
    const int i = naive_find(s, keys[r / group]);
    if (i < 0) continue;
    uint8_t bytes[2 * COLS], link[20];
    for (uint32_t c = 0; c < COLS; c++)
      plr__store_le16(bytes + 2 * c,
                      (uint16_t)(plr__f32_bits(s->rows[i][r % group * COLS + c]) >> 16));
    plr__store_le64(link, h);
    plr__store_le64(link + 8, plr__xxh3_64(bytes, sizeof bytes));
    plr__store_le32(link + 16, r);
    h = plr__xxh3_64(link, sizeof link);
  }
  return h;
}

static float rounded(float v) {
  const float b = plr__bf16_to_f32(plr__f32_to_bf16(v));
  return isinf(b) ? copysignf(plr__f32_from_bits(0x7f7f0000), b) : b;
}

static void naive_update(naive *s, const uint64_t *keys, uint32_t count, int key_frame, int anchor,
                         const float *y) {
  const uint32_t n = ROWS / count * COLS;
  for (uint32_t k = 0; k < count && key_frame; k++) {
    const int i = naive_find(s, keys[k]);
    if (i >= 0) s->visits[i] = 0;
  }
  for (uint32_t k = 0; k < count; k++, y += n) {
    int i = naive_find(s, keys[k]);
    if (i < 0 && s->count < ENTRIES) i = (int)s->count++, s->visits[i] = 0;
    if (i < 0) {
      i = 0;
      for (int j = 1; j < ENTRIES; j++)
        if (s->used[j] < s->used[i]) i = j;
      s->visits[i] = 0;
    }
    s->key[i] = keys[k];
    s->used[i] = ++s->clock;
    const uint32_t visits = ++s->visits[i];
    for (uint32_t j = 0; j < n; j++) {
      float *a = &s->rows[i][j];
      if (!anchor) {
        *a = rounded(y[j]);
        continue;
      }
      const float old = visits == 1 ? 0.0f : *a;
      const volatile float change = y[j] - old;
      const volatile float part = change * (1.0f / (float)(visits < 15 ? visits + 1 : 16));
      *a = rounded(old + part);
    }
  }
}

static void check_store(const char *name, uint32_t keys_a_frame, int anchor) {
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  pair p;
  naive *s = calloc(1, sizeof *s);
  uint64_t seed = 11, keys[ROWS];
  uint32_t predicted = 0;
  float *x = test_floats(5, N);
  open_pair(&p, ctx, name, ENTRIES, ROWS);
  for (int f = 0; f < 60; f++) {
    const uint32_t flags = f % 9 == 8 ? PLR_FRAME_KEY : 0;
    for (uint32_t k = 0; k < keys_a_frame; k++) keys[k] = test_random(&seed) % 7 * 1000003;
    for (size_t i = 0; i < N; i++) /* what a key says, and a little more */
      x[i] = test_value(&seed) * 0.2f +
             (float)(keys[i / COLS / (ROWS / keys_a_frame)] % 97) * (i % 3 ? 0.05f : -0.03f);
    assert_int_equal(encode(&p, x, keys, keys_a_frame, flags), PLR_OK);
    const uint32_t said = plr__load_le32(p.frame + 64 + 16);
    assert_int_equal(plr__load_le16(p.frame + 64), PLR_EXT_STATE);
    assert_int_equal(plr__load_le32(p.frame + 64 + 12), keys_a_frame);
    assert_true(flags ? said == flags : said != PLR_FRAME_KEY);
    const uint64_t want = said ? 0 : naive_hash(s, keys, keys_a_frame);
    assert_true(plr__load_le64(p.frame + 64 + 4) == want);
    predicted += want != 0;
    plr_error err = {0};
    if (decode(&p, &err) != PLR_OK)
      fail_msg("%s frame %d: %s: %s", name, f, err.where, err.message);
    assert_true(snr(x, p.y) > 12);
    naive_update(s, keys, keys_a_frame, said == PLR_FRAME_KEY, anchor, p.y);
  }
  assert_true(predicted > 30);
  close_pair(&p);
  free(s), free(x);
  plr_context_destroy(ctx);
}

static void test_naive_store(void **state) {
  (void)state;
  check_store("int4+sample", 1, 0);
  check_store("uniform4+sample", 4, 0);
  check_store("int4+histogram+sample+hadamard", 2, 0);
  check_store("uniform5+anchor", ROWS, 1);
  check_store("int6+zstd+anchor+dct", ROWS, 1);
}

/* What comes again with small changes takes few bits; what has nothing to do with what came is sent as it is. */
static void test_gain(void **state) {
  (void)state;
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  pair p;
  plr_encoder *plain;
  uint64_t seed = 3, keys[ROWS];
  float *x = test_floats(1, N), *drift = test_floats(2, N);
  plr_tensor t;
  plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
  plr_codec c = test_codec("uniform4", 0);
  assert_int_equal(plr_encoder_create(ctx, &c, ROWS, COLS, &plain, NULL), PLR_OK);
  assert_int_equal(plr_encoder_set_snr(plain, 20, 0), PLR_OK);
  uint8_t *frame = malloc(plr_encoder_bound(plain));
  open_pair(&p, ctx, "uniform4+sample", 4, ROWS);
  assert_int_equal(plr_encoder_set_snr(p.e, 20, 19), PLR_OK);
  for (int round = 0; round < 4; round++) {
    size_t without;
    for (size_t i = 0; i < N; i++) x[i] += 0.1f * test_value(&seed);
    keys[0] = 77;
    assert_int_equal(encode(&p, x, keys, 1, 0), PLR_OK);
    assert_int_equal(decode(&p, NULL), PLR_OK);
    assert_true(fabs(snr(x, p.y) - 20) < 1.0); /* of the tensor, not of what is left of it */
    plr_encoder_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(plr_encoder_get_stats(p.e, &stats), PLR_OK);
    assert_true(fabs(10 * log10(stats.signal_power / stats.noise_power) - snr(x, p.y)) < 0.01);
    plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
    assert_int_equal(
        plr_encoder_encode(plain, &info, &t, frame, plr_encoder_bound(plain), &without), PLR_OK);
    if (round > 0)
      assert_true(3 * p.len < 2 * without);
    else
      assert_true(p.len < without + 60);
  }
  assert_int_equal(encode(&p, drift, keys, 1, 0), PLR_OK);
  assert_int_equal(plr_frame_parse(ctx, p.frame, p.len, &info, NULL), PLR_OK);
  assert_int_equal(info.flags, PLR_FRAME_PLAIN);
  assert_int_equal(decode(&p, NULL), PLR_OK);
  close_pair(&p);
  plr_encoder_destroy(plain);
  free(x), free(drift), free(frame);
  plr_context_destroy(ctx);
}

/* A line that loses one frame in six and brings some twice. The host answers SEQUENCE by asking for the tensor as
 * a key frame. Nothing wrong is ever decoded, and when the line is good again nothing is refused any more. */
static void check_losses(const char *name, uint32_t keys_a_frame) {
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  pair p;
  uint64_t seed = 21, keys[ROWS];
  uint32_t refused = 0, lost = 0, late = 0;
  float *x = malloc(N * sizeof *x);
  uint8_t *old = NULL;
  size_t old_len = 0;
  open_pair(&p, ctx, name, 16, ROWS);
  for (int f = 0; f < 400; f++) {
    const int good = f >= 250;
    for (uint32_t k = 0; k < keys_a_frame; k++) keys[k] = test_random(&seed) % 12;
    for (size_t i = 0; i < N; i++)
      x[i] = 0.3f * test_value(&seed) + (float)keys[i / COLS / (ROWS / keys_a_frame)] * 0.3f;
    assert_int_equal(encode(&p, x, keys, keys_a_frame, 0), PLR_OK);
    if (!good && test_random(&seed) % 6 == 0) {
      lost++;
      if (test_random(&seed) % 2 == 0) continue;
      free(old); /* this one comes after the next */
      old = malloc(p.len), old_len = p.len;
      memcpy(old, p.frame, p.len);
      continue;
    }
    plr_error err = {0};
    plr_status st = decode(&p, &err);
    if (st == PLR_ERR_SEQUENCE) {
      refused++, late += f >= 300;
      assert_non_null(strstr(err.message, "key frame"));
      assert_int_equal(encode(&p, x, keys, keys_a_frame, PLR_FRAME_KEY), PLR_OK);
      st = decode(&p, &err);
    }
    if (st != PLR_OK) fail_msg("%s frame %d: %s: %s", name, f, err.where, err.message);
    if (snr(x, p.y) < 10) fail_msg("%s frame %d: %.1f dB", name, f, snr(x, p.y));
    if (!good && old && test_random(&seed) % 3 == 0) {
      const size_t len = p.len;
      memcpy(p.frame, old, old_len), p.len = old_len;
      st = decode(&p, NULL);
      assert_true(st == PLR_OK || st == PLR_ERR_SEQUENCE);
      p.len = len;
      free(old), old = NULL;
    }
  }
  assert_true(lost > 20 && refused > 5);
  assert_int_equal(late, 0);
  free(x), free(old);
  close_pair(&p);
  plr_context_destroy(ctx);
}

static void test_losses(void **state) {
  (void)state;
  check_losses("uniform4+sample", 2);
  check_losses("int5+sample", 1);
  check_losses("uniform4+anchor", ROWS);
}

/* A frame that fails at either end leaves both as they were; a reset makes a new decoder equal. */
static void test_failure_and_reset(void **state) {
  (void)state;
  plr_context *ctx = context(PLR_ISA_BEST, NULL);
  pair p;
  uint64_t keys[] = {1, 2};
  float *x = test_floats(1, N);
  plr_error err = {0};
  plr_tensor t;
  plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
  open_pair(&p, ctx, "int8+sample", 4, ROWS / 2);
  assert_int_equal(encode(&p, x, keys, 2, 0), PLR_OK);
  assert_int_equal(decode(&p, NULL), PLR_OK);
  x[5] = NAN;
  assert_int_equal(encode(&p, x, keys, 2, 0), PLR_ERR_NON_FINITE);
  x[5] = 1;
  assert_int_equal(encode(&p, x, keys, 2, 0), PLR_OK);
  p.frame[p.len - 1] ^= 1;
  assert_int_equal(decode(&p, NULL), PLR_ERR_CHECKSUM);
  p.frame[p.len - 1] ^= 1;
  assert_int_equal(decode(&p, NULL), PLR_OK);
  assert_int_equal(decode(&p, &err), PLR_ERR_SEQUENCE); /* twice */
  x[7] = 9;
  assert_int_equal(encode(&p, x, keys, 2, 0), PLR_OK);
  assert_int_equal(decode(&p, NULL), PLR_OK);
  /* a decoder that knows nothing */
  assert_int_equal(plr_decoder_set_store(p.d, 4, ROWS / 2), PLR_OK);
  assert_int_equal(encode(&p, x, keys, 2, 0), PLR_OK);
  assert_int_equal(decode(&p, &err), PLR_ERR_SEQUENCE);
  assert_int_equal(plr_encoder_reset(p.e, 9), PLR_OK);
  assert_int_equal(plr_encoder_reset(p.e, 9), PLR_ERR_INVALID_ARGUMENT);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(encode(&p, x, keys, 2, 0), PLR_OK);
    assert_int_equal(plr_frame_parse(ctx, p.frame, p.len, &info, NULL), PLR_OK);
    assert_int_equal(info.generation, 9);
    assert_int_equal(decode(&p, NULL), PLR_OK);
  }
  /* what does not fit */
  assert_int_equal(encode(&p, x, keys, 1, 0), PLR_ERR_LIMIT);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS - 1, COLS);
  info.flags = 4; /* unknown */
  assert_int_equal(plr_encoder_set_keys(p.e, keys, 2), PLR_OK);
  assert_int_equal(plr_encoder_encode(p.e, &info, &t, p.frame, plr_encoder_bound(p.e), &p.len),
                   PLR_ERR_INVALID_ARGUMENT);
  info = test_info(PLR_ROLE_ACTIVATION);
  assert_int_equal(plr_encoder_encode(p.e, &info, &t, p.frame, plr_encoder_bound(p.e), &p.len),
                   PLR_ERR_SHAPE);
  assert_int_equal(encode(&p, x, keys, 2, 0), PLR_OK);
  plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
  assert_int_equal(plr_encoder_encode(p.e, &info, &t, p.frame, plr_encoder_bound(p.e), &p.len),
                   PLR_ERR_INVALID_STATE);
  plr_decoder *none;
  assert_int_equal(plr_decoder_create(ctx, ROWS, COLS, &none, NULL), PLR_OK);
  assert_int_equal(plr_decoder_decode(none, p.frame, p.len, &t, NULL, &err), PLR_ERR_UNSUPPORTED);
  plr_decoder_destroy(none);
  close_pair(&p);
  free(x);
  plr_context_destroy(ctx);
}

/* Memory is taken once; frames are the same on every instruction set, and in pieces. */
static void test_memory_and_bits(void **state) {
  (void)state;
  static const char *const names[] = {"uniform4+sample", "int4+histogram+anchor",
                                      "trellis3+anchor+dct"};
  test_allocator a;
  plr_context *best = context(PLR_ISA_BEST, &a), *portable = context(PLR_ISA_PORTABLE, NULL);
  for (size_t i = 0; i < PLR_COUNT_OF(names); i++) {
    pair p, q;
    uint64_t seed = i, keys[ROWS];
    int64_t calls = 0;
    open_pair(&p, best, names[i], 8, ROWS);
    open_pair(&q, portable, names[i], 8, ROWS);
    for (int f = 0; f < 20; f++) {
      float *x = test_floats((uint64_t)f % 3, N);
      for (uint32_t r = 0; r < ROWS; r++) keys[r] = test_random(&seed) % 30;
      assert_int_equal(encode(&p, x, keys, ROWS, 0), PLR_OK);
      plr_frame_info info = test_info(PLR_ROLE_ACTIVATION);
      plr_tensor t;
      uint32_t left;
      plr_tensor_matrix(&t, x, PLR_DTYPE_F32, ROWS, COLS);
      assert_int_equal(plr_encoder_set_keys(q.e, keys, ROWS), PLR_OK);
      assert_int_equal(plr_encoder_begin(q.e, &info, &t), PLR_OK);
      assert_int_equal(plr_encoder_next(q.e, q.frame, plr_encoder_bound(q.e), &q.len, &left),
                       PLR_OK);
      assert_int_equal(left, 0);
      assert_int_equal(q.len, p.len);
      assert_memory_equal(q.frame, p.frame, 52);
      assert_memory_equal(q.frame + 64, p.frame + 64, p.len - 64);
      assert_int_equal(decode(&p, NULL), PLR_OK);
      assert_int_equal(decode(&q, NULL), PLR_OK);
      assert_memory_equal(p.y, q.y, sizeof p.y);
      if (f == 0) calls = a.calls;
      free(x);
    }
    assert_int_equal(a.calls, calls);
    close_pair(&p);
    close_pair(&q);
  }
  plr_context_destroy(best);
  plr_context_destroy(portable);
  assert_int_equal(a.live, 0);
}

/* Keys of any width go there and back; no other bytes stand for them. */
static void test_keys(void **state) {
  (void)state;
  uint64_t seed = 2, keys[50], back[50];
  for (uint32_t width = 1; width <= 64; width++)
    for (uint32_t n = 1; n <= 50; n += 7) {
      uint8_t bytes[PLR_KEYS_MOST(50)];
      for (uint32_t i = 0; i < n; i++) keys[i] = test_random(&seed) >> (64 - width);
      keys[n - 1] |= UINT64_C(1) << (width - 1);
      const size_t len = plr__keys_write(keys, n, bytes);
      assert_int_equal(len, 1 + (width * n + 7) / 8);
      assert_true(plr__keys_read(bytes, len, back, n));
      assert_memory_equal(keys, back, n * sizeof *keys);
      assert_false(plr__keys_read(bytes, len - 1, back, n));
      bytes[0]++;
      assert_false(plr__keys_read(bytes, len, back, n) &&
                   memcmp(keys, back, n * sizeof *keys) == 0);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_naive_store),     cmocka_unit_test(test_gain),
      cmocka_unit_test(test_losses),          cmocka_unit_test(test_failure_and_reset),
      cmocka_unit_test(test_memory_and_bits), cmocka_unit_test(test_keys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
