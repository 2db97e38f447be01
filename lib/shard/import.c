/* Reads a shard's weights from a checkpoint: names and layouts of its family, pieces of bounded size, its own
 * tensors' bytes and no others. */
#include "shard/convert.h"
#include "shard/shard_int.h"
#include "shard/weights_int.h"

#include "model/names.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define BAND_BYTES                                                                                 \
  ((size_t)1 << 21)  /* of a checkpoint's rows that are turned at once; stays in a cache */
#define TILE_ROWS 16 /* one cache line of ours */
#define TILE_COLS 64

typedef struct importer {
  plr_shard *s;
  plr_weights *weights;
  plr_error *err;
  uint8_t *raw;   /* rows as they are in the file */
  float *staging; /* for a device that the host cannot write to directly */
  size_t raw_size, staging_size;
} importer;

/* A tensor of the checkpoint as a matrix rows x cols, and where its parts go. */
typedef struct piece {
  const plr_st_file *file;
  const plr_st_tensor *tensor;
  plr_foreign foreign;
  const plr_param *param;
  int64_t rows, cols; /* theirs */
  float *to[3];       /* device memory, one for each part */
} piece;

/* Rows [first, first + count) of a piece, in memory. */
typedef struct band {
  const piece *p;
  const uint8_t *raw;
  int64_t first, count;
  float *to[3];
  int64_t ld;    /* of `to`, elements */
  int64_t shift; /* row `first` goes to row or column first - shift */
  uint32_t jobs;
  _Atomic uint32_t bad;
} band;

static plr_status grow(importer *m, void **buffer, size_t *size, size_t want) {
  if (*size >= want) return PLR_OK;
  plr__free(m->s->ctx, *buffer);
  *size = 0;
  *buffer = plr__alloc(m->s->ctx, want);
  if (!*buffer) return plr__no_memory(m->err, "weights");
  *size = want;
  return PLR_OK;
}

/* ---- moving a band ---------------------------------------------------------------------------- */

static uint32_t read_values(uint32_t dtype, const uint8_t *from, float *to, int64_t n) {
  uint32_t bad = 0;
  if (dtype == PLR_DTYPE_F32) {
    memcpy(to, from, (size_t)n * sizeof *to);
    plr__floats_le(to, (size_t)n);
  } else if (dtype == PLR_DTYPE_BF16) {
    for (int64_t i = 0; i < n; i++) to[i] = plr__read_bf16(from + 2 * i);
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = plr__read_f16(from + 2 * i);
  }
  for (int64_t i = 0; i < n; i++) bad |= plr__not_finite(to[i]);
  return bad;
}

/* TILE_ROWS x n values, turned. */
static void turn_tile(float tile[TILE_ROWS][TILE_COLS], int64_t rows, int64_t n, float *to,
                      int64_t ld) {
  if (rows == TILE_ROWS) {
    for (int64_t c = 0; c < n; c++)
      for (int64_t r = 0; r < TILE_ROWS; r++) to[c * ld + r] = tile[r][c];
    return;
  }
  for (int64_t c = 0; c < n; c++)
    for (int64_t r = 0; r < rows; r++) to[c * ld + r] = tile[r][c];
}

/* Their columns [c0, c1) become rows of ours. */
static void turn_columns(band *b, int64_t c0, int64_t c1) {
  const piece *p = b->p;
  uint32_t dtype = p->tensor->type->dtype, size = p->tensor->type->size, bad = 0;
  float tile[TILE_ROWS][TILE_COLS];
  for (int64_t c = c0; c < c1; c += TILE_COLS) {
    int64_t n = PLR_MIN(c1 - c, TILE_COLS);
    for (int64_t r = 0; r < b->count; r += TILE_ROWS) {
      int64_t rows = PLR_MIN(b->count - r, TILE_ROWS);
      for (int64_t i = 0; i < rows; i++)
        bad |= read_values(dtype, b->raw + ((r + i) * p->cols + c) * size, tile[i], n);
      turn_tile(tile, rows, n, b->to[0] + c * b->ld + (b->first - b->shift + r), b->ld);
    }
  }
  if (bad) atomic_store_explicit(&b->bad, 1, memory_order_relaxed);
}

