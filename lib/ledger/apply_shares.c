/* Transfer and Slash: asked for now, done with the next EpochClose. Faults: what a Slash is for. */
#include "ledger/ledger_int.h"

#include <string.h>

plr_status plr__open_holding(const plr__state *s, const uint8_t model[32],
                             const uint8_t account[32], plr__totals *t, plr__holding *h) {
  plr_status st = plr__get_holding(s, model, account, h);
  if (st != PLR_ERR_NOT_FOUND) return st;
  memset(h, 0, offsetof(plr__holding, tranches));
  h->snap = t->acc;
  t->holders++;
  return PLR_OK;
}

plr_status plr__apply_transfer(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_transfer *x = &e->as.transfer;
  const uint8_t *model = x->model.bytes;
  plr__model m;
  plr__holding h;
  plr__globals g;
  plr__amount waiting;
  PLR_TRY(plr__need_model(s, &x->model, &m, NULL, "transfer", err));
  plr__key to = plr__key_of('A', NULL, x->to), key = plr__key_of('Y', model, e->author);
  if (!plr__record_has(s, &to))
    return plr__fail(err, PLR_ERR_NOT_FOUND, "transfer", "the receiver's account is not open");
  plr_status st = plr__get_holding(s, model, e->author, &h);
  if (st == PLR_ERR_NOT_FOUND)
    return plr__fail(err, st, "transfer", "the author holds nothing in the model");
  PLR_TRY(st);
  PLR_TRY(plr__get_globals(s, &g));
  uint64_t free = plr__vested(&h, g.epoch, &m.terms) - h.outgoing;
  if (x->shares > free)
    return plr__fail(err, PLR_ERR_LIMIT, "transfer", "%llu shares; %llu are vested and not given",
                     (unsigned long long)x->shares, (unsigned long long)free);
  h.outgoing += x->shares;
  plr__key_add(&key, x->to, 32);
  PLR_TRY(plr__record_find(s, &key, &plr__record_amount, &waiting, sizeof waiting, NULL));
  waiting.value += x->shares;
  PLR_TRY(plr__record_put(s, &key, &plr__record_amount, &waiting));
  PLR_TRY(plr__put_holding(s, model, e->author, &h));
  return plr__mark_model(s, model);
}

/* ---- faults ----------------------------------------------------------------------------------- */

plr_status plr__fault(plr__state *s, const uint8_t model[32], const uint8_t account[32],
                      const uint8_t reporter[32]) {
  plr__key key = plr__key_of('F', model, account);
  plr__faults f;
  plr__globals g;
  PLR_TRY(plr__get_globals(s, &g));
  PLR_TRY(plr__record_find(s, &key, &plr__record_faults, &f, sizeof f, NULL));
  f.count++;
  f.since = g.epoch;
  memcpy(f.reporter, reporter, 32);
  return plr__record_put(s, &key, &plr__record_faults, &f);
}

plr_status plr__fault_withdraw(plr__state *s, const uint8_t model[32], const uint8_t account[32]) {
  plr__key key = plr__key_of('F', model, account);
  plr__faults f;
  int found;
  PLR_TRY(plr__record_find(s, &key, &plr__record_faults, &f, sizeof f, &found));
  if (!found) return PLR_OK;
  if (--f.count == 0) return plr__map_delete(&s->map, key.bytes, key.len);
  return plr__record_put(s, &key, &plr__record_faults, &f);
}

plr_status plr__apply_slash(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_slash *x = &e->as.slash;
  plr__key fault = plr__key_of('F', x->model.bytes, x->account);
  plr__key burn = plr__key_of('V', x->model.bytes, x->account);
  plr__faults f;
  plr__globals g;
  plr__params p;
  plr__burn b;
  int found;
  PLR_TRY(plr__record_find(s, &fault, &plr__record_faults, &f, sizeof f, &found));
  if (!found)
    return plr__fail(err, PLR_ERR_NOT_FOUND, "slash", "the account has no fault in the model");
  PLR_TRY(plr__get_globals(s, &g));
  PLR_TRY(plr__get_params(s, &p));
  if (g.epoch - f.since < p.value[PLR_PARAM_SLASH_DELAY - 1])
    return plr__fail(err, PLR_ERR_SEQUENCE, "slash", "the fault can still be disputed");
  if (plr__record_has(s, &burn))
    return plr__fail(err, PLR_ERR_EXISTS, "slash", "slashed in this epoch already");
  plr__u128 bps = (plr__u128)f.count * p.value[PLR_PARAM_SLASH_BPS - 1];
  b.bps = (uint32_t)PLR_MIN(bps, (plr__u128)10000);
  memcpy(b.reporter, f.reporter, 32);
  PLR_TRY(plr__record_put(s, &burn, &plr__record_burn, &b));
  PLR_TRY(plr__map_delete(&s->map, fault.bytes, fault.len));
  return plr__mark_model(s, x->model.bytes);
}
