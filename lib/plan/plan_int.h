/* What the files of plan share with each other and with plan's tests. */
#ifndef PLR_PLAN_PLAN_INT_H
#define PLR_PLAN_PLAN_INT_H

#include <pluralis/plan.h>

#include "base/base.h"

/* ---- what a model costs (needs.c) ---------------------------------------------------------------- */

/* Of one block. */
typedef struct plr_need {
  double flop;       /* of a micro-batch, forward and backward */
  uint64_t state;    /* bytes of weights, gradients and what the optimizer keeps */
  uint64_t weights;  /* bytes of the weights alone: of each further version */
  uint64_t slot;     /* bytes kept for a micro-batch from its forward to its backward */
  uint64_t scratch;  /* bytes while it computes */
} plr_need;

typedef struct plr_needs {
  uint32_t blocks, micro_batches;
  uint64_t tokens, ids_bytes; /* of a micro-batch */
  double wire_values;         /* of a boundary tensor */
  plr_need *block;
} plr_needs;

plr_status plr__plan_needs(plr_context *ctx, const plr_model *model, plr_needs *out, plr_error *err);

/* The sums over blocks [first, end); scratch: the largest. */
plr_need plr__plan_sum(const plr_needs *n, uint32_t first, uint32_t end);

/* ---- a placement and its pace (rate.c) ----------------------------------------------------------- */

typedef struct plr_placement {
  uint32_t stages;
  uint32_t cut[PLR_MAX_BLOCKS + 1]; /* stage s is blocks [cut[s], cut[s+1]) */
  uint32_t *stage_of;               /* for each device; PLR_PLAN_NONE */
} plr_placement;

typedef struct plr_problem {
  plr_context *ctx;
  plr_needs needs;
  plr_plan_options o;    /* with defaults filled in; its arrays are the caller's */
  uint32_t *position;    /* blocks where a stage may begin or end, ascending, from 0 to `blocks` */
  uint32_t positions;
} plr_problem;

/* What a device can do as a replica of a stage, in micro-batches a second, and why not more. */
typedef struct plr_ability {
  double rate; /* 0: it does not fit */
  uint32_t bound, slots;
} plr_ability;

typedef struct plr_stage_rate {
  double rate, busy_rate; /* micro-batches a second; of the processors alone */
  double delay_s;         /* of its devices, weighted by their rate */
  uint32_t bound, devices, slots;
} plr_stage_rate;

typedef struct plr_pace {
  double rate; /* micro-batches a second; 0: something does not fit */
  double latency_s;
  uint32_t slowest;
} plr_pace;

/* The whole prediction. stage: room for p->stages records, or NULL. */
plr_pace plr__plan_pace(const plr_problem *q, const plr_placement *p, plr_stage_rate *stage);

/* A device at a stage of blocks [first, end), whose micro-batches come back after `round_trip_s`. */
plr_ability plr__plan_ability(const plr_problem *q, uint32_t device, uint32_t first, uint32_t end,
                              double round_trip_s);

/* Order of paths in problem.o.paths, for qsort and bsearch. */
int plr__plan_path_order(const void *a, const void *b);

/* Bytes of a boundary tensor at so many bits a value; with the token ids when it goes forward. */
double plr__plan_wire(const plr_problem *q, double bits, int forward);

/* ---- search (search.c) --------------------------------------------------------------------------- */

/* Looks at all placements when these are few (*exact = 1), else searches. NOT_FOUND: none fits. limit: most
 * placements that are looked at one by one; 0 makes it search. */
plr_status plr__plan_search(const plr_problem *q, uint64_t limit, plr_placement *best, uint32_t *exact);

/* The best of the even splits: equal blocks, equal numbers of devices in their order. Its pace; 0: none fits. */
double plr__plan_even(const plr_problem *q, plr_placement *scratch);

/* ---- words (explain.c) --------------------------------------------------------------------------- */

struct plr_plan {
  plr_context *ctx;
  plr_problem problem;
  plr_plan_device *devices;
  plr_plan_path *paths;
  plr_placement placement;
  plr_plan_info info;
  plr_plan_stage *stage;
  plr_buffer text, json;
};

plr_status plr__plan_explain(plr_plan *plan);
/* err: why nothing fits. */
plr_status plr__plan_refuse(const plr_problem *q, plr_error *err);

#endif
