/* Chunks of the parametric model back to values; everything a chunk says is checked before it is used. */
#include "exchange/parametric.h"

#include <string.h>

plr_status plr__parametric_decoder_create(plr__parametric_decoder **out, plr_context *ctx,
                                          uint32_t max_rows, uint32_t max_cols, size_t values) {
  plr__parametric_decoder *d = plr__calloc(ctx, 1, sizeof *d);
  *out = d;
  if (!d) return PLR_ERR_NO_MEMORY;
  d->ops = plr__model_ops_for(plr_context_isa(ctx));
  d->tables = plr__alloc(ctx, sizeof *d->tables);
  d->channel = plr__alloc(ctx, max_cols * sizeof *d->channel);
  d->shift = plr__alloc(ctx, max_cols * sizeof *d->shift);
  d->mean = plr__alloc(ctx, max_cols * sizeof *d->mean);
  d->token = plr__alloc(ctx, PLR_MIN(max_rows, PLR_CHUNK_VALUES) * sizeof *d->token);
  d->index = plr__alloc(ctx, values);
  d->symbol = plr__alloc(ctx, values);
  d->q = plr__alloc(ctx, values * sizeof *d->q);
  d->places = plr__alloc(ctx, values * sizeof *d->places);
  d->u = plr__alloc(ctx, max_cols * sizeof *d->u);
  if (!d->tables || !d->channel || !d->shift || !d->mean || !d->token || !d->index || !d->symbol ||
      !d->q || !d->places || !d->u)
    return PLR_ERR_NO_MEMORY;
  return PLR_OK;
}

void plr__parametric_decoder_destroy(plr__parametric_decoder *d, plr_context *ctx) {
  if (!d) return;
  plr__free(ctx, d->tables);
  plr__free(ctx, d->channel);
  plr__free(ctx, d->shift);
  plr__free(ctx, d->mean);
  plr__free(ctx, d->token);
  plr__free(ctx, d->index);
  plr__free(ctx, d->symbol);
  plr__free(ctx, d->q);
  plr__free(ctx, d->places);
  plr__free(ctx, d->u);
  plr__free(ctx, d);
}

void plr__parametric_begin(plr__parametric_decoder *d, const plr_frame_info *info) {
  memset(d->channel, 0, info->cols * sizeof *d->channel);
  d->has_means = 0;
  if (d->quant == info->codec.quant) return;
  d->quant = info->codec.quant;
  plr__rans_decoder_build(d->tables, plr__parametric_family(d->quant),
                          plr__parametric_families(d->quant));
  plr__parametric_centroids(d->centroid, d->quant);
}

size_t plr__rice_read(const uint8_t *in, size_t len, int16_t *v, size_t n) {
  if (len < 1 || in[0] > 7) return 0;
  plr__bit_reader r = {.front = in + 1, .front_len = len - 1};
  for (size_t i = 0; i < n; i++) {
    const int32_t x = plr__bits_get_rice(&r, in[0]);
    if (r.failed || x < -PLR_OFFSET_MOST || x > PLR_OFFSET_MOST) return 0;
    v[i] = (int16_t)x;
  }
  return r.held ? 0 : 1 + r.pos;
}

plr_status plr__parametric_read_model(plr__parametric_decoder *d, const plr_frame_info *info,
                                      const plr__chunk *chunk, const char **why) {
  const uint8_t *p = chunk->payload, *end = p + chunk->payload_len;
  const int32_t step = (int32_t)(chunk->flags >> 16) - PLR_STEP_BIAS;
  d->has_means = chunk->flags >> 16 != 0;
  *why = "the scales of the channels are wrong";
  const size_t used = plr__rice_read(p, chunk->payload_len, d->channel, info->cols);
  if (!used) return PLR_ERR_MALFORMED;
  p += used;
  if (d->has_means) {
    *why = "the means of the channels are wrong";
    const size_t more = plr__rice_read(p, (size_t)(end - p), d->shift, info->cols);
    if (!more || step < PLR_STEP_LEAST || step > PLR_STEP_MOST) return PLR_ERR_MALFORMED;
    for (uint32_t c = 0; c < info->cols; c++)
      d->mean[c] = (float)d->shift[c] * plr__model_step(step);
    p += more;
  }
  return p == end ? PLR_OK : PLR_ERR_MALFORMED;
}

