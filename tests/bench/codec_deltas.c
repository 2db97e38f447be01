/* Deltas of weights: top-k against SparseLoCo written down naively (arXiv 2508.15706: 64 of 4096 values, 12-bit places,
 * two bits a value, error feedback with 0.95), 4-bit codecs with and without feedback, keyed masks against a stored
 * permutation. */
#include "bench.h"
#include "codec_gap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 256, COLS = 4096, N = ROWS * COLS, KEEP = 64, ROUNDS = 8 };

static void must(int good, const char *what) {
  if (good) return;
  fprintf(stderr, "bench_codec: %s\n", what);
  exit(1);
}

/* Gaussian deltas whose size changes from row to row, as from layer to layer. */
static void fill(float *x, uint64_t seed) {
  bench_fill(x, N, seed);
  for (size_t i = 0; i < N; i++) {
    const double u = 0.5 * ((double)x[i] + 1) * (1 - 1e-7) + 5e-8;
    x[i] = (float)(1e-4 * exp(0.3 * sin((double)(i / COLS))) * (u < 0.5 ? -1 : 1) *
                   sqrt(-2 * log(2 * fmin(u, 1 - u))));
  }
}

/* ---- SparseLoCo ---------------------------------------------------------------------------------- */

typedef struct kept {
  uint32_t place;
  float value;
} kept;

static int larger(const void *a, const void *b) {
  const kept *x = a, *y = b;
  const float p = fabsf(x->value), q = fabsf(y->value);
  if (p != q) return p > q ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

static int earlier(const void *a, const void *b) {
  const kept *x = a, *y = b;
  return x->place < y->place ? -1 : x->place > y->place;
}

typedef struct sparseloco {
  const float *x;
  float *error, *y; /* of the sender; what the peers get */
  kept *group, *all;
} sparseloco;

static void sparseloco_round(void *arg) {
  sparseloco *s = arg;
  size_t count = 0;
  double sum = 0, squares = 0, sums[4] = {0}, counts[4] = {0};
  for (size_t g = 0; g < N; g += 4096) {
    for (size_t i = 0; i < 4096; i++) {
      s->error[g + i] = 0.95f * s->error[g + i] + s->x[g + i];
      s->group[i] = (kept){(uint32_t)(g + i), s->error[g + i]};
    }
    qsort(s->group, 4096, sizeof *s->group, larger);
    qsort(s->group, KEEP, sizeof *s->group, earlier);
    for (size_t i = 0; i < KEEP; i++) s->all[count++] = s->group[i];
  }
  for (size_t i = 0; i < count; i++) sum += (double)s->all[i].value;
  const float shift = (float)(sum / (double)count);
  for (size_t i = 0; i < count; i++) {
    const float c = s->all[i].value - shift;
    squares += (double)c * (double)c;
  }
  const float scale = (float)(6 * sqrt(squares / (double)(count - 1)) / 4);
  memset(s->y, 0, N * sizeof *s->y);
  for (int pass = 0; pass < 2; pass++)
    for (size_t i = 0; i < count; i++) {
      const float c = s->all[i].value - shift;
      const int q = (int)fmin(3, fmax(0, nearbyint((double)(c / scale + 2.0f))));
      if (pass == 0)
        sums[q] += (double)c, counts[q]++;
      else
        s->y[s->all[i].place] = (float)(sums[q] / counts[q]) + shift;
    }
  for (size_t i = 0; i < N; i++) s->error[i] -= s->y[i];
}

/* ---- ours ---------------------------------------------------------------------------------------- */

typedef struct sender {
  plr_encoder *encoder;
  plr_decoder *decoder;
  plr_feedback *feedback;
  plr_tensor x, y;
  uint8_t *frame;
  size_t cap, len;
} sender;

static sender sender_of(plr_context *ctx, const char *name, float *x, float *y, float decay) {
  sender s = {0};
  plr_codec codec;
  must(plr_codec_from_name(name, &codec) == PLR_OK, name);
  must(plr_encoder_create(ctx, &codec, ROWS, COLS, &s.encoder, NULL) == PLR_OK, "encoder");
  must(plr_decoder_create(ctx, ROWS, COLS, &s.decoder, NULL) == PLR_OK, "decoder");
  must(plr_feedback_create(ctx, ROWS, COLS, decay, &s.feedback, NULL) == PLR_OK, "feedback");
  plr_tensor_matrix(&s.x, x, PLR_DTYPE_F32, ROWS, COLS);
  plr_tensor_matrix(&s.y, y, PLR_DTYPE_F32, ROWS, COLS);
  s.cap = plr_encoder_bound(s.encoder);
  s.frame = bench_alloc((int64_t)s.cap);
  return s;
}

static void sender_end(sender *s) {
  plr_feedback_destroy(s->feedback);
  plr_encoder_destroy(s->encoder);
  plr_decoder_destroy(s->decoder);
  free(s->frame);
}

static void decode(void *arg) {
  sender *s = arg;
  must(plr_decoder_decode(s->decoder, s->frame, s->len, &s->y, NULL, NULL) == PLR_OK, "decode");
}

/* One round: feedback, frame, what the peer decodes. */
static void send(void *arg) {
  sender *s = arg;
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_DELTA, .seed = 5};
  must(plr_feedback_encode(s->feedback, s->encoder, s->decoder, &info, &s->x, s->frame, s->cap,
                           &s->len) == PLR_OK,
       "encode");
  must(plr_feedback_commit(s->feedback) == PLR_OK, "commit");
  decode(s);
}

