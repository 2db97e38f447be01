#include <stdio.h>
#include <string.h>

#include "cli.h"

static int run(struct cli *c) {
  struct vkey names[CLI_WITNESSES];
  plr_witness_key keys[CLI_WITNESSES];
  uint32_t count, good = 0;
  plr_remote_options remote;
  static char note[65536];
  size_t len;
  if (!c->o.url || !c->o.witness) return cli_fail(c, "--url and --witness are needed");
  CLI_TRY(cli_witnesses(c, names, keys, &count));
  if (count != 1) return cli_fail(c, "--witness: one key, that of the witness at --url");
  CLI_TRY(cli_open(c, 1));
  cli_remote(c, &remote);
  plr_status st = PLR_OK;
  if (c->o.mirror_of) st = plr_ledger_guard_url(c->ledger, c->o.mirror_of, &remote, &c->err);
  if (st != PLR_OK && st != PLR_ERR_NOT_FOUND) return cli_failed(c, "guard", st);
  CLI_TRY(cli_checkpoint(c));
  st = plr_ledger_cosign_url(c->ledger, &keys[0], c->o.url, &remote, &c->err);
  if (st != PLR_OK) return cli_failed(c, "witness", st);
  st = plr_ledger_resource(c->ledger, "checkpoint", note, sizeof note - 1, &len, &c->err);
  if (st == PLR_OK)
    st = plr_log_count_cosignatures(c->ctx, note, len, keys, 1, &good, NULL, &c->err);
  if (st != PLR_OK) return cli_failed(c, "checkpoint", st);
  note[len] = 0;
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_text(&j, "witness", keys[0].name), json_number(&j, "signed", good),
        json_text(&j, "checkpoint", note);
    json_close(&j, '}');
    json_print(&j);
  } else {
    printf("%s has signed:\n\n%s", keys[0].name, note);
  }
  return 0;
}

static const struct arg_spec specs[] = {
    OPT_DIR,
    {"url", "URL", ARG_TEXT, AT(url), 0, 0,
     "submission prefix of the witness: URL/add-checkpoint is asked"},
    {"monitor", "URL", ARG_TEXT, AT(mirror_of), 0, 0,
     "its monitoring prefix: refuse if it has seen more than we have"},
    {"witness", "KEY", ARG_TEXT, AT(witness), 0, 0, "its verifier key"},
    OPTS_REMOTE,
    OPT_JSON,
    OPT_HELP,
};

const struct command command_witness = {"witness",
                                        "have a witness sign that the log has only grown",
                                        "  Speaks C2SP tlog-witness. Ask before `publish`, so that "
                                        "the published checkpoint carries the signature.\n",
                                        COMMAND_SPECS(specs), run};
