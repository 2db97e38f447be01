/* Where every value lives. What backward needs goes to the slot; everything else shares one scratch memory, in
 * which a value takes the first gap that is free from its first to its last use. Worked out once, at create. */
#include "shard/shard_int.h"

#include <string.h>

#define UNIT 16 /* elements: 64 bytes */

typedef struct span {
  int64_t offset, size;
} span;

typedef struct planner {
  plr_shard *s;
  const plr_node *nodes;
  uint32_t node_count, value_count;
  uint32_t *first,
      *last;  /* node indices of a value's uses in this list; first = NEVER when there is none */
  span *live; /* ascending offsets */
  uint32_t live_count;
  plr_place *place;
  uint8_t *exact; /* values that are kept as they are; NULL: all are */
} planner;

#define NEVER 0xffffffffu

/* Elements, in whole units. */
static int64_t room_for(const plr_shard *s, uint32_t v) {
  int64_t n = plr__value_elements(&s->graph.values[v], s->rows);
  return (n + UNIT - 1) / UNIT * UNIT;
}

static int64_t size_of(const planner *p, uint32_t v) {
  return room_for(p->s, v);
}

static int runs(plr_list list, const plr_node *n) {
  return list != PLR_LIST_INFER || n->op != PLR_OP_XENT;
}

static void mention(planner *p, uint32_t v, uint32_t node) {
  if (v == PLR_NO_VALUE) return;
  if (p->first[v] == NEVER || node < p->first[v]) p->first[v] = node;
  if (p->last[v] == NEVER || node > p->last[v]) p->last[v] = node;
}

static void find_uses(planner *p, plr_list list) {
  const plr_graph *g = &p->s->graph;
  memset(p->first, 0xff, p->value_count * sizeof *p->first);
  memset(p->last, 0xff, p->value_count * sizeof *p->last);
  for (uint32_t i = 0; i < p->node_count; i++) {
    if (!runs(list, &p->nodes[i])) continue;
    for (uint32_t j = 0; j < plr__op_args(p->nodes[i].op); j++)
      if (p->nodes[i].arg[j].kind == PLR_REF_VALUE) mention(p, p->nodes[i].arg[j].index, i);
  }
  /* what the host fills before the list, and reads after it */
  uint32_t end = p->node_count - 1;
  if (list == PLR_LIST_BACKWARD) {
    mention(p, g->grad_output, 0);
    mention(p, g->grad_input, end);
    return;
  }
  mention(p, g->ids, 0);
  mention(p, g->positions, 0);
  mention(p, g->input, 0);
  mention(p, g->output, end);
  mention(p, g->labels,
          list == PLR_LIST_INFER ? end : 0); /* plr_shard_loss runs XENT after INFER */
  mention(p, g->loss, end);
}

static void take(planner *p, uint32_t v) {
  int64_t size = size_of(p, v), at = 0;
  uint32_t i = 0;
  while (i < p->live_count && p->live[i].offset - at < size) {
    at = p->live[i].offset + p->live[i].size;
    i++;
  }
  memmove(p->live + i + 1, p->live + i, (p->live_count - i) * sizeof *p->live);
  p->live[i].offset = at, p->live[i].size = size;
  p->live_count++;
  p->place[v].where = PLR_IN_SCRATCH, p->place[v].offset = at;
  p->s->scratch_size = PLR_MAX(p->s->scratch_size, at + size);
}

static void give_back(planner *p, uint32_t v) {
  uint32_t i = 0;
  while (p->live[i].offset != p->place[v].offset) i++;
  p->live_count--;
  memmove(p->live + i, p->live + i + 1, (p->live_count - i) * sizeof *p->live);
}

/* Values of the host's that no node mentions are placed with node 0 or the last one. */
static int uses(const planner *p, uint32_t v, uint32_t node, const uint32_t *edge) {
  return edge[v] == node && p->place[v].where != PLR_IN_SLOT;
}

static void place_scratch(planner *p) {
  p->live_count = 0;
  const plr_graph *g = &p->s->graph;
  const uint32_t host[] = {g->ids,    g->labels, g->positions,  g->input,
                           g->output, g->loss,   g->grad_input, g->grad_output};
  for (uint32_t i = 0; i < p->node_count; i++) {
    const plr_node *n = &p->nodes[i];
    uint32_t list[PLR_NODE_ARGS + PLR_COUNT_OF(host)], count = 0;
    for (uint32_t j = 0; j < plr__op_args(n->op); j++)
      if (n->arg[j].kind == PLR_REF_VALUE) list[count++] = n->arg[j].index;
    for (uint32_t j = 0; j < PLR_COUNT_OF(host); j++)
      if (host[j] != PLR_NO_VALUE) list[count++] = host[j];
    for (uint32_t j = 0; j < count; j++)
      if (uses(p, list[j], i, p->first) && p->place[list[j]].where == PLR_NOWHERE) take(p, list[j]);
    for (uint32_t j = 0; j < count; j++) {
      uint32_t v = list[j];
      if (!uses(p, v, i, p->last)) continue;
      give_back(p, v);
      p->last[v] = NEVER; /* an operand named twice is given back once */
    }
  }
}

