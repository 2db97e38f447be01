/* A parametric frame: which step each chunk gets, so that the frame has the bits or the error asked for, or stays
 * within its budget; nothing is encoded to find the step, only to keep the budget exactly. */
#include "exchange/encoder_int.h"

#define BUDGET_TRIES 8
#define TARGET_TRIES 6

/* Bytes of a chunk that do not depend on the step, near enough: header, head, states. */
static double fixed_bytes(const plr__parametric_encoder *p, uint32_t rows, size_t n) {
  double bytes = PLR_CHUNK_HEADER + PLR_PARAMETRIC_HEAD;
  if (p->plan.has_tokens) bytes += 0.6 * rows + 1;
  return bytes + 1.2 * (double)plr__parametric_lanes(n);
}

static void encode_at(plr_encoder *e, uint32_t first, uint32_t rows, int32_t step, uint8_t *at,
                      uint32_t *len) {
  const float *values = plr__view_rows(&e->job.view, first, rows, e->staging);
  plr__parametric_encode(e->parametric, &e->job.coded, values, first, rows, step, at, len);
}

/* Error power that may be, over what the plan is of: less than of the tensor where a predictor took some away. */
static double target_of(const plr_encoder *e) {
  const double power = e->parametric->plan.power, signal = e->job.signal;
  return signal > 0 && power > 0 ? e->target * signal / power : e->target;
}

/* The step for the rows planned: bits or budget, and error. */
static int32_t choose_step(const plr_encoder *e, double bits) {
  const plr__plan *plan = &e->parametric->plan;
  const int32_t for_bits = plr__plan_step_for_bits(plan, bits / e->correction);
  if (e->target <= 0) return for_bits;
  const int32_t for_noise = plr__plan_step_for_noise(plan, target_of(e));
  return e->budget ? PLR_MAX(for_bits, for_noise) : for_noise;
}

/* How far off the estimates are, learnt from the frame's own chunks and nothing before it. */
static void learn(plr_encoder *e, int32_t step, double bits) {
  const double expected = plr__plan_bits(&e->parametric->plan, step);
  if (expected < 1000 || bits <= 0) return;
  const double ratio = PLR_MAX(0.5, PLR_MIN(2.0, bits / expected));
  e->correction += 0.5 * (ratio - e->correction);
}

/* Steps of 1/64 octave that bring `bytes` to `goal`: one bit a value is 64 of them. */
static int32_t steps_to(double bytes, double goal, size_t n) {
  const double steps = (bytes - goal) * 8.0 * 64.0 / (double)n;
  return (int32_t)PLR_MAX(-512.0, PLR_MIN(512.0, steps));
}

/* A chunk of at most `cap` bytes, and most of them. */
static plr_status encode_within(plr_encoder *e, uint32_t first, uint32_t rows, double cap,
                                uint8_t *at, uint32_t *len) {
  const size_t n = (size_t)rows * e->job.coded.cols;
  const double fixed = fixed_bytes(e->parametric, rows, n), goal = cap - 0.004 * cap - 2;
  int32_t step = choose_step(e, 8.0 * PLR_MAX(goal - fixed, 1.0));
  const int32_t least =
      e->target > 0 ? plr__plan_step_for_noise(&e->parametric->plan, target_of(e)) : PLR_STEP_LEAST;
  int32_t fits = PLR_STEP_MOST + 1, fails = least - 1;
  for (uint32_t tries = 0; tries < BUDGET_TRIES || fits > PLR_STEP_MOST; tries++) {
    encode_at(e, first, rows, step, at, len);
    if (tries == 0) learn(e, step, 8.0 * ((double)*len - fixed));
    const int32_t off = steps_to(*len, goal, n);
    if ((double)*len <= cap) {
      if (off >= -1 || (double)*len >= 0.99 * cap || step <= least || tries >= BUDGET_TRIES)
        return PLR_OK;
      fits = step;
      step = PLR_MAX(fails + 1, step + off);
      if (step >= fits) return PLR_OK;
    } else {
      fails = PLR_MAX(fails, step);
      if (step >= PLR_STEP_MOST) return PLR_ERR_LIMIT;
      step = step + PLR_MAX(off + 1, tries < BUDGET_TRIES / 2 ? 4 : 64);
      if (fits <= PLR_STEP_MOST && step >= fits) step = fits;
      step = PLR_MIN(step, PLR_STEP_MOST);
    }
  }
  return (double)*len <= cap ? PLR_OK : PLR_ERR_LIMIT;
}

