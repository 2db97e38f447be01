/* Packed weights: packing, products and rows against the naive reference, bit for bit, on each instruction set; and how
 * far a format is from the weights it was made from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "kernels_support.h"

static plr_context *ctx[CONTEXTS];
static const uint32_t formats[] = {PLR_PACK_BF16, PLR_PACK_Q8, PLR_PACK_Q4};

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

/* A buffer of NaN, so that an element that is never written shows. */
static float *unwritten(int64_t n) {
  float *x = floats(n);
  for (int64_t i = 0; i < n; i++) x[i] = NAN;
  return x;
}

/* n outputs x k inputs; some groups of zeros, some of a single number. */
static float *weights(int64_t n, int64_t k, uint32_t seed) {
  float *w = random_floats(n * k, seed, 0.05f);
  for (int64_t i = 0; i < n * k; i++)
    if (i / 32 % 11 == 3) w[i] = i % 32 == 5 ? -0.25f : 0.0f;
  return w;
}

static void *packed_by(plr_context *c, uint32_t format, const float *w, int64_t n, int64_t k,
                       uint32_t layout) {
  size_t size = (size_t)plr_packed_size(format, n, k);
  plr_packed_args a = {.format = format, .count = 1, .n = {n}, .k = k, .from = w, .layout = layout};
  a.packed = allocate(size);
  memset(a.packed, 0xee, size);
  plr_status st =
      c ? plr__cpu_run(c, PLR_OP_WEIGHT_PACK, &a) : plr__reference_run(PLR_OP_WEIGHT_PACK, &a);
  assert_int_equal(st, PLR_OK);
  return a.packed;
}

static const int64_t shapes[][2] = {{32, 32},   {1, 1},   {33, 31},  {64, 96},
                                    {100, 200}, {31, 65}, {320, 256}};

static void test_pack(void **state) {
  (void)state;
  for (size_t f = 0; f < PLR_COUNT_OF(formats); f++)
    for (size_t s = 0; s < PLR_COUNT_OF(shapes); s++) {
      int64_t n = shapes[s][0], k = shapes[s][1];
      size_t size = (size_t)plr_packed_size(formats[f], n, k);
      float *w = weights(n, k, 3), *t = floats(n * k);
      for (int64_t j = 0; j < n; j++)
        for (int64_t p = 0; p < k; p++) t[p * n + j] = w[j * k + p];
      void *want = packed_by(NULL, formats[f], w, n, k, PLR_MATMUL_NT);
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        void *nt = packed_by(ctx[c], formats[f], w, n, k, PLR_MATMUL_NT);
        void *nn = packed_by(ctx[c], formats[f], t, n, k, PLR_MATMUL_NN);
        assert_memory_equal(nt, want, size);
        assert_memory_equal(nn, want, size);
        free(nt);
        free(nn);
      }
      free(want);
      free(w);
      free(t);
    }
}

/* Three matrices of one input, all numbers of rows that take another way. */
static void test_matmul(void **state) {
  (void)state;
  static const int64_t rows[] = {1, 2, 3, 4, 5, 7, 8, 9, 17, 47, 48, 61};
  for (size_t f = 0; f < PLR_COUNT_OF(formats); f++)
    for (size_t s = 0; s < PLR_COUNT_OF(shapes); s++)
      for (size_t i = 0; i < PLR_COUNT_OF(rows); i++) {
        int64_t n = shapes[s][0], k = shapes[s][1], r = rows[i], ldx = k + 3;
        plr_packed_args a = {.format = formats[f], .count = 3, .rows = r, .k = k, .ldx = ldx};
        float *x = random_floats(r * ldx, 9, 2.0f), *want[3];
        for (int64_t j = 0; j < k && j < 32; j++) x[j] = 0.0f; /* a group of zeros */
        if (r > 1) x[ldx + k - 1] = 0x1p-120f;
        a.x = x;
        for (int m = 0; m < 3; m++) {
          a.n[m] = m == 1 ? 40 : n;
          float *w = weights(a.n[m], k, 20 + (uint32_t)m);
          a.w[m] = packed_by(ctx[0], formats[f], w, a.n[m], k, PLR_MATMUL_NT);
          free(w);
          want[m] = a.c[m] = unwritten(r * a.n[m]);
        }
        assert_int_equal(plr__reference_run(PLR_OP_PACKED_MATMUL, &a), PLR_OK);
        for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
          char what[80];
          snprintf(what, sizeof what, "format %u, %dx%d, %d rows, context %d", formats[f], (int)n,
                   (int)k, (int)r, c);
          for (int m = 0; m < 3; m++) a.c[m] = unwritten(r * a.n[m]);
          a.work = allocate(plr__cpu_workspace(ctx[c], PLR_OP_PACKED_MATMUL, &a));
          assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_PACKED_MATMUL, &a), PLR_OK);
          for (int m = 0; m < 3; m++) {
            assert_same_bits(a.c[m], want[m], r * a.n[m], what);
            free(a.c[m]);
          }
          free(a.work);
        }
        for (int m = 0; m < 3; m++) {
          free((void *)(uintptr_t)a.w[m]);
          free(want[m]);
        }
        free(x);
      }
}

