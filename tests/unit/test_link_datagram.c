/* Datagrams one by one: a handshake that gets lost, and what others may inject. The bad pipe is in test_link_pipe.c. */
#include "link_test.h"

static plr_context *context(void) {
  plr_context_options o = test_options(NULL);
  return test_context(&o);
}

static void datagrams(test_pair *p, plr_context *ctx, uint32_t seal) {
  test_pair_init(p, ctx);
  for (int i = 0; i < 2; i++) {
    p->side[i].options.datagram = 1200;
    p->side[i].options.seal = seal;
  }
}

static size_t take(test_pair *p, int i, uint8_t out[1200]) {
  size_t n = 0;
  assert_int_equal(plr_link_transmit(p->side[i].link, p->now, out, 1200, &n), PLR_OK);
  return n;
}

/* Moves one datagram of each side, if it has one. */
static size_t move(test_pair *p) {
  uint8_t buf[1200];
  size_t total = 0;
  for (int i = 0; i < 2; i++) {
    size_t n = take(p, i, buf);
    total += n;
    if (n) assert_true(plr_link_receive(p->side[1 - i].link, p->now, buf, n) <= PLR_OK);
  }
  return total;
}

static void ready(test_pair *p) {
  test_pair_start(p);
  while (move(p)) {
  }
  for (int i = 0; i < 2; i++) test_expect_event(p->side[i].link, PLR_LINK_READY, NULL);
}

static uint64_t rejected(const plr_link *link) {
  plr_link_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_link_get_stats(link, &s), PLR_OK);
  return s.rejected;
}

