/* The context: options, limits, references. */
#include "base/base_int.h"

#include <string.h>

static plr_context_options context_defaults(void) {
  plr_context_options o;
  memset(&o, 0, sizeof o);
  o.struct_size = (uint32_t)sizeof o;
  o.threads = 1;
  o.isa = PLR_ISA_BEST;
  o.log_level = PLR_LOG_INFO;
  o.max_frame = UINT64_C(64) << 20;
  o.max_file = UINT64_C(16) << 20;
  return o;
}

void plr_context_options_init(plr_context_options *options, uint32_t struct_size) {
  plr_context_options o = context_defaults();
  plr__options_init(options, struct_size, &o, (uint32_t)sizeof o);
}

static uint32_t detect_isa(void) {
#if defined(__x86_64__)
  /* The compiler's runtime also asks XGETBV whether the system saves the wide registers. */
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return PLR_ISA_PORTABLE;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return PLR_ISA_AVX512;
  return PLR_ISA_AVX2;
#elif defined(__aarch64__)
  return PLR_ISA_NEON; /* every aarch64 processor has it */
#else
  return PLR_ISA_PORTABLE;
#endif
}

/* The highest that the processor has and the host allows. */
static uint32_t choose_isa(uint32_t allowed) {
  const uint32_t best = detect_isa();
  if (best < PLR_ISA_NEON) return PLR_MIN(allowed, best);
  return allowed < best ? PLR_ISA_PORTABLE : best;
}

static plr_status check_options(const plr_context_options *o, plr_error *err) {
  const plr_status bad = PLR_ERR_INVALID_ARGUMENT;
  if (o->executor.parallel_for) {
    if (o->executor.threads < 1 || o->executor.threads > PLR_MAX_THREADS)
      return plr__fail(err, bad, "context.executor.threads", "%u is not within 1 .. %u",
                       o->executor.threads, PLR_MAX_THREADS);
    if (o->executor.reserved) return plr__fail(err, bad, "context.executor.reserved", "must be 0");
  } else if (o->threads < 1 || o->threads > PLR_MAX_THREADS) {
    return plr__fail(err, bad, "context.threads", "%u is not within 1 .. %u", o->threads,
                     PLR_MAX_THREADS);
  }
  if (!o->allocator.alloc != !o->allocator.free)
    return plr__fail(err, bad, "context.allocator", "alloc and free go together");
  if (!o->max_frame || !o->max_file)
    return plr__fail(err, bad, "context.max_frame, max_file", "must not be 0");
  return PLR_OK;
}

static plr_context *context_alloc(const plr_context_options *o) {
  plr_allocator a = o->allocator.alloc ? o->allocator : plr__default_allocator();
  plr_context *ctx = a.alloc(a.user, sizeof *ctx, PLR_ALIGN);
  if (!ctx) return NULL;
  memset(ctx, 0, sizeof *ctx);
  atomic_init(&ctx->refs, 1);
  atomic_init(&ctx->bytes_now, 0);
  atomic_init(&ctx->bytes_peak, 0);
  atomic_init(&ctx->allocations, 0);
  atomic_init(&ctx->scratch, NULL);
  ctx->isa = choose_isa(o->isa);
  ctx->threads = o->executor.parallel_for ? o->executor.threads : o->threads;
  ctx->log_level = o->log_level;
  ctx->allocator = a;
  ctx->logger = o->logger;
  ctx->executor = o->executor;
  ctx->max_memory = o->max_memory;
  ctx->max_frame = o->max_frame;
  ctx->max_file = o->max_file;
  return ctx;
}

static void context_release(plr_context *ctx) {
  plr__pool_destroy(ctx, ctx->pool);
  plr__free(ctx, atomic_load(&ctx->scratch));
  plr_allocator a = ctx->allocator;
  a.free(a.user, ctx, sizeof *ctx, PLR_ALIGN);
}

plr_status plr_context_create(const plr_context_options *options, plr_context **out,
                              plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "context", "out is NULL");
  *out = NULL;
  plr_context_options o = context_defaults();
  PLR_TRY(plr__options_read(&o, (uint32_t)sizeof o, options, "context options", err));
  PLR_TRY(check_options(&o, err));
  const char *broken = plr__selftest();
  if (broken)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, "context", "self-test of %s failed", broken);
  plr_context *ctx = context_alloc(&o);
  if (!ctx) return plr__no_memory(err, "context");
  if (!o.executor.parallel_for && o.threads > 1) {
    plr_status st = plr__pool_create(ctx, o.threads, &ctx->pool, err);
    if (st != PLR_OK) {
      context_release(ctx);
      return st;
    }
  }
  *out = ctx;
  return PLR_OK;
}

plr_context *plr__context_ref(plr_context *ctx) {
  atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
  return ctx;
}

void plr__context_unref(plr_context *ctx) {
  if (!ctx) return;
  /* Release publishes this thread's use of the context, acquire sees that of every other. */
  if (atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) == 1) context_release(ctx);
}

void plr_context_destroy(plr_context *ctx) {
  plr__context_unref(ctx);
}

uint32_t plr_context_isa(const plr_context *ctx) {
  return ctx->isa;
}

uint32_t plr_context_threads(const plr_context *ctx) {
  return ctx->threads;
}

void plr_context_memory(const plr_context *ctx, uint64_t *bytes_now, uint64_t *bytes_peak,
                        uint64_t *allocations) {
  if (bytes_now) *bytes_now = atomic_load_explicit(&ctx->bytes_now, memory_order_relaxed);
  if (bytes_peak) *bytes_peak = atomic_load_explicit(&ctx->bytes_peak, memory_order_relaxed);
  if (allocations) *allocations = atomic_load_explicit(&ctx->allocations, memory_order_relaxed);
}

uint64_t plr__max_frame(const plr_context *ctx) {
  return ctx->max_frame;
}

uint64_t plr__max_file(const plr_context *ctx) {
  return ctx->max_file;
}
