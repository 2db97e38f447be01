#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "report_style.h"

void report_setting(struct report *r, const char *name, const char *format, ...) {
  if (r->setting_count == REPORT_MAX_SETTINGS) return;
  struct report_setting *s = &r->settings[r->setting_count++];
  snprintf(s->name, sizeof s->name, "%s", name);
  va_list args;
  va_start(args, format);
  vsnprintf(s->value, sizeof s->value, format, args);
  va_end(args);
}

static void html(struct strbuf *out, const char *text) {
  strbuf_html(out, text, strlen(text));
}

static const struct run_record *find_run(const struct report *r, uint32_t dense) {
  for (size_t m = 0; m < r->model_count; m++)
    if (r->models[m].run->dense == dense) return r->models[m].run;
  return NULL;
}

static double run_seconds(const struct run_record *run) {
  return run->point_count ? run->points[run->point_count - 1].seconds : 0;
}

static double run_speed(const struct run_record *run) {
  double seconds = run_seconds(run);
  if (!(seconds > 0)) return 0;
  return (double)(run->points[run->point_count - 1].step * run->tokens_per_step) / seconds;
}

/* ---- head
 * --------------------------------------------------------------------------------------- */

static void tile(struct strbuf *out, const char *name, const char *value, const char *note) {
  strbuf_printf(
      out, "<div class=\"tile\"><span class=\"name\">%s</span><b>%s</b><span>%s</span></div>\n",
      name, value, note);
}

static void loss_tile(struct strbuf *out, const struct report *r, const struct run_record *ours) {
  char value[32], note[160];
  double loss = run_record_valid_loss(ours);
  const struct run_record *dense = find_run(r, 1);
  snprintf(value, sizeof value, "%.3f", loss);
  int below = loss < r->bigram;
  int n = snprintf(note, sizeof note, "<span class=\"%s\">%s bigram entropy %.3f</span>",
                   below ? "ok" : "no", below ? "below the" : "not below the", r->bigram);
  if (dense && dense != ours && n < (int)sizeof note)
    snprintf(note + n, sizeof note - (size_t)n, "dense, uncompressed: %.3f (ours %+.1f%%)",
             run_record_valid_loss(dense), 100 * (loss / run_record_valid_loss(dense) - 1));
  tile(out, "validation loss, nats per byte", value, note);
}

static void bytes_tile(struct strbuf *out, const struct report *r, const struct run_record *ours) {
  char value[FORMAT_CAP], other[FORMAT_CAP], note[160];
  struct run_traffic t = run_record_between_stages(ours);
  const struct run_record *dense = find_run(r, 1);
  format_bytes(value, (double)t.sent);
  if (dense && dense != ours) {
    format_bytes(other, (double)run_record_between_stages(dense).sent);
    snprintf(note, sizeof note, "dense, uncompressed: %s at the same tokens", other);
  } else {
    snprintf(note, sizeof note, "dense bf16 would be %s", format_bytes(other, (double)t.raw));
  }
  tile(out, "sent between stages", value, note);
}

static void put_tiles(struct strbuf *out, const struct report *r) {
  const struct run_record *ours = r->models[0].run;
  char value[64], note[160], a[FORMAT_CAP], b[FORMAT_CAP];
  strbuf_puts(out, "<div class=\"tiles\">\n");
  loss_tile(out, r, ours);
  if (!ours->dense) {
    snprintf(value, sizeof value, "%.1f\xc3\x97", run_record_ratio(ours));
    int n = snprintf(note, sizeof note, "dense bf16 bytes \xc3\xb7 all bytes sent");
    if (ours->ratio_planned > 0)
      snprintf(note + n, sizeof note - (size_t)n, "; planned %.0f\xc3\x97", ours->ratio_planned);
    tile(out, "compression between stages", value, note);
  }
  bytes_tile(out, r, ours);
  const struct run_record *dense = find_run(r, 1);
  format_count(value, (uint64_t)(run_speed(ours) + 0.5));
  int n = snprintf(
      note, sizeof note, "%s tokens in %s",
      format_short(a, (double)(ours->point_count ? ours->points[ours->point_count - 1].step : 0) *
                          (double)ours->tokens_per_step),
      format_duration(b, run_seconds(ours)));
  if (dense && dense != ours)
    snprintf(note + n, sizeof note - (size_t)n, "; dense: %s per second",
             format_count(a, (uint64_t)(run_speed(dense) + 0.5)));
  tile(out, "tokens per second", value, note);
  snprintf(note, sizeof note, "%s entries, %s receipts with three signatures",
           format_count(a, r->ledger.entries), format_count(b, r->ledger.receipts));
  tile(out, "ledger",
       r->ledger.verified ? "<span class=\"ok\">verified</span>"
                          : "<span class=\"no\">not verified</span>",
       note);
  strbuf_puts(out, "</div>\n");
}

