/* SHA-256 (FIPS 180-4) by libcrypto, through its low-level calls: the state lives on the stack and
 * nothing is allocated, which the EVP interface cannot promise; the code underneath is the same
 * (SHA-NI where present). */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/base.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

_Static_assert(sizeof(plr_sha256_state) >= sizeof(SHA256_CTX), "plr_sha256_state is too small");
_Static_assert(_Alignof(plr_sha256_state) >= _Alignof(SHA256_CTX), "plr_sha256_state alignment");

static SHA256_CTX *state_of(plr_sha256_state *s) {
  return (SHA256_CTX *)(void *)s;
}

void plr__sha256_init(plr_sha256_state *s) {
  SHA256_Init(state_of(s));
}

void plr__sha256_update(plr_sha256_state *s, const void *data, size_t len) {
  if (len) SHA256_Update(state_of(s), data, len);
}

void plr__sha256_final(plr_sha256_state *s, plr_hash *out) {
  SHA256_Final(out->bytes, state_of(s));
}

void plr_sha256(const void *data, size_t len, plr_hash *out) {
  plr_sha256_state s;
  plr__sha256_init(&s);
  plr__sha256_update(&s, data, len);
  plr__sha256_final(&s, out);
}

int plr__hash_equal(const plr_hash *a, const plr_hash *b) {
  return CRYPTO_memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
