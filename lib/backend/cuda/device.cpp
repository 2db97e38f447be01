/* The device: memory, one stream, and the switch from an operation's id to its kernels. */
#include "cuda_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static plr_cuda_device *cuda(plr_device *device) {
  return (plr_cuda_device *)device;
}

/* The caller's struct may be of another version: only what it has room for is written. */
plr_status plr__cuda_fail(plr_error *err, plr_status st, const char *format, ...) {
  if (!err) return st;
  plr_error full = {};
  full.struct_size = err->struct_size;
  full.status = (int32_t)st;
  snprintf(full.where, sizeof full.where, "device cuda");
  va_list args;
  va_start(args, format);
  vsnprintf(full.message, sizeof full.message, format, args);
  va_end(args);
  size_t size = err->struct_size ? err->struct_size : sizeof full;
  memcpy(err, &full, size < sizeof full ? size : sizeof full);
  return st;
}

plr_status plr__cuda_status(plr_cuda_device *d, cudaError_t error) {
  if (error == cudaSuccess) return PLR_OK;
  cudaGetLastError(); /* not to be reported a second time */
  char line[160];
  snprintf(line, sizeof line, "device %d: %s (%s)", d->ordinal, cudaGetErrorString(error),
           cudaGetErrorName(error));
  d->host->log(d->base.ctx, PLR_LOG_ERROR, "cuda", line);
  if (error == cudaErrorMemoryAllocation) return PLR_ERR_NO_MEMORY;
  return PLR_ERR_UNAVAILABLE;
}

/* CUDA has a current device for each host thread. */
static plr_status enter(plr_cuda_device *d) {
  return plr__cuda_status(d, cudaSetDevice(d->ordinal));
}

static void *device_alloc(plr_device *device, size_t size) {
  plr_cuda_device *d = cuda(device);
  void *p = NULL;
  if (enter(d) != PLR_OK) return NULL;
  if (plr__cuda_status(d, cudaMalloc(&p, size ? size : 1)) != PLR_OK) return NULL;
  if (plr__cuda_status(d, cudaMemsetAsync(p, 0, size ? size : 1, d->stream)) == PLR_OK) return p;
  cudaFree(p);
  return NULL;
}

static void device_free(plr_device *device, void *ptr) {
  plr_cuda_device *d = cuda(device);
  if (!ptr) return;
  cudaSetDevice(d->ordinal);
  plr__cuda_status(d, cudaFree(ptr));
}

/* Waits for the stream, then reports what kernels have complained about since the last time. */
static plr_status finish(plr_cuda_device *d) {
  unsigned bad = 0;
  PLR_TRY(plr__cuda_status(
      d, cudaMemcpyAsync(&bad, d->bad_input, sizeof bad, cudaMemcpyDeviceToHost, d->stream)));
  PLR_TRY(plr__cuda_status(d, cudaStreamSynchronize(d->stream)));
  if (!bad) return PLR_OK;
  d->host->log(d->base.ctx, PLR_LOG_ERROR, "cuda", "an id or a label is outside its table");
  PLR_TRY(plr__cuda_status(d, cudaMemsetAsync(d->bad_input, 0, sizeof bad, d->stream)));
  return PLR_ERR_INVALID_ARGUMENT;
}

/* The caller's memory is his again when this returns. */
static plr_status device_write(plr_device *device, void *dst, const void *src, size_t size) {
  plr_cuda_device *d = cuda(device);
  if (size == 0) return PLR_OK;
  PLR_TRY(enter(d));
  PLR_TRY(plr__cuda_status(d, cudaMemcpyAsync(dst, src, size, cudaMemcpyHostToDevice, d->stream)));
  return plr__cuda_status(d, cudaStreamSynchronize(d->stream));
}

static plr_status device_read(plr_device *device, void *dst, const void *src, size_t size) {
  plr_cuda_device *d = cuda(device);
  PLR_TRY(enter(d));
  if (size > 0)
    PLR_TRY(
        plr__cuda_status(d, cudaMemcpyAsync(dst, src, size, cudaMemcpyDeviceToHost, d->stream)));
  return finish(d);
}

static plr_status device_synchronize(plr_device *device) {
  PLR_TRY(enter(cuda(device)));
  return finish(cuda(device));
}

static int32_t device_supports(const plr_device *, plr_op_id op) {
  switch (op) {
#define PLR_CUDA_CASE(name, id, type) case PLR_OP_##id:
    PLR_CUDA_OPS(PLR_CUDA_CASE)
#undef PLR_CUDA_CASE
    return 1;
  default:
    return 0;
  }
}

