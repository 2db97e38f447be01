/* What stage needs to know of a shard besides its public functions. */
#ifndef PLR_SHARD_SHARD_H
#define PLR_SHARD_SHARD_H

#include <pluralis/shard.h>

/* The shard's blocks [first, end). */
void plr__shard_blocks(const plr_shard *shard, uint32_t *first, uint32_t *end);

/* Micro-batches it can have in flight. */
uint32_t plr__shard_slots(const plr_shard *shard);

/* Its model, which lives as long as the shard. */
const plr_model *plr__shard_model(const plr_shard *shard);

#endif
