/* Receipts: a worker proposes one for every micro-batch, and both its neighbours sign it if it agrees with what they
 * themselves sent and received. Upstream answers for the tokens and activation that went in and the gradient that
 * came out; downstream for the activation that went out and the gradient that came in. */
#include "stage_int.h"

#include <stdio.h>
#include <string.h>

typedef unsigned long long ull;

void plr__frames_root(const plr_hash frames[PLR__FRAMES], plr_hash *out) {
  plr_hash leaves[PLR__FRAMES];
  for (uint32_t i = 0; i < PLR__FRAMES; i++)
    plr__merkle_leaf(frames[i].bytes, sizeof frames[i].bytes, &leaves[i]);
  plr__merkle_root(leaves, PLR__FRAMES, out);
}

/* ---- records ---------------------------------------------------------------------------------- */

static plr__record *slot_of(plr_stage *s, uint64_t step, uint32_t mb) {
  uint64_t at = (step % s->steps_kept) * s->info.micro_batches + mb;
  return &s->records[at];
}

plr__record *plr__record_place(plr_stage *s, uint64_t step, uint32_t mb) {
  return slot_of(s, step, mb);
}

plr__record *plr__record_of(plr_stage *s, uint64_t step, uint32_t mb) {
  if (mb >= s->info.micro_batches) return NULL;
  plr__record *r = slot_of(s, step, mb);
  return r->state != PLR__RECORD_EMPTY && r->step == step ? r : NULL;
}

/* The feeder waits for it before it opens steps that need the record again. */
static void report_missing(plr_stage *s, plr__record *r, const char *why) {
  plr__control c = {.type = PLR__CONTROL_MISSING, .stage = s->index, .step = r->step};
  c.micro_batch = r->micro_batch;
  c.data = (const uint8_t *)why;
  c.data_len = (uint32_t)PLR_MIN(strlen(why), PLR__CONTROL_MAX_TEXT);
  r->own.present = 0;
  plr__stage_relay(s, &c, PLR__PRIORITY_CONTROL);
}

plr__record *plr__record_begin(plr_stage *s, uint64_t step, uint32_t mb) {
  plr__record *r = slot_of(s, step, mb);
  if (r->own.present) report_missing(s, r, "a neighbour never signed");
  plr__frame tokens = r->tokens, out = r->out; /* their memory stays */
  memset(r, 0, sizeof *r);
  r->tokens = tokens, r->out = out;
  r->tokens.len = r->out.len = 0;
  r->step = step, r->micro_batch = mb;
  r->state = PLR__RECORD_QUEUED;
  return r;
}

/* ---- proposing -------------------------------------------------------------------------------- */

static void fill_receipt(const plr_stage *s, const plr__record *r, plr_receipt *x) {
  memset(x, 0, sizeof *x);
  x->model = s->model_hash, x->profile = s->profile;
  x->epoch = r->open.epoch, x->step = r->step;
  x->mb_first = r->micro_batch, x->mb_count = 1;
  x->block_first = s->first_block, x->block_end = s->end_block;
  x->lane = s->lane, x->tokens = s->rows;
  x->units = s->units;
  x->weight_root = r->open.root, x->weight_step = r->open.root_step;
  plr__frames_root(r->frames, &x->frames_root);
  memcpy(x->worker, s->account.bytes, 32);
  memcpy(x->upstream, r->account[PLR__UP].bytes, 32);
  memcpy(x->downstream, r->account[PLR__DOWN].bytes, 32);
}

/* Signature of this stage over a receipt's header ‖ body; the bytes signed do not depend on the role. */
static void sign(plr_stage *s, const plr__proposal *p, uint8_t out[64]) {
  plr_entry_signature signature;
  plr__entry_sign(s->identity, PLR_SIGN_AUTHOR, s->origin, p->bytes, p->len, &signature);
  memcpy(out, signature.signature, 64);
}

static int verified(const plr_stage *s, const plr__proposal *p, const uint8_t key[32],
                    const uint8_t signature[64]) {
  uint8_t message[PLR__SIGNING_BYTES];
  plr__entry_signing_bytes(s->origin, p->bytes, p->len, message);
  return plr_verify(key, message, sizeof message, signature) == PLR_OK;
}

