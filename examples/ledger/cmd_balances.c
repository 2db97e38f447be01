#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "format.h"

#define PAGE 256

struct showing {
  struct cli *c;
  struct json j;
  char currency[17];
  uint32_t decimals;
};

static void holder_json(struct json *j, const plr_balance *b) {
  json_open(j, NULL, '{');
  json_hex(j, "account", b->account.bytes, 32);
  json_number(j, "shares", b->shares), json_number(j, "vested", b->vested);
  json_number(j, "payable", b->payable), json_number(j, "paid", b->paid);
  json_number(j, "units", b->units.lo), json_number(j, "receipts", b->receipts);
  json_close(j, '}');
}

static void holder_row(struct table *t, const plr_balance *b, const plr_model_totals *m,
                       uint32_t decimals) {
  char a[FORMAT_CAP];
  table_cell(t, "%s", short_hash((char[20]){0}, &b->account));
  table_cell(t, "%s", format_count(a, b->shares));
  table_cell(t, "%.2f%%", m->supply ? 100.0 * (double)b->shares / (double)m->supply : 0.0);
  table_cell(t, "%s", format_count(a, b->vested));
  table_cell(t, "%s", format_money(a, b->payable, decimals));
  table_cell(t, "%s", format_money(a, b->paid, decimals));
  table_cell(t, "%s", format_count(a, b->units.lo));
}

static int holders(struct showing *s, const plr_hash *model, const plr_model_totals *m) {
  plr_balance page[PAGE];
  plr_hash last;
  const plr_hash *after = NULL;
  size_t n = PAGE;
  struct table t;
  if (!s->c->o.json)
    table_begin(
        &t, "<>>>>>>",
        (const char *const[]){"account", "shares", "part", "vested", "payable", "paid", "units"});
  while (n == PAGE) {
    plr_status st = plr_ledger_holders(s->c->ledger, model, after, page, PAGE, &n);
    if (st != PLR_OK) return cli_failed(s->c, "holders", st);
    for (size_t i = 0; i < n; i++) {
      if (s->c->o.json)
        holder_json(&s->j, &page[i]);
      else
        holder_row(&t, &page[i], m, s->decimals);
    }
    if (n) last = page[n - 1].account, after = &last;
  }
  if (!s->c->o.json) table_print(&t);
  return 0;
}

static int show_model(struct showing *s, const plr_hash *model) {
  plr_model_totals m = {.struct_size = sizeof m};
  plr_parent parents[4];
  uint32_t parent_count = 0;
  char hex[65], a[FORMAT_CAP], b[FORMAT_CAP], d[FORMAT_CAP];
  plr_status st = plr_ledger_model(s->c->ledger, model, &m);
  if (st == PLR_OK) st = plr_ledger_parents(s->c->ledger, model, parents, &parent_count);
  if (st != PLR_OK) return cli_failed(s->c, "model", st);
  if (!s->c->o.json) {
    printf("model %s\n", format_hex(hex, sizeof hex, model->bytes, 32));
    printf("shares %s, held by %llu; deposited %s %s, royalties in %s", format_count(a, m.supply),
           (unsigned long long)m.holders, format_money(b, m.deposited, s->decimals), s->currency,
           format_money(d, m.royalty_in, s->decimals));
    printf(", out %s\n", format_money(a, m.royalty_out, s->decimals));
    for (uint32_t i = 0; i < parent_count; i++)
      printf("built on %s, which gets %.2f%%\n",
             format_hex(hex, sizeof hex, parents[i].model.bytes, 32), parents[i].bps / 100.0);
    CLI_TRY(holders(s, model, &m));
    puts("");
    return 0;
  }
  json_open(&s->j, NULL, '{');
  json_hex(&s->j, "model", model->bytes, 32), json_hex(&s->j, "designer", m.designer.bytes, 32);
  json_number(&s->j, "supply", m.supply), json_number(&s->j, "deposited", m.deposited);
  json_number(&s->j, "paid", m.paid), json_number(&s->j, "held", m.held);
  json_number(&s->j, "royalty_in", m.royalty_in), json_number(&s->j, "royalty_out", m.royalty_out);
  json_open(&s->j, "parents", '[');
  for (uint32_t i = 0; i < parent_count; i++) {
    json_open(&s->j, NULL, '{');
    json_hex(&s->j, "model", parents[i].model.bytes, 32),
        json_number(&s->j, "bps", parents[i].bps);
    json_close(&s->j, '}');
  }
  json_close(&s->j, ']');
  json_open(&s->j, "holders", '[');
  CLI_TRY(holders(s, model, &m));
  json_close(&s->j, ']');
  json_close(&s->j, '}');
  return 0;
}

static int run(struct cli *c) {
  struct showing s = {.c = c};
  plr_hash one, *models = &one;
  size_t count = 1;
  CLI_TRY(cli_open(c, 0));
  s.decimals = ledger_decimals(c->ledger, s.currency);
  if (c->o.model)
    CLI_TRY(cli_hash(c, "model", c->o.model, &one));
  else
    CLI_TRY(cli_models(c, &models, &count));
  if (c->o.json) json_open(&s.j, NULL, '[');
  int result = 0;
  for (size_t i = 0; i < count && result == 0; i++) result = show_model(&s, &models[i]);
  if (models != &one) free(models);
  if (c->o.json && result == 0) {
    json_close(&s.j, ']');
    json_print(&s.j);
  } else {
    strbuf_free(&s.j.b);
  }
  if (result == 0 && count == 0 && !c->o.json) puts("no model is registered");
  return result;
}

static const struct arg_spec specs[] = {
    OPT_DIR,  OPT_DB,   {"model", "HASH", ARG_TEXT, AT(model), 0, 0, "this one only"},
    OPT_JSON, OPT_HELP,
};

const struct command command_balances = {
    "balances", "who holds which shares, and what each is owed", NULL, COMMAND_SPECS(specs), run};
