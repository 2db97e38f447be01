/* Scales and rate of a tensor; see plan.h. */
#include "exchange/plan.h"

#include <string.h>

#define MIDDLE (PLR_PLAN_BINS / 2)

plr_status plr__plan_create(plr__plan *p, plr_context *ctx, uint32_t max_rows, uint32_t max_cols) {
  memset(p, 0, sizeof *p);
  p->row_log = plr__alloc(ctx, (size_t)max_rows * sizeof *p->row_log);
  p->sums = plr__alloc(ctx, (size_t)max_cols * sizeof *p->sums);
  p->column = plr__alloc(ctx, (size_t)max_cols * sizeof *p->column);
  p->shift = plr__alloc(ctx, (size_t)max_cols * sizeof *p->shift);
  p->mean = plr__alloc(ctx, (size_t)max_cols * sizeof *p->mean);
  p->channel = plr__calloc(ctx, max_cols, sizeof *p->channel);
  p->channel_bins = plr__calloc(ctx, PLR_PLAN_BINS, sizeof *p->channel_bins);
  p->token_bins = plr__calloc(ctx, PLR_PLAN_BINS, sizeof *p->token_bins);
  p->bins = plr__calloc(ctx, 2 * PLR_PLAN_BINS, sizeof *p->bins);
  if (!p->row_log || !p->sums || !p->column || !p->shift || !p->mean || !p->channel ||
      !p->channel_bins || !p->token_bins || !p->bins)
    return PLR_ERR_NO_MEMORY;
  return PLR_OK;
}

void plr__plan_release(plr__plan *p, plr_context *ctx) {
  plr__free(ctx, p->row_log);
  plr__free(ctx, p->sums);
  plr__free(ctx, p->column);
  plr__free(ctx, p->shift);
  plr__free(ctx, p->mean);
  plr__free(ctx, p->channel);
  plr__free(ctx, p->channel_bins);
  plr__free(ctx, p->token_bins);
  plr__free(ctx, p->bins);
}

/* To the nearest eighth, halves up. */
static int32_t eighths(int32_t v) {
  return (v + 4) >> 3;
}

static int32_t clamped(int32_t v, int32_t most) {
  return v < -most ? -most : v > most ? most : v;
}

int32_t plr__plan_token(const plr__plan *p, uint32_t row) {
  if (!p->has_tokens) return 0;
  if (p->row_log[row] == PLR_LOG_NONE) return p->relative ? 0 : PLR_OFFSET_SILENT;
  return clamped(eighths(p->row_log[row] - p->ref), PLR_OFFSET_MOST);
}

int32_t plr__plan_base(const plr__plan *p, int32_t step) {
  return PLR_MODEL_UNIT + eighths(p->ref - step - p->unit);
}

int32_t plr__plan_snap(const plr__plan *p, int32_t step) {
  return p->ref - p->unit - 8 * eighths(p->ref - step - p->unit);
}

/* ---- estimates ---------------------------------------------------------------------------------- */

/* Bits, in 1/1024, of a value whose scale is 2^(log / 64) steps: a line between the tables. */
static double bits_of(uint32_t kind, int32_t log) {
  const uint16_t *table = plr__model.bits + kind * PLR_MODEL_TABLES;
  const int32_t at = log + 8 * PLR_MODEL_UNIT, last = 8 * (PLR_MODEL_TABLES - 1);
  if (at <= 0) return table[0];
  if (at >= last) return table[PLR_MODEL_TABLES - 1] + 16.0 * (double)(at - last);
  const double low = table[at >> 3], high = table[(at >> 3) + 1];
  return low + (high - low) * 0.125 * (double)(at & 7);
}

static double error_of(uint32_t kind, int32_t log) {
  const uint16_t *table = plr__model.errors + kind * PLR_MODEL_TABLES;
  const int32_t at = log + 8 * PLR_MODEL_UNIT, last = 8 * (PLR_MODEL_TABLES - 1);
  if (at >= last) return table[PLR_MODEL_TABLES - 1];
  if (at <= 0) return table[0];
  const double low = table[at >> 3], high = table[(at >> 3) + 1];
  return low + (high - low) * 0.125 * (double)(at & 7);
}

static void count_tokens(plr__plan *p, uint32_t first, uint32_t rows) {
  memset(p->token_bins, 0, PLR_PLAN_BINS * sizeof *p->token_bins);
  for (uint32_t r = first; r < first + rows; r++) {
    const int32_t offset = p->relative ? 0 : plr__plan_token(p, r);
    p->token_bins[clamped(offset, MIDDLE - 1) + MIDDLE]++;
  }
}

static void count_channels(plr__plan *p) {
  memset(p->channel_bins, 0, PLR_PLAN_BINS * sizeof *p->channel_bins);
  for (uint32_t c = 0; c < p->cols; c++)
    p->channel_bins[clamped(p->has_channels ? p->channel[c] : 0, MIDDLE - 1) + MIDDLE]++;
}

