/* Keyed masks (Q7): which values of a tensor a round takes follows from a key, by a permutation that is computed place
 * by place. FRAME.md is the norm. */
#include "exchange/exchange_int.h"

#include "tensor/tensor.h"

#define HALF_ROUNDS 6
#define TOTAL_MOST  (UINT64_C(1) << 48)
#define BATCH       256 /* indices that are computed before the memory they name is touched */

/* A Feistel network on left x right, a grid near a square that just holds all values; what falls outside is permuted
 * again (J. Black, P. Rogaway, CT-RSA 2002). */
typedef struct permutation {
  uint64_t total;
  uint32_t left, right, key[HALF_ROUNDS + 2];
} permutation;

static uint64_t root_above(uint64_t v) {
  uint64_t low = 1, high = UINT64_C(1) << 24;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    if (middle * middle >= v)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static permutation permutation_of(const plr_mask *m) {
  permutation p = {.total = m->total};
  const uint32_t key[2] = {(uint32_t)m->key, (uint32_t)(m->key >> 32)};
  p.left = (uint32_t)root_above(m->total);
  p.right = (uint32_t)((m->total + p.left - 1) / p.left);
  for (uint32_t i = 0; i < 2; i++) {
    const uint32_t counter[4] = {i, 0x4b53414du, (uint32_t)m->total, (uint32_t)(m->total >> 32)};
    plr__philox4x32(counter, key, p.key + 4 * i);
  }
  return p;
}

/* A number below `range` from v: the finaliser of MurmurHash3 (A. Appleby), then the high half of a product. */
static inline uint32_t below(uint32_t v, uint32_t range) {
  v = (v ^ v >> 16) * 0x85ebca6bu;
  v = (v ^ v >> 13) * 0xc2b2ae35u;
  v ^= v >> 16;
  return (uint32_t)((uint64_t)v * range >> 32);
}

static inline uint32_t add(uint32_t a, uint32_t b, uint32_t range) {
  const uint32_t sum = a + b; /* both are at most 2^24 */
  return sum < range ? sum : sum - range;
}

static uint64_t permute(const permutation *p, uint64_t place) {
  do {
    uint32_t a = (uint32_t)(place / p->right), b = (uint32_t)(place % p->right);
    for (uint32_t i = 0; i < HALF_ROUNDS; i += 2) {
      a = add(a, below(b ^ p->key[i], p->left), p->left);
      b = add(b, below(a ^ p->key[i + 1], p->right), p->right);
    }
    place = (uint64_t)a * p->right + b;
  } while (place >= p->total);
  return place;
}

static plr_status check(const plr_mask *m, uint64_t first, uint64_t count) {
  uint64_t all;
  PLR_TRY(plr_mask_count(m, &all));
  return first <= all && count <= all - first ? PLR_OK : PLR_ERR_INVALID_ARGUMENT;
}

plr_status plr_mask_count(const plr_mask *m, uint64_t *out) {
  if (!m || !out || m->total == 0 || m->total > TOTAL_MOST || m->masks == 0 ||
      m->masks > UINT16_MAX)
    return PLR_ERR_INVALID_ARGUMENT;
  const uint64_t round = m->round % m->masks;
  *out = m->total > round ? (m->total - round + m->masks - 1) / m->masks : 0;
  return PLR_OK;
}

static void indices(const permutation *p, const plr_mask *m, uint64_t first, size_t n,
                    uint64_t *index) {
  const uint64_t round = m->round % m->masks;
  for (size_t i = 0; i < n; i++) index[i] = permute(p, (first + i) * m->masks + round);
}

plr_status plr_mask_indices(const plr_mask *m, uint64_t first, uint64_t count, uint64_t *index) {
  if (!index) return PLR_ERR_INVALID_ARGUMENT;
  PLR_TRY(check(m, first, count));
  const permutation p = permutation_of(m);
  indices(&p, m, first, (size_t)count, index);
  return PLR_OK;
}

/* A contiguous tensor of floats. */
static plr_status check_tensor(const plr_tensor *t, uint32_t any_float) {
  if (!t || plr_tensor_check(t, NULL) != PLR_OK || !plr__tensor_contiguous(t)) return PLR_ERR_SHAPE;
  if (t->dtype == PLR_DTYPE_F32) return PLR_OK;
  if (any_float && (t->dtype == PLR_DTYPE_BF16 || t->dtype == PLR_DTYPE_F16)) return PLR_OK;
  return PLR_ERR_SHAPE;
}

static plr_status check_weights(const plr_mask *m, uint64_t first, const plr_tensor *w,
                                const plr_tensor *values) {
  PLR_TRY(check_tensor(w, 1));
  PLR_TRY(check_tensor(values, 0));
  PLR_TRY(check(m, first, (uint64_t)plr__tensor_count(values)));
  return (uint64_t)plr__tensor_count(w) == m->total ? PLR_OK : PLR_ERR_SHAPE;
}

static inline float load(const plr_tensor *w, uint64_t i) {
  const uint16_t *h = w->data;
  if (w->dtype == PLR_DTYPE_F32) return ((const float *)w->data)[i];
  return w->dtype == PLR_DTYPE_BF16 ? plr__bf16_to_f32(h[i]) : plr__f16_to_f32(h[i]);
}

static inline void store(const plr_tensor *w, uint64_t i, float x) {
  uint16_t *h = w->data;
  if (w->dtype == PLR_DTYPE_F32)
    ((float *)w->data)[i] = x;
  else
    h[i] = w->dtype == PLR_DTYPE_BF16 ? plr__f32_to_bf16(x) : plr__f32_to_f16(x);
}

plr_status plr_mask_gather(const plr_mask *m, uint64_t first, const plr_tensor *w,
                           const plr_tensor *values) {
  PLR_TRY(check_weights(m, first, w, values));
  const permutation p = permutation_of(m);
  const uint64_t count = (uint64_t)plr__tensor_count(values);
  float *out = values->data;
  uint64_t index[BATCH];
  for (uint64_t i = 0; i < count; i += BATCH) {
    const size_t n = (size_t)PLR_MIN(BATCH, count - i);
    indices(&p, m, first + i, n, index);
    for (size_t k = 0; k < n; k++) out[i + k] = load(w, index[k]);
  }
  return PLR_OK;
}

plr_status plr_mask_scatter_add(const plr_mask *m, uint64_t first, const plr_tensor *w,
                                const plr_tensor *average, const plr_tensor *sent) {
  PLR_TRY(check_weights(m, first, w, average));
  PLR_TRY(check_tensor(sent, 0));
  const uint64_t count = (uint64_t)plr__tensor_count(average);
  if ((uint64_t)plr__tensor_count(sent) != count) return PLR_ERR_SHAPE;
  const permutation p = permutation_of(m);
  const float *a = average->data, *s = sent->data;
  uint64_t index[BATCH];
  plr_fpenv saved = plr__fpenv_enter();
  for (uint64_t i = 0; i < count; i += BATCH) {
    const size_t n = (size_t)PLR_MIN(BATCH, count - i);
    indices(&p, m, first + i, n, index);
    for (size_t k = 0; k < n; k++) store(w, index[k], load(w, index[k]) + (a[i + k] - s[i + k]));
  }
  plr__fpenv_leave(saved);
  return PLR_OK;
}
