/* Lossless bf16: our float split beside what others do with zstd, on weights and activations. Speeds in GB/s of bf16;
 * the peer is the exponent plane through zstd-1 with the rest stored, as ZipNN does (arXiv 2411.05239). */
#include "bench.h"
#include "codec_gap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { ROWS = 1024, COLS = 1024, N = ROWS * COLS };

typedef struct lossless {
  plr_encoder *encoder;
  plr_decoder *decoder;
  plr_tensor x, y;
  uint8_t *frame;
  size_t cap, len;
  uint8_t *planes, *packed, *back; /* the peer's: exponents, then signs and mantissas */
  size_t packed_len;
} lossless;

static void must(int good, const char *what) {
  if (good) return;
  fprintf(stderr, "bench_codec: %s\n", what);
  exit(1);
}

static void encode(void *arg) {
  lossless *j = arg;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_STATE};
  must(plr_encoder_encode(j->encoder, &info, &j->x, j->frame, j->cap, &j->len) == PLR_OK, "encode");
}

static void decode(void *arg) {
  lossless *j = arg;
  must(plr_decoder_decode(j->decoder, j->frame, j->len, &j->y, NULL, NULL) == PLR_OK, "decode");
}

static void split(const uint16_t *x, uint8_t *planes) {
  for (size_t i = 0; i < N; i++) {
    planes[i] = (uint8_t)(x[i] >> 7);
    planes[N + i] = (uint8_t)((x[i] & 0x7f) | (x[i] >> 8 & 0x80));
  }
}

static void peer_encode(void *arg) {
  lossless *j = arg;
  split(j->x.data, j->planes);
  j->packed_len = ZSTD_compress(j->packed, 2 * N, j->planes, N, 1);
  memcpy(j->packed + j->packed_len, j->planes + N, N);
}

static void peer_decode(void *arg) {
  lossless *j = arg;
  uint16_t *y = j->y.data;
  must(ZSTD_decompress(j->back, N, j->packed, j->packed_len) == N, "zstd");
  const uint8_t *rest = j->packed + j->packed_len;
  for (size_t i = 0; i < N; i++)
    y[i] = (uint16_t)((rest[i] & 0x7f) | j->back[i] << 7 | (rest[i] & 0x80) << 8);
}

static void print(const char *what, lossless *j, bench_fn *ours, bench_fn *peer) {
  bench_result r;
  bench_pair pair = {
      .ours = ours, .ours_arg = j, .peer = peer, .peer_arg = j, .threads = 1, .seconds = 0.3};
  char name[96];
  bench_run(&pair, &r);
  snprintf(name, sizeof name, "codec/speed/lossless-%s", what);
  bench_print(name, 2e-9 * N / r.ours, "GB/s of bf16", "exponents by zstd-1", 2e-9 * N / r.peer,
              r.ratio, "best %.2f and %.2f", 2e-9 * N / r.ours_best, 2e-9 * N / r.peer_best);
}

static void ratio(const char *name, double bytes, const char *note) {
  char full[96];
  snprintf(full, sizeof full, "codec/lossless/%s", name);
  bench_print(full, 2.0 * N / bytes, "x of bf16", NULL, 0, 0, "%s", note);
}

static double normal(uint64_t *s) {
  double u[2];
  for (int i = 0; i < 2; i++) {
    *s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    u[i] = ((double)(*s >> 11) + 0.5) * 0x1p-53;
  }
  return sqrt(-2 * log(u[0])) * cos(6.283185307179586 * u[1]);
}

