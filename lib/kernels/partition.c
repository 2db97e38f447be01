/* How an operation is cut into tasks. Items are independent, so neither the cut nor who computes a part changes a
 * bit. */
#include "kernels/vec_kernels.h"

/* Fewer elements than this are not worth waking a thread. */
#define PLR_PARTITION_ELEMENTS 16384

/* Parts for each thread: a thread that has lost its processor holds up one of them, the others take the rest. */
#define PARTS_PER_THREAD 4

typedef struct partition_job {
  plr_range_fn fn;
  const void *args;
  int64_t n, step;
} partition_job;

static void run_part(void *arg, uint32_t index) {
  const partition_job *job = (const partition_job *)arg;
  int64_t first = (int64_t)index * job->step;
  job->fn(job->args, first, PLR_MIN(job->n, first + job->step));
}

void plr__partition(plr_context *ctx, int64_t n, int64_t align, int64_t cost, plr_range_fn fn,
                    const void *args) {
  if (n <= 0) return;
  int64_t units = (n + align - 1) / align;
  int64_t worth =
      n / (PLR_PARTITION_ELEMENTS / PLR_MIN(PLR_MAX(cost, 1), PLR_PARTITION_ELEMENTS)) + 1;
  int64_t threads = plr_context_threads(ctx), parts = threads > 1 ? PARTS_PER_THREAD * threads : 1;
  parts = PLR_MIN(parts, PLR_MIN(units, worth));
  int64_t step = (units + parts - 1) / parts * align;
  parts = (n + step - 1) / step;
  if (parts == 1) {
    fn(args, 0, n);
    return;
  }
  partition_job job = {fn, args, n, step};
  plr__parallel_for(ctx, (uint32_t)parts, run_part, &job);
}

const plr_vec_kernels *plr__vec(const plr_context *ctx) {
#if defined(__x86_64__)
  if (plr_context_isa(ctx) >= PLR_ISA_AVX512) return &plr__vec_avx512;
  if (plr_context_isa(ctx) >= PLR_ISA_AVX2) return &plr__vec_avx2;
#elif defined(__aarch64__)
  if (plr_context_isa(ctx) >= PLR_ISA_NEON) return &plr__vec_neon;
#endif
  (void)ctx;
  return &plr__vec_portable;
}
