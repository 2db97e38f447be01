/* Golden vectors of profile `exact`: SHA-256 of each operation's outputs on inputs made from Philox.
 *
 *   test_kernels_golden               checks tests/golden/exact.txt on every instruction set, and the reference
 *   test_kernels_golden --regenerate  writes it anew: a new profile, whose hash no older node accepts
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "kernels_support.h"

#define GOLDEN PLR_SOURCE_DIR "/tests/golden/exact.txt"

/* Who computes: a context, or the reference when it is NULL. */
typedef struct run_state {
  plr_context *ctx;
  char text[16384];
  size_t len;
  plr_sha256_state hash;
} run_state;

static void run(run_state *s, plr_op_id op, const void *args) {
  if (!s->ctx) assert_int_equal(plr__reference_run(op, args), PLR_OK);
  if (s->ctx) assert_int_equal(plr__cpu_run(s->ctx, op, args), PLR_OK);
  plr__sha256_init(&s->hash);
}

static void output(run_state *s, const void *data, size_t bytes) {
  plr__sha256_update(&s->hash, data, bytes); /* little-endian machines only: see EXACT.md */
}

static void line(run_state *s, const char *fmt, ...) {
  plr_hash hash;
  char hex[65];
  va_list ap;
  plr__sha256_final(&s->hash, &hash);
  plr__hex_encode(hash.bytes, sizeof hash.bytes, hex);
  va_start(ap, fmt);
  s->len += (size_t)vsnprintf(s->text + s->len, sizeof s->text - s->len, fmt, ap);
  va_end(ap);
  s->len += (size_t)snprintf(s->text + s->len, sizeof s->text - s->len, " %s\n", hex);
  assert_true(s->len < sizeof s->text);
}

static void *scratch(run_state *s, plr_op_id op, const void *args) {
  return allocate(s->ctx ? plr__cpu_workspace(s->ctx, op, args) : 0);
}

static void elementwise(run_state *s) {
  enum { ROWS = 9, D = 77, VOCAB = 13, N = ROWS * D };
  float *x = random_floats(N, 1, 3.0f), *z = random_floats(N, 2, 3.0f), *y = floats(N);
  float *table = random_floats(VOCAB * D, 3, 1.0f);
  int32_t ids[ROWS];
  fill_ids(ids, ROWS, 4, VOCAB);
  run(s, PLR_OP_FILL, &(plr_fill_args){y, N, 0.75f});
  output(s, y, N * 4), line(s, "fill %d", N);
  run(s, PLR_OP_ADD, &(plr_add_args){x, z, y, N});
  output(s, y, N * 4), line(s, "add %d", N);
  run(s, PLR_OP_ROW_ADD, &(plr_row_add_args){x, table, ids, y, ROWS, VOCAB, D, -1.0f});
  output(s, y, N * 4), line(s, "row_add %dx%d", ROWS, D);
  plr_embed_args e = {table, ids, y, x, table, ROWS, VOCAB, D};
  run(s, PLR_OP_EMBED, &e);
  output(s, y, N * 4), line(s, "embed %dx%d", ROWS, D);
  run(s, PLR_OP_EMBED_BWD, &e);
  output(s, table, VOCAB * D * 4), line(s, "embed_bwd %dx%d", ROWS, D);
  double sum[2];
  run(s, PLR_OP_SUMSQ, &(plr_sumsq_args){x, sum, N});
  output(s, sum, sizeof sum), line(s, "sumsq %d", N);
  free(x), free(z), free(y), free(table);
}

