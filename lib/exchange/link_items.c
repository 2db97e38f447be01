/* What a payload says, item by item, to its last byte. */
#include "exchange/link_int.h"

/* Something came that its sender wants to know the fate of. */
static void note_eliciting(plr_link *link) {
  plr__link_rx *rx = &link->rx;
  const uint64_t now = link->now_ns;
  if (link->dg) {
    if (++link->dg->eliciting >= 4) link->tx.want_report = 1;
    rx->report_due_ns = PLR_MIN(rx->report_due_ns, now + PLR_DATAGRAM_DELAY);
    return;
  }
  if (rx->bytes - rx->reported >= PLR_LINK_REPORT_BYTES ||
      now - rx->report_ns >= PLR_LINK_ACK_DELAY)
    link->tx.want_report = 1;
  else if (rx->report_due_ns == PLR_NEVER)
    rx->report_due_ns = now + PLR_LINK_ACK_DELAY;
}

static plr_status take_received(plr_link *link, const uint8_t *p) {
  plr__link_tx *tx = &link->tx;
  const uint64_t bytes = plr__load_le64(p + 1);
  const uint64_t delay = plr__load_le32(p + 9) * UINT64_C(1000);
  if (link->dg || bytes > tx->bytes)
    return plr__link_fail(link, PLR_ERR_MALFORMED, "link received", "%llu bytes of %llu sent",
                          (unsigned long long)bytes, (unsigned long long)tx->bytes);
  const uint64_t then = link->now_ns - PLR_MIN(delay, link->now_ns);
  if (tx->probe_pos && bytes >= tx->probe_pos) {
    plr__rtt_sample(&link->rtt, then > tx->probe_ns ? then - tx->probe_ns : 0);
    tx->probe_pos = 0;
  }
  plr__rate_report(&link->rate, bytes, bytes, then);
  return PLR_OK;
}

static size_t item_bytes(const uint8_t *p, size_t left) {
  static const uint8_t fixed[] = {
      [PLR_ITEM_FRAGMENT] = PLR_FRAGMENT_HEADER, [PLR_ITEM_RECEIVED] = PLR_RECEIVED_BYTES,
      [PLR_ITEM_HISTORY] = PLR_HISTORY_BYTES,    [PLR_ITEM_TAKEN] = PLR_TAKEN_BYTES,
      [PLR_ITEM_PING] = PLR_PING_BYTES,          [PLR_ITEM_PONG] = PLR_PING_BYTES,
      [PLR_ITEM_BYE] = PLR_ITEM_BYE_BYTES};
  if (p[0] == 0 || p[0] >= sizeof fixed || left < fixed[p[0]]) return 0;
  const size_t n = fixed[p[0]] + (p[0] == PLR_ITEM_FRAGMENT ? plr__load_le16(p + 2) : 0u);
  return n <= left ? n : 0;
}

static plr_status take_item(plr_link *link, const uint8_t *p) {
  switch (p[0]) {
  case PLR_ITEM_FRAGMENT:
    note_eliciting(link);
    return plr__lane_fragment(link, p[1], plr__load_le64(p + 12), plr__load_le32(p + 4),
                              plr__load_le32(p + 8), p + PLR_FRAGMENT_HEADER,
                              plr__load_le16(p + 2));
  case PLR_ITEM_RECEIVED:
    return take_received(link, p);
  case PLR_ITEM_HISTORY:
    return plr__datagram_history(link, p);
  case PLR_ITEM_TAKEN:
    if (link->dg) note_eliciting(link);
    if (p[1] >= PLR_LINK_PRIORITIES)
      return plr__link_fail(link, PLR_ERR_MALFORMED, "link taken", "priority %u", p[1]);
    return plr__lane_taken(link, p[1], plr__load_le64(p + 2));
  case PLR_ITEM_PING:
    link->tx.pong = plr__load_le64(p + 1);
    link->tx.want_pong = 1;
    return PLR_OK;
  case PLR_ITEM_PONG:
    return PLR_OK; /* that it came is all there is to it */
  default:
    return plr__link_take_bye(link, p + 1);
  }
}

plr_status plr__link_items(plr_link *link, const uint8_t *p, size_t len) {
  while (len > 0) {
    const size_t n = item_bytes(p, len);
    if (n == 0)
      return plr__link_fail(link, PLR_ERR_MALFORMED, "link item", "type %u, %zu bytes left", p[0],
                            len);
    PLR_TRY(take_item(link, p));
    if (link->state == LINK_CLOSED) return PLR_OK; /* a bye */
    p += n;
    len -= n;
  }
  return PLR_OK;
}
