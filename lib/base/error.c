/* The caller-owned detail of a failure. */
#include "base/base_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void plr_error_init(plr_error *err, uint32_t struct_size) {
  plr_error none = {0};
  if (err) plr__options_init(err, struct_size, &none, (uint32_t)sizeof none);
}

/* Size of plr_error in 0.1, which a struct_size of 0 stands for. */
#define ERROR_FIRST_SIZE 320u

/* Copies the fields that fit: a caller built against another version has another size. */
static void error_write(plr_error *err, const plr_error *full) {
  uint32_t size = err->struct_size ? err->struct_size : ERROR_FIRST_SIZE;
  size_t skip = sizeof full->struct_size;
  size_t end = PLR_MIN((size_t)size, sizeof *full);
  if (end > skip) memcpy((uint8_t *)err + skip, (const uint8_t *)full + skip, end - skip);
}

static void error_fill(plr_error *err, plr_status st, const char *where, uint64_t offset,
                       const char *fmt, va_list args) {
  plr_error full = {0};
  full.status = (int32_t)st;
  full.offset = offset;
  snprintf(full.where, sizeof full.where, "%s", where ? where : "");
  vsnprintf(full.message, sizeof full.message, fmt, args);
  plr__text_clean(full.where);
  plr__text_clean(full.message);
  error_write(err, &full);
}

plr_status plr__fail(plr_error *err, plr_status st, const char *where, const char *fmt, ...) {
  if (!err) return st;
  va_list args;
  va_start(args, fmt);
  error_fill(err, st, where, 0, fmt, args);
  va_end(args);
  return st;
}

plr_status plr__fail_at(plr_error *err, plr_status st, const char *where, uint64_t offset,
                        const char *fmt, ...) {
  if (!err) return st;
  va_list args;
  va_start(args, fmt);
  error_fill(err, st, where, offset, fmt, args);
  va_end(args);
  return st;
}

plr_status plr__no_memory(plr_error *err, const char *where) {
  return plr__fail(err, PLR_ERR_NO_MEMORY, where,
                   "out of memory, or over the context's max_memory");
}