/* The bins between the first and the last that are not empty. */
static void used(const uint32_t *bins, uint32_t *low, uint32_t *high) {
  *low = 0, *high = PLR_PLAN_BINS;
  while (*low < *high && !bins[*low]) ++*low;
  while (*low < *high && !bins[*high - 1]) --*high;
}

void plr__plan_rows(plr__plan *p, uint32_t first, uint32_t rows) {
  uint32_t low, high, from, to;
  count_tokens(p, first, rows);
  used(p->token_bins, &low, &high);
  used(p->channel_bins, &from, &to);
  p->low = (int32_t)(low + from), p->high = (int32_t)(high + to);
  memset(p->bins + p->low, 0, (size_t)(p->high - p->low) * sizeof *p->bins);
  for (uint32_t t = low; t < high; t++)
    for (uint32_t c = from; p->token_bins[t] && c < to; c++)
      p->bins[t + c] += (uint64_t)p->token_bins[t] * p->channel_bins[c];
  p->values = (uint64_t)rows * p->cols;
}

double plr__plan_bits(const plr__plan *p, int32_t step) {
  double sum = 0;
  for (int32_t i = p->low; i < p->high; i++)
    if (p->bins[i])
      sum += (double)p->bins[i] * bits_of(p->kind, p->ref - step - p->unit + 8 * (i - 2 * MIDDLE));
  return sum * (1.0 / 1024);
}

double plr__plan_noise(const plr__plan *p, int32_t step) {
  double sum = 0;
  for (int32_t i = p->low; i < p->high; i++)
    if (p->bins[i])
      sum += (double)p->bins[i] * error_of(p->kind, p->ref - step - p->unit + 8 * (i - 2 * MIDDLE));
  const double unit = (double)plr__model_step(step);
  const double mean = p->power / ((double)p->rows * (double)p->cols);
  if (!(mean > 0)) return 0;
  return sum / 65536 / (double)p->values * unit * unit * p->row_square / mean;
}

