/* From a designer's operations to the nodes of a graph. */
#include "model/model_int.h"

#include <math.h>
#include <stdio.h>

typedef struct lowering {
  plr_graph *g;
  const char *prefix;
  uint32_t stream; /* of the next parameter */
  int held;
} lowering;

/* kind: "weight" or "bias", after the op's name and part. */
static plr_ref param(lowering *l, const plr_op *op, const char *part, int64_t rows, int64_t cols,
                     plr_init init, double std) {
  char name[sizeof l->g->params->name];
  snprintf(name, sizeof name, "%s%s.%s", l->prefix, op->name, part);
  if (init == PLR_INIT_NORMAL && std <= 0.0) init = PLR_INIT_ZEROS;
  return plr__graph_weight(l->g, l->stream++, name, rows, cols, init, (float)std);
}

static plr_ref bias_of(lowering *l, const plr_op *op, int64_t cols) {
  if (!op->d.bias) return plr__ref(PLR_REF_NONE, 0);
  return param(l, op, "bias", 1, cols, PLR_INIT_ZEROS, 0.0);
}

/* In the subspace: x0 = A[token] + e[token] U^T. */
static uint32_t embedding(lowering *l, const plr_op *op) {
  const plr_model_info *info = l->g->info;
  int64_t width = l->held ? info->boundary_width : info->d_model;
  uint32_t x = plr__graph_embed(
      l->g, param(l, op, "weight", info->vocab, width, PLR_INIT_NORMAL, op->d.std));
  if (!l->held) return x;
  x = plr__graph_matmul(l->g, x, plr__ref_const(PLR_CONST_BASIS), PLR_MATMUL_NT);
  return plr__graph_row_add(l->g, x, plr__ref_const(PLR_CONST_ANCHOR), plr__graph_ids(l->g), 1.0f);
}

/* What writes the stream is stored as Z (inputs x rank) where the block is held, and used as (a Z) U^T. */
static uint32_t linear(lowering *l, const plr_op *op, uint32_t x, int64_t in) {
  int held = l->held && op->d.write;
  int64_t width = held ? l->g->info->boundary_width : op->d.cols;
  plr_ref w = param(l, op, "weight", in, width, PLR_INIT_NORMAL, op->d.std);
  uint32_t y = plr__graph_matmul(l->g, x, w, PLR_MATMUL_NN);
  if (held) y = plr__graph_matmul(l->g, y, plr__ref_const(PLR_CONST_BASIS), PLR_MATMUL_NT);
  plr_ref bias = bias_of(l, op, op->d.cols);
  return bias.kind == PLR_REF_NONE ? y : plr__graph_bias(l->g, y, bias);
}

static uint32_t positions(lowering *l, const plr_op *op, uint32_t x) {
  plr_ref table = param(l, op, "weight", op->d.count, op->cols, PLR_INIT_NORMAL, op->d.std);
  return plr__graph_row_add(l->g, x, table, plr__graph_positions(l->g), 1.0f);
}

static uint32_t rmsnorm(lowering *l, const plr_op *op, uint32_t x) {
  uint32_t parts = op->d.heads ? op->d.heads : 1;
  plr_ref gain = param(l, op, "weight", 1, op->cols / parts, PLR_INIT_ONES, 0.0);
  return plr__graph_rmsnorm(l->g, x, gain, parts, (float)op->d.eps);
}

static uint32_t layernorm(lowering *l, const plr_op *op, uint32_t x) {
  plr_ref gain = param(l, op, "weight", 1, op->cols, PLR_INIT_ONES, 0.0);
  plr_ref bias = bias_of(l, op, op->cols);
  return plr__graph_layernorm(l->g, x, gain, bias, (float)op->d.eps);
}

static uint32_t rope(lowering *l, const plr_op *op, uint32_t x) {
  const plr_op_desc *d = &op->d;
  plr_rope_spec spec = {.head_dim = d->head_dim,
                        .scaling = d->scaling,
                        .original = d->original,
                        .theta = d->theta,
                        .factor = d->factor,
                        .low_freq = d->low_freq,
                        .high_freq = d->high_freq,
                        .beta_fast = d->beta_fast,
                        .beta_slow = d->beta_slow,
                        .attention_factor = d->attention_factor};
  return plr__graph_rope(l->g, x, &spec);
}

