/* The names, signatures and numbers of the emulated runtime. Compiled against the emulator's header, and, where they
 * are installed, against the real ones: what holds for one holds for the other. Nothing here runs. */
#include <cuda_runtime.h>

#include <type_traits>

#if defined(CONFORMANCE_NCCL)
#include <nccl.h>
#endif

#define SAME(function, ...)                                                                        \
  static_assert(std::is_same<decltype(&function), __VA_ARGS__>::value, #function)

SAME(cudaGetErrorName, const char *(*)(cudaError_t));
SAME(cudaGetErrorString, const char *(*)(cudaError_t));
SAME(cudaGetLastError, cudaError_t (*)());
SAME(cudaDriverGetVersion, cudaError_t (*)(int *));
SAME(cudaRuntimeGetVersion, cudaError_t (*)(int *));
SAME(cudaGetDeviceCount, cudaError_t (*)(int *));
SAME(cudaSetDevice, cudaError_t (*)(int));
static_assert(
    std::is_convertible<decltype((static_cast<cudaError_t (*)(void **, size_t)>(&cudaMalloc))),
                        cudaError_t (*)(void **, size_t)>::value,
    "cudaMalloc");
SAME(cudaFree, cudaError_t (*)(void *));
SAME(cudaMemcpyAsync,
     cudaError_t (*)(void *, const void *, size_t, enum cudaMemcpyKind, cudaStream_t));
SAME(cudaMemsetAsync, cudaError_t (*)(void *, int, size_t, cudaStream_t));
SAME(cudaStreamCreateWithFlags, cudaError_t (*)(cudaStream_t *, unsigned int));
SAME(cudaStreamSynchronize, cudaError_t (*)(cudaStream_t));
SAME(cudaStreamDestroy, cudaError_t (*)(cudaStream_t));

static_assert(cudaSuccess == 0 && cudaErrorInvalidValue == 1 && cudaErrorMemoryAllocation == 2 &&
                  cudaErrorInvalidConfiguration == 9 && cudaErrorStubLibrary == 34 &&
                  cudaErrorInsufficientDriver == 35 && cudaErrorNoDevice == 100 &&
                  cudaErrorInvalidDevice == 101 && cudaErrorNoKernelImageForDevice == 209 &&
                  cudaErrorLaunchFailure == 719,
              "error numbers");
static_assert(cudaMemcpyHostToDevice == 1 && cudaMemcpyDeviceToHost == 2 &&
                  cudaMemcpyDeviceToDevice == 3 && cudaStreamNonBlocking == 1,
              "kinds and flags");
static_assert(sizeof(dim3) == 12 && sizeof(cudaLaunchConfig_t) == 56 &&
                  offsetof(cudaLaunchConfig_t, blockDim) == 12 &&
                  offsetof(cudaLaunchConfig_t, dynamicSmemBytes) == 24 &&
                  offsetof(cudaLaunchConfig_t, stream) == 32,
              "launch configuration");

/* The launch template takes a kernel and arguments that convert to its parameters. */
void kernel(float *, int);
inline cudaError_t launch(const cudaLaunchConfig_t *config, float *x) {
  return cudaLaunchKernelEx(config, kernel, x, 3);
}
static_assert(std::is_same<decltype(launch(nullptr, nullptr)), cudaError_t>::value, "launch");

#if defined(CONFORMANCE_NCCL)
static_assert(sizeof(ncclUniqueId) == 128 && ncclSuccess == 0 && ncclFloat32 == 7, "NCCL numbers");
SAME(ncclGetUniqueId, ncclResult_t (*)(ncclUniqueId *));
SAME(ncclCommInitRank, ncclResult_t (*)(ncclComm_t *, int, ncclUniqueId, int));
SAME(ncclAllGather,
     ncclResult_t (*)(const void *, void *, size_t, ncclDataType_t, ncclComm_t, cudaStream_t));
SAME(ncclCommDestroy, ncclResult_t (*)(ncclComm_t));
SAME(ncclGetErrorString, const char *(*)(ncclResult_t));
static_assert(sizeof(ncclResult_t) == sizeof(int) && sizeof(ncclDataType_t) == sizeof(int),
              "NCCL's enumerations are passed as int");
#endif
