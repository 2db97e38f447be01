/* Reading an entry: every length is bounded, every byte is consumed, and only the canonical form passes. */
#include "ledger/ledger_int.h"

#include <string.h>

static const char magic[4] = {'P', 'L', 'G', '1'};

static plr_status malformed(plr_error *err, const char *where, const char *what) {
  return plr__fail(err, PLR_ERR_MALFORMED, where, "%s", what);
}

/* A text of 1..max printable ASCII characters other than space and '+', as names of signed notes need. */
static plr_status read_name(plr_reader *r, char *out, uint32_t max, plr_error *err,
                            const char *where) {
  uint32_t len = plr__read_u8(r);
  const uint8_t *text = plr__read_bytes(r, len);
  if (!text) return plr__fail(err, PLR_ERR_TRUNCATED, where, "the body ends too early");
  if (len == 0 || len > max) return malformed(err, where, "a name is empty or too long");
  for (uint32_t i = 0; i < len; i++)
    if (text[i] <= 0x20 || text[i] > 0x7e || text[i] == '+')
      return malformed(err, where, "a name has a character that is not allowed");
  memcpy(out, text, len);
  out[len] = 0;
  return PLR_OK;
}

static plr_status read_algorithm(plr_reader *r, plr_error *err, const char *where) {
  uint32_t alg = plr__read_u8(r);
  if (!r->failed && alg != PLR__ALG_ED25519)
    return plr__fail(err, PLR_ERR_VERSION, where, "unknown signature algorithm %u", alg);
  return PLR_OK;
}

static plr_status body_genesis(plr_reader *r, plr_entry *e, plr_error *err) {
  const char *where = "entry.genesis";
  plr_genesis *g = &e->as.genesis;
  uint32_t rules = plr__read_be16(r);
  if (!r->failed && rules != PLR__RULES)
    return plr__fail(err, PLR_ERR_VERSION, where, "unknown rules version %u", rules);
  PLR_TRY(read_name(r, g->origin, PLR__MAX_ORIGIN, err, where));
  PLR_TRY(read_algorithm(r, err, where));
  plr__read_into(r, g->sequencer_key, 32);
  PLR_TRY(read_name(r, g->currency, PLR__MAX_CURRENCY, err, where));
  g->decimals = plr__read_u8(r);
  g->receipt_window = plr__read_be32(r);
  plr__read_into(r, g->treasurer, 32);
  if (r->failed) return PLR_OK;
  if (g->decimals > PLR__MAX_DECIMALS) return malformed(err, where, "more than 18 decimals");
  if (g->receipt_window == 0 || g->receipt_window > PLR__MAX_WINDOW)
    return malformed(err, where, "the receipt window is not 1 to 1024 epochs");
  return PLR_OK;
}

static plr_status check_parents(const plr_model_register *m, plr_error *err) {
  const char *where = "entry.model_register";
  uint32_t sum = 0;
  for (uint32_t i = 0; i < m->parent_count; i++) {
    const plr_parent *p = &m->parents[i];
    if (p->bps == 0) return malformed(err, where, "a parent gets nothing");
    if (plr__hash_equal(&p->model, &m->model)) return malformed(err, where, "its own parent");
    if (i && memcmp(m->parents[i - 1].model.bytes, p->model.bytes, 32) >= 0)
      return malformed(err, where, "parents are not in order");
    sum += p->bps;
  }
  return sum <= PLR__MAX_ROYALTY ? PLR_OK : malformed(err, where, "parents get over 5000 bps");
}

static plr_status check_model(const plr_model_register *m, plr_error *err) {
  const char *where = "entry.model_register";
  if (m->designer_bps + m->data_bps > 10000) return malformed(err, where, "parts over 10000 bps");
  if (plr__is_zero(m->data_account, 32) != (m->data_bps == 0))
    return malformed(err, where, "data account and data bps must be given together");
  if (m->vest_epochs > PLR__MAX_VEST || m->vest_cliff > m->vest_epochs)
    return malformed(err, where, "vesting over 1024 epochs, or the cliff is after its end");
  if (m->microbatch_tokens == 0) return malformed(err, where, "a micro-batch of no tokens");
  if (m->block_count == 0 || m->block_count > PLR__MAX_BLOCKS)
    return malformed(err, where, "the number of blocks is not 1 to 4096");
  if (m->serving_bps > 10000) return malformed(err, where, "serving over 10000 bps");
  if (m->milestone_epochs > PLR__MAX_VEST)
    return malformed(err, where, "more than 1024 epochs to a milestone");
  PLR_TRY(check_parents(m, err));
  if (!plr__mint_valid(m->halving, m->rate, m->rate_divisor))
    return malformed(err, where, "mint parameters are zero or mint 2^63 shares or more");
  return PLR_OK;
}

