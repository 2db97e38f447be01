/* A device: memory and one `run`. The executor sees nothing else, so that a plugin needs nothing else. */
#ifndef PLR_BACKEND_BACKEND_H
#define PLR_BACKEND_BACKEND_H

#include "base/base.h"
#include "kernels/ops.h"

#define PLR_DEVICE_API 2u

typedef struct plr_device plr_device;

/* Stable within a minor release. Memory of a device is touched by the host only through read and write.
 * Operations run in the order they are given; read and synchronize wait for them. Where ids and labels are seen by
 * kernels only, one outside its table is left out, and the next read or synchronize gives INVALID_ARGUMENT. */
typedef struct plr_device_vtable {
  uint32_t struct_size;
  uint32_t api_version; /* PLR_DEVICE_API */
  const char *name;     /* "cpu", "cuda" */
  void *(*alloc)(plr_device *,
                 size_t size); /* 64-byte aligned (256 on a GPU), zeroed; NULL on failure */
  void (*free)(plr_device *, void *ptr);
  plr_status (*write)(plr_device *, void *dst, const void *host_src, size_t size);
  plr_status (*read)(plr_device *, void *host_dst, const void *src, size_t size);
  int32_t (*supports)(const plr_device *, plr_op_id op);
  size_t (*workspace)(plr_device *, plr_op_id op, const void *args);
  plr_status (*run)(plr_device *, plr_op_id op, const void *args);
  plr_status (*synchronize)(plr_device *);
  void (*destroy)(plr_device *);
} plr_device_vtable;

struct plr_device {
  const plr_device_vtable *vt;
  plr_context *ctx;
};

/* 1: its memory is the host's, who may read and write it where it stands. */
int plr__device_is_host(const plr_device *device);

/* Opens a device by name: "cpu", which is always there, or one of the CUDA plugin's (plugin.h says how they are
 * named). Errors: NOT_FOUND, UNAVAILABLE, UNSUPPORTED, INVALID_ARGUMENT, NO_MEMORY. */
plr_status plr__device_open(plr_context *ctx, const char *name, plr_device **out, plr_error *err);

#endif
