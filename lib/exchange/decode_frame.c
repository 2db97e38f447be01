/* One frame, chunk by chunk, to rows. A chunk that is stored is read where it lies; one that is compressed goes
 * through two buffers. */
#include "exchange/decoder_int.h"
#include "exchange/histogram.h"
#include "exchange/split.h"
#include "exchange/topk.h"

#include "tensor/tensor.h"

#include <string.h>

plr_status plr__decode_target(plr_decoder *d, const plr_tensor *x, plr_error *err) {
  const plr_frame_info *info = &d->job.frame.info;
  plr__view *view = &d->job.view;
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

static plr_status check_basis(const plr_decoder *d, plr_error *err) {
  const plr__frame *f = &d->job.frame;
  const plr__transform *t = &d->transform;
  if (!t->basis || t->generation != f->info.generation)
    return plr__fail_at(err, PLR_ERR_MISMATCH, "frame header", 36,
                        "basis of generation %u; the decoder has %s %u", f->info.generation,
                        t->basis ? "that of" : "none, not even", t->generation);
  if (t->cols != f->info.cols || t->rank != f->coded_cols)
    return plr__fail_at(err, PLR_ERR_MISMATCH, "frame header", 20,
                        "basis of %u x %u; the decoder's is %u x %u", f->info.cols, f->coded_cols,
                        t->cols, t->rank);
  return PLR_OK;
}

plr_status plr__decode_begin(plr_decoder *d, plr_error *err) {
  plr__decode_job *j = &d->job;
  const plr_codec *c = &j->frame.info.codec;
  if (c->transform == PLR_TRANSFORM_BASIS) PLR_TRY(check_basis(d, err));
  if (c->predict) {
    if (!d->predictor)
      return plr__fail_at(err, PLR_ERR_UNSUPPORTED, "frame header", 8,
                          "predictor %u; the decoder has no store (set_store)", c->predict);
    if (plr__predictor_begin(d->predictor, &j->frame) != PLR_OK)
      return plr__fail(err, PLR_ERR_LIMIT, "frame extension",
                       "%u keys of %u rows; the store has room for fewer rows a key", j->frame.keys,
                       j->frame.info.rows);
  }
  j->coded = j->frame.info;
  j->coded.cols = j->frame.coded_cols;
  j->reader = (plr__chunk_reader){.frame = &j->frame};
  if (plr__codec_parametric(c)) plr__parametric_begin(d->parametric, &j->coded);
  return PLR_OK;
}

/* ---- payload to values -------------------------------------------------------------------------- */

static plr__split_scratch split_scratch(plr_decoder *d) {
  plr__parametric_decoder *p = d->parametric;
  return (plr__split_scratch){d->bytes, p->symbol, p->index, p->channel};
}

static plr_status open_split(plr_decoder *d, const plr_codec *c, const plr__chunk *chunk, size_t n,
                             uint8_t *to, const char **why) {
  uint32_t largest;
  const plr__split_scratch scratch = split_scratch(d);
  PLR_TRY(plr__split_decode(plr__bytes_ops_for(plr_context_isa(d->ctx)), &scratch, chunk->payload,
                            chunk->payload_len, n, d->job.coded.cols, plr_dtype_size(c->dtype), to,
                            &largest, why));
  *why = "a value is not finite";
  /* bits 7 to 14: of fp16 the exponent and three more */
  const uint32_t most = c->dtype == PLR_DTYPE_F16 ? 0xf7 : c->dtype == PLR_DTYPE_BF16 ? 0xfe : 0xff;
  return largest > most ? PLR_ERR_NON_FINITE : PLR_OK;
}

static plr_status open_histogram(plr_decoder *d, const plr_codec *c, const plr__chunk *chunk,
                                 size_t n, uint8_t *to, const char **why) {
  const plr__split_scratch scratch = split_scratch(d);
  return plr__histogram_decode(plr__bytes_ops_for(plr_context_isa(d->ctx)), &scratch, c,
                               chunk->payload, chunk->payload_len, n, to, why);
}

/* The payload of n values as FRAME.md packs them, in the frame or at `to`. */
static plr_status open_payload(plr_decoder *d, const plr_codec *c, const plr__chunk *chunk,
                               size_t n, uint8_t *to, const uint8_t **payload, const char **why) {
  *payload = chunk->payload;
  if (!chunk->flags) return PLR_OK;
  *payload = to;
  if (chunk->flags == PLR_CHUNK_SPLIT) return open_split(d, c, chunk, n, to, why);
  if (chunk->flags == PLR_CHUNK_HISTOGRAM) return open_histogram(d, c, chunk, n, to, why);
  const size_t packed = (size_t)plr__packed_len(c, n), front = (size_t)plr__planes_len(c, n);
  const uint32_t size = plr__plane_size(c);
  *why = "not one zstd frame of the right length";
  PLR_TRY(plr__zstd_decode(d->zstd, chunk->payload, chunk->payload_len, d->a, packed));
  plr__unshuffle(d->a, front / size, size, to);
  memcpy(to + front, d->a + front, packed - front);
  return PLR_OK;
}

/* Values of n of a chunk, where `values` says; that may be a. */
static plr_status chunk_values(plr_decoder *d, const plr__chunk *chunk, float *values,
                               const char **why) {
  const plr_frame_info *info = &d->job.coded;
  const size_t n = (size_t)chunk->rows * info->cols;
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
static plr_status chunk_bytes(plr_decoder *d, const plr__chunk *chunk, uint8_t *to,
                              const char **why) {
  const plr_codec *c = &d->job.coded.codec;
  const size_t n = (size_t)chunk->rows * d->job.coded.cols;
  const uint8_t *payload;
  PLR_TRY(open_payload(d, c, chunk, n, to, &payload, why));
  *why = "a value is not finite";
  if (chunk->flags != PLR_CHUNK_SPLIT && !plr__raw_finite(c->dtype, payload, n))
    return PLR_ERR_NON_FINITE;
  if (payload != to) memcpy(to, payload, n * plr_dtype_size(c->dtype));
  return PLR_OK;
}

/* ---- values to rows ------------------------------------------------------------------------------ */

static int all_finite(const float *y, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; i++) largest = PLR_MAX(largest, plr__f32_bits(y[i]) & 0x7fffffffu);
  return largest < 0x7f800000u;
}

/* Rows [first, first + rows) at y: what was predicted is added, then they go where they belong. y is overwritten. */
static plr_status finish_rows(plr_decoder *d, uint32_t first, uint32_t rows, float *y) {
  const plr__decode_job *j = &d->job;
  const size_t cols = j->frame.info.cols;
  const int changed = j->frame.info.codec.transform || j->frame.info.codec.predict;
  for (uint32_t r = 0; r < rows; r++, y += cols) {
    if (j->frame.info.codec.predict) plr__predictor_add(d->predictor, first + r, y);
    if (changed && !all_finite(y, cols)) return PLR_ERR_NON_FINITE;
    if (j->frame.info.codec.predict) plr__predictor_keep(d->predictor, first + r, y);
    if (j->view.data) plr__view_store(&j->view, first + r, y);
  }
  return PLR_OK;
}

/* Coordinates in a basis become rows that may be much longer: as many at a time as the buffer holds. */
static plr_status expand_rows(plr_decoder *d, const plr__chunk *chunk, const float *z) {
  const uint32_t rank = d->transform.rank, cols = d->transform.cols;
  const uint32_t step = (uint32_t)PLR_MAX(1, d->values / cols);
  float *y = (float *)(void *)d->b;
  for (uint32_t r = 0; r < chunk->rows; r += step) {
    const uint32_t rows = PLR_MIN(step, chunk->rows - r);
    PLR_TRY(plr__transform_expand(&d->transform, z + (size_t)r * rank, rows, y));
    PLR_TRY(finish_rows(d, chunk->first_row + r, rows, y));
  }
  return PLR_OK;
}

static plr_status decode_rows(plr_decoder *d, const plr__chunk *chunk, const char **why) {
  const plr__decode_job *j = &d->job;
  const plr_frame_info *info = &j->frame.info;
  const plr__view *x = &j->view;
  uint8_t *bytes = plr__view_bytes(x, &info->codec, chunk->first_row, chunk->rows);
  if (bytes) return chunk_bytes(d, chunk, bytes, why);
  float *values = (float *)(void *)d->a;
  if (!info->codec.predict && info->codec.transform == PLR_TRANSFORM_IDENTITY &&
      plr__view_plain(x) && !x->subtract && (x->row_stride == x->cols || chunk->rows == 1)) {
    values = (float *)(void *)x->data + (int64_t)chunk->first_row * x->row_stride;
    return chunk_values(d, chunk, values, why);
  }
  PLR_TRY(chunk_values(d, chunk, values, why));
  *why = "a value is not finite, or there is no memory";
  if (info->codec.transform == PLR_TRANSFORM_BASIS) return expand_rows(d, chunk, values);
  PLR_TRY(plr__transform_inverse(&d->transform, info, chunk->first_row, chunk->rows, values,
                                 (float *)(void *)d->b));
  return finish_rows(d, chunk->first_row, chunk->rows, values);
}

/* The keys, and whether both sides predict the same of them. */
static plr_status take_keys(plr_decoder *d, const plr__chunk *chunk, const char **why) {
  const plr__frame *f = &d->job.frame;
  *why = "the keys are wrong";
  if (!plr__keys_read(chunk->payload, chunk->payload_len, plr__predictor_keys(d->predictor),
                      f->keys))
    return PLR_ERR_MALFORMED;
  plr__predictor_look_up(d->predictor);
  *why =
      "the sides predict different rows (a frame was lost, or came twice): a key frame is needed";
  if (!f->info.flags && plr__predictor_hash(d->predictor) != f->state) return PLR_ERR_SEQUENCE;
  return PLR_OK;
}

plr_status plr__decode_chunk(plr_decoder *d, const plr__chunk *chunk, plr_error *err) {
  const char *why = "";
  plr_status st;
  if (chunk->rows)
    st = decode_rows(d, chunk, &why);
  else if (chunk->flags == PLR_CHUNK_KEYS)
    st = take_keys(d, chunk, &why);
  else
    st = plr__parametric_read_model(d->parametric, &d->job.coded, chunk, &why);
  return st == PLR_OK ? st : plr__chunk_fail(err, st, &d->job.reader, chunk, why);
}

void plr__decode_end(plr_decoder *d) {
  if (d->job.frame.info.codec.predict) plr__predictor_commit(d->predictor);
}
