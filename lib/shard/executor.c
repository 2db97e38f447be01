/* Runs a list of operations: finds the memory of each operand and hands the arguments to the device. */
#include "shard/shard_int.h"

#include <math.h>
#include <string.h>

typedef union any_args {
  plr_matmul_args matmul;
  plr_add_args add;
  plr_scale_args scale;
  plr_bias_args bias;
  plr_act_args act;
  plr_layernorm_args layernorm;
  plr_route_args route;
  plr_dispatch_args dispatch;
  plr_combine_args combine;
  plr_expert_matmul_args expert;
  plr_row_add_args row_add;
  plr_rmsnorm_args rmsnorm;
  plr_rope_args rope;
  plr_attention_args attention;
  plr_swiglu_args swiglu;
  plr_embed_args embed;
  plr_xent_args xent;
} any_args;

float *plr__run_value(const plr_run *run, uint32_t value) {
  const plr_place *p = &run->shard->places[run->list][value];
  if (run->moved && value == run->moved_value) return run->moved;
  if (p->where == PLR_IN_SLOT) return run->slot ? run->slot + p->offset : NULL;
  return p->where == PLR_IN_SCRATCH ? run->shard->scratch + p->offset : NULL;
}

/* Operand i of a node. */
static float *arg(const plr_run *run, const plr_node *n, uint32_t i) {
  plr_shard *s = run->shard;
  plr_ref ref = n->arg[i];
  switch ((plr_ref_kind)ref.kind) {
  case PLR_REF_VALUE:
    return plr__run_value(run, ref.index);
  case PLR_REF_WEIGHT:
    return (run->weights ? run->weights : s->state.w) + s->param_offset[ref.index];
  case PLR_REF_GRAD:
    return s->grads + s->param_offset[ref.index];
  case PLR_REF_CONST:
    return s->constants[ref.index];
  case PLR_REF_NONE:
    break;
  }
  return NULL;
}

static const int32_t *arg_ids(const plr_run *run, const plr_node *n, uint32_t i) {
  return (const int32_t *)(const void *)arg(run, n, i);
}

/* Columns of an operand that is a value. */
static int64_t cols(const plr_run *run, const plr_node *n, uint32_t i) {
  return run->shard->graph.values[n->arg[i].index].cols;
}

/* Rows and columns of any operand. */
static void shape(const plr_run *run, const plr_node *n, uint32_t i, int64_t *r, int64_t *c) {
  if (n->arg[i].kind == PLR_REF_VALUE)
    *r = run->batch * run->seq, *c = cols(run, n, i);
  else
    plr__ref_shape(&run->shard->graph, n->arg[i], r, c);
}

/* The first write of a gradient in a step starts its chains at +0. */
static uint32_t continues(const plr_run *run, const plr_node *n) {
  return n->accumulate && !(n->starts && run->shard->pending == 0);
}

static void bind_matmul(const plr_run *run, const plr_node *n, plr_matmul_args *a) {
  int64_t a_rows, a_cols;
  shape(run, n, 0, &a_rows, &a_cols);
  shape(run, n, 1, &a->k, &a->ldb); /* k is set below */
  shape(run, n, 2, &a->m, &a->n);
  a->a = arg(run, n, 0), a->b = arg(run, n, 1), a->c = arg(run, n, 2);
  a->k = n->layout == PLR_MATMUL_TN ? a_rows : a_cols;
  a->lda = a_cols, a->ldc = a->n;
  a->layout = n->layout;
  a->accumulate = continues(run, n);
}

/* Rows of a value: those of the tokens, or as many for each of its experts. */
static int64_t rows_of(const plr_run *run, const plr_node *n, uint32_t i) {
  return run->batch * run->seq * run->shard->graph.values[n->arg[i].index].per_token;
}

static int64_t elements(const plr_run *run, const plr_node *n, uint32_t i) {
  return rows_of(run, n, i) * cols(run, n, i);
}

