/* The state map's index: nodes by the hash of their key, open addressing with linear probing. A removal closes the gap,
 * so that an empty slot always ends a search. */
#include "ledger/ledger_int.h"

#include <string.h>

#define FIRST  64u
#define PROBES 32u /* as far as a node may be from its own slot */

void plr__index_release(plr__map_index *x, plr_context *ctx) {
  plr__free(ctx, x->slots);
  memset(x, 0, sizeof *x);
}

uint32_t plr__index_hash(const void *key, size_t len) {
  return (uint32_t)plr__xxh3_64(key, len);
}

plr__node *plr__index_find(const plr__map_index *x, const void *key, size_t len, uint32_t hash,
                           int *sure) {
  *sure = x->left_out == 0;
  for (size_t i = 0; i < PROBES && x->cap; i++) {
    plr__node *n = x->slots[(hash + i) & (x->cap - 1)];
    if (!n) break;
    if (n->key_hash == hash && n->key_len == len && memcmp(n->bytes, key, len) == 0) return n;
  }
  return NULL;
}

void plr__index_add(plr__map_index *x, plr__node *n) {
  for (size_t i = 0; i < PROBES; i++) {
    plr__node **slot = &x->slots[(n->key_hash + i) & (x->cap - 1)];
    if (*slot) continue;
    *slot = n;
    n->indexed = 1;
    x->used++;
    return;
  }
  n->indexed = 0;
  x->left_out++;
}

/* Half of the slots stay empty. */
plr_status plr__index_reserve(plr__map_index *x, plr_context *ctx) {
  if ((x->used + 1) * 2 <= x->cap) return PLR_OK;
  plr__map_index wider = {.cap = x->cap ? x->cap * 2 : FIRST, .left_out = x->left_out};
  wider.slots = plr__calloc(ctx, wider.cap, sizeof *wider.slots);
  if (!wider.slots) return PLR_ERR_NO_MEMORY;
  for (size_t i = 0; i < x->cap; i++)
    if (x->slots[i]) plr__index_add(&wider, x->slots[i]);
  plr__free(ctx, x->slots);
  *x = wider;
  return PLR_OK;
}

void plr__index_remove(plr__map_index *x, plr__node *n) {
  if (!n->indexed) {
    x->left_out--;
    return;
  }
  size_t mask = x->cap - 1, at = n->key_hash & mask;
  while (x->slots[at] != n) at = (at + 1) & mask;
  n->indexed = 0;
  x->used--;
  /* Whoever would not be found across the gap moves into it. */
  for (size_t next = (at + 1) & mask; x->slots[next]; next = (next + 1) & mask) {
    size_t own = x->slots[next]->key_hash & mask;
    if (((next - own) & mask) < ((next - at) & mask)) continue;
    x->slots[at] = x->slots[next];
    at = next;
  }
  x->slots[at] = NULL;
}
