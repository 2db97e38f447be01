/* Matrix products, attention and block integers of the plugin, emulated, against the reference: the same bits.
 * Argument: the plugin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "cuda_support.h"
#include "exchange/exchange_int.h"

/* The layout's matrices with rows a little longer than they must be, and nothing changed between them. */
static void one_product(int64_t m, int64_t n, int64_t k, uint32_t layout, uint32_t accumulate) {
  int64_t a_rows = layout == PLR_MATMUL_TN ? k : m, a_cols = layout == PLR_MATMUL_TN ? m : k;
  int64_t b_rows = layout == PLR_MATMUL_NT ? n : k, b_cols = layout == PLR_MATMUL_NT ? k : n;
  int64_t lda = a_cols + 1, ldb = b_cols + 2, ldc = n + 3;
  float *a = random_floats(a_rows * lda, 1, 1.0f), *b = random_floats(b_rows * ldb, 2, 1.0f);
  float *c = random_floats(m * ldc, 3, 1.0f);
  plr_matmul_args g = {a, b, c, m, n, k, lda, ldb, ldc, layout, accumulate, NULL}, d = g;
  d.a = upload_floats(a, a_rows * lda);
  d.b = upload_floats(b, b_rows * ldb);
  d.c = upload_floats(c, m * ldc);
  assert_int_equal(plr__ref_matmul(&g), PLR_OK);
  run_op(PLR_OP_MATMUL, &d);
  char what[96];
  snprintf(what, sizeof what, "matmul %d x %d x %d, layout %u", (int)m, (int)n, (int)k, layout);
  assert_device(d.c, c, m * ldc, what);
  release_all();
  free(a), free(b), free(c);
}

static void products(void **state) {
  (void)state;
  static const int64_t sizes[][3] = {{1, 1, 1},    {1, 70, 33},  {3, 5, 16},   {64, 64, 32},
                                     {65, 63, 17}, {70, 130, 5}, {129, 1, 40}, {17, 19, 0}};
  for (uint64_t seed = 0; seed < 2; seed++)
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
      for (uint32_t layout = 0; layout < 3; layout++)
        for (uint32_t accumulate = 0; accumulate < 2; accumulate++) {
          emulation_seed(seed);
          one_product(sizes[s][0], sizes[s][1], sizes[s][2], layout, accumulate);
        }
}

/* Enough tiles for the large form of the kernel. */
static void large_products(void **state) {
  (void)state;
  for (uint32_t layout = 0; layout < 3; layout++) one_product(1000, 1030, 19, layout, layout % 2);
}

typedef struct attention_case {
  int64_t batch, seq, heads, kv_heads, head_dim;
  uint32_t window;
} attention_case;

static void one_attention(const attention_case *c) {
  int64_t rows = c->batch * c->seq, width = c->heads * c->head_dim;
  int64_t kv_width = c->kv_heads * c->head_dim, stats = c->batch * c->heads * c->seq;
  int64_t ldq = width + 3, ldk = kv_width + 1, ldv = kv_width, ldo = width + 2;
  float *q = random_floats(rows * ldq, 1, 2.0f), *k = random_floats(rows * ldk, 2, 2.0f);
  float *v = random_floats(rows * ldv, 3, 1.0f), *dout = random_floats(rows * ldo, 4, 1.0f);
  float *out = random_floats(rows * ldo, 5, 1.0f), *top = floats(stats), *sum = floats(stats);
  float *dq = random_floats(rows * ldq, 6, 1.0f), *dk = random_floats(rows * ldk, 7, 1.0f);
  float *dv = random_floats(rows * ldv, 8, 1.0f);
  plr_attention_args a = {q,   k,   v,        out,    top,       sum,         dout,        dq,
                          dk,  dv,  c->batch, c->seq, c->heads,  c->kv_heads, c->head_dim, ldq,
                          ldk, ldv, ldo,      0.3f,   c->window, NULL};
  plr_attention_args d = a;
  d.q = upload_floats(q, rows * ldq), d.k = upload_floats(k, rows * ldk);
  d.v = upload_floats(v, rows * ldv), d.out = upload_floats(out, rows * ldo);
  d.row_max = upload_unset(stats), d.row_sum = upload_unset(stats);
  d.dout = upload_floats(dout, rows * ldo), d.dq = upload_floats(dq, rows * ldq);
  d.dk = upload_floats(dk, rows * ldk), d.dv = upload_floats(dv, rows * ldv);
  assert_int_equal(plr__ref_attention(&a), PLR_OK);
  run_op(PLR_OP_ATTENTION, &d);
  assert_device(d.out, out, rows * ldo, "attention");
  assert_device(d.row_max, top, stats, "attention row_max");
  assert_device(d.row_sum, sum, stats, "attention row_sum");

  size_t work = device->vt->workspace(device, PLR_OP_ATTENTION_BWD, &d);
  d.work = upload(NULL, (int64_t)work);
  assert_int_equal(plr__ref_attention_bwd(&a), PLR_OK);
  run_op(PLR_OP_ATTENTION_BWD, &d);
  assert_device(d.dq, dq, rows * ldq, "attention dq");
  assert_device(d.dk, dk, rows * ldk, "attention dk");
  assert_device(d.dv, dv, rows * ldv, "attention dv");
  release_all();
  free(q), free(k), free(v), free(dout), free(out), free(top), free(sum);
  free(dq), free(dk), free(dv);
}

