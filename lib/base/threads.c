/* parallel_for over the context's pool, the host's executor, or this thread alone. */
#include "base/base_int.h"

/* Set while this thread runs a task. It belongs to the thread's stack of calls, not to the
 * library's state. */
static _Thread_local int inside_task;

/* Shares 0 .. n-1 among the lanes: neighbouring tasks, and those of operations that follow each other, touch the same
 * memory, so each lane has a run of its own to begin with. */
static void tasks_init(plr_tasks *t, uint32_t n, uint32_t lanes) {
  t->lanes = lanes;
  for (uint32_t i = 0; i < lanes; i++) {
    atomic_init(&t->run[i].next, (uint32_t)((uint64_t)n * i / lanes));
    t->run[i].end = (uint32_t)((uint64_t)n * (i + 1) / lanes);
  }
}

void plr__tasks_work(plr_tasks *t, uint32_t lane) {
  int outer = inside_task;
  inside_task = 1;
  plr_fpenv saved = plr__fpenv_enter();
  for (uint32_t i = 0; i < t->lanes; i++) { /* its own run first, then what others have not begun */
    plr_run_of_tasks *run = &t->run[(lane + i) % t->lanes];
    while (atomic_load_explicit(&run->next, memory_order_relaxed) < run->end) {
      uint32_t task = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
      if (task < run->end) t->fn(t->arg, task, lane);
    }
  }
  plr__fpenv_leave(saved);
  inside_task = outer;
}

static void host_task(void *tasks, uint32_t lane) {
  plr__tasks_work(tasks, lane);
}

void plr__parallel_lanes(plr_context *ctx, uint32_t n,
                         void (*fn)(void *arg, uint32_t index, uint32_t lane), void *arg) {
  if (n == 0) return;
  plr_tasks t;
  t.fn = fn, t.arg = arg;
  uint32_t lanes = PLR_MIN(n, ctx->threads);
  if (lanes > 1 && !inside_task) {
    tasks_init(&t, n, lanes);
    if (ctx->executor.parallel_for) {
      ctx->executor.parallel_for(ctx->executor.user, lanes, host_task, &t);
      return;
    }
    if (plr__pool_run(ctx->pool, &t)) return;
  }
  tasks_init(&t, n, 1);
  plr__tasks_work(&t, 0);
}

typedef struct plain_task {
  void (*fn)(void *arg, uint32_t index);
  void *arg;
} plain_task;

static void run_plain(void *arg, uint32_t index, uint32_t lane) {
  const plain_task *task = arg;
  (void)lane;
  task->fn(task->arg, index);
}

void plr__parallel_for(plr_context *ctx, uint32_t n, void (*fn)(void *arg, uint32_t index),
                       void *arg) {
  plain_task task = {fn, arg};
  plr__parallel_lanes(ctx, n, run_plain, &task);
}
