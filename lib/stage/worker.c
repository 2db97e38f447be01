/* The order of a worker's work: 1F1B. A stage runs at most in_flight forwards ahead of its backwards, a backward
 * whenever one is ready, and a step after M backwards. sync: no forward of the next step before that; async: forwards
 * go on. Peers that keep to the same rule never have more frames under way than the rings here hold; more is a
 * fault. */
#include "stage_int.h"

#include "shard/shard.h"

#include <string.h>

typedef unsigned long long ull;

/* ---- what to do next -------------------------------------------------------------------------- */

/* With several upstream an activation may come before that of tokens that came first. */
static plr__arrival *first_complete(const plr_stage *s) {
  for (uint32_t i = 0; i < s->arrival_count; i++)
    if (s->queue[i]->complete) return s->queue[i];
  return NULL;
}

/* Whoever sent it is gone, and nobody else has yet. */
static int is_stranded(const plr_stage *s, const plr__record *r) {
  return s->async && r->state == PLR__RECORD_FORWARD && !plr__peer_of(s, r->peer[PLR__UP]);
}

/* Brings a gradient that can be used to the head of the ring. One whose micro-batch nobody above asks for waits: if it
 * was sent again it is counted by another replica. */
static int next_gradient(plr_stage *s) {
  for (uint32_t i = 0; i < s->gradient_count; i++) {
    plr__frame *g = &s->gradients[s->gradient_head];
    if (!is_stranded(s, plr__record_of(s, g->step, g->micro_batch))) return 1;
    plr__frame *behind = &s->gradients[(s->gradient_head + s->gradient_count) % s->gradient_cap];
    plr__frame held = *g;
    *g = *behind, *behind = held;
    s->gradient_head = (s->gradient_head + 1) % s->gradient_cap;
  }
  return 0;
}

/* New work comes before what nobody asks for. 1: a slot is free. */
static int drop_stranded(plr_stage *s) {
  for (uint32_t i = 0; i < s->record_count; i++) {
    if (!is_stranded(s, &s->records[i])) continue;
    plr__worker_cancel(s, &s->records[i]);
    return 1;
  }
  return 0;
}

uint32_t plr__worker_pick(plr_stage *s) {
  const plr__arrival *a = first_complete(s);
  uint32_t due =
      s->info.micro_batches; /* backwards of a step; what there are when the pipeline is empty */
  if (s->async && s->snapshot_due && s->backward_next) due = s->backward_next;
  if (s->backward_next == due) return PLR_JOB_STEP;
  if (s->snapshot_due) return PLR_JOB_SNAPSHOT;
  if (s->average.phase == PLR__AVERAGE_DUE) return PLR_JOB_SHARE;
  if (s->average.phase == PLR__AVERAGE_APPLY) return PLR_JOB_AVERAGE;
  if (!s->async && (s->stop_flags & PLR__CONTROL_FLAG_SNAPSHOT) && s->step == s->open_next &&
      s->last_snapshot != s->step)
    return PLR_JOB_SNAPSHOT;
  if (next_gradient(s)) return PLR_JOB_BACKWARD;
  if (!a) return 0;
  if (a->kind != PLR__KIND_TRAIN) return PLR_JOB_INFER;
  if (s->open == s->in_flight && !drop_stranded(s)) return 0;
  return s->async || a->step == s->step ? PLR_JOB_FORWARD : 0;
}

static uint32_t free_slot(const plr_stage *s) {
  uint32_t slot = 0;
  while (s->slot_used[slot] == PLR__SLOT_USED) slot++;
  return slot;
}

/* No job is out: the shard is ours. */
static void forget_slots(plr_stage *s) {
  for (uint32_t i = 0; s->async && i < s->in_flight; i++) {
    if (s->slot_used[i] != PLR__SLOT_FORGET) continue;
    plr__shard_forget(s->shard, i);
    s->slot_used[i] = PLR__SLOT_FREE;
  }
}

