/* The checker: every load and store of a kernel.
 *
 * Kernel files are compiled with -fsanitize=thread, which puts a call before each access; these are the calls.
 * The sanitizer's own library is not linked. For each four bytes of device and shared memory a cell remembers the
 * last write and the last reads. Two accesses of one cell race when one of them writes and nothing orders them:
 *
 *   two operations      the same stream, or the host had waited for the first when it queued the second
 *   one launch          the same thread; or one block with a __syncthreads between them; or one warp with a
 *                       __syncwarp between them
 *
 * The verdict does not depend on the order in which the threads happened to run. */
#include "runtime.h"

#include <cstdio>
#include <dlfcn.h>
#include <sys/mman.h>

namespace emulation {

const char *arguments, *arguments_end;

namespace {

struct access {
  uint64_t op; /* the launch or copy; 0: none yet */
  unsigned block;
  unsigned epoch;
  unsigned short thread, warp_epoch;
  unsigned char bytes; /* of the cell's four, one bit each */
  bool atomic;
  unsigned char
      many; /* several threads: 1 of one warp (warp_epoch: the latest), 2 of several warps */
  const void *pc;
};

struct cell {
  access write, read;
  unsigned char written; /* bytes that hold a value */
};

constexpr size_t shared_cells = shared_size / 4;
constexpr unsigned short host_thread = 0xffff;

cell *cells; /* of the arena: mapped at once, used as touched */
cell shared_memory_cells[shared_cells];

struct place { /* what is needed of an operation after it has ended */
  unsigned stream;
  uint64_t sequence;
};
std::vector<place> places; /* by operation */

std::string source_line(const void *pc) {
  Dl_info info;
  if (!pc || !dladdr(pc, &info) || !info.dli_fname) return "host";
  unsigned long offset =
      (unsigned long)(static_cast<const char *>(pc) - static_cast<const char *>(info.dli_fbase)) -
      1;
  char text[600];
  snprintf(text, sizeof text, "addr2line -s -e '%s' 0x%lx 2>/dev/null", info.dli_fname, offset);
  std::string line;
  if (FILE *pipe = popen(text, "r")) {
    if (fgets(text, sizeof text, pipe)) line = text;
    pclose(pipe);
  }
  line = line.substr(0, line.find_first_of(" \n"));
  if (!line.empty() && line[0] != '?') return line;
  snprintf(text, sizeof text, "0x%lx of %s", offset, info.dli_fname);
  return text;
}

/* Whether `before`, which ran first, is certain to do so on any machine. */
bool ordered(const access &before, const access &now) {
  if (before.op != now.op) {
    const place &p = places[before.op];
    if (p.stream == current->stream) return true;
    return p.stream < current->waited.size() && p.sequence <= current->waited[p.stream];
  }
  if (before.block != now.block) return false;
  if (before.epoch != now.epoch) return true;
  if (before.many == 2) return false;
  if (before.thread == now.thread && !before.many) return true;
  return before.thread / 32 == now.thread / 32 && before.warp_epoch < now.warp_epoch;
}

void race(const char *memory, const char *first, const access &a, const char *second,
          const access &b) {
  std::string at = source_line(a.pc), here = source_line(b.pc);
  if (a.op != b.op)
    fault(
        "race on %s memory: %s at %s by an earlier operation on another stream, that the host has "
        "not waited for, and %s at %s",
        memory, first, at.c_str(), second, here.c_str());
  else
    fault("race on %s memory: %s at %s by thread %u of block %u, and %s at %s", memory, first,
          at.c_str(), a.thread, a.block, second, here.c_str());
}

void touch(cell &c, const access &now, bool write, const char *memory) {
  const access &w = c.write, &r = c.read;
  bool both_atomic = w.atomic && now.atomic;
  if (w.op && (w.bytes & now.bytes) && !both_atomic && !ordered(w, now))
    race(memory, "a write", w, write ? "a write" : "a read", now);
  if (write && r.op && (r.bytes & now.bytes) && !(r.atomic && now.atomic) && !ordered(r, now))
    race(memory, "a read", r, "a write", now);
  if (write) {
    unsigned char bytes = now.bytes;
    if (w.op == now.op && w.block == now.block && w.thread == now.thread && w.epoch == now.epoch)
      bytes |= w.bytes;
    c.write = now;
    c.write.bytes = bytes;
    c.written |= now.bytes;
    return;
  }
  /* Reads that nothing orders are kept as one: by several threads, or by no block in particular. */
  if (r.op != now.op || (r.block == now.block && ordered(r, now))) {
    c.read = now;
  } else if (r.block != now.block) {
    c.read.block = ~0u;
    c.read.bytes |= now.bytes;
  } else {
    unsigned char many = r.many == 2 || r.thread / 32 != now.thread / 32 ? 2 : 1;
    unsigned char bytes = r.bytes | now.bytes;
    unsigned short latest = r.warp_epoch > now.warp_epoch ? r.warp_epoch : now.warp_epoch;
    c.read = now;
    c.read.many = many;
    c.read.bytes = bytes;
    c.read.warp_epoch = latest;
  }
}

void check_cells(cell *first, size_t offset, size_t size, access now, bool write,
                 const char *memory) {
  for (size_t at = offset; at < offset + size;) {
    size_t end = at / 4 * 4 + 4 < offset + size ? at / 4 * 4 + 4 : offset + size;
    now.bytes = (unsigned char)((1u << (end - at)) - 1) << (at % 4);
    cell &c = first[at / 4];
    if (!write && self && (c.written & now.bytes) != now.bytes)
      fault("read of %s memory that nothing has written, at %s", memory,
            source_line(now.pc).c_str());
    touch(c, now, write, memory);
    at = end;
  }
}

access access_now(const void *pc, bool atomic) {
  access a;
  a.op = current->id;
  a.block = block.linear;
  a.epoch = block.epoch;
  a.thread = self ? (unsigned short)self->linear : host_thread;
  a.warp_epoch = self ? (unsigned short)self->warp_epoch : 0;
  a.bytes = 0;
  a.atomic = atomic;
  a.many = false;
  a.pc = pc;
  return a;
}

/* A block starts with shared memory that nothing has written. */
void check_shared(const char *p, size_t size, bool write, const access &now) {
  if (!shared_contains(p, size))
    fault("%s of shared memory outside a variable, at %s", write ? "write" : "read",
          source_line(now.pc).c_str());
  size_t offset = size_t(p - shared_arena);
  for (size_t i = offset / 4; i <= (offset + size - 1) / 4; i++) {
    cell &c = shared_memory_cells[i];
    access *of[] = {&c.write, &c.read};
    for (access *a : of)
      if (a->op != now.op || a->block != now.block) a->op = 0;
    if (!c.write.op) c.written = 0;
  }
  check_cells(shared_memory_cells, offset, size, now, write, "shared");
}

/* Places a kernel may read that are neither device nor shared memory. */
bool is_own(const char *p) {
  if (p >= arguments && p < arguments_end) return true;
  Dl_info info;
  return dladdr(p, &info) != 0; /* a constant of the program, threadIdx */
}

bool is_index(const char *p) {
  const void *v = p;
  return (v >= &threadIdx && v < &threadIdx + 1) || (v >= &blockIdx && v < &blockIdx + 1) ||
         (v >= &blockDim && v < &blockDim + 1) || (v >= &gridDim && v < &gridDim + 1);
}

void check(const void *address, size_t size, bool write, bool atomic, const void *pc) {
  if (!self) return; /* host code of the same file */
  const char *p = static_cast<const char *>(address);
  if (p >= self->stack.stack && p < self->stack.stack + stack_size) return;
  if (is_index(p)) return;
  access now = access_now(pc, atomic);
  if (p >= shared_arena && p < shared_arena + shared_size) return check_shared(p, size, write, now);
  if (find(p) && cells) {
    std::string bad = range_error(p, size, current->device);
    if (!bad.empty())
      fault("%s of device memory at %s: it %s", write ? "write" : "read", source_line(pc).c_str(),
            bad.c_str());
    return check_cells(cells, size_t(p - arena), size, now, write, "device");
  }
  if (write || !is_own(p))
    fault("%s at %s through %p, which is not memory of the device", write ? "write" : "read",
          source_line(pc).c_str(), address);
}

void check_host(const void *p, size_t size, bool write) {
  if (!size || !cells) return;
  access now = access_now(nullptr, false);
  now.block = now.epoch = 0;
  check_cells(cells, size_t(static_cast<const char *>(p) - arena), size, now, write, "device");
}

} // namespace

void check_host_read(const void *p, size_t size) {
  check_host(p, size, false);
}
void check_host_write(const void *p, size_t size) {
  check_host(p, size, true);
}

void check_started() {
  if (places.size() <= current->id) places.resize(current->id + 1);
  places[current->id] = {current->stream, current->sequence};
}

void check_prepare() {
  if (cells) return;
  void *m = mmap(nullptr, arena_size / 4 * sizeof(cell), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m != MAP_FAILED) cells = static_cast<cell *>(m);
}

void check_atomic(const void *p, size_t size, const void *pc) {
  check(p, size, true, true, pc);
}

} // namespace emulation

