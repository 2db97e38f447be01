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

/* Both ends learn of a mismatch, and both messages hold both values. */
static void test_mismatch(void **state) {
  (void)state;
  static const struct {
    change_fn change;
    const char *first, *second; /* what side 0 and side 1 say; NULL = the peer's bye */
  } cases[] = {
      {other_model, "model: ours 1111111111111111.., the peer's 9911111111111111..",
       "model: ours 9911111111111111.., the peer's 1111111111111111.."},
      {other_profile, "numeric profile: ours 2222222222222299.., the peer's 2222222222222222..",
       "numeric profile: ours 2222222222222222.., the peer's 2222222222222299.."},
      {other_key,
       "peer's key (ours = the one expected): ours abababababababab.., the peer's "
       "8139770ea87d175f..",
       NULL},
      {same_role, "initiator: ours 1, the peer's 1", "initiator: ours 1, the peer's 1"},
  };
  plr_context *ctx = context();
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    test_pair p;
    plr_link_event e;
    test_pair_init(&p, ctx);
    cases[i].change(&p);
    test_pair_start(&p);
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
  uint8_t message[2000];
  size_t n = plr__message_write(message, type, body, len);
  return plr_link_receive(p->side[0].link, p->now, message, n);
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
      {4, 2, PLR_HELLO_BYTES, PLR_ERR_VERSION},
      {6, 2, PLR_HELLO_BYTES, PLR_ERR_VERSION},
      {4, 2, 8, PLR_ERR_VERSION}, /* a later version may be shorter */
      {4, 1, 8, PLR_ERR_MALFORMED},
      {4, 1, PLR_HELLO_BYTES - 1, PLR_ERR_MALFORMED},
      {4, 1, 7, PLR_ERR_MALFORMED},
      {8, 2, PLR_HELLO_BYTES, PLR_ERR_MALFORMED},
      {11, 1, PLR_HELLO_BYTES, PLR_ERR_MALFORMED},
      {16, 2, PLR_HELLO_BYTES, PLR_ERR_MISMATCH}, /* no predictor in common */
      {28, 2, PLR_HELLO_BYTES, PLR_ERR_MISMATCH}, /* no entropy coder in common */
      {5, 9, PLR_HELLO_BYTES + 100, PLR_OK},      /* a later minor version appends */
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
    if (cases[i].at == 28) hello[28] = 2;
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
    uint8_t buf[512];
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
  uint8_t buf[512];
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
      {PLR_MSG_FRAME, 5, 0, PLR_ERR_SEQUENCE},
      {PLR_MSG_ACK, 8, 0, PLR_ERR_SEQUENCE},
      {PLR_MSG_PING, 8, 0, PLR_ERR_SEQUENCE},
      {PLR_MSG_FRAME, 5, 1, PLR_ERR_SEQUENCE},
      {PLR_MSG_PONG, 8, 1, PLR_ERR_SEQUENCE},
      {PLR_MSG_HELLO, 176, 1, PLR_ERR_SEQUENCE},
      {PLR_MSG_HELLO, 176, 2, PLR_ERR_SEQUENCE},
      {PLR_MSG_AUTH, 64, 2, PLR_ERR_SEQUENCE},
      {0, 8, 2, PLR_ERR_MALFORMED},
      {8, 8, 2, PLR_ERR_MALFORMED},
      {255, 8, 0, PLR_ERR_MALFORMED},
      {PLR_MSG_ACK, 7, 2, PLR_ERR_MALFORMED},
      {PLR_MSG_PING, 9, 2, PLR_ERR_MALFORMED},
      {PLR_MSG_FRAME, 0, 2, PLR_ERR_MALFORMED},
      {PLR_MSG_BYE, 3, 2, PLR_ERR_MALFORMED},
      {PLR_MSG_ACK, 8, 2, PLR_ERR_MALFORMED}, /* of nothing */
      {PLR_MSG_PING, 8, 2, PLR_OK},
      {PLR_MSG_PONG, 8, 2, PLR_OK},
      {PLR_MSG_BYE, 4, 0, PLR_OK},
      {PLR_MSG_BYE, 4, 2, PLR_OK},
  };
  plr_context *ctx = context();
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    test_pair p;
    uint8_t body[PLR_HELLO_BYTES] = {0};
    test_pair_init(&p, ctx);
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

/* Every single flipped bit of the handshake ends it; none makes a side ready that should not be. */
static void test_every_bit_flip(void **state) {
  (void)state;
  enum { HELLO = PLR_MSG_HEADER + PLR_HELLO_BYTES, LEN = HELLO + PLR_MSG_HEADER + PLR_AUTH_BYTES };
  plr_context *ctx = context();
  test_pair p;
  plr_link_event e;
  uint8_t buf[512], from[LEN];
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
    if (round % 3 == 2) { /* a frame header that fits, then junk: the checksum stops it */
      plr__store_le32(junk, (uint32_t)(test_random(&seed) % 2000) + 1);
      junk[4] = PLR_MSG_FRAME;
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
  s.options.window = 4096, s.options.initiator = 2;
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
      cmocka_unit_test(test_garbage),      cmocka_unit_test(test_options_and_calls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
