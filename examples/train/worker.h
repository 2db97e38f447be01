/* A worker process: one stage of one run. The parent starts it with the private options of
 * options.c, a listening socket for its upstream neighbour as descriptor 3, and a pipe of text
 * lines as descriptor 4.
 *
 * To the parent:
 *   key HEX                        public key, first of all
 *   job KIND STEP MB BEGIN END     a job is done
 *   traffic UP DOWN UPRAW DOWNRAW RESUMES AGAIN UPRATE DOWNRATE
 *                                  bytes sent so far, and as dense bf16; how often the link downstream was
 *                                  resumed; frames or pieces of them that either link sent again; bytes a
 *                                  second that they measured, 0: not yet
 *   frozen                         those were the last figures of traffic
 *   fail TEXT                      why it ends
 * From the parent:
 *   peers UP DOWN OPEN             keys of the neighbours; OPEN 1: submit an AccountOpen
 *   claim NONCE                    submit a Claim
 *   freeze                         report traffic once more, then no longer
 *   quit                           end
 *
 * Everything of the protocol itself goes over the ring. */
#ifndef TRAIN_WORKER_H
#define TRAIN_WORKER_H

#include "options.h"

#define WORKER_LISTEN_FD 3
#define WORKER_PIPE_FD   4

/* Runs until the parent says quit or is gone; the process's exit status. */
int worker_main(const struct options *o);

#endif
