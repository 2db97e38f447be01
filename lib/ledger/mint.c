/* From work to shares: the curve F, the split of an epoch's mint, and vesting. Integers only; every amount is a
 * difference of a cumulative function, so that how work is cut into entries and epochs never changes a total. */
#include "ledger/ledger_int.h"

#include <string.h>

int plr__mint_valid(plr__u128 halving, uint64_t rate, uint64_t divisor) {
  if (halving == 0 || rate == 0 || divisor == 0) return 0;
  plr__u128 rates = 0, limit = ~(plr__u128)0 >> 1;
  for (uint64_t r = rate; r; r >>= 1) rates += r;
  return halving <= limit / rates && halving * rates / divisor <= PLR__MAX_AMOUNT;
}

/* floor(sum over k of min(H, W - kH) * (rate >> k) / divisor). */
uint64_t plr__mint_total(plr__u128 halving, uint64_t rate, uint64_t divisor, plr__u128 work) {
  plr__u128 sum = 0;
  for (uint64_t r = rate; r && work; r >>= 1) {
    plr__u128 part = PLR_MIN(work, halving);
    sum += part * r;
    work -= part;
  }
  return (uint64_t)(sum / divisor);
}

uint64_t plr__bps(uint64_t amount, uint32_t bps) {
  return (uint64_t)((plr__u128)amount * bps / 10000);
}

/* a * b / c and its remainder, for b <= c < 2^127: the product may have 191 bits, so it is built bit by bit, modulo
 * c, from the top of a. */
static uint64_t mul_div(uint64_t a, plr__u128 b, plr__u128 c, plr__u128 *rest) {
  uint64_t q = 0;
  plr__u128 r = 0;
  for (int bit = 63; bit >= 0; bit--) {
    q <<= 1, r <<= 1;
    if (r >= c) r -= c, q++;
    if (a >> bit & 1) r += b;
    if (r >= c) r -= c, q++;
  }
  *rest = r;
  return q;
}

/* Largest remainder first; then the lower account. */
static int goes_before(const plr__split_part *a, const plr__split_part *b) {
  if (a->rest != b->rest) return a->rest > b->rest;
  return memcmp(a->account, b->account, 32) < 0;
}

static void sift_down(plr__split_part *parts, size_t root, size_t n) {
  for (size_t child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && goes_before(&parts[child], &parts[child + 1])) child++;
    if (!goes_before(&parts[root], &parts[child])) return;
    plr__split_part t = parts[root];
    parts[root] = parts[child], parts[child] = t;
  }
}

/* Heapsort: no memory, and no bad case that a peer could choose. */
static void sort_parts(plr__split_part *parts, size_t n) {
  for (size_t i = n / 2; i-- > 0;) sift_down(parts, i, n);
  for (size_t end = n; end-- > 1;) {
    plr__split_part t = parts[0];
    parts[0] = parts[end], parts[end] = t;
    sift_down(parts, 0, end);
  }
}

void plr__split_shares(plr__split_part *parts, size_t n, uint64_t pool, plr__u128 units) {
  uint64_t left = pool;
  for (size_t i = 0; i < n; i++) {
    parts[i].share = mul_div(pool, parts[i].units, units, &parts[i].rest);
    left -= parts[i].share;
  }
  sort_parts(parts, n);
  for (size_t i = 0; i < n && left; i++, left--) parts[i].share++; /* left < n */
}

/* ---- vesting ---------------------------------------------------------------------------------- */

/* What of a tranche is vested in an epoch; what was slashed is cut from its end. */
static uint64_t vested_of(const plr__tranche *t, uint64_t epoch, const plr_model_register *terms) {
  uint64_t age = epoch > t->start ? epoch - t->start : 0, vested = 0;
  if (age >= terms->vest_epochs)
    vested = t->shares;
  else if (age >= terms->vest_cliff)
    vested = (uint64_t)((plr__u128)t->shares * age / terms->vest_epochs);
  return PLR_MIN(vested, t->shares - t->slashed);
}

/* What is over goes, which bounds the number of tranches. */
void plr__vest_sweep(plr__holding *h, uint64_t epoch, const plr_model_register *terms) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < h->tranche_count; i++) {
    plr__tranche t = h->tranches[i];
    uint64_t vested = vested_of(&t, epoch, terms);
    h->matured += vested - t.vested;
    t.vested = vested;
    if (epoch < t.start || epoch - t.start < terms->vest_epochs) h->tranches[kept++] = t;
  }
  h->tranche_count = kept;
}

void plr__vest_add(plr__holding *h, uint64_t start, uint64_t shares,
                   const plr_model_register *terms) {
  if (shares == 0) return;
  plr__vest_sweep(h, start, terms);
  h->shares += shares;
  plr__tranche *last = h->tranche_count ? &h->tranches[h->tranche_count - 1] : NULL;
  if (terms->vest_epochs == 0) {
    h->matured += shares;
  } else if (last && last->start == start) {
    last->shares += shares;
  } else {
    plr__tranche t = {.start = start, .shares = shares};
    h->tranches[h->tranche_count++] = t;
  }
}

uint64_t plr__vested(const plr__holding *h, uint64_t epoch, const plr_model_register *terms) {
  uint64_t vested = h->matured;
  for (uint32_t i = 0; i < h->tranche_count; i++)
    vested += vested_of(&h->tranches[i], epoch, terms) - h->tranches[i].vested;
  return vested;
}

static uint64_t unvested_of(const plr__tranche *t) {
  return t->shares - t->vested - t->slashed;
}

uint64_t plr__vest_slash(plr__holding *h, uint32_t bps) {
  uint64_t unvested = 0, left;
  for (uint32_t i = 0; i < h->tranche_count; i++) unvested += unvested_of(&h->tranches[i]);
  uint64_t taken = left = plr__bps(unvested, bps);
  for (uint32_t i = h->tranche_count; i-- > 0 && left;) {
    uint64_t part = PLR_MIN(left, unvested_of(&h->tranches[i]));
    h->tranches[i].slashed += part;
    left -= part;
  }
  h->shares -= taken;
  return taken;
}
