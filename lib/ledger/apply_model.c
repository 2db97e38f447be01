/* ModelRegister: the terms of a model, fixed for ever. Receipt: work under these terms. */
#include "ledger/ledger_int.h"

#include <string.h>

plr_status plr__apply_model_register(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_model_register *m = &e->as.model;
  plr__model old;
  plr__account data;
  plr__globals g;
  plr__totals totals = {0};
  plr_status st = plr__get_model(s, m->model.bytes, &old);
  if (st == PLR_OK)
    return plr__fail(err, PLR_ERR_EXISTS, "model_register", "the model is registered");
  if (st != PLR_ERR_NOT_FOUND) return st;
  if (m->data_bps) {
    st = plr__get_account(s, m->data_account, &data);
    if (st == PLR_ERR_NOT_FOUND)
      return plr__fail(err, st, "model_register", "the data provider's account is not open");
    PLR_TRY(st);
  }
  PLR_TRY(plr__get_globals(s, &g));
  g.models++;
  PLR_TRY(plr__put_model(s, e, g.epoch));
  PLR_TRY(plr__put_totals(s, m->model.bytes, &totals));
  return plr__put_globals(s, &g);
}

/* Units that blocks [first, end) of so many tokens are worth; 0 when they do not fit in 64 bits. */
static uint64_t units_of(const plr_model_register *m, const plr_receipt *x) {
  plr__u128 sum = 0;
  for (uint32_t i = x->block_first; i < x->block_end; i++)
    sum += plr__load_be64(m->costs + 8 * (size_t)i);
  if (sum > UINT64_MAX) return 0;
  sum *= x->tokens;
  return sum > UINT64_MAX ? 0 : (uint64_t)sum;
}

static plr_status check_terms(const plr_model_register *m, const plr_receipt *x, plr_error *err) {
  if (memcmp(m->profile.bytes, x->profile.bytes, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "receipt.profile",
                     "not the numeric profile of the model");
  if (x->block_end > m->block_count)
    return plr__fail(err, PLR_ERR_MISMATCH, "receipt.blocks", "the model has %u blocks, not %u",
                     m->block_count, x->block_end);
  if (x->tokens > (uint64_t)x->mb_count * m->microbatch_tokens)
    return plr__fail(err, PLR_ERR_MISMATCH, "receipt.tokens",
                     "%u tokens in %u micro-batches of at most %u", x->tokens, x->mb_count,
                     m->microbatch_tokens);
  uint64_t units = units_of(m, x);
  if (x->units != units)
    return plr__fail(err, PLR_ERR_MISMATCH, "receipt.units",
                     "%llu units; the model's cost says %llu", (unsigned long long)x->units,
                     (unsigned long long)units);
  return PLR_OK;
}

plr_status plr__check_receipt(const plr__state *s, const plr_receipt *x, plr_error *err) {
  plr__globals g;
  plr__model m;
  size_t len;
  PLR_TRY(plr__get_globals(s, &g));
  if (x->epoch > g.epoch || g.epoch - x->epoch >= s->genesis.receipt_window)
    return plr__fail(err, PLR_ERR_SEQUENCE, "receipt.epoch", "of epoch %llu, epoch %llu is open",
                     (unsigned long long)x->epoch, (unsigned long long)g.epoch);
  plr_status st = plr__get_model(s, x->model.bytes, &m);
  if (st == PLR_ERR_NOT_FOUND)
    return plr__fail(err, st, "receipt.model", "the model is not registered");
  PLR_TRY(st);
  PLR_TRY(check_terms(&m.terms, x, err));
  plr__key seen = plr__key_receipt(x);
  if (plr__map_get(&s->map, seen.bytes, seen.len, &len))
    return plr__fail(err, PLR_ERR_EXISTS, "receipt", "this work has a receipt");
  return PLR_OK;
}

static plr_status add_work(plr__state *s, plr__key key, const plr_receipt *x) {
  plr__work w;
  PLR_TRY(plr__get_work(s, &key, &w));
  w.units += x->units;
  w.receipts++;
  return plr__put_work(s, &key, &w);
}

plr_status plr__apply_receipt(plr__state *s, const plr_receipt *x, plr_error *err) {
  (void)err;
  plr__key seen = plr__key_receipt(x);
  PLR_TRY(plr__map_put(&s->map, seen.bytes, seen.len, x->worker, 32));
  PLR_TRY(add_work(s, plr__key_of('O', x->model.bytes, NULL), x));
  return add_work(s, plr__key_of('W', x->model.bytes, x->worker), x);
}
