/* What the versions of the trellis search share. */
#ifndef PLR_EXCHANGE_TRELLIS_INT_H
#define PLR_EXCHANGE_TRELLIS_INT_H

#include "exchange/trellis.h"
#include "tensor/tensor.h"

#define PLR_TRELLIS_NEVER  1e30f
#define PLR_TRELLIS_REBASE 32u /* steps after which the costs start again near 0 */
#define PLR_TRELLIS_STEP   (4u * PLR_TRELLIS_STATES) /* bytes of decisions */

/* The state before: the inverse of plr__trellis_next for a parity. */
static inline uint32_t plr__trellis_from(uint32_t next, uint32_t parity) {
  return next < 8 ? 2 * (next ^ 2 * parity) : 2 * (next ^ (parity ? 9u : 11u)) + 1;
}

/* Cost of sending x by an arc, and its q. x lies within PLR_MODEL_MOST_Q steps. */
float plr__trellis_arc(const plr__trellis *t, float x, uint32_t index, uint32_t quantiser,
                       uint32_t parity, int32_t *q);

void plr__trellis_forward_portable(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                                   uint32_t lanes, float *cost);
void plr__trellis_choose_portable(const plr__trellis *t, const float *x, const uint8_t *index,
                                  size_t n, int32_t *q);
#if defined(__x86_64__)
void plr__trellis_forward_avx2(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                               uint32_t lanes, float *cost);
void plr__trellis_forward_avx512(plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                                 uint32_t lanes, float *cost);
void plr__trellis_choose_avx2(const plr__trellis *t, const float *x, const uint8_t *index, size_t n,
                              int32_t *q);
#endif

#endif
