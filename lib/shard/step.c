/* The optimizer step: norms of the gradients, their limit, and the update of every parameter. */
#include "shard/shard_int.h"

#include <math.h>

/* Sums of squares of all gradients, in host_sums. NON_FINITE when any element is not finite. */
static plr_status measure(plr_shard *s) {
  uint32_t count = s->graph.param_count;
  if (s->poisoned) return PLR_ERR_NON_FINITE;
  for (uint32_t i = 0; i < count && !s->measured; i++) {
    const plr_param *p = &s->graph.params[i];
    plr_sumsq_args a = {s->grads + s->param_offset[i], s->sums + 2 * (size_t)i, p->rows * p->cols};
    PLR_TRY(s->device->vt->run(s->device, PLR_OP_SUMSQ, &a));
  }
  if (!s->measured)
    PLR_TRY(s->device->vt->read(s->device, s->host_sums, s->sums, 2 * count * sizeof(double)));
  s->measured = 1;
  for (uint32_t i = 0; i < count; i++)
    if (s->host_sums[2 * i + 1] != 1.0) return PLR_ERR_NON_FINITE;
  return PLR_OK;
}

/* Sum of squares over parameters [first, end), tensor by tensor. */
static double sum_of(const plr_shard *s, uint32_t first, uint32_t end) {
  double sum = 0.0;
  for (uint32_t i = first; i < end; i++) sum += s->host_sums[2 * i];
  return sum;
}

/* The sum of each of the shard's blocks. */
static void block_sums(const plr_shard *s, double *sums) {
  for (uint32_t b = s->first_block, first = 0, end; b < s->end_block; b++, first = end) {
    end = plr__shard_block_end(s, b, first);
    sums[b - s->first_block] = sum_of(s, first, end);
  }
}

/* What gradients whose squares sum to `sum` are multiplied with. */
static float clip_scale(const plr_shard *s, double sum) {
  double norm = sqrt(sum), limit = (double)s->info->clip;
  return limit > 0.0 && norm > limit ? (float)(limit / norm) : 1.0f;
}

/* The loss is scaled for all micro-batches of the model's step. Where replicas share them, one may have seen fewer. */
static double missing_share(const plr_shard *s) {
  if (s->delays.allowed == PLR_DELAYED_REFUSED || s->pending == s->info->micro_batches) return 1.0;
  return (double)s->info->micro_batches / s->pending;
}

/* total: the sum over the whole model, or NULL when each block has its own limit. */
static plr_status apply(plr_shard *s, const double *total) {
  plr_rates rates;
  double share = missing_share(s);
  plr__optimizer_rates(s, &rates);
  PLR_TRY(plr__stash_keep(s));
  for (uint32_t b = s->first_block, first = 0, end; b < s->end_block; b++, first = end) {
    end = plr__shard_block_end(s, b, first);
    float scale = clip_scale(s, (total ? *total : sum_of(s, first, end)) * (share * share));
    if (share != 1.0) scale *= (float)share;
    for (uint32_t i = first; i < end; i++) PLR_TRY(plr__optimizer_update(s, i, &rates, scale));
  }
  s->state.power1 = rates.power1, s->state.power2 = rates.power2;
  s->state.steps = s->delays.clock ? PLR_MAX(s->state.steps, s->delays.clock) : s->state.steps + 1;
  s->delays.clock = 0;
  s->weights++, s->delays.updates++;
  return PLR_OK;
}

/* Gradients are there and no slot waits for its backward. */
static plr_status ready(const plr_shard *s) {
  if (s->inference_only || s->pending == 0) return PLR_ERR_INVALID_STATE;
  return plr__stash_ready(s);
}

/* Ends a step: what was accumulated is used or void. */
static plr_status finish(plr_shard *s, plr_status st) {
  s->pending = s->poisoned = s->measured = 0;
  s->delays.sum = 0;
  return st;
}

/* sums: of all blocks of the model, in order. */
static plr_status apply_total(plr_shard *s, const double *sums) {
  double total = 0.0;
  for (uint32_t i = 0; i < s->info->blocks; i++) total += sums[i];
  return isfinite(total) ? apply(s, &total) : PLR_ERR_NON_FINITE;
}

static plr_status step(plr_shard *s) {
  PLR_TRY(measure(s));
  if (s->info->clip_scope != PLR_CLIP_GLOBAL) return apply(s, NULL);
  block_sums(s, s->block_sums);
  return apply_total(s, s->block_sums);
}

plr_status plr_shard_step(plr_shard *shard) {
  PLR_GUARD(shard, NULL);
  if (!shard) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(ready(shard));
  if (shard->info->clip_scope == PLR_CLIP_GLOBAL &&
      shard->end_block - shard->first_block < shard->info->blocks)
    return PLR_ERR_INVALID_STATE;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = finish(shard, step(shard));
  plr__fpenv_leave(saved);
  return st;
}

/* ---- a limit over shards that do not see each other -------------------------------------------- */

plr_status plr_shard_gradient_sums(plr_shard *shard, double *sums, uint32_t count) {
  PLR_GUARD(shard, NULL);
  if (!shard || !sums || count != shard->end_block - shard->first_block)
    return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(ready(shard));
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = measure(shard);
  if (st == PLR_OK) block_sums(shard, sums);
  plr__fpenv_leave(saved);
  if (st != PLR_ERR_NON_FINITE) return st;
  /* Said as a number, so that every shard refuses the step, not only this one. */
  for (uint32_t i = 0; i < count; i++) sums[i] = INFINITY;
  return PLR_OK;
}

/* The shard's own sums among those of all blocks are what it measured: nobody's mistake goes unnoticed where it can
 * be seen. */
static int own_sums_agree(plr_shard *s, const double *sums) {
  block_sums(s, s->block_sums);
  for (uint32_t i = 0; i < s->end_block - s->first_block; i++)
    if (s->block_sums[i] != sums[s->first_block + i]) return 0;
  return 1;
}

plr_status plr_shard_step_global(plr_shard *shard, const double *sums, uint32_t count) {
  PLR_GUARD(shard, NULL);
  if (!shard || !sums || count != shard->info->blocks) return PLR_ERR_INVALID_ARGUMENT;
  if (shard->info->clip_scope != PLR_CLIP_GLOBAL) return PLR_ERR_INVALID_STATE;
  PLR_TRY(ready(shard));
  for (uint32_t i = 0; i < count; i++)
    if (!(sums[i] >= 0.0)) return PLR_ERR_INVALID_ARGUMENT;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = measure(shard);
  int known = st != PLR_OK || own_sums_agree(shard, sums);
  if (known) st = finish(shard, st == PLR_OK ? apply_total(shard, sums) : st);
  plr__fpenv_leave(saved);
  return known ? st : PLR_ERR_INVALID_ARGUMENT;
}

uint64_t plr_shard_steps(const plr_shard *shard) {
  PLR_GUARD_LOOK(shard);
  return shard->state.steps;
}
