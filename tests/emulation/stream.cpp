/* The host side of the runtime: streams, copies, launches.
 *
 * A stream is lazy: what is queued on it runs only when the host waits for something, and which stream goes next
 * is drawn from the seed. So a program that forgets to wait sees old data every time, not once in a while. */
#include "runtime.h"

#include <chrono>
#include <cstdio>
#include <deque>

struct CUstream_st {
  unsigned number;
  int device;
  std::deque<std::pair<emulation::operation, std::function<bool()>>> queue;
  uint64_t queued = 0, finished = 0;
};

namespace emulation {

std::mutex lock;
std::condition_variable progress;
cudaError_t sticky;

namespace {

std::vector<CUstream_st *> streams; /* living ones */
std::vector<uint64_t> waited;       /* by number of stream: how far the host has waited for it */
uint64_t operations, random_state = 1;
cudaError_t driver_error;
thread_local int current_device;
thread_local cudaError_t last_error;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

/* Runs the front of a stream; false when it has to wait for another host thread. */
bool run_front(CUstream_st *s) {
  current = &s->queue.front().first;
  check_started();
  bool done = s->queue.front().second();
  current = nullptr;
  if (!done) return false;
  s->queue.pop_front();
  s->finished++;
  progress.notify_all();
  return true;
}

bool run_some_front() {
  std::vector<CUstream_st *> busy;
  for (CUstream_st *s : streams)
    if (!s->queue.empty()) busy.push_back(s);
  for (size_t i = 0, first = busy.empty() ? 0 : random_below(busy.size()); i < busy.size(); i++)
    if (run_front(busy[(first + i) % busy.size()])) return true;
  return false;
}

/* Runs queued operations until `s` has finished what was queued on it by now. */
cudaError_t wait_for(std::unique_lock<std::mutex> &hold, CUstream_st *s) {
  uint64_t target = s->queued;
  memory_open();
  while (s->finished < target && sticky == cudaSuccess) {
    if (run_some_front()) continue;
    memory_close();
    std::cv_status woken = progress.wait_for(hold, std::chrono::seconds(10));
    memory_open();
    if (woken == std::cv_status::timeout && s->finished < target)
      fault("the host waits for a collective that another rank never starts");
  }
  memory_close();
  if (waited[s->number] < target) waited[s->number] = target;
  return sticky ? sticky : driver_error;
}

void copy(void *dst, const void *src, size_t size, cudaMemcpyKind kind) {
  bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
  std::string to = range_error(dst, size, current->device);
  std::string from = range_error(src, size, current->device);
  if (to_device && !to.empty()) return fault("cudaMemcpyAsync: the destination %s", to.c_str());
  if (from_device && !from.empty()) return fault("cudaMemcpyAsync: the source %s", from.c_str());
  if (!to_device && find(dst)) return fault("cudaMemcpyAsync: the destination is device memory");
  if (!from_device && find(src)) return fault("cudaMemcpyAsync: the source is device memory");
  if (from_device) check_host_read(src, size);
  memcpy(dst, src, size);
  if (to_device) check_host_write(dst, size);
}

bool too_large(const cudaLaunchConfig_t &c) {
  uint64_t in_block = uint64_t(c.blockDim.x) * c.blockDim.y * c.blockDim.z;
  return !c.gridDim.x || !c.gridDim.y || !c.gridDim.z || c.gridDim.x > 0x7fffffffu ||
         c.gridDim.y > 65535 || c.gridDim.z > 65535 || !in_block || in_block > 1024 ||
         c.blockDim.z > 64 || c.dynamicSmemBytes > shared_limit;
}

} // namespace

/* splitmix64 */
uint64_t random_below(uint64_t n) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % n;
}

void enqueue(cudaStream_t s, std::function<bool()> body) {
  operation op = {++operations, s->number, ++s->queued, waited, s->device};
  s->queue.emplace_back(std::move(op), std::move(body));
}

int stream_device(cudaStream_t s) {
  return s->device;
}
int current_device_number() {
  return current_device;
}

cudaError_t launch(const cudaLaunchConfig_t &config, std::unique_ptr<call> body) {
  std::lock_guard<std::mutex> hold(lock);
  if (sticky || driver_error) return result(sticky ? sticky : driver_error);
  if (!config.stream) return result(cudaErrorInvalidValue); /* the default stream is not emulated */
  if (config.stream->device != current_device) return result(cudaErrorInvalidValue);
  if (too_large(config)) return result(cudaErrorInvalidConfiguration);
  unsigned in_block = config.blockDim.x * config.blockDim.y * config.blockDim.z;
  if (in_block % 32 || config.dynamicSmemBytes) return result(cudaErrorInvalidConfiguration);
  std::shared_ptr<call> kept = std::move(body);
  enqueue(config.stream, [config, kept] {
    run_grid(config, *kept);
    return true;
  });
  return cudaSuccess;
}

} // namespace emulation

