/* Weights in a serving format (ops.h, PLR_PACK_*): which parameters have it, how they get it, and products with them.
 *
 * A matrix has the format when it is only ever the right side of a product or a table of rows; gains and the rest stay
 * fp32 in a smaller arena. A parameter is packed as soon as it is there, so that the fp32 numbers of no more than one
 * block are held at once; of one block, because a tensor of a checkpoint may hold several parameters. */
#include "shard/shard_int.h"

#include <string.h>

/* The parameter of a node's right side or table, or NULL. */
static plr_pack *pack_of(const plr_shard *s, const plr_node *n) {
  const uint32_t at = n->op == PLR_OP_EMBED ? 0 : 1;
  if (n->op != PLR_OP_MATMUL && n->op != PLR_OP_EMBED) return NULL;
  return n->arg[at].kind == PLR_REF_WEIGHT ? &s->packs[n->arg[at].index] : NULL;
}

/* What a node wants of the parameter in operand j: PLR_PACK_NN, PLR_PACK_NT, or that it stays as it is. */
static uint32_t use_of(const plr_node *n, uint32_t j) {
  if (n->op == PLR_OP_EMBED && j == 0) return PLR_PACK_NT;
  if (n->op != PLR_OP_MATMUL || j != 1 || n->accumulate) return PLR_PACK_NONE;
  if (n->layout == PLR_MATMUL_TN) return PLR_PACK_NONE;
  return n->layout == PLR_MATMUL_NN ? PLR_PACK_NN : PLR_PACK_NT;
}

static void find_uses(plr_shard *s) {
  const plr_graph *g = &s->graph;
  for (uint32_t i = 0; i < g->forward_count; i++)
    for (uint32_t j = 0; j < plr__op_args(g->forward[i].op); j++) {
      if (g->forward[i].arg[j].kind != PLR_REF_WEIGHT) continue;
      plr_pack *p = &s->packs[g->forward[i].arg[j].index];
      const uint32_t use = use_of(&g->forward[i], j);
      p->layout = p->layout == PLR_PACK_UNUSED || p->layout == use ? use : PLR_PACK_NONE;
    }
}

plr_status plr__pack_plan(plr_shard *s) {
  s->packs = plr__calloc(s->ctx, s->graph.param_count, sizeof *s->packs);
  if (!s->packs) return PLR_ERR_NO_MEMORY;
  if (s->weight_format == PLR_WEIGHTS_F32) return PLR_OK;
  find_uses(s);
  int64_t at = 0;
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *p = &s->graph.params[i];
    plr_pack *pack = &s->packs[i];
    if (i > 0 && p->block != p[-1].block) at = 0;
    pack->packed = (pack->layout == PLR_PACK_NN || pack->layout == PLR_PACK_NT) && p->rows > 1;
    if (!pack->packed) continue;
    pack->n = pack->layout == PLR_PACK_NN ? p->cols : p->rows;
    pack->k = pack->layout == PLR_PACK_NN ? p->rows : p->cols;
    pack->offset = s->packed_bytes;
    s->packed_bytes += plr_packed_size(s->weight_format, pack->n, pack->k);
    pack->room = at;
    at += (p->rows * p->cols + 15) / 16 * 16;
    s->packing_elements = PLR_MAX(s->packing_elements, at);
  }
  return PLR_OK;
}

plr_status plr__pack_begin(plr_shard *s) {
  if (s->packed_bytes == 0 || s->packing) return PLR_OK;
  s->packing = s->device->vt->alloc(s->device, (size_t)s->packing_elements * sizeof *s->packing);
  return s->packing ? PLR_OK : PLR_ERR_NO_MEMORY;
}

void plr__pack_end(plr_shard *s) {
  if (s->packing) s->device->vt->free(s->device, s->packing);
  s->packing = NULL;
}

float *plr__pack_weight(const plr_shard *s, const plr_state *state, uint32_t param) {
  return s->packs[param].packed ? s->packing + s->packs[param].room
                                : state->w + s->param_offset[param];
}

plr_status plr__pack_done(const plr_shard *s, const plr_state *state, uint32_t param) {
  const plr_pack *pack = &s->packs[param];
  if (!pack->packed) return PLR_OK;
  plr_packed_args a = {.format = s->weight_format,
                       .count = 1,
                       .n = {pack->n},
                       .k = pack->k,
                       .from = s->packing + pack->room,
                       .packed = state->packed + pack->offset,
                       .layout = pack->layout == PLR_PACK_NN ? PLR_MATMUL_NN : PLR_MATMUL_NT};
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = s->device->vt->run(s->device, PLR_OP_WEIGHT_PACK, &a);
  plr__fpenv_leave(saved);
  return st;
}

/* ---- running ---------------------------------------------------------------------------------- */

static plr_status run_with_work(plr_shard *s, plr_op_id op, plr_packed_args *a) {
  PLR_TRY(plr__shard_reserve_work(s, s->device->vt->workspace(s->device, op, a)));
  a->work = s->work;
  return s->device->vt->run(s->device, op, a);
}

/* Whether a node is a product of `x` with a packed matrix. */
static int product_of(const plr_shard *s, const plr_node *n, plr_ref x) {
  const plr_pack *p = n->op == PLR_OP_MATMUL ? pack_of(s, n) : NULL;
  return p && p->packed && n->arg[0].kind == x.kind && n->arg[0].index == x.index;
}

static void add_matrix(const plr_run *run, const plr_node *n, plr_packed_args *a) {
  const plr_shard *s = run->shard;
  const plr_pack *p = pack_of(s, n);
  a->w[a->count] = s->state.packed + p->offset;
  a->c[a->count] = plr__run_value(run, n->arg[2].index);
  a->n[a->count] = p->n;
  a->k = a->ldx = p->k;
  a->count++;
}

uint32_t plr__run_packed(const plr_run *run, const plr_node *nodes, uint32_t count,
                         plr_status *st) {
  plr_shard *s = run->shard;
  const plr_pack *first = s->packed_bytes > 0 ? pack_of(s, nodes) : NULL;
  if (!first || !first->packed) return 0;
  plr_packed_args a = {.format = s->weight_format, .rows = run->batch * run->seq};
  if (nodes->op == PLR_OP_EMBED) {
    add_matrix(run, nodes, &a);
    a.ids = (const int32_t *)(const void *)plr__run_value(run, nodes->arg[1].index);
    *st = run_with_work(s, PLR_OP_PACKED_EMBED, &a);
    return 1;
  }
  a.x = plr__run_value(run, nodes->arg[0].index);
  while (a.count < count && a.count < PLR_PACK_MOST &&
         product_of(s, &nodes[a.count], nodes->arg[0]))
    add_matrix(run, &nodes[a.count], &a);
  *st = run_with_work(s, PLR_OP_PACKED_MATMUL, &a);
  return a.count;
}
