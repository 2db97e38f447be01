/* The demonstration: two models, the second built on the first, and where its revenue goes. */
#ifndef EXAMPLES_LEDGER_DEMO_H
#define EXAMPLES_LEDGER_DEMO_H

#include "cli.h"

#define DEMO_PEOPLE 8

enum {
  DEMO_ADA,
  DEMO_GRACE,
  DEMO_EMMY,
  DEMO_ALAN,
  DEMO_EDSGER,
  DEMO_BARBARA,
  DEMO_CLIENT,
  DEMO_FEED
};

struct person {
  const char *name, *role;
  plr_identity *id;
  plr_hash account;
};

/* What one person has in one model once everything is paid. */
struct part {
  uint64_t shares, paid;
};

struct demo {
  struct cli *c;
  struct person people[DEMO_PEOPLE];
  plr_hash model[2];          /* the first, and the fork of it */
  plr_model_totals totals[2]; /* at the end */
  struct part parts[2][DEMO_PEOPLE];
  uint64_t deposits[2],
      royalty; /* royalty: by the arithmetic of the rules, not the ledger's word */
  uint32_t royalty_bps, decimals;
  uint64_t claim_index, size; /* of the claim that is proven, and of the log */
  size_t proof_bytes;
  char proof[16384], vkey[256], state_root[65];
};

/* Everything that happened, as one self-contained page. */
void demo_report(const struct demo *d, struct strbuf *out);

#endif
