/* Option structs that grow: the first field, struct_size, is the size the caller compiled. */
#include "base/base.h"

#include <string.h>

/* No option struct comes near this; a size above it is an uninitialised struct, whose tail is not
 * safe to look at. */
#define PLR_MAX_OPTIONS_SIZE 4096u

static int all_zero(const uint8_t *p, size_t len) {
  uint8_t any = 0;
  for (size_t i = 0; i < len; i++) any |= p[i];
  return any == 0;
}

plr_status plr__options_read(void *out, uint32_t known_size, const void *options, const char *where,
                             plr_error *err) {
  if (!options) return PLR_OK;
  uint32_t size;
  memcpy(&size, options, sizeof size);
  if (size < sizeof size || size > PLR_MAX_OPTIONS_SIZE)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "struct_size is %u; fill the options with their _init function first", size);
  if (size > known_size && !all_zero((const uint8_t *)options + known_size, size - known_size))
    return plr__fail(
        err, PLR_ERR_UNSUPPORTED, where,
        "an option of a newer version is set: struct_size is %u, this version knows %u", size,
        known_size);
  memcpy(out, options, PLR_MIN(size, known_size));
  memcpy(out, &known_size, sizeof known_size);
  return PLR_OK;
}

plr_status plr__record_write(void *record, const void *full, uint32_t known_size,
                             uint32_t first_size) {
  uint32_t size;
  memcpy(&size, record, sizeof size);
  if (size == 0) size = first_size;
  if (size < sizeof size || size > PLR_MAX_OPTIONS_SIZE) return PLR_ERR_INVALID_ARGUMENT;
  memset(record, 0, size);
  memcpy(record, full, PLR_MIN(size, known_size));
  memcpy(record, &size, sizeof size);
  return PLR_OK;
}

void plr__options_init(void *options, uint32_t struct_size, void *defaults, uint32_t known_size) {
  if (!options || struct_size < sizeof struct_size) return;
  memset(options, 0, struct_size);
  memcpy(options, defaults, PLR_MIN(struct_size, known_size));
  memcpy(options, &struct_size, sizeof struct_size);
}
