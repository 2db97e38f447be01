/* A growing byte buffer whose first failure sticks. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PLR_BUFFER_FIRST 256u

void plr__buffer_init(plr_buffer *b, plr_context *ctx) {
  memset(b, 0, sizeof *b);
  b->ctx = ctx;
}

void plr__buffer_release(plr_buffer *b) {
  plr__free(b->ctx, b->data);
  plr__buffer_init(b, b->ctx);
}

void plr__buffer_clear(plr_buffer *b) {
  b->len = 0;
  b->failed = 0;
}

plr_status plr__buffer_reserve(plr_buffer *b, size_t extra) {
  if (b->failed) return PLR_ERR_NO_MEMORY;
  if (extra <= b->cap - b->len) return PLR_OK;
  size_t need = b->len + extra;
  size_t cap = PLR_MAX(b->cap, PLR_BUFFER_FIRST);
  while (cap < need && cap <= SIZE_MAX / 2) cap *= 2;
  uint8_t *data = NULL;
  if (need >= extra && cap >= need) {
    data = plr__realloc(b->ctx, b->data, cap);
    if (!data) data = plr__realloc(b->ctx, b->data, cap = need); /* the doubled size may not fit */
  }
  if (!data) {
    b->failed = 1;
    return PLR_ERR_NO_MEMORY;
  }
  b->data = data;
  b->cap = cap;
  return PLR_OK;
}

void plr__buffer_put(plr_buffer *b, const void *data, size_t len) {
  if (len == 0 || plr__buffer_reserve(b, len) != PLR_OK) return;
  memcpy(b->data + b->len, data, len);
  b->len += len;
}

void plr__buffer_u8(plr_buffer *b, uint8_t v) {
  plr__buffer_put(b, &v, 1);
}

void plr__buffer_le16(plr_buffer *b, uint16_t v) {
  uint8_t bytes[2];
  plr__store_le16(bytes, v);
  plr__buffer_put(b, bytes, sizeof bytes);
}

void plr__buffer_le32(plr_buffer *b, uint32_t v) {
  uint8_t bytes[4];
  plr__store_le32(bytes, v);
  plr__buffer_put(b, bytes, sizeof bytes);
}

void plr__buffer_le64(plr_buffer *b, uint64_t v) {
  uint8_t bytes[8];
  plr__store_le64(bytes, v);
  plr__buffer_put(b, bytes, sizeof bytes);
}

void plr__buffer_be16(plr_buffer *b, uint16_t v) {
  uint8_t bytes[2];
  plr__store_be16(bytes, v);
  plr__buffer_put(b, bytes, sizeof bytes);
}

void plr__buffer_be32(plr_buffer *b, uint32_t v) {
  uint8_t bytes[4];
  plr__store_be32(bytes, v);
  plr__buffer_put(b, bytes, sizeof bytes);
}

void plr__buffer_be64(plr_buffer *b, uint64_t v) {
  uint8_t bytes[8];
  plr__store_be64(bytes, v);
  plr__buffer_put(b, bytes, sizeof bytes);
}

plr_status plr__buffer_printf(plr_buffer *b, const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, fmt, args);
  va_end(args);
  plr_status st = n < 0 ? PLR_ERR_INTERNAL : plr__buffer_reserve(b, (size_t)n + 1);
  if (n < 0) b->failed = 1;
  if (st == PLR_OK) {
    vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
    b->len += (size_t)n;
  }
  va_end(again);
  return st;
}
