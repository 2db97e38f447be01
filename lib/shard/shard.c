/* Creating and destroying a shard: graph, plan, memory, constants, initial weights. */
#include "shard/shard_int.h"

#include "kernels/kernels.h"

#include <string.h>

void plr_shard_options_init(plr_shard_options *options, uint32_t struct_size) {
  plr_shard_options d = {
      .slots = 1, .device = "cpu", .weight_format = PLR_WEIGHTS_F32, .versions = 1};
  plr__options_init(options, struct_size, &d, (uint32_t)sizeof d);
}

/* ---- memory ----------------------------------------------------------------------------------- */

static void *device_alloc(plr_shard *s, size_t size) {
  return s->device->vt->alloc(s->device, size);
}

static void device_free(plr_shard *s, void *ptr) {
  if (ptr) s->device->vt->free(s->device, ptr);
}

static float *device_floats(plr_shard *s, int64_t n) {
  if ((uint64_t)n > SIZE_MAX / sizeof(float)) return NULL;
  return device_alloc(s, (size_t)n * sizeof(float));
}

plr_status plr__state_alloc(plr_shard *s, plr_state *out) {
  memset(out, 0, sizeof *out);
  out->power1 = out->power2 = 1.0;
  out->w = device_floats(s, s->param_elements);
  if (!s->inference_only) {
    out->m = device_floats(s, s->param_elements);
    out->v = device_floats(s, s->second_elements);
  }
  if (s->packed_bytes > 0) out->packed = device_alloc(s, (size_t)s->packed_bytes);
  if (out->w && (out->packed || s->packed_bytes == 0) && (s->inference_only || (out->m && out->v)))
    return PLR_OK;
  plr__state_free(s, out);
  return PLR_ERR_NO_MEMORY;
}

void plr__state_free(plr_shard *s, plr_state *state) {
  device_free(s, state->w);
  device_free(s, state->m);
  device_free(s, state->v);
  device_free(s, state->packed);
  state->w = state->m = state->v = NULL;
  state->packed = NULL;
}

void plr__shard_reset(plr_shard *s) {
  for (uint32_t i = 0; i < s->slot_count; i++)
    if (s->slots[i].busy) plr__stash_done(s, &s->slots[i]);
  s->pending = s->poisoned = s->measured = 0;
  s->delays.last = s->delays.sum = 0;
}

/* Parameters start on 64-byte boundaries of their arena. */
static plr_status alloc_params(plr_shard *s) {
  uint32_t count = s->graph.param_count;
  s->param_offset = plr__calloc(s->ctx, count, sizeof *s->param_offset);
  s->second_offset = plr__calloc(s->ctx, count, sizeof *s->second_offset);
  s->host_sums = plr__calloc(s->ctx, 2 * (size_t)count, sizeof *s->host_sums);
  s->sums = device_alloc(s, 2 * (size_t)count * sizeof *s->sums);
  s->block_sums = plr__calloc(s->ctx, s->end_block - s->first_block, sizeof *s->block_sums);
  if (!s->param_offset || !s->second_offset || !s->host_sums || !s->sums || !s->block_sums)
    return PLR_ERR_NO_MEMORY;
  PLR_TRY(plr__pack_plan(s));
  for (uint32_t i = 0; i < count; i++) {
    const plr_param *p = &s->graph.params[i];
    s->param_offset[i] = s->param_elements;
    if (s->packs[i].packed) continue;
    s->param_elements += (p->rows * p->cols + 15) / 16 * 16;
    s->second_offset[i] = s->second_elements;
    s->second_elements += (plr__optimizer_seconds(s->info, p) + 15) / 16 * 16;
  }
  PLR_TRY(plr__state_alloc(s, &s->state));
  if (s->inference_only) return PLR_OK;
  s->grads = device_floats(s, s->param_elements);
  return s->grads ? plr__stash_alloc(s) : PLR_ERR_NO_MEMORY;
}

static plr_status alloc_activations(plr_shard *s) {
  size_t staged = PLR_MAX((size_t)s->rows * sizeof(float), (size_t)PLR_STAGE_BYTES);
  s->host_bytes = plr__alloc(s->ctx, staged);
  s->scratch = device_floats(s, s->scratch_size);
  if (!s->host_bytes || !s->scratch) return PLR_ERR_NO_MEMORY;
  s->slots = plr__calloc(s->ctx, s->slot_count, sizeof *s->slots);
  if (!s->slots) return PLR_ERR_NO_MEMORY;
  for (uint32_t i = 0; i < s->slot_count && !s->inference_only; i++) {
    s->slots[i].memory = device_floats(s, s->slot_size);
    if (!s->slots[i].memory) return PLR_ERR_NO_MEMORY;
  }
  /* Fewer rows may be cut in another way and need somewhat more; should a quarter not do, the executor grows it. */
  size_t one = plr__shard_work_size(s, 1, s->info->seq_len);
  size_t all = plr__shard_work_size(s, s->info->micro_batch, s->info->seq_len);
  s->work_size = PLR_MAX(PLR_MAX(one, all) / 4 * 5, plr__optimizer_work_size(s));
  s->work = device_alloc(s, s->work_size);
  return s->work ? PLR_OK : PLR_ERR_NO_MEMORY;
}

