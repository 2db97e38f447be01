/* Inside of a run: run.c (processes, links, time), run_flow.c (what comes after what). */
#ifndef TRAIN_RUN_INT_H
#define TRAIN_RUN_INT_H

#include "node.h"
#include "panel.h"
#include "run.h"
#include "workers.h"

enum run_phase {
  RUN_STARTING, /* processes, links, accounts */
  RUN_TRAINING,
  RUN_EVALUATING,
  RUN_FREEZING, /* the last traffic figures come in */
  RUN_GENERATING,
  RUN_CLAIMING, /* revenue is paid out */
  RUN_STOPPING, /* last snapshots */
  RUN_OVER,
};

#define RUN_MAX_REASONS 8

struct run {
  const struct run_job *job;
  struct run_record *record;
  char dir[1024];
  uint32_t stages;
  enum run_phase phase;
  int result;

  uv_loop_t loop;
  uv_signal_t interrupt, terminate;
  uv_timer_t tick, grace;
  struct workers workers;
  struct node node;
  plr_stage *stage;
  plr_link *link[2];
  int listening_fd;
  uint16_t first_port;
  uint32_t ticks;
  int32_t closing, workers_closed, interrupted;
  char reason[RUN_MAX_REASONS][600];
  size_t reasons;

  uint64_t start_step, step, steps; /* optimizer steps: at the start of this session, done, to do */
  uint64_t until;                   /* of the present train command */
  uint32_t accounts_due, claims_due;
  int32_t have_point;
  struct run_point point; /* of the newest step, until it is recorded */
  double valid_loss;
  struct strbuf sample;

  uint64_t train_begin_ns, train_ns; /* present train command, and those before it */
  double seconds_base;               /* of earlier sessions */
  uint64_t mark_ns, mark_step;       /* where the speed is measured from */
  uint64_t idle_ns, busy[RUN_MAX_STAGES], busy_total[RUN_MAX_STAGES];
  double idle[RUN_MAX_STAGES];
  uint64_t window; /* first of the two steps whose spans are kept */
  int32_t keep_spans;
  struct panel panel;
};

/* run_flow.c */
void run_on_event(void *run, const plr_stage_event *event);
void run_on_frozen(void *run);
void run_interrupt(struct run *r);
void run_show(struct run *r, int now);
void run_save_totals(struct run *r);

/* run.c: notes a reason and ends the run soon. */
void run_fail(struct run *r, const char *message);
void run_close(struct run *r);

#endif
