/* XXH3-64 by libxxhash. */
#include "base/base.h"

#include <xxhash.h>

uint64_t plr__xxh3_64(const void *data, size_t len) {
  return XXH3_64bits(data, len);
}
