/* Datagrams: each stands alone, and may be lost, late, doubled or forged. What it carried is noted until the peer's
 * history says that it came; when it did not come in time, the pieces of frames in it are sent again in another. */
#include "exchange/link_int.h"

#include <string.h>

#define FIRST_RTO   UINT64_C(500000000)
#define HELLO_WAIT  UINT64_C(200000000)
#define HELLO_MOST  UINT64_C(2000000000)
#define HELLO_REPLY UINT64_C(20000000)
#define LATE_SLACK  UINT64_C(4000000)
#define HISTORY     256u
#define MIN_SLOTS   64u
#define MAX_SLOTS   8192u
#define REPLY       1u /* flags of a handshake: an answer is wanted, an auth follows */
#define WITH_AUTH   2u

/* Room beside a whole piece is for one history. */
static uint32_t grid(uint32_t size) {
  return size - PLR_DATAGRAM_OVERHEAD - PLR_FRAGMENT_HEADER - PLR_HISTORY_BYTES;
}

plr_status plr__datagrams_create(plr_link *link, plr_error *err) {
  const uint32_t size = link->options.datagram;
  const uint64_t want = 2 * link->options.window / size;
  uint32_t slots = MIN_SLOTS;
  while (slots < want && slots < MAX_SLOTS) slots *= 2;
  plr__datagrams *d = plr__calloc(link->ctx, 1, sizeof *d);
  link->dg = d;
  if (!d) return plr__no_memory(err, "link");
  d->size = size;
  d->fragment = grid(size);
  d->slots = slots;
  d->packet = plr__calloc(link->ctx, slots, sizeof *d->packet);
  d->again = plr__calloc(link->ctx, (size_t)slots * PLR_DATAGRAM_REFS, sizeof *d->again);
  return d->packet && d->again ? PLR_OK : plr__no_memory(err, "link");
}

void plr__datagrams_destroy(plr_link *link) {
  if (!link->dg) return;
  plr__free(link->ctx, link->dg->packet);
  plr__free(link->ctx, link->dg->again);
  plr__free(link->ctx, link->dg);
  link->dg = NULL;
}

void plr__datagrams_restart(plr_link *link) {
  plr__datagrams *d = link->dg;
  for (uint32_t i = 0; i < d->slots; i++) d->packet[i].live = 0;
  memset(d->seen, 0, sizeof d->seen);
  d->again_at = d->again_count = d->flight_refs = d->backoff = d->eliciting = 0;
  d->next = d->oldest = d->acked = d->pos = d->messages_sent = d->largest = 0;
  d->hello_due_ns = d->hello_sent_ns = 0;
  d->hello_wait_ns = HELLO_WAIT;
  d->want_hello = 1;
  plr__pace_restart(&d->pace);
}

/* ---- handshake: type u8, flags u8, length u16, hello, signature, checksum u32 -------------------- */

static size_t put_handshake(plr_link *link, uint8_t *out) {
  plr__datagrams *d = link->dg;
  const int with_auth = link->state == LINK_AUTH || link->state == LINK_READY;
  uint8_t *p = out;
  d->want_hello = 0;
  d->hello_sent_ns = link->now_ns;
  d->hello_due_ns = link->now_ns + d->hello_wait_ns;
  d->hello_wait_ns = PLR_MIN(2 * d->hello_wait_ns, HELLO_MOST);
  *p++ = PLR_MSG_HELLO;
  *p++ = (uint8_t)((link->state != LINK_READY ? REPLY : 0) | (with_auth ? WITH_AUTH : 0));
  plr__store_le16(p, PLR_HELLO_BYTES);
  memcpy(p + 2, link->our_hello, PLR_HELLO_BYTES);
  p += 2 + PLR_HELLO_BYTES;
  if (with_auth) {
    plr__link_sign(link, p);
    p += PLR_AUTH_BYTES;
  }
  plr__store_le32(p, plr__crc32c(0, out, (size_t)(p - out)));
  return (size_t)(p - out) + 4;
}

