/* Encoders: their memory, what may be set, and frames whole or piece by piece. */
#include "exchange/encoder_int.h"

#include "kernels/kernels.h"

#include <string.h>

static plr_status check_size(plr_context *ctx, const plr_codec *c, uint32_t rows, uint32_t cols,
                             plr_error *err) {
  if (rows == 0 || cols == 0)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "encoder", "shape %u x %u", rows, cols);
  if ((uint64_t)rows * cols > UINT32_MAX / 4 || plr__chunk_count(c, rows, cols) + 2 > UINT16_MAX ||
      plr__encode_bound(c, rows, cols) > plr__max_frame(ctx))
    return plr__fail(err, PLR_ERR_LIMIT, "encoder", "frames of %u x %u can pass %llu bytes", rows,
                     cols, (unsigned long long)plr__max_frame(ctx));
  return PLR_OK;
}

static uint32_t most_chunk_values(uint32_t rows, uint32_t cols) {
  return (uint32_t)PLR_MIN((uint64_t)rows * cols, PLR_MAX(PLR_CHUNK_VALUES, cols));
}

/* What predictors and transforms work in: the whole tensor, so that the plan sees what is coded. */
static plr_status take_changed(plr_encoder *e) {
  const size_t bytes = (size_t)e->max_rows * e->max_cols * sizeof *e->changed;
  const uint32_t transform = e->codec.transform;
  PLR_TRY(plr__transform_create(&e->transform, e->ctx, transform, transform, e->max_cols));
  if (!transform && !e->codec.predict) return PLR_OK;
  e->changed = plr__alloc(e->ctx, bytes);
  if (!e->changed) return PLR_ERR_NO_MEMORY;
  if (transform != PLR_TRANSFORM_BASIS && transform != PLR_TRANSFORM_DCT) return PLR_OK;
  e->turned = plr__alloc(e->ctx, bytes);
  return e->turned ? PLR_OK : PLR_ERR_NO_MEMORY;
}

static plr_status take_memory(plr_encoder *e) {
  const size_t values = most_chunk_values(e->max_rows, e->max_cols);
  e->staging = plr__alloc(e->ctx, values * sizeof *e->staging);
  if (!e->staging) return PLR_ERR_NO_MEMORY;
  PLR_TRY(take_changed(e));
  if (plr__codec_parametric(&e->codec))
    return plr__parametric_encoder_create(&e->parametric, e->ctx, &e->codec, e->max_rows,
                                          e->max_cols, values);
  if (e->codec.quant == PLR_QUANT_TOPK)
    return plr__topk_create(&e->topk, e->ctx, &e->codec, e->max_rows, e->max_cols, values);
  const size_t packed = (size_t)plr__packed_len(&e->codec, values);
  if (e->codec.entropy == PLR_ENTROPY_PACK) return PLR_OK;
  e->packed = plr__alloc(e->ctx, packed);
  if (!e->packed) return PLR_ERR_NO_MEMORY;
  if (e->codec.entropy != PLR_ENTROPY_ZSTD) return plr__split_create(&e->split, e->ctx, values);
  const size_t zstd = plr__zstd_encoder_size(plr__zstd_window_log(SIZE_MAX / 2));
  e->shuffled = plr__alloc(e->ctx, packed);
  e->zstd_memory = plr__alloc(e->ctx, zstd);
  if (!e->shuffled || !e->zstd_memory) return PLR_ERR_NO_MEMORY;
  e->zstd = plr__zstd_encoder_init(e->zstd_memory, zstd);
  return e->zstd ? PLR_OK : PLR_ERR_INTERNAL;
}

plr_status plr_encoder_create(plr_context *ctx, const plr_codec *codec, uint32_t max_rows,
                              uint32_t max_cols, plr_encoder **out, plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "encoder", "out is NULL");
  *out = NULL;
  if (!ctx || !codec)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "encoder", "ctx or codec is NULL");
  plr_status known = plr__codec_check(codec, "encoder", err);
  if (known == PLR_ERR_MALFORMED)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "encoder",
                     "bits and group of a raw codec are 0");
  PLR_TRY(known);
  PLR_TRY(check_size(ctx, codec, max_rows, max_cols, err));
  plr_encoder *e = plr__calloc(ctx, 1, sizeof *e);
  if (!e) return plr__no_memory(err, "encoder");
  e->ctx = plr__context_ref(ctx);
  e->codec = *codec;
  e->max_rows = max_rows, e->max_cols = max_cols;
  e->correction = 1.0;
  e->bound = (size_t)plr__encode_bound(codec, max_rows, max_cols);
  plr_status st = take_memory(e);
  if (st == PLR_OK && codec->predict)
    st = plr_decoder_create(ctx, max_rows, max_cols, &e->mirror, err);
  if (st != PLR_OK) {
    plr_encoder_destroy(e);
    return plr__fail(err, st, "encoder", "%s", plr_status_message(st));
  }
  *out = e;
  return PLR_OK;
}

