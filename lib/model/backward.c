/* The backward list, derived from the forward list: nodes in reverse, one rule per operation (gradients.c says how
 * gradients meet). Two gradients take the memory of values that nobody reads any more: those of gate and up replace
 * gate and up, that of the logits replaces the logits (XENT, in the forward list). */
#include "model/model_int.h"

/* The i-th operand of forward node n as a value. */
static uint32_t value_arg(const plr_node *n, int i) {
  return n->arg[i].index;
}

static plr_ref value(uint32_t v) {
  return plr__ref_value(v);
}

/* A forward value that a rule reads: cheap ones are computed again, once, before that rule. */
static void need(plr_graph *g, uint32_t v) {
  if (g->failed != PLR_OK || !g->values[v].cheap || g->values[v].redone) return;
  plr_node source = g->forward[g->values[v].producer];
  uint32_t results = plr__op_results(source.op);
  for (uint32_t i = 0; i < plr__op_args(source.op); i++) {
    if (source.arg[i].kind != PLR_REF_VALUE) continue;
    if (results >> i & 1)
      g->values[source.arg[i].index].redone = 1;
    else
      need(g, source.arg[i].index);
  }
  plr_node *n = plr__graph_push(g, 1, (plr_op_id)source.op);
  *n = source;
}

/* A node with the numbers of forward node f. */
static plr_node *push_like(plr_graph *g, plr_op_id op, const plr_node *f) {
  plr_node *n = plr__graph_push(g, 1, op);
  uint32_t block = n->block;
  *n = *f;
  n->op = op, n->block = block;
  for (int i = 0; i < PLR_NODE_ARGS; i++) n->arg[i] = plr__ref(PLR_REF_NONE, 0);
  return n;
}

/* A node that writes the gradient of a parameter; `product`: one that can start its own chains. */
static plr_ref weight_grad(plr_graph *g, plr_ref weight, plr_node *n, int product) {
  if (g->failed != PLR_OK || weight.kind != PLR_REF_WEIGHT) return plr__ref(PLR_REF_NONE, 0);
  plr_param *p = &g->params[weight.index];
  if (product && !p->grad_touched) n->starts = p->grad_starts = 1;
  p->grad_touched = 1;
  return plr__ref(PLR_REF_GRAD, weight.index);
}

/* Memory for the gradient of v that a rule writes whole, and what makes it v's. */
static uint32_t part_of(plr_graph *g, uint32_t v) {
  return plr__graph_like(g, v);
}

/* c = a w: dw continues a^T dc; da = dc w^T. */
static void matmul_rule(plr_graph *g, const plr_node *f) {
  uint32_t a = value_arg(f, 0), dc = plr__grad_incoming(g, value_arg(f, 2));
  if (f->arg[1].kind == PLR_REF_WEIGHT) {
    if (f->layout != PLR_MATMUL_NN) plr__graph_fail(g, PLR_ERR_INTERNAL);
    need(g, a);
    plr_node *n = plr__graph_push(g, 1, PLR_OP_MATMUL);
    n->layout = PLR_MATMUL_TN, n->accumulate = 1;
    n->arg[0] = value(a);
    n->arg[1] = value(dc);
    n->arg[2] = weight_grad(g, f->arg[1], n, 1);
  }
  uint32_t exists = 0;
  uint32_t da = plr__grad_into(g, a, &exists);
  plr_node *n = plr__graph_push(g, 1, PLR_OP_MATMUL);
  n->layout = f->layout == PLR_MATMUL_NN ? PLR_MATMUL_NT : PLR_MATMUL_NN;
  n->accumulate = exists;
  n->arg[0] = value(dc);
  n->arg[1] = f->arg[1];
  n->arg[2] = value(da);
}

