/* A reader that never runs past its end. */
#include "base/base.h"

void plr__reader_init(plr_reader *r, const void *data, size_t len) {
  r->data = data;
  r->len = len;
  r->pos = 0;
  r->failed = 0;
  r->reserved = 0;
}

const uint8_t *plr__read_bytes(plr_reader *r, size_t len) {
  if (r->failed || len > r->len - r->pos) {
    r->failed = 1;
    return NULL;
  }
  /* An empty read of an empty input succeeds too, so its pointer must not be NULL. */
  static const uint8_t nothing;
  const uint8_t *p = r->data ? r->data + r->pos : &nothing;
  r->pos += len;
  return p;
}

uint8_t plr__read_u8(plr_reader *r) {
  const uint8_t *p = plr__read_bytes(r, 1);
  return p ? *p : 0;
}

uint16_t plr__read_le16(plr_reader *r) {
  const uint8_t *p = plr__read_bytes(r, 2);
  return p ? plr__load_le16(p) : 0;
}

uint32_t plr__read_le32(plr_reader *r) {
  const uint8_t *p = plr__read_bytes(r, 4);
  return p ? plr__load_le32(p) : 0;
}

uint64_t plr__read_le64(plr_reader *r) {
  const uint8_t *p = plr__read_bytes(r, 8);
  return p ? plr__load_le64(p) : 0;
}

uint16_t plr__read_be16(plr_reader *r) {
  const uint8_t *p = plr__read_bytes(r, 2);
  return p ? plr__load_be16(p) : 0;
}

uint32_t plr__read_be32(plr_reader *r) {
  const uint8_t *p = plr__read_bytes(r, 4);
  return p ? plr__load_be32(p) : 0;
}

uint64_t plr__read_be64(plr_reader *r) {
  const uint8_t *p = plr__read_bytes(r, 8);
  return p ? plr__load_be64(p) : 0;
}

int plr__reader_done(const plr_reader *r) {
  return !r->failed && r->pos == r->len;
}
