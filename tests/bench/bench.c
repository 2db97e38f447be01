#include "bench.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pluralis/base.h"

#define MAX_SAMPLES 64
#define MIN_SAMPLES 7
#define SAMPLE_TIME 0.01 /* seconds; shorter calls are repeated */
#define MAX_THREADS 64

static double seconds_of(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_seconds(void) {
  return seconds_of(CLOCK_MONOTONIC);
}

double bench_cpu_seconds(void) {
  return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* Until no thread of this program runs: some peers' threads look for work for a long while before they sleep, and
 * would take the processor from whoever is measured next. Gives up after half a second. */
static void wait_until_idle(void) {
  const struct timespec pause = {0, 5000000};
  for (int i = 0; i < 100; i++) {
    const double before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    nanosleep(&pause, NULL);
    const double used = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - before;
    if (used < 0.05e-9 * (double)pause.tv_nsec) return;
  }
}

/* ---- the rate of the processor ---------------------------------------------------------------- */

static uint32_t highest_isa = PLR_ISA_BEST;

#if defined(__x86_64__)
#include <immintrin.h>

#define FMA_CHAINS 12 /* they hide the latency of two FMA units */

__attribute__((target("avx2,fma"))) static double fma_loop_avx2(int64_t steps) {
  __m256 x[FMA_CHAINS];
  const __m256 scale = _mm256_set1_ps(0.999f), add = _mm256_set1_ps(0.1f);
  for (int i = 0; i < FMA_CHAINS; i++) x[i] = _mm256_set1_ps((float)i);
  for (int64_t n = 0; n < steps; n++)
#pragma GCC unroll 12
    for (int i = 0; i < FMA_CHAINS; i++) x[i] = _mm256_fmadd_ps(x[i], scale, add);
  __m256 sum = x[0];
  for (int i = 1; i < FMA_CHAINS; i++) sum = _mm256_add_ps(sum, x[i]);
  volatile float sink = _mm256_cvtss_f32(sum);
  (void)sink;
  return (double)steps * FMA_CHAINS * 16;
}

__attribute__((target("avx512f"))) static double fma_loop_avx512(int64_t steps) {
  __m512 x[FMA_CHAINS];
  const __m512 scale = _mm512_set1_ps(0.999f), add = _mm512_set1_ps(0.1f);
  for (int i = 0; i < FMA_CHAINS; i++) x[i] = _mm512_set1_ps((float)i);
  for (int64_t n = 0; n < steps; n++)
#pragma GCC unroll 12
    for (int i = 0; i < FMA_CHAINS; i++) x[i] = _mm512_fmadd_ps(x[i], scale, add);
  __m512 sum = x[0];
  for (int i = 1; i < FMA_CHAINS; i++) sum = _mm512_add_ps(sum, x[i]);
  volatile float sink = _mm512_cvtss_f32(sum);
  (void)sink;
  return (double)steps * FMA_CHAINS * 32;
}

/* As the library detects it. */
uint32_t bench_isa(void) {
  uint32_t isa = PLR_ISA_PORTABLE;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    isa = PLR_ISA_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      isa = PLR_ISA_AVX512;
  }
  return isa < highest_isa ? isa : highest_isa;
}
#elif defined(__aarch64__)
#include <arm_neon.h>

#define FMA_CHAINS 16 /* they hide the latency of four FMA units */

static double fma_loop_neon(int64_t steps) {
  float32x4_t x[FMA_CHAINS];
  const float32x4_t scale = vdupq_n_f32(0.999f), add = vdupq_n_f32(0.1f);
  for (int i = 0; i < FMA_CHAINS; i++) x[i] = vdupq_n_f32((float)i);
  for (int64_t n = 0; n < steps; n++)
#pragma GCC unroll 16
    for (int i = 0; i < FMA_CHAINS; i++) x[i] = vfmaq_f32(add, x[i], scale);
  float32x4_t sum = x[0];
  for (int i = 1; i < FMA_CHAINS; i++) sum = vaddq_f32(sum, x[i]);
  volatile float sink = vgetq_lane_f32(sum, 0);
  (void)sink;
  return (double)steps * FMA_CHAINS * 8;
}

uint32_t bench_isa(void) {
  return highest_isa < PLR_ISA_NEON ? PLR_ISA_PORTABLE : PLR_ISA_NEON;
}
#else
uint32_t bench_isa(void) {
  return PLR_ISA_PORTABLE;
}
#endif

static double fma_loop_scalar(int64_t steps) {
  float x[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  for (int64_t n = 0; n < steps; n++)
    for (int i = 0; i < 8; i++) x[i] = fmaf(x[i], 0.999f, 0.1f);
  volatile float sink = x[0] + x[7];
  (void)sink;
  return (double)steps * 16;
}

static double fma_loop(void) {
#if defined(__x86_64__)
  if (bench_isa() >= PLR_ISA_AVX512) return fma_loop_avx512(150000);
  if (bench_isa() >= PLR_ISA_AVX2) return fma_loop_avx2(150000);
#elif defined(__aarch64__)
  if (bench_isa() >= PLR_ISA_NEON) return fma_loop_neon(150000);
#endif
  return fma_loop_scalar(100000);
}

const char *bench_fma_name(void) {
  static const char *const names[] = {"scalar fmaf", "AVX2 FMA", "AVX-512 FMA"};
  return bench_isa() == PLR_ISA_NEON ? "NEON FMA" : names[bench_isa()];
}

/* Sums words with as wide loads as the compiler has; one pass over memory. */
#if defined(__x86_64__)
__attribute__((target("avx2"))) static void read_pass(const void *memory, int64_t bytes) {
  const __m256i *p = memory;
  __m256i sum[4] = {_mm256_setzero_si256()};
  for (int64_t i = 0; i + 4 <= bytes / 32; i += 4)
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) sum[j] = _mm256_or_si256(sum[j], _mm256_load_si256(p + i + j));
  volatile long long sink = _mm256_extract_epi64(
      _mm256_or_si256(_mm256_or_si256(sum[0], sum[1]), _mm256_or_si256(sum[2], sum[3])), 0);
  (void)sink;
}
#else
static void read_pass(const void *memory, int64_t bytes) {
  const uint64_t *p = memory;
  uint64_t sum = 0;
  for (int64_t i = 0; i < bytes / 8; i++) sum |= p[i];
  volatile uint64_t sink = sum;
  (void)sink;
}
#endif

#define ROUNDS     4
#define READ_BYTES (8 << 20) /* a round of the read loop takes in at least so much */

typedef struct team {
  _Atomic uint32_t ready[ROUNDS];
  uint32_t threads;
  const char *memory; /* NULL: the FMA loop */
  int64_t bytes;      /* of each thread */
} team;

typedef struct member {
  team *team;
  uint32_t index;
  double start[ROUNDS], end[ROUNDS], cpu[ROUNDS], done;
} member;

static double loop(const member *m) {
  const team *t = m->team;
  if (!t->memory) return fma_loop();
  int64_t done = 0;
  for (; done < READ_BYTES; done += t->bytes) read_pass(t->memory + m->index * t->bytes, t->bytes);
  return (double)done;
}

/* Each round starts together, so that threads that had to share a processor are seen to. */
static void *member_thread(void *arg) {
  member *m = arg;
  for (int round = 0; round < ROUNDS; round++) {
    atomic_fetch_add(&m->team->ready[round], 1);
    while (atomic_load(&m->team->ready[round]) < m->team->threads) sched_yield();
    m->start[round] = bench_seconds();
    const double cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    m->done = loop(m);
    m->cpu[round] = seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
    m->end[round] = bench_seconds();
  }
  return NULL;
}

/* The best round, a second: new threads may start on one processor and are moved apart only then. */
static double run_team(team *t, double *per_cpu) {
  pthread_t thread[MAX_THREADS];
  member m[MAX_THREADS];
  for (uint32_t i = 0; i < t->threads; i++) m[i] = (member){.team = t, .index = i};
  for (uint32_t i = 1; i < t->threads; i++) {
    if (pthread_create(&thread[i], NULL, member_thread, &m[i]) == 0) continue;
    fprintf(stderr, "bench: a thread could not be started\n");
    exit(1);
  }
  member_thread(&m[0]);
  for (uint32_t i = 1; i < t->threads; i++) pthread_join(thread[i], NULL);
  double best = 0, best_cpu = 0;
  for (int round = 0; round < ROUNDS; round++) {
    double start = m[0].start[round], end = m[0].end[round], done = m[0].done;
    best_cpu = fmax(best_cpu, done / m[0].cpu[round] * 1e-9);
    for (uint32_t i = 1; i < t->threads; i++) {
      start = fmin(start, m[i].start[round]);
      end = fmax(end, m[i].end[round]);
      done += m[i].done;
    }
    best = fmax(best, done / (end - start) * 1e-9);
  }
  if (per_cpu) *per_cpu = best_cpu;
  return best;
}

double bench_fma_rate(uint32_t threads, double *per_cpu) {
  team t = {.threads = threads < MAX_THREADS ? threads : MAX_THREADS};
  return run_team(&t, per_cpu);
}

static double read_rate(uint32_t threads, int64_t bytes, int per_cpu) {
  static char *memory;
  static int64_t size;
  team t = {.threads = threads < MAX_THREADS ? threads : MAX_THREADS};
  t.bytes = (bytes / t.threads + 127) / 128 * 128;
  if (size < t.bytes * t.threads) {
    free(memory);
    size = t.bytes * t.threads;
    memory = bench_alloc(size);
    memset(memory, 1, (size_t)size);
  }
  t.memory = memory;
  double cpu;
  const double rate = run_team(&t, &cpu);
  return per_cpu ? cpu : rate;
}

double bench_read_rate(uint32_t threads, int64_t bytes) {
  return read_rate(threads, bytes, 0);
}

uint32_t bench_options(int argc, char **argv) {
  static const char *const names[] = {"portable", "avx2", "avx512"};
  if (argc == 1) return highest_isa;
  if (argc == 3 && strcmp(argv[1], "--isa") == 0)
    for (uint32_t isa = 0; isa < 3; isa++)
      if (strcmp(argv[2], names[isa]) == 0) return highest_isa = isa;
  fprintf(stderr, "usage: %s [--isa portable|avx2|avx512]\n", argv[0]);
  exit(2);
}

/* ---- turns ------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double bench_median(double *v, uint32_t n) {
  if (n == 0) return 0;
  qsort(v, n, sizeof *v, by_value);
  return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

static double time_calls(bench_fn *fn, void *arg, int64_t calls) {
  const double start = bench_seconds();
  for (int64_t i = 0; i < calls; i++) fn(arg);
  return (bench_seconds() - start) / (double)calls;
}

/* Calls that fill a sample; the first of them also warms up. */
static int64_t calls_per_sample(bench_fn *fn, void *arg) {
  if (!fn) return 0;
  time_calls(fn, arg, 1);
  const double once = time_calls(fn, arg, 1);
  const double calls = SAMPLE_TIME / (once > 1e-9 ? once : 1e-9);
  return calls < 1 ? 1 : (int64_t)calls;
}

/* With several threads a sample comes after as long a time of the same work: threads that have slept may wake on
 * one processor, and need some milliseconds until they are spread again. */
static double sample(bench_fn *fn, void *arg, int64_t calls, uint32_t threads, double *cpu) {
  if (!fn) return 0;
  if (threads > 1) time_calls(fn, arg, calls);
  const double before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double seconds = time_calls(fn, arg, calls);
  if (cpu) *cpu = (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - before) / (double)calls;
  return seconds;
}

/* The rates that bracket a turn. */
static void take_rates(const bench_pair *pair, double *fma, double *fma_cpu, double *read) {
  const int cpu = pair->by_processor_time && pair->threads == 1;
  *fma = bench_fma_rate(pair->threads, fma_cpu);
  if (cpu) *fma = *fma_cpu;
  *read = 0;
  if (pair->read_bytes > 0) *read = read_rate(pair->threads, pair->read_bytes, cpu);
}

/* One turn: ours, then each peer. seconds[0] and cpu[0] are ours. */
static void take_turn(const bench_pair *pair, const int64_t calls[], double seconds[],
                      double cpu[]) {
  seconds[0] = sample(pair->ours, pair->ours_arg, calls[0], pair->threads, &cpu[0]);
  for (uint32_t i = 0; i < BENCH_PEERS; i++) {
    bench_fn *peer = i ? pair->more[i - 1] : pair->peer;
    void *arg = i ? pair->more_arg[i - 1] : pair->peer_arg;
    seconds[i + 1] = sample(peer, arg, calls[i + 1], pair->threads, &cpu[i + 1]);
    if (peer && pair->threads > 1) wait_until_idle();
  }
  if (!pair->by_processor_time || pair->threads > 1) return;
  for (uint32_t i = 0; i <= BENCH_PEERS; i++) seconds[i] = cpu[i];
}

void bench_run(const bench_pair *pair, bench_result *result) {
  double seconds[BENCH_PEERS + 1][MAX_SAMPLES], cpu[BENCH_PEERS + 1][MAX_SAMPLES];
  double ratio[MAX_SAMPLES], ratio_cpu[MAX_SAMPLES];
  double fma[MAX_SAMPLES + 1], fma_cpu[MAX_SAMPLES + 1], read[MAX_SAMPLES + 1];
  const double budget = pair->seconds > 0 ? pair->seconds : 1.0, start = bench_seconds();
  int64_t calls[BENCH_PEERS + 1];
  calls[0] = calls_per_sample(pair->ours, pair->ours_arg);
  calls[1] = calls_per_sample(pair->peer, pair->peer_arg);
  for (uint32_t i = 1; i < BENCH_PEERS; i++)
    calls[i + 1] = calls_per_sample(pair->more[i - 1], pair->more_arg[i - 1]);
  uint32_t n = 0;
  memset(result, 0, sizeof *result);
  take_rates(pair, &fma[0], &fma_cpu[0], &read[0]);
  while (n < MAX_SAMPLES && (n < MIN_SAMPLES || bench_seconds() - start < budget)) {
    double s[BENCH_PEERS + 1], c[BENCH_PEERS + 1] = {0};
    take_turn(pair, calls, s, c);
    for (uint32_t i = 0; i <= BENCH_PEERS; i++) seconds[i][n] = s[i], cpu[i][n] = c[i];
    n++;
    take_rates(pair, &fma[n], &fma_cpu[n], &read[n]);
  }
  result->samples = n;
  /* Ratios of one turn before the medians sort the samples. */
  double fastest = INFINITY;
  for (uint32_t i = 0; i < BENCH_PEERS; i++) {
    double sorted[MAX_SAMPLES];
    memcpy(sorted, seconds[i + 1], sizeof sorted);
    result->peers[i] = bench_median(sorted, n);
    if (result->peers[i] <= 0 || result->peers[i] >= fastest) continue;
    fastest = result->peer = result->peers[i];
    result->peer_best = sorted[0];
    result->fastest = i;
  }
  if (pair->peer) {
    for (uint32_t i = 0; i < n; i++) {
      ratio[i] = seconds[result->fastest + 1][i] / seconds[0][i];
      ratio_cpu[i] = cpu[result->fastest + 1][i] / cpu[0][i];
    }
    result->ratio = bench_median(ratio, n);
    result->ratio_cpu = bench_median(ratio_cpu, n);
  }
  result->ours = bench_median(seconds[0], n);
  result->ours_best = seconds[0][0]; /* sorted by now */
  result->ours_cpu = bench_median(cpu[0], n);
  result->fma = bench_median(fma, n + 1);
  result->fma_cpu = bench_median(fma_cpu, n + 1);
  result->read = bench_median(read, n + 1);
}

/* ---- output ----------------------------------------------------------------------------------- */

static void print_string(const char *text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    putchar((unsigned char)*text < 0x20 ? ' ' : *text);
  }
  putchar('"');
}