static void activations(run_state *s) {
  enum { ROWS = 6, F = 67, N = ROWS * F };
  float *gu = random_floats(2 * N, 5, 8.0f), *h = floats(N), *dh = random_floats(N, 6, 1.0f);
  plr_swiglu_args a = {gu, gu + F, h, dh, gu, gu + F, ROWS, F, 2 * F};
  run(s, PLR_OP_SWIGLU, &a);
  output(s, h, N * 4), line(s, "swiglu %dx%d", ROWS, F);
  run(s, PLR_OP_SWIGLU_BWD, &a);
  output(s, gu, 2 * N * 4), line(s, "swiglu_bwd %dx%d", ROWS, F);
  float *x = random_floats(N, 7, 2.0f), *gain = random_floats(F, 8, 1.0f), inv[ROWS];
  plr_rmsnorm_args n = {x, gain, h, inv, dh, gu, gain, ROWS, F, 1e-5f, 1};
  run(s, PLR_OP_RMSNORM, &n);
  output(s, h, N * 4), output(s, inv, sizeof inv), line(s, "rmsnorm %dx%d", ROWS, F);
  n.dgain = random_floats(F, 9, 1.0f);
  run(s, PLR_OP_RMSNORM_BWD, &n);
  output(s, gu, N * 4), output(s, n.dgain, F * 4), line(s, "rmsnorm_bwd %dx%d", ROWS, F);
  free(gu), free(h), free(dh), free(x), free(gain), free(n.dgain);
}

static void blocks(run_state *s) {
  enum { ROWS = 7, D = 83, N = ROWS * D };
  float *x = random_floats(N, 22, 4.0f), *z = random_floats(N, 23, 2.0f), *y = floats(N);
  float *gain = random_floats(D, 24, 1.0f), *bias = random_floats(D, 25, 1.0f);
  float mean[ROWS], inv[ROWS];
  run(s, PLR_OP_MUL, &(plr_add_args){x, z, y, N});
  output(s, y, N * 4), line(s, "mul %d", N);
  run(s, PLR_OP_SCALE, &(plr_scale_args){x, y, N, 0.3f});
  output(s, y, N * 4), line(s, "scale %d", N);
  static const char *const names[] = {"silu", "gelu", "gelu_tanh", "relu2"};
  for (uint32_t k = 0; k < 4; k++) {
    plr_act_args a = {x, y, z, y, N, PLR_ACT_SILU + k};
    run(s, PLR_OP_ACT, &a);
    output(s, y, N * 4), line(s, "%s %d", names[k], N);
    run(s, PLR_OP_ACT_BWD, &a);
    output(s, y, N * 4), line(s, "%s_bwd %d", names[k], N);
  }
  plr_bias_args b = {x, bias, y, z, gain, ROWS, D};
  run(s, PLR_OP_BIAS, &b);
  output(s, y, N * 4), line(s, "bias %dx%d", ROWS, D);
  run(s, PLR_OP_BIAS_BWD, &b);
  output(s, gain, D * 4), line(s, "bias_bwd %dx%d", ROWS, D);
  plr_layernorm_args n = {.x = x, .gain = gain, .bias = bias, .y = y, .mean = mean, .inv_std = inv};
  n.dy = z, n.dx = y, n.rows = ROWS, n.d = D, n.eps = 1e-5f, n.accumulate_dx = 1;
  run(s, PLR_OP_LAYERNORM, &n);
  output(s, y, N * 4), output(s, mean, sizeof mean), output(s, inv, sizeof inv);
  line(s, "layernorm %dx%d", ROWS, D);
  n.dgain = random_floats(D, 26, 1.0f), n.dbias = random_floats(D, 27, 1.0f);
  run(s, PLR_OP_LAYERNORM_BWD, &n);
  output(s, y, N * 4), output(s, n.dgain, D * 4), output(s, n.dbias, D * 4);
  line(s, "layernorm_bwd %dx%d", ROWS, D);
  free(x), free(z), free(y), free(gain), free(bias), free(n.dgain), free(n.dbias);
}

