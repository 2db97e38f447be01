/* Several replicas of a stage: work is shared, those that fail are replaced, and nothing is counted twice. */
#include "sim/swarm.h"

#include "stage/stage_int.h"

static swarm w;

static void test_shared(void **state) {
  (void)state;
  swarm_config c = swarm_defaults();
  swarm_open(&w, &c);
  swarm_train(&w, 60);
  assert_int_equal(w.steps, 60);
  assert_int_equal(w.receipts, 180);
  assert_int_equal(w.missing, 0);
  swarm_check_once(&w, 60);
  for (uint32_t i = 1; i < w.count; i++) assert_in_range(w.nodes[i].backwards, 15, 45);
  swarm_stop(&w);
  for (uint32_t i = 0; i < w.count; i++) assert_int_equal(w.nodes[i].failed + w.nodes[i].lost, 0);
  swarm_close(&w);
}

/* ---- nodes that die --------------------------------------------------------------------------- */

static uint32_t victim, tell;
static uint64_t kill_step;

static void kill_at(swarm *x, uint64_t step) {
  if (step == kill_step && !x->nodes[victim].dead) swarm_kill(x, victim, (int)tell);
}

/* One replica dies, with or without its neighbours being told, in any stage, at any moment. */
static void check_death(uint32_t stage, int told, uint32_t stash, uint64_t job_ns) {
  swarm_config c = swarm_defaults();
  c.stash = stash;
  c.job_ns = job_ns;
  swarm_open(&w, &c);
  victim = swarm_node_of(&w, stage, 0);
  tell = (uint32_t)told;
  kill_step = 20;
  w.on_step = kill_at;
  swarm_train(&w, 60);
  assert_int_equal(w.steps, 60);
  assert_int_equal(w.dropped, 0);
  swarm_check_once(&w, 60);
  assert_int_equal(w.nodes[victim].dead, 1);
  for (uint32_t i = 0; i < w.count; i++) {
    if (i != victim) assert_int_equal(w.nodes[i].failed, 0);
    if (w.nodes[i].lost) assert_int_equal(w.nodes[i].why, PLR_ERR_CLOSED);
  }
  swarm_stop(&w);
  swarm_close(&w);
}

static void test_death(void **state) {
  (void)state;
  for (uint32_t stage = 0; stage < 3; stage++) {
    check_death(stage, 1, 0, 2000000);
    check_death(stage, 0, 1, 1500000);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shared),
      cmocka_unit_test(test_death),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
