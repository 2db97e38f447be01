/* Bytes to send: short messages first, then frames by priority as far as the peer's window allows. */
#include "exchange/link_int.h"

#include <string.h>

static void put_message(plr_link *link, uint32_t type, const void *body, size_t len) {
  link->tx.len = plr__message_write(link->tx.message, type, body, len);
  link->tx.pos = 0;
}

static void put_u64(plr_link *link, uint32_t type, uint64_t value) {
  uint8_t body[8];
  plr__store_le64(body, value);
  put_message(link, type, body, sizeof body);
}

static void put_auth(plr_link *link) {
  uint8_t text[PLR_TRANSCRIPT_MAX_BYTES], signature[PLR_AUTH_BYTES];
  const int first = link->ours.initiator;
  const uint8_t *ours = link->our_hello, *peer = link->peer_hello;
  size_t len =
      plr__link_transcript(text, link->ours.initiator, first ? ours : peer,
                           first ? PLR_HELLO_BYTES : link->peer_hello_len, first ? peer : ours,
                           first ? link->peer_hello_len : PLR_HELLO_BYTES);
  plr_identity_sign(link->identity, text, len, signature);
  put_message(link, PLR_MSG_AUTH, signature, sizeof signature);
}

static void put_bye(plr_link *link) {
  uint8_t body[4];
  plr__store_le32(body, (uint32_t)link->closed.status);
  put_message(link, PLR_MSG_BYE, body, sizeof body);
}

static void put_ack(plr_link *link) {
  plr__link_rx *rx = &link->rx;
  put_u64(link, PLR_MSG_ACK, rx->to_ack);
  rx->used -= rx->to_ack;
  rx->to_ack = 0;
}

/* 1 when it put one. */
static int put_short(plr_link *link) {
  plr__link_tx *tx = &link->tx;
  if (tx->want_bye) {
    tx->want_bye = 0;
    put_bye(link);
  } else if (link->state == LINK_CLOSED) {
    return 0;
  } else if (tx->want_auth) {
    tx->want_auth = 0;
    put_auth(link);
  } else if (tx->want_pong) {
    tx->want_pong = 0;
    put_u64(link, PLR_MSG_PONG, tx->pong);
  } else if (tx->want_ping) {
    tx->want_ping = 0;
    put_u64(link, PLR_MSG_PING, link->now_ns);
  } else if (tx->want_ack) {
    tx->want_ack = 0;
    put_ack(link);
  } else {
    return 0;
  }
  return 1;
}

static plr__link_fifo *next_queue(plr_link *link) {
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++)
    if (link->tx.queue[i].head) return &link->tx.queue[i];
  return NULL;
}

/* 1 when a frame's header has been put. A frame that does not fit the window now waits, and so does all
 * of lower priority, or it would wait for ever. */
static int put_frame(plr_link *link) {
  plr__link_tx *tx = &link->tx;
  plr__link_fifo *queue = next_queue(link);
  if (link->state != LINK_READY || !queue) return 0;
  const size_t len = queue->head->len;
  const uint64_t cost = plr__link_cost(len);
  if (len > link->peer.max_frame || cost > link->peer.window) {
    plr__link_fail(link, PLR_ERR_LIMIT, "link frame",
                   "%zu bytes; the peer takes %llu in a window of %llu", len,
                   (unsigned long long)link->peer.max_frame, (unsigned long long)link->peer.window);
    return put_short(link);
  }
  if (cost > link->peer.window - tx->unacked) return 0;
  tx->frame = plr__link_fifo_take(queue);
  tx->frame_pos = 0;
  tx->unacked += cost;
  plr__store_le32(tx->message, (uint32_t)len);
  tx->message[4] = PLR_MSG_FRAME;
  plr__store_le32(tx->message + 5, tx->frame->crc);
  tx->pos = 0;
  tx->len = PLR_MSG_HEADER;
  return 1;
}

static void frame_sent(plr_link *link) {
  plr__link_tx *tx = &link->tx;
  tx->queued_cost -= plr__link_cost(tx->frame->len);
  link->stats.frames_sent++;
  plr__link_buffer_give(&link->pool, tx->frame);
  tx->frame = NULL;
  if (tx->refused && tx->queued_cost + tx->refused <= link->options.window) {
    tx->refused = 0;
    link->event_writable = 1;
  }
}

/* Up to cap bytes of what is under way. */
static size_t drain(plr_link *link, uint8_t *out, size_t cap) {
  plr__link_tx *tx = &link->tx;
  if (tx->pos < tx->len) {
    size_t n = PLR_MIN(cap, tx->len - tx->pos);
    memcpy(out, tx->message + tx->pos, n);
    tx->pos += n;
    return n;
  }
  if (!tx->frame) return 0;
  size_t n = PLR_MIN(cap, tx->frame->len - tx->frame_pos);
  memcpy(out, tx->frame->data + tx->frame_pos, n);
  tx->frame_pos += n;
  tx->queued_bytes -= n;
  if (tx->frame_pos == tx->frame->len) frame_sent(link);
  return n;
}

plr_status plr_link_transmit(plr_link *link, uint64_t now_ns, void *buf, size_t cap,
                             size_t *written) {
  if (written) *written = 0;
  PLR_GUARD(link, NULL);
  if (!link || !written || (!buf && cap)) return PLR_ERR_INVALID_ARGUMENT;
  plr__link_clock(link, now_ns);
  plr__link_drop_taken(link);
  uint8_t *out = buf;
  size_t total = 0;
  while (total < cap) {
    size_t n = drain(link, out + total, cap - total);
    if (n == 0 && !put_short(link) && !put_frame(link)) break;
    total += n;
  }
  if (total) link->last_tx_ns = link->now_ns;
  link->stats.bytes_sent += total;
  *written = total;
  return PLR_OK;
}

plr_status plr_link_send(plr_link *link, const void *frame, size_t len, uint32_t priority) {
  PLR_GUARD(link, NULL);
  if (!link || !frame || len == 0 || priority >= PLR_LINK_PRIORITIES)
    return PLR_ERR_INVALID_ARGUMENT;
  if (link->state == LINK_CLOSED) return PLR_ERR_INVALID_STATE;
  plr__link_tx *tx = &link->tx;
  uint64_t most = link->options.window, most_len = plr__max_frame(link->ctx);
  if (link->state != LINK_HELLO) {
    most = PLR_MIN(most, link->peer.window);
    most_len = PLR_MIN(most_len, link->peer.max_frame);
  }
  if (len > UINT32_MAX || len > most_len || plr__link_cost(len) > most) return PLR_ERR_LIMIT;
  const uint64_t cost = plr__link_cost(len);
  if (tx->queued_cost + cost > link->options.window) {
    tx->refused = cost;
    return PLR_ERR_AGAIN;
  }
  plr__link_buffer *b = plr__link_buffer_take(&link->pool, len);
  if (!b) return PLR_ERR_NO_MEMORY;
  memcpy(b->data, frame, len);
  plr__link_drop_taken(link); /* only now: the frame may be the one just taken */
  uint8_t header[5];
  plr__store_le32(header, (uint32_t)len);
  header[4] = PLR_MSG_FRAME;
  b->crc = plr__message_crc(header, b->data, len);
  plr__link_fifo_put(&tx->queue[priority], b);
  tx->queued_cost += cost;
  tx->queued_bytes += len;
  return PLR_OK;
}
