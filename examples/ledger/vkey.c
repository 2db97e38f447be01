/* Verifier keys of C2SP signed notes: name+hash+base64(type, key). */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#define KEY_TEXT 44 /* base64 of 33 bytes */

static int sextet(char ch) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = ch ? strchr(alphabet, ch) : NULL;
  return at ? (int)(at - alphabet) : -1;
}

static int decode(const char *text, uint8_t out[33]) {
  for (int i = 0; i < 11; i++) {
    uint32_t v = 0;
    for (int j = 0; j < 4; j++) {
      int s = sextet(text[4 * i + j]);
      if (s < 0) return -1;
      v = v << 6 | (uint32_t)s;
    }
    out[3 * i] = (uint8_t)(v >> 16), out[3 * i + 1] = (uint8_t)(v >> 8),
            out[3 * i + 2] = (uint8_t)v;
  }
  return 0;
}

int cli_vkey(struct cli *c, const char *text, int type, struct vkey *out) {
  uint8_t blob[33];
  const char *plus = text ? strchr(text, '+') : NULL;
  size_t name = plus ? (size_t)(plus - text) : 0;
  /* The one way to write a key is the library's: write it again and compare. */
  char again[256];
  size_t len = 0;
  if (!name || name >= sizeof out->name || strlen(plus) != 1 + 8 + 1 + KEY_TEXT ||
      decode(plus + 10, blob) != 0)
    return cli_fail(c, "'%.60s' is not a verifier key: name+hash+key", text ? text : "");
  memcpy(out->name, text, name);
  out->name[name] = 0;
  memcpy(out->key, blob + 1, 32);
  plr_status st = type == VKEY_LOG
                      ? plr_log_vkey(out->name, out->key, again, sizeof again, &len)
                      : plr_log_cosigner_vkey(out->name, out->key, again, sizeof again, &len);
  if (st == PLR_OK && blob[0] == type && !strcmp(again, text)) return 0;
  return cli_fail(c, "'%.60s...' is not the verifier key of a %s: %s", text,
                  type == VKEY_LOG ? "log" : "witness",
                  blob[0] != type ? "it is of another type" : "its parts do not fit each other");
}

int cli_log_key(struct cli *c, struct vkey *out) {
  if (!c->o.vkey)
    return cli_fail(c,
                    "--vkey is needed: without the log's key there is nothing to verify against");
  return cli_vkey(c, c->o.vkey, VKEY_LOG, out);
}

int cli_witnesses(struct cli *c, struct vkey names[CLI_WITNESSES],
                  plr_witness_key keys[CLI_WITNESSES], uint32_t *count) {
  *count = 0;
  for (const char *at = c->o.witness; at && *at;) {
    char one[256];
    size_t len = strcspn(at, ",");
    if (*count == CLI_WITNESSES) return cli_fail(c, "--witness: more than %d keys", CLI_WITNESSES);
    if (len >= sizeof one) return cli_fail(c, "--witness: '%.60s...' is too long", at);
    memcpy(one, at, len);
    one[len] = 0;
    CLI_TRY(cli_vkey(c, one, VKEY_WITNESS, &names[*count]));
    keys[*count].name = names[*count].name;
    memcpy(keys[*count].public_key, names[*count].key, 32);
    ++*count;
    at += len + (at[len] == ',');
  }
  if (c->o.quorum <= *count) return 0;
  return cli_fail(c, "--quorum %llu: there are %u witnesses", (unsigned long long)c->o.quorum,
                  *count);
}