/* The first so many datagrams of the handshake are lost, in each pattern of eight: it comes about by its deadlines. */
static void test_lost_handshake(void **state) {
  (void)state;
  plr_context *ctx = context();
  for (uint32_t pattern = 0; pattern < 256; pattern++) {
    test_pair p;
    plr_link_event e;
    uint32_t count = 0, up[2] = {0, 0};
    datagrams(&p, ctx, pattern & 1);
    test_pair_start(&p);
    for (int round = 0; (!up[0] || !up[1]) && round < 200; round++) {
      for (int i = 0; i < 2; i++) {
        uint8_t buf[1200];
        for (size_t n; (n = take(&p, i, buf)) != 0; count++)
          if (count >= 8 || !(pattern >> count & 1))
            assert_int_equal(plr_link_receive(p.side[1 - i].link, p.now, buf, n), PLR_OK);
        while (plr_link_next_event(p.side[i].link, &e) == PLR_OK) up[i] += e.type == PLR_LINK_READY;
      }
      uint64_t due = PLR_MIN(plr_link_next_deadline_ns(p.side[0].link),
                             plr_link_next_deadline_ns(p.side[1].link));
      p.now = PLR_MAX(p.now + MS, due);
      for (int i = 0; i < 2; i++) plr_link_advance(p.side[i].link, p.now);
    }
    assert_int_equal(up[0], 1);
    assert_int_equal(up[1], 1);
    assert_true(p.now < 20000 * MS);
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

static void other_model(test_pair *p) {
  p->side[1].options.model.bytes[0] = 0x99;
}
static void other_seal(test_pair *p) {
  p->side[1].options.seal = 0;
}
static void other_key(test_pair *p) {
  memset(p->side[0].options.peer_key, 0xab, 32);
}

static void test_mismatch(void **state) {
  (void)state;
  static const struct {
    void (*change)(test_pair *p);
    const char *says;
  } cases[] = {
      {other_model, "model: ours 1111111111111111.., the peer's 9911111111111111.."},
      {other_seal, "seal: ours 1 (sealed), the peer's 0 (in clear)"},
      {other_key, "peer's key (ours = the one expected): ours abababababababab.., the peer's "
                  "8139770ea87d175f.."},
  };
  plr_context *ctx = context();
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    test_pair p;
    plr_link_event e;
    datagrams(&p, ctx, 1);
    cases[i].change(&p);
    test_pair_start(&p);
    for (int k = 0; k < 8; k++) {
      uint8_t buf[1200];
      for (int side = 0; side < 2; side++) {
        size_t n = take(&p, side, buf);
        if (n) plr_link_receive(p.side[1 - side].link, p.now, buf, n);
      }
    }
    test_expect_event(p.side[0].link, PLR_LINK_CLOSED, &e);
    assert_int_equal(e.status, PLR_ERR_MISMATCH);
    assert_string_equal(e.message, cases[i].says);
    test_expect_event(p.side[1].link, PLR_LINK_CLOSED, &e); /* by its own look, or by the bye */
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

/* Every bit of a datagram flipped, every length of it, and the same one again: dropped and counted, and the link goes
 * on. Of the handshake as well as of data. */
static void test_injected(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  plr_link_event e;
  uint8_t good[1200], bad[1200];
  datagrams(&p, ctx, 1);
  test_pair_start(&p);
  for (int phase = 0; phase < 2; phase++) { /* a hello; a frame */
    size_t n = take(&p, 1, good);
    assert_true(n > 60);
    plr_link *a = p.side[0].link;
    const uint64_t before = rejected(a);
    for (size_t bit = 0; bit < n * 8; bit++) {
      memcpy(bad, good, n);
      bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
      assert_int_equal(plr_link_receive(a, p.now, bad, n), PLR_OK);
    }
    for (size_t len = 1; len < n; len++)
      assert_int_equal(plr_link_receive(a, p.now, good, len), PLR_OK);
    assert_int_equal(rejected(a) - before, n * 8 + n - 1);
    test_expect_none(a);
    assert_int_equal(plr_link_receive(a, p.now, good, n), PLR_OK);
    if (phase == 1) {
      test_expect_event(a, PLR_LINK_FRAME, &e);
      assert_int_equal(plr_link_receive(a, p.now, good, n), PLR_OK);
      test_expect_none(a);
      continue;
    }
    while (move(&p)) {
    }
    for (int i = 0; i < 2; i++) test_expect_event(p.side[i].link, PLR_LINK_READY, NULL);
    uint8_t frame[100] = {1};
    assert_int_equal(plr_link_send(p.side[1].link, frame, sizeof frame, 0), PLR_OK);
  }
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* What was sent before a resume, handshake and data, comes late: it is of no use any more, and harms nobody. */
static void test_late_from_before(void **state) {
  (void)state;
  plr_context *ctx = context();
  for (uint32_t seal = 0; seal < 2; seal++) {
    test_pair p;
    plr_link_event e;
    uint8_t hello[1200], data[1200], frame[300] = {5}, nonce[32] = {9};
    datagrams(&p, ctx, seal);
    test_pair_start(&p);
    size_t hello_len = take(&p, 1, hello);
    assert_int_equal(plr_link_receive(p.side[0].link, p.now, hello, hello_len), PLR_OK);
    while (move(&p)) {
    }
    for (int i = 0; i < 2; i++) test_expect_event(p.side[i].link, PLR_LINK_READY, NULL);
    assert_int_equal(plr_link_send(p.side[1].link, frame, sizeof frame, 1), PLR_OK);
    size_t data_len = take(&p, 1, data);
    for (int i = 0; i < 2; i++) {
      nonce[1] = (uint8_t)i;
      assert_int_equal(plr_link_resume(p.side[i].link, p.now, nonce), PLR_OK);
    }
    plr_link *a = p.side[0].link;
    for (int round = 0; round < 6; round++) {
      assert_int_equal(plr_link_receive(a, p.now, hello, hello_len), PLR_OK);
      assert_int_equal(plr_link_receive(a, p.now, data, data_len), PLR_OK);
      move(&p);
      p.now += 500 * MS;
      for (int i = 0; i < 2; i++) assert_int_equal(plr_link_advance(p.side[i].link, p.now), PLR_OK);
    }
    while (move(&p)) {
    }
    test_expect_event(a, PLR_LINK_RESUMED, NULL);
    test_expect_event(a, PLR_LINK_FRAME, &e);
    assert_int_equal(e.len, sizeof frame);
    test_expect_none(a);
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

/* Beyond the replay window nothing is taken, and the peer's numbers may leap. */
static void test_replay_window(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  uint8_t ping[9] = {PLR_ITEM_PING}, buf[100];
  static const struct {
    uint64_t number;
    int taken;
  } cases[] = {{5, 1},     {5, 0},     {3, 1},     {3, 0},      {4100, 1},
               {4, 0},     {5, 0},     {6, 1},     {100000, 1}, {4100, 0},
               {99999, 1}, {95905, 1}, {95904, 0}, {100000, 0}, {PLR_DATAGRAM_LIMIT, 0}};
  datagrams(&p, ctx, 1);
  ready(&p);
  plr_link *a = p.side[0].link;
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    const uint64_t before = rejected(a);
    size_t n = plr__datagram_seal(p.side[1].link, cases[i].number, buf, ping, sizeof ping);
    assert_int_equal(plr_link_receive(a, p.now, buf, n), PLR_OK);
    if (rejected(a) - before != (uint64_t)!cases[i].taken) fail_msg("case %zu", i);
  }
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

static void test_bye(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  plr_link_event e;
  uint8_t forged[9] = {PLR_MSG_BYE, 1, 2, 3, 4};
  datagrams(&p, ctx, 1);
  ready(&p);
  uint8_t frame[50] = {0};
  assert_int_equal(plr_link_send(p.side[1].link, frame, sizeof frame, 0), PLR_OK);
  while (move(&p)) {
  }
  test_expect_event(p.side[0].link, PLR_LINK_FRAME, &e);
  plr__store_le32(forged + 5, plr__crc32c(0, forged, 5)); /* in clear, and too late for that */
  assert_int_equal(plr_link_receive(p.side[0].link, p.now, forged, sizeof forged), PLR_OK);
  test_expect_none(p.side[0].link);
  plr_link_close(p.side[1].link, PLR_ERR_IO);
  move(&p);
  test_expect_event(p.side[0].link, PLR_LINK_CLOSED, &e);
  assert_string_equal(e.message, "the peer ended the link: PLR_ERR_IO");
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* A full exchange both ways with the clock going on: after a while nothing is allocated any more. */
static void test_steady_state(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  plr_link_event e;
  uint8_t *frame = calloc(1, 60000);
  uint64_t before = 0, after;
  datagrams(&p, ctx, 1);
  ready(&p);
  for (int round = 0; round < 300; round++) {
    if (round == 100) plr_context_memory(ctx, NULL, NULL, &before);
    for (int i = 0; i < 2; i++)
      for (uint32_t k = 0; k < 4; k++)
        assert_int_equal(plr_link_send(p.side[i].link, frame, 60000u >> 3 * k, k), PLR_OK);
    for (int got = 0; got < 8;) {
      while (move(&p)) {
      }
      p.now += MS;
      for (int i = 0; i < 2; i++) {
        while (plr_link_next_event(p.side[i].link, &e) == PLR_OK) got += e.type == PLR_LINK_FRAME;
        assert_int_equal(plr_link_advance(p.side[i].link, p.now), PLR_OK);
      }
    }
  }
  plr_context_memory(ctx, NULL, NULL, &after);
  assert_int_equal(after, before);
  free(frame);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* Packets of 1000 bytes, `count` in a round of 50 ms that delivers `rate` bytes a second; limited: for want of more. */
static void pace_round(plr__pace *pace, uint64_t *now, uint32_t count, uint64_t rate,
                       uint32_t limited) {
  plr__packet packet[64];
  plr__rtt rtt = {.latest_ns = 50 * MS};
  assert_true(count <= PLR_COUNT_OF(packet));
  for (uint32_t i = 0; i < count; i++) {
    packet[i] = (plr__packet){.bytes = 1000};
    plr__pace_sent(pace, &packet[i], *now, 1200);
    packet[i].limited = limited;
  }
  *now += 50 * MS;
  for (uint32_t i = 0; i < count; i++) {
    *now += 1000 * UINT64_C(1000000000) / rate;
    plr__pace_acked(pace, &packet[i], &rtt, *now);
  }
}

static uint64_t pace_rate(const plr__pace *pace) {
  return PLR_MAX(pace->max_rate[0], pace->max_rate[1]);
}

/* What was measured stays while there is little to send, and is forgotten when the path gets slower. */
static void test_pace_keeps(void **state) {
  (void)state;
  plr__pace pace;
  uint64_t now = 1000 * MS;
  plr__pace_restart(&pace);
  for (int i = 0; i < 20; i++) pace_round(&pace, &now, 50, 1000000, 0);
  const uint64_t full = pace_rate(&pace);
  assert_true(full > 450000 && full < 1050000);
  for (int i = 0; i < 200; i++) pace_round(&pace, &now, 1, 1000000, 1);
  assert_int_equal(pace_rate(&pace), full);
  for (int i = 0; i < 20; i++) pace_round(&pace, &now, 50, 100000, 0);
  assert_true(pace_rate(&pace) < 110000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lost_handshake), cmocka_unit_test(test_mismatch),
      cmocka_unit_test(test_injected),       cmocka_unit_test(test_late_from_before),
      cmocka_unit_test(test_replay_window),  cmocka_unit_test(test_bye),
      cmocka_unit_test(test_steady_state),   cmocka_unit_test(test_pace_keeps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
