/* What the writer and the reader of snapshots (SNAPSHOT.md) share. */
#ifndef PLR_SHARD_SNAPSHOT_H
#define PLR_SHARD_SNAPSHOT_H

#include "shard/safetensors.h"
#include "shard/shard_int.h"

#define PLR_SNAPSHOT_FORMAT "pluralis-snapshot/2"

/* Name of a tensor in the file. */
#define PLR_SNAPSHOT_NAME (sizeof(((plr_param *)0)->name) + 16)
void plr__snapshot_name(const plr_param *p, uint32_t part, char out[PLR_SNAPSHOT_NAME]);
/* Its shape; rows times columns is what plr__state_part counts, 0 when it is not kept. */
void plr__snapshot_shape(const plr_model_info *info, const plr_param *p, uint32_t part,
                         int64_t shape[2]);

/* One file of those a state is put together from: its header, read and checked by itself. */
typedef struct plr_snapshot_part {
  plr_st_file file;
  uint32_t first_block, end_block;
  plr_state state; /* steps and powers; no memory */
} plr_snapshot_part;

/* Files of one state: each of `model`, of the same step, no block in two of them. */
typedef struct plr_snapshot_parts {
  plr_context *ctx;
  plr_snapshot_part *list;
  uint32_t count, reserved;
} plr_snapshot_parts;

/* Reads the headers. *out is released on failure. Errors: MALFORMED, VERSION, TRUNCATED, UNSUPPORTED, LIMIT,
 * MISMATCH, NO_MEMORY, the sources'. */
plr_status plr__snapshot_open(plr_context *ctx, const plr_model *model, const plr_source *sources,
                              uint32_t count, plr_snapshot_parts *out, plr_error *err);
void plr__snapshot_release(plr_snapshot_parts *parts);

/* The part that holds a block; NULL when none does. */
const plr_snapshot_part *plr__snapshot_of_block(const plr_snapshot_parts *parts, uint32_t block);
/* Hashes that a part's metadata states: of a block's leaf, of a tensor. MALFORMED when it does not. */
plr_status plr__snapshot_leaf(const plr_snapshot_part *part, uint32_t block, plr_hash *out,
                              plr_error *err);
plr_status plr__snapshot_hash(const plr_snapshot_part *part, const char *tensor, plr_hash *out,
                              plr_error *err);

#endif
