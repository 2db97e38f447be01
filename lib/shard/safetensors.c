/* Reads the header of a safetensors file and proves that it is whole. */
#include "shard/safetensors.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

/* The format's types (safetensors 0.4); those without a number of ours are measured but not read. */
static const plr_st_dtype types[] = {
    {"F32", 4, PLR_DTYPE_F32},
    {"F16", 2, PLR_DTYPE_F16},
    {"BF16", 2, PLR_DTYPE_BF16},
    {"I32", 4, PLR_DTYPE_I32},
    {"U8", 1, PLR_DTYPE_U8},
    {"F64", 8, 0},
    {"I64", 8, 0},
    {"U64", 8, 0},
    {"U32", 4, 0},
    {"I16", 2, 0},
    {"U16", 2, 0},
    {"I8", 1, 0},
    {"BOOL", 1, 0},
    {"F8_E4M3", 1, 0},
    {"F8_E5M2", 1, 0},
};

const plr_st_dtype *plr__st_dtype(uint32_t dtype) {
  for (size_t i = 0; i < PLR_COUNT_OF(types); i++)
    if (dtype && types[i].dtype == dtype) return &types[i];
  return NULL;
}

typedef struct opening {
  plr_st_file *file;
  plr_error *err;
  plr_json json;
  uint64_t data_size;
  uint32_t tensor_cap, metadata_cap;
} opening;

/* A refusal at byte `at` of the header. */
#define REFUSE(o, st, at, ...)                                                                     \
  plr__fail_at((o)->err, st, (o)->file->where, 8 + (uint64_t)(at), __VA_ARGS__)

/* Long names would push what is wrong out of the message. */
#define NAME "%.96s"

static plr_status bad_json(opening *o) {
  return REFUSE(o, PLR_ERR_MALFORMED, o->json.pos, "the header is not as it must be: %s",
                o->json.failed ? o->json.failed : "unexpected text");
}

/* Makes room for one more element in an array. */
static plr_status reserve(opening *o, void **array, uint32_t count, uint32_t *cap, size_t size) {
  if (count < *cap) return PLR_OK;
  uint32_t want = *cap ? *cap * 2 : 64;
  void *grown = plr__realloc(o->file->ctx, *array, want * size);
  if (!grown) return plr__no_memory(o->err, o->file->where);
  *array = grown, *cap = want;
  return PLR_OK;
}

/* ---- one tensor ------------------------------------------------------------------------------- */

static plr_status read_dtype(opening *o, plr_st_tensor *t) {
  size_t at = o->json.pos;
  const char *name = plr__json_string(&o->json);
  if (!name) return bad_json(o);
  for (size_t i = 0; i < PLR_COUNT_OF(types) && !t->type; i++)
    if (strcmp(types[i].name, name) == 0) t->type = &types[i];
  if (t->type) return PLR_OK;
  return REFUSE(o, PLR_ERR_UNSUPPORTED, at, "tensor " NAME " has the unknown dtype \"%.32s\"",
                t->name, name);
}

static plr_status read_shape(opening *o, plr_st_tensor *t) {
  size_t at = o->json.pos;
  int first = 1;
  t->count = 1;
  plr__json_open(&o->json, '[');
  while (plr__json_more(&o->json, '[', &first)) {
    uint64_t n = plr__json_whole(&o->json);
    if (o->json.failed) break;
    if (t->ndim == PLR_ST_DIMS)
      return REFUSE(o, PLR_ERR_UNSUPPORTED, at, "tensor " NAME " has more than %u dimensions",
                    t->name, PLR_ST_DIMS);
    /* A dimension of 0 makes the product 0, but what stands beside it must still be a size. */
    if (n > (uint64_t)INT64_MAX / 8 || (n && (uint64_t)t->count > (uint64_t)INT64_MAX / 8 / n))
      return REFUSE(o, PLR_ERR_MALFORMED, at, "tensor " NAME ": its shape overflows", t->name);
    t->count *= (int64_t)n;
    t->shape[t->ndim++] = (int64_t)n;
  }
  return o->json.failed ? bad_json(o) : PLR_OK;
}

