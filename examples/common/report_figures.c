#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "format.h"
#include "report.h"

const char *report_run_color(const struct run_record *run) {
  return run->dense ? "var(--dense)" : "var(--ours)";
}

/* Stages take a ramp of one hue, people who do not compute take two others. */
const char *report_owner_color(const struct report_model *model, size_t owner) {
  static const char *const ramp[] = {"var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)"};
  const char *name = model->owners[owner].name;
  if (strncmp(name, "stage ", 6) == 0) return ramp[strtoul(name + 6, NULL, 10) % 4];
  return strcmp(name, "designer") == 0 ? "var(--step)" : "var(--backward)";
}

/* ---- loss
 * --------------------------------------------------------------------------------------- */

struct loss_data {
  double *x, *train, *valid;
};

static void read_loss(struct loss_data *d, const struct run_record *run, int by_bytes) {
  size_t n = run->point_count;
  d->x = must_alloc(n, sizeof(double));
  d->train = must_alloc(n, sizeof(double));
  d->valid = must_alloc(n, sizeof(double));
  for (size_t i = 0; i < n; i++) {
    const struct run_point *p = &run->points[i];
    d->x[i] = by_bytes ? (double)p->sent : (double)p->step;
    d->train[i] = p->train_loss;
    d->valid[i] = p->valid_loss;
  }
}

/* The first steps fall from ln 256 and would squeeze everything that matters: the axis ends
 * where the training loss is after a twelfth of the steps, and never below the bigram line. */
static double loss_limit(const struct report *r) {
  double limit = isfinite(r->bigram) ? r->bigram * 1.15 : 0;
  for (size_t m = 0; m < r->model_count; m++) {
    const struct run_record *run = r->models[m].run;
    for (size_t i = run->point_count / 12; i < run->point_count; i++)
      if (isfinite(run->points[i].train_loss)) limit = fmax(limit, run->points[i].train_loss);
  }
  return limit;
}

static void draw_loss(struct strbuf *out, const struct report *r, int by_bytes) {
  struct loss_data data[2];
  struct chart_series series[4];
  char labels[2][400], reference[400];
  size_t n = 0;
  for (size_t m = 0; m < r->model_count; m++) {
    const struct run_record *run = r->models[m].run;
    const char *color = report_run_color(run);
    read_loss(&data[m], run, by_bytes);
    snprintf(labels[m], sizeof labels[m], "%s %.3f", run->name, run_record_valid_loss(run));
    series[n++] = (struct chart_series){color, NULL, data[m].x, data[m].train, run->point_count, 1};
    series[n++] =
        (struct chart_series){color, labels[m], data[m].x, data[m].valid, run->point_count, 0};
  }
  snprintf(reference, sizeof reference, "bigram %.3f", r->bigram);
  struct chart chart = {
      .id = by_bytes ? "bytes" : "steps",
      .title = by_bytes ? "Loss against bytes sent between stages" : "Loss against training steps",
      .x_title = by_bytes ? "bytes sent between stages, log scale" : "training step",
      .y_title = "loss, nats per byte",
      .log_x = by_bytes,
      .x_bytes = by_bytes,
      .y_max = loss_limit(r),
      .series = series,
      .series_count = n,
      .reference = r->bigram,
      .reference_label = reference,
  };
  chart_draw(out, &chart);
  for (size_t m = 0; m < r->model_count; m++) {
    free(data[m].x);
    free(data[m].train);
    free(data[m].valid);
  }
}

void report_loss_by_step(struct strbuf *out, const struct report *r) {
  draw_loss(out, r, 0);
}
void report_loss_by_bytes(struct strbuf *out, const struct report *r) {
  draw_loss(out, r, 1);
}

/* ---- bits per value
 * ------------------------------------------------------------------------------- */

