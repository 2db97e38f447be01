/* What must not be accepted as a handshake, over streams and datagrams, for the first time and after a lost stream;
 * and that none of it takes memory. */
#include "link_test.h"

typedef enum target { HELLO, SIGNATURE, ENVELOPE } target;

typedef struct must_fail {
  const char *name;
  target
      what; /* that is changed before checksums are made: the hello, the signature, the datagram around them */
  uint32_t at, value;
  plr_status status; /* of a stream; a datagram is dropped where that is 0 */
  plr_status of_datagram;
} must_fail;

/* A change of what the peer's signature covers is signed by the peer, who may lie about all but its key. */
static const must_fail cases[] = {
    {"magic", HELLO, 0, 'Q', PLR_ERR_MALFORMED, PLR_OK},
    {"link version", HELLO, 4, 3, PLR_ERR_VERSION, PLR_ERR_VERSION},
    {"frame version", HELLO, 6, 7, PLR_ERR_VERSION, PLR_ERR_VERSION},
    {"role 2", HELLO, 8, 2, PLR_ERR_MALFORMED, PLR_OK},
    {"our role", HELLO, 8, 1, PLR_ERR_MISMATCH, PLR_ERR_MISMATCH},
    {"seal 2", HELLO, 9, 2, PLR_ERR_MALFORMED, PLR_OK},
    {"no seal", HELLO, 9, 0, PLR_ERR_MISMATCH, PLR_ERR_MISMATCH},
    {"reserved", HELLO, 10, 1, PLR_ERR_MALFORMED, PLR_OK},
    {"model", HELLO, 80, 1, PLR_ERR_MISMATCH, PLR_ERR_MISMATCH},
    {"profile", HELLO, 143, 1, PLR_ERR_MISMATCH, PLR_ERR_MISMATCH},
    {"another key", HELLO, 48, 1, PLR_ERR_MISMATCH, PLR_ERR_MISMATCH},
    {"no codec", HELLO, 16, 0x80, PLR_ERR_MISMATCH, PLR_ERR_MISMATCH},
    {"our end of another session", HELLO, 240, 1, PLR_ERR_MISMATCH, PLR_ERR_MISMATCH},
    {"a frame it cannot have", HELLO, 272, 1, PLR_ERR_MISMATCH, PLR_OK},
    {"a frame it cannot have taken", HELLO, 328, 1, PLR_ERR_MISMATCH, PLR_OK},
    {"signature", SIGNATURE, 5, 1, PLR_ERR_SIGNATURE, PLR_OK},
    {"end of the signature", SIGNATURE, 63, 0xff, PLR_ERR_SIGNATURE, PLR_OK},
    {"length of the hello", ENVELOPE, 3, 2, PLR_OK, PLR_OK},
};

typedef struct scene {
  test_pair p;
  plr_context *ctx;
  test_allocator memory;
  uint32_t datagram, resumed;
} scene;

static void move_all(scene *s) {
  uint8_t buf[1200];
  size_t moved = 1, n;
  for (int round = 0; moved || round < 3; round++) {
    moved = 0;
    for (int i = 0; i < 2; i++) {
      assert_int_equal(plr_link_transmit(s->p.side[i].link, s->p.now, buf, sizeof buf, &n), PLR_OK);
      if (n) plr_link_receive(s->p.side[1 - i].link, s->p.now, buf, n);
      moved += n;
    }
  }
}

static void open_scene(scene *s, uint32_t datagram, uint32_t resumed) {
  memset(s, 0, sizeof *s);
  plr_context_options o = test_options(&s->memory);
  s->ctx = test_context(&o);
  s->datagram = datagram, s->resumed = resumed;
  test_pair_init(&s->p, s->ctx);
  for (int i = 0; i < 2; i++) s->p.side[i].options.datagram = datagram ? 1200 : 0;
  plr_identity_public_key(s->p.side[1].identity, s->p.side[0].options.peer_key);
  test_pair_start(&s->p);
  if (!resumed) return;
  move_all(s);
  for (uint8_t i = 0; i < 2; i++) {
    const uint8_t nonce[32] = {9, i};
    test_expect_event(s->p.side[i].link, PLR_LINK_READY, NULL);
    assert_int_equal(plr_link_resume(s->p.side[i].link, s->p.now, nonce), PLR_OK);
  }
}

static void close_scene(scene *s) {
  test_pair_end(&s->p);
  plr_context_destroy(s->ctx);
  assert_int_equal(s->memory.live, 0);
}

