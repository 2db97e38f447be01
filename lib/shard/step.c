/* The optimizer step: AdamW with a schedule and a gradient norm limit per block. */
#include "shard/shard_int.h"

#include "kernels/kernels.h"

#include <math.h>

#define PI 3.14159265358979323846

float plr__learning_rate(const plr_model_info *info, uint64_t done) {
  double lr = (double)info->lr, floor = (double)info->min_lr_ratio, scale = 1.0;
  if (done < info->warmup_steps) return (float)(lr * ((double)(done + 1) / info->warmup_steps));
  uint64_t past = done - info->warmup_steps, span = (uint64_t)info->steps - info->warmup_steps;
  double progress = past < span ? (double)past / (double)span : 1.0;
  if (info->schedule == PLR_SCHEDULE_LINEAR) scale = 1.0 - (1.0 - floor) * progress;
  if (info->schedule == PLR_SCHEDULE_COSINE) {
    double sine, cosine;
    plr__sincos(PI * progress, &sine, &cosine);
    scale = floor + (1.0 - floor) * (0.5 * (1.0 + cosine));
  }
  return (float)(lr * scale);
}

/* Sums of squares of all gradients, in host_sums. NON_FINITE when any element is. */
static plr_status measure(plr_shard *s) {
  uint32_t count = s->graph.param_count;
  for (uint32_t i = 0; i < count; i++) {
    const plr_param *p = &s->graph.params[i];
    plr_sumsq_args a = {s->grads + s->param_offset[i], s->sums + 2 * (size_t)i, p->rows * p->cols};
    PLR_TRY(s->device->vt->run(s->device, PLR_OP_SUMSQ, &a));
  }
  PLR_TRY(s->device->vt->read(s->device, s->host_sums, s->sums, 2 * count * sizeof(double)));
  for (uint32_t i = 0; i < count; i++)
    if (s->host_sums[2 * i + 1] != 1.0) return PLR_ERR_NON_FINITE;
  return PLR_OK;
}

/* What the gradients of a block are multiplied with; parameters [first, end) are the block's. */
static float clip_scale(const plr_shard *s, uint32_t first, uint32_t end) {
  double sum = 0.0, limit = (double)s->info->clip;
  for (uint32_t i = first; i < end; i++) sum += s->host_sums[2 * i];
  double norm = sqrt(sum);
  return limit > 0.0 && norm > limit ? (float)(limit / norm) : 1.0f;
}

static plr_status update(plr_shard *s, uint32_t param, const plr_adamw_args *common) {
  const plr_param *p = &s->graph.params[param];
  int64_t at = s->param_offset[param];
  plr_adamw_args a = *common;
  a.w = s->state.w + at, a.m = s->state.m + at, a.v = s->state.v + at, a.g = s->grads + at;
  a.n = p->rows * p->cols;
  if (!p->decay) a.weight_decay = 0.0f;
  return s->device->vt->run(s->device, PLR_OP_ADAMW, &a);
}

static plr_status apply(plr_shard *s) {
  const plr_model_info *info = s->info;
  double power1 = s->state.beta1_power * (double)info->beta1;
  double power2 = s->state.beta2_power * (double)info->beta2;
  plr_adamw_args a = {.lr = plr__learning_rate(info, s->state.steps),
                      .beta1 = info->beta1,
                      .beta2 = info->beta2,
                      .eps = info->eps,
                      .weight_decay = info->weight_decay,
                      .correction1 = (float)(1.0 - power1),
                      .correction2 = (float)(1.0 - power2)};
  uint32_t count = s->graph.param_count, end = 0;
  for (uint32_t first = 0; first < count; first = end) {
    while (end < count && s->graph.params[end].block == s->graph.params[first].block) end++;
    a.grad_scale = clip_scale(s, first, end);
    for (uint32_t i = first; i < end; i++) PLR_TRY(update(s, i, &a));
  }
  s->state.beta1_power = power1, s->state.beta2_power = power2;
  s->state.steps++;
  s->weights++;
  return PLR_OK;
}

plr_status plr_shard_step(plr_shard *shard) {
  PLR_GUARD(shard, NULL);
  if (!shard) return PLR_ERR_INVALID_ARGUMENT;
  if (shard->inference_only || shard->pending == 0) return PLR_ERR_INVALID_STATE;
  for (uint32_t i = 0; i < shard->slot_count; i++)
    if (shard->slots[i].busy) return PLR_ERR_INVALID_STATE;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = shard->poisoned ? PLR_ERR_NON_FINITE : measure(shard);
  if (st == PLR_OK) st = apply(shard);
  plr__fpenv_leave(saved);
  plr__shard_reset(shard);
  return st;
}

uint64_t plr_shard_steps(const plr_shard *shard) {
  PLR_GUARD_LOOK(shard);
  return shard->state.steps;
}
