/* Transforms of a tensor before it is quantised (T1, T2, T3), all in binary32 in one order. FRAME.md is the norm. */
#ifndef PLR_EXCHANGE_TRANSFORM_H
#define PLR_EXCHANGE_TRANSFORM_H

#include "exchange/model.h"
#include "exchange/view.h"

#define PLR_DCT_BLOCK 64u

typedef struct plr__transform {
  plr_context *ctx;
  const plr__model_ops *ops;
  float *signs;         /* Hadamard: one row */
  float *dct;           /* matrices of 1 .. 64 points, one after the other */
  uint64_t dct_made;    /* bit n - 1: that of n points is there */
  float *basis;         /* cols x rank; NULL until it is given */
  uint32_t cols, rank;  /* of the basis */
  uint32_t generation;  /* of the basis */
} plr__transform;

/* Memory for transforms `first` to `last` of rows of max_cols columns. */
plr_status plr__transform_create(plr__transform *t, plr_context *ctx, uint32_t first, uint32_t last,
                                 uint32_t max_cols);
void plr__transform_release(plr__transform *t);

/* Columns a row of cols has after the transform of codec c. */
uint32_t plr__transform_cols(const plr__transform *t, const plr_codec *c, uint32_t cols);

/* Takes a basis: cols x rank, cols at most max_cols. Errors: SHAPE, NON_FINITE, NO_MEMORY; nothing has changed
 * then. */
plr_status plr__transform_set_basis(plr__transform *t, const plr_tensor *basis, uint32_t max_cols,
                                    uint32_t generation, plr_error *err);

/* Rows [0, rows) of info->cols values each at x, row 0 being row `first` of the frame and the beginning of a
 * chunk, in place; of the basis, whose rows have another length, to `other`, which is scratch otherwise. Errors:
 * NO_MEMORY. */
plr_status plr__transform_forward(plr__transform *t, const plr_frame_info *info, uint32_t first,
                                  uint32_t rows, float *x, float *other);
/* Back in place, but for the basis; other is scratch. */
plr_status plr__transform_inverse(plr__transform *t, const plr_frame_info *info, uint32_t first,
                                  uint32_t rows, float *x, float *other);
/* Coordinates z (rows x rank) to rows of cols. */
plr_status plr__transform_expand(plr__transform *t, const float *z, uint32_t rows, float *y);

#endif
