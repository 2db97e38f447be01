/* The state machine: who may write an entry, and what follows. The state is a pure function of the log; an entry
 * that fails has no effect but its author's nonce, and that only once its signature has verified. */
#include "ledger/ledger_int.h"

#include <string.h>

/* ---- signatures ------------------------------------------------------------------------------- */

/* Key in the entry's body that signature i must verify under; NULL: the one of the signer's account. */
static const uint8_t *key_in_body(const plr_entry *e, uint32_t i) {
  const plr_key_rotate *x = &e->as.rotate;
  switch (e->type) {
  case PLR_ENTRY_GENESIS:
    return e->as.genesis.sequencer_key;
  case PLR_ENTRY_ACCOUNT_OPEN:
    return e->as.account.key;
  case PLR_ENTRY_KEY_ROTATE:
    if (e->signatures[i].role == PLR_SIGN_NEW_KEY) return x->key;
    return x->way == 1 ? x->recovery_key : NULL;
  default:
    return NULL;
  }
}

/* NOT_FOUND for an account that is not open. A key seen for the first time is checked itself. */
static plr_status signer_key(const plr__state *s, const plr_entry *e, uint32_t i, uint8_t key[32],
                             int *first_seen) {
  plr__account a;
  const uint8_t *given = key_in_body(e, i);
  *first_seen = given != NULL;
  if (!given) PLR_TRY(plr__get_account(s, e->signatures[i].account, &a));
  memcpy(key, given ? given : a.key, 32);
  return PLR_OK;
}

static void message_of(const plr__state *s, const plr_entry *e, uint8_t out[PLR__SIGNING_BYTES]) {
  const char *origin = e->type == PLR_ENTRY_GENESIS ? e->as.genesis.origin : s->genesis.origin;
  plr__entry_signing_bytes(origin, e->bytes, e->signed_len, out);
}

static plr_status verify_one(const plr_entry *e, uint32_t i, const uint8_t key[32], int first_seen,
                             const uint8_t message[PLR__SIGNING_BYTES]) {
  const uint8_t *signature = e->signatures[i].signature;
  return first_seen ? plr_verify(key, message, PLR__SIGNING_BYTES, signature)
                    : plr__verify_known(key, message, PLR__SIGNING_BYTES, signature);
}

void plr__verdict_prepare(const plr__state *s, const plr_entry *e, plr__verdict *out) {
  int first_seen = 1;
  memset(out, 0, sizeof *out);
  if (s->trust_signatures) return;
  if (!s->has_genesis && e->type != PLR_ENTRY_GENESIS) return;
  /* Cheap reasons to refuse come first, so that a flood of repeats costs no signature check. */
  if (e->type == PLR_ENTRY_RECEIPT && plr__check_receipt(s, &e->as.receipt, 0, NULL) != PLR_OK)
    return;
  if (e->type == PLR_ENTRY_INFERENCE_RECEIPT &&
      plr__check_inference(s, &e->as.inference, NULL) != PLR_OK)
    return;
  message_of(s, e, out->message);
  for (uint32_t i = 0; i < e->signature_count && i < PLR_COUNT_OF(out->keys); i++) {
    if (signer_key(s, e, i, out->keys[i], &first_seen) != PLR_OK) continue;
    out->checked |= 1u << i;
    if (!first_seen)
      out->open |= 1u << i;
    else if (verify_one(e, i, out->keys[i], first_seen, out->message) == PLR_OK)
      out->good |= 1u << i;
  }
}

/* Whether there is a key to believe in: as signer_key, without reading it. */
static plr_status signer_known(const plr__state *s, const plr_entry *e, uint32_t i) {
  plr__key account = plr__key_of('A', NULL, e->signatures[i].account);
  return key_in_body(e, i) || plr__record_has(s, &account) ? PLR_OK : PLR_ERR_NOT_FOUND;
}

