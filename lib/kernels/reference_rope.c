/* Rotary positions as EXACT.md section 5 states them. */
#include "kernels/kernels_int.h"

#include <math.h>

#include "kernels/math_const.h"

static double correction(const plr_rope_table_args *a, double beta) {
  return (double)a->head_dim * plr__ln((double)a->original / (beta * PLR_TAU)) /
         (2.0 * plr__ln(a->theta));
}

static double frequency(const plr_rope_table_args *a, int64_t i) {
  double f = plr__pow(a->theta, -(double)(2 * i) / (double)a->head_dim);
  double slow = f / a->factor, original = (double)a->original;
  if (a->scaling == PLR_ROPE_LINEAR) return slow;
  if (a->scaling == PLR_ROPE_LLAMA3) {
    double wavelength = PLR_TAU / f;
    if (wavelength > original / a->low_freq) return slow;
    if (wavelength < original / a->high_freq) return f;
    double s = (original / wavelength - a->low_freq) / (a->high_freq - a->low_freq);
    return (1.0 - s) * slow + s * f;
  }
  if (a->scaling == PLR_ROPE_YARN) {
    double low = fmax(floor(correction(a, a->beta_fast)), 0.0);
    double high = fmin(ceil(correction(a, a->beta_slow)), (double)(a->head_dim - 1));
    if (low == high) high = high + 0.001;
    double ramp = fmin(fmax(((double)i - low) / (high - low), 0.0), 1.0);
    return slow * ramp + f * (1.0 - ramp);
  }
  return f;
}

plr_status plr__ref_rope_table(const plr_rope_table_args *a) {
  int64_t half = a->head_dim / 2;
  double size = a->scaling == PLR_ROPE_YARN ? a->attention_factor : 1.0;
  for (int64_t p = 0; p < a->positions; p++)
    for (int64_t i = 0; i < half; i++) {
      double s, c;
      plr__sincos((double)(a->first_position + p) * frequency(a, i), &s, &c);
      a->cos[p * half + i] = (float)(c * size);
      a->sin[p * half + i] = (float)(s * size);
    }
  return PLR_OK;
}

plr_status plr__ref_rope(const plr_rope_args *a) {
  int64_t half = a->head_dim / 2;
  for (int64_t r = 0; r < a->rows; r++)
    for (int64_t h = 0; h < a->heads; h++)
      for (int64_t i = 0; i < half; i++) {
        int64_t entry = (a->positions ? a->positions[r] : r % a->seq) * half + i;
        float *low = a->x + r * a->ldx + h * a->head_dim + i, *high = low + half;
        float c = a->cos[entry], s = a->sign * a->sin[entry];
        float x = *low, y = *high;
        *low = fmaf(-y, s, x * c);
        *high = fmaf(x, s, y * c);
      }
  return PLR_OK;
}
