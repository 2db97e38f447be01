/* From revenue to what each holder is owed. One accumulator per model holds revenue per share, scaled by 2^64; a
 * holder's part is settled lazily from the accumulator's growth since the last time. The rest of every division
 * stays: of the pool in `remainder`, of a holder in `fraction`. Bounds: deposits < 2^63 and shares <= supply, so
 * every product below is < 2^128. */
#include "ledger/ledger_int.h"

uint64_t plr__serving_part(const plr_model_register *terms, uint64_t deposited) {
  return plr__bps(deposited, terms->serving_bps);
}

/* The holders' part of all that came in; royalties are the rest. */
static uint64_t holders_part(const plr_model_register *terms, uint64_t gross) {
  uint32_t parents = 0;
  for (uint32_t i = 0; i < terms->parent_count; i++) parents += terms->parents[i].bps;
  return plr__bps(gross, 10000 - parents);
}

static void distribute(plr__totals *t, uint64_t amount) {
  uint64_t supply = plr__supply(t);
  plr__u128 pool = ((plr__u128)amount << 64) + t->remainder;
  plr__u128 per_share = pool / supply;
  t->remainder = (uint64_t)(pool % supply);
  t->acc += per_share;
  t->unsettled += per_share * supply;
}

void plr__revenue_income(const plr_model_register *terms, plr__totals *t, uint64_t amount) {
  uint64_t part = holders_part(terms, t->gross + amount) - holders_part(terms, t->gross);
  t->gross += amount;
  if (plr__supply(t) == 0)
    t->held += part;
  else
    distribute(t, part);
}

void plr__revenue_release(plr__totals *t) {
  if (t->held == 0 || plr__supply(t) == 0) return;
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

/* Royalties paid on so much income. */
static uint64_t royalties(const plr_model_register *terms, uint64_t gross) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < terms->parent_count; i++) sum += plr__bps(gross, terms->parents[i].bps);
  return sum;
}

plr_status plr__revenue_check(const plr_model_register *terms, const plr__totals *t,
                              plr_error *err) {
  plr_status broken = PLR_ERR_CONSERVATION;
  plr__u128 have = ((plr__u128)t->credited + t->held) << 64;
  plr__u128 due = ((plr__u128)holders_part(terms, t->gross) + t->served_paid) << 64;
  have += t->fractions + t->unsettled + t->remainder;
  if (have != due || t->deposited > PLR__MAX_AMOUNT || t->gross > PLR__MAX_AMOUNT)
    return plr__fail(err, broken, "revenue",
                     "credited, held, fractions and remainder do not add up to the holders' part");
  uint64_t serving = plr__serving_part(terms, t->deposited);
  if (t->escrow + t->served_paid != serving || t->gross != t->deposited - serving + t->royalty_in)
    return plr__fail(err, broken, "revenue", "what came in does not add up");
  if (t->pulled > t->gross || t->royalty_out != royalties(terms, t->pulled))
    return plr__fail(err, broken, "revenue", "royalties are not what the parents are due");
  if (t->paid > t->credited)
    return plr__fail(err, broken, "revenue", "more was paid than credited");
  if (t->burned > t->minted || t->provisional > t->minted - t->burned)
    return plr__fail(err, broken, "shares", "more were burned than minted");
  return PLR_OK;
}