static void positions(run_state *s) {
  static const int64_t first[] = {0, 1048576};
  enum { SEQ = 33, HEADS = 2, DIM = 48, ROWS = 2 * SEQ };
  float c[SEQ * DIM / 2], sn[SEQ * DIM / 2], *x = random_floats(ROWS * HEADS * DIM, 10, 1.0f);
  for (int i = 0; i < 2; i++) {
    run(s, PLR_OP_ROPE_TABLE,
        &(plr_rope_table_args){.cos = c,
                               .sin = sn,
                               .positions = SEQ,
                               .first_position = first[i],
                               .head_dim = DIM,
                               .theta = 10000.0});
    output(s, c, sizeof c), output(s, sn, sizeof sn);
    line(s, "rope_table %d+%dx%d", (int)first[i], SEQ, DIM);
  }
  run(s, PLR_OP_ROPE, &(plr_rope_args){x, c, sn, ROWS, SEQ, HEADS, DIM, HEADS * DIM, 1.0f, NULL});
  output(s, x, ROWS * HEADS * DIM * 4), line(s, "rope %dx%dx%d", ROWS, HEADS, DIM);
  plr_rope_table_args t = {.cos = c, .sin = sn, .positions = SEQ, .first_position = 5000};
  t.head_dim = DIM, t.theta = 500000.0, t.factor = 8.0, t.original = 8192, t.low_freq = 1.0;
  t.high_freq = 4.0, t.beta_fast = 32.0, t.beta_slow = 1.0, t.attention_factor = 1.2;
  static const char *const names[] = {"linear", "llama3", "yarn"};
  for (t.scaling = PLR_ROPE_LINEAR; t.scaling <= PLR_ROPE_YARN; t.scaling++) {
    run(s, PLR_OP_ROPE_TABLE, &t);
    output(s, c, sizeof c), output(s, sn, sizeof sn);
    line(s, "rope_table_%s 5000+%dx%d", names[t.scaling - 1], SEQ, DIM);
  }
  free(x);
}

static void attend(run_state *s, int64_t batch, int64_t seq, int64_t heads, int64_t kv_heads,
                   int64_t dim, uint32_t window) {
  int64_t width = heads * dim, kv = kv_heads * dim, ld = width + 2 * kv, rows = batch * seq;
  float *x = random_floats(rows * ld, 11, 2.0f), *g = floats(rows * ld),
        *out = floats(rows * width);
  float *dout = random_floats(rows * width, 12, 1.0f), *max = floats(rows * heads);
  float *sum = floats(rows * heads);
  plr_attention_args a = {.q = x, .k = x + width, .v = x + width + kv, .out = out};
  a.row_max = max, a.row_sum = sum, a.dout = dout;
  a.dq = g, a.dk = g + width, a.dv = g + width + kv;
  a.batch = batch, a.seq = seq, a.heads = heads, a.kv_heads = kv_heads, a.head_dim = dim;
  a.ldq = a.ldk = a.ldv = ld, a.ldo = width, a.scale = 0.125f;
  a.window = window;
  char name[64];
  int n = snprintf(name, sizeof name, "%dx%dx%d/%dx%d", (int)batch, (int)seq, (int)heads,
                   (int)kv_heads, (int)dim);
  if (window) snprintf(name + n, sizeof name - (size_t)n, " window %u", window);
  a.work = scratch(s, PLR_OP_ATTENTION, &a);
  run(s, PLR_OP_ATTENTION, &a);
  output(s, out, (size_t)(rows * width) * 4);
  output(s, max, (size_t)(rows * heads) * 4), output(s, sum, (size_t)(rows * heads) * 4);
  line(s, "attention %s", name);
  free(a.work);
  a.work = scratch(s, PLR_OP_ATTENTION_BWD, &a);
  run(s, PLR_OP_ATTENTION_BWD, &a);
  output(s, g, (size_t)(rows * ld) * 4);
  line(s, "attention_bwd %s", name);
  free(x), free(g), free(out), free(dout), free(max), free(sum), free(a.work);
}

