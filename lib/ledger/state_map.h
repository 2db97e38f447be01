/* The state map: sorted byte strings with undo (state_map.c, state_index.c, slab.c). Included by ledger_int.h. */
#ifndef PLR_LEDGER_STATE_MAP_H
#define PLR_LEDGER_STATE_MAP_H

#include "base/base.h"

/* Sorted map of byte strings with undo. Changes since the last commit can be rolled back, all or down to a mark;
 * rolling back and committing never fail. */
typedef struct plr__node plr__node;
typedef struct plr__map_block plr__map_block;
typedef struct plr__undo {
  plr__node *before, *after; /* NULL before: inserted; NULL after: deleted */
  int in_place;              /* `after` has another value than `before`, a copy that is in no block */
} plr__undo;

/* Nodes by the hash of their key, in a table of open addressing. A node that finds no place near its own is left out,
 * so that keys made to collide cost no more than the search in the blocks that they fall back on. */
typedef struct plr__map_index {
  plr__node **slots;
  size_t cap, used, left_out;
} plr__map_index;

#define PLR__SLAB_CLASSES 32u
typedef struct plr__slab { /* small blocks cut from large ones */
  plr_context *ctx;
  void *chunks, *free[PLR__SLAB_CLASSES];
  size_t used;
} plr__slab;

typedef struct plr__map {
  plr_context *ctx;
  plr__map_block **blocks;
  size_t block_count, block_cap;
  uint64_t count;
  plr__undo *undo;
  size_t undo_len, undo_cap;
  plr__map_index index;
  plr__slab slab;
} plr__map;

void plr__slab_init(plr__slab *s, plr_context *ctx);
void plr__slab_release(plr__slab *s); /* with every block */
void *plr__slab_alloc(plr__slab *s, size_t size);
void plr__slab_free(plr__slab *s, void *block, size_t size);

struct plr__node {
  plr_hash leaf; /* of the Merkle tree, when hashed */
  uint32_t key_hash, value_len;
  uint16_t key_len;
  uint8_t hashed, dead, indexed, reserved;
  uint8_t bytes[]; /* key ‖ value */
};

void plr__index_release(plr__map_index *x, plr_context *ctx);
uint32_t plr__index_hash(const void *key, size_t len);
/* *sure is 0 when NULL does not say that there is none. */
plr__node *plr__index_find(const plr__map_index *x, const void *key, size_t len, uint32_t hash,
                           int *sure);
plr_status plr__index_reserve(plr__map_index *x, plr_context *ctx); /* room for one more */
void plr__index_add(plr__map_index *x, plr__node *n);
void plr__index_remove(plr__map_index *x, plr__node *n);

void plr__map_init(plr__map *m, plr_context *ctx);
void plr__map_release(plr__map *m);
/* Value of a key, valid until the next put or rollback; NULL when absent. */
const uint8_t *plr__map_get(const plr__map *m, const void *key, size_t key_len, size_t *value_len);
plr_status plr__map_put(plr__map *m, const void *key, size_t key_len, const void *value,
                        size_t value_len);
plr_status plr__map_delete(plr__map *m, const void *key, size_t key_len); /* absent: OK */
size_t plr__map_mark(const plr__map *m);
void plr__map_rollback(plr__map *m, size_t mark);
void plr__map_commit(plr__map *m);
/* Merkle root over u16 key length ‖ key ‖ value, in key order. */
void plr__map_root(plr__map *m, plr_hash *out);

/* Walks in key order. Stays valid through deletes, not through puts, rollbacks and commits. */
typedef struct plr__cursor {
  const plr__map *map;
  size_t block, slot;
  const uint8_t *key, *value;
  size_t key_len, value_len;
} plr__cursor;

void plr__map_seek(const plr__map *m, const void *key, size_t key_len, plr__cursor *c);
int plr__cursor_next(plr__cursor *c); /* 0 at the end; else key and value are set */
/* The record before the one that next would give, without moving; 0 when there is none. */
int plr__cursor_before(const plr__cursor *c, plr__cursor *out);
/* The record before the one that next would give, without moving; 0 when there is none. */
int plr__cursor_before(const plr__cursor *c, plr__cursor *out);
/* The same, and 0 also when the key does not begin with the prefix. */
int plr__cursor_next_in(plr__cursor *c, const void *prefix, size_t prefix_len);

#endif
