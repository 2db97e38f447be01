/* The prediction: how many micro-batches a second a placement trains. README.md has the formulas in words. */
#include "plan/plan_int.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 64.0 /* of a frame */

double plr__plan_wire(const plr_problem *q, double bits, int forward) {
  return HEADER_BYTES + q->needs.wire_values * bits / 8 +
         (forward ? (double)q->needs.ids_bytes : 0);
}

/* ---- one device ---------------------------------------------------------------------------------- */

/* Bytes that a stage of [first, end) sends and receives for each micro-batch, at the fewest bits. The feeder is near
 * nobody: it sends token ids to the first stage. */
static void traffic(const plr_problem *q, uint32_t first, uint32_t end, double *up, double *down) {
  const double forward = plr__plan_wire(q, q->o.min_bits, 1);
  const double backward = plr__plan_wire(q, q->o.min_bits, 0);
  const int is_first = first == 0, is_last = end == q->needs.blocks;
  *up = (is_last ? HEADER_BYTES : forward) + (is_first ? HEADER_BYTES : backward);
  *down = (is_first ? HEADER_BYTES + (double)q->needs.ids_bytes : forward) +
          (is_last ? HEADER_BYTES : backward);
}

/* Micro-batches that fit beside the weights. */
static uint32_t slots_of(const plr_problem *q, const plr_need *need, uint64_t memory) {
  const uint64_t fixed =
      need->state + (uint64_t)(q->o.versions - 1) * need->weights + need->scratch;
  if (memory < fixed + need->slot) return 0;
  const uint64_t slots = need->slot ? (memory - fixed) / need->slot : UINT32_MAX;
  return slots > UINT32_MAX ? UINT32_MAX : (uint32_t)slots;
}

static void limit(plr_ability *a, double rate, uint32_t bound) {
  if (rate >= a->rate) return;
  a->rate = rate, a->bound = bound;
}

plr_ability plr__plan_ability(const plr_problem *q, uint32_t device, uint32_t first, uint32_t end,
                              double round_trip_s) {
  const plr_plan_device *d = &q->o.devices[device];
  const plr_need need = plr__plan_sum(&q->needs, first, end);
  plr_ability a = {.bound = PLR_PLAN_BOUND_MEMORY, .slots = slots_of(q, &need, d->memory)};
  double up, down;
  if (a.slots == 0) return a;
  traffic(q, first, end, &up, &down);
  a.rate = d->flops / need.flop, a.bound = PLR_PLAN_BOUND_COMPUTE;
  const double compute_s = 1 / a.rate;
  if (d->up_bps) limit(&a, (double)d->up_bps / (8 * up), PLR_PLAN_BOUND_UP);
  if (d->down_bps) limit(&a, (double)d->down_bps / (8 * down), PLR_PLAN_BOUND_DOWN);
  limit(&a, a.slots / (round_trip_s + compute_s), PLR_PLAN_BOUND_MEMORY);
  return a;
}

/* ---- paths that are named ------------------------------------------------------------------------ */

int plr__plan_path_order(const void *a, const void *b) {
  const plr_plan_path *x = a, *y = b;
  if (x->from != y->from) return x->from < y->from ? -1 : 1;
  return x->to < y->to ? -1 : x->to > y->to;
}

static const plr_plan_path *path_of(const plr_problem *q, uint32_t from, uint32_t to) {
  const plr_plan_path key = {.from = from, .to = to};
  if (q->o.path_count == 0) return NULL;
  return bsearch(&key, q->o.paths, q->o.path_count, sizeof key, plr__plan_path_order);
}

/* What named paths let a device send to a stage, in bits a second; DBL_MAX when one of them is not named. */
static double named_bps(const plr_problem *q, const plr_placement *p, uint32_t from,
                        uint32_t stage) {
  double sum = 0;
  for (uint32_t d = 0; d < q->o.device_count; d++) {
    if (p->stage_of[d] != stage) continue;
    const plr_plan_path *path = path_of(q, from, d);
    if (!path || path->bps == 0) return DBL_MAX;
    sum += (double)path->bps;
  }
  return sum;
}

static void limit_by_paths(const plr_problem *q, const plr_placement *p, uint32_t device,
                           uint32_t s, plr_ability *a) {
  if (s + 1 < p->stages)
    limit(a, named_bps(q, p, device, s + 1) / (8 * plr__plan_wire(q, q->o.min_bits, 1)),
          PLR_PLAN_BOUND_UP);
  if (s > 0)
    limit(a, named_bps(q, p, device, s - 1) / (8 * plr__plan_wire(q, q->o.min_bits, 0)),
          PLR_PLAN_BOUND_UP);
}

