/* Codecs: which combinations exist, and values to payload and back. */
#include "exchange/eden.h"
#include "exchange/exchange_int.h"

#include "tensor/tensor.h"

#include <string.h>

static plr_status check_raw(const plr_codec *c, const char *where, plr_error *err) {
  if (c->dtype != PLR_DTYPE_F32 && c->dtype != PLR_DTYPE_BF16 && c->dtype != PLR_DTYPE_F16)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "dtype %u", c->dtype);
  if (c->bits || c->group)
    return plr__fail(err, PLR_ERR_MALFORMED, where, "bits %u and group %u of a raw codec must be 0",
                     c->bits, c->group);
  return PLR_OK;
}

static plr_status check_block(const plr_codec *c, const char *where, plr_error *err) {
  if (c->dtype != PLR_DTYPE_F32)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "dtype %u of a block codec", c->dtype);
  if (c->bits < 2 || c->bits > 8)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "%u bits; 2 to 8 exist", c->bits);
  if (c->group != 32 && c->group != 64 && c->group != 128)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "groups of %u; 32, 64 and 128 exist",
                     c->group);
  return PLR_OK;
}

static plr_status check_topk(const plr_codec *c, const char *where, plr_error *err) {
  if (c->dtype != PLR_DTYPE_F32 || c->transform != PLR_TRANSFORM_IDENTITY ||
      c->entropy != PLR_ENTROPY_RICE)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where,
                     "dtype %u, transform %u, entropy coder %u of a top-k codec", c->dtype,
                     c->transform, c->entropy);
  if (c->bits != 2 || (c->group != 32 && c->group != 64 && c->group != 128))
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where,
                     "%u values of 4096 in %u bits; 32, 64 and 128 in 2 exist", c->group, c->bits);
  return PLR_OK;
}

static plr_status check_eden(const plr_codec *c, const char *where, plr_error *err) {
  if (c->dtype != PLR_DTYPE_F32 || c->transform != PLR_TRANSFORM_HADAMARD ||
      c->entropy != PLR_ENTROPY_PACK)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where,
                     "dtype %u, transform %u, entropy coder %u of an EDEN codec", c->dtype,
                     c->transform, c->entropy);
  if (c->bits < 1 || c->bits > 4 || (c->group != 128 && c->group != 1024))
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where,
                     "%u bits in groups of %u; 1 to 4 exist in groups of 128 and 1024", c->bits,
                     c->group);
  return PLR_OK;
}

static plr_status check_mask(const plr_codec *c, const char *where, plr_error *err) {
  const int raw = c->bits == 0;
  if (c->dtype != PLR_DTYPE_F32 && (c->dtype != PLR_DTYPE_BF16 || !raw))
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "dtype %u of a mask codec in %u bits",
                     c->dtype, c->bits);
  if (c->predict || c->transform || c->entropy != PLR_ENTROPY_PACK)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where,
                     "predictor %u, transform %u, entropy coder %u of a mask codec", c->predict,
                     c->transform, c->entropy);
  if ((!raw && (c->bits < 2 || c->bits > 8)) || c->group == 0)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where,
                     "%u bits and %u masks; 2 to 8, or 0, and at least one exist", c->bits,
                     c->group);
  return PLR_OK;
}

/* How the values of a codec are packed: those of a mask like others. */
static plr_codec packing(const plr_codec *c) {
  plr_codec p = *c;
  if (c->quant != PLR_QUANT_MASK) return p;
  p.quant = c->bits ? PLR_QUANT_BLOCK_INT : PLR_QUANT_RAW;
  p.group = c->bits ? 32 : 0;
  return p;
}

static plr_status check_parametric(const plr_codec *c, const char *where, plr_error *err) {
  if (c->dtype != PLR_DTYPE_F32)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "dtype %u of a parametric codec", c->dtype);
  if (c->quant < PLR_QUANT_UNIFORM || c->quant > PLR_QUANT_TRELLIS)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "quantiser %u with a parametric coder",
                     c->quant);
  if (c->bits < 1 || c->bits > 12)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "%u bits; 1 to 12 exist", c->bits);
  if (c->group != PLR_STEP_GLOBAL && c->group != PLR_STEP_TOKEN)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "step rule %u", c->group);
  return PLR_OK;
}

