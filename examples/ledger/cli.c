#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "keys.h"

#define ENTRY_MODEL_AT                                                                             \
  58 /* of a ModelRegister, its model: after the header (lib/ledger/FORMAT.md) */

int cli_fail(struct cli *c, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(c->message, sizeof c->message, format, args);
  va_end(args);
  return -1;
}

int cli_failed(struct cli *c, const char *what, plr_status st) {
  int told = c->err.status == (int32_t)st && c->err.message[0];
  return cli_fail(c, "%s: %s%s%s (%s)", what, told ? c->err.where : "",
                  told && c->err.where[0] ? ": " : "",
                  told ? c->err.message : plr_status_message(st), plr_status_name(st));
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static int make_folder(struct cli *c, const char *path) {
  if (mkdir(path, 0777) == 0 || errno == EEXIST) return 0;
  return cli_fail(c, "%s: %s", path, strerror(errno));
}

int cli_key(struct cli *c, const char *name, plr_identity **out) {
  char dir[1024];
  if (!name) return cli_fail(c, "whose key? --as NAME");
  if (strlen(c->o.dir) > 900 || strlen(name) > 64 ||
      strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "0123456789-_.") != strlen(name) ||
      *name == '.')
    return cli_fail(c, "'%.80s' is not a name of a key", name);
  CLI_TRY(make_folder(c, c->o.dir));
  snprintf(dir, sizeof dir, "%s/keys", c->o.dir);
  CLI_TRY(make_folder(c, dir));
  return keys_open(c->ctx, dir, name, out, c->message, sizeof c->message);
}

int cli_open(struct cli *c, int write) {
  plr_ledger_options o;
  char path[1024];
  plr_ledger_options_init(&o, sizeof o);
  snprintf(path, sizeof path, "%s/ledger.db", c->o.dir);
  o.path = c->o.db ? c->o.db : path;
  FILE *there = fopen(o.path, "rb");
  if (!there) return cli_fail(c, "%s: %s", o.path, strerror(errno));
  fclose(there);
  if (write) CLI_TRY(cli_key(c, "sequencer", &c->sequencer));
  o.sequencer = c->sequencer;
  plr_status st = plr_ledger_open(c->ctx, &o, &c->ledger, &c->err);
  return st == PLR_OK ? 0 : cli_failed(c, o.path, st);
}

int cli_checkpoint(struct cli *c) {
  char note[65536];
  size_t len;
  plr_status st = plr_ledger_checkpoint(c->ledger, note, sizeof note, &len, &c->err);
  return st == PLR_OK ? 0 : cli_failed(c, "checkpoint", st);
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static int hex_bytes(const char *text, uint8_t *out, size_t len) {
  if (strlen(text) != 2 * len || strspn(text, "0123456789abcdefABCDEF") != 2 * len) return -1;
  for (size_t i = 0; i < len; i++) {
    char pair[3] = {text[2 * i], text[2 * i + 1], 0};
    out[i] = (uint8_t)strtoul(pair, NULL, 16);
  }
  return 0;
}

int cli_hash(struct cli *c, const char *option, const char *text, plr_hash *out) {
  if (!text) return cli_fail(c, "--%s is needed", option);
  return hex_bytes(text, out->bytes, 32) == 0
             ? 0
             : cli_fail(c, "--%s: not 64 hexadecimal digits", option);
}

int cli_address(struct cli *c, const char *option, const char *text, uint8_t out[20]) {
  if (text && !strncmp(text, "0x", 2) && hex_bytes(text + 2, out, 20) == 0) return 0;
  return cli_fail(c, "--%s: not 0x and 40 hexadecimal digits", option);
}

int cli_account(struct cli *c, const char *text, plr_hash *out) {
  plr_identity *id;
  uint8_t key[32];
  if (text && hex_bytes(text, out->bytes, 32) == 0) return 0;
  CLI_TRY(cli_key(c, text, &id));
  plr_identity_public_key(id, key);
  plr_account_id(key, out);
  plr_identity_destroy(id);
  return 0;
}

int cli_read_file(struct cli *c, const char *path, size_t most, void **data, size_t *len) {
  int standard = !strcmp(path, "-");
  FILE *f = standard ? stdin : fopen(path, "rb");
  struct strbuf b = {0};
  char piece[65536];
  if (!f) return cli_fail(c, "%s: %s", path, strerror(errno));
  for (size_t n; b.len <= most && (n = fread(piece, 1, sizeof piece, f)) > 0;)
    strbuf_add(&b, piece, n);
  int bad = ferror(f), code = errno;
  if (!standard) fclose(f);
  if (!bad && b.len <= most) {
    *data = b.text ? b.text : must_alloc(1, 1), *len = b.len;
    return 0;
  }
  strbuf_free(&b);
  return bad ? cli_fail(c, "%s: %s", path, strerror(code))
             : cli_fail(c, "%s: larger than %zu bytes", path, most);
}

int cli_write_file(struct cli *c, const char *path, const void *data, size_t len) {
  plr_sink sink;
  plr_status st = plr_sink_open_path(c->ctx, path, &sink, &c->err);
  if (st != PLR_OK) return cli_failed(c, path, st);
  st = sink.write(sink.user, data, len);
  if (st == PLR_OK)
    st = sink.commit(sink.user);
  else
    sink.abort(sink.user);
  return st == PLR_OK ? 0 : cli_failed(c, path, st);
}

void cli_remote(const struct cli *c, plr_remote_options *out) {
  plr_remote_options_init(out, sizeof *out);
  out->ca_file = c->o.ca, out->user = c->o.user, out->sigv4 = c->o.sigv4;
  out->no_tls_verify = (uint32_t)c->o.no_tls_verify;
  if (c->o.retries != UINT64_MAX) out->retries = (uint32_t)c->o.retries;
  if (c->o.parallel) out->parallel = (uint32_t)c->o.parallel;
}

int cli_models(struct cli *c, plr_hash **out, size_t *count) {
  plr_ledger_summary s = {.struct_size = sizeof s};
  static uint8_t entry[PLR_ENTRY_MAX];
  size_t len;
  plr_status st = plr_ledger_summarize(c->ledger, &s);
  if (st != PLR_OK) return cli_failed(c, "summary", st);
  plr_hash *found = must_alloc(s.models, sizeof *found);
  *count = 0;
  for (uint64_t i = 0; i < s.entries && *count < s.models; i++) {
    plr_model_totals t = {.struct_size = sizeof t};
    st = plr_ledger_entry(c->ledger, i, entry, sizeof entry, &len, &c->err);
    if (st != PLR_OK) {
      free(found);
      return cli_failed(c, "entry", st);
    }
    if (len < ENTRY_MODEL_AT + 32 || entry[4] != PLR_ENTRY_MODEL_REGISTER) continue;
    plr_hash *next = &found[*count];
    memcpy(next->bytes, entry + ENTRY_MODEL_AT, 32);
    size_t twice = 0; /* an entry without effect may name a model again */
    while (memcmp(found[twice].bytes, next->bytes, 32) != 0) twice++;
    if (twice == *count && plr_ledger_model(c->ledger, next, &t) == PLR_OK) ++*count;
  }
  *out = found;
  return 0;
}
