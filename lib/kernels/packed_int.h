/* Products with packed weights: packed.c cuts the work, an instruction set's table does one panel. */
#ifndef PLR_KERNELS_PACKED_INT_H
#define PLR_KERNELS_PACKED_INT_H

#include "kernels/kernels_int.h"

/* Rows that a kernel takes at once. */
#define PLR_PACKED_ROWS 8

#define PLR_PACKED_OFFSET(format) ((format) == PLR_PACK_Q8 ? 128 : 8)

/* Activations in groups of 32: row r has q + r * groups * 32, scale + r * groups, minus + r * groups, the last being
 * -(the weights' offset) times the sum of the group's q. */
typedef struct plr__quantised {
  int8_t *q;
  float *scale;
  int32_t *minus;
  int64_t groups;
} plr__quantised;

/* rows (1 .. PLR_PACKED_ROWS) of c (ldc), all 32 outputs of one panel. */
typedef struct plr__packed_kernels {
  void (*bf16)(int64_t rows, const float *x, int64_t ldx, int64_t k, const void *panel, float *c,
               int64_t ldc);
  void (*q8)(int64_t rows, const plr__quantised *x, const void *panel, float *c, int64_t ldc);
  void (*q4)(int64_t rows, const plr__quantised *x, const void *panel, float *c, int64_t ldc);
} plr__packed_kernels;

extern const plr__packed_kernels plr__packed_portable;
#if defined(__x86_64__)
extern const plr__packed_kernels plr__packed_avx2;
extern const plr__packed_kernels plr__packed_avx512; /* with VNNI */
#endif

static inline float plr__widen_bf16(uint16_t bits) {
  union {
    uint32_t u;
    float f;
  } x = {(uint32_t)bits << 16};
  return x.f;
}

static inline uint16_t plr__round_bf16(float value) {
  union {
    float f;
    uint32_t u;
  } x = {value};
  return (uint16_t)((x.u + 0x7fffu + (x.u >> 16 & 1u)) >> 16);
}

#endif
