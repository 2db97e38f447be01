/* Chunks of the parametric model: quantise, symbols, range coder. FRAME.md gives the layout. */
#include "exchange/parametric.h"

#include <string.h>

plr_status plr__parametric_encoder_create(plr__parametric_encoder **out, plr_context *ctx,
                                          const plr_codec *codec, uint32_t max_rows,
                                          uint32_t max_cols, size_t values) {
  plr__parametric_encoder *e = plr__calloc(ctx, 1, sizeof *e);
  *out = e;
  if (!e) return PLR_ERR_NO_MEMORY;
  e->ops = plr__model_ops_for(plr_context_isa(ctx));
  e->quant = codec->quant;
  e->values = values;
  PLR_TRY(plr__plan_create(&e->plan, ctx, max_rows, max_cols));
  e->plan.ops = e->ops;
  e->plan.kind = plr__parametric_family(codec->quant);
  e->plan.unit = codec->quant == PLR_QUANT_TRELLIS ? 64 : 0;
  e->plan.relative = codec->group == PLR_STEP_TOKEN;
  e->tables = plr__alloc(ctx, sizeof *e->tables);
  e->token = plr__alloc(ctx, PLR_MIN(max_rows, PLR_CHUNK_VALUES) * sizeof *e->token);
  e->index = plr__alloc(ctx, values);
  e->symbol = plr__alloc(ctx, values);
  e->words = plr__alloc(ctx, 2 * values + 32);
  e->bits = plr__alloc(ctx, 2 * values + 128);
  e->q = plr__alloc(ctx, values * sizeof *e->q);
  e->places = plr__alloc(ctx, values * sizeof *e->places);
  e->row = plr__alloc(ctx, max_cols * sizeof *e->row);
  e->u = plr__alloc(ctx, max_cols * sizeof *e->u);
  if (!e->tables || !e->token || !e->index || !e->symbol || !e->words || !e->bits || !e->q ||
      !e->places || !e->row || !e->u)
    return PLR_ERR_NO_MEMORY;
  plr__rans_encoder_build(e->tables, plr__parametric_family(codec->quant),
                          plr__parametric_families(codec->quant));
  plr__parametric_limits(e->limit, codec->quant);
  plr__parametric_centroids(e->centroid, codec->quant);
  if (codec->quant != PLR_QUANT_TRELLIS) return PLR_OK;
  e->scaled = plr__alloc(ctx, values * sizeof *e->scaled);
  if (!e->scaled) return PLR_ERR_NO_MEMORY;
  return plr__trellis_create(&e->trellis, ctx, values);
}

void plr__parametric_encoder_destroy(plr__parametric_encoder *e, plr_context *ctx) {
  if (!e) return;
  plr__plan_release(&e->plan, ctx);
  plr__trellis_destroy(e->trellis, ctx);
  plr__free(ctx, e->tables);
  plr__free(ctx, e->token);
  plr__free(ctx, e->index);
  plr__free(ctx, e->symbol);
  plr__free(ctx, e->words);
  plr__free(ctx, e->bits);
  plr__free(ctx, e->q);
  plr__free(ctx, e->places);
  plr__free(ctx, e->row);
  plr__free(ctx, e->u);
  plr__free(ctx, e->scaled);
  plr__free(ctx, e);
}

/* 4 bytes a value for words and bits together: an escape takes 12 bits of the one and 41 of the other, so
 * that a step which makes everything escape is raised. */
uint64_t plr__parametric_bound(uint64_t rows, uint64_t n) {
  return PLR_CHUNK_HEADER + PLR_PARAMETRIC_HEAD + plr__rice_bound(rows) + 4 * PLR_RANS_LANES +
         4 * n + 128;
}

uint32_t plr__rice_write(const int16_t *v, size_t n, uint8_t *out) {
  uint64_t length;
  const uint32_t k = plr__plan_rice(v, n, &length);
  plr__bit_writer w = {.out = out + 1, .cap = (size_t)plr__rice_bound(n)};
  out[0] = (uint8_t)k;
  for (size_t i = 0; i < n; i++) plr__bits_rice(&w, v[i], k);
  plr__bits_flush(&w);
  return 1 + (uint32_t)w.len;
}

