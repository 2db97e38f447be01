/* The operations of a training step other than the matrix product, at a block of width 768 and 1,024 tokens:
 * attention in useful (causal) GFLOP/s beside the FMA rate, the rest in nanoseconds an element. No peer: no other
 * library computes these with the same order of operations. */
#include "bench.h"

#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct call {
  plr_context *ctx;
  plr_op_id op;
  const void *args;
} call;

static void run(void *arg) {
  const call *c = arg;
  if (plr__cpu_run(c->ctx, c->op, c->args) != PLR_OK) {
    fprintf(stderr, "bench_kernels: operation %d was refused\n", (int)c->op);
    exit(1);
  }
}

static float *numbers(int64_t n, uint64_t seed) {
  float *x = bench_alloc(n * 4);
  bench_fill(x, n, seed);
  return x;
}

static void time_call(plr_context *ctx, plr_op_id op, const void *args, bench_result *r) {
  call c = {ctx, op, args};
  bench_pair pair = {.ours = run,
                     .ours_arg = &c,
                     .threads = plr_context_threads(ctx),
                     .seconds = 0.2,
                     .by_processor_time = 1};
  bench_run(&pair, r);
}

typedef struct shape {
  int64_t batch, seq, heads, kv_heads, dim;
  uint32_t window;
} shape;

static void attention(plr_context *ctx, const shape *s) {
  const int64_t width = s->heads * s->dim, kv = s->kv_heads * s->dim, ld = width + 2 * kv;
  const int64_t rows = s->batch * s->seq;
  float *x = numbers(rows * ld, 1), *g = numbers(rows * ld, 2), *out = numbers(rows * width, 3);
  float *dout = numbers(rows * width, 4), *stats = numbers(2 * rows * s->heads, 5);
  plr_attention_args a = {.q = x, .k = x + width, .v = x + width + kv, .out = out, .dout = dout};
  a.row_max = stats, a.row_sum = stats + rows * s->heads;
  a.dq = g, a.dk = g + width, a.dv = g + width + kv;
  a.batch = s->batch, a.seq = s->seq, a.heads = s->heads, a.kv_heads = s->kv_heads;
  a.head_dim = s->dim, a.ldq = a.ldk = a.ldv = ld, a.ldo = width;
  a.scale = 1.0f / sqrtf((float)s->dim), a.window = s->window;
  const double seen = s->window ? (double)s->window : (double)s->seq; /* by the last query */
  const double pairs = (double)(s->batch * s->heads) * seen * ((double)s->seq - (seen - 1.0) / 2.0);
  for (int backward = 0; backward < 2; backward++) {
    const plr_op_id op = backward ? PLR_OP_ATTENTION_BWD : PLR_OP_ATTENTION;
    const double gflop = 1e-9 * pairs * (double)s->dim * (backward ? 10.0 : 4.0);
    char name[96];
    bench_result r;
    a.work = bench_alloc((int64_t)plr__cpu_workspace(ctx, op, &a));
    time_call(ctx, op, &a, &r);
    int n = snprintf(name, sizeof name, "%s/b%d-t%d-h%d/%d-d%d",
                     backward ? "attention_bwd" : "attention", (int)s->batch, (int)s->seq,
                     (int)s->heads, (int)s->kv_heads, (int)s->dim);
    if (s->window) n += snprintf(name + n, sizeof name - (size_t)n, "-w%u", s->window);
    snprintf(name + n, sizeof name - (size_t)n, "/t%u", plr_context_threads(ctx));
    bench_print(name, gflop / r.ours, "GFLOP/s", NULL, 0, 0,
                "%.3f of the %s rate (%.1f GFLOP/s); best %.1f", gflop / r.ours / r.fma,
                bench_fma_name(), r.fma, gflop / r.ours_best);
    free(a.work);
  }
  free(x), free(g), free(out), free(dout), free(stats);
}

static void report(plr_context *ctx, const char *what, plr_op_id op, const void *args,
                   int64_t elements) {
  char name[96];
  bench_result r;
  time_call(ctx, op, args, &r);
  snprintf(name, sizeof name, "%s/t%u", what, plr_context_threads(ctx));
  bench_print(name, 1e9 * r.ours / (double)elements, "ns/element", NULL, 0, 0,
              "%lld elements; best %.3f", (long long)elements,
              1e9 * r.ours_best / (double)elements);
}

