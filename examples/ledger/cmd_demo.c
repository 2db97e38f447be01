/* Two models, the second a fork of the first; its revenue reaches the first's holders to the unit, and a holder proves
 * its claim offline. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "demo.h"
#include "format.h"

#define TOKENS   4096u
#define BLOCKS   4u
#define DEPOSIT0 2500007u
#define DEPOSIT1 9999991u /* a prime: it divides by nothing */
#define ROYALTY  1250u    /* 12.5% */

static const uint64_t costs[BLOCKS] = {900, 600, 600, 1100};

static int appended(struct demo *d, const char *what, plr_status st, const uint8_t *entry,
                    size_t len, uint64_t *index) {
  struct cli *c = d->c;
  if (st == PLR_OK) st = plr_ledger_append(c->ledger, entry, len, index, &c->err);
  return st == PLR_OK ? 0 : cli_failed(c, what, st);
}

static plr_entry_options author(struct demo *d, int who) {
  plr_entry_options e;
  plr_entry_options_init(&e, sizeof e);
  e.author = d->people[who].id, e.origin = plr_ledger_origin(d->c->ledger, NULL);
  e.nonce = plr_ledger_next_nonce(d->c->ledger, &d->people[who].account);
  return e;
}

/* ---- the story ------------------------------------------------------------------------------------------------ */

static int open_accounts(struct demo *d) {
  static const struct {
    const char *name, *role;
  } cast[DEMO_PEOPLE] = {{"ada", "designer of the first model"}, {"grace", "compute for the first"},
                         {"emmy", "compute for the first"},      {"alan", "designer of the fork"},
                         {"edsger", "compute for the fork"},     {"barbara", "compute for both"},
                         {"client", "pays for inference"},       {"feeder", "feeds the text"}};
  for (int i = 0; i < DEMO_PEOPLE; i++) {
    struct person *p = &d->people[i];
    uint8_t entry[1024], key[32];
    size_t len;
    p->name = cast[i].name, p->role = cast[i].role;
    CLI_TRY(cli_key(d->c, p->name, &p->id));
    plr_identity_public_key(p->id, key);
    plr_account_id(key, &p->account);
    plr_entry_options e = author(d, i);
    plr_status st = plr_entry_account_open(d->c->ctx, &e, entry, sizeof entry, &len, &d->c->err);
    CLI_TRY(appended(d, p->name, st, entry, len, NULL));
  }
  return 0;
}

static int register_model(struct demo *d, int which, int designer, const char *name) {
  static uint8_t entry[PLR_ENTRY_MAX];
  plr_model_terms t;
  plr_parent parent = {.bps = ROYALTY};
  size_t len;
  plr_model_terms_init(&t, sizeof t);
  plr_sha256(name, strlen(name), &d->model[which]);
  t.model = d->model[which];
  plr_profile_hash(&t.profile);
  t.designer_bps = 1000, t.microbatch_tokens = TOKENS, t.block_count = BLOCKS, t.costs = costs;
  t.halving_units.lo = 100000000, t.rate = 3, t.rate_divisor = 1000;
  if (which) {
    parent.model = d->model[0];
    t.parents = &parent, t.parent_count = 1;
  }
  plr_entry_options e = author(d, designer);
  plr_status st =
      plr_entry_model_register(d->c->ctx, &e, &t, entry, sizeof entry, &len, &d->c->err);
  return appended(d, name, st, entry, len, NULL);
}

/* A receipt of blocks [first, first + 2) of one micro-batch, signed by three. */
static int work(struct demo *d, int which, int worker, uint32_t first, uint64_t step) {
  struct cli *c = d->c;
  static uint8_t entry[PLR_ENTRY_MAX];
  size_t len;
  plr_ledger_summary s = {.struct_size = sizeof s};
  int other = worker == DEMO_BARBARA ? DEMO_GRACE : DEMO_BARBARA;
  int up = first == 0 ? DEMO_FEED : other, down = first == 0 ? other : DEMO_FEED;
  plr_ledger_summarize(c->ledger, &s);
  plr_receipt r = {
      .model = d->model[which], .epoch = s.epoch, .step = step, .mb_count = 1, .tokens = TOKENS};
  plr_profile_hash(&r.profile);
  r.block_first = first, r.block_end = first + 2;
  r.units = (costs[first] + costs[first + 1]) * TOKENS;
  memcpy(r.upstream, d->people[up].account.bytes, 32),
      memcpy(r.downstream, d->people[down].account.bytes, 32);
  plr_entry_options e = author(d, worker);
  plr_status st =
      plr_entry_write(c->ctx, &e, PLR_ENTRY_RECEIPT, &r, entry, sizeof entry, &len, &c->err);
  if (st == PLR_OK)
    st = plr_entry_countersign(c->ctx, d->people[up].id, PLR_SIGN_UPSTREAM, NULL, e.origin, entry,
                               sizeof entry, &len, &c->err);
  if (st == PLR_OK)
    st = plr_entry_countersign(c->ctx, d->people[down].id, PLR_SIGN_DOWNSTREAM, NULL, e.origin,
                               entry, sizeof entry, &len, &c->err);
  return appended(d, "receipt", st, entry, len, NULL);
}