/* Their rows [r0, r1) of the band, as they are, to the parts. */
static void copy_rows(band *b, int64_t r0, int64_t r1) {
  const piece *p = b->p;
  uint32_t dtype = p->tensor->type->dtype, size = p->tensor->type->size, bad = 0;
  int64_t cols = p->cols / p->foreign.parts;
  for (int64_t r = r0; r < r1; r++)
    for (uint32_t part = 0; part < p->foreign.parts; part++)
      bad |= read_values(dtype, b->raw + (r * p->cols + part * cols) * size,
                         b->to[part] + (b->first - b->shift + r) * b->ld, cols);
  if (bad) atomic_store_explicit(&b->bad, 1, memory_order_relaxed);
}

static void move_job(void *arg, uint32_t index) {
  band *b = arg;
  int64_t n = b->p->foreign.transposed ? b->p->cols : b->count;
  int64_t from = n * index / b->jobs, to = n * (index + 1) / b->jobs;
  if (b->p->foreign.transposed)
    turn_columns(b, from, to);
  else
    copy_rows(b, from, to);
}

/* Through memory of ours, for a device that has its own. */
static plr_status move_staged(importer *m, band *b) {
  const piece *p = b->p;
  plr_device *device = m->s->device;
  int64_t part_cols = p->cols / p->foreign.parts;
  void *buffer = m->staging;
  plr_status st = grow(m, &buffer, &m->staging_size, (size_t)(b->count * p->cols) * sizeof(float));
  m->staging = buffer;
  if (st != PLR_OK) return st;
  b->shift = b->first;
  b->ld = p->foreign.transposed ? b->count : part_cols;
  for (uint32_t part = 0; part < p->foreign.parts; part++)
    b->to[part] = m->staging + part * b->count * part_cols;
  plr__parallel_for(m->s->ctx, b->jobs, move_job, b);
  if (!p->foreign.transposed) {
    for (uint32_t part = 0; part < p->foreign.parts; part++)
      PLR_TRY(device->vt->write(device, p->to[part] + b->first * part_cols, b->to[part],
                                (size_t)(b->count * part_cols) * sizeof(float)));
    return PLR_OK;
  }
  for (int64_t c = 0; c < p->cols; c++)
    PLR_TRY(device->vt->write(device, p->to[0] + c * p->rows + b->first, m->staging + c * b->count,
                              (size_t)b->count * sizeof(float)));
  return PLR_OK;
}

static plr_status move_band(importer *m, const piece *p, int64_t first, int64_t count) {
  band b = {.p = p, .raw = m->raw, .first = first, .count = count};
  b.jobs = PLR_MAX(plr_context_threads(m->s->ctx), 1);
  if (!plr__device_is_host(m->s->device)) {
    PLR_TRY(move_staged(m, &b));
  } else {
    b.ld = p->foreign.transposed ? p->rows : p->cols / p->foreign.parts;
    for (uint32_t part = 0; part < p->foreign.parts; part++) b.to[part] = p->to[part];
    plr__parallel_for(m->s->ctx, b.jobs, move_job, &b);
  }
  if (!atomic_load_explicit(&b.bad, memory_order_relaxed)) return PLR_OK;
  return plr__fail(m->err, PLR_ERR_NON_FINITE, p->file->where,
                   "tensor %.96s: a value in rows %lld .. %lld is not finite", p->tensor->name,
                   (long long)first, (long long)(first + count));
}

static plr_status move_piece(importer *m, const piece *p) {
  size_t row = (size_t)p->cols * p->tensor->type->size;
  if (row == 0 || p->rows == 0) return PLR_OK;
  int64_t step = (int64_t)(BAND_BYTES / row) / TILE_ROWS * TILE_ROWS;
  step = PLR_MIN(PLR_MAX(step, TILE_ROWS), p->rows);
  void *buffer = m->raw;
  plr_status st = grow(m, &buffer, &m->raw_size, (size_t)step * row);
  m->raw = buffer;
  if (st != PLR_OK) return st;
  for (int64_t r = 0; r < p->rows; r += step) {
    int64_t n = PLR_MIN(step, p->rows - r);
    PLR_TRY(plr__st_read(p->file, p->tensor, (uint64_t)r * row, m->raw, (size_t)n * row, m->err));
    PLR_TRY(move_band(m, p, r, n));
  }
  return PLR_OK;
}

/* ---- finding a parameter's tensors ------------------------------------------------------------ */

static plr_status find_tensor(importer *m, piece *p) {
  const char *other = plr__foreign_other(m->s->model, &p->foreign);
  PLR_TRY(plr__weights_find(m->weights, p->foreign.name, &p->file, &p->tensor, m->err));
  if (!p->tensor && other)
    PLR_TRY(plr__weights_find(m->weights, other, &p->file, &p->tensor, m->err));
  if (p->tensor) return PLR_OK;
  return plr__fail(m->err, PLR_ERR_NOT_FOUND, "weights",
                   "there is no tensor %.96s, which %.64s is read from", p->foreign.name,
                   p->param->name);
}

