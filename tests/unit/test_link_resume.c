/* A stream is lost and another takes its place: who may come back, and what is sent again. */
#include "link_test.h"

static plr_context *context(void) {
  plr_context_options o = test_options(NULL);
  return test_context(&o);
}

/* Both streams are gone; each side resumes with a nonce that follows from tag. */
static void resume(test_pair *p, uint8_t tag) {
  for (int i = 0; i < 2; i++) {
    uint8_t nonce[32];
    memset(nonce, tag, sizeof nonce);
    nonce[0] = (uint8_t)(tag + 1 + i); /* not all alike, as those of the options are */
    p->pipe[i].len = 0;
    assert_int_equal(plr_link_resume(p->side[i].link, p->now, nonce), PLR_OK);
  }
}

static plr_link_stats stats(const plr_link *link) {
  plr_link_stats s = {.struct_size = sizeof s};
  assert_int_equal(plr_link_get_stats(link, &s), PLR_OK);
  return s;
}

static void expect_frame(plr_link *link, uint8_t value, size_t len) {
  plr_link_event e;
  test_expect_event(link, PLR_LINK_FRAME, &e);
  assert_int_equal(e.len, len);
  assert_int_equal(e.data[0], value);
  assert_int_equal(e.data[len - 1], value);
}

static void queue(plr_link *link, uint8_t value, size_t len, uint32_t priority) {
  uint8_t *frame = malloc(len);
  memset(frame, value, len);
  assert_int_equal(plr_link_send(link, frame, len, priority), PLR_OK);
  free(frame);
}

/* Frames in each stage of their life when the stream goes: taken, received, half received, on the wire, waiting. */
static void test_every_stage(void **state) {
  (void)state;
  for (uint32_t seal = 0; seal < 2; seal++) {
    plr_context *ctx = context();
    test_pair p;
    uint8_t buf[30000];
    size_t n;
    test_pair_init(&p, ctx);
    p.side[0].options.seal = p.side[1].options.seal = seal;
    test_pair_ready(&p);
    plr_link *a = p.side[0].link, *b = p.side[1].link;
    queue(a, 1, 500, 1);
    queue(a, 2, 500, 1);
    test_settle(&p);
    expect_frame(b, 1, 500); /* taken, and not yet told */
    queue(a, 3, 50000, 1);
    queue(a, 4, 400, 2);
    assert_int_equal(plr_link_transmit(a, p.now, buf, 20000, &n), PLR_OK);
    assert_int_equal(plr_link_receive(b, p.now, buf, n), PLR_OK); /* a part of 3 */
    assert_int_equal(plr_link_transmit(a, p.now, buf, 20000, &n), PLR_OK);
    queue(b, 5, 300, 0);
    assert_int_equal(stats(a).resumes, 0);
    resume(&p, 1);
    queue(a, 6, 100, 0); /* while there is no stream */
    assert_int_equal(test_settle(&p), PLR_OK);
    test_expect_event(a, PLR_LINK_RESUMED, NULL);
    test_expect_event(b, PLR_LINK_RESUMED, NULL);
    expect_frame(a, 5, 300);
    expect_frame(b, 2, 500);
    expect_frame(b, 6, 100);
    expect_frame(b, 3, 50000);
    expect_frame(b, 4, 400);
    test_expect_none(a);
    test_expect_none(b);
    assert_int_equal(stats(a).resumes, 1);
    assert_int_equal(stats(b).resumes, 1);
    assert_int_equal(stats(a).frames_sent, 5);
    assert_int_equal(stats(b).frames_received, 5);
    assert_int_equal(stats(b).duplicates, 0);
    /* All credit is back in the end. */
    plr_link_advance(b, p.now += 30 * MS);
    plr_link_advance(a, p.now);
    test_settle(&p);
    assert_int_equal(stats(a).unacked_bytes, 0);
    assert_int_equal(stats(b).unacked_bytes, 0);
    assert_int_equal(b->rx.used, 0);
    test_pair_end(&p);
    plr_context_destroy(ctx);
  }
}

/* The stream is lost within the handshake, at every byte: whoever has verified the other and whoever has not, they
 * find together again, and a frame sent meanwhile arrives once. */
