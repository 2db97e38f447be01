/* C2SP signed notes (signed-note v1.0.0), Ed25519 only.
 *
 * A note is a text that ends with a newline, an empty line, and signature lines "— name base64(id ‖ signature)".
 * Signatures by keys that are not asked for are ignored; one by the key that is asked for must hold. */
#include "ledger/ledger_int.h"

#include <stdio.h>
#include <string.h>

#define ED25519_NOTE   0x01u
#define NOTE_MAX_LINES 128u

#define DASH "\xe2\x80\x94 " /* U+2014 and a space */
const char plr__note_dash[] = DASH;

void plr__key_id(const char *name, uint8_t type, const uint8_t key[32], uint8_t out[4]) {
  const uint8_t between[2] = {0x0a, type};
  plr_hash h;
  plr_sha256_state s;
  plr__sha256_init(&s);
  plr__sha256_update(&s, name, strlen(name));
  plr__sha256_update(&s, between, sizeof between);
  plr__sha256_update(&s, key, 32);
  plr__sha256_final(&s, &h);
  memcpy(out, h.bytes, 4);
}

void plr__note_key_id(const char *name, const uint8_t key[32], uint8_t out[4]) {
  plr__key_id(name, ED25519_NOTE, key, out);
}

plr_status plr__note_sign(plr_buffer *out, const char *text, size_t len, const char *name,
                          const plr_identity *identity) {
  uint8_t key[32], blob[4 + 64];
  char encoded[96 + 1];
  plr_identity_public_key(identity, key);
  plr__note_key_id(name, key, blob);
  plr_identity_sign(identity, text, len, blob + 4);
  plr__base64_encode(blob, sizeof blob, encoded);
  plr__buffer_put(out, text, len);
  return plr__buffer_printf(out, "\n%s%s %s\n", plr__note_dash, name, encoded);
}

/* Valid UTF-8 with no character below U+0020 but newline. */
static int text_ok(const uint8_t *p, size_t len) {
  for (size_t i = 0; i < len;) {
    size_t n = plr__utf8_length(p + i, len - i);
    if (n == 0 || (p[i] < 0x20 && p[i] != '\n')) return 0;
    i += n;
  }
  return 1;
}

/* Length of the text: up to and with the newline before the last empty line; 0 when there is none. */
static size_t find_text(const char *note, size_t len) {
  for (size_t i = len; i >= 2; i--)
    if (note[i - 1] == '\n' && note[i - 2] == '\n') return i - 1;
  return 0;
}

int plr__note_line_id(const char *base64, size_t len, const uint8_t id[4]) {
  uint8_t first[6];
  return len >= 8 && plr__base64_decode(base64, 8, first, sizeof first) >= 4 &&
         memcmp(first, id, 4) == 0;
}

typedef struct signature_line {
  const char *name, *base64; /* of key id and signature */
  size_t name_len, base64_len;
} signature_line;

static int line_read(const char *line, size_t len, signature_line *out) {
  size_t head = sizeof DASH - 1;
  if (len <= head || memcmp(line, DASH, head) != 0) return 0;
  const char *space = memchr(line + head, ' ', len - head);
  if (!space || space == line + head) return 0;
  out->name = line + head;
  out->name_len = (size_t)(space - out->name);
  if (memchr(out->name, '+', out->name_len)) return 0;
  out->base64 = space + 1;
  out->base64_len = len - head - out->name_len - 1;
  return out->base64_len >= 8 && out->base64_len % 4 == 0;
}

/* 1: of the key and good; 0: of another key; -1: not well formed; -2: of the key and bad. */
static int line_check(const char *line, size_t len, const char *note, size_t text_len,
                      const char *name, const uint8_t key[32]) {
  signature_line s;
  uint8_t id[4], blob[4 + 64];
  if (!line_read(line, len, &s)) return -1;
  if (s.name_len != strlen(name) || memcmp(s.name, name, s.name_len) != 0) return 0;
  plr__note_key_id(name, key, id);
  if (!plr__note_line_id(s.base64, s.base64_len, id)) return 0;
  if (plr__base64_decode(s.base64, s.base64_len, blob, sizeof blob) != sizeof blob) return -2;
  return plr_verify(key, note, text_len, blob + 4) == PLR_OK ? 1 : -2;
}

