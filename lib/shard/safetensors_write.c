/* Writes a safetensors file front to back. */
#include "shard/safetensors.h"

#include "base/json.h"

#include <string.h>

void plr__st_writer_init(plr_st_writer *w, plr_context *ctx, plr_sink *sink) {
  memset(w, 0, sizeof *w);
  w->ctx = ctx, w->sink = sink;
  plr__buffer_init(&w->tensors, ctx);
  plr__buffer_init(&w->metadata, ctx);
}

void plr__st_writer_release(plr_st_writer *w) {
  plr__buffer_release(&w->tensors);
  plr__buffer_release(&w->metadata);
}

void plr__st_writer_tensor(plr_st_writer *w, const char *name, uint32_t dtype, uint32_t ndim,
                           const int64_t *shape) {
  const plr_st_dtype *type = plr__st_dtype(dtype);
  if (!type || ndim > PLR_ST_DIMS) {
    w->failed = PLR_ERR_INVALID_ARGUMENT;
    return;
  }
  uint64_t size = type->size;
  plr_buffer *b = &w->tensors;
  plr__json_put_string(b, name);
  (void)plr__buffer_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", type->name);
  for (uint32_t i = 0; i < ndim; i++) {
    (void)plr__buffer_printf(b, "%s%lld", i ? "," : "", (long long)shape[i]);
    size *= (uint64_t)shape[i];
  }
  (void)plr__buffer_printf(b, "],\"data_offsets\":[%llu,%llu]},", (unsigned long long)w->declared,
                           (unsigned long long)(w->declared + size));
  w->declared += size;
}

void plr__st_writer_text(plr_st_writer *w, const char *key, const char *value) {
  plr__json_put_string(&w->metadata, key);
  plr__buffer_u8(&w->metadata, ':');
  plr__json_put_string(&w->metadata, value);
  plr__buffer_u8(&w->metadata, ',');
}

static plr_status put(plr_st_writer *w, const void *data, size_t len) {
  if (w->failed == PLR_OK) w->failed = w->sink->write(w->sink->user, data, len);
  return w->failed;
}

plr_status plr__st_writer_begin(plr_st_writer *w) {
  plr_buffer header;
  plr__buffer_init(&header, w->ctx);
  plr__buffer_le64(&header, 0);
  plr__buffer_u8(&header, '{');
  if (w->metadata.len > 0) {
    static const char open[] = "\"__metadata__\":{", close[] = "},";
    plr__buffer_put(&header, open, sizeof open - 1);
    plr__buffer_put(&header, w->metadata.data, w->metadata.len - 1); /* without the last comma */
    plr__buffer_put(&header, close, sizeof close - 1);
  }
  plr__buffer_put(&header, w->tensors.data, w->tensors.len);
  int failed = header.failed || w->tensors.failed || w->metadata.failed;
  if (failed && w->failed == PLR_OK) w->failed = PLR_ERR_NO_MEMORY;
  if (w->failed == PLR_OK) {
    if (header.data[header.len - 1] == ',') header.len--;
    plr__buffer_u8(&header, '}');
    /* Data of any type begins aligned in the file, so that it can be mapped. */
    while (header.len % 8 != 0) plr__buffer_u8(&header, ' ');
    if (header.failed) w->failed = PLR_ERR_NO_MEMORY;
  }
  if (w->failed == PLR_OK) {
    plr__store_le64(header.data, header.len - 8);
    put(w, header.data, header.len);
  }
  plr__buffer_release(&header);
  return w->failed;
}

plr_status plr__st_writer_data(void *writer, const void *data, size_t len) {
  plr_st_writer *w = writer;
  if (w->failed == PLR_OK && len > w->declared - w->written) w->failed = PLR_ERR_INVALID_ARGUMENT;
  w->written += len;
  return put(w, data, len);
}

plr_status plr__st_writer_end(plr_st_writer *w) {
  if (w->failed == PLR_OK && w->written != w->declared) w->failed = PLR_ERR_INVALID_STATE;
  return w->failed;
}