static void test_cut_in_the_handshake(void **state) {
  (void)state;
  enum { HELLO = PLR_MSG_HEADER + PLR_HELLO_BYTES, LEN = HELLO + PLR_MSG_HEADER + PLR_AUTH_BYTES };
  plr_context *ctx = context();
  for (size_t cut = 0; cut <= LEN; cut += cut % 7 + 1) {
    test_pair p;
    plr_link_event e;
    test_pair_init(&p, ctx);
    test_pair_start(&p);
    plr_link *a = p.side[0].link, *b = p.side[1].link;
    queue(a, 7, 900, 1);
    queue(b, 8, 900, 1);
    /* Everything gets through to b; to a, only `cut` bytes. */
    uint8_t buf[4096];
    size_t n, to_a = 0;
    for (int i = 0; i < 8; i++) {
      plr_link_transmit(a, p.now, buf, sizeof buf, &n);
      assert_int_equal(plr_link_receive(b, p.now, buf, n), PLR_OK);
      plr_link_transmit(b, p.now, buf, sizeof buf, &n);
      n = PLR_MIN(n, cut - to_a);
      assert_int_equal(plr_link_receive(a, p.now, buf, n), PLR_OK);
      to_a += n;
    }
    resume(&p, (uint8_t)(cut | 1));
    resume(&p, (uint8_t)(cut | 1) + 1); /* and once more, before a byte has gone */
    assert_int_equal(test_settle(&p), PLR_OK);
    int frames = 0, up[2] = {0, 0};
    for (int i = 0; i < 2; i++)
      while (plr_link_next_event(p.side[i].link, &e) == PLR_OK) {
        frames += e.type == PLR_LINK_FRAME;
        up[i] += e.type == PLR_LINK_READY || e.type == PLR_LINK_RESUMED;
      }
    assert_int_equal(frames, 2);
    assert_true(up[0] >= 1 && up[1] >= 1);
    test_pair_end(&p);
  }
  plr_context_destroy(ctx);
}

/* Another link, or another identity, in the place of the one that was there. */
static void test_impostors(void **state) {
  (void)state;
  plr_context *ctx = context();
  for (int kind = 0; kind < 3; kind++) {
    test_pair p, q;
    plr_link_event e;
    uint8_t nonce[32] = {77};
    test_pair_init(&p, ctx);
    test_pair_ready(&p);
    test_pair_init(&q, ctx);
    memset(q.side[1].options.nonce, 0x31, 32);
    if (kind == 2) {
      plr_identity_destroy(q.side[1].identity);
      q.side[1].identity = test_identity(ctx, 99);
    }
    test_pair_start(&q);
    if (kind) /* it claims to be the end that was there */
      memcpy(q.side[1].link->ours.id, p.side[1].link->ours.id, 32);
    if (kind == 1) {
      q.side[1].link->ours.progress.received[2] = 1; /* and to have what was never sent */
      plr__hello_write(q.side[1].link->our_hello, &q.side[1].link->ours);
    }
    if (kind == 2) plr__hello_write(q.side[1].link->our_hello, &q.side[1].link->ours);
    plr_link *keep = p.side[1].link;
    p.side[1].link = q.side[1].link;
    assert_int_equal(plr_link_resume(p.side[0].link, p.now, nonce), PLR_OK);
    test_settle(&p);
    test_expect_event(p.side[0].link, PLR_LINK_CLOSED, &e);
    assert_int_equal(e.status, PLR_ERR_MISMATCH);
    static const char *const says[] = {"session (the peer's end): ours ", "frames of priority 2",
                                       "the session is that of another key"};
    assert_memory_equal(e.message, says[kind], strlen(says[kind]));
    p.side[1].link = keep;
    test_pair_end(&p);
    test_pair_end(&q);
  }
  plr_context_destroy(ctx);
}

/* A recorded hello and auth of one stream, played to the next. */
static void test_replay(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  plr_link_event e;
  uint8_t recorded[2000], buf[1000];
  size_t len = 0, n;
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  resume(&p, 3);
  for (int i = 0; i < 4; i++) {
    plr_link_transmit(p.side[1].link, p.now, buf, sizeof buf, &n);
    memcpy(recorded + len, buf, n);
    len += n;
    plr_link_receive(p.side[0].link, p.now, buf, n);
    plr_link_transmit(p.side[0].link, p.now, buf, sizeof buf, &n);
    plr_link_receive(p.side[1].link, p.now, buf, n);
  }
  test_expect_event(p.side[0].link, PLR_LINK_RESUMED, &e);
  resume(&p, 4);
  assert_int_equal(plr_link_receive(p.side[0].link, p.now, recorded, len), PLR_ERR_SIGNATURE);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

static void test_calls(void **state) {
  (void)state;
  plr_context *ctx = context();
  test_pair p;
  uint8_t nonce[32] = {1};
  test_pair_init(&p, ctx);
  test_pair_ready(&p);
  plr_link *a = p.side[0].link;
  assert_int_equal(plr_link_resume(NULL, 0, nonce), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_link_resume(a, 0, NULL), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_link_resume(a, p.now, p.side[0].options.nonce), PLR_ERR_INVALID_ARGUMENT);
  assert_int_equal(plr_link_resume(a, p.now, nonce), PLR_OK);
  assert_int_equal(plr_link_resume(a, p.now, nonce), PLR_ERR_INVALID_ARGUMENT);
  /* Nobody answers on the new stream: that is the end of it, in the time of a handshake. */
  const uint64_t due = plr_link_next_deadline_ns(a);
  assert_true(due == p.now + p.side[0].options.timeout_ns);
  assert_int_equal(plr_link_advance(a, due), PLR_ERR_CLOSED);
  nonce[0] = 2;
  assert_int_equal(plr_link_resume(a, due, nonce), PLR_ERR_INVALID_STATE);
  test_pair_end(&p);
  plr_context_destroy(ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_stage), cmocka_unit_test(test_cut_in_the_handshake),
      cmocka_unit_test(test_impostors),   cmocka_unit_test(test_replay),
      cmocka_unit_test(test_calls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
