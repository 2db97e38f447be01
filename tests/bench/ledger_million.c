/* The ledger at size: receipts offered at a steady pace, and a log of a million of them. Their signatures are zeros and
 * believed: what is measured is everything else. */
#include "ledger_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT  "bench-ledger.plr"
#define MILLION 1000000u
#define EPOCH   50000u /* receipts */
#define PACE    10000.0
#define PACED   80000u /* receipts; a snapshot falls into them */

/* Receipts [first, first + n) of an epoch, to be appended. */
static void fill_group(bench *b, uint64_t epoch, uint32_t first, uint32_t n, plr_buffer *bytes,
                       plr_append_item *items) {
  plr__buffer_clear(bytes);
  for (uint32_t i = 0; i < n; i++) {
    plr_buffer one;
    plr__buffer_init(&one, b->ctx);
    bench_receipt(b, epoch, first + i, 0, &one);
    plr__buffer_put(bytes, one.data, one.len);
    items[i] = (plr_append_item){.len = one.len};
    plr__buffer_release(&one);
  }
  const uint8_t *at = bytes->data;
  for (uint32_t i = 0; i < n; at += items[i++].len) items[i].entry = at;
}

static double append_group(bench *b, plr_append_item *items, uint32_t n) {
  double start = bench_seconds();
  bench_must(plr_ledger_append_many(b->ledger, items, n, NULL), "append");
  double took = bench_seconds() - start;
  for (uint32_t i = 0; i < n; i++) bench_must((plr_status)items[i].status, "receipt");
  return took;
}

/* ---- at a pace ----------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Receipt i is offered at i / 10,000 s. Whatever has been offered when a commit ends goes into the next one. */
void bench_paced(bench *b) {
  static double late[PACED];
  static plr_append_item items[PACED];
  plr_buffer bytes;
  uint32_t done = 0, groups = 0;
  plr__buffer_init(&bytes, b->ctx);
  bench_remove_store();
  bench_open_ledger(b, PATH);
  b->ledger->state.trust_signatures = 1;
  fill_group(b, 0, 0, PACED, &bytes, items);
  double start = bench_seconds();
  while (done < PACED) {
    double now = bench_seconds() - start;
    uint32_t offered = now * PACE >= PACED ? PACED : (uint32_t)(now * PACE);
    if (offered == done) {
      struct timespec t = {0, 100000};
      nanosleep(&t, NULL);
      continue;
    }
    append_group(b, items + done, offered - done);
    for (now = bench_seconds() - start; done < offered; done++) late[done] = now - done / PACE;
    groups++;
  }
  plr_ledger_destroy(b->ledger);
  plr__buffer_release(&bytes);
  bench_remove_store();
  qsort(late, PACED, sizeof *late, by_size);
  bench_print("ledger.paced_p99", late[PACED * 99 / 100] * 1e3, "ms", NULL, 0, 0,
              "%.0f receipts/s offered, durable, pre-verified, %u in %u commits; p50 %.2f, p99.9 "
              "%.1f, most %.1f ms",
              PACE, PACED, groups, late[PACED / 2] * 1e3, late[PACED / 1000 * 999] * 1e3,
              late[PACED - 1] * 1e3);
}

/* ---- a million -------------------------------------------------------------------------------------- */

static double memory_mib(const bench *b) {
  uint64_t bytes;
  plr_context_memory(b->ctx, &bytes, NULL, NULL);
  return (double)bytes / (1 << 20);
}

