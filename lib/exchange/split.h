/* Lossless floats (E4): exponents range-coded by their histogram, sign and mantissa as they are. */
#ifndef PLR_EXCHANGE_SPLIT_H
#define PLR_EXCHANGE_SPLIT_H

#include "exchange/rans.h"

typedef struct plr__split {
  const plr__model_ops *ops;
  plr__rans_encoder *tables;
  uint8_t *index, *symbol, *words; /* index: zeros */
  size_t values;
} plr__split;

plr_status plr__split_create(plr__split **out, plr_context *ctx, size_t values);
void plr__split_destroy(plr__split *s, plr_context *ctx);

/* n values of `size` bytes (2: bf16, 4: fp32), little-endian. *written = 0 when that would not be shorter than they
 * are; there is room for as many. */
void plr__split_encode(plr__split *s, const uint8_t *values, size_t n, uint32_t size, uint8_t *out,
                       size_t *written);

/* Back; index and symbol are scratch of n bytes, tables is overwritten. Errors: MALFORMED. */
plr_status plr__split_decode(const plr__model_ops *ops, plr__rans_decoder *tables, uint8_t *index,
                             uint8_t *symbol, const uint8_t *in, size_t len, size_t n,
                             uint32_t size, uint8_t *values, const char **why);

/* n symbols, those of s->symbol, by their frequencies; returns the bytes at out, 0 when they are more than cap. */
size_t plr__symbols_encode(plr__split *s, size_t n, uint8_t *out, size_t cap);
/* Back to `symbol`, from all of in. Errors: MALFORMED. */
plr_status plr__symbols_decode(const plr__model_ops *ops, plr__rans_decoder *tables, uint8_t *index,
                               uint8_t *symbol, const uint8_t *in, size_t len, size_t n,
                               const char **why);

#endif