static plr_status reject(plr_link *link) {
  link->stats.rejected++;
  return PLR_OK;
}

/* A hello that nobody who speaks for the peer would send now: garbage, our own, or one of an earlier epoch. */
static int stale(plr_link *link, const uint8_t *hello, size_t len) {
  plr__hello h;
  const plr_status st = plr__hello_read(&h, hello, len, &link->ours, link->options.peer_key, NULL);
  if (st == PLR_ERR_MALFORMED || st == PLR_ERR_SEQUENCE) return 1;
  if (st != PLR_OK) return 0;
  if (link->verified && memcmp(h.key, link->known.key, 32) != 0) return 1;
  return plr__lanes_check(link, &h.progress) >= 0;
}

/* Until a signature has been verified the newest hello counts, for the one before may have been anybody's. */
static plr_status take_hello(plr_link *link, const uint8_t *hello, size_t len) {
  if (link->peer_hello_len == len && memcmp(link->peer_hello, hello, len) == 0) return PLR_OK;
  if (link->state == LINK_READY || stale(link, hello, len)) return PLR_ERR_AGAIN;
  PLR_TRY(plr__link_take_hello(link, hello, len));
  link->dg->peer_fragment = grid(link->peer.datagram);
  link->dg->want_hello = 1;
  return PLR_OK;
}

static plr_status take_handshake(plr_link *link, const uint8_t *data, size_t len) {
  plr__datagrams *d = link->dg;
  const size_t hello = len > 8 ? plr__load_le16(data + 2) : 0;
  const size_t auth = len > 8 && data[1] & WITH_AUTH ? PLR_AUTH_BYTES : 0;
  if (hello > PLR_HELLO_MAX_BYTES || len != 4 + hello + auth + 4 ||
      plr__crc32c(0, data, len - 4) != plr__load_le32(data + len - 4))
    return reject(link);
  plr_status st = take_hello(link, data + 4, hello);
  if (link->state == LINK_CLOSED) return st;
  if (st != PLR_OK) return reject(link);
  if (link->state == LINK_AUTH && auth) {
    if (plr__link_take_auth(link, data + 4 + hello) != PLR_OK) return reject(link);
    link->last_rx_ns = link->now_ns;
  }
  /* The peer lacks our signature; but not more often than that, whoever asks. */
  if (data[1] & REPLY && link->state == LINK_READY &&
      (link->now_ns - d->hello_sent_ns >= HELLO_REPLY || d->messages_sent == 0))
    d->want_hello = 1;
  return PLR_OK;
}

/* ---- in ---------------------------------------------------------------------------------------- */

static int seen(const plr__datagrams *d, uint64_t number) {
  if (number >= d->largest) return 0;
  if (d->largest - number > PLR_DATAGRAM_REPLAY) return 1;
  return d->seen[number / 64 % (PLR_DATAGRAM_REPLAY / 64)] >> number % 64 & 1;
}

/* The window moves on; what leaves it counts as seen. */
static void note_seen(plr__datagrams *d, uint64_t number, uint64_t now_ns) {
  if (number >= d->largest) {
    if (number - d->largest >= PLR_DATAGRAM_REPLAY)
      memset(d->seen, 0, sizeof d->seen);
    else
      for (uint64_t n = d->largest; n < number; n++)
        d->seen[n / 64 % (PLR_DATAGRAM_REPLAY / 64)] &= ~(UINT64_C(1) << n % 64);
    d->largest = number + 1;
    d->largest_ns = now_ns;
  }
  d->seen[number / 64 % (PLR_DATAGRAM_REPLAY / 64)] |= UINT64_C(1) << number % 64;
}