void plr__receipt_propose(plr_stage *s, plr__record *r) {
  plr_receipt x;
  plr__proposal *p = &r->own;
  fill_receipt(s, r, &x);
  plr__buffer_clear(&s->entry);
  plr_status st = plr__receipt_encode(&s->entry, &x);
  if (st == PLR_OK && s->entry.len > sizeof p->bytes) st = PLR_ERR_INTERNAL;
  if (st != PLR_OK) {
    plr__stage_fail(s, st, "the receipt of step %llu, micro-batch %u could not be made: %s",
                    (ull)r->step, r->micro_batch, plr_status_message(st));
    return;
  }
  memcpy(p->bytes, s->entry.data, s->entry.len);
  p->len = (uint32_t)s->entry.len;
  p->present = 1;
  memcpy(p->frames, r->frames, sizeof p->frames);
  sign(s, p, p->signature);

  plr__control c = {.type = PLR__CONTROL_PROPOSAL, .stage = s->index, .step = r->step};
  c.micro_batch = r->micro_batch;
  memcpy(c.frames, p->frames, sizeof c.frames);
  memcpy(c.signature, p->signature, sizeof c.signature);
  c.data = p->bytes, c.data_len = p->len;
  for (uint32_t side = 0; side < PLR__SIDES; side++) {
    plr__peer *to = plr__peer_of(s, r->peer[side]);
    if (p->present && !to) report_missing(s, r, "a neighbour has gone");
    if (p->present) plr__stage_send_control(s, to, &c, PLR__PRIORITY_CONTROL, NULL);
  }
}

/* ---- checking a neighbour's ------------------------------------------------------------------- */

/* Number in the pipeline of the worker on that side; the feeder is past both ends. */
static uint32_t peer_index(const plr_stage *s, uint32_t side) {
  if (s->role == PLR_STAGE_FEEDER) return side == PLR__UP ? s->count - 1 : 0;
  return side == PLR__UP ? s->index - 1 : s->index + 1;
}

static const char *wrong_body(const plr_stage *s, const plr__peer *p, const plr__record *r,
                              const plr_receipt *x) {
  uint32_t side = p->side;
  uint32_t feeder = s->role == PLR_STAGE_FEEDER, at_end = side == PLR__UP;
  uint32_t border =
      feeder ? (at_end ? s->info.blocks : 0) : (at_end ? s->first_block : s->end_block);
  const uint8_t *me = side == PLR__UP ? x->downstream : x->upstream;
  uint64_t units = 0;
  if (!plr__hash_equal(&x->model, &s->model_hash)) return "another model";
  if (!plr__hash_equal(&x->profile, &s->profile)) return "another profile";
  if (memcmp(x->worker, p->account.bytes, 32) != 0) return "not the worker's own";
  if (memcmp(me, s->account.bytes, 32) != 0) return "another neighbour is named";
  if (x->step != r->step || x->mb_first != r->micro_batch || x->mb_count != 1)
    return "another micro-batch";
  if ((at_end ? x->block_end : x->block_first) != border || x->block_end > s->info.blocks)
    return "other blocks";
  if (x->epoch != r->open.epoch) return "another epoch";
  if (x->lane != (s->async ? p->lane : s->lane)) return "another lane";
  if (x->weight_step != r->open.root_step || !plr__hash_equal(&x->weight_root, &r->open.root))
    return "another weight root";
  for (uint32_t b = x->block_first; b < x->block_end; b++)
    units += plr_model_block_cost(s->model, b);
  if (x->tokens != s->rows || x->units != units * s->rows)
    return "units that the model does not give";
  return NULL;
}

static int same(const plr__proposal *p, uint32_t theirs, const plr__record *r, uint32_t ours) {
  return plr__hash_equal(&p->frames[theirs], &r->frames[ours]);
}

