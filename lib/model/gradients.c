/* Gradients while the backward list is derived. Several values may share one gradient (both operands of a sum have
 * that of the result); it is copied before one of them changes it, as long as another one still needs it. The first
 * rule that reaches a value writes its gradient, later ones accumulate, in the order of the reversed list: that order
 * is part of the numeric profile, sharing and copying are not. */
#include "model/model_int.h"

uint32_t plr__grad_incoming(plr_graph *g, uint32_t v) {
  if (g->failed != PLR_OK) return 0;
  if (g->values[v].grad == PLR_NO_VALUE) plr__graph_fail(g, PLR_ERR_INTERNAL);
  return g->values[v].grad;
}

void plr__grad_release(plr_graph *g, uint32_t v) {
  if (g->failed == PLR_OK && g->values[v].grad != PLR_NO_VALUE)
    g->values[g->values[v].grad].holders--;
}

int plr__grad_sole(const plr_graph *g, uint32_t v) {
  return g->failed == PLR_OK && g->values[g->values[v].grad].holders == 1;
}

static void hold(plr_graph *g, uint32_t v, uint32_t d) {
  if (g->failed != PLR_OK) return;
  g->values[v].grad = d;
  g->values[d].holders++;
}

/* v leaves the gradient it shares for d. */
static void move(plr_graph *g, uint32_t v, uint32_t d) {
  plr__grad_release(g, v);
  hold(g, v, d);
}

uint32_t plr__grad_into(plr_graph *g, uint32_t v, uint32_t *accumulate) {
  *accumulate = 0;
  if (g->failed != PLR_OK) return 0;
  uint32_t d = g->values[v].grad;
  if (d == PLR_NO_VALUE) {
    d = plr__graph_like(g, v);
    hold(g, v, d);
    return d;
  }
  *accumulate = 1;
  if (plr__grad_sole(g, v)) return d;
  uint32_t own = plr__graph_like(g, v);
  plr_node *n = plr__graph_push(g, 1, PLR_OP_SCALE); /* times one: a copy */
  n->scale = 1.0f;
  n->arg[0] = plr__ref_value(d);
  n->arg[1] = plr__ref_value(own);
  move(g, v, own);
  return own;
}

void plr__grad_pass(plr_graph *g, uint32_t v, uint32_t d) {
  if (g->failed != PLR_OK) return;
  uint32_t have = g->values[v].grad;
  if (have == PLR_NO_VALUE) {
    hold(g, v, d);
    return;
  }
  uint32_t sum = plr__grad_sole(g, v) ? have : plr__graph_like(g, v);
  plr_node *n = plr__graph_push(g, 1, PLR_OP_ADD);
  n->arg[0] = plr__ref_value(have);
  n->arg[1] = plr__ref_value(d);
  n->arg[2] = plr__ref_value(sum);
  if (sum != have) move(g, v, sum);
}
