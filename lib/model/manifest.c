/* Reads a manifest: JSON in, plr_manifest out. Every key of the table is required, no other is allowed: a manifest
 * says everything, so that its hash does. */
#include "model/model_int.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef enum { FIELD_U32, FIELD_U64, FIELD_REAL, FIELD_ENUM, FIELD_NAME, FIELD_OTHER } field_kind;

typedef struct choice {
  const char *text;
  uint32_t value;
} choice;

/* min and max bound numbers; enums name their choices; FIELD_OTHER is read by its own function. */
typedef struct field {
  const char *key;
  field_kind kind;
  size_t offset;
  double min, max;
  const choice *choices;
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

static const choice formats[] = {{"pluralis-model/1", 0}, {NULL, 0}};
static const choice families[] = {{"llama", PLR_FAMILY_LLAMA}, {NULL, 0}};
static const choice vocabularies[] = {{"bytes", PLR_VOCAB_BYTES}, {NULL, 0}};
static const choice optimizers[] = {
    {"adamw", PLR_OPTIMIZER_ADAMW},         {"nadam", PLR_OPTIMIZER_NADAM},
    {"muon", PLR_OPTIMIZER_MUON},           {"sgdm", PLR_OPTIMIZER_SGDM},
    {"adamw_row", PLR_OPTIMIZER_ADAMW_ROW}, {NULL, 0}};
static const choice clip_scopes[] = {
    {"block", PLR_CLIP_BLOCK}, {"global", PLR_CLIP_GLOBAL}, {NULL, 0}};
static const choice boundaries[] = {
    {"dense", PLR_BOUNDARY_DENSE}, {"subspace", PLR_BOUNDARY_SUBSPACE}, {NULL, 0}};
static const choice schedules[] = {{"constant", PLR_SCHEDULE_CONSTANT},
                                   {"linear", PLR_SCHEDULE_LINEAR},
                                   {"cosine", PLR_SCHEDULE_COSINE},
                                   {"wsd", PLR_SCHEDULE_WSD},
                                   {NULL, 0}};

static const field root_fields[] = {
    {"format", FIELD_ENUM, SIZE_MAX, 0, 0, formats, 0},
    {"name", FIELD_NAME, 0, 0, 0, NULL, 0},
    ENUM("family", family, families),
    ENUM("vocab", vocab, vocabularies),
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

static const field dense_fields[] = {ENUM("kind", boundary, boundaries)};

static const field subspace_fields[] = {
    ENUM("kind", boundary, boundaries),
    U32(rank, 1, MAX_DIM),
    U64("seed", boundary_seed),
    REAL(anchor_std, 0, 1e6),
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
};

/* What an optimizer or a schedule asks for besides. */
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

/* ---- messages --------------------------------------------------------------------------------- */

typedef struct reading {
  plr_manifest *m;
  plr_error *err;
} reading;

static plr_status refuse(reading *r, plr_status st, const char *path, const char *key,
                         const char *fmt, ...) PLR_PRINTF(5, 6);

static plr_status refuse(reading *r, plr_status st, const char *path, const char *key,
                         const char *fmt, ...) {
  char where[64], message[240];
  snprintf(where, sizeof where, "%s%s%s", path, *key ? "." : "", key);
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  return plr__fail(r->err, st, where, "%s", message);
}

static const char *type_name(const json_t *v) {
  switch (json_typeof(v)) {
  case JSON_OBJECT:
    return "an object";
  case JSON_ARRAY:
    return "an array";
  case JSON_STRING:
    return "a string";
  case JSON_INTEGER:
    return "a whole number";
  case JSON_REAL:
    return "a number with a fraction or exponent";
  case JSON_NULL:
    return "null";
  default:
    return "a boolean";
  }
}

static plr_status wrong_type(reading *r, const char *path, const char *key, const char *want,
                             const json_t *got) {
  return refuse(r, PLR_ERR_MALFORMED, path, key, "must be %s, not %s", want, type_name(got));
}

/* ---- single fields ---------------------------------------------------------------------------- */

static plr_status read_whole(reading *r, const char *path, const char *key, const json_t *v,
                             double min, double max, uint64_t *out) {
  if (!json_is_integer(v)) return wrong_type(r, path, key, "a whole number", v);
  json_int_t x = json_integer_value(v);
  if (x < (json_int_t)min || x > (json_int_t)max)
    return refuse(r, PLR_ERR_MALFORMED, path, key, "is %lld, must be in %.0f .. %.0f", (long long)x,
                  min, max);
  *out = (uint64_t)x;
  return PLR_OK;
}

static plr_status read_u64(reading *r, const char *path, const char *key, const json_t *v,
                           uint64_t *out) {
  if (!json_is_integer(v)) return wrong_type(r, path, key, "a whole number", v);
  if (json_integer_value(v) < 0)
    return refuse(r, PLR_ERR_MALFORMED, path, key, "is %lld, must not be negative",
                  (long long)json_integer_value(v));
  *out = (uint64_t)json_integer_value(v);
  return PLR_OK;
}

static plr_status read_real(reading *r, const char *path, const char *key, const json_t *v,
                            double min, double max, double *out) {
  if (!json_is_number(v)) return wrong_type(r, path, key, "a number", v);
  double x = json_number_value(v);
  if (!(x >= min && x <= max))
    return refuse(r, PLR_ERR_MALFORMED, path, key, "is %g, must be in %g .. %g", x, min, max);
  *out = x == 0.0 ? 0.0 : x; /* -0.0 says the same and must hash the same */
  return PLR_OK;
}

static plr_status read_enum(reading *r, const char *path, const field *f, const json_t *v,
                            uint32_t *out) {
  if (!json_is_string(v)) return wrong_type(r, path, f->key, "a string", v);
  char known[160] = "";
  for (const choice *c = f->choices; c->text; c++) {
    if (strcmp(c->text, json_string_value(v)) == 0) {
      if (out) *out = c->value;
      return PLR_OK;
    }
    size_t n = strlen(known);
    snprintf(known + n, sizeof known - n, "%s\"%s\"", n ? ", " : "", c->text);
  }
  return refuse(r, PLR_ERR_UNSUPPORTED, path, f->key, "\"%.48s\" is not known here; known: %s",
                json_string_value(v), known);
}

static plr_status read_name(reading *r, const char *path, const char *key, const json_t *v) {
  if (!json_is_string(v)) return wrong_type(r, path, key, "a string", v);
  const char *text = json_string_value(v);
  size_t len = json_string_length(v);
  if (len == 0 || len > PLR_MODEL_MAX_NAME)
    return refuse(r, PLR_ERR_MALFORMED, path, key, "has %zu bytes, must have 1 .. %u", len,
                  PLR_MODEL_MAX_NAME);
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
      return refuse(r, PLR_ERR_MALFORMED, path, key, "holds a control character");
  memcpy(r->m->name, text, len + 1);
  return PLR_OK;
}

static plr_status read_field(reading *r, const char *path, const field *f, const json_t *v) {
  void *at = f->offset == SIZE_MAX ? NULL : (char *)r->m + f->offset;
  uint64_t whole = 0;
  switch (f->kind) {
  case FIELD_U32:
    PLR_TRY(read_whole(r, path, f->key, v, f->min, f->max, &whole));
    *(uint32_t *)at = (uint32_t)whole;
    return PLR_OK;
  case FIELD_U64:
    return read_u64(r, path, f->key, v, at);
  case FIELD_REAL:
    return read_real(r, path, f->key, v, f->min, f->max, at);
  case FIELD_ENUM:
    return read_enum(r, path, f, v, at);
  case FIELD_NAME:
    return read_name(r, path, f->key, v);
  case FIELD_OTHER:
    return PLR_OK;
  }
  return PLR_ERR_INTERNAL;
}

/* ---- objects ---------------------------------------------------------------------------------- */

static plr_status read_object(reading *r, const char *path, const json_t *object,
                              const field *fields, size_t count) {
  if (!json_is_object(object)) return wrong_type(r, path, "", "an object", object);
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)object, key, value) {
    size_t i = 0;
    while (i < count && strcmp(fields[i].key, key) != 0) i++;
    if (i == count) return refuse(r, PLR_ERR_MALFORMED, path, key, "unknown key");
  }
  for (size_t i = 0; i < count; i++) {
    value = json_object_get(object, fields[i].key);
    if (!value && fields[i].optional) continue;
    if (!value) return refuse(r, PLR_ERR_MALFORMED, path, fields[i].key, "is missing");
    PLR_TRY(read_field(r, path, &fields[i], value));
  }
  return PLR_OK;
}

