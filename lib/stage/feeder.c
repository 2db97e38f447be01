/* The feeder's commands: what it sends into the pipeline, and when. One command runs at a time, and each leaves the
 * pipeline empty. A step is opened when the losses of the step two before it are in: never more than two steps are
 * under way, and what its receipts say does not depend on the network. */
#include "stage_int.h"

#include <math.h>
#include <string.h>

/* ---- memory ----------------------------------------------------------------------------------- */

plr_status plr__feeder_init(plr_stage *s, const plr_stage_options *o) {
  plr__feeder *f = &s->feeder;
  uint32_t seq = s->info.seq_len;
  f->corpus = o->corpus;
  f->epoch = o->epoch;
  f->start_step = f->step = f->steps_done = o->start_step;
  f->tokens = plr__calloc(s->ctx, (size_t)s->info.micro_batch * (seq + 1u), sizeof(int32_t));
  f->context = plr__calloc(s->ctx, seq, sizeof(int32_t));
  f->settled = plr__calloc(s->ctx, s->record_count, s->count);
  f->settled_count = plr__calloc(s->ctx, s->steps_kept, sizeof *f->settled_count);
  f->losses = plr__calloc(s->ctx, s->steps_kept, sizeof *f->losses);
  f->finished = f->start_step * s->info.micro_batches;
  f->snapshot = PLR_NEVER;
  if (!f->tokens || !f->context || !f->settled || !f->settled_count || !f->losses)
    return PLR_ERR_NO_MEMORY;
  for (uint32_t i = 0; i < PLR__STEPS_KEPT; i++) {
    f->roots[i].leaves = plr__calloc(s->ctx, s->info.blocks, sizeof(plr_hash));
    f->roots[i].have = plr__calloc(s->ctx, s->info.blocks, 1);
    if (!f->roots[i].leaves || !f->roots[i].have) return PLR_ERR_NO_MEMORY;
  }
  return PLR_OK;
}

void plr__feeder_release(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  for (uint32_t i = 0; i < PLR__STEPS_KEPT; i++) {
    plr__free(s->ctx, f->roots[i].leaves);
    plr__free(s->ctx, f->roots[i].have);
  }
  plr__free(s->ctx, f->tokens);
  plr__free(s->ctx, f->context);
  plr__free(s->ctx, f->settled);
  plr__free(s->ctx, f->settled_count);
  plr__free(s->ctx, f->losses);
}

/* ---- what a step waits for -------------------------------------------------------------------- */

const plr__roots *plr__feeder_root(const plr_stage *s, uint64_t step) {
  for (uint32_t i = 0; i < PLR__STEPS_KEPT; i++) {
    const plr__roots *r = &s->feeder.roots[i];
    if (r->used && r->known && r->step == step) return r;
  }
  return NULL;
}

int plr__feeder_snapshot_due(const plr_stage *s, uint64_t step) {
  return s->snapshot_every && step > s->feeder.start_step && step % s->snapshot_every == 0;
}

/* The newest snapshot whose root is surely known when `step` is opened. */
uint64_t plr__feeder_root_step(const plr_stage *s, uint64_t step) {
  const plr__feeder *f = &s->feeder;
  if (!s->snapshot_every || step < f->start_step + 2) return f->start_step;
  uint64_t newest = (step - 2) / s->snapshot_every * s->snapshot_every;
  return newest > f->start_step ? newest : f->start_step;
}

/* 1 when every receipt of that step has come or will not. */
int plr__feeder_settled(const plr_stage *s, uint64_t step) {
  if (step < s->feeder.start_step || step >= s->feeder.step) return 1;
  return s->feeder.settled_count[step % s->steps_kept] == s->info.micro_batches * s->count;
}

static int all_finished(const plr_stage *s) {
  const plr__feeder *f = &s->feeder;
  return !f->left && f->finished == f->step * s->info.micro_batches;
}

/* An asynchronous pipeline runs empty at a snapshot, so that all stages hold the weights of the same step and whoever
 * begins there again does what they did. */
