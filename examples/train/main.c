/* pluralis-train: the reference host. It owns what the library does not: processes, sockets,
 * files, clocks.
 *
 * One process is the parent: it feeds the text, keeps the ledger, and plays designer and
 * depositor. It starts one process for each stage (worker.c). Together they form the ring that
 * stage.h describes. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "books.h"
#include "finish.h"
#include "format.h"
#include "options.h"
#include "run.h"
#include "strbuf.h"
#include "text.h"
#include "worker.h"

#define EXIT_USAGE 2

struct job {
  struct options o;
  struct text text;
  plr_context *ctx;
  plr_corpus *corpus;
  struct books books;
  struct plan plans[2];
  size_t plan_count;
  struct run_record records[2];
  struct report report;
};

static int fail(const char *message) {
  fflush(stdout);
  fprintf(stderr, "error: %s\n", message);
  return 1;
}

static plr_context *make_context(uint32_t threads) {
  plr_context_options options;
  plr_context *ctx;
  plr_error err;
  plr_error_init(&err, sizeof err);
  plr_context_options_init(&options, sizeof options);
  options.threads = threads;
  if (plr_context_create(&options, &ctx, &err) == PLR_OK) return ctx;
  fail(err.message);
  return NULL;
}

/* ---- verify
 * ------------------------------------------------------------------------------------- */

static int verify_main(const struct options *o) {
  char message[600], origin[129], hex[65], a[FORMAT_CAP], b[FORMAT_CAP];
  plr_ledger_summary s;
  plr_context *ctx = make_context(2);
  if (!ctx) return 1;
  int result = books_verify(ctx, o->verify, o->vkey, origin, &s, message, sizeof message);
  plr_context_destroy(ctx);
  if (result != 0) return fail(message);
  printf("verified: %s\n", origin);
  printf("  entries %s, receipts %s, epochs %llu, accounts %llu, models %llu\n",
         format_count(a, s.entries), format_count(b, s.receipts), (unsigned long long)s.epoch,
         (unsigned long long)s.accounts, (unsigned long long)s.models);
  printf("  deposited %s %s, paid %s\n", format_money(a, s.deposited, BOOKS_DECIMALS),
         BOOKS_CURRENCY, format_money(b, s.paid, BOOKS_DECIMALS));
  printf("  log root   %s\n", format_hex(hex, sizeof hex, s.root.bytes, 32));
  printf("  state root %s\n", format_hex(hex, sizeof hex, s.state_root.bytes, 32));
  return 0;
}

/* ---- the job
 * ------------------------------------------------------------------------------------ */

static int make_dir(const char *path, char *message, size_t cap) {
  if (mkdir(path, 0777) == 0 || errno == EEXIST) return 0;
  snprintf(message, cap, "--out: %s: %s", path, strerror(errno));
  return -1;
}

static int make_dirs(const struct options *o, char *message, size_t cap) {
  char keys[1024];
  if (snprintf(keys, sizeof keys, "%s/keys", o->out) >= 900) {
    snprintf(message, cap, "--out: the path is too long");
    return -1;
  }
  return make_dir(o->out, message, cap) == 0 && make_dir(keys, message, cap) == 0 ? 0 : -1;
}

/* Nothing is written before the text, the model and the plan are known to be good. */
static int make_plans(struct job *j, char *message, size_t cap) {
  const struct options *o = &j->o;
  int compressed = !o->manifest && o->compress > 1;
  int result = 0;
  if (o->manifest)
    result = plan_manifest(j->ctx, o, j->corpus, &j->plans[j->plan_count++], message, cap);
  if (compressed)
    result = plan_compressed(j->ctx, o, j->corpus, &j->plans[j->plan_count++], message, cap);
  if (!o->manifest && o->compress_auto)
    result = plan_auto(j->ctx, o, &j->plans[j->plan_count++], message, cap);
  if (result == 0 && !o->manifest && ((!compressed && !o->compress_auto) || o->baseline))
    result = plan_dense(j->ctx, o, &j->plans[j->plan_count++], message, cap);
  return result;
}

/* Each part must hold more than a sequence; said here, where the file can be named. */
static int check_text(const struct job *j, char *message, size_t cap) {
  uint32_t seq = j->plans[0].info.seq_len;
  if (j->text.len - text_train_len(&j->text) > seq + 1u) return 0;
  snprintf(message, cap,
           "%s: too short: %zu bytes; its last tenth must hold more than %u (sequence length + 1)",
           j->o.text, j->text.len, seq + 1);
  return -1;
}

static int open_text(struct job *j, char *message, size_t cap) {
  plr_error err;
  plr_error_init(&err, sizeof err);
  if (text_load(j->o.text, &j->text, message, cap) != 0) return -1;
  if (plr_corpus_create(j->ctx, j->text.bytes, j->text.len, &j->corpus, &err) == PLR_OK) return 0;
  snprintf(message, cap, "%s: %s", j->o.text, err.message);
  return -1;
}

static int is_fresh(const struct options *o, char *message, size_t cap) {
  char path[1024];
  struct stat st;
  snprintf(path, sizeof path, "%s/options", o->out);
  if (stat(path, &st) != 0) return 0;
  snprintf(message, cap,
           "--out: %s holds a run already: go on with --resume, or name another folder", o->out);
  return -1;
}

