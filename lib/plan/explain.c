/* A plan in words: for people, and for programs as JSON. */
#include "plan/plan_int.h"

#include <inttypes.h>
#include <string.h>

static const char *bound_name(uint32_t bound) {
  switch (bound) {
  case PLR_PLAN_BOUND_COMPUTE:
    return "compute";
  case PLR_PLAN_BOUND_UP:
    return "sending";
  case PLR_PLAN_BOUND_DOWN:
    return "receiving";
  default:
    return "memory";
  }
}

static const char *bound_reason(uint32_t bound) {
  switch (bound) {
  case PLR_PLAN_BOUND_COMPUTE:
    return "its devices compute all the time";
  case PLR_PLAN_BOUND_UP:
    return "its devices cannot send more, at the fewest bits allowed";
  case PLR_PLAN_BOUND_DOWN:
    return "its devices cannot receive more, at the fewest bits allowed";
  default:
    return "no more micro-batches fit its memory while they are on their way to the loss and back";
  }
}

/* ---- text ------------------------------------------------------------------------------------------ */

static void put_devices(const plr_plan *p, uint32_t s, plr_buffer *out) {
  uint32_t shown = 0, total = p->stage[s].devices;
  for (uint32_t i = 0; i < total && shown < 12; i++, shown++)
    plr__buffer_printf(out, "%s%u", i ? ", " : "", plr_plan_stage_device(p, s, i));
  if (shown < total) plr__buffer_printf(out, " and %u more", total - shown);
}

static void put_unused(const plr_plan *p, plr_buffer *out) {
  uint32_t no_room = 0, no_need = 0;
  for (uint32_t d = 0; d < p->problem.o.device_count; d++) {
    if (p->placement.stage_of[d] != PLR_PLAN_NONE) continue;
    int fits = 0;
    for (uint32_t s = 0; s < p->info.stages && !fits; s++)
      fits = plr__plan_ability(&p->problem, d, p->stage[s].first_block, p->stage[s].end_block, 0)
                 .rate > 0;
    if (fits)
      no_need++;
    else
      no_room++;
  }
  if (no_room)
    plr__buffer_printf(out, "%u device%s left out: no stage fits their memory.\n", no_room,
                       no_room == 1 ? "" : "s");
  if (no_need)
    plr__buffer_printf(out, "%u device%s left out: the slowest stage gains nothing by them.\n",
                       no_need, no_need == 1 ? "" : "s");
}

static void put_text(const plr_plan *p, plr_buffer *out) {
  const plr_plan_info *info = &p->info;
  plr__buffer_printf(out, "%u stages on %u of %u devices: %.0f tokens/s predicted", info->stages,
                     info->devices, p->problem.o.device_count, info->tokens_per_s);
  if (info->even_tokens_per_s > 0)
    plr__buffer_printf(out, ", %.2f times the best even split",
                       info->tokens_per_s / info->even_tokens_per_s);
  plr__buffer_printf(out, ".\n%s\n",
                     info->exact ? "Every placement was looked at: none is faster."
                                 : "Found by local search; a faster one may exist.");
  plr__buffer_printf(out, "Stage %u sets the pace (%s): %s.\n", info->slowest,
                     bound_name(info->bound), bound_reason(info->bound));
  put_unused(p, out);
  plr__buffer_printf(
      out, "\nstage  blocks     replicas  tokens/s  bound      busy  memory MiB  in flight  "
           "bits forward, back  devices\n");
  for (uint32_t s = 0; s < info->stages; s++) {
    const plr_plan_stage *g = &p->stage[s];
    plr__buffer_printf(out, "%5u  %4u..%-4u %9u %9.0f  %-9s %4.0f%% %11.1f %10u  ", s,
                       g->first_block, g->end_block - 1, g->devices, g->tokens_per_s,
                       bound_name(g->bound), 100 * g->busy, (double)g->memory / 1048576,
                       g->in_flight);
    if (s + 1 < info->stages)
      plr__buffer_printf(out, "%6.2f", g->forward_bits);
    else
      plr__buffer_printf(out, "%6s", "-");
    if (s > 0)
      plr__buffer_printf(out, ", %-10.2f  ", g->backward_bits);
    else
      plr__buffer_printf(out, ", %-10s  ", "-");
    put_devices(p, s, out);
    plr__buffer_printf(out, "\n");
  }
}

