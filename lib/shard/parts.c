/* The headers of the files a state is read from: what each says of itself, and that they belong together. */
#include "shard/snapshot.h"

#include <stdio.h>
#include <string.h>

#define OLD_MAGIC "PLR-SNAP" /* how version 1 began */

/* ---- texts of the metadata -------------------------------------------------------------------- */

static plr_status text(const plr_snapshot_part *p, const char *key, const char **out,
                       plr_error *err) {
  *out = plr__st_metadata(&p->file, key);
  if (*out) return PLR_OK;
  return plr__fail(err, PLR_ERR_MALFORMED, p->file.where, "does not say %s", key);
}

static plr_status bad(const plr_snapshot_part *p, const char *key, const char *want,
                      plr_error *err) {
  return plr__fail(err, PLR_ERR_MALFORMED, p->file.where, "%s is not %s", key, want);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly 2 * len digits. */
static int hex_decode(const char *t, uint8_t *out, size_t len) {
  if (strlen(t) != 2 * len) return 0;
  for (size_t i = 0; i < len; i++) {
    int high = hex_digit(t[2 * i]), low = hex_digit(t[2 * i + 1]);
    if (high < 0 || low < 0) return 0;
    out[i] = (uint8_t)(high * 16 + low);
  }
  return 1;
}

static plr_status read_hash(const plr_snapshot_part *p, const char *key, plr_hash *out,
                            plr_error *err) {
  const char *t;
  PLR_TRY(text(p, key, &t, err));
  if (hex_decode(t, out->bytes, sizeof out->bytes)) return PLR_OK;
  return bad(p, key, "a hash in hexadecimal", err);
}

/* A product of numbers below one. */
static plr_status read_power(const plr_snapshot_part *p, const char *key, double *out,
                             plr_error *err) {
  const char *t;
  uint8_t bytes[8];
  PLR_TRY(text(p, key, &t, err));
  if (!hex_decode(t, bytes, sizeof bytes)) return bad(p, key, "the bits of a number", err);
  uint64_t bits = plr__load_be64(bytes);
  memcpy(out, &bits, sizeof *out);
  if (*out >= 0.0 && *out <= 1.0) return PLR_OK;
  return bad(p, key, "in 0 .. 1", err);
}

/* Digits without a zero in front. */
static plr_status read_number(const plr_snapshot_part *p, const char *key, uint64_t most,
                              uint64_t *out, plr_error *err) {
  const char *t;
  PLR_TRY(text(p, key, &t, err));
  size_t len = strlen(t);
  uint64_t x = 0;
  int good = len > 0 && len < 20 && (t[0] != '0' || len == 1);
  for (size_t i = 0; good && i < len; i++) {
    good = t[i] >= '0' && t[i] <= '9';
    x = x * 10 + (uint64_t)(t[i] - '0');
  }
  if (!good || x > most) return bad(p, key, "a whole number in its range", err);
  *out = x;
  return PLR_OK;
}

plr_status plr__snapshot_leaf(const plr_snapshot_part *part, uint32_t block, plr_hash *out,
                              plr_error *err) {
  char key[24];
  snprintf(key, sizeof key, "leaf.%u", block);
  return read_hash(part, key, out, err);
}

plr_status plr__snapshot_hash(const plr_snapshot_part *part, const char *tensor, plr_hash *out,
                              plr_error *err) {
  char key[PLR_SNAPSHOT_NAME + 8];
  snprintf(key, sizeof key, "sha256.%s", tensor);
  return read_hash(part, key, out, err);
}

/* ---- one file --------------------------------------------------------------------------------- */

/* Its kind, before anything else is believed. */
static plr_status check_format(const plr_snapshot_part *p, plr_error *err) {
  static const char family[] = "pluralis-snapshot/";
  const char *t = plr__st_metadata(&p->file, "format");
  if (t && strcmp(t, PLR_SNAPSHOT_FORMAT) == 0) return PLR_OK;
  if (t && strncmp(t, family, sizeof family - 1) == 0)
    return plr__fail(err, PLR_ERR_VERSION, p->file.where, "format %.40s; this library reads %s", t,
                     PLR_SNAPSHOT_FORMAT);
  return plr__fail(err, PLR_ERR_MALFORMED, p->file.where,
                   "is a safetensors file, but not a snapshot");
}

static plr_status check_magic(const plr_source *source, const char *where, plr_error *err) {
  uint8_t start[8];
  if (source->size < sizeof start) return PLR_OK; /* left to the reader of the header */
  PLR_TRY(source->read_at(source->user, 0, start, sizeof start));
  if (memcmp(start, OLD_MAGIC, sizeof start) != 0) return PLR_OK;
  return plr__fail(err, PLR_ERR_VERSION, where, "version 1; this library reads %s",
                   PLR_SNAPSHOT_FORMAT);
}

/* A leaf for each of its blocks and for no other. */
static plr_status check_leaves(const plr_snapshot_part *p, plr_error *err) {
  uint32_t stated = 0;
  for (uint32_t i = 0; i < p->file.metadata_count; i++)
    stated += strncmp(p->file.metadata[i].key, "leaf.", 5) == 0;
  if (stated != p->end_block - p->first_block)
    return plr__fail(err, PLR_ERR_MALFORMED, p->file.where, "%u leaves for %u blocks", stated,
                     p->end_block - p->first_block);
  plr_hash leaf;
  for (uint32_t b = p->first_block; b < p->end_block; b++)
    PLR_TRY(plr__snapshot_leaf(p, b, &leaf, err));
  return PLR_OK;
}

static plr_status read_part(plr_snapshot_part *p, const plr_model *model, plr_error *err) {
  const plr_model_info *info = plr__model_info(model);
  plr_hash want, got;
  uint64_t first, end;
  PLR_TRY(check_format(p, err));
  plr_model_hash(model, &want);
  PLR_TRY(read_hash(p, "model", &got, err));
  if (!plr__hash_equal(&want, &got))
    return plr__fail(err, PLR_ERR_MISMATCH, p->file.where, "is of another model");
  PLR_TRY(read_number(p, "steps", UINT64_C(1) << 62, &p->state.steps, err));
  PLR_TRY(read_power(p, "power1", &p->state.power1, err));
  PLR_TRY(read_power(p, "power2", &p->state.power2, err));
  PLR_TRY(read_number(p, "first_block", info->blocks - 1, &first, err));
  PLR_TRY(read_number(p, "end_block", info->blocks, &end, err));
  if (end <= first) return bad(p, "end_block", "after first_block", err);
  p->first_block = (uint32_t)first, p->end_block = (uint32_t)end;
  return check_leaves(p, err);
}

static plr_status open_part(plr_snapshot_parts *parts, uint32_t i, const plr_model *model,
                            const plr_source *source, uint32_t count, plr_error *err) {
  char where[32] = "snapshot";
  if (count > 1) snprintf(where, sizeof where, "snapshot[%u]", i);
  PLR_TRY(check_magic(source, where, err));
  PLR_TRY(plr__st_open(parts->ctx, source, where, &parts->list[i].file, err));
  parts->count = i + 1; /* from here on release frees it */
  return read_part(&parts->list[i], model, err);
}

/* ---- together --------------------------------------------------------------------------------- */

static plr_status check_pair(const plr_snapshot_part *a, const plr_snapshot_part *b,
                             plr_error *err) {
  const char *where = b->file.where;
  if (a->state.steps != b->state.steps)
    return plr__fail(err, PLR_ERR_MISMATCH, where, "is of step %llu, %s of step %llu",
                     (unsigned long long)b->state.steps, a->file.where,
                     (unsigned long long)a->state.steps);
  if (a->state.power1 != b->state.power1 || a->state.power2 != b->state.power2)
    return plr__fail(err, PLR_ERR_MISMATCH, where, "has another optimizer state than %s",
                     a->file.where);
  if (a->first_block < b->end_block && b->first_block < a->end_block)
    return plr__fail(err, PLR_ERR_MISMATCH, where, "holds block %u, and so does %s",
                     PLR_MAX(a->first_block, b->first_block), a->file.where);
  return PLR_OK;
}

static plr_status open_all(plr_snapshot_parts *parts, const plr_model *model,
                           const plr_source *sources, uint32_t count, plr_error *err) {
  for (uint32_t i = 0; i < count; i++) {
    PLR_TRY(open_part(parts, i, model, &sources[i], count, err));
    for (uint32_t j = 0; j < i; j++) PLR_TRY(check_pair(&parts->list[j], &parts->list[i], err));
  }
  return PLR_OK;
}

plr_status plr__snapshot_open(plr_context *ctx, const plr_model *model, const plr_source *sources,
                              uint32_t count, plr_snapshot_parts *out, plr_error *err) {
  memset(out, 0, sizeof *out);
  out->ctx = ctx;
  /* Each holds a block that no other has. */
  if (count == 0 || count > plr__model_info(model)->blocks)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "snapshot", "%u parts of a model of %u blocks",
                     count, plr__model_info(model)->blocks);
  out->list = plr__calloc(ctx, count, sizeof *out->list);
  if (!out->list) return plr__no_memory(err, "snapshot");
  plr_status st = open_all(out, model, sources, count, err);
  if (st != PLR_OK) plr__snapshot_release(out);
  return st;
}