/* Parts of a row that are normalised each by itself are rows of their own. */
static void bind_rmsnorm(const plr_run *run, const plr_node *n, plr_rmsnorm_args *a) {
  a->x = arg(run, n, 0), a->gain = arg(run, n, 1);
  a->inv_rms = arg(run, n, 3);
  a->rows = run->batch * run->seq * n->parts, a->d = cols(run, n, 0) / n->parts;
  a->eps = n->eps;
  if (n->op == PLR_OP_RMSNORM) {
    a->y = arg(run, n, 2);
    return;
  }
  a->dy = arg(run, n, 2), a->dx = arg(run, n, 4), a->dgain = arg(run, n, 5);
  a->accumulate_dx = n->accumulate;
}

static void bind_layernorm(const plr_run *run, const plr_node *n, plr_layernorm_args *a) {
  a->x = arg(run, n, 0), a->gain = arg(run, n, 1);
  a->rows = run->batch * run->seq, a->d = cols(run, n, 0);
  a->eps = n->eps;
  if (n->op == PLR_OP_LAYERNORM) {
    a->bias = arg(run, n, 2), a->y = arg(run, n, 3);
    a->mean = arg(run, n, 4), a->inv_std = arg(run, n, 5);
    return;
  }
  a->dy = arg(run, n, 2), a->mean = arg(run, n, 3), a->inv_std = arg(run, n, 4);
  a->dx = arg(run, n, 5), a->dgain = arg(run, n, 6), a->dbias = arg(run, n, 7);
  a->accumulate_dx = n->accumulate;
}

static void bind_rope(const plr_run *run, const plr_node *n, plr_rope_args *a) {
  a->x = arg(run, n, 3), a->cos = arg(run, n, 1), a->sin = arg(run, n, 2);
  a->rows = run->batch * run->seq, a->seq = run->seq;
  a->head_dim = n->head_dim;
  a->ldx = cols(run, n, 0), a->heads = a->ldx / a->head_dim;
  a->sign = n->sign, a->positions = run->positions;
}

static void bind_attention(const plr_run *run, const plr_node *n, plr_attention_args *a) {
  a->q = arg(run, n, 0), a->k = arg(run, n, 1), a->v = arg(run, n, 2);
  a->out = arg(run, n, 3), a->row_max = arg(run, n, 4), a->row_sum = arg(run, n, 5);
  if (n->op == PLR_OP_ATTENTION_BWD)
    a->dout = arg(run, n, 6), a->dq = arg(run, n, 7), a->dk = arg(run, n, 8),
    a->dv = arg(run, n, 9);
  a->batch = run->batch, a->seq = run->seq;
  a->heads = n->heads, a->kv_heads = n->kv_heads, a->head_dim = n->head_dim;
  a->ldq = a->ldo = cols(run, n, 0), a->ldk = cols(run, n, 1), a->ldv = cols(run, n, 2);
  a->scale = n->scale, a->window = n->window;
}

static void bind_bias(const plr_run *run, const plr_node *n, plr_bias_args *a) {
  if (n->op == PLR_OP_BIAS)
    a->x = arg(run, n, 0), a->bias = arg(run, n, 1), a->y = arg(run, n, 2);
  else
    a->dbias = arg(run, n, 0), a->dy = arg(run, n, 1);
  uint32_t value = n->op == PLR_OP_BIAS ? 0 : 1;
  a->rows = rows_of(run, n, value), a->d = cols(run, n, value);
}

static void bind_act(const plr_run *run, const plr_node *n, plr_act_args *a) {
  a->x = arg(run, n, 0);
  if (n->op == PLR_OP_ACT)
    a->y = arg(run, n, 1);
  else
    a->dy = arg(run, n, 1), a->dx = arg(run, n, 2);
  a->n = elements(run, n, 0), a->kind = n->act;
}

static void bind_route(const plr_run *run, const plr_node *n, plr_route_args *a) {
  int32_t **integers[] = {&a->ids, &a->slot_of, &a->pair_of, &a->offsets};
  for (uint32_t i = 0; i < 4; i++) *integers[i] = (int32_t *)(void *)arg(run, n, 1 + i);
  a->logits = arg(run, n, 0), a->gates = arg(run, n, 5);
  if (n->op == PLR_OP_ROUTE_BWD) a->dgates = arg(run, n, 6), a->dlogits = arg(run, n, 7);
  a->batch = run->batch, a->seq = run->seq;
  a->experts = n->experts, a->top_k = n->top_k;
  a->balance = n->balance, a->renormalise = n->renormalise;
}

