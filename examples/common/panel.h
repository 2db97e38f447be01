/* Progress of a run: on a terminal one block that is redrawn in place, elsewhere a plain line
 * now and then. */
#ifndef EXAMPLES_PANEL_H
#define EXAMPLES_PANEL_H

#include <stdio.h>

#include "run_record.h"

struct panel {
  FILE *out;
  int tty;
  unsigned drawn; /* lines on the screen that the next draw replaces */
  uint64_t last_ns;
  uint64_t last_step;
  const char *last_phase; /* plain lines are not repeated */
};

/* What is shown. */
struct panel_view {
  const struct run_record *run;
  const char *phase; /* "training", "evaluating", ... */
  uint64_t step;
  double loss, valid_loss; /* NAN: not yet */
  double bigram;
  double tokens_per_s, seconds_left; /* 0: unknown */
  const double *idle;                /* of each stage, 0..1 */
};

void panel_init(struct panel *p, FILE *out);

/* Draws when enough time has passed, or at once when `now` is set. */
void panel_update(struct panel *p, const struct panel_view *view, uint64_t now_ns, int now);

/* Leaves what is drawn on the screen; what is printed next comes below it. */
void panel_finish(struct panel *p);

#endif
