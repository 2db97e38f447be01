/* One frame, chunk by chunk. Each chunk: rows to one run of values, values to payload, payload through the entropy
 * coder where the codec has one and it helps. */
#include "exchange/encoder_int.h"

#include "exchange/histogram.h"

#include "tensor/tensor.h"

#include <string.h>

/* ---- bounds ------------------------------------------------------------------------------------- */

uint64_t plr__front_bound(const plr_codec *c, uint32_t rows, uint32_t cols) {
  const plr_frame_info info = {.codec = *c};
  uint64_t bytes = plr__frame_header_len(&info);
  if (c->predict) bytes += PLR_CHUNK_HEADER + PLR_KEYS_MOST(rows);
  if (plr__codec_parametric(c)) bytes += PLR_CHUNK_HEADER + PLR_SCALES_MOST(cols);
  return bytes;
}

uint64_t plr__chunk_bound(const plr_codec *c, uint32_t rows, uint32_t cols) {
  const uint64_t n = (uint64_t)rows * cols;
  if (c->quant == PLR_QUANT_TOPK) return PLR_CHUNK_HEADER + plr__topk_bound(c, n);
  return plr__codec_parametric(c) ? plr__parametric_bound(rows, n)
                                  : PLR_CHUNK_HEADER + plr__packed_len(c, n);
}

/* Partial groups and half bytes depend on how rows fall into chunks, hence up to 3 bytes a chunk more than
 * an even split would need. */
uint64_t plr__encode_bound(const plr_codec *c, uint32_t rows, uint32_t cols) {
  const uint64_t n = (uint64_t)rows * cols, chunks = plr__chunk_count(c, rows, cols);
  const uint64_t front = plr__front_bound(c, rows, cols);
  if (plr__codec_parametric(c))
    return front + chunks * plr__parametric_bound(0, 0) + plr__parametric_bound(rows, n);
  if (c->quant == PLR_QUANT_TOPK)
    return front + chunks * (PLR_CHUNK_HEADER + plr__topk_bound(c, 1)) + plr__topk_bound(c, n);
  return front + chunks * (PLR_CHUNK_HEADER + 3) + plr__packed_len(c, n);
}

/* ---- begin -------------------------------------------------------------------------------------- */

static int is_tensor_role(uint32_t role) {
  return role == PLR_ROLE_ACTIVATION || role == PLR_ROLE_GRADIENT || role == PLR_ROLE_DELTA ||
         role == PLR_ROLE_STATE;
}

static plr_status set_info(plr_encoder *e, const plr_frame_info *given, const plr__view *x) {
  plr__encode_job *j = &e->job;
  plr_frame_info *info = &j->frame.info;
  memset(j, 0, sizeof *j);
  PLR_TRY(plr__frame_info_read(info, given));
  if (!is_tensor_role(info->role)) return PLR_ERR_INVALID_ARGUMENT;
  if (e->codec.transform == PLR_TRANSFORM_BASIS) {
    if (!e->transform.basis) return PLR_ERR_INVALID_STATE;
    if (e->transform.cols != x->cols) return PLR_ERR_SHAPE;
  }
  info->rows = x->rows, info->cols = x->cols;
  info->codec = e->codec;
  info->generation = e->generation;
  info->vocab = info->chunks = info->payload_len = 0;
  info->flags = e->codec.predict ? info->flags & PLR_FRAME_KEY : 0;
  j->frame.header_len = plr__frame_header_len(info);
  j->frame.coded_cols = plr__transform_cols(&e->transform, &e->codec, x->cols);
  j->coded = *info;
  j->coded.cols = j->frame.coded_cols;
  return PLR_OK;
}

/* All rows less what is predicted; or as they are, when that has less power. */
static plr_status predict(plr_encoder *e, const plr__view *x) {
  plr__encode_job *j = &e->job;
  plr__frame *f = &j->frame;
  plr__predictor *p = e->mirror->predictor;
  const plr__model_ops *ops = e->transform.ops;
  const uint32_t rows = x->rows;
  double rest = 0;
  if (!p || !e->keys) return PLR_ERR_INVALID_STATE;
  if (rows % e->keys || (e->codec.predict == PLR_PREDICT_ANCHOR && e->keys != rows))
    return PLR_ERR_SHAPE;
  f->keys = e->keys;
  PLR_TRY(plr__predictor_begin(p, f));
  plr__predictor_look_up(p);
  for (uint32_t r = 0; r < rows; r++) {
    const float *row = plr__view_row(x, r, e->staging);
    float *to = e->changed + (size_t)r * x->cols;
    j->signal += ops->power(row, x->cols);
    plr__predictor_subtract(p, r, row, to);
    rest += ops->power(to, x->cols);
  }
  if (!f->info.flags && rest < j->signal) {
    f->state = plr__predictor_hash(p);
    return PLR_OK;
  }
  if (f->info.flags) return PLR_OK; /* nothing was subtracted */
  f->info.flags = j->coded.flags = PLR_FRAME_PLAIN;
  plr__predictor_make_plain(p);
  for (uint32_t r = 0; r < rows; r++)
    plr__predictor_subtract(p, r, plr__view_row(x, r, e->staging),
                            e->changed + (size_t)r * x->cols);
  return PLR_OK;
}

