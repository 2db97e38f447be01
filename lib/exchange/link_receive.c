/* Bytes that came: cut into messages, each checked before anything follows from it. */
#include "exchange/link_int.h"

#include <string.h>

/* The length a message of this type may have, and whether this is its time. */
static plr_status check_message(plr_link *link, uint32_t type, uint64_t len) {
  static const uint32_t fixed[] = {[PLR_MSG_AUTH] = PLR_AUTH_BYTES,
                                   [PLR_MSG_ACK] = 8,
                                   [PLR_MSG_PING] = 8,
                                   [PLR_MSG_PONG] = 8,
                                   [PLR_MSG_BYE] = 4};
  if (type < PLR_MSG_HELLO || type > PLR_MSG_BYE)
    return plr__link_fail(link, PLR_ERR_MALFORMED, "link message", "type %u", type);
  int length_ok = type == PLR_MSG_HELLO   ? len >= 8 && len <= PLR_HELLO_MAX_BYTES
                  : type == PLR_MSG_FRAME ? len >= 1
                                          : len == fixed[type];
  if (!length_ok)
    return plr__link_fail(link, PLR_ERR_MALFORMED, "link message", "type %u of %llu bytes", type,
                          (unsigned long long)len);
  const plr__link_state due = type == PLR_MSG_HELLO  ? LINK_HELLO
                              : type == PLR_MSG_AUTH ? LINK_AUTH
                                                     : LINK_READY;
  if (link->state != due && type != PLR_MSG_BYE)
    return plr__link_fail(link, PLR_ERR_SEQUENCE, "link message", "type %u is out of its time",
                          type);
  return PLR_OK;
}

/* Room for a frame, within what we promised to hold. */
static plr_status begin_frame(plr_link *link, uint64_t len) {
  plr__link_rx *rx = &link->rx;
  if (len > link->ours.max_frame)
    return plr__link_fail(link, PLR_ERR_LIMIT, "link frame", "%llu bytes, the limit is %llu",
                          (unsigned long long)len, (unsigned long long)link->ours.max_frame);
  if (rx->used + plr__link_cost(len) > link->ours.window)
    return plr__link_fail(link, PLR_ERR_LIMIT, "link frame",
                          "%llu bytes pass the window of %llu, of which %llu are in use",
                          (unsigned long long)len, (unsigned long long)link->ours.window,
                          (unsigned long long)rx->used);
  rx->frame = plr__link_buffer_take(&link->pool, (size_t)len);
  if (!rx->frame)
    return plr__link_fail(link, PLR_ERR_NO_MEMORY, "link frame", "no memory for %llu bytes",
                          (unsigned long long)len);
  rx->used += plr__link_cost(len);
  rx->to = rx->frame->data;
  return PLR_OK;
}

static plr_status begin_message(plr_link *link) {
  plr__link_rx *rx = &link->rx;
  rx->type = rx->header[4];
  rx->len = plr__load_le32(rx->header);
  PLR_TRY(check_message(link, rx->type, rx->len));
  rx->crc = plr__crc32c(0, rx->header, 5);
  rx->to = rx->body;
  return rx->type == PLR_MSG_FRAME ? begin_frame(link, rx->len) : PLR_OK;
}

static plr_status take_hello(plr_link *link) {
  plr__link_rx *rx = &link->rx;
  plr_status st = plr__hello_read(&link->peer, rx->body, rx->len, &link->ours,
                                  link->options.peer_key, &link->closed);
  if (st != PLR_OK) return plr__link_end(link);
  memcpy(link->peer_hello, rx->body, rx->len);
  link->peer_hello_len = rx->len;
  link->state = LINK_AUTH;
  link->tx.want_auth = 1;
  return PLR_OK;
}

