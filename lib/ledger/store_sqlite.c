/* The SQLite store: one connection, exclusive lock, write-ahead log, every commit flushed to disk.
 *
 *   entry(idx, status, hashes, data)  hashes: the nodes of the Merkle tree that this entry completes, leaf first,
 *                                     so that node (level, n) is hash `level` of entry ((n + 1) << level) - 1
 *   meta(name, value)                 head, checkpoint, snapshot and its pieces (snapshot.c) */
#include "ledger/ledger_int.h"

#ifndef PLR_WITH_LEDGER

plr_status plr__store_sqlite(plr_context *ctx, const char *path, int create, plr__store *out,
                             plr_error *err) {
  (void)ctx, (void)create, (void)out;
  return plr__fail(err, PLR_ERR_UNSUPPORTED, path,
                   "this build has no SQLite; keep the ledger in memory");
}

#else

#include <sqlite3.h>
#include <string.h>

#define APPLICATION_ID 0x504c5247 /* "PLRG" */
#define SCHEMA_VERSION 1

enum { BEGIN, COMMIT, ROLLBACK, APPEND, PUT, ENTRY, NODE, GET, STATEMENTS };

static const char *const sql[STATEMENTS] = {
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "INSERT INTO entry(idx, status, hashes, data) VALUES(?1, ?2, ?3, ?4)",
    "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)",
    "SELECT data, status FROM entry WHERE idx = ?1",
    "SELECT hashes FROM entry WHERE idx = ?1",
    "SELECT value FROM meta WHERE name = ?1",
};

typedef struct sqlite_store {
  plr_context *ctx;
  sqlite3 *db;
  sqlite3_stmt *statements[STATEMENTS];
  char path[64]; /* its end, for messages */
} sqlite_store;

static plr_status status_of(int code) {
  switch (code & 0xff) {
  case SQLITE_OK:
  case SQLITE_ROW:
  case SQLITE_DONE:
    return PLR_OK;
  case SQLITE_NOMEM:
    return PLR_ERR_NO_MEMORY;
  case SQLITE_FULL:
    return PLR_ERR_NO_SPACE;
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return PLR_ERR_UNAVAILABLE;
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
  case SQLITE_FORMAT:
  case SQLITE_SCHEMA:
  case SQLITE_CONSTRAINT:
  case SQLITE_MISMATCH:
  case SQLITE_ERROR:
    return PLR_ERR_CORRUPT; /* our own statements are right: a table is missing or other */
  default:
    return PLR_ERR_IO;
  }
}

