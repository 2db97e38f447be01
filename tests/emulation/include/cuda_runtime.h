/* The part of the CUDA runtime that the plugin uses, with NVIDIA's names, signatures and numbers, for kernels
 * that run on the CPU. conformance.cpp checks it against the real headers where those are installed.
 *
 * A kernel is a plain function; a CUDA thread is a fiber that runs it (grid.cpp). What nvcc gives a kernel as
 * language (threadIdx, __syncthreads, __shared__) are variables and macros here. */
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct uint3 {
  unsigned int x, y, z;
};

struct dim3 {
  unsigned int x, y, z;
  constexpr dim3(unsigned int vx = 1, unsigned int vy = 1, unsigned int vz = 1)
      : x(vx), y(vy), z(vz) {}
};

/* ---- host side ------------------------------------------------------------------------------- */

enum cudaError {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorStubLibrary = 34,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorLaunchFailure = 719,
};
typedef enum cudaError cudaError_t;

enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
};

typedef struct CUstream_st *cudaStream_t;
#define cudaStreamNonBlocking 0x01

struct cudaLaunchAttribute;
typedef struct cudaLaunchConfig_st {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute *attrs;
  unsigned int numAttrs;
} cudaLaunchConfig_t;

extern "C" {
const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError(void);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaMalloc(void **ptr, size_t size);
cudaError_t cudaFree(void *ptr);
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t size, enum cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *ptr, int value, size_t size, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
}

/* ---- how a kernel reaches the emulator -------------------------------------------------------- */

namespace emulation {

struct site { /* a place in the source of a kernel */
  const char *file;
  int line;
};

/* A kernel and a copy of its arguments, as a launch queues them. */
struct call {
  virtual void operator()() = 0;
  virtual size_t size() const = 0;
  virtual ~call() {}
};

template <class... P>
struct call_of final : call {
  void (*kernel)(P...);
  std::tuple<P...> args;
  template <class... A>
  call_of(void (*k)(P...), A &&...a) : kernel(k), args(static_cast<P>(a)...) {}
  void operator()() override { std::apply(kernel, args); }
  size_t size() const override { return sizeof *this; }
};

cudaError_t launch(const cudaLaunchConfig_t &config, std::unique_ptr<call> body);

void block_barrier(site where);
/* One value of each of the warp's 32 lanes in, the value of lane `source` out. */
uint64_t warp_exchange(site where, unsigned mask, uint64_t value, unsigned source);
void warp_barrier(site where);
unsigned warp_ballot(site where, unsigned mask, int predicate);
unsigned lane();

/* The block's copy of the shared variable declared at `key`. */
void *shared_variable(const void *key, size_t size, site where);
unsigned atomic_or(unsigned *p, unsigned bits);

template <class T>
using same = T; /* lets a macro write a pointer to an array type */

template <class T>
uint64_t to_bits(T value) {
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T shuffle(site where, unsigned mask, T value, unsigned source) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most eight bytes");
  uint64_t bits = warp_exchange(where, mask, to_bits(value), source);
  T out;
  memcpy(&out, &bits, sizeof out);
  return out;
}

template <class T>
T shuffle_xor(site where, unsigned mask, T value, unsigned lane_mask) {
  return shuffle(where, mask, value, lane() ^ lane_mask);
}

template <class T>
T shuffle_index(site where, unsigned mask, T value, unsigned source) {
  return shuffle(where, mask, value, source);
}

} // namespace emulation

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...),
                               A &&...args) {
  return emulation::launch(*config, std::make_unique<emulation::call_of<P...>>(kernel, args...));
}

/* Of the CUDA thread that runs now; the scheduler sets them. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

#define EMULATION_SITE (emulation::site{__FILE__, __LINE__})

#define __syncthreads()      emulation::block_barrier(EMULATION_SITE)
#define __syncwarp()         emulation::warp_barrier(EMULATION_SITE)
#define __shfl_sync(...)     emulation::shuffle_index(EMULATION_SITE, __VA_ARGS__)
#define __shfl_xor_sync(...) emulation::shuffle_xor(EMULATION_SITE, __VA_ARGS__)
#define __ballot_sync(...)   emulation::warp_ballot(EMULATION_SITE, __VA_ARGS__)
#define atomicOr(p, bits)    emulation::atomic_or(p, bits)

/* `__shared__ T name` cannot be written as C++ that gives every block its own, so a kernel writes
 * PLR_SHARED(T, name, dims), which is `__shared__ T name dims` under nvcc and this here. */
#define EMULATION_SHARED(type)                                                                     \
  (*static_cast<emulation::same<type> *>([]() -> void * {                                          \
    static char key;                                                                               \
    return emulation::shared_variable(&key, sizeof(type), EMULATION_SITE);                         \
  }()))
