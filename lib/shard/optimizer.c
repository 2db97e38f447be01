/* The optimizers: which operation updates which parameter, what it keeps, and the numbers a step needs. */
#include "shard/shard_int.h"

#include "kernels/kernels.h"

#include <string.h>

#define PI 3.14159265358979323846

plr_op_id plr__optimizer_op(const plr_model_info *info, const plr_param *p) {
  switch (info->optimizer) {
  case PLR_OPTIMIZER_NADAM:
    return PLR_OP_NADAM;
  case PLR_OPTIMIZER_SGDM:
    return PLR_OP_SGDM;
  case PLR_OPTIMIZER_ADAMW_ROW:
    return PLR_OP_ADAMW_ROW;
  case PLR_OPTIMIZER_MUON:
    return p->hidden ? PLR_OP_MUON : PLR_OP_ADAMW;
  default:
    return PLR_OP_ADAMW;
  }
}

int64_t plr__optimizer_seconds(const plr_model_info *info, const plr_param *p) {
  switch (plr__optimizer_op(info, p)) {
  case PLR_OP_SGDM:
  case PLR_OP_MUON:
    return 0;
  case PLR_OP_ADAMW_ROW:
    return p->along ? p->stack * p->cols : p->rows;
  default:
    return p->rows * p->cols;
  }
}

plr_status plr__optimizer_check(const plr_shard *s, plr_error *err) {
  for (uint32_t i = 0; i < s->graph.param_count && !s->inference_only; i++) {
    plr_op_id op = plr__optimizer_op(s->info, &s->graph.params[i]);
    if (!s->device->vt->supports(s->device, op))
      return plr__fail(err, PLR_ERR_UNSUPPORTED, "shard",
                       "device %s does not have the optimizer of this model (operation %u)",
                       s->device->vt->name, (unsigned)op);
  }
  return PLR_OK;
}

/* ---- numbers of a step ------------------------------------------------------------------------ */

/* `peak` as the schedule has it after `done` steps. */
static float scheduled(const plr_model_info *info, double peak, uint64_t done) {
  double floor = (double)info->min_lr_ratio, scale = 1.0;
  if (done < info->warmup_steps) return (float)(peak * ((double)(done + 1) / info->warmup_steps));
  uint64_t flat =
      info->schedule == PLR_SCHEDULE_WSD ? info->steps - info->decay_steps : info->warmup_steps;
  uint64_t past = done > flat ? done - flat : 0, span = info->steps - flat;
  double progress = past < span ? (double)past / (double)span : 1.0;
  if (done < flat) progress = 0.0;
  if (info->schedule == PLR_SCHEDULE_LINEAR || info->schedule == PLR_SCHEDULE_WSD)
    scale = 1.0 - (1.0 - floor) * progress;
  if (info->schedule == PLR_SCHEDULE_COSINE) {
    double sine, cosine;
    plr__sincos(PI * progress, &sine, &cosine);
    scale = floor + (1.0 - floor) * (0.5 * (1.0 + cosine));
  }
  return (float)(peak * scale);
}

float plr__learning_rate(const plr_model_info *info, uint64_t done) {
  return scheduled(info, (double)info->lr, done);
}

/* NAdam's momentum of step t >= 1 (Dozat 2016). */
static double nadam_mu(const plr_model_info *info, double beta1, uint64_t t) {
  double decay = plr__pow(0.96, (double)t * (double)info->momentum_decay);
  return beta1 * (1.0 - 0.5 * decay);
}

/* Mean delay of the micro-batches in the gradients. */
static double mean_delay(const plr_shard *s) {
  return s->pending ? (double)s->delays.sum / s->pending : 0.0;
}

/* Backward with newer weights than forward had: the more delay, the more momentum, up to the model's own
 * (arXiv 2505.01099, the variant without stash). */
static double corrected_beta1(const plr_shard *s) {
  double beta1 = (double)s->info->beta1, base = PLR_MIN(beta1, 0.9);
  if (!s->delays.stages) return beta1;
  return (double)(float)(base + PLR_MIN(mean_delay(s) / s->delays.stages, 1.0) * (beta1 - base));
}

/* Learning rates are divided by delay^(1 - progress) (PipeMare, arXiv 1910.05124). */
static double corrected_rate(const plr_shard *s) {
  double delay = mean_delay(s);
  if (!s->delays.stages || delay <= 1.0 || s->state.steps >= s->delays.horizon) return 1.0;
  return plr__pow(delay, (double)s->state.steps / (double)s->delays.horizon - 1.0);
}