static int snapshot_waits(const plr_stage *s, uint64_t step) {
  return plr__feeder_snapshot_due(s, step) && s->feeder.snapshot != step;
}

static void ask_snapshot(plr_stage *s, uint64_t step) {
  plr__control c = {.type = PLR__CONTROL_SNAPSHOT, .step = step};
  s->feeder.snapshot = step;
  plr__stage_flood(s, &c, PLR__PRIORITY_FLOW);
}

/* Whether the records of that step are free for another one. A neighbour that does not sign holds nobody up: in an
 * asynchronous pipeline a receipt has had the time of a whole window to come. */
static int may_forget(plr_stage *s, uint64_t step) {
  if (plr__feeder_settled(s, step)) return 1;
  if (!s->async || s->feeder.finished < (step + 1) * s->info.micro_batches) return 0;
  plr__feeder_unsettled(s, step);
  return 1;
}

static int may_open(plr_stage *s, uint64_t step) {
  const plr__feeder *f = &s->feeder;
  if (s->async ? snapshot_waits(s, step) : step >= f->steps_done + 2) return 0;
  if (!plr__feeder_root(s, plr__feeder_root_step(s, step))) return 0;
  return step < s->steps_kept || may_forget(s, step - s->steps_kept);
}

uint64_t plr__feeder_patience(const plr_stage *s) {
  uint64_t one = s->reply_timeout_ns ? s->reply_timeout_ns : PLR__RECEIPT_PATIENCE;
  return one >= PLR_NEVER / 8192 ? PLR_NEVER / 2 : one * s->count;
}

uint64_t plr__feeder_deadline(const plr_stage *s) {
  const plr__feeder *f = &s->feeder;
  uint64_t wait = plr__feeder_patience(s);
  int forward_only = f->command == PLR__COMMAND_EVALUATE || f->command == PLR__COMMAND_GENERATE;
  if (s->async && s->role == PLR_STAGE_FEEDER && forward_only && f->returned < f->fed)
    return f->quiet_ns + wait;
  if (!s->async || s->role != PLR_STAGE_FEEDER || f->command != PLR__COMMAND_TRAIN ||
      !f->outstanding || f->steps_done < f->until || !all_finished(s))
    return PLR_NEVER;
  return f->quiet_ns + wait;
}

/* At the end of a command nothing comes any more that would say that a receipt is lost. */
static void stop_waiting(plr_stage *s) {
  if (plr__feeder_deadline(s) > s->now) return;
  uint64_t from = s->feeder.step > s->steps_kept ? s->feeder.step - s->steps_kept : 0;
  for (uint64_t step = PLR_MAX(from, s->feeder.start_step); step < s->feeder.step; step++)
    plr__feeder_unsettled(s, step);
}

/* ---- feeding ---------------------------------------------------------------------------------- */

/* Makes a token frame in s->frame; 0: it could not be made, and the stage has failed. */
static size_t make_tokens(plr_stage *s, uint32_t kind, uint64_t step, uint32_t mb,
                          const int32_t *tokens, uint32_t rows, uint32_t cols, plr_hash *hash) {
  plr_frame_info info = {.struct_size = sizeof info, .role = PLR_ROLE_TOKENS};
  size_t len = s->scratch_cap;
  info.stream = PLR__STREAM(kind, 0);
  info.step = (uint32_t)step, info.micro_batch = mb;
  plr_status st =
      plr_tokens_encode(s->ctx, &info, tokens, rows, cols, s->info.vocab, s->frame, &len);
  if (st != PLR_OK) {
    plr__stage_fail(s, st, "the token frame of step %llu, micro-batch %u could not be made: %s",
                    (unsigned long long)step, mb, plr_status_message(st));
    return 0;
  }
  plr_sha256(s->frame, len, hash);
  return len;
}

static void send_tokens(plr_stage *s, uint32_t kind, uint64_t step, uint32_t mb,
                        const int32_t *tokens, uint32_t rows, uint32_t cols, plr_hash *hash) {
  size_t len = make_tokens(s, kind, step, mb, tokens, rows, cols, hash);
  if (!len) return;
  plr__journal(s, PLR__JOURNAL_SENT, PLR__DOWN, PLR_ROLE_TOKENS, step, mb, s->now, len, hash);
  plr__stage_send(s, plr__peer_first(s, PLR__DOWN), s->frame, len, PLR__PRIORITY_FLOW);
}

