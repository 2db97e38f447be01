/* The exact matrix product: every layout, odd shapes, leading dimensions, continuation and thread count against the
 * naive chain, bit for bit; denormals; refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "float_mode.h"
#include "kernels_support.h"

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

/* A product with its matrices; pad elements follow each row, and C starts one float off any alignment. */
typedef struct product {
  plr_matmul_args args;
  float *a, *b, *c, *start; /* c: where the result goes; start: what it held before */
  int64_t c_size;
} product;

static product make(uint32_t layout, int64_t m, int64_t n, int64_t k, int64_t pad, int accumulate,
                    float amplitude) {
  product p = {.args = {.m = m, .n = n, .k = k, .layout = layout}};
  const int ta = layout == PLR_MATMUL_TN, tb = layout == PLR_MATMUL_NT;
  p.args.lda = (ta ? m : k) + pad;
  p.args.ldb = (tb ? k : n) + pad;
  p.args.ldc = n + pad;
  p.args.accumulate = (uint32_t)accumulate;
  const uint32_t seed = (uint32_t)(m * 7919 + n * 104729 + k * 31 + layout);
  p.a = random_floats((ta ? k : m) * p.args.lda + 1, seed, amplitude);
  p.b = random_floats((tb ? n : k) * p.args.ldb + 1, seed + 1, amplitude);
  p.c_size = m * p.args.ldc + 1;
  p.start = random_floats(p.c_size, seed + 2, amplitude);
  p.c = copy_floats(p.start, p.c_size);
  p.args.a = p.a + 1, p.args.b = p.b + 1, p.args.c = p.c + 1;
  return p;
}

static void release(product *p) {
  free(p->a), free(p->b), free(p->c), free(p->start);
}

static void run_on(plr_context *on, plr_matmul_args *args) {
  args->work = allocate(plr__cpu_workspace(on, PLR_OP_MATMUL, args));
  assert_int_equal(plr__cpu_run(on, PLR_OP_MATMUL, args), PLR_OK);
  free(args->work);
  args->work = NULL;
}

/* All of C, what lies between its rows included. */
static void check(uint32_t layout, int64_t m, int64_t n, int64_t k, int64_t pad, int accumulate,
                  float amplitude) {
  product p = make(layout, m, n, k, pad, accumulate, amplitude);
  float *want = copy_floats(p.start, p.c_size);
  plr_matmul_args ref = p.args;
  ref.c = want + 1;
  assert_int_equal(plr__reference_run(PLR_OP_MATMUL, &ref), PLR_OK);
  for (int i = 0; i < CONTEXTS && ctx[i]; i++) {
    char what[128];
    snprintf(what, sizeof what,
             "layout %u, %" PRId64 "x%" PRId64 "x%" PRId64 " pad %" PRId64 "%s, context %d", layout,
             m, n, k, pad, accumulate ? " accumulating" : "", i);
    memcpy(p.c, p.start, (size_t)p.c_size * sizeof(float));
    run_on(ctx[i], &p.args);
    assert_same_bits(p.c, want, p.c_size, what);
  }
  free(want);
  release(&p);
}

/* Around every edge: register tiles (6 x 16, half 8; 14 x 32, half 16), thin kernel (8 rows, 4 of k),
 * few rows (64), blocks of k (256, thin 256), packed rows (84). */
static void edges(void **state) {
  (void)state;
  static const int64_t ms[] = {1,  2,  3,  5,  6,  7,  8,  9,  11, 13, 14,
                               17, 27, 28, 29, 64, 65, 66, 70, 84, 85, 97};
  static const int64_t ns[] = {1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 48, 49, 64, 65};
  static const int64_t ks[] = {1, 2, 3, 4, 5, 16, 19};
  for (uint32_t layout = PLR_MATMUL_NN; layout <= PLR_MATMUL_TN; layout++)
    for (size_t i = 0; i < PLR_COUNT_OF(ms); i++)
      for (size_t j = 0; j < PLR_COUNT_OF(ns); j++) {
        const int64_t k = ks[(i * PLR_COUNT_OF(ns) + j) % PLR_COUNT_OF(ks)];
        check(layout, ms[i], ns[j], k, (int64_t)(i + j) % 3, (int)(i ^ j) & 1, 1.0f);
      }
}

/* Large enough that two and three threads share them, in grids cut by rows, by columns and both. */
static void blocks_and_threads(void **state) {
  (void)state;
  static const int64_t shapes[][3] = {
      {70, 40, 193},  {103, 130, 70}, {199, 17, 385}, {66, 1030, 19}, {1, 1500, 530},
      {3, 2049, 256}, {8, 530, 300},  {61, 70, 513},  {16, 768, 60},  {600, 9, 130},
  };
  for (uint32_t layout = PLR_MATMUL_NN; layout <= PLR_MATMUL_TN; layout++)
    for (size_t i = 0; i < PLR_COUNT_OF(shapes); i++)
      check(layout, shapes[i][0], shapes[i][1], shapes[i][2], (int64_t)i % 2 * 5, (int)i % 2, 1.0f);
}