static void append_million(bench *b) {
  static plr_append_item items[GROUP];
  plr_buffer bytes;
  double took = 0, closing = 0, early = 0, cpu = 0;
  plr__buffer_init(&bytes, b->ctx);
  b->ledger->state.trust_signatures = 1;
  for (uint32_t i = 0; i < MILLION; i += GROUP) {
    fill_group(b, i / EPOCH, i % EPOCH, GROUP, &bytes, items);
    double before = bench_cpu_seconds();
    took += append_group(b, items, GROUP);
    cpu += bench_cpu_seconds() - before;
    if ((i + GROUP) % EPOCH) continue;
    double start = bench_seconds();
    bench_must(plr_ledger_close_epoch(b->ledger, NULL, NULL), "close");
    closing += bench_seconds() - start;
    if (i + GROUP == 2 * EPOCH) early = memory_mib(b);
  }
  plr__buffer_release(&bytes);
  bench_print("ledger.append_million", MILLION / took, "receipts/s", NULL, 0, 0,
              "durable, pre-verified, groups of %d, %.0f a processor second; %u epochs closed in "
              "%.0f ms each",
              GROUP, MILLION / cpu, MILLION / EPOCH, closing / (MILLION / EPOCH) * 1e3);
  bench_print("ledger.memory", memory_mib(b), "MiB", "the same log at a tenth of its length", early,
              early / memory_mib(b), "held by the context after %u receipts", MILLION);
}

static void prove(bench *b) {
  enum { PROOFS = 3000 };
  static double took[PROOFS];
  plr_hash proof[PLR_PROOF_MAX];
  uint32_t most = 0, n;
  plr_ledger_summary s = {.struct_size = sizeof s};
  bench_must(plr_ledger_summarize(b->ledger, &s), "summary");
  for (uint64_t i = 0; i < PROOFS; i++) {
    double start = bench_seconds();
    bench_must(plr_ledger_prove_inclusion(b->ledger, i * 2654435761u % s.entries, s.entries, proof,
                                          &n, NULL),
               "proof");
    took[i] = bench_seconds() - start;
    most = PLR_MAX(most, n);
  }
  bench_print("ledger.proof_million", bench_median(took, PROOFS) * 1e6, "us", NULL, 0, 0,
              "inclusion of a random one of %llu entries, from SQLite; at most %zu bytes",
              (unsigned long long)s.entries, most * sizeof *proof);
}

static void verify_million(bench *b) {
  plr_sink sink;
  plr_source source;
  plr_verify_options o;
  plr_ledger_summary s = {.struct_size = sizeof s};
  bench_must(plr_sink_open_path(b->ctx, EXPORT, &sink, NULL), "export");
  double start = bench_seconds();
  bench_must(plr_ledger_export(b->ledger, &sink, NULL), "export");
  double wrote = bench_seconds() - start;
  bench_must(plr_source_open_path(b->ctx, EXPORT, &source, NULL), "export");
  bench_print("ledger.export", (double)source.size / wrote / 1e6, "MB/s", NULL, 0, 0,
              "%.0f MB, flushed to disk", (double)source.size / 1e6);
  plr_verify_options_init(&o, sizeof o);
  o.origin = ORIGIN, o.public_key = b->key[0], o.skip_signatures = 1;
  double cpu = bench_cpu_seconds();
  start = bench_seconds();
  bench_must(plr_ledger_verify(b->ctx, &source, &o, &s, NULL), "verify");
  double took = bench_seconds() - start;
  cpu = bench_cpu_seconds() - cpu;
  source.close(source.user);
  unlink(EXPORT);
  bench_print(
      "ledger.verify_million", took, "s", NULL, 0, 0,
      "%llu entries, all of structure and state, no entry signatures: %.0f entries/s, 1 thread",
      (unsigned long long)s.entries, (double)s.entries / took);
}

static void reopen(bench *b) {
  plr_ledger_options o;
  plr_ledger_options_init(&o, sizeof o);
  o.path = PATH, o.sequencer = b->people[0];
  plr_ledger_destroy(b->ledger);
  double start = bench_seconds();
  bench_must(plr_ledger_open(b->ctx, &o, &b->ledger, NULL), "open");
  bench_print("ledger.open_million", (bench_seconds() - start) * 1e3, "ms", NULL, 0, 0,
              "a log of a million receipts whose last epoch is closed");
}

void bench_million(bench *b) {
  bench_remove_store();
  bench_open_ledger(b, PATH);
  append_million(b);
  reopen(b);
  prove(b);
  verify_million(b);
  plr_ledger_destroy(b->ledger);
  bench_remove_store();
}
