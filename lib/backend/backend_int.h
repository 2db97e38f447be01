/* The devices built into the library. */
#ifndef PLR_BACKEND_BACKEND_INT_H
#define PLR_BACKEND_BACKEND_INT_H

#include "backend/backend.h"

plr_status plr__cpu_open(plr_context *ctx, plr_device **out, plr_error *err);

#endif
