/* The decoder's own. */
#ifndef PLR_EXCHANGE_DECODER_INT_H
#define PLR_EXCHANGE_DECODER_INT_H

#include "base/guard.h"
#include "exchange/parametric.h"
#include "exchange/predict.h"
#include "exchange/rans_bytes.h"
#include "exchange/transform.h"
#include "exchange/view.h"

/* A frame on its way in. */
typedef struct plr__decode_job {
  plr__frame frame;
  plr_frame_info coded; /* of what is coded: columns after the transform */
  plr__chunk_reader reader;
  plr__view view; /* where rows go; data NULL: nowhere */
} plr__decode_job;

/* Bytes of a frame that comes in pieces: those of its header, or of one chunk, that are not all there yet. */
typedef struct plr__feed {
  plr_tensor target;
  uint32_t state; /* PLR_FEED_* */
  uint8_t *held;
  size_t len;
} plr__feed;

#define PLR_FEED_NONE   0u
#define PLR_FEED_HEADER 1u
#define PLR_FEED_CHUNKS 2u
#define PLR_FEED_DONE   3u

struct plr_decoder {
  plr_context *ctx;
  PLR_GUARDED
  uint32_t max_rows, max_cols;
  size_t values;  /* most in a chunk */
  uint8_t *a, *b; /* four bytes for each value of a chunk */
  void *zstd_memory, *zstd;
  plr__parametric_decoder *parametric;
  plr__bytes_decoder *bytes; /* table of a chunk that brings its own */
  plr__transform transform;
  plr__predictor *predictor; /* NULL without a store */
  plr__decode_job job;
  plr__feed feed;
};

/* Checks that the frame's rows can go to x, and what the frame asks of the decoder. job.frame is set. */
plr_status plr__decode_target(plr_decoder *d, const plr_tensor *x, plr_error *err);
plr_status plr__decode_begin(plr_decoder *d, plr_error *err);
/* The chunk that job.reader read last. */
plr_status plr__decode_chunk(plr_decoder *d, const plr__chunk *chunk, plr_error *err);
/* x -= what the frame decodes to; x is fp32. Errors: those of plr_decoder_decode; x is then unspecified. */
plr_status plr__decoder_subtract(plr_decoder *d, const void *frame, size_t len, const plr_tensor *x);
/* After the last: what predictions are made of takes the frame in. */
void plr__decode_end(plr_decoder *d);

#endif
