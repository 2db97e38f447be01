#include "control.h"

#include <math.h>
#include <string.h>

/* One table says which fields a message has, in order; writer and reader both walk it, so they cannot disagree.
 * Letters: S step  m micro_batch  w stage  k kind  f flags  i index  b first_block  c status  o token  t top_k
 *          E epoch  r root_step  R root  T temperature  d seed  p position  L loss  F frames  G signature  D data */
typedef struct layout {
  const char *name, *fields;
} layout;

static const layout layouts[PLR__CONTROL_TYPES] = {
    [PLR__CONTROL_SNAPSHOT] = {"snapshot", "S"},
    [PLR__CONTROL_OPEN] = {"open", "SfErR"},
    [PLR__CONTROL_SAMPLE] = {"sample", "itTdp"},
    [PLR__CONTROL_STOP] = {"stop", "Sf"},
    [PLR__CONTROL_DONE] = {"done", ""},
    [PLR__CONTROL_LOSS] = {"loss", "kSmL"},
    [PLR__CONTROL_TOKEN] = {"token", "io"},
    [PLR__CONTROL_LEAVES] = {"leaves", "SbD"},
    [PLR__CONTROL_PROPOSAL] = {"proposal", "wSmFGD"},
    [PLR__CONTROL_SIGNATURE] = {"signature", "wSmG"},
    [PLR__CONTROL_REFUSAL] = {"refusal", "wSmD"},
    [PLR__CONTROL_RECEIPT] = {"receipt", "wSmD"},
    [PLR__CONTROL_MISSING] = {"missing", "wSmD"},
    [PLR__CONTROL_ENTRY] = {"entry", "D"},
    [PLR__CONTROL_FAIL] = {"fail", "wcD"},
    [PLR__CONTROL_FINISHED] = {"finished", "Sm"},
    [PLR__CONTROL_HELLO] = {"hello", "wtikS"},
    [PLR__CONTROL_DROP] = {"drop", "Smc"},
    [PLR__CONTROL_AGAIN] = {"again", "Sm"},
    [PLR__CONTROL_ASK] = {"ask", "Sm"},
    [PLR__CONTROL_HAVE] = {"have", "Smk"},
    [PLR__CONTROL_COMMIT] = {"commit", "SD"},
};

const char *plr__control_name(uint32_t type) {
  return type < PLR__CONTROL_TYPES && layouts[type].name ? layouts[type].name : "?";
}

static void write_field(plr_buffer *out, char field, const plr__control *c) {
  uint32_t bits32;
  uint64_t bits64;
  switch (field) {
  case 'S':
    plr__buffer_le64(out, c->step);
    break;
  case 'm':
    plr__buffer_le32(out, c->micro_batch);
    break;
  case 'w':
    plr__buffer_le32(out, c->stage);
    break;
  case 'k':
    plr__buffer_le32(out, c->kind);
    break;
  case 'f':
    plr__buffer_le32(out, c->flags);
    break;
  case 'i':
    plr__buffer_le32(out, c->index);
    break;
  case 'b':
    plr__buffer_le32(out, c->first_block);
    break;
  case 'c':
    plr__buffer_le32(out, (uint32_t)c->status);
    break;
  case 'o':
    plr__buffer_le32(out, (uint32_t)c->token);
    break;
  case 't':
    plr__buffer_le32(out, c->top_k);
    break;
  case 'E':
    plr__buffer_le64(out, c->epoch);
    break;
  case 'r':
    plr__buffer_le64(out, c->root_step);
    break;
  case 'R':
    plr__buffer_put(out, c->root.bytes, sizeof c->root.bytes);
    break;
  case 'T':
    memcpy(&bits32, &c->temperature, sizeof bits32);
    plr__buffer_le32(out, bits32);
    break;
  case 'd':
    plr__buffer_le64(out, c->seed);
    break;
  case 'p':
    plr__buffer_le64(out, c->position);
    break;
  case 'L':
    memcpy(&bits64, &c->loss, sizeof bits64);
    plr__buffer_le64(out, bits64);
    break;
  case 'F':
    plr__buffer_put(out, c->frames, sizeof c->frames);
    break;
  case 'G':
    plr__buffer_put(out, c->signature, sizeof c->signature);
    break;
  default: /* 'D' */
    plr__buffer_le32(out, c->data_len);
    plr__buffer_put(out, c->data, c->data_len);
    break;
  }
}

void plr__control_write(plr_buffer *out, const plr__control *c) {
  plr__buffer_u8(out, PLR__CONTROL_VERSION);
  plr__buffer_u8(out, (uint8_t)c->type);
  plr__buffer_le16(out, 0);
  for (const char *f = layouts[c->type].fields; *f; f++) write_field(out, *f, c);
}

static void read_into(plr_reader *r, void *out, size_t len) {
  const uint8_t *p = plr__read_bytes(r, len);
  if (p) memcpy(out, p, len);
}

