/* What the files of the link share with each other and with its tests. LINK.md is the norm.
 *
 *   link.c            life, clock, events                 link_items.c      what came, item by item
 *   link_message.c    hello, transcript, message header   link_transmit.c   what goes: payloads and streams
 *   link_handshake.c  hello and auth, resume              link_receive.c    messages of a stream
 *   link_seal.c       keys and ciphers                    link_datagram.c   packets: numbers, loss, history
 *   link_lanes.c      frames by priority and number       link_pace.c       how fast datagrams go
 *   link_pool.c       buffers                             link_rate.c       delivery rate and budget */
#ifndef PLR_EXCHANGE_LINK_INT_H
#define PLR_EXCHANGE_LINK_INT_H

#include "base/guard.h"
#include "exchange/exchange_int.h"

#include <sodium.h>

#define PLR_LINK_MAJOR 2u
#define PLR_LINK_MINOR 0u

/* Types of a message of a stream; HELLO, DATA, SEALED and BYE are those of a datagram too. */
#define PLR_MSG_HELLO  1u
#define PLR_MSG_AUTH   2u
#define PLR_MSG_DATA   3u
#define PLR_MSG_SEALED 4u
#define PLR_MSG_BYE    5u
#define PLR_MSG_HEADER 9u

/* Types of an item of a payload. */
#define PLR_ITEM_FRAGMENT 1u
#define PLR_ITEM_RECEIVED 2u /* on a stream */
#define PLR_ITEM_HISTORY  3u /* of datagrams */
#define PLR_ITEM_TAKEN    4u
#define PLR_ITEM_PING     5u
#define PLR_ITEM_PONG     6u
#define PLR_ITEM_BYE      7u

#define PLR_FRAGMENT_HEADER 20u
#define PLR_RECEIVED_BYTES  13u
#define PLR_HISTORY_BYTES   45u
#define PLR_TAKEN_BYTES     10u
#define PLR_PING_BYTES      9u
#define PLR_ITEM_BYE_BYTES  5u

#define PLR_HELLO_BYTES        336u
#define PLR_HELLO_MAX_BYTES    1024u
#define PLR_AUTH_BYTES         64u
#define PLR_LINK_FRAME_COST    256u
#define PLR_LINK_ACK_DELAY     UINT64_C(25000000)
#define PLR_LINK_REPORT_BYTES  32768u /* of a stream, reported as received at the latest then */
#define PLR_LINK_REPORT_LEAST  1024u  /* so many are, when the last report is PLR_LINK_REPORT_GAP ago */
#define PLR_LINK_REPORT_GAP    UINT64_C(5000000)
#define PLR_LINK_PRIORITIES    4u
#define PLR_LINK_MIN_WINDOW    4096u
#define PLR_LINK_POOL_CLASS    40u
#define PLR_LINK_PAYLOAD       16384u /* of a message of a stream, at most */
#define PLR_LINK_SMALL_PAYLOAD 1024u  /* at least, however little the host can take */
#define PLR_LINK_SEAL_BYTES    17u    /* crypto_secretstream_xchacha20poly1305_ABYTES */
#define PLR_LINK_MESSAGE_MAX   (PLR_MSG_HEADER + PLR_LINK_PAYLOAD + PLR_LINK_SEAL_BYTES)
#define PLR_LINK_REKEY         65536u /* messages of a stream under one key */

#define PLR_DATAGRAM_MIN      512u
#define PLR_DATAGRAM_MAX      65507u
#define PLR_DATAGRAM_OVERHEAD 25u /* type, number, tag */
#define PLR_DATAGRAM_REPLAY   4096u
#define PLR_DATAGRAM_LIMIT    (UINT64_C(1) << 48) /* datagrams under one key */
#define PLR_DATAGRAM_REFS     8u
#define PLR_DATAGRAM_DELAY    UINT64_C(5000000) /* of an acknowledgement */

/* ---- buffers: frames on their way in or out ---------------------------------------------------- */

typedef struct plr__link_buffer {
  struct plr__link_buffer *next;
  uint8_t *data, *map; /* map: of a frame coming in datagrams, bit i = fragment i is here */
  size_t len, have;    /* have: bytes here */
  uint64_t number;     /* within its lane */
  uint32_t size_class, lane;
} plr__link_buffer;

typedef struct plr__link_fifo {
  plr__link_buffer *head, *tail;
} plr__link_fifo;

/* Blocks of 256 << class bytes, kept for reuse as long as all of them together, idle or not, are at most `keep`
 * bytes. Twice the windows of what waits, what is under way and what came is what a full link holds, so that a
 * steady flow of frames allocates nothing. */
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

