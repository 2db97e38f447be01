/* Frames over a link: order, credit, time, memory. */
#include "link_test.h"

static plr_context *context(test_allocator *a) {
  plr_context_options o = test_options(a);
  return test_context(&o);
}

static void set_windows(test_pair *p, uint64_t first, uint64_t second) {
  p->side[0].options.window = first;
  p->side[1].options.window = second;
}

/* ---- twenty thousand frames -------------------------------------------------------------------- */

/* What one direction has sent and got, and a frame refused with AGAIN. */
typedef struct flow {
  uint32_t sent[4], got[4], total_sent, total_got;
  uint8_t *waiting;
  size_t waiting_len;
  uint32_t waiting_priority;
  int blocked;
} flow;

/* Frame: priority, number within the priority, then bytes that follow from both. */
static size_t make_frame(uint8_t *out, uint64_t *seed, uint32_t priority, uint32_t number) {
  uint64_t r = test_random(seed);
  size_t len = 5 + (r % 50 == 0 ? r >> 8 & 0x3fff : r >> 8 & 0x1ff);
  out[0] = (uint8_t)priority;
  plr__store_le32(out + 1, number);
  for (size_t i = 5; i < len; i++) out[i] = (uint8_t)(number * 31 + i * 7 + priority);
  return len;
}

static void check_frame(flow *f, const uint8_t *data, size_t len) {
  assert_true(len >= 5 && data[0] < 4);
  uint32_t number = plr__load_le32(data + 1);
  assert_int_equal(number,
                   f->got[data[0]]); /* in order within its priority, none lost or doubled */
  for (size_t i = 5; i < len; i++)
    assert_int_equal(data[i], (uint8_t)(number * 31 + i * 7 + data[0]));
  f->got[data[0]]++;
  f->total_got++;
}

static void send_some(test_pair *p, int i, flow *f, uint32_t frames) {
  while (!f->blocked && (f->waiting_len || f->total_sent < frames)) {
    if (!f->waiting_len) {
      f->waiting_priority = (uint32_t)(test_random(&p->seed) % 4);
      f->waiting_len =
          make_frame(f->waiting, &p->seed, f->waiting_priority, f->sent[f->waiting_priority]);
    }
    plr_status st = plr_link_send(p->side[i].link, f->waiting, f->waiting_len, f->waiting_priority);
    f->blocked = st == PLR_ERR_AGAIN;
    if (f->blocked) return;
    assert_int_equal(st, PLR_OK);
    f->sent[f->waiting_priority]++;
    f->total_sent++;
    f->waiting_len = 0;
    if (test_random(&p->seed) % 8 == 0) return;
  }
}

static void take_events(test_pair *p, int i, flow *in, flow *out) {
  plr_link_event e;
  int most = (int)(test_random(&p->seed) % 12); /* a host that does not always keep up */
  while (most-- > 0 && plr_link_next_event(p->side[i].link, &e) == PLR_OK) {
    if (e.type == PLR_LINK_FRAME)
      check_frame(in, e.data, e.len);
    else if (e.type == PLR_LINK_WRITABLE)
      out->blocked = 0;
    else
      assert_int_equal(e.type, PLR_LINK_READY);
  }
}

/* Seen from outside: cost of what has left one side, whole or in part, and was not yet taken by the other. */
static void check_credit(test_pair *p) {
  for (int i = 0; i < 2; i++) {
    plr_link *from = p->side[i].link, *to = p->side[1 - i].link;
    assert_true(from->tx.unacked <= p->side[1 - i].options.window);
    assert_true(to->rx.used <= from->tx.unacked);
    assert_true(from->tx.queued_cost <= p->side[i].options.window);
    plr_link_stats s = {.struct_size = sizeof s};
    assert_int_equal(plr_link_get_stats(from, &s), PLR_OK);
    assert_true(s.queued_bytes <= p->side[i].options.window + from->tx.unacked);
  }
}