static void shape_text(const plr_st_tensor *t, char *out, size_t size) {
  size_t n = (size_t)snprintf(out, size, "[");
  for (uint32_t i = 0; i < t->ndim && n < size; i++)
    n += (size_t)snprintf(out + n, size - n, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
  if (n < size) snprintf(out + n, size - n, "]");
}

/* Type and shape are what the parameter needs. */
static plr_status check_tensor(importer *m, const piece *p) {
  const plr_st_tensor *t = p->tensor;
  uint32_t dtype = t->type->dtype;
  if (dtype != PLR_DTYPE_F32 && dtype != PLR_DTYPE_F16 && dtype != PLR_DTYPE_BF16)
    return plr__fail(m->err, PLR_ERR_UNSUPPORTED, p->file->where,
                     "tensor %.96s is of dtype %s; F32, F16 and BF16 are read", t->name,
                     t->type->name);
  int row = t->ndim == 1 && p->rows == 1 && t->shape[0] == p->cols;
  int matrix = t->ndim == 2 && t->shape[0] == p->rows && t->shape[1] == p->cols;
  if (row || (matrix && !p->foreign.vector)) return PLR_OK;
  char got[96];
  shape_text(t, got, sizeof got);
  return plr__fail(m->err, PLR_ERR_MISMATCH, p->file->where,
                   "tensor %.96s has shape %s, the model's %.48s needs [%lld, %lld]", t->name, got,
                   p->param->name, (long long)p->rows, (long long)p->cols);
}

/* Where the parts of a fused tensor go: the parameters that are read from the same one. */
static plr_status find_parts(importer *m, piece *p) {
  plr_shard *s = m->s;
  uint32_t found = 0;
  for (uint32_t i = 0; i < s->graph.param_count; i++) {
    const plr_param *q = &s->graph.params[i];
    if (q->block != p->param->block || plr__foreign_pieces(s->model, q) != 1) continue;
    plr_foreign f;
    plr__foreign_read(s->model, q, 0, &f);
    if (f.parts != p->foreign.parts || strcmp(f.name, p->foreign.name) != 0) continue;
    if (q->rows != p->param->rows || q->cols != p->param->cols) break;
    p->to[f.part] = plr__pack_weight(s, &s->state, i);
    found++;
  }
  if (found == p->foreign.parts) return PLR_OK;
  return plr__fail(m->err, PLR_ERR_MISMATCH, "weights",
                   "tensor %.96s holds %u matrices of one shape, the model has not",
                   p->foreign.name, p->foreign.parts);
}

static plr_status import_piece(importer *m, uint32_t param, uint32_t i, uint32_t pieces) {
  plr_shard *s = m->s;
  piece p = {.param = &s->graph.params[param]};
  plr__foreign_read(s->model, p.param, i, &p.foreign);
  if (p.foreign.part > 0) return PLR_OK; /* read with part 0 */
  int64_t rows = p.param->rows / pieces, cols = p.param->cols;
  p.rows = p.foreign.transposed ? cols : rows;
  p.cols = p.foreign.transposed ? rows : cols * p.foreign.parts;
  p.to[0] = plr__pack_weight(s, &s->state, param) + (int64_t)i * rows * cols;
  if (p.foreign.parts > 1) PLR_TRY(find_parts(m, &p));
  PLR_TRY(find_tensor(m, &p));
  PLR_TRY(check_tensor(m, &p));
  return move_piece(m, &p);
}

static plr_status import_param(importer *m, uint32_t i) {
  uint32_t pieces = plr__foreign_pieces(m->s->model, &m->s->graph.params[i]);
  if (pieces == 0) return plr__shard_seed(m->s, i);
  for (uint32_t k = 0; k < pieces; k++) PLR_TRY(import_piece(m, i, k, pieces));
  return PLR_OK;
}

plr_status plr__shard_import(plr_shard *s, plr_weights *weights, plr_error *err) {
  PLR_GUARD(weights, err);
  importer m = {.s = s, .weights = weights, .err = err};
  plr_status st = PLR_OK;
  for (uint32_t i = 0; i < s->graph.param_count && st == PLR_OK; i++) {
    st = import_param(&m, i);
    if (st == PLR_OK) st = plr__pack_done(s, &s->state, i);
  }
  plr__free(s->ctx, m.raw);
  plr__free(s->ctx, m.staging);
  return st;
}
