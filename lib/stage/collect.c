/* What comes back to the feeder: losses, tokens, leaf hashes, receipts, entries. */
#include "stage_int.h"

#include <stdio.h>
#include <string.h>

typedef unsigned long long ull;

static void unexpected(plr_stage *s, plr__peer *p, const plr__control *c, const char *why) {
  plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "%s message of step %llu, micro-batch %u: %s",
                  plr__control_name(c->type), (ull)c->step, c->micro_batch, why);
}

/* ---- losses and tokens ------------------------------------------------------------------------ */

/* Counts each receipt once. */
static void count_settled(plr_stage *s, const plr__record *r, uint32_t stage) {
  plr__feeder *f = &s->feeder;
  uint32_t slot = (uint32_t)(r->step % s->steps_kept);
  uint8_t *seen =
      &f->settled[((size_t)slot * s->info.micro_batches + r->micro_batch) * s->count + stage];
  if (!*seen) f->settled_count[slot]++, f->outstanding--;
  *seen = 1;
  f->quiet_ns = s->now;
}

void plr__feeder_unsettled(plr_stage *s, uint64_t step) {
  uint32_t missing =
      s->info.micro_batches * s->count - s->feeder.settled_count[step % s->steps_kept];
  plr_stage_event e = {.type = PLR_STAGE_REFUSED, .status = PLR_ERR_UNAVAILABLE, .step = step};
  char text[96];
  if (!missing) return;
  for (uint32_t mb = 0; mb < s->info.micro_batches; mb++)
    for (uint32_t stage = 0; stage < s->count; stage++)
      count_settled(s, plr__record_of(s, step, mb), stage);
  snprintf(text, sizeof text, "%u receipts of step %llu did not come", missing, (ull)step);
  plr__event(s, &e, text);
}

/* They are counted in order. */
static void count_finished(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  const uint32_t mbs = s->info.micro_batches;
  for (; s->async; f->finished++) {
    plr__record *r = plr__record_of(s, f->finished / mbs, (uint32_t)(f->finished % mbs));
    if (!r || !r->finished || r->state != PLR__RECORD_DONE) return;
    f->quiet_ns = s->now;
  }
}

/* Losses are added in the order of the micro-batches, whatever order they came in. */
static void report_step(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  double sum = 0;
  uint32_t left_out = 0;
  for (uint32_t mb = 0; mb < s->info.micro_batches; mb++) {
    const plr__record *r = plr__record_of(s, f->steps_done, mb);
    sum += r->loss;
    left_out += r->finished == PLR__FINISHED_VOID;
  }
  f->steps_done++;
  s->stats.steps++;
  plr_stage_event e = {.type = PLR_STAGE_STEP, .step = f->steps_done};
  if (left_out < s->info.micro_batches)
    e.value = sum / ((double)(s->info.micro_batches - left_out) * s->rows);
  plr__event(s, &e, NULL);
}

static void count_losses(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  while (f->steps_done < f->step &&
         f->losses[f->steps_done % s->steps_kept] == s->info.micro_batches)
    report_step(s);
}

static void take_training_loss(plr_stage *s, plr__peer *p, const plr__control *c,
                               const plr_hash *hash) {
  plr__feeder *f = &s->feeder;
  plr__record *r = plr__record_of(s, c->step, c->micro_batch);
  /* It was sent again after its last stage was lost, and that had done its forward. */
  if (s->async && r && r->state == PLR__RECORD_DONE) {
    s->stats.duplicates++;
    return;
  }
  uint32_t in_order =
      c->step == f->steps_done && c->micro_batch == f->losses[f->steps_done % s->steps_kept];
  if (f->command != PLR__COMMAND_TRAIN || (!s->async && !in_order) || !r ||
      r->state != PLR__RECORD_FORWARD) {
    unexpected(s, p, c, "not the one that is due");
    return;
  }
  r->frames[PLR__FRAME_OUT] = *hash;
  r->loss = c->loss;
  r->peer[PLR__UP] = p->id;
  plr__record_done(s, r);
  f->losses[c->step % s->steps_kept]++;
  count_finished(s);
  count_losses(s);
}

/* Stage 0 has done its backward, and so have all behind it. The loss comes another way, and may come later. */
static void take_finished(plr_stage *s, plr__peer *p, const plr__control *c) {
  plr__feeder *f = &s->feeder;
  plr__record *r = plr__record_of(s, c->step, c->micro_batch);
  if (!s->async || c->step >= f->step) {
    unexpected(s, p, c, "not the one that is due");
    return;
  }
  if (!r || r->finished || r->peer[PLR__DOWN] != p->id) return; /* late */
  plr__route_answered(s, r);
  r->finished = 1;
  count_finished(s);
}