/* raw counts two bytes a value. Over a window of a few steps, for stages report at different times. */
#define BITS_WINDOW 4
void report_bits(struct strbuf *out, const struct run_record *run) {
  const size_t n = run->point_count;
  double *x = must_alloc(n, sizeof *x), *y = must_alloc(n, sizeof *y);
  size_t count = 0;
  for (size_t i = 1; i < n; i++) {
    const struct run_point *a = &run->points[i > BITS_WINDOW ? i - BITS_WINDOW : 0];
    const struct run_point *b = &run->points[i];
    if (b->raw <= a->raw) continue;
    x[count] = (double)b->step;
    y[count++] = 16 * (double)(b->sent - a->sent) / (double)(b->raw - a->raw);
  }
  char label[32];
  snprintf(label, sizeof label, "%.1f", count ? y[count - 1] : 0.0);
  struct chart_series series = {report_run_color(run), label, x, y, count, 0};
  struct chart chart = {.id = "bits",
                        .title = "Bits per value against training steps",
                        .x_title = "training step",
                        .y_title = "bits per value",
                        .series = &series,
                        .series_count = 1,
                        .reference = NAN};
  if (count) chart_draw(out, &chart);
  free(x);
  free(y);
}

void report_rates(struct strbuf *out, const struct run_record *run) {
  const size_t n = run->rate_count;
  double *x = must_alloc(n, sizeof *x), *given = must_alloc(n, sizeof *x),
         *measured = must_alloc(n, sizeof *x);
  for (size_t i = 0; i < n; i++) {
    const struct run_rate *rate = &run->rates[i];
    x[i] = (double)rate->step;
    given[i] = rate->given > 0 ? rate->given * 1e-6 : NAN;
    measured[i] = rate->measured > 0 ? rate->measured * 1e-6 : NAN;
  }
  char label[48];
  snprintf(label, sizeof label, "measured %.0f", n ? measured[n - 1] : 0.0);
  struct chart_series series[2] = {{"var(--muted)", NULL, x, given, n, 1},
                                   {report_run_color(run), label, x, measured, n, 0}};
  struct chart chart = {.id = "rates",
                        .title = "Rate of the links against training steps",
                        .x_title = "training step",
                        .y_title = "Mbit/s",
                        .series = series,
                        .series_count = 2,
                        .reference = NAN};
  chart_draw(out, &chart);
  free(x);
  free(given);
  free(measured);
}

/* ---- bytes of each link
 * -------------------------------------------------------------------------- */

#define BAR_WIDTH  1100.0
#define BAR_LEFT   132.0
#define BAR_RIGHT  190.0
#define BAR_HEIGHT 13.0
#define BAR_GAP    4.0
#define GROUP_GAP  16.0

static void link_name(char *buf, size_t cap, uint32_t link, uint32_t stages) {
  if (link == 0) {
    snprintf(buf, cap, "feeder \xe2\x87\x84 stage 0");
  } else if (link == stages) {
    snprintf(buf, cap, "stage %u \xe2\x87\x84 feeder", stages - 1);
  } else {
    snprintf(buf, cap, "stage %u \xe2\x87\x84 %u", link - 1, link);
  }
}

static double most_bytes(const struct report *r) {
  double most = 1;
  for (size_t m = 0; m < r->model_count; m++) {
    const struct run_record *run = r->models[m].run;
    for (uint32_t i = 0; i <= run->stages; i++) {
      most = fmax(most, (double)run->traffic[i].sent);
      most = fmax(most, (double)run->traffic[i].raw);
    }
  }
  return most;
}

