/* Inside the ledger: the state, its records, and the rules that change it. Comes with ledger_int.h. */
#ifndef PLR_LEDGER_STATE_INT_H
#define PLR_LEDGER_STATE_INT_H

/* ---- state records (state.c); FORMAT.md gives the bytes ---------------------------------------- */

typedef struct plr__key {
  uint8_t bytes[104];
  size_t len;
} plr__key;

plr__key plr__key_of(char kind, const uint8_t *model,
                     const uint8_t *account); /* either may be NULL */
plr__key plr__key_epoch(char kind, uint64_t epoch, const uint8_t *account); /* account may be NULL */
void plr__key_add(plr__key *k, const void *bytes, size_t len);
void plr__key_add32(plr__key *k, uint32_t v);

/* Records of fixed fields. */
typedef struct plr__globals { /* E */
  uint64_t epoch, oldest, accounts, models, receipts;
  plr__u128 units, minted, burned;
  uint64_t deposited, paid;
} plr__globals;

typedef struct plr__account { /* A */
  uint8_t key[32];
  uint64_t nonce, opened;
  uint8_t previous[32], recovery[32];
  uint64_t pending; /* epoch in which a recovery key has its effect; 0: none */
} plr__account;

typedef struct plr__work { /* O, W: of one model, or of one account in it, in the open epoch */
  plr__u128 units, data;
  uint64_t receipts;
} plr__work;

/* T: shares and money of one model; `fractions` and `unsettled` in 2^-64 of the currency's unit. */
typedef struct plr__totals {
  plr__u128 work, data, served;
  uint64_t minted, burned, provisional, designer_minted, data_minted, receipts, holders;
  uint32_t datasets, datasets_bps, milestones, confirmed;
  uint64_t milestone_epoch;
  plr__u128 acc; /* revenue per share since the beginning, scaled by 2^64 */
  uint64_t remainder, held, deposited, gross, royalty_in, royalty_out, pulled, escrow, served_paid;
  uint64_t credited, paid;
  plr__u128 fractions, unsettled; /* sums over holders of fraction, and of shares * (acc - snap) */
} plr__totals;

typedef struct plr__dataset { /* B */
  uint8_t account[32];
  uint32_t bps;
  uint64_t base, minted, registered, tokens;
} plr__dataset;

typedef struct plr__commitment { /* C */
  uint8_t commitment[32], secret[32];
  uint32_t revealed;
} plr__commitment;

typedef struct plr__faults { /* F */
  uint32_t count;
  uint64_t since;
  uint8_t reporter[32];
} plr__faults;

typedef struct plr__served { /* I */
  uint8_t server[32];
  uint32_t block_end;
} plr__served;

typedef struct plr__contest { /* J */
  uint8_t auditor[32], disputer[32], upstream[32], downstream[32];
  uint32_t rounds;
} plr__contest;

typedef struct plr__rotation { /* K */
  uint8_t key[32], recovery[32];
} plr__rotation;

typedef struct plr__settled { /* N */
  uint64_t epoch;
  plr_settlement_root body;
} plr__settled;

typedef struct plr__params { /* P: by number - 1 */
  uint64_t value[PLR_PARAMS];
} plr__params;

#define PLR__NOT_COUNTED UINT64_MAX
typedef enum plr__standing { PLR__ACCEPTED, PLR__PASSED, PLR__FAILED, PLR__WAITS } plr__standing;

typedef struct plr__receipt_record { /* R */
  uint8_t worker[32];
  uint64_t units, counted;
  uint32_t tokens, block_end, mb_count, standing;
} plr__receipt_record;

typedef struct plr__client { /* U */
  uint64_t deposited, spent;
} plr__client;

typedef struct plr__burn { /* V */
  uint8_t reporter[32];
  uint32_t bps;
} plr__burn;

typedef struct plr__exhibit { /* X */
  uint32_t kind;
  uint64_t epoch;
} plr__exhibit;

typedef struct plr__amount { /* L, Q, Y */
  uint64_t value;
} plr__amount;

extern const plr__fields plr__record_account, plr__record_dataset, plr__record_commitment, plr__record_faults,
    plr__record_served, plr__record_contest, plr__record_rotation, plr__record_settled,
    plr__record_receipt, plr__record_client, plr__record_burn, plr__record_exhibit,
    plr__record_amount, plr__record_globals, plr__record_totals, plr__record_work, plr__record_params;

typedef struct plr__tranche {
  uint64_t start, shares, vested, slashed;
} plr__tranche;

typedef struct plr__holding { /* H */
  uint64_t shares, matured, outgoing, credited, paid, fraction, receipts;
  plr__u128 snap, units, data;
  uint32_t tranche_count;
  plr__tranche tranches[PLR__MAX_VEST + 1];
} plr__holding;

typedef struct plr__model { /* M */
  uint8_t designer[32];
  uint64_t registered;
  uint32_t depth;
  plr_model_register terms;
} plr__model;

