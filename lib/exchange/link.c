/* The link: its life, its clock and its events. */
#include "exchange/link_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_WINDOW (UINT64_C(1) << 40)

static plr_link_options defaults(void) {
  plr_link_options o;
  memset(&o, 0, sizeof o);
  o.struct_size = (uint32_t)sizeof o;
  o.window = UINT64_C(16) << 20;
  o.keep_alive_ns = UINT64_C(5000000000);
  o.timeout_ns = UINT64_C(20000000000);
  return o;
}

void plr_link_options_init(plr_link_options *options, uint32_t struct_size) {
  plr_link_options o = defaults();
  plr__options_init(options, struct_size, &o, (uint32_t)sizeof o);
}

static plr_status check_options(const plr_link_options *o, plr_error *err) {
  if (o->initiator > 1)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "link.initiator", "%u is not 0 or 1",
                     o->initiator);
  if (o->window < PLR_LINK_MIN_WINDOW || o->window > MAX_WINDOW)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "link.window", "%llu is not within %u .. 2^40",
                     (unsigned long long)o->window, PLR_LINK_MIN_WINDOW);
  return PLR_OK;
}

static void write_hello(plr_link *link) {
  plr__hello *h = &link->ours;
  h->initiator = link->options.initiator;
  h->window = link->options.window;
  h->max_frame = plr__max_frame(link->ctx);
  h->model = link->options.model;
  h->profile = link->options.profile;
  memcpy(h->nonce, link->options.nonce, sizeof h->nonce);
  plr_identity_public_key(link->identity, h->key);
  plr__hello_write(link->our_hello, h);
  link->tx.len =
      plr__message_write(link->tx.message, PLR_MSG_HELLO, link->our_hello, PLR_HELLO_BYTES);
}

plr_status plr_link_create(plr_context *ctx, const plr_identity *identity,
                           const plr_link_options *options, plr_link **out, plr_error *err) {
  if (!out) return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "link", "out is NULL");
  *out = NULL;
  if (!ctx || !identity || !options)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "link", "ctx, identity or options is NULL");
  plr_link_options o = defaults();
  PLR_TRY(plr__options_read(&o, (uint32_t)sizeof o, options, "link options", err));
  PLR_TRY(check_options(&o, err));
  plr_link *link = plr__calloc(ctx, 1, sizeof *link);
  if (!link) return plr__no_memory(err, "link");
  link->ctx = plr__context_ref(ctx);
  link->identity = identity;
  link->options = o;
  link->pool.ctx = ctx;
  link->pool.keep = 4 * o.window;
  plr_error_init(&link->closed, (uint32_t)sizeof link->closed);
  write_hello(link);
  *out = link;
  return PLR_OK;
}

static void drop_frames(plr_link *link, plr__link_fifo *f) {
  for (plr__link_buffer *b; (b = plr__link_fifo_take(f)) != NULL;)
    plr__link_buffer_give(&link->pool, b);
}

/* Frames that will not be sent any more. */
static void drop_queue(plr_link *link) {
  plr__link_tx *tx = &link->tx;
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++) drop_frames(link, &tx->queue[i]);
  plr__link_buffer_give(&link->pool, tx->frame);
  tx->frame = NULL;
  tx->queued_cost = tx->queued_bytes = 0;
}

void plr_link_destroy(plr_link *link) {
  if (!link) return;
  PLR_GUARD_END(link);
  plr_context *ctx = link->ctx;
  drop_queue(link);
  drop_frames(link, &link->rx.frames);
  plr__link_buffer_give(&link->pool, link->rx.frame);
  plr__link_buffer_give(&link->pool, link->rx.taken);
  plr__link_pool_release(&link->pool);
  plr__free(ctx, link);
  plr__context_unref(ctx);
}

void plr__link_drop_taken(plr_link *link) {
  plr__link_buffer_give(&link->pool, link->rx.taken);
  link->rx.taken = NULL;
}

/* ---- the end ----------------------------------------------------------------------------------- */

plr_status plr__link_end(plr_link *link) {
  plr__link_tx *tx = &link->tx;
  if (link->state == LINK_CLOSED) return (plr_status)link->closed.status;
  link->state = LINK_CLOSED;
  link->event_closed = 1;
  link->event_writable = 0;
  /* Inside a frame a bye would be read as part of it. */
  tx->want_bye = tx->frame == NULL;
  if (tx->frame) tx->pos = tx->len = 0;
  drop_queue(link);
  plr__link_buffer_give(&link->pool, link->rx.frame);
  link->rx.frame = NULL;
  return (plr_status)link->closed.status;
}

plr_status plr__link_fail(plr_link *link, plr_status st, const char *where, const char *fmt, ...) {
  char text[sizeof link->closed.message];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  if (link->state != LINK_CLOSED) plr__fail(&link->closed, st, where, "%s", text);
  return plr__link_end(link);
}

