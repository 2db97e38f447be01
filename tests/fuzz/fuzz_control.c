/* Whatever parses must be written as the very same bytes. */
#include "stage/control.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  plr__control c;
  plr_error err = {.struct_size = sizeof err};
  plr_context *ctx = NULL;
  plr_buffer out;
  if (plr__control_parse(&c, data, size, &err) != PLR_OK) {
    if (err.message[0] == 0 || err.where[0] == 0) abort();
    return 0;
  }
  if (plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  plr__buffer_init(&out, ctx);
  plr__control_write(&out, &c);
  if (out.failed || out.len != size || memcmp(out.data, data, size) != 0) abort();
  plr__buffer_release(&out);
  plr_context_destroy(ctx);
  return 0;
}
