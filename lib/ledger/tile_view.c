/* A published tree, believed only as far as its checkpoint reaches.
 *
 * Level k of the tiles holds the roots of 256^k entries each. A tree of n entries has, of every level, full tiles and at
 * the right edge a partial one of (n >> 8k) mod 256 hashes; the hashes of all partial tiles are the complete subtrees
 * that n is made of, so their root is the log's. A full tile's own root is a hash of the level above. */
#include "ledger/ledger_int.h"
#include "ledger/replica.h"

#include <string.h>

#define WIDTH  PLR__TILE_WIDTH
#define LEVELS 8u

_Static_assert(PLR__CHECKPOINT_MAX == PLR__NOTE_MAX, "a checkpoint is a note");

void plr__tile_view_init(plr__tile_view *v, plr_context *ctx, plr__fetch_fn fetch, void *user) {
  memset(v, 0, sizeof *v);
  v->ctx = ctx;
  v->fetch = fetch;
  v->user = user;
  for (uint32_t k = 0; k < LEVELS; k++) {
    plr__buffer_init(&v->level[k].edge, ctx);
    plr__buffer_init(&v->level[k].full, ctx);
  }
}

void plr__tile_view_release(plr__tile_view *v) {
  for (uint32_t k = 0; k < LEVELS; k++) {
    plr__buffer_release(&v->level[k].edge);
    plr__buffer_release(&v->level[k].full);
  }
}

static uint64_t hashes(const plr__tile_view *v, uint32_t level) {
  return v->size >> (8 * level);
}

static plr_status fetch_tile(plr__tile_view *v, const plr__tile *t, plr_buffer *out,
                             plr_error *err) {
  char path[PLR_LOG_PATH_MAX];
  plr__tile_path(t, path);
  plr__buffer_clear(out);
  PLR_TRY(v->fetch(v->user, path, out, err));
  if (out->len == (size_t)t->width * 32) return PLR_OK;
  return plr__fail(err, out->len < (size_t)t->width * 32 ? PLR_ERR_TRUNCATED : PLR_ERR_LIMIT, path,
                   "%zu bytes, a tile of %u hashes has %u", out->len, t->width, t->width * 32);
}

/* Merkle root of 2^n hashes, n <= 8. */
static void subtree(const uint8_t *data, uint32_t count, plr_hash *out) {
  plr_hash work[WIDTH];
  memcpy(work, data, (size_t)count * 32);
  plr__merkle_root(work, count, out);
}

/* The hashes of tile (level, index), checked. */
static plr_status tile(plr__tile_view *v, uint32_t level, uint64_t index, const uint8_t **out,
                       plr_error *err) {
  if (index == hashes(v, level) / WIDTH) {
    *out = v->level[level].edge.data;
    return PLR_OK;
  }
  plr_buffer *full = &v->level[level].full;
  *out = full->data;
  if (v->level[level].has_full && v->level[level].full_index == index) return PLR_OK;
  const uint8_t *above;
  PLR_TRY(tile(v, level + 1, index / WIDTH, &above, err));
  plr__tile t = {.level = level, .index = index, .width = WIDTH};
  v->level[level].has_full = 0;
  PLR_TRY(fetch_tile(v, &t, full, err));
  plr_hash root;
  subtree(full->data, WIDTH, &root);
  if (memcmp(root.bytes, above + index % WIDTH * 32, 32) != 0) {
    char path[PLR_LOG_PATH_MAX];
    plr__tile_path(&t, path);
    return plr__fail(err, PLR_ERR_CHECKSUM, path, "is not the tile that the checkpoint is made of");
  }
  v->level[level].has_full = 1;
  v->level[level].full_index = index;
  *out = full->data;
  return PLR_OK;
}

static plr_status node_read(void *user, uint32_t level, uint64_t index, plr_hash *out,
                            plr_error *err) {
  plr__tile_view *v = user;
  uint32_t width = 1u << level % 8;
  uint64_t first = index * width;
  const uint8_t *data;
  PLR_TRY(tile(v, level / 8, first / WIDTH, &data, err));
  subtree(data + first % WIDTH * 32, width, out);
  return PLR_OK;
}

