/* Receipt: work under a model's terms, once. */
#include "ledger/ledger_int.h"

#include <string.h>

uint64_t plr__units_of(const plr_model_register *m, uint32_t first, uint32_t end, uint32_t tokens) {
  plr__u128 sum = 0;
  for (uint32_t i = first; i < end; i++) sum += plr__load_be64(m->costs + 8 * (size_t)i);
  if (sum > UINT64_MAX) return 0;
  sum *= tokens;
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
  uint64_t units = plr__units_of(m, x->block_first, x->block_end, x->tokens);
  if (x->units != units)
    return plr__fail(err, PLR_ERR_MISMATCH, "receipt.units",
                     "%llu units; the model's cost says %llu", (unsigned long long)x->units,
                     (unsigned long long)units);
  return PLR_OK;
}

/* ---- uniqueness ------------------------------------------------------------------------------- */

#define GROUP_LEN 53u /* kind, epoch, model, step, lane */

plr__key plr__receipt_key(char kind, const plr_receipt *x) {
  plr__key k = plr__key_epoch(kind, x->epoch, x->model.bytes);
  uint8_t step[8];
  plr__store_be64(step, x->step);
  plr__key_add(&k, step, 8);
  plr__key_add32(&k, x->lane);
  plr__key_add32(&k, x->block_first);
  plr__key_add32(&k, x->mb_first);
  return k;
}

static plr_status overlaps(const plr__cursor *c, const plr_receipt *x, int *yes) {
  plr__receipt_record r;
  PLR_TRY(plr__record_decode(&plr__record_receipt, c->value, c->value_len, &r));
  uint64_t first = plr__load_be32(c->key + GROUP_LEN), mb = plr__load_be32(c->key + GROUP_LEN + 4);
  int same_blocks = first == x->block_first && r.block_end == x->block_end;
  if (same_blocks)
    *yes = mb < (uint64_t)x->mb_first + x->mb_count && x->mb_first < mb + r.mb_count;
  else
    *yes = first < x->block_end && x->block_first < r.block_end;
  return PLR_OK;
}

/* All of a group that it overlaps. With `drop` they are taken out, and the disputes about them; else *known tells
 * whether any of them has been signed or judged. */
static plr_status walk_group(const plr__state *s, plr__map *drop, const plr_receipt *x,
                             int *known) {
  plr__key key = plr__receipt_key('R', x);
  plr__cursor c;
  plr__map_seek(&s->map, key.bytes, GROUP_LEN, &c);
  while (plr__cursor_next_in(&c, key.bytes, GROUP_LEN)) {
    plr__receipt_record r;
    int yes;
    PLR_TRY(overlaps(&c, x, &yes));
    if (!yes) continue;
    if (drop) {
      plr__key contest = {.len = c.key_len};
      if (c.key_len != key.len) return PLR_ERR_CORRUPT;
      memcpy(contest.bytes, c.key, c.key_len);
      contest.bytes[0] = 'J';
      PLR_TRY(plr__map_delete(drop, c.key, c.key_len));
      PLR_TRY(plr__map_delete(drop, contest.bytes, contest.len));
    } else {
      PLR_TRY(plr__record_decode(&plr__record_receipt, c.value, c.value_len, &r));
      *known |= r.standing != PLR__WAITS;
    }
  }
  return PLR_OK;
}

/* Receipts of one group never overlap each other, so if a new one overlaps any, it overlaps one of those next to it in
 * key order. */
static plr_status any_overlap(const plr__state *s, const plr_receipt *x, int *yes) {
  plr__key key = plr__receipt_key('R', x);
  plr__cursor at, before;
  *yes = 0;
  plr__map_seek(&s->map, key.bytes, key.len, &at);
  int has_before = plr__cursor_before(&at, &before);
  if (plr__cursor_next_in(&at, key.bytes, GROUP_LEN)) PLR_TRY(overlaps(&at, x, yes));
  if (!*yes && has_before && before.key_len == key.len &&
      memcmp(before.key, key.bytes, GROUP_LEN) == 0)
    PLR_TRY(overlaps(&before, x, yes));
  return PLR_OK;
}