static void elementwise(plr_context *ctx) {
  enum { ROWS = 1024, D = 768, F = 2048, VOCAB = 4096, N = ROWS * D };
  float *x = numbers(ROWS * 2 * F, 1), *y = numbers(ROWS * 2 * F, 2), *z = numbers(ROWS * 2 * F, 3);
  float *gain = numbers(D, 4), *inv = numbers(ROWS, 5), *loss = numbers(ROWS, 6);
  float *m = numbers(ROWS * F, 7), *v = bench_alloc(ROWS * F * 4);
  int32_t *ids = bench_alloc(ROWS * 4);
  double sum[2];
  memset(v, 0, ROWS * F * 4);
  for (int i = 0; i < ROWS; i++) ids[i] = i * 2654 % VOCAB;
  report(ctx, "add", PLR_OP_ADD, &(plr_add_args){x, z, y, N}, N);
  plr_rmsnorm_args norm = {x, gain, y, inv, z, y, gain, ROWS, D, 1e-5f, 1};
  report(ctx, "rmsnorm", PLR_OP_RMSNORM, &norm, N);
  norm.gain = NULL, norm.dgain = gain;
  report(ctx, "rmsnorm_bwd", PLR_OP_RMSNORM_BWD, &norm, N);
  plr_swiglu_args gate = {x, x + F, y, z, y, y + F, ROWS, F, 2 * F};
  report(ctx, "swiglu", PLR_OP_SWIGLU, &gate, ROWS * F);
  report(ctx, "swiglu_bwd", PLR_OP_SWIGLU_BWD, &gate, ROWS * F);
  plr_embed_args e = {x, ids, y, z, x, ROWS, VOCAB, D};
  report(ctx, "embed_bwd", PLR_OP_EMBED_BWD, &e, N);
  plr_xent_args xent = {y, ids, loss, ROWS, VOCAB, 1e-3f, 1, 0.0f};
  report(ctx, "xent", PLR_OP_XENT, &xent, (int64_t)ROWS * VOCAB);
  report(ctx, "sumsq", PLR_OP_SUMSQ, &(plr_sumsq_args){z, sum, ROWS * F}, ROWS * F);
  plr_adamw_args adam = {x, m, v, z, ROWS * F, 1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.3f, 0.1f, 1.0f};
  report(ctx, "adamw", PLR_OP_ADAMW, &adam, ROWS * F);
  report(ctx, "gaussian", PLR_OP_GAUSSIAN, &(plr_gaussian_args){y, ROWS, F, 0, 1, 1, 0.02f},
         ROWS * F);
  free(x), free(y), free(z), free(gain), free(inv), free(loss), free(m), free(v), free(ids);
}

/* What GPT-2, q/k norms and gated experts add. */
static void blocks(plr_context *ctx) {
  enum { ROWS = 1024, D = 768, F = 3072, HEADS = 12, HD = 64, N = ROWS * D, M = ROWS * F };
  float *x = numbers(M, 1), *y = numbers(M, 2), *z = numbers(M, 3), *stats = numbers(2 * N / HD, 4);
  float *gain = numbers(2 * F, 5), *dgain = numbers(2 * F, 6);
  static const char *const names[] = {"silu", "gelu", "gelu_tanh", "relu2"};
  for (uint32_t k = 0; k < 4; k++) {
    plr_act_args act = {x, y, z, y, M, PLR_ACT_SILU + k};
    char name[32];
    report(ctx, names[k], PLR_OP_ACT, &act, M);
    snprintf(name, sizeof name, "%s_bwd", names[k]);
    report(ctx, name, PLR_OP_ACT_BWD, &act, M);
  }
  plr_bias_args bias = {x, gain, y, z, dgain, ROWS, F};
  report(ctx, "bias", PLR_OP_BIAS, &bias, M);
  report(ctx, "bias_bwd", PLR_OP_BIAS_BWD, &bias, M);
  plr_layernorm_args ln = {.x = x, .gain = gain, .bias = gain + D, .y = y, .mean = stats};
  ln.inv_std = stats + ROWS, ln.dy = z, ln.dx = y, ln.dgain = dgain, ln.dbias = dgain + D;
  ln.rows = ROWS, ln.d = D, ln.eps = 1e-5f, ln.accumulate_dx = 1;
  report(ctx, "layernorm", PLR_OP_LAYERNORM, &ln, N);
  report(ctx, "layernorm_bwd", PLR_OP_LAYERNORM_BWD, &ln, N);
  for (int64_t d = 16; d <= 256; d *= 4) { /* q/k norm: many short rows */
    plr_rmsnorm_args norm = {x, gain, y, stats, z, y, dgain, N / d, d, 1e-5f, 0};
    char name[32];
    norm.inv_rms = d < HD ? numbers(N / d, 7) : stats;
    snprintf(name, sizeof name, "rmsnorm/d%d", (int)d);
    report(ctx, name, PLR_OP_RMSNORM, &norm, N);
    snprintf(name, sizeof name, "rmsnorm_bwd/d%d", (int)d);
    report(ctx, name, PLR_OP_RMSNORM_BWD, &norm, N);
    if (d < HD) free(norm.inv_rms);
  }
  free(x), free(y), free(z), free(stats), free(gain), free(dgain);
}

