/* What the commands of pluralis-ledger share. Each command is one file: a table of options, a help text, a function. */
#ifndef EXAMPLES_LEDGER_CLI_H
#define EXAMPLES_LEDGER_CLI_H

#include <pluralis/pluralis.h>

#include "args.h"
#include "strbuf.h"

#define CLI_WITNESSES 16

/* Every option of every command; each command's table says which it takes. */
struct options {
  const char *dir, *db, *origin, *currency, *as, *kind, *model, *profile, *to, *url, *vkey,
      *witness, *log, *proof, *entry, *out, *costs, *parents, *upstream, *downstream, *address,
      *reward, *ca, *user, *sigv4, *account, *data, *mirror_of;
  uint64_t decimals, window, index, from, count, amount, quorum, repeat, designer_bps, data_bps,
      vest, cliff, tokens, halving, rate, divisor, step, lane, block_first, block_end, mb_first,
      mb_count, scale, shares, parallel, retries, threads;
  int32_t json, help, trust, quiet, no_tls_verify;
};

struct cli {
  const char *command;
  struct options o;
  plr_context *ctx;
  plr_ledger *ledger;
  plr_identity *sequencer;
  plr_error err;
  char message[512];
};

struct command {
  const char *name, *line; /* what it does, in one line */
  const char *more;        /* the rest of its help */
  const struct arg_spec *specs;
  size_t spec_count;
  int (*run)(struct cli *c); /* 0, or -1 with c->message set */
};

extern const struct command command_init, command_append, command_show, command_balances,
    command_prove, command_verify, command_export, command_publish, command_mirror, command_settle,
    command_witness, command_demo;

/* Options that many commands take. */
#define AT(field) offsetof(struct options, field)
#define OPT_DIR                                                                                    \
  { "dir", "DIR", ARG_TEXT, AT(dir), 0, 0, "folder of the ledger: ledger.db and keys/ (default .)" }
#define OPT_DB                                                                                     \
  { "db", "FILE", ARG_TEXT, AT(db), 0, 0, "ledger file, in place of --dir" }
#define OPT_JSON                                                                                   \
  { "json", NULL, ARG_FLAG, AT(json), 0, 0, "one JSON document on standard output" }
#define OPT_HELP                                                                                   \
  { "help", NULL, ARG_FLAG, AT(help), 0, 0, "this text" }
#define OPT_VKEY                                                                                   \
  { "vkey", "KEY", ARG_TEXT, AT(vkey), 0, 0, "verifier key of the log: name+hash+key" }
#define OPT_THREADS                                                                                \
  { "threads", "N", ARG_COUNT, AT(threads), 1, 64, "threads that verify (default 2)" }
#define OPT_WITNESS                                                                                \
  {                                                                                                \
    "witness", "KEYS", ARG_TEXT, AT(witness), 0, 0,                                                \
        "verifier keys of witnesses, separated by commas"                                          \
  }
#define OPT_QUORUM                                                                                 \
  { "quorum", "N", ARG_COUNT, AT(quorum), 0, CLI_WITNESSES, "so many of them must have signed" }
#define OPTS_REMOTE                                                                                  \
  {"ca", "FILE", ARG_TEXT, AT(ca), 0, 0, "certificates to trust, PEM"},                              \
      {"user", "NAME:WORD", ARG_TEXT, AT(user), 0, 0, "password of the server, or the two S3 keys"}, \
      {"sigv4",                                                                                      \
       "SCHEME",                                                                                     \
       ARG_TEXT,                                                                                     \
       AT(sigv4),                                                                                    \
       0,                                                                                            \
       0,                                                                                            \
       "sign for S3, for instance aws:amz:us-east-1:s3"},                                            \
      {"retries",                                                                                    \
       "N",                                                                                          \
       ARG_COUNT,                                                                                    \
       AT(retries),                                                                                  \
       0,                                                                                            \
       100,                                                                                          \
       "of a file, after failures that may pass (default 5)"},                                       \
      {"parallel", "N", ARG_COUNT, AT(parallel), 1, 64, "files at once (default 8)"}, {              \
    "no-tls-verify", NULL, ARG_FLAG, AT(no_tls_verify), 0, 0, "take any certificate"                 \
  }