static void run_flow(test_pair *p, flow f[2], uint32_t frames) {
  for (uint64_t round = 0; f[0].total_got < frames || f[1].total_got < frames; round++) {
    assert_true(round < 4000000);
    for (int i = 0; i < 2; i++) {
      send_some(p, i, &f[i], frames);
      test_pump_out(p, i, 5000);
      assert_int_equal(test_pump_in(p, i, 3000), PLR_OK);
      take_events(p, i, &f[1 - i], &f[i]);
      assert_int_equal(plr_link_advance(p->side[i].link, p->now), PLR_OK);
    }
    check_credit(p);
    p->now += MS / 10;
  }
}

static void test_twenty_thousand_frames(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  flow f[2] = {{.waiting = malloc(20000)}, {.waiting = malloc(20000)}};
  test_pair_init(&p, ctx);
  set_windows(&p, 40000, 24000);
  test_pair_start(&p);
  uint64_t before, peak;
  plr_context_memory(ctx, &before, NULL, NULL);
  run_flow(&p, f, 10000);
  plr_context_memory(ctx, NULL, &peak, NULL);
  assert_true(peak - before < 8 * (40000 + 24000));
  for (int i = 0; i < 2; i++) {
    plr_link_stats s = {.struct_size = sizeof s};
    assert_int_equal(plr_link_get_stats(p.side[i].link, &s), PLR_OK);
    assert_int_equal(s.frames_sent, 10000);
    assert_int_equal(s.frames_received, 10000);
    assert_int_equal(s.queued_bytes, 0);
    free(f[i].waiting);
  }
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* A round of frames of the sizes of a training step, both ways. one_way: side `one_way` first sends all its frames,
 * so that the other holds its own and them at once, which is the most there can be. */
static void training_round(test_pair *p, const uint8_t *frame, int one_way) {
  static const size_t sizes[] = {588, 4692, 4692, 300, 96, 4692, 196692};
  plr_link_event e;
  for (int i = 0; i < 2; i++)
    for (size_t k = 0; k < PLR_COUNT_OF(sizes); k++)
      assert_int_equal(plr_link_send(p->side[i].link, frame, sizes[k], k % 4), PLR_OK);
  while (one_way >= 0 && test_pump_out(p, one_way, 5000)) {
    while (p->pipe[one_way].len) assert_int_equal(test_pump_in(p, one_way, 5000), PLR_OK);
  }
  assert_int_equal(test_settle(p), PLR_OK);
  for (int i = 0; i < 2; i++)
    for (size_t k = 0; k < PLR_COUNT_OF(sizes); k++)
      test_expect_event(p->side[i].link, PLR_LINK_FRAME, &e);
  p->now += 30 * MS; /* what was taken is acknowledged, and let go */
  for (int i = 0; i < 2; i++) assert_int_equal(plr_link_advance(p->side[i].link, p->now), PLR_OK);
  assert_int_equal(test_settle(p), PLR_OK);
}

static void test_steady_state_allocates_nothing(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  uint8_t *frame = calloc(1, 200000);
  uint64_t before, after;
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  training_round(&p, frame, 0);
  training_round(&p, frame, 1);
  plr_context_memory(ctx, NULL, NULL, &before);
  for (int round = 0; round < 60; round++) training_round(&p, frame, round % 3 - 1);
  plr_context_memory(ctx, NULL, NULL, &after);
  assert_int_equal(before, after);
  free(frame);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* ---- order ------------------------------------------------------------------------------------- */

static void test_priorities(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  test_pair_init(&p, ctx);
  test_pair_start(&p);
  /* Before the handshake, so that all wait together. */
  static const char *const frames[] = {"3a", "1a", "2a", "0a", "1b", "0b", "3b", "2b"};
  for (size_t i = 0; i < 8; i++)
    assert_int_equal(plr_link_send(p.side[0].link, frames[i], 2, (uint32_t)(frames[i][0] - '0')),
                     PLR_OK);
  assert_int_equal(plr_link_send(p.side[0].link, "x", 1, 4), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_link_send(p.side[0].link, "", 0, 0), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(test_settle(&p), PLR_OK);
  test_expect_event(p.side[1].link, PLR_LINK_READY, NULL);
  static const char *const order[] = {"0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"};
  for (size_t i = 0; i < 8; i++) {
    test_expect_event(p.side[1].link, PLR_LINK_FRAME, &e);
    assert_int_equal(e.len, 2);
    assert_memory_equal(e.data, order[i], 2);
  }
  test_expect_none(p.side[1].link);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* A frame larger than any buffer goes byte by byte; an urgent one overtakes the rest of it. */
static void test_urgent_overtakes(void **state) {
  (void)state;
  enum { LEN = 300000 };
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  uint8_t *frame = malloc(LEN), byte;
  for (size_t i = 0; i < LEN; i++) frame[i] = (uint8_t)(i * i >> 3);
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  assert_int_equal(plr_link_send(p.side[0].link, frame, LEN, 3), PLR_OK);
  size_t sent = 0, n = 1;
  while (n) {
    assert_int_equal(plr_link_transmit(p.side[0].link, p.now, &byte, 1, &n), PLR_OK);
    if (n) assert_int_equal(plr_link_receive(p.side[1].link, p.now, &byte, 1), PLR_OK);
    if (sent++ == 1000) assert_int_equal(plr_link_send(p.side[0].link, "urgent", 6, 0), PLR_OK);
    if (sent == 5000) { /* one message later it is here */
      test_expect_event(p.side[1].link, PLR_LINK_FRAME, &e);
      assert_int_equal(e.len, 6);
      assert_memory_equal(e.data, "urgent", 6);
    }
  }
  test_expect_event(p.side[1].link, PLR_LINK_FRAME, &e);
  assert_int_equal(e.len, LEN);
  assert_memory_equal(e.data, frame, LEN);
  free(frame);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* A frame that came may be sent on as it lies there, over the same link too. */
static void test_echo(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  uint8_t frame[700], want[700];
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  for (int round = 0; round < 20; round++) {
    memset(frame, round, sizeof frame);
    memset(want, round, sizeof want);
    assert_int_equal(plr_link_send(p.side[0].link, frame, sizeof frame, 1), PLR_OK);
    assert_int_equal(test_settle(&p), PLR_OK);
    test_expect_event(p.side[1].link, PLR_LINK_FRAME, &e);
    assert_int_equal(plr_link_send(p.side[1].link, e.data, e.len, 1), PLR_OK);
    assert_int_equal(test_settle(&p), PLR_OK);
    test_expect_event(p.side[0].link, PLR_LINK_FRAME, &e);
    assert_int_equal(e.len, sizeof want);
    assert_memory_equal(e.data, want, sizeof want);
  }
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* ---- credit ------------------------------------------------------------------------------------ */

static void test_credit(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  uint8_t frame[1000] = {0};
  test_pair_init(&p, ctx);
  set_windows(&p, 100000, 1256 * 4);
  test_pair_ready(&p);
  for (int i = 0; i < 10; i++)
    assert_int_equal(plr_link_send(p.side[0].link, frame, sizeof frame, 1), PLR_OK);
  assert_int_equal(test_settle(&p), PLR_OK);
  plr_link_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_link_get_stats(p.side[0].link, &s), PLR_OK);
  assert_int_equal(s.frames_sent, 4); /* the window, to the byte */
  assert_int_equal(s.queued_bytes, 6000);
  /* A quarter of the window is acknowledged at once. */
  test_expect_event(p.side[1].link, PLR_LINK_FRAME, &e);
  assert_int_equal(test_settle(&p), PLR_OK);
  assert_int_equal(plr_link_get_stats(p.side[0].link, &s), PLR_OK);
  assert_int_equal(s.frames_sent, 5);
  /* Less than that waits for the deadline. */
  uint8_t small = 1;
  while (plr_link_next_event(p.side[1].link, &e) == PLR_OK) test_settle(&p);
  assert_int_equal(plr_link_advance(p.side[1].link, p.now += 30 * MS), PLR_OK);
  test_settle(&p);
  assert_int_equal(p.side[0].link->tx.unacked, 0);
  assert_int_equal(plr_link_send(p.side[0].link, &small, 1, 0), PLR_OK);
  test_settle(&p);
  test_expect_event(p.side[1].link, PLR_LINK_FRAME, &e);
  test_settle(&p);
  assert_int_equal(p.side[0].link->tx.unacked, 257);
  assert_true(plr_link_next_deadline_ns(p.side[1].link) == p.now + 25 * MS);
  assert_int_equal(plr_link_advance(p.side[1].link, p.now += 25 * MS), PLR_OK);
  test_settle(&p);
  assert_int_equal(p.side[0].link->tx.unacked, 0);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

static void test_again_and_writable(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  uint8_t frame[4096] = {0};
  test_pair_init(&p, ctx);
  set_windows(&p, 5000, 5000);
  test_pair_ready(&p);
  plr_link *a = p.side[0].link;
  assert_int_equal(plr_link_send(a, frame, 4096, 0), PLR_OK);
  assert_int_equal(plr_link_send(a, frame, 1000, 0), PLR_ERR_AGAIN);
  assert_int_equal(plr_link_send(a, frame, 300, 0), PLR_OK); /* 4352 + 556 still fit */
  assert_int_equal(plr_link_send(a, frame, 3000, 0), PLR_ERR_AGAIN);
  test_expect_none(a);
  test_settle(&p);
  test_expect_event(a, PLR_LINK_WRITABLE, NULL);
  test_expect_none(a);
  assert_int_equal(plr_link_send(a, frame, 3000, 0), PLR_OK);
  /* More than a window can never go. */
  assert_int_equal(plr_link_send(a, frame, 5000 - 255, 0), PLR_ERR_LIMIT);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* A frame queued before the peer's limits were known, and larger than they are. */
static void test_peer_takes_less(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  uint8_t frame[6000] = {0};
  test_pair_init(&p, ctx);
  set_windows(&p, 100000, 4096);
  test_pair_start(&p);
  assert_int_equal(plr_link_send(p.side[0].link, frame, sizeof frame, 0), PLR_OK);
  test_settle(&p);
  test_expect_event(p.side[0].link, PLR_LINK_READY, NULL);
  test_expect_event(p.side[0].link, PLR_LINK_CLOSED, &e);
  assert_int_equal(e.status, PLR_ERR_LIMIT);
  test_expect_event(p.side[1].link, PLR_LINK_READY, NULL);
  test_expect_event(p.side[1].link, PLR_LINK_CLOSED, &e);
  assert_string_equal(e.message, "the peer ended the link: PLR_ERR_LIMIT");
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* ---- a peer that does not keep the rules ------------------------------------------------------- */

static void test_hostile_lengths(void **state) {
  (void)state;
  static const struct {
    uint32_t total, at;
    uint16_t len;
    uint64_t number;
    plr_status status;
  } cases[] = {
      {10001, 0, 10, 0, PLR_ERR_LIMIT},
      {0x7fffffffu, 0, 10, 0, PLR_ERR_LIMIT},
      {UINT32_MAX, 0, 10, 0, PLR_ERR_LIMIT},
      {9800, 0, 10, 0, PLR_ERR_LIMIT},
      {0, 0, 10, 0, PLR_ERR_MALFORMED},
      {9, 0, 10, 0, PLR_ERR_MALFORMED},
      {10, 0, 0, 0, PLR_ERR_MALFORMED},
      {100, 95, 10, 0, PLR_ERR_MALFORMED},
      {100, UINT32_MAX, 10, 0, PLR_ERR_MALFORMED},
      {100, 1, 10, 0, PLR_ERR_SEQUENCE},
      {100, 0, 10, 1, PLR_ERR_SEQUENCE},
      {100, 0, 10, UINT64_MAX, PLR_ERR_SEQUENCE},
  };
  plr_context_options o = test_options(NULL);
  o.max_frame = 10000;
  plr_context *ctx = test_context(&o);
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++) {
    test_pair p;
    plr_link_event e;
    uint8_t payload[64] = {0};
    test_pair_init(&p, ctx);
    test_unsealed(&p);
    set_windows(&p, cases[i].total == 9800 ? 10000 : 100000, 100000);
    test_pair_ready(&p);
    const size_t n =
        test_fragment(payload, 2, cases[i].number, cases[i].total, cases[i].at, NULL, cases[i].len);
    uint64_t before, peak;
    plr_context_memory(ctx, &before, NULL, NULL);
    plr_status st = test_give(p.side[0].link, p.now, PLR_MSG_DATA, payload, n);
    if (st != cases[i].status) fail_msg("case %zu: %s", i, plr_status_name(st));
    plr_context_memory(ctx, &peak, NULL, NULL);
    assert_true(peak - before < 1000); /* refused before memory was taken */
    test_expect_event(p.side[0].link, PLR_LINK_CLOSED, &e);
    assert_int_equal(e.status, cases[i].status);
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

/* Frames of one byte until the window is full: memory stays within a small multiple of it. */
static void test_hostile_flood(void **state) {
  (void)state;
  enum { WINDOW = 200000 };
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  test_pair_init(&p, ctx);
  set_windows(&p, WINDOW, WINDOW);
  test_unsealed(&p);
  test_pair_ready(&p);
  plr_link *a = p.side[0].link;
  uint64_t before, after, peak;
  plr_context_memory(ctx, &before, NULL, NULL);
  uint32_t frames = 0, i;
  plr_status st;
  while ((st = test_give_frame(a, p.now, frames, (const uint8_t *)"x", 1)) == PLR_OK)
    assert_true(frames++ < WINDOW);
  assert_int_equal(st, PLR_ERR_LIMIT);
  assert_int_equal(frames, WINDOW / 257);
  plr_context_memory(ctx, &after, NULL, NULL);
  assert_true(after - before < 2 * WINDOW);
  /* What came in before the fault is still there. */
  for (i = 0; i < frames; i++) test_expect_event(a, PLR_LINK_FRAME, &e);
  test_expect_event(a, PLR_LINK_CLOSED, &e);
  test_expect_none(a);
  test_pair_end(&p);
  /* A host that takes everything, and a peer that never reads what it is told: acknowledgements and pongs do
   * not pile up. */
  test_pair_init(&p, ctx);
  set_windows(&p, WINDOW, WINDOW);
  test_unsealed(&p);
  test_pair_ready(&p);
  plr_context_memory(ctx, &before, NULL, NULL);
  for (i = 0; i < 5000; i++)
    assert_int_equal(test_give(p.side[0].link, p.now, PLR_MSG_DATA,
                               "\005"
                               "12345678",
                               9),
                     PLR_OK);
  plr_context_memory(ctx, &after, &peak, NULL);
  assert_int_equal(before, after);
  size_t n;
  uint8_t buf[5000];
  assert_int_equal(plr_link_transmit(p.side[0].link, p.now, buf, sizeof buf, &n), PLR_OK);
  assert_int_equal(n, PLR_MSG_HEADER + PLR_PING_BYTES);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* Sizes chosen so that no buffer fits the next frame: the pool is bounded all the same. */
static void test_pool_is_bounded(void **state) {
  (void)state;
  enum { WINDOW = 1 << 20 };
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  test_pair_init(&p, ctx);
  set_windows(&p, WINDOW, WINDOW);
  test_unsealed(&p);
  test_pair_ready(&p);
  uint8_t *frame = calloc(1, WINDOW);
  uint64_t before, after, number = 0;
  plr_context_memory(ctx, &before, NULL, NULL);
  for (uint32_t size = 8; size < 20; size++) {
    const size_t len = (size_t)1 << size;
    size_t taken = 0;
    while ((taken + 1) * (len + 256) <= WINDOW / 2) {
      assert_int_equal(test_give_frame(p.side[0].link, p.now, number++, frame, len), PLR_OK);
      taken++;
    }
    for (size_t i = 0; i < taken; i++) test_expect_event(p.side[0].link, PLR_LINK_FRAME, &e);
    size_t n;
    assert_int_equal(plr_link_transmit(p.side[0].link, p.now, frame, WINDOW, &n), PLR_OK);
    plr_context_memory(ctx, &after, NULL, NULL);
    assert_true(after - before < 7 * WINDOW);
  }
  free(frame);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* ---- time -------------------------------------------------------------------------------------- */

static void test_keep_alive_and_timeout(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  test_pair_init(&p, ctx);
  p.side[0].options.keep_alive_ns = 100 * MS, p.side[0].options.timeout_ns = 450 * MS;
  p.side[1].options.keep_alive_ns = 0, p.side[1].options.timeout_ns = 0;
  test_pair_start(&p);
  assert_int_equal(plr_link_next_deadline_ns(p.side[0].link), 0);
  test_settle(&p);
  plr_link *a = p.side[0].link, *b = p.side[1].link;
  test_expect_event(a, PLR_LINK_READY, NULL);
  test_expect_event(b, PLR_LINK_READY, NULL);
  assert_true(plr_link_next_deadline_ns(b) == PLR_NEVER);
  /* Pings of one side and pongs of the other keep both alive for as long as one likes. */
  for (int i = 0; i < 100; i++) {
    uint64_t due = plr_link_next_deadline_ns(a);
    assert_true(due == p.now + 100 * MS);
    p.now = due;
    assert_int_equal(plr_link_advance(a, p.now), PLR_OK);
    assert_int_equal(plr_link_advance(b, p.now), PLR_OK);
    assert_true(plr_link_next_deadline_ns(a) > p.now); /* no spinning while the ping waits */
    test_settle(&p);
  }
  test_expect_none(a);
  test_expect_none(b);
  /* The wire is cut: pings go nowhere. */
  const uint64_t cut = p.now;
  while (plr_link_next_deadline_ns(a) != PLR_NEVER) {
    uint8_t buf[100];
    size_t n;
    p.now = plr_link_next_deadline_ns(a);
    plr_status st = plr_link_advance(a, p.now);
    assert_int_equal(st, p.now == cut + 450 * MS ? PLR_ERR_CLOSED : PLR_OK);
    plr_link_transmit(a, p.now, buf, sizeof buf, &n);
  }
  assert_true(p.now == cut + 450 * MS);
  test_expect_event(a, PLR_LINK_CLOSED, &e);
  assert_int_equal(e.status, PLR_ERR_CLOSED);
  assert_string_equal(e.message, "nothing came for 0.5 s");
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

static void test_handshake_timeout(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  test_pair_init(&p, ctx);
  test_pair_start(&p);
  plr_link *a = p.side[0].link;
  assert_int_equal(plr_link_advance(a, p.now), PLR_OK);
  assert_true(plr_link_next_deadline_ns(a) == p.now + 20000 * MS);
  /* A byte now and then does not help. */
  uint8_t hello[PLR_MSG_HEADER + PLR_HELLO_BYTES];
  plr__message_write(hello, PLR_MSG_HELLO, p.side[1].link->our_hello, PLR_HELLO_BYTES);
  for (int i = 0; i < 19; i++)
    assert_int_equal(plr_link_receive(a, p.now += 1000 * MS, hello + i, 1), PLR_OK);
  assert_int_equal(plr_link_advance(a, p.now + 1000 * MS - 1), PLR_OK);
  assert_int_equal(plr_link_advance(a, p.now + 1000 * MS), PLR_ERR_CLOSED);
  test_expect_event(a, PLR_LINK_CLOSED, &e);
  assert_string_equal(e.message, "no complete handshake for 20.0 s");
  assert_int_equal(plr_link_advance(a, p.now + 2000 * MS), PLR_OK);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* ---- the end ----------------------------------------------------------------------------------- */

static void test_close(void **state) {
  (void)state;
  plr_context *ctx = context(NULL);
  test_pair p;
  plr_link_event e;
  uint8_t buf[64], frame[1000] = {0};
  size_t n;
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  assert_int_equal(plr_link_send(p.side[1].link, "last words", 10, 0), PLR_OK);
  test_settle(&p);
  plr_link_close(p.side[1].link, PLR_OK);
  plr_link_close(p.side[1].link, PLR_ERR_IO); /* the first reason stands */
  test_settle(&p);
  test_expect_event(p.side[1].link, PLR_LINK_CLOSED, &e);
  assert_int_equal(e.status, PLR_OK);
  test_expect_event(p.side[0].link, PLR_LINK_FRAME, &e);
  assert_memory_equal(e.data, "last words", 10);
  test_expect_event(p.side[0].link, PLR_LINK_CLOSED, &e);
  assert_int_equal(e.status, PLR_ERR_CLOSED);
  assert_string_equal(e.message, "the peer ended the link: PLR_OK");
  test_pair_end(&p);
  /* What is under way ends first: a bye inside a message could not be read. */
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  assert_int_equal(plr_link_send(p.side[0].link, frame, sizeof frame, 0), PLR_OK);
  assert_int_equal(plr_link_send(p.side[0].link, frame, sizeof frame, 2), PLR_OK);
  assert_int_equal(plr_link_transmit(p.side[0].link, p.now, buf, sizeof buf, &n), PLR_OK);
  assert_int_equal(n, sizeof buf);
  assert_int_equal(plr_link_receive(p.side[1].link, p.now, buf, n), PLR_OK);
  plr_link_close(p.side[0].link, PLR_ERR_CLOSED);
  test_settle(&p);
  do {
    assert_int_equal(plr_link_next_event(p.side[1].link, &e), PLR_OK);
  } while (e.type == PLR_LINK_FRAME);
  assert_string_equal(e.message, "the peer ended the link: PLR_ERR_CLOSED");
  plr_link_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_link_get_stats(p.side[0].link, &s), PLR_OK);
  assert_int_equal(s.queued_bytes, 0);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* ---- memory ------------------------------------------------------------------------------------ */

/* Each allocation fails once. A link that could not take a frame in is closed; nothing leaks. */
static void test_out_of_memory(void **state) {
  (void)state;
  for (int64_t at = 1;; at++) {
    test_allocator a;
    plr_context *ctx = context(&a);
    test_pair p;
    plr_link_event e;
    uint8_t frame[2000] = {0};
    test_pair_init(&p, ctx);
    a.fail_at = a.calls + at - 1;
    plr_status st[4] = {PLR_OK, PLR_OK, PLR_OK, PLR_OK};
    st[0] = plr_link_create(ctx, p.side[0].identity, &p.side[0].options, &p.side[0].link, NULL);
    st[1] = plr_link_create(ctx, p.side[1].identity, &p.side[1].options, &p.side[1].link, NULL);
    if (p.side[0].link && p.side[1].link) {
      for (size_t len = 1; len < sizeof frame && st[2] == PLR_OK; len *= 4)
        st[2] = plr_link_send(p.side[0].link, frame, len, 1);
      st[3] = test_settle(&p);
      while (plr_link_next_event(p.side[1].link, &e) == PLR_OK)
        if (e.type == PLR_LINK_CLOSED) assert_int_equal(e.status, PLR_ERR_NO_MEMORY);
    }
    int failed = 0;
    for (int i = 0; i < 4; i++) {
      assert_true(st[i] == PLR_OK || st[i] == PLR_ERR_NO_MEMORY);
      failed += st[i] != PLR_OK;
    }
    int done = a.calls <= a.fail_at;
    assert_int_equal(failed, done ? 0 : 1);
    test_pair_end(&p);
    plr_context_destroy(ctx);
    assert_int_equal(a.live, 0);
    assert_false(a.bad_free);
    if (done) break;
    assert_true(at < 50);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_twenty_thousand_frames),
      cmocka_unit_test(test_steady_state_allocates_nothing),
      cmocka_unit_test(test_priorities),
      cmocka_unit_test(test_urgent_overtakes),
      cmocka_unit_test(test_echo),
      cmocka_unit_test(test_credit),
      cmocka_unit_test(test_again_and_writable),
      cmocka_unit_test(test_peer_takes_less),
      cmocka_unit_test(test_hostile_lengths),
      cmocka_unit_test(test_hostile_flood),
      cmocka_unit_test(test_pool_is_bounded),
      cmocka_unit_test(test_keep_alive_and_timeout),
      cmocka_unit_test(test_handshake_timeout),
      cmocka_unit_test(test_close),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
