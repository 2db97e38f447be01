/* libpluralis: the contribution ledger.
 *
 * A ledger is an append-only log of signed entries and a state that is a pure function of that log. The log says
 * who did what (Receipt: a worker and both its neighbours sign), and the state says what follows: shares of a
 * model for verified work, and revenue owed to the holders of shares. Anyone who has an export and the log's
 * public key replays everything from nothing and reaches the same state root.
 *
 *   plr_ledger_options o;
 *   plr_ledger_options_init(&o, sizeof o);
 *   o.path = "job.ledger", o.origin = "example.org/job", o.sequencer = identity;
 *   plr_ledger *ledger;
 *   plr_ledger_open(ctx, &o, &ledger, &err);                    // writes Genesis when the file is new
 *   plr_ledger_append(ledger, entry, len, &index, &err);        // AccountOpen, ModelRegister, Receipt, ...
 *   plr_ledger_close_epoch(ledger, &index, &err);               // work becomes shares
 *   plr_ledger_append(ledger, deposit, deposit_len, ...);       // revenue becomes payable to holders
 *   plr_ledger_export(ledger, &sink, &err);                     // one file ...
 *   plr_ledger_verify(ctx, &source, &v, &summary, &err);        // ... that anyone can check
 *
 * One writer, the sequencer, orders entries. It can delay or omit an entry; it cannot forge one, since authors
 * sign, and it cannot rewrite the log without two signed checkpoints that contradict each other. That is a
 * transparency log, not consensus.
 *
 * What an entry does
 *   Genesis          opens the sequencer's account and fixes origin, currency and epoch window (by plr_ledger_open)
 *   AccountOpen      makes a key known; anyone may open accounts
 *   ModelRegister    cost of each block, who gets which part of the mint, the mint curve, vesting. Its author is
 *                    the model's designer. It never changes afterwards
 *   Receipt          work on a window of micro-batches, signed by worker, upstream and downstream neighbour; its
 *                    units must equal the registered cost of its blocks times its tokens
 *   EpochClose       mints: F(W + w) - F(W) shares of each model for the epoch's w verified units, where F grows
 *                    at rate / rate_divisor shares per unit, halving every halving_units. The designer's and the
 *                    data provider's parts come out first (cumulative floor), the workers share the rest by units
 *                    (largest remainder, ties to the lower account id). It carries the state root
 *   RevenueDeposit   is owed to the holders as of the last EpochClose, in proportion to shares, to the last unit:
 *                    what does not divide is kept as fractions and paid later. While a model has no shares its
 *                    deposits are held. Unvested shares earn too
 *   Claim            moves what is payable to paid; the host pays it out
 *
 * Identities that hold after every entry; a breach is PLR_ERR_CONSERVATION and ends the handle: shares of all
 * holders = F(W); paid + payable + fractions + remainder + held = deposited.
 *
 * The log is an RFC 6962 Merkle tree; checkpoints are C2SP signed notes (signed-note v1, tlog-checkpoint v1), so
 * existing verifiers of transparency logs read them. Byte formats: lib/ledger/FORMAT.md.
 *
 * Times are epochs, counted by EpochClose from 0. Money is an integer of the currency's smallest unit; the sum of
 * all deposits stays below 2^63, and so do the shares of a model.
 *
 * Threads: a handle is used by one thread at a time; functions that take a const handle may run at once. */
#ifndef PLURALIS_LEDGER_H
#define PLURALIS_LEDGER_H

#include <pluralis/base.h>
#include <pluralis/identity.h>
#include <pluralis/io.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A ledger: its log, its state and where they are stored. */
typedef struct plr_ledger plr_ledger;

#define PLR_ENTRY_MAX 65535u   /* bytes of an entry, at most */
#define PLR_PROOF_MAX 64u      /* hashes of an inclusion proof; a consistency proof has at most one more */
#define PLR_NO_EXPIRY UINT64_MAX /* an entry's valid_to_epoch: for ever */

/* A count of work units, lo + hi * 2^64. The unit is whatever the model's cost table counts. */
typedef struct plr_units {
  uint64_t lo, hi;
} plr_units;

/* ---- where it is kept ------------------------------------------------------------------------- */

