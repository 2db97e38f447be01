/* RevenueDeposit and Claim. */
#include "ledger/ledger_int.h"

#include <string.h>

/* Money that comes into a model: the holders' part is theirs at once, the parents' waits for the EpochClose. */
static plr_status income(plr__state *s, const uint8_t id[32], const plr__model *m, plr__totals *t,
                         uint64_t amount) {
  plr__key key;
  uint8_t rank = (uint8_t)(PLR__MAX_DEPTH - m->depth); /* forks before what they are forks of */
  plr__revenue_income(&m->terms, t, amount);
  if (m->terms.parent_count == 0) return PLR_OK;
  key.bytes[0] = 'D', key.bytes[1] = rank, key.len = 2;
  plr__key_add(&key, id, 32);
  return plr__map_put(&s->map, key.bytes, key.len, "", 0);
}

static plr_status add_credit(plr__state *s, const plr_entry *e) {
  plr__key key = plr__key_of('U', e->as.money.model.bytes, e->author);
  plr__client c;
  PLR_TRY(plr__record_find(s, &key, &plr__record_client, &c, sizeof c, NULL));
  c.deposited += e->as.money.amount;
  return plr__record_put(s, &key, &plr__record_client, &c);
}

plr_status plr__apply_deposit(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_money *x = &e->as.money;
  const uint8_t *treasurer = s->genesis.treasurer;
  plr__model m;
  plr__totals t;
  plr__globals g;
  if (!plr__is_zero(treasurer, 32) && memcmp(e->author, treasurer, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "revenue_deposit", "the author is not the treasurer");
  PLR_TRY(plr__need_model(s, &x->model, &m, &t, "revenue_deposit", err));
  PLR_TRY(plr__get_globals(s, &g));
  if (x->amount > PLR__MAX_AMOUNT - g.deposited)
    return plr__fail(err, PLR_ERR_LIMIT, "revenue_deposit", "all deposits would reach 2^63");
  uint64_t before = plr__serving_part(&m.terms, t.deposited);
  g.deposited += x->amount;
  t.deposited += x->amount;
  uint64_t serving = plr__serving_part(&m.terms, t.deposited) - before;
  t.escrow += serving;
  if (m.terms.serving_bps) PLR_TRY(add_credit(s, e));
  PLR_TRY(income(s, x->model.bytes, &m, &t, x->amount - serving));
  PLR_TRY(plr__revenue_check(&m.terms, &t, err));
  PLR_TRY(plr__put_totals(s, x->model.bytes, &t));
  return plr__put_globals(s, &g);
}

/* ---- royalties -------------------------------------------------------------------------------- */

static plr_status pull_one(plr__state *s, const plr_parent *to, const plr__totals *from,
                           uint64_t *amount, plr_error *err) {
  plr__model m;
  plr__totals t;
  *amount = plr__bps(from->gross, to->bps) - plr__bps(from->pulled, to->bps);
  if (*amount == 0) return PLR_OK;
  PLR_TRY(plr__get_model(s, to->model.bytes, &m));
  PLR_TRY(plr__get_totals(s, to->model.bytes, &t));
  t.royalty_in += *amount;
  PLR_TRY(income(s, to->model.bytes, &m, &t, *amount));
  PLR_TRY(plr__revenue_check(&m.terms, &t, err));
  return plr__put_totals(s, to->model.bytes, &t);
}

static plr_status pull(plr__state *s, const uint8_t id[32], plr_error *err) {
  plr__model m;
  plr__totals t;
  PLR_TRY(plr__get_model(s, id, &m));
  PLR_TRY(plr__get_totals(s, id, &t));
  for (uint32_t i = 0; i < m.terms.parent_count; i++) {
    uint64_t amount;
    PLR_TRY(pull_one(s, &m.terms.parents[i], &t, &amount, err));
    t.royalty_out += amount;
  }
  t.pulled = t.gross;
  PLR_TRY(plr__revenue_check(&m.terms, &t, err));
  return plr__put_totals(s, id, &t);
}

/* The deepest fork first, so that each model is visited when all that comes to it has come. */
plr_status plr__close_royalties(plr__state *s, plr_error *err) {
  plr__cursor c;
  for (;;) {
    uint8_t key[34];
    plr__map_seek(&s->map, "D", 1, &c);
    if (!plr__cursor_next_in(&c, "D", 1)) return PLR_OK;
    if (c.key_len != sizeof key) return PLR_ERR_CORRUPT;
    memcpy(key, c.key, sizeof key);
    PLR_TRY(plr__map_delete(&s->map, key, sizeof key));
    PLR_TRY(pull(s, key + 2, err));
  }
}

/* ---- claims ----------------------------------------------------------------------------------- */

static plr_status add_settled(plr__state *s, const uint8_t address[20], uint64_t amount) {
  plr__key key = plr__key_of('L', NULL, NULL);
  plr__amount claimed;
  if (plr__is_zero(address, 20)) return PLR_OK;
  plr__key_add(&key, address, 20);
  PLR_TRY(plr__record_find(s, &key, &plr__record_amount, &claimed, sizeof claimed, NULL));
  claimed.value += amount;
  return plr__record_put(s, &key, &plr__record_amount, &claimed);
}

plr_status plr__apply_claim(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_money *x = &e->as.money;
  plr__model m;
  plr__totals t;
  plr__globals g;
  plr__holding h;
  PLR_TRY(plr__need_model(s, &x->model, &m, &t, "claim", err));
  plr_status st = plr__get_holding(s, x->model.bytes, e->author, &h);
  if (st == PLR_ERR_NOT_FOUND)
    return plr__fail(err, st, "claim", "the author holds nothing in the model");
  PLR_TRY(st);
  PLR_TRY(plr__get_globals(s, &g));
  plr__revenue_settle(&t, &h);
  uint64_t payable = h.credited - h.paid, amount = x->amount ? x->amount : payable;
  if (amount == 0 || amount > payable)
    return plr__fail(err, PLR_ERR_LIMIT, "claim", "%llu claimed, %llu is payable",
                     (unsigned long long)x->amount, (unsigned long long)payable);
  h.paid += amount;
  t.paid += amount;
  g.paid += amount;
  PLR_TRY(plr__revenue_check(&m.terms, &t, err));
  PLR_TRY(add_settled(s, x->address, amount));
  PLR_TRY(plr__put_holding(s, x->model.bytes, e->author, &h));
  PLR_TRY(plr__put_totals(s, x->model.bytes, &t));
  return plr__put_globals(s, &g);
}
