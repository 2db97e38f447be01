/* What each block of a model needs: work from the cost table that pays for it, memory from the graph that runs it. */
#include "model/model.h"
#include "plan/plan_int.h"

#include <string.h>

#define ELEMENT 4u /* bytes: fp32 */

/* Numbers the optimizer keeps for each parameter, beside the weight and its gradient. */
static uint32_t moments(const plr_model_info *info) {
  switch (info->optimizer) {
  case PLR_OPTIMIZER_SGDM:
    return 1;
  case PLR_OPTIMIZER_ADAMW_ROW:
    return 1; /* and one for each row */
  default:
    return 2;
  }
}

/* Marks the values that the backward list reads. */
static void mark_kept(const plr_graph *g, uint8_t *kept) {
  for (uint32_t i = 0; i < g->backward_count; i++)
    for (uint32_t j = 0; j < plr__op_args(g->backward[i].op); j++)
      if (g->backward[i].arg[j].kind == PLR_REF_VALUE) kept[g->backward[i].arg[j].index] = 1;
}

static void add_values(const plr_graph *g, const uint8_t *kept, const plr_model_info *info,
                       plr_needs *out) {
  const uint64_t narrow = info->storage == PLR_STORAGE_BF16 ? 2 : 1;
  for (uint32_t i = 0; i < g->forward_count; i++) {
    const plr_node *n = &g->forward[i];
    const uint32_t written = plr__op_results(n->op);
    for (uint32_t j = 0; j < plr__op_args(n->op); j++) {
      if (!(written >> j & 1) || n->arg[j].kind != PLR_REF_VALUE) continue;
      const plr_value *v = &g->values[n->arg[j].index];
      if (v->producer != i) continue; /* a result that takes over an operand's memory */
      const uint64_t bytes = ELEMENT * (uint64_t)plr__value_elements(v, (int64_t)out->tokens);
      plr_need *need = &out->block[n->block];
      if (kept[n->arg[j].index])
        need->slot += bytes / narrow;
      else
        need->scratch += bytes;
      if (need->scratch < 3 * bytes)
        need->scratch = 3 * bytes; /* a gradient in, one out, one between */
    }
  }
}

static plr_status measure(plr_context *ctx, const plr_model *model, const plr_graph *g,
                          plr_needs *out) {
  const plr_model_info *info = plr__model_info(model);
  const uint64_t state = (2 + moments(info)) * ELEMENT;
  uint8_t *kept = plr__calloc(ctx, g->value_count, 1);
  if (!kept) return PLR_ERR_NO_MEMORY;
  for (uint32_t i = 0; i < g->param_count; i++) {
    const plr_param *p = &g->params[i];
    const uint64_t count = (uint64_t)p->rows * (uint64_t)p->cols;
    out->block[p->block].state += count * state;
    out->block[p->block].weights += count * ELEMENT;
  }
  mark_kept(g, kept);
  add_values(g, kept, info, out);
  plr__free(ctx, kept);
  return PLR_OK;
}

plr_status plr__plan_needs(plr_context *ctx, const plr_model *model, plr_needs *out,
                           plr_error *err) {
  const plr_model_info *info = plr__model_info(model);
  plr_graph g;
  uint32_t id_bits = 1;
  memset(out, 0, sizeof *out);
  PLR_TRY(plr__graph_build(ctx, model, 0, info->blocks, PLR_GRAPH_TRAIN, &g, err));
  while (id_bits < 32 && 1ull << id_bits < info->vocab) id_bits++;
  out->blocks = info->blocks, out->micro_batches = info->micro_batches;
  out->tokens = (uint64_t)info->micro_batch * info->seq_len;
  out->ids_bytes = (uint64_t)info->micro_batch * (info->seq_len + 1) * id_bits / 8 + 1;
  out->wire_values = (double)out->tokens * info->boundary_width;
  out->block = plr__calloc(ctx, info->blocks, sizeof *out->block);
  plr_status st = out->block ? measure(ctx, model, &g, out) : PLR_ERR_NO_MEMORY;
  for (uint32_t b = 0; st == PLR_OK && b < info->blocks; b++)
    out->block[b].flop = (double)plr_model_block_cost(model, b) * (double)out->tokens;
  plr__graph_release(&g);
  if (st == PLR_OK) return PLR_OK;
  plr__free(ctx, out->block);
  out->block = NULL;
  return plr__no_memory(err, "plan");
}

plr_need plr__plan_sum(const plr_needs *n, uint32_t first, uint32_t end) {
  plr_need sum = {0};
  for (uint32_t b = first; b < end; b++) {
    const plr_need *one = &n->block[b];
    sum.flop += one->flop;
    sum.state += one->state, sum.weights += one->weights, sum.slot += one->slot;
    sum.scratch = PLR_MAX(sum.scratch, one->scratch);
  }
  return sum;
}
