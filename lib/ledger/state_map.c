/* The ledger's state: a sorted map of byte strings, as an array of sorted blocks of nodes, and an index of the nodes by
 * key for what is looked up exactly.
 *
 * Every change is recorded until commit, so that an entry or a whole batch can be taken back, without memory: a put
 * keeps a copy of the value that it overwrites, or replaces the node when the length is another; a delete only marks
 * its node, and the slot goes at commit. */
#include "ledger/ledger_int.h"

#include <string.h>

#define BLOCK_NODES 126u

struct plr__map_block {
  size_t count;
  plr__node *nodes[BLOCK_NODES];
};

typedef struct place {
  size_t block, slot;
  int found;
} place;

void plr__map_init(plr__map *m, plr_context *ctx) {
  memset(m, 0, sizeof *m);
  m->ctx = ctx;
  plr__slab_init(&m->slab, ctx);
}

static size_t node_size(const plr__node *n) {
  return sizeof *n + n->key_len + n->value_len;
}

static void node_free(plr__map *m, plr__node *n) {
  plr__slab_free(&m->slab, n, node_size(n));
}

void plr__map_release(plr__map *m) {
  plr__map_rollback(m, 0);
  for (size_t b = 0; b < m->block_count; b++) {
    for (size_t i = 0; i < m->blocks[b]->count; i++) node_free(m, m->blocks[b]->nodes[i]);
    plr__free(m->ctx, m->blocks[b]);
  }
  plr__free(m->ctx, m->blocks);
  plr__free(m->ctx, m->undo);
  plr__index_release(&m->index, m->ctx);
  plr__slab_release(&m->slab);
  plr__map_init(m, m->ctx);
}

static int key_order(const plr__node *n, const void *key, size_t key_len) {
  int c = memcmp(n->bytes, key, PLR_MIN((size_t)n->key_len, key_len));
  return c ? c : (n->key_len > key_len) - (n->key_len < key_len);
}

/* First slot whose key is not below `key`; may be one past the end of a block. */
static place find(const plr__map *m, const void *key, size_t key_len) {
  place p = {0, 0, 0};
  size_t low = 0, high = m->block_count;
  while (low < high) { /* the last block that does not begin above the key */
    size_t mid = low + (high - low) / 2;
    if (key_order(m->blocks[mid]->nodes[0], key, key_len) <= 0)
      low = mid + 1;
    else
      high = mid;
  }
  if (low == 0) return p;
  p.block = low - 1;
  const plr__map_block *b = m->blocks[p.block];
  low = 0, high = b->count;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (key_order(b->nodes[mid], key, key_len) < 0)
      low = mid + 1;
    else
      high = mid;
  }
  p.slot = low;
  p.found = low < b->count && key_order(b->nodes[low], key, key_len) == 0;
  return p;
}

static plr__node **slot_of(const plr__map *m, place p) {
  return &m->blocks[p.block]->nodes[p.slot];
}

/* The node of a key, dead or not; NULL: there is none. */
static plr__node *look_up(const plr__map *m, const void *key, size_t key_len, uint32_t hash) {
  int sure;
  plr__node *n = plr__index_find(&m->index, key, key_len, hash, &sure);
  if (n || sure) return n;
  place p = find(m, key, key_len);
  return p.found ? *slot_of(m, p) : NULL;
}

const uint8_t *plr__map_get(const plr__map *m, const void *key, size_t key_len, size_t *value_len) {
  const plr__node *n = look_up(m, key, key_len, plr__index_hash(key, key_len));
  if (!n || n->dead) return NULL;
  *value_len = n->value_len;
  return n->bytes + n->key_len;
}

static plr__node *node_make(plr__map *m, const void *key, size_t key_len, const void *value,
                            size_t value_len, uint32_t hash) {
  plr__node *n = plr__slab_alloc(&m->slab, sizeof *n + key_len + value_len);
  if (!n) return NULL;
  n->key_hash = hash;
  n->value_len = (uint32_t)value_len;
  n->key_len = (uint16_t)key_len;
  n->hashed = n->dead = n->indexed = n->reserved = 0;
  memcpy(n->bytes, key, key_len);
  if (value_len) memcpy(n->bytes + key_len, value, value_len);
  return n;
}

static plr_status undo_reserve(plr__map *m) {
  if (m->undo_len < m->undo_cap) return PLR_OK;
  size_t cap = m->undo_cap ? m->undo_cap * 2 : 256;
  plr__undo *undo = plr__realloc(m->ctx, m->undo, cap * sizeof *undo);
  if (!undo) return PLR_ERR_NO_MEMORY;
  m->undo = undo;
  m->undo_cap = cap;
  return PLR_OK;
}

