/* Finds a device by name. */
#include "backend/backend_int.h"

#include <string.h>

plr_status plr__device_open(plr_context *ctx, const char *name, plr_device **out, plr_error *err) {
  *out = NULL;
  if (strcmp(name, "cpu") == 0) return plr__cpu_open(ctx, out, err);
  return plr__fail(err, PLR_ERR_NOT_FOUND, "device", "no device \"%.48s\"; there is: cpu", name);
}