/* ---- a whole placement --------------------------------------------------------------------------- */

/* Mean over the devices of two stages; there and back are alike but for named paths. */
static double hop_s(const plr_problem *q, const plr_placement *p, uint32_t from, uint32_t to,
                    const plr_stage_rate *a, const plr_stage_rate *b, double bytes) {
  double sum = 0, pairs = 0, slowest = 0;
  if (q->o.path_count == 0) {
    sum = a->delay_s + b->delay_s, pairs = 1;
  } else {
    for (uint32_t i = 0; i < q->o.device_count; i++)
      for (uint32_t j = 0; p->stage_of[i] == from && j < q->o.device_count; j++) {
        if (p->stage_of[j] != to) continue;
        const plr_plan_path *path = path_of(q, i, j);
        sum += path ? (double)path->delay_ns * 1e-9
                    : (double)(q->o.devices[i].delay_ns + q->o.devices[j].delay_ns) * 1e-9;
        pairs++;
      }
  }
  for (uint32_t d = 0; d < q->o.device_count; d++) {
    const plr_plan_device *v = &q->o.devices[d];
    if (p->stage_of[d] == from && v->up_bps)
      slowest = PLR_MAX(slowest, 8 * bytes / (double)v->up_bps);
    if (p->stage_of[d] == to && v->down_bps)
      slowest = PLR_MAX(slowest, 8 * bytes / (double)v->down_bps);
  }
  return (pairs > 0 ? sum / pairs : 0) + slowest;
}

/* A stage, when its micro-batches come back after so long. */
static plr_stage_rate rate_of(const plr_problem *q, const plr_placement *p, uint32_t s,
                              double round_trip_s) {
  plr_stage_rate r = {.slots = UINT32_MAX};
  const double flop = plr__plan_sum(&q->needs, p->cut[s], p->cut[s + 1]).flop;
  double worst = DBL_MAX;
  for (uint32_t d = 0; d < q->o.device_count; d++) {
    if (p->stage_of[d] != s) continue;
    plr_ability a = plr__plan_ability(q, d, p->cut[s], p->cut[s + 1], round_trip_s);
    if (q->o.path_count && a.rate > 0) limit_by_paths(q, p, d, s, &a);
    r.devices++;
    if (a.rate <= 0) return (plr_stage_rate){.bound = PLR_PLAN_BOUND_MEMORY, .devices = r.devices};
    r.rate += a.rate;
    r.busy_rate += q->o.devices[d].flops / flop;
    r.delay_s += (double)q->o.devices[d].delay_ns * 1e-9;
    r.slots = PLR_MIN(r.slots, a.slots);
    if (a.rate * flop / q->o.devices[d].flops < worst)
      worst = a.rate * flop / q->o.devices[d].flops, r.bound = a.bound;
  }
  if (r.devices) r.delay_s /= r.devices;
  return r;
}

plr_pace plr__plan_pace(const plr_problem *q, const plr_placement *p, plr_stage_rate *stage) {
  plr_pace pace = {0};
  plr_stage_rate after = {0};
  const double forward = plr__plan_wire(q, q->o.min_bits, 1),
               backward = plr__plan_wire(q, q->o.min_bits, 0);
  double round_trip_s = 0, least = DBL_MAX;
  for (uint32_t s = p->stages; s-- > 0;) {
    double hops_s = 0;
    plr_stage_rate r = rate_of(q, p, s, round_trip_s);
    if (r.rate > 0 && s + 1 < p->stages) {
      hops_s =
          hop_s(q, p, s, s + 1, &r, &after, forward) + hop_s(q, p, s + 1, s, &after, &r, backward);
      r = rate_of(q, p, s, round_trip_s + hops_s);
    }
    if (stage) stage[s] = r;
    if (r.rate <= 0) return (plr_pace){.slowest = s};
    if (r.rate < least) least = r.rate, pace.slowest = s;
    round_trip_s += hops_s + r.devices / r.busy_rate;
    after = r;
  }
  pace.rate = least, pace.latency_s = round_trip_s;
  /* With a flush the pipeline fills and drains once in each step. */
  if (q->o.flow == PLR_PLAN_SYNC)
    pace.rate = q->needs.micro_batches / (pace.latency_s + (q->needs.micro_batches - 1) / least);
  return pace;
}
