/* parallel_for: the pool, nesting, two callers, a host's executor, fork, the floating-point
 * environment. */
#include "base_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "float_mode.h"

#define MOST 1000

static void nap(int milliseconds) {
  struct timespec t = {0, milliseconds * 1000000L};
  nanosleep(&t, NULL);
}

typedef struct tally {
  _Atomic uint32_t hits[MOST];
} tally;

static void hit(void *arg, uint32_t i) {
  atomic_fetch_add(&((tally *)arg)->hits[i], 1);
}

static void expect_each(tally *t, uint32_t n, uint32_t times) {
  for (uint32_t i = 0; i < MOST; i++) {
    assert_int_equal(atomic_load(&t->hits[i]), i < n ? times : 0);
    atomic_store(&t->hits[i], 0);
  }
}

static plr_context *context_of(uint32_t threads) {
  plr_context_options o = test_options(NULL);
  o.threads = threads;
  return test_context(&o);
}

static void test_every_index_once(void **state) {
  (void)state;
  static tally t;
  const uint32_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 64, 999, MOST};
  for (uint32_t threads = 1; threads <= 8; threads++) {
    plr_context *ctx = context_of(threads);
    assert_int_equal(plr_context_threads(ctx), threads);
    for (size_t s = 0; s < PLR_COUNT_OF(sizes); s++) {
      for (int again = 0; again < 20; again++) plr__parallel_for(ctx, sizes[s], hit, &t);
      expect_each(&t, sizes[s], 20);
    }
    plr_context_destroy(ctx);
  }
}

/* Plain writes of the tasks are seen by the caller, and those of the caller by the next tasks. */
static void add_one(void *arg, uint32_t i) {
  ((uint32_t *)arg)[i * 16]++;
}

static void test_writes_are_visible(void **state) {
  (void)state;
  static uint32_t cells[16 * 16];
  for (uint32_t threads = 2; threads <= 4; threads++) {
    plr_context *ctx = context_of(threads);
    memset(cells, 0, sizeof cells);
    for (uint32_t round = 1; round <= 2000; round++) {
      plr__parallel_for(ctx, 16, add_one, cells);
      for (uint32_t i = 0; i < 16; i++) assert_int_equal(cells[i * 16], round);
    }
    /* A pause in which the workers fall asleep. */
    nap(20);
    plr__parallel_for(ctx, 16, add_one, cells);
    for (uint32_t i = 0; i < 16; i++) assert_int_equal(cells[i * 16], 2001);
    plr_context_destroy(ctx);
  }
}

/* Two threads must be inside at once, or this never ends: the pool does run things in parallel. */
static void meet(void *arg, uint32_t i) {
  _Atomic uint32_t *count = arg;
  (void)i;
  atomic_fetch_add(count, 1);
  while (atomic_load(count) < 4) nap(1);
}

static void test_really_parallel(void **state) {
  (void)state;
  plr_context *ctx = context_of(4);
  for (int i = 0; i < 5; i++) {
    _Atomic uint32_t count = 0;
    plr__parallel_for(ctx, 4, meet, &count);
    assert_int_equal(atomic_load(&count), 4);
  }
  plr_context_destroy(ctx);
}

/* One task holds its thread until all the others are done, those that were its thread's to begin with included: what
 * happens when a thread has lost its processor. */
typedef struct held {
  _Atomic uint32_t done;
  uint32_t which, n;
} held;

static void hold(void *arg, uint32_t i) {
  held *h = arg;
  while (i == h->which && atomic_load(&h->done) < h->n - 1) nap(1);
  atomic_fetch_add(&h->done, 1);
}

static void test_others_go_on(void **state) {
  (void)state;
  for (uint32_t threads = 2; threads <= 8; threads++) {
    plr_context *ctx = context_of(threads);
    for (uint32_t which = 0; which < 24; which += 5) {
      held h = {0, which, 24};
      plr__parallel_for(ctx, 24, hold, &h);
      assert_int_equal(atomic_load(&h.done), 24);
    }
    plr_context_destroy(ctx);
  }
}

/* A lane belongs to one task at a time and is never beyond the context's threads. */
typedef struct lanes {
  _Atomic uint32_t busy[8], wrong, done;
  uint32_t threads;
} lanes;

static void use_lane(void *arg, uint32_t i, uint32_t lane) {
  lanes *l = arg;
  if (lane >= l->threads || atomic_exchange(&l->busy[lane], 1)) atomic_fetch_add(&l->wrong, 1);
  if (i % 16 == 0) nap(1);
  if (lane < 8) atomic_store(&l->busy[lane], 0);
  atomic_fetch_add(&l->done, 1);
}

