#include "shaper.h"

#include <stdlib.h>
#include <string.h>

#include "strbuf.h"

/* Host timers tick in milliseconds. The wire is therefore filled this far ahead of the clock (so
 * that it never idles between two ticks: the rate stays exact), and a chunk counts as arrived
 * half a tick early (so that the delay is right on average). */
#define AHEAD_NS     2000000u
#define HALF_TICK_NS 500000u

/* What a router keeps for a slow wire. */
#define QUEUE_NS 100000000u

#define HELD_MIN ((size_t)1 << 20)
#define HELD_MAX ((size_t)64 << 20)

static uint64_t serialise_ns(const struct shaper *s, size_t bytes) {
  return s->bits_per_s ? (uint64_t)((double)bytes * 8e9 / (double)s->bits_per_s) : 0;
}

void shaper_set_rate(struct shaper *s, uint64_t bits_per_s) {
  s->bits_per_s = bits_per_s;
  /* A chunk takes about 1 ms of the wire, so that urgent frames wait no longer than that. */
  double per_ms = bits_per_s ? (double)bits_per_s / 8e3 : SHAPER_CHUNK;
  s->chunk_max = per_ms < 64 ? 64 : per_ms > SHAPER_CHUNK ? SHAPER_CHUNK : (size_t)per_ms;
  /* What may be under way: twice the bandwidth-delay product; without a rate, HELD_MAX. */
  double flight = bits_per_s ? (double)bits_per_s / 4e9 * (double)s->delay_ns : (double)HELD_MAX;
  s->held_max = flight < (double)HELD_MIN   ? HELD_MIN
                : flight > (double)HELD_MAX ? HELD_MAX
                                            : (size_t)flight;
}

void shaper_init(struct shaper *s, uint64_t bits_per_s, uint64_t delay_ns) {
  memset(s, 0, sizeof *s);
  s->delay_ns = delay_ns;
  s->last = &s->first;
  s->random = 0x9e3779b97f4a7c15u;
  shaper_set_rate(s, bits_per_s);
}

static void free_list(struct shaper_chunk *chunk) {
  while (chunk) {
    struct shaper_chunk *next = chunk->next;
    free(chunk);
    chunk = next;
  }
}

void shaper_free(struct shaper *s) {
  free_list(s->first);
  free_list(s->spare);
  s->first = s->spare = NULL;
  s->last = &s->first;
}

struct shaper_chunk *shaper_spare(struct shaper *s) {
  struct shaper_chunk *chunk = s->spare;
  if (chunk) {
    s->spare = chunk->next;
  } else {
    chunk = must_alloc(1, sizeof *chunk);
  }
  chunk->len = 0;
  return chunk;
}

struct shaper_chunk *shaper_take(struct shaper *s, uint64_t now_ns, size_t *room) {
  if (s->free_ns > now_ns + AHEAD_NS || s->held >= s->held_max) return NULL;
  *room = s->chunk_max;
  return shaper_spare(s);
}

void shaper_put(struct shaper *s, uint64_t now_ns, struct shaper_chunk *chunk) {
  if (s->free_ns < now_ns) s->free_ns = now_ns;
  s->free_ns += serialise_ns(s, chunk->len);
  chunk->due_ns = s->free_ns + s->delay_ns;
  chunk->next = NULL;
  *s->last = chunk;
  s->last = &chunk->next;
  s->held += chunk->len;
}

/* xorshift64 (G. Marsaglia, 2003): the same losses every time. */
static double chance(struct shaper *s) {
  s->random ^= s->random << 13;
  s->random ^= s->random >> 7;
  s->random ^= s->random << 17;
  return (double)(s->random >> 11) * 0x1p-53;
}

void shaper_put_or_drop(struct shaper *s, uint64_t now_ns, struct shaper_chunk *chunk) {
  if (s->free_ns > now_ns + QUEUE_NS || s->held >= HELD_MAX || chance(s) < s->loss) {
    chunk->len = 0;
    shaper_recycle(s, chunk);
  } else {
    shaper_put(s, now_ns, chunk);
  }
}

struct shaper_chunk *shaper_due(struct shaper *s, uint64_t now_ns) {
  struct shaper_chunk *chunk = s->first;
  if (!chunk || chunk->due_ns > now_ns + HALF_TICK_NS) return NULL;
  s->first = chunk->next;
  if (!s->first) s->last = &s->first;
  return chunk;
}

void shaper_recycle(struct shaper *s, struct shaper_chunk *chunk) {
  /* A chunk that was never put has len 0. */
  s->held -= chunk->len;
  chunk->next = s->spare;
  s->spare = chunk;
}

void shaper_clear(struct shaper *s) {
  struct shaper_chunk *chunk;
  while ((chunk = shaper_due(s, UINT64_MAX - HALF_TICK_NS))) shaper_recycle(s, chunk);
  s->free_ns = 0;
}

uint64_t shaper_next_due_ns(const struct shaper *s) {
  return s->first ? s->first->due_ns : UINT64_MAX;
}

uint64_t shaper_next_room_ns(const struct shaper *s) {
  return s->free_ns > AHEAD_NS ? s->free_ns - AHEAD_NS : 0;
}
