/* Whatever bytes come, decoding them takes no more memory than a decoder of that shape and the context's limits
 * say. The allocator here counts, and knows the largest request. */
#include "exchange_test.h"

#include <dirent.h>

#define FOLDER PLR_SOURCE_DIR "/tests/golden/frames/"

enum { ROWS = 130, COLS = 100, IDS = 1024, CAP = 1 << 17 };

typedef struct counter {
  uint64_t now, peak, largest, calls;
} counter;

static void *count_alloc(void *user, size_t size, size_t align) {
  counter *c = user;
  void *p = NULL;
  if (posix_memalign(&p, align, size ? size : 1) != 0) return NULL;
  c->now += size, c->calls++;
  c->peak = PLR_MAX(c->peak, c->now);
  c->largest = PLR_MAX(c->largest, size);
  return p;
}

static void count_free(void *user, void *p, size_t size, size_t align) {
  counter *c = user;
  (void)align;
  c->now -= size;
  free(p);
}

typedef struct rig {
  counter count;
  plr_context *ctx;
  plr_decoder *decoder;
  float *y;
  uint64_t frames, decoded;
} rig;

/* Every way in, each with the frame as it stands. */
static void decode_all(rig *r, const uint8_t *data, size_t len) {
  static int32_t ids[IDS];
  plr_frame_info info = {.struct_size = sizeof info};
  plr_error err = {0};
  plr_tensor t;
  const uint8_t *payload;
  uint32_t payload_len, done = 0;
  size_t used;
  int64_t rows = ROWS, cols = COLS;
  r->frames++;
  if (plr_frame_parse(r->ctx, data, len, &info, &err) == PLR_OK && info.rows <= ROWS &&
      info.cols <= COLS && info.cols)
    rows = info.rows, cols = info.cols;
  plr_tensor_matrix(&t, r->y, PLR_DTYPE_F32, rows, cols);
  plr_status st = plr_decoder_decode(r->decoder, data, len, &t, &info, &err);
  assert_int_not_equal(st, PLR_ERR_NO_MEMORY);
  r->decoded += st == PLR_OK;
  assert_int_equal(plr_decoder_begin(r->decoder, &t, &err), PLR_OK);
  st = plr_decoder_feed(r->decoder, data, len, &used, &done, NULL, &err);
  assert_int_not_equal(st, PLR_ERR_NO_MEMORY);
  st = plr_tokens_decode(r->ctx, data, len, ids, IDS, &info, &err);
  assert_int_not_equal(st, PLR_ERR_NO_MEMORY);
  plr_control_decode(r->ctx, data, len, &payload, &payload_len, &info, &err);
}

/* A number that a peer may claim. */
static uint32_t claim(uint64_t *seed) {
  static const uint32_t numbers[] = {0,     1,        7,        64,          255,       65535,
                                     65536, 1u << 20, 1u << 28, 0x3fffffffu, UINT32_MAX};
  const uint64_t draw = test_random(seed);
  return draw % 3 ? numbers[draw / 3 % PLR_COUNT_OF(numbers)] : (uint32_t)(draw >> 32);
}

/* The frame as it is, then with numbers of its header and of its chunks changed, checksums right and wrong, then
 * cut. */
static void attack(rig *r, const uint8_t *frame, size_t len, uint64_t *seed) {
  static const uint32_t fields[] = {16, 20, 36, 48, 52, 56, 68, 72, 76, 80};
  uint8_t *copy = malloc(len + 64);
  decode_all(r, frame, len);
  for (uint32_t round = 0; round < 200; round++) {
    memcpy(copy, frame, len);
    size_t n = len;
    const uint32_t changes = 1 + (uint32_t)(test_random(seed) % 3);
    for (uint32_t k = 0; k < changes && len > 84; k++) {
      const uint64_t draw = test_random(seed);
      if (round % 4 == 0)
        plr__store_le32(copy + fields[draw % PLR_COUNT_OF(fields)], claim(seed));
      else if (round % 4 == 1)
        copy[8 + draw % 8] = (uint8_t)(draw >> 32 & 7); /* ids */
      else if (round % 4 == 2)
        plr__store_le32(copy + plr__load_le16(copy + 6) % (len - 4),
                        claim(seed)); /* a chunk's length */
      else
        copy[64 + draw % (len - 64)] = (uint8_t)(draw >> 32);
    }
    if (round % 5 == 4) n = (size_t)(test_random(seed) % (len + 1));
    test_fix_frame(copy, n);
    decode_all(r, copy, n);
  }
  free(copy);
}

