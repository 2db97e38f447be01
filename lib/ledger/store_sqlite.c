/* The SQLite store: write-ahead log, every commit flushed to disk.
 *
 *   entry(idx, row)     rows of the ledger
 *   meta(name, value)   its records
 *
 * One connection writes and checkpoints; who else would write is kept out by a lock on the empty database `path`-lock.
 * Readers are connections that can only read, so that the writer waits for none of them. */
#include "ledger/ledger_int.h"

#ifndef PLR_WITH_LEDGER

plr_status plr__store_sqlite(plr_context *ctx, const char *path, int writable, plr__store *out,
                             plr_error *err) {
  (void)ctx, (void)writable, (void)out;
  return plr__fail(err, PLR_ERR_UNSUPPORTED, path,
                   "this build has no SQLite; keep the ledger in memory or in a store of your own");
}

#else

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x504c5247 /* "PLRG" */
#define SCHEMA_VERSION 2
#define BUSY_MS        5000 /* for who waits while another connection recovers the write-ahead log */

enum { BEGIN, COMMIT, ROLLBACK, APPEND, PUT, REMOVE, ROW, GET, STATEMENTS };

static const char *const sql[STATEMENTS] = {
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "INSERT INTO entry(idx, row) VALUES(?1, ?2)",
    "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)",
    "DELETE FROM meta WHERE name = ?1",
    "SELECT row FROM entry WHERE idx = ?1",
    "SELECT value FROM meta WHERE name = ?1",
};

typedef struct sqlite_store {
  plr_context *ctx;
  sqlite3 *db, *lock; /* lock: a writer's */
  sqlite3_stmt *statements[STATEMENTS];
  plr_buffer read; /* what row and get give */
  char path[64];   /* its end, for messages */
} sqlite_store;

