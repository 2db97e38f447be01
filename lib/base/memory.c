/* Memory through the context: counted, limited, 64-byte aligned.
 *
 * A header of one alignment unit before every block holds its size, so that the host's free gets
 * the size back and plr__realloc knows what to copy. */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#endif
#include "base/base_int.h"

#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

typedef struct block_header {
  size_t total; /* bytes of header and block */
} block_header;

_Static_assert(sizeof(block_header) <= PLR_ALIGN, "the header fits before an aligned block");

/* Large blocks begin on a huge page and ask for such pages: weights are walked across rows, and with small pages every
 * row costs a walk of the page table. */
#define HUGE_PAGE   ((size_t)2 << 20)
#define LARGE_BLOCK (2 * HUGE_PAGE)

static void *default_alloc(void *user, size_t size, size_t align) {
  (void)user;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (size >= LARGE_BLOCK) {
    void *block = NULL;
    if (posix_memalign(&block, HUGE_PAGE, size) != 0) return NULL;
    (void)madvise(block, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a hint: refused is fine */
    return block;
  }
#endif
  size_t rounded = (size + align - 1) & ~(align - 1); /* C11 aligned_alloc wants a multiple */
  return rounded < size ? NULL : aligned_alloc(align, rounded);
}

static void default_free(void *user, void *ptr, size_t size, size_t align) {
  (void)user, (void)size, (void)align;
  free(ptr);
}

plr_allocator plr__default_allocator(void) {
  plr_allocator a = {NULL, default_alloc, default_free};
  return a;
}

/* Takes bytes from the budget; 0 when they would go over max_memory. */
static int budget_take(plr_context *ctx, uint64_t bytes) {
  uint64_t now = atomic_load_explicit(&ctx->bytes_now, memory_order_relaxed);
  uint64_t next;
  do {
    next = now + bytes;
    if (next < now || (ctx->max_memory && next > ctx->max_memory)) return 0;
  } while (!atomic_compare_exchange_weak_explicit(&ctx->bytes_now, &now, next, memory_order_relaxed,
                                                  memory_order_relaxed));
  uint64_t peak = atomic_load_explicit(&ctx->bytes_peak, memory_order_relaxed);
  while (peak < next &&
         !atomic_compare_exchange_weak_explicit(&ctx->bytes_peak, &peak, next, memory_order_relaxed,
                                                memory_order_relaxed)) {
  }
  return 1;
}

static void budget_give(plr_context *ctx, uint64_t bytes) {
  atomic_fetch_sub_explicit(&ctx->bytes_now, bytes, memory_order_relaxed);
}

static block_header *header_of(void *ptr) {
  return (block_header *)((uint8_t *)ptr - PLR_ALIGN);
}

void *plr__alloc(plr_context *ctx, size_t size) {
  if (size > PTRDIFF_MAX - PLR_ALIGN) return NULL;
  size_t total = size + PLR_ALIGN;
  if (!budget_take(ctx, total)) return NULL;
  uint8_t *raw = ctx->allocator.alloc(ctx->allocator.user, total, PLR_ALIGN);
  if (!raw) {
    budget_give(ctx, total);
    return NULL;
  }
  atomic_fetch_add_explicit(&ctx->allocations, 1, memory_order_relaxed);
  ((block_header *)raw)->total = total;
  return raw + PLR_ALIGN;
}

void *plr__calloc(plr_context *ctx, size_t count, size_t size) {
  if (size && count > SIZE_MAX / size) return NULL;
  void *ptr = plr__alloc(ctx, count * size);
  if (ptr) memset(ptr, 0, count * size);
  return ptr;
}

void *plr__realloc(plr_context *ctx, void *ptr, size_t new_size) {
  void *next = plr__alloc(ctx, new_size);
  if (!next || !ptr) return next;
  size_t old_size = header_of(ptr)->total - PLR_ALIGN;
  memcpy(next, ptr, PLR_MIN(old_size, new_size));
  plr__free(ctx, ptr);
  return next;
}

char *plr__strdup(plr_context *ctx, const char *text) {
  size_t len = strlen(text) + 1;
  char *copy = plr__alloc(ctx, len);
  return copy ? memcpy(copy, text, len) : NULL;
}

void plr__free(plr_context *ctx, void *ptr) {
  if (!ptr) return;
  block_header *h = header_of(ptr);
  size_t total = h->total;
  ctx->allocator.free(ctx->allocator.user, h, total, PLR_ALIGN);
  budget_give(ctx, total);
}

void *plr__scratch_take(plr_context *ctx, size_t size) {
  void *kept = atomic_exchange_explicit(&ctx->scratch, NULL, memory_order_acq_rel);
  if (kept && header_of(kept)->total - PLR_ALIGN >= size) return kept;
  plr__free(ctx, kept);
  return plr__alloc(ctx, size);
}

void plr__scratch_give(plr_context *ctx, void *scratch) {
  if (!scratch) return;
  plr__free(ctx, atomic_exchange_explicit(&ctx->scratch, scratch, memory_order_acq_rel));
}
