/* ParamChange: announced, and in force some epochs later. */
#include "ledger/ledger_int.h"

plr_status plr__apply_param_change(plr__state *s, const plr_entry *e, plr_error *err) {
  const plr_param_change *x = &e->as.param;
  plr__globals g;
  plr__params p;
  PLR_TRY(plr__need_sequencer(s, e, "param_change", err));
  PLR_TRY(plr__get_globals(s, &g));
  PLR_TRY(plr__get_params(s, &p));
  uint64_t delay = p.value[PLR_PARAM_CHANGE_DELAY - 1];
  if (x->from_epoch < g.epoch + delay)
    return plr__fail(err, PLR_ERR_SEQUENCE, "param_change", "not before epoch %llu",
                     (unsigned long long)(g.epoch + delay));
  plr__key key = plr__key_epoch('Q', x->from_epoch, NULL);
  uint8_t number[2];
  plr__store_be16(number, (uint16_t)x->parameter);
  plr__key_add(&key, number, sizeof number);
  if (plr__record_has(s, &key))
    return plr__fail(err, PLR_ERR_EXISTS, "param_change", "announced for that epoch already");
  plr__amount value = {x->value};
  return plr__record_put(s, &key, &plr__record_amount, &value);
}

plr_status plr__params_due(plr__state *s, uint64_t epoch) {
  plr__key key, own = plr__key_of('P', NULL, NULL);
  plr__amount value;
  plr_status st;
  while ((st = plr__take_due(s, 'Q', epoch + 1, &key, &plr__record_amount, &value)) == PLR_OK) {
    plr__params p;
    uint32_t number = plr__load_be16(key.bytes + 9);
    if (number < 1 || number > PLR_PARAMS) return PLR_ERR_CORRUPT;
    PLR_TRY(plr__get_params(s, &p));
    p.value[number - 1] = value.value;
    PLR_TRY(plr__record_put(s, &own, &plr__record_params, &p));
  }
  return st == PLR_ERR_NOT_FOUND ? PLR_OK : st;
}
