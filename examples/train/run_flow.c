/* What comes after what: train and evaluate in turns, generate, settle, stop. The stage says
 * when a command is over (PLR_STAGE_IDLE); everything else happens in between. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "keys.h"
#include "run_int.h"

static const char *const phase_names[] = {"starting",   "training",   "evaluating", "counting",
                                          "generating", "paying out", "stopping",   "over"};

/* ---- figures
 * ------------------------------------------------------------------------------------ */

static uint64_t train_time_ns(const struct run *r) {
  return r->train_ns + (r->phase == RUN_TRAINING ? uv_hrtime() - r->train_begin_ns : 0);
}

/* Totals of all sessions, the feeder's own sending included. */
static void collect_traffic(struct run *r) {
  struct run_record *record = r->record;
  plr_link_stats stats[2];
  if (r->phase > RUN_FREEZING) return;
  memcpy(record->traffic, record->traffic_base, sizeof record->traffic);
  workers_traffic(&r->workers, record->traffic);
  for (int side = 0; side < 2; side++) {
    stats[side] = (plr_link_stats){.struct_size = sizeof stats[side]};
    if (r->link[side]) plr_link_get_stats(r->link[side], &stats[side]);
  }
  record->traffic[0].sent += stats[PLR_SIDE_DOWNSTREAM].bytes_sent;
  record->traffic[r->stages].sent += stats[PLR_SIDE_UPSTREAM].bytes_sent;
}

/* Of the last second or more of training; in between, evaluations do not count. */
static void update_idle(struct run *r) {
  uint64_t time = train_time_ns(r), window = time - r->idle_ns;
  if (window < 1000000000u) return;
  r->idle_ns = time;
  for (uint32_t i = 0; i < r->stages; i++) {
    r->idle[i] = fmax(0, 1 - (double)(r->busy_total[i] - r->busy[i]) / (double)window);
    r->busy[i] = r->busy_total[i];
  }
}

void run_show(struct run *r, int now) {
  uint64_t time = uv_hrtime();
  struct panel_view view = {.run = r->record, .phase = phase_names[r->phase], .step = r->step};
  collect_traffic(r);
  update_idle(r);
  view.loss = r->point.step ? r->point.train_loss : NAN;
  view.valid_loss = r->valid_loss;
  view.bigram = r->job->bigram;
  view.idle = r->idle;
  double seconds = (double)(time - r->mark_ns) * 1e-9;
  if (r->phase == RUN_TRAINING && r->step > r->mark_step && seconds > 0) {
    view.tokens_per_s = (double)((r->step - r->mark_step) * r->record->tokens_per_step) / seconds;
    view.seconds_left =
        (double)((r->steps - r->step) * r->record->tokens_per_step) / view.tokens_per_s;
  }
  panel_update(&r->panel, &view, time, now);
}

static void record_point(struct run *r) {
  if (!r->have_point) return;
  collect_traffic(r);
  struct run_traffic sum = run_record_between_stages(r->record);
  r->point.sent = sum.sent;
  r->point.raw = sum.raw;
  r->point.seconds = r->seconds_base + (double)train_time_ns(r) * 1e-9;
  run_record_point(r->record, &r->point);
  if (r->job->o->compress_auto && !r->job->plan->dense) {
    const struct run_rate rate = {r->point.step, (double)options_rate(r->job->o, r->point.step - 1),
                                  workers_rate(&r->workers)};
    run_record_rate(r->record, &rate);
  }
  r->have_point = 0;
}

void run_save_totals(struct run *r) {
  uint64_t time = train_time_ns(r);
  record_point(r);
  collect_traffic(r);
  for (uint32_t i = 0; i < r->stages && time; i++)
    r->record->idle[i] = fmax(0, 1 - (double)r->busy_total[i] / (double)time);
  run_record_traffic(r->record);
  if (!time) return;
  memcpy(r->idle, r->record->idle, sizeof r->idle);
  run_record_idle(r->record);
}

/* ---- commands
 * ----------------------------------------------------------------------------------- */

