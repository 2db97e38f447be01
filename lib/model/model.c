/* The model handle: a checked manifest, its hash, its numbers and its cost table. Immutable. */
#include "model/model_int.h"

#include <string.h>

/* What all attention of a model has in common; 0 where it differs or there is none. */
static uint32_t common(const plr_program *p, size_t offset) {
  uint32_t value = 0, seen = 0;
  for (uint32_t i = 0; i < p->op_count; i++) {
    uint32_t here;
    if (p->ops[i].d.op != PLR_LAYER_ATTENTION) continue;
    memcpy(&here, (const char *)&p->ops[i].d + offset, sizeof here);
    if (seen++ > 0 && here != value) return 0;
    value = here;
  }
  return value;
}

static void fill_info(plr_model *model) {
  const plr_manifest *m = &model->manifest;
  plr_model_info *i = &model->info;
  int subspace = m->boundary == PLR_BOUNDARY_SUBSPACE, dense = m->boundary == PLR_BOUNDARY_DENSE;
  i->struct_size = (uint32_t)sizeof *i;
  i->blocks = m->blocks, i->d_model = m->d_model, i->heads = m->heads, i->kv_heads = m->kv_heads;
  i->head_dim = m->head_dim, i->d_ff = m->d_ff, i->vocab = m->program.vocab;
  i->cut_count = m->cut_count, i->boundary = m->boundary;
  i->boundary_width = dense ? m->d_model : m->rank;
  i->first_full_rank = subspace ? m->cuts[m->cut_count - 1] : 0;
  i->seq_len = m->seq_len, i->micro_batch = m->micro_batch, i->micro_batches = m->micro_batches;
  i->steps = m->steps, i->warmup_steps = m->warmup_steps, i->schedule = m->schedule;
  i->norm_eps = (float)m->norm_eps, i->init_std = (float)m->init_std;
  i->embed_std = (float)m->embed_std, i->anchor_std = (float)m->anchor_std;
  i->lr = (float)m->lr, i->min_lr_ratio = (float)m->min_lr_ratio;
  i->beta1 = (float)m->beta1, i->beta2 = (float)m->beta2, i->eps = (float)m->eps;
  i->weight_decay = (float)m->weight_decay, i->clip = (float)m->clip;
  i->optimizer = m->optimizer, i->clip_scope = m->clip_scope, i->decay_steps = m->decay_steps;
  i->momentum_decay = (float)m->momentum_decay;
  i->muon_lr = (float)m->muon_lr, i->muon_momentum = (float)m->muon_momentum;
  i->rope_theta = m->rope_theta;
  if (m->format == 2) {
    i->heads = common(&m->program, offsetof(plr_op_desc, heads));
    i->kv_heads = common(&m->program, offsetof(plr_op_desc, kv_heads));
    i->head_dim = common(&m->program, offsetof(plr_op_desc, head_dim));
  }
  i->format = m->format, i->z_loss = (float)m->z_loss, i->storage = m->storage;
  i->seed = m->seed, i->boundary_seed = m->boundary_seed, i->data_seed = m->data_seed;
}

static plr_status fill_hash(plr_model *model, plr_error *err) {
  plr_buffer bytes;
  plr__buffer_init(&bytes, model->ctx);
  plr__manifest_canonical(&model->manifest, &bytes);
  plr_status st = bytes.failed ? plr__no_memory(err, "manifest") : PLR_OK;
  if (st == PLR_OK) plr_sha256(bytes.data, bytes.len, &model->hash);
  plr__buffer_release(&bytes);
  return st;
}

