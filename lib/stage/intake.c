/* What comes to a worker: tensor frames, which wait for their turn, and what the feeder has to say. */
#include "stage_int.h"

#include <string.h>

typedef unsigned long long ull;

/* ---- tensor frames in ------------------------------------------------------------------------- */

static void out_of_order(plr_stage *s, plr__peer *p, const plr_frame_info *f, const char *why) {
  plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "%s frame of step %u, micro-batch %u (stream %#x): %s",
                  plr__role_name(f->role), f->step, f->micro_batch, f->stream, why);
}

static void keep(plr_stage *s, plr__frame *to, const plr_frame_info *f, const void *frame,
                 size_t len) {
  if (!plr__frame_keep(s, to, frame, len)) return;
  to->step = f->step, to->micro_batch = f->micro_batch;
  to->received_ns = s->now;
}

void plr__arrival_remove(plr_stage *s, plr__arrival *a) {
  uint32_t at = 0;
  while (s->queue[at] != a) at++;
  memmove(s->queue + at, s->queue + at + 1, (--s->arrival_count - at) * sizeof(plr__arrival *));
  s->queue[s->arrival_count] = a;
}

static plr__arrival *arrival_of(const plr_stage *s, const plr__record *r) {
  for (uint32_t i = 0; i < s->arrival_count; i++) {
    plr__arrival *a = s->queue[i];
    if (a->kind == PLR__KIND_TRAIN && a->step == r->step && a->micro_batch == r->micro_batch)
      return a;
  }
  return NULL;
}

/* Any micro-batch of the steps that are open, once, if it takes the place of none that is under way. */
static int new_tokens(plr_stage *s, const plr_frame_info *f) {
  const plr__record *r;
  if (f->step >= s->open_next || s->open_next - f->step > s->steps_kept ||
      f->micro_batch >= s->info.micro_batches || !s->opens[f->step % s->steps_kept].valid ||
      s->opens[f->step % s->steps_kept].step != f->step)
    return 0;
  r = plr__record_place(s, f->step, f->micro_batch);
  return r->state == PLR__RECORD_EMPTY || (r->state == PLR__RECORD_DONE && r->step < f->step);
}

/* 1 when the frame is the one that must come now; moves on if it is. */
static int expected_tokens(plr_stage *s, const plr_frame_info *f, uint32_t kind) {
  if (kind != PLR__KIND_TRAIN) return 1;
  if (s->async) return new_tokens(s, f);
  if (s->arrive_step >= s->open_next || f->step != s->arrive_step ||
      f->micro_batch != s->arrive_next)
    return 0;
  if (++s->arrive_next == s->info.micro_batches) s->arrive_next = 0, s->arrive_step++;
  return 1;
}

static int tokens_shape(const plr_stage *s, const plr_frame_info *f, uint32_t kind) {
  if (f->vocab != s->info.vocab) return 0;
  if (kind == PLR__KIND_GENERATE) return f->rows == 1 && f->cols >= 1 && f->cols <= s->info.seq_len;
  return f->rows == s->info.micro_batch && f->cols == s->info.seq_len + 1;
}

/* It came before, another way. Who sends it now gets the answer; who did before has been given up by those above. */
static void take_again(plr_stage *s, plr__peer *p, plr__record *r) {
  plr__peer *before = plr__peer_of(s, r->peer[PLR__UP]);
  s->stats.duplicates++;
  if (before && before != p) plr__route_refuse(s, before, r->step, r->micro_batch, PLR_ERR_EXISTS);
  r->peer[PLR__UP] = p->id, r->account[PLR__UP] = p->account;
  p->skipping = s->index > 0, p->skip_step = r->step, p->skip_micro_batch = r->micro_batch;
  if (r->state == PLR__RECORD_DONE) plr__worker_answer(s, r);
}

static void begin_record(plr_stage *s, plr__peer *p, const plr_frame_info *f) {
  plr__record *r = plr__record_begin(s, f->step, f->micro_batch);
  r->open = s->opens[f->step % s->steps_kept];
  r->peer[PLR__UP] = p->id, r->account[PLR__UP] = p->account;
  r->again = p->again_next;
}

