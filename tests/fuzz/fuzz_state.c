/* The state machine: entries (u16 length ‖ entry, from Genesis on), signatures believed, whatever they say. Refusals
 * are what they are; anything else, and sums that do not agree, is a fault. */
#include "ledger/ledger_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(plr__state *s, const uint8_t *data, size_t len) {
  plr_entry e;
  if (plr__entry_decode(data, len, &e, NULL) != PLR_OK) return;
  plr_status st = plr__state_apply(s, &e, NULL, NULL);
  if (st != PLR_OK && !plr__is_refusal(st)) abort();
  plr__map_commit(&s->map);
  if (st == PLR_OK && e.type == PLR_ENTRY_EPOCH_CLOSE && plr__state_audit(s, NULL) != PLR_OK)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static plr_context *ctx;
  plr__state s;
  if (!ctx && plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  plr__state_init(&s, ctx);
  s.trust_signatures = 1;
  for (size_t at = 0; size - at >= 2;) {
    size_t len = plr__load_be16(data + at);
    at += 2;
    if (len > size - at) break;
    apply(&s, data + at, len);
    at += len;
  }
  if (s.has_genesis && plr__state_audit(&s, NULL) != PLR_OK) abort();
  plr__state_release(&s);
  return 0;
}