plr_status plr__note_split(const char *note, size_t len, size_t *text_len, plr_error *err) {
  if (len > PLR__NOTE_MAX || !text_ok((const uint8_t *)note, len))
    return plr__fail(err, PLR_ERR_MALFORMED, "note", "too long, or not clean UTF-8 text");
  size_t text = find_text(note, len);
  if (text == 0 || text + 1 >= len || note[len - 1] != '\n')
    return plr__fail(err, PLR_ERR_MALFORMED, "note", "no empty line before signature lines");
  *text_len = text;
  return PLR_OK;
}

plr_status plr__note_open(const char *note, size_t len, const char *name, const uint8_t key[32],
                          size_t *text_len, plr_error *err) {
  size_t text;
  PLR_TRY(plr__note_split(note, len, &text, err));
  size_t at = text + 1;
  uint32_t lines = 0, good = 0;
  while (at < len) {
    const char *end = memchr(note + at, '\n', len - at);
    size_t n = (size_t)(end - (note + at));
    int verdict = line_check(note + at, n, note, text, name, key);
    if (verdict == -1 || ++lines > NOTE_MAX_LINES)
      return plr__fail_at(err, PLR_ERR_MALFORMED, "note", at, "not a signature line");
    if (verdict == -2)
      return plr__fail_at(err, PLR_ERR_SIGNATURE, "note", at, "the signature of %s is wrong", name);
    good += verdict == 1;
    at += n + 1;
  }
  if (!good)
    return plr__fail(err, PLR_ERR_SIGNATURE, "note", "not signed by %s with the given key", name);
  *text_len = text;
  return PLR_OK;
}

plr_status plr__vkey_make(const char *name, uint8_t type, const uint8_t key[32], char *buf,
                          size_t cap, size_t *len) {
  uint8_t id[4], blob[33];
  char hex[9], encoded[45];
  if (!plr__name_ok(name, PLR__MAX_ORIGIN)) return PLR_ERR_INVALID_ARGUMENT;
  plr__key_id(name, type, key, id);
  plr__hex_encode(id, 4, hex);
  blob[0] = type;
  memcpy(blob + 1, key, 32);
  plr__base64_encode(blob, sizeof blob, encoded);
  *len = strlen(name) + 1 + 8 + 1 + 44;
  if (cap <= *len) return PLR_ERR_BUFFER_TOO_SMALL;
  snprintf(buf, cap, "%s+%s+%s", name, hex, encoded);
  return PLR_OK;
}

plr_status plr_log_vkey(const char *origin, const uint8_t public_key[32], char *buf, size_t cap,
                        size_t *len) {
  if (!origin || !public_key || !len || (!buf && cap)) return PLR_ERR_INVALID_ARGUMENT;
  return plr__vkey_make(origin, ED25519_NOTE, public_key, buf, cap, len);
}

plr_status plr__vkey_parse(const char *vkey, char *name, uint8_t key[32]) {
  uint8_t blob[33], id[4];
  char hex[9];
  const char *plus = strchr(vkey, '+');
  size_t name_len = plus ? (size_t)(plus - vkey) : 0;
  if (name_len == 0 || name_len > PLR__MAX_ORIGIN || strlen(plus) != 1 + 8 + 1 + 44 ||
      plus[9] != '+')
    return PLR_ERR_MALFORMED;
  if (plr__base64_decode(plus + 10, 44, blob, sizeof blob) != 33 || blob[0] != ED25519_NOTE)
    return PLR_ERR_MALFORMED;
  memcpy(name, vkey, name_len);
  name[name_len] = 0;
  memcpy(key, blob + 1, 32);
  plr__note_key_id(name, key, id);
  plr__hex_encode(id, 4, hex);
  return plr__name_ok(name, PLR__MAX_ORIGIN) && !memcmp(hex, plus + 1, 8) ? PLR_OK
                                                                          : PLR_ERR_MALFORMED;
}
