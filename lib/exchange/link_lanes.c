/* Frames by priority. Each priority is a lane: its frames are numbered, go and arrive in order, and are held by the
 * sender until the other host has taken them, so that a lost stream loses nothing. */
#include "exchange/link_int.h"

#include <string.h>

/* ---- out --------------------------------------------------------------------------------------- */

plr_status plr_link_send(plr_link *link, const void *frame, size_t len, uint32_t priority) {
  PLR_GUARD(link, NULL);
  if (!link || !frame || len == 0 || priority >= PLR_LINK_PRIORITIES)
    return PLR_ERR_INVALID_ARGUMENT;
  if (link->state == LINK_CLOSED) return PLR_ERR_INVALID_STATE;
  plr__link_tx *tx = &link->tx;
  uint64_t most = link->options.window, most_len = plr__max_frame(link->ctx);
  if (link->verified) {
    most = plr__link_credit(link);
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
  plr__tx_lane *lane = &tx->lane[priority];
  b->lane = priority;
  b->number = lane->next++;
  plr__link_fifo_put(&lane->frames, b);
  if (!lane->cursor) lane->cursor = b;
  tx->queued_cost += cost;
  tx->queued_bytes += len;
  return PLR_OK;
}

int plr__lane_waiting(const plr_link *link) {
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++)
    if (link->tx.lane[i].cursor) return 1;
  return 0;
}

/* Takes credit for the lane's next frame; 0: there is not enough now. */
static int begin(plr_link *link, plr__tx_lane *lane) {
  plr__link_tx *tx = &link->tx;
  const size_t len = lane->cursor->len;
  const uint64_t cost = plr__link_cost(len), credit = plr__link_credit(link);
  if (len > link->peer.max_frame || cost > credit) {
    plr__link_fail(link, PLR_ERR_LIMIT, "link frame",
                   "%zu bytes; the peer takes %llu in a window of %llu", len,
                   (unsigned long long)link->peer.max_frame, (unsigned long long)link->peer.window);
    return 0;
  }
  if (cost > credit - tx->unacked) return 0;
  tx->unacked += cost;
  tx->queued_cost -= cost;
  lane->begun++;
  if (tx->refused && tx->queued_cost + tx->refused <= link->options.window) {
    tx->refused = 0;
    link->event_writable = 1;
  }
  return 1;
}

/* A frame that does not fit the credit now waits, and so do all of lower priority, or it would wait for ever. Only those
 * that have been begun go on: they hold credit and must get done. */
int plr__lane_next(plr_link *link, size_t most, plr__fragment *f) {
  int blocked = 0;
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++) {
    plr__tx_lane *lane = &link->tx.lane[i];
    if (!lane->cursor) continue;
    if (lane->cursor->number >= lane->begun && (blocked || !begin(link, lane))) {
      if (link->state != LINK_READY) return 0;
      blocked = 1;
      continue;
    }
    const size_t left = lane->cursor->len - lane->pos;
    f->frame = lane->cursor;
    f->number = lane->cursor->number;
    f->at = lane->pos;
    f->len = PLR_MIN(left, most);
    if (!link->dg) return f->len > 0;
    /* Datagrams keep to a grid, so that a bit per piece says what has arrived. */
    f->len = PLR_MIN(left, link->dg->fragment);
    return f->len <= most;
  }
  return 0;
}

void plr__lane_sent(plr_link *link, const plr__fragment *f) {
  plr__tx_lane *lane = &link->tx.lane[f->frame->lane];
  lane->pos += f->len;
  link->tx.queued_bytes -= f->len;
  if (lane->pos < f->frame->len) return;
  lane->cursor = f->frame->next;
  lane->pos = 0;
  if (f->number < lane->done) {
    link->stats.retransmits++;
    return;
  }
  lane->done = f->number + 1;
  link->stats.frames_sent++;
}

/* Frames below this number have been sent whole. */
static uint64_t sent_whole(const plr__tx_lane *lane) {
  return lane->cursor ? PLR_MIN(lane->cursor->number, lane->begun) : lane->begun;
}

static void release_below(plr_link *link, plr__tx_lane *lane, uint64_t number) {
  for (; lane->base < number; lane->base++) {
    plr__link_buffer *b = plr__link_fifo_take(&lane->frames);
    link->tx.unacked -= plr__link_cost(b->len);
    plr__link_buffer_give(&link->pool, b);
  }
}

plr_status plr__lane_taken(plr_link *link, uint32_t index, uint64_t number) {
  plr__tx_lane *lane = &link->tx.lane[index];
  if (number > sent_whole(lane))
    return plr__link_fail(link, PLR_ERR_MALFORMED, "link taken",
                          "frame %llu of priority %u; %llu have been sent",
                          (unsigned long long)number, index, (unsigned long long)sent_whole(lane));
  release_below(link, lane, number);
  return PLR_OK;
}

int plr__lanes_check(const plr_link *link, const plr__link_progress *p) {
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++) {
    const plr__tx_lane *lane = &link->tx.lane[i];
    if (p->taken[i] < lane->base || p->received[i] < p->taken[i] || p->received[i] > lane->done)
      return (int)i;
  }
  return -1;
}

void plr__lanes_rewind(plr_link *link, const plr__link_progress *p) {
  link->tx.queued_bytes = 0;
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++) {
    plr__tx_lane *lane = &link->tx.lane[i];
    release_below(link, lane, p->taken[i]);
    plr__link_buffer *b = lane->frames.head;
    while (b && b->number < p->received[i]) b = b->next;
    lane->cursor = b;
    lane->pos = 0;
    for (; b; b = b->next) link->tx.queued_bytes += b->len;
  }
}