static void training(run_state *s) {
  enum { ROWS = 5, VOCAB = 259, N = 1001 };
  float *logits = random_floats(ROWS * VOCAB, 13, 10.0f), loss[ROWS];
  int32_t labels[ROWS];
  fill_ids(labels, ROWS, 14, VOCAB);
  labels[2] = -1;
  run(s, PLR_OP_XENT, &(plr_xent_args){logits, labels, loss, ROWS, VOCAB, 0.2f, 1, 0.0f});
  output(s, logits, ROWS * VOCAB * 4), output(s, loss, sizeof loss);
  line(s, "xent %dx%d", ROWS, VOCAB);
  run(s, PLR_OP_XENT, &(plr_xent_args){logits, labels, loss, ROWS, VOCAB, 0.2f, 1, 1e-3f});
  output(s, logits, ROWS * VOCAB * 4), line(s, "xent_z %dx%d", ROWS, VOCAB);
  float *w = random_floats(N, 15, 1.0f), *m = random_floats(N, 16, 0.1f),
        *v = random_floats(N, 17, 1.0f);
  float *g = random_floats(N, 18, 1.0f);
  for (int i = 0; i < N; i++) v[i] = v[i] * v[i];
  plr_adamw_args a = {w, m, v, g, N, 1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.271f, 0.142f, 0.5f};
  run(s, PLR_OP_ADAMW, &a);
  output(s, w, N * 4), output(s, m, N * 4), output(s, v, N * 4), line(s, "adamw %d", N);
  plr_gaussian_args normal = {w, 7, 143, 3, UINT64_C(0x0123456789abcdef), 2, 0.02f};
  run(s, PLR_OP_GAUSSIAN, &normal);
  output(s, w, N * 4), line(s, "gaussian 7x143");
  free(logits), free(w), free(m), free(v), free(g);
}

static void optimizers(run_state *s) {
  enum { R = 30, C = 21, N = R * C };
  float *w = random_floats(N, 40, 1.0f), *m = random_floats(N, 41, 0.1f);
  float *v = random_floats(N, 42, 1.0f), *g = random_floats(N, 43, 1.0f);
  for (int i = 0; i < N; i++) v[i] = v[i] * v[i];
  plr_optimizer_args a = {w,    m,    v,     g,     R,    C,    1e-3f, 0.9f, 0.95f, 1e-8f,
                          0.1f, 0.5f, 0.45f, 0.46f, 0.3f, 0.4f, 0.2f,  0,    NULL};
  static const struct {
    plr_op_id op;
    const char *name;
  } ops[] = {{PLR_OP_NADAM, "nadam"},
             {PLR_OP_SGDM, "sgdm"},
             {PLR_OP_ADAMW_ROW, "adamw_row"},
             {PLR_OP_ADAMW_ROW, "adamw_column"},
             {PLR_OP_MUON, "muon"}};
  for (int i = 0; i < 5; i++) {
    a.along = i == 3;
    a.work = s->ctx ? scratch(s, ops[i].op, &a) : floats(2 * N + 2 * C * C);
    run(s, ops[i].op, &a);
    output(s, w, N * 4), output(s, m, N * 4), output(s, v, N * 4);
    line(s, "%s %dx%d", ops[i].name, R, C);
    free(a.work);
  }
  free(w), free(m), free(v), free(g);
}

static void multiply(run_state *s, uint32_t layout, int64_t m, int64_t n, int64_t k) {
  float *x = random_floats(m * k, 19, 1.0f), *y = random_floats(k * n, 20, 1.0f);
  float *c = random_floats(m * n, 21, 1.0f);
  plr_matmul_args a = {x, y, c, m, n, k, 0, 0, n, layout, layout == PLR_MATMUL_TN, NULL};
  a.lda = layout == PLR_MATMUL_TN ? m : k, a.ldb = layout == PLR_MATMUL_NT ? k : n;
  a.work = scratch(s, PLR_OP_MATMUL, &a);
  run(s, PLR_OP_MATMUL, &a);
  output(s, c, (size_t)(m * n) * 4);
  static const char *const names[] = {"nn", "nt", "tn+"};
  line(s, "matmul_%s %dx%dx%d", names[layout], (int)m, (int)n, (int)k);
  free(x), free(y), free(c), free(a.work);
}

