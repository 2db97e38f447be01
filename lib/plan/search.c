/* The search for a placement. Small cases: all of them. Larger ones: from many starts, the slowest stage is given a
 * device, exchanges one, or gives away a block, while that helps. */
#include "plan/plan_int.h"

#include <math.h>
#include <string.h>

#define NEAR 1e-12

typedef struct searcher {
  const plr_problem *q;
  plr_placement now, best;
  double best_rate;
  double *can;      /* device x stage: what it could do there, with the cuts as they are */
  double *round;    /* for each stage: seconds from its forward to its backward, estimated */
  double *sum;      /* for each stage: what its devices can do */
  uint32_t *count;  /* for each stage: its devices */
  uint32_t *sorted; /* devices, the fastest first */
  uint32_t *order;  /* devices, as this start deals them */
  uint64_t draws;
} searcher;

static uint32_t random_below(searcher *t, uint32_t n) {
  const uint32_t counter[4] = {(uint32_t)t->draws, (uint32_t)(t->draws >> 32), 0, 0};
  const uint32_t key[2] = {(uint32_t)t->q->o.seed, (uint32_t)(t->q->o.seed >> 32)};
  uint32_t out[4];
  plr__philox4x32(counter, key, out);
  t->draws++;
  return (uint32_t)plr__mulhi64((uint64_t)out[0] << 32 | out[1], n);
}

static void copy(const plr_problem *q, plr_placement *to, const plr_placement *from) {
  uint32_t *stage_of = to->stage_of;
  memcpy(stage_of, from->stage_of, q->o.device_count * sizeof *stage_of);
  *to = *from;
  to->stage_of = stage_of;
}

static void consider(searcher *t) {
  const double rate = plr__plan_pace(t->q, &t->now, NULL).rate;
  if (rate <= t->best_rate * (1 + NEAR)) return;
  t->best_rate = rate;
  copy(t->q, &t->best, &t->now);
}

static uint32_t most_stages(const plr_problem *q) {
  uint32_t most = PLR_MIN(q->positions - 1, q->o.device_count);
  return q->o.max_stages ? PLR_MIN(most, q->o.max_stages) : most;
}

/* ---- all of them --------------------------------------------------------------------------------- */