static uint16_t to_bf16(float v) {
  uint32_t u;
  memcpy(&u, &v, 4);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* Bits of a value when the exponents cost their order-0 entropy and the rest is sent as it is. */
static double order0(const uint16_t *x) {
  double count[256] = {0}, bits = 8;
  for (size_t i = 0; i < N; i++) count[x[i] >> 7 & 255]++;
  for (size_t s = 0; s < 256; s++)
    if (count[s] > 0) bits -= count[s] / N * log2(count[s] / N);
  return bits;
}

/* bf16 weights, all of one size, or activations, whose tokens and channels differ in size (log-normal, 0.3 and 0.5). */
static void fill(uint16_t *x, int activations) {
  uint64_t seed = 3;
  double *channel = bench_alloc(COLS * 8);
  for (size_t c = 0; c < COLS; c++) channel[c] = activations ? exp(0.5 * normal(&seed)) : 0.02;
  for (size_t i = 0, token = 0; i < N; i += COLS, token++) {
    const double row = activations ? exp(0.3 * normal(&seed)) : 1;
    for (size_t c = 0; c < COLS; c++) x[i + c] = to_bf16((float)(row * channel[c] * normal(&seed)));
  }
  free(channel);
}

static void bench_kind(plr_context *ctx, const char *kind, int activations) {
  plr_codec codec;
  char name[64];
  lossless j = {
      .planes = bench_alloc(2 * N), .packed = bench_alloc(3 * N), .back = bench_alloc(2 * N)};
  uint16_t *x = bench_alloc(2 * N), *y = bench_alloc(2 * N);
  fill(x, activations);
  must(plr_codec_from_name("bf16+split", &codec) == PLR_OK, "name");
  must(plr_encoder_create(ctx, &codec, ROWS, COLS, &j.encoder, NULL) == PLR_OK, "encoder");
  must(plr_decoder_create(ctx, ROWS, COLS, &j.decoder, NULL) == PLR_OK, "decoder");
  plr_tensor_matrix(&j.x, x, PLR_DTYPE_BF16, ROWS, COLS);
  plr_tensor_matrix(&j.y, y, PLR_DTYPE_BF16, ROWS, COLS);
  j.cap = plr_encoder_bound(j.encoder);
  j.frame = bench_alloc((int64_t)j.cap);
  encode(&j);
  decode(&j);
  must(memcmp(x, y, 2 * N) == 0, "not the same bits");
  peer_encode(&j);
  memset(y, 0, 2 * N);
  peer_decode(&j);
  must(memcmp(x, y, 2 * N) == 0, "the peer: not the same bits");
  double bytes = 0; /* low bytes and high bytes */
  for (size_t b = 0; b < 2; b++) {
    for (size_t i = 0; i < N; i++) j.planes[i] = (uint8_t)(x[i] >> 8 * b);
    bytes += (double)ZSTD_compress(j.packed, 3 * N, j.planes, N, 1);
  }
  const struct {
    const char *name, *note;
    double bytes;
  } rows[] = {
      {"ours/bf16+split", "all bytes", (double)j.len},
      {"bound/order-0", "exponents at their entropy", order0(x) * N / 8},
      {"peer/exponents-zstd-1", "ZipNN-style", 0},
      {"peer/zstd-1", "the bytes as they are", (double)ZSTD_compress(j.packed, 3 * N, x, 2 * N, 1)},
      {"peer/byte-split-zstd-1", "BloomBee-style", bytes}};
  peer_encode(&j);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    snprintf(name, sizeof name, "%s/%s", rows[i].name, kind);
    ratio(name, rows[i].bytes > 0 ? rows[i].bytes : (double)(j.packed_len + N), rows[i].note);
  }
  snprintf(name, sizeof name, "encode/%s", kind);
  print(name, &j, encode, peer_encode);
  snprintf(name, sizeof name, "decode/%s", kind);
  print(name, &j, decode, peer_decode);
  plr_encoder_destroy(j.encoder);
  plr_decoder_destroy(j.decoder);
  free(j.frame), free(j.planes), free(j.packed), free(j.back), free(x), free(y);
}

void bench_codec_lossless(plr_context *ctx) {
  bench_kind(ctx, "weights", 0);
  bench_kind(ctx, "activations", 1);
}
