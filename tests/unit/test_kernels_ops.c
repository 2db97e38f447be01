/* Every operation but attention: the kernels on each instruction set and thread count against the naive reference,
 * bit for bit, at odd shapes; and refusal of bad sizes and ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "kernels_support.h"

/* (rows, width): tails of every kind, and enough work for three threads. */
static const int64_t shapes[][2] = {{1, 1},  {3, 5},    {2, 16},  {5, 17},   {7, 31},
                                    {4, 64}, {1, 1000}, {33, 96}, {129, 769}};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

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

static void sums(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++) {
    int64_t rows = shapes[s][0], d = shapes[s][1], n = rows * d, vocab = 11;
    float *x = random_floats(n, 1, 2.0f), *z = random_floats(n, 2, 2.0f), *y = floats(n);
    float *want = floats(n), *table = random_floats(vocab * d, 3, 1.0f);
    int32_t *ids = (int32_t *)allocate((size_t)rows * 4);
    fill_ids(ids, rows, 4, (uint32_t)vocab);
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      plr_fill_args fill = {y, n, -1.5f};
      assert_int_equal(plr__cpu_fill(ctx[c], &fill), PLR_OK);
      fill.y = want;
      assert_int_equal(plr__ref_fill(&fill), PLR_OK);
      assert_same_bits(y, want, n, "fill");

      plr_add_args add = {x, z, want, n};
      assert_int_equal(plr__ref_add(&add), PLR_OK);
      memcpy(y, z, (size_t)n * 4);
      add.b = add.y = y; /* in place */
      assert_int_equal(plr__cpu_add(ctx[c], &add), PLR_OK);
      assert_same_bits(y, want, n, "add");

      plr_row_add_args row_add = {x, table, ids, want, rows, vocab, d, c % 2 ? 1.0f : -1.0f};
      assert_int_equal(plr__ref_row_add(&row_add), PLR_OK);
      memcpy(y, x, (size_t)n * 4);
      row_add.x = row_add.y = y;
      assert_int_equal(plr__cpu_row_add(ctx[c], &row_add), PLR_OK);
      assert_same_bits(y, want, n, "row_add");
    }
    free(x), free(z), free(y), free(want), free(table), free(ids);
  }
}

static void embeddings(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++) {
    int64_t rows = shapes[s][0] * 3, w = shapes[s][1], vocab = 7;
    float *table = random_floats(vocab * w, 1, 1.0f), *dy = random_floats(rows * w, 2, 1.0f);
    float *y = floats(rows * w), *want = floats(rows * w), *dt = floats(vocab * w);
    float *dt_want = copy_floats(table, vocab * w);
    int32_t *ids = (int32_t *)allocate((size_t)rows * 4);
    fill_ids(ids, rows, 5, (uint32_t)vocab);
    plr_embed_args a = {table, ids, want, dy, dt_want, rows, vocab, w};
    assert_int_equal(plr__ref_embed(&a), PLR_OK);
    assert_int_equal(plr__ref_embed_bwd(&a), PLR_OK);
    a.y = y, a.dtable = dt;
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      memcpy(dt, table, (size_t)(vocab * w) * 4);
      memset(y, 0xff, (size_t)(rows * w) * 4);
      assert_int_equal(plr__cpu_embed(ctx[c], &a), PLR_OK);
      assert_int_equal(plr__cpu_embed_bwd(ctx[c], &a), PLR_OK);
      assert_same_bits(y, want, rows * w, "embed");
      assert_same_bits(dt, dt_want, vocab * w, "embed_bwd");
    }
    free(table), free(dy), free(y), free(want), free(dt), free(dt_want), free(ids);
  }
}

static void gated_activation(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++) {
    int64_t rows = shapes[s][0], f = shapes[s][1], ldg = 2 * f + 3, n = rows * ldg;
    float *gu = random_floats(n, 1, 9.0f), *dh = random_floats(rows * f, 2, 1.0f);
    float *want = copy_floats(gu, n), *h_want = floats(rows * f), *h = floats(rows * f);
    plr_swiglu_args a = {want, want + f, h_want, dh, want, want + f, rows, f, ldg};
    assert_int_equal(plr__ref_swiglu(&a), PLR_OK);
    assert_int_equal(plr__ref_swiglu_bwd(&a), PLR_OK); /* in place */
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      float *x = copy_floats(gu, n);
      plr_swiglu_args b = {x, x + f, h, dh, x, x + f, rows, f, ldg};
      assert_int_equal(plr__cpu_swiglu(ctx[c], &b), PLR_OK);
      assert_same_bits(h, h_want, rows * f, "swiglu");
      assert_int_equal(plr__cpu_swiglu_bwd(ctx[c], &b), PLR_OK);
      assert_same_bits(x, want, n, "swiglu_bwd"); /* and nothing between the rows is touched */
      free(x);
    }
    free(gu), free(dh), free(want), free(h_want), free(h);
  }
}