static plr_status read_offsets(opening *o, plr_st_tensor *t) {
  uint64_t value[2] = {0, 0};
  uint32_t n = 0;
  int first = 1;
  size_t at = o->json.pos;
  plr__json_open(&o->json, '[');
  while (plr__json_more(&o->json, '[', &first)) {
    uint64_t v = plr__json_whole(&o->json);
    if (n < 2) value[n] = v;
    n++;
  }
  if (o->json.failed) return bad_json(o);
  if (n != 2)
    return REFUSE(o, PLR_ERR_MALFORMED, at, "tensor " NAME " has %u data_offsets, not 2", t->name,
                  n);
  if (value[1] < value[0])
    return REFUSE(o, PLR_ERR_MALFORMED, at, "tensor " NAME " ends at %llu before its start %llu",
                  t->name, (unsigned long long)value[1], (unsigned long long)value[0]);
  if (value[1] > o->data_size)
    return REFUSE(o, PLR_ERR_TRUNCATED, at,
                  "tensor " NAME " ends at %llu, the file holds %llu bytes of data", t->name,
                  (unsigned long long)value[1], (unsigned long long)o->data_size);
  t->offset = value[0], t->size = value[1] - value[0];
  return PLR_OK;
}

/* What the three members say must agree. */
static plr_status check_tensor(opening *o, const plr_st_tensor *t, size_t at) {
  uint64_t want = (uint64_t)t->count * t->type->size;
  if (t->size != want)
    return REFUSE(o, PLR_ERR_MALFORMED, at, "tensor " NAME " has %llu bytes, its shape needs %llu",
                  t->name, (unsigned long long)t->size, (unsigned long long)want);
  if (t->offset % t->type->size != 0)
    return REFUSE(o, PLR_ERR_MALFORMED, at, "tensor " NAME " starts at %llu, not aligned to %u",
                  t->name, (unsigned long long)t->offset, t->type->size);
  return PLR_OK;
}

static plr_status read_tensor(opening *o, const char *name) {
  plr_st_file *f = o->file;
  void *array = f->tensors;
  plr_status st = reserve(o, &array, f->tensor_count, &o->tensor_cap, sizeof *f->tensors);
  f->tensors = array;
  if (st != PLR_OK) return st;
  plr_st_tensor *t = &f->tensors[f->tensor_count];
  memset(t, 0, sizeof *t);
  t->name = name;
  static const char *const keys[] = {"dtype", "shape", "data_offsets"};
  plr_status (*const read[])(opening *, plr_st_tensor *) = {read_dtype, read_shape, read_offsets};
  uint32_t seen = 0;
  int first = 1;
  size_t at = o->json.pos;
  plr__json_open(&o->json, '{');
  while (plr__json_more(&o->json, '{', &first)) {
    const char *key = plr__json_key(&o->json);
    if (!key) break;
    uint32_t k = 0;
    while (k < 3 && strcmp(keys[k], key) != 0) k++;
    if (k == 3 || seen & 1u << k)
      return REFUSE(o, PLR_ERR_MALFORMED, o->json.pos, "tensor " NAME ": %s key \"%.32s\"", name,
                    k == 3 ? "unknown" : "repeated", key);
    seen |= 1u << k;
    PLR_TRY(read[k](o, t));
  }
  if (o->json.failed) return bad_json(o);
  for (uint32_t k = 0; k < 3; k++)
    if (!(seen & 1u << k))
      return REFUSE(o, PLR_ERR_MALFORMED, at, "tensor " NAME " has no %s", name, keys[k]);
  PLR_TRY(check_tensor(o, t, at));
  f->tensor_count++;
  return PLR_OK;
}

/* ---- the header ------------------------------------------------------------------------------- */

