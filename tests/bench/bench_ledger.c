/* The ledger on three-signature receipts: appending with and without their signatures, in memory and durably,
 * verifying an export, proofs, opening. Peers are the parts that no ledger can do without: libsodium's verification
 * of as many signatures, and SQLite's insertion of the same bytes in the same groups. */
#include "bench.h"

#include "ledger/ledger_int.h"

#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECEIPTS 6000
#define GROUP    1000
#define PEOPLE   10 /* sequencer, designer, feeder, seven workers */
#define ORIGIN   "example.org/bench"
#define PATH     "bench-ledger.db"

typedef struct bench {
  plr_context *ctx;
  plr_identity *people[PEOPLE];
  uint8_t key[PEOPLE][32];
  plr_hash account[PEOPLE], model;
  plr_append_item items[RECEIPTS];
  plr_ledger *ledger;
} bench;

static void must(plr_status st, const char *what) {
  if (st == PLR_OK) return;
  fprintf(stderr, "bench_ledger: %s: %s\n", what, plr_status_message(st));
  exit(1);
}

static void remove_store(void) {
  unlink(PATH);
  unlink(PATH "-wal");
}

static void make_people(bench *b) {
  for (uint8_t i = 0; i < PEOPLE; i++) {
    uint8_t seed[32] = {i};
    must(plr_identity_create(b->ctx, seed, &b->people[i], NULL), "identity");
    plr_identity_public_key(b->people[i], b->key[i]);
    plr_account_id(b->key[i], &b->account[i]);
  }
}

static void make_receipt(bench *b, uint32_t i) {
  int worker = (int)(3 + i % (PEOPLE - 3)), up = 3 + (worker - 2) % (PEOPLE - 3);
  plr_receipt r = {.model = b->model, .step = i / 8, .mb_first = i % 8, .mb_count = 1};
  plr_entry_signature s[3];
  plr_buffer out;
  r.block_end = 1;
  r.tokens = 1024;
  r.units = 1024 * 1000;
  memcpy(r.worker, b->account[worker].bytes, 32);
  memcpy(r.upstream, b->account[up].bytes, 32);
  memcpy(r.downstream, b->account[2].bytes, 32);
  plr__buffer_init(&out, b->ctx);
  must(plr__receipt_encode(&out, &r), "receipt");
  const plr_identity *who[3] = {b->people[worker], b->people[up], b->people[2]};
  for (uint8_t k = 0; k < 3; k++) plr__entry_sign(who[k], k, ORIGIN, out.data, out.len, &s[k]);
  must(plr__entry_attach_signatures(&out, s, 3), "receipt");
  b->items[i] = (plr_append_item){.entry = out.data, .len = out.len};
}

/* A ledger with everybody's account and the model, and nothing else. */
static void open_ledger(bench *b, const char *path) {
  static uint8_t entry[PLR_ENTRY_MAX];
  size_t len;
  plr_ledger_options o;
  plr_ledger_options_init(&o, sizeof o);
  o.path = path, o.origin = ORIGIN, o.sequencer = b->people[0];
  must(plr_ledger_open(b->ctx, &o, &b->ledger, NULL), "open");
  plr_entry_options e;
  plr_entry_options_init(&e, sizeof e);
  e.origin = ORIGIN;
  for (int i = 1; i < PEOPLE; i++) {
    e.author = b->people[i];
    must(plr_entry_account_open(b->ctx, &e, entry, sizeof entry, &len, NULL), "account");
    must(plr_ledger_append(b->ledger, entry, len, NULL, NULL), "account");
  }
  const uint64_t cost = 1000;
  plr_model_terms t;
  plr_model_terms_init(&t, sizeof t);
  t.model = b->model, t.microbatch_tokens = 1024, t.block_count = 1, t.costs = &cost;
  t.halving_units.lo = 1000000000, t.rate = 1u << 20, t.rate_divisor = 1000;
  e.author = b->people[1], e.nonce = 2;
  must(plr_entry_model_register(b->ctx, &e, &t, entry, sizeof entry, &len, NULL), "model");
  must(plr_ledger_append(b->ledger, entry, len, NULL, NULL), "model");
}

/* Seconds to append all receipts in groups. */
static double append_all(bench *b, int trust) {
  b->ledger->state.trust_signatures = (uint32_t)trust;
  double start = bench_seconds();
  for (size_t i = 0; i < RECEIPTS; i += GROUP)
    must(plr_ledger_append_many(b->ledger, b->items + i, GROUP, NULL), "append");
  double took = bench_seconds() - start;
  b->ledger->state.trust_signatures = 0;
  for (size_t i = 0; i < RECEIPTS; i++) must((plr_status)b->items[i].status, "receipt");
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
  remove_store();
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
  remove_store();
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
  must(plr_ledger_verify(b->ctx, &source, &o, s, NULL), "verify");
  return bench_seconds() - start;
}

static double prove_all(bench *b, uint64_t size) {
  enum { PROOFS = 2000 };
  plr_hash proof[PLR_PROOF_MAX];
  uint32_t n;
  double start = bench_seconds();
  for (uint64_t i = 0; i < PROOFS; i++)
    must(plr_ledger_prove_inclusion(b->ledger, i * 7919 % size, size, proof, &n, NULL), "proof");
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
  open_ledger(b, NULL);
  double took = append_all(b, 0);
  plr_ledger_destroy(b->ledger);
  return took;
}

static double ours_durable(bench *b) {
  remove_store();
  open_ledger(b, PATH);
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
  remove_store();
  open_ledger(b, PATH);
  append_all(b, 1);
  must(plr_ledger_export(b->ledger, &sink, NULL), "export");
  double proof = prove_all(b, RECEIPTS);
  plr_ledger_destroy(b->ledger);
  for (int i = 0; i < 3; i++) {
    full[i] = verify_all(b, &file, 0, &s);
    skip[i] = verify_all(b, &file, 1, &s);
    plr_ledger_options o;
    plr_ledger_options_init(&o, sizeof o);
    o.path = PATH, o.sequencer = b->people[0];
    double start = bench_seconds();
    must(plr_ledger_open(b->ctx, &o, &b->ledger, NULL), "open");
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
  remove_store();
}

int main(void) {
  static bench b;
  double ours, peer;
  must(plr_context_create(NULL, &b.ctx, NULL), "context");
  make_people(&b);
  plr_sha256("model", 5, &b.model);
  for (uint32_t i = 0; i < RECEIPTS; i++) make_receipt(&b, i);
  turns(&b, ours_signed, sodium_all, &ours, &peer);
  bench_print("ledger.append_signed", RECEIPTS / ours, "receipts/s",
              "libsodium: three verifications", RECEIPTS / peer, peer / ours,
              "in memory, 1 thread, groups of %d", GROUP);
  turns(&b, ours_durable, sqlite_all, &ours, &peer);
  bench_print("ledger.append_durable", RECEIPTS / ours, "receipts/s",
              "SQLite: insert of the same bytes", RECEIPTS / peer, peer / ours,
              "pre-verified, WAL and FULL, groups of %d of %zu bytes", GROUP, b.items[0].len);
  bench_verify(&b);
  for (uint32_t i = 0; i < RECEIPTS; i++) plr__free(b.ctx, (void *)(uintptr_t)b.items[i].entry);
  for (int i = 0; i < PEOPLE; i++) plr_identity_destroy(b.people[i]);
  plr_context_destroy(b.ctx);
  return 0;
}
