/* A link under a script of calls and of bytes from a peer that may know the protocol: some of its messages get a right
 * checksum, and the first byte says whether the handshake has already been made by a peer with a right key. */
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

static plr_link *make_link(uint32_t side) {
  plr_link_options o;
  plr_link *link;
  plr_link_options_init(&o, sizeof o);
  o.initiator = side == 0;
  o.window = WINDOW;
  o.keep_alive_ns = 1000, o.timeout_ns = 100000;
  memset(o.nonce, (int)side + 7, sizeof o.nonce);
  if (plr_link_create(ctx, identities[side], &o, &link, NULL) != PLR_OK) abort();
  return link;
}

static void handshake(plr_link *link) {
  plr_link *peer = make_link(1);
  uint8_t buf[512];
  size_t n;
  for (int i = 0; i < 4; i++) {
    plr_link_transmit(link, 0, buf, sizeof buf, &n);
    plr_link_receive(peer, 0, buf, n);
    plr_link_transmit(peer, 0, buf, sizeof buf, &n);
    plr_link_receive(link, 0, buf, n);
  }
  if (link->state != LINK_READY) abort();
  plr_link_destroy(peer);
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

/* One call; what must hold after any call is checked by the caller. */
static void call(plr_link *link, script *s, uint64_t *now) {
  uint8_t buf[PLR_MSG_HEADER + 2048], body[2048];
  plr_link_event event;
  size_t n = 0, len;
  const uint8_t op = next(s);
  switch (op % 8) {
  case 0:
  case 1:
    n = next_bytes(s, body, sizeof body);
    plr_link_receive(link, *now, body, n);
    break;
  case 2:
  case 3:
    len = next_bytes(s, body, sizeof body);
    len = plr__message_write(buf, op >> 3, body, len);
    plr_link_receive(link, *now, buf, len);
    break;
  case 4:
    plr_link_transmit(link, *now, buf, next(s) * (size_t)8, &n);
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
    plr_link_send(link, body, n, op >> 3 & 3);
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!ctx) setup();
  script s = {data, size};
  uint64_t before, after, now = 1;
  plr_context_memory(ctx, &before, NULL, NULL);
  plr_link *link = make_link(0);
  if (next(&s) & 1) handshake(link);
  while (s.left) {
    call(link, &s, &now);
    plr_link_stats stats = {0};
    plr_link_get_stats(link, &stats);
    plr_context_memory(ctx, &after, NULL, NULL);
    if (link->rx.used > WINDOW || link->tx.queued_cost > WINDOW) abort();
    if (stats.queued_bytes > WINDOW || after - before > 8 * WINDOW) abort();
    if ((link->state == LINK_CLOSED) != (plr_link_next_deadline_ns(link) == PLR_NEVER)) abort();
  }
  plr_link_destroy(link);
  plr_context_memory(ctx, &after, NULL, NULL);
  if (after != before) abort();
  return 0;
}
