/* The encoder's own. */
#ifndef PLR_EXCHANGE_ENCODER_INT_H
#define PLR_EXCHANGE_ENCODER_INT_H

#include "base/guard.h"
#include "exchange/parametric.h"
#include "exchange/split.h"
#include "exchange/topk.h"
#include "exchange/view.h"

struct plr_encoder {
  plr_context *ctx;
  PLR_GUARDED
  plr_codec codec;
  uint32_t max_rows, max_cols;
  size_t bound;
  float *staging;    /* values of a chunk whose rows are not contiguous */
  uint8_t *packed;   /* zstd: payload of a chunk */
  uint8_t *shuffled; /* zstd: its byte planes */
  void *zstd_memory, *zstd;
  float *turned, *signs; /* Hadamard: the whole tensor, and one row */
  plr__split *split;
  plr__topk *topk;
  plr__parametric_encoder *parametric;
  uint64_t budget;         /* bytes of a frame; 0 = none */
  double target, floor;    /* error power over signal power; 0 = none */
  double correction;       /* bits that came out over bits that were expected, of late */
  plr_encoder_stats stats; /* since the encoder was made */
};

/* Chunks of a parametric frame, after its header. Errors: NON_FINITE, LIMIT (budget, floor). */
plr_status plr__parametric_frame(plr_encoder *e, plr_frame_info *info, const plr__view *x,
                                 uint8_t *out, uint32_t header_len);

#endif
