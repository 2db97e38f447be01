/* The files of a checkpoint: opening, looking up a tensor. */
#include "shard/weights_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char where_[] = "weights";

static int by_name(const void *a, const void *b) {
  return strcmp(((const plr_weights_entry *)a)->name, ((const plr_weights_entry *)b)->name);
}

static plr_weights *new_weights(plr_context *ctx, plr_error *err) {
  plr_weights *w = plr__calloc(ctx, 1, sizeof *w);
  if (!w) {
    plr__no_memory(err, where_);
    return NULL;
  }
  w->ctx = plr__context_ref(ctx);
  return w;
}

static void release(plr_weights *w) {
  plr_context *ctx = w->ctx;
  for (uint32_t i = 0; i < w->file_count; i++) {
    plr_weights_file *f = &w->files[i];
    if (f->st.ctx) plr__st_release(&f->st);
    if (f->source.close) f->source.close(f->source.user);
  }
  plr__free(ctx, w->files);
  plr__free(ctx, w->entries);
  plr__free(ctx, w->index);
  plr__free(ctx, w->folder);
  plr__free(ctx, w);
  plr__context_unref(ctx);
}

/* ---- one file --------------------------------------------------------------------------------- */

static plr_status list_single(plr_weights *w, plr_error *err) {
  const plr_st_file *st = &w->files[0].st;
  w->entries = plr__calloc(w->ctx, st->tensor_count, sizeof *w->entries);
  if (!w->entries) return plr__no_memory(err, where_);
  for (uint32_t i = 0; i < st->tensor_count; i++) w->entries[i].name = st->tensors[i].name;
  w->entry_count = st->tensor_count;
  return PLR_OK;
}

/* `label` is how messages call the file. */
static plr_status open_single(plr_weights *w, const plr_source *source, const char *label,
                              plr_error *err) {
  w->files = plr__calloc(w->ctx, 1, sizeof *w->files);
  if (!w->files) {
    if (source->close) source->close(source->user);
    return plr__no_memory(err, where_);
  }
  w->file_count = 1;
  w->files[0].name = "";
  w->files[0].source = *source;
  PLR_TRY(plr__st_open(w->ctx, source, label, &w->files[0].st, err));
  w->files[0].open = 1;
  return list_single(w, err);
}

plr_status plr_weights_open(plr_context *ctx, const plr_source *source, plr_weights **out,
                            plr_error *err) {
  if (out) *out = NULL;
  if (!ctx || !source || !source->read_at || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "ctx, source or out is NULL");
  plr_weights *w = new_weights(ctx, err);
  if (!w) {
    if (source->close) source->close(source->user);
    return PLR_ERR_NO_MEMORY;
  }
  plr_status st = open_single(w, source, where_, err);
  if (st == PLR_OK)
    *out = w;
  else
    release(w);
  return st;
}

/* ---- an index --------------------------------------------------------------------------------- */

plr_status plr_weights_open_index(plr_context *ctx, const char *json, size_t len,
                                  const plr_source_opener *opener, plr_weights **out,
                                  plr_error *err) {
  if (out) *out = NULL;
  if (!ctx || !json || !opener || !opener->open || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "ctx, json, opener or out is NULL");
  plr_weights *w = new_weights(ctx, err);
  if (!w) return PLR_ERR_NO_MEMORY;
  w->opener = *opener;
  plr_status st = plr__weights_read_index(w, json, len, err);
  if (st == PLR_OK)
    *out = w;
  else
    release(w);
  return st;
}

/* What the index says of this file, and what the file says, must be the same. */
static plr_status check_file(const plr_weights *w, uint32_t index, plr_error *err) {
  const plr_weights_file *f = &w->files[index];
  for (uint32_t i = 0; i < w->entry_count; i++)
    if (w->entries[i].file == index && !plr__st_find(&f->st, w->entries[i].name))
      return plr__fail(err, PLR_ERR_MALFORMED, f->name,
                       "the index puts tensor %.96s in this file, which does not hold it",
                       w->entries[i].name);
  for (uint32_t i = 0; i < f->st.tensor_count; i++) {
    plr_weights_entry key = {.name = f->st.tensors[i].name};
    const plr_weights_entry *e = bsearch(&key, w->entries, w->entry_count, sizeof key, by_name);
    if (e && e->file != index)
      return plr__fail(err, PLR_ERR_MALFORMED, f->name,
                       "holds tensor %.80s, which the index puts in %.64s", key.name,
                       w->files[e->file].name);
  }
  return PLR_OK;
}

static plr_status open_file(plr_weights *w, uint32_t index, plr_error *err) {
  plr_weights_file *f = &w->files[index];
  if (f->open) return PLR_OK;
  memset(&f->source, 0, sizeof f->source);
  plr_status st = w->opener.open(w->opener.user, f->name, &f->source);
  if (st != PLR_OK) {
    memset(&f->source, 0, sizeof f->source);
    return plr__fail(err, st, f->name, "this file of the index cannot be opened");
  }
  st = plr__st_open(w->ctx, &f->source, f->name, &f->st, err);
  if (st == PLR_OK && (st = check_file(w, index, err)) != PLR_OK) plr__st_release(&f->st);
  if (st == PLR_OK) {
    f->open = 1;
    return PLR_OK;
  }
  if (f->source.close) f->source.close(f->source.user);
  memset(&f->source, 0, sizeof f->source);
  return st;
}

