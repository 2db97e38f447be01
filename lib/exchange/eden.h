/* EDEN (Q6; S. Vargaftik et al., arXiv 2108.08842): values that a rotation made Gaussian, each the nearest of the
 * centroids of a Gaussian times a scale that makes the whole unbiased. FRAME.md is the norm. */
#ifndef PLR_EXCHANGE_EDEN_H
#define PLR_EXCHANGE_EDEN_H

#include "exchange/model.h"

/* Bytes of n values in groups of `group`, a multiple of 8. */
static inline uint64_t plr__eden_len(uint32_t bits, uint32_t group, uint64_t n) {
  return (n + group - 1) / group * 4 + (n * bits + 7) / 8;
}

/* n values, rotated, to payload, and back. Errors: NON_FINITE; unpack also MALFORMED. */
plr_status plr__eden_pack(const plr__model_ops *ops, const plr_codec *c, const float *x, size_t n,
                          uint8_t *out);
plr_status plr__eden_unpack(const plr_codec *c, const uint8_t *in, size_t n, float *y,
                            const char **why);

#endif