plr_status plr__codec_check(const plr_codec *c, const char *where, plr_error *err) {
  const int raw = c->quant == PLR_QUANT_RAW;
  if (c->predict > PLR_PREDICT_ANCHOR || (c->predict && raw))
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "predictor %u", c->predict);
  if (c->transform > PLR_TRANSFORM_DCT || (c->transform && raw))
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "transform %u", c->transform);
  if (plr__codec_parametric(c)) return check_parametric(c, where, err);
  if (c->quant == PLR_QUANT_TOPK) return check_topk(c, where, err);
  if (c->quant == PLR_QUANT_EDEN) return check_eden(c, where, err);
  if (c->quant == PLR_QUANT_MASK) return check_mask(c, where, err);
  if (c->entropy == PLR_ENTROPY_SPLIT && raw) return check_raw(c, where, err);
  if (c->entropy == PLR_ENTROPY_HISTOGRAM && c->quant == PLR_QUANT_BLOCK_INT)
    return check_block(c, where, err);
  if (c->entropy != PLR_ENTROPY_PACK && c->entropy != PLR_ENTROPY_ZSTD)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "entropy coder %u", c->entropy);
  if (raw) return check_raw(c, where, err);
  if (c->quant == PLR_QUANT_BLOCK_INT) return check_block(c, where, err);
  return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "quantiser %u", c->quant);
}

static uint64_t scales_len(const plr_codec *c, uint64_t n) {
  return (n + c->group - 1) / c->group * 2;
}

uint64_t plr__packed_len(const plr_codec *codec, uint64_t n) {
  const plr_codec of = packing(codec), *c = &of;
  if (c->quant == PLR_QUANT_EDEN) return plr__eden_len(c->bits, c->group, n);
  if (c->quant == PLR_QUANT_BLOCK_INT) return scales_len(c, n) + (n * c->bits + 7) / 8;
  if (c->dtype == PLR_DTYPE_TOKENS) return (n * c->bits + 7) / 8;
  return n * plr_dtype_size(c->dtype);
}

uint64_t plr__planes_len(const plr_codec *c, uint64_t n) {
  return c->quant == PLR_QUANT_BLOCK_INT ? scales_len(c, n) : n * plr__plane_size(c);
}

uint32_t plr__plane_size(const plr_codec *c) {
  if (c->quant == PLR_QUANT_BLOCK_INT) return 2;
  return c->dtype == PLR_DTYPE_TOKENS ? (c->bits + 7u) / 8u : plr_dtype_size(c->dtype);
}

static void store_f32(const float *x, size_t n, uint8_t *out) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  memcpy(out, x, n * sizeof *x);
#else
  for (size_t i = 0; i < n; i++) plr__store_le32(out + 4 * i, plr__f32_bits(x[i]));
#endif
}

static void load_f32(const uint8_t *in, size_t n, float *y) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  memcpy(y, in, n * sizeof *y);
#else
  for (size_t i = 0; i < n; i++) y[i] = plr__f32_from_bits(plr__load_le32(in + 4 * i));
#endif
}

/* Both return 0 when a value is not finite. */
static int store_f16(const float *x, size_t n, uint8_t *out) {
  for (size_t i = 0; i < n; i++) plr__store_le16(out + 2 * i, plr__f32_to_f16(x[i]));
  return plr__raw_finite(PLR_DTYPE_F16, out, n);
}

static int load_f16(const uint8_t *in, size_t n, float *y) {
  for (size_t i = 0; i < n; i++) y[i] = plr__f16_to_f32(plr__load_le16(in + 2 * i));
  return plr__raw_finite(PLR_DTYPE_F16, in, n);
}

