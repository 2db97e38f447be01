/* Tables for people, JSON for programs, a bar for whoever waits. */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "format.h"

/* ---- tables ------------------------------------------------------------------------------------------------ */

void table_begin(struct table *t, const char *align, const char *const *heads) {
  memset(t, 0, sizeof *t);
  t->align = align;
  t->columns = strlen(align);
  for (size_t i = 0; i < t->columns; i++) table_cell(t, "%s", heads[i]);
}

void table_cell(struct table *t, const char *format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  strbuf_add(&t->cells, text, strlen(text) + 1);
  t->count++;
}

void table_print(struct table *t) {
  size_t width[16] = {0}, i = 0;
  const char *at = t->cells.text;
  for (i = 0; i < t->count; i++, at += strlen(at) + 1)
    if (strlen(at) > width[i % t->columns]) width[i % t->columns] = strlen(at);
  for (i = 0, at = t->cells.text; i < t->count; i++, at += strlen(at) + 1) {
    size_t column = i % t->columns;
    int last = column + 1 == t->columns;
    if (t->align[column] == '>')
      printf("%*s%s", (int)width[column], at, last ? "\n" : "  ");
    else if (last)
      printf("%s\n", at);
    else
      printf("%-*s  ", (int)width[column], at);
  }
  strbuf_free(&t->cells);
}

/* ---- JSON ------------------------------------------------------------------------------------------------- */

static void quoted(struct strbuf *b, const char *text) {
  strbuf_puts(b, "\"");
  for (; *text; text++) {
    unsigned char ch = (unsigned char)*text;
    if (ch == '"' || ch == '\\')
      strbuf_printf(b, "\\%c", ch);
    else if (ch < 0x20)
      strbuf_printf(b, "\\u%04x", ch);
    else
      strbuf_add(b, text, 1);
  }
  strbuf_puts(b, "\"");
}

static void begin(struct json *j, const char *key) {
  if (j->comma) strbuf_puts(&j->b, ",");
  j->comma = 1;
  if (!key) return;
  quoted(&j->b, key);
  strbuf_puts(&j->b, ":");
}

void json_open(struct json *j, const char *key, char bracket) {
  begin(j, key);
  strbuf_add(&j->b, &bracket, 1);
  j->comma = 0;
}

void json_close(struct json *j, char bracket) {
  strbuf_add(&j->b, &bracket, 1);
  j->comma = 1;
}

void json_text(struct json *j, const char *key, const char *text) {
  begin(j, key);
  quoted(&j->b, text);
}

void json_number(struct json *j, const char *key, uint64_t value) {
  int large = value >> 53 != 0; /* many readers of JSON keep numbers in a double */
  begin(j, key);
  strbuf_printf(&j->b, "%s%llu%s", large ? "\"" : "", (unsigned long long)value, large ? "\"" : "");
}

void json_hex(struct json *j, const char *key, const uint8_t *bytes, size_t len) {
  begin(j, key);
  strbuf_puts(&j->b, "\"");
  for (size_t i = 0; i < len; i++) strbuf_printf(&j->b, "%02x", bytes[i]);
  strbuf_puts(&j->b, "\"");
}

void json_raw(struct json *j, const char *key, const char *text, size_t len) {
  begin(j, key);
  strbuf_add(&j->b, text, len);
}

void json_print(struct json *j) {
  puts(j->b.text);
  strbuf_free(&j->b);
}

/* ---- values ------------------------------------------------------------------------------------------------ */

char *short_hash(char buf[20], const plr_hash *h) {
  for (int i = 0; i < 6; i++) snprintf(buf + 2 * i, 3, "%02x", h->bytes[i]);
  return buf;
}

/* Of a JSON object that plr_entry_json wrote: the text or number after "key":. */
static const char *field(const char *json, const char *key) {
  char want[64];
  snprintf(want, sizeof want, "\"%s\":", key);
  const char *at = strstr(json, want);
  return at ? at + strlen(want) + strspn(at + strlen(want), " \"") : NULL;
}

uint32_t ledger_decimals(plr_ledger *ledger, char currency[17]) {
  static uint8_t entry[PLR_ENTRY_MAX];
  char json[4096];
  size_t len;
  plr_context *ctx;
  uint32_t decimals = 0;
  currency[0] = 0;
  if (plr_context_create(NULL, &ctx, NULL) != PLR_OK) return 0;
  if (plr_ledger_entry(ledger, 0, entry, sizeof entry, &len, NULL) == PLR_OK &&
      plr_entry_json(ctx, entry, len, json, sizeof json - 1, &len, NULL) == PLR_OK) {
    json[len] = 0;
    const char *d = field(json, "decimals"), *name = field(json, "currency");
    if (d) sscanf(d, "%u", &decimals);
    if (name) sscanf(name, "%16[^\"]", currency);
  }
  plr_context_destroy(ctx);
  return decimals;
}

/* ---- waiting ------------------------------------------------------------------------------------------------ */

double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_begin(struct progress *p, const char *what, const struct cli *c) {
  *p = (struct progress){.what = what, .began = seconds_now(), .on = !c->o.quiet && isatty(2)};
}

void progress_show(struct progress *p, uint64_t done, uint64_t total, uint64_t bytes) {
  char have[FORMAT_CAP], all[FORMAT_CAP], rate[FORMAT_CAP], left[FORMAT_CAP],
      volume[FORMAT_CAP] = "", bar[31];
  double now = seconds_now(), spent = now - p->began;
  if (!p->on || (now - p->shown < 0.1 && done < total)) return;
  p->shown = now;
  size_t full = total ? (size_t)((double)done / (double)total * 30) : 0;
  memset(bar, '.', 30);
  memset(bar, '#', full < 30 ? full : 30);
  bar[30] = 0;
  double speed = spent > 0 ? (double)done / spent : 0;
  if (bytes) format_bytes(volume, (double)bytes);
  fprintf(stderr, "\r%s [%s] %s of %s entries, %s/s%s%s, %s left \033[K", p->what, bar,
          format_count(have, done), format_count(all, total), format_short(rate, speed),
          bytes ? ", " : "", volume,
          format_duration(left, speed > 0 ? (double)(total - done) / speed : 0));
}

void progress_end(struct progress *p) {
  if (p->on && p->shown > 0) fputs("\n", stderr);
}
