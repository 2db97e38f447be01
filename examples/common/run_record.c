#include "run_record.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "strbuf.h"

#define LINE_MAX_BYTES ((size_t)1 << 16)

/* ---- text as one field: %XX for what would break a line
 * ------------------------------------------ */

static void put_text(FILE *file, const char *text) {
  for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
    if (*s <= ' ' || *s == '%' || *s >= 0x7f) {
      fprintf(file, "%%%02X", *s);
    } else {
      fputc(*s, file);
    }
  }
}

static char *get_text(const char *field) {
  size_t len = strcspn(field, "\t\n"), n = 0;
  char *out = must_alloc(len + 1, 1);
  for (size_t i = 0; i < len; i++) {
    unsigned code;
    if (field[i] == '%' && i + 2 < len && sscanf(field + i + 1, "%2X", &code) == 1) {
      out[n++] = (char)code;
      i += 2;
    } else {
      out[n++] = field[i];
    }
  }
  return out;
}

/* ---- memory
 * ------------------------------------------------------------------------------------- */

static void *with_room(void *list, size_t count, size_t *cap, size_t size) {
  if (count < *cap) return list;
  *cap = *cap ? *cap * 2 : 64;
  return must_realloc(list, *cap * size);
}

static void keep_point(struct run_record *r, const struct run_point *point) {
  r->points = with_room(r->points, r->point_count, &r->point_cap, sizeof *point);
  r->points[r->point_count++] = *point;
}

static void keep_rate(struct run_record *r, const struct run_rate *rate) {
  r->rates = with_room(r->rates, r->rate_count, &r->rate_cap, sizeof *rate);
  r->rates[r->rate_count++] = *rate;
}

static void keep_span(struct run_record *r, const struct run_span *span) {
  r->spans = with_room(r->spans, r->span_count, &r->span_cap, sizeof *span);
  r->spans[r->span_count++] = *span;
}

/* ---- lines
 * -------------------------------------------------------------------------------------- */

static void write_head(struct run_record *r) {
  fprintf(r->file, "run\t%s\t%u\t%u\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%.6g\t", r->name,
          r->stages, r->dense, r->steps_total, r->tokens_per_step, r->parameters, r->ratio_planned);
  put_text(r->file, r->boundary);
  fputc('\n', r->file);
}

static void write_point(struct run_record *r, const struct run_point *p) {
  fprintf(r->file, "point\t%" PRIu64 "\t%.9g\t%.9g\t%" PRIu64 "\t%" PRIu64 "\t%.3f\n", p->step,
          p->train_loss, p->valid_loss, p->sent, p->raw, p->seconds);
}

static void write_rate(struct run_record *r, const struct run_rate *p) {
  fprintf(r->file, "rate\t%" PRIu64 "\t%.0f\t%.0f\n", p->step, p->given, p->measured);
}

static void write_span(struct run_record *r, const struct run_span *s) {
  fprintf(r->file, "span\t%u\t%u\t%u\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", s->stage, s->kind,
          s->micro_batch, s->step, s->begin_ns, s->end_ns);
}

static void write_sample(struct run_record *r) {
  fputs("sample\t", r->file);
  put_text(r->file, r->prompt);
  fputc('\t', r->file);
  put_text(r->file, r->sample);
  fputc('\n', r->file);
}

/* Totals of all links as of a step. Those of the last step that counts stay. */
static int read_traffic(struct run_record *r, const char *fields, uint64_t last_step) {
  struct run_traffic links[RUN_MAX_STAGES + 1];
  uint64_t step;
  int used;
  if (sscanf(fields, "%" SCNu64 "%n", &step, &used) != 1) return -1;
  for (uint32_t i = 0; i <= r->stages; i++) {
    fields += used;
    if (sscanf(fields, "\t%" SCNu64 "\t%" SCNu64 "%n", &links[i].sent, &links[i].raw, &used) != 2)
      return -1;
  }
  if (step <= last_step) memcpy(r->traffic, links, (r->stages + 1) * sizeof *links);
  return 0;
}

