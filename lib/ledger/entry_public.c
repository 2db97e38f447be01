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
  int partial; /* others sign later */
} writing;

static plr_status begin(writing *w, plr_context *ctx, const plr_entry_options *options,
                        uint32_t type, plr_error *err) {
  plr_hash id;
  if (!ctx || !options)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry", "ctx or options is NULL");
  plr_entry_options_init(&w->o, sizeof w->o);
  PLR_TRY(plr__options_read(&w->o, (uint32_t)sizeof w->o, options, "entry options", err));
  int numbered = type != PLR_ENTRY_RECEIPT && type != PLR_ENTRY_INFERENCE_RECEIPT;
  if (!w->o.author || (numbered && w->o.nonce == 0))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry.author, nonce", "missing");
  if (!w->o.origin || !plr__name_ok(w->o.origin, PLR__MAX_ORIGIN))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry.origin", "missing or not a log's name");
  plr_identity_public_key(w->o.author, w->key);
  plr_account_id(w->key, &id);
  memcpy(w->author, w->o.account ? w->o.account->bytes : id.bytes, 32);
  w->partial = 0;
  plr__buffer_init(&w->out, ctx);
  plr__entry_begin(&w->out, type, w->author, w->o.nonce, w->o.valid_to_epoch);
  return PLR_OK;
}

/* Signs, and has the entry pass the decoder: what leaves here is well formed, or the caller's values were not. */
static plr_status end(writing *w, void *buf, size_t cap, size_t *len, plr_error *err) {
  plr_entry e;
  plr_entry_signature own;
  plr_status st = plr__entry_end(&w->out, 0);
  if (st == PLR_OK) {
    plr__entry_sign(w->o.author, PLR_SIGN_AUTHOR, w->o.origin, w->out.data, w->out.len, &own);
    memcpy(own.account, w->author, 32);
    st = plr__entry_attach_signatures(&w->out, &own, 1);
  }
  plr_status (*decode)(const void *, size_t, plr_entry *, plr_error *) =
      w->partial ? plr__entry_decode_partial : plr__entry_decode;
  if (st == PLR_ERR_LIMIT || (st == PLR_OK && w->out.len > PLR__ENTRY_MAX)) {
    st = plr__fail(err, PLR_ERR_LIMIT, "entry", "over 65535 bytes");
  } else if (st != PLR_OK) {
    st = plr__no_memory(err, "entry");
  } else if (decode(w->out.data, w->out.len, &e, err) != PLR_OK) {
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
  PLR_TRY(begin(&w, ctx, options, PLR_ENTRY_ACCOUNT_OPEN, err));
  plr__buffer_u8(&w.out, PLR__ALG_ED25519);
  plr__buffer_put(&w.out, w.key, 32);
  return end(&w, buf, cap, len, err);
}

/* What would not survive being cut to the bytes of its field, and the memory that is read. */
static plr_status check_terms(const plr_model_terms *t, plr_error *err) {
  plr_status bad = PLR_ERR_INVALID_ARGUMENT;
  if (t->designer_bps > 10000 || t->data_bps > 10000 || t->serving_bps > 10000)
    return plr__fail(err, bad, "model terms", "parts over 10000 bps");
  if (!t->costs || t->block_count == 0 || t->block_count > PLR__MAX_BLOCKS)
    return plr__fail(err, bad, "model terms", "no costs, or the number of blocks is not 1 to 4096");
  if (t->parent_count > PLR__MAX_PARENTS || (t->parent_count && !t->parents))
    return plr__fail(err, bad, "model terms", "parents is NULL, or there are more than 4");
  for (uint32_t i = 0; i < t->parent_count; i++)
    if (t->parents[i].bps > PLR__MAX_ROYALTY)
      return plr__fail(err, bad, "model terms", "a parent gets over 5000 bps");
  return PLR_OK;
}

/* Parents go in ascending order, whatever order they are given in. */
static void sort_parents(const plr_parent *in, uint32_t n, plr_parent *out) {
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = i;
    for (; at > 0 && memcmp(out[at - 1].model.bytes, in[i].model.bytes, 32) > 0; at--)
      out[at] = out[at - 1];
    out[at] = in[i];
  }
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
  plr__buffer_be16(b, (uint16_t)t->serving_bps);
  plr__buffer_be32(b, t->milestone_epochs);
  plr__buffer_u8(b, (uint8_t)t->parent_count);
  for (uint32_t i = 0; i < t->parent_count; i++) {
    plr__buffer_put(b, t->parents[i].model.bytes, 32);
    plr__buffer_be16(b, (uint16_t)t->parents[i].bps);
  }
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
  PLR_TRY(check_terms(&t, err));
  plr_parent parents[PLR__MAX_PARENTS];
  sort_parents(t.parents, t.parent_count, parents);
  t.parents = parents;
  PLR_TRY(begin(&w, ctx, options, PLR_ENTRY_MODEL_REGISTER, err));
  put_terms(&w.out, &t);
  return end(&w, buf, cap, len, err);
}

