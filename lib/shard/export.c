/* Writes a shard's weights as a safetensors file, under the names and in the layout that import.c reads. */
#include "shard/convert.h"
#include "shard/safetensors.h"
#include "shard/shard_int.h"

#include "model/names.h"

#include <string.h>

#define BAND_BYTES ((size_t)1 << 20)

static const char where_[] = "export";

typedef struct exporter {
  plr_shard *s;
  plr_error *err;
  uint32_t dtype;
  plr_st_writer writer;
  float *ours;   /* of one band, as read from the device */
  uint8_t *band; /* rows as they go to the file */
  size_t ours_size, band_size;
} exporter;

/* A tensor of the file as a matrix rows x cols, and the parameters it is made of. */
typedef struct piece {
  plr_foreign foreign;
  int64_t rows, cols;   /* theirs */
  const float *from[3]; /* device memory, one for each part */
} piece;

/* Parameters whose values make up a fused tensor, in the order of its parts. */
static plr_status find_parts(exporter *x, const plr_param *param, piece *p) {
  plr_shard *s = x->s;
  uint32_t found = 0;
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *q = &s->graph.params[i];
    if (q->block != param->block || plr__foreign_pieces(s->model, q) != 1) continue;
    plr_foreign f;
    plr__foreign_write(s->model, q, 0, &f);
    if (f.parts != p->foreign.parts || strcmp(f.name, p->foreign.name) != 0) continue;
    if (q->rows != param->rows || q->cols != param->cols) break;
    p->from[f.part] = s->state.w + s->param_offset[i];
    found++;
  }
  if (found == p->foreign.parts) return PLR_OK;
  return plr__fail(x->err, PLR_ERR_UNSUPPORTED, where_,
                   "tensor %.96s is made of %u matrices of one shape, the model has not",
                   p->foreign.name, p->foreign.parts);
}

/* Piece k of parameter i; parts other than the first are written with it and give rows 0. */
static plr_status piece_of(exporter *x, uint32_t i, uint32_t k, uint32_t pieces, piece *p) {
  plr_shard *s = x->s;
  const plr_param *param = &s->graph.params[i];
  memset(p, 0, sizeof *p);
  plr__foreign_write(s->model, param, k, &p->foreign);
  if (p->foreign.part > 0) return PLR_OK;
  int64_t rows = param->rows / pieces, cols = param->cols;
  p->rows = p->foreign.transposed ? cols : rows;
  p->cols = p->foreign.transposed ? rows : cols * p->foreign.parts;
  p->from[0] = s->state.w + s->param_offset[i] + (int64_t)k * rows * cols;
  return p->foreign.parts > 1 ? find_parts(x, param, p) : PLR_OK;
}

static plr_status declare(exporter *x, const piece *p) {
  int64_t shape[2] = {p->rows, p->cols};
  int vector = p->foreign.vector;
  plr__st_writer_tensor(&x->writer, p->foreign.name, x->dtype, vector ? 1 : 2,
                        vector ? shape + 1 : shape);
  return PLR_OK;
}

/* ---- data ------------------------------------------------------------------------------------- */

static void put_value(const exporter *x, int64_t at, float value) {
  if (x->dtype == PLR_DTYPE_BF16)
    plr__store_le16(x->band + 2 * at, plr__bf16_of(value));
  else
    plr__store_le32(x->band + 4 * at, plr__bits_of_float(value));
}

/* Their rows [first, first + n) are our columns. */
static plr_status turn_band(exporter *x, const piece *p, int64_t first, int64_t n) {
  plr_device *device = x->s->device;
  for (int64_t c = 0; c < p->cols; c++) {
    PLR_TRY(device->vt->read(device, x->ours, p->from[0] + c * p->rows + first,
                             (size_t)n * sizeof(float)));
    for (int64_t r = 0; r < n; r++) put_value(x, r * p->cols + c, x->ours[r]);
  }
  return PLR_OK;
}

static plr_status copy_band(exporter *x, const piece *p, int64_t first, int64_t n) {
  plr_device *device = x->s->device;
  int64_t cols = p->cols / p->foreign.parts;
  for (uint32_t part = 0; part < p->foreign.parts; part++) {
    PLR_TRY(device->vt->read(device, x->ours, p->from[part] + first * cols,
                             (size_t)(n * cols) * sizeof(float)));
    for (int64_t r = 0; r < n; r++)
      for (int64_t c = 0; c < cols; c++)
        put_value(x, r * p->cols + part * cols + c, x->ours[r * cols + c]);
  }
  return PLR_OK;
}

