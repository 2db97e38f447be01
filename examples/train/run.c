#include "run.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "keys.h"
#include "run_int.h"
#include "snapshots.h"
#include "strbuf.h"

#define TICK_MS     200
#define FLUSH_TICKS 5   /* ticks between two transactions of the ledger */
#define GRACE_MS    500 /* in which the other reasons of a failure come in */

/* ---- ending
 * ------------------------------------------------------------------------------------- */

static void close_workers(struct run *r) {
  if (!r->closing || r->workers_closed || r->workers.running) return;
  r->workers_closed = 1;
  workers_close(&r->workers);
}

void run_close(struct run *r) {
  if (r->closing) return;
  r->closing = 1;
  uv_close((uv_handle_t *)&r->interrupt, NULL);
  uv_close((uv_handle_t *)&r->terminate, NULL);
  uv_close((uv_handle_t *)&r->tick, NULL);
  uv_close((uv_handle_t *)&r->grace, NULL);
  if (r->node.loop) node_close(&r->node);
  workers_quit(&r->workers);
  close_workers(r);
}

static void on_grace(uv_timer_t *timer) {
  run_close(timer->data);
}

/* One failure shows in several places. What happened to a process says most, so it goes first. */
void run_fail(struct run *r, const char *message) {
  if (r->closing) return;
  int first = strstr(message, "its process (") != NULL;
  if (r->reasons < RUN_MAX_REASONS) {
    size_t at = first ? 0 : r->reasons;
    memmove(r->reason[at + 1], r->reason[at], (r->reasons - at) * sizeof r->reason[0]);
    snprintf(r->reason[at], sizeof r->reason[at], "%s", message);
    r->reasons++;
  }
  r->result = RUN_FAILED;
  if (!uv_is_active((uv_handle_t *)&r->grace)) uv_timer_start(&r->grace, on_grace, GRACE_MS, 0);
}

static void tell(const struct run *r) {
  for (size_t i = 0; i < r->reasons; i++)
    fprintf(stderr, "%s%s\n", i ? "  " : "error: ", r->reason[i]);
}

/* ---- callbacks
 * ---------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int number) {
  (void)number;
  run_interrupt(handle->data);
}

static void on_tick(uv_timer_t *timer) {
  struct run *r = timer->data;
  char message[512];
  if (++r->ticks % FLUSH_TICKS == 0 && books_flush(r->job->books, message, sizeof message) != 0)
    run_fail(r, message);
  run_show(r, 0);
}

static void on_span(void *user, const struct run_span *span) {
  struct run *r = user;
  if (span->kind > RUN_STEP) return;
  r->busy_total[span->stage] += span->end_ns - span->begin_ns;
  if (r->keep_spans && (span->step == r->window || span->step == r->window + 1))
    run_record_span(r->record, span);
}

static void on_worker_failed(void *user, const char *message) {
  run_fail(user, message);
}

static void on_workers_ended(void *user) {
  close_workers(user);
}

/* ---- starting
 * ----------------------------------------------------------------------------------- */

static int make_link(struct run *r, uint32_t side, const char *key_hex) {
  plr_link_options options;
  plr_link_options_init(&options, sizeof options);
  options.initiator = side == PLR_SIDE_DOWNSTREAM;
  options.datagram = options_datagram(r->job->o);
  options.model = r->job->plan->hash;
  plr_profile_hash(&options.profile);
  if (keys_from_hex(key_hex, options.peer_key) != 0) return -1;
  if (keys_random(options.nonce, sizeof options.nonce) != 0) return -1;
  if (plr_link_create(r->job->ctx, r->job->books->feeder, &options, &r->link[side], NULL) != PLR_OK)
    return -1;
  const struct uv_link_options wire = options_wire(r->job->o, r->start_step);
  uv_link_init(&r->node.side[side], &r->loop, r->link[side], &wire, node_pump, &r->node);
  return 0;
}

