/* The ledger of a job: who the accounts are, what is appended when, and the proof at the end. */
#ifndef TRAIN_BOOKS_H
#define TRAIN_BOOKS_H

#include <pluralis/ledger.h>

#include "plan.h"
#include "report.h"

#define BOOKS_CURRENCY     "XTS" /* ISO 4217: for tests */
#define BOOKS_DECIMALS     2u
#define BOOKS_DESIGNER_BPS 1000u
#define BOOKS_DATA_BPS     500u

struct books {
  plr_context *ctx;
  plr_ledger *ledger;
  plr_identity *sequencer, *feeder, *designer, *depositor;
  char dir[1000], origin[80];
  plr_append_item *queue; /* entries that wait for the next flush */
  size_t queue_count, queue_cap;
  uint64_t refused;  /* receipts the ledger would not take */
  char refusal[256]; /* why, the last time */
};

/* Opens DIR/ledger.db, or starts it; opens the parent's keys; opens their accounts. The
 * functions below return 0, or -1 with a message. */
int books_open(struct books *b, plr_context *ctx, const char *dir, char *message,
               size_t message_cap);
void books_close(struct books *b);

/* Registers the model unless it is. Its mint curve halves after the work of a whole run. */
int books_register(struct books *b, const struct plan *plan, char *message, size_t message_cap);

/* Keeps a copy of an entry until the next flush, which appends all of them in one transaction. A
 * receipt that the ledger has already is fine: a step is repeated after a resume. */
void books_queue(struct books *b, const void *entry, size_t len);
int books_flush(struct books *b, char *message, size_t message_cap);

/* Appends one entry now. EXISTS is fine. */
int books_append(struct books *b, const void *entry, size_t len, const char *what, char *message,
                 size_t cap);

/* 1 when nothing is left to settle: the deposit is there and paid out. */
int books_settled(const struct books *b, const plr_hash *model);

/* Closes the epoch (work becomes shares), then deposits revenue unless that was done. */
int books_close_epoch(struct books *b, char *message, size_t message_cap);
int books_deposit(struct books *b, const plr_hash *model, uint64_t amount, char *message,
                  size_t message_cap);

/* Claims of the parent's own accounts: designer and feeder. */
int books_claim_own(struct books *b, const plr_hash *model, char *message, size_t message_cap);

uint64_t books_epoch(const struct books *b);
uint64_t books_next_nonce(const struct books *b, const uint8_t public_key[32]);

/* Writes DIR/ledger.export and DIR/ledger.vkey, reads them back and verifies; fills in the
 * report. */
int books_prove(struct books *b, struct report_ledger *out, char *message, size_t message_cap);

/* Verifies DIR/ledger.export against a verifier key; vkey NULL: DIR/ledger.vkey. *origin has
 * room for 129 bytes. */
int books_verify(plr_context *ctx, const char *dir, const char *vkey, char *origin,
                 plr_ledger_summary *summary, char *message, size_t message_cap);

/* Fills in who owns the model. keys: public keys of the stages in order, hex. */
void books_owners(const struct books *b, const struct plan *plan, const char (*keys)[65],
                  uint32_t stages, struct report_model *out);

#endif
