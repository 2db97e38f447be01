/* EpochClose: the epoch's verified work becomes shares. */
#include "ledger/ledger_int.h"

#include <string.h>

/* Settles, then adds what the epoch brought one account. Shares exist from the next epoch on. */
static plr_status credit(plr__state *s, const uint8_t model[32], const plr_model_register *terms,
                         plr__totals *t, uint64_t epoch, const plr__split_part *part) {
  plr__holding h;
  plr_status st = plr__get_holding(s, model, part->account, &h);
  if (st == PLR_ERR_NOT_FOUND) {
    memset(&h, 0, offsetof(plr__holding, tranches));
    h.snap = t->acc;
    t->holders++;
  } else {
    PLR_TRY(st);
  }
  plr__revenue_settle(t, &h);
  plr__vest_add(&h, epoch + 1, part->share, terms->vest_epochs);
  h.units += part->units;
  h.receipts += part->receipts;
  return plr__put_holding(s, model, part->account, &h);
}

/* Reads the workers of a model in the open epoch into `parts`, and their records out of the state. */
static plr_status take_workers(plr__state *s, const uint8_t model[32], plr_buffer *parts) {
  plr__key prefix = plr__key_of('W', model, NULL);
  plr__cursor c;
  plr__map_seek(&s->map, prefix.bytes, prefix.len, &c);
  while (plr__cursor_next_in(&c, prefix.bytes, prefix.len)) {
    plr__split_part p = {0};
    plr__work w;
    if (c.key_len != prefix.len + 32) return PLR_ERR_CORRUPT;
    PLR_TRY(plr__work_decode(c.value, c.value_len, &w));
    memcpy(p.account, c.key + prefix.len, 32);
    p.units = w.units;
    p.receipts = w.receipts;
    plr__buffer_put(parts, &p, sizeof p);
    PLR_TRY(plr__map_delete(&s->map, c.key, c.key_len));
  }
  return parts->failed ? PLR_ERR_NO_MEMORY : PLR_OK;
}

/* Designer first, then data provider, each to what its bps of everything minted come to; when an epoch mints too
 * little for both, the data provider's part waits for the next. What is left is the workers'. */
static plr_status mint_parts(plr__state *s, const uint8_t model[32], const plr__model *m,
                             plr__totals *t, uint64_t epoch, uint64_t total, uint64_t *pool) {
  const plr_model_register *terms = &m->terms;
  plr__split_part p = {0};
  p.share = PLR_MIN(plr__bps(total, terms->designer_bps) - t->designer_minted, *pool);
  *pool -= p.share;
  t->designer_minted += p.share;
  memcpy(p.account, m->designer, 32);
  if (terms->designer_bps) PLR_TRY(credit(s, model, terms, t, epoch, &p));
  p.share = PLR_MIN(plr__bps(total, terms->data_bps) - t->data_minted, *pool);
  *pool -= p.share;
  t->data_minted += p.share;
  memcpy(p.account, terms->data_account, 32);
  return terms->data_bps ? credit(s, model, terms, t, epoch, &p) : PLR_OK;
}

static plr_status mint_workers(plr__state *s, const uint8_t model[32], const plr__model *m,
                               plr__totals *t, plr_epoch_close *close, const plr__work *work,
                               plr_buffer *buffer) {
  uint64_t total = plr__mint_total(m->terms.halving, m->terms.rate, m->terms.rate_divisor,
                                   t->work + work->units);
  uint64_t minted = total - t->supply, pool = minted;
  PLR_TRY(take_workers(s, model, buffer));
  PLR_TRY(mint_parts(s, model, m, t, close->epoch, total, &pool));
  plr__split_part *parts = (plr__split_part *)(void *)buffer->data;
  size_t n = buffer->len / sizeof *parts;
  plr__split_shares(parts, n, pool, work->units);
  for (size_t i = 0; i < n; i++) PLR_TRY(credit(s, model, &m->terms, t, close->epoch, &parts[i]));
  t->work += work->units;
  t->supply = total;
  t->receipts += work->receipts;
  close->units += work->units;
  close->receipts += work->receipts;
  close->minted += minted;
  return PLR_OK;
}

static plr_status close_model(plr__state *s, const uint8_t model[32], const plr__work *work,
                              plr_epoch_close *close, plr_error *err) {
  plr__model m;
  plr__totals t;
  plr_buffer parts;
  PLR_TRY(plr__get_model(s, model, &m));
  PLR_TRY(plr__get_totals(s, model, &t));
  /* The terms point into the state, which is about to change; only their costs do, and minting needs none. */
  m.terms.costs = NULL;
  plr__buffer_init(&parts, s->ctx);
  plr_status st = mint_workers(s, model, &m, &t, close, work, &parts);
  plr__buffer_release(&parts);
  PLR_TRY(st);
  plr__revenue_release(&t);
  PLR_TRY(plr__revenue_check(&t, err));
  return plr__put_totals(s, model, &t);
}