/* The same for each expert's rows. */
static void expert_matmul_rule(plr_graph *g, const plr_node *f) {
  uint32_t a = value_arg(f, 0), dc = plr__grad_incoming(g, value_arg(f, 2));
  need(g, a);
  need(g, value_arg(f, 3));
  plr_node *n = push_like(g, PLR_OP_EXPERT_MATMUL, f);
  n->layout = PLR_MATMUL_TN, n->accumulate = 1;
  n->arg[0] = value(a);
  n->arg[1] = value(dc);
  n->arg[2] = weight_grad(g, f->arg[1], n, 1);
  n->arg[3] = f->arg[3];
  uint32_t exists = 0;
  uint32_t da = plr__grad_into(g, a, &exists);
  n = push_like(g, PLR_OP_EXPERT_MATMUL, f);
  n->layout = PLR_MATMUL_NT, n->accumulate = exists;
  n->arg[0] = value(dc);
  n->arg[1] = f->arg[1];
  n->arg[2] = value(da);
  n->arg[3] = f->arg[3];
}

static void bias_rule(plr_graph *g, const plr_node *f) {
  uint32_t dy = plr__grad_incoming(g, value_arg(f, 2));
  plr_node *n = plr__graph_push(g, 1, PLR_OP_BIAS_BWD);
  n->arg[0] = weight_grad(g, f->arg[1], n, 0);
  n->arg[1] = value(dy);
  plr__grad_pass(g, value_arg(f, 0), dy);
}

static void rmsnorm_rule(plr_graph *g, const plr_node *f) {
  uint32_t x = value_arg(f, 0), dy = plr__grad_incoming(g, value_arg(f, 2)), exists = 0;
  need(g, x);
  need(g, value_arg(f, 3));
  uint32_t dx = plr__grad_into(g, x, &exists);
  plr_node *n = push_like(g, PLR_OP_RMSNORM_BWD, f);
  n->accumulate = exists;
  n->arg[0] = f->arg[0];
  n->arg[1] = f->arg[1];
  n->arg[2] = value(dy);
  n->arg[3] = f->arg[3];
  n->arg[4] = value(dx);
  n->arg[5] = weight_grad(g, f->arg[1], n, 0);
}

static void layernorm_rule(plr_graph *g, const plr_node *f) {
  uint32_t x = value_arg(f, 0), dy = plr__grad_incoming(g, value_arg(f, 3)), exists = 0;
  need(g, x);
  need(g, value_arg(f, 4));
  uint32_t dx = plr__grad_into(g, x, &exists);
  plr_node *n = push_like(g, PLR_OP_LAYERNORM_BWD, f);
  n->accumulate = exists;
  n->arg[0] = f->arg[0];
  n->arg[1] = f->arg[1];
  n->arg[2] = value(dy);
  n->arg[3] = f->arg[4];
  n->arg[4] = f->arg[5];
  n->arg[5] = value(dx);
  n->arg[6] = weight_grad(g, f->arg[1], n, 0);
  n->arg[7] = weight_grad(g, f->arg[2], n, 0);
}

/* Rotates the gradient back, in place when nobody else needs it. */
static void rope_rule(plr_graph *g, const plr_node *f) {
  uint32_t dy = plr__grad_incoming(g, value_arg(f, 3));
  uint32_t dx = plr__grad_sole(g, value_arg(f, 3)) ? dy : part_of(g, value_arg(f, 0));
  plr_node *n = push_like(g, PLR_OP_ROPE, f);
  n->sign = -f->sign;
  n->arg[0] = value(dy);
  n->arg[1] = f->arg[1];
  n->arg[2] = f->arg[2];
  n->arg[3] = value(dx);
  plr__grad_pass(g, value_arg(f, 0), dx);
}

static void attention_rule(plr_graph *g, const plr_node *f) {
  uint32_t dout = plr__grad_incoming(g, value_arg(f, 3)), d[3];
  for (int i = 0; i < 3; i++) {
    need(g, value_arg(f, i));
    d[i] = part_of(g, value_arg(f, i));
  }
  need(g, value_arg(f, 3));
  plr_node *n = push_like(g, PLR_OP_ATTENTION_BWD, f);
  for (int i = 0; i < 6; i++) n->arg[i] = f->arg[i];
  n->arg[6] = value(dout);
  for (int i = 0; i < 3; i++) n->arg[7 + i] = value(d[i]);
  for (int i = 0; i < 3; i++) plr__grad_pass(g, value_arg(f, i), d[i]);
}

/* Nobody reads v but node f, so that its memory is free for its gradient. */
static int replaceable(const plr_graph *g, uint32_t v) {
  const plr_value *x = &g->values[v];
  return x->uses == 1 && !x->cheap && x->producer != PLR_NO_NODE &&
         !plr__op_keeps_result(g->forward[x->producer].op);
}

