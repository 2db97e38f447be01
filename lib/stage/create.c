/* Options, memory, attachment and the calls of the loop. */
#include "stage_int.h"

#include "model/model.h"
#include "shard/shard.h"

#include <string.h>

static const char where[] = "stage options";

static plr_stage_options defaults(void) {
  plr_stage_options o;
  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.count = 1;
  o.forward_codec.dtype = o.backward_codec.dtype = PLR_DTYPE_F32; /* raw */
  return o;
}

void plr_stage_options_init(plr_stage_options *options, uint32_t struct_size) {
  plr_stage_options o = defaults();
  plr__options_init(options, struct_size, &o, sizeof o);
}

uint32_t plr__pipeline_depth(const plr_stage *s) {
  return PLR_MIN(s->count + 1, s->info.micro_batches);
}

/* ---- checks ----------------------------------------------------------------------------------- */

static plr_status check_common(const plr_stage_options *o, plr_error *err) {
  if (!o->model || !o->identity || !o->origin || !o->origin[0])
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "model, identity and origin are required");
  if (o->role > PLR_STAGE_FEEDER)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "unknown role %u", (unsigned)o->role);
  if (o->auto_budget > 1)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "auto_budget is %u, not 0 or 1",
                     (unsigned)o->auto_budget);
  if (o->schedule > PLR_PIPELINE_ASYNC)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "schedule is %u, none of PLR_PIPELINE_*",
                     (unsigned)o->schedule);
  if (o->window > PLR__MAX_UNDER_WAY || o->max_in_flight > PLR__MAX_WINDOW)
    return plr__fail(err, PLR_ERR_LIMIT, where, "window is %u, max_in_flight %u: at most %u",
                     (unsigned)o->window, (unsigned)o->max_in_flight, PLR__MAX_UNDER_WAY);
  if (o->count == 0 || o->count > PLR_MAX_BLOCKS)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "a pipeline of %u stages",
                     (unsigned)o->count);
  return PLR_OK;
}

static plr_status check_feeder(const plr_stage_options *o, plr_error *err) {
  if (!o->corpus || o->shard)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "a feeder has a corpus and no shard");
  return PLR_OK;
}

/* Weights of a step that a micro-batch in flight was begun with: one version for each step that may come between. */
static uint32_t versions_needed(const plr_stage *s) {
  uint32_t ahead = s->in_flight - 1,
           steps = (ahead + s->info.micro_batches - 1) / s->info.micro_batches;
  return ahead == 0 ? 1 : PLR_MIN(ahead, steps + 1) + 1;
}

static plr_status check_versions(const plr_stage *s, const plr_stage_options *o, plr_error *err) {
  uint32_t versions, delayed = plr__shard_delayed(o->shard, &versions);
  if (delayed == PLR_DELAYED_NEWEST || s->in_flight == 1) return PLR_OK;
  if (delayed == PLR_DELAYED_STASH && versions >= versions_needed(s)) return PLR_OK;
  return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                   "an asynchronous stage with %u micro-batches in flight needs a shard with %u "
                   "versions (PLR_DELAYED_STASH) or with PLR_DELAYED_NEWEST",
                   (unsigned)s->in_flight, (unsigned)versions_needed(s));
}

static plr_status check_worker(const plr_stage *s, const plr_stage_options *o, plr_error *err) {
  if (!o->shard || o->index >= o->count)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "a worker has a shard and a number below %u", (unsigned)o->count);
  plr_hash stage_model, shard_model; /* buffers are sized by the one and filled by the other */
  plr_model_hash(o->model, &stage_model);
  plr_model_hash(plr__shard_model(o->shard), &shard_model);
  if (!plr__hash_equal(&stage_model, &shard_model))
    return plr__fail(err, PLR_ERR_MISMATCH, where, "the shard is one of another model");
  if ((s->first_block == 0) != (o->index == 0) || (s->end_block == s->info.blocks) != s->tail)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "blocks [%u, %u) of %u cannot be stage %u of %u", (unsigned)s->first_block,
                     (unsigned)s->end_block, (unsigned)s->info.blocks, (unsigned)o->index,
                     (unsigned)o->count);
  if (s->info.clip_scope == PLR_CLIP_GLOBAL && o->count > 1)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, where,
                     "the model limits the norm of its whole gradient (clip_scope); stages do not "
                     "exchange norms: one stage, or a clip for each block");
  if (plr__shard_slots(o->shard) < s->in_flight)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "the shard has %u slots, stage %u of %u needs %u", plr__shard_slots(o->shard),
                     (unsigned)o->index, (unsigned)o->count, (unsigned)s->in_flight);
  return s->async ? check_versions(s, o, err) : PLR_OK;
}

