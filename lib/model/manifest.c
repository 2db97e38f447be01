/* Reads a manifest: JSON in, plr_manifest out. Every key of the table is required, no other is allowed: a manifest
 * says everything, so that its hash does. */
#include "model/manifest_int.h"

#include <stdio.h>
#include <string.h>

typedef enum {
  FIELD_U32,
  FIELD_U64,
  FIELD_REAL,
  FIELD_ENUM,
  FIELD_NAME,
  FIELD_FLAG,
  FIELD_OTHER
} field_kind;

/* min and max bound numbers; enums name their choices; FIELD_OTHER is read by its own function. */
typedef struct field {
  const char *key;
  field_kind kind;
  size_t offset;
  double min, max;
  const plr_choice *choices;
  int optional; /* absent: the member stays 0 */
} field;

#define U32(key, min, max)                                                                         \
  { #key, FIELD_U32, offsetof(plr_manifest, key), min, max, NULL, 0 }
#define U64(key, member)                                                                           \
  { key, FIELD_U64, offsetof(plr_manifest, member), 0, 0, NULL, 0 }
#define REAL(key, min, max)                                                                        \
  { #key, FIELD_REAL, offsetof(plr_manifest, key), min, max, NULL, 0 }
#define ENUM(key, member, list)                                                                    \
  { key, FIELD_ENUM, offsetof(plr_manifest, member), 0, 0, list, 0 }
#define OTHER(key)                                                                                 \
  { key, FIELD_OTHER, 0, 0, 0, NULL, 0 }

/* Dimensions are bounded so that products of three of them stay far below 2^63. */
#define MAX_DIM    65536.0
#define MAX_TOKENS 16777216u /* token rows of a micro-batch */
#define POSITIVE   1e-30     /* smallest positive setting; normal as fp32 */
#define BELOW_ONE  0.9999999 /* still below one as fp32 */

static const plr_choice formats[] = {{"pluralis-model/1", 1}, {"pluralis-model/2", 2}, {NULL, 0}};
static const plr_choice families[] = {{"llama", PLR_FAMILY_LLAMA}, {NULL, 0}};
static const plr_choice vocabularies[] = {{"bytes", PLR_VOCAB_BYTES}, {NULL, 0}};
static const field format_field = ENUM("format", format, formats);
static const plr_choice optimizers[] = {
    {"adamw", PLR_OPTIMIZER_ADAMW},         {"nadam", PLR_OPTIMIZER_NADAM},
    {"muon", PLR_OPTIMIZER_MUON},           {"sgdm", PLR_OPTIMIZER_SGDM},
    {"adamw_row", PLR_OPTIMIZER_ADAMW_ROW}, {NULL, 0}};
static const plr_choice clip_scopes[] = {
    {"block", PLR_CLIP_BLOCK}, {"global", PLR_CLIP_GLOBAL}, {NULL, 0}};
static const plr_choice storages[] = {
    {"f32", PLR_STORAGE_F32}, {"bf16", PLR_STORAGE_BF16}, {NULL, 0}};
static const plr_choice boundaries[] = {{"dense", PLR_BOUNDARY_DENSE},
                                        {"subspace", PLR_BOUNDARY_SUBSPACE},
                                        {"projector", PLR_BOUNDARY_PROJECTOR},
                                        {NULL, 0}};
static const plr_choice schedules[] = {{"constant", PLR_SCHEDULE_CONSTANT},
                                       {"linear", PLR_SCHEDULE_LINEAR},
                                       {"cosine", PLR_SCHEDULE_COSINE},
                                       {"wsd", PLR_SCHEDULE_WSD},
                                       {NULL, 0}};

static const field root_fields[] = {
    OTHER("format"),
    {"name", FIELD_NAME, 0, 0, 0, NULL, 0},
    ENUM("family", family, families),
    OTHER("vocab"),
    U32(blocks, 1, PLR_MAX_BLOCKS),
    U32(d_model, 1, MAX_DIM),
    U32(heads, 1, MAX_DIM),
    U32(kv_heads, 1, MAX_DIM),
    U32(head_dim, 2, MAX_DIM),
    U32(d_ff, 1, 4 * MAX_DIM),
    REAL(norm_eps, POSITIVE, 1),
    REAL(rope_theta, 1, 1e12),
    REAL(init_std, POSITIVE, 1e6),
    REAL(embed_std, POSITIVE, 1e6),
    U64("seed", seed),
    OTHER("cuts"),
    OTHER("boundary"),
    OTHER("train"),
};

static const field designed_fields[] = {
    OTHER("format"),   {"name", FIELD_NAME, 0, 0, 0, NULL, 0},
    OTHER("vocab"),    U32(d_model, 1, MAX_DIM),
    U64("seed", seed), OTHER("cuts"),
    OTHER("boundary"), OTHER("train"),
    OTHER("embed"), /* the last three are not in the text when a builder writes them */
    OTHER("blocks"),   OTHER("head"),
};
#define PARTS 3

static const field dense_fields[] = {ENUM("kind", boundary, boundaries)};

static const field subspace_fields[] = {
    ENUM("kind", boundary, boundaries),
    U32(rank, 1, MAX_DIM),
    U64("seed", boundary_seed),
    REAL(anchor_std, 0, 1e6),
};

static const field projector_fields[] = {
    ENUM("kind", boundary, boundaries),
    U32(rank, 1, MAX_DIM),
    U64("seed", boundary_seed),
    REAL(anchor_std, 0, 1e6),
    {"tied", FIELD_FLAG, offsetof(plr_manifest, tied), 0, 0, NULL, 0},
};

static const field train_fields[] = {
    U32(seq_len, 1, 1048576),
    U32(micro_batch, 1, MAX_DIM),
    U32(micro_batches, 1, MAX_DIM),
    ENUM("optimizer", optimizer, optimizers),
    REAL(lr, POSITIVE, 1e6),
    REAL(min_lr_ratio, 0, 1),
    REAL(weight_decay, 0, 1e6),
    REAL(clip, 0, 1e6),
    ENUM("schedule", schedule, schedules),
    U32(warmup_steps, 0, 2147483647.0),
    U32(steps, 1, 2147483647.0),
    U64("data_seed", data_seed),
    {"clip_scope", FIELD_ENUM, offsetof(plr_manifest, clip_scope), 0, 0, clip_scopes, 1},
    {"storage", FIELD_ENUM, offsetof(plr_manifest, storage), 0, 0, storages, 1},
};

/* What format 2 asks for besides, and what an optimizer or a schedule does. */
static const field designed_train_fields[] = {REAL(z_loss, 0, 1)};
static const field adam_fields[] = {
    REAL(beta1, 0, BELOW_ONE),
    REAL(beta2, 0, BELOW_ONE),
    REAL(eps, POSITIVE, 1),
};
static const field nadam_fields[] = {REAL(momentum_decay, 0, 1)};
static const field muon_fields[] = {REAL(muon_lr, POSITIVE, 1e6),
                                    REAL(muon_momentum, 0, BELOW_ONE)};
static const field sgdm_fields[] = {
    {"momentum", FIELD_REAL, offsetof(plr_manifest, beta1), 0, BELOW_ONE, NULL, 0}};
static const field wsd_fields[] = {U32(decay_steps, 0, 2147483647.0)};

/* ---- fields ----------------------------------------------------------------------------------- */

static plr_status read_field(plr_reading *r, const char *path, const field *f, const json_t *v) {
  void *at = f->offset == SIZE_MAX ? NULL : (char *)r->m + f->offset;
  uint64_t whole = 0;
  switch (f->kind) {
  case FIELD_U32:
    PLR_TRY(plr__read_whole(r, path, f->key, v, f->min, f->max, &whole));
    *(uint32_t *)at = (uint32_t)whole;
    return PLR_OK;
  case FIELD_U64:
    return plr__read_u64(r, path, f->key, v, at);
  case FIELD_REAL:
    return plr__read_real(r, path, f->key, v, f->min, f->max, at);
  case FIELD_ENUM:
    return plr__read_choice(r, path, f->key, v, f->choices, at);
  case FIELD_NAME:
    return plr__read_text(r, path, f->key, v, PLR_MODEL_MAX_NAME, r->m->name);
  case FIELD_FLAG:
    return plr__read_flag(r, path, f->key, v, at);
  case FIELD_OTHER:
    return PLR_OK;
  }
  return PLR_ERR_INTERNAL;
}

/* ---- objects ---------------------------------------------------------------------------------- */

static plr_status read_object(plr_reading *r, const char *path, const json_t *object,
                              const field *fields, size_t count) {
  if (!json_is_object(object)) return plr__wrong_type(r, path, "", "an object", object);
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)object, key, value) {
    size_t i = 0;
    while (i < count && strcmp(fields[i].key, key) != 0) i++;
    if (i == count) return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "unknown key");
  }
  for (size_t i = 0; i < count; i++) {
    value = json_object_get(object, fields[i].key);
    if (!value && fields[i].optional) continue;
    if (!value) return plr__refuse(r, PLR_ERR_MALFORMED, path, fields[i].key, "is missing");
    PLR_TRY(read_field(r, path, &fields[i], value));
  }
  return PLR_OK;
}

