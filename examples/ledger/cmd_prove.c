#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define PROOF_MOST 131072

/* The last entry of an account: what it may want to show. */
static int last_of(struct cli *c, const plr_hash *account, uint64_t entries, uint64_t *index) {
  static uint8_t entry[PLR_ENTRY_MAX];
  size_t len;
  for (uint64_t i = entries; i-- > 0;) {
    plr_status st = plr_ledger_entry(c->ledger, i, entry, sizeof entry, &len, &c->err);
    if (st != PLR_OK) return cli_failed(c, "entry", st);
    if (len > 40 && memcmp(entry + 8, account->bytes, 32) == 0) {
      *index = i;
      return 0;
    }
  }
  return cli_fail(c, "the account has no entry in the log");
}

static int run(struct cli *c) {
  static uint8_t entry[PLR_ENTRY_MAX];
  static char proof[PROOF_MOST];
  char path[1024];
  size_t entry_len, proof_len;
  plr_ledger_summary s = {.struct_size = sizeof s};
  plr_hash account;
  if (!c->o.out) return cli_fail(c, "--out is needed: FILE.tlog-proof and FILE.entry are written");
  if ((c->o.index == UINT64_MAX) == !c->o.account)
    return cli_fail(c, "one of --index and --account is needed");
  CLI_TRY(cli_open(c, !c->o.db));
  if (!c->o.db) CLI_TRY(cli_checkpoint(c));
  plr_ledger_summarize(c->ledger, &s);
  if (c->o.account) {
    CLI_TRY(cli_account(c, c->o.account, &account));
    CLI_TRY(last_of(c, &account, s.entries, &c->o.index));
  }
  plr_status st = plr_ledger_proof(c->ledger, c->o.index, proof, sizeof proof, &proof_len, &c->err);
  if (st == PLR_OK)
    st = plr_ledger_entry(c->ledger, c->o.index, entry, sizeof entry, &entry_len, &c->err);
  if (st != PLR_OK) return cli_failed(c, "proof", st);
  snprintf(path, sizeof path, "%.1000s.tlog-proof", c->o.out);
  CLI_TRY(cli_write_file(c, path, proof, proof_len));
  snprintf(path, sizeof path, "%.1000s.entry", c->o.out);
  CLI_TRY(cli_write_file(c, path, entry, entry_len));
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_number(&j, "index", c->o.index), json_number(&j, "entries", s.entries);
    json_number(&j, "proof_bytes", proof_len), json_number(&j, "entry_bytes", entry_len);
    json_close(&j, '}');
    json_print(&j);
  } else {
    printf("%.1000s.tlog-proof and .entry prove entry %llu of %llu\n", c->o.out,
           (unsigned long long)c->o.index, (unsigned long long)s.entries);
  }
  return 0;
}

static const struct arg_spec specs[] = {
    OPT_DIR,
    OPT_DB,
    {"index", "N", ARG_COUNT, AT(index), 0, 1e18, "entry to prove"},
    {"account", "ACCOUNT", ARG_TEXT, AT(account), 0, 0,
     "the last entry of this account (a key's name, or 64 digits)"},
    {"out", "FILE", ARG_TEXT, AT(out), 0, 0, "FILE.tlog-proof and FILE.entry are written"},
    OPT_JSON,
    OPT_HELP,
};

const struct command command_prove = {"prove",
                                      "a file that proves an entry to anyone who has the log's key",
                                      "  The proof is a c2sp.org/tlog-proof@v1 with the checkpoint "
                                      "and the signatures of its witnesses: `verify --proof`\n"
                                      "  checks it without the log and without a network. From a "
                                      "copy (--db) the recorded checkpoint is used.\n",
                                      COMMAND_SPECS(specs), run};
