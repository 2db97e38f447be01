/* Entries in batches: decoded, hashed and their signatures verified in parallel, then applied in order. */
#include "ledger/ledger_int.h"

struct plr__open_signature {
  plr__batch_item *item;
  uint32_t number, good;
};

#define OPEN_MAX (PLR__BATCH * PLR_COUNT_OF(((plr__verdict *)0)->keys))

plr_status plr__batch_init(plr__batch *b, plr_context *ctx) {
  b->ctx = ctx;
  b->count = 0;
  b->items = plr__calloc(ctx, PLR__BATCH, sizeof *b->items);
  b->signatures = plr__calloc(ctx, OPEN_MAX, sizeof *b->signatures);
  return b->items && b->signatures ? PLR_OK : PLR_ERR_NO_MEMORY;
}

void plr__batch_release(plr__batch *b) {
  plr__free(b->ctx, b->items);
  plr__free(b->ctx, b->signatures);
  b->items = NULL;
  b->signatures = NULL;
}

static void prepare_one(void *arg, uint32_t i) {
  plr__batch *b = arg;
  plr__batch_item *item = &b->items[i];
  plr__merkle_leaf(item->data, item->len, &item->leaf);
  item->decoded = plr__entry_decode(item->data, item->len, &item->entry, NULL);
  if (item->decoded == PLR_OK)
    plr__verdict_prepare(b->state, &item->entry, &item->verdict);
  else
    item->verdict.open = 0;
}

/* Those of several entries together, so that what verifies many at once has many. */
static void verify_group(void *arg, uint32_t group) {
  const plr__batch *b = arg;
  struct plr__open_signature *of = b->signatures + (size_t)group * PLR__VERIFY_MANY;
  uint32_t n = PLR_MIN(b->open - group * PLR__VERIFY_MANY, PLR__VERIFY_MANY);
  plr__signed items[PLR__VERIFY_MANY] = {{0}};
  for (uint32_t i = 0; i < n; i++) {
    const plr__batch_item *item = of[i].item;
    items[i] = (plr__signed){item->verdict.keys[of[i].number],
                             item->entry.signatures[of[i].number].signature, item->verdict.message,
                             sizeof item->verdict.message};
  }
  uint32_t good = plr__verify_known_many(b->ctx, items, n);
  for (uint32_t i = 0; i < n; i++) of[i].good = good >> i & 1;
}

static void verify_open(plr__batch *b) {
  b->open = 0;
  for (uint32_t i = 0; i < b->count; i++)
    for (uint32_t open = b->items[i].verdict.open; open; open &= open - 1)
      b->signatures[b->open++] =
          (struct plr__open_signature){&b->items[i], (uint32_t)__builtin_ctz(open), 0};
  plr__parallel_for(b->ctx, (b->open + PLR__VERIFY_MANY - 1) / PLR__VERIFY_MANY, verify_group, b);
  for (uint32_t i = 0; i < b->open; i++)
    b->signatures[i].item->verdict.good |= b->signatures[i].good << b->signatures[i].number;
}

void plr__batch_prepare(plr__batch *b, const plr__state *s) {
  b->state = s;
  plr__parallel_for(b->ctx, b->count, prepare_one, b);
  verify_open(b);
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