static plr_status read_cuts(plr_reading *r, const json_t *cuts) {
  plr_manifest *m = r->m;
  if (!json_is_array(cuts)) return plr__wrong_type(r, "manifest.cuts", "", "an array", cuts);
  size_t count = json_array_size(cuts);
  if (count >= m->blocks)
    return plr__refuse(r, PLR_ERR_MALFORMED, "manifest.cuts", "", "%zu cuts do not fit %u blocks",
                       count, m->blocks);
  for (size_t i = 0; i < count; i++) {
    char path[32];
    snprintf(path, sizeof path, "manifest.cuts[%zu]", i);
    double min = i > 0 ? m->cuts[i - 1] + 1.0 : 1.0;
    uint64_t cut = 0;
    if (min > m->blocks - 1.0)
      return plr__refuse(r, PLR_ERR_MALFORMED, path, "", "no block is left after the cut before");
    PLR_TRY(plr__read_whole(r, path, "", json_array_get(cuts, i), min, m->blocks - 1.0, &cut));
    m->cuts[i] = (uint32_t)cut;
  }
  m->cut_count = (uint32_t)count;
  return PLR_OK;
}

static plr_status read_boundary(plr_reading *r, const json_t *boundary) {
  plr_manifest *m = r->m;
  static const char path[] = "manifest.boundary";
  if (!json_is_object(boundary)) return plr__wrong_type(r, path, "", "an object", boundary);
  const json_t *kind = json_object_get(boundary, "kind");
  if (!kind) return plr__refuse(r, PLR_ERR_MALFORMED, path, "kind", "is missing");
  PLR_TRY(read_field(r, path, &dense_fields[0], kind));
  switch (m->boundary) {
  case PLR_BOUNDARY_SUBSPACE:
    PLR_TRY(read_object(r, path, boundary, subspace_fields, PLR_COUNT_OF(subspace_fields)));
    break;
  case PLR_BOUNDARY_PROJECTOR:
    PLR_TRY(read_object(r, path, boundary, projector_fields, PLR_COUNT_OF(projector_fields)));
    break;
  default:
    return read_object(r, path, boundary, dense_fields, PLR_COUNT_OF(dense_fields));
  }
  if (m->rank > m->d_model)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, "rank", "is %u, must not exceed d_model %u",
                       m->rank, m->d_model);
  if (m->cut_count == 0)
    return plr__refuse(r, PLR_ERR_MALFORMED, "manifest", "cuts", "a %s boundary needs a cut",
                       json_string_value(kind));
  return PLR_OK;
}

