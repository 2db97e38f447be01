/* Every operation of the plugin, emulated, against the naive reference: the same bits at odd shapes, in several orders
 * of threads, blocks and streams. Argument: the plugin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "cuda_support.h"

#define SEEDS 3

/* (rows, width): tails of every kind, several blocks. */
static const int64_t shapes[][2] = {{1, 1},  {3, 5},    {2, 16},  {5, 17},
                                    {9, 31}, {1, 1030}, {33, 96}, {130, 19}};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

#define FOR_EACH_CASE(rows, width)                                                                 \
  for (int seed = 0; seed < SEEDS; seed++)                                                         \
    for (int shape = 0; shape < SHAPES; shape++)                                                   \
      for (int64_t rows = shapes[shape][0], width = shapes[shape][1], once = 1;                    \
           once && (emulation_seed((uint64_t)(seed * 100 + shape)), 1); once = 0)

static void sums(void **state) {
  (void)state;
  FOR_EACH_CASE(rows, d) {
    int64_t n = rows * d, vocab = 11;
    float *x = random_floats(n, 1, 2.0f), *z = random_floats(n, 2, 2.0f), *want = floats(n);
    float *table = random_floats(vocab * d, 3, 1.0f);
    int32_t *ids = (int32_t *)allocate((size_t)rows * 4);
    fill_ids(ids, rows, 4, (uint32_t)vocab);

    plr_fill_args fill = {want, n, -1.5f}, fill_d = {upload_unset(n), n, -1.5f};
    assert_int_equal(plr__ref_fill(&fill), PLR_OK);
    run_op(PLR_OP_FILL, &fill_d);
    assert_device(fill_d.y, want, n, "fill");

    plr_add_args add = {x, z, want, n}, add_d = {upload_floats(x, n), upload_floats(z, n), NULL, n};
    add_d.y = (float *)add_d.b; /* in place */
    assert_int_equal(plr__ref_add(&add), PLR_OK);
    run_op(PLR_OP_ADD, &add_d);
    assert_device(add_d.y, want, n, "add");

    plr_row_add_args a = {x, table, ids, want, rows, vocab, d, seed % 2 ? 1.0f : -1.0f}, b = a;
    b.x = b.y = upload_floats(x, n);
    b.table = upload_floats(table, vocab * d);
    b.ids = (int32_t *)upload(ids, rows * 4);
    assert_int_equal(plr__ref_row_add(&a), PLR_OK);
    run_op(PLR_OP_ROW_ADD, &b);
    assert_device(b.y, want, n, "row_add");
    release_all();
    free(x), free(z), free(want), free(table), free(ids);
  }
}

static void embeddings(void **state) {
  (void)state;
  FOR_EACH_CASE(third, w) {
    int64_t rows = third * 3, vocab = 37;
    float *table = random_floats(vocab * w, 1, 1.0f), *dy = random_floats(rows * w, 2, 1.0f);
    float *y = floats(rows * w), *dtable = random_floats(vocab * w, 3, 1.0f);
    int32_t *ids = (int32_t *)allocate((size_t)rows * 4);
    fill_ids(ids, rows, 5, (uint32_t)vocab);
    plr_embed_args a = {table, ids, y, dy, dtable, rows, vocab, w}, b = a;
    b.table = upload_floats(table, vocab * w);
    b.ids = (int32_t *)upload(ids, rows * 4);
    b.y = upload_unset(rows * w);
    b.dy = upload_floats(dy, rows * w);
    b.dtable = upload_floats(dtable, vocab * w);
    assert_int_equal(plr__ref_embed(&a), PLR_OK);
    assert_int_equal(plr__ref_embed_bwd(&a), PLR_OK);
    run_op(PLR_OP_EMBED, &b);
    run_op(PLR_OP_EMBED_BWD, &b);
    assert_device(b.y, y, rows * w, "embed");
    assert_device(b.dtable, dtable, vocab * w, "embed_bwd");
    release_all();
    free(table), free(dy), free(y), free(dtable), free(ids);
  }
}

