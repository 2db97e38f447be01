#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "format.h"

#define JSON_MOST (1u << 20)

static int entry_json(struct cli *c, uint64_t index, char *json, size_t *json_len,
                      size_t *entry_len) {
  static uint8_t entry[PLR_ENTRY_MAX];
  plr_status st = plr_ledger_entry(c->ledger, index, entry, sizeof entry, entry_len, &c->err);
  if (st != PLR_OK) return cli_failed(c, "entry", st);
  st = plr_entry_json(c->ctx, entry, *entry_len, json, JSON_MOST - 1, json_len, &c->err);
  if (st != PLR_OK) /* a log may hold what is no entry, without effect */
    *json_len = (size_t)snprintf(json, JSON_MOST, "{\"type\":\"none\",\"why\":\"%s\"}",
                                 plr_status_name(st));
  json[*json_len] = 0;
  return 0;
}

/* The value of "key" in what plr_entry_json wrote, without quotes. */
static void value_of(const char *json, const char *key, char *out, size_t cap) {
  char want[64];
  snprintf(want, sizeof want, "\"%s\":", key);
  const char *at = strstr(json, want);
  *out = 0;
  if (!at) return;
  at += strlen(want) + strspn(at + strlen(want), " \"");
  size_t n = strcspn(at, "\",}");
  snprintf(out, cap, "%.*s", (int)(n < cap ? n : cap - 1), at);
}

static int show_entries(struct cli *c, uint64_t from, uint64_t count) {
  static char json[JSON_MOST];
  struct table t;
  struct json j = {0};
  size_t len, bytes;
  if (c->o.json)
    json_open(&j, NULL, '[');
  else
    table_begin(&t, "><<>>", (const char *const[]){"index", "type", "author", "nonce", "bytes"});
  for (uint64_t i = from; i < from + count; i++) {
    char type[40], author[80], nonce[24];
    if (entry_json(c, i, json, &len, &bytes) != 0) {
      strbuf_free(c->o.json ? &j.b : &t.cells);
      return -1;
    }
    if (c->o.json) {
      json_open(&j, NULL, '{');
      json_number(&j, "index", i), json_number(&j, "bytes", bytes),
          json_raw(&j, "entry", json, len);
      json_close(&j, '}');
      continue;
    }
    value_of(json, "type", type, sizeof type);
    value_of(json, "author", author, sizeof author);
    value_of(json, "nonce", nonce, sizeof nonce);
    table_cell(&t, "%llu", (unsigned long long)i), table_cell(&t, "%s", type),
        table_cell(&t, "%.12s", author);
    table_cell(&t, "%s", nonce), table_cell(&t, "%zu", bytes);
  }
  if (c->o.json) {
    json_close(&j, ']');
    json_print(&j);
  } else {
    table_print(&t);
  }
  return 0;
}

static int show_summary(struct cli *c, const plr_ledger_summary *s) {
  char currency[17], a[FORMAT_CAP], b[FORMAT_CAP], hex[65];
  uint32_t decimals = ledger_decimals(c->ledger, currency);
  const char *origin = plr_ledger_origin(c->ledger, NULL);
  if (c->o.json) {
    struct json j = {0};
    json_open(&j, NULL, '{');
    json_text(&j, "origin", origin), json_text(&j, "currency", currency),
        json_number(&j, "decimals", decimals);
    json_number(&j, "entries", s->entries), json_number(&j, "rejected", s->rejected);
    json_number(&j, "epoch", s->epoch), json_number(&j, "accounts", s->accounts);
    json_number(&j, "models", s->models), json_number(&j, "receipts", s->receipts);
    json_number(&j, "units", s->units.lo), json_number(&j, "minted", s->minted.lo);
    json_number(&j, "deposited", s->deposited), json_number(&j, "paid", s->paid);
    json_hex(&j, "root", s->root.bytes, 32), json_hex(&j, "state_root", s->state_root.bytes, 32);
    json_close(&j, '}');
    json_print(&j);
    return 0;
  }
  printf("log         %s\n", origin);
  printf("entries     %s, %s of them without effect\n", format_count(a, s->entries),
         format_count(b, s->rejected));
  printf("epoch       %s\n", format_count(a, s->epoch));
  printf("accounts    %s, models %s\n", format_count(a, s->accounts), format_count(b, s->models));
  printf("receipts    %s, %s units\n", format_count(a, s->receipts), format_count(b, s->units.lo));
  printf("shares      %s\n", format_count(a, s->minted.lo));
  printf("deposited   %s %s, paid %s\n", format_money(a, s->deposited, decimals), currency,
         format_money(b, s->paid, decimals));
  printf("root        %s\n", format_hex(hex, sizeof hex, s->root.bytes, 32));
  printf("state root  %s\n", format_hex(hex, sizeof hex, s->state_root.bytes, 32));
  return 0;
}

static int run(struct cli *c) {
  plr_ledger_summary s = {.struct_size = sizeof s};
  CLI_TRY(cli_open(c, 0));
  plr_status st = plr_ledger_summarize(c->ledger, &s);
  if (st != PLR_OK) return cli_failed(c, "summary", st);
  if (!c->o.count && !c->o.kind) return show_summary(c, &s);
  if (c->o.from >= s.entries)
    return cli_fail(c, "--from %llu: the log has %llu entries", (unsigned long long)c->o.from,
                    (unsigned long long)s.entries);
  uint64_t count = c->o.count ? c->o.count : 1, left = s.entries - c->o.from;
  return show_entries(c, c->o.from, count < left ? count : left);
}

static const struct arg_spec specs[] = {
    OPT_DIR,
    OPT_DB,
    {"count", "N", ARG_COUNT, AT(count), 1, 1e9, "so many entries, in place of the summary"},
    {"from", "INDEX", ARG_COUNT, AT(from), 0, 1e18, "from this one on (default 0)"},
    OPT_JSON,
    OPT_HELP,
};

const struct command command_show = {"show", "the whole ledger in numbers, or its entries", NULL,
                                     COMMAND_SPECS(specs), run};