static plr_status read_metadata(opening *o) {
  plr_st_file *f = o->file;
  int first = 1;
  plr__json_open(&o->json, '{');
  while (plr__json_more(&o->json, '{', &first)) {
    void *array = f->metadata;
    plr_status st = reserve(o, &array, f->metadata_count, &o->metadata_cap, sizeof *f->metadata);
    f->metadata = array;
    if (st != PLR_OK) return st;
    plr_st_pair *p = &f->metadata[f->metadata_count];
    p->key = plr__json_key(&o->json);
    p->value = plr__json_string(&o->json);
    if (o->json.failed) break;
    f->metadata_count++;
  }
  return o->json.failed ? bad_json(o) : PLR_OK;
}

static plr_status read_members(opening *o) {
  int first = 1, metadata = 0;
  if (plr__json_peek(&o->json) != '{' || o->json.pos != 0)
    return REFUSE(o, PLR_ERR_MALFORMED, 0, "the header does not begin with '{'");
  plr__json_open(&o->json, '{');
  while (plr__json_more(&o->json, '{', &first)) {
    size_t at = o->json.pos;
    const char *key = plr__json_key(&o->json);
    if (!key) break;
    if (strcmp(key, "__metadata__") != 0) {
      PLR_TRY(read_tensor(o, key));
      continue;
    }
    if (metadata++) return REFUSE(o, PLR_ERR_MALFORMED, at, "the key __metadata__ is repeated");
    PLR_TRY(read_metadata(o));
  }
  return plr__json_done(&o->json) ? PLR_OK : bad_json(o);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const plr_st_tensor *)a)->name, ((const plr_st_tensor *)b)->name);
}

static int by_offset(const void *a, const void *b) {
  const plr_st_tensor *x = a, *y = b;
  if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
  return x->size < y->size ? -1 : x->size > y->size;
}

static int by_key(const void *a, const void *b) {
  return strcmp(((const plr_st_pair *)a)->key, ((const plr_st_pair *)b)->key);
}

/* Every byte of the data belongs to one tensor. Leaves the tensors ordered by offset. */
static plr_status check_layout(opening *o) {
  plr_st_file *f = o->file;
  uint64_t end = 0;
  if (f->tensor_count) qsort(f->tensors, f->tensor_count, sizeof *f->tensors, by_offset);
  for (uint32_t i = 0; i < f->tensor_count; i++) {
    const plr_st_tensor *t = &f->tensors[i];
    if (t->offset < end)
      return plr__fail(o->err, PLR_ERR_MALFORMED, f->where,
                       "tensors %.80s and %.80s overlap at byte %llu of the data", t[-1].name,
                       t->name, (unsigned long long)t->offset);
    if (t->offset > end)
      return plr__fail(o->err, PLR_ERR_MALFORMED, f->where,
                       "bytes %llu .. %llu of the data, before tensor " NAME ", are no tensor's",
                       (unsigned long long)end, (unsigned long long)t->offset, t->name);
    end += t->size;
  }
  if (end != o->data_size)
    return plr__fail(o->err, PLR_ERR_MALFORMED, f->where,
                     "bytes %llu .. %llu at the end of the data are no tensor's",
                     (unsigned long long)end, (unsigned long long)o->data_size);
  return PLR_OK;
}

static plr_status check_names(opening *o) {
  plr_st_file *f = o->file;
  if (f->tensor_count) qsort(f->tensors, f->tensor_count, sizeof *f->tensors, by_name);
  if (f->metadata_count) qsort(f->metadata, f->metadata_count, sizeof *f->metadata, by_key);
  for (uint32_t i = 1; i < f->tensor_count; i++)
    if (strcmp(f->tensors[i - 1].name, f->tensors[i].name) == 0)
      return plr__fail(o->err, PLR_ERR_MALFORMED, f->where, "tensor " NAME " is there twice",
                       f->tensors[i].name);
  for (uint32_t i = 1; i < f->metadata_count; i++)
    if (strcmp(f->metadata[i - 1].key, f->metadata[i].key) == 0)
      return plr__fail(o->err, PLR_ERR_MALFORMED, f->where, "__metadata__ has " NAME " twice",
                       f->metadata[i].key);
  return PLR_OK;
}

