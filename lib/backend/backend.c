/* Finds a device by name. */
#include "backend/backend_int.h"
#include "backend/plugin.h"

#include <string.h>

plr_status plr__device_open(plr_context *ctx, const char *name, plr_device **out, plr_error *err) {
  *out = NULL;
  if (strcmp(name, "cpu") == 0) return plr__cpu_open(ctx, out, err);
  if (strcmp(name, "cuda") == 0 || strncmp(name, "cuda:", 5) == 0)
    return plr__plugin_open(ctx, name, out, err);
  return plr__fail(err, PLR_ERR_NOT_FOUND, "device", "no device \"%.48s\"; there are: cpu, cuda",
                   name);
}
