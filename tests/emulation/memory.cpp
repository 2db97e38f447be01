/* Device memory, which the host cannot touch, and the shared memory of a block.
 *
 * Device memory is a range of reserved addresses. An allocation gets pages of its own and ends (within the 256
 * bytes of alignment) at a page nobody may touch; addresses are never given out twice, so a freed pointer stays
 * a bad pointer. The pages are closed to the host except while an operation of a stream runs: by a protection
 * key of the host thread where the processor has them, by mprotect where not. */
#include "runtime.h"

#include <algorithm>
#include <cstdio>
#include <sys/mman.h>

namespace emulation {

char *arena;
alignas(64) char shared_arena[shared_size];

namespace {

constexpr size_t pages_in_arena = arena_size / page;
constexpr size_t red_zone = 64;

std::vector<allocation> allocations;
uint32_t owner[pages_in_arena]; /* index into allocations, plus one */
size_t next_page;
int key = -1;
int open_count;

struct variable {
  const void *key;
  size_t offset, size;
};
std::vector<variable> variables; /* of the running block */
size_t shared_used, shared_asked, shared_dirty = red_zone;

void reserve() {
  if (arena) return;
  void *m =
      mmap(nullptr, arena_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED) return;
  check_prepare();
  arena = static_cast<char *>(m);
#if defined(PKEY_DISABLE_ACCESS)
  key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
#endif
}

void protect(const allocation &a, bool open) {
  mprotect(a.pages, a.pages_size, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

} // namespace

cudaError_t allocate(void **ptr, size_t size, int device) {
  *ptr = nullptr;
  if (!size) return cudaSuccess;
  reserve();
  size_t aligned = (size + 255) / 256 * 256, pages = (aligned + page - 1) / page;
  if (!arena || aligned < size || pages >= pages_in_arena - next_page)
    return cudaErrorMemoryAllocation;
  allocation a;
  a.pages = arena + next_page * page;
  a.pages_size = pages * page;
  a.begin = a.pages + a.pages_size - aligned;
  a.size = size;
  a.device = device;
  a.live = true;
  allocations.push_back(a);
  for (size_t i = 0; i < pages; i++) owner[next_page + i] = uint32_t(allocations.size());
  next_page += pages + 1; /* the page after it stays closed */
#if defined(PKEY_DISABLE_ACCESS)
  if (key >= 0) pkey_mprotect(a.pages, a.pages_size, PROT_READ | PROT_WRITE, key);
#endif
  memory_open();
  if (key < 0) protect(a, true);
  memset(a.pages, 0xff, a.pages_size);
  memory_close();
  *ptr = a.begin;
  return cudaSuccess;
}

cudaError_t release(void *ptr) {
  if (!ptr) return cudaSuccess;
  allocation *a = const_cast<allocation *>(find(ptr));
  if (!a || !a->live || a->begin != ptr) return cudaErrorInvalidValue;
  a->live = false;
  mprotect(a->pages, a->pages_size, PROT_NONE);
  madvise(a->pages, a->pages_size, MADV_DONTNEED);
  return cudaSuccess;
}

const allocation *find(const void *p) {
  const char *c = static_cast<const char *>(p);
  if (!arena || c < arena || c >= arena + arena_size) return nullptr;
  uint32_t i = owner[size_t(c - arena) / page];
  return i ? &allocations[i - 1] : nullptr;
}

std::string range_error(const void *p, size_t size, int device) {
  const allocation *a = find(p);
  char text[160];
  if (!a) return "is not device memory";
  if (!a->live) return "was freed";
  if (a->device != device) return "is memory of device " + std::to_string(a->device);
  long long from = static_cast<const char *>(p) - a->begin;
  if (from >= 0 && size <= a->size && size_t(from) <= a->size - size) return "";
  snprintf(text, sizeof text, "covers bytes %lld to %lld of an allocation of %zu", from,
           from + (long long)size, a->size);
  return text;
}

void memory_open() {
  if (open_count++) return;
#if defined(PKEY_DISABLE_ACCESS)
  if (key >= 0) pkey_set(key, 0);
#endif
  for (const allocation &a : allocations)
    if (key < 0 && a.live) protect(a, true);
}

void memory_close() {
  if (--open_count) return;
#if defined(PKEY_DISABLE_ACCESS)
  if (key >= 0) pkey_set(key, PKEY_DISABLE_ACCESS);
#endif
  for (const allocation &a : allocations)
    if (key < 0 && a.live) protect(a, false);
}

/* ---- shared memory ---------------------------------------------------------------------------- */

void shared_start() {
  variables.clear();
  memset(shared_arena, 0xff, shared_dirty);
  shared_used = red_zone;
  shared_asked = 0;
}

void *shared_variable(const void *k, size_t size, site where) {
  for (const variable &v : variables)
    if (v.key == k) return shared_arena + v.offset;
  shared_asked += size;
  if (shared_asked > shared_limit)
    fault("%s:%d: more than %zu bytes of shared memory", where.file, where.line, shared_limit);
  variable v = {k, shared_used, size};
  if (shared_used + size + red_zone + 16 > sizeof shared_arena)
    fault("%s:%d: too many shared variables for the red zones", where.file, where.line);
  shared_used = (shared_used + size + red_zone + 15) / 16 * 16;
  if (shared_dirty < shared_used) {
    memset(shared_arena + shared_dirty, 0xff, shared_used - shared_dirty);
    shared_dirty = shared_used;
  }
  variables.push_back(v);
  return shared_arena + v.offset;
}

bool shared_contains(const char *p, size_t size) {
  size_t from = size_t(p - shared_arena);
  for (const variable &v : variables)
    if (from >= v.offset && from + size <= v.offset + v.size) return true;
  return false;
}

/* Without the checker compiled in, a write beside a variable is found here, at the end of its block. */
void shared_finish() {
  size_t at = 0;
  for (size_t i = 0; i <= variables.size(); i++) {
    size_t end = i < variables.size() ? variables[i].offset : shared_used;
    for (; at < end; at++)
      if (shared_arena[at] != '\xff') {
        fault(
            "block %u: a write beside a shared variable, at byte %zu of the block's shared memory",
            block.linear, at);
        return;
      }
    if (i < variables.size()) at = variables[i].offset + variables[i].size;
  }
}

} // namespace emulation

extern "C" int emulation_uses_key(void) {
  return emulation::key >= 0;
}
