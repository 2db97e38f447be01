/* EpochClose: royalties reach parents, shares change hands, and the epoch's verified work becomes shares. */
#include "ledger/ledger_int.h"

#include <string.h>

/* A model while its epoch is closed. */
typedef struct closing {
  plr__state *s;
  const uint8_t *id;
  uint64_t epoch; /* that closes */
  plr__model m;
  plr__totals t;
  plr__work work;
  uint64_t pool; /* shares for the workers */
} closing;

/* Settles, then adds what the epoch brought one account. Shares exist from the next epoch on. */
static plr_status credit(closing *c, const plr__split_part *part) {
  plr__holding h;
  PLR_TRY(plr__open_holding(c->s, c->id, part->account, &c->t, &h));
  plr__revenue_settle(&c->t, &h);
  plr__vest_add(&h, c->epoch + 1, part->share, &c->m.terms);
  h.units += part->units;
  h.data += part->data;
  h.receipts += part->receipts;
  return plr__put_holding(c->s, c->id, part->account, &h);
}

static plr_status credit_shares(closing *c, const uint8_t account[32], uint64_t shares) {
  plr__split_part p = {.share = shares};
  memcpy(p.account, account, 32);
  return credit(c, &p);
}

/* Takes the next record under a prefix out of the state. *key is the last one taken, or the prefix: what is gone is
 * not walked over again, and what is put meanwhile may move the map. */
static plr_status take_next(plr__state *s, const plr__key *prefix, plr__key *key,
                            const plr__fields *t, void *out) {
  plr__cursor c;
  plr__map_seek(&s->map, key->bytes, key->len, &c);
  if (!plr__cursor_next_in(&c, prefix->bytes, prefix->len)) return PLR_ERR_NOT_FOUND;
  if (c.key_len > sizeof key->bytes) return PLR_ERR_CORRUPT;
  memcpy(key->bytes, c.key, key->len = c.key_len);
  PLR_TRY(plr__record_decode(t, c.value, c.value_len, out));
  return plr__map_delete(&s->map, key->bytes, key->len);
}

/* ---- shares that go, or go elsewhere ---------------------------------------------------------- */

static plr_status burn_one(closing *c, const uint8_t account[32], const plr__burn *b) {
  plr__holding h;
  plr__params p;
  plr_status st = plr__get_holding(c->s, c->id, account, &h);
  if (st == PLR_ERR_NOT_FOUND) return PLR_OK;
  PLR_TRY(st);
  PLR_TRY(plr__get_params(c->s, &p));
  plr__revenue_settle(&c->t, &h);
  plr__vest_sweep(&h, c->epoch, &c->m.terms);
  uint64_t taken = plr__vest_slash(&h, b->bps);
  uint64_t bounty = plr__bps(taken, (uint32_t)p.value[PLR_PARAM_BOUNTY_BPS - 1]);
  if (memcmp(b->reporter, account, 32) == 0) bounty = 0;
  c->t.burned += taken - bounty;
  PLR_TRY(plr__put_holding(c->s, c->id, account, &h));
  return bounty ? credit_shares(c, b->reporter, bounty) : PLR_OK;
}

static plr_status burn_all(closing *c) {
  plr__key prefix = plr__key_of('V', c->id, NULL), key = prefix;
  plr__burn b;
  plr_status st;
  while ((st = take_next(c->s, &prefix, &key, &plr__record_burn, &b)) == PLR_OK)
    PLR_TRY(burn_one(c, key.bytes + 33, &b));
  return st == PLR_ERR_NOT_FOUND ? PLR_OK : st;
}

static plr_status move_one(closing *c, const uint8_t from[32], const uint8_t to[32],
                           uint64_t shares) {
  plr__holding h;
  PLR_TRY(plr__get_holding(c->s, c->id, from, &h));
  plr__revenue_settle(&c->t, &h);
  plr__vest_sweep(&h, c->epoch, &c->m.terms);
  if (h.matured < shares || h.outgoing < shares) return PLR_ERR_CORRUPT;
  h.shares -= shares;
  h.matured -= shares;
  h.outgoing -= shares;
  PLR_TRY(plr__put_holding(c->s, c->id, from, &h));
  PLR_TRY(plr__open_holding(c->s, c->id, to, &c->t, &h));
  plr__revenue_settle(&c->t, &h);
  h.shares += shares;
  h.matured += shares;
  return plr__put_holding(c->s, c->id, to, &h);
}

static plr_status move_all(closing *c) {
  plr__key prefix = plr__key_of('Y', c->id, NULL), key = prefix;
  plr__amount shares;
  plr_status st;
  while ((st = take_next(c->s, &prefix, &key, &plr__record_amount, &shares)) == PLR_OK)
    PLR_TRY(move_one(c, key.bytes + 33, key.bytes + 65, shares.value));
  return st == PLR_ERR_NOT_FOUND ? PLR_OK : st;
}

/* ---- shares that come ------------------------------------------------------------------------- */