static void gated_activation(void **state) {
  (void)state;
  FOR_EACH_CASE(rows, f) {
    int64_t ldg = 2 * f + 3, n = rows * ldg;
    float *gu = random_floats(n, 1, 9.0f), *dh = random_floats(rows * f, 2, 1.0f);
    float *h = floats(rows * f), *x = upload_floats(gu, n);
    plr_swiglu_args a = {gu, gu + f, h, dh, gu, gu + f, rows, f, ldg};
    plr_swiglu_args b = {
        x, x + f, upload_unset(rows * f), upload_floats(dh, rows * f), x, x + f, rows, f, ldg};
    assert_int_equal(plr__ref_swiglu(&a), PLR_OK);
    assert_int_equal(plr__ref_swiglu_bwd(&a), PLR_OK); /* in place */
    run_op(PLR_OP_SWIGLU, &b);
    run_op(PLR_OP_SWIGLU_BWD, &b);
    assert_device(b.h, h, rows * f, "swiglu");
    assert_device(x, gu, n, "swiglu_bwd"); /* and nothing between the rows is touched */
    release_all();
    free(gu), free(dh), free(h);
  }
}

static void products_and_bias(void **state) {
  (void)state;
  FOR_EACH_CASE(rows, d) {
    int64_t n = rows * d;
    float *x = random_floats(n, 1, 2.0f), *z = random_floats(n, 2, 2.0f), *want = floats(n);
    float *bias = random_floats(d, 3, 1.0f), *dbias = random_floats(d, 4, 1.0f);
    plr_add_args mul = {x, z, want, n}, mul_d = {upload_floats(x, n), upload_floats(z, n), NULL, n};
    mul_d.y = (float *)mul_d.a; /* in place */
    assert_int_equal(plr__ref_mul(&mul), PLR_OK);
    run_op(PLR_OP_MUL, &mul_d);
    assert_device(mul_d.y, want, n, "mul");

    plr_scale_args scale = {x, want, n, -0.7f}, scale_d = {mul_d.b, (float *)mul_d.b, n, -0.7f};
    scale.x = z;
    assert_int_equal(plr__ref_scale(&scale), PLR_OK);
    run_op(PLR_OP_SCALE, &scale_d);
    assert_device(scale_d.y, want, n, "scale");

    plr_bias_args a = {x, bias, want, z, dbias, rows, d}, b = a;
    b.x = upload_floats(x, n), b.bias = upload_floats(bias, d), b.y = (float *)b.x;
    b.dy = upload_floats(z, n), b.dbias = upload_floats(dbias, d);
    assert_int_equal(plr__ref_bias(&a), PLR_OK);
    assert_int_equal(plr__ref_bias_bwd(&a), PLR_OK);
    run_op(PLR_OP_BIAS, &b);
    run_op(PLR_OP_BIAS_BWD, &b);
    assert_device(b.y, want, n, "bias");
    assert_device(b.dbias, dbias, d, "bias_bwd");
    release_all();
    free(x), free(z), free(want), free(bias), free(dbias);
  }
}

static void activations(void **state) {
  (void)state;
  FOR_EACH_CASE(rows, d) {
    for (uint32_t kind = PLR_ACT_SILU; kind <= PLR_ACT_RELU2; kind++) {
      int64_t n = rows * d;
      float *x = random_floats(n, 1, 9.0f), *dy = random_floats(n, 2, 1.0f);
      float *y = floats(n), *dx = floats(n);
      plr_act_args a = {x, y, dy, dx, n, kind}, b = a;
      b.x = upload_floats(x, n), b.y = upload_unset(n), b.dx = upload_floats(dy, n);
      b.dy = b.dx; /* in place */
      assert_int_equal(plr__ref_act(&a), PLR_OK);
      assert_int_equal(plr__ref_act_bwd(&a), PLR_OK);
      run_op(PLR_OP_ACT, &b);
      run_op(PLR_OP_ACT_BWD, &b);
      assert_device(b.y, y, n, "act");
      assert_device(b.dx, dx, n, "act_bwd");
      release_all();
      free(x), free(dy), free(y), free(dx);
    }
  }
}

