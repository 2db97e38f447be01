/* The exact matrix product against OpenBLAS on as many threads: the products of a training step (forward NN, input
 * gradient NT, weight gradient TN), square ones, and thin ones as in decoding. */
#include "bench.h"

#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct product {
  const char *layout_name;
  uint32_t layout;
  int64_t m, n, k;
} product;

typedef struct run_state {
  plr_context *ctx;
  plr_matmul_args args;
  const bench_blas *peer;
} run_state;

static void ours(void *arg) {
  run_state *s = arg;
  if (plr__cpu_run(s->ctx, PLR_OP_MATMUL, &s->args) != PLR_OK) {
    fprintf(stderr, "bench_gemm: the product was refused\n");
    exit(1);
  }
}

static void theirs(void *arg) {
  const run_state *s = arg;
  const plr_matmul_args *a = &s->args;
  s->peer->sgemm(BENCH_ROW_MAJOR, a->layout == PLR_MATMUL_TN ? BENCH_TRANSPOSE : BENCH_AS_IS,
                 a->layout == PLR_MATMUL_NT ? BENCH_TRANSPOSE : BENCH_AS_IS, (int)a->m, (int)a->n,
                 (int)a->k, 1.0f, a->a, (int)a->lda, a->b, (int)a->ldb, 0.0f, a->c, (int)a->ldc);
}

static void measure(plr_context *ctx, const char *suffix, const bench_blas *p, const product *x) {
  const uint32_t threads = plr_context_threads(ctx);
  run_state s = {.ctx = ctx, .peer = p};
  plr_matmul_args *a = &s.args;
  a->m = x->m, a->n = x->n, a->k = x->k, a->layout = x->layout;
  a->lda = x->layout == PLR_MATMUL_TN ? x->m : x->k;
  a->ldb = x->layout == PLR_MATMUL_NT ? x->k : x->n;
  a->ldc = x->n;
  float *ma = bench_alloc(x->m * x->k * 4), *mb = bench_alloc(x->k * x->n * 4);
  bench_fill(ma, x->m * x->k, 1);
  bench_fill(mb, x->k * x->n, 2);
  a->a = ma, a->b = mb;
  a->c = bench_alloc(x->m * x->n * 4);
  memset(a->c, 0, (size_t)(x->m * x->n) * 4);
  a->work = bench_alloc((int64_t)plr__cpu_workspace(ctx, PLR_OP_MATMUL, a));

  if (p->sgemm) p->set_threads((int)threads);
  bench_pair pair = {.ours = ours, .ours_arg = &s, .threads = threads, .seconds = 0.4};
  if (p->sgemm) pair.peer = theirs, pair.peer_arg = &s;
  bench_result r;
  bench_run(&pair, &r);

  const double flops = 2e-9 * (double)x->m * (double)x->n * (double)x->k;
  char name[96];
  snprintf(name, sizeof name, "gemm/%s/%lldx%lldx%lld/t%u%s", x->layout_name, (long long)x->m,
           (long long)x->n, (long long)x->k, threads, suffix);
  char best[64] = "";
  if (p->sgemm)
    snprintf(best, sizeof best, "; best of each %.1f and %.1f", flops / r.ours_best,
             flops / r.peer_best);
  bench_print(name, flops / r.ours, "GFLOP/s", p->sgemm ? "openblas" : NULL, flops / r.peer,
              r.ratio, "%.3f of the %s rate (%.1f GFLOP/s); peer: %s%s; %u samples",
              flops / r.ours / r.fma, bench_fma_name(), r.fma, p->sgemm ? p->name : "not found",
              best, r.samples);
  free(ma);
  free(mb);
  free(a->c);
  free(a->work);
}

static const product products[] = {
    /* m x n x k of a block of width 768 and 1,024 tokens: forward, input gradient, weight gradient */
    {"nn", PLR_MATMUL_NN, 1024, 768, 768},
    {"nt", PLR_MATMUL_NT, 1024, 768, 768},
    {"tn", PLR_MATMUL_TN, 768, 768, 1024},
    {"nn", PLR_MATMUL_NN, 1024, 2048, 768},
    {"nt", PLR_MATMUL_NT, 1024, 768, 2048},
    {"tn", PLR_MATMUL_TN, 768, 2048, 1024},
    {"nn", PLR_MATMUL_NN, 1024, 768, 3072},
    {"nt", PLR_MATMUL_NT, 1024, 3072, 768},
    {"tn", PLR_MATMUL_TN, 3072, 768, 1024},
    /* square */
    {"nn", PLR_MATMUL_NN, 256, 256, 256},
    {"nn", PLR_MATMUL_NN, 1024, 1024, 1024},
    {"nt", PLR_MATMUL_NT, 1024, 1024, 1024},
    {"tn", PLR_MATMUL_TN, 1024, 1024, 1024},
    /* a subspace of 16 */
    {"nn", PLR_MATMUL_NN, 1024, 16, 768},
    {"nt", PLR_MATMUL_NT, 1024, 768, 16},
    /* decoding */
    {"nn", PLR_MATMUL_NN, 1, 768, 768},
    {"nn", PLR_MATMUL_NN, 1, 3072, 768},
    {"nn", PLR_MATMUL_NN, 4, 3072, 768},
    {"nn", PLR_MATMUL_NN, 8, 768, 3072},
    {"nt", PLR_MATMUL_NT, 1, 3072, 768},
    {"nt", PLR_MATMUL_NT, 8, 3072, 768},
};

static plr_context *context_of(uint32_t threads, uint32_t isa) {
  plr_context_options options;
  plr_context_options_init(&options, sizeof options);
  options.threads = threads;
  options.isa = isa;
  plr_context *ctx;
  plr_error err = {0};
  if (plr_context_create(&options, &ctx, &err) == PLR_OK) return ctx;
  fprintf(stderr, "bench_gemm: %s\n", err.message);
  exit(1);
}

/* A second run, for the peer chooses its kernels once in a process. With a lower instruction set the first three
 * products, forward and backward of a square weight, are enough. */
static int compare_avx2(char *program) {
  execlp(program, program, "--isa", "avx2", (char *)NULL);
  perror("bench_gemm: second run");
  return 1;
}

int main(int argc, char **argv) {
  const uint32_t isa = bench_options(argc, argv);
  const size_t count = isa == PLR_ISA_BEST ? PLR_COUNT_OF(products) : 3;
  bench_blas p;
  bench_load_openblas(&p);
  for (uint32_t threads = 1; threads <= 2; threads++) {
    plr_context *ctx = context_of(threads, isa);
    for (size_t i = 0; i < count; i++)
      measure(ctx, isa == PLR_ISA_AVX2 ? "/avx2" : "", &p, &products[i]);
    plr_context_destroy(ctx);
  }
  return isa == PLR_ISA_BEST && bench_isa() == PLR_ISA_AVX512 ? compare_avx2(argv[0]) : 0;
}
