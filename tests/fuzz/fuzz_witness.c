/* Both sides of a witness: the input as a request to one, and as one's answer to us. A witness signs nothing that does
 * not extend what it signed, and an answer adds at most its own line to our checkpoint. */
#include "ledger/ledger_int.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ORIGIN "example.org/test"
#define NAME   "witness.example/w"

static plr_ledger *make_log(plr_context *ctx, const plr_identity *who) {
  plr_ledger *l;
  plr_ledger_options o;
  char note[512];
  size_t len;
  plr_ledger_options_init(&o, sizeof o);
  o.origin = ORIGIN, o.sequencer = who, o.log_invalid = 1;
  if (plr_ledger_open(ctx, &o, &l, NULL) != PLR_OK) abort();
  if (plr_ledger_append(l, "entry", 5, NULL, NULL) == PLR_OK) abort();
  if (plr_ledger_checkpoint(l, note, sizeof note, &len, NULL) != PLR_OK) abort();
  return l;
}

static void as_request(plr_context *ctx, const plr_identity *me, const uint8_t *log_key,
                       const uint8_t *data, size_t size) {
  plr_witness *w;
  uint32_t http = 0, again = 0;
  char answer[1024];
  size_t len;
  if (plr_witness_create(ctx, NAME, me, NULL, &w, NULL) != PLR_OK) abort();
  if (plr_witness_add_log(w, ORIGIN, log_key, NULL) != PLR_OK) abort();
  const char *body = size ? (const char *)data : "";
  if (plr_witness_add_checkpoint(w, 1700000000, body, size, &http, answer, sizeof answer, &len) !=
      PLR_OK)
    abort();
  if (http != 200 && http != 400 && http != 403 && http != 404 && http != 409 && http != 422)
    abort();
  /* It has signed it: from nothing to there is not where it is any more. */
  plr_witness_add_checkpoint(w, 1700000001, body, size, &again, answer, sizeof answer, &len);
  if (again == 200 || (http == 200 && again != 409) || (http != 200 && again != http)) abort();
  plr_witness_destroy(w);
}

static void as_answer(plr_context *ctx, plr_ledger *l, const plr_witness_key *witness,
                      const uint8_t *data, size_t size) {
  static char before[1 << 16], after[1 << 16];
  size_t was, is;
  uint32_t good = 0;
  if (plr_ledger_resource(l, "checkpoint", before, sizeof before, &was, NULL) != PLR_OK) abort();
  plr_status st = plr_ledger_cosign(l, witness, size ? (const char *)data : "", size, NULL);
  if (st <= -300) abort();
  if (plr_ledger_resource(l, "checkpoint", after, sizeof after, &is, NULL) != PLR_OK) abort();
  if (is < was || memcmp(before, after, was) != 0) abort();
  if (st != PLR_OK && is != was) abort();
  if (plr_log_count_cosignatures(ctx, after, is, witness, 1, &good, NULL, NULL) != PLR_OK) abort();
  if (good != (is > was || st == PLR_OK)) abort();
  (void)plr_log_count_cosignatures(ctx, (const char *)data, size, witness, 1, &good, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static plr_context *ctx;
  static plr_identity *who, *me;
  uint8_t seed[32] = {1}, key[32];
  plr_witness_key witness = {.name = NAME};
  if (!ctx && plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  if (!who && plr_identity_create(ctx, seed, &who, NULL) != PLR_OK) abort();
  seed[0] = 7;
  if (!me && plr_identity_create(ctx, seed, &me, NULL) != PLR_OK) abort();
  plr_identity_public_key(who, key);
  plr_identity_public_key(me, witness.public_key);
  as_request(ctx, me, key, data, size);
  plr_ledger *l = make_log(ctx, who);
  as_answer(ctx, l, &witness, data, size);
  plr_ledger_destroy(l);
  return 0;
}
