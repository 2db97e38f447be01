/* A worker process: one stage of one run. The parent starts it as
 *
 *   pluralis-train --is-worker --worker I --out DIR --name RUN --stages P --port N ... (private options)
 *
 * with a listening socket for its upstream neighbour as descriptor 3 and a pipe of text lines as
 * descriptor 4:
 *
 *   to the parent                                            from the parent
 *     key HEX                public key, first of all          peers UP DOWN OPEN   keys of the neighbours; 1 = submit
 *     job KIND STEP MB BEGIN END   one is done                                      an AccountOpen
 *     traffic UP DOWN UPRAW DOWNRAW   bytes sent so far        claim NONCE          submit a Claim
 *     fail TEXT              why it ends                       freeze               report traffic once more, then not
 *                                                              quit                 end
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
