/* The page of the demonstration: lineage, flows of money drawn to scale, every amount to the unit, the proof. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "demo.h"
#include "format.h"
#include "report_style.h"

#define HEIGHT 400.0 /* of all money that came in */
#define GAP    22.0
#define NODE   14.0 /* width of a node */

enum { X_CLIENT = 150, X_FORK = 400, X_FIRST = 600, X_PEOPLE = 830 };

struct drawing {
  const struct demo *d;
  struct strbuf *out;
  double scale;
  double person_y[DEMO_PEOPLE], person_used[DEMO_PEOPLE];
};

static const char *money(const struct demo *d, char buf[FORMAT_CAP], uint64_t amount) {
  return format_money(buf, amount, d->decimals);
}

/* ---- flows -------------------------------------------------------------------------------------------------- */

static void ribbon(struct drawing *g, double x0, double y0, double x1, double y1, double h,
                   const char *colour, const char *title) {
  double mid = (x0 + x1) / 2;
  if (h < 1) h = 1;
  strbuf_printf(g->out,
                "<path d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1fL%.1f %.1fC%.1f %.1f %.1f %.1f "
                "%.1f %.1fZ\" "
                "fill=\"var(%s)\" fill-opacity=\".38\"><title>%s</title></path>",
                x0, y0, mid, y0, mid, y1, x1, y1, x1, y1 + h, mid, y1 + h, mid, y0 + h, x0, y0 + h,
                colour, title);
}

static void node(struct drawing *g, double x, double y, double h, const char *colour) {
  strbuf_printf(
      g->out,
      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.0f\" height=\"%.1f\" rx=\"3\" fill=\"var(%s)\"/>", x,
      y, NODE, h < 2 ? 2 : h, colour);
}

static void label(struct drawing *g, double x, double y, const char *anchor, const char *class,
                  const char *text) {
  strbuf_printf(g->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">%s</text>", x,
                y, anchor, class, text);
}

static uint64_t of_person(const struct demo *d, int who) {
  return d->parts[0][who].paid + d->parts[1][who].paid;
}

/* Those of the fork alone first, who has both in between, so that ribbons cross little. */
static const int order[] = {DEMO_ALAN, DEMO_EDSGER, DEMO_BARBARA, DEMO_EMMY, DEMO_GRACE, DEMO_ADA};
#define ORDER (sizeof order / sizeof *order)

static void place_people(struct drawing *g) {
  double y = 18;
  for (size_t i = 0; i < ORDER; i++) {
    g->person_y[order[i]] = y;
    y += (double)of_person(g->d, order[i]) * g->scale + GAP;
  }
}

static void pay_out(struct drawing *g, int model, double x, double y) {
  char title[160], a[FORMAT_CAP];
  for (size_t i = 0; i < ORDER; i++) {
    int who = order[i];
    uint64_t paid = g->d->parts[model][who].paid;
    double h = (double)paid * g->scale;
    if (!paid) continue;
    snprintf(title, sizeof title, "%s to %s: %s", model ? "fork" : "first model",
             g->d->people[who].name, money(g->d, a, paid));
    ribbon(g, x + NODE, y, X_PEOPLE, g->person_y[who] + g->person_used[who], h,
           model ? "--dense" : "--ours", title);
    g->person_used[who] += h;
    y += h;
  }
}

static void people(struct drawing *g) {
  char text[160], a[FORMAT_CAP];
  for (size_t i = 0; i < ORDER; i++) {
    int who = order[i];
    double y = g->person_y[who], h = (double)of_person(g->d, who) * g->scale;
    node(g, X_PEOPLE, y, h, "--step");
    snprintf(text, sizeof text, "%s  %s", g->d->people[who].name,
             money(g->d, a, of_person(g->d, who)));
    label(g, X_PEOPLE + NODE + 8, y + h / 2 - 2, "start", "label", text);
    label(g, X_PEOPLE + NODE + 8, y + h / 2 + 13, "start", "axis", g->d->people[who].role);
  }
}