static plr_status take_auth(plr_link *link) {
  uint8_t text[PLR_TRANSCRIPT_MAX_BYTES];
  const int first = link->ours.initiator;
  const uint8_t *ours = link->our_hello, *peer = link->peer_hello;
  size_t len =
      plr__link_transcript(text, link->peer.initiator, first ? ours : peer,
                           first ? PLR_HELLO_BYTES : link->peer_hello_len, first ? peer : ours,
                           first ? link->peer_hello_len : PLR_HELLO_BYTES);
  if (plr_verify(link->peer.key, text, len, link->rx.body) != PLR_OK) {
    char hex[17];
    plr__hex_encode(link->peer.key, 8, hex);
    return plr__link_fail(link, PLR_ERR_SIGNATURE, "link auth",
                          "the signature over both hellos is not by the key %s..", hex);
  }
  link->state = LINK_READY;
  link->verified = 1;
  link->event_ready = 1;
  return PLR_OK;
}

static plr_status take_ack(plr_link *link) {
  uint64_t cost = plr__load_le64(link->rx.body);
  if (cost == 0 || cost > link->tx.unacked)
    return plr__link_fail(link, PLR_ERR_MALFORMED, "link ack", "%llu of %llu outstanding",
                          (unsigned long long)cost, (unsigned long long)link->tx.unacked);
  link->tx.unacked -= cost;
  return PLR_OK;
}

static plr_status take_bye(plr_link *link) {
  plr_status why = (plr_status)(int32_t)plr__load_le32(link->rx.body);
  plr__link_fail(link, PLR_ERR_CLOSED, "link", "the peer ended the link: %s", plr_status_name(why));
  link->tx.want_bye = 0; /* nobody listens */
  return PLR_OK;
}

static plr_status take_message(plr_link *link) {
  plr__link_rx *rx = &link->rx;
  if (rx->crc != plr__load_le32(rx->header + 5))
    return plr__link_fail(link, PLR_ERR_CHECKSUM, "link message",
                          "checksum of a message of type %u and %zu bytes", rx->type, rx->len);
  switch (rx->type) {
  case PLR_MSG_HELLO:
    return take_hello(link);
  case PLR_MSG_AUTH:
    return take_auth(link);
  case PLR_MSG_FRAME:
    plr__link_fifo_put(&rx->frames, rx->frame);
    rx->frame = NULL;
    link->stats.frames_received++;
    return PLR_OK;
  case PLR_MSG_ACK:
    return take_ack(link);
  case PLR_MSG_PING:
    link->tx.pong = plr__load_le64(rx->body);
    link->tx.want_pong = 1;
    return PLR_OK;
  case PLR_MSG_BYE:
    return take_bye(link);
  default: /* a pong: that it came is all there is to it */
    return PLR_OK;
  }
}

/* Up to len bytes of the message under way; how many were used. */
static size_t feed(plr_link *link, const uint8_t *data, size_t len, plr_status *st) {
  plr__link_rx *rx = &link->rx;
  if (rx->have < PLR_MSG_HEADER) {
    size_t n = PLR_MIN(len, PLR_MSG_HEADER - rx->have);
    memcpy(rx->header + rx->have, data, n);
    rx->have += n;
    if (rx->have == PLR_MSG_HEADER) *st = begin_message(link);
    return n;
  }
  size_t at = rx->have - PLR_MSG_HEADER, n = PLR_MIN(len, rx->len - at);
  memcpy(rx->to + at, data, n);
  rx->crc = plr__crc32c(rx->crc, data, n);
  rx->have += n;
  if (at + n == rx->len) {
    rx->have = 0;
    *st = take_message(link);
  }
  return n;
}

plr_status plr_link_receive(plr_link *link, uint64_t now_ns, const void *data, size_t len) {
  PLR_GUARD(link, NULL);
  if (!link || (!data && len)) return PLR_ERR_INVALID_ARGUMENT;
  if (link->state == LINK_CLOSED) return PLR_ERR_INVALID_STATE;
  plr__link_clock(link, now_ns);
  plr__link_drop_taken(link);
  if (len) link->last_rx_ns = link->now_ns;
  link->stats.bytes_received += len;
  const uint8_t *p = data;
  plr_status st = PLR_OK;
  while (len > 0 && st == PLR_OK && link->state != LINK_CLOSED) {
    size_t n = feed(link, p, len, &st);
    p += n;
    len -= n;
  }
  return st;
}
