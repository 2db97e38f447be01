/* What a decoder does for the rest of exchange. */
#ifndef PLR_EXCHANGE_DECODER_INT_H
#define PLR_EXCHANGE_DECODER_INT_H

#include "exchange/view.h"

/* x -= what the frame decodes to; x is fp32. Errors: those of plr_decoder_decode; x is then unspecified. */
plr_status plr__decoder_subtract(plr_decoder *d, const void *frame, size_t len, plr_tensor *x);

#endif