static void flows(const struct demo *d, struct strbuf *out) {
  struct drawing g = {
      .d = d, .out = out, .scale = HEIGHT / (double)(d->deposits[0] + d->deposits[1])};
  char a[FORMAT_CAP], text[160];
  double fork = (double)d->deposits[1] * g.scale, own = (double)d->deposits[0] * g.scale;
  double royalty = (double)d->royalty * g.scale, top = 30, below = top + fork + 46;
  double first = below - royalty + 16;
  strbuf_puts(out, "<svg viewBox=\"0 0 1080 580\" role=\"img\" aria-label=\"Flows of money\">");
  place_people(&g);
  snprintf(text, sizeof text, "deposits for the fork: %s", money(d, a, d->deposits[1]));
  ribbon(&g, X_CLIENT + NODE, top, X_FORK, top, fork, "--dense", text);
  snprintf(text, sizeof text, "deposit for the first model: %s", money(d, a, d->deposits[0]));
  ribbon(&g, X_CLIENT + NODE, below, X_FIRST, first + royalty, own, "--ours", text);
  pay_out(&g, 1, X_FORK, top);
  snprintf(text, sizeof text, "royalty: %s", money(d, a, d->royalty));
  ribbon(&g, X_FORK + NODE, top + fork - royalty, X_FIRST, first, royalty, "--bad", text);
  pay_out(&g, 0, X_FIRST, first);
  node(&g, X_CLIENT, top, fork, "--muted");
  node(&g, X_CLIENT, below, own, "--muted");
  node(&g, X_FORK, top, fork, "--dense");
  node(&g, X_FIRST, first, royalty + own, "--ours");
  people(&g);
  label(&g, X_CLIENT - 10, top + fork / 2 - 4, "end", "label", "paid for the fork");
  label(&g, X_CLIENT - 10, top + fork / 2 + 12, "end", "value", money(d, a, d->deposits[1]));
  label(&g, X_CLIENT - 10, below + own / 2 - 4, "end", "label", "paid for the first");
  label(&g, X_CLIENT - 10, below + own / 2 + 12, "end", "value", money(d, a, d->deposits[0]));
  label(&g, X_FORK + NODE / 2, top - 9, "middle", "label", "fork");
  label(&g, X_FIRST + NODE / 2, first + royalty + own + 18, "middle", "label", "first model");
  snprintf(text, sizeof text, "royalty %s", money(d, a, d->royalty));
  label(&g, X_FORK + NODE / 2, top + fork + 20, "middle", "label", text);
  strbuf_puts(out, "</svg>");
}

/* ---- lineage -------------------------------------------------------------------------------------------------- */

static void box(struct strbuf *out, double x, const char *colour, const char *name,
                const char *designer, const plr_hash *model, uint64_t supply) {
  char hash[20], shares[FORMAT_CAP];
  strbuf_printf(
      out,
      "<rect x=\"%.0f\" y=\"20\" width=\"330\" height=\"96\" rx=\"10\" fill=\"var(--lane)\" "
      "stroke=\"var(%s)\" stroke-width=\"2\"/>"
      "<text x=\"%.0f\" y=\"50\" class=\"label\">%s</text>"
      "<text x=\"%.0f\" y=\"72\" class=\"row\">designed by %s, %s shares</text>"
      "<text x=\"%.0f\" y=\"96\" class=\"axis\">%s...</text>",
      x, colour, x + 18, name, x + 18, designer, format_count(shares, supply), x + 18,
      short_hash(hash, model));
}

