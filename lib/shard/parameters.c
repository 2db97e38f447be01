/* A shard's parameters one by one: by name, to look at, to check gradients with, to set. */
#include "shard/shard_int.h"

#include <math.h>
#include <string.h>

static const char where_[] = "shard parameter";

uint32_t plr_shard_parameters(const plr_shard *shard) {
  return shard ? shard->graph.param_count : 0;
}

plr_status plr_shard_parameter(const plr_shard *shard, uint32_t i, plr_parameter_info *info) {
  if (!shard || !info || i >= shard->graph.param_count) return PLR_ERR_INVALID_ARGUMENT;
  const plr_param *p = &shard->graph.params[i];
  plr_parameter_info full = {.block = p->block, .rows = p->rows, .cols = p->cols, .name = p->name};
  return plr__record_write(info, &full, (uint32_t)sizeof full, (uint32_t)sizeof full);
}

/* Place of a parameter and a check of what goes in or comes out. */
static plr_status find(const plr_shard *s, const char *name, const plr_tensor *t, uint32_t *index,
                       plr_error *err) {
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *p = &s->graph.params[i];
    if (strcmp(p->name, name) != 0) continue;
    *index = i;
    if (plr__shard_check_matrix(t, p->rows, p->cols, 1) == PLR_OK) return PLR_OK;
    return plr__fail(err, PLR_ERR_SHAPE, where_,
                     "%s is contiguous F32 of %lld x %lld, the tensor is not", p->name,
                     (long long)p->rows, (long long)p->cols);
  }
  return plr__fail(err, PLR_ERR_NOT_FOUND, where_, "blocks %u .. %u have no parameter \"%.64s\"",
                   s->first_block, s->end_block, name);
}

plr_status plr_shard_read(plr_shard *shard, uint32_t what, const char *name, plr_tensor *out,
                          plr_error *err) {
  PLR_GUARD(shard, err);
  if (!shard || !name || what > PLR_PARAMETER_GRADIENT)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_,
                     "shard or name is NULL, or what is neither weight nor gradient");
  uint32_t i = 0;
  PLR_TRY(find(shard, name, out, &i, err));
  if (what == PLR_PARAMETER_GRADIENT && shard->pending == 0)
    return plr__fail(err, PLR_ERR_INVALID_STATE, where_,
                     "there is no gradient: no backward since the last step");
  if (shard->packs[i].packed)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where_, "%s is held in a serving format", name);
  const float *arena = what == PLR_PARAMETER_GRADIENT ? shard->grads : shard->state.w;
  const plr_param *p = &shard->graph.params[i];
  plr_status st = shard->device->vt->read(shard->device, out->data, arena + shard->param_offset[i],
                                          (size_t)(p->rows * p->cols) * sizeof *arena);
  return st == PLR_OK ? st : plr__fail(err, st, where_, "%s cannot be read", name);
}

plr_status plr_shard_write(plr_shard *shard, const char *name, const plr_tensor *in,
                           plr_error *err) {
  PLR_GUARD(shard, err);
  if (!shard || !name)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "shard or name is NULL");
  uint32_t index = 0;
  PLR_TRY(find(shard, name, in, &index, err));
  for (uint32_t i = 0; i < shard->slot_count; i++)
    if (shard->slots[i].busy)
      return plr__fail(err, PLR_ERR_INVALID_STATE, where_, "slot %u waits for its backward", i);
  const plr_param *p = &shard->graph.params[index];
  const float *x = in->data;
  for (int64_t i = 0; i < p->rows * p->cols; i++)
    if (!isfinite(x[i]))
      return plr__fail(err, PLR_ERR_NON_FINITE, where_, "%s: value %lld is not finite", name,
                       (long long)i);
  plr_status st = plr__pack_begin(shard);
  if (st == PLR_OK)
    st = shard->device->vt->write(shard->device, plr__pack_weight(shard, &shard->state, index), x,
                                  (size_t)(p->rows * p->cols) * sizeof *x);
  if (st == PLR_OK) st = plr__pack_done(shard, &shard->state, index);
  plr__pack_end(shard);
  shard->weights++;
  return st == PLR_OK ? st : plr__fail(err, st, where_, "%s cannot be written", name);
}
