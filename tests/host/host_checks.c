/* Checks of what the example hosts share. Prints `ok NAME` or `not ok NAME: why`; run by
 * test_common.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "chart.h"
#include "format.h"
#include "run_record.h"
#include "shaper.h"
#include "strbuf.h"
#include "text.h"

static int failures;

static void check(const char *name, int good, const char *why) {
  if (good) {
    printf("ok %s\n", name);
  } else {
    printf("not ok %s: %s\n", name, why);
    failures++;
  }
}

/* ---- args
 * --------------------------------------------------------------------------------------- */

struct sample_options {
  int32_t flag;
  const char *text;
  uint64_t count, rate, delay;
  double number;
};

#define AT(field) offsetof(struct sample_options, field)
static const struct arg_spec specs[] = {
    {"flag", NULL, ARG_FLAG, AT(flag), 0, 0, "a flag"},
    {"text", "T", ARG_TEXT, AT(text), 0, 0, "a text"},
    {"count", "N", ARG_COUNT, AT(count), 1, 100, "a count"},
    {"number", "X", ARG_NUMBER, AT(number), 0.5, 10, "a number"},
    {"rate", "R", ARG_RATE, AT(rate), 0, 0, "a rate"},
    {"delay", "T", ARG_DURATION, AT(delay), 0, 0, "a delay"},
};

static int parse(struct sample_options *o, const char *a, const char *b, char *message) {
  char *argv[] = {(char *)"x", (char *)(uintptr_t)a, (char *)(uintptr_t)b};
  memset(o, 0, sizeof *o);
  message[0] = 0;
  return args_parse(specs, sizeof specs / sizeof *specs, o, b ? 3 : 2, argv, message, 256);
}

static void check_args(void) {
  static const char *const bad[][2] = {
      {"--count", "0"},     {"--count", "101"},   {"--count", "7x"},     {"--count", "-1"},
      {"--count", "1e1"},   {"--count=", NULL},   {"--count", NULL},     {"--flag=1", NULL},
      {"--number", "0.4"},  {"--number", "nan"},  {"--number", "0x1"},   {"--number", "1."},
      {"--rate", "80"},     {"--rate", "0mbit"},  {"--rate", "80 mbit"}, {"--rate", "80mbits"},
      {"--delay", "25"},    {"--delay", "25 ms"}, {"--delay", "-1ms"},   {"--unknown", NULL},
      {"--flag", "--flag"}, {"stray", NULL},      {"--coun", "5"},       {"--delay", "1e3ms"},
  };
  struct sample_options o;
  char message[256], why[400] = "";
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int named = parse(&o, bad[i][0], bad[i][1], message) == -1 &&
                strncmp(message[0] == '\'' ? message + 1 : message, bad[i][0],
                        strcspn(bad[i][0], "=")) == 0;
    if (!named)
      snprintf(why, sizeof why, "%s %s: '%.200s'", bad[i][0], bad[i][1] ? bad[i][1] : "", message);
  }
  check("args: bad values are refused and named", !why[0], why);
  int good = parse(&o, "--rate", "80mbit", message) == 0 && o.rate == 80000000;
  good &= parse(&o, "--rate=1.5gbit", NULL, message) == 0 && o.rate == 1500000000;
  good &= parse(&o, "--rate", "off", message) == 0 && o.rate == 0;
  good &= parse(&o, "--delay", "25ms", message) == 0 && o.delay == 25000000;
  good &= parse(&o, "--delay=0", NULL, message) == 0 && o.delay == 0;
  good &= parse(&o, "--number", "2.5", message) == 0 && o.number == 2.5;
  good &= parse(&o, "--text", "--odd", message) == 0 && strcmp(o.text, "--odd") == 0;
  check("args: good values", good, message);
}

/* ---- shaper
 * ------------------------------------------------------------------------------------- */

/* Pushes `total` bytes through under a simulated clock of 1 ms ticks; returns when the last one
 * arrived. */
static uint64_t push(struct shaper *s, size_t total, uint64_t tick_ns, uint64_t *first_ns) {
  uint64_t now = 1000000000;
  size_t sent = 0, arrived = 0;
  *first_ns = 0;
  for (; arrived < total; now += tick_ns) {
    struct shaper_chunk *chunk;
    size_t room;
    while (sent < total && (chunk = shaper_take(s, now, &room))) {
      chunk->len = total - sent < room ? total - sent : room;
      sent += chunk->len;
      shaper_put(s, now, chunk);
    }
    while ((chunk = shaper_due(s, now))) {
      if (!*first_ns) *first_ns = now - 1000000000;
      arrived += chunk->len;
      shaper_recycle(s, chunk);
    }
  }
  return now - tick_ns - 1000000000;
}