/* ---- contents --------------------------------------------------------------------------------- */

static plr_status make_rope(plr_shard *s, uint32_t table, float *cosine, float *sine,
                            int64_t positions) {
  const plr_rope_spec *r = &s->graph.ropes[table];
  plr_rope_table_args a = {.cos = cosine,
                           .sin = sine,
                           .positions = positions,
                           .head_dim = r->head_dim,
                           .theta = r->theta,
                           .factor = r->factor,
                           .low_freq = r->low_freq,
                           .high_freq = r->high_freq,
                           .beta_fast = r->beta_fast,
                           .beta_slow = r->beta_slow,
                           .attention_factor = r->attention_factor,
                           .original = r->original,
                           .scaling = r->scaling};
  return s->device->vt->run(s->device, PLR_OP_ROPE_TABLE, &a);
}

/* One table made longer; the old one stays when that fails. */
static plr_status lengthen_rope(plr_shard *s, uint32_t table, int64_t positions) {
  float **at = &s->constants[PLR_CONST_ROPE + 2 * table], *longer[2];
  plr_status st = PLR_OK;
  for (int i = 0; i < 2; i++)
    longer[i] = device_floats(s, positions * (s->graph.ropes[table].head_dim / 2));
  if (!longer[0] || !longer[1]) st = PLR_ERR_NO_MEMORY;
  if (st == PLR_OK) st = make_rope(s, table, longer[0], longer[1], positions);
  for (int i = 0; i < 2; i++) {
    device_free(s, st == PLR_OK ? at[i] : longer[i]);
    if (st == PLR_OK) at[i] = longer[i];
  }
  return st;
}

plr_status plr__shard_reserve_positions(plr_shard *s, int64_t positions) {
  if (positions <= s->positions) return PLR_OK;
  for (uint32_t i = 0; i < s->graph.rope_count; i++) PLR_TRY(lengthen_rope(s, i, positions));
  s->positions = positions;
  return PLR_OK;
}

static void transpose(const float *u, int64_t rows, int64_t cols, float *out) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c++) out[c * rows + r] = u[r * cols + c];
}

/* The orthonormal basis of the boundary seed, d_model x rank, or its transpose, to device memory. */
static plr_status make_basis(plr_shard *s, float *to, int transposed) {
  int64_t d = s->info->d_model, k = s->info->boundary_width;
  size_t bytes = (size_t)(d * k) * sizeof(float);
  double *scratch = plr__calloc(s->ctx, (size_t)(d * k), sizeof *scratch);
  float *u = plr__calloc(s->ctx, (size_t)(d * k), sizeof *u);
  plr_status st = scratch && u ? PLR_OK : PLR_ERR_NO_MEMORY;
  if (st == PLR_OK) st = plr__basis(s->info->boundary_seed, PLR_STREAM_BASIS, d, k, scratch, u);
  if (st == PLR_OK && transposed) { /* the fp64 numbers are done with */
    float *flat = (float *)(void *)scratch;
    transpose(u, d, k, flat);
    st = s->device->vt->write(s->device, to, flat, bytes);
  } else if (st == PLR_OK) {
    st = s->device->vt->write(s->device, to, u, bytes);
  }
  plr__free(s->ctx, scratch);
  plr__free(s->ctx, u);
  return st;
}

static plr_status make_anchors(plr_shard *s) {
  plr_gaussian_args a = {.y = s->constants[PLR_CONST_ANCHOR],
                         .rows = s->info->vocab,
                         .cols = s->info->d_model,
                         .seed = s->info->boundary_seed,
                         .stream = PLR_STREAM_ANCHOR,
                         .std = s->info->anchor_std};
  return s->device->vt->run(s->device, PLR_OP_GAUSSIAN, &a);
}

static int uses_const(const plr_graph *g, uint32_t id) {
  for (uint32_t i = 0; i < g->forward_count; i++)
    for (uint32_t j = 0; j < plr__op_args(g->forward[i].op); j++)
      if (g->forward[i].arg[j].kind == PLR_REF_CONST && g->forward[i].arg[j].index == id) return 1;
  return 0;
}