/* Draws a micro-batch of the corpus into f->tokens. */
static plr_status draw(plr_stage *s, uint32_t split, uint64_t index) {
  plr_error err = {.struct_size = sizeof err};
  plr_status st = plr_corpus_batch(s->feeder.corpus, split, s->info.data_seed, index,
                                   s->info.micro_batch, s->info.seq_len, s->feeder.tokens, &err);
  if (st != PLR_OK)
    plr__stage_fail(s, st, "micro-batch %llu of the corpus: %s", (unsigned long long)index,
                    err.message);
  return st;
}

static void open_step(plr_stage *s, uint64_t step, plr__open *open) {
  const plr__roots *root = plr__feeder_root(s, plr__feeder_root_step(s, step));
  plr__control c = {.type = PLR__CONTROL_OPEN, .step = step, .epoch = s->feeder.epoch};
  c.root_step = root->step, c.root = root->root;
  if (!s->async && plr__feeder_snapshot_due(s, step + 1)) c.flags = PLR__CONTROL_FLAG_SNAPSHOT;
  memset(open, 0, sizeof *open);
  open->step = step, open->epoch = c.epoch, open->root_step = c.root_step, open->root = c.root;
  open->flags = c.flags, open->valid = 1;
  s->opens[step % s->steps_kept] = *open;
  s->open_next = step + 1;
  plr__stage_flood(s, &c, PLR__PRIORITY_FLOW);
}

static void begin_step(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  uint32_t mbs = s->info.micro_batches, at = (uint32_t)(f->step % s->steps_kept);
  plr__open open;
  open_step(s, f->step, &open);
  memset(f->settled + (size_t)at * mbs * s->count, 0, (size_t)mbs * s->count);
  f->settled_count[at] = f->losses[at] = 0;
  f->outstanding += (uint64_t)mbs * s->count;
  for (uint32_t mb = 0; mb < mbs; mb++) {
    plr__record *r = plr__record_begin(s, f->step, mb);
    r->open = open;
    r->state = PLR__RECORD_FORWARD;
  }
  f->left = mbs;
  f->step++;
}

static void feed_one(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  uint64_t step = f->step - 1;
  uint32_t mbs = s->info.micro_batches, mb = mbs - f->left;
  plr__record *r = plr__record_of(s, step, mb);
  if (draw(s, PLR_SPLIT_TRAIN, step * mbs + mb) != PLR_OK) return;
  f->left--;
  plr_hash *hash = &r->frames[PLR__FRAME_TOKENS];
  uint32_t rows = s->info.micro_batch, cols = s->info.seq_len + 1u;
  if (!s->async) {
    const plr__peer *to = plr__peer_first(s, PLR__DOWN), *from = plr__peer_first(s, PLR__UP);
    if (to) r->peer[PLR__DOWN] = to->id;
    if (from) r->peer[PLR__UP] = from->id;
    send_tokens(s, PLR__KIND_TRAIN, step, mb, f->tokens, rows, cols, hash);
    return;
  }
  size_t len = make_tokens(s, PLR__KIND_TRAIN, step, mb, f->tokens, rows, cols, hash);
  if (len && plr__frame_keep(s, &r->tokens, s->frame, len)) plr__route(s, r);
}

/* Begins the next step when it may; 1 when there is something to feed. */
static int can_feed(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  uint64_t fed = f->step * s->info.micro_batches - f->left;
  if (s->failed != PLR_OK || !plr__stage_has_room(s)) return 0;
  if (s->async && fed - f->finished >= s->window) return 0;
  if (!f->left && f->step < f->until && may_open(s, f->step)) begin_step(s);
  return f->left > 0;
}