static void check_shaper(void) {
  static const struct {
    uint64_t rate, delay;
    size_t bytes;
  } cases[] = {{80000000, 25000000, 10000000},
               {1000000, 0, 125000},
               {1000000000, 5000000, 50000000},
               {9600, 0, 1200}};
  char why[200] = "";
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct shaper s;
    uint64_t first;
    shaper_init(&s, cases[i].rate, cases[i].delay);
    uint64_t took = push(&s, cases[i].bytes, 1000000, &first);
    double expect = (double)cases[i].bytes * 8e9 / (double)cases[i].rate + (double)cases[i].delay;
    if (fabs((double)took - expect) > 1.1e6 || (double)first + 5.1e5 < (double)cases[i].delay)
      snprintf(why, sizeof why, "%llu bit/s: %.2f ms, %.2f expected, first after %.2f",
               (unsigned long long)cases[i].rate, (double)took * 1e-6, expect * 1e-6,
               (double)first * 1e-6);
    shaper_free(&s);
  }
  check("shaper: rate and delay to the millisecond", !why[0], why);

  struct shaper s;
  size_t room, held = 0;
  struct shaper_chunk *chunk;
  shaper_init(&s, 0, 1000000000);
  while (held < (size_t)1 << 30 && (chunk = shaper_take(&s, 1, &room))) {
    chunk->len = room;
    held += room;
    shaper_put(&s, 1, chunk);
  }
  check("shaper: what is under way is bounded", held <= (size_t)65 << 20, "took too much");
  shaper_clear(&s);
  check("shaper: nothing is left after a cut", s.held == 0 && !shaper_due(&s, UINT64_MAX / 2),
        "something is");
  shaper_free(&s);
}

/* Datagrams put at `bits_per_s` for a second on a wire of 8 Mbit/s; the part that arrives. */
static double push_datagrams(uint64_t bits_per_s, double loss) {
  struct shaper s;
  struct shaper_chunk *chunk;
  size_t sent = 0, arrived = 0;
  shaper_init(&s, 8000000, 5000000);
  s.loss = loss;
  for (uint64_t now = 1000000000; now < 3000000000u; now += 1000000) {
    while (now < 2000000000u &&
           (double)sent * 8e9 < (double)bits_per_s * (double)(now - 999999999)) {
      chunk = shaper_spare(&s);
      chunk->len = 1000;
      sent += chunk->len;
      shaper_put_or_drop(&s, now, chunk);
    }
    while ((chunk = shaper_due(&s, now))) {
      arrived += chunk->len;
      shaper_recycle(&s, chunk);
    }
  }
  shaper_free(&s);
  return (double)arrived / (double)sent;
}

static void check_datagrams(void) {
  double fits = push_datagrams(7000000, 0), lossy = push_datagrams(7000000, 0.1),
         over = push_datagrams(16000000, 0);
  check("shaper: datagrams that fit arrive", fits == 1.0, "some were dropped");
  check("shaper: losses as asked", lossy > 0.87 && lossy < 0.93, "more or fewer");
  /* a second at half of the rate, and what the queue holds */
  check("shaper: more than the wire holds is dropped", over > 0.52 && over < 0.58, "more or less");
}

/* ---- text, format, markup
 * ------------------------------------------------------------------------ */

/* Entropy by a second way: from the joint table of pairs of the validation part. */
static double bigram_again(const unsigned char *s, size_t n) {
  size_t train = n - n / 10;
  double sum = 0, count = 0;
  for (int a = 0; a < 256; a++) {
    for (int b = 0; b < 256; b++) {
      double in_train = 0, after_a = 0, b_alone = 0, seen = 0;
      for (size_t i = train; i + 1 < n; i++) seen += s[i] == a && s[i + 1] == b;
      if (seen == 0) continue;
      for (size_t i = 0; i + 1 < train; i++)
        in_train += s[i] == a && s[i + 1] == b, after_a += s[i] == a;
      for (size_t i = 0; i < train; i++) b_alone += s[i] == b;
      sum -= seen * log((in_train + (b_alone + 1) / ((double)train + 256)) / (after_a + 1));
      count += seen;
    }
  }
  return sum / count;
}

static void check_text(void) {
  static const char line[] =
      "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n";
  struct strbuf b = {0};
  for (int i = 0; i < 40; i++) strbuf_printf(&b, "%d %s", i * 7919 % 101, line + i % 9);
  struct text text = {(unsigned char *)b.text, b.len};
  double h = text_bigram_entropy(&text);
  check("text: bigram entropy",
        fabs(h - bigram_again(text.bytes, text.len)) < 1e-12 && h > 0 && h < 5.6,
        "differs from its definition");
  strbuf_free(&b);
  char message[256];
  check("text: a folder is refused", text_load("/", &text, message, sizeof message) == -1, "taken");
  check("text: an empty file is refused",
        text_load("/dev/null", &text, message, sizeof message) == -1 && strstr(message, "empty"),
        message);
}