static plr_status make_constants(plr_shard *s) {
  uint32_t count = plr__const_count(&s->graph);
  s->constants = plr__calloc(s->ctx, count, sizeof *s->constants);
  if (!s->constants) return PLR_ERR_NO_MEMORY;
  for (uint32_t i = 0; i < count; i++) {
    int64_t rows, cols;
    if (!uses_const(&s->graph, i)) continue;
    plr_ref ref = {PLR_REF_CONST, i};
    plr__ref_shape(&s->graph, ref, &rows, &cols);
    s->constants[i] = device_floats(s, rows * cols);
    if (!s->constants[i]) return PLR_ERR_NO_MEMORY;
  }
  s->positions = s->info->seq_len;
  for (uint32_t i = 0; i < s->graph.rope_count; i++) {
    float *const *table = &s->constants[PLR_CONST_ROPE + 2 * i];
    PLR_TRY(make_rope(s, i, table[0], table[1], s->positions));
  }
  if (s->constants[PLR_CONST_ANCHOR]) PLR_TRY(make_anchors(s));
  return s->constants[PLR_CONST_BASIS] ? make_basis(s, s->constants[PLR_CONST_BASIS], 0) : PLR_OK;
}

plr_status plr__shard_seed(plr_shard *s, uint32_t param) {
  const plr_param *p = &s->graph.params[param];
  float *w = plr__pack_weight(s, &s->state, param);
  if (p->init == PLR_INIT_BASIS || p->init == PLR_INIT_BASIS_T)
    return make_basis(s, w, p->init == PLR_INIT_BASIS_T);
  if (p->init != PLR_INIT_NORMAL) {
    plr_fill_args a = {w, p->rows * p->cols, p->init == PLR_INIT_ONES ? 1.0f : 0.0f};
    return s->device->vt->run(s->device, PLR_OP_FILL, &a);
  }
  plr_gaussian_args a = {.y = w,
                         .rows = p->rows,
                         .cols = p->cols,
                         .seed = p->of_boundary ? s->info->boundary_seed : s->info->seed,
                         .stream = p->stream,
                         .std = p->std};
  return s->device->vt->run(s->device, PLR_OP_GAUSSIAN, &a);
}

static plr_status make_weights(plr_shard *s) {
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    PLR_TRY(plr__shard_seed(s, i));
    PLR_TRY(plr__pack_done(s, &s->state, i));
  }
  return PLR_OK;
}

/* ---- handle ----------------------------------------------------------------------------------- */

static plr_status check_options(const plr_shard *s, plr_error *err) {
  static const char where[] = "shard options";
  if (s->first_block >= s->end_block || s->end_block > s->info->blocks)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "blocks %u .. %u are not a run of the model's %u", s->first_block,
                     s->end_block, s->info->blocks);
  const uint32_t ends[2] = {s->first_block, s->end_block};
  for (int i = 0; i < 2; i++)
    if (!plr_model_can_cut(s->model, ends[i]))
      return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                       "the model cannot be cut at block %u: only at its manifest's cuts", ends[i]);
  if (s->slot_count == 0 || s->slot_count > 65536)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "slots is %u, must be in 1 .. 65536",
                     s->slot_count);
  if (s->delays.allowed > PLR_DELAYED_NEWEST)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "delayed is %u, none of PLR_DELAYED_*",
                     s->delays.allowed);
  if (s->delays.versions == 0 || s->delays.versions > 65536 ||
      (s->delays.versions > 1 && s->delays.allowed != PLR_DELAYED_STASH))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "versions is %u: 1, or up to 65536 with PLR_DELAYED_STASH",
                     s->delays.versions);
  return PLR_OK;
}

static plr_status check_list(const plr_shard *s, const plr_node *list, uint32_t count,
                             plr_error *err) {
  for (uint32_t i = 0; i < count; i++)
    if (!s->device->vt->supports(s->device, (plr_op_id)list[i].op))
      return plr__fail(err, PLR_ERR_UNSUPPORTED, "shard",
                       "device %s has no operation %u, which block %u needs", s->device->vt->name,
                       list[i].op, list[i].block);
  return PLR_OK;
}

/* A plugin need not know every operation that a block can be made of. */
static plr_status check_device(const plr_shard *s, plr_error *err) {
  PLR_TRY(check_list(s, s->graph.forward, s->graph.forward_count, err));
  return check_list(s, s->graph.backward, s->graph.backward_count, err);
}

static plr_status check_weights(const plr_shard *s, plr_error *err) {
  static const char where[] = "shard options";
  if (s->weight_format > PLR_WEIGHTS_Q4)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "weight_format is %u, none of PLR_WEIGHTS_*", s->weight_format);
  if (s->weight_format == PLR_WEIGHTS_F32) return PLR_OK;
  if (!s->inference_only)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where,
                     "weights in a serving format need inference_only");
  if (s->device->vt->supports(s->device, PLR_OP_PACKED_MATMUL)) return PLR_OK;
  return plr__fail(err, PLR_ERR_UNSUPPORTED, where, "device %s has fp32 weights only",
                   s->device->vt->name);
}