/* The whole model as a graph: checked against the boundary's rules, counted, and weighed. */
static plr_status fill_work(plr_model *model, plr_error *err) {
  model->cost = plr__calloc(model->ctx, model->info.blocks, sizeof *model->cost);
  if (!model->cost) return plr__no_memory(err, "manifest");
  plr_graph g;
  PLR_TRY(plr__graph_build(model->ctx, model, 0, model->info.blocks, PLR_GRAPH_TRAIN, &g, err));
  plr__graph_cost(&g, model->cost);
  for (uint32_t i = 0; i < g.param_count; i++)
    model->info.parameters += (uint64_t)g.params[i].rows * (uint64_t)g.params[i].cols;
  plr__graph_release(&g);
  for (uint32_t b = 0; b < model->info.blocks; b++)
    if (model->cost[b] == 0) /* units of work pay: a block without any could not be paid for */
      return plr__fail(err, PLR_ERR_MALFORMED, "manifest.blocks",
                       "block %u does no work that is counted: neither product nor attention", b);
  return PLR_OK;
}

plr_status plr__model_complete(plr_model *model, plr_error *err) {
  plr_fpenv saved = plr__fpenv_enter();
  fill_info(model);
  plr_status st = fill_hash(model, err);
  if (st == PLR_OK) st = fill_work(model, err);
  plr__fpenv_leave(saved);
  return st;
}

plr_model *plr__model_new(plr_context *ctx) {
  plr_model *model = plr__calloc(ctx, 1, sizeof *model);
  if (!model) return NULL;
  model->ctx = plr__context_ref(ctx);
  atomic_init(&model->refs, 1);
  return model;
}

plr_status plr_model_from_json(plr_context *ctx, const char *json, size_t len, plr_model **out,
                               plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "model", "out is NULL");
  *out = NULL;
  if (!ctx || (!json && len > 0))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "model", "context or text is NULL");
  plr_model *model = plr__model_new(ctx);
  if (!model) return plr__no_memory(err, "model");
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = plr__manifest_read(ctx, json ? json : "", len, &model->manifest, err);
  plr__fpenv_leave(saved);
  if (st == PLR_OK) st = plr__model_complete(model, err);
  if (st != PLR_OK) {
    plr__model_unref(model);
    return st;
  }
  *out = model;
  return PLR_OK;
}

plr_model *plr__model_ref(const plr_model *model) {
  plr_model *m = (plr_model *)model; /* const for callers: only the count changes */
  atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
  return m;
}

void plr__model_unref(plr_model *model) {
  if (!model || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) != 1) return;
  plr_context *ctx = model->ctx;
  plr__free(ctx, model->cost);
  plr__manifest_release(&model->manifest);
  plr__free(ctx, model->origin.config);
  plr__free(ctx, model);
  plr__context_unref(ctx);
}

void plr_model_destroy(plr_model *model) {
  plr__model_unref(model);
}

const plr_model_info *plr__model_info(const plr_model *model) {
  return &model->info;
}

void plr_model_hash(const plr_model *model, plr_hash *out) {
  *out = model->hash;
}

plr_status plr_model_get_info(const plr_model *model, plr_model_info *info) {
  uint32_t size = info ? info->struct_size : 0;
  if (!model || size < sizeof size || size > 4096) return PLR_ERR_INVALID_ARGUMENT;
  memset(info, 0, size);
  memcpy(info, &model->info, PLR_MIN(size, sizeof model->info));
  info->struct_size = size;
  return PLR_OK;
}

const char *plr_model_name(const plr_model *model) {
  return model->manifest.name;
}

uint32_t plr_model_cut(const plr_model *model, uint32_t i) {
  return i < model->info.cut_count ? model->manifest.cuts[i] : 0;
}

int32_t plr_model_can_cut(const plr_model *model, uint32_t p) {
  if (p == 0 || p == model->info.blocks) return 1;
  if (p > model->info.blocks) return 0;
  if (model->info.boundary == PLR_BOUNDARY_DENSE) return 1;
  for (uint32_t i = 0; i < model->info.cut_count; i++)
    if (model->manifest.cuts[i] == p) return 1;
  return 0;
}

uint64_t plr_model_block_cost(const plr_model *model, uint32_t block) {
  return block < model->info.blocks ? model->cost[block] : 0;
}
