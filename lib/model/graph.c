/* The list of operations of consecutive blocks: storage, and the blocks with the boundaries between them. */
#include "model/model_int.h"

#include <stdio.h>
#include <string.h>

void plr__graph_fail(plr_graph *g, plr_status st) {
  if (g->failed == PLR_OK) g->failed = st;
}

/* Makes room for one more element of `size` bytes. */
static int reserve(plr_graph *g, void **array, uint32_t count, uint32_t *cap, size_t size) {
  if (g->failed != PLR_OK) return 0;
  if (count < *cap) return 1;
  uint32_t want = *cap ? *cap * 2 : 32;
  void *grown = plr__realloc(g->ctx, *array, want * size);
  if (!grown) {
    plr__graph_fail(g, PLR_ERR_NO_MEMORY);
    return 0;
  }
  *array = grown, *cap = want;
  return 1;
}

uint32_t plr__graph_value(plr_graph *g, int64_t cols) {
  void *array = g->values;
  if (!reserve(g, &array, g->value_count, &g->value_cap, sizeof *g->values)) return 0;
  g->values = array;
  plr_value v = {.cols = cols, .producer = PLR_NO_NODE, .grad = PLR_NO_VALUE};
  g->values[g->value_count] = v;
  return g->value_count++;
}

plr_ref plr__graph_weight(plr_graph *g, uint32_t stream, const char *name, int64_t rows,
                          int64_t cols, float std, uint32_t decay) {
  void *array = g->params;
  if (!reserve(g, &array, g->param_count, &g->param_cap, sizeof *g->params))
    return plr__ref(PLR_REF_NONE, 0);
  g->params = array;
  plr_param *p = &g->params[g->param_count];
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "%s", name);
  p->block = g->block, p->stream = stream;
  p->rows = rows, p->cols = cols;
  p->std = std, p->decay = decay;
  return plr__ref(PLR_REF_WEIGHT, g->param_count++);
}

plr_node *plr__graph_push(plr_graph *g, int backward, plr_op_id op) {
  plr_node **list = backward ? &g->backward : &g->forward;
  uint32_t *count = backward ? &g->backward_count : &g->forward_count;
  uint32_t *cap = backward ? &g->backward_cap : &g->forward_cap;
  void *array = *list;
  plr_node *n = &g->scrap;
  if (reserve(g, &array, *count, cap, sizeof **list)) {
    *list = array;
    n = &(*list)[(*count)++];
  }
  memset(n, 0, sizeof *n);
  n->op = op, n->block = g->block;
  return n;
}

void plr__ref_shape(const plr_graph *g, plr_ref ref, int64_t *rows, int64_t *cols) {
  const plr_model_info *info = g->info;
  *rows = *cols = 0;
  switch (ref.kind) {
  case PLR_REF_WEIGHT:
  case PLR_REF_GRAD:
    *rows = g->params[ref.index].rows, *cols = g->params[ref.index].cols;
    return;
  case PLR_REF_CONST:
    break;
  default:
    return;
  }
  switch ((plr_const_id)ref.index) {
  case PLR_CONST_BASIS:
    *rows = info->d_model, *cols = info->boundary_width;
    return;
  case PLR_CONST_ANCHOR:
    *rows = info->vocab, *cols = info->d_model;
    return;
  case PLR_CONST_COS:
  case PLR_CONST_SIN:
    *rows = info->seq_len, *cols = info->head_dim / 2;
    return;
  case PLR_CONST_COUNT:
    return;
  }
}

uint32_t plr__op_args(uint32_t op) {
  switch (op) {
  case PLR_OP_ROPE:
  case PLR_OP_MATMUL:
  case PLR_OP_ADD:
  case PLR_OP_ROW_ADD:
  case PLR_OP_SWIGLU:
  case PLR_OP_EMBED:
  case PLR_OP_EMBED_BWD:
  case PLR_OP_XENT:
    return 3;
  case PLR_OP_RMSNORM:
    return 4;
  case PLR_OP_SWIGLU_BWD:
    return 5;
  case PLR_OP_RMSNORM_BWD:
  case PLR_OP_ATTENTION:
    return 6;
  case PLR_OP_ATTENTION_BWD:
    return 10;
  default:
    return 0;
  }
}

/* The subspace boundary, sender's half: c = (x - A[token]) U. */
static uint32_t send(plr_graph *g, uint32_t x) {
  plr__graph_anchor(g, x, -1.0f);
  return plr__graph_matmul(g, x, plr__ref_const(PLR_CONST_BASIS), PLR_MATMUL_NN);
}

