#include "books.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "keys.h"
#include "strbuf.h"

#define SHARES_PER_RUN 1e7 /* minted by the work of one whole run, about */
#define MAX_ENTRY      PLR_ENTRY_MAX

static int failed(char *message, size_t cap, const char *what, plr_status status,
                  const plr_error *err) {
  snprintf(message, cap, "ledger: %s: %s%s%s (%s)", what, err->where, err->where[0] ? ": " : "",
           err->message[0] ? err->message : plr_status_message(status), plr_status_name(status));
  return -1;
}

static void account_of(const plr_identity *identity, plr_hash *account) {
  uint8_t key[32];
  plr_identity_public_key(identity, key);
  plr_account_id(key, account);
}

/* ---- open
 * --------------------------------------------------------------------------------------- */

static int open_account(struct books *b, const plr_identity *who, char *message, size_t cap) {
  plr_entry_options options;
  plr_error err;
  uint8_t entry[1024];
  size_t len;
  plr_hash account;
  account_of(who, &account);
  if (plr_ledger_next_nonce(b->ledger, &account) > 1) return 0;
  plr_error_init(&err, sizeof err);
  plr_entry_options_init(&options, sizeof options);
  options.author = who;
  options.origin = b->origin;
  options.nonce = 1;
  plr_status status = plr_entry_account_open(b->ctx, &options, entry, sizeof entry, &len, &err);
  if (status != PLR_OK) return failed(message, cap, "AccountOpen", status, &err);
  return books_append(b, entry, len, "AccountOpen", message, cap);
}

static int open_keys(struct books *b, char *message, size_t cap) {
  char dir[1100];
  snprintf(dir, sizeof dir, "%s/keys", b->dir);
  if (keys_open(b->ctx, dir, "sequencer", &b->sequencer, message, cap) != 0 ||
      keys_open(b->ctx, dir, "feeder", &b->feeder, message, cap) != 0 ||
      keys_open(b->ctx, dir, "designer", &b->designer, message, cap) != 0 ||
      keys_open(b->ctx, dir, "depositor", &b->depositor, message, cap) != 0)
    return -1;
  /* The log's name must be nobody else's: it carries the sequencer's key. */
  uint8_t key[32];
  char hex[17];
  plr_identity_public_key(b->sequencer, key);
  snprintf(b->origin, sizeof b->origin, "pluralis-train/%s", format_hex(hex, sizeof hex, key, 8));
  return 0;
}

int books_open(struct books *b, plr_context *ctx, const char *dir, char *message,
               size_t message_cap) {
  plr_ledger_options options;
  plr_error err;
  char path[1100];
  memset(b, 0, sizeof *b);
  b->ctx = ctx;
  snprintf(b->dir, sizeof b->dir, "%s", dir);
  if (open_keys(b, message, message_cap) != 0) return -1;
  snprintf(path, sizeof path, "%s/ledger.db", dir);
  plr_error_init(&err, sizeof err);
  plr_ledger_options_init(&options, sizeof options);
  options.path = path;
  options.origin = b->origin;
  options.sequencer = b->sequencer;
  options.currency = BOOKS_CURRENCY;
  options.decimals = BOOKS_DECIMALS;
  plr_hash depositor;
  account_of(b->depositor, &depositor);
  memcpy(options.treasurer, depositor.bytes, sizeof options.treasurer);
  plr_status status = plr_ledger_open(ctx, &options, &b->ledger, &err);
  if (status != PLR_OK) return failed(message, message_cap, path, status, &err);
  const plr_identity *own[3] = {b->feeder, b->designer, b->depositor};
  for (int i = 0; i < 3; i++)
    if (open_account(b, own[i], message, message_cap) != 0) return -1;
  return 0;
}

void books_close(struct books *b) {
  for (size_t i = 0; i < b->queue_count; i++) free((void *)(uintptr_t)b->queue[i].entry);
  free(b->queue);
  plr_ledger_destroy(b->ledger);
  plr_identity_destroy(b->sequencer);
  plr_identity_destroy(b->feeder);
  plr_identity_destroy(b->designer);
  plr_identity_destroy(b->depositor);
  memset(b, 0, sizeof *b);
}

/* ---- append
 * ------------------------------------------------------------------------------------- */

int books_append(struct books *b, const void *entry, size_t len, const char *what, char *message,
                 size_t cap) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status status = plr_ledger_append(b->ledger, entry, len, NULL, &err);
  return status == PLR_OK || status == PLR_ERR_EXISTS ? 0
                                                      : failed(message, cap, what, status, &err);
}

void books_queue(struct books *b, const void *entry, size_t len) {
  if (b->queue_count == b->queue_cap) {
    b->queue_cap = b->queue_cap ? b->queue_cap * 2 : 64;
    b->queue = must_realloc(b->queue, b->queue_cap * sizeof *b->queue);
  }
  void *copy = must_alloc(len, 1);
  memcpy(copy, entry, len);
  b->queue[b->queue_count++] = (plr_append_item){.entry = copy, .len = len};
}

int books_flush(struct books *b, char *message, size_t message_cap) {
  plr_error err;
  if (!b->queue_count) return 0;
  plr_error_init(&err, sizeof err);
  plr_status status = plr_ledger_append_many(b->ledger, b->queue, b->queue_count, &err);
  if (status != PLR_OK) return failed(message, message_cap, "receipts", status, &err);
  for (size_t i = 0; i < b->queue_count; i++) {
    int32_t item = b->queue[i].status;
    if (item != PLR_OK && item != PLR_ERR_EXISTS) {
      b->refused++;
      snprintf(b->refusal, sizeof b->refusal, "%s", plr_status_message((plr_status)item));
    }
    free((void *)(uintptr_t)b->queue[i].entry);
  }
  b->queue_count = 0;
  return 0;
}