static plr_status take_data(plr_link *link, const uint8_t *data, size_t len) {
  plr__datagrams *d = link->dg;
  uint8_t *plain = d->plain;
  size_t n = 0;
  if (link->state != LINK_READY || len < 9 || len > PLR_DATAGRAM_MAX) return reject(link);
  const uint64_t number = plr__load_le64(data + 1);
  if (number >= PLR_DATAGRAM_LIMIT || seen(d, number)) return reject(link);
  if (!plr__datagram_open(link, data, len, plain, &n) || n == 0) return reject(link);
  note_seen(d, number, link->now_ns);
  link->last_rx_ns = link->now_ns;
  link->rx.messages++;
  return plr__link_items(link, plain, n);
}

plr_status plr__datagram_receive(plr_link *link, const uint8_t *data, size_t len) {
  switch (data[0]) {
  case PLR_MSG_HELLO:
    return take_handshake(link, data, len);
  case PLR_MSG_DATA:
  case PLR_MSG_SEALED:
    return take_data(link, data, len);
  case PLR_MSG_BYE:
    if (len != 9 || link->rx.messages || plr__crc32c(0, data, 5) != plr__load_le32(data + 5))
      return reject(link);
    return plr__link_take_bye(link, data + 1);
  default:
    return reject(link);
  }
}

size_t plr__datagram_put_history(plr_link *link, uint8_t *p) {
  plr__datagrams *d = link->dg;
  d->eliciting = 0;
  if (d->largest == 0) return 0;
  const uint64_t last = d->largest - 1, delay_us = (link->now_ns - d->largest_ns) / 1000;
  memset(p, 0, PLR_HISTORY_BYTES);
  p[0] = PLR_ITEM_HISTORY;
  plr__store_le64(p + 1, last);
  plr__store_le32(p + 9, (uint32_t)PLR_MIN(delay_us, UINT32_MAX));
  for (uint32_t i = 0; i < HISTORY && i <= last; i++)
    if (seen(d, last - i)) p[13 + i / 8] |= (uint8_t)(1u << i % 8);
  return PLR_HISTORY_BYTES;
}

/* ---- what became of those sent ----------------------------------------------------------------- */

static plr__packet *live(plr__datagrams *d, uint64_t number) {
  plr__packet *p = &d->packet[number % d->slots];
  return p->live && p->number == number ? p : NULL;
}

static void forget(plr__datagrams *d, plr__packet *p) {
  p->live = 0;
  d->flight_refs -= p->refs;
}

static uint64_t rto(const plr_link *link) {
  const plr__rtt *r = &link->rtt;
  const uint64_t once =
      r->smooth_ns ? r->smooth_ns + PLR_MAX(4 * r->var_ns, UINT64_C(10000000)) + PLR_DATAGRAM_DELAY
                   : FIRST_RTO;
  return once << link->dg->backoff;
}

/* When a datagram counts as lost: sooner once a later one has arrived. */
static uint64_t lost_ns(const plr_link *link, const plr__packet *p) {
  const uint64_t rtt = PLR_MAX(link->rtt.smooth_ns, link->rtt.latest_ns);
  return p->sent_ns + (p->number < link->dg->acked ? rtt + rtt / 8 + LATE_SLACK : rto(link));
}

static void skip_dead(plr__datagrams *d) {
  while (d->oldest < d->next && !live(d, d->oldest)) d->oldest++;
}

static void lose(plr_link *link, plr__packet *p) {
  plr__datagrams *d = link->dg;
  const uint32_t room = d->slots * PLR_DATAGRAM_REFS;
  if (p->number >= d->acked && d->backoff < 6) d->backoff++;
  for (uint32_t i = 0; i < p->refs; i++)
    d->again[(d->again_at + d->again_count++) % room] = p->ref[i];
  if (p->taken) link->tx.want_ack = 1;
  plr__pace_lost(&d->pace, p);
  forget(d, p);
}

static void find_lost(plr_link *link) {
  plr__datagrams *d = link->dg;
  for (skip_dead(d); d->oldest < d->next; skip_dead(d)) {
    plr__packet *p = live(d, d->oldest);
    if (link->now_ns < lost_ns(link, p)) return;
    lose(link, p);
  }
}

