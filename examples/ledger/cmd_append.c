/* Entries made and appended, one or many. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define BATCH 1024

struct making {
  struct cli *c;
  plr_identity *author;
  plr_hash account, model, profile;
  plr_model_terms terms;
  uint64_t costs[4096];
  plr_parent parents[4];
  plr_hash to;
  uint8_t address[20];
};

/* ---- a model's terms ---------------------------------------------------------------------------------------- */

static int read_costs(struct making *m) {
  const char *at = m->c->o.costs;
  if (!at) return cli_fail(m->c, "--costs is needed: units per token of each block, 1000,600,600");
  for (m->terms.block_count = 0; *at;) {
    char *end;
    unsigned long long v = strtoull(at, &end, 10);
    if (end == at || v == 0 || (*end && *end != ',') || m->terms.block_count == 4096)
      return cli_fail(m->c, "--costs: '%.40s' is not a list of 1 to 4096 numbers above 0", at);
    m->costs[m->terms.block_count++] = v;
    at = end + (*end == ',');
  }
  m->terms.costs = m->costs;
  return 0;
}

static int read_parents(struct making *m) {
  const char *at = m->c->o.parents;
  for (m->terms.parent_count = 0; at && *at;) {
    char one[128], hex[65];
    unsigned bps;
    size_t len = strcspn(at, ",");
    int used = 0;
    if (m->terms.parent_count == 4) return cli_fail(m->c, "--parents: more than 4");
    snprintf(one, sizeof one, "%.*s", (int)(len < 120 ? len : 120), at);
    if (sscanf(one, "%64[0-9a-fA-F]:%u%n", hex, &bps, &used) != 2 || one[used] || bps < 1 ||
        bps > 10000)
      return cli_fail(m->c, "--parents: '%.80s' is not MODEL:BPS", one);
    plr_parent *p = &m->parents[m->terms.parent_count++];
    CLI_TRY(cli_hash(m->c, "parents", hex, &p->model));
    p->bps = bps;
    at += len + (at[len] == ',');
  }
  m->terms.parents = m->parents;
  return 0;
}

static int model_entry(struct making *m, const plr_entry_options *e, uint8_t *buf, size_t *len) {
  const struct options *o = &m->c->o;
  plr_model_terms_init(&m->terms, sizeof m->terms);
  plr_model_terms *t = &m->terms;
  CLI_TRY(read_costs(m));
  CLI_TRY(read_parents(m));
  t->model = m->model;
  if (o->profile)
    CLI_TRY(cli_hash(m->c, "profile", o->profile, &t->profile));
  else
    plr_profile_hash(&t->profile);
  t->designer_bps = (uint32_t)o->designer_bps, t->data_bps = (uint32_t)o->data_bps;
  if (o->data_bps) {
    plr_hash data;
    CLI_TRY(cli_account(m->c, o->data, &data));
    memcpy(t->data_account, data.bytes, 32);
  }
  t->vest_epochs = (uint32_t)o->vest, t->vest_cliff = (uint32_t)o->cliff;
  t->microbatch_tokens = (uint32_t)(o->tokens ? o->tokens : 4096);
  t->halving_units.lo = o->halving ? o->halving : 1000000000000;
  t->rate = o->rate ? o->rate : 1, t->rate_divisor = o->divisor ? o->divisor : 1;
  plr_status st = plr_entry_model_register(m->c->ctx, e, t, buf, PLR_ENTRY_MAX, len, &m->c->err);
  return st == PLR_OK ? 0 : cli_failed(m->c, "model", st);
}

/* ---- the other kinds ------------------------------------------------------------------------------------------ */

static int made(struct making *m, plr_status st) {
  return st == PLR_OK ? 0 : cli_failed(m->c, m->c->o.kind, st);
}

static int account_entry(struct making *m, const plr_entry_options *e, uint8_t *buf, size_t *len) {
  return made(m, plr_entry_account_open(m->c->ctx, e, buf, PLR_ENTRY_MAX, len, &m->c->err));
}

static int deposit_entry(struct making *m, const plr_entry_options *e, uint8_t *buf, size_t *len) {
  return made(m, plr_entry_revenue_deposit(m->c->ctx, e, &m->model, m->c->o.amount, buf,
                                           PLR_ENTRY_MAX, len, &m->c->err));
}

