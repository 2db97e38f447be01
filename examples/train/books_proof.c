/* The end of the books: export, verification from nothing, and what the report says of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "books.h"
#include "format.h"
#include "keys.h"
#include "strbuf.h"
#include "text.h"

static int failed(char *message, size_t cap, const char *what, plr_status status,
                  const plr_error *err) {
  snprintf(message, cap, "%s: %s%s%s (%s)", what, err->where, err->where[0] ? ": " : "",
           err->message[0] ? err->message : plr_status_message(status), plr_status_name(status));
  return -1;
}

/* ---- verifier key
 * ------------------------------------------------------------------------------- */

static int base64_value(char c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = c ? strchr(digits, c) : NULL;
  return at ? (int)(at - digits) : -1;
}

/* Reads name+hash+key (C2SP signed-note): the key is 44 characters of base64 for a byte 01 and
 * 32 bytes. That the hash fits is seen by making the text again. */
static int read_vkey(plr_context *ctx, const char *text, char origin[129], uint8_t key[32]) {
  size_t name = strcspn(text, "+"), made = 0;
  uint8_t bytes[33];
  char again[320];
  (void)ctx;
  if (name == 0 || name > 128 || strlen(text) != name + 1 + 8 + 1 + 44) return -1;
  const char *code = text + name + 10;
  for (int i = 0; i < 44; i += 4) {
    uint32_t bits = 0;
    for (int j = 0; j < 4; j++) {
      int v = base64_value(code[i + j]);
      if (v < 0) return -1;
      bits = bits << 6 | (uint32_t)v;
    }
    for (int j = 0; j < 3; j++) bytes[i / 4 * 3 + j] = (uint8_t)(bits >> (16 - 8 * j));
  }
  if (bytes[0] != 1) return -1;
  memcpy(origin, text, name);
  origin[name] = 0;
  memcpy(key, bytes + 1, 32);
  if (plr_log_vkey(origin, key, again, sizeof again, &made) != PLR_OK) return -1;
  return strcmp(again, text) == 0 ? 0 : -1;
}

static int load_vkey(const char *dir, char *out, size_t cap, char *message, size_t message_cap) {
  char path[1100];
  struct text text;
  snprintf(path, sizeof path, "%s/ledger.vkey", dir);
  if (text_load(path, &text, message, message_cap) != 0) return -1;
  size_t len = text.len < cap - 1 ? text.len : cap - 1;
  memcpy(out, text.bytes, len);
  out[len] = 0;
  out[strcspn(out, "\n")] = 0;
  text_free(&text);
  return 0;
}

int books_verify(plr_context *ctx, const char *dir, const char *vkey, char *origin,
                 plr_ledger_summary *summary, char *message, size_t message_cap) {
  char path[1100], text[400];
  uint8_t key[32];
  plr_source source;
  plr_error err;
  plr_verify_options options;
  if (vkey) {
    snprintf(text, sizeof text, "%s", vkey);
  } else if (load_vkey(dir, text, sizeof text, message, message_cap) != 0) {
    return -1;
  }
  if (read_vkey(ctx, text, origin, key) != 0) {
    snprintf(message, message_cap, "'%s' is not a verifier key (name+hash+key)", text);
    return -1;
  }
  snprintf(path, sizeof path, "%s/ledger.export", dir);
  plr_error_init(&err, sizeof err);
  plr_status status = plr_source_open_path(ctx, path, &source, &err);
  if (status != PLR_OK) return failed(message, message_cap, path, status, &err);
  plr_verify_options_init(&options, sizeof options);
  options.origin = origin;
  options.public_key = key;
  summary->struct_size = sizeof *summary;
  status = plr_ledger_verify(ctx, &source, &options, summary, &err);
  source.close(source.user);
  return status == PLR_OK ? 0 : failed(message, message_cap, path, status, &err);
}

/* ---- export
 * ------------------------------------------------------------------------------------- */

static int write_vkey(const struct books *b, char *vkey, size_t cap, char *message,
                      size_t message_cap) {
  uint8_t key[32];
  char path[1100];
  size_t len;
  plr_identity_public_key(b->sequencer, key);
  if (plr_log_vkey(b->origin, key, vkey, cap, &len) != PLR_OK) {
    snprintf(message, message_cap, "ledger: the verifier key could not be written");
    return -1;
  }
  snprintf(path, sizeof path, "%s/ledger.vkey", b->dir);
  FILE *file = fopen(path, "w");
  int ok = file && fprintf(file, "%s\n", vkey) > 0;
  if (file && fclose(file) != 0) ok = 0;
  if (!ok) snprintf(message, message_cap, "%s: cannot be written", path);
  return ok ? 0 : -1;
}

static int export_ledger(struct books *b, char *message, size_t cap) {
  char path[1100];
  plr_sink sink;
  plr_error err;
  plr_error_init(&err, sizeof err);
  snprintf(path, sizeof path, "%s/ledger.export", b->dir);
  plr_status status = plr_sink_open_path(b->ctx, path, &sink, &err);
  if (status == PLR_OK) status = plr_ledger_export(b->ledger, &sink, &err);
  return status == PLR_OK ? 0 : failed(message, cap, path, status, &err);
}

