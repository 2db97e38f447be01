/* The encoder's own. */
#ifndef PLR_EXCHANGE_ENCODER_INT_H
#define PLR_EXCHANGE_ENCODER_INT_H

#include "base/guard.h"
#include "exchange/decoder_int.h"
#include "exchange/split.h"
#include "exchange/topk.h"

/* A frame on its way out, chunk by chunk. */
typedef struct plr__encode_job {
  plr__frame frame;     /* its payload_len and chunks grow */
  plr_frame_info coded; /* of what is coded: columns after the transform */
  plr__view view;       /* that */
  uint32_t begun, next_row;
  double signal; /* sum of squares of what the caller gave; 0 = that of the plan */
  double noise;  /* parametric: sum of squared errors so far */
  int32_t step;  /* parametric: without a budget, of all chunks */
  int32_t finer; /* by which it turned out to be too large for the error asked for */
} plr__encode_job;

struct plr_encoder {
  plr_context *ctx;
  PLR_GUARDED
  plr_codec codec;
  uint32_t max_rows, max_cols;
  size_t bound;
  float *staging;    /* values of a chunk whose rows are not contiguous */
  uint8_t *packed;   /* zstd, split, histogram: payload of a chunk */
  uint8_t *shuffled; /* zstd: its byte planes */
  void *zstd_memory, *zstd;
  float *changed; /* predictors and transforms: the whole tensor */
  float *turned;  /* transforms that need another one to write to */
  plr__transform transform;
  plr__split *split;
  plr__topk *topk;
  plr__parametric_encoder *parametric;
  plr_decoder *mirror;     /* predictors: what the other side decodes */
  uint32_t keys;           /* predictors: of the next frame */
  uint32_t generation;     /* of basis and predictions */
  uint64_t budget;         /* bytes of a frame; 0 = none */
  double target, floor;    /* error power over signal power; 0 = none */
  double correction;       /* bits that came out over bits that were expected, of this frame so far */
  plr_encoder_stats stats; /* since the encoder was made */
  plr__encode_job job;
};

/* Most bytes of a frame of rows x cols. */
uint64_t plr__encode_bound(const plr_codec *c, uint32_t rows, uint32_t cols);
/* Most bytes of the header and the chunks without rows; of the next chunk with rows. */
uint64_t plr__front_bound(const plr_codec *c, uint32_t rows, uint32_t cols);
uint64_t plr__chunk_bound(const plr_codec *c, uint32_t rows, uint32_t cols);

/* One frame: begin looks at all of x; front writes the chunks without rows, rows the next chunk with rows, each at
 * `at`; end when no rows are left. Errors: those of plr_encoder_encode. */
plr_status plr__encode_begin(plr_encoder *e, const plr_frame_info *given, const plr_tensor *x);
plr_status plr__encode_front(plr_encoder *e, uint8_t *at, uint32_t *len);
plr_status plr__encode_rows(plr_encoder *e, uint8_t *at, uint32_t *len);
plr_status plr__encode_end(plr_encoder *e);

/* The same of a parametric frame. Errors: NON_FINITE, LIMIT (budget, floor). */
plr_status plr__parametric_plan(plr_encoder *e);
plr_status plr__parametric_rows(plr_encoder *e, uint32_t first, uint32_t rows, uint8_t *at,
                                uint32_t *len);
plr_status plr__parametric_end(plr_encoder *e);

#endif
