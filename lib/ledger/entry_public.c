/* Entries that hosts write: options checked, encoded, signed, copied out. */
#include "ledger/ledger_int.h"

#include <string.h>

void plr_entry_options_init(plr_entry_options *options, uint32_t struct_size) {
  plr_entry_options o = {.struct_size = sizeof o, .nonce = 1, .valid_to_epoch = PLR_NO_EXPIRY};
  plr__options_init(options, struct_size, &o, (uint32_t)sizeof o);
}

void plr_model_terms_init(plr_model_terms *terms, uint32_t struct_size) {
  plr_model_terms t = {.struct_size = sizeof t};
  plr__options_init(terms, struct_size, &t, (uint32_t)sizeof t);
}

typedef struct writing {
  plr_entry_options o;
  plr_buffer out;
  uint8_t author[32], key[32];
} writing;

static plr_status begin(writing *w, plr_context *ctx, const plr_entry_options *options,
                        uint32_t type, plr_error *err) {
  plr_hash id;
  if (!ctx || !options)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry", "ctx or options is NULL");
  plr_entry_options_init(&w->o, sizeof w->o);
  PLR_TRY(plr__options_read(&w->o, (uint32_t)sizeof w->o, options, "entry options", err));
  if (!w->o.author || w->o.nonce == 0)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry.author, nonce", "missing");
  if (!w->o.origin || !plr__name_ok(w->o.origin, PLR__MAX_ORIGIN))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry.origin", "missing or not a log's name");
  plr_identity_public_key(w->o.author, w->key);
  plr_account_id(w->key, &id);
  memcpy(w->author, id.bytes, 32);
  plr__buffer_init(&w->out, ctx);
  plr__entry_begin(&w->out, type, w->author, w->o.nonce, w->o.valid_to_epoch);
  return PLR_OK;
}

/* Signs, and has the entry pass the decoder: what leaves here is well formed, or the caller's values were not. */
static plr_status end(writing *w, void *buf, size_t cap, size_t *len, plr_error *err) {
  plr_entry e;
  plr_status st = plr__entry_end(&w->out, 0);
  if (st == PLR_OK) st = plr__entry_finish(&w->out, w->o.author, w->o.origin);
  if (st != PLR_OK) {
    st = plr__no_memory(err, "entry");
  } else if (plr__entry_decode(w->out.data, w->out.len, &e, err) != PLR_OK) {
    st = PLR_ERR_INVALID_ARGUMENT;
    if (err) err->status = st;
  } else if (!len || (!buf && cap)) {
    st = plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry", "buf or len is NULL");
  } else {
    st = plr__copy_out(&w->out, buf, cap, len, err);
  }
  plr__buffer_release(&w->out);
  return st;
}

plr_status plr_entry_account_open(plr_context *ctx, const plr_entry_options *options, void *buf,
                                  size_t cap, size_t *len, plr_error *err) {
  writing w;
  PLR_TRY(begin(&w, ctx, options, PLR__ENTRY_ACCOUNT_OPEN, err));
  plr__buffer_u8(&w.out, PLR__ALG_ED25519);
  plr__buffer_put(&w.out, w.key, 32);
  return end(&w, buf, cap, len, err);
}

static void put_terms(plr_buffer *b, const plr_model_terms *t) {
  plr__buffer_put(b, t->model.bytes, 32);
  plr__buffer_put(b, t->profile.bytes, 32);
  plr__buffer_be16(b, (uint16_t)t->designer_bps);
  plr__buffer_be16(b, (uint16_t)t->data_bps);
  plr__buffer_put(b, t->data_account, 32);
  plr__buffer_be64(b, t->halving_units.hi);
  plr__buffer_be64(b, t->halving_units.lo);
  plr__buffer_be64(b, t->rate);
  plr__buffer_be64(b, t->rate_divisor);
  plr__buffer_be32(b, t->vest_epochs);
  plr__buffer_be32(b, t->vest_cliff);
  plr__buffer_be32(b, t->microbatch_tokens);
  plr__buffer_be32(b, t->block_count);
  for (uint32_t i = 0; i < t->block_count; i++) plr__buffer_be64(b, t->costs[i]);
}

plr_status plr_entry_model_register(plr_context *ctx, const plr_entry_options *options,
                                    const plr_model_terms *terms, void *buf, size_t cap,
                                    size_t *len, plr_error *err) {
  writing w;
  plr_model_terms t;
  if (!terms) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "model terms", "terms is NULL");
  plr_model_terms_init(&t, sizeof t);
  PLR_TRY(plr__options_read(&t, (uint32_t)sizeof t, terms, "model terms", err));
  if (t.designer_bps > 10000 || t.data_bps > 10000)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "model terms", "parts over 10000 bps");
  if (!t.costs || t.block_count == 0 || t.block_count > PLR__MAX_BLOCKS)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "model terms",
                     "no costs, or the number of blocks is not 1 to 4096");
  PLR_TRY(begin(&w, ctx, options, PLR__ENTRY_MODEL_REGISTER, err));
  put_terms(&w.out, &t);
  return end(&w, buf, cap, len, err);
}

static plr_status write_money(plr_context *ctx, const plr_entry_options *options, uint32_t type,
                              const plr_hash *model, uint64_t amount, void *buf, size_t cap,
                              size_t *len, plr_error *err) {
  writing w;
  if (!model) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry", "model is NULL");
  PLR_TRY(begin(&w, ctx, options, type, err));
  plr__buffer_put(&w.out, model->bytes, 32);
  plr__buffer_be64(&w.out, amount);
  return end(&w, buf, cap, len, err);
}

plr_status plr_entry_revenue_deposit(plr_context *ctx, const plr_entry_options *options,
                                     const plr_hash *model, uint64_t amount, void *buf, size_t cap,
                                     size_t *len, plr_error *err) {
  return write_money(ctx, options, PLR__ENTRY_REVENUE_DEPOSIT, model, amount, buf, cap, len, err);
}

plr_status plr_entry_claim(plr_context *ctx, const plr_entry_options *options,
                           const plr_hash *model, uint64_t amount, void *buf, size_t cap,
                           size_t *len, plr_error *err) {
  return write_money(ctx, options, PLR__ENTRY_CLAIM, model, amount, buf, cap, len, err);
}
