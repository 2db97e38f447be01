/* What stage needs to know of a shard besides its public functions. */
#ifndef PLR_SHARD_SHARD_H
#define PLR_SHARD_SHARD_H

#include <pluralis/shard.h>

/* The shard's blocks [first, end). */
void plr__shard_blocks(const plr_shard *shard, uint32_t *first, uint32_t *end);

/* Micro-batches it can have in flight. */
uint32_t plr__shard_slots(const plr_shard *shard);

/* PLR_DELAYED_* and how many versions it can hold. */
uint32_t plr__shard_delayed(const plr_shard *shard, uint32_t *versions);

/* Steps between the newest backward and its forward. */
uint64_t plr__shard_last_delay(const plr_shard *shard);

/* 1: the slot still waits for its backward. */
int plr__shard_waits(const plr_shard *shard, uint32_t slot);

/* Gives up the micro-batch in a slot, if there is one. */
void plr__shard_forget(plr_shard *shard, uint32_t slot);

/* Optimizers correct for delays when backward uses the newest weights (optimizer.c): in a pipeline of so many stages,
 * with a learning rate that is lower during the first `horizon` steps. */
void plr__shard_correct_delays(plr_shard *shard, uint32_t stages, uint64_t horizon);

/* Where several replicas share the micro-batches of a step, each counts the steps of all, so that schedules follow what
 * all have seen: the next step, or set_clock at once, brings the count to `steps` unless it is there already. */
void plr__shard_next_clock(plr_shard *shard, uint64_t steps);
void plr__shard_set_clock(plr_shard *shard, uint64_t steps);

/* Its weights as one vector of so many numbers, parameters in order; read, or replaced at any time between two calls
 * (INVALID_STATE: a version more would have to be held than the options say). */
int64_t plr__shard_elements(const plr_shard *shard);
plr_status plr__shard_read_vector(plr_shard *shard, float *out);
plr_status plr__shard_write_vector(plr_shard *shard, const float *in);

/* Its model, which lives as long as the shard. */
const plr_model *plr__shard_model(const plr_shard *shard);

#endif