static void drop(plr_link *link, plr__link_fifo *f) {
  for (plr__link_buffer *b; (b = plr__link_fifo_take(f)) != NULL;)
    plr__link_buffer_give(&link->pool, b);
}

void plr__lanes_drop_queue(plr_link *link) {
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++) {
    plr__tx_lane *lane = &link->tx.lane[i];
    drop(link, &lane->frames);
    lane->cursor = NULL;
    lane->pos = 0;
  }
  link->tx.queued_cost = link->tx.queued_bytes = link->tx.unacked = 0;
}

/* ---- in ---------------------------------------------------------------------------------------- */

void plr__lanes_drop_partial(plr_link *link) {
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++) {
    plr__link_fifo *f = &link->rx.lane[i].frames;
    for (const plr__link_buffer *b = f->head; b; b = b->next)
      link->rx.used -= plr__link_cost(b->len);
    drop(link, f);
  }
}

/* Room for a frame, within what we promised to hold. */
static plr__link_buffer *new_frame(plr_link *link, uint32_t index, uint64_t number, size_t len) {
  plr__link_rx *rx = &link->rx;
  if (len > link->ours.max_frame) {
    plr__link_fail(link, PLR_ERR_LIMIT, "link frame", "%zu bytes, the limit is %llu", len,
                   (unsigned long long)link->ours.max_frame);
    return NULL;
  }
  if (rx->used + plr__link_cost(len) > plr__link_credit(link)) {
    plr__link_fail(link, PLR_ERR_LIMIT, "link frame",
                   "%zu bytes pass the window of %llu, of which %llu are in use", len,
                   (unsigned long long)plr__link_credit(link), (unsigned long long)rx->used);
    return NULL;
  }
  const size_t pieces = link->dg ? (len - 1) / link->dg->peer_fragment + 1 : 0;
  const size_t map = (pieces + 7) / 8;
  plr__link_buffer *b = plr__link_buffer_take(&link->pool, len + map);
  if (!b) {
    plr__link_fail(link, PLR_ERR_NO_MEMORY, "link frame", "no memory for %zu bytes", len);
    return NULL;
  }
  rx->used += plr__link_cost(len);
  b->len = len;
  b->lane = index;
  b->number = number;
  b->map = b->data + len;
  memset(b->map, 0, map);
  return b;
}

/* The frame of this number, put in its place if it is new; most often that is the end. */
static plr__link_buffer *find(plr_link *link, uint32_t index, uint64_t number, size_t total) {
  plr__link_fifo *f = &link->rx.lane[index].frames;
  plr__link_buffer *before = NULL, *b = f->head;
  if (f->tail && f->tail->number < number) before = f->tail, b = NULL;
  if (f->tail && f->tail->number == number) return f->tail;
  while (b && b->number < number) before = b, b = b->next;
  if (b && b->number == number) return b;
  plr__link_buffer *fresh = new_frame(link, index, number, total);
  if (!fresh) return NULL;
  fresh->next = b;
  if (before)
    before->next = fresh;
  else
    f->head = fresh;
  if (!b) f->tail = fresh;
  return fresh;
}

static void deliver(plr_link *link, plr__rx_lane *lane) {
  plr__link_buffer *b;
  while ((b = lane->frames.head) && b->number == lane->next && b->have == b->len) {
    plr__link_fifo_put(&link->rx.frames, plr__link_fifo_take(&lane->frames));
    lane->next++;
    link->stats.frames_received++;
  }
}

static plr_status bad_fragment(plr_link *link, plr_status st, uint32_t lane, uint64_t number,
                               size_t total, size_t at, size_t len) {
  return plr__link_fail(link, st, "link fragment",
                        "%zu bytes at %zu of frame %llu of priority %u and %zu bytes", len, at,
                        (unsigned long long)number, lane, total);
}

/* On a stream pieces come in order; in datagrams on the sender's grid. */
static plr_status check_piece(plr_link *link, const plr__link_buffer *b, size_t at, size_t len,
                              int *known) {
  if (!link->dg)
    return at == b->have
               ? PLR_OK
               : bad_fragment(link, PLR_ERR_SEQUENCE, b->lane, b->number, b->len, at, len);
  const size_t grid = link->dg->peer_fragment, i = at / grid;
  if (at % grid || len != PLR_MIN(grid, b->len - at))
    return bad_fragment(link, PLR_ERR_MALFORMED, b->lane, b->number, b->len, at, len);
  *known = b->map[i / 8] >> i % 8 & 1;
  b->map[i / 8] |= (uint8_t)(1u << i % 8);
  return PLR_OK;
}

plr_status plr__lane_fragment(plr_link *link, uint32_t index, uint64_t number, size_t total,
                              size_t at, const uint8_t *data, size_t len) {
  if (index >= PLR_LINK_PRIORITIES || len == 0 || at > total || len > total - at)
    return bad_fragment(link, PLR_ERR_MALFORMED, index, number, total, at, len);
  plr__rx_lane *lane = &link->rx.lane[index];
  if (number < lane->next) {
    link->stats.duplicates++;
    return PLR_OK;
  }
  const uint64_t ahead = link->dg ? link->ours.window / PLR_LINK_FRAME_COST : 0;
  if (number - lane->next > ahead)
    return bad_fragment(link, PLR_ERR_SEQUENCE, index, number, total, at, len);
  plr__link_buffer *b = find(link, index, number, total);
  int known = 0;
  if (!b) return (plr_status)link->closed.status;
  if (b->len != total) return bad_fragment(link, PLR_ERR_MALFORMED, index, number, total, at, len);
  PLR_TRY(check_piece(link, b, at, len, &known));
  if (known) {
    link->stats.duplicates++;
    return PLR_OK;
  }
  memcpy(b->data + at, data, len);
  b->have += len;
  if (b->have == b->len) deliver(link, lane);
  return PLR_OK;
}
