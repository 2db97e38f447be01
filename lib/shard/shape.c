#include "shard/shard.h"
#include "shard/shard_int.h"

void plr__shard_blocks(const plr_shard *shard, uint32_t *first, uint32_t *end) {
  *first = shard->first_block;
  *end = shard->end_block;
}

uint32_t plr__shard_slots(const plr_shard *shard) {
  return shard->slot_count;
}

const plr_model *plr__shard_model(const plr_shard *shard) {
  return shard->model;
}