static void put_head(struct strbuf *out, const struct report *r) {
  const struct run_record *ours = r->models[0].run;
  char a[FORMAT_CAP], b[FORMAT_CAP];
  strbuf_puts(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                   "<title>Training report</title>\n<style>");
  strbuf_puts(out, report_style);
  strbuf_puts(out, "</style></head><body><main>\n<h1>A model of ");
  html(out, r->text_name);
  strbuf_printf(out, ", trained across %u stage%s</h1>\n<p class=\"lead\">", ours->stages,
                ours->stages == 1 ? "" : "s");
  strbuf_printf(
      out,
      "A byte-level transformer of %s parameters, split over %u process%s that talk over slow "
      "links. Every micro-batch became a receipt signed by the stage and both its neighbours; the "
      "ledger turned receipts into shares of the model, and a deposit of revenue into payouts. The "
      "text has %s bytes; its last tenth is for validation.</p>\n",
      format_short(a, (double)ours->parameters), ours->stages, ours->stages == 1 ? "" : "es",
      format_count(b, r->text_len));
}

/* ---- sections
 * ----------------------------------------------------------------------------------- */

static void run_legend(struct strbuf *out, const struct report *r, const char *more) {
  strbuf_puts(out, "<div class=\"legend\">");
  for (size_t m = 0; m < r->model_count; m++) {
    const struct run_record *run = r->models[m].run;
    strbuf_printf(out, "<span><span class=\"swatch\" style=\"background:%s\"></span>%s: ",
                  report_run_color(run), run->name);
    html(out, run->boundary);
    strbuf_puts(out, "</span>");
  }
  strbuf_printf(out, "%s</div>\n", more);
}

static void put_losses(struct strbuf *out, const struct report *r) {
  strbuf_puts(out, "<div class=\"pair\"><section><h2>Loss by step</h2>"
                   "<div class=\"sub\">Equal tokens. Thick: validation, thin: training.</div>\n");
  report_loss_by_step(out, r);
  strbuf_puts(out, "</section><section><h2>Loss by bytes sent</h2>"
                   "<div class=\"sub\">What each byte between stages bought.</div>\n");
  report_loss_by_bytes(out, r);
  strbuf_puts(out, "</section></div>\n");
}

static void put_bits(struct strbuf *out, const struct report *r) {
  for (size_t m = 0; m < r->model_count; m++) {
    const struct run_record *run = r->models[m].run;
    if (run->rate_count < 2) continue;
    strbuf_puts(
        out,
        "<div class=\"pair\"><section><h2>Bits per value</h2><div class=\"sub\">Of the tensors "
        "between stages, both directions, everything that was sent counted.</div>\n");
    report_bits(out, run);
    strbuf_puts(out,
                "</section><section><h2>Rate of the links</h2><div class=\"sub\">Thick: what the "
                "links between stages measured, on average; thin: what they were given. Each stage "
                "gives its frames what a link carries while it computes.</div>\n");
    report_rates(out, run);
    strbuf_puts(out, "</section></div>\n");
  }
}

static void put_links(struct strbuf *out, const struct report *r) {
  strbuf_puts(
      out,
      "<section><h2>Bytes on each link</h2><div class=\"sub\">Both directions, everything counted: "
      "frames with headers, token ids, signatures, control. The feeder's links carry token ids, "
      "losses and receipts.</div>\n");
  run_legend(out, r,
             find_run(r, 0)
                 ? "<span><span class=\"swatch\" style=\"background:var(--ghost)\"></span>"
                   "the same tensors as dense bf16</span>"
                 : "");
  report_link_bars(out, r);
  strbuf_puts(out, "</section>\n");
}

