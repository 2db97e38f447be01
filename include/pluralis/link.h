/* libpluralis: a link carries frames between two identities over any byte stream or datagrams the host owns.
 *
 * A link does no I/O and reads no clock. The host gives it the bytes that came (`receive`), takes the bytes to send
 * (`transmit`), tells it the time, and polls events.
 *
 * Hello: both sides send versions, codec ids, public key, model hash, profile hash, a nonce and a key for the exchange,
 * then sign both hellos; any mismatch ends the link with an event that names both sides' values. Sealing: what follows
 * is encrypted and authenticated (X25519; over a stream libsodium's secretstream, in datagrams XChaCha20-Poly1305),
 * unless both sides turn it off because the host runs TLS or QUIC already. Resume: when a stream is lost the host makes a
 * new one and calls plr_link_resume at both ends; nothing is lost or doubled. Datagrams may be lost, repeated and
 * reordered; frames arrive whole, and in order within a priority.
 *
 * Flow control: a sender may have at most `window` bytes of frames that the other host has not taken; a frame of n bytes
 * counts as n + 256, so that small ones are bounded too. A link holds no more memory than a small multiple of its own
 * window, whatever the peer sends. lib/exchange/LINK.md is the protocol.
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
  uint8_t nonce[32];       /* fresh, secret randomness of the host, from which the session's keys come: use it once */
  uint8_t peer_key[32];    /* the public key expected; all zero = accept any */
  uint64_t window;         /* bytes of frames in flight, each direction; 4 KiB to 1 TiB, default 16 MiB */
  uint64_t keep_alive_ns;  /* default 5 s; 0 = none */
  uint64_t timeout_ns;     /* silence, or handshake, after which the link is dead; default 20 s; 0 = never */
  uint32_t seal;           /* 1, the default: sealed; 0: the host has TLS or QUIC below. Both sides must have the same */
  uint32_t datagram;       /* 0: an ordered byte stream; else datagrams of at most this many bytes, 512 to 65507 */
} plr_link_options;

/* Fills *options with the defaults. struct_size: sizeof(plr_link_options) as compiled. Since 0.1. */
PLR_API void plr_link_options_init(plr_link_options *options, uint32_t struct_size);

/* Creates a link; identity is borrowed until destroy. Errors: INVALID_ARGUMENT, NO_MEMORY. Since 0.1. */
PLR_API plr_status plr_link_create(plr_context *ctx, const plr_identity *identity, const plr_link_options *options,
                                   plr_link **out, plr_error *err);
PLR_API void plr_link_destroy(plr_link *link);

/* Gives len bytes that arrived, all consumed; in datagram mode exactly one datagram, which is dropped if it is not of
 * this session, altered or repeated. A protocol fault ends the link: a status of the -200 range (MALFORMED,
 * CHECKSUM, VERSION, MISMATCH, SIGNATURE, SEQUENCE), LIMIT for more than the window or max_frame, or NO_MEMORY; also
 * seen as PLR_LINK_CLOSED with its detail. INVALID_STATE: closed. Since 0.1. */
PLR_API plr_status plr_link_receive(plr_link *link, uint64_t now_ns, const void *data, size_t len);

/* Takes up to cap bytes to send; *written = 0 when there is nothing now. Frames of higher priority go
 * first, also before the rest of one that has been begun. In datagram mode one datagram a call; cap must be at least
 * `datagram`, else INVALID_ARGUMENT. Since 0.1. */
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

/* The host lost the byte stream (or, in datagram mode, the path) and has a new one: from now on bytes go and come over
 * that, beginning with a new handshake between the same two links; both hosts call this. Frames that the other host has
 * not got are sent again, half-received ones are dropped, and PLR_LINK_RESUMED follows. Bytes of the old stream must not
 * be given any more. nonce: as in the options, and new each time (INVALID_ARGUMENT: it was used). While there is no stream
 * the link goes on counting silence: after timeout_ns it is closed for good. INVALID_STATE: closed. Since 0.1. */
PLR_API plr_status plr_link_resume(plr_link *link, uint64_t now_ns, const uint8_t nonce[32]);

/* Types of an event. */
#define PLR_LINK_READY 1u    /* both hellos verified; peer_key is known */
#define PLR_LINK_FRAME 2u    /* data, len: one whole frame */
#define PLR_LINK_WRITABLE 3u /* after AGAIN */
#define PLR_LINK_CLOSED 4u   /* status, message */
#define PLR_LINK_RESUMED 5u  /* after plr_link_resume: both hellos verified again */

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

/* Ends the link for good: frames not yet sent are dropped, and transmit gives a last message for the peer. Pending
 * events can still be read. Since 0.1. */
PLR_API void plr_link_close(plr_link *link, plr_status why);

/* What a link has counted. Set struct_size before the call that fills it. */
typedef struct plr_link_stats {
  uint32_t struct_size, reserved;
  uint64_t bytes_sent, bytes_received;   /* on the stream, everything counted */
  uint64_t frames_sent, frames_received; /* whole ones */
  uint64_t queued_bytes;                 /* waiting to be sent */
  uint64_t unacked_bytes;                /* begun and not yet taken by the other host, 256 more for each frame */
  uint64_t retransmits;                  /* frames, or pieces of them in datagram mode, that were sent again */
  uint64_t duplicates;                   /* frames or pieces that came again, and were dropped */
  uint64_t rejected;                     /* datagrams dropped: altered, repeated, or of no session */
  uint64_t resumes;                      /* handshakes after the first */
  uint64_t rtt_ns;                       /* time there and back, smoothed; 0: not measured yet */
  uint64_t bytes_per_s;                  /* delivery rate: 25th percentile of the last 16 samples; 0: not measured yet */
} plr_link_stats;

/* Fills *stats. Errors: INVALID_ARGUMENT. Threads: const. Since 0.1. */
PLR_API plr_status plr_link_get_stats(const plr_link *link, plr_link_stats *stats);

/* *bytes = what the link carries in interval_ns at its delivery rate, less a tenth for all else: give it to the encoder
 * whose frames go over this link once per interval. The rate is 25th percentile of the last 16 samples and moves in
 * steps of a tenth or more, so that the budget does not follow noise. It depends on time: where runs are replayed, the
 * budget belongs into the journal. AGAIN and 0 while there is no rate. Threads: const. Since 0.1. */
PLR_API plr_status plr_link_budget(const plr_link *link, uint64_t interval_ns, uint64_t *bytes);

/* Public key of the peer, all zero before READY. Since 0.1. */
PLR_API void plr_link_peer_key(const plr_link *link, uint8_t out[32]);

#ifdef __cplusplus
}
#endif

#endif