static int deposit(struct demo *d, int which, uint64_t amount) {
  uint8_t entry[1024];
  size_t len;
  plr_entry_options e = author(d, DEMO_CLIENT);
  plr_status st = plr_entry_revenue_deposit(d->c->ctx, &e, &d->model[which], amount, entry,
                                            sizeof entry, &len, &d->c->err);
  d->deposits[which] += amount;
  return appended(d, "deposit", st, entry, len, NULL);
}

static int close_epoch(struct demo *d) {
  plr_status st = plr_ledger_close_epoch(d->c->ledger, NULL, &d->c->err);
  return st == PLR_OK ? 0 : cli_failed(d->c, "EpochClose", st);
}

static int train(struct demo *d, int which, const int *workers, uint64_t steps, uint64_t from) {
  for (uint64_t step = from; step < from + steps; step++) {
    CLI_TRY(work(d, which, workers[0], 0, step));
    CLI_TRY(work(d, which, workers[1], 2, step));
    if (step % 3 == 1) CLI_TRY(work(d, which, workers[step % 2], 0, step + 1000));
  }
  return 0;
}

/* ---- paying out ------------------------------------------------------------------------------------------------- */

static int claim_all(struct demo *d, int which, int who) {
  uint8_t entry[1024];
  size_t len;
  plr_balance b;
  plr_status st = plr_ledger_balance(d->c->ledger, &d->people[who].account, &d->model[which], &b);
  if (st != PLR_OK) return cli_failed(d->c, "balance", st);
  d->parts[which][who].shares = b.shares;
  if (b.payable == 0) return 0;
  plr_entry_options e = author(d, who);
  st = plr_entry_claim(d->c->ctx, &e, &d->model[which], 0, entry, sizeof entry, &len, &d->c->err);
  uint64_t index;
  CLI_TRY(appended(d, "claim", st, entry, len, &index));
  d->parts[which][who].paid = b.payable;
  if (which == 0 && who == DEMO_GRACE) d->claim_index = index;
  return 0;
}

/* Nothing is taken on the ledger's word: the royalty is computed here, and all that left must equal all that came. */
static int check(struct demo *d) {
  struct cli *c = d->c;
  uint64_t paid[2] = {0, 0};
  for (int m = 0; m < 2; m++) {
    d->totals[m].struct_size = sizeof d->totals[m];
    plr_status st = plr_ledger_model(c->ledger, &d->model[m], &d->totals[m]);
    if (st != PLR_OK) return cli_failed(c, "model", st);
    for (int i = 0; i < DEMO_PEOPLE; i++) paid[m] += d->parts[m][i].paid;
  }
  d->royalty = d->deposits[1] * ROYALTY / 10000;
  d->royalty_bps = ROYALTY;
  if (d->totals[1].royalty_out != d->royalty || d->totals[0].royalty_in != d->royalty)
    return cli_fail(c, "the fork owes %llu, and %llu arrived", (unsigned long long)d->royalty,
                    (unsigned long long)d->totals[0].royalty_in);
  /* Fractions of a unit stay with their holders; fewer units than holders are still on their way. */
  uint64_t in[2] = {d->deposits[0] + d->royalty, d->deposits[1] - d->royalty};
  for (int m = 0; m < 2; m++)
    if (paid[m] != d->totals[m].paid || paid[m] > in[m] || in[m] - paid[m] >= d->totals[m].holders)
      return cli_fail(c, "model %d: %llu came in and %llu went out", m, (unsigned long long)in[m],
                      (unsigned long long)paid[m]);
  return 0;
}

