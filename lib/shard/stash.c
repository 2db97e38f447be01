/* Weights of earlier versions, for micro-batches whose forward was done before a step and whose backward comes after
 * it. */
#include "shard/shard_int.h"

#include "shard/shard.h"

plr_status plr__stash_alloc(plr_shard *s) {
  uint32_t count = s->delays.versions - 1;
  if (count == 0) return PLR_OK;
  s->stash = plr__calloc(s->ctx, count, sizeof *s->stash);
  if (!s->stash) return PLR_ERR_NO_MEMORY;
  if ((uint64_t)s->param_elements > SIZE_MAX / sizeof(float)) return PLR_ERR_NO_MEMORY;
  for (uint32_t i = 0; i < count; i++) {
    s->stash[i].w = s->device->vt->alloc(s->device, (size_t)s->param_elements * sizeof(float));
    if (!s->stash[i].w) return PLR_ERR_NO_MEMORY;
  }
  return PLR_OK;
}

void plr__stash_free(plr_shard *s) {
  for (uint32_t i = 0; s->stash && i + 1 < s->delays.versions; i++)
    if (s->stash[i].w) s->device->vt->free(s->device, s->stash[i].w);
  plr__free(s->ctx, s->stash);
  s->stash = NULL;
}

/* Slots that will need the weights as they are now. */
static uint32_t users_of_newest(const plr_shard *s) {
  uint32_t users = 0;
  for (uint32_t i = 0; i < s->slot_count; i++)
    users += s->slots[i].busy && s->slots[i].version == 0;
  return users;
}

static uint32_t free_stash(const plr_shard *s) {
  uint32_t i = 0;
  while (i + 1 < s->delays.versions && s->stash[i].users) i++;
  return i;
}

plr_status plr__stash_ready(const plr_shard *s) {
  if (s->delays.allowed == PLR_DELAYED_NEWEST) return PLR_OK;
  if (users_of_newest(s) == 0 && s->delays.allowed == PLR_DELAYED_STASH) return PLR_OK;
  if (s->delays.allowed == PLR_DELAYED_STASH)
    return free_stash(s) + 1 < s->delays.versions ? PLR_OK : PLR_ERR_INVALID_STATE;
  for (uint32_t i = 0; i < s->slot_count; i++)
    if (s->slots[i].busy) return PLR_ERR_INVALID_STATE;
  return PLR_OK;
}

plr_status plr__stash_keep(plr_shard *s) {
  uint32_t users = users_of_newest(s), at = 0;
  if (s->delays.allowed != PLR_DELAYED_STASH || users == 0) return PLR_OK;
  at = free_stash(s);
  plr_scale_args copy = {s->state.w, s->stash[at].w, s->param_elements, 1.0f};
  PLR_TRY(s->device->vt->run(s->device, PLR_OP_SCALE, &copy));
  s->stash[at].users = users;
  for (uint32_t i = 0; i < s->slot_count; i++)
    if (s->slots[i].busy && s->slots[i].version == 0) s->slots[i].version = at + 1;
  return PLR_OK;
}

float *plr__stash_weights(const plr_shard *s, const plr_slot *slot) {
  return slot->version ? s->stash[slot->version - 1].w : NULL;
}

void plr__stash_done(plr_shard *s, plr_slot *slot) {
  if (slot->version) s->stash[slot->version - 1].users--;
  s->delays.last = s->delays.updates - slot->updates;
  s->delays.sum += s->delays.last;
  slot->busy = slot->version = 0;
}

/* ---- for the stage ---------------------------------------------------------------------------- */

uint32_t plr__shard_delayed(const plr_shard *shard, uint32_t *versions) {
  *versions = shard->delays.versions;
  return shard->delays.allowed;
}

uint64_t plr__shard_last_delay(const plr_shard *shard) {
  return shard->delays.last;
}

int plr__shard_waits(const plr_shard *shard, uint32_t slot) {
  return shard->slots[slot].busy != 0;
}

void plr__shard_forget(plr_shard *shard, uint32_t slot) {
  plr_slot *s = &shard->slots[slot];
  if (!s->busy) return;
  if (s->version) shard->stash[s->version - 1].users--;
  s->busy = s->version = 0;
}

void plr__shard_correct_delays(plr_shard *shard, uint32_t stages, uint64_t horizon) {
  shard->delays.stages = stages;
  shard->delays.horizon = horizon;
}

void plr__shard_next_clock(plr_shard *shard, uint64_t steps) {
  shard->delays.clock = steps;
}

void plr__shard_set_clock(plr_shard *shard, uint64_t steps) {
  shard->state.steps = PLR_MAX(shard->state.steps, steps);
}