static void put_timeline(struct strbuf *out, const struct report *r) {
  size_t spans = 0;
  for (size_t m = 0; m < r->model_count; m++) spans += r->models[m].run->span_count;
  if (!spans) return;
  strbuf_puts(
      out,
      "<section><h2>Two steps on a time line</h2><div class=\"sub\">Numbers are micro-batches; "
      "empty "
      "lanes are bubbles. Stages that share a processor stretch each other's jobs.</div>"
      "<div class=\"legend\">"
      "<span><span class=\"swatch\" style=\"background:var(--forward)\"></span>forward</span>"
      "<span><span class=\"swatch\" style=\"background:var(--backward)\"></span>backward</span>"
      "<span><span class=\"swatch\" style=\"background:var(--step)\"></span>optimizer step</span>"
      "<span><span class=\"swatch\" style=\"background:var(--lane)\"></span>idle</span></div>\n");
  report_timelines(out, r);
  strbuf_puts(out, "</section>\n");
}

static void owner_row(struct strbuf *out, const struct report *r, const struct report_model *m,
                      size_t i) {
  const struct report_owner *o = &m->owners[i];
  char a[FORMAT_CAP], b[FORMAT_CAP], c[FORMAT_CAP], d[FORMAT_CAP];
  double part = m->supply ? 100.0 * (double)o->shares / (double)m->supply : 0;
  strbuf_printf(out, "<tr><td><span class=\"swatch\" style=\"background:%s\"></span>%s</td><td>",
                report_owner_color(m, i), o->name);
  html(out, o->role);
  strbuf_printf(out, "</td><td class=\"hash\">%.16s\xe2\x80\xa6</td>", o->account);
  strbuf_printf(out,
                "<td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td "
                "class=\"n\">%.2f%%</td>"
                "<td class=\"n\">%s</td></tr>\n",
                o->receipts ? format_count(a, o->receipts) : "\xe2\x80\x93",
                o->units > 0 ? format_short(b, o->units) : "\xe2\x80\x93",
                format_count(c, o->shares), part, format_money(d, o->paid, r->ledger.decimals));
}

static void owner_table(struct strbuf *out, const struct report *r, const struct report_model *m) {
  char a[FORMAT_CAP], b[FORMAT_CAP];
  uint64_t paid = 0;
  strbuf_printf(
      out,
      "<div class=\"scroll\"><table><thead><tr><th>account</th><th>part in it</th><th>id</th>"
      "<th class=\"n\">receipts</th><th class=\"n\">verified work, flop</th><th "
      "class=\"n\">shares</th>"
      "<th class=\"n\">owns</th><th class=\"n\">paid out, %s</th></tr></thead><tbody>\n",
      r->ledger.currency);
  for (size_t i = 0; i < m->owner_count; i++) {
    owner_row(out, r, m, i);
    paid += m->owners[i].paid;
  }
  strbuf_printf(
      out,
      "</tbody><tfoot><tr><td>all</td><td></td><td></td><td></td><td></td><td class=\"n\">%s</td>"
      "<td class=\"n\">100%%</td><td class=\"n\">%s</td></tr></tfoot></table></div>\n",
      format_count(a, m->supply), format_money(b, paid, r->ledger.decimals));
}

static void put_ownership(struct strbuf *out, const struct report *r) {
  strbuf_puts(
      out,
      "<section><h2>Who owns the model</h2><div class=\"sub\">Shares follow verified work: units "
      "come "
      "from the model's cost table, never from a worker's word. A deposit of revenue went to the "
      "holders in proportion.</div>\n");
  for (size_t i = 0; i < r->model_count; i++) {
    const struct report_model *m = &r->models[i];
    char money[FORMAT_CAP];
    strbuf_printf(out,
                  "<h3><span class=\"swatch\" style=\"background:%s\"></span>%s, revenue %s %s "
                  "<span class=\"hash\">model %.16s\xe2\x80\xa6</span></h3>\n",
                  report_run_color(m->run), m->run->name,
                  format_money(money, m->deposited, r->ledger.decimals), r->ledger.currency,
                  m->hash);
    report_ownership_bar(out, m);
    owner_table(out, r, m);
  }
  strbuf_puts(out, "</section>\n");
}

static void fact(struct strbuf *out, const char *name, const char *css, const char *value) {
  strbuf_puts(out, "<tr><td>");
  html(out, name);
  strbuf_printf(out, "</td><td class=\"%s\">", css);
  html(out, value);
  strbuf_puts(out, "</td></tr>\n");
}

