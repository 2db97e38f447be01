/* The delivery rate and the budget that follows from it, under a virtual clock. */
#include "link_test.h"

static plr_context *context(void) {
  plr_context_options o = test_options(NULL);
  return test_context(&o);
}

static plr_link_stats stats(const plr_link *link) {
  plr_link_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_link_get_stats(link, &s), PLR_OK);
  return s;
}

/* A wire of `rate` bytes a second that takes bytes when it has room, in pieces of a millisecond. Sends a burst of len
 * bytes, then is silent until `until`. */
static void burst(test_pair *p, size_t len, uint64_t rate, uint64_t until) {
  static uint8_t buf[65536];
  const size_t piece = (size_t)(rate / 1000);
  plr_link_event e;
  uint8_t *frame = calloc(1, len);
  size_t n;
  assert_int_equal(plr_link_send(p->side[0].link, frame, len, 2), PLR_OK);
  free(frame);
  for (; p->now < until; p->now += MS) {
    assert_int_equal(plr_link_transmit(p->side[0].link, p->now, buf, piece, &n), PLR_OK);
    assert_int_equal(plr_link_receive(p->side[1].link, p->now + MS, buf, n), PLR_OK);
    while (plr_link_next_event(p->side[1].link, &e) == PLR_OK) {
    }
    plr_link_advance(p->side[1].link, p->now + MS);
    assert_int_equal(plr_link_transmit(p->side[1].link, p->now + MS, buf, sizeof buf, &n), PLR_OK);
    assert_int_equal(plr_link_receive(p->side[0].link, p->now + 2 * MS, buf, n), PLR_OK);
    plr_link_advance(p->side[0].link, p->now + 2 * MS);
  }
}

/* Bursts with pauses between them, as training sends them: the rate is that of the wire and not of the host, follows
 * when the wire gets slower, and comes back. */
