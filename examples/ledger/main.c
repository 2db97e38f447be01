/* pluralis-ledger: a contribution ledger on the command line. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_init,   &command_append, &command_show,    &command_balances,
    &command_prove,  &command_verify, &command_export,  &command_publish,
    &command_mirror, &command_settle, &command_witness, &command_demo};
#define COMMANDS (sizeof commands / sizeof *commands)

static void help(FILE *to) {
  fputs("NAME\n  pluralis-ledger - a public log of who contributed what to a model, and what it is "
        "owed\n\n"
        "SYNOPSIS\n  pluralis-ledger COMMAND [OPTIONS]\n  pluralis-ledger COMMAND "
        "--help\n\nCOMMANDS\n",
        to);
  for (size_t i = 0; i < COMMANDS; i++)
    fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->line);
  fputs("\nFILES\n"
        "  DIR/ledger.db        the ledger\n"
        "  DIR/keys/NAME.key    a 32-byte Ed25519 seed, readable by its owner only; `sequencer` "
        "orders the log\n"
        "  DIR/log.vkey         the verifier key, for everybody else\n\n"
        "EXIT STATUS\n  0 done; 1 refused or failed, with the reason on standard error; 2 not "
        "understood\n\n"
        "EXAMPLE\n"
        "  pluralis-ledger init --dir job --origin example.org/job\n"
        "  pluralis-ledger append --dir job --kind account --as alice\n"
        "  pluralis-ledger publish --dir job --to /var/www/job\n"
        "  pluralis-ledger mirror --url https://example.org/job --vkey \"$(cat log.vkey)\" --db "
        "copy.db\n"
        "  pluralis-ledger balances --db copy.db\n",
        to);
}

static void help_command(const struct command *cmd) {
  printf("NAME\n  pluralis-ledger %s - %s\n\nSYNOPSIS\n  pluralis-ledger %s [OPTIONS]\n\nOPTIONS\n",
         cmd->name, cmd->line, cmd->name);
  args_help(cmd->specs, cmd->spec_count, stdout);
  if (cmd->more) printf("\nDESCRIPTION\n%s", cmd->more);
}

static int run(const struct command *cmd, struct cli *c) {
  plr_context_options o;
  plr_context_options_init(&o, sizeof o);
  plr_error_init(&c->err, sizeof c->err);
  o.threads = (uint32_t)(c->o.threads ? c->o.threads : 2);
  plr_status st = plr_context_create(&o, &c->ctx, &c->err);
  int result = st == PLR_OK ? cmd->run(c) : cli_failed(c, "context", st);
  plr_ledger_destroy(c->ledger);
  plr_identity_destroy(c->sequencer);
  plr_context_destroy(c->ctx);
  if (result == 0 && fflush(stdout) != 0) result = cli_fail(c, "standard output cannot be written");
  if (result != 0) fprintf(stderr, "pluralis-ledger %s: %s\n", c->command, c->message);
  return result == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    help(stderr);
    return 2;
  }
  if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
    help(stdout);
    return 0;
  }
  size_t which = 0;
  while (which < COMMANDS && strcmp(commands[which]->name, argv[1]) != 0) which++;
  if (which == COMMANDS) {
    fprintf(stderr, "pluralis-ledger: '%s' is not a command; see --help\n", argv[1]);
    return 2;
  }
  const struct command *cmd = commands[which];
  struct cli c = {.command = cmd->name};
  c.o.dir = ".", c.o.retries = c.o.decimals = c.o.index = UINT64_MAX; /* not given */
  if (args_parse(cmd->specs, cmd->spec_count, &c.o, argc - 1, argv + 1, c.message,
                 sizeof c.message) != 0) {
    fprintf(stderr, "pluralis-ledger %s: %s\n", cmd->name, c.message);
    return 2;
  }
  if (c.o.help) {
    help_command(cmd);
    return 0;
  }
  return run(cmd, &c);
}
