/* Debug builds notice two threads on one handle. With NDEBUG defined all of this is nothing.
 *
 * A handle has PLR_GUARDED among its members; each public function on it begins with one of the macros. A function
 * that changes the handle wants it alone, a const one shares it with other const ones. Whoever comes second is
 * refused with INVALID_STATE and a line in the log that names both functions. The same thread may come again:
 * functions call each other. */
#ifndef PLR_BASE_GUARD_H
#define PLR_BASE_GUARD_H

#include "base/base.h"

#ifdef NDEBUG

#define PLR_GUARDED
#define PLR_GUARD_OF(handle, ctx, err)  ((void)0)
#define PLR_GUARD(handle, err)          ((void)0)
#define PLR_GUARD_OR(handle, err, undo) ((void)0)
#define PLR_GUARD_VOID(handle)          ((void)0)
#define PLR_GUARD_CONST(handle)         ((void)0)
#define PLR_GUARD_LOOK(handle)          ((void)0)
#define PLR_GUARD_END(handle)           ((void)0)

#else

#include <stdatomic.h>

/* All zero: nobody is inside. */
typedef struct plr_guard {
  _Atomic uintptr_t owner; /* thread that changes the handle */
  _Atomic uint32_t readers;
  uint32_t depth;                          /* of the owner's calls */
  _Atomic(const char *) changing, reading; /* the functions that came last */
} plr_guard;

/* A call that is under way; the status is INVALID_STATE when it was refused. */
typedef struct plr_guard_call {
  plr_guard *guard;
  uint32_t mode; /* what there is to undo */
  plr_status status;
} plr_guard_call;

/* guard may be NULL: the function finds out by itself that it has no handle. */
plr_guard_call plr__guard_begin(const plr_guard *guard, int changes, plr_context *ctx,
                                const char *function, plr_error *err);
void plr__guard_end(plr_guard_call *call);

#define PLR_GUARDED           plr_guard guard;
#define PLR_GUARD_NAME_(line) plr_guard_call_##line
#define PLR_GUARD_NAME(line)  PLR_GUARD_NAME_(line)
#define PLR_GUARD_CALL        PLR_GUARD_NAME(__LINE__)
#define PLR_GUARD_BEGIN(handle, changes, ctx, err)                                                 \
  plr__guard_begin((handle) ? &(handle)->guard : NULL, changes, (handle) ? (ctx) : NULL, __func__, \
                   err)
#define PLR_GUARD_HOLD(handle, changes, ctx, err)                                                  \
  __attribute__((cleanup(plr__guard_end), unused)) plr_guard_call PLR_GUARD_CALL =                 \
      PLR_GUARD_BEGIN(handle, changes, ctx, err)

/* For a function that changes the handle and returns a status: with a handle that has no context of
 * its own, one that has, and one where something must be undone before it is refused. */
#define PLR_GUARD_OF(handle, ctx, err)                                                             \
  PLR_GUARD_HOLD(handle, 1, ctx, err);                                                             \
  if (PLR_GUARD_CALL.status != PLR_OK) return PLR_GUARD_CALL.status
#define PLR_GUARD(handle, err) PLR_GUARD_OF(handle, (handle)->ctx, err)
#define PLR_GUARD_OR(handle, err, undo)                                                            \
  PLR_GUARD_HOLD(handle, 1, (handle)->ctx, err);                                                   \
  if (PLR_GUARD_CALL.status != PLR_OK) {                                                           \
    undo;                                                                                          \
    return PLR_GUARD_CALL.status;                                                                  \
  }
/* For one that changes the handle and returns nothing. */
#define PLR_GUARD_VOID(handle)                                                                     \
  PLR_GUARD_HOLD(handle, 1, (handle)->ctx, NULL);                                                  \
  if (PLR_GUARD_CALL.status != PLR_OK) return
/* For a const one that returns a status, and for one that returns something else: it goes on after
 * the line in the log. */
#define PLR_GUARD_CONST(handle)                                                                    \
  PLR_GUARD_HOLD(handle, 0, (handle)->ctx, NULL);                                                  \
  if (PLR_GUARD_CALL.status != PLR_OK) return PLR_GUARD_CALL.status
#define PLR_GUARD_LOOK(handle) PLR_GUARD_HOLD(handle, 0, (handle)->ctx, NULL)
/* For destroy: a handle that is in use is left as it is, which leaks it instead of pulling it from
 * under the other thread. */
#define PLR_GUARD_END(handle)                                                                      \
  if (PLR_GUARD_BEGIN(handle, 1, (handle)->ctx, NULL).status != PLR_OK) return

#endif

#endif