/* A store of the host's own, in place of the built-in SQLite file. It keeps two things: rows, numbered from 0, that
 * are only ever appended, and a few records by name that are replaced. What is in them is the ledger's business.
 * What a store must guarantee:
 *   - What is written between begin and commit is one transaction. When commit returns OK all of it is durable: it
 *     survives the process and the power supply. A crash before that leaves all of it or none of it.
 *   - After rollback, which also follows a commit that failed, none of the transaction is there.
 *   - row and get see what was committed; the ledger reads nothing inside a transaction.
 *   - It has one writer: the host opens no two ledgers on it of which one has a sequencer.
 * A function returns a status of status.h and, unless err is NULL, may say there what failed; rows and records that
 * do not exist are NOT_FOUND. They are called by the thread that uses the ledger, never two at once. This struct does
 * not grow. */
typedef struct plr_ledger_store {
  void *user; /* handed to every function */
  plr_status (*begin)(void *user, plr_error *err);
  plr_status (*append)(void *user, uint64_t index, const void *row, size_t len,
                       plr_error *err); /* a row, `index` the next one: 37 to 67,587 bytes */
  plr_status (*put)(void *user, const char *name, const void *data, size_t len,
                    plr_error *err); /* replaces a record, or removes it when len is 0. name: up to 31 characters of
                                        a-z, 0-9 and '/'; len: up to 2 MiB */
  plr_status (*commit)(void *user, plr_error *err);
  void (*rollback)(void *user);
  plr_status (*row)(void *user, uint64_t index, const void **data, size_t *len,
                    plr_error *err); /* bytes of a row; *data is valid until the next call of any of these */
  plr_status (*get)(void *user, const char *name, const void **data, size_t *len,
                    plr_error *err); /* bytes of a record, as long */
  plr_status (*compact)(void *user, plr_error *err); /* gives unused space back, outside of a transaction; or NULL */
} plr_ledger_store;

/* ---- open ------------------------------------------------------------------------------------- */

/* Which ledger, and what a new one is like. */
typedef struct plr_ledger_options {
  uint32_t struct_size;
  uint32_t log_invalid; /* default 0: an entry that fails is refused and leaves no trace. 1: it is logged, with no
                           effect but its nonce, if its signatures hold; its status is returned all the same */
  const char *path;     /* SQLite file, created when absent; NULL (default): kept in memory only */
  const char *origin;   /* name of the log, for instance "example.org/job": 1 to 128 printable ASCII characters,
                           no space, no '+'. NULL: any, when the file exists. Borrowed for the call */
  const plr_identity *sequencer; /* orders entries and signs checkpoints; borrowed until destroy. NULL: the file
                                    must exist, and entries can only be read */
  /* Genesis of a new ledger; not looked at when the file exists. */
  const char *currency;    /* default "XTS" (ISO 4217: for testing); 1 to 16 characters as in origin */
  uint32_t decimals;       /* of the currency, 0 to 18; default 2 */
  uint32_t receipt_window; /* epochs whose receipts are accepted, the open one included: 1 (default) to 1024 */
  uint8_t treasurer[32];   /* only account that may deposit; all zero (default): any */
  const plr_ledger_store *store; /* in place of path, which must be NULL then; default NULL. The struct is copied; the
                                    store itself must outlive the ledger */
} plr_ledger_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_ledger_options) as compiled. Since 0.1. */
PLR_API void plr_ledger_options_init(plr_ledger_options *options, uint32_t struct_size);

/* Opens or creates a ledger. A store is always left consistent: entries, hashes and head are one transaction, so a
 * killed process or a lost power supply loses nothing that was acknowledged. Opening replays what follows the last
 * stored state.
 * A file has one writer; the lock on an empty file `path`-lock beside it keeps a second one out. Any number of ledgers
 * without a sequencer may have it open at the same time, in other processes too: they take no lock that a writer
 * waits for, and see the ledger as it was when they were opened.
 * Errors: INVALID_ARGUMENT, NOT_FOUND (read-only and absent), UNSUPPORTED (a path, in a build without SQLite),
 * UNAVAILABLE (open for writing elsewhere), MISMATCH (other origin or sequencer), VERSION, CORRUPT (not a ledger, or
 * damaged: what and where is in err), IO, NO_SPACE, NO_MEMORY, those of the store. Since 0.1. */