static void swiglu_rule(plr_graph *g, const plr_node *f) {
  uint32_t dh = plr__grad_incoming(g, value_arg(f, 2)), d[2];
  if (g->failed != PLR_OK) return;
  for (int i = 0; i < 2; i++) {
    need(g, value_arg(f, i));
    d[i] = replaceable(g, value_arg(f, i)) ? value_arg(f, i) : part_of(g, value_arg(f, i));
  }
  plr_node *n = plr__graph_push(g, 1, PLR_OP_SWIGLU_BWD);
  n->arg[0] = f->arg[0];
  n->arg[1] = f->arg[1];
  n->arg[2] = value(dh);
  for (int i = 0; i < 2; i++) n->arg[3 + i] = value(d[i]);
  for (int i = 0; i < 2; i++) plr__grad_pass(g, value_arg(f, i), d[i]);
}

static void act_rule(plr_graph *g, const plr_node *f) {
  uint32_t y = value_arg(f, 1), dy = plr__grad_incoming(g, y);
  need(g, value_arg(f, 0));
  uint32_t dx = plr__grad_sole(g, y) ? dy : part_of(g, y);
  plr_node *n = push_like(g, PLR_OP_ACT_BWD, f);
  n->arg[0] = f->arg[0];
  n->arg[1] = value(dy);
  n->arg[2] = value(dx);
  plr__grad_pass(g, value_arg(f, 0), dx);
}

static void add_rule(plr_graph *g, const plr_node *f) {
  uint32_t dy = plr__grad_incoming(g, value_arg(f, 2));
  plr__grad_pass(g, value_arg(f, 0), dy);
  plr__grad_pass(g, value_arg(f, 1), dy);
}

static void mul_rule(plr_graph *g, const plr_node *f) {
  uint32_t dy = plr__grad_incoming(g, value_arg(f, 2));
  for (int i = 0; i < 2; i++) {
    need(g, value_arg(f, 1 - i));
    uint32_t d = part_of(g, value_arg(f, i));
    plr_node *n = plr__graph_push(g, 1, PLR_OP_MUL);
    n->arg[0] = value(dy);
    n->arg[1] = f->arg[1 - i];
    n->arg[2] = value(d);
    plr__grad_pass(g, value_arg(f, i), d);
  }
}

static void scale_rule(plr_graph *g, const plr_node *f) {
  uint32_t y = value_arg(f, 1), dy = plr__grad_incoming(g, y);
  uint32_t dx = plr__grad_sole(g, y) ? dy : part_of(g, y);
  plr_node *n = push_like(g, PLR_OP_SCALE, f);
  n->arg[0] = value(dy);
  n->arg[1] = value(dx);
  plr__grad_pass(g, value_arg(f, 0), dx);
}

/* The rows of a constant have no gradient; those of a trained table get theirs. */
static void row_add_rule(plr_graph *g, const plr_node *f) {
  uint32_t dy = plr__grad_incoming(g, value_arg(f, 3));
  if (f->arg[1].kind == PLR_REF_WEIGHT) {
    plr_node *n = plr__graph_push(g, 1, PLR_OP_EMBED_BWD);
    n->arg[0] = weight_grad(g, f->arg[1], n, 0);
    n->arg[1] = f->arg[2];
    n->arg[2] = value(dy);
  }
  plr__grad_pass(g, value_arg(f, 0), dy);
}

static void route_rule(plr_graph *g, const plr_node *f) {
  uint32_t dgates = plr__grad_incoming(g, value_arg(f, 5));
  need(g, value_arg(f, 5));
  uint32_t d = part_of(g, value_arg(f, 0));
  plr_node *n = push_like(g, PLR_OP_ROUTE_BWD, f);
  for (int i = 0; i < 6; i++) n->arg[i] = f->arg[i];
  n->arg[6] = value(dgates);
  n->arg[7] = value(d);
  plr__grad_pass(g, value_arg(f, 0), d);
}