/* Who computes what changes from run to run, the bits never: 1 to 8 threads, on a machine with fewer processors. */
static void any_threads(void **state) {
  (void)state;
  static const int64_t shapes[][3] = {
      {150, 400, 300}, {520, 96, 260}, {1, 5000, 200}, {8, 1300, 90}};
  for (uint32_t layout = PLR_MATMUL_NN; layout <= PLR_MATMUL_TN; layout++)
    for (size_t i = 0; i < PLR_COUNT_OF(shapes); i++) {
      product p = make(layout, shapes[i][0], shapes[i][1], shapes[i][2], 0, 1, 1.0f);
      float *want = NULL;
      for (uint32_t threads = 1; threads <= 8; threads++) {
        plr_context *on = context_of(PLR_ISA_BEST, threads);
        for (int again = 0; again < 3; again++) {
          memcpy(p.c, p.start, (size_t)p.c_size * sizeof(float));
          run_on(on, &p.args);
          if (!want) want = copy_floats(p.c, p.c_size);
          assert_same_bits(p.c, want, p.c_size, "threads");
        }
        plr_context_destroy(on);
      }
      free(want);
      release(&p);
    }
}

static int64_t draw(uint32_t index, uint32_t word, int64_t range) {
  const uint32_t key[2] = {17, 0x67656d6du}, counter[4] = {index, 0, 0, 0};
  uint32_t out[4];
  plr__philox4x32(counter, key, out);
  return 1 + (int64_t)(out[word] % (uint32_t)range);
}

static void random_shapes(void **state) {
  (void)state;
  for (uint32_t i = 0; i < 60; i++) {
    const int64_t pad = draw(i + 1000, 0, 9) - 1;
    check(i % 3, draw(i, 0, i % 2 ? 20 : 150), draw(i, 1, 90), draw(i, 2, 300), pad,
          (int)draw(i, 3, 2) - 1, 3.0f);
  }
}

/* Products of about 1e-40 and sums below the smallest normal number: nothing is flushed, whatever mode the host has
 * left the processor in, and the host's mode is back afterwards. */
static void denormals(void **state) {
  (void)state;
  const uint64_t host = float_mode();
  set_float_mode(host | FLOAT_MODE_FLUSH); /* where the processor (or an emulator) has it */
  const uint64_t flushing = float_mode();
  for (uint32_t layout = PLR_MATMUL_NN; layout <= PLR_MATMUL_TN; layout++) {
    check(layout, 67, 33, 20, 1, 0, 1e-20f);
    check(layout, 5, 33, 20, 0, 1, 1e-20f);
    check(layout, 150, 70, 64, 0, 0, 3e-21f);
  }
  const uint64_t after = float_mode();
  set_float_mode(host);
  assert_int_equal(after & FLOAT_MODE_FLUSH, flushing & FLOAT_MODE_FLUSH);
  product p = make(PLR_MATMUL_NN, 5, 9, 3, 0, 0, 1e-20f);
  run_on(ctx[1], &p.args);
  for (int64_t i = 0; i < 45; i++) assert_int_equal(fpclassify(p.args.c[i]), FP_SUBNORMAL);
  release(&p);
}

/* The data tells orders apart: the same sum over decreasing k has other bits. Without this, the tests above could
 * pass with any order. */
static void order_matters(void **state) {
  (void)state;
  product p = make(PLR_MATMUL_NN, 4, 4, 200, 0, 0, 1.0f);
  run_on(ctx[1], &p.args);
  int different = 0;
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) {
      float sum = 0;
      for (int64_t q = 199; q >= 0; q--)
        sum = fmaf(p.args.a[i * 200 + q], p.args.b[q * 4 + j], sum);
      different += sum != p.args.c[i * 4 + j];
    }
  assert_true(different > 8);
  release(&p);
}

/* Two products, the second continuing, are the product over all of k: what a weight gradient is over micro-batches. */
static void split_k(void **state) {
  (void)state;
  static const int64_t cuts[] = {1, 6, 100, 256, 299};
  for (uint32_t layout = PLR_MATMUL_NN; layout <= PLR_MATMUL_TN; layout++)
    for (int64_t m = 7; m <= 70; m += 63)
      for (size_t i = 0; i < PLR_COUNT_OF(cuts); i++)
        for (int on = 0; on < CONTEXTS && ctx[on]; on++) {
          const int64_t n = 37, k = 300, cut = cuts[i];
          product p = make(layout, m, n, k, 2, 0, 1.0f);
          run_on(ctx[on], &p.args);
          float *whole = copy_floats(p.c, p.c_size);
          memcpy(p.c, p.start, (size_t)p.c_size * sizeof(float));
          plr_matmul_args half = p.args;
          half.k = cut;
          run_on(ctx[on], &half);
          half.a += layout == PLR_MATMUL_TN ? cut * half.lda : cut;
          half.b += layout == PLR_MATMUL_NT ? cut : cut * half.ldb;
          half.k = k - cut;
          half.accumulate = 1;
          run_on(ctx[on], &half);
          assert_same_bits(p.c, whole, p.c_size, "split k");
          free(whole);
          release(&p);
        }
}