/* What a holder carries away, checked with the verifier key and nothing else. */
static int prove(struct demo *d) {
  struct cli *c = d->c;
  static uint8_t entry[PLR_ENTRY_MAX];
  size_t len, entry_len;
  char path[1100];
  struct vkey key;
  plr_proof_policy policy;
  uint64_t index;
  CLI_TRY(cli_checkpoint(c));
  plr_status st =
      plr_ledger_proof(c->ledger, d->claim_index, d->proof, sizeof d->proof - 1, &len, &c->err);
  if (st == PLR_OK)
    st = plr_ledger_entry(c->ledger, d->claim_index, entry, sizeof entry, &entry_len, &c->err);
  if (st != PLR_OK) return cli_failed(c, "proof", st);
  d->proof[len] = 0, d->proof_bytes = len;
  snprintf(path, sizeof path, "%s/grace.tlog-proof", c->o.dir);
  CLI_TRY(cli_write_file(c, path, d->proof, len));
  snprintf(path, sizeof path, "%s/grace.entry", c->o.dir);
  CLI_TRY(cli_write_file(c, path, entry, entry_len));
  CLI_TRY(cli_vkey(c, d->vkey, VKEY_LOG, &key));
  plr_proof_policy_init(&policy, sizeof policy);
  policy.origin = key.name, policy.public_key = key.key;
  st = plr_log_verify_proof(c->ctx, d->proof, len, entry, entry_len, &policy, &index, &d->size,
                            &c->err);
  if (st != PLR_OK) return cli_failed(c, "proof", st);
  return index == d->claim_index ? 0 : cli_fail(c, "the proof is of another entry");
}

static int export_all(struct demo *d) {
  char path[1100];
  plr_sink sink;
  snprintf(path, sizeof path, "%s/ledger.export", d->c->o.dir);
  plr_status st = plr_sink_open_path(d->c->ctx, path, &sink, &d->c->err);
  if (st == PLR_OK) st = plr_ledger_export(d->c->ledger, &sink, &d->c->err);
  return st == PLR_OK ? 0 : cli_failed(d->c, path, st);
}

static int tell(struct demo *d) {
  static const int first[2] = {DEMO_GRACE, DEMO_EMMY}, second[2] = {DEMO_EDSGER, DEMO_BARBARA},
                   both[2] = {DEMO_BARBARA, DEMO_EMMY};
  CLI_TRY(open_accounts(d));
  CLI_TRY(register_model(d, 0, DEMO_ADA, "first model"));
  CLI_TRY(train(d, 0, first, 5, 0));
  CLI_TRY(close_epoch(d));
  CLI_TRY(train(d, 0, both, 3, 100));
  CLI_TRY(close_epoch(d));
  CLI_TRY(deposit(d, 0, DEPOSIT0));
  CLI_TRY(register_model(d, 1, DEMO_ALAN, "fork of the first model"));
  CLI_TRY(train(d, 1, second, 4, 0));
  CLI_TRY(close_epoch(d));
  for (uint64_t part = 0, left = DEPOSIT1; part < 7;
       part++) { /* in uneven pieces: what is owed is the same */
    uint64_t amount = part == 6 ? left : DEPOSIT1 / 23 * (part + 1) % left;
    CLI_TRY(deposit(d, 1, amount));
    left -= amount;
  }
  CLI_TRY(close_epoch(d));
  for (int m = 0; m < 2; m++)
    for (int i = 0; i < DEMO_PEOPLE; i++) CLI_TRY(claim_all(d, m, i));
  CLI_TRY(close_epoch(d));
  CLI_TRY(check(d));
  CLI_TRY(prove(d));
  return export_all(d);
}

/* ---- output -------------------------------------------------------------------------------------- */

static void print_json(const struct demo *d, const char *report) {
  struct json j = {0};
  json_open(&j, NULL, '{');
  json_text(&j, "report", report), json_text(&j, "vkey", d->vkey);
  json_number(&j, "royalty", d->royalty), json_number(&j, "claim_index", d->claim_index);
  json_number(&j, "entries", d->size);
  json_open(&j, "models", '[');
  for (int m = 0; m < 2; m++) {
    json_open(&j, NULL, '{');
    json_hex(&j, "model", d->model[m].bytes, 32), json_number(&j, "deposited", d->deposits[m]);
    json_number(&j, "royalty_in", d->totals[m].royalty_in),
        json_number(&j, "royalty_out", d->totals[m].royalty_out);
    json_number(&j, "paid", d->totals[m].paid), json_number(&j, "supply", d->totals[m].supply);
    json_open(&j, "paid_to", '{');
    for (int i = 0; i < DEMO_PEOPLE; i++) json_number(&j, d->people[i].name, d->parts[m][i].paid);
    json_close(&j, '}');
    json_close(&j, '}');
  }
  json_close(&j, ']');
  json_close(&j, '}');
  json_print(&j);
}