void plr_encoder_destroy(plr_encoder *e) {
  if (!e) return;
  PLR_GUARD_END(e);
  plr_context *ctx = e->ctx;
  plr__free(ctx, e->staging);
  plr__free(ctx, e->packed);
  plr__free(ctx, e->shuffled);
  plr__free(ctx, e->zstd_memory);
  plr__free(ctx, e->changed);
  plr__free(ctx, e->turned);
  plr__transform_release(&e->transform);
  plr_decoder_destroy(e->mirror);
  plr__split_destroy(e->split, ctx);
  plr__topk_destroy(e->topk, ctx);
  plr__parametric_encoder_destroy(e->parametric, ctx);
  plr__free(ctx, e);
  plr__context_unref(ctx);
}

size_t plr_encoder_bound(const plr_encoder *e) {
  return e->bound;
}

/* ---- frames ------------------------------------------------------------------------------------- */

static plr_status encode_whole(plr_encoder *e, uint8_t *out) {
  plr__encode_job *j = &e->job;
  const uint32_t header_len = j->frame.header_len;
  uint32_t len;
  PLR_TRY(plr__encode_front(e, out + header_len, &len));
  while (j->next_row < j->coded.rows)
    PLR_TRY(plr__encode_rows(e, out + header_len + j->frame.info.payload_len, &len));
  PLR_TRY(plr__encode_end(e));
  plr__frame_write_header(out, &j->frame);
  return PLR_OK;
}

plr_status plr_encoder_encode(plr_encoder *e, const plr_frame_info *given, const plr_tensor *x,
                              void *out, size_t cap, size_t *len) {
  PLR_GUARD(e, NULL);
  if (!e || !given || !out || !len) return PLR_ERR_INVALID_ARGUMENT;
  plr__encode_job *j = &e->job;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = plr__encode_begin(e, given, x);
  const int small =
      st == PLR_OK && cap < plr__encode_bound(&e->codec, j->coded.rows, j->coded.cols);
  if (st == PLR_OK && !small) st = encode_whole(e, out);
  plr__fpenv_leave(saved);
  j->begun = 0;
  if (small) *len = e->bound;
  if (st == PLR_OK && !small) *len = j->frame.header_len + j->frame.info.payload_len;
  return small ? PLR_ERR_BUFFER_TOO_SMALL : st;
}

plr_status plr_encoder_begin(plr_encoder *e, const plr_frame_info *given, const plr_tensor *x) {
  PLR_GUARD(e, NULL);
  if (!e || !given) return PLR_ERR_INVALID_ARGUMENT;
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = plr__encode_begin(e, given, x);
  plr__fpenv_leave(saved);
  return st;
}

/* The header of a frame whose rows come later: it says the length when that depends on the shape alone. */
static void write_early_header(plr_encoder *e, uint8_t *out) {
  plr__frame f = e->job.frame;
  f.streamed = e->codec.entropy != PLR_ENTROPY_PACK;
  const uint32_t step = plr__chunk_rows(&e->codec, f.coded_cols);
  for (uint32_t first = 0; !f.streamed && first < f.info.rows; first += step) {
    const uint32_t rows = PLR_MIN(step, f.info.rows - first);
    f.info.payload_len += (uint32_t)plr__chunk_bound(&e->codec, rows, f.coded_cols);
    f.info.chunks++;
  }
  plr__frame_write_header(out, &f);
}

static plr_status next_piece(plr_encoder *e, uint8_t *out, size_t *len) {
  plr__encode_job *j = &e->job;
  uint32_t front = 0, bytes;
  *len = 0;
  if (j->next_row == 0) {
    PLR_TRY(plr__encode_front(e, out + j->frame.header_len, &front));
    write_early_header(e, out);
    *len = j->frame.header_len + front;
  }
  PLR_TRY(plr__encode_rows(e, out + *len, &bytes));
  *len += bytes;
  return j->next_row == j->coded.rows ? plr__encode_end(e) : PLR_OK;
}

