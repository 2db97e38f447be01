/* Frames in pieces (stream/...): how soon the first one leaves, and what it costs against the whole. Predictors
 * and transforms (predict/speed/..., transform/speed/...): values a second, beside the same codec without. The
 * histogram coder (histogram/...): bits a value where values are far from uniform, beside packed and zstd. */
#include "base/base.h"
#include "bench.h"
#include "pluralis/exchange.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 2048, COLS = 1024, N = ROWS * COLS };

typedef struct job {
  plr_encoder *encoder;
  plr_decoder *decoder;
  plr_tensor x, y;
  uint8_t *frame;
  size_t cap, len;
  uint64_t keys[ROWS];
  uint32_t count;
} job;

static void must(plr_status st) {
  if (st == PLR_OK) return;
  fprintf(stderr, "bench_predict: %s\n", plr_status_name(st));
  exit(1);
}

static plr_frame_info info_of(uint32_t flags) {
  return (plr_frame_info){
      .struct_size = sizeof(plr_frame_info), .role = PLR_ROLE_ACTIVATION, .flags = flags};
}

static void encode(void *arg) {
  job *j = arg;
  plr_frame_info info = info_of(0);
  if (j->count) must(plr_encoder_set_keys(j->encoder, j->keys, j->count));
  must(plr_encoder_encode(j->encoder, &info, &j->x, j->frame, j->cap, &j->len));
}

/* The same frame again: of predictors a key frame, which stands alone. */
static void decode(void *arg) {
  job *j = arg;
  must(plr_decoder_decode(j->decoder, j->frame, j->len, &j->y, NULL, NULL));
}

static void first_piece(void *arg) {
  job *j = arg;
  uint32_t left;
  plr_frame_info info = info_of(0);
  must(plr_encoder_begin(j->encoder, &info, &j->x));
  must(plr_encoder_next(j->encoder, j->frame, j->cap, &j->len, &left));
}

static void all_pieces(void *arg) {
  job *j = arg;
  size_t at = 0;
  uint32_t left = 1;
  plr_frame_info info = info_of(0);
  must(plr_encoder_begin(j->encoder, &info, &j->x));
  for (; left; at += j->len)
    must(plr_encoder_next(j->encoder, j->frame + at, j->cap - at, &j->len, &left));
  j->len = at;
}

/* In pieces as a socket gives them. */
static void feed(void *arg) {
  job *j = arg;
  uint32_t rows = 0;
  must(plr_decoder_begin(j->decoder, &j->y, NULL));
  for (size_t at = 0, used; at < j->len; at += used) {
    const size_t n = j->len - at < 16384 ? j->len - at : 16384;
    must(plr_decoder_feed(j->decoder, j->frame + at, n, &used, &rows, NULL, NULL));
  }
  if (rows != ROWS) exit(1);
}

static void open_job(job *j, plr_context *ctx, const char *name, float *x, float *y) {
  plr_codec c;
  memset(j, 0, sizeof *j);
  must(plr_codec_from_name(name, &c));
  must(plr_encoder_create(ctx, &c, ROWS, COLS, &j->encoder, NULL));
  must(plr_decoder_create(ctx, ROWS, COLS, &j->decoder, NULL));
  j->cap = plr_encoder_bound(j->encoder);
  j->frame = bench_alloc((int64_t)j->cap);
  plr_tensor_matrix(&j->x, x, PLR_DTYPE_F32, ROWS, COLS);
  plr_tensor_matrix(&j->y, y, PLR_DTYPE_F32, ROWS, COLS);
  if (!c.predict) return;
  const uint32_t anchor = c.predict == PLR_PREDICT_ANCHOR;
  j->count = anchor ? ROWS : 4;
  for (uint32_t i = 0; i < ROWS; i++) j->keys[i] = anchor ? i * 7u % 509u : i;
  must(plr_encoder_set_store(j->encoder, anchor ? 512 : 8, anchor ? 1 : ROWS / 4));
  must(plr_decoder_set_store(j->decoder, anchor ? 512 : 8, anchor ? 1 : ROWS / 4));
}

static void close_job(job *j) {
  plr_encoder_destroy(j->encoder);
  plr_decoder_destroy(j->decoder);
  free(j->frame);
}

