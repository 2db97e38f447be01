#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "format.h"

static volatile sig_atomic_t stopped;

static void on_signal(int number) {
  (void)number;
  stopped = 1;
}

static plr_status show(void *user, uint64_t done, uint64_t total, uint64_t bytes) {
  progress_show(user, done, total, bytes);
  return stopped ? PLR_ERR_AGAIN : PLR_OK;
}

static int report(struct cli *c, plr_mirror *mirror, uint64_t size, double seconds) {
  plr_mirror_stats s = {.struct_size = sizeof s};
  char a[FORMAT_CAP], b[FORMAT_CAP], d[FORMAT_CAP];
  plr_mirror_get_stats(mirror, &s);
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_number(&j, "entries", size), json_number(&j, "files", s.files),
        json_number(&j, "retries", s.retries);
    json_number(&j, "received", s.received), json_number(&j, "decoded", s.decoded);
    json_number(&j, "milliseconds", (uint64_t)(seconds * 1000));
    json_close(&j, '}');
    json_print(&j);
  } else {
    printf("%s: %s entries; %s in %llu files, %llu transfers begun again, %s\n", c->o.db,
           format_count(a, size), format_bytes(b, (double)s.received), (unsigned long long)s.files,
           (unsigned long long)s.retries, format_duration(d, seconds));
  }
  return 0;
}

/* A checkpoint that was refused may be evidence. */
static void keep_shown(struct cli *c, plr_mirror *mirror) {
  char note[65536], path[1024];
  size_t len;
  snprintf(path, sizeof path, "%.1000s.refused", c->o.db);
  if (plr_mirror_shown(mirror, note, sizeof note, &len) != PLR_OK) return;
  char kept[512];
  memcpy(kept, c->message, sizeof kept);
  if (cli_write_file(c, path, note, len) == 0)
    fprintf(stderr, "the checkpoint that was shown is kept in %s\n", path);
  memcpy(c->message, kept, sizeof kept);
}

static int run(struct cli *c) {
  struct vkey key, names[CLI_WITNESSES];
  plr_witness_key keys[CLI_WITNESSES];
  plr_mirror_options o;
  plr_remote_options remote;
  struct progress p;
  plr_mirror *mirror;
  uint64_t size = 0;
  if (!c->o.url || !c->o.db) return cli_fail(c, "--url and --db are needed");
  CLI_TRY(cli_log_key(c, &key));
  plr_mirror_options_init(&o, sizeof o);
  CLI_TRY(cli_witnesses(c, names, keys, &o.witness_count));
  cli_remote(c, &remote);
  o.url = c->o.url, o.path = c->o.db, o.origin = key.name, o.public_key = key.key;
  o.witnesses = keys, o.quorum = (uint32_t)c->o.quorum, o.skip_signatures = (uint32_t)c->o.trust;
  o.remote = &remote, o.progress = show, o.user = &p;
  progress_begin(&p, "mirror", c);
  plr_status st = plr_mirror_create(c->ctx, &o, &mirror, &c->err);
  if (st != PLR_OK) return cli_failed(c, "mirror", st);
  struct sigaction a = {.sa_handler = on_signal};
  sigaction(SIGINT, &a, NULL), sigaction(SIGTERM, &a, NULL);
  st = plr_mirror_update(mirror, &size, &c->err);
  progress_end(&p);
  int result = st == PLR_OK ? report(c, mirror, size, seconds_now() - p.began)
               : stopped
                   ? cli_fail(c, "interrupted; the next mirror goes on from what is in %s", c->o.db)
                   : cli_failed(c, "mirror", st);
  if (st == PLR_ERR_MISMATCH || st == PLR_ERR_SEQUENCE) keep_shown(c, mirror);
  plr_mirror_destroy(mirror);
  return result;
}

static const struct arg_spec specs[] = {
    {"url", "URL", ARG_TEXT, AT(url), 0, 0, "where the log is published"},
    {"db", "FILE", ARG_TEXT, AT(db), 0, 0, "the copy; made, or brought up to date"},
    OPT_VKEY,
    OPT_WITNESS,
    OPT_QUORUM,
    {"trust", NULL, ARG_FLAG, AT(trust), 0, 0,
     "believe the signatures of entries; the log's are checked always"},
    OPTS_REMOTE,
    {"quiet", NULL, ARG_FLAG, AT(quiet), 0, 0, "no bar"},
    OPT_THREADS,
    OPT_JSON,
    OPT_HELP,
};

const struct command command_mirror = {
    "mirror", "keep a verified copy of somebody's published log",
    "  Checks the log's signature, the witnesses, that the log continues the copy, and every byte "
    "against the signed\n"
    "  root, then replays the entries. Can be interrupted and goes on. The copy works with show, "
    "balances, prove and\n"
    "  export (--db). A checkpoint that contradicts the copy is kept beside it: FILE.refused.\n",
    COMMAND_SPECS(specs), run};
