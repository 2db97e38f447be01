/* Floats and block integers through zstd. */
#include "fuzz_decoder.h"

static void ids(uint8_t *p) {
  p[8] = 0, p[10] %= 2, p[11] = PLR_ENTROPY_ZSTD;
}

FUZZ_DECODER(ids)