static plr_status grow(exporter *x, void **buffer, size_t *size, size_t want) {
  if (*size >= want) return PLR_OK;
  plr__free(x->s->ctx, *buffer);
  *size = 0;
  *buffer = plr__alloc(x->s->ctx, want);
  if (!*buffer) return PLR_ERR_NO_MEMORY;
  *size = want;
  return PLR_OK;
}

static plr_status write_piece(exporter *x, const piece *p) {
  uint32_t size = plr_dtype_size(x->dtype);
  int64_t step = (int64_t)(BAND_BYTES / ((size_t)p->cols * sizeof(float)));
  step = PLR_MIN(PLR_MAX(step, 16), p->rows);
  void *ours = x->ours, *band = x->band;
  plr_status a = grow(x, &ours, &x->ours_size, (size_t)(step * p->cols) * sizeof(float));
  plr_status b = grow(x, &band, &x->band_size, (size_t)(step * p->cols) * size);
  x->ours = ours, x->band = band;
  if (a != PLR_OK || b != PLR_OK) return PLR_ERR_NO_MEMORY;
  for (int64_t r = 0; r < p->rows; r += step) {
    int64_t n = PLR_MIN(step, p->rows - r);
    PLR_TRY(p->foreign.transposed ? turn_band(x, p, r, n) : copy_band(x, p, r, n));
    PLR_TRY(plr__st_writer_data(&x->writer, x->band, (size_t)(n * p->cols) * size));
  }
  return PLR_OK;
}

/* ---- the file --------------------------------------------------------------------------------- */

/* Calls visit with every tensor of the file, in order. */
static plr_status each(exporter *x, plr_status (*visit)(exporter *, const piece *)) {
  plr_shard *s = x->s;
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    uint32_t pieces = plr__foreign_pieces(s->model, &s->graph.params[i]);
    if (pieces == 0)
      return plr__fail(x->err, PLR_ERR_UNSUPPORTED, where_,
                       "checkpoints of this family have no tensor for %.64s",
                       s->graph.params[i].name);
    for (uint32_t k = 0; k < pieces; k++) {
      piece p;
      PLR_TRY(piece_of(x, i, k, pieces, &p));
      if (p.rows > 0) PLR_TRY(visit(x, &p));
    }
  }
  return PLR_OK;
}

static plr_status export_all(exporter *x) {
  PLR_TRY(each(x, declare));
  plr__st_writer_text(&x->writer, "format", "pt");
  PLR_TRY(plr__st_writer_begin(&x->writer));
  PLR_TRY(each(x, write_piece));
  return plr__st_writer_end(&x->writer);
}

static plr_status run_export(plr_shard *s, uint32_t dtype, plr_sink *sink, plr_error *err) {
  exporter x = {.s = s, .dtype = dtype};
  plr_error detail;
  plr_error_init(&detail, sizeof detail);
  x.err = &detail;
  plr__st_writer_init(&x.writer, s->ctx, sink);
  plr_status st = export_all(&x);
  plr__st_writer_release(&x.writer);
  plr__free(s->ctx, x.ours);
  plr__free(s->ctx, x.band);
  if (st == PLR_OK) return st;
  if (detail.status) return plr__fail(err, st, detail.where, "%s", detail.message);
  return plr__fail(err, st, where_, "writing the weights of blocks %u .. %u failed", s->first_block,
                   s->end_block);
}

plr_status plr_shard_export(plr_shard *shard, uint32_t dtype, plr_sink *sink, plr_error *err) {
  if (!sink) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_, "sink is NULL");
  PLR_GUARD_OR(shard, err, sink->abort(sink->user));
  plr_status st;
  if (!shard || (dtype != PLR_DTYPE_F32 && dtype != PLR_DTYPE_BF16))
    st = plr__fail(err, PLR_ERR_INVALID_ARGUMENT, where_,
                   "shard is NULL, or dtype is neither F32 nor BF16");
  else if (shard->packed_bytes > 0)
    st = plr__fail(err, PLR_ERR_UNSUPPORTED, where_, "the weights are held in a serving format");
  else
    st = run_export(shard, dtype, sink, err);
  if (st != PLR_OK) {
    sink->abort(sink->user);
    return st;
  }
  st = sink->commit(sink->user);
  return st == PLR_OK ? st : plr__fail(err, st, where_, "could not be made durable");
}
