#include "uv_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "strbuf.h"

struct write_job {
  uv_write_t request;
  struct uv_link *owner;
  struct shaper_chunk *chunk;
};

/* A link that has ended says so to its stage by an event: the host only passes the news on. */
static void end(struct uv_link *l, plr_status why) {
  if (l->ended) return;
  l->ended = 1;
  plr_link_close(l->link, why);
  uv_timer_stop(&l->timer);
  if (l->connected && !l->closing) uv_read_stop((uv_stream_t *)&l->tcp);
  l->on_change(l->user);
}

static void on_written(uv_write_t *request, int error) {
  struct write_job *job = (struct write_job *)request;
  struct uv_link *l = job->owner;
  shaper_recycle(&l->shaper, job->chunk);
  free(job);
  if (l->closing) return;
  if (error) end(l, PLR_ERR_CLOSED);
  if (!l->ended) uv_link_flush(l);
}

static void deliver(struct uv_link *l, uint64_t now) {
  struct shaper_chunk *chunk;
  while ((chunk = shaper_due(&l->shaper, now))) {
    struct write_job *job = must_alloc(1, sizeof *job);
    job->owner = l;
    job->chunk = chunk;
    uv_buf_t buf = uv_buf_init((char *)chunk->data, (unsigned)chunk->len);
    int error = uv_write(&job->request, (uv_stream_t *)&l->tcp, &buf, 1, on_written);
    if (error) {
      shaper_recycle(&l->shaper, chunk);
      free(job);
      end(l, PLR_ERR_CLOSED);
      return;
    }
  }
}

/* Takes bytes from the link as the wire has room for them, and not earlier: its priorities then
 * still count. Returns 1 when the link may hold more than the wire takes now. */
static int fill(struct uv_link *l, uint64_t now) {
  for (;;) {
    size_t room, got = 0;
    struct shaper_chunk *chunk = shaper_take(&l->shaper, now, &room);
    if (!chunk) return 1;
    plr_status status = plr_link_transmit(l->link, now, chunk->data, room, &got);
    if (status != PLR_OK || got == 0) {
      shaper_recycle(&l->shaper, chunk);
      return 0;
    }
    chunk->len = got;
    shaper_put(&l->shaper, now, chunk);
  }
}

static void on_timer(uv_timer_t *timer) {
  struct uv_link *l = timer->data;
  uint64_t now = uv_hrtime();
  if (l->ended) return;
  if (plr_link_next_deadline_ns(l->link) <= now) {
    plr_link_advance(l->link, now);
    l->on_change(l->user);
  }
  if (!l->ended && !l->closing) uv_link_flush(l);
}

