/* Ledger entries: what decodes must encode to the same bytes, and apply to an empty state without harm. */
#include "ledger/ledger_int.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_receipt(plr_context *ctx, const plr_entry *e) {
  plr_buffer b;
  plr_receipt again;
  plr__buffer_init(&b, ctx);
  if (plr__receipt_encode(&b, &e->as.receipt) != PLR_OK) abort();
  if (plr__receipt_decode(b.data, b.len, &again, NULL) != PLR_OK) abort();
  if (plr__entry_attach_signatures(&b, e->signatures, e->signature_count) != PLR_OK) abort();
  if (b.len != e->len || memcmp(b.data, e->bytes, b.len) != 0) abort();
  plr__buffer_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static plr_context *ctx;
  plr_entry e;
  plr_receipt r;
  plr__state s;
  if (!ctx && plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  (void)plr__receipt_decode(data, size, &r, NULL);
  if (plr__entry_decode(data, size, &e, NULL) != PLR_OK) return 0;
  if (e.type == PLR_ENTRY_RECEIPT) check_receipt(ctx, &e);
  plr__state_init(&s, ctx);
  s.trust_signatures = 1;
  plr_status st = plr__state_apply(&s, &e, NULL, NULL);
  if (st != PLR_OK && !plr__is_refusal(st)) abort();
  plr__state_release(&s);
  return 0;
}
