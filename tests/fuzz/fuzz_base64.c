/* Whatever decodes must encode to the very same text: one text per value. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t cap = size / 4 * 3;
  uint8_t *bytes = malloc(cap ? cap : 1);
  char *text = malloc(cap / 3 * 4 + 1);
  if (!bytes || !text) abort();
  int64_t n = plr__base64_decode((const char *)data, size, bytes, cap);
  if (n >= 0) {
    size_t len = plr__base64_encode(bytes, (size_t)n, text);
    if (len != size || memcmp(text, data, size) != 0) abort();
  }
  free(bytes);
  free(text);
  return 0;
}
