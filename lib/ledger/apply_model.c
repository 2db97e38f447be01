/* ModelRegister: the terms of a model, fixed for ever. DataRegister: a dataset that shares in them. Milestone. */
#include "ledger/ledger_int.h"

#include <string.h>

#define MAX_DATASETS 64u

plr_status plr__need_model(const plr__state *s, const plr_hash *id, plr__model *m, plr__totals *t,
                           const char *where, plr_error *err) {
  plr_status st = plr__get_model(s, id->bytes, m);
  if (st == PLR_ERR_NOT_FOUND) return plr__fail(err, st, where, "the model is not registered");
  PLR_TRY(st);
  return t ? plr__get_totals(s, id->bytes, t) : PLR_OK;
}

plr_status plr__need_sequencer(const plr__state *s, const plr_entry *e, const char *where,
                               plr_error *err) {
  if (memcmp(e->author, s->sequencer, 32) == 0) return PLR_OK;
  return plr__fail(err, PLR_ERR_MISMATCH, where, "the author is not the sequencer");
}

static plr_status lineage(const plr__state *s, const plr_model_register *m, uint32_t *depth,
                          plr_error *err) {
  plr__model parent;
  *depth = 0;
  for (uint32_t i = 0; i < m->parent_count; i++) {
    plr_status st = plr__get_model(s, m->parents[i].model.bytes, &parent);
    if (st == PLR_ERR_NOT_FOUND)
      return plr__fail(err, st, "model_register.parents", "a parent is not registered");
    PLR_TRY(st);
    *depth = PLR_MAX(*depth, parent.depth + 1);
  }
  if (*depth > PLR__MAX_DEPTH)
    return plr__fail(err, PLR_ERR_LIMIT, "model_register.parents", "a lineage more than 8 deep");
  return PLR_OK;
}

plr_status plr__apply_model_register(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_model_register *m = &e->as.model;
  plr__key key = plr__key_of('M', m->model.bytes, NULL);
  plr__account data;
  plr__globals g;
  plr__totals totals = {0};
  uint32_t depth;
  if (plr__record_has(s, &key))
    return plr__fail(err, PLR_ERR_EXISTS, "model_register", "the model is registered");
  if (m->data_bps) {
    plr_status st = plr__get_account(s, m->data_account, &data);
    if (st == PLR_ERR_NOT_FOUND)
      return plr__fail(err, st, "model_register", "the data provider's account is not open");
    PLR_TRY(st);
  }
  PLR_TRY(lineage(s, m, &depth, err));
  PLR_TRY(plr__get_globals(s, &g));
  g.models++;
  totals.milestone_epoch = g.epoch;
  PLR_TRY(plr__put_model(s, e, g.epoch, depth));
  PLR_TRY(plr__put_totals(s, m->model.bytes, &totals));
  return plr__put_globals(s, &g);
}

plr_status plr__apply_data_register(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_data_register *x = &e->as.data;
  const char *where = "data_register";
  plr__model m;
  plr__totals t;
  plr__globals g;
  PLR_TRY(plr__need_model(s, &x->model, &m, &t, where, err));
  if (m.terms.data_bps == 0 || memcmp(m.terms.data_account, x->data_account, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, where, "not the model's data account");
  plr__key key = plr__key_of('B', x->model.bytes, x->root.bytes);
  if (plr__record_has(s, &key))
    return plr__fail(err, PLR_ERR_EXISTS, where, "the dataset is registered");
  if (t.datasets >= MAX_DATASETS || t.datasets_bps + x->bps > m.terms.data_bps)
    return plr__fail(err, PLR_ERR_LIMIT, where, "64 datasets, or %u bps of %u with this one",
                     t.datasets_bps + x->bps, m.terms.data_bps);
  PLR_TRY(plr__get_globals(s, &g));
  plr__dataset d = {.bps = x->bps, .base = t.minted, .registered = g.epoch, .tokens = x->tokens};
  memcpy(d.account, e->author, 32);
  t.datasets++;
  t.datasets_bps += x->bps;
  PLR_TRY(plr__record_put(s, &key, &plr__record_dataset, &d));
  return plr__put_totals(s, x->model.bytes, &t);
}

plr_status plr__apply_milestone(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_milestone *x = &e->as.milestone;
  plr__model m;
  plr__totals t;
  plr__globals g;
  PLR_TRY(plr__need_model(s, &x->model, &m, &t, "milestone", err));
  if (memcmp(m.designer, e->author, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "milestone", "the author is not the designer");
  if (t.milestones == UINT32_MAX || x->number != t.milestones + 1)
    return plr__fail(err, PLR_ERR_SEQUENCE, "milestone", "number %u after %u", x->number,
                     t.milestones);
  PLR_TRY(plr__get_globals(s, &g));
  t.milestones++;
  t.milestone_epoch = g.epoch;
  if (m.terms.milestone_epochs) {
    t.confirmed = 1;
    PLR_TRY(plr__mark_model(s, x->model.bytes));
  }
  return plr__put_totals(s, x->model.bytes, &t);
}