static plr_status read_header(opening *o) {
  plr_st_file *f = o->file;
  const plr_source *source = &f->source;
  uint8_t prefix[8];
  if (source->size < sizeof prefix)
    return plr__fail(o->err, PLR_ERR_TRUNCATED, f->where, "%llu bytes do not hold a header length",
                     (unsigned long long)source->size);
  plr_status st = source->read_at(source->user, 0, prefix, sizeof prefix);
  if (st != PLR_OK) return plr__fail(o->err, st, f->where, "the header cannot be read");
  uint64_t len = plr__load_le64(prefix), most = PLR_MIN(plr__max_file(f->ctx), PLR_ST_MAX_HEADER);
  if (len > source->size - sizeof prefix)
    return plr__fail(o->err, PLR_ERR_TRUNCATED, f->where,
                     "a header of %llu bytes in a file of %llu", (unsigned long long)len,
                     (unsigned long long)source->size);
  if (len > most)
    return plr__fail(o->err, PLR_ERR_LIMIT, f->where,
                     "a header of %llu bytes; at most %llu are read", (unsigned long long)len,
                     (unsigned long long)most);
  f->header = plr__alloc(f->ctx, (size_t)len);
  if (!f->header) return plr__no_memory(o->err, f->where);
  st = source->read_at(source->user, sizeof prefix, f->header, (size_t)len);
  if (st != PLR_OK) return plr__fail_at(o->err, st, f->where, 8, "the header cannot be read");
  plr__json_init(&o->json, f->header, (size_t)len);
  o->data_size = source->size - sizeof prefix - len;
  PLR_TRY(read_members(o));
  PLR_TRY(check_layout(o));
  for (uint32_t i = 0; i < f->tensor_count; i++) f->tensors[i].offset += sizeof prefix + len;
  return check_names(o);
}

plr_status plr__st_open(plr_context *ctx, const plr_source *source, const char *where,
                        plr_st_file *out, plr_error *err) {
  memset(out, 0, sizeof *out);
  out->ctx = ctx;
  out->source = *source;
  size_t n = PLR_MIN(strlen(where), sizeof out->where - 1);
  memcpy(out->where, where, n);
  opening o = {.file = out, .err = err};
  plr_status st = read_header(&o);
  if (st != PLR_OK) plr__st_release(out);
  return st;
}

void plr__st_release(plr_st_file *file) {
  plr__free(file->ctx, file->header);
  plr__free(file->ctx, file->tensors);
  plr__free(file->ctx, file->metadata);
  file->header = NULL, file->tensors = NULL, file->metadata = NULL;
  file->tensor_count = file->metadata_count = 0;
}

/* ---- look-up and data ------------------------------------------------------------------------- */

const plr_st_tensor *plr__st_find(const plr_st_file *file, const char *name) {
  plr_st_tensor key = {.name = name};
  if (file->tensor_count == 0) return NULL;
  return bsearch(&key, file->tensors, file->tensor_count, sizeof key, by_name);
}

const char *plr__st_metadata(const plr_st_file *file, const char *key) {
  plr_st_pair want = {key, NULL};
  if (file->metadata_count == 0) return NULL;
  const plr_st_pair *p = bsearch(&want, file->metadata, file->metadata_count, sizeof want, by_key);
  return p ? p->value : NULL;
}

plr_status plr__st_read(const plr_st_file *file, const plr_st_tensor *t, uint64_t from, void *buf,
                        size_t len, plr_error *err) {
  if (from > t->size || len > t->size - from)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, file->where,
                     "tensor " NAME " has %llu bytes: not %zu from %llu", t->name,
                     (unsigned long long)t->size, len, (unsigned long long)from);
  if (len == 0) return PLR_OK;
  plr_status st = file->source.read_at(file->source.user, t->offset + from, buf, len);
  if (st == PLR_OK) return PLR_OK;
  return plr__fail_at(err, st, file->where, t->offset + from, "tensor " NAME " cannot be read",
                      t->name);
}
