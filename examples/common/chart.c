#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format.h"

#define WIDTH      540.0
#define HEIGHT     330.0
#define LEFT       52.0
#define RIGHT      118.0
#define TOP        14.0
#define BOTTOM     46.0
#define LABEL_STEP 16.0 /* least distance of two direct labels */
#define MAX_LABELS 8

struct scale {
  double low, high; /* of the data, in log10 when log */
  double from, to;  /* on the page */
  int log;
};

struct label {
  double y, at; /* where the line ends, where the text goes */
  const char *text, *color;
};

static double place(const struct scale *s, double v) {
  double u = ((s->log ? log10(v) : v) - s->low) / (s->high - s->low);
  return s->from + u * (s->to - s->from);
}

double chart_nice_step(double span, int count) {
  if (!(span > 0)) return 1;
  double raw = span / count, power = pow(10, floor(log10(raw))), lead = raw / power;
  return power * (lead < 1.41 ? 1 : lead < 3.16 ? 2 : lead < 7.07 ? 5 : 10);
}

static void find_range(const struct chart *c, double *x0, double *x1, double *y0, double *y1) {
  *x0 = *y0 = INFINITY;
  *x1 = *y1 = -INFINITY;
  if (isfinite(c->reference)) *y0 = *y1 = c->reference;
  for (size_t s = 0; s < c->series_count; s++) {
    for (size_t i = 0; i < c->series[s].count; i++) {
      double x = c->series[s].x[i], y = c->series[s].y[i];
      if (!isfinite(y) || (c->log_x && x <= 0)) continue;
      *x0 = fmin(*x0, x);
      *x1 = fmax(*x1, x);
      *y0 = fmin(*y0, y);
      *y1 = fmax(*y1, y);
    }
  }
  if (!(*x1 >= *x0)) *x0 = c->log_x ? 1 : 0, *x1 = 1;
  if (!(*y1 >= *y0)) *y0 = 0, *y1 = 1;
  if (c->y_max > *y0) *y1 = fmin(*y1, c->y_max);
}

static void make_scales(const struct chart *c, struct scale *x, struct scale *y) {
  double x0, x1, y0, y1;
  find_range(c, &x0, &x1, &y0, &y1);
  *x = (struct scale){x0, x1, LEFT, WIDTH - RIGHT, c->log_x};
  if (c->log_x) {
    double pad = fmax((log10(x1) - log10(x0)) * 0.03, 0.02);
    x->low = log10(x0) - pad;
    x->high = log10(x1) + pad;
  } else {
    x->low = fmin(x0, 0);
    if (x1 <= x->low) x->high = x->low + 1;
  }
  double step = chart_nice_step(fmax(y1 - y0, 1e-6), 5);
  *y = (struct scale){floor((y0 - step * 0.15) / step) * step, ceil(y1 / step) * step,
                      HEIGHT - BOTTOM, TOP, 0};
  if (y->high <= y->low) y->high = y->low + step;
}

static void x_tick(struct strbuf *out, const struct chart *c, const struct scale *x, double v) {
  char text[FORMAT_CAP];
  double at = place(x, v);
  if (c->x_bytes) {
    format_bytes(text, v);
    /* 100 kB, not 100.0 kB: ticks are round */
    char *unit = strchr(text, ' '), *dot = strchr(text, '.');
    if (dot && unit) {
      char *end = unit;
      while (end > dot && (end[-1] == '0' || end[-1] == '.')) end--;
      memmove(end, unit, strlen(unit) + 1);
    }
  } else {
    format_count(text, (uint64_t)llround(v));
  }
  strbuf_printf(out, "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", at,
                at, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4);
  strbuf_printf(out,
                "<text class=\"axis\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", at,
                HEIGHT - BOTTOM + 18, text);
}

static void draw_log_ticks(struct strbuf *out, const struct chart *c, const struct scale *x) {
  static const double leads[3] = {1, 2, 5};
  double decades = x->high - x->low;
  int per_decade = decades < 1.6 ? 3 : decades < 3.2 ? 2 : 1;
  for (int p = (int)floor(x->low); p <= (int)ceil(x->high); p++) {
    for (int i = 0; i < 3; i++) {
      /* two a decade: 1 and 3 would be even, but 1 and 5 read better than they space */
      if ((per_decade == 2 && i == 1) || (per_decade == 1 && i > 0)) continue;
      double v = leads[i] * pow(10, p);
      if (log10(v) >= x->low - 1e-9 && log10(v) <= x->high + 1e-9) x_tick(out, c, x, v);
    }
  }
}