static double units_value(plr_units units) {
  return (double)units.lo + (double)units.hi * 0x1p64;
}

static void fill(const struct books *b, const plr_ledger_summary *summary,
                 struct report_ledger *out) {
  out->entries = summary->entries;
  out->epochs = summary->epoch;
  out->accounts = summary->accounts;
  out->receipts = summary->receipts;
  out->deposited = summary->deposited;
  out->paid = summary->paid;
  out->units = units_value(summary->units);
  format_hex(out->root, sizeof out->root, summary->root.bytes, 32);
  format_hex(out->state_root, sizeof out->state_root, summary->state_root.bytes, 32);
  snprintf(out->origin, sizeof out->origin, "%s", b->origin);
  snprintf(out->currency, sizeof out->currency, "%s", BOOKS_CURRENCY);
  out->decimals = BOOKS_DECIMALS;
}

int books_prove(struct books *b, struct report_ledger *out, char *message, size_t message_cap) {
  plr_ledger_summary ours = {.struct_size = sizeof ours}, theirs = {.struct_size = sizeof theirs};
  plr_error err;
  char origin[129];
  size_t len = 0;
  memset(out, 0, sizeof *out);
  plr_error_init(&err, sizeof err);
  if (plr_ledger_checkpoint(b->ledger, out->checkpoint, sizeof out->checkpoint - 1, &len, &err) ==
      PLR_OK)
    out->checkpoint[len] = 0;
  plr_ledger_summarize(b->ledger, &ours);
  fill(b, &ours, out);
  int result = -1;
  if (write_vkey(b, out->vkey, sizeof out->vkey, message, message_cap) == 0 &&
      export_ledger(b, message, message_cap) == 0 &&
      books_verify(b->ctx, b->dir, NULL, origin, &theirs, message, message_cap) == 0) {
    if (memcmp(&ours.root, &theirs.root, sizeof ours.root) == 0 &&
        memcmp(&ours.state_root, &theirs.state_root, sizeof ours.state_root) == 0) {
      result = 0;
    } else {
      snprintf(message, message_cap, "the export verifies, but to other roots than the ledger has");
    }
  }
  out->verified = result == 0;
  if (result != 0) snprintf(out->message, sizeof out->message, "%s", message);
  return result;
}

/* ---- owners
 * ------------------------------------------------------------------------------------- */

static void owner(const struct books *b, const plr_hash *model, const plr_hash *account,
                  const char *name, const char *role, struct report_model *out) {
  plr_balance balance;
  struct report_owner *o = &out->owners[out->owner_count++];
  memset(o, 0, sizeof *o);
  snprintf(o->name, sizeof o->name, "%s", name);
  snprintf(o->role, sizeof o->role, "%s", role);
  format_hex(o->account, sizeof o->account, account->bytes, 32);
  if (plr_ledger_balance(b->ledger, account, model, &balance) != PLR_OK) return;
  o->units = units_value(balance.units);
  o->receipts = balance.receipts;
  o->shares = balance.shares;
  o->paid = balance.paid;
  o->payable = balance.payable;
}

static void stage_role(const struct plan *plan, uint32_t stage, uint32_t stages, char *role,
                       size_t cap) {
  uint32_t first = plan_first_block(plan->model, &plan->info, stage, stages);
  uint32_t end = plan_first_block(plan->model, &plan->info, stage + 1, stages);
  char blocks[32];
  if (end - first == 1) {
    snprintf(blocks, sizeof blocks, "block %u", first);
  } else {
    snprintf(blocks, sizeof blocks, "blocks %u to %u", first, end - 1);
  }
  snprintf(role, cap, "%s%.24s%s", stage == 0 ? "embedding, " : "", blocks,
           stage + 1 == stages ? ", output" : "");
}

void books_owners(const struct books *b, const struct plan *plan, const char (*keys)[65],
                  uint32_t stages, struct report_model *out) {
  plr_model_totals totals = {.struct_size = sizeof totals};
  out->owner_count = 0;
  format_hex(out->hash, sizeof out->hash, plan->hash.bytes, 32);
  if (plr_ledger_model(b->ledger, &plan->hash, &totals) == PLR_OK) {
    out->supply = totals.supply;
    out->deposited = totals.deposited;
  }
  plr_hash account;
  uint8_t key[32];
  for (uint32_t s = 0; s < stages; s++) {
    char name[32], role[48];
    if (keys_from_hex(keys[s], key) != 0) return;
    plr_account_id(key, &account);
    snprintf(name, sizeof name, "stage %u", s);
    stage_role(plan, s, stages, role, sizeof role);
    owner(b, &plan->hash, &account, name, role, out);
  }
  plr_identity_public_key(b->designer, key);
  plr_account_id(key, &account);
  owner(b, &plan->hash, &account, "designer", "designed the model", out);
  plr_identity_public_key(b->feeder, key);
  plr_account_id(key, &account);
  owner(b, &plan->hash, &account, "feeder", "provided the text", out);
}