/* A row has the same bits alone, as when decoding, as among many. */
static void rows_alone(void **state) {
  (void)state;
  product p = make(PLR_MATMUL_NN, 130, 70, 300, 0, 0, 1.0f);
  run_on(ctx[2], &p.args);
  for (int64_t r = 0; r < 130; r += 43) {
    float *row = unset_floats(70);
    plr_matmul_args one = p.args;
    one.m = 1;
    one.a += r * one.lda;
    one.c = row;
    run_on(ctx[1], &one);
    assert_same_bits(row, p.args.c + r * 70, 70, "one row");
    free(row);
  }
  release(&p);
}

static void zeros(void **state) {
  (void)state;
  for (int i = 0; i < CONTEXTS && ctx[i]; i++) {
    float a = -1.0f, b = 0.0f, c[4] = {1, 2, 3, 4}, want = 0.0f;
    plr_matmul_args args = {&a, &b, c, 1, 1, 1, 1, 1, 1, PLR_MATMUL_NN, 0, NULL};
    run_on(ctx[i], &args);
    assert_same_bits(c, &want, 1, "-1 * 0 + 0 is +0");

    /* No k: an empty chain is +0, or what was there. */
    plr_matmul_args none = {NULL, NULL, c, 2, 1, 0, 0, 1, 2, PLR_MATMUL_NN, 1, NULL};
    c[0] = 1;
    run_on(ctx[i], &none);
    assert_true(c[0] == 1 && c[1] == 2 && c[2] == 3 && c[3] == 4);
    none.accumulate = 0;
    run_on(ctx[i], &none);
    assert_true(c[0] == 0 && c[1] == 2 && c[2] == 0 && c[3] == 4);

    /* No output. */
    plr_matmul_args empty = {NULL, &b, NULL, 0, 1, 1, 1, 1, 1, PLR_MATMUL_NN, 0, NULL};
    run_on(ctx[i], &empty);
  }
}

static void refusals(void **state) {
  (void)state;
  product p = make(PLR_MATMUL_NT, 66, 20, 30, 0, 0, 1.0f);
  void *work = p.args.work = allocate(plr__cpu_workspace(ctx[1], PLR_OP_MATMUL, &p.args));
  const plr_matmul_args good = p.args;
#define REFUSED(change, status)                                                                    \
  do {                                                                                             \
    p.args = good;                                                                                 \
    p.args.change;                                                                                 \
    assert_int_equal(plr__cpu_run(ctx[1], PLR_OP_MATMUL, &p.args), status);                        \
  } while (0)
  REFUSED(m = -1, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(n = -1, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(k = -1, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(lda = 29, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(ldb = 29, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(ldc = 19, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(layout = 3, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(a = NULL, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(b = NULL, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(c = NULL, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(work = NULL, PLR_ERR_INVALID_ARGUMENT);
  REFUSED(m = INT64_MAX, PLR_ERR_LIMIT);
  REFUSED(lda = INT64_MAX, PLR_ERR_LIMIT);
  REFUSED(ldc = INT64_MAX / 2, PLR_ERR_LIMIT);
#undef REFUSED
  assert_same_bits(p.c, p.start, p.c_size, "a refused product");
  assert_int_equal(plr__cpu_run(ctx[1], (plr_op_id)0, &good), PLR_ERR_UNSUPPORTED);
  assert_int_equal(plr__cpu_run(ctx[1], PLR_OP_COUNT, &good), PLR_ERR_UNSUPPORTED);
  assert_int_equal(plr__reference_run(PLR_OP_COUNT, &good), PLR_ERR_UNSUPPORTED);
  assert_int_equal(plr__cpu_workspace(ctx[1], PLR_OP_COUNT, &good), 0);
  free(work);
  release(&p);
}

static void no_allocation(void **state) {
  (void)state;
  for (int i = 0; i < CONTEXTS && ctx[i]; i++) {
    product p = make(PLR_MATMUL_TN, 100, 130, 70, 0, 0, 1.0f);
    uint64_t before, after;
    plr_context_memory(ctx[i], NULL, NULL, &before);
    run_on(ctx[i], &p.args);
    plr_context_memory(ctx[i], NULL, NULL, &after);
    assert_int_equal(before, after);
    release(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(edges),         cmocka_unit_test(blocks_and_threads),
      cmocka_unit_test(random_shapes), cmocka_unit_test(denormals),
      cmocka_unit_test(order_matters), cmocka_unit_test(split_k),
      cmocka_unit_test(rows_alone),    cmocka_unit_test(zeros),
      cmocka_unit_test(refusals),      cmocka_unit_test(no_allocation),
      cmocka_unit_test(any_threads),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
