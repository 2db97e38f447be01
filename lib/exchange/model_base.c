/* Steps and log scales of the entropy model, and its bit stream. Integers only: the same on every machine. */
#include "exchange/model.h"

#include "tensor/tensor.h"

#include <string.h>

float plr__model_step(int32_t step) {
  uint32_t octave = (uint32_t)(step - PLR_STEP_LEAST) / 64u + (uint32_t)(PLR_STEP_LEAST / 64 + 127);
  uint32_t mantissa = plr__model.steps[(uint32_t)(step - PLR_STEP_LEAST) % 64u] & 0x7fffffu;
  return plr__f32_from_bits(octave << 23 | mantissa);
}

int32_t plr__model_log(double mean_square) {
  uint64_t u;
  memcpy(&u, &mean_square, sizeof u);
  const int32_t exponent = (int32_t)(u >> 52 & 0x7ff);
  if (exponent == 0) return PLR_LOG_NONE;
  const uint64_t mantissa = u & ((UINT64_C(1) << 52) - 1);
  uint32_t part = 0; /* bounds that are not above the mantissa, of 32 in order */
  for (uint32_t half = 16; half > 0; half /= 2)
    part += plr__model.bounds[part + half - 1] <= mantissa ? half : 0;
  part += plr__model.bounds[part] <= mantissa;
  return 32 * (exponent - 1023) + (int32_t)part;
}

void plr__bits_put(plr__bit_writer *w, uint64_t value, uint32_t bits) {
  w->held |= value << w->count;
  for (w->count += bits; w->count >= 8; w->count -= 8, w->held >>= 8, w->len++)
    if (w->len < w->cap) w->out[w->len] = (uint8_t)w->held;
}

void plr__bits_flush(plr__bit_writer *w) {
  if (w->count == 0) return;
  plr__bits_put(w, 0, 8 - w->count);
}

static uint32_t bit_length(uint32_t v) {
  return v ? 32u - (uint32_t)__builtin_clz(v) : 0;
}

void plr__bits_exp_golomb(plr__bit_writer *w, uint32_t v) {
  const uint32_t extra = bit_length(v + 1) - 1;
  plr__bits_put(w, (UINT64_C(1) << extra) - 1, extra + 1);
  plr__bits_put(w, (v + 1) & ((UINT32_C(1) << extra) - 1), extra);
}

/* 0, -1, 1, -2 .. become 0, 1, 2, 3 .. */
static uint32_t zigzag(int32_t v) {
  return v < 0 ? 2u * (uint32_t)(-(v + 1)) + 1u : 2u * (uint32_t)v;
}

#define RICE_ONES 15u

void plr__bits_rice(plr__bit_writer *w, int32_t v, uint32_t k) {
  const uint32_t u = zigzag(v), ones = u >> k;
  if (ones < RICE_ONES) {
    plr__bits_put(w, (UINT64_C(1) << ones) - 1, ones + 1);
    plr__bits_put(w, u & ((UINT32_C(1) << k) - 1), k);
  } else {
    plr__bits_put(w, (UINT64_C(1) << RICE_ONES) - 1, RICE_ONES);
    plr__bits_exp_golomb(w, u - (RICE_ONES << k));
  }
}

uint32_t plr__rice_length(int32_t v, uint32_t k) {
  const uint32_t u = zigzag(v), ones = u >> k;
  return ones < RICE_ONES ? ones + 1 + k : RICE_ONES + 2 * bit_length(u - (RICE_ONES << k) + 1) - 1;
}

uint32_t plr__bits_get(plr__bit_reader *r, uint32_t bits) {
  while (r->count < bits) {
    uint64_t byte = 0;
    if (r->pos < r->front_len)
      byte = r->front[r->pos];
    else if (r->pos - r->front_len < r->rest_len)
      byte = r->rest[r->pos - r->front_len];
    else
      r->failed = 1;
    r->held |= byte << r->count;
    r->pos++;
    r->count += 8;
  }
  uint32_t v = (uint32_t)(r->held & ((UINT64_C(1) << bits) - 1));
  r->held >>= bits;
  r->count -= bits;
  return v;
}

/* Ones up to the first zero, at most `most`. */
static uint32_t get_ones(plr__bit_reader *r, uint32_t most) {
  uint32_t n = 0;
  while (n < most && !r->failed && plr__bits_get(r, 1)) n++;
  return n;
}

uint32_t plr__bits_get_exp_golomb(plr__bit_reader *r) {
  uint32_t extra = get_ones(r, 24);
  if (extra >= 24) r->failed = 1;
  if (r->failed) return 0;
  return (UINT32_C(1) << extra | plr__bits_get(r, extra)) - 1;
}

int32_t plr__bits_get_rice(plr__bit_reader *r, uint32_t k) {
  const uint32_t ones = get_ones(r, RICE_ONES);
  uint32_t u = ones < RICE_ONES ? ones << k | plr__bits_get(r, k)
                                : (RICE_ONES << k) + plr__bits_get_exp_golomb(r);
  return u & 1 ? -(int32_t)(u >> 1) - 1 : (int32_t)(u >> 1);
}

int plr__bits_done(const plr__bit_reader *r) {
  if (r->failed || r->held) return 0;
  for (size_t i = r->pos; i < r->front_len; i++)
    if (r->front[i]) return 0;
  return r->pos >= r->front_len ? r->pos - r->front_len == r->rest_len : r->rest_len == 0;
}
