/* What a test says to the emulator, and hears from it. Plain C. */
#ifndef PLR_TESTS_EMULATION_H
#define PLR_TESTS_EMULATION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMULATION_DEVICES 4

/* Another order of streams, blocks and threads. Every seed is a legal order. */
void emulation_seed(uint64_t seed);

/* The first fault found since the last reset, one line with kernel, block, thread and place; "" when none. */
const char *emulation_error(void);

/* Forgets the fault and drops what is still queued; memory and streams stay. */
void emulation_reset(void);

/* 1 when memory is guarded by a protection key, 0 when by page protection (see README.md). */
int emulation_uses_key(void);

/* From now on cudaGetDeviceCount answers `error`, and an open device's next calls too; 0 = as usual. */
void emulation_break_driver(int error);

/* CUDA threads run so far. */
uint64_t emulation_threads_run(void);

#ifdef __cplusplus
}
#endif

#endif
