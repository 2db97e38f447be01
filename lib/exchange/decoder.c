/* Decoders: their memory, what may be set, and frames whole or as their bytes come. */
#include "exchange/decoder_int.h"

#include <string.h>

static plr_status take_memory(plr_decoder *d) {
  plr_context *ctx = d->ctx;
  const size_t zstd = plr__zstd_decoder_size();
  d->a = plr__alloc(ctx, d->values * 4);
  d->b = plr__alloc(ctx, d->values * 4);
  d->zstd_memory = plr__alloc(ctx, zstd);
  d->bytes = plr__alloc(ctx, sizeof *d->bytes);
  if (!d->a || !d->b || !d->zstd_memory || !d->bytes) return PLR_ERR_NO_MEMORY;
  plr__bytes_decoder_clear(d->bytes);
  d->zstd = plr__zstd_decoder_init(d->zstd_memory, zstd);
  if (!d->zstd) return PLR_ERR_NO_MEMORY;
  PLR_TRY(plr__parametric_decoder_create(&d->parametric, ctx, d->max_rows, d->max_cols, d->values));
  return plr__transform_create(&d->transform, ctx, PLR_TRANSFORM_HADAMARD, PLR_TRANSFORM_DCT,
                               d->max_cols);
}

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
  plr_decoder *d = plr__calloc(ctx, 1, sizeof *d);
  if (!d) return plr__no_memory(err, "decoder");
  d->ctx = plr__context_ref(ctx);
  d->max_rows = max_rows, d->max_cols = max_cols;
  d->values = (size_t)PLR_MIN(all, PLR_MAX(PLR_CHUNK_VALUES, max_cols));
  if (take_memory(d) != PLR_OK) {
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
  plr__free(ctx, d->feed.held);
  plr__parametric_decoder_destroy(d->parametric, ctx);
  plr__transform_release(&d->transform);
  plr__predictor_destroy(d->predictor);
  plr__free(ctx, d);
  plr__context_unref(ctx);
}

static plr_status decode_whole(plr_decoder *d, plr_error *err) {
  plr__chunk_reader *r = &d->job.reader;
  PLR_TRY(plr__decode_begin(d, err));
  while (!plr__chunk_last(r)) {
    plr__chunk chunk;
    PLR_TRY(plr__chunk_next(r, &chunk, err));
    PLR_TRY(plr__decode_chunk(d, &chunk, err));
  }
  PLR_TRY(plr__chunk_done(r, err));
  plr__decode_end(d);
  return PLR_OK;
}

static plr_status decode(plr_decoder *d, const void *frame, size_t len, const plr_tensor *x,
                         uint32_t subtract, plr_frame_info *info, plr_error *err) {
  d->feed.state = PLR_FEED_NONE;
  PLR_TRY(plr__frame_open(d->ctx, frame, len, &d->job.frame, err));
  PLR_TRY(plr__decode_target(d, x, err));
  d->job.view.subtract = subtract;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = decode_whole(d, err);
  plr__fpenv_leave(saved);
  PLR_TRY(st);
  return plr__frame_info_write(info, &d->job.frame.info, err);
}

plr_status plr_decoder_decode(plr_decoder *d, const void *frame, size_t len, plr_tensor *x,
                              plr_frame_info *info, plr_error *err) {
  PLR_GUARD(d, err);
  if (!d || !x) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "decoder", "an argument is NULL");
  return decode(d, frame, len, x, 0, info, err);
}

plr_status plr__decoder_subtract(plr_decoder *d, const void *frame, size_t len,
                                 const plr_tensor *x) {
  PLR_GUARD(d, NULL);
  return decode(d, frame, len, x, 1, NULL, NULL);
}

plr_status plr_decoder_set_store(plr_decoder *d, uint32_t entries, uint32_t rows) {
  PLR_GUARD(d, NULL);
  if (!d || entries == 0 || rows == 0) return PLR_ERR_INVALID_ARGUMENT;
  plr__predictor *p;
  plr_status st = plr__predictor_create(&p, d->ctx, entries, PLR_MIN(rows, d->max_rows),
                                        d->max_rows, d->max_cols);
  if (st != PLR_OK) return st;
  plr__predictor_destroy(d->predictor);
  d->predictor = p;
  d->feed.state = PLR_FEED_NONE;
  return PLR_OK;
}

plr_status plr_decoder_set_basis(plr_decoder *d, const plr_tensor *basis, uint32_t generation,
                                 plr_error *err) {
  PLR_GUARD(d, err);
  if (!d) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "decoder", "decoder is NULL");
  d->feed.state = PLR_FEED_NONE;
  return plr__transform_set_basis(&d->transform, basis, d->max_cols, generation, err);
}
