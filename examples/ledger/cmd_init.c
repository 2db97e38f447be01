#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static int run(struct cli *c) {
  char path[1024], vkey[256];
  uint8_t key[32];
  size_t len;
  plr_ledger_options o;
  if (!c->o.origin)
    return cli_fail(c, "--origin is needed: the name of the log, for instance example.org/job");
  if (c->o.db) return cli_fail(c, "--db is for reading; a new ledger is made in --dir");
  snprintf(path, sizeof path, "%s/ledger.db", c->o.dir);
  if (access(path, F_OK) == 0) return cli_fail(c, "%s: there is a ledger already", path);
  CLI_TRY(cli_key(c, "sequencer", &c->sequencer));
  plr_ledger_options_init(&o, sizeof o);
  o.path = path, o.origin = c->o.origin, o.sequencer = c->sequencer;
  if (c->o.currency) o.currency = c->o.currency;
  if (c->o.decimals != UINT64_MAX) o.decimals = (uint32_t)c->o.decimals;
  if (c->o.window) o.receipt_window = (uint32_t)c->o.window;
  plr_status st = plr_ledger_open(c->ctx, &o, &c->ledger, &c->err);
  if (st != PLR_OK) {
    remove(path); /* what a refused creation left */
    return cli_failed(c, path, st);
  }
  CLI_TRY(cli_checkpoint(c));
  plr_identity_public_key(c->sequencer, key);
  st = plr_log_vkey(c->o.origin, key, vkey, sizeof vkey - 1, &len);
  if (st != PLR_OK) return cli_failed(c, "vkey", st);
  vkey[len] = '\n';
  char file[1024];
  snprintf(file, sizeof file, "%s/log.vkey", c->o.dir);
  CLI_TRY(cli_write_file(c, file, vkey, len + 1));
  vkey[len] = 0;
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_text(&j, "ledger", path), json_text(&j, "origin", c->o.origin),
        json_text(&j, "vkey", vkey);
    json_close(&j, '}');
    json_print(&j);
  } else {
    printf("ledger        %s\norigin        %s\nverifier key  %s\n", path, c->o.origin, vkey);
  }
  return 0;
}

static const struct arg_spec specs[] = {
    OPT_DIR,
    OPT_DB,
    {"origin", "NAME", ARG_TEXT, AT(origin), 0, 0,
     "name of the log; nobody else's: example.org/job"},
    {"currency", "CODE", ARG_TEXT, AT(currency), 0, 0, "of revenue (default XTS)"},
    {"decimals", "N", ARG_COUNT, AT(decimals), 0, 18, "of the currency (default 2)"},
    {"window", "N", ARG_COUNT, AT(window), 1, 1024,
     "epochs whose receipts are accepted (default 1)"},
    OPT_JSON,
    OPT_HELP,
};

const struct command command_init = {
    "init", "make a ledger, its sequencer's key and its verifier key",
    "  Writes DIR/ledger.db with its Genesis entry, DIR/keys/sequencer.key and DIR/log.vkey. "
    "Whoever verifies the log\n"
    "  needs the verifier key, and must not get it from the log.\n",
    COMMAND_SPECS(specs), run};
