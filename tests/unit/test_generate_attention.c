/* Attention over caches: each instruction set and thread count against the naive reference, and any way of cutting a
 * sequence into calls against attention over the whole of it, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "kernels_support.h"

typedef struct shape {
  int64_t heads, kv_heads, head_dim;
  uint32_t window;
} shape;

/* Groups of 1, 2, 3, 4, 8; dimensions with and without tails; windows inside and across blocks of sixteen. */
static const shape shapes[] = {{1, 1, 8, 0},   {4, 2, 64, 0}, {3, 1, 24, 0},  {8, 2, 128, 0},
                               {8, 1, 16, 0},  {2, 2, 72, 0}, {4, 2, 64, 20}, {2, 2, 16, 1},
                               {3, 1, 40, 50}, {8, 1, 10, 33}};

static plr_context *ctx[CONTEXTS];

static int setup(void **state) {
  (void)state;
  contexts_create(ctx);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  contexts_destroy(ctx);
  return 0;
}

#define LENGTH   130 /* of each sequence */
#define CAPACITY 144

typedef struct sequence {
  float *k, *v; /* the cache */
  int64_t length;
} sequence;

typedef struct problem {
  shape s;
  int64_t q_cols, kv_cols, ld;
  sequence seq[3];
} problem;

static problem problem_make(shape s) {
  problem p = {.s = s, .q_cols = s.heads * s.head_dim, .kv_cols = s.kv_heads * s.head_dim};
  p.ld = p.q_cols + 2 * p.kv_cols + 1;
  for (int i = 0; i < 3; i++) {
    p.seq[i].k = calloc((size_t)plr_cache_keys(s.kv_heads, s.head_dim, CAPACITY), sizeof(float));
    p.seq[i].v = calloc((size_t)plr_cache_values(s.kv_heads, s.head_dim, CAPACITY), sizeof(float));
    assert_true(p.seq[i].k && p.seq[i].v);
  }
  return p;
}

static void problem_free(problem *p) {
  for (int i = 0; i < 3; i++) free(p->seq[i].k), free(p->seq[i].v);
}

/* Rows of the three sequences, chosen by `counts`, out of their whole inputs (sequence-major). */
static void feed(problem *p, plr_context *c, const float *input, const int64_t *counts,
                 float *out) {
  plr_cache_rows groups[3];
  int64_t total = 0, used = 0;
  for (int i = 0; i < 3; i++) total += counts[i];
  float *rows = floats(total * p->ld), *y = unset_floats(total * p->q_cols);
  for (int64_t i = 0, at = 0; i < 3; i++) {
    if (counts[i] == 0) continue;
    sequence *q = &p->seq[i];
    plr_cache_rows g = {q->k, q->v, CAPACITY, at, counts[i], q->length};
    groups[used++] = g;
    memcpy(rows + at * p->ld, input + (i * LENGTH + q->length) * p->ld,
           (size_t)(counts[i] * p->ld) * sizeof(float));
    at += counts[i];
  }
  plr_attention_cache_args a = {.q = rows,
                                .k = rows + p->q_cols,
                                .v = rows + p->q_cols + p->kv_cols,
                                .out = y,
                                .groups = groups,
                                .group_count = used,
                                .heads = p->s.heads,
                                .kv_heads = p->s.kv_heads,
                                .head_dim = p->s.head_dim,
                                .ldq = p->ld,
                                .ldk = p->ld,
                                .ldv = p->ld,
                                .ldo = p->q_cols,
                                .scale = 0.17f,
                                .window = p->s.window};
  if (c) {
    a.work = allocate(plr__cpu_workspace(c, PLR_OP_ATTENTION_CACHE, &a));
    assert_int_equal(plr__cpu_run(c, PLR_OP_ATTENTION_CACHE, &a), PLR_OK);
    free(a.work);
  } else {
    assert_int_equal(plr__reference_run(PLR_OP_ATTENTION_CACHE, &a), PLR_OK);
  }
  for (int64_t i = 0, at = 0; i < 3; i++) {
    memcpy(out + (i * LENGTH + p->seq[i].length) * p->q_cols, y + at * p->q_cols,
           (size_t)(counts[i] * p->q_cols) * sizeof(float));
    at += counts[i], p->seq[i].length += counts[i];
  }
  free(rows);
  free(y);
}

