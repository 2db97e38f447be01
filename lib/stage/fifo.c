#include "fifo.h"

#include <string.h>

#define RECORD_HEADER 16u /* u64 length, u32 tag, u32 unused */
#define MAX_RECORDS   32u

static size_t padded(size_t len) {
  return (len + 7u) & ~(size_t)7u;
}

plr_status plr__fifo_init(plr__fifo *f, plr_context *ctx, size_t initial, size_t max) {
  memset(f, 0, sizeof *f);
  f->ctx = ctx;
  f->data = plr__alloc(ctx, initial);
  if (!f->data) return PLR_ERR_NO_MEMORY;
  f->cap = initial;
  f->max = PLR_MAX(initial, max);
  return PLR_OK;
}

void plr__fifo_release(plr__fifo *f) {
  if (f->data) plr__free(f->ctx, f->data);
  memset(f, 0, sizeof *f);
}

/* Makes `need` bytes free behind the tail: first by moving what is held to the front, then by growing. */
static plr_status make_room(plr__fifo *f, size_t need) {
  size_t held = f->tail - f->head;
  if (f->tail + need <= f->cap) return PLR_OK;
  if (need > f->max || held > f->max - need) return PLR_ERR_LIMIT;
  if (f->head > 0) {
    memmove(f->data, f->data + f->head, held);
    f->head = 0, f->tail = held;
  }
  if (held + need <= f->cap) return PLR_OK;
  size_t cap = f->cap;
  while (cap < held + need) cap = cap > f->max / 2 ? f->max : cap * 2;
  uint8_t *grown = plr__realloc(f->ctx, f->data, cap);
  if (!grown) return PLR_ERR_NO_MEMORY;
  f->data = grown, f->cap = cap;
  return PLR_OK;
}

plr_status plr__fifo_push(plr__fifo *f, uint32_t tag, const void *head, size_t head_len,
                          const void *body, size_t body_len) {
  size_t len = head_len + body_len;
  PLR_TRY(make_room(f, RECORD_HEADER + padded(len)));
  uint8_t *p = f->data + f->tail;
  plr__store_le64(p, len);
  plr__store_le32(p + 8, tag);
  plr__store_le32(p + 12, 0);
  if (head_len) memcpy(p + RECORD_HEADER, head, head_len);
  if (body_len) memcpy(p + RECORD_HEADER + head_len, body, body_len);
  f->tail += RECORD_HEADER + padded(len);
  return PLR_OK;
}

const uint8_t *plr__fifo_peek(const plr__fifo *f, uint32_t *tag, size_t *len) {
  if (plr__fifo_empty(f)) return NULL;
  const uint8_t *p = f->data + f->head;
  *len = (size_t)plr__load_le64(p);
  if (tag) *tag = plr__load_le32(p + 8);
  return p + RECORD_HEADER;
}

void plr__fifo_pop(plr__fifo *f) {
  if (plr__fifo_empty(f)) return;
  f->head += RECORD_HEADER + padded((size_t)plr__load_le64(f->data + f->head));
  if (f->head == f->tail) f->head = f->tail = 0;
}

int plr__fifo_empty(const plr__fifo *f) {
  return f->head == f->tail;
}

int plr__fifo_has_room(const plr__fifo *f, size_t bytes) {
  size_t overhead = MAX_RECORDS * (RECORD_HEADER + 8u);
  return f->max - (f->tail - f->head) >= bytes + overhead;
}
