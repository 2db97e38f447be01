/* RevenueDeposit and Claim. */
#include "ledger/ledger_int.h"

#include <string.h>

static plr_status model_totals(const plr__state *s, const plr_money *m, plr__totals *t,
                               const char *where, plr_error *err) {
  plr_status st = plr__get_totals(s, m->model.bytes, t);
  if (st == PLR_ERR_NOT_FOUND) return plr__fail(err, st, where, "the model is not registered");
  return st;
}

plr_status plr__apply_deposit(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_money *m = &e->as.money;
  const uint8_t *treasurer = s->genesis.treasurer;
  plr__totals t;
  plr__globals g;
  if (!plr__is_zero(treasurer, 32) && memcmp(e->author, treasurer, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "revenue_deposit", "the author is not the treasurer");
  PLR_TRY(model_totals(s, m, &t, "revenue_deposit", err));
  PLR_TRY(plr__get_globals(s, &g));
  if (m->amount > PLR__MAX_AMOUNT - g.deposited)
    return plr__fail(err, PLR_ERR_LIMIT, "revenue_deposit", "all deposits would reach 2^63");
  g.deposited += m->amount;
  plr__revenue_deposit(&t, m->amount);
  PLR_TRY(plr__revenue_check(&t, err));
  PLR_TRY(plr__put_totals(s, m->model.bytes, &t));
  return plr__put_globals(s, &g);
}

plr_status plr__apply_claim(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_money *m = &e->as.money;
  plr__totals t;
  plr__globals g;
  plr__holding h;
  PLR_TRY(model_totals(s, m, &t, "claim", err));
  plr_status st = plr__get_holding(s, m->model.bytes, e->author, &h);
  if (st == PLR_ERR_NOT_FOUND)
    return plr__fail(err, st, "claim", "the author holds nothing in the model");
  PLR_TRY(st);
  PLR_TRY(plr__get_globals(s, &g));
  plr__revenue_settle(&t, &h);
  uint64_t payable = h.credited - h.paid, amount = m->amount ? m->amount : payable;
  if (amount == 0 || amount > payable)
    return plr__fail(err, PLR_ERR_LIMIT, "claim", "%llu claimed, %llu is payable",
                     (unsigned long long)m->amount, (unsigned long long)payable);
  h.paid += amount;
  t.paid += amount;
  g.paid += amount;
  PLR_TRY(plr__revenue_check(&t, err));
  PLR_TRY(plr__put_holding(s, m->model.bytes, e->author, &h));
  PLR_TRY(plr__put_totals(s, m->model.bytes, &t));
  return plr__put_globals(s, &g);
}
