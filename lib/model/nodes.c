/* The operations a block is lowered to. */
#include "model/model_int.h"

static int64_t cols(const plr_graph *g, uint32_t v) {
  return g->failed == PLR_OK ? g->values[v].cols : 0;
}

/* Fills the operands of the newest forward node and marks what it writes; cheap: bit i says that operand i is
 * computed again for backward. */
static void operands(plr_graph *g, plr_node *n, const plr_ref *refs, uint32_t cheap) {
  uint32_t results = plr__op_results(n->op), count = plr__op_args(n->op);
  for (uint32_t i = 0; i < count; i++) {
    n->arg[i] = refs[i];
    if (g->failed != PLR_OK || !(results & 1u << i) || refs[i].kind != PLR_REF_VALUE) continue;
    g->values[refs[i].index].producer = g->forward_count - 1;
    g->values[refs[i].index].cheap = cheap >> i & 1;
  }
}

#define V(v)      plr__ref_value(v)
#define REFS(...) ((const plr_ref[]){__VA_ARGS__})

uint32_t plr__graph_like(plr_graph *g, uint32_t v) {
  if (g->failed != PLR_OK) return 0;
  plr_value shape = g->values[v];
  uint32_t y = plr__graph_value(g, shape.cols);
  if (g->failed == PLR_OK)
    g->values[y].per_token = shape.per_token, g->values[y].fixed = shape.fixed;
  return y;
}

/* per_token rows of `width` columns for each token row. */
static uint32_t expert_rows(plr_graph *g, int64_t width, uint32_t per_token) {
  uint32_t y = plr__graph_value(g, width);
  if (g->failed == PLR_OK) g->values[y].per_token = per_token;
  return y;
}

uint32_t plr__graph_ids(plr_graph *g) {
  if (g->ids == PLR_NO_VALUE) g->ids = plr__graph_value(g, 1);
  return g->ids;
}

uint32_t plr__graph_positions(plr_graph *g) {
  if (g->positions == PLR_NO_VALUE) g->positions = plr__graph_value(g, 1);
  return g->positions;
}

uint32_t plr__graph_matmul(plr_graph *g, uint32_t x, plr_ref w, uint32_t layout) {
  if (g->failed != PLR_OK) return 0;
  int64_t in, out;
  plr__ref_shape(g, w, &in, &out);
  if (layout == PLR_MATMUL_NT) {
    int64_t t = in;
    in = out, out = t;
  }
  if (cols(g, x) != in) plr__graph_fail(g, PLR_ERR_INTERNAL);
  uint32_t y = plr__graph_value(g, out);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_MATMUL);
  n->layout = layout;
  operands(g, n, REFS(V(x), w, V(y)), 0);
  return y;
}

uint32_t plr__graph_bias(plr_graph *g, uint32_t x, plr_ref bias) {
  uint32_t y = plr__graph_like(g, x);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_BIAS);
  operands(g, n, REFS(V(x), bias, V(y)), 0);
  return y;
}

uint32_t plr__graph_rmsnorm(plr_graph *g, uint32_t x, plr_ref gain, uint32_t parts, float eps) {
  uint32_t y = plr__graph_like(g, x);
  uint32_t inv_rms = plr__graph_value(g, parts);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_RMSNORM);
  n->parts = parts, n->eps = eps;
  operands(g, n, REFS(V(x), gain, V(y), V(inv_rms)), 1u << 2);
  return y;
}

uint32_t plr__graph_layernorm(plr_graph *g, uint32_t x, plr_ref gain, plr_ref bias, float eps) {
  uint32_t y = plr__graph_like(g, x);
  uint32_t mean = plr__graph_value(g, 1), inv_std = plr__graph_value(g, 1);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_LAYERNORM);
  n->eps = eps;
  operands(g, n, REFS(V(x), gain, bias, V(y), V(mean), V(inv_std)), 1u << 3);
  return y;
}

uint32_t plr__graph_rope(plr_graph *g, uint32_t x, const plr_rope_spec *spec) {
  uint32_t table = plr__graph_rope_table(g, spec), y = plr__graph_like(g, x);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_ROPE);
  n->sign = 1.0f, n->head_dim = spec->head_dim;
  operands(g, n,
           REFS(V(x), plr__ref(PLR_REF_CONST, PLR_CONST_ROPE + 2 * table),
                plr__ref(PLR_REF_CONST, PLR_CONST_ROPE + 2 * table + 1), V(y)),
           0);
  return y;
}

uint32_t plr__graph_attention(plr_graph *g, uint32_t q, uint32_t k, uint32_t v,
                              const plr_node *like) {
  uint32_t out = plr__graph_like(g, q);
  uint32_t row_max = plr__graph_value(g, like->heads), row_sum = plr__graph_value(g, like->heads);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_ATTENTION);
  n->heads = like->heads, n->kv_heads = like->kv_heads, n->head_dim = like->head_dim;
  n->window = like->window, n->scale = like->scale;
  operands(g, n, REFS(V(q), V(k), V(v), V(out), V(row_max), V(row_sum)), 0);
  return out;
}

