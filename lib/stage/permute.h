/* A keyed permutation of [0, n), computed element by element: masks of weights that need no memory.
 *
 * Six rounds of a Feistel network over the smallest even number of bits that holds n, walked along its cycle until the
 * result is below n: less than four steps on average. */
#ifndef PLR_STAGE_PERMUTE_H
#define PLR_STAGE_PERMUTE_H

#include <stdint.h>

typedef struct plr__permutation {
  uint64_t n, keys[6];
  uint32_t half; /* bits of a half */
} plr__permutation;

/* n from 1 to 2^60. */
void plr__permutation_init(plr__permutation *p, uint64_t n, uint64_t key);
/* Where i, below n, goes. */
uint64_t plr__permute(const plr__permutation *p, uint64_t i);

#endif
