/* Ledger entries of every type: what decodes must encode to the same bytes, can be shown, and applies to an empty state
 * without harm. */
#include "ledger/ledger_int.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the body again from the fields that were read, then everything else as it was. */
static void check_canonical(plr_context *ctx, const plr_entry *e) {
  const plr__fields *body = &plr__entry_types[e->type].body;
  plr_buffer b;
  if (body->count == 0) return; /* Genesis, ModelRegister */
  plr__buffer_init(&b, ctx);
  plr__entry_begin(&b, e->type, e->author, e->nonce, e->valid_to_epoch);
  if (plr__fields_write(&b, body, &e->as, NULL) != PLR_OK) abort();
  if (plr__entry_end(&b, 0) != PLR_OK) abort();
  if (plr__entry_attach_signatures(&b, e->signatures, e->signature_count) != PLR_OK) abort();
  if (b.len != e->len || memcmp(b.data, e->bytes, b.len) != 0) abort();
  plr__buffer_release(&b);
}

static void check_receipt(plr_context *ctx, const plr_entry *e) {
  plr_buffer b;
  plr_receipt again;
  plr__buffer_init(&b, ctx);
  if (plr__receipt_encode(&b, &e->as.receipt) != PLR_OK) abort();
  if (plr__receipt_decode(b.data, b.len, &again, NULL) != PLR_OK) abort();
  if (b.len != e->signed_len || memcmp(b.data, e->bytes, b.len) != 0) abort();
  plr__buffer_release(&b);
}

static void check_shown(plr_context *ctx, const uint8_t *data, size_t size) {
  size_t len = 0, again = 0;
  if (plr_entry_json(ctx, data, size, NULL, 0, &len, NULL) != PLR_ERR_BUFFER_TOO_SMALL) return;
  char *text = malloc(len);
  if (!text || plr_entry_json(ctx, data, size, text, len, &again, NULL) != PLR_OK || again != len)
    abort();
  if (text[0] != '{' || text[len - 1] != '}') abort();
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static plr_context *ctx;
  plr_entry e;
  plr_receipt r;
  plr__state s;
  if (!ctx && plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  (void)plr__receipt_decode(data, size, &r, NULL);
  check_shown(ctx, data, size);
  if (plr__entry_decode(data, size, &e, NULL) != PLR_OK) return 0;
  check_canonical(ctx, &e);
  if (e.type == PLR_ENTRY_RECEIPT) check_receipt(ctx, &e);
  plr__state_init(&s, ctx);
  s.trust_signatures = 1;
  plr_status st = plr__state_apply(&s, &e, NULL, NULL);
  if (st != PLR_OK && !plr__is_refusal(st)) abort();
  plr__state_release(&s);
  return 0;
}
