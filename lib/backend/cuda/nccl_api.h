/* The five functions of NCCL that averaging uses, as its public ABI (major version 2) has them. The library is
 * opened when a group is made, so that a machine without it can still train; its own header is not needed. */
#ifndef PLR_CUDA_NCCL_API_H
#define PLR_CUDA_NCCL_API_H

#include <cuda_runtime.h>

typedef struct ncclComm *ncclComm_t;
typedef struct {
  char internal[128];
} ncclUniqueId;

/* Enumerations of NCCL, as the integers they are. */
#define PLR_NCCL_SUCCESS 0
#define PLR_NCCL_FLOAT32 7

extern "C" {
typedef int plr_nccl_get_unique_id(ncclUniqueId *id);
typedef int plr_nccl_comm_init_rank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank);
typedef int plr_nccl_all_gather(const void *send, void *receive, size_t count, int type,
                                ncclComm_t comm, cudaStream_t stream);
typedef int plr_nccl_comm_destroy(ncclComm_t comm);
typedef const char *plr_nccl_get_error_string(int result);
}

#endif
