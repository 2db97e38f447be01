#include "uv_link_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void uv_link_end(struct uv_link *l, plr_status why) {
  if (l->ended) return;
  l->ended = 1;
  plr_link_close(l->link, why); /* where it has not ended by itself */
  l->on_change(l->user);
}

static uint64_t rejected(const struct uv_link *l) {
  plr_link_stats stats = {.struct_size = sizeof stats};
  return plr_link_get_stats(l->link, &stats) == PLR_OK ? stats.rejected : 0;
}

void uv_link_take(struct uv_link *l, const void *data, size_t len, const struct sockaddr_in *from) {
  const uint64_t before = rejected(l);
  l->heard_ns = uv_hrtime();
  plr_status status = plr_link_receive(l->link, l->heard_ns, data, len);
  if (from && rejected(l) == before) {
    l->peer = *from;
    l->has_peer = 1;
  }
  if (status != PLR_OK) {
    uv_link_end(l, status);
    uv_link_flush(l); /* the peer is told why */
    return;
  }
  l->on_change(l->user);
}

/* ---- out
 * --------------------------------------------------------------------------------------- */

/* Takes bytes from the link as the wire has room for them, and not earlier: its priorities then
 * still count. Returns 1 when the link may hold more than the wire takes now. */
static int fill_stream(struct uv_link *l, uint64_t now) {
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

/* The link says how fast: what the wire cannot hold is lost, as it would be in a router. */
static void fill_datagrams(struct uv_link *l, uint64_t now) {
  for (;;) {
    size_t got = 0;
    struct shaper_chunk *chunk = shaper_spare(&l->shaper);
    plr_status status = plr_link_transmit(l->link, now, chunk->data, SHAPER_CHUNK, &got);
    if (status != PLR_OK || got == 0) {
      shaper_recycle(&l->shaper, chunk);
      return;
    }
    chunk->len = got;
    shaper_put_or_drop(&l->shaper, now, chunk);
  }
}

static void on_timer(uv_timer_t *timer) {
  struct uv_link *l = timer->data;
  uint64_t now = uv_hrtime();
  if (plr_link_next_deadline_ns(l->link) <= now) {
    if (plr_link_advance(l->link, now) != PLR_OK) uv_link_end(l, PLR_ERR_CLOSED);
    l->on_change(l->user);
  }
  if (!l->closing && l->now && now - l->heard_ns > UV_LINK_SILENCE_NS) uv_link_tcp_lost(l);
  if (!l->closing) uv_link_flush(l);
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

static uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* Without a connection time goes on: it is the link that loses patience. */
void uv_link_flush(struct uv_link *l) {
  if (l->closing) return;
  uint64_t now = uv_hrtime(), room = UINT64_MAX;
  if (l->options.udp && l->has_peer) {
    fill_datagrams(l, now);
    uv_link_udp_send(l, now);
  } else if (l->now) {
    /* When too much is under way, the end of a write comes back here; else the wire's clock does. */
    if (fill_stream(l, now) && shaper_next_room_ns(&l->shaper) > now)
      room = shaper_next_room_ns(&l->shaper);
    uv_link_tcp_send(l, now);
  }
  uint64_t when = earlier(plr_link_next_deadline_ns(l->link), room);
  when = earlier(when, shaper_next_due_ns(&l->shaper));
  if (l->now) when = earlier(when, l->heard_ns + UV_LINK_SILENCE_NS + 1000000);
  set_timer(l, when);
}

/* ---- life
 * -------------------------------------------------------------------------------------- */

void uv_link_init(struct uv_link *l, uv_loop_t *loop, plr_link *link,
                  const struct uv_link_options *options, void (*on_change)(void *user),
                  void *user) {
  memset(l, 0, sizeof *l);
  l->loop = loop;
  l->link = link;
  l->options = *options;
  l->on_change = on_change;
  l->user = user;
  shaper_init(&l->shaper, options->bits_per_s, options->delay_ns);
  l->shaper.loss = options->loss;
  uv_timer_init(loop, &l->timer);
  uv_timer_init(loop, &l->retry_timer);
  uv_timer_init(loop, &l->cut_timer);
  l->timer.data = l->retry_timer.data = l->cut_timer.data = l;
  l->open_handles = 3;
}

int uv_link_connect(struct uv_link *l, const char *address, uint16_t port) {
  l->connects = 1;
  int error = uv_ip4_addr(address, port, &l->peer);
  if (error) return error;
  error = l->options.udp ? uv_link_udp_start(l, -1) : uv_link_tcp_start(l, -1);
  uv_link_flush(l); /* the time of the handshake begins */
  return error;
}

int uv_link_accept(struct uv_link *l, int listening_fd) {
  int error =
      l->options.udp ? uv_link_udp_start(l, listening_fd) : uv_link_tcp_start(l, listening_fd);
  uv_link_flush(l);
  return error;
}

void uv_link_let_go(struct uv_link *l) {
  if (--l->open_handles == 0 && l->closing) shaper_free(&l->shaper);
}

static void on_closed(uv_handle_t *handle) {
  uv_link_let_go(handle->data);
}

static void close_handle(uv_handle_t *handle) {
  /* A handle that was never initialised has no type. */
  if (handle->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handle)) uv_close(handle, on_closed);
}

void uv_link_close(struct uv_link *l) {
  if (l->closing) return;
  l->closing = 1;
  uv_link_tcp_close(l);
  close_handle((uv_handle_t *)&l->timer);
  close_handle((uv_handle_t *)&l->retry_timer);
  close_handle((uv_handle_t *)&l->cut_timer);
  close_handle((uv_handle_t *)&l->listener);
  close_handle((uv_handle_t *)&l->udp);
}

static int listen_here(const char *ip, int udp, uint16_t *port) {
  struct sockaddr_in address;
  socklen_t len = sizeof address;
  uv_ip4_addr(ip, 0, &address);
  int fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
  if (fd < 0) return -errno;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || bind(fd, (struct sockaddr *)&address, len) != 0 ||
      (!udp && listen(fd, 4) != 0) || getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  *port = ntohs(address.sin_port);
  return fd;
}

int uv_link_listen(const struct place *place, int udp, uint16_t *port) {
  int back, error = place_enter(place, &back);
  if (error) return error;
  int fd = listen_here(place->address, udp, port);
  place_leave(back);
  return fd;
}