static void bind_dispatch(const plr_run *run, const plr_node *n, plr_dispatch_args *a) {
  a->slot_of = arg_ids(run, n, 1), a->pair_of = arg_ids(run, n, 2);
  if (n->op == PLR_OP_DISPATCH)
    a->x = arg(run, n, 0), a->y = arg(run, n, 3);
  else
    a->dy = arg(run, n, 0), a->dx = arg(run, n, 3);
  a->rows = run->batch * run->seq, a->top_k = n->top_k, a->d = cols(run, n, 0);
}

static void bind_combine(const plr_run *run, const plr_node *n, plr_combine_args *a) {
  a->x = arg(run, n, 0), a->gates = arg(run, n, 1), a->slot_of = arg_ids(run, n, 2);
  if (n->op == PLR_OP_COMBINE)
    a->y = arg(run, n, 3);
  else
    a->dy = arg(run, n, 3), a->dx = arg(run, n, 4), a->dgates = arg(run, n, 5);
  a->rows = run->batch * run->seq, a->top_k = n->top_k, a->d = cols(run, n, 0);
}

/* Sizes as in ops.h: NN and NT give a value of n columns from one of k, TN a weight k x n for each expert. */
static void bind_expert(const plr_run *run, const plr_node *n, plr_expert_matmul_args *a) {
  a->a = arg(run, n, 0), a->b = arg(run, n, 1), a->c = arg(run, n, 2);
  a->offsets = arg_ids(run, n, 3);
  a->rows = rows_of(run, n, 0), a->experts = n->experts;
  a->k = cols(run, n, 0), a->n = cols(run, n, n->layout == PLR_MATMUL_TN ? 1 : 2);
  a->layout = n->layout, a->accumulate = continues(run, n);
}

void plr__run_attention_args(const plr_run *run, const plr_node *node, plr_attention_args *out) {
  memset(out, 0, sizeof *out);
  bind_attention(run, node, out);
}

static void bind_swiglu(const plr_run *run, const plr_node *n, plr_swiglu_args *a) {
  a->gate = arg(run, n, 0), a->up = arg(run, n, 1);
  a->rows = rows_of(run, n, 0), a->f = a->ldg = cols(run, n, 0);
  if (n->op == PLR_OP_SWIGLU)
    a->h = arg(run, n, 2);
  else
    a->dh = arg(run, n, 2), a->dgate = arg(run, n, 3), a->dup = arg(run, n, 4);
}

static void bind_embed(const plr_run *run, const plr_node *n, plr_embed_args *a) {
  shape(run, n, 0, &a->vocab, &a->w);
  a->ids = arg_ids(run, n, 1), a->rows = run->batch * run->seq;
  if (n->op == PLR_OP_EMBED)
    a->table = arg(run, n, 0), a->y = arg(run, n, 2);
  else
    a->dtable = arg(run, n, 0), a->dy = arg(run, n, 2);
}

static void bind_row_add(const plr_run *run, const plr_node *n, plr_row_add_args *a) {
  shape(run, n, 1, &a->vocab, &a->d);
  a->x = arg(run, n, 0), a->table = arg(run, n, 1), a->ids = arg_ids(run, n, 2);
  a->y = arg(run, n, 3);
  a->rows = run->batch * run->seq, a->sign = n->sign;
}

static void bind_xent(const plr_run *run, const plr_node *n, plr_xent_args *a) {
  const plr_model_info *info = run->shard->info;
  double tokens = (double)info->micro_batch * info->micro_batches * info->seq_len;
  a->logits = arg(run, n, 0), a->labels = arg_ids(run, n, 1), a->loss = arg(run, n, 2);
  a->rows = run->batch * run->seq, a->vocab = cols(run, n, 0);
  a->scale = (float)(1.0 / tokens);
  a->with_grad = run->list == PLR_LIST_FORWARD;
  a->z_loss = info->z_loss;
}

