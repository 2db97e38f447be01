/* The exact matrix product against the best of OpenBLAS, BLIS and oneDNN on as many threads: the products of a
 * training step (forward NN, input gradient NT, weight gradient TN), and thin ones as in decoding, which are set
 * against the rate at which the weights can be read. */
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
} run_state;

typedef struct peer_state {
  const bench_blas *blas;
  const plr_matmul_args *args;
} peer_state;

static bench_blas peers[BENCH_PEERS];
static uint32_t peer_count;

static void ours(void *arg) {
  run_state *s = arg;
  if (plr__cpu_run(s->ctx, PLR_OP_MATMUL, &s->args) != PLR_OK) {
    fprintf(stderr, "bench_gemm: the product was refused\n");
    exit(1);
  }
}

static void theirs(void *arg) {
  const peer_state *s = arg;
  const plr_matmul_args *a = s->args;
  s->blas->sgemm(BENCH_ROW_MAJOR, a->layout == PLR_MATMUL_TN ? BENCH_TRANSPOSE : BENCH_AS_IS,
                 a->layout == PLR_MATMUL_NT ? BENCH_TRANSPOSE : BENCH_AS_IS, (int)a->m, (int)a->n,
                 (int)a->k, 1.0f, a->a, (int)a->lda, a->b, (int)a->ldb, a->accumulate ? 1.0f : 0.0f,
                 a->c, (int)a->ldc);
}

static void report(const product *x, const char *suffix, uint32_t threads, const bench_result *r) {
  const double flops = 2e-9 * (double)x->m * (double)x->n * (double)x->k;
  const double bytes = 4e-9 * (double)x->n * (double)x->k; /* of B */
  char name[96], thin[96] = "", each[192] = "no peer found";
  snprintf(name, sizeof name, "gemm/%s/%lldx%lldx%lld/t%u%s", x->layout_name, (long long)x->m,
           (long long)x->n, (long long)x->k, threads, suffix);
  if (r->read > 0)
    snprintf(thin, sizeof thin, "; %.1f GB/s, %.3f of the read rate (%.1f GB/s)", bytes / r->ours,
             bytes / r->ours / r->read, r->read);
  size_t at = 0;
  for (uint32_t i = 0; i < peer_count; i++)
    at += (size_t)snprintf(each + at, sizeof each - at, "%s%s %.1f", i ? ", " : "", peers[i].name,
                           flops / r->peers[i]);
  bench_print(
      name, flops / r->ours, "GFLOP/s", peer_count ? peers[r->fastest].name : NULL,
      peer_count ? flops / r->peer : 0, r->ratio,
      "%s%.3f of the %s rate (%.1f GFLOP/s), by processor time %.3f and %.2f of that peer%s; "
      "best of each %.1f and %.1f; %s; %u samples",
      threads == 1 ? "all times are processor time; " : "", flops / r->ours / r->fma,
      bench_fma_name(), r->fma, flops / r->ours_cpu / r->fma_cpu, r->ratio_cpu, thin,
      flops / r->ours_best, flops / r->peer_best, each, r->samples);
}

static void measure(plr_context *ctx, const char *suffix, const product *x) {
  const uint32_t threads = plr_context_threads(ctx);
  run_state s = {.ctx = ctx};
  plr_matmul_args *a = &s.args;
  a->m = x->m, a->n = x->n, a->k = x->k, a->layout = x->layout;
  a->accumulate = x->layout == PLR_MATMUL_TN; /* gradients are added to */
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

  peer_state p[BENCH_PEERS];
  bench_pair pair = {
      .ours = ours, .ours_arg = &s, .threads = threads, .seconds = 0.4, .by_processor_time = 1};
  if (x->m <= 8) pair.read_bytes = x->k * x->n * 4;
  for (uint32_t i = 0; i < peer_count; i++) {
    p[i] = (peer_state){&peers[i], a};
    peers[i].set_threads((int)threads);
    if (i)
      pair.more[i - 1] = theirs, pair.more_arg[i - 1] = &p[i];
    else
      pair.peer = theirs, pair.peer_arg = &p[i];
  }
  bench_result r;
  bench_run(&pair, &r);
  report(x, suffix, threads, &r);
  free(ma);
  free(mb);
  free(a->c);
  free(a->work);
}

static const product products[] = {
    /* m x n x k: forward, input gradient, weight gradient; first 512 tokens, then 2,048 */
    {"nn", PLR_MATMUL_NN, 512, 512, 512},
    {"nt", PLR_MATMUL_NT, 512, 512, 512},
    {"tn", PLR_MATMUL_TN, 512, 512, 512},
    {"nn", PLR_MATMUL_NN, 512, 2048, 768},
    {"nt", PLR_MATMUL_NT, 512, 768, 2048},
    {"tn", PLR_MATMUL_TN, 768, 2048, 512},
    {"nn", PLR_MATMUL_NN, 512, 4096, 4096},
    {"nt", PLR_MATMUL_NT, 512, 4096, 4096},
    {"tn", PLR_MATMUL_TN, 4096, 4096, 512},
    {"nn", PLR_MATMUL_NN, 2048, 768, 768},
    {"nt", PLR_MATMUL_NT, 2048, 768, 768},
    {"tn", PLR_MATMUL_TN, 768, 768, 2048},
    {"nn", PLR_MATMUL_NN, 2048, 4096, 1024},
    {"nt", PLR_MATMUL_NT, 2048, 1024, 4096},
    {"tn", PLR_MATMUL_TN, 1024, 4096, 2048},
    /* micro-batches of 128 tokens */
    {"nn", PLR_MATMUL_NN, 128, 768, 768},
    {"nt", PLR_MATMUL_NT, 128, 768, 768},
    {"tn", PLR_MATMUL_TN, 768, 768, 128},
    /* a subspace of 16 */
    {"nn", PLR_MATMUL_NN, 1024, 16, 768},
    {"nt", PLR_MATMUL_NT, 1024, 768, 16},
    /* decoding: one session, and eight at once */
    {"nn", PLR_MATMUL_NN, 1, 768, 768},
    {"nn", PLR_MATMUL_NN, 1, 4096, 1024},
    {"nn", PLR_MATMUL_NN, 1, 1024, 32000},
    {"nn", PLR_MATMUL_NN, 4, 4096, 1024},
    {"nn", PLR_MATMUL_NN, 8, 768, 768},
    {"nn", PLR_MATMUL_NN, 8, 4096, 1024},
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

/* A second run, for a peer chooses its kernels once in a process. With a lower instruction set the first three
 * products, forward and backward of a square weight, are enough. */
static int compare_avx2(char *program) {
  execlp(program, program, "--isa", "avx2", (char *)NULL);
  perror("bench_gemm: second run");
  return 1;
}

int main(int argc, char **argv) {
  const uint32_t isa = bench_options(argc, argv);
  const size_t count = isa == PLR_ISA_BEST ? PLR_COUNT_OF(products) : 3;
  peer_count = bench_load_peers(peers);
  for (uint32_t threads = 1; threads <= 2; threads++) {
    plr_context *ctx = context_of(threads, isa);
    for (size_t i = 0; i < count; i++)
      measure(ctx, isa == PLR_ISA_AVX2 ? "/avx2" : "", &products[i]);
    plr_context_destroy(ctx);
  }
  return isa == PLR_ISA_BEST && bench_isa() == PLR_ISA_AVX512 ? compare_avx2(argv[0]) : 0;
}
