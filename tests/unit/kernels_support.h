/* What the kernel tests share: inputs made from Philox, contexts of each instruction set and thread count, and
 * comparison of bits. Include after cmocka.h. */
#ifndef PLR_TESTS_KERNELS_SUPPORT_H
#define PLR_TESTS_KERNELS_SUPPORT_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels_int.h"

/* n numbers uniform in [-amplitude, amplitude), the same on every machine. */
static inline void fill_random(float *x, int64_t n, uint32_t seed, float amplitude) {
  for (int64_t i = 0; i < n; i += 4) {
    const uint32_t key[2] = {seed, 0x706c72u}, counter[4] = {(uint32_t)(i / 4), 0, 0, 0};
    uint32_t word[4];
    plr__philox4x32(counter, key, word);
    for (int64_t j = i; j < n && j < i + 4; j++)
      x[j] = ((float)(word[j % 4] >> 8) * 0x1p-23f - 1.0f) * amplitude;
  }
}

static inline void fill_ids(int32_t *ids, int64_t n, uint32_t seed, uint32_t range) {
  for (int64_t i = 0; i < n; i++) {
    const uint32_t key[2] = {seed, 0x696473u}, counter[4] = {(uint32_t)i, 0, 0, 0};
    uint32_t word[4];
    plr__philox4x32(counter, key, word);
    ids[i] = (int32_t)(word[0] % range);
  }
}

static inline void *allocate(size_t bytes) {
  size_t rounded = (bytes + 63) / 64 * 64;
  void *p = aligned_alloc(64, rounded ? rounded : 64);
  assert_non_null(p);
  return p;
}

static inline float *floats(int64_t n) {
  return (float *)allocate((size_t)n * sizeof(float));
}

static inline float *random_floats(int64_t n, uint32_t seed, float amplitude) {
  float *x = floats(n);
  fill_random(x, n, seed, amplitude);
  return x;
}

static inline float *copy_floats(const float *x, int64_t n) {
  float *y = floats(n);
  memcpy(y, x, (size_t)n * sizeof(float));
  return y;
}

/* A buffer of NaN, so that an element that is never written shows. */
static inline float *unset_floats(int64_t n) {
  float *x = floats(n);
  memset(x, 0xff, (size_t)n * sizeof(float));
  return x;
}

static inline plr_context *context_of(uint32_t isa, uint32_t threads) {
  plr_context_options o;
  plr_context_options_init(&o, sizeof o);
  o.isa = isa;
  o.threads = threads;
  plr_context *ctx = NULL;
  assert_int_equal(plr_context_create(&o, &ctx, NULL), PLR_OK);
  return ctx;
}

/* The contexts every operation is run on: portable, the best instruction set with 1, 2 and 3 threads, then the sets
 * between with 1 and 2; NULL past them. */
#define CONTEXTS 6
static inline void contexts_create(plr_context *ctx[CONTEXTS]) {
  static const struct {
    uint32_t isa;
    const char *name;
  } sets[] = {{PLR_ISA_AVX2, "AVX2"}, {PLR_ISA_AVX512, "AVX-512"}, {PLR_ISA_NEON, "NEON"}};
  int n = 0;
  ctx[n++] = context_of(PLR_ISA_PORTABLE, 1);
  for (uint32_t threads = 1; threads <= 3; threads++) ctx[n++] = context_of(PLR_ISA_BEST, threads);
  const uint32_t best = plr_context_isa(ctx[1]);
  print_message("instruction sets covered: portable");
  for (size_t i = 0; i < PLR_COUNT_OF(sets); i++) {
    plr_context *one = context_of(sets[i].isa, 1);
    const int have = plr_context_isa(one) == sets[i].isa;
    if (have) print_message(" %s", sets[i].name);
    if (have && sets[i].isa != best) {
      ctx[n++] = one;
      ctx[n++] = context_of(sets[i].isa, 2);
    } else {
      plr_context_destroy(one);
    }
  }
  print_message("\n");
#if defined(__x86_64__)
  for (uint32_t isa = best + 1; isa <= PLR_ISA_AVX512; isa++)
    print_message("skipped: %s, which this processor does not have\n", sets[isa - 1].name);
#endif
  while (n < CONTEXTS) ctx[n++] = NULL;
}

static inline void contexts_destroy(plr_context *ctx[CONTEXTS]) {
  for (int i = 0; i < CONTEXTS && ctx[i]; i++) plr_context_destroy(ctx[i]);
}

static inline void assert_same_bits(const float *got, const float *want, int64_t n,
                                    const char *what) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t g, w;
    memcpy(&g, got + i, 4);
    memcpy(&w, want + i, 4);
    if (g != w)
      fail_msg("%s: element %" PRId64 " is %.9g (%08x), expected %.9g (%08x)", what, i,
               (double)got[i], g, (double)want[i], w);
  }
}

#endif
