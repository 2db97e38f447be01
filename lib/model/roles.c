/* Which side of a parameter lies along the residual stream, and whether it is one of the matrices inside a block:
 * some optimizers treat these differently. Worked out from the list of operations of one block, so that it
 * is the same for every split. */
#include "model/model_int.h"

static int is_value(plr_ref ref, uint32_t v) {
  return ref.kind == PLR_REF_VALUE && ref.index == v;
}

/* The value that carries x on: the same numbers of the stream, shifted, scaled, gathered or seen in a basis that is
 * not trained. PLR_NO_VALUE when the node makes something else of it. */
static uint32_t carries(const plr_node *n, uint32_t x) {
  if (!is_value(n->arg[0], x)) return PLR_NO_VALUE;
  switch (n->op) {
  case PLR_OP_SCALE:
    return n->arg[1].index;
  case PLR_OP_BIAS:
    return n->arg[2].index;
  case PLR_OP_ROW_ADD:
  case PLR_OP_COMBINE:
    return n->arg[3].index;
  case PLR_OP_MATMUL:
    return n->arg[1].kind == PLR_REF_CONST ? n->arg[2].index : PLR_NO_VALUE;
  default:
    return PLR_NO_VALUE;
  }
}

/* Whether a value, which node `from` writes, is added to the stream. */
static int is_added(const plr_graph *g, uint32_t from, uint32_t v) {
  for (uint32_t i = from + 1; i < g->forward_count; i++) {
    const plr_node *n = &g->forward[i];
    if (n->op == PLR_OP_ADD && (is_value(n->arg[0], v) || is_value(n->arg[1], v))) return 1;
    uint32_t next = carries(n, v);
    if (next != PLR_NO_VALUE && is_added(g, i, next)) return 1;
  }
  return 0;
}

/* A table of rows that enter the stream, or a product or bias whose result does. */
static int writes_stream(const plr_graph *g, uint32_t node) {
  const plr_node *n = &g->forward[node];
  if (n->op == PLR_OP_EMBED || n->op == PLR_OP_ROW_ADD) return 1;
  int linear = n->op == PLR_OP_MATMUL || n->op == PLR_OP_EXPERT_MATMUL || n->op == PLR_OP_BIAS;
  return linear && is_added(g, node, n->arg[2].index);
}

static void give_role(plr_graph *g, uint32_t node, plr_param *p) {
  const plr_node *n = &g->forward[node];
  uint32_t place = p->stream / PLR_BLOCK_STREAMS;
  int inside = place > 0 && place <= g->info->blocks && p->rows > 1 && p->cols > 1;
  p->along = writes_stream(g, node) ? 0 : 1;
  p->stack = n->op == PLR_OP_EXPERT_MATMUL ? n->experts : 1;
  p->hidden = inside && (n->op == PLR_OP_MATMUL || n->op == PLR_OP_EXPERT_MATMUL);
}

void plr__graph_roles(plr_graph *g) {
  for (uint32_t i = 0; i < g->forward_count; i++)
    for (uint32_t j = 0; j < plr__op_args(g->forward[i].op); j++)
      if (g->forward[i].arg[j].kind == PLR_REF_WEIGHT)
        give_role(g, i, &g->params[g->forward[i].arg[j].index]);
}