static void put_ledger(struct strbuf *out, const struct report *r) {
  const struct report_ledger *l = &r->ledger;
  char text[256], a[FORMAT_CAP], b[FORMAT_CAP], c[FORMAT_CAP];
  strbuf_puts(out, "<section><h2>Ledger</h2>\n");
  if (l->verified) {
    strbuf_printf(out,
                  "<p><span class=\"ok\">Verified.</span> The exported file was read without "
                  "trust: %s entries were "
                  "replayed from nothing, every signature, nonce, unit and amount checked, and the "
                  "state and the "
                  "Merkle root came out as signed.</p>\n",
                  format_count(a, l->entries));
  } else {
    strbuf_puts(out, "<p><span class=\"no\">Not verified:</span> ");
    html(out, l->message);
    strbuf_puts(out, "</p>\n");
  }
  strbuf_puts(out, "<table class=\"facts\">\n");
  fact(out, "origin", "", l->origin);
  snprintf(text, sizeof text, "%s in %s epochs, by %s accounts", format_count(a, l->entries),
           format_count(b, l->epochs), format_count(c, l->accounts));
  fact(out, "entries", "", text);
  snprintf(text, sizeof text, "%s receipts for %s flop", format_count(a, l->receipts),
           format_short(b, l->units));
  fact(out, "verified work", "", text);
  snprintf(text, sizeof text, "%s %s deposited, %s paid out",
           format_money(a, l->deposited, l->decimals), l->currency,
           format_money(b, l->paid, l->decimals));
  fact(out, "money", "", text);
  fact(out, "log root", "hash", l->root);
  fact(out, "state root", "hash", l->state_root);
  fact(out, "verifier key", "hash", l->vkey);
  strbuf_puts(out, "</table>\n<h3>Signed checkpoint</h3><pre class=\"hash\">");
  html(out, l->checkpoint);
  strbuf_puts(out, "</pre></section>\n");
}

static void put_samples(struct strbuf *out, const struct report *r) {
  size_t samples = 0;
  for (size_t m = 0; m < r->model_count; m++) samples += r->models[m].run->sample != NULL;
  if (!samples) return;
  strbuf_puts(out, "<section><h2>What it writes</h2><div class=\"sub\">Generated through the "
                   "pipeline, one byte at a "
                   "time; the prompt is grey.</div>\n");
  strbuf_puts(out, samples > 1 ? "<div class=\"pair\">\n" : "<div>\n");
  for (size_t m = 0; m < r->model_count; m++) {
    const struct run_record *run = r->models[m].run;
    if (!run->sample) continue;
    strbuf_printf(out,
                  "<div><h3><span class=\"swatch\" style=\"background:%s\"></span>%s</h3>"
                  "<div class=\"sample\"><pre><span class=\"prompt\">",
                  report_run_color(run), run->name);
    html(out, run->prompt);
    strbuf_puts(out, "</span>");
    html(out, run->sample);
    strbuf_puts(out, "</pre></div></div>\n");
  }
  strbuf_puts(out, "</div></section>\n");
}

static void put_settings(struct strbuf *out, const struct report *r) {
  strbuf_puts(out, "<section><h2>Configuration</h2><table class=\"facts\">\n");
  for (size_t i = 0; i < r->setting_count; i++)
    fact(out, r->settings[i].name, "", r->settings[i].value);
  strbuf_puts(
      out,
      "</table></section>\n"
      "<footer>Ratio: dense bf16 bytes of all tensors that crossed a boundary, both directions, "
      "divided by all bytes the links between stages sent. Bigram entropy: cross-entropy of the "
      "validation part under the byte pairs of the training part, interpolated with single bytes; "
      "lower is better.</footer>\n</main></body></html>\n");
}

static int save(const struct strbuf *page, const char *path, char *message, size_t cap) {
  char temporary[1040];
  if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary) {
    snprintf(message, cap, "%s: the path is too long", path);
    return -1;
  }
  FILE *file = fopen(temporary, "wb");
  int ok = file && fwrite(page->text, 1, page->len, file) == page->len;
  if (file && fclose(file) != 0) ok = 0;
  if (ok && rename(temporary, path) == 0) return 0;
  snprintf(message, cap, "%s: %s", path, strerror(errno));
  if (file) unlink(temporary);
  return -1;
}

int report_write(const struct report *r, const char *path, char *message, size_t message_cap) {
  struct strbuf page = {0};
  put_head(&page, r);
  put_tiles(&page, r);
  put_losses(&page, r);
  put_bits(&page, r);
  put_links(&page, r);
  put_timeline(&page, r);
  put_ownership(&page, r);
  put_ledger(&page, r);
  put_samples(&page, r);
  put_settings(&page, r);
  int result = save(&page, path, message, message_cap);
  strbuf_free(&page);
  return result;
}