static void draw_axes(struct strbuf *out, const struct chart *c, const struct scale *x,
                      const struct scale *y) {
  double step = chart_nice_step(y->high - y->low, 5);
  int digits = step >= 1 ? 0 : step >= 0.1 ? 1 : 2;
  for (double v = ceil(y->low / step - 1e-9) * step; v <= y->high + step * 1e-6; v += step) {
    if (fabs(v) < step * 1e-6) v = 0; /* and not -0 */
    double at = place(y, v);
    strbuf_printf(out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                  LEFT, WIDTH - RIGHT, at, at);
    strbuf_printf(out,
                  "<text class=\"axis\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n",
                  LEFT - 8, at + 4, digits, v);
  }
  strbuf_printf(out, "<line class=\"base\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
  if (c->log_x) {
    draw_log_ticks(out, c, x);
  } else {
    double x_step = chart_nice_step(x->high - x->low, 5);
    for (double v = ceil(x->low / x_step) * x_step; v <= x->high + x_step * 1e-6; v += x_step)
      x_tick(out, c, x, v);
  }
  strbuf_printf(
      out, "<text class=\"axis title\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
      (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, c->x_title);
  strbuf_printf(out,
                "<text class=\"axis title\" transform=\"translate(13 %.1f) rotate(-90)\" "
                "text-anchor=\"middle\">%s</text>\n",
                (TOP + HEIGHT - BOTTOM) / 2, c->y_title);
}

static void draw_series(struct strbuf *out, const struct chart *c, const struct chart_series *s,
                        const struct scale *x, const struct scale *y) {
  strbuf_printf(out, "<path class=\"%s\" style=\"stroke:%s\" clip-path=\"url(#%s-clip)\" d=\"",
                s->thin ? "thin" : "line", s->color, c->id);
  size_t drawn = 0;
  for (size_t i = 0; i < s->count; i++) {
    if (!isfinite(s->y[i]) || (c->log_x && s->x[i] <= 0)) continue;
    strbuf_printf(out, "%c%.1f %.1f", drawn ? 'L' : 'M', place(x, s->x[i]), place(y, s->y[i]));
    drawn++;
  }
  strbuf_puts(out, "\"/>\n");
  if (s->thin || drawn > 60) return;
  for (size_t i = 0; i < s->count; i++) {
    if (!isfinite(s->y[i]) || s->y[i] > y->high || (c->log_x && s->x[i] <= 0)) continue;
    strbuf_printf(out,
                  "<circle class=\"dot\" style=\"fill:%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"/>\n",
                  s->color, place(x, s->x[i]), place(y, s->y[i]));
  }
}

/* Sorts labels from top to bottom and moves each down to keep its distance; if the last one
 * leaves the plot, the whole run is moved back up. */
static void spread(struct label *labels, size_t n) {
  for (size_t i = 1; i < n; i++) {
    struct label l = labels[i];
    size_t j = i;
    for (; j > 0 && labels[j - 1].y > l.y; j--) labels[j] = labels[j - 1];
    labels[j] = l;
  }
  for (size_t i = 0; i < n; i++) {
    labels[i].at = fmax(labels[i].y, TOP + 6);
    if (i) labels[i].at = fmax(labels[i].at, labels[i - 1].at + LABEL_STEP);
  }
  double limit = HEIGHT - BOTTOM - 4;
  for (size_t i = n; i-- > 0; limit = labels[i].at - LABEL_STEP)
    labels[i].at = fmin(labels[i].at, limit);
}

static void draw_label(struct strbuf *out, const char *color, double x, double y,
                       const char *text) {
  strbuf_printf(out, "<text class=\"label\" style=\"fill:%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
                color, x, y + 4, text);
}

/* A line that ends well inside the plot has its label at its end, the others share the right
 * margin. */
static void draw_labels(struct strbuf *out, const struct chart *c, const struct scale *x,
                        const struct scale *y) {
  struct label labels[MAX_LABELS];
  size_t n = 0;
  for (size_t s = 0; s < c->series_count && n < MAX_LABELS; s++) {
    const struct chart_series *series = &c->series[s];
    size_t last = series->count;
    while (last > 0 && !isfinite(series->y[last - 1])) last--;
    if (!series->label || last == 0) continue;
    double end_x = place(x, series->x[last - 1]), end_y = place(y, series->y[last - 1]);
    if (end_x + 90 < WIDTH - RIGHT) {
      draw_label(out, series->color, end_x + 9, end_y, series->label);
    } else {
      labels[n++] = (struct label){end_y, 0, series->label, series->color};
    }
  }
  if (isfinite(c->reference) && n < MAX_LABELS)
    labels[n++] = (struct label){place(y, c->reference), 0, c->reference_label, "var(--muted)"};
  spread(labels, n);
  for (size_t i = 0; i < n; i++) {
    double from = WIDTH - RIGHT + 3, to = WIDTH - RIGHT + 12;
    strbuf_printf(out, "<path class=\"leader\" style=\"stroke:%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>",
                  labels[i].color, from, labels[i].y, to, labels[i].at);
    draw_label(out, labels[i].color, to + 3, labels[i].at, labels[i].text);
  }
}

void chart_draw(struct strbuf *out, const struct chart *c) {
  struct scale x, y;
  make_scales(c, &x, &y);
  strbuf_printf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n", WIDTH,
                HEIGHT, c->title);
  strbuf_printf(
      out,
      "<clipPath id=\"%s-clip\"><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>"
      "</clipPath>\n",
      c->id, LEFT, TOP, WIDTH - LEFT - RIGHT + 4, HEIGHT - TOP - BOTTOM);
  draw_axes(out, c, &x, &y);
  if (isfinite(c->reference)) {
    double at = place(&y, c->reference);
    strbuf_printf(out,
                  "<line class=\"reference\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                  LEFT, WIDTH - RIGHT, at, at);
  }
  for (size_t s = 0; s < c->series_count; s++) draw_series(out, c, &c->series[s], &x, &y);
  draw_labels(out, c, &x, &y);
  strbuf_puts(out, "</svg>\n");
}
