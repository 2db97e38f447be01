/* Frames of the parametric model (E1) with quantisers Q2, Q3, Q4: their chunks. FRAME.md is the norm. */
#ifndef PLR_EXCHANGE_PARAMETRIC_H
#define PLR_EXCHANGE_PARAMETRIC_H

#include "exchange/plan.h"
#include "exchange/trellis.h"

#define PLR_PARAMETRIC_HEAD   6u
#define PLR_PARAMETRIC_TOKENS 1u /* flag: scales of tokens follow */

/* Lanes of a chunk of n values. */
static inline uint32_t plr__parametric_lanes(size_t n) {
  return n >= 4096 ? 32 : n >= 512 ? 8 : 0;
}

/* First family of a quantiser's tables, and how many it has. */
static inline uint32_t plr__parametric_family(uint32_t quant) {
  return quant - PLR_QUANT_UNIFORM;
}
static inline uint32_t plr__parametric_families(uint32_t quant) {
  return quant == PLR_QUANT_TRELLIS ? 2 : 1;
}

plr__dither_key plr__dither_key_of(const plr_frame_info *info);
/* centroid[index][magnitude] of a quantiser, limit[index] with bit 7 for the second family. */
void plr__parametric_centroids(int32_t centroid[2 * PLR_MODEL_INDEXES * PLR_MODEL_CENTROID],
                               uint32_t quant);
void plr__parametric_limits(int32_t limit[2 * PLR_MODEL_INDEXES], uint32_t quant);

/* ---- encoder ------------------------------------------------------------------------------------- */

typedef struct plr__parametric_encoder {
  const plr__model_ops *ops;
  plr__plan plan;
  plr__rans_encoder *tables;
  int32_t limit[2 * PLR_MODEL_INDEXES];
  int32_t centroid[2 * PLR_MODEL_INDEXES * PLR_MODEL_CENTROID];
  uint32_t quant;
  size_t values; /* most in a chunk */
  int16_t *token;
  uint8_t *index, *symbol, *words, *bits;
  int32_t *q;
  uint32_t *places;
  float *row, *u, *scaled;
  plr__trellis *trellis;
  double noise; /* sum of squared errors of the last chunk */
} plr__parametric_encoder;

plr_status plr__parametric_encoder_create(plr__parametric_encoder **out, plr_context *ctx,
                                          const plr_codec *codec, uint32_t max_rows,
                                          uint32_t max_cols, size_t values);
void plr__parametric_encoder_destroy(plr__parametric_encoder *e, plr_context *ctx);

/* Most bytes of a chunk of n values, with its header. */
uint64_t plr__parametric_bound(uint64_t rows, uint64_t n);

/* Scales of the channels; *len = 0 when the plan has none. */
void plr__parametric_model_chunk(plr__parametric_encoder *e, uint8_t *at, uint32_t *len);
/* Rows [first, first + rows) at values, coded with `step`, which is raised until the chunk keeps within its bound. */
void plr__parametric_encode(plr__parametric_encoder *e, const plr_frame_info *info,
                            const float *values, uint32_t first, uint32_t rows, int32_t step,
                            uint8_t *at, uint32_t *len);

/* ---- decoder ------------------------------------------------------------------------------------- */

typedef struct plr__parametric_decoder {
  const plr__model_ops *ops;
  plr__rans_decoder *tables; /* of `quant` */
  uint32_t quant;
  int32_t centroid[2 * PLR_MODEL_INDEXES * PLR_MODEL_CENTROID];
  int16_t *channel, *token, *shift;
  float *mean; /* of the channels */
  uint32_t has_means;
  uint8_t *index, *symbol;
  int32_t *q;
  uint32_t *places;
  float *u;
} plr__parametric_decoder;

plr_status plr__parametric_decoder_create(plr__parametric_decoder **out, plr_context *ctx,
                                          uint32_t max_rows, uint32_t max_cols, size_t values);
void plr__parametric_decoder_destroy(plr__parametric_decoder *d, plr_context *ctx);

/* Before the chunks of a frame. */
void plr__parametric_begin(plr__parametric_decoder *d, const plr_frame_info *info);
plr_status plr__parametric_read_model(plr__parametric_decoder *d, const plr_frame_info *info,
                                      const plr__chunk *chunk, const char **why);
/* Values of a chunk, as one run. Errors: MALFORMED. */
plr_status plr__parametric_decode(plr__parametric_decoder *d, const plr_frame_info *info,
                                  const plr__chunk *chunk, float *y, const char **why);

#endif