static uint64_t multiply(uint64_t a, uint64_t b) {
  return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static uint64_t how_many(const plr_problem *q) {
  uint64_t total = 0;
  for (uint32_t s = q->o.min_stages; s <= most_stages(q); s++) {
    uint64_t n = 1;
    for (uint32_t i = 1; i < s; i++) n = multiply(n, q->positions - 1 - i) / i;
    for (uint32_t d = 0; d < q->o.device_count; d++) n = multiply(n, s + 1);
    total = total + n < total ? UINT64_MAX : total + n;
  }
  return total;
}

static int within_replicas(const searcher *t) {
  const plr_problem *q = t->q;
  if (!q->o.max_replicas) return 1;
  for (uint32_t s = 0; s < t->now.stages; s++) {
    uint32_t n = 0;
    for (uint32_t d = 0; d < q->o.device_count; d++) n += t->now.stage_of[d] == s;
    if (n > q->o.max_replicas) return 0;
  }
  return 1;
}

/* Every device in every stage or none: counted like the digits of a number. */
static void all_devices(searcher *t) {
  const uint32_t n = t->q->o.device_count;
  memset(t->now.stage_of, 0, n * sizeof *t->now.stage_of);
  for (;;) {
    uint32_t d = 0;
    if (within_replicas(t)) consider(t);
    while (d < n) {
      uint32_t *digit = &t->now.stage_of[d];
      *digit = *digit == PLR_PLAN_NONE ? 0 : *digit + 1;
      if (*digit == t->now.stages) *digit = PLR_PLAN_NONE;
      if (*digit != 0) break;
      d++;
    }
    if (d == n) return;
  }
}

/* Every choice of stages-1 inner positions, ascending. */
static void all_cuts(searcher *t, uint32_t stages) {
  const plr_problem *q = t->q;
  uint32_t chosen[64] = {0};
  const uint32_t inner = stages - 1, count = q->positions - 2;
  for (uint32_t i = 0; i < inner; i++) chosen[i] = i;
  for (;;) {
    t->now.stages = stages;
    t->now.cut[0] = 0, t->now.cut[stages] = q->needs.blocks;
    for (uint32_t i = 0; i < inner; i++) t->now.cut[i + 1] = q->position[chosen[i] + 1];
    all_devices(t);
    uint32_t i = inner;
    while (i > 0 && chosen[i - 1] == count - inner + i - 1) i--;
    if (i == 0) return;
    chosen[i - 1]++;
    for (uint32_t k = i; k < inner; k++) chosen[k] = chosen[k - 1] + 1;
  }
}

/* ---- local search -------------------------------------------------------------------------------- */

/* What every device could do at every stage, for these cuts. The way to the loss and back is estimated from the mean
 * of all devices, so that a table can hold it; plr__plan_pace has the last word. */
static void tabulate(searcher *t) {
  const plr_problem *q = t->q;
  const uint32_t n = q->o.device_count, stages = t->now.stages;
  double flops = 0, delay = 0, round_trip = 0;
  for (uint32_t d = 0; d < n; d++)
    flops += q->o.devices[d].flops / n, delay += (double)q->o.devices[d].delay_ns * 1e-9 / n;
  for (uint32_t s = stages; s-- > 0;) {
    t->round[s] = round_trip;
    round_trip +=
        4 * delay + plr__plan_sum(&q->needs, t->now.cut[s], t->now.cut[s + 1]).flop / flops;
  }
  for (uint32_t d = 0; d < n; d++)
    for (uint32_t s = 0; s < stages; s++)
      t->can[(size_t)d * stages + s] =
          plr__plan_ability(q, d, t->now.cut[s], t->now.cut[s + 1], t->round[s]).rate;
}

static double can(const searcher *t, uint32_t d, uint32_t s) {
  return s == PLR_PLAN_NONE ? 0 : t->can[(size_t)d * t->now.stages + s];
}

static void add_up(searcher *t) {
  memset(t->sum, 0, t->now.stages * sizeof *t->sum);
  memset(t->count, 0, t->now.stages * sizeof *t->count);
  for (uint32_t d = 0; d < t->q->o.device_count; d++) {
    const uint32_t s = t->now.stage_of[d];
    if (s == PLR_PLAN_NONE) continue;
    t->sum[s] += can(t, d, s);
    t->count[s]++;
  }
}

static uint32_t slowest(const searcher *t) {
  uint32_t at = 0;
  for (uint32_t s = 1; s < t->now.stages; s++)
    if (t->sum[s] < t->sum[at]) at = s;
  return at;
}

/* The minimum, made soft: larger is better, and a second slow stage counts too. */
static double worth(const double *sum, uint32_t stages) {
  double least = sum[0], w = 0;
  for (uint32_t s = 1; s < stages; s++) least = PLR_MIN(least, sum[s]);
  if (least <= 0) {
    for (uint32_t s = 0; s < stages; s++) w += sum[s] <= 0;
    return -w;
  }
  for (uint32_t s = 0; s < stages; s++) {
    const double x = least / sum[s], x2 = x * x, x4 = x2 * x2;
    w += x4 * x4; /* a soft minimum, which leads across plateaus */
  }
  return least * (1 + 1e-3 / w); /* the second term only ranks equal minima */
}

static int has_room(const searcher *t, uint32_t s) {
  return !t->q->o.max_replicas || t->count[s] < t->q->o.max_replicas;
}

/* Devices to stages, the ablest first, each where it is needed most. */
static void deal(searcher *t) {
  const plr_problem *q = t->q;
  for (uint32_t d = 0; d < q->o.device_count; d++) t->now.stage_of[d] = PLR_PLAN_NONE;
  add_up(t);
  for (uint32_t i = 0; i < q->o.device_count; i++) {
    const uint32_t d = t->order[i];
    uint32_t to = PLR_PLAN_NONE;
    for (uint32_t s = 0; s < t->now.stages; s++)
      if (can(t, d, s) > 0 && has_room(t, s) && (to == PLR_PLAN_NONE || t->sum[s] < t->sum[to]))
        to = s;
    if (to == PLR_PLAN_NONE) continue;
    t->now.stage_of[d] = to;
    t->sum[to] += can(t, d, to), t->count[to]++;
  }
}

/* d from its stage to `to`, e the other way (or PLR_PLAN_NONE: nobody): the worth of it, NAN when it cannot be. */
static double worth_of_move(searcher *t, uint32_t d, uint32_t to, uint32_t e) {
  const uint32_t from = t->now.stage_of[d];
  const double old_to = t->sum[to], old_from = from == PLR_PLAN_NONE ? 0 : t->sum[from];
  if (can(t, d, to) <= 0) return NAN;
  if (e == PLR_PLAN_NONE && !has_room(t, to)) return NAN;
  if (e != PLR_PLAN_NONE && from != PLR_PLAN_NONE && can(t, e, from) <= 0) return NAN;
  t->sum[to] += can(t, d, to) - (e == PLR_PLAN_NONE ? 0 : can(t, e, to));
  if (from != PLR_PLAN_NONE)
    t->sum[from] += (e == PLR_PLAN_NONE ? 0 : can(t, e, from)) - can(t, d, from);
  const double w = worth(t->sum, t->now.stages);
  t->sum[to] = old_to;
  if (from != PLR_PLAN_NONE) t->sum[from] = old_from;
  return w;
}

/* The best move or exchange with the slowest stage. 0: none helps. */
static int improve_devices(searcher *t) {
  const uint32_t n = t->q->o.device_count, to = slowest(t);
  const double now = worth(t->sum, t->now.stages);
  double best = now;
  uint32_t best_d = PLR_PLAN_NONE, best_e = PLR_PLAN_NONE;
  for (uint32_t d = 0; d < n; d++) {
    if (t->now.stage_of[d] == to || can(t, d, to) <= 0) continue;
    double w = worth_of_move(t, d, to, PLR_PLAN_NONE);
    if (w > best + fabs(best) * NEAR) best = w, best_d = d, best_e = PLR_PLAN_NONE;
    for (uint32_t e = 0; n <= 128 && e < n; e++) {
      if (t->now.stage_of[e] != to || can(t, d, to) <= can(t, e, to)) continue;
      w = worth_of_move(t, d, to, e);
      if (w > best + fabs(best) * NEAR) best = w, best_d = d, best_e = e;
    }
  }
  if (best_d == PLR_PLAN_NONE) return 0;
  const uint32_t from = t->now.stage_of[best_d];
  t->now.stage_of[best_d] = to;
  if (best_e != PLR_PLAN_NONE) t->now.stage_of[best_e] = from;
  add_up(t);
  return 1;
}

static uint32_t index_of(const plr_problem *q, uint32_t block) {
  uint32_t i = 0;
  while (q->position[i] < block) i++;
  return i;
}

/* Moves one inner cut by one position, where that helps; the devices stay. 0: it never does. */
static int improve_cuts(searcher *t) {
  const plr_problem *q = t->q;
  const double now = worth(t->sum, t->now.stages);
  for (uint32_t c = 1; c < t->now.stages; c++) {
    const uint32_t old = t->now.cut[c], at = index_of(q, old);
    for (int step = -1; step <= 1; step += 2) {
      const uint32_t block = q->position[at + (uint32_t)step];
      if (block <= t->now.cut[c - 1] || block >= t->now.cut[c + 1]) continue;
      t->now.cut[c] = block;
      tabulate(t);
      add_up(t);
      if (worth(t->sum, t->now.stages) > now + fabs(now) * NEAR) return 1;
    }
    t->now.cut[c] = old;
  }
  tabulate(t);
  add_up(t);
  return 0;
}

static void climb(searcher *t) {
  do {
    while (improve_devices(t)) {
    }
  } while (t->q->o.device_count <= 512 && improve_cuts(t));
  consider(t);
}

/* Cuts so that stage i has about share[i] of the work. */
static void cut_by(searcher *t, uint32_t stages, const double *share) {
  const plr_problem *q = t->q;
  const double all = plr__plan_sum(&q->needs, 0, q->needs.blocks).flop;
  double wanted = 0, total = 0;
  uint32_t at = 0;
  for (uint32_t i = 0; i < stages; i++) total += share[i];
  t->now.stages = stages;
  t->now.cut[0] = 0, t->now.cut[stages] = q->needs.blocks;
  for (uint32_t i = 1; i < stages; i++) {
    wanted += share[i - 1] / total * all;
    at++;
    while (at + 1 + (stages - i) < q->positions &&
           fabs(plr__plan_sum(&q->needs, 0, q->position[at + 1]).flop - wanted) <
               fabs(plr__plan_sum(&q->needs, 0, q->position[at]).flop - wanted))
      at++;
    t->now.cut[i] = q->position[at];
  }
}

/* The ablest first; later starts exchange some neighbours at random. */
static void put_in_order(searcher *t, int shuffle) {
  const uint32_t n = t->q->o.device_count;
  memcpy(t->order, t->sorted, n * sizeof *t->order);
  for (uint32_t i = 0; shuffle && i + 1 < n; i++) {
    const uint32_t k = i + random_below(t, PLR_MIN(n - i, 4u)), d = t->order[i];
    t->order[i] = t->order[k], t->order[k] = d;
  }
}

/* Large fleets are so alike everywhere that one start is about as good as another. */
static uint32_t rounds_of(const plr_problem *q) {
  const uint32_t n = q->o.device_count;
  return n <= 64 ? q->o.restarts : PLR_MAX(2u, q->o.restarts * 64 / n);
}

static void start_with(searcher *t, uint32_t stages, uint32_t round) {
  double share[PLR_MAX_BLOCKS];
  put_in_order(t, round > 1);
  /* Equal shares; then shares like the speeds of the ablest devices, in that order and in others. */
  for (uint32_t i = 0; i < stages; i++)
    share[i] =
        round == 0 ? 1 : t->q->o.devices[t->order[round > 1 ? random_below(t, stages) : i]].flops;
  cut_by(t, stages, share);
  tabulate(t);
  deal(t);
  add_up(t);
  climb(t);
}

/* ---- both ---------------------------------------------------------------------------------------- */

static plr_status prepare(searcher *t, const plr_problem *q, plr_placement *best) {
  const size_t n = q->o.device_count, stages = most_stages(q);
  *t = (searcher){.q = q, .best = *best};
  t->can = plr__calloc(q->ctx, n * stages, sizeof *t->can);
  t->round = plr__calloc(q->ctx, stages, sizeof *t->round);
  t->sum = plr__calloc(q->ctx, stages, sizeof *t->sum);
  t->count = plr__calloc(q->ctx, stages, sizeof *t->count);
  t->order = plr__calloc(q->ctx, n, sizeof *t->order);
  t->sorted = plr__calloc(q->ctx, n, sizeof *t->sorted);
  t->now.stage_of = plr__calloc(q->ctx, n, sizeof *t->now.stage_of);
  if (!t->can || !t->round || !t->sum || !t->count || !t->order || !t->sorted || !t->now.stage_of)
    return PLR_ERR_NO_MEMORY;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t k = i;
    for (; k > 0 && q->o.devices[t->sorted[k - 1]].flops < q->o.devices[i].flops; k--)
      t->sorted[k] = t->sorted[k - 1];
    t->sorted[k] = i;
  }
  return PLR_OK;
}

