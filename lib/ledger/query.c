/* Reading the state: summary, models, balances. */
#include "ledger/ledger_int.h"

#include <string.h>

const char *plr_ledger_origin(const plr_ledger *l, uint8_t public_key[32]) {
  if (public_key) memcpy(public_key, l->state.genesis.sequencer_key, 32);
  return l->state.genesis.origin;
}

/* Copies the part of an output struct that the caller's version has. */
static plr_status give(void *out, const void *full, uint32_t known_size) {
  uint32_t size;
  memcpy(&size, out, sizeof size);
  if (size < 8 || size > 4096) return PLR_ERR_INVALID_ARGUMENT;
  memset(out, 0, size);
  memcpy(out, full, PLR_MIN(size, known_size));
  memcpy(out, &size, sizeof size);
  return PLR_OK;
}

/* Work of the open epoch, which the closed epochs' totals do not have yet. */
static plr_status add_open_work(const plr__state *s, plr__globals *g) {
  plr__cursor c;
  plr__work w;
  plr__map_seek(&s->map, "O", 1, &c);
  while (plr__cursor_next_in(&c, "O", 1)) {
    PLR_TRY(plr__work_decode(c.value, c.value_len, &w));
    g->units += w.units;
    g->receipts += w.receipts;
  }
  return PLR_OK;
}

plr_status plr__summarize(const plr__state *s, const plr__head *head, plr_ledger_summary *out) {
  plr__globals g;
  plr_ledger_summary full = {.struct_size = sizeof full};
  PLR_TRY(plr__get_globals(s, &g));
  PLR_TRY(add_open_work(s, &g));
  full.entries = head->frontier.size;
  full.rejected = head->rejected;
  full.epoch = g.epoch;
  full.accounts = g.accounts;
  full.models = g.models;
  full.receipts = g.receipts;
  full.units = plr__units(g.units);
  full.minted = plr__units(g.minted);
  full.deposited = g.deposited;
  full.paid = g.paid;
  full.burned = plr__units(g.burned);
  plr__frontier_root(&head->frontier, &full.root);
  full.state_root = s->state_root;
  return give(out, &full, (uint32_t)sizeof full);
}

plr_status plr_ledger_summarize(const plr_ledger *l, plr_ledger_summary *out) {
  PLR_GUARD_CONST(l);
  if (!l || !out) return PLR_ERR_INVALID_ARGUMENT;
  return plr__summarize(&l->state, &l->head, out);
}

uint64_t plr_ledger_next_nonce(const plr_ledger *l, const plr_hash *account) {
  PLR_GUARD_LOOK(l);
  plr__account a;
  if (plr__get_account(&l->state, account->bytes, &a) != PLR_OK) return 1;
  return a.nonce + 1;
}

plr_status plr_ledger_model(const plr_ledger *l, const plr_hash *model, plr_model_totals *out) {
  PLR_GUARD_CONST(l);
  plr__model m;
  plr__totals t;
  plr__work w;
  if (!l || !model || !out) return PLR_ERR_INVALID_ARGUMENT;
  plr__key key = plr__key_of('O', model->bytes, NULL);
  PLR_TRY(plr__get_model(&l->state, model->bytes, &m));
  PLR_TRY(plr__get_totals(&l->state, model->bytes, &t));
  PLR_TRY(plr__get_work(&l->state, &key, &w));
  plr_model_totals full = {.struct_size = sizeof full, .block_count = m.terms.block_count};
  memcpy(full.designer.bytes, m.designer, 32);
  full.supply = plr__supply(&t);
  full.holders = t.holders;
  full.units = plr__units(t.work);
  full.epoch_units = plr__units(w.units);
  full.receipts = t.receipts;
  full.deposited = t.deposited;
  full.paid = t.paid;
  full.held = t.held;
  full.minted = t.minted;
  full.burned = t.burned;
  full.provisional = t.provisional;
  full.royalty_in = t.royalty_in;
  full.royalty_out = t.royalty_out;
  full.escrow = t.escrow;
  full.served_paid = t.served_paid;
  full.served = plr__units(t.served);
  full.data_tokens = plr__units(t.data);
  full.parent_count = m.terms.parent_count;
  full.depth = m.depth;
  full.milestones = t.milestones;
  full.datasets = t.datasets;
  return give(out, &full, (uint32_t)sizeof full);
}

