/* Evidence: two signed texts that cannot both be honest. */
#include "ledger/ledger_int.h"

#include <string.h>

static plr_status no_proof(plr_error *err, const char *why) {
  return plr__fail(err, PLR_ERR_PROOF, "evidence", "%s", why);
}

/* What is proven, in bytes that do not depend on how: the record of one thing must not be made twice. */
static void proven(uint8_t kind, const plr_buffer *what, plr_hash *id) {
  static const char tag[] = "pluralis.evidence/v1";
  plr_sha256_state sha;
  plr__sha256_init(&sha);
  plr__sha256_update(&sha, tag, sizeof tag - 1);
  plr__sha256_update(&sha, &kind, 1);
  plr__sha256_update(&sha, what->data, what->len);
  plr__sha256_final(&sha, id);
}

static plr_status check_fork(const plr__state *s, const plr_evidence *x, plr_buffer *what,
                             plr_error *err) {
  const plr_genesis *g = &s->genesis;
  uint64_t size[2];
  plr_hash root[2];
  if (plr_log_verify_checkpoint(x->first, (size_t)x->first_len, g->origin, g->sequencer_key,
                                &size[0], &root[0], NULL) != PLR_OK ||
      plr_log_verify_checkpoint(x->second, (size_t)x->second_len, g->origin, g->sequencer_key,
                                &size[1], &root[1], NULL) != PLR_OK ||
      size[0] != size[1] || plr__hash_equal(&root[0], &root[1]))
    return no_proof(err, "not two checkpoints of this log that contradict each other");
  int lower = memcmp(root[0].bytes, root[1].bytes, 32) < 0 ? 0 : 1;
  plr__buffer_be64(what, size[0]);
  plr__buffer_put(what, root[lower].bytes, 32);
  plr__buffer_put(what, root[!lower].bytes, 32);
  return PLR_OK;
}

/* The worker's signature, under its key or the one before. */
static int worker_signed(const plr__state *s, const plr_entry *e, const plr__account *a) {
  uint8_t message[PLR__SIGNING_BYTES];
  plr__entry_signing_bytes(s->genesis.origin, e->bytes, e->signed_len, message);
  const uint8_t *signature = e->signatures[0].signature;
  if (plr__verify_known(a->key, message, sizeof message, signature) == PLR_OK) return 1;
  return !plr__is_zero(a->previous, 32) &&
         plr__verify_known(a->previous, message, sizeof message, signature) == PLR_OK;
}

static int blocks_meet(const plr_receipt *a, const plr_receipt *b) {
  return a->block_first < b->block_end && b->block_first < a->block_end;
}

static int batches_meet(const plr_receipt *a, const plr_receipt *b) {
  return a->mb_first < (uint64_t)b->mb_first + b->mb_count &&
         b->mb_first < (uint64_t)a->mb_first + a->mb_count;
}

static int same_work(const plr_receipt *a, const plr_receipt *b) {
  return plr__hash_equal(&a->model, &b->model) && a->epoch == b->epoch && a->step == b->step &&
         a->lane == b->lane && a->weight_step == b->weight_step &&
         plr__hash_equal(&a->weight_root, &b->weight_root) && blocks_meet(a, b) &&
         batches_meet(a, b);
}

static int told_otherwise(const plr_receipt *a, const plr_receipt *b) {
  return !plr__hash_equal(&a->frames_root, &b->frames_root) &&
         (memcmp(a->upstream, b->upstream, 32) != 0 ||
          memcmp(a->downstream, b->downstream, 32) != 0);
}

static plr_status check_double(const plr__state *s, const plr_evidence *x, plr_receipt *out,
                               plr_buffer *what, plr_error *err) {
  plr_entry a, b;
  plr__account worker;
  if (plr__entry_decode(x->first, (size_t)x->first_len, &a, NULL) != PLR_OK ||
      plr__entry_decode(x->second, (size_t)x->second_len, &b, NULL) != PLR_OK ||
      a.type != PLR_ENTRY_RECEIPT || b.type != PLR_ENTRY_RECEIPT)
    return no_proof(err, "not two receipts");
  if (memcmp(a.author, b.author, 32) != 0 || !same_work(&a.as.receipt, &b.as.receipt) ||
      !told_otherwise(&a.as.receipt, &b.as.receipt))
    return no_proof(err, "the receipts do not contradict each other");
  plr__key model = plr__key_of('M', a.as.receipt.model.bytes, NULL);
  plr_status st = plr__get_account(s, a.author, &worker);
  if (st == PLR_ERR_NOT_FOUND || !plr__record_has(s, &model))
    return no_proof(err, "the worker's account is not open, or the model not registered");
  PLR_TRY(st);
  if (!worker_signed(s, &a, &worker) || !worker_signed(s, &b, &worker))
    return no_proof(err, "not signed by the worker");
  *out = a.as.receipt;
  plr__buffer_put(what, out->worker, 32);
  plr__buffer_put(what, out->model.bytes, 32);
  plr__buffer_be64(what, out->epoch);
  plr__buffer_be64(what, out->step);
  plr__buffer_be32(what, out->lane);
  return PLR_OK;
}

plr_status plr__apply_evidence(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_evidence *x = &e->as.evidence;
  plr_receipt receipt;
  plr_hash id;
  plr__globals g;
  plr_buffer *what = &s->scratch;
  plr__buffer_clear(what);
  if (x->kind == 0)
    PLR_TRY(check_fork(s, x, what, err));
  else
    PLR_TRY(check_double(s, x, &receipt, what, err));
  if (what->failed) return PLR_ERR_NO_MEMORY;
  proven((uint8_t)x->kind, what, &id);
  plr__key key = plr__key_of('X', id.bytes, NULL);
  if (plr__record_has(s, &key)) return plr__fail(err, PLR_ERR_EXISTS, "evidence", "known");
  PLR_TRY(plr__get_globals(s, &g));
  plr__exhibit exhibit = {x->kind, g.epoch};
  PLR_TRY(plr__record_put(s, &key, &plr__record_exhibit, &exhibit));
  if (x->kind == 0) return PLR_OK;
  return plr__fault(s, receipt.model.bytes, receipt.worker, e->author);
}
