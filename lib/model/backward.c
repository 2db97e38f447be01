/* The backward list, derived from the forward list: nodes in reverse, one rule per operation.
 *
 * Each value has at most one gradient value. The first rule that reaches it writes it, later ones accumulate, in
 * the order of the reversed list: that order is part of the numeric profile. Three gradients share memory with
 * something else, because nobody needs the other any more:
 *   - both inputs of a residual addition share the gradient of the sum (the branch is consumed at once);
 *   - the gradients of gate and up replace gate and up;
 *   - the gradient of the logits replaces the logits (XENT, in the forward list). */
#include "model/model_int.h"

/* The i-th operand of forward node n as a value. */
static uint32_t value_arg(const plr_node *n, int i) {
  return n->arg[i].index;
}

/* A forward value that a rule reads: cheap ones are computed again, once, before that rule. */
static void need(plr_graph *g, uint32_t v) {
  if (g->failed != PLR_OK || !g->values[v].cheap || g->values[v].redone) return;
  g->values[v].redone = 1;
  plr_node source = g->forward[g->values[v].producer];
  uint32_t inputs = source.op == PLR_OP_SWIGLU ? 2 : 1;
  for (uint32_t i = 0; i < inputs; i++) need(g, source.arg[i].index);
  plr_node *n = plr__graph_push(g, 1, (plr_op_id)source.op);
  *n = source;
}

/* The gradient of v for a rule that writes all of it: *exists says whether it must accumulate. */
static uint32_t grad(plr_graph *g, uint32_t v, uint32_t *exists) {
  if (g->failed != PLR_OK) return 0;
  *exists = g->values[v].grad != PLR_NO_VALUE;
  if (!*exists) {
    uint32_t d = plr__graph_value(g, g->values[v].cols);
    if (g->failed == PLR_OK) g->values[v].grad = d;
    return d;
  }
  return g->values[v].grad;
}

/* The gradient of v for a rule that cannot accumulate. */
static uint32_t fresh_grad(plr_graph *g, uint32_t v) {
  uint32_t exists = 0;
  uint32_t d = grad(g, v, &exists);
  if (exists) plr__graph_fail(g, PLR_ERR_INTERNAL);
  return d;
}

/* The gradient of v for a rule that needs it whole: a value nobody consumed has none, which is a broken list. */
static uint32_t incoming(plr_graph *g, uint32_t v) {
  if (g->failed != PLR_OK) return 0;
  if (g->values[v].grad == PLR_NO_VALUE) plr__graph_fail(g, PLR_ERR_INTERNAL);
  return g->values[v].grad;
}

/* A node that writes the gradient of a parameter; `product`: one that can start its own chains. */
static plr_ref weight_grad(plr_graph *g, plr_ref weight, plr_node *n, int product) {
  if (g->failed != PLR_OK || weight.kind != PLR_REF_WEIGHT) return plr__ref(PLR_REF_NONE, 0);
  plr_param *p = &g->params[weight.index];
  if (product && !p->grad_touched) n->starts = p->grad_starts = 1;
  p->grad_touched = 1;
  return plr__ref(PLR_REF_GRAD, weight.index);
}

/* c = a w: dw continues a^T dc; da = dc w^T. */
static void matmul_rule(plr_graph *g, const plr_node *f) {
  uint32_t a = value_arg(f, 0), dc = incoming(g, value_arg(f, 2));
  if (f->arg[1].kind == PLR_REF_WEIGHT) {
    if (f->layout != PLR_MATMUL_NN) plr__graph_fail(g, PLR_ERR_INTERNAL);
    need(g, a);
    plr_node *n = plr__graph_push(g, 1, PLR_OP_MATMUL);
    n->layout = PLR_MATMUL_TN, n->accumulate = 1;
    n->arg[0] = plr__ref_value(a);
    n->arg[1] = plr__ref_value(dc);
    n->arg[2] = weight_grad(g, f->arg[1], n, 1);
  }
  uint32_t exists = 0;
  uint32_t da = grad(g, a, &exists);
  if (da == dc) plr__graph_fail(g, PLR_ERR_INTERNAL); /* x + x W: the product cannot be in place */
  plr_node *n = plr__graph_push(g, 1, PLR_OP_MATMUL);
  n->layout = f->layout == PLR_MATMUL_NN ? PLR_MATMUL_NT : PLR_MATMUL_NN;
  n->accumulate = exists;
  n->arg[0] = plr__ref_value(dc);
  n->arg[1] = f->arg[1];
  n->arg[2] = plr__ref_value(da);
}

static void rmsnorm_rule(plr_graph *g, const plr_node *f) {
  uint32_t x = value_arg(f, 0), dy = incoming(g, value_arg(f, 2)), exists = 0;
  need(g, x);
  uint32_t dx = grad(g, x, &exists);
  plr_node *n = plr__graph_push(g, 1, PLR_OP_RMSNORM_BWD);
  n->accumulate = exists;
  n->arg[0] = f->arg[0];
  n->arg[1] = f->arg[1];
  n->arg[2] = plr__ref_value(dy);
  n->arg[3] = f->arg[3];
  n->arg[4] = plr__ref_value(dx);
  n->arg[5] = weight_grad(g, f->arg[1], n, 0);
}