typedef struct plr__state {
  plr_context *ctx;
  plr__map map;
  plr_buffer scratch;
  plr_genesis genesis;
  uint8_t sequencer[32]; /* account id */
  uint32_t has_genesis;
  uint32_t trust_signatures; /* replay of what was verified before */
  uint32_t close_differs; /* an EpochClose carried other totals or another state root than ours */
  plr_hash state_root;    /* of the last EpochClose */
} plr__state;

void plr__state_init(plr__state *s, plr_context *ctx);
void plr__state_release(plr__state *s);
plr_status plr__state_refresh(plr__state *s); /* reads Genesis back from the map */

/* Records of fixed fields. get: NOT_FOUND when absent, CORRUPT when the record is not as we write it. find: zeros
 * when absent; *found may be NULL. */
plr_status plr__record_get(const plr__state *s, const plr__key *key, const plr__fields *t, void *out);
plr_status plr__record_find(const plr__state *s, const plr__key *key, const plr__fields *t, void *out,
                            size_t size, int *found);
plr_status plr__record_decode(const plr__fields *t, const uint8_t *value, size_t len, void *out);
plr_status plr__record_put(plr__state *s, const plr__key *key, const plr__fields *t, const void *in);
/* 1 when there is a record. */
int plr__record_has(const plr__state *s, const plr__key *key);
/* Key and value of the first record that begins with `prefix` and whose epoch, the 8 bytes behind the kind, is below
 * `end`, taken out of the state. NOT_FOUND: none. */
plr_status plr__take_due(plr__state *s, char kind, uint64_t end, plr__key *key, const plr__fields *t,
                         void *out);

/* The same for those used everywhere. */
plr_status plr__get_globals(const plr__state *s, plr__globals *out);
plr_status plr__get_account(const plr__state *s, const uint8_t id[32], plr__account *out);
plr_status plr__get_model(const plr__state *s, const uint8_t id[32], plr__model *out);
plr_status plr__get_totals(const plr__state *s, const uint8_t model[32], plr__totals *out);
plr_status plr__get_holding(const plr__state *s, const uint8_t model[32], const uint8_t account[32],
                            plr__holding *out);
plr_status plr__holding_decode(const uint8_t *value, size_t len, plr__holding *out);
plr_status plr__get_work(const plr__state *s, const plr__key *key,
                         plr__work *out); /* absent: zero */
plr_status plr__work_decode(const uint8_t *value, size_t len, plr__work *out);
plr_status plr__get_params(const plr__state *s, plr__params *out);
plr_status plr__put_globals(plr__state *s, const plr__globals *v);
plr_status plr__put_account(plr__state *s, const uint8_t id[32], const plr__account *v);
plr_status plr__put_model(plr__state *s, const plr_entry *e, uint64_t epoch, uint32_t depth);
plr_status plr__put_totals(plr__state *s, const uint8_t model[32], const plr__totals *v);
plr_status plr__put_holding(plr__state *s, const uint8_t model[32], const uint8_t account[32],
                            const plr__holding *v);
plr_status plr__put_work(plr__state *s, const plr__key *key, const plr__work *v);
/* Has the next EpochClose look at the model. */
plr_status plr__mark_model(plr__state *s, const uint8_t model[32]);

static inline uint64_t plr__supply(const plr__totals *t) {
  return t->minted - t->burned - t->provisional;
}

/* ---- arithmetic (mint.c, revenue.c) ------------------------------------------------------------ */

int plr__mint_valid(plr__u128 halving, uint64_t rate, uint64_t divisor);
/* F(work): shares minted for so much work since the beginning. */
uint64_t plr__mint_total(plr__u128 halving, uint64_t rate, uint64_t divisor, plr__u128 work);
/* floor(amount * bps / 10^4) */
uint64_t plr__bps(uint64_t amount, uint32_t bps);

typedef struct plr__split_part {
  uint8_t account[32];
  plr__u128 units, rest, data;
  uint64_t receipts, share;
} plr__split_part;

/* Splits `pool` by units, by largest remainder, ties to the lower account. Sets `share`; reorders the parts.
 * units: sum over the parts, > 0 and below 2^127. */
void plr__split_shares(plr__split_part *parts, size_t n, uint64_t pool, plr__u128 units);

/* Moves what is vested at `epoch` to matured. */
void plr__vest_sweep(plr__holding *h, uint64_t epoch, const plr_model_register *terms);
/* Adds shares that start to vest in epoch `start`. */
void plr__vest_add(plr__holding *h, uint64_t start, uint64_t shares, const plr_model_register *terms);
uint64_t plr__vested(const plr__holding *h, uint64_t epoch, const plr_model_register *terms);
/* Takes bps of what is not vested at the last sweep, the youngest first. Returns how many shares. */
uint64_t plr__vest_slash(plr__holding *h, uint32_t bps);

/* Part of all deposits that pays those who serve. */
uint64_t plr__serving_part(const plr_model_register *terms, uint64_t deposited);
/* The holders' part of so much more income is theirs, or held while there are no shares. */
void plr__revenue_income(const plr_model_register *terms, plr__totals *t, uint64_t amount);
void plr__revenue_release(plr__totals *t); /* distributes what was held, once there are shares */
void plr__revenue_settle(plr__totals *t, plr__holding *h);
uint64_t plr__revenue_payable(const plr__totals *t, const plr__holding *h);
/* What must hold of the totals after every entry. */
plr_status plr__revenue_check(const plr_model_register *terms, const plr__totals *t, plr_error *err);

