#include "lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "strbuf.h"

struct line_write {
  uv_write_t request;
  char text[];
};

static void finish(struct lines *l) {
  if (!l->line) return;
  void (*line)(void *, char *) = l->line;
  l->line = NULL;
  line(l->user, NULL);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  struct lines *l = handle->data;
  (void)suggested;
  *buf = uv_buf_init(l->buf + l->len, (unsigned)(sizeof l->buf - 1 - l->len));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf) {
  struct lines *l = stream->data;
  (void)buf;
  if (got < 0) {
    uv_read_stop(stream);
    finish(l);
    return;
  }
  l->len += (size_t)got;
  char *start = l->buf, *newline;
  while (l->line && (newline = memchr(start, '\n', (size_t)(l->buf + l->len - start)))) {
    *newline = 0;
    l->line(l->user, start);
    start = newline + 1;
  }
  l->len = (size_t)(l->buf + l->len - start);
  memmove(l->buf, start, l->len);
  if (l->len == sizeof l->buf - 1) {
    uv_read_stop(stream);
    finish(l);
  }
}

void lines_start(struct lines *l, void (*line)(void *user, char *line), void *user) {
  l->line = line;
  l->user = user;
  l->len = 0;
  l->pipe.data = l;
  uv_read_start((uv_stream_t *)&l->pipe, on_alloc, on_read);
}

/* When the other end is gone the reader says so; a failed write needs no second report. */
static void on_written(uv_write_t *request, int error) {
  (void)error;
  free(request);
}

void lines_send(struct lines *l, const char *format, ...) {
  if (uv_is_closing((uv_handle_t *)&l->pipe)) return;
  struct line_write *w = must_alloc(1, sizeof *w + LINES_MAX);
  va_list args;
  va_start(args, format);
  int n = vsnprintf(w->text, LINES_MAX - 1, format, args);
  va_end(args);
  size_t len = n < 0 ? 0 : n < LINES_MAX - 1 ? (size_t)n : LINES_MAX - 2;
  w->text[len++] = '\n';
  uv_buf_t buf = uv_buf_init(w->text, (unsigned)len);
  if (uv_write(&w->request, (uv_stream_t *)&l->pipe, &buf, 1, on_written) != 0) free(w);
}

void lines_close(struct lines *l) {
  l->line = NULL;
  if (!uv_is_closing((uv_handle_t *)&l->pipe)) uv_close((uv_handle_t *)&l->pipe, NULL);
}