/* All of the three sequences, in chunks; chunk sizes are drawn from `seed`, 0 is one token at a time. */
static float *feed_all(plr_context *c, shape s, const float *input, uint32_t seed) {
  problem p = problem_make(s);
  float *out = unset_floats(3 * LENGTH * p.q_cols);
  int32_t drawn[3 * LENGTH];
  fill_ids(drawn, 3 * LENGTH, seed, 61);
  for (int64_t call = 0, left = 1; left > 0; call++) {
    int64_t counts[3];
    left = 0;
    for (int i = 0; i < 3; i++) {
      int64_t want = seed ? drawn[3 * (call % LENGTH) + i] : 1, rest = LENGTH - p.seq[i].length;
      counts[i] = want < rest ? want : rest;
    }
    if (counts[0] + counts[1] + counts[2] > 0) feed(&p, c, input, counts, out);
    for (int i = 0; i < 3; i++) left += LENGTH - p.seq[i].length;
  }
  problem_free(&p);
  return out;
}

static void test_reference(void **state) {
  (void)state;
  for (size_t i = 0; i < PLR_COUNT_OF(shapes); i++) {
    shape s = shapes[i];
    int64_t cols = s.heads * s.head_dim, ld = cols + 2 * s.kv_heads * s.head_dim + 1;
    float *input = random_floats(3 * LENGTH * ld, 7, 1.5f);
    float *want = feed_all(NULL, s, input, 5);
    char what[64];
    for (int c = 0; c < CONTEXTS && ctx[c]; c++)
      for (uint32_t seed = 0; seed < 3; seed++) {
        float *got = feed_all(ctx[c], s, input, seed);
        snprintf(what, sizeof what, "shape %zu, context %d, seed %u", i, c, seed);
        assert_same_bits(got, want, 3 * LENGTH * cols, what);
        free(got);
      }
    free(input);
    free(want);
  }
}

/* The cache against ATTENTION over whole sequences. */
static void test_whole(void **state) {
  (void)state;
  for (size_t i = 0; i < PLR_COUNT_OF(shapes); i++) {
    shape s = shapes[i];
    int64_t cols = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim, ld = cols + 2 * kv + 1;
    float *input = random_floats(3 * LENGTH * ld, 8, 1.5f);
    float *want = unset_floats(3 * LENGTH * cols), *stats = floats(6 * LENGTH * s.heads);
    plr_attention_args a = {.q = input,
                            .k = input + cols,
                            .v = input + cols + kv,
                            .out = want,
                            .row_max = stats,
                            .row_sum = stats + 3 * LENGTH * s.heads,
                            .batch = 3,
                            .seq = LENGTH,
                            .heads = s.heads,
                            .kv_heads = s.kv_heads,
                            .head_dim = s.head_dim,
                            .ldq = ld,
                            .ldk = ld,
                            .ldv = ld,
                            .ldo = cols,
                            .scale = 0.17f,
                            .window = s.window};
    a.work = allocate(plr__cpu_workspace(ctx[1], PLR_OP_ATTENTION, &a));
    assert_int_equal(plr__cpu_run(ctx[1], PLR_OP_ATTENTION, &a), PLR_OK);
    float *got = feed_all(ctx[1], s, input, 3);
    assert_same_bits(got, want, 3 * LENGTH * cols, "cache against whole");
    free(a.work);
    free(input);
    free(want);
    free(stats);
    free(got);
  }
}

static void test_refused(void **state) {
  (void)state;
  float x[64] = {0}, cache[512] = {0};
  plr_cache_rows g = {cache, cache + 256, 16, 0, 1, 15};
  plr_attention_cache_args a = {.q = x,
                                .k = x,
                                .v = x,
                                .out = x + 32,
                                .groups = &g,
                                .group_count = 1,
                                .heads = 2,
                                .kv_heads = 1,
                                .head_dim = 8,
                                .ldq = 16,
                                .ldk = 8,
                                .ldv = 8,
                                .ldo = 16,
                                .scale = 1.0f};
  a.work = allocate(plr__cpu_workspace(ctx[0], PLR_OP_ATTENTION_CACHE, &a));
  assert_int_equal(plr__cpu_run(ctx[0], PLR_OP_ATTENTION_CACHE, &a), PLR_OK);
  g.rows = 2; /* one past the capacity */
  assert_int_equal(plr__cpu_run(ctx[0], PLR_OP_ATTENTION_CACHE, &a), PLR_ERR_LIMIT);
  g.rows = 1, g.first = -1;
  assert_int_equal(plr__cpu_run(ctx[0], PLR_OP_ATTENTION_CACHE, &a), PLR_ERR_INVALID_ARGUMENT);
  g.first = 0, g.capacity = 17;
  assert_int_equal(plr__cpu_run(ctx[0], PLR_OP_ATTENTION_CACHE, &a), PLR_ERR_INVALID_ARGUMENT);
  g.capacity = 16, a.kv_heads = 3;
  assert_int_equal(plr__cpu_run(ctx[0], PLR_OP_ATTENTION_CACHE, &a), PLR_ERR_INVALID_ARGUMENT);
  free(a.work);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reference),
      cmocka_unit_test(test_whole),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