/* Relations between fields. */
static plr_status check_shape(plr_reading *r) {
  const plr_manifest *m = r->m;
  static const char path[] = "manifest";
  if (m->kv_heads > m->heads || m->heads % m->kv_heads != 0)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, "kv_heads", "is %u, must divide heads %u",
                       m->kv_heads, m->heads);
  if (m->head_dim % 2 != 0)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, "head_dim", "is %u, must be even", m->head_dim);
  if ((uint64_t)m->heads * m->head_dim > (uint64_t)MAX_DIM)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, "head_dim", "heads * head_dim exceeds %.0f",
                       MAX_DIM);
  return PLR_OK;
}

/* The keys of `train` depend on its optimizer and schedule. */
#define TRAIN_FIELDS_MAX 24
typedef struct field_list {
  field list[TRAIN_FIELDS_MAX];
  size_t count;
} field_list;

static void add_fields(field_list *f, const field *more, size_t count) {
  memcpy(f->list + f->count, more, count * sizeof *more);
  f->count += count;
}

static plr_status read_choice(plr_reading *r, const char *path, const json_t *object,
                              const char *key, const field *fields, size_t count) {
  const json_t *value = json_object_get(object, key);
  if (!value) return plr__refuse(r, PLR_ERR_MALFORMED, path, key, "is missing");
  for (size_t i = 0; i < count; i++)
    if (strcmp(fields[i].key, key) == 0) return read_field(r, path, &fields[i], value);
  return PLR_ERR_INTERNAL;
}

