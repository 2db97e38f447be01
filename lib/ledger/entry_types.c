/* What the body of each type of entry is: its fields, what must hold of them, and who signs. */
#include "ledger/ledger_int.h"

#include <string.h>

static plr_status malformed(plr_error *err, const char *where, const char *what) {
  return plr__fail(err, PLR_ERR_MALFORMED, where, "%s", what);
}

/* ---- fields ----------------------------------------------------------------------------------- */

#define F(type, member, kind)                                                                      \
  { #member, offsetof(type, member), PLR__FIELD_##kind }

static const plr__field account_open[] = {{"algorithm", 0, PLR__FIELD_ALGORITHM},
                                          F(plr_account_key, key, 32)};
static const plr__field key_rotate[] = {F(plr_key_rotate, way, U8),
                                        F(plr_key_rotate, recovery_key, 32),
                                        {"algorithm", 0, PLR__FIELD_ALGORITHM},
                                        F(plr_key_rotate, key, 32),
                                        F(plr_key_rotate, recovery, 32)};
static const plr__field data_register[] = {
    F(plr_data_register, model, 32), F(plr_data_register, root, 32), F(plr_data_register, bps, U16),
    F(plr_data_register, tokens, U64), F(plr_data_register, data_account, 32)};
static const plr__field assign[] = {F(plr_assign, epoch, U64)};
static const plr__field commit[] = {F(plr_commit, phase, U8), F(plr_commit, epoch, U64),
                                    F(plr_commit, value, 32)};
static const plr__field receipt[] = {
    F(plr_receipt, model, 32),        F(plr_receipt, profile, 32),
    F(plr_receipt, epoch, U64),       F(plr_receipt, step, U64),
    F(plr_receipt, mb_first, U32),    F(plr_receipt, mb_count, U32),
    F(plr_receipt, block_first, U32), F(plr_receipt, block_end, U32),
    F(plr_receipt, lane, U32),        F(plr_receipt, tokens, U32),
    F(plr_receipt, units, U64),       F(plr_receipt, frames_root, 32),
    F(plr_receipt, weight_root, 32),  F(plr_receipt, weight_step, U64),
    F(plr_receipt, upstream, 32),     F(plr_receipt, downstream, 32)};
static const plr__field audit_result[] = {F(plr_audit_result, receipt.epoch, U64),
                                          F(plr_audit_result, receipt.model, 32),
                                          F(plr_audit_result, receipt.step, U64),
                                          F(plr_audit_result, receipt.lane, U32),
                                          F(plr_audit_result, receipt.block_first, U32),
                                          F(plr_audit_result, receipt.mb_first, U32),
                                          F(plr_audit_result, verdict, U8),
                                          F(plr_audit_result, trace_root, 32)};
static const plr__field dispute[] = {F(plr_dispute, kind, U8),
                                     F(plr_dispute, refusers, U8),
                                     F(plr_dispute, receipt.model, 32),
                                     F(plr_dispute, receipt.profile, 32),
                                     F(plr_dispute, receipt.epoch, U64),
                                     F(plr_dispute, receipt.step, U64),
                                     F(plr_dispute, receipt.mb_first, U32),
                                     F(plr_dispute, receipt.mb_count, U32),
                                     F(plr_dispute, receipt.block_first, U32),
                                     F(plr_dispute, receipt.block_end, U32),
                                     F(plr_dispute, receipt.lane, U32),
                                     F(plr_dispute, receipt.tokens, U32),
                                     F(plr_dispute, receipt.units, U64),
                                     F(plr_dispute, receipt.frames_root, 32),
                                     F(plr_dispute, receipt.weight_root, 32),
                                     F(plr_dispute, receipt.weight_step, U64),
                                     F(plr_dispute, receipt.upstream, 32),
                                     F(plr_dispute, receipt.downstream, 32)};
static const plr__field evidence[] = {F(plr_evidence, kind, U8), F(plr_evidence, first, BLOB),
                                      F(plr_evidence, second, BLOB)};
static const plr__field epoch_close[] = {
    F(plr_epoch_close, epoch, U64),     F(plr_epoch_close, receipts, U64),
    F(plr_epoch_close, units, U128),    F(plr_epoch_close, minted, U128),
    F(plr_epoch_close, deposited, U64), F(plr_epoch_close, paid, U64),
    F(plr_epoch_close, state_root, 32)};
static const plr__field milestone[] = {
    F(plr_milestone, model, 32),  F(plr_milestone, number, U32),
    F(plr_milestone, step, U64),  F(plr_milestone, weight_root, 32),
    F(plr_milestone, report, 32), F(plr_milestone, witness, 32)};
static const plr__field deposit[] = {F(plr_money, model, 32), F(plr_money, amount, U64)};
static const plr__field inference[] = {
    F(plr_inference_receipt, model, 32),        F(plr_inference_receipt, epoch, U64),
    F(plr_inference_receipt, session, 32),      F(plr_inference_receipt, sequence, U32),
    F(plr_inference_receipt, block_first, U32), F(plr_inference_receipt, block_end, U32),
    F(plr_inference_receipt, tokens, U32),      F(plr_inference_receipt, units, U64),
    F(plr_inference_receipt, price, U64),       F(plr_inference_receipt, frames_root, 32),
    F(plr_inference_receipt, client, 32)};
static const plr__field transfer[] = {F(plr_transfer, model, 32), F(plr_transfer, to, 32),
                                      F(plr_transfer, shares, U64)};
static const plr__field claim[] = {F(plr_money, model, 32), F(plr_money, amount, U64),
                                   F(plr_money, address, 20)};
static const plr__field slash[] = {F(plr_slash, model, 32), F(plr_slash, account, 32)};
static const plr__field settlement[] = {
    F(plr_settlement_root, reward, 20), F(plr_settlement_root, scale, U8),
    F(plr_settlement_root, leaves, U32), F(plr_settlement_root, total, U64),
    F(plr_settlement_root, root, 32)};
static const plr__field param_change[] = {F(plr_param_change, parameter, U16),
                                          F(plr_param_change, value, U64),
                                          F(plr_param_change, from_epoch, U64)};

const plr__fields plr__receipt_fields = {receipt, PLR_COUNT_OF(receipt)};

/* ---- what must hold --------------------------------------------------------------------------- */

static plr_status check_key_rotate(const plr_entry *e, plr_error *err) {
  const plr_key_rotate *x = &e->as.rotate;
  if (x->way > 1) return malformed(err, "entry.key_rotate", "way is neither 0 nor 1");
  if (plr__is_zero(x->recovery_key, 32) != (x->way == 0))
    return malformed(err, "entry.key_rotate", "a recovery key is given in way 1, and only there");
  return PLR_OK;
}

static plr_status check_data_register(const plr_entry *e, plr_error *err) {
  if (e->as.data.bps >= 1 && e->as.data.bps <= 10000) return PLR_OK;
  return malformed(err, "entry.data_register", "bps is not 1 to 10000");
}

static plr_status check_commit(const plr_entry *e, plr_error *err) {
  if (e->as.commit.phase <= 1) return PLR_OK;
  return malformed(err, "entry.commit", "the phase is neither 0 nor 1");
}

static plr_status check_work(const plr_receipt *x, const char *where, plr_error *err) {
  if (x->block_first >= x->block_end || x->block_end > PLR__MAX_BLOCKS)
    return malformed(err, where, "no blocks, or more than a model can have");
  if (x->mb_count == 0 || x->mb_count > UINT32_MAX - x->mb_first)
    return malformed(err, where, "no micro-batches, or their numbers overflow");
  if (x->tokens == 0 || x->units == 0) return malformed(err, where, "no tokens or no units");
  if (x->weight_step > x->step) return malformed(err, where, "weights of a later step");
  if (!memcmp(x->worker, x->upstream, 32) || !memcmp(x->worker, x->downstream, 32))
    return malformed(err, where, "the worker is its own neighbour");
  return PLR_OK;
}

static plr_status check_numberless(const plr_entry *e, uint64_t epoch, const char *where,
                                   plr_error *err) {
  if (e->nonce == 0 && e->valid_to_epoch == epoch) return PLR_OK;
  return malformed(err, where, "a receipt's nonce is 0 and its last epoch is its own");
}

static plr_status check_receipt(const plr_entry *e, plr_error *err) {
  PLR_TRY(check_numberless(e, e->as.receipt.epoch, "entry.receipt", err));
  return check_work(&e->as.receipt, "entry.receipt", err);
}

static plr_status check_audit_result(const plr_entry *e, plr_error *err) {
  if (e->as.audit.verdict == 1 || e->as.audit.verdict == 2) return PLR_OK;
  return malformed(err, "entry.audit_result", "the verdict is neither 1 nor 2");
}

static plr_status check_dispute(const plr_entry *e, plr_error *err) {
  const char *where = "entry.dispute";
  const plr_dispute *d = &e->as.dispute;
  if (d->kind > 2) return malformed(err, where, "an unknown kind");
  if (d->kind == 1 ? d->refusers < 1 || d->refusers > 3 : d->refusers != 0)
    return malformed(err, where, "refusers do not go with the kind");
  if (d->kind == 1) return check_work(&d->receipt, where, err);
  plr_receipt key = d->receipt, named;
  memset(&named, 0, sizeof named);
  named.model = key.model, named.epoch = key.epoch, named.step = key.step, named.lane = key.lane;
  named.block_first = key.block_first, named.mb_first = key.mb_first;
  memcpy(named.worker, key.worker, 32);
  if (memcmp(&named, &key, sizeof key) != 0)
    return malformed(err, where, "only the key of a receipt may be given");
  return PLR_OK;
}

static plr_status check_evidence(const plr_entry *e, plr_error *err) {
  if (e->as.evidence.kind <= 1) return PLR_OK;
  return malformed(err, "entry.evidence", "an unknown kind");
}

static plr_status check_milestone(const plr_entry *e, plr_error *err) {
  if (e->as.milestone.number == 0) return malformed(err, "entry.milestone", "number 0");
  if (memcmp(e->author, e->as.milestone.witness, 32) == 0)
    return malformed(err, "entry.milestone", "the author is its own witness");
  return PLR_OK;
}

static plr_status check_amount(uint64_t amount, uint64_t least, plr_error *err) {
  if (amount > PLR__MAX_AMOUNT) return malformed(err, "entry.amount", "2^63 or more");
  if (amount < least) return malformed(err, "entry.amount", "nothing");
  return PLR_OK;
}

static plr_status check_deposit(const plr_entry *e, plr_error *err) {
  return check_amount(e->as.money.amount, 1, err);
}

static plr_status check_claim(const plr_entry *e, plr_error *err) {
  return check_amount(e->as.money.amount, 0, err);
}

static plr_status check_inference(const plr_entry *e, plr_error *err) {
  const char *where = "entry.inference_receipt";
  const plr_inference_receipt *x = &e->as.inference;
  PLR_TRY(check_numberless(e, x->epoch, where, err));
  if (x->block_first >= x->block_end || x->block_end > PLR__MAX_BLOCKS)
    return malformed(err, where, "no blocks, or more than a model can have");
  if (x->tokens == 0 || x->units == 0) return malformed(err, where, "no tokens or no units");
  PLR_TRY(check_amount(x->price, 0, err));
  if (memcmp(e->author, x->client, 32) == 0) return malformed(err, where, "a client of its own");
  return PLR_OK;
}

static plr_status check_transfer(const plr_entry *e, plr_error *err) {
  if (memcmp(e->author, e->as.transfer.to, 32) == 0)
    return malformed(err, "entry.transfer", "to the author itself");
  return check_amount(e->as.transfer.shares, 1, err);
}

static plr_status check_settlement(const plr_entry *e, plr_error *err) {
  if (e->as.settlement.scale <= PLR__MAX_SCALE) return PLR_OK;
  return malformed(err, "entry.settlement_root", "a scale over 18");
}

static plr_status check_param(const plr_entry *e, plr_error *err) {
  const plr_param_change *x = &e->as.param;
  if (x->parameter < 1 || x->parameter > PLR_PARAMS)
    return malformed(err, "entry.param_change", "an unknown parameter");
  const plr__param_range *range = &plr__param_ranges[x->parameter - 1];
  if (x->value < range->low || x->value > range->high)
    return malformed(err, "entry.param_change", "a value out of the parameter's range");
  return PLR_OK;
}

/* ---- the table -------------------------------------------------------------------------------- */

#define T(array)                                                                                   \
  { array, PLR_COUNT_OF(array) }

/* By type; Genesis and ModelRegister have fields of varying number, which entry.c reads. */
const plr__entry_type plr__entry_types[PLR__ENTRY_TYPES] = {
    [PLR_ENTRY_GENESIS] = {"genesis", {NULL, 0}, 0, NULL},
    [PLR_ENTRY_ACCOUNT_OPEN] = {"account_open", T(account_open), 0, NULL},
    [PLR_ENTRY_KEY_ROTATE] = {"key_rotate", T(key_rotate), sizeof(plr_key_rotate),
                              check_key_rotate},
    [PLR_ENTRY_MODEL_REGISTER] = {"model_register", {NULL, 0}, 0, NULL},
    [PLR_ENTRY_DATA_REGISTER] = {"data_register", T(data_register), sizeof(plr_data_register),
                                 check_data_register},
    [PLR_ENTRY_ASSIGN] = {"assign", T(assign), sizeof(plr_assign), NULL},
    [PLR_ENTRY_COMMIT] = {"commit", T(commit), sizeof(plr_commit), check_commit},
    [PLR_ENTRY_RECEIPT] = {"receipt", T(receipt), sizeof(plr_receipt), check_receipt},
    [PLR_ENTRY_AUDIT_RESULT] = {"audit_result", T(audit_result), sizeof(plr_audit_result),
                                check_audit_result},
    [PLR_ENTRY_DISPUTE] = {"dispute", T(dispute), sizeof(plr_dispute), check_dispute},
    [PLR_ENTRY_EVIDENCE] = {"evidence", T(evidence), sizeof(plr_evidence), check_evidence},
    [PLR_ENTRY_EPOCH_CLOSE] = {"epoch_close", T(epoch_close), 0, NULL},
    [PLR_ENTRY_MILESTONE] = {"milestone", T(milestone), sizeof(plr_milestone), check_milestone},
    [PLR_ENTRY_REVENUE_DEPOSIT] = {"revenue_deposit", T(deposit), 0, check_deposit},
    [PLR_ENTRY_INFERENCE_RECEIPT] = {"inference_receipt", T(inference),
                                     sizeof(plr_inference_receipt), check_inference},
    [PLR_ENTRY_TRANSFER] = {"transfer", T(transfer), sizeof(plr_transfer), check_transfer},
    [PLR_ENTRY_CLAIM] = {"claim", T(claim), 0, check_claim},
    [PLR_ENTRY_SLASH] = {"slash", T(slash), sizeof(plr_slash), NULL},
    [PLR_ENTRY_SETTLEMENT_ROOT] = {"settlement_root", T(settlement), sizeof(plr_settlement_root),
                                   check_settlement},
    [PLR_ENTRY_PARAM_CHANGE] = {"param_change", T(param_change), sizeof(plr_param_change),
                                check_param},
};

/* ---- who signs -------------------------------------------------------------------------------- */

static void add_signer(plr__signer *out, uint32_t *n, uint32_t role, const uint8_t account[32]) {
  out[*n].role = role;
  memcpy(out[*n].account, account, 32);
  ++*n;
}

uint32_t plr__entry_signers(const plr_entry *e, plr__signer out[PLR__MAX_SIGNERS]) {
  uint32_t n = 0;
  plr_hash id;
  add_signer(out, &n, PLR_SIGN_AUTHOR, e->author);
  switch (e->type) {
  case PLR_ENTRY_RECEIPT:
    add_signer(out, &n, PLR_SIGN_UPSTREAM, e->as.receipt.upstream);
    add_signer(out, &n, PLR_SIGN_DOWNSTREAM, e->as.receipt.downstream);
    break;
  case PLR_ENTRY_DISPUTE:
    if (e->as.dispute.kind != 1) break;
    if (!(e->as.dispute.refusers & 1))
      add_signer(out, &n, PLR_SIGN_UPSTREAM, e->as.dispute.receipt.upstream);
    if (!(e->as.dispute.refusers & 2))
      add_signer(out, &n, PLR_SIGN_DOWNSTREAM, e->as.dispute.receipt.downstream);
    break;
  case PLR_ENTRY_KEY_ROTATE:
    plr_account_id(e->as.rotate.key, &id);
    add_signer(out, &n, PLR_SIGN_NEW_KEY, id.bytes);
    break;
  case PLR_ENTRY_DATA_REGISTER:
    add_signer(out, &n, PLR_SIGN_COUNTER, e->as.data.data_account);
    break;
  case PLR_ENTRY_MILESTONE:
    add_signer(out, &n, PLR_SIGN_COUNTER, e->as.milestone.witness);
    break;
  case PLR_ENTRY_INFERENCE_RECEIPT:
    add_signer(out, &n, PLR_SIGN_COUNTER, e->as.inference.client);
    break;
  default:
    break;
  }
  return n;
}
