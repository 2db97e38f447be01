/* Frames that leave their length open. */
#include "fuzz_decoder.h"

static void ids(uint8_t *p) {
  memset(p + 52, 0, 6);
}

FUZZ_DECODER(ids)