uint32_t plr__graph_swiglu(plr_graph *g, uint32_t gate, uint32_t up) {
  uint32_t h = plr__graph_like(g, gate);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_SWIGLU);
  operands(g, n, REFS(V(gate), V(up), V(h)), 1u << 2);
  return h;
}

uint32_t plr__graph_act(plr_graph *g, uint32_t x, uint32_t act) {
  uint32_t y = plr__graph_like(g, x);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_ACT);
  n->act = act;
  operands(g, n, REFS(V(x), V(y)), 1u << 1);
  return y;
}

uint32_t plr__graph_scale(plr_graph *g, uint32_t x, float by) {
  uint32_t y = plr__graph_like(g, x);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_SCALE);
  n->scale = by;
  operands(g, n, REFS(V(x), V(y)), 0);
  return y;
}

uint32_t plr__graph_pair(plr_graph *g, plr_op_id op, uint32_t a, uint32_t b) {
  if (cols(g, a) != cols(g, b)) plr__graph_fail(g, PLR_ERR_INTERNAL);
  uint32_t y = plr__graph_like(g, a);
  plr_node *n = plr__graph_push(g, 0, op);
  operands(g, n, REFS(V(a), V(b), V(y)), op == PLR_OP_MUL ? 1u << 2 : 0);
  return y;
}

uint32_t plr__graph_embed(plr_graph *g, plr_ref table) {
  int64_t vocab, width;
  plr__ref_shape(g, table, &vocab, &width);
  uint32_t ids = plr__graph_ids(g), y = plr__graph_value(g, width);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_EMBED);
  operands(g, n, REFS(table, V(ids), V(y)), 0);
  return y;
}

uint32_t plr__graph_row_add(plr_graph *g, uint32_t x, plr_ref table, uint32_t ids, float sign) {
  uint32_t y = plr__graph_like(g, x);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_ROW_ADD);
  n->sign = sign;
  operands(g, n, REFS(V(x), table, V(ids), V(y)), 0);
  return y;
}

/* ---- mixture of experts ----------------------------------------------------------------------- */

static uint32_t expert_product(plr_graph *g, uint32_t x, plr_ref w, uint32_t offsets,
                               const plr_mixture *m, int64_t out) {
  uint32_t y = expert_rows(g, out, m->top_k);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_EXPERT_MATMUL);
  n->layout = PLR_MATMUL_NN, n->experts = m->experts, n->top_k = m->top_k;
  operands(g, n, REFS(V(x), w, V(y), V(offsets)), 0);
  return y;
}

static uint32_t gated(plr_graph *g, uint32_t gate, uint32_t up, uint32_t act) {
  if (act == PLR_ACT_SILU) return plr__graph_swiglu(g, gate, up);
  return plr__graph_pair(g, PLR_OP_MUL, plr__graph_act(g, gate, act), up);
}

uint32_t plr__graph_mixture(plr_graph *g, uint32_t x, const plr_mixture *m) {
  int64_t d = cols(g, x), in, width;
  plr__ref_shape(g, m->gate, &in, &width);
  uint32_t logits = plr__graph_matmul(g, x, m->router, PLR_MATMUL_NN);
  uint32_t ids = plr__graph_value(g, m->top_k), slot_of = plr__graph_value(g, m->top_k);
  uint32_t pair_of = plr__graph_value(g, m->top_k), offsets = plr__graph_value(g, 1);
  uint32_t gates = plr__graph_value(g, m->top_k);
  if (g->failed == PLR_OK) g->values[offsets].fixed = (int64_t)m->experts + 1;
  plr_node *n = plr__graph_push(g, 0, PLR_OP_ROUTE);
  n->experts = m->experts, n->top_k = m->top_k, n->renormalise = m->renormalise;
  n->balance = m->balance;
  operands(g, n, REFS(V(logits), V(ids), V(slot_of), V(pair_of), V(offsets), V(gates)), 0);

  uint32_t rows = expert_rows(g, d, m->top_k);
  n = plr__graph_push(g, 0, PLR_OP_DISPATCH);
  n->top_k = m->top_k;
  operands(g, n, REFS(V(x), V(slot_of), V(pair_of), V(rows)), 1u << 3);
  uint32_t gate = expert_product(g, rows, m->gate, offsets, m, width);
  uint32_t up = expert_product(g, rows, m->up, offsets, m, width);
  uint32_t h = gated(g, gate, up, m->act);
  uint32_t out = expert_product(g, h, m->down, offsets, m, d);

  uint32_t y = plr__graph_value(g, d);
  n = plr__graph_push(g, 0, PLR_OP_COMBINE);
  n->top_k = m->top_k;
  operands(g, n, REFS(V(out), V(gates), V(slot_of), V(y)), 0);
  return y;
}
