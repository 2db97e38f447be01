/* libpluralis: ledger entries beyond the everyday ones of ledger.h.
 *
 * Each type of entry has a struct with the fields of its body; plr_entry_write makes the entry, signed by its author,
 * and plr_entry_countersign adds the signatures that some types need of others:
 *
 *   type               struct                 further signatures
 *   KEY_ROTATE         plr_key_rotate         role 3: the new key
 *   DATA_REGISTER      plr_data_register      role 4: the model's data account
 *   ASSIGN             plr_assign
 *   COMMIT             plr_commit
 *   RECEIPT            plr_receipt            role 1, 2: upstream and downstream neighbour
 *   AUDIT_RESULT       plr_audit_result
 *   DISPUTE            plr_dispute            kind 1: role 1, 2 of a neighbour that is not among the refusers
 *   EVIDENCE           plr_evidence
 *   MILESTONE          plr_milestone          role 4: the witness
 *   INFERENCE_RECEIPT  plr_inference_receipt  role 4: the client
 *   TRANSFER           plr_transfer
 *   SLASH              plr_slash
 *   SETTLEMENT_ROOT    plr_settlement_root    (plr_ledger_settle makes it)
 *   PARAM_CHANGE       plr_param_change
 *
 *   plr_transfer t = {.struct_size = sizeof t, .model = model, .to = to, .shares = 5};
 *   plr_entry_write(ctx, &options, PLR_ENTRY_TRANSFER, &t, buf, sizeof buf, &len, &err);
 *   plr_ledger_append(ledger, buf, len, NULL, &err);
 *
 * lib/ledger/FORMAT.md, section 4, says what each does; in short: keys change at once by the current key, and after a
 * delay by a recovery key named before; shares change hands only with an EpochClose; auditors commit to secrets in
 * one epoch and reveal them in the next, from which Assign draws who replays which receipt; who loses a dispute or
 * fails an audit has a fault, and Slash burns a part of what has not vested yet. */
#ifndef PLURALIS_ENTRIES_H
#define PLURALIS_ENTRIES_H

#include <pluralis/ledger.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types of entries. */
#define PLR_ENTRY_GENESIS           1u
#define PLR_ENTRY_ACCOUNT_OPEN      2u
#define PLR_ENTRY_KEY_ROTATE        3u
#define PLR_ENTRY_MODEL_REGISTER    4u
#define PLR_ENTRY_DATA_REGISTER     5u
#define PLR_ENTRY_ASSIGN            6u
#define PLR_ENTRY_COMMIT            7u
#define PLR_ENTRY_RECEIPT           8u
#define PLR_ENTRY_AUDIT_RESULT      9u
#define PLR_ENTRY_DISPUTE           10u
#define PLR_ENTRY_EVIDENCE          11u
#define PLR_ENTRY_EPOCH_CLOSE       12u
#define PLR_ENTRY_MILESTONE         13u
#define PLR_ENTRY_REVENUE_DEPOSIT   14u
#define PLR_ENTRY_INFERENCE_RECEIPT 15u
#define PLR_ENTRY_TRANSFER          16u
#define PLR_ENTRY_CLAIM             17u
#define PLR_ENTRY_SLASH             18u
#define PLR_ENTRY_SETTLEMENT_ROOT   19u
#define PLR_ENTRY_PARAM_CHANGE      20u

/* Roles of a signature. Every entry carries its author's; a receipt's author is the worker. */
#define PLR_SIGN_AUTHOR     0u
#define PLR_SIGN_UPSTREAM   1u
#define PLR_SIGN_DOWNSTREAM 2u
#define PLR_SIGN_NEW_KEY    3u
#define PLR_SIGN_COUNTER    4u

/* Another key for the author's account, and who may replace it when it is lost. The sequencer's is fixed. */
typedef struct plr_key_rotate {
  uint32_t struct_size;
  uint32_t way;             /* 0: signed by the current key, at once; 1: by the recovery key, after recovery_delay */
  uint8_t recovery_key[32]; /* of way 1: the public key that signs; else zero */
  uint8_t key[32];          /* the new public key */
  uint8_t recovery[32];     /* account id of the public key that may do way 1 from now on; zero: none */
} plr_key_rotate;

/* A dataset of a model: gets bps of everything minted from now on, out of the part of the model's data account. */
typedef struct plr_data_register {
  uint32_t struct_size, bps; /* 1 to 10000, in 1/10000 */
  plr_hash model, root;      /* root: of the dataset, see plr_corpus_root */
  uint64_t tokens;           /* its size, as stated */
  uint8_t data_account[32];  /* of the model; counter-signs */
} plr_data_register;