static plr_status transform(plr_encoder *e, const plr__view *x) {
  const plr__encode_job *j = &e->job;
  const uint32_t step = plr__chunk_rows(&e->codec, j->coded.cols);
  const size_t cols = x->cols;
  for (uint32_t r = 0; !e->codec.predict && r < x->rows; r++) {
    const float *row = plr__view_row(x, r, e->staging);
    memcpy(e->changed + r * cols, row, cols * sizeof *row);
  }
  for (uint32_t first = 0; first < x->rows; first += step)
    PLR_TRY(plr__transform_forward(&e->transform, &j->frame.info, first,
                                   PLR_MIN(step, x->rows - first), e->changed + first * cols,
                                   e->turned ? e->turned + (size_t)first * j->coded.cols : NULL));
  return PLR_OK;
}

static plr__view view_of(const float *values, const plr_frame_info *info) {
  return (plr__view){.data = (uint8_t *)(uintptr_t)values,
                     .dtype = PLR_DTYPE_F32,
                     .rows = info->rows,
                     .cols = info->cols,
                     .row_stride = info->cols,
                     .col_stride = 1};
}

plr_status plr__encode_begin(plr_encoder *e, const plr_frame_info *given, const plr_tensor *x) {
  plr__encode_job *j = &e->job;
  plr__view view;
  j->begun = 0;
  PLR_TRY(plr__view_open(&view, x, e->max_rows, e->max_cols, 0));
  PLR_TRY(set_info(e, given, &view));
  j->view = view;
  if (e->codec.predict) PLR_TRY(predict(e, &view));
  if (e->codec.transform != PLR_TRANSFORM_IDENTITY) PLR_TRY(transform(e, &view));
  if (e->changed)
    j->view =
        view_of(e->codec.transform == PLR_TRANSFORM_BASIS ? e->turned : e->changed, &j->coded);
  if (e->mirror) {
    e->mirror->job = (plr__decode_job){.frame = j->frame};
    e->mirror->job.frame.streamed = 1;
    PLR_TRY(plr__decode_begin(e->mirror, NULL));
  }
  if (e->parametric) PLR_TRY(plr__parametric_plan(e));
  if (e->topk)
    PLR_TRY(
        plr__topk_plan(e->topk, &j->view, plr__chunk_rows(&e->codec, j->coded.cols), e->staging));
  j->begun = 1;
  return PLR_OK;
}

/* ---- chunks ------------------------------------------------------------------------------------- */

static plr_status written(plr_encoder *e, const uint8_t *at, uint32_t len) {
  plr_frame_info *info = &e->job.frame.info;
  if (!len) return PLR_OK;
  info->payload_len += len;
  info->chunks++;
  if (!e->mirror) return PLR_OK;
  plr__chunk chunk;
  PLR_TRY(plr__chunk_read(&e->mirror->job.reader, at, len, &chunk, NULL));
  return plr__decode_chunk(e->mirror, &chunk, NULL);
}

plr_status plr__encode_front(plr_encoder *e, uint8_t *at, uint32_t *len) {
  uint32_t keys = 0, scales = 0;
  if (e->codec.predict) {
    plr__chunk chunk = {.flags = PLR_CHUNK_KEYS};
    chunk.payload_len = (uint32_t)plr__keys_write(plr__predictor_keys(e->mirror->predictor),
                                                  e->keys, at + PLR_CHUNK_HEADER);
    plr__chunk_write_header(at, &chunk);
    keys = PLR_CHUNK_HEADER + chunk.payload_len;
    PLR_TRY(written(e, at, keys));
  }
  if (e->parametric) plr__parametric_model_chunk(e->parametric, at + keys, &scales);
  *len = keys + scales;
  return written(e, at + keys, scales);
}

