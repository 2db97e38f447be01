/* InferenceReceipt: serving work, paid out of what its client has deposited. */
#include "ledger/ledger_int.h"

#include <string.h>

#define GROUP_LEN 77u /* kind, epoch, client, session, sequence */

/* Under the client, who signs: nobody else can use up what its sessions are counted by. */
static plr__key served_key(const plr_inference_receipt *x) {
  plr__key k = plr__key_epoch('I', x->epoch, x->client);
  plr__key_add(&k, x->session.bytes, 32);
  plr__key_add32(&k, x->sequence);
  plr__key_add32(&k, x->block_first);
  return k;
}

static plr_status overlaps(const plr__cursor *c, const plr_inference_receipt *x, int *yes) {
  plr__served v;
  PLR_TRY(plr__record_decode(&plr__record_served, c->value, c->value_len, &v));
  *yes = plr__load_be32(c->key + GROUP_LEN) < x->block_end && x->block_first < v.block_end;
  return PLR_OK;
}

static plr_status check_unique(const plr__state *s, const plr_inference_receipt *x,
                               plr_error *err) {
  plr__key key = served_key(x);
  plr__cursor at, before;
  int yes = 0;
  plr__map_seek(&s->map, key.bytes, key.len, &at);
  int has_before = plr__cursor_before(&at, &before);
  if (plr__cursor_next_in(&at, key.bytes, GROUP_LEN)) PLR_TRY(overlaps(&at, x, &yes));
  if (!yes && has_before && before.key_len == key.len &&
      memcmp(before.key, key.bytes, GROUP_LEN) == 0)
    PLR_TRY(overlaps(&before, x, &yes));
  if (yes) return plr__fail(err, PLR_ERR_EXISTS, "inference_receipt", "served and met before");
  return PLR_OK;
}

static plr_status get_client(const plr__state *s, const plr_inference_receipt *x, plr__key *key,
                             plr__client *c) {
  *key = plr__key_of('U', x->model.bytes, x->client);
  return plr__record_find(s, key, &plr__record_client, c, sizeof *c, NULL);
}

plr_status plr__check_inference(const plr__state *s, const plr_inference_receipt *x,
                                plr_error *err) {
  const char *where = "inference_receipt";
  plr__globals g;
  plr__model m;
  plr__client c;
  plr__key key;
  PLR_TRY(plr__get_globals(s, &g));
  if (x->epoch > g.epoch || x->epoch < g.oldest)
    return plr__fail(err, PLR_ERR_SEQUENCE, where, "of epoch %llu, epoch %llu is open",
                     (unsigned long long)x->epoch, (unsigned long long)g.epoch);
  PLR_TRY(plr__need_model(s, &x->model, &m, NULL, where, err));
  if (x->block_end > m.terms.block_count)
    return plr__fail(err, PLR_ERR_MISMATCH, where, "the model has %u blocks, not %u",
                     m.terms.block_count, x->block_end);
  uint64_t units = plr__units_of(&m.terms, x->block_first, x->block_end, x->tokens);
  if (x->units != units)
    return plr__fail(err, PLR_ERR_MISMATCH, where, "%llu units; the model's cost says %llu",
                     (unsigned long long)x->units, (unsigned long long)units);
  PLR_TRY(check_unique(s, x, err));
  PLR_TRY(get_client(s, x, &key, &c));
  if (x->price > c.deposited - c.spent)
    return plr__fail(err, PLR_ERR_LIMIT, where, "price %llu; the client has %llu left",
                     (unsigned long long)x->price, (unsigned long long)(c.deposited - c.spent));
  return PLR_OK;
}

static plr_status pay(plr__state *s, const plr_entry *e, const plr_model_register *terms,
                      plr__totals *t) {
  const plr_inference_receipt *x = &e->as.inference;
  plr__client c;
  plr__holding h;
  plr__key key;
  PLR_TRY(get_client(s, x, &key, &c));
  uint64_t before = plr__serving_part(terms, c.spent);
  c.spent += x->price;
  uint64_t part = plr__serving_part(terms, c.spent) - before;
  PLR_TRY(plr__record_put(s, &key, &plr__record_client, &c));
  PLR_TRY(plr__open_holding(s, x->model.bytes, e->author, t, &h));
  h.credited += part;
  t->credited += part;
  t->escrow -= part;
  t->served_paid += part;
  return plr__put_holding(s, x->model.bytes, e->author, &h);
}

plr_status plr__apply_inference(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_inference_receipt *x = &e->as.inference;
  plr__key key = served_key(x);
  plr__served v = {.block_end = x->block_end};
  plr__model m;
  plr__totals t;
  memcpy(v.server, e->author, 32);
  PLR_TRY(plr__need_model(s, &x->model, &m, &t, "inference_receipt", err));
  PLR_TRY(plr__record_put(s, &key, &plr__record_served, &v));
  t.served += x->units;
  if (x->price) PLR_TRY(pay(s, e, &m.terms, &t));
  PLR_TRY(plr__revenue_check(&m.terms, &t, err));
  return plr__put_totals(s, x->model.bytes, &t);
}
