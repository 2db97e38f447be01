/* What carries the bytes of one plr_link on libuv: TCP connections, made again whenever they break, or UDP datagrams.
 * The library's link does no I/O: this moves its bytes through the shaper to the socket, gives it what arrives, and
 * keeps its deadlines. What the bytes mean is the stage's business.  TCP: one side connects, with a back-off; the
 * other listens, and the newest connection counts. A connection that breaks, or brings nothing for UV_LINK_SILENCE_NS,
 * is replaced and the link resumed, until the link itself gives up (its timeout_ns). UDP: the link paces itself, knows
 * losses and sends again; either side answers to where the last datagram came from that the link did not reject. */
#ifndef EXAMPLES_UV_LINK_H
#define EXAMPLES_UV_LINK_H

#include <pluralis/link.h>
#include <uv.h>

#include "place.h"
#include "shaper.h"

/* The `datagram` of plr_link_options for a link over UDP: what an Ethernet path carries in one piece. */
#define UV_LINK_DATAGRAM 1400u

/* More than two of the link's keep-alives: the peer or the path is gone, though nobody said so. */
#define UV_LINK_SILENCE_NS 12000000000ull

struct uv_link_options {
  int32_t udp;
  uint64_t bits_per_s, delay_ns; /* of the shaper; 0: as fast as it goes */
  double loss;                   /* UDP: part of the datagrams that the shaper drops */
  uint64_t cut_ns; /* TCP, a rehearsal: the side that connects resets a connection that long after its first bytes; 0:
                      never */
};

struct uv_link_connection; /* TCP */

struct uv_link {
  uv_loop_t *loop;
  plr_link *link;
  struct uv_link_options options;
  struct shaper shaper;
  struct uv_link_connection *now, *trying; /* TCP: the present one, and one that is being made; or NULL */
  uv_tcp_t listener;
  uv_udp_t udp;
  uv_timer_t timer, retry_timer, cut_timer;
  struct sockaddr_in peer; /* where it listens; UDP: where it is */
  uint64_t retry_ms, heard_ns;
  int32_t connects, has_peer, ended, closing;
  uint32_t open_handles;
  unsigned char in[65536];

  /* Called when bytes came, the connection changed, or a deadline of the link passed: pump the
   * stage. */
  void (*on_change)(void *user);
  void *user;
};

/* The link is borrowed until uv_link_close has been called and the loop has run dry. */
void uv_link_init(struct uv_link *l, uv_loop_t *loop, plr_link *link,
                  const struct uv_link_options *options, void (*on_change)(void *user), void *user);

/* Talks to address:port, an IPv4 address in digits. Returns a libuv error. */
int uv_link_connect(struct uv_link *l, const char *address, uint16_t port);

/* Is talked to at a socket of uv_link_listen, which it owns from now on. Returns a libuv error. */
int uv_link_accept(struct uv_link *l, int listening_fd);

/* Moves all that can move now, from the link to the wire, and sets the timer. */
void uv_link_flush(struct uv_link *l);

/* Closes sockets and timers. The memory may go once the loop has run their close callbacks. */
void uv_link_close(struct uv_link *l);

/* A socket that listens (udp: is bound) at a free port of that place: its descriptor (close-on-exec), or a negative
 * libuv error. */
int uv_link_listen(const struct place *place, int udp, uint16_t *port);

#endif
