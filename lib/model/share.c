/* What takes over the memory of what: results of operations that may work in place, where nobody reads the operand
 * again. Sharing never changes a bit; it saves memory and traffic. */
#include "model/model_int.h"

/* What an op has and does. Operands i with bit i of `results` are written. */
typedef struct op_row {
  uint32_t op, args, results;
  uint32_t keeps_result; /* its rule in backward reads a result */
  uint32_t in_place;     /* bits of the operands whose memory the result may take over */
} op_row;

static const op_row rows[] = {
    {PLR_OP_ADD, 3, 1u << 2, 0, 1u << 0 | 1u << 1},
    {PLR_OP_MUL, 3, 1u << 2, 0, 0},
    {PLR_OP_SCALE, 2, 1u << 1, 0, 1u << 0},
    {PLR_OP_BIAS, 3, 1u << 2, 0, 1u << 0},
    {PLR_OP_BIAS_BWD, 2, 1u << 0, 0, 0},
    {PLR_OP_ROW_ADD, 4, 1u << 3, 0, 1u << 0},
    {PLR_OP_MATMUL, 3, 1u << 2, 0, 0},
    {PLR_OP_RMSNORM, 4, 1u << 2 | 1u << 3, 0, 0},
    {PLR_OP_RMSNORM_BWD, 6, 1u << 4 | 1u << 5, 0, 0},
    {PLR_OP_LAYERNORM, 6, 7u << 3, 0, 0},
    {PLR_OP_LAYERNORM_BWD, 8, 7u << 5, 0, 0},
    {PLR_OP_ROPE, 4, 1u << 3, 0, 1u << 0},
    {PLR_OP_ATTENTION, 6, 7u << 3, 1, 0},
    {PLR_OP_ATTENTION_BWD, 10, 7u << 7, 0, 0},
    {PLR_OP_SWIGLU, 3, 1u << 2, 0, 0},
    {PLR_OP_SWIGLU_BWD, 5, 3u << 3, 0, 0},
    {PLR_OP_ACT, 2, 1u << 1, 0, 0},
    {PLR_OP_ACT_BWD, 3, 1u << 2, 0, 0},
    {PLR_OP_ROUTE, 6, 31u << 1, 1, 0},
    {PLR_OP_ROUTE_BWD, 8, 1u << 7, 0, 0},
    {PLR_OP_DISPATCH, 4, 1u << 3, 0, 0},
    {PLR_OP_DISPATCH_BWD, 4, 1u << 3, 0, 0},
    {PLR_OP_COMBINE, 4, 1u << 3, 0, 0},
    {PLR_OP_COMBINE_BWD, 6, 3u << 4, 0, 0},
    {PLR_OP_EXPERT_MATMUL, 4, 1u << 2, 0, 0},
    {PLR_OP_EMBED, 3, 1u << 2, 0, 0},
    {PLR_OP_EMBED_BWD, 3, 1u << 0, 0, 0},
    {PLR_OP_XENT, 3, 1u << 0 | 1u << 2, 0, 0},
};

static const op_row *row_of(uint32_t op) {
  for (size_t i = 0; i < PLR_COUNT_OF(rows); i++)
    if (rows[i].op == op) return &rows[i];
  return NULL;
}

uint32_t plr__op_args(uint32_t op) {
  const op_row *r = row_of(op);
  return r ? r->args : 0;
}

uint32_t plr__op_results(uint32_t op) {
  const op_row *r = row_of(op);
  return r ? r->results : 0;
}

int plr__op_keeps_result(uint32_t op) {
  const op_row *r = row_of(op);
  return r && r->keeps_result;
}

static void count_uses(plr_graph *g) {
  for (uint32_t i = 0; i < g->forward_count; i++) {
    const plr_node *n = &g->forward[i];
    uint32_t args = plr__op_args(n->op), results = plr__op_results(n->op);
    for (uint32_t j = 0; j < args; j++)
      if (n->arg[j].kind == PLR_REF_VALUE && (n->op == PLR_OP_XENT || !(results >> j & 1)))
        g->values[n->arg[j].index].uses++;
  }
  g->values[g->output].uses += g->loss == PLR_NO_VALUE; /* the host reads it */
}

/* Nobody but the one consumer reads the value again, in forward or in backward. */
static int free_to_take(const plr_graph *g, plr_ref ref) {
  if (ref.kind != PLR_REF_VALUE) return 0;
  const plr_value *v = &g->values[ref.index];
  return v->producer != PLR_NO_NODE && v->uses == 1 &&
         !plr__op_keeps_result(g->forward[v->producer].op);
}

void plr__graph_share(plr_graph *g) {
  if (g->failed != PLR_OK) return;
  count_uses(g);
  for (uint32_t i = 0; i < g->value_count; i++) g->values[i].root = i;
  for (uint32_t i = 0; i < g->forward_count; i++) {
    const plr_node *n = &g->forward[i];
    const op_row *r = row_of(n->op);
    if (!r || !r->in_place) continue;
    uint32_t y = n->arg[r->args - 1].index;
    for (uint32_t j = r->args; j-- > 0;) { /* the second operand of a sum first: it is the branch */
      if (!(r->in_place >> j & 1) || !free_to_take(g, n->arg[j])) continue;
      g->values[y].root = g->values[n->arg[j].index].root;
      break;
    }
  }
}

static void resolve(const plr_graph *g, uint32_t *v) {
  if (*v != PLR_NO_VALUE) *v = g->values[*v].root;
}

static void resolve_list(const plr_graph *g, plr_node *list, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t j = 0; j < plr__op_args(list[i].op); j++)
      if (list[i].arg[j].kind == PLR_REF_VALUE) resolve(g, &list[i].arg[j].index);
}

void plr__graph_resolve(plr_graph *g) {
  if (g->failed != PLR_OK) return;
  resolve_list(g, g->forward, g->forward_count);
  resolve_list(g, g->backward, g->backward_count);
  uint32_t *ends[] = {&g->ids,    &g->labels, &g->positions,  &g->input,
                      &g->output, &g->loss,   &g->grad_input, &g->grad_output};
  for (size_t i = 0; i < PLR_COUNT_OF(ends); i++) resolve(g, ends[i]);
  for (uint32_t i = 0; i < g->value_count; i++) resolve(g, &g->values[i].grad);
}
