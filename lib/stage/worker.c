/* The order of a worker's work: 1F1B. A stage runs at most in_flight forwards ahead of its backwards, a backward
 * whenever one is ready, and a step after M backwards. sync: no forward of the next step before that; async: forwards
 * go on. Peers that keep to the same rule never have more frames under way than the rings here hold; more is a
 * fault. */
#include "stage_int.h"

#include <string.h>

typedef unsigned long long ull;

/* ---- tensor frames in ------------------------------------------------------------------------- */

static plr__arrival *arrival_at(plr_stage *s, uint32_t i) {
  return &s->arrivals[(s->arrival_head + i) % s->arrival_cap];
}

static void out_of_order(plr_stage *s, uint32_t side, const plr_frame_info *f, const char *why) {
  plr__stage_fail(s, PLR_ERR_SEQUENCE, "%s: %s frame of step %u, micro-batch %u (stream %#x): %s",
                  plr__side_name(side), plr__role_name(f->role), f->step, f->micro_batch, f->stream,
                  why);
}

static void keep(plr_stage *s, plr__frame *to, const plr_frame_info *f, const void *frame,
                 size_t len) {
  if (len > to->cap) {
    size_t cap = len + len / 4; /* entropy-coded frames differ in length */
    uint8_t *larger = plr__realloc(s->ctx, to->data, cap);
    if (!larger) {
      plr__stage_fail(s, PLR_ERR_NO_MEMORY, "no memory for a frame of %zu bytes", len);
      return;
    }
    to->data = larger, to->cap = cap;
  }
  memcpy(to->data, frame, len);
  to->len = len;
  to->step = f->step, to->micro_batch = f->micro_batch;
  to->received_ns = s->now;
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

static void take_tokens(plr_stage *s, const plr_frame_info *f, const void *frame, size_t len) {
  uint32_t kind = f->stream >> 16;
  if (kind > PLR__KIND_GENERATE || f->stream != PLR__STREAM(kind, 0) || !tokens_shape(s, f, kind) ||
      len > s->tokens_cap) {
    plr__stage_fail(s, PLR_ERR_MALFORMED,
                    "upstream: token frame of step %u, micro-batch %u: %u x %u ids "
                    "below %u, stream %#x do not fit the model",
                    f->step, f->micro_batch, f->rows, f->cols, f->vocab, f->stream);
    return;
  }
  if (s->arrival_count == s->arrival_cap) {
    out_of_order(s, PLR__UP, f, "further ahead than the schedule allows");
    return;
  }
  if (s->arrival_count && !arrival_at(s, s->arrival_count - 1)->complete) {
    out_of_order(s, PLR__UP, f, "the activation of the one before has not come");
    return;
  }
  if ((kind == PLR__KIND_GENERATE) != (s->sample.type != 0) || !expected_tokens(s, f, kind)) {
    out_of_order(s, PLR__UP, f, "not the one that is due");
    return;
  }
  plr__arrival *a = arrival_at(s, s->arrival_count++);
  a->kind = kind, a->step = f->step, a->micro_batch = f->micro_batch;
  a->rows = f->rows, a->cols = f->cols;
  a->complete = s->index == 0;
  a->activation.len = 0;
  a->sample = s->sample;
  s->sample.type = 0;
  if (kind == PLR__KIND_TRAIN) {
    plr__record *r = plr__record_begin(s, f->step, f->micro_batch);
    r->open = s->opens[f->step % s->steps_kept];
  }
  keep(s, &a->tokens, f, frame, len);
}

/* Token rows that the activation of an arrival has. */
static uint32_t activation_rows(const plr_stage *s, const plr__arrival *a) {
  return a->kind == PLR__KIND_GENERATE ? a->cols : s->rows;
}

static void take_activation(plr_stage *s, const plr_frame_info *f, const void *frame, size_t len) {
  plr__arrival *a = s->arrival_count ? arrival_at(s, s->arrival_count - 1) : NULL;
  if (!a || a->complete || f->step != a->step || f->micro_batch != a->micro_batch ||
      f->stream != PLR__STREAM(a->kind, s->index)) {
    out_of_order(s, PLR__UP, f, "no token frame of that micro-batch came before it");
    return;
  }
  if (f->rows != activation_rows(s, a) || f->cols != s->info.boundary_width || len > s->frame_cap) {
    plr__stage_fail(s, PLR_ERR_SHAPE,
                    "upstream: activation frame of step %u, micro-batch %u: %u x %u "
                    "values in %zu bytes, %u x %u are due",
                    f->step, f->micro_batch, f->rows, f->cols, len, activation_rows(s, a),
                    s->info.boundary_width);
    return;
  }
  keep(s, &a->activation, f, frame, len);
  a->complete = 1;
}

static int waiting_gradient(const plr_stage *s, uint64_t step, uint32_t mb) {
  for (uint32_t i = 0; i < s->gradient_count; i++) {
    const plr__frame *g = &s->gradients[(s->gradient_head + i) % s->gradient_cap];
    if (g->step == step && g->micro_batch == mb) return 1;
  }
  return 0;
}

static void take_gradient(plr_stage *s, const plr_frame_info *f, const void *frame, size_t len) {
  const plr__record *r = plr__record_of(s, f->step, f->micro_batch);
  int in_order = f->step == s->step && f->micro_batch == s->gradient_next;
  if ((!s->async && !in_order) || !r || r->state != PLR__RECORD_FORWARD ||
      waiting_gradient(s, f->step, f->micro_batch) ||
      f->stream != PLR__STREAM(PLR__KIND_TRAIN, s->index + 1)) {
    out_of_order(s, PLR__DOWN, f, "not the one that is due");
    return;
  }
  if (f->rows != s->rows || f->cols != s->info.boundary_width || len > s->frame_cap) {
    plr__stage_fail(s, PLR_ERR_SHAPE,
                    "downstream: gradient frame of step %u, micro-batch %u: %u x %u "
                    "values in %zu bytes, %u x %u are due",
                    f->step, f->micro_batch, f->rows, f->cols, len, s->rows,
                    s->info.boundary_width);
    return;
  }
  /* No more than in_flight forwards are open, so there is room. */
  keep(s, &s->gradients[(s->gradient_head + s->gradient_count) % s->gradient_cap], f, frame, len);
  s->gradient_count++;
  s->gradient_next++;
}

void plr__worker_tensor_frame(plr_stage *s, uint32_t side, const plr_frame_info *f,
                              const void *frame, size_t len) {
  if (side == PLR__UP && f->role == PLR_ROLE_TOKENS) {
    take_tokens(s, f, frame, len);
  } else if (side == PLR__UP && f->role == PLR_ROLE_ACTIVATION && s->index > 0) {
    take_activation(s, f, frame, len);
  } else if (side == PLR__DOWN && f->role == PLR_ROLE_GRADIENT && !s->tail) {
    take_gradient(s, f, frame, len);
  } else {
    plr__stage_fail(s, PLR_ERR_MALFORMED, "%s: a %s frame has no business on this side",
                    plr__side_name(side), plr__role_name(f->role));
  }
}

/* ---- control in ------------------------------------------------------------------------------- */

static void pass_on(plr_stage *s, const plr__control *c) {
  if (!s->tail) plr__stage_relay(s, c, PLR__PRIORITY_FLOW);
}

static void take_open(plr_stage *s, const plr__control *c) {
  if (c->step != s->open_next || (!s->async && c->step > s->step + 2)) {
    plr__stage_fail(s, PLR_ERR_SEQUENCE,
                    "upstream: step %llu is opened, this stage is at step %llu and "
                    "expects step %llu",
                    (ull)c->step, (ull)s->step, (ull)s->open_next);
    return;
  }
  plr__open *o = &s->opens[c->step % s->steps_kept];
  memset(o, 0, sizeof *o);
  o->step = c->step, o->epoch = c->epoch, o->root_step = c->root_step, o->root = c->root;
  o->flags = c->flags, o->valid = 1;
  s->open_next++;
  pass_on(s, c);
}

static int is_empty(const plr_stage *s) {
  return !s->open && !s->arrival_count;
}

/* A snapshot before the first step shows the feeder that all stages stand at the same one; async: any snapshot, and
 * nothing is under way. */
static void take_snapshot(plr_stage *s, const plr__control *c) {
  int here = s->async && s->last_snapshot != PLR_NEVER ? c->step >= s->step : c->step == s->step;
  if (!here || !is_empty(s) || s->forward_next || s->open_next != c->step) {
    plr__stage_fail(s, PLR_ERR_SEQUENCE,
                    "upstream: the feeder starts at step %llu, this stage's shard is "
                    "at step %llu",
                    (ull)c->step, (ull)s->step);
    return;
  }
  s->snapshot_due = 1;
  s->snapshot_step = c->step;
  pass_on(s, c);
}

static void take_stop(plr_stage *s, const plr__control *c) {
  int snapshot =
      (c->flags & PLR__CONTROL_FLAG_SNAPSHOT) != 0; /* without, no step was ever opened */
  if ((snapshot ? c->step != s->open_next : s->open_next != s->step) || s->stop_wanted) {
    plr__stage_fail(s, PLR_ERR_SEQUENCE,
                    "upstream: told to stop at step %llu, the next step is %llu", (ull)c->step,
                    (ull)s->open_next);
    return;
  }
  s->stop_wanted = 1, s->stop_flags = c->flags;
  if (s->async && snapshot && s->last_snapshot != c->step)
    s->snapshot_due = 1, s->snapshot_step = c->step;
  pass_on(s, c);
}

static void take_done(plr_stage *s) {
  plr_stage_event e = {.type = PLR_STAGE_STOPPED, .step = s->step};
  if (!s->stop_wanted || s->step != s->open_next) {
    plr__stage_fail(s, PLR_ERR_SEQUENCE, "upstream: told that all is done, which it is not");
    return;
  }
  plr__control done = {.type = PLR__CONTROL_DONE};
  plr__stage_relay(s, &done, PLR__PRIORITY_FLOW);
  if (s->failed != PLR_OK) return;
  plr__event(s, &e, NULL);
  s->stopped = s->failed == PLR_OK;
}

static void from_upstream(plr_stage *s, const plr__control *c) {
  switch (c->type) {
  case PLR__CONTROL_SNAPSHOT:
    take_snapshot(s, c);
    return;
  case PLR__CONTROL_OPEN:
    take_open(s, c);
    return;
  case PLR__CONTROL_STOP:
    take_stop(s, c);
    return;
  case PLR__CONTROL_DONE:
    take_done(s);
    return;
  case PLR__CONTROL_SAMPLE:
    if (s->sample.type == 0) {
      s->sample = *c;
      return;
    }
    break;
  case PLR__CONTROL_LEAVES:
  case PLR__CONTROL_RECEIPT:
  case PLR__CONTROL_MISSING:
  case PLR__CONTROL_ENTRY:
    plr__stage_relay(s, c, PLR__PRIORITY_CONTROL);
    return;
  default:
    break;
  }
  plr__stage_fail(s, PLR_ERR_SEQUENCE, "upstream: unexpected %s message",
                  plr__control_name(c->type));
}

void plr__worker_control(plr_stage *s, uint32_t side, const plr__control *c) {
  if (c->type == PLR__CONTROL_SIGNATURE) {
    plr__receipt_signature(s, side, c);
  } else if (c->type == PLR__CONTROL_REFUSAL) {
    plr__receipt_refusal(s, side, c);
  } else if (side == PLR__UP) {
    from_upstream(s, c);
  } else {
    plr__stage_fail(s, PLR_ERR_SEQUENCE, "downstream: unexpected %s message",
                    plr__control_name(c->type));
  }
}

/* ---- what to do next -------------------------------------------------------------------------- */

uint32_t plr__worker_pick(plr_stage *s) {
  const plr__arrival *a = s->arrival_count ? arrival_at(s, 0) : NULL;
  uint32_t due =
      s->info.micro_batches; /* backwards of a step; what there are when the pipeline is empty */
  if (s->async && s->snapshot_due && s->backward_next) due = s->backward_next;
  if (s->backward_next == due) return PLR_JOB_STEP;
  if (s->snapshot_due) return PLR_JOB_SNAPSHOT;
  if (!s->async && (s->stop_flags & PLR__CONTROL_FLAG_SNAPSHOT) && s->step == s->open_next &&
      s->last_snapshot != s->step)
    return PLR_JOB_SNAPSHOT;
  if (s->gradient_count) return PLR_JOB_BACKWARD;
  if (!a || !a->complete) return 0;
  if (a->kind != PLR__KIND_TRAIN) return PLR_JOB_INFER;
  if (s->open == s->in_flight) return 0;
  return s->async || a->step == s->step ? PLR_JOB_FORWARD : 0;
}

static uint32_t free_slot(const plr_stage *s) {
  uint32_t slot = 0;
  while (s->slot_used[slot]) slot++;
  return slot;
}

static void fill_job(plr_stage *s, uint32_t kind) {
  plr_job *job = &s->job;
  uint8_t *out = job->out;
  memset(job, 0, sizeof *job);
  job->stage = s, job->kind = kind, job->out = out;
  job->step = s->step;
  job->status = PLR_ERR_INVALID_STATE; /* until it has run */
  job->error.struct_size = sizeof job->error;
  if (kind == PLR_JOB_FORWARD || kind == PLR_JOB_INFER) {
    job->arrival = arrival_at(s, 0);
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
  if (s->tail) {
    journal_frame(s, PLR__JOURNAL_SENT, PLR__DOWN, PLR_ROLE_CONTROL, job, s->now, job->out_len,
                  PLR__FRAME_OUT);
    plr__stage_send(s, PLR__DOWN, job->out, job->out_len, PLR__PRIORITY_CONTROL);
    return;
  }
  if (a->kind == PLR__KIND_GENERATE)
    plr__stage_send_control(s, PLR__DOWN, &a->sample, PLR__PRIORITY_FLOW, NULL);
  journal_frame(s, PLR__JOURNAL_SENT, PLR__DOWN, PLR_ROLE_TOKENS, job, s->now, a->tokens.len,
                PLR__FRAME_TOKENS);
  plr__stage_send(s, PLR__DOWN, a->tokens.data, a->tokens.len, PLR__PRIORITY_FLOW);
  journal_frame(s, PLR__JOURNAL_SENT, PLR__DOWN, PLR_ROLE_ACTIVATION, job, s->now, job->out_len,
                PLR__FRAME_OUT);
  plr__stage_send(s, PLR__DOWN, job->out, job->out_len, PLR__PRIORITY_FLOW);
  count_tensor(s, activation_rows(s, a));
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
  if (job->kind == PLR_JOB_FORWARD) {
    plr__record *r = plr__record_of(s, job->step, job->micro_batch);
    memcpy(r->frames, job->frames, sizeof r->frames);
    r->state = PLR__RECORD_FORWARD;
    r->slot = job->slot;
    s->slot_used[job->slot] = 1;
    s->open++;
    if (!s->async) s->forward_next++;
    s->stats.forwards++;
    if (s->tail) own_gradient(s, job);
  }
  send_forward(s, job);
  s->arrival_head = (s->arrival_head + 1) % s->arrival_cap;
  s->arrival_count--;
}

static void backward_done(plr_stage *s, plr_job *job) {
  plr__record *r = plr__record_of(s, job->step, job->micro_batch);
  if (job->gradient) {
    journal_frame(s, PLR__JOURNAL_RECEIVED, PLR__DOWN, PLR_ROLE_GRADIENT, job,
                  job->gradient->received_ns, job->gradient->len, PLR__FRAME_GRADIN);
  }
  s->gradient_head = (s->gradient_head + 1) % s->gradient_cap;
  s->gradient_count--;
  s->slot_used[job->slot] = 0;
  s->open--;
  s->clock = PLR_MAX(s->clock, job->step + 1);
  s->stats.delays += job->delay;
  s->stats.max_delay = PLR_MAX(s->stats.max_delay, job->delay);
  plr__journal(s, PLR__JOURNAL_JOB, 0, job->kind, job->step, job->micro_batch, s->now, job->out_len,
               &job->frames[PLR__FRAME_GRAD]);
  s->backward_next++;
  s->stats.backwards++;
  if (s->index > 0) {
    journal_frame(s, PLR__JOURNAL_SENT, PLR__UP, PLR_ROLE_GRADIENT, job, s->now, job->out_len,
                  PLR__FRAME_GRAD);
    plr__stage_send(s, PLR__UP, job->out, job->out_len, PLR__PRIORITY_GRADIENT);
    count_tensor(s, s->rows);
  } else if (s->async) {
    plr__control c = {.type = PLR__CONTROL_FINISHED, .step = job->step};
    c.micro_batch = job->micro_batch;
    plr__stage_send_control(s, PLR__UP, &c, PLR__PRIORITY_CONTROL, NULL);
  }
  if (!r) return; /* cannot be: a record outlives its step */
  r->frames[PLR__FRAME_GRADIN] = job->frames[PLR__FRAME_GRADIN];
  r->frames[PLR__FRAME_GRAD] = job->frames[PLR__FRAME_GRAD];
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
  plr__stage_send_control(s, PLR__DOWN, &c, PLR__PRIORITY_CONTROL, NULL);
  plr__event(s, &e, NULL);
}

static const char *job_name(uint32_t kind) {
  static const char *const names[] = {"job",  "forward",   "backward",
                                      "step", "inference", "snapshot"};
  return names[kind < PLR_COUNT_OF(names) ? kind : 0];
}

void plr__worker_complete(plr_stage *s, plr_job *job) {
  if (job->status != PLR_OK) {
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