static plr_status read_train(plr_reading *r, const json_t *train) {
  static const char path[] = "manifest.train";
  const plr_manifest *m = r->m;
  const size_t common = PLR_COUNT_OF(train_fields);
  if (!json_is_object(train)) return plr__wrong_type(r, path, "", "an object", train);
  PLR_TRY(read_choice(r, path, train, "optimizer", train_fields, common));
  PLR_TRY(read_choice(r, path, train, "schedule", train_fields, common));
  field_list f = {.count = 0};
  add_fields(&f, train_fields, common);
  if (m->format == 2) add_fields(&f, designed_train_fields, PLR_COUNT_OF(designed_train_fields));
  if (m->optimizer == PLR_OPTIMIZER_SGDM)
    add_fields(&f, sgdm_fields, PLR_COUNT_OF(sgdm_fields));
  else
    add_fields(&f, adam_fields, PLR_COUNT_OF(adam_fields));
  if (m->optimizer == PLR_OPTIMIZER_NADAM) add_fields(&f, nadam_fields, PLR_COUNT_OF(nadam_fields));
  if (m->optimizer == PLR_OPTIMIZER_MUON) add_fields(&f, muon_fields, PLR_COUNT_OF(muon_fields));
  if (m->schedule == PLR_SCHEDULE_WSD) add_fields(&f, wsd_fields, PLR_COUNT_OF(wsd_fields));
  return read_object(r, path, train, f.list, f.count);
}

static plr_status check_train(plr_reading *r) {
  const plr_manifest *m = r->m;
  static const char path[] = "manifest.train";
  if ((uint64_t)m->micro_batch * m->seq_len > MAX_TOKENS)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, "micro_batch",
                       "micro_batch * seq_len exceeds %u", MAX_TOKENS);
  uint32_t positions = plr__program_positions(&m->program);
  if (positions && positions < m->seq_len)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, "seq_len",
                       "is %u, the learned positions are only %u", m->seq_len, positions);
  if (m->warmup_steps > m->steps)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, "warmup_steps",
                       "is %u, must not exceed steps %u", m->warmup_steps, m->steps);
  if (m->decay_steps > m->steps - m->warmup_steps)
    return plr__refuse(r, PLR_ERR_MALFORMED, path, "decay_steps",
                       "is %u, must not exceed %u (steps after the warm-up)", m->decay_steps,
                       m->steps - m->warmup_steps);
  return PLR_OK;
}

/* "bytes", or the number of symbols. */
static plr_status read_vocab(plr_reading *r, const json_t *v, uint32_t *symbols) {
  uint64_t count = 256;
  r->m->vocab = PLR_VOCAB_BYTES;
  if (!json_is_integer(v)) {
    PLR_TRY(plr__read_choice(r, "manifest", "vocab", v, vocabularies, NULL));
  } else {
    PLR_TRY(plr__read_whole(r, "manifest", "vocab", v, 2, PLR_COLS_MAX, &count));
    r->m->vocab = (uint32_t)count;
  }
  *symbols = (uint32_t)count;
  return PLR_OK;
}