static void layernorms(void **state) {
  (void)state;
  FOR_EACH_CASE(rows, d) {
    for (uint32_t mode = 0; mode < 4; mode++) { /* bit 0: gain and bias, bit 1: dx accumulates */
      int64_t n = rows * d;
      float *x = random_floats(n, 1, 2.0f), *dy = random_floats(n, 2, 1.0f), *y = floats(n);
      float *gain = random_floats(d, 3, 1.0f), *bias = random_floats(d, 4, 1.0f);
      float *dx = random_floats(n, 5, 1.0f), *mean = floats(rows), *inv = floats(rows);
      plr_layernorm_args a = {.x = x, .y = y, .mean = mean, .inv_std = inv, .dy = dy, .dx = dx};
      a.rows = rows, a.d = d, a.eps = 1e-5f, a.accumulate_dx = mode & 2 ? 1 : 0;
      plr_layernorm_args b = a;
      b.x = upload_floats(x, n), b.y = upload_unset(n), b.mean = upload_unset(rows);
      b.inv_std = upload_unset(rows), b.dx = upload_floats(mode & 2 ? dx : dy, n);
      b.dy = mode & 2 ? upload_floats(dy, n) : b.dx; /* in place when it does not accumulate */
      if (mode & 1) {
        a.gain = gain, a.bias = bias, a.dgain = floats(d), a.dbias = floats(d);
        memcpy(a.dgain, bias, (size_t)d * 4), memcpy(a.dbias, gain, (size_t)d * 4);
        b.gain = upload_floats(gain, d), b.bias = upload_floats(bias, d);
        b.dgain = upload_floats(bias, d), b.dbias = upload_floats(gain, d);
      }
      assert_int_equal(plr__ref_layernorm(&a), PLR_OK);
      assert_int_equal(plr__ref_layernorm_bwd(&a), PLR_OK);
      run_op(PLR_OP_LAYERNORM, &b);
      run_op(PLR_OP_LAYERNORM_BWD, &b);
      assert_device(b.y, y, n, "layernorm");
      assert_device(b.mean, mean, rows, "layernorm mean");
      assert_device(b.inv_std, inv, rows, "layernorm inv_std");
      assert_device(b.dx, dx, n, "layernorm_bwd dx");
      if (mode & 1) assert_device(b.dgain, a.dgain, d, "layernorm_bwd dgain");
      if (mode & 1) assert_device(b.dbias, a.dbias, d, "layernorm_bwd dbias");
      release_all();
      free(x), free(dy), free(y), free(gain), free(bias), free(dx), free(mean), free(inv);
      free(a.dgain), free(a.dbias);
    }
  }
}

static void norms(void **state) {
  (void)state;
  FOR_EACH_CASE(rows, d) {
    for (int mode = 0; mode < 4; mode++) {
      int64_t n = rows * d;
      float *x = random_floats(n, 1, 2.0f), *dy = random_floats(n, 2, 1.0f);
      float *gain = mode & 1 ? random_floats(d, 3, 1.0f) : NULL;
      float *dgain = random_floats(d, 4, 1.0f), *dx = random_floats(n, 5, 1.0f);
      float *y = floats(n), *inv = floats(rows);
      plr_rmsnorm_args a = {
          x, gain, y, inv, dy, dx, gain ? dgain : NULL, rows, d, 1e-5f, mode & 2 ? 1u : 0u};
      plr_rmsnorm_args b = a;
      b.x = upload_floats(x, n);
      b.gain = gain ? upload_floats(gain, d) : NULL;
      b.y = upload_unset(n);
      b.inv_rms = upload_unset(rows);
      b.dgain = gain ? upload_floats(dgain, d) : NULL;
      b.dx = upload_floats(mode & 2 ? dx : dy, n);
      b.dy = mode & 2 ? upload_floats(dy, n) : b.dx; /* in place when it does not accumulate */
      assert_int_equal(plr__ref_rmsnorm(&a), PLR_OK);
      assert_int_equal(plr__ref_rmsnorm_bwd(&a), PLR_OK);
      run_op(PLR_OP_RMSNORM, &b);
      run_op(PLR_OP_RMSNORM_BWD, &b);
      assert_device(b.y, y, n, "rmsnorm");
      assert_device(b.inv_rms, inv, rows, "rmsnorm inv_rms");
      assert_device(b.dx, dx, n, "rmsnorm_bwd dx");
      if (gain) assert_device(b.dgain, dgain, d, "rmsnorm_bwd dgain");
      release_all();
      free(x), free(dy), free(gain), free(dgain), free(dx), free(y), free(inv);
    }
  }
}