static void test_lanes(void **state) {
  (void)state;
  for (uint32_t threads = 1; threads <= 8; threads++) {
    plr_context *ctx = context_of(threads);
    lanes l = {.threads = threads};
    for (uint32_t n = 1; n < 100; n += 14) plr__parallel_lanes(ctx, n, use_lane, &l);
    assert_int_equal(atomic_load(&l.done), 1 + 15 + 29 + 43 + 57 + 71 + 85 + 99);
    assert_int_equal(atomic_load(&l.wrong), 0);
    plr_context_destroy(ctx);
  }
}

typedef struct nest {
  plr_context *ctx;
  tally inner[12];
  _Atomic int moved; /* an inner task ran on another thread than its outer one */
} nest;

typedef struct inner_call {
  nest *n;
  uint32_t outer;
  pthread_t thread;
} inner_call;

static void inner_task(void *arg, uint32_t i) {
  inner_call *c = arg;
  if (!pthread_equal(c->thread, pthread_self())) atomic_store(&c->n->moved, 1);
  hit(&c->n->inner[c->outer], i);
}

static void outer_task(void *arg, uint32_t i) {
  inner_call c = {arg, i, pthread_self()};
  plr__parallel_for(c.n->ctx, 50, inner_task, &c);
}

static void test_nested(void **state) {
  (void)state;
  static nest n;
  for (uint32_t threads = 1; threads <= 8; threads++) {
    n.ctx = context_of(threads);
    plr__parallel_for(n.ctx, 12, outer_task, &n);
    for (int i = 0; i < 12; i++) expect_each(&n.inner[i], 50, 1);
    assert_int_equal(atomic_load(&n.moved), 0);
    plr_context_destroy(n.ctx);
  }
}

typedef struct caller {
  plr_context *ctx;
  tally t;
} caller;

static void *call_many(void *arg) {
  caller *c = arg;
  for (int i = 0; i < 300; i++) plr__parallel_for(c->ctx, 40, hit, &c->t);
  return NULL;
}

static void test_two_callers(void **state) {
  (void)state;
  static caller a, b;
  a.ctx = b.ctx = context_of(3);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, call_many, &a), 0);
  call_many(&b);
  pthread_join(thread, NULL);
  expect_each(&a.t, 40, 300);
  expect_each(&b.t, 40, 300);
  plr_context_destroy(a.ctx);
}

/* Several contexts in one process, each with threads of its own, used at once. */
static void test_contexts_at_once(void **state) {
  (void)state;
  enum { CONTEXTS = 4 };
  static caller c[CONTEXTS];
  pthread_t thread[CONTEXTS];
  for (uint32_t i = 0; i < CONTEXTS; i++) {
    c[i].ctx = context_of(1 + i);
    assert_int_equal(pthread_create(&thread[i], NULL, call_many, &c[i]), 0);
  }
  for (uint32_t i = 0; i < CONTEXTS; i++) {
    pthread_join(thread[i], NULL);
    expect_each(&c[i].t, 40, 300);
    plr_context_destroy(c[i].ctx);
  }
}

/* Memory counters are shared by the threads of a context. */
static void churn(void *arg, uint32_t i) {
  plr_context *ctx = arg;
  for (uint32_t k = 0; k < 50; k++) {
    void *p = plr__alloc(ctx, i * 10 + k);
    assert_non_null(p);
    plr__free(ctx, p);
  }
}

static void test_memory_from_threads(void **state) {
  (void)state;
  plr_context *ctx = context_of(4);
  uint64_t before, after, count_before, count_after;
  plr_context_memory(ctx, &before, NULL, &count_before);
  plr__parallel_for(ctx, 40, churn, ctx);
  plr_context_memory(ctx, &after, NULL, &count_after);
  assert_int_equal(after, before);
  assert_int_equal(count_after - count_before, 2000);
  plr_context_destroy(ctx);
}

typedef struct host_pool {
  int calls;
} host_pool;

/* Backwards, which a host may do. */
static void host_parallel_for(void *user, uint32_t n, void (*task)(void *, uint32_t), void *arg) {
  ((host_pool *)user)->calls++;
  while (n-- > 0) task(arg, n);
}

static void test_executor(void **state) {
  (void)state;
  static nest n;
  static tally t;
  host_pool pool = {0};
  plr_context_options o = test_options(NULL);
  o.threads = 99;
  o.executor = (plr_executor){&pool, host_parallel_for, 6, 0};
  n.ctx = test_context(&o);
  assert_int_equal(plr_context_threads(n.ctx), 6);
  plr__parallel_for(n.ctx, 30, hit, &t);
  expect_each(&t, 30, 1);
  plr__parallel_for(n.ctx, 1, hit, &t);
  expect_each(&t, 1, 1);
  assert_int_equal(pool.calls, 1);
  plr__parallel_for(n.ctx, 12, outer_task, &n);
  for (int i = 0; i < 12; i++) expect_each(&n.inner[i], 50, 1);
  assert_int_equal(pool.calls, 2);
  plr_context_destroy(n.ctx);
}

