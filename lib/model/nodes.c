/* The operations a family writes its blocks with. */
#include "model/model_int.h"

/* Marks what the newest forward node writes. */
static void wrote(plr_graph *g, uint32_t v, uint32_t cheap) {
  if (g->failed != PLR_OK) return;
  g->values[v].producer = g->forward_count - 1;
  g->values[v].cheap = cheap;
}

static int64_t cols(const plr_graph *g, uint32_t v) {
  return g->failed == PLR_OK ? g->values[v].cols : 0;
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
  n->arg[0] = plr__ref_value(x);
  n->arg[1] = w;
  n->arg[2] = plr__ref_value(y);
  wrote(g, y, 0);
  return y;
}

uint32_t plr__graph_rmsnorm(plr_graph *g, uint32_t x, plr_ref gain) {
  uint32_t y = plr__graph_value(g, cols(g, x));
  uint32_t inv_rms = plr__graph_value(g, 1);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_RMSNORM);
  n->arg[0] = plr__ref_value(x);
  n->arg[1] = gain;
  n->arg[2] = plr__ref_value(y);
  n->arg[3] = plr__ref_value(inv_rms);
  wrote(g, y, 1);
  wrote(g, inv_rms, 0);
  return y;
}

void plr__graph_rope(plr_graph *g, uint32_t x) {
  plr_node *n = plr__graph_push(g, 0, PLR_OP_ROPE);
  n->sign = 1.0f;
  n->arg[0] = plr__ref_value(x);
  n->arg[1] = plr__ref_const(PLR_CONST_COS);
  n->arg[2] = plr__ref_const(PLR_CONST_SIN);
}

uint32_t plr__graph_attention(plr_graph *g, uint32_t q, uint32_t k, uint32_t v) {
  uint32_t out = plr__graph_value(g, cols(g, q));
  uint32_t row_max = plr__graph_value(g, g->info->heads);
  uint32_t row_sum = plr__graph_value(g, g->info->heads);
  uint32_t args[6] = {q, k, v, out, row_max, row_sum};
  plr_node *n = plr__graph_push(g, 0, PLR_OP_ATTENTION);
  for (int i = 0; i < 6; i++) n->arg[i] = plr__ref_value(args[i]);
  for (int i = 3; i < 6; i++) wrote(g, args[i], 0);
  return out;
}

uint32_t plr__graph_swiglu(plr_graph *g, uint32_t gate, uint32_t up) {
  uint32_t h = plr__graph_value(g, cols(g, gate));
  plr_node *n = plr__graph_push(g, 0, PLR_OP_SWIGLU);
  n->arg[0] = plr__ref_value(gate);
  n->arg[1] = plr__ref_value(up);
  n->arg[2] = plr__ref_value(h);
  wrote(g, h, 1);
  return h;
}

uint32_t plr__graph_embed(plr_graph *g, plr_ref table) {
  int64_t vocab, width;
  plr__ref_shape(g, table, &vocab, &width);
  uint32_t y = plr__graph_value(g, width);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_EMBED);
  n->arg[0] = table;
  n->arg[1] = plr__ref_value(g->ids);
  n->arg[2] = plr__ref_value(y);
  wrote(g, y, 0);
  return y;
}

void plr__graph_anchor(plr_graph *g, uint32_t x, float sign) {
  plr_node *n = plr__graph_push(g, 0, PLR_OP_ROW_ADD);
  n->sign = sign;
  n->arg[0] = plr__ref_value(x);
  n->arg[1] = plr__ref_const(PLR_CONST_ANCHOR);
  n->arg[2] = plr__ref_value(g->ids);
}

uint32_t plr__graph_residual(plr_graph *g, uint32_t x, uint32_t branch) {
  if (g->failed != PLR_OK) return 0;
  if (cols(g, x) != cols(g, branch) || g->values[branch].producer + 1 != g->forward_count)
    plr__graph_fail(g, PLR_ERR_INTERNAL);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_ADD);
  n->arg[0] = plr__ref_value(x);
  n->arg[1] = plr__ref_value(branch);
  n->arg[2] = plr__ref_value(branch);
  return branch;
}