static void rotary_positions(void **state) {
  (void)state;
  static const int64_t cases[][5] = {/* positions, first, heads, head_dim, extra columns */
                                     {1, 0, 1, 2, 0},
                                     {7, 3, 2, 10, 5},
                                     {33, 1000000, 3, 34, 0}};
  for (int c = 0; c < 3; c++)
    for (int seed = 0; seed < SEEDS; seed++) {
      emulation_seed((uint64_t)seed);
      int64_t positions = cases[c][0], heads = cases[c][2], head_dim = cases[c][3];
      int64_t half = head_dim / 2, rows = 2 * positions, ldx = heads * head_dim + cases[c][4];
      float *cosine = floats(positions * half), *sine = floats(positions * half);
      plr_rope_table_args t = {.cos = cosine,
                               .sin = sine,
                               .positions = positions,
                               .first_position = cases[c][1],
                               .head_dim = head_dim,
                               .theta = 10000.0},
                          td = t;
      td.cos = upload_unset(positions * half);
      td.sin = upload_unset(positions * half);
      assert_int_equal(plr__ref_rope_table(&t), PLR_OK);
      run_op(PLR_OP_ROPE_TABLE, &td);
      assert_device(td.cos, cosine, positions * half, "rope_table cos");
      assert_device(td.sin, sine, positions * half, "rope_table sin");

      float *x = random_floats(rows * ldx, 1, 1.0f);
      plr_rope_args a = {
          x, cosine, sine, rows, positions, heads, head_dim, ldx, seed % 2 ? -1.0f : 1.0f, NULL};
      plr_rope_args b = a;
      b.x = upload_floats(x, rows * ldx);
      b.cos = td.cos, b.sin = td.sin;
      assert_int_equal(plr__ref_rope(&a), PLR_OK);
      run_op(PLR_OP_ROPE, &b);
      assert_device(b.x, x, rows * ldx, "rope");
      release_all();
      free(cosine), free(sine), free(x);
    }
}

/* Every scaling, then rows at given positions. */
static void stretched_positions(void **state) {
  (void)state;
  enum { POSITIONS = 40, DIM = 64, HALF = DIM / 2, ROWS = 9, HEADS = 2, LD = HEADS * DIM + 1 };
  int32_t ids[ROWS];
  fill_ids(ids, ROWS, 3, POSITIONS);
  for (uint32_t scaling = PLR_ROPE_PLAIN; scaling <= PLR_ROPE_YARN; scaling++) {
    float *cosine = floats(POSITIONS * HALF), *sine = floats(POSITIONS * HALF);
    plr_rope_table_args t = {.cos = cosine, .sin = sine, .positions = POSITIONS, .head_dim = DIM};
    t.first_position = 3000, t.theta = 500000.0, t.scaling = scaling, t.factor = 8.0;
    t.original = 1024, t.low_freq = 1.0, t.high_freq = 4.0, t.beta_fast = 32.0, t.beta_slow = 1.0;
    t.attention_factor = 1.2;
    plr_rope_table_args td = t;
    td.cos = upload_unset(POSITIONS * HALF), td.sin = upload_unset(POSITIONS * HALF);
    assert_int_equal(plr__ref_rope_table(&t), PLR_OK);
    run_op(PLR_OP_ROPE_TABLE, &td);
    assert_device(td.cos, cosine, POSITIONS * HALF, "stretched cos");
    assert_device(td.sin, sine, POSITIONS * HALF, "stretched sin");
    float *x = random_floats(ROWS * LD, 1, 1.0f);
    plr_rope_args a = {x, cosine, sine, ROWS, ROWS, HEADS, DIM, LD, 1.0f, ids}, b = a;
    b.x = upload_floats(x, ROWS * LD), b.cos = td.cos, b.sin = td.sin;
    b.positions = (int32_t *)upload(ids, sizeof ids);
    assert_int_equal(plr__ref_rope(&a), PLR_OK);
    run_op(PLR_OP_ROPE, &b);
    assert_device(b.x, x, ROWS * LD, "rope at given positions");
    td.factor = 0.5;
    if (scaling != PLR_ROPE_PLAIN)
      assert_int_equal(device->vt->run(device, PLR_OP_ROPE_TABLE, &td), PLR_ERR_INVALID_ARGUMENT);
    release_all();
    free(cosine), free(sine), free(x);
  }
}

static void cross_entropy(void **state) {
  (void)state;
  FOR_EACH_CASE(rows, vocab) {
    for (uint32_t with_grad = 0; with_grad < 3; with_grad++) {
      float *x = random_floats(rows * vocab, 1, 20.0f), *loss = floats(rows);
      int32_t *labels = (int32_t *)allocate((size_t)rows * 4);
      fill_ids(labels, rows, 5, (uint32_t)vocab);
      for (int64_t r = 2; r < rows; r += 3) labels[r] = -1;
      plr_xent_args a = {x,     labels, loss,      rows,
                         vocab, 0.37f,  with_grad, with_grad == 2 ? 0.01f : 0.0f};
      plr_xent_args b = a;
      b.logits = upload_floats(x, rows * vocab);
      b.labels = (int32_t *)upload(labels, rows * 4);
      b.loss = upload_unset(rows);
      assert_int_equal(plr__ref_xent(&a), PLR_OK);
      run_op(PLR_OP_XENT, &b);
      assert_device(b.loss, loss, rows, "xent loss");
      if (with_grad) assert_device(b.logits, x, rows * vocab, "xent gradient");
      release_all();
      free(x), free(loss), free(labels);
    }
  }
}

