#include "simnet.h"

#include <stdlib.h>
#include <string.h>

typedef struct chunk {
  struct chunk *next;
  uint64_t arrive_ns;
  size_t len;
  uint8_t data[];
} chunk;

/* One direction of a wire: from `from` to `to`. */
typedef struct lane {
  plr_link *from, *to;
  uint32_t node_from, node_to;
  sim_wire wire;
  uint64_t busy_until, random;
  chunk *first, *last;
  int cut, full; /* full: the link had more to send when the lane was last asked */
} lane;

typedef struct node {
  plr_stage *stage;
  plr_job *job;
  uint64_t job_done_ns;
  uint64_t job_time[SIM_JOB_KINDS];
  int failed, dead;
} node;

struct sim_net {
  sim_hooks hooks;
  uint64_t now;
  node nodes[SIM_MAX_NODES];
  lane lanes[2 * SIM_MAX_WIRES];
  uint32_t node_count, lane_count;
};

/* ---- building --------------------------------------------------------------------------------- */

sim_net *sim_create(const sim_hooks *hooks) {
  sim_net *net = calloc(1, sizeof *net);
  if (net) net->hooks = *hooks;
  return net;
}

void sim_destroy(sim_net *net) {
  if (!net) return;
  for (uint32_t i = 0; i < net->lane_count; i++)
    for (chunk *c = net->lanes[i].first; c;) {
      chunk *next = c->next;
      free(c);
      c = next;
    }
  free(net);
}

void sim_job_time(sim_net *net, uint32_t n, uint32_t kind, uint64_t ns) {
  net->nodes[n].job_time[kind] = ns;
}

uint32_t sim_add_node(sim_net *net, plr_stage *stage) {
  net->nodes[net->node_count].stage = stage;
  return net->node_count++;
}

static void add_lane(sim_net *net, uint32_t node_from, plr_link *from, uint32_t node_to,
                     plr_link *to, const sim_wire *wire, uint64_t salt) {
  lane *l = &net->lanes[net->lane_count++];
  memset(l, 0, sizeof *l);
  l->from = from, l->to = to;
  l->node_from = node_from, l->node_to = node_to;
  l->wire = *wire;
  if (l->wire.max_chunk == 0) l->wire.max_chunk = 65536;
  l->random = (wire->seed + salt) * 0x9e3779b97f4a7c15ull + 1;
}

uint32_t sim_add_wire(sim_net *net, uint32_t node_a, plr_link *a, uint32_t node_b, plr_link *b,
                      const sim_wire *wire) {
  add_lane(net, node_a, a, node_b, b, wire, 1);
  add_lane(net, node_b, b, node_a, a, wire, 2);
  return net->lane_count / 2 - 1;
}

void sim_set_rate(sim_net *net, uint32_t wire, uint64_t bytes_per_second) {
  for (uint32_t i = 0; i < 2; i++)
    net->lanes[2 * wire + i].wire.bytes_per_second = bytes_per_second;
}

void sim_kill(sim_net *net, uint32_t n, int tell) {
  net->nodes[n].dead = 1;
  net->nodes[n].job = NULL;
  for (uint32_t i = 0; i < net->lane_count; i++) {
    lane *l = &net->lanes[i];
    if (l->node_from != n && l->node_to != n) continue;
    l->cut = 1;
    if (tell && l->node_from == n) plr_link_close(l->to, PLR_ERR_CLOSED);
  }
}

void sim_cut(sim_net *net, uint32_t wire) {
  net->lanes[2 * wire].cut = net->lanes[2 * wire + 1].cut = 1;
}

uint64_t sim_now(const sim_net *net) {
  return net->now;
}

/* The test's own links are always there. */
static int is_dead(const sim_net *net, uint32_t n) {
  return n < net->node_count && net->nodes[n].dead;
}

/* ---- bytes ------------------------------------------------------------------------------------ */

static uint32_t chunk_size(lane *l) {
  l->random ^= l->random << 13, l->random ^= l->random >> 7, l->random ^= l->random << 17;
  return 1 + (uint32_t)(l->random % l->wire.max_chunk);
}

/* Takes one chunk from the link onto the wire. */
static int load(sim_net *net, lane *l) {
  size_t cap = chunk_size(l), len = 0;
  if (net->now < l->busy_until) return 0;
  chunk *c = malloc(sizeof *c + cap);
  l->full = 0;
  if (!c || plr_link_transmit(l->from, net->now, c->data, cap, &len) != PLR_OK || len == 0 ||
      l->cut) {
    free(c);
    return 0;
  }
  uint64_t rate = l->wire.bytes_per_second;
  l->busy_until = net->now + (rate ? len * 1000000000ull / rate : 0);
  l->full = 1;
  c->arrive_ns = l->busy_until + l->wire.delay_ns;
  c->len = len;
  c->next = NULL;
  if (l->last) l->last->next = c;
  if (!l->first) l->first = c;
  l->last = c;
  return 1;
}