void plr__snapshot_release(plr_snapshot_parts *parts) {
  for (uint32_t i = 0; i < parts->count; i++) plr__st_release(&parts->list[i].file);
  plr__free(parts->ctx, parts->list);
  parts->list = NULL, parts->count = 0;
}

const plr_snapshot_part *plr__snapshot_of_block(const plr_snapshot_parts *parts, uint32_t block) {
  for (uint32_t i = 0; i < parts->count; i++)
    if (parts->list[i].first_block <= block && block < parts->list[i].end_block)
      return &parts->list[i];
  return NULL;
}

/* ---- public ----------------------------------------------------------------------------------- */

/* The weight root, when every block is there; else it stays zero. */
static plr_status root_of(const plr_snapshot_parts *parts, uint32_t blocks, plr_hash *out,
                          plr_error *err) {
  plr_hash *leaves = plr__calloc(parts->ctx, blocks, sizeof *leaves);
  if (!leaves) return plr__no_memory(err, "snapshot");
  plr_status st = PLR_OK;
  uint32_t b = 0;
  for (; b < blocks && st == PLR_OK; b++) {
    const plr_snapshot_part *p = plr__snapshot_of_block(parts, b);
    if (!p) break;
    st = plr__snapshot_leaf(p, b, &leaves[b], err);
  }
  if (st == PLR_OK && b == blocks) st = plr_weight_root(leaves, blocks, out);
  plr__free(parts->ctx, leaves);
  return st;
}

plr_status plr_snapshot_inspect(plr_context *ctx, const plr_model *model, const plr_source *sources,
                                uint32_t count, plr_snapshot_info *info, plr_error *err) {
  if (!ctx || !model || !sources || !info)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "snapshot",
                     "context, model, sources or info is NULL");
  plr_snapshot_parts parts;
  PLR_TRY(plr__snapshot_open(ctx, model, sources, count, &parts, err));
  plr_snapshot_info full = {.steps = parts.list[0].state.steps};
  for (uint32_t i = 0; i < count; i++)
    full.blocks += parts.list[i].end_block - parts.list[i].first_block;
  plr_status st = root_of(&parts, plr__model_info(model)->blocks, &full.root, err);
  plr__snapshot_release(&parts);
  if (st != PLR_OK) return st;
  st = plr__record_write(info, &full, (uint32_t)sizeof full, (uint32_t)sizeof full);
  return st == PLR_OK ? st : plr__fail(err, st, "snapshot", "struct_size of info");
}
