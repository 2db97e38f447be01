/* The profile's elementary functions as the library calls them: the truth the vector forms are tested against. */
#include "kernels/kernels_int.h"

#include "kernels/math_inline.h"

float plr__expf(float x) {
  return plr_exact_expf(x);
}

float plr__logf(float x) {
  return plr_exact_logf(x);
}

float plr__tailf(float x, float *shape) {
  return plr_exact_tailf(x, shape);
}

double plr__exp(double x) {
  return plr_exact_exp(x);
}

double plr__ln(double x) {
  return plr_exact_ln(x);
}

double plr__pow(double x, double y) {
  return plr_exact_pow(x, y);
}

void plr__sincos(double x, double *s, double *c) {
  plr_exact_sincos(x, s, c);
}

float plr__normal(uint64_t seed, uint32_t stream, uint32_t row, uint32_t i) {
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  const uint32_t counter[4] = {i / 4, row, stream, 0};
  uint32_t word[4];
  plr__philox4x32(counter, key, word);
  uint32_t pair = i & 2;
  double u = ((double)(word[pair] >> 9) + 0.5) * 0x1p-23;
  double v = ((double)(word[pair + 1] >> 9) + 0.5) * 0x1p-23;
  double radius = sqrt(-2.0 * plr__ln(u)), s, c;
  plr__sincos(v * PLR_TAU, &s, &c);
  return (float)(radius * (i & 1 ? s : c));
}