static void finish_command(plr_stage *s, const plr_stage_event *last) {
  plr_stage_event idle = {.type = PLR_STAGE_IDLE, .step = s->feeder.steps_done};
  s->feeder.command = s->feeder.stop_wanted ? PLR__COMMAND_STOP : PLR__COMMAND_NONE;
  if (last) plr__event(s, last, NULL);
  plr__event(s, &idle, NULL);
}

static void pump_train(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  if (!f->started) {
    f->started = 1;
    ask_snapshot(s, f->start_step);
  }
  if (f->stop_wanted) f->until = PLR_MIN(f->until, f->step);
  if (s->async && snapshot_waits(s, f->step) && all_finished(s)) ask_snapshot(s, f->step);
  while (can_feed(s)) feed_one(s);
  stop_waiting(s);
  if (f->steps_done < f->until || f->outstanding || f->left) return;
  if (s->async && !all_finished(s)) return;
  if (plr__feeder_snapshot_due(s, f->steps_done) && !plr__feeder_root(s, f->steps_done)) return;
  if (!plr__feeder_root(s, f->start_step) && f->steps_done == f->start_step) return;
  finish_command(s, NULL);
}

/* Forward-only work is kept by nobody: what has not come back after a while is fed again. */
static void feed_again(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  if (!s->async || f->returned == f->fed || s->now < f->quiet_ns + plr__feeder_patience(s)) return;
  f->fed = f->returned;
  f->quiet_ns = s->now;
}

static void pump_evaluate(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  uint32_t window = plr__pipeline_depth(s);
  plr_hash hash;
  if (f->stop_wanted) f->batches = PLR_MIN(f->batches, f->fed);
  feed_again(s);
  while (f->fed < f->batches && f->fed - f->returned < window && plr__stage_has_room(s)) {
    if (draw(s, PLR_SPLIT_VALIDATION, f->fed) != PLR_OK) return;
    send_tokens(s, PLR__KIND_EVALUATE, 0, f->fed, f->tokens, s->info.micro_batch,
                s->info.seq_len + 1u, &hash);
    f->fed++;
  }
  if (f->returned < f->batches) return;
  plr_stage_event e = {.type = PLR_STAGE_EVAL, .step = f->steps_done, .index = f->batches};
  e.value = f->batches ? f->loss_sum / ((double)f->batches * s->rows) : 0;
  finish_command(s, &e);
}

static void pump_generate(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  plr_hash hash;
  if (f->stop_wanted) f->batches = PLR_MIN(f->batches, f->fed);
  feed_again(s);
  if (f->returned < f->fed) return;
  if (f->fed < f->batches && plr__stage_has_room(s)) {
    f->sample.index = f->fed, f->sample.position = f->fed;
    plr__stage_relay(s, &f->sample, PLR__PRIORITY_FLOW);
    send_tokens(s, PLR__KIND_GENERATE, 0, f->fed, f->context, 1, f->context_len, &hash);
    f->fed++;
  }
  if (f->returned < f->batches) return;
  plr_stage_event e = {.type = PLR_STAGE_GENERATED, .step = f->steps_done, .index = f->batches};
  finish_command(s, &e);
}

/* All stages snapshot at this step; when the root is known everything is in, and DONE goes round. */
static void pump_stop(plr_stage *s) {
  plr__feeder *f = &s->feeder;
  if (!f->stop_sent) {
    plr__control c = {.type = PLR__CONTROL_STOP, .step = f->step};
    if (f->started) c.flags = PLR__CONTROL_FLAG_SNAPSHOT;
    f->stop_sent = 1;
    f->snapshot = f->step;
    plr__stage_flood(s, &c, PLR__PRIORITY_FLOW);
  }
  if (!f->done_sent && (!f->started || plr__feeder_root(s, f->step))) {
    plr__control c = {.type = PLR__CONTROL_DONE};
    f->done_sent = 1;
    plr__stage_flood(s, &c, PLR__PRIORITY_FLOW);
  }
}

