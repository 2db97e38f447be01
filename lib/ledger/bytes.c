/* Small helpers on bytes that only the ledger needs. */
#include "ledger/ledger_int.h"

#include <string.h>

void plr__read_into(plr_reader *r, void *out, size_t len) {
  const uint8_t *p = plr__read_bytes(r, len);
  if (p)
    memcpy(out, p, len);
  else
    memset(out, 0, len);
}

plr__u128 plr__read_be128(plr_reader *r) {
  plr__u128 hi = plr__read_be64(r);
  return hi << 64 | plr__read_be64(r);
}

void plr__buffer_be128(plr_buffer *b, plr__u128 v) {
  plr__buffer_be64(b, (uint64_t)(v >> 64));
  plr__buffer_be64(b, (uint64_t)v);
}

plr_units plr__units(plr__u128 v) {
  plr_units u = {(uint64_t)v, (uint64_t)(v >> 64)};
  return u;
}

int plr__is_zero(const void *data, size_t len) {
  const uint8_t *p = data;
  uint8_t any = 0;
  for (size_t i = 0; i < len; i++) any |= p[i];
  return any == 0;
}

int plr__name_ok(const char *text, size_t max) {
  size_t n = 0;
  for (; n <= max && text[n]; n++)
    if (text[n] <= 0x20 || text[n] > 0x7e || text[n] == '+') return 0;
  return n > 0 && n <= max;
}

plr_status plr__copy_out(const plr_buffer *from, void *buf, size_t cap, size_t *len,
                         plr_error *err) {
  if (from->failed) return plr__no_memory(err, "ledger");
  *len = from->len;
  if (from->len > cap)
    return plr__fail(err, PLR_ERR_BUFFER_TOO_SMALL, "buffer", "%zu bytes are needed, %zu given",
                     from->len, cap);
  if (from->len) memcpy(buf, from->data, from->len);
  return PLR_OK;
}

int plr__is_refusal(plr_status st) {
  return st < 0 && (st > -100 || (st <= -200 && st > -300));
}