#define COMMAND_SPECS(specs) specs, sizeof specs / sizeof *specs

/* ---- failing ------------------------------------------------------------------------------------------ */

int cli_fail(struct cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The library's words for what failed, from c->err. */
int cli_failed(struct cli *c, const char *what, plr_status st);
#define CLI_TRY(expr)                                                                              \
  do {                                                                                             \
    if ((expr) != 0) return -1;                                                                    \
  } while (0)

/* ---- opening (cli.c) ------------------------------------------------------------------------------------- */

/* write: with the sequencer's key of --dir; else read-only. */
int cli_open(struct cli *c, int write);
/* Key NAME of --dir; made when there is none. */
int cli_key(struct cli *c, const char *name, plr_identity **out);
/* Account of a key of --dir by its name, or 64 hexadecimal digits. */
int cli_account(struct cli *c, const char *text, plr_hash *out);
int cli_hash(struct cli *c, const char *option, const char *text, plr_hash *out);
/* Address of a chain: 0x and 40 hexadecimal digits. */
int cli_address(struct cli *c, const char *option, const char *text, uint8_t out[20]);
/* A whole file. Freed by the caller. */
int cli_read_file(struct cli *c, const char *path, size_t most, void **data, size_t *len);
int cli_write_file(struct cli *c, const char *path, const void *data, size_t len);
void cli_remote(const struct cli *c, plr_remote_options *out);
/* Models in the log, in its order; *out is the caller's to free. */
int cli_models(struct cli *c, plr_hash **out, size_t *count);
/* Signs the present size, when it is not yet. */
int cli_checkpoint(struct cli *c);

/* ---- keys of logs and witnesses (vkey.c) --------------------------------------------------------------------- */

struct vkey {
  char name[129];
  uint8_t key[32];
};

#define VKEY_LOG     1
#define VKEY_WITNESS 4
int cli_vkey(struct cli *c, const char *text, int type, struct vkey *out);
/* --vkey, required. */
int cli_log_key(struct cli *c, struct vkey *out);
/* --witness. keys points into names. */
int cli_witnesses(struct cli *c, struct vkey names[CLI_WITNESSES],
                  plr_witness_key keys[CLI_WITNESSES], uint32_t *count);

/* ---- output (output.c) ---------------------------------------------------------------------------------------- */

/* A table: cells are added row by row; columns marked with '>' in `align` are numbers. */
struct table {
  struct strbuf cells; /* each ends with a NUL */
  size_t columns, count;
  const char *align;
};

void table_begin(struct table *t, const char *align, const char *const *heads);
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_print(struct table *t);

/* JSON as it is written: commas take care of themselves. */
struct json {
  struct strbuf b;
  int comma;
};

void json_open(struct json *j, const char *key, char bracket); /* key NULL: an element */
void json_close(struct json *j, char bracket);
void json_text(struct json *j, const char *key, const char *text);
void json_number(struct json *j, const char *key,
                 uint64_t value); /* as a string when it is over 2^53 */
void json_hex(struct json *j, const char *key, const uint8_t *bytes, size_t len);
void json_raw(struct json *j, const char *key, const char *text, size_t len);
void json_print(struct json *j);

char *short_hash(char buf[20], const plr_hash *h);
uint32_t ledger_decimals(plr_ledger *ledger, char currency[17]);

/* A bar on standard error while something takes long; nothing when that is no terminal, unless `always`. */
struct progress {
  const char *what;
  double began, shown;
  int on, always;
};

void progress_begin(struct progress *p, const char *what, const struct cli *c);
void progress_show(struct progress *p, uint64_t done, uint64_t total, uint64_t bytes);
void progress_end(struct progress *p);
double seconds_now(void);

#endif
