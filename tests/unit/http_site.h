/* A small HTTP/1.1 server for tests: a thread per connection, files from a folder, and faults on demand. */
#ifndef PLR_TESTS_HTTP_SITE_H
#define PLR_TESTS_HTTP_SITE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
  FAULT_NONE,
  FAULT_STATUS,   /* answers `number` instead */
  FAULT_BUSY,     /* 503 with Retry-After: number */
  FAULT_CUT,      /* promises the file, sends half of it and hangs up */
  FAULT_CHUNKED,  /* sends half of it in chunks, and hangs up */
  FAULT_STALL,    /* sends half of it, then nothing for `number` milliseconds */
  FAULT_FLIP,     /* changes one bit of the last byte */
  FAULT_ENDLESS,  /* sends zeros for as long as anybody listens */
  FAULT_HUGE,     /* promises 2^40 bytes */
  FAULT_SHORT,    /* a whole answer, of half the file */
  FAULT_REDIRECT, /* 302 to `text` */
  FAULT_NOISE     /* bytes that are no answer at all */
};

/* Applies to paths that contain `path`, so many times (< 0: always), after `skip` that were served well. */
typedef struct site_fault {
  const char *path, *text;
  int kind, number, times, skip;
} site_fault;

typedef struct http_site http_site;

/* Answers a request with a body: the status; *out is NUL-terminated, `cap` bytes. */
typedef int (*site_post_fn)(void *user, const char *path, const char *body, size_t len, char *out,
                            size_t cap);

struct http_site {
  int socket;
  char url[64], folder[256];
  pthread_t thread;
  pthread_mutex_t lock;
  site_fault faults[8];
  int fault_count, requests, connections, open, stopping;
  char last_head[4096]; /* of the request that came last */
  site_post_fn post;
  void *user;
};

typedef struct site_connection {
  http_site *site;
  int socket;
} site_connection;

static inline void site_sleep(int milliseconds) {
  struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&t, NULL);
}

static inline int site_send(int s, const void *data, size_t len) {
  const char *p = data;
  while (len) {
    ssize_t n = send(s, p, len, MSG_NOSIGNAL);
    if (n <= 0) return 0;
    p += n, len -= (size_t)n;
  }
  return 1;
}

static inline int site_answer(int s, int status, const char *headers, const void *body,
                              size_t len) {
  char head[1024];
  int n = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", status, len,
                   headers);
  return site_send(s, head, (size_t)n) && site_send(s, body, len);
}

static inline char *site_file(const http_site *site, const char *path, size_t *len) {
  char name[512];
  if (strstr(path, "..")) return NULL;
  snprintf(name, sizeof name, "%s%s", site->folder, path);
  FILE *f = fopen(name, "rb");
  if (!f) return NULL;
  fseek(f, 0, SEEK_END);
  long size = ftell(f);
  rewind(f);
  char *data = size < 0 ? NULL : malloc((size_t)size + 1);
  *len = data ? fread(data, 1, (size_t)size, f) : 0;
  fclose(f);
  return data;
}

static inline site_fault site_take_fault(http_site *site, const char *path) {
  site_fault none = {0}, *f;
  for (int i = 0; i < site->fault_count; i++) {
    f = &site->faults[i];
    if (!strstr(path, f->path) || f->times == 0) continue;
    if (f->skip > 0) {
      f->skip--;
      continue;
    }
    if (f->times > 0) f->times--;
    return *f;
  }
  return none;
}

/* 0: the connection ends. */
static inline int site_fail(const site_fault *f, int s, char *data, size_t len) {
  char text[512];
  switch (f->kind) {
  case FAULT_STATUS:
    return site_answer(s, f->number, "", "no", 2);
  case FAULT_BUSY:
    snprintf(text, sizeof text, "Retry-After: %d\r\n", f->number);
    return site_answer(s, 503, text, "", 0);
  case FAULT_CUT:
  case FAULT_STALL:
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
    if (!site_send(s, text, strlen(text)) || !site_send(s, data, len / 2)) return 0;
    for (int i = 0; f->kind == FAULT_STALL && i < f->number; i += 10) {
      char c;
      if (recv(s, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0) break; /* they have left */
      site_sleep(10);
    }
    return 0;
  case FAULT_CHUNKED:
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
             len / 2);
    (void)(site_send(s, text, strlen(text)) && site_send(s, data, len / 2) &&
           site_send(s, "\r\n", 2));
    return 0;
  case FAULT_FLIP:
    data[len ? len - 1 : 0] ^= 4;
    return site_answer(s, 200, "", data, len);
  case FAULT_SHORT:
    return site_answer(s, 200, "", data, len / 2);
  case FAULT_ENDLESS: {
    static const char zeros[8192];
    const char *head = "HTTP/1.1 200 OK\r\n\r\n";
    if (!site_send(s, head, strlen(head))) return 0;
    while (site_send(s, zeros, sizeof zeros)) {
    }
    return 0;
  }
  case FAULT_HUGE: {
    const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n";
    return site_send(s, head, strlen(head)) && 0;
  }
  case FAULT_REDIRECT:
    snprintf(text, sizeof text, "Location: %s\r\n", f->text);
    return site_answer(s, 302, text, "", 0);
  default:
    return site_send(s, "\x16\x03 what\r\n\r\n", 10) && 0;
  }
}

