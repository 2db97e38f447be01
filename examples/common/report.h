/* The report of a job: one self-contained HTML file with inline SVG, no script, no network. */
#ifndef EXAMPLES_REPORT_H
#define EXAMPLES_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "run_record.h"
#include "strbuf.h"

#define REPORT_MAX_OWNERS   (RUN_MAX_STAGES + 8)
#define REPORT_MAX_SETTINGS 32

struct report_owner {
  char name[32];    /* "stage 2" */
  char role[48];    /* "blocks 4 to 5" */
  char account[65]; /* hex of the account id */
  double units;     /* verified work, floating-point operations */
  uint64_t receipts, shares, paid, payable;
};

struct report_model {
  const struct run_record *run;
  char hash[65];
  struct report_owner owners[REPORT_MAX_OWNERS];
  size_t owner_count;
  uint64_t supply, deposited;
};

struct report_ledger {
  int verified;      /* 1: an export was replayed from nothing and agreed */
  char message[256]; /* otherwise: why not */
  char origin[129], vkey[256];
  uint64_t entries, epochs, accounts, receipts, deposited, paid;
  double units;
  char root[65], state_root[65];
  char checkpoint[1024]; /* the signed note */
  char currency[17];
  uint32_t decimals;
};

struct report_setting {
  char name[40], value[200];
};

struct report {
  char text_name[200];
  uint64_t text_len;
  double bigram;                 /* entropy, nats a byte */
  struct report_model models[2]; /* ours, and the baseline when it was run */
  size_t model_count;
  struct report_ledger ledger;
  struct report_setting settings[REPORT_MAX_SETTINGS];
  size_t setting_count;
};

void report_setting(struct report *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes path (through a temporary file). 0, or -1 with a message naming the file. */
int report_write(const struct report *r, const char *path, char *message, size_t message_cap);

/* Colours of a run, of a kind of span and of an owner: CSS values. */
const char *report_run_color(const struct run_record *run);

/* Figures, in report_figures.c. */
void report_loss_by_step(struct strbuf *out, const struct report *r);
void report_loss_by_bytes(struct strbuf *out, const struct report *r);
void report_rates(struct strbuf *out, const struct run_record *run);
void report_bits(struct strbuf *out, const struct run_record *run);
void report_link_bars(struct strbuf *out, const struct report *r);
void report_timelines(struct strbuf *out, const struct report *r);
void report_ownership_bar(struct strbuf *out, const struct report_model *model);
const char *report_owner_color(const struct report_model *model, size_t owner);

#endif