void plr__parametric_model_chunk(plr__parametric_encoder *e, uint8_t *at, uint32_t *len) {
  *len = 0;
  if (!e->plan.has_channels && !e->plan.has_means) return;
  plr__chunk chunk = {.flags = PLR_CHUNK_MODEL};
  chunk.payload_len = plr__rice_write(e->plan.channel, e->plan.cols, at + PLR_CHUNK_HEADER);
  if (e->plan.has_means) {
    chunk.flags |= (uint32_t)(e->plan.mean_step + PLR_STEP_BIAS) << 16;
    chunk.payload_len +=
        plr__rice_write(e->plan.shift, e->plan.cols, at + PLR_CHUNK_HEADER + chunk.payload_len);
  }
  plr__chunk_write_header(at, &chunk);
  *len = PLR_CHUNK_HEADER + chunk.payload_len;
}

/* ---- one chunk ---------------------------------------------------------------------------------- */

typedef struct job {
  const plr_frame_info *info;
  const float *values;
  uint32_t first, rows, cols, lanes;
  size_t n, main; /* values, and those not in the tail */
  int32_t step, base;
} job;

/* The step of a row; its offset, which is bent where the step would leave the range. */
static int32_t row_step(const plr__parametric_encoder *e, const job *j, uint32_t r) {
  return e->plan.relative ? j->step + 8 * e->token[r] : j->step;
}

static void make_tokens(plr__parametric_encoder *e, const job *j) {
  const int32_t low = -((j->step - PLR_STEP_LEAST) / 8), high = (PLR_STEP_MOST - j->step) / 8;
  for (uint32_t r = 0; r < j->rows; r++) {
    int32_t v = plr__plan_token(&e->plan, j->first + r);
    if (e->plan.relative) v = PLR_MAX(low, PLR_MIN(high, v));
    e->token[r] = (int16_t)v;
  }
}

static void make_index(plr__parametric_encoder *e, const job *j) {
  for (uint32_t r = 0; r < j->rows; r++) {
    uint8_t *to = e->index + (size_t)r * j->cols;
    if (r && (e->plan.relative || e->token[r] == e->token[r - 1]))
      memcpy(to, to - j->cols, j->cols);
    else
      e->ops->fill_index(e->plan.channel, j->cols, j->base + (e->plan.relative ? 0 : e->token[r]),
                         to);
  }
}

static void quantise_rows(plr__parametric_encoder *e, const job *j) {
  const plr__dither_key key = plr__dither_key_of(j->info);
  for (uint32_t r = 0; r < j->rows; r++) {
    const size_t at = (size_t)r * j->cols;
    const float inverse = 1.0f / plr__model_step(row_step(e, j, r));
    if (e->quant == PLR_QUANT_DITHER) e->ops->dither(&key, j->first + r, j->cols, e->u);
    if (e->quant == PLR_QUANT_TRELLIS)
      e->ops->scale(j->values + at, j->cols, inverse, e->scaled + at);
    /* Of the trellis, what the tail takes: the points of its first quantiser. */
    e->ops->quantise(j->values + at, e->quant == PLR_QUANT_DITHER ? e->u : NULL, j->cols,
                     e->quant == PLR_QUANT_TRELLIS ? 0.5f * inverse : inverse, e->q + at);
  }
}

/* Enough values at the end to fill what the first states can carry. */
static void choose_tail(plr__parametric_encoder *e, job *j) {
  j->main = j->lanes ? j->n - j->n % j->lanes : 0;
  if (!j->lanes) return;
  uint64_t used = 0;
  for (size_t i = j->main; i < j->n; i++)
    used += plr__rice_length(e->q[i], plr__model_rice(e->index[i]));
  while (used < PLR_RANS_SPARE * j->lanes && j->main > j->lanes) {
    for (size_t i = j->main - j->lanes; i < j->main; i++)
      used += plr__rice_length(e->q[i], plr__model_rice(e->index[i]));
    j->main -= j->lanes;
  }
}

/* The tail, then what symbols leave to be sent. Returns bytes. */
static size_t write_bits(plr__parametric_encoder *e, const job *j, size_t places) {
  plr__bit_writer w = {.out = e->bits, .cap = 2 * e->values + 128};
  for (size_t i = j->main; i < j->n; i++) plr__bits_rice(&w, e->q[i], plr__model_rice(e->index[i]));
  for (size_t p = 0; p < places; p++) {
    const size_t i = e->places[p];
    const uint32_t index = e->index[i] & 127u, raw = plr__model_raw(index);
    const int32_t q = e->q[i], m = q < 0 ? -q : q;
    if (e->symbol[i] == PLR_MODEL_ESCAPE) {
      const int32_t skip = raw ? 0 : e->limit[e->index[i]] + 1;
      plr__bits_exp_golomb(&w, (uint32_t)(m - skip));
      plr__bits_put(&w, q < 0, 1);
    } else {
      plr__bits_put(&w, plr__model_low(q, raw, e->trellis != NULL), raw);
    }
  }
  plr__bits_flush(&w);
  return w.len;
}

