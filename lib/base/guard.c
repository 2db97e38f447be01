/* Two threads on one handle: see guard.h. */
#include "base/guard.h"

#ifdef NDEBUG
typedef int plr__guard_is_for_debug_builds; /* a file must declare something */
#else

enum { NOTHING, CHANGES, READS };

/* A number no other living thread has. It is this thread's, not the library's state. */
static uintptr_t this_thread(void) {
  static _Thread_local char mark;
  return (uintptr_t)&mark;
}

static plr_status refuse(const plr_guard *guard, const char *other, plr_context *ctx,
                         const char *function, plr_error *err) {
  plr__log(ctx, PLR_LOG_ERROR, "debug", "%s: another thread is inside %s on this handle (%p)",
           function, other ? other : "a function", (const void *)guard);
  return plr__fail(err, PLR_ERR_INVALID_STATE, function,
                   "another thread is inside %s on this handle", other ? other : "a function");
}

/* Both sides write their own mark and then look at the other's, in one order for all threads: of two
 * that come at once at least one sees the other. */
static plr_status change(plr_guard *g, plr_context *ctx, const char *function, plr_error *err) {
  uintptr_t nobody = 0, me = this_thread();
  if (atomic_load(&g->owner) == me) {
    g->depth++;
    return PLR_OK;
  }
  if (!atomic_compare_exchange_strong(&g->owner, &nobody, me))
    return refuse(g, atomic_load(&g->changing), ctx, function, err);
  if (atomic_load(&g->readers)) {
    atomic_store(&g->owner, 0);
    return refuse(g, atomic_load(&g->reading), ctx, function, err);
  }
  atomic_store(&g->changing, function);
  g->depth = 1;
  return PLR_OK;
}

static plr_status look(plr_guard *g, plr_context *ctx, const char *function, plr_error *err) {
  atomic_fetch_add(&g->readers, 1);
  uintptr_t owner = atomic_load(&g->owner);
  if (owner && owner != this_thread()) {
    atomic_fetch_sub(&g->readers, 1);
    return refuse(g, atomic_load(&g->changing), ctx, function, err);
  }
  atomic_store(&g->reading, function);
  return PLR_OK;
}

plr_guard_call plr__guard_begin(const plr_guard *guard, int changes, plr_context *ctx,
                                const char *function, plr_error *err) {
  plr_guard *g = (plr_guard *)(uintptr_t)guard; /* const functions are watched too */
  if (!g) return (plr_guard_call){NULL, NOTHING, PLR_OK};
  plr_status st = changes ? change(g, ctx, function, err) : look(g, ctx, function, err);
  return (plr_guard_call){g, st != PLR_OK ? NOTHING : changes ? CHANGES : READS, st};
}

void plr__guard_end(plr_guard_call *call) {
  if (call->mode == READS) atomic_fetch_sub(&call->guard->readers, 1);
  if (call->mode == CHANGES && --call->guard->depth == 0) atomic_store(&call->guard->owner, 0);
}

#endif
