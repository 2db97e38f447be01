/* What a device plugin exports, and what it gets from the library.
 *
 * A plugin is a shared library with one exported symbol, plr_device_plugin_v1, a function that returns the struct
 * below. It links against nothing of ours: it is handed the host functions, so that the same plugin serves a
 * program that linked the library shared and one that linked it statically. */
#ifndef PLR_BACKEND_PLUGIN_H
#define PLR_BACKEND_PLUGIN_H

#include "backend/backend.h"

#define PLR_PLUGIN_SYMBOL "plr_device_plugin_v1"

/* Valid as long as the library is loaded. */
typedef struct plr_plugin_host {
  uint32_t struct_size;
  uint32_t api_version; /* PLR_DEVICE_API of the library */
  void *(*alloc)(plr_context *ctx,
                 size_t size); /* of the context, 64-byte aligned; NULL on failure */
  void (*free)(plr_context *ctx, void *ptr);
  plr_context *(*context_ref)(plr_context *ctx);
  void (*context_unref)(plr_context *ctx);
  void (*log)(plr_context *ctx, uint32_t level, const char *module, const char *line);
} plr_plugin_host;

/* Devices that average a vector: replicas of a stage, one rank each. */
typedef struct plr_device_group plr_device_group;

#define PLR_GROUP_ID_BYTES  128
#define PLR_GROUP_MAX_RANKS 64

typedef struct plr_device_plugin {
  uint32_t struct_size;
  uint32_t api_version; /* PLR_DEVICE_API the plugin was built with; another one is refused */
  const char *name;

  /* Opens device `ordinal`. Errors: UNAVAILABLE (no driver, no device, one that does not compute in profile
   * `exact`), NO_MEMORY. */
  plr_status (*open)(const plr_plugin_host *host, plr_context *ctx, uint32_t ordinal,
                     plr_device **out, plr_error *err);

  /* A group: one rank makes an id and gives it to the others by whatever way the host has; then every rank calls
   * group_create, on a thread of its own, which returns when all have. The device must outlive the group.
   * Errors: UNAVAILABLE (no collective library), INVALID_ARGUMENT, NO_MEMORY. */
  plr_status (*group_id)(uint8_t id[PLR_GROUP_ID_BYTES], plr_error *err);
  plr_status (*group_create)(plr_device *device, const uint8_t id[PLR_GROUP_ID_BYTES],
                             uint32_t rank, uint32_t ranks, plr_device_group **out, plr_error *err);

  /* x (n values of device memory) becomes, on every rank, the chain over ranks in increasing order of
   * fma(weight[rank], x of that rank, sum) from +0: the same bits on all. weights: one a rank, in host memory, the
   * same on all. Every rank calls it with the same n. Errors: UNAVAILABLE, INVALID_ARGUMENT. */
  plr_status (*group_average)(plr_device_group *group, float *x, int64_t n, const float *weights);
  void (*group_destroy)(plr_device_group *group);
} plr_device_plugin;

typedef const plr_device_plugin *(*plr_device_plugin_fn)(void);

/* Loads the plugin of a device name and says which of its devices is meant.
 *
 *   cuda              device 0, the plugin found as below
 *   cuda:1            device 1
 *   cuda:PATH         device 0 of the plugin at PATH (which contains a '/')
 *   cuda:1:PATH
 *
 * Without a path, libpluralis-cuda.so is looked for in the folder `pluralis` beside the library, beside the library,
 * and in the folder this build installs plugins to. A plugin stays loaded: its devices run code in it.
 * Errors: NOT_FOUND (no such file; the message says where it was looked for), UNAVAILABLE (it cannot be loaded),
 * UNSUPPORTED (not a plugin, or built for another API version; the message says both), INVALID_ARGUMENT (a name
 * that is none of the above). */
plr_status plr__plugin_load(const char *name, const plr_device_plugin **out, uint32_t *ordinal,
                            plr_error *err);

/* plr__plugin_load, then open. */
plr_status plr__plugin_open(plr_context *ctx, const char *name, plr_device **out, plr_error *err);

#endif