static void take_loss(plr_stage *s, plr__peer *p, const plr__control *c, const plr_hash *hash) {
  plr__feeder *f = &s->feeder;
  if (c->kind == PLR__KIND_TRAIN) {
    take_training_loss(s, p, c, hash);
  } else if (s->async && (f->command != PLR__COMMAND_EVALUATE || c->micro_batch != f->returned)) {
    s->stats.duplicates++; /* fed again, and now both come */
  } else if (f->command != PLR__COMMAND_EVALUATE || c->step != 0 || f->returned >= f->fed ||
             c->micro_batch != f->returned) {
    unexpected(s, p, c, "not the one that is due");
  } else {
    f->loss_sum += c->loss;
    f->returned++;
    f->quiet_ns = s->now;
  }
}

static void take_token(plr_stage *s, plr__peer *p, const plr__control *c) {
  plr__feeder *f = &s->feeder;
  if (s->async && (f->command != PLR__COMMAND_GENERATE || c->index != f->returned)) {
    s->stats.duplicates++;
    return;
  }
  if (f->command != PLR__COMMAND_GENERATE || f->returned >= f->fed || c->index != f->returned) {
    unexpected(s, p, c, "not the one that is due");
    return;
  }
  if (c->token < 0 || (uint32_t)c->token >= s->info.vocab) {
    unexpected(s, p, c, "a token outside the vocabulary");
    return;
  }
  if (f->context_len == s->info.seq_len)
    memmove(f->context, f->context + 1, --f->context_len * sizeof *f->context);
  f->context[f->context_len++] = c->token;
  f->returned++;
  f->quiet_ns = s->now;
  plr_stage_event e = {.type = PLR_STAGE_TOKEN, .token = c->token, .index = c->index};
  e.step = f->steps_done;
  plr__event(s, &e, NULL);
}

/* It is left out of its step, and none of its receipts will come. */
void plr__feeder_void(plr_stage *s, plr__record *r, plr_status why) {
  plr_stage_event e = {.type = PLR_STAGE_DROPPED, .status = why, .step = r->step};
  char text[128];
  e.index = r->micro_batch;
  snprintf(text, sizeof text, "step %llu, micro-batch %u could not be computed by anyone: %s",
           (ull)r->step, r->micro_batch, plr_status_message(why));
  plr__event(s, &e, text);
  if (r->state != PLR__RECORD_DONE) s->feeder.losses[r->step % s->steps_kept]++;
  r->state = PLR__RECORD_DONE;
  r->finished = PLR__FINISHED_VOID;
  r->loss = 0;
  for (uint32_t stage = 0; stage < s->count; stage++) count_settled(s, r, stage);
  count_finished(s);
  count_losses(s);
}

/* ---- weight roots ----------------------------------------------------------------------------- */

static int leaves_due(const plr_stage *s, uint64_t step) {
  const plr__feeder *f = &s->feeder;
  if (!f->started || step > f->step) return 0;
  if (s->async && step != f->snapshot) return 0;
  return step == f->start_step || plr__feeder_snapshot_due(s, step) ||
         (f->stop_sent && step == f->step);
}

/* The collection for that step; a new one takes the place of the oldest. */
static plr__roots *collection(plr_stage *s, uint64_t step) {
  plr__roots *oldest = &s->feeder.roots[0];
  for (uint32_t i = 0; i < PLR__STEPS_KEPT; i++) {
    plr__roots *r = &s->feeder.roots[i];
    if (r->used && r->step == step) return r;
    if (!r->used || (oldest->used && r->step < oldest->step)) oldest = r;
  }
  if (oldest->used && oldest->step > step) return NULL;
  oldest->step = step;
  oldest->used = 1;
  oldest->count = oldest->known = 0;
  memset(oldest->have, 0, s->info.blocks);
  return oldest;
}

static void take_leaves(plr_stage *s, plr__peer *p, const plr__control *c) {
  uint32_t n = c->data_len / (uint32_t)sizeof(plr_hash);
  plr__roots *r = leaves_due(s, c->step) ? collection(s, c->step) : NULL;
  if (!r || c->first_block > s->info.blocks || n > s->info.blocks - c->first_block) {
    unexpected(s, p, c, "no snapshot of these blocks is due");
    return;
  }
  for (uint32_t i = 0; i < n; i++) {
    if (r->have[c->first_block + i] && s->async) return; /* another replica's */
    if (r->have[c->first_block + i]) {
      unexpected(s, p, c, "the leaf of a block came twice");
      return;
    }
    r->have[c->first_block + i] = 1;
    memcpy(r->leaves[c->first_block + i].bytes, c->data + (size_t)i * sizeof(plr_hash),
           sizeof(plr_hash));
  }
  r->count += n;
  if (r->count < s->info.blocks) return;
  plr_status st = plr_weight_root(r->leaves, s->info.blocks, &r->root);
  if (st != PLR_OK) {
    plr__stage_fail(s, st, "the weight root of step %llu could not be computed", (ull)r->step);
    return;
  }
  r->known = 1;
  plr_stage_event e = {.type = PLR_STAGE_ROOT, .step = r->step, .hash = r->root};
  plr__event(s, &e, NULL);
}