/* Makes an empty block at `at`. */
static plr_status block_insert(plr__map *m, size_t at) {
  if (m->block_count == m->block_cap) {
    size_t cap = m->block_cap ? m->block_cap * 2 : 16;
    plr__map_block **blocks = plr__realloc(m->ctx, m->blocks, cap * sizeof *blocks);
    if (!blocks) return PLR_ERR_NO_MEMORY;
    m->blocks = blocks;
    m->block_cap = cap;
  }
  plr__map_block *b = plr__alloc(m->ctx, sizeof *b);
  if (!b) return PLR_ERR_NO_MEMORY;
  b->count = 0;
  memmove(m->blocks + at + 1, m->blocks + at, (m->block_count - at) * sizeof *m->blocks);
  m->blocks[at] = b;
  m->block_count++;
  return PLR_OK;
}

/* Makes room for one more node at p, splitting a full block. A key above all others starts a new block, so that
 * keys that come in order leave full blocks behind. */
static plr_status make_room(plr__map *m, place *p) {
  if (m->block_count == 0) return block_insert(m, 0);
  plr__map_block *b = m->blocks[p->block];
  if (b->count < BLOCK_NODES) return PLR_OK;
  PLR_TRY(block_insert(m, p->block + 1));
  plr__map_block *next = m->blocks[p->block + 1];
  size_t keep = p->slot == BLOCK_NODES ? BLOCK_NODES : BLOCK_NODES / 2;
  next->count = BLOCK_NODES - keep;
  memcpy(next->nodes, b->nodes + keep, next->count * sizeof *b->nodes);
  b->count = keep;
  if (p->slot > keep || keep == BLOCK_NODES) {
    p->block++;
    p->slot -= keep;
  }
  return PLR_OK;
}

static void slot_insert(plr__map *m, place p, plr__node *n) {
  plr__map_block *b = m->blocks[p.block];
  memmove(b->nodes + p.slot + 1, b->nodes + p.slot, (b->count - p.slot) * sizeof *b->nodes);
  b->nodes[p.slot] = n;
  b->count++;
}

static void slot_remove(plr__map *m, place p) {
  plr__map_block *b = m->blocks[p.block];
  b->count--;
  memmove(b->nodes + p.slot, b->nodes + p.slot + 1, (b->count - p.slot) * sizeof *b->nodes);
  if (b->count) return;
  plr__free(m->ctx, b);
  m->block_count--;
  memmove(m->blocks + p.block, m->blocks + p.block + 1,
          (m->block_count - p.block) * sizeof *m->blocks);
}

static void record(plr__map *m, plr__node *before, plr__node *after, int in_place) {
  plr__undo u = {before, after, in_place};
  m->undo[m->undo_len++] = u;
}

static plr_status overwrite(plr__map *m, plr__node *n, const void *value, size_t value_len) {
  plr__node *copy = plr__slab_alloc(&m->slab, node_size(n));
  if (!copy) return PLR_ERR_NO_MEMORY;
  memcpy(copy, n, node_size(n));
  if (value_len) memcpy(n->bytes + n->key_len, value, value_len);
  n->hashed = 0;
  record(m, copy, n, 1);
  return PLR_OK;
}

plr_status plr__map_put(plr__map *m, const void *key, size_t key_len, const void *value,
                        size_t value_len) {
  if (key_len > UINT16_MAX || value_len > UINT32_MAX) return PLR_ERR_INTERNAL;
  PLR_TRY(undo_reserve(m));
  uint32_t hash = plr__index_hash(key, key_len);
  plr__node *before = look_up(m, key, key_len, hash);
  if (before && !before->dead && before->value_len == value_len)
    return overwrite(m, before, value, value_len);
  PLR_TRY(plr__index_reserve(&m->index, m->ctx));
  plr__node *n = node_make(m, key, key_len, value, value_len, hash);
  if (!n) return PLR_ERR_NO_MEMORY;
  place p = find(m, key, key_len);
  if (p.found) {
    *slot_of(m, p) = n;
    m->count += before->dead;
    plr__index_remove(&m->index, before);
  } else {
    plr_status st = make_room(m, &p);
    if (st != PLR_OK) {
      node_free(m, n);
      return st;
    }
    slot_insert(m, p, n);
    m->count++;
  }
  plr__index_add(&m->index, n);
  record(m, before, n, 0);
  return PLR_OK;
}

