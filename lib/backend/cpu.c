/* The device "cpu": memory of the context, kernels of profile `exact`. Everything is done when a call returns. */
#include "backend/backend_int.h"

#include "kernels/kernels.h"

#include <string.h>

static void *cpu_alloc(plr_device *device, size_t size) {
  return plr__calloc(device->ctx, 1, size);
}

static void cpu_free(plr_device *device, void *ptr) {
  plr__free(device->ctx, ptr);
}

static plr_status cpu_copy(plr_device *device, void *dst, const void *src, size_t size) {
  (void)device;
  if (size > 0) memcpy(dst, src, size);
  return PLR_OK;
}

static int32_t cpu_supports(const plr_device *device, plr_op_id op) {
  (void)device;
  return plr__cpu_supports(op);
}

static size_t cpu_workspace(plr_device *device, plr_op_id op, const void *args) {
  return plr__cpu_workspace(device->ctx, op, args);
}

static plr_status cpu_run(plr_device *device, plr_op_id op, const void *args) {
  return plr__cpu_run(device->ctx, op, args);
}

static plr_status cpu_synchronize(plr_device *device) {
  (void)device;
  return PLR_OK;
}

static void cpu_destroy(plr_device *device) {
  if (!device) return;
  plr_context *ctx = device->ctx;
  plr__free(ctx, device);
  plr__context_unref(ctx);
}

static const plr_device_vtable cpu_vtable = {
    .struct_size = (uint32_t)sizeof(plr_device_vtable),
    .api_version = PLR_DEVICE_API,
    .name = "cpu",
    .alloc = cpu_alloc,
    .free = cpu_free,
    .write = cpu_copy,
    .read = cpu_copy,
    .supports = cpu_supports,
    .workspace = cpu_workspace,
    .run = cpu_run,
    .synchronize = cpu_synchronize,
    .destroy = cpu_destroy,
};

int plr__device_is_host(const plr_device *device) {
  return device->vt == &cpu_vtable;
}

plr_status plr__cpu_open(plr_context *ctx, plr_device **out, plr_error *err) {
  plr_device *device = plr__calloc(ctx, 1, sizeof *device);
  if (!device) return plr__no_memory(err, "device cpu");
  device->vt = &cpu_vtable;
  device->ctx = plr__context_ref(ctx);
  *out = device;
  return PLR_OK;
}
