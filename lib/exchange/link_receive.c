/* Bytes that came over a stream: cut into messages, each checked before anything follows from it. */
#include "exchange/link_int.h"

#include <string.h>

/* The length a message of this type may have. */
static int length_ok(uint32_t type, uint64_t len) {
  switch (type) {
  case PLR_MSG_HELLO:
    return len >= 8 && len <= PLR_HELLO_MAX_BYTES;
  case PLR_MSG_AUTH:
    return len == PLR_AUTH_BYTES;
  case PLR_MSG_DATA:
    return len >= 1 && len <= PLR_LINK_PAYLOAD;
  case PLR_MSG_SEALED:
    return len > PLR_LINK_SEAL_BYTES && len <= PLR_LINK_PAYLOAD + PLR_LINK_SEAL_BYTES;
  default:
    return len == 4;
  }
}

/* Whether this is the time for it. A bye in clear is for those who could not agree: once there are keys
 * it must come under them. */
static int time_ok(const plr_link *link, uint32_t type) {
  switch (type) {
  case PLR_MSG_HELLO:
    return link->state == LINK_HELLO;
  case PLR_MSG_AUTH:
    return link->state == LINK_AUTH;
  case PLR_MSG_BYE:
    return link->rx.messages == 0;
  default:
    return link->state == LINK_READY;
  }
}

static plr_status begin_message(plr_link *link) {
  plr__link_rx *rx = &link->rx;
  const uint32_t type = rx->header[4];
  const uint64_t len = plr__load_le32(rx->header);
  const uint32_t wrong = link->ours.seal ? PLR_MSG_DATA : PLR_MSG_SEALED;
  rx->type = type;
  rx->len = (size_t)len;
  if (type < PLR_MSG_HELLO || type > PLR_MSG_BYE || type == wrong)
    return plr__link_fail(link, PLR_ERR_MALFORMED, "link message", "type %u", type);
  if (!length_ok(type, len))
    return plr__link_fail(link, PLR_ERR_MALFORMED, "link message", "type %u of %llu bytes", type,
                          (unsigned long long)len);
  if (!time_ok(link, type))
    return plr__link_fail(link, PLR_ERR_SEQUENCE, "link message", "type %u is out of its time",
                          type);
  return PLR_OK;
}

static plr_status take_payload(plr_link *link, const uint8_t *body) {
  plr__link_rx *rx = &link->rx;
  size_t len = rx->len;
  if (rx->type == PLR_MSG_SEALED) {
    PLR_TRY(plr__link_open(link, rx->header, body, rx->len, rx->plain, &len));
    body = rx->plain;
  }
  rx->messages++;
  return plr__link_items(link, body, len);
}

static plr_status take_message(plr_link *link, const uint8_t *body) {
  plr__link_rx *rx = &link->rx;
  if (rx->type != PLR_MSG_SEALED &&
      plr__message_crc(rx->header, body, rx->len) != plr__load_le32(rx->header + 5))
    return plr__link_fail(link, PLR_ERR_CHECKSUM, "link message",
                          "checksum of a message of type %u and %zu bytes", rx->type, rx->len);
  if (rx->type == PLR_MSG_HELLO) return plr__link_take_hello(link, body, rx->len);
  if (rx->type == PLR_MSG_AUTH) return plr__link_take_auth(link, body);
  if (rx->type == PLR_MSG_BYE) return plr__link_take_bye(link, body);
  return take_payload(link, body);
}

/* Up to len bytes of the message under way; how many were used. A body that is here as a whole is not
 * copied. */
static size_t feed(plr_link *link, const uint8_t *data, size_t len, plr_status *st) {
  plr__link_rx *rx = &link->rx;
  if (rx->have < PLR_MSG_HEADER) {
    const size_t n = PLR_MIN(len, PLR_MSG_HEADER - rx->have);
    memcpy(rx->header + rx->have, data, n);
    rx->have += n;
    if (rx->have == PLR_MSG_HEADER) *st = begin_message(link);
    return n;
  }
  const size_t at = rx->have - PLR_MSG_HEADER, n = PLR_MIN(len, rx->len - at);
  const int whole = n == rx->len;
  if (!whole) memcpy(rx->body + at, data, n);
  rx->have += n;
  if (at + n == rx->len) {
    rx->have = 0;
    *st = take_message(link, whole ? data : rx->body);
  }
  return n;
}

plr_status plr_link_receive(plr_link *link, uint64_t now_ns, const void *data, size_t len) {
  PLR_GUARD(link, NULL);
  if (!link || (!data && len)) return PLR_ERR_INVALID_ARGUMENT;
  if (link->state == LINK_CLOSED) return PLR_ERR_INVALID_STATE;
  plr__link_clock(link, now_ns);
  plr__link_drop_taken(link);
  link->stats.bytes_received += len;
  if (link->dg) return len ? plr__datagram_receive(link, data, len) : PLR_OK;
  if (len) link->last_rx_ns = link->now_ns;
  link->rx.bytes += len;
  const uint8_t *p = data;
  plr_status st = PLR_OK;
  while (len > 0 && st == PLR_OK && link->state != LINK_CLOSED) {
    size_t n = feed(link, p, len, &st);
    p += n;
    len -= n;
  }
  return st;
}
