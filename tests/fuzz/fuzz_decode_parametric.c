/* Frames of the parametric coder: uniform, dither and trellis. */
#include "fuzz_decoder.h"

static void ids(uint8_t *p) {
  p[8] = 0, p[10] = (uint8_t)(PLR_QUANT_UNIFORM + p[10] % 3), p[11] = PLR_ENTROPY_PARAMETRIC;
  p[12] = PLR_DTYPE_F32, p[15] = 4;
}

FUZZ_DECODER(ids)
