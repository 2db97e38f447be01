/* Reads a shard's blocks from one snapshot or several (SNAPSHOT.md) into fresh memory, which replaces the shard's at
 * the very end. Only the ranges of these blocks are read. */
#include "shard/snapshot.h"

#include <math.h>
#include <string.h>

typedef struct loader {
  plr_shard *s;
  const plr_snapshot_parts *parts;
  plr_error *err;
  plr_state state;
} loader;

static const char where_[] = "snapshot";

/* Which of a parameter's tensors the shard takes. */
static uint32_t parts_wanted(const plr_shard *s) {
  return s->inference_only ? 1 : PLR_PARTS;
}

/* ---- before any data -------------------------------------------------------------------------- */

static plr_status stated_hashes(const loader *l, const plr_snapshot_part *part, const plr_param *p,
                                plr_hash out[PLR_PARTS]) {
  for (uint32_t i = 0; i < PLR_PARTS; i++) {
    char name[PLR_SNAPSHOT_NAME];
    int64_t shape[2];
    plr__snapshot_shape(l->s->info, p, i, shape);
    plr__snapshot_name(p, i, name);
    if (shape[0] > 0)
      PLR_TRY(plr__snapshot_hash(part, name, &out[i], l->err));
    else
      plr_sha256("", 0, &out[i]);
  }
  return PLR_OK;
}

/* The leaf covers step, powers, names, shapes and the hashes of the tensors: with it all of them are right. */
static plr_status check_leaf(const loader *l, const plr_snapshot_part *part, uint32_t block,
                             uint32_t first, uint32_t end) {
  plr_sha256_state leaf;
  plr_hash want, got, hashes[PLR_PARTS];
  PLR_TRY(plr__snapshot_leaf(part, block, &want, l->err));
  plr__leaf_begin(&leaf, block, &part->state, end - first);
  for (uint32_t i = first; i < end; i++) {
    PLR_TRY(stated_hashes(l, part, &l->s->graph.params[i], hashes));
    plr__leaf_param(&leaf, &l->s->graph.params[i], hashes);
  }
  plr__sha256_final(&leaf, &got);
  if (plr__hash_equal(&want, &got)) return PLR_OK;
  return plr__fail(l->err, PLR_ERR_CHECKSUM, part->file.where, "block %u does not match its leaf",
                   block);
}

static plr_status check_tensors(const loader *l, const plr_snapshot_part *part,
                                const plr_param *p) {
  for (uint32_t i = 0; i < PLR_PARTS; i++) {
    char name[PLR_SNAPSHOT_NAME];
    int64_t shape[2];
    plr__snapshot_shape(l->s->info, p, i, shape);
    plr__snapshot_name(p, i, name);
    const plr_st_tensor *t = plr__st_find(&part->file, name);
    if (shape[0] == 0 && !t) continue;
    if (!t)
      return plr__fail(l->err, PLR_ERR_MALFORMED, part->file.where, "tensor %s is missing", name);
    if (t->type->dtype != PLR_DTYPE_F32 || t->ndim != 2 || t->shape[0] != shape[0] ||
        t->shape[1] != shape[1])
      return plr__fail_at(l->err, PLR_ERR_MALFORMED, part->file.where, t->offset,
                          "tensor %s is not F32 of %lld x %lld", name, (long long)shape[0],
                          (long long)shape[1]);
  }
  return PLR_OK;
}

/* A file of nothing but the shard's blocks holds nothing but their tensors; what else is in a larger one is the
 * business of those who have its blocks. */
static plr_status check_no_more(const loader *l, const plr_snapshot_part *part) {
  const plr_shard *s = l->s;
  uint32_t expected = 0;
  if (part->first_block < s->first_block || part->end_block > s->end_block) return PLR_OK;
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *p = &s->graph.params[i];
    if (p->block < part->first_block || p->block >= part->end_block) continue;
    expected += plr__optimizer_seconds(s->info, p) > 0 ? 3 : 2;
  }
  if (part->file.tensor_count == expected) return PLR_OK;
  return plr__fail(l->err, PLR_ERR_MALFORMED, part->file.where, "%u tensors; its blocks have %u",
                   part->file.tensor_count, expected);
}

static plr_status check_headers(const loader *l) {
  const plr_shard *s = l->s;
  for (uint32_t b = s->first_block, first = 0, end; b < s->end_block; b++, first = end) {
    const plr_snapshot_part *part = plr__snapshot_of_block(l->parts, b);
    end = plr__shard_block_end(s, b, first);
    if (!part)
      return plr__fail(l->err, PLR_ERR_MISMATCH, where_,
                       "block %u is not there; the shard has %u .. %u", b, s->first_block,
                       s->end_block);
    for (uint32_t i = first; i < end; i++) PLR_TRY(check_tensors(l, part, &s->graph.params[i]));
    PLR_TRY(check_leaf(l, part, b, first, end));
  }
  for (uint32_t i = 0; i < l->parts->count; i++) PLR_TRY(check_no_more(l, &l->parts->list[i]));
  return PLR_OK;
}