/* ---- JSON ------------------------------------------------------------------------------------------ */

static void put_json(const plr_plan *p, plr_buffer *out) {
  const plr_plan_info *info = &p->info;
  plr__buffer_printf(
      out,
      "{\"tokens_per_s\": %.6g, \"micro_batches_per_s\": %.6g, \"even_tokens_per_s\": %.6g, "
      "\"latency_s\": %.6g, \"exact\": %s, \"slowest\": %u, \"bound\": \"%s\", \"stages\": [",
      info->tokens_per_s, info->micro_batches_per_s, info->even_tokens_per_s, info->latency_s,
      info->exact ? "true" : "false", info->slowest, bound_name(info->bound));
  for (uint32_t s = 0; s < info->stages; s++) {
    const plr_plan_stage *g = &p->stage[s];
    plr__buffer_printf(
        out,
        "%s{\"first_block\": %u, \"end_block\": %u, \"tokens_per_s\": %.6g, \"bound\": \"%s\", "
        "\"busy\": %.4f, \"memory\": %" PRIu64 ", \"in_flight\": %u, \"forward_bytes\": %" PRIu64
        ", \"backward_bytes\": %" PRIu64 ", \"forward_bits\": %.4g, \"backward_bits\": %.4g, "
        "\"devices\": [",
        s ? ", " : "", g->first_block, g->end_block, g->tokens_per_s, bound_name(g->bound), g->busy,
        g->memory, g->in_flight, g->forward_bytes, g->backward_bytes, g->forward_bits,
        g->backward_bits);
    for (uint32_t i = 0; i < g->devices; i++)
      plr__buffer_printf(out, "%s%u", i ? ", " : "", plr_plan_stage_device(p, s, i));
    plr__buffer_printf(out, "]}");
  }
  plr__buffer_printf(out, "]}");
}

plr_status plr__plan_explain(plr_plan *p) {
  put_text(p, &p->text);
  put_json(p, &p->json);
  plr__buffer_u8(&p->text, 0);
  plr__buffer_u8(&p->json, 0);
  return p->text.failed || p->json.failed ? PLR_ERR_NO_MEMORY : PLR_OK;
}

/* ---- why not --------------------------------------------------------------------------------------- */

plr_status plr__plan_refuse(const plr_problem *q, plr_error *err) {
  uint64_t largest = 0, smallest = UINT64_MAX;
  uint32_t least_block = 0;
  for (uint32_t d = 0; d < q->o.device_count; d++)
    largest = PLR_MAX(largest, q->o.devices[d].memory);
  /* The finest cut there may be: a piece that fits nobody is named. */
  for (uint32_t i = 0; i + 1 < q->positions; i++) {
    const plr_need n = plr__plan_sum(&q->needs, q->position[i], q->position[i + 1]);
    const uint64_t bytes = n.state + (q->o.versions - 1) * n.weights + n.scratch + n.slot;
    if (bytes > largest)
      return plr__fail(err, PLR_ERR_NOT_FOUND, "options.devices",
                       "blocks %u to %u need %" PRIu64
                       " bytes on one device, the largest gives %" PRIu64,
                       q->position[i], q->position[i + 1] - 1, bytes, largest);
    if (bytes < smallest) smallest = bytes, least_block = q->position[i];
  }
  return plr__fail(err, PLR_ERR_NOT_FOUND, "options.devices",
                   "no %u to %u stages of the model fit the memory of these %u devices (the "
                   "smallest piece, at block "
                   "%u, needs %" PRIu64 " bytes)",
                   q->o.min_stages, q->o.max_stages ? q->o.max_stages : q->positions - 1,
                   q->o.device_count, least_block, smallest);
}