static void lineage(const struct demo *d, struct strbuf *out) {
  strbuf_puts(out, "<svg viewBox=\"0 0 1080 136\" role=\"img\" aria-label=\"Lineage\">");
  box(out, 60, "--ours", "first model", d->people[DEMO_ADA].name, &d->model[0],
      d->totals[0].supply);
  box(out, 690, "--dense", "fork", d->people[DEMO_ALAN].name, &d->model[1], d->totals[1].supply);
  strbuf_printf(out,
                "<path d=\"M690 68H402\" stroke=\"var(--bad)\" stroke-width=\"2.5\" fill=\"none\"/>"
                "<path d=\"M392 68l13 -7v14z\" fill=\"var(--bad)\"/>"
                "<text x=\"540\" y=\"56\" text-anchor=\"middle\" class=\"label\">%.2f%% of its "
                "revenue, for ever</text>"
                "<text x=\"540\" y=\"90\" text-anchor=\"middle\" class=\"axis\">built on, in its "
                "ModelRegister</text>",
                d->royalty_bps / 100.0);
  strbuf_puts(out, "</svg>");
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static void tile(struct strbuf *out, const char *name, const char *value, const char *note) {
  strbuf_printf(out,
                "<div class=\"tile\"><span class=\"name\">%s</span><b>%s</b><span>%s</span></div>",
                name, value, note);
}

static uint64_t came_in(const struct demo *d, int model) {
  return model ? d->deposits[1] - d->royalty : d->deposits[0] + d->royalty;
}

static void tiles(const struct demo *d, struct strbuf *out) {
  char a[FORMAT_CAP], note[160];
  uint64_t rest = came_in(d, 0) + came_in(d, 1) - d->totals[0].paid - d->totals[1].paid;
  strbuf_puts(out, "<div class=\"tiles\">");
  tile(out, "Revenue of the fork", money(d, a, d->deposits[1]), "in seven uneven deposits");
  snprintf(note, sizeof note, "floor(%" PRIu64 " &#215; %u / 10,000) smallest units",
           d->deposits[1], d->royalty_bps);
  tile(out, "Royalty to the first model", money(d, a, d->royalty), note);
  tile(out, "Paid to holders of both", money(d, a, d->totals[0].paid + d->totals[1].paid),
       "claimed, every amount signed by its holder");
  snprintf(note, sizeof note, "%" PRIu64 " smallest units, kept as fractions of holders", rest);
  tile(out, "Not payable yet", money(d, a, rest), note);
  strbuf_puts(out, "</div>");
}

static void table(const struct demo *d, struct strbuf *out) {
  char a[FORMAT_CAP], b[FORMAT_CAP];
  strbuf_puts(out, "<div class=\"scroll\"><table><thead><tr><th>who</th><th></th><th "
                   "class=\"n\">shares of the first</th>"
                   "<th class=\"n\">paid</th><th class=\"n\">shares of the fork</th><th "
                   "class=\"n\">paid</th></tr>"
                   "</thead><tbody>");
  for (size_t i = ORDER; i-- > 0;) {
    int who = order[i];
    strbuf_printf(out, "<tr><td>%s</td><td>%s</td>", d->people[who].name, d->people[who].role);
    for (int m = 0; m < 2; m++)
      strbuf_printf(out, "<td class=\"n\">%s</td><td class=\"n\">%s</td>",
                    d->parts[m][who].shares ? format_count(a, d->parts[m][who].shares) : "",
                    d->parts[m][who].paid ? money(d, b, d->parts[m][who].paid) : "");
    strbuf_puts(out, "</tr>");
  }
  strbuf_puts(out, "</tbody><tfoot><tr><td>together</td><td></td>");
  for (int m = 0; m < 2; m++)
    strbuf_printf(out, "<td class=\"n\">%s</td><td class=\"n\">%s</td>",
                  format_count(a, d->totals[m].supply), money(d, b, d->totals[m].paid));
  strbuf_puts(out, "</tr><tr><td>came in</td><td></td>");
  for (int m = 0; m < 2; m++)
    strbuf_printf(out, "<td class=\"n\"></td><td class=\"n\">%s</td>", money(d, a, came_in(d, m)));
  strbuf_puts(out, "</tr></tfoot></table></div>");
}

static void proof(const struct demo *d, struct strbuf *out) {
  strbuf_printf(out,
                "<p>grace carries away two files. They show, without the log and without a "
                "network, that her claim is "
                "entry %" PRIu64 " of the %" PRIu64
                " that the log has signed; all she needs beside them is the "
                "verifier key.</p><pre>pluralis-ledger verify --vkey %s \\\n  --proof "
                "grace.tlog-proof --entry "
                "grace.entry</pre><h3>grace.tlog-proof, %zu bytes</h3><pre class=\"sample\">",
                d->claim_index, d->size, d->vkey, d->proof_bytes);
  strbuf_html(out, d->proof, strlen(d->proof));
  strbuf_puts(out, "</pre>");
}

void demo_report(const struct demo *d, struct strbuf *out) {
  strbuf_puts(
      out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
           "content=\"width=device-width,initial-scale=1\"><title>A fork pays its "
           "parent</title><style>");
  strbuf_puts(out, report_style);
  strbuf_puts(out, "</style></head><body><main><h1>A fork pays its parent</h1><p "
                   "class=\"lead\">Two models on one "
                   "ledger. The second is built on the first and says so when it is registered; "
                   "from then on a fixed "
                   "part of its revenue is owed to whoever holds shares of the first. The ledger, "
                   "not the fork, does "
                   "the sum.</p>");
  tiles(d, out);
  strbuf_puts(out,
              "<section><h2>Lineage</h2><p class=\"sub\">Parents and their part never change.</p>");
  lineage(d, out);
  strbuf_puts(out, "</section><section><h2>Where the money went</h2><p class=\"sub\">Widths are to "
                   "scale; what a model "
                   "earns is split by shares as of the last epoch.</p>");
  flows(d, out);
  strbuf_puts(out, "</section><section><h2>To the unit</h2><p class=\"sub\">What does not divide "
                   "stays with its holder "
                   "as a fraction and is paid later; nothing is rounded away.</p>");
  table(d, out);
  strbuf_puts(out, "</section><section><h2>A holder proves its claim</h2>");
  proof(d, out);
  strbuf_printf(
      out,
      "</section><footer>State root <span class=\"hash\">%s</span>. Anyone can reach it from "
      "<code>ledger.export</code>: <code>pluralis-ledger verify --log ledger.export --vkey "
      "...</code>"
      "</footer></main></body></html>\n",
      d->state_root);
}
