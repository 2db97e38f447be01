/* Optimizers on parameters that no cache holds: nanoseconds an element, beside a loop that moves the same bytes and
 * computes next to nothing. A ratio of 1 is memory speed. Muon, whose time is in its products, beside the FMA rate. */
#include "bench.h"

#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 4096, COLS = 4096 };
#define N ((int64_t)ROWS * COLS)

typedef struct call {
  plr_context *ctx;
  plr_op_id op;
  const void *args;
} call;

static void run(void *arg) {
  const call *c = arg;
  if (plr__cpu_run(c->ctx, c->op, c->args) == PLR_OK) return;
  fprintf(stderr, "bench_optim: operation %d was refused\n", (int)c->op);
  exit(1);
}

typedef struct traffic {
  plr_context *ctx;
  float *w, *m, *v; /* v NULL: it is not touched */
  const float *g;
} traffic;

#define PART 65536

static void move_part(void *arg, uint32_t index) {
  const traffic *t = arg;
  const int64_t first = (int64_t)index * PART;
  float *restrict w = t->w + first, *restrict m = t->m + first;
  float *restrict v = t->v ? t->v + first : NULL;
  const float *restrict g = t->g + first;
  if (v)
    for (int64_t i = 0; i < PART; i++) v[i] += g[i], m[i] += g[i], w[i] += g[i];
  else
    for (int64_t i = 0; i < PART; i++) m[i] += g[i], w[i] += g[i];
}

static void move(void *arg) {
  const traffic *t = arg;
  plr__parallel_for(t->ctx, (uint32_t)(N / PART), move_part, arg);
}

static void report(plr_context *ctx, const char *name, plr_op_id op, const void *args,
                   traffic *same) {
  call c = {ctx, op, args};
  const uint32_t threads = plr_context_threads(ctx);
  bench_pair pair = {
      .ours = run, .ours_arg = &c, .peer = move, .peer_arg = same, .threads = threads};
  bench_result r;
  char full[96];
  bench_run(&pair, &r);
  snprintf(full, sizeof full, "kernels/%s/%dx%d/t%u", name, ROWS, COLS, threads);
  const double bytes = same->v ? 28.0 : 20.0;
  bench_print(full, 1e9 * r.ours / (double)N, "ns/element", "the same memory traffic",
              1e9 * r.peer / (double)N, r.ratio, "%.1f GB/s; best %.1f",
              bytes * (double)N / r.ours * 1e-9, bytes * (double)N / r.ours_best * 1e-9);
}

/* Muon on a matrix of 768 x 3072, in GFLOP/s of the products as they stand in the formula (half of the symmetric ones
 * need not be computed). */
static void muon(plr_context *ctx, plr_optimizer_args o) {
  o.rows = 768, o.cols = 3072, o.along = 0;
  o.work = bench_alloc((int64_t)plr__cpu_workspace(ctx, PLR_OP_MUON, &o));
  call c = {ctx, PLR_OP_MUON, &o};
  const uint32_t threads = plr_context_threads(ctx);
  bench_pair pair = {.ours = run, .ours_arg = &c, .threads = threads};
  bench_result r;
  char name[96];
  bench_run(&pair, &r);
  const double small = 768, large = 3072;
  const double gflop = 1e-9 * 5.0 * (4.0 * small * small * large + 2.0 * small * small * small);
  snprintf(name, sizeof name, "kernels/muon/768x3072/t%u", threads);
  bench_print(name, gflop / r.ours, "GFLOP/s", NULL, 0, 0,
              "%.3f of the %s rate; %.1f ms; best %.1f ms", gflop / r.ours / r.fma,
              bench_fma_name(), 1e3 * r.ours, 1e3 * r.ours_best);
  free(o.work);
}

int main(int argc, char **argv) {
  const uint32_t isa = bench_options(argc, argv);
  float *w = bench_alloc(N * 4), *m = bench_alloc(N * 4), *v = bench_alloc(N * 4);
  float *g = bench_alloc(N * 4);
  bench_fill(w, N, 1), bench_fill(g, N, 2);
  memset(m, 0, (size_t)N * 4), memset(v, 0, (size_t)N * 4);
  for (uint32_t threads = 1; threads <= 2; threads++) {
    plr_context_options options;
    plr_context_options_init(&options, sizeof options);
    options.threads = threads;
    options.isa = isa;
    plr_context *ctx;
    if (plr_context_create(&options, &ctx, NULL) != PLR_OK) return 1;
    traffic all = {ctx, w, m, v, g}, two = {ctx, w, m, NULL, g};
    plr_adamw_args a = {w, m, v, g, N, 1e-6f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.3f, 0.1f, 1.0f};
    report(ctx, "adamw", PLR_OP_ADAMW, &a, &all);
    plr_optimizer_args o = {.w = w, .m = m, .v = v, .g = g, .rows = ROWS, .cols = COLS};
    o.lr = 1e-6f, o.beta1 = 0.9f, o.beta2 = 0.95f, o.eps = 1e-8f, o.grad_scale = 1.0f;
    o.mu_now = o.mu_next = 0.5f, o.correction1 = o.correction1_next = o.correction2 = 0.3f;
    report(ctx, "nadam", PLR_OP_NADAM, &o, &all);
    report(ctx, "sgdm", PLR_OP_SGDM, &o, &two);
    report(ctx, "adamw_row", PLR_OP_ADAMW_ROW, &o, &two);
    o.along = 1;
    report(ctx, "adamw_column", PLR_OP_ADAMW_ROW, &o, &two);
    muon(ctx, o);
    plr_context_destroy(ctx);
  }
  free(w), free(m), free(v), free(g);
  return 0;
}