/* A text too short for the model is found here, not at the first batch. */
static plr_status check_text(const plr_stage *s, const plr_stage_options *o, plr_error *err) {
  int32_t *tokens = plr__calloc(s->ctx, (size_t)s->info.seq_len + 1, sizeof *tokens);
  if (!tokens) return plr__no_memory(err, where);
  plr_status st = PLR_OK;
  for (uint32_t split = PLR_SPLIT_TRAIN; st == PLR_OK && split <= PLR_SPLIT_VALIDATION; split++)
    st = plr_corpus_batch(o->corpus, split, s->info.data_seed, 0, 1, s->info.seq_len, tokens, err);
  plr__free(s->ctx, tokens);
  return st;
}

static plr_status check_limits(const plr_stage *s, plr_error *err) {
  size_t frame = plr__frame_bound(s->rows, s->info.boundary_width);
  if (frame > plr__max_frame(s->ctx))
    return plr__fail(err, PLR_ERR_LIMIT, where,
                     "a frame may take %zu bytes, the context allows %llu", frame,
                     (unsigned long long)plr__max_frame(s->ctx));
  return PLR_OK;
}

/* ---- memory ----------------------------------------------------------------------------------- */

/* In an asynchronous pipeline, which may have many frames under way, they take the memory that they need, when they
 * come. */
static plr_status frame_alloc(plr_stage *s, plr__frame *f, size_t cap) {
  if (s->async) return PLR_OK;
  f->data = plr__alloc(s->ctx, cap);
  f->cap = cap;
  return f->data ? PLR_OK : PLR_ERR_NO_MEMORY;
}

static plr_status alloc_rings(plr_stage *s) {
  uint32_t depth = plr__pipeline_depth(s);
  s->arrival_cap = s->index == 0 ? PLR_MAX(2 * s->info.micro_batches, depth) : depth;
  if (s->async) s->arrival_cap = PLR_MAX(s->window, depth);
  s->slot_used = plr__calloc(s->ctx, s->in_flight, 1);
  s->leaves_passed = plr__calloc(s->ctx, s->info.blocks, sizeof *s->leaves_passed);
  if (!s->slot_used || !s->leaves_passed) return PLR_ERR_NO_MEMORY;
  s->arrivals = plr__calloc(s->ctx, s->arrival_cap, sizeof *s->arrivals);
  s->queue = plr__calloc(s->ctx, s->arrival_cap, sizeof(plr__arrival *));
  s->gradient_cap = s->in_flight;
  s->gradients = plr__calloc(s->ctx, s->gradient_cap, sizeof *s->gradients);
  if (!s->arrivals || !s->queue || !s->gradients) return PLR_ERR_NO_MEMORY;
  for (uint32_t i = 0; i < s->arrival_cap; i++) {
    s->queue[i] = &s->arrivals[i];
    PLR_TRY(frame_alloc(s, &s->arrivals[i].tokens, s->tokens_cap));
    if (s->index > 0) PLR_TRY(frame_alloc(s, &s->arrivals[i].activation, s->frame_cap));
  }
  for (uint32_t i = 0; i < s->gradient_cap; i++)
    if (!s->tail) PLR_TRY(frame_alloc(s, &s->gradients[i], s->frame_cap));
  return PLR_OK;
}

/* The events hold what the schedule can put into them, as an outbox does (peer.c). */
static plr_status alloc_queues(plr_stage *s) {
  size_t receipts = (size_t)s->record_count * (s->count + 2u) * 1024u;
  size_t feed = s->role == PLR_STAGE_FEEDER ? s->info.micro_batches * (s->tokens_cap + 64) : 0;
  s->job_room = s->tokens_cap + s->job_out_cap + feed + PLR__ROOM;
  PLR_TRY(plr__fifo_init(&s->events, s->ctx, 4096, receipts + 2 * s->job_room));
  PLR_TRY(plr__fifo_init(&s->held, s->ctx, 4096, receipts + 2 * s->job_room));
  s->journal_cap = PLR_MAX(1024u, 16 * s->record_count);
  s->journal = plr__calloc(s->ctx, s->journal_cap, PLR__JOURNAL_RECORD);
  return s->journal ? PLR_OK : PLR_ERR_NO_MEMORY;
}