PLR_API plr_status plr_ledger_open(plr_context *ctx, const plr_ledger_options *options, plr_ledger **out,
                                   plr_error *err);
PLR_API void plr_ledger_destroy(plr_ledger *ledger);

/* Stores the state anew, so that the next opening replays nothing, and lets the store give back the space it does not
 * use (a file is written anew for that, and needs as much room once more while it lasts). Entries stay: they are the
 * log. Errors: INVALID_STATE (read-only), IO, NO_SPACE, NO_MEMORY, those of the store; the ledger is then as before.
 * Since 0.1. */
PLR_API plr_status plr_ledger_compact(plr_ledger *ledger, plr_error *err);

/* Name of the log (valid until destroy) and, unless NULL, the sequencer's public key. Since 0.1. */
PLR_API const char *plr_ledger_origin(const plr_ledger *ledger, uint8_t public_key[32]);

/* ---- append ----------------------------------------------------------------------------------- */

/* Appends one entry and makes it durable. index: its place in the log; may be NULL.
 * An entry that is not valid is refused (or logged, see log_invalid), with a status that says why:
 * MALFORMED, TRUNCATED, VERSION (its bytes); SIGNATURE; SEQUENCE (nonce not the next, epoch closed or expired);
 * NOT_FOUND (unknown account or model); EXISTS (already there: a receipt sent twice, an account, a model);
 * MISMATCH (units, profile, block range, tokens, author, state root); LIMIT (amounts).
 * Other errors: INVALID_STATE (read-only), IO, NO_SPACE, NO_MEMORY: nothing was appended, the call may be
 * repeated. CONSERVATION, CORRUPT, INTERNAL: fatal. Since 0.1. */
PLR_API plr_status plr_ledger_append(plr_ledger *ledger, const void *entry, size_t len, uint64_t *index,
                                     plr_error *err);

/* One entry of a batch. */
typedef struct plr_append_item {
  const void *entry; /* its bytes */
  size_t len;        /* how many */
  uint64_t index;    /* out: place in the log; UINT64_MAX when it was not logged */
  int32_t status;    /* out: as plr_ledger_append would return */
  uint32_t reserved; /* 0 */
} plr_append_item;

/* Appends entries in order, in one transaction: thousands at once cost one flush to disk. Signatures are
 * verified on the context's threads. OK: the batch is durable, and each item has its own status. A failure means
 * that no entry of the batch was appended, and the statuses say nothing. Errors: as above. Since 0.1. */
PLR_API plr_status plr_ledger_append_many(plr_ledger *ledger, plr_append_item *items, size_t count,
                                          plr_error *err);

/* Closes the open epoch: builds, signs and appends EpochClose. Cost: proportional to the state. index may be
 * NULL. Errors: INVALID_STATE (read-only), and those of plr_ledger_append. Since 0.1. */
PLR_API plr_status plr_ledger_close_epoch(plr_ledger *ledger, uint64_t *index, plr_error *err);

/* ---- entries ---------------------------------------------------------------------------------- */

/* What every entry says of its author. */
typedef struct plr_entry_options {
  uint32_t struct_size;
  uint32_t reserved;
  const plr_identity *author; /* signs */
  const char *origin;         /* of the ledger it is for: an entry is valid in that one only */
  uint64_t nonce;             /* 1 for the author's first entry, then strictly + 1; plr_ledger_next_nonce */
  uint64_t valid_to_epoch;    /* refused once a later epoch is open; default PLR_NO_EXPIRY */
  const plr_hash *account;    /* whose entry it is; NULL (default): the account of the author's key, which is right
                                 until that is rotated */
} plr_entry_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_entry_options) as compiled. Since 0.1. */
PLR_API void plr_entry_options_init(plr_entry_options *options, uint32_t struct_size);

/* Each writes one signed entry to buf and its length to *len (needed length when BUFFER_TOO_SMALL; PLR_ENTRY_MAX
 * is always enough). Pure: no ledger is asked. ctx lends memory for the call. Errors: INVALID_ARGUMENT,
 * UNSUPPORTED, BUFFER_TOO_SMALL, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_entry_account_open(plr_context *ctx, const plr_entry_options *options, void *buf,
                                          size_t cap, size_t *len, plr_error *err);

/* A model that this one is built on. This struct does not grow. */
typedef struct plr_parent {
  plr_hash model; /* registered before */
  uint32_t bps;   /* of this model's revenue, 1/10000: goes to the parent for ever */
  uint32_t reserved;
} plr_parent;

