/* Keys, signatures, and the acceptance rule. */
#include "base_test.h"

#include <sodium.h>

typedef struct vector {
  const char *seed, *key, *message, *signature;
} vector;

/* RFC 8032, section 7.1, tests 1 to 3. */
static const vector rfc[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "659"
     "4a7c15e9716ed28dc027beceea1ec40a"},
};

static void test_rfc8032(void **state) {
  (void)state;
  plr_context *ctx = test_context(NULL);
  for (size_t i = 0; i < PLR_COUNT_OF(rfc); i++) {
    uint8_t seed[32], key[32], got[32], message[2], want[64], signature[64];
    size_t len = strlen(rfc[i].message) / 2;
    from_hex(rfc[i].seed, seed, 32);
    from_hex(rfc[i].key, key, 32);
    from_hex(rfc[i].message, message, len);
    from_hex(rfc[i].signature, want, 64);
    plr_identity *id;
    assert_int_equal(plr_identity_create(ctx, seed, &id, NULL), PLR_OK);
    plr_identity_public_key(id, got);
    assert_memory_equal(got, key, 32);
    plr_identity_sign(id, len ? message : NULL, len, signature);
    assert_memory_equal(signature, want, 64);
    assert_int_equal(plr_verify(key, len ? message : NULL, len, want), PLR_OK);
    assert_int_equal(plr__verify_known(key, message, len, want), PLR_OK);
    plr_identity_destroy(id);
  }
  plr_context_destroy(ctx);
  plr_identity_destroy(NULL);
}

