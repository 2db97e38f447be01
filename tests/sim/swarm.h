/* Replicas: every stage of a pipeline several times, everybody linked with everybody next to them, on a simnet. */
#ifndef PLR_SIM_SWARM_H
#define PLR_SIM_SWARM_H

#include "sim/pipeline.h"

#define SWARM_MAX_NODES  24u /* and the feeder */
#define SWARM_MAX_STAGES 4u
#define SWARM_MAX_WORK   2048u /* micro-batches */

typedef struct swarm_config {
  uint32_t stages, replicas[SWARM_MAX_STAGES];
  uint32_t micro_batches, window, max_in_flight;
  uint32_t stash; /* 0: backward with the newest weights */
  uint64_t job_ns, delay_ns, patience_ns, reply_timeout_ns, link_timeout_ns;
  uint32_t snapshot_every;
  uint32_t average_every, average_parts; /* replicas are linked if they average */
} swarm_config;

typedef struct swarm_node {
  uint32_t stage, dead;
  plr_identity *identity;
  plr_shard *shard;
  plr_stage *engine;
  uint32_t backwards, lost, up, failed, stopped;
  int32_t why; /* of the last neighbour given up */
  char message[256];
  uint8_t applied[SWARM_MAX_WORK];
  uint32_t averaged;
  plr_hash average[SWARM_MAX_WORK]; /* by round; zero: it took no part */
} swarm_node;

typedef struct swarm_end {
  plr_link *link;
  uint32_t node, side, wire;
} swarm_end;

typedef struct swarm {
  swarm_config config;
  plr_context *ctx;
  plr_model *model;
  plr_model_info info;
  plr_corpus *corpus;
  char *text;
  sim_net *net;
  swarm_node nodes[SWARM_MAX_NODES + 1];
  uint32_t count, feeder; /* nodes with the feeder, its index */
  swarm_end ends[2 * SIM_MAX_WIRES];
  uint32_t end_count;
  uint32_t idle, tokens, steps, receipts, dropped, missing, want_idle;
  double losses[SWARM_MAX_WORK];
  double eval;
  /* Called for each job that is done, before it is handed back; may spoil it. */
  void (*on_job)(struct swarm *w, uint32_t node, plr_job *job);
  void (*on_step)(struct swarm *w, uint64_t step);
} swarm;

swarm_config swarm_defaults(void);
void swarm_open(swarm *w, const swarm_config *config);
void swarm_close(swarm *w);
/* Another replica, with weights and step of `like`, whose pipeline is idle. Its number. */
uint32_t swarm_join(swarm *w, uint32_t stage, uint32_t like);
/* One more link, whether it makes sense or not. */
void swarm_link(swarm *w, uint32_t above, uint32_t below);
void swarm_kill(swarm *w, uint32_t node, int tell);
/* Trains until so many steps are done and everything is idle: fails the test if it does not come to that. */
void swarm_train(swarm *w, uint64_t until);
/* Until `want_idle` commands are done. */
void swarm_wait(swarm *w);
void swarm_stop(swarm *w);
/* Every stage counted every micro-batch below `until` steps once: twice by nobody who lives and was not
 * given up, never missing unless somebody died with it. */
void swarm_check_once(const swarm *w, uint64_t until);
/* Largest difference of a weight between two replicas. */
double swarm_distance(const swarm *w, uint32_t a, uint32_t b);
plr_stage_stats swarm_stats(const swarm *w, uint32_t node);
/* Node `replica` of a stage. */
uint32_t swarm_node_of(const swarm *w, uint32_t stage, uint32_t replica);

#endif
