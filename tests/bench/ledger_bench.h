/* What the ledger's benchmarks share: people, receipts, a ledger to append them to. */
#ifndef LEDGER_BENCH_H
#define LEDGER_BENCH_H

#include "bench.h"

#include "ledger/ledger_int.h"

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

void bench_must(plr_status st, const char *what);
void bench_people(bench *b);
/* Appends receipt i of an epoch to `out`; the signatures are zeros unless `sign`. */
void bench_receipt(const bench *b, uint64_t epoch, uint32_t i, int sign, plr_buffer *out);
/* A ledger with everybody's account and the model, and nothing else. path NULL: in memory. */
void bench_open_ledger(bench *b, const char *path);
void bench_remove_store(void);

/* A log of a million receipts, and 10,000 a second as they come (ledger_million.c). */
void bench_paced(bench *b);
void bench_million(bench *b);

#endif
