/* KeyRotate: another key for an account, at once by the current key, after a delay by the recovery key. */
#include "ledger/ledger_int.h"

#include <string.h>

plr_status plr__check_key_rotate(const plr__state *s, const plr_entry *e, const plr__account *a,
                                 plr_error *err) {
  const plr_key_rotate *x = &e->as.rotate;
  plr_hash id;
  if (memcmp(e->author, s->sequencer, 32) == 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "key_rotate", "the sequencer's key is the log's");
  if (x->way == 0) return PLR_OK;
  plr_account_id(x->recovery_key, &id);
  if (plr__is_zero(a->recovery, 32) || memcmp(a->recovery, id.bytes, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "key_rotate", "not the account's recovery key");
  return PLR_OK;
}

/* The key before is kept: what it has signed still counts against its account. */
static void change_key(plr__account *a, const uint8_t key[32], const uint8_t recovery[32]) {
  memcpy(a->previous, a->key, 32);
  memcpy(a->key, key, 32);
  memcpy(a->recovery, recovery, 32);
  a->pending = 0;
}

plr_status plr__apply_key_rotate(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_key_rotate *x = &e->as.rotate;
  plr__account a;
  plr__globals g;
  plr__params p;
  PLR_TRY(plr__get_account(s, e->author, &a));
  PLR_TRY(plr__get_globals(s, &g));
  if (x->way == 0) {
    plr__key old = plr__key_epoch('K', a.pending, e->author);
    if (a.pending) PLR_TRY(plr__map_delete(&s->map, old.bytes, old.len));
    change_key(&a, x->key, x->recovery);
    return plr__put_account(s, e->author, &a);
  }
  if (a.pending) return plr__fail(err, PLR_ERR_EXISTS, "key_rotate", "a recovery is under way");
  PLR_TRY(plr__get_params(s, &p));
  plr__rotation next;
  memcpy(next.key, x->key, 32);
  memcpy(next.recovery, x->recovery, 32);
  a.pending = g.epoch + p.value[PLR_PARAM_RECOVERY_DELAY - 1];
  plr__key key = plr__key_epoch('K', a.pending, e->author);
  PLR_TRY(plr__record_put(s, &key, &plr__record_rotation, &next));
  return plr__put_account(s, e->author, &a);
}

plr_status plr__rotate_due(plr__state *s, uint64_t epoch) {
  plr__key key;
  plr__rotation next;
  plr_status st;
  while ((st = plr__take_due(s, 'K', epoch + 1, &key, &plr__record_rotation, &next)) == PLR_OK) {
    plr__account a;
    PLR_TRY(plr__get_account(s, key.bytes + 9, &a));
    change_key(&a, next.key, next.recovery);
    PLR_TRY(plr__put_account(s, key.bytes + 9, &a));
  }
  return st == PLR_ERR_NOT_FOUND ? PLR_OK : st;
}
