/* Running a grid: its blocks one after the other in a seeded order, the threads of a block as fibers in a seeded
 * order, with real barriers and real exchanges between the lanes of a warp. */
#include "runtime.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {

thread_local thread *self;
block_state block;
const operation *current;

namespace {

constexpr unsigned max_threads = 1024;

/* What the 32 lanes of a warp show each other. Two buffers: a lane can be one operation ahead of a lane that has
 * yet to read, never two, because an operation completes only when all have arrived. */
struct warp_state {
  uint64_t value[2][32];
  unsigned arrived;
  site where; /* of the first to arrive */
};

thread threads[max_threads];
warp_state warps[max_threads / 32];
std::vector<unsigned> ready;
unsigned thread_count, at_barrier, ended;
site barrier_site; /* of the first to arrive */
call *body;
bool abandoned;
std::string first_fault;
uint64_t threads_run;

void entry() {
  (*body)();
  self->now = state::ended;
  ended++;
  fiber_leave();
}

void wait(state why, site where) {
  self->now = why;
  self->where = where;
  fiber_leave();
}

void wake(unsigned i) {
  threads[i].now = state::ready;
  ready.push_back(i);
}

bool differ(site a, site b) {
  return a.line != b.line || strcmp(a.file, b.file) != 0;
}

const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

void start_block(unsigned linear) {
  block.linear = linear;
  blockIdx = {linear % gridDim.x, linear / gridDim.x % gridDim.y, linear / gridDim.x / gridDim.y};
  block.epoch = 0;
  at_barrier = ended = 0;
  shared_start();
  ready.clear();
  for (unsigned i = 0; i < thread_count; i++) {
    thread &t = threads[i];
    t.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    t.linear = i;
    t.lane = i % 32;
    t.warp = i / 32;
    t.warp_epoch = t.exchanges = 0;
    warps[t.warp].arrived = 0;
    fiber_reset(t.stack, entry);
    wake(i);
  }
  threads_run += thread_count;
}

/* Nobody is ready and not everybody has ended: say who waits for whom. */
void report_deadlock() {
  for (unsigned i = 0; i < thread_count; i++) {
    const thread &t = threads[i];
    if (t.now == state::at_barrier)
      fault("block %u: thread %u waits at the barrier of %s:%d, which %u of %u threads never reach",
            block.linear, i, base_name(t.where.file), t.where.line, thread_count - at_barrier,
            thread_count);
    if (t.now == state::at_warp)
      fault("block %u: thread %u waits in the warp operation of %s:%d, which only %u of 32 lanes "
            "reach",
            block.linear, i, base_name(t.where.file), t.where.line, warps[t.warp].arrived);
  }
}

void run_block(unsigned linear) {
  start_block(linear);
  while (!ready.empty() && !abandoned) {
    std::swap(ready[random_below(ready.size())], ready.back());
    self = &threads[ready.back()];
    ready.pop_back();
    threadIdx = self->index;
    fiber_enter(self->stack);
    self = nullptr;
  }
  if (!abandoned && ended < thread_count) report_deadlock();
  if (!abandoned) shared_finish();
}

} // namespace

void run_grid(const cudaLaunchConfig_t &config, call &kernel) {
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  thread_count = blockDim.x * blockDim.y * blockDim.z;
  body = &kernel;
  abandoned = false;
  arguments = reinterpret_cast<const char *>(&kernel);
  arguments_end = arguments + kernel.size();
  std::vector<unsigned> order(size_t(gridDim.x) * gridDim.y * gridDim.z);
  for (size_t i = 0; i < order.size(); i++) order[i] = unsigned(i);
  for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random_below(i)]);
  for (unsigned linear : order) {
    run_block(linear);
    if (abandoned) break;
  }
  arguments = arguments_end = nullptr;
}

void fault(const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (first_fault.empty()) {
    if (self)
      first_fault = "block " + std::to_string(block.linear) + ", thread " +
                    std::to_string(self->linear) + ": " + text;
    else
      first_fault = text;
  }
  sticky = cudaErrorLaunchFailure;
  abandoned = true;
  if (self) fiber_leave();
}

bool faulted() {
  return !first_fault.empty();
}
void forget_fault() {
  first_fault.clear();
}

/* ---- what a kernel calls ---------------------------------------------------------------------- */

unsigned lane() {
  return self->lane;
}

void block_barrier(site where) {
  if (ended)
    fault("a thread has ended before the barrier of %s:%d", base_name(where.file), where.line);
  if (!at_barrier) barrier_site = where;
  if (differ(barrier_site, where))
    fault("threads of one block meet at two barriers, %s:%d and line %d", base_name(where.file),
          where.line, barrier_site.line);
  if (++at_barrier < thread_count) {
    wait(state::at_barrier, where);
    return;
  }
  at_barrier = 0;
  block.epoch++;
  for (unsigned i = 0; i < thread_count; i++)
    if (threads[i].now == state::at_barrier) wake(i);
}

uint64_t warp_exchange(site where, unsigned mask, uint64_t value, unsigned source) {
  if (mask != 0xffffffffu)
    fault("%s:%d: only operations of a full warp are emulated", base_name(where.file), where.line);
  thread *me = self;
  warp_state &w = warps[me->warp];
  unsigned first = me->warp * 32, buffer = me->exchanges++ % 2;
  if (!w.arrived) w.where = where;
  if (differ(w.where, where))
    fault("lanes of one warp meet in two operations, %s:%d and line %d", base_name(where.file),
          where.line, w.where.line);
  w.value[buffer][me->lane] = value;
  if (++w.arrived < 32) {
    wait(state::at_warp, where);
  } else {
    w.arrived = 0;
    for (unsigned i = first; i < first + 32; i++)
      if (threads[i].now == state::at_warp) wake(i);
  }
  return w.value[buffer][source % 32];
}

void warp_barrier(site where) {
  warp_exchange(where, 0xffffffffu, 0, 0);
  self->warp_epoch++;
}

unsigned warp_ballot(site where, unsigned mask, int predicate) {
  unsigned bits = 0;
  uint64_t mine = predicate != 0;
  warp_exchange(where, mask, mine, 0);
  const warp_state &w = warps[self->warp];
  for (unsigned i = 0; i < 32; i++) bits |= unsigned(w.value[(self->exchanges - 1) % 2][i]) << i;
  return bits;
}

__attribute__((noinline)) unsigned atomic_or(unsigned *p, unsigned bits) {
  check_atomic(p, sizeof *p, __builtin_return_address(0));
  unsigned old = *p;
  *p = old | bits;
  return old;
}

} // namespace emulation

extern "C" {

const char *emulation_error(void) {
  std::lock_guard<std::mutex> hold(emulation::lock);
  static thread_local std::string copy;
  copy = emulation::first_fault;
  return copy.c_str();
}

uint64_t emulation_threads_run(void) {
  std::lock_guard<std::mutex> hold(emulation::lock);
  return emulation::threads_run;
}
}