static void norms(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++)
    for (int mode = 0; mode < 4; mode++) {
      int64_t rows = shapes[s][0], d = shapes[s][1], n = rows * d;
      float *x = random_floats(n, 1, 2.0f), *dy = random_floats(n, 2, 1.0f);
      float *gain = random_floats(d, 3, 1.0f), *dgain0 = random_floats(d, 4, 1.0f);
      float *start = mode & 2 ? random_floats(n, 5, 1.0f) : copy_floats(dy, n);
      float *y = floats(n), *inv = floats(rows), *y_want = floats(n), *inv_want = floats(rows);
      float *dx_want = copy_floats(start, n), *dgain_want = copy_floats(dgain0, d);
      plr_rmsnorm_args a = {.x = x, .gain = mode & 1 ? gain : NULL, .y = y_want};
      a.inv_rms = inv_want, a.dx = dx_want, a.rows = rows, a.d = d, a.eps = 1e-5f;
      a.accumulate_dx = mode & 2 ? 1 : 0;
      a.dy = mode & 2 ? dy : dx_want; /* without accumulation dx overwrites dy */
      a.dgain = mode & 1 ? dgain_want : NULL;
      assert_int_equal(plr__ref_rmsnorm(&a), PLR_OK);
      assert_int_equal(plr__ref_rmsnorm_bwd(&a), PLR_OK);
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        float *dx = copy_floats(start, n), *dgain = copy_floats(dgain0, d);
        a.y = y, a.inv_rms = inv, a.dx = dx, a.dgain = mode & 1 ? dgain : NULL;
        a.dy = mode & 2 ? dy : dx;
        assert_int_equal(plr__cpu_rmsnorm(ctx[c], &a), PLR_OK);
        assert_same_bits(y, y_want, n, "rmsnorm");
        assert_same_bits(inv, inv_want, rows, "inv_rms");
        assert_int_equal(plr__cpu_rmsnorm_bwd(ctx[c], &a), PLR_OK);
        assert_same_bits(dgain, dgain_want, d, "dgain");
        assert_same_bits(dx, dx_want, n, "dx");
        free(dx), free(dgain);
      }
      free(x), free(dy), free(gain), free(dgain0), free(start), free(y), free(inv);
      free(y_want), free(inv_want), free(dx_want), free(dgain_want);
    }
}

static void rotary_positions(void **state) {
  (void)state;
  static const int64_t dims[] = {2, 8, 24, 40, 64, 128};
  for (int s = 0; s < 6; s++) {
    int64_t hd = dims[s], seq = 19, rows = 3 * seq, heads = 3, ldx = heads * hd + 5;
    float *x0 = random_floats(rows * ldx, 1, 1.0f), *want = copy_floats(x0, rows * ldx);
    float *cos_want = floats(seq * hd / 2), *sin_want = floats(seq * hd / 2);
    float *cos_t = floats(seq * hd / 2), *sin_t = floats(seq * hd / 2);
    plr_rope_table_args table = {.cos = cos_want,
                                 .sin = sin_want,
                                 .positions = seq,
                                 .first_position = 4091,
                                 .head_dim = hd,
                                 .theta = 10000.0};
    assert_int_equal(plr__ref_rope_table(&table), PLR_OK);
    plr_rope_args a = {want, cos_want, sin_want, rows, seq, heads, hd, ldx, 1.0f, NULL};
    assert_int_equal(plr__ref_rope(&a), PLR_OK);
    table.cos = cos_t, table.sin = sin_t;
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      float *x = copy_floats(x0, rows * ldx);
      assert_int_equal(plr__cpu_rope_table(ctx[c], &table), PLR_OK);
      assert_same_bits(cos_t, cos_want, seq * hd / 2, "cos");
      assert_same_bits(sin_t, sin_want, seq * hd / 2, "sin");
      plr_rope_args b = {x, cos_t, sin_t, rows, seq, heads, hd, ldx, 1.0f, NULL};
      assert_int_equal(plr__cpu_rope(ctx[c], &b), PLR_OK);
      assert_same_bits(x, want, rows * ldx, "rope");
      b.sign = -1.0f;
      assert_int_equal(plr__cpu_rope(ctx[c], &b), PLR_OK);
      for (int64_t i = 0; i < rows * ldx; i++) assert_true(fabsf(x[i] - x0[i]) < 1e-6f);
      free(x);
    }
    free(x0), free(want), free(cos_want), free(sin_want), free(cos_t), free(sin_t);
  }
}