/* Designer first, then data, each to what its bps of everything minted come to; when an epoch mints too little for
 * both, the data part waits for the next. What is left is the workers'. */
static plr_status mint_designer(closing *c, uint64_t total) {
  const plr_model_register *terms = &c->m.terms;
  if (terms->designer_bps == 0) return PLR_OK;
  uint64_t part = plr__bps(total, terms->designer_bps) - c->t.designer_minted;
  part = PLR_MIN(part, c->pool);
  c->pool -= part;
  c->t.designer_minted += part;
  if (terms->milestone_epochs == 0) return credit_shares(c, c->m.designer, part);
  c->t.provisional += part;
  return PLR_OK;
}

/* Each dataset to what its bps of everything minted since it was registered come to; the rest is the data account's.
 * Putting a record ends a walk, so the next dataset is looked up from the one before. */
static plr_status mint_datasets(closing *c, uint64_t total, uint64_t *part) {
  plr__key prefix = plr__key_of('B', c->id, NULL), key = prefix;
  for (;;) {
    plr__cursor at;
    plr__dataset d;
    plr__map_seek(&c->s->map, key.bytes, key.len, &at);
    int more = plr__cursor_next_in(&at, prefix.bytes, prefix.len);
    if (more && at.key_len == key.len && memcmp(at.key, key.bytes, key.len) == 0)
      more = plr__cursor_next_in(&at, prefix.bytes, prefix.len);
    if (!more) return PLR_OK;
    if (at.key_len != 65) return PLR_ERR_CORRUPT;
    memcpy(key.bytes, at.key, key.len = at.key_len);
    PLR_TRY(plr__record_decode(&plr__record_dataset, at.value, at.value_len, &d));
    uint64_t own = PLR_MIN(plr__bps(total - d.base, d.bps) - d.minted, *part);
    *part -= own;
    d.minted += own;
    PLR_TRY(plr__record_put(c->s, &key, &plr__record_dataset, &d));
    PLR_TRY(credit_shares(c, d.account, own));
  }
}

static plr_status mint_data(closing *c, uint64_t total) {
  const plr_model_register *terms = &c->m.terms;
  if (terms->data_bps == 0) return PLR_OK;
  uint64_t part = PLR_MIN(plr__bps(total, terms->data_bps) - c->t.data_minted, c->pool);
  c->pool -= part;
  c->t.data_minted += part;
  PLR_TRY(mint_datasets(c, total, &part));
  return credit_shares(c, terms->data_account, part);
}

static plr_status mint(closing *c) {
  const plr_model_register *terms = &c->m.terms;
  if (c->work.units == 0) return PLR_OK;
  uint64_t total =
      plr__mint_total(terms->halving, terms->rate, terms->rate_divisor, c->t.work + c->work.units);
  c->pool = total - c->t.minted;
  PLR_TRY(mint_designer(c, total));
  PLR_TRY(mint_data(c, total));
  c->t.minted = total;
  c->t.work += c->work.units;
  return PLR_OK;
}

/* Reads the workers of a model in the open epoch into `parts`, and their records out of the state. */
static plr_status take_workers(closing *c, plr_buffer *parts) {
  plr__key prefix = plr__key_of('W', c->id, NULL);
  plr__cursor at;
  plr__map_seek(&c->s->map, prefix.bytes, prefix.len, &at);
  while (plr__cursor_next_in(&at, prefix.bytes, prefix.len)) {
    plr__split_part p = {0};
    plr__work w;
    if (at.key_len != prefix.len + 32) return PLR_ERR_CORRUPT;
    PLR_TRY(plr__work_decode(at.value, at.value_len, &w));
    memcpy(p.account, at.key + prefix.len, 32);
    p.units = w.units;
    p.data = w.data;
    p.receipts = w.receipts;
    plr__buffer_put(parts, &p, sizeof p);
    PLR_TRY(plr__map_delete(&c->s->map, at.key, at.key_len));
  }
  return parts->failed ? PLR_ERR_NO_MEMORY : PLR_OK;
}

static plr_status credit_workers(closing *c, plr_buffer *buffer) {
  PLR_TRY(take_workers(c, buffer));
  plr__split_part *parts = (plr__split_part *)(void *)buffer->data;
  size_t n = buffer->len / sizeof *parts;
  if (c->pool) plr__split_shares(parts, n, c->pool, c->work.units);
  for (size_t i = 0; i < n; i++) PLR_TRY(credit(c, &parts[i]));
  c->t.receipts += c->work.receipts;
  c->t.data += c->work.data;
  return PLR_OK;
}

/* The designer's shares wait for a milestone. */
static plr_status confirm(closing *c) {
  uint32_t patience = c->m.terms.milestone_epochs;
  plr__totals *t = &c->t;
  if (patience == 0) return PLR_OK;
  if (t->confirmed) {
    uint64_t shares = t->provisional;
    t->provisional = 0;
    t->confirmed = 0;
    return credit_shares(c, c->m.designer, shares);
  }
  if (t->provisional && c->epoch + 1 - t->milestone_epoch >= patience) {
    t->burned += t->provisional;
    t->provisional = 0;
    t->milestone_epoch = c->epoch + 1;
  }
  return t->provisional ? plr__mark_model(c->s, c->id) : PLR_OK;
}

