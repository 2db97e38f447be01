/* The growing side of the log's Merkle tree (RFC 6962, section 2.1): its right edge, and proofs made from stored
 * subtrees. Every complete subtree is a node (level, index); a proof reads O(log n) of them. */
#include "ledger/ledger_int.h"

uint32_t plr__frontier_append(plr__frontier *f, const plr_hash *leaf, plr_hash completed[64]) {
  uint32_t level = 0;
  completed[0] = *leaf;
  for (; f->size >> level & 1; level++)
    plr__merkle_node(&f->nodes[level], &completed[level], &completed[level + 1]);
  f->nodes[level] = completed[level];
  f->size++;
  return level + 1;
}

void plr__frontier_root(const plr__frontier *f, plr_hash *out) {
  int started = 0;
  plr_sha256(NULL, 0, out);
  for (uint32_t level = 0; level < 64; level++) {
    if (!(f->size >> level & 1)) continue;
    plr_hash right = *out;
    if (started)
      plr__merkle_node(&f->nodes[level], &right, out);
    else
      *out = f->nodes[level];
    started = 1;
  }
}

/* Where a tree of n >= 2 leaves splits: the largest power of two below n, as an exponent. */
static uint32_t split_level(uint64_t n) {
  uint32_t level = 0;
  while (level < 62 && (uint64_t)2 << level < n) level++;
  return level;
}

/* Root of leaves [from, to), whose beginning is aligned as in a tree: complete subtrees from the left. */
static plr_status range_root(const plr__node_reader *nodes, uint64_t from, uint64_t to,
                             plr_hash *out, plr_error *err) {
  plr__frontier f = {0};
  uint64_t n = to - from;
  f.size = n;
  for (uint32_t level = 64; level-- > 0;) {
    if (!(n >> level & 1)) continue;
    PLR_TRY(nodes->read(nodes->user, level, from >> level, &f.nodes[level], err));
    from += (uint64_t)1 << level;
  }
  plr__frontier_root(&f, out);
  return PLR_OK;
}

plr_status plr__tree_root(const plr__node_reader *nodes, uint64_t size, plr_hash *out,
                          plr_error *err) {
  return range_root(nodes, 0, size, out, err);
}

static void reverse(plr_hash *proof, uint32_t count) {
  for (uint32_t i = 0, j = count; i + 1 < j; i++) {
    plr_hash t = proof[i];
    proof[i] = proof[--j];
    proof[j] = t;
  }
}

plr_status plr__prove_inclusion(const plr__node_reader *nodes, uint64_t index, uint64_t size,
                                plr_hash *proof, uint32_t *count, plr_error *err) {
  uint64_t from = 0, to = size;
  *count = 0;
  while (to - from > 1) {
    uint64_t middle = from + ((uint64_t)1 << split_level(to - from));
    int left = index < middle;
    PLR_TRY(range_root(nodes, left ? middle : from, left ? to : middle, &proof[(*count)++], err));
    if (left)
      to = middle;
    else
      from = middle;
  }
  reverse(proof, *count);
  return PLR_OK;
}

/* SUBPROOF of RFC 6962, 2.1.2: walks to the old tree's last subtree; `whole` while that is the old tree itself,
 * whose root the verifier has. */
plr_status plr__prove_consistency(const plr__node_reader *nodes, uint64_t old_size,
                                  uint64_t new_size, plr_hash *proof, uint32_t *count,
                                  plr_error *err) {
  uint64_t from = 0, to = new_size;
  int whole = 1;
  *count = 0;
  if (old_size == 0 || old_size == new_size) return PLR_OK;
  while (to != old_size) {
    uint64_t middle = from + ((uint64_t)1 << split_level(to - from));
    int left = old_size <= middle;
    PLR_TRY(range_root(nodes, left ? middle : from, left ? to : middle, &proof[(*count)++], err));
    if (left) {
      to = middle;
    } else {
      from = middle;
      whole = 0;
    }
  }
  if (!whole) PLR_TRY(range_root(nodes, from, to, &proof[(*count)++], err));
  reverse(proof, *count);
  return PLR_OK;
}
