/* Records of the state, as bytes in the map. FORMAT.md, section "State", is normative. */
#include "ledger/ledger_int.h"

#include <string.h>

void plr__state_init(plr__state *s, plr_context *ctx) {
  memset(s, 0, sizeof *s);
  s->ctx = ctx;
  plr__map_init(&s->map, ctx);
  plr__buffer_init(&s->scratch, ctx);
}

void plr__state_release(plr__state *s) {
  plr__map_release(&s->map);
  plr__buffer_release(&s->scratch);
}

/* ---- keys ------------------------------------------------------------------------------------- */

void plr__key_add(plr__key *k, const void *bytes, size_t len) {
  memcpy(k->bytes + k->len, bytes, len);
  k->len += len;
}

void plr__key_add32(plr__key *k, uint32_t v) {
  plr__store_be32(k->bytes + k->len, v);
  k->len += 4;
}

plr__key plr__key_of(char kind, const uint8_t *model, const uint8_t *account) {
  plr__key k;
  k.bytes[0] = (uint8_t)kind;
  k.len = 1;
  if (model) plr__key_add(&k, model, 32);
  if (account) plr__key_add(&k, account, 32);
  return k;
}

plr__key plr__key_epoch(char kind, uint64_t epoch, const uint8_t *account) {
  plr__key k;
  k.bytes[0] = (uint8_t)kind;
  plr__store_be64(k.bytes + 1, epoch);
  k.len = 9;
  if (account) plr__key_add(&k, account, 32);
  return k;
}

/* ---- records of fixed fields ------------------------------------------------------------------ */

plr_status plr__record_decode(const plr__fields *t, const uint8_t *value, size_t len, void *out) {
  plr_reader r;
  plr__reader_init(&r, value, len);
  if (plr__fields_read(&r, t, out) != PLR_OK) return PLR_ERR_CORRUPT;
  return plr__reader_done(&r) ? PLR_OK : PLR_ERR_CORRUPT;
}

plr_status plr__record_get(const plr__state *s, const plr__key *key, const plr__fields *t,
                           void *out) {
  size_t len;
  const uint8_t *value = plr__map_get(&s->map, key->bytes, key->len, &len);
  return value ? plr__record_decode(t, value, len, out) : PLR_ERR_NOT_FOUND;
}

plr_status plr__record_find(const plr__state *s, const plr__key *key, const plr__fields *t,
                            void *out, size_t size, int *found) {
  memset(out, 0, size);
  plr_status st = plr__record_get(s, key, t, out);
  if (found) *found = st == PLR_OK;
  return st == PLR_ERR_NOT_FOUND ? PLR_OK : st;
}

int plr__record_has(const plr__state *s, const plr__key *key) {
  size_t len;
  return plr__map_get(&s->map, key->bytes, key->len, &len) != NULL;
}

static plr_buffer *begin_record(plr__state *s) {
  plr__buffer_clear(&s->scratch);
  return &s->scratch;
}

static plr_status put_record(plr__state *s, const plr__key *key) {
  if (s->scratch.failed) return PLR_ERR_NO_MEMORY;
  return plr__map_put(&s->map, key->bytes, key->len, s->scratch.data, s->scratch.len);
}

plr_status plr__record_put(plr__state *s, const plr__key *key, const plr__fields *t,
                           const void *in) {
  plr_status st = plr__fields_write(begin_record(s), t, in, NULL);
  if (st == PLR_ERR_INVALID_ARGUMENT) return PLR_ERR_INTERNAL;
  return put_record(s, key);
}

plr_status plr__take_due(plr__state *s, char kind, uint64_t end, plr__key *key,
                         const plr__fields *t, void *out) {
  plr__cursor c;
  plr__map_seek(&s->map, &kind, 1, &c);
  if (!plr__cursor_next_in(&c, &kind, 1)) return PLR_ERR_NOT_FOUND;
  if (c.key_len < 9 || c.key_len > sizeof key->bytes) return PLR_ERR_CORRUPT;
  if (plr__load_be64(c.key + 1) >= end) return PLR_ERR_NOT_FOUND;
  memcpy(key->bytes, c.key, key->len = c.key_len);
  PLR_TRY(plr__record_decode(t, c.value, c.value_len, out));
  return plr__map_delete(&s->map, key->bytes, key->len);
}

/* ---- those used everywhere -------------------------------------------------------------------- */

plr_status plr__state_refresh(plr__state *s) {
  plr__key key = plr__key_of('G', NULL, NULL);
  size_t len;
  const uint8_t *value = plr__map_get(&s->map, key.bytes, key.len, &len);
  plr_hash account;
  if (!value || plr__genesis_decode(value, len, &s->genesis) != PLR_OK) return PLR_ERR_CORRUPT;
  plr_account_id(s->genesis.sequencer_key, &account);
  memcpy(s->sequencer, account.bytes, 32);
  s->has_genesis = 1;
  return PLR_OK;
}

plr_status plr__get_globals(const plr__state *s, plr__globals *out) {
  plr__key key = plr__key_of('E', NULL, NULL);
  return plr__record_get(s, &key, &plr__record_globals, out);
}

plr_status plr__put_globals(plr__state *s, const plr__globals *v) {
  plr__key key = plr__key_of('E', NULL, NULL);
  return plr__record_put(s, &key, &plr__record_globals, v);
}

plr_status plr__get_params(const plr__state *s, plr__params *out) {
  plr__key key = plr__key_of('P', NULL, NULL);
  return plr__record_get(s, &key, &plr__record_params, out);
}