static void attention(void **state) {
  (void)state;
  static const attention_case cases[] = {
      {1, 1, 1, 1, 1, 0},
      {2, 5, 2, 1, 3, 0},
      {1, 17, 4, 2, 8, 0},
      {2, 33, 3, 3, 16, 0},
      {1, 130, 2, 1, 20, 0},
      {1, 19, 2, 2, 133, 0},
      {2, 20, 2, 1, 8, 1},
      {1, 70, 2, 2, 16, 7},
      {1, 150, 2, 1, 8, 33},
      {1, 150, 1, 1, 20, 70},
      {1, 40, 1, 1, 8, 4000000000u},
  };
  for (uint64_t seed = 0; seed < 2; seed++)
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
      emulation_seed(seed * 100 + c);
      one_attention(&cases[c]);
    }
}

/* Values a group may have: all zero, denormal, and scales at both ends. */
static float *awkward_floats(int64_t n) {
  float *x = random_floats(n, 9, 3.0f);
  for (int64_t i = 0; i < n; i++) {
    if (i / 32 % 7 == 1) x[i] = i % 2 ? 0.0f : -0.0f;
    if (i / 32 % 7 == 2) x[i] *= 0x1p-140f;
    if (i / 32 % 7 == 3) x[i] *= 0x1p124f;
    if (i / 32 % 7 == 4) x[i] *= 0x1p-125f;
  }
  return x;
}

static void one_quantise(int64_t n, uint32_t group, uint32_t bits) {
  int64_t groups = (n + group - 1) / group, packed = (n * bits + 7) / 8;
  float *x = awkward_floats(n), *y = floats(n);
  uint8_t *scales = (uint8_t *)allocate((size_t)groups * 2),
          *q = (uint8_t *)allocate((size_t)packed);
  uint8_t *got = (uint8_t *)allocate((size_t)PLR_MAX(packed, groups * 2));
  uint32_t bad = 0;
  plr_quantise_args d = {upload_floats(x, n),
                         upload_unset(n),
                         upload(NULL, groups * 2),
                         upload(NULL, packed),
                         upload(NULL, 4),
                         n,
                         group,
                         bits};
  assert_int_equal(plr__block_portable.quantise(x, (size_t)n, group, bits, scales, q), 1);
  plr__block_portable.dequantise(scales, q, (size_t)n, group, bits, y);
  run_op(PLR_OP_QUANTISE, &d);
  run_op(PLR_OP_DEQUANTISE, &d);
  assert_int_equal(device->vt->read(device, got, d.scales, (size_t)groups * 2), PLR_OK);
  assert_memory_equal(got, scales, (size_t)groups * 2);
  assert_int_equal(device->vt->read(device, got, d.q, (size_t)packed), PLR_OK);
  assert_memory_equal(got, q, (size_t)packed);
  assert_device(d.y, y, n, "dequantise");
  assert_int_equal(device->vt->read(device, &bad, d.not_finite, 4), PLR_OK);
  assert_int_equal(bad, 0);

  x[n / 2] = -INFINITY;
  assert_int_equal(device->vt->write(device, (void *)d.x, x, (size_t)n * 4), PLR_OK);
  run_op(PLR_OP_QUANTISE, &d);
  assert_int_equal(device->vt->read(device, &bad, d.not_finite, 4), PLR_OK);
  assert_int_equal(bad, 1);
  release_all();
  free(x), free(y), free(scales), free(q), free(got);
}

static void block_integers(void **state) {
  (void)state;
  static const int64_t sizes[] = {1, 31, 32, 33, 1000, 5001};
  for (uint64_t seed = 0; seed < 2; seed++)
    for (int s = 0; s < 6; s++)
      for (uint32_t bits = 4; bits <= 8; bits += 4)
        for (uint32_t group = 32; group <= 128; group *= 2) {
          emulation_seed(seed);
          one_quantise(sizes[s], group, bits);
        }
}

int main(int argc, char **argv) {
  assert_int_equal(argc, 2);
  plugin_path = argv[1];
  skip_without_device();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products),
      cmocka_unit_test(large_products),
      cmocka_unit_test(attention),
      cmocka_unit_test(block_integers),
  };
  return cmocka_run_group_tests(tests, open_device, close_device);
}
