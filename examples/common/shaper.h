/* A slow link in user space: what is put in comes out `delay` later, at no more than `rate`.
 *
 * It models one direction of one link: bytes are serialised on a wire of `bits_per_s`, then
 * travel for `delay_ns`. It reads no clock and owns no timer; the transport asks when to come
 * back. */
#ifndef EXAMPLES_SHAPER_H
#define EXAMPLES_SHAPER_H

#include <stddef.h>
#include <stdint.h>

#define SHAPER_CHUNK 16384

struct shaper_chunk {
  struct shaper_chunk *next;
  uint64_t due_ns;
  size_t len;
  unsigned char data[SHAPER_CHUNK];
};

struct shaper {
  uint64_t bits_per_s; /* 0 = not limited */
  uint64_t delay_ns;
  uint64_t free_ns; /* when the wire has sent all it was given */
  size_t chunk_max, held, held_max;
  double loss; /* part of what shaper_put_or_drop drops at random; 0 to begin with */
  uint64_t random;
  struct shaper_chunk *first, **last, *spare;
};

void shaper_init(struct shaper *s, uint64_t bits_per_s, uint64_t delay_ns);
/* From now on; what is on the wire keeps its time. */
void shaper_set_rate(struct shaper *s, uint64_t bits_per_s);
void shaper_free(struct shaper *s);

/* A chunk to fill with at most *room bytes, or NULL while the wire is busy. It is then given
 * back with its len set: to shaper_put to be sent, or to shaper_recycle. */
struct shaper_chunk *shaper_take(struct shaper *s, uint64_t now_ns, size_t *room);
void shaper_put(struct shaper *s, uint64_t now_ns, struct shaper_chunk *chunk);

/* For senders that pace themselves: a chunk whether or not the wire is busy, with room for SHAPER_CHUNK bytes; and what
 * has waited for the wire for too long, or meets with `loss`, is dropped, as a router would. */
struct shaper_chunk *shaper_spare(struct shaper *s);
void shaper_put_or_drop(struct shaper *s, uint64_t now_ns, struct shaper_chunk *chunk);

/* Forgets all that is under way. */
void shaper_clear(struct shaper *s);

/* The next chunk that has arrived at the far end, or NULL. It belongs to the caller until
 * recycled. */
struct shaper_chunk *shaper_due(struct shaper *s, uint64_t now_ns);
void shaper_recycle(struct shaper *s, struct shaper_chunk *chunk);

/* When a chunk falls due, or UINT64_MAX; and when a busy wire has room again (now or earlier: it
 * has). */
uint64_t shaper_next_due_ns(const struct shaper *s);
uint64_t shaper_next_room_ns(const struct shaper *s);

#endif
