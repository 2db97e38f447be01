/* The full sums behind the totals that are kept entry by entry. */
#include "ledger/ledger_int.h"

#include <string.h>

typedef struct sums {
  plr__u128 work, data, fractions, unsettled;
  uint64_t shares, credited, paid, holders, receipts, outgoing;
} sums;

static plr_status breach(plr_error *err, const char *what) {
  return plr__fail(err, PLR_ERR_CONSERVATION, "ledger state", "%s do not add up", what);
}

static plr_status check_holder(const plr__holding *h) {
  plr__u128 shares = h->matured;
  for (uint32_t i = 0; i < h->tranche_count; i++) {
    const plr__tranche *t = &h->tranches[i];
    if (t->vested > t->shares || t->slashed > t->shares - t->vested) return PLR_ERR_CONSERVATION;
    shares += t->shares - t->vested - t->slashed;
  }
  if (shares != h->shares || h->paid > h->credited || h->outgoing > h->shares)
    return PLR_ERR_CONSERVATION;
  return PLR_OK;
}

static plr_status add_holders(const plr__state *s, const uint8_t model[32], const plr__totals *t,
                              sums *sum) {
  plr__key prefix = plr__key_of('H', model, NULL);
  plr__cursor c;
  plr__map_seek(&s->map, prefix.bytes, prefix.len, &c);
  while (plr__cursor_next_in(&c, prefix.bytes, prefix.len)) {
    plr__holding h;
    PLR_TRY(plr__holding_decode(c.value, c.value_len, &h));
    PLR_TRY(check_holder(&h));
    sum->shares += h.shares;
    sum->credited += h.credited;
    sum->paid += h.paid;
    sum->fractions += h.fraction;
    sum->unsettled += (t->acc - h.snap) * h.shares;
    sum->work += h.units;
    sum->data += h.data;
    sum->outgoing += h.outgoing;
    sum->receipts += h.receipts;
    sum->holders++;
  }
  return PLR_OK;
}

static plr_status audit_open_work(const plr__state *s, const uint8_t model[32], plr_error *err) {
  plr__key prefix = plr__key_of('W', model, NULL), key = plr__key_of('O', model, NULL);
  plr__work total, w;
  plr__u128 units = 0, data = 0;
  uint64_t receipts = 0;
  plr__cursor c;
  PLR_TRY(plr__get_work(s, &key, &total));
  plr__map_seek(&s->map, prefix.bytes, prefix.len, &c);
  while (plr__cursor_next_in(&c, prefix.bytes, prefix.len)) {
    PLR_TRY(plr__work_decode(c.value, c.value_len, &w));
    units += w.units;
    data += w.data;
    receipts += w.receipts;
  }
  if (units != total.units || receipts != total.receipts || data != total.data)
    return breach(err, "the workers' units");
  return PLR_OK;
}

/* Transfers that wait, clients and datasets of a model. */
static plr_status audit_waiting(const plr__state *s, const uint8_t model[32], uint64_t outgoing,
                                plr_error *err) {
  plr__key prefix = plr__key_of('Y', model, NULL);
  plr__u128 sum = 0;
  plr__cursor c;
  plr__map_seek(&s->map, prefix.bytes, prefix.len, &c);
  while (plr__cursor_next_in(&c, prefix.bytes, prefix.len)) {
    plr__amount shares;
    PLR_TRY(plr__record_decode(&plr__record_amount, c.value, c.value_len, &shares));
    sum += shares.value;
  }
  return sum == outgoing ? PLR_OK : breach(err, "the transfers under way");
}

static plr_status audit_clients(const plr__state *s, const uint8_t model[32],
                                const plr_model_register *terms, uint64_t served_paid,
                                plr_error *err) {
  plr__key prefix = plr__key_of('U', model, NULL);
  plr__u128 sum = 0;
  plr__cursor c;
  plr__map_seek(&s->map, prefix.bytes, prefix.len, &c);
  while (plr__cursor_next_in(&c, prefix.bytes, prefix.len)) {
    plr__client x;
    PLR_TRY(plr__record_decode(&plr__record_client, c.value, c.value_len, &x));
    if (x.spent > x.deposited) return breach(err, "a client's deposits");
    sum += plr__serving_part(terms, x.spent);
  }
  return sum == served_paid ? PLR_OK : breach(err, "the payments for serving");
}

