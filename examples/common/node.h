/* The host loop of stage.h on libuv: one plr_stage, its two links, and one job at a time on a
 * work thread, so that bytes keep moving while the stage computes. Worker processes and the
 * feeder run the same loop. */
#ifndef EXAMPLES_NODE_H
#define EXAMPLES_NODE_H

#include <pluralis/stage.h>
#include <uv.h>

#include "uv_link.h"

struct node;

struct node_callbacks {
  /* An event of the stage; commands to the stage may be given from here. Data is valid during
   * the call. */
  void (*event)(void *user, const plr_stage_event *event);
  /* Instead of plr_job_run, on the work thread; NULL: just that. */
  void (*run)(void *user, plr_job *job);
  /* A job is back; times of uv_hrtime around its run. May be NULL. */
  void (*done)(void *user, const plr_job_info *job, uint64_t begin_ns, uint64_t end_ns);
  void *user;
};

struct node {
  uv_loop_t *loop;
  plr_stage *stage;
  struct node_callbacks callbacks;
  struct uv_link
      side[2]; /* PLR_SIDE_UPSTREAM, PLR_SIDE_DOWNSTREAM; set up by the host, then attached */
  uv_timer_t timer;
  uv_work_t work;
  plr_job *job;
  uint64_t job_begin_ns, job_end_ns;
  int32_t attached, pumping, again, closing;
};

/* The stage is borrowed until the loop has run dry after node_close. */
void node_init(struct node *n, uv_loop_t *loop, plr_stage *stage,
               const struct node_callbacks *callbacks);

/* Gives both links to the stage. uv_link_init(&n->side[i], ..., node_pump, n) came before. */
plr_status node_attach(struct node *n);

/* Moves everything that can move. Call it after giving the stage a command. `node` is a struct
 * node. */
void node_pump(void *node);
void node_close(struct node *n);

#endif
