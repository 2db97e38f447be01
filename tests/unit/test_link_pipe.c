/* Two links through a bad pipe under a virtual clock: streams that are cut again and again, datagrams that are lost,
 * reordered, doubled, cut short and altered. Every frame arrives once, whole and in order within its priority.
 *
 * The default is about a million frames in all, in 2 s of a release build; with PLR_TEST_FULL=1 in the environment,
 * or the argument --full, half a million each way. */
#include "link_test.h"

static uint32_t frames_each_way = 150000;

/* ---- the pipe ---------------------------------------------------------------------------------- */

typedef struct piece {
  uint64_t arrive_ns, order;
  size_t len;
  uint8_t *data;
} piece;

/* A heap by time of arrival. */
typedef struct pipe_queue {
  piece *at;
  size_t count, cap;
  uint64_t order;
} pipe_queue;

static int before(const piece *a, const piece *b) {
  return a->arrive_ns != b->arrive_ns ? a->arrive_ns < b->arrive_ns : a->order < b->order;
}

static void swap(piece *a, piece *b) {
  piece c = *a;
  *a = *b, *b = c;
}

static void queue_put(pipe_queue *q, uint64_t arrive_ns, const void *data, size_t len) {
  if (q->count == q->cap) {
    q->cap = 2 * q->cap + 16;
    q->at = realloc(q->at, q->cap * sizeof *q->at);
    assert_non_null(q->at);
  }
  piece p = {arrive_ns, q->order++, len, malloc(len)};
  memcpy(p.data, data, len);
  size_t i = q->count++;
  q->at[i] = p;
  for (; i > 0 && before(&q->at[i], &q->at[(i - 1) / 2]); i = (i - 1) / 2)
    swap(&q->at[i], &q->at[(i - 1) / 2]);
}

static piece queue_take(pipe_queue *q) {
  piece first = q->at[0];
  q->at[0] = q->at[--q->count];
  for (size_t i = 0;;) {
    size_t least = i;
    for (size_t k = 2 * i + 1; k <= 2 * i + 2; k++)
      if (k < q->count && before(&q->at[k], &q->at[least])) least = k;
    if (least == i) return first;
    swap(&q->at[i], &q->at[least]);
    i = least;
  }
}

static void queue_clear(pipe_queue *q) {
  while (q->count) free(queue_take(q).data);
}

/* ---- both ends --------------------------------------------------------------------------------- */

typedef struct weather {
  uint32_t lose, twice, alter, shorten; /* of 1000 datagrams */
  uint64_t delay_ns, jitter_ns, bytes_per_s;
  uint32_t cut_every; /* pieces, on average; 0: never */
} weather;

typedef struct flow {
  uint32_t sent[4], got[4], total_sent, total_got;
  uint8_t waiting[20000];
  size_t waiting_len;
  uint32_t waiting_priority;
  int blocked;
} flow;

typedef struct world {
  test_pair p;
  weather w;
  pipe_queue queue[2];
  uint64_t back_ns[2]; /* when a side has its new stream */
  int away[2];
  uint64_t wire_free_ns[2];
  flow f[2];
  uint32_t frames, cuts, resumes[2];
  uint64_t nonces, fresh[2];
} world;

static size_t make_frame(uint8_t *out, uint64_t *seed, uint32_t priority, uint32_t number) {
  uint64_t r = test_random(seed);
  size_t len = 5 + (r % 50 == 0 ? r >> 8 & 0x3fff : r >> 8 & 0xff);
  out[0] = (uint8_t)priority;
  plr__store_le32(out + 1, number);
  for (size_t i = 5; i < len; i++) out[i] = (uint8_t)(number * 31 + i * 7 + priority);
  return len;
}

static void check_frame(flow *f, const uint8_t *data, size_t len) {
  assert_true(len >= 5 && data[0] < 4);
  uint32_t number = plr__load_le32(data + 1);
  if (number != f->got[data[0]])
    fail_msg("priority %u: frame %u came, %u was due", data[0], number, f->got[data[0]]);
  for (size_t i = 5; i < len; i++)
    if (data[i] != (uint8_t)(number * 31 + i * 7 + data[0])) fail_msg("byte %zu of %zu", i, len);
  f->got[data[0]]++;
  f->total_got++;
}