static void take_tokens(plr_stage *s, plr__peer *p, const plr_frame_info *f, const void *frame,
                        size_t len) {
  uint32_t kind = f->stream >> 16;
  plr__record *known = NULL;
  if (kind > PLR__KIND_GENERATE || f->stream != PLR__STREAM(kind, 0) || !tokens_shape(s, f, kind) ||
      len > s->tokens_cap) {
    plr__peer_fault(s, p, PLR_ERR_MALFORMED,
                    "token frame of step %u, micro-batch %u: %u x %u ids "
                    "below %u, stream %#x do not fit the model",
                    f->step, f->micro_batch, f->rows, f->cols, f->vocab, f->stream);
    return;
  }
  if (s->async && kind == PLR__KIND_TRAIN) known = plr__record_of(s, f->step, f->micro_batch);
  if (known && !p->partial) {
    take_again(s, p, known);
    return;
  }
  if (s->arrival_count == s->arrival_cap) {
    out_of_order(s, p, f, "further ahead than the schedule allows");
    return;
  }
  if (p->partial || p->skipping) {
    out_of_order(s, p, f, "the activation of the one before has not come");
    return;
  }
  if ((kind == PLR__KIND_GENERATE) != (p->sample.type != 0) || !expected_tokens(s, f, kind)) {
    out_of_order(s, p, f, "not the one that is due");
    return;
  }
  plr__arrival *a = s->queue[s->arrival_count++];
  a->from = p->id;
  a->kind = kind, a->step = f->step, a->micro_batch = f->micro_batch;
  a->rows = f->rows, a->cols = f->cols;
  a->complete = s->index == 0;
  a->activation.len = 0;
  a->sample = p->sample;
  p->sample.type = 0;
  if (!a->complete) p->partial = a;
  if (kind == PLR__KIND_TRAIN) begin_record(s, p, f);
  p->again_next = 0;
  keep(s, &a->tokens, f, frame, len);
}

/* Token rows that the activation of an arrival has. */
uint32_t plr__arrival_rows(const plr_stage *s, const plr__arrival *a) {
  return a->kind == PLR__KIND_GENERATE ? a->cols : s->rows;
}

static void take_activation(plr_stage *s, plr__peer *p, const plr_frame_info *f, const void *frame,
                            size_t len) {
  plr__arrival *a = p->partial;
  if (p->skipping && f->step == p->skip_step && f->micro_batch == p->skip_micro_batch) {
    p->skipping = 0;
    return;
  }
  if (!a || f->step != a->step || f->micro_batch != a->micro_batch ||
      f->stream != PLR__STREAM(a->kind, s->index)) {
    out_of_order(s, p, f, "no token frame of that micro-batch came before it");
    return;
  }
  if (f->rows != plr__arrival_rows(s, a) || f->cols != s->info.boundary_width ||
      len > s->frame_cap) {
    plr__peer_fault(s, p, PLR_ERR_SHAPE,
                    "activation frame of step %u, micro-batch %u: %u x %u "
                    "values in %zu bytes, %u x %u are due",
                    f->step, f->micro_batch, f->rows, f->cols, len, plr__arrival_rows(s, a),
                    s->info.boundary_width);
    return;
  }
  keep(s, &a->activation, f, frame, len);
  a->complete = 1;
  p->partial = NULL;
}

static int waiting_gradient(const plr_stage *s, uint64_t step, uint32_t mb) {
  for (uint32_t i = 0; i < s->gradient_count; i++) {
    const plr__frame *g = &s->gradients[(s->gradient_head + i) % s->gradient_cap];
    if (g->step == step && g->micro_batch == mb) return 1;
  }
  return 0;
}