static int read_line(struct run_record *r, const char *line, uint64_t last_step) {
  struct run_point p;
  struct run_rate rate;
  struct run_span s;
  unsigned i;
  double idle;
  char name[64], key[65] = "";
  int at = 0;
  if (sscanf(line, "point\t%" SCNu64 "\t%lf\t%lf\t%" SCNu64 "\t%" SCNu64 "\t%lf", &p.step,
             &p.train_loss, &p.valid_loss, &p.sent, &p.raw, &p.seconds) == 6) {
    if (p.step <= last_step) keep_point(r, &p);
  } else if (sscanf(line, "rate\t%" SCNu64 "\t%lf\t%lf", &rate.step, &rate.given, &rate.measured) ==
             3) {
    if (rate.step <= last_step) keep_rate(r, &rate);
  } else if (strncmp(line, "traffic\t", 8) == 0) {
    return read_traffic(r, line + 8, last_step);
  } else if (sscanf(line, "idle\t%u\t%lf", &i, &idle) == 2) {
    if (i >= RUN_MAX_STAGES) return -1;
    r->idle[i] = idle;
  } else if (sscanf(line, "key\t%u\t%64s", &i, key) == 2) {
    if (i >= RUN_MAX_STAGES) return -1;
    memcpy(r->keys[i], key, sizeof key);
  } else if (sscanf(line, "span\t%u\t%u\t%u\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64, &s.stage, &s.kind,
                    &s.micro_batch, &s.step, &s.begin_ns, &s.end_ns) == 6) {
    if (s.stage >= RUN_MAX_STAGES) return -1;
    keep_span(r, &s);
  } else if (strncmp(line, "sample\t", 7) == 0) {
    const char *tab = strchr(line + 7, '\t');
    if (!tab) return -1;
    free(r->prompt);
    free(r->sample);
    r->prompt = get_text(line + 7);
    r->sample = get_text(tab + 1);
  } else if (sscanf(line, "run\t%63s\t%u\t%u\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%lf\t%n", name,
                    &r->stages, &r->dense, &r->steps_total, &r->tokens_per_step, &r->parameters,
                    &r->ratio_planned, &at) == 7 &&
             at > 0) {
    if (r->stages == 0 || r->stages > RUN_MAX_STAGES) return -1;
    snprintf(r->name, sizeof r->name, "%s", name);
    char *boundary = get_text(line + at);
    snprintf(r->boundary, sizeof r->boundary, "%s", boundary);
    free(boundary);
  } else {
    return -1;
  }
  return 0;
}

static int record_path(char *path, size_t cap, const char *dir, char *message, size_t message_cap) {
  if (snprintf(path, cap, "%s/record.tsv", dir) < (int)cap) return 0;
  snprintf(message, message_cap, "%s: the path is too long", dir);
  return -1;
}

static int load(struct run_record *r, const char *path, uint64_t last_step, char *message,
                size_t cap) {
  FILE *file = fopen(path, "r");
  if (!file) {
    if (errno == ENOENT) return 1;
    snprintf(message, cap, "%s: %s", path, strerror(errno));
    return -1;
  }
  char *line = must_alloc(LINE_MAX_BYTES, 1);
  int result = 0;
  for (unsigned number = 1; result == 0 && fgets(line, (int)LINE_MAX_BYTES, file); number++) {
    if (!strchr(line, '\n')) break; /* cut off by a kill */
    result = read_line(r, line, last_step);
    if (result != 0) snprintf(message, cap, "%s: line %u is not a record", path, number);
  }
  free(line);
  fclose(file);
  return result;
}

int run_record_load(struct run_record *r, const char *dir, char *message, size_t message_cap) {
  char path[1024];
  memset(r, 0, sizeof *r);
  if (record_path(path, sizeof path, dir, message, message_cap) != 0) return -1;
  int result = load(r, path, UINT64_MAX, message, message_cap);
  if (result == 0 && r->stages == 0) {
    snprintf(message, message_cap, "%s: has no first line", path);
    result = -1;
  }
  if (result != 0) run_record_free(r);
  return result;
}

/* All that is known, under a new name, then in place of the old file. */
static int rewrite(struct run_record *r, const char *path, char *message, size_t cap) {
  char temporary[1040];
  snprintf(temporary, sizeof temporary, "%s.new", path);
  r->file = fopen(temporary, "w");
  if (!r->file) {
    snprintf(message, cap, "%s: %s", temporary, strerror(errno));
    return -1;
  }
  write_head(r);
  for (size_t i = 0; i < r->point_count; i++) write_point(r, &r->points[i]);
  for (size_t i = 0; i < r->rate_count; i++) write_rate(r, &r->rates[i]);
  for (size_t i = 0; i < r->span_count; i++) write_span(r, &r->spans[i]);
  if (r->sample) write_sample(r);
  run_record_keys(r);
  run_record_traffic(r);
  run_record_idle(r);
  if (fflush(r->file) == 0 && rename(temporary, path) == 0) return 0;
  snprintf(message, cap, "%s: %s", path, strerror(errno));
  fclose(r->file);
  r->file = NULL;
  unlink(temporary);
  return -1;
}