/* Everything but the work space. */
static void bind(const plr_run *run, const plr_node *n, any_args *a) {
  memset(a, 0, sizeof *a);
  switch (n->op) {
  case PLR_OP_MATMUL:
    bind_matmul(run, n, &a->matmul);
    return;
  case PLR_OP_ADD:
  case PLR_OP_MUL:
    a->add.a = arg(run, n, 0), a->add.b = arg(run, n, 1), a->add.y = arg(run, n, 2);
    a->add.n = elements(run, n, 2);
    return;
  case PLR_OP_SCALE:
    a->scale.x = arg(run, n, 0), a->scale.y = arg(run, n, 1);
    a->scale.n = elements(run, n, 0), a->scale.by = n->scale;
    return;
  case PLR_OP_BIAS:
  case PLR_OP_BIAS_BWD:
    bind_bias(run, n, &a->bias);
    return;
  case PLR_OP_ACT:
  case PLR_OP_ACT_BWD:
    bind_act(run, n, &a->act);
    return;
  case PLR_OP_LAYERNORM:
  case PLR_OP_LAYERNORM_BWD:
    bind_layernorm(run, n, &a->layernorm);
    return;
  case PLR_OP_ROUTE:
  case PLR_OP_ROUTE_BWD:
    bind_route(run, n, &a->route);
    return;
  case PLR_OP_DISPATCH:
  case PLR_OP_DISPATCH_BWD:
    bind_dispatch(run, n, &a->dispatch);
    return;
  case PLR_OP_COMBINE:
  case PLR_OP_COMBINE_BWD:
    bind_combine(run, n, &a->combine);
    return;
  case PLR_OP_EXPERT_MATMUL:
    bind_expert(run, n, &a->expert);
    return;
  case PLR_OP_ROW_ADD:
    bind_row_add(run, n, &a->row_add);
    return;
  case PLR_OP_RMSNORM:
  case PLR_OP_RMSNORM_BWD:
    bind_rmsnorm(run, n, &a->rmsnorm);
    return;
  case PLR_OP_ROPE:
    bind_rope(run, n, &a->rope);
    return;
  case PLR_OP_ATTENTION:
  case PLR_OP_ATTENTION_BWD:
    bind_attention(run, n, &a->attention);
    return;
  case PLR_OP_SWIGLU:
  case PLR_OP_SWIGLU_BWD:
    bind_swiglu(run, n, &a->swiglu);
    return;
  case PLR_OP_EMBED:
  case PLR_OP_EMBED_BWD:
    bind_embed(run, n, &a->embed);
    return;
  case PLR_OP_XENT:
    bind_xent(run, n, &a->xent);
    return;
  default:
    return;
  }
}

static size_t work_of(const plr_run *run, const plr_node *n, any_args *a) {
  plr_device *device = run->shard->device;
  return device->vt->workspace(device, (plr_op_id)n->op, a);
}

plr_status plr__shard_reserve_work(plr_shard *s, size_t size) {
  if (size <= s->work_size) return PLR_OK;
  void *larger = s->device->vt->alloc(s->device, size);
  if (!larger) return PLR_ERR_NO_MEMORY;
  s->device->vt->free(s->device, s->work);
  s->work = larger, s->work_size = size;
  return PLR_OK;
}

static void give_work(any_args *a, uint32_t op, void *work) {
  if (op == PLR_OP_MATMUL) a->matmul.work = work;
  if (op == PLR_OP_ATTENTION || op == PLR_OP_ATTENTION_BWD) a->attention.work = work;
  if (op == PLR_OP_ROUTE || op == PLR_OP_ROUTE_BWD) a->route.work = work;
  if (op == PLR_OP_EXPERT_MATMUL) a->expert.work = work;
}

