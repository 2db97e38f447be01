/* The encoder of the trellis quantiser (Q4): the cheapest path through sixteen states, one trellis a lane. */
#ifndef PLR_EXCHANGE_TRELLIS_H
#define PLR_EXCHANGE_TRELLIS_H

#include "exchange/model.h"

typedef struct plr__trellis plr__trellis;

/* The two passes that take the time. */
typedef struct plr__trellis_ops {
  /* Decisions of all steps, and the costs of the last states: cost[16 * lane + state]. */
  void (*forward)(plr__trellis *t, const float *x, const uint8_t *index, size_t n, uint32_t lanes,
                  float *cost);
  /* q of parities in q and quantisers in index. */
  void (*choose)(const plr__trellis *t, const float *x, const uint8_t *index, size_t n, int32_t *q);
} plr__trellis_ops;

struct plr__trellis {
  plr__trellis_ops ops;
  int32_t limit[2 * PLR_MODEL_TABLES];
  float rate[2 * PLR_MODEL_TABLES * 128]; /* [quantiser][table][magnitude]: lambda x bits */
  float escape[2 * PLR_MODEL_TABLES];
  uint8_t *decisions; /* [step][state][4]: bit = lane; whether the state was reached by an odd q */
};

plr_status plr__trellis_create(plr__trellis **out, plr_context *ctx, size_t values);
void plr__trellis_destroy(plr__trellis *t, plr_context *ctx);

/* Symbols q of n values (a multiple of lanes) x, in steps; index gets bit 7 where quantiser 1 is used. */
void plr__trellis_encode(plr__trellis *t, const float *x, uint8_t *index, size_t n, uint32_t lanes,
                         int32_t *q);

/* Where q of a quantiser lies, in steps. */
static inline int32_t plr__trellis_point(uint32_t quantiser, int32_t q) {
  return 2 * q - (quantiser ? (q > 0) - (q < 0) : 0);
}

#endif