static void attack_folder(rig *r, const char *path, uint64_t *seed) {
  DIR *dir = opendir(path);
  assert_non_null(dir);
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    static uint8_t frame[CAP];
    char file[1024];
    if (!strstr(e->d_name, ".plr")) continue;
    snprintf(file, sizeof file, "%s%s", path, e->d_name);
    FILE *f = fopen(file, "rb");
    assert_non_null(f);
    attack(r, frame, fread(frame, 1, sizeof frame, f), seed);
    fclose(f);
  }
  closedir(dir);
}

static void test_nothing_grows(void **state) {
  (void)state;
  rig r = {0};
  plr_context_options o = test_options(NULL);
  uint64_t seed = 12;
  o.allocator = (plr_allocator){&r.count, count_alloc, count_free};
  o.max_frame = CAP;
  r.ctx = test_context(&o);
  assert_int_equal(plr_decoder_create(r.ctx, ROWS, COLS, &r.decoder, NULL), PLR_OK);
  test_ready_decoder(r.decoder, ROWS, 48);
  r.y = malloc(sizeof *r.y * ROWS * COLS);
  /* What a decoder of this shape needs, in pieces too; zstd's window and the tables of the range coder are most of
   * it. */
  plr_tensor t;
  plr_tensor_matrix(&t, r.y, PLR_DTYPE_F32, ROWS, COLS);
  assert_int_equal(plr_decoder_begin(r.decoder, &t, NULL), PLR_OK);
  const uint64_t before = r.count.now;
  assert_true(before < 4 << 20);
  r.count.peak = r.count.now, r.count.largest = 0;
  attack_folder(&r, FOLDER, &seed);
  attack_folder(&r, FOLDER "must_fail/", &seed);
  assert_true(r.frames > 5000 && r.decoded > 300);
  /* Only scratch of the context, which products and zstd of tokens borrow: one block, of a size the frame has no
   * say in. */
  if (r.count.largest > 3 << 20 || r.count.peak > before + (4 << 20) ||
      r.count.now > before + (3 << 20))
    fail_msg("before %llu, now %llu, peak %llu, largest request %llu", (unsigned long long)before,
             (unsigned long long)r.count.now, (unsigned long long)r.count.peak,
             (unsigned long long)r.count.largest);
  print_message("%llu frames, %llu decoded: %llu bytes before, %llu at most\n",
                (unsigned long long)r.frames, (unsigned long long)r.decoded,
                (unsigned long long)before, (unsigned long long)r.count.peak);
  free(r.y);
  plr_decoder_destroy(r.decoder);
  plr_context_destroy(r.ctx);
  assert_true(r.count.now == 0);
}

/* A decoder's own memory is bounded by the context before it is taken. */
static void test_limits_hold(void **state) {
  (void)state;
  rig r = {0};
  plr_context_options o = test_options(NULL);
  plr_decoder *d;
  o.allocator = (plr_allocator){&r.count, count_alloc, count_free};
  o.max_memory = 8 << 20;
  r.ctx = test_context(&o);
  static const uint32_t shapes[][2] = {
      {1 << 14, 1 << 16}, {1 << 10, 1 << 18}, {1, 1 << 28}, {3, 1 << 27}};
  for (size_t i = 0; i < PLR_COUNT_OF(shapes); i++) {
    const plr_status st = plr_decoder_create(r.ctx, shapes[i][0], shapes[i][1], &d, NULL);
    assert_true(st == PLR_ERR_NO_MEMORY || st == PLR_ERR_LIMIT);
  }
  assert_int_equal(plr_decoder_create(r.ctx, 16, 64, &d, NULL), PLR_OK);
  assert_int_equal(plr_decoder_set_store(d, 1u << 30, 16), PLR_ERR_NO_MEMORY);
  assert_int_equal(plr_decoder_set_store(d, UINT32_MAX, UINT32_MAX), PLR_ERR_LIMIT);
  assert_int_equal(plr_decoder_set_store(d, 16, 16), PLR_OK);
  plr_decoder_destroy(d);
  assert_true(r.count.peak <= 8 << 20);
  plr_context_destroy(r.ctx);
  assert_true(r.count.now == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_grows),
      cmocka_unit_test(test_limits_hold),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