static void release(searcher *t) {
  plr__free(t->q->ctx, t->can);
  plr__free(t->q->ctx, t->round);
  plr__free(t->q->ctx, t->sum);
  plr__free(t->q->ctx, t->count);
  plr__free(t->q->ctx, t->order);
  plr__free(t->q->ctx, t->sorted);
  plr__free(t->q->ctx, t->now.stage_of);
}

plr_status plr__plan_search(const plr_problem *q, uint64_t limit, plr_placement *best,
                            uint32_t *exact) {
  searcher t;
  plr_status st = prepare(&t, q, best);
  *exact = most_stages(q) <= 64 && how_many(q) <= limit;
  for (uint32_t s = q->o.min_stages; st == PLR_OK && s <= most_stages(q); s++) {
    if (*exact) {
      all_cuts(&t, s);
      continue;
    }
    for (uint32_t round = 0; round < rounds_of(q); round++) start_with(&t, s, round);
  }
  *best = t.best;
  release(&t);
  if (st != PLR_OK) return st;
  return t.best_rate > 0 ? PLR_OK : PLR_ERR_NOT_FOUND;
}

double plr__plan_even(const plr_problem *q, plr_placement *p) {
  double best = 0;
  double share[PLR_MAX_BLOCKS];
  searcher t = {.q = q, .now = *p};
  for (uint32_t i = 0; i < PLR_MAX_BLOCKS; i++) share[i] = 1;
  for (uint32_t s = q->o.min_stages; s <= most_stages(q); s++) {
    cut_by(&t, s, share);
    const uint32_t each = q->o.device_count / s;
    if (q->o.max_replicas && each > q->o.max_replicas) continue;
    for (uint32_t d = 0; d < q->o.device_count; d++)
      t.now.stage_of[d] = d / each < s ? d / each : PLR_PLAN_NONE;
    best = PLR_MAX(best, plr__plan_pace(q, &t.now, NULL).rate);
  }
  return best;
}