static void experts(run_state *s) {
  enum { BATCH = 2, SEQ = 9, EXPERTS = 12, K = 3, D = 37, N = 21 };
  enum { ROWS = BATCH * SEQ, PAIRS = ROWS * K };
  float *logits = random_floats(ROWS * EXPERTS, 30, 2.0f), *x = random_floats(ROWS * D, 31, 1.0f);
  float *dgates = random_floats(PAIRS, 32, 1.0f), *slots = floats(PAIRS * D), gates[PAIRS];
  float *w = random_floats(EXPERTS * D * N, 33, 1.0f), *y = floats(PAIRS * N);
  float *dlogits = floats(ROWS * EXPERTS), *back = floats(PAIRS * N), *dx = floats(ROWS * D);
  int32_t ids[PAIRS], slot_of[PAIRS], pair_of[PAIRS], offsets[EXPERTS + 1];
  plr_route_args r = {logits, ids, slot_of, pair_of, offsets, gates, dgates, dlogits,
                      BATCH,  SEQ, EXPERTS, K,       0.01f,   1,     NULL};
  run(s, PLR_OP_ROUTE, &r);
  output(s, ids, sizeof ids), output(s, slot_of, sizeof slot_of), output(s, gates, sizeof gates);
  output(s, offsets, sizeof offsets), line(s, "route %dx%d of %d", ROWS, K, EXPERTS);
  r.work = scratch(s, PLR_OP_ROUTE_BWD, &r);
  run(s, PLR_OP_ROUTE_BWD, &r);
  output(s, dlogits, ROWS * EXPERTS * 4), line(s, "route_bwd %dx%d of %d", ROWS, K, EXPERTS);
  plr_dispatch_args d = {x, slots, slots, dx, slot_of, pair_of, ROWS, K, D};
  run(s, PLR_OP_DISPATCH, &d);
  output(s, slots, PAIRS * D * 4), line(s, "dispatch %dx%dx%d", ROWS, K, D);
  run(s, PLR_OP_DISPATCH_BWD, &d);
  output(s, dx, ROWS * D * 4), line(s, "dispatch_bwd %dx%dx%d", ROWS, K, D);
  plr_expert_matmul_args m = {slots, w, y, offsets, PAIRS, EXPERTS, N, D, PLR_MATMUL_NN, 0, NULL};
  m.work = scratch(s, PLR_OP_EXPERT_MATMUL, &m);
  run(s, PLR_OP_EXPERT_MATMUL, &m);
  output(s, y, PAIRS * N * 4), line(s, "expert_matmul_nn %dx%dx%d", PAIRS, N, D);
  plr_combine_args c = {y, gates, dx, x, back, dgates, slot_of, ROWS, K, N};
  run(s, PLR_OP_COMBINE, &c);
  output(s, dx, ROWS * N * 4), line(s, "combine %dx%dx%d", ROWS, K, N);
  run(s, PLR_OP_COMBINE_BWD, &c);
  output(s, back, PAIRS * N * 4), output(s, dgates, PAIRS * 4);
  line(s, "combine_bwd %dx%dx%d", ROWS, K, N);
  m.layout = PLR_MATMUL_TN, m.b = back, m.c = w, m.accumulate = 1;
  run(s, PLR_OP_EXPERT_MATMUL, &m);
  output(s, w, EXPERTS * D * N * 4), line(s, "expert_matmul_tn+ %dx%dx%d", PAIRS, N, D);
  m.layout = PLR_MATMUL_NT, m.a = back, m.b = w, m.c = slots, m.accumulate = 0, m.n = D, m.k = N;
  run(s, PLR_OP_EXPERT_MATMUL, &m);
  output(s, slots, PAIRS * D * 4), line(s, "expert_matmul_nt %dx%dx%d", PAIRS, D, N);
  free(logits), free(x), free(dgates), free(slots), free(w), free(y), free(dlogits), free(back);
  free(dx), free(r.work), free(m.work);
}

static void functions(run_state *s) {
  enum { N = 2000 };
  double out[10 * N];
  for (int i = 0; i < N; i++) {
    float x;
    double *o = out + 10 * i, u;
    fill_random(&x, 1, (uint32_t)(1000 + i), 1.0f);
    u = (double)x;
    o[0] = (double)plr__expf(x * 104.0f), o[1] = (double)plr__logf(plr__expf(x * 80.0f));
    o[2] = plr__exp(u * 740.0), o[3] = plr__ln(plr__exp(u * 700.0));
    o[4] = plr__pow(1.5 + u, 100.0 * u), o[5] = (double)plr__normal(1, 2, 3, (uint32_t)i);
    plr__sincos(u * 1e6, o + 6, o + 7);
    float shape;
    o[8] = (double)plr__tailf(fabsf(x) * 14.0f, &shape), o[9] = (double)shape;
  }
  plr__sha256_init(&s->hash);
  output(s, out, sizeof out), line(s, "functions %d", N);
}

