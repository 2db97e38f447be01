/* Remainders that the vector versions of the model's kernels leave to the portable one. */
#ifndef PLR_EXCHANGE_MODEL_KERNELS_H
#define PLR_EXCHANGE_MODEL_KERNELS_H

#include "exchange/rans.h"
#include "exchange/trellis.h"

void plr__dither_portable(const plr__dither_key *key, uint32_t row, size_t n, float *u);
void plr__quantise_portable(const float *x, const float *u, size_t n, float inverse, int32_t *q);
void plr__scale_portable(const float *x, size_t n, float inverse, float *y);
void plr__points_portable(const int32_t *q, const uint8_t *index, size_t n, float step,
                          const int32_t *centroid, float *y);
void plr__dequantise_portable(const int32_t *q, const uint8_t *index, size_t n, float step,
                              const int32_t *centroid, float *y);
void plr__undither_portable(const int32_t *q, const float *u, size_t n, float step, float *y);
size_t plr__symbols_portable(const int32_t *q, const uint8_t *index, size_t first, size_t n,
                             uint32_t trellis, const int32_t *limit, uint8_t *symbol,
                             uint32_t *places);
size_t plr__values_portable(const uint8_t *symbol, const uint8_t *index, size_t first, size_t n,
                            int32_t *q, uint32_t *places);

#endif