/* The author becomes the model's designer. Mint: the first halving_units units yield
 * halving_units * rate / rate_divisor shares, the next as many half of that, and so on; all shares there can ever
 * be must stay below 2^63. */
typedef struct plr_model_terms {
  uint32_t struct_size;
  uint32_t designer_bps, data_bps; /* parts of the mint, 1/10000; together at most 10000; default 0 */
  uint32_t vest_epochs;            /* shares vest evenly over so many epochs, at most 1024; default 0: at once */
  uint32_t vest_cliff;             /* nothing is vested before so many epochs; default 0 */
  uint32_t microbatch_tokens;      /* most tokens a micro-batch can hold (rows times length); required */
  uint32_t block_count, reserved;  /* 1 to 4096 */
  plr_hash model, profile;         /* hash of the manifest, and of the numeric profile work is done in */
  uint8_t data_account[32];        /* gets data_bps; all zero when that is 0 */
  plr_units halving_units;         /* the mint, see above */
  uint64_t rate, rate_divisor;     /* the same */
  const uint64_t *costs; /* block_count: units per token of forward and backward of each block; none is 0 */
  const plr_parent *parents; /* parent_count of them, their bps at most 5000 together; lineages are at most 8 deep */
  uint32_t parent_count;     /* at most 4; default 0 */
  uint32_t serving_bps;      /* part of deposits that pays those who serve, as InferenceReceipts say; default 0 */
  uint32_t milestone_epochs; /* at most 1024. The designer's shares wait for a Milestone, and are burned when none
                                comes for so many epochs; default 0: they do not wait */
  uint32_t reserved2;        /* 0 */
} plr_model_terms;

/* Fills *terms with the defaults. struct_size: sizeof(plr_model_terms) as compiled. Since 0.1. */
PLR_API void plr_model_terms_init(plr_model_terms *terms, uint32_t struct_size);

/* Registers a model under these terms; as the other entries. Since 0.1. */
PLR_API plr_status plr_entry_model_register(plr_context *ctx, const plr_entry_options *options,
                                            const plr_model_terms *terms, void *buf, size_t cap,
                                            size_t *len, plr_error *err);

/* Revenue of a model. amount: smallest units of the currency, > 0. Since 0.1. */
PLR_API plr_status plr_entry_revenue_deposit(plr_context *ctx, const plr_entry_options *options,
                                             const plr_hash *model, uint64_t amount, void *buf,
                                             size_t cap, size_t *len, plr_error *err);
/* Takes what is owed. amount: at most what is payable to the author; 0: all of it. The host pays it out. Since 0.1. */
PLR_API plr_status plr_entry_claim(plr_context *ctx, const plr_entry_options *options,
                                   const plr_hash *model, uint64_t amount, void *buf, size_t cap,
                                   size_t *len, plr_error *err);
/* The same, to be paid on a chain at `address` (not all zero): see pluralis/settlement.h. Since 0.1. */
PLR_API plr_status plr_entry_claim_to(plr_context *ctx, const plr_entry_options *options,
                                      const plr_hash *model, uint64_t amount, const uint8_t address[20],
                                      void *buf, size_t cap, size_t *len, plr_error *err);

/* ---- state ------------------------------------------------------------------------------------ */

/* The whole ledger in numbers. Set struct_size before the call that fills it. */
typedef struct plr_ledger_summary {
  uint32_t struct_size, reserved;
  uint64_t entries;  /* in the log */
  uint64_t rejected; /* of these, logged without effect */
  uint64_t epoch;    /* the open one: number of EpochClose entries */
  uint64_t accounts, models; /* how many there are */
  uint64_t receipts;     /* accepted, the open epoch's included */
  plr_units units;       /* in them */
  plr_units minted;      /* shares of all models */
  uint64_t deposited, paid;  /* smallest units of the currency */
  plr_hash root;         /* of the log */
  plr_hash state_root;   /* in the last EpochClose; zero before the first */
  plr_units burned;      /* shares of all models that were slashed, or given up */
} plr_ledger_summary;