static void test_flipped_bits(void **state) {
  (void)state;
  uint8_t key[32], message[2], signature[64];
  from_hex(rfc[2].key, key, 32);
  from_hex(rfc[2].message, message, 2);
  from_hex(rfc[2].signature, signature, 64);
  uint8_t *const parts[] = {key, message, signature};
  const size_t sizes[] = {32, 2, 64};
  for (size_t p = 0; p < 3; p++)
    for (size_t bit = 0; bit < 8 * sizes[p]; bit++) {
      parts[p][bit / 8] ^= (uint8_t)(1u << bit % 8);
      assert_int_equal(plr_verify(key, message, 2, signature), PLR_ERR_SIGNATURE);
      parts[p][bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
  assert_int_equal(plr_verify(key, message, 2, signature), PLR_OK);
  assert_int_equal(plr_verify(key, message, 1, signature), PLR_ERR_SIGNATURE);
}

/* S + L is the same scalar in another form: a second signature for the same message. */
static void test_malleable_s(void **state) {
  (void)state;
  static const char order[] = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
  uint8_t key[32], message[2], signature[64], l[32];
  from_hex(rfc[2].key, key, 32);
  from_hex(rfc[2].message, message, 2);
  from_hex(rfc[2].signature, signature, 64);
  from_hex(order, l, 32);
  unsigned carry = 0;
  for (int i = 0; i < 32; i++) {
    carry += (unsigned)signature[32 + i] + l[i];
    signature[32 + i] = (uint8_t)carry;
    carry >>= 8;
  }
  assert_int_equal(plr_verify(key, message, 2, signature), PLR_ERR_SIGNATURE);
}

static const uint8_t order_two[32] = {
    0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
static const uint8_t one[32] = {1};

static void challenge(const uint8_t r[32], const uint8_t a[32], const uint8_t *m, size_t len,
                      uint8_t k[32]) {
  uint8_t wide[64];
  crypto_hash_sha512_state s;
  crypto_hash_sha512_init(&s);
  crypto_hash_sha512_update(&s, r, 32);
  crypto_hash_sha512_update(&s, a, 32);
  crypto_hash_sha512_update(&s, m, len);
  crypto_hash_sha512_final(&s, wide);
  crypto_core_ed25519_scalar_reduce(k, wide);
}

/* A = B + T with T of order two, secret scalar 1: when k is even, kT vanishes and plain Ed25519
 * accepts. Only the check of A's order refuses it, which is what plr_verify adds. */
static void test_mixed_order_key(void **state) {
  (void)state;
  assert_true(sodium_init() >= 0);
  uint8_t base[32], key[32], signature[64], k[32];
  assert_int_equal(crypto_scalarmult_ed25519_base_noclamp(base, one), 0);
  assert_int_equal(crypto_core_ed25519_add(key, base, order_two), 0);
  memcpy(signature, base, 32);
  int accepted = 0;
  for (uint8_t m = 0; m < 32; m++) {
    challenge(signature, key, &m, 1, k);
    crypto_core_ed25519_scalar_add(signature + 32, k, one);
    plr_status plain = plr__verify_known(key, &m, 1, signature);
    assert_int_equal(plain, k[0] & 1 ? PLR_ERR_SIGNATURE : PLR_OK);
    accepted += plain == PLR_OK;
    assert_int_equal(plr_verify(key, &m, 1, signature), PLR_ERR_SIGNATURE);
  }
  assert_true(accepted > 4);
}

/* R = B + T: what a verifier with the cofactor would accept, since S*B - k*A differs from R by
 * exactly T. */
static void test_mixed_order_r(void **state) {
  (void)state;
  assert_true(sodium_init() >= 0);
  uint8_t base[32], signature[64], k[32], sb[32], ka[32], r[32], difference[32];
  const uint8_t m = 5;
  assert_int_equal(crypto_scalarmult_ed25519_base_noclamp(base, one), 0);
  assert_int_equal(crypto_core_ed25519_add(signature, base, order_two), 0);
  challenge(signature, base, &m, 1, k);
  crypto_core_ed25519_scalar_add(signature + 32, k, one);
  assert_int_equal(crypto_scalarmult_ed25519_base_noclamp(sb, signature + 32), 0);
  assert_int_equal(crypto_scalarmult_ed25519_noclamp(ka, k, base), 0);
  assert_int_equal(crypto_core_ed25519_sub(r, sb, ka), 0);
  assert_int_equal(crypto_core_ed25519_sub(difference, r, signature), 0);
  assert_memory_equal(difference, order_two, 32);
  assert_int_equal(plr__verify_known(base, &m, 1, signature), PLR_ERR_SIGNATURE);
  assert_int_equal(plr_verify(base, &m, 1, signature), PLR_ERR_SIGNATURE);
}

/* Keys of low order, and forms of y not below p = 2^255 - 19: with R = identity and S = 0 many
 * verifiers pass. */
static void test_low_order_and_non_canonical_keys(void **state) {
  (void)state;
  static const char *const keys[] = {
      "0100000000000000000000000000000000000000000000000000000000000000",
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0000000000000000000000000000000000000000000000000000000000000080",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
      "0100000000000000000000000000000000000000000000000000000000000080",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  };
  uint8_t signature[64] = {1};
  for (size_t i = 0; i < PLR_COUNT_OF(keys); i++) {
    uint8_t key[32];
    from_hex(keys[i], key, 32);
    for (uint8_t m = 0; m < 16; m++)
      assert_int_equal(plr_verify(key, &m, 1, signature), PLR_ERR_SIGNATURE);
  }
}

static void test_account_id(void **state) {
  (void)state;
  uint8_t key[32], all[19 + 32];
  for (uint8_t i = 0; i < 32; i++) key[i] = i;
  memcpy(all, "pluralis.account/v1", 19);
  memcpy(all + 19, key, 32);
  plr_hash want, got;
  plr_sha256(all, sizeof all, &want);
  plr_account_id(key, &got);
  assert_memory_equal(got.bytes, want.bytes, 32);
}

static const uint8_t secret_seed[32] = "a secret that must not stay here";
static int freed_blocks, leaked_blocks;

static void look_for_secret(const void *ptr, size_t size) {
  const uint8_t *p = ptr;
  freed_blocks++;
  for (size_t i = 0; i + 32 <= size; i++)
    if (memcmp(p + i, secret_seed, 32) == 0) leaked_blocks++;
}

static void test_seed_is_wiped(void **state) {
  (void)state;
  test_allocator a;
  plr_context_options o = test_options(&a);
  a.on_free = look_for_secret;
  plr_context *ctx = test_context(&o);
  void *probe = plr__alloc(ctx, 32);
  memcpy(probe, secret_seed, 32);
  plr__free(ctx, probe);
  assert_int_equal(leaked_blocks, 1); /* the probe works */
  plr_identity *id;
  assert_int_equal(plr_identity_create(ctx, secret_seed, &id, NULL), PLR_OK);
  int before = freed_blocks;
  plr_identity_destroy(id);
  assert_true(freed_blocks > before);
  assert_int_equal(leaked_blocks, 1);
  plr_context_destroy(ctx);
}

static void test_arguments(void **state) {
  (void)state;
  plr_context *ctx = test_context(NULL);
  plr_identity *id = (plr_identity *)(uintptr_t)64;
  plr_error err = {0};
  assert_int_equal(plr_identity_create(ctx, NULL, &id, &err), PLR_ERR_INVALID_ARGUMENT);
  assert_null(id);
  assert_string_equal(err.where, "identity");
  assert_int_equal(plr_identity_create(NULL, secret_seed, &id, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_identity_create(ctx, secret_seed, NULL, NULL), PLR_ERR_INVALID_ARGUMENT);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rfc8032),       cmocka_unit_test(test_flipped_bits),
      cmocka_unit_test(test_malleable_s),   cmocka_unit_test(test_mixed_order_key),
      cmocka_unit_test(test_mixed_order_r), cmocka_unit_test(test_low_order_and_non_canonical_keys),
      cmocka_unit_test(test_account_id),    cmocka_unit_test(test_seed_is_wiped),
      cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