static plr_status failed(const sqlite_store *s, int code, plr_error *err) {
  plr_status st = status_of(code);
  if (st == PLR_ERR_UNAVAILABLE)
    return plr__fail(err, st, s->path, "the ledger is open elsewhere (%s)", sqlite3_errmsg(s->db));
  return plr__fail(err, st, s->path, "%s", s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
}

/* Runs a statement that gives no row, and makes it ready for its next use. */
static plr_status run(sqlite_store *s, int which, plr_error *err) {
  int code = sqlite3_step(s->statements[which]);
  plr_status st = code == SQLITE_DONE || code == SQLITE_ROW ? PLR_OK : failed(s, code, err);
  sqlite3_reset(s->statements[which]);
  sqlite3_clear_bindings(s->statements[which]);
  return st;
}

static plr_status sqlite_begin(void *self, plr_error *err) {
  return run(self, BEGIN, err);
}

static plr_status sqlite_commit(void *self, plr_error *err) {
  return run(self, COMMIT, err);
}

static void sqlite_rollback(void *self) {
  sqlite_store *s = self;
  if (!sqlite3_get_autocommit(s->db)) (void)run(s, ROLLBACK, NULL);
}

static plr_status sqlite_append(void *self, uint64_t index, plr_status status, const void *entry,
                                size_t len, const plr_hash *hashes, uint32_t hash_count,
                                plr_error *err) {
  sqlite_store *s = self;
  sqlite3_stmt *q = s->statements[APPEND];
  sqlite3_bind_int64(q, 1, (sqlite3_int64)index);
  sqlite3_bind_int(q, 2, status);
  sqlite3_bind_blob(q, 3, hashes, (int)(hash_count * sizeof *hashes), SQLITE_STATIC);
  sqlite3_bind_blob(q, 4, entry, (int)len, SQLITE_STATIC);
  return run(s, APPEND, err);
}

static plr_status sqlite_put(void *self, const char *name, const void *data, size_t len,
                             plr_error *err) {
  sqlite_store *s = self;
  sqlite3_bind_text(s->statements[PUT], 1, name, -1, SQLITE_STATIC);
  sqlite3_bind_blob64(s->statements[PUT], 2, len ? data : "", len, SQLITE_STATIC);
  return run(s, PUT, err);
}

/* Steps to the one row a lookup gives. The caller resets. */
static plr_status look_up(sqlite_store *s, int which, const char *what, uint64_t number,
                          plr_error *err) {
  int code = sqlite3_step(s->statements[which]);
  if (code == SQLITE_ROW) return PLR_OK;
  if (code == SQLITE_DONE)
    return plr__fail(err, PLR_ERR_NOT_FOUND, s->path, "no %s %llu", what,
                     (unsigned long long)number);
  return failed(s, code, err);
}

static plr_status take_blob(sqlite_store *s, sqlite3_stmt *q, plr_buffer *out, plr_error *err) {
  const void *data = sqlite3_column_blob(q, 0);
  int len = sqlite3_column_bytes(q, 0);
  if (!data && len) return plr__no_memory(err, s->path);
  plr__buffer_clear(out);
  plr__buffer_put(out, data, (size_t)len);
  return out->failed ? plr__no_memory(err, s->path) : PLR_OK;
}

static plr_status sqlite_entry(void *self, uint64_t index, plr_buffer *out, int32_t *status,
                               plr_error *err) {
  sqlite_store *s = self;
  sqlite3_stmt *q = s->statements[ENTRY];
  sqlite3_bind_int64(q, 1, (sqlite3_int64)index);
  plr_status st = look_up(s, ENTRY, "entry", index, err);
  if (st == PLR_OK) st = take_blob(s, q, out, err);
  if (st == PLR_OK && status) *status = sqlite3_column_int(q, 1);
  sqlite3_reset(q);
  return st;
}

static plr_status sqlite_node(void *self, uint32_t level, uint64_t index, plr_hash *out,
                              plr_error *err) {
  sqlite_store *s = self;
  sqlite3_stmt *q = s->statements[NODE];
  uint64_t entry = ((index + 1) << level) - 1;
  sqlite3_bind_int64(q, 1, (sqlite3_int64)entry);
  plr_status st = look_up(s, NODE, "entry", entry, err);
  if (st == PLR_OK) {
    const uint8_t *hashes = sqlite3_column_blob(q, 0);
    size_t at = (size_t)level * sizeof *out;
    if (hashes && (size_t)sqlite3_column_bytes(q, 0) >= at + sizeof *out)
      memcpy(out, hashes + at, sizeof *out);
    else
      st = plr__fail(err, PLR_ERR_CORRUPT, s->path, "entry %llu lacks the hash of level %u",
                     (unsigned long long)entry, level);
  }
  sqlite3_reset(q);
  return st;
}

static plr_status sqlite_get(void *self, const char *name, plr_buffer *out, plr_error *err) {
  sqlite_store *s = self;
  sqlite3_stmt *q = s->statements[GET];
  sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
  int code = sqlite3_step(q);
  plr_status st = code == SQLITE_ROW    ? take_blob(s, q, out, err)
                  : code == SQLITE_DONE ? plr__fail(err, PLR_ERR_NOT_FOUND, s->path, "no %s", name)
                                        : failed(s, code, err);
  sqlite3_reset(q);
  return st;
}

static void sqlite_close(void *self) {
  sqlite_store *s = self;
  for (int i = 0; i < STATEMENTS; i++) sqlite3_finalize(s->statements[i]);
  sqlite3_close(s->db);
  plr__free(s->ctx, s);
}

/* ---- opening ---------------------------------------------------------------------------------- */

static plr_status exec(sqlite_store *s, const char *text, plr_error *err) {
  int code = sqlite3_exec(s->db, text, NULL, NULL, NULL);
  return code == SQLITE_OK ? PLR_OK : failed(s, code, err);
}

static plr_status query_int(sqlite_store *s, const char *text, int64_t *out, plr_error *err) {
  sqlite3_stmt *q;
  int code = sqlite3_prepare_v2(s->db, text, -1, &q, NULL);
  if (code == SQLITE_OK) code = sqlite3_step(q);
  if (code == SQLITE_ROW) *out = sqlite3_column_int64(q, 0);
  plr_status st = code == SQLITE_ROW ? PLR_OK : failed(s, code, err);
  sqlite3_finalize(q);
  return st;
}

/* Nothing is written before it is clear that the file is ours, or empty. */
static plr_status identify(sqlite_store *s, uint32_t *fresh, plr_error *err) {
  int64_t id = 0, version = 0, tables = 0;
  PLR_TRY(exec(
      s, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;",
      err));
  PLR_TRY(query_int(s, "PRAGMA application_id", &id, err));
  PLR_TRY(query_int(s, "PRAGMA user_version", &version, err));
  PLR_TRY(query_int(s, "SELECT count(*) FROM sqlite_master", &tables, err));
  *fresh = tables == 0 && id == 0;
  if (!*fresh && id != APPLICATION_ID)
    return plr__fail(err, PLR_ERR_CORRUPT, s->path, "an SQLite file, but not a ledger");
  if (!*fresh && version != SCHEMA_VERSION)
    return plr__fail(err, PLR_ERR_VERSION, s->path, "store version %lld", (long long)version);
  return PLR_OK;
}

static plr_status create_schema(sqlite_store *s, plr_error *err) {
  static const char text[] =
      "BEGIN IMMEDIATE;"
      "CREATE TABLE entry(idx INTEGER PRIMARY KEY, status INTEGER NOT NULL, hashes BLOB NOT NULL,"
      " data BLOB NOT NULL);"
      "CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL);"
      "PRAGMA application_id=1347179079;"
      "PRAGMA user_version=1;"
      "COMMIT;";
  _Static_assert(APPLICATION_ID == 1347179079 && SCHEMA_VERSION == 1, "as in the text");
  return exec(s, text, err);
}

static plr_status prepare(sqlite_store *s, plr_error *err) {
  for (int i = 0; i < STATEMENTS; i++) {
    int code =
        sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL);
    if (code != SQLITE_OK) return failed(s, code, err);
  }
  return PLR_OK;
}