/* ---- state machine (apply*.c) ------------------------------------------------------------------ */

/* Signatures of an entry, verified ahead of its turn: bit i of `checked` and `good` for signature i, under the key
 * in keys[i]. A key that is another one when the entry's turn comes is verified again. */
typedef struct plr__verdict {
  uint32_t checked, good, open; /* open: still to be verified, over `message` */
  uint8_t keys[3][32], message[PLR__SIGNING_BYTES];
} plr__verdict;

/* Finds what can be verified now; touches nothing, so that many may run at once. Signatures under keys that were
 * checked before are left open. */
void plr__verdict_prepare(const plr__state *s, const plr_entry *e, plr__verdict *out);

/* Applies one entry. A refusal (plr__is_refusal) leaves at most the author's nonce changed; any other failure
 * leaves nothing changed. Nothing is committed. verdict may be NULL. */
plr_status plr__state_apply(plr__state *s, const plr_entry *e, const plr__verdict *verdict,
                            plr_error *err);

typedef plr_status (*plr__rule)(plr__state *s, const plr_entry *e, plr_error *err);
/* What a numbered entry does once author, nonce, expiry and signatures are right: one file each. */
plr_status plr__apply_key_rotate(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_model_register(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_data_register(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_assign(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_commit(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_audit_result(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_dispute(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_evidence(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_milestone(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_deposit(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_transfer(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_claim(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_slash(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_settlement(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_param_change(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__apply_close(plr__state *s, const plr_entry *e, plr_error *err);

/* Of entries without a number: what can be refused before signatures are looked at, and what they do. */
plr_status plr__check_receipt(const plr__state *s, const plr_receipt *x, int refused,
                              plr_error *err); /* refused: for a Dispute, by neighbours */
plr_status plr__apply_receipt(plr__state *s, const plr_entry *e, plr_error *err);
plr_status plr__check_inference(const plr__state *s, const plr_inference_receipt *x, plr_error *err);
plr_status plr__apply_inference(plr__state *s, const plr_entry *e, plr_error *err);
/* Before the signatures of a KeyRotate are looked at. */
plr_status plr__check_key_rotate(const plr__state *s, const plr_entry *e, const plr__account *a,
                                 plr_error *err);

/* What several rules share. */
plr_status plr__rotate_due(plr__state *s, uint64_t epoch); /* recovery keys whose time has come */
plr_status plr__params_due(plr__state *s, uint64_t epoch);
plr_status plr__close_royalties(plr__state *s, plr_error *err);
/* Units that blocks [first, end) of so many tokens are worth; 0 when they do not fit in 64 bits. */
uint64_t plr__units_of(const plr_model_register *m, uint32_t first, uint32_t end, uint32_t tokens);
plr_status plr__need_model(const plr__state *s, const plr_hash *id, plr__model *m, plr__totals *t,
                           const char *where, plr_error *err); /* t may be NULL */
plr_status plr__need_sequencer(const plr__state *s, const plr_entry *e, const char *where, plr_error *err);
/* The account's holding in the model, made when it has none. */
plr_status plr__open_holding(const plr__state *s, const uint8_t model[32], const uint8_t account[32],
                             plr__totals *t, plr__holding *h);
plr__key plr__receipt_key(char kind, const plr_receipt *x);
plr_status plr__put_receipt(plr__state *s, const plr_receipt *x, uint64_t counted, plr__standing standing);
/* Adds a receipt's units to the open epoch, and takes them off again. */
plr_status plr__receipt_count(plr__state *s, const uint8_t model[32], uint64_t epoch, plr__receipt_record *r);
plr_status plr__receipt_uncount(plr__state *s, const uint8_t model[32], uint64_t epoch,
                                plr__receipt_record *r);
plr_status plr__fault(plr__state *s, const uint8_t model[32], const uint8_t account[32],
                      const uint8_t reporter[32]);
plr_status plr__fault_withdraw(plr__state *s, const uint8_t model[32], const uint8_t account[32]);

/* keccak(keccak(words)). */
void plr__settlement_leaf_hash(const uint8_t (*words)[32], uint32_t count, plr_hash *out);
/* From the hashes of the leaves, at the end of the array of 2 * leaves - 1, all others. */
void plr__settlement_tree(plr_hash *tree, size_t leaves);

/* What EpochClose of the open epoch must say, given the state; leaves the state as it was. */
plr_status plr__close_preview(plr__state *s, plr_epoch_close *out, plr_error *err);
/* What a SettlementRoot must say, given reward and scale in *out. NOT_FOUND: nothing was claimed to an address. */
plr_status plr__settlement_preview(plr__state *s, plr_settlement_root *out, plr_error *err);

/* Adds up every holder of every model against the totals, and the totals against the globals. */
plr_status plr__state_audit(const plr__state *s, plr_error *err);

#endif
