/* Codecs: how far from the rate-distortion bound, beside peers written from their papers (codec/gap/..., and on tensors
 * with channels and outliers of their own scale), with codec.html; and how fast on one thread (codec/speed/...). Small
 * is what a pipeline with 16 coefficients a token sends for 512 tokens; large is a dense boundary of width 768. Peer:
 * memcpy.
 *
 *   bench_codec [--dumps FOLDER] [--report FILE]
 *
 * FOLDER holds tensors as NAME.ROWSxCOLS.f32; FILE is codec.html unless given. */
#include "base/base.h"
#include "bench.h"
#include "codec_gap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
  plr_encoder *encoder;
  plr_decoder *decoder;
  plr_tensor x, y;
  uint8_t *frame;
  size_t cap, len, bytes;
} job;

static void must(plr_status st) {
  if (st == PLR_OK) return;
  fprintf(stderr, "bench_codec: %s\n", plr_status_name(st));
  exit(1);
}

static void encode(void *arg) {
  job *j = arg;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_ACTIVATION};
  must(plr_encoder_encode(j->encoder, &info, &j->x, j->frame, j->cap, &j->len));
}

static void decode(void *arg) {
  job *j = arg;
  must(plr_decoder_decode(j->decoder, j->frame, j->len, &j->y, NULL, NULL));
}

static void copy(void *arg) {
  job *j = arg;
  memcpy(j->y.data, j->x.data, j->bytes);
}

/* Sums of uniform values, near enough to normal for rates and errors to a tenth of a decibel. */
static void fill_normal(float *x, int64_t n) {
  float *u = bench_alloc(n * 12 * 4);
  bench_fill(u, n * 12, 1);
  for (int64_t i = 0; i < n; i++) {
    float sum = 0;
    for (int k = 0; k < 12; k++) sum += u[12 * i + k];
    x[i] = sum * 0.5f;
  }
  free(u);
}

static double snr(const job *j) {
  const float *x = j->x.data, *y = j->y.data;
  double power = 0, error = 0;
  for (size_t i = 0; i < j->bytes / 4; i++) {
    double e = (double)x[i] - (double)y[i];
    power += (double)x[i] * (double)x[i], error += e * e;
  }
  return error > 0 ? 10 * log10(power / error) : INFINITY;
}

static void report(const char *name, const char *what, job *j, bench_fn *fn, const char *note) {
  char full[96];
  bench_result r;
  bench_pair pair = {
      .ours = fn, .ours_arg = j, .peer = copy, .peer_arg = j, .threads = 1, .seconds = 0.15};
  bench_run(&pair, &r);
  snprintf(full, sizeof full, "codec/speed/%s/%s/%dx%d", what, name, (int)j->x.shape[0],
           (int)j->x.shape[1]);
  const double values = 1e-6 * (double)j->bytes / 4;
  bench_print(full, values / r.ours, "M values/s", "memcpy", values / r.peer, r.ratio,
              "%s; best %.0f", note, values / r.ours_best);
}

static void bench_one(plr_context *ctx, const char *name, float *x, float *y, int64_t rows,
                      int64_t cols) {
  plr_codec codec;
  job j = {.bytes = (size_t)(rows * cols) * 4};
  must(plr_codec_from_name(name, &codec));
  must(plr_encoder_create(ctx, &codec, (uint32_t)rows, (uint32_t)cols, &j.encoder, NULL));
  must(plr_decoder_create(ctx, (uint32_t)rows, (uint32_t)cols, &j.decoder, NULL));
  plr_tensor_matrix(&j.x, x, PLR_DTYPE_F32, rows, cols);
  plr_tensor_matrix(&j.y, y, PLR_DTYPE_F32, rows, cols);
  j.cap = plr_encoder_bound(j.encoder);
  j.frame = bench_alloc((int64_t)j.cap);
  encode(&j);
  decode(&j);
  const double bits = 8.0 * (double)j.len / (double)(rows * cols), db = snr(&j);
  char note[128];
  if (isinf(db))
    snprintf(note, sizeof note, "%.3f bits a value, lossless", bits);
  else /* R(D) of a Gaussian: 6.02 dB a bit */
    snprintf(note, sizeof note, "%.3f bits a value, %.2f dB, R(D) %.3f bits", bits, db,
             db / 6.0206);
  report(name, "encode", &j, encode, note);
  encode(&j);
  report(name, "decode", &j, decode, note);
  free(j.frame);
  plr_encoder_destroy(j.encoder);
  plr_decoder_destroy(j.decoder);
}

/* What checksums take of an encoder's time. */
static void checksum(void *arg) {
  job *j = arg;
  volatile uint32_t crc = plr__crc32c(0, j->frame, j->len);
  (void)crc;
}

static void bench_framing(plr_context *ctx, float *x, float *y) {
  plr_codec codec;
  job j = {.bytes = 1024 * 768 * 4};
  bench_result r;
  must(plr_codec_from_name("uniform4", &codec));
  must(plr_encoder_create(ctx, &codec, 1024, 768, &j.encoder, NULL));
  plr_tensor_matrix(&j.x, x, PLR_DTYPE_F32, 1024, 768);
  plr_tensor_matrix(&j.y, y, PLR_DTYPE_F32, 1024, 768);
  j.cap = plr_encoder_bound(j.encoder);
  j.frame = bench_alloc((int64_t)j.cap);
  encode(&j);
  bench_pair pair = {.ours = checksum,
                     .ours_arg = &j,
                     .peer = encode,
                     .peer_arg = &j,
                     .threads = 1,
                     .seconds = 0.3};
  bench_run(&pair, &r);
  bench_print("codec/speed/checksum-share/uniform4", 100 * r.ours / r.peer, "% of encode", "encode",
              1e6 * r.peer, r.ratio, "peer in microseconds");
  free(j.frame);
  plr_encoder_destroy(j.encoder);
}

static const char *option(int argc, char **argv, const char *name, const char *fallback) {
  for (int i = 1; i + 1 < argc; i++)
    if (strcmp(argv[i], name) == 0) return argv[i + 1];
  return fallback;
}

int main(int argc, char **argv) {
  static const char *const names[] = {"raw",
                                      "bf16",
                                      "int8",
                                      "int4",
                                      "raw+zstd",
                                      "bf16+zstd",
                                      "int8+zstd",
                                      "int4+zstd",
                                      "raw+split",
                                      "bf16+split",
                                      "uniform2",
                                      "uniform4",
                                      "uniform4+token",
                                      "dither4",
                                      "trellis3",
                                      "trellis4+token",
                                      "topk",
                                      "eden4",
                                      "eden2",
                                      "mask20+int4"};
  static const int64_t shapes[][2] = {{512, 16}, {1024, 768}};
  plr_context *ctx;
  must(plr_context_create(NULL, &ctx, NULL));
  float *x = bench_alloc(1024 * 768 * 4), *y = bench_alloc(1024 * 768 * 4);
  fill_normal(x, 1024 * 768);
  bench_codec_gap(ctx, option(argc, argv, "--dumps", NULL),
                  option(argc, argv, "--report", "codec.html"));
  for (size_t s = 0; s < 2; s++)
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      bench_one(ctx, names[i], x, y, shapes[s][0], shapes[s][1]);
  bench_codec_lossless(ctx);
  bench_codec_deltas(ctx);
  bench_framing(ctx, x, y);
  free(x), free(y);
  plr_context_destroy(ctx);
  return 0;
}