plr_status plr_encoder_next(plr_encoder *e, void *out, size_t cap, size_t *len,
                            uint32_t *rows_left) {
  PLR_GUARD(e, NULL);
  if (!e || !out || !len || !rows_left) return PLR_ERR_INVALID_ARGUMENT;
  plr__encode_job *j = &e->job;
  if (!j->begun) return PLR_ERR_INVALID_STATE;
  const uint32_t rows = j->coded.rows, cols = j->coded.cols;
  const uint32_t most = PLR_MIN(plr__chunk_rows(&e->codec, cols), rows - j->next_row);
  uint64_t need = plr__chunk_bound(&e->codec, most, cols);
  if (j->next_row == 0) need += plr__front_bound(&e->codec, rows, cols);
  if (cap < need) {
    *len = (size_t)need;
    return PLR_ERR_BUFFER_TOO_SMALL;
  }
  plr_fpenv saved = plr__fpenv_enter();
  plr_status st = next_piece(e, out, len);
  plr__fpenv_leave(saved);
  if (st != PLR_OK) j->begun = 0;
  *rows_left = rows - j->next_row;
  return st;
}

/* ---- state -------------------------------------------------------------------------------------- */

plr_status plr_encoder_set_store(plr_encoder *e, uint32_t entries, uint32_t rows) {
  PLR_GUARD(e, NULL);
  if (!e) return PLR_ERR_INVALID_ARGUMENT;
  if (!e->mirror) return PLR_ERR_UNSUPPORTED;
  e->job.begun = e->keys = 0;
  return plr_decoder_set_store(e->mirror, entries, rows);
}

plr_status plr_encoder_set_keys(plr_encoder *e, const uint64_t *keys, uint32_t count) {
  PLR_GUARD(e, NULL);
  if (!e || !keys || count == 0 || count > e->max_rows) return PLR_ERR_INVALID_ARGUMENT;
  if (!e->mirror) return PLR_ERR_UNSUPPORTED;
  if (!e->mirror->predictor) return PLR_ERR_INVALID_STATE;
  e->job.begun = 0;
  memcpy(plr__predictor_keys(e->mirror->predictor), keys, count * sizeof *keys);
  e->keys = count;
  return PLR_OK;
}

plr_status plr_encoder_reset(plr_encoder *e, uint32_t generation) {
  PLR_GUARD(e, NULL);
  if (!e) return PLR_ERR_INVALID_ARGUMENT;
  if (!e->mirror) return PLR_ERR_UNSUPPORTED;
  e->job.begun = 0;
  if (generation == e->generation || e->codec.transform == PLR_TRANSFORM_BASIS)
    return PLR_ERR_INVALID_ARGUMENT;
  if (e->mirror->predictor) plr__predictor_clear(e->mirror->predictor);
  e->generation = generation;
  return PLR_OK;
}

plr_status plr_encoder_set_basis(plr_encoder *e, const plr_tensor *basis, uint32_t generation,
                                 plr_error *err) {
  PLR_GUARD(e, err);
  if (!e) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "encoder", "encoder is NULL");
  if (e->codec.transform != PLR_TRANSFORM_BASIS)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, "encoder", "its codec has no basis");
  PLR_TRY(plr__transform_set_basis(&e->transform, basis, e->max_cols, generation, err));
  if (e->mirror) PLR_TRY(plr_decoder_set_basis(e->mirror, basis, generation, err));
  e->generation = generation;
  e->job.begun = 0;
  return PLR_OK;
}

plr_status plr_encoder_set_budget(plr_encoder *e, uint64_t bytes) {
  PLR_GUARD(e, NULL);
  if (!e) return PLR_ERR_INVALID_ARGUMENT;
  if (!e->parametric) return PLR_ERR_UNSUPPORTED;
  e->budget = bytes;
  return PLR_OK;
}

/* 10^(-db/10) */
static double power_ratio(double db) {
  return db > 0 ? plr__exp(-0.23025850929940457 * db) : 0;
}

plr_status plr_encoder_set_snr(plr_encoder *e, double target_db, double floor_db) {
  PLR_GUARD(e, NULL);
  if (!e || !(target_db >= 0 && target_db <= 200) || !(floor_db >= 0 && floor_db <= 200))
    return PLR_ERR_INVALID_ARGUMENT;
  if (!e->parametric && (target_db > 0 || floor_db > 0)) return PLR_ERR_UNSUPPORTED;
  e->target = power_ratio(target_db);
  e->floor = power_ratio(floor_db);
  return PLR_OK;
}

plr_status plr_encoder_get_stats(const plr_encoder *e, plr_encoder_stats *out) {
  if (!e || !out) return PLR_ERR_INVALID_ARGUMENT;
  return plr__record_write(out, &e->stats, (uint32_t)sizeof e->stats, (uint32_t)sizeof e->stats);
}
