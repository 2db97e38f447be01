/* Keccak-256 as Ethereum uses it: the sponge of FIPS 202 with rate 136 and the padding of the original submission
 * (first byte 01). */
#include "ledger/ledger_int.h"

#include <string.h>

#define RATE 136u

static uint64_t rotate(uint64_t v, uint32_t n) {
  return n ? v << n | v >> (64 - n) : v;
}

/* theta, rho, pi, chi and iota of FIPS 202, 3.2; lane (x, y) is at x + 5y. */
static void permute(uint64_t a[25]) {
  static const uint8_t offset[25] = {0,  1,  62, 28, 27, 36, 44, 6,  55, 20, 3,  10, 43,
                                     25, 39, 41, 45, 15, 21, 8,  18, 2,  61, 56, 14};
  static const uint64_t constant[24] = {
      0x0000000000000001u, 0x0000000000008082u, 0x800000000000808au, 0x8000000080008000u,
      0x000000000000808bu, 0x0000000080000001u, 0x8000000080008081u, 0x8000000000008009u,
      0x000000000000008au, 0x0000000000000088u, 0x0000000080008009u, 0x000000008000000au,
      0x000000008000808bu, 0x800000000000008bu, 0x8000000000008089u, 0x8000000000008003u,
      0x8000000000008002u, 0x8000000000000080u, 0x000000000000800au, 0x800000008000000au,
      0x8000000080008081u, 0x8000000000008080u, 0x0000000080000001u, 0x8000000080008008u};
  for (uint32_t round = 0; round < 24; round++) {
    uint64_t c[5], b[25];
    for (uint32_t x = 0; x < 5; x++) c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    for (uint32_t i = 0; i < 25; i++) a[i] ^= c[(i + 4) % 5] ^ rotate(c[(i + 1) % 5], 1);
    for (uint32_t i = 0; i < 25; i++) {
      uint32_t x = i % 5, y = i / 5;
      b[y + 5 * ((2 * x + 3 * y) % 5)] = rotate(a[i], offset[i]);
    }
    for (uint32_t i = 0; i < 25; i++) {
      uint32_t row = i - i % 5;
      a[i] = b[i] ^ (~b[row + (i + 1) % 5] & b[row + (i + 2) % 5]);
    }
    a[0] ^= constant[round];
  }
}

static void absorb(uint64_t state[25], const uint8_t block[RATE]) {
  for (uint32_t i = 0; i < RATE / 8; i++) state[i] ^= plr__load_le64(block + 8 * i);
  permute(state);
}

void plr_keccak256(const void *data, size_t len, plr_hash *out) {
  uint64_t state[25] = {0};
  uint8_t last[RATE] = {0};
  const uint8_t *p = data;
  for (; len >= RATE; p += RATE, len -= RATE) absorb(state, p);
  if (len) memcpy(last, p, len);
  last[len] ^= 0x01;
  last[RATE - 1] ^= 0x80;
  absorb(state, last);
  for (uint32_t i = 0; i < 4; i++) plr__store_le64(out->bytes + 8 * i, state[i]);
}
