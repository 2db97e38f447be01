/* SHA-256, Merkle trees, CRC-32C, XXH3, Philox, the profile hash. */
#include "base_test.h"

#include "base/base_int.h"

#include <stdio.h>

/* FIPS 180-4 examples, published by NIST. */
static void test_sha256_vectors(void **state) {
  (void)state;
  static const struct {
    const char *text, *hash;
  } v[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
  };
  plr_hash h;
  for (size_t i = 0; i < PLR_COUNT_OF(v); i++) {
    plr_sha256(v[i].text, strlen(v[i].text), &h);
    assert_hash(&h, v[i].hash);
  }
  plr_sha256(NULL, 0, &h);
  assert_hash(&h, v[0].hash);
  char thousand[1000];
  memset(thousand, 'a', sizeof thousand);
  plr_sha256_state s;
  plr__sha256_init(&s);
  for (int i = 0; i < 1000; i++) plr__sha256_update(&s, thousand, sizeof thousand);
  plr__sha256_final(&s, &h);
  assert_hash(&h, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_hash_equal(void **state) {
  (void)state;
  plr_hash a, b;
  plr_sha256("x", 1, &a);
  b = a;
  assert_true(plr__hash_equal(&a, &b));
  for (int bit = 0; bit < 256; bit++) {
    b.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    assert_false(plr__hash_equal(&a, &b));
    b = a;
  }
}

/* Leaves and roots of the reference tree in the tests of Certificate Transparency (RFC 6962). */
static void test_merkle_vectors(void **state) {
  (void)state;
  static const char *const leaves[8] = {"",
                                        "00",
                                        "10",
                                        "2021",
                                        "3031",
                                        "40414243",
                                        "5051525354555657",
                                        "606162636465666768696a6b6c6d6e6f"};
  static const char *const roots[9] = {
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  for (size_t n = 0; n <= 8; n++) {
    plr_hash level[8], root;
    for (size_t i = 0; i < n; i++) {
      uint8_t data[16];
      size_t len = strlen(leaves[i]) / 2;
      from_hex(leaves[i], data, len);
      plr__merkle_leaf(data, len, &level[i]);
    }
    plr__merkle_root(level, n, &root);
    assert_hash(&root, roots[n]);
  }
}

/* The recursive definition of the RFC. */
static plr_hash merkle_by_definition(const plr_hash *leaves, size_t n) {
  if (n == 1) return leaves[0];
  size_t k = 1;
  while (2 * k < n) k *= 2;
  plr_hash left = merkle_by_definition(leaves, k), right = merkle_by_definition(leaves + k, n - k);
  plr_hash out;
  plr__merkle_node(&left, &right, &out);
  return out;
}

static void test_merkle_definition(void **state) {
  (void)state;
  plr_hash leaves[140], work[140], root;
  for (uint8_t i = 0; i < 140; i++) plr__merkle_leaf(&i, 1, &leaves[i]);
  for (size_t n = 1; n <= 140; n++) {
    memcpy(work, leaves, sizeof work);
    plr__merkle_root(work, n, &root);
    plr_hash want = merkle_by_definition(leaves, n);
    assert_true(plr__hash_equal(&root, &want));
  }
}

/* RFC 3720, appendix B.4, and the check value of the catalogue. */
static void test_crc32c_vectors(void **state) {
  (void)state;
  uint8_t b[48];
  memset(b, 0, 32);
  assert_int_equal(plr__crc32c(0, b, 32), 0x8a9136aau);
  memset(b, 0xff, 32);
  assert_int_equal(plr__crc32c(0, b, 32), 0x62a8ab43u);
  for (int i = 0; i < 32; i++) b[i] = (uint8_t)i;
  assert_int_equal(plr__crc32c(0, b, 32), 0x46dd794eu);
  for (int i = 0; i < 32; i++) b[i] = (uint8_t)(31 - i);
  assert_int_equal(plr__crc32c(0, b, 32), 0x113fdb5cu);
  from_hex("01c000000000000000000000000000001400000000000400000000140000001828000000"
           "000000000200000000000000",
           b, 48);
  assert_int_equal(plr__crc32c(0, b, 48), 0xd9963a56u);
  assert_int_equal(plr__crc32c(0, "123456789", 9), 0xe3069283u);
  assert_int_equal(plr__crc32c(0, NULL, 0), 0);
}

static uint32_t crc32c_by_bits(uint32_t crc, const uint8_t *p, size_t len) {
  uint32_t c = ~crc;
  for (size_t i = 0; i < len; i++) {
    c ^= p[i];
    for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
  }
  return ~c;
}

/* Both paths against the definition: every length through the tails, the joined streams, odd
 * alignments, and a start value carried over a cut. */
static void test_crc32c_paths(void **state) {
  (void)state;
  static uint8_t data[10000];
  uint32_t x = 1;
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
  const size_t lengths[] = {0,    1,    7,    8,    9,    15,   16,   17,   63,   64,   65,  1023,
                            1024, 3071, 3072, 3073, 3080, 6143, 6144, 6145, 9216, 9223, 9990};
  for (size_t i = 0; i < PLR_COUNT_OF(lengths); i++)
    for (size_t offset = 0; offset < 9; offset += 4) {
      size_t len = lengths[i], cut = len / 3;
      const uint8_t *p = data + offset;
      uint32_t want = crc32c_by_bits(0, p, len);
      assert_int_equal(plr__crc32c(0, p, len), want);
      assert_int_equal(plr__crc32c_portable(0, p, len), want);
      assert_int_equal(plr__crc32c(plr__crc32c_portable(0, p, cut), p + cut, len - cut), want);
    }
}

/* Values for seed 0 in the self-test of xxhsum, over its generated buffer. */
static void test_xxh3_vectors(void **state) {
  (void)state;
  static const struct {
    size_t len;
    uint64_t hash;
  } v[] = {{0, 0x2d06800538d394c2},  {1, 0xc44bdff4074eecdb},  {6, 0x27b56a84cd2d7325},
           {12, 0xa713daf0dfbb77e7}, {24, 0xa3fe70bf9d3510eb}, {48, 0x397da259ecba1f11},
           {80, 0xbcdefbbb2c47c90a}, {195, 0xcd94217ee362ec3a}};
  uint8_t buffer[256];
  uint64_t gen = 2654435761u;
  for (size_t i = 0; i < sizeof buffer; i++) {
    buffer[i] = (uint8_t)(gen >> 56);
    gen *= 11400714785074694797u;
  }
  for (size_t i = 0; i < PLR_COUNT_OF(v); i++)
    assert_true(plr__xxh3_64(buffer, v[i].len) == v[i].hash);
}

/* Known answers of Random123 (philox4x32, 10 rounds). */
static void test_philox_vectors(void **state) {
  (void)state;
  static const uint32_t v[][10] = {
      {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
       0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
       0x94fdcceb, 0x5001e420, 0x24126ea1},
  };
  for (size_t i = 0; i < PLR_COUNT_OF(v); i++) {
    uint32_t out[4];
    plr__philox4x32(v[i], v[i] + 4, out);
    assert_memory_equal(out, v[i] + 6, sizeof out);
    uint32_t in_place[4];
    memcpy(in_place, v[i], sizeof in_place);
    plr__philox4x32(in_place, v[i] + 4, in_place);
    assert_memory_equal(in_place, v[i] + 6, sizeof out);
  }
}

/* SHA-256 of a file of the tree; of nothing when there is none. */
static void hash_file(const char *path, plr_hash *out) {
  plr_sha256_state s;
  plr__sha256_init(&s);
  FILE *f = fopen(path, "rb");
  if (f) {
    uint8_t chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) plr__sha256_update(&s, chunk, n);
    fclose(f);
  }
  plr__sha256_final(&s, out);
}

static void test_profile_hash(void **state) {
  (void)state;
  uint8_t all[16 + 32 + 32];
  memcpy(all, "pluralis exact/1", 16);
  plr_hash text, golden, want, got;
  hash_file(PLR_SOURCE_DIR "/lib/kernels/EXACT.md", &text);
  hash_file(PLR_SOURCE_DIR "/tests/golden/exact.txt", &golden);
  memcpy(all + 16, text.bytes, 32);
  memcpy(all + 48, golden.bytes, 32);
  plr_sha256(all, sizeof all, &want);
  plr_profile_hash(&got);
  assert_true(plr__hash_equal(&got, &want));
}

static void test_selftest(void **state) {
  (void)state;
  assert_null(plr__selftest());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sha256_vectors), cmocka_unit_test(test_hash_equal),
      cmocka_unit_test(test_merkle_vectors), cmocka_unit_test(test_merkle_definition),
      cmocka_unit_test(test_crc32c_vectors), cmocka_unit_test(test_crc32c_paths),
      cmocka_unit_test(test_xxh3_vectors),   cmocka_unit_test(test_philox_vectors),
      cmocka_unit_test(test_profile_hash),   cmocka_unit_test(test_selftest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
