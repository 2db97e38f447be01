/* The closure lint of the subspace boundary. Every value is anchor + span(U), in span(U), or anything; what a boundary
 * projects must be the first, else the projection loses something and receiver and sender differ. */
#include "model/model_int.h"

typedef enum closure { ANY = 0, SPAN, STREAM } closure;

static int is_const(plr_ref ref, plr_const_id id) {
  return ref.kind == PLR_REF_CONST && ref.index == id;
}

static closure closure_of(const plr_node *n, const uint8_t *known) {
  closure a = n->arg[0].kind == PLR_REF_VALUE ? known[n->arg[0].index] : ANY;
  closure b = n->arg[1].kind == PLR_REF_VALUE ? known[n->arg[1].index] : ANY;
  switch (n->op) {
  case PLR_OP_MATMUL:
    return n->layout == PLR_MATMUL_NT && is_const(n->arg[1], PLR_CONST_BASIS) ? SPAN : ANY;
  case PLR_OP_SCALE:
    return a == SPAN ? SPAN : ANY;
  case PLR_OP_ADD:
    if (a == ANY || b == ANY || (a == STREAM && b == STREAM)) return ANY;
    return a == SPAN && b == SPAN ? SPAN : STREAM;
  case PLR_OP_ROW_ADD:
    if (!is_const(n->arg[1], PLR_CONST_ANCHOR)) return ANY;
    if (n->sign > 0.0f) return a == SPAN ? STREAM : ANY;
    return a == STREAM ? SPAN : ANY;
  default:
    return ANY;
  }
}

/* A node's result, which may have taken over an operand's memory: so values are followed in the order of the list. */
static uint32_t result_of(const plr_node *n) {
  uint32_t results = plr__op_results(n->op), i = 0;
  while (!(results >> i & 1)) i++;
  return n->arg[i].kind == PLR_REF_VALUE ? n->arg[i].index : PLR_NO_VALUE;
}

plr_status plr__graph_lint(const plr_graph *g, uint32_t *block) {
  *block = 0;
  if (g->info->first_full_rank == 0) return PLR_OK;
  uint8_t *known = plr__calloc(g->ctx, g->value_count, 1);
  if (!known) return PLR_ERR_NO_MEMORY;
  plr_status st = PLR_OK;
  for (uint32_t i = 0; i < g->forward_count && st == PLR_OK; i++) {
    const plr_node *n = &g->forward[i];
    int projects = n->op == PLR_OP_MATMUL && n->layout == PLR_MATMUL_NN &&
                   is_const(n->arg[1], PLR_CONST_BASIS);
    if (projects && known[n->arg[0].index] != SPAN) st = PLR_ERR_INTERNAL, *block = n->block;
    uint32_t y = result_of(n);
    if (y != PLR_NO_VALUE) known[y] = (uint8_t)closure_of(n, known);
  }
  plr__free(g->ctx, known);
  return st;
}