/* The least step for which `fits`, which is monotone. */
static int32_t least_step(const plr__plan *p, double limit,
                          double (*estimate)(const plr__plan *, int32_t)) {
  int32_t low = PLR_STEP_LEAST, high = PLR_STEP_MOST;
  while (low < high) {
    const int32_t middle = low + (high - low) / 2;
    if (estimate(p, middle) <= limit)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

int32_t plr__plan_step_for_bits(const plr__plan *p, double bits) {
  return least_step(p, bits, plr__plan_bits);
}

int32_t plr__plan_step_for_noise(const plr__plan *p, double ratio) {
  int32_t low = PLR_STEP_LEAST, high = PLR_STEP_MOST;
  while (low < high) {
    const int32_t middle = high - (high - low) / 2;
    if (plr__plan_noise(p, middle) <= ratio)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/* ---- scales ------------------------------------------------------------------------------------- */

uint32_t plr__plan_rice(const int16_t *v, size_t n, uint64_t *bits) {
  uint32_t best = 0;
  for (uint32_t k = 0; k < 8; k++) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += plr__rice_length(v[i], k);
    if (k == 0 || sum < *bits) *bits = sum, best = k;
  }
  return best;
}

/* Bits of the offsets of tokens, near enough. */
static double token_cost(const plr__plan *p) {
  uint64_t best = UINT64_MAX;
  for (uint32_t k = 0; k < 8; k++) {
    uint64_t sum = 0;
    for (uint32_t r = 0; r < p->rows; r++) sum += plr__rice_length(plr__plan_token(p, r), k);
    best = PLR_MIN(best, sum);
  }
  return (double)best + 8;
}

static int32_t whole_log(const plr__plan *p) {
  return plr__model_log(p->power / ((double)p->rows * (double)p->cols));
}

static int32_t mean_log(const plr__plan *p) {
  int64_t sum = 0, n = 0;
  for (uint32_t r = 0; r < p->rows; r++)
    if (p->row_log[r] != PLR_LOG_NONE) sum += p->row_log[r], n++;
  return n ? (int32_t)(sum / n) : PLR_LOG_NONE;
}

static plr_status measure_rows(plr__plan *p, const plr__view *x, float *staging) {
  p->power = 0;
  for (uint32_t r = 0; r < p->rows; r++) {
    const double power = p->ops->power(plr__view_row(x, r, staging), p->cols);
    if (!(power < PLR_PLAN_MOST_POWER)) return PLR_ERR_NON_FINITE;
    p->power += power;
    p->row_log[r] = plr__model_log(power / (double)p->cols);
  }
  return PLR_OK;
}

/* A row's power with its channels brought to the same scale, which a few loud channels do not decide alone. */
static void whiten_rows(plr__plan *p, const plr__view *x, float *staging) {
  for (uint32_t c = 0; c < p->cols; c++) {
    const int32_t log = PLR_MAX(-100 * 64, PLR_MIN(100 * 64, -8 * p->channel[c]));
    const double scale = (double)plr__model_step(log);
    p->sums[c] = p->channel[c] == PLR_OFFSET_SILENT ? 0 : scale * scale;
  }
  for (uint32_t r = 0; r < p->rows; r++)
    p->row_log[r] = plr__model_log(
        p->ops->weighted_power(plr__view_row(x, r, staging), p->sums, p->cols) / (double)p->cols);
  p->ref = mean_log(p);
}

static void measure_channels(plr__plan *p, const plr__view *x, float *staging) {
  uint32_t counted = 0;
  memset(p->sums, 0, p->cols * sizeof *p->sums);
  for (uint32_t r = 0; r < p->rows; r++) {
    if (p->row_log[r] == PLR_LOG_NONE) continue;
    double weight = 1.0;
    if (p->has_tokens) { /* by the scale as it is sent */
      const int32_t log = p->ref + 8 * plr__plan_token(p, r);
      const double scale =
          (double)plr__model_step(PLR_MAX(PLR_STEP_LEAST, PLR_MIN(120 * 64, -log)));
      weight = scale * scale;
    }
    p->ops->add_power(plr__view_row(x, r, staging), p->cols, weight, p->sums);
    counted++;
  }
  const double share = 1.0 / (double)PLR_MAX(counted, 1);
  for (uint32_t c = 0; c < p->cols; c++) {
    int32_t log = plr__model_log(p->sums[c] * share);
    if (!p->has_tokens && log != PLR_LOG_NONE) log -= p->ref;
    p->channel[c] =
        (int16_t)(log == PLR_LOG_NONE ? PLR_OFFSET_SILENT : clamped(eighths(log), PLR_OFFSET_MOST));
  }
}

static double all_bits(plr__plan *p, int32_t step) {
  count_channels(p);
  plr__plan_rows(p, 0, p->rows);
  return plr__plan_bits(p, step);
}

/* Scales of channels are worth their bits when the values then take that many fewer. */
static void choose_channels(plr__plan *p, const plr__view *x, float *staging, double bits) {
  uint64_t side = 0;
  p->has_channels = 0;
  count_channels(p);
  plr__plan_rows(p, 0, p->rows);
  if (p->rows < 4 || p->cols < 2) return;
  const int32_t step = plr__plan_step_for_bits(p, bits * (double)p->values);
  const double without = plr__plan_bits(p, step);
  measure_channels(p, x, staging);
  plr__plan_rice(p->channel, p->cols, &side);
  p->has_channels = 1;
  if (all_bits(p, step) + (double)side + 8 * (PLR_CHUNK_HEADER + 1) < without) return;
  p->has_channels = 0;
}

/* What scales of tokens save: log of the mean square over mean of the logs, and the rows of zeros. */
static double token_gain(const plr__plan *p, double bits) {
  double squares = 0, logs = 0, loud = 0;
  for (uint32_t r = 0; r < p->rows; r++) {
    if (p->row_log[r] == PLR_LOG_NONE) continue;
    const double scale = (double)plr__model_step(
        PLR_MAX(PLR_STEP_LEAST, PLR_MIN(PLR_STEP_MOST, p->row_log[r] - p->ref)));
    squares += scale * scale;
    logs += (double)(p->row_log[r] - p->ref);
    loud += 1;
  }
  const double octaves = ((double)plr__model_log(squares / loud) - logs / loud) * (1.0 / 64);
  return (double)p->cols *
         (loud * octaves * PLR_MIN(1.0, 0.5 * bits) + ((double)p->rows - loud) * bits);
}

/* The mean square of the rows' steps over that of offset 0. */
static double row_square(const plr__plan *p) {
  double sum = 0;
  if (!p->relative || !p->has_tokens) return 1;
  for (uint32_t r = 0; r < p->rows; r++) {
    const int32_t offset = PLR_MAX(-60 * 8, PLR_MIN(60 * 8, plr__plan_token(p, r)));
    const double scale = (double)plr__model_step(8 * offset);
    sum += scale * scale;
  }
  return sum / (double)p->rows;
}

plr_status plr__plan_make(plr__plan *p, const plr__view *x, float *staging, double bits) {
  p->rows = x->rows, p->cols = x->cols;
  PLR_TRY(measure_rows(p, x, staging));
  p->has_tokens = p->rows > 1 && p->power > 0;
  p->has_channels = 0;
  p->ref = p->power > 0 ? whole_log(p) : 0;
  if (p->has_tokens) p->ref = mean_log(p);
  if (p->power > 0) choose_channels(p, x, staging, bits);
  if (p->has_channels && p->has_tokens) {
    whiten_rows(p, x, staging);
    measure_channels(p, x, staging);
  }
  if (p->has_tokens && !p->relative && token_gain(p, bits) < token_cost(p)) {
    p->has_tokens = 0;
    p->ref = whole_log(p);
    if (p->has_channels) measure_channels(p, x, staging);
  }
  if (!p->has_channels) memset(p->channel, 0, p->cols * sizeof *p->channel);
  p->row_square = row_square(p);
  count_channels(p);
  plr__plan_rows(p, 0, p->rows);
  return PLR_OK;
}