static plr_status read_cuts(reading *r, const json_t *cuts) {
  plr_manifest *m = r->m;
  if (!json_is_array(cuts)) return wrong_type(r, "manifest.cuts", "", "an array", cuts);
  size_t count = json_array_size(cuts);
  if (count >= m->blocks)
    return refuse(r, PLR_ERR_MALFORMED, "manifest.cuts", "", "%zu cuts do not fit %u blocks", count,
                  m->blocks);
  for (size_t i = 0; i < count; i++) {
    char path[32];
    snprintf(path, sizeof path, "manifest.cuts[%zu]", i);
    double min = i > 0 ? m->cuts[i - 1] + 1.0 : 1.0;
    uint64_t cut = 0;
    if (min > m->blocks - 1.0)
      return refuse(r, PLR_ERR_MALFORMED, path, "", "no block is left after the cut before");
    PLR_TRY(read_whole(r, path, "", json_array_get(cuts, i), min, m->blocks - 1.0, &cut));
    m->cuts[i] = (uint32_t)cut;
  }
  m->cut_count = (uint32_t)count;
  return PLR_OK;
}

static plr_status read_boundary(reading *r, const json_t *boundary) {
  plr_manifest *m = r->m;
  static const char path[] = "manifest.boundary";
  if (!json_is_object(boundary)) return wrong_type(r, path, "", "an object", boundary);
  const json_t *kind = json_object_get(boundary, "kind");
  if (!kind) return refuse(r, PLR_ERR_MALFORMED, path, "kind", "is missing");
  PLR_TRY(read_field(r, path, &dense_fields[0], kind));
  if (m->boundary == PLR_BOUNDARY_DENSE)
    return read_object(r, path, boundary, dense_fields, PLR_COUNT_OF(dense_fields));
  PLR_TRY(read_object(r, path, boundary, subspace_fields, PLR_COUNT_OF(subspace_fields)));
  if (m->rank > m->d_model)
    return refuse(r, PLR_ERR_MALFORMED, path, "rank", "is %u, must not exceed d_model %u", m->rank,
                  m->d_model);
  if (m->cut_count == 0)
    return refuse(r, PLR_ERR_MALFORMED, "manifest", "cuts", "a subspace boundary needs a cut");
  return PLR_OK;
}