static void send_some(world *w, int i) {
  flow *f = &w->f[i];
  while (!f->blocked && (f->waiting_len || f->total_sent < w->frames)) {
    if (!f->waiting_len) {
      f->waiting_priority = (uint32_t)(test_random(&w->p.seed) % 4);
      f->waiting_len =
          make_frame(f->waiting, &w->p.seed, f->waiting_priority, f->sent[f->waiting_priority]);
    }
    plr_status st =
        plr_link_send(w->p.side[i].link, f->waiting, f->waiting_len, f->waiting_priority);
    f->blocked = st == PLR_ERR_AGAIN;
    if (f->blocked) return;
    assert_int_equal(st, PLR_OK);
    f->sent[f->waiting_priority]++;
    f->total_sent++;
    f->waiting_len = 0;
  }
}

static void take_events(world *w, int i) {
  plr_link_event e;
  int most = (int)(test_random(&w->p.seed) % 24); /* a host that does not always keep up */
  while (most-- > 0 && plr_link_next_event(w->p.side[i].link, &e) == PLR_OK) {
    if (e.type == PLR_LINK_FRAME)
      check_frame(&w->f[1 - i], e.data, e.len);
    else if (e.type == PLR_LINK_WRITABLE)
      w->f[i].blocked = 0;
    else if (e.type == PLR_LINK_RESUMED)
      w->resumes[i]++;
    else if (e.type != PLR_LINK_READY)
      fail_msg("side %d: event %u, %s: %s", i, e.type, plr_status_name((plr_status)e.status),
               e.message);
  }
}

static uint32_t per_mille(world *w) {
  return (uint32_t)(test_random(&w->p.seed) % 1000);
}

static void launch(world *w, int i, const uint8_t *data, size_t len) {
  uint64_t *free_ns = &w->wire_free_ns[i];
  *free_ns = PLR_MAX(*free_ns, w->p.now);
  if (w->w.bytes_per_s) *free_ns += len * UINT64_C(1000000000) / w->w.bytes_per_s;
  uint64_t arrive = *free_ns + w->w.delay_ns;
  if (w->p.side[i].options.datagram == 0) {
    queue_put(&w->queue[i], arrive, data, len);
    return;
  }
  if (w->w.bytes_per_s && *free_ns > w->p.now + 200 * MS)
    return; /* the queue before the wire is full */
  arrive += w->w.jitter_ns ? test_random(&w->p.seed) % w->w.jitter_ns : 0;
  if (per_mille(w) < w->w.lose) return;
  uint8_t copy[2048];
  assert_true(len <= sizeof copy);
  memcpy(copy, data, len);
  if (per_mille(w) < w->w.twice) queue_put(&w->queue[i], arrive + 7 * MS, copy, len);
  if (per_mille(w) < w->w.alter) copy[test_random(&w->p.seed) % len] ^= 0x10;
  if (per_mille(w) < w->w.shorten) len = 1 + test_random(&w->p.seed) % len;
  queue_put(&w->queue[i], arrive, copy, len);
}

static int pump_out(world *w, int i) {
  static uint8_t buf[70000];
  const size_t datagram = w->p.side[i].options.datagram;
  int any = 0;
  for (size_t n = 1; n && !w->away[i];) {
    size_t cap = datagram ? datagram : 1 + test_random(&w->p.seed) % 20000;
    assert_int_equal(plr_link_transmit(w->p.side[i].link, w->p.now, buf, cap, &n), PLR_OK);
    if (n) launch(w, i, buf, n), any = 1;
  }
  return any;
}

static int pump_in(world *w, int i) { /* from side i to the other */
  int any = 0;
  while (!w->away[1 - i] && w->queue[i].count && w->queue[i].at[0].arrive_ns <= w->p.now) {
    piece c = queue_take(&w->queue[i]);
    plr_status st = plr_link_receive(w->p.side[1 - i].link, w->p.now, c.data, c.len);
    free(c.data);
    if (st != PLR_OK) {
      plr_link_event e;
      while (plr_link_next_event(w->p.side[1 - i].link, &e) == PLR_OK)
        if (e.type == PLR_LINK_CLOSED) fail_msg("side %d: %s", 1 - i, e.message);
      fail_msg("receive: %s", plr_status_name(st));
    }
    any = 1;
  }
  return any;
}

/* What is on its way is gone; each side gets its new stream at a time of its own. */
static void maybe_cut(world *w) {
  if (!w->w.cut_every || test_random(&w->p.seed) % w->w.cut_every) return;
  w->cuts++;
  for (int i = 0; i < 2; i++) {
    queue_clear(&w->queue[i]);
    w->away[i] = 1;
    w->back_ns[i] = w->p.now + test_random(&w->p.seed) % (20 * MS);
  }
}

