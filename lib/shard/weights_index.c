/* model.safetensors.index.json, read and written:
 * {"metadata": {"total_size": bytes}, "weight_map": {"tensor": "file", ...}} */
#include "base/json.h"
#include "shard/weights_int.h"

#include <stdlib.h>
#include <string.h>

static const char where_[] = "index";

#define MAX_FILE_NAME 255u

plr_status plr__weights_check_file_name(const char *name, const char *where, plr_error *err) {
  size_t len = strlen(name);
  const char *wrong = NULL;
  if (len == 0 || len > MAX_FILE_NAME) wrong = "is empty or longer than 255 bytes";
  if (name[0] == '.') wrong = "begins with a dot";
  if (strpbrk(name, "/\\:")) wrong = "holds a path";
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)name[i] < 0x20) wrong = "holds a control character";
  if (!wrong) return PLR_OK;
  return plr__fail(err, PLR_ERR_MALFORMED, where, "the file name \"%.96s\" %s", name, wrong);
}

/* ---- reading ---------------------------------------------------------------------------------- */

typedef struct reading {
  plr_weights *w;
  plr_error *err;
  plr_json json;
  const char **file; /* of each entry, by name */
  uint32_t cap;
} reading;

static plr_status bad_json(reading *r) {
  return plr__fail_at(r->err, PLR_ERR_MALFORMED, where_, r->json.pos, "is not as it must be: %s",
                      r->json.failed ? r->json.failed : "unexpected text");
}

static plr_status add_entry(reading *r, const char *name, const char *file) {
  plr_weights *w = r->w;
  PLR_TRY(plr__weights_check_file_name(file, where_, r->err));
  if (w->entry_count == r->cap) {
    uint32_t cap = r->cap ? 2 * r->cap : 256;
    void *entries = plr__realloc(w->ctx, w->entries, cap * sizeof *w->entries);
    if (entries) w->entries = entries;
    void *files = plr__realloc(w->ctx, r->file, cap * sizeof *r->file);
    if (files) r->file = files;
    if (!entries || !files) return plr__no_memory(r->err, where_);
    r->cap = cap;
  }
  /* For now `file` is the place in r->file: names of files are numbered once all are known. */
  w->entries[w->entry_count] = (plr_weights_entry){name, w->entry_count, 0};
  r->file[w->entry_count++] = file;
  return PLR_OK;
}

static plr_status read_map(reading *r) {
  int first = 1;
  plr__json_open(&r->json, '{');
  while (plr__json_more(&r->json, '{', &first)) {
    const char *name = plr__json_key(&r->json), *file = plr__json_string(&r->json);
    if (r->json.failed) break;
    PLR_TRY(add_entry(r, name, file));
  }
  return r->json.failed ? bad_json(r) : PLR_OK;
}

