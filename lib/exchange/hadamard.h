/* Randomised Hadamard transform (T1) of rows: spreads what is loud over its block. FRAME.md is the norm. */
#ifndef PLR_EXCHANGE_HADAMARD_H
#define PLR_EXCHANGE_HADAMARD_H

#include "exchange/model.h"

/* Rows of cols values in place, row `first` of the frame at x. signs is scratch of cols values. */
void plr__hadamard_forward(const plr__model_ops *ops, const plr_frame_info *info, uint32_t first,
                           uint32_t rows, float *signs, float *x);
void plr__hadamard_inverse(const plr__model_ops *ops, const plr_frame_info *info, uint32_t first,
                           uint32_t rows, float *signs, float *x);

#endif
