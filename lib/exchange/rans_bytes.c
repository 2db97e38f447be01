/* See rans_bytes.h. */
#include "exchange/rans_bytes.h"

#include <string.h>

void plr__bytes_count(const uint8_t *symbol, size_t n, uint32_t f[256]) {
  uint32_t part[4][256]; /* equal neighbours would wait for each other's store */
  memset(part, 0, sizeof part);
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (uint32_t k = 0; k < 4; k++) part[k][symbol[i + k]]++;
  for (; i < n; i++) part[0][symbol[i]]++;
  for (uint32_t s = 0; s < 256; s++) f[s] = part[0][s] + part[1][s] + part[2][s] + part[3][s];
}

void plr__bytes_normalise(uint32_t f[256], size_t n) {
  uint32_t sum = 0, top = 0;
  for (uint32_t s = 0; s < 256; s++) {
    if (!f[s]) continue;
    f[s] = PLR_MAX(1u, (uint32_t)((uint64_t)f[s] * 4096 / n));
    sum += f[s];
    if (f[s] > f[top]) top = s;
  }
  if (sum == f[top]) { /* nothing else occurs */
    f[top] = 4095, f[top ^ 1] = 1;
    return;
  }
  for (; sum > 4096; sum--) { /* rare ones were raised to 1 */
    uint32_t most = 0;
    for (uint32_t s = 1; s < 256; s++)
      if (f[s] > f[most]) most = s;
    f[most]--;
  }
  f[top] += 4096 - sum;
}

void plr__bytes_encoder_clear(plr__bytes_encoder *t) {
  memset(t, 0, sizeof *t);
  plr__rans_compress(t->compress);
}

void plr__bytes_encoder_set(plr__bytes_encoder *t, const uint32_t f[256]) {
  for (uint32_t symbol = 0, start = 0; symbol < 256; start += f[symbol], symbol++)
    if (f[symbol]) plr__rans_entry(t->entry[symbol], start, f[symbol]);
}

void plr__bytes_decoder_clear(plr__bytes_decoder *t) {
  memset(t, 0, sizeof *t);
  plr__rans_expand(t->expand);
}

void plr__bytes_decoder_set(plr__bytes_decoder *t, const uint32_t f[256]) {
  uint32_t *slot = t->slot;
  for (uint32_t symbol = 0; symbol < 256; symbol++) {
    const uint32_t count = f[symbol], all = symbol << 24 | count << 12;
    for (uint32_t place = 0; place < count; place++) slot[place] = all | place;
    slot += count;
  }
}

static uint8_t *encode(const plr__bytes_encoder *t, const uint8_t *symbol, size_t n, uint32_t lanes,
                       uint32_t *state, uint8_t *end) {
  for (size_t i = n; i > 0; i -= lanes)
    for (uint32_t l = lanes; l-- > 0;)
      state[l] = plr__rans_step(t->entry[symbol[i - lanes + l]], state[l], &end);
  return end;
}

static const uint8_t *decode(const plr__bytes_decoder *t, const uint8_t *words, const uint8_t *end,
                             size_t n, uint32_t lanes, uint32_t *state, uint8_t *symbol) {
  for (size_t i = 0; i < n; i += lanes) {
    for (uint32_t l = 0; l < lanes; l++) {
      const uint32_t slot = t->slot[state[l] & 4095u];
      uint32_t x = (slot >> 12 & 4095u) * (state[l] >> 12) + (slot & 4095u);
      if (x < PLR_RANS_LOW) {
        if (end - words < 2) return NULL;
        x = x << 16 | plr__load_le16(words);
        words += 2;
      }
      state[l] = x;
      symbol[i + l] = (uint8_t)(slot >> 24);
    }
  }
  return words;
}

/* Exponents to one plane; sign and mantissa, a byte less a value, to the other. */
void plr__separate_portable(const uint8_t *restrict v, size_t n, uint8_t *restrict exponent,
                            uint8_t *restrict rest) {
  for (size_t i = 0; i < n; i++) {
    const uint32_t low = v[2 * i], high = v[2 * i + 1];
    exponent[i] = (uint8_t)(high << 1 | low >> 7);
    rest[i] = (uint8_t)((low & 0x7f) | (high & 0x80));
  }
}

uint32_t plr__unite_portable(const uint8_t *restrict exponent, const uint8_t *restrict rest,
                             size_t n, uint8_t *restrict v) {
  uint8_t largest = 0;
  for (size_t i = 0; i < n; i++) {
    const uint8_t e = exponent[i], r = rest[i];
    largest = PLR_MAX(largest, e);
    v[2 * i] = (uint8_t)((r & 0x7f) | e << 7);
    v[2 * i + 1] = (uint8_t)((r & 0x80) | e >> 1);
  }
  return largest;
}

const plr__bytes_ops plr__bytes_portable = {encode, decode, plr__separate_portable,
                                            plr__unite_portable};
