/* Merkle tree hashes as in Certificate Transparency (RFC 6962, section 2.1). */
#include "base/base.h"

void plr__merkle_leaf(const void *data, size_t len, plr_hash *out) {
  static const uint8_t prefix = 0x00;
  plr_sha256_state s;
  plr__sha256_init(&s);
  plr__sha256_update(&s, &prefix, 1);
  plr__sha256_update(&s, data, len);
  plr__sha256_final(&s, out);
}

void plr__merkle_node(const plr_hash *left, const plr_hash *right, plr_hash *out) {
  static const uint8_t prefix = 0x01;
  plr_sha256_state s;
  plr__sha256_init(&s);
  plr__sha256_update(&s, &prefix, 1);
  plr__sha256_update(&s, left, sizeof *left);
  plr__sha256_update(&s, right, sizeof *right);
  plr__sha256_final(&s, out);
}

/* The RFC splits at the largest power of two below n. Joining neighbours level by level, and
 * carrying an odd last one up unchanged, builds the same tree without recursion. */
void plr__merkle_root(plr_hash *leaves, size_t n, plr_hash *out) {
  if (n == 0) {
    plr_sha256(NULL, 0, out);
    return;
  }
  while (n > 1) {
    size_t pairs = n / 2;
    for (size_t i = 0; i < pairs; i++)
      plr__merkle_node(&leaves[2 * i], &leaves[2 * i + 1], &leaves[i]);
    if (n % 2) leaves[pairs] = leaves[n - 1];
    n = pairs + n % 2;
  }
  *out = leaves[0];
}
