/* What the files of the emulator share. Everything here is used under `lock`. */
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "emulation.h"

namespace emulation {

/* ---- fibers: fiber.cpp ------------------------------------------------------------------------ */

constexpr size_t stack_size = 96 * 1024;

struct fiber {
  char *stack = nullptr; /* stack_size bytes above a page nobody may touch */
  void *saved = nullptr; /* stack pointer, or a ucontext_t */
};

/* Gets f ready to run entry() from the start; whatever it did before is forgotten. */
void fiber_reset(fiber &f, void (*entry)());
/* From the scheduler into f, until f calls fiber_leave. */
void fiber_enter(fiber &f);
void fiber_leave();

/* ---- a grid: grid.cpp ------------------------------------------------------------------------- */

enum class state { ready, at_barrier, at_warp, ended };

struct thread {
  uint3 index;
  unsigned linear, lane, warp;
  state now;
  site where;          /* of the barrier or exchange it waits at */
  unsigned warp_epoch; /* __syncwarp()s passed */
  unsigned exchanges;  /* warp operations passed, their parity chooses the buffer */
  fiber stack;
};

struct block_state {
  unsigned linear, epoch; /* epoch: __syncthreads()s passed */
};

extern thread_local thread *self; /* the CUDA thread that runs now on this host thread; NULL outside kernels */
extern block_state block;

/* One launch, memory copy or collective, as the checker names it. */
struct operation {
  uint64_t id;
  unsigned stream;              /* number of its stream */
  uint64_t sequence;            /* in that stream, from 1 */
  std::vector<uint64_t> waited; /* by stream: what the host had waited for when it queued this */
  int device;
};
extern const operation *current; /* the operation that runs now */

/* Runs the kernel to its end or its first fault. */
void run_grid(const cudaLaunchConfig_t &config, call &body);

/* Reports a fault; the first is kept. Called inside a kernel, it ends the kernel and does not return. */
void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool faulted();
void forget_fault();

/* ---- memory: memory.cpp ----------------------------------------------------------------------- */

constexpr size_t page = 4096;
constexpr size_t arena_size = size_t(4) << 30; /* address space; addresses are never used twice */
constexpr size_t shared_limit = 48 * 1024; /* per block, as on every architecture without asking */
constexpr size_t shared_size = 64 * 1024;  /* with the red zones */

struct allocation {
  char *begin;
  size_t size;
  int device;
  bool live;
  char *pages;
  size_t pages_size;
};

extern char *arena;
/* The allocation that owns the page of p, live or freed; NULL outside device memory. */
const allocation *find(const void *p);
/* "" when [p, p + size) lies in one live allocation of the device, else what is wrong. */
std::string range_error(const void *p, size_t size, int device);

cudaError_t allocate(void **ptr, size_t size, int device);
cudaError_t release(void *ptr);

/* The host may touch device memory between the two. */
void memory_open();
void memory_close();

/* Shared memory of the running block: variables between red zones, all bytes 0xff at the start. */
extern char shared_arena[];
void shared_start();
void shared_finish(); /* faults when a red zone was written to */
bool shared_contains(const char *p, size_t size);

/* ---- streams: stream.cpp ---------------------------------------------------------------------- */

extern std::mutex lock;
extern std::condition_variable progress;
extern cudaError_t sticky; /* once an operation has failed, every call says so, as on hardware */

uint64_t random_below(uint64_t n);
/* Queues body on the stream; body returns false when it has to wait for another host thread. */
void enqueue(cudaStream_t stream, std::function<bool()> body);
int stream_device(cudaStream_t stream);
int current_device_number();

/* ---- the checker: check.cpp ------------------------------------------------------------------- */

/* Memory the host side (a copy, a collective) reads and writes on behalf of `current`. */
void check_host_read(const void *p, size_t size);
void check_host_write(const void *p, size_t size);
void check_started(); /* `current` begins */
void check_prepare();
void check_atomic(const void *p, size_t size, const void *pc);
/* The kernel's arguments, which every thread may read. */
extern const char *arguments, *arguments_end;

} // namespace emulation
