/* Frames with a predictor: keys, hashes, and the store that follows them. */
#include "fuzz_decoder.h"

static void ids(uint8_t *p) {
  p[8] = (uint8_t)(1 + p[8] % 2);
}

FUZZ_DECODER(ids)
