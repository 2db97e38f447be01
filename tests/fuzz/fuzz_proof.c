/* Proof files. One that proves an entry must not prove another one, and must hold with a policy that asks for less. */
#include "ledger/ledger_int.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static plr_context *ctx;
  static plr_identity *who, *other;
  uint8_t seed[32] = {1}, key[32];
  static const char entry[] = "entry"; /* of the corpus */
  plr_proof_policy p;
  plr_witness_key witness = {.name = "witness.example/w"};
  uint64_t index, entries;
  if (!ctx && plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  if (!who && plr_identity_create(ctx, seed, &who, NULL) != PLR_OK) abort();
  seed[0] = 7;
  if (!other && plr_identity_create(ctx, seed, &other, NULL) != PLR_OK) abort();
  plr_identity_public_key(who, key);
  plr_identity_public_key(other, witness.public_key);
  plr_proof_policy_init(&p, sizeof p);
  p.origin = "example.org/test", p.public_key = key;
  p.witnesses = &witness, p.witness_count = 1;
  const char *text = (const char *)data;
  p.quorum = 1;
  plr_status with = plr_log_verify_proof(ctx, text, size, entry, 5, &p, &index, &entries, NULL);
  p.quorum = 0;
  plr_status without = plr_log_verify_proof(ctx, text, size, entry, 5, &p, &index, &entries, NULL);
  if (with <= -300 || without <= -300) abort();
  if (with == PLR_OK && without != PLR_OK) abort();
  if (without != PLR_OK) return 0;
  if (index >= entries) abort();
  if (plr_log_verify_proof(ctx, text, size, "Entry", 5, &p, NULL, NULL, NULL) == PLR_OK) abort();
  return 0;
}