static uint32_t attention(lowering *l, const plr_op *op, const uint32_t *in) {
  const plr_op_desc *d = &op->d;
  plr_node like = {
      .heads = d->heads, .kv_heads = d->kv_heads, .head_dim = d->head_dim, .window = d->window};
  like.scale = (float)(d->scale > 0.0 ? d->scale : 1.0 / sqrt((double)d->head_dim));
  return plr__graph_attention(l->g, in[0], in[1], in[2], &like);
}

static uint32_t act_of(uint32_t layer) {
  switch (layer) {
  case PLR_LAYER_GELU:
    return PLR_ACT_GELU;
  case PLR_LAYER_GELU_TANH:
    return PLR_ACT_GELU_TANH;
  case PLR_LAYER_RELU2:
    return PLR_ACT_RELU2;
  default:
    return PLR_ACT_SILU;
  }
}

static uint32_t moe(lowering *l, const plr_op *op, uint32_t x) {
  const plr_op_desc *d = &op->d;
  const plr_model_info *info = l->g->info;
  int64_t in = op->cols, cols = d->cols, experts = d->experts;
  plr_mixture m = {.experts = d->experts,
                   .top_k = d->top_k,
                   .act = act_of(d->act),
                   .renormalise = d->renormalise};
  m.balance = (float)(d->balance / ((double)info->micro_batch * info->micro_batches));
  m.router = param(l, op, "router.weight", in, experts, PLR_INIT_NORMAL, d->std);
  m.gate = param(l, op, "experts.gate.weight", experts * in, cols, PLR_INIT_NORMAL, d->std);
  m.up = param(l, op, "experts.up.weight", experts * in, cols, PLR_INIT_NORMAL, d->std);
  m.down = param(l, op, "experts.down.weight", experts * cols, in, PLR_INIT_NORMAL, d->down_std);
  return plr__graph_mixture(l->g, x, &m);
}

static uint32_t lower_op(lowering *l, const plr_op *op, const uint32_t *in, int64_t in_cols) {
  switch (op->d.op) {
  case PLR_LAYER_EMBEDDING:
    return embedding(l, op);
  case PLR_LAYER_POSITIONS:
    return positions(l, op, in[0]);
  case PLR_LAYER_LINEAR:
    return linear(l, op, in[0], in_cols);
  case PLR_LAYER_RMSNORM:
    return rmsnorm(l, op, in[0]);
  case PLR_LAYER_LAYERNORM:
    return layernorm(l, op, in[0]);
  case PLR_LAYER_ROPE:
    return rope(l, op, in[0]);
  case PLR_LAYER_ATTENTION:
    return attention(l, op, in);
  case PLR_LAYER_SWIGLU:
    return plr__graph_swiglu(l->g, in[0], in[1]);
  case PLR_LAYER_ADD:
    return plr__graph_pair(l->g, PLR_OP_ADD, in[0], in[1]);
  case PLR_LAYER_MUL:
    return plr__graph_pair(l->g, PLR_OP_MUL, in[0], in[1]);
  case PLR_LAYER_SCALE:
    return plr__graph_scale(l->g, in[0], (float)op->d.scale);
  case PLR_LAYER_MOE:
    return moe(l, op, in[0]);
  default:
    return plr__graph_act(l->g, in[0], act_of(op->d.op));
  }
}

uint32_t plr__graph_lower(plr_graph *g, const plr_op_list *list, const char *prefix,
                          uint32_t first_stream, int held, uint32_t x) {
  const plr_op *ops = g->model->manifest.program.ops + list->first;
  uint32_t values[PLR_LIST_MAX + 1];
  lowering l = {g, prefix, first_stream, held};
  values[0] = x;
  for (uint32_t i = 0; i < list->count && g->failed == PLR_OK; i++) {
    uint32_t in[3];
    for (int j = 0; j < 3; j++) in[j] = values[ops[i].in[j]];
    int64_t in_cols = in[0] == PLR_NO_VALUE ? 0 : g->values[in[0]].cols;
    values[i + 1] = lower_op(&l, &ops[i], in, in_cols);
  }
  return g->failed == PLR_OK ? values[list->result] : 0;
}