/* ---- what the compiler calls ------------------------------------------------------------------ */

#define PC __builtin_return_address(0)
#define HOOKS(n)                                                                                   \
  void __tsan_read##n(void *p) {                                                                   \
    emulation::check(p, n, false, false, PC);                                                      \
  }                                                                                                \
  void __tsan_write##n(void *p) {                                                                  \
    emulation::check(p, n, true, false, PC);                                                       \
  }                                                                                                \
  void __tsan_unaligned_read##n(void *p) {                                                         \
    emulation::check(p, n, false, false, PC);                                                      \
  }                                                                                                \
  void __tsan_unaligned_write##n(void *p) {                                                        \
    emulation::check(p, n, true, false, PC);                                                       \
  }                                                                                                \
  void __tsan_read_write##n(void *p) {                                                             \
    emulation::check(p, n, true, false, PC);                                                       \
  }                                                                                                \
  void __tsan_unaligned_read_write##n(void *p) {                                                   \
    emulation::check(p, n, true, false, PC);                                                       \
  }

extern "C" {
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void *p, unsigned long n) {
  emulation::check(p, n, false, false, PC);
}
void __tsan_write_range(void *p, unsigned long n) {
  emulation::check(p, n, true, false, PC);
}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}
void __tsan_init(void) {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
}
