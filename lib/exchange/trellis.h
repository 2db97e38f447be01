/* The encoder of the trellis quantiser (Q4): the cheapest path through eight states, one trellis a lane. */
#ifndef PLR_EXCHANGE_TRELLIS_H
#define PLR_EXCHANGE_TRELLIS_H

#include "exchange/model.h"

typedef struct plr__trellis {
  int32_t limit[2 * PLR_MODEL_TABLES];
  float rate[2 * PLR_MODEL_TABLES * 128]; /* [quantiser][table][magnitude]: lambda x bits */
  float escape[2 * PLR_MODEL_TABLES];
  uint8_t *decisions; /* of every value: for each of the eight states, which of its two arcs came first */
} plr__trellis;

plr_status plr__trellis_create(plr__trellis **out, plr_context *ctx, size_t values);
void plr__trellis_destroy(plr__trellis *t, plr_context *ctx);

/* Symbols q of n values (a multiple of lanes) x, in steps; index gets bit 7 where quantiser 1 is used. */
void plr__trellis_encode(plr__trellis *t, uint32_t isa, const float *x, uint8_t *index, size_t n,
                         uint32_t lanes, int32_t *q);

/* Where q of a quantiser lies, in steps. */
static inline int32_t plr__trellis_point(uint32_t quantiser, int32_t q) {
  return 2 * q - (quantiser ? (q > 0) - (q < 0) : 0);
}

#endif
