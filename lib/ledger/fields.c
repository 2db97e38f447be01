/* Bodies of entries and records of the state are structs of fixed fields: one table each says how it is read, written
 * and shown. */
#include "ledger/ledger_int.h"

#include <string.h>

static uint32_t width_of(uint8_t kind) {
  static const uint8_t width[] = {1, 2, 4, 8, 16, 20, 32};
  return width[kind];
}

static void read_blob(plr_reader *r, uint8_t *at) {
  uint64_t len = plr__read_be16(r);
  const uint8_t *data = plr__read_bytes(r, (size_t)len);
  memcpy(at, &data, sizeof data);
  memcpy(at + 2 * sizeof data, &len, sizeof len);
}

/* The bytes are there. */
static inline void read_fixed(uint8_t *at, uint8_t kind, const uint8_t *p) {
  uint32_t small;
  uint64_t large;
  plr__u128 largest;
  switch (kind) {
  case PLR__FIELD_U8:
  case PLR__FIELD_U16:
  case PLR__FIELD_U32:
    small = kind == PLR__FIELD_U8    ? p[0]
            : kind == PLR__FIELD_U16 ? plr__load_be16(p)
                                     : plr__load_be32(p);
    memcpy(at, &small, sizeof small);
    return;
  case PLR__FIELD_U64:
    large = plr__load_be64(p);
    memcpy(at, &large, sizeof large);
    return;
  case PLR__FIELD_U128:
    largest = (plr__u128)plr__load_be64(p) << 64 | plr__load_be64(p + 8);
    memcpy(at, &largest, sizeof largest);
    return;
  case PLR__FIELD_20:
    memcpy(at, p, 20);
    return;
  default:
    memcpy(at, p, 32);
  }
}

/* Replay reads a dozen records an entry: one look at the length a field, no calls. */
plr_status plr__fields_read(plr_reader *r, const plr__fields *t, void *out) {
  for (uint32_t i = 0; i < t->count && !r->failed; i++) {
    const plr__field *f = &t->fields[i];
    uint8_t *at = (uint8_t *)out + f->offset;
    if (f->kind == PLR__FIELD_BLOB) {
      read_blob(r, at);
      continue;
    }
    size_t width = f->kind == PLR__FIELD_ALGORITHM ? 1 : width_of(f->kind);
    if (r->len - r->pos < width) {
      r->failed = 1;
      break;
    }
    const uint8_t *p = r->data + r->pos;
    r->pos += width;
    if (f->kind == PLR__FIELD_ALGORITHM) {
      if (*p != PLR__ALG_ED25519) return PLR_ERR_VERSION;
    } else {
      read_fixed(at, f->kind, p);
    }
  }
  return PLR_OK;
}

static uint64_t number_at(const uint8_t *at, uint8_t kind) {
  uint32_t small;
  uint64_t large;
  if (kind == PLR__FIELD_U64) {
    memcpy(&large, at, sizeof large);
    return large;
  }
  memcpy(&small, at, sizeof small);
  return small;
}

static plr_status write_blob(plr_buffer *b, const uint8_t *at) {
  const uint8_t *data;
  uint64_t len;
  memcpy(&data, at, sizeof data);
  memcpy(&len, at + 2 * sizeof data, sizeof len);
  if (len > UINT16_MAX || (!data && len)) return PLR_ERR_INVALID_ARGUMENT;
  plr__buffer_be16(b, (uint16_t)len);
  if (len) plr__buffer_put(b, data, (size_t)len);
  return PLR_OK;
}

static plr_status write_number(plr_buffer *b, const uint8_t *at, uint8_t kind) {
  uint64_t v = number_at(at, kind);
  if (kind == PLR__FIELD_U64)
    plr__buffer_be64(b, v);
  else if (kind == PLR__FIELD_U32)
    plr__buffer_be32(b, (uint32_t)v);
  else if (kind == PLR__FIELD_U16 && v <= UINT16_MAX)
    plr__buffer_be16(b, (uint16_t)v);
  else if (kind == PLR__FIELD_U8 && v <= UINT8_MAX)
    plr__buffer_u8(b, (uint8_t)v);
  else
    return PLR_ERR_INVALID_ARGUMENT;
  return PLR_OK;
}

static plr_status write_one(plr_buffer *b, const uint8_t *at, uint8_t kind) {
  plr__u128 large;
  switch (kind) {
  case PLR__FIELD_ALGORITHM:
    plr__buffer_u8(b, PLR__ALG_ED25519);
    return PLR_OK;
  case PLR__FIELD_BLOB:
    return write_blob(b, at);
  case PLR__FIELD_20:
  case PLR__FIELD_32:
    plr__buffer_put(b, at, width_of(kind));
    return PLR_OK;
  case PLR__FIELD_U128:
    memcpy(&large, at, sizeof large);
    plr__buffer_be128(b, large);
    return PLR_OK;
  default:
    return write_number(b, at, kind);
  }
}

plr_status plr__fields_write(plr_buffer *b, const plr__fields *t, const void *in,
                             const char **bad) {
  for (uint32_t i = 0; i < t->count; i++) {
    const plr__field *f = &t->fields[i];
    if (write_one(b, (const uint8_t *)in + f->offset, f->kind) == PLR_OK) continue;
    if (bad) *bad = f->name;
    return PLR_ERR_INVALID_ARGUMENT;
  }
  return b->failed ? PLR_ERR_NO_MEMORY : PLR_OK;
}

/* ---- for people ------------------------------------------------------------------------------- */

void plr__json_hex(plr_buffer *b, const char *name, const void *data, size_t len) {
  char text[65];
  plr__buffer_printf(b, ", \"%s\": \"", name);
  for (size_t at = 0; at < len; at += 32) {
    size_t n = PLR_MIN(len - at, (size_t)32);
    plr__hex_encode((const uint8_t *)data + at, n, text);
    plr__buffer_put(b, text, 2 * n);
  }
  plr__buffer_put(b, "\"", 1);
}

void plr__json_u128(plr_buffer *b, const char *name, plr__u128 v) {
  char digits[40];
  size_t at = sizeof digits;
  do {
    digits[--at] = (char)('0' + (int)(v % 10));
    v /= 10;
  } while (v);
  plr__buffer_printf(b, ", \"%s\": \"%.*s\"", name, (int)(sizeof digits - at), digits + at);
}

static void json_one(plr_buffer *b, const plr__field *f, const uint8_t *at) {
  plr__u128 large;
  const uint8_t *data;
  uint64_t len;
  switch (f->kind) {
  case PLR__FIELD_ALGORITHM:
    plr__buffer_printf(b, ", \"algorithm\": \"Ed25519\"");
    return;
  case PLR__FIELD_BLOB:
    memcpy(&data, at, sizeof data);
    memcpy(&len, at + 2 * sizeof data, sizeof len);
    plr__json_hex(b, f->name, data, (size_t)len);
    return;
  case PLR__FIELD_20:
  case PLR__FIELD_32:
    plr__json_hex(b, f->name, at, width_of(f->kind));
    return;
  case PLR__FIELD_U128:
    memcpy(&large, at, sizeof large);
    plr__json_u128(b, f->name, large);
    return;
  case PLR__FIELD_U64:
    plr__json_u128(b, f->name, number_at(at, f->kind));
    return;
  default:
    plr__buffer_printf(b, ", \"%s\": %u", f->name, (unsigned)number_at(at, f->kind));
  }
}

void plr__fields_json(plr_buffer *b, const plr__fields *t, const void *in) {
  for (uint32_t i = 0; i < t->count; i++)
    json_one(b, &t->fields[i], (const uint8_t *)in + t->fields[i].offset);
}
