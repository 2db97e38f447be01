/* Bytes to send: short items first, then frames by priority as far as credit allows. */
#include "exchange/link_int.h"

#include <string.h>

static uint8_t *put_u64(uint8_t *p, uint32_t type, uint64_t value) {
  p[0] = (uint8_t)type;
  plr__store_le64(p + 1, value);
  return p + PLR_PING_BYTES;
}

/* How many frames of each lane the host has taken, of lanes where that is news. */
static uint8_t *put_taken(plr_link *link, uint8_t *p, const uint8_t *end, plr__packet *packet) {
  plr__link_rx *rx = &link->rx;
  if ((size_t)(end - p) < PLR_LINK_PRIORITIES * PLR_TAKEN_BYTES) return p;
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++) {
    plr__rx_lane *lane = &rx->lane[i];
    /* A datagram may be lost, and this one may be the one that says so again. */
    if (lane->taken == lane->told && !(packet && lane->taken)) continue;
    p[0] = PLR_ITEM_TAKEN, p[1] = (uint8_t)i;
    plr__store_le64(p + 2, lane->taken);
    lane->told = lane->taken;
    p += PLR_TAKEN_BYTES;
    if (packet) packet->taken = 1;
  }
  rx->used -= rx->to_ack;
  rx->to_ack = 0;
  link->tx.want_ack = 0;
  return p;
}

static uint8_t *put_report(plr_link *link, uint8_t *p) {
  plr__link_rx *rx = &link->rx;
  link->tx.want_report = 0;
  rx->report_due_ns = PLR_NEVER;
  rx->report_ns = link->now_ns;
  if (link->dg) return p + plr__datagram_put_history(link, p);
  const uint64_t delay_us = (link->now_ns - link->last_rx_ns) / 1000;
  p[0] = PLR_ITEM_RECEIVED;
  plr__store_le64(p + 1, rx->bytes);
  plr__store_le32(p + 9, (uint32_t)PLR_MIN(delay_us, UINT32_MAX));
  rx->reported = rx->bytes;
  return p + PLR_RECEIVED_BYTES;
}

size_t plr__link_short_items(plr_link *link, uint8_t *out, size_t room, plr__packet *packet) {
  plr__link_tx *tx = &link->tx;
  uint8_t *p = out;
  const uint8_t *end = out + room;
  if (tx->want_bye) {
    tx->want_bye = 0;
    p[0] = PLR_ITEM_BYE;
    plr__store_le32(p + 1, (uint32_t)link->closed.status);
    return PLR_ITEM_BYE_BYTES;
  }
  if (link->state != LINK_READY) return 0;
  if (tx->want_pong) p = put_u64(p, PLR_ITEM_PONG, tx->pong);
  if (tx->want_ping) p = put_u64(p, PLR_ITEM_PING, link->now_ns);
  tx->want_pong = tx->want_ping = 0;
  if (tx->want_ack) p = put_taken(link, p, end, packet);
  if (tx->want_report && (size_t)(end - p) >= PLR_HISTORY_BYTES) p = put_report(link, p);
  return (size_t)(p - out);
}

static void put_fragment(uint8_t *p, const plr__fragment *f) {
  p[0] = PLR_ITEM_FRAGMENT, p[1] = (uint8_t)f->frame->lane;
  plr__store_le16(p + 2, (uint16_t)f->len);
  plr__store_le32(p + 4, (uint32_t)f->frame->len);
  plr__store_le32(p + 8, (uint32_t)f->at);
  plr__store_le64(p + 12, f->number);
  memcpy(p + PLR_FRAGMENT_HEADER, f->frame->data + f->at, f->len);
}

static size_t stream_payload(plr_link *link, uint8_t *out, size_t room) {
  size_t len = plr__link_short_items(link, out, room, NULL);
  plr__fragment f;
  while (link->state == LINK_READY && room - len > PLR_FRAGMENT_HEADER &&
         plr__lane_next(link, room - len - PLR_FRAGMENT_HEADER, &f)) {
    put_fragment(out + len, &f);
    len += PLR_FRAGMENT_HEADER + f.len;
    plr__lane_sent(link, &f);
  }
  return len;
}

