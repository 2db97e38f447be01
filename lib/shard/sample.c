/* Draws a token from logits. */
#include <pluralis/shard.h>

#include "base/base.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

/* Bits of a float in an order that is the order of the numbers; -0 and +0 are the same. */
static uint32_t order_key(float x) {
  uint32_t u;
  x = x == 0.0f ? 0.0f : x;
  memcpy(&u, &x, sizeof u);
  return u & 0x80000000u ? ~u : u | 0x80000000u;
}

/* The largest key that at least k logits reach. */
static uint32_t threshold(const float *logits, uint32_t vocab, uint32_t k) {
  uint32_t key = 0;
  for (uint32_t bit = 0x80000000u; bit; bit >>= 1) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < vocab; i++) count += order_key(logits[i]) >= (key | bit);
    if (count >= k) key |= bit;
  }
  return key;
}

typedef struct choice {
  const float *logits;
  uint32_t vocab, key; /* logits above key take part, and the first `ties` that equal it */
  uint32_t ties;
  float max, temperature;
} choice;

/* Walks the logits that take part, in order of their index: their sum, and the first one at which the running sum
 * exceeds `target`; the last one when none does. */
static double walk(const choice *c, double target, int32_t *token) {
  double sum = 0.0;
  uint32_t ties = c->ties, found = 0;
  for (uint32_t i = 0; i < c->vocab && !found; i++) {
    uint32_t key = order_key(c->logits[i]);
    if (key < c->key || (key == c->key && ties == 0)) continue;
    if (key == c->key) ties--;
    double w = (double)plr__expf((c->logits[i] - c->max) / c->temperature);
    if (w > 0.0) *token = (int32_t)i;
    sum += w;
    found = sum > target;
  }
  return sum;
}

static int32_t draw(choice *c, uint32_t top_k, uint64_t seed, uint64_t position) {
  if (top_k > 0 && top_k < c->vocab) {
    uint32_t above = 0;
    c->key = threshold(c->logits, c->vocab, top_k);
    for (uint32_t i = 0; i < c->vocab; i++) above += order_key(c->logits[i]) > c->key;
    c->ties = top_k - above;
  }
  uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, x[4];
  plr__philox4x32(counter, key, x);
  double u = (double)(((uint64_t)x[1] << 32 | x[0]) >> 11) * 0x1p-53;
  int32_t token = 0;
  double total = walk(c, INFINITY, &token);
  walk(c, u * total, &token);
  return token;
}

plr_status plr_sample(const float *logits, uint32_t vocab, float temperature, uint32_t top_k,
                      uint64_t seed, uint64_t position, int32_t *token) {
  if (!logits || !token || vocab == 0 || vocab > INT32_MAX || !(temperature >= 0.0f) ||
      isinf(temperature))
    return PLR_ERR_INVALID_ARGUMENT;
  uint32_t best = 0;
  for (uint32_t i = 0; i < vocab; i++) {
    if (!isfinite(logits[i])) return PLR_ERR_NON_FINITE;
    if (logits[i] > logits[best]) best = i;
  }
  *token = (int32_t)best;
  if (temperature == 0.0f) return PLR_OK;
  choice c = {logits, vocab, 0, vocab, logits[best], temperature};
  plr_fpenv saved = plr__fpenv_enter();
  *token = draw(&c, top_k, seed, position);
  plr__fpenv_leave(saved);
  return PLR_OK;
}