/* How far one side is with the frames of each priority: how many it has whole, and how many its host has taken. */
typedef struct plr__link_progress {
  uint64_t received[PLR_LINK_PRIORITIES], taken[PLR_LINK_PRIORITIES];
} plr__link_progress;

typedef struct plr__hello {
  uint32_t initiator, seal, datagram;
  uint64_t window, max_frame;
  uint8_t key[32], nonce[32], exchange[32];
  uint8_t id[32], peer_id[32]; /* nonces of the first hellos of both; the peer's 0 until it was verified */
  plr_hash model, profile;
  plr__link_progress progress;
} plr__hello;

void plr__hello_write(uint8_t out[PLR_HELLO_BYTES], const plr__hello *h);
/* Reads and checks a peer's hello against ours. Errors: MALFORMED, VERSION, MISMATCH, SEQUENCE. */
plr_status plr__hello_read(plr__hello *out, const uint8_t *body, size_t len, const plr__hello *ours,
                           const uint8_t expected_key[32], plr_error *err);

/* What the side `role` signs; at most PLR_TRANSCRIPT_MAX_BYTES. */
#define PLR_TRANSCRIPT_MAX_BYTES (25u + 2u * PLR_HELLO_MAX_BYTES)
size_t plr__link_transcript(uint8_t *out, uint32_t role, const uint8_t *initiator,
                            size_t initiator_len, const uint8_t *responder, size_t responder_len);
/* The same of a link that has both hellos. */
size_t plr__link_both_hellos(const plr_link *link, uint32_t role, uint8_t *out);

uint32_t plr__message_crc(const uint8_t header[5], const void *body, size_t len);
/* Writes header and body; returns their length. body may be out + PLR_MSG_HEADER. */
size_t plr__message_write(uint8_t *out, uint32_t type, const void *body, size_t len);

/* ---- sealing ----------------------------------------------------------------------------------- */

/* One direction of one epoch, that is, from one handshake to the next. */
typedef struct plr__seal {
  crypto_secretstream_xchacha20poly1305_state stream;
  uint8_t key[32], nonce[24]; /* of datagrams; the last 8 bytes are the number's */
  uint32_t tag;               /* of datagrams that are not sealed: what their checksum starts from */
  uint64_t count;             /* messages */
} plr__seal;

/* From the host's nonce: what goes into the hello, and the secret of the key exchange. */
void plr__link_derive(const uint8_t host_nonce[32], uint8_t nonce[32], uint8_t secret[32],
                      uint8_t exchange[32]);
/* Keys of both directions, from both hellos. MALFORMED: the peer's exchange key is worth nothing. */
plr_status plr__link_keys(plr_link *link);
/* A whole message: header and sealed or checked payload. Returns its length. */
size_t plr__link_seal(plr_link *link, uint8_t *out, const uint8_t *payload, size_t len);
/* The payload of a message, opened into out, which has room for len. */
plr_status plr__link_open(plr_link *link, const uint8_t *header, const uint8_t *body, size_t len,
                          uint8_t *out, size_t *out_len);
size_t plr__datagram_seal(plr_link *link, uint64_t number, uint8_t *out, const uint8_t *payload,
                          size_t len);
int plr__datagram_open(plr_link *link, const uint8_t *packet, size_t len, uint8_t *out,
                       size_t *out_len);

/* ---- lanes: the frames of one priority, in order ----------------------------------------------- */

typedef struct plr__tx_lane {
  plr__link_fifo frames;    /* from the first that the peer has not taken; numbered without gaps */
  plr__link_buffer *cursor; /* being sent, or next to be; NULL: none waits */
  size_t pos;               /* bytes of it sent */
  uint64_t base, begun, next; /* numbers: first held, first never begun, next to be queued */
  uint64_t done;              /* first never sent whole */
} plr__tx_lane;

typedef struct plr__rx_lane {
  plr__link_fifo frames; /* not whole, or not in order yet, by number */
  uint64_t next, taken;  /* numbers: the next one to be delivered, the next one the host takes */
  uint64_t told;         /* what the peer was told of `taken` */
} plr__rx_lane;

/* The next piece of a frame to be sent. */
typedef struct plr__fragment {
  plr__link_buffer *frame;
  uint64_t number;
  size_t at, len;
} plr__fragment;

/* A frame to be sent was begun within the credit, or goes on; at most `most` bytes of it. 0: none may go. */
int plr__lane_next(plr_link *link, size_t most, plr__fragment *f);
void plr__lane_sent(plr_link *link, const plr__fragment *f);
int plr__lane_waiting(const plr_link *link); /* something is left to send, whether or not credit allows it */
/* The peer's host has taken all frames below `number`. */
plr_status plr__lane_taken(plr_link *link, uint32_t lane, uint64_t number);
plr_status plr__lane_fragment(plr_link *link, uint32_t lane, uint64_t number, size_t total,
                              size_t at, const uint8_t *data, size_t len);