/* Draws the auditors of a closed epoch's receipts, from the secrets revealed. Author: the sequencer. */
typedef struct plr_assign {
  uint32_t struct_size, reserved;
  uint64_t epoch; /* closed */
} plr_assign;

/* An auditor's secret: its hash in the open epoch, itself in the next. */
typedef struct plr_commit {
  uint32_t struct_size, phase; /* 0: value is plr_commit_hash; 1: value is the secret */
  uint64_t epoch;              /* of phase 0 */
  plr_hash value;              /* the hash of the secret, or the secret */
} plr_commit;

/* Names a receipt. This struct does not grow. */
typedef struct plr_receipt_key {
  uint64_t epoch, step; /* as in the receipt */
  plr_hash model;       /* the same, and all below */
  uint32_t lane, block_first, mb_first, reserved; /* reserved: 0 */
} plr_receipt_key;

/* Work of one stage on a window of micro-batches of one step: blocks [block_first, block_end), micro-batches
 * [mb_first, mb_first + mb_count). tokens: in the whole window. units: sum of the model's cost of those blocks
 * times tokens; anything else is refused. frames_root: Merkle root over the window's frame hashes.
 * weight_root: the last weight root, computed at weight_step <= step. No two receipts of one epoch, model, step and
 * lane may overlap. The worker may be neither neighbour; with one stage the feeder is both. This struct does not
 * grow. */
typedef struct plr_receipt {
  plr_hash model, profile; /* profile: that of the model */
  uint64_t epoch, step;
  uint32_t mb_first, mb_count, block_first, block_end, lane, tokens;
  uint64_t units;
  plr_hash frames_root, weight_root;
  uint64_t weight_step;
  uint8_t worker[32], upstream[32], downstream[32]; /* account ids */
} plr_receipt;

/* What the replay of a receipt came to. Author: the auditor that Assign drew for it. */
typedef struct plr_audit_result {
  uint32_t struct_size, verdict; /* 1: passed, 2: failed */
  plr_receipt_key receipt;
  plr_hash trace_root; /* Merkle root over what the replay computed, for a later dispute */
} plr_audit_result;

/* Asks for an audit. kind 0: of a receipt in the log, which only its key in `receipt` names, the rest being zero.
 * kind 1: of work for which a neighbour does not sign; the author is the worker, `receipt` is whole.
 * kind 2: the neighbour's answer to kind 1: it agrees after all. */
typedef struct plr_dispute {
  uint32_t struct_size, kind;
  uint32_t refusers, reserved; /* of kind 1: bit 0 upstream, bit 1 downstream; else 0 */
  plr_receipt receipt;
} plr_dispute;

/* Proof of a fault. kind 0: two checkpoints of this log, signed, of one size with different roots. kind 1: two
 * receipts (whole entries) in which a worker sold the same work twice. */
typedef struct plr_evidence {
  uint32_t struct_size, kind;
  const void *first, *second; /* both together below 65 kB */
  uint64_t first_len, second_len; /* bytes */
} plr_evidence;

/* A model has got somewhere. Author: its designer; confirms provisional shares (plr_model_terms.milestone_epochs). */
typedef struct plr_milestone {
  uint32_t struct_size, number; /* 1 for the model's first, then + 1 */
  plr_hash model;
  uint64_t step;                 /* of training */
  plr_hash weight_root, report;  /* report: hash of the evaluation */
  uint8_t witness[32];           /* account that attests it by its signature; not the author */
} plr_milestone;

/* Metered serving. The author served `tokens` of a session with blocks [block_first, block_end); the client, who
 * signs too, pays `price` of what it has deposited for the model; serving_bps of that is the author's. */
typedef struct plr_inference_receipt {
  uint32_t struct_size, sequence; /* number of this piece of the session */
  plr_hash model;
  uint64_t epoch; /* open, or in the receipt window */
  plr_hash session; /* any name that the client has not used before */
  uint32_t block_first, block_end, tokens, reserved;
  uint64_t units, price; /* units: as in plr_receipt */
  plr_hash frames_root;  /* Merkle root over what was sent */
  uint8_t client[32]; /* account */
} plr_inference_receipt;

/* Gives vested shares away; they change hands with the next EpochClose, and earn for the giver until then. */
typedef struct plr_transfer {
  uint32_t struct_size, reserved;
  plr_hash model; /* whose shares */
  uint8_t to[32]; /* account */
  uint64_t shares;
} plr_transfer;