/* Format and the keys of the root; from_c: the operations come from a builder. */
static plr_status read_root(plr_reading *r, const json_t *root, plr_context *ctx, int from_c) {
  plr_manifest *m = r->m;
  uint32_t symbols = 0;
  if (!json_is_object(root)) return plr__wrong_type(r, "manifest", "", "an object", root);
  const json_t *format = json_object_get(root, "format");
  if (!format) return plr__refuse(r, PLR_ERR_MALFORMED, "manifest", "format", "is missing");
  PLR_TRY(read_field(r, "manifest", &format_field, format));
  if (from_c && m->format != 2)
    return plr__refuse(r, PLR_ERR_UNSUPPORTED, "manifest", "format", "a builder takes format 2");
  if (m->format == 1)
    PLR_TRY(read_object(r, "manifest", root, root_fields, PLR_COUNT_OF(root_fields)));
  else
    PLR_TRY(read_object(r, "manifest", root, designed_fields,
                        PLR_COUNT_OF(designed_fields) - (from_c ? PARTS : 0)));
  PLR_TRY(read_vocab(r, json_object_get(root, "vocab"), &symbols));
  plr__program_init(&m->program, ctx, m->d_model, symbols);
  return PLR_OK;
}

/* A family's numbers, or the operations a designer wrote: in both cases a program. */
static plr_status read_blocks(plr_reading *r, const json_t *root) {
  if (r->m->format == 2) return plr__read_program(r, root);
  PLR_TRY(check_shape(r));
  return plr__llama_program(r->m, r->err);
}

/* What needs the number of blocks. */
static plr_status read_rest(plr_reading *r, const json_t *root) {
  r->m->blocks = r->m->program.block_count;
  PLR_TRY(read_cuts(r, json_object_get(root, "cuts")));
  PLR_TRY(read_boundary(r, json_object_get(root, "boundary")));
  PLR_TRY(read_train(r, json_object_get(root, "train")));
  return check_train(r);
}

void plr__manifest_release(plr_manifest *m) {
  plr__program_release(&m->program);
}

static plr_status parse(plr_context *ctx, const char *json, size_t len, json_t **root,
                        plr_error *err) {
  uint64_t most = PLR_MIN(plr__max_file(ctx), PLR_MANIFEST_MAX);
  if (len > most)
    return plr__fail(err, PLR_ERR_LIMIT, "manifest", "%zu bytes; at most %llu are read", len,
                     (unsigned long long)most);
  json_error_t bad;
  *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &bad);
  if (*root) return PLR_OK;
  if (json_error_code(&bad) == json_error_out_of_memory) return plr__no_memory(err, "manifest");
  char where[64];
  size_t offset = bad.position > 0 ? (size_t)bad.position : 0;
  plr__manifest_where(json, len, offset, where);
  return plr__fail_at(err, PLR_ERR_MALFORMED, where, offset, "line %d, column %d: %s", bad.line,
                      bad.column, bad.text);
}

plr_status plr__manifest_read(plr_context *ctx, const char *json, size_t len, plr_manifest *out,
                              plr_error *err) {
  json_t *root = NULL;
  memset(out, 0, sizeof *out);
  PLR_TRY(parse(ctx, json, len, &root, err));
  plr_reading r = {out, err};
  plr_status st = read_root(&r, root, ctx, 0);
  if (st == PLR_OK) st = read_blocks(&r, root);
  if (st == PLR_OK) st = read_rest(&r, root);
  json_decref(root);
  return st;
}

plr_status plr__manifest_begin(plr_context *ctx, const char *json, size_t len, plr_manifest *out,
                               plr_error *err) {
  json_t *root = NULL;
  memset(out, 0, sizeof *out);
  PLR_TRY(parse(ctx, json, len, &root, err));
  plr_reading r = {out, err};
  plr_status st = read_root(&r, root, ctx, 1);
  json_decref(root);
  return st;
}

plr_status plr__manifest_finish(plr_context *ctx, const char *json, size_t len, plr_manifest *m,
                                plr_error *err) {
  json_t *root = NULL;
  PLR_TRY(plr__program_finish(&m->program, err));
  PLR_TRY(parse(ctx, json, len, &root, err));
  plr_reading r = {m, err};
  plr_status st = read_rest(&r, root);
  json_decref(root);
  return st;
}
