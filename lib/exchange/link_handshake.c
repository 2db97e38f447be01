/* Hello and auth, the first time and after each lost stream. */
#include "exchange/link_int.h"

#include <string.h>

/* What the last stream left half done is void. */
static void forget_stream(plr_link *link) {
  plr__link_tx *tx = &link->tx;
  plr__link_rx *rx = &link->rx;
  tx->pos = tx->len = 0;
  tx->bytes = tx->probe_pos = 0;
  tx->want_auth = tx->want_ping = tx->want_pong = tx->want_report = tx->want_ack = 0;
  rx->have = 0;
  rx->bytes = rx->reported = rx->messages = rx->report_ns = 0;
  rx->report_due_ns = PLR_NEVER;
  plr__lanes_drop_partial(link);
  plr__rate_restart(&link->rate);
  link->peer_hello_len = 0;
}

void plr__link_begin(plr_link *link, const uint8_t host_nonce[32]) {
  plr__hello *h = &link->ours;
  forget_stream(link);
  plr__link_derive(host_nonce, h->nonce, link->secret, h->exchange);
  if (!h->seal) memset(h->exchange, 0, sizeof h->exchange);
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++) {
    h->progress.received[i] = link->rx.lane[i].next;
    h->progress.taken[i] = link->rx.lane[i].taken;
  }
  link->rx.hello_ack = link->rx.to_ack;
  if (!link->resuming) memcpy(h->id, h->nonce, sizeof h->id);
  plr__hello_write(link->our_hello, h);
  link->state = LINK_HELLO;
  link->tx.want_hello = 1;
  if (link->dg) plr__datagrams_restart(link);
}

plr_status plr_link_resume(plr_link *link, uint64_t now_ns, const uint8_t nonce[32]) {
  PLR_GUARD(link, NULL);
  uint8_t wire[32], secret[32], exchange[32];
  if (!link || !nonce) return PLR_ERR_INVALID_ARGUMENT;
  if (link->state == LINK_CLOSED) return PLR_ERR_INVALID_STATE;
  plr__link_derive(nonce, wire, secret, exchange);
  sodium_memzero(secret, sizeof secret);
  if (memcmp(wire, link->ours.nonce, 32) == 0 || memcmp(wire, link->ours.id, 32) == 0)
    return PLR_ERR_INVALID_ARGUMENT; /* the same keys again */
  plr__link_clock(link, now_ns);
  plr__link_drop_taken(link);
  link->resuming = 1;
  link->start_ns = link->last_rx_ns = link->last_tx_ns = link->now_ns;
  plr__link_begin(link, nonce);
  return PLR_OK;
}

/* The peer that was verified once must come back as it was. */
static plr_status check_known(plr_link *link) {
  const plr__hello *was = &link->known, *is = &link->peer;
  if (!link->verified) return PLR_OK;
  if (memcmp(was->key, is->key, 32) != 0)
    return plr__link_fail(link, PLR_ERR_MISMATCH, "link hello",
                          "the session is that of another key");
  if (was->window != is->window || was->max_frame != is->max_frame || was->datagram != is->datagram)
    return plr__link_fail(
        link, PLR_ERR_MISMATCH, "link hello",
        "the peer's window was %llu and its largest frame %llu; now %llu and %llu",
        (unsigned long long)was->window, (unsigned long long)was->max_frame,
        (unsigned long long)is->window, (unsigned long long)is->max_frame);
  return PLR_OK;
}

/* What the peer says it got, against what it was sent. */
static plr_status check_progress(plr_link *link) {
  const plr__link_progress *p = &link->peer.progress;
  const int i = plr__lanes_check(link, p);
  if (i < 0) return PLR_OK;
  const plr__tx_lane *lane = &link->tx.lane[i];
  return plr__link_fail(link, PLR_ERR_MISMATCH, "link hello",
                        "frames of priority %d: ours %llu acknowledged, %llu sent; the peer's %llu "
                        "taken, %llu received",
                        i, (unsigned long long)lane->base, (unsigned long long)lane->done,
                        (unsigned long long)p->taken[i], (unsigned long long)p->received[i]);
}

plr_status plr__link_take_hello(plr_link *link, const uint8_t *body, size_t len) {
  plr_status st =
      plr__hello_read(&link->peer, body, len, &link->ours, link->options.peer_key, &link->closed);
  if (st != PLR_OK) return plr__link_end(link);
  PLR_TRY(check_known(link));
  PLR_TRY(check_progress(link));
  memcpy(link->peer_hello, body, len);
  link->peer_hello_len = len;
  PLR_TRY(plr__link_keys(link));
  link->state = LINK_AUTH;
  link->tx.want_auth = 1;
  return PLR_OK;
}

void plr__link_sign(const plr_link *link, uint8_t signature[PLR_AUTH_BYTES]) {
  uint8_t text[PLR_TRANSCRIPT_MAX_BYTES];
  const size_t len = plr__link_both_hellos(link, link->ours.initiator, text);
  plr_identity_sign(link->identity, text, len, signature);
}

/* Our hello told how far we are: the peer counts on it from now on. */
static void settle_progress(plr_link *link) {
  plr__link_rx *rx = &link->rx;
  for (uint32_t i = 0; i < PLR_LINK_PRIORITIES; i++)
    rx->lane[i].told = link->ours.progress.taken[i];
  rx->used -= rx->hello_ack;
  rx->to_ack -= rx->hello_ack;
  rx->hello_ack = 0;
  plr__lanes_rewind(link, &link->peer.progress);
}

plr_status plr__link_take_auth(plr_link *link, const uint8_t signature[PLR_AUTH_BYTES]) {
  uint8_t text[PLR_TRANSCRIPT_MAX_BYTES];
  const size_t len = plr__link_both_hellos(link, link->peer.initiator, text);
  if (plr_verify(link->peer.key, text, len, signature) != PLR_OK) {
    char hex[17];
    plr__hex_encode(link->peer.key, 8, hex);
    if (link->dg) return PLR_ERR_SIGNATURE; /* anybody may have sent it */
    return plr__link_fail(link, PLR_ERR_SIGNATURE, "link auth",
                          "the signature over both hellos is not by the key %s..", hex);
  }
  sodium_memzero(link->secret, sizeof link->secret);
  link->state = LINK_READY;
  if (link->verified) {
    link->event_resumed = 1;
    link->stats.resumes++;
  } else {
    link->event_ready = 1;
  }
  link->verified = 1;
  link->known = link->peer;
  memcpy(link->ours.peer_id, link->peer.id, sizeof link->ours.peer_id);
  settle_progress(link);
  return PLR_OK;
}

plr_status plr__link_take_bye(plr_link *link, const uint8_t *body) {
  plr_status why = (plr_status)(int32_t)plr__load_le32(body);
  plr__link_fail(link, PLR_ERR_CLOSED, "link", "the peer ended the link: %s", plr_status_name(why));
  link->tx.want_bye = 0; /* nobody listens */
  return PLR_OK;
}
