/* Ed25519 (RFC 8032) by libsodium, with the acceptance rule that plr_verify states. */
#include "base/base.h"
#include "base/ed25519.h"

#include <sodium.h>
#include <string.h>

struct plr_identity {
  plr_context *ctx;
  uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
  uint8_t secret_key[crypto_sign_SECRETKEYBYTES];
};

/* libsodium reads neither pointer when the length is 0, but memcpy must not get NULL. */
static const uint8_t *bytes_or_empty(const void *data) {
  return data ? data : (const uint8_t *)"";
}

plr_status plr__verify_known(const uint8_t public_key[32], const void *data, size_t len,
                             const uint8_t signature[64]) {
  if (sodium_init() < 0) return PLR_ERR_SIGNATURE;
  if (crypto_sign_verify_detached(signature, bytes_or_empty(data), len, public_key) != 0)
    return PLR_ERR_SIGNATURE;
  return PLR_OK;
}

plr_status plr_verify(const uint8_t public_key[32], const void *data, size_t len,
                      const uint8_t signature[64]) {
  PLR_TRY(plr__verify_known(public_key, data, len, signature));
  return crypto_core_ed25519_is_valid_point(public_key) == 1 ? PLR_OK : PLR_ERR_SIGNATURE;
}

#if defined(__x86_64__)

/* S below the order of the group, which makes a signature's second half unique. */
static int is_canonical_scalar(const uint8_t s[32]) {
  static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                    0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                    0,    0,    0,    0,    0,    0,    0,    0,
                                    0,    0,    0,    0,    0,    0,    0,    0x10};
  for (int i = 31; i >= 0; i--)
    if (s[i] != order[i]) return s[i] < order[i];
  return 0;
}

static void challenge(const plr__signed *item, uint8_t out[32]) {
  uint8_t wide[64];
  crypto_hash_sha512_state s;
  crypto_hash_sha512_init(&s);
  crypto_hash_sha512_update(&s, item->signature, 32);
  crypto_hash_sha512_update(&s, item->key, 32);
  crypto_hash_sha512_update(&s, bytes_or_empty(item->message), item->len);
  crypto_hash_sha512_final(&s, wide);
  crypto_core_ed25519_scalar_reduce(out, wide);
}

/* The key is of prime order, so of the R that it can lead to only the neutral point is one that libsodium refuses. */
static uint32_t verify_wide(const plr__signed *items, uint32_t n) {
  static const uint8_t neutral[32] = {1};
  const uint8_t *key[8], *signature[8], *h[8];
  uint8_t challenges[8][32];
  uint32_t in_order = 0;
  for (uint32_t i = 0; i < 8; i++) {
    const plr__signed *item = &items[i < n ? i : 0];
    challenge(item, challenges[i]);
    key[i] = item->key, signature[i] = item->signature, h[i] = challenges[i];
    if (i < n && is_canonical_scalar(signature[i] + 32) && memcmp(signature[i], neutral, 32) != 0)
      in_order |= 1u << i;
  }
  return in_order & plr__ed25519_verify8(key, signature, h);
}

static int has_wide(const plr_context *ctx) {
  return plr_context_isa(ctx) == PLR_ISA_AVX512 && __builtin_cpu_supports("avx512ifma");
}

#else

static uint32_t verify_wide(const plr__signed *items, uint32_t n) {
  (void)items, (void)n;
  return 0;
}

static int has_wide(const plr_context *ctx) {
  (void)ctx;
  return 0;
}

#endif

/* What the wide code does not accept is for libsodium to say. */
uint32_t plr__verify_known_many(const plr_context *ctx, const plr__signed *items, uint32_t n) {
  uint32_t good = n > 1 && has_wide(ctx) ? verify_wide(items, n) : 0;
  for (uint32_t i = 0; i < n; i++)
    if (!(good >> i & 1) && plr__verify_known(items[i].key, items[i].message, items[i].len,
                                              items[i].signature) == PLR_OK)
      good |= 1u << i;
  return good;
}

/* RFC 8032, section 7.1, test 2. */
static const uint8_t rfc_key[32] = {
    0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a, 0xa7, 0x4d, 0x1b, 0x7e, 0xbc,
    0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4, 0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};
