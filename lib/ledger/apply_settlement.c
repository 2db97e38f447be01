/* SettlementRoot: what has been claimed to addresses, as a tree that contracts know. */
#include "ledger/ledger_int.h"

#include <string.h>

static void make_leaf(const uint8_t address[20], const uint8_t reward[20], uint64_t claimed,
                      uint32_t scale, plr_settlement_leaf *out) {
  plr__u128 claimable = claimed; /* below 2^63 * 10^18 */
  for (uint32_t i = 0; i < scale; i++) claimable *= 10;
  memset(out, 0, sizeof *out);
  memcpy(out->account, address, 20);
  memcpy(out->reward, reward, 20);
  plr__store_be64(out->claimable + 16, (uint64_t)(claimable >> 64));
  plr__store_be64(out->claimable + 24, (uint64_t)claimable);
}

static plr_status read_claimed(const plr__cursor *c, uint64_t *claimed) {
  plr__amount a;
  if (c->key_len != 21) return PLR_ERR_CORRUPT;
  PLR_TRY(plr__record_decode(&plr__record_amount, c->value, c->value_len, &a));
  *claimed = a.value;
  return PLR_OK;
}

static plr_status collect(const plr__state *s, plr_settlement_root *out, plr_buffer *leaves) {
  plr__cursor c;
  plr__map_seek(&s->map, "L", 1, &c);
  while (plr__cursor_next_in(&c, "L", 1)) {
    plr_settlement_leaf leaf;
    uint64_t claimed;
    PLR_TRY(read_claimed(&c, &claimed));
    make_leaf(c.key + 1, out->reward, claimed, out->scale, &leaf);
    plr__buffer_put(leaves, &leaf, sizeof leaf);
    if (leaves->failed) return PLR_ERR_NO_MEMORY;
    out->leaves++;
    out->total += claimed;
  }
  return out->leaves ? PLR_OK : PLR_ERR_NOT_FOUND;
}

plr_status plr__settlement_preview(plr__state *s, plr_settlement_root *out, plr_error *err) {
  plr_buffer leaves;
  out->leaves = 0, out->total = 0;
  plr__buffer_init(&leaves, s->ctx);
  plr_status st = collect(s, out, &leaves);
  if (st == PLR_OK)
    st = plr_settlement_compute(s->ctx, (const plr_settlement_leaf *)(const void *)leaves.data,
                                out->leaves, &out->root, err);
  else if (st == PLR_ERR_NOT_FOUND)
    plr__fail(err, st, "settlement_root", "nothing was claimed to an address");
  plr__buffer_release(&leaves);
  return st;
}

plr_status plr__apply_settlement(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_settlement_root *said = &e->as.settlement;
  plr_settlement_root ours = *said;
  plr__globals g;
  plr__settled record;
  PLR_TRY(plr__need_sequencer(s, e, "settlement_root", err));
  PLR_TRY(plr__settlement_preview(s, &ours, err));
  if (said->leaves != ours.leaves || said->total != ours.total ||
      !plr__hash_equal(&said->root, &ours.root))
    return plr__fail(err, PLR_ERR_MISMATCH, "settlement_root", "not what was claimed");
  PLR_TRY(plr__get_globals(s, &g));
  record.epoch = g.epoch;
  record.body = ours;
  plr__key key = plr__key_of('N', NULL, NULL);
  return plr__record_put(s, &key, &plr__record_settled, &record);
}

plr_status plr_ledger_settlement_leaves(const plr_ledger *l, const uint8_t reward[20],
                                        uint32_t scale, uint64_t first, plr_settlement_leaf *out,
                                        size_t cap, size_t *count) {
  PLR_GUARD_CONST(l);
  plr__cursor c;
  uint64_t at = 0, claimed;
  if (!l || !reward || !count || (!out && cap) || scale > PLR__MAX_SCALE)
    return PLR_ERR_INVALID_ARGUMENT;
  *count = 0;
  plr__map_seek(&l->state.map, "L", 1, &c);
  while (*count < cap && plr__cursor_next_in(&c, "L", 1)) {
    if (at++ < first) continue;
    PLR_TRY(read_claimed(&c, &claimed));
    make_leaf(c.key + 1, reward, claimed, scale, &out[(*count)++]);
  }
  return PLR_OK;
}
