/* Frame to tensor. A chunk that is stored is read where it lies; one in zstd goes through two buffers. */
#include "exchange/decoder_int.h"
#include "exchange/hadamard.h"
#include "exchange/parametric.h"
#include "exchange/split.h"
#include "exchange/topk.h"
#include "exchange/view.h"

#include "base/guard.h"

#include <string.h>

struct plr_decoder {
  plr_context *ctx;
  PLR_GUARDED
  uint32_t max_rows, max_cols;
  uint8_t *a, *b; /* four bytes for each value of a chunk */
  void *zstd_memory, *zstd;
  plr__parametric_decoder *parametric;
  plr__bytes_decoder *bytes; /* table of a chunk that brings its own */
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
  d->bytes = plr__alloc(ctx, sizeof *d->bytes);
  if (d->bytes) plr__bytes_decoder_clear(d->bytes);
  d->zstd_memory = plr__alloc(ctx, zstd);
  if (d->zstd_memory) d->zstd = plr__zstd_decoder_init(d->zstd_memory, zstd);
  plr_status st = plr__parametric_decoder_create(&d->parametric, ctx, max_rows, max_cols, values);
  if (!d->a || !d->b || !d->bytes || !d->zstd || st != PLR_OK) {
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
  plr__free(ctx, d->bytes);
  plr__free(ctx, d->zstd_memory);
  plr__parametric_decoder_destroy(d->parametric, ctx);
  plr__free(ctx, d);
  plr__context_unref(ctx);
}

static plr_status open_split(plr_decoder *d, const plr_codec *c, const plr__chunk *chunk, size_t n,
                             uint8_t *to, const char **why) {
  uint32_t largest;
  PLR_TRY(plr__split_decode(plr__bytes_ops_for(plr_context_isa(d->ctx)), d->bytes,
                            d->parametric->symbol, chunk->payload, chunk->payload_len, n,
                            plr_dtype_size(c->dtype), to, &largest, why));
  *why = "a value is not finite";
  return c->dtype == PLR_DTYPE_BF16 && largest == 255 ? PLR_ERR_NON_FINITE : PLR_OK;
}

/* The payload of n values as FRAME.md packs them, in the frame or at `to`. */
static plr_status open_payload(plr_decoder *d, const plr_codec *c, const plr__chunk *chunk,
                               size_t n, uint8_t *to, const uint8_t **payload, const char **why) {
  *payload = chunk->payload;
  if (!chunk->flags) return PLR_OK;
  *payload = to;
  if (chunk->flags == PLR_CHUNK_SPLIT) return open_split(d, c, chunk, n, to, why);
  const size_t packed = (size_t)plr__packed_len(c, n), front = (size_t)plr__planes_len(c, n);
  const uint32_t size = plr__plane_size(c);
  *why = "not one zstd frame of the right length";
  PLR_TRY(plr__zstd_decode(d->zstd, chunk->payload, chunk->payload_len, d->a, packed));
  plr__unshuffle(d->a, front / size, size, to);
  memcpy(to + front, d->a + front, packed - front);
  return PLR_OK;
}

/* Values of n of a chunk, where `values` says; a may not be that of a zstd chunk's planes. */
static plr_status chunk_values(plr_decoder *d, const plr_frame_info *info, const plr__chunk *chunk,
                               size_t n, float *values, const char **why) {
  const uint8_t *payload;
  if (plr__codec_parametric(&info->codec))
    return plr__parametric_decode(d->parametric, info, chunk, values, why);
  if (info->codec.quant == PLR_QUANT_TOPK)
    return plr__topk_decode(&info->codec, d->bytes, d->parametric->symbol, chunk->payload,
                            chunk->payload_len, n, values, why);
  PLR_TRY(open_payload(d, &info->codec, chunk, n, d->b, &payload, why));
  return plr__unpack(plr_context_isa(d->ctx), &info->codec, payload, n, values, why);
}

/* The same of a raw codec whose bytes are those of the tensor. */
static plr_status chunk_bytes(plr_decoder *d, const plr_codec *c, const plr__chunk *chunk, size_t n,
                              uint8_t *to, const char **why) {
  const uint8_t *payload;
  PLR_TRY(open_payload(d, c, chunk, n, to, &payload, why));
  *why = "a value is not finite";
  if (c->dtype == PLR_DTYPE_BF16 && chunk->flags != PLR_CHUNK_SPLIT &&
      !plr__bf16_finite(payload, n))
    return PLR_ERR_NON_FINITE;
  if (payload != to) memcpy(to, payload, n * plr_dtype_size(c->dtype));
  return PLR_OK;
}

static plr_status decode_chunk(plr_decoder *d, const plr_frame_info *info, const plr__chunk *chunk,
                               const plr__view *x, const char **why) {
  if (chunk->rows == 0) return plr__parametric_read_model(d->parametric, info, chunk, why);
  const size_t n = (size_t)chunk->rows * x->cols;
  uint8_t *bytes = plr__view_bytes(x, &info->codec, chunk->first_row, chunk->rows);
  if (bytes) return chunk_bytes(d, &info->codec, chunk, n, bytes, why);
  const int direct =
      plr__view_plain(x) && !x->subtract && (x->row_stride == x->cols || chunk->rows == 1);
  float *values = (float *)(void *)d->a;
  if (direct) values = (float *)(void *)x->data + (int64_t)chunk->first_row * x->row_stride;
  PLR_TRY(chunk_values(d, info, chunk, n, values, why));
  if (info->codec.transform == PLR_TRANSFORM_HADAMARD) {
    *why = "a value is not finite";
    if (!plr__hadamard_inverse(d->parametric->ops, info, chunk->first_row, chunk->rows,
                               d->parametric->u, values))
      return PLR_ERR_NON_FINITE;
  }
  for (uint32_t r = 0; !direct && r < chunk->rows; r++)
    plr__view_store(x, chunk->first_row + r, values + (size_t)r * x->cols);
  return PLR_OK;
}

static plr_status decode_chunks(plr_decoder *d, const plr__frame *f, const plr__view *x,
                                plr_error *err) {
  plr__chunk_reader r = {f, 0, 0, 0};
  if (plr__codec_parametric(&f->info.codec)) plr__parametric_begin(d->parametric, &f->info);
  for (uint32_t i = 0; i < f->info.chunks; i++) {
    plr__chunk chunk;
    PLR_TRY(plr__chunk_next(&r, &chunk, err));
    const char *why = "";
    plr_status st = decode_chunk(d, &f->info, &chunk, x, &why);
    if (st != PLR_OK) return plr__chunk_fail(err, st, f, i, &chunk, why);
  }
  return plr__chunk_done(&r, err);
}

static plr_status check_target(const plr_decoder *d, const plr_frame_info *info,
                               const plr_tensor *x, plr__view *view, plr_error *err) {
  if (info->role == PLR_ROLE_TOKENS || info->role == PLR_ROLE_CONTROL)
    return plr__fail_at(err, PLR_ERR_MALFORMED, "frame header", 14, "role %u holds no tensor",
                        info->role);
  if (info->rows > d->max_rows || info->cols > d->max_cols)
    return plr__fail_at(err, PLR_ERR_LIMIT, "frame header", 16,
                        "%u x %u; this decoder was made for %u x %u", info->rows, info->cols,
                        d->max_rows, d->max_cols);
  if (plr__view_open(view, x, d->max_rows, d->max_cols, 1) != PLR_OK || view->rows != info->rows ||
      view->cols != info->cols)
    return plr__fail_at(err, PLR_ERR_SHAPE, "frame header", 16,
                        "%u x %u is not the shape of the given matrix", info->rows, info->cols);
  return PLR_OK;
}

static plr_status decode(plr_decoder *d, const void *frame, size_t len, plr_tensor *x,
                         uint32_t subtract, plr_frame_info *info, plr_error *err) {
  plr__frame f;
  plr__view view;
  PLR_TRY(plr__frame_open(d->ctx, frame, len, &f, err));
  PLR_TRY(check_target(d, &f.info, x, &view, err));
  view.subtract = subtract;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = decode_chunks(d, &f, &view, err);
  plr__fpenv_leave(saved);
  PLR_TRY(st);
  return plr__frame_info_write(info, &f.info, err);
}

plr_status plr_decoder_decode(plr_decoder *d, const void *frame, size_t len, plr_tensor *x,
                              plr_frame_info *info, plr_error *err) {
  PLR_GUARD(d, err);
  if (!d || !x) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "decoder", "an argument is NULL");
  return decode(d, frame, len, x, 0, info, err);
}

plr_status plr__decoder_subtract(plr_decoder *d, const void *frame, size_t len, plr_tensor *x) {
  PLR_GUARD(d, NULL);
  return decode(d, frame, len, x, 1, NULL, NULL);
}
