/* Writes a snapshot (SNAPSHOT.md): first the hashes of all tensors, which the header holds, then the tensors. */
#include "shard/snapshot.h"

#include <stdio.h>
#include <string.h>

void plr__snapshot_name(const plr_param *p, uint32_t part, char out[PLR_SNAPSHOT_NAME]) {
  static const char *const before[PLR_PARTS] = {"", "optimizer.m.", "optimizer.v."};
  snprintf(out, PLR_SNAPSHOT_NAME, "%s%s", before[part], p->name);
}

void plr__snapshot_shape(const plr_model_info *info, const plr_param *p, uint32_t part,
                         int64_t shape[2]) {
  int64_t seconds = plr__optimizer_seconds(info, p);
  shape[0] = p->rows, shape[1] = p->cols;
  if (part != PLR_PART_SECOND || seconds == p->rows * p->cols) return;
  shape[0] = p->along ? p->stack : seconds;
  shape[1] = p->along ? p->cols : 1;
  if (seconds == 0) shape[0] = shape[1] = 0;
}

static void text_hash(plr_st_writer *w, const char *key, const plr_hash *hash) {
  char hex[2 * sizeof hash->bytes + 1];
  plr__hex_encode(hash->bytes, sizeof hash->bytes, hex);
  plr__st_writer_text(w, key, hex);
}

static void text_bits(plr_st_writer *w, const char *key, double x) {
  uint64_t bits;
  char hex[17];
  memcpy(&bits, &x, sizeof bits);
  snprintf(hex, sizeof hex, "%016llx", (unsigned long long)bits);
  plr__st_writer_text(w, key, hex);
}

static void text_number(plr_st_writer *w, const char *key, uint64_t x) {
  char digits[24];
  snprintf(digits, sizeof digits, "%llu", (unsigned long long)x);
  plr__st_writer_text(w, key, digits);
}

static void put_identity(plr_st_writer *w, const plr_shard *s) {
  plr_hash model;
  plr_model_hash(s->model, &model);
  plr__st_writer_text(w, "format", PLR_SNAPSHOT_FORMAT);
  text_hash(w, "model", &model);
  text_number(w, "steps", s->state.steps);
  text_bits(w, "power1", s->state.power1);
  text_bits(w, "power2", s->state.power2);
  text_number(w, "first_block", s->first_block);
  text_number(w, "end_block", s->end_block);
}

/* hashes: PLR_PARTS of each parameter. */
static void put_leaves(plr_st_writer *w, const plr_shard *s, const plr_hash *hashes) {
  for (uint32_t b = s->first_block, first = 0, end; b < s->end_block; b++, first = end) {
    plr_sha256_state leaf;
    plr_hash hash;
    char key[24];
    end = plr__shard_block_end(s, b, first);
    plr__leaf_begin(&leaf, b, &s->state, end - first);
    for (uint32_t i = first; i < end; i++)
      plr__leaf_param(&leaf, &s->graph.params[i], hashes + PLR_PARTS * (size_t)i);
    plr__sha256_final(&leaf, &hash);
    snprintf(key, sizeof key, "leaf.%u", b);
    text_hash(w, key, &hash);
  }
}

/* Weights of all blocks, then first moments, then second ones: a reader of weights reads one stretch. */
static void declare(plr_st_writer *w, const plr_shard *s, const plr_hash *hashes) {
  for (uint32_t part = 0; part < PLR_PARTS; part++)
    for (uint32_t i = 0; i < s->graph.param_count; i++) {
      const plr_param *p = &s->graph.params[i];
      int64_t shape[2];
      char name[PLR_SNAPSHOT_NAME], key[PLR_SNAPSHOT_NAME + 8];
      plr__snapshot_shape(s->info, p, part, shape);
      if (shape[0] == 0) continue;
      plr__snapshot_name(p, part, name);
      snprintf(key, sizeof key, "sha256.%s", name);
      plr__st_writer_tensor(w, name, PLR_DTYPE_F32, 2, shape);
      text_hash(w, key, &hashes[PLR_PARTS * (size_t)i + part]);
    }
}

static plr_status write_file(plr_shard *s, plr_st_writer *w, plr_hash *hashes) {
  for (uint32_t i = 0; i < s->graph.param_count; i++)
    PLR_TRY(plr__shard_hash_param(s, i, hashes + PLR_PARTS * (size_t)i));
  put_identity(w, s);
  put_leaves(w, s, hashes);
  declare(w, s, hashes);
  PLR_TRY(plr__st_writer_begin(w));
  for (uint32_t part = 0; part < PLR_PARTS; part++)
    for (uint32_t i = 0; i < s->graph.param_count; i++) {
      int64_t count;
      const float *from = plr__state_part(s, &s->state, i, part, &count);
      PLR_TRY(plr__shard_read_floats(s, from, count, plr__st_writer_data, w));
    }
  return plr__st_writer_end(w);
}

static plr_status write_all(plr_shard *s, plr_sink *sink) {
  plr_hash *hashes = plr__calloc(s->ctx, s->graph.param_count, PLR_PARTS * sizeof *hashes);
  plr_st_writer w;
  plr__st_writer_init(&w, s->ctx, sink);
  plr_status st = hashes ? write_file(s, &w, hashes) : PLR_ERR_NO_MEMORY;
  plr__st_writer_release(&w);
  plr__free(s->ctx, hashes);
  return st;
}

static int busy(const plr_shard *s) {
  for (uint32_t i = 0; i < s->slot_count; i++)
    if (s->slots[i].busy) return 1;
  return s->pending > 0;
}

plr_status plr_shard_save(plr_shard *shard, plr_sink *sink, plr_error *err) {
  static const char where[] = "snapshot";
  if (!sink) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "sink is NULL");
  PLR_GUARD_OR(shard, err, sink->abort(sink->user));
  plr_status st;
  if (!shard)
    st = plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where, "shard is NULL");
  else if (shard->inference_only)
    st = plr__fail(err, PLR_ERR_INVALID_STATE, where, "the shard is for inference only");
  else if (busy(shard))
    st = plr__fail(err, PLR_ERR_INVALID_STATE, where,
                   "gradients are pending: save between a step and the next forward");
  else if ((st = write_all(shard, sink)) != PLR_OK)
    plr__fail(err, st, where, "writing blocks %u .. %u failed", shard->first_block,
              shard->end_block);
  if (st != PLR_OK) {
    sink->abort(sink->user);
    return st;
  }
  st = sink->commit(sink->user);
  if (st != PLR_OK) plr__fail(err, st, where, "could not be made durable");
  return st;
}
