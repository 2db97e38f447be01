/* Buffers of a link. */
#include "exchange/link_int.h"

#define HEADER 64u

_Static_assert(sizeof(plr__link_buffer) <= HEADER, "data starts at a cache line");

static uint64_t class_bytes(uint32_t size_class) {
  return UINT64_C(256) << size_class;
}

/* Frees idle blocks until `more` bytes fit, or none are left. */
static void evict(plr__link_pool *pool, uint64_t more) {
  for (uint32_t c = 0; c < PLR_LINK_POOL_CLASS; c++) {
    while (pool->idle[c] && pool->total + more > pool->keep) {
      plr__link_buffer *b = pool->idle[c];
      pool->idle[c] = b->next;
      pool->total -= class_bytes(c);
      plr__free(pool->ctx, b);
    }
  }
}

static plr__link_buffer *take_new(plr__link_pool *pool, uint32_t c) {
  evict(pool, class_bytes(c));
  plr__link_buffer *b = plr__alloc(pool->ctx, (size_t)class_bytes(c));
  if (!b) return NULL;
  b->size_class = c;
  b->data = (uint8_t *)b + HEADER;
  pool->total += class_bytes(c);
  return b;
}

plr__link_buffer *plr__link_buffer_take(plr__link_pool *pool, size_t len) {
  uint32_t c = 0;
  while (c < PLR_LINK_POOL_CLASS && class_bytes(c) - HEADER < len) c++;
  if (c == PLR_LINK_POOL_CLASS) return NULL;
  plr__link_buffer *b = pool->idle[c];
  if (b)
    pool->idle[c] = b->next;
  else
    b = take_new(pool, c);
  if (!b) return NULL;
  b->next = NULL;
  b->len = len;
  b->have = 0;
  return b;
}

void plr__link_buffer_give(plr__link_pool *pool, plr__link_buffer *b) {
  if (!b) return;
  if (pool->total > pool->keep) {
    pool->total -= class_bytes(b->size_class);
    plr__free(pool->ctx, b);
    return;
  }
  b->next = pool->idle[b->size_class];
  pool->idle[b->size_class] = b;
}

void plr__link_pool_release(plr__link_pool *pool) {
  evict(pool, pool->keep + 1);
}

void plr__link_fifo_put(plr__link_fifo *f, plr__link_buffer *b) {
  b->next = NULL;
  if (f->tail)
    f->tail->next = b;
  else
    f->head = b;
  f->tail = b;
}

plr__link_buffer *plr__link_fifo_take(plr__link_fifo *f) {
  plr__link_buffer *b = f->head;
  if (!b) return NULL;
  f->head = b->next;
  if (!f->head) f->tail = NULL;
  b->next = NULL;
  return b;
}