/* Errors: INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_ledger_summarize(const plr_ledger *ledger, plr_ledger_summary *out);

/* Nonce of the next entry of an account; 1 when the account is unknown. Since 0.1. */
PLR_API uint64_t plr_ledger_next_nonce(const plr_ledger *ledger, const plr_hash *account);

/* One model in numbers. Set struct_size before the call that fills it. */
typedef struct plr_model_totals {
  uint32_t struct_size;
  uint32_t block_count;  /* blocks of the model */
  plr_hash designer;     /* account */
  uint64_t supply;       /* shares */
  uint64_t holders;      /* accounts that have a part in it */
  plr_units units;       /* verified, closed epochs */
  plr_units epoch_units; /* verified in the open epoch */
  uint64_t receipts;     /* closed epochs */
  uint64_t deposited, paid; /* smallest units of the currency */
  uint64_t held;         /* deposits waiting for the first share */
  uint64_t minted, burned, provisional; /* shares: supply = minted - burned - provisional */
  uint64_t royalty_in, royalty_out;     /* from forks, to parents; of an epoch with its EpochClose */
  uint64_t escrow, served_paid;         /* of serving_bps of the deposits: not yet, and already paid to servers */
  plr_units served;      /* units of InferenceReceipts */
  plr_units data_tokens; /* tokens fed, closed epochs */
  uint32_t parent_count, depth; /* see plr_ledger_parents; depth: of the lineage, 0 without parents */
  uint32_t milestones, datasets; /* how many */
} plr_model_totals;

/* Errors: NOT_FOUND, INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_ledger_model(const plr_ledger *ledger, const plr_hash *model, plr_model_totals *out);

/* What a model is built on, ascending by hash. *count: at most 4. Errors: NOT_FOUND, INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_ledger_parents(const plr_ledger *ledger, const plr_hash *model, plr_parent out[4],
                                      uint32_t *count);

/* What one account has in one model. This struct does not grow. */
typedef struct plr_balance {
  plr_hash account;        /* id */
  uint64_t shares, vested; /* vested <= shares */
  uint64_t payable, paid;  /* smallest units of the currency; payable is what may be claimed now */
  plr_units units;         /* verified, the open epoch's included */
  uint64_t receipts;       /* the same */
  uint64_t data_tokens;    /* fed as upstream of block 0; the same */
} plr_balance;

/* All zero for an account that has nothing in the model. Errors: NOT_FOUND (model). Since 0.1. */
PLR_API plr_status plr_ledger_balance(const plr_ledger *ledger, const plr_hash *account,
                                      const plr_hash *model, plr_balance *out);

/* Holders of a model in order of account id: up to `cap` of them whose id is above *after (NULL: from the
 * first). An account is listed from the first EpochClose that counts work or mints shares for it. *count < cap
 * at the end. Errors: NOT_FOUND (model), INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_ledger_holders(const plr_ledger *ledger, const plr_hash *model,
                                      const plr_hash *after, plr_balance *out, size_t cap,
                                      size_t *count);

/* Bytes of an entry. *len: its length, also when BUFFER_TOO_SMALL. Errors: NOT_FOUND, IO, CORRUPT, NO_MEMORY.
 * Since 0.1. */
PLR_API plr_status plr_ledger_entry(plr_ledger *ledger, uint64_t index, void *buf, size_t cap,
                                    size_t *len, plr_error *err);

/* ---- log: checkpoint and proofs --------------------------------------------------------------- */

/* Signs the log's size and root as a C2SP checkpoint (a few hundred bytes of UTF-8, not NUL-terminated) and
 * records it before releasing it. *len: its length, also when BUFFER_TOO_SMALL (then nothing is signed).
 * Errors: INVALID_STATE (read-only), IO, NO_SPACE, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_ledger_checkpoint(plr_ledger *ledger, char *buf, size_t cap, size_t *len,
                                         plr_error *err);

/* Proof that entry `index` is in the tree of `size` entries (RFC 6962 2.1.1), and that the tree of old_size
 * entries is the beginning of the tree of new_size (2.1.2). Hash order as in the RFC. O(log size) reads.
 * Errors: INVALID_ARGUMENT (index >= size, sizes out of order or over the log's), IO, CORRUPT. Since 0.1. */
PLR_API plr_status plr_ledger_prove_inclusion(plr_ledger *ledger, uint64_t index, uint64_t size,
                                              plr_hash proof[PLR_PROOF_MAX], uint32_t *count,
                                              plr_error *err);