plr_status plr__weights_find(plr_weights *w, const char *name, const plr_st_file **file,
                             const plr_st_tensor **tensor, plr_error *err) {
  plr_weights_entry key = {.name = name};
  const plr_weights_entry *e =
      w->entry_count ? bsearch(&key, w->entries, w->entry_count, sizeof key, by_name) : NULL;
  *tensor = NULL;
  if (!e) return PLR_OK;
  PLR_TRY(open_file(w, e->file, err));
  *file = &w->files[e->file].st;
  *tensor = plr__st_find(*file, name);
  return PLR_OK;
}

/* ---- a path ----------------------------------------------------------------------------------- */

static plr_status open_beside(void *user, const char *name, plr_source *out) {
  const plr_weights *w = user;
  size_t size = strlen(w->folder) + strlen(name) + 2;
  char *path = plr__alloc(w->ctx, size);
  if (!path) return PLR_ERR_NO_MEMORY;
  snprintf(path, size, "%s/%s", w->folder, name);
  plr_status st = plr_source_open_path(w->ctx, path, out, NULL);
  plr__free(w->ctx, path);
  return st;
}

static plr_status read_whole_index(plr_weights *w, const plr_source *source, plr_error *err) {
  if (source->size > plr__max_file(w->ctx))
    return plr__fail(err, PLR_ERR_LIMIT, "index", "%llu bytes; at most %llu are read",
                     (unsigned long long)source->size, (unsigned long long)plr__max_file(w->ctx));
  char *text = plr__alloc(w->ctx, (size_t)source->size);
  if (!text) return plr__no_memory(err, "index");
  plr_status st = source->read_at(source->user, 0, text, (size_t)source->size);
  if (st == PLR_OK)
    st = plr__weights_read_index(w, text, (size_t)source->size, err);
  else
    plr__fail(err, st, "index", "cannot be read");
  plr__free(w->ctx, text);
  return st;
}

/* The index of the folder, else its one file, else the path itself. */
static plr_status open_path(plr_weights *w, const char *path, plr_error *err) {
  plr_source source;
  w->folder = plr__strdup(w->ctx, path);
  if (!w->folder) return plr__no_memory(err, where_);
  plr_status st = open_beside(w, "model.safetensors.index.json", &source);
  if (st == PLR_OK) {
    w->opener.user = w, w->opener.open = open_beside;
    st = read_whole_index(w, &source, err);
    source.close(source.user);
    return st;
  }
  if (st != PLR_ERR_NOT_FOUND) return plr__fail(err, st, path, "its index cannot be opened");
  st = open_beside(w, "model.safetensors", &source);
  if (st == PLR_ERR_NOT_FOUND) {
    PLR_TRY(plr_source_open_path(w->ctx, path, &source, err));
  } else if (st != PLR_OK) {
    return plr__fail(err, st, path, "its model.safetensors cannot be opened");
  }
  const char *slash = strrchr(path, '/');
  return open_single(w, &source, slash && slash[1] ? slash + 1 : path, err);
}

plr_status plr_weights_open_path(plr_context *ctx, const char *path, plr_weights **out,
                                 plr_error *err) {
  if (out) *out = NULL;
  if (!ctx || !path || !out)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "ctx, path or out is NULL");
  plr_weights *w = new_weights(ctx, err);
  if (!w) return PLR_ERR_NO_MEMORY;
  plr_status st = open_path(w, path, err);
  if (st == PLR_OK)
    *out = w;
  else
    release(w);
  return st;
}

/* ---- the handle ------------------------------------------------------------------------------- */

void plr_weights_destroy(plr_weights *weights) {
  if (!weights) return;
  PLR_GUARD_END(weights);
  release(weights);
}

uint32_t plr_weights_count(const plr_weights *weights) {
  return weights ? weights->entry_count : 0;
}

_Static_assert(PLR_WEIGHTS_DIMS == PLR_ST_DIMS, "shapes are copied");

plr_status plr_weights_get(plr_weights *weights, uint32_t i, plr_weights_tensor *info,
                           plr_error *err) {
  PLR_GUARD(weights, err);
  if (!weights || !info || i >= weights->entry_count)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_,
                     "weights or info is NULL, or there is no tensor %u", i);
  const plr_st_file *file = NULL;
  const plr_st_tensor *t = NULL;
  const plr_weights_entry *e = &weights->entries[i];
  PLR_TRY(plr__weights_find(weights, e->name, &file, &t, err));
  plr_weights_tensor full = {.dtype = t->type->dtype,
                             .ndim = t->ndim,
                             .bytes = t->size,
                             .name = e->name,
                             .file = weights->files[e->file].name};
  memcpy(full.shape, t->shape, sizeof full.shape);
  plr_status st = plr__record_write(info, &full, (uint32_t)sizeof full, (uint32_t)sizeof full);
  return st == PLR_OK ? st : plr__fail(err, st, where_, "struct_size of the tensor info is wrong");
}
