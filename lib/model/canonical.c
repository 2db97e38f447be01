/* The canonical binary form of a manifest, whose SHA-256 is the model's name. README.md has the table. */
#include "model/model_int.h"

#include <string.h>

static void put_real(plr_buffer *b, double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  plr__buffer_le64(b, bits);
}

static void put_shape(plr_buffer *b, const plr_manifest *m) {
  plr__buffer_le32(b, m->family);
  plr__buffer_le32(b, m->vocab);
  plr__buffer_le32(b, m->blocks);
  plr__buffer_le32(b, m->d_model);
  plr__buffer_le32(b, m->heads);
  plr__buffer_le32(b, m->kv_heads);
  plr__buffer_le32(b, m->head_dim);
  plr__buffer_le32(b, m->d_ff);
  put_real(b, m->norm_eps);
  put_real(b, m->rope_theta);
  put_real(b, m->init_std);
  put_real(b, m->embed_std);
  plr__buffer_le64(b, m->seed);
}

static void put_boundary(plr_buffer *b, const plr_manifest *m) {
  plr__buffer_le32(b, m->cut_count);
  for (uint32_t i = 0; i < m->cut_count; i++) plr__buffer_le32(b, m->cuts[i]);
  plr__buffer_le32(b, m->boundary);
  plr__buffer_le32(b, m->rank);
  plr__buffer_le64(b, m->boundary_seed);
  put_real(b, m->anchor_std);
}

static void put_train(plr_buffer *b, const plr_manifest *m) {
  plr__buffer_le32(b, m->seq_len);
  plr__buffer_le32(b, m->micro_batch);
  plr__buffer_le32(b, m->micro_batches);
  plr__buffer_le32(b, m->optimizer);
  put_real(b, m->lr);
  put_real(b, m->min_lr_ratio);
  put_real(b, m->beta1);
  put_real(b, m->beta2);
  put_real(b, m->eps);
  put_real(b, m->weight_decay);
  put_real(b, m->clip);
  plr__buffer_le32(b, m->schedule);
  plr__buffer_le32(b, m->warmup_steps);
  plr__buffer_le32(b, m->steps);
  plr__buffer_le64(b, m->data_seed);
}

/* Kinds of the entries that follow the fixed part when a manifest uses what it did not know. */
enum { EXTRA_CLIP_GLOBAL = 1, EXTRA_STORAGE_BF16 = 2 };

/* What is not in the fixed part, only when it is used: so a manifest keeps the name it has always had. */
static void put_train_more(plr_buffer *b, const plr_manifest *m) {
  if (m->optimizer == PLR_OPTIMIZER_NADAM) put_real(b, m->momentum_decay);
  if (m->optimizer == PLR_OPTIMIZER_MUON) {
    put_real(b, m->muon_lr);
    put_real(b, m->muon_momentum);
  }
  if (m->schedule == PLR_SCHEDULE_WSD) plr__buffer_le32(b, m->decay_steps);
  if (m->clip_scope == PLR_CLIP_GLOBAL) plr__buffer_le32(b, EXTRA_CLIP_GLOBAL);
  if (m->storage == PLR_STORAGE_BF16) plr__buffer_le32(b, EXTRA_STORAGE_BF16);
}

/* All numbers of an operation in the order of the struct; those it does not have are 0. */
static void put_op(plr_buffer *b, const plr_op *op) {
  const plr_op_desc *d = &op->d;
  const uint32_t wholes[] = {d->cols,     d->bias,        d->write,   d->heads,   d->kv_heads,
                             d->head_dim, d->window,      d->count,   d->experts, d->top_k,
                             d->act,      d->renormalise, d->scaling, d->original};
  const double reals[] = {d->std,       d->down_std,  d->eps,       d->theta,
                          d->balance,   d->scale,     d->factor,    d->low_freq,
                          d->high_freq, d->beta_fast, d->beta_slow, d->attention_factor};
  uint32_t name_len = (uint32_t)strlen(op->name);
  plr__buffer_le32(b, d->op);
  for (int i = 0; i < 3; i++) plr__buffer_le32(b, op->in[i]);
  plr__buffer_le32(b, name_len);
  plr__buffer_put(b, op->name, name_len);
  for (size_t i = 0; i < PLR_COUNT_OF(wholes); i++) plr__buffer_le32(b, wholes[i]);
  for (size_t i = 0; i < PLR_COUNT_OF(reals); i++) put_real(b, reals[i]);
}

static void put_list(plr_buffer *b, const plr_program *p, const plr_op_list *list) {
  plr__buffer_le32(b, list->repeat);
  plr__buffer_le32(b, list->count);
  for (uint32_t i = 0; i < list->count; i++) put_op(b, &p->ops[list->first + i]);
  plr__buffer_le32(b, list->result);
}

static void put_program(plr_buffer *b, const plr_manifest *m) {
  const plr_program *p = &m->program;
  plr__buffer_le32(b, m->vocab);
  plr__buffer_le32(b, m->d_model);
  plr__buffer_le64(b, m->seed);
  put_list(b, p, &p->embed);
  plr__buffer_le32(b, p->kind_count);
  for (uint32_t i = 0; i < p->kind_count; i++) put_list(b, p, &p->blocks[i]);
  put_list(b, p, &p->head);
}

void plr__manifest_canonical(const plr_manifest *m, plr_buffer *out) {
  const char *tag = m->format == 1 ? "pluralis.model/v1" : "pluralis.model/v2";
  uint32_t name_len = (uint32_t)strlen(m->name);
  plr__buffer_put(out, tag, strlen(tag));
  plr__buffer_le32(out, name_len);
  plr__buffer_put(out, m->name, name_len);
  if (m->format == 1)
    put_shape(out, m);
  else
    put_program(out, m);
  put_boundary(out, m);
  if (m->boundary == PLR_BOUNDARY_PROJECTOR) plr__buffer_le32(out, m->tied);
  if (m->format == 2) put_real(out, m->z_loss);
  put_train(out, m);
  put_train_more(out, m);
}