static void fill_job(plr_stage *s, uint32_t kind) {
  plr_job *job = &s->job;
  uint8_t *out = job->out;
  forget_slots(s);
  memset(job, 0, sizeof *job);
  job->stage = s, job->kind = kind, job->out = out;
  job->step = s->step;
  job->status = PLR_ERR_INVALID_STATE; /* until it has run */
  job->error.struct_size = sizeof job->error;
  if (kind == PLR_JOB_FORWARD || kind == PLR_JOB_INFER) {
    job->arrival = first_complete(s);
    job->work = job->arrival->kind;
    job->step = job->arrival->step;
    job->micro_batch = job->arrival->micro_batch;
  }
  if (kind == PLR_JOB_FORWARD) job->slot = free_slot(s);
  if (kind == PLR_JOB_BACKWARD) {
    plr__frame *g = &s->gradients[s->gradient_head];
    job->step = g->step, job->micro_batch = g->micro_batch;
    job->slot = plr__record_of(s, g->step, g->micro_batch)->slot;
    if (!s->tail) job->gradient = g;
  }
  if (kind == PLR_JOB_STEP && s->async) job->step = s->clock - 1;
  if (kind == PLR_JOB_SNAPSHOT && s->async) job->step = s->snapshot_step;
}

plr_status plr_stage_next_job(plr_stage *s, plr_job **out) {
  PLR_GUARD(s, NULL);
  if (!s || !out) return PLR_ERR_INVALID_ARGUMENT;
  *out = NULL;
  if (s->failed != PLR_OK) return s->failed;
  if (s->role != PLR_STAGE_WORKER || s->job_out || s->stopped || !s->ready_reported ||
      !plr__stage_has_room(s))
    return PLR_ERR_AGAIN;
  uint32_t kind = plr__worker_pick(s);
  if (!kind) return PLR_ERR_AGAIN;
  fill_job(s, kind);
  plr__budget_give(s, &s->job);
  s->job_out = 1;
  *out = &s->job;
  return PLR_OK;
}

void plr_job_get_info(const plr_job *job, plr_job_info *info) {
  if (!job || !info) return;
  plr_job_info full = {.kind = job->kind, .step = job->step, .micro_batch = job->micro_batch};
  plr__record_write(info, &full, sizeof full, 24);
}

/* ---- what a job brings ------------------------------------------------------------------------ */

static void journal_frame(plr_stage *s, uint32_t kind, uint32_t side, uint32_t role,
                          const plr_job *job, uint64_t ns, size_t len, uint32_t which) {
  plr__journal(s, kind, side, role, job->step, job->micro_batch, ns, len, &job->frames[which]);
}

static void count_tensor(plr_stage *s, uint32_t rows) {
  s->stats.raw_bytes += (uint64_t)rows * s->info.d_model * 2;
}

/* Passes tokens and activation on, or from the last stage the loss or token. */
static void send_forward(plr_stage *s, plr_job *job) {
  const plr__arrival *a = job->arrival;
  plr__peer *to = plr__peer_first(s, PLR__DOWN);
  if (s->tail) {
    journal_frame(s, PLR__JOURNAL_SENT, PLR__DOWN, PLR_ROLE_CONTROL, job, s->now, job->out_len,
                  PLR__FRAME_OUT);
    plr__stage_send(s, to, job->out, job->out_len, PLR__PRIORITY_CONTROL);
    return;
  }
  if (a->kind == PLR__KIND_GENERATE)
    plr__stage_send_control(s, to, &a->sample, PLR__PRIORITY_FLOW, NULL);
  journal_frame(s, PLR__JOURNAL_SENT, PLR__DOWN, PLR_ROLE_TOKENS, job, s->now, a->tokens.len,
                PLR__FRAME_TOKENS);
  plr__stage_send(s, to, a->tokens.data, a->tokens.len, PLR__PRIORITY_FLOW);
  journal_frame(s, PLR__JOURNAL_SENT, PLR__DOWN, PLR_ROLE_ACTIVATION, job, s->now, job->out_len,
                PLR__FRAME_OUT);
  plr__stage_send(s, to, job->out, job->out_len, PLR__PRIORITY_FLOW);
}

/* A training micro-batch goes to one of those who may have it, and is kept until it is known that nobody needs it. */
static void send_on(plr_stage *s, plr_job *job, plr__record *r) {
  const plr__peer *to = plr__peer_first(s, PLR__DOWN);
  if (!s->async) {
    if (to) r->peer[PLR__DOWN] = to->id, r->account[PLR__DOWN] = to->account;
    send_forward(s, job);
    return;
  }
  if (plr__frame_keep(s, &r->tokens, job->arrival->tokens.data, job->arrival->tokens.len) &&
      plr__frame_keep(s, &r->out, job->out, job->out_len))
    plr__route(s, r);
}

