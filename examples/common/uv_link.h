/* A libuv TCP connection that carries the bytes of one plr_link.
 *
 * The library's link does no I/O: this moves its bytes through the shaper to the socket, gives
 * it what arrives, and keeps its deadlines. What the bytes mean is the stage's business. */
#ifndef EXAMPLES_UV_LINK_H
#define EXAMPLES_UV_LINK_H

#include <pluralis/link.h>
#include <uv.h>

#include "shaper.h"

struct uv_link {
  uv_loop_t *loop;
  plr_link *link;
  struct shaper shaper;
  uv_tcp_t tcp, listener;
  uv_timer_t timer, retry_timer;
  uv_connect_t connect;
  struct sockaddr_in address;
  uint64_t give_up_ns, retry_ms;
  int32_t connected, ended, closing;
  uint32_t open_handles;
  unsigned char in[65536];

  /* Called when bytes came, the connection changed, or a deadline of the link passed: pump the
   * stage. */
  void (*on_change)(void *user);
  void *user;
};

/* The link is borrowed until uv_link_close has been called and the loop has run dry. */
void uv_link_init(struct uv_link *l, uv_loop_t *loop, plr_link *link, uint64_t bits_per_s,
                  uint64_t delay_ns, void (*on_change)(void *user), void *user);

/* Connects to 127.0.0.1:port, again and again until timeout_ns has passed; then the link is
 * closed with UNAVAILABLE. */
void uv_link_connect(struct uv_link *l, uint16_t port, uint64_t timeout_ns);

/* Takes the first connection that comes to a listening socket, which it then closes. Returns a
 * libuv error. */
int uv_link_accept(struct uv_link *l, int listening_fd);

/* Moves all that can move now, from the link to the wire, and sets the timer. */
void uv_link_flush(struct uv_link *l);

/* Closes sockets and timers. The memory may go once the loop has run their close callbacks. */
void uv_link_close(struct uv_link *l);

/* A listening socket on a free port of 127.0.0.1: its descriptor (close-on-exec), or a negative
 * libuv error. */
int uv_link_listen_loopback(uint16_t *port);

#endif