/* Receiver's half: x = c U^T + A[token]. */
static uint32_t receive(plr_graph *g, uint32_t c) {
  uint32_t x = plr__graph_matmul(g, c, plr__ref_const(PLR_CONST_BASIS), PLR_MATMUL_NT);
  plr__graph_anchor(g, x, 1.0f);
  return x;
}

static int is_cut(const plr_model *model, uint32_t position) {
  for (uint32_t i = 0; i < model->manifest.cut_count; i++)
    if (model->manifest.cuts[i] == position) return 1;
  return 0;
}

/* What enters the first block: from token ids, or from the boundary before it. */
static uint32_t build_entry(plr_graph *g, int subspace) {
  g->block = g->first_block;
  if (g->first_block == 0) return plr__llama_embed(g);
  g->input = plr__graph_value(g, g->info->boundary_width);
  return subspace ? receive(g, g->input) : g->input;
}

/* What leaves the last block: the boundary after it, or logits and loss. */
static void build_exit(plr_graph *g, uint32_t x, int subspace) {
  g->block = g->end_block - 1;
  if (g->end_block < g->info->blocks) {
    g->output = subspace ? send(g, x) : x;
    return;
  }
  g->output = plr__llama_head(g, x);
  g->labels = plr__graph_value(g, 1);
  g->loss = plr__graph_value(g, 1);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_XENT);
  n->arg[0] = plr__ref_value(g->output);
  n->arg[1] = plr__ref_value(g->labels);
  n->arg[2] = plr__ref_value(g->loss);
}

static void build_forward(plr_graph *g) {
  int subspace = g->info->boundary == PLR_BOUNDARY_SUBSPACE;
  if (subspace || g->first_block == 0) g->ids = plr__graph_value(g, 1);
  uint32_t x = build_entry(g, subspace);
  for (uint32_t b = g->first_block; b < g->end_block; b++) {
    if (b > g->first_block && subspace && is_cut(g->model, b)) {
      g->block = b - 1;
      uint32_t c = send(g, x);
      g->block = b;
      x = receive(g, c);
    }
    g->block = b;
    x = plr__llama_block(g, b, x);
  }
  build_exit(g, x, subspace);
}

plr_status plr__graph_lint(const plr_graph *g) {
  for (uint32_t i = 0; i < g->forward_count; i++) {
    const plr_node *add = &g->forward[i];
    if (add->op != PLR_OP_ADD || add->block >= g->info->first_full_rank) continue;
    const plr_node *writer = i > 0 ? &g->forward[i - 1] : add;
    int closed = writer->op == PLR_OP_MATMUL && writer->layout == PLR_MATMUL_NT &&
                 writer->arg[1].kind == PLR_REF_CONST && writer->arg[1].index == PLR_CONST_BASIS &&
                 writer->arg[2].kind == add->arg[1].kind &&
                 writer->arg[2].index == add->arg[1].index;
    if (!closed) return PLR_ERR_INTERNAL;
  }
  return PLR_OK;
}

plr_status plr__graph_build(plr_context *ctx, const plr_model *model, uint32_t first, uint32_t end,
                            int with_backward, plr_graph *out, plr_error *err) {
  plr_graph *g = out;
  memset(g, 0, sizeof *g);
  g->ctx = ctx, g->model = model, g->info = &model->info;
  g->first_block = first, g->end_block = end;
  g->ids = g->labels = g->input = g->output = g->loss = PLR_NO_VALUE;
  g->grad_input = g->grad_output = PLR_NO_VALUE;

  build_forward(g);
  if (g->failed == PLR_OK) plr__graph_fail(g, plr__graph_lint(g));
  if (g->failed == PLR_OK) plr__graph_roles(g);
  if (g->failed == PLR_OK && with_backward) plr__graph_derive_backward(g);
  plr_status st = g->failed;
  if (st == PLR_OK) return PLR_OK;
  plr__graph_release(g);
  if (st == PLR_ERR_NO_MEMORY) return plr__no_memory(err, "model graph");
  return plr__fail(err, st, "model graph", "a block breaks a rule of the operation list");
}

void plr__graph_release(plr_graph *g) {
  plr__free(g->ctx, g->values);
  plr__free(g->ctx, g->forward);
  plr__free(g->ctx, g->backward);
  plr__free(g->ctx, g->params);
  memset(g, 0, sizeof *g);
}
