/* One training run, from the first process to the last payout: the parent's part as feeder,
 * sequencer, designer and depositor. */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include "books.h"
#include "options.h"
#include "plan.h"
#include "run_record.h"

#define RUN_DONE    0
#define RUN_FAILED  1 /* the reasons are on standard error */
#define RUN_STOPPED 2 /* asked to stop; everything is saved */

struct run_job {
  const struct options *o;
  const struct plan *plan;
  plr_context *ctx;
  const plr_corpus *corpus;
  struct books *books;
  double bigram;
};

/* Fills in *record, which the caller frees, whatever comes of it. */
int run_train(const struct run_job *job, struct run_record *record);

#endif
