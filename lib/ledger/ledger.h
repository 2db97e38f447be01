/* Ledger entries, as bytes: what stage builds and signs, and what audit reads. FORMAT.md is normative.
 *
 * How a receipt comes to be: the worker fills a plr_receipt, encodes it, and sends the bytes round; worker,
 * upstream and downstream neighbour each sign plr__entry_signing_bytes; whoever holds the three signatures
 * attaches them, and the result is an entry for plr_ledger_append. */
#ifndef PLR_LEDGER_LEDGER_H
#define PLR_LEDGER_LEDGER_H

#include "base/base.h"
#include <pluralis/entries.h>
#include <pluralis/ledger.h>
#include <pluralis/tlog.h>

__extension__ typedef unsigned __int128 plr__u128;

#define PLR__ENTRY_MAX      65535u
#define PLR__ENTRY_HEADER   58u /* bytes before the body */
#define PLR__MAX_SIGNATURES 8u
#define PLR__SIGNING_BYTES  85u
#define PLR__MAX_BLOCKS     4096u
#define PLR__MAX_ORIGIN     128u
#define PLR__MAX_CURRENCY   16u
#define PLR__MAX_DECIMALS   18u
#define PLR__MAX_WINDOW     1024u
#define PLR__MAX_VEST       1024u
#define PLR__MAX_PARENTS    4u
#define PLR__MAX_ROYALTY    5000u /* bps of all parents together */
#define PLR__MAX_DEPTH      8u    /* of a lineage */
#define PLR__MAX_SCALE      18u
#define PLR__MAX_AMOUNT                                                                            \
  0x7fffffffffffffffull /* deposits of a ledger and shares of a model stay below 2^63 */

#define PLR__ALG_ED25519 1u

typedef struct plr_entry_signature {
  uint8_t role;
  uint8_t account[32];
  uint8_t signature[64];
} plr_entry_signature;

typedef struct plr_genesis {
  char origin[PLR__MAX_ORIGIN + 1], currency[PLR__MAX_CURRENCY + 1];
  uint8_t sequencer_key[32];
  uint8_t treasurer[32]; /* account id; all zero: any account may deposit */
  uint32_t decimals, receipt_window;
} plr_genesis;

typedef struct plr_model_register {
  plr_hash model, profile;
  uint32_t designer_bps, data_bps;
  uint8_t data_account[32];
  plr__u128 halving;
  uint64_t rate, rate_divisor;
  uint32_t vest_epochs, vest_cliff, microbatch_tokens, block_count;
  uint32_t serving_bps, milestone_epochs, parent_count;
  plr_parent parents[PLR__MAX_PARENTS]; /* ascending by model */
  const uint8_t *costs; /* block_count big-endian u64, inside the entry's bytes */
} plr_model_register;

typedef struct plr_epoch_close {
  uint64_t epoch, receipts;
  plr__u128 units, minted;  /* units of this epoch; minted of all models, cumulative */
  uint64_t deposited, paid; /* cumulative */
  plr_hash state_root;
} plr_epoch_close;

typedef struct plr_money { /* RevenueDeposit and Claim */
  plr_hash model;
  uint64_t amount;
  uint8_t address[20]; /* Claim: where it is settled; zero: not on a chain */
} plr_money;

typedef struct plr_account_key {
  uint8_t key[32];
} plr_account_key;

/* A decoded entry. Pointers lead into the bytes that were decoded. */
typedef struct plr_entry {
  uint32_t type, signature_count;
  uint8_t author[32];
  uint64_t nonce, valid_to_epoch;
  const uint8_t *bytes, *body;
  size_t len, signed_len, body_len; /* signed_len: header and body */
  plr_entry_signature signatures[PLR__MAX_SIGNATURES];
  union {
    plr_genesis genesis;
    plr_account_key account;
    plr_key_rotate rotate;
    plr_model_register model;
    plr_data_register data;
    plr_assign assign;
    plr_commit commit;
    plr_receipt receipt;
    plr_audit_result audit;
    plr_dispute dispute;
    plr_evidence evidence;
    plr_epoch_close close;
    plr_milestone milestone;
    plr_money money;
    plr_inference_receipt inference;
    plr_transfer transfer;
    plr_slash slash;
    plr_settlement_root settlement;
    plr_param_change param;
  } as;
} plr_entry;

/* Appends header ‖ body of a receipt: the part that is signed. Errors: NO_MEMORY. */
plr_status plr__receipt_encode(plr_buffer *out, const plr_receipt *receipt);

/* Reads what plr__receipt_encode wrote (no signatures): for a neighbour asked to counter-sign. Errors: as
 * plr__entry_decode. */
plr_status plr__receipt_decode(const void *data, size_t len, plr_receipt *out, plr_error *err);

/* What every signer of an entry signs:
 * "pluralis.ledger/v1/" ‖ type u8 ‖ 00 ‖ SHA256(origin) ‖ SHA256(header‖body). unsigned_part holds
 * header ‖ body, at least PLR__ENTRY_HEADER bytes. */
void plr__entry_signing_bytes(const char *origin, const void *unsigned_part, size_t len,
                              uint8_t out[PLR__SIGNING_BYTES]);

/* Signs for one role: signature of `identity` over the signing bytes, with its account id filled in. */
void plr__entry_sign(const plr_identity *identity, uint8_t role, const char *origin,
                     const void *unsigned_part, size_t len, plr_entry_signature *out);

/* Appends n signatures to the header ‖ body in `entry`, in canonical order (role, account).
 * Errors: INVALID_ARGUMENT (n of 0 or over PLR__MAX_SIGNATURES, a (role, account) twice), NO_MEMORY. */
plr_status plr__entry_attach_signatures(plr_buffer *entry, const plr_entry_signature *signatures,
                                        uint32_t n);

/* Decodes one entry: form only, no signature is verified. Consumes exactly, and encoding the result again would
 * give the same bytes. Errors: MALFORMED, TRUNCATED, VERSION (unknown type, version, flag, algorithm). */
plr_status plr__entry_decode(const void *data, size_t len, plr_entry *out, plr_error *err);

#endif