/* Rounded to the nearest millisecond of the loop's clock; see HALF_TICK_NS in shaper.c. */
static void set_timer(struct uv_link *l, uint64_t when_ns) {
  if (when_ns == UINT64_MAX) {
    uv_timer_stop(&l->timer);
    return;
  }
  uv_update_time(l->loop);
  uint64_t at_ms = (when_ns + 500000) / 1000000, now_ms = uv_now(l->loop);
  uv_timer_start(&l->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

void uv_link_flush(struct uv_link *l) {
  if (!l->connected || l->ended || l->closing) return;
  uint64_t now = uv_hrtime();
  int more = fill(l, now);
  deliver(l, now);
  if (l->ended) return;
  uint64_t when = plr_link_next_deadline_ns(l->link);
  uint64_t due = shaper_next_due_ns(&l->shaper), room = shaper_next_room_ns(&l->shaper);
  if (due < when) when = due;
  /* When too much is under way, on_written comes back here; else the wire's clock does. */
  if (more && room > now && room < when) when = room;
  set_timer(l, when);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  struct uv_link *l = handle->data;
  (void)suggested;
  *buf = uv_buf_init((char *)l->in, sizeof l->in);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf) {
  struct uv_link *l = stream->data;
  if (got == 0) return;
  if (got < 0) {
    end(l, PLR_ERR_CLOSED);
    return;
  }
  plr_status status = plr_link_receive(l->link, uv_hrtime(), buf->base, (size_t)got);
  if (status != PLR_OK) {
    end(l, status);
    return;
  }
  l->on_change(l->user);
}

static void started(struct uv_link *l) {
  l->connected = 1;
  uv_tcp_nodelay(&l->tcp, 1);
  uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
  l->on_change(l->user);
}

static void on_closed(uv_handle_t *handle) {
  struct uv_link *l = handle->data;
  l->open_handles--;
  if (l->closing && l->open_handles == 0) shaper_free(&l->shaper);
}

static void on_connected(uv_connect_t *request, int error);

static void try_connect(uv_timer_t *timer) {
  struct uv_link *l = timer->data;
  uv_tcp_init(l->loop, &l->tcp);
  l->tcp.data = l;
  l->open_handles++;
  int error =
      uv_tcp_connect(&l->connect, &l->tcp, (const struct sockaddr *)&l->address, on_connected);
  if (error) on_connected(&l->connect, error);
}

static void on_connected(uv_connect_t *request, int error) {
  struct uv_link *l = request->data;
  if (l->closing) return;
  if (!error) {
    started(l);
    return;
  }
  uv_close((uv_handle_t *)&l->tcp, on_closed);
  if (uv_hrtime() + l->retry_ms * 1000000 > l->give_up_ns) {
    end(l, PLR_ERR_UNAVAILABLE);
    return;
  }
  uv_timer_start(&l->retry_timer, try_connect, l->retry_ms, 0);
  if (l->retry_ms < 1000) l->retry_ms *= 2;
}

void uv_link_connect(struct uv_link *l, uint16_t port, uint64_t timeout_ns) {
  uv_ip4_addr("127.0.0.1", port, &l->address);
  l->give_up_ns = uv_hrtime() + timeout_ns;
  l->retry_ms = 50;
  l->connect.data = l;
  try_connect(&l->retry_timer);
}

static void on_incoming(uv_stream_t *listener, int error) {
  struct uv_link *l = listener->data;
  if (error || l->connected) return;
  uv_tcp_init(l->loop, &l->tcp);
  l->tcp.data = l;
  l->open_handles++;
  if (uv_accept(listener, (uv_stream_t *)&l->tcp) != 0) {
    uv_close((uv_handle_t *)&l->tcp, on_closed);
    return;
  }
  uv_close((uv_handle_t *)listener, on_closed);
  started(l);
}

int uv_link_accept(struct uv_link *l, int listening_fd) {
  uv_tcp_init(l->loop, &l->listener);
  l->listener.data = l;
  l->open_handles++;
  int error = uv_tcp_open(&l->listener, listening_fd);
  return error ? error : uv_listen((uv_stream_t *)&l->listener, 4, on_incoming);
}

void uv_link_init(struct uv_link *l, uv_loop_t *loop, plr_link *link, uint64_t bits_per_s,
                  uint64_t delay_ns, void (*on_change)(void *user), void *user) {
  memset(l, 0, sizeof *l);
  l->loop = loop;
  l->link = link;
  l->on_change = on_change;
  l->user = user;
  shaper_init(&l->shaper, bits_per_s, delay_ns);
  uv_timer_init(loop, &l->timer);
  uv_timer_init(loop, &l->retry_timer);
  l->timer.data = l->retry_timer.data = l;
  l->open_handles = 2;
}

static void close_handle(uv_handle_t *handle) {
  /* A handle that was never initialised has no type. */
  if (handle->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handle)) uv_close(handle, on_closed);
}

void uv_link_close(struct uv_link *l) {
  if (l->closing) return;
  l->closing = 1;
  close_handle((uv_handle_t *)&l->timer);
  close_handle((uv_handle_t *)&l->retry_timer);
  close_handle((uv_handle_t *)&l->tcp);
  close_handle((uv_handle_t *)&l->listener);
}

int uv_link_listen_loopback(uint16_t *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return -errno;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || bind(fd, (struct sockaddr *)&address, len) != 0 ||
      listen(fd, 4) != 0 || getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  *port = ntohs(address.sin_port);
  return fd;
}
