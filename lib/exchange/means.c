/* Means of channels: what a model carries on has channels that are far from 0 on average, and the square of a mean is
 * power that the quantiser need not code. The view gives rows without the means from then on. */
#include "exchange/plan.h"

#include <string.h>

#define LEAST_ROWS 8u
/* The grid of the means: a quarter of the spread that channels have around them, in the mean of the logarithms. What a
 * mean misses by that is a two-hundredth of a channel's power. */
#define GRID (2 * 64)

static int32_t log_of(double mean_square) {
  return mean_square > 0 ? plr__model_log(mean_square) : PLR_LOG_NONE;
}

/* Sums and sums of squares of the columns. */
static void measure(plr__plan *p, const plr__view *x, float *staging) {
  memset(p->sums, 0, p->cols * sizeof *p->sums);
  memset(p->column, 0, p->cols * sizeof *p->column);
  for (uint32_t r = 0; r < p->rows; r++) {
    const float *row = plr__view_row(x, r, staging);
    p->ops->add_power(row, p->cols, 1.0, p->sums);
    for (uint32_t c = 0; c < p->cols; c++) p->column[c] += (double)row[c];
  }
}

/* Mean square around the mean. */
static double spread(const plr__plan *p, uint32_t c) {
  const double rows = (double)p->rows, mean = p->column[c] / rows;
  return p->sums[c] / rows - mean * mean;
}

/* The grid, from channels that have a spread; PLR_LOG_NONE: there are none. */
static int32_t grid_of(const plr__plan *p) {
  int64_t sum = 0, n = 0;
  for (uint32_t c = 0; c < p->cols; c++) {
    const int32_t log = log_of(spread(p, c));
    if (log != PLR_LOG_NONE) sum += log, n++;
  }
  if (!n) return PLR_LOG_NONE;
  return PLR_MAX(PLR_STEP_LEAST, PLR_MIN(PLR_STEP_MOST, (int32_t)(sum / n) - GRID));
}

/* The means on the grid; bits that the values save. */
static double place(plr__plan *p, int32_t grid) {
  const double step = (double)plr__model_step(grid), inverse = 1.0 / step;
  int64_t saved = 0;
  for (uint32_t c = 0; c < p->cols; c++) {
    const double mean = p->column[c] / (double)p->rows;
    const double most = PLR_OFFSET_MOST, v = PLR_MAX(-most, PLR_MIN(most, mean * inverse));
    p->shift[c] = (int16_t)(v < 0 ? -(int32_t)(0.5 - v) : (int32_t)(v + 0.5));
    const double off = mean - (double)p->shift[c] * step, rest = spread(p, c);
    const int32_t before = log_of(p->sums[c] / (double)p->rows);
    const int32_t after = log_of(PLR_MAX(rest, 0) + off * off);
    if (before != PLR_LOG_NONE && after != PLR_LOG_NONE) saved += before - after;
  }
  return (double)saved * (1.0 / 64) * (double)p->rows;
}

int plr__plan_means(plr__plan *p, plr__view *x, float *staging, double bits, double *power) {
  uint64_t side;
  p->has_means = 0;
  p->rows = x->rows, p->cols = x->cols;
  if (p->rows < LEAST_ROWS) return 0;
  measure(p, x, staging);
  *power = 0;
  for (uint32_t c = 0; c < p->cols; c++) *power += p->sums[c];
  if (!(*power < PLR_PLAN_MOST_POWER) || !(*power > 0)) return 0;
  p->mean_step = grid_of(p);
  if (p->mean_step == PLR_LOG_NONE) return 0;
  const double saved = place(p, p->mean_step) * PLR_MIN(1.0, 0.5 * bits);
  plr__plan_rice(p->shift, p->cols, &side);
  if (saved <= (double)(side + p->cols) + 8 * (PLR_CHUNK_HEADER + 2)) return 0;
  const float step = plr__model_step(p->mean_step);
  for (uint32_t c = 0; c < p->cols; c++) p->mean[c] = (float)p->shift[c] * step;
  p->has_means = 1;
  x->mean = p->mean;
  return 1;
}
