#include <stdio.h>
#include <string.h>

#include "cli.h"

static int run(struct cli *c) {
  uint64_t size = 0;
  plr_remote_options remote;
  const char *to = c->o.to;
  if (!to) return cli_fail(c, "--to is needed: a folder, or an http(s) URL that takes PUT");
  CLI_TRY(cli_open(c, 1));
  /* A checkpoint that witnesses have signed stays, while nothing was added. */
  CLI_TRY(cli_checkpoint(c));
  cli_remote(c, &remote);
  int url = !strncmp(to, "http://", 7) || !strncmp(to, "https://", 8);
  plr_status st = url ? plr_ledger_publish_url(c->ledger, to, &remote, &size, &c->err)
                      : plr_ledger_publish_path(c->ledger, to, &size, &c->err);
  if (st != PLR_OK) return cli_failed(c, "publish", st);
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_text(&j, "to", to), json_number(&j, "entries", size);
    json_close(&j, '}');
    json_print(&j);
  } else {
    printf("%llu entries are published at %s\n", (unsigned long long)size, to);
  }
  return 0;
}

static const struct arg_spec specs[] = {
    OPT_DIR,
    {"to", "TARGET", ARG_TEXT, AT(to), 0, 0,
     "a folder for any web server, or an http(s) URL that takes PUT"},
    OPTS_REMOTE,
    OPT_JSON,
    OPT_HELP,
};

const struct command command_publish = {"publish",
                                        "sign a checkpoint and publish the log as static files",
                                        "  Only files that an earlier publication did not put are "
                                        "put, tiles and entries first, the checkpoint last.\n",
                                        COMMAND_SPECS(specs), run};