static void draw_bar(struct strbuf *out, const struct run_record *run, uint32_t link, double y,
                     double scale) {
  const struct run_traffic *t = &run->traffic[link];
  double width = fmax((double)t->sent * scale, 1.5), raw = (double)t->raw * scale;
  char bytes[FORMAT_CAP], note[64] = "";
  if (t->raw && t->sent && !run->dense)
    snprintf(note, sizeof note, " \xc2\xb7 %.0f\xc3\x97 less", (double)t->raw / (double)t->sent);
  if (t->raw && !run->dense)
    strbuf_printf(
        out,
        "<rect class=\"ghost\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\"/>",
        BAR_LEFT, y, raw, BAR_HEIGHT);
  strbuf_printf(
      out,
      "<rect style=\"fill:%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\"/>",
      report_run_color(run), BAR_LEFT, y, width, BAR_HEIGHT);
  double at = BAR_LEFT + fmax(width, run->dense ? 0 : raw) + 8;
  strbuf_printf(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%s%s</text>\n", at,
                y + BAR_HEIGHT - 2.5, format_bytes(bytes, (double)t->sent), note);
}

void report_link_bars(struct strbuf *out, const struct report *r) {
  uint32_t stages = r->models[0].run->stages;
  double group = (double)r->model_count * (BAR_HEIGHT + BAR_GAP) + GROUP_GAP - BAR_GAP;
  double height = group * (stages + 1), scale = (BAR_WIDTH - BAR_LEFT - BAR_RIGHT) / most_bytes(r);
  strbuf_printf(
      out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"Bytes sent on each link\">\n",
      BAR_WIDTH, height);
  for (uint32_t link = 0; link <= stages; link++) {
    char name[48];
    double y = group * link + GROUP_GAP / 2, middle = y + (group - GROUP_GAP) / 2;
    link_name(name, sizeof name, link, stages);
    strbuf_printf(out, "<text class=\"row\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                  BAR_LEFT - 12, middle + 4.5, name);
    for (size_t m = 0; m < r->model_count; m++)
      if (r->models[m].run->stages == stages)
        draw_bar(out, r->models[m].run, link, y + (double)m * (BAR_HEIGHT + BAR_GAP), scale);
  }
  strbuf_puts(out, "</svg>\n");
}

/* ---- timeline
 * ----------------------------------------------------------------------------------- */

#define TIME_WIDTH 1100.0
#define TIME_LEFT  70.0
#define TIME_RIGHT 92.0
#define LANE       24.0
#define LANE_GAP   6.0
#define TIME_AXIS  34.0

static void span_window(const struct run_record *run, uint64_t *begin, uint64_t *end) {
  *begin = UINT64_MAX;
  *end = 0;
  for (size_t i = 0; i < run->span_count; i++) {
    if (run->spans[i].begin_ns < *begin) *begin = run->spans[i].begin_ns;
    if (run->spans[i].end_ns > *end) *end = run->spans[i].end_ns;
  }
}

static double window_idle(const struct run_record *run, uint32_t stage, uint64_t window) {
  uint64_t busy = 0;
  for (size_t i = 0; i < run->span_count; i++)
    if (run->spans[i].stage == stage) busy += run->spans[i].end_ns - run->spans[i].begin_ns;
  return window ? fmax(0, 1 - (double)busy / (double)window) : 0;
}

static void draw_span(struct strbuf *out, const struct run_span *s, uint64_t begin, double scale) {
  static const char *const color[] = {"var(--muted)", "var(--forward)", "var(--backward)",
                                      "var(--step)",  "var(--infer)",   "var(--muted)"};
  double x = TIME_LEFT + (double)(s->begin_ns - begin) * scale, y = s->stage * (LANE + LANE_GAP);
  double width = fmax((double)(s->end_ns - s->begin_ns) * scale, 0.8);
  strbuf_printf(
      out,
      "<rect style=\"fill:%s\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.0f\" rx=\"1.5\"/>",
      color[s->kind < 6 ? s->kind : 0], x, y, fmax(width - 0.6, 0.6), LANE);
  if (width > 13 && (s->kind == RUN_FORWARD || s->kind == RUN_BACKWARD))
    strbuf_printf(out,
                  "<text class=\"in-span\" x=\"%.2f\" y=\"%.1f\" text-anchor=\"middle\">%u</text>",
                  x + width / 2, y + LANE / 2 + 4, s->micro_batch);
  strbuf_puts(out, "\n");
}

static void draw_time_axis(struct strbuf *out, double y, uint64_t length, double scale) {
  double step = chart_nice_step((double)length / 1e6, 10);
  for (double ms = 0; ms * 1e6 <= (double)length; ms += step) {
    double x = TIME_LEFT + ms * 1e6 * scale;
    strbuf_printf(out, "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x,
                  x, y, y + 4);
    strbuf_printf(
        out, "<text class=\"axis\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f%s</text>\n", x,
        y + 17, ms, ms == 0 ? " ms" : "");
  }
}

static void draw_timeline(struct strbuf *out, const struct run_record *run, double scale) {
  uint64_t begin, end;
  span_window(run, &begin, &end);
  double lanes = run->stages * (LANE + LANE_GAP), height = lanes + TIME_AXIS;
  double right = TIME_LEFT + (double)(end - begin) * scale;
  strbuf_printf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"Timeline of %s\">\n",
                TIME_WIDTH, height, run->name);
  for (uint32_t s = 0; s < run->stages; s++) {
    double y = s * (LANE + LANE_GAP);
    strbuf_printf(out,
                  "<rect class=\"lane\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.0f\"/>",
                  TIME_LEFT, y, right - TIME_LEFT, LANE);
    strbuf_printf(out,
                  "<text class=\"row\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">stage %u</text>",
                  TIME_LEFT - 10, y + LANE / 2 + 4.5, s);
    strbuf_printf(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%.0f%% idle</text>\n",
                  right + 8, y + LANE / 2 + 4.5, 100 * window_idle(run, s, end - begin));
  }
  for (size_t i = 0; i < run->span_count; i++) draw_span(out, &run->spans[i], begin, scale);
  draw_time_axis(out, lanes, end - begin, scale);
  strbuf_puts(out, "</svg>\n");
}