/* The first lane of which the peer says it has what it cannot have, or that it lacks what it had; -1: none. */
int plr__lanes_check(const plr_link *link, const plr__link_progress *p);
/* Goes back to the first frame that the peer has not got whole. */
void plr__lanes_rewind(plr_link *link, const plr__link_progress *p);
void plr__lanes_drop_partial(plr_link *link);
void plr__lanes_drop_queue(plr_link *link); /* frames that will not be sent any more */

/* ---- delivery rate ----------------------------------------------------------------------------- */

#define PLR_RATE_SAMPLES 16u
#define PLR_RATE_IDLES   8u

typedef struct plr__rate {
  uint64_t idle[PLR_RATE_IDLES]; /* positions of the stream before which there was nothing to send */
  uint32_t idles, samples, at, started;
  uint64_t pos, delivered, time_ns; /* of the last report */
  uint64_t burst_bytes, burst_ns;   /* of the sample that is being gathered */
  uint64_t sample[PLR_RATE_SAMPLES];
  uint64_t rate; /* bytes per second; 0: unknown */
} plr__rate;

void plr__rate_restart(plr__rate *r); /* a new stream: positions start again */
void plr__rate_idle(plr__rate *r, uint64_t pos);
void plr__rate_report(plr__rate *r, uint64_t pos, uint64_t delivered, uint64_t time_ns);

typedef struct plr__rtt {
  uint64_t smooth_ns, var_ns, min_ns, latest_ns;
} plr__rtt;
void plr__rtt_sample(plr__rtt *r, uint64_t ns);

/* ---- datagrams --------------------------------------------------------------------------------- */

typedef struct plr__packet_ref {
  plr__link_buffer *frame; /* to be looked at only while `number` is not below the base of `lane` */
  uint64_t number;
  uint32_t at, lane;
} plr__packet_ref;

/* A datagram that was sent and is neither acknowledged nor lost. */
typedef struct plr__packet {
  uint64_t number, sent_ns, delivered, delivered_ns, pos;
  uint32_t bytes, refs, live, limited, taken, reserved;
  plr__packet_ref ref[PLR_DATAGRAM_REFS];
} plr__packet;

/* How fast datagrams may go; link_pace.c. */
typedef struct plr__pace {
  uint64_t max_rate[2], min_rtt[2]; /* newest, and of the period before */
  uint64_t rtt_turn_ns;             /* when its period changes */
  uint64_t delivered, delivered_ns, flight, limited_until;
  uint64_t round, round_end, round_lost, round_delivered, round_rate, round_full;
  uint64_t full_rate, full_rounds, next_ns, phase_ns;
  uint32_t steady, phase;
} plr__pace;

typedef struct plr__datagrams {
  uint32_t size, fragment, peer_fragment, slots; /* slots: a power of 2 */
  plr__packet *packet;                           /* [slots], by number */
  plr__packet_ref *again;                        /* [slots * REFS]: a ring of what must be sent again */
  uint32_t again_at, again_count, flight_refs, backoff;
  uint64_t next, oldest, acked; /* numbers: next to be sent, oldest that is live, largest acknowledged */
  uint64_t pos, messages_sent;  /* bytes, and datagrams of data, sent in all */
  uint64_t seen[PLR_DATAGRAM_REPLAY / 64], largest; /* largest + 1 received; 0: none */
  uint32_t eliciting;                               /* received and not reported */
  uint64_t largest_ns;
  uint64_t hello_due_ns, hello_wait_ns, hello_sent_ns;
  uint32_t want_hello;
  plr__pace pace;
  uint8_t plain[PLR_DATAGRAM_MAX];
} plr__datagrams;

plr_status plr__datagrams_create(plr_link *link, plr_error *err);
void plr__datagrams_destroy(plr_link *link);
void plr__datagrams_restart(plr_link *link); /* a new epoch */
plr_status plr__datagram_receive(plr_link *link, const uint8_t *data, size_t len);
plr_status plr__datagram_transmit(plr_link *link, uint8_t *out, size_t cap, size_t *written);
uint64_t plr__datagram_deadline(const plr_link *link);
void plr__datagram_advance(plr_link *link);
plr_status plr__datagram_history(plr_link *link, const uint8_t *item);
size_t plr__datagram_put_history(plr_link *link, uint8_t *out);

