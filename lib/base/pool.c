/* A pool of threads that cuts 0 .. n-1 into one static range per thread; the caller takes the
 * first.
 *
 * Each worker has its own ticket: only workers with something to do are woken, and a worker reads
 * the job only after its ticket moved, so the job may be rewritten as soon as all of them have
 * reported back. Workers look at their ticket for some microseconds before they sleep, since layers
 * follow each other closely; where there are fewer processors than threads that would only steal
 * time, and they sleep at once. */
#include "base/base_int.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SPIN_ROUNDS 1500 /* 20 to 70 us: a pause takes 14 to 45 ns on x86-64 */

/* A thread that waits for a value to change; the flag keeps wakers off the lock while it is up. */
typedef struct parking {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  _Atomic uint32_t asleep;
} parking;

typedef struct worker {
  _Alignas(PLR_ALIGN) _Atomic uint32_t ticket;
  uint32_t index; /* 1 .. threads-1 */
  parking park;
  pthread_t thread;
  struct plr_pool *pool;
} worker;

struct plr_pool {
  _Alignas(PLR_ALIGN) _Atomic uint32_t pending; /* workers that have not reported back */
  parking park;                                 /* of the caller */
  _Atomic uint32_t taken;
  _Atomic uint32_t stop;
  pid_t creator; /* threads do not survive fork: a child runs serially */
  uint32_t spin;
  uint32_t started; /* workers that run */
  void (*fn)(void *arg, uint32_t index);
  void *arg;
  uint32_t n, parts;
  worker workers[];
};

static void cpu_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb"); /* takes about as long; `yield` is a no-op on most processors */
#endif
}

static void parking_init(parking *p) {
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
  atomic_init(&p->asleep, 0);
}

static void parking_destroy(parking *p) {
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
}

/* Returns once *value is no longer `old` (until_zero == 0), or once it is 0 (until_zero == 1). The
 * flag and the value are sequentially consistent: either the waiter sees the new value or the waker
 * sees the flag. */
static uint32_t parking_wait(parking *p, _Atomic uint32_t *value, uint32_t old, int until_zero,
                             uint32_t spin) {
  uint32_t v = atomic_load(value);
  for (uint32_t i = 0; i < spin && (until_zero ? v != 0 : v == old); i++) {
    cpu_pause();
    v = atomic_load(value);
  }
  if (until_zero ? v == 0 : v != old) return v;
  pthread_mutex_lock(&p->lock);
  atomic_store(&p->asleep, 1);
  while (v = atomic_load(value), until_zero ? v != 0 : v == old)
    pthread_cond_wait(&p->wake, &p->lock);
  atomic_store(&p->asleep, 0);
  pthread_mutex_unlock(&p->lock);
  return v;
}

static void parking_wake(parking *p) {
  if (!atomic_load(&p->asleep)) return;
  pthread_mutex_lock(&p->lock);
  pthread_cond_signal(&p->wake);
  pthread_mutex_unlock(&p->lock);
}

static void run_part(plr_pool *pool, uint32_t part) {
  uint32_t begin = (uint32_t)((uint64_t)pool->n * part / pool->parts);
  uint32_t end = (uint32_t)((uint64_t)pool->n * (part + 1) / pool->parts);
  plr__run_range(pool->fn, pool->arg, begin, end);
}

static void *worker_main(void *arg) {
  worker *w = arg;
  plr_pool *pool = w->pool;
  uint32_t seen = 0;
  for (;;) {
    seen = parking_wait(&w->park, &w->ticket, seen, 0, pool->spin);
    if (atomic_load(&pool->stop)) return NULL;
    run_part(pool, w->index);
    if (atomic_fetch_sub(&pool->pending, 1) == 1) parking_wake(&pool->park);
  }
}

static void worker_call(worker *w) {
  atomic_fetch_add(&w->ticket, 1);
  parking_wake(&w->park);
}

int plr__pool_run(plr_pool *pool, uint32_t n, void (*fn)(void *arg, uint32_t index), void *arg) {
  if (getpid() != pool->creator) return 0;
  if (atomic_exchange(&pool->taken, 1)) return 0;
  pool->fn = fn;
  pool->arg = arg;
  pool->n = n;
  pool->parts = PLR_MIN(n, pool->started + 1);
  uint32_t helpers = pool->parts - 1;
  atomic_store(&pool->pending, helpers);
  for (uint32_t i = 0; i < helpers; i++) worker_call(&pool->workers[i]);
  run_part(pool, 0);
  parking_wait(&pool->park, &pool->pending, 0, 1, pool->spin);
  atomic_store(&pool->taken, 0);
  return 1;
}

static int worker_start(plr_pool *pool, uint32_t i) {
  worker *w = &pool->workers[i];
  atomic_init(&w->ticket, 0);
  w->index = i + 1;
  w->pool = pool;
  parking_init(&w->park);
  int failed = pthread_create(&w->thread, NULL, worker_main, w);
  if (failed) parking_destroy(&w->park);
  return failed;
}

plr_status plr__pool_create(plr_context *ctx, uint32_t threads, plr_pool **out, plr_error *err) {
  plr_pool *pool = plr__calloc(ctx, 1, sizeof *pool + (threads - 1) * sizeof(worker));
  if (!pool) return plr__no_memory(err, "context.threads");
  atomic_init(&pool->pending, 0);
  atomic_init(&pool->taken, 0);
  atomic_init(&pool->stop, 0);
  parking_init(&pool->park);
  pool->creator = getpid();
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  pool->spin = processors >= (long)threads ? SPIN_ROUNDS : 0;
  /* Signals are the host's business and go to the host's threads. */
  sigset_t all, saved;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &saved);
  int failed = 0;
  while (pool->started < threads - 1 && (failed = worker_start(pool, pool->started)) == 0)
    pool->started++;
  pthread_sigmask(SIG_SETMASK, &saved, NULL);
  if (failed) {
    uint32_t started = pool->started;
    plr__pool_destroy(ctx, pool);
    return plr__fail(err, PLR_ERR_UNAVAILABLE, "context.threads",
                     "only %u of %u worker threads could be started (error %d)", started,
                     threads - 1, failed);
  }
  *out = pool;
  return PLR_OK;
}

void plr__pool_destroy(plr_context *ctx, plr_pool *pool) {
  if (!pool) return;
  if (getpid() == pool->creator) {
    atomic_store(&pool->stop, 1);
    for (uint32_t i = 0; i < pool->started; i++) worker_call(&pool->workers[i]);
    for (uint32_t i = 0; i < pool->started; i++) {
      pthread_join(pool->workers[i].thread, NULL);
      parking_destroy(&pool->workers[i].park);
    }
    parking_destroy(&pool->park);
  }
  plr__free(ctx, pool);
}