static void pair(const char *name, const char *peer, bench_fn *ours, job *a, bench_fn *other,
                 job *b, int as_time, const char *note) {
  bench_result r;
  const bench_pair p = {.ours = ours,
                        .ours_arg = a,
                        .peer = other,
                        .peer_arg = b,
                        .threads = 1,
                        .seconds = 0.4,
                        .by_processor_time = 1};
  bench_run(&p, &r);
  if (as_time)
    bench_print(name, 1e3 * r.ours, "ms", peer, 1e3 * r.peer, r.ratio, "%s", note);
  else
    bench_print(name, 1e-6 * N / r.ours, "M values/s", peer, 1e-6 * N / r.peer, r.ratio, "%s",
                note);
}

static void bench_stream(plr_context *ctx, const char *name, float *x, float *y) {
  job j;
  char full[96];
  open_job(&j, ctx, name, x, y);
  snprintf(full, sizeof full, "stream/first-piece/%s", name);
  pair(full, "whole frame", first_piece, &j, encode, &j, 1, "2048x1024, one of 32 chunks");
  snprintf(full, sizeof full, "stream/encode/%s", name);
  pair(full, "whole frame", all_pieces, &j, encode, &j, 0, "all pieces");
  encode(&j);
  snprintf(full, sizeof full, "stream/decode/%s", name);
  pair(full, "whole frame", feed, &j, decode, &j, 0, "fed 16 KiB at a time");
  close_job(&j);
}

static void bench_speed(plr_context *ctx, const char *name, const char *plain, const char *kind,
                        float *x, float *y) {
  job a, b;
  char full[96];
  open_job(&a, ctx, name, x, y);
  open_job(&b, ctx, plain, x, y);
  snprintf(full, sizeof full, "%s/speed/encode/%s", kind, name);
  pair(full, plain, encode, &a, encode, &b, 0, "2048x1024");
  if (!a.count) { /* frames with a predictor can be decoded once */
    encode(&a), encode(&b);
    snprintf(full, sizeof full, "%s/speed/decode/%s", kind, name);
    pair(full, plain, decode, &a, decode, &b, 0, "2048x1024");
  }
  close_job(&a);
  close_job(&b);
}

static double bits_of(plr_context *ctx, const char *name, float *x, float *y) {
  job j;
  open_job(&j, ctx, name, x, y);
  encode(&j);
  decode(&j);
  const double bits = 8.0 * (double)j.len / N;
  close_job(&j);
  return bits;
}

/* Differences of exponentials: Laplacian, as gradients of weights are, near enough. */
static void bench_histogram(plr_context *ctx, float *x, float *y) {
  static const char *const names[] = {"int4", "int4+g128", "int8+g128"};
  for (int64_t i = 0; i < N; i++) {
    const double u = 0.5 + 0.4999999 * (double)x[i];
    x[i] = (float)(u < 0.5 ? log(2 * u) : -log(2 - 2 * u));
  }
  for (size_t i = 0; i < 3; i++) {
    char ours[32], zstd[32], full[64];
    snprintf(ours, sizeof ours, "%s+histogram", names[i]);
    snprintf(zstd, sizeof zstd, "%s+zstd", names[i]);
    const double a = bits_of(ctx, ours, x, y), b = bits_of(ctx, zstd, x, y);
    const double packed = bits_of(ctx, names[i], x, y);
    snprintf(full, sizeof full, "histogram/laplace/%s", names[i]);
    bench_print(full, a, "bits a value", "zstd", b, b / a, "same values decoded; packed %.3f",
                packed);
    bench_speed(ctx, ours, zstd, "histogram", x, y);
  }
}

int main(int argc, char **argv) {
  static const char *const streams[] = {"int4", "uniform4", "trellis4"};
  static const char *const predictors[] = {"uniform4+sample", "uniform4+anchor"};
  plr_context_options o;
  plr_context *ctx;
  plr_context_options_init(&o, sizeof o);
  o.isa = bench_options(argc, argv);
  o.threads = 1;
  must(plr_context_create(&o, &ctx, NULL));
  float *x = bench_alloc((int64_t)N * 4), *y = bench_alloc((int64_t)N * 4);
  bench_fill(x, N, 3);
  for (size_t i = 0; i < 3; i++) bench_stream(ctx, streams[i], x, y);
  for (size_t i = 0; i < 2; i++) bench_speed(ctx, predictors[i], "uniform4", "predict", x, y);
  bench_speed(ctx, "uniform4+dct", "uniform4", "transform", x, y);
  bench_speed(ctx, "int4+dct", "int4+hadamard", "transform", x, y);
  bench_histogram(ctx, x, y);
  free(x), free(y);
  plr_context_destroy(ctx);
  return 0;
}
