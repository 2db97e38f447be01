/* Does this device compute as profile `exact` says? Run when it is opened: the same numbers through the same text,
 * compiled for the device and for the host, must give the same bits. It tries what compilers and devices get wrong:
 * fusing a product and a sum, flushing denormals, division and square root that are not rounded to nearest, and
 * every elementary function. */
#include "cuda_int.h"

#include "kernels/math_inline.h"

constexpr int cases = 1024;
constexpr int results = 11;

/* Spread over all exponents, denormals included; the same on the host and on the device. */
__host__ __device__ static inline float case_value(uint32_t i, uint32_t salt) {
  uint32_t x = i * 0x9E3779B9u + salt * 0x85EBCA6Bu;
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  uint32_t bits = x & 0x7fffffffu;
  if (bits >= 0x7f800000u) bits ^= 0x40000000u; /* finite */
  return plr_f32_bits(i % 8 == 0 ? bits & 0x00ffffffu : bits | (i % 2 ? 0x80000000u : 0u));
}

/* Moderate numbers, for functions with a small domain. */
__host__ __device__ static inline double case_double(uint32_t i) {
  return (double)((int)(i * 2654435761u) >> 4) * 0x1p-21;
}

__host__ __device__ static inline uint64_t case_result(int i, int what) {
  float x = case_value((uint32_t)i, 1), y = case_value((uint32_t)i, 2),
        z = case_value((uint32_t)i, 3), shape;
  double d = case_double((uint32_t)i), sine, cosine;
  switch (what) {
  case 0:
    return plr_bits_f32(fmaf(x, y, z));
  case 1:
    return plr_bits_f32(x * y + z);
  case 2:
    return plr_bits_f32(x / y);
  case 3:
    return plr_bits_f32(sqrtf(fabsf(x)));
  case 4:
    return plr_bits_f32(plr_exact_expf((float)d));
  case 5:
    return plr_bits_f32(plr_exact_logf(fabsf(x)));
  case 6:
    return plr_bits_f32(plr_exact_tailf((float)fabs(d) * 0.25f, &shape) + shape);
  case 7:
    return plr_bits_f64(plr_exact_exp(d) / (1.0 + d * d));
  case 8:
    return plr_bits_f64(sqrt(fabs(plr_exact_ln(fabs((double)x) + 0x1p-300))));
  case 9:
    plr_exact_sincos(d * 1000.0, &sine, &cosine);
    return plr_bits_f64(sine * 3.0 + cosine);
  default:
    return plr_bits_f64(plr_exact_pow(10000.0, d * 0x1p-8));
  }
}

__global__ static void selftest_kernel(uint64_t *out) {
  int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  out[i] = case_result(i % cases, i / cases);
}

/* A NaN's bits are outside the profile. */
static int same(uint64_t a, uint64_t b, int what) {
  if (a == b) return 1;
  int wide = what >= 7;
  uint64_t infinite = wide ? UINT64_C(0x7ff) << 52 : UINT64_C(0xff) << 23;
  uint64_t sign = ~(UINT64_C(1) << (wide ? 63 : 31));
  return (a & sign) > infinite && (b & sign) > infinite;
}

static plr_status compare(const plr_cuda_device *d, const uint64_t *got, plr_error *err) {
  static const char *const names[results] = {
      "fma", "product and sum", "division", "square root", "expf", "logf", "tailf",
      "exp", "ln",              "sincos",   "pow"};
  for (int i = 0; i < cases * results; i++) {
    uint64_t want = case_result(i % cases, i / cases);
    if (!same(got[i], want, i / cases))
      return plr__cuda_fail(err, PLR_ERR_UNAVAILABLE,
                            "CUDA device %d does not compute in profile exact: %s, case %d, gives "
                            "%llx instead of %llx",
                            d->ordinal, names[i / cases], i % cases, (unsigned long long)got[i],
                            (unsigned long long)want);
  }
  return PLR_OK;
}

plr_status plr__cuda_selftest(plr_cuda_device *d, plr_error *err) {
  size_t size = sizeof(uint64_t) * cases * results;
  uint64_t *out = (uint64_t *)d->base.vt->alloc(&d->base, size);
  uint64_t *host = (uint64_t *)d->host->alloc(d->base.ctx, size);
  plr_status st = out && host ? PLR_OK : PLR_ERR_NO_MEMORY;
  if (st == PLR_OK) st = plr_launch(d, cases * results / 256, 256, selftest_kernel, out);
  if (st == PLR_OK) st = d->base.vt->read(&d->base, host, out, size);
  if (st == PLR_OK)
    st = compare(d, host, err);
  else
    plr__cuda_fail(err, st, "CUDA device %d: the first kernel failed (see the log)", d->ordinal);
  if (host) d->host->free(d->base.ctx, host);
  if (out) d->base.vt->free(&d->base, out);
  return st;
}