PLR_API plr_status plr_ledger_prove_consistency(plr_ledger *ledger, uint64_t old_size,
                                                uint64_t new_size, plr_hash proof[PLR_PROOF_MAX + 1],
                                                uint32_t *count, plr_error *err);

/* Pure verifiers, for whoever holds a checkpoint and no ledger. Threads: any. */

/* SHA-256(00 ‖ entry). Since 0.1. */
PLR_API void plr_log_leaf_hash(const void *entry, size_t len, plr_hash *out);

/* RFC 9162 2.1.3.2 and 2.1.4.2. Errors: PROOF, INVALID_ARGUMENT. Since 0.1. */
PLR_API plr_status plr_log_verify_inclusion(const plr_hash *leaf, uint64_t index, uint64_t size,
                                            const plr_hash *proof, uint32_t count,
                                            const plr_hash *root);
PLR_API plr_status plr_log_verify_consistency(uint64_t old_size, const plr_hash *old_root,
                                              uint64_t new_size, const plr_hash *new_root,
                                              const plr_hash *proof, uint32_t count);

/* Reads a checkpoint: form, origin, and the signature of (origin, public_key); signatures of others are ignored.
 * size and root may be NULL. Errors: MALFORMED, SIGNATURE (none by that name and key, or a wrong one), MISMATCH (it
 * is signed by them, and names another origin in its text).
 * Since 0.1. */
PLR_API plr_status plr_log_verify_checkpoint(const char *note, size_t len, const char *origin,
                                             const uint8_t public_key[32], uint64_t *size,
                                             plr_hash *root, plr_error *err);

/* The verifier key that other tools are configured with: name+hash+key, NUL-terminated. *len without the NUL.
 * Errors: INVALID_ARGUMENT, BUFFER_TOO_SMALL (*len + 1 is needed). Since 0.1. */
PLR_API plr_status plr_log_vkey(const char *origin, const uint8_t public_key[32], char *buf, size_t cap,
                                size_t *len);

/* ---- export and verify ------------------------------------------------------------------------ */

/* Writes checkpoint and entries as one file in which every byte is covered by the signature. Signs a checkpoint
 * of the present size; a read-only ledger uses the recorded one and needs it to be of that size. Takes the sink:
 * commits it on success, aborts it on failure. Errors: INVALID_STATE (no such checkpoint), IO, NO_SPACE, CORRUPT,
 * NO_MEMORY, those of the sink. Since 0.1. */
PLR_API plr_status plr_ledger_export(plr_ledger *ledger, plr_sink *sink, plr_error *err);

/* What an export is checked against. */
typedef struct plr_verify_options {
  uint32_t struct_size;
  uint32_t skip_signatures;  /* default 0. 1: signatures of entries are believed; the checkpoint's never is */
  const char *origin;        /* required */
  const uint8_t *public_key; /* required: 32 bytes, the sequencer's, learned from elsewhere than the file */
  void (*progress)(void *user, uint64_t entries_done, uint64_t entries_total); /* may be NULL */
  void *user;
} plr_verify_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_verify_options) as compiled. Since 0.1. */
PLR_API void plr_verify_options_init(plr_verify_options *options, uint32_t struct_size);

/* Reads an export and believes none of it: checks the checkpoint's signature, replays every entry from nothing
 * (form, signatures, nonces, units, amounts), compares the state root in every EpochClose and the Merkle root in
 * the checkpoint, and adds up every holder of every model. Entries that were logged without effect are counted,
 * not an error. Memory: proportional to the state, not to the log. Does not close the source. summary may be
 * NULL. Threads: any; uses the context's threads.
 * Errors: MALFORMED, TRUNCATED, VERSION (the file), MISMATCH (origin, key, Genesis or a state root), SIGNATURE
 * (checkpoint), CHECKSUM (the entries are not those that were signed), CONSERVATION, IO, NO_MEMORY; err says
 * what, and at which byte. Since 0.1. */
PLR_API plr_status plr_ledger_verify(plr_context *ctx, const plr_source *source,
                                     const plr_verify_options *options, plr_ledger_summary *summary,
                                     plr_error *err);

#ifdef __cplusplus
}
#endif

#endif