static plr_status audit_datasets(const plr__state *s, const uint8_t model[32], const plr__totals *t,
                                 plr_error *err) {
  plr__key prefix = plr__key_of('B', model, NULL);
  plr__u128 minted = 0;
  uint64_t count = 0, bps = 0;
  plr__cursor c;
  plr__map_seek(&s->map, prefix.bytes, prefix.len, &c);
  while (plr__cursor_next_in(&c, prefix.bytes, prefix.len)) {
    plr__dataset d;
    PLR_TRY(plr__record_decode(&plr__record_dataset, c.value, c.value_len, &d));
    minted += d.minted;
    bps += d.bps;
    count++;
  }
  if (count != t->datasets || bps != t->datasets_bps || minted > t->data_minted)
    return breach(err, "the datasets' shares");
  return PLR_OK;
}

static plr_status audit_model(const plr__state *s, const uint8_t model[32], plr__totals *t,
                              plr_error *err) {
  plr__model m;
  sums sum = {0};
  PLR_TRY(plr__get_model(s, model, &m));
  PLR_TRY(plr__get_totals(s, model, t));
  PLR_TRY(plr__revenue_check(&m.terms, t, err));
  plr_status st = add_holders(s, model, t, &sum);
  if (st == PLR_ERR_CONSERVATION) return breach(err, "a holder's own shares or payments");
  PLR_TRY(st);
  uint64_t due = plr__mint_total(m.terms.halving, m.terms.rate, m.terms.rate_divisor, t->work);
  if (t->minted != due) return breach(err, "the shares minted for a model's work");
  if (sum.shares != plr__supply(t) || sum.holders != t->holders)
    return breach(err, "the holders' shares");
  if (sum.work != t->work || sum.receipts != t->receipts || sum.data != t->data)
    return breach(err, "the holders' units");
  if (sum.credited != t->credited || sum.paid != t->paid || sum.fractions != t->fractions ||
      sum.unsettled != t->unsettled)
    return breach(err, "the holders' revenue");
  PLR_TRY(audit_waiting(s, model, sum.outgoing, err));
  PLR_TRY(audit_clients(s, model, &m.terms, t->served_paid, err));
  PLR_TRY(audit_datasets(s, model, t, err));
  return audit_open_work(s, model, err);
}

plr_status plr__state_audit(const plr__state *s, plr_error *err) {
  plr__globals g;
  uint64_t models = 0, accounts = 0, deposited = 0, paid = 0, receipts = 0, in = 0, out = 0;
  plr__u128 minted = 0, burned = 0, units = 0;
  plr__cursor c;
  PLR_TRY(plr__get_globals(s, &g));
  plr__map_seek(&s->map, "A", 1, &c);
  while (plr__cursor_next_in(&c, "A", 1)) accounts++;
  plr__map_seek(&s->map, "M", 1, &c);
  while (plr__cursor_next_in(&c, "M", 1)) {
    plr__totals t;
    if (c.key_len != 33) return PLR_ERR_CORRUPT;
    PLR_TRY(audit_model(s, c.key + 1, &t, err));
    models++;
    deposited += t.deposited;
    paid += t.paid;
    receipts += t.receipts;
    minted += t.minted;
    burned += t.burned;
    units += t.work;
    in += t.royalty_in;
    out += t.royalty_out;
  }
  if (models != g.models || accounts != g.accounts) return breach(err, "models or accounts");
  if (minted != g.minted || burned != g.burned || units != g.units || receipts != g.receipts)
    return breach(err, "the models' shares and units");
  if (deposited != g.deposited || paid != g.paid) return breach(err, "the models' revenue");
  return in == out ? PLR_OK : breach(err, "royalties paid and received");
}