static plr_status status_of(int code) {
  if (code == SQLITE_IOERR_NOMEM) return PLR_ERR_NO_MEMORY;
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

static plr_status sqlite_begin(void *user, plr_error *err) {
  return run(user, BEGIN, err);
}

static plr_status sqlite_commit(void *user, plr_error *err) {
  return run(user, COMMIT, err);
}

static void sqlite_rollback(void *user) {
  sqlite_store *s = user;
  if (!sqlite3_get_autocommit(s->db)) (void)run(s, ROLLBACK, NULL);
}

static plr_status sqlite_append(void *user, uint64_t index, const void *row, size_t len,
                                plr_error *err) {
  sqlite_store *s = user;
  sqlite3_bind_int64(s->statements[APPEND], 1, (sqlite3_int64)index);
  sqlite3_bind_blob64(s->statements[APPEND], 2, row, len, SQLITE_STATIC);
  return run(s, APPEND, err);
}

static plr_status sqlite_put(void *user, const char *name, const void *data, size_t len,
                             plr_error *err) {
  sqlite_store *s = user;
  int which = len ? PUT : REMOVE;
  sqlite3_bind_text(s->statements[which], 1, name, -1, SQLITE_STATIC);
  if (len) sqlite3_bind_blob64(s->statements[which], 2, data, len, SQLITE_STATIC);
  return run(s, which, err);
}

/* Takes the one value of the one row that a lookup gives. A statement left on its row would keep the write-ahead log
 * from starting over, hence the copy. */
static plr_status look_up(sqlite_store *s, int which, const void **data, size_t *len,
                          const char *what, plr_error *err) {
  sqlite3_stmt *q = s->statements[which];
  plr_status st = PLR_OK;
  int code = sqlite3_step(q);
  if (code == SQLITE_ROW) {
    const void *value = sqlite3_column_blob(q, 0);
    int bytes = sqlite3_column_bytes(q, 0);
    plr__buffer_clear(&s->read);
    plr__buffer_put(&s->read, value, value ? (size_t)bytes : 0);
    if (s->read.failed || (!value && bytes)) st = plr__no_memory(err, s->path);
    *data = s->read.data, *len = s->read.len;
  } else {
    st = code == SQLITE_DONE ? plr__fail(err, PLR_ERR_NOT_FOUND, s->path, "there is no %s", what)
                             : failed(s, code, err);
  }
  sqlite3_reset(q);
  return st;
}

static plr_status sqlite_row(void *user, uint64_t index, const void **data, size_t *len,
                             plr_error *err) {
  sqlite_store *s = user;
  sqlite3_bind_int64(s->statements[ROW], 1, (sqlite3_int64)index);
  return look_up(s, ROW, data, len, "such entry", err);
}

static plr_status sqlite_get(void *user, const char *name, const void **data, size_t *len,
                             plr_error *err) {
  sqlite_store *s = user;
  sqlite3_bind_text(s->statements[GET], 1, name, -1, SQLITE_STATIC);
  return look_up(s, GET, data, len, name, err);
}

static plr_status exec(sqlite_store *s, const char *text, plr_error *err) {
  int code = sqlite3_exec(s->db, text, NULL, NULL, NULL);
  return code == SQLITE_OK ? PLR_OK : failed(s, code, err);
}

/* SQLite calls a schema malformed that it only could not read, and VACUUM reads it anew. */
static plr_status sqlite_compact(void *user, plr_error *err) {
  sqlite_store *s = user;
  plr_status st = exec(s, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE);", err);
  if (st != PLR_ERR_CORRUPT) return st;
  return plr__fail(err, PLR_ERR_IO, s->path, "cannot be compacted: %s", sqlite3_errmsg(s->db));
}

/* A reader's view ends: what it reads from now on are rows that do not change any more. */
static void sqlite_opened(void *user) {
  (void)exec(user, "COMMIT", NULL);
}

static void sqlite_store_close(void *user) {
  sqlite_store *s = user;
  for (int i = 0; i < STATEMENTS; i++) sqlite3_finalize(s->statements[i]);
  sqlite3_close(s->db);
  sqlite3_close(s->lock);
  plr__buffer_release(&s->read);
  plr__free(s->ctx, s);
}

/* ---- opening ---------------------------------------------------------------------------------- */

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
static plr_status identify(sqlite_store *s, int *fresh, plr_error *err) {
  int64_t id = 0, version = 0, tables = 0;
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
  static const char text[] = "BEGIN IMMEDIATE;"
                             "CREATE TABLE entry(idx INTEGER PRIMARY KEY, row BLOB NOT NULL);"
                             "CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL);"
                             "PRAGMA application_id=1347179079;"
                             "PRAGMA user_version=2;"
                             "COMMIT;";
  _Static_assert(APPLICATION_ID == 1347179079 && SCHEMA_VERSION == 2, "as in the text");
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

static int open_file(sqlite3 **db, const char *path, int flags) {
  int code = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
  if (code == SQLITE_OK) sqlite3_extended_result_codes(*db, 1);
  return code;
}

/* An open exclusive transaction of another database: the system ends it with the process. */
static plr_status keep_out(sqlite_store *s, const char *path, plr_error *err) {
  size_t size = strlen(path) + sizeof "-lock";
  char *name = plr__alloc(s->ctx, size);
  if (!name) return plr__no_memory(err, s->path);
  snprintf(name, size, "%s-lock", path);
  int code = open_file(&s->lock, name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  plr__free(s->ctx, name);
  if (code == SQLITE_OK) code = sqlite3_exec(s->lock, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
  if (code == SQLITE_OK) return PLR_OK;
  plr_status st = status_of(code);
  if (st == PLR_ERR_UNAVAILABLE) return plr__fail(err, st, s->path, "the ledger is open elsewhere");
  return plr__fail(err, st, s->path, "lock file: %s", sqlite3_errstr(code));
}

static plr_status connect(sqlite_store *s, const char *path, int flags, plr_error *err) {
  int code = open_file(&s->db, path, flags);
  if (code == SQLITE_CANTOPEN && flags == SQLITE_OPEN_READONLY)
    return plr__fail(err, PLR_ERR_NOT_FOUND, s->path, "%s", sqlite3_errmsg(s->db));
  if (code != SQLITE_OK) return failed(s, code, err);
  sqlite3_busy_timeout(s->db, BUSY_MS);
  return exec(s, "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;", err);
}

static plr_status open_writer(sqlite_store *s, const char *path, plr_error *err) {
  int fresh;
  PLR_TRY(connect(s, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err));
  PLR_TRY(identify(s, &fresh, err));
  PLR_TRY(keep_out(s, path, err));
  PLR_TRY(identify(s, &fresh, err)); /* nobody changes it any more */
  /* Pages of 8 KiB take a dozen receipts: a quarter faster than SQLite's 4. EXTRA is FULL, and the folder is flushed
   * when the rollback journal goes, which is used once, on the way to WAL: were it back after a power cut it would be
   * played, and all that the write-ahead log holds forgotten. */
  PLR_TRY(
      exec(s, "PRAGMA page_size=8192; PRAGMA synchronous=EXTRA; PRAGMA journal_mode=WAL;", err));
  if (fresh) PLR_TRY(create_schema(s, err));
  return prepare(s, err);
}

static plr_status open_reader(sqlite_store *s, const char *path, plr_error *err) {
  int fresh;
  PLR_TRY(connect(s, path, SQLITE_OPEN_READONLY, err));
  PLR_TRY(exec(s, "BEGIN", err)); /* one view, until sqlite_opened */
  PLR_TRY(identify(s, &fresh, err));
  if (fresh) return plr__fail(err, PLR_ERR_NOT_FOUND, s->path, "the file holds no ledger");
  return prepare(s, err);
}

plr_status plr__store_sqlite(plr_context *ctx, const char *path, int writable, plr__store *out,
                             plr_error *err) {
  sqlite_store *s = plr__calloc(ctx, 1, sizeof *s);
  if (!s) return plr__no_memory(err, "ledger store");
  s->ctx = ctx;
  plr__buffer_init(&s->read, ctx);
  size_t len = strlen(path), keep = PLR_MIN(len, sizeof s->path - 1);
  memcpy(s->path, path + len - keep, keep);
  plr_status st = writable ? open_writer(s, path, err) : open_reader(s, path, err);
  if (st != PLR_OK) {
    sqlite_store_close(s);
    return st;
  }
  *out = (plr__store){.v = {.user = s,
                            .begin = sqlite_begin,
                            .append = sqlite_append,
                            .put = sqlite_put,
                            .commit = sqlite_commit,
                            .rollback = sqlite_rollback,
                            .row = sqlite_row,
                            .get = sqlite_get,
                            .compact = sqlite_compact},
                      .opened = writable ? NULL : sqlite_opened,
                      .close = sqlite_store_close,
                      .persistent = 1};
  return PLR_OK;
}

#endif