/* Bytes that these rows may take of what is left: in proportion to what they need. */
static double share(plr_encoder *e, uint32_t first, uint32_t rows, double left) {
  plr__plan *plan = &e->parametric->plan;
  const uint32_t rest = plan->rows - first;
  if (rest == rows) return left;
  plr__plan_rows(plan, first, rest);
  const int32_t step = choose_step(e, 8.0 * left);
  const double all = plr__plan_bits(plan, step);
  plr__plan_rows(plan, first, rows);
  const double part = plr__plan_bits(plan, step);
  return all > 0 ? left * part / all : left * (double)rows / (double)rest;
}

/* Error of n values that a step should give. */
static double expected_noise(plr_encoder *e, int32_t step, double n) {
  const plr__plan *plan = &e->parametric->plan;
  return plr__plan_noise(plan, step) * plan->power * n / ((double)plan->rows * (double)plan->cols);
}

/* The estimates are of Gaussian values; what predictors leave has longer tails. A chunk whose error came out larger is
 * coded again in smaller steps, with which the next ones begin. */
static void encode_to_target(plr_encoder *e, uint32_t first, uint32_t rows, uint8_t *at,
                             uint32_t *len) {
  plr__encode_job *j = &e->job;
  plr__parametric_encoder *p = e->parametric;
  plr__plan_rows(&p->plan, first, rows);
  const double most = 1.03 * expected_noise(e, j->step, (double)p->plan.values);
  for (uint32_t tries = 0; tries < TARGET_TRIES; tries++) {
    encode_at(e, first, rows, PLR_MAX(PLR_STEP_LEAST, j->step - j->finer), at, len);
    if (p->noise <= most || most <= 0) return;
    /* The square of the step; less follows it where most values become 0. */
    j->finer += PLR_MAX(4, PLR_MIN(64, plr__model_log(p->noise / most)));
  }
}

plr_status plr__parametric_rows(plr_encoder *e, uint32_t first, uint32_t rows, uint8_t *at,
                                uint32_t *len) {
  plr__parametric_encoder *p = e->parametric;
  const plr__frame *f = &e->job.frame;
  if (e->budget) {
    const double left = (double)e->budget - (double)f->header_len - (double)f->info.payload_len;
    const double cap = share(e, first, rows, left);
    plr__plan_rows(&p->plan, first, rows);
    PLR_TRY(encode_within(e, first, rows, cap, at, len));
  } else if (e->target > 0) {
    encode_to_target(e, first, rows, at, len);
  } else {
    encode_at(e, first, rows, e->job.step, at, len);
  }
  e->job.noise += p->noise;
  return PLR_OK;
}

plr_status plr__parametric_plan(plr_encoder *e) {
  plr__parametric_encoder *p = e->parametric;
  const double values = (double)e->job.coded.rows * (double)e->job.coded.cols;
  double bits = e->codec.bits, power;
  e->correction = 1.0;
  if (e->budget) bits = 8.0 * (double)e->budget / values;
  if (plr__plan_means(&p->plan, &e->job.view, p->row, PLR_MIN(bits, 12.0), &power) &&
      !(e->job.signal > 0))
    e->job.signal = power;
  PLR_TRY(plr__plan_make(&p->plan, &e->job.view, p->row, PLR_MIN(bits, 12.0)));
  /* Without a budget the step may as well be one that the tables were made for. */
  e->job.step = plr__plan_snap(&p->plan, choose_step(e, (double)e->codec.bits * values));
  return PLR_OK;
}

plr_status plr__parametric_end(plr_encoder *e) {
  const double signal = e->job.signal > 0 ? e->job.signal : e->parametric->plan.power;
  if (e->floor > 0 && e->job.noise > e->floor * signal) return PLR_ERR_LIMIT;
  e->stats.signal_power = signal;
  e->stats.noise_power = e->job.noise;
  return PLR_OK;
}