static void maybe_back(world *w, int i) {
  uint8_t nonce[32] = {(uint8_t)i, 9};
  if (!w->away[i] || w->back_ns[i] > w->p.now) return;
  w->away[i] = 0;
  plr__store_le64(nonce + 8, ++w->nonces);
  assert_int_equal(plr_link_resume(w->p.side[i].link, w->p.now, nonce), PLR_OK);
}

static uint64_t next_time(world *w) {
  uint64_t t = PLR_NEVER;
  for (int i = 0; i < 2; i++) {
    t = PLR_MIN(t, plr_link_next_deadline_ns(w->p.side[i].link));
    if (w->away[i]) t = PLR_MIN(t, w->back_ns[i]);
    if (w->queue[i].count && !w->away[1 - i]) t = PLR_MIN(t, w->queue[i].at[0].arrive_ns);
  }
  /* A host that is behind with its events comes back soon. */
  return PLR_MIN(PLR_MAX(t, w->p.now + 1000), w->p.now + MS);
}

static int done(const world *w) {
  return w->f[0].total_got >= w->frames && w->f[1].total_got >= w->frames;
}

static void run(world *w) {
  const uint64_t limit = w->p.now + (uint64_t)w->frames * 20 * MS + 100000 * MS;
  while (!done(w)) {
    if (w->p.now > limit)
      fail_msg("stuck: %u and %u of %u frames", w->f[0].total_got, w->f[1].total_got, w->frames);
    for (int i = 0; i < 2; i++) {
      maybe_back(w, i);
      send_some(w, i);
      if (pump_out(w, i)) maybe_cut(w);
      pump_in(w, i);
      take_events(w, i);
      assert_int_equal(plr_link_advance(w->p.side[i].link, w->p.now), PLR_OK);
    }
    w->p.now = next_time(w);
  }
}

static void world_init(world *w, plr_context *ctx, const weather *weather_, uint32_t seal,
                       uint32_t datagram, uint32_t frames) {
  memset(w, 0, sizeof *w);
  test_pair_init(&w->p, ctx);
  w->w = *weather_;
  w->frames = frames;
  for (int i = 0; i < 2; i++) {
    w->p.side[i].options.window = 60000 + 20000u * (uint32_t)i;
    w->p.side[i].options.seal = seal;
    w->p.side[i].options.datagram = datagram ? datagram + 100u * (uint32_t)i : 0;
    w->p.side[i].options.timeout_ns = 60000 * MS;
  }
  test_pair_start(&w->p);
}

static void world_end(world *w) {
  for (int i = 0; i < 2; i++) {
    queue_clear(&w->queue[i]);
    free(w->queue[i].at);
  }
  test_pair_end(&w->p);
}

static void through(const weather *weather_, uint32_t seal, uint32_t datagram, uint32_t frames,
                    plr_link_stats stats[2], world *w) {
  plr_context_options o = test_options(NULL);
  plr_context *ctx = test_context(&o);
  world_init(w, ctx, weather_, seal, datagram, frames);
  uint64_t before_, peak;
  plr_context_memory(ctx, &before_, NULL, NULL);
  const uint64_t start = w->p.now;
  run(w);
  plr_context_memory(ctx, NULL, &peak, NULL);
  assert_true(peak - before_ < 8 * (60000 + 80000));
  for (int i = 0; i < 2; i++) {
    stats[i] = (plr_link_stats){.struct_size = sizeof stats[i]};
    assert_int_equal(plr_link_get_stats(w->p.side[i].link, &stats[i]), PLR_OK);
    assert_int_equal(stats[i].frames_received, frames);
    assert_int_equal(stats[i].frames_sent, frames);
    print_message("  %u frames in %.1f s: %llu bytes, %llu again, %llu twice, %llu rejected, "
                  "%llu resumes of %u cuts, rtt %.1f ms, %.2f MB/s\n",
                  frames, (double)(w->p.now - start) * 1e-9,
                  (unsigned long long)stats[i].bytes_sent, (unsigned long long)stats[i].retransmits,
                  (unsigned long long)stats[i].duplicates, (unsigned long long)stats[i].rejected,
                  (unsigned long long)stats[i].resumes, w->cuts, (double)stats[i].rtt_ns * 1e-6,
                  (double)stats[i].bytes_per_s * 1e-6);
  }
  world_end(w);
  plr_context_destroy(ctx);
}

static world the_world;

