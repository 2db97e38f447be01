/* Dispute: asks for an audit, of a receipt or of work for which a neighbour does not sign. */
#include "ledger/ledger_int.h"

#include <string.h>

#define MAX_ROUNDS 3u

static plr_status get_both(const plr__state *s, const plr_receipt *x, plr__receipt_record *r,
                           plr__contest *j, plr_error *err) {
  plr__key key = plr__receipt_key('R', x), contest = plr__receipt_key('J', x);
  plr_status st = plr__record_get(s, &key, &plr__record_receipt, r);
  if (st == PLR_ERR_NOT_FOUND) return plr__fail(err, st, "dispute", "no such receipt, or too old");
  PLR_TRY(st);
  return plr__record_find(s, &contest, &plr__record_contest, j, sizeof *j, NULL);
}

static plr_status contest(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_receipt *x = &e->as.dispute.receipt;
  plr__receipt_record r;
  plr__contest j;
  plr__holding h;
  PLR_TRY(get_both(s, x, &r, &j, err));
  if (r.standing == PLR__WAITS || !plr__is_zero(j.disputer, 32))
    return plr__fail(err, PLR_ERR_EXISTS, "dispute", "it waits for an audit");
  if (j.rounds >= MAX_ROUNDS)
    return plr__fail(err, PLR_ERR_LIMIT, "dispute", "the third verdict is the last");
  if (memcmp(e->author, r.worker, 32) == 0 && r.standing != PLR__FAILED)
    return plr__fail(err, PLR_ERR_MISMATCH, "dispute", "the author's own work");
  plr_status st = plr__get_holding(s, x->model.bytes, e->author, &h);
  if (st == PLR_ERR_NOT_FOUND || (st == PLR_OK && h.shares == 0))
    return plr__fail(err, PLR_ERR_NOT_FOUND, "dispute", "the author has no shares in the model");
  PLR_TRY(st);
  memcpy(j.disputer, e->author, 32);
  plr__key key = plr__receipt_key('J', x);
  return plr__record_put(s, &key, &plr__record_contest, &j);
}

static plr_status refusal(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_dispute *d = &e->as.dispute;
  const plr_receipt *x = &d->receipt;
  plr__key up = plr__key_of('A', NULL, x->upstream), down = plr__key_of('A', NULL, x->downstream);
  plr__contest j;
  PLR_TRY(plr__check_receipt(s, x, 1, err));
  if (!plr__record_has(s, &up) || !plr__record_has(s, &down))
    return plr__fail(err, PLR_ERR_NOT_FOUND, "dispute", "a neighbour's account is not open");
  memset(&j, 0, sizeof j);
  if (d->refusers & 1) memcpy(j.upstream, x->upstream, 32);
  if (d->refusers & 2) memcpy(j.downstream, x->downstream, 32);
  plr__key key = plr__receipt_key('J', x);
  PLR_TRY(plr__record_put(s, &key, &plr__record_contest, &j));
  return plr__put_receipt(s, x, PLR__NOT_COUNTED, PLR__WAITS);
}

static plr_status answer(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_receipt *x = &e->as.dispute.receipt;
  plr__receipt_record r;
  plr__contest j;
  plr__globals g;
  PLR_TRY(get_both(s, x, &r, &j, err));
  if (r.standing != PLR__WAITS)
    return plr__fail(err, PLR_ERR_NOT_FOUND, "dispute", "no signature is waited for");
  int up = memcmp(e->author, j.upstream, 32) == 0, down = memcmp(e->author, j.downstream, 32) == 0;
  if (!up && !down)
    return plr__fail(err, PLR_ERR_MISMATCH, "dispute", "the author is not who refused");
  if (up) memset(j.upstream, 0, 32);
  if (down) memset(j.downstream, 0, 32);
  plr__key key = plr__receipt_key('J', x), receipt = plr__receipt_key('R', x);
  if (!plr__is_zero(j.upstream, 32) || !plr__is_zero(j.downstream, 32))
    return plr__record_put(s, &key, &plr__record_contest, &j);
  PLR_TRY(plr__get_globals(s, &g));
  r.standing = PLR__ACCEPTED;
  PLR_TRY(plr__receipt_count(s, x->model.bytes, g.epoch, &r));
  PLR_TRY(plr__record_put(s, &receipt, &plr__record_receipt, &r));
  return plr__map_delete(&s->map, key.bytes, key.len);
}

plr_status plr__apply_dispute(plr__state *s, const plr_entry *e, plr_error *err) {
  uint32_t kind = e->as.dispute.kind;
  return kind == 0 ? contest(s, e, err) : kind == 1 ? refusal(s, e, err) : answer(s, e, err);
}
