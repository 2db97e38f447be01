/* Work in floating-point operations, from the operations of the graph: the units of receipts and ledger.
 *
 * Counted per token, an FMA as two: products with a trained matrix in x out: 2 in out forward, 4 in out backward
 * (dX and dW), for a mixture of experts once for each chosen expert; with a frozen one: 2 and 2 (dX only); attention,
 * with (T+1)/2 keys a query on average (fewer in a window): scores and the weighted sum 4 heads head_dim (T+1)/2
 * forward and twice that backward. Element-wise operations are not counted, nor what an implementation computes
 * twice: a unit is work the model asks for, not work a machine spends. */
#include "model/model_int.h"

/* Keys that all queries of a sequence see together. */
static uint64_t keys_of(uint64_t seq, uint64_t window) {
  uint64_t w = window && window < seq ? window : seq;
  return w * (w + 1) / 2 + (seq - w) * w;
}

static uint64_t node_cost(const plr_graph *g, const plr_node *n) {
  uint64_t seq = g->info->seq_len;
  int64_t rows, cols;
  switch (n->op) {
  case PLR_OP_MATMUL:
    plr__ref_shape(g, n->arg[1], &rows, &cols);
    return (n->arg[1].kind == PLR_REF_WEIGHT ? 6u : 4u) * (uint64_t)rows * (uint64_t)cols;
  case PLR_OP_EXPERT_MATMUL:
    plr__ref_shape(g, n->arg[1], &rows, &cols);
    return 6u * (uint64_t)n->top_k * (uint64_t)(rows / n->experts) * (uint64_t)cols;
  case PLR_OP_ATTENTION:
    return 12u * (uint64_t)n->heads * n->head_dim * keys_of(seq, n->window) / seq;
  default:
    return 0;
  }
}

void plr__graph_cost(const plr_graph *g, uint64_t *cost) {
  for (uint32_t i = 0; i < g->forward_count; i++)
    cost[g->forward[i].block] += node_cost(g, &g->forward[i]);
}