void plr__pace_restart(plr__pace *p);
void plr__pace_sent(plr__pace *p, plr__packet *packet, uint64_t now_ns, uint32_t size);
void plr__pace_acked(plr__pace *p, const plr__packet *packet, const plr__rtt *rtt, uint64_t now_ns);
void plr__pace_lost(plr__pace *p, const plr__packet *packet);
/* When the next datagram may go: now or earlier, later, or PLR_NEVER while too much is under way. */
uint64_t plr__pace_next_ns(const plr__pace *p, uint32_t size);

/* ---- the link ---------------------------------------------------------------------------------- */

typedef enum plr__link_state { LINK_HELLO, LINK_AUTH, LINK_READY, LINK_CLOSED } plr__link_state;

typedef struct plr__link_rx {
  uint8_t header[PLR_MSG_HEADER];
  uint8_t body[PLR_LINK_PAYLOAD + PLR_LINK_SEAL_BYTES]; /* of a message that came in pieces */
  uint8_t plain[PLR_LINK_PAYLOAD + PLR_LINK_SEAL_BYTES];
  size_t have, len; /* of header and body */
  uint32_t type;
  plr__rx_lane lane[PLR_LINK_PRIORITIES];
  plr__link_fifo frames;         /* whole and in order, for the host */
  plr__link_buffer *taken;       /* the host is looking at it */
  uint64_t used;                 /* cost received and not acknowledged */
  uint64_t to_ack, ack_due_ns;   /* cost taken by the host, not acknowledged */
  uint64_t hello_ack;            /* what of it our hello tells */
  uint64_t messages;             /* with a payload, of this epoch */
  uint64_t bytes, reported;      /* on this stream: received, and told to the peer */
  uint64_t report_due_ns, report_ns; /* PLR_NEVER: none is due; time of the last one */
} plr__link_rx;

typedef struct plr__link_tx {
  uint8_t plain[PLR_LINK_PAYLOAD];
  uint8_t message[PLR_LINK_MESSAGE_MAX]; /* under way to the host */
  size_t pos, len;
  plr__tx_lane lane[PLR_LINK_PRIORITIES];
  uint64_t queued_cost, queued_bytes; /* cost of frames never begun; bytes not sent */
  uint64_t unacked;                   /* cost of frames begun and not taken */
  uint64_t refused;                   /* cost of the frame that got AGAIN */
  uint64_t bytes;                     /* on this stream */
  uint64_t probe_pos, probe_ns;       /* position whose arrival times the way; 0: none */
  uint64_t pong;
  uint32_t want_hello, want_auth, want_bye, want_ping, want_pong, want_ack, want_report;
  uint32_t bye_inside; /* the bye goes as an item: the peer knows the keys */
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
  uint8_t secret[32];   /* of the key exchange; wiped when both keys are made */
  plr__hello known;     /* the peer as the first handshake verified it */
  plr__seal tx_seal, rx_seal;
  plr__link_pool pool;
  plr__link_rx rx;
  plr__link_tx tx;
  plr__datagrams *dg; /* NULL over a stream */
  plr__rate rate;
  plr__rtt rtt;
  uint32_t started, verified, resuming;
  uint64_t now_ns, start_ns, last_rx_ns, last_tx_ns;
  uint32_t event_ready, event_resumed, event_writable, event_closed;
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

void plr__link_begin(plr_link *link, const uint8_t host_nonce[32]); /* a new epoch: our hello */
plr_status plr__link_take_hello(plr_link *link, const uint8_t *body, size_t len);
plr_status plr__link_take_auth(plr_link *link, const uint8_t signature[PLR_AUTH_BYTES]);
void plr__link_sign(const plr_link *link, uint8_t signature[PLR_AUTH_BYTES]);
plr_status plr__link_take_bye(plr_link *link, const uint8_t *body);

/* One payload, that is, items to its last byte. */
plr_status plr__link_items(plr_link *link, const uint8_t *p, size_t len);
/* Items other than fragments; packet (NULL on a stream) notes what matters if it is lost. */

size_t plr__link_short_items(plr_link *link, uint8_t *out, size_t room, plr__packet *packet);

static inline uint64_t plr__link_cost(uint64_t len) {
  return len + PLR_LINK_FRAME_COST;
}
/* What may be under way: neither side holds more than its own window. */
static inline uint64_t plr__link_credit(const plr_link *link) {
  return PLR_MIN(link->peer.window, link->options.window);
}
static inline uint64_t plr__link_later(uint64_t from, uint64_t delay) {
  return delay == 0 || from > PLR_NEVER - delay ? PLR_NEVER : from + delay;
}

#endif