static void dispatch_rule(plr_graph *g, const plr_node *f) {
  uint32_t dy = plr__grad_incoming(g, value_arg(f, 3));
  uint32_t d = part_of(g, value_arg(f, 0));
  need(g, value_arg(f, 1));
  plr_node *n = push_like(g, PLR_OP_DISPATCH_BWD, f);
  n->arg[0] = value(dy);
  n->arg[1] = f->arg[1];
  n->arg[2] = f->arg[2];
  n->arg[3] = value(d);
  plr__grad_pass(g, value_arg(f, 0), d);
}

static void combine_rule(plr_graph *g, const plr_node *f) {
  uint32_t dy = plr__grad_incoming(g, value_arg(f, 3)), d[2];
  for (int i = 0; i < 3; i++) need(g, value_arg(f, i));
  for (int i = 0; i < 2; i++) d[i] = part_of(g, value_arg(f, i));
  plr_node *n = push_like(g, PLR_OP_COMBINE_BWD, f);
  for (int i = 0; i < 3; i++) n->arg[i] = f->arg[i];
  n->arg[3] = value(dy);
  for (int i = 0; i < 2; i++) n->arg[4 + i] = value(d[i]);
  for (int i = 0; i < 2; i++) plr__grad_pass(g, value_arg(f, i), d[i]);
}

static void embed_rule(plr_graph *g, const plr_node *f) {
  uint32_t dy = plr__grad_incoming(g, value_arg(f, 2));
  plr_node *n = plr__graph_push(g, 1, PLR_OP_EMBED_BWD);
  n->arg[0] = weight_grad(g, f->arg[0], n, 0);
  n->arg[1] = f->arg[1];
  n->arg[2] = value(dy);
}

typedef struct rule_row {
  uint32_t op;
  uint32_t result; /* the operand whose gradient the rule starts from */
  void (*rule)(plr_graph *g, const plr_node *f);
} rule_row;

static const rule_row rules[] = {
    {PLR_OP_MATMUL, 2, matmul_rule},
    {PLR_OP_EXPERT_MATMUL, 2, expert_matmul_rule},
    {PLR_OP_BIAS, 2, bias_rule},
    {PLR_OP_RMSNORM, 2, rmsnorm_rule},
    {PLR_OP_LAYERNORM, 3, layernorm_rule},
    {PLR_OP_ROPE, 3, rope_rule},
    {PLR_OP_ATTENTION, 3, attention_rule},
    {PLR_OP_SWIGLU, 2, swiglu_rule},
    {PLR_OP_ACT, 1, act_rule},
    {PLR_OP_ADD, 2, add_rule},
    {PLR_OP_MUL, 2, mul_rule},
    {PLR_OP_SCALE, 1, scale_rule},
    {PLR_OP_ROW_ADD, 3, row_add_rule},
    {PLR_OP_ROUTE, 5, route_rule},
    {PLR_OP_DISPATCH, 3, dispatch_rule},
    {PLR_OP_COMBINE, 3, combine_rule},
    {PLR_OP_EMBED, 2, embed_rule},
};

static void derive(plr_graph *g, const plr_node *f) {
  if (f->op == PLR_OP_XENT) return; /* left the gradient already */
  size_t i = 0;
  while (i < PLR_COUNT_OF(rules) && rules[i].op != f->op) i++;
  if (i == PLR_COUNT_OF(rules)) {
    plr__graph_fail(g, PLR_ERR_INTERNAL);
    return;
  }
  rules[i].rule(g, f);
  plr__grad_release(g, value_arg(f, (int)rules[i].result));
}

void plr__graph_derive_backward(plr_graph *g) {
  if (g->failed != PLR_OK) return;
  uint32_t d = g->output; /* logits: XENT leaves their gradient in them */
  if (g->loss == PLR_NO_VALUE) d = plr__graph_like(g, g->output);
  if (g->failed != PLR_OK) return;
  g->grad_output = d;
  plr__grad_pass(g, g->output, d);
  for (uint32_t i = g->forward_count; i-- > 0 && g->failed == PLR_OK;) {
    plr_node f = g->forward[i];
    g->block = f.block;
    derive(g, &f);
  }
  if (g->failed == PLR_OK && g->input != PLR_NO_VALUE) g->grad_input = g->values[g->input].grad;
}
