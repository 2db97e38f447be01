#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "format.h"

static int run(struct cli *c) {
  plr_sink sink;
  struct stat s;
  char bytes[FORMAT_CAP];
  if (!c->o.out) return cli_fail(c, "--out FILE is needed");
  CLI_TRY(cli_open(c, !c->o.db));
  plr_status st = plr_sink_open_path(c->ctx, c->o.out, &sink, &c->err);
  if (st == PLR_OK) st = plr_ledger_export(c->ledger, &sink, &c->err);
  if (st != PLR_OK) return cli_failed(c, c->o.out, st);
  uint64_t size = stat(c->o.out, &s) == 0 ? (uint64_t)s.st_size : 0;
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_text(&j, "file", c->o.out), json_number(&j, "bytes", size);
    json_close(&j, '}');
    json_print(&j);
  } else {
    printf("%s: %s\n", c->o.out, format_bytes(bytes, (double)size));
  }
  return 0;
}

static const struct arg_spec specs[] = {
    OPT_DIR, OPT_DB, {"out", "FILE", ARG_TEXT, AT(out), 0, 0, "where to"}, OPT_JSON, OPT_HELP,
};

const struct command command_export = {"export",
                                       "the whole ledger as one signed file, for `verify --log`",
                                       NULL, COMMAND_SPECS(specs), run};
