/* The handshake of a link, the first one and those after a lost stream, over streams and datagrams. A script says what
 * arrives: bytes of its own, messages with a right checksum, the peer's hello with some bytes changed, its signature
 * over what it would have seen, what arrived before; and when either side resumes. The peer is who it says it is: what
 * must not happen is that a link is ready for anyone else, that it takes memory before a frame has come, or that both
 * sides are ready and do not understand each other. */
#include "exchange/link_int.h"

#include <stdlib.h>
#include <string.h>

enum { MODE_CLEAR = 1, MODE_DATAGRAM = 2, MODE_PINNED = 4, MODE_MADE = 8 };
enum { MOST = 1400, KEPT = 8 };

typedef struct script {
  const uint8_t *p;
  size_t left;
} script;

typedef struct stage {
  plr_link *link, *peer;
  script s;
  uint64_t now, nonces;
  uint8_t hello[PLR_HELLO_MAX_BYTES]; /* the last that came from the peer, as it was changed */
  size_t hello_len;
  uint8_t kept[KEPT][MOST]; /* what arrived */
  size_t kept_len[KEPT];
  uint32_t keeps, sent;
} stage;

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

static plr_link *make_link(uint32_t side, uint32_t mode) {
  plr_link_options o;
  plr_link *link;
  plr_link_options_init(&o, sizeof o);
  o.initiator = side == 0;
  o.window = 65536;
  o.seal = !(mode & MODE_CLEAR);
  o.datagram = mode & MODE_DATAGRAM ? 600 : 0;
  o.keep_alive_ns = 1000000, o.timeout_ns = 1000000000;
  memset(o.nonce, (int)side + 7, sizeof o.nonce);
  if (mode & MODE_PINNED) plr_identity_public_key(identities[1 - side], o.peer_key);
  if (plr_link_create(ctx, identities[side], &o, &link, NULL) != PLR_OK) abort();
  return link;
}

static uint8_t next(script *s) {
  if (!s->left) return 0;
  s->left--;
  return *s->p++;
}

static size_t next_bytes(script *s, uint8_t *out, size_t most) {
  const size_t want = next(s) * (size_t)4 + 1, n = PLR_MIN(want, PLR_MIN(most, s->left));
  memcpy(out, s->p, n);
  s->p += n, s->left -= n;
  return n;
}

static void change(script *s, uint32_t times, uint8_t *data, size_t len) {
  for (; times > 0; times--) {
    const size_t at = next(s) + 256u * (next(s) & 3u);
    data[at % len] = next(s);
  }
}

static void arrive(stage *t, const uint8_t *data, size_t len) {
  const uint32_t at = t->keeps++ % KEPT;
  memcpy(t->kept[at], data, len);
  t->kept_len[at] = len;
  plr_link_receive(t->link, t->now, data, len);
}

/* A message of the handshake with a right checksum. */
static void arrive_message(stage *t, uint32_t type, const uint8_t *body, size_t len) {
  uint8_t out[MOST];
  size_t n = 0;
  if (t->link->dg) {
    out[0] = (uint8_t)type;
    memcpy(out + 1, body, len);
    plr__store_le32(out + 1 + len, plr__crc32c(0, out, 1 + len));
    n = len + 5;
  } else {
    n = plr__message_write(out, type, body, len);
  }
  arrive(t, out, n);
}

/* The signature of the peer, had it been given that hello of ours and sent the changed one of its own. */
static void sign(stage *t, uint8_t signature[PLR_AUTH_BYTES]) {
  uint8_t text[PLR_TRANSCRIPT_MAX_BYTES];
  const size_t len =
      plr__link_transcript(text, 0, t->link->our_hello, PLR_HELLO_BYTES, t->hello, t->hello_len);
  plr_identity_sign(identities[1], text, len, signature);
}

static void peer_hello(stage *t, uint32_t op) {
  uint8_t out[4 + PLR_HELLO_MAX_BYTES + PLR_AUTH_BYTES];
  memset(t->hello, 0, sizeof t->hello);
  memcpy(t->hello, t->peer->our_hello, PLR_HELLO_BYTES);
  t->hello_len = op & 1 ? 4u * next(&t->s) + 4 : PLR_HELLO_BYTES;
  change(&t->s, op >> 1 & 3, t->hello, t->hello_len);
  if (!t->link->dg) {
    arrive_message(t, PLR_MSG_HELLO, t->hello, t->hello_len);
    return;
  }
  const uint32_t with_auth = op >> 3 & 1;
  out[0] = (uint8_t)(2 * with_auth + (op >> 4 & 1));
  plr__store_le16(out + 1, (uint16_t)t->hello_len);
  memcpy(out + 3, t->hello, t->hello_len);
  if (with_auth) sign(t, out + 3 + t->hello_len);
  change(&t->s, op >> 3 == 3, out, 3 + t->hello_len + with_auth * PLR_AUTH_BYTES);
  arrive_message(t, PLR_MSG_HELLO, out, 3 + t->hello_len + with_auth * PLR_AUTH_BYTES);
}