/* Relations between fields. */
static plr_status check_shape(reading *r) {
  const plr_manifest *m = r->m;
  static const char path[] = "manifest";
  if (m->kv_heads > m->heads || m->heads % m->kv_heads != 0)
    return refuse(r, PLR_ERR_MALFORMED, path, "kv_heads", "is %u, must divide heads %u",
                  m->kv_heads, m->heads);
  if (m->head_dim % 2 != 0)
    return refuse(r, PLR_ERR_MALFORMED, path, "head_dim", "is %u, must be even", m->head_dim);
  if ((uint64_t)m->heads * m->head_dim > (uint64_t)MAX_DIM)
    return refuse(r, PLR_ERR_MALFORMED, path, "head_dim", "heads * head_dim exceeds %.0f", MAX_DIM);
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

static plr_status read_choice(reading *r, const char *path, const json_t *object, const char *key,
                              const field *fields, size_t count) {
  const json_t *value = json_object_get(object, key);
  if (!value) return refuse(r, PLR_ERR_MALFORMED, path, key, "is missing");
  for (size_t i = 0; i < count; i++)
    if (strcmp(fields[i].key, key) == 0) return read_field(r, path, &fields[i], value);
  return PLR_ERR_INTERNAL;
}

static plr_status read_train(reading *r, const json_t *train) {
  static const char path[] = "manifest.train";
  const plr_manifest *m = r->m;
  const size_t common = PLR_COUNT_OF(train_fields);
  if (!json_is_object(train)) return wrong_type(r, path, "", "an object", train);
  PLR_TRY(read_choice(r, path, train, "optimizer", train_fields, common));
  PLR_TRY(read_choice(r, path, train, "schedule", train_fields, common));
  field_list f = {.count = 0};
  add_fields(&f, train_fields, common);
  if (m->optimizer == PLR_OPTIMIZER_SGDM)
    add_fields(&f, sgdm_fields, PLR_COUNT_OF(sgdm_fields));
  else
    add_fields(&f, adam_fields, PLR_COUNT_OF(adam_fields));
  if (m->optimizer == PLR_OPTIMIZER_NADAM) add_fields(&f, nadam_fields, PLR_COUNT_OF(nadam_fields));
  if (m->optimizer == PLR_OPTIMIZER_MUON) add_fields(&f, muon_fields, PLR_COUNT_OF(muon_fields));
  if (m->schedule == PLR_SCHEDULE_WSD) add_fields(&f, wsd_fields, PLR_COUNT_OF(wsd_fields));
  return read_object(r, path, train, f.list, f.count);
}

static plr_status check_train(reading *r) {
  const plr_manifest *m = r->m;
  static const char path[] = "manifest.train";
  if ((uint64_t)m->micro_batch * m->seq_len > MAX_TOKENS)
    return refuse(r, PLR_ERR_MALFORMED, path, "micro_batch", "micro_batch * seq_len exceeds %u",
                  MAX_TOKENS);
  if (m->warmup_steps > m->steps)
    return refuse(r, PLR_ERR_MALFORMED, path, "warmup_steps", "is %u, must not exceed steps %u",
                  m->warmup_steps, m->steps);
  if (m->decay_steps > m->steps - m->warmup_steps)
    return refuse(r, PLR_ERR_MALFORMED, path, "decay_steps",
                  "is %u, must not exceed %u (steps after the warm-up)", m->decay_steps,
                  m->steps - m->warmup_steps);
  return PLR_OK;
}

static plr_status read_manifest(reading *r, const json_t *root) {
  PLR_TRY(read_object(r, "manifest", root, root_fields, PLR_COUNT_OF(root_fields)));
  PLR_TRY(check_shape(r));
  PLR_TRY(read_cuts(r, json_object_get(root, "cuts")));
  PLR_TRY(read_boundary(r, json_object_get(root, "boundary")));
  PLR_TRY(read_train(r, json_object_get(root, "train")));
  return check_train(r);
}

plr_status plr__manifest_read(plr_context *ctx, const char *json, size_t len, plr_manifest *out,
                              plr_error *err) {
  memset(out, 0, sizeof *out);
  uint64_t most = PLR_MIN(plr__max_file(ctx), PLR_MANIFEST_MAX);
  if (len > most)
    return plr__fail(err, PLR_ERR_LIMIT, "manifest", "%zu bytes; at most %llu are read", len,
                     (unsigned long long)most);
  json_error_t bad;
  json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &bad);
  if (!root) {
    if (json_error_code(&bad) == json_error_out_of_memory) return plr__no_memory(err, "manifest");
    char where[64];
    size_t offset = bad.position > 0 ? (size_t)bad.position : 0;
    plr__manifest_where(json, len, offset, where);
    return plr__fail_at(err, PLR_ERR_MALFORMED, where, offset, "line %d, column %d: %s", bad.line,
                        bad.column, bad.text);
  }
  reading r = {out, err};
  plr_status st = read_manifest(&r, root);
  json_decref(root);
  return st;
}