static int claim_entry(struct making *m, const plr_entry_options *e, uint8_t *buf, size_t *len) {
  if (!m->c->o.address)
    return made(m, plr_entry_claim(m->c->ctx, e, &m->model, m->c->o.amount, buf, PLR_ENTRY_MAX, len,
                                   &m->c->err));
  CLI_TRY(cli_address(m->c, "address", m->c->o.address, m->address));
  return made(m, plr_entry_claim_to(m->c->ctx, e, &m->model, m->c->o.amount, m->address, buf,
                                    PLR_ENTRY_MAX, len, &m->c->err));
}

static int transfer_entry(struct making *m, const plr_entry_options *e, uint8_t *buf, size_t *len) {
  plr_transfer t = {.struct_size = sizeof t, .model = m->model, .shares = m->c->o.shares};
  CLI_TRY(cli_account(m->c, m->c->o.to, &m->to));
  memcpy(t.to, m->to.bytes, 32);
  return made(m, plr_entry_write(m->c->ctx, e, PLR_ENTRY_TRANSFER, &t, buf, PLR_ENTRY_MAX, len,
                                 &m->c->err));
}

static int countersign(struct making *m, const char *who, uint32_t role, uint8_t *buf,
                       size_t *len) {
  plr_identity *id;
  CLI_TRY(cli_key(m->c, who, &id));
  plr_status st = plr_entry_countersign(m->c->ctx, id, role, NULL, m->c->o.origin, buf,
                                        PLR_ENTRY_MAX, len, &m->c->err);
  plr_identity_destroy(id);
  return made(m, st);
}

/* Needs the keys of all three in one place, which only a demonstration has. */
static int receipt_entry(struct making *m, const plr_entry_options *e, uint8_t *buf, size_t *len) {
  const struct options *o = &m->c->o;
  plr_receipt r = {.model = m->model, .step = o->step, .lane = (uint32_t)o->lane};
  plr_hash up, down;
  if (!o->upstream || !o->downstream)
    return cli_fail(m->c, "--upstream and --downstream are needed");
  CLI_TRY(cli_account(m->c, o->upstream, &up));
  CLI_TRY(cli_account(m->c, o->downstream, &down));
  memcpy(r.upstream, up.bytes, 32), memcpy(r.downstream, down.bytes, 32);
  plr_ledger_summary s = {.struct_size = sizeof s};
  plr_ledger_summarize(m->c->ledger, &s);
  r.epoch = s.epoch;
  r.mb_first = (uint32_t)o->mb_first, r.mb_count = (uint32_t)(o->mb_count ? o->mb_count : 1);
  r.block_first = (uint32_t)o->block_first, r.block_end = (uint32_t)o->block_end;
  r.tokens = (uint32_t)o->tokens;
  r.units = o->amount;
  if (o->profile)
    CLI_TRY(cli_hash(m->c, "profile", o->profile, &r.profile));
  else
    plr_profile_hash(&r.profile);
  CLI_TRY(made(m, plr_entry_write(m->c->ctx, e, PLR_ENTRY_RECEIPT, &r, buf, PLR_ENTRY_MAX, len,
                                  &m->c->err)));
  CLI_TRY(countersign(m, o->upstream, PLR_SIGN_UPSTREAM, buf, len));
  return countersign(m, o->downstream, PLR_SIGN_DOWNSTREAM, buf, len);
}

static const struct kind {
  const char *name;
  int model; /* needs --model */
  int (*make)(struct making *m, const plr_entry_options *e, uint8_t *buf, size_t *len);
} kinds[] = {{"account", 0, account_entry},
             {"model", 1, model_entry},
             {"receipt", 1, receipt_entry},
             {"deposit", 1, deposit_entry},
             {"claim", 1, claim_entry},
             {"transfer", 1, transfer_entry},
             {"close", 0, NULL},
             {"file", 0, NULL}};

/* ---- appending -------------------------------------------------------------------------------------------------- */

static void report(struct cli *c, uint64_t first, uint64_t count) {
  plr_ledger_summary s = {.struct_size = sizeof s};
  plr_ledger_summarize(c->ledger, &s);
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_number(&j, "index", first), json_number(&j, "count", count),
        json_number(&j, "entries", s.entries);
    json_close(&j, '}');
    json_print(&j);
  } else if (count == 1) {
    printf("entry %llu appended\n", (unsigned long long)first);
  } else {
    printf("entries %llu to %llu appended\n", (unsigned long long)first,
           (unsigned long long)(first + count - 1));
  }
}