/* ---- streams ----------------------------------------------------------------------------------- */

/* A message of the handshake, or a bye before there are keys, into tx.message. */
static size_t clear_message(plr_link *link) {
  plr__link_tx *tx = &link->tx;
  uint8_t body[PLR_AUTH_BYTES];
  if (tx->want_hello) {
    tx->want_hello = 0;
    return plr__message_write(tx->message, PLR_MSG_HELLO, link->our_hello, PLR_HELLO_BYTES);
  }
  if (tx->want_bye && !tx->bye_inside) {
    tx->want_bye = 0;
    plr__store_le32(body, (uint32_t)link->closed.status);
    return plr__message_write(tx->message, PLR_MSG_BYE, body, 4);
  }
  if (tx->want_auth && link->state != LINK_CLOSED) {
    tx->want_auth = 0;
    plr__link_sign(link, body);
    return plr__message_write(tx->message, PLR_MSG_AUTH, body, PLR_AUTH_BYTES);
  }
  return 0;
}

/* A message with a payload, straight into the host's buffer if it fits; 0: there is nothing to send. */
static size_t put_payload(plr_link *link, uint8_t *out, size_t cap) {
  plr__link_tx *tx = &link->tx;
  const size_t extra = PLR_MSG_HEADER + (link->ours.seal ? PLR_LINK_SEAL_BYTES : 0);
  size_t room = cap > extra + PLR_LINK_SMALL_PAYLOAD ? cap - extra : PLR_LINK_SMALL_PAYLOAD;
  room = PLR_MIN(room, PLR_LINK_PAYLOAD);
  const int direct = cap >= extra + room;
  uint8_t *to = direct ? out : tx->message;
  uint8_t *payload = link->ours.seal ? tx->plain : to + PLR_MSG_HEADER;
  size_t len = stream_payload(link, payload, room);
  if (len == 0 && tx->want_bye) len = stream_payload(link, payload, room); /* it has failed now */
  if (len == 0) return 0;
  len = plr__link_seal(link, to, payload, len);
  if (direct) return len;
  tx->pos = 0;
  tx->len = len;
  return 0;
}

static size_t drain(plr__link_tx *tx, uint8_t *out, size_t cap) {
  const size_t n = PLR_MIN(cap, tx->len - tx->pos);
  memcpy(out, tx->message + tx->pos, n);
  tx->pos += n;
  return n;
}

/* The way there and back is timed with one message at a time. */
static void probe(plr_link *link) {
  plr__link_tx *tx = &link->tx;
  if (tx->probe_pos || link->state != LINK_READY || !tx->unacked) return;
  tx->probe_pos = tx->bytes;
  tx->probe_ns = link->now_ns;
}

static size_t stream_transmit(plr_link *link, uint8_t *out, size_t cap) {
  plr__link_tx *tx = &link->tx;
  size_t total = 0;
  while (total < cap) {
    if (tx->pos < tx->len) {
      total += drain(tx, out + total, cap - total);
      continue;
    }
    tx->pos = 0;
    tx->len = clear_message(link);
    size_t n = 0;
    if (!tx->len && (link->state == LINK_READY || (tx->want_bye && tx->bye_inside)))
      n = put_payload(link, out + total, cap - total);
    if (!n && !tx->len) break;
    total += n;
    tx->bytes += n + tx->len;
    if (!tx->want_hello && link->state == LINK_READY) probe(link);
  }
  if (total < cap) plr__rate_idle(&link->rate, tx->bytes);
  return total;
}

plr_status plr_link_transmit(plr_link *link, uint64_t now_ns, void *buf, size_t cap,
                             size_t *written) {
  if (written) *written = 0;
  PLR_GUARD(link, NULL);
  if (!link || !written || (!buf && cap)) return PLR_ERR_INVALID_ARGUMENT;
  plr__link_clock(link, now_ns);
  plr__link_drop_taken(link);
  size_t total = 0;
  if (link->dg)
    PLR_TRY(plr__datagram_transmit(link, buf, cap, &total));
  else
    total = stream_transmit(link, buf, cap);
  if (total) link->last_tx_ns = link->now_ns;
  link->stats.bytes_sent += total;
  *written = total;
  return PLR_OK;
}