static void read_field(plr_reader *r, char field, plr__control *c) {
  uint32_t bits32;
  uint64_t bits64;
  switch (field) {
  case 'S':
    c->step = plr__read_le64(r);
    break;
  case 'm':
    c->micro_batch = plr__read_le32(r);
    break;
  case 'w':
    c->stage = plr__read_le32(r);
    break;
  case 'k':
    c->kind = plr__read_le32(r);
    break;
  case 'f':
    c->flags = plr__read_le32(r);
    break;
  case 'i':
    c->index = plr__read_le32(r);
    break;
  case 'b':
    c->first_block = plr__read_le32(r);
    break;
  case 'c':
    c->status = (int32_t)plr__read_le32(r);
    break;
  case 'o':
    c->token = (int32_t)plr__read_le32(r);
    break;
  case 't':
    c->top_k = plr__read_le32(r);
    break;
  case 'E':
    c->epoch = plr__read_le64(r);
    break;
  case 'r':
    c->root_step = plr__read_le64(r);
    break;
  case 'R':
    read_into(r, c->root.bytes, sizeof c->root.bytes);
    break;
  case 'T':
    bits32 = plr__read_le32(r);
    memcpy(&c->temperature, &bits32, sizeof bits32);
    break;
  case 'd':
    c->seed = plr__read_le64(r);
    break;
  case 'p':
    c->position = plr__read_le64(r);
    break;
  case 'L':
    bits64 = plr__read_le64(r);
    memcpy(&c->loss, &bits64, sizeof bits64);
    break;
  case 'F':
    read_into(r, c->frames, sizeof c->frames);
    break;
  case 'G':
    read_into(r, c->signature, sizeof c->signature);
    break;
  default: /* 'D' */
    c->data_len = plr__read_le32(r);
    c->data = plr__read_bytes(r, c->data_len);
    break;
  }
}

/* Bounds that a layout cannot say. */
static plr_status check(const plr__control *c, plr_error *err) {
  const char *where = plr__control_name(c->type);
  switch (c->type) {
  case PLR__CONTROL_OPEN:
  case PLR__CONTROL_STOP:
    if (c->flags & ~PLR__CONTROL_FLAG_SNAPSHOT)
      return plr__fail(err, PLR_ERR_MALFORMED, where, "unknown flags %#x", (unsigned)c->flags);
    break;
  case PLR__CONTROL_SAMPLE:
    if (!isfinite(c->temperature) || c->temperature < 0)
      return plr__fail(err, PLR_ERR_NON_FINITE, where, "temperature is not a number >= 0");
    break;
  case PLR__CONTROL_LOSS:
    if (c->kind > PLR__KIND_EVALUATE)
      return plr__fail(err, PLR_ERR_MALFORMED, where, "unknown kind %u", (unsigned)c->kind);
    if (!isfinite(c->loss)) return plr__fail(err, PLR_ERR_NON_FINITE, where, "loss is not finite");
    break;
  case PLR__CONTROL_DROP:
    if (c->status >= 0)
      return plr__fail(err, PLR_ERR_MALFORMED, where, "status %d is no reason", (int)c->status);
    break;
  case PLR__CONTROL_HAVE:
    if (c->kind > 1)
      return plr__fail(err, PLR_ERR_MALFORMED, where, "answer %u", (unsigned)c->kind);
    break;
  case PLR__CONTROL_LEAVES:
    if (c->data_len == 0 || c->data_len % 32 != 0)
      return plr__fail(err, PLR_ERR_MALFORMED, where, "%u bytes are no list of hashes",
                       (unsigned)c->data_len);
    break;
  case PLR__CONTROL_REFUSAL:
  case PLR__CONTROL_MISSING:
  case PLR__CONTROL_FAIL:
    if (c->data_len > PLR__CONTROL_MAX_TEXT)
      return plr__fail(err, PLR_ERR_LIMIT, where, "text of %u bytes", (unsigned)c->data_len);
    break;
  default:
    break;
  }
  return PLR_OK;
}

plr_status plr__control_parse(plr__control *c, const void *payload, size_t len, plr_error *err) {
  memset(c, 0, sizeof *c);
  if (len > PLR__CONTROL_MAX)
    return plr__fail(err, PLR_ERR_LIMIT, "control", "message of %zu bytes", len);
  plr_reader r;
  plr__reader_init(&r, payload, len);
  uint32_t version = plr__read_u8(&r), type = plr__read_u8(&r), zero = plr__read_le16(&r);
  if (r.failed) return plr__fail(err, PLR_ERR_TRUNCATED, "control", "message of %zu bytes", len);
  if (version != PLR__CONTROL_VERSION)
    return plr__fail(err, PLR_ERR_VERSION, "control", "version %u, this build reads %u",
                     (unsigned)version, PLR__CONTROL_VERSION);
  if (type >= PLR__CONTROL_TYPES || !layouts[type].name || zero != 0)
    return plr__fail(err, PLR_ERR_MALFORMED, "control", "unknown type %u", (unsigned)type);
  c->type = type;
  for (const char *f = layouts[type].fields; *f; f++) read_field(&r, *f, c);
  if (r.failed)
    return plr__fail_at(err, PLR_ERR_TRUNCATED, layouts[type].name, len, "%zu bytes are too few",
                        len);
  if (!plr__reader_done(&r))
    return plr__fail_at(err, PLR_ERR_MALFORMED, layouts[type].name, r.pos,
                        "%zu bytes are left over", len - r.pos);
  if (c->data_len > PLR__CONTROL_MAX_ENTRY)
    return plr__fail(err, PLR_ERR_LIMIT, layouts[type].name, "%u bytes", (unsigned)c->data_len);
  return check(c, err);
}