void report_timelines(struct strbuf *out, const struct report *r) {
  uint64_t longest = 1;
  for (size_t m = 0; m < r->model_count; m++) {
    uint64_t begin, end;
    span_window(r->models[m].run, &begin, &end);
    if (end > begin && end - begin > longest) longest = end - begin;
  }
  /* One scale for both, so that lengths compare. */
  double scale = (TIME_WIDTH - TIME_LEFT - TIME_RIGHT) / (double)longest;
  for (size_t m = 0; m < r->model_count; m++) {
    const struct run_record *run = r->models[m].run;
    if (!run->span_count) continue;
    strbuf_printf(out, "<h3><span class=\"swatch\" style=\"background:%s\"></span>%s</h3>\n",
                  report_run_color(run), run->name);
    draw_timeline(out, run, scale);
  }
}

/* ---- ownership
 * ---------------------------------------------------------------------------------- */

void report_ownership_bar(struct strbuf *out, const struct report_model *model) {
  const double width = 1100, height = 34;
  double x = 0;
  strbuf_printf(out,
                "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"Who owns the model\">\n",
                width, height);
  for (size_t i = 0; i < model->owner_count && model->supply; i++) {
    double part = (double)model->owners[i].shares / (double)model->supply, w = part * width;
    strbuf_printf(out,
                  "<rect style=\"fill:%s\" x=\"%.2f\" y=\"0\" width=\"%.2f\" height=\"%.0f\"/>",
                  report_owner_color(model, i), x, fmax(w - 1.5, 0), height);
    if (w > 120) {
      strbuf_printf(
          out,
          "<text class=\"in-bar\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s %.1f%%</text>\n",
          x + w / 2, height / 2 + 4.5, model->owners[i].name, 100 * part);
    } else if (w > 44) {
      strbuf_printf(
          out,
          "<text class=\"in-bar\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f%%</text>\n",
          x + w / 2, height / 2 + 4.5, 100 * part);
    }
    x += w;
  }
  strbuf_puts(out, "</svg>\n");
}