/* The frames that both sides of the border know. */
static const char *wrong_frames(const plr_stage *s, uint32_t side, const plr__record *r,
                                const plr__proposal *p, const plr_receipt *x) {
  static const plr_hash none;
  uint32_t feeder = s->role == PLR_STAGE_FEEDER;
  plr_hash root;
  plr__frames_root(p->frames, &root);
  if (!plr__hash_equal(&root, &x->frames_root)) return "a frames root that its hashes do not give";
  if (!same(p, PLR__FRAME_TOKENS, r, PLR__FRAME_TOKENS)) return "another token frame";
  if (side == PLR__DOWN) { /* the worker is downstream of us: what it got from us and gave us */
    if (feeder ? !plr__hash_equal(&p->frames[PLR__FRAME_IN], &none)
               : !same(p, PLR__FRAME_IN, r, PLR__FRAME_OUT))
      return "another activation in";
    if (feeder ? !plr__hash_equal(&p->frames[PLR__FRAME_GRAD], &none)
               : !same(p, PLR__FRAME_GRAD, r, PLR__FRAME_GRADIN))
      return "another gradient out";
    return NULL;
  }
  if (!same(p, PLR__FRAME_OUT, r, feeder ? PLR__FRAME_OUT : PLR__FRAME_IN))
    return "another activation out";
  if (feeder ? !plr__hash_equal(&p->frames[PLR__FRAME_GRADIN], &none)
             : !same(p, PLR__FRAME_GRADIN, r, PLR__FRAME_GRAD))
    return "another gradient in";
  return NULL;
}

static const char *wrong(const plr_stage *s, const plr__peer *by, const plr__record *r,
                         const plr__proposal *p) {
  plr_receipt x;
  if (plr__receipt_decode(p->bytes, p->len, &x, NULL) != PLR_OK) return "bytes that are no receipt";
  const char *why = wrong_body(s, by, r, &x);
  if (!why) why = wrong_frames(s, by->side, r, p, &x);
  if (!why && !verified(s, p, by->key, p->signature)) why = "no valid signature of the worker";
  return why;
}

static void report_refusal(plr_stage *s, uint32_t stage, uint64_t step, uint32_t mb, const char *by,
                           const char *why) {
  char text[128 + PLR__CONTROL_MAX_TEXT];
  plr_stage_event e = {.type = PLR_STAGE_REFUSED, .status = PLR_ERR_MISMATCH, .step = step};
  e.index = mb;
  snprintf(text, sizeof text, "receipt of stage %u, step %llu, micro-batch %u refused by %s: %s",
           (unsigned)stage, (ull)step, (unsigned)mb, by, why);
  plr__log(s->ctx, PLR_LOG_WARN, "stage", "%s", text);
  plr__event(s, &e, text);
}

static void refuse(plr_stage *s, plr__peer *by, uint64_t step, uint32_t mb, const char *why) {
  plr__control c = {.type = PLR__CONTROL_REFUSAL, .stage = peer_index(s, by->side), .step = step};
  c.micro_batch = mb;
  c.data = (const uint8_t *)why, c.data_len = (uint32_t)strlen(why);
  s->stats.receipts_refused++;
  report_refusal(s, c.stage, step, mb, "us", why);
  plr__stage_send_control(s, by, &c, PLR__PRIORITY_CONTROL, NULL);
}

static void answer(plr_stage *s, plr__peer *by, const plr__record *r, const plr__proposal *p) {
  const char *why = wrong(s, by, r, p);
  if (why) {
    refuse(s, by, r->step, r->micro_batch, why);
    return;
  }
  plr__control c = {.type = PLR__CONTROL_SIGNATURE, .step = r->step};
  c.stage = peer_index(s, by->side);
  c.micro_batch = r->micro_batch;
  sign(s, p, c.signature);
  plr__stage_send_control(s, by, &c, PLR__PRIORITY_CONTROL, NULL);
}

void plr__record_done(plr_stage *s, plr__record *r) {
  r->state = PLR__RECORD_DONE;
  for (uint32_t side = 0; side < PLR__SIDES; side++) {
    if (!r->pending[side].present) continue;
    r->pending[side].present = 0;
    plr__peer *by = plr__peer_of(s, r->peer[side]);
    if (by) answer(s, by, r, &r->pending[side]);
  }
}

