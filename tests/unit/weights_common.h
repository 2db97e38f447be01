/* Files in memory, folders of them, and checkpoints made of them. */
#ifndef PLR_TESTS_WEIGHTS_COMMON_H
#define PLR_TESTS_WEIGHTS_COMMON_H

#include "shard_common.h"

#include "base/base.h"
#include "shard/safetensors.h"

/* A file in memory that counts what is read of it; as a sink it is written. */
typedef struct file {
  char name[64];
  uint8_t *data;
  size_t len, cap, fail_after;   /* a write past fail_after bytes is NO_SPACE; 0: never */
  uint64_t bytes_read, fails_at; /* a read that reaches fails_at is IO; 0: never */
  int opened, closed, commits, aborts;
} file;

static inline plr_status file_read(void *user, uint64_t offset, void *buf, size_t len) {
  file *f = user;
  if (offset > f->len || len > f->len - offset) return PLR_ERR_TRUNCATED;
  if (f->fails_at && offset + len >= f->fails_at) return PLR_ERR_IO;
  memcpy(buf, f->data + offset, len);
  f->bytes_read += len;
  return PLR_OK;
}

static inline void file_close(void *user) {
  ((file *)user)->closed++;
}

static inline plr_status file_append(void *user, const void *data, size_t len) {
  file *f = user;
  if (f->fail_after && f->len + len > f->fail_after) return PLR_ERR_NO_SPACE;
  if (f->len + len > f->cap) {
    f->cap = (f->len + len) * 2;
    f->data = realloc(f->data, f->cap);
    assert_non_null(f->data);
  }
  if (len) memcpy(f->data + f->len, data, len);
  f->len += len;
  return PLR_OK;
}

static inline plr_status file_commit(void *user) {
  ((file *)user)->commits++;
  return PLR_OK;
}

static inline void file_abort(void *user) {
  ((file *)user)->aborts++;
}

static inline plr_source file_source(file *f) {
  plr_source s = {f, f->len, file_read, file_close};
  f->opened++;
  return s;
}

static inline plr_sink file_sink(file *f) {
  plr_sink s = {f, file_append, file_commit, file_abort};
  f->len = 0, f->commits = f->aborts = 0;
  return s;
}

/* Files by name, for an index. */
typedef struct folder {
  file *files;
  int count;
} folder;

static inline plr_status folder_open(void *user, const char *name, plr_source *out) {
  folder *d = user;
  for (int i = 0; i < d->count; i++)
    if (strcmp(d->files[i].name, name) == 0) {
      *out = file_source(&d->files[i]);
      return PLR_OK;
    }
  return PLR_ERR_NOT_FOUND;
}

static inline void files_release(file *files, int count) {
  for (int i = 0; i < count; i++) {
    assert_int_equal(files[i].opened, files[i].closed);
    free(files[i].data);
  }
}

static inline plr_weights *open_file(plr_context *ctx, file *f) {
  plr_source source = file_source(f);
  plr_weights *w = NULL;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_weights_open(ctx, &source, &w, &err);
  if (st != PLR_OK) fail_msg("%s: %s", err.where, err.message);
  return w;
}

/* A shard of blocks [first, end) with these weights; NULL with *err filled when it is refused. */
static inline plr_shard *load_shard(plr_context *ctx, plr_model *model, plr_weights *weights,
                                    uint32_t first, uint32_t end, plr_error *err) {
  plr_shard_options o;
  plr_shard_options_init(&o, sizeof o);
  o.first_block = first, o.end_block = end, o.weights = weights;
  plr_shard *shard = NULL;
  plr_error_init(err, sizeof *err);
  plr_shard_create(ctx, model, &o, &shard, err);
  return shard;
}

static inline void export_to(plr_shard *shard, uint32_t dtype, file *f) {
  plr_sink sink = file_sink(f);
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr_shard_export(shard, dtype, &sink, &err);
  if (st != PLR_OK) fail_msg("%s: %s", err.where, err.message);
  assert_int_equal(f->commits, 1);
  assert_int_equal(f->aborts, 0);
}

/* A parameter's weights, to be freed. */
static inline float *weights_of(plr_shard *shard, const char *name, size_t *count) {
  for (uint32_t i = 0; i < plr_shard_parameters(shard); i++) {
    plr_parameter_info p = {.struct_size = sizeof p};
    assert_int_equal(plr_shard_parameter(shard, i, &p), PLR_OK);
    if (strcmp(p.name, name) != 0) continue;
    plr_tensor t;
    *count = (size_t)(p.rows * p.cols);
    float *w = calloc(*count, sizeof *w);
    plr_tensor_matrix(&t, w, PLR_DTYPE_F32, p.rows, p.cols);
    assert_int_equal(plr_shard_read(shard, PLR_PARAMETER_WEIGHT, name, &t, NULL), PLR_OK);
    return w;
  }
  fail_msg("no parameter %s", name);
  return NULL;
}

/* Every parameter of `part` is the same bits in `whole`. */
static inline void assert_same_weights(plr_shard *part, plr_shard *whole) {
  for (uint32_t i = 0; i < plr_shard_parameters(part); i++) {
    plr_parameter_info p = {.struct_size = sizeof p};
    size_t n = 0, m = 0;
    assert_int_equal(plr_shard_parameter(part, i, &p), PLR_OK);
    float *a = weights_of(part, p.name, &n), *b = weights_of(whole, p.name, &m);
    assert_int_equal(n, m);
    if (memcmp(a, b, n * sizeof *a) != 0) fail_msg("%s differs", p.name);
    free(a);
    free(b);
  }
}

#endif