plr_status plr__get_account(const plr__state *s, const uint8_t id[32], plr__account *out) {
  plr__key key = plr__key_of('A', NULL, id);
  return plr__record_get(s, &key, &plr__record_account, out);
}

plr_status plr__put_account(plr__state *s, const uint8_t id[32], const plr__account *v) {
  plr__key key = plr__key_of('A', NULL, id);
  return plr__record_put(s, &key, &plr__record_account, v);
}

plr_status plr__get_totals(const plr__state *s, const uint8_t model[32], plr__totals *out) {
  plr__key key = plr__key_of('T', model, NULL);
  return plr__record_get(s, &key, &plr__record_totals, out);
}

plr_status plr__put_totals(plr__state *s, const uint8_t model[32], const plr__totals *v) {
  plr__key key = plr__key_of('T', model, NULL);
  return plr__record_put(s, &key, &plr__record_totals, v);
}

plr_status plr__work_decode(const uint8_t *value, size_t len, plr__work *out) {
  return plr__record_decode(&plr__record_work, value, len, out);
}

plr_status plr__get_work(const plr__state *s, const plr__key *key, plr__work *out) {
  return plr__record_find(s, key, &plr__record_work, out, sizeof *out, NULL);
}

plr_status plr__put_work(plr__state *s, const plr__key *key, const plr__work *v) {
  return plr__record_put(s, key, &plr__record_work, v);
}

plr_status plr__mark_model(plr__state *s, const uint8_t model[32]) {
  plr__key key = plr__key_of('O', model, NULL);
  plr__work none = {0};
  return plr__record_has(s, &key) ? PLR_OK : plr__put_work(s, &key, &none);
}

/* ---- of varying length ------------------------------------------------------------------------ */

plr_status plr__get_model(const plr__state *s, const uint8_t id[32], plr__model *out) {
  plr__key key = plr__key_of('M', id, NULL);
  plr_reader r;
  size_t len;
  const uint8_t *value = plr__map_get(&s->map, key.bytes, key.len, &len);
  if (!value) return PLR_ERR_NOT_FOUND;
  plr__reader_init(&r, value, len);
  plr__read_into(&r, out->designer, 32);
  out->registered = plr__read_be64(&r);
  out->depth = plr__read_u8(&r);
  if (r.failed) return PLR_ERR_CORRUPT;
  plr_status st = plr__model_register_decode(r.data + r.pos, r.len - r.pos, &out->terms);
  return st == PLR_OK ? PLR_OK : PLR_ERR_CORRUPT;
}

plr_status plr__put_model(plr__state *s, const plr_entry *e, uint64_t epoch, uint32_t depth) {
  plr__key key = plr__key_of('M', e->as.model.model.bytes, NULL);
  plr_buffer *b = begin_record(s);
  plr__buffer_put(b, e->author, 32);
  plr__buffer_be64(b, epoch);
  plr__buffer_u8(b, (uint8_t)depth);
  plr__buffer_put(b, e->body, e->body_len);
  return put_record(s, &key);
}

plr_status plr__holding_decode(const uint8_t *value, size_t len, plr__holding *out) {
  plr_reader r;
  plr__reader_init(&r, value, len);
  out->shares = plr__read_be64(&r);
  out->matured = plr__read_be64(&r);
  out->outgoing = plr__read_be64(&r);
  out->credited = plr__read_be64(&r);
  out->paid = plr__read_be64(&r);
  out->fraction = plr__read_be64(&r);
  out->receipts = plr__read_be64(&r);
  out->snap = plr__read_be128(&r);
  out->units = plr__read_be128(&r);
  out->data = plr__read_be128(&r);
  out->tranche_count = plr__read_be16(&r);
  if (out->tranche_count > PLR__MAX_VEST) return PLR_ERR_CORRUPT;
  for (uint32_t i = 0; i < out->tranche_count; i++) {
    plr__tranche *t = &out->tranches[i];
    t->start = plr__read_be64(&r);
    t->shares = plr__read_be64(&r);
    t->vested = plr__read_be64(&r);
    t->slashed = plr__read_be64(&r);
  }
  return plr__reader_done(&r) ? PLR_OK : PLR_ERR_CORRUPT;
}

plr_status plr__get_holding(const plr__state *s, const uint8_t model[32], const uint8_t account[32],
                            plr__holding *out) {
  plr__key key = plr__key_of('H', model, account);
  size_t len;
  const uint8_t *value = plr__map_get(&s->map, key.bytes, key.len, &len);
  return value ? plr__holding_decode(value, len, out) : PLR_ERR_NOT_FOUND;
}

plr_status plr__put_holding(plr__state *s, const uint8_t model[32], const uint8_t account[32],
                            const plr__holding *v) {
  plr__key key = plr__key_of('H', model, account);
  plr_buffer *b = begin_record(s);
  plr__buffer_be64(b, v->shares);
  plr__buffer_be64(b, v->matured);
  plr__buffer_be64(b, v->outgoing);
  plr__buffer_be64(b, v->credited);
  plr__buffer_be64(b, v->paid);
  plr__buffer_be64(b, v->fraction);
  plr__buffer_be64(b, v->receipts);
  plr__buffer_be128(b, v->snap);
  plr__buffer_be128(b, v->units);
  plr__buffer_be128(b, v->data);
  plr__buffer_be16(b, (uint16_t)v->tranche_count);
  for (uint32_t i = 0; i < v->tranche_count; i++) {
    plr__buffer_be64(b, v->tranches[i].start);
    plr__buffer_be64(b, v->tranches[i].shares);
    plr__buffer_be64(b, v->tranches[i].vested);
    plr__buffer_be64(b, v->tranches[i].slashed);
  }
  return put_record(s, &key);
}