static void rope_rule(plr_graph *g, const plr_node *f) {
  uint32_t dx = incoming(g, value_arg(f, 0));
  plr_node *n = plr__graph_push(g, 1, PLR_OP_ROPE);
  *n = *f;
  n->sign = -f->sign;
  n->arg[0] = plr__ref_value(dx);
}

static void attention_rule(plr_graph *g, const plr_node *f) {
  uint32_t dout = incoming(g, value_arg(f, 3)), d[3];
  for (int i = 0; i < 3; i++) {
    need(g, value_arg(f, i));
    d[i] = fresh_grad(g, value_arg(f, i));
  }
  plr_node *n = plr__graph_push(g, 1, PLR_OP_ATTENTION_BWD);
  for (int i = 0; i < 6; i++) n->arg[i] = f->arg[i];
  n->arg[6] = plr__ref_value(dout);
  for (int i = 0; i < 3; i++) n->arg[7 + i] = plr__ref_value(d[i]);
}

static void swiglu_rule(plr_graph *g, const plr_node *f) {
  uint32_t dh = incoming(g, value_arg(f, 2));
  if (g->failed != PLR_OK) return;
  for (int i = 0; i < 2; i++) {
    plr_value *v = &g->values[value_arg(f, i)];
    /* named by its producer and by this node, nobody else */
    if (v->grad != PLR_NO_VALUE || v->cheap || v->producer == PLR_NO_NODE || v->uses != 2)
      plr__graph_fail(g, PLR_ERR_INTERNAL);
    v->grad = value_arg(f, i);
  }
  plr_node *n = plr__graph_push(g, 1, PLR_OP_SWIGLU_BWD);
  n->arg[0] = f->arg[0];
  n->arg[1] = f->arg[1];
  n->arg[2] = plr__ref_value(dh);
  n->arg[3] = f->arg[0];
  n->arg[4] = f->arg[1];
}

/* y = x + branch, y in the place of branch. plr__graph_residual made sure that the node before wrote the branch, so
 * its rule comes next and is done with the shared gradient before anything accumulates into it for x. */
static void add_rule(plr_graph *g, const plr_node *f) {
  uint32_t x = value_arg(f, 0), dy = incoming(g, value_arg(f, 2));
  if (g->failed != PLR_OK) return;
  uint32_t dx = g->values[x].grad;
  if (dx == PLR_NO_VALUE) {
    g->values[x].grad = dy;
    return;
  }
  plr_node *n = plr__graph_push(g, 1, PLR_OP_ADD);
  n->arg[0] = plr__ref_value(dx);
  n->arg[1] = plr__ref_value(dy);
  n->arg[2] = plr__ref_value(dx);
}

static void embed_rule(plr_graph *g, const plr_node *f) {
  uint32_t dy = incoming(g, value_arg(f, 2));
  plr_node *n = plr__graph_push(g, 1, PLR_OP_EMBED_BWD);
  n->arg[0] = weight_grad(g, f->arg[0], n, 0);
  n->arg[1] = f->arg[1];
  n->arg[2] = plr__ref_value(dy);
}

static void rule(plr_graph *g, const plr_node *f) {
  switch (f->op) {
  case PLR_OP_MATMUL:
    matmul_rule(g, f);
    return;
  case PLR_OP_RMSNORM:
    rmsnorm_rule(g, f);
    return;
  case PLR_OP_ROPE:
    rope_rule(g, f);
    return;
  case PLR_OP_ATTENTION:
    attention_rule(g, f);
    return;
  case PLR_OP_SWIGLU:
    swiglu_rule(g, f);
    return;
  case PLR_OP_ADD:
    add_rule(g, f);
    return;
  case PLR_OP_EMBED:
    embed_rule(g, f);
    return;
  case PLR_OP_ROW_ADD: /* adds a constant */
  case PLR_OP_XENT:    /* left the gradient already */
    return;
  default:
    plr__graph_fail(g, PLR_ERR_INTERNAL);
  }
}

static void count_uses(plr_graph *g) {
  for (uint32_t i = 0; i < g->forward_count; i++)
    for (uint32_t j = 0; j < plr__op_args(g->forward[i].op); j++)
      if (g->forward[i].arg[j].kind == PLR_REF_VALUE) g->values[g->forward[i].arg[j].index].uses++;
}

void plr__graph_derive_backward(plr_graph *g) {
  count_uses(g);
  uint32_t d = g->output; /* logits: XENT leaves their gradient in them */
  if (g->loss == PLR_NO_VALUE) d = plr__graph_value(g, g->values[g->output].cols);
  if (g->failed != PLR_OK) return;
  g->grad_output = g->values[g->output].grad = d;
  for (uint32_t i = g->forward_count; i-- > 0 && g->failed == PLR_OK;) {
    plr_node f = g->forward[i];
    g->block = f.block;
    rule(g, &f);
  }
  if (g->failed == PLR_OK && g->input != PLR_NO_VALUE) g->grad_input = g->values[g->input].grad;
}
