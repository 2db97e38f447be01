/* Formats a line and hands it to the host. */
#include "base/base_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void plr__log(plr_context *ctx, uint32_t level, const char *module, const char *fmt, ...) {
  if (!ctx || !ctx->logger.write || level > ctx->log_level) return;
  char line[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  plr__text_clean(line);
  ctx->logger.write(ctx->logger.user, level, module, line, strlen(line));
}
