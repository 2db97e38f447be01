/* The recompute option: what backward may compute again instead of finding it kept. A value that crosses from block to
 * block, or leaves the shard, is kept; everything else is made again from those when the first rule of a block asks
 * for it (backward.c, need). Same operations on same numbers: the same bits. */
#include "model/model_int.h"

static int crosses(const plr_graph *g, const plr_node *n, uint32_t i) {
  if (n->arg[i].kind != PLR_REF_VALUE || plr__op_results(n->op) >> i & 1) return 0;
  uint32_t producer = g->values[n->arg[i].index].producer;
  return producer != PLR_NO_NODE && g->forward[producer].block != n->block;
}

/* Where operations work in place, the memory holds the last of a chain of values; so a chain is kept as a whole, of
 * which only that last one is ever read. Its mark is on the root. */
static void keep(plr_graph *g, uint32_t v) {
  g->values[g->values[v].root].holders = 1;
}

/* An operation is made again whole or not at all: what it writes besides a kept value is kept as well. */
static void keep_together(plr_graph *g, const plr_node *n) {
  uint32_t args = plr__op_args(n->op), results = plr__op_results(n->op), kept = 0;
  for (uint32_t j = 0; j < args; j++)
    if (results >> j & 1 && n->arg[j].kind == PLR_REF_VALUE)
      kept |= g->values[g->values[n->arg[j].index].root].holders;
  for (uint32_t j = 0; j < args && kept; j++)
    if (results >> j & 1 && n->arg[j].kind == PLR_REF_VALUE) keep(g, n->arg[j].index);
}

void plr__graph_recompute(plr_graph *g) {
  if (g->failed != PLR_OK) return;
  keep(g, g->output);
  for (uint32_t i = 0; i < g->forward_count; i++)
    for (uint32_t j = 0; j < plr__op_args(g->forward[i].op); j++)
      if (crosses(g, &g->forward[i], j)) keep(g, g->forward[i].arg[j].index);
  for (uint32_t i = 0; i < g->forward_count; i++) keep_together(g, &g->forward[i]);
  for (uint32_t i = 0; i < g->value_count; i++) {
    plr_value *v = &g->values[i];
    v->cheap = v->producer != PLR_NO_NODE && !g->values[v->root].holders;
  }
  for (uint32_t i = 0; i < g->value_count; i++) g->values[i].holders = 0;
}
