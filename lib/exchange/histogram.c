/* See histogram.h and FRAME.md. */
#include "exchange/histogram.h"

#include <string.h>

/* b-bit integers of a packed payload to bytes, and back. */
static void unpack_bits(const uint8_t *in, size_t n, uint32_t bits, uint8_t *symbol) {
  const uint32_t mask = (1u << bits) - 1;
  uint32_t window = 0, held = 0;
  for (size_t i = 0; i < n; i++) {
    if (held < bits) window |= (uint32_t)*in++ << held, held += 8;
    symbol[i] = (uint8_t)(window & mask);
    window >>= bits, held -= bits;
  }
}

static void pack_bits(const uint8_t *symbol, size_t n, uint32_t bits, uint8_t *out) {
  uint32_t window = 0, held = 0;
  for (size_t i = 0; i < n; i++) {
    window |= (uint32_t)symbol[i] << held;
    for (held += bits; held >= 8; held -= 8, window >>= 8) *out++ = (uint8_t)window;
  }
  if (held) *out = (uint8_t)window;
}

size_t plr__histogram_encode(plr__split *s, const plr_codec *c, const uint8_t *packed, size_t n,
                             uint8_t *out) {
  const size_t front = (size_t)plr__planes_len(c, n), all = (size_t)plr__packed_len(c, n);
  if (n < 64) return 0;
  memcpy(out, packed, front);
  unpack_bits(packed + front, n, c->bits, s->symbol);
  const size_t coded = plr__symbols_encode(s, n, out + front, all - front - 1);
  return coded ? front + coded : 0;
}

plr_status plr__histogram_decode(const plr__bytes_ops *ops, plr__bytes_decoder *tables,
                                 uint8_t *symbol, const plr_codec *c, const uint8_t *in, size_t len,
                                 size_t n, uint8_t *packed, const char **why) {
  const size_t front = (size_t)plr__planes_len(c, n);
  *why = "it is cut off";
  if (len < front) return PLR_ERR_MALFORMED;
  memcpy(packed, in, front);
  plr__symbols x;
  PLR_TRY(plr__symbols_open(&x, ops, tables, in + front, len - front, n, why));
  PLR_TRY(plr__symbols_next(&x, n, symbol, why));
  PLR_TRY(plr__symbols_close(&x, why));
  uint32_t any = 0;
  for (size_t i = 0; i < n; i++) any |= symbol[i];
  *why = "an integer has too many bits";
  if (any >> c->bits) return PLR_ERR_MALFORMED;
  pack_bits(symbol, n, c->bits, packed + front);
  return PLR_OK;
}