static plr_status write_money(plr_context *ctx, const plr_entry_options *options, uint32_t type,
                              const plr_hash *model, uint64_t amount, const uint8_t *address,
                              void *buf, size_t cap, size_t *len, plr_error *err) {
  writing w;
  plr_money m = {.amount = amount};
  if (!model) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry", "model is NULL");
  m.model = *model;
  if (address) memcpy(m.address, address, sizeof m.address);
  PLR_TRY(begin(&w, ctx, options, type, err));
  (void)plr__fields_write(&w.out, &plr__entry_types[type].body, &m, NULL);
  return end(&w, buf, cap, len, err);
}

plr_status plr_entry_revenue_deposit(plr_context *ctx, const plr_entry_options *options,
                                     const plr_hash *model, uint64_t amount, void *buf, size_t cap,
                                     size_t *len, plr_error *err) {
  return write_money(ctx, options, PLR_ENTRY_REVENUE_DEPOSIT, model, amount, NULL, buf, cap, len,
                     err);
}

plr_status plr_entry_claim(plr_context *ctx, const plr_entry_options *options,
                           const plr_hash *model, uint64_t amount, void *buf, size_t cap,
                           size_t *len, plr_error *err) {
  return write_money(ctx, options, PLR_ENTRY_CLAIM, model, amount, NULL, buf, cap, len, err);
}

plr_status plr_entry_claim_to(plr_context *ctx, const plr_entry_options *options,
                              const plr_hash *model, uint64_t amount, const uint8_t address[20],
                              void *buf, size_t cap, size_t *len, plr_error *err) {
  if (!address || plr__is_zero(address, 20))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry.address", "NULL or all zero");
  return write_money(ctx, options, PLR_ENTRY_CLAIM, model, amount, address, buf, cap, len, err);
}

/* ---- any type --------------------------------------------------------------------------------- */

/* Copies the caller's struct, which may be of another version, and sets what follows from the options. */
static plr_status take_fields(uint32_t type, const void *fields, const writing *w, plr_entry *e,
                              plr_error *err) {
  const plr__entry_type *t = &plr__entry_types[type];
  memset(&e->as, 0, sizeof e->as);
  if (type == PLR_ENTRY_RECEIPT)
    memcpy(&e->as, fields, t->struct_size);
  else
    PLR_TRY(plr__options_read(&e->as, (uint32_t)t->struct_size, fields, t->name, err));
  if (type == PLR_ENTRY_RECEIPT) memcpy(e->as.receipt.worker, w->author, 32);
  return PLR_OK;
}

/* Receipts have no number, and end with their epoch. */
static void numberless(writing *w, uint64_t epoch) {
  uint8_t *header = w->out.data;
  plr__store_be64(header + 40, 0);
  plr__store_be64(header + 48, epoch);
}

