/* Bits follow bandwidth: how many bytes a tensor frame of training may have. Rate and time are not functions of the
 * frames, so what is decided here is an input of the job, and the journal says what it was. */
#include "stage_int.h"

/* A value gets 1 to 8 bits; beside that rows, chunks and the header take their part. Below, training would not
 * converge; above, more bits buy nothing. */
static uint64_t clamp_budget(const plr_stage *s, uint64_t bytes) {
  const uint64_t values = (uint64_t)s->rows * s->info.boundary_width;
  const uint64_t extra = 1024 + 4 * (uint64_t)s->rows + values / 64;
  return PLR_MIN(PLR_MAX(bytes, values / 8 + extra), values + extra);
}

/* Whichever link it will be. */
static int smallest_budget(const plr_stage *s, uint32_t side, uint64_t interval, uint64_t *out) {
  int known = 0;
  for (uint32_t i = 0; i < s->peer_count; i++) {
    const plr__peer *p = s->peers[i];
    uint64_t bytes;
    if (p->side != side || p->state != PLR__PEER_UP) continue;
    if (plr_link_budget(p->link, interval, &bytes) != PLR_OK) continue;
    if (!known || bytes < *out) *out = bytes;
    known = 1;
  }
  return known;
}

/* While this stage computes one micro-batch, each of its links carries one tensor frame each way. */
void plr__budget_give(plr_stage *s, plr_job *job) {
  const int forward = job->kind == PLR_JOB_FORWARD;
  const uint32_t side = forward ? PLR__DOWN : PLR__UP;
  uint64_t bytes;
  job->begin_ns = s->now;
  if (!s->auto_budget || (!forward && job->kind != PLR_JOB_BACKWARD)) return;
  if (forward ? s->tail : s->index == 0) return; /* it makes no tensor frame */
  if (!s->busy_ns[0] || !s->busy_ns[1]) return;
  if (!smallest_budget(s, side, s->busy_ns[0] + s->busy_ns[1], &bytes)) return;
  job->budget = clamp_budget(s, bytes);
  if (forward)
    s->stats.forward_budget = job->budget;
  else
    s->stats.backward_budget = job->budget;
  plr__journal(s, PLR__JOURNAL_BUDGET, side, forward ? PLR_ROLE_ACTIVATION : PLR_ROLE_GRADIENT,
               job->step, job->micro_batch, s->now, job->budget, NULL);
}

void plr__budget_learn(plr_stage *s, const plr_job *job) {
  if (job->kind != PLR_JOB_FORWARD && job->kind != PLR_JOB_BACKWARD) return;
  uint64_t *busy = &s->busy_ns[job->kind == PLR_JOB_BACKWARD];
  const uint64_t took = s->now > job->begin_ns ? s->now - job->begin_ns : 1;
  *busy = *busy ? (3 * *busy + took) / 4 : took;
}
