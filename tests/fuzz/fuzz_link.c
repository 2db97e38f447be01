/* A link under a script of calls and of bytes from a peer that may know the protocol: some of its messages get a right
 * checksum or seal. The bits of the first byte say whether the handshake has already been made by a peer with a right
 * key, whether the link is sealed, and whether it runs over datagrams; the peer's hello may be altered before it is signed. */
#include "exchange/link_int.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW = 65536 };

static plr_context *ctx;
static plr_identity *identities[2];

static void setup(void) {
  plr_context_options o;
  plr_context_options_init(&o, sizeof o);
  o.max_frame = 20000;
  if (plr_context_create(&o, &ctx, NULL) != PLR_OK) abort();
  for (int i = 0; i < 2; i++) {
    uint8_t seed[32];
    memset(seed, i + 1, sizeof seed);
    if (plr_identity_create(ctx, seed, &identities[i], NULL) != PLR_OK) abort();
  }
}

enum { MADE = 1, CLEAR = 2, DATAGRAM = 4, SPOILT = 8 };

static plr_link *make_link(uint32_t side, uint32_t mode) {
  plr_link_options o;
  plr_link *link;
  plr_link_options_init(&o, sizeof o);
  o.initiator = side == 0;
  o.window = WINDOW;
  o.seal = !(mode & CLEAR);
  o.datagram = mode & DATAGRAM ? 600 : 0;
  o.keep_alive_ns = 1000, o.timeout_ns = 100000;
  memset(o.nonce, (int)side + 7, sizeof o.nonce);
  if (plr_link_create(ctx, identities[side], &o, &link, NULL) != PLR_OK) abort();
  return link;
}

typedef struct script {
  const uint8_t *p;
  size_t left;
} script;

static uint8_t next(script *s) {
  if (!s->left) return 0;
  s->left--;
  return *s->p++;
}

static size_t next_bytes(script *s, uint8_t *out, size_t most) {
  const size_t want = next(s) * (size_t)8 + 1, n = PLR_MIN(want, PLR_MIN(most, s->left));
  memcpy(out, s->p, n);
  s->p += n, s->left -= n;
  return n;
}

static void meet(plr_link *link, plr_link *peer, uint64_t now) {
  uint8_t buf[1024];
  size_t n;
  for (int i = 0; i < 5; i++) {
    plr_link_transmit(link, now, buf, sizeof buf, &n);
    if (n) plr_link_receive(peer, now, buf, n);
    plr_link_transmit(peer, now, buf, sizeof buf, &n);
    if (n) plr_link_receive(link, now, buf, n);
  }
}

/* A hello with some bytes of the script in it, and a right signature. */
static void spoil(plr_link *peer, script *s) {
  for (uint32_t n = next(s) & 7; n > 0; n--) {
    const uint32_t at = next(s) + 256u * next(s);
    peer->our_hello[at % PLR_HELLO_BYTES] = next(s);
  }
}

/* A payload of the script under the peer's keys. */
static size_t under_seal(plr_link *peer, script *s, uint8_t *out) {
  uint8_t body[2048];
  const size_t n = next_bytes(s, body, peer->dg ? 500 : sizeof body);
  if (n == 0) return 0;
  if (peer->dg) return plr__datagram_seal(peer, peer->dg->next++, out, body, n);
  return plr__link_seal(peer, out, body, n);
}

/* One call; what must hold after any call is checked by the caller. */
static void call(plr_link *link, plr_link *peer, script *s, uint64_t *now) {
  uint8_t buf[PLR_MSG_HEADER + 2048 + PLR_LINK_SEAL_BYTES], body[2048];
  plr_link_event event;
  size_t n = 0, len;
  const uint8_t op = next(s);
  switch (op % 8) {
  case 0:
    n = next_bytes(s, body, sizeof body);
    plr_link_receive(link, *now, body, n);
    break;
  case 1:
    n = under_seal(peer, s, buf);
    plr_link_receive(link, *now, buf, n);
    break;
  case 2:
    len = next_bytes(s, body, sizeof body);
    len = plr__message_write(buf, op >> 3, body, len);
    plr_link_receive(link, *now, buf, len);
    break;
  case 3:
    memset(body, 0, 32);
    plr__store_le64(body, *now);
    body[8] = next(s);
    plr_link_resume(link, *now, body);
    body[9] = 1;
    if (op >> 3 & 1) plr_link_resume(peer, *now, body);
    if (op >> 4 & 1) spoil(peer, s);
    if (op >> 5 & 1) meet(link, peer, *now);
    break;
  case 4:
    plr_link_transmit(link, *now, buf, link->dg ? 600 : next(s) * (size_t)8, &n);
    if (op >> 3 & 1 && n) plr_link_receive(peer, *now, buf, n);
    break;
  case 5:
    *now += (uint64_t)next(s) << (op >> 3);
    plr_link_advance(link, *now);
    break;
  case 6:
    while (plr_link_next_event(link, &event) == PLR_OK)
      for (size_t i = 0; i < event.len; i++) n += event.data[i];
    break;
  default:
    n = next_bytes(s, body, sizeof body);
    if (n) plr_link_send(link, body, n, op >> 3 & 3);
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!ctx) setup();
  script s = {data, size};
  uint64_t before, after, now = 1;
  plr_context_memory(ctx, &before, NULL, NULL);
  const uint32_t mode = next(&s);
  plr_link *link = make_link(0, mode), *peer = make_link(1, mode);
  if (mode & SPOILT) spoil(peer, &s);
  if (mode & MADE) meet(link, peer, now);
  if ((mode & (MADE | SPOILT)) == MADE && link->state != LINK_READY) abort();
  while (s.left) {
    call(link, peer, &s, &now);
    plr_link_stats stats = {0};
    plr_link_get_stats(link, &stats);
    plr_context_memory(ctx, &after, NULL, NULL);
    if (link->rx.used > WINDOW || link->tx.queued_cost > WINDOW || link->tx.unacked > WINDOW)
      abort();
    if (stats.queued_bytes > 2 * WINDOW || after - before > 24 * WINDOW) abort();
    if ((link->state == LINK_CLOSED) != (plr_link_next_deadline_ns(link) == PLR_NEVER))
      abort();
  }
  plr_link_destroy(peer);
  plr_link_destroy(link);
  plr_context_memory(ctx, &after, NULL, NULL);
  if (after != before) abort();
  return 0;
}