static void bench_sparseloco(plr_context *ctx, float *x, float *y) {
  sender s = sender_of(ctx, "topk", x, y, 0.95f);
  sparseloco n = {.x = x, .error = bench_alloc(N * 4), .y = bench_alloc(N * 4)};
  n.group = bench_alloc(4096 * sizeof *n.group);
  n.all = bench_alloc(N / 4096 * KEEP * (int64_t)sizeof *n.all);
  memset(n.error, 0, N * 4);
  for (uint64_t round = 0; round < ROUNDS; round++) {
    plr_tensor error;
    fill(x, round);
    send(&s);
    sparseloco_round(&n);
    must(plr_feedback_tensor(s.feedback, &error) == PLR_OK, "error");
    must(memcmp(y, n.y, N * 4) == 0, "topk: not the naive values");
    must(memcmp(error.data, n.error, N * 4) == 0, "topk: not the naive error");
  }
  const double bits = 8.0 * (double)s.len / (N / 4096.0 * KEEP);
  bench_print(
      "codec/delta/topk", bits, "bits a kept value", "SparseLoCo's format", 14, bits / 14,
      "ratio: bytes; values and error buffer bit-equal over %d rounds; %.0f x less than fp32",
      ROUNDS, 32.0 * N / (8.0 * (double)s.len));
  bench_result r;
  bench_pair pair = {.ours = send,
                     .ours_arg = &s,
                     .peer = sparseloco_round,
                     .peer_arg = &n,
                     .threads = 1,
                     .seconds = 0.5};
  bench_run(&pair, &r);
  bench_print("codec/speed/delta-round/topk", 1e-6 * N / r.ours, "M values/s", "naive, sorting",
              1e-6 * N / r.peer, r.ratio, "feedback, encode, decode twice");
  sender_end(&s);
  free(n.error), free(n.y), free(n.group), free(n.all);
}

/* ---- 4 bits -------------------------------------------------------------------------------------- */

