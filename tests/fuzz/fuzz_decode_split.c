/* Floats with range-coded exponents. */
#include "fuzz_decoder.h"

static void ids(uint8_t *p) {
  memset(p + 8, 0, 4);
  p[11] = PLR_ENTROPY_SPLIT, p[15] = 0;
  p[12] = p[12] % 2 ? PLR_DTYPE_F32 : PLR_DTYPE_BF16;
}

FUZZ_DECODER(ids)