/* The payload of a chunk through zstd; 0 where that is not shorter. */
static plr_status compress(plr_encoder *e, const uint8_t *packed, size_t n, uint8_t *out,
                           size_t *bytes) {
  const size_t all = (size_t)plr__packed_len(&e->codec, n);
  const size_t front = (size_t)plr__planes_len(&e->codec, n);
  const uint32_t size = plr__plane_size(&e->codec);
  plr__shuffle(packed, front / size, size, e->shuffled);
  memcpy(e->shuffled + front, packed + front, all - front);
  const size_t plane = front == all ? front / size : all;
  return plr__zstd_encode(e->zstd, plr__zstd_window_log(plane), e->shuffled, all, out, all, bytes);
}

/* A payload through the entropy coder, or as it is where that is not shorter. */
static plr_status shorten(plr_encoder *e, const uint8_t *packed, size_t n, uint8_t *out,
                          plr__chunk *chunk) {
  const plr_codec *c = &e->codec;
  size_t bytes = 0;
  if (c->entropy == PLR_ENTROPY_ZSTD) {
    PLR_TRY(compress(e, packed, n, out, &bytes));
    chunk->flags = PLR_CHUNK_ZSTD;
  } else if (c->entropy == PLR_ENTROPY_SPLIT) {
    plr__split_encode(e->split, packed, n, e->job.coded.cols, plr_dtype_size(c->dtype), out,
                      &bytes);
    chunk->flags = PLR_CHUNK_SPLIT;
  } else if (c->entropy == PLR_ENTROPY_HISTOGRAM) {
    bytes = plr__histogram_encode(e->split, c, packed, n, out);
    chunk->flags = PLR_CHUNK_HISTOGRAM;
  }
  if (bytes) {
    chunk->payload_len = (uint32_t)bytes;
    return PLR_OK;
  }
  chunk->flags = 0;
  if (packed != out) memcpy(out, packed, chunk->payload_len);
  return PLR_OK;
}

/* Rows as plr__pack makes them, at `to`, or where they lie when those are the very bytes. */
static plr_status pack_rows(plr_encoder *e, uint32_t first, uint32_t rows, uint8_t *to,
                            const uint8_t **packed) {
  const plr__view *x = &e->job.view;
  const size_t n = (size_t)rows * x->cols;
  *packed = plr__view_bytes(x, &e->codec, first, rows);
  if (*packed) {
    return plr__raw_finite(e->codec.dtype, *packed, n) ? PLR_OK : PLR_ERR_NON_FINITE;
  }
  *packed = to;
  return plr__pack(plr_context_isa(e->ctx), &e->codec, plr__view_rows(x, first, rows, e->staging),
                   n, to);
}

static plr_status encode_values(plr_encoder *e, uint32_t first, uint32_t rows, uint8_t *at,
                                uint32_t *len) {
  const size_t n = (size_t)rows * e->job.coded.cols;
  uint8_t *payload = at + PLR_CHUNK_HEADER;
  plr__chunk chunk = {payload, 0, first, rows, 0};
  const uint8_t *packed;
  if (e->topk) {
    chunk.payload_len = (uint32_t)plr__topk_encode(e->topk, n, payload);
  } else {
    chunk.payload_len = (uint32_t)plr__packed_len(&e->codec, n);
    PLR_TRY(pack_rows(e, first, rows, e->packed ? e->packed : payload, &packed));
    PLR_TRY(shorten(e, packed, n, payload, &chunk));
  }
  plr__chunk_write_header(at, &chunk);
  *len = PLR_CHUNK_HEADER + chunk.payload_len;
  return PLR_OK;
}

plr_status plr__encode_rows(plr_encoder *e, uint8_t *at, uint32_t *len) {
  plr__encode_job *j = &e->job;
  const uint32_t first = j->next_row;
  const uint32_t rows = PLR_MIN(plr__chunk_rows(&e->codec, j->coded.cols), j->coded.rows - first);
  PLR_TRY(e->parametric ? plr__parametric_rows(e, first, rows, at, len)
                        : encode_values(e, first, rows, at, len));
  j->next_row += rows;
  return written(e, at, *len);
}

plr_status plr__encode_end(plr_encoder *e) {
  const plr_frame_info *info = &e->job.frame.info;
  e->job.begun = 0;
  if (e->parametric) PLR_TRY(plr__parametric_end(e));
  if (e->mirror) plr__decode_end(e->mirror);
  e->keys = 0;
  e->stats.frames++;
  e->stats.values += (uint64_t)info->rows * info->cols;
  e->stats.bytes += e->job.frame.header_len + info->payload_len;
  return PLR_OK;
}
