/* Who may be at the other end: versions, hashes, keys, signatures, and everything that comes at the wrong time. */
#include "link_test.h"

static plr_context *context(void) {
  plr_context_options o = test_options(NULL);
  return test_context(&o);
}

static void test_ready(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  uint8_t key[32], want[32];
  test_pair_init(&p, ctx);
  plr_identity_public_key(p.side[1].identity, p.side[0].options.peer_key);
  test_pair_start(&p);
  plr_link_peer_key(p.side[0].link, key);
  memset(want, 0, 32);
  assert_memory_equal(key, want, 32);
  assert_int_equal(test_settle(&p), PLR_OK);
  for (int i = 0; i < 2; i++) {
    test_expect_event(p.side[i].link, PLR_LINK_READY, NULL);
    test_expect_none(p.side[i].link);
    plr_link_peer_key(p.side[i].link, key);
    plr_identity_public_key(p.side[1 - i].identity, want);
    assert_memory_equal(key, want, 32);
    plr_link_stats s = {.struct_size = sizeof s};
    assert_int_equal(plr_link_get_stats(p.side[i].link, &s), PLR_OK);
    assert_int_equal(s.bytes_sent, 2 * PLR_MSG_HEADER + PLR_HELLO_BYTES + PLR_AUTH_BYTES);
    assert_int_equal(s.bytes_received, s.bytes_sent);
  }
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

typedef void (*change_fn)(test_pair *p);
static void other_model(test_pair *p) {
  p->side[1].options.model.bytes[0] = 0x99;
}
static void other_profile(test_pair *p) {
  p->side[0].options.profile.bytes[7] = 0x99;
}
static void other_key(test_pair *p) {
  memset(p->side[0].options.peer_key, 0xab, 32);
}
static void same_role(test_pair *p) {
  p->side[1].options.initiator = 1;
}
static void other_seal(test_pair *p) {
  p->side[1].options.seal = 0;
}
static void other_way(test_pair *p) {
  p->side[1].link->ours.datagram = 1200; /* a datagram's hello that came over a stream */
  plr__hello_write(p->side[1].link->our_hello, &p->side[1].link->ours);
}

/* Both ends learn of a mismatch, and both messages hold both values. */
static void test_mismatch(void **state) {
  (void)state;
  static const struct {
    change_fn change;
    const char *first, *second; /* what side 0 and side 1 say; NULL = the peer's bye */
    int late;                   /* to be changed when the links are there */
  } cases[] = {
      {other_model, "model: ours 1111111111111111.., the peer's 9911111111111111..",
       "model: ours 9911111111111111.., the peer's 1111111111111111..", 0},
      {other_profile, "numeric profile: ours 2222222222222299.., the peer's 2222222222222222..",
       "numeric profile: ours 2222222222222222.., the peer's 2222222222222299..", 0},
      {other_key,
       "peer's key (ours = the one expected): ours abababababababab.., the peer's "
       "8139770ea87d175f..",
       NULL, 0},
      {same_role, "initiator: ours 1, the peer's 1", "initiator: ours 1, the peer's 1", 0},
      {other_seal, "seal: ours 1 (sealed), the peer's 0 (in clear)",
       "seal: ours 0 (in clear), the peer's 1 (sealed)", 0},
      {other_way, "datagram size (0 = a stream): ours 0, the peer's 1200",
       "datagram size (0 = a stream): ours 1200, the peer's 0", 1},
  };
  plr_context *ctx = context();
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    test_pair p;
    plr_link_event e;
    test_pair_init(&p, ctx);
    if (!cases[i].late) cases[i].change(&p);
    test_pair_start(&p);
    if (cases[i].late) cases[i].change(&p);
    assert_int_equal(test_settle(&p), PLR_ERR_MISMATCH);
    test_expect_event(p.side[0].link, PLR_LINK_CLOSED, &e);
    assert_int_equal(e.status, PLR_ERR_MISMATCH);
    assert_string_equal(e.message, cases[i].first);
    test_expect_none(p.side[0].link);
    test_expect_event(p.side[1].link, PLR_LINK_CLOSED, &e);
    assert_int_equal(e.status, cases[i].second ? PLR_ERR_MISMATCH : PLR_ERR_CLOSED);
    assert_string_equal(e.message, cases[i].second ? cases[i].second
                                                   : "the peer ended the link: PLR_ERR_MISMATCH");
    assert_int_equal(plr_link_send(p.side[0].link, "x", 1, 0), PLR_ERR_INVALID_STATE);
    assert_int_equal(plr_link_receive(p.side[0].link, 0, "x", 1), PLR_ERR_INVALID_STATE);
    assert_true(plr_link_next_deadline_ns(p.side[0].link) == PLR_NEVER);
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

/* A message of our own making to side 0. */
static plr_status give(test_pair *p, uint32_t type, const void *body, size_t len) {
  return test_give(p->side[0].link, p->now, type, body, len);
}

static void good_hello(test_pair *p, uint8_t out[PLR_HELLO_BYTES]) {
  memcpy(out, p->side[1].link->our_hello, PLR_HELLO_BYTES);
}

static void test_bad_hello(void **state) {
  (void)state;
  static const struct {
    uint32_t at, value;
    size_t len;
    plr_status status;
  } cases[] = {
      {0, 'Q', PLR_HELLO_BYTES, PLR_ERR_MALFORMED},
      {4, 3, PLR_HELLO_BYTES, PLR_ERR_VERSION},
      {6, 2, PLR_HELLO_BYTES, PLR_ERR_VERSION},
      {4, 1, 8, PLR_ERR_VERSION}, /* a later version may be shorter */
      {4, 2, 8, PLR_ERR_MALFORMED},
      {4, 2, PLR_HELLO_BYTES - 1, PLR_ERR_MALFORMED},
      {4, 2, 7, PLR_ERR_MALFORMED},
      {8, 2, PLR_HELLO_BYTES, PLR_ERR_MALFORMED},
      {9, 2, PLR_HELLO_BYTES, PLR_ERR_MALFORMED},
      {240, 1, PLR_HELLO_BYTES, PLR_ERR_MISMATCH}, /* means a session that is not ours */
      {272, 1, PLR_HELLO_BYTES, PLR_ERR_MISMATCH}, /* has a frame that was never sent */
      {304, 1, PLR_HELLO_BYTES, PLR_ERR_MISMATCH},
      {11, 1, PLR_HELLO_BYTES, PLR_ERR_MALFORMED},
      {16, 128, PLR_HELLO_BYTES, PLR_ERR_MISMATCH}, /* no predictor in common */
      {28, 128, PLR_HELLO_BYTES, PLR_ERR_MISMATCH}, /* no entropy coder in common */
      {5, 9, PLR_HELLO_BYTES + 100, PLR_OK},        /* a later minor version appends */
      {5, 9, PLR_HELLO_MAX_BYTES, PLR_OK},
      {5, 9, PLR_HELLO_MAX_BYTES + 1, PLR_ERR_MALFORMED},
  };
  plr_context *ctx = context();
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    test_pair p;
    uint8_t hello[PLR_HELLO_MAX_BYTES + 1] = {0};
    test_pair_init(&p, ctx);
    test_pair_start(&p);
    good_hello(&p, hello);
    hello[cases[i].at] = (uint8_t)cases[i].value;

    assert_int_equal(give(&p, PLR_MSG_HELLO, hello, cases[i].len), cases[i].status);
    plr_link_event e;
    if (cases[i].status != PLR_OK) {
      test_expect_event(p.side[0].link, PLR_LINK_CLOSED, &e);
      assert_int_equal(e.status, cases[i].status);
      assert_true(strlen(e.message) > 5);
    }
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

static void test_bad_signature(void **state) {
  (void)state;
  plr_context *ctx = context();
  uint8_t hello[PLR_HELLO_BYTES], auth[PLR_AUTH_BYTES], text[PLR_TRANSCRIPT_MAX_BYTES];
  for (int kind = 0; kind < 6; kind++) {
    test_pair p;
    test_pair_init(&p, ctx);
    test_pair_start(&p);
    good_hello(&p, hello);
    assert_int_equal(give(&p, PLR_MSG_HELLO, hello, sizeof hello), PLR_OK);
    const uint8_t *ours = p.side[0].link->our_hello;
    uint8_t other[PLR_HELLO_BYTES];
    memcpy(other, ours, sizeof other);
    if (kind == 3) other[144] ^= 1; /* a signature for another session's nonce */
    size_t n = plr__link_transcript(text, kind == 2, other, sizeof other, hello, sizeof hello);
    plr_identity *wrong = test_identity(ctx, 77);
    /* 1: by another key. 2: for the other role. */
    plr_identity_sign(kind == 1 ? wrong : p.side[1].identity, text, n, auth);
    if (kind == 4) auth[40] ^= 4;
    if (kind == 5) memset(auth, 0, sizeof auth);
    assert_int_equal(give(&p, PLR_MSG_AUTH, auth, sizeof auth),
                     kind == 0 ? PLR_OK : PLR_ERR_SIGNATURE);
    test_expect_event(p.side[0].link, kind == 0 ? PLR_LINK_READY : PLR_LINK_CLOSED, NULL);
    uint8_t key[32], zero[32] = {0};
    plr_link_peer_key(p.side[0].link, key);
    assert_int_equal(memcmp(key, zero, 32) == 0, kind != 0);
    plr_identity_destroy(wrong);
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

/* All that a peer sent in one session, sent again in another. */
static void test_replay(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p, q;
  uint8_t recorded[4096];
  size_t len = 0, n;
  test_pair_init(&p, ctx);
  test_pair_start(&p);
  for (int round = 0; round < 8; round++) {
    uint8_t buf[1024];
    assert_int_equal(plr_link_transmit(p.side[1].link, p.now, buf, sizeof buf, &n), PLR_OK);
    memcpy(recorded + len, buf, n);
    len += n;
    assert_int_equal(plr_link_receive(p.side[0].link, p.now, buf, n), PLR_OK);
    assert_int_equal(plr_link_transmit(p.side[0].link, p.now, buf, sizeof buf, &n), PLR_OK);
    assert_int_equal(plr_link_receive(p.side[1].link, p.now, buf, n), PLR_OK);
  }
  test_expect_event(p.side[0].link, PLR_LINK_READY, NULL);
  test_pair_init(&q, ctx);
  memset(q.side[0].options.nonce, 0x3c, 32); /* the fresh nonce is what saves us */
  test_pair_start(&q);
  assert_int_equal(plr_link_receive(q.side[0].link, q.now, recorded, len), PLR_ERR_SIGNATURE);
  test_expect_event(q.side[0].link, PLR_LINK_CLOSED, NULL);
  test_pair_end(&p);
  test_pair_end(&q);
  plr_context_destroy(ctx);
}

/* A mirror: our own bytes come back. */
static void test_reflection(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  uint8_t buf[1024];
  size_t n;
  test_pair_init(&p, ctx);
  test_pair_start(&p);
  assert_int_equal(plr_link_transmit(p.side[0].link, p.now, buf, sizeof buf, &n), PLR_OK);
  assert_int_equal(plr_link_receive(p.side[0].link, p.now, buf, n), PLR_ERR_SEQUENCE);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

static void test_out_of_order(void **state) {
  (void)state;
  static const struct {
    uint32_t type;
    size_t len;
    int after; /* 0 nothing, 1 hello, 2 ready */
    plr_status status;
  } cases[] = {
      {PLR_MSG_AUTH, 64, 0, PLR_ERR_SEQUENCE},
      {PLR_MSG_DATA, 9, 0, PLR_ERR_SEQUENCE},
      {PLR_MSG_DATA, 9, 1, PLR_ERR_SEQUENCE},
      {PLR_MSG_HELLO, 336, 1, PLR_ERR_SEQUENCE},
      {PLR_MSG_HELLO, 336, 2, PLR_ERR_SEQUENCE},
      {PLR_MSG_AUTH, 64, 2, PLR_ERR_SEQUENCE},
      {PLR_MSG_SEALED, 30, 2, PLR_ERR_MALFORMED}, /* agreed to be in clear */
      {0, 8, 2, PLR_ERR_MALFORMED},
      {6, 8, 2, PLR_ERR_MALFORMED},
      {255, 8, 0, PLR_ERR_MALFORMED},
      {PLR_MSG_DATA, 0, 2, PLR_ERR_MALFORMED},
      {PLR_MSG_DATA, PLR_LINK_PAYLOAD + 1, 2, PLR_ERR_MALFORMED},
      {PLR_MSG_BYE, 3, 2, PLR_ERR_MALFORMED},
      {PLR_MSG_BYE, 4, 0, PLR_OK},
      {PLR_MSG_BYE, 4, 2, PLR_OK},
  };
  plr_context *ctx = context();
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    test_pair p;
    static uint8_t body[PLR_LINK_PAYLOAD + 1];
    memset(body, 0, sizeof body);
    test_pair_init(&p, ctx);
    test_unsealed(&p);
    if (cases[i].after == 2) {
      test_pair_ready(&p);
    } else {
      test_pair_start(&p);
      if (cases[i].after == 1) {
        uint8_t hello[PLR_HELLO_BYTES];
        good_hello(&p, hello);
        assert_int_equal(give(&p, PLR_MSG_HELLO, hello, sizeof hello), PLR_OK);
      }
    }
    if (cases[i].type == PLR_MSG_HELLO) good_hello(&p, body);
    plr_status st = give(&p, cases[i].type, body, cases[i].len);
    if (st != cases[i].status)
      fail_msg("case %zu: %s, expected %s", i, plr_status_name(st),
               plr_status_name(cases[i].status));
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

/* Items of a peer that is verified and sealed, and yet wrong. */
static void test_bad_items(void **state) {
  (void)state;
  static const struct {
    uint8_t bytes[24];
    size_t len;
    plr_status status;
  } cases[] = {
      {{0}, 1, PLR_ERR_MALFORMED},
      {{8, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 10, PLR_ERR_MALFORMED},
      {{PLR_ITEM_PING, 1, 2, 3, 4, 5, 6, 7}, 8, PLR_ERR_MALFORMED},
      {{PLR_ITEM_PING, 1, 2, 3, 4, 5, 6, 7, 8}, 9, PLR_OK},
      {{PLR_ITEM_PONG, 1, 2, 3, 4, 5, 6, 7, 8}, 9, PLR_OK},
      {{PLR_ITEM_PING, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 10, PLR_ERR_MALFORMED},
      {{PLR_ITEM_TAKEN, 0, 1}, 10, PLR_ERR_MALFORMED}, /* of nothing sent */
      {{PLR_ITEM_TAKEN, 0, 0}, 10, PLR_OK},
      {{PLR_ITEM_TAKEN, 4, 0}, 10, PLR_ERR_MALFORMED},
      {{PLR_ITEM_RECEIVED, 255, 255}, 13, PLR_ERR_MALFORMED}, /* more than was sent */
      {{PLR_ITEM_HISTORY, 0}, 24, PLR_ERR_MALFORMED},
      {{PLR_ITEM_FRAGMENT, 4, 1, 0, 1}, 21, PLR_ERR_MALFORMED}, /* priority 4 */
      {{PLR_ITEM_FRAGMENT, 0, 2, 0, 2}, 21, PLR_ERR_MALFORMED}, /* longer than what is left */
      {{PLR_ITEM_FRAGMENT, 0, 1, 0, 1}, 21, PLR_OK},
      {{PLR_ITEM_BYE, 1, 2, 3}, 4, PLR_ERR_MALFORMED},
      {{PLR_ITEM_BYE, 1, 2, 3, 4}, 5, PLR_OK},
  };
  plr_context *ctx = context();
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    test_pair p;
    uint8_t message[PLR_LINK_MESSAGE_MAX];
    test_pair_init(&p, ctx);
    test_pair_ready(&p);
    size_t n = plr__link_seal(p.side[1].link, message, cases[i].bytes, cases[i].len);
    plr_status st = plr_link_receive(p.side[0].link, p.now, message, n);
    if (st != cases[i].status)
      fail_msg("case %zu: %s, expected %s", i, plr_status_name(st),
               plr_status_name(cases[i].status));
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

/* Sealed messages are altered, repeated, swapped or left out: none of it opens. */
static void test_sealed(void **state) {
  (void)state;
  plr_context *ctx = context();
  for (int kind = 0; kind < 5; kind++) {
    test_pair p;
    plr_link_event e;
    uint8_t bytes[3][600];
    size_t len[3];
    test_pair_init(&p, ctx);
    test_pair_ready(&p);
    for (int i = 0; i < 3; i++) {
      uint8_t frame[300];
      memset(frame, 'a' + i, sizeof frame);
      assert_int_equal(plr_link_send(p.side[0].link, frame, sizeof frame, 1), PLR_OK);
      assert_int_equal(plr_link_transmit(p.side[0].link, p.now, bytes[i], sizeof bytes[i], &len[i]),
                       PLR_OK);
      for (size_t k = 0; k + 8 <= len[i]; k++)
        assert_memory_not_equal(bytes[i] + k, frame, 8); /* nothing in clear */
    }
    static const int order[5][3] = {{0, 1, 2}, {0, 0, 1}, {1, 0, 2}, {0, 2, 1}, {0, 1, 2}};
    if (kind == 4) bytes[1][len[1] / 2] ^= 1;
    plr_status st = PLR_OK;
    for (int i = 0; i < 3 && st == PLR_OK; i++)
      st = plr_link_receive(p.side[1].link, p.now, bytes[order[kind][i]], len[order[kind][i]]);
    assert_int_equal(st, kind == 0 ? PLR_OK : PLR_ERR_CHECKSUM);
    for (int i = 0; i < (kind == 0 ? 3 : kind == 2 ? 0 : 1); i++) {
      test_expect_event(p.side[1].link, PLR_LINK_FRAME, &e);
      assert_int_equal(e.data[299], 'a' + i);
    }
    if (kind) test_expect_event(p.side[1].link, PLR_LINK_CLOSED, &e);
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

/* Both ends change the key after so many messages, and after that nothing of the old key opens. */
static void test_rekey(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  plr_link_event e;
  uint8_t key[2][32];
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  plr_link *a = p.side[0].link, *b = p.side[1].link;
  memcpy(key[0], &a->tx_seal.stream, 32);
  for (uint32_t i = 0; i <= PLR_LINK_REKEY; i++) {
    uint8_t buf[64];
    size_t n;
    assert_int_equal(plr_link_send(a, &i, sizeof i, 1), PLR_OK);
    assert_int_equal(plr_link_transmit(a, p.now, buf, sizeof buf, &n), PLR_OK);
    assert_int_equal(plr_link_receive(b, p.now, buf, n), PLR_OK);
    while (n) { /* acknowledgements */
      assert_int_equal(plr_link_transmit(b, p.now, buf, sizeof buf, &n), PLR_OK);
      assert_int_equal(plr_link_receive(a, p.now, buf, n), PLR_OK);
    }
    test_expect_event(b, PLR_LINK_FRAME, &e);
    assert_memory_equal(e.data, &i, sizeof i);
  }
  memcpy(key[1], &a->tx_seal.stream, 32);
  assert_memory_not_equal(key[0], key[1], 32);
  assert_memory_equal(&a->tx_seal.stream, &b->rx_seal.stream, sizeof a->tx_seal.stream);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* A key of low order gives everybody the same secret. */
static void test_low_order_key(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  uint8_t hello[PLR_HELLO_BYTES];
  plr_link_event e;
  test_pair_init(&p, ctx);
  test_pair_start(&p);
  good_hello(&p, hello);
  memset(hello + 176, 0, 32);
  assert_int_equal(give(&p, PLR_MSG_HELLO, hello, sizeof hello), PLR_ERR_MALFORMED);
  test_expect_event(p.side[0].link, PLR_LINK_CLOSED, &e);
  assert_string_equal(e.message, "the exchange key is a point of low order");
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* Every single flipped bit of the handshake ends it; none makes a side ready that should not be. */
static void test_every_bit_flip(void **state) {
  (void)state;
  enum { HELLO = PLR_MSG_HEADER + PLR_HELLO_BYTES, LEN = HELLO + PLR_MSG_HEADER + PLR_AUTH_BYTES };
  plr_context *ctx = context();
  test_pair p;
  plr_link_event e;
  uint8_t buf[1024], from[LEN];
  size_t n, len = 0;
  test_pair_init(&p, ctx);
  test_pair_start(&p);
  assert_int_equal(plr_link_transmit(p.side[0].link, p.now, buf, sizeof buf, &n), PLR_OK);
  assert_int_equal(plr_link_receive(p.side[1].link, p.now, buf, n), PLR_OK);
  do {
    plr_link_transmit(p.side[1].link, p.now, from + len, sizeof from - len, &n);
    len += n;
  } while (n);
  assert_int_equal(len, LEN);
  for (size_t bit = 0; bit <= LEN * 8; bit++) { /* the last round flips nothing */
    plr_link_destroy(p.side[0].link);
    test_side_start(&p.side[0]); /* the same hello: the same signature is right */
    plr_link *link = p.side[0].link;
    if (bit < LEN * 8) from[bit / 8] ^= (uint8_t)(1u << bit % 8);
    plr_status st = plr_link_receive(link, p.now, from, len);
    if (bit < LEN * 8) from[bit / 8] ^= (uint8_t)(1u << bit % 8);
    if (bit == LEN * 8) {
      assert_int_equal(st, PLR_OK);
      test_expect_event(link, PLR_LINK_READY, &e);
      continue;
    }
    /* A hello made longer waits for bytes that never come: the deadline is for that. */
    if (st == PLR_OK) {
      assert_true(bit < 32);
      assert_int_equal(plr_link_advance(link, p.now + 20000 * MS), PLR_ERR_CLOSED);
    }
    test_expect_event(link, PLR_LINK_CLOSED, &e);
  }
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

static void test_garbage(void **state) {
  (void)state;
  plr_context *ctx = context();
  uint64_t seed = 1;
  for (int round = 0; round < 300; round++) {
    test_pair p;
    uint8_t junk[3000];
    test_pair_init(&p, ctx);
    if (round % 3)
      test_pair_ready(&p);
    else
      test_pair_start(&p);
    for (size_t i = 0; i < sizeof junk; i++) junk[i] = (uint8_t)test_random(&seed);
    if (round % 3 == 2) { /* a message header that fits, then junk: the seal stops it */
      plr__store_le32(junk, (uint32_t)(test_random(&seed) % 2000) + 18);
      junk[4] = PLR_MSG_SEALED;
    }
    plr_status st = plr_link_receive(p.side[0].link, p.now, junk, sizeof junk);
    assert_true(st < PLR_OK);
    test_expect_event(p.side[0].link, PLR_LINK_CLOSED, NULL);
    test_expect_none(p.side[0].link);
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

static void test_options_and_calls(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_side s;
  plr_link *link = (plr_link *)1;
  plr_error err = {0};
  test_side_init(&s, ctx, 1, 1);
  s.options.window = 100;
  assert_int_equal(plr_link_create(ctx, s.identity, &s.options, &link, &err),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_null(link);
  assert_string_equal(err.where, "link.window");
  static const uint32_t sizes[] = {1, 511, 65508, UINT32_MAX};
  s.options.window = 4096;
  for (size_t i = 0; i < PLR_COUNT_OF(sizes); i++) {
    s.options.datagram = sizes[i];
    assert_int_equal(plr_link_create(ctx, s.identity, &s.options, &link, &err),
                     PLR_ERR_INVALID_ARGUMENT);
    assert_string_equal(err.where, "link.datagram");
  }
  s.options.datagram = 0, s.options.seal = 2;
  assert_int_equal(plr_link_create(ctx, s.identity, &s.options, &link, &err),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_string_equal(err.where, "link.seal");
  s.options.seal = 1, s.options.initiator = 2;
  assert_int_equal(plr_link_create(ctx, s.identity, &s.options, &link, &err),
                   PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_link_create(ctx, NULL, &s.options, &link, &err), PLR_ERR_INVALID_ARGUMENT);
  plr_link_destroy(NULL);
  plr_link_close(NULL, PLR_OK);
  plr_identity_destroy(s.identity);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ready),        cmocka_unit_test(test_mismatch),
      cmocka_unit_test(test_bad_hello),    cmocka_unit_test(test_bad_signature),
      cmocka_unit_test(test_replay),       cmocka_unit_test(test_reflection),
      cmocka_unit_test(test_out_of_order), cmocka_unit_test(test_every_bit_flip),
      cmocka_unit_test(test_bad_items),    cmocka_unit_test(test_sealed),
      cmocka_unit_test(test_rekey),        cmocka_unit_test(test_low_order_key),
      cmocka_unit_test(test_garbage),      cmocka_unit_test(test_options_and_calls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
