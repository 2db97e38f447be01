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
enum { EXTRA_CLIP_GLOBAL = 1 };

/* What is not in the fixed part, only when it is used: so a manifest keeps the name it has always had. */
static void put_train_more(plr_buffer *b, const plr_manifest *m) {
  if (m->optimizer == PLR_OPTIMIZER_NADAM) put_real(b, m->momentum_decay);
  if (m->optimizer == PLR_OPTIMIZER_MUON) {
    put_real(b, m->muon_lr);
    put_real(b, m->muon_momentum);
  }
  if (m->schedule == PLR_SCHEDULE_WSD) plr__buffer_le32(b, m->decay_steps);
  if (m->clip_scope == PLR_CLIP_GLOBAL) plr__buffer_le32(b, EXTRA_CLIP_GLOBAL);
}

void plr__manifest_canonical(const plr_manifest *m, plr_buffer *out) {
  static const char tag[] = "pluralis.model/v1";
  uint32_t name_len = (uint32_t)strlen(m->name);
  plr__buffer_put(out, tag, sizeof tag - 1);
  plr__buffer_le32(out, name_len);
  plr__buffer_put(out, m->name, name_len);
  put_shape(out, m);
  put_boundary(out, m);
  put_train(out, m);
  put_train_more(out, m);
}
