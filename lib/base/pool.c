/* The context's own threads. The caller works too; each worker is called through one word of its own.
 *
 * The machine may be busy with other things, so nobody waits for a thread that has not begun: whoever runs takes
 * tasks until none is left (threads.c), and then the caller calls back every worker that has not started. What it
 * waits for is only a task that somebody is in the middle of. Both sides look at the word for some microseconds
 * before they sleep, since layers follow each other closely; where there are fewer processors than threads that
 * would only steal time, and they sleep at once. */
#include "base/base_int.h"
#include "base/park.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SPIN_ROUNDS 1500 /* 20 to 70 us: a pause takes 14 to 45 ns on x86-64 */

/* What a worker's word says. The caller moves it from IDLE to CALLED, and back if the worker has not begun; the
 * worker from CALLED to RUNNING and then to IDLE. ASLEEP is IDLE, and WATCHED is RUNNING, with somebody to wake. */
enum { IDLE, ASLEEP, CALLED, RUNNING, WATCHED, STOP };

typedef struct worker {
  _Alignas(PLR_ALIGN) _Atomic uint32_t word;
  uint32_t lane; /* 1 .. threads-1 */
  plr_park park; /* of the worker or, while it runs, of the caller */
  pthread_t thread;
  struct plr_pool *pool;
} worker;

struct plr_pool {
  _Alignas(PLR_ALIGN) _Atomic uint32_t taken;
  pid_t creator; /* threads do not survive fork: a child runs serially */
  uint32_t spin;
  uint32_t started; /* workers that run */
  plr_tasks *tasks;
  worker workers[];
};

static void cpu_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb"); /* takes about as long; `yield` is a no-op on most processors */
#endif
}

/* Returns once the word is not `value`; while it sleeps the word is `sleeping`. */
static void wait_while(worker *w, uint32_t value, uint32_t sleeping, uint32_t spin) {
  for (uint32_t i = 0; i < spin && atomic_load(&w->word) == value; i++) cpu_pause();
  uint32_t now = value;
  if (!atomic_compare_exchange_strong(&w->word, &now, sleeping)) return;
  while (atomic_load(&w->word) == sleeping) plr__park(&w->park, &w->word, sleeping);
}

static void *worker_main(void *arg) {
  worker *w = arg;
  plr_pool *pool = w->pool;
  for (;;) {
    wait_while(w, IDLE, ASLEEP, pool->spin);
    uint32_t now = CALLED;
    if (atomic_compare_exchange_strong(&w->word, &now, RUNNING)) {
      plr__tasks_work(pool->tasks, w->lane);
      if (atomic_exchange(&w->word, IDLE) == WATCHED) plr__unpark(&w->park, &w->word);
    } else if (now == STOP) {
      return NULL;
    } /* else it was called back */
  }
}

static void worker_call(worker *w, uint32_t word) {
  if (atomic_exchange(&w->word, word) == ASLEEP) plr__unpark(&w->park, &w->word);
}

/* Nothing is left to do: calls the worker back, or waits for the task it is in. */
static void worker_finish(worker *w, uint32_t spin) {
  uint32_t now = CALLED;
  if (!atomic_compare_exchange_strong(&w->word, &now, IDLE) && now == RUNNING)
    wait_while(w, RUNNING, WATCHED, spin);
}

int plr__pool_run(plr_pool *pool, plr_tasks *tasks) {
  if (getpid() != pool->creator) return 0;
  if (atomic_exchange(&pool->taken, 1)) return 0;
  pool->tasks = tasks;
  uint32_t helpers = PLR_MIN(tasks->lanes - 1, pool->started);
  for (uint32_t i = 0; i < helpers; i++) worker_call(&pool->workers[i], CALLED);
  plr__tasks_work(tasks, 0);
  for (uint32_t i = 0; i < helpers; i++) worker_finish(&pool->workers[i], pool->spin);
  atomic_store(&pool->taken, 0);
  return 1;
}

static int worker_start(plr_pool *pool, uint32_t i) {
  worker *w = &pool->workers[i];
  atomic_init(&w->word, IDLE);
  w->lane = i + 1;
  w->pool = pool;
  plr__park_init(&w->park);
  int failed = pthread_create(&w->thread, NULL, worker_main, w);
  if (failed) plr__park_destroy(&w->park);
  return failed;
}

plr_status plr__pool_create(plr_context *ctx, uint32_t threads, plr_pool **out, plr_error *err) {
  plr_pool *pool = plr__calloc(ctx, 1, sizeof *pool + (threads - 1) * sizeof(worker));
  if (!pool) return plr__no_memory(err, "context.threads");
  atomic_init(&pool->taken, 0);
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
    for (uint32_t i = 0; i < pool->started; i++) worker_call(&pool->workers[i], STOP);
    for (uint32_t i = 0; i < pool->started; i++) {
      pthread_join(pool->workers[i].thread, NULL);
      plr__park_destroy(&pool->workers[i].park);
    }
  }
  plr__free(ctx, pool);
}