static void optimizer(void **state) {
  (void)state;
  static const int64_t sizes[] = {1, 15, 1024, 1025, 20001};
  for (int s = 0; s < 5; s++)
    for (int seed = 0; seed < SEEDS; seed++) {
      emulation_seed((uint64_t)seed);
      int64_t n = sizes[s];
      float *w = random_floats(n, 1, 1.0f), *m = random_floats(n, 2, 0.1f);
      float *v = random_floats(n, 3, 0.1f), *g = random_floats(n, 4, 1.0f);
      for (int64_t i = 0; i < n; i++) v[i] = v[i] < 0.0f ? -v[i] : v[i];
      plr_adamw_args a = {w, m, v, g, n, 1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.19f, 0.0975f, 0.7f};
      plr_adamw_args b = a;
      b.w = upload_floats(w, n), b.m = upload_floats(m, n), b.v = upload_floats(v, n);
      b.g = upload_floats(g, n);
      double want[2], got[2];
      plr_sumsq_args sum = {g, want, n}, sum_d = {b.g, (double *)upload(NULL, 16), n};
      assert_int_equal(plr__ref_sumsq(&sum), PLR_OK);
      run_op(PLR_OP_SUMSQ, &sum_d);
      assert_int_equal(device->vt->read(device, got, sum_d.out, sizeof got), PLR_OK);
      assert_memory_equal(got, want, sizeof got);
      assert_int_equal(plr__ref_adamw(&a), PLR_OK);
      run_op(PLR_OP_ADAMW, &b);
      assert_device(b.w, w, n, "adamw weights");
      assert_device(b.m, m, n, "adamw m");
      assert_device(b.v, v, n, "adamw v");

      g[n / 2] = n % 2 ? INFINITY : NAN;
      assert_int_equal(device->vt->write(device, (void *)b.g, g, (size_t)n * 4), PLR_OK);
      run_op(PLR_OP_SUMSQ, &sum_d);
      assert_int_equal(device->vt->read(device, got, sum_d.out, sizeof got), PLR_OK);
      assert_true(got[0] == INFINITY && got[1] == 0.0);
      release_all();
      free(w), free(m), free(v), free(g);
    }
}

static void normal_numbers(void **state) {
  (void)state;
  FOR_EACH_CASE(rows, cols) {
    float *y = floats(rows * cols);
    plr_gaussian_args a = {y, rows, cols, 5, UINT64_C(0x123456789abcdef0), 7, 0.02f}, b = a;
    b.y = upload_unset(rows * cols);
    assert_int_equal(plr__ref_gaussian(&a), PLR_OK);
    run_op(PLR_OP_GAUSSIAN, &b);
    assert_device(b.y, y, rows * cols, "gaussian");
    release_all();
    free(y);
  }
}

static void nothing_to_do(void **state) {
  (void)state;
  float *x = upload_unset(4);
  plr_fill_args fill = {x, 0, 1.0f};
  run_op(PLR_OP_FILL, &fill);
  plr_matmul_args mm = {x, x, x, 0, 3, 3, 3, 3, 3, PLR_MATMUL_NN, 0, NULL};
  run_op(PLR_OP_MATMUL, &mm);
  plr_sumsq_args sum = {x, (double *)upload(NULL, 16), 0};
  double got[2];
  run_op(PLR_OP_SUMSQ, &sum);
  assert_int_equal(device->vt->read(device, got, sum.out, sizeof got), PLR_OK);
  assert_true(got[0] == 0.0 && got[1] == 1.0);
  release_all();
}

