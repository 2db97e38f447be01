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
  plr_value v = {.cols = cols,
                 .per_token = 1,
                 .producer = PLR_NO_NODE,
                 .grad = PLR_NO_VALUE,
                 .root = g->value_count};
  g->values[g->value_count] = v;
  return g->value_count++;
}

plr_ref plr__graph_weight(plr_graph *g, uint32_t stream, const char *name, int64_t rows,
                          int64_t cols, plr_init init, float std) {
  void *array = g->params;
  if (!reserve(g, &array, g->param_count, &g->param_cap, sizeof *g->params))
    return plr__ref(PLR_REF_NONE, 0);
  g->params = array;
  plr_param *p = &g->params[g->param_count];
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "%s", name);
  p->block = g->block, p->stream = stream;
  p->rows = rows, p->cols = cols;
  p->init = init, p->std = std;
  p->decay = init == PLR_INIT_NORMAL; /* matrices and tables, not gains and biases */
  return plr__ref(PLR_REF_WEIGHT, g->param_count++);
}

uint32_t plr__graph_rope_table(plr_graph *g, const plr_rope_spec *spec) {
  for (uint32_t i = 0; i < g->rope_count; i++)
    if (memcmp(&g->ropes[i], spec, sizeof *spec) == 0) return i;
  void *array = g->ropes;
  if (!reserve(g, &array, g->rope_count, &g->rope_cap, sizeof *g->ropes)) return 0;
  g->ropes = array;
  g->ropes[g->rope_count] = *spec;
  return g->rope_count++;
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
  if (ref.index == PLR_CONST_BASIS)
    *rows = info->d_model, *cols = info->boundary_width;
  else if (ref.index == PLR_CONST_ANCHOR)
    *rows = info->vocab, *cols = info->d_model;
  else
    *rows = info->seq_len, *cols = g->ropes[(ref.index - PLR_CONST_ROPE) / 2].head_dim / 2;
}

/* ---- boundaries ------------------------------------------------------------------------------- */

/* Frozen tables at the boundary: subspace, and the tied projector, which is its boundary without its constraint. */
static int frozen(const plr_graph *g) {
  return g->info->boundary == PLR_BOUNDARY_SUBSPACE || g->model->manifest.tied;
}

static plr_ref trained(plr_graph *g, const char *part, uint32_t stream, int64_t rows, int64_t cols,
                       plr_init init, float std) {
  char name[sizeof g->params->name];
  snprintf(name, sizeof name, "blocks.%u.boundary.%s.weight", g->block, part);
  plr_ref ref = plr__graph_weight(g, stream, name, rows, cols, init, std);
  if (g->failed != PLR_OK) return ref;
  g->params[ref.index].of_boundary = 1;
  g->params[ref.index].decay =
      init != PLR_INIT_NORMAL; /* rows of tokens not seen keep their place */
  return ref;
}

/* Sender's half. Frozen: c = (x - A[token]) U; trained: c = x D. */
static uint32_t send(plr_graph *g, uint32_t x) {
  const plr_model_info *info = g->info;
  if (!frozen(g))
    return plr__graph_matmul(g, x,
                             trained(g, "send", PLR_STREAM_BASIS, info->d_model,
                                     info->boundary_width, PLR_INIT_BASIS, 0.0f),
                             PLR_MATMUL_NN);
  x = plr__graph_row_add(g, x, plr__ref_const(PLR_CONST_ANCHOR), plr__graph_ids(g), -1.0f);
  return plr__graph_matmul(g, x, plr__ref_const(PLR_CONST_BASIS), PLR_MATMUL_NN);
}

/* Receiver's half. Frozen: x = c U^T + A[token]; trained: x = c E + A_s[token]. */
static uint32_t receive(plr_graph *g, uint32_t c) {
  const plr_model_info *info = g->info;
  plr_ref anchor = plr__ref_const(PLR_CONST_ANCHOR);
  uint32_t x;
  if (frozen(g)) {
    x = plr__graph_matmul(g, c, plr__ref_const(PLR_CONST_BASIS), PLR_MATMUL_NT);
  } else {
    plr_ref e = trained(g, "receive", PLR_STREAM_BASIS, info->boundary_width, info->d_model,
                        PLR_INIT_BASIS_T, 0.0f);
    x = plr__graph_matmul(g, c, e, PLR_MATMUL_NN);
    anchor = trained(g, "anchor", PLR_STREAM_ANCHOR, info->vocab, info->d_model, PLR_INIT_NORMAL,
                     info->anchor_std);
  }
  return plr__graph_row_add(g, x, anchor, plr__graph_ids(g), 1.0f);
}

static int is_cut(const plr_model *model, uint32_t position) {
  for (uint32_t i = 0; i < model->manifest.cut_count; i++)
    if (model->manifest.cuts[i] == position) return 1;
  return 0;
}

