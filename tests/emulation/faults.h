/* Small programs, each with a bug planted when asked for. In C, for the test. */
#ifndef PLR_TESTS_EMULATION_FAULTS_H
#define PLR_TESTS_EMULATION_FAULTS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Each returns 1 when its result is what it should be; bug 1 plants the fault. */
int reverse_in_block(int bug);     /* __syncthreads between write and read of shared memory */
int reverse_in_warp(int bug);      /* __syncwarp between them */
int barrier_in_branch(int bug);    /* a __syncthreads that only some threads reach */
int early_return(int bug);         /* a thread that has ended when the others meet */
int shuffle_without_lane(int bug); /* a lane that does not come to a shuffle of the full warp */
int write_past_end(int bug);       /* of device memory */
int write_past_shared(int bug);    /* of a shared variable, into its red zone */
int read_unwritten(int bug);       /* device memory nothing was written to */
int read_unwritten_shared(
    int bug);                   /* the same in shared memory, with values left by the last block */
int sum_of_blocks(int bug);     /* several blocks add to one number without atomics */
int kernel_reads_host(int bug); /* a host pointer in a kernel */
int use_after_free(int bug);
int memory_of_other_device(int bug);
int copy_past_end(int bug);
int host_does_not_wait(int bug);   /* reads a copy's destination before the stream has run */
int streams_without_wait(int bug); /* one stream uses what another one makes */
int host_reads_device(int bug);    /* dereferences a device pointer on the host: the process dies */
int launch_too_large(int bug);
int gather_with_other_count(int bug); /* two ranks disagree */
int bytes_of_one_word(
    int bug); /* neighbouring bytes by different threads are not a race; the same byte is */

#ifdef __cplusplus
}
#endif

#endif
