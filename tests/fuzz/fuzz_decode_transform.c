/* Frames with a transform. */
#include "fuzz_decoder.h"

static void ids(uint8_t *p) {
  p[8] = 0, p[9] = (uint8_t)(1 + p[9] % 3);
}

FUZZ_DECODER(ids)
