/* Tiles, bundles and their paths. The input is a path, and its first byte also chooses which of the files of
 * a small log is replaced by the rest; the log is rebuilt from what there is then. Nothing but the true bytes pass. */
#include "ledger/ledger_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ORIGIN  "example.org/test"
#define ENTRIES 520u

/* ---- a store that keeps nothing ------------------------------------------------------------------- */

static plr_status begin(void *user, plr_error *err) {
  (void)user, (void)err;
  return PLR_OK;
}

static plr_status append(void *user, uint64_t index, const void *row, size_t len, plr_error *err) {
  (void)index, (void)row, (void)len, (void)err;
  ++*(uint64_t *)user;
  return PLR_OK;
}

static plr_status put(void *user, const char *name, const void *data, size_t len, plr_error *err) {
  (void)user, (void)name, (void)data, (void)len, (void)err;
  return PLR_OK;
}

static void rollback(void *user) {
  (void)user;
}

static plr_status row(void *user, uint64_t index, const void **data, size_t *len, plr_error *err) {
  (void)user, (void)index, (void)data, (void)len, (void)err;
  return PLR_ERR_NOT_FOUND;
}

static plr_status get(void *user, const char *name, const void **data, size_t *len,
                      plr_error *err) {
  (void)user, (void)name, (void)data, (void)len, (void)err;
  return PLR_ERR_NOT_FOUND;
}

/* ---- a log, of whose files one is another --------------------------------------------------------- */

typedef struct served {
  plr_ledger *ledger;
  const uint8_t *data;
  size_t len;
  uint32_t reads, replaced;
  int changed; /* what was needed of the file is not there */
} served;

static plr_status serve(void *user, const char *path, void *buf, size_t cap, size_t *len) {
  served *s = user;
  static uint8_t true_file[1u << 20];
  size_t true_len;
  if (s->reads++ % 8 != s->replaced)
    return plr_ledger_resource(s->ledger, path, buf, cap, len, NULL);
  if (plr_ledger_resource(s->ledger, path, true_file, sizeof true_file, &true_len, NULL) != PLR_OK)
    true_len = 0;
  *len = s->len;
  if (s->len > cap) return PLR_ERR_BUFFER_TOO_SMALL;
  if (s->len < true_len || memcmp(s->data, true_file, true_len) != 0) s->changed = 1;
  if (s->len) memcpy(buf, s->data, s->len);
  return PLR_OK;
}

static plr_ledger *make_log(plr_context *ctx, const plr_identity *who) {
  plr_ledger *l;
  plr_ledger_options o;
  char note[512];
  size_t len;
  plr_ledger_options_init(&o, sizeof o);
  o.origin = ORIGIN, o.sequencer = who, o.log_invalid = 1;
  if (plr_ledger_open(ctx, &o, &l, NULL) != PLR_OK) abort();
  for (uint32_t i = 1; i < ENTRIES; i++)
    if (plr_ledger_append(l, &i, sizeof i, NULL, NULL) == PLR_OK) abort();
  if (plr_ledger_checkpoint(l, note, sizeof note, &len, NULL) != PLR_OK) abort();
  return l;
}

static void check_path(const uint8_t *data, size_t size) {
  char text[PLR_LOG_PATH_MAX + 1] = {0}, again[PLR_LOG_PATH_MAX];
  plr__tile t;
  if (size > PLR_LOG_PATH_MAX) return;
  memcpy(text, data, size);
  if (plr__tile_parse(text, &t) != PLR_OK) return;
  plr__tile_path(&t, again);
  if (strcmp(text, again) != 0) abort(); /* one path for a tile */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static plr_context *ctx;
  static plr_identity *who;
  static plr_ledger *log;
  uint8_t seed[32] = {1}, key[32];
  if (!ctx && plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  if (!who && plr_identity_create(ctx, seed, &who, NULL) != PLR_OK) abort();
  if (!log) log = make_log(ctx, who);
  check_path(data, size);
  if (size < 1) return 0;
  uint64_t stored = 0;
  served s = {.ledger = log, .data = data + 1, .len = size - 1, .replaced = data[0] % 8};
  plr_ledger_store store = {&stored, begin, append, put, begin, rollback, row, get, NULL};
  plr_log_reader from = {&s, serve};
  plr_ledger_options o;
  plr_verify_options v;
  plr_ledger_options_init(&o, sizeof o);
  plr_verify_options_init(&v, sizeof v);
  plr_identity_public_key(who, key);
  o.store = &store;
  v.origin = ORIGIN, v.public_key = key;
  plr_status st = plr_ledger_rebuild(ctx, &o, &from, &v, NULL, NULL);
  if (st <= -300 || (st == PLR_OK && (s.changed || stored != ENTRIES))) abort();
  if (stored % 256 && stored != ENTRIES)
    abort(); /* whole bundles, and only those that were checked */
  return 0;
}