plr_status plr__pack(uint32_t isa, const plr_codec *codec, const float *x, size_t n, uint8_t *out) {
  const plr_codec of = packing(codec), *c = &of;
  const plr__block_ops *ops = plr__block_ops_for(isa);
  int finite = 1;
  if (c->quant == PLR_QUANT_EDEN) return plr__eden_pack(plr__model_ops_for(isa), c, x, n, out);
  if (c->quant == PLR_QUANT_BLOCK_INT)
    finite = ops->quantise(x, n, c->group, c->bits, out, out + scales_len(c, n));
  else if (c->dtype == PLR_DTYPE_F16)
    finite = store_f16(x, n, out);
  else if (c->dtype == PLR_DTYPE_BF16)
    finite = ops->to_bf16(x, n, out);
  else
    store_f32(x, n, out);
  return finite ? PLR_OK : PLR_ERR_NON_FINITE;
}

static plr_status check_scales(const plr_codec *c, const uint8_t *scales, size_t n,
                               const char **why) {
  const uint32_t limit = plr__scale_max(c->bits);
  for (size_t i = 0; i < n; i++) {
    uint32_t s = plr__load_le16(scales + 2 * i), magnitude = s & 0x7fffu;
    *why = "a scale is not finite or too large";
    if (magnitude > limit) return PLR_ERR_NON_FINITE;
    *why = "a scale is too small and not +0";
    if (magnitude < 0x80u && s != 0) return PLR_ERR_MALFORMED;
  }
  return PLR_OK;
}

plr_status plr__unpack(uint32_t isa, const plr_codec *codec, const uint8_t *in, size_t n, float *y,
                       const char **why) {
  const plr__block_ops *ops = plr__block_ops_for(isa);
  const plr_codec of = packing(codec), *c = &of;
  if (c->quant == PLR_QUANT_EDEN) return plr__eden_unpack(c, in, n, y, why);
  if (c->quant == PLR_QUANT_BLOCK_INT) {
    const uint8_t *q = in + scales_len(c, n);
    PLR_TRY(check_scales(c, in, scales_len(c, n) / 2, why));
    const size_t spare = n * c->bits % 8;
    *why = "the last bits are not 0";
    if (spare && q[n * c->bits / 8] >> spare) return PLR_ERR_MALFORMED;
    ops->dequantise(in, q, n, c->group, c->bits, y);
    return PLR_OK;
  }
  if (c->dtype == PLR_DTYPE_F16) {
    *why = "a value is not finite";
    return load_f16(in, n, y) ? PLR_OK : PLR_ERR_NON_FINITE;
  }
  if (c->dtype == PLR_DTYPE_BF16) {
    *why = "a value is not finite";
    return ops->from_bf16(in, n, y) ? PLR_OK : PLR_ERR_NON_FINITE;
  }
  load_f32(in, n, y);
  return PLR_OK;
}

int plr__raw_finite(uint32_t dtype, const uint8_t *in, size_t n) {
  if (dtype == PLR_DTYPE_F32) return 1;
  int16_t magnitude = 0; /* signed, of which every machine has a vector maximum */
  for (size_t i = 0; i < n; i++) {
    const int16_t v = (int16_t)(plr__load_le16(in + 2 * i) & 0x7fffu);
    magnitude = v > magnitude ? v : magnitude;
  }
  return magnitude < (dtype == PLR_DTYPE_BF16 ? 0x7f80 : 0x7c00);
}

/* Constant sizes let the compiler turn the loops into vector shuffles. */
static inline void split(const uint8_t *restrict values, size_t n, uint32_t size,
                         uint8_t *restrict planes) {
  for (size_t i = 0; i < n; i++)
    for (uint32_t b = 0; b < size; b++) planes[b * n + i] = values[i * size + b];
}

static inline void join(const uint8_t *restrict planes, size_t n, uint32_t size,
                        uint8_t *restrict values) {
  for (size_t i = 0; i < n; i++)
    for (uint32_t b = 0; b < size; b++) values[i * size + b] = planes[b * n + i];
}

void plr__shuffle(const uint8_t *values, size_t n, uint32_t size, uint8_t *planes) {
  if (size == 4)
    split(values, n, 4, planes);
  else if (size == 2)
    split(values, n, 2, planes);
  else
    split(values, n, size, planes);
}

void plr__unshuffle(const uint8_t *planes, size_t n, uint32_t size, uint8_t *values) {
  if (size == 4)
    join(planes, n, 4, values);
  else if (size == 2)
    join(planes, n, 2, values);
  else
    join(planes, n, size, values);
}
