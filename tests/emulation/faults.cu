/* Small CUDA programs with planted bugs. test_emulation.c says which part of the emulator finds each. */
#include <cuda_runtime.h>

#include <thread>
#include <vector>

#include "faults.h"
#include "nccl_api.h"

#define SHARED(type, name, dims) auto &name = EMULATION_SHARED(type dims)

extern "C" {
plr_nccl_get_unique_id ncclGetUniqueId;
plr_nccl_comm_init_rank ncclCommInitRank;
plr_nccl_all_gather ncclAllGather;
plr_nccl_comm_destroy ncclCommDestroy;
}

namespace {

/* A stream and two vectors of device memory, x being 0, 1, 2, ... */
struct bench {
  cudaStream_t stream = nullptr;
  float *x = nullptr, *y = nullptr;
  int n;
  explicit bench(int count) : n(count) {
    std::vector<float> start(static_cast<size_t>(n));
    for (int i = 0; i < n; i++) start[static_cast<size_t>(i)] = float(i);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaMalloc((void **)&x, bytes());
    cudaMalloc((void **)&y, bytes());
    cudaMemcpyAsync(x, start.data(), bytes(), cudaMemcpyHostToDevice, stream);
    cudaStreamSynchronize(stream);
  }
  ~bench() {
    cudaFree(x);
    cudaFree(y);
    cudaStreamDestroy(stream);
  }
  size_t bytes() const { return static_cast<size_t>(n) * sizeof(float); }
  template <class... P, class... A>
  cudaError_t run(unsigned blocks, unsigned threads, void (*kernel)(P...), A... args) {
    cudaLaunchConfig_t c = {};
    c.gridDim = dim3(blocks);
    c.blockDim = dim3(threads);
    c.stream = stream;
    return cudaLaunchKernelEx(&c, kernel, args...);
  }
  /* y, after everything has run. */
  std::vector<float> result() {
    std::vector<float> out(static_cast<size_t>(n), -1.0f);
    cudaMemcpyAsync(out.data(), y, bytes(), cudaMemcpyDeviceToHost, stream);
    if (cudaStreamSynchronize(stream) != cudaSuccess) out.assign(static_cast<size_t>(n), -1.0f);
    return out;
  }
  bool is(float (*expected)(int i)) {
    std::vector<float> out = result();
    for (int i = 0; i < n; i++)
      if (out[static_cast<size_t>(i)] != expected(i)) return false;
    return true;
  }
};

float identity(int i) {
  return float(i);
}

__global__ void copy_kernel(const float *x, float *y, int n) {
  int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = x[i];
}

__global__ void reverse_kernel(const float *x, float *y, int bug) {
  SHARED(float, t, [128]);
  t[threadIdx.x] = x[threadIdx.x];
  if (!bug) __syncthreads();
  y[threadIdx.x] = t[127 - threadIdx.x];
}

__global__ void warp_reverse_kernel(const float *x, float *y, int bug) {
  SHARED(float, t, [64]);
  unsigned lane = threadIdx.x % 32, first = threadIdx.x - lane;
  t[threadIdx.x] = x[threadIdx.x];
  if (!bug) __syncwarp();
  y[threadIdx.x] = t[first + 31 - lane];
}

__global__ void branch_kernel(const float *x, float *y, int bug) {
  if (!bug || threadIdx.x < 40) __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

__global__ void return_kernel(const float *x, float *y, int bug) {
  y[threadIdx.x] = x[threadIdx.x];
  if (bug && threadIdx.x == 5) return;
  __syncthreads();
}

__global__ void shuffle_kernel(const float *x, float *y, int bug) {
  if (bug && threadIdx.x % 32 == 31) return;
  y[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], int(threadIdx.x % 32));
}

__global__ void past_end_kernel(const float *x, float *y, int n, int bug) {
  int i = int(threadIdx.x);
  y[i] = x[i];
  if (bug && i == 0) y[n] = 1.0f;
}

__global__ void past_shared_kernel(const float *x, float *y, int bug) {
  SHARED(float, t, [32]);
  t[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  if (bug && threadIdx.x == 0) {
    float *end = t + 32;
    *end = 1.0f;
  }
  y[threadIdx.x] = t[threadIdx.x];
}

__global__ void stale_shared_kernel(const float *x, float *y, int bug) {
  SHARED(float, t, [32]);
  unsigned i = blockIdx.x * 32 + threadIdx.x;
  if (!bug || blockIdx.x == 0) t[threadIdx.x] = x[i];
  __syncthreads();
  y[i] = t[threadIdx.x];
}

__global__ void total_kernel(unsigned *total, int bug) {
  if (threadIdx.x > 0) return;
  if (bug)
    *total |= 1u << blockIdx.x;
  else
    atomicOr(total, 1u << blockIdx.x);
}

__global__ void bytes_kernel(unsigned char *y, int bug) {
  y[bug ? threadIdx.x / 2 : threadIdx.x] = (unsigned char)threadIdx.x;
}

} // namespace

extern "C" {

int reverse_in_block(int bug) {
  bench b(128);
  b.run(1, 128, reverse_kernel, b.x, b.y, bug);
  return b.is([](int i) { return float(127 - i); });
}

int reverse_in_warp(int bug) {
  bench b(64);
  b.run(1, 64, warp_reverse_kernel, b.x, b.y, bug);
  return b.is([](int i) { return float(i / 32 * 32 + 31 - i % 32); });
}

int barrier_in_branch(int bug) {
  bench b(64);
  b.run(1, 64, branch_kernel, b.x, b.y, bug);
  return b.is(identity);
}

int early_return(int bug) {
  bench b(64);
  b.run(1, 64, return_kernel, b.x, b.y, bug);
  return b.is(identity);
}

int shuffle_without_lane(int bug) {
  bench b(64);
  b.run(1, 64, shuffle_kernel, b.x, b.y, bug);
  return b.is(identity);
}

int write_past_end(int bug) {
  bench b(32);
  b.run(1, 32, past_end_kernel, b.x, b.y, 32, bug);
  return b.is(identity);
}

int write_past_shared(int bug) {
  bench b(32);
  b.run(1, 32, past_shared_kernel, b.x, b.y, bug);
  return b.is(identity);
}

int read_unwritten(int bug) {
  bench b(32), fresh(32);
  float *never;
  cudaMalloc((void **)&never, b.bytes());
  b.run(1, 32, copy_kernel, bug ? never : b.x, b.y, 32);
  int ok = b.is(identity);
  cudaFree(never);
  return ok;
}

int read_unwritten_shared(int bug) {
  bench b(64);
  b.run(2, 32, stale_shared_kernel, b.x, b.y, bug);
  return b.is(identity);
}

int sum_of_blocks(int bug) {
  bench b(32);
  unsigned total = 0;
  cudaMemsetAsync(b.y, 0, b.bytes(), b.stream);
  b.run(8, 32, total_kernel, (unsigned *)b.y, bug);
  cudaMemcpyAsync(&total, b.y, sizeof total, cudaMemcpyDeviceToHost, b.stream);
  cudaStreamSynchronize(b.stream);
  return total == 255;
}

int kernel_reads_host(int bug) {
  bench b(32);
  std::vector<float> host(32, 0.0f);
  for (int i = 0; i < 32; i++) host[size_t(i)] = float(i);
  b.run(1, 32, copy_kernel, bug ? (const float *)host.data() : b.x, b.y, 32);
  return b.is(identity);
}

int use_after_free(int bug) {
  bench b(32);
  float *gone;
  cudaMalloc((void **)&gone, b.bytes());
  cudaMemcpyAsync(gone, b.x, b.bytes(), cudaMemcpyDeviceToDevice, b.stream);
  cudaStreamSynchronize(b.stream);
  if (bug) cudaFree(gone);
  b.run(1, 32, copy_kernel, gone, b.y, 32);
  int ok = b.is(identity);
  if (!bug) cudaFree(gone);
  return ok;
}

int memory_of_other_device(int bug) {
  bench b(32);
  cudaSetDevice(1);
  bench other(32);
  cudaSetDevice(0);
  b.run(1, 32, copy_kernel, bug ? other.x : b.x, b.y, 32);
  return b.is(identity);
}

int copy_past_end(int bug) {
  bench b(33);
  std::vector<float> out(64, -1.0f);
  cudaMemcpyAsync(out.data(), b.x, b.bytes() + size_t(bug) * 4, cudaMemcpyDeviceToHost, b.stream);
  cudaStreamSynchronize(b.stream);
  return out[32] == 32.0f;
}

int host_does_not_wait(int bug) {
  bench b(32);
  std::vector<float> out(32, 7.0f); /* an old result that looks right */
  b.run(1, 32, copy_kernel, b.x, b.y, 32);
  cudaMemcpyAsync(out.data(), b.y, b.bytes(), cudaMemcpyDeviceToHost, b.stream);
  if (!bug) cudaStreamSynchronize(b.stream);
  int ok = out[7] == 7.0f;
  cudaStreamSynchronize(b.stream);
  return ok;
}

int streams_without_wait(int bug) {
  bench a(32), b(32);
  cudaMemsetAsync(a.y, 0, a.bytes(), a.stream);
  cudaStreamSynchronize(a.stream);
  a.run(1, 32, copy_kernel, a.x, a.y, 32);
  if (!bug) cudaStreamSynchronize(a.stream);
  b.run(1, 32, copy_kernel, a.y, b.y, 32);
  return b.is(identity);
}

int host_reads_device(int bug) {
  bench b(32);
  volatile float *p = b.x;
  return !bug || p[3] == 3.0f;
}

int launch_too_large(int bug) {
  bench b(32);
  cudaError_t e = b.run(1, bug ? 2048 : 32, copy_kernel, b.x, b.y, 32);
  cudaGetLastError();
  return e == cudaSuccess && b.is(identity);
}

int bytes_of_one_word(int bug) {
  bench b(32);
  b.run(1, 32, copy_kernel, b.x, b.y, 32);
  b.run(1, 64, bytes_kernel, (unsigned char *)b.y, bug);
  unsigned char out[64];
  cudaMemcpyAsync(out, b.y, sizeof out, cudaMemcpyDeviceToHost, b.stream);
  cudaStreamSynchronize(b.stream);
  return out[63] == 63;
}

static void gather_rank(ncclUniqueId id, int rank, int count, int *ok) {
  cudaSetDevice(rank);
  bench b(32);
  ncclComm_t comm = nullptr;
  *ok = ncclCommInitRank(&comm, 2, id, rank) == PLR_NCCL_SUCCESS;
  ncclAllGather(b.x, b.y, size_t(count), PLR_NCCL_FLOAT32, comm, b.stream);
  std::vector<float> out = b.result();
  for (int i = 0; i < 2 * count; i++) *ok = *ok && out[size_t(i)] == float(i % count);
  ncclCommDestroy(comm);
}

int gather_with_other_count(int bug) {
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  int ok[2];
  std::thread other(gather_rank, id, 1, bug ? 8 : 16, &ok[1]);
  gather_rank(id, 0, 16, &ok[0]);
  other.join();
  cudaSetDevice(0);
  return ok[0] && ok[1];
}
}