static void basis(run_state *s) {
  enum { D = 40, K = 12 };
  static double columns[D * K];
  float u[D * K];
  assert_int_equal(plr__basis(UINT64_C(0xfedcba9876543210), 3, D, K, columns, u), PLR_OK);
  plr__sha256_init(&s->hash);
  output(s, u, sizeof u), line(s, "basis %dx%d", D, K);
}

/* Two sessions: 37 tokens at once, and one token after 29. */
static void cached(run_state *s, uint32_t window) {
  enum { HEADS = 4, KV = 2, DIM = 24, CAPACITY = 48, ROWS = 38, LD = (HEADS + 2 * KV) * DIM };
  const int64_t keys = plr_cache_keys(KV, DIM, CAPACITY),
                values = plr_cache_values(KV, DIM, CAPACITY);
  float *x = random_floats(ROWS * LD, 71, 1.5f), *out = floats(ROWS * HEADS * DIM);
  float *cache = random_floats(2 * (keys + values), 72, 1.0f);
  const plr_cache_rows groups[] = {
      {cache, cache + keys, CAPACITY, 0, 37, 0},
      {cache + keys + values, cache + 2 * keys + values, CAPACITY, 37, 1, 29}};
  plr_attention_cache_args a = {.q = x,
                                .k = x + HEADS * DIM,
                                .v = x + (HEADS + KV) * DIM,
                                .out = out,
                                .groups = groups,
                                .group_count = 2,
                                .heads = HEADS,
                                .kv_heads = KV,
                                .head_dim = DIM,
                                .ldq = LD,
                                .ldk = LD,
                                .ldv = LD,
                                .ldo = HEADS * DIM,
                                .scale = 0.2f,
                                .window = window};
  a.work = scratch(s, PLR_OP_ATTENTION_CACHE, &a);
  run(s, PLR_OP_ATTENTION_CACHE, &a);
  output(s, out, ROWS * HEADS * DIM * sizeof(float));
  line(s, "attention_cache 37+1x4x2x24 window %u", window);
  free(x), free(out), free(cache), free(a.work);
}

static void packed(run_state *s, uint32_t format) {
  enum { N = 45, K = 77, ROWS = 11 };
  const size_t size = (size_t)plr_packed_size(format, N, K);
  float *w = random_floats(N * K, 73, 0.1f), *x = random_floats(ROWS * K, 74, 2.0f);
  float *y = floats(ROWS * N), *row = floats(3 * K);
  const int32_t ids[] = {44, 0, 17};
  plr_packed_args a = {.format = format, .count = 1, .n = {N}, .k = K, .from = w};
  a.packed = allocate(size);
  run(s, PLR_OP_WEIGHT_PACK, &a);
  output(s, a.packed, size);
  line(s, "weight_pack %u 45x77", format);
  a.w[0] = a.packed, a.c[0] = y, a.x = x, a.rows = ROWS, a.ldx = K;
  a.work = scratch(s, PLR_OP_PACKED_MATMUL, &a);
  run(s, PLR_OP_PACKED_MATMUL, &a);
  output(s, y, ROWS * N * sizeof(float));
  line(s, "packed_matmul %u 11x45x77", format);
  a.c[0] = row, a.ids = ids, a.rows = 3;
  run(s, PLR_OP_PACKED_EMBED, &a);
  output(s, row, 3 * K * sizeof(float));
  line(s, "packed_embed %u 3x77", format);
  free(w), free(x), free(y), free(row), free(a.packed), free(a.work);
}

