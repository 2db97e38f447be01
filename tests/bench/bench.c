#include "bench.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_SAMPLES 64
#define MIN_SAMPLES 5
#define SAMPLE_TIME 0.01 /* seconds; shorter calls are repeated */
#define MAX_THREADS 64

double bench_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the rate of the processor ---------------------------------------------------------------- */

#if defined(__x86_64__)
#include <immintrin.h>

#define FMA_CHAINS 12

/* 12 chains hide the latency of two FMA units; 16 operations a step and chain. */
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

static int have_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
static double fma_loop_avx2(int64_t steps) {
  return (double)steps * 0;
}
static int have_avx2(void) {
  return 0;
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

const char *bench_fma_name(void) {
  return have_avx2() ? "AVX2 FMA" : "scalar fmaf";
}

static void *fma_thread(void *arg) {
  double *rate = arg;
  const double start = bench_seconds();
  const double done = have_avx2() ? fma_loop_avx2(400000) : fma_loop_scalar(200000);
  *rate = done / (bench_seconds() - start) * 1e-9;
  return NULL;
}

double bench_fma_rate(uint32_t threads) {
  pthread_t thread[MAX_THREADS];
  double rate[MAX_THREADS] = {0}, sum = 0;
  int started[MAX_THREADS] = {0};
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  for (uint32_t i = 1; i < threads; i++)
    started[i] = pthread_create(&thread[i], NULL, fma_thread, &rate[i]) == 0;
  fma_thread(&rate[0]);
  for (uint32_t i = 1; i < threads; i++)
    if (started[i]) pthread_join(thread[i], NULL);
  for (uint32_t i = 0; i < threads; i++) sum += rate[i];
  return sum;
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
  time_calls(fn, arg, 1);
  const double once = time_calls(fn, arg, 1);
  const double calls = SAMPLE_TIME / (once > 1e-9 ? once : 1e-9);
  return calls < 1 ? 1 : (int64_t)calls;
}

void bench_run(const bench_pair *pair, bench_result *result) {
  double ours[MAX_SAMPLES], peer[MAX_SAMPLES], ratio[MAX_SAMPLES], fma[MAX_SAMPLES + 1];
  const double budget = pair->seconds > 0 ? pair->seconds : 1.0, start = bench_seconds();
  const int64_t our_calls = calls_per_sample(pair->ours, pair->ours_arg);
  const int64_t peer_calls = pair->peer ? calls_per_sample(pair->peer, pair->peer_arg) : 0;
  uint32_t n = 0;
  fma[0] = bench_fma_rate(pair->threads);
  while (n < MAX_SAMPLES && (n < MIN_SAMPLES || bench_seconds() - start < budget)) {
    ours[n] = time_calls(pair->ours, pair->ours_arg, our_calls);
    peer[n] = pair->peer ? time_calls(pair->peer, pair->peer_arg, peer_calls) : 0;
    ratio[n] = pair->peer ? peer[n] / ours[n] : 0;
    n++;
    fma[n] = bench_fma_rate(pair->threads);
  }
  result->samples = n;
  result->ours = bench_median(ours, n);
  result->peer = bench_median(peer, n);
  result->ratio = bench_median(ratio, n);
  result->fma = bench_median(fma, n + 1);
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