void plr__receipt_proposal(plr_stage *s, plr__peer *by, const plr__control *c) {
  plr__record *r = plr__record_of(s, c->step, c->micro_batch);
  plr__proposal *p = r ? &r->pending[by->side] : NULL;
  if (!r || r->state == PLR__RECORD_QUEUED) {
    refuse(s, by, c->step, c->micro_batch, "a micro-batch we know nothing of");
  } else if (r->peer[by->side] != by->id) {
    refuse(s, by, c->step, c->micro_batch, "a micro-batch that went another way");
  } else if (p->len) {
    refuse(s, by, c->step, c->micro_batch, "proposed before");
  } else if (c->data_len == 0 || c->data_len > sizeof p->bytes) {
    refuse(s, by, c->step, c->micro_batch, "bytes that are no receipt");
  } else {
    p->present = 1, p->len = c->data_len;
    memcpy(p->frames, c->frames, sizeof p->frames);
    memcpy(p->signature, c->signature, sizeof p->signature);
    memcpy(p->bytes, c->data, c->data_len);
    if (r->state == PLR__RECORD_DONE) plr__record_done(s, r);
  }
}

/* ---- our own comes back ----------------------------------------------------------------------- */

static void finish_receipt(plr_stage *s, plr__record *r) {
  plr_entry_signature all[3];
  const plr__proposal *p = &r->own;
  for (uint32_t i = 0; i < 3; i++) {
    const plr_hash *who = i == 0 ? &s->account : &r->account[i == 1 ? PLR__UP : PLR__DOWN];
    all[i].role = (uint8_t)(i == 0   ? PLR_SIGN_AUTHOR
                            : i == 1 ? PLR_SIGN_UPSTREAM
                                     : PLR_SIGN_DOWNSTREAM);
    memcpy(all[i].account, who->bytes, 32);
    memcpy(all[i].signature, i == 0 ? p->signature : r->signatures[i == 1 ? PLR__UP : PLR__DOWN],
           64);
  }
  plr__buffer_clear(&s->entry);
  plr__buffer_put(&s->entry, p->bytes, p->len);
  plr_status st = plr__entry_attach_signatures(&s->entry, all, 3);
  if (st != PLR_OK) {
    plr__stage_fail(s, st, "the receipt of step %llu, micro-batch %u could not be completed: %s",
                    (ull)r->step, r->micro_batch, plr_status_message(st));
    return;
  }
  r->own.present = 0;
  s->stats.receipts++;
  plr__control c = {.type = PLR__CONTROL_RECEIPT, .stage = s->index, .step = r->step};
  c.micro_batch = r->micro_batch, c.data = s->entry.data, c.data_len = (uint32_t)s->entry.len;
  plr_stage_event e = {.type = PLR_STAGE_RECEIPT, .step = r->step, .index = r->micro_batch};
  e.data = s->entry.data, e.len = s->entry.len;
  plr__stage_relay(s, &c, PLR__PRIORITY_CONTROL);
  plr__event(s, &e, NULL);
}

void plr__receipts_lost(plr_stage *s, const plr__peer *p) {
  for (uint32_t i = 0; i < s->record_count; i++) {
    plr__record *r = &s->records[i];
    if (r->own.present && r->peer[p->side] == p->id && !r->signed_by[p->side])
      report_missing(s, r, "a neighbour has gone");
  }
}

void plr__receipt_signature(plr_stage *s, plr__peer *by, const plr__control *c) {
  plr__record *r = plr__record_of(s, c->step, c->micro_batch);
  uint32_t side = by->side;
  if (c->stage != s->index || !r || !r->own.present || r->signed_by[side] ||
      r->peer[side] != by->id)
    return; /* late: nothing waits */
  if (!verified(s, &r->own, by->key, c->signature)) {
    report_refusal(s, s->index, c->step, c->micro_batch, plr__side_name(side),
                   "its signature is not valid");
    report_missing(s, r, "a neighbour's signature is not valid");
    return;
  }
  r->signed_by[side] = 1;
  memcpy(r->signatures[side], c->signature, 64);
  if (r->signed_by[PLR__UP] && r->signed_by[PLR__DOWN]) finish_receipt(s, r);
}

void plr__receipt_refusal(plr_stage *s, plr__peer *by, const plr__control *c) {
  char why[PLR__CONTROL_MAX_TEXT + 1];
  plr__record *r = plr__record_of(s, c->step, c->micro_batch);
  if (c->stage != s->index || !r || !r->own.present || r->peer[by->side] != by->id) return;
  plr__show_text(c, why);
  report_refusal(s, s->index, c->step, c->micro_batch, plr__side_name(by->side), why);
  report_missing(s, r, why);
}