/* All but the costs. */
static plr_status read_terms(plr_reader *r, plr_model_register *m, plr_error *err) {
  plr__read_into(r, m->model.bytes, 32);
  plr__read_into(r, m->profile.bytes, 32);
  m->designer_bps = plr__read_be16(r);
  m->data_bps = plr__read_be16(r);
  plr__read_into(r, m->data_account, 32);
  m->halving = plr__read_be128(r);
  m->rate = plr__read_be64(r);
  m->rate_divisor = plr__read_be64(r);
  m->vest_epochs = plr__read_be32(r);
  m->vest_cliff = plr__read_be32(r);
  m->microbatch_tokens = plr__read_be32(r);
  m->serving_bps = plr__read_be16(r);
  m->milestone_epochs = plr__read_be32(r);
  m->parent_count = plr__read_u8(r);
  if (m->parent_count > PLR__MAX_PARENTS)
    return malformed(err, "entry.model_register", "more than 4 parents");
  for (uint32_t i = 0; i < m->parent_count; i++) {
    plr__read_into(r, m->parents[i].model.bytes, 32);
    m->parents[i].bps = plr__read_be16(r);
  }
  m->block_count = plr__read_be32(r);
  return PLR_OK;
}

static plr_status body_model_register(plr_reader *r, plr_entry *e, plr_error *err) {
  plr_model_register *m = &e->as.model;
  PLR_TRY(read_terms(r, m, err));
  if (r->failed) return PLR_OK;
  PLR_TRY(check_model(m, err));
  m->costs = plr__read_bytes(r, (size_t)m->block_count * 8);
  for (uint32_t i = 0; m->costs && i < m->block_count; i++)
    if (plr__load_be64(m->costs + 8 * (size_t)i) == 0)
      return malformed(err, "entry.model_register", "a block costs nothing");
  return PLR_OK;
}

/* A body that is a table of fields. */
static plr_status body_fields(plr_reader *r, plr_entry *e, plr_error *err) {
  const plr__entry_type *t = &plr__entry_types[e->type];
  if (plr__fields_read(r, &t->body, &e->as) != PLR_OK)
    return plr__fail(err, PLR_ERR_VERSION, "entry body", "unknown signature algorithm");
  if (e->type == PLR_ENTRY_RECEIPT) memcpy(e->as.receipt.worker, e->author, 32);
  if (e->type == PLR_ENTRY_DISPUTE) memcpy(e->as.dispute.receipt.worker, e->author, 32);
  return r->failed || !t->check ? PLR_OK : t->check(e, err);
}

static plr_status read_body(plr_entry *e, plr_error *err) {
  plr_reader r;
  plr__reader_init(&r, e->body, e->body_len);
  if (e->type >= PLR__ENTRY_TYPES || !plr__entry_types[e->type].name)
    return plr__fail(err, PLR_ERR_VERSION, "entry header", "unknown type %u", e->type);
  if (e->type == PLR_ENTRY_GENESIS)
    PLR_TRY(body_genesis(&r, e, err));
  else if (e->type == PLR_ENTRY_MODEL_REGISTER)
    PLR_TRY(body_model_register(&r, e, err));
  else
    PLR_TRY(body_fields(&r, e, err));
  if (r.failed) return plr__fail(err, PLR_ERR_TRUNCATED, "entry body", "the body ends too early");
  if (!plr__reader_done(&r)) return malformed(err, "entry body", "bytes are left over");
  return PLR_OK;
}

static plr_status read_signature(plr_reader *r, plr_entry_signature *s, plr_error *err) {
  s->role = plr__read_u8(r);
  PLR_TRY(read_algorithm(r, err, "entry signature"));
  plr__read_into(r, s->account, 32);
  uint32_t len = plr__read_be16(r);
  if (!r->failed && len != 64) return malformed(err, "entry signature", "not 64 bytes");
  plr__read_into(r, s->signature, 64);
  return PLR_OK;
}

int plr__signature_order(const plr_entry_signature *a, const plr_entry_signature *b) {
  if (a->role != b->role) return a->role < b->role ? -1 : 1;
  return memcmp(a->account, b->account, 32);
}

