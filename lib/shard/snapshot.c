/* Writes a snapshot (SNAPSHOT.md). */
#include "shard/shard_int.h"

#include <string.h>

typedef struct writer {
  plr_sink *sink;
  plr_sha256_state section; /* of what was written since the last hash */
  plr_sha256_state file;    /* of the hashes */
} writer;

static plr_status put(void *user, const void *data, size_t len) {
  writer *w = user;
  plr__sha256_update(&w->section, data, len);
  return w->sink->write(w->sink->user, data, len);
}

/* Ends a header or section with its hash. */
static plr_status seal(writer *w) {
  plr_hash hash;
  plr__sha256_final(&w->section, &hash);
  plr__sha256_init(&w->section);
  plr__sha256_update(&w->file, hash.bytes, sizeof hash.bytes);
  return w->sink->write(w->sink->user, hash.bytes, sizeof hash.bytes);
}

void plr__snapshot_header(const plr_shard *s, const plr_state *state,
                          uint8_t out[PLR_SNAPSHOT_HEADER]) {
  plr_hash model;
  plr_model_hash(s->model, &model);
  memcpy(out, PLR_SNAPSHOT_MAGIC, 8);
  plr__store_le32(out + 8, PLR_SNAPSHOT_VERSION);
  plr__store_le32(out + 12, s->first_block);
  plr__store_le32(out + 16, s->end_block);
  plr__store_le32(out + 20, s->graph.param_count);
  plr__store_le64(out + 24, state->steps);
  plr__double_le(out + 32, state->power1);
  plr__double_le(out + 40, state->power2);
  memcpy(out + 48, model.bytes, sizeof model.bytes);
}

static plr_status put_param(plr_shard *s, uint32_t i, writer *w) {
  const plr_param *p = &s->graph.params[i];
  uint8_t header[PLR_PARAM_HEADER_MAX];
  PLR_TRY(put(w, header, plr__param_header(p, header)));
  for (uint32_t part = 0; part < PLR_PARTS; part++) {
    int64_t count;
    const float *from = plr__state_part(s, &s->state, i, part, &count);
    PLR_TRY(plr__shard_read_floats(s, from, count, put, w));
  }
  return seal(w);
}

static plr_status write_all(plr_shard *s, plr_sink *sink) {
  writer w = {.sink = sink};
  uint8_t header[PLR_SNAPSHOT_HEADER];
  plr_hash hash;
  plr__sha256_init(&w.section);
  plr__sha256_init(&w.file);
  plr__snapshot_header(s, &s->state, header);
  PLR_TRY(put(&w, header, sizeof header));
  PLR_TRY(seal(&w));
  for (uint32_t i = 0; i < s->graph.param_count; i++) PLR_TRY(put_param(s, i, &w));
  plr__sha256_final(&w.file, &hash);
  return sink->write(sink->user, hash.bytes, sizeof hash.bytes);
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