static inline int site_serve(http_site *site, int s, const char *method, char *path,
                             const char *body, size_t body_len) {
  size_t len = 0;
  pthread_mutex_lock(&site->lock);
  site->requests++;
  site_fault fault = site_take_fault(site, path);
  pthread_mutex_unlock(&site->lock);
  if (strcmp(method, "GET") != 0 && fault.kind == FAULT_NONE) {
    char out[4096] = "";
    pthread_mutex_lock(&site->lock);
    int status = site->post ? site->post(site->user, path, body, body_len, out, sizeof out) : 405;
    pthread_mutex_unlock(&site->lock);
    return site_answer(s, status, "", out, strlen(out));
  }
  char *data = site_file(site, path, &len);
  int go_on;
  if (fault.kind != FAULT_NONE)
    go_on = site_fail(&fault, s, data ? data : (char[8]){0}, len);
  else if (data)
    go_on = site_answer(s, 200, "", data, len);
  else
    go_on = site_answer(s, 404, "", "none", 4);
  free(data);
  return go_on;
}

/* Reads requests until the connection ends. */
static inline void *site_connection_run(void *arg) {
  site_connection *c = arg;
  http_site *site = c->site;
  size_t have = 0, cap = 1u << 18;
  char *buf = malloc(cap + 1);
  for (int go_on = 1; go_on && buf;) {
    char *end;
    buf[have] = 0;
    while (!(end = strstr(buf, "\r\n\r\n")) && have < cap) {
      ssize_t n = recv(c->socket, buf + have, cap - have, 0);
      if (n <= 0) goto done;
      have += (size_t)n;
      buf[have] = 0;
    }
    if (!end) break;
    char method[16] = "", path[512] = "";
    size_t head = (size_t)(end + 4 - buf), body = 0;
    if (sscanf(buf, "%15s %511s", method, path) != 2) break;
    for (char *line = strstr(buf, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n"))
      if (!strncasecmp(line + 2, "content-length:", 15)) body = strtoul(line + 17, NULL, 10);
    if (head + body > cap) break;
    while (have < head + body) {
      ssize_t n = recv(c->socket, buf + have, cap - have, 0);
      if (n <= 0) goto done;
      have += (size_t)n;
    }
    pthread_mutex_lock(&site->lock);
    snprintf(site->last_head, sizeof site->last_head, "%.*s", (int)head, buf);
    pthread_mutex_unlock(&site->lock);
    go_on = site_serve(site, c->socket, method, path, buf + head, body);
    memmove(buf, buf + head + body, have - head - body);
    have -= head + body;
  }
done:
  free(buf);
  close(c->socket);
  pthread_mutex_lock(&site->lock);
  site->open--;
  pthread_mutex_unlock(&site->lock);
  free(c);
  return NULL;
}

static inline void *site_run(void *arg) {
  http_site *site = arg;
  for (;;) {
    int s = accept(site->socket, NULL, NULL);
    pthread_mutex_lock(&site->lock);
    int stop = site->stopping;
    if (s >= 0 && !stop) site->connections++, site->open++;
    pthread_mutex_unlock(&site->lock);
    if (s < 0 || stop) {
      if (s >= 0) close(s);
      return NULL;
    }
    struct timeval patience = {.tv_sec = 1};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    site_connection *c = malloc(sizeof *c);
    pthread_t t;
    *c = (site_connection){site, s};
    if (pthread_create(&t, NULL, site_connection_run, c) == 0) pthread_detach(t);
  }
}

static inline struct sockaddr_in site_any_port(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return a;
}

static inline void site_start(http_site *site, const char *folder) {
  struct sockaddr_in a = site_any_port();
  socklen_t len = sizeof a;
  memset(site, 0, sizeof *site);
  pthread_mutex_init(&site->lock, NULL);
  snprintf(site->folder, sizeof site->folder, "%s", folder);
  site->socket = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(site->socket, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(site->socket, 64), 0);
  assert_int_equal(getsockname(site->socket, (struct sockaddr *)&a, &len), 0);
  snprintf(site->url, sizeof site->url, "http://127.0.0.1:%d", ntohs(a.sin_port));
  assert_int_equal(pthread_create(&site->thread, NULL, site_run, site), 0);
}

static inline void site_fault_set(http_site *site, site_fault f) {
  pthread_mutex_lock(&site->lock);
  site->fault_count = 1;
  site->faults[0] = f;
  pthread_mutex_unlock(&site->lock);
}

static inline void site_fault_add(http_site *site, site_fault f) {
  pthread_mutex_lock(&site->lock);
  site->faults[site->fault_count++] = f;
  pthread_mutex_unlock(&site->lock);
}

static inline void site_heal(http_site *site) {
  pthread_mutex_lock(&site->lock);
  site->fault_count = 0;
  pthread_mutex_unlock(&site->lock);
}

static inline void site_stop(http_site *site) {
  pthread_mutex_lock(&site->lock);
  site->stopping = 1;
  pthread_mutex_unlock(&site->lock);
  shutdown(site->socket, SHUT_RDWR);
  pthread_join(site->thread, NULL);
  close(site->socket);
  for (int open = 1; open;) {
    pthread_mutex_lock(&site->lock);
    open = site->open;
    pthread_mutex_unlock(&site->lock);
    if (open) site_sleep(1);
  }
  pthread_mutex_destroy(&site->lock);
}

#endif
