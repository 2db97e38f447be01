#include "panel.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "strbuf.h"

#define TTY_EVERY_NS   200000000ull
#define PLAIN_EVERY_NS 5000000000ull

void panel_init(struct panel *p, FILE *out) {
  memset(p, 0, sizeof *p);
  p->out = out;
  p->tty = isatty(fileno(out));
}

static void put_bar(struct strbuf *out, double part, unsigned width) {
  unsigned full = part <= 0 ? 0 : part >= 1 ? width : (unsigned)(part * width + 0.5);
  for (unsigned i = 0; i < width; i++) strbuf_puts(out, i < full ? "\xe2\x96\x88" : "\xe2\x96\x91");
}

static void put_loss(struct strbuf *out, const struct panel_view *v) {
  if (isfinite(v->loss)) strbuf_printf(out, "  loss %.3f", v->loss);
  if (isfinite(v->valid_loss)) strbuf_printf(out, "  validation %.3f", v->valid_loss);
  if (isfinite(v->bigram)) strbuf_printf(out, "  (bigram %.3f)", v->bigram);
}

static void end_line(struct strbuf *out, unsigned *lines) {
  strbuf_puts(out, "\x1b[K\n");
  (*lines)++;
}

static void put_link(struct strbuf *out, const struct run_record *run, uint32_t link,
                     unsigned *lines) {
  char sent[FORMAT_CAP], raw[FORMAT_CAP], name[48];
  const struct run_traffic *t = &run->traffic[link];
  if (link == 0) {
    snprintf(name, sizeof name, "feeder - stage 0");
  } else if (link == run->stages) {
    snprintf(name, sizeof name, "stage %u - feeder", link - 1);
  } else {
    snprintf(name, sizeof name, "stage %u - stage %u", link - 1, link);
  }
  strbuf_printf(out, "  %-20s", name);
  if (t->raw) {
    strbuf_printf(out, " raw %10s", format_bytes(raw, (double)t->raw));
  } else {
    strbuf_printf(out, " %14s", "");
  }
  strbuf_printf(out, "  sent %10s", format_bytes(sent, (double)t->sent));
  if (t->raw && t->sent) strbuf_printf(out, "  %7.1fx", (double)t->raw / (double)t->sent);
  end_line(out, lines);
}

/* A line that wraps would upset the redrawing, so five to a line. */
static void put_idle(struct strbuf *out, const struct panel_view *v, unsigned *lines) {
  for (uint32_t s = 0; s < v->run->stages; s++) {
    if (s % 5 == 0) strbuf_puts(out, s ? "      " : "  idle");
    strbuf_printf(out, "  stage %u %3.0f%%", s, 100 * v->idle[s]);
    if (s % 5 == 4 || s + 1 == v->run->stages) end_line(out, lines);
  }
}

static unsigned draw_block(struct strbuf *out, const struct panel_view *v) {
  const struct run_record *run = v->run;
  char speed[FORMAT_CAP], left[FORMAT_CAP];
  unsigned lines = 0;
  strbuf_printf(out, "%s  %s", run->name, v->phase);
  end_line(out, &lines);
  strbuf_puts(out, "  ");
  put_bar(out, run->steps_total ? (double)v->step / (double)run->steps_total : 0, 30);
  strbuf_printf(out, " step %llu of %llu", (unsigned long long)v->step,
                (unsigned long long)run->steps_total);
  if (v->seconds_left > 0) strbuf_printf(out, ", %s left", format_duration(left, v->seconds_left));
  end_line(out, &lines);
  put_loss(out, v);
  if (v->tokens_per_s > 0)
    strbuf_printf(out, "  %s tokens/s", format_count(speed, (uint64_t)(v->tokens_per_s + 0.5)));
  end_line(out, &lines);
  for (uint32_t link = 0; link <= run->stages; link++) put_link(out, run, link, &lines);
  put_idle(out, v, &lines);
  return lines;
}

static void draw_line(struct strbuf *out, const struct panel_view *v) {
  char speed[FORMAT_CAP], sent[FORMAT_CAP];
  struct run_traffic t = run_record_between_stages(v->run);
  strbuf_printf(out, "%s: %s, step %llu/%llu", v->run->name, v->phase, (unsigned long long)v->step,
                (unsigned long long)v->run->steps_total);
  put_loss(out, v);
  if (v->tokens_per_s > 0)
    strbuf_printf(out, "  %s tokens/s", format_count(speed, (uint64_t)(v->tokens_per_s + 0.5)));
  strbuf_printf(out, "  sent %s", format_bytes(sent, (double)t.sent));
  if (t.sent) strbuf_printf(out, " (%.1fx)", (double)t.raw / (double)t.sent);
  strbuf_puts(out, "  idle");
  for (uint32_t s = 0; s < v->run->stages; s++) strbuf_printf(out, " %.0f%%", 100 * v->idle[s]);
  strbuf_puts(out, "\n");
}

void panel_update(struct panel *p, const struct panel_view *view, uint64_t now_ns, int now) {
  uint64_t every = p->tty ? TTY_EVERY_NS : PLAIN_EVERY_NS;
  if (!now && now_ns - p->last_ns < every) return;
  if (!p->tty && p->last_phase == view->phase && p->last_step == view->step && p->last_ns) return;
  p->last_ns = now_ns;
  p->last_step = view->step;
  p->last_phase = view->phase;
  struct strbuf text = {0};
  if (p->tty) {
    if (p->drawn) strbuf_printf(&text, "\x1b[%uA\r", p->drawn);
    p->drawn = draw_block(&text, view);
  } else {
    draw_line(&text, view);
  }
  fwrite(text.text, 1, text.len, p->out);
  fflush(p->out);
  strbuf_free(&text);
}

void panel_finish(struct panel *p) {
  p->drawn = 0;
}