static void check(struct run *r, plr_status status, const char *what) {
  char text[128];
  /* AGAIN: an interrupt is being obeyed; STOPPED will come. A failed stage says so itself. */
  if (status == PLR_OK || (status == PLR_ERR_AGAIN && r->interrupted) || status <= -200) return;
  snprintf(text, sizeof text, "feeder: cannot %s: %s", what, plr_status_message(status));
  run_fail(r, text);
}

static int is_evaluated(const struct run *r, uint64_t step) {
  return step == r->steps || step % r->job->o->eval_every == 0;
}

static void start_training(struct run *r) {
  uint64_t every = r->job->o->eval_every;
  r->until = (r->step / every + 1) * every;
  if (r->until > r->steps) r->until = r->steps;
  r->phase = RUN_TRAINING;
  r->train_begin_ns = r->mark_ns = uv_hrtime();
  r->mark_step = r->step;
  check(r, plr_stage_train(r->stage, r->until), "train");
}

static void start_evaluation(struct run *r) {
  r->train_ns += uv_hrtime() - r->train_begin_ns;
  r->phase = RUN_EVALUATING;
  check(r, plr_stage_evaluate(r->stage, (uint32_t)r->job->o->eval_batches), "evaluate");
}

static void start_generation(struct run *r) {
  int32_t prompt[4096];
  const char *text = r->job->o->prompt;
  size_t len = strlen(text), most = r->job->plan->info.seq_len;
  if (most > 4096) most = 4096;
  if (len > most) text += len - most, len = most;
  for (size_t i = 0; i < len; i++) prompt[i] = (unsigned char)text[i];
  r->phase = RUN_GENERATING;
  check(r,
        plr_stage_generate(r->stage, prompt, (uint32_t)len, (uint32_t)r->job->o->sample, 0.8f, 40,
                           r->job->o->seed),
        "generate");
}

static void stop(struct run *r) {
  r->phase = RUN_STOPPING;
  check(r, plr_stage_stop(r->stage), "stop");
}

/* ---- settlement
 * --------------------------------------------------------------------------------- */

static void finish_settlement(struct run *r) {
  char message[512];
  if (books_close_epoch(r->job->books, message, sizeof message) != 0) {
    run_fail(r, message);
    return;
  }
  stop(r);
}

/* The work of the run becomes shares, a deposit becomes payable, everyone claims. A stage is
 * told its nonce: it keeps no ledger, and signs the claim itself. */
static void settle(struct run *r) {
  char message[512];
  struct books *books = r->job->books;
  const plr_hash *model = &r->job->plan->hash;
  r->phase = RUN_CLAIMING;
  if (books_flush(books, message, sizeof message) != 0 ||
      books_close_epoch(books, message, sizeof message) != 0 ||
      books_deposit(books, model, r->job->o->deposit * 100, message, sizeof message) != 0 ||
      books_claim_own(books, model, message, sizeof message) != 0) {
    run_fail(r, message);
    return;
  }
  for (uint32_t i = 0; i < r->stages; i++) {
    struct worker_process *p = &r->workers.list[i];
    plr_balance balance;
    plr_hash account;
    uint8_t key[32];
    if (keys_from_hex(p->key, key) != 0) continue;
    plr_account_id(key, &account);
    if (plr_ledger_balance(books->ledger, &account, model, &balance) != PLR_OK || !balance.payable)
      continue;
    r->claims_due++;
    lines_send(&p->lines, "claim %" PRIu64, books_next_nonce(books, key));
  }
  if (!r->claims_due) finish_settlement(r);
}

static void take_entry(struct run *r, const plr_stage_event *event) {
  char message[512];
  const char *what = r->phase == RUN_STARTING ? "AccountOpen of a stage" : "Claim of a stage";
  if (books_append(r->job->books, event->data, event->len, what, message, sizeof message) != 0) {
    run_fail(r, message);
  } else if (r->phase == RUN_STARTING && r->accounts_due && --r->accounts_due == 0) {
    start_training(r);
  } else if (r->phase == RUN_CLAIMING && r->claims_due && --r->claims_due == 0) {
    finish_settlement(r);
  }
}

