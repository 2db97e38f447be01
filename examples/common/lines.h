/* Lines of text over a libuv pipe between a process and the ones it started: "word rest\n". */
#ifndef EXAMPLES_LINES_H
#define EXAMPLES_LINES_H

#include <stddef.h>
#include <uv.h>

#define LINES_MAX 1024

struct lines {
  uv_pipe_t pipe;
  char buf[LINES_MAX];
  size_t len;
  void (*line)(void *user,
               char *line); /* without its newline; NULL: the other end is gone (once) */
  void *user;
};

/* The pipe must be open (uv_spawn or uv_pipe_open). A line over LINES_MAX - 1 bytes ends the
 * conversation. */
void lines_start(struct lines *l, void (*line)(void *user, char *line), void *user);
void lines_send(struct lines *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lines_close(struct lines *l);

#endif
