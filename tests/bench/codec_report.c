/* See codec_report.h. */
#include "codec_report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 860, HEIGHT = 520, LEFT = 60, TOP = 30, RIGHT = 20, BOTTOM = 50 };

static const double most_bits = 9.2, least_db = -2, most_db = 52;

static double across(double bits) {
  return LEFT + bits / most_bits * (WIDTH - LEFT - RIGHT);
}

static double down(double db) {
  return TOP + (most_db - db) / (most_db - least_db) * (HEIGHT - TOP - BOTTOM);
}

static void axes(FILE *f) {
  for (int b = 0; b <= 9; b++)
    fprintf(f,
            "<line x1='%.1f' y1='%d' x2='%.1f' y2='%d' class='grid'/><text x='%.1f' y='%d' "
            "text-anchor='middle'>%d</text>\n",
            across(b), TOP, across(b), HEIGHT - BOTTOM, across(b), HEIGHT - BOTTOM + 18, b);
  for (int d = 0; d <= 50; d += 10)
    fprintf(f,
            "<line x1='%d' y1='%.1f' x2='%d' y2='%.1f' class='grid'/><text x='%d' y='%.1f' "
            "text-anchor='end'>%d</text>\n",
            LEFT, down(d), WIDTH - RIGHT, down(d), LEFT - 8, down(d) + 4, d);
  fprintf(f, "<text x='%d' y='%d' text-anchor='middle'>bits a value, all bytes counted</text>\n",
          (LEFT + WIDTH) / 2, HEIGHT - 10);
  fprintf(f,
          "<text x='16' y='%d' transform='rotate(-90 16 %d)' text-anchor='middle'>signal-to-noise "
          "ratio, dB</text>\n",
          HEIGHT / 2, HEIGHT / 2);
}

/* Consecutive points whose names differ in their last digits only are one codec at several rates. */
static int same_codec(const char *a, const char *b) {
  const size_t n = strcspn(a, "0123456789");
  return n > 0 && strcspn(b, "0123456789") == n && memcmp(a, b, n) == 0;
}

static void points(FILE *f, const report_panel *p) {
  for (unsigned i = 0; i < p->count; i++) {
    const report_point *a = &p->points[i];
    if (a->ours && i + 1 < p->count && p->points[i + 1].ours &&
        same_codec(a->name, p->points[i + 1].name))
      fprintf(f, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='ours'/>\n", across(a->bits),
              down(a->db), across(a[1].bits), down(a[1].db));
    fprintf(f,
            "<circle cx='%.1f' cy='%.1f' r='4' class='%s'><title>%s: %.3f bits, %.2f "
            "dB</title></circle>\n",
            across(a->bits), down(a->db), a->ours ? "dot" : "peer", a->name, a->bits, a->db);
    /* Peers crowd between 4 and 4.5 bits: their names take turns on both sides. */
    const int side = !a->ours && i % 2;
    if (!a->ours)
      fprintf(f, "<text x='%.1f' y='%.1f' class='small' text-anchor='%s'>%s</text>\n",
              across(a->bits) + (side ? -7 : 7), down(a->db) + 4 + 9 * (i % 3),
              side ? "end" : "start", a->name);
  }
}

static void table(FILE *f, const report_panel *p) {
  fprintf(
      f,
      "<table><tr><th>codec</th><th>bits a value</th><th>dB</th><th>dB from the bound</th></tr>\n");
  for (unsigned i = 0; i < p->count; i++) {
    const report_point *a = &p->points[i];
    fprintf(f, "<tr class='%s'><td>%s</td><td>%.3f</td><td>%.2f</td><td>", a->ours ? "mine" : "",
            a->name, a->bits, a->db);
    if (isnan(p->bound_offset))
      fprintf(f, "</td></tr>\n");
    else
      fprintf(f, "%.2f</td></tr>\n", 6.0206 * a->bits + p->bound_offset - a->db);
  }
  fprintf(f, "</table>\n");
}

int codec_report(const char *path, const report_panel *panels, unsigned count) {
  FILE *f = fopen(path, "w");
  if (!f) return 1;
  fprintf(
      f,
      "<!doctype html><html lang='en'><meta charset='utf-8'><title>Codecs</title><style>\n"
      "body{font:14px system-ui,sans-serif;margin:24px;color:#222;max-width:900px}\n"
      "svg{background:#fff;border:1px solid "
      "#ddd}.grid{stroke:#e6e6e6}text{fill:#444;font-size:12px}\n"
      ".small{font-size:10px;fill:#a33}.bound{stroke:#111;stroke-width:2;stroke-dasharray:6 4}\n"
      ".ours{stroke:#1467b3;stroke-width:2}.dot{fill:#1467b3}.peer{fill:#c33}\n"
      "table{border-collapse:collapse;margin:12px 0 32px}td,th{padding:2px 12px;text-align:right;"
      "border-bottom:1px solid "
      "#eee}td:first-child,th:first-child{text-align:left}.mine{color:#1467b3}\n"
      "</style><h1>Error against bits</h1><p>Blue: libpluralis; red: peers, written from their "
      "papers in the "
      "same program. Dashed: what no code can pass.</p>\n");
  for (unsigned k = 0; k < count; k++) {
    fprintf(f, "<h2>%s</h2>\n<svg width='%d' height='%d'>\n", panels[k].title, WIDTH, HEIGHT);
    axes(f);
    if (!isnan(panels[k].bound_offset)) {
      const double low = fmax(0, (least_db - panels[k].bound_offset) / 6.0206);
      const double high = fmin(most_bits, (most_db - panels[k].bound_offset) / 6.0206);
      fprintf(f, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='bound'/>\n", across(low),
              down(6.0206 * low + panels[k].bound_offset), across(high),
              down(6.0206 * high + panels[k].bound_offset));
    }
    points(f, &panels[k]);
    fprintf(f, "</svg>\n");
    table(f, &panels[k]);
  }
  fprintf(f, "</html>\n");
  return fclose(f) != 0;
}