plr_status plr__map_delete(plr__map *m, const void *key, size_t key_len) {
  plr__node *n = look_up(m, key, key_len, plr__index_hash(key, key_len));
  if (!n || n->dead) return PLR_OK;
  PLR_TRY(undo_reserve(m));
  n->dead = 1;
  record(m, n, NULL, 0);
  m->count--;
  return PLR_OK;
}

size_t plr__map_mark(const plr__map *m) {
  return m->undo_len;
}

static void undo_one(plr__map *m, plr__undo u) {
  if (!u.after) {
    u.before->dead = 0;
    m->count++;
    return;
  }
  if (u.in_place) { /* all but where it is in the index, which has stayed */
    u.before->indexed = u.after->indexed;
    memcpy(u.after, u.before, node_size(u.before));
    node_free(m, u.before);
    return;
  }
  place p = find(m, u.after->bytes, u.after->key_len);
  plr__index_remove(&m->index, u.after);
  if (u.before) {
    *slot_of(m, p) = u.before;
    m->count -= u.before->dead;
    plr__index_add(&m->index, u.before);
  } else {
    slot_remove(m, p);
    m->count--;
  }
  node_free(m, u.after);
}

void plr__map_rollback(plr__map *m, size_t mark) {
  while (m->undo_len > mark) undo_one(m, m->undo[--m->undo_len]);
}

void plr__map_commit(plr__map *m) {
  for (size_t i = 0; i < m->undo_len; i++) {
    plr__undo u = m->undo[i];
    if (u.after) {
      if (u.before) node_free(m, u.before);
      continue;
    }
    /* Deleted; but a later put may have taken the slot, and then that put's record frees the node. */
    place p = find(m, u.before->bytes, u.before->key_len);
    if (*slot_of(m, p) != u.before) continue;
    plr__index_remove(&m->index, u.before);
    slot_remove(m, p);
    node_free(m, u.before);
  }
  m->undo_len = 0;
}

static void hash_node(plr__node *n) {
  uint8_t prefix[3] = {0x00};
  plr_sha256_state s;
  plr__store_be16(prefix + 1, n->key_len);
  plr__sha256_init(&s);
  plr__sha256_update(&s, prefix, sizeof prefix);
  plr__sha256_update(&s, n->bytes, (size_t)n->key_len + n->value_len);
  plr__sha256_final(&s, &n->leaf);
  n->hashed = 1;
}

void plr__map_root(plr__map *m, plr_hash *out) {
  plr__frontier f = {0};
  plr_hash completed[64];
  for (size_t b = 0; b < m->block_count; b++)
    for (size_t i = 0; i < m->blocks[b]->count; i++) {
      plr__node *n = m->blocks[b]->nodes[i];
      if (n->dead) continue;
      if (!n->hashed) hash_node(n);
      plr__frontier_append(&f, &n->leaf, completed);
    }
  plr__frontier_root(&f, out);
}

void plr__map_seek(const plr__map *m, const void *key, size_t key_len, plr__cursor *c) {
  place p = find(m, key, key_len);
  memset(c, 0, sizeof *c);
  c->map = m;
  c->block = p.block;
  c->slot = p.slot;
}

int plr__cursor_next(plr__cursor *c) {
  while (c->block < c->map->block_count) {
    const plr__map_block *b = c->map->blocks[c->block];
    if (c->slot == b->count) {
      c->block++;
      c->slot = 0;
      continue;
    }
    const plr__node *n = b->nodes[c->slot++];
    if (n->dead) continue;
    c->key = n->bytes;
    c->key_len = n->key_len;
    c->value = n->bytes + n->key_len;
    c->value_len = n->value_len;
    return 1;
  }
  return 0;
}

int plr__cursor_next_in(plr__cursor *c, const void *prefix, size_t prefix_len) {
  return plr__cursor_next(c) && c->key_len >= prefix_len && !memcmp(c->key, prefix, prefix_len);
}

int plr__cursor_before(const plr__cursor *c, plr__cursor *out) {
  size_t block = c->block, slot = c->slot;
  *out = *c;
  while (slot > 0 || block > 0) {
    if (slot == 0) {
      slot = c->map->blocks[--block]->count;
      continue;
    }
    const plr__node *n = c->map->blocks[block]->nodes[--slot];
    if (n->dead) continue;
    out->key = n->bytes;
    out->key_len = n->key_len;
    out->value = n->bytes + n->key_len;
    out->value_len = n->value_len;
    return 1;
  }
  return 0;
}
