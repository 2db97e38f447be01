/* What other folders may use from exchange beyond its public headers. */
#ifndef PLR_EXCHANGE_EXCHANGE_H
#define PLR_EXCHANGE_EXCHANGE_H

#include <pluralis/exchange.h>
#include <pluralis/link.h>

#include "base/base.h"

/* Hash of a frame as receipts and journals carry it: SHA-256 of its bytes (FRAME.md). */
plr_hash plr__frame_hash(const void *frame, size_t len);

#endif
