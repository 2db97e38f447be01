/* The handle: what is given is checked, the best placement found, and everything about it worked out once. */
#include "model/model.h"
#include "plan/plan_int.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More than these are searched, not looked at one by one: about a tenth of a second. */
#define EXHAUSTIVE_LIMIT 200000u

static const plr_plan_options defaults = {.struct_size = sizeof(plr_plan_options),
                                          .flow = PLR_PLAN_ASYNC,
                                          .min_stages = 1,
                                          .versions = 1,
                                          .min_bits = 2.5,
                                          .max_bits = 8};

void plr_plan_options_init(plr_plan_options *options, uint32_t struct_size) {
  plr_plan_options d = defaults;
  plr__options_init(options, struct_size, &d, sizeof d);
}

/* ---- what is given --------------------------------------------------------------------------------- */

static plr_status bad(plr_error *err, const char *where, const char *why) {
  return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "%s", why);
}

static plr_status check_devices(const plr_plan_options *o, plr_error *err) {
  if (o->device_count == 0 || !o->devices) return bad(err, "options.devices", "there are none");
  if (o->device_count > PLR_PLAN_MAX_DEVICES)
    return plr__fail(err, PLR_ERR_LIMIT, "options.device_count", "%u, at most %u", o->device_count,
                     PLR_PLAN_MAX_DEVICES);
  for (uint32_t i = 0; i < o->device_count; i++) {
    const plr_plan_device *d = &o->devices[i];
    if (!(d->flops > 0 && d->flops <= 1e24) || d->reserved)
      return plr__fail_at(err, PLR_ERR_INVALID_ARGUMENT, "options.devices", i,
                          "device %u: flops must be above 0 and at most 1e24, reserved 0", i);
  }
  return PLR_OK;
}

static plr_status check_paths(const plr_plan_options *o, plr_error *err) {
  if (o->path_count && !o->paths)
    return bad(err, "options.paths", "path_count says there are some");
  for (uint32_t i = 0; i < o->path_count; i++)
    if (o->paths[i].from >= o->device_count || o->paths[i].to >= o->device_count ||
        o->paths[i].from == o->paths[i].to)
      return plr__fail_at(err, PLR_ERR_INVALID_ARGUMENT, "options.paths", i,
                          "path %u: must join two different devices of the %u", i, o->device_count);
  return PLR_OK;
}

static plr_status check(const plr_plan_options *o, plr_error *err) {
  PLR_TRY(check_devices(o, err));
  PLR_TRY(check_paths(o, err));
  if (o->flow > PLR_PLAN_ASYNC)
    return bad(err, "options.flow", "must be PLR_PLAN_SYNC or PLR_PLAN_ASYNC");
  if (o->min_stages == 0 || (o->max_stages && o->max_stages < o->min_stages))
    return bad(err, "options.min_stages", "must be at least 1 and at most max_stages");
  if (o->free_cuts > 1) return bad(err, "options.free_cuts", "must be 0 or 1");
  if (o->versions == 0 || o->versions > 4096)
    return bad(err, "options.versions", "must be 1 to 4096");
  if (o->restarts > 100000) return bad(err, "options.restarts", "must be at most 100000");
  if (!(o->min_bits >= 0.25 && o->min_bits <= o->max_bits && o->max_bits <= 32))
    return bad(err, "options.min_bits",
               "must be at least 0.25 and at most max_bits, which is at most 32");
  return PLR_OK;
}

static plr_status find_positions(plr_problem *q, const plr_model *model) {
  q->position = plr__calloc(q->ctx, q->needs.blocks + 1, sizeof *q->position);
  if (!q->position) return PLR_ERR_NO_MEMORY;
  for (uint32_t b = 0; b <= q->needs.blocks; b++)
    if (q->o.free_cuts || plr_model_can_cut(model, b)) q->position[q->positions++] = b;
  return PLR_OK;
}

static plr_status keep_options(plr_plan *p, const plr_plan_options *o) {
  plr_plan_options *own = &p->problem.o;
  *own = *o;
  if (!own->restarts) own->restarts = 24;
  p->devices = plr__calloc(p->ctx, o->device_count, sizeof *p->devices);
  p->paths = plr__calloc(p->ctx, o->path_count, sizeof *p->paths);
  p->placement.stage_of = plr__calloc(p->ctx, o->device_count, sizeof *p->placement.stage_of);
  if (!p->devices || !p->paths || !p->placement.stage_of) return PLR_ERR_NO_MEMORY;
  memcpy(p->devices, o->devices, o->device_count * sizeof *p->devices);
  if (o->path_count) memcpy(p->paths, o->paths, o->path_count * sizeof *p->paths);
  if (o->path_count) qsort(p->paths, o->path_count, sizeof *p->paths, plr__plan_path_order);
  own->devices = p->devices, own->paths = p->paths;
  return PLR_OK;
}

