/* Memory through the context: counted, limited, 64-byte aligned.
 *
 * A header of one alignment unit before every block holds its size, so that the host's free gets
 * the size back and plr__realloc knows what to copy. */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* mmap, madvise */
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
 * row costs a walk of the page table. They are mapped by themselves, and so come zeroed. Not under a sanitizer, which
 * sees past the end of its own blocks only. */
#define HUGE_PAGE   ((size_t)2 << 20)
#define LARGE_BLOCK (2 * HUGE_PAGE)

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#if defined(__linux__) && !defined(SANITIZED)
static int is_large(size_t size) {
  return size >= LARGE_BLOCK;
}
#else
static int is_large(size_t size) {
  (void)size;
  return 0;
}
#endif

#if defined(__linux__)
static size_t whole_pages(size_t size) {
  return (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

/* size is below PTRDIFF_MAX: the sums do not wrap. */
static void *map_large(size_t size) {
  size_t want = whole_pages(size), all = want + HUGE_PAGE;
  uint8_t *start = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return NULL;
  size_t before = (HUGE_PAGE - (uintptr_t)start % HUGE_PAGE) % HUGE_PAGE;
  if (before) munmap(start, before);
  munmap(start + before + want, HUGE_PAGE - before); /* never empty: before is below a page */
#ifdef MADV_HUGEPAGE
  (void)madvise(start + before, want, MADV_HUGEPAGE); /* a hint: refused is fine */
#endif
  return start + before;
}

static void unmap_large(void *ptr, size_t size) {
  munmap(ptr, whole_pages(size));
}
#else
static void *map_large(size_t size) {
  (void)size;
  return NULL;
}

static void unmap_large(void *ptr, size_t size) {
  (void)ptr, (void)size;
}
#endif

static void *default_alloc(void *user, size_t size, size_t align) {
  (void)user;
  if (is_large(size)) return map_large(size);
  size_t rounded = (size + align - 1) & ~(align - 1); /* C11 aligned_alloc wants a multiple */
  return rounded < size ? NULL : aligned_alloc(align, rounded);
}

static void default_free(void *user, void *ptr, size_t size, size_t align) {
  (void)user, (void)align;
  if (is_large(size))
    unmap_large(ptr, size);
  else
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
  int zeroed = ctx->allocator.alloc == default_alloc && is_large(count * size + PLR_ALIGN);
  if (ptr && !zeroed) memset(ptr, 0, count * size);
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
