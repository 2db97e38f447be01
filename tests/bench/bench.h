/* What every benchmark shares: a timer, interleaved measurements of ours and a peer, and one JSON line a result.
 *
 * The machine is rarely quiet, so nothing is timed alone: ours and the peer take turns in short samples, and each
 * pair of samples is bracketed by a loop of pure fused multiply-adds on as many threads, the rate that the
 * processor had to give just then. Medians are reported. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

double bench_seconds(void); /* monotonic */

/* fp32 multiply-adds in registers, AVX2 where there is FMA (else fmaf): GFLOP/s of `threads` threads together. */
double bench_fma_rate(uint32_t threads);
const char *bench_fma_name(void);

typedef void bench_fn(void *arg);

typedef struct bench_pair {
  bench_fn *ours, *peer; /* peer may be NULL */
  void *ours_arg, *peer_arg;
  uint32_t threads; /* for the FMA loop */
  double seconds;   /* about how long to measure; 0 = 1 s */
} bench_pair;

typedef struct bench_result {
  double ours, peer; /* seconds per call; peer 0 without one */
  double fma;        /* GFLOP/s around the samples */
  double ratio;      /* median of peer time / our time of the same turn */
  uint32_t samples;
} bench_result;

void bench_run(const bench_pair *pair, bench_result *result);

/* Prints {"name","value","unit","peer","peer_value","ratio","note"}. peer NULL: no peer, null in its three
 * fields. ratio: ours against the peer, above 1 is better; the caller knows which way the unit runs. */
void bench_print(const char *name, double value, const char *unit, const char *peer,
                 double peer_value, double ratio, const char *note, ...)
    __attribute__((format(printf, 7, 8)));

/* Median; sorts v. */
double bench_median(double *v, uint32_t n);

/* Repeatable values in [-1, 1). */
void bench_fill(float *v, int64_t n, uint64_t seed);

/* 64-byte aligned memory, or the program ends with a message. */
void *bench_alloc(int64_t bytes);

#endif
