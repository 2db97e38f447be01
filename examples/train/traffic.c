#include "traffic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "strbuf.h"

/* Bytes on the stream besides tensors and tokens, link framing included (lib/stage/CONTROL.md,
 * lib/ledger/FORMAT.md): on every link two proposals and two signatures for each micro-batch,
 * and its opening for each step; and a stage's complete receipts travel down every link between
 * it and the feeder. */
#define PROPOSAL_BYTES  690.0
#define SIGNATURE_BYTES 190.0
#define RECEIPT_BYTES   760.0
#define OPEN_BYTES      200.0
#define FRAME_BYTES     16.0 /* link header of a frame, and its acknowledgement */

/* Frames of a model in training against those of Gaussian values, which need no scales and have no tails: measured. */
#define TENSOR_EXCESS 1.1

#define TOKEN_SAMPLES 8u

/* Sum of 12 uniforms: Gaussian enough for a size. Its own small generator keeps the plan the
 * same every time. */
static float noise(uint64_t *state) {
  float sum = -6;
  for (int i = 0; i < 12; i++) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    sum += (float)(*state >> 40) * 0x1p-24f;
  }
  return sum;
}

static double tensor_bytes(plr_context *ctx, uint32_t rows, uint32_t cols, const char *name) {
  plr_codec codec;
  plr_encoder *encoder = NULL;
  plr_tensor x;
  size_t n = (size_t)rows * cols, len = 0;
  if (plr_codec_from_name(name, &codec) != PLR_OK ||
      plr_encoder_create(ctx, &codec, rows, cols, &encoder, NULL) != PLR_OK)
    return -1;
  float *values = must_alloc(n, sizeof *values);
  uint8_t *frame = must_alloc(plr_encoder_bound(encoder), 1);
  uint64_t state = 1;
  for (size_t i = 0; i < n; i++) values[i] = noise(&state);
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_ACTIVATION};
  plr_tensor_matrix(&x, values, PLR_DTYPE_F32, rows, cols);
  plr_status status =
      plr_encoder_encode(encoder, &info, &x, frame, plr_encoder_bound(encoder), &len);
  free(values);
  free(frame);
  plr_encoder_destroy(encoder);
  return status == PLR_OK ? (double)len : -1;
}

static double token_bytes(plr_context *ctx, const struct traffic_shape *s,
                          const plr_corpus *corpus) {
  uint32_t cols = s->seq_len + 1;
  size_t cap = (size_t)s->rows * cols * 4 + 4096, total = 0;
  int32_t *tokens = must_alloc((size_t)s->rows * cols, sizeof *tokens);
  uint8_t *frame = must_alloc(cap, 1);
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_TOKENS};
  int ok = 1;
  for (uint32_t i = 0; i < TOKEN_SAMPLES && ok; i++) {
    size_t len = cap;
    ok = plr_corpus_batch(corpus, PLR_SPLIT_TRAIN, s->data_seed, i, s->rows, s->seq_len, tokens,
                          NULL) == PLR_OK &&
         plr_tokens_encode(ctx, &info, tokens, s->rows, cols, s->vocab, frame, &len) == PLR_OK;
    total += len;
  }
  free(tokens);
  free(frame);
  return ok ? (double)total / TOKEN_SAMPLES : -1;
}

int traffic_expected_ratio(plr_context *ctx, const struct traffic_shape *s, const char *codec,
                           const plr_corpus *corpus, double *ratio) {
  uint32_t rows = s->rows * s->seq_len;
  double tensor = tensor_bytes(ctx, rows, s->width, codec), tokens = token_bytes(ctx, s, corpus);
  if (tensor < 0 || tokens < 0) return -1;
  double links = s->stages - 1, receipts_passing = links * (links + 1) / 2;
  double sent = links * (2 * (TENSOR_EXCESS * tensor + FRAME_BYTES) + tokens + FRAME_BYTES +
                         2 * (PROPOSAL_BYTES + SIGNATURE_BYTES) + OPEN_BYTES / s->micro_batches) +
                receipts_passing * RECEIPT_BYTES;
  *ratio = links * 4.0 * rows * s->d_model / sent;
  return 0;
}

uint64_t traffic_dense_bytes(const plr_model_info *info) {
  return (uint64_t)info->micro_batch * info->seq_len * info->d_model * 2;
}