/* ---- one chunk ---------------------------------------------------------------------------------- */

typedef struct job {
  const plr_frame_info *info;
  const plr__chunk *chunk;
  uint32_t lanes, has_tokens, relative, cols;
  size_t n, main;
  int32_t step, base;
  const uint8_t *p, *end; /* of the payload, not yet read */
  uint32_t state[PLR_RANS_LANES];
} job;

static plr_status bad(const char **why, const char *text) {
  *why = text;
  return PLR_ERR_MALFORMED;
}

static int32_t row_step(const plr__parametric_decoder *d, const job *j, uint32_t r) {
  return j->relative && j->has_tokens ? j->step + 8 * d->token[r] : j->step;
}

static plr_status read_head(plr__parametric_decoder *d, job *j, const char **why) {
  if ((size_t)(j->end - j->p) < PLR_PARAMETRIC_HEAD) return bad(why, "its head is cut off");
  const uint32_t tail = plr__load_le16(j->p + 4);
  j->lanes = j->p[0];
  j->has_tokens = j->p[1] & PLR_PARAMETRIC_TOKENS;
  j->base = (int16_t)plr__load_le16(j->p + 2);
  if ((j->lanes != 0 && j->lanes != 8 && j->lanes != 32) || j->p[1] > 1)
    return bad(why, "unknown lanes or flags");
  if (tail > j->n || (j->lanes ? (j->n - tail) % j->lanes != 0 : tail != j->n))
    return bad(why, "its tail has the wrong length");
  j->main = j->n - tail;
  j->p += PLR_PARAMETRIC_HEAD;
  if (j->has_tokens) {
    const size_t used = plr__rice_read(j->p, (size_t)(j->end - j->p), d->token, j->chunk->rows);
    if (used == 0) return bad(why, "the scales of its rows are wrong");
    j->p += used;
  }
  for (uint32_t r = 0; r < j->chunk->rows; r++) {
    const int32_t step = row_step(d, j, r);
    if (step < PLR_STEP_LEAST || step > PLR_STEP_MOST) return bad(why, "a step is out of range");
  }
  return PLR_OK;
}

static void make_index(plr__parametric_decoder *d, const job *j) {
  const uint32_t shift = j->has_tokens && !j->relative;
  for (uint32_t r = 0; r < j->chunk->rows; r++) {
    uint8_t *to = d->index + (size_t)r * j->cols;
    if (r && (!shift || d->token[r] == d->token[r - 1]))
      memcpy(to, to - j->cols, j->cols);
    else
      d->ops->fill_index(d->channel, j->cols, j->base + (shift ? d->token[r] : 0), to);
  }
}

static plr_status read_symbols(plr__parametric_decoder *d, job *j, const char **why) {
  for (uint32_t l = 0; l < j->lanes; l++) {
    j->p = plr__rans_get_state(j->p, j->end, &j->state[l]);
    if (!j->p) return bad(why, "a state is wrong");
  }
  if (!j->lanes) return PLR_OK;
  j->p = d->ops->decode(d->tables, j->p, j->end, d->index, j->main, j->lanes,
                        j->info->codec.quant == PLR_QUANT_TRELLIS, j->state, d->symbol);
  if (!j->p) return bad(why, "its words end too early");
  for (uint32_t l = 0; l < j->lanes; l++)
    if (j->state[l] < PLR_RANS_LOW || j->state[l] >= 2 * PLR_RANS_LOW)
      return bad(why, "a state does not end where it must");
  return PLR_OK;
}