static plr_status fill(plr_shard *s, plr_weights *weights, plr_error *err) {
  int purpose = s->recompute ? PLR_GRAPH_RECOMPUTE : PLR_GRAPH_TRAIN;
  if (s->inference_only) purpose = PLR_GRAPH_FORWARD;
  PLR_TRY(
      plr__graph_build(s->ctx, s->model, s->first_block, s->end_block, purpose, &s->graph, err));
  PLR_TRY(plr__optimizer_check(s, err));
  PLR_TRY(check_device(s, err));
  PLR_TRY(plr__storage_check(s, err));
  s->rows = (int64_t)s->info->micro_batch * s->info->seq_len;
  plr_status st = plr__shard_plan(s);
  if (st == PLR_OK) st = alloc_params(s);
  if (st == PLR_OK) st = make_constants(s);
  if (st == PLR_OK) st = alloc_activations(s);
  if (st == PLR_OK) st = plr__pack_begin(s);
  if (st == PLR_OK && weights) PLR_TRY(plr__shard_import(s, weights, err));
  if (st == PLR_OK && !weights) st = make_weights(s);
  plr__pack_end(s);
  if (st == PLR_ERR_NO_MEMORY) return plr__no_memory(err, "shard");
  if (st != PLR_OK) return plr__fail(err, st, "shard", "the device refused an operation");
  return PLR_OK;
}

static plr_status set_up(plr_shard *s, const plr_shard_options *o, plr_error *err) {
  s->first_block = o->first_block;
  s->end_block = o->end_block ? o->end_block : s->info->blocks;
  s->slot_count = o->slots, s->inference_only = o->inference_only != 0;
  s->recompute = o->recompute != 0;
  s->weight_format = o->weight_format;
  s->delays.allowed = o->delayed, s->delays.versions = o->versions;
  PLR_TRY(check_options(s, err));
  PLR_TRY(plr__device_open(s->ctx, o->device ? o->device : "cpu", &s->device, err));
  PLR_TRY(check_weights(s, err));
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = fill(s, o->weights, err);
  plr__fpenv_leave(saved);
  return st;
}

plr_status plr_shard_create(plr_context *ctx, const plr_model *model,
                            const plr_shard_options *options, plr_shard **out, plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "shard", "out is NULL");
  *out = NULL;
  if (!ctx || !model)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "shard", "context or model is NULL");
  plr_shard_options o;
  plr_shard_options_init(&o, (uint32_t)sizeof o);
  PLR_TRY(plr__options_read(&o, (uint32_t)sizeof o, options, "shard options", err));
  plr_shard *s = plr__calloc(ctx, 1, sizeof *s);
  if (!s) return plr__no_memory(err, "shard");
  s->ctx = plr__context_ref(ctx);
  s->model = plr__model_ref(model);
  s->info = plr__model_info(model);
  plr_status st = set_up(s, &o, err);
  if (st != PLR_OK) {
    plr_shard_destroy(s);
    return st;
  }
  *out = s;
  return PLR_OK;
}

static void free_device_memory(plr_shard *s) {
  plr__state_free(s, &s->state);
  plr__pack_end(s);
  plr__stash_free(s);
  device_free(s, s->grads);
  device_free(s, s->scratch);
  device_free(s, s->work);
  device_free(s, s->sums);
  for (uint32_t i = 0; s->constants && i < plr__const_count(&s->graph); i++)
    device_free(s, s->constants[i]);
  for (uint32_t i = 0; s->slots && i < s->slot_count; i++) device_free(s, s->slots[i].memory);
  s->device->vt->destroy(s->device);
}

void plr_shard_destroy(plr_shard *shard) {
  if (!shard) return;
  if (plr__serving_orphan(shard)) return;
  PLR_GUARD_END(shard);
  plr_context *ctx = shard->ctx;
  if (shard->device) plr__serving_free(shard);
  if (shard->device) free_device_memory(shard);
  plr__free(ctx, shard->constants);
  if (shard->graph.ctx) plr__graph_release(&shard->graph);
  for (int i = 0; i < PLR_LIST_COUNT; i++) plr__free(ctx, shard->places[i]);
  for (int i = 0; i < PLR_LIST_COUNT; i++) plr__free(ctx, shard->moves[i]);
  plr__free(ctx, shard->param_offset);
  plr__free(ctx, shard->packs);
  plr__free(ctx, shard->second_offset);
  plr__free(ctx, shard->host_sums);
  plr__free(ctx, shard->block_sums);
  plr__free(ctx, shard->host_bytes);
  plr__free(ctx, shard->slots);
  plr__model_unref(shard->model);
  plr__free(ctx, shard);
  plr__context_unref(ctx);
}