/* ---- what is found --------------------------------------------------------------------------------- */

/* Bits a value that every sender and receiver of a boundary can afford at the pace of the plan: the time a tensor may
 * take is that of a micro-batch at each replica, shared with what goes the other way. */
static double affordable_bits(const plr_plan *p, uint32_t sender, uint32_t receiver, int forward) {
  const plr_problem *q = &p->problem;
  double bits = q->o.max_bits;
  for (uint32_t d = 0; d < q->o.device_count; d++) {
    const uint32_t s = p->placement.stage_of[d];
    if (s != sender && s != receiver) continue;
    const uint64_t bps = s == sender ? q->o.devices[d].up_bps : q->o.devices[d].down_bps;
    if (!bps) continue;
    /* At an end of the pipeline the other half of the network is idle. */
    const double tensors = s == 0 || s + 1 == p->placement.stages ? 1 : 2;
    const double share = p->info.micro_batches_per_s / p->stage[s].devices;
    const double bytes = (double)bps / 8 / share / tensors - (plr__plan_wire(q, 0, forward));
    bits = PLR_MIN(bits, 8 * bytes / q->needs.wire_values);
  }
  return PLR_MAX(bits, q->o.min_bits);
}

static void describe_stage(plr_plan *p, uint32_t s, const plr_stage_rate *r) {
  const plr_problem *q = &p->problem;
  plr_plan_stage *g = &p->stage[s];
  g->struct_size = sizeof *g;
  g->first_block = p->placement.cut[s], g->end_block = p->placement.cut[s + 1];
  g->devices = r->devices, g->bound = r->bound;
  g->tokens_per_s = r->rate * (double)q->needs.tokens;
  g->busy = p->info.micro_batches_per_s / r->busy_rate;
}

static void describe_memory(plr_plan *p, uint32_t s, const plr_stage_rate *r, double round_trip_s) {
  const plr_problem *q = &p->problem;
  plr_plan_stage *g = &p->stage[s];
  const plr_need need = plr__plan_sum(&q->needs, g->first_block, g->end_block);
  /* As many as are under way between a forward and its backward, and one that is worked on. */
  double wanted = ceil(p->info.micro_batches_per_s / g->devices * round_trip_s) + 1;
  if (q->o.flow == PLR_PLAN_SYNC) wanted = PLR_MIN(p->placement.stages - s, q->needs.micro_batches);
  g->in_flight = (uint32_t)PLR_MIN(wanted, (double)r->slots);
  g->memory =
      need.state + (q->o.versions - 1) * need.weights + need.scratch + g->in_flight * need.slot;
}

static void describe_wire(plr_plan *p, uint32_t s) {
  plr_plan_stage *g = &p->stage[s];
  if (s + 1 < p->placement.stages) {
    g->forward_bits = affordable_bits(p, s, s + 1, 1);
    g->forward_bytes = (uint64_t)plr__plan_wire(&p->problem, g->forward_bits, 0);
  }
  if (s > 0) {
    g->backward_bits = affordable_bits(p, s, s - 1, 0);
    g->backward_bytes = (uint64_t)plr__plan_wire(&p->problem, g->backward_bits, 0);
  }
}

static plr_status describe(plr_plan *p) {
  const plr_problem *q = &p->problem;
  const uint32_t stages = p->placement.stages;
  plr_stage_rate *r = plr__calloc(p->ctx, stages, sizeof *r);
  p->stage = plr__calloc(p->ctx, stages, sizeof *p->stage);
  if (!r || !p->stage) {
    plr__free(p->ctx, r);
    return PLR_ERR_NO_MEMORY;
  }
  const plr_pace pace = plr__plan_pace(q, &p->placement, r);
  const double tokens = (double)q->needs.tokens;
  p->info.stages = stages, p->info.slowest = pace.slowest, p->info.bound = r[pace.slowest].bound;
  p->info.micro_batches_per_s = pace.rate, p->info.tokens_per_s = pace.rate * tokens;
  p->info.latency_s = pace.latency_s;
  for (uint32_t s = 0; s < stages; s++)
    p->info.devices += r[s].devices, describe_stage(p, s, &r[s]);
  double round_trip_s = 0;
  for (uint32_t s = stages; s-- > 0;) {
    if (s + 1 < stages) round_trip_s += 2 * (r[s].delay_s + r[s + 1].delay_s);
    describe_memory(p, s, &r[s], round_trip_s);
    describe_wire(p, s);
    round_trip_s += r[s].devices / r[s].busy_rate;
  }
  plr__free(p->ctx, r);
  return PLR_OK;
}

