/* A network under a virtual clock, in one process: stages joined by links with a delay, a rate and a largest chunk.
 * Time passes only when nothing can happen any more, so a run takes no longer than its computing and does the same
 * every time. Bytes arrive in chunks of random size, which the seed of the wire decides. */
#ifndef PLR_SIM_SIMNET_H
#define PLR_SIM_SIMNET_H

#include <pluralis/link.h>
#include <pluralis/stage.h>

#define SIM_MAX_NODES 32u
#define SIM_MAX_WIRES 160u
#define SIM_JOB_KINDS 8u

typedef struct sim_net sim_net;

typedef struct sim_wire {
  uint64_t delay_ns;
  uint64_t bytes_per_second; /* 0: unlimited */
  uint32_t max_chunk;        /* bytes; 0: 64 KiB */
  uint64_t seed;
} sim_wire;

typedef struct sim_hooks {
  void *user;
  /* Every event of a node. Commands may be given to stages from here. */
  void (*event)(void *user, uint32_t node, const plr_stage_event *event);
  /* Runs a job, or begins to; NULL: plr_job_run. */
  void (*run)(void *user, uint32_t node, plr_job *job);
  /* Its virtual time is over: it must have run, and is handed back next. May be NULL. */
  void (*ran)(void *user, uint32_t node, plr_job *job);
  int close_on_failure; /* 1: the peers of a node that fails are told that their streams ended */
} sim_hooks;

sim_net *sim_create(const sim_hooks *hooks);
void sim_destroy(sim_net *net); /* not the stages and links */

/* Virtual duration of each kind of job at a node (PLR_JOB_*); 0 at first. */
void sim_job_time(sim_net *net, uint32_t node, uint32_t kind, uint64_t ns);

uint32_t sim_add_node(sim_net *net, plr_stage *stage);
/* Joins two links, each the other's peer. A node may be SIM_NOBODY: then the test itself holds the link. */
#define SIM_NOBODY 0xffffffffu
uint32_t sim_add_wire(sim_net *net, uint32_t node_a, plr_link *a, uint32_t node_b, plr_link *b,
                      const sim_wire *wire);

/* From now on the wire carries nothing, and nobody is told. */
void sim_cut(sim_net *net, uint32_t wire);

/* The node is no more: it does nothing, and its wires carry nothing. tell: its peers see that their streams ended;
 * otherwise they find out by themselves. Its stage may be destroyed. */
void sim_kill(sim_net *net, uint32_t node, int tell);

/* From now on the wire carries that much, both ways. */
void sim_set_rate(sim_net *net, uint32_t wire, uint64_t bytes_per_second);

/* Runs until nothing can happen any more, `until_ns`, or stop(user) != 0 (may be NULL). Returns 1 when stop said so. */
int sim_run(sim_net *net, uint64_t until_ns, int (*stop)(void *user), void *user);
uint64_t sim_now(const sim_net *net);

#endif