/* The newest that came for the first time times the way. */
static void arrived(plr_link *link, plr__packet *p, uint64_t delay_ns, int newest) {
  plr__datagrams *d = link->dg;
  const uint64_t then = link->now_ns - PLR_MIN(delay_ns, link->now_ns);
  if (newest) plr__rtt_sample(&link->rtt, then > p->sent_ns ? then - p->sent_ns : 0);
  plr__pace_acked(&d->pace, p, &link->rtt, link->now_ns);
  d->backoff = 0;
  forget(d, p);
}

plr_status plr__datagram_history(plr_link *link, const uint8_t *item) {
  plr__datagrams *d = link->dg;
  const uint64_t last = plr__load_le64(item + 1);
  const uint64_t delay_ns = plr__load_le32(item + 9) * UINT64_C(1000);
  if (!d || last >= d->next)
    return plr__link_fail(link, PLR_ERR_MALFORMED, "link history", "datagram %llu was not sent",
                          (unsigned long long)last);
  uint64_t pos = 0;
  for (uint32_t i = HISTORY; i-- > 0;) {
    if (i > last || !(item[13 + i / 8] >> i % 8 & 1)) continue;
    plr__packet *p = live(d, last - i);
    if (!p) continue;
    pos = p->pos;
    arrived(link, p, delay_ns, i == 0);
  }
  if (pos)
    plr__rate_report(&link->rate, pos, d->pace.delivered,
                     link->now_ns - PLR_MIN(delay_ns, link->now_ns));
  d->acked = PLR_MAX(d->acked, last);
  find_lost(link);
  return PLR_OK;
}

/* ---- out --------------------------------------------------------------------------------------- */

/* The next piece that must go again; those of frames that the peer has taken since need not. */
static int next_again(plr_link *link, size_t most, plr__fragment *f) {
  plr__datagrams *d = link->dg;
  const uint32_t room = d->slots * PLR_DATAGRAM_REFS;
  while (d->again_count) {
    const plr__packet_ref *r = &d->again[d->again_at];
    if (r->number >= link->tx.lane[r->lane].base) {
      f->frame = r->frame;
      f->number = r->number;
      f->at = r->at;
      f->len = PLR_MIN(d->fragment, r->frame->len - r->at);
      if (f->len > most) return 0;
    }
    d->again_at = (d->again_at + 1) % room;
    d->again_count--;
    if (r->number >= link->tx.lane[r->lane].base) return 1;
  }
  return 0;
}

static size_t put_fragment(uint8_t *p, const plr__fragment *f, plr__packet *packet) {
  p[0] = PLR_ITEM_FRAGMENT, p[1] = (uint8_t)f->frame->lane;
  plr__store_le16(p + 2, (uint16_t)f->len);
  plr__store_le32(p + 4, (uint32_t)f->frame->len);
  plr__store_le32(p + 8, (uint32_t)f->at);
  plr__store_le64(p + 12, f->number);
  memcpy(p + PLR_FRAGMENT_HEADER, f->frame->data + f->at, f->len);
  packet->ref[packet->refs++] =
      (plr__packet_ref){f->frame, f->number, (uint32_t)f->at, f->frame->lane};
  return PLR_FRAGMENT_HEADER + f->len;
}

static size_t put_fragments(plr_link *link, uint8_t *out, size_t room, plr__packet *packet) {
  plr__datagrams *d = link->dg;
  plr__fragment f;
  size_t len = 0;
  while (packet->refs < PLR_DATAGRAM_REFS && room - len > PLR_FRAGMENT_HEADER) {
    const size_t most = room - len - PLR_FRAGMENT_HEADER;
    if (next_again(link, most, &f)) {
      link->stats.retransmits++;
    } else {
      const uint32_t refs = d->flight_refs + d->again_count + packet->refs;
      if (d->again_count || refs >= d->slots * PLR_DATAGRAM_REFS) break;
      if (!plr__lane_next(link, most, &f)) break;
      plr__lane_sent(link, &f);
    }
    len += put_fragment(out + len, &f, packet);
  }
  return len;
}