/* ---- the model's life
 * --------------------------------------------------------------------------- */

static void entry_options(const struct books *b, const plr_identity *author,
                          plr_entry_options *options) {
  plr_hash account;
  account_of(author, &account);
  plr_entry_options_init(options, sizeof *options);
  options->author = author;
  options->origin = b->origin;
  options->nonce = plr_ledger_next_nonce(b->ledger, &account);
}

int books_register(struct books *b, const struct plan *plan, char *message, size_t message_cap) {
  plr_model_totals totals = {.struct_size = sizeof totals};
  if (plr_ledger_model(b->ledger, &plan->hash, &totals) == PLR_OK) return 0;
  const plr_model_info *info = &plan->info;
  uint64_t *costs = must_alloc(info->blocks, sizeof *costs), per_token = 0;
  for (uint32_t i = 0; i < info->blocks; i++)
    per_token += costs[i] = plr_model_block_cost(plan->model, i);
  uint64_t micro_batch = (uint64_t)info->micro_batch * info->seq_len;
  double run = (double)per_token * (double)micro_batch * info->micro_batches * info->steps;
  plr_model_terms terms;
  plr_hash data_account;
  plr_model_terms_init(&terms, sizeof terms);
  terms.designer_bps = BOOKS_DESIGNER_BPS;
  terms.data_bps = BOOKS_DATA_BPS;
  account_of(b->feeder, &data_account);
  memcpy(terms.data_account, data_account.bytes, sizeof terms.data_account);
  terms.microbatch_tokens = (uint32_t)micro_batch;
  terms.block_count = info->blocks;
  terms.model = plan->hash;
  plr_profile_hash(&terms.profile);
  /* Halved after one run's work: who comes later, with less at risk, earns less for the same. */
  terms.halving_units = (plr_units){.lo = run < 9e18 ? (uint64_t)run : (uint64_t)9e18};
  terms.rate = 1;
  terms.rate_divisor = run > SHARES_PER_RUN ? (uint64_t)(run / SHARES_PER_RUN) : 1;
  terms.costs = costs;
  plr_entry_options options;
  plr_error err;
  uint8_t *entry = must_alloc(MAX_ENTRY, 1);
  size_t len = 0;
  plr_error_init(&err, sizeof err);
  entry_options(b, b->designer, &options);
  plr_status status =
      plr_entry_model_register(b->ctx, &options, &terms, entry, MAX_ENTRY, &len, &err);
  int result = status == PLR_OK ? books_append(b, entry, len, "ModelRegister", message, message_cap)
                                : failed(message, message_cap, "ModelRegister", status, &err);
  free(entry);
  free(costs);
  return result;
}

int books_settled(const struct books *b, const plr_hash *model) {
  plr_model_totals totals = {.struct_size = sizeof totals};
  plr_balance holders[REPORT_MAX_OWNERS];
  size_t count = 0;
  if (plr_ledger_model(b->ledger, model, &totals) != PLR_OK || !totals.deposited) return 0;
  if (plr_ledger_holders(b->ledger, model, NULL, holders, REPORT_MAX_OWNERS, &count) != PLR_OK)
    return 0;
  for (size_t i = 0; i < count; i++)
    if (holders[i].payable) return 0;
  return 1;
}

int books_close_epoch(struct books *b, char *message, size_t message_cap) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_status status = plr_ledger_close_epoch(b->ledger, NULL, &err);
  return status == PLR_OK ? 0 : failed(message, message_cap, "EpochClose", status, &err);
}

int books_deposit(struct books *b, const plr_hash *model, uint64_t amount, char *message,
                  size_t message_cap) {
  plr_model_totals totals = {.struct_size = sizeof totals};
  if (plr_ledger_model(b->ledger, model, &totals) == PLR_OK && totals.deposited) return 0;
  plr_entry_options options;
  plr_error err;
  uint8_t entry[1024];
  size_t len = 0;
  plr_error_init(&err, sizeof err);
  entry_options(b, b->depositor, &options);
  plr_status status =
      plr_entry_revenue_deposit(b->ctx, &options, model, amount, entry, sizeof entry, &len, &err);
  if (status != PLR_OK) return failed(message, message_cap, "RevenueDeposit", status, &err);
  return books_append(b, entry, len, "RevenueDeposit", message, message_cap);
}

static int claim(struct books *b, const plr_identity *who, const plr_hash *model, char *message,
                 size_t cap) {
  plr_hash account;
  plr_balance balance;
  plr_entry_options options;
  plr_error err;
  uint8_t entry[1024];
  size_t len = 0;
  account_of(who, &account);
  if (plr_ledger_balance(b->ledger, &account, model, &balance) != PLR_OK || !balance.payable)
    return 0;
  plr_error_init(&err, sizeof err);
  entry_options(b, who, &options);
  plr_status status = plr_entry_claim(b->ctx, &options, model, 0, entry, sizeof entry, &len, &err);
  if (status != PLR_OK) return failed(message, cap, "Claim", status, &err);
  return books_append(b, entry, len, "Claim", message, cap);
}

int books_claim_own(struct books *b, const plr_hash *model, char *message, size_t message_cap) {
  if (claim(b, b->designer, model, message, message_cap) != 0) return -1;
  return claim(b, b->feeder, model, message, message_cap);
}

uint64_t books_epoch(const struct books *b) {
  plr_ledger_summary summary = {.struct_size = sizeof summary};
  plr_ledger_summarize(b->ledger, &summary);
  return summary.epoch;
}

uint64_t books_next_nonce(const struct books *b, const uint8_t public_key[32]) {
  plr_hash account;
  plr_account_id(public_key, &account);
  return plr_ledger_next_nonce(b->ledger, &account);
}
