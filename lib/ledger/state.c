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

plr__key plr__key_of(char kind, const uint8_t *model, const uint8_t *account) {
  plr__key k;
  k.bytes[0] = (uint8_t)kind;
  k.len = 1;
  if (model) memcpy(k.bytes + k.len, model, 32), k.len += 32;
  if (account) memcpy(k.bytes + k.len, account, 32), k.len += 32;
  return k;
}

/* Epoch first: closed windows are one run of keys. */
plr__key plr__key_receipt(const plr_receipt *x) {
  plr__key k;
  uint8_t *p = k.bytes;
  p[0] = 'R';
  plr__store_be64(p + 1, x->epoch);
  memcpy(p + 9, x->model.bytes, 32);
  plr__store_be64(p + 41, x->step);
  plr__store_be32(p + 49, x->lane);
  plr__store_be32(p + 53, x->block_first);
  plr__store_be32(p + 57, x->mb_first);
  plr__store_be32(p + 61, x->mb_count);
  k.len = 65;
  return k;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static plr_status open_record(const plr__state *s, const plr__key *key, plr_reader *r) {
  size_t len;
  const uint8_t *value = plr__map_get(&s->map, key->bytes, key->len, &len);
  if (!value) return PLR_ERR_NOT_FOUND;
  plr__reader_init(r, value, len);
  return PLR_OK;
}

static plr_status done(const plr_reader *r) {
  return plr__reader_done(r) ? PLR_OK : PLR_ERR_CORRUPT;
}

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
  plr_reader r;
  PLR_TRY(open_record(s, &key, &r));
  out->epoch = plr__read_be64(&r);
  out->accounts = plr__read_be64(&r);
  out->models = plr__read_be64(&r);
  out->receipts = plr__read_be64(&r);
  out->units = plr__read_be128(&r);
  out->minted = plr__read_be128(&r);
  out->deposited = plr__read_be64(&r);
  out->paid = plr__read_be64(&r);
  return done(&r);
}

plr_status plr__get_account(const plr__state *s, const uint8_t id[32], plr__account *out) {
  plr__key key = plr__key_of('A', NULL, id);
  plr_reader r;
  PLR_TRY(open_record(s, &key, &r));
  if (plr__read_u8(&r) != PLR__ALG_ED25519) return PLR_ERR_CORRUPT;
  plr__read_into(&r, out->key, 32);
  out->nonce = plr__read_be64(&r);
  out->opened = plr__read_be64(&r);
  return done(&r);
}

plr_status plr__get_model(const plr__state *s, const uint8_t id[32], plr__model *out) {
  plr__key key = plr__key_of('M', id, NULL);
  plr_reader r;
  PLR_TRY(open_record(s, &key, &r));
  plr__read_into(&r, out->designer, 32);
  out->registered = plr__read_be64(&r);
  if (r.failed) return PLR_ERR_CORRUPT;
  plr_status st = plr__model_register_decode(r.data + r.pos, r.len - r.pos, &out->terms);
  return st == PLR_OK ? PLR_OK : PLR_ERR_CORRUPT;
}

plr_status plr__get_totals(const plr__state *s, const uint8_t model[32], plr__totals *out) {
  plr__key key = plr__key_of('T', model, NULL);
  plr_reader r;
  PLR_TRY(open_record(s, &key, &r));
  out->work = plr__read_be128(&r);
  out->supply = plr__read_be64(&r);
  out->designer_minted = plr__read_be64(&r);
  out->data_minted = plr__read_be64(&r);
  out->receipts = plr__read_be64(&r);
  out->holders = plr__read_be64(&r);
  out->acc = plr__read_be128(&r);
  out->remainder = plr__read_be64(&r);
  out->held = plr__read_be64(&r);
  out->deposited = plr__read_be64(&r);
  out->credited = plr__read_be64(&r);
  out->paid = plr__read_be64(&r);
  out->fractions = plr__read_be128(&r);
  out->unsettled = plr__read_be128(&r);
  return done(&r);
}

plr_status plr__holding_decode(const uint8_t *value, size_t len, plr__holding *out) {
  plr_reader r;
  plr__reader_init(&r, value, len);
  out->shares = plr__read_be64(&r);
  out->matured = plr__read_be64(&r);
  out->credited = plr__read_be64(&r);
  out->paid = plr__read_be64(&r);
  out->fraction = plr__read_be64(&r);
  out->receipts = plr__read_be64(&r);
  out->snap = plr__read_be128(&r);
  out->units = plr__read_be128(&r);
  out->tranche_count = plr__read_be16(&r);
  if (out->tranche_count > PLR__MAX_VEST) return PLR_ERR_CORRUPT;
  for (uint32_t i = 0; i < out->tranche_count; i++) {
    out->tranches[i].start = plr__read_be64(&r);
    out->tranches[i].shares = plr__read_be64(&r);
  }
  return done(&r);
}

