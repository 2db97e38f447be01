/* The hash that names the numeric profile: nodes compare it before they trust each other's bits. */
#include "base/base.h"

#include "profile_hash.h"

void plr_profile_hash(plr_hash *out) {
  static const char name[] = "pluralis exact/1";
  static const uint8_t text[32] = PLR_PROFILE_TEXT_HASH;
  static const uint8_t golden[32] = PLR_PROFILE_GOLDEN_HASH;
  plr_sha256_state s;
  plr__sha256_init(&s);
  plr__sha256_update(&s, name, sizeof name - 1);
  plr__sha256_update(&s, text, sizeof text);
  plr__sha256_update(&s, golden, sizeof golden);
  plr__sha256_final(&s, out);
}