static void check_format(void) {
  char s[FORMAT_CAP];
  int good =
      !strcmp(format_bytes(s, 999), "999 B") && !strcmp(format_bytes(s, 999600), "1.00 MB") &&
      !strcmp(format_count(s, 1234567), "1,234,567") && !strcmp(format_count(s, 999), "999") &&
      !strcmp(format_money(s, 123456, 2), "1,234.56") && !strcmp(format_money(s, 7, 0), "7") &&
      !strcmp(format_money(s, 7, 2), "0.07") && !strcmp(format_rate(s, 80000000), "80 Mbit/s") &&
      !strcmp(format_duration(s, 252), "4 min 12 s") && !strcmp(format_duration(s, 0.025), "25 ms");
  check("format: numbers", good, s);
  struct strbuf b = {0};
  static const char nasty[] = "<a&\"\xff\xc0\xaf\xed\xa0\x80\xe2\x82\xac\x1b";
  strbuf_html(&b, nasty, sizeof nasty - 1);
  const char *bad = "\xef\xbf\xbd";
  struct strbuf want = {0};
  strbuf_puts(&want, "&lt;a&amp;&quot;");
  for (int i = 0; i < 6; i++) strbuf_puts(&want, bad);
  strbuf_printf(&want, "\xe2\x82\xac%s", bad);
  check("strbuf: markup and broken UTF-8", !strcmp(b.text, want.text), b.text);
  strbuf_free(&b);
  strbuf_free(&want);
}

static void check_ticks(void) {
  int good = 1;
  for (double span = 1e-6; span < 1e9; span *= 1.37) {
    double step = chart_nice_step(span, 5), lead = step / pow(10, floor(log10(step) + 1e-9));
    good &= span / step >= 3 && span / step <= 8;
    good &= fabs(lead - 1) < 1e-6 || fabs(lead - 2) < 1e-6 || fabs(lead - 5) < 1e-6;
  }
  check("chart: ticks are 1, 2 or 5", good, "a step is odd or too many ticks");
}

/* ---- record
 * ------------------------------------------------------------------------------------- */

static void plain_record(struct run_record *r) {
  memset(r, 0, sizeof *r);
  snprintf(r->name, sizeof r->name, "ours");
  snprintf(r->boundary, sizeof r->boundary, "a b%%c\td");
  r->stages = 2;
  r->steps_total = 10;
  r->tokens_per_step = 64;
}

static void check_record(const char *dir) {
  struct run_record r, back;
  char message[400] = "", path[600];
  plain_record(&r);
  int good = run_record_open(&r, dir, 0, message, sizeof message) == 0;
  for (uint64_t step = 1; good && step <= 10; step++) {
    struct run_point p = {step,       3.0 / (double)step, step % 5 ? NAN : 2.5,
                          step * 100, step * 1000,        (double)step};
    r.traffic[1] = (struct run_traffic){step * 100, step * 1000};
    run_record_point(&r, &p);
  }
  run_record_span(&r, &(struct run_span){1, RUN_BACKWARD, 3, 5, 100, 200});
  run_record_sample(&r, "A ", "line\nwith %\t tab");
  run_record_free(&r);
  good = good && run_record_load(&back, dir, message, sizeof message) == 0;
  good = good && back.point_count == 10 && back.points[3].step == 4 &&
         back.points[9].raw == 10000 && isnan(back.points[3].valid_loss) &&
         back.points[4].valid_loss == 2.5 && back.span_count == 1 && back.spans[0].end_ns == 200 &&
         !strcmp(back.sample, "line\nwith %\t tab") && !strcmp(back.boundary, "a b%c\td") &&
         back.traffic[1].sent == 1000 && back.stages == 2;
  check("record: written and read", good, message);
  if (good) run_record_free(&back);

  /* Killed in the middle of a line, then resumed at step 6. */
  snprintf(path, sizeof path, "%s/record.tsv", dir);
  FILE *file = fopen(path, "a");
  if (file) fputs("point\t11\t0.1", file), fclose(file);
  plain_record(&r);
  good = run_record_open(&r, dir, 6, message, sizeof message) == 0 && r.point_count == 6 &&
         r.traffic_base[1].sent == 600 && r.traffic_base[1].raw == 6000;
  check("record: resumed at an earlier step", good, message);
  run_record_free(&r);

  file = fopen(path, "w");
  if (file) fputs("run\tours\t2\t0\t1\t1\t1\t0\tx\nnonsense\n", file), fclose(file);
  check("record: a strange line is refused",
        run_record_load(&back, dir, message, sizeof message) == -1 && strstr(message, "line 2"),
        message);
}

int main(int argc, char **argv) {
  check_args();
  check_shaper();
  check_datagrams();
  check_text();
  check_format();
  check_ticks();
  if (argc > 1) check_record(argv[1]);
  return failures ? 1 : 0;
}
