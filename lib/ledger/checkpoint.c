/* Checkpoints (C2SP tlog-checkpoint v1.0.0): a signed note of origin, size and root, and nothing more. */
#include "ledger/ledger_int.h"

#include <stdio.h>
#include <string.h>

plr_status plr__checkpoint_sign(plr_buffer *out, const char *origin, uint64_t size,
                                const plr_hash *root, const plr_identity *identity) {
  char text[PLR__MAX_ORIGIN + 96], encoded[45];
  plr__base64_encode(root->bytes, 32, encoded);
  int n = snprintf(text, sizeof text, "%s\n%llu\n%s\n", origin, (unsigned long long)size, encoded);
  return plr__note_sign(out, text, (size_t)n, origin, identity);
}

int plr__next_line(const char **at, const char *end, const char **line, size_t *len) {
  const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
  if (!newline) return 0;
  *line = *at;
  *len = (size_t)(newline - *at);
  *at = newline + 1;
  return 1;
}

int plr__read_size(const char *line, size_t len, uint64_t *out) {
  uint64_t v = 0;
  if (len == 0 || len > 19 || (line[0] == '0' && len > 1)) return 0;
  for (size_t i = 0; i < len; i++) {
    if (line[i] < '0' || line[i] > '9') return 0;
    v = v * 10 + (uint64_t)(line[i] - '0');
  }
  *out = v;
  return v <= INT64_MAX;
}

static plr_status read_body(const char *text, size_t len, const char *origin, uint64_t *size,
                            plr_hash *root, plr_error *err) {
  const char *at = text, *end = text + len, *line;
  size_t n;
  if (!plr__next_line(&at, end, &line, &n) || n == 0)
    return plr__fail(err, PLR_ERR_MALFORMED, "checkpoint", "no origin line");
  if (n != strlen(origin) || memcmp(line, origin, n) != 0)
    return plr__fail(err, PLR_ERR_MISMATCH, "checkpoint", "the log is not %s", origin);
  if (!plr__next_line(&at, end, &line, &n) || !plr__read_size(line, n, size))
    return plr__fail(err, PLR_ERR_MALFORMED, "checkpoint", "the second line is not a size");
  if (!plr__next_line(&at, end, &line, &n) || plr__base64_decode(line, n, root->bytes, 32) != 32)
    return plr__fail(err, PLR_ERR_MALFORMED, "checkpoint", "the third line is not a root");
  while (plr__next_line(&at, end, &line, &n)) /* extension lines may follow, never empty */
    if (n == 0) return plr__fail(err, PLR_ERR_MALFORMED, "checkpoint", "an empty line");
  return PLR_OK;
}

plr_status plr_log_verify_checkpoint(const char *note, size_t len, const char *origin,
                                     const uint8_t public_key[32], uint64_t *size, plr_hash *root,
                                     plr_error *err) {
  size_t text_len;
  uint64_t got_size = 0;
  plr_hash got_root;
  if (!note || !origin || !public_key || !plr__name_ok(origin, PLR__MAX_ORIGIN))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "checkpoint",
                     "note, origin or key is not usable");
  PLR_TRY(plr__note_open(note, len, origin, public_key, &text_len, err));
  PLR_TRY(read_body(note, text_len, origin, &got_size, &got_root, err));
  if (size) *size = got_size;
  if (root) *root = got_root;
  return PLR_OK;
}
