/* TCP: a connection is replaced when it breaks, and the link resumes over the new one. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "keys.h"
#include "strbuf.h"
#include "uv_link_int.h"

#define FIRST_RETRY_MS 50
#define MOST_RETRY_MS  2000

struct uv_link_connection {
  uv_tcp_t tcp;
  uv_connect_t request;
  struct uv_link *owner;
};

struct write_job {
  uv_write_t request;
  struct uv_link_connection *on;
  struct shaper_chunk *chunk;
};

/* ---- one connection
 * ---------------------------------------------------------------------------- */

static struct uv_link_connection *new_connection(struct uv_link *l) {
  struct uv_link_connection *c = must_alloc(1, sizeof *c);
  uv_tcp_init(l->loop, &c->tcp);
  c->tcp.data = c->request.data = c;
  c->owner = l;
  l->open_handles++;
  return c;
}

/* Its writes have all been called back by now. */
static void on_closed(uv_handle_t *handle) {
  struct uv_link_connection *c = handle->data;
  struct uv_link *l = c->owner;
  free(c);
  uv_link_let_go(l);
}

static void drop(struct uv_link_connection *c, int reset) {
  if (uv_is_closing((uv_handle_t *)&c->tcp)) return;
  if (!reset || uv_tcp_close_reset(&c->tcp, on_closed) != 0)
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* What was on the wire is gone; the link sends again what the peer turns out not to have. 0, or -1: it is over. */
static int renew(struct uv_link *l, int reset) {
  uint8_t nonce[32];
  if (l->now) drop(l->now, reset);
  l->now = NULL;
  shaper_clear(&l->shaper);
  if (!l->ended && keys_random(nonce, sizeof nonce) == 0 &&
      plr_link_resume(l->link, uv_hrtime(), nonce) == PLR_OK)
    return 0;
  uv_link_end(l, PLR_ERR_CLOSED);
  return -1;
}

static void try_connect(uv_timer_t *timer);

static void retry(struct uv_link *l) {
  if (!l->connects || l->closing || l->ended) return;
  uv_timer_start(&l->retry_timer, try_connect, l->retry_ms, 0);
  if (l->retry_ms < MOST_RETRY_MS) l->retry_ms *= 2;
}

static void lost(struct uv_link *l, int reset) {
  if (renew(l, reset) == 0) retry(l);
  if (!l->closing) uv_link_flush(l);
}

void uv_link_tcp_lost(struct uv_link *l) {
  lost(l, 0);
}

/* ---- bytes
 * ------------------------------------------------------------------------------------- */

static void on_written(uv_write_t *request, int error) {
  struct write_job *job = (struct write_job *)request;
  struct uv_link_connection *c = job->on;
  struct uv_link *l = c->owner;
  shaper_recycle(&l->shaper, job->chunk);
  free(job);
  if (l->closing || c != l->now) return;
  if (error)
    lost(l, 0);
  else
    uv_link_flush(l);
}

void uv_link_tcp_send(struct uv_link *l, uint64_t now_ns) {
  struct shaper_chunk *chunk;
  while (l->now && (chunk = shaper_due(&l->shaper, now_ns))) {
    struct write_job *job = must_alloc(1, sizeof *job);
    job->on = l->now;
    job->chunk = chunk;
    uv_buf_t buf = uv_buf_init((char *)chunk->data, (unsigned)chunk->len);
    if (uv_write(&job->request, (uv_stream_t *)&l->now->tcp, &buf, 1, on_written) == 0) continue;
    shaper_recycle(&l->shaper, chunk);
    free(job);
    if (renew(l, 0) == 0) retry(l);
  }
}

static void on_cut(uv_timer_t *timer) {
  struct uv_link *l = timer->data;
  if (l->now && !l->ended) lost(l, 1);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  struct uv_link *l = ((struct uv_link_connection *)handle->data)->owner;
  (void)suggested;
  *buf = uv_buf_init((char *)l->in, sizeof l->in);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf) {
  struct uv_link_connection *c = stream->data;
  struct uv_link *l = c->owner;
  if (got == 0 || c != l->now || l->closing) return;
  if (got < 0) {
    lost(l, 0);
    return;
  }
  l->retry_ms = FIRST_RETRY_MS; /* somebody is there */
  if (l->connects && l->options.cut_ns && !uv_is_active((uv_handle_t *)&l->cut_timer))
    uv_timer_start(&l->cut_timer, on_cut, l->options.cut_ns / 1000000, 0);
  if (!l->ended) uv_link_take(l, buf->base, (size_t)got, NULL);
}

/* ---- connections
 * ------------------------------------------------------------------------------- */

/* A long path that loses a little at random starves what takes every loss for congestion. Where the kernel does not
 * offer it, its default stays. */
static void prefer_bbr(uv_tcp_t *tcp) {
#ifdef TCP_CONGESTION
  uv_os_fd_t fd;
  if (uv_fileno((uv_handle_t *)tcp, &fd) == 0)
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3);
#else
  (void)tcp;
#endif
}

static void started(struct uv_link *l, struct uv_link_connection *c) {
  l->now = c;
  l->heard_ns = uv_hrtime();
  uv_tcp_nodelay(&c->tcp, 1);
  prefer_bbr(&c->tcp);
  uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
  l->on_change(l->user);
  uv_link_flush(l);
}

static void on_connected(uv_connect_t *request, int error) {
  struct uv_link_connection *c = request->data;
  struct uv_link *l = c->owner;
  l->trying = NULL;
  if (!error && !l->closing && !l->ended) {
    started(l, c);
    return;
  }
  drop(c, 0);
  retry(l);
}

static void try_connect(uv_timer_t *timer) {
  struct uv_link *l = timer->data;
  struct uv_link_connection *c = new_connection(l);
  l->trying = c;
  if (uv_tcp_connect(&c->request, &c->tcp, (const struct sockaddr *)&l->peer, on_connected) == 0)
    return;
  l->trying = NULL;
  drop(c, 0);
  retry(l);
}

/* The peer would not come again if its last connection still served: the newest counts. */
static void on_incoming(uv_stream_t *listener, int error) {
  struct uv_link *l = listener->data;
  if (error || l->closing) return;
  struct uv_link_connection *c = new_connection(l);
  if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || l->ended ||
      (l->now && renew(l, 0) != 0)) {
    drop(c, 0);
    return;
  }
  started(l, c);
}

int uv_link_tcp_start(struct uv_link *l, int listening_fd) {
  l->retry_ms = FIRST_RETRY_MS;
  if (listening_fd < 0) {
    try_connect(&l->retry_timer);
    return 0;
  }
  uv_tcp_init(l->loop, &l->listener);
  l->listener.data = l;
  l->open_handles++;
  int error = uv_tcp_open(&l->listener, listening_fd);
  return error ? error : uv_listen((uv_stream_t *)&l->listener, 4, on_incoming);
}

void uv_link_tcp_close(struct uv_link *l) {
  if (l->trying) drop(l->trying, 0);
  if (l->now) drop(l->now, 0);
  l->now = NULL;
}