void plr__optimizer_rates(const plr_shard *s, plr_rates *out) {
  const plr_model_info *info = s->info;
  const plr_state *state = &s->state;
  double beta1 = corrected_beta1(s), rate = corrected_rate(s), factor = beta1, next = beta1;
  if (info->optimizer == PLR_OPTIMIZER_NADAM) {
    factor = nadam_mu(info, beta1, state->steps + 1);
    next = nadam_mu(info, beta1, state->steps + 2);
  }
  memset(out, 0, sizeof *out);
  out->beta1 = (float)beta1;
  out->power1 = state->power1 * factor;
  out->power2 = state->power2 * (double)info->beta2;
  out->lr = scheduled(info, (double)info->lr * rate, state->steps);
  out->muon_lr = scheduled(info, (double)info->muon_lr * rate, state->steps);
  out->mu_now = (float)factor, out->mu_next = (float)next;
  out->correction1 = (float)(1.0 - out->power1);
  out->correction1_next = (float)(1.0 - out->power1 * next);
  out->correction2 = (float)(1.0 - out->power2);
}

/* ---- one parameter ---------------------------------------------------------------------------- */

/* Shape and memory of matrix `i` of its stack; NULL where there is none (when only the work space is asked for). */
static plr_optimizer_args args_of(const plr_shard *s, uint32_t param, uint32_t i) {
  const plr_param *p = &s->graph.params[param];
  int64_t rows = p->rows / p->stack, seconds = plr__optimizer_seconds(s->info, p);
  int64_t at = s->param_offset[param] + i * rows * p->cols;
  plr_optimizer_args a = {.rows = rows, .cols = p->cols, .along = p->along};
  if (s->state.w) a.w = s->state.w + at;
  if (s->state.m) a.m = s->state.m + at;
  if (s->state.v && seconds > 0)
    a.v = s->state.v + s->second_offset[param] + i * (seconds / p->stack);
  if (s->grads) a.g = s->grads + at;
  return a;
}

size_t plr__optimizer_work_size(plr_shard *s) {
  size_t most = 0;
  for (uint32_t i = 0; i < s->graph.param_count && !s->inference_only; i++) {
    plr_optimizer_args a = args_of(s, i, 0);
    plr_op_id op = plr__optimizer_op(s->info, &s->graph.params[i]);
    if (op == PLR_OP_ADAMW) continue;
    size_t size = s->device->vt->workspace(s->device, op, &a);
    most = PLR_MAX(most, size);
  }
  return most;
}

static plr_status update_adamw(plr_shard *s, const plr_optimizer_args *o) {
  plr_adamw_args a = {.w = o->w,
                      .m = o->m,
                      .v = o->v,
                      .g = o->g,
                      .n = o->rows * o->cols,
                      .lr = o->lr,
                      .beta1 = o->beta1,
                      .beta2 = o->beta2,
                      .eps = o->eps,
                      .weight_decay = o->weight_decay,
                      .correction1 = o->correction1,
                      .correction2 = o->correction2,
                      .grad_scale = o->grad_scale};
  return s->device->vt->run(s->device, PLR_OP_ADAMW, &a);
}

static plr_status update(plr_shard *s, uint32_t param, uint32_t i, const plr_rates *rates,
                         float grad_scale) {
  const plr_model_info *info = s->info;
  const plr_param *p = &s->graph.params[param];
  plr_op_id op = plr__optimizer_op(info, p);
  plr_optimizer_args a = args_of(s, param, i);
  a.lr = op == PLR_OP_MUON ? rates->muon_lr : rates->lr;
  a.beta1 = op == PLR_OP_MUON ? info->muon_momentum : rates->beta1;
  a.beta2 = info->beta2, a.eps = info->eps;
  a.weight_decay = p->decay ? info->weight_decay : 0.0f;
  a.grad_scale = grad_scale;
  a.mu_now = rates->mu_now, a.mu_next = rates->mu_next;
  a.correction1 = rates->correction1, a.correction1_next = rates->correction1_next;
  a.correction2 = rates->correction2;
  a.work = s->work;
  if (op == PLR_OP_ADAMW) return update_adamw(s, &a);
  return s->device->vt->run(s->device, op, &a);
}

plr_status plr__optimizer_update(plr_shard *s, uint32_t param, const plr_rates *rates,
                                 float grad_scale) {
  for (uint32_t i = 0; i < s->graph.params[param].stack; i++)
    PLR_TRY(update(s, param, i, rates, grad_scale));
  return PLR_OK;
}