static const uint8_t rfc_signature[64] = {
    0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f, 0x64, 0x25, 0x40,
    0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda,
    0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c,
    0x38, 0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};

/* 1 when libsodium accepts the signature of the empty message by secret scalar a = 1 and nonce
 * scalar 1: A = B, R as given, S = 1 + H(R, A, M) mod L. It is right for R = B only. */
static int accepts_r(const uint8_t base[32], const uint8_t r[32]) {
  static const uint8_t one[32] = {1};
  uint8_t signature[64], wide[64], k[32];
  memcpy(signature, r, 32);
  crypto_hash_sha512_state s;
  crypto_hash_sha512_init(&s);
  crypto_hash_sha512_update(&s, r, 32);
  crypto_hash_sha512_update(&s, base, 32);
  crypto_hash_sha512_final(&s, wide);
  crypto_core_ed25519_scalar_reduce(k, wide);
  crypto_core_ed25519_scalar_add(signature + 32, k, one);
  return plr__verify_known(base, NULL, 0, signature) == PLR_OK;
}

/* R = B + T with T of order two: a verifier that multiplies by the cofactor accepts it; one that
 * compares R itself, as the rule wants, does not. */
static int verifies_without_cofactor(void) {
  static const uint8_t one[32] = {1};
  static const uint8_t order_two[32] = {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
  uint8_t base[32], moved[32];
  if (crypto_scalarmult_ed25519_base_noclamp(base, one) != 0) return 0;
  if (crypto_core_ed25519_add(moved, base, order_two) != 0) return 0;
  return accepts_r(base, base) && !accepts_r(base, moved);
}

/* Points that must not pass: order one, two and eight, and the non-canonical form (p + 1) of the
 * first. */
static int accepts_bad_points(void) {
  static const uint8_t points[][32] = {
      {0x01},
      {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
      {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
       0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
       0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
      {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
       0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
  };
  for (size_t i = 0; i < PLR_COUNT_OF(points); i++)
    if (crypto_core_ed25519_is_valid_point(points[i])) return 1;
  return 0;
}

static plr_status check_sodium(plr_error *err) {
  static const uint8_t message[1] = {0x72};
  const char *fault = NULL;
  if (sodium_init() < 0)
    fault = "it cannot be initialised";
  else if (plr_verify(rfc_key, message, sizeof message, rfc_signature) != PLR_OK)
    fault = "a good signature does not verify";
  else if (accepts_bad_points())
    fault = "a low-order or non-canonical point is accepted";
  else if (!verifies_without_cofactor())
    fault = "it verifies with the cofactor";
  if (!fault) return PLR_OK;
  return plr__fail(err, PLR_ERR_UNAVAILABLE, "identity", "libsodium is not usable: %s", fault);
}

plr_status plr_identity_create(plr_context *ctx, const uint8_t seed[32], plr_identity **out,
                               plr_error *err) {
  if (out) *out = NULL;
  if (!ctx || !seed || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "identity", "ctx, seed or out is NULL");
  PLR_TRY(check_sodium(err));
  plr_identity *identity = plr__alloc(ctx, sizeof *identity);
  if (!identity) return plr__no_memory(err, "identity");
  identity->ctx = plr__context_ref(ctx);
  crypto_sign_seed_keypair(identity->public_key, identity->secret_key, seed);
  *out = identity;
  return PLR_OK;
}

void plr_identity_destroy(plr_identity *identity) {
  if (!identity) return;
  plr_context *ctx = identity->ctx;
  sodium_memzero(identity, sizeof *identity);
  plr__free(ctx, identity);
  plr__context_unref(ctx);
}

void plr_identity_public_key(const plr_identity *identity, uint8_t out[32]) {
  memcpy(out, identity->public_key, sizeof identity->public_key);
}

void plr_account_id(const uint8_t public_key[32], plr_hash *out) {
  static const char domain[] = "pluralis.account/v1";
  plr_sha256_state s;
  plr__sha256_init(&s);
  plr__sha256_update(&s, domain, sizeof domain - 1);
  plr__sha256_update(&s, public_key, 32);
  plr__sha256_final(&s, out);
}

void plr_identity_sign(const plr_identity *identity, const void *data, size_t len,
                       uint8_t out[64]) {
  crypto_sign_detached(out, NULL, bytes_or_empty(data), len, identity->secret_key);
}
