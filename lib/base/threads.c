/* parallel_for over the context's pool, the host's executor, or this thread alone. */
#include "base/base_int.h"

/* Set while this thread runs a task. It belongs to the thread's stack of calls, not to the
 * library's state. */
static _Thread_local int inside_task;

void plr__run_range(void (*fn)(void *arg, uint32_t index), void *arg, uint32_t begin,
                    uint32_t end) {
  int outer = inside_task;
  inside_task = 1;
  plr_fpenv saved = plr__fpenv_enter();
  for (uint32_t i = begin; i < end; i++) fn(arg, i);
  plr__fpenv_leave(saved);
  inside_task = outer;
}

typedef struct host_task {
  void (*fn)(void *arg, uint32_t index);
  void *arg;
} host_task;

static void run_host_task(void *user, uint32_t index) {
  const host_task *task = user;
  plr__run_range(task->fn, task->arg, index, index + 1);
}

void plr__parallel_for(plr_context *ctx, uint32_t n, void (*fn)(void *arg, uint32_t index),
                       void *arg) {
  if (n > 1 && !inside_task) {
    if (ctx->executor.parallel_for) {
      host_task task = {fn, arg};
      ctx->executor.parallel_for(ctx->executor.user, n, run_host_task, &task);
      return;
    }
    if (ctx->pool && plr__pool_run(ctx->pool, n, fn, arg)) return;
  }
  plr__run_range(fn, arg, 0, n);
}
