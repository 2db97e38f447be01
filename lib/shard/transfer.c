/* What passes between host and device, and its checks. */
#include "shard/shard_int.h"

#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

plr_status plr__shard_check_matrix(const plr_tensor *t, int64_t rows, int64_t cols, int want) {
  if (!want) return t ? PLR_ERR_SHAPE : PLR_OK;
  if (!t || plr_tensor_check(t, NULL) != PLR_OK) return PLR_ERR_SHAPE;
  int fits = t->dtype == PLR_DTYPE_F32 && t->ndim == 2 && t->shape[0] == rows &&
             t->shape[1] == cols && plr__tensor_contiguous(t);
  return fits ? PLR_OK : PLR_ERR_SHAPE;
}

static size_t value_bytes(const plr_run *run, uint32_t value) {
  const plr_value *v = &run->shard->graph.values[value];
  return (size_t)plr__value_elements(v, run->batch * run->seq) * 4;
}

plr_status plr__run_put(const plr_run *run, uint32_t value, const void *host) {
  plr_device *device = run->shard->device;
  return device->vt->write(device, plr__run_value(run, value), host, value_bytes(run, value));
}

plr_status plr__run_put_positions(const plr_run *run) {
  uint32_t value = run->shard->graph.positions;
  if (value == PLR_NO_VALUE) return PLR_OK;
  int32_t *staged = (int32_t *)(void *)run->shard->host_bytes;
  for (int64_t r = 0; r < run->batch * run->seq; r++) staged[r] = (int32_t)(r % run->seq);
  return plr__run_put(run, value, staged);
}

plr_status plr__run_get(const plr_run *run, uint32_t value, void *host) {
  plr_device *device = run->shard->device;
  return device->vt->read(device, host, plr__run_value(run, value), value_bytes(run, value));
}

plr_status plr__run_check_finite(const plr_run *run, uint32_t value) {
  plr_shard *s = run->shard;
  double out[2] = {0.0, 0.0};
  plr_sumsq_args a = {plr__run_value(run, value), s->sums,
                      run->batch * run->seq * s->graph.values[value].cols};
  PLR_TRY(s->device->vt->run(s->device, PLR_OP_SUMSQ, &a));
  PLR_TRY(s->device->vt->read(s->device, out, s->sums, sizeof out));
  return out[1] == 1.0 ? PLR_OK : PLR_ERR_NON_FINITE;
}

plr_status plr__run_loss(const plr_run *run, double *loss_sum) {
  float *rows = (float *)(void *)run->shard->host_bytes;
  PLR_TRY(plr__run_get(run, run->shard->graph.loss, rows));
  double sum = 0.0;
  for (int64_t r = 0; r < run->batch * run->seq; r++) sum += (double)rows[r];
  if (!isfinite(sum)) return PLR_ERR_NON_FINITE;
  if (loss_sum) *loss_sum = sum;
  return PLR_OK;
}

void plr__floats_le(void *data, size_t count) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  uint8_t *p = data;
  for (size_t i = 0; i < count; i++, p += 4) {
    uint32_t v = plr__load_be32(p);
    plr__store_le32(p, v);
  }
#else
  (void)data, (void)count;
#endif
}

plr_status plr__shard_read_floats(plr_shard *s, const float *from, int64_t n, plr_put_fn put,
                                  void *user) {
  const int64_t piece = PLR_STAGE_BYTES / 4;
  for (int64_t i = 0; i < n; i += piece) {
    size_t count = (size_t)PLR_MIN(piece, n - i);
    PLR_TRY(s->device->vt->read(s->device, s->host_bytes, from + i, count * 4));
    plr__floats_le(s->host_bytes, count);
    PLR_TRY(put(user, s->host_bytes, count * 4));
  }
  return PLR_OK;
}