/* Gated experts of 768 x 512: 1024 tokens, 8 of 64 experts each, beside one product of as much work. */
static void experts(plr_context *ctx) {
  enum { ROWS = 1024, K = 8, EXPERTS = 64, D = 768, F = 512, PAIRS = ROWS * K };
  float *logits = numbers(ROWS * EXPERTS, 1), *gates = numbers(PAIRS, 2),
        *x = numbers(PAIRS * D, 3);
  float *w = numbers((int64_t)EXPERTS * D * F, 4), *y = numbers(PAIRS * F, 5);
  float *tokens = numbers(ROWS * D, 6), *dgates = numbers(PAIRS, 7);
  float *dlogits = numbers(ROWS * EXPERTS, 8);
  int32_t *ids = bench_alloc(PAIRS * 4), *slot_of = bench_alloc(PAIRS * 4);
  int32_t *pair_of = bench_alloc(PAIRS * 4), *offsets = bench_alloc((EXPERTS + 1) * 4);
  plr_route_args r = {logits, ids,  slot_of, pair_of, offsets, gates, dgates, dlogits,
                      1,      ROWS, EXPERTS, K,       0.01f,   1,     NULL};
  report(ctx, "route", PLR_OP_ROUTE, &r, ROWS * EXPERTS);
  r.work = bench_alloc((int64_t)plr__cpu_workspace(ctx, PLR_OP_ROUTE_BWD, &r));
  report(ctx, "route_bwd", PLR_OP_ROUTE_BWD, &r, ROWS * EXPERTS);
  plr_dispatch_args d = {tokens, x, x, tokens, slot_of, pair_of, ROWS, K, D};
  report(ctx, "dispatch", PLR_OP_DISPATCH, &d, PAIRS * D);
  plr_combine_args c = {x, gates, tokens, tokens, x, dgates, slot_of, ROWS, K, D};
  report(ctx, "combine", PLR_OP_COMBINE, &c, PAIRS * D);
  report(ctx, "combine_bwd", PLR_OP_COMBINE_BWD, &c, PAIRS * D);
  plr_expert_matmul_args e = {x, w, y, offsets, PAIRS, EXPERTS, F, D, PLR_MATMUL_NN, 0, NULL};
  plr_matmul_args one = {x, w, y, PAIRS, F, D, D, F, F, PLR_MATMUL_NN, 0, NULL};
  static const char *const names[] = {"nn", "nt", "tn"};
  for (e.layout = PLR_MATMUL_NN; e.layout <= PLR_MATMUL_TN; e.layout++) {
    const int tn = e.layout == PLR_MATMUL_TN;
    one.layout = e.layout;
    one.ldb = e.layout == PLR_MATMUL_NT ? D : F;
    if (tn) e.b = one.b = y, e.c = one.c = w, one.m = D, one.k = PAIRS;
    e.work = bench_alloc((int64_t)plr__cpu_workspace(ctx, PLR_OP_EXPERT_MATMUL, &e));
    one.work = bench_alloc((int64_t)plr__cpu_workspace(ctx, PLR_OP_MATMUL, &one));
    call ours = {ctx, PLR_OP_EXPERT_MATMUL, &e}, peer = {ctx, PLR_OP_MATMUL, &one};
    bench_pair pair = {.ours = run, .ours_arg = &ours, .peer = run, .peer_arg = &peer};
    pair.threads = plr_context_threads(ctx), pair.seconds = 0.5;
    bench_result t;
    bench_run(&pair, &t);
    const double gflop = 2e-9 * PAIRS * D * F;
    char name[64];
    snprintf(name, sizeof name, "expert_matmul_%s/%d-of-%d/t%u", names[e.layout], K, EXPERTS,
             plr_context_threads(ctx));
    bench_print(name, gflop / t.ours, "GFLOP/s", "one product", gflop / t.peer, t.ratio,
                "%.3f of the %s rate; best %.1f", gflop / t.ours / t.fma, bench_fma_name(),
                gflop / t.ours_best);
    free(e.work), free(one.work);
  }
  free(logits), free(gates), free(x), free(w), free(y), free(tokens), free(dgates), free(dlogits);
  free(ids), free(slot_of), free(pair_of), free(offsets), free(r.work);
}

int main(int argc, char **argv) {
  const uint32_t isa = bench_options(argc, argv);
  static const shape shapes[] = {{4, 256, 12, 12, 64, 0},
                                 {1, 1024, 12, 4, 64, 0},
                                 {1, 512, 8, 8, 128, 0},
                                 {1, 2048, 2, 2, 128, 0},
                                 {1, 2048, 2, 2, 128, 256}};
  for (uint32_t threads = 1; threads <= 2; threads++) {
    plr_context_options options;
    plr_context_options_init(&options, sizeof options);
    options.threads = threads;
    options.isa = isa;
    plr_context *ctx;
    if (plr_context_create(&options, &ctx, NULL) != PLR_OK) return 1;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) attention(ctx, &shapes[i]);
    elementwise(ctx);
    blocks(ctx);
    experts(ctx);
    plr_context_destroy(ctx);
  }
  return 0;
}