static void print_field(const char *key, double value) {
  if (isfinite(value))
    printf(",\"%s\":%.6g", key, value);
  else
    printf(",\"%s\":null", key);
}

void bench_print(const char *name, double value, const char *unit, const char *peer,
                 double peer_value, double ratio, const char *note, ...) {
  char text[512];
  va_list args;
  va_start(args, note);
  vsnprintf(text, sizeof text, note, args);
  va_end(args);
  printf("{\"name\":");
  print_string(name);
  print_field("value", value);
  printf(",\"unit\":");
  print_string(unit);
  printf(",\"peer\":");
  if (peer)
    print_string(peer);
  else
    printf("null");
  print_field("peer_value", peer ? peer_value : NAN);
  print_field("ratio", peer ? ratio : NAN);
  printf(",\"note\":");
  print_string(text);
  printf("}\n");
  fflush(stdout);
}

/* ---- data ------------------------------------------------------------------------------------- */

void *bench_alloc(int64_t bytes) {
  void *p = aligned_alloc(64, (size_t)((bytes + 63) / 64 * 64 + 64));
  if (!p) {
    fprintf(stderr, "bench: out of memory (%lld bytes)\n", (long long)bytes);
    exit(1);
  }
  return p;
}

void bench_fill(float *v, int64_t n, uint64_t seed) {
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (int64_t i = 0; i < n; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
    v[i] = (float)((double)(state >> 40) / 8388608.0 - 1.0);
  }
}