static plr_status check_signature(const plr__state *s, const plr_entry *e, uint32_t i,
                                  const plr__verdict *v, plr_error *err) {
  static const char *const roles[] = {"the author", "the upstream neighbour",
                                      "the downstream neighbour", "the new key",
                                      "the counter-signer"};
  const char *role = roles[e->signatures[i].role];
  uint8_t key[32], message[PLR__SIGNING_BYTES];
  int first_seen = 1;
  plr_status st =
      s->trust_signatures ? signer_known(s, e, i) : signer_key(s, e, i, key, &first_seen);
  if (st == PLR_ERR_NOT_FOUND)
    return plr__fail(err, st, "entry signature", "the account of %s is not open", role);
  PLR_TRY(st);
  if (s->trust_signatures) return PLR_OK;
  if (v && v->checked >> i & 1 && memcmp(v->keys[i], key, 32) == 0) {
    st = v->good >> i & 1 ? PLR_OK : PLR_ERR_SIGNATURE;
  } else {
    message_of(s, e, message);
    st = verify_one(e, i, key, first_seen, message);
  }
  if (st == PLR_OK) return PLR_OK;
  return plr__fail(err, PLR_ERR_SIGNATURE, "entry signature", "the signature of %s does not verify",
                   role);
}

static plr_status check_signatures(const plr__state *s, const plr_entry *e, const plr__verdict *v,
                                   plr_error *err) {
  for (uint32_t i = 0; i < e->signature_count; i++) PLR_TRY(check_signature(s, e, i, v, err));
  return PLR_OK;
}

/* ---- the first entries ------------------------------------------------------------------------ */

static plr_status put_params(plr__state *s, const plr_genesis *g) {
  plr__key key = plr__key_of('P', NULL, NULL);
  plr__params p;
  for (uint32_t i = 0; i < PLR_PARAMS; i++) p.value[i] = plr__param_ranges[i].first;
  p.value[PLR_PARAM_RECEIPT_WINDOW - 1] = g->receipt_window;
  return plr__record_put(s, &key, &plr__record_params, &p);
}

static plr_status apply_genesis(plr__state *s, const plr_entry *e, const plr__verdict *v,
                                plr_error *err) {
  const plr_genesis *g = &e->as.genesis;
  plr_hash id;
  plr_account_id(g->sequencer_key, &id);
  if (s->has_genesis) return plr__fail(err, PLR_ERR_EXISTS, "genesis", "the log has one already");
  if (memcmp(e->author, id.bytes, 32) != 0 || e->nonce != 1)
    return plr__fail(err, PLR_ERR_MISMATCH, "genesis", "author or nonce is not that of its key");
  PLR_TRY(check_signatures(s, e, v, err));
  plr__key key = plr__key_of('G', NULL, NULL);
  plr__globals globals = {.accounts = 1};
  plr__account sequencer = {.nonce = 1};
  memcpy(sequencer.key, g->sequencer_key, 32);
  PLR_TRY(plr__map_put(&s->map, key.bytes, key.len, e->body, e->body_len));
  PLR_TRY(put_params(s, g));
  PLR_TRY(plr__put_globals(s, &globals));
  PLR_TRY(plr__put_account(s, id.bytes, &sequencer));
  return plr__state_refresh(s);
}

static plr_status check_expiry(const plr_entry *e, const plr__globals *g, plr_error *err) {
  if (e->valid_to_epoch >= g->epoch) return PLR_OK;
  return plr__fail(err, PLR_ERR_SEQUENCE, "entry header", "valid to epoch %llu, epoch %llu is open",
                   (unsigned long long)e->valid_to_epoch, (unsigned long long)g->epoch);
}

static plr_status apply_account_open(plr__state *s, const plr_entry *e, const plr__verdict *v,
                                     plr_error *err) {
  plr_hash id;
  plr__globals g;
  plr__account a = {.nonce = 1};
  plr_account_id(e->as.account.key, &id);
  if (memcmp(e->author, id.bytes, 32) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "account_open",
                     "the author is not the account of the key");
  plr__key key = plr__key_of('A', NULL, id.bytes);
  if (plr__record_has(s, &key))
    return plr__fail(err, PLR_ERR_EXISTS, "account_open", "the account is open");
  PLR_TRY(plr__get_globals(s, &g));
  if (e->nonce != 1)
    return plr__fail(err, PLR_ERR_SEQUENCE, "entry header", "the first nonce of an account is 1");
  PLR_TRY(check_expiry(e, &g, err));
  PLR_TRY(check_signatures(s, e, v, err));
  memcpy(a.key, e->as.account.key, 32);
  a.opened = g.epoch;
  g.accounts++;
  PLR_TRY(plr__put_account(s, id.bytes, &a));
  return plr__put_globals(s, &g);
}

/* ---- entries with a number -------------------------------------------------------------------- */