/* ---- data ------------------------------------------------------------------------------------- */

static int all_finite(const float *x, size_t n) {
  int finite = 1;
  for (size_t i = 0; i < n; i++) finite &= isfinite(x[i]) != 0;
  return finite;
}

static plr_status read_tensor(const loader *l, const plr_snapshot_part *part, const char *name,
                              float *to, int64_t n) {
  plr_shard *s = l->s;
  const plr_st_tensor *t = plr__st_find(&part->file, name);
  const int64_t piece = PLR_STAGE_BYTES / 4;
  plr_sha256_state sha;
  plr_hash want, got;
  plr__sha256_init(&sha);
  for (int64_t i = 0; i < n; i += piece) {
    size_t count = (size_t)PLR_MIN(piece, n - i);
    PLR_TRY(plr__st_read(&part->file, t, (uint64_t)i * 4, s->host_bytes, count * 4, l->err));
    plr__sha256_update(&sha, s->host_bytes, count * 4);
    plr__floats_le(s->host_bytes, count);
    if (!all_finite((const float *)(const void *)s->host_bytes, count))
      return plr__fail_at(l->err, PLR_ERR_MALFORMED, part->file.where, t->offset + (uint64_t)i * 4,
                          "a number of %s is not finite", name);
    PLR_TRY(s->device->vt->write(s->device, to + i, s->host_bytes, count * 4));
  }
  plr__sha256_final(&sha, &got);
  PLR_TRY(plr__snapshot_hash(part, name, &want, l->err));
  if (plr__hash_equal(&want, &got)) return PLR_OK;
  return plr__fail_at(l->err, PLR_ERR_CHECKSUM, part->file.where, t->offset,
                      "tensor %s does not match its hash", name);
}

static plr_status read_data(const loader *l) {
  const plr_shard *s = l->s;
  for (uint32_t part = 0; part < parts_wanted(s); part++)
    for (uint32_t i = 0; i < s->graph.param_count; i++) {
      const plr_param *p = &s->graph.params[i];
      char name[PLR_SNAPSHOT_NAME];
      int64_t count;
      float *to = plr__state_part(s, &l->state, i, part, &count);
      if (count == 0) continue;
      plr__snapshot_name(p, part, name);
      PLR_TRY(read_tensor(l, plr__snapshot_of_block(l->parts, p->block), name, to, count));
      if (part == PLR_PART_WEIGHT) PLR_TRY(plr__pack_done(s, &l->state, i));
    }
  return PLR_OK;
}

static plr_status read_all(loader *l) {
  const plr_state *from = &l->parts->list[0].state;
  PLR_TRY(check_headers(l));
  if (plr__state_alloc(l->s, &l->state) != PLR_OK || plr__pack_begin(l->s) != PLR_OK)
    return plr__no_memory(l->err, where_);
  l->state.steps = from->steps;
  l->state.power1 = from->power1, l->state.power2 = from->power2;
  return read_data(l);
}

/* ---- public ----------------------------------------------------------------------------------- */

static plr_status load(plr_shard *shard, const plr_source *sources, uint32_t count,
                       plr_error *err) {
  plr_snapshot_parts parts;
  PLR_TRY(plr__snapshot_open(shard->ctx, shard->model, sources, count, &parts, err));
  loader l = {.s = shard, .parts = &parts, .err = err};
  plr_status st = read_all(&l);
  plr__pack_end(shard);
  plr__snapshot_release(&parts);
  if (st != PLR_OK) {
    plr__state_free(shard, &l.state);
    return st;
  }
  plr__state_free(shard, &shard->state);
  shard->state = l.state;
  shard->weights++;
  plr__shard_reset(shard);
  return PLR_OK;
}

plr_status plr_shard_load_parts(plr_shard *shard, const plr_source *sources, uint32_t count,
                                plr_error *err) {
  PLR_GUARD(shard, err);
  if (!shard || !sources)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "shard or sources is NULL");
  return load(shard, sources, count, err);
}

plr_status plr_shard_load(plr_shard *shard, const plr_source *source, plr_error *err) {
  PLR_GUARD(shard, err);
  if (!shard || !source)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "shard or source is NULL");
  return load(shard, source, 1, err);
}