static int append_made(struct cli *c, const uint8_t *entry, size_t len) {
  uint64_t index;
  plr_status st = plr_ledger_append(c->ledger, entry, len, &index, &c->err);
  if (st != PLR_OK) return cli_failed(c, "refused", st);
  report(c, index, 1);
  return 0;
}

static int close_epoch(struct cli *c) {
  uint64_t index;
  plr_status st = plr_ledger_close_epoch(c->ledger, &index, &c->err);
  if (st != PLR_OK) return cli_failed(c, "close", st);
  report(c, index, 1);
  return 0;
}

static int append_file(struct cli *c) {
  void *data;
  size_t len;
  if (!c->o.entry) return cli_fail(c, "--entry FILE is needed (- for standard input)");
  CLI_TRY(cli_read_file(c, c->o.entry, PLR_ENTRY_MAX, &data, &len));
  int result = append_made(c, data, len);
  free(data);
  return result;
}

/* Many of one kind, in groups of one transaction each. */
static int append_batches(struct making *m, const struct kind *k, plr_entry_options *e) {
  struct cli *c = m->c;
  static uint8_t buf[PLR_ENTRY_MAX];
  plr_append_item items[BATCH];
  struct progress p;
  uint64_t first = UINT64_MAX;
  progress_begin(&p, "append", c);
  for (uint64_t done = 0; done < c->o.repeat;) {
    struct strbuf all = {0};
    size_t n = 0, at = 0, sizes[BATCH];
    for (; n < BATCH && done + n < c->o.repeat; n++, e->nonce++) {
      if (k->make(m, e, buf, &sizes[n]) != 0) return strbuf_free(&all), -1;
      strbuf_add(&all, buf, sizes[n]);
    }
    for (size_t i = 0; i < n; at += sizes[i++])
      items[i] = (plr_append_item){.entry = all.text + at, .len = sizes[i]};
    plr_status st = plr_ledger_append_many(c->ledger, items, n, &c->err);
    strbuf_free(&all);
    if (st != PLR_OK) return cli_failed(c, "append", st);
    for (size_t i = 0; i < n; i++)
      if (items[i].status != PLR_OK)
        return cli_fail(c, "entry %llu of %llu is refused: %s", (unsigned long long)(done + i + 1),
                        (unsigned long long)c->o.repeat,
                        plr_status_name((plr_status)items[i].status));
    if (first == UINT64_MAX) first = items[0].index;
    done += n;
    progress_show(&p, done, c->o.repeat, 0);
  }
  progress_end(&p);
  report(c, first, c->o.repeat);
  return 0;
}

static int append_kind(struct making *m, const struct kind *k) {
  struct cli *c = m->c;
  static uint8_t buf[PLR_ENTRY_MAX];
  size_t len;
  plr_entry_options e;
  uint8_t key[32];
  if (k->model) CLI_TRY(cli_hash(c, "model", c->o.model, &m->model));
  CLI_TRY(cli_key(c, c->o.as, &m->author));
  plr_identity_public_key(m->author, key);
  plr_account_id(key, &m->account);
  c->o.origin = plr_ledger_origin(c->ledger, NULL);
  plr_entry_options_init(&e, sizeof e);
  e.author = m->author, e.origin = c->o.origin,
  e.nonce = plr_ledger_next_nonce(c->ledger, &m->account);
  if (c->o.repeat > 1) return append_batches(m, k, &e);
  CLI_TRY(k->make(m, &e, buf, &len));
  if (c->o.out) return cli_write_file(c, c->o.out, buf, len);
  return append_made(c, buf, len);
}

static int run(struct cli *c) {
  size_t i = 0, count = sizeof kinds / sizeof *kinds;
  if (!c->o.kind)
    return cli_fail(
        c, "--kind is needed: account, model, receipt, deposit, claim, transfer, close, file");
  while (i < count && strcmp(kinds[i].name, c->o.kind) != 0) i++;
  if (i == count) return cli_fail(c, "--kind: there is no '%.40s'", c->o.kind);
  CLI_TRY(cli_open(c, 1));
  if (!strcmp(c->o.kind, "close")) return close_epoch(c);
  if (!strcmp(c->o.kind, "file")) return append_file(c);
  struct making *m = must_alloc(1, sizeof *m);
  m->c = c;
  int result = append_kind(m, &kinds[i]);
  plr_identity_destroy(m->author);
  free(m);
  return result;
}

