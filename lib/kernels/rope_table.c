/* Angles of rotary positions, and the ways of stretching them to sequences longer than a model was trained for. */
#include "kernels/vec_kernels.h"

#include <math.h>

#include "kernels/math_const.h"

/* The pair of dimensions that turns `rotations` times within the original length (YaRN). */
static double pair_of_rotations(const plr_rope_table_args *a, double rotations) {
  return (double)a->head_dim * plr__ln((double)a->original / (rotations * PLR_TAU)) /
         (2.0 * plr__ln(a->theta));
}

/* Frequency f of pair i by parts: long wavelengths are interpolated, short ones kept (Llama 3). */
static double llama3(const plr_rope_table_args *a, double f) {
  double wavelength = PLR_TAU / f, length = (double)a->original;
  if (wavelength > length / a->low_freq) return f / a->factor;
  if (wavelength < length / a->high_freq) return f;
  double kept = (length / wavelength - a->low_freq) / (a->high_freq - a->low_freq);
  return (1.0 - kept) * (f / a->factor) + kept * f;
}

static double yarn(const plr_rope_table_args *a, double f, int64_t i) {
  double low = floor(pair_of_rotations(a, a->beta_fast));
  double high = ceil(pair_of_rotations(a, a->beta_slow));
  low = low > 0.0 ? low : 0.0;
  high = high < (double)(a->head_dim - 1) ? high : (double)(a->head_dim - 1);
  if (low == high) high += 0.001;
  double ramp = ((double)i - low) / (high - low);
  ramp = ramp < 0.0 ? 0.0 : ramp > 1.0 ? 1.0 : ramp;
  return (f / a->factor) * ramp + f * (1.0 - ramp);
}

static double frequency(const plr_rope_table_args *a, int64_t i) {
  double f = plr__pow(a->theta, -(double)(2 * i) / (double)a->head_dim);
  switch (a->scaling) {
  case PLR_ROPE_LINEAR:
    return f / a->factor;
  case PLR_ROPE_LLAMA3:
    return llama3(a, f);
  case PLR_ROPE_YARN:
    return yarn(a, f, i);
  default:
    return f;
  }
}

/* Pairs [first, last) at every position. */
static void rope_table_range(const void *args, int64_t first, int64_t last) {
  const plr_rope_table_args *a = (const plr_rope_table_args *)args;
  int64_t half = a->head_dim / 2;
  double size = a->scaling == PLR_ROPE_YARN ? a->attention_factor : 1.0;
  for (int64_t i = first; i < last; i++) {
    double f = frequency(a, i);
    for (int64_t p = 0; p < a->positions; p++) {
      double s, c;
      plr__sincos((double)(a->first_position + p) * f, &s, &c);
      a->cos[p * half + i] = (float)(c * size);
      a->sin[p * half + i] = (float)(s * size);
    }
  }
}

/* Whether the scaled frequencies are positive and at most 1, so that every angle is one that plr__sincos takes. */
static int scaling_ok(const plr_rope_table_args *a) {
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

plr_status plr__cpu_rope_table(plr_context *ctx, const plr_rope_table_args *a) {
  if (a->positions < 0 || a->first_position < 0 || a->head_dim <= 0 || a->head_dim % 2)
    return PLR_ERR_INVALID_ARGUMENT;
  if (!(a->theta >= 1.0) || a->theta > 1e30 || !scaling_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  if (a->positions > INT32_MAX || a->first_position > INT32_MAX - a->positions)
    return PLR_ERR_LIMIT;
  plr__partition(ctx, a->head_dim / 2, 1, 32 * a->positions, rope_table_range, a);
  return PLR_OK;
}