/* The bits that the states ended with. */
static size_t spare_bits(const job *j, uint8_t *out) {
  plr__bit_writer w = {.out = out, .cap = PLR_RANS_SPARE * PLR_RANS_LANES / 8};
  for (uint32_t l = 0; l < j->lanes; l++)
    plr__bits_put(&w, j->state[l] - PLR_RANS_LOW, PLR_RANS_SPARE);
  return w.len;
}

static int in_range(int32_t q) {
  return q >= -PLR_MODEL_MOST_Q && q <= PLR_MODEL_MOST_Q;
}

static plr_status read_rest(plr__parametric_decoder *d, const job *j, size_t places,
                            const int32_t *limit, const char **why) {
  uint8_t spare[PLR_RANS_SPARE * PLR_RANS_LANES / 8];
  plr__bit_reader r = {.front = spare,
                       .rest = j->p,
                       .front_len = spare_bits(j, spare),
                       .rest_len = (size_t)(j->end - j->p)};
  for (size_t i = j->main; i < j->n; i++) {
    d->q[i] = plr__bits_get_rice(&r, plr__model_rice(d->index[i]));
    if (r.failed || !in_range(d->q[i])) return bad(why, "a value of its tail is wrong");
  }
  for (size_t p = 0; p < places; p++) {
    const size_t i = d->places[p];
    const uint32_t raw = plr__model_raw(d->index[i] & 127u);
    int32_t q;
    if (d->symbol[i] == PLR_MODEL_ESCAPE) {
      const uint32_t m =
          plr__bits_get_exp_golomb(&r) + (raw ? 0u : (uint32_t)limit[d->index[i]] + 1u);
      q = plr__bits_get(&r, 1) ? -(int32_t)m : (int32_t)m;
    } else {
      q = plr__model_value(d->q[i], plr__bits_get(&r, raw), raw, d->quant == PLR_QUANT_TRELLIS);
    }
    if (r.failed || !in_range(q)) return bad(why, "an escape is wrong");
    d->q[i] = q;
  }
  if (!plr__bits_done(&r)) return bad(why, "bits are left over, or are not 0");
  return PLR_OK;
}

static void write_rows(plr__parametric_decoder *d, const job *j, float *y) {
  const plr__dither_key key = plr__dither_key_of(j->info);
  for (uint32_t r = 0; r < j->chunk->rows; r++) {
    const size_t at = (size_t)r * j->cols;
    const float step = plr__model_step(row_step(d, j, r));
    if (d->quant == PLR_QUANT_DITHER) {
      d->ops->dither(&key, j->chunk->first_row + r, j->cols, d->u);
      d->ops->undither(d->q + at, d->u, j->cols, step, y + at);
    } else if (d->quant == PLR_QUANT_TRELLIS) {
      d->ops->points(d->q + at, d->index + at, j->cols, step, d->centroid, y + at);
    } else {
      d->ops->dequantise(d->q + at, d->index + at, j->cols, step, d->centroid, y + at);
    }
    for (uint32_t c = 0; d->has_means && c < j->cols; c++) y[at + c] += d->mean[c];
  }
}

plr_status plr__parametric_decode(plr__parametric_decoder *d, const plr_frame_info *info,
                                  const plr__chunk *chunk, float *y, const char **why) {
  int32_t limit[2 * PLR_MODEL_INDEXES];
  job j = {.info = info,
           .chunk = chunk,
           .relative = info->codec.group == PLR_STEP_TOKEN,
           .cols = info->cols,
           .n = (size_t)chunk->rows * info->cols,
           .step = (int32_t)(chunk->flags >> 16) - PLR_STEP_BIAS,
           .p = chunk->payload,
           .end = chunk->payload + chunk->payload_len};
  plr__parametric_limits(limit, info->codec.quant);
  PLR_TRY(read_head(d, &j, why));
  make_index(d, &j);
  PLR_TRY(read_symbols(d, &j, why));
  const size_t places = d->ops->values(d->symbol, d->index, j.main, d->q, d->places);
  PLR_TRY(read_rest(d, &j, places, limit, why));
  write_rows(d, &j, y);
  return PLR_OK;
}