static void bad_sizes_are_refused(void **state) {
  (void)state;
  float *x = upload_unset(4);
  plr_fill_args fill = {x, -1, 1.0f};
  assert_int_equal(device->vt->run(device, PLR_OP_FILL, &fill), PLR_ERR_INVALID_ARGUMENT);
  plr_matmul_args mm = {x, x, x, 2, 2, 2, 1, 2, 2, PLR_MATMUL_NN, 0, NULL};
  assert_int_equal(device->vt->run(device, PLR_OP_MATMUL, &mm), PLR_ERR_INVALID_ARGUMENT);
  mm.lda = 2, mm.layout = 3;
  assert_int_equal(device->vt->run(device, PLR_OP_MATMUL, &mm), PLR_ERR_INVALID_ARGUMENT);
  plr_attention_args at = {.batch = 1, .seq = 1, .heads = 3, .kv_heads = 2, .head_dim = 4};
  assert_int_equal(device->vt->run(device, PLR_OP_ATTENTION, &at), PLR_ERR_INVALID_ARGUMENT);
  plr_rope_table_args t = {
      .cos = x, .sin = x, .positions = 1, .first_position = 0, .head_dim = 3, .theta = 10000.0};
  assert_int_equal(device->vt->run(device, PLR_OP_ROPE_TABLE, &t), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(device->vt->run(device, PLR_OP_COUNT, &t), PLR_ERR_UNSUPPORTED);
  assert_int_equal(device->vt->supports(device, PLR_OP_COUNT), 0);
  assert_int_equal(device->vt->supports(device, PLR_OP_XENT), 1);
  assert_int_equal(device->vt->supports(device, PLR_OP_LAYERNORM_BWD), 1);
  plr_act_args act = {x, x, x, x, 4, 0};
  assert_int_equal(device->vt->run(device, PLR_OP_ACT, &act), PLR_ERR_INVALID_ARGUMENT);
  release_all();
}

/* What the CPU has and this device does not. */
static void what_is_missing_is_refused(void **state) {
  (void)state;
  static const plr_op_id missing[] = {PLR_OP_ROUTE, PLR_OP_EXPERT_MATMUL,   PLR_OP_NADAM,
                                      PLR_OP_MUON,  PLR_OP_ATTENTION_CACHE, PLR_OP_PACKED_MATMUL};
  float *x = upload_unset(4);
  for (size_t i = 0; i < PLR_COUNT_OF(missing); i++) {
    assert_int_equal(device->vt->supports(device, missing[i]), 0);
    assert_int_equal(device->vt->run(device, missing[i], x), PLR_ERR_UNSUPPORTED);
  }
  release_all();
}

/* On a device the ids are only seen by the kernel: nothing out of range is touched, and the next read says so. */
static void bad_ids_are_reported(void **state) {
  (void)state;
  const int32_t ids[4] = {0, 5, -1, 2};
  float *table = upload_unset(3 * 8), *y = upload_unset(4 * 8), got[8];
  plr_embed_args e = {table, (int32_t *)upload(ids, sizeof ids), y, y, table, 4, 3, 8};
  plr_row_add_args r = {y, table, e.ids, y, 4, 3, 8, 1.0f};
  plr_xent_args x = {y, e.ids, table, 4, 3, 1.0f, 1, 0.0f};
  const plr_op_id ops[] = {PLR_OP_EMBED, PLR_OP_EMBED_BWD, PLR_OP_ROW_ADD, PLR_OP_XENT};
  const void *args[] = {&e, &e, &r, &x};
  for (int i = 0; i < 4; i++) {
    run_op(ops[i], args[i]);
    assert_int_equal(device->vt->read(device, got, y, sizeof got), PLR_ERR_INVALID_ARGUMENT);
    assert_int_equal(device->vt->synchronize(device), PLR_OK); /* said once */
  }
  release_all();
}

int main(int argc, char **argv) {
  assert_int_equal(argc, 2);
  plugin_path = argv[1];
  skip_without_device();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sums),
      cmocka_unit_test(embeddings),
      cmocka_unit_test(gated_activation),
      cmocka_unit_test(products_and_bias),
      cmocka_unit_test(activations),
      cmocka_unit_test(layernorms),
      cmocka_unit_test(norms),
      cmocka_unit_test(rotary_positions),
      cmocka_unit_test(stretched_positions),
      cmocka_unit_test(cross_entropy),
      cmocka_unit_test(optimizer),
      cmocka_unit_test(normal_numbers),
      cmocka_unit_test(nothing_to_do),
      cmocka_unit_test(bad_sizes_are_refused),
      cmocka_unit_test(what_is_missing_is_refused),
      cmocka_unit_test(bad_ids_are_reported),
  };
  return cmocka_run_group_tests(tests, open_device, close_device);
}