/* All keys are known: everyone learns who its neighbours must be, and the ring closes. */
static void on_keys(void *user) {
  struct run *r = user;
  uint8_t key[32];
  char own[65];
  plr_identity_public_key(r->job->books->feeder, key);
  format_hex(own, sizeof own, key, sizeof key);
  for (uint32_t i = 0; i < r->stages; i++) {
    struct worker_process *p = &r->workers.list[i];
    int is_new = keys_from_hex(p->key, key) == 0 && books_next_nonce(r->job->books, key) == 1;
    r->accounts_due += (uint32_t)is_new;
    memcpy(r->record->keys[i], p->key, sizeof p->key);
    lines_send(&p->lines, "peers %s %s %d", i ? p[-1].key : own, i + 1 < r->stages ? p[1].key : own,
               is_new);
  }
  run_record_keys(r->record);
  if (make_link(r, PLR_SIDE_UPSTREAM, r->workers.list[r->stages - 1].key) != 0 ||
      make_link(r, PLR_SIDE_DOWNSTREAM, r->workers.list[0].key) != 0 ||
      node_attach(&r->node) != PLR_OK ||
      uv_link_accept(&r->node.side[PLR_SIDE_UPSTREAM], r->listening_fd) != 0) {
    run_fail(r, "feeder: the links could not be made");
    return;
  }
  r->listening_fd = -1; /* the loop closes it */
  if (uv_link_connect(&r->node.side[PLR_SIDE_DOWNSTREAM], place_of(r->job->o->netns, 1).address,
                      r->first_port) != 0)
    run_fail(r, "feeder: the link to the first stage could not be made");
}

static int make_stage(struct run *r, char *message, size_t cap) {
  plr_stage_options options;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_stage_options_init(&options, sizeof options);
  options.role = PLR_STAGE_FEEDER;
  options.count = r->stages;
  options.snapshot_every = (uint32_t)r->job->o->snapshot_every;
  struct options_schedule how =
      options_schedule(r->job->o, 0, r->stages, r->job->plan->info.micro_batches);
  options.schedule = how.schedule, options.window = how.window;
  options.epoch = books_epoch(r->job->books);
  options.start_step = r->start_step;
  options.origin = r->job->books->origin;
  options.identity = r->job->books->feeder;
  options.model = r->job->plan->model;
  options.corpus = r->job->corpus;
  plr_status status = plr_codec_from_name(r->job->plan->codec, &options.forward_codec);
  options.backward_codec = options.forward_codec;
  if (status == PLR_OK) status = plr_stage_create(r->job->ctx, &options, &r->stage, &err);
  if (status == PLR_OK) return 0;
  snprintf(message, cap, "feeder: %s: %s (%s)", err.where, err.message, plr_status_name(status));
  return -1;
}

static int open_record(struct run *r, char *message, size_t cap) {
  const struct plan *plan = r->job->plan;
  struct run_record *record = r->record;
  memset(record, 0, sizeof *record);
  snprintf(record->name, sizeof record->name, "%s", plan->name);
  snprintf(record->boundary, sizeof record->boundary, "%s", plan->boundary);
  record->stages = r->stages;
  record->dense = plan->dense;
  record->steps_total = plan->info.steps;
  record->tokens_per_step =
      (uint64_t)plan->info.micro_batch * plan->info.micro_batches * plan->info.seq_len;
  record->parameters = plan->info.parameters;
  record->ratio_planned = plan->ratio;
  if (run_record_open(record, r->dir, r->start_step, message, cap) != 0) return -1;
  if (record->point_count) r->seconds_base = record->points[record->point_count - 1].seconds;
  r->valid_loss = run_record_valid_loss(record);
  /* A window in the middle, without an evaluation in it. */
  r->window = r->start_step + (r->steps - r->start_step) / 2;
  if ((r->window + 1) % r->job->o->eval_every == 0 && r->window + 2 < r->steps) r->window++;
  r->keep_spans = record->span_count == 0;
  return 0;
}

static void init_loop(struct run *r) {
  uv_loop_init(&r->loop);
  uv_signal_init(&r->loop, &r->interrupt);
  uv_signal_init(&r->loop, &r->terminate);
  uv_timer_init(&r->loop, &r->tick);
  uv_timer_init(&r->loop, &r->grace);
  r->interrupt.data = r->terminate.data = r->tick.data = r->grace.data = r;
  uv_signal_start(&r->interrupt, on_signal, SIGINT);
  uv_signal_start(&r->terminate, on_signal, SIGTERM);
  uv_timer_start(&r->tick, on_tick, TICK_MS, TICK_MS);
}

