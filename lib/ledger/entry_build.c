/* Writing an entry: header, body, and the signatures over them. */
#include "ledger/ledger_int.h"

#include <string.h>

void plr__entry_begin(plr_buffer *out, uint32_t type, const uint8_t author[32], uint64_t nonce,
                      uint64_t valid_to_epoch) {
  plr__buffer_put(out, "PLG1", 4);
  plr__buffer_u8(out, (uint8_t)type);
  plr__buffer_u8(out, 1);
  plr__buffer_be16(out, 0);
  plr__buffer_put(out, author, 32);
  plr__buffer_be64(out, nonce);
  plr__buffer_be64(out, valid_to_epoch);
  plr__buffer_be16(out, 0); /* the body's length, set by plr__entry_end */
}

plr_status plr__entry_end(plr_buffer *out, size_t start) {
  if (out->failed) return PLR_ERR_NO_MEMORY;
  if (out->len - start > PLR__ENTRY_MAX) return PLR_ERR_LIMIT;
  plr__store_be16(out->data + start + PLR__ENTRY_HEADER - 2,
                  (uint16_t)(out->len - start - PLR__ENTRY_HEADER));
  return PLR_OK;
}

plr_status plr__receipt_encode(plr_buffer *out, const plr_receipt *x) {
  size_t start = out->len;
  plr__entry_begin(out, PLR_ENTRY_RECEIPT, x->worker, 0, x->epoch);
  (void)plr__fields_write(out, &plr__receipt_fields, x, NULL); /* of no memory: out->failed */
  return plr__entry_end(out, start);
}

void plr__entry_signing_bytes(const char *origin, const void *unsigned_part, size_t len,
                              uint8_t out[PLR__SIGNING_BYTES]) {
  static const char domain[] = "pluralis.ledger/v1/";
  plr_hash h;
  memcpy(out, domain, 19);
  out[19] = ((const uint8_t *)unsigned_part)[4];
  out[20] = 0;
  plr_sha256(origin, strlen(origin), &h);
  memcpy(out + 21, h.bytes, 32);
  plr_sha256(unsigned_part, len, &h);
  memcpy(out + 53, h.bytes, 32);
}

void plr__entry_sign(const plr_identity *identity, uint8_t role, const char *origin,
                     const void *unsigned_part, size_t len, plr_entry_signature *out) {
  uint8_t message[PLR__SIGNING_BYTES], key[32];
  plr_hash account;
  plr_identity_public_key(identity, key);
  plr_account_id(key, &account);
  memcpy(out->account, account.bytes, 32);
  out->role = role;
  plr__entry_signing_bytes(origin, unsigned_part, len, message);
  plr_identity_sign(identity, message, sizeof message, out->signature);
}

plr_status plr__entry_attach_signatures(plr_buffer *entry, const plr_entry_signature *signatures,
                                        uint32_t n) {
  const plr_entry_signature *order[PLR__MAX_SIGNATURES];
  if (n == 0 || n > PLR__MAX_SIGNATURES) return PLR_ERR_INVALID_ARGUMENT;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = i;
    for (; at > 0; at--) {
      int c = plr__signature_order(order[at - 1], &signatures[i]);
      if (c == 0) return PLR_ERR_INVALID_ARGUMENT;
      if (c < 0) break;
      order[at] = order[at - 1];
    }
    order[at] = &signatures[i];
  }
  plr__buffer_u8(entry, (uint8_t)n);
  for (uint32_t i = 0; i < n; i++) {
    plr__buffer_u8(entry, order[i]->role);
    plr__buffer_u8(entry, PLR__ALG_ED25519);
    plr__buffer_put(entry, order[i]->account, 32);
    plr__buffer_be16(entry, 64);
    plr__buffer_put(entry, order[i]->signature, 64);
  }
  return entry->failed ? PLR_ERR_NO_MEMORY : PLR_OK;
}

plr_status plr__entry_finish(plr_buffer *out, const plr_identity *author, const char *origin) {
  plr_entry_signature s;
  plr__entry_sign(author, PLR_SIGN_AUTHOR, origin, out->data, out->len, &s);
  return plr__entry_attach_signatures(out, &s, 1);
}

static void put_name(plr_buffer *out, const char *name) {
  size_t len = strlen(name);
  plr__buffer_u8(out, (uint8_t)len);
  plr__buffer_put(out, name, len);
}

plr_status plr__genesis_encode(plr_buffer *out, const plr_genesis *g) {
  size_t start = out->len;
  plr_hash author;
  plr_account_id(g->sequencer_key, &author);
  plr__entry_begin(out, PLR_ENTRY_GENESIS, author.bytes, 1, PLR_NO_EXPIRY);
  plr__buffer_be16(out, PLR__RULES);
  put_name(out, g->origin);
  plr__buffer_u8(out, PLR__ALG_ED25519);
  plr__buffer_put(out, g->sequencer_key, 32);
  put_name(out, g->currency);
  plr__buffer_u8(out, (uint8_t)g->decimals);
  plr__buffer_be32(out, g->receipt_window);
  plr__buffer_put(out, g->treasurer, 32);
  return plr__entry_end(out, start);
}

plr_status plr__epoch_close_encode(plr_buffer *out, const uint8_t author[32], uint64_t nonce,
                                   const plr_epoch_close *c) {
  size_t start = out->len;
  plr__entry_begin(out, PLR_ENTRY_EPOCH_CLOSE, author, nonce, c->epoch);
  (void)plr__fields_write(out, &plr__entry_types[PLR_ENTRY_EPOCH_CLOSE].body, c, NULL);
  return plr__entry_end(out, start);
}