/* ---- blocks ----------------------------------------------------------------------------------- */

static uint32_t build_block(plr_graph *g, uint32_t b, uint32_t x) {
  char prefix[24];
  snprintf(prefix, sizeof prefix, "blocks.%u.", b);
  g->block = b;
  return plr__graph_lower(g, plr__program_block(&g->model->manifest.program, b), prefix,
                          plr__stream(b + 1, 0), b < g->info->first_full_rank, x);
}

/* What enters the first block: from token ids, or from the boundary before it. */
static uint32_t build_entry(plr_graph *g, int boundary) {
  g->block = g->first_block;
  if (g->first_block == 0)
    return plr__graph_lower(g, &g->model->manifest.program.embed, "", plr__stream(0, 0),
                            g->info->first_full_rank > 0, PLR_NO_VALUE);
  g->input = plr__graph_value(g, g->info->boundary_width);
  return boundary ? receive(g, g->input) : g->input;
}

/* What leaves the last block: the boundary after it, or logits and loss. */
static void build_exit(plr_graph *g, uint32_t x, int boundary) {
  g->block = g->end_block - 1;
  if (g->end_block < g->info->blocks) {
    g->output = boundary ? send(g, x) : x;
    return;
  }
  g->output = plr__graph_lower(g, &g->model->manifest.program.head, "",
                               plr__stream(g->info->blocks + 1, 0), 0, x);
  if (g->failed != PLR_OK) return;
  uint32_t producer = g->values[g->output].producer;
  if (producer == PLR_NO_NODE || plr__op_keeps_result(g->forward[producer].op))
    g->output = plr__graph_scale(g, g->output, 1.0f); /* XENT replaces what it reads */
  g->labels = plr__graph_value(g, 1);
  g->loss = plr__graph_value(g, 1);
  plr_node *n = plr__graph_push(g, 0, PLR_OP_XENT);
  n->arg[0] = plr__ref_value(g->output);
  n->arg[1] = plr__ref_value(g->labels);
  n->arg[2] = plr__ref_value(g->loss);
}

static void build_forward(plr_graph *g) {
  int boundary = g->info->boundary != PLR_BOUNDARY_DENSE;
  uint32_t x = build_entry(g, boundary);
  for (uint32_t b = g->first_block; b < g->end_block; b++) {
    if (b > g->first_block && boundary && is_cut(g->model, b)) {
      g->block = b - 1;
      uint32_t c = send(g, x);
      g->block = b;
      x = receive(g, c);
    }
    x = build_block(g, b, x);
  }
  build_exit(g, x, boundary);
}

static plr_status lint(const plr_graph *g, plr_error *err) {
  uint32_t block = 0;
  plr_status st = plr__graph_lint(g, &block);
  if (st != PLR_ERR_INTERNAL) return st;
  plr__fail(err, PLR_ERR_MALFORMED, "manifest.boundary",
            "block %u or one before it writes the residual stream outside the subspace: only "
            "results of linear "
            "operations with \"write\" and no bias may be added to it",
            block);
  return PLR_ERR_MALFORMED;
}

plr_status plr__graph_build(plr_context *ctx, const plr_model *model, uint32_t first, uint32_t end,
                            int purpose, plr_graph *out, plr_error *err) {
  plr_graph *g = out;
  memset(g, 0, sizeof *g);
  g->ctx = ctx, g->model = model, g->info = &model->info;
  g->first_block = first, g->end_block = end;
  g->ids = g->labels = g->positions = g->input = g->output = g->loss = PLR_NO_VALUE;
  g->grad_input = g->grad_output = PLR_NO_VALUE;

  build_forward(g);
  if (g->failed == PLR_OK) plr__graph_fail(g, lint(g, err));
  if (g->failed == PLR_OK) plr__graph_roles(g);
  plr__graph_share(g);
  if (purpose == PLR_GRAPH_RECOMPUTE) plr__graph_recompute(g);
  if (purpose != PLR_GRAPH_FORWARD) plr__graph_derive_backward(g);
  plr__graph_resolve(g);
  plr_status st = g->failed;
  if (st == PLR_OK) return PLR_OK;
  plr__graph_release(g);
  if (st == PLR_ERR_NO_MEMORY) return plr__no_memory(err, "model graph");
  if (st == PLR_ERR_MALFORMED) return st; /* said by the lint */
  return plr__fail(err, st, "model graph", "a block breaks a rule of the operation list");
}

void plr__graph_release(plr_graph *g) {
  plr__free(g->ctx, g->values);
  plr__free(g->ctx, g->forward);
  plr__free(g->ctx, g->backward);
  plr__free(g->ctx, g->params);
  plr__free(g->ctx, g->ropes);
  memset(g, 0, sizeof *g);
}