plr_status plr__tile_view_root(plr__tile_view *v, uint64_t size, plr_hash *out, plr_error *err) {
  plr__node_reader nodes = {v, node_read};
  return plr__tree_root(&nodes, size, out, err);
}

plr_status plr__tile_view_open(plr__tile_view *v, uint64_t size, const plr_hash *root,
                               plr_error *err) {
  plr_hash got;
  v->size = size;
  for (uint32_t k = 0; k < LEVELS; k++) {
    plr__tile t = {
        .level = k, .index = hashes(v, k) / WIDTH, .width = (uint32_t)(hashes(v, k) % WIDTH)};
    v->level[k].has_full = 0;
    plr__buffer_clear(&v->level[k].edge);
    if (t.width) PLR_TRY(fetch_tile(v, &t, &v->level[k].edge, err));
  }
  PLR_TRY(plr__tile_view_root(v, size, &got, err));
  if (plr__hash_equal(&got, root)) return PLR_OK;
  return plr__fail(err, PLR_ERR_CHECKSUM, "tile",
                   "the tiles do not have the root of the checkpoint");
}

/* ---- bundles ------------------------------------------------------------------------------------- */

uint32_t plr__tile_view_width(const plr__tile_view *v, uint64_t index) {
  return index < v->size / WIDTH ? WIDTH : (uint32_t)(v->size % WIDTH);
}

void plr__tile_view_bundle_path(const plr__tile_view *v, uint64_t index,
                                char out[PLR_LOG_PATH_MAX]) {
  plr__tile t = {
      .level = PLR__TILE_ENTRIES, .index = index, .width = plr__tile_view_width(v, index)};
  plr__tile_path(&t, out);
}

static plr_status cut(const uint8_t *data, size_t len, uint32_t width, plr_append_item *items,
                      plr_hash *leaves, const char *path, plr_error *err) {
  plr_reader r;
  plr__reader_init(&r, data, len);
  for (uint32_t i = 0; i < width; i++) {
    size_t n = plr__read_be16(&r);
    const uint8_t *entry = plr__read_bytes(&r, n);
    if (!entry || n == 0)
      return plr__fail_at(err, PLR_ERR_MALFORMED, path, r.pos, "entry %u of %u is not whole", i,
                          width);
    items[i] = (plr_append_item){.entry = entry, .len = n};
    plr__merkle_leaf(entry, n, &leaves[i]);
  }
  if (!plr__reader_done(&r))
    return plr__fail_at(err, PLR_ERR_MALFORMED, path, r.pos, "bytes are left over");
  return PLR_OK;
}

plr_status plr__tile_view_bundle(plr__tile_view *v, uint64_t index, const void *data, size_t len,
                                 plr_append_item *items, plr_error *err) {
  char path[PLR_LOG_PATH_MAX];
  plr_hash leaves[WIDTH], root;
  const uint8_t *want;
  uint32_t width = plr__tile_view_width(v, index);
  plr__tile_view_bundle_path(v, index, path);
  PLR_TRY(cut(data, len, width, items, leaves, path, err));
  int good;
  if (width ==
      WIDTH) { /* its root is a hash of level 1, so that its tile of level 0 need not be fetched */
    PLR_TRY(tile(v, 1, index / WIDTH, &want, err));
    plr__merkle_root(leaves, WIDTH, &root);
    good = memcmp(root.bytes, want + index % WIDTH * 32, 32) == 0;
  } else {
    PLR_TRY(tile(v, 0, index, &want, err));
    good = memcmp(leaves, want, (size_t)width * 32) == 0;
  }
  return good ? PLR_OK
              : plr__fail(err, PLR_ERR_CHECKSUM, path,
                          "its entries are not those of the checkpoint");
}
