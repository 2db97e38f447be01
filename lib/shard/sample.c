/* Draws a token from logits (EXACT.md section 9). */
#include <pluralis/generate.h>

#include "base/base.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

void plr_sample_options_init(plr_sample_options *options, uint32_t struct_size) {
  plr_sample_options d = {.top_p = 1.0f};
  plr__options_init(options, struct_size, &d, (uint32_t)sizeof d);
}

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

static double weight(const choice *c, uint32_t i) {
  return (double)plr__expf((c->logits[i] - c->max) / c->temperature);
}

/* Whether logit i takes part; asked in order of the index, starting with `ties` left. */
static int takes_part(const choice *c, uint32_t i, uint32_t *ties) {
  uint32_t key = order_key(c->logits[i]);
  if (key != c->key) return key > c->key;
  if (*ties == 0) return 0;
  (*ties)--;
  return 1;
}

/* Walks the logits that take part, in order of their index: their sum, and the first one at which the running sum
 * exceeds `target`; the last one with a weight when none does. */
static double walk(const choice *c, double target, int32_t *token) {
  double sum = 0.0;
  uint32_t ties = c->ties, found = 0;
  for (uint32_t i = 0; i < c->vocab && !found; i++) {
    if (!takes_part(c, i, &ties)) continue;
    double w = weight(c, i);
    if (w > 0.0) *token = (int32_t)i;
    sum += w;
    found = sum > target;
  }
  return sum;
}

/* ---- top-k, top-p: both are "the first n in the order of EXACT.md" ------------------------------ */

static void keep_first(choice *c, uint32_t n) {
  uint32_t above = 0;
  if (n >= c->vocab) return;
  c->key = threshold(c->logits, c->vocab, n);
  for (uint32_t i = 0; i < c->vocab; i++) above += order_key(c->logits[i]) > c->key;
  c->ties = n - above;
}

/* A heap of indices: the first in order at the top. */
static int before(const choice *c, uint32_t a, uint32_t b) {
  return c->logits[a] > c->logits[b] || (c->logits[a] == c->logits[b] && a < b);
}

static void sift(const choice *c, uint32_t *heap, uint32_t n, uint32_t at) {
  for (;;) {
    uint32_t first = at, left = 2 * at + 1, right = left + 1;
    if (left < n && before(c, heap[left], heap[first])) first = left;
    if (right < n && before(c, heap[right], heap[first])) first = right;
    if (first == at) return;
    uint32_t swap = heap[at];
    heap[at] = heap[first], heap[first] = swap;
    at = first;
  }
}

/* How many candidates, taken in order, reach the share top_p. */
static uint32_t nucleus(const choice *c, float top_p, uint32_t *heap) {
  uint32_t n = 0, taken = 0, ties = c->ties;
  int32_t token = 0;
  const double target = (double)top_p * walk(c, INFINITY, &token);
  for (uint32_t i = 0; i < c->vocab; i++)
    if (takes_part(c, i, &ties)) heap[n++] = i;
  for (uint32_t i = n / 2; i-- > 0;) sift(c, heap, n, i);
  double sum = 0.0;
  while (n > 0) {
    sum += weight(c, heap[0]);
    taken++;
    if (sum >= target) break;
    heap[0] = heap[--n];
    sift(c, heap, n, 0);
  }
  return taken;
}

static int32_t draw(const choice *c, uint64_t seed, uint64_t position) {
  uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, x[4];
  plr__philox4x32(counter, key, x);
  double u = (double)(((uint64_t)x[1] << 32 | x[0]) >> 11) * 0x1p-53;
  int32_t token = 0;
  double total = walk(c, INFINITY, &token);
  walk(c, u * total, &token);
  return token;
}

/* ---- the functions ---------------------------------------------------------------------------- */

static plr_status greedy(const float *logits, uint32_t vocab, int32_t *token) {
  uint32_t best = 0;
  for (uint32_t i = 0; i < vocab; i++) {
    if (!isfinite(logits[i])) return PLR_ERR_NON_FINITE;
    if (logits[i] > logits[best]) best = i;
  }
  *token = (int32_t)best;
  return PLR_OK;
}

/* heap: vocab indices; only used when top_p is below 1. */
static plr_status sample(const float *logits, uint32_t vocab, const plr_sample_options *o,
                         uint32_t *heap, int32_t *token) {
  PLR_TRY(greedy(logits, vocab, token));
  if (o->temperature == 0.0f) return PLR_OK;
  choice c = {logits, vocab, 0, vocab, logits[*token], o->temperature};
  plr_fpenv saved = plr__fpenv_enter();
  if (o->top_k > 0) keep_first(&c, o->top_k);
  if (o->top_p < 1.0f) keep_first(&c, nucleus(&c, o->top_p, heap));
  *token = draw(&c, o->seed, o->position);
  plr__fpenv_leave(saved);
  return PLR_OK;
}

static int valid(const float *logits, uint32_t vocab, const plr_sample_options *o,
                 const int32_t *token) {
  return logits && token && vocab > 0 && vocab <= INT32_MAX && o->temperature >= 0.0f &&
         isfinite(o->temperature) && o->top_p > 0.0f && o->top_p <= 1.0f;
}

plr_status plr_sample_logits(plr_context *ctx, const float *logits, uint32_t vocab,
                             const plr_sample_options *options, int32_t *token) {
  plr_sample_options o;
  plr_sample_options_init(&o, (uint32_t)sizeof o);
  if (!ctx) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(plr__options_read(&o, (uint32_t)sizeof o, options, "sample options", NULL));
  if (!valid(logits, vocab, &o, token)) return PLR_ERR_INVALID_ARGUMENT;
  if (o.temperature == 0.0f || o.top_p == 1.0f) return sample(logits, vocab, &o, NULL, token);
  uint32_t *heap = plr__scratch_take(ctx, vocab * sizeof *heap);
  if (!heap) return PLR_ERR_NO_MEMORY;
  plr_status st = sample(logits, vocab, &o, heap, token);
  plr__scratch_give(ctx, heap);
  return st;
}

plr_status plr_sample(const float *logits, uint32_t vocab, float temperature, uint32_t top_k,
                      uint64_t seed, uint64_t position, int32_t *token) {
  plr_sample_options o;
  plr_sample_options_init(&o, (uint32_t)sizeof o);
  o.temperature = temperature, o.top_k = top_k, o.seed = seed, o.position = position;
  if (!valid(logits, vocab, &o, token)) return PLR_ERR_INVALID_ARGUMENT;
  return sample(logits, vocab, &o, NULL, token);
}
