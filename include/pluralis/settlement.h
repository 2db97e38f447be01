/* libpluralis: paying out on a chain.
 *
 * A Claim that names an address adds to what was ever claimed to it. SettlementRoot puts the root of a Merkle tree over
 * all of these totals into the log; who posts it to a contract pays nobody twice, since the totals only grow and the
 * contract pays the difference to what it has paid before. Anyone can compute the root again from the log.
 *
 * The tree is OpenZeppelin's StandardMerkleTree (leaf = keccak(keccak(abi.encode(...))), sorted leaves, sorted pairs)
 * of (address account, address reward, uint256 claimable), byte for byte what Morpho's UniversalRewardsDistributor
 * takes. */
#ifndef PLURALIS_SETTLEMENT_H
#define PLURALIS_SETTLEMENT_H

#include <pluralis/ledger.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One leaf. This struct does not grow. */
typedef struct plr_settlement_leaf {
  uint8_t account[20], reward[20]; /* who may claim which token */
  uint8_t claimable[32];           /* cumulative, big-endian */
} plr_settlement_leaf;

/* Keccak-256 (Ethereum's padding). Threads: any. Since 0.1. */
PLR_API void plr_keccak256(const void *data, size_t len, plr_hash *out);

/* Root of the tree over the leaves, in any order. ctx lends memory for the call. Errors: INVALID_ARGUMENT (no leaves),
 * NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_settlement_compute(plr_context *ctx, const plr_settlement_leaf *leaves, size_t count,
                                          plr_hash *root, plr_error *err);

/* Proof of leaf `index` (in the caller's order): the siblings from the leaf up to the root. Errors: INVALID_ARGUMENT,
 * NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_settlement_prove(plr_context *ctx, const plr_settlement_leaf *leaves, size_t count,
                                        size_t index, plr_hash proof[PLR_PROOF_MAX], uint32_t *proof_count,
                                        plr_error *err);

/* Errors: PROOF, INVALID_ARGUMENT. Threads: any. Since 0.1. */
PLR_API plr_status plr_settlement_verify(const plr_settlement_leaf *leaf, const plr_hash *proof, uint32_t proof_count,
                                         const plr_hash *root);

/* The leaves of what has been claimed to addresses until now, in order of address: up to `cap` of them from number
 * `first` on. *count < cap at the end. Errors: INVALID_ARGUMENT (also a scale over 18). Since 0.1. */
PLR_API plr_status plr_ledger_settlement_leaves(const plr_ledger *ledger, const uint8_t reward[20], uint32_t scale,
                                                uint64_t first, plr_settlement_leaf *out, size_t cap, size_t *count);

/* Builds, signs and appends SettlementRoot over all of them. scale: what is claimable is 10^scale times the ledger's
 * smallest unit. root and index may be NULL. Errors: NOT_FOUND (nothing was claimed to an address), INVALID_STATE
 * (read-only), INVALID_ARGUMENT, those of plr_ledger_append. Since 0.1. */
PLR_API plr_status plr_ledger_settle(plr_ledger *ledger, const uint8_t reward[20], uint32_t scale, plr_hash *root,
                                     uint64_t *index, plr_error *err);

#ifdef __cplusplus
}
#endif

#endif