void plr_link_close(plr_link *link, plr_status why) {
  PLR_GUARD_VOID(link);
  if (!link) return;
  plr__link_drop_taken(link);
  plr__link_fail(link, why, "link", "ended by this side: %s", plr_status_name(why));
}

/* ---- time -------------------------------------------------------------------------------------- */

void plr__link_clock(plr_link *link, uint64_t now_ns) {
  if (!link->started) {
    link->started = 1;
    link->start_ns = link->last_rx_ns = link->last_tx_ns = link->now_ns = now_ns;
  }
  link->now_ns = PLR_MAX(link->now_ns, now_ns);
}

static uint64_t later(uint64_t from, uint64_t delay) {
  return delay == 0 || from > PLR_NEVER - delay ? PLR_NEVER : from + delay;
}

/* When silence becomes death. The handshake as a whole has no more time than one silence. */
static uint64_t death(const plr_link *link) {
  uint64_t from = link->state == LINK_READY ? link->last_rx_ns : link->start_ns;
  return later(from, link->options.timeout_ns);
}

static uint64_t ping_due(const plr_link *link) {
  if (link->state != LINK_READY || link->tx.want_ping) return PLR_NEVER;
  return later(link->last_tx_ns, link->options.keep_alive_ns);
}

static uint64_t ack_due(const plr_link *link) {
  if (link->state != LINK_READY || !link->rx.to_ack || link->tx.want_ack) return PLR_NEVER;
  return link->rx.ack_due_ns;
}

uint64_t plr_link_next_deadline_ns(const plr_link *link) {
  PLR_GUARD_LOOK(link);
  if (!link || link->state == LINK_CLOSED) return PLR_NEVER;
  if (!link->started) return 0;
  return PLR_MIN(death(link), PLR_MIN(ping_due(link), ack_due(link)));
}

plr_status plr_link_advance(plr_link *link, uint64_t now_ns) {
  PLR_GUARD(link, NULL);
  if (!link) return PLR_ERR_INVALID_ARGUMENT;
  plr__link_clock(link, now_ns);
  plr__link_drop_taken(link);
  if (link->state == LINK_CLOSED) return PLR_OK;
  if (link->now_ns >= death(link))
    return plr__link_fail(link, PLR_ERR_CLOSED, "link", "%s for %.1f s",
                          link->state == LINK_READY ? "nothing came" : "no complete handshake",
                          (double)link->options.timeout_ns * 1e-9);
  if (link->now_ns >= ping_due(link)) link->tx.want_ping = 1;
  if (link->now_ns >= ack_due(link)) link->tx.want_ack = 1;
  return PLR_OK;
}

/* ---- events ------------------------------------------------------------------------------------ */

static void take_frame(plr_link *link, plr__link_buffer *b, plr_link_event *event) {
  plr__link_rx *rx = &link->rx;
  rx->taken = b;
  event->type = PLR_LINK_FRAME;
  event->data = b->data;
  event->len = b->len;
  if (rx->to_ack == 0) rx->ack_due_ns = later(link->now_ns, PLR_LINK_ACK_DELAY);
  rx->to_ack += plr__link_cost(b->len);
  if (rx->to_ack >= link->options.window / 4) link->tx.want_ack = 1;
}

plr_status plr_link_next_event(plr_link *link, plr_link_event *event) {
  PLR_GUARD(link, NULL);
  if (!link || !event) return PLR_ERR_INVALID_ARGUMENT;
  plr__link_drop_taken(link);
  memset(event, 0, sizeof *event);
  event->message = "";
  plr__link_buffer *b;
  if (link->event_ready) {
    link->event_ready = 0;
    event->type = PLR_LINK_READY;
  } else if ((b = plr__link_fifo_take(&link->rx.frames)) != NULL) {
    take_frame(link, b, event);
  } else if (link->event_writable) {
    link->event_writable = 0;
    event->type = PLR_LINK_WRITABLE;
  } else if (link->event_closed) {
    link->event_closed = 0;
    event->type = PLR_LINK_CLOSED;
    event->status = link->closed.status;
    event->message = link->closed.message;
  } else {
    return PLR_ERR_AGAIN;
  }
  return PLR_OK;
}

plr_status plr_link_get_stats(const plr_link *link, plr_link_stats *stats) {
  PLR_GUARD_CONST(link);
  if (!link || !stats) return PLR_ERR_INVALID_ARGUMENT;
  plr_link_stats full = link->stats;
  full.queued_bytes = link->tx.queued_bytes;
  return plr__record_write(stats, &full, sizeof full, 48);
}

void plr_link_peer_key(const plr_link *link, uint8_t out[32]) {
  PLR_GUARD_LOOK(link);
  memset(out, 0, 32);
  if (link->verified) memcpy(out, link->peer.key, 32);
}
