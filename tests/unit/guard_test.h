/* What the tests of guards share: a log that is kept, a sink that stops in the middle, a thread that stands inside. */
#ifndef PLR_TEST_GUARD_TEST_H
#define PLR_TEST_GUARD_TEST_H

#include "base_test.h"
#include "model_common.h"

#include <pluralis/pluralis.h>
#include <pthread.h>

#include "base/guard.h"

static inline void test_no_guards(void **state) {
  (void)state;
  print_message("skip: a release build has no guards\n");
  skip();
}

static inline int no_guards_main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_guards)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#ifndef NDEBUG

/* ---- a log that is kept, and a sink that stops in the middle ------------------------------------- */

typedef struct kept {
  pthread_mutex_t lock;
  char line[512];
  uint32_t lines;
} kept;

static inline void keep_line(void *user, uint32_t level, const char *module, const char *line,
                             size_t len) {
  kept *k = user;
  (void)module;
  if (level != PLR_LOG_ERROR) return;
  pthread_mutex_lock(&k->lock);
  snprintf(k->line, sizeof k->line, "%.*s", (int)len, line);
  k->lines++;
  pthread_mutex_unlock(&k->lock);
}

static inline plr_context *kept_context(kept *k) {
  plr_context_options o;
  plr_context *ctx;
  memset(k, 0, sizeof *k);
  pthread_mutex_init(&k->lock, NULL);
  plr_context_options_init(&o, sizeof o);
  o.logger = (plr_logger){k, keep_line};
  assert_int_equal(plr_context_create(&o, &ctx, NULL), PLR_OK);
  return ctx;
}

/* The line of the last refusal names both functions; then it is forgotten. */
static inline void assert_line(kept *k, const char *refused, const char *inside) {
  if (strncmp(k->line, refused, strlen(refused)) || !strstr(k->line, inside))
    fail_msg("\"%s\" does not name %s and %s", k->line, refused, inside);
  k->line[0] = 0;
}

typedef struct slow_sink {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int inside, go_on, aborted, committed;
} slow_sink;

static inline void slow_init(slow_sink *s) {
  memset(s, 0, sizeof *s);
  pthread_mutex_init(&s->lock, NULL);
  pthread_cond_init(&s->changed, NULL);
}

static inline void slow_say(slow_sink *s, int *what) {
  pthread_mutex_lock(&s->lock);
  *what = 1;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

static inline void slow_wait(slow_sink *s, const int *what) {
  pthread_mutex_lock(&s->lock);
  while (!*what) pthread_cond_wait(&s->changed, &s->lock);
  pthread_mutex_unlock(&s->lock);
}

static inline plr_status slow_write(void *user, const void *data, size_t len) {
  slow_sink *s = user;
  (void)data, (void)len;
  slow_say(s, &s->inside);
  slow_wait(s, &s->go_on);
  return PLR_OK;
}

static inline plr_status slow_commit(void *user) {
  ((slow_sink *)user)->committed = 1;
  return PLR_OK;
}

static inline void slow_abort(void *user) {
  ((slow_sink *)user)->aborted = 1;
}

static inline plr_sink sink_of(slow_sink *s) {
  return (plr_sink){s, slow_write, slow_commit, slow_abort};
}

/* The call is refused, and the log says who by. */
#define REFUSED(call, name, inside)                                                                \
  do {                                                                                             \
    assert_int_equal(call, PLR_ERR_INVALID_STATE);                                                 \
    assert_line(&k, name, inside);                                                                 \
  } while (0)

/* Links and stages call nobody back, so a thread stands in for one that is inside. */
typedef struct standing {
  plr_guard *guard;
  const char *inside;
  slow_sink slow;
} standing;

static inline void *stand(void *arg) {
  standing *s = arg;
  plr_guard_call call = plr__guard_begin(s->guard, 1, NULL, s->inside, NULL);
  assert_int_equal(call.status, PLR_OK);
  slow_write(&s->slow, NULL, 0);
  plr__guard_end(&call);
  return NULL;
}

static inline void stand_inside(standing *s, plr_guard *guard, const char *inside,
                                pthread_t *thread) {
  slow_init(&s->slow);
  s->guard = guard, s->inside = inside;
  assert_int_equal(pthread_create(thread, NULL, stand, s), 0);
  slow_wait(&s->slow, &s->slow.inside);
}

static inline void stand_end(standing *s, pthread_t thread) {
  slow_say(&s->slow, &s->slow.go_on);
  pthread_join(thread, NULL);
}

#endif

#endif
