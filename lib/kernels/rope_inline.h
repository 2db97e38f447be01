/* The frequencies of rotary positions, and the ways of stretching them to sequences longer than a model was trained
 * for, in the language that C11, C++ and CUDA have in common. */
#ifndef PLR_KERNELS_ROPE_INLINE_H
#define PLR_KERNELS_ROPE_INLINE_H

#include <pluralis/status.h>

#include "kernels/math_inline.h"
#include "kernels/ops.h"

/* The pair of dimensions that turns `rotations` times within the original length (YaRN). */
PLR_MATH double plr_rope_pair(const plr_rope_table_args *a, double rotations) {
  return (double)a->head_dim * plr_exact_ln((double)a->original / (rotations * PLR_TAU)) /
         (2.0 * plr_exact_ln(a->theta));
}

/* Frequency f of pair i by parts: long wavelengths are interpolated, short ones kept (Llama 3). */
PLR_MATH double plr_rope_llama3(const plr_rope_table_args *a, double f) {
  double wavelength = PLR_TAU / f, length = (double)a->original;
  if (wavelength > length / a->low_freq) return f / a->factor;
  if (wavelength < length / a->high_freq) return f;
  double kept = (length / wavelength - a->low_freq) / (a->high_freq - a->low_freq);
  return (1.0 - kept) * (f / a->factor) + kept * f;
}

PLR_MATH double plr_rope_yarn(const plr_rope_table_args *a, double f, int64_t i) {
  double low = floor(plr_rope_pair(a, a->beta_fast));
  double high = ceil(plr_rope_pair(a, a->beta_slow));
  low = low > 0.0 ? low : 0.0;
  high = high < (double)(a->head_dim - 1) ? high : (double)(a->head_dim - 1);
  if (low == high) high += 0.001;
  double ramp = ((double)i - low) / (high - low);
  ramp = ramp < 0.0 ? 0.0 : ramp > 1.0 ? 1.0 : ramp;
  return (f / a->factor) * ramp + f * (1.0 - ramp);
}

PLR_MATH double plr_rope_frequency(const plr_rope_table_args *a, int64_t i) {
  double f = plr_exact_pow(a->theta, -(double)(2 * i) / (double)a->head_dim);
  switch (a->scaling) {
  case PLR_ROPE_LINEAR:
    return f / a->factor;
  case PLR_ROPE_LLAMA3:
    return plr_rope_llama3(a, f);
  case PLR_ROPE_YARN:
    return plr_rope_yarn(a, f, i);
  default:
    return f;
  }
}

/* What cos and sin are multiplied by. */
PLR_MATH double plr_rope_size(const plr_rope_table_args *a) {
  return a->scaling == PLR_ROPE_YARN ? a->attention_factor : 1.0;
}

/* Whether the scaled frequencies are positive and at most 1, so that every angle is one that plr_exact_sincos takes. */
PLR_MATH int plr_rope_scaling_ok(const plr_rope_table_args *a) {
  if (a->scaling == PLR_ROPE_PLAIN) return 1;
  if (!(a->factor >= 1.0) || a->factor > 1e9) return 0;
  if (a->scaling == PLR_ROPE_LINEAR) return 1;
  if (a->original <= 0 || a->original > INT32_MAX) return 0;
  if (a->scaling == PLR_ROPE_LLAMA3)
    return a->low_freq > 0.0 && a->high_freq > a->low_freq && a->high_freq < 1e9;
  return a->scaling == PLR_ROPE_YARN && a->theta > 1.0 && a->beta_slow > 0.0 &&
         a->beta_fast >= a->beta_slow && a->beta_fast < 1e9 && a->attention_factor > 0.0 &&
         a->attention_factor < 1e9;
}

PLR_MATH plr_status plr_rope_table_check(const plr_rope_table_args *a) {
  if (a->positions < 0 || a->first_position < 0 || a->head_dim <= 0 || a->head_dim % 2)
    return PLR_ERR_INVALID_ARGUMENT;
  if (!(a->theta >= 1.0) || a->theta > 1e30 || !plr_rope_scaling_ok(a))
    return PLR_ERR_INVALID_ARGUMENT;
  if (a->positions > INT32_MAX || a->first_position > INT32_MAX - a->positions)
    return PLR_ERR_LIMIT;
  return PLR_OK;
}

#endif