static void peer_auth(stage *t, uint32_t op) {
  uint8_t signature[PLR_AUTH_BYTES];
  sign(t, signature);
  change(&t->s, op & 1, signature, sizeof signature);
  arrive_message(t, PLR_MSG_AUTH, signature, sizeof signature);
}

static void resume(stage *t, plr_link *link) {
  uint8_t nonce[32] = {0};
  plr__store_le64(nonce, ++t->nonces);
  nonce[9] = link == t->link;
  plr_link_resume(link, t->now, nonce);
}

static void exchange(stage *t, uint32_t rounds) {
  uint8_t buf[2048];
  size_t n;
  for (uint32_t i = 0; i < rounds; i++) {
    plr_link_transmit(t->link, t->now, buf, sizeof buf, &n);
    if (n) plr_link_receive(t->peer, t->now, buf, n);
    plr_link_transmit(t->peer, t->now, buf, sizeof buf, &n);
    if (n) plr_link_receive(t->link, t->now, buf, n);
  }
}

static void act(stage *t) {
  uint8_t body[1024];
  plr_link_event event;
  const uint32_t op = next(&t->s), more = op >> 3;
  size_t n;
  switch (op % 8) {
  case 0:
    n = next_bytes(&t->s, body, sizeof body);
    arrive(t, body, n);
    break;
  case 1:
    n = next_bytes(&t->s, body, sizeof body);
    arrive_message(t, more, body, n);
    break;
  case 2:
    peer_hello(t, more);
    break;
  case 3:
    peer_auth(t, more);
    break;
  case 4:
    if (more & 1) resume(t, t->link);
    if (more & 2) resume(t, t->peer);
    break;
  case 5:
    exchange(t, more & 7);
    break;
  case 6:
    t->now += (uint64_t)next(&t->s) << more;
    plr_link_advance(t->link, t->now);
    plr_link_advance(t->peer, t->now);
    if (more & 1)
      plr_link_send(more & 2 ? t->peer : t->link, "frame", 5, more >> 2 & 3), t->sent = 1;
    while (plr_link_next_event(t->link, &event) == PLR_OK) {
    }
    break;
  default:
    if (t->keeps) {
      const uint32_t at = more % PLR_MIN(t->keeps, (uint32_t)KEPT);
      plr_link_receive(t->link, t->now, t->kept[at], t->kept_len[at]);
    }
    break;
  }
}

/* Both are ready, for each other's last hello. */
static int agreed(const stage *t) {
  const plr_link *a = t->link, *b = t->peer;
  return a->state == LINK_READY && b->state == LINK_READY && a->peer_hello_len == PLR_HELLO_BYTES &&
         b->peer_hello_len == PLR_HELLO_BYTES &&
         memcmp(a->peer_hello, b->our_hello, PLR_HELLO_BYTES) == 0 &&
         memcmp(b->peer_hello, a->our_hello, PLR_HELLO_BYTES) == 0;
}

static void check(const stage *t, uint64_t memory) {
  uint8_t key[32];
  uint64_t now;
  plr_identity_public_key(identities[1], key);
  if (t->link->verified && memcmp(t->link->known.key, key, 32) != 0) abort();
  if (t->link->state == LINK_READY && !t->link->verified) abort();
  if ((t->link->state == LINK_CLOSED) != (plr_link_next_deadline_ns(t->link) == PLR_NEVER)) abort();
  plr_context_memory(ctx, &now, NULL, NULL);
  if (!t->sent && now != memory) abort();
  if (agreed(t) && (memcmp(t->link->tx_seal.key, t->peer->rx_seal.key, 32) != 0 ||
                    memcmp(t->link->rx_seal.nonce, t->peer->tx_seal.nonce, 16) != 0))
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!ctx) setup();
  static stage t;
  uint64_t before, memory, after;
  memset(&t, 0, sizeof t);
  t.s = (script){data, size};
  t.now = 1;
  const uint32_t mode = next(&t.s);
  plr_context_memory(ctx, &before, NULL, NULL);
  t.link = make_link(0, mode), t.peer = make_link(1, mode);
  plr_context_memory(ctx, &memory, NULL, NULL);
  memcpy(t.hello, t.peer->our_hello, PLR_HELLO_BYTES);
  t.hello_len = PLR_HELLO_BYTES;
  if (mode & MODE_MADE) {
    exchange(&t, 6);
    if (t.link->state != LINK_READY || t.peer->state != LINK_READY) abort();
  }
  while (t.s.left && t.link->state != LINK_CLOSED) {
    act(&t);
    check(&t, memory);
  }
  plr_link_destroy(t.peer);
  plr_link_destroy(t.link);
  plr_context_memory(ctx, &after, NULL, NULL);
  if (after != before) abort();
  return 0;
}