/* The peer's hello and signature, with the change of the case (NULL: none), to side 0. */
static plr_status give(scene *s, const must_fail *c) {
  plr_link *link = s->p.side[0].link;
  uint8_t out[4 + PLR_HELLO_BYTES + PLR_AUTH_BYTES + 4] = {PLR_MSG_HELLO, 2};
  uint8_t *hello = out + 4, *signature = hello + PLR_HELLO_BYTES, text[PLR_TRANSCRIPT_MAX_BYTES];
  memcpy(hello, s->p.side[1].link->our_hello, PLR_HELLO_BYTES);
  if (c && c->what == HELLO) hello[c->at] = (uint8_t)c->value;
  const size_t len =
      plr__link_transcript(text, 0, link->our_hello, PLR_HELLO_BYTES, hello, PLR_HELLO_BYTES);
  plr_identity_sign(s->p.side[1].identity, text, len, signature);
  if (c && c->what == SIGNATURE) signature[c->at] ^= (uint8_t)c->value;
  if (!s->datagram) {
    const plr_status st = test_give(link, s->p.now, PLR_MSG_HELLO, hello, PLR_HELLO_BYTES);
    return st != PLR_OK ? st : test_give(link, s->p.now, PLR_MSG_AUTH, signature, PLR_AUTH_BYTES);
  }
  plr__store_le16(out + 2, PLR_HELLO_BYTES);
  if (c && c->what == ENVELOPE) out[c->at] = (uint8_t)c->value;
  plr__store_le32(out + sizeof out - 4, plr__crc32c(0, out, sizeof out - 4));
  return plr_link_receive(link, s->p.now, out, sizeof out);
}

static void run_case(const must_fail *c, uint32_t datagram, uint32_t resumed) {
  static scene s;
  plr_link_event e;
  plr_link_stats stats = {.struct_size = sizeof stats};
  const plr_status want = datagram ? c->of_datagram : c->status;
  open_scene(&s, datagram, resumed);
  plr_link *link = s.p.side[0].link;
  const int64_t calls = s.memory.calls;
  const plr_status got = give(&s, c);
  if (got != want)
    fail_msg("%s, datagram %u, resumed %u: %s", c->name, datagram, resumed, plr_status_name(got));
  assert_true(link->state != LINK_READY);
  assert_int_equal(s.memory.calls, calls);
  assert_int_equal(plr_link_get_stats(link, &stats), PLR_OK);
  if (want != PLR_OK) {
    test_expect_event(link, PLR_LINK_CLOSED, &e);
    assert_int_equal(e.status, want);
    assert_true(strlen(e.message) > 5);
  } else {
    assert_int_equal(stats.rejected, 1);
    test_expect_none(link);
    assert_int_equal(give(&s, NULL), PLR_OK); /* the right one is welcome all the same */
    test_expect_event(link, resumed ? PLR_LINK_RESUMED : PLR_LINK_READY, NULL);
    assert_int_equal(s.memory.calls, calls);
  }
  close_scene(&s);
}

static void test_must_fail(void **state) {
  (void)state;
  for (size_t i = 0; i < PLR_COUNT_OF(cases); i++)
    for (uint32_t resumed = 0; resumed < 2; resumed++) {
      if (cases[i].what != ENVELOPE) run_case(&cases[i], 0, resumed);
      run_case(&cases[i], 1, resumed);
    }
}

/* Without a change both ways work, so that the cases fail for their changes. */
static void test_unchanged(void **state) {
  (void)state;
  for (uint32_t datagram = 0; datagram < 2; datagram++)
    for (uint32_t resumed = 0; resumed < 2; resumed++) {
      static scene s;
      open_scene(&s, datagram, resumed);
      const int64_t calls = s.memory.calls;
      assert_int_equal(give(&s, NULL), PLR_OK);
      test_expect_event(s.p.side[0].link, resumed ? PLR_LINK_RESUMED : PLR_LINK_READY, NULL);
      assert_int_equal(s.memory.calls, calls);
      close_scene(&s);
    }
}

/* Whatever arrives before a peer is verified, no memory is taken. */
static void test_takes_no_memory(void **state) {
  (void)state;
  uint64_t seed = 3;
  for (uint32_t datagram = 0; datagram < 2; datagram++)
    for (int round = 0; round < 300; round++) {
      static scene s;
      uint8_t bytes[1200];
      open_scene(&s, datagram, (uint32_t)round & 1);
      const int64_t calls = s.memory.calls;
      for (int i = 0; i < 10; i++) {
        const size_t len = 1 + test_random(&seed) % sizeof bytes;
        for (size_t k = 0; k < len; k++) bytes[k] = (uint8_t)test_random(&seed);
        if (!datagram && len > 4 && round % 3) { /* a message it would wait for */
          plr__store_le32(bytes, PLR_HELLO_BYTES);
          bytes[4] = PLR_MSG_HELLO;
        }
        plr_link_receive(s.p.side[0].link, s.p.now, bytes, len);
      }
      assert_int_equal(s.memory.calls, calls);
      assert_true(s.p.side[0].link->state != LINK_READY);
      close_scene(&s);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unchanged),
      cmocka_unit_test(test_must_fail),
      cmocka_unit_test(test_takes_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