static const plr__rule rules[PLR__ENTRY_TYPES] = {
    [PLR_ENTRY_KEY_ROTATE] = plr__apply_key_rotate,
    [PLR_ENTRY_MODEL_REGISTER] = plr__apply_model_register,
    [PLR_ENTRY_DATA_REGISTER] = plr__apply_data_register,
    [PLR_ENTRY_ASSIGN] = plr__apply_assign,
    [PLR_ENTRY_COMMIT] = plr__apply_commit,
    [PLR_ENTRY_AUDIT_RESULT] = plr__apply_audit_result,
    [PLR_ENTRY_DISPUTE] = plr__apply_dispute,
    [PLR_ENTRY_EVIDENCE] = plr__apply_evidence,
    [PLR_ENTRY_EPOCH_CLOSE] = plr__apply_close,
    [PLR_ENTRY_MILESTONE] = plr__apply_milestone,
    [PLR_ENTRY_REVENUE_DEPOSIT] = plr__apply_deposit,
    [PLR_ENTRY_TRANSFER] = plr__apply_transfer,
    [PLR_ENTRY_CLAIM] = plr__apply_claim,
    [PLR_ENTRY_SLASH] = plr__apply_slash,
    [PLR_ENTRY_SETTLEMENT_ROOT] = plr__apply_settlement,
    [PLR_ENTRY_PARAM_CHANGE] = plr__apply_param_change,
};

/* Once an entry is proven to be its author's next, the nonce is used up whatever the body does. */
static plr_status apply_numbered(plr__state *s, const plr_entry *e, const plr__verdict *v,
                                 plr_error *err) {
  plr__account a;
  plr__globals g;
  plr_status st = plr__get_account(s, e->author, &a);
  if (st == PLR_ERR_NOT_FOUND)
    return plr__fail(err, st, "entry header", "the author's account is not open");
  PLR_TRY(st);
  PLR_TRY(plr__get_globals(s, &g));
  if (e->nonce == 0 || e->nonce - 1 != a.nonce)
    return plr__fail(err, PLR_ERR_SEQUENCE, "entry header", "nonce %llu, the author's next is %llu",
                     (unsigned long long)e->nonce, (unsigned long long)a.nonce + 1);
  PLR_TRY(check_expiry(e, &g, err));
  if (e->type == PLR_ENTRY_KEY_ROTATE) PLR_TRY(plr__check_key_rotate(s, e, &a, err));
  PLR_TRY(check_signatures(s, e, v, err));
  a.nonce++;
  PLR_TRY(plr__put_account(s, e->author, &a));
  size_t mark = plr__map_mark(&s->map);
  st = rules[e->type](s, e, err);
  if (plr__is_refusal(st)) plr__map_rollback(&s->map, mark);
  return st;
}

/* ---- all -------------------------------------------------------------------------------------- */

static plr_status apply_any(plr__state *s, const plr_entry *e, const plr__verdict *v,
                            plr_error *err) {
  if (e->type == PLR_ENTRY_GENESIS) return apply_genesis(s, e, v, err);
  if (!s->has_genesis)
    return plr__fail(err, PLR_ERR_SEQUENCE, "entry header", "the log does not begin with Genesis");
  switch (e->type) {
  case PLR_ENTRY_ACCOUNT_OPEN:
    return apply_account_open(s, e, v, err);
  case PLR_ENTRY_RECEIPT:
    PLR_TRY(plr__check_receipt(s, &e->as.receipt, 0, err));
    PLR_TRY(check_signatures(s, e, v, err));
    return plr__apply_receipt(s, e, err);
  case PLR_ENTRY_INFERENCE_RECEIPT:
    PLR_TRY(plr__check_inference(s, &e->as.inference, err));
    PLR_TRY(check_signatures(s, e, v, err));
    return plr__apply_inference(s, e, err);
  default:
    return apply_numbered(s, e, v, err);
  }
}

plr_status plr__state_apply(plr__state *s, const plr_entry *e, const plr__verdict *verdict,
                            plr_error *err) {
  size_t mark = plr__map_mark(&s->map);
  plr_status st = apply_any(s, e, verdict, err);
  if (st == PLR_OK || plr__is_refusal(st)) return st;
  plr__map_rollback(&s->map, mark);
  if (st == PLR_ERR_NO_MEMORY) return plr__no_memory(err, "ledger");
  if (st == PLR_ERR_CORRUPT)
    return plr__fail(err, st, "ledger state", "a record is not as it was written");
  return st;
}
