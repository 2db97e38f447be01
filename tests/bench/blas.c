/* The peers of the benchmarks that multiply matrices, looked up at run time. */
#define _DEFAULT_SOURCE
#include "bench.h"

#include "pluralis/base.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* dlsym gives an object pointer; POSIX promises that it converts. */
static void lookup(void *library, const char *name, void *fn, size_t size) {
  void *symbol = dlsym(library, name);
  memcpy(fn, &symbol, size);
}

void bench_load_openblas(bench_blas *p) {
  memset(p, 0, sizeof *p);
  const uint32_t isa = bench_isa();
  const int chosen = getenv("OPENBLAS_CORETYPE") != NULL;
  if (isa == PLR_ISA_AVX2) setenv("OPENBLAS_CORETYPE", "Haswell", 0);
  if (isa == PLR_ISA_AVX512) setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
  /* Its threads wait busily for 2^26 cycles unless told otherwise; 2^20 still bridges the calls of a sample. */
  setenv("OPENBLAS_THREAD_TIMEOUT", "20", 0);
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!chosen) unsetenv("OPENBLAS_CORETYPE"); /* it has been read */
  if (!library) return;
  char *(*core)(void);
  lookup(library, "cblas_sgemm", &p->sgemm, sizeof p->sgemm);
  lookup(library, "openblas_set_num_threads", &p->set_threads, sizeof p->set_threads);
  lookup(library, "openblas_get_corename", &core, sizeof core);
  if (!p->set_threads) p->sgemm = NULL;
  snprintf(p->name, sizeof p->name, "OpenBLAS %s kernels", core ? core() : "unnamed");
}

static void load_blis(bench_blas *p) {
  memset(p, 0, sizeof *p);
  const int chosen = getenv("BLIS_ARCH_TYPE") != NULL;
  if (bench_isa() == PLR_ISA_AVX512)
    setenv("BLIS_ARCH_TYPE", "0", 0); /* skx, as version 0.9 counts them */
  void *library = dlopen("libblis.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library) {
    void (*init)(void);
    int (*query)(void);
    const char *(*text)(int);
    lookup(library, "cblas_sgemm", &p->sgemm, sizeof p->sgemm);
    lookup(library, "bli_thread_set_num_threads", &p->set_threads, sizeof p->set_threads);
    lookup(library, "bli_init", &init, sizeof init);
    lookup(library, "bli_arch_query_id", &query, sizeof query);
    lookup(library, "bli_arch_string", &text, sizeof text);
    if (!p->set_threads) p->sgemm = NULL;
    if (init) init();
    snprintf(p->name, sizeof p->name, "BLIS %s kernels",
             init && query && text ? text(query()) : "unnamed");
  }
  if (!chosen) unsetenv("BLIS_ARCH_TYPE");
}

typedef int onednn_sgemm(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                         const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                         float *c, int64_t ldc);

static onednn_sgemm *onednn;

/* Its matrices are row-major too. */
static void call_onednn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                        const float *a, int lda, const float *b, int ldb, float beta, float *c,
                        int ldc) {
  (void)order;
  onednn(trans_a == BENCH_TRANSPOSE ? 'T' : 'N', trans_b == BENCH_TRANSPOSE ? 'T' : 'N', m, n, k,
         alpha, a, lda, b, ldb, beta, c, ldc);
}

/* It detects the instruction set by itself; that of ours is named when it is a lower one. */
static void load_onednn(bench_blas *p) {
  memset(p, 0, sizeof *p);
  if (bench_isa() == PLR_ISA_AVX2) setenv("DNNL_MAX_CPU_ISA", "AVX2", 0);
  void *library = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  lookup(library, "dnnl_sgemm", &onednn, sizeof onednn);
  lookup(library, "omp_set_num_threads", &p->set_threads, sizeof p->set_threads);
  if (onednn && p->set_threads) p->sgemm = call_onednn;
  snprintf(p->name, sizeof p->name, "oneDNN");
}

uint32_t bench_load_peers(bench_blas out[BENCH_PEERS]) {
  static void (*const load[])(bench_blas *) = {bench_load_openblas, load_blis, load_onednn};
  uint32_t n = 0;
  for (uint32_t i = 0; i < BENCH_PEERS; i++) {
    load[i](&out[n]);
    if (out[n].sgemm) n++;
  }
  return n;
}