typedef struct open_model {
  uint8_t id[32];
  plr__work work;
} open_model;

static plr_status take_models(plr__state *s, plr_buffer *models) {
  plr__cursor c;
  plr__map_seek(&s->map, "O", 1, &c);
  while (plr__cursor_next_in(&c, "O", 1)) {
    open_model m;
    memset(&m, 0, sizeof m);
    if (c.key_len != 33) return PLR_ERR_CORRUPT;
    memcpy(m.id, c.key + 1, 32);
    PLR_TRY(plr__work_decode(c.value, c.value_len, &m.work));
    plr__buffer_put(models, &m, sizeof m);
    PLR_TRY(plr__map_delete(&s->map, c.key, c.key_len));
  }
  return models->failed ? PLR_ERR_NO_MEMORY : PLR_OK;
}

static plr_status close_models(plr__state *s, plr_epoch_close *close, plr_error *err) {
  plr_buffer models;
  plr__buffer_init(&models, s->ctx);
  plr_status st = take_models(s, &models);
  const open_model *m = (const open_model *)(const void *)models.data;
  for (size_t i = 0; st == PLR_OK && i < models.len / sizeof *m; i++)
    st = close_model(s, m[i].id, &m[i].work, close, err);
  plr__buffer_release(&models);
  return st;
}

/* Forgets the receipts of epochs that are outside the window when `epoch` is open. */
static plr_status drop_receipts(plr__state *s, uint64_t epoch) {
  plr__cursor c;
  plr__map_seek(&s->map, "R", 1, &c);
  while (plr__cursor_next_in(&c, "R", 1)) {
    if (c.key_len < 9) return PLR_ERR_CORRUPT;
    uint64_t of = plr__load_be64(c.key + 1);
    if (epoch - of < s->genesis.receipt_window) break;
    PLR_TRY(plr__map_delete(&s->map, c.key, c.key_len));
  }
  return PLR_OK;
}

static plr_status run_close(plr__state *s, plr_epoch_close *close, plr_error *err) {
  plr__globals g;
  memset(close, 0, sizeof *close);
  PLR_TRY(plr__get_globals(s, &g));
  close->epoch = g.epoch;
  close->minted = g.minted;
  PLR_TRY(close_models(s, close, err));
  g.epoch++;
  g.receipts += close->receipts;
  g.units += close->units;
  g.minted = close->minted;
  close->deposited = g.deposited;
  close->paid = g.paid;
  PLR_TRY(drop_receipts(s, g.epoch));
  PLR_TRY(plr__put_globals(s, &g));
  plr__map_root(&s->map, &close->state_root);
  return PLR_OK;
}

plr_status plr__apply_close(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_epoch_close *said = &e->as.close;
  plr_epoch_close ours;
  if (memcmp(e->author, s->sequencer, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "epoch_close", "the author is not the sequencer");
  PLR_TRY(run_close(s, &ours, err));
  const char *differs = said->epoch != ours.epoch           ? "epoch"
                        : said->receipts != ours.receipts   ? "number of receipts"
                        : said->units != ours.units         ? "units"
                        : said->minted != ours.minted       ? "shares minted"
                        : said->deposited != ours.deposited ? "money deposited"
                        : said->paid != ours.paid           ? "money paid"
                        : !plr__hash_equal(&said->state_root, &ours.state_root) ? "state root"
                                                                                : NULL;
  if (differs) {
    s->close_differs = 1;
    return plr__fail(err, PLR_ERR_MISMATCH, "epoch_close", "its %s is not what the log comes to",
                     differs);
  }
  s->state_root = ours.state_root;
  return PLR_OK;
}

plr_status plr__close_preview(plr__state *s, plr_epoch_close *out, plr_error *err) {
  size_t mark = plr__map_mark(&s->map);
  plr__account a;
  plr_status st = plr__get_account(s, s->sequencer, &a);
  if (st == PLR_OK) {
    a.nonce++; /* as the entry itself will */
    st = plr__put_account(s, s->sequencer, &a);
  }
  if (st == PLR_OK) st = run_close(s, out, err);
  plr__map_rollback(&s->map, mark);
  if (st == PLR_ERR_NO_MEMORY) return plr__no_memory(err, "ledger");
  return st;
}
