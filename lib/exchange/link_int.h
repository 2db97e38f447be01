/* What the files of the link share with each other and with its tests. LINK.md is the norm. */
#ifndef PLR_EXCHANGE_LINK_INT_H
#define PLR_EXCHANGE_LINK_INT_H

#include "base/guard.h"
#include "exchange/exchange_int.h"

#define PLR_LINK_MAJOR 1u
#define PLR_LINK_MINOR 0u

#define PLR_MSG_HELLO  1u
#define PLR_MSG_AUTH   2u
#define PLR_MSG_FRAME  3u
#define PLR_MSG_ACK    4u
#define PLR_MSG_PING   5u
#define PLR_MSG_PONG   6u
#define PLR_MSG_BYE    7u
#define PLR_MSG_HEADER 9u

#define PLR_HELLO_BYTES     176u
#define PLR_HELLO_MAX_BYTES 1024u
#define PLR_AUTH_BYTES      64u
#define PLR_LINK_FRAME_COST 256u
#define PLR_LINK_ACK_DELAY  UINT64_C(25000000)
#define PLR_LINK_PRIORITIES 4u
#define PLR_LINK_MIN_WINDOW 4096u
#define PLR_LINK_POOL_CLASS 40u

/* ---- buffers: frames on their way in or out ---------------------------------------------------- */

typedef struct plr__link_buffer {
  struct plr__link_buffer *next;
  size_t len;
  uint32_t size_class;
  uint32_t crc; /* of a frame to be sent: what its message header says */
  uint8_t *data;
} plr__link_buffer;

typedef struct plr__link_fifo {
  plr__link_buffer *head, *tail;
} plr__link_fifo;

/* Blocks of 256 << class bytes, kept for reuse as long as all of them together, idle or not, are at most `keep`
 * bytes. Twice the windows of both directions is what a full link holds, so that a steady flow of frames
 * allocates nothing. */
typedef struct plr__link_pool {
  plr_context *ctx;
  plr__link_buffer *idle[PLR_LINK_POOL_CLASS];
  uint64_t total, keep;
} plr__link_pool;

plr__link_buffer *plr__link_buffer_take(plr__link_pool *pool, size_t len);
void plr__link_buffer_give(plr__link_pool *pool, plr__link_buffer *b); /* NULL is fine */
void plr__link_pool_release(plr__link_pool *pool);
void plr__link_fifo_put(plr__link_fifo *f, plr__link_buffer *b);
plr__link_buffer *plr__link_fifo_take(plr__link_fifo *f); /* NULL when empty */

/* ---- hello ------------------------------------------------------------------------------------- */

typedef struct plr__hello {
  uint32_t initiator;
  uint64_t window, max_frame;
  uint8_t key[32], nonce[32];
  plr_hash model, profile;
} plr__hello;

void plr__hello_write(uint8_t out[PLR_HELLO_BYTES], const plr__hello *h);
/* Reads and checks a peer's hello against ours. Errors: MALFORMED, VERSION, MISMATCH, SEQUENCE. */
plr_status plr__hello_read(plr__hello *out, const uint8_t *body, size_t len, const plr__hello *ours,
                           const uint8_t expected_key[32], plr_error *err);

/* What the side `role` signs; at most PLR_TRANSCRIPT_MAX_BYTES. */
#define PLR_TRANSCRIPT_MAX_BYTES (25u + 2u * PLR_HELLO_MAX_BYTES)
size_t plr__link_transcript(uint8_t *out, uint32_t role, const uint8_t *initiator,
                            size_t initiator_len, const uint8_t *responder, size_t responder_len);

uint32_t plr__message_crc(const uint8_t header[5], const void *body, size_t len);
/* Writes header and body; returns their length. */
size_t plr__message_write(uint8_t *out, uint32_t type, const void *body, size_t len);

/* ---- the link ---------------------------------------------------------------------------------- */

typedef enum plr__link_state { LINK_HELLO, LINK_AUTH, LINK_READY, LINK_CLOSED } plr__link_state;

typedef struct plr__link_rx {
  uint8_t header[PLR_MSG_HEADER];
  uint8_t body[PLR_HELLO_MAX_BYTES]; /* of a message that is not a frame */
  uint8_t *to;                       /* where the body goes */
  size_t have, len;                  /* of header and body */
  uint32_t type, crc;
  plr__link_buffer *frame;     /* being received */
  plr__link_fifo frames;       /* complete */
  plr__link_buffer *taken;     /* the host is looking at it */
  uint64_t used;               /* cost received and not acknowledged */
  uint64_t to_ack, ack_due_ns; /* cost taken by the host, not acknowledged */
} plr__link_rx;

typedef struct plr__link_tx {
  uint8_t message[PLR_MSG_HEADER + PLR_HELLO_BYTES];
  size_t pos, len;         /* of message: a short message, or the header of `frame` */
  plr__link_buffer *frame; /* being sent, after its header */
  size_t frame_pos;
  plr__link_fifo queue[PLR_LINK_PRIORITIES];
  uint64_t queued_cost, queued_bytes;
  uint64_t unacked; /* cost sent and not acknowledged */
  uint64_t refused; /* cost of the frame that got AGAIN */
  uint64_t pong;
  uint32_t want_auth, want_bye, want_ping, want_pong, want_ack;
} plr__link_tx;

struct plr_link {
  plr_context *ctx;
  PLR_GUARDED
  const plr_identity *identity;
  plr_link_options options;
  plr__link_state state;
  plr__hello ours, peer;
  uint8_t our_hello[PLR_HELLO_BYTES];
  uint8_t peer_hello[PLR_HELLO_MAX_BYTES];
  size_t peer_hello_len;
  plr__link_pool pool;
  plr__link_rx rx;
  plr__link_tx tx;
  uint32_t started, verified;
  uint64_t now_ns, start_ns, last_rx_ns, last_tx_ns;
  uint32_t event_ready, event_writable, event_closed;
  plr_error closed; /* status and message of the end */
  plr_link_stats stats;
};

/* The frame of the last event is not valid any more. */
void plr__link_drop_taken(plr_link *link);
void plr__link_clock(plr_link *link, uint64_t now_ns);
/* Ends the link for the reason in link->closed; returns its status. */
plr_status plr__link_end(plr_link *link);
/* The same, with a reason. */
plr_status plr__link_fail(plr_link *link, plr_status st, const char *where, const char *fmt, ...)
    PLR_PRINTF(4, 5);
static inline uint64_t plr__link_cost(uint64_t len) {
  return len + PLR_LINK_FRAME_COST;
}

#endif