static void print_table(const struct demo *d, const char *report) {
  struct table t;
  char a[FORMAT_CAP];
  printf("Revenue of the fork: %s, of which %.2f%% = %s go to the first model.\n\n",
         format_money(a, d->deposits[1], d->decimals), d->royalty_bps / 100.0,
         format_money((char[FORMAT_CAP]){0}, d->royalty, d->decimals));
  table_begin(&t, "<<>>", (const char *const[]){"who", "", "from the first", "from the fork"});
  for (int i = 0; i < DEMO_PEOPLE; i++) {
    if (!d->parts[0][i].shares && !d->parts[1][i].shares) continue;
    table_cell(&t, "%s", d->people[i].name), table_cell(&t, "%s", d->people[i].role);
    for (int m = 0; m < 2; m++)
      table_cell(&t, "%s", format_money(a, d->parts[m][i].paid, d->decimals));
  }
  table_print(&t);
  printf("\ngrace's claim is entry %llu of %llu; offline, with the key alone:\n"
         "  pluralis-ledger verify --vkey %s \\\n    --proof %s/grace.tlog-proof --entry "
         "%s/grace.entry\n"
         "report: %s\n",
         (unsigned long long)d->claim_index, (unsigned long long)d->size, d->vkey, d->c->o.dir,
         d->c->o.dir, report);
}

static int begin(struct demo *d) {
  struct cli *c = d->c;
  plr_ledger_options o;
  char path[1100];
  uint8_t key[32];
  size_t len;
  if (mkdir(c->o.dir, 0777) != 0 && errno != EEXIST)
    return cli_fail(c, "%s: %s", c->o.dir, strerror(errno));
  snprintf(path, sizeof path, "%s/ledger.db", c->o.dir);
  FILE *there = fopen(path, "rb");
  if (there)
    return fclose(there), cli_fail(c, "%s: there is a ledger already; choose another --out", path);
  CLI_TRY(cli_key(c, "sequencer", &c->sequencer));
  plr_ledger_options_init(&o, sizeof o);
  o.path = path, o.origin = "example.org/demo", o.sequencer = c->sequencer,
  d->decimals = o.decimals;
  plr_status st = plr_ledger_open(c->ctx, &o, &c->ledger, &c->err);
  if (st != PLR_OK) return cli_failed(c, path, st);
  plr_identity_public_key(c->sequencer, key);
  st = plr_log_vkey(o.origin, key, d->vkey, sizeof d->vkey, &len);
  if (st != PLR_OK) return cli_failed(c, "vkey", st);
  snprintf(path, sizeof path, "%s/log.vkey", c->o.dir);
  return cli_write_file(c, path, d->vkey, len);
}

static int finish(struct demo *d) {
  struct cli *c = d->c;
  struct strbuf page = {0};
  char path[1100];
  plr_ledger_summary s = {.struct_size = sizeof s};
  plr_ledger_summarize(c->ledger, &s);
  format_hex(d->state_root, sizeof d->state_root, s.state_root.bytes, 32);
  demo_report(d, &page);
  snprintf(path, sizeof path, "%s/report.html", c->o.dir);
  int result = cli_write_file(c, path, page.text, page.len);
  strbuf_free(&page);
  if (result != 0) return -1;
  if (c->o.json)
    print_json(d, path);
  else
    print_table(d, path);
  return 0;
}

static int run(struct cli *c) {
  if (!c->o.out) return cli_fail(c, "--out DIR is needed");
  struct demo *d = must_alloc(1, sizeof *d);
  c->o.dir = c->o.out;
  d->c = c;
  int result = begin(d);
  if (result == 0) result = tell(d);
  if (result == 0) result = finish(d);
  for (int i = 0; i < DEMO_PEOPLE; i++) plr_identity_destroy(d->people[i].id);
  free(d);
  return result;
}

static const struct arg_spec specs[] = {
    {"out", "DIR", ARG_TEXT, AT(out), 0, 0, "where ledger, proof, export and report.html go"},
    OPT_JSON,
    OPT_HELP,
};

const struct command command_demo = {
    "demo", "two models, one built on the other: revenue to the second pays the first's holders",
    "  Computes the royalty on its own, and stops with an error unless every unit that was "
    "deposited is accounted for.\n",
    COMMAND_SPECS(specs), run};
