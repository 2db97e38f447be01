/* Averaging among ranks. NCCL only carries the values (an all-gather); the sum is ours, in the order of the ranks, so
 * that every rank gets the same bits, whatever the topology. NCCL is opened when it is first asked for. */
#include "cuda_int.h"
#include "nccl_api.h"

#include <dlfcn.h>
#include <string.h>

#ifndef PLR_NCCL_LIBRARY
#define PLR_NCCL_LIBRARY "libnccl.so.2"
#endif

/* Values gathered at once: bounds the memory a group needs to ranks times this. */
#ifndef PLR_GROUP_CHUNK
#define PLR_GROUP_CHUNK 1048576
#endif
constexpr int64_t chunk = PLR_GROUP_CHUNK;

struct nccl {
  plr_nccl_get_unique_id *get_unique_id;
  plr_nccl_comm_init_rank *comm_init_rank;
  plr_nccl_all_gather *all_gather;
  plr_nccl_comm_destroy *comm_destroy;
  plr_nccl_get_error_string *get_error_string;
};

struct plr_device_group {
  plr_cuda_device *device;
  nccl api;
  ncclComm_t comm;
  uint32_t ranks;
  float *gathered;
};

template <class F>
static bool find(void *library, const char *name, F **out) {
  *out = (F *)dlsym(library, name);
  return *out != NULL;
}

/* The library stays loaded: a communicator runs code in it. */
static plr_status open_nccl(nccl *api, plr_error *err) {
  void *library = dlopen(PLR_NCCL_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *why = dlerror();
    return plr__cuda_fail(err, PLR_ERR_UNAVAILABLE, "averaging needs NCCL: %.180s",
                          why ? why : PLR_NCCL_LIBRARY);
  }
  if (find(library, "ncclGetUniqueId", &api->get_unique_id) &&
      find(library, "ncclCommInitRank", &api->comm_init_rank) &&
      find(library, "ncclAllGather", &api->all_gather) &&
      find(library, "ncclCommDestroy", &api->comm_destroy) &&
      find(library, "ncclGetErrorString", &api->get_error_string))
    return PLR_OK;
  dlclose(library);
  return plr__cuda_fail(err, PLR_ERR_UNAVAILABLE, PLR_NCCL_LIBRARY " lacks a function of NCCL 2");
}

plr_status plr__cuda_group_id(uint8_t id[PLR_GROUP_ID_BYTES], plr_error *err) {
  static_assert(sizeof(ncclUniqueId) == PLR_GROUP_ID_BYTES, "the id is NCCL's");
  nccl api;
  ncclUniqueId unique;
  PLR_TRY(open_nccl(&api, err));
  int result = api.get_unique_id(&unique);
  if (result != PLR_NCCL_SUCCESS)
    return plr__cuda_fail(err, PLR_ERR_UNAVAILABLE, "NCCL: %s", api.get_error_string(result));
  memcpy(id, &unique, sizeof unique);
  return PLR_OK;
}

static plr_status join(plr_device_group *g, const uint8_t *id, uint32_t rank, plr_error *err) {
  PLR_TRY(open_nccl(&g->api, err));
  plr_status st = plr__cuda_status(g->device, cudaSetDevice(g->device->ordinal));
  if (st != PLR_OK) return plr__cuda_fail(err, st, "the device is lost (see the log)");
  g->gathered =
      (float *)g->device->base.vt->alloc(&g->device->base, sizeof(float) * chunk * g->ranks);
  if (!g->gathered) return plr__cuda_fail(err, PLR_ERR_NO_MEMORY, "out of device memory");
  ncclUniqueId unique;
  memcpy(&unique, id, sizeof unique);
  int result = g->api.comm_init_rank(&g->comm, (int)g->ranks, unique, (int)rank);
  if (result == PLR_NCCL_SUCCESS) return PLR_OK;
  g->comm = NULL;
  return plr__cuda_fail(err, PLR_ERR_UNAVAILABLE, "NCCL, rank %u of %u: %s", (unsigned)rank,
                        (unsigned)g->ranks, g->api.get_error_string(result));
}

plr_status plr__cuda_group_create(plr_device *device, const uint8_t id[PLR_GROUP_ID_BYTES],
                                  uint32_t rank, uint32_t ranks, plr_device_group **out,
                                  plr_error *err) {
  *out = NULL;
  if (ranks == 0 || ranks > PLR_GROUP_MAX_RANKS || rank >= ranks)
    return plr__cuda_fail(err, PLR_ERR_INVALID_ARGUMENT, "rank %u of %u (at most %u)",
                          (unsigned)rank, (unsigned)ranks, PLR_GROUP_MAX_RANKS);
  plr_cuda_device *d = (plr_cuda_device *)device;
  plr_device_group *g = (plr_device_group *)d->host->alloc(device->ctx, sizeof *g);
  if (!g) return plr__cuda_fail(err, PLR_ERR_NO_MEMORY, "out of memory");
  memset(g, 0, sizeof *g);
  g->device = d;
  g->ranks = ranks;
  plr_status st = join(g, id, rank, err);
  if (st != PLR_OK) {
    plr__cuda_group_destroy(g);
    return st;
  }
  *out = g;
  return PLR_OK;
}

plr_status plr__cuda_group_average(plr_device_group *g, float *x, int64_t n, const float *weights) {
  plr_cuda_device *d = g->device;
  if (n < 0) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(plr__cuda_status(d, cudaSetDevice(d->ordinal)));
  for (int64_t first = 0; first < n; first += chunk) {
    int64_t count = n - first < chunk ? n - first : chunk;
    int result = g->api.all_gather(x + first, g->gathered, (size_t)count, PLR_NCCL_FLOAT32, g->comm,
                                   d->stream);
    if (result != PLR_NCCL_SUCCESS) {
      d->host->log(d->base.ctx, PLR_LOG_ERROR, "nccl", g->api.get_error_string(result));
      return PLR_ERR_UNAVAILABLE;
    }
    PLR_TRY(plr__cuda_ordered_sum(d, g->gathered, weights, g->ranks, count, x + first));
  }
  return d->base.vt->synchronize(&d->base);
}

void plr__cuda_group_destroy(plr_device_group *g) {
  if (!g) return;
  plr_cuda_device *d = g->device;
  if (g->comm && cudaSetDevice(d->ordinal) == cudaSuccess) g->api.comm_destroy(g->comm);
  if (g->gathered) d->base.vt->free(&d->base, g->gathered);
  d->host->free(d->base.ctx, g);
}