static void test_stream_with_cuts(void **state) {
  (void)state;
  static const weather w = {.delay_ns = 2 * MS, .cut_every = 60};
  plr_link_stats s[2];
  for (uint32_t seal = 0; seal < 2; seal++) {
    through(&w, seal, 0, frames_each_way, s, &the_world);
    assert_true(the_world.cuts > 20);
    for (int i = 0; i < 2; i++) {
      assert_true(s[i].resumes > 10 && s[i].resumes <= the_world.cuts);
      assert_true(s[i].retransmits > 0);
      assert_int_equal(s[i].duplicates, 0); /* each side knows what the other has */
    }
  }
}

static void test_datagrams(void **state) {
  (void)state;
  static const weather w = {
      .lose = 50, .twice = 30, .alter = 5, .shorten = 5, .delay_ns = 3 * MS, .jitter_ns = 6 * MS};
  plr_link_stats s[2];
  for (uint32_t seal = 0; seal < 2; seal++) {
    through(&w, seal, 1200, frames_each_way / 2, s, &the_world);
    for (int i = 0; i < 2; i++) {
      assert_int_equal(s[i].resumes, 0);
      assert_true(s[i].retransmits > 0);
      assert_true(s[i].rejected > 0); /* doubled and altered ones */
    }
  }
}

static void test_datagrams_with_cuts(void **state) {
  (void)state;
  static const weather w = {.lose = 100,
                            .twice = 50,
                            .alter = 10,
                            .shorten = 10,
                            .delay_ns = MS,
                            .jitter_ns = 12 * MS,
                            .cut_every = 3000};
  plr_link_stats s[2];
  through(&w, 1, 700, frames_each_way / 4, s, &the_world);
  for (int i = 0; i < 2; i++) assert_true(s[i].resumes > 0);
}

/* One datagram in a hundred is lost at random: a bulk flow still fills most of the wire. */
static void test_loss_does_not_starve(void **state) {
  (void)state;
  enum { RATE = 2500000, LEN = 100000, COUNT = 250 };
  plr_context_options o = test_options(NULL);
  plr_context *ctx = test_context(&o);
  static const weather weather_ = {
      .lose = 10, .delay_ns = 20 * MS, .jitter_ns = 0, .bytes_per_s = RATE};
  world *w = &the_world;
  uint8_t *frame = calloc(1, LEN);
  world_init(w, ctx, &weather_, 1, 1200, 0);
  for (int i = 0; i < 2; i++) {
    test_side_end(&w->p.side[i]);
    test_side_init(&w->p.side[i], ctx, i == 0, (uint8_t)(i + 1));
    w->p.side[i].options.datagram = 1200;
    test_side_start(&w->p.side[i]);
  }
  uint32_t sent = 0, got = 0;
  const uint64_t start = w->p.now;
  while (got < COUNT) {
    plr_link_event e;
    assert_true(w->p.now < start + 100000 * MS);
    while (sent < COUNT && plr_link_send(w->p.side[0].link, frame, LEN, 2) == PLR_OK) sent++;
    for (int i = 0; i < 2; i++) {
      pump_out(w, i);
      pump_in(w, i);
      while (plr_link_next_event(w->p.side[i].link, &e) == PLR_OK) got += e.type == PLR_LINK_FRAME;
      assert_int_equal(plr_link_advance(w->p.side[i].link, w->p.now), PLR_OK);
    }
    w->p.now = next_time(w);
  }
  plr_link_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_link_get_stats(w->p.side[0].link, &s), PLR_OK);
  const double rate = (double)COUNT * LEN / ((double)(w->p.now - start) * 1e-9);
  print_message("  %.2f of %.2f MB/s, measured %.2f MB/s, rtt %.1f ms, %llu again\n", rate * 1e-6,
                RATE * 1e-6, (double)s.bytes_per_s * 1e-6, (double)s.rtt_ns * 1e-6,
                (unsigned long long)s.retransmits);
  assert_true(rate > 0.7 * RATE);
  assert_true((double)s.bytes_per_s > 0.7 * RATE && (double)s.bytes_per_s < 1.2 * RATE);
  free(frame);
  world_end(w);
  plr_context_destroy(ctx);
}

int main(int argc, char **argv) {
  const char *full = getenv("PLR_TEST_FULL");
  if ((full && full[0] == '1') || (argc > 1 && strcmp(argv[1], "--full") == 0))
    frames_each_way = 500000;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stream_with_cuts),
      cmocka_unit_test(test_datagrams),
      cmocka_unit_test(test_datagrams_with_cuts),
      cmocka_unit_test(test_loss_does_not_starve),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