static plr_status alloc_common(plr_stage *s, const plr_stage_options *o) {
  s->origin = plr__strdup(s->ctx, o->origin);
  s->tokens_cap = plr__frame_bound(s->info.micro_batch, s->info.seq_len + 1u);
  s->scratch_cap = PLR_MAX(s->tokens_cap, PLR__CONTROL_MAX + 256u);
  s->frame = plr__alloc(s->ctx, s->scratch_cap);
  s->record_count = s->steps_kept * s->info.micro_batches;
  s->opens = plr__calloc(s->ctx, s->steps_kept, sizeof *s->opens);
  s->records = plr__calloc(s->ctx, s->record_count, sizeof *s->records);
  plr__buffer_init(&s->payload, s->ctx);
  plr__buffer_init(&s->entry, s->ctx);
  PLR_TRY(plr__buffer_reserve(&s->payload, PLR__CONTROL_MAX));
  PLR_TRY(plr__buffer_reserve(&s->entry, 4096));
  return s->origin && s->frame && s->records && s->opens ? PLR_OK : PLR_ERR_NO_MEMORY;
}

static void describe(plr_stage *s, const plr_stage_options *o) {
  uint8_t key[32];
  s->role = o->role;
  s->index = o->role == PLR_STAGE_FEEDER ? o->count : o->index;
  s->count = o->count, s->lane = o->lane, s->snapshot_every = o->snapshot_every;
  s->auto_budget = o->auto_budget;
  s->async = o->schedule == PLR_PIPELINE_ASYNC;
  s->patience_ns = o->patience_ns, s->reply_timeout_ns = o->reply_timeout_ns;
  s->alone_ns[PLR__UP] = s->alone_ns[PLR__DOWN] = PLR_NEVER;
  s->window = o->window ? o->window : 2 * o->count;
  s->identity = o->identity;
  plr_identity_public_key(o->identity, key);
  plr_account_id(key, &s->account);
  s->info = *plr__model_info(o->model);
  plr_model_hash(o->model, &s->model_hash);
  plr_profile_hash(&s->profile);
  s->rows = s->info.micro_batch * s->info.seq_len;
  s->last_snapshot = PLR_NEVER;
  /* Receipts come in one round of the ring after the last of what is under way. */
  s->steps_kept = PLR__STEPS_KEPT;
  if (s->async) s->steps_kept += 2 * ((s->window - 1) / s->info.micro_batches + 1);
}

static void describe_worker(plr_stage *s, const plr_stage_options *o) {
  s->shard = o->shard;
  s->tail = o->index + 1 == o->count;
  plr__shard_blocks(o->shard, &s->first_block, &s->end_block);
  s->in_flight = s->count - PLR_MIN(s->index, s->count - 1);
  if (o->max_in_flight) s->in_flight = o->max_in_flight;
  if (s->tail) s->in_flight = 1;
  s->in_flight = PLR_MIN(s->in_flight, s->async ? s->window : s->info.micro_batches);
  uint32_t versions, newest = plr__shard_delayed(o->shard, &versions) == PLR_DELAYED_NEWEST;
  if (s->async) plr__shard_correct_delays(o->shard, newest ? s->count : 0, o->delay_horizon);
  s->step = s->arrive_step = s->open_next = plr_shard_steps(o->shard);
  for (uint32_t b = s->first_block; b < s->end_block; b++)
    s->units += plr_model_block_cost(o->model, b);
  s->units *= s->rows;
}

static plr_status build(plr_stage *s, const plr_stage_options *o, plr_error *err) {
  describe(s, o);
  PLR_TRY(check_limits(s, err));
  if (o->role == PLR_STAGE_FEEDER) {
    PLR_TRY(check_feeder(o, err));
  } else if (o->shard) {
    describe_worker(s, o);
  }
  if (o->role == PLR_STAGE_WORKER) PLR_TRY(check_worker(s, o, err));
  if (o->role == PLR_STAGE_FEEDER) PLR_TRY(check_text(s, o, err));
  plr_status st = alloc_common(s, o);
  if (st == PLR_OK && o->role == PLR_STAGE_WORKER) {
    PLR_TRY(plr__compute_init(s, o, err));
    PLR_TRY(plr__average_init(s, o, err));
    st = alloc_rings(s);
  } else if (st == PLR_OK) {
    st = plr__feeder_init(s, o);
  }
  if (st == PLR_OK) st = alloc_queues(s);
  return st == PLR_ERR_NO_MEMORY ? plr__no_memory(err, "stage") : st;
}