/* ---- a model, all models ---------------------------------------------------------------------- */

static plr_status close_parts(closing *c) {
  plr_buffer parts;
  PLR_TRY(burn_all(c));
  PLR_TRY(move_all(c));
  PLR_TRY(mint(c));
  plr__buffer_init(&parts, c->s->ctx);
  plr_status st = credit_workers(c, &parts);
  plr__buffer_release(&parts);
  PLR_TRY(st);
  PLR_TRY(confirm(c));
  plr__revenue_release(&c->t);
  return PLR_OK;
}

typedef struct sums {
  plr__globals g;
  uint64_t receipts;
  plr__u128 units;
} sums;

static plr_status close_model(plr__state *s, const uint8_t id[32], const plr__work *work, sums *sum,
                              plr_error *err) {
  closing c = {.s = s, .id = id, .epoch = sum->g.epoch, .work = *work};
  PLR_TRY(plr__get_model(s, id, &c.m));
  PLR_TRY(plr__get_totals(s, id, &c.t));
  uint64_t minted = c.t.minted, burned = c.t.burned;
  PLR_TRY(close_parts(&c));
  PLR_TRY(plr__revenue_check(&c.m.terms, &c.t, err));
  sum->units += work->units;
  sum->receipts += work->receipts;
  sum->g.minted += c.t.minted - minted;
  sum->g.burned += c.t.burned - burned;
  return plr__put_totals(s, id, &c.t);
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

static plr_status close_models(plr__state *s, sums *sum, plr_error *err) {
  plr_buffer models;
  plr__buffer_init(&models, s->ctx);
  plr_status st = take_models(s, &models);
  const open_model *m = (const open_model *)(const void *)models.data;
  for (size_t i = 0; st == PLR_OK && i < models.len / sizeof *m; i++)
    st = close_model(s, m[i].id, &m[i].work, sum, err);
  plr__buffer_release(&models);
  return st;
}

/* ---- the epoch -------------------------------------------------------------------------------- */

static plr_status drop_before(plr__state *s, char kind, uint64_t epoch) {
  plr__cursor c;
  plr__map_seek(&s->map, &kind, 1, &c);
  while (plr__cursor_next_in(&c, &kind, 1)) {
    if (c.key_len < 9) return PLR_ERR_CORRUPT;
    if (plr__load_be64(c.key + 1) >= epoch) break;
    PLR_TRY(plr__map_delete(&s->map, c.key, c.key_len));
  }
  return PLR_OK;
}

/* What is too old to be accepted, and what is too old to be audited. */
static plr_status forget(plr__state *s, plr__globals *g) {
  static const char kinds[] = "CIJRS";
  plr__params p;
  PLR_TRY(plr__get_params(s, &p));
  uint64_t window = p.value[PLR_PARAM_RECEIPT_WINDOW - 1];
  uint64_t kept = p.value[PLR_PARAM_AUDIT_WINDOW - 1];
  if (g->epoch + 1 > window) g->oldest = PLR_MAX(g->oldest, g->epoch + 1 - window);
  for (const char *kind = kinds; g->oldest > kept && *kind; kind++)
    PLR_TRY(drop_before(s, *kind, g->oldest - kept));
  return PLR_OK;
}

static plr_status run_close(plr__state *s, plr_epoch_close *close, plr_error *err) {
  sums sum = {.receipts = 0};
  memset(close, 0, sizeof *close);
  PLR_TRY(plr__get_globals(s, &sum.g));
  close->epoch = sum.g.epoch;
  PLR_TRY(plr__close_royalties(s, err));
  PLR_TRY(close_models(s, &sum, err));
  plr__globals *g = &sum.g;
  g->epoch++;
  g->receipts += sum.receipts;
  g->units += sum.units;
  PLR_TRY(plr__rotate_due(s, g->epoch));
  PLR_TRY(plr__params_due(s, g->epoch));
  PLR_TRY(forget(s, g));
  PLR_TRY(plr__put_globals(s, g));
  close->receipts = sum.receipts;
  close->units = sum.units;
  close->minted = g->minted;
  close->deposited = g->deposited;
  close->paid = g->paid;
  plr__map_root(&s->map, &close->state_root);
  return PLR_OK;
}

plr_status plr__apply_close(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_epoch_close *said = &e->as.close;
  plr_epoch_close ours;
  PLR_TRY(plr__need_sequencer(s, e, "epoch_close", err));
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
  plr__key key = plr__key_of('Z', NULL, NULL);
  PLR_TRY(plr__map_put(&s->map, key.bytes, key.len, ours.state_root.bytes, 32));
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