static void test_embed(void **state) {
  (void)state;
  for (size_t f = 0; f < PLR_COUNT_OF(formats); f++)
    for (size_t s = 0; s < PLR_COUNT_OF(shapes); s++) {
      int64_t n = shapes[s][0], k = shapes[s][1];
      int32_t ids[19];
      float *w = weights(n, k, 4), *want = unwritten(19 * k);
      fill_ids(ids, 19, 6, (uint32_t)n);
      plr_packed_args a = {
          .format = formats[f], .count = 1, .n = {n}, .k = k, .ids = ids, .rows = 19, .c = {want}};
      a.w[0] = packed_by(ctx[0], formats[f], w, n, k, PLR_MATMUL_NT);
      assert_int_equal(plr__reference_run(PLR_OP_PACKED_EMBED, &a), PLR_OK);
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        a.c[0] = unwritten(19 * k);
        assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_PACKED_EMBED, &a), PLR_OK);
        assert_same_bits(a.c[0], want, 19 * k, "embed");
        free(a.c[0]);
      }
      /* Half a unit of the scale, and what rounding the scale may cost the largest number. */
      static const float steps[] = {0.0f, 1.0f / 255, 0.54f / 127, 1.05f / 8};
      for (int64_t r = 0; r < 19; r++)
        for (int64_t p = 0; p < k; p++) {
          const float *row = w + ids[r] * k;
          float most = 0.0f;
          for (int64_t i = p / 32 * 32; i < k && i < p / 32 * 32 + 32; i++)
            most = fmaxf(most, fabsf(row[i]));
          if (fabsf(want[r * k + p] - row[p]) > most * steps[formats[f]])
            fail_msg("format %u: %g became %g, the group's largest is %g", formats[f],
                     (double)row[p], (double)want[r * k + p], (double)most);
        }
      ids[3] = (int32_t)n;
      assert_int_equal(plr__cpu_run(ctx[0], PLR_OP_PACKED_EMBED, &a), PLR_ERR_INVALID_ARGUMENT);
      free((void *)(uintptr_t)a.w[0]);
      free(w);
      free(want);
    }
}

/* The largest integers there are, with all signs: nothing saturates. */
static void test_extremes(void **state) {
  (void)state;
  for (size_t f = 1; f < PLR_COUNT_OF(formats); f++) {
    float *w = floats(64 * 128), *x = floats(128), want[64], got[64];
    for (int64_t i = 0; i < 64 * 128; i++) w[i] = i / 128 % 2 ? 1.0f : i % 3 ? -1.0f : 1.0f;
    for (int64_t i = 0; i < 128; i++) x[i] = i < 64 ? 1.0f : i % 3 ? 1.0f : -1.0f;
    plr_packed_args a = {.format = formats[f],
                         .count = 1,
                         .n = {64},
                         .k = 128,
                         .ldx = 128,
                         .rows = 1,
                         .x = x,
                         .c = {want}};
    a.w[0] = packed_by(NULL, formats[f], w, 64, 128, PLR_MATMUL_NT);
    assert_int_equal(plr__reference_run(PLR_OP_PACKED_MATMUL, &a), PLR_OK);
    a.c[0] = got;
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      a.work = allocate(plr__cpu_workspace(ctx[c], PLR_OP_PACKED_MATMUL, &a));
      assert_int_equal(plr__cpu_run(ctx[c], PLR_OP_PACKED_MATMUL, &a), PLR_OK);
      assert_same_bits(got, want, 64, "extremes");
      free(a.work);
    }
    free((void *)(uintptr_t)a.w[0]);
    free(w);
    free(x);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pack),
      cmocka_unit_test(test_matmul),
      cmocka_unit_test(test_embed),
      cmocka_unit_test(test_extremes),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