static plr_status open_db(sqlite_store *s, const char *path, int create, uint32_t *fresh,
                          plr_error *err) {
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
  int code = sqlite3_open_v2(path, &s->db, flags, NULL);
  if (code == SQLITE_CANTOPEN && !create)
    return plr__fail(err, PLR_ERR_NOT_FOUND, s->path, "%s", sqlite3_errmsg(s->db));
  if (code != SQLITE_OK) return failed(s, code, err);
  sqlite3_extended_result_codes(s->db, 1);
  PLR_TRY(identify(s, fresh, err));
  PLR_TRY(exec(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", err));
  /* Takes the lock now, and keeps it. */
  PLR_TRY(exec(s, "BEGIN EXCLUSIVE; COMMIT;", err));
  if (*fresh && create) PLR_TRY(create_schema(s, err));
  if (*fresh && !create)
    return plr__fail(err, PLR_ERR_NOT_FOUND, s->path, "the file holds no ledger");
  PLR_TRY(prepare(s, err));
  if (*fresh) return PLR_OK;
  /* A creation that was cut short after its tables is fresh too. */
  int64_t entries = 0;
  PLR_TRY(query_int(s, "SELECT count(*) FROM (SELECT 1 FROM entry LIMIT 1)", &entries, err));
  *fresh = entries == 0;
  return PLR_OK;
}

plr_status plr__store_sqlite(plr_context *ctx, const char *path, int create, plr__store *out,
                             plr_error *err) {
  static const plr__store_ops ops = {sqlite_begin,  sqlite_append,   sqlite_put,
                                     sqlite_commit, sqlite_rollback, sqlite_entry,
                                     sqlite_node,   sqlite_get,      sqlite_close};
  sqlite_store *s = plr__calloc(ctx, 1, sizeof *s);
  if (!s) return plr__no_memory(err, "ledger store");
  s->ctx = ctx;
  size_t len = strlen(path), keep = PLR_MIN(len, sizeof s->path - 1);
  memcpy(s->path, path + len - keep, keep);
  plr_status st = open_db(s, path, create, &out->fresh, err);
  if (st != PLR_OK) {
    sqlite_close(s);
    return st;
  }
  out->ops = &ops;
  out->self = s;
  out->persistent = 1;
  return PLR_OK;
}

#endif
