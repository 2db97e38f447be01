/* See histogram.h and FRAME.md. */
#include "exchange/histogram.h"

#include <string.h>

#define HEAD 4u /* bytes that say how long the scales are */

/* ---- integers of b bits, packed, to bytes and back ------------------------------------------------ */

/* Groups of 8 fill b bytes; constant sizes let the compiler make vectors of them. */
static inline void unpack_groups(const uint8_t *restrict in, size_t groups, uint32_t bits,
                                 uint8_t *restrict symbol) {
  const uint8_t mask = (uint8_t)((1u << bits) - 1);
  for (size_t g = 0; g < groups; g++, in += bits, symbol += 8) {
    uint64_t window = 0;
    for (uint32_t i = 0; i < bits; i++) window |= (uint64_t)in[i] << 8 * i;
    for (uint32_t i = 0; i < 8; i++) symbol[i] = (uint8_t)(window >> bits * i) & mask;
  }
}

static inline void pack_groups(const uint8_t *restrict symbol, size_t groups, uint32_t bits,
                               uint8_t *restrict out) {
  for (size_t g = 0; g < groups; g++, symbol += 8, out += bits) {
    uint64_t window = 0;
    for (uint32_t i = 0; i < 8; i++) window |= (uint64_t)symbol[i] << bits * i;
    for (uint32_t i = 0; i < bits && i < 8; i++) out[i] = (uint8_t)(window >> 8 * i);
  }
}

static void unpack4(const uint8_t *restrict in, size_t bytes, uint8_t *restrict symbol) {
  for (size_t i = 0; i < bytes; i++) {
    symbol[2 * i] = in[i] & 15u;
    symbol[2 * i + 1] = in[i] >> 4;
  }
}

static void pack4(const uint8_t *restrict symbol, size_t bytes, uint8_t *restrict out) {
  for (size_t i = 0; i < bytes; i++)
    out[i] = (uint8_t)(symbol[2 * i] | (uint32_t)symbol[2 * i + 1] << 4);
}

/* The last integers, fewer than 8, from a copy that has 8. */
static void unpack_bits(const uint8_t *in, size_t n, uint32_t bits, uint8_t *symbol) {
  const size_t whole = n / 8, left = n % 8, bytes = (left * bits + 7) / 8;
  uint8_t last[8] = {0}, values[8];
  switch (bits) {
  case 2:
    unpack_groups(in, whole, 2, symbol);
    break;
  case 4:
    unpack4(in, 4 * whole, symbol);
    break;
  case 8:
    memcpy(symbol, in, 8 * whole);
    break;
  default:
    unpack_groups(in, whole, bits, symbol);
    break;
  }
  memcpy(last, in + whole * bits, bytes);
  unpack_groups(last, 1, bits, values);
  memcpy(symbol + 8 * whole, values, left);
}

static void pack_bits(const uint8_t *symbol, size_t n, uint32_t bits, uint8_t *out) {
  const size_t whole = n / 8, left = n % 8, bytes = (left * bits + 7) / 8;
  uint8_t last[8] = {0}, packed[8];
  switch (bits) {
  case 2:
    pack_groups(symbol, whole, 2, out);
    break;
  case 4:
    pack4(symbol, 4 * whole, out);
    break;
  case 8:
    memcpy(out, symbol, 8 * whole);
    break;
  default:
    pack_groups(symbol, whole, bits, out);
    break;
  }
  memcpy(last, symbol + 8 * whole, left);
  pack_groups(last, 1, bits, packed);
  memcpy(out + whole * bits, packed, bytes);
}

/* ---- chunk ---------------------------------------------------------------------------------------- */

/* The scales, split (E4) where that is shorter; returns bytes. */
static size_t encode_scales(plr__split *s, const uint8_t *scales, size_t bytes, uint8_t *out) {
  size_t coded;
  plr__split_encode(s, scales, bytes / 2, 1, 2, out + HEAD, &coded);
  plr__store_le32(out, (uint32_t)coded);
  if (coded) return HEAD + coded;
  memcpy(out + HEAD, scales, bytes);
  return HEAD + bytes;
}

size_t plr__histogram_encode(plr__split *s, const plr_codec *c, const uint8_t *packed, size_t n,
                             uint8_t *out) {
  const size_t front = (size_t)plr__planes_len(c, n), all = (size_t)plr__packed_len(c, n);
  if (n < 64) return 0;
  const size_t head = encode_scales(s, packed, front, out);
  if (head >= all) return 0;
  unpack_bits(packed + front, n, c->bits, s->symbol);
  const size_t coded = plr__symbols_encode(s, n, out + head, all - head - 1);
  return coded ? head + coded : 0;
}

static plr_status bad(const char **why, const char *text) {
  *why = text;
  return PLR_ERR_MALFORMED;
}

plr_status plr__histogram_decode(const plr__bytes_ops *ops, const plr__split_scratch *scratch,
                                 const plr_codec *c, const uint8_t *in, size_t len, size_t n,
                                 uint8_t *packed, const char **why) {
  uint8_t *symbol = scratch->symbol;
  const size_t front = (size_t)plr__planes_len(c, n);
  plr__symbols x;
  uint32_t any = 0, largest;
  if (len < HEAD) return bad(why, "it is cut off");
  const size_t split = plr__load_le32(in), head = HEAD + (split ? split : front);
  if (split >= front || head > len) return bad(why, "the scales have the wrong length");
  if (split)
    PLR_TRY(
        plr__split_decode(ops, scratch, in + HEAD, split, front / 2, 1, 2, packed, &largest, why));
  else
    memcpy(packed, in + HEAD, front);
  PLR_TRY(plr__symbols_open(&x, ops, scratch->tables, in + head, len - head, n, why));
  PLR_TRY(plr__symbols_next(&x, n, symbol, why));
  PLR_TRY(plr__symbols_close(&x, why));
  for (size_t i = 0; i < n; i++) any |= symbol[i];
  if (any >> c->bits) return bad(why, "an integer has too many bits");
  pack_bits(symbol, n, c->bits, packed + front);
  return PLR_OK;
}
