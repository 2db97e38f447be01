/* Between uv_link.c (time, and what is common) and the two ways to move bytes, uv_link_tcp.c and uv_link_udp.c. */
#ifndef EXAMPLES_UV_LINK_INT_H
#define EXAMPLES_UV_LINK_INT_H

#include "uv_link.h"

/* The link is over: nothing is made again. Says so to the link, and so to its stage. */
void uv_link_end(struct uv_link *l, plr_status why);
/* Gives the link bytes that came; `from`, of datagrams, is where the peer is if the link does not reject them: its
 * address may change on the way. */
void uv_link_take(struct uv_link *l, const void *data, size_t len, const struct sockaddr_in *from);
/* A handle has been closed. */
void uv_link_let_go(struct uv_link *l);

int uv_link_tcp_start(struct uv_link *l, int listening_fd); /* -1: it connects */
void uv_link_tcp_send(struct uv_link *l, uint64_t now_ns);  /* what has come out of the shaper */
void uv_link_tcp_lost(struct uv_link *l);                   /* another connection, please */
void uv_link_tcp_close(struct uv_link *l);

int uv_link_udp_start(struct uv_link *l, int bound_fd);
void uv_link_udp_send(struct uv_link *l, uint64_t now_ns);

#endif
