/* For fuzz entries of one decoder each: a frame from anyone whose ids are made to be that decoder's and whose
 * checksums are made right, so that all of what follows is its parser's. Decoded whole and in pieces, which have
 * to agree. */
#ifndef PLR_TEST_FUZZ_DECODER_H
#define PLR_TEST_FUZZ_DECODER_H

#include "../unit/frame_fix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FUZZ_ROWS = 300, FUZZ_COLS = 512, FUZZ_MEMORY = 24 << 20 };

typedef struct fuzz_decoder {
  plr_context *ctx;
  plr_decoder *decoder;
  float *whole, *pieces;
} fuzz_decoder;

/* All memory that decoding may take; NO_MEMORY from any call below is a bug. */
static inline void fuzz_setup(fuzz_decoder *f) {
  static float u[64 * 16];
  plr_context_options o;
  plr_tensor basis;
  plr_context_options_init(&o, sizeof o);
  o.max_frame = 1 << 20;
  o.max_memory = FUZZ_MEMORY;
  if (plr_context_create(&o, &f->ctx, NULL) != PLR_OK) abort();
  if (plr_decoder_create(f->ctx, FUZZ_ROWS, FUZZ_COLS, &f->decoder, NULL) != PLR_OK) abort();
  for (size_t i = 0; i < 64 * 16; i++) u[i] = i / 16 == i % 16 ? 1.0f : 0.01f;
  plr_tensor_matrix(&basis, u, PLR_DTYPE_F32, 48, 16);
  if (plr_decoder_set_basis(f->decoder, &basis, 7, NULL) != PLR_OK) abort();
  if (plr_decoder_set_store(f->decoder, 5, FUZZ_ROWS) != PLR_OK) abort();
  f->whole = malloc(sizeof *f->whole * FUZZ_ROWS * FUZZ_COLS);
  f->pieces = malloc(sizeof *f->pieces * FUZZ_ROWS * FUZZ_COLS);
  if (!f->whole || !f->pieces) abort();
}

/* Pieces of 1 to 97 bytes, whose sizes follow from the bytes. */
static inline plr_status fuzz_feed(fuzz_decoder *f, const uint8_t *data, size_t size, plr_tensor *x) {
  uint32_t rows = 0;
  size_t used, at = 0;
  if (plr_decoder_begin(f->decoder, x, NULL) != PLR_OK) return PLR_ERR_SHAPE;
  while (at < size && rows < (uint32_t)x->shape[0]) {
    size_t n = 1 + data[at] % 97u;
    if (n > size - at) n = size - at;
    plr_status st = plr_decoder_feed(f->decoder, data + at, n, &used, &rows, NULL, NULL);
    if (st != PLR_OK) return st;
    at += used;
  }
  if (rows < (uint32_t)x->shape[0]) return PLR_ERR_TRUNCATED;
  return at == size ? PLR_OK : PLR_ERR_MALFORMED;
}

/* `copy` is a frame of its own. Frames with a predictor change what the decoder knows, so that they are decoded
 * once. */
static inline void fuzz_frame(fuzz_decoder *f, uint8_t *copy, size_t size) {
  plr_frame_info info = {0};
  plr_error err = {0};
  plr_tensor x, y;
  test_fix_frame(copy, size);
  if (plr_frame_parse(f->ctx, copy, size, &info, &err) != PLR_OK) {
    if (!err.message[0]) abort();
    return;
  }
  if (info.rows > FUZZ_ROWS || info.cols > FUZZ_COLS) info.rows = info.cols = 1;
  const size_t n = (size_t)info.rows * info.cols;
  plr_tensor_matrix(&x, f->whole, PLR_DTYPE_F32, info.rows, info.cols);
  plr_tensor_matrix(&y, f->pieces, PLR_DTYPE_F32, info.rows, info.cols);
  const plr_status st = plr_decoder_decode(f->decoder, copy, size, &x, NULL, &err);
  if (st == PLR_ERR_NO_MEMORY || st == PLR_ERR_INTERNAL || (st != PLR_OK && !err.message[0])) abort();
  for (size_t i = 0; st == PLR_OK && info.codec.quant != PLR_QUANT_RAW && i < n; i++)
    if (!isfinite(f->whole[i])) abort();
  if (info.codec.predict) return;
  const plr_status other = fuzz_feed(f, copy, size, &y);
  if ((st == PLR_OK) != (other == PLR_OK) || other == PLR_ERR_NO_MEMORY) abort();
  if (st == PLR_OK && memcmp(f->whole, f->pieces, n * sizeof *f->whole) != 0) abort();
}

/* A fuzz entry. fix(p) sets the ids of the header at p. */
#define FUZZ_DECODER(fix)                                                    \
  int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);              \
  int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {             \
    static fuzz_decoder f;                                                   \
    if (!f.ctx) fuzz_setup(&f);                                              \
    uint8_t *copy = malloc(size + 1);                                        \
    if (!copy) abort();                                                      \
    if (size) memcpy(copy, data, size);                                      \
    if (size >= PLR_FRAME_HEADER) fix(copy);                                 \
    fuzz_frame(&f, copy, size);                                              \
    free(copy);                                                              \
    return 0;                                                                \
  }

#endif
