/* Fuzz: a safetensors file from anywhere. What is accepted must be whole, and must come out of the writer as a file
 * that says the same; every refusal names what and where. */
#include <stdlib.h>
#include <string.h>

#include "shard/safetensors.h"

typedef struct bytes {
  const uint8_t *data;
  size_t len;
} bytes;

static plr_status read_at(void *user, uint64_t offset, void *buf, size_t len) {
  const bytes *b = user;
  if (offset > b->len || len > b->len - offset) return PLR_ERR_TRUNCATED;
  memcpy(buf, b->data + offset, len);
  return PLR_OK;
}

static plr_status append(void *user, const void *data, size_t len) {
  plr__buffer_put(user, data, len);
  return PLR_OK;
}

static plr_source source_of(bytes *b) {
  plr_source s = {b, b->len, read_at, NULL};
  return s;
}

/* Every byte belongs to exactly one tensor. */
static void check(const plr_st_file *f, size_t size) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < f->tensor_count; i++) {
    const plr_st_tensor *t = &f->tensors[i];
    uint64_t n = t->type->size;
    for (uint32_t k = 0; k < t->ndim; k++) n *= (uint64_t)t->shape[k];
    if (n != t->size || t->offset > size || t->size > size - t->offset) abort();
    if (plr__st_find(f, t->name) != t) abort();
    total += t->size;
  }
  if (total > size) abort();
}

static void write_again(plr_context *ctx, const plr_st_file *f, plr_buffer *out) {
  plr_sink sink = {out, append, NULL, NULL};
  plr_st_writer w;
  plr__st_writer_init(&w, ctx, &sink);
  for (uint32_t i = 0; i < f->metadata_count; i++)
    plr__st_writer_text(&w, f->metadata[i].key, f->metadata[i].value);
  for (uint32_t i = 0; i < f->tensor_count; i++) {
    const plr_st_tensor *t = &f->tensors[i];
    plr__st_writer_tensor(&w, t->name, t->type->dtype, t->ndim, t->shape);
  }
  if (plr__st_writer_begin(&w) != PLR_OK) abort();
  for (uint32_t i = 0; i < f->tensor_count; i++) {
    const plr_st_tensor *t = &f->tensors[i];
    uint8_t *data = calloc(1, (size_t)t->size + 1);
    if (!data || plr__st_read(f, t, 0, data, (size_t)t->size, NULL) != PLR_OK) abort();
    if (plr__st_writer_data(&w, data, (size_t)t->size) != PLR_OK) abort();
    free(data);
  }
  if (plr__st_writer_end(&w) != PLR_OK) abort();
  plr__st_writer_release(&w);
}

static int written(const plr_st_file *f) {
  for (uint32_t i = 0; i < f->tensor_count; i++) {
    if (!f->tensors[i].type->dtype) return 0;
    /* the writer puts them one after the other, in this order, and they must stay aligned */
    if (f->tensors[i].type->size != f->tensors[0].type->size) return 0;
  }
  return 1;
}

static void check_again(plr_context *ctx, const plr_st_file *f) {
  plr_buffer out;
  plr__buffer_init(&out, ctx);
  write_again(ctx, f, &out);
  bytes b = {out.data, out.len};
  plr_source source = source_of(&b);
  plr_st_file g;
  if (plr__st_open(ctx, &source, "again", &g, NULL) != PLR_OK) abort();
  if (g.tensor_count != f->tensor_count || g.metadata_count != f->metadata_count) abort();
  for (uint32_t i = 0; i < g.tensor_count; i++)
    if (strcmp(g.tensors[i].name, f->tensors[i].name) != 0 ||
        g.tensors[i].size != f->tensors[i].size)
      abort();
  for (uint32_t i = 0; i < g.metadata_count; i++)
    if (strcmp(g.metadata[i].value, f->metadata[i].value) != 0) abort();
  plr__st_release(&g);
  plr__buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  plr_context *ctx;
  if (plr_context_create(NULL, &ctx, NULL) != PLR_OK) abort();
  bytes b = {data, size};
  plr_source source = source_of(&b);
  plr_st_file f;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status st = plr__st_open(ctx, &source, "fuzz", &f, &err);
  if (st == PLR_OK) {
    check(&f, size);
    if (written(&f)) check_again(ctx, &f);
    plr__st_release(&f);
  } else if (f.header || f.tensors || err.status != st || !err.where[0] || !err.message[0]) {
    abort();
  }
  plr_context_destroy(ctx);
  return 0;
}