/* The last stage has its gradient as soon as it has its loss. */
static void own_gradient(plr_stage *s, const plr_job *job) {
  plr__frame *g = &s->gradients[(s->gradient_head + s->gradient_count++) % s->gradient_cap];
  g->step = job->step, g->micro_batch = job->micro_batch;
}

static void forward_done(plr_stage *s, plr_job *job) {
  const plr__arrival *a = job->arrival;
  journal_frame(s, PLR__JOURNAL_RECEIVED, PLR__UP, PLR_ROLE_TOKENS, job, a->tokens.received_ns,
                a->tokens.len, PLR__FRAME_TOKENS);
  if (a->activation.len)
    journal_frame(s, PLR__JOURNAL_RECEIVED, PLR__UP, PLR_ROLE_ACTIVATION, job,
                  a->activation.received_ns, a->activation.len, PLR__FRAME_IN);
  plr__journal(s, PLR__JOURNAL_JOB, 0, job->kind, job->step, job->micro_batch, s->now, job->out_len,
               &job->frames[PLR__FRAME_OUT]);
  plr__record *r =
      job->kind == PLR_JOB_FORWARD ? plr__record_of(s, job->step, job->micro_batch) : NULL;
  if (r && r->state == PLR__RECORD_QUEUED) {
    memcpy(r->frames, job->frames, sizeof r->frames);
    r->state = PLR__RECORD_FORWARD;
    r->slot = job->slot;
    s->slot_used[job->slot] = PLR__SLOT_USED;
    s->open++;
    if (!s->async) s->forward_next++;
    s->stats.forwards++;
    if (s->tail) own_gradient(s, job);
    send_on(s, job, r);
  } else if (job->kind == PLR_JOB_FORWARD) {
    s->slot_used[job->slot] = PLR__SLOT_FORGET; /* given up in the meantime */
  } else {
    send_forward(s, job);
  }
  if (!s->tail) count_tensor(s, plr__arrival_rows(s, a));
  plr__arrival_remove(s, job->arrival);
}

static void pop_gradient(plr_stage *s) {
  s->gradient_head = (s->gradient_head + 1) % s->gradient_cap;
  s->gradient_count--;
}

static void backward_done(plr_stage *s, plr_job *job) {
  plr__record *r = plr__record_of(s, job->step, job->micro_batch);
  if (job->gradient) {
    journal_frame(s, PLR__JOURNAL_RECEIVED, PLR__DOWN, PLR_ROLE_GRADIENT, job,
                  job->gradient->received_ns, job->gradient->len, PLR__FRAME_GRADIN);
  }
  pop_gradient(s);
  s->slot_used[job->slot] = PLR__SLOT_FREE;
  s->open--;
  s->clock = PLR_MAX(s->clock, job->step + 1);
  s->stats.delays += job->delay;
  s->stats.max_delay = PLR_MAX(s->stats.max_delay, job->delay);
  plr__journal(s, PLR__JOURNAL_JOB, 0, job->kind, job->step, job->micro_batch, s->now, job->out_len,
               &job->frames[PLR__FRAME_GRAD]);
  s->backward_next++;
  s->stats.backwards++;
  if (s->index > 0 && !s->async) {
    journal_frame(s, PLR__JOURNAL_SENT, PLR__UP, PLR_ROLE_GRADIENT, job, s->now, job->out_len,
                  PLR__FRAME_GRAD);
    plr__stage_send(s, plr__peer_first(s, PLR__UP), job->out, job->out_len, PLR__PRIORITY_GRADIENT);
    count_tensor(s, s->rows);
  }
  if (!r) return; /* cannot be: a record outlives its step */
  r->frames[PLR__FRAME_GRADIN] = job->frames[PLR__FRAME_GRADIN];
  r->frames[PLR__FRAME_GRAD] = job->frames[PLR__FRAME_GRAD];
  if (s->async) {
    int answered = s->index == 0 || plr__frame_keep(s, &r->out, job->out, job->out_len);
    r->state = PLR__RECORD_DONE;
    if (answered) plr__worker_answer(s, r);
  }
  plr__receipt_propose(s, r);
  plr__record_done(s, r);
}