static size_t device_workspace(plr_device *, plr_op_id op, const void *args) {
  if (op == PLR_OP_ATTENTION_BWD)
    return plr__cuda_attention_bwd_workspace((const plr_attention_args *)args);
  return 0;
}

static plr_status device_run(plr_device *device, plr_op_id op, const void *args) {
  plr_cuda_device *d = cuda(device);
  PLR_TRY(enter(d));
  switch (op) {
#define PLR_CUDA_CASE(name, id, type)                                                              \
  case PLR_OP_##id:                                                                                \
    return plr__cuda_##name(d, (const type *)args);
    PLR_CUDA_OPS(PLR_CUDA_CASE)
#undef PLR_CUDA_CASE
  default:
    return PLR_ERR_UNSUPPORTED;
  }
}

static void device_destroy(plr_device *device) {
  if (!device) return;
  plr_cuda_device *d = cuda(device);
  const plr_plugin_host *host = d->host;
  plr_context *ctx = d->base.ctx;
  cudaSetDevice(d->ordinal); /* a lost device is taken apart all the same */
  cudaFree(d->sumsq_parts);
  cudaFree(d->bad_input);
  if (d->stream) cudaStreamDestroy(d->stream);
  cudaGetLastError();
  host->free(ctx, d);
  host->context_unref(ctx);
}

static const plr_device_vtable vtable = {
    (uint32_t)sizeof(plr_device_vtable),
    PLR_DEVICE_API,
    "cuda",
    device_alloc,
    device_free,
    device_write,
    device_read,
    device_supports,
    device_workspace,
    device_run,
    device_synchronize,
    device_destroy,
};

/* Without a driver, or with an older one, everything else of CUDA fails too: nothing is tried after this. */
static plr_status find_device(uint32_t ordinal, plr_error *err) {
  int count = 0, driver = 0, runtime = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (error != cudaSuccess)
    return plr__cuda_fail(err, PLR_ERR_UNAVAILABLE,
                          "no CUDA device: %s (%s); the driver supports CUDA %d.%d, the plugin "
                          "was built for %d.%d",
                          cudaGetErrorString(error), cudaGetErrorName(error), driver / 1000,
                          driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  if (ordinal < (uint32_t)count) return PLR_OK;
  return plr__cuda_fail(err, PLR_ERR_UNAVAILABLE, "no CUDA device %u: there are %d",
                        (unsigned)ordinal, count);
}

static plr_status prepare(plr_cuda_device *d, plr_error *err) {
  plr_status st = enter(d);
  if (st == PLR_OK)
    st = plr__cuda_status(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));
  if (st == PLR_OK) {
    d->bad_input = (unsigned *)device_alloc(&d->base, sizeof *d->bad_input);
    d->sumsq_parts = (double *)device_alloc(&d->base, sizeof(double) * PLR_CUDA_SUMSQ_SEGMENTS);
    if (!d->bad_input || !d->sumsq_parts) st = PLR_ERR_NO_MEMORY;
  }
  if (st != PLR_OK)
    return plr__cuda_fail(err, st, "CUDA device %d cannot be prepared (see the log)", d->ordinal);
  return plr__cuda_selftest(d, err);
}

static plr_status open_device(const plr_plugin_host *host, plr_context *ctx, uint32_t ordinal,
                              plr_device **out, plr_error *err) {
  *out = NULL;
  if (host->api_version != PLR_DEVICE_API || host->struct_size < sizeof *host)
    return plr__cuda_fail(err, PLR_ERR_UNSUPPORTED,
                          "the library has device API %u, the CUDA plugin was built for %u",
                          (unsigned)host->api_version, (unsigned)PLR_DEVICE_API);
  PLR_TRY(find_device(ordinal, err));
  plr_cuda_device *d = (plr_cuda_device *)host->alloc(ctx, sizeof *d);
  if (!d) return plr__cuda_fail(err, PLR_ERR_NO_MEMORY, "out of memory");
  memset(d, 0, sizeof *d);
  d->base.vt = &vtable;
  d->base.ctx = host->context_ref(ctx);
  d->host = host;
  d->ordinal = (int)ordinal;
  plr_status st = prepare(d, err);
  if (st != PLR_OK) {
    device_destroy(&d->base);
    return st;
  }
  *out = &d->base;
  return PLR_OK;
}

static const plr_device_plugin plugin = {
    (uint32_t)sizeof(plr_device_plugin),
    PLR_DEVICE_API,
    "cuda",
    open_device,
    plr__cuda_group_id,
    plr__cuda_group_create,
    plr__cuda_group_average,
    plr__cuda_group_destroy,
};

extern "C" __attribute__((visibility("default"))) const plr_device_plugin *
plr_device_plugin_v1(void) {
  return &plugin;
}