plr_status plr__get_holding(const plr__state *s, const uint8_t model[32], const uint8_t account[32],
                            plr__holding *out) {
  plr__key key = plr__key_of('H', model, account);
  plr_reader r;
  PLR_TRY(open_record(s, &key, &r));
  return plr__holding_decode(r.data, r.len, out);
}

plr_status plr__work_decode(const uint8_t *value, size_t len, plr__work *out) {
  plr_reader r;
  plr__reader_init(&r, value, len);
  out->units = plr__read_be128(&r);
  out->receipts = plr__read_be64(&r);
  return done(&r);
}

plr_status plr__get_work(const plr__state *s, const plr__key *key, plr__work *out) {
  plr_reader r;
  memset(out, 0, sizeof *out);
  if (open_record(s, key, &r) != PLR_OK) return PLR_OK;
  return plr__work_decode(r.data, r.len, out);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static plr_buffer *begin_record(plr__state *s) {
  plr__buffer_clear(&s->scratch);
  return &s->scratch;
}

static plr_status put_record(plr__state *s, const plr__key *key) {
  if (s->scratch.failed) return PLR_ERR_NO_MEMORY;
  return plr__map_put(&s->map, key->bytes, key->len, s->scratch.data, s->scratch.len);
}

plr_status plr__put_globals(plr__state *s, const plr__globals *v) {
  plr__key key = plr__key_of('E', NULL, NULL);
  plr_buffer *b = begin_record(s);
  plr__buffer_be64(b, v->epoch);
  plr__buffer_be64(b, v->accounts);
  plr__buffer_be64(b, v->models);
  plr__buffer_be64(b, v->receipts);
  plr__buffer_be128(b, v->units);
  plr__buffer_be128(b, v->minted);
  plr__buffer_be64(b, v->deposited);
  plr__buffer_be64(b, v->paid);
  return put_record(s, &key);
}

plr_status plr__put_account(plr__state *s, const uint8_t id[32], const plr__account *v) {
  plr__key key = plr__key_of('A', NULL, id);
  plr_buffer *b = begin_record(s);
  plr__buffer_u8(b, PLR__ALG_ED25519);
  plr__buffer_put(b, v->key, 32);
  plr__buffer_be64(b, v->nonce);
  plr__buffer_be64(b, v->opened);
  return put_record(s, &key);
}

plr_status plr__put_model(plr__state *s, const plr_entry *e, uint64_t epoch) {
  plr__key key = plr__key_of('M', e->as.model.model.bytes, NULL);
  plr_buffer *b = begin_record(s);
  plr__buffer_put(b, e->author, 32);
  plr__buffer_be64(b, epoch);
  plr__buffer_put(b, e->body, e->body_len);
  return put_record(s, &key);
}

plr_status plr__put_totals(plr__state *s, const uint8_t model[32], const plr__totals *v) {
  plr__key key = plr__key_of('T', model, NULL);
  plr_buffer *b = begin_record(s);
  plr__buffer_be128(b, v->work);
  plr__buffer_be64(b, v->supply);
  plr__buffer_be64(b, v->designer_minted);
  plr__buffer_be64(b, v->data_minted);
  plr__buffer_be64(b, v->receipts);
  plr__buffer_be64(b, v->holders);
  plr__buffer_be128(b, v->acc);
  plr__buffer_be64(b, v->remainder);
  plr__buffer_be64(b, v->held);
  plr__buffer_be64(b, v->deposited);
  plr__buffer_be64(b, v->credited);
  plr__buffer_be64(b, v->paid);
  plr__buffer_be128(b, v->fractions);
  plr__buffer_be128(b, v->unsettled);
  return put_record(s, &key);
}

plr_status plr__put_holding(plr__state *s, const uint8_t model[32], const uint8_t account[32],
                            const plr__holding *v) {
  plr__key key = plr__key_of('H', model, account);
  plr_buffer *b = begin_record(s);
  plr__buffer_be64(b, v->shares);
  plr__buffer_be64(b, v->matured);
  plr__buffer_be64(b, v->credited);
  plr__buffer_be64(b, v->paid);
  plr__buffer_be64(b, v->fraction);
  plr__buffer_be64(b, v->receipts);
  plr__buffer_be128(b, v->snap);
  plr__buffer_be128(b, v->units);
  plr__buffer_be16(b, (uint16_t)v->tranche_count);
  for (uint32_t i = 0; i < v->tranche_count; i++) {
    plr__buffer_be64(b, v->tranches[i].start);
    plr__buffer_be64(b, v->tranches[i].shares);
  }
  return put_record(s, &key);
}

plr_status plr__put_work(plr__state *s, const plr__key *key, const plr__work *v) {
  plr_buffer *b = begin_record(s);
  plr__buffer_be128(b, v->units);
  plr__buffer_be64(b, v->receipts);
  return put_record(s, key);
}