/* ROPE works in place only: its operand is copied first where somebody still needs it. */
static plr_status copy_operand(const plr_run *run, const plr_node *n) {
  plr_device *device = run->shard->device;
  plr_scale_args a = {arg(run, n, 0), arg(run, n, 3), elements(run, n, 0), 1.0f};
  return a.x == a.y ? PLR_OK : device->vt->run(device, PLR_OP_SCALE, &a);
}

plr_status plr__run_node(const plr_run *run, const plr_node *n) {
  plr_shard *s = run->shard;
  any_args a;
  bind(run, n, &a);
  size_t work = work_of(run, n, &a);
  /* Only a batch shape that create did not foresee allocates: infer and feed have those. */
  PLR_TRY(plr__shard_reserve_work(s, work));
  give_work(&a, n->op, s->work);
  if (n->op == PLR_OP_ROPE) PLR_TRY(copy_operand(run, n));
  return s->device->vt->run(s->device, (plr_op_id)n->op, &a);
}

uint32_t plr__run_nodes(const plr_run *run, const plr_node *nodes, uint32_t count, plr_status *st) {
  uint32_t done = plr__run_packed(run, nodes, count, st);
  if (done > 0) return done;
  *st = plr__run_node(run, nodes);
  return 1;
}

static void list_of(const plr_shard *s, plr_list list, const plr_node **nodes, uint32_t *count) {
  const plr_graph *g = &s->graph;
  *nodes = list == PLR_LIST_BACKWARD ? g->backward : g->forward;
  *count = list == PLR_LIST_BACKWARD ? g->backward_count : g->forward_count;
  if (list == PLR_LIST_INFER && g->loss != PLR_NO_VALUE) *count -= 1; /* XENT is the last one */
}

size_t plr__shard_work_size(plr_shard *s, int64_t batch, int64_t seq) {
  size_t most = 0;
  for (int list = 0; list < PLR_LIST_COUNT; list++) {
    const plr_node *nodes;
    uint32_t count;
    if (s->inference_only && list != PLR_LIST_INFER) continue;
    list_of(s, (plr_list)list, &nodes, &count);
    plr_run run = {.shard = s, .list = (plr_list)list, .batch = batch, .seq = seq};
    for (uint32_t i = 0; i < count; i++) {
      any_args a;
      bind(&run, &nodes[i], &a);
      most = PLR_MAX(most, work_of(&run, &nodes[i], &a));
    }
  }
  return most;
}

/* A value between its place and the slot, which keeps it in bf16. */
static plr_status move(const plr_run *run, const plr_move *m) {
  plr_shard *s = run->shard;
  float *value = plr__run_value(run, m->value);
  uint16_t *kept = (uint16_t *)(void *)(run->slot + m->offset);
  plr_bf16_args a = {.n = plr__value_elements(&s->graph.values[m->value], run->batch * run->seq)};
  if (run->list == PLR_LIST_FORWARD)
    a.from_f32 = value, a.bf16 = kept;
  else
    a.from_bf16 = kept, a.f32 = value;
  plr_op_id op = run->list == PLR_LIST_FORWARD ? PLR_OP_BF16_PACK : PLR_OP_BF16_UNPACK;
  return s->device->vt->run(s->device, op, &a);
}

/* The moves from *next on that belong to nodes before `end`. */
static plr_status run_moves(const plr_run *run, uint32_t *next, uint32_t end) {
  const plr_move *moves = run->shard->moves[run->list];
  for (; moves && *next < run->shard->move_count && moves[*next].node < end; ++*next)
    PLR_TRY(move(run, &moves[*next]));
  return PLR_OK;
}

plr_status plr__run_list(const plr_run *run) {
  const plr_node *nodes;
  uint32_t count, moved = 0;
  list_of(run->shard, run->list, &nodes, &count);
  plr_status st = PLR_OK;
  for (uint32_t i = 0; i < count && st == PLR_OK;) {
    if (run->list == PLR_LIST_BACKWARD) PLR_TRY(run_moves(run, &moved, i + 1));
    i += plr__run_nodes(run, nodes + i, count - i, &st);
    if (run->list == PLR_LIST_FORWARD && st == PLR_OK) st = run_moves(run, &moved, i);
  }
  return st;
}