static int start(struct run *r, char *message, size_t cap) {
  struct workers_callbacks workers = {on_keys,          run_on_frozen,    on_span,
                                      on_worker_failed, on_workers_ended, r};
  struct node_callbacks node = {run_on_event, NULL, NULL, r};
  uint16_t port = 0;
  if (plan_save(r->job->plan, r->dir, message, cap) != 0 || open_record(r, message, cap) != 0 ||
      books_register(r->job->books, r->job->plan, message, cap) != 0 ||
      make_stage(r, message, cap) != 0)
    return -1;
  node_init(&r->node, &r->loop, r->stage, &node);
  const struct place place = place_of(r->job->o->netns, 0);
  int error = place_enter(&place, NULL);
  r->listening_fd = error ? error : uv_link_listen(&place, options_datagram(r->job->o) != 0, &port);
  if (r->listening_fd < 0) {
    snprintf(message, cap, "cannot listen on %s%s%s: %s", place.address,
             place.netns[0] ? " of " : "", place.netns, uv_strerror(r->listening_fd));
    return -1;
  }
  return workers_start(&r->workers, &r->loop, r->job->o, r->job->plan, r->job->books->origin,
                       r->start_step, port, &r->first_port, &workers, message, cap);
}

static void release(struct run *r) {
  if (r->listening_fd >= 0) close(r->listening_fd);
  plr_stage_destroy(r->stage);
  plr_link_destroy(r->link[0]);
  plr_link_destroy(r->link[1]);
  workers_free(&r->workers);
  strbuf_free(&r->sample);
}

/* Of this session, where something went wrong and right again. */
static void say_accidents(const struct run *r) {
  uint64_t resumes = 0, again = 0;
  workers_accidents(&r->workers, &resumes, &again);
  for (int side = 0; side < 2; side++) {
    plr_link_stats stats = {.struct_size = sizeof stats};
    if (!r->link[side] || plr_link_get_stats(r->link[side], &stats) != PLR_OK) continue;
    if (side == PLR_SIDE_DOWNSTREAM) resumes += stats.resumes;
    again += stats.retransmits;
  }
  if (resumes || again)
    printf("links: resumed %llu times; %llu frames or pieces of them were sent again\n",
           (unsigned long long)resumes, (unsigned long long)again);
}

static void say_result(const struct run *r) {
  say_accidents(r);
  if (r->result == RUN_STOPPED)
    printf("stopped after step %llu of %llu; everything is saved. Go on with: pluralis-train --out "
           "%s --resume\n",
           (unsigned long long)r->step, (unsigned long long)r->steps, r->job->o->out);
  if (r->result != RUN_FAILED) return;
  tell(r);
  uint64_t newest = snapshot_newest(r->job->ctx, r->job->plan->model, r->dir);
  if (newest)
    fprintf(stderr,
            "the newest snapshot that all stages have is of step %llu. Go on from there with: "
            "pluralis-train --out %s --resume\n",
            (unsigned long long)newest, r->job->o->out);
}

int run_train(const struct run_job *job, struct run_record *record) {
  char message[600];
  struct run *r = must_alloc(1, sizeof *r);
  r->job = job;
  r->record = record;
  r->stages = (uint32_t)job->o->stages;
  r->steps = job->plan->info.steps;
  r->listening_fd = -1;
  r->valid_loss = NAN;
  snprintf(r->dir, sizeof r->dir, "%s/%s", job->o->out, job->plan->name);
  mkdir(r->dir, 0777);
  r->start_step = r->step = snapshot_newest(job->ctx, job->plan->model, r->dir);
  panel_init(&r->panel, stdout);
  init_loop(r);
  if (start(r, message, sizeof message) != 0) {
    run_fail(r, message);
    run_close(r);
  }
  uv_run(&r->loop, UV_RUN_DEFAULT);
  uv_loop_close(&r->loop);
  if (r->result != RUN_FAILED) run_show(r, 1);
  panel_finish(&r->panel);
  say_result(r);
  int result = r->result;
  release(r);
  free(r);
  return result;
}
