/* For lib/remote: a ledger that follows another's log, and that log's tiles, checked against a checkpoint before
 * anything under them is believed. No I/O but the store's: files come from a callback. */
#ifndef PLR_LEDGER_REPLICA_H
#define PLR_LEDGER_REPLICA_H

#include "ledger/ledger.h"

#define PLR__CHECKPOINT_MAX 65536u                /* bytes of a checkpoint */
#define PLR__TILE_MAX       (256u * 32u)          /* of a tile of hashes */
#define PLR__BUNDLE_MAX     (256u * (2 + 65535u)) /* of a bundle of entries */

/* ---- tiles that a checkpoint vouches for (tile_view.c) ---------------------------------------------- */

/* Gets a published file. Errors end what asked for it. */
typedef plr_status (*plr__fetch_fn)(void *user, const char *path, plr_buffer *out, plr_error *err);

/* The tree of `size` entries with a given root, as tiles. The partial tiles at its right edge are compared with the
 * root; every other tile is compared with its hash in the tile above. Of each level the last one used is kept. */
typedef struct plr__tile_view {
  plr_context *ctx;
  plr__fetch_fn fetch;
  void *user;
  uint64_t size;
  struct {
    plr_buffer edge, full;
    uint64_t full_index;
    uint32_t has_full;
  } level[8];
} plr__tile_view;

void plr__tile_view_init(plr__tile_view *v, plr_context *ctx, plr__fetch_fn fetch, void *user);
void plr__tile_view_release(plr__tile_view *v);
/* Errors: CHECKSUM (the edge does not have that root), TRUNCATED or LIMIT (a tile of another length), fetch's. */
plr_status plr__tile_view_open(plr__tile_view *v, uint64_t size, const plr_hash *root,
                               plr_error *err);
/* Root of the first `size` entries. */
plr_status plr__tile_view_root(plr__tile_view *v, uint64_t size, plr_hash *out, plr_error *err);
/* Entries in bundle `index`: 256, or what the edge has. */
uint32_t plr__tile_view_width(const plr__tile_view *v, uint64_t index);
/* Path of bundle `index`. */
void plr__tile_view_bundle_path(const plr__tile_view *v, uint64_t index,
                                char out[PLR_LOG_PATH_MAX]);
/* Cuts a bundle into its entries and compares them with the tree. items: room for 256; they point into data.
 * Errors: MALFORMED (not so many entries), CHECKSUM, those of a tile. */
plr_status plr__tile_view_bundle(plr__tile_view *v, uint64_t index, const void *data, size_t len,
                                 plr_append_item *items, plr_error *err);

/* ---- the ledger that follows (replica.c) ------------------------------------------------------------ */

/* Opens or creates the copy of log (origin, key). It may be empty. believe: signatures of entries are not verified.
 * Errors: those of plr_ledger_open. */
plr_status plr__replica_open(plr_context *ctx, const char *path, const char *origin,
                             const uint8_t key[32], int believe, plr_ledger **out, plr_error *err);
plr_context *plr__ledger_context(const plr_ledger *l);
/* Entries under the recorded checkpoint; 0: there is none. */
uint64_t plr__signed_size(const plr_ledger *l);
uint64_t plr__replica_size(const plr_ledger *l);
void plr__replica_root(const plr_ledger *l, plr_hash *out);
/* Root of the first `size` entries. */
plr_status plr__replica_root_at(plr_ledger *l, uint64_t size, plr_hash *out, plr_error *err);
/* Takes entries that are in the log, valid or not, in one transaction. Errors: MISMATCH (the first is not the log's
 * Genesis, an EpochClose has another state root), those of plr_ledger_append_many. */
plr_status plr__replica_append(plr_ledger *l, plr_append_item *items, size_t count, plr_error *err);
/* Adds up the state, and records a checkpoint of exactly these entries. */
plr_status plr__replica_record(plr_ledger *l, const char *note, size_t len, plr_error *err);

#endif
