/* Tensor views inside the library: shape helpers and scalar conversions between storage types. */
#ifndef PLR_TENSOR_TENSOR_H
#define PLR_TENSOR_TENSOR_H

#include <pluralis/tensor.h>

#include "base/base.h"

#include <string.h>

/* Elements, assuming plr_tensor_check passed. */
int64_t plr__tensor_count(const plr_tensor *t);

/* 1 when the elements lie one after another in row-major order; strides of sizes 0 and 1 do not
 * matter. */
int plr__tensor_contiguous(const plr_tensor *t);

/* Conversions round to nearest, ties to even. A NaN stays a NaN with its sign and the top of its
 * payload, made quiet; values too large become infinities; denormals are kept. They use integers
 * only, so the result does not depend on the floating-point environment. */

static inline uint32_t plr__f32_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

static inline float plr__f32_from_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

static inline float plr__bf16_to_f32(uint16_t v) {
  return plr__f32_from_bits((uint32_t)v << 16);
}

static inline uint16_t plr__f32_to_bf16(float x) {
  uint32_t u = plr__f32_bits(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
  return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

/* IEEE 754 binary16. */
float plr__f16_to_f32(uint16_t v);
uint16_t plr__f32_to_f16(float x);

#endif
