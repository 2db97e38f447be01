/* Block integers of the exchange's frames (FRAME.md): a warp is a group, a lane two neighbouring values at a time,
 * which for 4 bits are one byte. */
#include "cuda_int.h"

#include "kernels/math_inline.h"

#include <float.h>

constexpr int64_t groups_per_block = plr_block / 32;

/* What the lanes of a group agree on. The order of joining does not matter: a zero of either sign gives scale 0. */
__device__ static inline float group_max(float x) {
  for (int half = 16; half > 0; half /= 2) {
    float other = __shfl_xor_sync(0xffffffffu, x, half);
    x = x > other ? x : other;
  }
  return x;
}

/* bf16 bits, to nearest even, of a finite number. */
__device__ static inline uint32_t to_bf16(float x) {
  uint32_t u = plr_bits_f32(x);
  return (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
}

/* bf16 bits of the scale of a group whose extreme value is m; 0 when it would be below 2^-126. */
__device__ static inline uint32_t scale_bits(float m, uint32_t bits) {
  uint32_t s = to_bf16(m * (-1.0f / (float)(1u << (bits - 1))));
  uint32_t magnitude = s & 0x7fffu, most = ((256u - bits) << 7) - 1u;
  if (magnitude < 0x80u) return 0;
  return (s & 0x8000u) | (magnitude < most ? magnitude : most);
}

/* Nearest even for |x| < 2^22: the addition leaves the integer in the low bits of the sum. */
__device__ static inline int quantised(float x, float inverse, uint32_t bits) {
  int top = (1 << (bits - 1)) - 1, v = (int)(plr_bits_f32(x * inverse + 12582912.0f) - 0x4b400000u);
  return v > top ? top : v < -top - 1 ? -top - 1 : v;
}

/* The group of this warp: first value and number of values, 0 beyond the last group. */
__device__ static inline int64_t group_of_warp(const plr_quantise_args &a, int64_t *count) {
  int64_t first = ((int64_t)blockIdx.x * groups_per_block + threadIdx.x / 32) * a.group;
  int64_t left = first < a.n ? a.n - first : 0;
  *count = left < a.group ? left : a.group;
  return first;
}

__global__ static void quantise_kernel(plr_quantise_args a) {
  int64_t count, first = group_of_warp(a, &count);
  const float *x = a.x + first;
  float high = -FLT_MAX, low = FLT_MAX;
  bool finite = true;
  for (int64_t i = threadIdx.x % 32; i < count; i += 32) {
    finite = finite && (plr_bits_f32(x[i]) & 0x7fffffffu) < 0x7f800000u;
    high = x[i] > high ? x[i] : high;
    low = x[i] < low ? x[i] : low;
  }
  if (!finite) atomicOr(a.not_finite, 1u);
  high = group_max(high);
  low = -group_max(-low);
  if (count == 0) return;
  uint32_t s = scale_bits(high > -low ? high : low, a.bits);
  float inverse = s ? 1.0f / plr_f32_bits(s << 16) : 0.0f;
  if (threadIdx.x % 32 == 0) {
    a.scales[first / a.group * 2] = (uint8_t)s;
    a.scales[first / a.group * 2 + 1] = (uint8_t)(s >> 8);
  }
  uint8_t *q = a.q + first * a.bits / 8;
  for (int64_t i = threadIdx.x % 32 * 2; i < count; i += 64) {
    int even = quantised(x[i], inverse, a.bits);
    int odd = i + 1 < count ? quantised(x[i + 1], inverse, a.bits) : 0;
    if (a.bits == 4) {
      q[i / 2] = (uint8_t)((even & 15) | (odd & 15) << 4);
    } else {
      q[i] = (uint8_t)even;
      if (i + 1 < count) q[i + 1] = (uint8_t)odd;
    }
  }
}

__global__ static void dequantise_kernel(plr_quantise_args a) {
  int64_t count, first = group_of_warp(a, &count);
  if (count == 0) return;
  const uint8_t *scale = a.scales + first / a.group * 2, *q = a.q + first * a.bits / 8;
  float s = plr_f32_bits((uint32_t)scale[0] << 16 | (uint32_t)scale[1] << 24);
  for (int64_t i = threadIdx.x % 32; i < count; i += 32) {
    int v = a.bits == 8 ? (int8_t)q[i] : ((q[i / 2] >> (i % 2 * 4) & 15) ^ 8) - 8;
    a.y[first + i] = (float)v * s;
  }
}

static int sizes_ok(const plr_quantise_args *a) {
  return a->n >= 0 && (a->bits == 4 || a->bits == 8) && a->group > 0 && a->group % 2 == 0;
}

plr_status plr__cuda_quantise(plr_cuda_device *d, const plr_quantise_args *a) {
  if (!sizes_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  int64_t groups = plr_blocks_for(a->n, a->group);
  return plr_launch(d, plr_blocks_for(groups, groups_per_block), plr_block, quantise_kernel, *a);
}

plr_status plr__cuda_dequantise(plr_cuda_device *d, const plr_quantise_args *a) {
  if (!sizes_ok(a)) return PLR_ERR_INVALID_ARGUMENT;
  int64_t groups = plr_blocks_for(a->n, a->group);
  return plr_launch(d, plr_blocks_for(groups, groups_per_block), plr_block, dequantise_kernel, *a);
}
