/* Which side of a parameter lies along the residual stream, and whether it is one of the matrices inside a block:
 * some optimizers treat these differently. Worked out from the list of operations of one block, so that it
 * is the same for every split. */
#include "model/model_int.h"

static int reads(const plr_node *n, uint32_t v) {
  return n->arg[0].kind == PLR_REF_VALUE && n->arg[0].index == v;
}

/* Whether a value, which node `from` writes, is added to the stream: at once, or after a product with a table that is
 * not trained. */
static int is_added(const plr_graph *g, uint32_t from, uint32_t v) {
  for (uint32_t i = from + 1; i < g->forward_count; i++) {
    const plr_node *n = &g->forward[i];
    if (n->op == PLR_OP_ADD &&
        (reads(n, v) || (n->arg[1].kind == PLR_REF_VALUE && n->arg[1].index == v)))
      return 1;
    if (n->op == PLR_OP_MATMUL && reads(n, v) && n->arg[1].kind == PLR_REF_CONST)
      return is_added(g, i, n->arg[2].index);
  }
  return 0;
}

/* A table of rows that enter the stream, or a product whose result does. */
static int writes_stream(const plr_graph *g, uint32_t node) {
  const plr_node *n = &g->forward[node];
  if (n->op == PLR_OP_EMBED || n->op == PLR_OP_ROW_ADD) return 1;
  return n->op == PLR_OP_MATMUL && is_added(g, node, n->arg[2].index);
}

void plr__graph_roles(plr_graph *g) {
  for (uint32_t i = 0; i < g->forward_count; i++) {
    const plr_node *n = &g->forward[i];
    for (uint32_t j = 0; j < plr__op_args(n->op); j++) {
      if (n->arg[j].kind != PLR_REF_WEIGHT) continue;
      plr_param *p = &g->params[n->arg[j].index];
      uint32_t place = p->stream / PLR_BLOCK_STREAMS;
      p->along = writes_stream(g, i) ? 0 : 1;
      p->hidden = n->op == PLR_OP_MATMUL && p->rows > 1 && p->cols > 1 && place > 0 &&
                  place <= g->info->blocks;
    }
  }
}