/* ---- events
 * ------------------------------------------------------------------------------------- */

static void take_step(struct run *r, const plr_stage_event *event) {
  record_point(r);
  r->step = event->step;
  r->point = (struct run_point){.step = event->step, .train_loss = event->value, .valid_loss = NAN};
  r->have_point = 1;
  for (int side = 0; side < 2; side++)
    shaper_set_rate(&r->node.side[side].shaper, options_rate(r->job->o, r->step));
  if (!is_evaluated(r, r->step)) record_point(r);
  run_show(r, 0);
}

static void take_evaluation(struct run *r, const plr_stage_event *event) {
  if (event->index < r->job->o->eval_batches) return; /* cut short by an interrupt */
  if (!r->have_point) {
    /* after a resume at the last step: only the evaluation was missing */
    r->point = (struct run_point){.step = r->step, .train_loss = NAN};
    r->have_point = 1;
  }
  r->valid_loss = r->point.valid_loss = event->value;
  record_point(r);
  run_show(r, 0);
}

static void take_sample(struct run *r) {
  static const char nothing[] = "";
  run_record_sample(r->record, r->job->o->prompt, r->sample.text ? r->sample.text : nothing);
}

/* A command is over: what is next? */
static void go_on(struct run *r) {
  if (r->interrupted || r->closing) return;
  if (r->phase == RUN_TRAINING) {
    start_evaluation(r);
  } else if (r->phase == RUN_EVALUATING && r->step < r->steps) {
    start_training(r);
  } else if (r->phase == RUN_EVALUATING) {
    r->phase = RUN_FREEZING;
    workers_send_all(&r->workers, "freeze");
  } else if (r->phase == RUN_GENERATING) {
    settle(r);
  }
}

void run_on_frozen(void *user) {
  struct run *r = user;
  if (r->phase != RUN_FREEZING || r->interrupted) return;
  run_save_totals(r);
  if (r->job->o->sample) {
    start_generation(r);
  } else {
    settle(r);
  }
  node_pump(&r->node);
}

static void stopped(struct run *r) {
  char message[512];
  if (books_flush(r->job->books, message, sizeof message) != 0) {
    run_fail(r, message);
    return;
  }
  if (r->phase <= RUN_FREEZING || r->interrupted) run_save_totals(r);
  r->result = r->interrupted ? RUN_STOPPED : RUN_DONE;
  r->phase = RUN_OVER;
  run_close(r);
}

void run_on_event(void *user, const plr_stage_event *event) {
  struct run *r = user;
  if (r->closing) return;
  switch (event->type) {
  case PLR_STAGE_READY:
    if (r->phase == RUN_STARTING && !r->accounts_due) start_training(r);
    break;
  case PLR_STAGE_STEP:
    take_step(r, event);
    break;
  case PLR_STAGE_EVAL:
    take_evaluation(r, event);
    break;
  case PLR_STAGE_TOKEN:
    strbuf_add(&r->sample, &(char){(char)event->token}, 1);
    break;
  case PLR_STAGE_GENERATED:
    take_sample(r);
    break;
  case PLR_STAGE_RECEIPT:
    books_queue(r->job->books, event->data, event->len);
    break;
  case PLR_STAGE_ENTRY:
    take_entry(r, event);
    break;
  case PLR_STAGE_REFUSED:
    fprintf(stderr, "%s\n", event->message);
    break;
  case PLR_STAGE_IDLE:
    go_on(r);
    break;
  case PLR_STAGE_STOPPED:
    stopped(r);
    break;
  case PLR_STAGE_FAILED:
    run_fail(r, event->message);
    break;
  default:
    break;
  }
}

void run_interrupt(struct run *r) {
  if (r->interrupted++) {
    run_fail(r, "interrupted twice: ended without a snapshot");
    return;
  }
  if (r->phase == RUN_STARTING) {
    run_fail(r, "interrupted before the first step");
    return;
  }
  if (r->phase >= RUN_STOPPING) return;
  if (r->phase == RUN_TRAINING) r->train_ns += uv_hrtime() - r->train_begin_ns;
  stop(r);
  node_pump(&r->node);
}
