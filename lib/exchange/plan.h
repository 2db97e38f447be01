/* What an encoder with a parametric model decides about a tensor before it codes it: scales of tokens and channels, and
 * how many bits and how much error a step would give. FRAME.md fixes none of this; but it is the same on every
 * machine, so that frames are. */
#ifndef PLR_EXCHANGE_PLAN_H
#define PLR_EXCHANGE_PLAN_H

#include "exchange/model.h"
#include "exchange/view.h"

#define PLR_PLAN_BINS 1024 /* of log scales, 1/8 octave, the middle is an offset of 0 */

typedef struct plr__plan {
  const plr__model_ops *ops;
  uint32_t kind;     /* row of the tables of bits and errors: nearest, dither, trellis */
  int32_t unit;      /* 1/64 octaves of the model's unit above the step: 64 for the trellis */
  uint32_t relative; /* a token's step follows its scale */
  uint32_t rows, cols;
  uint32_t has_tokens, has_channels;
  int32_t ref;     /* 64 log2 of the scale at offsets of 0 */
  double power;    /* sum of squares */
  double row_square; /* mean square of a row's step over that of offset 0 */
  int32_t *row_log;  /* [max_rows] 64 log2 of the scale */
  double *sums;     /* [max_cols] */
  double *column;   /* [max_cols] sums of the columns */
  uint32_t has_means;
  int32_t mean_step; /* 1/64 octaves of the grid that the means are on */
  int16_t *shift;    /* [max_cols] places of the means on it */
  float *mean;       /* [max_cols] */
  int16_t *channel; /* [max_cols] 1/8 octave */
  uint32_t *channel_bins;
  uint32_t *token_bins;
  uint64_t *bins;    /* of token and channel together */
  int32_t low, high; /* of them that are in use */
  uint64_t values;
} plr__plan;

plr_status plr__plan_create(plr__plan *p, plr_context *ctx, uint32_t max_rows, uint32_t max_cols);
void plr__plan_release(plr__plan *p, plr_context *ctx);

/* Sums of squares at and above this are refused: no step would fit. */
#define PLR_PLAN_MOST_POWER 0x1p200

/* Before the plan is made: has the view take away the means of the channels, which live as long as the plan, where that
 * saves bits. 1 when it does; *power is then the sum of squares of the tensor with them. */
int plr__plan_means(plr__plan *p, plr__view *x, float *staging, double bits, double *power);

/* Looks at all of the tensor. bits: about how many a value will get, to weigh what scales cost. Errors:
 * NON_FINITE. */
plr_status plr__plan_make(plr__plan *p, const plr__view *x, float *staging, double bits);

/* Offset of a row, 1/8 octave. */
int32_t plr__plan_token(const plr__plan *p, uint32_t row);

/* Prepares the estimates below for rows [first, first + rows). */
void plr__plan_rows(plr__plan *p, uint32_t first, uint32_t rows);
double plr__plan_bits(const plr__plan *p, int32_t step);
/* Mean square error over mean square, of the whole tensor as if all rows were those of plr__plan_rows. */
double plr__plan_noise(const plr__plan *p, int32_t step);

/* The least step whose estimate is at most `bits` times `factor`; the largest whose noise is at most `ratio`. */
int32_t plr__plan_step_for_bits(const plr__plan *p, double bits);
int32_t plr__plan_step_for_noise(const plr__plan *p, double ratio);

/* The nearest step that puts the scale at offsets of 0 on a table. */
int32_t plr__plan_snap(const plr__plan *p, int32_t step);

/* Scale index at offsets of 0. */
int32_t plr__plan_base(const plr__plan *p, int32_t step);

/* Rice parameter for v[0 .. n), and the bits that takes. */
uint32_t plr__plan_rice(const int16_t *v, size_t n, uint64_t *bits);

#endif
