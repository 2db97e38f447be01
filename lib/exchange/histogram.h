/* Block integers by their frequencies (E2). FRAME.md is the norm. */
#ifndef PLR_EXCHANGE_HISTOGRAM_H
#define PLR_EXCHANGE_HISTOGRAM_H

#include "exchange/split.h"

/* `packed` is the payload of n values of block codec c; returns the bytes at `out`, 0 when they would not be fewer
 * than that has. There is room for as many. */
size_t plr__histogram_encode(plr__split *s, const plr_codec *c, const uint8_t *packed, size_t n,
                             uint8_t *out);

/* Back to that payload; scratch for n symbols and one column. Errors: MALFORMED. */
plr_status plr__histogram_decode(const plr__bytes_ops *ops, const plr__split_scratch *scratch,
                                 const plr_codec *c, const uint8_t *in, size_t len, size_t n,
                                 uint8_t *packed, const char **why);

#endif
