/* From revenue to what each holder is owed. One accumulator per model holds revenue per share, scaled by 2^64; a
 * holder's part is settled lazily from the accumulator's growth since the last time. The rest of every division
 * stays: of the pool in `remainder`, of a holder in `fraction`. Bounds: deposits < 2^63 and shares <= supply, so
 * every product below is < 2^128. */
#include "ledger/ledger_int.h"

static void distribute(plr__totals *t, uint64_t amount) {
  plr__u128 pool = ((plr__u128)amount << 64) + t->remainder;
  plr__u128 per_share = pool / t->supply;
  t->remainder = (uint64_t)(pool % t->supply);
  t->acc += per_share;
  t->unsettled += per_share * t->supply;
}

void plr__revenue_deposit(plr__totals *t, uint64_t amount) {
  t->deposited += amount;
  if (t->supply == 0)
    t->held += amount;
  else
    distribute(t, amount);
}

void plr__revenue_release(plr__totals *t) {
  if (t->held == 0 || t->supply == 0) return;
  distribute(t, t->held);
  t->held = 0;
}

void plr__revenue_settle(plr__totals *t, plr__holding *h) {
  plr__u128 owed = (t->acc - h->snap) * h->shares;
  plr__u128 sum = owed + h->fraction;
  uint64_t whole = (uint64_t)(sum >> 64);
  t->unsettled -= owed;
  t->fractions = t->fractions - h->fraction + (uint64_t)sum;
  t->credited += whole;
  h->credited += whole;
  h->fraction = (uint64_t)sum;
  h->snap = t->acc;
}

uint64_t plr__revenue_payable(const plr__totals *t, const plr__holding *h) {
  plr__u128 sum = (t->acc - h->snap) * h->shares + h->fraction;
  return h->credited + (uint64_t)(sum >> 64) - h->paid;
}

plr_status plr__revenue_check(const plr__totals *t, plr_error *err) {
  plr__u128 whole = (plr__u128)t->credited + t->held;
  plr__u128 sum = (whole << 64) + t->fractions + t->unsettled + t->remainder;
  if (sum != (plr__u128)t->deposited << 64 || t->deposited > PLR__MAX_AMOUNT)
    return plr__fail(err, PLR_ERR_CONSERVATION, "revenue",
                     "credited, held, fractions and remainder do not add up to what was deposited");
  if (t->paid > t->credited)
    return plr__fail(err, PLR_ERR_CONSERVATION, "revenue", "more was paid than credited");
  return PLR_OK;
}
