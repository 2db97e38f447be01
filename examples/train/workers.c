#include "workers.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "strbuf.h"
#include "uv_link.h"
#include "worker.h"

#define KILL_AFTER_MS 1000

/* ---- what they say
 * ------------------------------------------------------------------------------ */

static void on_traffic(struct worker_process *p, const char *line) {
  uint64_t v[8];
  if (sscanf(line,
             "traffic %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
             " %" SCNu64 " %" SCNu64,
             &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 8)
    return;
  memcpy(p->sent, v, sizeof p->sent);
  memcpy(p->raw, v + 2, sizeof p->raw);
  p->resumes = v[4];
  p->again = v[5];
  memcpy(p->rate, v + 6, sizeof p->rate);
}

static void on_job(struct worker_process *p, const char *line) {
  struct run_span s = {.stage = p->index};
  if (sscanf(line, "job %u %" SCNu64 " %u %" SCNu64 " %" SCNu64, &s.kind, &s.step, &s.micro_batch,
             &s.begin_ns, &s.end_ns) != 5)
    return;
  p->all->callbacks.span(p->all->callbacks.user, &s);
}

static void on_line(void *user, char *line) {
  struct worker_process *p = user;
  struct workers *w = p->all;
  char text[LINES_MAX + 64];
  if (!line) return; /* its end is told by on_exit */
  if (strncmp(line, "job ", 4) == 0) {
    on_job(p, line);
  } else if (strncmp(line, "traffic ", 8) == 0) {
    on_traffic(p, line);
  } else if (sscanf(line, "key %64s", text) == 1 && !p->key[0]) {
    snprintf(p->key, sizeof p->key, "%.64s", text);
    if (++w->with_key == w->count) w->callbacks.keys(w->callbacks.user);
  } else if (strcmp(line, "frozen") == 0 && !p->frozen) {
    p->frozen = 1;
    if (++w->frozen == w->count) w->callbacks.frozen(w->callbacks.user);
  } else if (strncmp(line, "fail ", 5) == 0) {
    p->said_why = 1;
    text[0] = 0;
    /* The library names the stage itself. */
    if (strncmp(line + 5, "stage ", 6) != 0) snprintf(text, sizeof text, "stage %u: ", p->index);
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s", line + 5);
    w->callbacks.failed(w->callbacks.user, text);
  }
}

static void on_exit(uv_process_t *process, int64_t status, int signal_number) {
  struct worker_process *p = process->data;
  struct workers *w = p->all;
  char text[160];
  p->exited = 1;
  w->running--;
  if (!w->quitting && (signal_number || !p->said_why)) {
    if (signal_number) {
      snprintf(text, sizeof text, "stage %u: its process (%d) was ended by signal %d (%s)",
               p->index, (int)process->pid, signal_number, strsignal(signal_number));
    } else {
      snprintf(text, sizeof text, "stage %u: its process (%d) ended with status %d", p->index,
               (int)process->pid, (int)status);
    }
    w->callbacks.failed(w->callbacks.user, text);
  }
  if (w->running == 0) w->callbacks.ended(w->callbacks.user);
}

/* ---- starting
 * ----------------------------------------------------------------------------------- */

struct arguments {
  char *list[40];
  int count;
};

static void argument(struct arguments *a, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void argument(struct arguments *a, const char *name, const char *format, ...) {
  struct strbuf text = {0};
  char value[1200];
  va_list args;
  va_start(args, format);
  vsnprintf(value, sizeof value, format, args);
  va_end(args);
  strbuf_printf(&text, "--%s=%s", name, value);
  a->list[a->count++] = text.text;
  a->list[a->count] = NULL;
}

static void build_arguments(struct arguments *a, const char *program, const struct options *o,
                            const struct plan *plan, const char *origin, uint64_t start_step,
                            uint32_t index, uint16_t port) {
  struct strbuf first = {0}, flag = {0};
  strbuf_puts(&first, program);
  strbuf_puts(&flag, "--is-worker");
  *a = (struct arguments){.list = {first.text, flag.text}, .count = 2};
  argument(a, "worker", "%u", index);
  argument(a, "parent", "%ld", (long)getpid());
  argument(a, "out", "%s", o->out);
  argument(a, "name", "%s", plan->name);
  argument(a, "codec", "%s", plan->codec);
  argument(a, "origin", "%s", origin);
  argument(a, "stages", "%" PRIu64, o->stages);
  argument(a, "threads", "%" PRIu64, o->threads);
  argument(a, "device", "%s", o->device);
  argument(a, "snapshot-every", "%" PRIu64, o->snapshot_every);
  argument(a, "start-step", "%" PRIu64, start_step);
  argument(a, "port", "%u", port);
  argument(a, "steps", "%" PRIu64, o->steps);
  argument(a, "schedule", "%s", o->schedule);
  if (o->window) argument(a, "window", "%" PRIu64, o->window);
  if (o->trace) argument(a, "trace", "%s", o->trace);
  if (o->compress_auto && !plan->dense) argument(a, "compress", "auto");
  if (o->rate) {
    argument(a, "rate", "%" PRIu64 "bit", o->rate);
  } else {
    argument(a, "rate", "off");
  }
  argument(a, "delay", "%" PRIu64 "ns", o->delay);
  argument(a, "transport", "%s", o->transport);
  if (o->netns) argument(a, "netns", "%s", o->netns);
  argument(a, "loss", "%.17g", o->loss);
  argument(a, "cut", "%" PRIu64 "ns", o->cut);
}

static int spawn(struct worker_process *p, const char *program, char **args, int listening_fd) {
  struct workers *w = p->all;
  uv_stdio_container_t stdio[5] = {
      {.flags = UV_IGNORE},
      {.flags = UV_INHERIT_FD, .data.fd = 2}, /* nothing goes to the parent's standard output */
      {.flags = UV_INHERIT_FD, .data.fd = 2},
      {.flags = UV_INHERIT_FD, .data.fd = listening_fd},
      {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE},
  };
  uv_pipe_init(w->loop, &p->lines.pipe, 0);
  stdio[4].data.stream = (uv_stream_t *)&p->lines.pipe;
  uv_process_options_t options = {
      .file = program,
      .args = args,
      .exit_cb = on_exit,
      .stdio = stdio,
      .stdio_count = 5,
      /* its own process group: Ctrl-C is for the parent, which stops all in order */
      .flags = UV_PROCESS_DETACHED};
  p->process.data = p;
  int error = uv_spawn(w->loop, &p->process, &options);
  p->started = 1; /* both handles are to be closed, whatever came of it */
  if (error) {
    p->exited = 1;
    return error;
  }
  w->running++;
  lines_start(&p->lines, on_line, p);
  return 0;
}

static int start_one(struct workers *w, uint32_t index, const struct options *o,
                     const struct plan *plan, const char *origin, uint64_t start_step,
                     uint16_t port, int listening_fd) {
  struct worker_process *p = &w->list[index];
  struct arguments arguments;
  char program[1024];
  size_t len = sizeof program;
  int error = uv_exepath(program, &len);
  if (error) return error;
  p->all = w;
  p->index = index;
  build_arguments(&arguments, program, o, plan, origin, start_step, index, port);
  error = spawn(p, program, arguments.list, listening_fd);
  for (int i = 0; i < arguments.count; i++) free(arguments.list[i]);
  return error;
}

int workers_start(struct workers *w, uv_loop_t *loop, const struct options *o,
                  const struct plan *plan, const char *origin, uint64_t start_step,
                  uint16_t port_of_parent, uint16_t *first_port,
                  const struct workers_callbacks *callbacks, char *message, size_t message_cap) {
  *w = (struct workers){.loop = loop, .callbacks = *callbacks, .count = (uint32_t)o->stages};
  w->list = must_alloc(w->count, sizeof *w->list);
  uv_timer_init(loop, &w->kill_timer);
  w->kill_timer.data = w;
  uint16_t next = port_of_parent;
  int error = 0;
  /* From the last to the first: each is told the port its downstream neighbour listens on. */
  for (uint32_t i = w->count; i-- > 0 && !error;) {
    uint16_t port = 0;
    const struct place place = place_of(o->netns, i + 1);
    int fd = uv_link_listen(&place, options_datagram(o) != 0, &port);
    error = fd < 0 ? fd : start_one(w, i, o, plan, origin, start_step, next, fd);
    if (fd >= 0) close(fd);
    next = port;
  }
  *first_port = next;
  if (!error) return 0;
  snprintf(message, message_cap, "the stage processes could not be started: %s",
           uv_strerror(error));
  workers_quit(w);
  return -1;
}

/* ---- ending
 * ------------------------------------------------------------------------------------- */

void workers_send_all(struct workers *w, const char *line) {
  for (uint32_t i = 0; i < w->count; i++)
    if (w->list[i].started && !w->list[i].exited) lines_send(&w->list[i].lines, "%s", line);
}

static void kill_rest(uv_timer_t *timer) {
  struct workers *w = timer->data;
  for (uint32_t i = 0; i < w->count; i++)
    if (w->list[i].started && !w->list[i].exited) uv_process_kill(&w->list[i].process, SIGKILL);
}

void workers_quit(struct workers *w) {
  if (w->quitting) return;
  w->quitting = 1;
  workers_send_all(w, "quit");
  uv_timer_start(&w->kill_timer, kill_rest, KILL_AFTER_MS, 0);
}

void workers_close(struct workers *w) {
  uv_close((uv_handle_t *)&w->kill_timer, NULL);
  for (uint32_t i = 0; i < w->count; i++) {
    if (!w->list[i].started) continue;
    lines_close(&w->list[i].lines);
    uv_close((uv_handle_t *)&w->list[i].process, NULL);
  }
}

void workers_free(struct workers *w) {
  free(w->list);
  w->list = NULL;
}

void workers_traffic(const struct workers *w, struct run_traffic *links) {
  for (uint32_t i = 0; i < w->count; i++) {
    const struct worker_process *p = &w->list[i];
    links[i].sent += p->sent[0];
    links[i].raw += p->raw[0];
    links[i + 1].sent += p->sent[1];
    links[i + 1].raw += p->raw[1];
  }
}

double workers_rate(const struct workers *w) {
  double sum = 0, count = 0;
  for (uint32_t i = 0; i < w->count; i++)
    for (uint32_t side = 0; side < 2; side++) {
      const int between = side ? i + 1 < w->count : i > 0;
      if (!between || !w->list[i].rate[side]) continue;
      sum += 8 * (double)w->list[i].rate[side];
      count++;
    }
  return count > 0 ? sum / count : 0;
}

void workers_accidents(const struct workers *w, uint64_t *resumes, uint64_t *again) {
  for (uint32_t i = 0; i < w->count; i++) {
    *resumes += w->list[i].resumes;
    *again += w->list[i].again;
  }
}
