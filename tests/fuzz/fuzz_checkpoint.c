/* Checkpoints: the input as a note, and as the text of a note that we sign, so that the text itself is searched. What
 * is taken for a checkpoint must be the one text that says so. */
#include "ledger/ledger_int.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ORIGIN "example.org/test"

static void verify(plr_context *ctx, const plr_identity *who, const uint8_t *note, size_t len) {
  uint8_t key[32];
  uint64_t entries = 0;
  plr_hash root;
  plr_buffer again;
  plr_identity_public_key(who, key);
  if (plr_log_verify_checkpoint((const char *)note, len, ORIGIN, key, &entries, &root, NULL) !=
      PLR_OK)
    return;
  plr__buffer_init(&again, ctx);
  if (plr__checkpoint_sign(&again, ORIGIN, entries, &root, who) != PLR_OK) abort();
  size_t text, ours;
  if (plr__note_split((const char *)note, len, &text, NULL) != PLR_OK) abort();
  if (plr__note_split((const char *)again.data, again.len, &ours, NULL) != PLR_OK) abort();
  /* Extension lines may follow the three that we write. */
  if (text < ours || memcmp(note, again.data, ours) != 0) abort();
  /* The same against itself is no fork, and has no cosignature of a stranger. */
  if (plr_log_verify_fork((const char *)note, len, (const char *)again.data, again.len, ORIGIN, key,
                          NULL) == PLR_OK)
    abort();
  plr__buffer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static plr_context *ctx;
  static plr_identity *who;
  uint8_t seed[32] = {1};
  plr_buffer note;
  if (!ctx && plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  if (!who && plr_identity_create(ctx, seed, &who, NULL) != PLR_OK) abort();
  verify(ctx, who, data, size);
  size_t text;
  if (plr__note_split((const char *)data, size, &text, NULL) != PLR_OK) text = size;
  plr__buffer_init(&note, ctx);
  if (plr__note_sign(&note, (const char *)data, text, ORIGIN, who) == PLR_OK)
    verify(ctx, who, note.data, note.len);
  plr__buffer_release(&note);
  return 0;
}