static plr_status read_signatures(plr_reader *r, plr_entry *e, plr_error *err) {
  e->signature_count = plr__read_u8(r);
  if (!r->failed && (e->signature_count == 0 || e->signature_count > PLR__MAX_SIGNATURES))
    return malformed(err, "entry signatures", "none, or more than 8");
  for (uint32_t i = 0; !r->failed && i < e->signature_count; i++) {
    PLR_TRY(read_signature(r, &e->signatures[i], err));
    if (!r->failed && i && plr__signature_order(&e->signatures[i - 1], &e->signatures[i]) >= 0)
      return malformed(err, "entry signatures", "not in order of role and account");
  }
  return PLR_OK;
}

/* The signers an entry must have, no more and no fewer. */
static plr_status check_signers(const plr_entry *e, plr_error *err) {
  plr__signer want[PLR__MAX_SIGNERS];
  uint32_t n = plr__entry_signers(e, want);
  if (e->signature_count != n)
    return plr__fail(err, PLR_ERR_MALFORMED, "entry signatures", "%u signatures instead of %u",
                     e->signature_count, n);
  for (uint32_t i = 0; i < n; i++)
    if (e->signatures[i].role != want[i].role ||
        memcmp(e->signatures[i].account, want[i].account, 32) != 0)
      return malformed(err, "entry signatures", "a signer is not the account that the body names");
  return PLR_OK;
}

static plr_status read_unsigned(plr_reader *r, plr_entry *e, plr_error *err) {
  const uint8_t *m = plr__read_bytes(r, sizeof magic);
  if (m && memcmp(m, magic, sizeof magic) != 0)
    return malformed(err, "entry header", "does not begin with PLG1");
  e->type = plr__read_u8(r);
  uint32_t version = plr__read_u8(r), flags = plr__read_be16(r);
  plr__read_into(r, e->author, 32);
  e->nonce = plr__read_be64(r);
  e->valid_to_epoch = plr__read_be64(r);
  e->body_len = plr__read_be16(r);
  if (r->failed)
    return plr__fail(err, PLR_ERR_TRUNCATED, "entry header", "the entry ends too early");
  if (version != 1 || flags != 0)
    return plr__fail(err, PLR_ERR_VERSION, "entry header", "version %u, flags %u", version, flags);
  e->body = plr__read_bytes(r, e->body_len);
  if (!e->body) return plr__fail(err, PLR_ERR_TRUNCATED, "entry body", "the entry ends too early");
  e->signed_len = r->pos;
  return read_body(e, err);
}

plr_status plr__entry_decode_partial(const void *data, size_t len, plr_entry *out, plr_error *err) {
  memset(out, 0, sizeof *out);
  out->bytes = data;
  out->len = len;
  if (len > PLR__ENTRY_MAX) return malformed(err, "entry", "longer than 65535 bytes");
  plr_reader r;
  plr__reader_init(&r, data, len);
  PLR_TRY(read_unsigned(&r, out, err));
  PLR_TRY(read_signatures(&r, out, err));
  if (r.failed)
    return plr__fail(err, PLR_ERR_TRUNCATED, "entry signatures", "the entry ends too early");
  return plr__reader_done(&r) ? PLR_OK : malformed(err, "entry", "bytes are left over");
}

plr_status plr__entry_decode(const void *data, size_t len, plr_entry *out, plr_error *err) {
  PLR_TRY(plr__entry_decode_partial(data, len, out, err));
  return check_signers(out, err);
}

plr_status plr__receipt_decode(const void *data, size_t len, plr_receipt *out, plr_error *err) {
  plr_entry e;
  memset(&e, 0, sizeof e);
  plr_reader r;
  plr__reader_init(&r, data, len);
  PLR_TRY(read_unsigned(&r, &e, err));
  if (!plr__reader_done(&r)) return malformed(err, "entry", "bytes are left over");
  if (e.type != PLR_ENTRY_RECEIPT) return malformed(err, "entry header", "not a receipt");
  *out = e.as.receipt;
  return PLR_OK;
}

plr_status plr__model_register_decode(const void *body, size_t len, plr_model_register *out) {
  plr_reader r;
  memset(out, 0, sizeof *out);
  plr__reader_init(&r, body, len);
  PLR_TRY(read_terms(&r, out, NULL));
  out->costs = plr__read_bytes(&r, (size_t)out->block_count * 8);
  return plr__reader_done(&r) ? PLR_OK : PLR_ERR_MALFORMED;
}

plr_status plr__genesis_decode(const void *body, size_t len, plr_genesis *out) {
  plr_entry e;
  memset(&e, 0, sizeof e);
  plr_reader r;
  plr__reader_init(&r, body, len);
  PLR_TRY(body_genesis(&r, &e, NULL));
  *out = e.as.genesis;
  return plr__reader_done(&r) ? PLR_OK : PLR_ERR_MALFORMED;
}