static void stored(run_state *s) {
  enum { N = 1003 };
  float *x = random_floats(N, 75, 3.0f), *back = floats(N);
  static const uint32_t special[] = {0x80000000u, 0x3f808000u, 0x3f818000u, 0x3f808001u,
                                     0x7f7fffffu, 0xff800000u, 0x00000001u, 0x7f800001u};
  uint16_t half[N];
  memcpy(x, special, sizeof special);
  plr_bf16_args a = {.f32 = back, .bf16 = half, .from_f32 = x, .from_bf16 = half, .n = N};
  run(s, PLR_OP_BF16_PACK, &a);
  output(s, half, sizeof half), line(s, "bf16_pack %d", N);
  run(s, PLR_OP_BF16_UNPACK, &a);
  output(s, back, N * sizeof(float)), line(s, "bf16_unpack %d", N);
  free(x), free(back);
}

static void serving(run_state *s) {
  cached(s, 0);
  cached(s, 20);
  for (uint32_t format = PLR_PACK_BF16; format <= PLR_PACK_Q4; format++) packed(s, format);
}

static void compute(run_state *s, plr_context *ctx) {
  s->ctx = ctx;
  s->len = 0;
  functions(s);
  elementwise(s);
  activations(s);
  blocks(s);
  positions(s);
  attend(s, 2, 37, 4, 2, 24, 0);
  attend(s, 1, 130, 2, 1, 64, 0);
  attend(s, 1, 130, 2, 1, 32, 50);
  training(s);
  optimizers(s);
  multiply(s, PLR_MATMUL_NN, 19, 35, 401);
  multiply(s, PLR_MATMUL_NT, 7, 50, 65);
  multiply(s, PLR_MATMUL_TN, 33, 18, 100);
  experts(s);
  serving(s);
  stored(s);
  basis(s);
}

static void assert_golden(const char *text) {
  FILE *f = fopen(GOLDEN, "rb");
  assert_non_null(f);
  char want[256], got[256];
  while (fgets(want, sizeof want, f)) {
    size_t n = strcspn(text, "\n");
    assert_true(n < sizeof got - 1);
    memcpy(got, text, n + 1);
    got[n + 1] = 0;
    text += text[n] ? n + 1 : n;
    assert_string_equal(got, want);
  }
  fclose(f);
  assert_int_equal(*text, 0); /* no line more */
}

static void outputs_are_golden(void **state) {
  (void)state;
  plr_context *ctx[CONTEXTS];
  run_state *s = (run_state *)allocate(sizeof *s);
  contexts_create(ctx);
  for (int c = 0; c < CONTEXTS && ctx[c]; c++) {
    compute(s, ctx[c]);
    assert_golden(s->text);
  }
  compute(s, NULL);
  assert_golden(s->text);
  contexts_destroy(ctx);
  free(s);
}

static char *read_text(const char *path) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  char *text = (char *)allocate(65536);
  size_t n = fread(text, 1, 65535, f);
  assert_true(n > 0 && n < 65535);
  text[n] = 0;
  fclose(f);
  return text;
}

/* Every hexadecimal constant the code uses stands in the normative text, so that the profile hash covers it. */
static void constants_are_written_down(void **state) {
  (void)state;
  char *code = read_text(PLR_SOURCE_DIR "/lib/kernels/math_const.h");
  char *exact = read_text(PLR_SOURCE_DIR "/lib/kernels/EXACT.md");
  int found = 0;
  for (char *p = strstr(code, "0x1"); p; p = strstr(p + 1, "0x1")) {
    char constant[40];
    size_t mantissa = strcspn(p, "p"), n = mantissa + 1;
    n += strspn(p + n, "+-0123456789");
    assert_true(n < sizeof constant);
    memcpy(constant, p, n);
    constant[n] = 0;
    if (!strstr(exact, constant)) fail_msg("%s is not in EXACT.md", constant);
    found++;
  }
  assert_true(found > 50);
  free(code), free(exact);
}

static int regenerate(void) {
  run_state *s = (run_state *)allocate(sizeof *s);
  compute(s, NULL);
  FILE *f = fopen(GOLDEN, "wb");
  int bad = !f || fwrite(s->text, 1, s->len, f) != s->len;
  if (f && fclose(f)) bad = 1;
  free(s);
  return bad;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--regenerate") == 0) return regenerate();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(outputs_are_golden),
      cmocka_unit_test(constants_are_written_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