plr_status plr_stage_create(plr_context *ctx, const plr_stage_options *options, plr_stage **out,
                            plr_error *err) {
  plr_stage_options o = defaults();
  if (!out) return PLR_ERR_INVALID_ARGUMENT;
  *out = NULL;
  if (!ctx || !options)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "no context or options");
  PLR_TRY(plr__options_read(&o, sizeof o, options, where, err));
  PLR_TRY(check_common(&o, err));
  plr_stage *s = plr__calloc(ctx, 1, sizeof *s);
  if (!s) return plr__no_memory(err, "stage");
  s->ctx = plr__context_ref(ctx);
  s->model = plr__model_ref(o.model);
  plr_status st = build(s, &o, err);
  if (st != PLR_OK) {
    plr_stage_destroy(s);
    return st;
  }
  *out = s;
  return PLR_OK;
}

void plr_stage_destroy(plr_stage *s) {
  if (!s) return;
  PLR_GUARD_END(s);
  plr_context *ctx = s->ctx;
  for (uint32_t i = 0; s->arrivals && i < s->arrival_cap; i++) {
    plr__free(ctx, s->arrivals[i].tokens.data);
    plr__free(ctx, s->arrivals[i].activation.data);
  }
  for (uint32_t i = 0; s->gradients && i < s->gradient_cap; i++)
    plr__free(ctx, s->gradients[i].data);
  plr__free(ctx, s->slot_used);
  plr__free(ctx, s->leaves_passed);
  plr__free(ctx, s->opens);
  plr__free(ctx, s->arrivals);
  plr__free(ctx, s->queue);
  plr__free(ctx, s->gradients);
  plr__compute_release(s);
  plr__average_release(s);
  plr__feeder_release(s);
  plr__peers_release(s);
  for (uint32_t i = 0; s->records && i < s->record_count; i++) {
    plr__free(ctx, s->records[i].tokens.data);
    plr__free(ctx, s->records[i].out.data);
  }
  plr__fifo_release(&s->events);
  plr__fifo_release(&s->held);
  if (s->payload.ctx) plr__buffer_release(&s->payload);
  if (s->entry.ctx) plr__buffer_release(&s->entry);
  plr__free(ctx, s->journal);
  plr__free(ctx, s->records);
  plr__free(ctx, s->frame);
  plr__free(ctx, s->origin);
  plr__model_unref(s->model);
  plr__free(ctx, s);
  plr__context_unref(ctx);
}

/* ---- the loop --------------------------------------------------------------------------------- */

plr_status plr_stage_advance(plr_stage *s, uint64_t now_ns) {
  PLR_GUARD(s, NULL);
  if (!s) return PLR_ERR_INVALID_ARGUMENT;
  s->now = now_ns;
  if (s->failed != PLR_OK) return s->failed;
  if (!s->async && s->peer_count < PLR__SIDES) return PLR_OK;
  plr__stage_flush(s);
  plr__stage_poll(s);
  if (s->failed == PLR_OK && !s->stopped) plr__peers_advance(s);
  plr__feeder_pump(s);
  plr__stage_flush(s);
  return s->failed;
}

uint64_t plr_stage_next_deadline_ns(const plr_stage *s) {
  return s ? PLR_MIN(plr__peers_deadline(s), plr__feeder_deadline(s)) : PLR_NEVER;
}

plr_status plr_stage_submit(plr_stage *s, const void *entry, size_t len) {
  PLR_GUARD(s, NULL);
  if (!s || !entry || len == 0 || len > PLR__CONTROL_MAX_ENTRY) return PLR_ERR_INVALID_ARGUMENT;
  if (s->failed != PLR_OK) return s->failed;
  if (s->role != PLR_STAGE_WORKER || s->stopped || !s->peer_count) return PLR_ERR_INVALID_STATE;
  if (!plr__stage_has_room(s)) return PLR_ERR_AGAIN;
  plr__control c = {.type = PLR__CONTROL_ENTRY, .data = entry, .data_len = (uint32_t)len};
  plr__stage_relay(s, &c, PLR__PRIORITY_CONTROL);
  return s->failed;
}

plr_status plr_stage_get_stats(const plr_stage *s, plr_stage_stats *stats) {
  PLR_GUARD_CONST(s);
  if (!s || !stats) return PLR_ERR_INVALID_ARGUMENT;
  return plr__record_write(stats, &s->stats, sizeof s->stats, 80);
}
