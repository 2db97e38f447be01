/* Verifying proofs, for whoever has a root and no log (RFC 9162, sections 2.1.3.2 and 2.1.4.2). */
#include "ledger/ledger_int.h"

void plr_log_leaf_hash(const void *entry, size_t len, plr_hash *out) {
  plr__merkle_leaf(entry, len, out);
}

/* Climbs one level: drops the last bit of node and last node number, and the zero bits that mean that the node
 * is the end of its level and has no sibling. */
static void climb(uint64_t *node, uint64_t *last) {
  if (!(*node & 1))
    while (*node && !(*node & 1)) *node >>= 1, *last >>= 1;
  *node >>= 1;
  *last >>= 1;
}

plr_status plr_log_verify_inclusion(const plr_hash *leaf, uint64_t index, uint64_t size,
                                    const plr_hash *proof, uint32_t count, const plr_hash *root) {
  if (!leaf || !root || (!proof && count)) return PLR_ERR_INVALID_ARGUMENT;
  if (index >= size || count > PLR_PROOF_MAX) return PLR_ERR_PROOF;
  uint64_t node = index, last = size - 1;
  plr_hash r = *leaf;
  for (uint32_t i = 0; i < count; i++) {
    if (last == 0) return PLR_ERR_PROOF;
    plr_hash below = r;
    if ((node & 1) || node == last) {
      plr__merkle_node(&proof[i], &below, &r);
      climb(&node, &last);
    } else {
      plr__merkle_node(&below, &proof[i], &r);
      node >>= 1, last >>= 1;
    }
  }
  return last == 0 && plr__hash_equal(&r, root) ? PLR_OK : PLR_ERR_PROOF;
}

/* Rebuilds both roots from the proof; `old_root` heads it when the old size is a power of two, since the proof
 * then leaves it out. */
static plr_status rebuild(uint64_t old_size, uint64_t new_size, const plr_hash *proof,
                          uint32_t count, plr_hash first, plr_hash *old_out, plr_hash *new_out) {
  uint64_t node = old_size - 1, last = new_size - 1;
  while (node & 1) node >>= 1, last >>= 1;
  *old_out = *new_out = first;
  for (uint32_t i = 0; i < count; i++) {
    if (last == 0) return PLR_ERR_PROOF;
    plr_hash old_below = *old_out, new_below = *new_out;
    if ((node & 1) || node == last) {
      plr__merkle_node(&proof[i], &old_below, old_out);
      plr__merkle_node(&proof[i], &new_below, new_out);
      climb(&node, &last);
    } else {
      plr__merkle_node(&new_below, &proof[i], new_out);
      node >>= 1, last >>= 1;
    }
  }
  return last == 0 ? PLR_OK : PLR_ERR_PROOF;
}

plr_status plr_log_verify_consistency(uint64_t old_size, const plr_hash *old_root,
                                      uint64_t new_size, const plr_hash *new_root,
                                      const plr_hash *proof, uint32_t count) {
  if (!old_root || !new_root || (!proof && count)) return PLR_ERR_INVALID_ARGUMENT;
  if (old_size > new_size || count > PLR_PROOF_MAX + 1) return PLR_ERR_PROOF;
  plr_hash empty;
  plr_sha256(NULL, 0, &empty);
  if (old_size == 0) /* any tree continues the empty one */
    return count == 0 && plr__hash_equal(old_root, &empty) ? PLR_OK : PLR_ERR_PROOF;
  if (old_size == new_size)
    return count == 0 && plr__hash_equal(old_root, new_root) ? PLR_OK : PLR_ERR_PROOF;
  if (count == 0) return PLR_ERR_PROOF;
  int power = (old_size & (old_size - 1)) == 0;
  plr_hash old_got, new_got;
  PLR_TRY(rebuild(old_size, new_size, power ? proof : proof + 1, power ? count : count - 1,
                  power ? *old_root : proof[0], &old_got, &new_got));
  return plr__hash_equal(&old_got, old_root) && plr__hash_equal(&new_got, new_root) ? PLR_OK
                                                                                    : PLR_ERR_PROOF;
}
