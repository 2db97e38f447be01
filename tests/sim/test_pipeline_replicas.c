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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_shared)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
