/* Entries in batches: decoded, hashed and their signatures verified in parallel, then applied in order. */
#include "ledger/ledger_int.h"

plr_status plr__batch_init(plr__batch *b, plr_context *ctx) {
  b->ctx = ctx;
  b->count = 0;
  b->items = plr__calloc(ctx, PLR__BATCH, sizeof *b->items);
  return b->items ? PLR_OK : PLR_ERR_NO_MEMORY;
}

void plr__batch_release(plr__batch *b) {
  plr__free(b->ctx, b->items);
  b->items = NULL;
}

static void prepare_one(void *arg, uint32_t i) {
  plr__batch *b = arg;
  plr__batch_item *item = &b->items[i];
  plr__merkle_leaf(item->data, item->len, &item->leaf);
  item->decoded = plr__entry_decode(item->data, item->len, &item->entry, NULL);
  if (item->decoded == PLR_OK) plr__verdict_make(b->state, &item->entry, &item->verdict);
}

void plr__batch_prepare(plr__batch *b, const plr__state *s) {
  b->state = s;
  if (b->count == 1)
    prepare_one(b, 0);
  else
    plr__parallel_for(b->ctx, b->count, prepare_one, b);
}

plr_status plr__batch_apply(plr__batch *b, plr__state *s, uint32_t i, plr_status *entry_status,
                            plr_error *err) {
  plr__batch_item *item = &b->items[i];
  plr_status st;
  if (item->decoded == PLR_OK)
    st = plr__state_apply(s, &item->entry, &item->verdict, err);
  else
    st = plr__entry_decode(item->data, item->len, &item->entry, err); /* again, for the message */
  *entry_status = st;
  return plr__is_refusal(st) ? PLR_OK : st;
}
