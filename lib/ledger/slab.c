/* Small blocks for the state map: cut from 64 KiB chunks, kept in one free list per size. A map of a million
 * records would otherwise pay the context's per-allocation header a million times. */
#include "ledger/ledger_int.h"

#include <string.h>

#define SLAB_STEP  32u
#define SLAB_CHUNK 65536u

typedef struct chunk {
  struct chunk *next;
} chunk;

static size_t class_of(size_t size) {
  return (size + SLAB_STEP - 1) / SLAB_STEP;
}

void plr__slab_init(plr__slab *s, plr_context *ctx) {
  memset(s, 0, sizeof *s);
  s->ctx = ctx;
}

void plr__slab_release(plr__slab *s) {
  for (chunk *c = s->chunks, *next; c; c = next) {
    next = c->next;
    plr__free(s->ctx, c);
  }
  plr__slab_init(s, s->ctx);
}

void *plr__slab_alloc(plr__slab *s, size_t size) {
  size_t k = class_of(size);
  if (k >= PLR__SLAB_CLASSES) return plr__alloc(s->ctx, size);
  void *block = s->free[k];
  if (block) {
    memcpy(&s->free[k], block, sizeof(void *));
    return block;
  }
  if (!s->chunks || s->used + k * SLAB_STEP > SLAB_CHUNK) {
    chunk *c = plr__alloc(s->ctx, SLAB_CHUNK);
    if (!c) return NULL;
    c->next = s->chunks;
    s->chunks = c;
    s->used = SLAB_STEP; /* the link */
  }
  block = (uint8_t *)s->chunks + s->used;
  s->used += k * SLAB_STEP;
  return block;
}

void plr__slab_free(plr__slab *s, void *block, size_t size) {
  size_t k = class_of(size);
  if (k >= PLR__SLAB_CLASSES) {
    plr__free(s->ctx, block);
    return;
  }
  memcpy(block, &s->free[k], sizeof(void *));
  s->free[k] = block;
}
