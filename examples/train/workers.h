/* The worker processes of a run, seen from the parent: started, listened to, ended. */
#ifndef TRAIN_WORKERS_H
#define TRAIN_WORKERS_H

#include <uv.h>

#include "lines.h"
#include "options.h"
#include "plan.h"
#include "run_record.h"

struct workers;

struct worker_process {
  struct workers *all;
  uint32_t index;
  uv_process_t process;
  struct lines lines;
  char key[65]; /* public key, hex, once it has said it */
  int32_t started, exited, frozen, said_why;
  uint64_t sent[2], raw[2]; /* upstream, downstream */
  uint64_t resumes, again, rate[2]; /* of its links; see worker.h */
};

struct workers_callbacks {
  void (*keys)(void *user);   /* all have said their key */
  void (*frozen)(void *user); /* all have reported their traffic for the last time */
  void (*span)(void *user, const struct run_span *span);
  void (*failed)(void *user,
                 const char *message); /* one failed or ended; may be called several times */
  void (*ended)(void *user);           /* the last process is gone */
  void *user;
};

struct workers {
  uv_loop_t *loop;
  struct workers_callbacks callbacks;
  struct worker_process *list;
  uint32_t count, running, with_key, frozen;
  int32_t quitting;
  uv_timer_t kill_timer;
};

/* Starts one process for each stage. port_of_parent: where the last stage connects to;
 * *first_port gets the one stage 0 listens on. 0, or -1 with a message (then nothing is left
 * running). */
int workers_start(struct workers *w, uv_loop_t *loop, const struct options *o,
                  const struct plan *plan, const char *origin, uint64_t start_step,
                  uint16_t port_of_parent, uint16_t *first_port,
                  const struct workers_callbacks *callbacks, char *message, size_t message_cap);
void workers_send_all(struct workers *w, const char *line);

/* Asks all to end, and ends those that do not within a second. */
void workers_quit(struct workers *w);

/* Closes what is left once callbacks.ended was called. */
void workers_close(struct workers *w);
void workers_free(struct workers *w);

/* Bytes of link i (upstream of stage i) by what the stages sent; the feeder's own are added by
 * the caller. */
void workers_traffic(const struct workers *w, struct run_traffic *links);

/* Bits a second that the links between stages measured, on average; 0: not yet. */
double workers_rate(const struct workers *w);

/* Adds how often links were resumed, and how much was sent again, by what the stages said. */
void workers_accidents(const struct workers *w, uint64_t *resumes, uint64_t *again);

#endif