/* Room in the slot for a value in bf16; in both lists it lies in scratch. */
static void keep_half(plr_shard *s, uint32_t v) {
  plr_move move = {.value = v, .offset = s->slot_size};
  s->moves[PLR_LIST_FORWARD][s->move_count] = s->moves[PLR_LIST_BACKWARD][s->move_count] = move;
  s->move_count++;
  s->slot_size += (room_for(s, v) / 2 + UNIT - 1) / UNIT * UNIT;
}

/* What both lists use and backward does not compute again; `seen` by value. */
static void place_slots(planner *p, const uint8_t *in_backward, uint8_t *seen) {
  plr_shard *s = p->s;
  plr_place *fwd = s->places[PLR_LIST_FORWARD], *bwd = s->places[PLR_LIST_BACKWARD];
  for (uint32_t i = 0; i < s->graph.forward_count; i++) {
    const plr_node *n = &s->graph.forward[i];
    for (uint32_t j = 0; j < plr__op_args(n->op); j++) {
      uint32_t v = n->arg[j].index;
      if (n->arg[j].kind != PLR_REF_VALUE || !in_backward[v] || s->graph.values[v].redone) continue;
      if (seen[v]) continue;
      seen[v] = 1;
      if (p->exact && !p->exact[v]) {
        keep_half(s, v);
        continue;
      }
      fwd[v].where = PLR_IN_SLOT, fwd[v].offset = s->slot_size;
      bwd[v] = fwd[v];
      s->slot_size += room_for(s, v);
    }
  }
}

/* Packed after the last use in forward, unpacked before the first one in backward. */
static void time_moves(planner *p, plr_list list) {
  plr_move *moves = p->s->moves[list];
  const uint32_t *node = list == PLR_LIST_FORWARD ? p->last : p->first;
  if (list == PLR_LIST_INFER) return;
  for (uint32_t i = 0; i < p->s->move_count; i++) moves[i].node = node[moves[i].value];
  plr__storage_sort(moves, p->s->move_count);
}

static plr_status plan_with(planner *p, uint8_t *in_backward, uint8_t *seen) {
  plr_shard *s = p->s;
  const plr_graph *g = &s->graph;
  for (uint32_t i = 0; i < g->backward_count; i++)
    for (uint32_t j = 0; j < plr__op_args(g->backward[i].op); j++)
      if (g->backward[i].arg[j].kind == PLR_REF_VALUE) in_backward[g->backward[i].arg[j].index] = 1;
  if (!s->inference_only) place_slots(p, in_backward, seen);
  for (int list = 0; list < PLR_LIST_COUNT; list++) {
    if (s->inference_only && list != PLR_LIST_INFER) continue;
    p->nodes = list == PLR_LIST_BACKWARD ? g->backward : g->forward;
    p->node_count = list == PLR_LIST_BACKWARD ? g->backward_count : g->forward_count;
    p->place = s->places[list];
    find_uses(p, (plr_list)list);
    time_moves(p, (plr_list)list);
    place_scratch(p);
  }
  return PLR_OK;
}

static plr_status plan_storage(planner *p) {
  plr_shard *s = p->s;
  uint32_t n = p->value_count;
  if (s->info->storage != PLR_STORAGE_BF16 || s->inference_only) return PLR_OK;
  p->exact = plr__calloc(s->ctx, n, 1);
  s->moves[PLR_LIST_FORWARD] = plr__calloc(s->ctx, n, sizeof(plr_move));
  s->moves[PLR_LIST_BACKWARD] = plr__calloc(s->ctx, n, sizeof(plr_move));
  if (!p->exact || !s->moves[PLR_LIST_FORWARD] || !s->moves[PLR_LIST_BACKWARD])
    return PLR_ERR_NO_MEMORY;
  plr__storage_exact(&s->graph, p->exact);
  return PLR_OK;
}

plr_status plr__shard_plan(plr_shard *s) {
  uint32_t n = s->graph.value_count;
  planner p = {.s = s, .value_count = n};
  for (int i = 0; i < PLR_LIST_COUNT; i++) {
    s->places[i] = plr__calloc(s->ctx, n, sizeof(plr_place));
    if (!s->places[i]) return PLR_ERR_NO_MEMORY;
  }
  p.first = plr__calloc(s->ctx, n, sizeof *p.first);
  p.last = plr__calloc(s->ctx, n, sizeof *p.last);
  p.live = plr__calloc(s->ctx, (size_t)n + 1, sizeof *p.live);
  uint8_t *in_backward = plr__calloc(s->ctx, n, 1);
  uint8_t *seen = plr__calloc(s->ctx, n, 1);
  plr_status st = plan_storage(&p);
  if (!p.first || !p.last || !p.live || !in_backward || !seen) st = PLR_ERR_NO_MEMORY;
  if (st == PLR_OK) st = plan_with(&p, in_backward, seen);
  plr__free(s->ctx, p.first);
  plr__free(s->ctx, p.last);
  plr__free(s->ctx, p.live);
  plr__free(s->ctx, in_backward);
  plr__free(s->ctx, seen);
  plr__free(s->ctx, p.exact);
  return st;
}
