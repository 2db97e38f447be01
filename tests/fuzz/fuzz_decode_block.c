/* Frames of block integers, packed. */
#include "fuzz_decoder.h"

static void ids(uint8_t *p) {
  p[8] = 0, p[10] = PLR_QUANT_BLOCK_INT, p[11] = PLR_ENTROPY_PACK;
}

FUZZ_DECODER(ids)