plr_status plr_entry_write(plr_context *ctx, const plr_entry_options *options, uint32_t type,
                           const void *fields, void *buf, size_t cap, size_t *len, plr_error *err) {
  writing w;
  plr_entry e;
  const char *bad = "entry";
  if (!fields) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry", "fields is NULL");
  if (type >= PLR__ENTRY_TYPES || plr__entry_types[type].struct_size == 0)
    return plr__fail(err, PLR_ERR_UNSUPPORTED, "entry.type", "%u is not written this way", type);
  PLR_TRY(begin(&w, ctx, options, type, err));
  plr_status st = take_fields(type, fields, &w, &e, err);
  if (st == PLR_OK) {
    st = plr__fields_write(&w.out, &plr__entry_types[type].body, &e.as, &bad);
    if (st == PLR_ERR_INVALID_ARGUMENT) plr__fail(err, st, bad, "more than its field can hold");
  }
  if (st != PLR_OK && st != PLR_ERR_NO_MEMORY) {
    plr__buffer_release(&w.out);
    return st;
  }
  if (!w.out.failed && type == PLR_ENTRY_RECEIPT) numberless(&w, e.as.receipt.epoch);
  if (!w.out.failed && type == PLR_ENTRY_INFERENCE_RECEIPT) numberless(&w, e.as.inference.epoch);
  w.partial = 1;
  return end(&w, buf, cap, len, err);
}

static plr_status add_signature(const plr_entry *e, const plr_entry_signature *more,
                                plr_buffer *out, plr_error *err) {
  plr_entry_signature all[PLR__MAX_SIGNATURES];
  uint32_t n = e->signature_count;
  if (n == PLR__MAX_SIGNATURES)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry", "it has 8 signatures");
  for (uint32_t i = 0; i < n; i++) {
    all[i] = e->signatures[i];
    if (plr__signature_order(&all[i], more) == 0)
      return plr__fail(err, PLR_ERR_EXISTS, "entry", "signed before in that role");
  }
  all[n] = *more;
  plr__buffer_put(out, e->bytes, e->signed_len);
  plr_status st = plr__entry_attach_signatures(out, all, n + 1);
  return st == PLR_OK ? PLR_OK : plr__no_memory(err, "entry");
}

plr_status plr_entry_countersign(plr_context *ctx, const plr_identity *identity, uint32_t role,
                                 const plr_hash *account, const char *origin, void *buf, size_t cap,
                                 size_t *len, plr_error *err) {
  plr_entry e;
  plr_entry_signature more;
  plr_buffer out;
  if (!ctx || !identity || !buf || !len || role > PLR_SIGN_COUNTER || role == PLR_SIGN_AUTHOR)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry",
                     "an argument is NULL, or no such role");
  if (!origin || !plr__name_ok(origin, PLR__MAX_ORIGIN))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "entry.origin", "missing or not a log's name");
  PLR_TRY(plr__entry_decode_partial(buf, *len, &e, err));
  plr__entry_sign(identity, (uint8_t)role, origin, e.bytes, e.signed_len, &more);
  if (account) memcpy(more.account, account->bytes, 32);
  plr__buffer_init(&out, ctx);
  plr_status st = add_signature(&e, &more, &out, err);
  if (st == PLR_OK) st = plr__copy_out(&out, buf, cap, len, err);
  plr__buffer_release(&out);
  return st;
}

void plr_commit_hash(const plr_hash *account, uint64_t epoch, const plr_hash *secret,
                     plr_hash *out) {
  static const char tag[] = "pluralis.commit/v1";
  uint8_t text[18 + 32 + 8 + 32];
  memcpy(text, tag, 18);
  memcpy(text + 18, account->bytes, 32);
  plr__store_be64(text + 50, epoch);
  memcpy(text + 58, secret->bytes, 32);
  plr_sha256(text, sizeof text, out);
}
