/* Frame to tensor. A chunk that is stored is read where it lies; one in zstd goes through two buffers. */
#include "exchange/exchange_int.h"

#include "base/guard.h"

#include <string.h>

struct plr_decoder {
  plr_context *ctx;
  PLR_GUARDED
  uint32_t max_rows, max_cols;
  uint8_t *a, *b; /* four bytes for each value of a chunk */
  void *zstd_memory, *zstd;
};

plr_status plr_decoder_create(plr_context *ctx, uint32_t max_rows, uint32_t max_cols,
                              plr_decoder **out, plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "decoder", "out is NULL");
  *out = NULL;
  if (!ctx || max_rows == 0 || max_cols == 0)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "decoder", "ctx is NULL or shape %u x %u",
                     max_rows, max_cols);
  const uint64_t all = (uint64_t)max_rows * max_cols;
  if (all > UINT32_MAX / 4)
    return plr__fail(err, PLR_ERR_LIMIT, "decoder", "shape %u x %u", max_rows, max_cols);
  const size_t values = (size_t)PLR_MIN(all, PLR_MAX(PLR_CHUNK_VALUES, max_cols));
  const size_t zstd = plr__zstd_decoder_size();
  plr_decoder *d = plr__calloc(ctx, 1, sizeof *d);
  if (!d) return plr__no_memory(err, "decoder");
  d->ctx = plr__context_ref(ctx);
  d->max_rows = max_rows, d->max_cols = max_cols;
  d->a = plr__alloc(ctx, values * 4);
  d->b = plr__alloc(ctx, values * 4);
  d->zstd_memory = plr__alloc(ctx, zstd);
  if (d->zstd_memory) d->zstd = plr__zstd_decoder_init(d->zstd_memory, zstd);
  if (!d->a || !d->b || !d->zstd) {
    plr_decoder_destroy(d);
    return plr__no_memory(err, "decoder");
  }
  *out = d;
  return PLR_OK;
}

void plr_decoder_destroy(plr_decoder *d) {
  if (!d) return;
  PLR_GUARD_END(d);
  plr_context *ctx = d->ctx;
  plr__free(ctx, d->a);
  plr__free(ctx, d->b);
  plr__free(ctx, d->zstd_memory);
  plr__free(ctx, d);
  plr__context_unref(ctx);
}

/* The payload of n values as FRAME.md packs them, in the frame or in b. */
static plr_status open_payload(plr_decoder *d, const plr_codec *c, const plr__chunk *chunk,
                               size_t n, const uint8_t **payload, const char **why) {
  *payload = chunk->payload;
  if (!(chunk->flags & PLR_CHUNK_ZSTD)) return PLR_OK;
  const size_t packed = (size_t)plr__packed_len(c, n), front = (size_t)plr__planes_len(c, n);
  const uint32_t size = plr__plane_size(c);
  *why = "not one zstd frame of the right length";
  PLR_TRY(plr__zstd_decode(d->zstd, chunk->payload, chunk->payload_len, d->a, packed));
  plr__unshuffle(d->a, front / size, size, d->b);
  memcpy(d->b + front, d->a + front, packed - front);
  *payload = d->b;
  return PLR_OK;
}

static plr_status decode_chunk(plr_decoder *d, const plr_codec *c, const plr__chunk *chunk,
                               plr_tensor *x, const char **why) {
  const size_t cols = (size_t)x->shape[1], n = chunk->rows * cols;
  const int contiguous = x->strides[0] == x->shape[1] || chunk->rows == 1;
  float *to = (float *)x->data + (int64_t)chunk->first_row * x->strides[0];
  float *values = contiguous ? to : (float *)(void *)d->a;
  const uint8_t *payload;
  PLR_TRY(open_payload(d, c, chunk, n, &payload, why));
  PLR_TRY(plr__unpack(plr_context_isa(d->ctx), c, payload, n, values, why));
  for (uint32_t r = 0; !contiguous && r < chunk->rows; r++, to += x->strides[0])
    memcpy(to, values + r * cols, cols * sizeof *to);
  return PLR_OK;
}

static plr_status decode_chunks(plr_decoder *d, const plr__frame *f, plr_tensor *x,
                                plr_error *err) {
  plr__chunk_reader r = {f, 0, 0, 0};
  for (uint32_t i = 0; i < f->info.chunks; i++) {
    plr__chunk chunk;
    PLR_TRY(plr__chunk_next(&r, &chunk, err));
    const char *why = "";
    plr_status st = decode_chunk(d, &f->info.codec, &chunk, x, &why);
    if (st != PLR_OK) return plr__chunk_fail(err, st, f, i, &chunk, why);
  }
  return plr__chunk_done(&r, err);
}

static plr_status check_target(const plr_decoder *d, const plr_frame_info *info,
                               const plr_tensor *x, plr_error *err) {
  if (info->role == PLR_ROLE_TOKENS || info->role == PLR_ROLE_CONTROL)
    return plr__fail_at(err, PLR_ERR_MALFORMED, "frame header", 14, "role %u holds no tensor",
                        info->role);
  if (info->rows > d->max_rows || info->cols > d->max_cols)
    return plr__fail_at(err, PLR_ERR_LIMIT, "frame header", 16,
                        "%u x %u; this decoder was made for %u x %u", info->rows, info->cols,
                        d->max_rows, d->max_cols);
  if (plr__check_matrix(x, d->max_rows, d->max_cols) != PLR_OK || x->shape[0] != info->rows ||
      x->shape[1] != info->cols)
    return plr__fail_at(err, PLR_ERR_SHAPE, "frame header", 16,
                        "%u x %u is not the shape of the given fp32 matrix", info->rows,
                        info->cols);
  return PLR_OK;
}

plr_status plr_decoder_decode(plr_decoder *d, const void *frame, size_t len, plr_tensor *x,
                              plr_frame_info *info, plr_error *err) {
  PLR_GUARD(d, err);
  plr__frame f;
  if (!d || !x) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "decoder", "an argument is NULL");
  PLR_TRY(plr__frame_open(d->ctx, frame, len, &f, err));
  PLR_TRY(check_target(d, &f.info, x, err));
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = decode_chunks(d, &f, x, err);
  plr__fpenv_leave(saved);
  PLR_TRY(st);
  return plr__frame_info_write(info, &f.info, err);
}