/* Has an account's faults in a model punished: slash_bps for each of what has not vested at the next EpochClose is
 * burned, but for the bounty of who reported it. Anyone may be the author. */
typedef struct plr_slash {
  uint32_t struct_size, reserved;
  plr_hash model;
  uint8_t account[32];
} plr_slash;

/* Root over all that was claimed to addresses; see pluralis/settlement.h. Author: the sequencer. */
typedef struct plr_settlement_root {
  uint32_t struct_size, scale; /* what is claimed on chain is 10^scale times the ledger's unit; 0 to 18 */
  uint8_t reward[20];          /* the token */
  uint32_t leaves; /* how many */
  uint64_t total;  /* in the ledger's unit */
  plr_hash root;   /* of their tree */
} plr_settlement_root;

/* Parameters. */
#define PLR_PARAM_RECEIPT_WINDOW 1u /* epochs whose receipts are accepted: 1 to 1024, as in plr_ledger_options */
#define PLR_PARAM_AUDIT_WINDOW   2u /* epochs more in which receipts can be audited: 1 (default) to 1024 */
#define PLR_PARAM_CHANGE_DELAY   3u /* epochs between a ParamChange and its effect, at least: 2; 1 to 1024 */
#define PLR_PARAM_RECOVERY_DELAY 4u /* epochs until a recovery key has its effect: 2; 1 to 1024 */
#define PLR_PARAM_SLASH_DELAY    5u /* epochs between a fault and Slash: 1; 0 to 1024 */
#define PLR_PARAM_AUDIT_BPS      6u /* of receipts that are drawn for an audit: 500; 0 to 10000 */
#define PLR_PARAM_SLASH_BPS      7u /* of what has not vested, for each fault: 5000; 0 to 10000 */
#define PLR_PARAM_BOUNTY_BPS     8u /* of what is slashed, for the reporter: 1000; 0 to 10000 */
#define PLR_PARAMS               8u

/* Changes a parameter. Author: the sequencer. */
typedef struct plr_param_change {
  uint32_t struct_size, parameter; /* PLR_PARAM_... */
  uint64_t value, from_epoch;      /* in force when from_epoch is opened */
} plr_param_change;

/* Writes one entry, signed by its author, to buf: as the functions of ledger.h. type: PLR_ENTRY_...; fields: the struct
 * of that type (table above; ACCOUNT_OPEN and what the ledger itself writes are not among them), with struct_size set,
 * where it has one. A receipt's worker and, of RECEIPT and INFERENCE_RECEIPT, nonce and valid_to_epoch are set from
 * the author and the epoch, whatever options and fields say. Not checked here: the rules that need a ledger.
 * Errors: INVALID_ARGUMENT (also a field that is out of range: err says which), UNSUPPORTED (type), BUFFER_TOO_SMALL,
 * LIMIT (over 65,535 bytes), NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_entry_write(plr_context *ctx, const plr_entry_options *options, uint32_t type,
                                   const void *fields, void *buf, size_t cap, size_t *len, plr_error *err);

/* Adds a signature to the entry of *len bytes in buf, which may then be whole or want still others, and updates
 * *len. Read what you sign: plr_entry_json. account: of the signer, when its key has been rotated; NULL: the account of
 * its key. Errors: INVALID_ARGUMENT, EXISTS (that role and account has signed), BUFFER_TOO_SMALL, those of the
 * decoder (MALFORMED, TRUNCATED, VERSION), NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_entry_countersign(plr_context *ctx, const plr_identity *identity, uint32_t role,
                                         const plr_hash *account, const char *origin, void *buf, size_t cap,
                                         size_t *len, plr_error *err);

/* An entry as one JSON object, for people and programs: type, author, nonce, valid_to_epoch, the fields of its body,
 * signers. Hashes, keys and accounts are hex, 64-bit numbers and larger are decimal strings, costs of a model an
 * array. Works for entries that still want signatures. *len: without a NUL, also when BUFFER_TOO_SMALL. Errors:
 * MALFORMED, TRUNCATED, VERSION, BUFFER_TOO_SMALL, INVALID_ARGUMENT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_entry_json(plr_context *ctx, const void *entry, size_t entry_len, char *buf, size_t cap,
                                  size_t *len, plr_error *err);

/* What phase 0 of a Commit says of a secret: SHA-256("pluralis.commit/v1" ‖ account ‖ epoch ‖ secret). Since 0.1. */
PLR_API void plr_commit_hash(const plr_hash *account, uint64_t epoch, const plr_hash *secret, plr_hash *out);

#ifdef __cplusplus
}
#endif

#endif
