/* A queue of messages of any length in one block of memory that grows on demand up to a fixed bound. It keeps its
 * memory, so a steady state allocates nothing. */
#ifndef PLR_STAGE_FIFO_H
#define PLR_STAGE_FIFO_H

#include "base/base.h"

typedef struct plr__fifo {
  plr_context *ctx;
  uint8_t *data;
  size_t cap, max; /* bytes held, bytes it may ever hold */
  size_t head, tail;
} plr__fifo;

plr_status plr__fifo_init(plr__fifo *f, plr_context *ctx, size_t initial, size_t max);
void plr__fifo_release(plr__fifo *f);

/* Appends head ‖ body as one message. Errors: LIMIT (the bound), NO_MEMORY; nothing is appended then. */
plr_status plr__fifo_push(plr__fifo *f, uint32_t tag, const void *head, size_t head_len,
                          const void *body, size_t body_len);

/* The oldest message, 8-byte aligned, valid until the next push; NULL when there is none. */
const uint8_t *plr__fifo_peek(const plr__fifo *f, uint32_t *tag, size_t *len);
void plr__fifo_pop(plr__fifo *f);

int plr__fifo_empty(const plr__fifo *f);
/* 1 when messages of `bytes` in total, at most 32 of them, certainly fit within the bound. */
int plr__fifo_has_room(const plr__fifo *f, size_t bytes);

#endif
