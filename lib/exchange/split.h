/* Lossless floats (E4): exponents range-coded by their histogram, sign and mantissa as they are. */
#ifndef PLR_EXCHANGE_SPLIT_H
#define PLR_EXCHANGE_SPLIT_H

#include "exchange/rans_bytes.h"

typedef struct plr__split {
  const plr__bytes_ops *ops;
  plr__bytes_encoder tables;
  uint8_t *symbol, *words;
  int16_t *offset; /* of columns, when there are many rows */
  uint32_t *sum;
  size_t values;
} plr__split;

plr_status plr__split_create(plr__split **out, plr_context *ctx, size_t values);
void plr__split_destroy(plr__split *s, plr_context *ctx);

/* n values of `size` bytes (2: bf16, 4: fp32), little-endian, in rows of `cols`. *written = 0 when that would not be
 * shorter than they are; there is room for as many. */
void plr__split_encode(plr__split *s, const uint8_t *values, size_t n, size_t cols, uint32_t size,
                       uint8_t *out, size_t *written);

/* What decoding writes to on the way: symbol n bytes; shift and offset cols, or NULL where there are no columns. */
typedef struct plr__split_scratch {
  plr__bytes_decoder *tables;
  uint8_t *symbol, *shift;
  int16_t *offset;
} plr__split_scratch;

/* Back, with the largest exponent. Errors: MALFORMED. */
plr_status plr__split_decode(const plr__bytes_ops *ops, const plr__split_scratch *scratch,
                             const uint8_t *in, size_t len, size_t n, size_t cols, uint32_t size,
                             uint8_t *values, uint32_t *largest, const char **why);

/* n >= 8 symbols, those of s->symbol, by their frequencies, which come first; returns the bytes at out, 0 when
 * they are more than cap. */
size_t plr__symbols_encode(plr__split *s, size_t n, uint8_t *out, size_t cap);

/* Back, in runs of a multiple of PLR_BYTES_LANES, but for the last; all of `in` is read. tables is overwritten.
 * Errors: MALFORMED. */
typedef struct plr__symbols {
  const plr__bytes_ops *ops;
  const plr__bytes_decoder *tables;
  const uint8_t *words, *end;
  size_t left, tail; /* range-coded ones, and those after them */
  uint32_t lanes, state[PLR_BYTES_LANES];
} plr__symbols;

plr_status plr__symbols_open(plr__symbols *x, const plr__bytes_ops *ops, plr__bytes_decoder *tables,
                             const uint8_t *in, size_t len, size_t n, const char **why);
plr_status plr__symbols_next(plr__symbols *x, size_t n, uint8_t *symbol, const char **why);
plr_status plr__symbols_close(const plr__symbols *x, const char **why);

#endif
