/* Tensor views. */
#include "tensor/tensor.h"

uint32_t plr_dtype_size(uint32_t dtype) {
  switch (dtype) {
  case PLR_DTYPE_F32:
  case PLR_DTYPE_I32:
    return 4;
  case PLR_DTYPE_F16:
  case PLR_DTYPE_BF16:
    return 2;
  case PLR_DTYPE_U8:
    return 1;
  default:
    return 0;
  }
}

void plr_tensor_matrix(plr_tensor *out, void *data, uint32_t dtype, int64_t rows, int64_t cols) {
  memset(out, 0, sizeof *out);
  out->data = data;
  out->dtype = dtype;
  out->ndim = 2;
  out->shape[0] = rows;
  out->shape[1] = cols;
  out->strides[0] = cols;
  out->strides[1] = 1;
}

/* The product of the sizes, and the index of the last element by its strides, must both be
 * addressable. */
static plr_status check_extent(const plr_tensor *t, uint32_t size, int64_t *count, plr_error *err) {
  const int64_t most = PTRDIFF_MAX / (int64_t)size;
  int64_t n = 1, last = 0;
  for (uint32_t d = 0; d < t->ndim; d++) {
    if (t->shape[d] < 0 || t->strides[d] < 0)
      return plr__fail(err, PLR_ERR_SHAPE, "tensor",
                       "dimension %u: size %lld or stride %lld is negative", d,
                       (long long)t->shape[d], (long long)t->strides[d]);
    if (t->shape[d] == 0) n = 0;
  }
  for (uint32_t d = 0; n > 0 && d < t->ndim; d++) {
    int64_t steps = t->shape[d] - 1;
    if (t->shape[d] > most / n || (steps > 0 && t->strides[d] > (most - 1 - last) / steps))
      return plr__fail(err, PLR_ERR_SHAPE, "tensor", "dimension %u: size %lld is out of range", d,
                       (long long)t->shape[d]);
    n *= t->shape[d];
    last += steps * t->strides[d];
  }
  *count = n;
  return PLR_OK;
}

plr_status plr_tensor_check(const plr_tensor *t, plr_error *err) {
  const plr_status bad = PLR_ERR_INVALID_ARGUMENT;
  if (!t) return plr__fail(err, bad, "tensor", "is NULL");
  uint32_t size = plr_dtype_size(t->dtype);
  if (!size) return plr__fail(err, bad, "tensor.dtype", "%u is not a dtype", t->dtype);
  if (t->ndim < 1 || t->ndim > PLR_MAX_DIMS)
    return plr__fail(err, bad, "tensor.ndim", "%u is not within 1 .. %d", t->ndim, PLR_MAX_DIMS);
  for (uint32_t d = t->ndim; d < PLR_MAX_DIMS; d++)
    if (t->shape[d] != 0 || t->strides[d] != 0)
      return plr__fail(err, PLR_ERR_SHAPE, "tensor", "dimension %u is unused and must be 0", d);
  int64_t count = 0;
  PLR_TRY(check_extent(t, size, &count, err));
  if (count == 0) return PLR_OK;
  if (!t->data) return plr__fail(err, bad, "tensor.data", "is NULL");
  if ((uintptr_t)t->data % size != 0)
    return plr__fail(err, bad, "tensor.data", "is not aligned to its element of %u bytes", size);
  return PLR_OK;
}

int64_t plr__tensor_count(const plr_tensor *t) {
  int64_t n = 1;
  for (uint32_t d = 0; d < t->ndim; d++) n *= t->shape[d];
  return n;
}

int plr__tensor_contiguous(const plr_tensor *t) {
  int64_t expected = 1;
  if (plr__tensor_count(t) == 0) return 1;
  for (uint32_t d = t->ndim; d-- > 0;) {
    if (t->shape[d] > 1 && t->strides[d] != expected) return 0;
    expected *= t->shape[d];
  }
  return 1;
}

float plr__f16_to_f32(uint16_t v) {
  uint32_t sign = (uint32_t)(v & 0x8000u) << 16, exponent = v >> 10 & 31u, fraction = v & 0x3ffu;
  if (exponent == 31) /* infinity, or a NaN made quiet */
    return plr__f32_from_bits(sign | 0x7f800000u | fraction << 13 | (fraction ? 0x400000u : 0u));
  if (exponent == 0) {
    if (fraction == 0) return plr__f32_from_bits(sign);
    exponent = 1; /* a denormal of binary16 is a normal number of binary32 */
    while (!(fraction & 0x400u)) fraction <<= 1, exponent--;
    fraction &= 0x3ffu;
  }
  return plr__f32_from_bits(sign | (exponent + 112u) << 23 | fraction << 13);
}

uint16_t plr__f32_to_f16(float x) {
  uint32_t u = plr__f32_bits(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
  if (a >= 0x47800000u) return (uint16_t)(sign | 0x7c00u); /* 65536 and above */
  if (a >= 0x38800000u)                                    /* normal; a carry may reach infinity */
    return (uint16_t)(sign | ((a - 0x38000000u + 0xfffu + (a >> 13 & 1u)) >> 13));
  if (a <= 0x33000000u) return (uint16_t)sign; /* 2^-25 is a tie between 0 and 2^-24: even is 0 */
  uint32_t fraction = (a & 0x7fffffu) | 0x800000u, shift = 126u - (a >> 23);
  uint32_t half = 1u << (shift - 1);
  return (uint16_t)(sign | ((fraction + half - 1 + (fraction >> shift & 1u)) >> shift));
}
