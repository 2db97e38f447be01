/* Two links joined in memory under a virtual clock. */
#ifndef PLR_TEST_LINK_TEST_H
#define PLR_TEST_LINK_TEST_H

#include "exchange_test.h"

#include "exchange/link_int.h"

#define MS UINT64_C(1000000)

typedef struct test_side {
  plr_context *ctx;
  plr_identity *identity;
  plr_link *link;
  plr_link_options options;
} test_side;

/* Bytes on their way in one direction. */
typedef struct test_pipe {
  uint8_t *data;
  size_t len, cap;
} test_pipe;

typedef struct test_pair {
  test_side side[2]; /* 0 connected, 1 accepted */
  test_pipe pipe[2]; /* from side 0, from side 1 */
  uint64_t now, seed;
} test_pair;

static inline plr_identity *test_identity(plr_context *ctx, uint8_t tag) {
  uint8_t seed[32];
  plr_identity *id;
  memset(seed, tag, sizeof seed);
  assert_int_equal(plr_identity_create(ctx, seed, &id, NULL), PLR_OK);
  return id;
}

static inline void test_side_init(test_side *s, plr_context *ctx, uint32_t initiator, uint8_t tag) {
  s->ctx = ctx;
  s->identity = test_identity(ctx, tag);
  plr_link_options_init(&s->options, sizeof s->options);
  s->options.initiator = initiator;
  memset(&s->options.model, 0x11, 32);
  memset(&s->options.profile, 0x22, 32);
  memset(s->options.nonce, tag ^ 0x80, 32);
}

static inline void test_side_start(test_side *s) {
  plr_error err = {0};
  if (plr_link_create(s->ctx, s->identity, &s->options, &s->link, &err) != PLR_OK)
    fail_msg("%s: %s", err.where, err.message);
}

static inline void test_side_end(test_side *s) {
  plr_link_destroy(s->link);
  plr_identity_destroy(s->identity);
  s->link = NULL, s->identity = NULL;
}

/* Both sides with default options, not started: a test may change the options before test_pair_start. */
static inline void test_pair_init(test_pair *p, plr_context *ctx) {
  memset(p, 0, sizeof *p);
  test_side_init(&p->side[0], ctx, 1, 1);
  test_side_init(&p->side[1], ctx, 0, 2);
  p->now = 1000 * MS;
  p->seed = 99;
}

static inline void test_pair_start(test_pair *p) {
  test_side_start(&p->side[0]);
  test_side_start(&p->side[1]);
}

static inline void test_pair_end(test_pair *p) {
  for (int i = 0; i < 2; i++) {
    test_side_end(&p->side[i]);
    free(p->pipe[i].data);
  }
}

static inline void test_pipe_put(test_pipe *pipe, const void *data, size_t len) {
  if (pipe->len + len > pipe->cap) {
    pipe->cap = 2 * (pipe->len + len);
    pipe->data = realloc(pipe->data, pipe->cap);
    assert_non_null(pipe->data);
  }
  memcpy(pipe->data + pipe->len, data, len);
  pipe->len += len;
}

/* Moves up to a random number of bytes from side i into its pipe. */
static inline size_t test_pump_out(test_pair *p, int i, size_t most) {
  uint8_t buf[5000];
  size_t cap = 1 + test_random(&p->seed) % PLR_MIN(most, sizeof buf), n = 77;
  assert_int_equal(plr_link_transmit(p->side[i].link, p->now, buf, cap, &n), PLR_OK);
  assert_true(n <= cap);
  test_pipe_put(&p->pipe[i], buf, n);
  return n;
}

/* Moves up to a random number of bytes from pipe i into the other side. */
static inline plr_status test_pump_in(test_pair *p, int i, size_t most) {
  test_pipe *pipe = &p->pipe[i];
  size_t piece = 1 + test_random(&p->seed) % most, n = PLR_MIN(pipe->len, piece);
  if (n == 0) return PLR_OK;
  uint8_t *copy = malloc(n);
  memcpy(copy, pipe->data, n);
  memmove(pipe->data, pipe->data + n, pipe->len - n);
  pipe->len -= n;
  plr_status st = plr_link_receive(p->side[1 - i].link, p->now, copy, n);
  free(copy);
  return st;
}

/* Pumps both ways until nothing moves; the first status that is not OK from receive, else OK. */
static inline plr_status test_settle(test_pair *p) {
  plr_status first = PLR_OK;
  for (int idle = 0; idle < 3;) {
    size_t moved = test_pump_out(p, 0, 5000) + test_pump_out(p, 1, 5000);
    for (int i = 0; i < 2; i++) {
      moved += p->pipe[i].len;
      plr_status st = test_pump_in(p, i, 5000);
      if (first == PLR_OK && st != PLR_ERR_INVALID_STATE) first = st;
    }
    idle = moved ? 0 : idle + 1;
  }
  return first;
}

static inline void test_expect_event(plr_link *link, uint32_t type, plr_link_event *event) {
  plr_link_event other;
  if (!event) event = &other;
  plr_status st = plr_link_next_event(link, event);
  if (st != PLR_OK || event->type != type)
    fail_msg("event %u expected: %s, event %u, %s: %s", type, plr_status_name(st), event->type,
             plr_status_name((plr_status)event->status), event->message ? event->message : "");
}

static inline void test_expect_none(plr_link *link) {
  plr_link_event event;
  assert_int_equal(plr_link_next_event(link, &event), PLR_ERR_AGAIN);
}

/* Both sides verified, events taken. */
static inline void test_pair_ready(test_pair *p) {
  test_pair_start(p);
  assert_int_equal(test_settle(p), PLR_OK);
  test_expect_event(p->side[0].link, PLR_LINK_READY, NULL);
  test_expect_event(p->side[1].link, PLR_LINK_READY, NULL);
}

/* What a peer might say, over a link that is not sealed. */
static inline plr_status test_give(plr_link *link, uint64_t now, uint32_t type, const void *body,
                                   size_t len) {
  uint8_t *message = malloc(len + PLR_MSG_HEADER);
  size_t n = plr__message_write(message, type, body, len);
  plr_status st = plr_link_receive(link, now, message, n);
  free(message);
  return st;
}

static inline size_t test_fragment(uint8_t *out, uint32_t lane, uint64_t number, uint32_t total,
                                   uint32_t at, const void *data, size_t len) {
  out[0] = PLR_ITEM_FRAGMENT, out[1] = (uint8_t)lane;
  plr__store_le16(out + 2, (uint16_t)len);
  plr__store_le32(out + 4, total);
  plr__store_le32(out + 8, at);
  plr__store_le64(out + 12, number);
  if (data) memcpy(out + PLR_FRAGMENT_HEADER, data, len);
  return PLR_FRAGMENT_HEADER + len;
}

/* A whole frame, in as many messages as it takes. */
static inline plr_status test_give_frame(plr_link *link, uint64_t now, uint64_t number,
                                         const uint8_t *frame, size_t len) {
  uint8_t payload[PLR_LINK_PAYLOAD];
  plr_status st = PLR_OK;
  for (size_t at = 0; at < len && st == PLR_OK;) {
    size_t piece = PLR_MIN(len - at, sizeof payload - PLR_FRAGMENT_HEADER);
    size_t n = test_fragment(payload, 1, number, (uint32_t)len, (uint32_t)at, frame + at, piece);
    st = test_give(link, now, PLR_MSG_DATA, payload, n);
    at += piece;
  }
  return st;
}

static inline void test_unsealed(test_pair *p) {
  p->side[0].options.seal = p->side[1].options.seal = 0;
}

#endif
