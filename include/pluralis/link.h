/* libpluralis: a link carries frames between two identities over any ordered byte stream the host owns.
 *
 * A link does no I/O and reads no clock. The host gives it the bytes that came (`receive`), takes the bytes to send
 * (`transmit`), tells it the time, and polls events. In 0.1 a link is authenticated by signature but not sealed: run
 * it over TLS or a tunnel where others can read or alter the stream.
 *
 * Hello: both sides send version, public key, model hash, profile hash and a nonce, then sign both hellos; any
 * mismatch ends the link with an event that names both sides' values. Flow control: a sender may have at most
 * `window` bytes of frames unacknowledged; a frame of n bytes counts as n + 256, so that small ones are bounded too. A
 * link holds no more memory than a small multiple of its own window, whatever the peer sends. lib/exchange/LINK.md
 * is the protocol.
 */
#ifndef PLURALIS_LINK_H
#define PLURALIS_LINK_H

#include <pluralis/identity.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A deadline that does not come. */
#define PLR_NEVER 0xffffffffffffffffull

/* One end of a link. */
typedef struct plr_link plr_link;

/* Who may be at the other end, and how much may be under way. */
typedef struct plr_link_options {
  uint32_t struct_size;
  uint32_t initiator;      /* 1 on the side that connected */
  plr_hash model;          /* both sides must have the same */
  plr_hash profile;        /* plr_profile_hash; both sides must have the same */
  uint8_t nonce[32];       /* fresh randomness of the host: makes a recorded hello worthless */
  uint8_t peer_key[32];    /* the public key expected; all zero = accept any */
  uint64_t window;         /* bytes of frames in flight, each direction; 4 KiB to 1 TiB, default 16 MiB */
  uint64_t keep_alive_ns;  /* default 5 s; 0 = none */
  uint64_t timeout_ns;     /* silence, or handshake, after which the link is dead; default 20 s; 0 = never */
} plr_link_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_link_options) as compiled. Since 0.1. */
PLR_API void plr_link_options_init(plr_link_options *options, uint32_t struct_size);

/* Creates a link; identity is borrowed until destroy. Errors: INVALID_ARGUMENT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_link_create(plr_context *ctx, const plr_identity *identity, const plr_link_options *options,
                                   plr_link **out, plr_error *err);
PLR_API void plr_link_destroy(plr_link *link);

/* Gives len bytes that arrived, all consumed. A protocol fault ends the link: a status of the -200 range (MALFORMED,
 * CHECKSUM, VERSION, MISMATCH, SIGNATURE, SEQUENCE), LIMIT for more than the window or max_frame, or NO_MEMORY; also
 * seen as PLR_LINK_CLOSED with its detail. INVALID_STATE: closed. Since 0.1. */
PLR_API plr_status plr_link_receive(plr_link *link, uint64_t now_ns, const void *data, size_t len);

/* Takes up to cap bytes to send; *written = 0 when there is nothing now. Control and gradient frames go first, but
 * a frame is never interrupted. Since 0.1. */
PLR_API plr_status plr_link_transmit(plr_link *link, uint64_t now_ns, void *buf, size_t cap, size_t *written);

/* Queues a frame, which is copied. priority 0 is sent first, 3 last. AGAIN: the queue holds `window` bytes already;
 * try again after PLR_LINK_WRITABLE. LIMIT: larger than a window or than the peer takes. INVALID_STATE: closed. Queuing
 * before READY is allowed (a frame the peer then turns out not to take ends the link with LIMIT). Since 0.1. */
PLR_API plr_status plr_link_send(plr_link *link, const void *frame, size_t len, uint32_t priority);

/* Time of the next call to advance (0 before the first call that names a time), or PLR_NEVER. Since 0.1. */
PLR_API uint64_t plr_link_next_deadline_ns(const plr_link *link);

/* Does what is due: acknowledgements, keep-alive, which then wait in transmit. CLOSED: the peer has been silent for
 * timeout_ns, also seen as PLR_LINK_CLOSED. Since 0.1. */
PLR_API plr_status plr_link_advance(plr_link *link, uint64_t now_ns);

/* Types of an event. */
#define PLR_LINK_READY 1u    /* both hellos verified; peer_key is known */
#define PLR_LINK_FRAME 2u    /* data, len: one whole frame */
#define PLR_LINK_WRITABLE 3u /* after AGAIN */
#define PLR_LINK_CLOSED 4u   /* status, message */

/* What happened. Its pointers are valid until the next call on the link that is not const. Frozen. */
typedef struct plr_link_event {
  uint32_t type;  /* PLR_LINK_* */
  int32_t status; /* of CLOSED: why */
  const uint8_t *data; /* of FRAME; may be given to plr_link_send */
  size_t len;          /* of data */
  const char *message; /* of CLOSED: why; else empty */
} plr_link_event;

/* Next event; AGAIN when there is none. Taking a FRAME event acknowledges it (within 25 ms, through transmit).
 * CLOSED is the last event. Since 0.1. */
PLR_API plr_status plr_link_next_event(plr_link *link, plr_link_event *event);

/* The host lost the byte stream, or wants to end it: frames not yet sent are dropped, and transmit gives a last
 * message for the peer if the stream is not inside a frame. Pending events can still be read. Since 0.1. */
PLR_API void plr_link_close(plr_link *link, plr_status why);

/* What a link has counted. Set struct_size before the call that fills it. */
typedef struct plr_link_stats {
  uint32_t struct_size, reserved;
  uint64_t bytes_sent, bytes_received;   /* on the stream, everything counted */
  uint64_t frames_sent, frames_received; /* whole ones */
  uint64_t queued_bytes;                 /* waiting to be sent */
} plr_link_stats;

/* Fills *stats. Errors: INVALID_ARGUMENT. Threads: const. Since 0.1. */
PLR_API plr_status plr_link_get_stats(const plr_link *link, plr_link_stats *stats);

/* Public key of the peer, all zero before READY. Since 0.1. */
PLR_API void plr_link_peer_key(const plr_link *link, uint8_t out[32]);

#ifdef __cplusplus
}
#endif

#endif