static void take_gradient(plr_stage *s, plr__peer *p, const plr_frame_info *f, const void *frame,
                          size_t len) {
  plr__record *r = plr__record_of(s, f->step, f->micro_batch);
  int in_order = f->step == s->step && f->micro_batch == s->gradient_next;
  if ((!s->async && !in_order) || !r || r->state != PLR__RECORD_FORWARD ||
      waiting_gradient(s, f->step, f->micro_batch) || r->peer[PLR__DOWN] != p->id ||
      f->stream != PLR__STREAM(PLR__KIND_TRAIN, s->index + 1)) {
    /* Late: it is elsewhere by now, or we were told to forget it. */
    if (s->async && f->step < s->open_next) return;
    out_of_order(s, p, f, "not the one that is due");
    return;
  }
  if (f->rows != s->rows || f->cols != s->info.boundary_width || len > s->frame_cap) {
    plr__peer_fault(s, p, PLR_ERR_SHAPE,
                    "gradient frame of step %u, micro-batch %u: %u x %u "
                    "values in %zu bytes, %u x %u are due",
                    f->step, f->micro_batch, f->rows, f->cols, len, s->rows,
                    s->info.boundary_width);
    return;
  }
  /* No more than in_flight forwards are open, so there is room. */
  keep(s, &s->gradients[(s->gradient_head + s->gradient_count) % s->gradient_cap], f, frame, len);
  s->gradient_count++;
  s->gradient_next++;
  if (s->async) plr__route_answered(s, r);
}

void plr__worker_tensor_frame(plr_stage *s, plr__peer *p, const plr_frame_info *f,
                              const void *frame, size_t len) {
  if (p->side == PLR__UP && f->role == PLR_ROLE_TOKENS) {
    take_tokens(s, p, f, frame, len);
  } else if (p->side == PLR__UP && f->role == PLR_ROLE_ACTIVATION && s->index > 0) {
    take_activation(s, p, f, frame, len);
  } else if (p->side == PLR__DOWN && f->role == PLR_ROLE_GRADIENT && !s->tail) {
    take_gradient(s, p, f, frame, len);
  } else {
    plr__peer_fault(s, p, PLR_ERR_MALFORMED, "a %s frame has no business on this side",
                    plr__role_name(f->role));
  }
}

/* ---- micro-batches given up ------------------------------------------------------------------- */

static void remove_gradient(plr_stage *s, uint64_t step, uint32_t mb) {
  uint32_t cap = s->gradient_cap, found = 0;
  for (uint32_t i = 0; i < s->gradient_count; i++) {
    plr__frame *g = &s->gradients[(s->gradient_head + i) % cap];
    found |= g->step == step && g->micro_batch == mb;
    if (!found || i + 1 == s->gradient_count) continue;
    plr__frame *next = &s->gradients[(s->gradient_head + i + 1) % cap], keep_it = *g;
    *g = *next, *next = keep_it; /* their memory too */
  }
  s->gradient_count -= found;
}

static int in_job(const plr_stage *s, const plr__record *r) {
  return s->job_out && s->job.step == r->step && s->job.micro_batch == r->micro_batch &&
         (s->job.kind == PLR_JOB_FORWARD || s->job.kind == PLR_JOB_BACKWARD);
}

static void release_slot(plr_stage *s, uint32_t slot) {
  s->slot_used[slot] = PLR__SLOT_FORGET;
  s->open--;
}

/* A job that is out with it goes on, and what it brings is not used. */
void plr__worker_cancel(plr_stage *s, plr__record *r) {
  if (r->state == PLR__RECORD_QUEUED && !in_job(s, r)) {
    plr__arrival *a = arrival_of(s, r);
    if (a) plr__arrival_remove(s, a);
  }
  if (r->state == PLR__RECORD_FORWARD) {
    if (in_job(s, r)) return; /* as good as done */
    if (s->gradient_count) remove_gradient(s, r->step, r->micro_batch);
    release_slot(s, r->slot);
    plr__peer *p = plr__peer_of(s, r->peer[PLR__DOWN]);
    if (p && p->under_way) p->under_way--;
  }
  if (r->state != PLR__RECORD_DONE) r->state = PLR__RECORD_EMPTY;
}

