/* Jobs on threads of their own while the loop goes on: nothing is shared that should not be (run under TSan), and the
 * result is the same. */
#include "sim/pipeline.h"

static void run(pipeline *p, int threads) {
  pipe_config c = pipe_defaults(4);
  c.threads = threads;
  c.codec = "int8+zstd";
  c.snapshot_every = 2;
  c.wire.delay_ns = 500000; /* frames keep coming while jobs run */
  c.wire.max_chunk = 300;
  pipe_open(p, &c);
  pipe_train(p, 5);
  pipe_evaluate(p, 4);
  pipe_generate(p, pipe_prompt, 5, 3, 0.5f);
  pipe_stop(p);
  pipe_sort_receipts(p);
}

static void test_same_on_threads(void **state) {
  (void)state;
  static pipeline one, many;
  run(&one, 0);
  run(&many, 1);
  assert_memory_equal(&one.stop_root, &many.stop_root, sizeof(plr_hash));
  assert_memory_equal(&one.eval, &many.eval, sizeof(double));
  assert_memory_equal(one.token, many.token, 3 * sizeof(int32_t));
  assert_int_equal(one.receipts, many.receipts);
  for (uint32_t i = 0; i < one.receipts; i++)
    assert_memory_equal(one.receipt[i].data, many.receipt[i].data, one.receipt[i].len);
  pipe_close(&one);
  pipe_close(&many);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_on_threads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