static void test_rate_follows(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  uint64_t bytes = 7;
  static const uint64_t rates[] = {25000000, 2500000, 25000000};
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  plr_link *a = p.side[0].link;
  assert_int_equal(plr_link_budget(a, 100 * MS, &bytes), PLR_ERR_AGAIN);
  assert_int_equal(bytes, 0);
  for (size_t k = 0; k < PLR_COUNT_OF(rates); k++) {
    for (int i = 0; i < 30; i++) {
      const uint64_t start = p.now, time = 120 * MS; /* a third of it is silence */
      burst(&p, (size_t)(rates[k] / 12), rates[k], start + time);
    }
    const double got = (double)stats(a).bytes_per_s / (double)rates[k];
    print_message("  wire %.1f MB/s: %.2f of it\n", (double)rates[k] * 1e-6, got);
    assert_true(got > 0.75 && got < 1.2);
    assert_int_equal(plr_link_budget(a, 100 * MS, &bytes), PLR_OK);
    assert_true((double)bytes > 0.9 * 0.99 * (double)stats(a).bytes_per_s * 0.1);
    assert_true((double)bytes < 0.9 * 1.01 * (double)stats(a).bytes_per_s * 0.1);
  }
  assert_true(stats(a).rtt_ns >= 1 * MS && stats(a).rtt_ns < 10 * MS);
  assert_int_equal(plr_link_budget(a, 0, &bytes), PLR_OK);
  assert_int_equal(bytes, 1);
  assert_int_equal(plr_link_budget(NULL, 1, &bytes), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_link_budget(a, 1, NULL), PLR_ERR_INVALID_ARGUMENT);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

/* n reports, each of so many bytes and 10 ms after the one before. */
static void reports(plr__rate *r, uint64_t *pos, uint64_t *t, int n, uint64_t bytes) {
  for (int i = 0; i < n; i++) {
    *pos += bytes;
    *t += 10 * MS;
    plr__rate_report(r, *pos, *pos, *t);
  }
}

/* The quartile and its hysteresis. */
static void test_rate_rule(void **state) {
  (void)state;
  plr__rate r;
  memset(&r, 0, sizeof r);
  uint64_t t = 1, pos = 0;
  plr__rate_report(&r, pos, pos, t);
  reports(&r, &pos, &t, 16, 10000);
  assert_int_equal(r.rate, 1000000);
  reports(&r, &pos, &t, 16, 10900); /* less than a tenth more: it stays */
  assert_int_equal(r.rate, 1000000);
  reports(&r, &pos, &t, 16, 11500);
  assert_int_equal(r.rate, 1150000);
  reports(&r, &pos, &t, 4, 1000); /* four slow samples of 16 do not move it, the fifth does */
  assert_int_equal(r.rate, 1150000);
  reports(&r, &pos, &t, 1, 1000);
  assert_int_equal(r.rate, 100000);
  memset(&r, 0, sizeof r);
  plr__rate_report(&r, pos, pos, t);
  plr__rate_idle(&r, pos);
  t += 1000 * MS;
  reports(&r, &pos, &t, 1, 1000); /* a pause is no sample */
  assert_int_equal(r.samples, 0);
  reports(&r, &pos, &t, 1, 10000);
  assert_int_equal(r.samples, 1);
  assert_int_equal(r.rate, 1000000);
}

/* ---- the loop: rate, budget, frame --------------------------------------------------------------- */

#define INTERVAL    (40 * MS) /* in which a stage computes one micro-batch */
#define FRAME_LEAST UINT64_C(33000)
#define FRAME_MOST  UINT64_C(264000)
#define DELAY       (5 * MS)

/* One direction of a wire: pieces, and when they arrive. */
typedef struct way {
  uint8_t *data;
  size_t head, tail, at;
  struct {
    uint64_t due;
    size_t len;
  } piece[8192];
} way;

typedef struct loop {
  test_pair p;
  plr_context *ctx;
  way way[2];
  uint64_t wire, free_ns[2]; /* bytes a second; when the wire is free */
  uint32_t noisy;            /* hosts are kept from running now and then */
  uint64_t stalled[2];
  uint64_t frame, most; /* bytes of the newest, and of the largest */
} loop;

static void loop_open(loop *l, uint32_t noisy) {
  memset(l, 0, sizeof *l);
  l->ctx = context();
  l->noisy = noisy;
  l->most = FRAME_MOST;
  for (int i = 0; i < 2; i++) assert_non_null(l->way[i].data = malloc(64 << 20));
  test_pair_init(&l->p, l->ctx);
  test_pair_ready(&l->p);
}

static void loop_close(loop *l) {
  for (int i = 0; i < 2; i++) free(l->way[i].data);
  test_pair_end(&l->p);
  plr_context_destroy(l->ctx);
}

static int runs(loop *l, int side) {
  if (!l->noisy) return 1;
  if (l->p.now < l->stalled[side]) return 0;
  if (test_random(&l->p.seed) % 100 >= 4) return 1;
  l->stalled[side] = l->p.now + (1 + test_random(&l->p.seed) % 6) * MS;
  return 0;
}

/* What has come, all in one read, as a host finds it that has been away. */
static void host_reads(loop *l, int side) {
  way *w = &l->way[1 - side];
  plr_link_event e;
  size_t len = 0;
  while (w->head != w->tail && w->piece[w->head % 8192].due <= l->p.now)
    len += w->piece[w->head++ % 8192].len;
  if (len)
    assert_int_equal(plr_link_receive(l->p.side[side].link, l->p.now, w->data + w->at, len),
                     PLR_OK);
  w->at += len;
  if (w->head == w->tail) w->at = 0;
  while (plr_link_next_event(l->p.side[side].link, &e) == PLR_OK) {
  }
}

/* Bytes as the wire has room: no more than a millisecond ahead. */
static void host_writes(loop *l, int side) {
  way *w = &l->way[side];
  size_t end = w->at, n = 1;
  for (size_t i = w->head; i != w->tail; i++) end += w->piece[i % 8192].len;
  if (l->free_ns[side] < l->p.now) l->free_ns[side] = l->p.now;
  while (n && l->free_ns[side] < l->p.now + MS) {
    assert_int_equal(plr_link_transmit(l->p.side[side].link, l->p.now, w->data + end,
                                       (size_t)(l->wire / 2000), &n),
                     PLR_OK);
    if (!n) break;
    l->free_ns[side] += n * UINT64_C(1000000000) / l->wire;
    w->piece[w->tail % 8192].due = l->free_ns[side] + DELAY;
    w->piece[w->tail++ % 8192].len = n;
    assert_true(w->tail - w->head < 8192);
    end += n;
  }
}

static void tick(loop *l) {
  for (int side = 0; side < 2; side++) {
    if (!runs(l, side)) continue;
    host_reads(l, side);
    plr_link_advance(l->p.side[side].link, l->p.now);
    host_writes(l, side);
  }
  l->p.now += MS;
}

/* One frame as the budget says, when the one before is on its way, and receipts in both directions at any time. */
static void step(loop *l) {
  static const uint8_t frame[FRAME_MOST];
  const uint64_t end = l->p.now + INTERVAL;
  plr_link *a = l->p.side[0].link, *b = l->p.side[1].link;
  uint64_t bytes = 0;
  while (stats(a).queued_bytes) tick(l);
  if (plr_link_budget(a, INTERVAL, &bytes) != PLR_OK) bytes = FRAME_MOST;
  l->frame = PLR_MIN(l->most, PLR_MAX(FRAME_LEAST, bytes));
  assert_int_equal(plr_link_send(a, frame, (size_t)l->frame, 2), PLR_OK);
  while (l->p.now < end) {
    if (test_random(&l->p.seed) % 10 == 0)
      assert_int_equal(plr_link_send(test_random(&l->p.seed) % 2 ? a : b, frame, 700, 0), PLR_OK);
    tick(l);
  }
}

static double mean_of(loop *l, int steps) {
  double sum = 0;
  for (int i = 0; i < steps; i++) {
    step(l);
    sum += (double)l->frame;
  }
  return sum / steps;
}

/* Bits follow the wire down, and up again from frames that it carries in a few milliseconds; also where hosts are kept
 * from running, which makes bytes late. */
static void test_down_and_up(void **state) {
  (void)state;
  static loop l;
  for (uint32_t noisy = 0; noisy < 2; noisy++) {
    loop_open(&l, noisy);
    l.wire = 25000000;
    mean_of(&l, 40);
    const double fast = mean_of(&l, 20);
    l.wire = 2500000;
    mean_of(&l, 10);
    const double slow = mean_of(&l, 20);
    l.wire = 25000000;
    uint32_t steps = 0;
    for (; steps < 200 && (double)l.frame < 0.8 * fast; steps++) step(&l);
    mean_of(&l, 10);
    const double again = mean_of(&l, 20);
    print_message("  %s hosts: %.0f bytes a frame, slow %.0f, again %.0f; %u frames to climb\n",
                  noisy ? "busy" : "idle", fast, slow, again, steps);
    assert_true(fast > 0.8 * (double)FRAME_MOST);
    assert_true(slow < 0.1 * 1.05 * (double)INTERVAL * 1e-9 * 25e6);
    assert_true(slow > 0.9 * 0.5 * 0.1 * (double)INTERVAL * 1e-9 * 25e6);
    assert_true(steps <= 24);
    assert_true(again > 0.9 * fast);
    loop_close(&l);
  }
}

/* Frames that a fast wire carries in less than can be timed: the rate does not stay where a slow one left it. */
static void test_short_bursts(void **state) {
  (void)state;
  static loop l;
  loop_open(&l, 0);
  l.most = 20000;
  l.wire = 1000000;
  mean_of(&l, 30);
  assert_true(stats(l.p.side[0].link).bytes_per_s < 1100000);
  l.wire = 25000000;
  mean_of(&l, 30);
  const uint64_t rate = stats(l.p.side[0].link).bytes_per_s;
  print_message("  %.1f MB/s\n", (double)rate * 1e-6);
  assert_true(rate > 10000000 && rate < 27000000);
  loop_close(&l);
}

/* The rate of a wire that carries less than the frames could have: found to a few parts in a hundred. */
static void test_rate_is_true(void **state) {
  (void)state;
  static loop l;
  for (uint64_t wire = 1000000; wire <= 6000000; wire += 1000000) {
    loop_open(&l, 0);
    l.wire = wire;
    mean_of(&l, 60);
    const double got = (double)stats(l.p.side[0].link).bytes_per_s / (double)wire;
    print_message("  wire %.0f MB/s: %.3f of it\n", (double)wire * 1e-6, got);
    assert_true(got > 0.85 && got < 1.1);
    loop_close(&l);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rate_follows), cmocka_unit_test(test_rate_rule),
      cmocka_unit_test(test_down_and_up),  cmocka_unit_test(test_rate_is_true),
      cmocka_unit_test(test_short_bursts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