void plr__worker_lost(plr_stage *s, plr__peer *p) {
  p->partial = NULL;
  for (uint32_t i = s->arrival_count; i-- > 0;) {
    plr__arrival *a = s->queue[i];
    plr__record *r = a->kind == PLR__KIND_TRAIN ? plr__record_of(s, a->step, a->micro_batch) : NULL;
    if (a->from != p->id) continue;
    if (r)
      plr__worker_cancel(s, r); /* whoever is above has it sent again */
    else if (!s->job_out || s->job.arrival != a)
      plr__arrival_remove(s, a);
  }
}

void plr__worker_answer(plr_stage *s, plr__record *r) {
  plr__peer *to = plr__peer_of(s, r->peer[PLR__UP]);
  plr__control c = {.type = PLR__CONTROL_FINISHED, .step = r->step, .micro_batch = r->micro_batch};
  if (!to) return; /* it will come another way */
  if (s->index == 0) {
    plr__stage_send_control(s, to, &c, PLR__PRIORITY_CONTROL, NULL);
    return;
  }
  plr__journal(s, PLR__JOURNAL_SENT, PLR__UP, PLR_ROLE_GRADIENT, r->step, r->micro_batch, s->now,
               r->out.len, &r->frames[PLR__FRAME_GRAD]);
  plr__stage_send(s, to, r->out.data, r->out.len, PLR__PRIORITY_GRADIENT);
  s->stats.raw_bytes += (uint64_t)s->rows * s->info.d_model * 2;
}

/* ---- control in ------------------------------------------------------------------------------- */

static void pass_on(plr_stage *s, const plr__control *c) {
  if (!s->tail) plr__stage_flood(s, c, PLR__PRIORITY_FLOW);
}

/* When a step is opened all is finished but the last `window` micro-batches before it: what is older and still here
 * went another way. */
static void cancel_old(plr_stage *s, uint64_t step) {
  const uint64_t mbs = s->info.micro_batches;
  for (uint32_t i = 0; i < s->record_count; i++) {
    plr__record *r = &s->records[i];
    if (r->state != PLR__RECORD_EMPTY && r->state != PLR__RECORD_DONE &&
        r->step * mbs + r->micro_batch + s->window < step * mbs)
      plr__worker_cancel(s, r);
  }
}

/* Several upstream say the same, one after the other. */
static int opened_before(const plr_stage *s, const plr__control *c) {
  const plr__open *o = &s->opens[c->step % s->steps_kept];
  return s->async && c->step < s->open_next &&
         (!o->valid || o->step != c->step ||
          (o->epoch == c->epoch && o->root_step == c->root_step &&
           plr__hash_equal(&o->root, &c->root)));
}

static void take_open(plr_stage *s, plr__peer *p, const plr__control *c) {
  if (opened_before(s, c)) return;
  /* A newcomer begins where the others are. */
  if (s->async && s->last_snapshot == PLR_NEVER && c->step > s->open_next) s->open_next = c->step;
  if (c->step != s->open_next || (!s->async && c->step > s->step + 2)) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE,
                    "step %llu is opened, this stage is at step %llu and "
                    "expects step %llu",
                    (ull)c->step, (ull)s->step, (ull)s->open_next);
    return;
  }
  plr__open *o = &s->opens[c->step % s->steps_kept];
  memset(o, 0, sizeof *o);
  o->step = c->step, o->epoch = c->epoch, o->root_step = c->root_step, o->root = c->root;
  o->flags = c->flags, o->valid = 1;
  s->open_next++;
  if (s->async) cancel_old(s, c->step);
  pass_on(s, c);
}

/* A step cannot be without them: they go every way there is, and each stage's go on from here once. */
void plr__stage_pass_leaves(plr_stage *s, const plr__control *c) {
  uint64_t *passed = &s->leaves_passed[c->first_block % s->info.blocks];
  if (!s->async) {
    plr__stage_relay(s, c, PLR__PRIORITY_CONTROL);
  } else if (*passed < c->step + 1) {
    *passed = c->step + 1;
    plr__stage_flood(s, c, PLR__PRIORITY_CONTROL);
  }
}

static int is_empty(const plr_stage *s) {
  return s->async || (!s->open && !s->arrival_count);
}