/* Work for which a signature was refused keeps its place against other such work only: anyone can say so. */
static plr_status check_unique(const plr__state *s, const plr_receipt *x, int refused,
                               plr_error *err) {
  int yes;
  PLR_TRY(any_overlap(s, x, &yes));
  if (yes && !refused) {
    yes = 0;
    PLR_TRY(walk_group(s, NULL, x, &yes));
  }
  if (yes)
    return plr__fail(err, PLR_ERR_EXISTS, "receipt", "this work, or a part of it, has a receipt");
  return PLR_OK;
}

plr_status plr__check_receipt(const plr__state *s, const plr_receipt *x, int refused,
                              plr_error *err) {
  plr__globals g;
  plr__model m;
  PLR_TRY(plr__get_globals(s, &g));
  if (x->epoch > g.epoch || x->epoch < g.oldest)
    return plr__fail(err, PLR_ERR_SEQUENCE, "receipt.epoch", "of epoch %llu, epoch %llu is open",
                     (unsigned long long)x->epoch, (unsigned long long)g.epoch);
  PLR_TRY(plr__need_model(s, &x->model, &m, NULL, "receipt.model", err));
  PLR_TRY(check_terms(&m.terms, x, err));
  return check_unique(s, x, refused, err);
}

/* ---- counting --------------------------------------------------------------------------------- */

static plr_status add_work(plr__state *s, plr__key key, uint64_t units, uint64_t data,
                           uint64_t receipts) {
  plr__work w;
  PLR_TRY(plr__get_work(s, &key, &w));
  w.units += units;
  w.data += data;
  w.receipts += receipts;
  return plr__put_work(s, &key, &w);
}

plr_status plr__receipt_count(plr__state *s, const uint8_t model[32], uint64_t epoch,
                              plr__receipt_record *r) {
  r->counted = epoch;
  PLR_TRY(add_work(s, plr__key_of('O', model, NULL), r->units, 0, 1));
  return add_work(s, plr__key_of('W', model, r->worker), r->units, 0, 1);
}

static plr_status take_off(plr__state *s, plr__key key, uint64_t units) {
  plr__work w;
  PLR_TRY(plr__get_work(s, &key, &w));
  if (w.units < units || w.receipts < 1) return PLR_ERR_CORRUPT;
  w.units -= units;
  w.receipts--;
  return plr__put_work(s, &key, &w);
}

plr_status plr__receipt_uncount(plr__state *s, const uint8_t model[32], uint64_t epoch,
                                plr__receipt_record *r) {
  if (r->counted != epoch) return PLR_OK;
  r->counted = PLR__NOT_COUNTED;
  PLR_TRY(take_off(s, plr__key_of('O', model, NULL), r->units));
  return take_off(s, plr__key_of('W', model, r->worker), r->units);
}

plr_status plr__put_receipt(plr__state *s, const plr_receipt *x, uint64_t counted,
                            plr__standing standing) {
  plr__key key = plr__receipt_key('R', x);
  plr__receipt_record r = {.units = x->units, .counted = counted, .tokens = x->tokens};
  memcpy(r.worker, x->worker, 32);
  r.block_end = x->block_end;
  r.mb_count = x->mb_count;
  r.standing = standing;
  return plr__record_put(s, &key, &plr__record_receipt, &r);
}

plr_status plr__apply_receipt(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_receipt *x = &e->as.receipt;
  plr__globals g;
  int replaces;
  (void)err;
  PLR_TRY(plr__get_globals(s, &g));
  PLR_TRY(any_overlap(s, x, &replaces));
  if (replaces) PLR_TRY(walk_group(s, &s->map, x, NULL));
  PLR_TRY(plr__put_receipt(s, x, g.epoch, PLR__ACCEPTED));
  uint64_t data = x->block_first == 0 ? x->tokens : 0; /* what the feeder brought */
  PLR_TRY(add_work(s, plr__key_of('O', x->model.bytes, NULL), x->units, data, 1));
  PLR_TRY(add_work(s, plr__key_of('W', x->model.bytes, x->worker), x->units, 0, 1));
  return data ? add_work(s, plr__key_of('W', x->model.bytes, x->upstream), 0, data, 0) : PLR_OK;
}
