/* What every benchmark shares: a timer, interleaved measurements of ours and a peer, and one JSON line a result.
 *
 * The machine is rarely quiet, so nothing is timed alone: ours and the peer take turns in short samples, and each
 * pair of samples is bracketed by a loop of pure fused multiply-adds on as many threads, the rate that the
 * processor had to give just then. Medians are reported. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

double bench_seconds(void);     /* monotonic */
double bench_cpu_seconds(void); /* of all threads of this process */

/* fp32 multiply-adds in registers, with the instruction set that the contexts measured here use: GFLOP/s of
 * `threads` threads together. per_cpu, when not NULL: GFLOP a processor second, which does not depend on what else
 * the machine does. */
double bench_fma_rate(uint32_t threads, double *per_cpu);
const char *bench_fma_name(void);

/* Reading `bytes` of memory again and again, each thread its share: GB/s of `threads` threads together. What
 * stays in a cache is read from there, as it is by the work that is measured. */
double bench_read_rate(uint32_t threads, int64_t bytes);

/* Options of every benchmark: --isa portable|avx2|avx512, the highest instruction set to use (default: the best).
 * Returns it as PLR_ISA_*, for the contexts; the FMA loop and the peer go by it. Ends the program on anything else. */
uint32_t bench_options(int argc, char **argv);
uint32_t bench_isa(void); /* what the contexts use then */

typedef void bench_fn(void *arg);

#define BENCH_PEERS 3

typedef struct bench_pair {
  bench_fn *ours, *peer; /* peer may be NULL */
  void *ours_arg, *peer_arg;
  bench_fn *more[BENCH_PEERS - 1]; /* further peers, NULL past them */
  void *more_arg[BENCH_PEERS - 1];
  uint32_t threads;   /* for the FMA and the read loop */
  int64_t read_bytes; /* of the read loop; 0 = none */
  double seconds;     /* about how long to measure; 0 = 1 s */
  /* With one thread: take all times as processor time, which does not depend on what else the machine does. Not for
   * work that waits for files. */
  uint32_t by_processor_time;
} bench_pair;

typedef struct bench_result {
  double ours, peer;           /* seconds per call; peer 0 without one, else the fastest of them */
  double ours_best, peer_best; /* the fastest sample: what a quiet moment gave */
  double peers[BENCH_PEERS];   /* seconds per call of each */
  double fma;                  /* GFLOP/s around the samples */
  double read;                 /* GB/s around the samples */
  double ours_cpu,
      fma_cpu;      /* per call, processor seconds of all threads; GFLOP a processor second */
  double ratio;     /* median of peer time / our time of the same turn, for the fastest peer */
  double ratio_cpu; /* the same of processor time: on one thread it does not depend on what else the machine does */
  uint32_t samples, fastest; /* which peer that is */
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

/* OpenBLAS, when the machine has it: sgemm is NULL when not. Where OpenBLAS does not know the processor it falls
 * back to kernels without AVX2, which would make an easy peer: unless the user chose with OPENBLAS_CORETYPE, it is
 * told to use its kernels for the instruction set that ours use (bench_isa). It chooses once in a process. */
enum {
  BENCH_ROW_MAJOR = 101,
  BENCH_AS_IS = 111,
  BENCH_TRANSPOSE = 112
}; /* of the CBLAS interface */

typedef void bench_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                         const float *a, int lda, const float *b, int ldb, float beta, float *c,
                         int ldc);

typedef struct bench_blas {
  bench_sgemm *sgemm;
  void (*set_threads)(int);
  char name[64]; /* which kernels it reports */
} bench_blas;

void bench_load_openblas(bench_blas *out);

/* OpenBLAS, BLIS and oneDNN, those that the machine has, in this order; returns how many. BLIS too falls back when
 * it does not know the processor, and is told. */
uint32_t bench_load_peers(bench_blas out[BENCH_PEERS]);

#endif
