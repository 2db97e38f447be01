/* Sleeping on a word: park returns when the word no longer holds `value`, or earlier for no reason; the caller looks
 * again. On Linux this is a futex, elsewhere a lock and a condition. Whoever changes a word that may be slept on wakes
 * it afterwards. */
#ifndef PLR_BASE_PARK_H
#define PLR_BASE_PARK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of unistd.h, which hides it from programs that ask for POSIX alone. */
extern long syscall(long number, ...);

typedef struct plr_park {
  char unused;
} plr_park;

static inline void plr__park_init(plr_park *p) {
  (void)p;
}
static inline void plr__park_destroy(plr_park *p) {
  (void)p;
}
static inline void plr__park(plr_park *p, _Atomic uint32_t *word, uint32_t value) {
  (void)p;
  (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static inline void plr__unpark(plr_park *p, _Atomic uint32_t *word) {
  (void)p;
  (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#else

typedef struct plr_park {
  pthread_mutex_t lock;
  pthread_cond_t wake;
} plr_park;

static inline void plr__park_init(plr_park *p) {
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
}
static inline void plr__park_destroy(plr_park *p) {
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
}
static inline void plr__park(plr_park *p, _Atomic uint32_t *word, uint32_t value) {
  pthread_mutex_lock(&p->lock);
  if (atomic_load(word) == value) pthread_cond_wait(&p->wake, &p->lock);
  pthread_mutex_unlock(&p->lock);
}
static inline void plr__unpark(plr_park *p, _Atomic uint32_t *word) {
  (void)word;
  pthread_mutex_lock(&p->lock);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
}

#endif

#endif
