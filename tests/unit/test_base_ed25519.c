/* Eight verifications at once against libsodium's one: the same verdict on good signatures, on every kind of bad one,
 * and on what lies at the edges of field and group. Without the instructions only the verdicts are compared. */
#include "base_test.h"

#include "base/ed25519.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { LANES = PLR__VERIFY_MANY };

static uint64_t seed = 7;

static uint64_t test_random(uint64_t *s) { /* splitmix64 */
  uint64_t z = (*s += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

typedef struct lane {
  uint8_t key[32], signature[64], message[100];
  size_t len;
} lane;

static void draw_bytes(void *out, size_t n) {
  for (size_t i = 0; i < n; i++) ((uint8_t *)out)[i] = (uint8_t)test_random(&seed);
}

static void sign(lane *l, int what) {
  uint8_t from[32], secret[64];
  draw_bytes(from, sizeof from);
  if (what % 3 == 0) memset(from, what, sizeof from);
  crypto_sign_seed_keypair(l->key, secret, from);
  l->len = test_random(&seed) % sizeof l->message;
  draw_bytes(l->message, l->len);
  crypto_sign_detached(l->signature, NULL, l->message, l->len, secret);
}

/* What a liar may send. */
static void spoil(lane *l, uint32_t how) {
  static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                    0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                    0,    0,    0,    0,    0,    0,    0,    0,
                                    0,    0,    0,    0,    0,    0,    0,    0x10};
  unsigned carry = 0;
  switch (how) {
  case 0:
    break;
  case 1:
    l->signature[test_random(&seed) % 32] ^= (uint8_t)(1u << test_random(&seed) % 8);
    break;
  case 2:
    l->signature[32 + test_random(&seed) % 32] ^= (uint8_t)(1u << test_random(&seed) % 8);
    break;
  case 3: /* S + L, the same number to who does not look */
    for (int i = 0; i < 32; i++) {
      carry += (unsigned)l->signature[32 + i] + order[i];
      l->signature[32 + i] = (uint8_t)carry;
      carry >>= 8;
    }
    break;
  case 4:
    l->signature[31] ^= 0x80; /* -R */
    break;
  case 5:
    if (l->len) l->message[test_random(&seed) % l->len] ^= 1;
    break;
  case 6:
    draw_bytes(l->signature, 64);
    l->signature[63] &= 0x0f;
    break;
  case 7:
    memset(l->signature, 0, 64);
    l->signature[0] = 1; /* R neutral, S 0 */
    break;
  case 8: /* R of p + 1: neutral, not canonical */
    memset(l->signature, 0xff, 32);
    l->signature[0] = 0xee, l->signature[31] = 0x7f;
    break;
  case 9:
    memset(l->signature + 32, 0xff, 32);
    break;
  default:
    memset(l->signature + 32, 0, 32); /* S 0 */
    break;
  }
}

static void compare(const plr_context *ctx, const lane *lanes, uint32_t n) {
  plr__signed items[LANES];
  uint32_t want = 0;
  for (uint32_t i = 0; i < n; i++) {
    items[i] = (plr__signed){lanes[i].key, lanes[i].signature, lanes[i].message, lanes[i].len};
    want |= (uint32_t)(plr__verify_known(lanes[i].key, lanes[i].message, lanes[i].len,
                                         lanes[i].signature) == PLR_OK)
            << i;
  }
  assert_int_equal(plr__verify_known_many(ctx, items, n), want);
}

static int has_ifma(const plr_context *ctx) {
#if defined(__x86_64__)
  return plr_context_isa(ctx) == PLR_ISA_AVX512 && __builtin_cpu_supports("avx512ifma");
#else
  (void)ctx;
  return 0;
#endif
}

/* The wide code by itself, so that libsodium's second opinion hides nothing. */
static void compare_wide(const lane *lanes) {
#if defined(__x86_64__)
  const uint8_t *key[8], *signature[8], *h[8];
  uint8_t challenge[8][32];
  uint32_t want = 0;
  for (uint32_t i = 0; i < 8; i++) {
    uint8_t wide[64], r[32];
    crypto_hash_sha512_state s;
    crypto_hash_sha512_init(&s);
    crypto_hash_sha512_update(&s, lanes[i].signature, 32);
    crypto_hash_sha512_update(&s, lanes[i].key, 32);
    crypto_hash_sha512_update(&s, lanes[i].message, lanes[i].len);
    crypto_hash_sha512_final(&s, wide);
    crypto_core_ed25519_scalar_reduce(challenge[i], wide);
    key[i] = lanes[i].key, signature[i] = lanes[i].signature, h[i] = challenge[i];
    /* S·B - h·A by libsodium's group; -1 where a part of it is neutral, which it will not make. */
    uint8_t sb[32], ha[32];
    int zero_s = sodium_is_zero(signature[i] + 32, 32);
    if (crypto_scalarmult_ed25519_noclamp(ha, challenge[i], key[i]) != 0) fail();
    if (zero_s) {
      static const uint8_t neutral[32] = {1};
      memcpy(sb, neutral, 32);
    } else if (crypto_scalarmult_ed25519_base_noclamp(sb, signature[i] + 32) != 0) {
      fail();
    }
    if (crypto_core_ed25519_sub(r, sb, ha) != 0) fail();
    want |= (uint32_t)(memcmp(r, signature[i], 32) == 0) << i;
  }
  assert_int_equal(plr__ed25519_verify8(key, signature, h), want);
#else
  (void)lanes;
#endif
}

static void verdicts(void **state) {
  (void)state;
  plr_context *ctx;
  plr_context_options o;
  lane lanes[LANES];
  const int rounds = getenv("PLR_TEST_FULL") ? 4000 : 150;
  plr_context_options_init(&o, sizeof o);
  assert_int_equal(plr_context_create(&o, &ctx, NULL), PLR_OK);
  printf("eight at once: %s\n", has_ifma(ctx) ? "yes" : "no, this processor has no IFMA");
  for (int round = 0; round < rounds; round++) {
    int edges = 0;
    for (uint32_t i = 0; i < LANES; i++) {
      sign(&lanes[i], round + (int)i);
      uint32_t how = (uint32_t)test_random(&seed) % 16;
      spoil(&lanes[i], how < 11 ? how : 0);
      edges |= how == 3 || how == 6 || how == 9 || (how == 2 && lanes[i].signature[63] > 0x0f);
    }
    compare(ctx, lanes, LANES);
    compare(ctx, lanes, 1 + (uint32_t)round % LANES);
    if (has_ifma(ctx) && !edges) compare_wide(lanes);
  }
  plr_context_destroy(ctx);
  /* And where it may not be used. */
  o.isa = PLR_ISA_PORTABLE;
  assert_int_equal(plr_context_create(&o, &ctx, NULL), PLR_OK);
  for (uint32_t i = 0; i < LANES; i++) {
    sign(&lanes[i], (int)i);
    spoil(&lanes[i], i);
  }
  compare(ctx, lanes, LANES);
  plr_context_destroy(ctx);
}

/* Scalars with runs of ones and zeros, and keys near the ends of the field, drive carries as far as they go. */
static void extremes(void **state) {
  (void)state;
  plr_context *ctx;
  lane lanes[LANES];
  assert_int_equal(plr_context_create(NULL, &ctx, NULL), PLR_OK);
  for (int round = 0; has_ifma(ctx) && round < 100; round++) {
    const uint8_t *key[8], *signature[8], *h[8];
    uint8_t scalar[8][32], r[32], ha[32], sb[32];
    for (uint32_t i = 0; i < LANES; i++) {
      sign(&lanes[i], round);
      memset(scalar[i], 0, 32);
      for (int k = 0; k < 31; k++) {
        static const uint8_t runs[] = {0, 0xff, 0xf0, 0x0f, 1, 0x80};
        lanes[i].signature[32 + k] = runs[test_random(&seed) % 6];
        scalar[i][k] = runs[test_random(&seed) % 6];
      }
      lanes[i].signature[63] = (uint8_t)(test_random(&seed) % 16);
      scalar[i][31] = (uint8_t)(test_random(&seed) % 16);
      scalar[i][0] |= 1, lanes[i].signature[32] |= 1;
      assert_int_equal(crypto_scalarmult_ed25519_noclamp(ha, scalar[i], lanes[i].key), 0);
      assert_int_equal(crypto_scalarmult_ed25519_base_noclamp(sb, lanes[i].signature + 32), 0);
      assert_int_equal(crypto_core_ed25519_sub(r, sb, ha), 0);
      memcpy(lanes[i].signature, r, 32);
      if (i == (uint32_t)round % 8) lanes[i].signature[round % 32] ^= 4;
      key[i] = lanes[i].key, signature[i] = lanes[i].signature, h[i] = scalar[i];
    }
#if defined(__x86_64__)
    assert_int_equal(plr__ed25519_verify8(key, signature, h), 0xffu ^ 1u << round % 8);
#else
    (void)key, (void)signature, (void)h;
#endif
  }
  plr_context_destroy(ctx);
}

int main(void) {
  if (sodium_init() < 0) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts), cmocka_unit_test(extremes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
