/* What the files of base share with each other and with base's tests. */
#ifndef PLR_BASE_BASE_INT_H
#define PLR_BASE_BASE_INT_H

#include "base/base.h"

#include <stdatomic.h>

/* Every block is aligned to a cache line and to the widest vector. */
#define PLR_ALIGN 64u

#define PLR_MAX_THREADS 256u

typedef struct plr_pool plr_pool;

/* Tasks [next, end) that nobody has begun. `next` runs past the end when several ask for the last one. */
typedef struct plr_run_of_tasks {
  _Alignas(PLR_ALIGN) _Atomic uint32_t next;
  uint32_t end;
} plr_run_of_tasks;

/* One parallel region, on its caller's stack. */
typedef struct plr_tasks {
  void (*fn)(void *arg, uint32_t index, uint32_t lane);
  void *arg;
  uint32_t lanes;
  plr_run_of_tasks run[PLR_MAX_THREADS];
} plr_tasks;

struct plr_context {
  _Atomic uint32_t refs;
  uint32_t isa;
  uint32_t threads;
  uint32_t log_level;
  plr_allocator allocator;
  plr_logger logger;
  plr_executor executor;
  uint64_t max_memory;
  uint64_t max_frame;
  uint64_t max_file;
  _Atomic uint64_t bytes_now;
  _Atomic uint64_t bytes_peak;
  _Atomic uint64_t allocations;
  _Atomic(void *) scratch; /* see plr__scratch_take; NULL while it is out */
  plr_pool *pool; /* NULL: one thread, or a host executor */
};

/* The C library's allocator in the shape of a hook. */
plr_allocator plr__default_allocator(void);

/* Starts `threads` - 1 workers. */
plr_status plr__pool_create(plr_context *ctx, uint32_t threads, plr_pool **out, plr_error *err);
void plr__pool_destroy(plr_context *ctx, plr_pool *pool);
/* 1 when done; 0 when the pool is taken or belongs to a parent process, and nothing was run. */
int plr__pool_run(plr_pool *pool, plr_tasks *tasks);

/* Takes tasks until none is left, on this thread, in the exact floating-point environment, marked as inside a
 * parallel region, so that nested calls run serially. */
void plr__tasks_work(plr_tasks *tasks, uint32_t lane);

/* NULL when hashes, checksums and arithmetic behave on this machine; else the name of what does
 * not. */
const char *plr__selftest(void);

/* Makes text one line of valid UTF-8: control characters and broken sequences become '?'. */
void plr__text_clean(char *text);

uint32_t plr__crc32c_portable(uint32_t crc, const void *data, size_t len);
#if defined(__aarch64__)
uint32_t plr__crc32c_arm(uint32_t crc, const void *data, size_t len); /* needs CRC32 and PMULL */
#endif

#endif
