/* The last words: what the runs came to, on the terminal and in the report. */
#ifndef TRAIN_FINISH_H
#define TRAIN_FINISH_H

#include "books.h"
#include "options.h"
#include "report.h"

/* Configuration of the job, for the report. */
void finish_settings(struct report *r, const struct options *o, const struct plan *plan,
                     const plr_context *ctx);

/* Prints losses beside the bigram entropy, bytes, ratio and the ownership table. */
void finish_print(const struct report *r);

#endif