static plr_status even_split(plr_plan *p) {
  plr_placement even = {0};
  even.stage_of = plr__calloc(p->ctx, p->problem.o.device_count, sizeof *even.stage_of);
  if (!even.stage_of) return PLR_ERR_NO_MEMORY;
  p->info.even_tokens_per_s = plr__plan_even(&p->problem, &even) * (double)p->problem.needs.tokens;
  plr__free(p->ctx, even.stage_of);
  return PLR_OK;
}

static plr_status make(plr_plan *p, const plr_model *model, const plr_plan_options *o,
                       plr_error *err) {
  PLR_TRY(check(o, err));
  PLR_TRY(plr__plan_needs(p->ctx, model, &p->problem.needs, err));
  p->problem.ctx = p->ctx;
  plr_status st = keep_options(p, o);
  if (st == PLR_OK) st = find_positions(&p->problem, model);
  if (st == PLR_OK && (o->min_stages > p->problem.positions - 1 || o->min_stages > o->device_count))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "options.min_stages",
                     "%u stages wanted; there are %u pieces and %u devices", o->min_stages,
                     p->problem.positions - 1, o->device_count);
  if (st == PLR_OK)
    st = plr__plan_search(&p->problem, EXHAUSTIVE_LIMIT, &p->placement, &p->info.exact);
  if (st == PLR_ERR_NOT_FOUND) return plr__plan_refuse(&p->problem, err);
  if (st == PLR_OK) st = even_split(p);
  if (st == PLR_OK) st = describe(p);
  if (st == PLR_OK) st = plr__plan_explain(p);
  return st == PLR_OK ? st : plr__no_memory(err, "plan");
}

plr_status plr_plan_create(plr_context *ctx, const plr_model *model,
                           const plr_plan_options *options, plr_plan **out, plr_error *err) {
  plr_plan_options o = defaults;
  if (!out) return bad(err, "out", "NULL");
  *out = NULL;
  if (!ctx || !model || !options)
    return bad(err, !ctx ? "ctx" : !model ? "model" : "options", "NULL");
  PLR_TRY(plr__options_read(&o, sizeof o, options, "options", err));
  plr_plan *p = plr__calloc(ctx, 1, sizeof *p);
  if (!p) return plr__no_memory(err, "plan");
  p->ctx = plr__context_ref(ctx);
  plr__buffer_init(&p->text, ctx);
  plr__buffer_init(&p->json, ctx);
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = make(p, model, &o, err);
  plr__fpenv_leave(saved);
  if (st == PLR_OK)
    *out = p;
  else
    plr_plan_destroy(p);
  return st;
}

void plr_plan_destroy(plr_plan *p) {
  if (!p) return;
  plr_context *ctx = p->ctx;
  plr__buffer_release(&p->text);
  plr__buffer_release(&p->json);
  plr__free(ctx, p->problem.needs.block);
  plr__free(ctx, p->problem.position);
  plr__free(ctx, p->devices);
  plr__free(ctx, p->paths);
  plr__free(ctx, p->placement.stage_of);
  plr__free(ctx, p->stage);
  plr__free(ctx, p);
  plr__context_unref(ctx);
}

/* ---- questions ------------------------------------------------------------------------------------- */

plr_status plr_plan_get_info(const plr_plan *p, plr_plan_info *info) {
  if (!p || !info) return PLR_ERR_INVALID_ARGUMENT;
  return plr__record_write(info, &p->info, sizeof p->info, sizeof p->info);
}

plr_status plr_plan_get_stage(const plr_plan *p, uint32_t index, plr_plan_stage *stage) {
  if (!p || !stage || index >= p->info.stages) return PLR_ERR_INVALID_ARGUMENT;
  return plr__record_write(stage, &p->stage[index], sizeof *stage, sizeof *stage);
}

uint32_t plr_plan_stage_device(const plr_plan *p, uint32_t stage, uint32_t i) {
  for (uint32_t d = 0; p && d < p->problem.o.device_count; d++)
    if (p->placement.stage_of[d] == stage && i-- == 0) return d;
  return PLR_PLAN_NONE;
}

uint32_t plr_plan_device_stage(const plr_plan *p, uint32_t device) {
  return p && device < p->problem.o.device_count ? p->placement.stage_of[device] : PLR_PLAN_NONE;
}

const char *plr_plan_text(const plr_plan *p) {
  return p ? (const char *)p->text.data : "";
}

const char *plr_plan_json(const plr_plan *p) {
  return p ? (const char *)p->json.data : "";
}