static int deliver(sim_net *net, lane *l) {
  chunk *c = l->first;
  if (!c || c->arrive_ns > net->now) return 0;
  l->first = c->next;
  if (!l->first) l->last = NULL;
  if (!l->cut)
    plr_link_receive(l->to, net->now, c->data, c->len); /* a fault ends the link: an event */
  free(c);
  return 1;
}

/* ---- nodes ------------------------------------------------------------------------------------ */

static void fail_node(sim_net *net, uint32_t n) {
  net->nodes[n].failed = 1;
  if (!net->hooks.close_on_failure) return;
  for (uint32_t i = 0; i < net->lane_count; i++)
    if (net->lanes[i].node_from == n) plr_link_close(net->lanes[i].to, PLR_ERR_CLOSED);
}

static int read_events(sim_net *net, uint32_t n) {
  int any = 0;
  plr_stage_event e;
  for (;; any = 1) {
    memset(&e, 0, sizeof e);
    e.struct_size = sizeof e;
    if (plr_stage_next_event(net->nodes[n].stage, &e) != PLR_OK) return any;
    if (net->hooks.event) net->hooks.event(net->hooks.user, n, &e);
    if (e.type == PLR_STAGE_FAILED) fail_node(net, n);
  }
}

static int start_job(sim_net *net, uint32_t n) {
  node *at = &net->nodes[n];
  plr_job_info info = {.struct_size = sizeof info};
  if (at->job || plr_stage_next_job(at->stage, &at->job) != PLR_OK) return 0;
  plr_job_get_info(at->job, &info);
  if (net->hooks.run) {
    net->hooks.run(net->hooks.user, n, at->job);
  } else {
    plr_job_run(at->job); /* its status stays in the job */
  }
  at->job_done_ns = net->now + at->job_time[info.kind];
  return 1;
}

static int finish_job(sim_net *net, uint32_t n) {
  node *at = &net->nodes[n];
  plr_job *job = at->job;
  if (!job || at->job_done_ns > net->now) return 0;
  at->job = NULL;
  if (net->hooks.ran) net->hooks.ran(net->hooks.user, n, job);
  plr_stage_complete(at->stage, job, net->now);
  return 1;
}

static int step_node(sim_net *net, uint32_t n) {
  if (net->nodes[n].dead) return 0;
  int any = finish_job(net, n);
  plr_stage_advance(net->nodes[n].stage, net->now);
  any |= read_events(net, n);
  any |= start_job(net, n);
  return any;
}

/* ---- time ------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t next_time(const sim_net *net) {
  uint64_t t = PLR_NEVER;
  for (uint32_t i = 0; i < net->lane_count; i++) {
    const lane *l = &net->lanes[i];
    if (l->first) t = earlier(t, l->first->arrive_ns);
    if (l->full && !is_dead(net, l->node_from)) t = earlier(t, l->busy_until);
    if (!is_dead(net, l->node_from)) t = earlier(t, plr_link_next_deadline_ns(l->from));
  }
  for (uint32_t i = 0; i < net->node_count; i++) {
    if (net->nodes[i].dead) continue;
    if (net->nodes[i].job) t = earlier(t, net->nodes[i].job_done_ns);
    uint64_t due = plr_stage_next_deadline_ns(net->nodes[i].stage);
    if (due > net->now) t = earlier(t, due);
  }
  return t;
}

/* Everything that can happen now; 1 when anything did. */
static int settle(sim_net *net) {
  int any = 0;
  for (uint32_t i = 0; i < net->lane_count; i++) any |= deliver(net, &net->lanes[i]);
  for (uint32_t i = 0; i < net->lane_count; i++)
    if (!is_dead(net, net->lanes[i].node_from) &&
        plr_link_next_deadline_ns(net->lanes[i].from) <= net->now)
      plr_link_advance(net->lanes[i].from, net->now);
  for (uint32_t i = 0; i < net->node_count; i++) any |= step_node(net, i);
  for (uint32_t i = 0; i < net->lane_count; i++)
    if (!is_dead(net, net->lanes[i].node_from)) any |= load(net, &net->lanes[i]);
  return any;
}

int sim_run(sim_net *net, uint64_t until_ns, int (*stop)(void *user), void *user) {
  for (;;) {
    while (settle(net))
      if (stop && stop(user)) return 1;
    uint64_t t = next_time(net);
    if (t == PLR_NEVER || t > until_ns) {
      if (t != PLR_NEVER) net->now = until_ns;
      return 0;
    }
    if (t > net->now) net->now = t;
  }
}