using namespace emulation;

extern "C" {

#define HOLD std::lock_guard<std::mutex> hold(emulation::lock)

cudaError_t cudaGetLastError(void) {
  cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaDriverGetVersion(int *version) {
  *version = driver_error ? 0 : 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
  HOLD;
  *count = driver_error ? 0 : EMULATION_DEVICES;
  return result(driver_error);
}

cudaError_t cudaSetDevice(int device) {
  HOLD;
  if (driver_error) return result(driver_error);
  if (device < 0 || device >= EMULATION_DEVICES) return result(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void **ptr, size_t size) {
  HOLD;
  if (sticky || driver_error) return result(sticky ? sticky : driver_error);
  return result(allocate(ptr, size, current_device));
}

cudaError_t cudaFree(void *ptr) {
  std::unique_lock<std::mutex> hold(emulation::lock);
  const allocation *a = find(ptr);
  int device = a ? a->device : -1;
  for (size_t i = 0; i < streams.size(); i++)
    if (streams[i]->device == device) wait_for(hold, streams[i]);
  return result(release(ptr));
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t size, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
  HOLD;
  if (sticky || driver_error) return result(sticky ? sticky : driver_error);
  if (!stream || kind < cudaMemcpyHostToDevice || kind > cudaMemcpyDeviceToDevice)
    return result(cudaErrorInvalidValue);
  /* Until the host waits, what it reads there is not what it asked for. */
  if (kind == cudaMemcpyDeviceToHost && !find(dst)) memset(dst, 0xff, size);
  enqueue(stream, [=] {
    copy(dst, src, size, kind);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *ptr, int value, size_t size, cudaStream_t stream) {
  HOLD;
  if (sticky || driver_error) return result(sticky ? sticky : driver_error);
  if (!stream) return result(cudaErrorInvalidValue);
  enqueue(stream, [=] {
    std::string bad = range_error(ptr, size, current->device);
    if (!bad.empty()) {
      fault("cudaMemsetAsync: the destination %s", bad.c_str());
      return true;
    }
    memset(ptr, value, size);
    check_host_write(ptr, size);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags) {
  HOLD;
  if (sticky || driver_error) return result(sticky ? sticky : driver_error);
  if (flags != cudaStreamNonBlocking) return result(cudaErrorInvalidValue);
  *stream = new CUstream_st;
  (*stream)->number = unsigned(waited.size());
  (*stream)->device = current_device;
  waited.push_back(0);
  streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  std::unique_lock<std::mutex> hold(emulation::lock);
  return result(wait_for(hold, stream));
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::unique_lock<std::mutex> hold(emulation::lock);
  cudaError_t error = wait_for(hold, stream);
  for (size_t i = 0; i < streams.size(); i++)
    if (streams[i] == stream) streams.erase(streams.begin() + long(i--));
  delete stream;
  return result(error);
}

const char *cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define NAME(e)                                                                                    \
  case e:                                                                                          \
    return #e
    NAME(cudaSuccess);
    NAME(cudaErrorInvalidValue);
    NAME(cudaErrorMemoryAllocation);
    NAME(cudaErrorInvalidConfiguration);
    NAME(cudaErrorStubLibrary);
    NAME(cudaErrorInsufficientDriver);
    NAME(cudaErrorNoDevice);
    NAME(cudaErrorInvalidDevice);
    NAME(cudaErrorNoKernelImageForDevice);
    NAME(cudaErrorLaunchFailure);
#undef NAME
  }
  return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorLaunchFailure && faulted() ? "the emulator found a fault"
                                                      : cudaGetErrorName(error);
}

void emulation_seed(uint64_t seed) {
  HOLD;
  random_state = seed;
}

void emulation_reset(void) {
  HOLD;
  for (CUstream_st *s : streams) {
    s->queue.clear();
    s->finished = s->queued;
  }
  sticky = driver_error = last_error = cudaSuccess;
  forget_fault();
}

void emulation_break_driver(int error) {
  HOLD;
  driver_error = static_cast<cudaError_t>(error);
}
}
