/* UDP: datagrams go and come; loss, order, repetition and speed are the link's business. */
#include "uv_link_int.h"

#define BUFFER_BYTES (4 << 20) /* what the kernel holds while the loop is busy; it may allow less */

void uv_link_udp_send(struct uv_link *l, uint64_t now_ns) {
  struct shaper_chunk *chunk;
  while ((chunk = shaper_due(&l->shaper, now_ns))) {
    uv_buf_t buf = uv_buf_init((char *)chunk->data, (unsigned)chunk->len);
    /* What the socket does not take now is lost, like much else on the way. */
    (void)uv_udp_try_send(&l->udp, &buf, 1, (const struct sockaddr *)&l->peer);
    shaper_recycle(&l->shaper, chunk);
  }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  struct uv_link *l = handle->data;
  (void)suggested;
  *buf = uv_buf_init((char *)l->in, sizeof l->in);
}

static void on_datagram(uv_udp_t *udp, ssize_t got, const uv_buf_t *buf,
                        const struct sockaddr *from, unsigned flags) {
  struct uv_link *l = udp->data;
  if (got <= 0 || !from || from->sa_family != AF_INET || flags & UV_UDP_PARTIAL) return;
  if (!l->closing && !l->ended)
    uv_link_take(l, buf->base, (size_t)got, (const struct sockaddr_in *)(const void *)from);
}

int uv_link_udp_start(struct uv_link *l, int bound_fd) {
  struct sockaddr_in any;
  int size = BUFFER_BYTES, error;
  uv_udp_init(l->loop, &l->udp);
  l->udp.data = l;
  l->open_handles++;
  l->has_peer = l->connects;
  uv_ip4_addr(l->peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK) ? "127.0.0.1" : "0.0.0.0", 0, &any);
  error = bound_fd < 0 ? uv_udp_bind(&l->udp, (const struct sockaddr *)&any, 0)
                       : uv_udp_open(&l->udp, bound_fd);
  if (error) return error;
  uv_recv_buffer_size((uv_handle_t *)&l->udp, &size);
  uv_send_buffer_size((uv_handle_t *)&l->udp, &size);
  return uv_udp_recv_start(&l->udp, on_alloc, on_datagram);
}
