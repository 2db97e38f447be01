/* The ledger on three-signature receipts: appending with and without their signatures, in memory and durably,
 * verifying an export, proofs, opening. Peers are the parts that no ledger can do without: libsodium's verification
 * of as many signatures, and SQLite's insertion of the same bytes in the same groups. */
#include "ledger_bench.h"

#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Seconds to append all receipts in groups. */
static double append_all(bench *b, int trust) {
  b->ledger->state.trust_signatures = (uint32_t)trust;
  double start = bench_seconds();
  for (size_t i = 0; i < RECEIPTS; i += GROUP)
    bench_must(plr_ledger_append_many(b->ledger, b->items + i, GROUP, NULL), "append");
  double took = bench_seconds() - start;
  b->ledger->state.trust_signatures = 0;
  for (size_t i = 0; i < RECEIPTS; i++) bench_must((plr_status)b->items[i].status, "receipt");
  return took;
}

/* As many verifications by libsodium alone, of messages as long. */
static double sodium_all(const bench *b) {
  uint8_t message[PLR__SIGNING_BYTES] = {1}, signature[64];
  plr_identity_sign(b->people[3], message, sizeof message, signature);
  double start = bench_seconds();
  for (int i = 0; i < RECEIPTS * 3; i++)
    if (crypto_sign_verify_detached(signature, message, sizeof message, b->key[3]) != 0) exit(1);
  return bench_seconds() - start;
}

static void sql(sqlite3 *db, const char *text) {
  if (sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK) return;
  fprintf(stderr, "bench_ledger: sqlite: %s\n", sqlite3_errmsg(db));
  exit(1);
}

/* The same bytes in the same groups into a table, as durably. */
static double sqlite_all(const bench *b) {
  sqlite3 *db;
  sqlite3_stmt *q;
  bench_remove_store();
  if (sqlite3_open(PATH, &db) != SQLITE_OK) exit(1);
  sql(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
          "CREATE TABLE entry(idx INTEGER PRIMARY KEY, data BLOB NOT NULL)");
  sqlite3_prepare_v2(db, "INSERT INTO entry VALUES(?1, ?2)", -1, &q, NULL);
  double start = bench_seconds();
  for (int i = 0; i < RECEIPTS; i++) {
    if (i % GROUP == 0) sql(db, "BEGIN IMMEDIATE");
    sqlite3_bind_int64(q, 1, i);
    sqlite3_bind_blob(q, 2, b->items[i].entry, (int)b->items[i].len, SQLITE_STATIC);
    if (sqlite3_step(q) != SQLITE_DONE) exit(1);
    sqlite3_reset(q);
    if (i % GROUP == GROUP - 1) sql(db, "COMMIT");
  }
  double took = bench_seconds() - start;
  sqlite3_finalize(q);
  sqlite3_close(db);
  bench_remove_store();
  return took;
}

/* ---- export and verify ------------------------------------------------------------------------ */

static plr_status file_write(void *user, const void *data, size_t len) {
  plr__buffer_put(user, data, len);
  return ((plr_buffer *)user)->failed ? PLR_ERR_NO_MEMORY : PLR_OK;
}

static plr_status file_commit(void *user) {
  (void)user;
  return PLR_OK;
}

static void file_abort(void *user) {
  (void)user;
}

static plr_status file_read(void *user, uint64_t offset, void *buf, size_t len) {
  memcpy(buf, ((plr_buffer *)user)->data + offset, len);
  return PLR_OK;
}

static double verify_all(bench *b, plr_buffer *file, uint32_t skip, plr_ledger_summary *s) {
  plr_verify_options o;
  plr_source source = {file, file->len, file_read, NULL};
  plr_verify_options_init(&o, sizeof o);
  o.origin = ORIGIN, o.public_key = b->key[0], o.skip_signatures = skip;
  double start = bench_seconds();
  bench_must(plr_ledger_verify(b->ctx, &source, &o, s, NULL), "verify");
  return bench_seconds() - start;
}

static double prove_all(bench *b, uint64_t size) {
  enum { PROOFS = 2000 };
  plr_hash proof[PLR_PROOF_MAX];
  uint32_t n;
  double start = bench_seconds();
  for (uint64_t i = 0; i < PROOFS; i++)
    bench_must(plr_ledger_prove_inclusion(b->ledger, i * 7919 % size, size, proof, &n, NULL),
               "proof");
  return (bench_seconds() - start) / PROOFS;
}