void plr__feeder_pump(plr_stage *s) {
  if (s->role != PLR_STAGE_FEEDER || s->failed != PLR_OK || s->stopped || !s->ready_reported ||
      !plr__stage_has_room(s))
    return;
  switch (s->feeder.command) {
  case PLR__COMMAND_TRAIN:
    pump_train(s);
    break;
  case PLR__COMMAND_EVALUATE:
    pump_evaluate(s);
    break;
  case PLR__COMMAND_GENERATE:
    pump_generate(s);
    break;
  default:
    break;
  }
  if (s->feeder.command == PLR__COMMAND_STOP && s->failed == PLR_OK) pump_stop(s);
}

/* ---- commands --------------------------------------------------------------------------------- */

static plr_status may_command(const plr_stage *s) {
  if (!s) return PLR_ERR_INVALID_ARGUMENT;
  if (s->failed != PLR_OK) return s->failed;
  if (s->role != PLR_STAGE_FEEDER || s->stopped) return PLR_ERR_INVALID_STATE;
  return s->feeder.command != PLR__COMMAND_NONE ? PLR_ERR_AGAIN : PLR_OK;
}

static plr_status begin(plr_stage *s, uint32_t command, uint32_t batches) {
  plr__feeder *f = &s->feeder;
  f->command = command;
  f->batches = batches;
  f->fed = f->returned = 0;
  f->loss_sum = 0;
  f->quiet_ns = s->now;
  plr__feeder_pump(s);
  plr__stage_flush(s);
  return s->failed;
}

plr_status plr_stage_train(plr_stage *s, uint64_t until_step) {
  PLR_GUARD(s, NULL);
  PLR_TRY(may_command(s));
  if (until_step > UINT32_MAX) return PLR_ERR_LIMIT; /* frames count steps in 32 bits */
  s->feeder.until = PLR_MAX(until_step, s->feeder.step);
  return begin(s, PLR__COMMAND_TRAIN, 0);
}

plr_status plr_stage_evaluate(plr_stage *s, uint32_t batches) {
  PLR_GUARD(s, NULL);
  PLR_TRY(may_command(s));
  if (batches == 0) return PLR_ERR_INVALID_ARGUMENT;
  return begin(s, PLR__COMMAND_EVALUATE, batches);
}

plr_status plr_stage_generate(plr_stage *s, const int32_t *prompt, uint32_t prompt_len,
                              uint32_t count, float temperature, uint32_t top_k, uint64_t seed) {
  PLR_GUARD(s, NULL);
  PLR_TRY(may_command(s));
  plr__feeder *f = &s->feeder;
  if (!prompt || prompt_len == 0 || prompt_len > s->info.seq_len || count == 0 ||
      !isfinite(temperature) || temperature < 0)
    return PLR_ERR_INVALID_ARGUMENT;
  for (uint32_t i = 0; i < prompt_len; i++)
    if (prompt[i] < 0 || (uint32_t)prompt[i] >= s->info.vocab) return PLR_ERR_INVALID_ARGUMENT;
  memcpy(f->context, prompt, prompt_len * sizeof *prompt);
  f->context_len = prompt_len;
  memset(&f->sample, 0, sizeof f->sample);
  f->sample.type = PLR__CONTROL_SAMPLE;
  f->sample.temperature = temperature, f->sample.top_k = top_k, f->sample.seed = seed;
  return begin(s, PLR__COMMAND_GENERATE, count);
}

plr_status plr_stage_stop(plr_stage *s) {
  PLR_GUARD(s, NULL);
  plr_status st = may_command(s);
  if (st != PLR_OK && st != PLR_ERR_AGAIN) return st;
  s->feeder.stop_wanted = 1;
  if (st == PLR_OK) s->feeder.command = PLR__COMMAND_STOP;
  plr__feeder_pump(s);
  plr__stage_flush(s);
  return s->failed;
}

plr_status plr_stage_set_epoch(plr_stage *s, uint64_t epoch) {
  PLR_GUARD(s, NULL);
  if (!s) return PLR_ERR_INVALID_ARGUMENT;
  if (s->failed != PLR_OK) return s->failed;
  if (s->role != PLR_STAGE_FEEDER) return PLR_ERR_INVALID_STATE;
  s->feeder.epoch = epoch;
  return PLR_OK;
}
