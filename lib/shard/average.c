/* All weights of a shard as one vector, for replicas that average theirs: parameters in order, without gaps. */
#include "shard/shard_int.h"

#include "shard/shard.h"

int64_t plr__shard_elements(const plr_shard *shard) {
  int64_t n = 0;
  for (uint32_t i = 0; i < shard->graph.param_count; i++)
    n += shard->graph.params[i].rows * shard->graph.params[i].cols;
  return n;
}

plr_status plr__shard_read_vector(plr_shard *shard, float *out) {
  for (uint32_t i = 0; i < shard->graph.param_count; i++) {
    const plr_param *p = &shard->graph.params[i];
    size_t n = (size_t)(p->rows * p->cols);
    PLR_TRY(shard->device->vt->read(shard->device, out, shard->state.w + shard->param_offset[i],
                                    n * sizeof *out));
    out += n;
  }
  return PLR_OK;
}

plr_status plr__shard_write_vector(plr_shard *shard, const float *in) {
  PLR_TRY(plr__stash_ready(shard)); /* it is a new version, as after a step */
  PLR_TRY(plr__stash_keep(shard));
  for (uint32_t i = 0; i < shard->graph.param_count; i++) {
    const plr_param *p = &shard->graph.params[i];
    size_t n = (size_t)(p->rows * p->cols);
    PLR_TRY(shard->device->vt->write(shard->device, shard->state.w + shard->param_offset[i], in,
                                     n * sizeof *in));
    in += n;
  }
  shard->weights++;
  return PLR_OK;
}