/* SNR of the sum of what arrived in ROUNDS rounds, with a feedback that forgets nothing and without any. */
static double sum_snr(plr_context *ctx, const char *name, float *x, float *y, float decay,
                      double *bits) {
  sender s = sender_of(ctx, name, x, y, decay);
  double *all = bench_alloc(N * 8), *got = bench_alloc(N * 8), power = 0, error = 0;
  memset(all, 0, N * 8), memset(got, 0, N * 8);
  for (uint64_t round = 0; round < ROUNDS; round++) {
    fill(x, round);
    send(&s);
    for (size_t i = 0; i < N; i++) all[i] += (double)x[i], got[i] += (double)y[i];
  }
  for (size_t i = 0; i < N; i++) {
    power += all[i] * all[i];
    error += (all[i] - got[i]) * (all[i] - got[i]);
  }
  *bits = 8.0 * (double)s.len / N;
  sender_end(&s);
  free(all), free(got);
  return 10 * log10(power / error);
}

static void bench_four_bits(plr_context *ctx, float *x, float *y) {
  static const char *const names[] = {"int4", "uniform4", "eden4", "eden3", "eden2"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    double bits;
    char name[64];
    const double with = sum_snr(ctx, names[i], x, y, 1.0f, &bits);
    const double without = sum_snr(ctx, names[i], x, y, 0.0f, &bits);
    snprintf(name, sizeof name, "codec/delta/%s+feedback", names[i]);
    bench_print(name, with, "dB", "without feedback", without, 0,
                "of the sum of %d rounds; %.3f bits a value", ROUNDS, bits);
  }
}

/* ---- keyed mask ----------------------------------------------------------------------------------- */

enum { TOTAL = 1 << 24, MASKS = 20 };

typedef struct masked {
  plr_mask mask;
  plr_tensor w, values;
  uint32_t *order; /* the peer's permutation: four bytes a parameter */
  uint64_t count;
} masked;

static void gather(void *arg) {
  masked *m = arg;
  must(plr_mask_gather(&m->mask, 0, &m->w, &m->values) == PLR_OK, "gather");
}

static void stored(void *arg) {
  masked *m = arg;
  const float *w = m->w.data;
  float *v = m->values.data;
  for (uint64_t i = 0; i < m->count; i++) v[i] = w[m->order[i * MASKS]];
}

static void bench_mask(void) {
  masked m = {.mask = {TOTAL, 12345, MASKS, 0}};
  uint64_t seed = 1;
  bench_result r;
  must(plr_mask_count(&m.mask, &m.count) == PLR_OK, "mask");
  float *w = bench_alloc(TOTAL * (int64_t)4), *v = bench_alloc((int64_t)m.count * 4);
  m.order = bench_alloc(TOTAL * (int64_t)4);
  bench_fill(w, TOTAL, 1);
  for (uint32_t i = 0; i < TOTAL; i++) { /* Fisher-Yates, from the inside */
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    const uint32_t j = (uint32_t)((seed >> 32) * (i + 1) >> 32);
    m.order[i] = m.order[j], m.order[j] = i;
  }
  plr_tensor_matrix(&m.w, w, PLR_DTYPE_F32, 1, TOTAL);
  plr_tensor_matrix(&m.values, v, PLR_DTYPE_F32, 1, (int64_t)m.count);
  bench_pair pair = {
      .ours = gather, .ours_arg = &m, .peer = stored, .peer_arg = &m, .threads = 1, .seconds = 0.5};
  bench_run(&pair, &r);
  bench_print("codec/speed/mask-gather", 1e-6 * (double)m.count / r.ours, "M values/s",
              "stored permutation", 1e-6 * (double)m.count / r.peer, r.ratio,
              "%d masks of %d values; ours keeps nothing, the peer 4 bytes a value", MASKS, TOTAL);
  free(w), free(v), free(m.order);
}

void bench_codec_deltas(plr_context *ctx) {
  float *x = bench_alloc(N * 4), *y = bench_alloc(N * 4);
  bench_sparseloco(ctx, x, y);
  bench_four_bits(ctx, x, y);
  bench_mask();
  free(x), free(y);
}
