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
  o.seal = 1;
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
  if (o->seal > 1)
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "link.seal", "%u is not 0 or 1", o->seal);
  if (o->datagram && (o->datagram < PLR_DATAGRAM_MIN || o->datagram > PLR_DATAGRAM_MAX))
    return plr__fail(err, PLR_ERR_INVALID_ARGUMENT, "link.datagram",
                     "%u is not 0 or within %u .. %u", o->datagram, PLR_DATAGRAM_MIN,
                     PLR_DATAGRAM_MAX);
  return PLR_OK;
}

static void fill_hello(plr_link *link) {
  plr__hello *h = &link->ours;
  h->initiator = link->options.initiator;
  h->seal = link->options.seal;
  h->datagram = link->options.datagram;
  h->window = link->options.window;
  h->max_frame = plr__max_frame(link->ctx);
  h->model = link->options.model;
  h->profile = link->options.profile;
  plr_identity_public_key(link->identity, h->key);
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
  link->pool.keep = 6 * o.window;
  plr_error_init(&link->closed, (uint32_t)sizeof link->closed);
  if (o.datagram) {
    plr_status st = plr__datagrams_create(link, err);
    if (st != PLR_OK) {
      plr_link_destroy(link);
      return st;
    }
  }
  fill_hello(link);
  plr__link_begin(link, o.nonce);
  sodium_memzero(link->options.nonce, sizeof link->options.nonce);
  *out = link;
  return PLR_OK;
}

void plr_link_destroy(plr_link *link) {
  if (!link) return;
  PLR_GUARD_END(link);
  plr_context *ctx = link->ctx;
  plr__lanes_drop_queue(link);
  plr__lanes_drop_partial(link);
  for (plr__link_buffer *b; (b = plr__link_fifo_take(&link->rx.frames)) != NULL;)
    plr__link_buffer_give(&link->pool, b);
  plr__link_buffer_give(&link->pool, link->rx.taken);
  plr__link_pool_release(&link->pool);
  plr__datagrams_destroy(link);
  sodium_memzero(link, sizeof *link);
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
  tx->bye_inside = link->state == LINK_READY;
  link->state = LINK_CLOSED;
  link->event_closed = 1;
  link->event_writable = 0;
  tx->want_bye = 1;
  plr__lanes_drop_queue(link);
  plr__lanes_drop_partial(link);
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

/* When silence becomes death. The handshake as a whole has no more time than one silence. */
static uint64_t death(const plr_link *link) {
  uint64_t from = link->state == LINK_READY ? link->last_rx_ns : link->start_ns;
  return plr__link_later(from, link->options.timeout_ns);
}

static uint64_t ping_due(const plr_link *link) {
  if (link->state != LINK_READY || link->tx.want_ping) return PLR_NEVER;
  return plr__link_later(link->last_tx_ns, link->options.keep_alive_ns);
}

static uint64_t ack_due(const plr_link *link) {
  if (link->state != LINK_READY || !link->rx.to_ack || link->tx.want_ack) return PLR_NEVER;
  return link->rx.ack_due_ns;
}

static uint64_t report_due(const plr_link *link) {
  if (link->state != LINK_READY || link->tx.want_report) return PLR_NEVER;
  return link->rx.report_due_ns;
}

uint64_t plr_link_next_deadline_ns(const plr_link *link) {
  PLR_GUARD_LOOK(link);
  if (!link || link->state == LINK_CLOSED) return PLR_NEVER;
  if (!link->started) return 0;
  uint64_t due = PLR_MIN(death(link), PLR_MIN(ping_due(link), ack_due(link)));
  due = PLR_MIN(due, report_due(link));
  return link->dg ? PLR_MIN(due, plr__datagram_deadline(link)) : due;
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
  if (link->now_ns >= report_due(link)) link->tx.want_report = 1;
  if (link->dg) plr__datagram_advance(link);
  return PLR_OK;
}

/* ---- events ------------------------------------------------------------------------------------ */

static void take_frame(plr_link *link, plr__link_buffer *b, plr_link_event *event) {
  plr__link_rx *rx = &link->rx;
  rx->taken = b;
  event->type = PLR_LINK_FRAME;
  event->data = b->data;
  event->len = b->len;
  rx->lane[b->lane].taken++;
  if (rx->to_ack == 0) rx->ack_due_ns = plr__link_later(link->now_ns, PLR_LINK_ACK_DELAY);
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
  } else if (link->event_resumed) {
    link->event_resumed = 0;
    event->type = PLR_LINK_RESUMED;
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
  full.unacked_bytes = link->tx.unacked;
  full.rtt_ns = link->rtt.smooth_ns;
  full.bytes_per_s = link->rate.rate;
  return plr__record_write(stats, &full, sizeof full, 48);
}

void plr_link_peer_key(const plr_link *link, uint8_t out[32]) {
  PLR_GUARD_LOOK(link);
  memset(out, 0, 32);
  if (link->verified) memcpy(out, link->known.key, 32);
}
