/* The tree that contracts on a chain know: OpenZeppelin's StandardMerkleTree. With n leaves it is an array of 2n - 1
 * hashes, node i above nodes 2i + 1 and 2i + 2, the sorted leaves at its end in reverse. */
#include "ledger/ledger_int.h"

#include <string.h>

void plr__settlement_leaf_hash(const uint8_t (*words)[32], uint32_t count, plr_hash *out) {
  plr_hash inner;
  plr_keccak256(words, 32 * (size_t)count, &inner);
  plr_keccak256(inner.bytes, 32, out);
}

static void hash_leaf(const plr_settlement_leaf *leaf, plr_hash *out) {
  uint8_t words[3][32] = {{0}};
  memcpy(words[0] + 12, leaf->account, 20);
  memcpy(words[1] + 12, leaf->reward, 20);
  memcpy(words[2], leaf->claimable, 32);
  plr__settlement_leaf_hash((const uint8_t(*)[32])words, 3, out);
}

static void hash_pair(const plr_hash *a, const plr_hash *b, plr_hash *out) {
  uint8_t pair[64];
  int swapped = memcmp(a->bytes, b->bytes, 32) > 0;
  memcpy(pair, swapped ? b : a, 32);
  memcpy(pair + 32, swapped ? a : b, 32);
  plr_keccak256(pair, sizeof pair, out);
}

/* Heapsort, descending. */
static void sift_down(plr_hash *h, size_t root, size_t n) {
  for (size_t child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && memcmp(h[child].bytes, h[child + 1].bytes, 32) > 0) child++;
    if (memcmp(h[root].bytes, h[child].bytes, 32) <= 0) return;
    plr_hash t = h[root];
    h[root] = h[child], h[child] = t;
  }
}

static void sort_descending(plr_hash *h, size_t n) {
  for (size_t i = n / 2; i-- > 0;) sift_down(h, i, n);
  for (size_t end = n; end-- > 1;) {
    plr_hash t = h[0];
    h[0] = h[end], h[end] = t;
    sift_down(h, 0, end);
  }
}

void plr__settlement_tree(plr_hash *tree, size_t leaves) {
  sort_descending(tree + leaves - 1, leaves);
  for (size_t i = leaves - 1; i-- > 0;) hash_pair(&tree[2 * i + 1], &tree[2 * i + 2], &tree[i]);
}

static plr_status build(plr_context *ctx, const plr_settlement_leaf *leaves, size_t count,
                        plr_hash **tree, plr_error *err) {
  if (!ctx || !leaves || count == 0 || count > SIZE_MAX / 64 / 2)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "settlement", "no leaves, or ctx is NULL");
  *tree = plr__calloc(ctx, 2 * count - 1, sizeof **tree);
  if (!*tree) return plr__no_memory(err, "settlement");
  for (size_t i = 0; i < count; i++) hash_leaf(&leaves[i], &(*tree)[count - 1 + i]);
  plr__settlement_tree(*tree, count);
  return PLR_OK;
}

plr_status plr_settlement_compute(plr_context *ctx, const plr_settlement_leaf *leaves, size_t count,
                                  plr_hash *root, plr_error *err) {
  plr_hash *tree;
  if (!root) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "settlement", "root is NULL");
  PLR_TRY(build(ctx, leaves, count, &tree, err));
  *root = tree[0];
  plr__free(ctx, tree);
  return PLR_OK;
}

plr_status plr_settlement_prove(plr_context *ctx, const plr_settlement_leaf *leaves, size_t count,
                                size_t index, plr_hash proof[PLR_PROOF_MAX], uint32_t *proof_count,
                                plr_error *err) {
  plr_hash *tree, own;
  if (!proof || !proof_count || index >= count)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "settlement", "no such leaf, or proof is NULL");
  PLR_TRY(build(ctx, leaves, count, &tree, err));
  hash_leaf(&leaves[index], &own);
  size_t at = count - 1;
  while (!plr__hash_equal(&tree[at], &own)) at++;
  *proof_count = 0;
  for (; at > 0; at = (at - 1) / 2) proof[(*proof_count)++] = tree[at % 2 ? at + 1 : at - 1];
  plr__free(ctx, tree);
  return PLR_OK;
}

plr_status plr_settlement_verify(const plr_settlement_leaf *leaf, const plr_hash *proof,
                                 uint32_t proof_count, const plr_hash *root) {
  plr_hash h;
  if (!leaf || (!proof && proof_count) || proof_count > PLR_PROOF_MAX || !root)
    return PLR_ERR_INVALID_ARGUMENT;
  hash_leaf(leaf, &h);
  for (uint32_t i = 0; i < proof_count; i++) hash_pair(&h, &proof[i], &h);
  return plr__hash_equal(&h, root) ? PLR_OK : PLR_ERR_PROOF;
}
