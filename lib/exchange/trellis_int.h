/* What the versions of the trellis search share. */
#ifndef PLR_EXCHANGE_TRELLIS_INT_H
#define PLR_EXCHANGE_TRELLIS_INT_H

#include "exchange/trellis.h"
#include "tensor/tensor.h"

#define PLR_TRELLIS_NEVER  1e30f
#define PLR_TRELLIS_REBASE 32u /* steps after which the costs start again near 0 */

/* The state before, by the parity of q and the state after. */
extern const uint8_t plr__trellis_from[2][8];

/* Cost of sending x by an arc, and its q. x lies within PLR_MODEL_MOST_Q steps. */
float plr__trellis_arc(const plr__trellis *t, float x, uint32_t index, uint32_t quantiser,
                       uint32_t parity, int32_t *q);

/* Decisions, and the costs of the last states: cost[8 * lane + state]. */
void plr__trellis_forward_portable(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                                   uint32_t lanes, float *cost);
#if defined(__x86_64__)
void plr__trellis_forward_avx2(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                               uint32_t lanes, float *cost);
#endif

#endif