/* The median of three, and of three of the peer between them. */
static void turns(bench *b, double (*ours)(bench *), double (*peer)(const bench *), double *a,
                  double *p) {
  double x[3], y[3];
  for (int i = 0; i < 3; i++) {
    x[i] = ours(b);
    y[i] = peer(b);
  }
  *a = bench_median(x, 3);
  *p = bench_median(y, 3);
}

static double ours_signed(bench *b) {
  bench_open_ledger(b, NULL);
  double took = append_all(b, 0);
  plr_ledger_destroy(b->ledger);
  return took;
}

static double ours_durable(bench *b) {
  bench_remove_store();
  bench_open_ledger(b, PATH);
  double took = append_all(b, 1);
  plr_ledger_destroy(b->ledger);
  return took;
}

static void bench_verify(bench *b) {
  plr_buffer file;
  plr_sink sink = {&file, file_write, file_commit, file_abort};
  plr_ledger_summary s = {.struct_size = sizeof s};
  double full[3], skip[3], opens[3];
  plr__buffer_init(&file, b->ctx);
  bench_remove_store();
  bench_open_ledger(b, PATH);
  append_all(b, 1);
  bench_must(plr_ledger_export(b->ledger, &sink, NULL), "export");
  double proof = prove_all(b, RECEIPTS);
  plr_ledger_destroy(b->ledger);
  for (int i = 0; i < 3; i++) {
    full[i] = verify_all(b, &file, 0, &s);
    skip[i] = verify_all(b, &file, 1, &s);
    plr_ledger_options o;
    plr_ledger_options_init(&o, sizeof o);
    o.path = PATH, o.sequencer = b->people[0];
    double start = bench_seconds();
    bench_must(plr_ledger_open(b->ctx, &o, &b->ledger, NULL), "open");
    opens[i] = bench_seconds() - start;
    plr_ledger_destroy(b->ledger);
  }
  const double n = (double)s.entries;
  bench_print("ledger.verify", n / bench_median(full, 3), "entries/s", NULL, 0, 0,
              "an export of three-signature receipts, all checks, 1 thread");
  bench_print("ledger.replay", n / bench_median(skip, 3), "entries/s", NULL, 0, 0,
              "the same without entry signatures");
  bench_print("ledger.open", n / bench_median(opens, 3), "entries/s", NULL, 0, 0,
              "SQLite file whose last snapshot is empty: the whole log is replayed");
  bench_print("ledger.proof", proof * 1e6, "us", NULL, 0, 0,
              "making an inclusion proof out of %llu entries from SQLite",
              (unsigned long long)s.entries);
  plr__buffer_release(&file);
  bench_remove_store();
}

int main(void) {
  static bench b;
  double ours, peer;
  bench_must(plr_context_create(NULL, &b.ctx, NULL), "context");
  bench_people(&b);
  plr_sha256("model", 5, &b.model);
  for (uint32_t i = 0; i < RECEIPTS; i++) {
    plr_buffer entry;
    plr__buffer_init(&entry, b.ctx);
    bench_receipt(&b, 0, i, 1, &entry);
    b.items[i] = (plr_append_item){.entry = entry.data, .len = entry.len};
  }
  turns(&b, ours_signed, sodium_all, &ours, &peer);
  bench_print("ledger.append_signed", RECEIPTS / ours, "receipts/s",
              "libsodium: three verifications", RECEIPTS / peer, peer / ours,
              "in memory, 1 thread, groups of %d; signatures are verified eight at once where the "
              "processor can",
              GROUP);
  turns(&b, ours_durable, sqlite_all, &ours, &peer);
  bench_print("ledger.append_durable", RECEIPTS / ours, "receipts/s",
              "SQLite: insert of the same bytes", RECEIPTS / peer, peer / ours,
              "pre-verified, WAL and FULL, groups of %d of %zu bytes", GROUP, b.items[0].len);
  bench_verify(&b);
  bench_paced(&b);
  bench_million(&b);
  for (uint32_t i = 0; i < RECEIPTS; i++) plr__free(b.ctx, (void *)(uintptr_t)b.items[i].entry);
  for (int i = 0; i < PEOPLE; i++) plr_identity_destroy(b.people[i]);
  plr_context_destroy(b.ctx);
  return 0;
}
