/* libpluralis: placement. Devices and their networks in; which blocks each device holds, how many replicas a stage has,
 * how many bytes a boundary tensor may take, and the throughput to expect, out.
 *
 *   plr_plan_options o;
 *   plr_plan_options_init(&o, sizeof o);
 *   o.devices = devices, o.device_count = n;
 *   plr_plan *plan;
 *   if (plr_plan_create(ctx, model, &o, &plan, &err) != PLR_OK) ... err says what is short
 *   puts(plr_plan_text(plan));
 *
 * What is assumed: a stage computes, sends and receives at the same time; micro-batches go to the replicas of a stage
 * in proportion to their speed; the slowest stage is the pipeline's pace (lib/plan/README.md has the formulas). A plan
 * is a function of its inputs: the same devices, model and seed give the same plan on every machine.
 */
#ifndef PLURALIS_PLAN_H
#define PLURALIS_PLAN_H

#include <pluralis/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A placement. Immutable. */
typedef struct plr_plan plr_plan;

/* Most devices of a plan. */
#define PLR_PLAN_MAX_DEVICES 4096u
/* Device of nobody; stage of a device that is not used. */
#define PLR_PLAN_NONE 0xffffffffu

/* A machine that offers itself. */
typedef struct plr_plan_device {
  double flops;      /* floating-point operations a second it sustains in training, as plr_probe measures; > 0 */
  uint64_t memory;   /* bytes it gives */
  uint64_t up_bps;   /* bits a second that its network sends; 0: no limit */
  uint64_t down_bps; /* bits a second that its network receives; 0: no limit */
  uint64_t delay_ns; /* to the middle of the network: from a to b it takes a's and b's */
  uint64_t reserved; /* 0 */
} plr_plan_device;

/* A path between two devices that is not what their networks promise. */
typedef struct plr_plan_path {
  uint32_t from, to; /* devices */
  uint64_t bps;      /* bits a second in that direction; 0: what their networks give */
  uint64_t delay_ns; /* one way, in place of the sum */
} plr_plan_path;

/* How micro-batches flow: with a flush after each step (1F1B), or without. */
#define PLR_PLAN_SYNC 0u
#define PLR_PLAN_ASYNC 1u

/* What there is, and what is wanted. */
typedef struct plr_plan_options {
  uint32_t struct_size;
  uint32_t device_count;           /* 1..PLR_PLAN_MAX_DEVICES */
  const plr_plan_device *devices;  /* read during the call */
  const plr_plan_path *paths;      /* path_count of them; read during the call */
  uint32_t path_count;             /* of paths */
  uint32_t flow;                   /* PLR_PLAN_SYNC or PLR_PLAN_ASYNC (default) */
  uint32_t min_stages, max_stages; /* default 1 and 0: as many as there are cuts */
  uint32_t max_replicas;           /* of a stage; default 0: no limit */
  uint32_t free_cuts;              /* 1: a stage may begin at any block, for a model whose manifest is still to be
                                      written; default 0: only at the model's cuts */
  uint32_t versions;               /* weights a stage keeps (plr_shard_options.versions), for its memory; default 1 */
  uint32_t restarts;               /* of the search; default 0: 24 */
  double min_bits, max_bits;       /* a value of a boundary tensor may take; default 2.5 and 8 */
  uint64_t seed;                   /* of the search; default 0 */
} plr_plan_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_plan_options) as compiled. Since 0.1. */
PLR_API void plr_plan_options_init(plr_plan_options *options, uint32_t struct_size);

/* Makes a plan. Small cases are searched to the end, larger ones by local search from many starts (a bottleneck gets
 * devices or gives blocks until nothing helps). Errors: INVALID_ARGUMENT (a number that cannot be one, named), LIMIT
 * (too many devices), NOT_FOUND (no placement fits; the message says which memory is short by how much), NO_MEMORY.
 * Since 0.1. */
PLR_API plr_status plr_plan_create(plr_context *ctx, const plr_model *model, const plr_plan_options *options,
                                   plr_plan **out, plr_error *err);
PLR_API void plr_plan_destroy(plr_plan *plan);

/* What holds a stage back. */
#define PLR_PLAN_BOUND_COMPUTE 1u /* its devices' speed */
#define PLR_PLAN_BOUND_UP 2u      /* what its devices can send */
#define PLR_PLAN_BOUND_DOWN 3u    /* what they can receive */
#define PLR_PLAN_BOUND_MEMORY 4u  /* micro-batches that fit, for so long a way to the loss and back */

/* A plan as a whole. Set struct_size before the call that fills it. */
typedef struct plr_plan_info {
  uint32_t struct_size;
  uint32_t stages, devices;   /* of which the plan makes use */
  uint32_t exact;             /* 1: every placement was looked at; none is faster by this prediction */
  uint32_t slowest;           /* the stage that sets the pace */
  uint32_t bound;             /* PLR_PLAN_BOUND_* of that stage */
  double tokens_per_s;        /* predicted, training */
  double micro_batches_per_s; /* the same in micro-batches of the model */
  double even_tokens_per_s;   /* of the best even split: equal blocks and equal numbers of devices, in their order; 0:
                                 none fits */
  double latency_s;           /* of one micro-batch: forward and back through an idle pipeline */
} plr_plan_info;

/* Fills *info. Errors: INVALID_ARGUMENT. Threads: const. Since 0.1. */
PLR_API plr_status plr_plan_get_info(const plr_plan *plan, plr_plan_info *info);

/* A stage of a plan. Set struct_size before the call that fills it. */
typedef struct plr_plan_stage {
  uint32_t struct_size;
  uint32_t first_block, end_block; /* blocks [first, end) */
  uint32_t devices;                /* replicas; plr_plan_stage_device names them */
  uint32_t bound;                  /* PLR_PLAN_BOUND_* */
  uint32_t in_flight;              /* micro-batches a replica has under way at most (slots of its shard) */
  double tokens_per_s;             /* of all replicas together, when nothing else holds them back */
  double busy;                     /* part of the time they compute, at the plan's pace; 0 to 1 */
  uint64_t memory;                 /* bytes a replica needs */
  uint64_t forward_bytes;          /* budget of the activations of a micro-batch to the next stage; 0: the last */
  uint64_t backward_bytes;         /* budget of the gradients of a micro-batch to the stage before; 0: the first */
  double forward_bits, backward_bits; /* a value, that these budgets allow */
} plr_plan_stage;

/* Fills *stage. Errors: INVALID_ARGUMENT (no such stage). Threads: const. Since 0.1. */
PLR_API plr_status plr_plan_get_stage(const plr_plan *plan, uint32_t index, plr_plan_stage *stage);

/* Device i of a stage, ascending; PLR_PLAN_NONE when there is none. Threads: const. Since 0.1. */
PLR_API uint32_t plr_plan_stage_device(const plr_plan *plan, uint32_t stage, uint32_t i);

/* Stage of a device; PLR_PLAN_NONE when it has none. Threads: const. Since 0.1. */
PLR_API uint32_t plr_plan_device_stage(const plr_plan *plan, uint32_t device);

/* The plan and its reasons in lines of text, and the same as one JSON object (lib/plan/README.md); NUL-terminated, live
 * as long as the plan. Threads: const. Since 0.1. */
PLR_API const char *plr_plan_text(const plr_plan *plan);
PLR_API const char *plr_plan_json(const plr_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