/* Everything is finished: what is still here went another way. */
static void cancel_all(plr_stage *s) {
  for (uint32_t i = 0; i < s->record_count; i++)
    if (s->records[i].state != PLR__RECORD_EMPTY) plr__worker_cancel(s, &s->records[i]);
}

/* A snapshot before the first step shows the feeder that all stages stand at the same one; async: any snapshot, and
 * nothing is under way. */
static void take_snapshot(plr_stage *s, plr__peer *p, const plr__control *c) {
  int begun = s->async && s->open_next > s->arrive_step;
  int here = begun ? c->step >= s->step : c->step == s->step;
  if (s->async && (s->snapshot_due || s->last_snapshot != PLR_NEVER) && s->snapshot_step == c->step)
    return; /* several upstream say the same */
  if (begun) cancel_all(s);
  if (!here || !is_empty(s) || s->forward_next || s->open_next != c->step) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE,
                    "the feeder starts at step %llu, this stage's shard is "
                    "at step %llu",
                    (ull)c->step, (ull)s->step);
    return;
  }
  s->snapshot_due = 1;
  s->snapshot_step = c->step;
  pass_on(s, c);
}

static void take_stop(plr_stage *s, plr__peer *p, const plr__control *c) {
  int snapshot =
      (c->flags & PLR__CONTROL_FLAG_SNAPSHOT) != 0; /* without, no step was ever opened */
  if (s->async && s->stop_wanted) return;
  if ((snapshot ? c->step != s->open_next : s->open_next != s->step) || s->stop_wanted) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "told to stop at step %llu, the next step is %llu",
                    (ull)c->step, (ull)s->open_next);
    return;
  }
  s->stop_wanted = 1, s->stop_flags = c->flags;
  if (s->async && snapshot && s->last_snapshot != c->step) {
    cancel_all(s);
    s->snapshot_due = 1, s->snapshot_step = c->step;
  }
  pass_on(s, c);
}

static void take_done(plr_stage *s, plr__peer *p) {
  plr_stage_event e = {.type = PLR_STAGE_STOPPED, .step = s->step};
  if (!s->stop_wanted || s->step != s->open_next) {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "told that all is done, which it is not");
    return;
  }
  plr__control done = {.type = PLR__CONTROL_DONE};
  plr__stage_flood(s, &done, PLR__PRIORITY_FLOW);
  if (s->failed != PLR_OK) return;
  plr__event(s, &e, NULL);
  s->stopped = s->failed == PLR_OK;
}

static void from_upstream(plr_stage *s, plr__peer *p, const plr__control *c) {
  switch (c->type) {
  case PLR__CONTROL_SNAPSHOT:
    take_snapshot(s, p, c);
    return;
  case PLR__CONTROL_OPEN:
    take_open(s, p, c);
    return;
  case PLR__CONTROL_STOP:
    take_stop(s, p, c);
    return;
  case PLR__CONTROL_DONE:
    take_done(s, p);
    return;
  case PLR__CONTROL_SAMPLE:
    if (p->sample.type == 0) {
      p->sample = *c;
      return;
    }
    break;
  case PLR__CONTROL_AGAIN:
    p->again_next = s->async;
    return;
  case PLR__CONTROL_LEAVES:
    plr__stage_pass_leaves(s, c);
    return;
  case PLR__CONTROL_RECEIPT:
  case PLR__CONTROL_MISSING:
  case PLR__CONTROL_ENTRY:
    plr__stage_relay(s, c, PLR__PRIORITY_CONTROL);
    return;
  default:
    break;
  }
  plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "unexpected %s message", plr__control_name(c->type));
}

void plr__worker_control(plr_stage *s, plr__peer *p, const plr__control *c) {
  if (c->type == PLR__CONTROL_SIGNATURE) {
    plr__receipt_signature(s, p, c);
  } else if (c->type == PLR__CONTROL_REFUSAL) {
    plr__receipt_refusal(s, p, c);
  } else if (p->side == PLR__UP) {
    from_upstream(s, p, c);
  } else {
    plr__peer_fault(s, p, PLR_ERR_SEQUENCE, "unexpected %s message", plr__control_name(c->type));
  }
}
