/* Keccak-256 and the Merkle tree of contracts, against published values; proofs of every leaf. */
#include "ledger_kit.h"

static void same_hex(const plr_hash *h, const char *want) {
  char text[65];
  plr__hex_encode(h->bytes, 32, text);
  assert_string_equal(text, want);
}

/* The empty string's is in Ethereum's yellow paper (hash of an account without code); the others follow from the
 * sponge: lengths about the rate of 136 bytes, made with the independent Keccak of tests/interop/replayer. */
static void keccak(void **state) {
  (void)state;
  plr_hash h;
  uint8_t bytes[300];
  plr_keccak256("", 0, &h);
  same_hex(&h, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
  plr_keccak256(NULL, 0, &h);
  same_hex(&h, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
  plr_keccak256("abc", 3, &h);
  same_hex(&h, "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
  const char *const want[] = {"cbdfd9dee5faad3818d6b06f95a219fd290b0e1706f6a82e5a595b9ce9faca62",
                              "7ce759f1ab7f9ce437719970c26b0a66ff11fe3e38e17df89cf5d29c7d7f807e",
                              "ac73d4fae68b8453f764007c1a20ce95994187861f0c3227a3a8e99a73a3b1db",
                              "7c974895b2a88303ff2dc6b58f438ceb0b298cac91099ac0539cc0f477506191",
                              "fdf2ec49e749960d3c8521a0219af8d03e30e2b3bf19bd16150ee0eaf133d66e",
                              "a679e749a6af300c36e7ff2255d220864eab27b382f9cfdc5aa4d13563ba36ff"};
  const size_t lengths[] = {135, 136, 137, 271, 272, 300};
  for (size_t i = 0; i < PLR_COUNT_OF(lengths); i++) {
    plr_keccak256(bytes, lengths[i], &h);
    same_hex(&h, want[i]);
  }
}

static void word_address(uint8_t word[32], uint8_t byte) {
  memset(word, 0, 32);
  memset(word + 12, byte, 20);
}

static void word_number(uint8_t word[32], uint64_t n) {
  memset(word, 0, 32);
  plr__store_be64(word + 24, n);
}

/* The example in the README of OpenZeppelin's merkle-tree: (address, uint256). */
static void openzeppelin(void **state) {
  (void)state;
  plr_hash tree[3];
  for (uint8_t i = 0; i < 2; i++) {
    uint8_t words[2][32];
    word_address(words[0], i ? 0x22 : 0x11);
    word_number(words[1], i ? 2500000000000000000u : 5000000000000000000u);
    plr__settlement_leaf_hash((const uint8_t(*)[32])words, 2, &tree[1 + i]);
  }
  plr__settlement_tree(tree, 2);
  same_hex(&tree[0], "d4dee0beab2d53f2cc83e567171bd2820e49898130a22622b10ead383e90bd77");
}

static plr_settlement_leaf leaf_of(uint8_t account, uint64_t claimable) {
  plr_settlement_leaf leaf;
  memset(&leaf, 0, sizeof leaf);
  memset(leaf.account, account, 20);
  memset(leaf.reward, 0xaa, 20);
  plr__store_be64(leaf.claimable + 24, claimable);
  return leaf;
}

/* (address, address, uint256), as Morpho's UniversalRewardsDistributor hashes it; the root was made with another
 * implementation of OpenZeppelin's tree. */
static void morpho(void **state) {
  (void)state;
  plr_context *ctx;
  plr_hash root, other;
  plr_settlement_leaf leaves[3] = {leaf_of(0x11, 5000000000000000000u),
                                   leaf_of(0x22, 2500000000000000000u), leaf_of(0x33, 1)};
  assert_int_equal(plr_context_create(NULL, &ctx, NULL), PLR_OK);
  assert_int_equal(plr_settlement_compute(ctx, leaves, 3, &root, NULL), PLR_OK);
  same_hex(&root, "0042337f42db4c2364d8b99998fd6176b5cbfbb87ae1043b81a08761351a46fa");
  plr_settlement_leaf turned[3] = {leaves[2], leaves[0], leaves[1]};
  assert_int_equal(plr_settlement_compute(ctx, turned, 3, &other, NULL), PLR_OK);
  assert_memory_equal(&root, &other, sizeof root);
  plr_context_destroy(ctx);
}

static void proofs(void **state) {
  (void)state;
  enum { MOST = 70 };
  plr_context *ctx;
  plr_settlement_leaf leaves[MOST];
  plr_hash root, proof[PLR_PROOF_MAX];
  uint32_t count;
  assert_int_equal(plr_context_create(NULL, &ctx, NULL), PLR_OK);
  for (uint8_t i = 0; i < MOST; i++) leaves[i] = leaf_of((uint8_t)(i / 2), 1000 + i);
  for (size_t n = 1; n <= MOST; n++) {
    assert_int_equal(plr_settlement_compute(ctx, leaves, n, &root, NULL), PLR_OK);
    for (size_t i = 0; i < n; i++) {
      assert_int_equal(plr_settlement_prove(ctx, leaves, n, i, proof, &count, NULL), PLR_OK);
      assert_int_equal(plr_settlement_verify(&leaves[i], proof, count, &root), PLR_OK);
      plr_settlement_leaf more = leaves[i];
      more.claimable[31] ^= 1;
      assert_int_equal(plr_settlement_verify(&more, proof, count, &root), PLR_ERR_PROOF);
      if (count)
        assert_int_equal(plr_settlement_verify(&leaves[i], proof, count - 1, &root), PLR_ERR_PROOF);
      if (count) proof[count - 1].bytes[7] ^= 4;
      if (count)
        assert_int_equal(plr_settlement_verify(&leaves[i], proof, count, &root), PLR_ERR_PROOF);
    }
  }
  /* A node of the tree is no leaf: leaves are hashed twice, of 96 bytes. */
  assert_int_equal(plr_settlement_compute(ctx, leaves, 0, &root, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_settlement_prove(ctx, leaves, 3, 3, proof, &count, NULL),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_settlement_verify(&leaves[0], proof, PLR_PROOF_MAX + 1, &root),
                   PLR_ERR_INVALID_ARGUMENT);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(keccak), cmocka_unit_test(openzeppelin),
                                     cmocka_unit_test(morpho), cmocka_unit_test(proofs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
