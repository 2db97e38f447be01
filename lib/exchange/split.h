/* Lossless floats (E4): exponents range-coded by their histogram, sign and mantissa as they are. */
#ifndef PLR_EXCHANGE_SPLIT_H
#define PLR_EXCHANGE_SPLIT_H

#include "exchange/rans_bytes.h"

typedef struct plr__split {
  const plr__bytes_ops *ops;
  plr__bytes_encoder tables;
  uint8_t *symbol, *words;
  size_t values;
} plr__split;

plr_status plr__split_create(plr__split **out, plr_context *ctx, size_t values);
void plr__split_destroy(plr__split *s, plr_context *ctx);

/* n values of `size` bytes (2: bf16, 4: fp32), little-endian. *written = 0 when that would not be shorter than they
 * are; there is room for as many. */
void plr__split_encode(plr__split *s, const uint8_t *values, size_t n, uint32_t size, uint8_t *out,
                       size_t *written);

/* Back, with the largest exponent; symbol is scratch of n bytes, tables is overwritten. Errors: MALFORMED. */
plr_status plr__split_decode(const plr__bytes_ops *ops, plr__bytes_decoder *tables, uint8_t *symbol,
                             const uint8_t *in, size_t len, size_t n, uint32_t size,
                             uint8_t *values, uint32_t *largest, const char **why);

#endif