static void step_done(plr_stage *s, const plr_job *job) {
  plr__journal(s, PLR__JOURNAL_JOB, 0, job->kind, job->step, 0, s->now, 0, NULL);
  if (s->opens[s->step % s->steps_kept].flags & PLR__CONTROL_FLAG_SNAPSHOT) s->snapshot_due = 1;
  s->step = s->async ? PLR_MAX(s->step, job->step + 1) : s->step + 1;
  s->forward_next = s->backward_next = s->gradient_next = 0;
  s->stats.steps++;
  plr_stage_event e = {.type = PLR_STAGE_STEP, .step = s->step};
  plr__event(s, &e, NULL);
  plr__average_stepped(s);
}

static void snapshot_done(plr_stage *s, const plr_job *job) {
  if (s->async) s->step = job->step;
  plr__control c = {.type = PLR__CONTROL_LEAVES, .step = s->step, .first_block = s->first_block};
  plr_stage_event e = {.type = PLR_STAGE_ROOT, .step = s->step, .hash = job->frames[0]};
  c.data = s->compute.leaves[0].bytes;
  c.data_len = (s->end_block - s->first_block) * (uint32_t)sizeof(plr_hash);
  plr__journal(s, PLR__JOURNAL_JOB, 0, job->kind, job->step, 0, s->now, c.data_len,
               &job->frames[0]);
  s->snapshot_due = 0;
  s->last_snapshot = s->step;
  plr__stage_pass_leaves(s, &c);
  plr__event(s, &e, NULL);
}

static const char *job_name(uint32_t kind) {
  static const char *const names[] = {"job",       "forward",  "backward", "step",
                                      "inference", "snapshot", "share",    "averaging"};
  return names[kind < PLR_COUNT_OF(names) ? kind : 0];
}

/* A micro-batch that cannot be computed is not the end of an asynchronous pipeline. 1: it has been dealt with. */
static int micro_batch_failed(plr_stage *s, plr_job *job) {
  plr__record *r = plr__record_of(s, job->step, job->micro_batch);
  int forward = job->kind == PLR_JOB_FORWARD && job->work == PLR__KIND_TRAIN;
  if (!s->async || !r || (!forward && (job->kind != PLR_JOB_BACKWARD || !job->blame))) return 0;
  if (!job->blame && job->status != PLR_ERR_NON_FINITE) return 0;
  plr__peer *p = plr__peer_of(s, r->peer[forward ? PLR__UP : PLR__DOWN]);
  if (!forward) pop_gradient(s);
  if (p && job->blame) {
    plr__peer_fault(s, p, job->status, "%s of step %llu, micro-batch %u: %s: %s",
                    job_name(job->kind), (ull)job->step, job->micro_batch, job->error.where,
                    job->error.message);
  } else if (forward) {
    plr__worker_cancel(s, r);
    if (p) plr__route_refuse(s, p, r->step, r->micro_batch, job->status);
  }
  return 1;
}

void plr__worker_complete(plr_stage *s, plr_job *job) {
  if (job->kind == PLR_JOB_AVERAGE) {
    plr__average_applied(s, job);
    return;
  }
  if (job->status != PLR_OK) {
    if (micro_batch_failed(s, job)) return;
    plr__stage_fail(s, job->status, "%s of step %llu, micro-batch %u: %s: %s", job_name(job->kind),
                    (ull)job->step, job->micro_batch, job->error.where,
                    job->error.message[0] ? job->error.message : plr_status_message(job->status));
    return;
  }
  switch (job->kind) {
  case PLR_JOB_FORWARD:
  case PLR_JOB_INFER:
    forward_done(s, job);
    break;
  case PLR_JOB_BACKWARD:
    backward_done(s, job);
    break;
  case PLR_JOB_STEP:
    step_done(s, job);
    break;
  case PLR_JOB_SHARE:
    plr__average_shared(s, job);
    break;
  default:
    snapshot_done(s, job);
    break;
  }
}

plr_status plr_stage_complete(plr_stage *s, plr_job *job, uint64_t now_ns) {
  PLR_GUARD(s, NULL);
  if (!s || !job || job != &s->job) return PLR_ERR_INVALID_ARGUMENT;
  PLR_GUARD_OF(job, s->ctx, NULL);
  if (!s->job_out) return PLR_ERR_INVALID_STATE;
  s->job_out = 0;
  s->now = now_ns;
  if (s->failed != PLR_OK) return s->failed;
  plr__budget_learn(s, job);
  plr__worker_complete(s, job);
  plr__stage_flush(s);
  return s->failed;
}
