/* The peer of the benchmarks that multiply matrices, looked up at run time. */
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