/* What an earlier session counted with another number of links: as one between the first two stages, and the feeder's.
 * Its spans are of other stages. */
static void fold_links(struct run_record *r, uint32_t stages) {
  struct run_traffic between = run_record_between_stages(r), last = r->traffic[r->stages];
  memset(r->traffic + 1, 0, sizeof r->traffic - sizeof r->traffic[0]);
  r->traffic[1] = between;
  r->traffic[stages] = last;
  r->span_count = 0;
}

int run_record_open(struct run_record *r, const char *dir, uint64_t step, char *message,
                    size_t message_cap) {
  char path[1024];
  struct run_record plain = *r;
  if (record_path(path, sizeof path, dir, message, message_cap) != 0) return -1;
  if (load(r, path, step, message, message_cap) < 0) return -1;
  if (r->stages && r->stages != plain.stages) fold_links(r, plain.stages);
  memcpy(r->name, plain.name, sizeof r->name);
  memcpy(r->boundary, plain.boundary, sizeof r->boundary);
  r->stages = plain.stages;
  r->dense = plain.dense;
  r->steps_total = plain.steps_total;
  r->tokens_per_step = plain.tokens_per_step;
  r->parameters = plain.parameters;
  r->ratio_planned = plain.ratio_planned;
  memcpy(r->traffic_base, r->traffic, sizeof r->traffic_base);
  return rewrite(r, path, message, message_cap);
}

void run_record_free(struct run_record *r) {
  if (r->file) fclose(r->file);
  free(r->points);
  free(r->rates);
  free(r->spans);
  free(r->prompt);
  free(r->sample);
  memset(r, 0, sizeof *r);
}

/* ---- additions
 * ---------------------------------------------------------------------------------- */

void run_record_point(struct run_record *r, const struct run_point *point) {
  keep_point(r, point);
  if (!r->file) return;
  write_point(r, point);
  run_record_traffic(r);
}

void run_record_rate(struct run_record *r, const struct run_rate *rate) {
  keep_rate(r, rate);
  if (r->file) write_rate(r, rate);
}

void run_record_traffic(struct run_record *r) {
  if (!r->file) return;
  uint64_t step = r->point_count ? r->points[r->point_count - 1].step : 0;
  fprintf(r->file, "traffic\t%" PRIu64, step);
  for (uint32_t i = 0; i <= r->stages; i++)
    fprintf(r->file, "\t%" PRIu64 "\t%" PRIu64, r->traffic[i].sent, r->traffic[i].raw);
  fputc('\n', r->file);
  fflush(r->file);
}

void run_record_idle(struct run_record *r) {
  if (!r->file) return;
  for (uint32_t i = 0; i < r->stages; i++) fprintf(r->file, "idle\t%u\t%.4f\n", i, r->idle[i]);
  fflush(r->file);
}

void run_record_keys(struct run_record *r) {
  if (!r->file) return;
  for (uint32_t i = 0; i < r->stages; i++)
    if (r->keys[i][0]) fprintf(r->file, "key\t%u\t%s\n", i, r->keys[i]);
  fflush(r->file);
}

void run_record_span(struct run_record *r, const struct run_span *span) {
  keep_span(r, span);
  if (r->file) write_span(r, span);
}

void run_record_sample(struct run_record *r, const char *prompt, const char *sample) {
  char *new_prompt = must_alloc(strlen(prompt) + 1, 1),
       *new_sample = must_alloc(strlen(sample) + 1, 1);
  strcpy(new_prompt, prompt);
  strcpy(new_sample, sample);
  free(r->prompt);
  free(r->sample);
  r->prompt = new_prompt;
  r->sample = new_sample;
  if (!r->file) return;
  write_sample(r);
  fflush(r->file);
}

/* ---- figures
 * ------------------------------------------------------------------------------------ */

double run_record_valid_loss(const struct run_record *r) {
  for (size_t i = r->point_count; i-- > 0;)
    if (isfinite(r->points[i].valid_loss)) return r->points[i].valid_loss;
  return NAN;
}

struct run_traffic run_record_between_stages(const struct run_record *r) {
  struct run_traffic sum = {0, 0};
  for (uint32_t i = 1; i < r->stages; i++) {
    sum.sent += r->traffic[i].sent;
    sum.raw += r->traffic[i].raw;
  }
  return sum;
}

double run_record_ratio(const struct run_record *r) {
  struct run_traffic sum = run_record_between_stages(r);
  return sum.sent ? (double)sum.raw / (double)sum.sent : 0;
}