static plr_status read_members(reading *r) {
  int first = 1, maps = 0, others = 0;
  plr__json_open(&r->json, '{');
  while (plr__json_more(&r->json, '{', &first)) {
    const char *key = plr__json_key(&r->json);
    if (!key) break;
    if (strcmp(key, "weight_map") == 0) {
      if (maps++) return plr__fail(r->err, PLR_ERR_MALFORMED, where_, "weight_map is repeated");
      PLR_TRY(read_map(r));
    } else if (strcmp(key, "metadata") == 0) {
      if (others++) return plr__fail(r->err, PLR_ERR_MALFORMED, where_, "metadata is repeated");
      plr__json_skip(&r->json);
    } else {
      return plr__fail_at(r->err, PLR_ERR_MALFORMED, where_, r->json.pos, "unknown key \"%.64s\"",
                          key);
    }
  }
  if (!plr__json_done(&r->json)) return bad_json(r);
  return maps ? PLR_OK : plr__fail(r->err, PLR_ERR_MALFORMED, where_, "has no weight_map");
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const plr_weights_entry *)a)->name, ((const plr_weights_entry *)b)->name);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Gives the files numbers, in the order of their names. */
static plr_status number_files(reading *r) {
  plr_weights *w = r->w;
  uint32_t n = w->entry_count, count = 0;
  const char **sorted = plr__calloc(w->ctx, n, sizeof *sorted);
  if (!sorted) return plr__no_memory(r->err, where_);
  if (n) {
    memcpy(sorted, r->file, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
  }
  for (uint32_t i = 0; i < n; i++)
    if (count == 0 || strcmp(sorted[count - 1], sorted[i]) != 0) sorted[count++] = sorted[i];
  w->files = plr__calloc(w->ctx, count, sizeof *w->files);
  if (w->files) {
    w->file_count = count;
    for (uint32_t i = 0; i < count; i++) w->files[i].name = sorted[i];
    for (uint32_t i = 0; i < n; i++) {
      const char **at = bsearch(&r->file[i], sorted, count, sizeof *sorted, by_text);
      w->entries[i].file = (uint32_t)(at - sorted);
    }
  }
  plr__free(w->ctx, sorted);
  return w->files ? PLR_OK : plr__no_memory(r->err, where_);
}

static plr_status read_index(reading *r) {
  plr_weights *w = r->w;
  PLR_TRY(read_members(r));
  PLR_TRY(number_files(r));
  if (w->entry_count) qsort(w->entries, w->entry_count, sizeof *w->entries, by_name);
  for (uint32_t i = 1; i < w->entry_count; i++)
    if (strcmp(w->entries[i - 1].name, w->entries[i].name) == 0)
      return plr__fail(r->err, PLR_ERR_MALFORMED, where_, "tensor %.96s is there twice",
                       w->entries[i].name);
  return PLR_OK;
}

plr_status plr__weights_read_index(plr_weights *w, const char *json, size_t len, plr_error *err) {
  if (len > plr__max_file(w->ctx))
    return plr__fail(err, PLR_ERR_LIMIT, where_, "%zu bytes; at most %llu are read", len,
                     (unsigned long long)plr__max_file(w->ctx));
  w->index = plr__alloc(w->ctx, len);
  if (!w->index) return plr__no_memory(err, where_);
  if (len) memcpy(w->index, json, len);
  reading r = {.w = w, .err = err};
  plr__json_init(&r.json, w->index, len);
  plr_status st = read_index(&r);
  plr__free(w->ctx, r.file);
  return st;
}

/* ---- writing ---------------------------------------------------------------------------------- */

typedef struct writing {
  plr_context *ctx;
  plr_buffer map;
  plr_st_file *files;
  uint64_t total;
} writing;

/* A tensor of file `index` that an earlier file holds too. */
static const char *held_before(const writing *w, uint32_t index) {
  for (uint32_t f = 0; f < index; f++)
    for (uint32_t i = 0; i < w->files[index].tensor_count; i++)
      if (plr__st_find(&w->files[f], w->files[index].tensors[i].name))
        return w->files[index].tensors[i].name;
  return NULL;
}

static plr_status add_file(writing *w, uint32_t index, const char *name, const plr_source *source,
                           plr_error *err) {
  plr_st_file *file = &w->files[index];
  PLR_TRY(plr__weights_check_file_name(name, where_, err));
  PLR_TRY(plr__st_open(w->ctx, source, name, file, err));
  const char *twice = held_before(w, index);
  if (twice)
    return plr__fail(err, PLR_ERR_MALFORMED, name, "tensor %.96s is in an earlier file too", twice);
  for (uint32_t i = 0; i < file->tensor_count; i++) {
    if (w->map.len) plr__buffer_u8(&w->map, ',');
    plr__json_put_string(&w->map, file->tensors[i].name);
    plr__buffer_u8(&w->map, ':');
    plr__json_put_string(&w->map, name);
    w->total += file->tensors[i].size;
  }
  return PLR_OK;
}

static plr_status write_index(writing *w, plr_sink *sink, plr_error *err) {
  plr_buffer text;
  plr__buffer_init(&text, w->ctx);
  (void)plr__buffer_printf(&text, "{\"metadata\":{\"total_size\":%llu},\"weight_map\":{",
                           (unsigned long long)w->total);
  plr__buffer_put(&text, w->map.data, w->map.len);
  plr__buffer_put(&text, "}}\n", 3);
  plr_status st = PLR_OK;
  if (text.failed || w->map.failed)
    st = plr__no_memory(err, where_);
  else if ((st = sink->write(sink->user, text.data, text.len)) != PLR_OK)
    plr__fail(err, st, where_, "cannot be written");
  plr__buffer_release(&text);
  return st;
}

plr_status plr_weights_write_index(plr_context *ctx, const char *const *names,
                                   const plr_source *sources, uint32_t count, plr_sink *sink,
                                   plr_error *err) {
  if (!sink) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "sink is NULL");
  plr_status st = PLR_OK;
  writing w = {.ctx = ctx};
  if (!ctx || !names || !sources || count == 0) {
    st = plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_,
                   "ctx, names or sources is NULL, or there are none");
  } else {
    plr__buffer_init(&w.map, ctx);
    w.files = plr__calloc(ctx, count, sizeof *w.files);
    if (!w.files) st = plr__no_memory(err, where_);
    for (uint32_t i = 0; i < count && st == PLR_OK; i++)
      st = add_file(&w, i, names[i], &sources[i], err);
    if (st == PLR_OK) st = write_index(&w, sink, err);
    for (uint32_t i = 0; w.files && i < count; i++)
      if (w.files[i].ctx) plr__st_release(&w.files[i]);
    plr__free(ctx, w.files);
    plr__buffer_release(&w.map);
  }
  if (st != PLR_OK) {
    sink->abort(sink->user);
    return st;
  }
  st = sink->commit(sink->user);
  return st == PLR_OK ? st : plr__fail(err, st, where_, "could not be made durable");
}