static void first_states(const plr__parametric_encoder *e, const job *j, size_t len,
                         uint32_t *state) {
  plr__bit_reader r = {.front = e->bits, .front_len = len};
  for (uint32_t l = 0; l < j->lanes; l++) {
    /* past the end come zeros */
    state[l] = PLR_RANS_LOW | plr__bits_get(&r, PLR_RANS_SPARE);
  }
}

/* Head, scales of tokens, last states, words, bits that the first states have no room for. */
static size_t write_payload(const plr__parametric_encoder *e, const job *j, size_t bits_len,
                            uint8_t *out) {
  uint32_t state[PLR_RANS_LANES];
  const size_t spare = PLR_RANS_SPARE * j->lanes / 8;
  uint8_t *end = e->words + 2 * e->values + 32, *words = end, *p = out + PLR_PARAMETRIC_HEAD;
  out[0] = (uint8_t)j->lanes;
  out[1] = e->plan.has_tokens ? PLR_PARAMETRIC_TOKENS : 0;
  plr__store_le16(out + 2, (uint16_t)j->base);
  plr__store_le16(out + 4, (uint16_t)(j->n - j->main));
  if (e->plan.has_tokens) p += plr__rice_write(e->token, j->rows, p);
  if (j->lanes) {
    first_states(e, j, bits_len, state);
    words = e->ops->encode(e->tables, e->symbol, e->index, j->main, j->lanes, state, end);
  }
  for (uint32_t l = 0; l < j->lanes; l++) p = plr__rans_put_state(p, state[l]);
  memcpy(p, words, (size_t)(end - words));
  p += end - words;
  if (bits_len > spare) {
    memcpy(p, e->bits + spare, bits_len - spare);
    p += bits_len - spare;
  }
  return (size_t)(p - out);
}

static void measure_noise(plr__parametric_encoder *e, const job *j) {
  const plr__dither_key key = plr__dither_key_of(j->info);
  e->noise = 0;
  for (uint32_t r = 0; r < j->rows; r++) {
    const size_t at = (size_t)r * j->cols;
    const float step = plr__model_step(row_step(e, j, r));
    if (e->quant == PLR_QUANT_DITHER) {
      e->ops->dither(&key, j->first + r, j->cols, e->u);
      e->ops->undither(e->q + at, e->u, j->cols, step, e->row);
    } else if (e->quant == PLR_QUANT_TRELLIS) {
      e->ops->points(e->q + at, e->index + at, j->cols, step, e->centroid, e->row);
    } else {
      e->ops->dequantise(e->q + at, e->index + at, j->cols, step, e->centroid, e->row);
    }
    e->noise += e->ops->error(j->values + at, e->row, j->cols);
  }
}

void plr__parametric_encode(plr__parametric_encoder *e, const plr_frame_info *info,
                            const float *values, uint32_t first, uint32_t rows, int32_t step,
                            uint8_t *at, uint32_t *len) {
  job j = {info, values, first, rows, info->cols, 0, (size_t)rows * info->cols, 0, step, 0};
  plr__chunk chunk = {at + PLR_CHUNK_HEADER, 0, first, rows, 0};
  size_t bits_len, places;
  j.lanes = plr__parametric_lanes(j.n);
  for (;; j.step += 16) { /* ends: with all q = 0 no bits are left but the tail's */
    j.step = PLR_MAX(PLR_STEP_LEAST, PLR_MIN(PLR_STEP_MOST, j.step));
    j.base = plr__plan_base(&e->plan, j.step);
    make_tokens(e, &j);
    make_index(e, &j);
    quantise_rows(e, &j);
    choose_tail(e, &j);
    if (e->quant == PLR_QUANT_TRELLIS && j.main)
      plr__trellis_encode(e->trellis, e->scaled, e->index, j.main, j.lanes, e->q);
    places =
        e->ops->symbols(e->q, e->index, j.main, e->trellis != NULL, e->limit, e->symbol, e->places);
    bits_len = write_bits(e, &j, places);
    if (bits_len <= 2 * j.n + 128 || j.step >= PLR_STEP_MOST) break;
  }
  chunk.payload_len = (uint32_t)write_payload(e, &j, bits_len, at + PLR_CHUNK_HEADER);
  chunk.flags = (uint32_t)(j.step + PLR_STEP_BIAS) << 16;
  measure_noise(e, &j);
  plr__chunk_write_header(at, &chunk);
  *len = PLR_CHUNK_HEADER + chunk.payload_len;
}