static void cross_entropy(void **state) {
  (void)state;
  for (int s = 0; s < SHAPES; s++)
    for (uint32_t grad = 0; grad < 3; grad++) {
      float z = grad == 2 ? 1e-2f : 0.0f;
      int64_t rows = shapes[s][0], vocab = shapes[s][1], n = rows * vocab;
      float *x0 = random_floats(n, 1, 12.0f), *want = copy_floats(x0, n);
      float *loss = floats(rows), *loss_want = floats(rows);
      int32_t *labels = (int32_t *)allocate((size_t)rows * 4);
      fill_ids(labels, rows, 6, (uint32_t)vocab);
      if (rows > 2) labels[1] = -1;
      plr_xent_args a = {want, labels, loss_want, rows, vocab, 0.037f, grad, z};
      assert_int_equal(plr__ref_xent(&a), PLR_OK);
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        float *x = copy_floats(x0, n);
        plr_xent_args b = {x, labels, loss, rows, vocab, 0.037f, grad, z};
        assert_int_equal(plr__cpu_xent(ctx[c], &b), PLR_OK);
        assert_same_bits(loss, loss_want, rows, "loss");
        assert_same_bits(x, want, n, "xent");
        free(x);
      }
      if (!grad) assert_same_bits(want, x0, n, "logits without gradient");
      free(x0), free(want), free(loss), free(loss_want), free(labels);
    }
}

static void sum_of_squares(void **state) {
  (void)state;
  static const int64_t sizes[] = {0, 1, 15, 16, 17, 1023, 1024, 1025, 40000, 300001};
  for (int s = 0; s < 10; s++) {
    float *x = random_floats(sizes[s] + 1, 1, 3.0f);
    double want[2], got[2], exact = 0.0;
    plr_sumsq_args a = {x, want, sizes[s]};
    assert_int_equal(plr__ref_sumsq(&a), PLR_OK);
    for (int64_t i = 0; i < sizes[s]; i++) exact += (double)x[i] * (double)x[i];
    assert_true(fabs(want[0] - exact) <= 1e-12 * exact && want[1] == 1.0);
    a.out = got;
    for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
      assert_int_equal(plr__cpu_sumsq(ctx[c], &a), PLR_OK);
      assert_memory_equal(got, want, sizeof want);
    }
    for (int bad = 0; bad < 3 && sizes[s] > 0; bad++) {
      x[sizes[s] * 2 / 3] = bad == 0 ? INFINITY : bad == 1 ? -INFINITY : NAN;
      for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
        assert_int_equal(plr__cpu_sumsq(ctx[c], &a), PLR_OK);
        assert_true(got[0] == INFINITY && got[1] == 0.0);
      }
    }
    free(x);
  }
}

static void bad_sizes_and_ids_are_refused(void **state) {
  (void)state;
  float x[64] = {0};
  int32_t ids[2] = {0, 3};
  plr_embed_args e = {x, ids, x + 32, x, x + 32, 2, 3, 4};
  assert_int_equal(plr__cpu_embed(ctx[1], &e), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr__cpu_embed_bwd(ctx[1], &e), PLR_ERR_INVALID_ARGUMENT);
  ids[1] = -1;
  assert_int_equal(plr__cpu_embed(ctx[1], &e), PLR_ERR_INVALID_ARGUMENT);
  plr_row_add_args r = {x, x, ids, x + 32, 2, 3, 4, 1.0f};
  assert_int_equal(plr__cpu_row_add(ctx[1], &r), PLR_ERR_INVALID_ARGUMENT);
  ids[1] = 3;
  plr_xent_args l = {x, ids, x + 32, 2, 3, 1.0f, 1, 0.0f};
  assert_int_equal(plr__cpu_xent(ctx[1], &l), PLR_ERR_INVALID_ARGUMENT);
  plr_add_args add = {x, x, x, -1};
  assert_int_equal(plr__cpu_add(ctx[1], &add), PLR_ERR_INVALID_ARGUMENT);
  plr_swiglu_args g = {x, x, x, NULL, NULL, NULL, 2, 4, 3};
  assert_int_equal(plr__cpu_swiglu(ctx[1], &g), PLR_ERR_INVALID_ARGUMENT);
  plr_rope_table_args t = {.cos = x, .sin = x, .positions = 1, .head_dim = 3, .theta = 1e4};
  assert_int_equal(plr__cpu_rope_table(ctx[1], &t), PLR_ERR_INVALID_ARGUMENT);
  t.head_dim = 4, t.theta = 0.5;
  assert_int_equal(plr__cpu_rope_table(ctx[1], &t), PLR_ERR_INVALID_ARGUMENT);
  t.theta = 1e4, t.first_position = INT32_MAX;
  assert_int_equal(plr__cpu_rope_table(ctx[1], &t), PLR_ERR_LIMIT);
  for (int i = 0; i < 64; i++) assert_true(x[i] == 0.0f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sums),
      cmocka_unit_test(embeddings),
      cmocka_unit_test(gated_activation),
      cmocka_unit_test(norms),
      cmocka_unit_test(rotary_positions),
      cmocka_unit_test(cross_entropy),
      cmocka_unit_test(sum_of_squares),
      cmocka_unit_test(bad_sizes_and_ids_are_refused),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