plr_status plr_ledger_parents(const plr_ledger *l, const plr_hash *model, plr_parent out[4],
                              uint32_t *count) {
  PLR_GUARD_CONST(l);
  plr__model m;
  if (!l || !model || !out || !count) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(plr__get_model(&l->state, model->bytes, &m));
  *count = m.terms.parent_count;
  memcpy(out, m.terms.parents, *count * sizeof *out);
  return PLR_OK;
}

/* What balances of one model share. */
typedef struct view {
  const plr__state *s;
  const uint8_t *id;
  plr__model model;
  plr__totals totals;
  uint64_t epoch;
} view;

static plr_status view_open(const plr_ledger *l, const plr_hash *model, view *v) {
  plr__globals g;
  v->s = &l->state;
  v->id = model->bytes;
  PLR_TRY(plr__get_model(v->s, v->id, &v->model));
  PLR_TRY(plr__get_totals(v->s, v->id, &v->totals));
  PLR_TRY(plr__get_globals(v->s, &g));
  v->epoch = g.epoch;
  return PLR_OK;
}

static plr_status balance_of(const view *v, const uint8_t account[32], const plr__holding *h,
                             plr_balance *out) {
  plr__key key = plr__key_of('W', v->id, account);
  plr__work w;
  PLR_TRY(plr__get_work(v->s, &key, &w));
  memset(out, 0, sizeof *out);
  memcpy(out->account.bytes, account, 32);
  if (h) {
    out->shares = h->shares;
    out->vested = plr__vested(h, v->epoch, &v->model.terms);
    out->payable = plr__revenue_payable(&v->totals, h);
    out->paid = h->paid;
    w.units += h->units;
    w.data += h->data;
    w.receipts += h->receipts;
  }
  out->data_tokens = w.data > UINT64_MAX ? UINT64_MAX : (uint64_t)w.data;
  out->units = plr__units(w.units);
  out->receipts = w.receipts;
  return PLR_OK;
}

plr_status plr_ledger_balance(const plr_ledger *l, const plr_hash *account, const plr_hash *model,
                              plr_balance *out) {
  PLR_GUARD_CONST(l);
  view v;
  plr__holding h;
  if (!l || !account || !model || !out) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(view_open(l, model, &v));
  plr_status st = plr__get_holding(v.s, v.id, account->bytes, &h);
  if (st != PLR_OK && st != PLR_ERR_NOT_FOUND) return st;
  return balance_of(&v, account->bytes, st == PLR_OK ? &h : NULL, out);
}

plr_status plr_ledger_holders(const plr_ledger *l, const plr_hash *model, const plr_hash *after,
                              plr_balance *out, size_t cap, size_t *count) {
  PLR_GUARD_CONST(l);
  view v;
  plr__holding h;
  plr__cursor c;
  if (!l || !model || !count || (!out && cap)) return PLR_ERR_INVALID_ARGUMENT;
  *count = 0;
  PLR_TRY(view_open(l, model, &v));
  plr__key prefix = plr__key_of('H', v.id, NULL);
  plr__key from = plr__key_of('H', v.id, after ? after->bytes : NULL);
  plr__map_seek(&v.s->map, from.bytes, from.len, &c);
  while (*count < cap && plr__cursor_next_in(&c, prefix.bytes, prefix.len)) {
    const uint8_t *account = c.key + prefix.len;
    if (c.key_len != prefix.len + 32) return PLR_ERR_CORRUPT;
    if (after && memcmp(account, after->bytes, 32) == 0) continue;
    PLR_TRY(plr__holding_decode(c.value, c.value_len, &h));
    PLR_TRY(balance_of(&v, account, &h, &out[(*count)++]));
  }
  return PLR_OK;
}
