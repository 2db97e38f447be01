/* For tests and fuzz entries that change frames: checksums made right again. */
#ifndef PLR_TEST_FRAME_FIX_H
#define PLR_TEST_FRAME_FIX_H

#include "exchange/exchange_int.h"

/* Header and every chunk; stops where lengths make no sense. */
static inline void test_fix_frame(uint8_t *p, size_t len) {
  if (len < PLR_FRAME_HEADER) return;
  uint32_t header = plr__load_le16(p + 6);
  if (header < PLR_FRAME_HEADER || header > len) return;
  plr__store_le32(p + 60, 0);
  plr__store_le32(p + 60, plr__crc32c(0, p, header));
  for (size_t at = header; len - at >= PLR_CHUNK_HEADER;) {
    size_t n = plr__load_le32(p + at);
    if (n > len - at - PLR_CHUNK_HEADER) return;
    uint32_t crc = plr__crc32c(0, p + at, 16);
    plr__store_le32(p + at + 16, plr__crc32c(crc, p + at + PLR_CHUNK_HEADER, n));
    at += PLR_CHUNK_HEADER + n;
  }
}

#endif