/* A child has no worker threads: the context still works there, and can be destroyed. */
static int in_child(plr_context *ctx) {
  static tally t;
  plr__parallel_for(ctx, 100, hit, &t);
  for (uint32_t i = 0; i < 100; i++)
    if (atomic_load(&t.hits[i]) != 1) return 1;
  plr_context_destroy(ctx);
  return 0;
}

static int child_status(pid_t pid) {
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

/* An alarm ends a child that waits for workers it does not have. */
static void test_fork(void **state) {
  (void)state;
  static tally t;
  plr_context *ctx = context_of(4);
  for (int pause = 0; pause < 2;
       pause++) { /* while the workers still look for work; when they sleep */
    plr__parallel_for(ctx, 100, hit, &t);
    expect_each(&t, 100, 1);
    if (pause) nap(20);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
      alarm(20);
      _exit(in_child(ctx));
    }
    assert_int_equal(child_status(pid), 0);
  }
  plr__parallel_for(ctx, 100, hit, &t);
  expect_each(&t, 100, 1);
  plr_context_destroy(ctx);
}

/* A child made while the pool works: the region that was under way is the parent's. */
typedef struct forker {
  plr_context *ctx;
  _Atomic uint32_t phase; /* 1: the region is under way; 2: it may end */
} forker;

static void wait_for_fork(void *arg, uint32_t i) {
  forker *f = arg;
  if (i == 0) atomic_store(&f->phase, 1);
  while (atomic_load(&f->phase) != 2) nap(1);
}

static void *region_of(void *arg) {
  forker *f = arg;
  plr__parallel_for(f->ctx, 3, wait_for_fork, f);
  return NULL;
}

static void test_fork_within_region(void **state) {
  (void)state;
  forker f = {.ctx = context_of(3)};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, region_of, &f), 0);
  while (atomic_load(&f.phase) != 1) nap(1);
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    alarm(20);
    _exit(in_child(f.ctx));
  }
  atomic_store(&f.phase, 2);
  pthread_join(thread, NULL);
  assert_true(pid > 0);
  assert_int_equal(child_status(pid), 0);
  plr_context_destroy(f.ctx);
}

typedef struct modes {
  _Atomic uint32_t wrong;
} modes;

static void check_modes(void *arg, uint32_t i) {
  volatile float tiny = 0x1p-126f, half = 0.5f, one = 1.0f, small = 0x1p-25f;
  int ok = tiny * half == 0x1p-127f && one + small == 1.0f &&
           (float_mode() & ~(uint64_t)FLOAT_MODE_NOTES) == FLOAT_MODE_EXACT;
  (void)i;
  if (!ok) atomic_fetch_add(&((modes *)arg)->wrong, 1);
}

/* A host thread that flushes denormals and rounds up: tasks must not notice on any thread, and the
 * host must find its mode again. */
static void test_fp_environment(void **state) {
  (void)state;
  const uint64_t saved = float_mode(), modes_only = ~(uint64_t)FLOAT_MODE_NOTES;
  const uint64_t odd = FLOAT_MODE_EXACT | FLOAT_MODE_FLUSH | FLOAT_MODE_UP;
  set_float_mode(odd);
  const uint64_t kept = float_mode();
  set_float_mode(saved);
  if ((kept & modes_only) != odd) {
    print_message("skipped: this machine (an emulator?) does not keep the control register\n");
    skip();
  }
  for (uint32_t threads = 1; threads <= 4; threads++) {
    set_float_mode(odd);
    modes m = {0};
    plr_context *ctx = context_of(threads);
    plr__parallel_for(ctx, 64, check_modes, &m);
    const uint64_t after = float_mode();
    plr_fpenv mine = plr__fpenv_enter();
    modes direct = {0};
    check_modes(&direct, 0);
    plr__fpenv_leave(mine);
    const uint64_t last = float_mode();
    set_float_mode(saved);
    plr_context_destroy(ctx);
    assert_int_equal(m.wrong, 0);
    assert_int_equal(direct.wrong, 0);
    assert_int_equal(after & modes_only, odd);
    assert_int_equal(last & modes_only, odd);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_index_once),
      cmocka_unit_test(test_writes_are_visible),
      cmocka_unit_test(test_really_parallel),
      cmocka_unit_test(test_others_go_on),
      cmocka_unit_test(test_lanes),
      cmocka_unit_test(test_nested),
      cmocka_unit_test(test_two_callers),
      cmocka_unit_test(test_contexts_at_once),
      cmocka_unit_test(test_memory_from_threads),
      cmocka_unit_test(test_executor),
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_fork_within_region),
      cmocka_unit_test(test_fp_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
