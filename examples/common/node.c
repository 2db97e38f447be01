#include "node.h"

#include <string.h>

static void run_job(uv_work_t *work) {
  struct node *n = work->data;
  n->job_begin_ns = uv_hrtime();
  if (n->callbacks.run) {
    n->callbacks.run(n->callbacks.user, n->job);
  } else {
    plr_job_run(n->job); /* its status stays in the job: complete acts on it */
  }
  n->job_end_ns = uv_hrtime();
}

static void job_done(uv_work_t *work, int status) {
  struct node *n = work->data;
  plr_job *job = n->job;
  plr_job_info info = {.struct_size = sizeof info};
  (void)status;
  n->job = NULL;
  if (n->closing) return;
  plr_job_get_info(job, &info);
  plr_stage_complete(n->stage, job, uv_hrtime());
  if (n->callbacks.done)
    n->callbacks.done(n->callbacks.user, &info, n->job_begin_ns, n->job_end_ns);
  node_pump(n);
}

static void start_job(struct node *n) {
  if (n->job || plr_stage_next_job(n->stage, &n->job) != PLR_OK) return;
  n->work.data = n;
  uv_queue_work(n->loop, &n->work, run_job, job_done);
}

static void drain_events(struct node *n) {
  plr_stage_event event = {.struct_size = sizeof event};
  while (!n->closing && plr_stage_next_event(n->stage, &event) == PLR_OK) {
    n->callbacks.event(n->callbacks.user, &event);
    n->again = 1; /* the answer to an event may be a command */
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
  }
}

static void on_timer(uv_timer_t *timer) {
  node_pump(timer->data);
}

static void set_timer(struct node *n) {
  uint64_t when = plr_stage_next_deadline_ns(n->stage), now = uv_hrtime();
  if (when == PLR_NEVER) {
    uv_timer_stop(&n->timer);
  } else {
    uv_timer_start(&n->timer, on_timer, when > now ? (when - now) / 1000000 + 1 : 1, 0);
  }
}

/* Links, jobs and event handlers all end here; a call from inside is one more round of the outer
 * call. */
void node_pump(void *node) {
  struct node *n = node;
  if (n->closing || !n->attached) return;
  n->again = 1;
  if (n->pumping) return;
  n->pumping = 1;
  while (n->again && !n->closing) {
    n->again = 0;
    /* A failure comes back as an event. */
    plr_stage_advance(n->stage, uv_hrtime());
    drain_events(n);
    if (n->closing) break;
    start_job(n);
    uv_link_flush(&n->side[PLR_SIDE_UPSTREAM]);
    uv_link_flush(&n->side[PLR_SIDE_DOWNSTREAM]);
  }
  n->pumping = 0;
  if (!n->closing) set_timer(n);
}

void node_init(struct node *n, uv_loop_t *loop, plr_stage *stage,
               const struct node_callbacks *callbacks) {
  memset(n, 0, sizeof *n);
  n->loop = loop;
  n->stage = stage;
  n->callbacks = *callbacks;
  uv_timer_init(loop, &n->timer);
  n->timer.data = n;
}

plr_status node_attach(struct node *n) {
  plr_status status = PLR_OK;
  for (uint32_t side = 0; side < 2 && status == PLR_OK; side++)
    status = plr_stage_attach(n->stage, side, n->side[side].link);
  n->attached = status == PLR_OK;
  return status;
}

void node_close(struct node *n) {
  if (n->closing) return;
  n->closing = 1;
  uv_close((uv_handle_t *)&n->timer, NULL);
  for (int side = 0; side < 2; side++)
    if (n->side[side].loop) uv_link_close(&n->side[side]);
}