static int prepare(struct job *j, int argc, char **argv, char *message, size_t cap) {
  j->ctx = make_context(1);
  if (!j->ctx) return -1;
  if (open_text(j, message, cap) != 0 || make_plans(j, message, cap) != 0 ||
      check_text(j, message, cap) != 0)
    return -1;
  if (!j->o.resume && is_fresh(&j->o, message, cap) != 0) return -1;
  if (make_dirs(&j->o, message, cap) != 0) return -1;
  if (!j->o.resume && options_save(&j->o, argc, argv, message, cap) != 0) return -1;
  return books_open(&j->books, j->ctx, j->o.out, message, cap);
}

static void announce(const struct job *j) {
  char rate[FORMAT_CAP], params[FORMAT_CAP], bytes[FORMAT_CAP];
  printf("%s: %s, bigram entropy %.4f nats a byte\n", j->o.text,
         format_bytes(bytes, (double)j->text.len), j->report.bigram);
  for (size_t i = 0; i < j->plan_count; i++) {
    const struct plan *p = &j->plans[i];
    printf("%s: %s parameters in %u blocks, %llu stage%s, links of %s and %.3g ms; %s", p->name,
           format_short(params, (double)p->info.parameters), p->info.blocks,
           (unsigned long long)j->o.stages, j->o.stages == 1 ? "" : "s",
           format_rate(rate, options_rate(&j->o, 0)), (double)j->o.delay * 1e-6, p->boundary);
    if (p->ratio > 0) printf(", %.0fx expected", p->ratio);
    printf("\n");
  }
  fflush(stdout);
}

/* A run of an earlier session that is complete is only read. */
static int run_one(struct job *j, size_t i) {
  char dir[1024], message[600];
  struct plan *plan = &j->plans[i];
  struct run_job run = {&j->o, plan, j->ctx, j->corpus, &j->books, j->report.bigram};
  snprintf(dir, sizeof dir, "%s/%s", j->o.out, plan->name);
  if (books_settled(&j->books, &plan->hash) &&
      run_record_load(&j->records[i], dir, message, sizeof message) == 0) {
    printf("%s: complete\n", plan->name);
    return RUN_DONE;
  }
  return run_train(&run, &j->records[i]);
}

static int finish(struct job *j) {
  char message[600], path[1024];
  const char *slash = strrchr(j->o.text, '/');
  struct report *r = &j->report;
  snprintf(r->text_name, sizeof r->text_name, "%s", slash ? slash + 1 : j->o.text);
  r->text_len = j->text.len;
  r->model_count = j->plan_count;
  for (size_t i = 0; i < j->plan_count; i++) {
    r->models[i].run = &j->records[i];
    books_owners(&j->books, &j->plans[i], (const char(*)[65])j->records[i].keys,
                 j->records[i].stages, &r->models[i]);
  }
  int proved = books_prove(&j->books, &r->ledger, message, sizeof message);
  finish_settings(r, &j->o, &j->plans[0], j->ctx);
  finish_print(r);
  if (j->books.refused)
    fprintf(stderr, "warning: the ledger refused %llu receipts: %s\n",
            (unsigned long long)j->books.refused, j->books.refusal);
  snprintf(path, sizeof path, "%s/report.html", j->o.out);
  if (report_write(r, path, message, sizeof message) != 0) return fail(message);
  printf("report: %s\n", path);
  return proved == 0 ? 0 : 1;
}

static int train_main(struct job *j, int argc, char **argv) {
  char message[600];
  if (prepare(j, argc, argv, message, sizeof message) != 0) return fail(message);
  j->report.bigram = text_bigram_entropy(&j->text);
  announce(j);
  for (size_t i = 0; i < j->plan_count; i++) {
    int result = run_one(j, i);
    if (result == RUN_STOPPED) return 0;
    if (result == RUN_FAILED) return 1;
  }
  return finish(j);
}

static void release(struct job *j) {
  books_close(&j->books);
  for (size_t i = 0; i < 2; i++) {
    run_record_free(&j->records[i]);
    plan_free(&j->plans[i]);
  }
  plr_corpus_destroy(j->corpus);
  plr_context_destroy(j->ctx);
  text_free(&j->text);
}

int main(int argc, char **argv) {
  char message[600];
  struct job *j = must_alloc(1, sizeof *j);
  int result = options_parse(&j->o, argc, argv, message, sizeof message);
  if (result == 0 && j->o.resume) result = options_load(&j->o, argc, argv, message, sizeof message);
  if (result != 0) {
    fail(message);
    options_free(&j->o);
    free(j);
    return EXIT_USAGE;
  }
  signal(SIGPIPE, SIG_IGN);
  if (j->o.help) {
    options_help();
  } else if (j->o.is_worker) {
    result = worker_main(&j->o);
  } else if (j->o.verify) {
    result = verify_main(&j->o);
  } else {
    result = train_main(j, argc, argv);
    release(j);
  }
  options_free(&j->o);
  free(j);
  return result;
}