static const struct arg_spec specs[] = {
    OPT_DIR,
    {"kind", "KIND", ARG_TEXT, AT(kind), 0, 0,
     "account model receipt deposit claim transfer close file"},
    {"as", "NAME", ARG_TEXT, AT(as), 0, 0,
     "key that signs, keys/NAME.key; made when there is none"},
    {"model", "HASH", ARG_TEXT, AT(model), 0, 0, "model it is about"},
    {"amount", "N", ARG_COUNT, AT(amount), 0, 1e18,
     "deposit, claim: smallest units (claim 0: all); receipt: units"},
    {"address", "0x...", ARG_TEXT, AT(address), 0, 0, "claim: paid on a chain, to this address"},
    {"to", "ACCOUNT", ARG_TEXT, AT(to), 0, 0, "transfer: name of a key, or an account's 64 digits"},
    {"shares", "N", ARG_COUNT, AT(shares), 1, 1e18, "transfer: how many"},
    {"entry", "FILE", ARG_TEXT, AT(entry), 0, 0,
     "file: a signed entry made elsewhere (- standard input)"},
    {"out", "FILE", ARG_TEXT, AT(out), 0, 0, "write the signed entry there and append nothing"},
    {"repeat", "N", ARG_COUNT, AT(repeat), 1, 1e8, "so many of them, in groups"},
    {"costs", "N,N,...", ARG_TEXT, AT(costs), 0, 0, "model: units per token of each block"},
    {"parents", "HASH:BPS,...", ARG_TEXT, AT(parents), 0, 0,
     "model: built on these; parts of its revenue are theirs"},
    {"designer-bps", "N", ARG_COUNT, AT(designer_bps), 0, 10000,
     "model: designer's part of the mint, 1/10000"},
    {"data-bps", "N", ARG_COUNT, AT(data_bps), 0, 10000, "model: data provider's part"},
    {"data", "ACCOUNT", ARG_TEXT, AT(data), 0, 0, "model: data provider"},
    {"vest", "N", ARG_COUNT, AT(vest), 0, 1024, "model: epochs over which shares vest"},
    {"cliff", "N", ARG_COUNT, AT(cliff), 0, 1024, "model: epochs before any is vested"},
    {"tokens", "N", ARG_COUNT, AT(tokens), 1, 4e9,
     "model: most of a micro-batch (4096); receipt: in all"},
    {"halving", "UNITS", ARG_COUNT, AT(halving), 1, 1e18,
     "model: units after which the mint halves (10^12)"},
    {"rate", "N", ARG_COUNT, AT(rate), 1, 1e18, "model: shares per --divisor units at first (1)"},
    {"divisor", "N", ARG_COUNT, AT(divisor), 1, 1e18, "model: see --rate (1)"},
    {"profile", "HASH", ARG_TEXT, AT(profile), 0, 0,
     "model, receipt: numeric profile (default: this build's)"},
    {"upstream", "NAME", ARG_TEXT, AT(upstream), 0, 0, "receipt: neighbour that signs"},
    {"downstream", "NAME", ARG_TEXT, AT(downstream), 0, 0, "receipt: the other one"},
    {"step", "N", ARG_COUNT, AT(step), 0, 1e15, "receipt: of training"},
    {"lane", "N", ARG_COUNT, AT(lane), 0, 4e9, "receipt: replica"},
    {"block-first", "N", ARG_COUNT, AT(block_first), 0, 4096, "receipt: first block"},
    {"block-end", "N", ARG_COUNT, AT(block_end), 1, 4096, "receipt: block after the last"},
    {"mb-first", "N", ARG_COUNT, AT(mb_first), 0, 4e9, "receipt: first micro-batch"},
    {"mb-count", "N", ARG_COUNT, AT(mb_count), 1, 4e9, "receipt: how many (1)"},
    {"quiet", NULL, ARG_FLAG, AT(quiet), 0, 0, "no bar"},
    OPT_JSON,
    OPT_HELP,
};

const struct command command_append = {
    "append", "sign an entry and append it, or append one that was signed elsewhere",
    "  An entry that is not valid is refused, with the reason, and leaves no trace. Entries of "
    "every type can be made\n"
    "  with the library (pluralis/entries.h) and appended with --kind file.\n",
    COMMAND_SPECS(specs), run};