/* ---- receipts and entries --------------------------------------------------------------------- */

/* 1 unless the message speaks of a receipt that nobody can owe. Counts each receipt once. */
static int settle(plr_stage *s, plr__peer *p, const plr__control *c) {
  plr__record *r = plr__record_of(s, c->step, c->micro_batch);
  int late = s->async && c->step < s->feeder.step && c->micro_batch < s->info.micro_batches;
  if ((!r && !late) || c->stage >= s->count) {
    unexpected(s, p, c, "no such receipt is due");
    return 0;
  }
  if (r)
    count_settled(s, r, c->stage); /* one that is late counts too, though nobody waits for it */
  return 1;
}

static void take_receipt(plr_stage *s, plr__peer *p, const plr__control *c) {
  plr_entry entry;
  plr_error err = {.struct_size = sizeof err};
  plr_status st = plr__entry_decode(c->data, c->data_len, &entry, &err);
  if (st == PLR_OK && (entry.type != PLR_ENTRY_RECEIPT || entry.as.receipt.step != c->step ||
                       entry.as.receipt.mb_first != c->micro_batch))
    st = plr__fail(&err, PLR_ERR_MISMATCH, "receipt", "another one than announced");
  if (st != PLR_OK) {
    plr__peer_fault(s, p, st, "receipt of stage %u, step %llu, micro-batch %u: %s", c->stage,
                    (ull)c->step, c->micro_batch, err.message);
    return;
  }
  if (!settle(s, p, c)) return;
  s->stats.receipts++;
  plr_stage_event e = {.type = PLR_STAGE_RECEIPT, .step = c->step, .index = c->micro_batch};
  e.data = c->data, e.len = c->data_len;
  plr__event(s, &e, NULL);
}

static void take_missing(plr_stage *s, plr__peer *p, const plr__control *c) {
  char text[PLR__CONTROL_MAX_TEXT + 80];
  plr_stage_event e = {.type = PLR_STAGE_REFUSED, .status = PLR_ERR_MISMATCH, .step = c->step};
  if (!settle(s, p, c)) return;
  int at = snprintf(text, sizeof text,
                    "receipt of stage %u, step %llu, micro-batch %u will not come: ", c->stage,
                    (ull)c->step, c->micro_batch);
  for (uint32_t i = 0; i < c->data_len && at < (int)sizeof text - 1; i++)
    text[at++] = c->data[i] < 0x20 || c->data[i] > 0x7e ? '?' : (char)c->data[i];
  text[at] = 0;
  e.index = c->micro_batch;
  plr__event(s, &e, text);
}

static void take_done(plr_stage *s, plr__peer *p, const plr__control *c) {
  const plr__roots *root = plr__feeder_root(s, s->feeder.step);
  plr_stage_event e = {.type = PLR_STAGE_STOPPED, .step = s->feeder.steps_done};
  if (!s->feeder.done_sent) {
    unexpected(s, p, c, "nobody said so");
    return;
  }
  if (root) e.hash = root->root;
  plr__event(s, &e, NULL);
  s->stopped = s->failed == PLR_OK;
}

void plr__feeder_control(plr_stage *s, plr__peer *p, const plr__control *c, const plr_hash *hash) {
  plr_stage_event e = {.type = PLR_STAGE_ENTRY, .step = s->feeder.steps_done};
  if (c->type == PLR__CONTROL_FINISHED && p->side == PLR__DOWN) {
    take_finished(s, p, c);
    return;
  }
  if (p->side == PLR__DOWN) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "unexpected %s message", plr__control_name(c->type));
    return;
  }
  switch (c->type) {
  case PLR__CONTROL_LOSS:
    take_loss(s, p, c, hash);
    break;
  case PLR__CONTROL_TOKEN:
    take_token(s, p, c);
    break;
  case PLR__CONTROL_LEAVES:
    take_leaves(s, p, c);
    break;
  case PLR__CONTROL_RECEIPT:
    take_receipt(s, p, c);
    break;
  case PLR__CONTROL_MISSING:
    take_missing(s, p, c);
    break;
  case PLR__CONTROL_DONE:
    take_done(s, p, c);
    break;
  case PLR__CONTROL_ENTRY:
    e.data = c->data, e.len = c->data_len;
    plr__event(s, &e, NULL);
    break;
  default:
    unexpected(s, p, c, "not for a feeder");
    break;
  }
}