static size_t put_data(plr_link *link, uint8_t *out) {
  plr__datagrams *d = link->dg;
  plr__packet *packet = &d->packet[d->next % d->slots];
  const size_t room = d->size - PLR_DATAGRAM_OVERHEAD;
  if (packet->live) return 0;
  packet->refs = packet->taken = 0;
  size_t len = plr__link_short_items(link, d->plain, room, packet);
  if (link->state == LINK_READY && plr__pace_next_ns(&d->pace, d->size) <= link->now_ns) {
    len += put_fragments(link, d->plain + len, room - len, packet);
    if (!packet->refs && !d->again_count) { /* nothing to send but for want of frames or credit */
      plr__rate_idle(&link->rate, d->pos);
      d->pace.limited_until = d->pace.delivered + d->pace.flight + 1;
    }
  }
  if (len == 0 && link->tx.want_bye) len = plr__link_short_items(link, d->plain, room, packet);
  if (len == 0) return 0;
  len = plr__datagram_seal(link, d->next, out, d->plain, len);
  d->messages_sent++;
  d->pos += len;
  packet->number = d->next++;
  packet->bytes = (uint32_t)len;
  packet->pos = d->pos;
  packet->live = packet->refs || packet->taken;
  d->flight_refs += packet->refs;
  if (packet->live) plr__pace_sent(&d->pace, packet, link->now_ns, d->size);
  return len;
}

plr_status plr__datagram_transmit(plr_link *link, uint8_t *out, size_t cap, size_t *written) {
  plr__datagrams *d = link->dg;
  plr__link_tx *tx = &link->tx;
  if (cap < d->size) return PLR_ERR_INVALID_ARGUMENT;
  tx->want_hello = tx->want_auth = 0;
  if (link->state == LINK_CLOSED) {
    if (!tx->want_bye) return PLR_OK;
    if (tx->bye_inside) {
      *written = put_data(link, out);
      return PLR_OK;
    }
    if (d->want_hello) { /* the peer wants to see both sides' values, too */
      *written = put_handshake(link, out);
      return PLR_OK;
    }
    tx->want_bye = 0;
    out[0] = PLR_MSG_BYE;
    plr__store_le32(out + 1, (uint32_t)link->closed.status);
    plr__store_le32(out + 5, plr__crc32c(0, out, 5));
    *written = 9;
    return PLR_OK;
  }
  if (d->next >= PLR_DATAGRAM_LIMIT)
    plr__link_fail(link, PLR_ERR_LIMIT, "link", "2^48 datagrams under one key");
  if (d->want_hello)
    *written = put_handshake(link, out);
  else if (link->state == LINK_READY)
    *written = put_data(link, out);
  return PLR_OK;
}

/* ---- time -------------------------------------------------------------------------------------- */

uint64_t plr__datagram_deadline(const plr_link *link) {
  const plr__datagrams *d = link->dg;
  if (link->state != LINK_READY) return d->want_hello ? PLR_NEVER : d->hello_due_ns;
  uint64_t due = PLR_NEVER;
  for (uint64_t n = d->oldest; n < d->next && due == PLR_NEVER; n++) {
    const plr__packet *p = &d->packet[n % d->slots];
    if (p->live && p->number == n) due = lost_ns(link, p);
  }
  if (!d->again_count && !plr__lane_waiting(link)) return due;
  /* If it could go now, it would have gone. */
  const uint64_t next = plr__pace_next_ns(&d->pace, d->size);
  return next > link->now_ns ? PLR_MIN(due, next) : due;
}

void plr__datagram_advance(plr_link *link) {
  plr__datagrams *d = link->dg;
  if (link->state != LINK_READY) {
    if (link->now_ns >= d->hello_due_ns) d->want_hello = 1;
    return;
  }
  find_lost(link);
}
